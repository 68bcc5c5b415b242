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

__all__ = ["build", "named", "networks"]

# what publishers of measurements call networks, in letters and digits alone; the longest beginning wins
ALIASES = {
    "resnet": "resnet50",
    "mobilenet": "mobilenet_v1",
    "mobilenet10224": "mobilenet_v1",
    "mobilenet025": "mobilenet_v1_025_96",
    "mobilenetv1025": "mobilenet_v1_025_96",
    "visualwakewords": "mobilenet_v1_025_96",
    "vww": "mobilenet_v1_025_96",
    "autoencoder": "fc_autoencoder",
    "deepautoencoder": "fc_autoencoder",
    "vit": "vit_b_16",
    "regnet": "regnet_x_3_2gf",
    "inceptionv1": "googlenet",
    "squeezenet": "squeezenet1_1",
    "fcautoencoder": "fc_autoencoder",
}


@cache
def networks() -> dict[str, ModuleType]:
    """Every network's name, and the family that builds it."""
    return {name: family for f in names("topologies") for family in [load("topologies", f)] for name in family.NETWORKS}


def named(label: str) -> str:
    """The network that a publisher's label means: by the longest name or alias with which it begins, in letters and digits alone."""
    plain = _plain(label)
    known = {**ALIASES, **{_plain(n): n for n in networks()}}
    fits = [k for k in known if plain.startswith(k)]
    if not fits:
        raise HwsimError("network", f"must be one of {', '.join(sorted(networks()))}", repr(label), suggest(label, networks()))
    return known[max(fits, key=len)]


def _plain(label: str) -> str:
    return "".join(c for c in label.lower() if c.isalnum())


def build(name: str, image: int | None = None, seed: int = 0) -> SourceGraph:
    """A classic network in float32 with random weights.  Raises HwsimError for an unknown name."""
    if name not in networks():
        raise HwsimError("network", f"must be one of {', '.join(sorted(networks()))}", repr(name), suggest(name, networks()))
    family = networks()[name]
    net = Net(name, seed)
    output = family.NETWORKS[name](net, image or getattr(family, "IMAGE", {}).get(name, 224))
    return net.finish(output)
