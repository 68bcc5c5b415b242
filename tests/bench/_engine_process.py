"""Whole processes: another processor's code path, accuracy over a data set, start-up and memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hwsim import load_model
from hwsim.io.dataset import load_dataset
from hwsim.steps.execute import executor
from hwsim.steps.lower import as_written
from hwsim.steps.read import with_batch
from hwsim.steps.stream import stream
from tests.bench import _engine_models as models
from tests.bench._clock import Call, Row
from tests.networks import QDQ

IMAGES, THREADS, BATCH = 5000, 2, 8
PORTABLE = "from tests.bench._engine_kernels import portable_share; print(*portable_share())"
FIRST_RUN = """
import sys, numpy as np, hwsim
x = np.zeros((1, 3, 224, 224), np.float32)
hwsim.execute(hwsim.load_model(sys.argv[1]), {"input": x})
"""
PEAK = """
import json, sys, numpy as np
from hwsim import load_model
from hwsim.steps.execute import executor
from hwsim.steps.lower import as_written
from hwsim.steps.read import live_bytes
from tests.bench._peak import peak_bytes, settled
before = settled()
program = as_written(load_model(sys.argv[1]))
run = executor(program)
run({"input": np.zeros((1, 3, 224, 224), np.float32)})
print(json.dumps([peak_bytes() - before, live_bytes(program.graph)]))
"""


def _python(code: str, *arguments: str, **environment: str) -> str:
    here = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    made = subprocess.run([sys.executable, "-c", code, *arguments], env={**here, **environment}, capture_output=True, text=True, check=True)
    return made.stdout.splitlines()[-1] if made.stdout else ""


def portable() -> list[Row]:
    """The code path of a processor with AVX2 alone, on this one."""
    found, peak = map(float, _python(PORTABLE, NUMBA_CPU_NAME="haswell").split())
    words = f"peak of vpmaddwd {peak:.0f}, ours {found:.0f} GMAC/s"
    return [Row("portable path (haswell), GEMM 1024^3 as a share of the 16-bit AVX2 peak", 100 * found / peak, 80, 95, words, "%")]


def accuracy() -> list[Row]:
    """Model file and images from disk to predictions, wall-clock; the same files, batches and threads over batches for both."""
    rows = []
    with TemporaryDirectory() as folder:
        for title, network in (("ResNet-8 QDQ", QDQ["kj_resnet"]), ("ResNet-20 QDQ", QDQ["resnet20"])):
            data, (x, y) = Path(folder) / "data.npz", network.rows()
            some = np.resize(np.arange(len(x)), IMAGES)
            np.savez(data, x=x[some], y=y[some])
            calls = [lambda f=f, n=network, d=data: f(n.path, d) for f in (_by_onnxruntime, _by_hwsim)]
            same = np.mean(calls[0]() == calls[1]())
            taken = np.array([[_seconds(f) for f in calls] for _ in range(3)])
            a, b = np.median(taken, 0)
            words = f"{a:.2f} s against {b:.2f} s; {100 * same:.2f} % of predictions equal"
            found = float(np.median(taken[:, 0] / taken[:, 1]))
            rows.append(Row(f"{title}, {IMAGES} images, {THREADS} threads, against ONNX Runtime", found, 1.0, 1.5, words))
    return rows


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _by_hwsim(model: Path, data: Path) -> Any:
    x, graph = load_dataset(data).x, with_batch(load_model(model), BATCH)
    run, (name,), (out,) = executor(as_written(graph)), graph.inputs, graph.outputs
    parts = _batches(x, graph.tensors[name].shape[0])
    return np.concatenate(list(stream(lambda x: run({name: x}).tensors[out].argmax(1), parts, THREADS)))


def _by_onnxruntime(model: Path, data: Path) -> Any:
    x, runtime = np.load(data)["x"], models.session(model.read_bytes(), True)
    (place,) = runtime.get_inputs()
    size = place.shape[0] if isinstance(place.shape[0], int) else BATCH
    return np.concatenate(list(stream(lambda part: runtime.run(None, {place.name: part})[0].argmax(1), _batches(x, size), THREADS)))


def _batches(x: Any, size: int) -> Iterator[Any]:
    return (x[i : i + size] for i in range(0, len(x), size))


def start() -> list[Row]:
    """CPU seconds of a whole process that reads ResNet-50 and runs it once, kernels' object code kept or not."""
    file, rows = str(models.network_file("resnet50", False, "QOperator")), []
    idle = min(_cpu_seconds("pass") for _ in range(5))
    with TemporaryDirectory() as folder:
        python = {"PYTHONPYCACHEPREFIX": folder}
        _cpu_seconds(FIRST_RUN, file, **python)
        cold = [_cpu_seconds(FIRST_RUN, file, HWSIM_CACHE=f"{folder}/{i}", **python) for i in range(3)]
        warm = [_cpu_seconds(FIRST_RUN, file, HWSIM_CACHE=f"{folder}/0", **python) for _ in range(5)]
    for title, taken, must, aim in (("warm", warm, 0.6, 0.2), ("cold", cold, 4, 2)):
        found = float(np.median(taken)) - idle
        words = f"imports, reading, packing and one run; from {min(taken) - idle:.2f} to {max(taken) - idle:.2f} s"
        rows.append(Row(f"first run of ResNet-50 in a new process, {title} cache, CPU time", found, must, aim, words, "s", less=True))
    return rows


def _cpu_seconds(code: str, *arguments: str, **environment: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _python(code, *arguments, **environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def memory() -> list[Row]:
    """What a process that has imported everything grows by at its peak, from the model file to the first answer."""
    taken, needed = json.loads(_python(PEAK, str(models.network_file("resnet50", False, "QOperator"))))
    words = f"{taken / 1e6:.1f} MB grown; weights and the most activations alive at once {needed / 1e6:.1f} MB"
    return [
        Row("peak memory of ResNet-50 as a multiple of its 8-bit weights and live activations", taken / needed, 1.5, 1.2, words, less=True)
    ]
