"""Cast and CastLike between all formats, with ONNX's rules of saturation and rounding."""

from __future__ import annotations

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError
from hwsim.graph import Node, Shape, SourceNode, Tensor
from hwsim.kernels import reals
from hwsim.ops._lowering import Desk
from hwsim.ops._reading import Reader, choice
from hwsim.ops._writing import Operands, Written
from hwsim.program import Step
from hwsim.quant import Array

ANY_FORMAT = True


def _read(s: SourceNode, r: Reader) -> None:
    to = s.attrs["to"] if s.kind == "Cast" else r.tensors[s.inputs[1]].format
    if not to:
        raise HwsimError(s.where, "attribute 'to' must be an element type", "undefined")
    mode = choice(s, "round_mode", ("up", "down", "nearest"), "up")
    r.emit(s, "cast", s.inputs[:1], {"to": to, "saturate": bool(s.attrs.get("saturate", 1)), "round_mode": mode})


READS = {"Cast": _read, "CastLike": _read}


def write(node: Node, operands: Operands) -> Written:
    mode = node.attrs["round_mode"]
    rounding = {} if mode == "up" else {"round_mode": mode}
    return Written(
        "Cast", node.inputs, {"to": node.attrs["to"], "saturate": int(node.attrs["saturate"]), **rounding}, since=24 if rounding else 21
    )


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    assert inputs[0] is not None
    return [(inputs[0].shape, node.attrs["to"])]


def compute(node: Node, x: Array) -> Array:
    """Real numbers are cut toward zero on their way to integers, which wrap; small floats round to nearest even."""
    fmt = formats.get(node.attrs["to"])
    if fmt.name == "bool":
        return x != 0
    if not fmt.is_integer:
        saturate = node.attrs["saturate"] and fmt.bits <= 8
        return fmt.round(_toward(x, node.attrs["round_mode"]) if fmt.name == "float8e8m0" else x, saturate)
    whole = np.trunc(np.clip(x, -(2.0**63), 2.0**63 - 1024)) if x.dtype.kind == "f" else x
    with np.errstate(invalid="ignore"):
        return fmt.round(whole.astype(np.int64), saturate=False)


def _toward(x: Array, mode: str) -> Array:
    """A power of two chosen by round_mode (E8M0's own rounding is up)."""
    if mode == "up":
        return x
    with np.errstate(all="ignore"):
        exponent = np.log2(np.abs(x.astype(np.float64)))
        down = np.exp2(np.floor(exponent))
        return np.where(mode == "nearest" and x / down >= 1.5, down * 2, down)


def real(step: Step, desk: Desk) -> bool:
    """Plain integers of up to 32 bits made float32."""
    x, y = step.inputs[0], step.outputs[0]
    if x is None or x.quant is not None or y.format != "float32" or desk.place(x).kind not in ("u8", "i16", "i32"):
        return False
    source = desk.place(x)
    return desk.walk(reals.whole, y.shape, [desk.operand(source)], desk.operand(desk.place(y)), x_bias=source.bias)
