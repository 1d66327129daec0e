"""The strongest directions of a sparse matrix, by randomised range finding."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecomrec.cf._canonical import Canonical
from ecomrec.kernels import sparse

# Singular values below this share of the largest are rounding errors.
_RANK_TOLERANCE = 1e-5
_BLOCK = 8192


class Scaled(NamedTuple):
    """A users x items matrix whose rows and columns are multiplied by factors."""

    shop: Canonical
    user_scales: np.ndarray
    item_scales: np.ndarray
    n_jobs: int | None

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return len(self.user_scales), len(self.item_scales)

    def times(self, dense: np.ndarray) -> np.ndarray:
        """The matrix times some vectors over the items."""
        rows = np.arange(len(self.user_scales))
        found: np.ndarray = sparse.product(
            rows, self.shop.by_user, dense, self.item_scales, self.n_jobs
        )
        found *= self.user_scales[:, None]
        return found

    def transposed_times(self, dense: np.ndarray) -> np.ndarray:
        """The transposed matrix times some vectors over the users."""
        rows = np.arange(len(self.item_scales))
        found: np.ndarray = sparse.product(
            rows, self.shop.by_item, dense, self.user_scales, self.n_jobs
        )
        found *= self.item_scales[:, None]
        return found


def leading_directions(
    matrix: Scaled, n_factors: int, n_iter: int, n_oversamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the strongest right singular vectors and singular values of a matrix.

    Parameters
    ----------
    matrix : Scaled
    n_factors : int
        How many at most; there are no more than the rank.
    n_iter, n_oversamples : int
    rng : Generator

    Returns
    -------
    directions : ndarray of shape (n_items, n), float64
        The largest entry of each column is positive.
    singular_values : ndarray of shape (n,), float64
        Largest first.
    """
    n_users, n_items = matrix.shape
    width = n_factors + n_oversamples
    if n_items <= width:
        basis: np.ndarray = np.eye(n_items)
    elif n_users <= width:
        basis = np.linalg.qr(matrix.transposed_times(np.eye(n_users)).astype(np.float64))[0]
    else:
        basis = rng.standard_normal((n_items, width), dtype=np.float32)
        for _ in range(n_iter + 1):
            basis = matrix.transposed_times(matrix.times(np.linalg.qr(basis)[0]))
        basis = np.linalg.qr(basis)[0]
    seen = matrix.times(basis)
    gram = np.zeros((seen.shape[1],) * 2)
    for start in range(0, n_users, _BLOCK):
        part = seen[start : start + _BLOCK].astype(np.float64)
        gram += part.T @ part
    squares, rotation = np.linalg.eigh(gram)
    singular_values = np.sqrt(np.maximum(squares[::-1][:n_factors], 0.0))
    kept = singular_values > _RANK_TOLERANCE * singular_values.max(initial=0.0)
    directions = basis.astype(np.float64) @ rotation[:, ::-1][:, :n_factors][:, kept]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    return directions * np.where(largest < 0, -1.0, 1.0), singular_values[kept]
