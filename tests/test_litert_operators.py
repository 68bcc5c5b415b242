"""Random TFLite files of one operator against LiteRT's reference kernels, both executors."""

from __future__ import annotations

import numpy as np
import pytest

import hwsim
from hwsim.steps.assemble import assemble
from hwsim.steps.lower import as_written
from tests.litert import Judged, in_file_order
from tests.tflite_models import CASES


def disagreements(case: str, seed: int, kernels: str = "BUILTIN_REF") -> list[str]:
    """What differs between LiteRT and hwsim for one random file; nothing where LiteRT refuses it."""
    rng = np.random.default_rng([seed, sum(map(ord, case))])
    judged = Judged(CASES[case](rng).bytes(), case, kernels)
    feeds = judged.random_feeds(rng)
    try:
        wanted = judged.reference(feeds, judged.computed())
    except (RuntimeError, ValueError):
        return ["refused"]
    bad = []
    for engine in ("reference", "numba"):
        found = hwsim.execute(judged.graph, feeds, engine=engine, all_tensors=True)
        for name, array in wanted.items():
            got = in_file_order(found, name)
            if got.shape != array.shape or not np.array_equal(got, array):
                bad.append(
                    f"{engine}: {name} {got.shape} {array.shape}, {(got != array).sum() if got.shape == array.shape else 'all'} differ"
                )
    return bad


@pytest.mark.parametrize("case", CASES)
def test_equals_litert(case: str) -> None:
    found = [disagreements(case, seed) for seed in range(4)]
    assert [f for f in found if f and f != ["refused"]] == []
    assert any(not f for f in found)


@pytest.mark.parametrize("case", CASES)
def test_runs_compiled(case: str) -> None:
    """Every operator has a kernel."""
    rng = np.random.default_rng([3, sum(map(ord, case))])
    assembly = assemble(as_written(Judged(CASES[case](rng).bytes(), case).graph))
    assert [s.step.op for s in assembly.segments if s.step is not None] == []
