"""The compiled calls of an assembly on inputs that are in place already: what a kernel takes, without what carries numbers in and out."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.quant import Array
from hwsim.steps.assembly import Assembly, Workspace
from tests.bench._clock import Call

__all__ = ["alone"]


def alone(assembly: Assembly, feeds: Mapping[str, Array]) -> Call:
    """A call of the program's one table."""
    space = Workspace(assembly)
    for name, array in feeds.items():
        space.write(assembly.program.tensors[name], array)
    (segment,) = assembly.segments
    run, head, base = segment.run, segment.head, space.base
    assert run is not None, "a program of kernels alone"

    def call(held: tuple[Assembly, Workspace] = (assembly, space)) -> None:
        run(head, base)

    return call
