"""SVD against scikit-surprise: the same parameters and ratings, turn by turn in one process.

``python -m benchmarks.svd`` writes ``results/svd.json``; it needs scikit-surprise beside ecomrec.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import THREADS, conditions, hold_to_threads, timed

hold_to_threads()

import numpy as np  # noqa: E402  # after the threads are set
import pandas as pd  # noqa: E402
import surprise  # noqa: E402

from benchmarks.logs import DATA  # noqa: E402
from benchmarks.runner import RESULTS  # noqa: E402
from ecomrec.cf import SVD  # noqa: E402
from ecomrec.data import Interactions  # noqa: E402

#: The defaults of scikit-surprise, in our words.
PARAMETERS: dict[str, dict[str, Any]] = {
    "SVD": {"n_factors": 100, "learning_rate": 0.005},
    "SVD++": {"n_factors": 20, "learning_rate": 0.007, "implicit_feedback": True},
}
SHARED = {"max_iter": 20, "regularization": 0.02, "init_std": 0.1, "n_jobs": THREADS}
N_FOLDS = 5


def ml_100k() -> pd.DataFrame:
    """Return the ratings of MovieLens 100K."""
    ratings = pd.read_parquet(DATA / "ml-100k" / "ratings.parquet")
    return ratings[["user_id", "item_id", "rating"]]


def made_1m() -> pd.DataFrame:
    """Return a million ratings of 6,000 users and 4,000 items, from biases and tastes."""
    rng = np.random.default_rng(0)
    n_users, n_items, n = 6_000, 4_000, 1_100_000
    users = rng.integers(0, n_users, n)
    items = (n_items * rng.random(n) ** 2).astype(np.int64)
    p, q = rng.normal(0, 0.3, (n_users, 16)), rng.normal(0, 0.5, (n_items, 16))
    taste = np.einsum("rf,rf->r", p[users], q[items])
    biases = rng.normal(0, 0.4, n_users)[users] + rng.normal(0, 0.5, n_items)[items]
    stars = np.clip(np.rint(3.5 + biases + taste + rng.normal(0, 0.8, n)), 1, 5)
    ratings = pd.DataFrame({"user_id": users, "item_id": items, "rating": stars})
    return ratings.drop_duplicates(["user_id", "item_id"], ignore_index=True)


def rmse(predicted: np.ndarray, test: pd.DataFrame) -> float:
    """Return the root mean squared error of predictions."""
    return float(np.sqrt(np.mean((predicted - test["rating"].to_numpy()) ** 2)))


def ours(name: str, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Prepare, fit, predict; what it took."""
    took: dict[str, float] = {}
    shop = timed("prepare", lambda: Interactions.from_table(train, values="rating"), took)
    model = SVD(**PARAMETERS[name], **SHARED)
    timed("fit", lambda: model.fit(shop), took)
    return took | {"rmse": rmse(model.predict(test), test)}


def theirs(name: str, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Prepare, fit, predict; what it took."""
    took: dict[str, float] = {}
    reader = surprise.Reader(rating_scale=(1, 5))
    known = timed(
        "prepare",
        lambda: surprise.Dataset.load_from_df(train, reader).build_full_trainset(),
        took,
    )
    model = surprise.SVD(random_state=0) if name == "SVD" else surprise.SVDpp(random_state=0)
    timed("fit", lambda: model.fit(known), took)
    pairs = zip(test["user_id"].tolist(), test["item_id"].tolist(), strict=True)
    return took | {"rmse": rmse(np.array([model.predict(u, i).est for u, i in pairs]), test)}


def compare(name: str, load: Callable[[], pd.DataFrame], n_folds: int) -> dict[str, Any]:
    """Take turns on each fold; medians of the times and of the ratios, and the mean errors."""
    ratings = load()
    fold = np.random.default_rng(0).permutation(len(ratings)) % N_FOLDS
    ours(name, ratings[:2000], ratings[:100])
    rounds = []
    for number in range(n_folds):
        train, test = ratings[fold != number], ratings[fold == number]
        rounds.append({"ecomrec": ours(name, train, test), "surprise": theirs(name, train, test)})
    report: dict[str, Any] = {"rounds": rounds, "n_ratings": int((fold != 0).sum())}
    for entrant in ("ecomrec", "surprise"):
        report[entrant] = {
            "fit_s": float(np.median([turn[entrant]["fit_s"] for turn in rounds])),
            "prepare_s": float(np.median([turn[entrant]["prepare_s"] for turn in rounds])),
            "rmse": float(np.mean([turn[entrant]["rmse"] for turn in rounds])),
        }
    ratios = [turn["surprise"]["fit_s"] / turn["ecomrec"]["fit_s"] for turn in rounds]
    report["fit_ratio"] = float(np.median(ratios))
    return report


def write() -> Path:
    """Measure and write ``results/svd.json``."""
    report: dict[str, Any] = {
        "conditions": conditions(["ecomrec", "numba", "numpy", "scikit-surprise", "scipy"]),
        "parameters": {"shared": SHARED, **PARAMETERS},
        "ml-100k SVD": compare("SVD", ml_100k, N_FOLDS),
        "made-1m SVD": compare("SVD", made_1m, 3),
        "ml-100k SVD++": compare("SVD++", ml_100k, N_FOLDS),
    }
    path = RESULTS / "svd.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    print(write())
