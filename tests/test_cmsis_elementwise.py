"""CMSIS-NN's other golden vectors: sums, products, extremes, pools, softmax, matrix products, moves and transposed convolutions.

Each case gives fixed-point multipliers; scales that lead to exactly these are put into the step, which runs in the arithmetic of
LiteRT's reference kernels (or gemmlowp's), the one that CMSIS-NN reproduces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from hwsim.program import Accumulator, Program
from hwsim.quant import Array, QuantParams
from hwsim.shelf import load
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from tests.steps import ENGINES, quant, step_program, stored
from tests.test_cmsis import kind_of, multipliers, vectors

Built = tuple[Program, dict[str, Array], Array]
Macros = dict[str, Any]
NCHW = (0, 3, 1, 2)


def real(m: Macros, name: str, shift: str) -> float:
    """The number for which a fixed-point multiplier stands."""
    return float(np.ldexp(float(m[name]), m[shift] - 31))


def fmt_of(x: Array) -> str:
    return x.dtype.name


def step(
    op: str, inputs: list[tuple[Array, QuantParams]], want: Array, y: QuantParams, attrs: Macros, arithmetic: str = "litert_ref"
) -> Built:
    """A step of computed inputs."""
    named: list[tuple[Any, Any]] = [(stored(f"x{i}", x, q), x) for i, (x, q) in enumerate(inputs)]
    bits = 64 if arithmetic == "gemmlowp_int64" else 32
    program, feeds = step_program(op, named, (want.shape, y), attrs, arithmetic, Accumulator(bits))
    return program, feeds, want


def output(m: Macros, want: Array, scale: Any = 1.0) -> QuantParams:
    low, high = (next(m[k] for k in (f"OUT_{n}", n) if k in m) for n in ("ACTIVATION_MIN", "ACTIVATION_MAX"))
    return quant(fmt_of(want), np.float64(scale), m.get("OUTPUT_OFFSET", 0), None, low, high)


def add(arrays: dict[str, Array], m: Macros) -> Built:
    """The larger scale is 1, so that both sums are taken on a grid of 2."""
    want, left = arrays["output_ref"], m["LEFT_SHIFT"]
    y = output(m, want, 2 / (real(m, "OUTPUT_MULT", "OUTPUT_SHIFT") * 2**left))
    sides = [
        (arrays[f"input{i}"], quant(fmt_of(want), np.float64(2 * real(m, f"INPUT{i}_MULT", f"INPUT{i}_SHIFT")), -m[f"INPUT{i}_OFFSET"]))
        for i in (1, 2)
    ]
    return step("binary", sides, want, y, {"function": "add"})


def mul(arrays: dict[str, Array], m: Macros) -> Built:
    want = arrays["output_ref"]
    scales = real(m, "OUTPUT_MULT", "OUTPUT_SHIFT"), 1.0
    sides = [(arrays[f"input{i}"], quant(fmt_of(want), np.float64(scales[i - 1]), -m[f"INPUT{i}_OFFSET"])) for i in (1, 2)]
    return step("binary", sides, want, output(m, want), {"function": "mul"})


def extreme(function: str) -> Callable[[dict[str, Array], Macros], Built]:
    def build(arrays: dict[str, Array], m: Macros) -> Built:
        shapes = [tuple(m[f"{d}_{i}"] for d in ("BATCH", "HEIGHT", "WIDTH", "CHANNEL")) for i in (1, 2)]
        q = quant(fmt_of(arrays["output"]), np.float64(1))
        sides = [(arrays[f"input_tensor_{i}"].reshape(s), q) for i, s in zip((1, 2), shapes, strict=True)]
        return step("binary", sides, arrays["output"].reshape(np.broadcast_shapes(*shapes)), q, {"function": function})

    return build


def pool(op: str) -> Callable[[dict[str, Array], Macros], Built]:
    def build(arrays: dict[str, Array], m: Macros) -> Built:
        size, out, kernel, stride, before = (
            tuple(m[f"{name}_{a}"] for a in "HW") for name in ("INPUT", "OUTPUT", "FILTER", "STRIDE", "PADDING")
        )
        x = arrays["input_tensor"].reshape(m["BATCH_SIZE"], *size, m["INPUT_C"]).transpose(NCHW)
        want = arrays["output"].reshape(m["BATCH_SIZE"], *out, m["INPUT_C"]).transpose(NCHW)
        after = tuple((o - 1) * s + k - n - b for o, s, k, n, b in zip(out, stride, kernel, size, before, strict=True))
        attrs: Macros = {"kernel": kernel, "strides": stride, "dilations": (1, 1), "before": before, "after": after}
        attrs |= {"count_pad": False, "counted_after": after, "global": False} if op == "average_pool" else {}
        y = output(m, want)
        return step(op, [(x, quant(fmt_of(x), np.float64(1)))], want, y, attrs)

    return build


def softmax(arrays: dict[str, Array], m: Macros) -> Built:
    x, want = (arrays[n].reshape(m["NUM_ROWS"], m["ROW_SIZE"]) for n in ("input", "output_ref"))
    scale = real(m, "INPUT_MULT", "INPUT_LEFT_SHIFT") * (10 / 65535 if x.dtype == np.int16 else 2.0**-26)
    y = quant(fmt_of(want), np.float64(1 / 256), -128) if want.dtype == np.int8 else quant("int16", np.float64(1 / 32768))
    return step("softmax", [(x, quant(fmt_of(x), np.float64(scale)))], want, y, {"axes": (1,), "log": False, "beta": 1.0})


def batch_matmul(arrays: dict[str, Array], m: Macros) -> Built:
    shapes = [tuple(m[f"{side}_{d}"] for d in ("BATCH", "HEIGHT", "ROWS", "COLS")) for side in ("LHS", "RHS", "OUTPUT")]
    a, b, want = (arrays[n].reshape(s) for n, s in zip(("lhs_input_tensor", "rhs_input_tensor", "output"), shapes, strict=True))
    scale = real(m, "OUTPUT_MULTIPLIER", "OUTPUT_SHIFT")
    sides = [(a, quant(fmt_of(a), np.float64(scale), -m["LHS_OFFSET"])), (b, quant(fmt_of(b), np.float64(1), -m["RHS_OFFSET"]))]
    attrs = {"trans_a": bool(m["ADJ_X"]), "trans_b": bool(m["ADJ_Y"]), "alpha": 1.0, "beta": 1.0}
    return step("matmul", sides, want, output(m, want), attrs, "gemmlowp_int64" if a.dtype == np.int16 else "gemmlowp")


def pad(arrays: dict[str, Array], m: Macros) -> Built:
    shape = tuple(m[f"INPUT_{d}"] for d in "NHWC")
    widths = tuple((m[f"PRE_PAD_{d}"], m[f"POST_PAD_{d}"]) for d in "NHWC")
    want = arrays["output"].reshape([n + a + b for n, (a, b) in zip(shape, widths, strict=True)])
    q = quant(fmt_of(want), np.float64(1))
    attrs = {"widths": widths, "value": float(m["PAD_VALUE"]), "mode": "constant"}
    return step("pad", [(arrays["input_tensor"].reshape(shape), q)], want, q, attrs)


def transpose(case: str) -> Callable[[dict[str, Array], Macros], Built]:
    """The published macros break off before the sizes: those are taken under which the order in the name gives the output."""
    letters = {"matrix": "hw"}.get(case, case)
    order = "nhwc" if len(letters) > 2 else "wh"
    perm = tuple(order.index(c) for c in letters)

    def build(arrays: dict[str, Array], m: Macros) -> Built:
        x, want = arrays["input_tensor"], arrays["output"]
        shape = next(s for s in shapes(x.size, len(perm)) if np.array_equal(x.reshape(s).transpose(perm).ravel(), want))
        turned = tuple(shape[p] for p in perm)
        q = quant(fmt_of(x), np.float64(1))
        return step("transpose", [(x.reshape(shape), q)], want.reshape(turned), q, {"perm": perm})

    return build


def shapes(size: int, rank: int) -> list[tuple[int, ...]]:
    """Every shape of so many elements and dimensions, the most even ones first."""
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    found = [(*s, size // int(np.prod(s))) for s in product(divisors, repeat=rank - 1) if size % int(np.prod(s)) == 0]
    return sorted(found, key=max)


def transpose_conv(arrays: dict[str, Array], m: Macros) -> Built:
    """Filters (outputs, rows, columns, inputs)."""
    size, out = ((m[f"{n}_H"], m[f"{n}_W"]) for n in ("INPUT", "OUTPUT"))
    x = arrays["input"].reshape(m["INPUT_BATCHES"], *size, m["IN_CH"]).transpose(NCHW)
    w = arrays["weights"].reshape(m["OUT_CH"], m["FILTER_Y"], m["FILTER_X"], m["IN_CH"]).transpose(3, 0, 1, 2)
    want = arrays["output_ref"].reshape(m["INPUT_BATCHES"], *out, m["OUT_CH"]).transpose(NCHW)
    scale = multipliers(arrays, m, m["OUT_CH"])
    y = output(m, want)
    inputs: list[tuple[Any, Any]] = [
        (stored("x", x, quant("int8", np.float64(1), -m["INPUT_OFFSET"])), x),
        (stored("w", np.ascontiguousarray(w), quant("int8", scale, 0, 1), constant=True), None),
    ]
    if "biases" in arrays:
        bias = quant("int64", scale.astype(np.float32), 0, 0)
        inputs.append((stored("b", arrays["biases"].astype(np.int64), bias, constant=True), None))
    pads = tuple(m[f"PAD_{a}"] for a in "YX")
    strides, dilations = (tuple(m[f"{n}_{a}"] for a in "YX") for n in ("STRIDE", "DILATION"))
    attrs = {"group": 1, "strides": strides, "dilations": dilations, "crop": pads, "size": out}
    program, feeds = step_program("conv_transpose", inputs, (want.shape, y), attrs, "gemmlowp")
    return program, feeds, want


def lstm(arrays: dict[str, Array], m: Macros) -> Built:
    """8- or 16-bit numbers with a 16-bit cell; gates in ONNX's order."""
    steps, batch, size, hidden = (m[k] for k in ("TIME_STEPS", "BATCH_SIZE", "INPUT_SIZE", "HIDDEN_SIZE"))
    gates = [f"{g}_gate" for g in ("input", "output", "forget", "cell")]
    x, want = arrays["input_tensor"], arrays["output"]
    x = x.reshape(steps, batch, size) if m["TIME_MAJOR"] else x.reshape(batch, steps, size).transpose(1, 0, 2)
    want = want.reshape(steps, batch, hidden) if m["TIME_MAJOR"] else want.reshape(batch, steps, hidden).transpose(1, 0, 2)
    w, r = (np.concatenate([arrays[f"{g}_{n}_weights"].reshape(hidden, -1) for g in gates])[None] for n in ("input", "hidden"))
    scales = [
        np.repeat([real(m, f"{g.upper()}_{n}_MULTIPLIER", f"{g.upper()}_{n}_SHIFT") * 2.0**-12 for g in gates], hidden)
        for n in ("INPUT", "HIDDEN")
    ]
    bias = np.concatenate([*(arrays[f"{g}_bias"] for g in gates), np.zeros(4 * hidden, np.int64)])[None]
    zero = m["OUTPUT_ZERO_POINT"]
    y, fmt = quant(fmt_of(want), np.float64(1), zero), fmt_of(x)
    inputs: list[tuple[Any, Any]] = [
        (stored("x", x, quant(fmt, np.float64(1), -m["INPUT_ZERO_POINT"])), x),
        (stored("w", w, quant("int8", scales[0], 0, 1), constant=True), None),
        (stored("r", r, quant("int8", scales[1], 0, 1), constant=True), None),
        (stored("b", bias, quant("int64", np.ones(8 * hidden), 0, 1), constant=True), None),
    ]
    grids = {"cell_scale": 2.0 ** m["CELL_SCALE_POWER"], "hidden_scale": 2.0**-30 / real(m, "OUTPUT_MULTIPLIER", "OUTPUT_SHIFT")}
    grids["entering"] = real(m, "INPUT_TO_CELL_MULTIPLIER", "INPUT_TO_CELL_SHIFT")
    attrs = {"hidden": hidden, "direction": "forward", "coupled": "", "hidden_zero": zero, "cell_clip": 0.0, **grids}
    program, feeds = step_program("lstm", inputs, ((steps, 1, batch, hidden), y), attrs, "cmsis_nn")
    return program, feeds, np.ascontiguousarray(want[:, None])


