"""A float32 network rewritten in a narrower float, or with block-quantized weights that are dequantized on their way in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim import formats
from hwsim.graph import Constant, SourceGraph, SourceNode, SourceTensor
from hwsim.quant import Array

__all__ = ["to_block_weights", "to_real"]

REALS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
KEEPS_FLOAT32 = {("Resize", 2), ("Resize", 1), ("Upsample", 1)}
BLOCK = 32


def to_real(source: SourceGraph, kind: str) -> SourceGraph:
    """Every float32 tensor in fp16 or bf16; what operators demand in float32 (the scales of Resize) stays."""
    fmt = REALS[kind]
    fixed = {t for n in source.nodes for i, t in enumerate(n.inputs) if (n.kind, i) in KEEPS_FLOAT32}
    return replace(
        source, tensors={k: _narrow(t, fmt) if t.format == "float32" and k not in fixed else t for k, t in source.tensors.items()}
    )


def _narrow(t: SourceTensor, fmt: str) -> SourceTensor:
    constant = t.constant
    if constant is None:
        return replace(t, format=fmt)
    return replace(t, format=fmt, constant=Constant(lambda: formats.get(fmt).round(constant.array), t.name))


def to_block_weights(source: SourceGraph, bits: int, real: str) -> SourceGraph:
    """Weights of linear layers and convolutions as signed integers of `bits` bits, with one scale for 32 numbers along the inputs."""
    source = to_real(source, real)
    tensors, nodes = dict(source.tensors), []
    for node in source.nodes:
        weight = tensors.get(node.inputs[1]) if node.kind in ("MatMul", "Gemm", "Conv") else None
        if weight is not None and weight.constant is not None and weight.shape is not None:
            nodes.append(_dequantize_blocks(node, weight, bits, tensors))
            node = replace(node, inputs=(node.inputs[0], f"{weight.name}.real", *node.inputs[2:]))
        nodes.append(node)
    used = {t for n in nodes for t in (*n.inputs, *n.outputs)} | {*source.inputs, *source.outputs}
    return replace(source, nodes=tuple(nodes), tensors={k: t for k, t in tensors.items() if k in used})


def _dequantize_blocks(node: SourceNode, weight: SourceTensor, bits: int, tensors: dict[str, SourceTensor]) -> SourceNode:
    axis = 1 if node.kind == "Conv" or (node.kind == "Gemm" and node.attrs.get("transB")) else 0
    constant, fmt = weight.constant, formats.get(f"int{bits}")
    assert constant is not None and weight.shape is not None
    shape = tuple(int(d) for d in weight.shape)
    blocks = tuple(-(-d // BLOCK) if i == axis else d for i, d in enumerate(shape))

    def scales() -> Array:
        padded = np.pad(np.abs(constant.array), [(0, -shape[i] % BLOCK) if i == axis else (0, 0) for i in range(len(shape))])
        grouped = padded.reshape(*shape[:axis], blocks[axis], BLOCK, *shape[axis + 1 :])
        largest = grouped.max(axis + 1) / fmt.high
        return formats.get(weight.format).round(np.where(largest > 0, largest, 1.0))

    def stored() -> Array:
        spread = np.repeat(scales(), BLOCK, axis).take(range(shape[axis]), axis)
        return fmt.round(constant.array / spread)

    names = f"{weight.name}.stored", f"{weight.name}.scale"
    tensors[names[0]] = SourceTensor(names[0], fmt.name, shape, Constant(stored, names[0]))
    tensors[names[1]] = SourceTensor(names[1], weight.format, blocks, Constant(scales, names[1]))
    return SourceNode(
        "DequantizeLinear", f"{weight.name}.dequantize", names, (f"{weight.name}.real",), {"axis": axis, "block_size": BLOCK}, node.opset
    )
