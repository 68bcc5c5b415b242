"""Every quantizer of the shelf against the closed forms, constants and identities of its paper."""

from __future__ import annotations

from itertools import product
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.quant import Array
from hwsim.quantizers import (
    aciq,
    admm,
    apot,
    bit_allocation,
    bwn,
    cosine,
    dorefa,
    ema,
    hwgq,
    inq,
    kl,
    kmeans,
    lloyd,
    minmax,
    mse,
    ocs,
    omse_kernels,
    omse_tensors,
    percentile,
    power_of_two,
    product_codebook,
    pwlq,
    std_clip,
    stochastic,
    syq,
    twn,
)
from hwsim.quantizers._affine import Grid, Scheme, fake
from hwsim.shelf import load, names

GAUSS = np.random.default_rng(7).standard_normal(1_000_000)
LAPLACE = np.random.default_rng(8).laplace(size=1_000_000)
RANGES = [n for n in names("quantizers") if hasattr(load("quantizers", n), "fit")]
LEVELS = [n for n in names("quantizers") if hasattr(load("quantizers", n), "approximate")]


def signed(bits: int) -> Scheme:
    return Scheme(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, symmetric=True)


def unsigned(bits: int) -> Scheme:
    return Scheme(0, 2**bits - 1, symmetric=False)


def loss(values: Array, grid: Grid, scheme: Scheme) -> float:
    return float(np.square(fake(values, grid, scheme) - values).mean())


# Ranges ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "step", "error"), [(2, 1.048385, 0.149431), (3, 0.601824, 0.040638), (4, 0.338608, 0.011864)])
def test_mse_finds_the_best_step_for_a_gaussian(bits: int, step: float, error: float) -> None:
    """Q12: OMSE's table for N(0, 1) on the two's complement grid; the search moves the range by 1 % of 5 sigma."""
    row = np.append(np.clip(GAUSS, -5, 5), 5.0)[None]
    scale, _ = grid = mse.fit(row, signed(bits))
    assert float(scale[0]) == pytest.approx(step, abs=0.05 / (2 ** (bits - 1) - 1) + 0.002)
    assert loss(row, grid, signed(bits)) == pytest.approx(error, rel=0.02)


@pytest.mark.parametrize(
    ("bits", "clip"), list(enumerate((1.049909, 1.862817, 2.830683, 3.897229, 5.028640, 6.204766, 7.413126, 8.645620, 9.896760)))
)
def test_laplace_clip_is_lamberts_w(bits: int, clip: float) -> None:
    """Q15: a / b = W0(3 4^M); one-sided is the next entry, W0(12 4^M)."""
    assert aciq.laplace_clip(bits) == pytest.approx(clip, abs=1e-6)
    assert aciq.laplace_clip(bits) * exp(aciq.laplace_clip(bits)) == pytest.approx(3 * 4.0**bits, rel=1e-12)
    assert aciq.lambert_w(12 * 4.0**bits) == pytest.approx(aciq.laplace_clip(bits + 1), rel=1e-12)


@pytest.mark.parametrize(
    ("bits", "clip"), list(enumerate((1.239905, 1.710635, 2.151593, 2.559136, 2.936201, 3.286914, 3.615114, 3.924036), start=1))
)
def test_gauss_clip(bits: int, clip: float) -> None:
    assert aciq.gauss_clip(bits) == pytest.approx(clip, abs=1e-6)


@pytest.mark.parametrize("bits", [3, 4])
def test_aciq_is_near_the_best_clip_of_all(bits: int) -> None:
    """Monte Carlo: within a quarter of the least squared error of any clip; the model is one of many fine levels."""
    for row in (GAUSS[None, :200_000], LAPLACE[None, :200_000]):
        scheme = signed(bits)
        best = min(loss(row, minmax.fit(np.array([[-a, a]]), scheme), scheme) for a in np.linspace(1.2, 9, 80))
        assert loss(row, aciq.fit(row, scheme), scheme) <= 1.25 * best
    relu = np.maximum(LAPLACE[None, :200_000], 0)
    best = min(loss(relu, minmax.fit(np.array([[0, a]]), unsigned(bits)), unsigned(bits)) for a in np.linspace(1.2, 9, 80))
    assert loss(relu, aciq.fit(relu, unsigned(bits)), unsigned(bits)) <= 1.25 * best


