"""A TFLite network in plain values, and the desk at which its operators become ONNX's.

TFLite keeps images as (N, rows, columns, C), ONNX's operators take (N, C, rows, columns).  An image operator takes and leaves
images in the second form (`<name>.nchw`), elementwise ones follow their operands, and a Transpose stands only where an operator
asks for a form in which a tensor does not exist yet; it says `layout`, since no chip moves a number for it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwsim.errors import HwsimError, counted
from hwsim.graph import Constant, SourceNode, SourceTensor
from hwsim.quant import Array, QuantParams

__all__ = ["Desk", "TfliteNetwork", "TfliteOperator", "TfliteTensor"]

OPSET = 18
NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
BATCH = "batch"


@dataclass(frozen=True)
class TfliteTensor:
    """A tensor as the file declares it."""

    name: str
    format: str
    shape: tuple[int, ...]
    quant: QuantParams | None
    constant: Constant | None


@dataclass(frozen=True)
class TfliteOperator:
    """An operator with its options table, which has a method per option."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    intermediates: tuple[str, ...]
    options: Any

    @property
    def where(self) -> str:
        return f"operator '{self.name}'"

    def option(self, name: str) -> Any:
        """The value of an option, as the schema's default when the table leaves it out.  Raises HwsimError without a table."""
        if self.options is None:
            raise HwsimError(self.where, "must have its options", "none")
        try:
            return getattr(self.options, name)()
        except (struct.error, AttributeError, TypeError, ValueError, IndexError):
            raise HwsimError(self.where, "must have whole options of its own", f"no '{name}'") from None

    def axis(self, value: Any, rank: int) -> int:
        """An axis of a tensor of this rank, counted from the front.  Raises HwsimError for one that is not there."""
        if not -rank <= int(value) < rank:
            raise HwsimError(self.where, f"the axis must lie in {counted(rank, 'dimension')}", int(value))
        return int(value) % rank

    def input(self, index: int) -> str:
        """The name of an input, "" when it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True)
class TfliteNetwork:
    """The one subgraph of a file."""

    name: str
    operators: tuple[TfliteOperator, ...]
    tensors: Mapping[str, TfliteTensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sha256: str

    @property
    def batched(self) -> bool:
        """Whether every tensor that is computed begins with a batch of one, so that any batch can take its place."""
        computed = [self.tensors[t] for t in (*self.inputs, *(o for n in self.operators for o in n.outputs)) if t]
        return all(t.shape[:1] == (1,) for t in computed) and all(len(self.tensors[t].shape) > 1 for t in self.inputs)


class Desk:
    """Collects the ONNX operators and tensors of one network while its TFLite operators are translated in order."""

    def __init__(self, network: TfliteNetwork) -> None:
        self.network, self.nodes = network, list[SourceNode]()
        self.tensors: dict[str, SourceTensor] = {}
        self.plain_form: set[str] = set()
        self.image_form: set[str] = set()
        for t in network.inputs:
            shape = network.tensors[t].shape
            self._declare(t, t, (BATCH, *shape[1:]) if network.batched else shape)
            self.plain_form.add(t)

    def tensor(self, name: str) -> TfliteTensor:
        return self.network.tensors[name]

    def array(self, op: TfliteOperator, index: int, what: str) -> Array:
        """The numbers of a constant input.  Raises HwsimError for a computed or absent one."""
        name = op.input(index)
        if not name or self.tensor(name).constant is None:
            raise HwsimError(op.where, f"{what} must be a constant", f"the computed tensor '{name}'" if name else "absent")
        return self.tensor(name).constant.array  # type: ignore[union-attr]

    def number(self, op: TfliteOperator, index: int, what: str) -> int:
        """The one number of a constant input."""
        array = self.array(op, index, what)
        if array.size != 1:
            raise HwsimError(op.where, f"{what} must be one number", f"shape {array.shape}")
        return int(array.ravel()[0])

    def _declare(self, name: str, source: str, shape: tuple[int | str, ...] | None) -> str:
        t = self.tensor(source)
        self.tensors[name] = SourceTensor(name, t.format, shape, None, t.quant)
        return name

    def plain(self, name: str) -> str:
        """The tensor in the file's own order of axes."""
        t = self.tensor(name) if name else None
        if t is None or name in self.plain_form:
            return name
        if t.constant is not None:
            self.tensors[name] = SourceTensor(name, t.format, t.shape, t.constant, t.quant)
        elif name in self.image_form:
            self.node(
                "Transpose", f"{name}.nhwc", (self.image(name),), (self._declare(name, name, None),), {"perm": list(NHWC), "layout": 1}
            )
        else:
            raise HwsimError(self.network.name, f"must compute '{name}' before it is read")
        self.plain_form.add(name)
        return name

    def image(self, name: str) -> str:
        """The tensor as (N, C, rows, columns); a constant of fewer axes gets leading ones."""
        t, form = self.tensor(name), f"{name}.nchw"
        if name in self.image_form:
            return form
        if len(t.shape) != 4 and t.constant is None:
            raise HwsimError(self.network.name, f"'{name}' must be images of 4 dimensions", f"shape {t.shape}")
        if t.constant is not None:
            self.laid_out(name, NCHW, form)
        else:
            self.node("Transpose", form, (self.plain(name),), (self._declare(form, name, None),), {"perm": list(NCHW), "layout": 1})
        self.image_form.add(name)
        return form

    def laid_out(self, name: str, perm: Sequence[int], form: str) -> str:
        """A constant with its axes in another order; it is turned when it is first needed."""
        t = self.tensor(name)
        assert t.constant is not None, "only constants are laid out anew"
        constant, shape = t.constant, (*[1] * (len(perm) - len(t.shape)), *t.shape)
        quant = t.quant
        if quant is not None and quant.axis is not None:
            quant = quant.moved(list(perm).index(quant.axis + len(shape) - len(t.shape)))
        turned = Constant(lambda: np.ascontiguousarray(constant.array.reshape(shape).transpose(perm)), form)
        self.tensors[form] = SourceTensor(form, t.format, tuple(shape[p] for p in perm), turned, quant)
        return form

    def are_images(self, names: Sequence[str]) -> bool:
        """Whether an elementwise operator on these tensors runs on images: one of them exists only so, and the others can follow."""
        tensors = [self.tensor(t) for t in names]
        only = any(t.name in self.image_form and t.name not in self.plain_form for t in tensors)
        return only and all(len(t.shape) == 4 or t.constant is not None for t in tensors)

    def output(self, name: str, image: bool = False) -> str:
        """The name under which an operator leaves a tensor in one form."""
        (self.image_form if image else self.plain_form).add(name)
        return self._declare(f"{name}.nchw" if image else name, name, None)

    def stored(self, name: str) -> bool:
        return self.tensor(name).quant is not None

    def between(self, name: str, source: str, stored: bool = True) -> str:
        """A tensor that the file does not have, declared like `source`."""
        self._declare(name, source, None)
        if not stored:
            self.tensors[name] = replace(self.tensors[name], quant=None)
        return name

    def constant(self, name: str, array: Array, quant: QuantParams | None = None, fmt: str | None = None) -> str:
        """A constant that the file does not have in this form."""
        self.tensors[name] = SourceTensor(name, fmt or array.dtype.name, array.shape, Constant.of(array, name), quant)
        return name

    def node(self, kind: str, name: str, inputs: Sequence[str], outputs: Sequence[str], attrs: Mapping[str, Any] | None = None) -> None:
        self.nodes.append(SourceNode(kind, name, tuple(inputs), tuple(outputs), dict(attrs or {}), OPSET))

    def shape_input(self, op: TfliteOperator, what: str, values: Sequence[int]) -> str:
        """A constant list of whole numbers for an operator of ONNX."""
        return self.constant(f"{op.name}.{what}", np.asarray(values, np.int64))
