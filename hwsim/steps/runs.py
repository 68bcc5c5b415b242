"""How much of a tile lies side by side in memory, by the order in which tensors are stored."""

from __future__ import annotations

from hwsim import formats
from hwsim.arch import Arch
from hwsim.mapping import Tiling
from hwsim.program import Layer

__all__ = ["run_bits"]


def run_bits(arch: Arch, layer: Layer, tile: Tiling | None, operand: str) -> float | None:
    """Bits of an operand that follow one another without a gap when a tile moves; None where the tensor moves as a whole.

    Weights are stored by output, then input channel; maps by channel, or with `channels_last` by position.
    """
    if tile is None or layer.loops is None or operand not in ("weights", "inputs", "outputs"):
        return None
    loops = layer.loops
    if operand == "weights":
        taps = loops.FY * loops.FX * formats.get(layer.weight).bits
        return None if tile.channels >= loops.C and tile.outputs >= loops.K else _rows(tile.outputs, tile.channels, loops.C) * taps
    channels, whole = (tile.channels, loops.C) if operand == "inputs" else (tile.outputs, loops.K)
    tensor = layer.steps[0].inputs[0] if operand == "inputs" else layer.output
    assert tensor is not None
    bits = formats.get(tensor.format).bits
    width = tensor.shape[-1] if len(tensor.shape) == 4 else 1
    if arch.channels_last:
        all_channels = channels * tile.groups >= whole * loops.G
        return (width * whole * loops.G * tile.rows if all_channels else channels * tile.groups) * bits
    return tile.rows * width * bits


def _rows(outer: int, inner: int, whole: int) -> int:
    """Elements of a tile that follow one another: all of it when it spans the inner axis, one row of it otherwise."""
    return outer * inner if inner >= whole else inner
