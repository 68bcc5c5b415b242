"""Layer tables of outside sources as networks of hwsim."""

from __future__ import annotations

from collections.abc import Iterable

from hwsim.steps.layer_table import LayerShape
from hwsim.validation import Row

__all__ = ["classic_layers"]


def classic_layers(rows: Iterable[Row]) -> list[LayerShape]:
    """The tables of ResNet-18 and MobileNetV2: name, type (conv, dw, fc), H, W, C, K, R, S, stride, pad, groups."""
    return [_classic(r) for r in rows]


def _classic(r: Row) -> LayerShape:
    h, w, c, k, kh, kw, stride, pad, groups = (int(r[n]) for n in ("H", "W", "C", "K", "R", "S", "stride", "pad", "groups"))
    if r["type"] == "fc":
        return LayerShape(r["name"], c * h * w, k)
    return LayerShape(r["name"], c, k, (h, w), (kh, kw), stride, (pad,) * 4, groups)
