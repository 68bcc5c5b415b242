"""A fit as text: parameters with what the data said about them, and every row with its error."""

from __future__ import annotations

from math import exp
from statistics import mean, median

from hwsim.io.fitted_yaml import printed
from hwsim.io.text import print_table
from hwsim.steps.fit import Fitted
from hwsim.units import format_si

__all__ = ["fitted_values", "print_fit"]


def fitted_values(found: Fitted) -> dict[str, str]:
    """The fitted numbers as the file prints them, by dotted name."""
    priors = found.prior.fit
    return {p.name: printed(priors[p.name].value, exp(x)) for p, x in zip(found.fit.parameters, found.fit.logs, strict=True)}


def print_fit(found: Fitted) -> None:
    """Parameters, rows, and a summary."""
    values = fitted_values(found)
    rows = [
        (p.name, str(found.prior.fit[p.name].value), values[p.name], f"{100 * found.fit.spread[i]:.0f}", found.fit.verdict(i))
        for i, p in enumerate(found.fit.parameters)
    ]
    print_table(("parameter", "prior", "fitted", "prior's width left %", "verdict"), rows)
    unit = "s" if found.figure == "latency" else "J"
    left_out = [f"{100 * p.error:+.1f}" for p in found.left_out_points] if found.left_out else [""] * len(found.points)
    print_table(
        ("measurement", f"measured {unit}", f"fitted {unit}", "error %", "error % with its network left out"),
        [
            (p.label, format_si(p.measured, unit), format_si(p.predicted, unit), f"{100 * p.error:+.1f}", out)
            for p, out in zip(found.points, left_out, strict=True)
        ],
    )
    _summary("fitted", [abs(p.error) for p in found.points])
    if found.left_out:
        _summary("leaving one network out", [abs(p.error) for p in found.left_out_points])


def _summary(name: str, errors: list[float]) -> None:
    print(f"{name}: mean error {100 * mean(errors):.1f} %, median {100 * median(errors):.1f} %, worst {100 * max(errors):.1f} %")
