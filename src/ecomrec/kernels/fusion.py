"""Evidence from similar users' events with similar items, summed over both at once.

Rows of users and of items lie in `RowStore` form: `starts`, `lengths`, indices and values.
"""

import math

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit


@jit
def joint(one, other):
    """How near something is that is `one` near in one way and `other` in another.

    As distances at a right angle: 1 / sqrt(1 / one ** 2 + 1 / other ** 2). Both in float64, where
    squares of what has faded for years do not vanish.
    """
    return one * other / math.sqrt(one * one + other * other)


@jit
def _without_repeats(start, stop, at, users, likeness, store, seen_at, seen, n_items, kept):
    starts, counts, items, weights = store
    is_seen = np.zeros(n_items, dtype=np.bool_)
    for row in range(start, stop):
        for place in range(seen_at[row], seen_at[row + 1]):
            is_seen[seen[place]] = True
        for place in range(at[row], at[row + 1]):
            user = users[place]
            kept[place] = 0.0
            for entry in range(starts[user], starts[user] + counts[user]):
                if weights[entry] > 0 and not is_seen[items[entry]]:
                    kept[place] = likeness[place]
                    break
        for place in range(seen_at[row], seen_at[row + 1]):
            is_seen[seen[place]] = False


def without_repeats(near, store, seen, n_items, n_jobs):
    """Return how near each neighbour is, 0 for those who have nothing new to the visitor.

    Parameters
    ----------
    near : tuple of (indptr, users, likeness)
        Neighbours of each visitor.
    store : tuple of (starts, lengths, items, weights)
        What all users touched.
    seen : tuple of (indptr, items)
        What each visitor touched.
    n_items : int
    n_jobs : int or None

    Returns
    -------
    ndarray, float32
        In the places of `likeness`.
    """
    at, users, likeness = near
    likeness = np.asarray(likeness, dtype=np.float32)
    kept = np.empty(len(likeness), dtype=np.float32)
    run_sharded(
        lambda start, stop: _without_repeats(
            start, stop, at, users, likeness, store, *seen, n_items, kept
        ),
        np.diff(at) * 10 + 1,
        n_jobs,
    )
    return kept


@jit
def _means(at, users, likeness, store, rows, row):
    """Mean likeness of the neighbours of one row, and of the items that are like theirs."""
    starts, counts, items, weights = store
    row_starts, row_counts, _, values = rows
    near, n_near, alike, n_alike = 0.0, 0, 0.0, 0
    for place in range(at[row], at[row + 1]):
        if likeness[place] <= 0:
            continue
        near += likeness[place]
        n_near += 1
        user = users[place]
        for entry in range(starts[user], starts[user] + counts[user]):
            if weights[entry] > 0:
                item = items[entry]
                n_alike += row_counts[item]
                for to in range(row_starts[item], row_starts[item] + row_counts[item]):
                    alike += values[to]
    return near / max(n_near, 1), alike / max(n_alike, 1)


@jit
def _both(start, stop, at, users, likeness, store, rows, block):
    starts, counts, items, weights = store
    row_starts, row_counts, others, values = rows
    for row in range(start, stop):
        near, alike = _means(at, users, likeness, store, rows, row)
        if not alike > 0:
            continue
        for place in range(at[row], at[row + 1]):
            if likeness[place] <= 0:
                continue
            one = likeness[place] / near
            user = users[place]
            for entry in range(starts[user], starts[user] + counts[user]):
                weight = weights[entry]
                if weight <= 0:
                    continue
                item = items[entry]
                for to in range(row_starts[item], row_starts[item] + row_counts[item]):
                    other = values[to] / alike
                    if other > 0:
                        block[row, others[to]] += weight * joint(one, other)


def both(near, store, rows, n_items, n_jobs):
    r"""Sum what neighbours touched, times how near they and how alike the items are together.

    The score of item j in a row is :math:`\sum_v \sum_b w_{vb} \, s_{vb}` over neighbours v and
    their items b that have j in their row, where :math:`s_{vb}` is
    :math:`1 / \sqrt{x_v^{-2} + y_{bj}^{-2}}` of the two likenesses, each divided by its mean over
    all that the row reads.

    Parameters
    ----------
    near : tuple of (indptr, users, likeness)
        Neighbours of each visitor; those at 0 are left out.
    store : tuple of (starts, lengths, items, weights)
        What all users touched; only positive weights count.
    rows : tuple of (starts, lengths, items, values)
        Items that are like each item.
    n_items : int
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n_rows, n_items), float32
        0 where nothing was added up.
    """
    at, users, likeness = near
    likeness = np.asarray(likeness, dtype=np.float32)
    block = np.zeros((len(at) - 1, n_items), dtype=np.float32)
    reads = np.concatenate(([0], np.cumsum(store[1][users], dtype=np.int64)))
    width = max(1, len(rows[2]) // max(1, len(rows[0])))
    run_sharded(
        lambda start, stop: _both(start, stop, at, users, likeness, store, rows, block),
        np.diff(reads[at]) * width + 1,
        n_jobs,
    )
    return block
