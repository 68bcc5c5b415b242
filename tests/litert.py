"""LiteRT as a judge: every tensor of a TFLite network, from its reference kernels or from XNNPACK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import hwsim
from hwsim.graph import Graph
from hwsim.io.tflite_model import network_of
from hwsim.io.tflite_operators import translate
from hwsim.io.tflite_parts import TfliteNetwork
from hwsim.quant import Array
from hwsim.steps.read import read

runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT judges these tests")
NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class Judged:
    """A TFLite file in LiteRT and in hwsim."""

    raw: bytes
    name: str
    kernels: str = "BUILTIN_REF"

    @cached_property
    def network(self) -> TfliteNetwork:
        return network_of(self.raw, self.name)

    @cached_property
    def graph(self) -> Graph:
        arithmetic = "xnnpack" if self.kernels == "BUILTIN" else "litert_ref"
        return read(replace(translate(self.network), arithmetic=arithmetic))

    @cached_property
    def interpreter(self) -> Any:
        kind = getattr(runtime.OpResolverType, self.kernels)
        held = runtime.Interpreter(
            model_content=self.raw,
            experimental_op_resolver_type=kind,
            experimental_preserve_all_tensors=self.kernels != "BUILTIN",
            num_threads=1,
        )
        held.allocate_tensors()
        return held

    @cached_property
    def places(self) -> dict[str, int]:
        """LiteRT's number of each tensor."""
        return {name: i for i, name in enumerate(self.network.tensors)}

    def random_feeds(self, rng: np.random.Generator) -> dict[str, Array]:
        """Uniform over the stored numbers, a quarter of them at the ends; normal for real inputs."""
        return {t: random_input(rng, self.network.tensors[t].format, self.network.tensors[t].shape) for t in self.network.inputs}

    def reference(self, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """These tensors as LiteRT computes them, from a state that is reset."""
        self.interpreter.reset_all_variables()
        for t, array in feeds.items():
            self.interpreter.set_tensor(self.places[t], array)
        self.interpreter.invoke()
        return {t: self.interpreter.get_tensor(self.places[t]) for t in names}

    def computed(self) -> list[str]:
        """What operators make; XNNPACK keeps the network's outputs alone."""
        if self.kernels == "BUILTIN":
            return list(self.network.outputs)
        return [t for op in self.network.operators for t in op.outputs]

    def differing(self, feeds: Mapping[str, Array], engine: str, names: Sequence[str] | None = None) -> list[str]:
        """The tensors in which hwsim differs from LiteRT, of `names` or of all that operators make."""
        wanted = self.computed() if names is None else list(names)
        reference = self.reference(feeds, wanted)
        found = hwsim.execute(self.graph, feeds, engine=engine, all_tensors=True)
        return [t for t in wanted if not equal(in_file_order(found, t), reference[t])]


def in_file_order(found: Mapping[str, Array], name: str) -> Array:
    """A tensor with its axes as the file has them."""
    return found[name] if name in found else found[f"{name}.nchw"].transpose(NHWC)


def equal(found: Array, wanted: Array) -> bool:
    """All stored numbers equal; real ones to float32 rounding, since the order of their sums is free."""
    if found.shape != wanted.shape:
        return False
    if wanted.dtype.kind == "f":
        return bool(np.allclose(found, wanted, rtol=1e-4, atol=1e-4 * max(float(np.abs(wanted).max(initial=0)), 1e-6)))
    return bool(np.array_equal(found, wanted))


def random_input(rng: np.random.Generator, fmt: str, shape: tuple[int, ...]) -> Array:
    if fmt == "float32":
        return rng.normal(0, 1, shape).astype(np.float32)
    ends = np.iinfo(fmt)
    x = rng.integers(ends.min, ends.max + 1, shape)
    edge = rng.choice([ends.min, ends.max], shape)
    return np.where(rng.random(shape) < 0.25, edge, x).astype(fmt)
