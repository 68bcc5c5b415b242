"""The verbs that decide: cost tables, sweeps, sensitivity, searches and their plots."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli_options import (
    FINDING,
    OK,
    ArchOption,
    ModelOption,
    SetOption,
    ShapeOption,
    among,
    chip_of,
    executor_of,
    graph_of,
    progress_of,
)

app = typer.Typer()


@app.command()
def table(
    arch: ArchOption,
    model: ModelOption,
    weight_bits: Annotated[str, typer.Option(help="widths of weights: 2..8 or 2,4,8")] = "1..8",
    activation_bits: Annotated[str, typer.Option(help="widths of activations")] = "1..8",
    export: Annotated[str, typer.Option(help="csv, json, parquet, or haq (NumPy, cycles[layer, w - 1, a - 1])")] = "csv",
    out: Annotated[Path, typer.Option("-o", "--out", help="the file to write")] = Path("cost_table.csv"),
    set_: SetOption = None,
    shape: ShapeOption = None,
) -> None:
    """Latency, energy, traffic and size of every layer at every width, as a table for searches of your own."""
    from hwsim.axes import integers
    from hwsim.decide.export import EXPORTS, export_table
    from hwsim.decide.table import cost_table
    from hwsim.io.files import check_folder

    among("--export", export, EXPORTS)
    check_folder(out.parent)
    widths = integers("--weight-bits", weight_bits), integers("--activation-bits", activation_bits)
    export_table(cost_table(chip_of(arch, set_), graph_of(model, shape, "integer", None), *widths), export, out)


@app.command()
def sweep(
    out: Annotated[Path, typer.Option("-o", "--out", help="the SQLite file of the results; what it holds is not computed again")],
    model: Annotated[list[Path], typer.Option("--model", help="an ONNX or TFLite file; may be given several times")],
    arch: Annotated[list[str], typer.Option("--arch", help="a chip; may be given several times")],
    more: Annotated[list[str] | None, typer.Argument(help="further chips: --arch A.yaml B.yaml", show_default=False)] = None,
    bits: Annotated[str | None, typer.Option(help="widths of a float network: w=2..8,a=4,8; left out: the file's own")] = None,
    vary: Annotated[list[str] | None, typer.Option(help="a field of the chips: macs.rows=8,16 or memories.l2.size=64KiB..1MiB")] = None,
    method: Annotated[str, typer.Option(help="quantization methods, with commas between (see `hwsim quantize`)")] = "full",
    data: Annotated[Path | None, typer.Option(help="an .npz file with x and y: accuracy too, bit-true")] = None,
    calibration: Annotated[Path | None, typer.Option(help="an .npz file with x, to quantize float networks with --data")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="only the first samples of the data")] = None,
    mixed: Annotated[int, typer.Option(min=0, help="so many random mixed assignments of the widths, instead of uniform ones")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="of the random assignments")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="worker processes on this machine (Dask); 0: none")] = 0,
    scheduler: Annotated[str | None, typer.Option(help="a Dask scheduler: tcp://host:8786")] = None,
    mix_versions: Annotated[bool, typer.Option("--mix-versions", help="add to results of another version of hwsim")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="try failed points again")] = False,
    export: Annotated[str | None, typer.Option(help="csv, parquet or json: the whole file as a table beside it too")] = None,
) -> None:
    """Any grid of chips, fields, networks, widths and methods into one SQLite file; a killed sweep goes on where it was."""
    from hwsim.axes import split_axes, split_bits
    from hwsim.decide.export import as_file
    from hwsim.decide.rows import FORMS, sweep_rows
    from hwsim.decide.sweep import grid
    from hwsim.decide.sweep import sweep as run_sweep
    from hwsim.io.files import check_folder, write_whole

    among("--export", export, FORMS)
    check_folder(out.parent)
    weight_bits, activation_bits = split_bits("--bits", bits)
    axes, models = split_axes("--vary", vary), [str(m) for m in model]
    points = grid(
        [*arch, *(more or [])],
        models,
        weight_bits,
        activation_bits,
        method.split(","),
        axes,
        str(data or ""),
        str(calibration or ""),
        samples or 0,
        mixed,
        seed,
    )
    with executor_of(scheduler, workers) as executor, progress_of("sweep") as step:
        counts = run_sweep(points, out, executor, step, mix_versions, retry_failed)
    if export:
        write_whole(out.with_suffix(f".{export}"), as_file(*sweep_rows(out), export))
    print(f"{counts.before} points were there, {counts.now} done now, {counts.failed} of them failed: {out}")
    raise typer.Exit(FINDING if counts.failed else OK)


@app.command()
def plot(
    file: Annotated[Path, typer.Argument(help="the file of a sweep")],
    out: Annotated[Path, typer.Option("-o", "--out", help="fig.svg, fig.pdf or fig.png; with --export the table")],
    x: Annotated[
        str, typer.Option("--x", help="weight_bits, activation_bits, latency, energy, size, accuracy ... or a varied field")
    ] = "weight_bits",
    y: Annotated[str, typer.Option("--y", help="energy, latency, accuracy, size, traffic, edp, power ...")] = "energy",
    hue: Annotated[str, typer.Option(help="what colours tell apart: arch, model, method ...; a heat map's number")] = "",
    style: Annotated[str, typer.Option(help="what dashes tell apart; left out: what is needed to")] = "",
    kind: Annotated[str, typer.Option(help="line, scatter, pareto or heatmap; left out: what fits x")] = "",
    where: Annotated[list[str] | None, typer.Option(help="only these points: arch=snpe_dsp or weight_bits=4,8")] = None,
    log: Annotated[str, typer.Option(help="logarithmic axes: x, y, xy or none; auto: those of over two decades")] = "auto",
    size: Annotated[str, typer.Option(help="width x height in inches")] = "4.5x3.2",
    export: Annotated[str | None, typer.Option(help="csv, parquet or json: the points themselves; with --kind pareto the fronts")] = None,
) -> None:
    """A figure of a sweep as papers print them: bit-width against energy, accuracy against latency, Pareto fronts, heat maps."""
    from hwsim.axes import split_axes, split_size
    from hwsim.decide.drawing import Figure, draw, fronts
    from hwsim.decide.export import as_file
    from hwsim.decide.rows import FORMS, sweep_rows
    from hwsim.io.files import check_folder, write_whole

    among("--export", export, FORMS)
    check_folder(out.parent)
    figure = Figure(x, y, hue, style, kind, split_axes("--where", where), log, split_size("--size", size))
    if export:
        write_whole(out, as_file(*sweep_rows(file, figure.where, fronts(file, figure) if kind == "pareto" else None), export))
        return
    data, remarks = draw(file, figure, out.suffix.removeprefix("."))
    write_whole(out, data)
    for remark in remarks:
        print(f"hwsim: note: {remark}", file=sys.stderr)
