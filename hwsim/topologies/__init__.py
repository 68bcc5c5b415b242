"""Topologies: classic networks with random weights, written layer by layer as their papers and reference code define them.

A file is a family; it defines `NETWORKS`, a dict from network name to `build(net, image)`: the function adds the layers to an
empty `Net` and returns the name of its output.  `IMAGE` gives the customary input size where it is not 224.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from hwsim.errors import HwsimError, suggest
from hwsim.graph import SourceGraph
from hwsim.shelf import load, names
from hwsim.topologies._net import Net

__all__ = ["build", "networks"]


@cache
def networks() -> dict[str, ModuleType]:
    """Every network's name, and the family that builds it."""
    return {name: family for f in names("topologies") for family in [load("topologies", f)] for name in family.NETWORKS}


def build(name: str, image: int | None = None, seed: int = 0) -> SourceGraph:
    """A classic network in float32 with random weights.  Raises HwsimError for an unknown name."""
    if name not in networks():
        raise HwsimError("network", f"must be one of {', '.join(sorted(networks()))}", repr(name), suggest(name, networks()))
    family = networks()[name]
    net = Net(name, seed)
    output = family.NETWORKS[name](net, image or getattr(family, "IMAGE", {}).get(name, 224))
    return net.finish(output)
