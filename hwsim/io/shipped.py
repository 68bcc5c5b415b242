"""What comes with hwsim: the chips of archs/ and the demo networks and data of workloads/, in a checkout and in a wheel alike."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["or_shipped", "shipped_folder"]


def shipped_folder(name: str) -> Path:
    """Where `archs` or `workloads` lies: in the wheel inside the package, in a checkout at the top."""
    inside = Path(__file__).resolve().parent.parent / name
    return inside if inside.is_dir() else inside.parent.parent / name


def or_shipped(path: str | os.PathLike[str], ending: str) -> Path:
    """The path itself, or the demo file of that bare name, with or without its ending, where there is no such file here."""
    given = Path(path)
    if given.parent.name or given.is_absolute() or given.exists():
        return given
    for name in (given.name, given.name + ending):
        demo = shipped_folder("workloads") / name
        if name.endswith(ending) and demo.is_file():
            return demo
    return given
