"""Energy of single actions, worked out by hand: wires, words, splitting multipliers, and the law of operand widths against a synthesis."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.io.arch_yaml import load_arch, load_costs, load_scaling
from hwsim.steps.prices import Prices, gate_area, prices_of
from tests.data import shared
from tests.test_cost import TINY, Stored, only, six_to_six

SPLIT = "arrays.mac.compose"


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return lambda **changed: load_arch(file, {k.replace("__", "."): v for k, v in changed.items()})


def parts(arch: Any, net: Stored | None = None) -> Any:
    return only(arch, net or six_to_six()).energy_pj


def test_wires_carry_what_the_array_reads_and_writes(tiny: Any) -> None:
    """A 3x3 convolution of 6 channels to 6 on 5 x 5 positions over 4 x 4 multipliers: 900 steps of 16 weights and 4 inputs, 150
    outputs, 8 bits each; 2 mm at 0.121 pJ/bit/mm."""
    bits = 8 * (900 * 16 + 900 * 4 + 150)
    assert parts(tiny(arrays__mac__wires="2 mm"))["noc"] == pytest.approx(bits * 0.121 * 2, abs=1e-3)
    assert "noc" not in parts(tiny())


def test_a_wire_follows_the_supply_and_not_the_node(tiny: Any) -> None:
    def price(**changed: str) -> float:
        return prices_of(tiny(**changed), load_costs("horowitz_45nm"), load_scaling()).wire(1e6)

    assert price() == price(process__node="7 nm") == 0.121
    assert price(process__voltage="0.45 V") == pytest.approx(0.121 / 4)


def test_memories_among_the_multipliers_have_the_wires_behind_them(tiny: Any) -> None:
    """Activations that stay among the multipliers cross no wires: 6 x 6 x 9 weights and 6 biases come over once, not at every use."""
    spad = (
        "{size: 2 KiB, read: 99 B/cycle, write: 99 B/cycle, read_energy: 0 pJ/bit, write_energy: 0 pJ/bit, in_array: true, assumed: test}"
    )
    arch = tiny(memories__sram=spad, arrays__mac__wires="1 mm")
    layer = only(arch, six_to_six())
    crossed = 8 * 324 + 32 * 6
    assert layer.energy_pj["noc"] == pytest.approx(crossed * 0.121, abs=1e-3)


def test_words_are_read_whole(tiny: Any) -> None:
    """Of 144000 bits read and 3984 written at the SRAM, operand by operand in words of 1000 bits: 0.5 and 0.25 pJ/bit."""
    by_bit, by_word = parts(tiny()), parts(tiny(memories__sram__word="1000 bits"))
    read = sum(-(-bits // 1000) for bits in (900 * 16 * 8, 900 * 4 * 8))
    written = sum(-(-bits // 1000) for bits in (324 * 8 + 192, 150 * 8))
    assert by_bit["sram"] == 144000 * 0.5 + 3984 * 0.25
    assert by_word["sram"] == 1000 * (read * 0.5 + written * 0.25)


def test_a_multiplier_that_splits_takes_more(tiny: Any) -> None:
    """8 bits that split to 2: two halvings, each 1.5 times; 8100 products with sums of 32 bits."""
    arch = tiny(arrays__mac__compose="{smallest: 2, largest: 8}", arrays__mac__rates="{w16a16: 1}")
    assert parts(arch)["mac"] == pytest.approx(8100 * (0.2 * 1.5**2 + 0.12))


@pytest.mark.parametrize("name", ["horowitz_45nm", "jouppi_7nm"])
def test_fewer_bits_never_cost_more(name: str) -> None:
    """And every bit less of an operand saves something."""
    prices = Prices(load_costs(name), 1.0)
    for w, a in product(range(2, 33), range(1, 33)):
        assert prices.multiply(w - 1, a) < prices.multiply(w, a) and prices.multiply(a, w - 1) < prices.multiply(a, w)
        assert prices.add(w - 1) < prices.add(w)


def synthesis() -> dict[tuple[int, int], tuple[float, float]]:
    """Area in um2 and pJ a cycle of one unit of Bit Fusion's 4 x 4 arrays at 500 MHz, by its widest and narrowest width."""
    with shared("silicon/bitfusion_synth.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["N"] == r["M"] == "4"]
    return {
        (int(r["Max Precision (bits)"]), int(r["Min Precision (bits)"])): (
            float(r["Area (um^2)"]) / 16,
            float(r["Dynamic Power (nW)"]) * 1e-9 / 500e6 * 1e12 / 16,
        )
        for r in rows
    }


@pytest.mark.parametrize("quantity", [0, 1], ids=["area", "energy"])
def test_a_synthesis_says_the_same_law(quantity: int) -> None:
    """A cell of n bits is p n^2 + q n + r (multiplier, adder and registers, control): four widths, three numbers, 5 %, p and q positive."""
    found = synthesis()
    widths = np.array([2, 4, 8, 16])
    measured = np.array([found[n, n][quantity] for n in widths])
    terms = np.stack([widths**2, widths, np.ones(4)], 1) / measured[:, None]
    law, *_ = np.linalg.lstsq(terms, np.ones(4), rcond=None)
    assert np.abs(terms @ law - 1).max() < 0.05 and law[0] > 0 and law[1] > 0


def test_splitting_is_what_the_synthesis_says() -> None:
    """Widths 4, 8 and 16 that split to 2, against ones that do not: areas and energies within a tenth of the tables' ratios."""
    found, prices = synthesis(), Prices(load_costs("horowitz_45nm"), 1.0)
    for largest in (4, 8, 16):
        area, energy = (found[largest, 2][i] / found[largest, largest][i] for i in range(2))
        assert prices.split(largest, 2) == pytest.approx(energy, rel=0.1)
        assert 1.8 ** np.log2(largest / 2) == pytest.approx(area, rel=0.12)


def test_sram_law_beside_cacti() -> None:
    """CACTI's reads of 128 B to 16 KiB (45 nm, 32-bit words) within a factor of 2 of what Horowitz's three points say."""
    prices = Prices(load_costs("horowitz_45nm"), 1.0)
    arch = load_arch("bitfusion_16x32")
    with shared("silicon/cacti_sram_bitfusion.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            block = f"{{size: {float(row['size_bytes']):.0f} B, read: 1 B/cycle, write: 1 B/cycle, holds: [weights], assumed: test}}"
            memory = load_arch(arch.name, {"memories.wbuf": block}).memories["wbuf"]
            assert 0.5 < prices.memory(memory, "read", "wbuf") / float(row["read_pJ_per_bit"]) < 2


def test_gate_areas_are_stillmaker_and_baas() -> None:
    """From 45 nm to every node of the published table, and from there back within its two printed digits."""
    scaling = load_scaling()
    with shared("silicon/stillmaker_baas.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            back = float(row["area_from_this_to_45nm"])
            assert 1 / gate_area(scaling, float(row["tech_nm"])) == pytest.approx(back, rel=0.06)
