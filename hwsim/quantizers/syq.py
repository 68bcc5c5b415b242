"""SYQ: sign(w) times one alpha for each kernel position (Faraone et al., CVPR 2018, eq. 5 to 7; Q56).

Rows come as (outputs, channels x kernel): the positions of one kernel repeat along a row, and each has its alpha = mean |w| of its
subgroup over all rows.  With one position it is the layer-wise case, which is BWN with one alpha.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._levels import Approximation

__all__ = ["BY_KERNEL", "NEEDS", "approximate"]

NEEDS = "1-bit weights and a multiplication for each kernel position behind the sum over channels"
BY_KERNEL = True


def approximate(values: Array, bits: int, positions: int = 1) -> Approximation:
    """`positions` numbers to a kernel; `bits` is not looked at."""
    grouped = values.reshape(len(values), -1, positions)
    alpha = np.broadcast_to(np.abs(grouped).mean((0, 1)), grouped.shape)
    unit = np.full((len(values), 1), float(alpha.flat[0])) if positions == 1 else None
    return Approximation((alpha * np.where(grouped >= 0, 1.0, -1.0)).reshape(values.shape), unit)
