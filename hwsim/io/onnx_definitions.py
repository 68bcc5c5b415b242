"""Operators and element types as ONNX defines them: what a node may have, and which types its inputs take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from onnx import AttributeProto, TensorProto, defs

from hwsim.errors import HwsimError, counted, suggest

__all__ = ["CUSTOM", "FORMATS", "NOTES", "QONNX_DOMAINS", "TYPES", "check_node", "check_types"]

STANDARD = "ai.onnx"
_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
FORMATS: dict[int, str] = {
    v: _NAMES.get(n, n.lower()) for n, v in TensorProto.DataType.items() if n not in ("UNDEFINED", "STRING", "COMPLEX64", "COMPLEX128")
}
TYPES: dict[str, int] = {name: value for value, name in FORMATS.items()}
_KINDS = {"int": AttributeProto.INT, "ints": AttributeProto.INTS, "float": AttributeProto.FLOAT, "string": AttributeProto.STRING}
_POOL = {
    "auto_pad": "string",
    "ceil_mode": "int",
    "channels_last": "int",
    "count_include_pad": "int",
    "kernel_shape!": "ints",
    "pads": "ints",
    "strides": "ints",
}
_CONV = {
    "auto_pad": "string",
    "channels_last": "int",
    "dilations": "ints",
    "group": "int",
    "kernel_shape": "ints",
    "pads": "ints",
    "strides": "ints",
}
_BITS = {"K!": "int", "N!": "int", "bits": "int", "block_size!": "int", "accuracy_level": "int"}
# ONNX Runtime's own operators: which inputs must be there (* repeats the last), and the attributes (! must be there)
MICROSOFT: dict[str, tuple[str, dict[str, str]]] = {
    f"com.microsoft.{k}": v
    for k, v in {
        "DequantizeLinear": ("110", {"axis": "int", "block_size": "int"}),
        "Gelu": ("1", {}),
        "MatMulNBits": ("111000", _BITS),
        "QGemm": ("111111000", {"alpha": "float", "transA": "int", "transB": "int"}),
        "QLinearAdd": ("11011010", {}),
        "QLinearAveragePool": ("11010", _POOL),
        "QLinearConcat": ("11110*", {"axis!": "int"}),
        "QLinearConv": ("111111110", _CONV),
        "QLinearGlobalAveragePool": ("11010", {"channels_last": "int"}),
        "QLinearLeakyRelu": ("11010", {"alpha": "float"}),
        "QLinearMul": ("11011010", {}),
        "QLinearSigmoid": ("11010", {}),
        "QLinearSoftmax": ("11010", {"axis": "int", "opset": "int"}),
        "QuantizeLinear": ("110", {"axis": "int", "block_size": "int", "saturate": "int"}),
        "QuickGelu": ("1", {"alpha": "float"}),
    }.items()
}
# QONNX's operators, under each of the domains that tools have written
QONNX_DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
_QUANT = ("1111", {"signed": "int", "narrow": "int", "rounding_mode": "string"})
_FLOAT = {"rounding_mode": "string", **dict.fromkeys(("signed", "has_inf", "has_nan", "has_subnormal", "saturation"), "int")}
QONNX: dict[str, tuple[str, dict[str, str]]] = {
    "Quant": _QUANT,
    "IntQuant": _QUANT,
    "BipolarQuant": ("11", {}),
    "FloatQuant": ("111111", _FLOAT),
    "Trunc": ("111110", {"rounding_mode": "string", "signed": "int", "narrow": "int"}),
    "MultiThreshold": ("11", {"out_dtype": "string", "out_scale": "float", "out_bias": "float", "data_layout": "string"}),
}
# what hwsim writes beside a node (its metadata), since ONNX has no attribute for it: grids inside a cell, another runtime's formula
NOTES = ("cell_clip", "cell_scale", "hidden_scale", "hidden_zero", "input_coupled", "layout", "multiply", "pot_scale", "weight_steps")
CUSTOM = MICROSOFT | {f"{domain}.{k}": v for domain in QONNX_DOMAINS for k, v in QONNX.items()}


def check_node(node: Any, kind: str, opset: int, where: str) -> None:
    """Inputs, outputs and attributes as the operator's definition has them.  Operators that nobody knows are left for the reading step."""
    if kind in CUSTOM:
        inputs, attrs = CUSTOM[kind]
        needed = [s == "1" for s in inputs.rstrip("*")]
        least, most = inputs.rindex("1") + 1, len(node.input) if inputs.endswith("*") else len(needed)
        outputs, known = (1, 1), {a.strip("!"): (_KINDS[t], a.endswith("!")) for a, t in attrs.items()}
    elif kind == node.op_type and defs.has(kind):
        schema = _schema(kind, opset, where)
        needed = [p.option != defs.OpSchema.FormalParameterOption.Optional for p in schema.inputs]
        needed += needed[-1:] * (len(node.input) - len(needed))
        least, most, outputs = schema.min_input, schema.max_input, (schema.min_output, schema.max_output)
        known = {k: (a.type.value, a.required) for k, a in schema.attributes.items()}
    else:
        return
    _check_count(where, "input", len(node.input), least, most)
    gap = next((i for i, (t, n) in enumerate(zip(node.input, needed, strict=False)) if n and not t), None)
    if gap is not None:
        raise HwsimError(where, f"input {gap} must be given", "left out")
    named = any(node.output) and all(node.output[: outputs[0]])
    _check_count(where, "output", len(node.output) if named else 0, max(outputs[0], 1), outputs[1])
    _check_attributes(node, where, known)


