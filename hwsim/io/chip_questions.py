"""What `hwsim new-arch` asks: the numbers of a data sheet, each with what it must be and a default where one can be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

from hwsim import units
from hwsim.arch import parse_precision
from hwsim.errors import HwsimError, suggest
from hwsim.io.arch_yaml import cost_tables, load_costs
from hwsim.shelf import names

__all__ = ["QUESTIONS", "Answers", "Question", "check_answer", "default_answer", "pairs_of"]

Answers = Mapping[str, str]
SUPPLIES = ((90, "1.2 V"), (65, "1.1 V"), (45, "1.0 V"), (28, "0.9 V"), (12, "0.8 V"), (0, "0.75 V"))


@dataclass(frozen=True)
class Question:
    """One number or word: `check` raises HwsimError for an answer that cannot be; `default` works from the answers before."""

    key: str
    text: str
    check: Callable[[str], object]
    default: Callable[[Answers], str] | None = None


def _fixed(value: str) -> Callable[[Answers], str]:
    return lambda _: value


def _quantity(dimension: str) -> Callable[[str], object]:
    return lambda text: units.parse(text, dimension)


def _rate(thing: str) -> Callable[[str], object]:
    return lambda text: units.parse_rate(text, thing)


def _whole(text: str) -> object:
    if not text.isdecimal() or not int(text):
        raise HwsimError("", "must be a whole number of 1 or more", repr(text))
    return int(text)


def _one_of(*known: str) -> Callable[[str], object]:
    def check(text: str) -> object:
        if text not in known:
            raise HwsimError("", f"must be one of {', '.join(known)}", repr(text), suggest(text, known))
        return text

    return check


def _name(text: str) -> object:
    if not re.fullmatch("[a-z0-9_]+", text):
        raise HwsimError("", "must be lower-case letters, digits and underscores", repr(text))
    return text


def _some_text(text: str) -> object:
    if not text.strip() or '"' in text or "\n" in text:
        raise HwsimError("", "must be a line of text without double quotes", repr(text))
    return text


def pairs_of(text: str) -> dict[str, float]:
    """`w8a8: 1, fp16: 0.25` as a mapping.  Raises HwsimError for anything else."""
    found = {}
    for part in text.split(","):
        precision, colon, rate = (p.strip() for p in part.partition(":"))
        try:
            parse_precision(precision)
            found[precision] = float(rate)
        except ValueError:
            raise HwsimError("", "must be precisions with their rates such as `w8a8: 1, w4a8: 2`", repr(text)) from None
        if not colon or not found[precision] > 0:
            raise HwsimError("", "must give each precision a rate above 0", repr(text))
    return found


def _formats(text: str) -> object:
    for part in text.split(","):
        if not re.fullmatch(r"u?int([2-9]|1[0-6])", part.strip()):
            raise HwsimError("", "must be integer formats such as `int8, int4`", repr(text))
    return text


def _voltage(a: Answers) -> str:
    node = units.parse(a["node"], "length")
    return next(volts for least, volts in SUPPLIES if node >= least)


def _outputs(a: Answers) -> str:
    """About as many outputs as inputs: the power of two next to the square root that divides the MACs."""
    macs = int(a["macs"])
    return str(max(2**i for i in range(16) if not macs % 2**i and 4**i <= macs))


def _table(a: Answers) -> str:
    node = units.parse(a["node"], "length")
    return min(cost_tables(), key=lambda t: abs(log(load_costs(t).node / node)))


OFF_CHIP = ("lpddr3", "lpddr4", "lpddr4x", "lpddr5", "ddr3", "ddr4", "gddr6", "hbm2", "flash", "octospi_flash")
YES_NO = _one_of("yes", "no")
QUESTIONS = (
    Question("name", "short name, which is the file's too", _name),
    Question("title", "maker and name, as a reader knows the chip", _some_text, lambda a: a["name"]),
    Question("document", "where the numbers come from: data sheet and revision", _some_text, _fixed("data sheet")),
    Question("clock", "clock of the multipliers", _quantity("frequency")),
    Question("node", "process node", _quantity("length")),
    Question("voltage", "core supply", _quantity("voltage"), _voltage),
    Question("macs", "int8 multiply-accumulates per cycle, at peak", _whole),
    Question("outputs", "of these, outputs worked on side by side (the others share a sum)", _whole, _outputs),
    Question("depthwise", "channels of a depthwise layer side by side", _whole, lambda a: a["outputs"]),
    Question("precisions", "precisions that run natively, with MACs per multiplier and cycle", pairs_of, _fixed("w8a8: 1")),
    Question("accumulator", "bits of a sum", _whole, _fixed("32")),
    Question("overflow", "what a sum does that leaves its range: wrap or saturate", _one_of("wrap", "saturate"), _fixed("wrap")),
    Question(
        "vector",
        "8-bit elements per cycle of the vector unit (requantization, sums, pools)",
        _rate("count"),
        lambda a: f"{a['outputs']} /cycle",
    ),
    Question("sram", "on-chip memory for weights and activations", _quantity("size")),
    Question(
        "sram_bandwidth",
        "what it reads or writes",
        _rate("bits"),
        lambda a: f"{int(a['outputs']) + int(a['macs']) // int(a['outputs'])} B/cycle",
    ),
    Question("off_chip", f"off-chip memory: {', '.join(OFF_CHIP)}", _one_of(*OFF_CHIP), _fixed("lpddr4x")),
    Question("off_chip_size", "its size", _quantity("size"), _fixed("4 GiB")),
    Question("off_chip_bandwidth", "its bandwidth", _rate("bits")),
    Question("per_inference", "start and end of one inference", units.parse_duration, _fixed("100 us")),
    Question("per_layer", "issue of one layer", units.parse_duration, _fixed("1 us")),
    Question("weights", "formats of weights", _formats, _fixed("int8")),
    Question("per_channel", "a scale for every output channel of weights: yes or no", YES_NO, _fixed("yes")),
    Question("activations", "formats of activations", _formats, _fixed("int8")),
    Question("zero_points", "activations with zero points (asymmetric): yes or no", YES_NO, _fixed("yes")),
    Question(
        "arithmetic",
        "how sums are requantized (see `hwsim list arithmetics`)",
        lambda t: _one_of(*names("arithmetics"))(t),
        _fixed("single_rounding"),
    ),
    Question(
        "host_macs",
        "float32 multiply-accumulates of the host that takes the rest, or `none`",
        lambda t: t == "none" or units.parse_rate(t, "count"),
        _fixed("4 GMAC/s"),
    ),
    Question("leakage", "static power while it runs", _quantity("power"), _fixed("50 mW")),
    Question("table", "table of energies", lambda t: _one_of(*cost_tables())(t), _table),
)


def check_answer(question: Question, text: str) -> str:
    """The answer, stripped.  Raises HwsimError with the question's key for one that cannot be."""
    text = text.strip()
    try:
        question.check(text)
    except HwsimError as e:
        raise HwsimError(question.key, e.must, e.found, e.hint) from None
    return text


def default_answer(question: Question, answers: Answers) -> str | None:
    return None if question.default is None else question.default(answers)
