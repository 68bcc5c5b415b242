"""Both executors against plain Python on small steps: accumulators of every kind, every width, every arithmetic."""

from __future__ import annotations

import itertools
from mmap import mmap
from typing import Any

import numpy as np
import pytest

from hwsim.graph import Tensor
from hwsim.kernels import moving
from hwsim.kernels.compiling import Kernel, entry
from hwsim.ops._lowering import float_bits
from hwsim.program import Accumulator
from hwsim.quant import Array
from hwsim.shelf import names
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from tests import naive
from tests.steps import ENGINES, conv_attrs, quant, step_program, stored

MODES = [
    Accumulator(bits, overflow, every, tile, zero)
    for bits, (overflow, every, tile), zero in itertools.product(
        (12, 16, 20, 32),
        (
            ("wrap", "mac", 1),
            ("saturate", "mac", 1),
            ("saturate", "tile", 4),
            ("wrap", "tile", 3),
            ("wrap", "pair", 2),
            ("saturate", "pair", 2),
        ),
        ("folded", "subtracted"),
    )
]


def naive_conv(x: Array, w: Array, bias: Array, zeros: tuple[int, int], a: Accumulator, group: int, pad: int) -> tuple[Array, int]:
    """Accumulators (positions, outputs) in kernel order with channels innermost, and how many overflowed."""
    xz, wz = zeros
    filled = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=xz)
    kh, kw = w.shape[2:]
    rows, columns = filled.shape[2] - kh + 1, filled.shape[3] - kw + 1
    each, outs = w.shape[1], w.shape[0] // group
    sums, overflowed = [], 0
    for oy, ox in itertools.product(range(rows), range(columns)):
        for o in range(w.shape[0]):
            first = o // outs * each
            cells = [
                (int(filled[0, first + c, oy + ky, ox + kx]), int(w[o, c, ky, kx]))
                for ky in range(kh)
                for kx in range(kw)
                for c in range(each)
            ]
            start, late = int(bias[o]), 0
            if a.zero_points == "subtracted":
                cells = [(p - xz, q - wz) for p, q in cells]
            else:
                start += xz * (len(cells) * wz - sum(q for _, q in cells))
                late = -wz * sum(p for p, _ in cells)
            total, changed = naive.accumulate([p for p, _ in cells], [q for _, q in cells], start, a.bits, a.overflow, a.every, a.tile)
            final = (naive.wrap if a.overflow == "wrap" else naive.saturate)(total + late, a.bits)
            if a.any_order:
                exact = sum(p * q for p, q in cells) + start + late
                changed, final = naive.wrap(exact, a.bits) != exact, naive.wrap(exact, a.bits)
            else:
                changed = changed or final != total + late
            overflowed += changed
            sums.append(final)
    return np.array(sums).reshape(rows * columns, w.shape[0]), overflowed


