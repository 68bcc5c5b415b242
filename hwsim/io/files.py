"""Files read whole, and written completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TypeVar

from hwsim.errors import HwsimError
from hwsim.units import format_bytes

__all__ = ["check_folder", "map_whole", "read_whole", "refusal", "write_whole"]

Held = TypeVar("Held")

_FOUND = {
    errno.ENOENT: "a missing one",
    errno.EISDIR: "a folder",
    errno.EACCES: "one without permission",
    errno.EPERM: "one without permission",
    errno.ENOTDIR: "one below a file",
    errno.EEXIST: "one below a file",
    errno.ENOSPC: "one on a full disk",
    errno.EROFS: "one on a read-only disk",
    errno.ENAMETOOLONG: "one with so long a name",
}


def refusal(path: Path, must: str, error: OSError) -> HwsimError:
    """The complaint about a file that the system refuses."""
    return HwsimError(path, must, _FOUND.get(error.errno or 0) or f"one that gives '{error.strerror or error}'")


def read_whole(path: Path, most: int) -> bytes:
    """The bytes of a file of at most `most` bytes.  Raises HwsimError for one that cannot be read, before memory is taken."""
    return _opened(path, most, Path.read_bytes)


def map_whole(path: Path, most: int) -> bytes | mmap:
    """The same without taking memory for them: the system reads what is looked at."""
    return _opened(path, most, _mapped)


def _mapped(path: Path) -> bytes | mmap:
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""


def _opened(path: Path, most: int, read: Callable[[Path], Held]) -> Held:
    must = "must be a file that can be read"
    try:
        if path.exists() and not path.is_file():
            raise HwsimError(path, must, "a folder" if path.is_dir() else "a device")
        if path.stat().st_size > most:
            raise HwsimError(path, f"must be a file of at most {format_bytes(most)}", format_bytes(path.stat().st_size))
        return read(path)
    except OSError as e:
        raise refusal(path, must, e) from None


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file through a temporary one beside it.  Raises HwsimError when the place cannot be written."""
    must = "must be a file that can be written"
    if not path.name:
        raise HwsimError(path, must, "a folder")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data.encode() if isinstance(data, str) else data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as e:
        raise refusal(path, must, e) from None


def check_folder(folder: Path) -> None:
    """Raises HwsimError when files cannot be written into a folder (which need not exist yet): before the work, not after it."""
    must, place = "must be a folder that can be written", folder
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
    except OSError as e:
        raise refusal(folder, must, e) from None
    if not place.is_dir():
        raise HwsimError(folder, must, "a file" if place == folder else f"one below the file '{place}'")
    if not os.access(place, os.W_OK | os.X_OK):
        raise HwsimError(folder, must, "one without permission")
