"""A network written in a form that other tools read: QDQ, QOperator or QONNX."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.errors import HwsimError, suggest
from hwsim.graph import Constant, Graph, SourceGraph, SourceTensor, Tensor
from hwsim.steps.pen import HELD_AS, Pen
from hwsim.steps.pen_qonnx import QonnxPen
from hwsim.steps.pen_qoperator import QoperatorPen
from hwsim.steps.read import with_batch

__all__ = ["FORMS", "convert"]

FORMS: dict[str, type[Pen]] = {"qdq": Pen, "qoperator": QoperatorPen, "qonnx": QonnxPen}
BATCH = "batch"


def convert(graph: Graph, form: str) -> SourceGraph:
    """The network in a form of ONNX: `qdq`, `qoperator` or `qonnx`.

    It keeps the arithmetic of the file it came from, so that reading it back computes the same numbers, and a batch that the file
    leaves open.  Raises HwsimError naming every node that the form cannot express.
    """
    if form not in FORMS:
        raise HwsimError("form", f"must be one of {', '.join(FORMS)}", repr(form), suggest(form, FORMS))
    written = _written(graph, form)
    batch = _open_batch(graph)
    return written if batch is None else _freed(written, _written(with_batch(graph, batch), form), batch)


def _written(graph: Graph, form: str) -> SourceGraph:
    pen = FORMS[form](graph)
    pen.run()
    if pen.faults:
        raise HwsimError.joined([HwsimError(graph.name, f"must be expressible as {form}", f"{len(pen.faults)} of its nodes"), *pen.faults])
    ends = {t: _declared(graph.tensors[t]) for t in (*graph.inputs, *graph.outputs)}
    kept = {t for n in pen.nodes for t in n.inputs}
    tensors = {**{k: t for k, t in pen.tensors.items() if k in kept}, **ends}
    return SourceGraph(
        graph.name, tuple(pen.nodes), tensors, graph.inputs, graph.outputs, graph.source.sha256, graph.source.arithmetic, pen.opset
    )


def _declared(t: Tensor) -> SourceTensor:
    return SourceTensor(t.name, HELD_AS.get(t.format, t.format), t.shape)


def _open_batch(graph: Graph) -> int | None:
    """Another batch size, where the file leaves that of all its inputs open."""
    shapes = [graph.source.tensors[t].shape for t in graph.inputs]
    free = bool(shapes) and all(s and isinstance(s[0], str) for s in shapes)
    return graph.tensors[graph.inputs[0]].shape[0] + 1 if free else None


def _freed(one: SourceGraph, other: SourceGraph, batch: int) -> SourceGraph:
    """The network for any batch: where two batch sizes give other shapes, the shape is left to the data."""
    tensors = dict(one.tensors)
    shapes = {n.inputs[1] for n in one.nodes if n.kind == "Reshape"}
    for name, t in one.tensors.items():
        twin = other.tensors[name]
        if t.constant is None:
            tensors[name] = replace(t, shape=_symbolic(t.shape, twin.shape))
        elif name in shapes and not np.array_equal(t.constant.array, twin.constant.array):  # type: ignore[union-attr]
            tensors[name] = _inferred(t, twin)
    return replace(one, tensors=tensors)


def _symbolic(a: tuple[int | str, ...] | None, b: tuple[int | str, ...] | None) -> tuple[int | str, ...] | None:
    if a is None or b is None:
        return None
    return tuple(m if m == n else BATCH if i == 0 else f"{BATCH}_{i}" for i, (m, n) in enumerate(zip(a, b, strict=True)))


def _inferred(t: SourceTensor, twin: SourceTensor) -> SourceTensor:
    """A shape whose one dimension that follows the batch is inferred."""
    assert t.constant is not None and twin.constant is not None
    array = np.where(t.constant.array == twin.constant.array, t.constant.array, -1)
    if (array == -1).sum() > 1:
        raise HwsimError(f"tensor '{t.name}'", "must have one dimension that follows the batch", array.tolist())
    return replace(t, constant=Constant.of(array, t.name))
