"""The desk at which source operators become nodes: constants at hand, shapes known, quantization attached to tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from hwsim import formats
from hwsim.errors import HwsimError, counted, suggest
from hwsim.graph import Constant, Node, Shape, SourceNode, Tensor
from hwsim.quant import Array, QuantParams
from hwsim.shelf import load

__all__ = ["Attributes", "Reader", "Reading", "accumulator_bias", "axes_of", "axis_of", "check_shape", "choice", "format_of", "reads"]

Reading = Callable[[SourceNode, "Reader"], None]
FOLD_LIMIT = 1 << 26
MAX_ELEMENTS = 1 << 40


class Attributes(Mapping[str, Any]):
    """The attributes of a source operator; it notes which of them a reading looked at, so that none is passed over in silence."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_, self.seen = values, set[str]()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


class Reader:
    """Collects the nodes and tensors of one network while its source operators are read in run order.

    `declared` is the quantization that the file itself gives to tensors, `arithmetic` the runtime that defines its integers.
    """

    def __init__(self, declared: Mapping[str, QuantParams] | None = None, arithmetic: str = "onnxruntime") -> None:
        self.declared, self.arithmetic = dict(declared or {}), arithmetic
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.dequantized: dict[str, str] = {}
        self.plain: set[str] = set()

    def array(self, name: str) -> Array | None:
        """The numbers of a constant tensor, None when it is absent or computed at run time."""
        tensor = self.tensors.get(name)
        if tensor is not None and tensor.constant is not None:
            return tensor.constant.array
        stored = self.tensors.get(self.dequantized.get(name, ""))
        return None if stored is None or stored.quant is None or stored.constant is None else stored.quant.dequantize(stored.constant.array)

    def need(self, s: SourceNode, index: int, what: str) -> Array:
        """The numbers of input `index`, which must be constant."""
        name = input_name(s, index)
        array = self.array(name)
        if array is None:
            found = f"the computed tensor '{name}'" if name else "absent"
            raise HwsimError(s.where, f"{what} must be a constant", found)
        return array

    def ints(self, s: SourceNode, attr: str, index: int) -> list[int] | None:
        """A list of integers that older opsets give as an attribute and newer ones as a constant input."""
        if attr in s.attrs:
            return [int(v) for v in np.atleast_1d(s.attrs[attr])]
        array = self.need(s, index, attr) if input_name(s, index) else None
        if array is not None and array.dtype.kind not in "iu":
            raise HwsimError(s.where, f"{attr} must be whole numbers", self.tensors[s.inputs[index]].format)
        return None if array is None else [int(v) for v in array.ravel()]

    def number(self, s: SourceNode, index: int, what: str) -> float:
        """The one number of input `index`, which must be constant."""
        array = self.need(s, index, what)
        if array.size != 1:
            raise HwsimError(s.where, f"{what} must be one number", f"shape {array.shape}")
        return float(array.ravel()[0])

    def shape(self, name: str) -> Shape:
        return self.tensors[name].shape

    def ranked(self, s: SourceNode, index: int, least: int, most: int | None = None) -> Shape:
        """The shape of input `index`, which must have at least so many dimensions (and at most `most`)."""
        shape = self.shape(s.inputs[index])
        if not least <= len(shape) <= (len(shape) if most is None else most):
            count = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            raise HwsimError(s.where, f"input '{s.inputs[index]}' must have {counted(count, 'dimension')}", f"shape {shape}")
        return shape

    def add_constant(self, array: Array, base: str, fmt: str | None = None) -> str:
        """A new constant tensor; its name starts with `base`."""
        name = self.fresh(base)
        self.tensors[name] = Tensor(name, array.shape, fmt or format_of(array), constant=Constant.of(array, name))
        return name

    def fresh(self, base: str) -> str:
        """A tensor name that nothing has yet."""
        name, i = base, 0
        while name in self.tensors:
            i += 1
            name = f"{base}.{i}"
        return name

    def params(
        self, s: SourceNode, tensor: str, scale: int, zero_point: int, axis: int | None = None, block: int = 0, fmt: str | None = None
    ) -> QuantParams:
        """The QuantParams that constant scale and zero-point inputs give to a tensor.  Raises HwsimError for impossible ones."""
        scales, kind = self.need(s, scale, "the scale"), self.tensors[input_name(s, scale)].format
        if not kind.startswith(("float", "bfloat")):
            raise HwsimError(s.where, f"the scale of '{tensor}' must be real", kind)
        zeros = self.need(s, zero_point, "the zero point") if input_name(s, zero_point) else None
        stored = formats.get(fmt or self.tensors[tensor].format)
        if not stored.is_integer and stored.bits > 8:
            raise HwsimError(s.where, f"'{tensor}' must be of an integer or 8-bit float type", stored.name)
        given = self.tensors[input_name(s, zero_point)].format if zeros is not None else stored.name
        if given != stored.name:
            raise HwsimError(s.where, f"the zero point of '{tensor}' must be {stored.name} like the tensor", given)
        return checked_params(s, self.tensors[tensor], scales, zeros, axis, block, fmt)

    def stored_format(self, s: SourceNode, zero_point: int, otherwise: str) -> str:
        """The format that a zero point gives to what it belongs to; without one it is the same as `otherwise`'s."""
        return self.tensors[input_name(s, zero_point) or otherwise].format

    def quantized(self, s: SourceNode, index: int, scale: int, zero_point: int, axis: int | None = None, block: int = 0) -> str:
        """The name under which input `index` carries the quantization that this operator's own inputs give it.

        A file may let two operators read the same integers with different scales; the second gets a view of its own.
        """
        name = input_name(s, index)
        if not name:
            raise HwsimError(s.where, f"input {index} must be given", "left out")
        quant = self.params(s, name, scale, zero_point, axis, block)
        tensor = self.tensors[name]
        plain = tensor.quant is None and name in self.plain and tensor.constant is None
        if plain or (tensor.quant is not None and not tensor.quant.same_grid(quant)):
            return self.view(s, name, quant)
        self.tensors[name] = replace(tensor, quant=tensor.quant or quant)
        return name

    def emit(
        self,
        s: SourceNode,
        op: str,
        inputs: Iterable[str],
        attrs: Mapping[str, Any] | None = None,
        outputs: Iterable[str] | None = None,
        quants: Iterable[QuantParams | None] = (),
        name: str = "",
    ) -> None:
        """Add a node, work out its output tensors, and compute them at once when all it reads is constant."""
        outs = tuple(t or self.fresh(f"{s.name}.unused{i}") for i, t in enumerate(s.outputs if outputs is None else outputs))
        module, given, inputs = load("ops", op), tuple(quants), tuple(inputs)
        quants = given or tuple(self.declared.get(t) for t in outs)
        attrs = {**(attrs or {}), **({"clip": s.attrs["clip"]} if "clip" in s.attrs else {})}
        if not given and not any(quants) and op != "dequantize":
            inputs, quants = self._raw(s, inputs, outs, getattr(module, "MOVES", False) or op in ("pad", "concat"))
        self.plain.update(t for t in (*inputs, *outs) if t and (t not in self.tensors or self.tensors[t].quant is None))
        node = Node(name or s.name, op, inputs, outs, attrs, s.kind)
        operands = [self.tensors[t] if t else None for t in node.inputs]
        quant = [*quants, *[None] * len(outs)]
        for t, (shape, fmt), q in zip(outs, module.infer(node, operands), quant, strict=False):
            self.tensors[t] = Tensor(t, checked_shape(s, t, shape), q.format.name if q else fmt, q)
        if self._foldable(node, operands):
            self._fold(node, operands)
        else:
            self.nodes.append(node)
            if op == "dequantize":
                self.dequantized[outs[0]] = node.inputs[0]

    def _raw(
        self, s: SourceNode, inputs: tuple[str, ...], outs: tuple[str, ...], moves: bool
    ) -> tuple[tuple[str, ...], tuple[QuantParams | None, ...]]:
        """What an operator without scales of its own means on stored tensors: it moves them as they are, or computes on the integers."""
        first = self.tensors[inputs[0]].quant if inputs and inputs[0] else None
        stored = [t for t in inputs if t and self.tensors[t].quant is not None]
        if moves and first is not None and first.axis is None:
            return tuple(self.view(s, t, first) if t in stored else t for t in inputs), (first,) * len(outs)
        return tuple(self.view(s, t, None) if t in stored else t for t in inputs), ()

    def view(self, s: SourceNode, name: str, quant: QuantParams | None) -> str:
        """The same stored numbers under another scale, or under none."""
        tensor = self.tensors[name]
        if tensor.quant is not None and quant is not None and tensor.quant.same_grid(quant):
            return name
        view = self.fresh(f"{name}.as")
        self.tensors[view] = replace(tensor, name=view, quant=quant)
        if tensor.constant is None:
            self.nodes.append(Node(view, "reinterpret", (name,), (view,), {}, s.kind))
        return view

    def _foldable(self, node: Node, operands: list[Tensor | None]) -> bool:
        return all(t is None or (t.constant is not None and t.constant.load is not None and t.quant is None) for t in operands) and all(
            self.tensors[t].quant is None and self.tensors[t].elements <= FOLD_LIMIT for t in node.outputs
        )

    def _fold(self, node: Node, operands: list[Tensor | None]) -> None:
        arrays = load("ops", node.op).compute(node, *[t.constant.array if t and t.constant else None for t in operands])
        for t, array in zip(node.outputs, arrays if isinstance(arrays, tuple) else (arrays,), strict=False):
            held = formats.get(self.tensors[t].format).dtype
            self.tensors[t] = replace(self.tensors[t], constant=Constant.of(np.asarray(array, held), t))


