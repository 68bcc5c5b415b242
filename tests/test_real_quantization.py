"""Post-training quantization on a real network, bit-true: the findings that its literature stands on (slow; data where it is)."""

from __future__ import annotations

import pytest

from hwsim.pipeline.free_batch import free_batch
from tests.bench._cells import Cell, chip, quantized
from tests.bench._judge import Verdict, compare, judge
from tests.bench._networks import case

pytestmark = pytest.mark.slow
NETWORK = "ali_model_kws"


def verdict(backend: str, bits: str, method: str) -> Verdict:
    return judge(quantized(Cell(NETWORK, backend, bits, method), case(NETWORK)), case(NETWORK), chip(backend))


def test_what_data_free_quantization_found() -> None:
    """DFQ at w4a8 with one scale a tensor: plain min-max is chance, equalization brings half back, bias correction the rest."""
    plain, equal, corrected = (verdict("per_tensor", "w4a8", m).value for m in ("minmax", "dead+cle+minmax", "dead+cle+minmax+bias"))
    assert plain <= 0.20 and equal >= 0.50 and corrected >= 0.85


@pytest.mark.parametrize(
    ("backend", "bits", "method", "most"),
    [("acl_ascend310", "w8a8", "minmax", 2.0), ("fbgemm_x86", "w4a8", "full", 3.0), ("per_channel", "w4a4", "smoothed", 3.0)],
)
def test_losses_stay_within_their_goals(backend: str, bits: str, method: str, most: float) -> None:
    """Points against float on the same 372 rows, none of which calibrated."""
    reference = judge(free_batch(case(NETWORK).source), case(NETWORK))
    assert -compare(verdict(backend, bits, method), reference)[0] <= most
