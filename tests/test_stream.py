"""Data sets in batches: the same result for every batch size and number of threads, few batches in memory, exact counts of overflows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from hwsim import load_arch, load_model
from hwsim.io import dataset
from hwsim.io.dataset import load_dataset
from hwsim.result import Result
from hwsim.simulate import simulate
from hwsim.steps.stream import stream

WORKLOADS = Path(__file__).resolve().parents[1] / "workloads"
NARROW = {f"arrays.vnni.accumulator.{k}": v for k, v in {"bits": "16", "overflow": "saturate", "every": "mac"}.items()}


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_stream_is_in_order_and_short(threads: int) -> None:
    made, done = 0, 0

    def numbers() -> Iterator[int]:
        nonlocal made
        for i in range(60):
            made += 1
            assert made - done <= 2 * threads + 2
            yield i

    found = []
    for y in stream(lambda i: (sleep(0.001 * (i % 3)), i * i)[1], numbers(), threads):
        found.append(y)
        done += 1
    assert found == [i * i for i in range(60)]


def test_a_fault_ends_the_stream() -> None:
    ran: list[int] = []

    def fails(i: int) -> int:
        ran.append(i)
        return 1 // (i - 5)

    with pytest.raises(ZeroDivisionError):
        list(stream(fails, range(1000), 3))
    assert len(ran) < 100


def test_left_early_no_thread_stays() -> None:
    before = threading.active_count()
    for _ in stream(lambda i: i, range(100), 4):
        break
    sleep(0.05)
    assert threading.active_count() == before


def scored(batch: int, threads: int) -> Result:
    data = load_dataset(WORKLOADS / "digits_test.npz", limit=20)
    graph = load_model(WORKLOADS / "digits_resnet_w8a8.onnx")
    return simulate(load_arch("fbgemm_x86", NARROW), graph, data, batch=batch, threads=threads)


def test_batches_and_threads_change_nothing() -> None:
    """Counts of overflows too: a last batch that is not full is not filled up."""
    one = scored(1, 1)
    assert sum(one.overflowed.values()) > 0
    for batch, threads in ((20, 1), (8, 1), (3, 3)):
        other = scored(batch, threads)
        assert other.overflowed == one.overflowed
        assert other.accuracy == one.accuracy and other.reference_accuracy == one.reference_accuracy
        assert other.agreement is not None and one.agreement is not None
        assert other.agreement.same_answer == pytest.approx(one.agreement.same_answer)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_arrays_are_read_from_disk(save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(dataset, "LARGE", 1000)
    x, y = np.random.default_rng(0).standard_normal((40, 5, 6)).astype(np.float32), np.arange(40) % 3
    save(tmp_path / "d.npz", x=np.asfortranarray(x), y=y)
    found = load_dataset(tmp_path / "d.npz", limit=30)
    assert isinstance(found.x, np.memmap) and not isinstance(found.y, np.memmap)
    np.testing.assert_array_equal(found.x, x[:30])
