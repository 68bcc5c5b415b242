"""TFLite networks against LiteRT's reference kernels: every tensor of every network, by both executors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data import shared
from tests.litert import Judged

SMALL = (
    "mlperf_tiny/models/pretrainedResnet_quant",
    "mlperf_tiny/models/kws_ref_model",
    "mlperf_tiny/models/vww_96_int8",
    "mlperf_tiny/models/ad01_int8",
    "mlperf_tiny/models/str_ww_ref_model",
)


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("path", SMALL, ids=lambda p: p.rpartition("/")[2])
def test_every_tensor(path: str, engine: str) -> None:
    file = shared(f"models/{path}.tflite")
    judged = Judged(file.read_bytes(), file.stem)
    rng = np.random.default_rng(7)
    for _ in range(2):
        assert judged.differing(judged.random_feeds(rng), engine) == []
