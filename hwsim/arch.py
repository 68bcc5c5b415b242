"""A chip, as its YAML file states it: the schema and the noun are one.

Every block says where its numbers come from (`source`) or why they are assumed (`assumed`).  Quantities keep the printed form in
the file and become bits, cycles, pJ and Hz here.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hwsim import units
from hwsim.program import Accumulator
from hwsim.quantities import Bandwidth, Count, Duration, Energy, EnergyPerBit, Frequency, Length, Power, Size, Voltage

__all__ = [
    "OPERANDS",
    "Arch",
    "Block",
    "CostTable",
    "Fallback",
    "Grid",
    "MacArray",
    "Memory",
    "Rules",
    "Scaling",
    "Vector",
    "WeightGrid",
    "parse_precision",
]

OPERANDS = ("weights", "inputs", "outputs")
LAYER_KINDS = ("conv", "pointwise", "grouped", "depthwise", "conv_transpose", "matmul", "lstm")


def _more_than_0(value: float) -> float:
    if not value > 0:
        raise ValueError(f"must be more than 0, not {value:g}")
    return value


def _is_precision(name: str) -> bool:
    try:
        parse_precision(name)
    except ValueError:
        return False
    return True


def _precision(name: str) -> str:
    parse_precision(name)
    return name


Share = Annotated[float, Field(gt=0, le=1)]


class Strict(BaseModel):
    """No unknown keys, no words for numbers, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class Block(Strict):
    """A block of numbers with its provenance."""

    source: str | None = Field(None, description="where the numbers of this block come from: document, table, measurement")
    assumed: str | None = Field(None, description="why numbers of this block are assumed instead")

    @model_validator(mode="after")
    def _says_where_from(self) -> Any:
        if not self.source and not self.assumed:
            raise ValueError("must say where its numbers come from, with `source:` or `assumed:`")
        return self


class Clock(Block):
    frequency: Frequency = Field(description="of the arrays, vector units and on-chip memories")


class Process(Block):
    node: Length = Field(description="process node")
    voltage: Voltage = Field(description="core supply")


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


class MacArray(Block):
    """Multipliers that work in lockstep on the loops of a convolution or matrix product."""

    unroll: list[dict[Literal["N", "G", "K", "C", "OY", "OX", "FY", "FX"], int]] = Field(
        min_length=1, description="loops spread over the multipliers; of several unrollings the fastest is taken for each layer"
    )
    dataflow: Literal["weight_stationary", "output_stationary", "input_stationary", "row_stationary", "none"] = Field(
        description="which operand stays in the multipliers' registers while others stream"
    )
    rates: dict[Annotated[str, AfterValidator(_precision)], Annotated[float, AfterValidator(_more_than_0)]] = Field(
        description="precisions that run natively (w8a8, w8a16, fp16, ...): MACs per multiplier and cycle"
    )
    serial: Serial | None = None
    compose: Compose | None = None
    runs: list[Literal["conv", "depthwise", "conv_transpose", "matmul", "lstm"]] = Field(description="operators that it takes")
    fuses: list[str] = Field(default_factory=list, description="operators done on the way out: add, relu, clip, bias, concat, ...")
    efficiency: dict[str, Share] = Field(
        default_factory=dict,
        description="share of the rate that layers reach, by kind (conv, pointwise, grouped, depthwise, matmul, ...) and by precision "
        "(w8a8, fp16, ...); both factors multiply; left out: 1",
    )
    outputs: Count | None = Field(
        None, description="output elements requantized and stored per cycle, after the products; left out: the vector unit requantizes"
    )
    accumulator: AccumulatorSpec = AccumulatorSpec()

    @model_validator(mode="after")
    def _sizes(self) -> Any:
        for u in self.unroll:
            if not u or min(u.values()) < 1:
                raise ValueError(f"each unroll must spread at least one loop over 1 or more multipliers, not {u}")
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
        return max(_product(u.values()) for u in self.unroll)

    def reached(self, kind: str, precision: str) -> float:
        """Share of the rate that a kind of layer reaches at a precision."""
        return self.efficiency.get(kind, 1.0) * self.efficiency.get(precision, 1.0)


