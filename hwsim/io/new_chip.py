"""A chip's file from the answers to a few questions: strict YAML with comments, ready to load and to be made better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hwsim.errors import HwsimError, suggest
from hwsim.io.arch_yaml import load_arch, read_yaml
from hwsim.io.chip_questions import QUESTIONS, Answers, Question, check_answer, default_answer, pairs_of
from hwsim.io.files import write_whole
from hwsim.io.shipped import shipped_folder

__all__ = ["answers_of", "complete", "write_chip"]

KNOWN = [q.key for q in QUESTIONS]
COLUMN = 48
Ask = Callable[[Question, str | None], str]


def answers_of(file: Path | None, pairs: Mapping[str, str]) -> dict[str, str]:
    """Answers given beforehand, by a file and by options (which win).  Raises HwsimError for an unknown question or answer."""
    found: dict[str, str] = {}
    if file is not None:
        tree, where = read_yaml(file)
        found = {k: _checked(k, v, where[k,]) for k, v in tree.items()}
    return found | {k: _checked(k, v, f"--answer {k}={v}") for k, v in pairs.items()}


def _checked(key: str, value: object, where: str) -> str:
    question = next((q for q in QUESTIONS if q.key == key), None)
    if question is None:
        raise HwsimError(where, f"must answer one of {', '.join(KNOWN)}", repr(key), suggest(key, KNOWN))
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    try:
        return check_answer(question, text)
    except HwsimError as e:
        raise HwsimError(where, f"{key} {e.must}", e.found, e.hint) from None


def complete(given: Answers, ask: Ask | None) -> tuple[dict[str, str], frozenset[str]]:
    """All answers, and the keys of those that are hwsim's defaults; `ask` asks for what is not given.

    Raises HwsimError for what nobody answers and has no default.
    """
    answers, defaults = dict(given), set()
    missing = [q.key for q in QUESTIONS if q.default is None and q.key not in given]
    if ask is None and missing:
        raise HwsimError("new-arch", f"must be told {', '.join(missing)}", None, "with --answer key=value or --answers file.yaml")
    for question in QUESTIONS:
        if question.key not in answers:
            default = default_answer(question, answers)
            answer = default if ask is None else check_answer(question, ask(question, default))
            assert answer is not None, "what has no default is given or asked"
            answers[question.key] = answer
            if answer == default:
                defaults.add(question.key)
    if int(answers["macs"]) % int(answers["outputs"]):
        raise HwsimError("outputs", f"must divide the {answers['macs']} MACs", answers["outputs"])
    return {q.key: answers[q.key] for q in QUESTIONS}, frozenset(defaults)


def write_chip(answers: Answers, defaults: Iterable[str], out: Path) -> None:
    """Write the file and read it back.  Raises HwsimError where it cannot be written, or the answers together make no chip."""
    write_whole(out, chip_text(answers, frozenset(defaults)))
    try:
        load_arch(out if out.suffix in (".yaml", ".yml") else f"./{out}")
    except HwsimError:
        out.unlink()
        raise


def chip_text(answers: Answers, defaults: frozenset[str]) -> str:
    """The file's text."""
    said = _Provenance(answers, defaults)
    schema = (shipped_folder("archs") / "arch.schema.json").as_posix()
    blocks = [_head(answers, said), _arrays(answers, said), _memories(answers, said), _rules(answers, said), _rest(answers, said)]
    return f"# yaml-language-server: $schema={schema}\n" + "\n".join(_aligned(line) for block in blocks for line in block.split("\n"))


def _aligned(line: str) -> str:
    """The comment behind a field in the column of the others."""
    field, mark, comment = line.partition("  #")
    return f"{field.rstrip():<{COLUMN}}#{comment}" if mark else line


class _Provenance:
    """What a block says of its numbers: the document, and which of them are hwsim's defaults."""

    def __init__(self, answers: Answers, defaults: frozenset[str]) -> None:
        self._document, self._defaults = answers["document"], defaults

    def lines(self, indent: int, keys: Iterable[str], assumed: str = "") -> str:
        keys = list(keys)
        left = [k for k in keys if k in self._defaults]
        told = len(left) < len(keys)
        texts = [f"{', '.join(left)}: left at hwsim's default"] if left else []
        texts += [assumed] if assumed else []
        lines = [f'source: "{self._document}"'] if told else []
        lines += [f'assumed: "{"; ".join(texts)}"'] if texts else []
        return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _head(a: Answers, said: _Provenance) -> str:
    return f"""name: {a["name"]}
title: "{a["title"]}"

clock:
  frequency: {a["clock"]}
{said.lines(2, ["clock"])}process:
  node: {a["node"]}  # areas and energies of the tables are scaled to it
  voltage: {a["voltage"]}
{said.lines(2, ["node", "voltage"])}"""


