"""Quantizing for a chip: identities of the stages, optimality of the rounding methods, and the whole pipeline on a trained network."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.pipeline.channels import channel_readers, input_channels, output_channels
from hwsim.pipeline.constants import Layers
from hwsim.pipeline.dead_channels import remove_dead_channels
from hwsim.pipeline.equalize import equalize
from hwsim.pipeline.recipe import Recipe
from hwsim.pipeline.smooth import smooth
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.quantizers import adaround
from hwsim.quantizers._rounding import RoundingProblem, nearest
from hwsim.quantizing import quantize_for
from hwsim.shelf import load, names
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from hwsim.topologies._net import Net
from tests.test_check import normal

# Stages --------------------------------------------------------------------------------------------------------------------------------


def outputs(source: SourceGraph, x: Array) -> Array:
    graph = read(source, {source.inputs[0]: x.shape})
    return execute(as_written(graph), {source.inputs[0]: x}).tensors[graph.outputs[0]]


@pytest.fixture
def chain() -> SourceGraph:
    """Dense, depthwise, dense, average, linear, with ReLUs between: everything that equalization passes through."""
    net = Net("chain", seed=5)
    x = net.conv_bn(net.input("input", (1, 3, 8, 8)), 8, 3)
    x = net.conv_bn(net.conv_bn(x, 8, 3, groups=8), 12, 1)
    return fold_batch_norm(net.finish(net.classify(net.max_pool(x, 2, 2), 5)))


def test_equalization_changes_no_output_and_evens_the_ranges(chain: SourceGraph) -> None:
    """Q19: the output is the same, and r1 = r2 for every pair."""
    x = normal(2, 3, 8, 8)
    done = equalize(chain)
    np.testing.assert_allclose(outputs(done, x), outputs(chain, x), rtol=1e-4, atol=1e-5)
    graph = read(done)
    layers = Layers(done, graph)
    pairs = [(n, channel_readers(graph, n, layers.weights)) for n in graph.nodes if n.name in layers.weights]
    assert sum(bool(r) for _, r in pairs) == 3
    for node, readers in pairs:
        for reader in readers or ():
            r1 = np.abs(output_channels(node, layers.weights[node.name])).max(1)
            np.testing.assert_allclose(r1, np.abs(input_channels(reader, layers.weights[reader.name])).max(1), rtol=2e-3)


def test_equalization_stops_at_sums(residual: SourceGraph) -> None:
    folded = fold_batch_norm(residual)
    np.testing.assert_allclose(outputs(equalize(folded), normal(1, 3, 8, 8)), outputs(folded, normal(1, 3, 8, 8)), rtol=1e-4, atol=1e-5)


def test_dead_channels_are_found_and_change_nothing(chain: SourceGraph) -> None:
    """Channel 2 of the first layer is silent (bias below 0), channel 5 of the depthwise layer is read by nobody."""
    layers = Layers(chain, read(chain))
    first, depthwise, pointwise = list(layers.weights)[:3]
    layers.weights[first][2] *= 1e-30
    layers.biases[first][2] = -0.5
    layers.weights[depthwise][2] *= 1e3
    layers.biases[depthwise][2] = 1.0  # says always the same, and is read
    layers.weights[pointwise][:, 5] = 0
    noisy = layers.written()
    clean, counts = remove_dead_channels(noisy)
    assert (counts[first], counts[depthwise]) == (2, 1)  # the first layer's channel 5 feeds only the depthwise layer's channel 5
    np.testing.assert_array_equal(outputs(clean, normal(2, 3, 8, 8)), outputs(noisy, normal(2, 3, 8, 8)))
    w = Layers(clean, read(clean)).weights
    assert not w[first][2].any() and not w[depthwise][2].any() and not w[depthwise][5].any()


# Rounding ------------------------------------------------------------------------------------------------------------------------------


def problem(outputs: int, k: int, bits: int = 4, groups: int = 1, seed: int = 0) -> RoundingProblem:
    """Random weights on correlated inputs, quantized inputs beside float ones."""
    rng = np.random.default_rng(seed)
    w, mix = rng.standard_normal((groups, outputs, k)), rng.standard_normal((groups, k, k))
    xf = rng.standard_normal((groups, 400, k)) @ mix
    xq = xf + 0.05 * rng.standard_normal(xf.shape)
    gram, cross = (np.stack([a.T @ b / 400 for a, b in zip(xq, other, strict=True)]) for other in (xq, xf))
    high = 2 ** (bits - 1) - 1
    scale = np.abs(w).max(-1, keepdims=True) / high
    bound = np.ones_like(scale)
    return RoundingProblem(w, scale, -(high + 1) * bound, high * bound, gram, cross, free_scale=True)


ROUNDING = [n for n in names("quantizers") if hasattr(load("quantizers", n), "USES_DATA")]


@pytest.mark.parametrize("method", ROUNDING)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_is_never_worse_than_nearest(method: str, bits: int) -> None:
    p = problem(6, 20, bits, groups=2)
    done = load("quantizers", method).round_weights(p)
    assert (done.u == np.rint(done.u)).all() and (done.u >= p.low).all() and (done.u <= p.high).all()
    assert (p.errors(done.u, done.scale) <= p.errors(nearest(p)) + 1e-9).all()


@pytest.mark.parametrize(("k", "share"), [(4, 0.0), (9, 0.0), (12, 0.0), (14, 0.25)])
def test_adaround_finds_the_best_of_all(k: int, share: float) -> None:
    """Q25: among all 2^k choices of up and down.  Up to 12 weights exactly; beyond, at most a quarter of what nearest loses remains."""
    remains = []
    for seed in range(3):
        p = problem(2, k, seed=seed)
        floor = np.floor(p.weights / p.scale)[..., None, :] + np.array(list(product((0, 1), repeat=k)), float)
        w = np.clip(floor, p.low[..., None, :], p.high[..., None, :]) * p.scale[..., None, :]
        errors = (np.einsum("gnck,gkj->gncj", w, p.gram) * w).sum(-1) - 2 * np.einsum("gnck,gnk->gnc", w, p.target)
        best, found, plain = errors.min(-1), p.errors(adaround.round_weights(p).u), p.errors(nearest(p))
        remains.append((found - best).sum() / max((plain - best).sum(), 1e-12))
    assert np.mean(remains) <= share + 1e-9


@pytest.mark.parametrize("beta", [20.0, 8.0, 2.0])
def test_adarounds_gradient_is_the_slope_of_its_objective(beta: float) -> None:
    p = problem(2, 6, seed=3)
    v = np.random.default_rng(1).uniform(-1.5, 1.5, p.weights.shape)
    _, gradient = adaround.objective(p, v, beta, 0.01)
    for index in np.ndindex(v.shape):
        step = np.zeros_like(v)
        step[index] = 1e-4
        slope = (adaround.objective(p, v + step, beta, 0.01)[0] - adaround.objective(p, v - step, beta, 0.01)[0]) / 2e-4
        assert slope == pytest.approx(gradient[index], rel=2e-2, abs=2e-4)


# The whole -----------------------------------------------------------------------------------------------------------------------------


def test_recipes_print_as_they_are_parsed() -> None:
    for text in ("dead+cle+mse+adaround+bias", "minmax+nearest", "mse+act:minmax+coordinate_descent+bias"):
        assert str(Recipe.parse(text)) == text
    with pytest.raises(HwsimError, match="did you mean 'adaround'"):
        Recipe.parse("mse+adarond")


def test_precisions_print_as_they_are_parsed() -> None:
    for text in ("w4a8", "w4a8 except fc: w8a8, a/b: w2a4"):
        precision = Precision.parse(text)
        assert str(precision) == text
        assert Precision.from_json(precision.to_json()) == precision
    assert Precision.parse("w4a8 except fc: w8a6").of("fc") == (8, 6)


@pytest.mark.parametrize("chip", ["snpe_dsp", "tensorrt_t4", "acl_ascend310", "tvm_arm_a72", "fbgemm_x86"])
def test_the_full_pipeline_beats_minmax_on_digits(chip: str, digits: SourceGraph, digits_images: Array) -> None:
    """At w4a4 the full pipeline's outputs are nearer to the float network's than min-max's, on images that it did not see."""
    seen, unseen = digits_images[:48], digits_images[48:]
    real, error = outputs(digits, unseen), {}
    for method in ("minmax", "full"):
        done = quantize_for(load_arch(chip), digits, seen, "w4a4", method)
        error[method] = float(np.square(outputs(done.network, unseen) - real).mean())
    assert error["full"] < 0.7 * error["minmax"]


