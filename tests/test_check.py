"""Deployability: MQBench's table of backends, one finding at a time, and the report on the command line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwsim import cli
from hwsim.arch import Arch, Grid, Rules, WeightGrid
from hwsim.decide.backends import ACADEMIC
from hwsim.graph import Constant, Graph, SourceGraph, SourceNode, SourceTensor
from hwsim.io.arch_yaml import load_arch, presets
from hwsim.io.onnx_model import write_onnx
from hwsim.quant import Array
from hwsim.steps.check import CheckReport, check
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.quantize import quantize, ranges_of
from hwsim.steps.read import read
from hwsim.topologies._net import Net
from tests.test_laws import NETWORKS, WIDTHS, Drawn, quantized, runs

BACKENDS = ("snpe_dsp", "tensorrt_t4", "acl_ascend310", "tvm_arm_a72", "fbgemm_x86")

NONE: set[str] = set()
SCALES = {"weights.power_of_two", "activations.power_of_two"}
ZEROS = {"weights.symmetric", "activations.symmetric"}
PER_CHANNEL = {"weights.granularity"}

# What each chip (columns of BACKENDS) refuses of a network by each backend's rules (rows).  From the two tables of the specification, B0:
#   snpe     float scale, weights per tensor,  asymmetric, graph 3         tvm      power of two, per tensor,  symmetric,  graph 3
#   tensorrt float scale, weights per channel, symmetric,  graph 2         fbgemm   float scale,  per channel, asymmetric, graph 3
#   acl      float scale, weights per channel, asymmetric, graph 1
# Per tensor is a case of per channel, symmetric of asymmetric, a power of two of any scale, int8 of uint8 by a shift of 128; a chip
# that has the general form takes the special one.  Graph rules must be the same: they say which requantizations are executed.
TABLE = {
    "snpe_dsp": (NONE, ZEROS | {"graph_2"}, {"graph_1"}, ZEROS | SCALES, NONE),
    "tensorrt_t4": (PER_CHANNEL | {"graph_3"}, NONE, {"graph_1"}, PER_CHANNEL | SCALES | {"graph_3"}, {"graph_3"}),
    "acl_ascend310": (PER_CHANNEL | {"graph_3"}, ZEROS | {"graph_2"}, NONE, PER_CHANNEL | ZEROS | SCALES | {"graph_3"}, {"graph_3"}),
    "tvm_arm_a72": (NONE, {"graph_2"}, {"graph_1"}, NONE, NONE),
    "fbgemm_x86": (PER_CHANNEL, ZEROS | {"graph_2"}, {"graph_1"}, PER_CHANNEL | ZEROS | SCALES, NONE),
    # symmetric unsigned activations have their zero at the end of the grid, which the two symmetric chips, int8 alone, do not have
    "academic": (
        {"batch_norm", "graph_3"},
        {"batch_norm", "graph_2", "activations.symmetric"},
        {"batch_norm"},
        {"batch_norm", "graph_3", "activations.symmetric"} | SCALES,
        {"batch_norm", "graph_3"},
    ),
}


def rules_of(backend: str) -> Rules:
    return ACADEMIC if backend == "academic" else load_arch(backend).quantization


def with_rules(arch: Arch, rules: Rules) -> Arch:
    return arch.model_copy(update={"quantization": rules})


def by_rules(source: SourceGraph, rules: Rules, images: Array, precision: str = "w8a8") -> Graph:
    """The network quantized on some images."""
    source = source if rules.batch_norm == "any" else fold_batch_norm(source)
    return read(quantize(source, rules, precision, ranges_of(read(source, {"input": images.shape}), [{"input": images}])))


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def rules_broken(report: CheckReport) -> set[str]:
    return {f.rule for f in report.findings}


# MQBench's table ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", TABLE)
@pytest.mark.parametrize("network", ["residual", "digits"])
def test_table_of_backends(network: str, backend: str, residual: SourceGraph, digits: SourceGraph, digits_images: Array) -> None:
    source, images = (residual, normal(4, 3, 8, 8)) if network == "residual" else (digits, digits_images[:16])
    graph = by_rules(source, rules_of(backend), images)
    assert {chip: rules_broken(check(load_arch(chip), graph)) for chip in BACKENDS} == dict(zip(BACKENDS, TABLE[backend], strict=True))
    own = with_rules(load_arch("acl_ascend310"), rules_of(backend))
    assert check(own, graph).deployable


# The residual network: conv1 -> relu5 -> maxpool6 -> conv7 (depthwise) -> relu11 -> conv12 (pointwise) -> bn14.out; maxpool6 + bn14.out
# -> relu17 -> average -> fc.  Every convolution's input is quantized by all rules.  Rule 3 also quantizes what the pool (relu5.out), the
# sum (maxpool6.out, bn14.out) and the average (relu17.out) read; rule 2 all of these but bn14.out, which comes from a convolution and
# has no other reader; rule 1 none of them.
JOINED = ("relu5.out", "maxpool6.out", "bn14.out", "relu17.out")


@pytest.mark.parametrize(
    ("backend", "chip", "added", "removed"),
    [
        ("snpe_dsp", "tensorrt_t4", (), ("bn14.out",)),
        ("snpe_dsp", "acl_ascend310", (), JOINED),
        ("tensorrt_t4", "snpe_dsp", ("bn14.out",), ()),
        ("tensorrt_t4", "acl_ascend310", (), ("relu5.out", "maxpool6.out", "relu17.out")),
        ("acl_ascend310", "tensorrt_t4", ("relu5.out", "maxpool6.out", "relu17.out"), ()),
        ("acl_ascend310", "snpe_dsp", JOINED, ()),
        ("academic", "fbgemm_x86", JOINED, ()),
        ("tvm_arm_a72", "fbgemm_x86", (), ()),
    ],
)
def test_requantizations_added_and_removed(
    backend: str, chip: str, added: tuple[str, ...], removed: tuple[str, ...], residual: SourceGraph
) -> None:
    report = check(load_arch(chip), by_rules(residual, rules_of(backend), normal(2, 3, 8, 8)))
    assert report.added == added
    assert report.removed == tuple(f"{t}.a8.quantized" for t in removed)


def test_findings_say_what_and_where(residual: SourceGraph) -> None:
    report = check(load_arch("tensorrt_t4"), by_rules(residual, rules_of("snpe_dsp"), normal(2, 3, 8, 8)))
    found = {f.rule: f for f in reversed(report.findings)}
    assert found["graph_2"].node == "add16"
    assert found["graph_2"].message == (
        "graph rule 2: the chip adds the convolution output of 'add16' where it accumulates, and does not "
        "execute the quantizer 'bn14.out.a8.quantized'"
    )
    assert found["weights.symmetric"].node == "conv1"
    assert "the chip has no zero points" in found["weights.symmetric"].message


@given(NETWORKS, st.sampled_from(presets()), WIDTHS)
def test_a_network_by_a_chips_rules_is_accepted_by_it(net: Drawn, name: str, widths: tuple[int, int]) -> None:
    """Whatever its operators: pools, sums, concatenations, tails without a multiply-accumulate."""
    arch = load_arch(name)
    assume(runs(arch, widths) and widths[1] <= 8)
    assert check(arch, quantized(arch, net, widths)).findings == ()


# Graph rule 2: which branch of a sum stays real ---------------------------------------------------------------------------------------


def sum_network(left: str, right: str) -> SourceGraph:
    """A sum of two branches behind a convolution's output x: `identity`, `conv`, `conv_relu`, `shared` (a convolution read twice)."""
    net = Net("sum")
    x = net.relu(net.conv(net.input("input", (1, 4, 6, 6)), 4, 3, name="stem"))
    tails: list[str] = []

    def branch(kind: str, name: str) -> str:
        if kind == "identity":
            return x
        y = net.conv(x, 4, 3, name=name)
        if kind == "shared":
            tails.append(y)
        return net.relu(y) if kind == "conv_relu" else y

    total = net.add(branch(left, "left"), branch(right, "right"))
    return net.finish(net.conv(net.concat([total, *tails]), 4, 1, name="last"))


