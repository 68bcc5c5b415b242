"""Quantizing for a chip: identities of the stages, optimality of the rounding methods, and the whole pipeline on a trained network."""

from __future__ import annotations

from itertools import product
from math import erf

import numpy as np
import pytest

from hwsim.decide.emulation import emulation_note
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.pipeline.absorb_bias import absorb_biases
from hwsim.pipeline.blocks import blocks_of
from hwsim.pipeline.channels import channel_readers, input_channels, output_channels
from hwsim.pipeline.constants import Layers
from hwsim.pipeline.dead_channels import remove_dead_channels
from hwsim.pipeline.equalize import equalize
from hwsim.pipeline.free_batch import free_batch
from hwsim.pipeline.recipe import Recipe
from hwsim.pipeline.smooth import smooth
from hwsim.pipeline.split_channels import split_channels
from hwsim.pipeline.statistics import batch_norm_statistics, measured_statistics, noise
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.quantizers import adaround
from hwsim.quantizers._rounding import RoundingProblem, nearest
from hwsim.quantizing import quantize_for
from hwsim.shelf import load, names
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import as_written, lower
from hwsim.steps.plan_quantizers import plan_quantizers
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
    layers = Layers.of(chain)
    equalize(layers)
    done = layers.written()
    np.testing.assert_allclose(outputs(done, x), outputs(chain, x), rtol=1e-4, atol=1e-5)
    pairs = [(n, channel_readers(layers.graph, n, layers.weights)) for n in layers.nodes]
    assert sum(bool(r) for _, r in pairs) == 3
    for node, readers in pairs:
        for reader in readers or ():
            r1 = np.abs(output_channels(node, layers.weights[node.name])).max(1)
            np.testing.assert_allclose(r1, np.abs(input_channels(reader, layers.weights[reader.name])).max(1), rtol=2e-3)


def test_equalization_stops_at_sums(residual: SourceGraph) -> None:
    folded = fold_batch_norm(residual)
    layers, x = Layers.of(folded), normal(1, 3, 8, 8)
    equalize(layers)
    np.testing.assert_allclose(outputs(layers.written(), x), outputs(folded, x), rtol=1e-4, atol=1e-5)


def test_dead_channels_are_found_and_change_nothing(chain: SourceGraph) -> None:
    """Channel 2 of the first layer is silent (bias below 0), channel 5 of the depthwise layer is read by nobody."""
    layers = Layers.of(chain)
    first, depthwise, pointwise = list(layers.weights)[:3]
    layers.weights[first][2] *= 1e-30
    layers.biases[first][2] = -0.5
    layers.weights[depthwise][2] *= 1e3
    layers.biases[depthwise][2] = 1.0  # says always the same, and is read
    layers.weights[pointwise][:, 5] = 0
    noisy = layers.written()
    counts, clean = remove_dead_channels(layers), layers.written()
    assert (counts[first], counts[depthwise]) == (2, 1)  # the first layer's channel 5 feeds only the depthwise layer's channel 5
    np.testing.assert_array_equal(outputs(clean, normal(2, 3, 8, 8)), outputs(noisy, normal(2, 3, 8, 8)))
    w = layers.weights
    assert not w[first][2].any() and not w[depthwise][2].any() and not w[depthwise][5].any()


def pointwise_pair(x: Array) -> Layers:
    """Two 1 x 1 convolutions with a ReLU between, of one, two and three channels; the first has high biases."""
    net, rng = Net("pair", seed=1), np.random.default_rng(3)
    shape = (1, 1, 4, 4)
    w1 = net.constant("w1", np.array([1.0, -0.5], np.float32).reshape(2, 1, 1, 1))
    y = net.node("Conv", [net.input("input", shape), w1, net.constant("b1", np.array([9.0, 7.0], np.float32))], (1, 2, 4, 4), "first")
    w2 = net.constant("w2", rng.standard_normal((3, 2, 1, 1), np.float32))
    z = net.node("Conv", [net.relu(y), w2, net.constant("b2", np.zeros(3, np.float32))], (1, 3, 4, 4), "second")
    return Layers.of(free_batch(net.finish(z)), {"input": x.shape})


