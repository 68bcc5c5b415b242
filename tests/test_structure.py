"""The rules of the house: imports, doors, shelves, and that every field of a chip changes some output."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

from hwsim.arch import Arch
from hwsim.energy_table import CostTable, Scaling
from hwsim.graph import Graph, SourceGraph
from hwsim.io.arch_yaml import load_arch, load_costs, load_scaling, presets, schema
from hwsim.io.shipped import shipped_folder
from hwsim.mac_array import LOOPS
from hwsim.quant import Array
from hwsim.shelf import load, names
from hwsim.simulate import simulate
from hwsim.steps.check import check
from hwsim.steps.execute import execute
from hwsim.steps.fold import fold_batch_norm
from hwsim.steps.lower import lower
from hwsim.steps.prices import Prices, gate_energy, prices_of
from hwsim.steps.quantize import quantize, ranges_of
from hwsim.steps.read import read
from hwsim.topologies._net import Net
from tests.test_check import ACADEMIC

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hwsim"

# Imports -----------------------------------------------------------------------------------------------------------------------------

SHELVES = ("formats", "arithmetics", "ops", "quantizers", "arrays", "mappers", "searches", "topologies")
LEVELS = (
    ("errors",),
    ("units", "shelf", "axes"),
    (
        "arch",
        "blocks",
        "mac_array",
        "energy_table",
        "area_table",
        "evidence",
        "measured",
        "quantities",
        "graph",
        "allocation",
        "quant",
        "encodings",
        "precision",
        "program",
        "mapping",
        "cost",
        "result",
        "trace",
        "memory_plan",
        "validation",
        "explanation",
    ),
    ("kernels",),
    SHELVES,
    ("io", "steps"),
    ("pipeline", "scoring"),
    ("simulate", "compare", "building", "language", "quantizing", "catalogue"),
    ("decide",),
    ("fitting",),
    ("validations",),
    ("validate", "explain"),
    ("hwsim",),
    ("cli_options",),
    ("cli_chips", "cli_decide", "cli_quantize"),
    ("cli",),
)
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
# what a part may know of its own level beside itself
NEIGHBOURS: dict[str, set[str]] = {
    "ops": {"formats", "arithmetics"},
    "arithmetics": {"formats"},
    "arrays": {"formats"},
    "mappers": {"formats", "arrays"},
    **{s: set() for s in ("formats", "quantizers", "searches", "topologies", *LEVELS[6], *LEVELS[7])},
}
ONLY_THEMSELVES = {"kernels", "errors"}

DOORS: dict[str, tuple[str, ...]] = {
    "yaml": ("io/arch_yaml.py",),
    "onnx": ("io/onnx_model.py", "io/onnx_constants.py", "io/onnx_definitions.py"),
    "google": ("io/onnx_model.py",),
    "tflite": ("io/tflite_model.py",),
    "matplotlib": ("io/plots.py", "io/plots_time.py", "io/figures.py", "io/plots_search.py"),
    "onnxruntime": ("io/onnxruntime_runs.py",),
    "jinja2": ("io/pages.py",),
    "rich": ("io/",),
    "typer": ("cli",),
    "pydantic": (
        "arch.py",
        "blocks.py",
        "mac_array.py",
        "energy_table.py",
        "area_table.py",
        "evidence.py",
        "quantities.py",
        "io/arch_yaml.py",
    ),
    "pydantic_core": ("quantities.py", "io/arch_yaml.py"),
    "numba": ("kernels/",),
    "llvmlite": ("kernels/",),
    "networkx": ("graph.py",),
    "scalesim": ("io/scalesim_runs.py",),
    "ethosu": ("io/vela_runs.py",),
    "simpy": ("steps/event.py",),
    "pyarrow": ("io/parquet.py",),
    "sqlite3": ("io/store.py",),
    "dask": ("io/cluster.py",),
    "distributed": ("io/cluster.py",),
    "torch": ("pipeline/torch_graph.py", "pipeline/reconstruct.py", "decide/traces.py", "searches/_ddpg.py"),
    "pymoo": ("searches/evolution.py",),
    "pandas": (),
    "sklearn": (),
}


def files() -> list[str]:
    return sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


@cache
def imports(file: str) -> tuple[tuple[str, bool], ...]:
    """Every module that a file imports, and whether it does so at its top; `from hwsim import formats` imports hwsim.formats."""
    tree = ast.parse((PACKAGE / file).read_text("utf-8"))
    at_top = {id(n) for n in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name, id(node) in at_top) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports must be absolute"
            inner = [f"hwsim.{a.name}" for a in node.names if a.name in LEVEL] if node.module == "hwsim" else []
            found += [(m, id(node) in at_top) for m in inner or [str(node.module)]]
    return tuple(found)


def part(module: str) -> str:
    """hwsim.steps.place -> steps; hwsim itself is the front door."""
    return [*module.split("."), "hwsim"][1]


@pytest.mark.parametrize("file", files())
def test_imports_go_down(file: str) -> None:
    own = "hwsim" if file == "__init__.py" else file.partition("/")[0].removesuffix(".py")
    for module, _ in imports(file):
        other = part(module)
        if module.partition(".")[0] != "hwsim" or other == own:
            continue
        assert own not in ONLY_THEMSELVES, f"hwsim/{file} must import {own} alone, not {module}"
        allowed = LEVEL[other] < LEVEL[own] or (LEVEL[other] == LEVEL[own] and other in NEIGHBOURS.get(own, {other}))
        assert allowed, f"hwsim/{file} must import what stands below {own}, not {module}"


@pytest.mark.parametrize("file", files())
def test_each_large_library_has_one_door(file: str) -> None:
    for module, at_top in imports(file):
        library = module.partition(".")[0]
        assert file.startswith(DOORS.get(library, "")), f"hwsim/{file} must leave {library} to {' or '.join(DOORS[library]) or 'nobody'}"
        assert not (library == "scipy" and at_top), f"hwsim/{file} must import scipy where it is used"


@pytest.mark.parametrize("program", ["import hwsim", "import hwsim.cli, sys; sys.argv = ['hwsim', '--help']; hwsim.cli.main()"])
def test_light_start(program: str) -> None:
    heavy = ("numba", "onnx", "matplotlib", "scipy", "networkx", "pydantic", "yaml", "numpy")
    watch = f"import atexit, sys; atexit.register(lambda: print('LOADED', *[m for m in {heavy!r} if m in sys.modules])); {program}"
    run = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.splitlines()[-1] == "LOADED"


def test_no_path_of_this_machine() -> None:
    own = {f"{p}/" for p in (ROOT, Path.home(), sys.prefix) if str(p) != "/"}
    for path in [*PACKAGE.rglob("*"), *shipped_folder("archs").rglob("*")]:
        if path.is_file() and path.suffix in (".py", ".j2", ".yaml", ".json", ".typed"):
            text = path.read_text("utf-8")
            assert not any(p in text for p in own), f"{path.relative_to(ROOT)} must not name a folder of this machine"


# Shelves -----------------------------------------------------------------------------------------------------------------------------

DEFINES = {
    "ops": ("READS", "infer", "compute"),
    "arithmetics": ("BIAS", "MULTIPLIER", "parameters", "requantize"),
    "formats": ("parse",),
    "quantizers": ("fit|round_weights|approximate|split",),
    "arrays": ("work",),
    "mappers": ("propose|lay_out",),
    "searches": ("EXACT", "search"),
    "topologies": ("NETWORKS",),
    "validations": ("TITLE", "KIND", "SOURCE", "figures"),
}


@pytest.mark.parametrize(("shelf", "name"), [(s, n) for s in DEFINES for n in names(s)])
def test_what_a_shelf_file_defines(shelf: str, name: str) -> None:
    module = load(shelf, name)
    missing = [d for d in DEFINES[shelf] if not any(hasattr(module, name) for name in d.split("|"))]
    assert not missing, f"hwsim/{shelf}/{name}.py must define {', '.join(missing)}"
    assert (module.__doc__ or "").strip(), f"hwsim/{shelf}/{name}.py must say what it is"


def test_every_shelf_is_tested() -> None:
    from hwsim.shelf import SHELVES as shelves

    assert set(shelves) == set(DEFINES) == {*SHELVES, "validations"}


# Files of chips ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", presets())
def test_presets(name: str) -> None:
    arch = load_arch(name)
    assert arch.name == name
    assert (shipped_folder("archs") / f"{name}.yaml").read_text("utf-8").splitlines()[
        0
    ] == "# yaml-language-server: $schema=arch.schema.json"


@pytest.mark.parametrize("kind", ["arch", "costs", "area", "scaling"])
def test_schemas_are_current(kind: str) -> None:
    """`hwsim schema <kind> > archs/<kind>.schema.json` after every change of the schema."""
    assert json.loads((shipped_folder("archs") / f"{kind}.schema.json").read_text("utf-8")) == schema(kind)


@pytest.mark.parametrize("path", sorted((shipped_folder("archs") / "costs").rglob("*.yaml")), ids=lambda p: p.stem)
def test_tables_name_their_schema(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve().is_file()


# Every field changes some output -----------------------------------------------------------------------------------------------------

WORDS = ("title", "description", "source", "assumed")


def leaves(model: type[BaseModel], at: str = "") -> Iterator[str]:
    """The dotted fields of a schema; `*` for a name that the file gives."""
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None:
            if name not in WORDS:
                yield at + name
        else:
            yield from leaves(inner, f"{at}{name}." + ("*." if "dict" in str(field.annotation) else ""))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)


HVX, VTCM, ALU = "arrays.hvx", "memories.vtcm", "vector.hvx_alu"
NARROW_SUM = {f"{HVX}.accumulator": "{bits: 12, overflow: saturate}"}
HOST = {f"{HVX}.runs": "[conv, matmul]"}
SERIAL = {f"{HVX}.rates": "{w16a16: 1}", f"{HVX}.serial": "{weights: 1, activations: 1}"}
COMPOSE = {f"{HVX}.compose": "{smallest: 2, largest: 8}", f"{HVX}.rates": "{w16a16: 1}"}
SYSTOLIC = {f"{HVX}.kind": "systolic", f"{HVX}.unroll": "[{rows: 8, columns: 8}]"}
MODES = {f"{HVX}.unroll": "[{K: 8}, {K: 8, C: 8}]"}
BLOCKS = {f"{HVX}.kind": "tensor_core", f"{HVX}.unroll": "[{OX: 8, K: 8}]"}
ROWS = {
    f"{HVX}.kind": "row_stationary",
    f"{HVX}.unroll": "[{rows: 12, columns: 14}]",
    f"{HVX}.passes": "{filter_words: 224, input_words: 12, sum_words: 24, buffer_words: 51200}",
    "memories.vtcm.holds": "[weights]",
    "mapper": "row_stationary",
}
CMAC = {f"{HVX}.kind": "cmac", f"{HVX}.unroll": "[{C: 16, K: 16}]"}
STREAMED = {f"{HVX}.kind": "bit_serial", f"{HVX}.ports": "{weights: 1 b/cycle, activations: 1 b/cycle}"}
BUS = "{axi: {rate: 1 b/cycle, joins: [dram], assumed: made up}}"
EVIDENCE = "figure: latency, rows: 4, networks: 2, mape: 3.0, worst: net +9 %, conditions: one runtime"
FEW_BANKS = {
    f"arrays.mac_engine.buffer.{k}": v
    for k, v in {
        "banks": "16",
        "bank": "128 B",
        "output_banks": "0",
        "reserved_banks": "0",
        "input_granule": "2",
        "sum_granule": "2",
    }.items()
}
Change = tuple[str, dict[str, str], dict[str, str]]

# field of the schema -> preset, what is set on both sides (`precision` is that of the network), and the change that must show
FIELDS: dict[str, Change] = {
    "name": ("snpe_dsp", {}, {"name": "other"}),
    "clock.frequency": ("snpe_dsp", {}, {"clock.frequency": "2 GHz"}),
    "process.node": ("snpe_dsp", {}, {"process.node": "16 nm"}),
    "process.voltage": ("snpe_dsp", {}, {"process.voltage": "0.9 V"}),
    "mapper": ("snpe_dsp", {f"{HVX}.kind": "fusion", f"{HVX}.unroll": "[{C: 4, K: 4}]"}, {"mapper": "bitfusion"}),
    "arrays.*.kind": ("snpe_dsp", {}, {f"{HVX}.kind": "vector"}),
    **{f"arrays.*.unroll.{d}": ("snpe_dsp", {}, {f"{HVX}.unroll": f"[{{{d}: 2}}]"}) for d in LOOPS},
    **{f"arrays.*.unroll.{d}": ("snpe_dsp", SYSTOLIC, {f"{HVX}.unroll": f"[{{{d}: 4}}]"}) for d in ("rows", "columns")},
    "arrays.*.unroll.rate": ("snpe_dsp", {}, {f"{HVX}.unroll": "[{K: 32, C: 4, rate: 0.5}]"}),
    "arrays.*.unroll.runs": ("snpe_dsp", MODES, {f"{HVX}.unroll": "[{K: 8}, {K: 8, C: 8, runs: [lstm]}]"}),
    "arrays.*.unroll.most_channels": ("snpe_dsp", MODES, {f"{HVX}.unroll": "[{K: 8}, {K: 8, C: 8, most_channels: 1}]"}),
    "arrays.*.unroll.most_rows": ("snpe_dsp", MODES, {f"{HVX}.unroll": "[{K: 8}, {K: 8, C: 8, most_rows: 1}]"}),
    "arrays.*.unpack": ("snpe_dsp", {**BLOCKS, "precision": "w4a8"}, {f"{HVX}.unpack": "0.01 /cycle"}),
    "arrays.*.cores": ("snpe_dsp", BLOCKS, {f"{HVX}.cores": "2"}),
    **{f"arrays.*.block.{d}": ("snpe_dsp", BLOCKS, {f"{HVX}.block": f"{{{d}: 4}}"}) for d in ("OX", "K")},
    "arrays.*.block.C": ("snpe_dsp", CMAC, {f"{HVX}.block": "{C: 64, K: 16}"}),
    **{
        f"arrays.*.passes.{k}": ("snpe_dsp", ROWS, {f"{HVX}.passes.{k}": v})
        for k, v in {"filter_words": "3", "input_words": "3", "sum_words": "1", "buffer_words": "9"}.items()
    },
    **{
        f"arrays.*.passes.{k}": (
            "snpe_dsp",
            ROWS,
            {f"{HVX}.passes": f"{{filter_words: 224, input_words: 12, sum_words: 24, buffer_words: 51200, {k}: {v}}}"},
        )
        for k, v in {"start": "999.0", "exposed": "0.01"}.items()
    },
    "arrays.*.winograd.kernel": ("snpe_dsp", CMAC, {f"{HVX}.winograd": "{kernel: 3}"}),
    "arrays.*.winograd.speed": ("snpe_dsp", {**CMAC, f"{HVX}.winograd": "{kernel: 3}"}, {f"{HVX}.winograd.speed": "4.0"}),
    "arrays.*.ports.weights": ("snpe_dsp", STREAMED, {f"{HVX}.ports.weights": "0.01 b/cycle"}),
    "arrays.*.ports.activations": ("snpe_dsp", STREAMED, {f"{HVX}.ports.activations": "0.01 b/cycle"}),
    "arrays.*.ports.both": ("snpe_dsp", BLOCKS, {f"{HVX}.ports": "{both: 1 b/cycle}"}),
    **{
        f"arrays.*.buffer.{k}": ("ethos_u55_256", FEW_BANKS, {f"arrays.mac_engine.buffer.{k}": v})
        for k, v in {
            "banks": "8",
            "bank": "64 B",
            "output_banks": "2",
            "reserved_banks": "2",
            "input_granule": "6",
            "sum_granule": "6",
            "burst": "256 B",
            "latency": "99 cycles",
            "table_latency": "9999",
            "step_delay": "99",
            "pool_cycles": "99.0",
            "element_cycles": "{default: 99.0}",
        }.items()
    },
    "arrays.*.weight_coding": ("ethos_u55_256", {}, {"arrays.mac_engine.weight_coding": "none"}),
    "memories.*.one_port": ("ethos_u55_256", {"memories.sram.read": "1 b/cycle"}, {"memories.sram.one_port": "false"}),
    "dma.stages.memory": ("ethos_u55_256", {}, {"dma.stages.memory": "flash"}),
    "dma.stages.latency": ("ethos_u55_256", {}, {"dma.stages.latency": "9999 cycles"}),
    "arrays.*.cycle_energy": ("snpe_dsp", {}, {f"{HVX}.cycle_energy": "9 pJ"}),
    "arrays.*.shares": ("nvdla_full", {}, {"arrays.cmac_depthwise.shares": "null"}),
    "arrays.*.wires": ("snpe_dsp", {}, {f"{HVX}.wires": "9 mm"}),
    "memories.*.word": ("snpe_dsp", {}, {f"{VTCM}.word": "1 MiB"}),
    "memories.*.in_array": ("snpe_dsp", {}, {f"{VTCM}.in_array": "true"}),
    "arrays.*.area": ("snpe_dsp", {}, {f"{HVX}.area": "9 mm2"}),
    "vector.*.area": ("snpe_dsp", {}, {f"{ALU}.area": "9 mm2"}),
    "memories.*.area": ("snpe_dsp", {}, {f"{VTCM}.area": "9 mm2"}),
    "arrays.*.dataflow": ("snpe_dsp", {}, {f"{HVX}.dataflow": "weight_stationary"}),
    "arrays.*.rates": ("snpe_dsp", {}, {f"{HVX}.rates": "{w8a8: 0.5}"}),
    "arrays.*.serial.weights": ("snpe_dsp", SERIAL, {f"{HVX}.serial.weights": "2"}),
    "arrays.*.serial.activations": ("snpe_dsp", SERIAL, {f"{HVX}.serial.activations": "2"}),
    "arrays.*.serial.most": ("snpe_dsp", SERIAL, {f"{HVX}.serial.most": "4"}),
    "arrays.*.compose.smallest": ("snpe_dsp", {**COMPOSE, "precision": "w2a2"}, {f"{HVX}.compose.smallest": "4"}),
    "arrays.*.compose.largest": ("snpe_dsp", COMPOSE, {f"{HVX}.compose.largest": "16"}),
    "arrays.*.runs": ("snpe_dsp", {}, HOST),
    "arrays.*.fuses": ("tensorrt_t4", {}, {"arrays.tensor_cores.fuses": "[relu]"}),
    "arrays.*.efficiency": ("snpe_dsp", {}, {f"{HVX}.efficiency": "{pointwise: 0.5}"}),
    "arrays.*.outputs": ("snpe_dsp", {}, {f"{HVX}.outputs": "0.1 /cycle"}),
    "arrays.*.accumulator.bits": ("snpe_dsp", {}, {f"{HVX}.accumulator.bits": "16"}),
    "arrays.*.accumulator.overflow": ("snpe_dsp", NARROW_SUM, {f"{HVX}.accumulator.overflow": "wrap"}),
    "arrays.*.accumulator.every": ("snpe_dsp", NARROW_SUM, {f"{HVX}.accumulator.every": "pair"}),
    "arrays.*.accumulator.tile": (
        "snpe_dsp",
        {f"{HVX}.accumulator": "{bits: 12, overflow: saturate, every: tile, tile: 2}"},
        {f"{HVX}.accumulator.tile": "9"},
    ),
    "arrays.*.accumulator.zero_points": ("snpe_dsp", {}, {f"{HVX}.accumulator.zero_points": "subtracted"}),
    "vector.*.rates": ("snpe_dsp", {}, {f"{ALU}.rates": "{default: 1 /cycle}"}),
    "vector.*.wide": ("snpe_dsp", {"precision": "w8a16", f"{ALU}.rates": "{default: 1 /cycle}"}, {f"{ALU}.wide": "0.125"}),
    "vector.*.overlaps": ("snpe_dsp", {}, {f"{ALU}.overlaps": "false"}),
    "vector.*.runs": ("snpe_dsp", {}, {f"{ALU}.runs": "[add]"}),
    "vector.*.real": ("acl_ascend310", {}, {"vector.vector_unit.real": "0.0"}),
    "vector.*.efficiency": ("snpe_dsp", {}, {f"{ALU}.efficiency": "0.01"}),
    "vector.*.rescale": ("snpe_dsp", {}, {f"{ALU}.rescale": "9.0"}),
    "vector.*.fuses": ("snpe_dsp", {}, {f"{ALU}.fuses": "[quantize, dequantize, add]"}),
    "memories.*.efficiency": ("snpe_dsp", {}, {f"{VTCM}.efficiency": "0.1"}),
    "memories.*.size": ("snpe_dsp", {}, {f"{VTCM}.size": "256 B"}),
    "memories.*.holds": ("snpe_dsp", {}, {f"{VTCM}.holds": "[inputs, outputs]"}),
    "memories.*.read": ("snpe_dsp", {}, {f"{VTCM}.read": "1 B/cycle"}),
    "memories.*.write": ("snpe_dsp", {}, {f"{VTCM}.write": "0.1 B/cycle"}),
    "memories.*.latency": ("snpe_dsp", {}, {f"{VTCM}.latency": "99 cycles"}),
    "memories.*.banks": ("snpe_dsp", {}, {f"{VTCM}.banks": "16"}),
    "memories.*.bank_ports": ("snpe_dsp", {}, {f"{VTCM}.bank_ports": "1"}),
    "memories.*.burst": ("snpe_dsp", {}, {"memories.dram.burst": "1 KiB"}),
    "memories.*.row": ("snpe_dsp", {"memories.dram.row_miss": "1 us"}, {"memories.dram.row": "64 B"}),
    "memories.*.row_miss": ("snpe_dsp", {"memories.dram.row": "64 B"}, {"memories.dram.row_miss": "1 us"}),
    "buses.*.rate": ("snpe_dsp", {"buses": BUS}, {"buses.axi.rate": "2 b/cycle"}),
    "buses.*.joins": ("snpe_dsp", {"buses": BUS}, {"buses.axi.joins": "[vtcm]"}),
    "cascades": ("snpe_dsp", {"precision": "w2a16", "memories.l2.size": "750 B"}, {"cascades": "[depthwise+pointwise]"}),
    "dma.prefetch": ("hexagon_v66", {"memories.l2.size": "1 MiB"}, {"dma.prefetch": "true"}),
    "dma.queue": ("snpe_dsp", {"dma.channels": "1"}, {"dma.queue": "1"}),
    "memories.*.double_buffered": ("snpe_dsp", {}, {f"{VTCM}.double_buffered": "false"}),
    "memories.*.on_chip": ("snpe_dsp", {}, {"memories.l2.on_chip": "false"}),
    "memories.*.keeps_weights": ("snpe_dsp", {}, {"memories.l2.keeps_weights": "true"}),
    "memories.*.read_energy": ("snpe_dsp", {}, {f"{VTCM}.read_energy": "1 pJ/bit"}),
    "memories.*.write_energy": ("snpe_dsp", {}, {f"{VTCM}.write_energy": "1 pJ/bit"}),
    "memories.*.kind": ("snpe_dsp", {}, {"memories.dram.kind": "ddr4"}),
    "dma.channels": ("snpe_dsp", {"dma.setup": "9000 cycles"}, {"dma.channels": "1"}),
    "dma.setup": ("snpe_dsp", {}, {"dma.setup": "9000 cycles"}),
    "overheads.per_inference": ("snpe_dsp", {}, {"overheads.per_inference": "1 us"}),
    "overheads.by_precision": ("snpe_dsp", {}, {"overheads.by_precision": "{w8a8: 1 us}"}),
    "overheads.conversion": ("snpe_dsp", {}, {"overheads.conversion": "1 MB/s"}),
    "channels_last": ("snpe_dsp", {}, {"channels_last": "true"}),
    "overheads.per_layer": ("snpe_dsp", {}, {"overheads.per_layer": "1 us"}),
    "arithmetic.default": ("snpe_dsp", {}, {"arithmetic.default": "ne16"}),
    "arithmetic.ops": ("snpe_dsp", {}, {"arithmetic.ops": "{add: onnxruntime}"}),
    "quantization.weights.formats": ("snpe_dsp", {"precision": "w4a8"}, {"quantization.weights.formats": "[int8]"}),
    "quantization.weights.granularity": ("snpe_dsp", {}, {"quantization.weights.granularity": "per_channel"}),
    "quantization.weights.symmetric": ("snpe_dsp", {}, {"quantization.weights.symmetric": "true"}),
    "quantization.weights.power_of_two": ("snpe_dsp", {}, {"quantization.weights.power_of_two": "true"}),
    "quantization.weights.narrow": ("nvdla_full", {"quantization.weights.symmetric": "false"}, {"quantization.weights.narrow": "true"}),
    "quantization.activations.formats": ("snpe_dsp", {}, {"quantization.activations.formats": "[int8]"}),
    "quantization.activations.symmetric": ("snpe_dsp", {}, {"quantization.activations.symmetric": "true"}),
    "quantization.activations.power_of_two": ("snpe_dsp", {}, {"quantization.activations.power_of_two": "true"}),
    "quantization.activations.narrow": (
        "nvdla_full",
        {"quantization.activations.symmetric": "false"},
        {"quantization.activations.narrow": "true"},
    ),
    "quantization.bias": ("snpe_dsp", {}, {"quantization.bias": "float32"}),
    "quantization.graph": ("snpe_dsp", {}, {"quantization.graph": "2"}),
    "quantization.outputs": ("snpe_dsp", {}, {"quantization.outputs": "stored"}),
    "quantization.first_last_bits": ("snpe_dsp", {"precision": "w4a4"}, {"quantization.first_last_bits": "4"}),
    "quantization.batch_norm": ("snpe_dsp", {}, {"quantization.batch_norm": "any"}),
    "quantization.same_scale": ("snpe_dsp", {}, {"quantization.same_scale": "[concat]"}),
    "fallback.name": ("snpe_dsp", HOST, {"fallback.name": "other host"}),
    "fallback.macs": ("snpe_dsp", HOST, {"fallback.macs": "1 MAC/cycle"}),
    "fallback.elements": ("snpe_dsp", HOST, {"fallback.elements": "1 /cycle"}),
    "fallback.format": ("snpe_dsp", {}, {"fallback.format": "float16"}),
    "fallback.handover": ("snpe_dsp", HOST, {"fallback.handover": "1 us"}),
    "fallback.energy_per_op": ("snpe_dsp", HOST, {"fallback.energy_per_op": "1 pJ"}),
    "energy.table": ("snpe_dsp", {}, {"energy.table": "horowitz_45nm"}),
    "energy.scale": ("snpe_dsp", {}, {"energy.scale": "2.0"}),
    "energy.clock": ("snpe_dsp", {}, {"energy.clock": "1 nJ"}),
    "energy.leakage": ("snpe_dsp", {}, {"energy.leakage": "1 W"}),
    "validation.status": ("snpe_dsp", {}, {"validation.status": "MODELLED"}),
    "validation.arithmetic": ("snpe_dsp", {}, {"validation.arithmetic": "other"}),
    **{
        f"validation.evidence.{field}": (
            "snpe_dsp",
            {"validation.evidence": f"[{{{EVIDENCE}}}]"},
            {"validation.evidence": f"[{{{change}}}]"},
        )
        for field, change in {
            "figure": EVIDENCE.replace("latency", "energy"),
            "rows": EVIDENCE.replace("rows: 4", "rows: 5"),
            "networks": EVIDENCE.replace("networks: 2", "networks: 3"),
            "mape": EVIDENCE.replace("mape: 3.0", "mape: 4.0"),
            "worst": EVIDENCE.replace("net +9 %", "net +8 %"),
            "left_out_mape": EVIDENCE + ", left_out_mape: 9.0",
            "rank_correlation": EVIDENCE + ", rank_correlation: 0.5",
            "not_identifiable": EVIDENCE + ", not_identifiable: [clock.frequency]",
            "conditions": EVIDENCE.replace("one runtime", "another"),
        }.items()
    },
    "validation.note": ("snpe_dsp", {}, {"validation.note": "other"}),
}


@cache
def probe() -> SourceGraph:
    """A float network with every kind of layer that the fields speak of: batch normalization, pool, depthwise, sum, concatenation."""
    net = Net("probe", seed=1)
    x = net.max_pool(net.conv_bn(net.input("input", (1, 3, 8, 8)), 8, 3), 2, 2)
    y = net.conv_bn(net.conv_bn(x, 8, 3, groups=8), 8, 1, act=None)
    z = net.relu(net.add(x, y))
    joined = net.concat([net.relu(net.conv(z, 4, 1, bias=True)), net.conv(z, 4, 3, bias=True)])
    turned = net.transpose(net.transpose(joined, (0, 2, 3, 1)), (0, 3, 1, 2))
    return net.finish(net.classify(turned, 5))


IMAGES = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)


@cache
def ranges(folded: bool) -> dict[str, tuple[float, float]]:
    return ranges_of(read(fold_batch_norm(probe()) if folded else probe()), [{"input": IMAGES}])


@cache
def academic() -> Graph:
    return read(quantize(probe(), ACADEMIC, "w8a8", ranges(folded=False)))


UNSEEN = ("arch_hash", "model_hash", "versions", "assumed", "arch_title")


def outputs(arch: Arch, precision: str) -> dict[str, Any]:
    """All that a user sees of two networks on the chip, by its own rules and by MQBench's academic ones, hashes apart."""
    own = read(quantize(fold_batch_norm(probe()), arch.quantization, precision, ranges(folded=True)))
    seen: dict[str, Any] = {}
    for kind, graph in (("own", own), ("academic", academic())):
        result = simulate(arch, graph).to_dict()
        seen[f"{kind} result"] = {k: v for k, v in result.items() if k not in UNSEEN}
        seen[f"{kind} run"] = simulate(arch, graph, fidelity="event").to_dict()["timeline"]
        report = check(arch, graph)
        places = [(p.unit, p.runs) for p in report.placements]
        seen[f"{kind} check"] = [asdict(f) for f in report.findings], report.added, report.removed, places
        run = execute(lower(graph, arch), {"input": IMAGES}, all_tensors=True, engine="reference")
        seen[f"{kind} tensors"] = {t: _bytes(a) for t, a in run.tensors.items()}
    return seen


