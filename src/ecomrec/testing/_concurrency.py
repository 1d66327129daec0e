"""Checks of threads that ask while another learns, and of forked children."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pandas as pd

from ecomrec.base import BaseRecommender
from ecomrec.recommendations import Recommendations
from ecomrec.testing._answers import RTOL
from ecomrec.testing._checks import check
from ecomrec.testing._logs import Log, described, is_private, shop_log

_BATCHES = 12


def _batches(model: BaseRecommender) -> tuple[Log, list[pd.DataFrame]]:
    """A log, and batches that each add a user, an item and weight: no two versions look alike."""
    log = shop_log(model)
    later = []
    # A private model learns anew from all events each time.
    for number in range(_BATCHES // 3 if is_private(model) else _BATCHES):
        rows = log.events.iloc[number * 3 : number * 3 + 4]
        new_item = rows.assign(item_id=f"j{number:03d}")
        new_user = rows.assign(user_id=f"v{number:03d}")
        later.append(pd.concat([new_item, new_user], ignore_index=True))
    return log, later


def _versions(model: BaseRecommender, ask: Any) -> list[Recommendations]:
    """What a model answers after each batch when nobody else asks."""
    log, later = _batches(model)
    fitted = log.fit(model)
    return [ask(fitted)] + [ask(_learn(fitted, log, batch)) for batch in later]


def _learn(fitted: Any, log: Log, batch: pd.DataFrame) -> Any:
    """Learn from a batch as well; a private model anew, from the first events and the batch."""
    if not is_private(fitted):
        return fitted.partial_fit(batch)
    events = pd.concat([log.events, batch], ignore_index=True)
    items = described(fitted, events[["item_id"]].drop_duplicates(ignore_index=True))
    return fitted.fit(events, items=items)


def _place(answer: Recommendations, versions: list[Recommendations], start: int) -> int:
    """The first version, from `start`, that an answer is one of; -1 if there is none."""
    for place in range(start, len(versions)):
        version = versions[place]
        if version.items.tolist() == answer.items.tolist() and np.allclose(
            version.scores, answer.scores, rtol=RTOL, atol=1e-12, equal_nan=True
        ):
            return place
    return -1


@check(private=True)
def check_threads_see_whole_states(model: BaseRecommender) -> None:
    """While one thread learns, four others get the answers of one version or the next."""
    asking = shop_log(model).asking(model, ["u1", "u4", "u7"])

    def ask(fitted: Any) -> Recommendations:
        answer: Recommendations = fitted.recommend(**asking, k=30)
        return answer

    versions = _versions(model, ask)
    log, later = _batches(model)
    fitted = log.fit(model)
    learning = threading.Event()
    learning.set()
    problems: list[str] = []

    def read() -> None:
        at = 0
        try:
            while not problems:
                last = not learning.is_set()
                answer = ask(fitted)
                found = _place(answer, versions, at)
                if found < 0:
                    problems.append(f"after version {at}: {answer!r}\n{answer.items.tolist()}")
                at = max(at, found)
                if last:
                    if at != len(versions) - 1:
                        problems.append(f"version {at} after the last of {len(versions)} batches")
                    return
        except Exception as error:
            problems.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        for reader in readers:
            reader.start()
        for batch in later:
            _learn(fitted, log, batch)
    finally:
        learning.clear()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    assert not problems, f"a reader saw no version of the model: {problems[0]}"


_CHILD = """
import os, pickle, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
fitted, batch, sides, asking, expected = pickle.load(sys.stdin.buffer)
learns = hasattr(fitted, "user_ids_")

def same(model):
    answer = model.recommend(**asking, k=expected.items.shape[1])
    return answer.items.tolist() == expected.items.tolist()

def update(model):
    return model.partial_fit(batch) if learns else model.fit(batch, **sides)

assert same(fitted), "the parent itself"
# Used before it forks, as promised: kernels of every path are loaded.
used = pickle.loads(pickle.dumps(fitted))
update(used)
used.recommend(**asking)
used.fit(batch, **sides)
busy = threading.Event()

def learn():
    other = pickle.loads(pickle.dumps(fitted))
    with fitted._lock:
        busy.set()
        for _ in range(50):
            if not stop.is_set():
                update(other)
                other.recommend(**asking)
        stop.wait(30)

stop = threading.Event()
thread = threading.Thread(target=learn)
thread.start()
busy.wait(30)
failed = 0
for _ in range(4):
    child = os.fork()
    if child == 0:
        fine = False
        try:
            fine = same(fitted)
            update(fitted)
            fine = fine and len(fitted.recommend(**asking)) == len(expected)
            fitted.fit(batch, **sides)
        finally:
            os._exit(0 if fine else 1)
    failed += os.waitpid(child, 0)[1] != 0
stop.set()
thread.join()
assert not failed, f"{failed} of 4 children failed"
"""


@check(slow=True, private=True)
def check_forked_children_answer(model: BaseRecommender) -> None:
    """Children forked after use, even in the middle of an update, answer and learn."""
    log = shop_log(model)
    fitted = log.fit(model)
    asking = log.asking(model)
    expected = fitted.recommend(**asking, k=len(log.item_ids) + 1)
    message = pickle.dumps((fitted, log.events.head(9), log.sides, asking, expected))
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=message,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
