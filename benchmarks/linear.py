"""Linear item models: EASE beside the bare LAPACK inverse, and the three tuned on ml-1m.

``python -m benchmarks.linear time`` and ``python -m benchmarks.linear tune`` write
``results/linear-time.json`` and ``results/linear-ml-1m.json``.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import THREADS, conditions, hold_to_threads

PACKAGES = ["ecomrec", "numba", "numpy", "scipy"]
#: Tried on a random tenth of the train rows; the test rows are looked at once for each model.
GRIDS: dict[str, dict[str, list[Any]]] = {
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
    "SLIM": {
        "regularization": [0.5, 1.0, 2.0],
        "l1_ratio": [0.01, 0.03],
        "user_damping": [1.0],
        "n_neighbors": [300],
    },
    "GraphFilter": {
        "n_factors": [96, 128],
        "item_damping": [0.35, 0.5],
        "regularization": [0.0, 0.03],
        "low_pass_weight": [0.3, 3.0, 10.0],
    },
}


def write_time(repeats: int = 5) -> Path:
    """Time EASE and what it stands on, in turn, on the same log."""
    import numpy as np
    from scipy.linalg import lapack

    from benchmarks.logs import load
    from ecomrec.cf import EASE
    from ecomrec.data import Interactions

    log = load("ml-1m")
    shop = Interactions.from_table(log.train())
    matrix = shop.to_scipy().astype(np.float32)
    dense = (matrix.T @ matrix).toarray()
    dense[np.diag_indices_from(dense)] += 500.0

    def cholesky() -> None:
        factor, _ = lapack.spotrf(np.array(dense, order="F"), lower=1, clean=0, overwrite_a=1)
        lapack.spotri(factor, lower=1, overwrite_c=1)

    ways: dict[str, Callable[[], object]] = {
        "EASE.fit": lambda: EASE(500.0, n_jobs=THREADS).fit(shop),
        "potrf + potri": cholesky,
        "numpy.linalg.inv": lambda: np.linalg.inv(dense),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(values[1:]) for name, values in seconds.items()}
    report = {
        "conditions": conditions(PACKAGES),
        "log": "ml-1m",
        "n_items": shop.n_items,
        "seconds": best,
        "ratio_to_inverse": best["EASE.fit"] / best["numpy.linalg.inv"],
        "ratio_to_cholesky": best["EASE.fit"] / best["potrf + potri"],
    }
    return _written("linear-time", report)


def write_tuned() -> Path:
    """Choose parameters on a tenth of the train rows; report Recall@20 and NDCG@20 on test."""
    import numpy as np
    from sklearn.model_selection import ParameterGrid

    from benchmarks.logs import Log, load
    from ecomrec import cf

    log = load("ml-1m")
    held_out = np.random.default_rng(0).random(len(log.train_users)) < 0.1
    inner = Log(
        log.train_users[~held_out],
        log.train_items[~held_out],
        log.train_users[held_out],
        log.train_items[held_out],
    )
    report: dict[str, Any] = {"conditions": conditions(PACKAGES)}
    for name, grid in GRIDS.items():
        estimator = getattr(cf, name.partition(",")[0])
        tried = []
        for parameters in ParameterGrid(grid):
            tried.append({"parameters": parameters, **_quality(estimator(**parameters), inner)})
            print(f"{name} validation {tried[-1]}", flush=True)
        best = max(tried, key=lambda one: one["ndcg"])
        found = {
            "best": best["parameters"],
            "test": _quality(estimator(**best["parameters"]), log),
            "defaults": _quality(estimator(), log),
            "validation": tried,
        }
        print(f"{name} test {found['test']} {best['parameters']}", flush=True)
        report[name] = found
    return _written("linear-ml-1m", report)


def _quality(model: Any, log: Any) -> dict[str, float]:
    from benchmarks.quality import recall_and_ndcg

    users = log.targets()
    items, _ = model.set_params(n_jobs=THREADS).fit(log.train()).recommend(users, k=20)
    found = recall_and_ndcg(items, users, log.test_users, log.test_items)
    return dict(zip(("recall", "ndcg"), found, strict=True))


def _written(name: str, report: dict[str, Any]) -> Path:
    from benchmarks.runner import RESULTS

    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    hold_to_threads()
    print({"time": write_time, "tune": write_tuned}[sys.argv[1]]())
