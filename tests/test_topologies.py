"""Topologies: parameters and MACs equal to the published ones, and the same outputs as ONNX Runtime."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.graph import Graph, SourceGraph
from hwsim.quant import Array
from hwsim.shelf import load
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from hwsim.topologies import build, networks
from hwsim.topologies._net import Net

STATISTICS = (".mean", ".variance")
FIXED = (".low", ".high", ".factor", ".mask")

TORCHVISION = "torchvision 0.29, weights.meta: num_params and _ops, in G multiply-adds"
TINY = "github.com/mlcommons/tiny, the .tflite files' operators, in M multiply-adds"
# name: parameters, multiply-adds, the published multiply-adds, where they are published
COUNTS = {
    "alexnet": (61_100_840, 714_188_480, "0.714", TORCHVISION),
    "bert_base": (109_482_240, 11_174_215_680, "11.17", "DeepSpeed flops profiler, bert-base-uncased, one sequence of 128, in G"),
    "convnext_tiny": (28_589_128, 4_455_531_264, "4.456", TORCHVISION),
    "deeplabv3_resnet50": (39_638_869, 168_731_205_888, "178.722", TORCHVISION),
    "densenet121": (7_978_856, 2_834_161_664, "2.834", TORCHVISION),
    "ds_cnn": (23_756, 2_656_768, "2.657", TINY),
    "efficientnet_b0": (5_288_548, 385_814_752, "0.386", TORCHVISION),
    "fc_autoencoder": (267_928, 264_192, "0.264", TINY),
    "fcn_resnet50": (32_957_013, 142_725_772_800, "152.717", TORCHVISION),
    "googlenet": (6_624_904, 1_498_376_192, "1.498", TORCHVISION),
    "inception_v3": (23_834_568, 5_713_216_096, "5.713", TORCHVISION),
    "mobilenet_v1": (4_231_976, 568_740_352, "569", "tensorflow/models, slim/nets/mobilenet_v1.md, in M"),
    "mobilenet_v1_025_96": (216_322, 7_489_664, "7.490", TINY),
    "mobilenet_v2": (3_504_872, 300_774_272, "0.301", TORCHVISION),
    "mobilenet_v3_large": (5_483_032, 216_589_760, "0.217", TORCHVISION),
    "mobilenet_v3_small": (2_542_856, 56_510_400, "0.057", TORCHVISION),
    "regnet_x_3_2gf": (15_296_552, 3_176_621_952, "3.177", TORCHVISION),
    "resnet101": (44_549_160, 7_801_405_440, "7.801", TORCHVISION),
    "resnet18": (11_689_512, 1_814_073_344, "1.814", TORCHVISION),
    "resnet50": (25_557_032, 4_089_184_256, "4.089", TORCHVISION),
    "resnet8": (78_186, 12_501_632, "12.502", TINY),
    "resnext50": (25_028_904, 4_230_479_872, "4.230", TORCHVISION),
    "shufflenet_v2_x0_5": (1_366_792, 40_476_448, "0.040", TORCHVISION),
    "shufflenet_v2_x1_0": (2_278_604, 144_907_992, "0.145", TORCHVISION),
    "squeezenet1_1": (1_235_496, 349_151_936, "0.349", TORCHVISION),
    "swin_tiny": (28_288_354, 4_490_566_656, "4.491", TORCHVISION),
    "unet": (31_030_658, 48_096_083_968, "48.096", "by hand, see test_unet_by_hand, in G"),
    "vgg16": (138_357_544, 15_470_264_320, "15.470", TORCHVISION),
    "vit_b_16": (86_567_656, 17_563_828_224, "17.564", TORCHVISION),
    "wide_resnet50_2": (68_883_240, 11_398_021_120, "11.398", TORCHVISION),
}
# torchvision counts the auxiliary heads that only training uses: parameters of all, multiply-adds of the segmentation networks' own
FCN_HEAD = (1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21, (1024 * 256 * 9 + 256 * 21) * 65 * 65)
HEADS = {
    "fcn_resnet50": (35_322_218, *FCN_HEAD),
    "deeplabv3_resnet50": (42_004_074, *FCN_HEAD),
    "inception_v3": (27_161_264, 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000, 0),
}


def parameters(source: SourceGraph, without: tuple[str, ...] = STATISTICS) -> int:
    """Numbers that training finds."""
    return sum(
        prod(int(d) for d in t.shape or ())
        for t in source.tensors.values()
        if t.constant is not None and t.format == "float32" and not t.name.endswith((*FIXED, *without))
    )


def macs(graph: Graph) -> int:
    total = 0
    for n in graph.nodes:
        op = load("ops", n.op)
        if hasattr(op, "loops"):
            total += op.loops(n, [graph.tensor(t) for t in n.inputs], [graph.tensor(t) for t in n.outputs]).macs
    return total


def feeds(source: SourceGraph, batch: int = 1) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    found: dict[str, Array] = {}
    for name in source.inputs:
        tensor = source.tensors[name]
        shape = (batch, *(int(d) for d in (tensor.shape or ())[1:]))
        found[name] = rng.integers(0, 30000, shape) if tensor.format == "int64" else rng.standard_normal(shape, np.float32)
    return found


def outputs(source: SourceGraph, given: dict[str, Array]) -> Array:
    graph = read(source, {name: array.shape for name, array in given.items()})
    return execute(as_written(graph), given).tensors[source.outputs[0]]


def test_every_network_is_in_the_table() -> None:
    assert set(networks()) == set(COUNTS)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_parameters_and_macs(name: str) -> None:
    source = build(name)
    wanted, multiply_adds, published, where = COUNTS[name]
    assert parameters(source) == wanted
    assert macs(read(source)) == multiply_adds
    unit = 1e6 if ", in M" in where else 1e9
    counted_too = HEADS[name][2] if name in HEADS else 0
    assert f"{(multiply_adds + counted_too) / unit:.{len(published.partition('.')[2])}f}" == published


@pytest.mark.parametrize("name", sorted(HEADS))
def test_parameters_published_with_auxiliary_head(name: str) -> None:
    published, head, _ = HEADS[name]
    assert parameters(build(name)) + head == published


@pytest.mark.parametrize(
    ("name", "total"),
    [("resnet8", 78_666), ("mobilenet_v1_025_96", 221_794), ("ds_cnn", 24_908), ("fc_autoencoder", 269_992), ("mobilenet_v1", 4_253_864)],
)
def test_keras_totals_hold_the_moving_statistics_too(name: str, total: int) -> None:
    assert parameters(build(name), without=()) == total


def test_unet_by_hand() -> None:
    """Area x channels^2 is the same on every level; a level down has 13.5 of it (the first 9), a level up 27, an up-convolution 2."""
    unit = 256 * 256 * 64 * 64
    first, last = 256 * 256 * 9 * 1 * 64, 256 * 256 * 64 * 2
    assert macs(read(build("unet"))) == first + 9 * unit + 4 * 13.5 * unit + 4 * 27 * unit + 4 * 2 * unit + last


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_reading_draws_hardly_any_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what folds: position tables and tokens that stand for nothing in the input."""
    drawn: list[int] = []
    draw = Net._draw

    def counted(net: Net, weight: str, shape: tuple[int, ...], deviation: float, mean: float) -> Array:
        drawn.append(prod(shape))
        return draw(net, weight, shape, deviation, mean)

    monkeypatch.setattr(Net, "_draw", counted)
    read(build(name))
    assert sum(drawn) < 0.005 * COUNTS[name][0]


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_batch_of_two_has_twice_the_macs(name: str) -> None:
    source = build(name)
    assert macs(read(source, {n: a.shape for n, a in feeds(source, 2).items()})) == 2 * COUNTS[name][1]


