"""Physical numbers of a chip fitted to measurements: robust least squares in logarithms, with bounds and priors.

For rows i with measured m_i and predicted p_i(x), and parameters x_j = log(value_j / prior_j) of width s_j, the sum of
rho((log p_i - log m_i)^2 / NOISE^2) + (x_j / s_j)^2 is least; rho(z) = 2 (sqrt(1 + z) - 1) up to scale (soft L1) keeps one odd row
from deciding.  There is no number that belongs to a single network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from hwsim.arch import Arch
from hwsim.evidence import Evidence
from hwsim.quant import Array
from hwsim.units import Rate
from hwsim.validation import Point, rank_correlation

__all__ = ["Fit", "Fitted", "Parameter", "Sample", "fit", "leave_one_out"]

NOISE = 0.15  # of one measurement and of the model together, in logarithms: about what left-out errors come to; one number for all families
STEP = 1e-2  # of finite differences: cycles are whole numbers
MOST = 40
REACH = 3.0  # bounds of a parameter without a physical one, in widths
MOVED, STUCK = 0.5, 0.9


@dataclass(frozen=True)
class Parameter:
    """A number of the chip by its dotted name; `low` and `high` bound log(value / prior), `width` is the prior's in logarithms."""

    name: str
    width: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One measurement of a network: seconds or joules, and what predicts them on a chip with other numbers."""

    label: str
    network: str
    precision: str
    measured: float
    predict: Callable[[Arch], float]


@dataclass(frozen=True)
class Fit:
    """A fitted chip.  `spread` is what the data leave of each prior's width: 1 is none of it decided, 0 all."""

    arch: Arch
    parameters: tuple[Parameter, ...]
    logs: tuple[float, ...]
    spread: tuple[float, ...]
    predicted: tuple[float, ...]

    def verdict(self, index: int) -> str:
        """What the data say about a parameter."""
        p, at = self.parameters[index], self.logs[index]
        if min(at - p.low, p.high - at) < 1e-3:
            return "at its bound"
        left = self.spread[index]
        return "identified" if left < MOVED else "not identifiable: prior" if left > STUCK else "partly identified"


def fit(
    prior: Arch, parameters: Sequence[Parameter], samples: Sequence[Sample], start: Sequence[float] | None = None, noise: float = NOISE
) -> Fit:
    """The chip whose numbers explain the samples best; `prior` is the chip with every parameter at its prior."""
    from scipy.optimize import least_squares

    measured = np.log([s.measured for s in samples])
    widths = np.array([p.width for p in parameters])
    x0 = np.zeros(len(parameters)) if start is None else np.asarray(start)

    def residuals(x: Array) -> Array:
        arch = moved(prior, parameters, x)
        data = (np.log([s.predict(arch) for s in samples]) - measured) / noise
        return np.concatenate([_robust(data), x / widths])

    def slopes(x: Array) -> Array:
        here = residuals(x)
        return np.array([(residuals(x + STEP * unit) - here) / STEP for unit in np.eye(len(x))]).T

    bounds = np.array([(p.low, p.high) for p in parameters]).T
    inside = np.clip(x0, bounds[0] + 1e-9, bounds[1] - 1e-9)
    found = least_squares(residuals, inside, slopes, bounds, x_scale=widths, xtol=1e-3, ftol=1e-4, max_nfev=MOST)
    arch = moved(prior, parameters, found.x)
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return Fit(
        arch,
        tuple(parameters),
        tuple(float(v) for v in found.x),
        tuple(float(v) for v in np.sqrt(np.diag(covariance)) / widths),
        tuple(s.predict(arch) for s in samples),
    )


def _robust(residual: Array) -> Array:
    """Signed square root of the soft L1 loss, linear up to about 2 standard deviations."""
    scaled = residual / 2
    return 2 * np.sign(scaled) * np.sqrt(2 * (np.sqrt(1 + scaled**2) - 1))


def moved(prior: Arch, parameters: Sequence[Parameter], logs: Sequence[float] | Array) -> Arch:
    """The chip with every parameter at its prior times exp(log)."""
    return prior.replaced({p.name: _times(prior.number(p.name), exp(x)) for p, x in zip(parameters, logs, strict=True)})


def _times(number: float | Rate, factor: float) -> float | Rate:
    return Rate(number.amount * factor, number.per_second) if isinstance(number, Rate) else number * factor


def leave_one_out(
    whole: Fit, prior: Arch, samples: Sequence[Sample], progress: Callable[[int, int], None] | None = None
) -> tuple[float, ...]:
    """What each sample would be predicted to be by a fit without its network's samples."""
    networks = list(dict.fromkeys(s.network for s in samples))
    found: dict[str, float] = {}
    for done, left_out in enumerate(networks, 1):
        rest = [s for s in samples if s.network != left_out]
        arch = fit(prior, whole.parameters, rest, whole.logs).arch if rest else prior
        found |= {s.label: s.predict(arch) for s in samples if s.network == left_out}
        if progress:
            progress(done, len(networks))
    return tuple(found[s.label] for s in samples)


@dataclass(frozen=True)
class Fitted:
    """A fit with what it was made of: each row's measurement, fitted prediction and left-out prediction (s or J)."""

    prior: Arch
    fit: Fit
    samples: tuple[Sample, ...]
    left_out: tuple[float, ...] | None
    figure: str

    @property
    def points(self) -> list[Point]:
        return [Point(s.label, s.measured, p) for s, p in zip(self.samples, self.fit.predicted, strict=True)]

    @property
    def left_out_points(self) -> list[Point]:
        return [Point(s.label, s.measured, p) for s, p in zip(self.samples, self.left_out or (), strict=True)]

    def evidence(self, conditions: str) -> tuple[Evidence, ...]:
        """The blocks that the chip's file keeps, one for each precision."""
        return tuple(self._evidence(p, conditions) for p in dict.fromkeys(s.precision for s in self.samples))

    def _evidence(self, precision: str, conditions: str) -> Evidence:
        chosen = [i for i, s in enumerate(self.samples) if s.precision == precision]
        points = [self.points[i] for i in chosen]
        left_out = [self.left_out_points[i] for i in chosen] if self.left_out else []
        worst = max(points, key=lambda p: abs(p.error))
        return Evidence(
            figure="energy" if self.figure == "energy" else "latency",
            rows=len(points),
            networks=len({self.samples[i].network for i in chosen}),
            mape=_mape(points),
            worst=f"{worst.label} {100 * worst.error:+.1f} %",
            left_out_mape=_mape(left_out) if left_out else None,
            rank_correlation=_ranks(left_out or points),
            not_identifiable=[p.name for i, p in enumerate(self.fit.parameters) if self.fit.verdict(i).startswith("not identifiable")],
            conditions=f"{precision}, {conditions}",
        )


def _mape(points: Sequence[Point]) -> float:
    return round(100 * sum(abs(p.error) for p in points) / len(points), 2)


def _ranks(points: Sequence[Point]) -> float | None:
    value = rank_correlation("", points, 0, 0).value if len(points) > 1 else None
    return None if value is None or value != value else round(value, 4)