def input_name(s: SourceNode, index: int) -> str:
    """The name of input `index`, "" when the node has fewer."""
    return s.inputs[index] if 0 <= index < len(s.inputs) else ""


def checked_shape(s: SourceNode, name: str, shape: Iterable[int], most: int = MAX_ELEMENTS) -> Shape:
    """The shape of an output, refused when it is impossible or absurd: before memory is taken for it."""
    dims = tuple(int(d) for d in shape)
    if min(dims, default=0) < 0:
        raise HwsimError(s.where, f"'{name}' must have no negative dimension", dims)
    if prod(dims) > most:
        raise HwsimError(s.where, f"'{name}' must have at most {most} elements", f"shape {dims}")
    return dims


def check_scales(s: SourceNode, r: Reader, axis: int, block: int) -> None:
    """The shapes of a scale and zero point (inputs 1 and 2) that are computed at run time, against what they scale (input 0)."""
    scale_axis(s, r.tensors[s.inputs[0]], r.shape(s.inputs[1]), axis, block)
    scale, zero = r.shape(s.inputs[1]), r.shape(input_name(s, 2) or s.inputs[1])
    if scale != zero and (prod(scale), prod(zero)) != (1, 1):
        raise HwsimError(s.where, f"the zero point '{s.inputs[2]}' must have the scale's shape {scale}", zero)


