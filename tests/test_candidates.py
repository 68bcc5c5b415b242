"""What each layer stores at other widths, chosen on the way: the same as when the whole network is quantized so, where it must be."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hwsim.io.arch_yaml import load_arch
from hwsim.io.model import read_model
from hwsim.precision import Precision
from hwsim.quantizing import quantize_for
from tests.data import WORKLOADS


@pytest.mark.parametrize("method", ["minmax", "mse+coordinate_descent+bias"])
def test_other_widths_are_those_of_the_first_layer_quantized_alone(method: str) -> None:
    """The first layer has the float input in every network: what it stores at 4 bits is what a network of 4 bits stores."""
    arch = load_arch("gap9_ne16", {"quantization.first_last_bits": "2"})
    source = read_model(WORKLOADS / "digits_resnet_float.onnx")
    x = np.load(WORKLOADS / "digits_calibration.npz")["x"][:32]
    both = quantize_for(arch, source, x, "w8a8", method, also=[Precision((4, 8))])
    alone = quantize_for(arch, source, x, "w4a8", method)
    first = next(iter(both.plan.layers))
    a, b = both.choices[1].weights[first], alone.choices[0].weights[first]
    assert a.quant.bits == 4 and np.array_equal(a.stored, b.stored) and np.array_equal(a.quant.scale, b.quant.scale)
    assert np.array_equal(
        both.choices[0].weights[first].stored, quantize_for(arch, source, x, "w8a8", method).choices[0].weights[first].stored
    )


def test_networks_go_to_other_processes() -> None:
    source = read_model(WORKLOADS / "digits_resnet_float.onnx")
    again = pickle.loads(pickle.dumps(source))
    constants = [t for t, held in source.tensors.items() if held.constant is not None]
    assert constants and again.nodes == source.nodes
    assert all(np.array_equal(source.tensors[t].constant.array, again.tensors[t].constant.array) for t in constants)
