"""Random QOperator networks: every tensor as ONNX Runtime computes it, in both executors."""

from __future__ import annotations

from collections import Counter

import numpy as np

from hwsim.io.onnx_model import source_of
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written
from hwsim.steps.read import read
from tests.conftest import Say
from tests.random_networks import RandomNetwork
from tests.steps import ENGINES
from tests.test_onnxruntime import needs_vnni

NETWORKS, LENGTH = 200, 8


@needs_vnni
def test_random_networks(say: Say) -> None:
    from tests.judges import all_tensors

    kinds: Counter[str] = Counter()
    tensors, wrong = 0, []
    for seed in range(NETWORKS):
        grown = RandomNetwork(seed)
        model, feeds = grown.build(LENGTH)
        kinds.update(n.op_type for n in model.graph.node)
        theirs = all_tensors(model, feeds)
        program = as_written(read(source_of(model, "random", "0" * 64), qdq="literal"))
        for engine in ENGINES:
            mine = execute(program, feeds, all_tensors=True, engine=engine).tensors
            tensors += len(theirs)
            wrong += [(seed, engine, t) for t, a in theirs.items() if not np.array_equal(mine[t], a)]
    say(f"{NETWORKS} random networks, {tensors} tensors compared with ONNX Runtime, {len(wrong)} wrong; operators: {dict(kinds)}")
    assert wrong == []
    assert len(kinds) >= 18
    assert min(kinds.values()) >= 20