@pytest.mark.parametrize("a", MODES, ids=lambda a: f"{a.bits}-{a.overflow}-{a.every}{a.tile}-{a.zero_points}")
def test_accumulators(a: Accumulator) -> None:
    """Worst-case data, since random data does not overflow; padding, groups and both zero points included."""
    rng = np.random.default_rng(a.bits)
    for group, (xz, wz) in itertools.product((1, 2), ((0, 0), (130, 3))):
        x = rng.choice(np.array([0, 7, 200, 255]), (1, 4, 3, 3)).astype(np.uint8)
        w = rng.choice(np.array([-128, -5, 90, 127]), (4, 4 // group, 2, 2)).astype(np.int8)
        bias = rng.integers(-3000, 3000, 4).astype(np.int32)
        want, overflowed = naive_conv(x.astype(int), w.astype(int), bias, (xz, wz), a, group, 1)
        xq, wq = quant("uint8", np.float32(1), xz), quant("int8", np.float32(1), wz)
        inputs: list[tuple[Any, Any]] = [
            (stored("x", x, xq), x),
            (stored("w", w, wq, constant=True), None),
            (stored("b", bias, quant("int32", np.float32(1)), constant=True), None),
        ]
        program, feeds = step_program(
            "conv", inputs, ((1, 4, 4, 4), None), conv_attrs((2, 2), (1, 1), (1, 1), (1, 1), group=group), accumulator=a
        )
        for engine in ENGINES:
            run = execute(program, feeds, engine=engine)
            assert np.array_equal(run.tensors["y"], want.T.reshape(1, 4, 4, 4).astype(np.float32)), (engine, group)
            assert run.overflowed.get("step", 0) == overflowed, (engine, group)


def test_saturating_pairs_of_a_processor_without_vnni() -> None:
    """onnxruntime issue 16105: 210 x -81 + 198 x -80 = -32850 saturates an int16 pair, with -80 twice it is -32640 and right."""
    for w, right in (([-81, -80], -32768), ([-80, -80], -32640)):
        x = np.array([[210, 198]], np.uint8)
        weights = np.array([[w[0]], [w[1]]], np.int8)
        program, feeds = step_program(
            "matmul",
            [(stored("x", x, quant("uint8")), x), (stored("w", weights, quant("int8"), constant=True), None)],
            ((1, 1), None),
            {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0},
            accumulator=Accumulator(32, "wrap", "pair"),
        )
        for engine in ENGINES:
            run = execute(program, feeds, engine=engine)
            assert run.tensors["y"].tolist() == [[right]]
            assert run.overflowed.get("step", 0) == (right == -32768)


@pytest.mark.parametrize(
    ("x_format", "w_format"),
    [
        *itertools.product(
            ("uint2", "int4", "uint6", "int8", "uint12", "int16", "uint16"),
            ("int2", "ternary", "bipolar", "int3", "uint8", "int8", "int12", "int16"),
        )
    ],
)
def test_every_width(x_format: str, w_format: str) -> None:
    """Convolution of every pair of widths, by its definition on the stored numbers."""
    rng = np.random.default_rng(9)
    from hwsim import formats

    def draw(fmt: str, shape: tuple[int, ...]) -> Array:
        f = formats.get(fmt)
        values = rng.integers(int(f.low), int(f.high) + 1, shape)
        return (np.where(values == 0, 1, values) if fmt == "bipolar" else values).astype(f.dtype)

    x, w = draw(x_format, (1, 3, 5, 5)), draw(w_format, (2, 3, 3, 3))
    xq, wq = quant(x_format, np.float32(0.5), 1), quant(w_format, np.float32(0.25))
    program, feeds = step_program(
        "conv",
        [(stored("x", x, xq), x), (stored("w", w, wq, constant=True), None)],
        ((1, 2, 3, 3), None),
        conv_attrs((3, 3)),
        accumulator=Accumulator(64),
    )
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64) - 1, (3, 3), (2, 3))
    want = np.einsum("nchwij,ocij->nohw", windows, w.astype(np.int64)).astype(np.float32) * np.float32(0.125)
    for engine in ENGINES:
        assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], want), engine


