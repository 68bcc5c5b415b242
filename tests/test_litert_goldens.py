"""Published int16 TFLite files of one operator with golden outputs (tflite-micro, integration_tests/seanet), all exact."""

from __future__ import annotations

import numpy as np
import pytest

import hwsim
from tests.data import loaders
from tests.litert import Judged


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_every_golden_output(engine: str) -> None:
    wrong = []
    for name, case in loaders().seanet().items():
        judged = Judged(case["model"], name)
        given = [case.get(f"input{i}", case.get("input")) for i in range(len(judged.network.inputs))]
        feeds = {t: a.reshape(judged.network.tensors[t].shape) for t, a in zip(judged.network.inputs, given, strict=True)}
        found = hwsim.execute(judged.graph, feeds, engine=engine)[judged.network.outputs[0]]
        wrong += [] if np.array_equal(found.ravel(), case["golden"].ravel()) else [name]
    assert wrong == []
