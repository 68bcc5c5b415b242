"""Products of real matrices as both executors define them: float32 numbers multiplied and summed in float64, one after the other in
their order along K, and rounded once; zero is positive.

No judge defines the order of these sums, ONNX Runtime's changes with processor and shape: so the result that is right up to its one
rounding is taken.  A product of two float32 numbers is exact in float64, which makes a fused operation the same as two.
"""

from __future__ import annotations

import numpy as np

from hwsim.quant import Array

__all__ = ["real_matmul"]

PART = 1 << 16  # numbers at a time, which stay in the processor's caches
ERROR = 2.0**-51  # of a float64 sum in any order, by its length and the sizes of its operands: four times the bound of each addition


def real_matmul(a: Array, b: Array) -> Array:
    """`a @ b`; of float32 numbers in the defined order."""
    if a.dtype != np.float32 or b.dtype != np.float32:
        return a @ b
    left, right = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    if right.ndim == 2:
        y = _product(left.reshape(-1, left.shape[-1]), right).reshape(*left.shape[:-1], right.shape[-1])
    else:
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left, right = (np.broadcast_to(m, (*batch, *m.shape[-2:])) for m in (left, right))
        y = np.empty((*batch, left.shape[-2], right.shape[-1]), np.float32)
        for i in np.ndindex(batch):
            y[i] = _product(left[i], right[i])
    y = y[..., 0] if b.ndim == 1 else y
    return y[..., 0, :] if a.ndim == 1 and b.ndim > 1 else y[..., 0] if a.ndim == 1 else y


def _product(a: Array, b: Array) -> Array:
    """(M, K) by (K, N)."""
    w = np.ascontiguousarray(b, np.float64)
    y, step = np.empty((len(a), w.shape[1]), np.float32), max(PART // max(w.shape), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        reach = ERROR * len(w) * np.sqrt(np.einsum("ij,ij->j", w, w))
        for i in range(0, len(a), step):
            y[i : i + step] = _rows(a[i : i + step].astype(np.float64), w, reach)
    return y


def _rows(x: Array, w: Array, reach: Array) -> Array:
    """By BLAS, in its own order; what another order might round to another number is summed again, in ours."""
    y = x @ w
    error = np.sqrt(np.einsum("ij,ij->i", x, x))[:, None] * reach
    found, ends = y.astype(np.float32), [(y + e).astype(np.float32).view(np.int32) for e in (-error, error)]
    rows, columns = np.nonzero(ends[0] != ends[1])
    step = max(PART // len(w), 1)
    for i in range(0, len(rows), step):
        some = rows[i : i + step], columns[i : i + step]
        found[some] = np.add.accumulate(x[some[0]] * w[:, some[1]].T, 1)[:, -1]
    return found + np.float32(0)