@pytest.mark.parametrize("arithmetic", names("arithmetics"))
@pytest.mark.parametrize(
    "op", ["add", "mul", "average_pool", "global_average", "softmax", "sigmoid", "resize", "concat", "conv", "conv_transpose", "matmul"]
)
def test_executors_agree(op: str, arithmetic: str) -> None:
    """Every operator under every arithmetic, power-of-two scales so that the shifts can run too."""
    rng = np.random.default_rng(11)
    q = quant("uint8", np.float32(2**-4), 3)
    wide = quant("uint8", np.float32(2**-3), 7)
    x, x2 = (rng.integers(0, 256, (2, 6, 8, 8)).astype(np.uint8) for _ in range(2))
    pool = {**conv_attrs((2, 2), (2, 2), (1, 0), (0, 1)), "count_pad": False, "counted_after": (0, 1), "global": False}
    whole = {**conv_attrs((8, 8)), "count_pad": False, "counted_after": (0, 0), "global": True}
    single = [(stored("x", x, q), x)]
    if op in ("add", "mul"):
        program, feeds = step_program(
            "binary", [*single, (stored("b", x2, wide), x2)], (x.shape, wide), {"function": op, "clip": (0.0, 20.0)}, arithmetic
        )
    elif op == "average_pool":
        program, feeds = step_program(op, single, ((2, 6, 4, 4), wide), pool, arithmetic)
    elif op == "global_average":
        program, feeds = step_program("average_pool", single, ((2, 6, 1, 1), wide), whole, arithmetic)
    elif op == "softmax":
        program, feeds = step_program(op, single, (x.shape, quant("uint8", np.float32(2**-8))), {"axes": (1,), "log": False}, arithmetic)
    elif op == "sigmoid":
        program, feeds = step_program(
            "unary", single, (x.shape, quant("uint8", np.float32(2**-8))), {"function": op, "params": {}}, arithmetic
        )
    elif op == "resize":
        attrs = {
            "size": (2, 6, 15, 13),
            "factors": (1.0, 1.0, 15 / 8, 13 / 8),
            "mode": "linear",
            "coordinate": "half_pixel",
            "nearest": "floor",
        }
        program, feeds = step_program(op, single, ((2, 6, 15, 13), wide), attrs, arithmetic)
    elif op == "concat":
        program, feeds = step_program(op, [*single, (stored("b", x2, wide), x2)], ((2, 12, 8, 8), wide), {"axis": 1}, arithmetic)
    else:
        program, feeds = _mac_program(op, x, q, wide, arithmetic, rng)
    a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("largest", [0.99999994, 1.5], ids=["below_one", "above_one"])
@pytest.mark.parametrize("arithmetic", ["onnxruntime", "xnnpack", "litert_ref", "cmsis_nn"])
def test_sums_far_outside_the_output(arithmetic: str, largest: float) -> None:
    """Sums up to the ends of int32 by scales from tiny to about one, limits inside the format's or its own: whole and part panels, by
    channel too."""
    rng = np.random.default_rng(12)
    shapes = ((16, 1, "uint8"), (32, 1, "int8"), (48, 1, "int8"), (64, 1, "uint8"), (90, 1, "int8"), (112, 112, "int8"))
    for (outputs, group, fmt), grid in itertools.product(shapes, ("limited", "bytes", "lowest zero")):
        q, lowest = quant(fmt, np.float32(1), 3), -128 if fmt == "int8" else 0
        limits = {"low": lowest + 9, "high": 101} if grid == "limited" else {"low": lowest, "high": lowest + 255}
        y = quant(fmt, np.float32(1), lowest if grid == "lowest zero" else 5, **limits)
        x = rng.integers(int(q.format.low), int(q.format.high) + 1, (1, group if group > 1 else 5, 6, 7)).astype(q.format.dtype)
        scale = (rng.uniform(0.1, 1, outputs) * 2.0 ** rng.integers(-30, 1, outputs)).astype(np.float32)
        scale[::5] = largest
        w = rng.integers(-127, 128, (outputs, 1 if group > 1 else 5, 3, 3)).astype(np.int8)
        bias = (rng.integers(0, 2, outputs) * 2 - 1) * (2.0 ** rng.uniform(0, 30.9, outputs))
        tensors = [(stored("x", x, q), x), (stored("w", w, quant("int8", scale, 0, 0), constant=True), None)]
        tensors.append((stored("b", bias.astype(np.int32), quant("int32", scale, 0, 0), constant=True), None))
        shape = (1, outputs, 6, 7)
        program, feeds = step_program("conv", tensors, (shape, y), conv_attrs((3, 3), (1, 1), (1, 1), (1, 1), group=group), arithmetic)
        a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
        assert np.array_equal(a, b), (outputs, group, fmt, grid)
        assert {int(a.min()), int(a.max())} == {int(y.qmin), int(y.qmax)}


