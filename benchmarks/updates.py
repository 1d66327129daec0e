"""What an update costs: ``python -m benchmarks updates`` on the 5-million-row log."""

import json
import time

import numpy as np
import pandas as pd

from benchmarks.logs import HERE, load

REPEATS = 9


def measure() -> dict[str, float]:
    """Fit once, then time batches of 1,000 rows, the requests after them, and single requests."""
    from ecomrec.cf import ItemKNN

    train = load("synthetic-5m").train()
    seconds, model = _timed(lambda: ItemKNN(n_jobs=2).fit(train))
    figures: dict[str, list[float]] = {name: [] for name in ("batch", "first", "next", "again")}
    rng = np.random.default_rng(0)
    for repeat in range(REPEATS + 1):
        batch = pd.DataFrame(
            {
                "user_id": train["user_id"].sample(1000, random_state=repeat).to_numpy(),
                "item_id": rng.permutation(train["item_id"].sample(1000, random_state=repeat)),
            }
        )
        one, other = batch["user_id"].unique()[:2].tolist()
        taken = {
            "batch": _timed(lambda batch=batch: model.partial_fit(batch))[0],
            "first": _timed(lambda one=one: model.recommend([one]))[0],
            "next": _timed(lambda other=other: model.recommend([other]))[0],
            "again": _timed(lambda one=one: model.recommend([one]))[0],
        }
        if repeat:  # the first one makes what later ones update
            for name, took in taken.items():
                figures[name].append(took)
    medians = {name: float(np.median(values)) for name, values in figures.items()}
    event = batch.iloc[:1]
    history = [train["item_id"].unique()[:50].tolist()]
    wide = ItemKNN(200, n_jobs=2).fit(train)
    visits = [_timed(lambda: wide.recommend(history=history))[0] for _ in range(2000)]
    return {
        "fit_s": seconds,
        "batch_of_1000_ms": medians["batch"] * 1e3,
        "batch_share_of_fit": medians["batch"] / seconds,
        "first_request_after_ms": medians["first"] * 1e3,
        "next_visitor_ms": medians["next"] * 1e3,
        "same_visitor_again_ms": medians["again"] * 1e3,
        "one_event_ms": _timed(lambda: model.partial_fit(event))[0] * 1e3,
        "history_of_50_with_200_neighbours_p50_us": float(np.median(visits)) * 1e6,
        "history_of_50_with_200_neighbours_p99_us": float(np.quantile(visits, 0.99)) * 1e6,
    }


def write() -> str:
    """Measure, print, and keep the figures in results/updates.json."""
    figures = measure()
    path = HERE / "results" / "updates.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return "\n".join(f"{name} {value:.4g}" for name, value in figures.items())


def _timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
