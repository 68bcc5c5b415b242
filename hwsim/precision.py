"""The bit-widths of a network, layer by layer: what a search changes and a quantizer obeys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.arch import parse_precision
from hwsim.errors import HwsimError

__all__ = ["Precision", "Widths"]

Widths = tuple[int, int]


@dataclass(frozen=True)
class Precision:
    """Bits of weights and activations: one pair for all layers, and others for layers by name.

    Prints as `w4a8 except fc: w8a8, stem: w8a4`.
    """

    default: Widths
    layers: Mapping[str, Widths] = field(default_factory=dict)

    def of(self, layer: str) -> Widths:
        """(weight bits, activation bits) of a layer; the activation is the one that the layer reads."""
        return self.layers.get(layer, self.default)

    @property
    def least(self) -> int:
        """The least width of anything."""
        return min(min(w) for w in (self.default, *self.layers.values()))

    def __str__(self) -> str:
        others = ", ".join(f"{name}: {_printed(w)}" for name, w in self.layers.items() if w != self.default)
        return _printed(self.default) + (f" except {others}" if others else "")

    @classmethod
    def parse(cls, text: str) -> Precision:
        """The precision that prints so.  Raises HwsimError for anything else."""
        default, _, rest = text.partition(" except ")
        pairs = (part.rpartition(": ") for part in rest.split(", ") if part)
        return cls(_parsed(default), {name.strip(): _parsed(widths) for name, _, widths in pairs})

    def to_json(self) -> str:
        """A JSON object: `default`, and `layers` by name."""
        return json.dumps({"default": _printed(self.default), "layers": {k: _printed(v) for k, v in self.layers.items()}}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Precision:
        """The precision of a JSON object.  Raises HwsimError when it is none."""
        try:
            held = json.loads(text)
            return cls(_parsed(held["default"]), {k: _parsed(v) for k, v in held.get("layers", {}).items()})
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise HwsimError("precision", 'must be JSON such as {"default": "w4a8", "layers": {"fc": "w8a8"}}', str(e)) from None


def _printed(widths: Widths) -> str:
    return f"w{widths[0]}a{widths[1]}"


def _parsed(text: str) -> Widths:
    try:
        weight, activation = parse_precision(text.strip())
    except ValueError as e:
        raise HwsimError("bits", str(e)) from None
    if not isinstance(weight, int) or not isinstance(activation, int):
        raise HwsimError("bits", "must be integers such as w8a8", repr(text))
    return weight, activation
