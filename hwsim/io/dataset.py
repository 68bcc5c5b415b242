"""The door to labelled data: an .npz file with inputs `x` and labels or targets `y`."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from hwsim.errors import HwsimError, suggest
from hwsim.io.files import refusal
from hwsim.io.shipped import or_shipped
from hwsim.quant import Array

__all__ = ["Dataset", "has_labels", "load_dataset"]

LARGE = 1 << 24  # bytes from which an array is not held in memory


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples along the first axis of `x`, and for each a label or a target in `y`."""

    name: str
    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


def load_dataset(path: str | Path, limit: int | None = None, labels: bool = True) -> Dataset:
    """The dataset of a file or a demo dataset's name, or its first `limit` samples; without `labels` only x is needed.

    Raises HwsimError that says what is wanted.
    """
    file = or_shipped(path, ".npz")
    if limit is not None and limit < 1:
        raise HwsimError("samples", "must be at least 1", limit)
    arrays = _arrays(file, ("x", "y") if labels else ("x",))
    x, y = arrays["x"], arrays.get("y")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise HwsimError(file, f"{name} must be numbers", "text" if array.dtype.kind in "SU" else array.dtype)
    if x.ndim < 2 or len(x) == 0:
        raise HwsimError(file, "x must have samples along its first axis and their numbers along others", f"shape {x.shape}")
    if y is None:
        y = np.zeros(len(x), np.int64)
    elif y.ndim < 1 or len(y) != len(x):
        raise HwsimError(file, f"y must have a label or target for each of the {len(x)} samples of x", f"shape {y.shape}")
    for name, array in (("x", x[:limit]), ("y", y[:limit])):
        _check_finite(file, name, array)
    return Dataset(file.stem, x[:limit], y[:limit])


def has_labels(path: str | Path) -> bool:
    """Whether a dataset's file has y; what is wrong with the file is load_dataset's to say."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "y.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _arrays(file: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """The named arrays of an .npz file; nothing is unpickled, and no memory is taken for what the file does not hold."""
    wanted = "must be an .npz file with arrays x (samples first) and y (labels or targets)"
    try:
        with zipfile.ZipFile(file) as archive:
            members = {n.removesuffix(".npy"): n for n in archive.namelist() if n.endswith(".npy")}
            missing = [k for k in names if k not in members]
            if missing:
                found = f"one with {', '.join(members)}" if members else "one with no arrays"
                raise HwsimError(file, wanted, found, suggest(missing[0], members) or "make it with np.savez(path, x=inputs, y=labels)")
            return {k: _array(archive, members[k], f"{file}: {k}") for k in names}
    except zipfile.BadZipFile:
        raise HwsimError(file, wanted, _kind(file)) from None
    except OSError as e:
        raise refusal(file, wanted, e) from None
    except (ValueError, EOFError, RuntimeError, zlib.error) as e:
        raise HwsimError(file, wanted, f"a damaged one ({str(e).partition('.')[0]})") from None


def _array(archive: zipfile.ZipFile, member: str, where: str) -> Array:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
        if dtype.hasobject:
            raise HwsimError(where, "must be plain numbers", "pickled Python objects")
        held, needed = archive.getinfo(member).file_size - stream.tell(), prod(shape) * dtype.itemsize
        if held != needed:
            raise HwsimError(where, f"must hold {needed} bytes for shape {shape} of {dtype}", held)
        if needed > LARGE:
            return _on_disk(stream, shape, dtype, "F" if fortran else "C")
    with archive.open(member) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _on_disk(stream: IO[bytes], shape: tuple[int, ...], dtype: Any, order: Literal["C", "F"]) -> Array:
    """Numbers unpacked to a nameless temporary file and read from there as they are needed: the data set may be larger than memory."""
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.flush()
        return np.memmap(file, dtype, "r", shape=shape, order=order)


def _kind(file: Path) -> str:
    """What a file is that is no archive."""
    with file.open("rb") as f:
        start = f.read(6)
    if not start:
        return "an empty file"
    if zipfile.is_zipfile(file):
        return "a damaged one"
    return "a single .npy array" if start == b"\x93NUMPY" else "a file of another kind, or a truncated one"


def _check_finite(file: Path, name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        return
    some = max(1, LARGE // max(array[:1].nbytes, 1))
    for start in range(0, len(array), some):
        part = array[start : start + some]
        if not np.isfinite(part).all():
            place = tuple(int(v) for v in np.argwhere(~np.isfinite(part))[0])
            raise HwsimError(file, f"{name} must be finite numbers", f"{part[place]} at {(start + place[0], *place[1:])}")
