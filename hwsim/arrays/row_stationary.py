"""Row stationary: each processing element keeps a row of a filter and slides it along a row of inputs (Eyeriss).

A set of kernel rows x e output rows makes sums of p filters over q channels; r sets take other channels and t sets other filters.  A
strip of a set is one kernel's rows high and at most the array's columns wide.  m outputs of n images gather their sums in the buffer.
    passes         = ceil(N/n) ceil(C/(q r)) ceil(K/(p t)) ceil(OY/e) G
    cycles of one  = n p q OX FX + start
    buffer, words  = passes (inputs n q r ((e-1) stride + FY) W, filters p t q r FY FX, sums written once and read by all but the first
                     of each ceil(C/(q r)))
Chen, Krishna, Emer and Sze, "Eyeriss", JSSC 52(1), 2017, sections III and V.  Kernels with more rows than the array take several
passes.  Where no mapping is given, the one with the fewest cycles is searched, the way of feature maps included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from functools import lru_cache

from hwsim.arrays._shape import loops_of
from hwsim.errors import HwsimError, suggest
from hwsim.mac_array import MacArray, Passes
from hwsim.mapping import Work
from hwsim.program import Layer

__all__ = ["Nest", "Sets", "best_sets", "given_sets", "nest_of", "work", "work_of"]

DIMENSIONS = ("m", "n", "e", "p", "q", "r", "t")
BUFFER_PORT = 4  # words a cycle, to rank mappings; the memory's own ports count in the estimate


@dataclass(frozen=True)
class Nest:
    """One convolution as the array sees it: loops per group, input rows and columns with padding."""

    images: int
    groups: int
    channels: int
    outputs: int
    rows: int
    columns: int
    kernel: tuple[int, int]
    stride: int
    width: int

    @property
    def macs(self) -> int:
        return self.images * self.groups * self.channels * self.outputs * self.rows * self.columns * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Sets:
    """A mapping by the names of the paper's Table III."""

    m: int
    n: int
    e: int
    p: int
    q: int
    r: int
    t: int

    def passes(self, x: Nest, array_rows: int) -> int:
        folds = _up(x.kernel[0], array_rows)
        return _up(x.images, self.n) * self.depth(x) * _up(x.outputs, self.p * self.t) * _up(x.rows, self.e) * x.groups * folds

    def depth(self, x: Nest) -> int:
        """Passes that add to the same sums."""
        return _up(x.channels, self.q * self.r)

    def busy(self, x: Nest, array_rows: int) -> int:
        """Elements at work in a pass."""
        return min(x.kernel[0], array_rows) * self.e * self.r * self.t

    def words(self, x: Nest) -> tuple[int, int, int]:
        """Inputs, filters and sums of a pass."""
        inputs = self.n * self.q * self.r * ((self.e - 1) * x.stride + x.kernel[0]) * x.width
        filters = self.p * self.t * self.q * self.r * x.kernel[0] * x.kernel[1]
        return inputs, filters, self.n * self.p * self.t * self.e * x.columns

    def fetched_rows(self, x: Nest) -> int:
        """Input rows of all strips of output rows, with padding: those that two strips share come twice."""
        strips = _up(x.rows, self.e)
        return ((x.rows - strips) * x.stride) + strips * x.kernel[0]


def work(array: MacArray, layer: Layer, clock_hz: float) -> Work:
    """The layer by the best mapping that there is."""
    spec, x = _spec(array), nest_of(layer)
    return work_of(array, layer, best_sets(x, spec, *_size(array)))


def work_of(array: MacArray, layer: Layer, sets: Sets) -> Work:
    """Cycles, slots and words of all passes of one mapping."""
    x, (rows, columns) = nest_of(layer), _size(array)
    passes, depth = sets.passes(x, rows), sets.depth(x)
    cycles = passes * (sets.n * sets.p * sets.q * x.columns * x.kernel[1] + _spec(array).start)
    inputs, filters, sums = (passes * n for n in sets.words(x))
    again = sums * (depth - 1) // depth
    slots = int(cycles) * rows * columns
    mapped = passes * sets.n * sets.p * sets.q * x.columns * x.kernel[1] * rows * columns
    loops = loops_of(layer)
    outputs = loops.N * loops.G * loops.K * loops.OY * loops.OX
    return Work(
        {"OY": sets.e, "C": sets.q * sets.r, "K": sets.p * sets.t},
        {"multiply": int(cycles / layer.rate)},
        max(slots, x.macs),
        max(mapped, x.macs),
        {"inputs": inputs, "weights": filters, "sums": again},
        {"outputs": outputs, "sums": sums},
        ", ".join(f"{k} {v}" for k, v in zip(DIMENSIONS, astuple(sets), strict=True)),
    )


def nest_of(layer: Layer) -> Nest:
    """A matrix product is a 1 x 1 convolution of one position for each row."""
    loops, step = loops_of(layer), layer.steps[0]
    stride = int((1, *step.node.attrs.get("strides", ()))[-1])
    images = loops.N if step.op == "conv" else loops.N * loops.OY * loops.OX
    rows, columns = (loops.OY, loops.OX) if step.op == "conv" else (1, 1)
    width = (columns - 1) * stride + loops.FX
    return Nest(images, loops.G, loops.C, loops.K, rows, columns, (loops.FY, loops.FX), stride, width)


