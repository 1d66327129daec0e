"""Shards of rows on a short-lived thread pool.

Kernels release the GIL, every row writes only its own output, and no pool outlives a call: results
do not depend on the number of threads, and a process may fork after any call.
"""

import itertools
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Below this much work per shard (multiply-adds, roughly) a thread costs more than it gives.
_MIN_WORK = 500_000
# Several shards per thread even out rows whose cost the caller estimated badly.
_SHARDS_PER_THREAD = 8


def n_threads(n_jobs: int | None) -> int:
    """Resolve `n_jobs` as joblib does: None is 1, -1 is every core this process may use."""
    from joblib import effective_n_jobs

    return int(effective_n_jobs(n_jobs))


def shard_bounds(work: np.ndarray, n_shards: int) -> np.ndarray:
    """Cut rows into at most `n_shards` contiguous ranges of similar total work."""
    total = np.cumsum(np.asarray(work, dtype=np.float64))
    if len(total) == 0:
        return np.zeros(1, dtype=np.int64)
    targets = total[-1] * np.arange(1, n_shards) / n_shards
    cuts = np.searchsorted(total, targets, side="left") + 1
    return np.unique(np.concatenate(([0], cuts, [len(total)]))).astype(np.int64)


def run_sharded(
    function: Callable[[int, int], object], work: np.ndarray, n_jobs: int | None
) -> None:
    """Call `function(start, stop)` over row ranges that together cover ``len(work)`` rows."""
    threads = n_threads(n_jobs)
    total = float(np.sum(work, dtype=np.float64))
    if threads == 1 or total < _MIN_WORK or len(work) < 2:
        if len(work):
            function(0, len(work))
        return
    n_shards = int(min(threads * _SHARDS_PER_THREAD, max(2.0, total // _MIN_WORK)))
    bounds = shard_bounds(work, n_shards)
    with ThreadPoolExecutor(threads) as pool:
        for done in [
            pool.submit(function, int(start), int(stop))
            for start, stop in itertools.pairwise(bounds)
        ]:
            done.result()


_locks: weakref.WeakSet["ForkLock"] = weakref.WeakSet()


def _open_locks() -> None:
    for lock in list(_locks):
        lock._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_locks)


class ForkLock:
    """A lock that a forked child finds open, whatever the parent's other threads were doing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["ForkLock"], tuple[()]]:
        return ForkLock, ()
