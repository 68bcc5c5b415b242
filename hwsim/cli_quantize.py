"""The verbs that quantize: for one chip, for several side by side, and the flow that says what went wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwsim.cli_options import FINDING, OK, ArchOption, Format, FormatOption, SetOption, chip_of, dataset_of, print_rows, progress_of

if TYPE_CHECKING:
    from hwsim.decide.debug import Diagnosis

app = typer.Typer()


@app.command()
def quantize(
    arch: ArchOption,
    model: Annotated[Path, typer.Option("--model", help="a float ONNX or TFLite file")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the QDQ ONNX file to write")],
    data: Annotated[Path | None, typer.Option(help="an .npz file with calibration inputs x; left out: batch-norm statistics alone")] = None,
    bits: Annotated[str, typer.Option(help="w4a8, or `w4a8 except fc: w8a8`, or a precision's JSON file")] = "w8a8",
    method: Annotated[
        str | None,
        typer.Option(help="full (the default), dfq, smoothed, or parts such as dead+cle+mse+adaround+bias (see `hwsim list quantizers`)"),
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="only the first samples of the data")] = None,
    set_: SetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    report: Annotated[bool, typer.Option(help="print what happened to each layer")] = False,
    encodings: Annotated[Path | None, typer.Option(help="write scales and offsets too, as AIMET's JSON")] = None,
    use_encodings: Annotated[
        Path | None, typer.Option(help="AIMET's JSON (1.0.0 or 0.6.1): its scales, offsets and widths stay; the method is `nearest` then")
    ] = None,
    format: FormatOption = Format.table,
) -> None:
    """Quantize a float network for a chip: ranges, rounding and corrections by its rules, written as standard QDQ."""
    from hwsim.decide.debug import FEW, REAL_COLUMNS, diagnose, real_rows
    from hwsim.decide.emulation import emulation_note
    from hwsim.io.encodings import read_encodings, write_encodings
    from hwsim.io.files import check_folder
    from hwsim.io.model import read_model
    from hwsim.io.onnx_model import write_onnx
    from hwsim.quantizing import layer_rows, quantize_for

    for file in (out, encodings):
        check_folder(out.parent if file is None else file.parent)
    chip, dataset = chip_of(arch, set_), dataset_of(data, samples, labels=False)
    with progress_of("quantizing") as step:
        given = None if use_encodings is None else read_encodings(use_encodings)
        recipe = method or ("full" if given is None else "nearest")
        x = None if dataset is None else dataset.x
        source = read_model(model)
        done = quantize_for(chip, source, x, bits, recipe, seed, step, given=given)
    write_onnx(done.network, out)
    if encodings is not None:
        write_encodings(done.encodings, encodings)
    for note in (*done.notes, emulation_note(chip, source, x, bits, done)):
        if note:
            print(f"hwsim: note: {note}", file=sys.stderr)
    if report:
        columns, rows = layer_rows(done)
        flow = None if x is None else diagnose(chip, done.prepared, done.network, x[:FEW].astype("float32"))
        if flow is not None:
            columns, rows = (*columns, *REAL_COLUMNS), [a + b for a, b in zip(rows, real_rows(flow, [r[0] for r in rows]), strict=True)]
        print_rows(columns, rows, format)
        if flow is not None and format is Format.table:
            _print_flow(flow)


@app.command()
def compare(
    model: Annotated[list[Path], typer.Option("--model", help="a float ONNX or TFLite file; may be given several times")],
    data: Annotated[Path, typer.Option(help="an .npz file with x and y to judge on")],
    backends: Annotated[str, typer.Option(help="all (MQBench's five, and academic), or chips with commas between")] = "all",
    bits: Annotated[str, typer.Option(help="widths with commas between: w8a8,w4a8")] = "w8a8",
    method: Annotated[str, typer.Option(help="quantization methods with commas between (see `hwsim quantize`)")] = "minmax,full",
    calibration: Annotated[Path | None, typer.Option(help="an .npz file with x to calibrate on; left out: batch-norm statistics")] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="only the first samples of the data")] = None,
    format: FormatOption = Format.table,
) -> None:
    """Networks x methods x backends: accuracy bit-true, agreement with the fake-quantized network, latency and energy."""
    from hwsim.decide.backends import BACKEND_COLUMNS, backend_rows, compare_backends, named_backends
    from hwsim.io.model import read_model

    names = named_backends(backends)
    seen = dataset_of(calibration, None, labels=False)
    sources, judged = [read_model(m) for m in model], dataset_of(data, samples)
    with progress_of("comparing") as step:
        x = None if seen is None else seen.x
        found = list(compare_backends(sources, x, judged, names, bits.split(","), method.split(","), step))
    print_rows(BACKEND_COLUMNS, backend_rows(found), format)


@app.command()
def debug(
    arch: ArchOption,
    model: Annotated[Path, typer.Option("--model", help="the float ONNX or TFLite file")],
    quantized: Annotated[Path, typer.Option(help="the QDQ ONNX file made of it, whose layers have the same names")],
    data: Annotated[Path, typer.Option(help="an .npz file with x, and with y for accuracy too")],
    samples: Annotated[int, typer.Option(min=1, help="samples looked at")] = 64,
    set_: SetOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Why a quantized network loses accuracy: quantizers off, weights alone, activations alone, each layer alone, the chip's integers."""
    from hwsim.decide.debug import CHECK_COLUMNS, check_rows, diagnose_files

    found = diagnose_files(chip_of(arch, set_), model, quantized, data, samples)
    print_rows(CHECK_COLUMNS, check_rows(found), format)
    if format is Format.table:
        _print_flow(found)
    raise typer.Exit(FINDING if found.faults else OK)


def _print_flow(found: Diagnosis) -> None:
    from hwsim.decide.debug import STAGE_COLUMNS, stage_rows

    print_rows(STAGE_COLUMNS, stage_rows(found), Format.table)
    for line in found.findings:
        print(f"* {line}")
