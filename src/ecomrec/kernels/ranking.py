"""The best k of each row: filters, ties by row number, and popular items where scores run out.

Every kernel here ranks by score, highest first, then by row number, lowest first.
"""

from typing import NamedTuple

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit

NOTHING = np.empty(0, dtype=np.int32)
EVERYTHING = np.empty(0, dtype=np.bool_)
NO_OFFSETS = np.empty(0, dtype=np.int64)
_NO_VALUES = np.empty(0, dtype=np.float32)


class Mask(NamedTuple):
    """What the rows of one request may return; an empty array means no such rule.

    Attributes
    ----------
    allowed : ndarray of shape (n_items,), bool
        Shared by all rows.
    candidates, candidate_at : ndarray, int32 and int64
        Row r may only return ``candidates[candidate_at[r] : candidate_at[r + 1]]``, none twice.
    excluded, excluded_at : ndarray, int32 and int64
        Row r never returns ``excluded[excluded_at[r] : excluded_at[r + 1]]``.
    """

    allowed: np.ndarray
    candidates: np.ndarray
    candidate_at: np.ndarray
    excluded: np.ndarray
    excluded_at: np.ndarray


@jit
def worse(score, item, other_score, other_item):
    """Whether (score, item) ranks behind (other_score, other_item)."""
    return score < other_score or (score == other_score and item > other_item)


