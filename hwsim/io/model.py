"""A network from a file, by its format."""

from __future__ import annotations

import os

from hwsim.graph import SourceGraph
from hwsim.io.shipped import or_shipped

__all__ = ["read_model"]


def read_model(path: str | os.PathLike[str]) -> SourceGraph:
    """The network of a TFLite file (`.tflite`) or an ONNX file (any other name), or of a demo network by its name.

    Raises HwsimError when it cannot be read.
    """
    path = or_shipped(path, ".onnx")
    if path.suffix.lower() == ".tflite":
        from hwsim.io.tflite_model import read_tflite

        return read_tflite(path)
    from hwsim.io.onnx_model import read_onnx

    return read_onnx(path)
