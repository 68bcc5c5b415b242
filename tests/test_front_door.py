"""The three uses: the command line, the library, and what an installed wheel brings along."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim
from hwsim import cli
from hwsim.errors import HwsimError
from tests.data import WORKLOADS

MODEL, DATA = WORKLOADS / "digits_resnet_w8a8.onnx", WORKLOADS / "digits_test.npz"
ROOT = WORKLOADS.parent
KEYS = {
    "schema_version",
    "arch",
    "model",
    "latency_s",
    "energy_j",
    "cycles",
    "macs",
    "weight_bytes",
    "peak_onchip_bytes",
    "fits",
    "accuracy",
    "samples",
    "layers",
}
LAYER_KEYS = {"name", "op", "macs", "weight_bits", "activation_bits", "cycles", "bound_by", "energy_pj"}


def hwsim_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `hwsim words`."""
    monkeypatch.setattr(sys, "argv", ["hwsim", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_main_job(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = hwsim_command(monkeypatch, capsys, "run", "--arch", "snpe_dsp", "--model", MODEL, "--data", DATA)
    assert (code, err) == (0, "")
    for word in (
        "latency",
        "inferences/s",
        "energy by part",
        "average power",
        "MAC utilisation",
        "TOPS/W",
        "weights",
        "peak on-chip memory",
        "fits",
        "traffic",
        "accuracy on the chip",
        "95 % interval",
        "450 samples",
        "file's own arithmetic",
        "agreement",
        "UNVALIDATED",
    ):
        assert word in out, word
    folder = tmp_path / "reports" / "snpe_dsp-digits_resnet_w8a8"
    assert sorted(p.name for p in folder.iterdir()) == [
        "energy.svg",
        "latency.svg",
        "layers.csv",
        "memory.svg",
        "report.html",
        "result.json",
        "roofline.svg",
    ]
    result = json.loads((folder / "result.json").read_text())
    assert result.keys() >= KEYS
    assert all(row.keys() >= LAYER_KEYS for row in result["layers"])
    rows = list(csv.DictReader(io.StringIO((folder / "layers.csv").read_text())))
    assert [r["name"] for r in rows] == [r["name"] for r in result["layers"]]
    assert sum(int(r["cycles"]) for r in rows) == result["cycles"]
    assert result["accuracy"] >= 0.97
    assert result["samples"] == 450


class Page(HTMLParser):
    """What a page loads from elsewhere, its headings and its plots."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.plots, self.cells = 0, 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.plots += tag == "svg"
        self.cells += tag == "td"
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("#")]


def test_the_page_stands_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It loads nothing from anywhere."""
    hwsim_command(monkeypatch, capsys, "run", "--arch", "snpe_dsp", "--model", MODEL, "--out", tmp_path)
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.outside == []
    assert page.plots == 4
    assert page.cells > 100
    assert "http" not in re.sub(r"<li>.*?</li>|xmlns(:\w+)?=\"[^\"]*\"|<!DOCTYPE[^>]*>", "", text, flags=re.DOTALL)
    assert "nan" not in re.findall(r">\s*(nan)\s*<", text)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_data_alone_goes_to_standard_output(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = hwsim_command(monkeypatch, capsys, "run", "--arch", "snpe_dsp", "--model", MODEL, "--no-report", "--format", form)
    assert (code, err) == (0, "")
    if form == "json":
        result = json.loads(out)
        assert result.keys() >= KEYS
        assert result["accuracy"] is None
    else:
        assert len(list(csv.DictReader(io.StringIO(out)))) > 10


def test_setting_a_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    base = ("run", "--arch", "snpe_dsp", "--model", MODEL, "--no-report", "--format", "json")
    slow = json.loads(hwsim_command(monkeypatch, capsys, *base, "--set", "clock.frequency=500MHz", "--set", "memories.vtcm.size=4MiB")[1])
    fast = json.loads(hwsim_command(monkeypatch, capsys, *base)[1])
    assert slow["latency_s"] > fast["latency_s"]
    assert slow["clock_hz"] == 5e8
    assert slow["arch_hash"] != fast["arch_hash"]


def test_findings_exit_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--set", "memories.dram.size=4KiB")
    assert hwsim_command(monkeypatch, capsys, "run", "--arch", "snpe_dsp", "--model", MODEL, "--no-report", *small)[0] == 1
    assert hwsim_command(monkeypatch, capsys, "check", "--arch", "snpe_dsp", "--model", MODEL, *small)[0] == 1
    assert hwsim_command(monkeypatch, capsys, "check", "--arch", "snpe_dsp", "--model", MODEL)[0] == 0
    assert hwsim_command(monkeypatch, capsys, "diff", "--model", MODEL, "--against", "acl_ascend310")[0] == 1
    assert hwsim_command(monkeypatch, capsys, "diff", "--model", MODEL, "--against", "file")[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("archs",),
        ("list", "ops"),
        ("list", "arithmetics"),
        ("list", "formats"),
        ("list", "networks"),
        ("list", "operators"),
        ("list", "quantizers"),
        ("list", "mappers"),
        ("list", "metrics"),
        ("show", "tpu_v1"),
        ("schema", "arch"),
        ("doctor",),
    ],
)
def test_other_verbs(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = hwsim_command(monkeypatch, capsys, *words)
    assert (code, err) == (0, "")
    assert out.count("\n") >= 3
    if words[0] in ("show", "schema"):
        json.loads(out)


def test_the_library() -> None:
    arch = hwsim.load_arch("snpe_dsp")
    model = hwsim.load_model(MODEL)
    data = np.load(DATA)
    x = data["x"][:16].astype(np.float32)
    name = model.inputs[0]
    fast, exact = (hwsim.execute(model, {name: x}, engine=e) for e in ("numba", "reference"))
    assert fast.keys() == set(model.outputs)
    assert all(np.array_equal(fast[k], exact[k]) for k in fast)
    assert hwsim.execute(model, {name: x}, arch, all_tensors=True).keys() > fast.keys()
    cost = hwsim.estimate(arch, model)
    assert cost.latency_s == sum(layer.total_cycles for layer in cost.layers) / cost.clock_hz
    result = hwsim.run(arch, model, data=str(DATA))
    assert result.accuracy is not None
    assert result.accuracy.value >= 0.97
    assert json.loads(result.to_json())["energy_j"] == result.energy_j == cost.energy_j
    assert hwsim.check(arch, model).deployable
    with pytest.raises(HwsimError, match=r"^arch: must be .*, not .snpe_dps.; did you mean .snpe_dsp."):
        hwsim.load_arch("snpe_dps")


def test_importing_is_light_and_help_is_quick() -> None:
    """`hwsim --help` loads none of what takes long; its time is measured by `python -m tests.bench start`."""
    heavy = ("numpy", "numba", "onnx", "matplotlib", "pydantic", "scipy", "llvmlite")
    code = f"import sys, hwsim, hwsim.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_pictures_and_pages_of_the_readme_are_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_readme_shows_what_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of the README's worked example comes out of the command above it (versions apart)."""
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"```text\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    code, out, _ = hwsim_command(monkeypatch, capsys, "run", "--arch", "snpe_dsp", "--model", MODEL, "--data", DATA, "--no-report")
    assert code == 0
    printed = {" ".join(line.split()) for line in out.splitlines()}
    shown = [" ".join(line.split()) for line in block[1].splitlines() if line.strip() and not line.startswith(("hwsim ", "..."))]
    assert len(shown) > 20
    assert [line for line in shown if line not in printed] == []


def test_readme_code_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        exec(block, names)
    assert len(blocks) >= 2
    assert "top-1" in capsys.readouterr().out


def test_readme_chip_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    chip, model = tmp_path / "my_npu.yaml", tmp_path / "resnet8.onnx"
    chip.write_text(block[1])
    hwsim_command(monkeypatch, capsys, "build", "resnet8", "--bits", "w4a8", "--arch", chip, "-o", model)
    code, out, err = hwsim_command(monkeypatch, capsys, "run", "--arch", chip, "--model", model, "--no-report")
    assert (code, err) == (0, "")
    assert "w4a8 except conv1: w8a8" in out


def test_every_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[]", d)[0] for d in project["dependencies"]}
    source = "\n".join(p.read_text() for p in (ROOT / "hwsim").rglob("*.py"))
    module = {"pyyaml": "yaml"}
    unused = {n for n in names if not re.search(rf"\b(import|from) {module.get(n, n)}\b", source)}
    assert unused == set()


@pytest.mark.slow
def test_a_wheel_brings_chips_and_networks(tmp_path: Path) -> None:
    """Installed with a plain `pip install .`, from another folder, presets and demo files are found."""
    venv.create(tmp_path / "env", with_pip=True)
    alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True, cwd=tmp_path, env=alone)
    words = ["run", "--arch", "snpe_dsp", "--model", MODEL.stem, "--data", DATA.name, "--samples", "8", "--format", "json"]
    done = subprocess.run([python.with_name("hwsim"), *words], cwd=tmp_path, env=alone, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["arch"] == "snpe_dsp"
    assert json.loads(done.stdout)["samples"] == 8
    code = "import hwsim, pathlib; p = pathlib.Path(hwsim.__file__).parent; "
    code += "print(*(len(list(p.glob(g))) for g in ('archs/*.yaml', 'workloads/*')))"
    counts = subprocess.run([python, "-c", code], cwd=tmp_path, env=alone, check=True, capture_output=True, text=True).stdout.split()
    assert int(counts[0]) == len(list((ROOT / "archs").glob("*.yaml")))
    assert int(counts[1]) >= 6
