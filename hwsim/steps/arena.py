"""Where tensors lie in the arena: the order of their axes, their halos, and memory used again once nothing reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwsim.graph import Tensor
from hwsim.kernels.memory import ALIGN
from hwsim.ops._lowering import Place, storage_of
from hwsim.program import Program, Step
from hwsim.shelf import load

__all__ = ["plan_arena"]

IMAGE_OPS = ("conv", "conv_transpose", "max_pool", "average_pool", "resize", "depth_to_space")
FOLLOWERS = ("binary", "unary", "batch_norm", "concat", "pad", "softmax", "reinterpret")
Halo = tuple[tuple[int, int], ...]


def plan_arena(program: Program, steps: Sequence[Step], all_tensors: bool) -> tuple[dict[str, Place], int]:
    """A place for every computed tensor that kernels can hold, and the bytes of all; with `all_tensors` none shares memory."""
    orders, halos = _orders(program, steps), _halos(steps)
    lives, borrowed = _lives(program, steps, all_tensors), set() if all_tensors else _borrowed(program, steps)
    free: list[Place] = []
    for t in program.tensors.values():
        kept = storage_of(t) if t.constant is None else None
        if kept is not None and t.elements and t.name in lives:
            free.append(Place(0, kept[0], kept[1], t.shape, orders[t.name], halos.get(t.name, ()), t.name in borrowed))
    names = [t.name for t in program.tensors.values() if t.constant is None and storage_of(t) and t.elements and t.name in lives]
    starts, size = _pack([Life(*lives[n], p.bytes) for n, p in zip(names, free, strict=True)])
    return {n: p.at(s) for n, p, s in zip(names, free, starts, strict=True)}, size


def _borrowed(program: Program, steps: Sequence[Step]) -> set[str]:
    """The network's inputs that are only quantized: kernels read them where the caller holds them."""
    real = {n for n in program.graph.inputs if program.tensors[n].format == "float32" and n not in program.graph.outputs}
    others = {t.name for s in steps for t in s.inputs if t is not None and not (s.op == "quantize" and s.integer and len(s.inputs) == 1)}
    return real - others


@dataclass(frozen=True)
class Life:
    """A tensor from the step that writes it to the last that reads it, and its bytes."""

    first: int
    last: int
    bytes: int


def _lives(program: Program, steps: Sequence[Step], all_tensors: bool) -> dict[str, tuple[int, int]]:
    """First and last step of every computed tensor; the network's inputs are there before the first, its outputs to the end."""
    first = dict.fromkeys(program.graph.inputs, -1)
    last = dict(first)
    for i, step in enumerate(steps):
        first.update((t.name, i) for t in step.outputs)
        last.update((t.name, i) for t in (*step.inputs, *step.outputs) if t is not None)
    kept = first if all_tensors else program.graph.outputs
    last.update((n, len(steps)) for n in kept if n in first)
    return {n: (0 if f < 0 else f, last[n]) for n, f in first.items()}


def _pack(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Byte offsets so that tensors alive together do not overlap: largest first, each at the lowest gap (greedy by size, Pisarchyk
    and Lee, arXiv:2001.03288).  A cache line lies free behind each, for vectors that pass its end."""
    starts = [0] * len(lives)
    placed: list[int] = []
    for i in sorted(range(len(lives)), key=lambda i: -lives[i].bytes):
        here, need = ALIGN, -(-lives[i].bytes // ALIGN) * ALIGN + ALIGN
        for j in sorted(
            (j for j in placed if lives[j].first <= lives[i].last and lives[i].first <= lives[j].last), key=lambda j: starts[j]
        ):
            if here + need <= starts[j]:
                break
            here = max(here, starts[j] + -(-lives[j].bytes // ALIGN) * ALIGN + ALIGN)
        starts[i] = here
        placed.append(i)
    size = max((s + -(-life.bytes // ALIGN) * ALIGN for s, life in zip(starts, lives, strict=True)), default=0) + ALIGN
    return starts, size


def _halos(steps: Sequence[Step]) -> dict[str, Halo]:
    """The widest halo that the readers of each tensor want."""
    found: dict[str, Halo] = {}
    for step in steps:
        module, x = load("ops", step.op), step.inputs[0] if step.inputs else None
        if x is None or x.constant is not None or not step.integer or not hasattr(module, "halo") or len(x.shape) > 4:
            continue
        wanted = module.halo(step)
        have = found.get(x.name, ((0, 0),) * len(wanted))
        found[x.name] = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(have, wanted, strict=True))
    return {n: h for n, h in found.items() if any(map(any, h))}


def _orders(program: Program, steps: Sequence[Step]) -> Mapping[str, tuple[int, ...]]:
    """The order of axes in memory: channels last for what spatial operators touch, and for what elementwise ones connect to it."""
    images: set[str] = set()
    for s in steps:
        if s.op in IMAGE_OPS:
            images |= {t.name for t in _computed((*s.inputs[:1], *s.outputs))}
    for s in (*steps, *reversed(steps)):
        linked = _computed((*s.inputs, *s.outputs))
        if s.op in FOLLOWERS and any(t.name in images for t in linked):
            images |= {t.name for t in linked}
    return {t.name: (0, *range(2, len(t.shape)), 1) if t.name in images else tuple(range(len(t.shape))) for t in program.tensors.values()}


def _computed(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [t for t in tensors if t is not None and t.constant is None and len(t.shape) > 2]
