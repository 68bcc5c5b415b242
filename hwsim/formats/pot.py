"""Powers of two with a zero: pot4 is {0, +-2^0 ... +-2^-6} (INQ, Zhou et al. 2017, with n1 = 0): a multiply is a shift."""

from __future__ import annotations

from hwsim.errors import HwsimError
from hwsim.formats._levels import from_levels
from hwsim.quant import Format


def parse(suffix: str) -> Format:
    if not suffix.isdigit() or not 2 <= int(suffix) <= 6:
        raise HwsimError("format", "pot must be followed by 2 to 6 bits, such as pot4", repr("pot" + suffix))
    bits = int(suffix)
    positive = [2.0**-k for k in range((1 << (bits - 1)) - 1)]
    return from_levels(f"pot{bits}", bits, [-v for v in positive] + [0.0] + positive[::-1], "float32")
