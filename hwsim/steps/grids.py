"""Whether the quantization of a tensor is one that a chip's hardware can hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from hwsim import formats
from hwsim.arch import Grid, Rules, WeightGrid
from hwsim.arithmetics._rounding import exact_power_of_two
from hwsim.graph import Tensor
from hwsim.program import Step
from hwsim.quant import QuantParams

__all__ = ["Fault", "grid_faults"]


@dataclass(frozen=True)
class Fault:
    """A quantizer that the chip cannot take: which rule it breaks, and in words why."""

    node: str
    rule: str
    message: str


def grid_faults(rules: Rules, step: Step) -> list[Fault]:
    """Every rule of the chip that the stored tensors of a step break."""
    faults = []
    for t in [*step.inputs[:2], *step.outputs]:
        if t is None or t.quant is None:
            continue
        kind = "weights" if t.constant is not None else "activations"
        faults += [Fault(step.name, f"{kind}.{rule}", text) for rule, text in _broken(getattr(rules, kind), t, kind)]
    return faults


def _broken(grid: Grid, t: Tensor, kind: str) -> list[tuple[str, str]]:
    q = t.quant
    assert q is not None
    widest = _widest(tuple(grid.formats))
    found = []
    if q.bits > widest:
        found.append(("formats", f"{kind} '{t.name}' are {q.format.name}, wider than {' or '.join(grid.formats)}"))
    taken = grid.granularity if isinstance(grid, WeightGrid) else "per_tensor"
    if q.granularity not in ("per_tensor", taken):
        found.append(("granularity", f"{kind} '{t.name}' are quantized {q.granularity}, the chip has one scale {taken}"))
    if grid.symmetric and not _needs_no_zero_point(grid, q):
        how = f"asymmetric (zero point {int(q.zero_point.flat[0])})" if q.has_zero_point else "unsigned, from 0 up"
        less = "no zero points" if q.has_zero_point else "signed numbers without zero points"
        found.append(("symmetric", f"{kind} '{t.name}' are {how}, the chip has {less}"))
    if grid.power_of_two and not exact_power_of_two(q.scale):
        found.append(("power_of_two", f"{kind} '{t.name}' have scale {float(q.scale.flat[0]):.6g}, the chip's scales are powers of two"))
    if grid.narrow and t.constant is not None and q.bits == widest and (t.constant.array == q.format.low).any():
        found.append(("narrow", f"{kind} '{t.name}' hold {q.format.low}, the lowest number, which the chip does not use"))
    return found


@lru_cache
def _widest(names: tuple[str, ...]) -> int:
    return max(formats.get(f).bits for f in names)


def _needs_no_zero_point(grid: Grid, q: QuantParams) -> bool:
    """Whether real 0 is the middle, or the 0 of unsigned numbers on a chip that has unsigned formats."""
    unsigned = any(not formats.get(f).is_signed for f in grid.formats)
    return q.is_symmetric or (unsigned and not q.format.is_signed and not q.has_zero_point)
