"""A float network quantized by a chip's rules, weights and activations each by one quantizer of the shelf and rounded to nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hwsim.arch import Grid, Rules, WeightGrid
from hwsim.arithmetics._rounding import exact_power_of_two
from hwsim.encodings import Encoding
from hwsim.errors import HwsimError
from hwsim.graph import Graph, Node, SourceGraph
from hwsim.precision import Precision
from hwsim.quant import Array, Format, QuantParams
from hwsim.quantizers._affine import Scheme, stored
from hwsim.shelf import load
from hwsim.steps.absorb import output_axis
from hwsim.steps.execute import executor
from hwsim.steps.lower import as_written
from hwsim.steps.plan_quantizers import Plan, lowest, plan_quantizers
from hwsim.steps.read import read
from hwsim.steps.write_qdq import Choices, StoredWeights, write_qdq

__all__ = [
    "Ranges",
    "activation_quant",
    "activation_scheme",
    "given_grid",
    "layer_axis",
    "nearest_weights",
    "quantize",
    "ranges_of",
    "standard_rules",
    "weight_scheme",
]

Ranges = Mapping[str, tuple[float, float]]


def ranges_of(graph: Graph, batches: Iterable[Mapping[str, Array]]) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every real tensor over calibration batches (each a full set of inputs)."""
    run = executor(as_written(graph), all_tensors=True)
    found: dict[str, tuple[float, float]] = {}
    for feeds in batches:
        for name, array in run(feeds).tensors.items():
            if array.dtype.kind == "f" and array.size:
                low, high = found.get(name, (np.inf, -np.inf))
                found[name] = (min(low, float(array.min())), max(high, float(array.max())))
    return found


def standard_rules() -> Rules:
    """What most integer runtimes take: int8 symmetric weights per channel, uint8 asymmetric activations, the whole graph, one width."""
    return Rules(
        weights=WeightGrid(formats=["int8"], granularity="per_channel", symmetric=True),
        activations=Grid(formats=["uint8"]),
        graph=3,
        first_last_bits=2,
        source="ONNX Runtime quantize_static defaults for u8s8",
    )


def quantize(
    source: SourceGraph, rules: Rules, precision: str | Precision, ranges: Ranges, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> SourceGraph:
    """A QDQ network by min-max: `source` (float, batch normalization already folded) with quantizers by the rules.

    `ranges` are of the activations.  Raises HwsimError when a range is missing.
    """
    widths = Precision.parse(precision) if isinstance(precision, str) else precision
    plan = plan_quantizers(read(source, shapes), rules, widths)
    activations = {}
    for t in {t for t, _ in plan.edges}:
        ends = [ranges[s] for s in plan.shared(t) if s in ranges]
        if not ends:
            raise HwsimError(f"tensor '{t}'", "must have a range from calibration")
        activations[t] = activation_quant(plan, t, np.asarray(ends).reshape(1, -1), "minmax")
    weights = {name: nearest_weights(plan, node) for name, node in plan.layers.items()}
    return write_qdq(source, plan, Choices(activations, weights))


def activation_scheme(plan: Plan, name: str, nonnegative: bool) -> Scheme:
    """The grid of a tensor; a symmetric unsigned one starts at 0 where nothing is negative (MQBench's ada_sign)."""
    grid, fmt = plan.rules.activations, plan.activation_format(name)
    unsigned_zero = grid.symmetric and not fmt.is_signed and nonnegative
    return Scheme(lowest(grid, fmt), int(fmt.high), grid.symmetric and not unsigned_zero, grid.power_of_two)


def activation_quant(plan: Plan, name: str, values: Array, quantizer: str) -> QuantParams:
    """A tensor's quantizer fitted to values (1, n), or (batches, n) for quantizers that watch batches."""
    given, fmt = plan.given_activation(name), plan.activation_format(name)
    scheme = activation_scheme(plan, name, bool(values.min() >= 0))
    scale, zero = load("quantizers", quantizer).fit(values, scheme) if given is None else given_grid(given, fmt, scheme, name, 1)
    return QuantParams(fmt, scale.reshape(()), zero.reshape(()), None, 0, scheme.qmin, scheme.qmax)


def weight_scheme(plan: Plan, layer: str) -> tuple[Format, Scheme]:
    """The number format and grid of a layer's weights."""
    grid = plan.rules.weights
    fmt = plan.format(grid, plan.weight_bits(layer))
    return fmt, Scheme(lowest(grid, fmt), int(fmt.high), grid.symmetric, grid.power_of_two)


def given_grid(given: Encoding, fmt: Format, scheme: Scheme, name: str, rows: int) -> tuple[Array, Array]:
    """Scale and zero point from outside for so many rows.  Raises HwsimError where the chip's grid does not allow them."""
    scale, zero = given.on(fmt, name)
    where = f"encoding of '{name}'"
    if len(scale) not in (1, rows):
        raise HwsimError(where, f"must have {rows} scale{'s' if rows > 1 else ''} by the chip's rules", len(scale))
    if (zero < scheme.qmin).any() or (zero > scheme.qmax).any() or (scheme.symmetric and (zero != scheme.middle).any()):
        raise HwsimError(
            where, f"must have offsets of a{' symmetric' if scheme.symmetric else ''} grid {scheme.qmin} ... {scheme.qmax}", zero
        )
    if scheme.power_of_two and not exact_power_of_two(scale):
        raise HwsimError(where, "must have power-of-two scales by the chip's rules", scale)
    return np.broadcast_to(scale, rows).copy(), np.broadcast_to(zero, rows).copy()


def layer_axis(plan: Plan, node: Node) -> int | None:
    """The axis of a layer's weights along which scales differ; None for one scale."""
    per_channel = plan.rules.weights.granularity == "per_channel" and not (node.op == "conv_transpose" and node.attrs["group"] > 1)
    return output_axis(node, plan.graph.tensors[node.inputs[1]]) if per_channel else None


def nearest_weights(plan: Plan, node: Node) -> StoredWeights:
    """A layer's weights by min-max, rounded to nearest."""
    constant, axis = plan.graph.tensors[node.inputs[1]].constant, layer_axis(plan, node)
    assert constant is not None
    fmt, scheme = weight_scheme(plan, node.name)
    rows = constant.array.reshape(1, -1) if axis is None else np.moveaxis(constant.array, axis, 0)
    given = plan.given_weights(node.name)
    flat = rows.reshape(len(rows), -1)
    scale, zero = load("quantizers", "minmax").fit(flat, scheme) if given is None else given_grid(given, fmt, scheme, node.name, len(rows))
    held = stored(rows, (scale, zero), scheme)
    shape = () if axis is None else scale.shape
    quant = QuantParams(fmt, scale.reshape(shape), zero.reshape(shape), axis, 0, scheme.qmin, scheme.qmax)
    return StoredWeights(held.reshape(constant.array.shape) if axis is None else np.moveaxis(held, 0, axis), quant)
