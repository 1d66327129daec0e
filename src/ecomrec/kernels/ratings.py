"""Baselines, co-rated moments and predictions of rating models; terms as in `neighbors`."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels import assemble
from ecomrec.kernels._jit import jit
from ecomrec.kernels.neighbors import Rows, row_work
from ecomrec.kernels.ranking import keep_best, sort_best_first

# What two entities' common ratings are turned into.
COSINE, PEARSON, MSD = 0, 1, 2
# Moments of a pair: count, sums of x, y, x^2, y^2 and xy.
_N_MOMENTS = 6


@jit
def _biases(start, stop, mine, offsets, mean, regularization, biases):
    starts, counts, features, ratings = mine
    for row in range(start, stop):
        total = 0.0
        for at in range(starts[row], starts[row] + counts[row]):
            total += ratings[at] - mean - offsets[features[at]]
        biases[row] = total / (regularization + counts[row]) if counts[row] > 0 else 0.0


def biases(mine, offsets, mean, regularization):
    """Regularised mean of what is left of each row's ratings: float64 of shape (n_rows,)."""
    result = np.zeros(len(mine[0]))
    _biases(0, len(result), mine, offsets, mean, regularization, result)
    return result


@jit
def _moments(rows, mine, means, deviations):
    starts, counts, _, ratings = mine
    for position in range(len(rows)):
        row = rows[position]
        n = counts[row]
        if n == 0:
            continue
        total = 0.0
        for at in range(starts[row], starts[row] + n):
            total += ratings[at]
        mean = total / n
        squares = 0.0
        for at in range(starts[row], starts[row] + n):
            squares += (ratings[at] - mean) ** 2
        means[position] = mean
        deviations[position] = np.sqrt(squares / n)


def row_moments(rows, mine):
    """Mean and standard deviation of each row's ratings (float64); 0 for an empty row."""
    means, deviations = np.zeros(len(rows)), np.zeros(len(rows))
    _moments(rows, mine, means, deviations)
    return means, deviations


@jit
def _likeness(moments, kind, shrink):
    n, x, y, xx, yy, xy = moments
    if kind == MSD:
        value = 1.0 / (max(xx + yy - 2.0 * xy, 0.0) / n + 1.0)
    else:
        if kind == PEARSON:
            xy = xy - x * y / n
            xx = xx - x * x / n
            yy = yy - y * y / n
        if xx <= 1e-9 or yy <= 1e-9:
            return 0.0
        value = xy / np.sqrt(xx * yy)
    if shrink > 0:
        value *= (n - 1.0) / (n - 1.0 + shrink)
    return value


@jit
def _rated_rows(
    start, stop, rows, selves, own_offsets, mine, other, offsets, feature_offsets, kind, shrink,
    n_kept, by_rank, rank, out_at, out_entities, out_values, out_counts,
):  # fmt: skip
    starts, counts, features, ratings = mine
    other_starts, other_counts, entities, other_ratings = other
    n_entities = len(offsets)
    moments = np.zeros((n_entities, _N_MOMENTS), dtype=np.float64)
    touched = np.empty(n_entities + 1, dtype=np.int32)
    best = np.empty(n_entities, dtype=np.int32)
    best_values = np.empty(n_entities, dtype=np.float32)
    for position in range(start, stop):
        row = rows[position]
        n_touched = 0
        for at in range(starts[row], starts[row] + counts[row]):
            feature = features[at]
            x = ratings[at] - own_offsets[position] - feature_offsets[feature]
            first = other_starts[feature]
            for place in range(first, first + other_counts[feature]):
                entity = entities[place]
                pair = moments[entity]
                y = other_ratings[place] - offsets[entity] - feature_offsets[feature]
                touched[n_touched] = entity
                n_touched += pair[0] == 0.0
                pair[0] += 1.0
                pair[1] += x
                pair[2] += y
                pair[3] += x * x
                pair[4] += y * y
                pair[5] += x * y
        size = 0
        for at in range(n_touched):
            entity = touched[at]
            pair = moments[entity]
            value = np.float32(
                _likeness((pair[0], pair[1], pair[2], pair[3], pair[4], pair[5]), kind, shrink)
            )
            pair[:] = 0.0
            if value > 0.0 and entity != selves[position]:
                best[size] = rank[entity]
                best_values[size] = value
                size += 1
        if size > n_kept:
            keep_best(best_values, best, size, n_kept)
            size = n_kept
        sort_best_first(best_values, best, size)
        target = out_at[position]
        for place in range(size):
            out_entities[target + place] = by_rank[best[place]]
        out_values[target : target + size] = best_values[:size]
        out_counts[position] = size


