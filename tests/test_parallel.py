import os
import pickle
import subprocess
import sys
import threading
import time

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from ecomrec import _parallel
from ecomrec._parallel import ForkLock, n_threads, run_sharded, shard_bounds

LARGE = _parallel._MIN_WORK


def shards_of(work, n_jobs):
    """The ranges that a function is called with, and the threads that call it."""
    ranges, threads = [], set()
    lock = threading.Lock()

    def work_on(start, stop):
        with lock:
            ranges.append((start, stop))
            threads.add(threading.get_ident())

    run_sharded(work_on, np.asarray(work), n_jobs)
    return sorted(ranges), threads


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(1, 40))
def test_shards_cover_every_row_once(work, n_shards):
    bounds = shard_bounds(np.array(work), n_shards)
    assert bounds[0] == 0
    assert bounds[-1] == len(work)
    assert (np.diff(bounds) > 0).all()
    assert len(bounds) - 1 <= n_shards


@given(st.lists(st.integers(0, 10**4), min_size=1, max_size=60), st.integers(1, 40))
def test_no_shard_has_more_than_its_share_and_one_row(work, n_shards):
    work = np.array(work)
    bounds = shard_bounds(work, n_shards)
    sums = np.add.reduceat(work, bounds[:-1])
    assert sums.max() <= work.sum() / n_shards + work.max()


@pytest.mark.parametrize("n_jobs", [1, 2, 5, -1, None])
@pytest.mark.parametrize(
    "work",
    [
        [],
        [LARGE],
        [0, 0, 0],
        [1] * 100,
        [LARGE] * 50,
        [LARGE * 100, *[0] * 50],
        [*[0] * 50, LARGE * 100],
        np.full(30, LARGE, dtype=np.int32),
    ],
    ids=["none", "one row", "no work", "little", "much", "heavy first", "heavy last", "int32"],
)
def test_rows_are_covered_once_whatever_the_work(work, n_jobs):
    ranges, _ = shards_of(work, n_jobs)
    assert [row for start, stop in ranges for row in range(start, stop)] == list(range(len(work)))


def test_little_work_stays_in_the_calling_thread():
    ranges, threads = shards_of([1] * 1000, 2)
    assert (ranges, threads) == ([(0, 1000)], {threading.get_ident()})


def test_one_job_stays_in_the_calling_thread():
    ranges, threads = shards_of([LARGE] * 100, 1)
    assert (ranges, threads) == ([(0, 100)], {threading.get_ident()})


def test_much_work_is_cut_for_two_threads():
    ranges, threads = shards_of([LARGE] * 100, 2)
    assert len(ranges) == 2 * _parallel._SHARDS_PER_THREAD
    assert threading.get_ident() not in threads


def test_no_thread_outlives_a_call():
    before = threading.active_count()
    shards_of([LARGE] * 100, 4)
    assert threading.active_count() == before


def test_an_error_in_one_shard_reaches_the_caller():
    def fail(start, stop):
        if start <= 30 < stop:
            raise ZeroDivisionError("row 30")

    with pytest.raises(ZeroDivisionError, match="row 30"):
        run_sharded(fail, np.full(100, LARGE), 2)


def test_jobs_are_counted_as_joblib_does():
    assert n_threads(None) == n_threads(1) == 1
    assert n_threads(3) == 3
    assert n_threads(-1) >= 1
    with pytest.raises(ValueError, match="n_jobs == 0"):
        n_threads(0)


# The lock


def can_be_taken(lock):
    """Whether another thread gets into the lock."""
    done = threading.Event()

    def enter():
        with lock:
            done.set()

    threading.Thread(target=enter, daemon=True).start()
    return done.wait(10)


def test_a_lock_keeps_other_threads_out_and_lets_its_own_in_again():
    lock, entered = ForkLock(), []

    def other():
        with lock:
            entered.append("other")

    with lock, lock:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(timeout=0.05)
        assert entered == []
        entered.append("own")
    thread.join(timeout=10)
    assert entered == ["own", "other"]


def test_a_lock_opens_when_its_block_fails():
    lock = ForkLock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert can_be_taken(lock)


def test_a_pickled_lock_is_a_fresh_one():
    lock = ForkLock()
    with lock:
        fresh = pickle.loads(pickle.dumps(lock))
        assert can_be_taken(fresh)


FORK_WHILE_A_THREAD_IS_INSIDE = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads that forks
from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock
from ecomrec._lazy import computed_once
import ecomrec.kernels.ranking

class Shop:
    @computed_once
    def total(self):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            leave.wait()
        return 1

def compute():
    Shop().total

def compile(lock):
    with lock:
        inside.set()
        leave.wait(0.3)  # a fork waits for it

def check():
    with global_compiler_lock, ffi.lib._lock:
        return Shop().total == 1

for task in compute, lambda: compile(global_compiler_lock), lambda: compile(ffi.lib._lock):
    inside, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=task)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)
    leave.set()
    thread.join()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status or not check():
        sys.exit(3)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_while_a_thread_computes_or_compiles_does_not_wait_for_it():
    done = subprocess.run(
        [sys.executable, "-c", FORK_WHILE_A_THREAD_IS_INSIDE],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


FORK = """
import os, sys, threading, warnings
import numpy as np
from ecomrec._parallel import ForkLock, run_sharded
warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads that forks

rows = np.zeros(1000)
def work_on(start, stop):
    rows[start:stop] += 1
work = np.full(1000, 1_000_000)
run_sharded(work_on, work, 2)

lock, held, release = ForkLock(), threading.Event(), threading.Event()
def hold():
    with lock:
        held.set()
        release.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    with lock:
        run_sharded(work_on, work, 2)
    os._exit(0 if (rows == 2).all() else 3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
release.set()
thread.join()
with lock:
    sys.exit(status if (rows == 1).all() else 4)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_works_and_finds_the_lock_open():
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 60
