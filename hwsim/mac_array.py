"""An array of multipliers: the loops spread over it, the precisions it runs, and how it sums."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from math import prod
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from hwsim.blocks import Block, MoreThan0, Share, Strict
from hwsim.program import Accumulator
from hwsim.quantities import Area, Bandwidth, Count, Duration, Energy, Length, Size

__all__ = [
    "LAYER_KINDS",
    "LOOPS",
    "AccumulatorSpec",
    "BlockBuffer",
    "Compose",
    "MacArray",
    "Passes",
    "PrecisionName",
    "Serial",
    "Unroll",
    "parse_precision",
]

LOOPS = ("N", "G", "K", "C", "OY", "OX", "FY", "FX")
LAYER_KINDS = ("conv", "pointwise", "grouped", "depthwise", "conv_transpose", "matmul", "lstm")


@lru_cache(maxsize=1024)
def parse_precision(name: str) -> tuple[str | int, str | int]:
    """Weight and activation of a precision's name: w4a8 -> (4, 8); fp16 -> both; w4fp16 -> (4, 'fp16').

    Raises ValueError for anything else.
    """
    match = re.fullmatch(r"(?:w([0-9]{1,2}))?(?:a([0-9]{1,2})|(fp32|fp16|bf16|fp8))", name)
    weight, activation, real = match.groups() if match else (None, None, None)
    widths = [int(v) for v in (weight, activation) if v is not None]
    if (weight is None and real is None) or not all(1 <= v <= 32 for v in widths):
        raise ValueError(f"must be a precision such as w8a8, w4fp16, fp16, bf16 or fp32 with widths of 1 to 32 bits, not '{name}'")
    return int(weight) if weight else str(real), int(activation) if activation else str(real)


def _integers(name: str) -> tuple[int, int] | None:
    """The widths of a precision of integers."""
    weight, activation = parse_precision(name) if _is_precision(name) else ("", "")
    return (weight, activation) if isinstance(weight, int) and isinstance(activation, int) else None


def _is_precision(name: str) -> bool:
    try:
        parse_precision(name)
    except ValueError:
        return False
    return True


def _precision(name: str) -> str:
    parse_precision(name)
    return name


PrecisionName = Annotated[str, AfterValidator(_precision)]


class Serial(Strict):
    """Operands cut into pieces that go through the multiplier one after the other (Stripes, Loom, BISMO)."""

    weights: int = Field(ge=1, le=32, description="weight bits per cycle")
    activations: int = Field(ge=1, le=32, description="activation bits per cycle")
    most: int = Field(16, ge=1, le=32, description="widest operand in bits")


class Compose(Strict):
    """Small multipliers joined for wide operands (BitFusion): widths round up to a power of two from `smallest` to `largest`."""

    smallest: int = Field(2, ge=1, le=16)
    largest: int = Field(8, ge=2, le=32)

    @model_validator(mode="after")
    def _ordered(self) -> Any:
        if self.smallest > self.largest:
            raise ValueError(f"`smallest` must be at most `largest`, not {self.smallest} and {self.largest}")
        return self


class AccumulatorSpec(Strict):
    """How products are summed; see hwsim.program.Accumulator."""

    bits: int = Field(32, ge=8, le=64)
    overflow: Literal["wrap", "saturate"] = "wrap"
    every: Literal["mac", "tile", "pair"] = "mac"
    tile: int = Field(1, ge=1)
    zero_points: Literal["folded", "subtracted"] = "folded"

    @model_validator(mode="after")
    def _tile_counts(self) -> Any:
        if self.tile != 1 and self.every != "tile":
            raise ValueError(f"`tile` must come with `every: tile`, not with `every: {self.every}`")
        return self

    def spec(self) -> Accumulator:
        return Accumulator(self.bits, self.overflow, self.every, self.tile, self.zero_points)


Loop = Annotated[int, Field(ge=1)]
Kind = Literal["conv", "depthwise", "conv_transpose", "matmul", "lstm", "max_pool", "average_pool", "add", "softmax"]


class Unroll(Strict):
    """How many rounds of each loop run side by side in the multipliers, and when loops can be spread so."""

    N: Loop = 1
    G: Loop = 1
    K: Loop = 1
    C: Loop = 1
    OY: Loop = 1
    OX: Loop = 1
    FY: Loop = 1
    FX: Loop = 1

    rows: Loop = Field(1, description="of a systolic array; what they hold follows from the dataflow")
    columns: Loop = Field(1, description="of a systolic array")
    rate: MoreThan0 = Field(1.0, description="speed in this mode, relative to `rates`")
    runs: list[Kind] | None = Field(None, description="operators that have this mode; left out: all of the array's")
    most_channels: int | None = Field(None, ge=1, description="only layers of at most so many input channels in a group have it")
    most_rows: int | None = Field(
        None, ge=1, description="only layers of at most so many output positions have it, as products with vectors"
    )

    @cached_property
    def loops(self) -> dict[str, int]:
        """The loops that are spread at all."""
        return {d: n for d in LOOPS if (n := getattr(self, d)) > 1}

    @cached_property
    def multipliers(self) -> int:
        return prod(self.loops.values()) * self.rows * self.columns


class BlockSize(Strict):
    """How many rounds of a loop belong together."""

    C: Loop = 1
    K: Loop = 1
    OX: Loop = 1


class Ports(Strict):
    """Bits that come into the array per cycle or second; left out: as many as it needs."""

    weights: Bandwidth | None = None
    activations: Bandwidth | None = None
    both: Bandwidth | None = Field(None, description="weights and activations over the same wires")


class BlockBuffer(Strict):
    """Banks out of which blocks of outputs are made, and the pace of what surrounds the multipliers (kind block_engine)."""

    banks: int = Field(ge=1)
    bank: Size = Field(description="of one bank")
    output_banks: int = Field(2, ge=0, description="banks kept for outputs")
    reserved_banks: int = Field(0, ge=0, description="banks kept for tables")
    input_granule: int = Field(ge=1, description="banks that inputs take at a time")
    sum_granule: int = Field(ge=1, description="banks that sums take at a time")
    burst: Size = Field(description="shortest transfer at the port")
    latency: Duration = Field(description="of a block's way in and out")
    table_latency: int = Field(64, ge=0, description="cycles until scales and biases arrive")
    step_delay: int = Field(ge=0, description="cycles between sums of the same position")
    pool_cycles: float = Field(4.0, gt=0, description="cycles of a micro-block for each tap of a pool")
    element_cycles: dict[str, float] = Field(
        description="cycles of the output stage per element by operator; `default` for the ones not named"
    )

    @model_validator(mode="after")
    def _has_default(self) -> Any:
        if "default" not in self.element_cycles:
            raise ValueError("element_cycles must give a `default`")
        return self


class Passes(Strict):
    """What a row-stationary array holds at a time, in words, and what its passes cost beside their products."""

    filter_words: int = Field(ge=1, description="of filters in one element's registers")
    input_words: int = Field(ge=1, description="of a sliding row of inputs in one element's registers")
    sum_words: int = Field(ge=1, description="of sums in one element's registers: filters that it works on at a time")
    buffer_words: int = Field(ge=1, description="of inputs and sums in the buffer")
    start: float = Field(0.0, ge=0, description="cycles of filling and draining the array in each pass")
    exposed: Share = Field(1.0, description="share of the feature maps' way from and to DRAM beside which no pass runs")


class Winograd(Strict):
    """Square kernels of one size in the Winograd domain."""

    kernel: int = Field(3, ge=2)
    speed: float = Field(2.25, gt=1, description="fewer multiplications: F(2x2, 3x3) needs 16 instead of 36")


class MacArray(Block):
    """Multipliers that work together on the loops of a convolution or matrix product."""

    kind: str = Field("unrolled", description="how the array works: a file of arrays/ (see `hwsim list arrays`)")
    shares: str | None = Field(None, description="the array whose multipliers these are, in another mode; left out: its own")
    unroll: list[Unroll] = Field(
        min_length=1, description="loops spread over the multipliers; of several unrollings the fastest is taken for each layer"
    )
    cores: int = Field(1, ge=1, description="copies of the array that take blocks of outputs of their own (kinds tensor_core and cube)")
    block: BlockSize | None = Field(
        None, description="outputs worked on at a time (simd_dot, tensor_core), or the granule to which loops are padded (cmac)"
    )
    ports: Ports | None = Field(None, description="width of the wires into the array (bit_serial, simd_dot, tensor_core)")
    buffer: BlockBuffer | None = Field(None, description="banks for blocks of inputs, sums and outputs (block_engine)")
    weight_coding: Literal["none", "entropy"] = Field("none", description="how weights are stored for the array (block_engine)")
    passes: Passes | None = Field(None, description="registers, buffer and pace of passes (row_stationary)")
    winograd: Winograd | None = Field(None, description="multiplication in the Winograd domain (cmac)")
    unpack: Count | None = Field(
        None, description="weights widened per cycle by each core for its own blocks (tensor_core); left out: the vector unit widens"
    )
    cycle_energy: Energy | None = Field(
        None, description="of the whole array in a busy cycle, as synthesis reports it; left out: products are priced one by one"
    )
    wires: Length | None = Field(
        None, description="mean way of an operand between the multipliers and the nearest memory outside of the array; left out: no wires"
    )
    area: Area | None = Field(None, description="of the whole array; left out: from the table of areas, by widths and multipliers")
    dataflow: Literal["weight_stationary", "output_stationary", "input_stationary", "row_stationary", "none"] = Field(
        description="which operand stays in the multipliers' registers while others stream"
    )
    rates: dict[PrecisionName, MoreThan0] = Field(
        description="precisions that run natively (w8a8, w8a16, fp16, ...): MACs per multiplier and cycle"
    )
    serial: Serial | None = None
    compose: Compose | None = None
    runs: list[Kind] = Field(description="operators that it takes")
    fuses: list[str] = Field(default_factory=list, description="operators done on the way out: add, relu, clip, bias, concat, ...")
    efficiency: dict[str, Share] = Field(
        default_factory=dict,
        description="share of the rate that layers reach, by kind (conv, pointwise, grouped, depthwise, matmul, ...) and by precision "
        "(w8a8, fp16, ...); both factors multiply; left out: that of the next wider integers, or 1",
    )
    outputs: Count | None = Field(
        None, description="output elements requantized and stored per cycle, after the products; left out: the vector unit requantizes"
    )
    accumulator: AccumulatorSpec = AccumulatorSpec()

    @model_validator(mode="after")
    def _sizes(self) -> Any:
        if not all(u.model_fields_set for u in self.unroll):
            raise ValueError("each unroll must spread at least one loop over 1 or more multipliers")
        if not self.rates:
            raise ValueError("rates must name at least one precision such as `w8a8: 1`")
        unknown = next((k for k in self.efficiency if k not in LAYER_KINDS and not _is_precision(k)), None)
        if unknown is not None:
            raise ValueError(f"efficiency must be of one of {', '.join(LAYER_KINDS)} or of a precision, not of '{unknown}'")
        if self.serial and self.compose:
            raise ValueError("must be `serial` or `compose`, not both")
        return self

    @property
    def multipliers(self) -> int:
        """The size of the array: of its largest unrolling."""
        return max(u.multipliers for u in self.unroll) * self.cores

    def modes(self, kind: str, channels: int, rows: int = 0) -> list[Unroll]:
        """The unrollings that a kind of layer with so many input channels in a group, and so many output positions, can take; all where
        none says so."""
        limits = [(u, (u.most_channels or channels, u.most_rows or rows)) for u in self.unroll if u.runs is None or kind in u.runs]
        return [u for u, (most_channels, most_rows) in limits if channels <= most_channels and rows <= most_rows] or self.unroll

    def reached(self, kind: str, precision: str) -> float:
        """Share of the rate that a kind of layer reaches at a precision.

        What keeps products waiting does not vanish where they take fewer bits: a precision without a share of its own takes that of the
        next wider integers.
        """
        return self.efficiency.get(kind, 1.0) * self.efficiency.get(precision, self._next_wider(precision))

    def _next_wider(self, precision: str) -> float:
        own = _integers(precision)
        wider = [(pair, p) for p in self.efficiency if own and (pair := _integers(p)) and pair[0] >= own[0] and pair[1] >= own[1]]
        return self.efficiency[min(wider)[1]] if wider else 1.0
