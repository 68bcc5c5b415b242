"""The weights of an ONNX file, left in the file until they are needed: large raw data is cut out of the bytes that protobuf reads.

Of the wire format (protobuf.dev, "Encoding") only the fields on the way are looked at: ModelProto.graph (7), GraphProto.initializer (5),
TensorProto.raw_data (9).  What is no such message is left as it is, for protobuf to refuse.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

__all__ = ["OpenFile", "Span", "cut_out"]

LARGE = 1 << 14  # bytes from which raw data stays in the file
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9


class OpenFile:
    """A file held open, so that its bytes stay what they were when another takes its name."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)

    def read(self, offset: int, length: int) -> bytearray:
        """Bytes from an offset on, fewer where the file ends before."""
        found = bytearray(length)
        view, done = memoryview(found), 0
        while done < length and (got := os.preadv(self.number, [view[done:]], offset + done)):
            done += got
        return found[:done] if done < length else found


@dataclass(frozen=True)
class Span:
    """Where in a file an initializer's raw data lies."""

    file: OpenFile
    offset: int
    length: int

    def read(self) -> bytearray:
        return self.file.read(self.offset, self.length)


def cut_out(data: bytes | mmap) -> tuple[bytes, dict[int, tuple[int, int]]]:
    """A model's bytes without the large raw data of its initializers, and the offset and length of each, by its place among them."""
    spans: dict[int, tuple[int, int]] = {}
    try:
        made = b"".join(_graph(data, *f[1:], spans) if f[0] == GRAPH else data[f[1] : f[3]] for f in _fields(data, 0, len(data)))
    except (IndexError, ValueError):
        return data[:], {}
    return made, spans


def _graph(data: bytes | mmap, start: int, body: int, end: int, spans: dict[int, tuple[int, int]]) -> bytes:
    parts, count = [], 0
    for number, first, inside, last in _fields(data, body, end):
        if number == INITIALIZER:
            parts.append(_initializer(data, first, inside, last, count, spans))
            count += 1
        else:
            parts.append(data[first:last])
    return _message(GRAPH, parts)


def _initializer(data: bytes | mmap, first: int, body: int, end: int, index: int, spans: dict[int, tuple[int, int]]) -> bytes:
    if end - body < LARGE:
        return data[first:end]
    kept = []
    for number, start, inside, last in _fields(data, body, end):
        if number == RAW_DATA and last - inside >= LARGE:
            spans[index] = inside, last - inside
        else:
            kept.append(data[start:last])
    return _message(INITIALIZER, kept)


def _message(number: int, parts: list[bytes]) -> bytes:
    body = b"".join(parts)
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _fields(data: bytes | mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, first byte, first byte of the content and end of every field.  Raises ValueError for what is none."""
    while start < end:
        key, body = _read_varint(data, start)
        last = body
        if key & 7 == 0:
            last = _read_varint(data, body)[1]
        elif key & 7 == 2:
            length, body = _read_varint(data, body)
            last = body + length
        elif key & 7 in (1, 5):
            last = body + (8 if key & 7 == 1 else 4)
        if (last == body and key & 7 != 2) or last > end:
            raise ValueError("not a protobuf message")
        yield key >> 3, start, body, last
        start = last


def _read_varint(data: bytes | mmap, at: int) -> tuple[int, int]:
    """A number and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("not a protobuf number")


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