@pytest.mark.parametrize(
    ("left", "right", "real"),
    [
        ("identity", "conv", 1),
        ("conv", "identity", 0),
        ("conv", "conv", 0),
        ("conv_relu", "identity", 0),
        ("shared", "conv", 1),
        ("shared", "identity", None),
        ("identity", "identity", None),
    ],
)
def test_first_convolution_without_another_reader_stays_real(left: str, right: str, real: int | None) -> None:
    """MQBench: the first matching branch of Add(FakeQuant(Conv or ConvReLU), any) loses its quantizer."""
    source, chip = sum_network(left, right), load_arch("tensorrt_t4")
    images = normal(1, 4, 6, 6)
    half = quantize(source, chip.quantization, "w8a8", ranges_of(read(source), [{"input": images}]))
    node = next(n for n in half.nodes if n.kind == "Add")
    made_by = {t: n.kind for n in half.nodes for t in n.outputs}
    assert [i for i, t in enumerate(node.inputs) if made_by[t] != "DequantizeLinear"] == ([] if real is None else [real])
    assert check(chip, read(half)).deployable
    whole = by_rules(source, load_arch("tensorrt_t4", {"quantization.graph": "3"}).quantization, images)
    report = check(chip, whole)
    assert len(report.removed) == (real is not None)
    assert rules_broken(report) == (set() if real is None else {"graph_2"})


