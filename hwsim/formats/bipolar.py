"""Bipolar {-1, +1} in one bit; 0 rounds to +1 (BinaryNet, Hubara et al. 2016; QONNX BipolarQuant)."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Format


def parse(suffix: str) -> Format:
    assert not suffix, "bipolar has no width"
    return Format(
        "bipolar",
        1,
        -1,
        1,
        "int8",
        lambda x, _: np.where(x >= 0, 1, -1),
        lambda q: (q > 0).astype(np.uint64),
        lambda c: np.where(c > 0, 1, -1).astype(np.int8),
    )