def axis_of(s: SourceNode, rank: int, axis: Any, what: str = "axis") -> int:
    """An axis of a tensor of this rank, counted from the front."""
    if not -rank <= int(axis) < rank:
        raise HwsimError(s.where, f"{what} must lie in the {counted(rank, 'dimension')} of the input", int(axis))
    return int(axis) % rank


def axes_of(s: SourceNode, rank: int, axes: Iterable[Any]) -> list[int]:
    """Axes of a tensor of this rank, each once."""
    found = [axis_of(s, rank, a, "axes") for a in axes]
    if len(set(found)) < len(found):
        raise HwsimError(s.where, "axes must be named once each", found)
    return found


def choice(s: SourceNode, attr: str, known: Sequence[str], default: str) -> str:
    """A word of an attribute."""
    word = s.attrs.get(attr, default)
    if word not in known:
        raise HwsimError(s.where, f"{attr} must be {'one of ' * (len(known) > 1)}{', '.join(known)}", repr(word), suggest(word, known))
    return str(word)


def check_shape(s: SourceNode, r: Reader, index: int, wanted: Shape, what: str) -> None:
    """An input that must have a certain shape when it is there; -1 stands for any size."""
    name = input_name(s, index)
    found = r.shape(name) if name else wanted
    if len(found) != len(wanted) or any(w not in (-1, f) for f, w in zip(found, wanted, strict=True)):
        raise HwsimError(s.where, f"{what} '{name}' must have shape {wanted}".replace("-1", "any"), found)


def broadcast(where: str, *shapes: Shape) -> Shape:
    """The shape to which all of these broadcast."""
    result = [1] * max(map(len, shapes))
    for shape in shapes:
        for i, d in enumerate(shape, len(result) - len(shape)):
            if d != 1 and result[i] not in (1, d):
                raise HwsimError(where, "the shapes must broadcast", " and ".join(map(str, shapes)))
            result[i] = result[i] if d == 1 else d
    return tuple(result)


def check_zeros(s: SourceNode, r: Reader, index: int, channels: int) -> None:
    """A zero point that is an ordinary input: one number, or one per channel."""
    name = input_name(s, index)
    if name and (r.tensors[name].elements not in (1, channels) or len(r.shape(name)) > 2):
        wanted = f"1 number or {channels}" if channels > 1 else "1 number"
        raise HwsimError(s.where, f"the zero point '{name}' must be {wanted}", f"shape {r.shape(name)}")


