"""Similar rows of a sparse matrix, a row at a time, and recommendations made from them.

"Entities" are what is compared (items for item-based models, users for user-based ones), "features"
are what they are compared by (the other side). Rows of both lie in `RowStore` form: `starts`,
`lengths`, indices and values. Sums are float64 and are rounded to float32 before they are compared,
so that a row computed after an update equals the same row computed in a fit.
"""

from typing import NamedTuple

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels import assemble
from ecomrec.kernels._jit import jit
from ecomrec.kernels.ranking import best_first, offer

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
def _add_shared(features, weights, starts, counts, entities, strengths, unit, sums, touched):
    """Add up the shared features of one entity with every other; return how many it touched.

    No branch in the inner loops: a mispredicted one costs more than a useless store. Two entries at
    a time: entities of one feature are distinct, so neither waits for the other.
    """
    n_touched = 0
    for position in range(len(features)):
        mine = weights[position]
        if mine <= 0.0:
            continue
        at = starts[features[position]]
        last = at + counts[features[position]]
        while at + 1 < last:
            one, two = entities[at], entities[at + 1]
            sum_one, sum_two = sums[one], sums[two]
            add_one = mine if unit else mine * strengths[at]
            add_two = mine if unit else mine * strengths[at + 1]
            sums[one] = sum_one + add_one
            sums[two] = sum_two + add_two
            touched[n_touched] = one
            n_touched += (sum_one == 0.0) & (add_one > 0.0)
            touched[n_touched] = two
            n_touched += (sum_two == 0.0) & (add_two > 0.0)
            at += 2
        if at < last:
            one = entities[at]
            add_one = mine if unit else mine * strengths[at]
            touched[n_touched] = one
            n_touched += (sums[one] == 0.0) & (add_one > 0.0)
            sums[one] += add_one
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


@jit
def _float_bits(value):
    """The bits of a positive float32: they rise with the value."""
    return np.uint64(np.float32(value).view(np.uint32))


@jit
def _float_of(bits):
    return np.uint32(bits).view(np.float32)


@jit
def _dot_rows(
    start, stop, rows, selves, own_norms, own_lengths, mine, other, feature_weights, form,
    exponent, k1, strengths, scale, unit, norms, other_norms, shrink, rule, power, incoming, rank,
    by_rank, ordered, n_neighbors, out_at, out_entities, out_values, out_counts, out_floors,
):  # fmt: skip
    starts, counts, features, weights = mine
    other_starts, other_counts, entities, _ = other
    n_entities = len(other_norms)
    sums = np.zeros(n_entities, dtype=np.float64)
    touched = np.empty(n_entities + 2, dtype=np.int32)
    factors = np.empty(counts.max() if len(counts) else 0, dtype=np.float64)
    # A key is a value and, below it, the place from the end in rank order: the largest win.
    keys = np.empty(2 * n_neighbors, dtype=np.uint64)
    arriving = np.empty(2 * n_neighbors, dtype=np.uint64)
    low_half = np.uint64(0xFFFFFFFF)
    for position in range(start, stop):
        row = rows[position]
        first, last = starts[row], starts[row] + counts[row]
        for at in range(first, last):
            weight = weights[at] * scale
            factors[at - first] = 0.0
            if weight > 0:
                strength = _strength(form, weight, exponent, k1, own_lengths[position])
                factors[at - first] = feature_weights[features[at]] * strength
        n_touched = _add_shared(
            features[first:last], factors, other_starts, other_counts, entities, strengths, unit,
            sums, touched,
        )  # fmt: skip
        if selves[position] >= 0:
            sums[selves[position]] = 0.0
        own, own_other = own_norms[position], other_norms[max(selves[position], 0)]
        size, floor = 0, np.uint64(0)
        n_arriving, arriving_floor = 0, np.uint64(0)
        for at in range(n_touched):
            entity = touched[at]
            shared = sums[entity]
            sums[entity] = 0.0
            if rule == UNION:
                value = shared / (own + other_norms[entity] - shared + shrink)
            else:
                value = shared / (own * other_norms[entity] + shrink)
            key = _float_bits(value) << np.uint64(32)
            if incoming and shared > 0.0:
                # The same pair as the other entity sees it: what arrives here from there.
                back = _float_bits(shared / (norms[entity] * own_other + shrink))
                if back > arriving_floor:
                    arriving[n_arriving] = back
                    n_arriving += 1
                    if n_arriving == 2 * n_neighbors:
                        _best_keys_first(arriving, n_arriving, n_neighbors)
                        n_arriving = n_neighbors
                        arriving_floor = arriving[:n_arriving].min()
            if key < floor or key == 0:
                continue
            keys[size] = key | (low_half - np.uint64(rank[entity]))
            size += 1
            if size == 2 * n_neighbors:
                _best_keys_first(keys, size, n_neighbors)
                size = n_neighbors
                floor = (keys[:size].min() >> np.uint64(32)) << np.uint64(32)
        if size > n_neighbors:
            _best_keys_first(keys, size, n_neighbors)
            size = n_neighbors
        if ordered:
            keys[:size] = np.sort(keys[:size])[::-1]
        target = out_at[position]
        for at in range(size):
            out_entities[target + at] = by_rank[low_half - (keys[at] & low_half)]
            value = _float_of(keys[at] >> np.uint64(32))
            out_values[target + at] = value if power == 1.0 else value**power
        out_counts[position] = size
        if incoming and n_arriving >= n_neighbors:
            _best_keys_first(arriving, n_arriving, n_neighbors)
            floor_value = _float_of(arriving[:n_neighbors].min())
            out_floors[position] = floor_value if power == 1.0 else floor_value**power


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


