"""Two runs of one network side by side: on a chip, by the file's own arithmetic, literally, or in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim import formats
from hwsim.arch import Arch
from hwsim.errors import HwsimError, suggest
from hwsim.graph import Graph, Tensor
from hwsim.io.arch_yaml import load_arch, presets
from hwsim.io.dataset import Dataset
from hwsim.program import Program
from hwsim.quant import Array
from hwsim.steps.diff import Comparison, compare_tensors, isolated
from hwsim.steps.execute import execute
from hwsim.steps.lower import as_written, lower
from hwsim.steps.read import read, with_batch

__all__ = ["compare_runs"]


OTHERS = ("file", "literal", "onnxruntime")


def compare_runs(graph: Graph, arch: str | None, other: str, data: Dataset | None = None, samples: int = 8, seed: int = 0) -> Comparison:
    """Run a network twice and compare every tensor that both runs have.

    `arch` names the chip of the first run (None: the file's own arithmetic); `other` is a chip, `file`, `literal` or
    `onnxruntime`.  Without data the inputs are random.  Raises HwsimError for an unknown chip.
    """
    graph = with_batch(graph, samples)
    feeds = _feeds(graph, data, seed)
    program = as_written(graph) if arch is None else lower(graph, load_arch(arch))
    mine = execute(program, feeds, all_tensors=True).tensors
    theirs, described = _second(graph, other, feeds)
    order = [t for n in graph.nodes for t in n.outputs if t in theirs and t in mine]
    cumulative = tuple(compare_tensors(program.tensors[t], mine[t], theirs[t], described.get(t)) for t in order)
    return Comparison(arch or "file", other, cumulative, isolated(program, theirs, described))


def _second(graph: Graph, other: str, feeds: Mapping[str, Array]) -> tuple[Mapping[str, Array], Mapping[str, Tensor]]:
    """The second run's tensors, and how they are stored."""
    if other == "onnxruntime":
        from hwsim.io.onnxruntime_runs import run_onnxruntime

        found = run_onnxruntime(graph.source, feeds)
        return {
            **{
                t: formats.get(graph.tensors[t].format).round(a) if a.dtype.kind == "V" else a
                for t, a in found.items()
                if t in graph.tensors
            },
            **feeds,
        }, graph.tensors
    if other == "literal":
        plain = read(graph.source, {t: graph.tensors[t].shape for t in graph.inputs}, qdq="literal")
        program: Program = as_written(plain)
    else:
        program = as_written(graph) if other == "file" else lower(graph, _chip(other))
    return execute(program, feeds, all_tensors=True).tensors, program.tensors


def _chip(name: str) -> Arch:
    """The chip of a second run."""
    if "." not in name and name not in presets():
        known = (*OTHERS, *presets())
        raise HwsimError("against", f"must be {', '.join(OTHERS)} or a chip", repr(name), suggest(name, known))
    return load_arch(name)


def _feeds(graph: Graph, data: Dataset | None, seed: int) -> dict[str, Array]:
    """The first samples of the data, or random inputs (normal numbers; whole numbers over the whole range for stored inputs)."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for name in graph.inputs:
        t = graph.tensors[name]
        fmt = formats.get(t.format)
        if data is not None:
            if len(data.x) < t.shape[0] or data.x.shape[1:] != t.shape[1:]:
                raise HwsimError(f"data '{data.name}'", f"x must have {t.shape[0]} samples of shape {t.shape[1:]}", data.x.shape)
            x = data.x[: t.shape[0]]
            feeds[name] = x.astype(fmt.dtype) if fmt.is_integer else fmt.round(x, saturate=False)
        elif fmt.is_integer:
            feeds[name] = rng.integers(int(fmt.low) if fmt.bits < 32 else 0, int(fmt.high) + 1 if fmt.bits < 32 else 1000, t.shape).astype(
                fmt.dtype
            )
        else:
            feeds[name] = fmt.round(rng.standard_normal(t.shape))
    return feeds
