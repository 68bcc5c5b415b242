"""Multipliers that make outputs block by block out of a buffer of banks: Arm Ethos-U55, as Vela 5.2.0 estimates it.

A micro-block of outputs (`unroll`: OY x OX x K) takes four cycles for 32 products of each, or the time in which its weights arrive.  A
block passes three stages, each busy with another block: multiply, finish (requantize and activate) and command issue.
    multiply = max(4 K, 4 positions) x taps x depth x channel blocks      (positions, depth in micro-blocks)
    tail     = (multiply + finish + |in - out|) / 4;   in, out: transfers of a block
    cycles   = max(multiply, tail) blocks + max(finish, tail) + latency + in + out     where multiplying takes longer than finishing
An axis' last block counts by its micro-blocks.  Pools and sums run in it too.  Equals EstimateMacOpCycles, EstimateElementwiseCycles
and MeasureElementAccess of regor, architecture/ethosu55/ethos_u55_performance.cpp, to the cycle on 385 operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from hwsim import formats
from hwsim.arrays._block_operation import BRICK, Operation, down, operation, up
from hwsim.arrays._output_block import SUBKERNEL, OutputBlock, choose_block, micro_block
from hwsim.arrays._weight_coding import encoded_bits
from hwsim.errors import HwsimError
from hwsim.mac_array import BlockBuffer, MacArray
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["FINISHES", "work"]

FINISHES = True
TABLE_BYTES = 10
SOFTMAX_OPERATORS, SOFTMAX_REST = 28, 383


@dataclass(frozen=True)
class _Run:
    """One operator in its block on one engine."""

    array: MacArray
    buffer: BlockBuffer
    op: Operation
    block: OutputBlock
    port: float
    clock_hz: float

    @property
    def ofm(self) -> tuple[int, int, int]:
        """The block cut to the map."""
        height, width, depth = (min(a, b) for a, b in zip(self.op.ofm, self.block.ofm, strict=True))
        return (1 if self.flat else height), width, depth

    @property
    def ifm(self) -> tuple[int, int, int]:
        height, width, depth = (min(a, b) for a, b in zip(self.op.ifm, self.block.ifm, strict=True))
        return height, width, depth

    @property
    def flat(self) -> bool:
        """Rows of height 1 and even width lay the micro-block's rows side by side."""
        op = self.op
        return op.kind in ("conv", "dense") and micro_block(self.array)[0] == 2 and op.ofm[0] == op.kernel[0] == 1 and op.ofm[1] % 2 == 0

    @property
    def micro(self) -> tuple[int, int, int]:
        height, width, depth = micro_block(self.array)
        return (1, height * width, depth) if self.flat else (height, width, depth)

    def moved(self, elements: int, block: tuple[int, int, int], reading: bool) -> int:
        """Elements that pass the port when runs in memory are shorter than its bursts."""
        shape, bricks = (self.op.ifm, self.op.bricks_in) if reading else (self.op.ofm, self.op.bricks_out)
        burst = self.buffer.burst // 8
        if bricks:
            run = block[2] * block[1] if shape[1] * BRICK == block[2] else BRICK * block[1]
        elif shape[2] == block[2] and (reading or block[2] <= BRICK):
            run = block[2] * block[1]
        else:
            run = block[2] if reading else min(64, BRICK, block[2])
        return elements * burst // min(burst, run)


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """Cycles of one operator, what it moves, and the weights it would move once if they were kept.

    Raises HwsimError for an array without a buffer, and for an operator of which no block fits it.
    """
    if array.buffer is None or array.ports is None or array.ports.both is None:
        raise HwsimError("arrays", "must have a `buffer` and `ports: {both: ...}` to be a block engine")
    op = operation(layer)
    block = choose_block(op, array, array.buffer)
    if block is None:
        raise HwsimError(layer.name, "must have a block of outputs that fits the buffer", f"none in {array.buffer.banks} banks")
    run = _Run(array, array.buffer, op, block, array.ports.both.per_cycle(clock_hz) / 8, clock_hz)
    steady, fill, mapped = (_elementwise(run), 0, 0) if op.kind == "elementwise" else _blocks(run, layer.rate or 1.0)
    cycles, mapped = (steady + fill) * op.repeats, mapped * op.repeats
    reads, written, again = _access(run, layer)
    size = array.multipliers
    how = "blocks of " + " x ".join(map(str, block.ofm)) + (", part kernel" if op.part_kernel else "")
    return Work(
        {"OY": block.ofm[0], "OX": block.ofm[1], "K": block.ofm[2]},
        {"blocks": cycles},
        cycles * size,
        mapped * size,
        reads,
        {"outputs": written},
        how,
        fill=fill,
        refetches=again,
        laid_out=written,
    )


def _multiply(run: _Run) -> int:
    """Cycles of one block's products."""
    op, micro = run.op, run.micro
    rows, columns, depth = (down(a, b) for a, b in zip(run.ofm, micro, strict=True))
    positions, part = rows * columns, op.part_kernel
    slices = down(run.ifm[2], 8) if part else 1
    total, side = 0, 1 if op.kind == "dense" else SUBKERNEL
    for x in range(0, op.kernel[1], side):
        for y in range(0, op.kernel[0], side):
            taps = min(op.kernel[0] - y, side) * min(op.kernel[1] - x, side)
            if op.kind == "pool":
                total += int(max(4, taps) * positions * depth * run.buffer.pool_cycles)
                continue
            steps = down(taps, 4) if part or op.kind == "depthwise" else taps
            total += (max(4 * micro[2], 4 * positions) * steps * depth + _delay(run, positions, depth, steps)) * slices
    return total * down(op.ifm[2], run.ifm[2]) if op.kind in ("conv", "dense") else total


