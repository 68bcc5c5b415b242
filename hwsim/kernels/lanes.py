"""Numbers of a kernel under construction: what Python's operators and NumPy's functions on them write is LLVM IR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

__all__ = ["BITS", "KINDS", "Lanes", "splat", "vector_of"]

KINDS = {
    "i1": ir.IntType(1),
    "u8": ir.IntType(8),
    "i16": ir.IntType(16),
    "i32": ir.IntType(32),
    "i64": ir.IntType(64),
    "f32": ir.FloatType(),
    "f64": ir.DoubleType(),
}
BITS = {"i1": 1, "u8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64}
_NUMPY = {"bool": "i1", "int32": "i32", "int64": "i64", "float32": "f32", "float64": "f64"}


def vector_of(kind: str, lanes: int) -> Any:
    """The LLVM type of `lanes` numbers."""
    return KINDS[kind] if lanes == 1 else ir.VectorType(KINDS[kind], lanes)


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """One number in every lane."""
    whole = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(whole, ir.Undefined), value, ir.Constant(KINDS["i32"], 0))
    return builder.shuffle_vector(first, ir.Constant(whole, ir.Undefined), ir.Constant(ir.VectorType(KINDS["i32"], lanes), [0] * lanes))


def _operator(name: str) -> tuple[Any, Any]:
    """An operator of Python by its NumPy function, and the same with its operands the other way round."""
    return lambda a, b: _FUNCTIONS[name](a, b), lambda a, b: _FUNCTIONS[name](b, a)


class Lanes:
    """`lanes` numbers of one kind; 1 is a scalar, which spreads over the lanes of what it meets.

    `u8` is unsigned, all other whole numbers are signed and wrap.  Whole numbers of two widths meet in the wider one; whole and
    real numbers meet only after a conversion (TypeError).
    """

    __slots__ = ("builder", "kind", "value")

    def __init__(self, builder: Any, value: Any, kind: str) -> None:
        self.builder, self.value, self.kind = builder, value, kind

    @property
    def lanes(self) -> int:
        return self.value.type.count if isinstance(self.value.type, ir.VectorType) else 1

    @property
    def real(self) -> bool:
        return self.kind[0] == "f"

    def of(self, value: Any, kind: str = "") -> Lanes:
        return Lanes(self.builder, value, kind or self.kind)

    def constant(self, number: Any, kind: str = "") -> Lanes:
        """A number in every lane of the like."""
        kind = kind or self.kind
        held = float(number) if kind[0] == "f" else int(number)
        return self.of(ir.Constant(vector_of(kind, self.lanes), held if self.lanes == 1 else [held] * self.lanes), kind)

    def spread(self, lanes: int) -> Lanes:
        assert self.lanes in (1, lanes), f"{self.lanes} lanes must be 1 or {lanes}"
        return self if self.lanes == lanes else self.of(splat(self.builder, self.value, lanes))

    def to(self, kind: str) -> Lanes:
        """Converted: whole numbers wrap when narrowed, real numbers round to nearest even or drop their fraction."""
        if kind == self.kind:
            return self
        target, wider = vector_of(kind, self.lanes), BITS[kind] > BITS[self.kind]
        unsigned = self.kind in ("u8", "i1")
        names = {
            (False, False): (("zext" if unsigned else "sext") if wider else "trunc"),
            (False, True): "uitofp" if unsigned else "sitofp",
            (True, False): "fptosi",
            (True, True): "fpext" if wider else "fptrunc",
        }
        return self.of(getattr(self.builder, names[self.real, kind[0] == "f"])(self.value, target), kind)

    def bits(self, kind: str) -> Lanes:
        """The same bits read as another kind."""
        return self.of(self.builder.bitcast(self.value, vector_of(kind, self.lanes * BITS[self.kind] // BITS[kind])), kind)

    def shuffle(self, order: list[int], other: Lanes | None = None) -> Lanes:
        """Lanes of this (and, counted on, of the other) in a new order."""
        second = ir.Constant(self.value.type, ir.Undefined) if other is None else other.value
        return self.of(self.builder.shuffle_vector(self.value, second, ir.Constant(ir.VectorType(KINDS["i32"], len(order)), order)))

    def call(self, name: str, *others: Lanes) -> Lanes:
        """An LLVM intrinsic of like arguments, `llvm.<name>.<type>`."""
        lanes = max(o.lanes for o in (self, *others))
        first, *rest = (o.spread(lanes) for o in (self, *others))
        shape = self.kind.replace("u", "i")
        return first.intrinsic(f"llvm.{name}.{shape if lanes == 1 else f'v{lanes}{shape}'}", first, *rest)

    def intrinsic(self, name: str, *args: Lanes) -> Lanes:
        """A function of LLVM by its whole name, with a result like this."""
        module = self.builder.module
        known = module.globals.get(name)
        function = known or ir.Function(module, ir.FunctionType(self.value.type, [a.value.type for a in args]), name)
        return self.of(self.builder.call(function, [a.value for a in args]))

    def reduce(self, how: str) -> Lanes:
        """One number of all lanes: `add`, `and`, `or`, `smax`, `fmax`."""
        kind, name = KINDS[self.kind], f"llvm.vector.reduce.{how}.v{self.lanes}{self.kind.replace('u', 'i')}"
        known = self.builder.module.globals.get(name)
        function = known or ir.Function(self.builder.module, ir.FunctionType(kind, [self.value.type]), name)
        return self.of(self.builder.call(function, [self.value]))

    def lane(self, index: int) -> Lanes:
        """One of the lanes."""
        return self.of(self.builder.extract_element(self.value, ir.Constant(KINDS["i32"], index)))

    def select(self, yes: Any, no: Any) -> Lanes:
        like = yes if isinstance(yes, Lanes) else no
        a, b = _meet(like, yes, no)
        lanes = max(self.lanes, a.lanes)
        return a.of(self.builder.select(self.spread(lanes).value, a.spread(lanes).value, b.spread(lanes).value))

    def at_least(self, other: Any) -> Lanes:
        return _FUNCTIONS["maximum"](self, other)

    def at_most(self, other: Any) -> Lanes:
        return _FUNCTIONS["minimum"](self, other)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options or ufunc.__name__ not in _FUNCTIONS:
            return NotImplemented
        return _FUNCTIONS[ufunc.__name__](*inputs)

    def __neg__(self) -> Lanes:
        return self.constant(0) - self

    __hash__ = object.__hash__
    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract")
    __mul__, __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide")
    __floordiv__, __rfloordiv__ = _operator("floor_divide")
    __and__, __rand__ = _operator("bitwise_and")
    __or__, __ror__ = _operator("bitwise_or")
    __xor__, __rxor__ = _operator("bitwise_xor")
    __lshift__, __rlshift__ = _operator("left_shift")
    __rshift__, __rrshift__ = _operator("right_shift")
    __gt__, _ = _operator("greater")
    __ge__, _ = _operator("greater_equal")
    __lt__, _ = _operator("less")
    __le__, _ = _operator("less_equal")
    __eq__, _ = _operator("equal")
    __ne__, _ = _operator("not_equal")


def _kind_of(number: Any, like: Lanes) -> str:
    """Python's own numbers take the kind of what they meet (a wider one if they need it), NumPy's keep theirs."""
    if isinstance(number, np.generic):
        return _NUMPY[number.dtype.name]
    if isinstance(number, float) and not like.real:
        raise TypeError(f"real {number} must not meet whole lanes: convert first")
    fits = like.real or -(1 << BITS[like.kind] - 1) <= number < 1 << BITS[like.kind] - (like.kind != "u8")
    return like.kind if fits and like.kind != "i1" else "i32" if like.kind == "i1" else "i64"


def _meet(like: Lanes, *operands: Any) -> list[Lanes]:
    """Operands of one kind and one number of lanes."""
    made = [o if isinstance(o, Lanes) else like.constant(o, _kind_of(o, like)) for o in operands]
    if len({o.real for o in made}) > 1:
        raise TypeError(f"whole and real lanes must not meet: convert first ({', '.join(o.kind for o in made)})")
    kind, lanes = max((o.kind for o in made), key=lambda k: BITS[k]), max(o.lanes for o in made)
    return [o.to(kind).spread(lanes) for o in made]


def _binary(whole: str, real: str) -> Callable[[Any, Any], Lanes]:
    def write(a: Any, b: Any) -> Lanes:
        x, y = _meet(a if isinstance(a, Lanes) else b, a, b)
        return x.of(getattr(x.builder, real if x.real else whole)(x.value, y.value))

    return write


def _compare(sign: str) -> Callable[[Any, Any], Lanes]:
    def write(a: Any, b: Any) -> Lanes:
        x, y = _meet(a if isinstance(a, Lanes) else b, a, b)
        build = x.builder.fcmp_ordered if x.real else x.builder.icmp_unsigned if x.kind == "u8" else x.builder.icmp_signed
        return x.of(build(sign, x.value, y.value), "i1")

    return write


def _extreme(sign: str) -> Callable[[Any, Any], Lanes]:
    def write(a: Any, b: Any) -> Lanes:
        x, y = _meet(a if isinstance(a, Lanes) else b, a, b)
        return _compare(sign)(x, y).select(x, y)

    return write


def _absolute(x: Lanes) -> Lanes:
    return x.call("fabs") if x.real else (x < 0).select(-x, x)


def _copysign(x: Any, y: Lanes) -> Lanes:
    size, sign = _meet(y, x, y)
    return size.call("copysign", sign)


_FUNCTIONS: dict[str, Callable[..., Lanes]] = {
    "add": _binary("add", "fadd"),
    "subtract": _binary("sub", "fsub"),
    "multiply": _binary("mul", "fmul"),
    "divide": _binary("sdiv", "fdiv"),
    "floor_divide": _binary("sdiv", ""),
    "bitwise_and": _binary("and_", ""),
    "bitwise_or": _binary("or_", ""),
    "bitwise_xor": _binary("xor", ""),
    "left_shift": _binary("shl", ""),
    "right_shift": _binary("ashr", ""),
    "greater": _compare(">"),
    "greater_equal": _compare(">="),
    "less": _compare("<"),
    "less_equal": _compare("<="),
    "equal": _compare("=="),
    "not_equal": _compare("!="),
    "minimum": _extreme("<"),
    "maximum": _extreme(">"),
    "absolute": _absolute,
    "rint": lambda x: x.call("rint"),
    "trunc": lambda x: x.call("trunc"),
    "copysign": _copysign,
}
