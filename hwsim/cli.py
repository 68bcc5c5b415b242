"""The command line: one verb per job, no logic.  Data goes to standard output, progress and complaints to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.errors import HwsimError, NotDeployable, suggest

if TYPE_CHECKING:
    from hwsim.arch import Arch
    from hwsim.graph import Graph

OK, FINDING, USAGE, BUG = 0, 1, 2, 101

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What a quantized network computes on a chip, bit for bit, how long it takes, what energy it uses, how accurate it stays.",
)


class Format(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hwsim {version('hwsim')}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    """Options before the verb."""


ArchOption = Annotated[str, typer.Option("--arch", help="a chip: a preset's name (see `hwsim archs`) or a YAML file")]
ModelOption = Annotated[Path, typer.Option("--model", help="an ONNX or TFLite file")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="override a field of the chip: memories.vtcm.size=4MiB")]
ShapeOption = Annotated[list[str] | None, typer.Option("--shape", help="an input's shape where the file leaves it open: input=1x3x224x224")]
FormatOption = Annotated[Format, typer.Option("--format", help="form of the output")]
QdqOption = Annotated[str, typer.Option("--qdq", help="integer: quantizers absorbed into operators; literal: computed as written")]
MapperOption = Annotated[str, typer.Option("--mapper", help="how tiles are chosen (see `hwsim list mappers`); left out: as the chip says")]
ObjectiveOption = Annotated[str, typer.Option("--objective", help="what the mapping is chosen for: latency, energy or edp")]
EngineOption = Annotated[str, typer.Option("--engine", help="numba (compiled) or reference (NumPy)")]


@app.command()
def run(
    arch: ArchOption,
    model: ModelOption,
    data: Annotated[Path | None, typer.Option(help="an .npz file with x and y")] = None,
    set_: SetOption = None,
    shape: ShapeOption = None,
    format: FormatOption = Format.table,
    qdq: QdqOption = "integer",
    engine: EngineOption = "numba",
    metric: Annotated[str | None, typer.Option(help="top1, top5, dice, iou or mse; left out: what fits")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="only the first samples of the data")] = None,
    batch: Annotated[int, typer.Option(min=1, help="images executed at a time")] = 64,
    out: Annotated[Path | None, typer.Option(help="folder of the report; left out: reports/<arch>-<model>")] = None,
    report: Annotated[bool, typer.Option(help="write result.json, layers.csv, report.html and plots")] = True,
    mapper: MapperOption = "",
    objective: ObjectiveOption = "latency",
) -> None:
    """Simulate one network on one chip: latency, energy, memory, and with data what it computes and how accurate it is."""
    from hwsim.io.files import check_folder
    from hwsim.io.report import write_report
    from hwsim.io.text import LAYER_COLUMNS, layer_rows, print_result, to_csv
    from hwsim.simulate import simulate
    from hwsim.steps.execute import ENGINES
    from hwsim.steps.score import METRICS

    _among("--engine", engine, ENGINES)
    _among("--metric", metric, METRICS)
    _needs_data(data, {"--metric": metric, "--samples": samples})
    chip = _arch(arch, set_)
    dataset = _dataset(data, samples)
    graph = _graph(model, shape, qdq, dataset)
    folder = out or Path("reports") / f"{chip.name}-{graph.name}"
    if report:
        check_folder(folder)
    with _progress("executing") as step:
        result = simulate(chip, graph, dataset, metric, engine, batch, step, mapper, objective)
    offchip = [n for n, m in chip.memories.items() if not m.on_chip]
    if format is Format.json:
        print(result.to_json())
    elif format is Format.csv:
        sys.stdout.write(to_csv(LAYER_COLUMNS, layer_rows(result, offchip)))
    else:
        print_result(result, offchip)
    if report:
        write_report(result, folder, offchip, chip)
    raise typer.Exit(FINDING if result.findings or not result.cost.fits else OK)


@app.command()
def check(
    arch: ArchOption, model: ModelOption, set_: SetOption = None, shape: ShapeOption = None, format: FormatOption = Format.table
) -> None:
    """Whether a chip can run a network in integers: every node's place and width, and every rule that its quantizers break."""
    from hwsim.io.check_report import print_check
    from hwsim.simulate import check_fit

    chip = _arch(arch, set_)
    found, cost = check_fit(chip, _graph(model, shape, "integer", None))
    print_check(chip, found, cost, format.value)
    raise typer.Exit(OK if found.deployable and cost is not None and cost.fits else FINDING)


