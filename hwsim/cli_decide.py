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
from hwsim.io.interrupts import resumable

app = typer.Typer()
DEFAULT_METHOD = "dead+cle+mse+coordinate_descent+bias"
FloatOption = Annotated[Path, typer.Option("--model", help="a float ONNX or TFLite file")]


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
    with resumable(_kept(out)), executor_of(scheduler, workers) as executor, progress_of("sweep") as step:
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


def _kept(file: Path) -> str:
    return f"what was done is in {file}, and the same command goes on from there"


DataOption = Annotated[Path, typer.Option("--data", help="an .npz file with x and y to judge on")]
CalibrationOption = Annotated[
    Path | None, typer.Option("--calibration", help="an .npz file with x to quantize with; left out: the first 128 samples of --data")
]
MethodOption = Annotated[str, typer.Option("--method", help="how layers are quantized (see `hwsim quantize`)")]
WidthsOption = Annotated[str, typer.Option("--bits", help="widths to choose from")]
KeepOption = Annotated[Path | None, typer.Option("--keep", help="what is done already, by content; left out: in the user's cache folder")]
SchedulerOption = Annotated[str | None, typer.Option("--scheduler", help="a Dask scheduler: tcp://host:8786")]
WorkersOption = Annotated[int, typer.Option("--workers", min=0, help="so many worker processes here; 0: this process alone")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="of everything random")]


@app.command()
def sensitivity(
    arch: ArchOption,
    model: FloatOption,
    data: DataOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="s.json or s.csv")],
    bits: WidthsOption = "w=2,3,4,8,a=2,3,4,8",
    calibration: CalibrationOption = None,
    samples: Annotated[int, typer.Option(min=1, help="of the data")] = 500,
    method: MethodOption = DEFAULT_METHOD,
    metric: Annotated[str | None, typer.Option(help="top1, top5, dice, iou or mse; left out: what fits")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="traces of the Hessian too (needs PyTorch)")] = False,
    keep: KeepOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = 0,
    set_: SetOption = None,
    seed: SeedOption = 0,
) -> None:
    """What each layer loses at each width, bit-true on the chip: accuracy, KL and SQNR of the output, and traces; a killed run resumes."""
    from hwsim.decide.asking import ask, kept_in
    from hwsim.decide.sensitivity import sensitivity as measure
    from hwsim.io.files import check_folder

    check_folder(out.parent)
    asked = ask(chip_of(arch, set_), model, data, calibration, bits, method, metric or "", seed, samples)
    cells = kept_in(keep)
    with resumable(_kept(cells)), executor_of(scheduler, workers) as executor, progress_of("sensitivity") as step:
        found = measure(asked, trace, executor, cells, step)
    found.write(out)
    print(f"{found.metric}: float {found.float_accuracy:.4f}, widest on the chip {found.widest.accuracy:.4f} ({found.samples} samples)")
    print(f"{len(found.rows)} widths: {out}")


@app.command()
def search(
    arch: ArchOption,
    model: FloatOption,
    data: DataOption,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="folder of the answer; left out: reports/<arch>-<model>-search")] = None,
    objective: Annotated[
        str, typer.Option(help="accuracy within --budget; or latency, energy, size, traffic, bitops at least")
    ] = "accuracy",
    budget: Annotated[
        str, typer.Option(help="latency=0.6x,energy=2mJ,peak=64KiB,tops=1.5x,bitops=16/mac,area=4mm2; accuracy=-1 (points)")
    ] = "",
    strategy: Annotated[str, typer.Option(help="a search (see `hwsim list searches`)")] = "ilp",
    bits: WidthsOption = "w=2,3,4,8,a=4,8",
    vary: Annotated[list[str] | None, typer.Option(help="search the chip's fields too: memories.l2.size=64KiB..1MiB")] = None,
    tie: Annotated[str, typer.Option(help="residual and layer: widths that are chosen together")] = "",
    loss: Annotated[str, typer.Option(help="the metric of sensitivity that the search believes: kl, sqnr, accuracy, trace ...")] = "kl",
    candidates: Annotated[
        int,
        typer.Option(
            min=1,
            help="for --objective accuracy: assignments that are quantized and compared, the strategy's own answer, the uniform width, "
            "and the ILP's for the loss as it is learned from those before (1: none of these)",
        ),
    ] = 8,
    calibration: CalibrationOption = None,
    samples: Annotated[int, typer.Option(min=1, help="of the data, for the sensitivity")] = 500,
    method: MethodOption = DEFAULT_METHOD,
    metric: Annotated[str | None, typer.Option(help="top1, top5, dice, iou or mse; left out: what fits")] = None,
    keep: KeepOption = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = 0,
    set_: SetOption = None,
    seed: SeedOption = 0,
) -> None:
    """The width of every layer that loses least within limits, or costs least at an accuracy, judged bit-true, with the reasons."""
    from hwsim.axes import split_axes
    from hwsim.decide.asking import ask, kept_in, varied
    from hwsim.decide.budget import parse_budgets
    from hwsim.decide.search import Wish
    from hwsim.decide.search import search as find
    from hwsim.decide.search_report import summary, write_search
    from hwsim.io.files import check_folder
    from hwsim.io.text import print_table
    from hwsim.shelf import names

    among("--strategy", strategy, names("searches"))
    wish = Wish(objective, parse_budgets(budget), strategy, loss, tuple(t for t in tie.split(",") if t), seed, candidates)
    chip = chip_of(arch, set_)
    folder = out or Path("reports") / f"{chip.name}-{model.stem}-search"
    check_folder(folder)
    asked = ask(chip, model, data, calibration, bits, method, metric or "", seed)
    chips = [(fields, [f"{k}={v}" for k, v in fields.items()]) for fields in varied(split_axes("--vary", vary))]
    others = [(fields, chip_of(arch, [*(set_ or []), *texts])) for fields, texts in chips]
    cells = kept_in(keep)
    with resumable(_kept(cells)), executor_of(scheduler, workers) as executor, progress_of("sensitivity") as step:
        found = find(asked, wish, asked.first(samples), others, executor, cells, step)
    write_search(found, folder)
    print_table(("", "", ""), summary(found))
    print(f"{found.best.precision}\n{folder / 'search.html'}")
