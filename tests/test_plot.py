"""Figures of sweeps: the numbers that are drawn, the files, and what is said of what is not drawn."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim
from hwsim.decide import drawing
from hwsim.decide.drawing import Figure, draw, fronts
from hwsim.decide.measures import MEASURES, number_of, scaled
from hwsim.decide.rows import assigned
from hwsim.decide.sweep import grid, sweep
from hwsim.errors import HwsimError
from hwsim.io.figures import FORMS
from hwsim.io.onnx_model import write_onnx
from hwsim.io.store import read_sweep
from hwsim.precision import Precision
from tests.test_cost_table import network

SIZES = ("16 KiB", "64 KiB", "1 MiB")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chips, of one a field at three sizes, weights of 2, 4 and 8 bits, activations of 4 and 8."""
    folder = tmp_path_factory.mktemp("plots")
    write_onnx(network(), folder / "net.onnx")
    model = [str(folder / "net.onnx")]
    sweep(grid(["snpe_dsp"], model, (2, 4, 8), (4, 8)), folder / "s.db")
    sweep(grid(["bitfusion_16x32"], model, (2, 4, 8), (4, 8), vary={"memories.wbuf.size": SIZES}), folder / "s.db")
    return folder / "s.db"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the figure's door is given."""
    held: dict[str, Any] = {}

    def take(name: str) -> Any:
        return lambda *args: held.update({name: args}) or b""

    monkeypatch.setattr(drawing, "draw_series", take("series"))
    monkeypatch.setattr(drawing, "draw_grid", take("grid"))
    return held


def points(file: Path, columns: str, condition: str = "1") -> list[Any]:
    return read_sweep(file, f"SELECT {columns} FROM sweep WHERE {condition} ORDER BY 1, 2, 3")[1]


def test_lines_go_through_the_points_and_dashes_tell_apart_what_colours_do_not(file: Path, drawn: dict[str, Any]) -> None:
    _, remarks = draw(file, Figure("weight_bits", "energy", "arch", where={"arch": ["snpe_dsp"]}))
    series, x, y, hues, styles, *_ = drawn["series"]
    assert (hues, styles, remarks) == (["snpe_dsp"], ["4 activation bits", "8 activation bits"], [])
    assert (x.label, y.label) == ("weight bits", "energy per inference [µJ]")
    assert [t for t, _ in x.ticks] == [2, 4, 8]
    for s, bits in zip(series, (4, 8), strict=True):
        rows = points(file, "weight_bits, energy_j, 0", f"arch = 'snpe_dsp' AND activation_bits = {bits}")
        assert np.allclose(np.stack([s.x, s.y], 1), [[w, e * 1e6] for w, e, _ in rows], rtol=1e-12)
        assert s.low is None


def test_points_that_share_a_place_become_a_median_with_a_band(file: Path, drawn: dict[str, Any]) -> None:
    _, remarks = draw(file, Figure("weight_bits", "energy", where={"arch": ["bitfusion_16x32"]}))
    assert len(remarks) == 1 and "activation_bits or memories.wbuf.size would tell them apart" in remarks[0]
    (s,) = drawn["series"][0]
    energies = [[e for _, e, _ in points(file, "weight_bits, energy_j, 0", f"arch != 'snpe_dsp' AND weight_bits = {b}")] for b in (2, 4, 8)]
    for found, f in ((s.y, np.median), (s.low, min), (s.high, max)):
        assert np.allclose(found, [f(e) * 1e6 for e in energies])


def test_a_varied_field_is_an_axis(file: Path, drawn: dict[str, Any]) -> None:
    draw(file, Figure("memories.wbuf.size", "latency", "weight_bits", where={"activation_bits": ["8"], "arch": ["bitfusion_16x32"]}))
    series, x, *_, hues, styles, _, _ = drawn["series"]
    assert [t for _, t in x.ticks] == list(SIZES) and x.scale == "log2"
    assert [v for v, _ in x.ticks] == [8 * 2**14, 8 * 2**16, 8 * 2**20]
    assert hues == ["2 weight bits", "4 weight bits", "8 weight bits"] and styles == []
    assert all(len(s.x) == 3 for s in series)


