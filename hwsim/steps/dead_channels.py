"""Output channels whose weights are all zero, removed exactly.

Such a channel is the constant that its bias requantizes to, whatever the input.  Operators that keep channels apart carry it on as
long as it stays the same number at every position (padding can end that); the dense layer that reads it at last takes the constant
into its integer bias.  What is left gives the same bits; a channel that anything else reads stays.  Off by default
(`removes_dead_channels` of a chip): some compilers do it, others do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Constant, Graph, Node, Tensor
from hwsim.ops._mac import bias_in_accumulator
from hwsim.program import Step
from hwsim.quant import Array
from hwsim.steps.execute import run_step

__all__ = ["without_dead_channels"]

APART = ("unary", "max_pool", "average_pool", "reduce", "transpose", "reshape")


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor along an axis: which are constant, and the number that each of those is."""

    axis: int
    known: Array
    values: Array


def without_dead_channels(graph: Graph, steps: Mapping[str, Step]) -> Graph:
    """The network without its dead channels; `steps` are its nodes as the chip computes them.

    Tensors that lose channels get a new name, so that nobody compares them with the whole ones.
    """
    if any(t.constant is not None and t.constant.load is None for t in graph.tensors.values()):
        return graph
    constants: dict[str, Channels] = {}
    for node in graph.nodes:
        found = _constants(steps[node.name], constants)
        if found is not None and found.known.any():
            constants[node.outputs[0]] = found
    gone = {t: mask for t, mask in _gone(graph, steps, constants).items() if mask.any()}
    return _rewritten(graph, steps, constants, gone) if gone else graph


def _is_dense(step: Step) -> bool:
    """A convolution in one group or a product of a matrix with constant weights."""
    w = step.inputs[1] if step.op in ("conv", "matmul") else None
    if w is None or w.constant is None or not step.integer or w.quant is None or w.quant.block_size:
        return False
    a = step.node.attrs
    return a["group"] == 1 if step.op == "conv" else not a["trans_a"] and len(w.shape) == 2 and len(step.outputs[0].shape) == 2


def _is_depthwise(step: Step) -> bool:
    w = step.inputs[1] if step.op == "conv" else None
    if w is None or w.constant is None or not step.integer or w.quant is None or w.quant.block_size:
        return False
    return step.node.attrs["group"] > 1 and w.shape[1] == 1 and w.shape[0] == step.node.attrs["group"]


def _constants(step: Step, constants: Mapping[str, Channels]) -> Channels | None:
    """The constant channels of a step's output, by running the step on nothing but them."""
    x, before = step.inputs[0], constants.get(step.node.inputs[0])
    if _is_dense(step) or _is_depthwise(step):
        dead = _dead_outputs(step)
        if before is not None and _is_depthwise(step):
            dead = dead | before.known
        axis, values = 1, np.zeros(len(dead), np.int64) if before is None or not _is_depthwise(step) else before.values
    elif before is not None and step.op in APART and step.integer:
        moved = _moved_axis(step, before.axis)
        if moved is None:
            return None
        dead, axis, values = before.known, moved, before.values
    else:
        return None
    if x is None or not dead.any():
        return None
    return _run(step, np.flatnonzero(dead), before.axis if before else 1, axis, values)


def _dead_outputs(step: Step) -> Array:
    """Output channels whose products are all exactly zero: their weights are the zero point, which the sum does not see."""
    weights, zero = _rows(step)
    return np.asarray((weights == zero[:, None, None]).all((1, 2)) & (step.accumulator.any_order | (zero == 0)))


def _rows(step: Step) -> tuple[Array, Array]:
    """Weights as (outputs, inputs of a group, taps) and the zero point of each output."""
    w = step.inputs[1]
    assert w is not None and w.quant is not None
    stored = _array(w).astype(np.int64)
    stored = stored if step.op == "conv" or step.node.attrs["trans_b"] else stored.T
    return stored.reshape(*stored.shape[:2], -1), np.broadcast_to(w.quant.zero_point.astype(np.int64), len(stored))


