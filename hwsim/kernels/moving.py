"""Kernels that move or map numbers one by one, walking over operands with strides of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

from hwsim.kernels import host
from hwsim.kernels.code import Code
from hwsim.kernels.finishing import as_bytes, packs, straight
from hwsim.kernels.lanes import Lanes

__all__ = [
    "ABSOLUTE",
    "AT_ADDRESS",
    "DIMS",
    "IN_ARENA",
    "MOVE_ARGS",
    "Operand",
    "by_fours",
    "copy",
    "dequantize",
    "lookup",
    "lookup_pairs",
    "move",
    "move_runs",
    "quantize",
    "walk",
    "walk_args",
]

DIMS = 5
IN_ARENA, ABSOLUTE, AT_ADDRESS = range(3)  # an operand's base: an offset in the arena, an address, the arena's offset of an address


def walk_args(operands: Sequence[str]) -> tuple[str, ...]:
    """The names of a walk's arguments: for each operand its base (`<name>_absolute` says whether it is an address), then
    for each of DIMS dimensions, outermost first, its size and the operands' strides in bytes."""
    bases = tuple(n for o in operands for n in (o, f"{o}_absolute"))
    return bases + tuple(n for d in range(DIMS) for n in (f"size{d}", *(f"{o}{d}" for o in operands)))


@dataclass(frozen=True)
class Operand:
    """An operand of a walk: its element kind, and how it moves along the innermost dimension: `next` element by element, `same`
    (a number repeats), or `far` (by its stride).  With `planes` the output is far because those of so many neighbours along the
    dimension before lie in between."""

    name: str
    kind: str
    inner: str
    planes: int = 1


def _side_by_side(operands: Sequence[Operand]) -> bool:
    return all(o.inner != "far" for o in operands[:-1]) and any(o.inner == "next" for o in operands)


def by_fours(operands: Sequence[Operand]) -> bool:
    """Whether a walk makes four vectors of bytes at once: then those of int32 saturate, else they wrap."""
    y = operands[-1]
    return _side_by_side(operands) and (y.kind, y.inner, y.planes) == ("u8", "next", 1) and packs()


def walk(k: Code, operands: Sequence[Operand], body: Callable[..., Lanes]) -> str:
    """body(*inputs) gives the last operand, for as many elements at once as the inputs have side by side (by fours: of such vectors)."""
    *inputs, y = operands
    wide, parts = _side_by_side(operands), 4 if by_fours(operands) else 1
    lanes, planes = host.lanes() if wide else 1, y.planes if wide else 1
    at = [_base(k, o.name) for o in operands]
    with ExitStack() as loops:
        for d in range(DIMS - (1 if planes == 1 else 2)):
            i = loops.enter_context(k.loop(k[f"size{d}"]))
            at = [a + i * k[f"{o.name}{d}"] for a, o in zip(at, operands, strict=True)]
        with k.loop(k[f"size{DIMS - 1}"], step=lanes * parts) as i:
            places = [a + i * k[f"{o.name}{DIMS - 1}"] for a, o in zip(at, operands, strict=True)]
            values = []
            for plane, part in product(range(planes), range(parts)):
                moved = [plane * k[f"{o.name}{DIMS - 2}"] if planes > 1 else part * lanes * k.size(o.kind) for o in inputs]
                here = [p if o.inner == "same" and planes == 1 else p + m for o, p, m in zip(inputs, places[:-1], moved, strict=True)]
                loaded = [k.load(o.kind, p, 1 if o.inner == "same" else lanes) for o, p in zip(inputs, here, strict=True)]
                values.append(body(*loaded).spread(lanes))
            left = k[f"size{DIMS - 1}"] - i
            if planes > 1:
                k.store_first(_woven([v.to(y.kind) for v in values]), places[-1], planes * left)
            else:
                _put(k, y, values[0] if parts == 1 else _together(k, values), places[-1], left)
    return k.finished()


def _base(k: Code, name: str) -> Lanes:
    """The address of an operand."""
    found = k.variable(k[name] + (k[f"{name}_absolute"] == ABSOLUTE).select(k.number("i64", 0), k.arena))
    with k.when(k[f"{name}_absolute"] == AT_ADDRESS):
        found.set(k.load("i64", found.get()))
    return found.get()


def _together(k: Code, four: list[Lanes]) -> Lanes:
    """Four vectors as one of bytes, int32 numbers saturated."""
    if four[0].kind == "i32":
        return straight(as_bytes(k, four))
    n = four[0].lanes
    pairs = [a.shuffle(list(range(2 * n)), b) for a, b in (four[:2], four[2:])]
    return pairs[0].shuffle(list(range(4 * n)), pairs[1])


def _woven(planes: list[Lanes]) -> Lanes:
    """The first number of 2 to 4 vectors, then the second of each, and so on; the last of a power of two lanes repeat."""
    n, many = planes[0].lanes, len(planes)
    pairs = [a.shuffle(list(range(2 * n)), b) for a, b in ((planes[0], planes[1]), (planes[min(2, many - 1)], planes[-1]))]
    picks = [n * p + i for i in range(n) for p in range(many)]
    return pairs[0].shuffle(picks + picks[-1:] * (2 ** (len(picks) - 1).bit_length() - len(picks)), pairs[1])


