"""Gram matrices of items, what linear models make of them, and scores from dense weights.

Rows lie in `RowStore` form: `starts`, `lengths`, indices (rising within each row) and values.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit

# Side of the square blocks in which a triangle is mirrored, and columns of scores at a time.
_TILE = 64
_WIDTH = 1024


@jit
def _first_from(indices, first, last, item):
    """Place of the first index of a rising row that is not below `item`."""
    while first < last:
        middle = (first + last) // 2
        if indices[middle] < item:
            first = middle + 1
        else:
            last = middle
    return first


@jit
def _gram(start, stop, mine, other, unit, feature_weights, item_factors, matrix):
    starts, counts, features, weights = mine
    other_starts, other_counts, items, values = other
    # Where each feature's items go on: items come in turn, so each is met when it is next.
    following = np.empty(len(other_starts), dtype=np.int64)
    for feature in range(len(other_starts)):
        begin = other_starts[feature]
        following[feature] = _first_from(items, begin, begin + other_counts[feature], start)
    for item in range(start, stop):
        row = matrix[item]
        row[:] = 0.0
        for at in range(starts[item], starts[item] + counts[item]):
            feature = features[at]
            first = following[feature]
            following[feature] = first + 1
            if weights[at] <= 0:
                continue
            weight = np.float32(weights[at] * feature_weights[feature])
            last = other_starts[feature] + other_counts[feature]
            if unit:
                for place in range(first, last):
                    row[items[place]] += weight
            else:
                for place in range(first, last):
                    row[items[place]] += weight * max(values[place], np.float32(0.0))
        for column in range(item, len(row)):
            row[column] *= item_factors[item] * item_factors[column]


def gram(mine, other, feature_weights, item_factors, n_jobs=1, *, unit=False):
    """Return weighted co-occurrence ``f_i f_j sum_u a_u w_ui w_uj``: the upper triangle, dense.

    Parameters
    ----------
    mine, other : tuple of (starts, lengths, indices, values)
        Items by user, and users by item; what is not positive counts as 0.
    feature_weights : ndarray of shape (n_users,)
        The a_u.
    item_factors : ndarray of shape (n_items,)
        The f_i.
    n_jobs : int or None
    unit : bool
        Every value is 1: they are not read.

    Returns
    -------
    ndarray of shape (n_items, n_items), float32
        Zero below the diagonal.
    """
    n_items = len(mine[0])
    matrix = np.empty((n_items, n_items), dtype=np.float32)
    feature_weights = np.ascontiguousarray(feature_weights, dtype=np.float32)
    item_factors = np.ascontiguousarray(item_factors, dtype=np.float32)
    # What cannot be negative needs no look whether it counts from the end: a quarter faster.
    unsigned = (*other[:2], other[2].view(np.uint32), other[3])
    run_sharded(
        lambda start, stop: _gram(
            start, stop, mine, unsigned, unit, feature_weights, item_factors, matrix
        ),
        gram_work(mine, other) + n_items,
        n_jobs,
    )
    return matrix


@jit
def _gram_work(mine, other_counts, work):
    starts, counts, features, _ = mine
    for item in range(len(starts)):
        total = 0
        for at in range(starts[item], starts[item] + counts[item]):
            total += other_counts[features[at]]
        work[item] = total


def gram_work(mine, other):
    """Entries that the users of each item have: int64 of shape (n_items,)."""
    work = np.empty(len(mine[0]), dtype=np.int64)
    _gram_work(mine, other[1], work)
    return work


@jit
def _mirror_scaled(start, stop, matrix, left, right):
    n = len(matrix)
    for block in range(start, stop):
        top = block * _TILE
        for side in range(top, n, _TILE):
            for row in range(top, min(top + _TILE, n)):
                for column in range(max(side, row + 1), min(side + _TILE, n)):
                    value = matrix[row, column]
                    matrix[row, column] = value * left[row] * right[column]
                    matrix[column, row] = value * left[column] * right[row]
        for row in range(top, min(top + _TILE, n)):
            matrix[row, row] *= left[row] * right[row]


def mirror_scaled(matrix, left, right, n_jobs=1):
    """Turn the upper triangle of a symmetric S into ``left_i S_ij right_j`` everywhere, in place.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32
    left, right : ndarray of shape (n,)
    n_jobs : int or None
    """
    n_blocks = -(-len(matrix) // _TILE)
    left = np.ascontiguousarray(left, dtype=np.float32)
    right = np.ascontiguousarray(right, dtype=np.float32)
    run_sharded(
        lambda start, stop: _mirror_scaled(start, stop, matrix, left, right),
        np.arange(n_blocks, 0, -1) * (2 * _TILE * _TILE),
        n_jobs,
    )


@jit
def _dense_scores(start, stop, indptr, profile, weights, matrix, block):
    n_items = matrix.shape[1]
    # A strip of columns at a time: the rows of popular items stay in the cache.
    for first in range(0, n_items, _WIDTH):
        last = min(first + _WIDTH, n_items)
        for row in range(start, stop):
            sums = block[row, first:last]
            sums[:] = 0.0
            for place in range(indptr[row], indptr[row + 1]):
                weight = weights[place]
                if weight > 0:
                    values = matrix[profile[place], first:last]
                    for at in range(len(sums)):
                        sums[at] += weight * values[at]
            for at in range(len(sums)):
                if not sums[at] > 0.0:
                    sums[at] = np.nan


def dense_scores(profiles, matrix, n_jobs=1):
    """Sum the rows of a dense matrix for each profile.

    Parameters
    ----------
    profiles : tuple of (indptr, items, weights)
        Row r adds up ``weights[p] * matrix[items[p]]`` over its places p of positive weight.
    matrix : ndarray of shape (n_items, n_items), float32
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n_rows, n_items), float32
        NaN where the sum is not positive.
    """
    indptr, items, weights = profiles
    block = np.empty((len(indptr) - 1, matrix.shape[1]), dtype=np.float32)
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    run_sharded(
        lambda start, stop: _dense_scores(start, stop, indptr, items, weights, matrix, block),
        (np.diff(indptr) + 1) * (matrix.shape[1] // 4 + 1),
        n_jobs,
    )
    return block


@jit
def _gathered_row(indices, values, first, last, members, places, found):
    """Write the entries of a rising row at some members; 0 where there is none."""
    found[:] = 0.0
    if (last - first) > 8 * len(members):
        for at in range(len(members)):
            place = _first_from(indices, first, last, members[at])
            if place < last and indices[place] == members[at]:
                found[at] = values[place]
    else:
        for place in range(first, last):
            at = places[indices[place]]
            if at >= 0:
                found[at] = values[place]


@jit
def _elastic_net(
    start, stop, indptr, indices, values, diagonal, candidate_at, candidates, wanted,
    l1, l2, max_iter, tol, n_kept, out_at, out_items, out_weights, out_counts,
):  # fmt: skip
    longest = 0
    for target in range(start, stop):
        longest = max(longest, candidate_at[target + 1] - candidate_at[target])
    places = np.full(len(diagonal), -1, dtype=np.int32)
    rows = np.empty((longest, longest), dtype=np.float32)
    for target in range(start, stop):
        members = candidates[candidate_at[target] : candidate_at[target + 1]]
        n = len(members)
        # What each candidate would still explain: g - G w, without its own part.
        gradient = wanted[candidate_at[target] : candidate_at[target + 1]].copy()
        known = np.zeros(n, dtype=np.bool_)
        solution = np.zeros(n, dtype=np.float32)
        for at in range(n):
            places[members[at]] = at
        for _ in range(max_iter):
            largest = np.float32(0.0)
            for at in range(n):
                own = diagonal[members[at]]
                before = solution[at]
                after = max(gradient[at] + own * before - l1, np.float32(0.0)) / (own + l2)
                if after == before:
                    continue
                if not known[at]:
                    item = members[at]
                    _gathered_row(
                        indices, values, indptr[item], indptr[item + 1], members, places,
                        rows[at, :n],
                    )  # fmt: skip
                    rows[at, at] = own
                    known[at] = True
                solution[at] = after
                change = after - before
                row = rows[at, :n]
                for other in range(n):
                    gradient[other] -= change * row[other]
                largest = max(largest, abs(change))
            if largest <= tol:
                break
        for at in range(n):
            places[members[at]] = -1
        order = np.argsort(-solution, kind="mergesort")
        size = 0
        while size < min(n, n_kept) and solution[order[size]] > 0:
            size += 1
        chosen = np.sort(order[:size])
        for at in range(size):
            out_items[out_at[target] + at] = members[chosen[at]]
            out_weights[out_at[target] + at] = solution[chosen[at]]
        out_counts[target] = size


def elastic_net(gram_rows, diagonal, candidate_rows, l1, l2, max_iter, tol, n_kept, n_jobs=1):
    """Non-negative elastic net of each item on its candidates, by coordinate descent.

    Minimises ``w' G w / 2 - g' w + l2 |w|^2 / 2 + l1 |w|_1`` over w >= 0 for each target, where G
    and g are entries of the Gram matrix at the candidates.

    Parameters
    ----------
    gram_rows : tuple of (indptr, indices, values)
        Symmetric Gram matrix without its diagonal, rows rising; what is not stored is 0.
    diagonal : ndarray of shape (n_items,), float32
    candidate_rows : tuple of (indptr, items, values)
        For each target its candidates, in the order of the sweeps, without the target, and their
        Gram entries with it.
    l1, l2 : float
    max_iter : int
    tol : float
        Sweeps end when no weight moved by more.
    n_kept : int
        At most so many weights are kept for a target, the largest.
    n_jobs : int or None

    Returns
    -------
    indptr, items, weights : ndarray, int64, int32, float32
        Positive weights of each target's candidates, in their order.
    """
    indptr, indices, values = gram_rows
    candidate_at, candidates, wanted = candidate_rows
    sizes = np.diff(candidate_at)
    out_at = np.concatenate(([0], np.cumsum(np.minimum(sizes, n_kept)))).astype(np.int64)
    items = np.empty(out_at[-1], dtype=np.int32)
    weights = np.empty(out_at[-1], dtype=np.float32)
    counts = np.zeros(len(sizes), dtype=np.int64)
    run_sharded(
        lambda start, stop: _elastic_net(
            start, stop, indptr, indices, values, diagonal, candidate_at, candidates, wanted,
            np.float32(l1), np.float32(l2), max_iter, np.float32(tol), n_kept, out_at, items,
            weights, counts,
        ),
        sizes * 500.0 + 1,
        n_jobs,
    )  # fmt: skip
    keep = np.arange(out_at[-1]) < np.repeat(out_at[:-1] + counts, np.diff(out_at))
    kept = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return kept, items[keep], weights[keep]
