"""Every TFLite operator that hwsim reads, and the translation of a network."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.errors import HwsimError, suggest
from hwsim.graph import SourceGraph
from hwsim.io import tflite_elementwise, tflite_images, tflite_moves, tflite_products, tflite_recurrent
from hwsim.io.tflite_parts import OPSET, Desk, TfliteNetwork, TfliteOperator

__all__ = ["READS", "translate"]

READS: dict[str, Callable[[TfliteOperator, Desk], None]] = {
    **tflite_products.READS,
    **tflite_images.READS,
    **tflite_elementwise.READS,
    **tflite_moves.READS,
    **tflite_recurrent.READS,
}


def translate(network: TfliteNetwork) -> SourceGraph:
    """A TFLite network in ONNX's operators on tensors that are stored as the file declares, in the order of the file.

    Raises HwsimError that names every operator that cannot be read.
    """
    unknown = dict.fromkeys(n.kind for n in network.operators if n.kind not in READS)
    if unknown:
        close = [f"'{kind}': {hint}" for kind in unknown if (hint := suggest(kind, READS))]
        raise HwsimError(network.name, "operators must be ones that hwsim reads", ", ".join(unknown), ", ".join(close) or None)
    desk = Desk(network)
    for op in network.operators:
        READS[op.kind](op, desk)
    outputs = tuple(desk.plain(t) for t in network.outputs)
    return SourceGraph(network.name, tuple(desk.nodes), desk.tensors, network.inputs, outputs, network.sha256, "litert_ref", OPSET, False)
