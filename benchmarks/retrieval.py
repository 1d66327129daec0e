"""What finding the best items costs beside bare BLAS: ``python -m benchmarks retrieval``.

Vectors drawn at random, 50 seen items for each user, k = 10. Every round takes turns; medians of
rounds, and of the ratios within rounds. One user at a time is answered on one thread, BLAS held to
one as well; everybody at once on two. ``--ann`` builds a graph too.
"""

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.logs import HERE
from benchmarks.measure import THREADS, conditions
from ecomrec.kernels import ranking, retrieval
from ecomrec.vectors.factors import FactorModel, Factors

SIZES = ((100_000, 64), (1_000_000, 64), (50_000, 128), (20_000, 64))
N_USERS, N_SEEN, K = 10_000, 50, 10


@dataclass(eq=False, repr=False)
class Drawn(FactorModel):
    """A model of vectors drawn at random, in clusters so that a graph has something to find."""

    n_factors: int = 64
    n_jobs: int | None = 1

    def _fit(self, shop, sides):
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((200, self.n_factors), dtype=np.float32)
        drawn = []
        for n in shop.shape:
            noise = rng.standard_normal((n, self.n_factors), dtype=np.float32)
            drawn.append(centres[rng.integers(0, len(centres), n)] + noise)
        return Factors(drawn[0], drawn[1], np.ones(shop.n_items, dtype=bool))


def log(n_items: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = N_USERS * N_SEEN
    seen = pd.DataFrame(
        {"user_id": np.repeat(np.arange(N_USERS), N_SEEN), "item_id": rng.integers(0, n_items, n)}
    )
    rest = {"user_id": rng.integers(0, N_USERS, n_items), "item_id": np.arange(n_items)}
    return pd.concat([seen, pd.DataFrame(rest)], ignore_index=True)


def turns(calls: dict, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each call in each round; the first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call(number)
            if number:
                taken[name].append(time.perf_counter() - start)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def single(n_items: int, n_factors: int, rounds: int, ann: bool) -> dict[str, float]:
    """One user at a time on one thread, in milliseconds."""
    n_jobs = 1
    model = Drawn(n_factors, n_jobs).fit(log(n_items))
    learned = model._state.learned
    users, items = learned.user_factors, learned.item_factors
    codes = model.index_.codes
    full = Drawn(n_factors, n_jobs)
    full._state = model._state
    full.build_index(None)
    mask = ranking.Mask(
        ranking.EVERYTHING,
        ranking.NOTHING,
        ranking.NO_OFFSETS,
        ranking.NOTHING,
        ranking.no_rows(1),
    )

    def row(number):
        return users[number % N_USERS][None]

    calls = {
        "gemv": lambda number: np.dot(items, users[number % N_USERS]),
        "float": lambda number: retrieval.top_k(row(number), items, K, mask, n_jobs),
        "int8": lambda number: retrieval.top_k(row(number), items, K, mask, n_jobs, codes=codes),
        "recommend_float": lambda number: full.recommend([number % N_USERS], K),
        "recommend_int8": lambda number: model.recommend([number % N_USERS], K),
    }
    if ann:
        graphed = Drawn(n_factors, n_jobs)
        graphed._state = model._state
        start = time.perf_counter()
        graphed.build_index("usearch", min_recall=0.5)
        figures = {"graph_build_s": time.perf_counter() - start, "recall": graphed.index_.recall}
        calls["recommend_usearch"] = lambda number: graphed.recommend([number % N_USERS], K)
    else:
        figures = {}
    with threadpool_limits(1, user_api="blas"):
        taken = turns(calls, rounds)
    for name, seconds in taken.items():
        figures[f"{name}_p50_ms"] = float(np.median(seconds)) * 1e3
        figures[f"{name}_p99_ms"] = float(np.quantile(seconds, 0.99)) * 1e3
    figures["float_over_gemv"] = float(np.median(taken["float"] / taken["gemv"]))
    figures["float_over_int8"] = float(np.median(taken["float"] / taken["int8"]))
    return figures


def batch(n_items: int, n_factors: int, rounds: int) -> dict[str, float]:
    """Everybody at once, beside the product of the same blocks."""
    rng = np.random.default_rng(0)
    users = rng.standard_normal((N_USERS, n_factors), dtype=np.float32)
    items = rng.standard_normal((n_items, n_factors), dtype=np.float32)
    seen = np.sort(rng.integers(0, n_items, (N_USERS, N_SEEN)).astype(np.int32), axis=1)
    mask = ranking.Mask(
        ranking.EVERYTHING,
        ranking.NOTHING,
        ranking.NO_OFFSETS,
        seen.ravel(),
        np.arange(N_USERS + 1) * N_SEEN,
    )
    height, width = retrieval._ROWS, min(retrieval._ITEMS, n_items)
    memory = np.empty(height * width, dtype=np.float32)

    def product(_):
        for above in range(0, N_USERS, height):
            some = users[above : above + height]
            for left in range(0, n_items, width):
                tile = items[left : left + width]
                block = memory[: len(some) * len(tile)].reshape(len(some), len(tile))
                np.matmul(some, tile.T, out=block)

    taken = turns(
        {
            "sgemm": product,
            "top_k": lambda _: retrieval.top_k(users, items, K, mask, THREADS),
        },
        rounds,
    )
    return {
        "sgemm_s": float(np.median(taken["sgemm"])),
        "top_k_s": float(np.median(taken["top_k"])),
        "top_k_over_sgemm": float(np.median(taken["top_k"] / taken["sgemm"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ann", action="store_true")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--sizes", nargs="*", default=[f"{n}x{d}" for n, d in SIZES])
    asked = parser.parse_args()
    path = HERE / "results" / "retrieval.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for size in asked.sizes:
        n_items, n_factors = map(int, size.split("x"))
        rounds = asked.rounds if n_items <= 200_000 else max(30, asked.rounds // 6)
        figures = single(n_items, n_factors, rounds, asked.ann)
        if n_items <= 200_000:
            figures |= batch(n_items, n_factors, 7)
        results[size] = results.get(size, {}) | figures
        for name, value in figures.items():
            print(f"{size:12} {name:24} {value:.4g}", flush=True)
    packages = ["ecomrec", "numba", "numpy", *(["usearch"] if asked.ann else [])]
    results["conditions"] = conditions(packages)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
