"""Operators: one file is one operator of hwsim, which may read several operators of the file formats.

A file defines

* `READS`: source operator -> function(SourceNode, Reader) that emits nodes of hwsim;
* `write(node, inputs)`: the ONNX operator (or operators) as which a node is written, on real tensors;
* `infer(node, inputs)`: shape and format of every output, from the input tensors (None where absent);
* `compute(node, *arrays)`: the operator on real numbers (or on indices), as NumPy arrays;
* `in_order(node, *arrays)`, where the order of sums is the kernels' own: `compute` in that order, the reference of `real`;
* `integer(step, *arrays)`, when it has an exact meaning on stored integers: the reference of the kernels;
* `loops(node, inputs, outputs)`, when it multiplies and accumulates: its LoopNest;
* `work(node, inputs, outputs)`: elementary vector operations, by name, that a chip's vector unit prices;
* `touched(outputs)`: how many elements of the first input are read, where not all of them;
* `kernel(step, desk)`, when a compiled kernel runs it on stored integers, and `real(step, desk)`, when one runs it on float32:
  whether one does, with its calls handed to the desk (`real` takes other formats too where the file says ANY_FORMAT).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from hwsim.shelf import load, names

__all__ = ["readers"]


@cache
def readers() -> dict[str, Callable[..., Any]]:
    """Every source operator that hwsim reads, with the function that reads it."""
    found: dict[str, Callable[..., Any]] = {}
    for name in names("ops"):
        for kind, read in load("ops", name).READS.items():
            assert kind not in found, f"two ops read {kind}"
            found[kind] = read
    return found
