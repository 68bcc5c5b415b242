"""Weights of 4 bits under 16-bit activations: Llama 3.1 8B on an H200, prompt and generation, each batch size left out of the fit."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.validation import Figure, Point, Tables, mean_error
from hwsim.validations._fits import by_precision, fitted, rows_of

__all__ = ["KIND", "SOURCE", "TITLE", "figures"]

TITLE = "ModelOpt's W4A16 on H200, Llama 3.1 8B"
KIND = "silicon"
SOURCE = "NVIDIA/TensorRT-Model-Optimizer, examples/benchmark.md (reports/validation/modelopt.csv)"
NOTE = "2048 tokens in, 128 out; both precisions at a batch size are foretold by a chip fitted to the other two batch sizes"


def figures(tables: Tables) -> Iterator[Figure]:
    found = fitted("h200", rows_of(tables["modelopt"]))
    plain, narrow = by_precision(found, "bf16"), by_precision(found, "w4bf16")
    points = [
        Point(f"batch {s.network.rpartition(' b')[2]}", b.measured / n.measured, b.predicted / n.predicted)
        for s, b, n in zip(found.samples, plain, narrow, strict=False)
    ]
    wrong = sum((p.measured > 1) != (p.predicted > 1) for p in points)
    yield Figure("speed-up at batch 1, 8 and 64: signs", "signs that differ", wrong, 0, 0, len(points), points=points, note=NOTE)
    yield mean_error("speed-up at batch 1, 8 and 64", points, 15, 15, "the sign alone is a must")
