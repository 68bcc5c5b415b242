"""The answer of a search as files: precision.json, the network, the points, figures, and a page that says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwsim.arch import Arch
from hwsim.decide.budget import COSTS
from hwsim.decide.search import Found, Point
from hwsim.decide.why import Reason, gain, named_cost, reasons
from hwsim.io.files import write_whole
from hwsim.io.onnx_model import write_onnx
from hwsim.io.pages import Markup, page
from hwsim.io.plots_search import Mark, bits_plot, trade_off_plot
from hwsim.io.text import to_csv
from hwsim.simulate import area_of
from hwsim.units import format_bytes, format_si

__all__ = ["COLUMNS", "point_row", "summary", "write_search"]

COLUMNS = ("assignment", "mean_weight_bits", "mean_activation_bits", "latency_s", "energy_j", "size_bytes", "traffic_bytes", "bitops",
           "peak_activation_bytes", "foretold_loss", "kl", "cross_entropy", "accuracy", "one_shot_accuracy")  # fmt: skip
PANELS = (
    ("mean bits of weights", "accuracy"),
    ("latency [ms]", "accuracy"),
    ("mean bits of weights", "latency [ms]"),
    ("mean bits of weights", "energy [mJ]"),
)


def write_search(found: Found, folder: Path) -> None:
    """Write everything into a folder: `precision.json` (what `hwsim quantize --bits` takes), `network.onnx` (quantized so), `points.csv`,
    `sensitivity.json`, `pareto.svg`, `bits.svg`, and `search.html`, which needs nothing else."""
    why = reasons(found)
    figures = {"pareto": trade_off_plot(_marks(found), PANELS), "bits": bits_plot(_bars(why, "weights"), _bars(why, "activations"))}
    write_whole(folder / "precision.json", found.best.precision.to_json() + "\n")
    write_whole(folder / "points.csv", to_csv(COLUMNS, [point_row(p, found) for p in _points(found)]))
    found.sensitivity.write(folder / "sensitivity.json")
    for name, svg in figures.items():
        write_whole(folder / f"{name}.svg", svg)
    write_onnx(found.question.quantized(found.best.precision).network, folder / "network.onnx")
    write_whole(folder / "search.html", page("search.html.j2", **_page(found, why, figures)))


def point_row(p: Point, found: Found) -> list[Any]:
    """The row of an assignment in the order of COLUMNS."""
    costs, clock = p.costs, found.question.arch.clock_hz
    numbers = (costs["cycles"] / clock, costs["energy_pj"] * 1e-12, *(-(-int(costs[q]) // 8) for q in ("size_bits", "offchip_bits")))
    rated = (None, None) if p.rated is None else (p.rated.kl, p.rated.loss)
    judged = [*rated, *(None if v is None else v.accuracy for v in (p.verdict, p.one_shot))]
    return [
        p.how,
        round(p.weight_bits, 3),
        round(p.activation_bits, 3),
        *numbers,
        int(costs["bitops"]),
        -(-int(p.peak_bits) // 8),
        p.loss,
        *judged,
    ]


def summary(found: Found) -> list[tuple[str, str, str]]:
    """(what, value, remark) of the answer, for people."""
    best, widest, clock = found.best, found.widest, found.question.arch.clock_hz
    assert best.verdict is not None and widest.verdict is not None
    lost, error = best.verdict.beyond(widest.verdict)
    wide = f"w{max(found.table.weight_bits)}a{max(found.table.activation_bits)}"
    against = f"{lost:+.4f} ± {error:.4f} against {wide}; float {found.real.accuracy:.4f}"
    return [
        (f"{found.sensitivity.metric} on the chip", f"{best.verdict.accuracy:.4f}", against),
        ("latency", format_si(best.costs["cycles"] / clock, "s"), _of(best, widest, "cycles", wide)),
        ("energy", format_si(best.costs["energy_pj"] * 1e-12, "J"), _of(best, widest, "energy_pj", wide)),
        ("weights", format_bytes(best.costs["size_bits"] / 8), _of(best, widest, "size_bits", wide)),
        ("bit operations", format_si(best.costs["bitops"], ""), _of(best, widest, "bitops", wide)),
        ("live activations, most", format_bytes(best.peak_bits / 8), f"{best.peak_bits / widest.peak_bits:.3g} of {wide}"),
        ("mean bits", f"w{best.weight_bits:.2f} a{best.activation_bits:.2f}", best.how),
    ]


def _of(best: Point, widest: Point, q: str, wide: str) -> str:
    return f"{best.costs[q] / widest.costs[q]:.3g} of {wide}" if widest.costs[q] else f"none at {wide} either"


def _points(found: Found) -> list[Point]:
    return [found.best, found.widest, *(p for p in found.judged if p.choice != found.best.choice), *found.uniform, *found.front]


def _marks(found: Found) -> list[Mark]:
    judged = [p for p in (found.widest, *found.judged) if p.verdict]
    kinds = {"uniform": found.uniform, "mixed": found.front, "judged": judged, "chosen": [found.best]}
    return [Mark(kind, p.how, _numbers(p, found)) for kind, points in kinds.items() for p in points]


def _numbers(p: Point, found: Found) -> dict[str, float]:
    milliseconds = 1e3 * p.costs["cycles"] / found.question.arch.clock_hz
    numbers = {"mean bits of weights": p.weight_bits, "latency [ms]": milliseconds, "energy [mJ]": 1e-9 * p.costs["energy_pj"]}
    verdict = p.verdict or p.one_shot
    return numbers if verdict is None else numbers | {"accuracy": verdict.accuracy}


def _bars(why: tuple[Reason, ...], kind: str) -> list[tuple[str, int, str]]:
    return [(r.width.removesuffix(" weights").removesuffix(" input"), r.bits, r.text) for r in why if r.kind == kind]


def _page(found: Found, why: tuple[Reason, ...], figures: dict[str, str]) -> dict[str, Any]:
    q, cost = found.question, named_cost(found)
    budgets = ", ".join(f"{b.name} {b.text}" for b in found.wish.budgets) or "no limits"
    return {
        "model": q.source.name,
        "arch": q.arch,
        "wish": f"objective {found.wish.objective}, {budgets}, by {found.wish.strategy} on {found.wish.metric}",
        "metric": found.wish.metric,
        "cost": cost,
        "samples": (found.sensitivity.samples, len(q.x)),
        "cards": summary(found),
        "says": [*_says(found, cost)],
        "trade_offs": Markup(figures["pareto"]),
        "bits": Markup(figures["bits"]),
        "reasons": [_reason(r) for r in why],
        "columns": COLUMNS,
        "rows": [{"best": p is found.best, "cells": [_cell(c) for c in point_row(p, found)]} for p in _points(found)],
        "variants": [_variant(*v, found) for v in found.variants],
        "variant_columns": ("chip", "area [mm2]", "latency [ms]", "energy [mJ]", "foretold loss", "mean bits of weights"),
        "how": [*_how(found)],
        "precision": str(found.best.precision),
    }


def _says(found: Found, name: str) -> Iterator[str]:
    """What a reader should know first: whether the chip gives anything for narrow widths, and how far the best uniform width gets."""
    cost, best, widest, share = COSTS[name], found.best, found.widest, gain(found)
    if share < 0.01:
        yield f"This chip gives nothing for narrow widths: no uniform width has less than {1 - share:.3f} of the {name} of the widest."
        yield "Fewer bits only make weights smaller here."
    else:
        cheap = min(found.uniform, key=lambda p: p.costs[cost]).how.removeprefix("uniform ")
        yield f"{cheap} has {1 - share:.3f} of the {name} of the widest on this chip: that is the room that widths leave."
    for p in [p for p in found.judged if p.how.startswith("uniform") and p.verdict is not None][-1:]:
        assert best.verdict is not None and p.verdict is not None
        d, e = best.verdict.beyond(p.verdict)
        shares = [x.costs[cost] / widest.costs[cost] for x in (p, best)]
        yield f"{p.how.capitalize()} has {shares[0]:.3f} of the {name} and {p.verdict.accuracy:.4f}."
        yield f"The answer has {shares[1]:.3f}, and {d:+.4f} ± {e:.4f} against it."


def _reason(r: Reason) -> dict[str, Any]:
    cells = [
        {"on": b == r.bits, "text": f"{b}: {loss:.2g} ({100 * cost:+.2g} %)"}
        for b, loss, cost in {b: (b, x, c) for b, x, c in zip(r.options, r.losses, r.costs, strict=True)}.values()
    ]
    return {"width": r.width, "bits": r.bits, "cells": cells, "runs_as": r.runs_as, "bound_by": r.bound_by, "text": r.text}


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _variant(fields: Mapping[str, str], arch: Arch, p: Point | None, found: Found) -> dict[str, Any]:
    name = ", ".join(f"{k}={v}" for k, v in fields.items()) or "as it is"
    if p is None:
        return {"best": False, "cells": [name, _cell(sum(area_of(arch).values())), "", "", "nothing within the limits", ""]}
    numbers = 1e3 * p.costs["cycles"] / arch.clock_hz, 1e-9 * p.costs["energy_pj"], p.loss, p.weight_bits
    return {"best": arch is found.question.arch, "cells": [name, _cell(sum(area_of(arch).values())), *map(_cell, numbers)]}


def _how(found: Found) -> Iterator[str]:
    q, s = found.question, found.sensitivity
    yield f"hwsim {version('hwsim')}; chip {q.arch.name} {q.arch.hash[:12]} ({q.arch.validation.text}); network {q.source.sha256[:12]}"
    yield f"quantized by {q.method} on {len(q.calibration)} calibration samples"
    yield f"loss of {len(s.rows)} single widths on {s.samples} samples, bit-true"
    classes = found.best.rated is not None and found.best.rated.loss is not None
    nearest = f"{'one of the least cross-entropy' if classes else 'nearest to the float network, by KL,'} on {s.samples} samples"
    cheapest = f"cheapest of those that are accurate enough on {len(q.x)} samples"
    which = nearest if found.wish.objective == "accuracy" else cheapest
    yield f"{len(found.judged)} assignments quantized layer after layer, the loss learned from each; the answer is the {which}"
    yield ", ".join(f"{what} {seconds:.1f} s" for what, seconds in found.seconds.items())
