"""Where the shared test data lies, if it is there: HWSIM_TEST_DATA, else ../shared/data beside the repository."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(os.environ.get("HWSIM_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
WORKLOADS = Path(__file__).resolve().parents[1] / "workloads"


def shared(path: str) -> Path:
    """A file of the shared data; the test is skipped where it is not there."""
    file = ROOT / path
    if not file.exists():
        pytest.skip(f"needs the shared test data: {path} (set HWSIM_TEST_DATA to its folder)")
    return file


def loaders() -> ModuleType:
    """The module that reads the labelled inputs."""
    spec = importlib.util.spec_from_file_location("hwsim_test_loaders", shared("models/loaders.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