def test_percentile_and_std_clip_by_their_definitions() -> None:
    values = np.concatenate([np.linspace(0, 1, 99_999), [50.0]])[None]
    assert float(percentile.fit(values, unsigned(8))[0][0]) * 255 == pytest.approx(np.quantile(values, 0.9999), rel=1e-6)
    row = GAUSS[None, :10_000]
    mean, sigma = row.mean(), row.std()
    assert float(std_clip.fit(row, unsigned(8))[0][0]) * 255 == pytest.approx((mean + 2.6 * sigma) - (mean - 2.6 * sigma), rel=1e-6)


def test_ema_by_hand() -> None:
    """Sixteen batches whose largest values are 1, 2 ... 16: m <- 0.9 m + 0.1 now."""
    batches = np.repeat(np.arange(1.0, 17.0), 3)
    m = 1.0
    for now in range(2, 17):
        m = 0.9 * m + 0.1 * now
    assert float(ema.fit(batches[None], unsigned(8))[0][0]) * 255 == pytest.approx(m, rel=1e-6)


def plain_kl_threshold(histogram: list[float], levels: int) -> int:
    """TensorRT's search written with loops, by Q13's words."""
    best, least = levels, float("inf")
    for keep in range(levels, len(histogram) + 1):
        p = list(map(float, histogram[:keep]))
        p[-1] += sum(histogram[keep:])
        q = [0.0] * keep
        for group in range(levels):
            inside = [i for i in range(keep) if i * levels // keep == group]
            filled = [i for i in inside if histogram[i] > 0]
            for i in filled:
                q[i] = sum(histogram[j] for j in inside) / len(filled)
        p, q = ([max(v / max(sum(a), 1e-300), 0) or 1e-4 for v in a] for a in (p, q))
        divergence = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
        if divergence < least:
            best, least = keep, divergence
    return best


@pytest.mark.parametrize("seed", range(3))
def test_kl_threshold_equals_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    histogram = np.histogram(np.abs(rng.laplace(size=3000)), 64)[0] * (rng.random(64) > 0.1)
    assert kl.threshold_bin(histogram, 16) == plain_kl_threshold(histogram.tolist(), 16)


def test_kl_cuts_outliers() -> None:
    row = np.concatenate([GAUSS[:100_000], [40.0]])[None]
    assert float(kl.fit(row, signed(8))[0][0]) * 127 < 10


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_cosine_and_admm_improve_on_minmax(bits: int) -> None:
    """Q14: the cosine never falls; ADMM's squared error never grows, and its end is a fixed point."""
    row, scheme = LAPLACE[None, :20_000], signed(bits)
    first = minmax.fit(row, scheme)
    assert cosine.cosine(row, fake(row, cosine.fit(row, scheme), scheme)) >= cosine.cosine(row, fake(row, first, scheme))
    scale, _ = grid = admm.fit(row, scheme)
    assert loss(row, grid, scheme) <= loss(row, first, scheme) * (1 + 1e-6)
    q = np.clip(np.rint(row / scale), scheme.qmin, scheme.qmax)
    assert float((row * q).sum() / (q * q).sum()) == pytest.approx(float(scale[0]), rel=1e-3)


@pytest.mark.parametrize(("m", "step"), [(1, 0.797885), (2, 0.651014), (3, 0.538812), (7, 0.321729), (15, 0.184243)])
def test_hwgq_steps(m: int, step: float) -> None:
    """Q58, the reading without a zero level for x > 0."""
    assert hwgq.uniform_step(m) == pytest.approx(step, abs=2e-6)
    relu = np.maximum(GAUSS, 0)[None]
    if m == 3:
        assert float(hwgq.fit(relu, unsigned(2))[0][0]) == pytest.approx(step, rel=5e-3)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("scheme", [signed(4), unsigned(8), Scheme(-8, 7, True, power_of_two=True)], ids=["s4", "u8", "pot"])
def test_every_range_quantizer_gives_a_grid_for_each_row(name: str, scheme: Scheme) -> None:
    """Rows of any size, of nothing but zeros, of one sign; zero is exact, scales are positive."""
    rows = np.stack([GAUSS[:512], 1e-6 * GAUSS[:512], np.zeros(512), np.abs(GAUSS[:512])])
    scale, zero = load("quantizers", name).fit(rows, scheme)
    assert scale.shape == zero.shape == (4,) and scale.dtype == np.float32
    assert (scale > 0).all() and (zero >= scheme.qmin).all() and (zero <= scheme.qmax).all()
    assert not scheme.power_of_two or (np.log2(scale) == np.round(np.log2(scale))).all()
    assert not fake(np.zeros((4, 1)), (scale, zero), scheme).any()


# Levels of weights -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share"),
    [(np.linspace(-1, 1, 200_001), 2 / 3), (GAUSS[:400_000], 0.767032), (LAPLACE[:400_000], 1.0)],
    ids=["uniform", "gauss", "laplace"],
)
def test_twn_thresholds(values: Array, share: float) -> None:
    """Q50: the best thresholds in units of E|w|; the rule of 0.7 keeps 0.80838 of a Gaussian's energy of 0.80983."""
    assert twn.best_threshold(values) == pytest.approx(share * np.abs(values).mean(), rel=0.03)