def test_fronts_have_all_points_that_no_other_beats(file: Path, drawn: dict[str, Any]) -> None:
    figure = Figure("latency", "energy", "arch", kind="pareto")
    draw(file, figure)
    lines = [s for s in drawn["series"][0] if s.front]
    wanted = set()
    for chip, line in zip(("snpe_dsp", "bitfusion_16x32"), lines, strict=True):
        rows = points(file, "latency_s, energy_j, id", f"arch = '{chip}'")
        best = [r for r in rows if not any(o[:2] != r[:2] and o[0] <= r[0] and o[1] <= r[1] for o in rows)]
        first = {r[:2]: r[2] for r in best[::-1]}
        assert line.front == "post" and len(line.x) == len(first)
        assert np.allclose(line.x / line.x[0], [v / min(r[0] for r in best) for v in sorted({r[0] for r in best})])
        wanted |= set(first.values())
    found = fronts(file, figure)
    assert len(found) == len(wanted)
    assert {r[:2] for r in points(file, "latency_s, energy_j, id") if r[2] in found} == {
        r[:2] for r in points(file, "latency_s, energy_j, id") if r[2] in wanted
    }


def test_more_is_better_turns_the_front(file: Path, drawn: dict[str, Any]) -> None:
    draw(file, Figure("throughput", "energy", kind="pareto"))
    line = next(s for s in drawn["series"][0] if s.front)
    assert line.front == "pre" and (np.diff(line.y) > 0).all()


def test_heat_maps_show_each_cell(file: Path, drawn: dict[str, Any]) -> None:
    where = {"arch": ["snpe_dsp"]}
    _, remarks = draw(file, Figure("weight_bits", "activation_bits", "energy", kind="heatmap", where=where))
    grid_, x, y, *_ = drawn["grid"]
    assert (x, y, grid_.rows, grid_.columns, remarks) == ("weight bits", "activation bits", ("4", "8"), ("2", "4", "8"), [])
    wanted = [e * 1e6 for _, _, e in points(file, "activation_bits, weight_bits, energy_j", "arch = 'snpe_dsp'")]
    assert np.allclose(grid_.values.ravel(), wanted)
    _, remarks = draw(file, Figure("weight_bits", "activation_bits", "energy", kind="heatmap"))
    assert "several points share a cell" in remarks[0]


@pytest.mark.parametrize("kind", drawing.KINDS)
def test_the_same_figure_is_the_same_bytes(kind: str, file: Path, tmp_path: Path) -> None:
    figure = {"line": Figure("weight_bits", "energy", "arch"), "heatmap": Figure("weight_bits", "activation_bits", "energy")}
    wanted = figure.get(kind, Figure("latency", "energy", "arch"))
    start = {"svg": b"<?xml", "pdf": b"%PDF-1.", "png": b"\x89PNG"}
    for form in FORMS if kind == "pareto" else ("svg",):
        data, again = (draw(file, Figure(**{**vars(wanted), "kind": kind}), form)[0] for _ in range(2))
        assert data == again and data.startswith(start[form])
    assert b"energy per inference [" in draw(file, Figure(**{**vars(wanted), "kind": kind}))[0]


