"""Why a quantized network loses accuracy: the flow of Nagel et al., A White Paper on Neural Network Quantization (2021), figure 4.5.

Quantizers off, then weights alone, activations alone, each layer alone, and at last the chip's integers against the fake-quantized
network; each finding names the layer and what mends it (Q86).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path

import numpy as np

from hwsim.arch import Arch
from hwsim.graph import Graph, Node, SourceGraph
from hwsim.io.dataset import has_labels, load_dataset
from hwsim.io.model import read_model
from hwsim.pipeline.bypass import Quantized, bypass
from hwsim.pipeline.forward import compute, constant_or
from hwsim.pipeline.free_batch import free_batch
from hwsim.pipeline.walk import sqnr_db, through
from hwsim.quant import Array, QuantParams
from hwsim.quantizers._affine import Scheme, fake
from hwsim.shelf import load
from hwsim.steps.absorb import output_axis
from hwsim.steps.diff import Difference, isolated
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import as_written, lower
from hwsim.steps.read import read

__all__ = [
    "CHECK_COLUMNS",
    "FEW",
    "REAL_COLUMNS",
    "STAGE_COLUMNS",
    "Diagnosis",
    "LayerCheck",
    "Stage",
    "check_rows",
    "diagnose",
    "diagnose_files",
    "real_rows",
    "stage_rows",
]

ALIKE = 1e-3  # of the output's range: what folding and another order of sums may change
BIT = 20 * log10(2)  # dB
RANGE_LOSS, WEIGHT_LOSS = BIT, 1.5 * BIT  # against the best range; rounding that looks at the output gives up to a bit away
WORST, SAMPLES = 3, 50_000
FEW = 32  # samples that a quantization's report looks at


@dataclass(frozen=True)
class Stage:
    """One network of the flow against the float one: signal over noise of the output, and the share of equal answers and right ones."""

    name: str
    sqnr_db: float
    agreement: float
    accuracy: float | None


@dataclass(frozen=True)
class LayerCheck:
    """One layer alone, on float inputs: SQNR of its output in dB with only its weights, only its input, and both quantized.

    `clipped` is the share of its inputs out of range.  `differing` and `largest_lsb` compare the chip's integers with the same layer
    computed in real numbers (None where it gives real numbers); `overflowed` counts accumulations out of range.
    """

    name: str
    weights_db: float
    input_db: float
    both_db: float
    clipped: float
    differing: float | None
    largest_lsb: float | None
    overflowed: int


@dataclass(frozen=True)
class Diagnosis:
    """The stages of the flow, all layers, the faults found, and what to do next, in words."""

    stages: tuple[Stage, ...]
    layers: tuple[LayerCheck, ...]
    faults: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def findings(self) -> tuple[str, ...]:
        """All that there is to say."""
        return (*self.faults, *self.advice)


def diagnose(arch: Arch, real: SourceGraph, network: SourceGraph, x: Array, y: Array | None = None) -> Diagnosis:
    """Walk the flow on samples x (and labels y).

    `real` is the float network that was rounded, with batch normalization folded where it is in the quantized one.  Raises HwsimError
    when the two do not belong together.
    """
    q = Quantized(network, real)
    floats = _run(real, x, "literal")
    reference = floats[real.outputs[0]]
    variants = {
        "quantizers off": bypass(q, weights=True, activations=True),
        "weights only": bypass(q, weights=False, activations=True),
        "activations only": bypass(q, weights=True, activations=False),
        "fake quantized": network,
    }
    fakes = {name: _run(v, x, "literal") for name, v in variants.items()}
    outputs = {name: fakes[name][v.outputs[0]] for name, v in variants.items()}
    program = lower(read(network, {network.inputs[0]: x.shape}), arch)
    chip = execute(program, {network.inputs[0]: x})
    outputs[f"integers of {arch.name}"] = chip.tensors[network.outputs[0]]
    stages = tuple(_stage(name, reference, found, y) for name, found in outputs.items())
    differences = {
        layer.steps[0].name: found[layer.output.name]
        for found in [isolated(program, fakes["fake quantized"], program.tensors)]
        for layer in program.layers
        if layer.output.name in found
    }
    graph = read(real, {real.inputs[0]: x.shape})
    layers, findings = [], _sanity(stages, outputs["quantizers off"], reference)
    for node in (n for n in graph.nodes if n.name in q.layers):
        check, said = _layer(q, graph, node, floats, differences.get(node.name), chip.overflowed.get(node.name, 0))
        layers.append(check)
        findings += said
    return Diagnosis(stages, tuple(layers), tuple(findings), tuple(_advice(stages, layers)))


def diagnose_files(arch: Arch, model: Path, quantized: Path, data: Path, samples: int) -> Diagnosis:
    """The flow on files: a float network, what was made of it, and data with or without labels."""
    labels = has_labels(data)
    held, network = load_dataset(data, samples, labels), read_model(quantized)
    real = free_batch(read_model(model))
    if not any(n.kind == "BatchNormalization" for n in network.nodes):
        real = fold_batch_norm(real)
    return diagnose(arch, real, free_batch(network), held.x.astype(np.float32), held.y if labels else None)


def _run(source: SourceGraph, x: Array, qdq: str) -> Mapping[str, Array]:
    feeds = {source.inputs[0]: x}
    return {**execute(as_written(read(source, {source.inputs[0]: x.shape}, qdq=qdq)), feeds, all_tensors=True).tensors, **feeds}


def _stage(name: str, reference: Array, found: Array, y: Array | None) -> Stage:
    answers = [a.argmax(1) if a.ndim == 4 else a.reshape(len(a), -1).argmax(1) for a in (reference, found)]
    right = None if y is None or y.shape != answers[1].shape else float((answers[1] == y).mean())
    return Stage(name, sqnr_db(reference, found), float((answers[0] == answers[1]).mean()), right)


def _sanity(stages: tuple[Stage, ...], plain: Array, reference: Array) -> list[str]:
    largest = float(np.abs(plain - reference).max()) / max(float(np.ptp(reference)), 1e-30)
    if largest <= ALIKE:
        return []
    return [f"with all quantizers off the output differs by {100 * largest:.2g} % of its range: another network, or batch norm not folded"]


def _layer(
    q: Quantized, graph: Graph, node: Node, floats: Mapping[str, Array], difference: Difference | None, overflowed: int
) -> tuple[LayerCheck, list[str]]:
    inputs = [constant_or(graph, t, floats) for t in node.inputs]
    x, w = inputs[0], inputs[1]
    assert x is not None and w is not None
    source = q.layers[node.name]
    held, activation = q.weights(node.name), q.activation(node.name)
    stored = q.network.tensors[q.makers[source.inputs[1]].inputs[0]].constant
    assert stored is not None
    wq = held.dequantize(stored.array)
    xq = x if activation is None else through(activation, x)
    real = compute(node, inputs)
    assert isinstance(real, np.ndarray)
    axis = output_axis(node, graph.tensors[node.inputs[1]])
    decibels = []
    for changed in ((x, wq), (xq, w), (xq, wq), (x, _best_weights(w, held, axis))):
        found = compute(node, [*changed, *inputs[2:]])
        assert isinstance(found, np.ndarray)
        decibels.append(sqnr_db(real, found))
    clipped = 0.0 if activation is None else _clipped(activation, x)
    lsb = None if difference is None else difference.largest_lsb
    differing = None if difference is None or lsb is None else difference.differing
    check = LayerCheck(node.name, decibels[0], decibels[1], decibels[2], clipped, differing, lsb, overflowed)
    faults = _weight_faults(check, held, axis, decibels[3]), _input_faults(node, activation, x, xq), _integer_faults(check)
    return check, [f for found in faults for f in found]


def _clipped(quant: QuantParams, x: Array) -> float:
    low, high = (float((end - quant.zero_point) * quant.scale) for end in (quant.qmin, quant.qmax))
    half = float(quant.scale) / 2
    return float(((x < low - half) | (x > high + half)).mean())


def _best_weights(w: Array, held: QuantParams, axis: int) -> Array:
    """Weights rounded to nearest on the scales of least squared error, as many of them as the layer has."""
    if held.axis is None:
        return _through_best(w, held)
    rows, scheme = np.moveaxis(w, axis, 0), _scheme(held)
    flat = rows.reshape(len(rows), -1)
    return np.moveaxis(fake(flat, load("quantizers", "mse").fit(flat, scheme), scheme).reshape(rows.shape), 0, axis)


def _weight_faults(check: LayerCheck, held: QuantParams, axis: int, best_db: float) -> list[str]:
    """Weights that cost the output more than a good range of their width would, and why."""
    if held.axis is not None and held.axis != axis:
        return [f"{check.name}: weights have one scale for each entry of axis {held.axis}; outputs run along axis {axis}"]
    lost = best_db - check.weights_db
    return [f"{check.name}: weights lose {lost:.0f} dB against the best scale of {held.bits} bits"] if lost > WEIGHT_LOSS else []


def _input_faults(node: Node, activation: QuantParams | None, x: Array, xq: Array) -> list[str]:
    if activation is None:
        return []
    lost = sqnr_db(x, _through_best(x, activation)) - sqnr_db(x, xq)
    share = 100 * _clipped(activation, x)
    why = f"{share:.2g} % clipped" if share > 1 else "too wide"
    return [f"{node.name}: the range of '{node.inputs[0]}' loses {lost:.0f} dB against the best ({why})"] if lost > RANGE_LOSS else []


def _integer_faults(check: LayerCheck) -> list[str]:
    if check.overflowed:
        return [f"{check.name}: {check.overflowed} accumulations overflow on the chip"]
    if (check.largest_lsb or 0) > 1:
        return [f"{check.name}: the chip's integers differ by up to {check.largest_lsb:g} steps from the same layer in real numbers"]
    return []


def _scheme(quant: QuantParams) -> Scheme:
    return Scheme(int(quant.qmin), int(quant.qmax), quant.is_symmetric)


def _through_best(x: Array, quant: QuantParams) -> Array:
    """Values through the grid with the least squared error."""
    rows, scheme = x.reshape(1, -1), _scheme(quant)
    step = max(1, rows.shape[1] // SAMPLES)
    return fake(rows, load("quantizers", "mse").fit(rows[:, ::step], scheme), scheme).reshape(x.shape)


def _advice(stages: tuple[Stage, ...], layers: list[LayerCheck]) -> list[str]:
    """What the flow says to do next."""
    weights, activations, both = (s.sqnr_db for s in stages[1:4])
    worst = sorted(layers, key=lambda c: c.both_db)[:WORST]
    names = ", ".join(f"{c.name} ({c.both_db:.0f} dB)" for c in worst)
    if weights < activations:
        mend = "weights cost more: adaround or coordinate_descent, bias, cle where there is one scale, a scale per channel, more bits"
    else:
        mend = "activations cost more: mse ranges, cle or smooth, more bits"
    found = [f"{mend} (SQNR {weights:.1f} dB with weights alone, {activations:.1f} dB with activations alone)", f"worst layers: {names}"]
    if stages[4].agreement < stages[3].agreement - 0.02 or stages[4].sqnr_db < both - BIT:
        found.append("the chip's arithmetic costs more than quantization: see the columns of its integers, and its rounding of ties")
    return found


STAGE_COLUMNS = ("network", "sqnr_db", "same_answer_%", "accuracy")
REAL_COLUMNS = ("integers_differ_%", "largest_lsb")
CHECK_COLUMNS = ("layer", "weights_only_db", "input_only_db", "both_db", "clipped_%", *REAL_COLUMNS, "overflowed")


def stage_rows(found: Diagnosis) -> list[list[str]]:
    """The stages as text."""
    shares = [(s, "" if s.accuracy is None else f"{s.accuracy:.4f}") for s in found.stages]
    return [[s.name, f"{s.sqnr_db:.1f}", f"{100 * s.agreement:.2f}", accuracy] for s, accuracy in shares]


def check_rows(found: Diagnosis) -> list[list[str]]:
    """The layers as text."""
    rows = []
    for c in found.layers:
        decibels = [f"{v:.1f}" for v in (c.weights_db, c.input_db, c.both_db)]
        rows.append([c.name, *decibels, f"{100 * c.clipped:.3f}", *_real(c), str(c.overflowed)])
    return rows


def real_rows(found: Diagnosis, layers: Sequence[str]) -> list[list[str]]:
    """The integers of some layers beside the same layers in real numbers, as text (Q07)."""
    checks = {c.name: c for c in found.layers}
    return [_real(checks[n]) if n in checks else ["", ""] for n in layers]


def _real(c: LayerCheck) -> list[str]:
    return ["" if c.differing is None else f"{100 * c.differing:.3f}", "" if c.largest_lsb is None else f"{c.largest_lsb:g}"]