def _delay(run: _Run, positions: int, depth: int, steps: int) -> int:
    """Sums of a single position wait for each other."""
    if positions > 1:
        return 0
    return run.buffer.step_delay * (steps if depth == 1 else (steps - 1) * depth)


def _element_cycles(run: _Run) -> float:
    cycles = run.buffer.element_cycles
    own = cycles.get(run.op.function, cycles["default"])
    return max(own, cycles.get("relu", 0.0)) if run.op.rectified else own


def _transfers(run: _Run) -> tuple[int, int, int]:
    """Cycles of a block's inputs and outputs at the port, and the latency of both."""
    inputs = run.moved(_volume(run.ifm), run.block.ifm, True)
    outputs = run.moved(_volume(tuple(min(a, b) for a, b in zip(run.op.ofm, run.block.ofm, strict=True))), run.block.ofm, False)
    return int(inputs / run.port), int(outputs / run.port), int(run.buffer.latency.cycles(run.clock_hz))


def _blocks(run: _Run, rate: float) -> tuple[int, int, int]:
    """Cycles of all blocks, those of the first one's way in and the last one's way out, and those in which products are made."""
    op, micro = run.op, run.micro
    multiply = _multiply(run) / rate
    finish = float(ceil(_element_cycles(run) * _volume(run.ofm)))
    inputs, outputs, latency = _transfers(run)
    if op.weighted:
        finish = max(finish, TABLE_BYTES * run.ofm[2] * run.buffer.table_latency / 256)
    whole = [down(a, b) for a, b in zip(op.ofm, run.ofm, strict=True)]
    count = _volume(tuple(down(a, b) for a, b in zip(op.ofm, micro, strict=True)))
    blocks = count / _volume(tuple(down(a, b) for a, b in zip(run.ofm, micro, strict=True)))
    tail = (multiply + finish + (abs(inputs - outputs) if _volume(tuple(whole)) > 1 else 0)) / 4
    long, short = (multiply, finish) if multiply >= finish else (finish, multiply)
    steady = int(max(long, tail) * blocks)
    return steady, int(max(long, tail) * blocks + max(short, tail)) - steady + latency + inputs + outputs, ceil(multiply * blocks)


def _elementwise(run: _Run) -> int:
    """Sums by element, or by the time in which the blocks' commands are issued; a softmax is 28 such operators and two small pools."""
    op, rate = run.op, _element_cycles(run)
    if op.function == "softmax":
        return int(SOFTMAX_OPERATORS * rate * op.ofm[0] * op.ofm[1] * up(op.ofm[2], BRICK)) + SOFTMAX_REST
    elements = op.ofm[0] * op.ofm[1] * (up(op.ofm[2], BRICK) if op.bricks_out else op.ofm[2])
    return int(max(rate, (sum(_transfers(run)) / _volume(run.block.ofm) + rate) / 4) * elements)


def _access(run: _Run, layer: Layer) -> tuple[dict[str, int], int, int]:
    """Elements read by operand, elements written, and how often the weights come."""
    op = run.op
    brick_in, brick_out = (BRICK if b else 1 for b in (op.bricks_in, op.bricks_out))
    written = run.moved(op.ofm[0] * op.ofm[1] * up(op.ofm[2], brick_out), run.block.ofm, False) * op.repeats
    if op.kind == "elementwise":
        return {"inputs": op.operands * op.ofm[0] * op.ofm[1] * up(op.ofm[2], brick_in) * op.repeats}, written, 1
    full = tuple(min(a, b) for a, b in zip(op.ofm, run.block.ofm, strict=True))
    planes = down(op.ofm[0], full[0]) * down(op.ofm[1], full[1])
    blocks = planes * (1 if op.equal_depth else down(op.ofm[2], full[2]))
    subkernels = 1 if op.kind == "dense" else down(op.kernel[0], SUBKERNEL) * down(op.kernel[1], SUBKERNEL)
    fetched = run.ifm[0] * run.ifm[1] * up(op.ifm[2], brick_in) * subkernels * blocks
    reads = {"inputs": run.moved(fetched, run.block.ifm, True) * op.repeats}
    if op.weighted:
        reads |= {"weights": planes * _encoded(run, layer), "tables": planes * TABLE_BYTES * op.ofm[2] * op.repeats}
    return reads, written, planes


def _encoded(run: _Run, layer: Layer) -> int:
    """Weights as stored, in units of their format: coded where the array decodes them on their way in."""
    op, weights = run.op, layer.steps[0].inputs[1]
    assert weights is not None, "a product has weights"
    if run.array.weight_coding == "none":
        return weights.elements
    taps = op.kernel[0] * op.kernel[1]
    taps = up(taps, 4) if op.part_kernel or op.kind == "depthwise" else taps
    channels = 1 if op.kind == "depthwise" else up(op.ifm[2], 8)
    padded = up(op.ofm[2], micro_block(run.array)[2]) * channels * taps * (1 if op.kind == "depthwise" else op.repeats)
    return down(encoded_bits(weights, max(padded, weights.elements)), formats.get(weights.format).bits)


def _volume(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