# Single rules ------------------------------------------------------------------------------------------------------------------------


def one_layer(
    weights: Array,
    weight_format: str = "int8",
    w_scale: Any = 0.5,
    w_zero: Any = 0,
    activation: str = "int8",
    x_zero: int = 0,
    scale: float = 0.5,
) -> Graph:
    """A matrix product of stored numbers, its output real."""
    tensors: dict[str, SourceTensor] = {"x": SourceTensor("x", activation, (1, len(weights)))}
    nodes = []

    def hold(name: str, array: Any, fmt: str) -> str:
        tensors[name] = SourceTensor(name, fmt, np.shape(array), Constant.of(np.asarray(array), name))
        return name

    def real(t: str, s: Any, z: Any, fmt: str) -> str:
        pair = hold(f"{t}.scale", np.asarray(s, np.float32), "float32"), hold(f"{t}.zero", np.broadcast_to(np.int64(z), np.shape(s)), fmt)
        nodes.append(SourceNode("DequantizeLinear", f"{t}.real", (t, *pair), (f"{t}.real",), {"axis": 1} if np.ndim(s) else {}, 21))
        return f"{t}.real"

    inputs = real("x", scale, x_zero, activation), real(hold("w", weights, weight_format), w_scale, w_zero, weight_format)
    nodes.append(SourceNode("MatMul", "product", inputs, ("y",), {}, 21))
    tensors["y"] = SourceTensor("y", "float32", (1, weights.shape[1]))
    return read(SourceGraph("one", tuple(nodes), tensors, ("x",), ("y",), "0", "onnxruntime", 21))


W = np.array([[1, -2], [3, 4]], np.int64)


@pytest.mark.parametrize(
    ("weights", "activations", "given", "broken"),
    [
        # symmetric: the zero point is the middle of the grid, 0 of int8 and 128 of uint8
        ({"symmetric": True}, {"symmetric": True}, {}, NONE),
        ({"symmetric": True}, {}, {"w_zero": 3}, {"weights.symmetric"}),
        ({}, {"symmetric": True}, {"activation": "uint8", "x_zero": 128}, NONE),
        ({}, {"symmetric": True}, {"activation": "uint8", "x_zero": 0}, {"activations.symmetric"}),
        # unsigned numbers from 0 up need no zero point where the chip has an unsigned format
        ({}, {"symmetric": True, "formats": ["int8", "uint8"]}, {"activation": "uint8", "x_zero": 0}, NONE),
        ({}, {"symmetric": True, "formats": ["int8", "uint8"]}, {"activation": "uint8", "x_zero": 7}, {"activations.symmetric"}),
        # widths: narrower ones are promoted, wider ones refused
        ({}, {}, {"weight_format": "int4"}, NONE),
        ({"formats": ["int4"]}, {}, {}, {"weights.formats"}),
        ({}, {}, {"activation": "uint16"}, {"activations.formats"}),
        # granularity: one scale is a case of one for each channel
        ({"granularity": "per_channel"}, {}, {}, NONE),
        ({"granularity": "per_channel"}, {}, {"w_scale": [0.5, 0.25]}, NONE),
        ({}, {}, {"w_scale": [0.5, 0.25]}, {"weights.granularity"}),
        # scales
        ({"power_of_two": True}, {"power_of_two": True}, {}, NONE),
        ({"power_of_two": True}, {"power_of_two": True}, {"w_scale": 0.3}, {"weights.power_of_two"}),
        ({"power_of_two": True}, {"power_of_two": True}, {"scale": 0.3}, {"activations.power_of_two"}),
        ({"power_of_two": True, "granularity": "per_channel"}, {}, {"w_scale": [0.5, 0.3]}, {"weights.power_of_two"}),
        # the lowest number of the grid, which a narrow grid leaves out; in 4 bits it is another number
        ({"narrow": True}, {}, {"weights": W - 124}, NONE),
        ({"narrow": True}, {}, {"weights": W - 126}, {"weights.narrow"}),
        ({"narrow": True}, {}, {"weights": W - 6, "weight_format": "int4"}, NONE),
    ],
)
def test_grids(weights: dict[str, Any], activations: dict[str, Any], given: dict[str, Any], broken: set[str]) -> None:
    rules = Rules(
        weights=WeightGrid(**{"formats": ["int8"], **weights}),
        activations=Grid(**{"formats": ["int8"], **activations}),
        graph=1,
        first_last_bits=2,
        source="test",
    )
    graph = one_layer(**{"weights": W, **given})
    assert rules_broken(check(with_rules(load_arch("snpe_dsp"), rules), graph)) == broken


