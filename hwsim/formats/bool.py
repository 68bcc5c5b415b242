"""Truth values, stored in a byte each as ONNX does."""

from __future__ import annotations

import numpy as np

from hwsim.quant import Format


def parse(suffix: str) -> Format:
    assert not suffix, "bool has no width"
    return Format("bool", 8, 0, 1, "bool", lambda x, _: x != 0, lambda q: q.astype(np.uint64), lambda c: c != 0)
