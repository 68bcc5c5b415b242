"""Every TFLite operator that hwsim reads, and the translation of a network."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.errors import HwsimError, counted, suggest
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


# how many inputs an operator must have, where it is not one
LEAST = {
    **dict.fromkeys(
        ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"), 2
    ),
    **dict.fromkeys(("PRELU", "MEAN", "SUM", "ARG_MAX", "ARG_MIN", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE", "PAD"), 2),
    **dict.fromkeys(("SPLIT", "GATHER"), 2),
    **dict.fromkeys(("TRANSPOSE_CONV", "PADV2", "SPLIT_V", "SLICE"), 3),
    "STRIDED_SLICE": 4,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 20,
}


def _check(op: TfliteOperator) -> None:
    """The inputs and outputs that the operator needs."""
    least = LEAST.get(op.kind, 1)
    needed = op.inputs[:1] if op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM" else op.inputs[:least]
    if len(op.inputs) < least or not all(needed) or not op.outputs or not all(op.outputs):
        found = f"{len(op.inputs)} and {len(op.outputs)}" if len(op.inputs) < least or not op.outputs else "one left out"
        raise HwsimError(op.where, f"must have {counted(least, 'input')} and an output", found)


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
        _check(op)
        READS[op.kind](op, desk)
    outputs = tuple(desk.plain(t) for t in network.outputs)
    return SourceGraph(network.name, tuple(desk.nodes), desk.tensors, network.inputs, outputs, network.sha256, "litert_ref", OPSET, False)
