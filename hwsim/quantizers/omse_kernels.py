"""Kernel-wise OMSE: a scale of least squared error for each kernel, (output, input) by (Choukroun et al., ICCVW 2019, section 3; Q18).

Rows come as (outputs, channels x kernel).  A kernel of one number would be its own scale, so those layers keep one scale for each row.
"""

from __future__ import annotations

from hwsim.quant import Array
from hwsim.quantizers._affine import Scheme, fake
from hwsim.quantizers._levels import Approximation
from hwsim.quantizers.mse import fit

__all__ = ["BY_KERNEL", "NEEDS", "approximate"]

NEEDS = "a scale for each kernel: a multiplication of every kernel's sum before the sum over channels"
BY_KERNEL = True


def approximate(values: Array, bits: int, positions: int = 1) -> Approximation:
    """`positions` numbers to a kernel."""
    scheme = Scheme(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, symmetric=True)
    kernels = values.reshape(-1, positions) if positions > 1 else values
    grid = fit(kernels, scheme)
    unit = grid[0].astype(values.dtype)[:, None] if positions == 1 else None
    return Approximation(fake(kernels, grid, scheme).reshape(values.shape), unit)
