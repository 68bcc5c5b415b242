"""`python -m tests.bench WHAT [arguments]`: one file of this folder is one bench."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main() -> None:
    known = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(f"usage: python -m tests.bench {{{','.join(known)}}} [arguments]")
    import_module(f"tests.bench.{sys.argv[1]}").main(sys.argv[2:])


main()