def test_twn_energy() -> None:
    found = twn.approximate(GAUSS[None], 2)
    kept = 1 - np.square(found.values - GAUSS).mean() / np.square(GAUSS).mean()
    assert kept == pytest.approx(0.80838, abs=1e-3)
    assert set(np.unique(np.rint(found.values / found.unit))) == {-1, 0, 1}


def test_bwn_error_on_a_gaussian() -> None:
    """Q48: 1 - 2 / pi = 0.363380, and no other alpha is better."""
    found = bwn.approximate(GAUSS[None], 1)
    assert np.square(found.values - GAUSS).mean() / np.square(GAUSS).mean() == pytest.approx(0.363380, abs=1e-3)
    for gain in (0.99, 1.01):
        assert np.square(gain * found.values - GAUSS).sum() > np.square(found.values - GAUSS).sum()


def test_syq_is_bwn_of_the_layer_and_counts_one_alpha_for_each_position() -> None:
    rows = GAUSS[: 4 * 27].reshape(4, 27)
    np.testing.assert_allclose(syq.approximate(rows, 1).values, bwn.approximate(rows.reshape(1, -1), 1).values.reshape(4, 27))
    assert len(np.unique(np.abs(syq.approximate(rows, 1, positions=9).values))) == 9


def test_dorefa_by_its_formula() -> None:
    rows = GAUSS[:64].reshape(4, 16)
    t = np.tanh(rows)
    for bits in (2, 4):
        n = 2**bits - 1
        np.testing.assert_allclose(
            dorefa.approximate(rows, bits).values, 2 * np.round(n * (t / (2 * np.abs(t).max()) + 0.5)) / n - 1, atol=1e-12
        )
        codes = dorefa.approximate(rows, bits).values * n
        assert (np.rint(codes) % 2 == 1).all()  # odd multiples of half a step: no zero
    np.testing.assert_allclose(dorefa.approximate(rows, 1).values, np.abs(rows).mean() * np.sign(rows))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_bit_planes(m: int, k: int, seed: int) -> None:
    """Q40: sum over planes of 2^(i + j) popcount(a_i and b_j) is the dot product."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2**m, 50), rng.integers(0, 2**k, 50)
    planes = sum(2 ** (i + j) * int(((a >> i) & (b >> j) & 1).sum()) for i, j in product(range(m), range(k)))
    assert planes == int(a @ b)


def test_inq_levels() -> None:
    """Q55: b = 5 and a largest weight of 0.9 give 2^0 ... 2^-7 and zero: 17 levels; each goes by (a + b) / 2 <= |w| < 3 b / 2."""
    assert inq.exponents(0.9, 5) == (0, -7)
    row = np.append(np.linspace(-0.9, 0.9, 20_001), 0.9)[None]
    found = inq.approximate(row, 5)
    assert len(np.unique(found.values)) == 17
    for w, v in zip(row[0][::97], found.values[0][::97], strict=True):
        b = abs(v)
        a = 0.0 if b <= 2**-7 else b / 2
        assert (a + b) / 2 <= abs(w) < 1.5 * b + 1e-12 if b else abs(w) < 2**-8


def test_apot_levels() -> None:
    """Q42."""
    np.testing.assert_allclose(apot.levels_of(3), [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1])
    four = apot.levels_of(4)
    assert len(four) == 16 and four[1] == pytest.approx(1 / 48)
    np.testing.assert_allclose(apot.levels_of(2), [0, 1 / 3, 2 / 3, 1])


def test_power_of_two_goes_to_the_nearest() -> None:
    row = GAUSS[None, :4000]
    found, top = power_of_two.approximate(row, 4).values, np.abs(row).max()
    levels = np.array([0.0, *(2.0**-k for k in range(7))]) * top
    best = np.abs(np.abs(row[..., None]) - levels).min(-1)
    np.testing.assert_allclose(np.abs(row - found), best, atol=1e-12)


@pytest.mark.parametrize(
    ("bits", "outer", "error"), [(1, 0.7979, 0.3634), (2, 1.5104, 0.1175), (3, 2.1520, 0.03454), (4, 2.7326, 0.009497)]
)
def test_lloyd_max_for_a_gaussian(bits: int, outer: float, error: float) -> None:
    """Q59: Max's table of 1960; HWGQ's non-uniform levels 0.4528 and 1.5104 are the positive half of its 2 bits."""
    levels = lloyd.levels_of(np.sort(GAUSS), 2**bits)
    assert levels[-1] == pytest.approx(outer, rel=0.03)
    assert np.square(lloyd.approximate(GAUSS[None], bits).values - GAUSS).mean() == pytest.approx(error, rel=0.03)
    if bits == 2:
        np.testing.assert_allclose(levels[2:], (0.45278003, 1.51041762), rtol=0.01)


def test_codebooks() -> None:
    """Q65, Q66: each weight has its nearest centroid; pieces of one are k-means; longer pieces are better at the same bits."""
    rows = LAPLACE[:4096].reshape(16, 256)
    found = kmeans.approximate(rows, 3).values
    assert len(np.unique(found)) == 8 and kmeans.size_bits(rows.size, 3) == 4096 * 3 + 8 * 16
    np.testing.assert_allclose(np.abs(rows - found), np.abs(rows[..., None] - np.unique(found)).min(-1), atol=1e-12)
    np.testing.assert_array_equal(product_codebook.approximate(rows, 3, length=1).values, found)
    pairs = product_codebook.approximate(rows, 3)
    assert np.square(pairs.values - rows).sum() < np.square(found - rows).sum()


@pytest.mark.parametrize(("m", "root", "near"), [(4, 1.39203, 1.39961), (8, 2.01502, 2.01482)])
def test_pwlq_breakpoints(m: float, root: float, near: float) -> None:
    """Q23: the root of the derivative beside the published approximation."""
    assert pwlq.gauss_root(m) == pytest.approx(root, abs=2e-5)
    assert pwlq.gauss_breakpoint(m) == pytest.approx(near, abs=2e-5)


def test_pwlq_beats_uniform_on_a_gaussian() -> None:
    row = GAUSS[None, :100_000]
    uniform = loss(row, minmax.fit(row, signed(4)), signed(4))
    assert np.square(pwlq.approximate(row, 4).values - row).mean() < uniform


def test_omse_by_kernels() -> None:
    """Q18: a scale for each kernel costs less error than one for each row; without kernels it is that of the row."""
    rows = GAUSS[: 8 * 16 * 9].reshape(8, 144) * np.repeat(np.geomspace(1, 30, 16), 9)
    by_row = np.square(omse_kernels.approximate(rows, 4).values - rows).sum()
    assert np.square(omse_kernels.approximate(rows, 4, 9).values - rows).sum() < 0.5 * by_row
    assert by_row == pytest.approx(np.square(fake(rows, mse.fit(rows, signed(4)), signed(4)) - rows).sum())


def test_omse_by_tensors() -> None:
    """Q18: each further tensor leaves less error; two of 4 bits whose scales are 16 apart hold -128 ... 119 exactly."""
    rows = GAUSS[:4096].reshape(8, 512)

    def left(tensors: int) -> float:
        s, q = omse_tensors.sum_of(rows, 3, tensors)
        assert np.abs(q + 0.5).max() <= 4
        return float(np.square(np.einsum("rt,rtn->rn", s, q) - rows).sum())

    assert left(3) < 0.3 * left(2) < 0.3 * 0.3 * left(1)
    whole = np.arange(-128.0, 120.0)
    high = np.floor((whole + 8) / 16)
    assert set(high) == set(range(-8, 8)) and set(whole - 16 * high) == set(range(-8, 8))
    six = np.square(fake(whole[None], mse.fit(whole[None], signed(6)), signed(6)) - whole).sum()
    s, q = omse_tensors.sum_of(whole[None], 4, 2)
    assert np.square(np.einsum("rt,rtn->rn", s, q) - whole).sum() < six  # nearer than one tensor of 6 bits
    coarse = np.concatenate([rows, 40 * np.eye(8, 512)], 1)
    assert omse_tensors.approximate(rows, 8).unit is not None and omse_tensors.approximate(coarse, 4).unit is None


def test_bit_allocation() -> None:
    """Q16: levels in proportion to a^(2/3); on three channels no whole widths of that sum are better than 5 % for the model's noise."""
    spread = np.array([1.0, 8.0, 64.0])
    widths = bit_allocation.allocate(spread, 4.0)
    assert widths.mean() == pytest.approx(4, abs=0.34)
    np.testing.assert_allclose(np.diff(widths), 2, atol=1)  # log2 of 8^(2/3) = 2
    noise = {
        b: sum((a * 2.0**-w) ** 2 for a, w in zip(spread, b, strict=True)) for b in product(range(1, 9), repeat=3) if sum(b) == sum(widths)
    }
    assert noise[tuple(widths)] <= 2 * min(noise.values())


