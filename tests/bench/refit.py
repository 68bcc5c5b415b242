"""Presets fitted again: `python -m tests.bench refit [chip ...] [--write]` runs the `refitted by` commands that stand in their files.

Without `--write` the files stay as they are.  Prints how far every fitted number moves.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from itertools import pairwise
from math import exp, log
from pathlib import Path

from typer.testing import CliRunner

from hwsim.arch import Arch
from hwsim.cli import app
from hwsim.io.arch_yaml import arch_path, load_arch, presets

__all__ = ["commands", "refit", "shift"]

ROOT = Path(__file__).resolve().parents[2]
MARK = "#   hwsim fit "


def commands(chip: str) -> list[list[str]]:
    """The arguments of the commands that made a preset's fitted numbers."""
    lines = arch_path(chip).read_text("utf-8").splitlines()
    return [shlex.split(line.removeprefix("#   hwsim ")) for line in lines if line.startswith(MARK)]


def refit(chip: str, folder: Path) -> Arch:
    """A preset fitted again, command after command, into a folder."""
    out = folder / f"{chip}.yaml"
    out.write_bytes(arch_path(chip).read_bytes())
    for command in commands(chip):
        given = dict(pairwise(command))
        changed = {given["--arch"]: str(out), given["-o"]: str(out), given["--measured"]: str(ROOT / given["--measured"])}
        run = CliRunner().invoke(app, [changed.get(word, word) for word in command])
        assert run.exit_code == 0, run.output
    return load_arch(str(out))


def shift(before: Arch, after: Arch) -> dict[str, float]:
    """By what factor each fitted number moved, above 1."""
    numbers = {name: [_amount(a, name) for a in (before, after)] for name in before.fit}
    return {name: exp(abs(log(b / a))) for name, (a, b) in numbers.items()}


def _amount(arch: Arch, name: str) -> float:
    number = arch.number(name)
    return number if isinstance(number, float) else float(number.amount) if hasattr(number, "amount") else float(number)


def main(arguments: list[str]) -> None:
    fitted = [p for p in presets() if commands(p)]
    parser = argparse.ArgumentParser(prog="python -m tests.bench refit")
    parser.add_argument("chips", nargs="*", default=fitted)
    parser.add_argument("--write", action="store_true", help="keep the new files")
    given = parser.parse_args(arguments)
    for chip in given.chips:
        with tempfile.TemporaryDirectory() as name:
            moved = shift(load_arch(chip), refit(chip, Path(name)))
            worst = max(moved, key=lambda n: moved[n])
            print(f"{chip}: {worst} moves most, by {100 * (moved[worst] - 1):.2f} %", flush=True)
            if given.write:
                arch_path(chip).write_bytes((Path(name) / f"{chip}.yaml").read_bytes())
