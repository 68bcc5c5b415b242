"""Power and area of whole chips as published, beside what the model says of them: a look at orders of magnitude, not a validation.

`python -m tests.bench chips` writes reports/whole_chips.md.  A published power is a typical or limiting one of the whole chip or board
under a load of its maker's; ours is the average over one network.  Published areas are of dies or blocks; ours are of the described parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwsim.building import build_network
from hwsim.io.arch_yaml import load_arch
from hwsim.simulate import area_of, simulate
from hwsim.steps.read import read

REPORT = Path(__file__).resolve().parents[2] / "reports" / "whole_chips.md"


@dataclass(frozen=True)
class Published:
    """One figure of one chip: `what` is a network whose power is compared, or the parts whose area is."""

    arch: str
    what: str
    value: float
    unit: str
    source: str


POWERS = (
    Published("tpu_v1", "resnet50", 40, "W", "busy power of a die, Jouppi et al., ISCA 2017 (recalled)"),
    Published("t4", "resnet50", 70, "W", "limit of the board, NVIDIA T4 data sheet"),
    Published("acl_ascend310", "resnet50", 8, "W", "maximum, Atlas data sheet"),
    Published("edge_tpu", "mobilenet_v2", 2, "W", "coral.ai data sheet, 0.5 W per TOPS at 4 TOPS"),
    Published("dpu_b4096", "resnet50", 8, "W", "KV260 board, about"),
    Published("cortex_m4", "resnet8", 0.0332, "W", "MLPerf Tiny v1.3, X-CUBE-AI v10.2: 5.496 mJ in 165.7 ms (the preset is fitted to it)"),
    Published("cortex_m7", "resnet8", 0.1246, "W", "MLPerf Tiny v1.2, X-CUBE-AI v9: 5.09 mJ in 40.84 ms (the preset is fitted to it)"),
    Published(
        "gap9_ne16", "resnet8", 0.0655, "W", "MLPerf Tiny v1.0, 370 MHz and 0.8 V: 40.36 uJ in 0.616 ms (the preset is fitted to it)"
    ),
)
AREAS = (
    Published("tpu_v1", "matrix_unit", 79, "mm2", "24 % of a die of at most 331 mm2, ISCA 2017 floor plan (recalled)"),
    Published("tpu_v1", "unified_buffer", 96, "mm2", "29 % of the same die (recalled)"),
    Published("eyeriss_v1", "*", 12.25, "mm2", "core of 3.5 x 3.5 mm, JSSC 2017 (recalled)"),
    Published(
        "bitfusion_16x32",
        "fusion_units",
        0.888,
        "mm2",
        "synthesis of a 4 x 4 array times 32, before placement (bitfusion systolic_array_synth.csv)",
    ),
    Published(
        "bitfusion_16x32", "wbuf+ibuf+obuf", 1.252, "mm2", "512 banks of 128 B, 16 of 2 KiB, 32 of 512 B (bitfusion cacti_sweep.csv)"
    ),
)


def power_w(arch: str, network: str) -> float:
    """Average power of one inference by the chip's own rules, 8 bits."""
    chip = load_arch(arch)
    return simulate(chip, read(build_network(network, "w8a8", rules=chip.quantization))).cost.average_power_w


def area_mm2(arch: str, parts: str) -> float:
    found = area_of(load_arch(arch))
    return sum(found.values()) if parts == "*" else sum(found[p] for p in parts.split("+"))


def _row(p: Published, ours: float) -> str:
    what = "all parts" if p.what == "*" else p.what.replace("+", ", ")
    return f"| {p.arch} | {what} | {p.value:g} {p.unit} | {ours:.3g} {p.unit} | {ours / p.value:.2f} | {p.source} |"


def main(_: list[str]) -> None:
    head = "| chip | {} | published | hwsim | ratio | source |\n| --- | --- | --- | --- | --- | --- |"
    lines = [
        "# Whole chips beside published figures",
        "",
        "Orders of magnitude, by `python -m tests.bench chips`; no claim of accuracy. Powers are typical or limiting ones of chips or",
        "boards under their makers' loads, ours is the average over one inference. The energy model counts no instruction fetch where a",
        "chip states no clock energy, and boards hold more than the chip: ours are lower bounds. Areas are of the parts that a chip's",
        "file describes: cells at 45 nm, scaled, placed at 70 %; real blocks hold more (pipeline registers, clock trees, test logic).",
        "",
        head.format("network"),
        *(_row(p, power_w(p.arch, p.what)) for p in POWERS),
        "",
        head.format("parts"),
        *(_row(p, area_mm2(p.arch, p.what)) for p in AREAS),
        "",
    ]
    REPORT.write_text("\n".join(lines))
    print("\n".join(lines))
