"""Any grid or list of points over chips, networks, widths, methods and chip fields, into one file that a kill does not harm."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.decide.points import Context, Outcome, Points, evaluate, failure, mixed_points, source_version
from hwsim.errors import HwsimError
from hwsim.io.store import Store, open_store

__all__ = ["Counts", "grid", "sweep"]

IN_FLIGHT = 64
STATUS = Outcome.__match_args__.index("status")
Progress = Callable[[int, int], None]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Counts:
    """Points that the file held before, points done now, and how many of these failed."""

    before: int
    now: int
    failed: int


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Points that are evaluated together, with their keys."""

    points: Points
    keys: list[bytes]

    def halves(self) -> Iterator[_Chunk]:
        """The two halves."""
        middle = len(self.keys) // 2
        for part in (slice(None, middle), slice(middle, None)):
            yield _Chunk(self.points.part(np.arange(len(self.keys))[part]), self.keys[part])


def grid(
    archs: Sequence[str],
    models: Sequence[str],
    weight_bits: Sequence[int] = (),
    activation_bits: Sequence[int] = (),
    methods: Sequence[str] = ("full",),
    vary: Mapping[str, Sequence[str]] | None = None,
    data: str = "",
    calibration: str = "",
    samples: int = 0,
    mixed: int = 0,
    seed: int = 0,
) -> list[Points]:
    """Every combination: chips x chip fields x networks x methods, each at every pair of widths; `mixed` random assignments instead.

    Without widths the networks are taken as their files have them.
    """
    vary, widths = vary or {}, [f"w{w}a{a}" for w, a in product(weight_bits, activation_bits)]
    found = []
    for arch, model, method, values in product(archs, models, methods, product(*vary.values())):
        fields = tuple(zip(vary, values, strict=True))
        context = Context(arch, model, fields, method, data, calibration, samples, tuple(weight_bits), tuple(activation_bits))
        found.append(mixed_points(context, mixed, seed) if mixed else Points(context, tuple(widths) or ("",)))
    return found


def sweep(
    batches: Iterable[Points],
    path: Path,
    executor: Executor | None = None,
    progress: Progress | None = None,
    mix_versions: bool = False,
    retry_failed: bool = False,
) -> Counts:
    """Evaluate what the file does not hold yet, and write each point as soon as it is done.

    Any executor of concurrent.futures runs chunks of points; without one they run here.  Raises HwsimError for a file with results of
    another version, unless versions may mix, and when the executor is lost: what was done is then in the file.
    """
    batches = list(batches)
    with open_store(path) as store:
        _check_version(store, mix_versions)
        if retry_failed:
            store.forget_failed()
        known = store.keys()
        left = [c for b in batches for c in _chunks(b, known, executor is not None)]
        total = sum(map(len, batches))
        before = total - sum(len(c.points) for c in left)
        now = failed = 0
        for chunk, rows in _run_here(left) if executor is None else _run_there(left, executor):
            context = chunk.points.context
            named = [(k, context.hash.hex(), *r) for k, r in zip(chunk.keys, rows, strict=True)]
            store.add(context.row(), named, chunk.points.assignments(), chunk.points.widths())
            now, failed = now + len(rows), failed + sum(r[STATUS] == "failed" for r in rows)
            if progress:
                progress(before + now, total)
    return Counts(before, now, failed)


def _check_version(store: Store, mix: bool) -> None:
    others = store.versions() - {source_version()}
    if others and not mix:
        hint = "write to another file, or allow it with --mix-versions"
        raise HwsimError(store.path, f"must hold results of hwsim {source_version()}", ", ".join(sorted(others)), hint)


def _chunks(points: Points, known: set[bytes], remote: bool) -> Iterator[_Chunk]:
    """The points that are not known, each once, cut so that a chunk takes about a second where it can."""
    first: dict[bytes, int] = {}
    for i, k in enumerate(points.keys()):
        if k not in known:
            first.setdefault(k, i)
    keys, index = list(first), np.fromiter(first.values(), np.int64, len(first))
    cheap = not points.context.data
    size = (512 if remote else 8192) if cheap and points.choices is not None else 16 if cheap and remote else 1
    for i in range(0, len(keys), size):
        yield _Chunk(points.part(index[i : i + size]), keys[i : i + size])


def _run_here(chunks: Iterable[_Chunk]) -> Iterator[tuple[_Chunk, Rows]]:
    for chunk in chunks:
        yield chunk, evaluate(chunk.points)


def _run_there(chunks: Iterable[_Chunk], executor: Executor) -> Iterator[tuple[_Chunk, Rows]]:
    """Chunks on an executor, a few in flight.  One that breaks its worker is cut in two, down to the point that does it."""
    waiting, flying = deque(chunks), dict[Future[Rows], _Chunk]()
    try:
        while waiting or flying:
            while waiting and len(flying) < IN_FLIGHT:
                chunk = waiting.popleft()
                flying[executor.submit(evaluate, chunk.points)] = chunk
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                chunk = flying.pop(future)
                try:
                    yield chunk, future.result()
                except (CancelledError, BrokenExecutor):
                    raise
                except Exception as e:
                    if len(chunk.keys) > 1:
                        waiting.extendleft(chunk.halves())
                    else:
                        yield chunk, [failure(chunk.points, f"{type(e).__name__}: {e}")]
    except (CancelledError, BrokenExecutor, OSError) as e:
        found = f"lost ({type(e).__name__})"
        raise HwsimError(
            "workers", "must stay until the sweep is done", found, "run the same command again: what was done is kept"
        ) from None
    finally:
        for future in flying:
            future.cancel()