def _put(k: Code, y: Operand, value: Lanes, place: Lanes, left: Lanes) -> None:
    """The lanes of an output that are still wanted, side by side or by its stride."""
    if value.lanes == 1:
        k.store(value, place, y.kind)
    elif y.inner == "next":
        with k.otherwise(left >= value.lanes) as (whole, part):
            with whole:
                k.store(value, place, y.kind)
            with part:
                k.store_first(value, place, left, y.kind)
    else:
        narrow, stride = value.to(y.kind), k[f"{y.name}{DIMS - 1}"]
        with k.otherwise(left >= value.lanes) as (whole, part):
            with whole:
                for lane in range(value.lanes):
                    k.store(narrow.lane(lane), place + lane * stride)
            with part:
                for lane in range(value.lanes):
                    with k.when(left > lane):
                        k.store(narrow.lane(lane), place + lane * stride)


def copy(x: Operand, y: Operand) -> str:
    """Kernel of walk_args: y = x."""
    return walk(Code(walk_args((x.name, y.name))), (x, y), lambda v: v)


def lookup(x: Operand, y: Operand) -> str:
    """Kernel of walk_args, table address, shift: y = table[x + shift]."""
    k = Code((*walk_args((x.name, y.name)), "table", "shift"))
    far = (Operand(x.name, x.kind, "far"), Operand(y.name, y.kind, "far"))
    return walk(k, far, lambda v: k.load(y.kind, k["table"] + k.size(y.kind) * (v.to("i64") + k["shift"])))


def lookup_pairs(a: Operand, b: Operand, y: Operand) -> str:
    """Kernel of walk_args, table address: y = table[256 a + b]."""
    k = Code((*walk_args((a.name, b.name, y.name)), "table"))
    far = tuple(Operand(o.name, o.kind, "far") for o in (a, b, y))
    return walk(k, far, lambda v, w: k.load(y.kind, k["table"] + k.size(y.kind) * (256 * v.to("i64") + w.to("i64"))))


def quantize(x: Operand, y: Operand) -> str:
    """Kernel of walk_args, then scale (float32 bits), low, high, offset: ONNX QuantizeLinear of float32,
    y = rint(clip(x / scale, low, high)) + offset; NaN gives low."""
    k = Code((*walk_args((x.name, y.name)), "scale", "low", "high", "offset"))
    scale, low, high = k["scale"].to("i32").bits("f32"), k["low"].to("f32"), k["high"].to("f32")

    def body(v: Lanes) -> Lanes:
        ratio = v / scale
        return ratio.at_least(low).at_most(high).call("rint").to("i32") + k["offset"].to("i32")

    return walk(k, (x, y), body)


def dequantize(x: Operand, y: Operand) -> str:
    """Kernel of walk_args, zero point in memory, scale (float32 bits): ONNX DequantizeLinear, y = float32(x - zero) scale."""
    k = Code((*walk_args((x.name, y.name)), "zero", "scale"))
    zero, scale = k["zero"].to("i32"), k["scale"].to("i32").bits("f32")
    return walk(k, (x, y), lambda v: (v.to("i32") - zero).to("f32") * scale)


MOVE_ARGS = ("x", "y", "count", "sources", "targets", "fill")


def move(kind: str) -> str:
    """Kernel: y[targets[i]] = x[sources[i]], or `fill` (of float32 its bits) where sources says -1; both are addresses of int32 element
    indices."""
    k = Code(MOVE_ARGS)
    size = k.size(kind)
    with k.loop(k["count"]) as i:
        source, target = (k.load("i32", k[n] + 4 * i, align=4).to("i64") for n in ("sources", "targets"))
        with k.otherwise(source < 0) as (empty, full):
            with empty:
                k.store(_filler(k, kind), k.arena + k["y"] + size * target)
            with full:
                k.store(k.load(kind, k.arena + k["x"] + size * source), k.arena + k["y"] + size * target)
    return k.finished()


def _filler(k: Code, kind: str) -> Lanes:
    return k["fill"].to("i32").bits("f32") if kind == "f32" else k["fill"].to(kind)


def move_runs(kind: str) -> str:
    """Kernel of MOVE_ARGS and the address of each run's length (int32): runs of elements that lie side by side in both tensors."""
    k = Code((*MOVE_ARGS, "lengths"))
    size = k.size(kind)
    lanes = 4 * host.lanes() // size
    fill = _filler(k, kind).spread(lanes)
    with k.loop(k["count"]) as i:
        source, target, length = (k.load("i32", k[n] + 4 * i, align=4).to("i64") for n in ("sources", "targets", "lengths"))
        x, y = k.arena + k["x"] + size * source, k.arena + k["y"] + size * target
        with k.otherwise(source < 0) as (empty, full):
            with empty, k.loop(length, step=lanes) as j:
                k.store_first(fill, y + size * j, length - j)
            with full, k.loop(length, step=lanes) as j:
                k.store_first(k.load(kind, x + size * j, lanes), y + size * j, length - j)
    return k.finished()
