"""Servers thread and fork: children answer, and readers see whole models only."""

import subprocess
import sys
import textwrap

import pytest

MODELS = ["Popularity()", "ItemKNN()", "UserKNN()", "ItemKNN(target='rating')", "SVD(8)"]
# Those whose answers are made up lazily after an update; the others wait for the full run.
LAZY_FIRST = [
    pytest.param(model, marks=[] if model in ("ItemKNN()", "UserKNN()") else pytest.mark.slow)
    for model in MODELS
]

# Python warns that a process with threads forks; that is what is tried here.
PRELUDE = """
import os, sys, threading, time, warnings
import numpy as np
import pandas as pd
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
from ecomrec.cf import SVD, ItemKNN, Popularity, UserKNN

sys.setswitchinterval(1e-4)
model = {model}
value = model._values()

def children(task, n):
    # Run a task in n forked children; count those that fail or hang.
    pids = []
    for _ in range(n):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if task() else 1
            finally:
                os._exit(code)
        pids.append(pid)
    failed, deadline = 0, time.monotonic() + 150
    for pid in pids:
        done, status = os.waitpid(pid, os.WNOHANG)
        while not done and time.monotonic() < deadline:
            time.sleep(0.005)
            done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            print("a child hung")
        failed += not done or status != 0
    return failed
"""


def python(code, model, seconds=400):
    """Run code in a fresh interpreter; return what it prints."""
    source = PRELUDE.replace("{model}", model) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("model", MODELS)
def test_forked_children_answer_and_learn(model):
    failed = python(
        """
        from ecomrec.datasets import make_shop
        events = make_shop(600, 200, 20_000, columns=("user_id", "item_id")).events
        events[value] = 1.0 + np.arange(len(events)) % 5
        batch = events.head(50)
        users = np.unique(events["user_id"])[::3]

        # The parent uses everything, with all threads, before it forks.
        model.fit(events).partial_fit(batch)
        expected = model.recommend(users, k=15).items.tolist()

        def answer_and_learn():
            if model.recommend(users, k=15).items.tolist() != expected:
                return False
            model.partial_fit(batch).refresh()
            model.forget(users=users[:2])
            fewer = model.recommend(users[2:], k=15)
            model.fit(events)
            return bool(np.isfinite(fewer.scores[:, 0]).all())

        print(children(answer_and_learn, 3))
        """,
        model,
    )
    assert failed == ["0"]


@pytest.mark.parametrize("model", LAZY_FIRST)
def test_children_forked_while_the_parent_learns_answer(model):
    failed, rounds = python(
        """
        from ecomrec.datasets import make_shop
        events = make_shop(300, 100, 6_000, columns=("user_id", "item_id")).events
        events[value] = 1.0 + np.arange(len(events)) % 5
        batch = events.head(50)
        users = np.unique(events["user_id"])[::3]
        model.fit(events).partial_fit(batch)
        model.recommend(users, k=15)
        stop, rounds = threading.Event(), []

        def learn():
            while not stop.is_set():
                model.partial_fit(batch)
                model.recommend(users[:3])
                rounds.append(1)

        def answer():
            items, scores = model.recommend(users, k=15)
            return items.shape == (len(users), 15) and np.isfinite(scores[:, 0]).all()

        def answer_and_learn():
            return answer() and model.partial_fit(batch) is model and answer()

        thread = threading.Thread(target=learn)
        thread.start()
        failed = sum(children(answer_and_learn, 2) for _ in range(5))
        stop.set()
        thread.join()
        print(failed, len(rounds))
        """,
        model,
    )
    assert failed == "0"
    assert int(rounds) > 0


# Batch b gives everybody item 1000 + b, so the items of one answer tell which batches it knows: a
# whole state knows the first n, for every user.
READERS = """
sys.setswitchinterval(1e-3)
asker, users = 99, np.arange(5)

def batch(number):
    rows = pd.DataFrame({"user_id": users, "item_id": 1000 + number})
    rows[value] = 1.0 + users % 3
    return rows

base = pd.DataFrame(
    [(u, (u + s) % 7) for u in users for s in (0, 1, 3)] + [(asker, 0)],
    columns=["user_id", "item_id"],
)
base[value] = 1.0 + np.arange(len(base)) % 4
model.fit(base).partial_fit(batch(0))
model.recommend([asker, 0], k=5)
model.recommend(history=[[0]], k=5)
done, problems, states = threading.Event(), [], set()

def check(answer, known):
    # The asker has touched no batch, so an answer to the asker shows every one that is known.
    items, scores = answer
    counts = (items >= 1000).sum(axis=1)
    n = int(counts[0])
    if (counts != n).any():
        return f"the rows of one answer know {counts} batches"
    if items.max() != 999 + n:
        return f"{n} batches are known, the last is {items.max() - 1000}"
    if n < known:
        return f"{n} batches are known after {known}"
    if not (np.diff(np.nan_to_num(scores, nan=-1.0), axis=1) <= 0).all():
        return f"scores rise in {scores}"
    newest = model.has_seen(np.column_stack((users, np.full(5, 999 + n))))
    return n if newest.all() else f"the last of {n} batches is half there: {newest}"

def read(place):
    known = 0
    try:
        while not problems:
            last = done.is_set()
            if place % 2:
                answer = model.recommend([asker, asker], k=BATCHES + 20)
            else:
                answer = model.recommend(history=[[0], [0, 1]], k=BATCHES + 20)
            known = check(answer, known)
            if isinstance(known, str):
                problems.append(known)
                return
            states.add(known)
            if last:
                return
    except Exception as error:
        problems.append(repr(error))

readers = [threading.Thread(target=read, args=(place,)) for place in range(4)]
for reader in readers:
    reader.start()
for number in range(1, BATCHES):
    model.partial_fit(batch(number))
done.set()
for reader in readers:
    reader.join()
print(len(problems), len(states), max(states))
print(*problems[:2], file=sys.stderr)
"""


def readers_see_whole_states(model, batches):
    code = READERS.replace("BATCHES", str(batches)) + "\nassert not problems"
    problems, states, newest = map(int, python(code, model, seconds=300))
    assert problems == 0
    assert newest == batches
    # Otherwise the readers only came before and after, and saw nothing.
    assert states >= 5


@pytest.mark.parametrize("model", LAZY_FIRST)
def test_readers_see_whole_states_only(model):
    readers_see_whole_states(model, 200)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_readers_see_whole_states_only_in_a_thousand_updates(model):
    readers_see_whole_states(model, 1000)
