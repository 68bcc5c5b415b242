"""A chip's file from answers: it loads as it was answered, says what was a default, and refuses what cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hwsim import cli, cli_chips, load_arch, load_model, run
from hwsim.errors import HwsimError
from hwsim.io.chip_questions import QUESTIONS
from hwsim.io.new_chip import answers_of, complete, write_chip
from tests.data import WORKLOADS

LEAST = {"name": "mine", "clock": "1.2 GHz", "node": "16 nm", "macs": "1024", "sram": "2 MiB", "off_chip_bandwidth": "8 GB/s"}
ALL = {
    **LEAST,
    "title": "A small NPU",
    "document": "data sheet, revision 3",
    "voltage": "0.72 V",
    "outputs": "64",
    "depthwise": "8",
    "precisions": "w8a8: 1, w4a8: 2, fp16: 0.25",
    "accumulator": "24",
    "overflow": "saturate",
    "vector": "48 /cycle",
    "sram_bandwidth": "96 B/cycle",
    "off_chip": "ddr4",
    "off_chip_size": "1 GiB",
    "per_inference": "30 us",
    "per_layer": "300 cycles",
    "weights": "int8, int4",
    "per_channel": "no",
    "activations": "uint8, int16",
    "zero_points": "no",
    "arithmetic": "gemmlowp",
    "host_macs": "none",
    "leakage": "7 mW",
    "table": "horowitz_45nm",
}


def made(tmp_path: Path, given: dict[str, str]) -> tuple[str, Path]:
    file = tmp_path / "mine.yaml"
    write_chip(*complete(answers_of(None, given), None), file)
    return file.read_text(), file


def test_every_answer_is_a_field(tmp_path: Path) -> None:
    assert set(ALL) == {q.key for q in QUESTIONS}
    text, file = made(tmp_path, ALL)
    arch = load_arch(file)
    assert (arch.name, arch.title, arch.clock_hz, arch.process.node, arch.process.voltage) == ("mine", "A small NPU", 1.2e9, 16, 0.72)
    array, memories = arch.arrays["mac"], arch.memories
    assert [u.loops for u in array.unroll] == [{"K": 64, "C": 16}, {"G": 8}] and array.unroll[1].runs == ["depthwise"]
    assert array.rates == {"w8a8": 1, "w4a8": 2, "fp16": 0.25}
    assert (array.accumulator.bits, array.accumulator.overflow) == (24, "saturate")
    assert arch.vector["lanes"].rates["default"].amount == 48
    assert memories["sram"].size == 2 << 23 and memories["sram"].read.amount == 96 * 8
    assert (memories["dram"].kind, memories["dram"].size, memories["dram"].read.amount) == ("ddr4", 8 << 30, 64e9)
    assert arch.overheads.per_inference.amount == pytest.approx(30e-6) and arch.overheads.per_layer.amount == 300
    rules = arch.quantization
    assert (rules.weights.formats, rules.weights.granularity) == (["int8", "int4"], "per_tensor")
    assert rules.activations.formats == ["uint8", "int16"] and rules.activations.symmetric
    assert (arch.arithmetic.default, arch.fallback, arch.energy.leakage, arch.energy.table) == ("gemmlowp", None, 0.007, "horowitz_45nm")
    assert arch.validation.status == "UNVALIDATED"
    assert "left at hwsim's default" not in text and text.count("data sheet, revision 3") == 10


def test_defaults_say_so(tmp_path: Path) -> None:
    text, file = made(tmp_path, LEAST)
    arch = load_arch(file)
    assert "voltage: left at hwsim's default" in text and "vector: left at hwsim's default" in text
    assert arch.process.voltage == 0.8 and arch.arrays["mac"].unroll[0].loops == {"K": 32, "C": 32}
    assert arch.energy.table == "jouppi_7nm"
    assert arch.clock.assumed is None and arch.process.assumed is not None
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=") and Path(first.partition("=")[2]).is_file()


def test_it_runs_and_says_unvalidated(tmp_path: Path) -> None:
    _, file = made(tmp_path, LEAST)
    result = run(load_arch(file), load_model(WORKLOADS / "digits_resnet_w8a8.onnx"))
    assert result.latency_s > 0 and result.energy_j > 0 and result.validation.startswith("UNVALIDATED")


def test_asked_one_by_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is given is not asked; an answer that cannot be is asked again; Enter keeps the default."""
    asked: list[str] = []
    said = {"clock": iter(("fast", "1.2 GHz")), "sram": iter(("2 MiB",))}

    def prompt(text: str, default: str | None, err: bool) -> str:
        key = text.rpartition("(")[2].rstrip(")")
        asked.append(key)
        answer = next(said[key]) if key in said else default
        assert answer is not None, key
        return answer

    monkeypatch.setattr("typer.prompt", prompt)
    given = {k: v for k, v in LEAST.items() if k not in said}
    found, kept = complete(answers_of(None, given), cli_chips._ask)
    assert found["clock"] == "1.2 GHz" and asked.count("clock") == 2 and not set(asked) & set(given)
    assert "voltage" in kept and "clock" not in kept
    assert "clock: must be a frequency such as 1.2 GHz, not 'fast'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clok": "1 GHz"}, r"--answer clok=1 GHz: must answer one of .*, not 'clok'; did you mean 'clock'\?"),
        ({"clock": "1"}, "--answer clock=1: clock must be a frequency such as 1.2 GHz, not '1'; give the number with its unit"),
        ({"macs": "0"}, "--answer macs=0: macs must be a whole number of 1 or more, not '0'"),
        ({"name": "My chip"}, "--answer name=My chip: name must be lower-case letters, digits and underscores, not 'My chip'"),
        ({"precisions": "w8a8"}, "precisions must be precisions with their rates such as `w8a8: 1, w4a8: 2`, not 'w8a8'"),
        ({"weights": "int8, real"}, "weights must be integer formats such as `int8, int4`, not 'int8, real'"),
        ({"overflow": "wrp"}, "overflow must be one of wrap, saturate, not 'wrp'; did you mean 'wrap'?"),
        ({"outputs": "100"}, "outputs: must divide the 1024 MACs, not 100"),
        ({"title": 'a "chip"'}, "title must be a line of text without double quotes"),
    ],
)
def test_answers_that_cannot_be(given: dict[str, str], message: str) -> None:
    with pytest.raises(HwsimError) as e:
        complete(answers_of(None, {**LEAST, **given}), None)
    assert message.replace("\\", "").split(".*")[-1] in str(e.value)