def _moved_axis(step: Step, axis: int) -> int | None:
    """Where the channels stand after an operator that keeps them apart; None where it mixes them with positions."""
    x, y, attrs = step.inputs[0], step.outputs[0], step.node.attrs
    assert x is not None
    if step.op == "transpose":
        return int(attrs["perm"].index(axis))
    if step.op == "reduce":
        return axis - (0 if attrs["keep"] else sum(a < axis for a in attrs["axes"])) if axis not in attrs["axes"] else None
    if step.op == "reshape":
        wide = [i for i, n in enumerate(y.shape) if n > 1]
        alone = x.elements == x.shape[axis] and wide and y.shape[wide[0]] == x.shape[axis]
        return wide[0] if alone else None
    return axis


def _run(step: Step, which: Array, axis_in: int, axis_out: int, values: Array) -> Channels:
    """A step computed for some channels alone; those whose output is one number everywhere are constant."""
    dense = _is_dense(step)
    part = _cut(step, None if dense else which, which, axis_in, axis_out)
    x = part.inputs[0]
    assert x is not None and x.quant is not None
    fill = np.full(x.shape, int(x.quant.zero_point.flat[0])) if dense else _along(values[which], axis_in, x.shape)
    arrays = [fill.astype(x.quant.format.dtype), *(None if t is None else _array(t) for t in part.inputs[1:])]
    (y, *_), _ = run_step(part, arrays)
    flat = np.moveaxis(y, axis_out, 0).reshape(len(which), -1).astype(np.int64)
    whole = step.outputs[0].shape[axis_out]
    known, found = np.zeros(whole, bool), np.zeros(whole, np.int64)
    known[which], found[which] = (flat == flat[:, :1]).all(1), flat[:, 0]
    return Channels(axis_out, known, found)


def _array(t: Tensor) -> Array:
    assert t.constant is not None, "the other operands of such a step are constant"
    return t.constant.array