def test_the_seed_decides_the_weights() -> None:
    first, again, other = build("resnet8"), build("resnet8"), build("resnet8", seed=1)
    weight = next(n for n in first.tensors if n.endswith(".weight"))
    arrays = [c.array for s in (first, again, other) if (c := s.tensors[weight].constant) is not None]
    assert first.sha256 == again.sha256 != other.sha256
    np.testing.assert_array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[0], arrays[2])


@pytest.mark.parametrize(("name", "image"), [("unet", 100), ("swin_tiny", 230), ("bert_base", 513)])
def test_impossible_sizes_are_refused(name: str, image: int) -> None:
    with pytest.raises(HwsimError, match=name):
        build(name, image)


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v1_025_96", "ds_cnn", "fc_autoencoder"])
def test_small_networks_run(name: str) -> None:
    source = build(name)
    y = outputs(source, feeds(source))
    assert np.isfinite(y).all()
    assert y.std() > 0
    if name != "fc_autoencoder":
        np.testing.assert_allclose(y.sum(), 1, rtol=1e-5)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("resnet8", None),
        ("ds_cnn", None),
        ("fc_autoencoder", None),
        ("mobilenet_v1_025_96", None),
        ("mobilenet_v2", 64),
        ("mobilenet_v3_small", None),
        ("efficientnet_b0", 64),
        ("regnet_x_3_2gf", 64),
        ("squeezenet1_1", 64),
        ("googlenet", 64),
        ("densenet121", 64),
        ("shufflenet_v2_x0_5", None),
        ("unet", 32),
        ("convnext_tiny", 64),
        ("swin_tiny", None),
        ("inception_v3", 107),
        ("deeplabv3_resnet50", 72),
        pytest.param("vit_b_16", None, marks=SLOW),
        pytest.param("bert_base", 16, marks=SLOW),
    ],
)
def test_same_outputs_as_onnxruntime(name: str, image: int | None, tmp_path: Path) -> None:
    """The written file, with two images in the batch."""
    runtime = pytest.importorskip("onnxruntime")
    from hwsim.io.onnx_model import write_onnx

    source = build(name, image)
    given = feeds(source, 2)
    write_onnx(source, tmp_path / "net.onnx")
    judge = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"]).run(None, given)[0]
    y = outputs(source, given)
    assert y.shape == judge.shape
    np.testing.assert_allclose(y, judge, rtol=0, atol=1e-3 * np.abs(judge).max())