def rated_rows(
    rows, selves, own_offsets, mine, other, offsets, feature_offsets, kind, shrink, n_kept,
    by_rank, n_jobs,
):  # fmt: skip
    """Find the entities whose ratings of common features are most alike, best first.

    Parameters
    ----------
    rows, selves : ndarray of shape (n_rows,), int64
        Rows of `mine`, and the entity that each never finds (-1 for none).
    own_offsets, offsets, feature_offsets : ndarray, float64
        Taken off every rating before it is compared: of the rows, the entities, the features.
    mine, other : tuple of (starts, lengths, indices, values)
    kind : int
        `COSINE`, `PEARSON` (of the common ratings) or `MSD` (1 / (mean squared difference + 1)).
    shrink : float
        Likeness of n common ratings is multiplied by ``(n - 1) / (n - 1 + shrink)``.
    n_kept : int
    by_rank : ndarray of shape (n_entities,), int64
        Entities in the order of their ids, which breaks ties.
    n_jobs : int or None

    Returns
    -------
    Rows
        Positive likenesses only.
    """
    work = row_work(rows, mine, other)
    out_at = assemble.offsets(np.minimum(work, min(n_kept, len(offsets))))
    entities = np.empty(out_at[-1], dtype=np.int32)
    values = np.empty(out_at[-1], dtype=np.float32)
    counts = np.zeros(len(rows), dtype=np.int64)
    rank = assemble.inverse(by_rank)
    run_sharded(
        lambda start, stop: _rated_rows(
            start, stop, rows, selves, own_offsets, mine, other, offsets, feature_offsets, kind,
            shrink, n_kept, by_rank, rank, out_at, entities, values, counts,
        ),
        work,
        n_jobs,
    )  # fmt: skip
    indptr = assemble.compact(out_at, counts, [entities, values])
    return Rows(indptr, entities[: indptr[-1]], values[: indptr[-1]])


@jit
def _predict(
    start, stop, features, target_at, targets, fallback, similar, other, centers, spreads,
    feature_centers, n_neighbors, predictions, support,
):  # fmt: skip
    starts, counts, neighbours, likeness = similar
    other_starts, other_counts, entities, ratings = other
    rated = np.full(len(centers), np.nan)
    for group in range(start, stop):
        feature = features[group]
        first = other_starts[feature]
        last = first + other_counts[feature]
        for at in range(first, last):
            entity = entities[at]
            residual = ratings[at] - centers[entity] - feature_centers[feature]
            rated[entity] = residual / spreads[entity]
        for position in range(target_at[group], target_at[group + 1]):
            target = targets[position]
            total, weight, n = 0.0, 0.0, 0
            for place in range(starts[target], starts[target] + counts[target]):
                residual = rated[neighbours[place]]
                if residual == residual:
                    total += likeness[place] * residual
                    weight += likeness[place]
                    n += 1
                    if n == n_neighbors:
                        break
            support[position] = n
            predictions[position] = fallback[position]
            if n > 0:
                predictions[position] = (
                    centers[target] + feature_centers[feature] + spreads[target] * total / weight
                )
        for at in range(first, last):
            rated[entities[at]] = np.nan


def predict(
    features, targets, fallback, similar, other, centers, spreads, feature_centers, n_neighbors,
    n_jobs,
):  # fmt: skip
    """Predict ratings of (target entity, feature) pairs from the neighbours that rated it.

    ``center_e + center_c
    + spread_e * sum s_ef (r_fc - center_f - center_c) / spread_f / sum s_ef``
    over the `n_neighbors` most alike entities f that rated feature c.

    Parameters
    ----------
    features, targets : ndarray of shape (n,), int64
    fallback : ndarray of shape (n,), float64
        Answer where no neighbour rated the feature.
    similar : tuple of (starts, lengths, entities, values)
        Neighbours of each target, best first.
    other : tuple of (starts, lengths, entities, ratings)
        Ratings by feature.
    centers, spreads : ndarray of shape (n_entities,), float64
    feature_centers : ndarray of shape (n_features,), float64
    n_neighbors : int
    n_jobs : int or None

    Returns
    -------
    predictions : ndarray of shape (n,), float64
    support : ndarray of shape (n,), int64
        How many neighbours each stands on.
    """
    order = np.argsort(features, kind="stable")
    groups, counts = np.unique(features, return_counts=True)
    target_at = assemble.offsets(counts)
    found, support = np.empty(len(features)), np.zeros(len(features), dtype=np.int64)
    sorted_targets, sorted_fallback = targets[order], fallback[order]
    run_sharded(
        lambda start, stop: _predict(
            start, stop, groups, target_at, sorted_targets, sorted_fallback, similar, other,
            centers, spreads, feature_centers, n_neighbors, found, support,
        ),
        counts * 200,
        n_jobs,
    )  # fmt: skip
    predictions, reached = np.empty(len(features)), np.zeros(len(features), dtype=np.int64)
    predictions[order], reached[order] = found, support
    return predictions, reached
