"""Mappers against a walk through the loops, against trying every tile size, and against each other on random layers and chips."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwsim.arch import Arch
from hwsim.cost import Cost
from hwsim.errors import HwsimError
from hwsim.io.arch_yaml import load_arch
from hwsim.mappers import exhaustive, greedy
from hwsim.mappers._traffic import moved_elements, tile_bits, traffic_bits
from hwsim.mapping import OBJECTIVES, ORDERS, Level, Problem
from hwsim.simulate import price
from hwsim.steps.lower import lower
from tests.test_laws import CHIPS, NETWORKS, Chip, Drawn, quantized

SIZES = st.integers(1, 7)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small layers: rows of windows that overlap, touch or leave gaps."""
    rows, kernel_rows, stride = draw(SIZES), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    g, k, c = draw(st.integers(1, 2)), draw(SIZES), draw(SIZES)
    reach = (rows - 1) * stride + kernel_rows
    return Problem(
        g,
        k,
        c,
        rows,
        3,
        kernel_rows * 2,
        kernel_rows,
        min(stride, kernel_rows),
        reach,
        5,
        *draw(st.tuples(*[st.sampled_from((2, 4, 8))] * 3)),
        32,
    )


def walked(p: Problem, sizes: tuple[int, int, int], order: str) -> dict[str, int]:
    """Bits that cross when one tile of each operand lies inside, by walking through all tiles and looking whether the next is another.

    Sums that leave unfinished go out at their own width and come back; finished results go out once.
    """
    k, c, r = sizes
    ranges = {"K": [(i, min(i + k, p.outputs)) for i in range(0, p.outputs, k)]}
    ranges |= {
        "C": [(i, min(i + c, p.channels)) for i in range(0, p.channels, c)],
        "R": [(i, min(i + r, p.rows)) for i in range(0, p.rows, r)],
    }
    inside: dict[str, Any] = {"weights": None, "inputs": None, "outputs": None}
    moved = {"weights": 0, "inputs": 0, "outputs": 0, "sums": 0}
    done: dict[Any, int] = {}
    for at in product(*(ranges[loop] for loop in order)):
        (k0, k1), (c0, c1), (r0, r1) = (at[order.index(loop)] for loop in "KCR")
        tiles = {"weights": (k0, c0), "inputs": (c0, r0), "outputs": (k0, r0)}
        rows = min((r1 - r0 - 1) * p.stride + p.kernel_rows, p.input_rows)
        bits = {"weights": (k1 - k0) * (c1 - c0) * p.kernel * p.weight_bits, "inputs": (c1 - c0) * rows * p.row_elements * p.input_bits}
        for operand, size in bits.items():
            moved[operand] += size * (inside[operand] != tiles[operand])
        if inside["outputs"] != tiles["outputs"] and done.get(tiles["outputs"], 0):
            partial = (k1 - k0) * (r1 - r0) * p.inner * p.sum_bits
            moved["sums"] += partial
            moved["outputs"] += partial
        done[tiles["outputs"]] = done.get(tiles["outputs"], 0) + 1
        inside = tiles
    moved["outputs"] += p.outputs * p.rows * p.inner * p.output_bits
    return {o: b * p.groups for o, b in moved.items()}


@given(problems(), st.tuples(SIZES, SIZES, SIZES), st.sampled_from(ORDERS))
def test_traffic_is_what_a_walk_through_the_loops_moves(p: Problem, wanted: tuple[int, int, int], order: str) -> None:
    k, c, r = (min(w, n) for w, n in zip(wanted, (p.outputs, p.channels, p.rows), strict=True))
    found = traffic_bits(p, moved_elements(p, *(np.array(v) for v in (p.groups, k, c, r)), order))
    assert {o: int(v) for o, v in found.items()} == walked(p, (k, c, r), order)


@settings(max_examples=30)
@given(problems(), st.integers(200, 6000), st.tuples(*[st.sampled_from((0.5, 1.0, 3.0))] * 3), st.booleans())
def test_exhaustive_finds_the_best_of_all_sizes(p: Problem, room: int, prices: tuple[float, float, float], apart: bool) -> None:
    """Against every size of every loop in every order: the least weighted traffic, and greedy never beats it."""
    price_of = dict(zip(("weights", "inputs", "outputs"), prices, strict=True))
    capacities = {("weights",): room // 3, ("inputs", "outputs"): room} if apart else {("weights", "inputs", "outputs"): room}
    level = Level(capacities, dict.fromkeys(price_of, 2), price_of, price_of)

    def cost(t: Any) -> float:
        moved = traffic_bits(p, moved_elements(p, *(np.array(v) for v in (t[0], t[1], t[2], t[3])), t[4]))
        return float(sum(price_of[o] * moved[o] for o in price_of) + price_of["outputs"] * moved["sums"])

    every = product(range(1, p.groups + 1), range(1, p.outputs + 1), range(1, p.channels + 1), range(1, p.rows + 1), ORDERS)
    legal = [t for t in every if _fits(p, t, level)]
    found = exhaustive.tilings(p, level, "latency", 4)
    simple = greedy.tile(p, level)
    assert bool(legal) == bool(found) and (not simple.fits or legal)
    if legal:
        ours = [cost((t.groups, t.outputs, t.channels, t.rows, t.order)) for t in found]
        assert ours[0] == min(map(cost, legal))
        assert ours == sorted(ours)
        assert all(_fits(p, (t.groups, t.outputs, t.channels, t.rows, t.order), level) for t in found)
    if simple.fits:
        assert cost((simple.groups, simple.outputs, simple.channels, simple.rows, simple.order)) >= min(map(cost, legal))


def _fits(p: Problem, t: tuple[int, int, int, int, str], level: Level) -> bool:
    bits = tile_bits(p, *(np.array(v) for v in t[:4]))
    return all(
        room is None or sum(int(bits[o]) * level.buffers[o] for o in operands) <= room for operands, room in level.capacities.items()
    )


def worth(cost: Cost, objective: str) -> float:
    return {"latency": float(cost.cycles), "energy": cost.energy_pj, "edp": cost.cycles * cost.energy_pj}[objective]


@settings(max_examples=15)
@given(NETWORKS, CHIPS, st.sampled_from(OBJECTIVES))
def test_exhaustive_is_never_worse_than_greedy(net: Drawn, chip: Chip, objective: str) -> None:
    """By its objective, layer by layer (the product of sums is no sum of products, so the network's follows for the first two)."""
    arch = load_arch(*chip)
    assume(arch.fallback is not None)
    program = lower(quantized(arch, net, (8, 8)), arch)
    simple, best = (price(arch, program, mapper, objective=objective) for mapper in ("greedy", "exhaustive"))
    for a, b in zip(simple.layers, best.layers, strict=True):
        assert b.fits >= a.fits
        if b.fits == a.fits:
            assert worth(Cost(arch.clock_hz, (b,)), objective) <= worth(Cost(arch.clock_hz, (a,)), objective)


def test_an_unknown_objective_is_told(snpe: Arch) -> None:
    from hwsim.building import build_network
    from hwsim.steps.read import read

    program = lower(read(build_network("resnet18", "w8a8", image=32, rules=snpe.quantization)), snpe)
    with pytest.raises(HwsimError, match="objective: must be one of latency, energy, edp, not 'latencies'; did you mean 'latency'"):
        price(snpe, program, "greedy", objective="latencies")


@pytest.fixture(scope="module")
def snpe() -> Arch:
    return load_arch("snpe_dsp")
