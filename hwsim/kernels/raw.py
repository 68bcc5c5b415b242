"""Typed views of raw addresses, for use inside kernels.  Importing this imports Numba: factories do it when they compile."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

__all__ = ["enter", "f32", "f64", "finish", "i8", "i16", "i32", "i64", "u8", "u64"]


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), generate


def _caller(count: int) -> Any:
    """An intrinsic that calls the machine code at an address with `count` more integers."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word] * count)
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    def typed(*args: Any) -> Any:
        return types.void(*[types.intp] * (count + 1)), generate

    return typed


@intrinsic
def enter(typing: Any, function: Any, args: Any, arena: Any) -> Any:
    """Call a kernel: (args, arena)."""
    return _caller(2)()


@intrinsic
def finish(typing: Any, function: Any, args: Any, sums: Any, first: Any, count: Any, target: Any) -> Any:
    """Call a finishing kernel: (args, address of sums, first channel, count, target address)."""
    return _caller(5)()


def _view(dtype: Any) -> Any:
    @njit(inline="always")
    def at(address: int, count: int) -> Any:
        return carray(_pointer(address), (count,), dtype)

    return at


_TYPES = (np.uint8, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64)
u8, u64, i8, i16, i32, i64, f32, f64 = map(_view, _TYPES)
