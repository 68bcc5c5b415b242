"""TFLite operators on images: pools and resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwsim.io.tflite_parts import Desk, TfliteOperator
from hwsim.io.tflite_products import emit_bounded, padding

__all__ = ["READS"]


def _pools(kind: str) -> Callable[[TfliteOperator, Desk], None]:
    def read(op: TfliteOperator, desk: Desk) -> None:
        attrs = {
            "auto_pad": padding(op),
            "kernel_shape": [op.option("FilterHeight"), op.option("FilterWidth")],
            "strides": [op.option("StrideH"), op.option("StrideW")],
        }
        emit_bounded(op, desk, kind, (desk.image(op.inputs[0]),), attrs, image=True, fuses=kind != "MaxPool")

    return read


def _resizes(mode: str) -> Callable[[TfliteOperator, Desk], None]:
    def read(op: TfliteOperator, desk: Desk) -> None:
        """To the rows and columns of a constant."""
        size = [int(v) for v in desk.array(op, 1, "the size").ravel()]
        aligned, centred = op.option("AlignCorners"), op.option("HalfPixelCenters")
        half = "tf_half_pixel_for_nn" if mode == "nearest" else "half_pixel"
        attrs: dict[str, Any] = {
            "mode": mode,
            "axes": [2, 3],
            "coordinate_transformation_mode": "align_corners" if aligned else half if centred else "asymmetric",
            "multiply": 1,
        }
        if mode == "nearest":
            attrs["nearest_mode"] = "round_prefer_ceil" if aligned else "floor"
        inputs = (desk.image(op.inputs[0]), "", "", desk.shape_input(op, "size", size))
        desk.node("Resize", op.name, inputs, (desk.output(op.outputs[0], True),), attrs)

    return read


READS: dict[str, Callable[[TfliteOperator, Desk], None]] = {
    "AVERAGE_POOL_2D": _pools("AveragePool"),
    "MAX_POOL_2D": _pools("MaxPool"),
    "RESIZE_BILINEAR": _resizes("linear"),
    "RESIZE_NEAREST_NEIGHBOR": _resizes("nearest"),
}
