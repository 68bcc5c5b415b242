"""Bad input: every fault of the user gets one clear line, and nothing is left half-written.

Each case asserts the whole message.  `<tmp>` stands for the test's folder.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwsim
from hwsim import HwsimError, cli
from hwsim.arch import Arch, Memory
from hwsim.io.arch_yaml import presets
from hwsim.io.dataset import load_dataset
from hwsim.io.files import write_whole
from hwsim.mac_array import Unroll
from hwsim.quant import Array
from hwsim.shelf import SHELVES, names
from hwsim.steps import read as reading
from hwsim.topologies import networks

F32, I8, U8, I64 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT64
MICROSOFT = "com.microsoft"
Build = Callable[[], Any]
Dims = Sequence[int | str | None] | None
Arrays = Mapping[str, Array]
Attrs = Mapping[str, Any] | None


def said(call: Callable[[], Any], folder: Path) -> str:
    """The message of the HwsimError that a call raises: one line."""
    with pytest.raises(HwsimError) as caught:
        call()
    message = str(caught.value).replace(str(folder), "<tmp>")
    assert len(message.splitlines()) == 1
    return message


# --- ONNX: small models ---


def f32(*values: float) -> Array:
    return np.array(values, np.float32)


def number(value: float, dtype: str = "float32") -> Array:
    return np.asarray(value, dtype)


def node(op: str, inputs: str, outputs: str = "y", domain: str = "", name: str = "n", **attrs: Any) -> Any:
    """A node; inputs and outputs are words, `-` one that is left out."""
    words = [["" if w == "-" else w for w in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *words, name=name, domain=domain, **attrs)


def net(
    *nodes: Any,
    x: Dims = (1, 4),
    kind: int = F32,
    outputs: str = "y",
    constants: Arrays | None = None,
    opset: int = 21,
    inputs: Sequence[Any] = (),
) -> Any:
    """A model with the input x, further inputs, and constants."""
    first = helper.make_tensor_value_info("x", kind, x)
    values = [helper.make_tensor_value_info(t, F32, None) for t in outputs.split()]
    held = [numpy_helper.from_array(a, k) for k, a in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", [first, *inputs], values, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)], ir_version=10)


def changed(model: Any, change: Callable[[Any], Any]) -> Any:
    change(model)
    return model


def relu(**kwargs: Any) -> Any:
    return net(node("Relu", "x"), **kwargs)


def conv(w: Sequence[int] = (2, 1, 3, 3), b: Sequence[int] | None = None, x: Sequence[int] = (1, 1, 5, 5), **attrs: Any) -> Any:
    constants = {"w": np.zeros(w, np.float32), **({} if b is None else {"b": np.zeros(b, np.float32)})}
    return net(node("Conv", "x w" + (" b" if b else ""), **attrs), x=x, constants=constants)


def quantized(scale: Array, zero: Array | None = None, x: Sequence[int] = (1, 4), **attrs: Any) -> Any:
    """x -> QuantizeLinear."""
    constants = {"s": scale, **({} if zero is None else {"z": zero})}
    return net(node("QuantizeLinear", "x s" + (" z" if zero is not None else ""), **attrs), x=x, constants=constants)


def dequantized(scale: Array, zero: Array | None = None, x: Sequence[int] = (1, 4), kind: int = U8, **attrs: Any) -> Any:
    constants = {"s": scale, **({} if zero is None else {"z": zero})}
    return net(node("DequantizeLinear", "x s" + (" z" if zero is not None else ""), **attrs), x=x, kind=kind, constants=constants)


def qlinear_conv(domain: str = "", **changes: Any) -> Any:
    one = number(1)
    constants = {
        "xs": one,
        "xz": number(0, "uint8"),
        "w": np.zeros((2, 1, 1, 1), np.uint8),
        "ws": one,
        "wz": number(0, "uint8"),
        "ys": one,
        "yz": number(0, "uint8"),
        "b": np.zeros(2, np.int32),
    }
    attrs = {k: changes.pop(k) for k in ("channels_last",) if k in changes}
    only = node("QLinearConv", "x xs xz w ws wz ys yz b", domain=domain, **attrs)
    return net(only, x=(1, 1, 2, 2), kind=U8, constants={**constants, **changes})


def microsoft(op: str, inputs: str, kind: int = U8, x: Sequence[int] = (1, 4), attrs: Attrs = None, **constants: Array) -> Any:
    """An operator of ONNX Runtime's own, with a scale s and a zero point z at hand."""
    held = {"s": number(1), "z": number(0, "uint8"), **constants}
    used = {k: a for k, a in held.items() if k in inputs.split()}
    return net(node(op, inputs, domain=MICROSOFT, **(attrs or {})), x=x, kind=kind, constants=used)


def shaped(op: str, inputs: str, x: Sequence[int] = (1, 4), attrs: Attrs = None, opset: int = 21, **constants: Any) -> Any:
    """A node with constant integer inputs."""
    held = {k: np.asarray(v, np.int64) if not isinstance(v, np.ndarray) else v for k, v in constants.items()}
    return net(node(op, inputs, **(attrs or {})), x=x, constants=held, opset=opset)


def tensor(name: str, dims: Sequence[int], data_type: int = F32, raw: bytes = b"") -> Any:
    return TensorProto(name=name, dims=dims, data_type=data_type, raw_data=raw)


def with_initializer(t: Any) -> Any:
    return changed(net(node("Add", "x c")), lambda m: m.graph.initializer.append(t))


def twice_given_axis() -> Any:
    n = node("Softmax", "x", axis=1)
    n.attribute.append(n.attribute[0])
    return net(n)


def value(name: str, kind: int, shape: Dims) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def branching() -> Any:
    inner = helper.make_graph([node("Identity", "x", "z")], "inner", [], [value("z", F32, None)])
    return net(node("If", "c", then_branch=inner, else_branch=inner), constants={"c": np.asarray(True)})


def pools() -> Any:
    return net(node("MaxPool", "x", kernel_shape=[2, 2], pads=[2, 0, 0, 0]), x=(1, 1, 4, 4))


def sparse() -> Any:
    held = helper.make_sparse_tensor(helper.make_tensor("c", F32, [1], [1.0]), helper.make_tensor("i", I64, [1], [2]), [1, 4])
    return changed(net(node("Add", "x c")), lambda m: m.graph.sparse_initializer.append(held))


