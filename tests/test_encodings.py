"""Encodings in AIMET's JSON: written and read, kept where they are given, refused where the chip cannot have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import formats
from hwsim.encodings import Encoding
from hwsim.errors import HwsimError
from hwsim.graph import SourceGraph
from hwsim.io.arch_yaml import load_arch
from hwsim.io.encodings import read_encodings, write_encodings
from hwsim.quant import Array, QuantParams
from hwsim.quantizing import quantize_for


def page(activations: Any, params: Any, version: str = "1.0.0") -> str:
    return json.dumps({"version": version, "activation_encodings": activations, "param_encodings": params})


@given(st.sampled_from(["int8", "uint8", "int4", "uint4", "int16"]), st.integers(-128, 255), st.floats(1e-6, 10), st.integers(0, 2**32))
def test_an_encoding_means_what_the_parameters_mean(name: str, zero: int, scale: float, seed: int) -> None:
    """scale (u + offset) with u counted from the format's least number is scale (q - zero_point), in the other signedness too."""
    fmt = formats.get(name)
    quant = QuantParams(fmt, np.float32(scale).reshape(()), np.int64(np.clip(zero, fmt.low, fmt.high)).reshape(()))
    e = Encoding.of(quant)
    q = np.random.default_rng(seed).integers(int(fmt.low), int(fmt.high) + 1, 50)
    np.testing.assert_allclose(e.scale * (q - int(fmt.low) + e.offset), quant.dequantize(q), rtol=1e-6)
    other = formats.get(name.removeprefix("u") if name.startswith("u") else f"u{name}")
    _, moved = e.on(other, "x")
    assert (q - int(fmt.low) + int(other.low) - moved == q - quant.zero_point).all()


def test_what_is_written_is_read_and_quantizes_the_same(digits: SourceGraph, digits_images: Array, tmp_path: Path) -> None:
    """A network quantized with the encodings of another run has the same scales, widths and weights."""
    chip, first = load_arch("fbgemm_x86"), None
    first = quantize_for(chip, digits, digits_images[:32], "w4a8", "mse+nearest")
    write_encodings(first.encodings, tmp_path / "e.json")
    second = quantize_for(chip, digits, digits_images[32:48], "w8a8", "nearest", given=read_encodings(tmp_path / "e.json"))
    written = json.loads((tmp_path / "e.json").read_text())
    assert {e["name"] for e in written["param_encodings"]} >= {"stem.weight"}  # as the float file calls it, not as folded
    assert {e["bw"] for e in written["param_encodings"]} == {4, 8} and written["param_encodings"][0]["enc_type"] == "PER_CHANNEL"
    assert first.network.tensors.keys() == second.network.tensors.keys()
    for name, t in first.network.tensors.items():
        if t.constant is not None:
            np.testing.assert_array_equal(second.network.tensors[name].constant.array, t.constant.array, err_msg=name)  # type: ignore[union-attr]


def test_version_0_6_1(tmp_path: Path) -> None:
    one = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 2.0, "min": -1.0, "offset": -85, "scale": 3 / 255}
    (tmp_path / "e.json").write_text(page({"x": [one]}, {"w": [one, {**one, "offset": -128, "scale": 0.5}]}, "0.6.1"))
    found = read_encodings(tmp_path / "e.json")
    assert (found.activations["x"].bits, found.activations["x"].symmetric) == (8, False)
    np.testing.assert_array_equal(found.weights["w"].offset, [-85, -128])
    np.testing.assert_allclose(found.weights["w"].scale, [3 / 255, 0.5])


GOOD = {"name": "input", "bw": 8, "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": False, "scale": [0.01], "offset": [0]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "must be AIMET's encodings in JSON"),
        (page([], [], "2.0.0"), "version must be 1.0.0 or 0.6.1, not 2.0.0"),
        (page([{**GOOD, "dtype": "FLOAT"}], []), "'input': must be integers with one scale"),
        (page([{**GOOD, "enc_type": "LPBQ"}], []), "'input': must be integers with one scale"),
        (page([{**GOOD, "scale": [0.0]}], []), "scales above 0"),
        (page([{**GOOD, "offset": [0.5]}], []), "whole offsets"),
        (page([{k: v for k, v in GOOD.items() if k != "offset"}], []), "must have bit-width, scale and offset"),
        (page([{**GOOD, "name": "inputt"}], []), "must name tensors of the network, not 'inputt'; did you mean 'input'"),
        (page([{**GOOD, "offset": [7]}], []), "must have offsets of a grid 0 ... 255"),
        (page([{**GOOD, "scale": [0.1, 0.2], "offset": [0, 0], "enc_type": "PER_CHANNEL"}], []), "must have 1 scale by the chip's rules"),
        (page([{**GOOD, "bw": 4}], []), "must have 8 bits by the chip's rules, not 4"),
    ],
)
def test_encodings_that_cannot_be(text: str, complaint: str, digits: SourceGraph, digits_images: Array, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(HwsimError, match=complaint):
        quantize_for(load_arch("fbgemm_x86"), digits, digits_images[:4], "w8a8", "nearest", given=read_encodings(tmp_path / "e.json"))


def test_stages_that_move_ranges_are_refused_and_idle_encodings_told(digits: SourceGraph, digits_images: Array, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(page([GOOD, {**GOOD, "name": digits.outputs[0]}], []))
    found = read_encodings(tmp_path / "e.json")
    with pytest.raises(HwsimError, match="must leave the ranges as they are with --use-encodings, not dead"):
        quantize_for(load_arch("fbgemm_x86"), digits, digits_images[:4], "w8a8", "full", given=found)
    done = quantize_for(load_arch("fbgemm_x86"), digits, digits_images[:4], "w8a8", "nearest", given=found)
    assert done.notes == (f"encodings of tensors that this chip does not quantize: {digits.outputs[0]}",)
