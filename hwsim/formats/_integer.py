"""What the two integer formats share."""

from __future__ import annotations

import numpy as np

from hwsim.errors import HwsimError
from hwsim.quant import Array, Format


def integer(name: str, suffix: str, signed: bool) -> Format:
    """The two's complement or unsigned format of 1 to 64 bits."""
    if not suffix.isdigit() or not 1 <= int(suffix) <= 64:
        raise HwsimError("format", f"{name} must be followed by 1 to 64 bits, such as {name}8", repr(name + suffix))
    bits = int(suffix)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    held = next(b for b in (8, 16, 32, 64) if bits <= b)

    def nearest(x: Array, saturate: bool) -> Array:
        if x.dtype.kind in "iub":
            q = x.astype(np.int64)
        else:
            with np.errstate(invalid="ignore"):
                q = np.where(np.isnan(x), low, np.rint(np.clip(x.astype(np.longdouble), low, high))).astype(np.int64)
        return np.clip(q, low, high) if saturate else wrapped(q)

    def wrapped(q: Array) -> Array:
        return q if bits == 64 else ((q - low) & ((1 << bits) - 1)) + low

    def decode(codes: Array) -> Array:
        return wrapped(codes.astype(np.int64)).astype(f"{'' if signed else 'u'}int{held}")

    return Format(
        f"{name}{bits}",
        bits,
        low,
        high,
        f"{'' if signed else 'u'}int{held}",
        nearest,
        lambda q: q.astype(np.int64).view(np.uint64) & np.uint64((1 << bits) - 1),
        decode,
    )