def _arrays(a: Answers, said: _Provenance) -> str:
    outputs = int(a["outputs"])
    rates = ", ".join(f"{p}: {r:g}" for p, r in pairs_of(a["precisions"]).items())
    keys = ["macs", "outputs", "depthwise", "precisions", "accumulator", "overflow"]
    return f"""arrays:
  mac:
    unroll:  # loops spread over the multipliers; the faster mode is taken for each layer
      - {{K: {outputs}, C: {int(a["macs"]) // outputs}}}  # outputs x inputs of a sum
      - {{G: {a["depthwise"]}, runs: [depthwise]}}  # channels of a depthwise layer
    dataflow: weight_stationary  # which operand stays in the multipliers: decides what streams
    rates: {{{rates}}}  # MACs per multiplier and cycle; other widths are promoted to the next wider
    runs: [conv, depthwise, conv_transpose, matmul, lstm]
    fuses: [relu, clip]  # operators done on the way out
    accumulator: {{bits: {a["accumulator"]}, overflow: {a["overflow"]}, every: mac}}
{said.lines(4, keys, "dataflow and fused operators; efficiency of whole layers is left at 1: fit it to measurements with `hwsim fit`")}
vector:
  lanes:
    rates: {{default: {a["vector"]}}}  # add operators with rates of their own: requantize, add, max, softmax, ...
{said.lines(4, ["vector"], "the same rate for every operator")}"""


def _memories(a: Answers, said: _Provenance) -> str:
    return f"""memories:  # from the nearest to the multipliers to the farthest
  sram:
    size: {a["sram"]}
    read: {a["sram_bandwidth"]}
    write: {a["sram_bandwidth"]}
{said.lines(4, ["sram", "sram_bandwidth"])}  dram:
    size: {a["off_chip_size"]}
    read: {a["off_chip_bandwidth"]}
    write: {a["off_chip_bandwidth"]}
    on_chip: false
    kind: {a["off_chip"]}  # energy per bit from the table
{said.lines(4, ["off_chip", "off_chip_size", "off_chip_bandwidth"], "no latency, the whole of the bandwidth is reached")}
dma:
  channels: 1
  setup: 100 cycles  # of one tile's transfer
  assumed: "one engine, about a hundred cycles to start it"
"""


def _rules(a: Answers, said: _Provenance) -> str:
    granularity = "per_channel" if a["per_channel"] == "yes" else "per_tensor"
    symmetric = "false" if a["zero_points"] == "yes" else "true"
    rules = ["weights", "per_channel", "activations", "zero_points"]
    return f"""arithmetic:
  default: {a["arithmetic"]}  # `hwsim list arithmetics` says which library each equals bit for bit
{said.lines(2, ["arithmetic"])}quantization:
  weights: {{formats: [{a["weights"]}], granularity: {granularity}, symmetric: true}}
  activations: {{formats: [{a["activations"]}], symmetric: {symmetric}}}
  bias: int32
  graph: 3  # every tensor carries a quantizer (MQBench's graphs 1, 2 and 3)
{said.lines(2, rules, "weights without zero points, int32 bias, graph 3")}"""


def _rest(a: Answers, said: _Provenance) -> str:
    host = "" if a["host_macs"] == "none" else _host(a, said)
    return f"""overheads:
  per_inference: {a["per_inference"]}
  per_layer: {a["per_layer"]}
{said.lines(2, ["per_inference", "per_layer"])}
{host}energy:
  table: {a["table"]}  # energies of archs/costs/, scaled to the node and supply (Stillmaker and Baas 2017)
  leakage: {a["leakage"]}
{said.lines(2, ["table", "leakage"], "the table is of another chip's circuits")}
validation:  # `hwsim fit --arch this.yaml --measured perf.csv -o fitted.yaml` fills it
  status: UNVALIDATED
"""


def _host(a: Answers, said: _Provenance) -> str:
    return f"""fallback:  # where operators go that the chip cannot run
  name: host
  macs: {a["host_macs"]}
  elements: {a["host_macs"].replace("MAC", "op")}
  format: float32
  handover: 100 us
  energy_per_op: 20 pJ
{said.lines(2, ["host_macs"], "as many elements as products; handover and energy of an instruction")}
"""