class Comparison(NamedTuple):
    """How two entities are compared: everything but the entities themselves.

    Attributes
    ----------
    feature_weights : ndarray of shape (n_features,), float64
    form, exponent, k1 : int, float, float
        How a weight counts: `RAW`, `BINARY`, `POWER` (weight ** exponent) or `BM25` (k1).
    strengths : ndarray, float32
        What the stored weights of the features count for, made by `strengths_of`; empty: 1 each.
    scale : float
        Factor on every stored weight.
    norms, other_norms : ndarray of shape (n_entities,), float64
        Norm of an entity as the one whose neighbours are sought, and as a neighbour.
    shrink, rule, power : float, int, float
        ``(shared / (own * other + shrink)) ** power``, or Jaccard's union for `UNION`.
    incoming : bool
        Also find, for each row, the value that only `n_neighbors` others exceed or reach when
        they are the ones who seek neighbours.
    """

    feature_weights: np.ndarray
    form: int
    exponent: float
    k1: float
    strengths: np.ndarray
    scale: float
    norms: np.ndarray
    other_norms: np.ndarray
    shrink: float
    rule: int
    power: float
    incoming: bool


class Rows(NamedTuple):
    """Neighbours by row: row r is ``entities[indptr[r] : indptr[r + 1]]``, values beside them."""

    indptr: np.ndarray
    entities: np.ndarray
    values: np.ndarray


@jit
def _strengths_of(start, stop, entities, values, form, exponent, k1, lengths, scale, strengths):
    for at in range(start, stop):
        weight = values[at] * scale
        strengths[at] = 0.0
        if weight > 0:
            strengths[at] = _strength(form, weight, exponent, k1, lengths[entities[at]])


def strengths_of(other, used, form, exponent, k1, lengths, scale):
    """What each stored weight counts for: float32, parallel to the values of a store.

    Parameters
    ----------
    other : tuple of (starts, lengths, indices, values)
    used : int
        Entries of the buffers that are in use.
    form, exponent, k1, lengths, scale
        As in `Comparison`; `lengths` are those of the entities, relative to their mean (BM25).
    """
    _, _, entities, values = other
    strengths = np.empty(used, dtype=np.float32)
    _strengths_of(0, used, entities, values, form, exponent, k1, lengths, scale, strengths)
    return strengths