class Vector(Block):
    """Lanes for everything that is not a matrix product: requantization, sums, pools, activations."""

    rates: dict[str, Count] = Field(description="8-bit elements per cycle for an operator; `default` for the ones not named")
    wide: float = Field(0.5, gt=0, le=1, description="rate of 16-bit elements relative to 8-bit ones")
    overlaps: bool = Field(True, description="whether it works while an array does; a processor that is both does not")
    runs: list[str] | None = Field(None, description="operators that it has (add, max, softmax, ...); left out: all")
    real: float = Field(0.25, ge=0, le=1, description="rate of floating-point elements relative to 8-bit ones; 0: it has none")
    efficiency: Share = Field(1.0, description="share of the rates that whole layers reach")
    rescale: float = Field(
        1.0, ge=1, description="how many times longer an integer operator takes that changes the scale: dequantize, compute, requantize"
    )
    fuses: list[str] = Field(default_factory=list, description="operators done in registers behind another one: relu, quantize, ...")

    @model_validator(mode="after")
    def _has_default(self) -> Any:
        if "default" not in self.rates:
            raise ValueError("rates must give a `default`")
        return self


class Memory(Block):
    """A memory.  Memories stand in the file from the nearest to the multipliers to the farthest."""

    size: Size | None = Field(None, description="capacity; left out: large enough for everything")
    holds: list[Literal["weights", "inputs", "outputs"]] = Field(["weights", "inputs", "outputs"], min_length=1)
    read: Bandwidth = Field(description="bits read per cycle or second")
    write: Bandwidth = Field(description="bits written per cycle or second")
    latency: Duration = Field(units.Rate(0, False), description="until the first word of a transfer")
    efficiency: Share = Field(1.0, description="share of the bandwidth that transfers reach")
    banks: int = Field(1, ge=1)
    double_buffered: bool = Field(True, description="whether a tile loads while the one before it is worked on")
    on_chip: bool = True
    keeps_weights: bool = Field(False, description="whether weights stay in it from one inference to the next when all of them fit")
    read_energy: EnergyPerBit | None = Field(None, description="left out: from the cost table, by size or `kind`")
    write_energy: EnergyPerBit | None = None
    kind: str | None = Field(None, description="row of the cost table's memories for off-chip ones: lpddr4, ddr3, flash, ...")


class Dma(Block):
    channels: int = Field(1, ge=1)
    setup: Duration = Field(units.Rate(0, False), description="cost of starting one tile transfer")


class Overheads(Block):
    per_inference: Duration = Field(description="start and end of one inference, in the runtime and on the chip")
    by_precision: dict[Annotated[str, AfterValidator(_precision)], Duration] = Field(
        default_factory=dict, description="another `per_inference` for networks most of whose MACs run in a precision"
    )
    per_layer: Duration = Field(description="issue of one layer, beside its work")
    conversion: Bandwidth | None = Field(
        None, description="rate at which the host converts or copies inputs and outputs; left out: at no cost"
    )


class Arithmetic(Block):
    """The integer arithmetic of each operator: names of arithmetics/."""

    default: str
    ops: dict[str, str] = Field(default_factory=dict, description="operators that have another one")

    def of(self, op: str) -> str:
        return self.ops.get(op, self.default)


class Grid(Strict):
    """What the chip accepts as the quantization of one kind of tensor.

    The other signedness of the same width is the same grid shifted by its middle, and is accepted; narrower widths are promoted.
    """

    formats: list[str] = Field(min_length=1, description="number formats in integers: int8, uint8, int4, ...")
    symmetric: bool = Field(False, description="zero points must be 0 (or the middle of an unsigned format)")
    power_of_two: bool = Field(False, description="scales must be powers of two")
    narrow: bool = Field(False, description="the lowest number is not used: -127 ... 127")


class WeightGrid(Grid):
    """Weights may have one scale for each output channel; activations have one for the whole tensor."""

    granularity: Literal["per_tensor", "per_channel"] = "per_tensor"


class Rules(Block):
    """Deployability: which quantized networks the chip runs in integers (MQBench, Li et al. 2021)."""

    weights: WeightGrid
    activations: Grid
    bias: Literal["int32", "float32"] = "int32"
    graph: Literal[1, 2, 3] = Field(
        description="1: only inputs and weights of convolutions and linear layers are quantized; "
        "2: every operator's inputs, but one convolution output into an addition is not; 3: all of it"
    )
    first_last_bits: int = Field(8, ge=1, le=32, description="least width of the first and last layer")
    batch_norm: Literal["folded", "any"] = "folded"
    same_scale: list[str] = Field(default_factory=list, description="operators whose inputs and output must share one scale")