def _along(values: Array, axis: int, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(values.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def _gone(graph: Graph, steps: Mapping[str, Step], constants: Mapping[str, Channels]) -> dict[str, Array]:
    """Of each tensor the channels that can go: all its readers can do without, and so can what makes them."""
    gone = {t: c.known.copy() for t, c in constants.items()}
    while True:
        before = {t: int(g.sum()) for t, g in gone.items()}
        for t, mask in gone.items():
            for reader in graph.consumers[t]:
                mask &= _does_without(steps[reader.name], t, constants[t], gone)
            if t in graph.outputs:
                mask[:] = False
            mask[0] &= not mask.all()  # one channel stays
            maker = steps[graph.producer[t].name]
            if not _is_dense(maker):
                mask &= gone.get(maker.node.inputs[0], np.zeros_like(mask))
        if before == {t: int(g.sum()) for t, g in gone.items()}:
            return gone


def _does_without(step: Step, tensor: str, channels: Channels, gone: Mapping[str, Array]) -> Array:
    """Which channels of a tensor a reader can lose."""
    none = np.zeros(len(channels.known), bool)
    if step.node.inputs[0] != tensor or step.node.inputs.count(tensor) > 1:
        return none
    if _is_dense(step):
        return _folds(step, channels)
    kept_apart = _is_depthwise(step) or (step.op in APART and step.integer and _moved_axis(step, channels.axis) is not None)
    return gone.get(step.node.outputs[0], none) if kept_apart else none


def _folds(step: Step, channels: Channels) -> Array:
    """The input channels of a dense layer whose products can go into its bias, to the last bit, as its accumulator sums."""
    x, w = step.inputs[:2]
    assert x is not None and x.quant is not None and w is not None and w.quant is not None
    zero = int(x.quant.zero_point.flat[0])
    nothing = channels.values == zero
    sums, products = step.accumulator, int(np.prod(w.shape[1:])) if step.op == "conv" else x.shape[-1]
    if not sums.any_order:
        exact = (nothing if sums.zero_points == "subtracted" else nothing & (zero == 0)) & (not w.quant.has_zero_point)
        return exact & (sums.every == "mac" or (sums.every == "tile" and sums.tile >= products))
    padded = step.op == "conv" and any((*step.node.attrs["before"], *step.node.attrs["after"]))
    changes = nothing if padded or sums.bits > 32 or not bias_in_accumulator(step) else channels.known
    return channels.known & changes


def _rewritten(graph: Graph, steps: Mapping[str, Step], constants: Mapping[str, Channels], gone: Mapping[str, Array]) -> Graph:
    """The network with shorter tensors."""
    tensors, nodes = dict(graph.tensors), []
    for node in graph.nodes:
        lost_in, lost_out = gone.get(node.inputs[0]) if node.inputs else None, gone.get(node.outputs[0])
        if lost_in is None and lost_out is None:
            nodes.append(node)
            continue
        axis_in, axis_out = (constants[t].axis if t in gone else 1 for t in (node.inputs[0], node.outputs[0]))
        keep_in, keep_out = (None if lost is None else np.flatnonzero(~lost) for lost in (lost_in, lost_out))
        step = steps[node.name]
        if lost_in is not None and _is_dense(step):
            step = _with_folded_bias(step, constants[node.inputs[0]], lost_in)
        part = _cut(step, keep_in, keep_out, axis_in, axis_out)
        tensors |= {t.name: t for t in (*part.inputs, *part.outputs) if t is not None}
        nodes.append(part.node)
    return graph.with_nodes(nodes, tensors)


def _with_folded_bias(step: Step, channels: Channels, lost: Array) -> Step:
    """The constant inputs' products added to the bias."""
    x, w, *rest = step.inputs
    assert x is not None and x.quant is not None
    offset = np.where(lost, channels.values - int(x.quant.zero_point.flat[0]), 0)
    if not offset.any():
        return step
    weights, zero = _rows(step)
    added = (weights - zero[:, None, None]).sum(2) @ offset
    (bias,) = rest
    assert bias is not None
    folded = _array(bias).astype(np.int64) + added
    wrapped = folded.astype(np.int32)  # sums wrap in any order
    name = f"{bias.name}.live@{step.name}"
    return replace(step, inputs=(x, w, replace(bias, name=name, constant=Constant.of(wrapped, name))))


def _cut(step: Step, keep_in: Array | None, keep_out: Array | None, axis_in: int, axis_out: int) -> Step:
    """A step on some of its channels; None keeps all of them."""
    x, *rest = step.inputs
    assert x is not None
    attrs = dict(step.node.attrs)
    inputs: list[Tensor | None] = [_some(x, axis_in, keep_in)]
    if step.op in ("conv", "matmul"):
        w, *bias = rest
        assert w is not None
        turned = step.op == "matmul" and not attrs["trans_b"]
        if not _is_depthwise(step):
            w = _some(w, 0 if turned else 1, keep_in, step.name)
        w = _some(w, 1 if turned else 0, keep_out, step.name)
        inputs += [w, *(None if b is None else _some(b, len(b.shape) - 1, keep_out, step.name) for b in bias)]
        if _is_depthwise(step) and keep_out is not None:
            attrs["group"] = len(keep_out)
    y = _some(step.outputs[0], axis_out, keep_out)
    if step.op == "reshape":
        attrs["shape"] = y.shape
    names = tuple("" if t is None else t.name for t in inputs)
    if keep_out is not None and step.op in ("conv", "matmul"):
        attrs["removed"] = step.outputs[0].shape[axis_out] - len(keep_out)
    node = Node(step.name, step.op, names, (y.name, *step.node.outputs[1:]), attrs, step.node.source)
    return replace(step, node=node, inputs=tuple(inputs), outputs=(y, *step.outputs[1:]))


def _some(t: Tensor, axis: int, keep: Array | None, of: str = "") -> Tensor:
    """Some channels of a tensor under a new name; a scale for each channel is cut with them."""
    if keep is None or t.shape[axis] == 1:
        return t
    name = f"{t.name}.live" + (f"@{of}" if of else "")
    shape = tuple(len(keep) if i == axis else n for i, n in enumerate(t.shape))
    quant = t.quant
    if quant is not None and quant.axis == axis:
        quant = replace(quant, scale=quant.scale[keep], zero_point=quant.zero_point[keep])
    constant = None if t.constant is None else Constant.of(np.ascontiguousarray(np.take(t.constant.array, keep, axis)), name)
    return replace(t, name=name, shape=shape, quant=quant, constant=constant)
