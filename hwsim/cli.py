"""The command line: one verb per job, no logic.  Data goes to standard output, progress and complaints to standard error."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from hwsim import cli_chips, cli_decide, cli_quantize
from hwsim.cli_options import (
    BUG,
    FINDING,
    OK,
    USAGE,
    ArchOption,
    ContentionOption,
    EngineOption,
    FidelityOption,
    Format,
    FormatOption,
    MapperOption,
    ModelOption,
    ObjectiveOption,
    QdqOption,
    SetOption,
    ShapeOption,
    among,
    chip_of,
    dataset_of,
    graph_of,
    needs_data,
    pairs,
    print_rows,
    progress_of,
)
from hwsim.errors import HwsimError, NotDeployable
from hwsim.io.interrupts import INTERRUPTED, leave, watched

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What a quantized network computes on a chip, bit for bit, how long it takes, what energy it uses, how accurate it stays.",
)


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
    threads: Annotated[int, typer.Option(min=1, help="batches executed side by side")] = 1,
    out: Annotated[Path | None, typer.Option(help="folder of the report; left out: reports/<arch>-<model>")] = None,
    report: Annotated[bool, typer.Option(help="write result.json, layers.csv, report.html and plots")] = True,
    mapper: MapperOption = "",
    objective: ObjectiveOption = "latency",
    fidelity: FidelityOption = "analytical",
    contention: ContentionOption = True,
) -> None:
    """Simulate one network on one chip: latency, energy, memory, and with data what it computes and how accurate it is."""
    from hwsim.io.files import check_folder
    from hwsim.io.report import write_report
    from hwsim.io.text import LAYER_COLUMNS, layer_rows, print_result, to_csv
    from hwsim.simulate import FIDELITIES, simulate
    from hwsim.steps.execute import ENGINES
    from hwsim.steps.score import METRICS

    among("--engine", engine, ENGINES)
    among("--metric", metric, METRICS)
    among("--fidelity", fidelity, FIDELITIES)
    if fidelity == "analytical" and not contention:
        raise HwsimError("--no-contention", "must come with --fidelity event", "alone")
    needs_data(data, {"--metric": metric, "--samples": samples})
    chip = chip_of(arch, set_)
    dataset = dataset_of(data, samples)
    graph = graph_of(model, shape, qdq, dataset)
    folder = out or Path("reports") / f"{chip.name}-{graph.name}"
    if report:
        check_folder(folder)
    with progress_of("executing") as step:
        result = simulate(chip, graph, dataset, metric, engine, batch, step, mapper, objective, threads, fidelity, contention)
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

    chip = chip_of(arch, set_)
    graph = graph_of(model, shape, "integer", None)
    found, cost = check_fit(chip, graph)
    print_check(chip, graph.name, found, cost, format.value)
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

    dataset = dataset_of(data, samples, labels=False)
    found = compare_runs(graph_of(model, shape, "integer", dataset), arch, other, dataset, samples)
    print_diff(found, format.value, chip_of(arch, None).validation.text if arch else "")
    raise typer.Exit(OK if found.equal else FINDING)


@app.command()
def explain(
    arch: ArchOption,
    model: ModelOption,
    layer: Annotated[str, typer.Option("--layer", help="a layer, or a node fused into one")],
    latency: Annotated[bool, typer.Option("--latency", help="only where the time goes")] = False,
    energy: Annotated[bool, typer.Option("--energy", help="only where the energy goes")] = False,
    set_: SetOption = None,
    shape: ShapeOption = None,
    mapper: MapperOption = "",
    objective: ObjectiveOption = "latency",
    format: FormatOption = Format.table,
) -> None:
    """Why a layer takes its time and energy: actions x prices with sources, what binds, which widths ran, and what changes would do."""
    from hwsim.explain import explain as explain_layer
    from hwsim.io.explain_report import print_explanation

    found = explain_layer(chip_of(arch, set_), graph_of(model, shape, "integer", None), layer, mapper, objective)
    print_explanation(found, latency or not energy, energy or not latency, format.value)


@app.command()
def validate(
    families: Annotated[list[str] | None, typer.Argument(help="outside sources (see `hwsim list validations`); left out: all")] = None,
    peers: Annotated[
        Path | None, typer.Option(envvar="HWSIM_TEST_DATA", help="folder of the large peer tables, where there is one")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the pages")] = Path("reports"),
    format: FormatOption = Format.table,
) -> None:
    """Hold the model against measured chips and published simulators, and write validation.md and validation.html.

    Of some sources alone the pages are named after them, and the page of all stays as it is.
    """
    from hwsim.io.files import check_folder
    from hwsim.io.tables import load_tables
    from hwsim.io.validation_report import COLUMNS, figure_rows, write_validation
    from hwsim.validate import validate as validate_families

    check_folder(out)
    with progress_of("validating") as step:
        found = validate_families(families or (), load_tables(peers), step)
    write_validation(found, out, "-".join(("validation", *(f.name for f in found if families))))
    print_rows(COLUMNS, figure_rows(found), format)
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
def convert(
    model: ModelOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="the ONNX file to write")],
    to: Annotated[str, typer.Option(help="qdq, qoperator or qonnx")] = "qdq",
    shape: ShapeOption = None,
) -> None:
    """Write a network as ONNX in another form, which computes the same numbers when hwsim reads it back."""
    from hwsim.io.files import check_folder
    from hwsim.io.onnx_model import write_onnx
    from hwsim.steps.convert import FORMS
    from hwsim.steps.convert import convert as convert_graph

    among("--to", to, FORMS)
    check_folder(out.parent)
    write_onnx(convert_graph(graph_of(model, shape, "integer", None), to), out)


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
    given = pairs("--where", where, "runtime=tflite")
    rows = measured_rows(read_table(measured), given)
    with progress_of("fitting without each network") as step:
        found = fit_chip(prior, parameters, rows, cross_validate, step)
    said = conditions or ", ".join((measured.name, *(f"{k} {v}" for k, v in given.items())))
    write_fitted(arch_path(arch), fitted_values(found), found.evidence(said), out)
    print_fit(found)


@app.command()
def archs(format: FormatOption = Format.table) -> None:
    """The chips that come with hwsim."""
    from hwsim.io.arch_yaml import load_arch, presets

    rows = []
    for name in presets():
        a = load_arch(name)
        rows.append([name, a.title, f"{a.clock_hz / 1e9:g}", a.multipliers, a.validation.status, len(a.assumed)])
    print_rows(("arch", "title", "clock_ghz", "multipliers", "validation", "assumed_blocks"), rows, format)


@app.command()
def show(arch: Annotated[str, typer.Argument(help="a preset's name or a YAML file")], set_: SetOption = None) -> None:
    """A chip as hwsim understands it: every field in inside units (bits, cycles, pJ, Hz), as JSON, and its area by part."""
    import json

    from hwsim.simulate import area_of

    chip = chip_of(arch, set_)
    print(json.dumps({**chip.model_dump(mode="json"), "area_mm2": area_of(chip)}, indent=1))


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(help="ops, operators, arithmetics, formats, quantizers, arrays, mappers, searches, validations, networks, metrics"),
    ],
    format: FormatOption = Format.table,
) -> None:
    """What is on a shelf."""
    from hwsim.catalogue import catalogue

    print_rows(*catalogue(what), format)


@app.command()
def schema(kind: Annotated[str, typer.Argument(help="arch, costs, area or scaling")] = "arch") -> None:
    """The JSON schema of a kind of file, for editors."""
    import json

    from hwsim.io.arch_yaml import schema as schema_of

    print(json.dumps(schema_of(kind), indent=1))


@app.command()
def doctor() -> None:
    """Versions, processor features and caches: what to send with a bug report."""
    from hwsim.catalogue import diagnose

    print_rows(("thing", "state"), diagnose(), Format.table)


app.add_typer(cli_quantize.app)
app.add_typer(cli_chips.app)
app.add_typer(cli_decide.app)


def main() -> None:
    """Run the command line; every way out has its exit code."""
    gc.set_threshold(100_000, 50, 50)  # one command makes few cycles: looking for them often is a tenth of a short run
    with watched():
        _main()


def _main() -> None:
    try:
        app()
    except KeyboardInterrupt:
        leave()
    except SystemExit as e:
        if e.code == INTERRUPTED:
            leave()
        raise
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