@pytest.mark.parametrize("fmt", ["uint8", "int16"])
@pytest.mark.parametrize("kernel", [(1, 3), (2, 2), (3, 3), (5, 5), (7, 7)], ids=str)
def test_depthwise_windows(kernel: tuple[int, int], fmt: str) -> None:
    """Windows of every weave, written out and in a loop, over rows of even and odd length."""
    rng = np.random.default_rng(15)
    for strides, dilations, channels in (((1, 1), (1, 1), 70), ((2, 2), (1, 1), 19), ((1, 3), (1, 1), 5), ((1, 1), (2, 1), 40)):
        q, y = quant(fmt, np.float32(1), 3 if fmt == "uint8" else 0), quant(fmt, np.float32(90), 5 if fmt == "uint8" else 0)
        x = rng.integers(0, 256, (2, channels, 9, 12)).astype(q.format.dtype)
        w = rng.integers(-127, 128, (channels, 1, *kernel)).astype(np.int8)
        pads = tuple(k // 2 for k in kernel)
        attrs = conv_attrs(kernel, strides, pads, pads, dilations, channels)
        size = (n + 2 * (k // 2) - d * (k - 1) - 1 for n, k, d in zip((9, 12), kernel, dilations, strict=True))
        shape = (2, channels, *(r // s + 1 for r, s in zip(size, strides, strict=True)))
        tensors = [(stored("x", x, q), x), (stored("w", w, quant("int8", np.float32(1), 0), constant=True), None)]
        program, feeds = step_program("conv", tensors, (shape, y), attrs, "onnxruntime")
        a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
        assert np.array_equal(a, b), (strides, dilations, channels)


@pytest.mark.parametrize("planes", [2, 3, 4])
def test_planes_woven_into_pixels(planes: int) -> None:
    """Planes of any width become channels-last pixels, and nothing behind them is touched."""
    rng = np.random.default_rng(13)
    operands = (moving.Operand("a", "f32", "next"), moving.Operand("y", "u8", "far", planes))
    names_ = (*moving.walk_args("ay"), "scale", "low", "high", "offset")
    run = entry(Kernel(moving.quantize, operands))
    for rows, width in ((1, 1), (2, 15), (3, 16), (2, 37)):
        x, y = rng.normal(0, 60, (rows, planes, width)).astype(np.float32), np.full(rows * width * planes + 64, 77, np.uint8)
        args = dict.fromkeys(names_, 0) | {f"size{d}": 1 for d in range(moving.DIMS)}
        args |= {"a": x.ctypes.data, "a_absolute": 1, "y": y.ctypes.data, "y_absolute": 1, "size2": rows, "size3": planes, "size4": width}
        args |= {"a2": 4 * planes * width, "a3": 4 * width, "a4": 4, "y2": planes * width, "y3": 1, "y4": planes}
        args |= {"scale": float_bits(np.float32(0.5)), "low": -100, "high": 155, "offset": 100}
        held = np.array([args[n] for n in names_], np.int64)
        run(int(held.ctypes.data), 0)
        want = np.rint(np.clip(x / np.float32(0.5), -100, 155)).transpose(0, 2, 1).ravel() + 100
        assert np.array_equal(y[:-64], want)
        assert (y[-64:] == 77).all()


def _mac_program(op: str, x: Array, q: Any, y: Any, arithmetic: str, rng: np.random.Generator) -> Any:
    scale = np.float32(2.0) ** rng.integers(-9, -5, 6)
    if op == "matmul":
        w = rng.integers(-128, 128, (8, 6)).astype(np.int8)
        return step_program(
            op,
            [(stored("x", x, q), x), (stored("w", w, quant("int8", scale, 0, 1), constant=True), None)],
            ((2, 6, 8, 6), y),
            {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0},
            arithmetic,
        )
    bias = rng.integers(-9000, 9000, 6).astype(np.int32)
    b = (stored("b", bias, quant("int32", np.float32(2**-4) * scale, 0, 0), constant=True), None)
    if op == "conv":
        w = rng.integers(-128, 128, (6, 3, 3, 3)).astype(np.int8)
        attrs = conv_attrs((3, 3), (2, 1), (1, 1), (1, 1), group=2)
        return step_program(
            op,
            [(stored("x", x, q), x), (stored("w", w, quant("int8", scale, 0, 0), constant=True), None), b],
            ((2, 6, 4, 8), y),
            attrs,
            arithmetic,
        )
    w = rng.integers(-128, 128, (6, 6, 3, 3)).astype(np.int8)
    attrs = {"group": 1, "strides": (2, 2), "dilations": (1, 1), "crop": [1, 1], "size": (15, 15)}
    return step_program(
        op,
        [(stored("x", x, q), x), (stored("w", w, quant("int8", scale, 0, 1), constant=True), None), b],
        ((2, 6, 15, 15), y),
        attrs,
        arithmetic,
    )


def test_batched_product_of_computed_matrices() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 3, 5, 7)).astype(np.uint8), rng.integers(-128, 128, (3, 7, 4)).astype(np.int8)
    qa, qb, qy = quant("uint8", np.float32(0.1), 9), quant("int8", np.float32(0.2), -3), quant("int8", np.float32(5.0), 4)
    program, feeds = step_program(
        "matmul",
        [(stored("a", a, qa), a), (stored("b", b, qb), b)],
        ((2, 3, 5, 4), qy),
        {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0},
    )
    sums = np.matmul(a.astype(np.int64) - 9, b.astype(np.int64) + 3)
    scale = np.float32(np.float32(0.1) * np.float32(0.2)) / np.float32(5.0)
    want = np.clip(np.rint(sums.astype(np.float32) * scale) + 4, -128, 127)
    for engine in ENGINES:
        assert np.array_equal(execute(program, feeds, engine=engine).tensors["y"], want)


@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False)], ids=["plain", "right", "left"])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 1), (1, 40, 130), (5, 7, 3), (13, 64, 65), (6, 33, 200), (70, 2, 17)])
def test_batched_products_of_every_size(rows: int, depth: int, columns: int, turned: tuple[bool, bool]) -> None:
    """Zero points at both ends of the formats, the largest numbers, matrices beside one another and shared, stored and real outputs."""
    rng = np.random.default_rng(rows + depth)
    for (xz, wz), batch in zip(((0, -128), (255, 127), (3, 0)), ((), (3,), (2, 2)), strict=True):
        left, right = (shape[:: -1 if t else 1] for t, shape in zip(turned, ((rows, depth), (depth, columns)), strict=True))
        a = rng.choice(np.array([0, 255, 7]), (*batch, *left)).astype(np.uint8)
        b = rng.choice(np.array([-128, 127, -5]), (*batch[1:], *right)).astype(np.int8)
        tensors = [(stored("a", a, quant("uint8", np.float32(0.1), xz)), a), (stored("b", b, quant("int8", np.float32(0.2), wz)), b)]
        attrs = {"trans_a": turned[0], "trans_b": turned[1], "alpha": 1.0, "beta": 1.0}
        for y in (quant("uint8", np.float32(2.0**6), 100), None):
            program, feeds = step_program("matmul", list(tensors), ((*batch, rows, columns), y), attrs)
            found, wanted = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
            assert np.array_equal(found, wanted), (batch, y)
            assert all(s.step is None for s in assemble(program).segments)


