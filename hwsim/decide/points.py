"""The points of a sweep: what each is, its key by content, and what it gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from hwsim.arch import Arch
from hwsim.decide.layer_prices import QUANTITIES
from hwsim.decide.table import CostTable, cost_table
from hwsim.errors import HwsimError
from hwsim.graph import Graph, SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.io.dataset import Dataset, load_dataset
from hwsim.io.files import read_whole
from hwsim.io.model import read_model
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.quantizing import quantize_for
from hwsim.simulate import area_of, simulate
from hwsim.steps.read import read
from hwsim.steps.widths import mac_nodes

__all__ = ["Context", "Outcome", "Points", "evaluate", "failure", "mixed_points", "must_be_float", "source_version"]

BLOCK = 1 << 13
LARGEST = 1 << 40


@dataclass(frozen=True)
class Context:
    """What the points of one batch have in common.

    `fields` overrides fields of the chip.  Without data points are priced alone; with it each network is quantized on the calibration
    inputs by `method` and scored on the data, bit-true.  `weight_bits` and `activation_bits` are all widths of the sweep.
    """

    arch: str
    model: str
    fields: tuple[tuple[str, str], ...] = ()
    method: str = "full"
    data: str = ""
    calibration: str = ""
    samples: int = 0
    weight_bits: tuple[int, ...] = ()
    activation_bits: tuple[int, ...] = ()

    @cached_property
    def hash(self) -> bytes:
        """Of all contents: the chip's fields, the bytes of the network and the data, and the version."""
        parts = (source_version(), self.chip.hash, digest(self.model), digest(self.data), digest(self.calibration), self.samples)
        return hashlib.blake2b(repr((*parts, self.method if self.data else "")).encode(), digest_size=16).digest()

    @cached_property
    def chip(self) -> Arch:
        return load_arch(self.arch, dict(self.fields))

    def row(self) -> tuple[Any, ...]:
        """The context as the store keeps it."""
        fields = json.dumps(dict(self.fields))
        where = (self.chip.name, self.chip.hash, fields, Path(self.model).stem, digest(self.model))
        return (
            self.hash.hex(),
            source_version(),
            *where,
            self.method,
            Path(self.data).stem,
            digest(self.data),
            self.samples,
            sum(area_of(self.chip).values()),
        )


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one context: precisions in words (`w4a8`, "" for the network's own), or mixed assignments (n, widths) of option indices."""

    context: Context
    precisions: tuple[str, ...] = ()
    choices: Array | None = None

    def __len__(self) -> int:
        return len(self.precisions) if self.choices is None else len(self.choices)

    def part(self, index: Array) -> Points:
        """Some of them."""
        if self.choices is not None:
            return Points(self.context, (), self.choices[index])
        return Points(self.context, tuple(self.precisions[i] for i in index))

    def keys(self) -> list[bytes]:
        """One key a point, by content."""
        start = hashlib.blake2b(self.context.hash, digest_size=12)
        items = [p.encode() for p in self.precisions] if self.choices is None else self.assignments()
        keys = []
        for item in items:
            h = start.copy()
            h.update(item)
            keys.append(h.digest())
        return keys

    def assignments(self) -> list[bytes]:
        """Mixed points' bits by width, so that the same assignment has the same key whatever the options beside it are."""
        if self.choices is None:
            return []
        table = _table(self.context)
        bits = np.array([[*o, *[0] * (8 - len(o))] for o in table.options], np.uint8)
        width = len(table.options)
        rows = np.ascontiguousarray(bits[np.arange(width), self.choices])
        data = rows.tobytes()
        return [data[i : i + width] for i in range(0, len(data), width)]

    def widths(self) -> str:
        """What each byte of an assignment is, as JSON: [kind, layers]."""
        return "" if self.choices is None else json.dumps([[w.kind, w.nodes] for w in _table(self.context).widths])


@dataclass(frozen=True)
class Outcome:
    """What one point gave: `status` is `ok` or `failed`, with the message; what was not asked for is None."""

    precision: str
    weight_bits: float | None = None
    activation_bits: float | None = None
    status: str = "ok"
    message: str = ""
    seconds: float = 0.0
    latency_s: float | None = None
    energy_j: float | None = None
    cycles: int | None = None
    size_bytes: int | None = None
    offchip_bytes: int | None = None
    bitops: int | None = None
    peak_onchip_bytes: int | None = None
    metric: str | None = None
    accuracy: float | None = None
    scored: int | None = None


def mixed_points(context: Context, count: int, seed: int = 0) -> Points:
    """Random assignments of the context's widths; the first of them are the same whatever the count."""
    options = _table(context).options
    rng = np.random.default_rng(seed)
    blocks = [np.stack([rng.integers(0, len(o), BLOCK, np.uint8) for o in options], 1) for _ in range(-(-count // BLOCK))]
    return Points(context, (), np.concatenate(blocks)[:count])


def must_be_float(context: Context) -> None:
    """Raises HwsimError for a network that is quantized already, which no method can quantize again."""
    if mac_nodes(_graph(context.model)):
        hint = "leave --bits out to score it as it is, or --data to price it at other widths"
        raise HwsimError(context.model, "must be a float network, to be quantized by --bits for --data", "a quantized one", hint)


def failure(points: Points, message: str) -> tuple[Any, ...]:
    """The row of a point that could not be evaluated."""
    return tuple(vars(Outcome(points.precisions[0] if points.precisions else "mixed", status="failed", message=message)).values())


def evaluate(points: Points) -> list[tuple[Any, ...]]:
    """The outcomes of points as rows of the store, without key and context."""
    context = points.context
    if points.choices is None:
        alone = (_alone(context, Precision.parse(p) if p else None, p) for p in points.precisions)
    elif context.data:
        table = _table(context)
        alone = (_alone(context, table.precision(c), "mixed", _means(table, c[None])) for c in points.choices)
    else:
        return _mixed(context, points.choices)
    return [tuple(vars(found).values()) for found in alone]


def _alone(context: Context, precision: Precision | None, said: str, bits: Sequence[Any] = ()) -> Outcome:
    start = perf_counter()
    try:
        found = _priced(context, precision) if precision and not context.data else _scored(context, precision)
    except HwsimError as e:
        found = {"status": "failed", "message": str(e)}
    except MemoryError:
        found = {"status": "failed", "message": "memory: must be enough for the network's tensors"}
    except Exception as e:  # ours: the sweep goes on, and its file says so
        found = {"status": "failed", "message": f"a bug in hwsim, please report it: {type(e).__name__}: {e}"}
    weight, activation = [float(b[0]) for b in bits] or (precision.default if precision else (None, None))
    return replace(Outcome(said, weight, activation, seconds=perf_counter() - start), **found)


def _priced(context: Context, precision: Precision) -> dict[str, Any]:
    table = _table(context)
    return _costs(context, table.price(table.choice(precision)))


def _costs(context: Context, quantities: Sequence[float]) -> dict[str, Any]:
    cycles, energy_pj, size, moved, bitops = quantities
    bytes_ = {"size_bytes": -(-int(size) // 8), "offchip_bytes": -(-int(moved) // 8), "bitops": int(bitops)}
    return {"latency_s": cycles / context.chip.clock_hz, "energy_j": energy_pj * 1e-12, "cycles": int(cycles), **bytes_}


def _scored(context: Context, precision: Precision | None) -> dict[str, Any]:
    """The whole simulation of a network, quantized first when a precision is given."""
    source, data = _source(context.model), _data(context.data, context.samples) if context.data else None
    if precision:
        x = load_dataset(context.calibration, labels=False).x
        source = quantize_for(context.chip, source, x, precision, context.method).network
    result = simulate(context.chip, read(source, _shapes(source, data)), data)
    far = [n for n, m in context.chip.memories.items() if not m.on_chip]
    moved = sum(c.read_bits.get(m, 0) + c.write_bits.get(m, 0) for c in result.cost.layers for m in far)
    bitops = sum(c.macs * c.weight_bits * c.activation_bits for c in result.cost.layers)
    size = sum(c.weight_storage_bits for c in result.cost.layers)
    found = _costs(context, (result.cost.cycles, result.cost.energy_pj, size, moved, bitops))
    found["peak_onchip_bytes"] = result.cost.peak_onchip_bytes
    if result.accuracy is not None:
        found |= {"metric": result.accuracy.metric, "accuracy": result.accuracy.value, "scored": result.accuracy.samples}
    return found


def _mixed(context: Context, choices: Array) -> list[tuple[Any, ...]]:
    """Mixed assignments priced by the table, many at once."""
    start, table = perf_counter(), _table(context)
    q = dict(zip(QUANTITIES, table.evaluate(choices).T, strict=True))
    means, seconds = _means(table, choices), (perf_counter() - start) / max(len(choices), 1)
    bytes_ = [-(-q[n].astype(np.int64) // 8) for n in ("size_bits", "offchip_bits")]
    time, energy = q["cycles"] / context.chip.clock_hz, q["energy_pj"] * 1e-12
    costs = [time, energy, q["cycles"].astype(np.int64), *bytes_, q["bitops"].astype(np.int64)]
    rows = zip(*(column.tolist() for column in (*means, *costs)), strict=True)
    return [("mixed", w, a, "ok", "", seconds, *rest, None, None, None, None) for w, a, *rest in rows]


def _means(table: CostTable, choices: Array) -> list[Array]:
    """The mean bits of the weights and of the activations of assignments."""
    found = []
    for kind in ("weights", "activations"):
        at = [i for i, w in enumerate(table.widths) if w.kind == kind]
        bits = [np.array(table.options[i], np.float64)[choices[:, i]] for i in at]
        found.append(np.mean(bits, 0) if bits else np.zeros(len(choices)))
    return found


@lru_cache(maxsize=8)
def _table(context: Context) -> CostTable:
    return cost_table(context.chip, _graph(context.model), context.weight_bits, context.activation_bits)


@lru_cache(maxsize=4)
def _source(model: str) -> SourceGraph:
    return read_model(model)


@lru_cache(maxsize=4)
def _graph(model: str) -> Graph:
    return read(_source(model))


@lru_cache(maxsize=2)
def _data(path: str, samples: int) -> Dataset:
    return load_dataset(path, samples or None)


def _shapes(source: SourceGraph, data: Dataset | None) -> dict[str, tuple[int, ...]]:
    declared = source.tensors[source.inputs[0]].shape or ()
    open_ = data is not None and any(isinstance(d, str) for d in declared[1:]) and len(source.inputs) == 1
    return {source.inputs[0]: (1, *data.x.shape[1:])} if open_ and data is not None else {}


@lru_cache(maxsize=64)
def digest(path: str) -> str:
    """Of a file's bytes; "" for no file.  Raises HwsimError for one that cannot be read."""
    return hashlib.blake2b(read_whole(Path(path), LARGEST), digest_size=16).hexdigest() if path else ""


@lru_cache(maxsize=1)
def source_version() -> str:
    """The package's version, and a digest of its source: results of other code are never taken for those of this."""
    h, package = hashlib.blake2b(digest_size=6), Path(__file__).resolve().parent.parent
    for file in sorted(package.rglob("*.py")):
        h.update(file.read_bytes())
    return f"{version('hwsim')}+{h.hexdigest()}"
