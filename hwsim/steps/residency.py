"""Which activations stay in on-chip memory between layers, and whether everything has a place."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim import formats
from hwsim.arch import Arch
from hwsim.graph import Tensor
from hwsim.program import Layer, Program

__all__ = ["Residency", "least_weights", "lifetimes", "plan_residency", "storage_bits", "weight_bits"]


@dataclass(frozen=True)
class Residency:
    """The memory that keeps activations between layers (None: the chip has none), the tensors that stay in it for all their life,
    the live bits at each layer, whether each layer's live set fits, what is wrong with the whole, the memories in which the weights
    stay from one inference to the next, and the size of all weights."""

    memory: str | None
    tensors: frozenset[str]
    live_bits: tuple[int, ...]
    fits: tuple[bool, ...]
    problems: tuple[str, ...] = ()
    keeps_weights: frozenset[str] = frozenset()
    weight_bits: int = 0


def storage_bits(tensor: Tensor) -> int:
    """Packed size of a tensor's elements."""
    return tensor.elements * formats.get(tensor.format).bits


def weight_bits(layer: Layer) -> int:
    """Packed size of a layer's constants: weights, biases, and the scales and zero points of stored ones."""
    bits = 0
    for tensor in {t.name: t for s in layer.steps for t in s.inputs if t is not None and t.constant is not None}.values():
        bits += storage_bits(tensor)
        if tensor.quant is not None and tensor.quant.granularity != "per_tensor":
            bits += tensor.quant.scale.size * (32 + (tensor.quant.bits if tensor.quant.has_zero_point else 0))
    return bits


def plan_residency(program: Program, arch: Arch) -> Residency:
    """An activation stays on chip when, at every layer of its life, all live activations and a minimal weight tile fit.

    Deciding by whole live sets makes it monotone: more memory or fewer bits never send a tensor away.
    """
    memory = _activation_memory(arch)
    lives = lifetimes(program)
    size_of = {t: storage_bits(program.tensors[t]) for t in lives}
    live = [sum(size_of[t] for t, (first, last) in lives.items() if first <= i <= last) for i in range(len(program.layers))]
    weights = sum(weight_bits(layer) for layer in program.layers)
    size = arch.memories[memory].size if memory else 0
    shared = memory is not None and "weights" in arch.memories[memory].holds
    fits = []
    for i, layer in enumerate(program.layers):
        needed = live[i] + (min(2 * least_weights(layer), weights) if shared else 0)
        off_limits = layer.unit == "fallback" and not _home(arch, "outputs")
        fits.append(memory is not None and not off_limits and (size is None or needed <= size))
    staying = frozenset(t for t, (first, last) in lives.items() if all(fits[first : last + 1]))
    return Residency(
        memory,
        staying,
        tuple(live),
        tuple(fits),
        tuple(_problems(program, arch, live)),
        _keeping(arch, weights, max(live, default=0), memory),
        weights,
    )


def _keeping(arch: Arch, weights: int, live: int, home: str | None) -> frozenset[str]:
    """Memories that keep weights between inferences and have room for all of them beside the live activations.

    Where activations come in tiles they need room for two of each.
    """
    found = set()
    for name, m in arch.memories.items():
        beside = 0 if set(m.holds) == {"weights"} else live if name == home else 2 * live
        if m.keeps_weights and "weights" in m.holds and (m.size is None or weights + beside <= m.size):
            found.add(name)
    return frozenset(found)


def _activation_memory(arch: Arch) -> str | None:
    """The farthest on-chip memory that holds inputs and outputs alike."""
    shared = [n for n, m in arch.memories.items() if m.on_chip and {"inputs", "outputs"} <= set(m.holds)]
    return shared[-1] if shared else None


def _home(arch: Arch, operand: str) -> bool:
    """Whether an operand's farthest memory is on chip."""
    return arch.memories[arch.path(operand)[-1]].on_chip


def least_weights(layer: Layer) -> int:
    """The weights of one output channel."""
    if layer.loops is None:
        return 0
    return layer.loops.C * layer.loops.FY * layer.loops.FX * (formats.get(layer.weight).bits if layer.weight else 0)


def lifetimes(program: Program) -> dict[str, tuple[int, int]]:
    """First and last layer of every activation that exists between layers; the network's outputs live to the end."""
    first: dict[str, int] = dict.fromkeys(program.graph.inputs, 0)
    last: dict[str, int] = dict.fromkeys(program.graph.inputs, 0)
    inside: set[str] = set()
    for i, layer in enumerate(program.layers):
        for step in layer.steps:
            for t in step.inputs:
                if t is not None and t.constant is None:
                    last[t.name] = i
            for t in step.outputs:
                first[t.name] = last[t.name] = i
        inside |= _private(program, layer)
    for name in program.graph.outputs:
        if name in last:
            last[name] = len(program.layers) - 1
    return {t: (first[t], last[t]) for t in first if t not in inside}


def _private(program: Program, layer: Layer) -> set[str]:
    """Tensors that never leave a fused layer, and those that are another's elements under a new shape."""
    own = {step.name for step in layer.steps}
    made = [t.name for step in layer.steps for t in step.outputs]
    return {
        t
        for t in made
        if t not in program.graph.outputs
        and program.graph.consumers.get(t) is not None
        and all(n.name in own for n in program.graph.consumers[t])
    }


def _problems(program: Program, arch: Arch, live: list[int]) -> list[str]:
    """What has no place at all: constants or live activations larger than the farthest memory of their kind."""
    weights, activations = sum(weight_bits(layer) for layer in program.layers), max(live, default=0)
    at = f"activations at layer '{program.layers[live.index(activations)].name}'" if live else "activations"
    needs = {"weights": (weights, "weights"), "outputs": (activations, at)}
    homes = {o: arch.path(o)[-1] for o in needs}
    if homes["weights"] == homes["outputs"]:
        needs = {"weights": (weights + activations, f"weights and {at}")}
    found = []
    for operand, (bits, what) in needs.items():
        size = arch.memories[homes[operand]].size
        if size is not None and bits > size:
            found.append(f"{what} need {-(-bits // 8)} bytes, {homes[operand]} has {size // 8}")
    return found
