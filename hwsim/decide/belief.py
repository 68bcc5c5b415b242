"""What each width is believed to add to the loss: measured one at a time, then corrected by what whole assignments really lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.quant import Array

__all__ = ["Belief"]

# All three are assumed:
SPREAD = 0.2  # standard deviation of a width's loss, of the loss itself
FLOOR = 0.03  # the least of it, of the mean loss
NOISE = 0.05  # of what an assignment loses: quantized again after a small change it comes out a little different


class Belief:
    """An additive loss whose terms are normal (Bayesian linear regression), for Thompson sampling (Russo et al. 2018, section 4).

    `losses` are what the options of each width add, in any unit: the first assignment that is learned fixes what they count.
    """

    def __init__(self, losses: Sequence[Array]) -> None:
        self._ends = np.cumsum([len(row) for row in losses])
        self._prior = np.concatenate(losses)
        self._seen: list[Array] = []
        self._lost: list[float] = []

    def learn(self, choice: Sequence[int], lost: float) -> None:
        """What an assignment lost."""
        row = np.zeros(len(self._prior))
        row[self._ends - np.diff(self._ends, prepend=0) + np.array(choice)] = 1
        self._seen.append(row)
        self._lost.append(lost)

    def mean(self) -> list[Array]:
        """What is expected of each option of each width."""
        return self._rows(self._posterior()[0])

    def drawn(self, rng: np.random.Generator) -> list[Array]:
        """What may be so."""
        mean, covariance = self._posterior()
        return self._rows(rng.multivariate_normal(mean, covariance, check_valid="ignore", method="eigh"))

    def _rows(self, values: Array) -> list[Array]:
        return np.split(values, self._ends[:-1])

    def _posterior(self) -> tuple[Array, Array]:
        x, y = np.array(self._seen), np.array(self._lost)
        foretold = float(x[0] @ self._prior)
        prior = self._prior * (y[0] / foretold if min(y[0], foretold) > 0 else 1.0)
        spread = np.where(prior > 0, SPREAD * prior + FLOOR * prior.sum() / max(1, np.count_nonzero(prior)), 0.0)
        covariance = np.diag(spread**2)
        seen = x @ covariance @ x.T + np.diag((NOISE * y) ** 2 + 1e-18)
        gain = np.linalg.solve(seen, x @ covariance).T
        return prior + gain @ (y - x @ prior), covariance - gain @ x @ covariance
