"""A chip fitted to measurements, from its file and a table to fitted numbers with their evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from math import inf, log

from hwsim.arch import Arch, Rules, parse_precision
from hwsim.building import network_to_price
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph
from hwsim.io.arch_yaml import load_arch, load_costs, load_scaling
from hwsim.language import passes
from hwsim.measured import LAYER, Measured
from hwsim.simulate import lay_out
from hwsim.steps.estimate import estimate, latency_s
from hwsim.steps.fit import REACH, Fitted, Parameter, Sample, fit, leave_one_out
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.steps.prices import prices_of
from hwsim.topologies import named

__all__ = ["fit_chip", "measured_layer", "prior_chip", "samples_of"]

Progress = Callable[[int, int], None]
# what a measurement may say of the chip, and its dimension
CONDITIONS = {
    "clock.frequency": "frequency",
    "process.voltage": "voltage",
    "process.node": "length",
    "energy.leakage": "power",
    "memories.": "energy_per_bit",
}
SHARES = ("efficiency", "exposed", "wide", "real")


def prior_chip(path: str, parameters: Iterable[str] = (), overrides: dict[str, str] | None = None) -> tuple[Arch, tuple[Parameter, ...]]:
    """A chip with the numbers of its `fit` block (or those of them named) at their priors, and these as parameters.

    Raises HwsimError for a chip that names nothing to fit.
    """
    given = dict(overrides or {})
    arch = load_arch(path, given)
    wanted = tuple(parameters) or tuple(arch.fit)
    if not wanted:
        raise HwsimError(f"chip '{arch.name}'", "must have a `fit` block with the numbers that may move, and their priors")
    for name in wanted:
        if name not in arch.fit:
            raise HwsimError("--only", f"must be one of {', '.join(arch.fit)}", repr(name), suggest(name, arch.fit))
    start = load_arch(path, given | {name: str(arch.fit[name].value) for name in wanted})
    return start, tuple(_parameter(start, name, log(arch.fit[name].width)) for name in wanted)


def _parameter(arch: Arch, name: str, width: float) -> Parameter:
    """Shares stay below 1, factors of slowness above it."""
    try:
        number = arch.number(name)
    except KeyError:
        raise HwsimError(f"fit.{name}", "must name a number of the chip that stands in its file") from None
    keys = name.split(".")
    share = keys[-1] in SHARES or keys[-2] in SHARES
    high = -log(float(number)) if share and isinstance(number, float) else inf
    low = -log(float(number)) if keys[-1] == "rescale" and isinstance(number, float) else -inf
    return Parameter(name, width, max(low, -REACH * width) - 1e-6, min(high, REACH * width) + 1e-6)


def samples_of(arch: Arch, rows: Sequence[Measured]) -> tuple[Sample, ...]:
    """Every measurement with its prediction on chips of the same structure: networks are lowered, and mapped for `arch`, once."""
    return tuple(_generation(arch, row) if row.tokens else _sample(arch, row) for row in rows)


def _generation(arch: Arch, row: Measured) -> Sample:
    """A language model's whole answer; batch sizes count as networks of their own."""
    assert row.tokens is not None, "asked for of generations"
    runs = passes(row.network, row.precision, row.batch, row.tokens)
    programs = [(p, lower(network(row.network, p.layers), arch)) for p in runs]
    kept = [lay_out(arch, program) for _, program in programs]

    def predict(chip: Arch) -> float:
        alike, total = _works_alike(arch, chip), 0.0
        for (p, program), laid in zip(programs, kept, strict=True):
            mappings = (laid if alike else lay_out(chip, program, residency=laid.residency)).mappings
            total += p.times * latency_s(program, chip, mappings, laid.prices, whole=p.whole)
        return total

    return Sample(row.label, f"{row.network} b{row.batch}", row.precision, row.value, predict)


