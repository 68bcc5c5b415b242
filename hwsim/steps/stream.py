"""Work on a stream of batches by some threads, in order, with few batches in memory at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["stream"]

T = TypeVar("T")
R = TypeVar("R")


def stream(run: Callable[[T], R], batches: Iterable[T], threads: int = 1) -> Iterator[R]:
    """run(batch) of every batch, in order.  Each of `threads` works on one, another waits for it: memory does not grow with the stream."""
    if threads == 1:
        yield from map(run, batches)
        return
    pool, waiting = ThreadPoolExecutor(threads), deque[Future[R]]()
    try:
        for batch in batches:
            waiting.append(pool.submit(run, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
