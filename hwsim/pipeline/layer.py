"""One layer quantized on its inputs: range of the weights, rounding, batch-norm re-estimation, bias correction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwsim.graph import Node
from hwsim.pipeline.levels import on_levels
from hwsim.pipeline.linear import batches, bias_of, output, rows, weight_rows, weights_from_rows
from hwsim.pipeline.recipe import Recipe
from hwsim.quant import Array, QuantParams
from hwsim.quantizers._rounding import RoundingProblem
from hwsim.shelf import load
from hwsim.steps.plan_quantizers import Plan
from hwsim.steps.quantize import given_grid, layer_axis, weight_scheme
from hwsim.steps.write_qdq import StoredWeights

__all__ = ["Layer", "Quantized", "quantize_layer"]

POSITIONS = 60_000
DAMPING = 1e-3
KEPT_BYTES = 1 << 29


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with its float input, its input in the quantized network, float weights and bias."""

    node: Node
    real: Array
    quantized: Array
    weights: Array
    bias: Array | None

    @cached_property
    def rows(self) -> Array:
        """The weights as (groups, outputs of a group, K), float64."""
        return weight_rows(self.node, self.weights).astype(np.float64)

    @cached_property
    def products(self) -> Array:
        """The float layer's output without bias."""
        return _apply(self, self.real, self.rows, lambda part: rows(self.node, self.real[part]))

    def unfolded(self, part: slice) -> Array:
        """The unfolded input of some samples in the quantized network; kept, where it is not too large, for the next weights."""
        found = self._unfolded.get(part.start)
        if found is None:
            found = rows(self.node, self.quantized[part])
            if found.nbytes + sum(a.nbytes for a in self._unfolded.values()) <= KEPT_BYTES:
                self._unfolded[part.start] = found
        return found

    @cached_property
    def _unfolded(self) -> dict[int, Array]:
        return {}

    def gram(self, seed: int) -> tuple[Array, Array]:
        """cov(xq, xq) and cov(xq, xf) of the unfolded inputs, (groups, K, K), at random positions; summed up once."""
        if seed not in self._grams:
            self._grams[seed], self.__dict__["products"] = _gram(self, self.rows, seed)
        return self._grams[seed]

    @cached_property
    def _grams(self) -> dict[int, tuple[Array, Array]]:
        return {}


@dataclass(frozen=True, eq=False)
class Quantized:
    """What is stored of a layer, its new bias (None: as it was), and its output in float and in the quantized network."""

    weights: StoredWeights
    bias: Array | None
    real: Array
    quantized: Array
    weight_sqnr_db: float


def quantize_layer(plan: Plan, layer: Layer, recipe: Recipe, fixed: StoredWeights | None = None) -> Quantized:
    """Choose the stored weights and the bias of a layer; `fixed` weights stay as they are."""
    node, w = layer.node, layer.rows
    learns = hasattr(load("quantizers", recipe.rounding), "USES_DATA") and fixed is None
    gram, real = layer.gram(recipe.seed) if learns else None, layer.products
    u, scale, quant = _rounded(plan, node, w, gram, recipe) if fixed is None else _as_rows(node, w, fixed)
    found = _apply(layer, layer.quantized, u * scale, layer.unfolded)
    if recipe.reestimate:
        gain = _regain(real, found, node)
        scale, found = scale * gain.reshape(*w.shape[:2], 1), found * bias_of(node, gain)
        quant = _rescaled(quant, scale)
    weights = StoredWeights(weights_from_rows(node, u + _zero_rows(quant, u), layer.weights.shape), quant)
    bias = _corrected(layer, real, found) if recipe.correct_bias else layer.bias
    old = 0 if layer.bias is None else bias_of(node, layer.bias)
    new = 0 if bias is None else bias_of(node, bias)
    changed = bias if recipe.correct_bias else None
    return Quantized(weights, changed, (real + old).astype(np.float32), (found + new).astype(np.float32), _sqnr(w, u * scale))


def _rounded(plan: Plan, node: Node, w: Array, gram: tuple[Array, Array] | None, recipe: Recipe) -> tuple[Array, Array, QuantParams]:
    """Stored numbers counted from the zero point and their scale, by rows, and the quantization parameters."""
    fmt, scheme = weight_scheme(plan, node.name)
    axis = layer_axis(plan, node)
    flat = w.reshape(1 if axis is None else -1, w.shape[-1] if axis is not None else w.size)
    if hasattr(load("quantizers", recipe.weights), "approximate"):
        return on_levels(plan, node, w, flat, recipe)
    given = plan.given_weights(node.name)
    fit = load("quantizers", recipe.weights).fit
    scale, zero = fit(flat, scheme) if given is None else given_grid(given, fmt, scheme, node.name, len(flat))
    spread = (1, 1, 1) if axis is None else (*w.shape[:2], 1)
    scale_rows, zero_rows = scale.astype(np.float64).reshape(spread), zero.reshape(spread)
    identity = np.broadcast_to(np.eye(w.shape[-1]), (len(w), w.shape[-1], w.shape[-1]))
    free = axis is not None and not scheme.power_of_two
    first, second = gram or (identity, identity)
    problem = RoundingProblem(w, scale_rows, scheme.qmin - zero_rows, scheme.qmax - zero_rows, first, second, free)
    if scheme.power_of_two and gram is not None:
        problem = _best_exponent(problem)
    done = load("quantizers", recipe.rounding).round_weights(problem)
    shape = () if axis is None else (-1,)
    held = np.broadcast_to(done.scale, spread).astype(np.float32).reshape(shape)
    quant = QuantParams(fmt, held, zero.reshape(shape), axis, 0, scheme.qmin, scheme.qmax)
    return done.u, held.reshape(spread).astype(np.float64), quant