def test_stochastic_rounding_is_unbiased() -> None:
    """Q60: E[q] = x and var = f (1 - f)."""
    x = np.full(400_000, 2.3)
    q = stochastic.round_stochastically(x, np.random.default_rng(1))
    assert set(np.unique(q)) == {2.0, 3.0}
    assert q.mean() == pytest.approx(2.3, abs=4 * np.sqrt(0.21 / 400_000))
    assert q.var() == pytest.approx(0.21, rel=0.02)


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_quantizer_names_its_hardware_and_its_unit(name: str) -> None:
    rows = GAUSS[:1024].reshape(8, 128)
    module = load("quantizers", name)
    found = module.approximate(rows, 4)
    assert module.NEEDS and found.values.shape == rows.shape
    if found.unit is not None:
        codes = found.values / found.unit
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-6)


# Outlier channels --------------------------------------------------------------------------------------------------------------------


@given(st.floats(-200, 200, allow_nan=False))
def test_halves_round_to_what_the_whole_rounds_to(w: float) -> None:
    """Q24: Q(w) = Q((w - 1/2) / 2) + Q((w + 1/2) / 2) in steps of the grid, wherever nothing lies between two numbers."""
    parts = [(w - 0.5) / 2, (w + 0.5) / 2]
    if all(abs(v - np.floor(v) - 0.5) > 1e-9 for v in (w, *parts)):
        assert np.rint(parts).sum() == np.rint(w)


def test_outlier_channels_are_split() -> None:
    """The function stays, the largest weights halve, and each split costs one channel; a channel may be split again."""
    rows = LAPLACE[: 40 * 30].reshape(40, 30).copy()
    rows[7] *= 20
    count = ocs.extra_channels(40)
    reads, found = ocs.split(rows, count, 7)
    assert len(found) == 42 and reads[:40].tolist() == list(range(40)) and set(reads[40:]) == {7}
    sums = np.zeros_like(rows)
    np.add.at(sums, reads, found)
    np.testing.assert_allclose(sums, rows, atol=1e-12)
    assert np.abs(found).max() <= 0.53 * np.abs(rows).max()
    assert ocs.split(rows, 0, 7)[1].shape == rows.shape
