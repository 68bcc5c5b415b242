"""Quantize the demo network by SNPE's rules (unsigned 8 bits, one scale and zero point per tensor, the whole graph) with min-max ranges.

    python workloads/quantize_digits.py

Needs the float network and the calibration images that train_digits.py wrote; no torch.
"""

from __future__ import annotations

from pathlib import Path

from hwsim.io.arch_yaml import load_arch
from hwsim.io.dataset import load_dataset
from hwsim.io.onnx_model import read_onnx, write_onnx
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.quantize import quantize, ranges_of
from hwsim.steps.read import read

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    source = fold_batch_norm(read_onnx(FOLDER / "digits_resnet_float.onnx"))
    calibration = load_dataset(FOLDER / "digits_calibration.npz").x
    graph = read(source, {"input": calibration.shape})
    ranges = ranges_of(graph, [{"input": calibration}])
    quantized = quantize(source, load_arch("snpe_dsp").quantization, "w8a8", ranges)
    write_onnx(quantized, FOLDER / "digits_resnet_w8a8.onnx")


if __name__ == "__main__":
    main()