def _as_rows(node: Node, w: Array, held: StoredWeights) -> tuple[Array, Array, QuantParams]:
    """Stored weights as `_rounded` gives them."""
    spread = (1, 1, 1) if held.quant.axis is None else (*w.shape[:2], 1)
    u = weight_rows(node, held.stored.astype(np.float64)) - held.quant.zero_point.reshape(spread)
    return u, held.quant.scale.astype(np.float64).reshape(spread), held.quant


def _best_exponent(problem: RoundingProblem) -> RoundingProblem:
    """Half, the same or twice the power-of-two scale, by the output's error after coordinate descent; one choice for each scale."""
    axes = tuple(i for i in range(2) if problem.scale.shape[i] == 1)
    choices = [problem.with_scale(problem.scale * 2.0**step) for step in (0, -1, 1)]
    solve = load("quantizers", "coordinate_descent").round_weights
    errors = np.stack([p.errors(solve(p).u).sum(axes, keepdims=True)[..., None] for p in choices])
    return problem.with_scale(np.choose(errors.argmin(0), [p.scale for p in choices]))


def _zero_rows(quant: QuantParams, u: Array) -> Array:
    return quant.zero_point.reshape((1, 1, 1) if quant.axis is None else (*u.shape[:2], 1))


def _rescaled(quant: QuantParams, scale: Array) -> QuantParams:
    return QuantParams(quant.format, scale.astype(np.float32).reshape(-1), quant.zero_point, quant.axis, 0, quant.qmin, quant.qmax)


def _apply(layer: Layer, x: Array, w: Array, unfolded: Callable[[slice], Array]) -> Array:
    """The layer's products without bias, float32."""
    weights = np.ascontiguousarray(w.transpose(0, 2, 1), np.float32)
    parts = [output(layer.node, unfolded(part) @ weights, x[part]) for part in batches(layer.node, x, w.shape[-1])]
    return np.concatenate(parts)


def _gram(layer: Layer, w: Array, seed: int) -> tuple[tuple[Array, Array], Array]:
    """cov(xq, xq) and cov(xq, xf) of the unfolded inputs at random positions, and the float layer's products."""
    node, rng = layer.node, np.random.default_rng(seed)
    groups, k = len(w), w.shape[-1]
    weights = np.ascontiguousarray(w.transpose(0, 2, 1), np.float32)
    sums = np.zeros((2, groups, k, k)), np.zeros((2, groups, k))
    count, outputs, share = 0, [], None
    for part in batches(node, layer.real, k):
        xf, xq = rows(node, layer.real[part]), layer.unfolded(part)
        outputs.append(output(node, xf @ weights, layer.real[part]))
        share = share or min(1.0, POSITIONS * (part.stop - part.start) / (xf.shape[1] * len(layer.real)))
        if share < 1:
            picked = np.sort(rng.choice(xf.shape[1], max(1, round(share * xf.shape[1])), replace=False))
            xf, xq = xf[:, picked], xq[:, picked]
        left = np.ascontiguousarray(xq.transpose(0, 2, 1))
        sums[0][0] += left @ xq
        sums[0][1] += left @ xf
        sums[1][0] += xq.sum(1, dtype=np.float64)
        sums[1][1] += xf.sum(1, dtype=np.float64)
        count += xf.shape[1]
    means = sums[1] / count
    gram = sums[0] / count - means[0, None, :, :, None] * means[:, :, None, :]
    diagonal = np.diagonal(gram[0], axis1=1, axis2=2).mean(1) * DAMPING
    damping = np.maximum(diagonal, 1e-12)[:, None, None] * np.eye(k)
    return (gram[0] + damping, gram[1] + damping), np.concatenate(outputs)


def _regain(real: Array, found: Array, node: Node) -> Array:
    """Standard deviation of each output channel in float over that in the quantized network."""
    channel = real.ndim - 1 if node.op == "matmul" else 1
    axes = tuple(i for i in range(real.ndim) if i != channel)
    a, b = real.std(axes, dtype=np.float64), found.std(axes, dtype=np.float64)
    return np.where((a > 0) & (b > 0), a / np.where(b > 0, b, 1), 1.0)


def _corrected(layer: Layer, real: Array, found: Array) -> Array:
    """The bias plus the mean difference of each output channel (Nagel et al. 2019, section 4.2, empirical)."""
    channel = real.ndim - 1 if layer.node.op == "matmul" else 1
    axes = tuple(i for i in range(real.ndim) if i != channel)
    difference = (real - found).mean(axes, dtype=np.float64)
    return difference if layer.bias is None else difference + layer.bias


def _sqnr(w: Array, rounded: Array) -> float:
    noise = float(np.square(w - rounded).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10(max(float(np.square(w).sum()), 1e-300) / noise))
