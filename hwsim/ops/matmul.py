"""Matrix products: Gemm, batched MatMul, their quantized forms, and block-quantized weights (MatMulNBits)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError, counted
from hwsim.graph import Constant, Node, Shape, SourceNode, Tensor
from hwsim.kernels import reals
from hwsim.ops._hybrid import emit_hybrid
from hwsim.ops._lowering import Desk
from hwsim.ops._mac import accumulate, epilogue, finish
from hwsim.ops._mac_kernel import emit_mac
from hwsim.ops._mac_plan import Axis, Mac, rows_of
from hwsim.ops._plain_integers import as_stored
from hwsim.ops._product import Batch, emit_product
from hwsim.ops._reading import Reader, accumulator_bias, broadcast, check_zeros, input_name
from hwsim.ops._real_mac import are_real
from hwsim.ops._real_product import emit_real_matmul
from hwsim.ops._real_sums import real_matmul
from hwsim.ops._writing import Operands, Written, permuted
from hwsim.program import LoopNest, Step
from hwsim.quant import Array, QuantParams

ANY_FORMAT = True


def _attrs(s: SourceNode) -> dict[str, object]:
    return {
        "trans_a": bool(s.attrs.get("transA", 0)),
        "trans_b": bool(s.attrs.get("transB", 0)),
        "alpha": float(s.attrs.get("alpha", 1.0)),
        "beta": float(s.attrs.get("beta", 1.0)),
    }


def _check_ranks(s: SourceNode, r: Reader, *indices: int) -> None:
    """Matrices, where Gemm wants no more; vectors and stacks of matrices in a MatMul."""
    for i in indices:
        r.ranked(s, i, *((2, 2) if s.kind.endswith("Gemm") else (1, None)))


def _read(s: SourceNode, r: Reader) -> None:
    _check_ranks(s, r, 0, 1)
    attrs = _attrs(s)
    if input_name(s, 2):
        a, b = r.shape(s.inputs[0]), r.shape(s.inputs[1])
        product = (a[1 if attrs["trans_a"] else 0], b[0 if attrs["trans_b"] else 1])
        if broadcast(s.where, product, r.shape(s.inputs[2])) != product:
            raise HwsimError(s.where, f"'{s.inputs[2]}' must broadcast to the product {product}", r.shape(s.inputs[2]))
    if not emit_hybrid(s, r, "matmul", attrs):
        r.emit(s, "matmul", s.inputs, attrs)


def _read_integer(s: SourceNode, r: Reader) -> None:
    """MatMulInteger: zero points are ordinary inputs, the output is the int32 accumulator."""
    _check_ranks(s, r, 0, 1)
    check_zeros(s, r, 2, (1, *r.shape(s.inputs[0]))[-2])
    check_zeros(s, r, 3, r.shape(s.inputs[1])[-1])
    r.emit(s, "matmul", (s.inputs[0], s.inputs[1], "", input_name(s, 2), input_name(s, 3)), _attrs(s))


def _read_qlinear(s: SourceNode, r: Reader) -> None:
    _check_ranks(s, r, 0, 3)
    a = r.quantized(s, 0, 1, 2)
    b = r.quantized(s, 3, 4, 5, axis=-1)
    y = r.params(s, a, 6, 7, fmt=r.stored_format(s, 7, a))
    r.emit(s, "matmul", (a, b), _attrs(s), quants=[y])


def _read_qgemm(s: SourceNode, r: Reader) -> None:
    """The int32 C is added to the accumulator; beta does not scale it."""
    _check_ranks(s, r, 0, 3)
    a, axis = r.quantized(s, 0, 1, 2), 0 if s.attrs.get("transB", 0) else 1
    b = r.quantized(s, 3, 4, 5, axis=axis)
    y = r.params(s, a, 7, 8, fmt=r.stored_format(s, 8, a)) if input_name(s, 7) else None
    bias = accumulator_bias(s, r, 6, a, b, axis, float(s.attrs.get("alpha", 1.0)))
    r.emit(s, "matmul", (a, b, bias), _attrs(s), quants=[y])


def _read_nbits(s: SourceNode, r: Reader) -> None:
    """MatMulNBits: B (N, blocks, bytes) unpacks to N x K unsigned numbers with a scale and zero point per block along K."""
    n, k, bits, block = (int(s.attrs.get(a, 4)) for a in ("N", "K", "bits", "block_size"))
    if input_name(s, 4):
        raise HwsimError(s.where, "must have no g_idx (act-order)", f"'{input_name(s, 4)}'")
    if min(n, k) < 1 or bits not in (2, 4, 8) or block < 16 or block & (block - 1):
        wanted = "N and K must be 1 or more, bits 2, 4 or 8, and block_size a power of two from 16 on"
        raise HwsimError(s.where, wanted, f"{n}, {k}, {bits} and {block}")
    blocks = -(-k // block)
    _check_ranks(s, r, 0)
    _check_packed(s, r, {1: n * blocks * block * bits // 8, 2: n * blocks, 3: n * -(-blocks * bits // 8)})
    packed = r.need(s, 1, "the packed weights").reshape(n, blocks, -1)
    per_byte = np.arange(0, 8, bits)
    low_first = (packed[..., None] >> per_byte & ((1 << bits) - 1)).reshape(n, -1)[:, :k]
    scale = r.need(s, 2, "the scales").reshape(n, blocks)
    zero = np.full((n, blocks), 1 << (bits - 1), np.int64)
    if input_name(s, 3):
        packed_zero = r.need(s, 3, "the zero points").reshape(n, -1)
        zero = (packed_zero[..., None] >> per_byte & ((1 << bits) - 1)).reshape(n, -1)[:, :blocks].astype(np.int64)
    fmt = f"uint{bits}"
    quant = QuantParams(formats.get(fmt), scale.astype(np.float32), zero, axis=1, block_size=block)
    name = r.fresh(f"{s.inputs[1]}.unpacked")
    r.tensors[name] = Tensor(name, (n, k), fmt, quant, Constant.of(low_first.astype(np.uint8), name))
    real, back = r.fresh(f"{name}.real"), {"format": "float32", "axis": 1, "block": block, "stored": fmt}
    r.emit(s, "dequantize", (name,), back, (real,), name=f"{s.name}.dequantize")
    r.emit(s, "matmul", (s.inputs[0], real, input_name(s, 5)), {**_attrs(s), "trans_b": True})


def _check_packed(s: SourceNode, r: Reader, counts: dict[int, int]) -> None:
    """The packed weights, scales and packed zero points of MatMulNBits: so many bytes and numbers."""
    for i, count in counts.items():
        t = r.tensors.get(input_name(s, i))
        if t is not None and (t.elements != count or (i != 2 and t.format != "uint8")):
            wanted = counted(count, "number" if i == 2 else "uint8 number")
            raise HwsimError(s.where, f"'{t.name}' must have {wanted}", f"{t.elements} of {t.format}")
    if not np.isfinite(r.need(s, 2, "the scales")).all():
        raise HwsimError(s.where, f"the scales '{s.inputs[2]}' must be finite")


READS = {
    "Gemm": _read,
    "MatMul": _read,
    "MatMulInteger": _read_integer,
    "QLinearMatMul": _read_qlinear,
    "com.microsoft.QGemm": _read_qgemm,
    "com.microsoft.MatMulNBits": _read_nbits,
}


def _shapes(node: Node, a: Shape, b: Shape) -> tuple[Shape, Shape]:
    """Operand shapes after transposition, with vectors made matrices."""
    a, b = ((1, *a) if len(a) == 1 else a), ((*b, 1) if len(b) == 1 else b)
    if node.attrs["trans_a"]:
        a = (*a[:-2], a[-1], a[-2])
    if node.attrs["trans_b"]:
        b = (*b[:-2], b[-1], b[-2])
    return a, b


def write(node: Node, operands: Operands) -> Written | list[Written]:
    """Gemm for two matrices; a MatMul of others is behind transposes.  With zero points of its own it is a MatMulInteger."""
    a, (x, w) = node.attrs, operands[:2]
    assert x is not None and w is not None
    if x.quant is None and x.format in ("int8", "uint8"):
        return Written("MatMulInteger", (*node.inputs[:2], *node.inputs[3:]))
    if len(x.shape) == len(w.shape) == 2:
        attrs = {"transA": int(a["trans_a"]), "transB": int(a["trans_b"]), "alpha": a["alpha"], "beta": a["beta"]}
        return Written("Gemm", node.inputs[:3], attrs)
    if a["alpha"] != 1 or a["beta"] != 1:
        raise HwsimError(node.where, "must multiply matrices to be scaled", f"shapes {x.shape} and {w.shape}")
    steps, inputs = [], list(node.inputs[:2])
    for i, (turned, t) in enumerate(((a["trans_a"], x), (a["trans_b"], w))):
        if turned:
            inputs[i] = f"{node.outputs[0]}.turned{i}"
            steps.append(permuted(node.inputs[i], len(t.shape), inputs[i]))
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    product = (f"{node.outputs[0]}.product",) if bias else ()
    steps.append(Written("MatMul", tuple(inputs), {}, product))
    return [*steps, Written("Add", (*product, bias))] if bias else steps


def infer(node: Node, inputs: list[Tensor | None]) -> list[tuple[Shape, str]]:
    a, b = inputs[0], inputs[1]
    assert a is not None and b is not None
    left, right = _shapes(node, a.shape, b.shape)
    if left[-1] != right[-2]:
        raise HwsimError(node.where, f"the inner dimensions of {a.shape} and {b.shape} must be equal", f"{left[-1]} and {right[-2]}")
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise HwsimError(node.where, "the batch dimensions must broadcast", f"{a.shape} and {b.shape}") from None
    shape = (*batch, *((left[-2],) if len(a.shape) > 1 else ()), *((right[-1],) if len(b.shape) > 1 else ()))
    raw_integers = a.quant is None and a.format in ("int8", "uint8")
    return [(shape, "int32" if raw_integers else a.format if a.quant is None else "float32")]


def loops(node: Node, inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor, ...]) -> LoopNest:
    """Rows are OX; the batch of a product with one shared right operand joins the rows, otherwise it is a group."""
    a, b = inputs[0], inputs[1]
    assert a is not None and b is not None
    left, right = _shapes(node, a.shape, b.shape)
    shared = int(np.prod(right[:-2], initial=1)) == 1
    batch = int(np.prod(np.broadcast_shapes(left[:-2], right[:-2]), initial=1))
    return LoopNest(G=1 if shared else batch, K=right[-1], C=left[-1], OX=left[-2] * (batch if shared else 1))


def _turned(node: Node, a: Array, b: Array) -> tuple[Array, Array]:
    a = np.swapaxes(a, -1, -2) if node.attrs["trans_a"] else a
    return a, np.swapaxes(b, -1, -2) if node.attrs["trans_b"] else b


def compute(
    node: Node,
    a: Array,
    b: Array,
    c: Array | None = None,
    a_zero: Array | None = None,
    b_zero: Array | None = None,
    product: Callable[[Array, Array], Array] = np.matmul,
) -> Array:
    """Real numbers in BLAS's order, or by a product of their own."""
    a, b = _turned(node, a, b)
    if a.dtype.kind in "iu":
        left = a.astype(np.int64) - (0 if a_zero is None else _row_zero(a_zero, a))
        return (left @ (b.astype(np.int64) - (0 if b_zero is None else b_zero.astype(np.int64)))).astype(np.int32)
    y = product(a, b)
    y = y if node.attrs["alpha"] == 1 else y * np.float32(node.attrs["alpha"])
    return y if c is None else y + (c if node.attrs["beta"] == 1 else c * np.float32(node.attrs["beta"]))


