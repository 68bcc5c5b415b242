"""A chip's file with fitted numbers: the base file's own text, comments and sources, with values and the validation block replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwsim.arch import Arch
from hwsim.errors import HwsimError
from hwsim.evidence import Evidence, Validation
from hwsim.io.arch_yaml import field_places, load_arch
from hwsim.io.files import read_whole, write_whole

__all__ = ["printed", "write_fitted"]

_NUMBER = re.compile(r"\s*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?)(.*)", re.DOTALL)
_VALUE = re.compile(r"""(\s*:\s*)("[^"]*"|'[^']*'|[^,}\]\n#]*[^,}\]\s#])""")
LARGEST = 1 << 22


def printed(prior: str | float, factor: float) -> str:
    """A quantity as it was printed, with its number multiplied and rounded to four digits: `100 us` times 0.7 is `70 us`."""
    match = _NUMBER.fullmatch(str(prior))
    assert match is not None, "a prior that loads has a number"
    number = float(match[1].replace("_", "")) * factor
    text = f"{number:.4g}" if 1e-3 <= number < 1e4 else f"{number:.3e}"
    return (text if match[2] or "." in text else f"{text}.0") + match[2]


def write_fitted(base: Path, values: Mapping[str, str], evidence: Sequence[Evidence], out: Path) -> Arch:
    """Write `base` with new printed values by dotted name and with this evidence; the chip that the new file holds.

    Raises HwsimError for a value that does not stand in the file; nothing is written then.
    """
    lines = read_whole(base, LARGEST).decode().splitlines(keepends=True)
    places = field_places(base)
    for name, text in values.items():
        if name not in places:
            raise HwsimError(f"{base}: fit.{name}", "must be a number that stands in the file, not a default")
        line, column = places[name]
        key = name.rsplit(".", 1)[-1]
        before = lines[line][: column + len(key)]
        value = _VALUE.match(lines[line], len(before))
        assert value is not None, "a field that was read has a value"
        changed = before + value[1] + text + lines[line][value.end() :]
        places = {k: (at, c + len(changed) - len(lines[line]) if at == line and c > column else c) for k, (at, c) in places.items()}
        lines[line] = changed
    arch = load_arch(base)
    text = _without_validation(lines) + _block(_with(arch.validation, evidence))
    write_whole(out, text)
    return load_arch(out)


def _with(validation: Validation, evidence: Sequence[Evidence]) -> Validation:
    new = {(e.figure, e.conditions) for e in evidence}
    kept = [e for e in validation.evidence if (e.figure, e.conditions) not in new]
    return validation.model_copy(update={"status": "FITTED", "evidence": [*kept, *evidence]})


def _without_validation(lines: list[str]) -> str:
    """The text up to the validation block and behind it: a top-level block lasts to the next line that starts at the margin."""
    start = next((i for i, text in enumerate(lines) if text.startswith("validation:")), len(lines))
    end = next((i for i in range(start + 1, len(lines)) if lines[i][:1] not in (" ", "\n", "#")), len(lines))
    return "".join((*lines[:start], *lines[end:])).rstrip("\n") + "\n\n"


def _block(v: Validation) -> str:
    rows = [f"  status: {v.status}", f"  arithmetic: {json.dumps(v.arithmetic)}", "  evidence:"]
    for e in v.evidence:
        fields = {k: x for k, x in e.model_dump().items() if x is not None and x != []}
        first = ", ".join(f"{k}: {json.dumps(x)}" for k, x in fields.items() if k not in ("worst", "conditions"))
        rows += [f"    - {{{first},", f"       worst: {json.dumps(e.worst)},", f"       conditions: {json.dumps(e.conditions)}}}"]
    if v.note:
        rows.append(f"  note: {json.dumps(v.note)}")
    return "\n".join(["validation:", *rows]) + "\n"
