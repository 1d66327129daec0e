"""Slow twins of `kernels.fusion`, on dense matrices."""

from __future__ import annotations

import numpy as np


def without_repeats_twin(
    likeness: np.ndarray, weights: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Likeness of visitors (rows) to users, 0 for users who have nothing new to the visitor."""
    kept = np.array(likeness, dtype=np.float32)
    for row, user in np.ndindex(*kept.shape):
        if not ((weights[user] > 0) & ~seen[row]).any():
            kept[row, user] = 0.0
    return kept


def both_twin(likeness: np.ndarray, weights: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Sum of ``w_vb / sqrt(x_v ** -2 + y_bj ** -2)`` over neighbours v and their items b.

    Parameters
    ----------
    likeness : ndarray of shape (n_visitors, n_users)
        0 for those who are no neighbours.
    weights : ndarray of shape (n_users, n_items)
    alike : ndarray of shape (n_items, n_items)
        Row b holds the items that are like b; NaN for those that are not in the row.

    Returns
    -------
    ndarray of shape (n_visitors, n_items)
    """
    block = np.zeros((len(likeness), weights.shape[1]))
    for row, near in enumerate(likeness):
        read = [(v, b) for v in np.flatnonzero(near > 0) for b in np.flatnonzero(weights[v] > 0)]
        values = [y for _, b in read for y in alike[b] if not np.isnan(y)]
        if not values or not np.mean(values) > 0:
            continue
        for v, b in read:
            x = near[v] / near[near > 0].mean()
            for j in np.flatnonzero(alike[b] > 0):
                y = alike[b, j] / np.mean(values)
                block[row, j] += weights[v, b] / np.sqrt(x**-2 + y**-2)
    return block