def format_of(array: Array) -> str:
    """The format that holds an array's own dtype."""
    return array.dtype.name


def accumulator_bias(s: SourceNode, r: Reader, index: int, x: str, w: str, axis: int, alpha: float = 1.0) -> str:
    """An int32 bias in units of the accumulator, x_scale w_scale: a stored tensor, "" when the input is absent."""
    if not input_name(s, index):
        return ""
    xq, wq = r.tensors[x].quant, r.tensors[w].quant
    assert xq is not None and wq is not None
    array, channels = r.need(s, index, "the bias"), r.shape(w)[axis]
    if r.tensors[s.inputs[index]].format != "int32":
        raise HwsimError(s.where, f"the bias '{s.inputs[index]}' must be int32", r.tensors[s.inputs[index]].format)
    if array.ndim == 0 or array.size != array.shape[-1] or array.size not in (1, channels):
        wanted = f"must have {counted(channels, 'number')}, one per channel"
        raise HwsimError(s.where, f"the bias '{s.inputs[index]}' {wanted}", f"shape {array.shape}")
    scale = (np.float32(alpha) * xq.scale * wq.scale).astype(np.float32)
    quant = QuantParams(formats.get("int32"), scale, np.zeros(scale.shape, np.int64), None if scale.ndim == 0 else array.ndim - 1)
    name = r.add_constant(array, f"{s.inputs[index]}.bias", "int32")
    r.tensors[name] = replace(r.tensors[name], quant=quant)
    return name


def checked_params(
    s: SourceNode, tensor: Tensor, scale: Array, zero_point: Array | None, axis: int | None, block: int, fmt: str | None
) -> QuantParams:
    """QuantParams after the checks that keep later arithmetic meaningful: finite positive scales of the right shape."""
    scale = scale.astype(np.float32)
    if not np.all(np.isfinite(scale)):
        raise HwsimError(s.where, f"the scale of '{tensor.name}' must be finite", f"{scale[~np.isfinite(scale)].ravel()[0]}")
    if np.any(scale <= 0):
        raise HwsimError(s.where, f"the scale of '{tensor.name}' must be positive", f"{scale[scale <= 0].ravel()[0]}")
    axis = scale_axis(s, tensor, scale.shape, axis, block)
    if axis is None:
        scale = scale.reshape(())
    chosen = formats.get(fmt or tensor.format)
    held = np.int64 if chosen.is_integer else np.float32
    zeros = np.zeros(scale.shape, held) if zero_point is None else zero_point.astype(held)
    if zeros.size == 1:
        zeros = np.full(scale.shape, zeros.ravel()[0])
    if not np.isfinite(zeros).all():
        raise HwsimError(s.where, f"the zero point of '{tensor.name}' must be finite", f"{zeros[~np.isfinite(zeros)].ravel()[0]}")
    if zeros.shape != scale.shape:
        raise HwsimError(s.where, f"the zero point of '{tensor.name}' must have the scale's shape {scale.shape}", zeros.shape)
    return QuantParams(chosen, scale, zeros, axis, block)


def scale_axis(s: SourceNode, tensor: Tensor, scale: Shape, axis: int | None, block: int) -> int | None:
    """The axis over which scales of this shape run, None for a single one.  Raises HwsimError for a shape that fits no axis."""
    if block < 0:
        raise HwsimError(s.where, "block_size must not be negative", block)
    if prod(scale) == 1 and not block:
        return None
    if axis is None:
        raise HwsimError(s.where, f"the scale of '{tensor.name}' must be one number", f"shape {scale}")
    rank = len(tensor.shape)
    if not -rank <= axis < rank:
        raise HwsimError(s.where, f"the quantization axis must lie in the {counted(rank, 'dimension')} of '{tensor.name}'", axis)
    axis %= rank
    wanted = tuple(-(-d // block) if i == axis else d for i, d in enumerate(tensor.shape)) if block else (tensor.shape[axis],)
    if scale != wanted:
        raise HwsimError(s.where, f"the scale of '{tensor.name}' must have shape {wanted}", scale)
    return axis


def reads(op: str, *attrs: str, **fixed: Any) -> Reading:
    """A reading that passes inputs, outputs and the named attributes through unchanged."""

    def read(s: SourceNode, r: Reader) -> None:
        r.emit(s, op, s.inputs, {**{a: s.attrs[a] for a in attrs if a in s.attrs}, **fixed})

    return read
