"""The slow twin of `ecomrec.kernels.private_als`: plain NumPy and Python integers."""

from __future__ import annotations

import numpy as np


def solve(
    indptr: np.ndarray,
    items: np.ndarray,
    labels: np.ndarray,
    factors: np.ndarray,
    base: np.ndarray,
) -> np.ndarray:
    """Users' vectors given the items', one linear system each."""
    solved = np.empty((len(indptr) - 1, factors.shape[1]))
    for user in range(len(solved)):
        span = slice(indptr[user], indptr[user + 1])
        rows = factors[items[span]]
        solved[user] = np.linalg.solve(base + rows.T @ rows, rows.T @ labels[span])
    return solved


def gram(steps: np.ndarray) -> np.ndarray:
    """Sum of the outer products of integer rows."""
    rows = steps.astype(object)
    total: np.ndarray = (rows.T @ rows).astype(np.int64)
    return total


def system_sums(
    starts: np.ndarray, users: np.ndarray, weights: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Weighted sums of outer products for each item, in Python integers."""
    rows = steps.astype(object)
    sums = np.zeros((len(starts) - 1, steps.shape[1], steps.shape[1]), dtype=object)
    for item in range(len(sums)):
        for at in range(starts[item], starts[item + 1]):
            row = rows[users[at]]
            sums[item] += int(weights[at]) * np.outer(row, row)
    return sums.astype(np.int64)


def target_sums(
    starts: np.ndarray, users: np.ndarray, targets: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Weighted sums of rows for each item, in Python integers."""
    sums = np.zeros((len(starts) - 1, steps.shape[1]), dtype=object)
    for item in range(len(sums)):
        for at in range(starts[item], starts[item + 1]):
            sums[item] += int(targets[at]) * steps[users[at]].astype(object)
    return sums.astype(np.int64)
