"""Single operators: matrix products and depthwise layers, beside ONNX Runtime and beside the processor's own limit."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np

from hwsim.kernels import host
from hwsim.kernels.amx import CONFIG, DEPTH, ROWS
from hwsim.kernels.code import Code
from hwsim.kernels.compiling import Kernel, entry
from hwsim.kernels.dots import PAIRS, Dot, best
from hwsim.kernels.memory import Memory
from tests.bench import _engine_models as models
from tests.bench import widths
from tests.bench._alone import alone
from tests.bench._clock import Call, Row, interleaved, ratio

PEAK_STEPS = 300_000
TILE_BYTES = ROWS * DEPTH


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


def tile_peak(source: str) -> str:
    """Kernel: products of tiles (AMX) in the first-level cache, loaded anew for every step; `source` as for `peak`."""
    k = Code(("steps", "config"))
    k.machine("llvm.x86.ldtilecfg", k["config"])
    for register in range(4):
        k.machine("llvm.x86.tilezero", register)
    with k.loop(k["steps"]):
        for register in range(4, 8):
            k.machine("llvm.x86.tileloadd64", register, k.words[1] + TILE_BYTES * (register - 4), k.number("i64", DEPTH))
        for register in range(4):
            k.machine("llvm.x86.tdpbusd", register, 4 + register // 2, 6 + register % 2)
    k.machine("llvm.x86.tilerelease")
    return k.finished()


def widest_macs() -> tuple[Call, float]:
    """`peak_macs` of the widest 8-bit product that the processor has."""
    if not host.amx():
        return peak_macs(best())
    steps, config = PEAK_STEPS // 100, np.frombuffer(CONFIG, np.uint8)
    args, arena = np.array([steps, config.ctypes.data], np.int64), Memory().take(4 * TILE_BYTES)
    arena[:] = np.random.default_rng(0).integers(0, 256, arena.size)
    run = entry(Kernel(tile_peak, (sha256(Path(__file__).read_bytes()).hexdigest(),)))
    return (lambda held=(args, config): run(held[0].ctypes.data, arena.ctypes.data)), float(steps * 4 * ROWS * ROWS * DEPTH)


def gemm() -> list[Row]:
    """1024 x 1024 x 1024, uint8 by int8; ours requantizes too, the integer product of ONNX Runtime stops at int32."""
    model = models.gemm(1024, 1024, 1024)
    a = np.random.default_rng(3).integers(0, 256, (1024, 1024)).astype(np.uint8)
    (fused, ours), (integer, _) = models.both(model, {"a": a}), (models.session(models.gemm_integer(model), True), None)
    (limit, products), (widest, most) = peak_macs(best()), widest_macs()
    taken = interleaved(fused, lambda: integer.run(None, {"a": a}), limit, ours, widest, rounds=21)
    rates = np.array([1024**3, 1024**3, products, 1024**3, most]) / np.median(taken, 1) / 1e9
    words = f"QLinearMatMul {rates[0]:.0f}, MatMulInteger {rates[1]:.0f} against {rates[3]:.0f} GMAC/s; peak {rates[2]:.0f}"
    rows = [
        Row("int8 GEMM 1024^3 against ONNX Runtime u8s8 (the faster of two forms)", rates[3] / max(rates[:2]), 1.0, 1.12, words),
        Row("the same as a share of the peak of the processor's 8-bit products in vectors", 100 * rates[3] / rates[2], 85, 97, words, "%"),
    ]
    if host.amx():
        rows.append(
            Row("the same as a share of the peak of its tiles", 100 * rates[3] / rates[4], 0, 0, f"peak {rates[4]:.0f} GMAC/s", "%")
        )
    return rows


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
    """Products of few bits beside our own 8-bit product; every width and accumulator is in reports/widths.md.

    Where AMX is, large products of either are also made in tiles: products in tiles are compared with the 8-bit one in tiles.  That of
    bits, which no tile holds, is as fast as it then; it is compared with the 8-bit one in vectors, too.
    """
    rows = []
    for row in (r for r in widths.WIDTHS if r.must):
        ways = [(False, False)]
        if host.amx() and row.shape is widths.LARGE:
            ways += [(True, True), (True, False)] if row.x == "bipolar" else [(True, True)]
        for tiles, plain in ways:
            wanted = (row.must, row.aim) if row.x != "bipolar" or (tiles, plain) == ways[-1] else (0, 0)
            shape = " x ".join(map(str, row.shape))
            own, other = (f" in {'tiles' if t else 'vectors'}" if len(ways) > 1 else "" for t in (tiles, plain))
            rate, found = widths.measured(row, 25, tiles, plain)
            rows.append(Row(f"{row.name}{own}, {shape}, against our 8-bit product{other}", found, *wanted, f"{rate:.0f} GMAC/s"))
    return rows


def portable_share() -> tuple[float, float]:
    """GMAC/s of the 1024^3 product, and of the processor's 16-bit products alone, on what NUMBA_CPU_NAME says."""
    ours = models.assembled(models.gemm(1024, 1024, 1024))
    a = np.random.default_rng(3).integers(0, 256, (1024, 1024)).astype(np.uint8)
    limit, products = peak_macs(PAIRS)
    taken = np.median(interleaved(limit, lambda: ours.run({"a": a}), rounds=11), 1)
    return float(1024**3 / taken[1] / 1e9), float(products / taken[0] / 1e9)