def test_first_and_last_layer_keep_their_width() -> None:
    """4 bits are below the rule's 8, for weights and for activations; they are fine where the chip asks for 4."""
    graph = one_layer(W, "int4", activation="int4")
    messages = [f.message for f in check(load_arch("tensorrt_t4"), graph).findings]
    assert messages == ["the first layer 'product' uses 4 bits, the chip wants 8"]
    assert check(load_arch("tensorrt_t4", {"quantization.first_last_bits": "4"}), graph).deployable


def concat_network() -> SourceGraph:
    net = Net("concat")
    x = net.conv(net.input("input", (1, 3, 6, 6)), 4, 3)
    return net.finish(net.conv(net.concat([net.relu(net.conv(x, 4, 1)), net.max_pool(net.conv(x, 4, 3), 3, 1, 1)]), 4, 1))


def test_operators_that_need_one_scale() -> None:
    """TensorFlow Lite's concatenation: quantized without the rule its operands have scales of their own, with it they share one."""
    chip, images = load_arch("cortex_m7"), normal(1, 3, 6, 6)
    free = load_arch("cortex_m7", {"quantization.same_scale": "[]"}).quantization
    assert rules_broken(check(chip, by_rules(concat_network(), free, images))) == {"same_scale"}
    assert check(chip, by_rules(concat_network(), chip.quantization, images)).deployable


def test_batch_norm_that_cannot_fold(residual: SourceGraph) -> None:
    """Behind stored weights it stays, and is named; in a float network it folds and is no finding."""
    report = check(load_arch("snpe_dsp"), by_rules(residual, ACADEMIC, normal(1, 3, 8, 8)))
    assert [f.node for f in report.findings if f.rule == "batch_norm"] == ["bn3", "bn9", "bn14"]
    floats = check(load_arch("snpe_dsp"), read(residual))
    assert floats.deployable
    assert not any(p.node.op == "batch_norm" for p in floats.placements)


def test_no_place_at_all(residual: SourceGraph) -> None:
    """A float network on a chip of integers without a fallback."""
    report = check(load_arch("bitfusion_16x32"), read(residual))
    assert rules_broken(report) == {"unsupported"}
    assert "and the chip has no fallback" in report.findings[0].message


def test_widths_that_are_promoted(residual: SourceGraph) -> None:
    """4-bit weights and activations on chips that multiply 8 bits alone, natively, piece by piece, and joined; the ends keep 8 bits."""
    images = normal(1, 3, 8, 8)
    how = {}
    for name in ("snpe_dsp", "tensorrt_t4", "gap9_ne16", "bitfusion_16x32"):
        chip = load_arch(name)
        report = check(chip, by_rules(residual, chip.quantization, images, "w4a4"))
        how[name] = {p.node.name: (p.stored, p.runs, p.carried.how) for p in report.placements if p.carried}
    assert how["snpe_dsp"]["conv12"] == ("w4a4", "w8a8", "promoted to w8a8")
    assert how["snpe_dsp"]["conv1"] == ("w8a8", "w8a8", "native")
    assert how["tensorrt_t4"]["conv12"] == ("w4a4", "w4a4", "native")
    assert how["gap9_ne16"]["conv12"] == ("w4a4", "w4a4", "4 passes")
    assert how["bitfusion_16x32"]["conv12"] == ("w4a4", "w4a4", "composed")


# The command line --------------------------------------------------------------------------------------------------------------------


