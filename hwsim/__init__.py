"""hwsim: what a quantized network computes on a chip, bit for bit, how long it takes, what energy it uses, how accurate it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version as _version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.errors import HwsimError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from hwsim.arch import Arch
    from hwsim.cost import Cost
    from hwsim.decide.search import Found
    from hwsim.decide.sensitivity import Sensitivity
    from hwsim.decide.sweep import Counts
    from hwsim.decide.table import CostTable
    from hwsim.graph import Graph
    from hwsim.quant import Array
    from hwsim.result import Result

__all__ = [
    "HwsimError",
    "__version__",
    "check",
    "cost_table",
    "estimate",
    "execute",
    "load_arch",
    "load_model",
    "plot",
    "read_sweep",
    "run",
    "search",
    "sensitivity",
    "sweep",
]
__version__ = _version("hwsim")


def load_arch(name: str | Path, overrides: Mapping[str, str] | None = None) -> Arch:
    """A chip, by a preset's name or the path of a YAML file; `overrides` sets fields, {"memories.vtcm.size": "4 MiB"}.

    Raises HwsimError with file, line and column for what is wrong.
    """
    from hwsim.io.arch_yaml import load_arch as load

    return load(name, dict(overrides or {}))


def load_model(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, Array] | None = None,
    qdq: str = "integer",
    sample_shape: tuple[int, ...] | None = None,
) -> Graph:
    """A network from an ONNX file (float, QDQ or QOperator) or a TFLite file.

    `shapes` fixes inputs that the file leaves open (a symbolic first dimension is a batch of 1 otherwise), `sample_shape` those
    of a single input without its batch.  `constants` gives values to inputs that hwsim must know, such as a scale.  `qdq` is
    `integer` or `literal`.  Raises HwsimError that names every operator that cannot be read.
    """
    from hwsim.io.model import read_model
    from hwsim.steps.read import read

    source = read_model(path)
    known = dict(shapes or {})
    open_inputs = [t for t in source.inputs if t not in (constants or {})]
    if sample_shape is not None and len(open_inputs) == 1 and not known:
        declared = source.tensors[open_inputs[0]].shape or ()
        if any(isinstance(d, str) for d in declared[1:]) and len(declared) == len(sample_shape) + 1:
            known[open_inputs[0]] = (declared[0] if isinstance(declared[0], int) else 1, *sample_shape)
    return read(source, known, constants, qdq)


def execute(
    model: Graph, inputs: Mapping[str, Array], arch: Arch | None = None, engine: str = "numba", all_tensors: bool = False
) -> dict[str, Array]:
    """What a network computes, bit for bit: output name (with `all_tensors` every tensor's name) -> array.

    Without a chip it is what the file itself says, in its runtime's arithmetic; with one, what the chip would compute.  Stored
    tensors come as integers.  A symbolic batch follows the inputs.  Raises HwsimError for inputs that do not fit.
    """
    import numpy as np

    from hwsim.steps.execute import execute as run_program
    from hwsim.steps.read import with_batch
    from hwsim.steps.written import as_written

    first = next(iter(inputs.values()), None)
    if first is not None and np.ndim(first) and np.shape(first)[0] > 0:
        model = with_batch(model, np.shape(first)[0])
    if arch is None:
        program = as_written(model)
    else:
        from hwsim.steps.lower import lower

        program = lower(model, arch)
    return dict(run_program(program, inputs, all_tensors, engine).tensors)


def estimate(
    arch: Arch, model: Graph, mapper: str = "", objective: str = "latency", fidelity: str = "analytical", contention: bool = True
) -> Cost:
    """What one inference costs: `.latency_s`, `.energy_j`, `.layers` and their parts.

    `mapper` is the chip's own, or greedy, exhaustive ...; `objective` is latency, energy or edp; `fidelity` is analytical, or event:
    tiles, transfers, ports and buses are played one by one, with or without `contention`.
    """
    from hwsim.simulate import run_in_time
    from hwsim.steps.lower import lower

    return run_in_time(arch, lower(model, arch), mapper, objective, fidelity, contention).cost


def cost_table(arch: Arch, model: Graph, weight_bits: Iterable[int] = (2, 4, 8), activation_bits: Iterable[int] = (2, 4, 8)) -> CostTable:
    """What every layer costs at every width: `.cells("cycles")` is an array (layers, weight widths, activation widths).

    `.evaluate(choices)` prices millions of mixed assignments a second, each as `estimate` does.  A float network is quantized by the
    chip's rules first.
    """
    from hwsim.decide.table import cost_table as tabulate

    return tabulate(arch, model, weight_bits, activation_bits)


def sensitivity(
    arch: Arch,
    model: Graph,
    data: str | Path,
    calibration: str | Path | None = None,
    weight_bits: Iterable[int] = (2, 3, 4, 8),
    activation_bits: Iterable[int] = (2, 3, 4, 8),
    method: str = "dead+cle+mse+coordinate_descent+bias",
    samples: int = 500,
    trace: bool = False,
    executor: Executor | None = None,
    keep: Path | None = None,
) -> Sensitivity:
    """What each layer of a float network loses at each width, one width narrowed at a time, bit-true on a chip.

    `data` is an .npz file with x and y, `calibration` one with x (left out: the first 128 samples of the data, which are then not
    judged on).  `trace` adds HAWQ-V2's traces; any executor of concurrent.futures runs in parallel; what the file `keep` holds is not
    run again.  `.rows` and `.to_csv()` say it all.
    """
    from hwsim.decide.asking import files_of, question_of
    from hwsim.decide.sensitivity import sensitivity as measure

    widths = tuple(weight_bits), tuple(activation_bits)
    asked = question_of(arch, model.source, *files_of(data, calibration), *widths, method)
    return measure(asked.first(samples), trace, executor, keep)


def search(
    arch: Arch,
    model: Graph,
    data: str | Path,
    budget: str = "",
    objective: str = "accuracy",
    strategy: str = "ilp",
    calibration: str | Path | None = None,
    weight_bits: Iterable[int] = (2, 3, 4, 8),
    activation_bits: Iterable[int] = (4, 8),
    method: str = "dead+cle+mse+coordinate_descent+bias",
    samples: int = 500,
    candidates: int = 8,
    executor: Executor | None = None,
    keep: Path | None = None,
) -> Found:
    """The width of every layer of a float network that loses least within a budget (`latency=0.6x,energy=2mJ`), or that costs least
    (`objective="latency"`) at an accuracy (`accuracy=-1`: points below the widest), judged bit-true on a chip.

    So many `candidates` of the greatest accuracy are quantized and compared, and the loss is learned from them.
    `.best.precision` is what a quantizer obeys; `hwsim.decide.search_report.write_search` writes the page.  Other arguments as for
    `sensitivity`.  Raises HwsimError when nothing is within the budget.
    """
    from hwsim.decide.asking import files_of, question_of
    from hwsim.decide.budget import parse_budgets
    from hwsim.decide.search import Wish
    from hwsim.decide.search import search as find

    widths = tuple(weight_bits), tuple(activation_bits)
    asked = question_of(arch, model.source, *files_of(data, calibration), *widths, method)
    wish = Wish(objective, parse_budgets(budget), strategy, candidates=candidates)
    return find(asked, wish, asked.first(samples), executor=executor, keep=keep)


def check(arch: Arch, model: Graph):  # type: ignore[no-untyped-def]
    """Where the chip runs every operator and which of its rules the network breaks: a CheckReport."""
    from hwsim.steps.check import check as check_graph

    return check_graph(arch, model)


def run(
    arch: Arch,
    model: Graph,
    data: str | Path | None = None,
    metric: str | None = None,
    engine: str = "numba",
    threads: int = 1,
    fidelity: str = "analytical",
    contention: bool = True,
) -> Result:
    """Cost, and with data (an .npz file with x and y) accuracy on the chip and agreement with the file's own arithmetic.

    Batches of the data are executed side by side by `threads`; memory does not grow with the data.  With the fidelity `event` the result
    has a `.trace` of every unit.
    """
    from hwsim.io.dataset import load_dataset
    from hwsim.simulate import simulate

    dataset = None if data is None else load_dataset(data)
    return simulate(arch, model, dataset, metric, engine, threads=threads, fidelity=fidelity, contention=contention)


def sweep(
    archs: Sequence[str | Path],
    models: Sequence[str | Path],
    out: str | Path,
    weight_bits: Iterable[int] = (),
    activation_bits: Iterable[int] = (),
    methods: Sequence[str] = ("full",),
    vary: Mapping[str, Sequence[str]] | None = None,
    data: str | Path = "",
    calibration: str | Path = "",
    samples: int = 0,
    mixed: int = 0,
    seed: int = 0,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
    mix_versions: bool = False,
    retry_failed: bool = False,
) -> Counts:
    """Every combination of chips x `vary`-ed fields x networks x methods x widths into one SQLite file; see `hwsim sweep --help`.

    Points that the file holds are not computed again.  Any executor of concurrent.futures runs the points, Dask's too.  Raises
    HwsimError for what cannot be; a point that fails is a row of the file.
    """
    from hwsim.decide.sweep import grid
    from hwsim.decide.sweep import sweep as run_sweep

    files = [str(a) for a in archs], [str(m) for m in models]
    widths = tuple(weight_bits), tuple(activation_bits)
    points = grid(*files, *widths, methods, vary, str(data), str(calibration), samples, mixed, seed)
    return run_sweep(points, Path(out), executor, progress, mix_versions, retry_failed)


def read_sweep(path: str | Path, where: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[Any]]:
    """The points of a sweep's file by column, as pandas.DataFrame takes them; `where` keeps points, {"arch": ["snpe_dsp"]}."""
    from hwsim.decide.rows import sweep_rows

    columns, rows = sweep_rows(Path(path), where)
    return dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)) if rows else {c: [] for c in columns}


def plot(path: str | Path, out: str | Path, x: str = "weight_bits", y: str = "energy", hue: str = "", **more: Any) -> list[str]:
    """A figure of a sweep's file as .svg, .pdf or .png; what it does not show is returned in words.

    `more` are `style`, `kind` (line, scatter, pareto, heatmap), `where`, `log` and `size` in inches, as `hwsim plot --help` has them.
    """
    from hwsim.decide.drawing import Figure, draw
    from hwsim.io.files import write_whole

    data, remarks = draw(Path(path), Figure(x, y, hue, **more), Path(out).suffix.removeprefix("."))
    write_whole(Path(out), data)
    return remarks
