"""Similar rows of a sparse matrix, a row at a time, and recommendations made from them.

"Entities" are what is compared (items for item-based models, users for user-based ones),
"features" are what they are compared by (the other side). Rows of both lie in `RowStore` form:
`starts`, `lengths`, indices and values. Shared features are always added up in the same order and
the same way from both sides, so that a row computed after an update equals the same row computed
in a fit.
"""

from typing import NamedTuple

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels import assemble
from ecomrec.kernels._jit import jit
from ecomrec.kernels.ranking import best_first, keep_best, offer

# How a weight w of an entity counts: as it is, 1, w ** exponent, or saturating (BM25).
RAW, BINARY, POWER, BM25 = 0, 1, 2, 3
# What the sum over shared features is divided by.
PRODUCT, UNION = 0, 1


@jit
def _strength(form, weight, exponent, k1, length):
    if form == BINARY:
        return 1.0
    if form == POWER:
        return weight**exponent
    if form == BM25:
        return weight * (k1 + 1.0) / (k1 * length + weight)
    return weight


@jit
def _factors(feature_ids, weights, roots, form, exponent, k1, length, scale, factors):
    """What each of an entity's weights brings to a shared feature: root(feature) * strength."""
    for at in range(len(feature_ids)):
        weight = weights[at] * scale
        factors[at] = 0.0
        if weight > 0:
            factors[at] = roots[feature_ids[at]] * _strength(form, weight, exponent, k1, length)


@jit
def _add_segment(entities, factors, first, last, mine, unit, sums, touched, n_touched):
    """Add one shared feature to the sums of the entities in a segment; return how many it touched.

    No branch: a mispredicted one costs more than a useless store. Two entries at a time: entities
    of one feature are distinct, so neither waits for the other.
    """
    at = first
    while at + 1 < last:
        one, two = entities[at], entities[at + 1]
        before_one, before_two = sums[one], sums[two]
        after_one = before_one + (mine if unit else mine * factors[at])
        after_two = before_two + (mine if unit else mine * factors[at + 1])
        sums[one] = after_one
        sums[two] = after_two
        touched[n_touched] = one
        n_touched += (before_one == 0.0) & (after_one != 0.0)
        touched[n_touched] = two
        n_touched += (before_two == 0.0) & (after_two != 0.0)
        at += 2
    if at < last:
        one = entities[at]
        before_one = sums[one]
        after_one = before_one + (mine if unit else mine * factors[at])
        sums[one] = after_one
        touched[n_touched] = one
        n_touched += (before_one == 0.0) & (after_one != 0.0)
    return n_touched