def test_absorbed_biases_change_nothing_above_the_shift() -> None:
    """Q20: c = mean - 3 deviations of the first layer's output; uniform inputs never fall below it, and the output stays."""
    x = np.random.default_rng(0).uniform(-1, 1, (8, 1, 4, 4)).astype(np.float32)
    layers = pointwise_pair(x)
    before = outputs(layers.written(), x)
    assert absorb_biases(layers, {"input": x}) == 2
    c = np.array([9.0, 7.0]) + np.array([1, -0.5]) * x.mean() - 3 * np.array([1, 0.5]) * x.std()
    np.testing.assert_allclose(layers.biases["first"], np.array([9.0, 7.0]) - c, rtol=1e-5)
    np.testing.assert_allclose(outputs(layers.written(), x), before, rtol=1e-4, atol=1e-4)


def test_absorbed_biases_stay_within_their_bound() -> None:
    """Q20: of a Gaussian, 0.13 % lie below the shift, and only their outputs change."""
    x = np.random.default_rng(0).standard_normal((2000, 1, 4, 4)).astype(np.float32)
    layers = pointwise_pair(x)
    before = outputs(layers.written(), x)
    absorb_biases(layers, {"input": x})
    changed = np.abs(outputs(layers.written(), x) - before).max(1) > 1e-3
    assert 0 < changed.mean() < 2 * 0.0016  # two channels


def test_without_data_batch_normalization_tells_the_statistics(digits: SourceGraph) -> None:
    """Q22, and Q21's closed form: behind a ReLU, E = gamma phi(-beta / gamma) + beta Phi(beta / gamma) of what normalization gives."""
    known = batch_norm_statistics(digits)
    graph = read(fold_batch_norm(free_batch(digits)), {digits.inputs[0]: (64, 1, 8, 8)})
    relus = {n.outputs[0]: n.inputs[0] for n in graph.nodes if n.op == "unary" and n.inputs[0] in known}
    found = measured_statistics(graph, {digits.inputs[0]: noise(digits, 0)}, relus, known)
    assert len(relus) >= 4
    for t, (mean, _) in found.items():
        beta, gamma = known[relus[t]]
        a = beta / gamma
        expected = gamma * np.exp(-a * a / 2) / np.sqrt(2 * np.pi) + beta * (1 + np.vectorize(erf)(a / np.sqrt(2))) / 2
        np.testing.assert_allclose(mean, expected, atol=0.1 * gamma.max())


@pytest.mark.parametrize("method", ["dfq", "full"])
def test_quantizing_without_data(method: str, digits: SourceGraph, digits_images: Array) -> None:
    """Q22: at w4a8 the network still gives the float network's answers; one without batch normalization is refused."""
    done = quantize_for(load_arch("snpe_dsp"), digits, None, "w4a8", method)
    same = outputs(done.network, digits_images).argmax(1) == outputs(digits, digits_images).argmax(1)
    assert same.mean() >= 0.95
    with pytest.raises(HwsimError, match=r"must be given: .* has no batch normalization to take statistics from"):
        quantize_for(load_arch("snpe_dsp"), fold_batch_norm(digits), None)


def test_reestimated_deviations(digits: SourceGraph, digits_images: Array) -> None:
    """`bn`: scales take up each channel's deviation; a chip with one scale for the tensor is told no."""
    seen, unseen = digits_images[:64], digits_images[64:]
    real, error = outputs(digits, unseen), {}
    for method in ("minmax+bias", "minmax+bias+bn"):
        done = quantize_for(load_arch("fbgemm_x86"), digits, seen, "w3a8", method)
        error[method] = float(np.square(outputs(done.network, unseen) - real).mean())
    assert error["minmax+bias+bn"] < error["minmax+bias"]
    with pytest.raises(HwsimError, match="bn must have a chip with one free scale for each channel"):
        quantize_for(load_arch("snpe_dsp"), digits, seen, "w4a8", "minmax+bn")