def _bytes(array: Array) -> tuple[str, bytes]:
    return str(array.dtype), np.ascontiguousarray(array).tobytes()


def test_every_field_is_perturbed() -> None:
    elsewhere = {f for f in leaves(Arch) if f.startswith("fit.")} | {"removes_dead_channels"}  # tests/test_fit.py, test_dead_channels.py
    assert set(leaves(Arch)) - elsewhere == set(FIELDS)


def test_outputs_are_reproducible() -> None:
    """So that a difference below is the field's."""
    assert outputs(load_arch("snpe_dsp"), "w8a8") == outputs(load_arch("snpe_dsp"), "w8a8")


@cache
def before(preset: str, base: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return outputs(load_arch(preset, {k: v for k, v in base if k != "precision"}), dict(base).get("precision", "w8a8"))


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_changes_some_output(field: str) -> None:
    preset, base, change = FIELDS[field]
    changed = {k: v for k, v in {**base, **change}.items() if k != "precision"}
    after = outputs(load_arch(preset, changed), base.get("precision", "w8a8"))
    was = before(preset, tuple(base.items()))
    assert any(was[k] != after[k] for k in was), f"{field} must change some output"


def quoted(prices: Prices) -> list[float]:
    """Everything that is ever asked of an energy table."""
    memory = load_arch("snpe_dsp").memories
    return [
        prices.multiply(4, 16),
        prices.add(16),
        prices.mac("w8a8", 32),
        prices.mac("fp16", 32),
        prices.register(8, 0),
        prices.register(0, 8),
        prices.split(8, 2),
        prices.wire(1e6),
        *(prices.memory(memory[m], d, m) for m in ("vtcm", "dram") for d in ("read", "write")),
    ]


@pytest.mark.parametrize("field", sorted(f for f in set(leaves(CostTable)) - {"name"} if not f.endswith("trust")))
def test_every_field_of_an_energy_table_changes_some_price(field: str) -> None:
    arch, table = load_arch("snpe_dsp"), load_costs("horowitz_45nm")
    assert quoted(prices_of(arch, table, load_scaling())) != quoted(prices_of(arch, _doubled(table, field), load_scaling()))


def _doubled(block: Any, field: str) -> Any:
    """A block with one field twice as large, or with its other word."""
    name, _, rest = field.partition(".")
    value = getattr(block, name)
    if rest:
        new = _doubled(value, rest)
    elif isinstance(value, dict):
        new = {k: 2 * v for k, v in value.items()}
    else:
        new = {"product": "linear", "linear": "product"}[value] if isinstance(value, str) else 2 * value
    return block.model_copy(update={name: new})


@pytest.mark.parametrize("field", ["a", "b", "c"])  # `area`: tests/test_area.py
def test_every_coefficient_of_the_scaling_law_matters(field: str) -> None:
    scaling = load_scaling()
    assert set(leaves(Scaling)) == {"name", "nodes.*.a", "nodes.*.b", "nodes.*.c", "nodes.*.area"}
    nodes = {n: p.model_copy(update={field: 1.1 * getattr(p, field)}) for n, p in scaling.nodes.items()}
    changed = scaling.model_copy(update={"nodes": nodes})
    assert gate_energy(scaling, 45, 0.9) != gate_energy(changed, 45, 0.9)
