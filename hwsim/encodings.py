"""Scales and offsets of tensors by name, as quantization tools hand them from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwsim.errors import HwsimError
from hwsim.quant import Array, Format, QuantParams

__all__ = ["Encoding", "Encodings"]


@dataclass(frozen=True, eq=False)
class Encoding:
    """real = scale * (u + offset), u in 0 ... 2^bits - 1; `scale` and `offset` have one number, or one for each channel."""

    bits: int
    scale: Array
    offset: Array
    symmetric: bool

    @classmethod
    def of(cls, quant: QuantParams) -> Encoding:
        """The encoding of quantization parameters: stored numbers counted from the least of their format."""
        low = int(quant.format.low)
        return cls(quant.bits, quant.scale.reshape(-1), low - quant.zero_point.reshape(-1), quant.is_symmetric)

    def on(self, fmt: Format, name: str) -> tuple[Array, Array]:
        """Scale (float32) and zero point (int64) in a number format.  Raises HwsimError when the widths differ."""
        if fmt.bits != self.bits:
            raise HwsimError(f"encoding of '{name}'", f"must have {fmt.bits} bits by the chip's rules", self.bits)
        return self.scale.astype(np.float32), int(fmt.low) - self.offset.astype(np.int64)


@dataclass(frozen=True)
class Encodings:
    """Encodings of activations and of weights, by tensor."""

    activations: Mapping[str, Encoding] = field(default_factory=dict)
    weights: Mapping[str, Encoding] = field(default_factory=dict)
