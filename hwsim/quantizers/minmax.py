"""Min-max: the grid spans the smallest and largest value (Jacob et al., CVPR 2018; Q11)."""

from __future__ import annotations

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine

__all__ = ["fit"]


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n)."""
    return affine(values.min(-1), values.max(-1), scheme)