def dot_rows(
    rows, selves, own_norms, own_lengths, mine, other, comparison, n_neighbors, rank, *,
    ordered=False, n_jobs=1,
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
    ordered : bool
        Best first within each row.
    n_jobs : int or None

    Returns
    -------
    found : Rows
        int64, int32 and float32; values are positive.
    floors : ndarray of shape (n_rows,), float32
        For ``comparison.incoming``: the least value that is among the `n_neighbors` best that
        arrive at the row; 0 where fewer arrive.
    """
    n_neighbors = max(1, min(n_neighbors, len(rank)))
    work = row_work(rows, mine, other)
    out_at = assemble.offsets(np.minimum(work, n_neighbors))
    entities = np.empty(out_at[-1], dtype=np.int32)
    values = np.empty(out_at[-1], dtype=np.float32)
    counts = np.zeros(len(rows), dtype=np.int64)
    floors = np.zeros(len(rows), dtype=np.float32)
    by_rank = np.empty(len(rank), dtype=np.int32)
    by_rank[rank] = np.arange(len(rank), dtype=np.int32)
    how = comparison
    unit = len(how.strengths) == 0
    strengths = how.strengths if not unit else np.ones(1, dtype=np.float32)
    run_sharded(
        lambda start, stop: _dot_rows(
            start, stop, rows, selves, own_norms, own_lengths, mine, other, how.feature_weights,
            how.form, how.exponent, how.k1, strengths, how.scale, unit, how.norms,
            how.other_norms, how.shrink, how.rule, how.power, how.incoming, rank, by_rank, ordered,
            n_neighbors, out_at, entities, values, counts, floors,
        ),  # fmt: skip
        work,
        n_jobs,
    )
    indptr = assemble.compact(out_at, counts, [entities, values])
    return Rows(indptr, entities[: indptr[-1]], values[: indptr[-1]]), floors


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
    norms = np.maximum(norms, 1e-300)
    strengths = strengths_of(other, len(other[3]), RAW, 1.0, 1.0, norms, 1.0)
    comparison = Comparison(
        ones, RAW, 1.0, 1.0, strengths, 1.0, norms, norms, 0.0, PRODUCT, 1.0, False
    )
    rank = everyone.astype(np.int32)
    found, _ = dot_rows(
        rows, rows, norms[rows], norms[rows], mine, other, comparison, k, rank, ordered=True
    )
    return found


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
    start, stop, indptr, profile, weights, store, floors, allowed, candidates, candidate_at,
    excluded, excluded_at, items, scores,
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
                if len(floors) > 0:
                    value = value if value >= floors[item] else np.float32(0.0)
                before = sums[item]
                touched[n_touched] = item
                n_touched += (before == 0.0) & (value > 0.0)
                sums[item] = before + weight * value
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


def recommend(profiles, store, floors, n_items, k, mask, n_jobs):
    """Sum the rows of a store for each profile and return the best k items, in one pass.

    Parameters
    ----------
    profiles : tuple of (indptr, entities, weights)
        Row r adds up ``weights[p] * store[entities[p]]`` over its places p.
    store : tuple of (starts, lengths, indices, values)
        Rows of positive values over items.
    floors : ndarray of shape (n_items,) or (0,), float32
        Values below the floor of their item do not count; empty: all do.
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
        _recommend(0, 1, indptr, entities, weights, store, floors, *mask, items, scores)
        return items, scores
    reads = np.concatenate(([0], np.cumsum(store[1][entities])))
    work = np.diff(reads[indptr]) + 50
    run_sharded(
        lambda start, stop: _recommend(
            start, stop, indptr, entities, weights, store, floors, *mask, items, scores
        ),
        work,
        n_jobs,
    )
    return items, scores


@jit
def _scores(start, stop, indptr, profile, weights, store, floors, block):
    starts, counts, neighbours, values = store
    for row in range(start, stop):
        for place in range(indptr[row], indptr[row + 1]):
            weight = max(weights[place], np.float32(0.0))
            entity = profile[place]
            for at in range(starts[entity], starts[entity] + counts[entity]):
                item = neighbours[at]
                value = max(values[at], np.float32(0.0))
                if len(floors) > 0:
                    value = value if value >= floors[item] else np.float32(0.0)
                block[row, item] += weight * value
        for item in range(block.shape[1]):
            if block[row, item] == 0.0:
                block[row, item] = np.nan


def scores(profiles, store, floors, n_items, n_jobs):
    """Sum the rows of a store for each profile, as `recommend` does, and return all of it.

    Returns
    -------
    ndarray of shape (n_rows, n_items), float32
        NaN where nothing was added up.
    """
    indptr, entities, weights = profiles
    block = np.zeros((len(indptr) - 1, n_items), dtype=np.float32)
    run_sharded(
        lambda start, stop: _scores(
            start, stop, indptr, entities, weights, store, floors, block
        ),
        np.full(len(block), n_items),
        n_jobs,
    )
    return block
