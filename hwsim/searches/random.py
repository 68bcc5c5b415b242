"""The best of 65,536 assignments drawn at random: what every other search must beat."""

from __future__ import annotations

import numpy as np

from hwsim.allocation import Allocation
from hwsim.quant import Array
from hwsim.searches._scores import best_first

EXACT = False
DRAWS = 1 << 16


def search(problem: Allocation, seed: int = 0) -> Array:
    """The drawn assignments that are within the limits, the best first (at most 100).

    Each draw first decides how often it takes few bits, so that tight limits are met by some.
    """
    rng = np.random.default_rng(seed)
    lean = rng.random((DRAWS, 1), np.float32) * 2
    power = rng.random((DRAWS, len(problem.options)), np.float32) ** np.exp2(3 * (lean - 1))
    draws = np.minimum(power * np.array(problem.options, np.float32), np.array(problem.options) - 1).astype(np.uint8)
    return best_first(problem, draws)[:100]
