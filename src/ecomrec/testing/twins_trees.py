"""Slow twin of `kernels.trees`: each row walks down each tree."""

from __future__ import annotations

import numpy as np


def leaf_sums(features: np.ndarray, nodes: tuple[np.ndarray, ...], n_outputs: int) -> np.ndarray:
    """Return the sums of leaf values for rows of features."""
    roots, split_on, thresholds, missing_left, left, right, values = nodes
    sums = np.zeros((len(features), n_outputs))
    for row, cells in enumerate(features):
        for tree, root in enumerate(roots):
            node = root
            while split_on[node] >= 0:
                cell = cells[split_on[node]]
                to_left = missing_left[node] if np.isnan(cell) else cell <= thresholds[node]
                node = (left if to_left else right)[node]
            sums[row, tree % n_outputs] += values[node]
    return sums