def test_a_file_of_answers(tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text("clock: 1.2 GHz\nmacs: 64\nper_channel: true\n")
    assert answers_of(file, {"macs": "128"}) == {"clock": "1.2 GHz", "macs": "128", "per_channel": "yes"}
    file.write_text("clock: 1.2 GHz\nmac: 64\n")
    with pytest.raises(HwsimError, match=r"answers\.yaml:2:1: must answer one of .*; did you mean 'macs'\?"):
        answers_of(file, {})


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr("sys.argv", ["hwsim", "new-arch", *words])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0


def test_the_verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    told = [w for k, v in LEAST.items() for w in ("--answer", f"{k}={v}")]
    assert command(monkeypatch, *told) == 0 and load_arch("mine.yaml").name == "mine"
    assert "22 of 28 answers are defaults" in capsys.readouterr().out
    assert command(monkeypatch, *told) == 2 and "mine.yaml: must not exist yet" in capsys.readouterr().err
    assert command(monkeypatch, "--defaults", "-o", "other.yaml") == 2
    assert "new-arch: must be told name, clock, node, macs, sram, off_chip_bandwidth" in capsys.readouterr().err
    assert not Path("other.yaml").exists()
    assert command(monkeypatch, "--questions") == 0 and "process node" in capsys.readouterr().out