@pytest.mark.parametrize("fmt", ["uint8", "int16"])
def test_a_bias_on_computed_matrices(fmt: str) -> None:
    rng, q = np.random.default_rng(8), quant(fmt, np.float32(0.1), 3)
    a, b = rng.integers(0, 100, (5, 7)).astype(fmt), rng.integers(0, 100, (7, 4)).astype(fmt)
    bias = (stored("c", rng.integers(-90000, 90000, 4).astype(np.int32), quant("int32", np.float32(0.01)), constant=True), None)
    attrs = {"trans_a": False, "trans_b": False, "alpha": 1.0, "beta": 1.0}
    y = quant(fmt, np.float32(4))
    program, feeds = step_program("matmul", [(stored("a", a, q), a), (stored("b", b, q), b), bias], ((5, 4), y), attrs)
    found, wanted = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("held", ["int8", "int16"])
def test_svdf_from_a_state(held: str) -> None:
    """Odd and even sizes, sums far outside the limits, and a state that is fed."""
    rng = np.random.default_rng(3)
    for batch, size, units, rank, steps in ((1, 1, 1, 1, 1), (2, 7, 3, 2, 5), (3, 40, 17, 1, 8), (1, 33, 64, 2, 10)):
        filters = units * rank
        fits = {"x": (batch, size), "features": (filters, size), "time": (filters, steps), "state": (batch, filters * steps)}
        grids = {"x": quant("int8", np.float32(0.02), 5), "features": quant("int8", np.float32(0.01))}
        grids |= {"time": quant(held, np.float32(2**-6)), "state": quant(held, np.float32(2**-5 if held == "int8" else 2**-12))}
        drawn = {n: rng.integers(int(grids[n].format.low), int(grids[n].format.high) + 1, s) for n, s in fits.items()}
        arrays = {n: a.astype(grids[n].format.dtype) for n, a in drawn.items()}
        bias = rng.integers(-90000, 90000, units).astype(np.int32)
        inputs: list[tuple[Any, Any]] = [(stored(n, a, grids[n], n in ("features", "time")), a) for n, a in arrays.items()]
        inputs.insert(3, (stored("bias", bias, quant("int32"), constant=True), None))
        program, feeds = step_program("svdf", inputs, ((batch, units), quant("int8", np.float32(0.5), -4)), {"rank": rank}, "litert_ref")
        a, b = (execute(program, feeds, engine=e).tensors["y"] for e in ENGINES)
        assert np.array_equal(a, b), (size, units)
        assert all(s.step is None for s in assemble(program).segments)