def given_sets(layer: Layer, array: MacArray, given: Mapping[str, float]) -> Sets:
    """The mapping that somebody chose.

    Raises HwsimError for one that does not name all of its numbers, or that the array cannot hold.
    """
    unknown = next((k for k in given if k not in DIMENSIONS), None)
    if unknown is not None:
        raise HwsimError(layer.name, f"a mapping must name {', '.join(DIMENSIONS)}", repr(unknown), suggest(unknown, DIMENSIONS))
    left_out = [k for k in DIMENSIONS if k not in given]
    if left_out:
        raise HwsimError(layer.name, f"a mapping must give all of {', '.join(DIMENSIONS)}", f"none of {', '.join(left_out)}")
    sets, x = Sets(**{k: int(given[k]) for k in DIMENSIONS}), nest_of(layer)
    if min(astuple(sets)) < 1 or not _holds(sets, x, _spec(array), *_size(array)):
        raise HwsimError(layer.name, "a mapping must fit the elements, their registers and the buffer of sums", str(sets))
    return sets


@lru_cache(maxsize=4096)
def best_sets(x: Nest, spec: Passes, rows: int, columns: int, word_cycles: float = 0.0) -> Sets:
    """The mapping with the fewest cycles of those that fit, where a word of inputs takes `word_cycles` beside the passes.

    Of equals the one with the least traffic.
    """
    found = _candidates(x, spec, rows, columns)
    return min(found, key=lambda s: _worth(s, x, spec, rows, word_cycles), default=Sets(1, 1, 1, 1, 1, 1, 1))


def _worth(s: Sets, x: Nest, spec: Passes, rows: int, word_cycles: float) -> tuple[float, float]:
    passes = s.passes(x, rows)
    inputs, filters, sums = s.words(x)
    buffer = passes * max(inputs + filters + sums * (s.depth(x) - 1) / s.depth(x), sums)
    load = filters / BUFFER_PORT
    cycles = passes * (s.n * s.p * s.q * x.columns * x.kernel[1] + spec.start + load)
    fetched = x.images * x.groups * x.channels * s.fetched_rows(x) * x.width * _up(x.outputs, s.m)
    return max(cycles, buffer / BUFFER_PORT + passes * load) + fetched * word_cycles, buffer + passes * filters + fetched


def _candidates(x: Nest, spec: Passes, rows: int, columns: int) -> Iterator[Sets]:
    """Every mapping whose numbers are the least for as many rounds, with as many outputs kept as the buffer takes."""
    strips = max(1, rows // min(x.kernel[0], rows))
    for e in _least(x.rows, strips * columns):
        room = _sets_of(e, strips, columns)
        for r in _least(x.channels, room):
            for t in sorted({1, *_least(x.outputs, room // r)[-2:]}):
                for q in _least(_up(x.channels, r), max(1, spec.input_words // x.kernel[1])):
                    for p in _least(_up(x.outputs, t), min(spec.sum_words, max(1, spec.filter_words // (q * x.kernel[1])))):
                        for n in _least(x.images, x.images):
                            yield from _kept(Sets(p * t, n, e, p, q, r, t), x, spec)


def _kept(s: Sets, x: Nest, spec: Passes) -> Iterator[Sets]:
    """The mapping with as many outputs in the buffer as go beside a pass' inputs; none where not even a pass' own do."""
    inputs, _, sums = s.words(x)
    most = (spec.buffer_words - inputs) // max(sums // (s.p * s.t), 1)
    if most >= s.p * s.t:
        most = most // (s.p * s.t) * s.p * s.t
        yield Sets(min(most, _up(x.outputs, s.p * s.t) * s.p * s.t), s.n, s.e, s.p, s.q, s.r, s.t)


def _holds(s: Sets, x: Nest, spec: Passes, rows: int, columns: int) -> bool:
    room = _sets_of(s.e, max(1, rows // min(x.kernel[0], rows)), columns)
    inputs, _, sums = s.words(x)
    elements = s.p * s.q * x.kernel[1] <= spec.filter_words and s.q * x.kernel[1] <= spec.input_words and s.p <= spec.sum_words
    return s.r * s.t <= room and elements and s.m * sums // (s.p * s.t) + inputs <= spec.buffer_words


def _sets_of(e: int, strips: int, columns: int) -> int:
    """Sets of e output rows that fit: wide ones take several strips, narrow ones lie side by side."""
    return strips // _up(e, columns) if e > columns else strips * (columns // e)


def _least(n: int, most: int) -> list[int]:
    """The least size for every number of rounds over n, up to `most`."""
    return [size for size in range(1, min(n, most) + 1) if size == _up(n, _up(n, size))] or [1]


def _up(a: int, b: int) -> int:
    return -(-a // b)


def _size(array: MacArray) -> tuple[int, int]:
    return array.unroll[0].rows, array.unroll[0].columns


def _spec(array: MacArray) -> Passes:
    if array.passes is None:
        raise HwsimError("arrays", "must have `passes` to be row stationary")
    return array.passes