@app.command()
def diff(
    model: ModelOption,
    arch: Annotated[str | None, typer.Option(help="first run: this chip; left out: the file's own arithmetic")] = None,
    other: Annotated[str, typer.Option("--against", help="second run: a chip, `file`, `literal` or `onnxruntime`")] = "file",
    data: Annotated[Path | None, typer.Option(help="an .npz file with x; left out: random numbers")] = None,
    samples: Annotated[int, typer.Option(min=1, help="samples compared")] = 8,
    shape: ShapeOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Compare two runs of a network layer by layer: cumulative and isolated error, and the first tensor and element that differ."""
    from hwsim.compare import compare_runs
    from hwsim.io.diff_report import print_diff

    dataset = _dataset(data, samples, labels=False)
    found = compare_runs(_graph(model, shape, "integer", dataset), arch, other, dataset, samples)
    print_diff(found, format.value)
    raise typer.Exit(OK if found.equal else FINDING)


@app.command()
def validate(
    families: Annotated[list[str] | None, typer.Argument(help="outside sources (see `hwsim list validations`); left out: all")] = None,
    peers: Annotated[
        Path | None, typer.Option(envvar="HWSIM_TEST_DATA", help="folder of the large peer tables, where there is one")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of validation.md and validation.html")] = Path("reports"),
    format: FormatOption = Format.table,
) -> None:
    """Hold the model against measured chips and published simulators, and write validation.md and validation.html."""
    from hwsim.io.files import check_folder
    from hwsim.io.tables import load_tables
    from hwsim.io.validation_report import COLUMNS, figure_rows, write_validation
    from hwsim.validate import validate as validate_families

    check_folder(out)
    with _progress("validating") as step:
        found = validate_families(families or (), load_tables(peers), step)
    write_validation(found, out)
    _rows(COLUMNS, figure_rows(found), format)
    raise typer.Exit(FINDING if any(g.verdict == "MISSED" for f in found for g in f.figures) else OK)


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="a classic network (see `hwsim list networks`)")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the ONNX file to write")],
    bits: Annotated[str, typer.Option(help="fp32, fp16, bf16, w8a8, w4a8, w8a16, w4fp16 ...")] = "fp32",
    image: Annotated[int | None, typer.Option(min=1, help="input size; left out: the customary one")] = None,
    arch: Annotated[str | None, typer.Option(help="quantize by this chip's rules")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the random weights")] = 0,
) -> None:
    """Write a classic network with random weights, in float or quantized."""
    from hwsim.building import build_network
    from hwsim.io.arch_yaml import load_arch
    from hwsim.io.files import check_folder
    from hwsim.io.onnx_model import write_onnx

    if arch is not None and "a" not in bits:
        raise HwsimError("--arch", "must come with --bits for weights and activations such as w8a8", f"with {bits}")
    check_folder(out.parent)
    write_onnx(build_network(name, bits, image, load_arch(arch).quantization if arch else None, seed), out)


@app.command()
def quantize(
    arch: ArchOption,
    model: Annotated[Path, typer.Option("--model", help="a float ONNX file")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the QDQ ONNX file to write")],
    data: Annotated[Path | None, typer.Option(help="an .npz file with calibration inputs x; left out: batch-norm statistics alone")] = None,
    bits: Annotated[str, typer.Option(help="w4a8, or `w4a8 except fc: w8a8`, or a precision's JSON file")] = "w8a8",
    method: Annotated[str, typer.Option(help="full, dfq, or parts as dead+cle+mse+adaround+bias (see `hwsim list quantizers`)")] = "full",
    samples: Annotated[int | None, typer.Option(min=1, help="only the first samples of the data")] = None,
    set_: SetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    report: Annotated[bool, typer.Option(help="print what happened to each layer")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Quantize a float network for a chip: ranges, rounding and corrections by its rules, written as standard QDQ."""
    from hwsim.io.files import check_folder
    from hwsim.io.onnx_model import read_onnx, write_onnx
    from hwsim.quantizing import layer_rows, quantize_for

    check_folder(out.parent)
    dataset = _dataset(data, samples, labels=False)
    with _progress("quantizing") as step:
        done = quantize_for(_arch(arch, set_), read_onnx(model), None if dataset is None else dataset.x, bits, method, seed, step)
    write_onnx(done.network, out)
    if report:
        _rows(*layer_rows(done), format)


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

    _among("--export", export, EXPORTS)
    check_folder(out.parent)
    widths = integers("--weight-bits", weight_bits), integers("--activation-bits", activation_bits)
    export_table(cost_table(_arch(arch, set_), _graph(model, shape, "integer", None), *widths), export, out)


@app.command()
def fit(
    arch: ArchOption,
    measured: Annotated[
        Path, typer.Option(help="a CSV with the columns model, precision, value, unit, and as needed batch, metric, image, set")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="the chip's file with fitted numbers")],
    where: Annotated[list[str] | None, typer.Option(help="only rows whose column starts so: runtime=tflite")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="fit this number alone (may be repeated); left out: all of the chip's `fit` block")
    ] = None,
    conditions: Annotated[str, typer.Option(help="runtime, release and source of the measurements, for the file")] = "",
    cross_validate: Annotated[bool, typer.Option(help="fit again without each network")] = True,
) -> None:
    """Fit a chip's physical numbers to measured latencies or energies, and say how well it foretells networks left out."""
    from hwsim.fitting import fit_chip, prior_chip
    from hwsim.io.arch_yaml import arch_path
    from hwsim.io.files import check_folder
    from hwsim.io.fit_report import fitted_values, print_fit
    from hwsim.io.fitted_yaml import write_fitted
    from hwsim.io.tables import read_table
    from hwsim.measured import measured_rows

    check_folder(out.parent)
    prior, parameters = prior_chip(arch, only or ())
    given = _pairs("--where", where, "runtime=tflite")
    rows = measured_rows(read_table(measured), given)
    with _progress("fitting without each network") as step:
        found = fit_chip(prior, parameters, rows, cross_validate, step)
    said = conditions or ", ".join((measured.name, *(f"{k} {v}" for k, v in given.items())))
    write_fitted(arch_path(arch), fitted_values(found), found.evidence(said), out)
    print_fit(found)


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
) -> None:
    """Any grid of chips, fields, networks, widths and methods into one SQLite file; a killed sweep goes on where it was."""
    from hwsim.axes import split_axes, split_bits
    from hwsim.decide.sweep import grid
    from hwsim.decide.sweep import sweep as run_sweep
    from hwsim.io.files import check_folder

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
    with _executor(scheduler, workers) as executor, _progress("sweep") as step:
        counts = run_sweep(points, out, executor, step, mix_versions, retry_failed)
    print(f"{counts.before} points were there, {counts.now} done now, {counts.failed} of them failed: {out}")
    raise typer.Exit(FINDING if counts.failed else OK)