def test_split_channels_change_nothing_but_the_price(chain: SourceGraph) -> None:
    """Q24 in a network: one of eight channels is read twice, by a gather; 1/8 more products in that layer."""
    split = split_channels(chain, {"input": (1, 3, 8, 8)}, Precision((4, 8)))
    x = normal(2, 3, 8, 8)
    np.testing.assert_allclose(outputs(split, x), outputs(chain, x), rtol=1e-4, atol=1e-5)
    before, after = (Layers.of(s).weights for s in (chain, split))
    grown = {name: (w.shape, after[name].shape) for name, w in before.items() if w.shape != after[name].shape}
    assert list(grown.values()) == [((12, 8, 1, 1), (12, 9, 1, 1))]
    assert all(np.abs(after[name]).max() < np.abs(before[name]).max() for name in grown)


@pytest.mark.parametrize("chip", ["snpe_dsp", "tensorrt_t4"])
def test_splitting_helps_a_chip_with_one_scale(chip: str, digits: SourceGraph, digits_images: Array) -> None:
    """A channel of outliers spoils one scale for all at 4 bits; splitting it brings the float network's outputs nearer."""
    layers = Layers.of(free_batch(fold_batch_norm(digits)), {digits.inputs[0]: (1, 1, 8, 8)})
    for node, readers in [(n, channel_readers(layers.graph, n, layers.weights)) for n in layers.nodes]:
        if readers:
            gain = np.ones(len(output_channels(node, layers.weights[node.name])))
            gain[0] = 4
            layers.scale_outputs(node, 1 / gain)
            for r in readers:
                layers.scale_inputs(r, gain)
    source = layers.written()
    real, error = outputs(source, digits_images[64:]), {}
    for method in ("minmax", "ocs+minmax"):
        done = quantize_for(load_arch(chip), source, digits_images[:64], "w4a8", method)
        graph = read(done.network, {digits.inputs[0]: digits_images[64:].shape})
        found = execute(lower(graph, load_arch(chip)), {graph.inputs[0]: digits_images[64:]}).tensors[graph.outputs[0]]
        error[method] = float(np.square(found - real).mean())
    assert error["ocs+minmax"] < 0.8 * error["minmax"]
    assert done.needs.startswith("ocs needs activations read twice")


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


def test_what_cannot_be_quantized(digits: SourceGraph, digits_images: Array) -> None:
    chip = load_arch("fbgemm_x86")
    done = quantize_for(chip, digits, digits_images[:4], "w8a8", "minmax").network
    with pytest.raises(HwsimError, match="must be a float network, not one that is quantized already"):
        quantize_for(chip, done, digits_images[:4])
    with pytest.raises(HwsimError, match=r"must be 2 or more.*bwn"):
        quantize_for(chip, digits, digits_images[:4], "w1a8", "minmax")
    net = Net("two")
    source = net.finish(net.conv(net.add(net.input("a", (1, 2, 4, 4)), net.input("b", (1, 2, 4, 4))), 3, 1))
    with pytest.raises(HwsimError, match="must have one input to be quantized, not 2 inputs"):
        quantize_for(chip, source, normal(1, 2, 4, 4))


# Blocks --------------------------------------------------------------------------------------------------------------------------------


