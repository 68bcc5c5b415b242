"""bfloat16: the upper half of a float32."""

from __future__ import annotations

from hwsim.errors import HwsimError
from hwsim.formats.float import small_float
from hwsim.quant import Format


def parse(suffix: str) -> Format:
    if suffix != "16":
        raise HwsimError("format", "bfloat must be followed by 16", repr("bfloat" + suffix))
    return small_float("bfloat16", 8, 7, specials="ieee")
