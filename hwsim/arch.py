"""A chip, as its YAML file states it: the schema and the noun are one.

Every block says where its numbers come from (`source`) or why they are assumed (`assumed`).  Quantities keep the printed form in
the file and become bits, cycles, pJ and Hz here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from hwsim import units
from hwsim.blocks import Block, MoreThan0, Share, Strict
from hwsim.evidence import Prior, Validation
from hwsim.mac_array import LAYER_KINDS, MacArray, PrecisionName, parse_precision
from hwsim.quantities import Area, Bandwidth, Count, Duration, Energy, EnergyPerBit, Frequency, Length, Power, Size, Voltage

__all__ = ["OPERANDS", "Arch", "Block", "Fallback", "Grid", "MacArray", "Memory", "Rules", "Vector", "WeightGrid", "parse_precision"]

OPERANDS = ("weights", "inputs", "outputs")


class Clock(Block):
    frequency: Frequency = Field(description="of the arrays, vector units and on-chip memories")


class Process(Block):
    node: Length = Field(description="process node")
    voltage: Voltage = Field(description="core supply")


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
    area: Area | None = Field(None, description="of the whole unit; left out: from the table of areas, by rate")
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
    banks: int = Field(1, ge=1, description="parts that work at the same time, each with wires and rows of its own")
    bank_ports: int = Field(
        2, ge=1, le=2, description="accesses of one bank in a cycle; with 1, reads and writes of a bank wait for each other"
    )
    word: Size | None = Field(None, description="of one access: what is read or written counts in whole words; left out: bit by bit")
    in_array: bool = Field(False, description="whether it lies among the multipliers, so that wires lead to the memory beyond it")
    burst: Size | None = Field(None, description="shortest access; left out: any number of bits")
    row: Size | None = Field(None, description="neighbours that are open for access at the same time; left out: there are no rows")
    row_miss: Duration = Field(units.Rate(0, False), description="closing one row and opening another")
    one_port: bool = Field(False, description="whether reads and writes share one port, as they do off the chip")
    double_buffered: bool = Field(True, description="whether a tile loads while the one before it is worked on")
    on_chip: bool = True
    keeps_weights: bool = Field(False, description="whether weights stay in it from one inference to the next when all of them fit")
    read_energy: EnergyPerBit | None = Field(None, description="left out: from the cost table, by size or `kind`")
    write_energy: EnergyPerBit | None = None
    area: Area | None = Field(None, description="left out: from the table of areas, by size and banks; off-chip memories have none")
    kind: str | None = Field(None, description="row of the cost table's memories for off-chip ones: lpddr4, ddr3, flash, ...")


class Stages(Strict):
    """Weights that come several times for a layer are copied nearer while the layer before runs."""

    memory: str = Field(description="where they are copied to")
    latency: Duration = Field(units.Rate(0, False), description="of one copy")


class Dma(Block):
    channels: int = Field(1, ge=1, description="engines that start transfers")
    queue: int = Field(
        2, ge=1, description="transfers under way on one engine: the next one's latency passes beside the data of the one before"
    )
    setup: Duration = Field(units.Rate(0, False), description="cost of starting one tile transfer")
    prefetch: bool = Field(False, description="whether weights come while earlier layers run, into memory that is free")
    stages: Stages | None = Field(None, description="copying weights ahead; left out: they stream in every time")


class Bus(Block):
    """Wires that several memories share."""

    rate: Bandwidth = Field(description="bits per cycle or second, in both directions together")
    joins: list[str] = Field(min_length=1, description="the memories whose transfers all pass it")


class Overheads(Block):
    per_inference: Duration = Field(description="start and end of one inference, in the runtime and on the chip")
    by_precision: dict[PrecisionName, Duration] = Field(
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
    outputs: Literal["real", "stored"] = Field(
        "real",
        description="what follows the last multiply-accumulate; real: as the network has it; "
        "stored: quantized like the rest, up to the outputs (graph 3), as a chip without real numbers and host must have it",
    )
    first_last_bits: int = Field(8, ge=1, le=32, description="least width of the first and last layer")
    batch_norm: Literal["folded", "any"] = "folded"
    same_scale: list[str] = Field(default_factory=list, description="operators whose inputs and output must share one scale")

    @model_validator(mode="after")
    def _quantizes_outputs(self) -> Any:
        if self.outputs == "stored" and self.graph != 3:
            raise ValueError(f"outputs: stored must have graph 3, not {self.graph}")
        return self


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
    scale: MoreThan0 = Field(1.0, description="the table's energies times this: how far the chip's circuits are from the table's")
    clock: Energy = Field(0.0, description="of clocks, control and instruction fetch in a cycle, at the table's node and supply")
    leakage: Power = Field(0.0, description="static power while an inference runs")


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
    buses: dict[str, Bus] = Field(default_factory=dict, description="played by `--fidelity event`; the analytical model sees ports alone")
    dma: Dma
    mapper: str = Field("greedy", description="what tiles layers where a user asks for nothing else: a file of mappers/")
    cascades: list[str] = Field(
        default_factory=list,
        description="pairs of layers (depthwise+pointwise ...) that run strip by strip where what lies between would not stay on chip",
    )
    channels_last: bool = Field(False, description="activations keep channels innermost: transposes from and to that order move nothing")
    removes_dead_channels: bool = Field(
        False,
        description="whether its compiler leaves out output channels whose weights are all zero; the result is the same to the last bit",
    )
    overheads: Overheads
    arithmetic: Arithmetic
    quantization: Rules
    fallback: Fallback | None = None
    energy: EnergySpec
    fit: dict[str, Prior] = Field(
        default_factory=dict, description="numbers that `hwsim fit` may move, by dotted name, with what is known before"
    )
    validation: Validation = Validation()

    @model_validator(mode="after")
    def _complete(self) -> Any:
        for operand in OPERANDS:
            if not self.path(operand):
                raise ValueError(f"one of the memories must hold {operand}")
        if len(self.vector) > 1:
            raise ValueError(f"vector must be one unit, not {len(self.vector)} ({', '.join(self.vector)}); give one the rates of all")
        if self.dma.stages and self.dma.stages.memory not in self.memories:
            raise ValueError(f"dma.stages.memory must be one of {', '.join(self.memories)}, not '{self.dma.stages.memory}'")
        lender = next((a.shares for n, a in self.arrays.items() if a.shares is not None and a.shares not in {*self.arrays} - {n}), None)
        if lender is not None:
            raise ValueError(f"arrays.*.shares must be another array, not '{lender}'")
        odd = next((c for c in self.cascades if c.count("+") != 1 or not set(c.split("+")) <= set(LAYER_KINDS)), None)
        if odd is not None:
            raise ValueError(f"cascades must be two of {', '.join(LAYER_KINDS)} joined by +, not '{odd}'")
        stray = next((m for bus in self.buses.values() for m in bus.joins if m not in self.memories), None)
        if stray is not None:
            raise ValueError(f"buses must join memories ({', '.join(self.memories)}), not '{stray}'")
        units_ = [*self.arrays, *self.vector, *self.memories, *self.buses, "fallback", "host"]
        twice = next((u for u in units_ if units_.count(u) > 1), None)
        if twice is not None:
            raise ValueError(f"arrays, vector units, memories and buses must each have a name of their own, not '{twice}' twice")
        return self

    @property
    def multipliers(self) -> int:
        """Of all arrays, those that share them counted once."""
        return sum(a.multipliers for a in self.arrays.values() if a.shares is None)

    def path(self, operand: str) -> list[str]:
        """The memories that hold an operand, from the nearest to the farthest."""
        return [name for name, m in self.memories.items() if operand in m.holds]

    def number(self, name: str) -> float | units.Rate:
        """A number of the chip by its dotted name.  Raises KeyError where there is none."""
        value: Any = self
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        if not isinstance(value, int | float | units.Rate) or isinstance(value, bool):
            raise KeyError(name)
        return value

    def replaced(self, values: Mapping[str, float | units.Rate]) -> Arch:
        """A copy with other numbers, by dotted name; their bounds are the caller's care."""
        tree: Any = self
        for name, value in values.items():
            tree = _with(tree, name.split("."), value)
        changed: Arch = tree
        return changed

    @cached_property
    def clock_hz(self) -> float:
        return float(self.clock.frequency)

    @cached_property
    def hash(self) -> str:
        """Of all fields that are not at their defaults, however the file is laid out: a new field of the schema changes no chip."""
        return hashlib.sha256(repr(self.model_dump(exclude_defaults=True)).encode()).hexdigest()

    @cached_property
    def blocks(self) -> tuple[tuple[str, Block], ...]:
        """Every block that states its provenance, by its dotted name."""
        single = ("clock", "process", "dma", "overheads", "arithmetic", "quantization", "fallback", "energy")
        found: list[tuple[str, Any]] = [(k, getattr(self, k)) for k in single]
        for group in ("arrays", "vector", "memories", "buses"):
            found += [(f"{group}.{k}", v) for k, v in getattr(self, group).items()]
        return tuple((name, b) for name, b in found if b is not None)

    @cached_property
    def assumed(self) -> tuple[str, ...]:
        """The blocks whose numbers are assumed, with the reason."""
        return tuple(f"{name}: {b.assumed}" for name, b in self.blocks if b.assumed)


def _with(block: Any, keys: list[str], value: Any) -> Any:
    """A block with one field, some levels down, replaced; what was derived from the old block is forgotten."""
    inner = value if len(keys) == 1 else _with(block[keys[0]] if isinstance(block, dict) else getattr(block, keys[0]), keys[1:], value)
    if isinstance(block, dict):
        return {**block, keys[0]: inner}
    copy = block.model_copy(update={keys[0]: inner})
    for name in [k for k in copy.__dict__ if k not in type(copy).model_fields]:
        del copy.__dict__[name]
    return copy