def test_blocks_lie_between_tensors_that_all_must_pass(residual: SourceGraph, digits: SourceGraph) -> None:
    """The stem joins the residual part behind it; a block ends behind its sum and activation; one layer at the end stands alone."""
    rules = load_arch("fbgemm_x86").quantization
    for source in (residual, digits):
        folded = fold_batch_norm(source)
        graph = read(folded, {folded.inputs[0]: (1, *[int(d) for d in (folded.tensors[folded.inputs[0]].shape or ())[1:]])})
        plan = plan_quantizers(graph, rules, Precision((4, 8)))
        found = blocks_of(plan)
        inside = [[n.name for n in b.nodes if n.name in plan.layers] for b in found]
        assert [name for part in inside for name in part] == list(plan.layers) and all(len(i) >= 2 for i in inside[:-1])
        for b in found:
            made = {t for n in b.nodes for t in n.outputs}
            outside = {t for n in b.nodes for t in n.inputs if t and t not in made and graph.tensors[t].constant is None}
            assert outside == {b.input} and b.output in made
            assert graph.producer[b.output].op != "conv"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["brecq", "qdrop"])
def test_reconstructed_blocks_are_nearer(stage: str, digits: SourceGraph, digits_images: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q27: at w2a4 outputs on unseen images are nearer to the float network's than with layers rounded one by one."""
    reconstruct = pytest.importorskip("hwsim.pipeline.reconstruct")
    monkeypatch.setattr(reconstruct, "STEPS", 150)
    monkeypatch.setattr(reconstruct, "RATE", 3e-2)
    seen, unseen = digits_images[:64], digits_images[64:]
    real, error = outputs(digits, unseen), {}
    for method in ("mse+bias", f"mse+{stage}+bias"):
        done = quantize_for(load_arch("fbgemm_x86"), digits, seen, "w2a4", method)
        error[method] = float(np.square(outputs(done.network, unseen) - real).mean())
        assert [r.name for r in done.layers] == list(done.plan.layers)
    assert error[f"mse+{stage}+bias"] < 0.8 * error["mse+bias"]


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
    layers = Layers.of(chain)
    smooth(layers, {"input": x})
    np.testing.assert_allclose(outputs(layers.written(), x), outputs(chain, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in names("quantizers") if hasattr(load("quantizers", n), "approximate")])
def test_weights_on_other_levels_are_carried_by_integers(name: str, digits: SourceGraph, digits_images: Array) -> None:
    """On a chip with 8-bit symmetric weights: multiples of a unit as they are, other levels rounded again; what it lacks is told."""
    done = quantize_for(load_arch("tensorrt_t4"), digits, digits_images[:8], "w4a8", f"minmax+{name}+bias")
    held = [t for k, t in done.network.tensors.items() if k.endswith(".stored") and ".w" in k]
    assert held and all(t.format in ("int2", "int4", "int8") for t in held)
    assert np.isfinite(outputs(done.network, digits_images[:2])).all()
    assert done.needs.startswith(f"{name} needs ")


def test_what_emulation_costs(digits: SourceGraph, digits_images: Array) -> None:
    """A codebook's 4 bits run as 8 on an array that is faster at 4; splitting costs gathers and products; plain integers nothing."""
    chip, notes = load_arch("bitfusion_16x32"), {}
    for method in ("nearest", "kmeans", "ocs"):
        done = quantize_for(chip, digits, digits_images[:8], "w4a8", method)
        notes[method] = emulation_note(chip, digits, digits_images[:8], "w4a8", done)
    assert notes["nearest"] == ""
    for method in ("kmeans", "ocs"):
        milliseconds, energy = notes[method].split(" ms (")[1], notes[method].split(" mJ (")[1]
        assert float(milliseconds.split(" %")[0]) > 0 and float(energy.split(" %")[0]) > 0


def test_levels_that_the_chip_cannot_carry_are_refused(digits: SourceGraph, digits_images: Array) -> None:
    """INQ's 5 bits span 2^7: nine bits of integers; and ternary scales are no powers of two."""
    with pytest.raises(HwsimError, match="shifts instead of multipliers, or 16-bit weights, not 8 bits"):
        quantize_for(load_arch("tensorrt_t4"), digits, digits_images[:8], "w5a8", "minmax+inq")
    with pytest.raises(HwsimError, match="scales must be powers of two on this chip, and those of twn are not"):
        quantize_for(load_arch("tvm_arm_a72"), digits, digits_images[:8], "w4a8", "minmax+twn")
