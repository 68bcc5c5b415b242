"""Microcontrollers of MLPerf Tiny: for each chip and runtime one share of the peak from one network foretells the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hwsim.fitting import prior_chip, samples_of
from hwsim.measured import Measured
from hwsim.steps.fit import fit
from hwsim.validation import Figure, Point, Tables, mean_error
from hwsim.validations._fits import rows_of

__all__ = ["KIND", "SOURCE", "TITLE", "figures"]

TITLE = "Microcontrollers (MLPerf Tiny, 65 chips and runtimes)"
KIND = "silicon"
SOURCE = "MLPerf Tiny v0.5 to v1.3, closed division, results of each submitter (reports/validation/mlperf_tiny.csv)"
NOTE = "ResNet-8 from DS-CNN and back; only the share of the peak is fitted (and for energy the power while it runs)"
SHARE, POWER = "arrays.dsp.efficiency.w8a8", "energy.leakage"


def figures(tables: Tables) -> Iterator[Figure]:
    table = tables["mlperf_tiny"]
    times: list[Point] = []
    energies: list[Point] = []
    for entry in dict.fromkeys(r["entry"] for r in table):
        rows = [r for r in table if r["entry"] == entry]
        for left_out in dict.fromkeys(r["model"] for r in rows):
            time, energy = _foretold(rows[0]["arch"], rows_of(rows), left_out, entry)
            times.append(time)
            energies += [energy] if energy else []
    yield mean_error("latency, leaving one network out", times, 18, 12, NOTE)
    yield mean_error("energy, leaving one network out", energies, 18, 12, NOTE)


def _foretold(chip: str, rows: Sequence[Measured], left_out: str, entry: str) -> tuple[Point, Point | None]:
    """Latency and energy of one network by a chip that was fitted to the other."""
    prior, (share, power) = prior_chip(chip, (SHARE, POWER))
    known, asked = (
        [s for s in zip(rows, samples_of(prior, rows), strict=True) if (s[0].network == left_out) is out] for out in (False, True)
    )
    arch = prior
    for parameter, figure in ((share, "latency"), (power, "energy")):
        chosen = [s for r, s in known if r.figure == figure]
        arch = fit(arch, [parameter], chosen).arch if chosen else arch
    points = {r.figure: Point(f"{left_out}, {entry}", s.measured, s.predict(arch)) for r, s in asked}
    return points["latency"], points.get("energy")