def _sample(arch: Arch, row: Measured) -> Sample:
    own = _under(arch, row)
    name, graph = _network(arch, row)
    program = lower(graph, own)
    given = {row.network: row.mapping} if row.mapping else None
    kept = lay_out(own, program, given=given)

    def predict(chip: Arch) -> float:
        here = _under(chip, row)
        laid = kept if _works_alike(own, here) else lay_out(here, program, residency=kept.residency, given=given)
        if row.figure == "energy":
            prices = prices_of(here, load_costs(here.energy.table), load_scaling())
            cost = estimate(program, here, laid.mappings, laid.residency, prices)
            return cost.energy_j if row.layer is None else sum(c.total_pj for c in cost.layers if c.op != "overhead") / 1e12
        return latency_s(program, here, laid.mappings, laid.prices, whole=row.layer is None)

    return Sample(row.label, name, row.precision, row.value, predict)


@lru_cache(maxsize=32)
def _built(name: str, precision: str, image: int | None, batch: int, rules: str) -> Graph:
    return network_to_price(name, precision, image, batch, Rules.model_validate_json(rules))


def _works_alike(a: Arch, b: Arch) -> bool:
    """Whether arrays do the same for a layer on both chips, up to the share of their rates that they reach."""
    return all(
        (x.ports, x.passes, x.unpack) == (y.ports, y.passes, y.unpack) for x, y in zip(a.arrays.values(), b.arrays.values(), strict=True)
    )


def _network(arch: Arch, row: Measured) -> tuple[str, Graph]:
    """The row's network and its name; a layer alone goes by its label."""
    if row.layer is None:
        name = named(row.network)
        return name, _built(name, row.precision, row.image, row.batch, arch.quantization.model_dump_json())
    return row.network, measured_layer(row)


def measured_layer(row: Measured) -> Graph:
    """The network of a row's one layer, under its label."""
    assert row.layer is not None, "asked for of layers alone"
    return network(row.network, [_shape(row, row.layer)])


def _shape(row: Measured, layer: Mapping[str, float]) -> LayerShape:
    """The one layer of a row."""
    channels, outputs, side, kernel, stride = (int(layer[k]) for k in LAYER)
    before, (weight, activation) = kernel // 2, parse_precision(row.precision)
    same = (before, before, kernel - 1 - before, kernel - 1 - before)
    return LayerShape(
        row.network,
        channels,
        outputs,
        (side, side),
        (kernel, kernel),
        stride,
        (int(layer["pad"]),) * 4 if "pad" in layer else same,
        int(layer.get("groups", 1)),
        batch=row.batch,
        weight_bits=int(weight),
        activation_bits=int(activation),
        output_bits=int(layer.get("output_bits", 32)),
        zeros=layer.get("zeros"),
        output_zeros=layer.get("output_zeros"),
    )


def _under(arch: Arch, row: Measured) -> Arch:
    """The chip under the conditions of a row."""
    return arch.replaced(_conditions(tuple(row.set.items()))) if row.set else arch


@cache
def _conditions(pairs: tuple[tuple[str, str], ...]) -> dict[str, float]:
    from hwsim.units import parse

    for name, _ in pairs:
        if not name.startswith(tuple(CONDITIONS)):
            raise HwsimError("set", f"must be of {', '.join(CONDITIONS)}", repr(name))
    return {name: parse(text, next(d for c, d in CONDITIONS.items() if name.startswith(c))) for name, text in pairs}


def fit_chip(
    prior: Arch, parameters: Sequence[Parameter], rows: Sequence[Measured], cross_validate: bool = True, progress: Progress | None = None
) -> Fitted:
    """The chip that explains the rows, and how well it foretells networks that it has not seen."""
    figures = {r.figure for r in rows}
    if len(figures) > 1:
        raise HwsimError("measurements", "must be latencies or energies", "both", "choose with --where metric=...")
    first = fit(prior, parameters, samples_of(prior, rows))
    samples = samples_of(first.arch, rows)  # layers may be mapped otherwise where other things bind
    found = fit(prior, parameters, samples, first.logs)
    several = len({s.network for s in samples}) > 1
    left_out = leave_one_out(found, prior, samples, progress) if cross_validate and several else None
    return Fitted(prior, found, samples, left_out, next(iter(figures)))
