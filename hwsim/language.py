"""Language models from their shapes: the products of a prompt's pass and of a generated token's, priced without numbers.

Scores of the prompt's own attention (3 % of its products at 2048 tokens) are left out; while tokens are generated, attention reads the
keys and values of all that came before.  The last product, over the vocabulary, stays in the activations' precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.arch import parse_precision
from hwsim.errors import HwsimError, suggest
from hwsim.steps.layer_table import LayerShape

__all__ = ["MODELS", "Pass", "passes"]

FORMATS = {"fp16": "float16", "bf16": "bfloat16"}
REAL_BITS = 16


@dataclass(frozen=True)
class Decoder:
    """A decoder of equal blocks with grouped-query attention and a gated feed-forward half (Touvron et al., arXiv 2302.13971)."""

    width: int
    hidden: int
    depth: int
    vocabulary: int
    heads: int
    groups: int

    @property
    def head(self) -> int:
        return self.width // self.heads


MODELS = {
    "llama3.1-8b": Decoder(4096, 14336, 32, 128256, 32, 8),
    "llama3.1-70b": Decoder(8192, 28672, 80, 128256, 64, 8),
    "llama2-7b": Decoder(4096, 11008, 32, 32000, 32, 32),
}


@dataclass(frozen=True)
class Pass:
    """Layers that run `times` times in a generation; `whole` with the start and end of a pass."""

    layers: tuple[LayerShape, ...]
    times: int
    whole: bool


def passes(name: str, precision: str, batch: int, tokens: tuple[int, int]) -> list[Pass]:
    """A whole generation of a batch: so many tokens of prompt at once, then so many one by one, at the mean length of the cache.

    Raises HwsimError for an unknown model, and for a precision without real activations of 16 bits.
    """
    if name not in MODELS:
        raise HwsimError("model", f"must be one of {', '.join(MODELS)}", repr(name), suggest(name, MODELS))
    weight, activation = parse_precision(precision)
    if activation not in FORMATS:
        raise HwsimError("precision", "of a language model must be fp16, bf16, w4fp16 or the like", repr(precision))
    bits = weight if isinstance(weight, int) else REAL_BITS
    m, real, (prompt, made) = MODELS[name], FORMATS[str(activation)], tokens
    found = []
    for rows, context, times in ((prompt, 0, 1), (1, prompt + made // 2, made)):
        found.append(Pass(tuple(_block(m, batch, bits, rows, context, real)), times * m.depth, False))
        found.append(Pass((_dense("head", m.width, m.vocabulary, batch, REAL_BITS, real),), times, True))
    return found


def _block(m: Decoder, batch: int, bits: int, tokens: int, context: int, real: str) -> Iterator[LayerShape]:
    rows = batch * tokens
    yield _dense("qkv", m.width, m.width + 2 * m.groups * m.head, rows, bits, real)
    if context:
        yield _attend("scores", m, m.head, context, batch * m.groups, tokens, real)
        yield _attend("values", m, context, m.head, batch * m.groups, tokens, real)
    yield _dense("out", m.width, m.width, rows, bits, real)
    yield _dense("gate_up", m.width, 2 * m.hidden, rows, bits, real)
    yield _dense("down", m.hidden, m.width, rows, bits, real)


def _dense(name: str, channels: int, outputs: int, rows: int, bits: int, real: str) -> LayerShape:
    return LayerShape(name, channels, outputs, batch=rows, weight_bits=bits, real=real)


def _attend(name: str, m: Decoder, channels: int, outputs: int, groups: int, tokens: int, real: str) -> LayerShape:
    """One product for each sequence and group of heads, with keys or values in the place of weights."""
    size = (tokens * m.heads // m.groups, 1)
    return LayerShape(name, groups * channels, groups * outputs, size, (1, 1), groups=groups, weight_bits=REAL_BITS, real=real)
