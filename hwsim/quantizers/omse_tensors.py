"""Several low-bit tensors for one: W ~ s1 Q1 + s2 Q2, where one tensor is too coarse (Choukroun et al., ICCVW 2019, section 3; Q18).

Greedy: the second tensor is fitted to what the first leaves; then both scales are solved for by least squares and both tensors rounded
again, by turns.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array
from hwsim.quantizers._affine import Scheme, fake
from hwsim.quantizers._levels import Approximation
from hwsim.quantizers.mse import fit

__all__ = ["COARSE", "NEEDS", "approximate", "sum_of"]

NEEDS = "two products and an addition where a layer is too coarse for one: twice its multiplications"
COARSE = 0.01  # noise to signal above which a layer gets the second tensor; the paper sets it for each network, so this one is assumed
TURNS = 10


def sum_of(values: Array, bits: int, tensors: int) -> tuple[Array, Array]:
    """Scales (rows, tensors) and whole numbers (rows, tensors, n) whose products sum up to rows of `values` (rows, n)."""
    scheme = Scheme(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, symmetric=True)
    scales, numbers, rest = [], [], values.astype(np.float64)
    for _ in range(tensors):
        grid = fit(rest, scheme)
        scale = grid[0].astype(np.float64)
        numbers.append(np.rint(fake(rest, grid, scheme) / scale[:, None]))
        scales.append(scale)
        rest = rest - scale[:, None] * numbers[-1]
    s, q = np.stack(scales, 1), np.stack(numbers, 1)
    for _ in range(TURNS if tensors > 1 else 0):
        s, q = _better(values, s, q, _turn(values, s, q, scheme))
    return s, q


def _turn(values: Array, s: Array, q: Array, scheme: Scheme) -> tuple[Array, Array]:
    """Scales by least squares, then each tensor rounded to what the others leave."""
    solved = np.stack([np.linalg.lstsq(row.T, v, rcond=None)[0] for row, v in zip(q, values, strict=True)])
    found = q.copy()
    for t in range(q.shape[1]):
        rest = values - np.einsum("rt,rtn->rn", solved, found) + solved[:, t, None] * found[:, t]
        safe = np.where(solved[:, t, None] == 0, 1, solved[:, t, None])
        found[:, t] = np.clip(np.rint(rest / safe), scheme.qmin, scheme.qmax)
    return solved, found


def _better(values: Array, s: Array, q: Array, new: tuple[Array, Array]) -> tuple[Array, Array]:
    """Row by row the one of two sums with the smaller error."""
    gains = _errors(values, *new) < _errors(values, s, q)
    return np.where(gains[:, None], new[0], s), np.where(gains[:, None, None], new[1], q)


def _errors(values: Array, s: Array, q: Array) -> Array:
    return np.square(np.einsum("rt,rtn->rn", s, q) - values).sum(-1)


def approximate(values: Array, bits: int) -> Approximation:
    """One tensor where its noise is small enough, else two."""
    s, q = sum_of(values, bits, 1)
    if _errors(values, s, q).sum() <= COARSE * np.square(values).sum():
        return Approximation((s[:, :, None] * q).sum(1), s)
    s, q = sum_of(values, bits, 2)
    return Approximation(np.einsum("rt,rtn->rn", s, q))
