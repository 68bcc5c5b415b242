"""What the tests share: reproducible random cases, and the networks that several files quantize."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from hwsim.graph import SourceGraph
from hwsim.io.dataset import load_dataset
from hwsim.io.onnx_model import read_onnx
from hwsim.quant import Array
from hwsim.topologies._net import Net
from tests.data import WORKLOADS

settings.register_profile(
    "hwsim",
    derandomize=True,
    deadline=None,
    max_examples=60,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
settings.load_profile("hwsim")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C, and so would what tests start


Say = Callable[[str], None]


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Say:
    """A line for the end of pytest's output: what a judge was asked and how often it agreed."""
    return lambda text: record_property("said", text)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """All that tests said, from whichever process ran them."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, ())]
    said = [text for r in reports for name, text in r.user_properties if name == "said" and r.when == "call"]
    if said:
        terminalreporter.section("what the judges said")
        for text in sorted(said):
            terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def residual() -> SourceGraph:
    """A small float network with every join: stem, max pool, a depthwise block with an identity shortcut, average, linear."""
    net = Net("residual", seed=3)
    x = net.max_pool(net.conv_bn(net.input("input", (1, 3, 8, 8)), 8, 3), 2, 2)
    y = net.conv_bn(net.conv_bn(x, 8, 3, groups=8), 8, 1, act=None)
    return net.finish(net.classify(net.relu(net.add(x, y)), 5))


@pytest.fixture(scope="session")
def digits() -> SourceGraph:
    """The trained float network of the demo."""
    return read_onnx(WORKLOADS / "digits_resnet_float.onnx")


@pytest.fixture(scope="session")
def digits_images() -> Array:
    """Its calibration images."""
    return load_dataset(WORKLOADS / "digits_calibration.npz").x
