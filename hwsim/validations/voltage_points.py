"""Energy across supplies: static power from one network at two voltages, then another network from one voltage to the other."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.fitting import prior_chip, samples_of
from hwsim.steps.fit import fit
from hwsim.validation import Figure, Point, Tables, mean_error
from hwsim.validations._fits import rows_of

__all__ = ["KIND", "SOURCE", "TITLE", "figures"]

TITLE = "Energy at two voltages (GAP9, NDP120)"
KIND = "silicon"
SOURCE = "MLPerf Tiny v1.0, closed division, GreenWaves and Syntiant (reports/validation/voltage_points.csv)"
NOTE = (
    "leakage from the other network at both voltages, clock energy from this network at one; the other voltage is foretold: gates by "
    "Stillmaker and Baas, time by the fitted chip"
)
REPEATABLE = 0.01  # one program on one board twice: only supply and clock differ
CLOCK, LEAKAGE = "energy.clock", "energy.leakage"


def figures(tables: Tables) -> Iterator[Figure]:
    points = [p for chip in ("gap9_ne16", "ndp120") for p in _foretold(tables, chip)]
    yield mean_error("energy at the other voltage", points, 6, 2, NOTE)


def _foretold(tables: Tables, chip: str) -> Iterator[Point]:
    rows = rows_of(tables["voltage_points"], arch=chip, metric="energy")
    prior, (clock, leakage) = prior_chip(chip, (CLOCK, LEAKAGE))
    samples = samples_of(prior, rows)
    for network in dict.fromkeys(s.network for s in samples):
        others, own = ([s for s in samples if (s.network == network) is mine] for mine in (False, True))
        static = fit(prior, [clock, leakage], others, noise=REPEATABLE).arch
        for known, asked in (own, own[::-1]):
            arch = fit(static, [clock], [known], noise=REPEATABLE).arch
            yield Point(f"{chip} {asked.label}, from {known.label}", asked.measured, asked.predict(arch))
