"""Any grid or list of points over chips, networks, widths, methods and chip fields, into one file that a kill does not harm."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from hwsim.decide.points import Context, Outcome, Points, evaluate, failure, mixed_points, must_be_float, source_version
from hwsim.errors import HwsimError
from hwsim.io.store import Store, open_store
from hwsim.pipeline.recipe import Recipe

__all__ = ["Counts", "grid", "sweep"]

IN_FLIGHT = 1024
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
    """Points that are evaluated together, with their keys; of several contexts where each has few."""

    parts: tuple[tuple[Points, list[bytes]], ...]

    def __len__(self) -> int:
        return sum(len(keys) for _, keys in self.parts)

    def halves(self) -> Iterator[_Chunk]:
        """The two halves."""
        middle, singles = len(self) // 2, [(p.part(np.array([i])), [k]) for p, keys in self.parts for i, k in enumerate(keys)]
        yield _Chunk(tuple(singles[:middle]))
        yield _Chunk(tuple(singles[middle:]))


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
    _check_options(widths, data, calibration, samples, mixed, methods)
    found = []
    for arch, model, method, values in product(archs, models, methods, product(*vary.values())):
        fields = tuple(zip(vary, values, strict=True))
        context = Context(arch, model, fields, method, data, calibration, samples, tuple(weight_bits), tuple(activation_bits))
        if data and widths:
            must_be_float(context)
        found.append(mixed_points(context, mixed, seed) if mixed else Points(context, tuple(widths) or ("",)))
    return found


def _check_options(widths: Sequence[str], data: str, calibration: str, samples: int, mixed: int, methods: Sequence[str]) -> None:
    """Options that mean nothing without others are refused before anything is done."""
    for method in methods:
        Recipe.parse(method)
    for option, given, needed, there in (
        ("--calibration", calibration, "--data", data),
        ("--samples", samples, "--data", data),
        ("--method", [*methods] != ["full"], "--data", data),
        ("--mixed", mixed, "--bits", widths),
        ("--method", [*methods] != ["full"], "--bits", widths),
    ):
        if given and not there:
            raise HwsimError(option, f"must come with {needed}", "alone")
    if data and widths and not calibration:
        raise HwsimError("--data", "must come with --calibration, to quantize for --bits", "alone", "give an .npz file with x")


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
    keyed = [(b, b.keys()) for b in batches]  # whatever is wrong with chips, networks or data is told before the file is made
    with open_store(path) as store:
        _check_version(store, mix_versions)
        if retry_failed:
            store.forget_failed()
        known = store.keys()
        left = [_left(b, keys, known) for b, keys in keyed]
        total = len({k for _, keys in keyed for k in keys})
        before = total - sum(len(keys) for _, keys in left)
        chunks = _chunks(left, executor is not None)
        now = failed = 0
        for chunk, rows in _run_here(chunks) if executor is None else _run_there(chunks, executor):
            start = 0
            for points, keys in chunk.parts:
                _write(store, points, keys, rows[start : start + len(keys)])
                start += len(keys)
            now, failed = now + len(rows), failed + sum(r[STATUS] == "failed" for r in rows)
            if progress:
                progress(before + now, total)
    return Counts(before, now, failed)


def _write(store: Store, points: Points, keys: Sequence[bytes], rows: Rows) -> None:
    context = points.context
    named = [(k, context.hash.hex(), *r) for k, r in zip(keys, rows, strict=True)]
    store.add(context.row(), named, points.assignments(), points.widths())


def _check_version(store: Store, mix: bool) -> None:
    others = store.versions() - {source_version()}
    if others and not mix:
        hint = "write to another file, or allow it with --mix-versions"
        raise HwsimError(store.path, f"must hold results of hwsim {source_version()}", ", ".join(sorted(others)), hint)


def _left(points: Points, keys: Sequence[bytes], known: set[bytes]) -> tuple[Points, list[bytes]]:
    """The points that are not known, each once; they are known from then on."""
    first: dict[bytes, int] = {}
    for i, k in enumerate(keys):
        if k not in known:
            first.setdefault(k, i)
    known.update(first)
    return points.part(np.fromiter(first.values(), np.int64, len(first))), list(first)


def _chunks(batches: Iterable[tuple[Points, list[bytes]]], remote: bool) -> Iterator[_Chunk]:
    """Cut so that a chunk takes about a second where it can: a million points are a few thousand tasks of workers."""
    held: list[tuple[Points, list[bytes]]] = []
    for points, keys in batches:
        size = _size(points, remote)
        for i in range(0, len(keys), size):
            held.append((points.part(np.arange(i, min(i + size, len(keys)))), keys[i : i + size]))
            if sum(len(k) for _, k in held) >= size:
                yield _Chunk(tuple(held))
                held = []
    if held:
        yield _Chunk(tuple(held))


def _size(points: Points, remote: bool) -> int:
    """Points of a chunk: assignments of a table are cheap, widths of a chip take milliseconds, bit-true runs seconds."""
    if points.context.data:
        return 1
    if points.choices is not None:
        return 512 if remote else 8192
    return 64 if remote else 1


def _evaluate_all(batches: Sequence[Points], version: str) -> Rows:
    """A worker's task.  Raises HwsimError on a worker with another hwsim than the driver's."""
    if source_version() != version:
        raise HwsimError("workers", f"must have hwsim {version}", source_version())
    return [row for points in batches for row in evaluate(points)]


def _run_here(chunks: Iterable[_Chunk]) -> Iterator[tuple[_Chunk, Rows]]:
    for chunk in chunks:
        yield chunk, _evaluate_all([p for p, _ in chunk.parts], source_version())


def _run_there(chunks: Iterable[_Chunk], executor: Executor) -> Iterator[tuple[_Chunk, Rows]]:
    """Chunks on an executor, some in flight.

    One that breaks its worker is cut in two, down to single points; these run again alone, so that none is blamed for another's fault.
    """
    version, pieces, suspects = source_version(), deque[_Chunk](), deque[_Chunk]()
    flying, done, more = dict[Future[Rows], _Chunk](), SimpleQueue[Future[Rows]](), iter(chunks)

    def fly(chunk: _Chunk) -> None:
        future = executor.submit(_evaluate_all, [p for p, _ in chunk.parts], version)
        flying[future] = chunk
        future.add_done_callback(done.put)

    try:
        while True:
            while len(flying) < IN_FLIGHT and (chunk := pieces.popleft() if pieces else next(more, None)):
                fly(chunk)
            alone = not flying
            if alone:
                if not suspects:
                    return
                fly(suspects.popleft())
            future = done.get()
            chunk = flying.pop(future)
            try:
                yield chunk, future.result()
            except (CancelledError, BrokenExecutor, HwsimError):
                raise
            except Exception as e:
                if len(chunk) > 1:
                    pieces.extendleft(chunk.halves())
                elif alone:
                    yield chunk, [failure(chunk.parts[0][0], f"{type(e).__name__}: {e}")]
                else:
                    suspects.append(chunk)
    except (CancelledError, BrokenExecutor, OSError) as e:
        found, hint = f"lost ({type(e).__name__})", "run the same command again: what was done is kept"
        raise HwsimError("workers", "must stay until the sweep is done", found, hint) from None
    finally:
        for future in flying:
            future.cancel()