in_order = partial(compute, product=real_matmul)


def _row_zero(zero: Array, a: Array) -> Array:
    """The zero point of A is a number, or one per row."""
    return zero.astype(np.int64) if zero.size == 1 else zero.astype(np.int64).reshape(-1, 1)


def integer(step: Step, a: Array, b: Array, bias: Array | None = None) -> tuple[Array, int]:
    aq, bq = (t.quant for t in step.inputs[:2] if t is not None)
    assert aq is not None and bq is not None
    node = step.node
    a, b = _turned(node, np.atleast_2d(a), b if b.ndim > 1 else b[:, None])
    e = epilogue(step, b.shape[-1])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left = np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    right = np.broadcast_to(b, (*batch, *b.shape[-2:])).reshape(-1, *b.shape[-2:])
    if b.ndim == 2:
        left, right = left.reshape(1, -1, a.shape[-1]), b[None]
    sums, overflowed = [], 0
    for m, n in zip(left, right, strict=True):
        total, over = accumulate(m, n.T, e.bias, int(aq.zero_point), bq.zero_point, step.accumulator)
        sums.append(total)
        overflowed += over
    y = finish(step, np.stack(sums), e)
    return y.reshape(step.outputs[0].shape), overflowed


def kernel(step: Step, desk: Desk) -> bool:
    """Constant right operands are 1 x 1 convolutions over the rows; computed ones go matrix by matrix."""
    a, b, y = step.inputs[0], step.inputs[1], step.outputs[0]
    assert a is not None and b is not None
    if a.constant is not None or len(a.shape) < 2:
        return False
    if b.constant is not None and len(b.shape) == 2 and not step.node.attrs["trans_a"]:
        columns = b.constant.array if step.node.attrs["trans_b"] else b.constant.array.T
        x, out = desk.row_major(a), desk.row_major(y)
        desk.reorder(desk.place(a), x)
        done = emit_mac(Mac(step, columns[None, :, None, None, :], Axis(), Axis(), rows_of(x), rows_of(out)), desk)
        desk.reorder(out, desk.place(y))
        return done
    if b.constant is not None or len(b.shape) < 2:
        return False
    return _kernel_batched(step, desk, a, b, y)