def _check_count(where: str, what: str, found: int, least: int, most: int) -> None:
    if not least <= found <= most:
        count = f"{least}" if most == least else f"{least} or more" if most > 99 else f"{least} to {most}"
        raise HwsimError(where, f"must have {counted(count, what)}", found or "none")


def _schema(kind: str, opset: int, where: str) -> Any:
    """The definition of an operator of ONNX in an opset that has it."""
    found = defs.get_schema(kind, opset, "") if defs.has(kind, max_inclusive_version=opset, domain="") else None
    if found is None:
        raise HwsimError(where, f"must be an operator of ONNX opset {opset}", f"one of opset {defs.get_schema(kind).since_version}")
    if found.deprecated:
        raise HwsimError(where, f"must be an operator of ONNX opset {opset}", f"one that ended with opset {found.since_version - 1}")
    return found


def _check_attributes(node: Any, where: str, known: Mapping[str, tuple[int, bool]]) -> None:
    """`known` gives the type of every attribute, and whether it must be there."""
    for attr, count in Counter(a.name for a in node.attribute).items():
        if attr not in known:
            must = f"attributes must be among {', '.join(sorted(known))}" if known else "must have no attributes"
            raise HwsimError(where, must, f"'{attr}'", suggest(attr, known))
        if count > 1:
            raise HwsimError(where, f"attribute '{attr}' must be given once", f"{count} times")
    for a in node.attribute:
        if a.ref_attr_name or a.type != known[a.name][0]:
            found = "a reference" if a.ref_attr_name else _kind(a.type)
            raise HwsimError(where, f"attribute '{a.name}' must be {_kind(known[a.name][0])}", found)
    missing = [k for k, (_, needed) in known.items() if needed and k not in {a.name for a in node.attribute}]
    if missing:
        raise HwsimError(where, f"attribute '{missing[0]}' must be given")


def _kind(attribute_type: int) -> str:
    """The type of an attribute in words."""
    types = AttributeProto.AttributeType
    name = types.Name(attribute_type).lower() if attribute_type in types.values() else "undefined"
    return {
        "int": "an int",
        "ints": "a list of ints",
        "floats": "a list of floats",
        "strings": "a list of strings",
        "undefined": "of no type",
    }.get(name, f"a {name.replace('_', ' ')}")


def check_types(node: Any, opset: int, where: str, types: dict[str, int], attrs: Mapping[str, Any]) -> None:
    """Element types as the operator's definition allows them, as far as they are known; adds those of the outputs to `types`."""
    if node.domain not in ("", STANDARD) or not defs.has(node.op_type):
        return
    schema = defs.get_schema(node.op_type, opset, "")
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    bound = _bound_types(node, schema, where, types, allowed)
    for i, t in enumerate(node.output):
        letter = schema.outputs[min(i, len(schema.outputs) - 1)].type_str
        known = bound.get(letter) or _made(node.op_type, attrs) or _only(allowed.get(letter, [letter]))
        if t and known:
            types[t] = known


def _bound_types(node: Any, schema: Any, where: str, types: Mapping[str, int], allowed: Mapping[str, Collection[str]]) -> dict[str, int]:
    """The element type for which each letter of the definition stands."""
    bound: dict[str, int] = {}
    for i, t in enumerate(node.input):
        parameter = schema.inputs[min(i, len(schema.inputs) - 1)]
        if t not in types:
            continue
        words = allowed.get(parameter.type_str, [parameter.type_str])
        if _word(types[t]) not in words:
            wanted = [w for v, w in FORMATS.items() if _word(v) in words]
            raise HwsimError(where, f"input '{t}' must be {'one of ' * (len(wanted) > 1)}{', '.join(wanted)}", FORMATS[types[t]])
        first = bound.setdefault(parameter.type_str, types[t])
        if first != types[t] and parameter.is_homogeneous:
            raise HwsimError(where, f"input '{t}' must be {FORMATS[first]} like the inputs before it", FORMATS[types[t]])
    return bound


def _word(data_type: int) -> str:
    """An element type as operator definitions write it."""
    return f"tensor({TensorProto.DataType.Name(data_type).lower()})"


def _only(words: Collection[str]) -> int | None:
    found = [v for v in FORMATS if _word(v) in words]
    return found[0] if len(found) == len(words) == 1 else None


def _made(op_type: str, attrs: Mapping[str, Any]) -> int | None:
    """The element type that an attribute decides."""
    if op_type == "Cast" or "output_dtype" in attrs:
        return TYPES.get(attrs.get("to") or attrs.get("output_dtype") or "")
    return TYPES["uint8"] if op_type == "QuantizeLinear" else None
