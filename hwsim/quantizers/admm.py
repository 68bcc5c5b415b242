"""ADMM: by turns s = <x, q> / <q, q> and q = round(x / s), to a fixed point (MNN; Leng et al., AAAI 2018; Q14)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Grid, Scheme, affine, least_scale, snapped

__all__ = ["fit"]

ROUNDS = 100


def fit(values: Array, scheme: Scheme) -> Grid:
    """Scale and zero point of each row of `values` (rows, n), starting at min-max; the squared error never grows."""
    first, zero = affine(values.min(-1), values.max(-1), scheme)
    x, scale = values.astype(np.float64), first.astype(np.float64)
    for _ in range(ROUNDS):
        q = np.clip(np.rint(x / scale[..., None]), scheme.qmin - zero[..., None], scheme.qmax - zero[..., None])
        over, under = (x * q).sum(-1), (q * q).sum(-1)
        found = np.where((over > 0) & (under > 0), over / np.where(under > 0, under, 1), scale)
        if np.allclose(found, scale, rtol=1e-7, atol=0):
            break
        scale = found
    scale = least_scale(scale)
    return (snapped(scale) if scheme.power_of_two else scale).astype(np.float32), zero
