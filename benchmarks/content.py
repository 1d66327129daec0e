"""TF-IDF: time and memory at 200,000 items of 40 tokens, and ranking on the bundled shop."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import conditions, memory_mb, peaked, timed
from benchmarks.runner import RESULTS

N_ITEMS, N_TOKENS, N_WORDS = 200_000, 40, 60_000
N_USERS, N_HISTORY = 20_000, 10


def write() -> Path:
    """Measure and write ``results/content.json``."""
    report = {
        "conditions": conditions(["numpy", "numba", "scikit-learn", "ecomrec"]),
        "sizes": {"items": N_ITEMS, "tokens": N_TOKENS, "words": N_WORDS, "history": N_HISTORY},
        "speed": {"defaults": speed(), "max_df=0.05": speed(max_df=0.05)},
        "quality": quality(),
    }
    path = RESULTS / "content.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def catalog(rng: np.random.Generator) -> pd.DataFrame:
    """Return items whose words are as unequal as those of a language: rank r by r ** -1."""
    shares = 1 / np.arange(1, N_WORDS + 1)
    words = np.array([f"w{number}" for number in range(N_WORDS)], dtype=object)
    drawn = words[rng.choice(N_WORDS, size=(N_ITEMS, N_TOKENS), p=shares / shares.sum())]
    return pd.DataFrame({"item_id": np.arange(N_ITEMS), "title": [" ".join(row) for row in drawn]})


def speed(**params: Any) -> dict[str, float]:
    """Time a fit, single answers, a batch of items, similar items, with one thread."""
    from ecomrec.content import TfidfRecommender

    rng = np.random.default_rng(0)
    items = catalog(rng)
    events = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(N_USERS), N_HISTORY),
            "item_id": rng.integers(0, N_ITEMS, N_USERS * N_HISTORY),
        }
    )
    model = TfidfRecommender(n_jobs=1, **params)
    model.fit(events.head(50), items=items.head(50)).recommend([0])
    found: dict[str, Any] = {}
    baseline = memory_mb()
    peaked(
        "fit_peak", lambda: timed("fit", lambda: model.fit(events, items=items), found), found,
        baseline,
    )  # fmt: skip
    found["model_mb"] = memory_mb() - baseline
    found["terms"] = model.n_features_
    found |= times("user", [lambda u=u: model.recommend([u], k=10) for u in range(2000)])
    histories = rng.integers(0, N_ITEMS, (2000, N_HISTORY)).tolist()
    found |= times("visitor", [lambda h=h: model.recommend(history=[h]) for h in histories])
    found |= times("similar", [lambda i=i: model.similar_items([i]) for i in range(2000)])
    new = catalog(np.random.default_rng(1)).head(100).assign(item_id=np.arange(100) + N_ITEMS)
    nothing = events.iloc[:0]
    start = time.perf_counter()
    model.partial_fit(nothing, items=new)
    found["first_batch_s"] = time.perf_counter() - start
    batches = [
        lambda b=b: model.partial_fit(nothing, items=new.assign(item_id=new["item_id"] + 100 * b))
        for b in range(1, 11)
    ]
    found |= times("batch", batches)
    return found


def times(name: str, calls: list[Callable[[], Any]]) -> dict[str, float]:
    """Return p50 and p99 of some calls in milliseconds."""
    took = []
    for call in calls:
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {f"{name}_p50_ms": float(p50), f"{name}_p99_ms": float(p99)}


def quality() -> list[dict[str, Any]]:
    """Rank held-out purchases of the bundled shop by words, by popularity and by neighbours."""
    from ecomrec.cf import ItemKNN, Popularity
    from ecomrec.content import TfidfRecommender
    from ecomrec.data import EventWeights
    from ecomrec.datasets import load_online_retail
    from ecomrec.evaluation import compare, train_test_split

    shop = load_online_retail()
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
    train, test = train_test_split(events)
    models = {
        "Popularity": Popularity(),
        "TfidfRecommender": TfidfRecommender(),
        'TfidfRecommender(weighting="bm25")': TfidfRecommender(weighting="bm25"),
        'TfidfRecommender(half_life="30D")': TfidfRecommender(half_life="30D"),
        "ItemKNN": ItemKNN(),
    }
    result = compare(models, train, test, k=10, items=shop.items, exclude_seen=(True, False))
    table = result.to_frame().rename_axis("model").reset_index()
    return json.loads(table.to_json(orient="records"))
