"""What a layer's counted actions cost in energy: one line for each kind of action, with its price and where the price stands.

A product of two integers costs as the cells of a multiplier do, with the product of the widths, and an addition with the width
(Horowitz, ISSCC 2014: 8 to 32 bit multiply 15.5 times, add 3.3 times); `law` in the energy table states both.  Bit Fusion's synthesis
(hsharma35/bitfusion systolic_array_synth.csv, 45 nm, 2 to 16 bits) says the same of a whole cell: n^2 for its multiplier and n for its
adder and registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwsim import formats
from hwsim.arch import OPERANDS, Arch, Vector, parse_precision
from hwsim.cost import Priced, grid_pj
from hwsim.mapping import Mapping
from hwsim.program import Layer
from hwsim.shelf import load
from hwsim.steps.place import FALLBACK
from hwsim.steps.prices import Prices

__all__ = ["by_part", "layer_energy", "time_energy"]

WIDE = {"fp32": 32, "fp8": 8}


def by_part(lines: Iterable[Priced]) -> dict[str, float]:
    """pJ by part, in the order in which parts first appear, each on the grid of exact sums."""
    sums: dict[str, float] = {}
    for line in lines:
        sums[line.part] = sums.get(line.part, 0.0) + line.total_pj
    return {part: grid_pj(v) for part, v in sums.items()}


def time_energy(arch: Arch, prices: Prices, cycles: int) -> Iterator[Priced]:
    """What time costs: leakage, and the clock tree where the chip states it."""
    yield Priced("leakage", "cycle", cycles, arch.energy.leakage / arch.clock_hz * 1e12, "energy")
    clock = prices.clock(arch.energy.clock)
    if clock:
        yield Priced("clock", "cycle", cycles, clock, "energy")


def layer_energy(
    arch: Arch, prices: Prices, layer: Layer, mapping: Mapping, actions: dict[str, int], work: dict[str, int]
) -> Iterator[Priced]:
    """A layer's lines: its array, the vector unit's `work`, or the fallback; then every memory."""
    if layer.unit == FALLBACK:
        assert arch.fallback is not None
        yield Priced("fallback", "operation", actions.get("mac", 0) + sum(work.values()), arch.fallback.energy_per_op, "fallback")
    else:
        if layer.loops is not None:
            yield from _array(arch, prices, layer, mapping, actions)
            yield from _wires(arch, prices, layer, mapping)
        yield from _vector(arch, prices, layer, work)
    yield from _memories(arch, prices, mapping)


def _array(arch: Arch, prices: Prices, layer: Layer, mapping: Mapping, actions: dict[str, int]) -> Iterator[Priced]:
    """Products one by one at the widths that they run, or the whole array by its busy cycles."""
    whole = arch.arrays[layer.unit].cycle_energy
    if whole is not None:
        yield Priced("mac", "cycle of the array", mapping.work.cycles, whole, f"arrays.{layer.unit}")
        return
    macs, accumulator = round(actions["mac"] * (1 - mapping.idle)), layer.steps[0].accumulator.bits
    weight, activation = parse_precision(layer.precision)
    if isinstance(weight, int) and isinstance(activation, int):
        yield Priced("mac", f"multiply {weight} x {activation} bits", macs, _product(arch, prices, layer, weight, activation), "multiply")
        yield Priced("mac", f"accumulate in {accumulator} bits", macs, prices.add(accumulator), "add")
    else:
        yield Priced("mac", f"multiply-accumulate {activation}", macs, prices.mac(layer.precision, accumulator), "floats")
    operands = sum(p if isinstance(p, int) else WIDE.get(p, 16) for p in (weight, activation))
    yield Priced("register", "read a bit", macs * (operands + accumulator), prices.register(1, 0), "register_access")
    yield Priced("register", "write a bit", macs * accumulator, prices.register(0, 1), "register_access")
    yield Priced("zero_point", f"add {accumulator} bits", actions.get("zero_point", 0), prices.add(accumulator), "add")


def _product(arch: Arch, prices: Prices, layer: Layer, weight: int, activation: int) -> float:
    """A multiply of two widths, dearer where the multiplier can split into narrower ones."""
    compose = arch.arrays[layer.unit].compose
    return prices.multiply(weight, activation) * (prices.split(compose.largest, compose.smallest) if compose else 1.0)


def _vector(arch: Arch, prices: Prices, layer: Layer, work: dict[str, int]) -> Iterator[Priced]:
    """Requantization by what multiplies in it; other vector work by lane time, at one multiply and add per element of `default`."""
    yield from _requantize(prices, layer, work.get("requantize", 0))
    yield Priced("unpack", "add 8 bits", work.get("unpack", 0), prices.add(8), "add")
    unit = next(iter(arch.vector.values()))
    bits = min(max(formats.get(layer.output.format).bits, 8), 32)
    real = not layer.steps[0].integer and layer.output.format.startswith(("float", "bfloat"))
    element, price = (prices.mac("fp16", bits), "floats") if real else (prices.mac(f"w{bits}a{bits}", bits), "multiply")
    others = {op: n for op, n in work.items() if op not in ("requantize", "unpack")} or {"nothing": 0}
    for op, n in others.items():
        yield Priced("vector", f"{op} {bits} bits", n, element * _lane_time(unit, op, arch.clock_hz), price)


def _lane_time(unit: Vector, op: str, clock_hz: float) -> float:
    """How many times longer an element takes than one of `default`."""
    default = unit.rates["default"]
    return default.per_cycle(clock_hz) / unit.rates.get(op, default).per_cycle(clock_hz)


def _requantize(prices: Prices, layer: Layer, count: int) -> Iterator[Priced]:
    """Rounding of a real sum to its format; a multiply of the sum and an add; or an add where the arithmetic shifts."""
    step = layer.steps[0]
    bits = 32 if layer.loops is None else step.accumulator.bits
    kind = load("arithmetics", step.arithmetic).MULTIPLIER
    if not step.integer and layer.loops is not None:
        yield Priced("requantize", "round fp32", count, prices.real_add("fp32"), "floats")
    elif kind.startswith("fp"):
        yield Priced("requantize", f"multiply-add {kind}", count, prices.mac(kind, 32), "floats")
    else:
        if kind:
            multiplier = int(kind.removeprefix("int"))
            yield Priced("requantize", f"multiply {bits} x {multiplier} bits", count, prices.multiply(bits, multiplier), "multiply")
        yield Priced("requantize", f"add {bits} bits", count, prices.add(bits), "add")


def _wires(arch: Arch, prices: Prices, layer: Layer, mapping: Mapping) -> Iterator[Priced]:
    """Operands between an array's edge and its multipliers, and sums on their way back."""
    length = arch.arrays[layer.unit].wires
    if length is not None:
        yield Priced("noc", f"carry a bit {length / 1e6:.3g} mm", _carried(arch, mapping), prices.wire(length), "wires")


