"""Two runs of one network compared tensor by tensor, cumulative and isolated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log10

import numpy as np

from hwsim.graph import Tensor
from hwsim.program import Program
from hwsim.quant import Array
from hwsim.steps.execute import run_step

__all__ = ["Comparison", "Difference", "compare_tensors", "isolated"]


@dataclass(frozen=True)
class Difference:
    """How one tensor differs between two runs.

    `sqnr_db` is signal power of the second run over the power of the difference; `largest_lsb` counts steps of the tensor's scale
    (None for real tensors); `saturated` is the share of elements at the first run's bounds; `first` is the first element that
    differs.
    """

    name: str
    sqnr_db: float
    cosine: float
    largest: float
    largest_lsb: float | None
    differing: float
    saturated: float
    first: tuple[int, ...] | None

    @property
    def equal(self) -> bool:
        return self.differing == 0


@dataclass(frozen=True)
class Comparison:
    """Differences in run order: cumulative (each run on its own) and isolated (each layer fed the second run's inputs)."""

    first: str
    second: str
    cumulative: tuple[Difference, ...]
    isolated: Mapping[str, Difference]

    @property
    def equal(self) -> bool:
        return all(d.equal for d in self.cumulative)

    @property
    def first_differing(self) -> Difference | None:
        return next((d for d in self.cumulative if not d.equal), None)


def compare_tensors(tensor: Tensor, a: Array, b: Array, other: Tensor | None = None) -> Difference:
    """Compare two arrays of one tensor, in real numbers; `other` describes the second where its storage differs."""
    real_a, real_b = _real(tensor, a), _real(other or tensor, b)
    error = real_a - real_b
    differs = real_a != real_b
    signal, noise = float((real_b**2).sum()), float((error**2).sum())
    norm = float(np.sqrt((real_a**2).sum() * signal))
    largest = float(np.abs(error).max(initial=0))
    scale = None if tensor.quant is None else float(np.max(tensor.quant.scale))
    where = tuple(int(i) for i in np.argwhere(differs)[0]) if differs.any() else None
    return Difference(
        tensor.name,
        inf if noise == 0 else 10 * log10(signal / noise) if signal else -inf,
        float((real_a * real_b).sum()) / norm if norm else 1.0,
        largest,
        None if scale is None else round(largest / scale, 3),
        float(differs.mean()) if differs.size else 0.0,
        _saturated(tensor, a),
        where,
    )


def _real(tensor: Tensor, array: Array) -> Array:
    return (array if tensor.quant is None else tensor.quant.dequantize(array)).astype(np.float64)


def _saturated(tensor: Tensor, array: Array) -> float:
    q = tensor.quant
    return 0.0 if q is None or not array.size else float(((array <= q.qmin) | (array >= q.qmax)).mean())


def isolated(program: Program, values: Mapping[str, Array], reference: Mapping[str, Tensor]) -> dict[str, Difference]:
    """Each step of a program fed with another run's inputs, and its output compared with that run's output.

    `values` are the other run's tensors and `reference` describes them.  Steps whose tensors the other run lacks are left out.
    """
    found = {}
    for step in (s for layer in program.layers for s in layer.steps):
        operands = [None if t is None else t.constant.array if t.constant is not None else values.get(t.name) for t in step.inputs]
        complete = all(t is None or o is not None for t, o in zip(step.inputs, operands, strict=True))
        output = step.outputs[0]
        if complete and output.name in values and _same_storage(step.inputs, reference):
            arrays, _ = run_step(step, operands)
            found[output.name] = compare_tensors(output, arrays[0], values[output.name], reference.get(output.name))
    return found


def _same_storage(tensors: tuple[Tensor | None, ...], reference: Mapping[str, Tensor]) -> bool:
    return all(t is None or t.name not in reference or (t.quant is None) == (reference[t.name].quant is None) for t in tensors)