def test_a_convolution_of_constants_alone() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.integers(0, 256, (1, 3, 5, 5)).astype(np.uint8), rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    q, qw, qy = quant("uint8", np.float32(0.1), 9), quant("int8", np.float32(0.2), 0), quant("uint8", np.float32(20.0), 128)
    known, computed = (
        step_program(
            "conv", [(stored("x", x, q, constant=c), x), (stored("w", w, qw, constant=True), None)], ((1, 4, 3, 3), qy), conv_attrs((3, 3))
        )
        for c in (True, False)
    )
    want = execute(*computed, engine="reference").tensors["y"]
    for engine in ENGINES:
        assert np.array_equal(execute(known[0], {}, engine=engine).tensors["y"], want)


def test_inputs_that_are_only_quantized() -> None:
    """They are read where the caller holds them: with gaps, up to the end of a page, or after a conversion; no copy is kept."""
    q, shape = quant("uint8", np.float32(0.1), 100), (1, 3, 5, 41)
    numbers = np.random.default_rng(16).normal(0, 9, shape).astype(np.float32)
    at_end = np.frombuffer(mmap(-1, 4096), np.float32)[-numbers.size :].reshape(shape)
    at_end[...] = numbers
    gaps = np.repeat(numbers, 2, axis=3)[..., ::2]
    x = (Tensor("x", shape, "float32"), numbers)
    program, _ = step_program("quantize", [x], (shape, q), {"format": "uint8", "axis": 1, "block": 0})
    assembly = assemble(program)
    assert assembly.places["x"].borrowed and assembly.size < 3 * numbers.size
    for given in (numbers, at_end, gaps, numbers.astype(np.float64), numbers[:, ::-1, ::-1], numbers):
        want = execute(program, {"x": given}, engine="reference").tensors["y"]
        assert np.array_equal(assembly.run({"x": given}).tensors["y"], want)
    every = execute(program, {"x": at_end}, all_tensors=True).tensors
    assert np.array_equal(every["x"], numbers)
