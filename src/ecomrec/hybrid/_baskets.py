"""What was bought together: baskets from stored histories, and counts of pairs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore

# Weights of baskets are whole multiples of this: sums are exact, whatever is added or taken off.
UNIT = 2.0**-20


def baskets_of(shop: Interactions, users: np.ndarray, window: float, largest: int) -> sp.csr_array:
    """Return baskets x items, 0 or 1: what some users chose, cut where a pause is too long.

    Parameters
    ----------
    shop : Interactions
    users : ndarray, int64
        Rows of users.
    window : float
        Longest pause within a basket, in nanoseconds; infinity: a user is a basket.
    largest : int
        Baskets of more items are left out.
    """
    indptr, (items, weights, *others) = shop.by_user.take(users)
    owners = np.repeat(np.arange(len(users)), np.diff(indptr))
    chosen = weights > 0
    items, owners = items[chosen], owners[chosen]
    starts = np.ones(len(items), dtype=bool)
    starts[1:] = owners[1:] != owners[:-1]
    if shop.timed and np.isfinite(window):
        times = others[0][chosen]
        order = np.lexsort((times, owners))
        items, times = items[order], times[order]
        starts[1:] |= np.diff(times).astype(np.float64) > window
    basket = np.cumsum(starts) - 1
    shape = int(starts.sum()), shop.n_items
    found = sp.csr_array((np.ones(len(items), dtype=np.int64), (basket, items)), shape)
    return found[np.flatnonzero(np.diff(found.indptr) <= largest)]


def pairs_of(baskets: sp.csr_array, damping: float) -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
    """Weights of the baskets with each pair of items, with each item, and of all and their number.

    A basket of n items weighs ``n ** -damping``, in `UNIT`.
    """
    sizes = np.diff(baskets.indptr)
    weights = np.rint(np.maximum(sizes, 1.0) ** -damping / UNIT).astype(np.int64)
    weighed = baskets.copy()
    weighed.data = np.repeat(weights, sizes)
    together = sp.csr_array(baskets.T @ weighed)
    counts = together.diagonal()
    together.setdiag(0)
    together.eliminate_zeros()
    together.sort_indices()
    return together, counts, np.array([weights.sum(), len(sizes)])


def as_store(matrix: sp.csr_array) -> RowStore:
    """Return a matrix of counts as rows that versions share."""
    columns = matrix.indices.astype(np.int32), matrix.data.astype(np.int64)
    return RowStore.from_csr(matrix.indptr.astype(np.int64), columns)


def as_matrix(store: RowStore, rows: np.ndarray, n_items: int) -> sp.csr_array:
    """Return some rows of a store of counts as a matrix."""
    indptr, (items, counts) = store.take(rows)
    shape = len(rows), n_items
    return sp.csr_array((counts.astype(np.int64), items.astype(np.int64), indptr), shape)


def changed(store: RowStore, delta: sp.csr_array, n_items: int) -> RowStore:
    """Return counts with a matrix of differences added, at the cost of the rows it touches."""
    rows = np.flatnonzero(np.diff(delta.indptr))
    if store.n_rows < n_items:
        nothing = np.zeros(1, dtype=np.int64), tuple(v[:0] for v in store.columns)
        store = store.append(np.empty(0, dtype=np.int64), *nothing, n_rows=n_items)
    total = sp.csr_array(as_matrix(store, rows, n_items) + delta[rows])
    total.eliminate_zeros()
    total.sort_indices()
    columns = total.indices.astype(np.int32), total.data.astype(np.int64)
    return store.replace(rows, total.indptr.astype(np.int64), columns)
