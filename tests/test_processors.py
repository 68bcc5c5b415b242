"""Compiled kernels for processors other than this one: the wrong instruction would end the process, so each runs in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim.kernels import host

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/test_widths.py",
    "tests/test_executors.py",
    "tests/test_normalization.py",
    "tests/test_softmax.py",
    "tests/test_reals.py",
    "tests/test_onnxruntime.py::test_qoperator_resnet20_every_tensor",
)


def as_processor(name: str, *arguments: str, listed: str = "") -> subprocess.CompletedProcess[str]:
    """A Python process whose kernels are compiled for a processor, of the features that are listed or else those of its name."""
    env = {**os.environ, "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": listed}
    return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["haswell", "generic"])
def test_every_width_and_a_network_on_another_processor(name: str) -> None:
    run = as_processor(name, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS)
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(not host.amx(), reason="without AMX this is what all other tests run")
def test_every_width_and_a_network_in_vectors_alone() -> None:
    run = as_processor("host", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS, listed=without_amx())
    assert run.returncode == 0, run.stdout[-3000:]


def without_amx() -> str:
    """The features of this processor less its tile registers."""
    return ",".join(f for f in host.host_cpu()[1].split(",") if not f.startswith("+amx"))


@pytest.mark.parametrize(("name", "lanes"), [("haswell", 8), ("generic", 4), ("skylake-avx512", 16), ("nocona", 4)])
def test_vectors_are_as_wide_as_the_processor_has_them(name: str, lanes: int) -> None:
    """Their width, and the portable product where 8-bit ones are missing."""
    show = "from hwsim.kernels import host; from hwsim.kernels.dots import best; print(host.lanes(), best().name)"
    assert as_processor(name, "-c", show).stdout.split() == [str(lanes), "pairs"]


def test_this_processor_takes_its_widest_product() -> None:
    from hwsim.kernels.dots import best

    assert best().name == ("u8s8" if host.has("avx512vnni", "avx512vl") else "pairs")
