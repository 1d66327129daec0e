"""How good rankings are: models tuned on ml-1m, and default models on three logs.

``python -m benchmarks accuracy`` writes ``results/accuracy-tuned.json`` and
``results/accuracy-defaults.json``; with ``--log`` only the defaults on these logs. Full ranking,
train items removed, 20 places.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import ParameterGrid

from benchmarks.logs import Log, load
from benchmarks.measure import THREADS, conditions
from benchmarks.quality import recall_and_ndcg
from benchmarks.runner import RESULTS
from ecomrec import cf
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.evaluation import per_user_metrics

K = 20
PACKAGES = ["ecomrec", "numba", "numpy", "scipy"]
#: Tried on a random tenth of the train rows; the test rows are looked at once for each model.
GRIDS: dict[str, Any] = {
    "ALS": [
        {
            "n_factors": [64, 128],
            "unobserved_weight": [0.2, 0.33],
            "max_iter": [8, 12],
            "regularization_exponent": [exponent],
            "regularization": strengths,
        }
        for exponent, strengths in ((0.75, [0.035, 0.05, 0.07]), (1.0, [0.006, 0.009, 0.013]))
    ],
    "EASE": {
        "regularization": [0.3, 0.6, 1.2, 2.4],
        "user_damping": [1.0],
        "item_damping": [0.0, 0.2, 0.3],
        "self_exclusion": [0.0, 0.33, 1.0],
    },
    "EASE, as published": {
        "regularization": [200.0, 400.0, 800.0, 1600.0],
        "dropout": [0.0, 0.33],
    },
    "GraphFilter": {
        "n_factors": [96, 128],
        "item_damping": [0.35, 0.5],
        "regularization": [0.0, 0.03],
        "low_pass_weight": [0.3, 3.0, 10.0],
    },
    "PureSVD": {
        "n_factors": [64, 128],
        "user_damping": [0.0, 0.25, 0.5],
        "item_damping": [0.35, 0.45, 0.55],
        "regularization": [1.0, 3.0],
    },
    "SLIM": {
        "regularization": [0.5, 1.0, 2.0],
        "l1_ratio": [0.01, 0.03],
        "user_damping": [1.0],
        "n_neighbors": [300],
    },
    "BPR": {
        "n_factors": [64, 128],
        "learning_rate": [0.05, 0.1],
        "regularization": [0.015, 0.02, 0.025],
        "max_iter": [40],
    },
}
COSINE = "plain cosine"
DEFAULTS = ("ItemKNN", "UserKNN", "ALS", "PureSVD", "BPR", "EASE", "SLIM", "GraphFilter")
N_BOOTSTRAP = 2000


def write_tuned() -> Path:
    """Choose parameters on a tenth of the train rows; look at the test rows once per model."""
    log = load("ml-1m")
    held = np.random.default_rng(0).random(len(log.train_users)) < 0.1
    inner = Log(
        log.train_users[~held], log.train_items[~held], log.train_users[held],
        log.train_items[held],
    )  # fmt: skip
    report: dict[str, Any] = {"conditions": conditions(PACKAGES), "models": {}}
    for name, grid in GRIDS.items():
        estimator = getattr(cf, name.partition(",")[0])
        tried = [
            {"parameters": chosen, **_quality(estimator(**chosen, n_jobs=THREADS), inner)}
            for chosen in ParameterGrid(grid)
        ]
        best = max(tried, key=lambda one: one["ndcg"])["parameters"]
        report["models"][name] = {
            "best": best,
            "test": _quality(estimator(**best, n_jobs=THREADS), log),
            "defaults": _quality(estimator(n_jobs=THREADS), log),
            "validation": tried,
        }
        print(f"{name} test {report['models'][name]['test']} {best}", flush=True)
    return _written("accuracy-tuned", report)


def write_defaults(names: list[str] | None = None) -> Path:
    """Measure default models, with intervals, beside Popularity and plain cosine."""
    path = RESULTS / "accuracy-defaults.json"
    report = json.loads(path.read_text()) if path.exists() else {"logs": {}}
    report["conditions"] = conditions(PACKAGES)
    for name in names or list(LOGS):
        train, test = LOGS[name]()
        report["logs"][name] = {"users": 0, "models": _compared(train, test)}
        report["logs"][name]["users"] = int(_targets(train, test).size)
        _written("accuracy-defaults", report)
    return path


def _compared(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Means of each model, the ends of their 95 % intervals, and of the gain over plain cosine."""
    plain = ItemKNN(
        user_damping=0, history_damping=0.5, popularity_damping=0.5, shrink=0, n_jobs=THREADS
    )
    models: dict[str, Any] = {"Popularity": Popularity(), COSINE: plain}
    models |= {name: getattr(cf, name)(n_jobs=THREADS) for name in DEFAULTS}
    users = _targets(train, test)
    # Users are resampled alike for every model: gains are those of the same users.
    drawn = np.random.default_rng(0).multinomial(
        len(users), np.full(len(users), 1 / len(users)), N_BOOTSTRAP
    ) / len(users)
    values, found = {}, {}
    for name, model in models.items():
        start = time.perf_counter()
        items, _ = model.fit(train).recommend(users, k=K)
        table = per_user_metrics(items, users, test, K, metrics=("recall", "ndcg"), seen=train)
        values[name] = np.nan_to_num(table.to_numpy())
        means = values[name].mean(axis=0)
        ends = np.percentile(drawn @ values[name], (2.5, 97.5), axis=0)
        found[name] = {
            metric: [float(means[at]), *map(float, ends[:, at])]
            for at, metric in enumerate(("recall", "ndcg"))
        }
        if name in DEFAULTS:
            gain = np.percentile(drawn @ (values[name] - values[COSINE]), (2.5, 97.5), axis=0)
            found[name]["recall_gain"] = [float(end) for end in gain[:, 0]]
        print(f"{name} {found[name]} {time.perf_counter() - start:.1f} s", flush=True)
    return found


def _targets(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Users of the train rows with something new in the test rows."""
    pairs = ["user_id", "item_id"]
    fresh = test[pairs].drop_duplicates().merge(train[pairs], how="left", indicator=True)
    fresh = fresh[fresh["_merge"] == "left_only"]
    users: np.ndarray = np.intersect1d(fresh["user_id"], train["user_id"])
    return users


def _of_log(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    log = load(name)
    test = pd.DataFrame({"user_id": log.test_users, "item_id": log.test_items})
    return log.train(), test


def _of_the_shop() -> tuple[pd.DataFrame, pd.DataFrame]:
    from ecomrec.datasets import load_online_retail
    from ecomrec.evaluation import train_test_split

    train, test = train_test_split(load_online_retail().events)
    return train, test


LOGS: dict[str, Callable[[], tuple[pd.DataFrame, pd.DataFrame]]] = {
    "online-retail": _of_the_shop,
    "ml-1m": lambda: _of_log("ml-1m"),
    "taobao-events": lambda: _of_log("taobao-events"),
}


def _quality(model: Any, log: Log) -> dict[str, float]:
    users = log.targets()
    items, _ = model.fit(log.train()).recommend(users, k=K)
    found = recall_and_ndcg(items, users, log.test_users, log.test_items)
    return dict(zip(("recall", "ndcg"), found, strict=True))


def _written(name: str, report: dict[str, Any]) -> Path:
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
