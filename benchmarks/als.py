"""ALS beside implicit: time from a matrix to the training loss that implicit reaches.

``python -m benchmarks als`` writes ``results/als.json``, adding to what is there.

Two losses are aimed at: where implicit's default, 15 iterations of conjugate gradients, ends, and
where 15 iterations of its Cholesky solver end (or as many as end within `CHOLESKY_S`). The faster
of its solvers counts, with more iterations if it takes more. Ours gets as many rounds as it needs:
they are found off the clock, and then timed, turn by turn with implicit.
"""

import json
import os
import subprocess
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.logs import HERE, Log, load
from benchmarks.measure import THREADS, conditions
from benchmarks.quality import recall_and_ndcg

#: Of every observed pair, and of implicit's penalty: the same problem for everybody.
CONFIDENCE, REGULARIZATION = 10.0, 5.0
N_ITERATIONS = 15
N_FACTORS = (64, 128, 256)
K = 20
#: implicit's fits that take longer are timed once; its Cholesky solver is always.
LONG_S = 60.0
CHOLESKY_S = 60.0
PACKAGES = ["ecomrec", "implicit", "numba", "numpy", "scipy"]
PATH = HERE / "results" / "als.json"


def matrix_of(log: Log) -> sp.csr_matrix:
    """Return the distinct pairs of a log as ones; rows and columns by rising id."""
    users, items = (
        np.unique(ids, return_inverse=True)[1] for ids in (log.train_users, log.train_items)
    )
    found = sp.csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)))
    found.data[:] = 1.0
    return found


def loss(matrix: sp.csr_matrix, users: np.ndarray, items: np.ndarray) -> float:
    """Return implicit's objective: confidence-weighted errors of all pairs, and the penalty."""
    users, items = users.astype(np.float64), items.astype(np.float64)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    total = float(np.sum((users.T @ users) * (items.T @ items)))
    for start in range(0, len(rows), 500_000):
        part = slice(start, start + 500_000)
        products = np.einsum("rf,rf->r", users[rows[part]], items[matrix.indices[part]])
        total += float(np.sum(CONFIDENCE * (1 - products) ** 2 - products**2))
    return total + REGULARIZATION * float(np.sum(users**2) + np.sum(items**2))


class _TimeUpError(Exception):
    """A fit has had its time."""


def run_implicit(
    matrix: sp.csr_matrix,
    n_factors: int,
    use_cg: bool,
    iterations: int = N_ITERATIONS,
    path: list[tuple[float, float]] | None = None,
    most_s: float = np.inf,
    aim: float = -np.inf,
) -> tuple[float, Any]:
    """Fit implicit's model; return seconds from matrix to model, and the model.

    `path`, if given, gets the seconds so far and the loss after each iteration; that loss is
    computed off the clock. The fit then ends after the iteration in which it has taken `most_s`
    or the loss is down to `aim`.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    confidences = matrix * np.float32(CONFIDENCE)
    off_clock = 0.0

    def note(_iteration: int, _elapsed: float, _loss: float | None) -> None:
        nonlocal off_clock
        now = time.perf_counter()
        taken = now - start - off_clock
        path.append((taken, loss(matrix, model.user_factors, model.item_factors)))
        off_clock += time.perf_counter() - now
        if taken > most_s or path[-1][1] <= aim:
            raise _TimeUpError

    # It has threads of its own and asks for one thread of BLAS.
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(
            n_factors, regularization=REGULARIZATION, use_cg=use_cg, iterations=iterations,
            num_threads=THREADS, random_state=0,
        )  # fmt: skip
        start = time.perf_counter()
        with suppress(_TimeUpError):
            model.fit(confidences, show_progress=False, callback=None if path is None else note)
        return time.perf_counter() - start - off_clock, model


def run_ecomrec(matrix: sp.csr_matrix, n_factors: int, max_iter: int) -> tuple[float, Any]:
    """Return seconds from matrix to fitted model, and the model."""
    from ecomrec.cf import ALS

    weighted = matrix * np.float32(CONFIDENCE - 1)
    model = ALS(
        n_factors, unobserved_weight=1.0, regularization_exponent=0.0, max_iter=max_iter,
        regularization=REGULARIZATION * (CONFIDENCE - 1) / CONFIDENCE, n_jobs=THREADS,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(weighted)
    return time.perf_counter() - start, model


def our_loss(matrix: sp.csr_matrix, model: Any) -> float:
    """Return the loss on implicit's scale: both sides stretched to the scores of its problem."""
    scale = np.sqrt(CONFIDENCE / (CONFIDENCE - 1))
    return loss(matrix, model.user_factors_ * scale, model.item_factors_ * scale)


def rounds_to(aims: dict[str, float], matrix: sp.csr_matrix, n_factors: int) -> dict[str, int]:
    """Return, for each loss, the fewest rounds after which ours is not above it."""

    @cache
    def loss_after(n: int) -> float:
        found = our_loss(matrix, run_ecomrec(matrix, n_factors, n)[1])
        print(f"  ecomrec, {n} rounds: loss {found:.7g}", flush=True)
        return found

    needed = {}
    for who, aim in aims.items():
        low, high = 0, 8
        while loss_after(high) > aim:
            if high >= 4 * N_ITERATIONS:
                raise RuntimeError(f"{high} rounds do not reach the loss {aim}.")
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if loss_after(middle) <= aim else (middle, high)
        needed[who] = high
    return needed