def real(step: Step, desk: Desk) -> bool:
    """Products of real numbers, and of plain integers; what a zero point of the left ones that is computed takes away follows behind."""
    zero, w, y = (*step.inputs, None, None)[3], step.inputs[1], step.outputs[0]
    if are_real(step.inputs):
        return emit_real_matmul(step, desk)
    if zero is None or zero.constant is not None:
        stored = as_stored(step, 1)
        return stored is not None and kernel(stored, desk)
    stored = as_stored(replace(step, inputs=(*step.inputs[:3], None, *step.inputs[4:])), 1)
    if stored is None or zero.elements > 1 or w is None or w.constant is None or len(w.shape) != 2 or not kernel(stored, desk):
        return False
    q = stored.inputs[1].quant if stored.inputs[1] else None
    assert q is not None
    columns = (w.constant.array.astype(np.int64) - q.spread(q.zero_point, w.shape)).sum(0).astype(np.int32)
    target, sides = desk.operand(desk.place(y)), [desk.source(zero), desk.numbers(columns, "i32")]
    return desk.walk(reals.less_product, y.shape, [target, *sides], target, zero_bias=sides[0].bias)


def _kernel_batched(step: Step, desk: Desk, a: Tensor, b: Tensor, y: Tensor) -> bool:
    batch = y.shape[:-2]
    starts, out = [], desk.row_major(y)
    for t in (a, b, y):
        strides = (out if t is y else desk.place(t)).strides
        grid = [np.arange(n) * (strides[i - len(batch) + len(t.shape) - 2] if _spans(t, i, len(batch)) else 0) for i, n in enumerate(batch)]
        starts.append(sum(np.meshgrid(*grid, indexing="ij"), np.zeros(batch, np.int64)).ravel() if batch else np.zeros(1, np.int64))
    sa, sb = (desk.place(t).strides for t in (a, b))
    depth, column = (sb[-1], sb[-2]) if step.node.attrs["trans_b"] else (sb[-2], sb[-1])
    row, along = (sa[-1], sa[-2]) if step.node.attrs["trans_a"] else (sa[-2], sa[-1])
    sizes = (y.shape[-2], a.shape[-2] if step.node.attrs["trans_a"] else a.shape[-1], y.shape[-1])
    strides = (row, along, depth, column, out.strides[-2])
    done = emit_product(Batch(step, desk.place(a), desk.place(b), out, np.stack(starts, 1), *sizes, *strides), desk)
    desk.reorder(out, desk.place(y))
    return done


def _spans(t: Tensor, axis: int, rank: int) -> bool:
    """Whether a tensor has more than one entry along a batch axis."""
    own = axis - rank + len(t.shape) - 2
    return own >= 0 and t.shape[own] > 1
