"""LSTMs of float32 numbers: both executors bit for bit, ONNX Runtime to the rounding of their sums."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from hwsim.graph import Tensor
from hwsim.quant import Array
from hwsim.steps.assemble import assemble
from hwsim.steps.execute import execute
from tests.judges import OneNode
from tests.steps import ENGINES, step_program
from tests.test_reals import real


def run(inputs: list[Any], attrs: dict[str, Any], y_shape: tuple[int, ...]) -> list[list[Array]]:
    """The sequence, the last state and the last cell by each executor; all is compiled."""
    program, feeds = step_program("lstm", inputs, (y_shape, None), attrs)
    (layer,) = program.layers
    more = tuple(Tensor(n, y_shape[1:], "float32") for n in ("h", "c"))
    (step,), names = layer.steps, ("y", "h", "c")
    step = replace(step, integer=False, node=replace(step.node, outputs=names), outputs=(*step.outputs, *more))
    graph = replace(program.graph, outputs=names)
    tensors = {**program.tensors, **{t.name: t for t in more}}
    program = replace(program, graph=graph, layers=(replace(layer, steps=(step,)),), tensors=tensors)
    assert all(s.step is None for s in assemble(program).segments)
    found = [execute(program, feeds, engine=e).tensors for e in ENGINES]
    return [[f[n] for n in names] for f in found]


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("more", "coupled"), list(product((0, 1, 3, 4), ("", "forget"))))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("steps", "batch", "size", "hidden"), [(5, 2, 7, 3), (3, 1, 20, 37), (4, 3, 1, 16)])
def test_executors_and_onnxruntime(steps: int, batch: int, size: int, hidden: int, direction: str, more: int, coupled: str) -> None:
    """Without and with biases (1), first states (2, 3) and peepholes (4)."""
    rng, directions = np.random.default_rng(hidden), 2 if direction == "bidirectional" else 1
    shapes = [(directions, 8 * hidden), (directions, batch, hidden), (directions, batch, hidden), (directions, 3 * hidden)][:more]
    x = rng.normal(0, 1, (steps, batch, size)).astype(np.float32)
    w, r = (rng.normal(0, 0.4, (directions, 4 * hidden, n)).astype(np.float32) for n in (size, hidden))
    given = [rng.normal(0, 1, s).astype(np.float32) for s in shapes]
    judge = OneNode("LSTM", hidden_size=hidden, direction=direction, input_forget=int(coupled == "forget")).feed(x).constant(w).constant(r)
    for i, array in enumerate(given):
        judge = judge.constant(array)
        if i == 0 and more > 1:
            judge.absent()
    constant = (True, False, False, True)
    inputs = [real("x", x), real("w", w, True), real("r", r, True)]
    inputs += [real(f"g{i}", array, constant[i]) for i, array in enumerate(given)]
    a, b = run(inputs, {"hidden": hidden, "direction": direction, "coupled": coupled}, (steps, directions, batch, hidden))
    assert all(u.tobytes() == v.tobytes() for u, v in zip(a, b, strict=True))
    close(a[0], judge.run())


@pytest.mark.parametrize("coupled", ["", "input"])
def test_a_bounded_cell(coupled: str) -> None:
    x, w, r = (np.random.default_rng(i).normal(0, 2, s).astype(np.float32) for i, s in enumerate([(6, 1, 4), (1, 20, 4), (1, 20, 5)]))
    attrs = {"hidden": 5, "direction": "forward", "coupled": coupled, "cell_clip": 0.3}
    a, b = run([real("x", x), real("w", w, True), real("r", r, True)], attrs, (6, 1, 1, 5))
    assert all(u.tobytes() == v.tobytes() for u, v in zip(a, b, strict=True))
    assert np.abs(a[2]).max() == np.float32(0.3)
