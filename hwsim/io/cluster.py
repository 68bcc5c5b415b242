"""The door to Dask distributed: an executor of worker processes, on this machine or on many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from hwsim.errors import HwsimError
from hwsim.io.interrupts import deaf_children

__all__ = ["cluster"]

SETTINGS = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.comm.timeouts.connect": "10s",
    "distributed.deploy.lost-worker-timeout": "1 day",  # a worker that is killed twice in 15 s is started again, not given up
}


@contextmanager
def cluster(scheduler: str | None = None, workers: int = 0) -> Iterator[Executor]:
    """Workers of a running scheduler (`tcp://host:8786`), or so many processes of one thread here.

    A chunk whose worker is killed goes to another one; one that kills two workers fails, and the sweep cuts it in pieces.
    Raises HwsimError when Dask is not installed and when the scheduler does not answer.
    """
    if scheduler and not re.fullmatch(r"\w+://\S+:\d+", scheduler):
        raise HwsimError("--scheduler", "must be an address such as tcp://host:8786", repr(scheduler))
    if scheduler and workers:
        raise HwsimError("--workers", "must be left out with --scheduler, whose workers are its own", workers)
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise HwsimError("--workers", "must have Dask", "an environment without it", "pip install 'hwsim[dask]'") from None
    dask.config.set(SETTINGS)
    try:
        with deaf_children():
            local = None if scheduler else LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50)
        client = Client(scheduler or local, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as e:
        raise HwsimError("--scheduler", "must be a Dask scheduler that answers", f"{scheduler} ({type(e).__name__})") from None
    try:
        yield client.get_executor(pure=False)
    finally:
        client.close(timeout=2)
        if local is not None:
            local.close(timeout=5)