def test_smoothing_changes_no_output(chain: SourceGraph) -> None:
    """M11: the factors taken out of a channel come back in its readers."""
    x = normal(2, 3, 8, 8)
    np.testing.assert_allclose(outputs(smooth(chain, {"input": x}), x), outputs(chain, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in names("quantizers") if hasattr(load("quantizers", n), "approximate")])
def test_weights_on_other_levels_are_carried_by_integers(name: str, digits: SourceGraph, digits_images: Array) -> None:
    """On a chip with 8-bit symmetric weights: multiples of a unit as they are, other levels rounded again; what it lacks is told."""
    done = quantize_for(load_arch("tensorrt_t4"), digits, digits_images[:8], "w4a8", f"minmax+{name}+bias")
    held = [t for k, t in done.network.tensors.items() if k.endswith(".stored") and ".w" in k]
    assert held and all(t.format in ("int2", "int4", "int8") for t in held)
    assert np.isfinite(outputs(done.network, digits_images[:2])).all()
    assert done.needs.startswith(f"{name} needs ")


def test_levels_that_the_chip_cannot_carry_are_refused(digits: SourceGraph, digits_images: Array) -> None:
    """INQ's 5 bits span 2^7: nine bits of integers; and ternary scales are no powers of two."""
    with pytest.raises(HwsimError, match="shifts instead of multipliers, or 16-bit weights, not 8 bits"):
        quantize_for(load_arch("tensorrt_t4"), digits, digits_images[:8], "w5a8", "minmax+inq")
    with pytest.raises(HwsimError, match="scales must be powers of two on this chip, and those of twn are not"):
        quantize_for(load_arch("tvm_arm_a72"), digits, digits_images[:8], "w4a8", "minmax+twn")
