"""EASE beside the bare LAPACK inverse: ``python -m benchmarks linear``."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import THREADS, conditions

PACKAGES = ["ecomrec", "numba", "numpy", "scipy"]


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


def _written(name: str, report: dict[str, Any]) -> Path:
    from benchmarks.runner import RESULTS

    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