@jit
def _best_keys_first(keys, size, k):
    """Move the k largest of `size` keys to the front, in no order (quickselect)."""
    low, high = 0, size - 1
    while low < high:
        pivot = keys[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while keys[left] > pivot:
                left += 1
            while keys[right] < pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left += 1
                right -= 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            return


# A key is the bits of a positive float32, which rise with it, above the place from the end in rank
# order: of two keys the larger one is the better neighbour, ties and all.
_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@jit
def _key(value, rank):
    bits = np.uint64(np.float32(value).view(np.uint32))
    return (bits << _HALF) | (_LOW_HALF - np.uint64(rank))


@jit
def _write_row(keys, size, n_kept, ordered, power, by_rank, entities, values):
    """Write the best of `size` keys as neighbours; return how many there are."""
    if size > n_kept:
        _best_keys_first(keys, size, n_kept)
        size = n_kept
    if ordered:
        keys[:size] = np.sort(keys[:size])[::-1]
    for at in range(size):
        entities[at] = by_rank[_LOW_HALF - (keys[at] & _LOW_HALF)]
        value = np.uint32(keys[at] >> _HALF).view(np.float32)
        values[at] = value if power == 1.0 else value**power
    return size


@jit
def _dot_rows(
    start, stop, rows, selves, own_norms, own_lengths, mine, other, factors, unit, roots,
    form, exponent, k1, scale, other_norms, coarse_norms, shrink, rule, power, rank, by_rank,
    feature_rank, ordered, n_kept, out_at, out_entities, out_values, out_counts,
):  # fmt: skip
    starts, counts, features, weights = mine
    other_starts, other_counts, entities, _ = other
    n_entities = len(other_norms)
    sums = np.zeros(n_entities, dtype=np.float32)
    touched = np.empty(n_entities + 2, dtype=np.int32)
    longest = 0
    for position in range(start, stop):
        longest = max(longest, counts[rows[position]])
    own_factors = np.empty(longest, dtype=np.float32)
    keys = np.empty(2 * n_kept, dtype=np.uint64)
    for position in range(start, stop):
        row = rows[position]
        first, last = starts[row], starts[row] + counts[row]
        own_features = features[first:last]
        _factors(
            own_features, weights[first:last], roots, form, exponent, k1, own_lengths[position],
            scale, own_factors,
        )  # fmt: skip
        n_touched = 0
        # Always in the same order of features: sums, and so ties, do not depend on who came first.
        order = np.arange(last - first)
        if len(feature_rank) > 0:
            order = np.argsort(feature_rank[own_features])
        for at in order:
            if own_factors[at] > 0.0:
                feature = own_features[at]
                segment = other_starts[feature]
                end = segment + other_counts[feature]
                factor = roots[feature] if unit else own_factors[at]
                n_touched = _add_segment(
                    entities, factors, segment, end, factor, unit, sums, touched, n_touched
                )
        if selves[position] >= 0:
            sums[selves[position]] = 0.0
        own = own_norms[position]
        size = 0
        floor = np.uint64(0)
        # Slightly below what it takes to be kept: most pairs fail it, without a division.
        bar = 0.0
        for at in range(n_touched):
            entity = touched[at]
            shared = np.float64(sums[entity])
            sums[entity] = 0.0
            if shared < bar * (own * coarse_norms[entity] + shrink):
                continue
            if rule == UNION:
                value = shared / (own + other_norms[entity] - shared + shrink)
            else:
                value = shared / (own * other_norms[entity] + shrink)
            key = _key(value, rank[entity])
            if key < floor or key <= _LOW_HALF:
                continue
            keys[size] = key
            size += 1
            if size == 2 * n_kept:
                _best_keys_first(keys, size, n_kept)
                size = n_kept
                floor = keys[:size].min()
                if rule != UNION:
                    bar = 0.9999 * np.uint32(floor >> _HALF).view(np.float32)
        target = out_at[position]
        out_counts[position] = _write_row(
            keys, size, n_kept, ordered, power, by_rank, out_entities[target:], out_values[target:]
        )


@jit
def _row_work(rows, starts, counts, features, feature_counts, work):
    for position in range(len(rows)):
        row = rows[position]
        total = 0
        for at in range(starts[row], starts[row] + counts[row]):
            total += feature_counts[features[at]]
        work[position] = total


def row_work(rows, mine, other):
    """Multiply-adds that each row costs: entries of all its features (int64)."""
    work = np.empty(len(rows), dtype=np.int64)
    _row_work(rows, mine[0], mine[1], mine[2], other[1], work)
    return work


@jit
def _prune_columns(start, stop, indptr, rows, values, places, n_kept, keep):
    widest = 0
    for column in range(start, stop):
        widest = max(widest, indptr[column + 1] - indptr[column])
    best = np.empty(widest, dtype=np.int64)
    best_values = np.empty(widest, dtype=np.float32)
    for column in range(start, stop):
        first = indptr[column]
        size = indptr[column + 1] - first
        for at in range(size):
            # Rows come in rank order: an earlier place wins a tie.
            best[at] = first + at
            best_values[at] = values[first + at]
        if size > n_kept:
            keep_best(best_values, best, size, n_kept)
            size = n_kept
        for at in range(size):
            keep[places[best[at]]] = True


def prune_columns(indptr, entities, values, rank, n_kept, n_jobs):
    """Keep an entry only if it is also among the best `n_kept` of its column.

    Parameters
    ----------
    indptr, entities, values : ndarray, int64, int32, float32
        A square matrix by rows.
    rank : ndarray of shape (n,), int32
        A permutation: the row with the lower one wins a tie.
    n_kept : int
    n_jobs : int or None

    Returns
    -------
    Rows
    """
    n = len(indptr) - 1
    row_of = np.repeat(np.arange(n), np.diff(indptr))
    by_rank = np.argsort(rank[row_of], kind="stable")
    column_at, order = assemble.group_by_row(entities[by_rank], n)
    places = by_rank[order]
    keep = np.zeros(len(entities), dtype=np.bool_)
    run_sharded(
        lambda start, stop: _prune_columns(
            start, stop, column_at, row_of[places], values[places], places, n_kept, keep
        ),
        np.diff(column_at) * 10,
        n_jobs,
    )
    lengths = np.bincount(row_of[keep], minlength=n)
    return Rows(assemble.offsets(lengths), entities[keep], values[keep])


class Comparison(NamedTuple):
    """How two entities are compared: everything but the entities themselves.

    Attributes
    ----------
    feature_weights : ndarray of shape (n_features,), float64
    form, exponent, k1 : int, float, float
        How a weight counts: `RAW`, `BINARY`, `POWER` (weight ** exponent) or `BM25` (k1).
    lengths : ndarray of shape (n_entities,), float64
        Relative lengths of the entities, for `BM25`.
    scale : float
        Factor on every stored weight.
    unit : bool
        Every weight counts as 1: the values of `other` are not read.
    other_norms : ndarray of shape (n_entities,), float64
    shrink, rule, power : float, int, float
        ``(shared / (own * other + shrink)) ** power``, or Jaccard's union for `UNION`.
    """

    feature_weights: np.ndarray
    form: int
    exponent: float
    k1: float
    lengths: np.ndarray
    scale: float
    unit: bool
    other_norms: np.ndarray
    shrink: float
    rule: int
    power: float


class Rows(NamedTuple):
    """Neighbours by row: row r is ``entities[indptr[r] : indptr[r + 1]]``, values beside them."""

    indptr: np.ndarray
    entities: np.ndarray
    values: np.ndarray


@jit
def _other_factors(
    start, stop, starts, counts, entities, values, roots, form, exponent, k1, lengths, scale,
    factors,
):  # fmt: skip
    for feature in range(start, stop):
        for at in range(starts[feature], starts[feature] + counts[feature]):
            weight = values[at] * scale
            factors[at] = 0.0
            if weight > 0:
                factors[at] = roots[feature] * _strength(
                    form, weight, exponent, k1, lengths[entities[at]]
                )


def _prepared(other, how, n_jobs):
    """Roots of the feature weights (float32), and what each stored weight brings.

    If every weight counts as 1: the feature weights, and nothing. Otherwise a pair's sum is made
    of ``(root * one) * (root * other)``, so it is the same from both sides.
    """
    if how.unit:
        return how.feature_weights.astype(np.float32), np.empty(0, dtype=np.float32)
    roots = np.sqrt(how.feature_weights).astype(np.float32)
    starts, counts, entities, values = other
    factors = np.empty(len(values), dtype=np.float32)
    run_sharded(
        lambda start, stop: _other_factors(
            start, stop, starts, counts, entities, values, roots, how.form, how.exponent, how.k1,
            how.lengths, how.scale, factors,
        ),
        counts,
        n_jobs,
    )  # fmt: skip
    return roots, factors


def dot_rows(
    rows, selves, own_norms, own_lengths, mine, other, comparison, n_neighbors, rank, *,
    feature_rank=None, ordered=False, n_jobs=1,
):  # fmt: skip
    """Find the entities most similar to each of some rows.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), int64
        Rows of `mine`.
    selves : ndarray of shape (n_rows,), int64
        The entity that is never its own neighbour; -1 for none.
    own_norms, own_lengths : ndarray of shape (n_rows,), float64
    mine, other : tuple of (starts, lengths, indices, values)
        Entities by feature, and features by entity.
    comparison : Comparison
    n_neighbors : int
        At most so many are kept for each row.
    rank : ndarray of shape (n_entities,), int32
        A permutation: the lower wins a tie.
    feature_rank : ndarray of shape (n_features,), int32, optional
        Order in which features are added up; as they are stored if None.
    ordered : bool
        Best first within each row.
    n_jobs : int or None

    Returns
    -------
    Rows
        int64, int32 and float32; values are positive.
    """
    n_neighbors = max(1, min(n_neighbors, len(rank)))
    work = row_work(rows, mine, other)
    out_at = assemble.offsets(np.minimum(work, n_neighbors))
    entities = np.empty(out_at[-1], dtype=np.int32)
    values = np.empty(out_at[-1], dtype=np.float32)
    counts = np.zeros(len(rows), dtype=np.int64)
    how = comparison
    roots, factors = _prepared(other, how, n_jobs)
    coarse_norms = np.minimum(how.other_norms, np.finfo(np.float32).max).astype(np.float32)
    by_rank = assemble.inverse(rank)
    feature_rank = np.empty(0, dtype=np.int32) if feature_rank is None else feature_rank
    run_sharded(
        lambda start, stop: _dot_rows(
            start, stop, rows, selves, own_norms, own_lengths, mine, other, factors, how.unit,
            roots, how.form, how.exponent, how.k1, how.scale, how.other_norms, coarse_norms,
            how.shrink, how.rule, how.power, rank, by_rank, feature_rank, ordered, n_neighbors,
            out_at, entities, values, counts,
        ),
        work,
        n_jobs,
    )  # fmt: skip
    indptr = assemble.compact(out_at, counts, [entities, values])
    return Rows(indptr, entities[: indptr[-1]], values[: indptr[-1]])


@jit
def _row_sums(rows, mine, feature_weights, form, exponent, k1, lengths, scale, squared, sums):
    starts, counts, features, weights = mine
    for position in range(len(rows)):
        row = rows[position]
        total = 0.0
        for at in range(starts[row], starts[row] + counts[row]):
            if weights[at] > 0:
                strength = _strength(form, weights[at] * scale, exponent, k1, lengths[row])
                factor = strength * strength if squared else strength
                total += feature_weights[features[at]] * factor
        sums[position] = total


def row_sums(
    rows, mine, feature_weights, *, form=RAW, exponent=1.0, k1=1.0, lengths=None, scale=1.0,
    squared=False,
):  # fmt: skip
    """Sum what each row's positive weights count for, weighted by feature: float64 per row."""
    sums = np.empty(len(rows), dtype=np.float64)
    lengths = np.ones(len(mine[0])) if lengths is None else lengths
    _row_sums(rows, mine, feature_weights, form, exponent, k1, lengths, scale, squared, sums)
    return sums


def cosine_rows(mine, other, rows, k):
    """Plain cosine neighbours of some rows, best first: a `Rows`."""
    ones = np.ones(len(other[0]))
    everyone = np.arange(len(mine[0]))
    norms = np.sqrt(row_sums(everyone, mine, ones, squared=True))
    comparison = Comparison(
        ones, RAW, 1.0, 1.0, norms, 1.0, False, np.maximum(norms, 1e-300), 0.0, PRODUCT, 1.0
    )
    rank = everyone.astype(np.int32)
    return dot_rows(
        rows, rows, norms[rows], norms[rows], mine, other, comparison, k, rank, ordered=True
    )


@jit
def _mark(entities, features, mine, other, feature_done, marked):
    starts, counts, indices, _ = mine
    other_starts, other_counts, other_indices, _ = other
    for feature in features:
        if not feature_done[feature]:
            feature_done[feature] = True
            for at in range(other_starts[feature], other_starts[feature] + other_counts[feature]):
                marked[other_indices[at]] = True
    for entity in entities:
        marked[entity] = True
        for place in range(starts[entity], starts[entity] + counts[entity]):
            feature = indices[place]
            if feature_done[feature]:
                continue
            feature_done[feature] = True
            for at in range(other_starts[feature], other_starts[feature] + other_counts[feature]):
                marked[other_indices[at]] = True


def mark_touched(entities, features, mine, other, marked):
    """Mark, in place, every entity that shares a feature with one that changed.

    Parameters
    ----------
    entities, features : ndarray, int64
        Whose own sums changed. Every feature is read once at most.
    mine, other : tuple of (starts, lengths, indices, values)
    marked : ndarray of shape (n_entities,), bool
    """
    done = np.zeros(len(other[0]), dtype=np.bool_)
    _mark(entities, features, mine, other, done, marked)


@jit
def _recommend(
    start, stop, indptr, profile, weights, store, allowed, candidates, candidate_at, excluded,
    excluded_at, items, scores,
):  # fmt: skip
    starts, counts, neighbours, values = store
    n_items = len(allowed)
    k = items.shape[1]
    sums = np.zeros(n_items, dtype=np.float32)
    touched = np.empty(n_items + 1, dtype=np.int32)
    for row in range(start, stop):
        n_touched = 0
        for place in range(indptr[row], indptr[row + 1]):
            weight = weights[place]
            if weight <= 0:
                continue
            entity = profile[place]
            for at in range(starts[entity], starts[entity] + counts[entity]):
                value = max(values[at], np.float32(0.0))
                item = neighbours[at]
                before = sums[item]
                after = before + weight * value
                touched[n_touched] = item
                n_touched += (before == 0.0) & (after != 0.0)
                sums[item] = after
        for at in range(excluded_at[row], excluded_at[row + 1]):
            # Touched or not: it is skipped below and cleared at the end.
            sums[excluded[at]] = -1.0
        size = 0
        if len(candidate_at) > 0:
            for at in range(candidate_at[row], candidate_at[row + 1]):
                item = candidates[at]
                if sums[item] > 0.0 and allowed[item]:
                    size = offer(scores[row], items[row], size, k, sums[item], item)
        else:
            for at in range(n_touched):
                item = touched[at]
                score = sums[item]
                if score <= 0.0 or (size == k and score < scores[row, 0]) or not allowed[item]:
                    continue
                size = offer(scores[row], items[row], size, k, score, item)
        best_first(scores[row], items[row], size)
        for at in range(size, k):
            items[row, at] = -1
            scores[row, at] = np.nan
        for at in range(n_touched):
            sums[touched[at]] = 0.0
        for at in range(excluded_at[row], excluded_at[row + 1]):
            sums[excluded[at]] = 0.0


def recommend(profiles, store, n_items, k, mask, n_jobs):
    """Sum the rows of a store for each profile and return the best k items, in one pass.

    Parameters
    ----------
    profiles : tuple of (indptr, entities, weights)
        Row r adds up ``weights[p] * store[entities[p]]`` over its places p.
    store : tuple of (starts, lengths, indices, values)
        Rows of positive values over items.
    n_items, k : int
    mask : Mask
    n_jobs : int or None

    Returns
    -------
    items : ndarray of shape (n_rows, k), int32
        -1 behind the last item with a positive score.
    scores : ndarray of shape (n_rows, k), float32
    """
    indptr, entities, weights = profiles
    n_rows = len(indptr) - 1
    items = np.empty((n_rows, k), dtype=np.int32)
    scores = np.empty((n_rows, k), dtype=np.float32)
    if len(mask.allowed) == 0:
        mask = mask._replace(allowed=np.ones(n_items, dtype=np.bool_))
    if n_rows == 1:
        _recommend(0, 1, indptr, entities, weights, store, *mask, items, scores)
        return items, scores
    reads = np.concatenate(([0], np.cumsum(store[1][entities])))
    work = np.diff(reads[indptr]) + 50
    run_sharded(
        lambda start, stop: _recommend(
            start, stop, indptr, entities, weights, store, *mask, items, scores
        ),
        work,
        n_jobs,
    )
    return items, scores


@jit
def _scores(start, stop, indptr, profile, weights, store, block):
    starts, counts, neighbours, values = store
    for row in range(start, stop):
        for place in range(indptr[row], indptr[row + 1]):
            weight = max(weights[place], np.float32(0.0))
            entity = profile[place]
            for at in range(starts[entity], starts[entity] + counts[entity]):
                block[row, neighbours[at]] += weight * max(values[at], np.float32(0.0))
        for item in range(block.shape[1]):
            if block[row, item] == 0.0:
                block[row, item] = np.nan


def scores(profiles, store, n_items, n_jobs):
    """Sum the rows of a store for each profile, as `recommend` does, and return all of it.

    Returns
    -------
    ndarray of shape (n_rows, n_items), float32
        NaN where nothing was added up.
    """
    indptr, entities, weights = profiles
    block = np.zeros((len(indptr) - 1, n_items), dtype=np.float32)
    run_sharded(
        lambda start, stop: _scores(start, stop, indptr, entities, weights, store, block),
        np.full(len(block), n_items),
        n_jobs,
    )
    return block
