"""Silicon area, worked out by hand at 45 nm, and laws of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hwsim import cli, load_arch
from hwsim.area_table import AreaTable
from hwsim.io.arch_yaml import load_areas, load_scaling, presets
from hwsim.simulate import area_of
from hwsim.steps.area import areas
from hwsim.steps.prices import gate_area

AT_45 = {"process.node": "45 nm"}
HVX = "arrays.hvx"
MULTIPLIER, ADDER, FLIP_FLOP, DENSITY = 282 / 64, 137 / 32, 4.522, 0.7  # um2 a cell of a product, a bit of a sum, a bit; share


def um2(parts: dict[str, float], name: str) -> float:
    return parts[name] * 1e6


def chip(**changes: str) -> Any:
    return load_arch("snpe_dsp", {**AT_45, **changes})


def test_an_array_by_hand() -> None:
    """Four products of 8 x 16 bits into each of two sums of 32 bits."""
    arch = load_arch("snpe_dsp", {**AT_45, f"{HVX}.unroll": "[{K: 2, C: 4}]", f"{HVX}.rates": "{w8a16: 1, w8a8: 2}"})
    multipliers = 8 * (MULTIPLIER * 8 * 16 + FLIP_FLOP * (8 + 16) + ADDER * 32)
    assert um2(area_of(arch), "hvx") == pytest.approx((multipliers + 2 * 32 * FLIP_FLOP) / DENSITY)


def test_bit_serial_multipliers_are_small() -> None:
    arch = load_arch("snpe_dsp", {**AT_45, f"{HVX}.unroll": "[{K: 2}]", f"{HVX}.serial": "{weights: 1, activations: 8}"})
    by_hand = 2 * (MULTIPLIER * 8 + FLIP_FLOP * 9 + ADDER * 32 + FLIP_FLOP * 32)
    assert um2(area_of(arch), "hvx") == pytest.approx(by_hand / DENSITY)


def test_splitting_multipliers_cost_what_bit_fusions_synthesis_says() -> None:
    """An 8-bit unit that splits to 2 bits: 3.40 times as large in its 4 x 4 array."""
    fixed = load_arch("bitfusion_16x32", {"arrays.fusion_units.compose": "{smallest: 8, largest: 8}"})
    split = load_arch("bitfusion_16x32")
    sums = 32 * 32 * (FLIP_FLOP) / DENSITY + 512 * ADDER * 32 / DENSITY
    ratio = (um2(area_of(split), "fusion_units") - sums) / (um2(area_of(fixed), "fusion_units") - sums)
    assert ratio == pytest.approx(1.8**2) and abs(ratio / 3.40 - 1) < 0.05


def test_real_numbers_have_circuits_of_their_own() -> None:
    both = area_of(load_arch("snpe_dsp", {**AT_45, f"{HVX}.unroll": "[{K: 2}]", f"{HVX}.rates": "{w8a8: 1, fp16: 0.5}"}))
    alone = area_of(load_arch("snpe_dsp", {**AT_45, f"{HVX}.unroll": "[{K: 2}]", f"{HVX}.rates": "{w8a8: 1}"}))
    assert um2(both, "hvx") - um2(alone, "hvx") == pytest.approx(2 * 0.5 * (1640 + 4184) / DENSITY)


def test_modes_of_the_same_multipliers_count_once() -> None:
    arch = load_arch("nvdla_full")
    assert "cmac_depthwise" not in area_of(arch) and arch.multipliers == 2048
    ascend = load_arch("acl_ascend310")
    assert (
        ascend.multipliers == 16384
        and area_of(ascend)["cube"] > area_of(load_arch("acl_ascend310", {"arrays.cube.rates": "{w8a8: 1, fp16: 0.01}"}))["cube"]
    )


def test_memories_are_cactis_banks() -> None:
    """4 banks of 2 KiB; off the chip nothing; a stated area as it is."""
    found = area_of(load_arch("snpe_dsp", {**AT_45, "memories.vtcm.size": "8 KiB", "memories.l2.area": "3 mm2"}))
    assert um2(found, "vtcm") == pytest.approx(4 * 15132) and found["l2"] == 3 and "dram" not in found


def test_control_is_a_share_of_the_logic() -> None:
    found = area_of(load_arch("snpe_dsp"))
    assert found["control"] == pytest.approx(0.1 * (found["hvx"] + found["hvx_alu"]))


def test_nodes_scale_as_stillmaker_and_baas_print() -> None:
    scaling = load_scaling()
    assert gate_area(scaling, 45) == 1 and gate_area(scaling, 7) == pytest.approx(0.059) and gate_area(scaling, 65) == 1.5
    assert gate_area(scaling, 7) < gate_area(scaling, 12) < gate_area(scaling, 14)


@pytest.mark.parametrize("name", presets())
def test_more_of_anything_is_never_smaller(name: str) -> None:
    arch = load_arch(name)
    before = area_of(arch)
    assert all(a >= 0 for a in before.values())
    for memory, m in arch.memories.items():
        if m.on_chip and m.size is not None and m.area is None:
            assert area_of(load_arch(name, {f"memories.{memory}.size": f"{2 * m.size} bits"}))[memory] > before[memory]
    for array, a in arch.arrays.items():
        if array in before and a.area is None and not a.serial and not a.compose:
            rates = ", ".join(f"{p}: {r}" for p, r in {**a.rates, "w32a32": 1}.items())
            assert area_of(load_arch(name, {f"arrays.{array}.rates": f"{{{rates}}}"}))[array] > before[array]


FIELDS = ("multiply", "add", "register_bit")


@pytest.mark.parametrize("field", [*(f"{f}.{part}" for f in FIELDS for part in ("area", "bits")), "floats.multiply", "floats.add"])
def test_every_cell_matters(field: str) -> None:
    _must_matter(field, 2)


@pytest.mark.parametrize("field", ["node", "composing.halving", "sram.bank", "placement.density", "placement.control"])
def test_every_other_field_matters(field: str) -> None:
    _must_matter(field, 0.9)


def _must_matter(field: str, factor: float) -> None:
    chips, table = [load_arch(n) for n in ("nvdla_full", "bitfusion_16x32")], load_areas()
    was, now = ([areas(c, t, load_scaling()) for c in chips] for t in (table, _scaled(table, field.split("."), factor)))
    assert was != now


def _scaled(block: Any, keys: list[str], factor: float) -> AreaTable:
    value = getattr(block, keys[0])
    if keys[1:]:
        new = _scaled(value, keys[1:], factor)
    else:
        new = {k: factor * v for k, v in value.items()} if isinstance(value, dict) else factor * value
    changed: AreaTable = block.model_copy(update={keys[0]: new})
    return changed


def test_show_tells_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["hwsim", "show", "snpe_dsp"])
    with pytest.raises(SystemExit):
        cli.main()
    assert json.loads(capsys.readouterr().out)["area_mm2"] == area_of(load_arch("snpe_dsp"))
