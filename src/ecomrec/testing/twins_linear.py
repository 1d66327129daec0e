"""Slow NumPy twins of the kernels of linear item models.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins_linear import dense_scores_twin
>>> profiles = np.array([0, 1]), np.array([1]), np.array([2.0])
>>> dense_scores_twin(profiles, np.array([[0.0, 1.0], [3.0, -1.0]]))
array([[ 6., nan]], dtype=float32)
"""

from __future__ import annotations

import numpy as np

from ecomrec.testing.twins import Arrays, dense


def gram_twin(
    mine: Arrays, other: Arrays, feature_weights: np.ndarray, item_factors: np.ndarray
) -> np.ndarray:
    """Multiply two dense matrices, and keep the upper triangle."""
    matrix, _ = dense(mine, len(other[0]))
    positive = np.maximum(matrix, 0)
    products = (positive * feature_weights) @ positive.T
    upper = np.triu(products * np.outer(item_factors, item_factors))
    return np.asarray(upper, dtype=np.float32)


def mirror_scaled_twin(matrix: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mirror the upper triangle, and multiply rows and columns."""
    upper = np.triu(matrix).astype(np.float64)
    whole: np.ndarray = upper + np.triu(upper, 1).T
    return np.asarray(left[:, None] * whole * right, dtype=np.float32)


def dense_scores_twin(profiles: Arrays, matrix: np.ndarray) -> np.ndarray:
    """Add up weighted rows of a matrix; NaN where the sum is not positive."""
    indptr, items, weights = profiles
    block = np.zeros((len(indptr) - 1, matrix.shape[1]), dtype=np.float32)
    for row in range(len(block)):
        for place in range(indptr[row], indptr[row + 1]):
            if weights[place] > 0:
                block[row] += np.float32(weights[place]) * matrix[items[place]]
    block[~(block > 0)] = np.nan
    return block


def elastic_net_twin(
    matrix: np.ndarray, wanted: np.ndarray, l1: float, l2: float, n_sweeps: int
) -> np.ndarray:
    """Non-negative elastic net of one target on a dense Gram matrix: its weights, in float64."""
    weights = np.zeros(len(wanted))
    for _ in range(n_sweeps):
        for at in range(len(weights)):
            own = matrix[at, at]
            rest = wanted[at] - matrix[at] @ weights + own * weights[at]
            weights[at] = max(rest - l1, 0.0) / (own + l2)
    return weights
