"""ALS against implicit: time to the training loss that implicit reaches in its 15 iterations."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.logs import Log, load
from benchmarks.measure import THREADS, conditions
from benchmarks.quality import recall_and_ndcg
from benchmarks.runner import RESULTS

#: Of every observed pair, and of implicit's penalty: the same problem for both.
CONFIDENCE, REGULARIZATION = 10.0, 5.0
N_ITERATIONS = 15
#: Relative distance to the loss aimed at that counts as reached.
NEAR = 1e-4
K = 20


def matrix_of(log: Log) -> sp.csr_matrix:
    """Return the distinct pairs of a log as ones."""
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


def run_implicit(
    matrix: sp.csr_matrix, n_factors: int, use_cg: bool
) -> tuple[list[float], list[float], Any]:
    """Return seconds and loss after each iteration, the loss off the clock, and the model."""
    from implicit.cpu.als import AlternatingLeastSquares

    seconds, losses = [0.0], [np.inf]
    model = AlternatingLeastSquares(
        n_factors, regularization=REGULARIZATION, alpha=1.0, use_cg=use_cg, use_native=True,
        iterations=N_ITERATIONS, num_threads=THREADS, random_state=0,
    )  # fmt: skip

    def note(iteration: int, elapsed: float, _: float) -> None:
        seconds.append(seconds[-1] + elapsed)
        losses.append(loss(matrix, model.user_factors, model.item_factors))

    model.fit(matrix * CONFIDENCE, show_progress=False, callback=note)
    return seconds[1:], losses[1:], model


def run_ecomrec(
    matrix: sp.csr_matrix, n_factors: int, max_iter: int, solver: str = "cg"
) -> tuple[float, float, Any]:
    """Return seconds from matrix to fitted model, its loss on implicit's scale, and the model."""
    from ecomrec.cf import ALS

    weighted = matrix * np.float32(CONFIDENCE - 1)
    model = ALS(
        n_factors, unobserved_weight=1.0, regularization_exponent=0.0, max_iter=max_iter,
        regularization=REGULARIZATION * (CONFIDENCE - 1) / CONFIDENCE, n_jobs=THREADS, solver=solver,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(weighted)
    seconds = time.perf_counter() - start
    # Both sides are scaled so that scores are those of implicit's problem.
    scale = np.sqrt(CONFIDENCE / (CONFIDENCE - 1))
    found = loss(matrix, model.user_factors_ * scale, model.item_factors_ * scale)
    return seconds, found, model


if __name__ == "__main__":
    import sys
    from threadpoolctl import threadpool_limits

    name, d = sys.argv[1], int(sys.argv[2])
    matrix = matrix_of(load(name))
    print(matrix.shape, matrix.nnz)
    run_ecomrec(matrix[:2000], d, 1)
    with threadpool_limits(1, user_api="blas"):
        cg = run_implicit(matrix, d, True)[:2]
        print("cg", np.round(cg[0], 2).tolist(), [f"{x:.6g}" for x in cg[1]])
        if len(sys.argv) > 3:
            ch = run_implicit(matrix, d, False)[:2]
            print("chol", np.round(ch[0], 2).tolist(), [f"{x:.6g}" for x in ch[1]])
    for n in (1, 2, 4, 6, 8, 10, 12, 15):
        s, l, _ = run_ecomrec(matrix, d, n)
        print(n, round(s, 2), f"{l:.6g}", flush=True)
        if l <= cg[1][-1]:
            break
