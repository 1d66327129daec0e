"""The items whose sparse rows have the largest products with some profiles.

The answers of `neighbors.recommend`, for stores in which a profile reaches most of the items: some
words are in nearly every text. Then it is cheaper to keep no list of what was reached, and to look
at every sum once in the end.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit
from ecomrec.kernels.ranking import best_first, offer

# A sum that nothing makes positive.
_NEVER = np.float32(-1e30)


@jit
def _add(items, values, first, last, weight, sums):
    """Add one feature to the sums of its items, two at a time: these are distinct."""
    at = first
    while at + 1 < last:
        one, two = items[at], items[at + 1]
        after_one = sums[one] + weight * values[at]
        after_two = sums[two] + weight * values[at + 1]
        sums[one] = after_one
        sums[two] = after_two
        at += 2
    if at < last:
        sums[items[at]] += weight * values[at]


@jit
def _recommend(
    start, stop, indptr, features, weights, store, allowed, candidates, candidate_at, excluded,
    excluded_at, items, scores,
):  # fmt: skip
    starts, counts, posted, values = store
    n_items = len(allowed)
    k = items.shape[1]
    sums = np.zeros(n_items, dtype=np.float32)
    for row in range(start, stop):
        for place in range(indptr[row], indptr[row + 1]):
            first = starts[features[place]]
            _add(posted, values, first, first + counts[features[place]], weights[place], sums)
        for at in range(excluded_at[row], excluded_at[row + 1]):
            sums[excluded[at]] = _NEVER
        size = 0
        # What is not above it cannot be kept; ties with the worst are offered.
        bar = np.float32(0.0)
        if len(candidate_at) > 0:
            for at in range(candidate_at[row], candidate_at[row + 1]):
                item = candidates[at]
                if sums[item] > 0.0 and allowed[item]:
                    size = offer(scores[row], items[row], size, k, sums[item], item)
        else:
            for item in range(n_items):
                score = sums[item]
                if score > bar and allowed[item]:
                    size = offer(scores[row], items[row], size, k, score, item)
                    if size == k:
                        # Items come in the order in which ties fall: an equal one comes too late.
                        bar = scores[row, 0]
        best_first(scores[row], items[row], size)
        for at in range(size, k):
            items[row, at] = -1
            scores[row, at] = np.nan
        sums[:] = 0.0


def recommend(profiles, store, n_items, k, mask, n_jobs):
    """Return the k items whose rows have the largest positive products with each profile.

    Parameters
    ----------
    profiles : tuple of (indptr, features, weights)
        int64, int32 and float32; weights of at least 0.
    store : tuple of (starts, lengths, items, values)
        Items by feature, with values of at least 0, none twice in a row.
    n_items, k : int
    mask : Mask
    n_jobs : int or None
        Threads; the answer does not depend on them.

    Returns
    -------
    items : ndarray of shape (n_rows, k), int32
        -1 behind the last item with a positive product.
    scores : ndarray of shape (n_rows, k), float32
    """
    indptr, features, weights = profiles
    n_rows = len(indptr) - 1
    items = np.empty((n_rows, k), dtype=np.int32)
    scores = np.empty((n_rows, k), dtype=np.float32)
    if len(mask.allowed) == 0:
        mask = mask._replace(allowed=np.ones(n_items, dtype=np.bool_))
    reads = np.concatenate(([0], np.cumsum(store[1][features], dtype=np.int64)))
    run_sharded(
        lambda start, stop: _recommend(
            start, stop, indptr, features, weights, store, *mask, items, scores
        ),
        np.diff(reads[indptr]) + n_items,
        n_jobs,
    )
    return items, scores