class Fallback(Block):
    """Where operators go that the chip cannot run."""

    name: str
    macs: Count = Field(description="multiply-accumulates in `format` per cycle or second")
    elements: Count = Field(description="elements of other operators per cycle or second")
    format: Literal["float32", "float16", "bfloat16"] = "float32"
    handover: Duration = Field(description="of one switch to it and back")
    energy_per_op: Energy = Field(description="of one multiply-accumulate or element")


class EnergySpec(Block):
    table: str = Field(description="a technology of archs/costs/")
    leakage: Power = Field(0.0, description="static power while an inference runs")


class Validation(Strict):
    """How far the chip's numbers have been held against measurements."""

    status: Literal["UNVALIDATED", "MODELLED", "FITTED"] = "UNVALIDATED"
    arithmetic: str = "not compared with the chip"
    note: str = ""

    @property
    def text(self) -> str:
        """One line for headers: status, what the arithmetic equals, and any note."""
        return f"{self.status}; arithmetic {self.arithmetic}" + (f"; {self.note}" if self.note else "")


class Arch(Strict):
    """A chip."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    description: str = ""
    clock: Clock
    process: Process
    arrays: dict[str, MacArray] = Field(min_length=1)
    vector: dict[str, Vector] = Field(min_length=1)
    memories: dict[str, Memory] = Field(min_length=1)
    dma: Dma
    channels_last: bool = Field(False, description="activations keep channels innermost: transposes from and to that order move nothing")
    overheads: Overheads
    arithmetic: Arithmetic
    quantization: Rules
    fallback: Fallback | None = None
    energy: EnergySpec
    validation: Validation = Validation()

    @model_validator(mode="after")
    def _complete(self) -> Any:
        for operand in OPERANDS:
            if not self.path(operand):
                raise ValueError(f"one of the memories must hold {operand}")
        if len(self.vector) > 1:
            raise ValueError(f"vector must be one unit, not {len(self.vector)} ({', '.join(self.vector)}); give one the rates of all")
        units_ = [*self.arrays, *self.vector, *self.memories, "fallback"]
        twice = next((u for u in units_ if units_.count(u) > 1), None)
        if twice is not None:
            raise ValueError(f"arrays, vector units and memories must each have a name of their own, not '{twice}' twice")
        return self

    def path(self, operand: str) -> list[str]:
        """The memories that hold an operand, from the nearest to the farthest."""
        return [name for name, m in self.memories.items() if operand in m.holds]

    @cached_property
    def clock_hz(self) -> float:
        return float(self.clock.frequency)

    @cached_property
    def hash(self) -> str:
        """Of all fields, however the file is laid out."""
        return hashlib.sha256(repr(self.model_dump()).encode()).hexdigest()

    @cached_property
    def blocks(self) -> tuple[tuple[str, Block], ...]:
        """Every block that states its provenance, by its dotted name."""
        single = ("clock", "process", "dma", "overheads", "arithmetic", "quantization", "fallback", "energy")
        found: list[tuple[str, Any]] = [(k, getattr(self, k)) for k in single]
        for group in ("arrays", "vector", "memories"):
            found += [(f"{group}.{k}", v) for k, v in getattr(self, group).items()]
        return tuple((name, b) for name, b in found if b is not None)

    @cached_property
    def assumed(self) -> tuple[str, ...]:
        """The blocks whose numbers are assumed, with the reason."""
        return tuple(f"{name}: {b.assumed}" for name, b in self.blocks if b.assumed)


class Law(Block):
    """An energy at one width and how it grows with the widths."""

    energy: Energy
    bits: int
    law: Literal["product", "linear"] = Field(description="product of the operand widths (multiplier), or linear in the width (adder)")


class Floats(Block):
    multiply: dict[str, Energy]
    add: dict[str, Energy]


class Sram(Block):
    """Energy of a read per bit against capacity; between the points it follows a power law, beyond them the last one."""

    read: dict[str, EnergyPerBit] = Field(min_length=2)
    write_ratio: float = Field(gt=0)


class Prices(Block):
    prices: dict[str, EnergyPerBit]


class CostTable(Strict):
    """Energy per action of one technology."""

    name: str
    node: Length
    voltage: Voltage
    multiply: Law
    add: Law
    floats: Floats
    register_access: Prices
    sram: Sram
    off_chip: Prices


class Polynomial(Strict):
    """E = a V^2 + b V + c."""

    a: float
    b: float
    c: float


class Scaling(Strict):
    """Energy of a gate against process node and supply voltage."""

    name: str
    source: str
    nodes: dict[str, Polynomial] = Field(min_length=2)


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


def _product(values: Any) -> int:
    total = 1
    for v in values:
        total *= v
    return total
