"""Stored numbers taken as they are: with another scale, or as plain integers.  No source operator; readers put it where a file does so."""

from __future__ import annotations

from typing import Any

from hwsim.graph import Node, Shape, Tensor
from hwsim.ops._lowering import Desk
from hwsim.ops._tables import emit_copy
from hwsim.program import Step
from hwsim.quant import Array

READS: dict[str, Any] = {}


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, inputs[0].format)]


def compute(node: Node, x: Array) -> Array:
    return x


def integer(step: Step, x: Array) -> Array:
    return x


def kernel(step: Step, desk: Desk) -> bool:
    return emit_copy(step, desk)


def work(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    return {}
