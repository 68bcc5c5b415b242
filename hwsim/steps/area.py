"""Silicon area of a chip's parts: multipliers by widths, memories by capacity, lanes of vector units, and a share for control.

An integer multiplier grows with the product of the widths, an adder with the width (see `_at_widths` of prices); an array carries
its widest precision, and the circuits of real numbers beside it.  Stillmaker and Baas 2017 scale from the table's node to the chip's.
"""

from __future__ import annotations

from math import log2

from hwsim.arch import Arch, Memory, Vector, parse_precision
from hwsim.area_table import AreaTable
from hwsim.energy_table import Scaling
from hwsim.mac_array import MacArray, Unroll
from hwsim.steps.prices import gate_area, power_law

__all__ = ["areas"]

LANE_BITS, LANE_REGISTERS, SUM_BITS = 16, 3, 32


def areas(arch: Arch, table: AreaTable, scaling: Scaling) -> dict[str, float]:
    """mm2 of every part that the chip's file describes, at the chip's node; parts outside of it (cores, pads, interfaces) are not there.

    An `area` that the chip states for a part is taken as it is; arrays that share multipliers are as large as the largest of them.
    """
    cells = gate_area(scaling, arch.process.node) / gate_area(scaling, table.node)
    placed = cells / table.placement.density
    single = {name: _stated(a.area, _array(table, a) * placed) for name, a in arch.arrays.items()}
    modes = {n: [n, *(m for m, a in arch.arrays.items() if a.shares == n)] for n, a in arch.arrays.items() if a.shares is None}
    arrays = {name: max(single[m] for m in same) for name, same in modes.items()}
    vector = {name: _stated(u.area, _vector(table, u, arch.clock_hz) * placed) for name, u in arch.vector.items()}
    memories = {name: _stated(m.area, _memory(table, m) * cells) for name, m in arch.memories.items() if m.on_chip}
    logic = arrays | vector
    return {**logic, **memories, "control": table.placement.control * sum(logic.values())}


def _stated(own: float | None, worked_out: float) -> float:
    return worked_out if own is None else own


def _array(table: AreaTable, array: MacArray) -> float:
    """Multipliers with their adders and operands' registers, sums, and the circuits of real numbers."""
    known = [parse_precision(p) for p in array.rates]
    pairs = [(w, a) for w, a in known if isinstance(w, int) and isinstance(a, int)]
    if array.serial:
        pairs = [(array.serial.weights, array.serial.activations)]
    largest = max(array.unroll, key=lambda u: u.multipliers)
    bits, count = array.accumulator.bits, array.multipliers
    integer = max((_multiplier(table, w, a) + _registers(table, w + a) for w, a in pairs), default=0.0) * _composing(table, array)
    sums = count / _summed(largest) * _registers(table, bits)
    return count * (integer + _adder(table, bits) * bool(pairs) + _real(table, array)) + sums


def _composing(table: AreaTable, array: MacArray) -> float:
    """How many times larger a multiplier is that splits down to the narrowest of `compose`."""
    return table.composing.halving ** log2(array.compose.largest / array.compose.smallest) if array.compose else 1.0


def _summed(unroll: Unroll) -> int:
    """Products of one cycle that go into the same sum."""
    return unroll.C * unroll.FY * unroll.FX


def _real(table: AreaTable, array: MacArray) -> float:
    """Of a multiplier's share of circuits for real numbers: as many as the rate says, at most one for each multiplier."""
    found = [0.0]
    for precision, rate in array.rates.items():
        kind = parse_precision(precision)[1]
        if isinstance(kind, str):
            found.append(min(rate, 1.0) * (table.floats.multiply[kind] + table.floats.add["fp32"]))
    return max(found)


def _vector(table: AreaTable, unit: Vector, clock_hz: float) -> float:
    """Lanes of a 16-bit multiplier, a 32-bit adder and three 32-bit registers; circuits of real numbers by their rate."""
    lane = _multiplier(table, LANE_BITS, LANE_BITS) + _adder(table, SUM_BITS) + LANE_REGISTERS * _registers(table, SUM_BITS)
    real = min(unit.real, 1.0) * (table.floats.multiply["fp16"] + table.floats.add["fp16"])
    return unit.rates["default"].per_cycle(clock_hz) * (lane + real)


def _memory(table: AreaTable, memory: Memory) -> float:
    return 0.0 if memory.size is None else memory.banks * power_law(table.sram.bank, memory.size / memory.banks)


def _multiplier(table: AreaTable, a: int, b: int) -> float:
    return table.multiply.area * a * b / table.multiply.bits**2


def _adder(table: AreaTable, bits: int) -> float:
    return table.add.area * bits / table.add.bits


def _registers(table: AreaTable, bits: int) -> float:
    return table.register_bit.area * bits / table.register_bit.bits
