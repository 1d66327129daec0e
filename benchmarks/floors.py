"""Quality that must not fall: ItemKNN tuned on ml-1m, RMSE of the rating models on ml-100k."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, ParameterGrid, ParameterSampler

from benchmarks.logs import DATA, Log, load
from benchmarks.measure import THREADS, conditions
from benchmarks.quality import recall_and_ndcg
from benchmarks.rounds import K
from benchmarks.runner import RESULTS
from ecomrec.cf import ItemKNN, UserKNN

#: Tried on a validation part of the train rows; the test rows are looked at once.
RANKING = {
    "similarity": ["cosine", "rp3beta"],
    "n_neighbors": [20, 50, 100, 200, 500],
    "shrink": [0.0, 20.0, 100.0, 500.0],
    "user_damping": [0.25, 0.5, 0.75, 1.0],
    "history_damping": [0.25, 0.5, 0.75, 1.0],
    "popularity_damping": [0.3, 0.5, 0.6, 0.7, 0.8],
    "power": [0.5, 1.0, 1.5, 2.0],
    "mutual": [False, True],
    "normalize": [False, True],
}
N_TRIED = 400
RATING = {
    "similarity": ["cosine", "adjusted_cosine", "pearson", "msd", "pearson_baseline"],
    "centering": ["none", "mean", "zscore", "baseline"],
}


def write() -> Path:
    """Measure both and write ``results/floors.json``."""
    report = {
        "conditions": conditions(["ecomrec", "numba", "numpy", "scipy"]),
        "ml-1m": tuned_on_ml_1m(),
        "ml-100k": rmse_on_ml_100k(),
    }
    path = RESULTS / "floors.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def tuned_on_ml_1m() -> dict[str, Any]:
    """Choose parameters on a tenth of the train rows; report Recall@20 and NDCG@20 on test."""
    log = load("ml-1m")
    validation = np.random.default_rng(0).random(len(log.train_users)) < 0.1
    inner = Log(
        log.train_users[~validation],
        log.train_items[~validation],
        log.train_users[validation],
        log.train_items[validation],
    )
    tried = []
    for parameters in ParameterSampler(RANKING, N_TRIED, random_state=0):
        recall, ndcg = _ranking_quality(parameters, inner)
        tried.append({"parameters": parameters, "recall": recall, "ndcg": ndcg})
        print(f"validation Recall {recall:.4f} NDCG {ndcg:.4f} {parameters}", flush=True)
    best = max(tried, key=lambda one: one["ndcg"])
    recall, ndcg = _ranking_quality(best["parameters"], log)
    plain_recall, plain_ndcg = _ranking_quality({}, log)
    print(f"test Recall {recall:.4f} NDCG {ndcg:.4f} {best['parameters']}")
    print(f"test Recall {plain_recall:.4f} NDCG {plain_ndcg:.4f} defaults")
    return {
        "best": best["parameters"],
        "test": {"recall": recall, "ndcg": ndcg},
        "defaults": {"recall": plain_recall, "ndcg": plain_ndcg},
        "validation": tried,
    }


def rmse_on_ml_100k() -> list[dict[str, Any]]:
    """Return the mean 5-fold RMSE of every similarity and centering, on both axes."""
    ratings = pd.read_parquet(DATA / "ml-100k" / "ratings.parquet")
    ratings = ratings[["user_id", "item_id", "rating"]]
    found = []
    for model in (ItemKNN, UserKNN):
        for parameters in ParameterGrid(RATING):
            rmse = float(np.mean(list(_fold_rmse(model, parameters, ratings))))
            found.append({"model": model.__name__, "parameters": parameters, "rmse": rmse})
            print(f"{model.__name__} RMSE {rmse:.4f} {parameters}", flush=True)
    return found


def _ranking_quality(parameters: dict[str, Any], log: Log) -> tuple[float, float]:
    model = ItemKNN(**parameters, n_jobs=THREADS).fit(log.train())
    users = log.targets()
    items, _ = model.recommend(users, k=K)
    return recall_and_ndcg(items, users, log.test_users, log.test_items)


def _fold_rmse(model: type, parameters: dict[str, Any], ratings: pd.DataFrame) -> Iterator[float]:
    for train, test in KFold(5, shuffle=True, random_state=0).split(ratings):
        fitted = model(target="rating", n_jobs=THREADS, **parameters).fit(ratings.iloc[train])
        held_out = ratings.iloc[test]
        error = fitted.predict(held_out[["user_id", "item_id"]]) - held_out["rating"]
        yield float(np.sqrt(np.mean(np.square(error))))
