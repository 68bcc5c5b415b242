"""A kernel under construction: a function of LLVM IR, written by structured Python on `Lanes`.

A kernel is made by a factory and looks like the loops that it means::

    def negate(kind: str) -> str:
        k = Code(("x", "y", "count"))
        with k.loop(k["count"]) as i:
            k.store(-k.load(kind, k["x"] + k.size(kind) * i), k["y"] + k.size(kind) * i)
        return k.finished()

No Numba stands between: the text goes to LLVM as it is, which takes a tenth of the time, and vectors have the width that is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from hwsim.kernels.lanes import BITS, KINDS, Lanes, vector_of

__all__ = ["Code", "Variable"]

WORD = KINDS["i64"]


class Variable:
    """Numbers that change while the kernel runs."""

    def __init__(self, code: Code, first: Lanes) -> None:
        self.code, self.kind = code, first.kind
        with code.builder.goto_entry_block():
            self.slot = code.builder.alloca(first.value.type)
        self.set(first)

    def get(self) -> Lanes:
        return self.code.lanes(self.code.builder.load(self.slot, typ=self.slot.allocated_type), self.kind)

    def set(self, value: Lanes) -> None:
        self.code.builder.store(value.value, self.slot)


class Code:
    """A function of the words (args, arena).  `args` points to one int64 per name; `code[name]` is its value, `code.arena` the arena."""

    def __init__(self, names: Sequence[str], arity: int = 2) -> None:
        self.module = ir.Module("kernel")
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [WORD] * arity), "kernel")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.words = [self.lanes(a, "i64") for a in self.function.args]
        self.arena = self.words[1]
        self._args = {name: self.load("i64", self.words[0] + 8 * i) for i, name in enumerate(names)}

    def __getitem__(self, name: str) -> Lanes:
        return self._args[name]

    def finished(self) -> str:
        """The text of the module."""
        self.builder.ret_void()
        return str(self.module)

    def lanes(self, value: Any, kind: str) -> Lanes:
        return Lanes(self.builder, value, kind)

    def number(self, kind: str, value: Any, lanes: int = 1) -> Lanes:
        return self.lanes(ir.Constant(vector_of(kind, lanes), value if lanes == 1 else [value] * lanes), kind)

    def sequence(self, kind: str, lanes: int) -> Lanes:
        """0, 1, 2 and so on."""
        return self.lanes(ir.Constant(vector_of(kind, lanes), list(range(lanes))), kind)

    def among(self, count: Lanes, lanes: int) -> Lanes:
        """Which of so many lanes are among the first `count`."""
        return self.sequence("i32", lanes) < count.to("i32")

    def variable(self, first: Lanes) -> Variable:
        return Variable(self, first)

    def load(self, kind: str, address: Lanes, lanes: int = 1, align: int = 1) -> Lanes:
        """Numbers in memory.  Bytes stay bytes (`u8`); `align` is what is known of the address, in bytes."""
        shape = vector_of(kind, lanes)
        found = self.builder.load(self._pointer(address, shape), align=align, typ=shape)
        return self.lanes(found, kind)

    def store(self, value: Lanes, address: Lanes, kind: str = "", align: int = 1) -> None:
        """Numbers to memory, narrowed to `kind`."""
        held = value.to(kind or value.kind)
        self.builder.store(held.value, self._pointer(address, held.value.type), align=align)

    def store_first(self, value: Lanes, address: Lanes, count: Lanes, kind: str = "") -> None:
        """The first `count` lanes to memory."""
        held = value.to(kind or value.kind)
        mask, pointer = self.among(count, held.lanes), self._pointer(address, held.value.type)
        shape = f"v{held.lanes}{held.kind.replace('u', 'i')}.p0"
        name = f"llvm.masked.store.{shape}"
        kinds = [held.value.type, pointer.type, KINDS["i32"], mask.value.type]
        known = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.builder.call(known, [held.value, pointer, ir.Constant(KINDS["i32"], 1), mask.value])

    def load_first(self, kind: str, address: Lanes, count: Lanes, lanes: int) -> Lanes:
        """The first `count` of so many numbers in memory, zeros behind them; what lies there is not touched."""
        shape, mask = vector_of(kind, lanes), self.among(count, lanes)
        name = f"llvm.masked.load.v{lanes}{kind.replace('u', 'i')}.p0"
        none = ir.Constant(shape, [0] * lanes)
        kinds = [shape.as_pointer(), KINDS["i32"], mask.value.type, shape]
        known = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(shape, kinds), name)
        return self.lanes(self.builder.call(known, [self._pointer(address, shape), ir.Constant(KINDS["i32"], 1), mask.value, none]), kind)

    def machine(self, name: str, *operands: int | Lanes) -> None:
        """An instruction without a result by its name in LLVM: numbers of registers, addresses (before other words) and words."""
        made, pointed = [], False
        for o in operands:
            if isinstance(o, int):
                made.append(ir.Constant(KINDS["u8"], o))
            else:
                made.append(o.value if pointed else self._pointer(o, KINDS["u8"]))
                pointed = True
        known = self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(ir.VoidType(), [m.type for m in made]), name)
        self.builder.call(known, made)

    def prefetch(self, address: Lanes) -> None:
        """Ask for a cache line, to be brought as near as the second-level cache."""
        pointer, whole = self._pointer(address, KINDS["u8"]), KINDS["i32"]
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, whole, whole, whole])
        known = self.module.globals.get("llvm.prefetch.p0") or ir.Function(self.module, kind, "llvm.prefetch.p0")
        self.builder.call(known, [pointer, *(ir.Constant(whole, v) for v in (0, 2, 1))])  # to read, locality 2, data

    def _pointer(self, address: Lanes, shape: Any) -> Any:
        return self.builder.inttoptr(address.value, shape.as_pointer())

    @contextmanager
    def loop(self, stop: Lanes, start: int | Lanes = 0, step: int | Lanes = 1) -> Iterator[Lanes]:
        """The lines inside run for start, start + step, ... below `stop`."""
        b = self.builder
        first = start if isinstance(start, Lanes) else self.number("i64", start)
        head, body, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(WORD)
        index.add_incoming(first.value, before)
        at = self.lanes(index, "i64")
        b.cbranch((at < stop).value, body, after)
        b.position_at_end(body)
        yield at
        index.add_incoming((at + step).value, b.block)
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def when(self, condition: Lanes) -> Iterator[None]:
        """The lines inside run where the condition holds."""
        with self.builder.if_then(condition.value):
            yield

    @contextmanager
    def otherwise(self, condition: Lanes) -> Iterator[Any]:
        """Two blocks of lines: the first runs where the condition holds, the second where it does not."""
        with self.builder.if_else(condition.value) as branches:
            yield branches

    def assembly(self, lines: list[str], changed: list[Lanes], read: list[Lanes]) -> list[Lanes]:
        """Instructions on vectors of one type, in just this order: {0}, {1} ... are `changed`, whose new values it gives, then `read`."""
        count, kind = len(changed), changed[0].value.type
        names = [f"${i}" for i in range(count)] + [f"${2 * count + i}" for i in range(len(read))]
        constraints = ["=&v"] * count + [str(i) for i in range(count)] + ["v"] * len(read)
        shape = ir.FunctionType(ir.LiteralStructType([kind] * count), [kind] * (count + len(read)))
        made = ir.InlineAsm(shape, "\n".join(lines).format(*names), ",".join(constraints))
        found = self.builder.call(made, [v.value for v in (*changed, *read)])
        return [v.of(self.builder.extract_value(found, i)) for i, v in enumerate(changed)]

    def call(self, entry: Lanes, *words: Lanes) -> None:
        """Call the machine code at an address."""
        kind = ir.FunctionType(ir.VoidType(), [WORD] * len(words))
        self.builder.call(self.builder.inttoptr(entry.value, kind.as_pointer()), [w.value for w in words])

    def size(self, kind: str) -> int:
        """Bytes of a number in memory."""
        return BITS[kind] // 8