def hwsim(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the command line run in this process."""
    monkeypatch.setattr("sys.argv", ["hwsim", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def written(path: Any, source: SourceGraph, backend: str, precision: str = "w8a8") -> str:
    folded, images = fold_batch_norm(source), normal(1, 3, 8, 8)
    write_onnx(quantize(folded, rules_of(backend), precision, ranges_of(read(folded), [{"input": images}])), path / "net.onnx")
    return str(path / "net.onnx")


def test_json_of_a_network_that_fits(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], residual: SourceGraph
) -> None:
    """Weights: 8 x 27 + 8 x 9 + 8 x 8 + 5 x 8 bytes of weights and (8 + 8 + 8 + 5) x 4 of biases.

    Most is alive at the max pool: 8 x 8 x 8 bytes in and 8 x 4 x 4 out.
    """
    model = written(tmp_path, residual, "snpe_dsp")
    assert hwsim(monkeypatch, "check", "--arch", "snpe_dsp", "--model", model, "--format", "json") == 0
    data = json.loads(capsys.readouterr().out)
    rows = {row["node"]: row for row in data.pop("nodes")}
    peak = data.pop("peak_onchip_bytes")
    assert data == {
        "arch": "snpe_dsp",
        "validation": load_arch("snpe_dsp").validation.text,
        "deployable": True,
        "findings": [],
        "requantizations_added": [],
        "requantizations_removed": [],
        "weight_bytes": 392 + 116,
        "fits": True,
        "problems": [],
    }
    assert peak == max(3 * 64 * 5, 3 * 64 + 512, 512 + 128)
    assert rows["conv7"] == {
        "node": "conv7",
        "op": "conv",
        "runs_on": "hvx",
        "integer": True,
        "stored": "w8a8",
        "runs_as": "w8a8",
        "why": "",
    }
    assert rows["add16"] == {"node": "add16", "op": "add", "runs_on": "hvx_alu", "integer": True, "stored": "", "runs_as": "", "why": ""}


def test_json_of_findings(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], residual: SourceGraph
) -> None:
    model = written(tmp_path, residual, "tensorrt_t4", "w4a8")
    assert hwsim(monkeypatch, "check", "--arch", "fbgemm_x86", "--model", model, "--format", "json") == 1
    data = json.loads(capsys.readouterr().out)
    assert not data["deployable"]
    assert data["fits"]
    assert data["requantizations_added"] == ["bn14.out"]
    assert data["findings"] == [
        {"node": "add16", "rule": "graph_3", "message": "graph rule 3: the input 'bn14.out' of 'add16' is not quantized"}
    ]
    assert {r["node"]: r["why"] for r in data["nodes"] if r["why"]} == {"conv7": "promoted to w8a8", "conv12": "promoted to w8a8"}


@pytest.mark.parametrize("form", ["table", "csv"])
def test_exit_codes_in_every_form(
    form: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], residual: SourceGraph
) -> None:
    model = written(tmp_path, residual, "tensorrt_t4")
    assert hwsim(monkeypatch, "check", "--arch", "tensorrt_t4", "--model", model, "--format", form) == 0
    assert "conv7" in capsys.readouterr().out
    assert hwsim(monkeypatch, "check", "--arch", "acl_ascend310", "--model", model, "--format", form) == 1
    out = capsys.readouterr().out
    assert "conv7" in out
    assert form == "csv" or "graph_1: graph rule 1: the chip runs 'maxpool6' in float" in out


def test_no_fit_is_a_finding(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], residual: SourceGraph
) -> None:
    """By the chip's rules, but with 256 bytes of DRAM."""
    model = written(tmp_path, residual, "snpe_dsp")
    asked = ("check", "--arch", "snpe_dsp", "--model", model, "--format", "json", "--set", "memories.dram.size=256 B")
    assert hwsim(monkeypatch, *asked) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["findings"], data["fits"], data["deployable"]) == ([], False, False)
    assert "dram has 256" in data["problems"][0]


def test_what_no_measurement_speaks_of_is_said(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], residual: SourceGraph
) -> None:
    """In the header of the report: a chip of latencies alone, and one without measurements; and what share the fallback computes."""
    assert load_arch("t4").validation.text.startswith("FITTED; energy UNVALIDATED; arithmetic")
    assert load_arch("cortex_m4").validation.text.startswith("FITTED; arithmetic")
    model = written(tmp_path, residual, "snpe_dsp")
    hwsim(monkeypatch, "check", "--arch", "eyeriss_v1", "--model", model)
    out = capsys.readouterr().out
    assert "validation: " in out.splitlines()[2] and "100 % of the products run on Jetson TK1" in out
