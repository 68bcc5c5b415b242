"""Arm's compiler Vela 5.2.0 on four Ethos-U55: cycles per operator and of whole networks, as it estimates them itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from hwsim.cost import Cost
from hwsim.io.arch_yaml import load_arch
from hwsim.io.model import read_model
from hwsim.io.vela_runs import has_vela, run_vela
from hwsim.simulate import price
from hwsim.steps.layer_table import LayerShape, network
from hwsim.steps.lower import lower
from hwsim.steps.read import read
from hwsim.validation import Figure, Point, Row, Tables, mean_error, missing

TITLE = "Vela on Ethos-U55-32, -64, -128 and -256"
KIND = "vendor's estimator"
SOURCE = "ethos-u-vela 5.2.0: MLPerf Tiny image classification and keyword spotting, ResNet-18, MobileNetV2"

ENGINE = "mac_engine"
RUN = "total cycles of files that Vela itself compiles here"
SIZES = (32, 64, 128, 256)
NETWORKS = ("ad01_int8", "kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "str_ww_ref_model", "tf2_mobilenet_v2_1.0_224_ptq")


def figures(tables: Tables) -> Iterator[Figure]:
    totals = {(r["network"], r["accelerator"]): r for r in tables["vela_ethos_u55_totals"]}
    whole, operators = [], []
    for (name, chip), group in groupby(tables["vela_ethos_u55"], key=lambda r: (r["network"], r["accelerator"])):
        rows = list(group)
        cost = priced(name, chip, rows)
        label = f"{name} on {chip.removeprefix('ethos_')}"
        whole.append(Point(label, float(totals[name, chip]["total_cycles"]), float(cost.cycles)))
        busy = {layer.name: layer.busy.get(ENGINE, 0) for layer in cost.layers}
        operators += [Point(f"{label} {r['name']}", float(r["npu_cycles"]), busy[r["name"]]) for r in rows if r["npu_cycles"]]
    yield mean_error("total cycles of a network", whole, 10, 3)
    yield mean_error("NPU cycles of an operator", operators, 10, 3, "the engine with the wait for its first weights")
    yield from _run(tables)


def _run(tables: Tables) -> Iterator[Figure]:
    """Networks as files, compiled by Vela here and now; their weights' entropies are then their own."""
    files = {name: tables.networks[name] for name in NETWORKS if name in tables.networks}
    if not has_vela() or not files:
        why = "needs networks (give their folder with --peers)" if has_vela() else "needs Vela (pip install 'hwsim[vela]')"
        yield missing(RUN, "% mean absolute error", 10, 3, why)
        return
    yield mean_error(RUN, [_compiled(path, size) for path in files.values() for size in SIZES], 10, 3, f"TFLite files: {', '.join(files)}")


def _compiled(path: Path, size: int) -> Point:
    arch = load_arch(f"ethos_u55_{size}")
    ours = price(arch, lower(read(read_model(path)), arch)).cycles
    return Point(f"{path.stem} on u55-{size}", run_vela(path, f"ethos-u55-{size}")["cycles_total"], float(ours))


def priced(name: str, chip: str, rows: Sequence[Row]) -> Cost:
    """The network of a table on one chip."""
    arch = load_arch(chip)
    return price(arch, lower(network(name, shapes(rows)), arch))


def shapes(rows: Sequence[Row]) -> list[LayerShape]:
    """The layers, each after the latest one that makes what it reads (a sum after the latest two)."""
    found: list[LayerShape] = []
    made: dict[tuple[str, ...], list[str]] = {}
    for r in rows:
        sources = made.get((r["ih"], r["iw"], r["ic"]), [])[-2 if r["op"] == "add" else -1 :]
        found.append(_shape(r, tuple(sources)))
        made.setdefault((r["oh"], r["ow"], r["oc"]), []).append(r["name"])
    return found


def _shape(r: Row, after: tuple[str, ...]) -> LayerShape:
    size, out, kernel = ((int(r[a]), int(r[b])) for a, b in (("ih", "iw"), ("oh", "ow"), ("kh", "kw")))
    stride, channels = int(r["stride"]), int(r["ic"])
    missing = [max((o - 1) * stride + k - n, 0) for n, o, k in zip(size, out, kernel, strict=True)]
    pad = (missing[0] // 2, missing[1] // 2, missing[0] - missing[0] // 2, missing[1] - missing[1] // 2)
    if r["op"] in ("add", "softmax"):
        return LayerShape(r["name"], channels, channels, size, (1, 1), op=r["op"], after=after)
    if r["op"] == "matmul":
        return LayerShape(r["name"], channels, int(r["oc"]), after=after, entropy_bits=float(r["weight_entropy_bits"]))
    if r["op"].endswith("pool"):
        return LayerShape(r["name"], channels, int(r["oc"]), size, kernel, stride, pad, op=r["op"], after=after)
    groups = channels if r["op"] == "depthwise" else 1
    entropy = float(r["weight_entropy_bits"])
    return LayerShape(r["name"], channels, int(r["oc"]), size, kernel, stride, pad, groups, after=after, entropy_bits=entropy)
