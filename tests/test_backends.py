"""MQBench's experiment on a trained network: methods and backends side by side, on the command line too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import cli
from hwsim.decide.backends import BACKENDS, compare_backends, named_backends
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.dataset import Dataset, load_dataset
from hwsim.quant import Array
from tests.data import WORKLOADS


@pytest.fixture(scope="module")
def judged() -> Dataset:
    return load_dataset(WORKLOADS / "digits_test.npz", 150)


def test_names() -> None:
    assert named_backends("all") == [*BACKENDS, "academic"]
    with pytest.raises(HwsimError, match="must be `all`, `academic` or chips, not 'snpe'; did you mean 'snpe_dsp'"):
        named_backends("snpe")


def test_rows_by_method_and_backend(digits: SourceGraph, digits_images: Array, judged: Dataset) -> None:
    """Q44: at w4a8 every backend's integers agree with the fake-quantized network; academic has no chip to price."""
    rows = list(
        compare_backends([digits], digits_images[:32], judged, ["fbgemm_x86", "snpe_dsp", "academic"], ["w4a8"], ["minmax", "mse+bias"])
    )
    assert [(r.method, r.backend) for r in rows] == [(m, b) for m in ("minmax", "mse+bias") for b in ("fbgemm_x86", "snpe_dsp", "academic")]
    for r in rows:
        assert r.same_as_fake >= 0.97 and r.accuracy >= 0.9 and r.metric == "top1"
        assert (r.latency_s is None) == (r.backend == "academic")
    found = {(r.method, r.backend): r.same_as_float for r in rows}
    assert found["mse+bias", "fbgemm_x86"] >= found["minmax", "fbgemm_x86"] - 0.01


def test_half_up_shifts_part_from_fake_quantization_at_four_bits(digits: SourceGraph, digits_images: Array, judged: Dataset) -> None:
    """TVM's shift rounds ties up: one in eight at 4-bit activations, layer after layer, which fake quantization does not see."""
    tvm, snpe = compare_backends([digits], digits_images[:32], judged, ["tvm_arm_a72", "snpe_dsp"], ["w4a4"], ["minmax"])
    assert tvm.same_as_fake < 0.6 < 0.95 < snpe.same_as_fake


def test_samples_to_judge_on_must_not_calibrate(digits: SourceGraph, digits_images: Array, judged: Dataset) -> None:
    mixed = np.concatenate([digits_images[:5], judged.x[3:5]])
    with pytest.raises(HwsimError, match="must hold other samples than the data to judge on, not 2 of 7 the same"):
        list(compare_backends([digits], mixed, judged, ["academic"], ["w8a8"], ["minmax"]))


def test_on_the_command_line(capsys: Any, tmp_path: Path) -> None:
    options = f"--model {WORKLOADS}/digits_resnet_float.onnx --data {WORKLOADS}/digits_test.npz --samples 20"
    with pytest.raises(SystemExit) as stop:
        cli.app(f"compare {options} --backends snpe_dsp --method minmax --format json".split())
    assert stop.value.code == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["backend"], row["bits"], row["method"]) == ("snpe_dsp", "w8a8", "minmax")
    assert float(row["latency_ms"]) > 0 and float(row["same_answer_as_fake_%"]) >= 95
