"""The network lowered for one chip: layers as the chip runs them, each with all that decides its value and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.graph import Graph, Node, Tensor

__all__ = ["Accumulator", "Layer", "LoopNest", "Program", "Step", "function_name", "mac_kind"]


@dataclass(frozen=True)
class Accumulator:
    """How a unit sums products.

    `every` says after how many products the sum is cut to `bits`: `mac` (each one), `tile` (each `tile` products, summed
    exactly in between), or `pair` (two products are added with 16-bit saturation before the sum: x86 vpmaddubsw).
    Products come in the order kernel row, kernel column, input channel.  With zero points `folded` the raw stored numbers
    are multiplied and the sum starts from the bias and the constant corrections; `subtracted` removes them first.
    """

    bits: int = 32
    overflow: str = "wrap"
    every: str = "mac"
    tile: int = 1
    zero_points: str = "folded"

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def any_order(self) -> bool:
        """Whether only the final sum matters: wrapping commutes with addition."""
        return self.overflow == "wrap" and self.every != "pair"


@dataclass(frozen=True)
class LoopNest:
    """The seven loops of a MAC operator and its groups: N images, G groups, K outputs and C inputs of a group, OY x OX, FY x FX."""

    N: int = 1
    G: int = 1
    K: int = 1
    C: int = 1
    OY: int = 1
    OX: int = 1
    FY: int = 1
    FX: int = 1

    @property
    def macs(self) -> int:
        return self.N * self.G * self.K * self.C * self.OY * self.OX * self.FY * self.FX

    def size(self, loop: str) -> int:
        return int(getattr(self, loop))


@dataclass(frozen=True)
class Step:
    """One operator as it is computed: its tensors, its arithmetic, and whether it runs in integers."""

    node: Node
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    integer: bool
    arithmetic: str
    accumulator: Accumulator = Accumulator()

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def op(self) -> str:
        return self.node.op


def mac_kind(step: Step) -> str:
    """What an array's `runs` calls the operator: a convolution with one input channel per group is depthwise."""
    if step.op == "conv" and step.node.attrs["group"] > 1:
        w = step.inputs[1]
        assert w is not None
        return "depthwise" if w.shape[1] == 1 else "conv"
    return step.op


def function_name(step: Step) -> str:
    """What `runs`, `fuses` and rates call the operator: the function where it has one."""
    return str(step.node.attrs.get("function", step.op))


@dataclass(frozen=True)
class Layer:
    """What the chip runs as one: a first step and the steps fused behind it, on one unit.

    `unit` names an array, a vector unit or the fallback of the chip.  `weight` and `activation` are stored formats, `stored`
    their precision, `precision` what the unit really multiplies, at `rate` MACs per multiplier and cycle; `note` says why (promotion,
    fallback).  `ends` says whether it reads an input of the network (`input`) or makes an output (`output`).
    """

    name: str
    steps: tuple[Step, ...]
    unit: str = ""
    loops: LoopNest | None = None
    weight: str = ""
    activation: str = ""
    stored: str = ""
    precision: str = ""
    note: str = ""
    rate: float = 0.0
    ends: frozenset[str] = frozenset()

    @property
    def op(self) -> str:
        return self.steps[0].op

    @property
    def output(self) -> Tensor:
        return self.steps[-1].outputs[0]


@dataclass(frozen=True, eq=False)
class Program:
    """A network as one chip runs it (`arch` is its name, "" for the file's own arithmetic): what is executed and what is priced."""

    graph: Graph
    arch: str
    layers: tuple[Layer, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