def quality(log: Log, matrix: sp.csr_matrix, model: Any) -> dict[str, float]:
    """Return Recall@20 and NDCG@20 of a model that knows rows and columns of the matrix."""
    users = log.targets()
    items = np.unique(log.train_items)
    rows = np.searchsorted(np.unique(log.train_users), users)
    if type(model).__module__.startswith("implicit"):
        found = model.recommend(rows, matrix[rows], N=K)[0]
    else:
        found = np.asarray(model.recommend(rows, k=K).items)
    ids = np.where(found >= 0, items[found], -1)
    recall, ndcg = recall_and_ndcg(ids, users, log.test_users, log.test_items)
    return {"recall": recall, "ndcg": ndcg}


def paths(name: str, n_factors: int) -> dict[str, Any]:
    """Return seconds and loss after each iteration of implicit's solvers."""
    matrix = matrix_of(load(name))
    run_implicit(matrix[:2000], n_factors, True)  # its first fit finds everything cold
    found: dict[str, list[tuple[float, float]]] = {"CG": [], "Cholesky": [], "CG, longer": []}
    run_implicit(matrix, n_factors, True, path=found["CG"])
    run_implicit(matrix, n_factors, False, path=found["Cholesky"], most_s=CHOLESKY_S)
    seconds, end = found["Cholesky"][-1]
    # Is the default solver sooner at the other's loss, given more iterations?
    run_implicit(
        matrix, n_factors, True, 100 * N_ITERATIONS, found["CG, longer"], most_s=seconds, aim=end
    )
    for solver, path in found.items():
        print(f"{name} {n_factors} {solver}: {len(path)} iterations, {path[-1]}")
    sizes = {"pairs": matrix.nnz, "users": matrix.shape[0], "items": matrix.shape[1]}
    return {**sizes, "paths": found}


def rounds(name: str, n_factors: int, found: dict[str, Any]) -> dict[str, Any]:
    """Return how many of our rounds reach the ends of implicit's paths."""
    matrix = matrix_of(load(name))
    ends = {solver: found["paths"][solver][-1][1] for solver in ("CG", "Cholesky")}
    return {"rounds": rounds_to(ends, matrix, n_factors)}


def take_turns(name: str, n_factors: int, found: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Time implicit's default, and ours to both losses, in turn."""
    matrix = matrix_of(load(name))
    run_ecomrec(matrix[:2000], n_factors, 2)  # compiles
    needed = found["rounds"]
    busy = os.getloadavg()[0]
    turns: list[dict[str, float]] = []
    for number in range(repeats + 1):
        turn = {"implicit": run_implicit(matrix, n_factors, True)[0]}
        turn |= {aim: run_ecomrec(matrix, n_factors, n)[0] for aim, n in needed.items()}
        turns.append(turn)
        print("  " + ", ".join(f"{who} {took:.3f} s" for who, took in turn.items()), flush=True)
        if number == 0 and turn["implicit"] > LONG_S:
            break
    else:
        # The first turn finds memory and caches cold; nobody is held to it.
        del turns[0]
    return {"load_before": busy, "turns": turns}


def judge(name: str, n_factors: int, found: dict[str, Any]) -> dict[str, Any]:
    """Compare our median with implicit's best time to each loss; quality, off the clock."""
    log = load(name)
    matrix = matrix_of(log)
    paths, turns = found["paths"], found["turns"]
    compared = {}
    for aim, needed in found["rounds"].items():
        end = paths[aim][-1][1]
        # The best time of all, on its paths or in the turns, more iterations if that is sooner.
        there = {
            solver: min((seconds for seconds, now in path if now <= end), default=np.inf)
            for solver, path in paths.items()
        }
        cg_s = min(there["CG"], there["CG, longer"])
        if aim == "CG":
            cg_s = min(cg_s, *(turn["implicit"] for turn in turns))
        ours_s = median(turn[aim] for turn in turns)
        model = run_ecomrec(matrix, n_factors, needed)[1]
        compared[aim] = {
            "loss": end,
            "iterations": len(paths[aim]),
            "implicit_cg_s": _finite(cg_s),
            "implicit_cholesky_s": _finite(there["Cholesky"]),
            "ecomrec_s": ours_s,
            "ecomrec_rounds": needed,
            "ecomrec_loss": our_loss(matrix, model),
            "ratio": min(cg_s, there["Cholesky"]) / ours_s,
            **quality(log, matrix, model),
        }
    theirs = run_implicit(matrix, n_factors, True)[1]
    return {"aims": compared, "implicit": quality(log, matrix, theirs)}


def _finite(seconds: float) -> float | None:
    return None if seconds == np.inf else seconds


def ask_lenskit(python: str, name: str, n_factors: int) -> dict[str, Any]:
    """Run `als_lenskit` in an environment that has LensKit."""
    command = [python, "-m", "benchmarks.als_lenskit", name, str(n_factors)]
    answer = subprocess.run(
        command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    print(f"  LensKit {found}", flush=True)
    return found


def write(
    logs: list[str], n_factors: list[int], repeats: int = 3, lenskit: str | None = None
) -> Path:
    """Measure some logs and sizes; LensKit at the smallest size only."""
    for name in logs:
        for size in n_factors:
            found = paths(name, size)
            found |= rounds(name, size, found)
            found |= take_turns(name, size, found, repeats)
            keep(name, size, found | judge(name, size, found))
            if lenskit and size == N_FACTORS[0]:
                keep(name, size, {"LensKit": ask_lenskit(lenskit, name, size)})
    return PATH


def keep(name: str, n_factors: int, found: dict[str, Any]) -> None:
    """Put figures among the results."""
    report = json.loads(PATH.read_text()) if PATH.exists() else {"logs": {}}
    report["conditions"] = conditions(PACKAGES)
    report["parameters"] = {"confidence": CONFIDENCE, "regularization": REGULARIZATION}
    report["logs"].setdefault(name, {}).setdefault(str(n_factors), {}).update(found)
    PATH.write_text(json.dumps(report, indent=1) + "\n")
