"""Which activations stay in on-chip memory between layers, and whether everything has a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from hwsim import formats
from hwsim.arch import Arch
from hwsim.graph import Tensor
from hwsim.program import Layer, Program
from hwsim.steps.cascade import Pair, pairs_of

__all__ = ["Residency", "least_weights", "lifetimes", "plan_residency", "storage_bits", "weight_bits"]


@dataclass(frozen=True)
class Residency:
    """The memory that keeps activations between layers (None: the chip has none), the tensors that stay in it for all their life,
    the live bits at each layer, whether each layer's live set fits, what is wrong with the whole, the memories in which the weights
    stay from one inference to the next, and the size of all weights.

    `cascaded` are the layers that run strip by strip, with the two of their pair; `lives` and `sizes` the first and last layer of every
    tensor between layers, and the bits of it that are ever kept.
    """

    memory: str | None
    tensors: frozenset[str]
    live_bits: tuple[int, ...]
    fits: tuple[bool, ...]
    problems: tuple[str, ...] = ()
    keeps_weights: frozenset[str] = frozenset()
    weight_bits: int = 0
    cascaded: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    lives: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


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

    Deciding by whole live sets makes it monotone: more memory or fewer bits never send a tensor away.  Pairs of layers run strip by strip
    where they can and would not fit otherwise.
    """
    memory = _activation_memory(arch)
    lives = lifetimes(program)
    sizes = {t: storage_bits(program.tensors[t]) for t in lives}
    live = _live_bits(lives, sizes, len(program.layers))
    weights = sum(weight_bits(layer) for layer in program.layers)
    fits = [_fits(arch, memory, layer, n, min(2 * least_weights(layer), weights)) for layer, n in zip(program.layers, live, strict=True)]
    problems, whole = tuple(_problems(program, arch, live)), max(live, default=0)
    cascaded = [
        p
        for p in pairs_of(program, arch, sizes)
        if not all(fits[p.first : p.first + 2]) and _pair_fits(program, arch, memory, p, lives, sizes)
    ]
    for p in cascaded:
        live[p.first : p.first + 2] = [p.live_bits(lives, sizes)] * 2
        fits[p.first : p.first + 2] = [True, True]
    lives, sizes = _in_strips(cascaded, lives, sizes)
    staying = frozenset(t for t, (first, last) in lives.items() if all(fits[first : last + 1]))
    kept = _keeping(arch, weights, whole, memory)
    names = {program.layers[i].name: (p.first, p.first + 1) for p in cascaded for i in (p.first, p.first + 1)}
    return Residency(memory, staying, tuple(live), tuple(fits), problems, kept, weights, names, lives, sizes)


def _live_bits(lives: Mapping[str, tuple[int, int]], sizes: Mapping[str, int], layers: int) -> list[int]:
    """Bits of all activations that live at each layer."""
    change = [0] * (layers + 1)
    for t, (first, last) in lives.items():
        change[first] += sizes[t]
        change[last + 1] -= sizes[t]
    return list(accumulate(change[:-1]))


def _fits(arch: Arch, memory: str | None, layer: Layer, live: int, weights: int) -> bool:
    """Whether what is live at a layer stays on chip, with so many bits of weights beside it where they share the memory."""
    if memory is None or (layer.unit == "fallback" and not _home(arch, "outputs")):
        return False
    spec = arch.memories[memory]
    return spec.size is None or live + (weights if "weights" in spec.holds else 0) <= spec.size


def _pair_fits(
    program: Program, arch: Arch, memory: str | None, pair: Pair, lives: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]
) -> bool:
    """Whether both layers of a pair, with all of their weights, fit while they take turns."""
    both = program.layers[pair.first : pair.first + 2]
    shared = memory is not None and "weights" in arch.memories[memory].holds
    return shared and all(_fits(arch, memory, x, pair.live_bits(lives, sizes), sum(map(weight_bits, both))) for x in both)


def _in_strips(
    cascaded: list[Pair], lives: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]
) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Lives and sizes where pairs take turns: what either layer needs lives through both, and of what lies between only a strip."""
    long, small = dict(lives), dict(sizes)
    for p in cascaded:
        i = p.first
        for t, (first, last) in lives.items():
            if last == i or first == i + 1:
                long[t] = min(first, i), max(last, i + 1)
        small[p.between] = p.strip_bits
    return long, small


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
