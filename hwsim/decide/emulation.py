"""What it costs a chip to run weights that ask for hardware which it does not have."""

from __future__ import annotations

from hwsim.arch import Arch
from hwsim.cost import Cost
from hwsim.graph import SourceGraph
from hwsim.pipeline.quantize import Outcome
from hwsim.precision import Precision
from hwsim.quant import Array
from hwsim.quantizing import quantize_for
from hwsim.simulate import price
from hwsim.steps.lower import lower
from hwsim.steps.read import read

__all__ = ["emulation_note"]


def emulation_note(arch: Arch, source: SourceGraph, x: Array | None, bits: str | Precision, done: Outcome) -> str:
    """The price of a network whose weights ask for other hardware, beside plain integers of the widths asked for; "" for plain ones."""
    if not done.needs:
        return ""
    plain = quantize_for(arch, source, None if x is None else x[:1], bits, "nearest").network
    own, usual = (_cost(arch, network, x) for network in (done.network, plain))
    pairs = ((1e3 * own.latency_s, 1e3 * usual.latency_s, "ms"), (1e3 * own.energy_j, 1e3 * usual.energy_j, "mJ"))
    return ", ".join(f"{a:.4g} {unit} ({100 * (a / b - 1):+.1f} % against plain integers of {bits})" for a, b, unit in pairs)


def _cost(arch: Arch, network: SourceGraph, x: Array | None) -> Cost:
    shapes = {} if x is None else {network.inputs[0]: (1, *x.shape[1:])}
    return price(arch, lower(read(network, shapes), arch))
