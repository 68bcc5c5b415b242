"""The validation page: its figures against numbers worked by hand, and what it says of tables that are absent."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from hwsim.cli import app
from hwsim.errors import HwsimError
from hwsim.io.scalesim_runs import run_scalesim
from hwsim.io.tables import load_tables, read_table
from hwsim.io.validation_report import figure_rows, write_validation
from hwsim.io.vela_runs import run_vela
from hwsim.validate import chosen, validate
from hwsim.validation import Family, Point, equal, mean_error, missing, rank_correlation
from tests.data import ROOT, shared

POINTS = [Point("a", 100, 110), Point("b", 200, 190), Point("c", 50, 50), Point("d", 50, 51)]


def test_mean_error_is_relative_to_the_measurement() -> None:
    """10 %, 5 %, 0 % and 2 %."""
    figure = mean_error("f", POINTS, must=5, aim=4)
    assert figure.value == pytest.approx((10 + 5 + 0 + 2) / 4)
    assert figure.verdict == "reached" and figure.worst is POINTS[0]
    assert mean_error("f", POINTS, 4, 3).verdict == "MISSED"
    assert mean_error("f", POINTS, 5, 4.3).verdict == "aim reached"


def test_ranks_share_ties_as_scipy_does() -> None:
    points = [Point(str(i), m, p) for i, (m, p) in enumerate([(1, 5), (2, 5), (2, 4), (7, 9), (7, 1), (7, 9), (3, 3)])]
    expected = spearmanr([p.measured for p in points], [p.predicted for p in points]).statistic
    assert rank_correlation("r", points, 0.9, 0.99).value == pytest.approx(expected)


def test_equal_counts_rows_with_any_difference() -> None:
    same, wrong = [Point("x", 1, 1), Point("y", 2, 2)], [Point("x", 1, 1), Point("y", 2, 3)]
    figure = equal("e", [same, wrong, same])
    assert (figure.value, figure.count, figure.verdict) == (1, 3, "MISSED")
    assert figure.worst == wrong[1]
    assert equal("e", [same]).verdict == "aim reached"


def test_pages(tmp_path: Path) -> None:
    family = Family("demo", "A demo", "simulator", "made up", (mean_error("f", POINTS, 5, 4), missing("g", "%", 1, 1, "needs a table")))
    write_validation([family], tmp_path)
    text, page = ((tmp_path / f"validation.{s}").read_text("utf-8") for s in ("md", "html"))
    assert "| f | 4 | 4.25 | % mean absolute error | 5 | 4 | reached | a: +10 % |" in text
    assert "not worked out here" in text and "needs a table" in page
    assert page.count("<svg") == 1
    assert [r[7] for r in figure_rows([family])] == ["reached", "not worked out here"]


def test_pages_of_some_families_leave_the_page_of_all(tmp_path: Path) -> None:
    (tmp_path / "validation.md").write_text("all\n")
    run = CliRunner().invoke(app, ["validate", "voltage_points", "-o", str(tmp_path)])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "validation.md").read_text() == "all\n"
    assert "GAP9" in (tmp_path / "validation-voltage_points.md").read_text()


def test_rows_that_need_a_peer_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for family, door in (("scalesim", "has_scalesim"), ("vela_ethos_u55", "has_vela")):
        monkeypatch.setattr(f"hwsim.validations.{family}.{door}", lambda: False)
        (found,) = validate([family], load_tables())
        absent = [g.absent for g in found.figures if g.value is None]
        assert any("pip install" in a for a in absent), family
    monkeypatch.setattr("hwsim.io.scalesim_runs.has_scalesim", lambda: False)
    with pytest.raises(HwsimError, match="must be installed"):
        run_scalesim(2, 2, "os", [])
    monkeypatch.setattr("hwsim.io.vela_runs.has_vela", lambda: False)
    with pytest.raises(HwsimError, match="must be installed"):
        run_vela(Path("x.tflite"), "ethos-u55-32")


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match="must be one of"):
        chosen(["scalsim"])
    with pytest.raises(HwsimError, match="must be a folder of peer tables, not a missing one"):
        load_tables(tmp_path / "none")
    with pytest.raises(HwsimError, match="must be one of"):
        load_tables()["none"]
    (tmp_path / "bad.csv").write_text("# remark\na,b\n1,2\n1\n")
    with pytest.raises(HwsimError, match="another number in row 2"):
        read_table(tmp_path / "bad.csv")


@pytest.mark.parametrize("family", ["bitfusion", "nvdla", "scalesim"])
def test_equal_to_the_simulators(family: str) -> None:
    """Cycle by cycle and access by access; the large tables and the simulator itself where they are."""
    tables = load_tables(ROOT if ROOT.is_dir() else None)
    (found,) = validate([family], tables)
    assert [(g.name, g.worst) for g in found.figures if g.value not in (None, 0)] == []
    assert all(g.value == 0 or g.absent.startswith(("needs the peer table", "needs SCALE-Sim")) for g in found.figures)


def test_the_table_of_haq() -> None:
    """Issue: mean error at most 10 % over the cells and 5 % over whole networks, rank correlation at least 0.99."""
    shared("silicon/haq_bitfusion_mobilenetv2_lut.csv")
    (found,) = validate(["haq"], load_tables(ROOT))
    assert [g.verdict for g in found.figures] == ["aim reached"] * 3