def test_remarks_name_failed_points(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "s.db"
    copy.write_bytes(file.read_bytes())
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE point SET status = 'failed', message = 'chip: must be whole' WHERE rowid <= 2")
        db.execute("UPDATE point SET energy_j = NULL WHERE rowid = 3")
    remarks = hwsim.plot(copy, tmp_path / "f.svg", hue="arch", where={"arch": ["snpe_dsp"]})
    assert remarks == ["1 point without weight_bits or energy or arch not drawn", "2 failed points not drawn (chip: must be whole)"]


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (Figure("weight_bit", "energy"), r"--x: must be one of weight_bits, .*, not 'weight_bit'; did you mean 'weight_bits'\?"),
        (Figure("weight_bits", "memories.l2.size"), "--y: must be one of weight_bits, .*memories.wbuf.size, not 'memories.l2.size'"),
        (Figure("latency", "energy", kind="bars"), "--kind: must be one of line, scatter, pareto, heatmap, not 'bars'"),
        (Figure("latency", "energy", log="z"), "--log: must be one of auto, none, x, y, xy, not 'z'"),
        (Figure("latency", "accuracy"), "s.db: must hold points with latency, accuracy, not none; sweep with --data for accuracy"),
        (Figure("latency", "energy", where={"arch": ["t4"]}), "must hold points with latency, energy, not none; it holds snpe_dsp, net, "),
        (Figure("latency", "energy", where={"chip": ["t4"]}), "--where: must be one of weight_bits"),
        (Figure("latency", "energy", "arch", kind="heatmap"), "--hue: must be the number that colours a heat map, such as energy"),
        (Figure("arch", "energy", kind="pareto"), "--x: must be a number of weight_bits, .* for a front, not 'arch'"),
    ],
)
def test_what_cannot_be_drawn(figure: Figure, message: str, file: Path) -> None:
    with pytest.raises(HwsimError, match=message):
        draw(file, figure)


def test_other_files_and_forms(file: Path, tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match="must be one of svg, pdf, png, not 'jpg'"):
        hwsim.plot(file, tmp_path / "f.jpg")
    with pytest.raises(HwsimError, match=r"none.db: must be a sweep file \(hwsim sweep -o\), not a missing one"):
        hwsim.plot(tmp_path / "none.db", tmp_path / "f.svg")
    assert not list(tmp_path.iterdir())


def test_rows_have_fields_and_mixed_assignments_in_words(tmp_path: Path) -> None:
    write_onnx(network(), tmp_path / "net.onnx")
    out = tmp_path / "s.db"
    batches = grid(["bitfusion_16x32"], [str(tmp_path / "net.onnx")], (2, 4, 8), (4, 8), vary={"memories.wbuf.size": SIZES[:2]}, mixed=40)
    sweep(batches, out)
    found = hwsim.read_sweep(out)
    table = hwsim.cost_table(hwsim.load_arch("bitfusion_16x32"), hwsim.load_model(tmp_path / "net.onnx"), (2, 4, 8), (4, 8))
    at = found["memories.wbuf.size"].index("64 KiB")
    for precision, cycles in list(zip(found["precision"], found["cycles"], strict=True))[at:]:
        assert table.price(table.choice(Precision.parse(precision)))[0] == cycles
    assert len(hwsim.read_sweep(out, {"memories.wbuf.size": ["16 KiB"]})["arch"]) == at


def test_assigned_names_the_commonest_pair_first() -> None:
    widths = [("activations", ["a"]), ("weights", ["a"]), ("activations", ["b", "c"]), ("weights", ["b"]), ("weights", ["c"])]
    assert str(assigned(widths, bytes([8, 8, 4, 2, 2]))) == "w2a4 except a: w8a8"


def test_units_of_axes_and_fields() -> None:
    assert scaled(MEASURES["energy"], [2e-3, 5e-6]) == (1e-3, "energy per inference [mJ]")
    assert scaled(MEASURES["size"], [3 * 2**20]) == (2.0**20, "weights [MiB]")
    assert scaled(MEASURES["latency"], [0.0]) == (1.0, "latency [s]")
    assert scaled(MEASURES["cycles"], [5e9]) == (1.0, "cycles")
    assert scaled(MEASURES["area"], [0.3]) == (1.0, "area of the chip [mm²]")
    sizes = [number_of(t) for t in ("64 KiB", "1 MiB", "8", "1.2 GHz", "4 B/cycle", "[conv, matmul]")]
    assert sizes == [2**19, 2**23, 8, 1.2e9, 32, None]
