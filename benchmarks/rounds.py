"""One round of one entrant, and its memory."""

import time
from typing import Any

import numpy as np

from benchmarks.entrants import Entrant
from benchmarks.logs import Log, tiny
from benchmarks.measure import memory_mb, peaked, timed
from benchmarks.quality import recall_and_ndcg

K = 20
N_SINGLE = 1000


def warm_up(entrant: Entrant) -> None:
    """Run everything once on a tiny log, so that nothing is compiled or imported on the clock."""
    time_round(entrant, tiny())


def time_round(entrant: Entrant, log: Log) -> dict[str, Any]:
    """Fit, answer the test users in one batch, then some of them one by one."""
    found: dict[str, Any] = {}
    users = log.targets()
    train = log.train()
    prepared = timed("prepare", lambda: entrant.prepare(train), found)
    timed("fit", lambda: entrant.fit(prepared), found)
    items = timed("recommend", lambda: entrant.recommend(users, K), found)
    found["recall"], found["ndcg"] = recall_and_ndcg(items, users, log.test_users, log.test_items)

    chosen = np.random.default_rng(0).choice(users, min(N_SINGLE, len(users)), replace=False)
    seconds = [_clock(entrant, user) for user in chosen.tolist()]
    found["p50_us"], found["p99_us"] = (np.percentile(seconds, [50, 99]) * 1e6).tolist()
    entrant.forget()
    return found


def memory_round(entrant: Entrant, log: Log) -> dict[str, float]:
    """Return how far each phase raises memory above the loaded log, in MB; in a fresh process."""
    found: dict[str, float] = {}
    users = log.targets()
    train = log.train()
    baseline = memory_mb()
    prepared = peaked("prepare", lambda: entrant.prepare(train), found, baseline)
    peaked("fit", lambda: entrant.fit(prepared), found, baseline)
    peaked("recommend", lambda: entrant.recommend(users, K), found, baseline)
    found["peak_mb"] = max(found.values())
    return found


def _clock(entrant: Entrant, user: int) -> float:
    start = time.perf_counter()
    entrant.recommend_one(user, K)
    return time.perf_counter() - start
