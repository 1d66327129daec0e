"""Slow twins of the kernels of private models.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins_private import user_gram_twin
>>> user_gram_twin(np.array([0, 2, 3]), np.array([0, 1, 1]), np.array([3, 4, 5]), 2).tolist()
[[9, 12], [12, 41]]
"""

from __future__ import annotations

import itertools

import numpy as np


def user_gram_twin(
    indptr: np.ndarray, items: np.ndarray, values: np.ndarray, n_items: int
) -> np.ndarray:
    """Add up the outer product of each user's row, in Python's own whole numbers."""
    sums = [[0] * n_items for _ in range(n_items)]
    for first, last in itertools.pairwise(indptr):
        row = [
            (int(i), int(v)) for i, v in zip(items[first:last], values[first:last], strict=True)
        ]
        for item, value in row:
            for other, factor in row:
                sums[item][other] += value * factor
    return np.array(sums, dtype=np.int64).reshape(n_items, n_items)