KINDS: dict[str, Callable[[dict[str, Array], Macros], Built]] = {
    "add": add,
    "avgpooling": pool("average_pool"),
    "batch_matmul": batch_matmul,
    "lstm": lstm,
    "maximum": extreme("max"),
    "maxpool": pool("max_pool"),
    "minimum": extreme("min"),
    "mul": mul,
    "pad": pad,
    "reverse_transpose_conv": transpose_conv,
    "softmax": softmax,
    "transpose_conv": transpose_conv,
    **{f"transpose_{n}": transpose(n) for n in ("chwn", "matrix", "nchw", "ncwh", "nhcw", "nwhc", "wchn")},
}
ELSEWHERE = ("ds_cnn", "svdf")


def builder(case: str) -> tuple[str, Callable[[dict[str, Array], Macros], Built]]:
    """The longest kind with which a case's name begins."""
    kind = max((k for k in KINDS if case.startswith(k)), key=len)
    return kind, KINDS[kind]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_other_vector_is_exact(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    counted: Counter[str] = Counter()
    wrong = []
    for name, (arrays, macros) in vectors().items():
        if kind_of(name, arrays, macros) or name.startswith(ELSEWHERE):
            continue
        kind, build = builder(name)
        program, feeds, want = build(arrays, macros)
        y = program.tensors["y"].quant
        assert y is not None
        got = np.clip(execute(program, feeds, engine=engine).tensors["y"], y.qmin, y.qmax)  # a maximum's own bound is an operator
        assert engine == "reference" or all(s.step is None for s in assemble(program).segments), name
        counted[kind] += 1
        wrong += [] if np.array_equal(got, want) else [name]
    with capsys.disabled():
        print(f"\nCMSIS-NN vectors in {engine}: {sum(counted.values()) - len(wrong)} exact of {sum(counted.values())}: {dict(counted)}")
    assert wrong == []
    assert counted


@pytest.mark.parametrize("engine", ENGINES)
def test_every_svdf_vector_is_exact(engine: str) -> None:
    """The state goes from one step of the sequence to the next; the published output is that of the last."""
    wrong = []
    for name, (arrays, m) in vectors().items():
        if not name.startswith("svdf"):
            continue
        batch, size, filters, memory = (m[k] for k in ("INPUT_BATCHES", "INPUT_SIZE", "FEATURE_BATCHES", "TIME_BATCHES"))
        held = arrays["weights_time"].dtype.name
        state, y = np.zeros((batch, filters * memory), held), np.zeros(0)
        one = np.float64(1)
        grids = [
            quant("int8", one, m["INPUT_OFFSET"]),  # here it is the zero point itself
            quant("int8", np.float64(real(m, "MULTIPLIER_IN", "SHIFT_1"))),
            quant(held, np.float64(real(m, "MULTIPLIER_OUT", "SHIFT_2"))),
            quant("int32", one),
            quant(held, one, 0, None, m["IN_ACTIVATION_MIN"], m["IN_ACTIVATION_MAX"]),
        ]
        target = output(m, arrays["output_ref"])
        weights = (arrays["weights_feature"].reshape(filters, size), arrays["weights_time"].reshape(filters, memory), arrays["biases"])
        for x in arrays["input_sequence"].reshape(-1, batch, size):
            given = list(zip((x, *weights, state), grids, strict=True))
            shape = (batch, filters // m["RANK"])
            program, feeds, _ = step("svdf", given, np.zeros(shape, np.int8), target, {"rank": m["RANK"]}, "cmsis_nn")
            y, state = load("ops", "svdf").integer(program.layers[0].steps[0], *(a for a, _ in given))
            assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], y)
        wrong += [] if np.array_equal(y.ravel(), arrays["output_ref"]) else [name]
    assert wrong == []
