"""Single operators: matrix products and depthwise layers, beside ONNX Runtime and beside the processor's own limit."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.compiling import Kernel, entry
from hwsim.kernels.dots import PAIRS, Dot, best
from tests.bench import _engine_models as models
from tests.bench import widths
from tests.bench._alone import alone
from tests.bench._clock import Call, Row, interleaved, ratio

PEAK_STEPS = 300_000


def peak(dot: Dot, source: str) -> str:
    """Kernel: products of numbers in the first-level cache with weights in registers, in enough independent sums to fill every unit.

    `source` tells versions of this function apart in the cache of object code, which knows only hwsim's own.
    """
    k = Code(("steps",))
    lanes, kind = host.lanes(), "u8" if dot.channels == 4 else "i16"
    weights = [k.load(kind, k.words[1] + 64 * i, 4 * lanes // k.size(kind)) for i in range(2)]
    sums = [k.variable(k.number("i32", i, lanes)) for i in range(_chains())]
    with k.loop(k["steps"]) as step:
        for i, s in enumerate(sums):
            numbers = k.load("i32", k.words[1] + (step & 63) * 4 + 64 * (2 + i // 2)).spread(lanes).bits(kind)
            assert dot.multiply is not None
            s.set(dot.multiply(s.get(), numbers, weights[i % 2]))
    for i, s in enumerate(sums):
        k.store(s.get(), k.words[1] + 2048 + 64 * i)
    return k.finished()


def _chains() -> int:
    return 24 if host.registers() > 16 else 12


def peak_macs(dot: Dot) -> tuple[Call, float]:
    """A call of the peak kernel, and the products that it makes."""
    args, arena = np.array([PEAK_STEPS], np.int64), np.random.default_rng(0).integers(0, 256, 4096).astype(np.uint8)
    run = entry(Kernel(peak, (dot, sha256(Path(__file__).read_bytes()).hexdigest())))
    return (lambda: run(args.ctypes.data, arena.ctypes.data)), float(PEAK_STEPS * _chains() * host.lanes() * dot.channels)


def gemm() -> list[Row]:
    """1024 x 1024 x 1024, uint8 by int8; ours requantizes too, the integer product of ONNX Runtime stops at int32."""
    model = models.gemm(1024, 1024, 1024)
    a = np.random.default_rng(3).integers(0, 256, (1024, 1024)).astype(np.uint8)
    (fused, ours), (integer, _) = models.both(model, {"a": a}), (models.session(models.gemm_integer(model), True), None)
    limit, products = peak_macs(best())
    taken = interleaved(fused, lambda: integer.run(None, {"a": a}), limit, ours, rounds=21)
    rates = np.array([1024**3, 1024**3, products, 1024**3]) / np.median(taken, 1) / 1e9
    words = f"QLinearMatMul {rates[0]:.0f}, MatMulInteger {rates[1]:.0f} against {rates[3]:.0f} GMAC/s; peak {rates[2]:.0f}"
    return [
        Row("int8 GEMM 1024^3 against ONNX Runtime u8s8 (the faster of two forms)", rates[3] / max(rates[:2]), 1.0, 1.12, words),
        Row("the same as a share of the peak of the processor's 8-bit products", 100 * rates[3] / rates[2], 85, 97, words, "%"),
    ]


def depthwise() -> list[Row]:
    """Both on channels-last images in place: what ONNX Runtime's own layout optimizer makes of the layer."""
    rows = []
    for channels, size, stride in ((144, 56, 1), (384, 14, 1), (96, 112, 2)):
        model = models.depthwise(channels, size, stride)
        x = np.random.default_rng(4).integers(0, 256, (1, channels, size, size)).astype(np.uint8)
        runtime, last = models.session(models.channels_last(model), True), {"x": np.ascontiguousarray(x.transpose(0, 2, 3, 1))}
        ours = models.assembled(model)
        assert np.array_equal(ours.run({"x": x}).tensors["y"], runtime.run(None, last)[0].transpose(0, 3, 1, 2))
        found, words = ratio(lambda r=runtime, f=last: r.run(None, f), alone(ours, {"x": x}), rounds=51)
        title = f"depthwise 3x3, {channels} channels, {size} x {size}, stride {stride}, against ONNX Runtime u8"
        rows.append(Row(title, found, 1.8, 2.7, words))
    return rows


def narrow() -> list[Row]:
    """Products of few bits beside our own 8-bit product; every width and accumulator is in reports/widths.md."""
    rows = []
    for row in widths.WIDTHS:
        if row.must:
            rate, found = widths.measured(row, 25)
            shape = " x ".join(map(str, row.shape))
            rows.append(Row(f"{row.name}, {shape}, against our 8-bit product", found, row.must, row.aim, f"{rate:.0f} GMAC/s"))
    return rows


def portable_share() -> tuple[float, float]:
    """GMAC/s of the 1024^3 product, and of the processor's 16-bit products alone, on what NUMBA_CPU_NAME says."""
    ours = models.assembled(models.gemm(1024, 1024, 1024))
    a = np.random.default_rng(3).integers(0, 256, (1024, 1024)).astype(np.uint8)
    limit, products = peak_macs(PAIRS)
    taken = np.median(interleaved(limit, lambda: ours.run({"a": a}), rounds=11), 1)
    return float(1024**3 / taken[1] / 1e9), float(products / taken[0] / 1e9)