@app.command()
def archs(format: FormatOption = Format.table) -> None:
    """The chips that come with hwsim."""
    from hwsim.io.arch_yaml import load_arch, presets

    rows = []
    for name in presets():
        a = load_arch(name)
        rows.append(
            [name, a.title, f"{a.clock_hz / 1e9:g}", sum(m.multipliers for m in a.arrays.values()), a.validation.status, len(a.assumed)]
        )
    _rows(("arch", "title", "clock_ghz", "multipliers", "validation", "assumed_blocks"), rows, format)


@app.command()
def show(arch: Annotated[str, typer.Argument(help="a preset's name or a YAML file")], set_: SetOption = None) -> None:
    """A chip as hwsim understands it: every field in inside units (bits, cycles, pJ, Hz), as JSON."""
    print(_arch(arch, set_).model_dump_json(indent=1))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="ops, operators, arithmetics, formats, quantizers, mappers or networks")],
    format: FormatOption = Format.table,
) -> None:
    """What is on a shelf."""
    from hwsim.catalogue import catalogue

    _rows(*catalogue(what), format)


@app.command()
def schema(kind: Annotated[str, typer.Argument(help="arch, costs or scaling")] = "arch") -> None:
    """The JSON schema of a kind of file, for editors."""
    import json

    from hwsim.io.arch_yaml import schema as schema_of

    print(json.dumps(schema_of(kind), indent=1))


