"""Files written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from hwsim.errors import HwsimError

__all__ = ["write_whole"]


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file through a temporary one beside it.  Raises HwsimError when the place cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        raise HwsimError(path, "must be a file that can be written", e.strerror or str(e)) from None
