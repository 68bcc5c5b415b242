"""Typed views of raw addresses, for use inside kernels.  Importing this imports Numba: factories do it when they compile."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

__all__ = ["enter", "f32", "f64", "i8", "i16", "i32", "i64", "u8"]


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), generate


@intrinsic
def enter(typing: Any, function: Any, args: Any, arena: Any) -> Any:
    """Call the machine code at an address with (args, arena)."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word, word])
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), [values[1], values[2]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


def _view(dtype: Any) -> Any:
    @njit(inline="always")
    def at(address: int, count: int) -> Any:
        return carray(_pointer(address), (count,), dtype)

    return at


u8, i8, i16, i32, i64, f32, f64 = (_view(t) for t in (np.uint8, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64))
