"""The door to ONNX Runtime, where it is installed: every tensor of a network as it computes them, with graph optimizations off."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.onnx_model import model_proto, outward
from hwsim.quant import Array

__all__ = ["run_onnxruntime"]


def run_onnxruntime(source: SourceGraph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Tensor name -> array.  Raises HwsimError when ONNX Runtime is not installed or refuses the network."""
    try:
        import onnxruntime as ort
    except ImportError:
        raise HwsimError("onnxruntime", "must be installed for this comparison", hint="pip install onnxruntime") from None
    names = [t for n in source.nodes for t in n.outputs if t]
    model = model_proto(source, extra_outputs=[t for t in names if t not in source.outputs])
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        given = {k: outward(v, source.tensors[k].format) for k, v in feeds.items()}
        arrays = session.run(names, given)
    except Exception as e:
        raise HwsimError(source.name, "must run in ONNX Runtime", str(e).splitlines()[0][:200]) from None
    return {n: a for n, a in zip(names, arrays, strict=True) if a is not None}