@app.command()
def doctor() -> None:
    """Versions, processor features and caches: what to send with a bug report."""
    from hwsim.catalogue import diagnose

    _rows(("thing", "state"), diagnose(), Format.table)


def _rows(columns: Any, rows: Any, format: Format) -> None:
    import json

    from hwsim.io.text import print_table, to_csv

    if format is Format.json:
        print(json.dumps([dict(zip(columns, r, strict=True)) for r in rows], indent=1))
    elif format is Format.csv:
        sys.stdout.write(to_csv(columns, rows))
    else:
        print_table(columns, rows)


def _arch(name: str, overrides: list[str] | None) -> Arch:
    from hwsim.io.arch_yaml import load_arch

    pairs: dict[str, str] = {}
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise HwsimError("--set", "must be field=value such as memories.vtcm.size=4MiB", repr(text))
        if key in pairs:
            raise HwsimError("--set", f"must set '{key}' once", f"to '{pairs[key]}' and '{value}'")
        pairs[key] = value
    return load_arch(name, pairs)


def _pairs(option: str, texts: list[str] | None, example: str) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise HwsimError(option, f"must be column=beginning such as {example}", repr(text))
        pairs[key] = value
    return pairs


def _dataset(path: Path | None, samples: int | None, labels: bool = True) -> Any:
    from hwsim.io.dataset import load_dataset

    return None if path is None else load_dataset(path, samples, labels)


def _graph(model: Path, shapes: list[str] | None, qdq: str, data: Any) -> Graph:
    from hwsim import load_model

    given = {}
    for text in shapes or []:
        name, equals, dims = text.rpartition("=")
        if not equals or not name or not all(d.isdecimal() and len(d) < 20 and int(d) for d in dims.split("x")):
            raise HwsimError("--shape", "must be an input's name and sizes of 1 or more such as x=1x3x224x224", repr(text))
        if name in given:
            raise HwsimError("--shape", f"must shape '{name}' once", "twice")
        given[name] = tuple(int(d) for d in dims.split("x"))
    graph = load_model(model, shapes=given, qdq=qdq, sample_shape=None if data is None else data.x.shape[1:])
    if not graph.inputs or not graph.tensors[graph.inputs[0]].shape:
        raise HwsimError(model, "must have an input with samples along its first axis", "a scalar" if graph.inputs else "constants alone")
    return graph


def _among(option: str, word: str | None, known: Iterable[str]) -> None:
    if word is not None and word not in known:
        raise HwsimError(option, f"must be one of {', '.join(known)}", repr(word), suggest(word, known))


def _needs_data(data: Path | None, options: dict[str, Any]) -> None:
    """Options that mean nothing without data are refused without it."""
    given = [k for k, v in options.items() if v is not None]
    if data is None and given:
        raise HwsimError(given[0], "must come with --data", "alone")


def _executor(scheduler: str | None, workers: int) -> Any:
    """Worker processes of Dask, or none: everything runs here."""
    from contextlib import nullcontext

    if scheduler is None and not workers:
        return nullcontext()
    from hwsim.io.cluster import cluster

    return cluster(scheduler, workers)


def _progress(text: str) -> Any:
    from hwsim.io.progress import progress

    return progress(text)


def main() -> None:
    """Run the command line; every way out has its exit code."""
    try:
        app()
    except NotDeployable as e:
        print(f"hwsim: not deployable: {e}", file=sys.stderr)
        sys.exit(FINDING)
    except HwsimError as e:
        print(f"hwsim: error: {e}", file=sys.stderr)
        sys.exit(USAGE)
    except MemoryError:
        print("hwsim: error: memory: must be enough for the network's tensors; run a smaller batch or input", file=sys.stderr)
        sys.exit(USAGE)
    except BrokenPipeError:
        sys.exit(OK)
    except Exception:
        import traceback

        traceback.print_exc()
        print("hwsim: this is a bug in hwsim; please report it with the command and `hwsim doctor`", file=sys.stderr)
        sys.exit(BUG)


if __name__ == "__main__":
    main()