MODELS: list[tuple[str, Build, str]] = [
    # the whole model
    ("no_nodes", lambda: net(), "m: must hold a network, not a graph without nodes"),
    (
        "no_opset",
        lambda: changed(relu(), lambda m: m.ClearField("opset_import")),
        "m: must use ONNX opset 7 to 28, not none; convert it with onnx.version_converter",
    ),
    ("old_opset", lambda: relu(opset=6), "m: must use ONNX opset 7 to 28, not 6; convert it with onnx.version_converter"),
    ("new_opset", lambda: relu(opset=99), "m: must use ONNX opset 7 to 28, not 99; convert it with onnx.version_converter"),
    (
        "new_ir",
        lambda: changed(relu(), lambda m: setattr(m, "ir_version", 99)),
        f"m: must be of ONNX IR version {onnx.IR_VERSION} or less, not 99; a newer onnx package may read it",
    ),
    (
        "functions",
        lambda: changed(relu(), lambda m: m.functions.append(onnx.FunctionProto(name="Swirl"))),
        "m: must have no local functions, not 'Swirl'; inline them with onnx.inliner",
    ),
    ("no_output", lambda: changed(relu(), lambda m: m.graph.ClearField("output")), "m: must have an output, not none"),
    ("input_twice", lambda: relu(inputs=[value("x", F32, [2])]), "m: every input must have a name of its own, not 'x' twice"),
    (
        "constant_twice",
        lambda: changed(shaped("Add", "x c", c=f32(1)), lambda m: m.graph.initializer.append(m.graph.initializer[0])),
        "m: every initializer must have a name of its own, not 'c' twice",
    ),
    ("nameless_input", lambda: relu(inputs=[value("", F32, [2])]), "m: every input must have a name of its own, not none"),
    ("input_made_again", lambda: net(node("Relu", "x", "x")), "m: 'x' must be an input or initializer, or made by a node, not both"),
    (
        "made_twice",
        lambda: net(node("Relu", "x", name="a"), node("Abs", "x", name="b")),
        "node 'b' (Abs): must be the only node that makes 'y', not a second one after 'a'",
    ),
    ("nobody_makes", lambda: net(node("Add", "x ghost")), "node 'n' (Add): must read tensors that exist, and nothing makes 'ghost'"),
    ("output_nobody_makes", lambda: net(node("Relu", "x", "z")), "m: must make its output 'y', and no node does"),
    (
        "cycle",
        lambda: net(node("Add", "x b", "a", name="first"), node("Relu", "a", "b", name="second"), node("Abs", "b", name="third")),
        "graph: must have no cycle, not first -> second -> first",
    ),
    (
        "side_output",
        lambda: net(
            node("BatchNormalization", "x s s s s", "a m v", training_mode=0),
            node("Add", "a m", name="sum"),
            x=(1, 1, 2),
            constants={"s": f32(1)},
            opset=15,
        ),
        "node 'sum' (Add): must read what hwsim computes, not the side output 'm'",
    ),
    ("string_input", lambda: relu(kind=TensorProto.STRING), "m: 'x': must have a numeric element type, not string"),
    ("complex_input", lambda: relu(kind=TensorProto.COMPLEX64), "m: 'x': must have a numeric element type, not complex64"),
    (
        "sequence_input",
        lambda: relu(inputs=[helper.make_tensor_sequence_value_info("list", F32, None)]),
        "m: 'list': must be a tensor, not of type sequence",
    ),
    ("no_shape", lambda: relu(x=None), "input 'x': must have a shape; give it: --shape x=1x3x224x224"),
    (
        "open_shape",
        lambda: relu(x=("N", 3, "H", "W")),
        "input 'x': must have a fixed shape, not Nx3xHxW; give it, such as --shape x=1x3x224x224",
    ),
    ("zero_dimension", lambda: relu(x=(1, 0)), "input 'x': must have dimensions of 1 or more, not 1x0"),
    ("negative_dimension", lambda: relu(x=(1, -4)), "input 'x': must have dimensions of 1 or more, not 1x-4"),
    (
        "huge_input",
        lambda: relu(x=(1 << 31, 1 << 31)),
        "input 'x': must have at most 1099511627776 elements, not shape (2147483648, 2147483648)",
    ),
    # constants
    ("sparse_constant", sparse, "m: must have dense initializers, not the sparse 'c'"),
    ("negative_constant", lambda: with_initializer(tensor("c", [-4])), "m: initializer 'c': must have dimensions of 0 or more, not (-4,)"),
    (
        "short_constant",
        lambda: with_initializer(tensor("c", [4], raw=b"\0" * 12)),
        "m: initializer 'c': must hold 16 bytes for shape (4,) of float32, not 12",
    ),
    (
        "huge_constant",
        lambda: with_initializer(tensor("c", [1 << 40, 1 << 40])),
        "m: initializer 'c': must hold 4835703278458516698824704 bytes for shape (1099511627776, 1099511627776) of float32, not 0",
    ),
    (
        "string_constant",
        lambda: with_initializer(tensor("c", [1], TensorProto.STRING)),
        "m: initializer 'c': must have a numeric element type, not string",
    ),
    (
        "constant_redeclared",
        lambda: changed(shaped("Add", "x c", c=f32(1, 2)), lambda m: m.graph.input.append(value("c", F32, [3]))),
        "m: 'c': must be declared as its initializer is, float32 2, not float32 3",
    ),
    (
        "string_value",
        lambda: net(node("Constant", "", "c", value_string="five"), node("Add", "x c")),
        "m: node 'n' (Constant): must hold dense numbers, not a value_string",
    ),
    # operators: their definition
    (
        "unknown_operators",
        lambda: net(
            node("Relu6", "x", "a", name="act"),
            node("Wobble", "a", "b", domain="my.ops", name="w1"),
            node("Wobble", "b", "c", domain="my.ops", name="w2"),
            node("Convv", "c", name="c1"),
        ),
        "m: operators must be ones that hwsim reads, not Relu6 (node 'act'), my.ops.Wobble (node 'w1' and 1 more), Convv (node 'c1'); "
        "'Relu6': did you mean 'Relu'?, 'Convv': did you mean 'Conv'?",
    ),
    ("branch", branching, "m: operators must be ones that hwsim reads, not If (node 'n'); branches and loops must be unrolled first"),
    (
        "operator_too_new",
        lambda: net(node("Gelu", "x"), opset=17),
        "m: node 'n' (Gelu): must be an operator of ONNX opset 17, not one of opset 20",
    ),
    (
        "operator_ended",
        lambda: net(node("Upsample", "x s", mode="nearest"), x=(1, 1, 2, 2), constants={"s": f32(1, 1, 2, 2)}),
        "m: node 'n' (Upsample): must be an operator of ONNX opset 21, not one that ended with opset 9",
    ),
    ("too_few_inputs", lambda: net(node("Add", "x")), "m: node 'n' (Add): must have 2 inputs, not 1"),
    ("too_many_inputs", lambda: net(node("Relu", "x x")), "m: node 'n' (Relu): must have 1 input, not 2"),
    ("input_left_out", lambda: net(node("Add", "- x")), "m: node 'n' (Add): input 0 must be given, not left out"),
    ("no_outputs", lambda: net(node("Relu", "x", "-"), outputs="x"), "m: node 'n' (Relu): must have 1 output, not none"),
    ("too_many_outputs", lambda: net(node("Relu", "x", "y z")), "m: node 'n' (Relu): must have 1 output, not 2"),
    (
        "unknown_attribute",
        lambda: conv(stride=[1, 1]),
        "m: node 'n' (Conv): attributes must be among auto_pad, dilations, group, kernel_shape, pads, strides, not 'stride'; did you mean "
        "'strides'?",
    ),
    ("no_attributes_known", lambda: net(node("Relu", "x", alpha=0.1)), "m: node 'n' (Relu): must have no attributes, not 'alpha'"),
    ("missing_attribute", lambda: net(node("Concat", "x x")), "m: node 'n' (Concat): attribute 'axis' must be given"),
    (
        "attribute_of_another_type",
        lambda: net(node("Softmax", "x", axis=1.0)),
        "m: node 'n' (Softmax): attribute 'axis' must be an int, not a float",
    ),
    ("attribute_twice", twice_given_axis, "m: node 'n' (Softmax): attribute 'axis' must be given once, not 2 times"),
    (
        "attribute_with_an_effect",
        lambda: net(node("Resize", "x - s", mode="linear", exclude_outside=1), x=(1, 1, 2, 2), constants={"s": f32(1, 1, 2, 2)}),
        "node 'n' (Resize): attribute 'exclude_outside' must be 0, not 1",
    ),
    (
        "input_of_another_type",
        lambda: net(node("Relu", "x"), kind=TensorProto.BOOL),
        "m: node 'n' (Relu): input 'x' must be one of float32, int8, int16, int32, int64, float16, float64, bfloat16, not bool",
    ),
    (
        "inputs_of_two_types",
        lambda: net(node("Add", "x c"), constants={"c": np.zeros(4, np.int64)}),
        "m: node 'n' (Add): input 'c' must be float32 like the inputs before it, not int64",
    ),
    (
        "type_after_cast",
        lambda: net(
            node("Cast", "x", "a", name="c", to=I64), node("Conv", "a w"), x=(1, 1, 2, 2), constants={"w": np.zeros((1, 1, 1, 1), np.int64)}
        ),
        "m: node 'n' (Conv): input 'a' must be one of float32, float16, float64, not int64",
    ),
    (
        "cast_to_string",
        lambda: net(node("Cast", "x", to=TensorProto.STRING)),
        "m: node 'n' (Cast): must have a numeric element type, not string",
    ),
    # operators: shapes and values
    (
        "auto_pad",
        lambda: conv(auto_pad="SAME"),
        "node 'n' (Conv): auto_pad must be one of NOTSET, SAME_UPPER, SAME_LOWER, VALID, not 'SAME'",
    ),
    ("negative_pads", lambda: conv(pads=[0, -1, 0, 0]), "node 'n' (Conv): pads must be 4 numbers of 0 or more, not [0, -1, 0, 0]"),
    ("pads_beyond_kernel", pools, "node 'n' (MaxPool): pads must be smaller than the kernel (2, 2), not [2, 0, 0, 0]"),
    ("strides_count", lambda: conv(strides=[1]), "node 'n' (Conv): strides must be 2 numbers of 1 or more, not [1]"),
    (
        "groups",
        lambda: conv(w=(2, 3, 3, 3), group=2),
        "node 'n' (Conv): the weights must match 1 input channel in 2 groups, not shape (2, 3, 3, 3)",
    ),
    ("bias_shape", lambda: conv(b=(3,)), "node 'n' (Conv): the bias 'b' must have shape (2,), not (3,)"),
    ("kernel_too_large", lambda: conv(x=(1, 1, 2, 2)), "node 'n' (Conv): the kernel (3, 3) must fit into the padded input, not (2, 2)"),
    ("kernel_shape", lambda: conv(kernel_shape=[1, 1]), "node 'n' (Conv): kernel_shape must be the weights' (3, 3), not (1, 1)"),
    ("conv_of_matrix", lambda: conv(x=(1, 4)), "node 'n' (Conv): input 'x' must have 3 or more dimensions, not shape (1, 4)"),
    (
        "norm_statistics",
        lambda: net(node("BatchNormalization", "x s s s m"), x=(1, 2, 2), constants={"s": f32(1, 1), "m": f32(1)}),
        "node 'n' (BatchNormalization): the variance 'm' must have shape (2,), not (1,)",
    ),
    (
        "norm_training",
        lambda: net(node("BatchNormalization", "x s s s s", training_mode=1), x=(1, 1, 2), constants={"s": f32(1)}),
        "node 'n' (BatchNormalization): must be in inference mode, not training_mode=1",
    ),
    (
        "matmul_inner",
        lambda: shaped("MatMul", "x w", w=np.zeros((3, 2), np.float32)),
        "node 'n' (MatMul): the inner dimensions of (1, 4) and (3, 2) must be equal, not 4 and 3",
    ),
    (
        "gemm_rank",
        lambda: shaped("Gemm", "x w", x=(1, 1, 4), w=np.zeros((4, 2), np.float32)),
        "node 'n' (Gemm): input 'x' must have 2 dimensions, not shape (1, 1, 4)",
    ),
    (
        "gemm_bias",
        lambda: shaped("Gemm", "x w c", w=np.zeros((4, 2), np.float32), c=f32(1, 2, 3)),
        "node 'n' (Gemm): the shapes must broadcast, not (1, 2) and (3,)",
    ),
    ("broadcast", lambda: shaped("Add", "x c", c=f32(1, 2, 3)), "node 'n' (Add): the inputs must broadcast, not (1, 4) and (3,)"),
    (
        "where_broadcast",
        lambda: net(node("Where", "c x x"), constants={"c": np.zeros(3, bool)}),
        "node 'n' (Where): the shapes must broadcast, not (3,) and (1, 4) and (1, 4)",
    ),
    (
        "concat_sizes",
        lambda: net(node("Concat", "x c", axis=1), constants={"c": np.zeros((2, 4), np.float32)}),
        "node 'n' (Concat): the inputs must agree in all dimensions but 1, not (1, 4) and (2, 4)",
    ),
    ("axis", lambda: net(node("Softmax", "x", axis=2)), "node 'n' (Softmax): axis must lie in the 2 dimensions of the input, not 2"),
    ("axes_twice", lambda: shaped("ReduceSum", "x a", a=[1, -1]), "node 'n' (ReduceSum): axes must be named once each, not [1, 1]"),
    ("perm", lambda: net(node("Transpose", "x", perm=[0, 0])), "node 'n' (Transpose): perm must be an order of 2 axes, not (0, 0)"),
    (
        "reshape",
        lambda: shaped("Reshape", "x s", s=[3, -1]),
        "node 'n' (Reshape): the shape must hold the 4 elements of (1, 4), not (3, 1)",
    ),
    ("squeeze", lambda: shaped("Squeeze", "x a", a=[1]), "node 'n' (Squeeze): only dimensions of 1 can be squeezed, not (1, 4)"),
    (
        "split",
        lambda: net(node("Split", "x s", "y z", axis=1), constants={"s": np.array([1, 2])}),
        "node 'n' (Split): the parts must add up to 4, not [1, 2]",
    ),
    (
        "slice_counts",
        lambda: shaped("Slice", "x a b", a=[0, 0], b=[1]),
        "node 'n' (Slice): starts, ends, axes and steps must be equally many, not 2, 1, 2 and 2",
    ),
    (
        "gather_index",
        lambda: shaped("Gather", "x i", attrs={"axis": 1}, i=[4]),
        "node 'n' (Gather): indices must lie within the 4 entries of axis 1, not 4..4",
    ),
    (
        "pad_mode",
        lambda: shaped("Pad", "x p", attrs={"mode": "mirror"}, p=[0, 1, 0, 1]),
        "node 'n' (Pad): mode must be one of constant, edge, reflect, wrap, not 'mirror'",
    ),
    (
        "reflect_too_far",
        lambda: shaped("Pad", "x p", attrs={"mode": "reflect"}, p=[0, 4, 0, 0]),
        "node 'n' (Pad): reflect padding by 4 must have 5 numbers to repeat, not 4",
    ),
    (
        "lstm_direction",
        lambda: net(
            node("LSTM", "x w r", "y", direction="sideways", hidden_size=1),
            x=(1, 1, 1),
            constants={"w": np.zeros((1, 4, 1), np.float32), "r": np.zeros((1, 4, 1), np.float32)},
        ),
        "node 'n' (LSTM): direction must be one of forward, reverse, bidirectional, not 'sideways'",
    ),
    (
        "resize_scales",
        lambda: net(node("Resize", "x - s"), constants={"s": f32(1, 0)}),
        "node 'n' (Resize): must have 2 positive scales or sizes for a shape (1, 4), not [1.0, 0.0]",
    ),
    (
        "resize_mode",
        lambda: net(node("Resize", "x - s", mode="cubic"), constants={"s": f32(1, 2)}),
        "node 'n' (Resize): mode must be nearest or linear with one of half_pixel, asymmetric, align_corners, pytorch_half_pixel, "
        "half_pixel_symmetric, tf_half_pixel_for_nn, not cubic, half_pixel",
    ),
    (
        "shape_at_run_time",
        lambda: net(node("Reshape", "x s"), inputs=[value("s", I64, [2])]),
        "node 'n' (Reshape): shape must be a constant, not the computed tensor 's'",
    ),
    # memory: refused before it is taken
    (
        "huge_constant_of_shape",
        lambda: net(node("ConstantOfShape", "s", "a", name="c"), node("Add", "x a"), constants={"s": np.array([1 << 30, 64])}),
        "node 'c' (ConstantOfShape): 'a' must have at most 67108864 elements, not shape (1073741824, 64)",
    ),
    (
        "huge_range",
        lambda: net(
            node("Range", "a b c", "r", name="r"),
            node("Cast", "r", to=F32),
            constants={"a": number(0, "int64"), "b": number(1 << 50, "int64"), "c": number(1, "int64")},
        ),
        "node 'r' (Range): 'r' must have at most 67108864 elements, not shape (1125899906842624,)",
    ),
    (
        "endless_range",
        lambda: net(
            node("Range", "a b c", "r", name="r"),
            node("Cast", "r", to=F32),
            constants={"a": number(0, "int64"), "b": number(9, "int64"), "c": number(0, "int64")},
        ),
        "node 'r' (Range): must go in finite steps other than 0, not from 0 to 9 by 0",
    ),
    (
        "huge_tile",
        lambda: shaped("Tile", "x r", r=[1 << 30, 1 << 30]),
        "node 'n' (Tile): 'y' must have at most 1099511627776 elements, not shape (1073741824, 4294967296)",
    ),
    (
        "huge_expand",
        lambda: shaped("Expand", "x s", s=[1 << 50, 4]),
        "node 'n' (Expand): 'y' must have at most 1099511627776 elements, not shape (1125899906842624, 4)",
    ),
    (
        "negative_expand",
        lambda: shaped("Expand", "x s", s=[-1, 4]),
        "node 'n' (Expand): must be given dimensions of 0 or more, not (-1, 4)",
    ),
    (
        "huge_resize",
        lambda: net(node("Resize", "x - - s"), constants={"s": np.array([1 << 30, 1 << 30])}),
        "node 'n' (Resize): 'y' must have at most 1099511627776 elements, not shape (1073741824, 1073741824)",
    ),
    # quantizers
    ("nan_scale", lambda: quantized(number(np.nan)), "node 'n' (QuantizeLinear): the scale of 'x' must be finite, not nan"),
    ("infinite_scale", lambda: quantized(number(np.inf)), "node 'n' (QuantizeLinear): the scale of 'x' must be finite, not inf"),
    ("zero_scale", lambda: quantized(number(0)), "node 'n' (QuantizeLinear): the scale of 'x' must be positive, not 0.0"),
    (
        "zero_half_scale",
        lambda: dequantized(np.zeros((), np.float16), number(0, "uint8")),
        "node 'n' (DequantizeLinear): the scale of 'x' must be positive, not 0.0",
    ),
    (
        "negative_scale",
        lambda: dequantized(f32(1, 1, -1, 1), np.zeros(4, np.uint8)),
        "node 'n' (DequantizeLinear): the scale of 'x' must be positive, not -1.0",
    ),
    (
        "scale_shape",
        lambda: quantized(f32(1, 2, 3), np.zeros(3, np.uint8)),
        "node 'n' (QuantizeLinear): the scale of 'x' must have shape (4,), not (3,)",
    ),
    (
        "scale_axis",
        lambda: quantized(f32(1, 2, 3, 4), axis=2),
        "node 'n' (QuantizeLinear): the quantization axis must lie in the 2 dimensions of 'x', not 2",
    ),
    (
        "block_scale_shape",
        lambda: dequantized(np.ones((1, 3), np.float32), x=(1, 4), axis=1, block_size=2),
        "node 'n' (DequantizeLinear): the scale of 'x' must have shape (1, 2), not (1, 3)",
    ),
    (
        "integer_scale",
        lambda: quantized(number(1, "int32")),
        "m: node 'n' (QuantizeLinear): input 's' must be float32 like the inputs before it, not int32",
    ),
    (
        "string_quantized",
        lambda: net(node("QuantizeLinear", "x s"), kind=TensorProto.STRING, constants={"s": number(1)}),
        "m: 'x': must have a numeric element type, not string",
    ),
    (
        "zero_point_type",
        lambda: dequantized(number(1), number(0, "int8")),
        "m: node 'n' (DequantizeLinear): input 'z' must be uint8 like the inputs before it, not int8",
    ),
    (
        "zero_point_shape",
        lambda: quantized(f32(1, 2, 3, 4), np.zeros(3, np.uint8)),
        "node 'n' (QuantizeLinear): the zero point of 'x' must have the scale's shape (4,), not (3,)",
    ),
    (
        "output_type",
        lambda: quantized(number(1), number(0, "uint8"), output_dtype=I8),
        "node 'n' (QuantizeLinear): output_dtype must be uint8 like the zero point, not int8",
    ),
    (
        "real_tensor_dequantized",
        lambda: dequantized(number(1), kind=F32),
        "m: node 'n' (DequantizeLinear): input 'x' must be one of uint8, int8, uint16, int16, int32, float8e4m3fn, float8e4m3fnuz, "
        "float8e5m2, float8e5m2fnuz, uint4, int4, not float32",
    ),
    (
        "qlinear_scale_shape",
        lambda: qlinear_conv(xs=f32(1, 2)),
        "node 'n' (QLinearConv): the scale of 'x' must be one number, not shape (2,)",
    ),
    (
        "qlinear_weight_scales",
        lambda: qlinear_conv(ws=f32(1, 2, 3), wz=np.zeros(3, np.uint8)),
        "node 'n' (QLinearConv): the scale of 'w' must have shape (2,), not (3,)",
    ),
    ("qlinear_bias_type", lambda: qlinear_conv(b=f32(1, 2)), "m: node 'n' (QLinearConv): input 'b' must be int32, not float32"),
    (
        "qlinear_bias_shape",
        lambda: qlinear_conv(b=np.zeros(3, np.int32)),
        "node 'n' (QLinearConv): the bias 'b' must have 2 numbers, one per channel, not shape (3,)",
    ),
    (
        "qlinear_weights_real",
        lambda: qlinear_conv(w=np.zeros((2, 1, 1, 1), np.float32)),
        "m: node 'n' (QLinearConv): input 'w' must be one of uint8, int8, not float32",
    ),
    (
        "qlinear_channels_last",
        lambda: qlinear_conv(MICROSOFT, channels_last=1),
        "node 'n' (com.microsoft.QLinearConv): attribute 'channels_last' must be 0, not 1",
    ),
    (
        "scale_at_run_time",
        lambda: net(
            node("QLinearMatMul", "x t z w s z s z"),
            kind=U8,
            inputs=[value("t", F32, [])],
            constants={"s": number(1), "z": number(0, "uint8"), "w": np.zeros((4, 2), np.uint8)},
        ),
        "node 'n' (QLinearMatMul): the scale must be a constant, not the computed tensor 't'",
    ),
    # ONNX Runtime's own operators
    (
        "microsoft_too_few",
        lambda: microsoft("QLinearAdd", "x s z x s z"),
        "m: node 'n' (com.microsoft.QLinearAdd): must have 7 to 8 inputs, not 6",
    ),
    (
        "microsoft_left_out",
        lambda: microsoft("QLinearAdd", "x s z - s z s z"),
        "m: node 'n' (com.microsoft.QLinearAdd): input 3 must be given, not left out",
    ),
    (
        "microsoft_attribute",
        lambda: microsoft("QLinearLeakyRelu", "x s z s z", attrs={"slope": 0.1}),
        "m: node 'n' (com.microsoft.QLinearLeakyRelu): attributes must be among alpha, not 'slope'",
    ),
    (
        "microsoft_attribute_type",
        lambda: microsoft("QLinearLeakyRelu", "x s z s z", attrs={"alpha": 1}),
        "m: node 'n' (com.microsoft.QLinearLeakyRelu): attribute 'alpha' must be a float, not an int",
    ),
    (
        "microsoft_missing_attribute",
        lambda: microsoft("QLinearConcat", "s z x s z"),
        "m: node 'n' (com.microsoft.QLinearConcat): attribute 'axis' must be given",
    ),
    (
        "microsoft_real_tensor",
        lambda: microsoft("QLinearSigmoid", "x s z s z", kind=F32),
        "node 'n' (com.microsoft.QLinearSigmoid): 'x' must be of an integer or 8-bit float type, not float32",
    ),
    (
        "microsoft_concat_count",
        lambda: microsoft("QLinearConcat", "s z x s z x", attrs={"axis": 1}),
        "node 'n' (com.microsoft.QLinearConcat): must have 2 inputs and 3 for each tensor, not 6",
    ),
    (
        "packed_weights",
        lambda: microsoft(
            "MatMulNBits",
            "x w t",
            kind=F32,
            x=(1, 32),
            attrs={"K": 32, "N": 2, "bits": 4, "block_size": 32},
            w=np.zeros((2, 1, 15), np.uint8),
            t=f32(1, 1),
        ),
        "node 'n' (com.microsoft.MatMulNBits): 'w' must have 32 uint8 numbers, not 30 of uint8",
    ),
    (
        "packed_bits",
        lambda: microsoft(
            "MatMulNBits",
            "x w t",
            kind=F32,
            x=(1, 32),
            attrs={"K": 32, "N": 2, "bits": 3, "block_size": 32},
            w=np.zeros((2, 1, 12), np.uint8),
            t=f32(1, 1),
        ),
        "node 'n' (com.microsoft.MatMulNBits): N and K must be 1 or more, bits 2, 4 or 8, and block_size a power of two from 16 on, not 2, "
        "32, 3 and 32",
    ),
]


