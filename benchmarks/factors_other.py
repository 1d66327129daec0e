"""PureSVD beside SciPy and scikit-learn, BPR beside implicit: in turn, in one process, on ml-1m.

``python -m benchmarks others`` writes ``results/factors-other.json``; it needs implicit beside
ecomrec.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import THREADS, conditions, hold_to_threads, timed

hold_to_threads()

import numpy as np  # noqa: E402  # after the threads are set

from benchmarks.logs import Log, load, tiny  # noqa: E402
from benchmarks.quality import recall_and_ndcg  # noqa: E402
from benchmarks.runner import RESULTS  # noqa: E402
from ecomrec.cf import BPR, PureSVD  # noqa: E402
from ecomrec.data import Interactions  # noqa: E402

K = 20
N_FACTORS = 64
PLAIN = {"user_damping": 0.0, "item_damping": 0.0, "regularization": 0.0}


def decompositions() -> dict[str, Callable[[Interactions], np.ndarray]]:
    """Return ways to the leading singular values: what is timed is all that they compute."""
    from scipy.sparse.linalg import svds
    from sklearn.utils.extmath import randomized_svd

    def with_scipy(shop: Interactions) -> np.ndarray:
        return np.sort(svds(shop.to_scipy(), k=N_FACTORS, rng=0)[1])[::-1]

    def with_sklearn(shop: Interactions) -> np.ndarray:
        matrix = shop.to_scipy()
        found = randomized_svd(matrix, N_FACTORS, n_oversamples=16, n_iter=4, random_state=0)
        return np.asarray(found[1])

    def ours(shop: Interactions) -> np.ndarray:
        return PureSVD(N_FACTORS, **PLAIN, n_jobs=THREADS).fit(shop).singular_values_

    return {"ecomrec": ours, "SciPy svds": with_scipy, "scikit-learn randomized_svd": with_sklearn}


def rankers() -> dict[str, Callable[..., np.ndarray]]:
    """Return ways from a log to the lists of its test users; the fit alone is timed."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from scipy.sparse import csr_matrix

    def ours(**params: Any) -> Callable[..., np.ndarray]:
        def run(log: Log, took: dict[str, float]) -> np.ndarray:
            model = BPR(N_FACTORS, **params, n_jobs=THREADS)
            shop = Interactions.from_table(log.train())
            timed("fit", lambda: model.fit(shop), took)
            return np.asarray(model.recommend(log.targets(), k=K).items, dtype=np.int64)

        return run

    def theirs(**params: Any) -> Callable[..., np.ndarray]:
        def run(log: Log, took: dict[str, float]) -> np.ndarray:
            shop = Interactions.from_table(log.train())
            matrix = csr_matrix(shop.to_scipy())
            model = BayesianPersonalizedRanking(
                N_FACTORS, **params, num_threads=THREADS, random_state=0
            )
            timed("fit", lambda: model.fit(matrix, show_progress=False), took)
            rows = shop.users.rows(log.targets())
            found = model.recommend(rows, matrix[rows], K, filter_already_liked_items=True)[0]
            return np.asarray(shop.item_ids[found])

        return run

    return {
        "ecomrec": ours(),
        "ecomrec, uniform rivals, 3 epochs": ours(n_candidates=1, max_iter=3),
        "ecomrec, uniform rivals": ours(n_candidates=1),
        "implicit, its defaults": theirs(),
        "implicit, learning_rate=0.05": theirs(learning_rate=0.05, iterations=50),
    }


def write(repeats: int = 3) -> Path:
    """Time everything in turn, report medians, and write ``results/factors-other.json``."""
    log = load("ml-1m")
    shop, small = Interactions.from_table(log.train()), Interactions.from_table(tiny().train())
    took: dict[str, list[float]] = {}
    found: dict[str, dict[str, float]] = {}
    for turn in range(-1, repeats):
        for name, decompose in decompositions().items():
            clock: dict[str, float] = {}
            # The first turn compiles and imports.
            given = small if turn < 0 else shop
            values = timed("fit", partial(decompose, given), clock)
            if turn >= 0:
                took.setdefault(f"SVD: {name}", []).append(clock["fit_s"])
                found[f"SVD: {name}"] = {"squares": float(np.sum(np.square(values)))}
                print(f"{name}: {clock['fit_s']:.2f} s", flush=True)
        for name, rank in rankers().items():
            clock = {}
            now = tiny() if turn < 0 else log
            items = rank(now, clock)
            if turn >= 0:
                took.setdefault(f"BPR: {name}", []).append(clock["fit_s"])
                recall, ndcg = recall_and_ndcg(
                    items, log.targets(), log.test_users, log.test_items
                )
                found[f"BPR: {name}"] = {"recall": recall, "ndcg": ndcg}
                print(f"{name}: {clock['fit_s']:.2f} s, NDCG {ndcg:.4f}", flush=True)
    for name, figures in found.items():
        figures["seconds"] = float(np.median(took[name]))
        print(name, {key: round(value, 4) for key, value in figures.items()}, flush=True)
    packages = ["ecomrec", "implicit", "numba", "numpy", "scikit-learn", "scipy"]
    return _written("factors-other", {"conditions": conditions(packages), "found": found})


def _written(name: str, report: dict[str, Any]) -> Path:
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
