"""What one simulation found: the only thing that reports, sweeps and searches read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hwsim.cost import CYCLE_PARTS, Cost, LayerCost, total
from hwsim.memory_plan import MemoryPlan
from hwsim.trace import Trace

__all__ = ["SCHEMA_VERSION", "Agreement", "Result", "Score", "Slice", "precision_text"]

SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class Score:
    """A metric over samples with its 95 % interval: Wilson's for shares, normal for means over samples."""

    metric: str
    value: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class Agreement:
    """How far two runs of the same samples differ: share of samples with the same answer, and the outputs' difference."""

    same_answer: float
    largest_difference: float
    mean_difference: float
    equal_elements: float
    samples: int


@dataclass(frozen=True)
class Slice:
    """One layer from its first to its last cycle, with the on-chip memory that it and the waiting activations take."""

    name: str
    start: int
    end: int
    onchip_bytes: int


def precision_text(layers: tuple[LayerCost, ...]) -> str:
    """The stored precision of the MAC layers in words: `w8a8`, or `w4a8 except fc: w8a8`."""
    stored = {c.name: c.stored for c in layers if c.stored}
    if not stored:
        return "none"
    common = Counter(stored.values()).most_common(1)[0][0]
    others = [f"{name}: {p}" for name, p in stored.items() if p != common]
    shown = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
    return common if not others else f"{common} except {shown}"


@dataclass(frozen=True, eq=False)
class Result:
    """One network on one chip."""

    arch: str
    arch_title: str
    arch_hash: str
    validation: str
    assumed: tuple[str, ...]
    model: str
    model_hash: str
    versions: Mapping[str, str]
    batch: int
    cost: Cost
    timeline: tuple[Slice, ...]
    onchip_capacity_bytes: int | None
    multipliers: int
    area_mm2: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    accuracy: Score | None = None
    reference_accuracy: Score | None = None
    agreement: Agreement | None = None
    overflowed: Mapping[str, int] = field(default_factory=dict)
    trace: Trace | None = None
    memory_plan: MemoryPlan | None = None

    @property
    def fidelity(self) -> str:
        """How the time was found: `analytical`, or `event` where it was played."""
        return "analytical" if self.trace is None else "event" if self.trace.contention else "event without contention"

    @property
    def latency_s(self) -> float:
        return self.cost.latency_s

    @property
    def energy_j(self) -> float:
        return self.cost.energy_j

    @property
    def precision(self) -> str:
        return precision_text(self.cost.layers)

    @property
    def inferences_per_s(self) -> float:
        return self.batch / self.latency_s if self.latency_s else 0.0

    @property
    def tops(self) -> float:
        """Tera-operations per second reached, two for each MAC."""
        return 2 * self.cost.macs / self.latency_s / 1e12 if self.latency_s else 0.0

    @property
    def tops_per_w(self) -> float:
        return 2 * self.cost.macs / self.energy_j / 1e12 if self.energy_j else 0.0

    @property
    def mac_utilisation(self) -> float:
        """MAC slots used over slots that the chip's multipliers offer during the whole inference, each at its layer's rate."""
        used = sum(c.macs / c.rate for c in self.cost.layers if c.rate)
        return used / (self.multipliers * self.cost.cycles) if self.cost.cycles else 0.0

    @property
    def energy_parts_pj(self) -> dict[str, float]:
        return total(c.energy_pj for c in self.cost.layers)

    @property
    def cycle_parts(self) -> dict[str, int]:
        return {p: sum(c.cycles[p] for c in self.cost.layers) for p in CYCLE_PARTS}

    @property
    def traffic_bytes(self) -> dict[str, dict[str, int]]:
        """Bytes read from and written to each memory."""
        reads, writes = total(c.read_bits for c in self.cost.layers), total(c.write_bits for c in self.cost.layers)
        return {m: {"read": -(-int(reads[m]) // 8), "write": -(-int(writes.get(m, 0)) // 8)} for m in reads}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data; keys end in their unit."""
        return {
            "schema_version": SCHEMA_VERSION,
            "arch": self.arch,
            "arch_title": self.arch_title,
            "arch_hash": self.arch_hash,
            "validation": self.validation,
            "assumed": list(self.assumed),
            "model": self.model,
            "model_hash": self.model_hash,
            "precision": self.precision,
            "batch": self.batch,
            "versions": dict(self.versions),
            "fidelity": self.fidelity,
            **({} if self.trace is None else self.trace.to_dict()),
            "latency_s": self.latency_s,
            "inferences_per_s": self.inferences_per_s,
            "energy_j": self.energy_j,
            "energy_parts_pj": self.energy_parts_pj,
            "average_power_w": self.cost.average_power_w,
            "clock_hz": self.cost.clock_hz,
            "cycles": self.cost.cycles,
            "cycle_parts": self.cycle_parts,
            "macs": self.cost.macs,
            "fallback_share": self.cost.fallback_share,
            "mac_utilisation": self.mac_utilisation,
            "tops": self.tops,
            "tops_per_w": self.tops_per_w,
            "weight_bytes": self.cost.weight_bytes,
            "peak_onchip_bytes": self.cost.peak_onchip_bytes,
            "onchip_capacity_bytes": self.onchip_capacity_bytes,
            "area_mm2": dict(self.area_mm2),
            "fits": self.cost.fits,
            "problems": list(self.cost.problems),
            "traffic_bytes": self.traffic_bytes,
            "findings": list(self.findings),
            "accuracy": None if self.accuracy is None else self.accuracy.value,
            "score": _plain(self.accuracy),
            "reference_score": _plain(self.reference_accuracy),
            "samples": 0 if self.accuracy is None else self.accuracy.samples,
            "agreement": _plain(self.agreement),
            "overflowed": dict(self.overflowed),
            "layers": [_layer(c) for c in self.cost.layers],
            "timeline": [asdict(s) for s in self.timeline],
            "memory_plan": None if self.memory_plan is None else self.memory_plan.to_dict(),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        import json

        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def _plain(value: Score | Agreement | None) -> dict[str, Any] | None:
    return None if value is None else {k: None if v != v else v for k, v in asdict(value).items()}


def _layer(c: LayerCost) -> dict[str, Any]:
    return {
        "name": c.name,
        "op": c.op,
        "unit": c.unit,
        "output_shape": list(c.output_shape),
        "macs": c.macs,
        "weight_bits": c.weight_bits,
        "activation_bits": c.activation_bits,
        "accumulator_bits": c.accumulator_bits,
        "precision": c.stored,
        "runs_as": c.precision,
        "cycles": c.total_cycles,
        "cycle_parts": dict(c.cycles),
        "busy_cycles": dict(c.busy),
        "bound_by": c.bound_by,
        "utilisation": c.utilisation,
        "read_bytes": {m: -(-b // 8) for m, b in c.read_bits.items()},
        "write_bytes": {m: -(-b // 8) for m, b in c.write_bits.items()},
        "energy_pj": c.total_pj,
        "energy_parts_pj": dict(c.energy_pj),
        "actions": dict(c.actions),
        "weight_bytes": -(-c.weight_storage_bits // 8),
        "onchip_bytes": -(-c.onchip_bits // 8),
        "fits": c.fits,
        "note": c.note,
    }