@jit
def sift_down(scores, items, size, at):
    """Restore the heap (the worst of the kept on top) below a place that was replaced."""
    score, item = scores[at], items[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and worse(scores[right], items[right], scores[child], items[child]):
            child = right
        if not worse(scores[child], items[child], score, item):
            break
        scores[at], items[at] = scores[child], items[child]
        at = child
    scores[at], items[at] = score, item


@jit
def offer(scores, items, size, limit, score, item):
    """Offer one more candidate to a heap of at most `limit`; return its new size."""
    if size < limit:
        at = size
        while at > 0:
            parent = (at - 1) // 2
            if not worse(score, item, scores[parent], items[parent]):
                break
            scores[at], items[at] = scores[parent], items[parent]
            at = parent
        scores[at], items[at] = score, item
        return size + 1
    if worse(scores[0], items[0], score, item):
        scores[0], items[0] = score, item
        sift_down(scores, items, size, 0)
    return size


@jit
def best_first(scores, items, size):
    """Turn a heap into a list, best first."""
    for last in range(size - 1, 0, -1):
        scores[0], scores[last] = scores[last], scores[0]
        items[0], items[last] = items[last], items[0]
        sift_down(scores, items, last, 0)


@jit
def keep_best(scores, items, size, k):
    """Move the best k of `size` candidates to the front, in no order (quickselect)."""
    low, high = 0, size - 1
    while low < high:
        middle = (low + high) // 2
        score, item = scores[middle], items[middle]
        left, right = low, high
        while left <= right:
            while worse(score, item, scores[left], items[left]):
                left += 1
            while worse(scores[right], items[right], score, item):
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                items[left], items[right] = items[right], items[left]
                left += 1
                right -= 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            return


@jit
def sort_best_first(scores, items, size):
    """Sort candidates, best first (heap sort)."""
    for root in range(size // 2 - 1, -1, -1):
        sift_down(scores, items, size, root)
    best_first(scores, items, size)


@jit
def _top_k(
    start, stop, block, allowed, candidates, candidate_at, excluded, excluded_at, items, scores
):
    n_items = block.shape[1]
    k = items.shape[1]
    hidden = np.zeros(n_items, dtype=np.bool_)
    for row in range(start, stop):
        row_scores = block[row]
        for at in range(excluded_at[row], excluded_at[row + 1]):
            hidden[excluded[at]] = True
        size = 0
        if len(candidate_at) > 0:
            for at in range(candidate_at[row], candidate_at[row + 1]):
                item = candidates[at]
                if hidden[item] or (len(allowed) > 0 and not allowed[item]):
                    continue
                if row_scores[item] == row_scores[item]:
                    size = offer(scores[row], items[row], size, k, row_scores[item], item)
        else:
            for item in range(n_items):
                score = row_scores[item]
                if size == k and not score > scores[row, 0]:
                    continue
                if hidden[item] or (len(allowed) > 0 and not allowed[item]) or score != score:
                    continue
                size = offer(scores[row], items[row], size, k, score, item)
        best_first(scores[row], items[row], size)
        for at in range(size, k):
            items[row, at] = -1
            scores[row, at] = np.nan
        for at in range(excluded_at[row], excluded_at[row + 1]):
            hidden[excluded[at]] = False


def top_k(block, k, mask, n_jobs=1):
    """Return the best k items of each row of scores.

    Parameters
    ----------
    block : ndarray of shape (n_rows, n_items), float32
        NaN marks an item without evidence, which is never returned.
    k : int
    mask : Mask
        What may be returned.
    n_jobs : int or None

    Returns
    -------
    items : ndarray of shape (n_rows, k), int32
        -1 behind the last eligible item.
    scores : ndarray of shape (n_rows, k), float32
        NaN behind the last eligible item.
    """
    block = np.ascontiguousarray(block, dtype=np.float32)
    n_rows, n_items = block.shape
    items = np.empty((n_rows, k), dtype=np.int32)
    scores = np.empty((n_rows, k), dtype=np.float32)
    run_sharded(
        lambda start, stop: _top_k(start, stop, block, *mask, items, scores),
        np.full(n_rows, n_items),
        n_jobs,
    )
    return items, scores


@jit
def _fill(
    rows,
    order,
    n_items,
    values,
    allowed,
    candidates,
    candidate_at,
    excluded,
    excluded_at,
    items,
    scores,
):
    k = items.shape[1]
    # 1: a candidate; 2: taken or excluded.
    mark = np.zeros(n_items, dtype=np.int8)
    for row in rows:
        size = 0
        while size < k and items[row, size] >= 0:
            mark[items[row, size]] = 2
            size += 1
        floor = np.float32(0.0)
        if size > 0 and scores[row, size - 1] < 0:
            floor = scores[row, size - 1]
        for at in range(excluded_at[row], excluded_at[row + 1]):
            mark[excluded[at]] = 2
        if len(candidate_at) > 0:
            for at in range(candidate_at[row], candidate_at[row + 1]):
                if mark[candidates[at]] == 0:
                    mark[candidates[at]] = 1
        for item in order:
            if size == k:
                break
            if mark[item] == 2 or (len(allowed) > 0 and not allowed[item]):
                continue
            if len(candidate_at) > 0 and mark[item] != 1:
                continue
            items[row, size] = item
            scores[row, size] = values[item] if len(values) > 0 else floor
            size += 1
        for at in range(size):
            mark[items[row, at]] = 0
        for at in range(excluded_at[row], excluded_at[row + 1]):
            mark[excluded[at]] = 0
        if len(candidate_at) > 0:
            for at in range(candidate_at[row], candidate_at[row + 1]):
                mark[candidates[at]] = 0


def fill_by_popularity(items, scores, order, mask, open_rows=True):
    """Fill short rows, in place, with the most popular eligible items at score 0.

    Where the last score is negative the filling takes that score instead: scores never rise.

    Parameters
    ----------
    items, scores : ndarray of shape (n_rows, k), int32 and float32
    order : ndarray of shape (n_items,), int32
        Items by popularity.
    mask : Mask
    open_rows : ndarray of shape (n_rows,), bool, or True
        Rows that may be filled.
    """
    rows = np.flatnonzero((items[:, -1] < 0) & open_rows)
    if len(rows):
        _fill(rows, order, len(order), _NO_VALUES, *mask, items, scores)


def take_in_order(order, values, rows, k, mask, items, scores):
    """Give some rows, in place, the first k eligible items of an order, with their values.

    Parameters
    ----------
    order : ndarray of shape (n,), int32
        Items, best first; those left out are never taken.
    values : ndarray of shape (n_items,), float32
    rows : ndarray, int64
    k : int
    mask : Mask
    items, scores : ndarray of shape (n_rows, k), int32 and float32
        Filled with -1 and NaN.
    """
    _fill(rows, order, len(values), values, *mask, items, scores)


def no_rows(n_rows):
    """Return offsets of empty rows (int64)."""
    return np.zeros(n_rows + 1, dtype=np.int64)


def hiding(items, offsets):
    """Return the mask of rows that may return anything but their own items."""
    return Mask(EVERYTHING, NOTHING, NO_OFFSETS, items, offsets)


def no_mask(n_rows):
    """Return the mask of rows that may return anything."""
    return hiding(NOTHING, no_rows(n_rows))


def slice_mask(mask, rows):
    """Return the mask of some neighbouring rows."""
    offsets = slice(rows.start, rows.stop + 1)
    return mask._replace(
        candidate_at=mask.candidate_at[offsets] if len(mask.candidate_at) else NO_OFFSETS,
        excluded_at=mask.excluded_at[offsets],
    )
