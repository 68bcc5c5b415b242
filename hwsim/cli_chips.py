"""The verb that makes a chip's file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli_options import Format, pairs, print_rows
from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from hwsim.io.chip_questions import Question

app = typer.Typer()


@app.command("new-arch")
def new_arch(
    out: Annotated[Path | None, typer.Option("-o", "--out", help="the chip's file; left out: <name>.yaml")] = None,
    answers: Annotated[Path | None, typer.Option(help="a YAML file with answers: `clock: 1 GHz`")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="one answer: clock=1GHz (may be repeated)")] = None,
    defaults: Annotated[bool, typer.Option("--defaults", help="ask nothing: what is not answered keeps its default")] = False,
    questions: Annotated[bool, typer.Option("--questions", help="print the questions with their defaults, and write nothing")] = False,
) -> None:
    """Write a chip's file from data-sheet numbers: asked for one by one, or given as answers; commented, and ready to run."""
    from hwsim.io.chip_questions import QUESTIONS
    from hwsim.io.files import check_folder
    from hwsim.io.new_chip import answers_of, complete, write_chip

    if questions:
        print_rows(("key", "question", "default"), [[q.key, q.text, "yes" if q.default else ""] for q in QUESTIONS], Format.table)
        return
    given = answers_of(answers, pairs("--answer", answer, "clock=1GHz", "key=value"))
    found, kept = complete(given, None if defaults or not sys.stdin.isatty() else _ask)
    path = out or Path(f"{found['name']}.yaml")
    check_folder(path.parent)
    if path.exists() and out is None:
        raise HwsimError(path, "must not exist yet", None, "name another file with -o")
    write_chip(found, kept, path)
    print(f"{path}: {len(kept)} of {len(found)} answers are defaults, marked `assumed`; try: hwsim run --arch {path} --model <file.onnx>")


def _ask(question: Question, default: str | None) -> str:
    """Until the answer can be."""
    from hwsim.io.chip_questions import check_answer

    while True:
        text: str = typer.prompt(f"{question.text} ({question.key})", default=default, err=True)
        try:
            return check_answer(question, text)
        except HwsimError as e:
            print(f"  {e}", file=sys.stderr)