@pytest.mark.parametrize(("build", "message"), [c[1:] for c in MODELS], ids=[c[0] for c in MODELS])
def test_model(build: Build, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(build().SerializeToString())
    assert said(lambda: hwsim.load_model(tmp_path / "m.onnx"), tmp_path) == message


FILES: list[tuple[str, bytes | None, str]] = [
    ("missing", None, "<tmp>/m.onnx: must be a file that can be read, not a missing one"),
    ("empty", b"", "<tmp>/m.onnx: must be an ONNX file, not an empty file"),
    (
        "text",
        b"version https://git-lfs.github.com/spec/v1\n",
        "<tmp>/m.onnx: must be an ONNX file, not a file of another kind, or a truncated one",
    ),
    ("truncated", conv().SerializeToString()[:-40], "<tmp>/m.onnx: must be an ONNX file, not a file of another kind, or a truncated one"),
    (
        "names",
        net(node("Relu", "x", name="abcdef")).SerializeToString().replace(b"abcdef", b"ab\xffdef"),
        "m: must have names in UTF-8, not b'ab\\xffdef'",
    ),
]


@pytest.mark.parametrize(("data", "message"), [c[1:] for c in FILES], ids=[c[0] for c in FILES])
def test_file(data: bytes | None, message: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "m.onnx").write_bytes(data)
    assert said(lambda: hwsim.load_model(tmp_path / "m.onnx"), tmp_path) == message


def test_folder_for_a_model(tmp_path: Path) -> None:
    assert said(lambda: hwsim.load_model(tmp_path), tmp_path) == "<tmp>: must be a file that can be read, not a folder"


def test_model_beyond_the_format(tmp_path: Path) -> None:
    """A file of holes: it would take memory if it were read."""
    with (tmp_path / "m.onnx").open("wb") as f:
        f.truncate(3 << 30)
    assert said(lambda: hwsim.load_model(tmp_path / "m.onnx"), tmp_path) == "<tmp>/m.onnx: must be a file of at most 2 GiB, not 3 GiB"


def external(**info: str) -> Any:
    """x + c, with the four numbers of c in another file."""
    t = TensorProto(name="c", dims=[4], data_type=F32, data_location=TensorProto.EXTERNAL)
    for key, text in info.items():
        t.external_data.add(key=key, value=text)
    return with_initializer(t)


EXTERNAL: list[tuple[str, dict[str, str], str]] = [
    ("missing", {"location": "no.bin"}, "m: initializer 'c': external data must be a file in the model's folder, not 'no.bin'"),
    ("nowhere", {}, "m: initializer 'c': external data must be a file in the model's folder, not ''"),
    ("above", {"location": "../secret.bin"}, "m: initializer 'c': external data must lie in the model's folder, not '../secret.bin'"),
    ("absolute", {"location": "/etc/hostname"}, "m: initializer 'c': external data must lie in the model's folder, not '/etc/hostname'"),
    ("link", {"location": "link.bin"}, "m: initializer 'c': external data must lie in the model's folder, not 'link.bin'"),
    ("folder", {"location": "sub"}, "m: initializer 'c': external data must be a file in the model's folder, not 'sub'"),
    ("null", {"location": "a\0b"}, "m: initializer 'c': external data must be a file in the model's folder, not 'a\\x00b'"),
    ("short", {"location": "c.bin", "offset": "4"}, "m: initializer 'c': external data 'c.bin' must hold 16 bytes at offset 4, not 12"),
    ("length", {"location": "c.bin", "length": "12"}, "m: initializer 'c': external data must have a length of 16 bytes, not 12"),
    (
        "offset",
        {"location": "c.bin", "offset": "-4"},
        "m: initializer 'c': the offset of external data must be a number of bytes, not '-4'",
    ),
]


@pytest.mark.parametrize(("info", "message"), [c[1:] for c in EXTERNAL], ids=[c[0] for c in EXTERNAL])
def test_external_data(info: dict[str, str], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    (folder / "c.bin").write_bytes(b"\0" * 16)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "m.onnx").write_bytes(external(**info).SerializeToString())
    assert said(lambda: hwsim.load_model(folder / "m.onnx"), tmp_path) == message


def test_external_data_in_place(tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes(b"\0" * 8 + f32(1, 2, 3, 4).tobytes())
    (tmp_path / "m.onnx").write_bytes(external(location="c.bin", offset="8", length="16").SerializeToString())
    assert hwsim.execute(hwsim.load_model(tmp_path / "m.onnx"), {"x": f32(1, 1, 1, 1)[None]})["y"].tolist() == [[2, 3, 4, 5]]


def test_half_scale_works(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(dequantized(np.asarray(0.5, np.float16), number(1, "uint8")).SerializeToString())
    assert hwsim.execute(hwsim.load_model(tmp_path / "m.onnx"), {"x": np.full((1, 4), 5, np.uint8)})["y"].tolist() == [[2, 2, 2, 2]]


def two_inputs() -> Any:
    return net(node("Add", "x z"), x=("N", 3), inputs=[value("z", F32, ["N", 3])])


GIVEN: list[tuple[str, dict[str, Any], str]] = [
    ("unknown_shape", {"shapes": {"w": (1, 3)}}, "shapes: must name an input (x, z), not 'w'"),
    ("other_shape", {"shapes": {"x": (1, 4)}}, "input 'x': must have shape Nx3, not 1x4"),
    ("symbol_of_two_sizes", {"shapes": {"x": (1, 3), "z": (2, 3)}}, "input 'z': must have shape 1x3, not 2x3"),
    ("unknown_constant", {"constants": {"zz": f32(1)}}, "constants: must name an input (x, z), not 'zz'; did you mean 'z'?"),
    ("constant_shape", {"constants": {"z": f32(1, 2)[None]}}, "input 'z': must have shape Nx3, not 1x2"),
    ("reading", {"qdq": "integers"}, "qdq: must be integer or literal, not 'integers'; did you mean 'integer'?"),
]


@pytest.mark.parametrize(("given", "message"), [c[1:] for c in GIVEN], ids=[c[0] for c in GIVEN])
def test_arguments_of_load_model(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(two_inputs().SerializeToString())
    assert said(lambda: hwsim.load_model(tmp_path / "m.onnx", **given), tmp_path) == message


FEEDS: list[tuple[str, dict[str, Array], str]] = [
    ("missing", {"x": np.zeros((1, 3), np.float32)}, "inputs: must give 'z', not x"),
    ("unknown", {"x": np.zeros((1, 3)), "q": np.zeros(1)}, "inputs: must be among x, z, not 'q'"),
    ("shape", {"x": np.zeros((1, 3)), "z": np.zeros((1, 4))}, "input 'z': must have shape (1, 3), not (1, 4)"),
]


@pytest.mark.parametrize(("feeds", "message"), [c[1:] for c in FEEDS], ids=[c[0] for c in FEEDS])
def test_feeds(feeds: dict[str, Array], message: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(two_inputs().SerializeToString())
    model = hwsim.load_model(tmp_path / "m.onnx")
    assert said(lambda: hwsim.execute(model, feeds), tmp_path) == message


def test_memory_of_an_execution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that can be priced, but not executed here."""
    (tmp_path / "m.onnx").write_bytes(relu(x=("N", 1 << 20, 1 << 18)).SerializeToString())
    model = hwsim.load_model(tmp_path / "m.onnx")
    assert hwsim.estimate(hwsim.load_arch("snpe_dsp"), model).latency_s > 0
    monkeypatch.setattr(reading, "machine_bytes", lambda: 16 << 30)
    feeds = {"x": np.broadcast_to(np.float32(0), (2, 1 << 20, 1 << 18))}
    assert said(lambda: hwsim.execute(model, feeds), tmp_path) == (
        "m: must fit into this machine's 16 GiB of memory to be executed, not 4 TiB; run a smaller batch or input"
    )


# --- YAML ---

CHIP = """\
name: toy
title: A toy
clock:
  frequency: 1.0 GHz
  source: here
process: {node: 7 nm, voltage: 0.75 V, source: here}
arrays:
  mac:
    unroll: [{K: 8, C: 8}]
    dataflow: output_stationary
    rates: {w8a8: 1, fp32: 0.25}
    runs: [conv, matmul]
    fuses: [relu]
    accumulator: {bits: 32, overflow: wrap}
    source: here
vector:
  alu:
    rates: {default: 16 /cycle, copy: 32 /cycle}
    source: here
memories:
  sram:
    size: 1 MiB
    read: 64 B/cycle
    write: 64 B/cycle
    latency: 6 cycles
    source: here
  dram:
    read: 10 GB/s
    write: 10 GB/s
    on_chip: false
    kind: lpddr4
    source: here
dma: {channels: 2, setup: 50 cycles, source: here}
overheads: {per_inference: 1 us, per_layer: 1 us, source: here}
arithmetic: {default: gemmlowp, ops: {softmax: gemmlowp}, source: here}
quantization:
  weights: {formats: [int8]}
  activations: {formats: [int8]}
  graph: 3
  same_scale: [concat]
  source: here
energy: {table: jouppi_7nm, leakage: 5 mW, source: here}
"""
ARITHMETICS = ", ".join(names("arithmetics"))

CHIPS: list[tuple[str, str, str, str]] = [
    (
        "unknown_key",
        "frequency: 1.0",
        "freqency: 1.0",
        "<tmp>/c.yaml:4:3 clock.freqency: must be one of source, assumed, frequency, not 'freqency'; did you mean 'frequency'?",
    ),
    (
        "unknown_block",
        "overheads:",
        "overhead:",
        f"<tmp>/c.yaml:34:1 overhead: must be one of {', '.join(Arch.model_fields)}, not 'overhead'; did you mean 'overheads'?",
    ),
    ("duplicate_key", "name: toy", "name: toy\nname: toy", "<tmp>/c.yaml:2:1: the key 'name' must stand once, not again after line 1"),
    ("duplicate_key_in_a_line", "{K: 8, C: 8}", "{K: 8, K: 8}", "<tmp>/c.yaml:9:21: the key 'K' must stand once, not again after line 9"),
    ("missing_block", "dma: {channels: 2, setup: 50 cycles, source: here}\n", "", "<tmp>/c.yaml:1:1 dma: must be given"),
    ("missing_field", "frequency: 1.0 GHz\n  ", "", "<tmp>/c.yaml:3:1 clock.frequency: must be given"),
    (
        "no_source",
        "  source: here\nprocess",
        "process",
        "<tmp>/c.yaml:3:1 clock: must say where its numbers come from, with `source:` or `assumed:`",
    ),
    (
        "wrong_unit",
        "1.0 GHz",
        "1.0 GB",
        "<tmp>/c.yaml:4:3 clock.frequency: must be a frequency such as 1.2 GHz, not '1.0 GB'; 'GB' is not a unit of frequency",
    ),
    (
        "unit_in_capitals",
        "1.0 GHz",
        "1.0 GHZ",
        "<tmp>/c.yaml:4:3 clock.frequency: must be a frequency such as 1.2 GHz, not '1.0 GHZ'; 'GHZ' is not a unit of frequency, did you "
        "mean 'GHz'?",
    ),
    (
        "bare_number",
        "size: 1 MiB",
        "size: 1048576",
        "<tmp>/c.yaml:22:5 memories.sram.size: must be a size such as 512 KiB, not 1048576; give the number with its unit",
    ),
    (
        "bare_rate",
        "copy: 32 /cycle",
        "copy: 32",
        "<tmp>/c.yaml:18:33 vector.alu.rates.copy: must be a rate such as 128 /cycle, not 32; give the number with its unit",
    ),
    (
        "bandwidth_without_time",
        "read: 64 B/cycle",
        "read: 64 B",
        "<tmp>/c.yaml:23:5 memories.sram.read: must be a bandwidth such as 64 B/cycle or 34.1 GB/s, not '64 B'",
    ),
    (
        "duration_unit",
        "latency: 6 cycles",
        "latency: 6 clocks",
        "<tmp>/c.yaml:25:5 memories.sram.latency: must be a duration such as 20 us or 300 cycles, not '6 clocks'; 'clocks' is not a unit "
        "of time",
    ),
    (
        "negative_size",
        "size: 1 MiB",
        "size: -1 MiB",
        "<tmp>/c.yaml:22:5 memories.sram.size: must be a size such as 512 KiB and not negative, not '-1 MiB'",
    ),
    ("zero_size", "size: 1 MiB", "size: 0 KiB", "<tmp>/c.yaml:22:5 memories.sram.size: must be more than 0, not '0 KiB'"),
    ("zero_frequency", "1.0 GHz", "0 GHz", "<tmp>/c.yaml:4:3 clock.frequency: must be more than 0, not '0 GHz'"),
    (
        "absurd_number",
        "1 MiB",
        "1e99 MiB",
        "<tmp>/c.yaml:22:5 memories.sram.size: must be a size such as 512 KiB and at most 1e+30 of its unit, not '1e99 MiB'",
    ),
    ("negative_count", "channels: 2", "channels: -2", "<tmp>/c.yaml:33:7 dma.channels: must be greater than or equal to 1, not -2"),
    ("count_as_text", "channels: 2", "channels: '2'", "<tmp>/c.yaml:33:7 dma.channels: must be a whole number, not '2'"),
    ("count_as_fraction", "channels: 2", "channels: 2.5", "<tmp>/c.yaml:33:7 dma.channels: must be a whole number, not 2.5"),
    ("truth_in_yaml_1", "on_chip: false", "on_chip: no", "<tmp>/c.yaml:30:5 memories.dram.on_chip: must be true or false, not 'no'"),
    ("number_for_text", "title: A toy", "title: 5", "<tmp>/c.yaml:2:1 title: must be text, not 5"),
    ("name", "name: toy", "name: Toy Chip", "<tmp>/c.yaml:1:1 name: must be lower-case letters, digits and underscores, not 'Toy Chip'"),
    (
        "enumeration",
        "output_stationary",
        "output-stationary",
        "<tmp>/c.yaml:10:5 arrays.mac.dataflow: must be 'weight_stationary', 'output_stationary', 'input_stationary', 'row_stationary' or "
        "'none', not 'output-stationary'; did you mean 'output_stationary'?",
    ),
    (
        "operator_of_an_array",
        "[conv, matmul]",
        "[convolution, matmul]",
        "<tmp>/c.yaml:12:12 arrays.mac.runs.0: must be 'conv', 'depthwise', 'conv_transpose', 'matmul', 'lstm', "
        "'max_pool', 'average_pool', 'add' or 'softmax', not 'convolution'",
    ),
    (
        "loop",
        "{K: 8, C: 8}",
        "{Q: 8}",
        f"<tmp>/c.yaml:9:15 arrays.mac.unroll.0.Q: must be one of {', '.join(Unroll.model_fields)}, not 'Q'",
    ),
    ("unroll_of_nothing", "{K: 8, C: 8}", "{K: 0}", "<tmp>/c.yaml:9:15 arrays.mac.unroll.0.K: must be greater than or equal to 1, not 0"),
    (
        "precision",
        "w8a8: 1",
        "w8b8: 1",
        "<tmp>/c.yaml:11:13 arrays.mac.rates.w8b8: must be a precision such as w8a8, w4fp16, fp16, bf16 or fp32 with widths of 1 to 32 "
        "bits, not 'w8b8'",
    ),
    ("nan_rate", "w8a8: 1", "w8a8: .nan", "<tmp>/c.yaml:11:13 arrays.mac.rates.w8a8: must be a finite number, not nan"),
    ("zero_rate", "w8a8: 1", "w8a8: 0", "<tmp>/c.yaml:11:13 arrays.mac.rates.w8a8: must be more than 0, not 0"),
    ("no_default_rate", "default: 16 /cycle, ", "", "<tmp>/c.yaml:17:3 vector.alu: rates must give a `default`"),
    (
        "tile_without_every",
        "overflow: wrap",
        "tile: 4",
        "<tmp>/c.yaml:14:5 arrays.mac.accumulator: `tile` must come with `every: tile`, not with `every: mac`",
    ),
    (
        "two_ways_to_narrow",
        "fuses: [relu]",
        "serial: {weights: 1, activations: 1}\n    compose: {}",
        "<tmp>/c.yaml:8:3 arrays.mac: must be `serial` or `compose`, not both",
    ),
    (
        "fused_operator",
        "fuses: [relu]",
        "fuses: [rellu]",
        "<tmp>/c.yaml:13:5 arrays.mac.fuses: must be an operator such as add or relu, or bias, not 'rellu'; did you mean 'relu'?",
    ),
    (
        "vector_work",
        "copy: 32",
        "coppy: 32",
        "<tmp>/c.yaml:18:33 vector.alu.rates.coppy: must be `default` or elementary work such as add or requantize, not 'coppy'; did you "
        "mean 'copy'?",
    ),
    (
        "arithmetic",
        "default: gemmlowp",
        "default: gemlowp",
        f"<tmp>/c.yaml:35:14 arithmetic.default: must be one of {ARITHMETICS}, not 'gemlowp'; did you mean 'gemmlowp'?",
    ),
    (
        "arithmetic_of_an_operator",
        "softmax: gemmlowp",
        "sofmax: gemmlowp",
        "<tmp>/c.yaml:35:39 arithmetic.ops.sofmax: must be an operator such as conv, add or softmax, not 'sofmax'; did you mean 'softmax'?",
    ),
    (
        "format",
        "formats: [int8]",
        "formats: [in8]",
        "<tmp>/c.yaml:37:13 quantization.weights.formats: must be an integer format such as int8 or uint4, not 'in8'; did you mean 'int8'?",
    ),
    (
        "same_scale",
        "[concat]",
        "[concatenate]",
        "<tmp>/c.yaml:40:3 quantization.same_scale: must be an operator such as concat or max_pool, not 'concatenate'; did you mean "
        "'concat'?",
    ),
    (
        "cost_table",
        "jouppi_7nm",
        "jouppi_5nm",
        "<tmp>/c.yaml:42:10 energy.table: must be one of horowitz_45nm, jouppi_7nm, not 'jouppi_5nm'; did you mean 'jouppi_7nm'?",
    ),
    (
        "memory_kind",
        "kind: lpddr4",
        "kind: lpddr44",
        "<tmp>/c.yaml:31:5 memories.dram.kind: must be one of lpddr3, lpddr4, lpddr4x, lpddr5, ddr3, ddr4, gddr6, hbm2, flash, "
        "octospi_flash, not 'lpddr44'; did you mean 'lpddr4'?",
    ),
    (
        "unpriced_memory",
        "    kind: lpddr4\n",
        "",
        "<tmp>/c.yaml:27:3 memories.dram: must have a `size`, a `kind` or both `read_energy` and `write_energy`, to be priced",
    ),
    (
        "two_vector_units",
        "vector:\n",
        "vector:\n  second: {rates: {default: 1 /cycle}, source: here}\n",
        "<tmp>/c.yaml:1:1: vector must be one unit, not 2 (second, alu); give one the rates of all",
    ),
    (
        "name_twice",
        "  alu:",
        "  mac:",
        "<tmp>/c.yaml:1:1: arrays, vector units, memories and buses must each have a name of their own, not 'mac' twice",
    ),
    ("block_for_a_list", "[{K: 8, C: 8}]", "{K: 8}", "<tmp>/c.yaml:9:5 arrays.mac.unroll: must be a list, not a block of fields"),
    ("number_for_a_block", "{K: 8, C: 8}", "8", "<tmp>/c.yaml:9:14 arrays.mac.unroll.0: must be a block of fields, not 8"),
    (
        "forgotten_value",
        "size: 1 MiB",
        "size:",
        "<tmp>/c.yaml:22:5: 'size' must have a value, not nothing; leave the key out for its default",
    ),
    (
        "null",
        "1.0 GHz",
        "null",
        "<tmp>/c.yaml:4:3 clock.frequency: must be a frequency such as 1.2 GHz, not null; give the number with its unit",
    ),
    (
        "two_faults",
        "channels: 2, setup: 50 cycles",
        "channels: 0, setup: 50",
        "<tmp>/c.yaml:33:7 dma.channels: must be greater than or equal to 1, not 0 | <tmp>/c.yaml:33:20 dma.setup: must be a duration such "
        "as 20 us or 300 cycles, not 50; give the number with its unit",
    ),
    ("tab", "  frequency", "\tfrequency", "<tmp>/c.yaml:4:1: must be plain YAML; found character '\\t' that cannot start any token"),
    ("syntax", "[conv, matmul]", "[conv, matmul", "<tmp>/c.yaml:13:10: must be plain YAML; expected ',' or ']', but got ':'"),
    ("anchor", "source: here", "source: &where here", "<tmp>/c.yaml:5:11: must be plain YAML, not the anchor '&where'; leave it out"),
    ("tag", "channels: 2", "channels: !!int '2'", "<tmp>/c.yaml:33:17: must be plain YAML, not the tag '!!int'; leave it out"),
    ("merge", "name: toy", "<<: {name: toy}", "<tmp>/c.yaml:1:1: must be plain YAML, not the merge key '<<'; write the fields out"),
    ("key_that_is_a_number", "title: A toy", "5: A toy", "<tmp>/c.yaml:2:1: a key must be a word, not 5"),
    ("key_that_is_a_list", "title: A toy", "[a]: A toy", "<tmp>/c.yaml:2:1: a key must be a word, not a list or block"),
]


@pytest.mark.parametrize(("old", "new", "message"), [c[1:] for c in CHIPS], ids=[c[0] for c in CHIPS])
def test_chip(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in CHIP
    (tmp_path / "c.yaml").write_text(CHIP.replace(old, new, 1))
    assert said(lambda: hwsim.load_arch(tmp_path / "c.yaml"), tmp_path) == message


def test_the_toy_chip_is_good(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CHIP)
    assert hwsim.load_arch(tmp_path / "c.yaml").name == "toy"


TEXTS: list[tuple[str, bytes | None, str]] = [
    ("missing", None, "<tmp>/c.yaml: must be a file that can be read, not a missing one"),
    ("empty", b"", "<tmp>/c.yaml: must hold a mapping of fields, not an empty file"),
    ("comment", b"# to do\n", "<tmp>/c.yaml: must hold a mapping of fields, not an empty file"),
    ("list", b"- a\n- b\n", "<tmp>/c.yaml: must hold a mapping of fields, not a list"),
    ("word", b"chip\n", "<tmp>/c.yaml: must hold a mapping of fields, not 'chip'"),
    (
        "two_documents",
        b"a: 1\n---\nb: 2\n",
        "<tmp>/c.yaml:2:1: must be plain YAML; expected a single document in the stream, but found another document",
    ),
    ("recursive_alias", b"a: &x {b: *x}\n", "<tmp>/c.yaml:1:4: must be plain YAML, not the anchor '&x'; leave it out"),
    ("unknown_alias", b"a: *x\n", "<tmp>/c.yaml:1:4: must be plain YAML, not the alias '*x'; write it out"),
    ("nested", b"a: " + b"[" * 20000, "<tmp>/c.yaml: must be nested less deeply"),
    ("long_number", b"a: " + b"1" * 5000, "<tmp>/c.yaml: must be plain YAML, not a number of thousands of digits"),
    ("huge", b"a: b\n" * 300_000, "<tmp>/c.yaml: must be a file of at most 1 MiB, not 1.431 MiB"),
    ("binary", b"\x00\x01\x02", "<tmp>/c.yaml: must be plain YAML; unacceptable character #x0000: special characters are not allowed"),
    ("latin_1", "title: Caf\u00e9".encode("latin-1"), "<tmp>/c.yaml: must be UTF-8 text, not the byte 0xe9 at 10"),
]


@pytest.mark.parametrize(("data", "message"), [c[1:] for c in TEXTS], ids=[c[0] for c in TEXTS])
def test_text_for_a_chip(data: bytes | None, message: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "c.yaml").write_bytes(data)
    assert said(lambda: hwsim.load_arch(tmp_path / "c.yaml"), tmp_path) == message


def test_folder_for_a_chip(tmp_path: Path) -> None:
    assert said(lambda: hwsim.load_arch(tmp_path), tmp_path) == "<tmp>: must be a file that can be read, not a folder"


def test_preset_with_a_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(lambda: hwsim.load_arch("snpe_dsp.yaml"), tmp_path) == (
        "snpe_dsp.yaml: must be a file that can be read, not a missing one; did you mean the preset 'snpe_dsp'?"
    )


OVERRIDES: list[tuple[str, str, str, str]] = [
    ("unit", "clock.frequency", "5", "--set clock.frequency=5: must be a frequency such as 1.2 GHz, not 5; give the number with its unit"),
    (
        "field",
        "clock.freq",
        "5 GHz",
        "--set clock.freq=5 GHz: must be one of source, assumed, frequency, not 'freq'; did you mean 'frequency'?",
    ),
    ("block", "clok.frequency", "5 GHz", "--set clok.frequency=5 GHz: 'clok' must exist in the chip; did you mean 'clock'?"),
    (
        "below_a_value",
        "memories.sram.size.x",
        "1",
        "--set memories.sram.size.x=1: 'memories.sram.size' must be a block of fields, not '1 MiB'",
    ),
    ("syntax", "memories.sram.size", "[1", "--set memories.sram.size=[1: must be plain YAML; expected ',' or ']', but got '<stream end>'"),
    (
        "nothing",
        "memories.sram.size",
        "",
        "--set memories.sram.size=: must have a value, not nothing; write memories.sram.size=null for no value",
    ),
    ("block_as_number", "clock", "5", "--set clock=5: must be a block of fields, not 5"),
    ("alias", "title", "*x", "--set title=*x: must be plain YAML, not the alias '*x'; write it out"),
]


@pytest.mark.parametrize(("field", "text", "message"), [c[1:] for c in OVERRIDES], ids=[c[0] for c in OVERRIDES])
def test_override(field: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CHIP)
    assert said(lambda: hwsim.load_arch(tmp_path / "c.yaml", {field: text}), tmp_path) == message


def test_chip_that_holds_no_weights(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CHIP)
    held = {"memories.sram.holds": "[inputs, outputs]", "memories.dram.holds": "[inputs]"}
    assert said(lambda: hwsim.load_arch(tmp_path / "c.yaml", held), tmp_path) == "<tmp>/c.yaml:1:1: one of the memories must hold weights"


# --- data files ---


def npz(**arrays: Any) -> Callable[[Path], Any]:
    return lambda path: np.savez(path, **arrays)


def raw(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def truncated(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:-60])


def damaged(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    data = bytearray(path.read_bytes())
    data[180:200] = b"\xff" * 20
    path.write_bytes(bytes(data))


def boasting(path: Path) -> None:
    """An array whose header says more than the file holds: as much as no memory has."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1024), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x", "y"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def with_nan() -> Array:
    x = X.copy()
    x[2, 0, 1, 3] = np.nan
    return x


X, Y = np.zeros((3, 1, 8, 8), np.float32), np.zeros(3, np.int64)
WANTED = "must be an .npz file with arrays x (samples first) and y (labels or targets)"
NPZ = f"<tmp>/d.npz: {WANTED}"
DATA: list[tuple[str, Callable[[Path], Any], str]] = [
    ("missing", lambda path: None, f"{NPZ}, not a missing one"),
    ("folder", lambda path: path.mkdir(), f"{NPZ}, not a folder"),
    ("empty", raw(b""), f"{NPZ}, not an empty file"),
    ("text", raw(b"1,2,3\n"), f"{NPZ}, not a file of another kind, or a truncated one"),
    ("npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), f"{NPZ}, not a single .npy array"),
    ("truncated", truncated, f"{NPZ}, not a file of another kind, or a truncated one"),
    ("damaged", damaged, f"{NPZ}, not a damaged one"),
    ("no_arrays", npz(), f"{NPZ}, not one with no arrays; make it with np.savez(path, x=inputs, y=labels)"),
    ("no_y", npz(x=X), f"{NPZ}, not one with x; make it with np.savez(path, x=inputs, y=labels)"),
    ("other_names", npz(X=X, Y=Y), f"{NPZ}, not one with X, Y; did you mean 'X'?"),
    ("objects", npz(x=np.array([[None, 1]]), y=Y[:1]), "<tmp>/d.npz: x: must be plain numbers, not pickled Python objects"),
    ("texts", npz(x=np.array([["a", "b"]]), y=Y[:1]), "<tmp>/d.npz: x must be numbers, not text"),
    ("label_texts", npz(x=X, y=np.array(["cat", "dog", "cat"])), "<tmp>/d.npz: y must be numbers, not text"),
    ("complex", npz(x=X.astype(np.complex64), y=Y), "<tmp>/d.npz: x must be numbers, not complex64"),
    (
        "no_samples",
        npz(x=X[:0], y=Y[:0]),
        "<tmp>/d.npz: x must have samples along its first axis and their numbers along others, not shape (0, 1, 8, 8)",
    ),
    (
        "one_axis",
        npz(x=X[:, 0, 0, 0], y=Y),
        "<tmp>/d.npz: x must have samples along its first axis and their numbers along others, not shape (3,)",
    ),
    (
        "scalar",
        npz(x=np.float32(1), y=Y),
        "<tmp>/d.npz: x must have samples along its first axis and their numbers along others, not shape ()",
    ),
    ("fewer_labels", npz(x=X, y=Y[:2]), "<tmp>/d.npz: y must have a label or target for each of the 3 samples of x, not shape (2,)"),
    ("scalar_label", npz(x=X, y=np.int64(1)), "<tmp>/d.npz: y must have a label or target for each of the 3 samples of x, not shape ()"),
    ("nan", npz(x=with_nan(), y=Y), "<tmp>/d.npz: x must be finite numbers, not nan at (2, 0, 1, 3)"),
    ("infinite_target", npz(x=X, y=np.array([0, np.inf, 0])), "<tmp>/d.npz: y must be finite numbers, not inf at (1,)"),
    ("boasting_header", boasting, "<tmp>/d.npz: x: must hold 9007199254740992 bytes for shape (1099511627776, 1024) of float64, not 0"),
]


@pytest.mark.parametrize(("make", "message"), [c[1:] for c in DATA], ids=[c[0] for c in DATA])
def test_data(make: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    make(tmp_path / "d.npz")
    assert said(lambda: load_dataset(tmp_path / "d.npz"), tmp_path) == message


def test_no_samples_wanted(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    assert said(lambda: load_dataset(tmp_path / "d.npz", 0), tmp_path) == "samples: must be at least 1, not 0"


def test_nan_beyond_the_samples_is_no_matter(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=with_nan(), y=Y)
    assert len(load_dataset(tmp_path / "d.npz", 2)) == 2


# --- the command line ---


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small network, data that fit it and data that do not, and a file where a folder is wanted."""
    monkeypatch.chdir(tmp_path)
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    model = net(node("Gemm", "x w"), x=("N", 4), constants={"w": weights})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "open.onnx").write_bytes(relu(x=("N", "L")).SerializeToString())
    constant = changed(net(node("Constant", "", value_float=1.0)), lambda m: m.graph.ClearField("input"))
    (tmp_path / "constant.onnx").write_bytes(constant.SerializeToString())
    (tmp_path / "cut.onnx").write_bytes(model.SerializeToString()[:-30])
    (tmp_path / "c.yaml").write_text(CHIP)
    x = np.zeros((3, 4), np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=Y)
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 5)), y=Y)
    np.savez(tmp_path / "labels.npz", x=x, y=Y + 3)
    np.savez(tmp_path / "only_x.npz", x=x)
    (tmp_path / "taken").write_text("here before")
    return tmp_path


def command(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str, str]:
    """Exit code, standard output and standard error of a command line."""
    words = ["" if w == "''" else w for w in line.split(" ")]
    monkeypatch.setattr(sys, "argv", ["hwsim", *[w.replace("~", " ") for w in words]])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    return caught.value.code, out, err


PRESETS, NETWORKS = ", ".join(presets()), ", ".join(sorted(networks()))
RUN = "run --arch c.yaml --model m.onnx"
SWEEP = "sweep --arch c.yaml --model m.onnx"
COMMANDS: list[tuple[str, str, str]] = [
    (
        "preset",
        "run --arch snpe_dps --model m.onnx",
        f"arch: must be a path to a YAML file or one of {PRESETS}, not 'snpe_dps'; did you mean 'snpe_dsp'?",
    ),
    ("no_chip", "check --arch no.yaml --model m.onnx", "no.yaml: must be a file that can be read, not a missing one"),
    ("no_model", "run --arch c.yaml --model no.onnx", "no.onnx: must be a file that can be read, not a missing one"),
    ("folder_for_a_model", "check --arch c.yaml --model .", ".: must be a file that can be read, not a folder"),
    ("data_for_a_model", "run --arch c.yaml --model d.npz", "d.npz: must be an ONNX file, not a file of another kind, or a truncated one"),
    (
        "truncated_model",
        "run --arch c.yaml --model cut.onnx",
        "cut.onnx: must be an ONNX file, not a file of another kind, or a truncated one",
    ),
    (
        "constant_model",
        "run --arch c.yaml --model constant.onnx",
        "constant.onnx: must have an input with samples along its first axis, not constants alone",
    ),
    ("open_model", "run --arch c.yaml --model open.onnx", "input 'x': must have a fixed shape, not NxL; give it, such as --shape x=1x224"),
    ("no_data", f"{RUN} --data no.npz", f"no.npz: {WANTED}, not a missing one"),
    ("model_for_data", f"{RUN} --data m.onnx", f"m.onnx: {WANTED}, not a file of another kind, or a truncated one"),
    (
        "data_without_labels",
        f"{RUN} --data only_x.npz",
        f"only_x.npz: {WANTED}, not one with x; make it with np.savez(path, x=inputs, y=labels)",
    ),
    ("data_of_another_shape", f"{RUN} --data wide.npz", "data 'wide': x must have samples of shape (4,) for input 'x', not (5,)"),
    ("label_too_high", f"{RUN} --data labels.npz", "labels y: must be one class of 0 to 2 per sample, not int64 of shape (3,) up to 3"),
    ("metric_that_does_not_fit", f"{RUN} --data d.npz --metric iou", "masks y: must have the output's size (3, 3), not (3,)"),
    (
        "metric",
        f"{RUN} --metric top2 --data d.npz",
        "--metric: must be one of top1, top5, dice, iou, mse, not 'top2'; did you mean 'top5'?",
    ),
    ("metric_without_data", f"{RUN} --metric top1", "--metric: must come with --data, not alone"),
    ("samples_without_data", f"{RUN} --samples 5", "--samples: must come with --data, not alone"),
    ("engine", f"{RUN} --engine nunba", "--engine: must be one of numba, reference, not 'nunba'; did you mean 'numba'?"),
    ("qdq", f"{RUN} --qdq literally", "qdq: must be integer or literal, not 'literally'; did you mean 'literal'?"),
    ("set", f"{RUN} --set clock.frequency", "--set: must be field=value such as memories.vtcm.size=4MiB, not 'clock.frequency'"),
    (
        "set_unit",
        f"{RUN} --set clock.frequency=2~Ghz",
        "--set clock.frequency=2 Ghz: must be a frequency such as 1.2 GHz, not '2 Ghz'; 'Ghz' is not a unit of frequency, did you mean "
        "'GHz'?",
    ),
    (
        "set_field",
        f"{RUN} --set memories.sram.sice=1MiB",
        f"--set memories.sram.sice=1MiB: must be one of {', '.join(Memory.model_fields)}, not 'sice'; did you mean 'size'?",
    ),
    ("set_twice", f"{RUN} --set name=a --set name=b", "--set: must set 'name' once, not to 'a' and 'b'"),
    ("shape", f"{RUN} --shape 1x4", "--shape: must be an input's name and sizes of 1 or more such as x=1x3x224x224, not '1x4'"),
    ("shape_of_zero", f"{RUN} --shape x=0x4", "--shape: must be an input's name and sizes of 1 or more such as x=1x3x224x224, not 'x=0x4'"),
    (
        "shape_of_words",
        f"{RUN} --shape x=NxC",
        "--shape: must be an input's name and sizes of 1 or more such as x=1x3x224x224, not 'x=NxC'",
    ),
    ("shape_twice", f"{RUN} --shape x=1x4 --shape x=2x4", "--shape: must shape 'x' once, not twice"),
    ("shape_of_another_input", f"{RUN} --shape z=1x4", "shapes: must name an input (x), not 'z'"),
    ("shape_against_the_model", f"{RUN} --shape x=1x5", "input 'x': must have shape Nx4, not 1x5"),
    ("report_on_a_file", f"{RUN} --out taken", "taken: must be a folder that can be written, not a file"),
    ("report_below_a_file", f"{RUN} --out taken/a/b", "taken/a/b: must be a folder that can be written, not one below the file 'taken'"),
    ("diff_against", "diff --model m.onnx --against nothing", "against: must be file, literal, onnxruntime or a chip, not 'nothing'"),
    (
        "diff_chip",
        "diff --model m.onnx --arch tpu",
        f"arch: must be a path to a YAML file or one of {PRESETS}, not 'tpu'; did you mean 'tpu_v1'?",
    ),
    ("diff_samples", "diff --model m.onnx --data d.npz --samples 4", "data 'd': x must have 4 samples of shape (4,), not (3, 4)"),
    ("build_network", "build resnet9 -o r.onnx", f"network: must be one of {NETWORKS}, not 'resnet9'; did you mean 'resnet8'?"),
    (
        "build_bits",
        "build resnet8 -o r.onnx --bits w8",
        "--bits: must be a precision such as w8a8, w4fp16, fp16, bf16 or fp32 with widths of 1 to 32 bits, not 'w8'",
    ),
    (
        "build_width",
        "build resnet8 -o r.onnx --bits w64a8",
        "--bits: must be a precision such as w8a8, w4fp16, fp16, bf16 or fp32 with widths of 1 to 32 bits, not 'w64a8'",
    ),
    (
        "build_format",
        "build resnet8 -o r.onnx --bits fp8",
        "--bits: must be a precision that ONNX can hold: 2 to 16 bits, fp32, fp16 or bf16, not 'fp8'",
    ),
    (
        "build_chip",
        "build resnet8 -o r.onnx --bits w8a8 --arch snpe",
        f"arch: must be a path to a YAML file or one of {PRESETS}, not 'snpe'; did you mean 'snpe_dsp'?",
    ),
    (
        "build_chip_for_nothing",
        "build resnet8 -o r.onnx --arch snpe_dsp",
        "--arch: must come with --bits for weights and activations such as w8a8, not with fp32",
    ),
    ("build_below_a_file", "build resnet8 -o taken/r.onnx", "taken: must be a folder that can be written, not a file"),
    ("build_into_a_folder", "build ds_cnn -o .", ".: must be a file that can be written, not a folder"),
    ("show", "show ''", f"arch: must be a path to a YAML file or one of {PRESETS}, not ''"),
    (
        "list",
        "list network",
        f"list: must be one of {', '.join(s for s in SHELVES if s != 'topologies')}, networks, operators, metrics, "
        "not 'network'; did you mean 'networks'?",
    ),
    ("sweep_no_model", "sweep --arch c.yaml --model no.onnx -o s.db", "no.onnx: must be a file that can be read, not a missing one"),
    (
        "sweep_on_text",
        f"{SWEEP} -o taken",
        "taken: must be a sweep file that can be written, not one of which SQLite says 'file is not a database'",
    ),
    ("sweep_into_a_folder", f"{SWEEP} -o .", ".: must be a file that can be written, not a folder"),
    ("sweep_below_a_file", f"{SWEEP} -o taken/s.db", "taken: must be a folder that can be written, not a file"),
    ("sweep_bits", f"{SWEEP} -o s.db --bits w=4", "--bits: must be widths such as w=2..8,a=4,8, not 'w=4'"),
    ("sweep_wide_bits", f"{SWEEP} -o s.db --bits w=4,a=17", "--bits: must be widths of 1 to 16 bits, not 'w=4,a=17'"),
    ("sweep_bits_backwards", f"{SWEEP} -o s.db --bits w=8..4,a=8", "--bits: must be whole numbers such as 4,8 or 2..8, not '8..4'"),
    ("sweep_vary", f"{SWEEP} -o s.db --vary clock", "--vary: must be field=values such as memories.sram.size=64KiB..1MiB, not 'clock'"),
    (
        "sweep_vary_units",
        f"{SWEEP} -o s.db --vary memories.sram.size=1MiB..2MB",
        "--vary: must be two numbers of one unit, the smaller first, such as 64KiB..1MiB, not '1MiB..2MB'",
    ),
    (
        "sweep_vary_field",
        f"{SWEEP} -o s.db --vary memories.l9.size=1MiB",
        "--set memories.l9.size=1MiB: 'memories.l9' must exist in the chip",
    ),
    ("sweep_method_alone", f"{SWEEP} -o s.db --method dfq", "--method: must come with --data, not alone"),
    ("sweep_mixed_alone", f"{SWEEP} -o s.db --mixed 5", "--mixed: must come with --bits, not alone"),
    ("sweep_samples_alone", f"{SWEEP} -o s.db --samples 5", "--samples: must come with --data, not alone"),
    ("sweep_no_data", f"{SWEEP} -o s.db --data no.npz", "no.npz: must be a file that can be read, not a missing one"),
    (
        "sweep_without_calibration",
        f"{SWEEP} -o s.db --bits w=4,a=8 --data d.npz",
        "--data: must come with --calibration, to quantize for --bits, not alone; give an .npz file with x",
    ),
    ("sweep_scheduler", f"{SWEEP} -o s.db --scheduler here", "--scheduler: must be an address such as tcp://host:8786, not 'here'"),
    (
        "sweep_two_clusters",
        f"{SWEEP} -o s.db --workers 2 --scheduler tcp://host:8786",
        "--workers: must be left out with --scheduler, whose workers are its own, not 2",
    ),
    ("sweep_export", f"{SWEEP} -o s.db --export xlsx", "--export: must be one of csv, parquet, json, not 'xlsx'"),
    ("plot_nothing", "plot no.db -o f.svg", "no.db: must be a sweep file (hwsim sweep -o), not a missing one"),
    (
        "plot_text",
        "plot taken -o f.svg",
        "taken: must be a sweep file that can be written, not one of which SQLite says 'file is not a database'",
    ),
    ("plot_form", "plot taken -o f.gif", "--out: must be one of svg, pdf, png, not 'gif'"),
    ("plot_size", "plot taken -o f.svg --size 3", "--size: must be width x height of 1 to 50 inches such as 3.5x2.6, not '3'"),
    ("schema", "schema archs", "schema: must be one of arch, costs, area, scaling, not 'archs'; did you mean 'arch'?"),
]


@pytest.mark.parametrize(("line", "message"), [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS])
def test_command(line: str, message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    code, out, err = command(line, capsys, monkeypatch)
    assert (code, out, err) == (2, "", f"hwsim: error: {message}\n")
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


# typer writes these itself, in words that change between its versions
USAGES: list[tuple[str, tuple[str, ...]]] = [
    ("simulate", ("No such command", "simulate")),
    ("run --arch c.yaml", ("Missing option", "--model")),
    ("run --model m.onnx", ("Missing option", "--arch")),
    (f"{RUN} --metrics top1", ("No such option", "--metrics")),
    (f"{RUN} --format xml", ("--format", "xml", "'table', 'json', 'csv'")),
    (f"{RUN} --batch 0", ("--batch", "1")),
    (f"{RUN} --batch many", ("--batch", "valid integer")),
    (f"{RUN} --samples -1", ("--samples", "1")),
    ("diff --model m.onnx --samples 0", ("--samples", "1")),
    ("build resnet8", ("Missing option", "--out")),
    ("build resnet8 -o r.onnx --image 0", ("--image", "1")),
    ("build -o r.onnx", ("Missing argument",)),
    ("show snpe_dsp more", ("unexpected extra argument",)),
]


@pytest.mark.parametrize(("line", "words"), USAGES, ids=[u[0] for u in USAGES])
def test_usage(line: str, words: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = command(line, capsys, monkeypatch)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.startswith("Usage: ")
    for word in words:
        assert word.lower() in err.lower()


def test_memory_error_is_one_line(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(hwsim, "load_model", full)
    assert command(RUN, capsys, monkeypatch) == (
        2,
        "",
        "hwsim: error: memory: must be enough for the network's tensors; run a smaller batch or input\n",
    )


# --- nothing half-written ---


def test_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle."""
    file = tmp_path / "r.json"
    file.write_text("before")

    def fill(path: Path, data: bytes) -> None:
        with path.open("wb") as f:
            f.write(data[:2])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", fill)
    assert said(lambda: write_whole(file, "after"), tmp_path) == "<tmp>/r.json: must be a file that can be written, not one on a full disk"
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
    assert file.read_text() == "before"


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(path: Path, data: bytes) -> None:
        path.open("wb").close()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "r.json", "after")
    assert not list(tmp_path.iterdir())


def test_failed_report_keeps_what_was_computed(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder becomes unwritable while the simulation runs: the result is still printed."""

    def refuse(*args: Any) -> None:
        raise HwsimError("report/result.json", "must be a file that can be written", "one on a full disk")

    monkeypatch.setattr("hwsim.io.report.write_report", refuse)
    code, out, err = command(f"{RUN} --format json --out report", capsys, monkeypatch)
    assert (code, err) == (2, "hwsim: error: report/result.json: must be a file that can be written, not one on a full disk\n")
    assert '"arch": "toy"' in out