def _carried(arch: Arch, mapping: Mapping) -> int:
    """Bits that pass between the array and the nearest memories outside of it."""
    bits = sum(r + w for name, (r, w) in mapping.feed.items() if not arch.memories[name].in_array)
    for operand in OPERANDS:
        path = arch.path(operand)
        inside = [m for m in path if arch.memories[m].in_array]
        if inside and operand != "outputs":
            bits += mapping.traffic[inside[-1]].write.get(operand, 0)
        elif inside and inside != path:
            beyond = mapping.traffic[path[len(inside)]]
            bits += beyond.write.get(operand, 0) + beyond.read.get(operand, 0)
    return bits


def _memories(arch: Arch, prices: Prices, mapping: Mapping) -> Iterator[Priced]:
    """What is read and written at every memory, by operand: words, or bits where the memory states no word."""
    for name, traffic in mapping.traffic.items():
        memory = arch.memories[name]
        word = memory.word or 1
        unit = "bit" if memory.word is None else f"word of {memory.word} bits"
        for direction, side in (("read", traffic.read), ("write", traffic.write)):
            pj, where = word * prices.memory(memory, direction, name), prices.memory_source(memory, direction, name)
            for operand, bits in side.items() or [("nothing", 0)]:
                yield Priced(name, f"{direction} a {unit} of {operand}", -(-bits // word), pj, where)
