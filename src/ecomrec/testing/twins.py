"""Slow NumPy twins of the kernels: the same arguments, the same answer, nothing clever.

A twin has the name of the kernel's door and the suffix ``_twin``, and returns new arrays where the
kernel writes into those it was given. `n_jobs` is left out: it never changes an answer.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins import no_mask, top_k_twin
>>> items, scores = top_k_twin(np.array([[1.0, 3.0, 3.0]]), 2, no_mask(1))
>>> items.tolist(), scores.tolist()
([[1, 2]], [[3.0, 3.0]])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.kernels import assemble, neighbors, ranking, ratings

Arrays = tuple[np.ndarray, ...]


def no_mask(n_rows: int) -> ranking.Mask:
    """Return the mask of a request that allows everything."""
    none = np.zeros(n_rows + 1, dtype=np.int64)
    return ranking.Mask(
        ranking.EVERYTHING, ranking.NOTHING, ranking.NO_OFFSETS, ranking.NOTHING, none
    )


def eligible(mask: ranking.Mask, row: int, n_items: int) -> np.ndarray:
    """Return which items a mask lets one row of a request have: bool of shape (n_items,)."""
    keep = np.ones(n_items, dtype=bool)
    if len(mask.allowed):
        keep &= mask.allowed
    if len(mask.candidate_at):
        listed = mask.candidates[mask.candidate_at[row] : mask.candidate_at[row + 1]]
        keep &= np.isin(np.arange(n_items), listed)
    keep[mask.excluded[mask.excluded_at[row] : mask.excluded_at[row + 1]]] = False
    return keep


def _ranked(scores: np.ndarray, keep: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Best k of the kept: score falling, then place rising; filled with -1 and NaN."""
    places = np.flatnonzero(keep)
    best = places[np.lexsort((places, -scores[places]))][:k]
    items, values = np.full(k, -1, dtype=np.int32), np.full(k, np.nan, dtype=np.float32)
    items[: len(best)], values[: len(best)] = best, scores[best]
    return items, values


def top_k_twin(block: np.ndarray, k: int, mask: ranking.Mask) -> tuple[np.ndarray, np.ndarray]:
    """Sort each row of scores and cut it off."""
    block = np.asarray(block, dtype=np.float32)
    items = np.empty((len(block), k), dtype=np.int32)
    scores = np.empty((len(block), k), dtype=np.float32)
    for row, values in enumerate(block):
        keep = eligible(mask, row, len(values)) & ~np.isnan(values)
        items[row], scores[row] = _ranked(values, keep, k)
    return items, scores


def fill_twin(
    items: np.ndarray, scores: np.ndarray, order: np.ndarray, mask: ranking.Mask
) -> tuple[np.ndarray, np.ndarray]:
    """Fill short rows with items by popularity, at 0 or at the last score if that is negative."""
    items, scores = items.copy(), scores.copy()
    for row in range(len(items)):
        size = int(np.count_nonzero(items[row] >= 0))
        keep = eligible(mask, row, len(order))
        keep[items[row, :size]] = False
        more = order[keep[order]][: items.shape[1] - size]
        last = scores[row, size - 1] if size else 0.0
        items[row, size : size + len(more)] = more
        scores[row, size : size + len(more)] = min(float(last), 0.0)
    return items, scores


def recommend_twin(
    profiles: Arrays, store: Arrays, n_items: int, k: int, mask: ranking.Mask
) -> tuple[np.ndarray, np.ndarray]:
    """Rank all sums that are positive."""
    return top_k_twin(scores_twin(profiles, store, n_items), k, mask)


def scores_twin(profiles: Arrays, store: Arrays, n_items: int) -> np.ndarray:
    """Add up the rows of a store over each profile, in float32; NaN where the sum is zero."""
    indptr, entities, weights = profiles
    starts, lengths, indices, values = store
    n_rows = len(indptr) - 1
    block = np.zeros((n_rows, n_items), dtype=np.float32)
    for row in range(n_rows):
        for place in range(indptr[row], indptr[row + 1]):
            first = starts[entities[place]]
            inside = slice(first, first + lengths[entities[place]])
            if weights[place] > 0:
                block[row, indices[inside]] += weights[place] * np.maximum(values[inside], 0)
    block[block == 0] = np.nan
    return block


def dense(store: Arrays, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a row store as a float64 matrix, and where it has entries."""
    starts, lengths, indices, values = store
    matrix = np.zeros((len(starts), n_columns))
    stored = np.zeros(matrix.shape, dtype=bool)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        matrix[row, indices[start : start + length]] = values[start : start + length]
        stored[row, indices[start : start + length]] = True
    return matrix, stored


def _strengths(
    matrix: np.ndarray, form: int, exponent: float, k1: float, lengths: np.ndarray, scale: float
) -> np.ndarray:
    """Return what the positive weights of a matrix count for; `lengths` are those of its rows."""
    weights = np.where(matrix > 0, matrix * scale, 0.0)
    if form == neighbors.BINARY:
        return np.where(weights > 0, 1.0, 0.0)
    if form == neighbors.POWER:
        return np.where(weights > 0, weights**exponent, 0.0)
    if form == neighbors.BM25:
        return weights * (k1 + 1) / (k1 * lengths[:, None] + weights)
    return weights


def dot_rows_twin(
    rows: np.ndarray,
    selves: np.ndarray,
    own_norms: np.ndarray,
    own_lengths: np.ndarray,
    mine: Arrays,
    other: Arrays,
    comparison: neighbors.Comparison,
    n_neighbors: int,
    rank: np.ndarray,
) -> neighbors.Rows:
    """Multiply dense matrices and sort each row, best first."""
    c = comparison
    own = dense(mine, len(other[0]))[0][rows]
    matrix, stored = dense(other, len(rank))
    ours = _strengths(own, c.form, c.exponent, c.k1, own_lengths, c.scale)
    theirs = _strengths(matrix.T, c.form, c.exponent, c.k1, c.lengths, c.scale)
    # In float32, one feature after the other, as the kernel does: ties are ties on both sides.
    roots = np.sqrt(c.feature_weights).astype(np.float32)
    ours, theirs = (roots * ours).astype(np.float32), (roots * theirs).astype(np.float32)
    if c.unit:
        ours = (own > 0) * c.feature_weights.astype(np.float32)
        theirs = stored.T.astype(np.float32)
    shared = np.zeros((len(ours), len(theirs)), dtype=np.float32)
    for mine_there, others in zip(ours.T, theirs.T, strict=True):
        shared += np.outer(mine_there, others)
    shared = shared.astype(np.float64)
    if c.rule == neighbors.UNION:
        below = own_norms[:, None] + c.other_norms - shared + c.shrink
    else:
        below = own_norms[:, None] * c.other_norms + c.shrink
    likeness = np.zeros(shared.shape, dtype=np.float32)
    np.divide(shared, below, out=likeness, where=shared > 0, casting="same_kind")
    known = np.flatnonzero(selves >= 0)
    likeness[known, selves[known]] = 0
    found = []
    for line in likeness:
        places = np.flatnonzero(line > 0)
        found.append(places[np.lexsort((rank[places], -line[places]))][:n_neighbors])
    picked = [likeness[row, places] for row, places in enumerate(found)]
    entities = np.concatenate([*found, []]).astype(np.int32)
    powers = np.concatenate([*picked, []]) ** c.power
    return neighbors.Rows(_offsets(found), entities, powers.astype(np.float32))


def _offsets(rows: list[np.ndarray]) -> np.ndarray:
    return assemble.offsets(np.array([len(row) for row in rows], dtype=np.int64))


def row_sums_twin(
    rows: np.ndarray,
    mine: Arrays,
    feature_weights: np.ndarray,
    *,
    form: int = neighbors.RAW,
    exponent: float = 1.0,
    k1: float = 1.0,
    lengths: np.ndarray | None = None,
    scale: float = 1.0,
    squared: bool = False,
) -> np.ndarray:
    """Multiply a dense matrix with the weights of its columns."""
    matrix = dense(mine, len(feature_weights))[0][rows]
    size = np.ones(len(rows)) if lengths is None else lengths[rows]
    strengths = _strengths(matrix, form, exponent, k1, size, scale)
    sums: np.ndarray = strengths ** (2 if squared else 1) @ feature_weights
    return sums


def prune_columns_twin(
    indptr: np.ndarray, entities: np.ndarray, values: np.ndarray, rank: np.ndarray, n_kept: int
) -> neighbors.Rows:
    """Sort each column and drop what lies behind its best `n_kept`."""
    row_of = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    keep = np.zeros(len(entities), dtype=bool)
    for column in range(len(indptr) - 1):
        places = np.flatnonzero(entities == column)
        order = np.lexsort((rank[row_of[places]], -values[places]))
        keep[places[order][:n_kept]] = True
    lengths = np.bincount(row_of[keep], minlength=len(indptr) - 1)
    return neighbors.Rows(assemble.offsets(lengths), entities[keep], values[keep])


def mark_touched_twin(
    entities: np.ndarray, features: np.ndarray, mine: Arrays, other: Arrays
) -> np.ndarray:
    """Return which entities changed or share a feature with one that did, or that changed."""
    has = dense(mine, len(other[0]))[1]
    held = dense(other, len(mine[0]))[1]
    reached = has[entities].any(axis=0)
    reached[features] = True
    marked: np.ndarray = held[reached].any(axis=0)
    marked[entities] = True
    return marked


def group_by_row_twin(codes: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort codes, keeping the order of equal ones."""
    return assemble.offsets(np.bincount(codes, minlength=n_rows)), np.argsort(codes, kind="stable")


def merge_weights_twin(
    indptr: np.ndarray, columns: np.ndarray, weights: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, Arrays]:
    """Return indptr and columns, sums and newest times with one entry for each pair."""
    found = []
    for row in range(len(indptr) - 1):
        inside = np.arange(indptr[row], indptr[row + 1])
        for column in np.unique(columns[inside]):
            places = inside[columns[inside] == column]
            run = np.sort(weights[places]) if len(weights) else np.ones(len(places))
            total = float(np.cumsum(run)[-1])
            if abs(total) <= assemble.CANCELLED * float(np.abs(run).sum()):
                total = 0.0
            found.append((row, column, total, max(times[places]) if len(times) else 0))
    return _matrix(found, len(indptr) - 1, (np.int32, np.float32, np.int64))


def merge_ratings_twin(
    indptr: np.ndarray,
    columns: np.ndarray,
    ratings: np.ndarray,
    times: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, Arrays]:
    """Return indptr and columns, means of the newest, newest times and how many ratings."""
    found = []
    for row in range(len(indptr) - 1):
        inside = np.arange(indptr[row], indptr[row + 1])
        for column in np.unique(columns[inside]):
            places = inside[columns[inside] == column]
            newest = times[places].max() if len(times) else 0
            if len(times):
                places = places[times[places] == newest]
            mean = np.average(ratings[places], weights=counts[places])
            found.append((row, column, mean, newest, counts[places].sum()))
    return _matrix(found, len(indptr) - 1, (np.int32, np.float32, np.int64, np.int32))


def _matrix(
    entries: Sequence[tuple[Any, ...]], n_rows: int, dtypes: tuple[type[np.generic], ...]
) -> tuple[np.ndarray, Arrays]:
    rows = np.array([entry[0] for entry in entries], dtype=np.int64)
    columns = (
        np.array([entry[place] for entry in entries], dtype=dtype)
        for place, dtype in enumerate(dtypes, start=1)
    )
    return assemble.offsets(np.bincount(rows, minlength=n_rows)), tuple(columns)


def transpose_twin(
    starts: np.ndarray, lengths: np.ndarray, indices: np.ndarray, data: np.ndarray, n_columns: int
) -> Arrays:
    """Return the entries of each column in the order of their rows: indptr, rows, values."""
    matrix, stored = dense((starts, lengths, indices, data), n_columns)
    columns, rows = np.nonzero(stored.T)
    indptr = assemble.offsets(np.bincount(columns, minlength=n_columns))
    return indptr, rows.astype(np.int32), matrix[rows, columns].astype(np.float32)


def biases_twin(
    mine: Arrays, offsets: np.ndarray, mean: float, regularization: float
) -> np.ndarray:
    """Return the sums of what is left of each row's ratings over the regularised counts."""
    ratings, rated = dense(mine, len(offsets))
    left = np.where(rated, ratings - mean - offsets, 0.0)
    counts = rated.sum(axis=1)
    return np.where(counts, left.sum(axis=1) / np.maximum(counts + regularization, 1e-300), 0.0)


def row_moments_twin(rows: np.ndarray, mine: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each row as NumPy computes them."""
    starts, lengths, _, ratings = mine
    held = [ratings[starts[r] : starts[r] + lengths[r]].astype(np.float64) for r in rows]
    means = [part.mean() if len(part) else 0.0 for part in held]
    return np.array(means), np.array([part.std() if len(part) else 0.0 for part in held])


def rated_rows_twin(
    rows: np.ndarray,
    selves: np.ndarray,
    own_offsets: np.ndarray,
    mine: Arrays,
    other: Arrays,
    offsets: np.ndarray,
    feature_offsets: np.ndarray,
    kind: int,
    shrink: float,
    n_kept: int,
    by_rank: np.ndarray,
) -> neighbors.Rows:
    """Compare every two entities over the features that both rated, one pair at a time."""
    own, own_rated = dense(mine, len(feature_offsets))
    matrix, rated = dense(other, len(offsets))
    found, values = [], []
    rank = np.argsort(by_rank)
    for position, row in enumerate(rows):
        likeness = np.zeros(len(offsets), dtype=np.float32)
        for entity in range(len(offsets)):
            both = own_rated[row] & rated[:, entity]
            if both.any() and entity != selves[position]:
                x = own[row, both] - own_offsets[position] - feature_offsets[both]
                y = matrix[both, entity] - offsets[entity] - feature_offsets[both]
                likeness[entity] = _likeness(x, y, kind, shrink)
        places = np.flatnonzero(likeness > 0)
        found.append(places[np.lexsort((rank[places], -likeness[places]))][:n_kept])
        values.append(likeness[found[-1]])
    entities = np.concatenate([*found, []]).astype(np.int32)
    return neighbors.Rows(
        _offsets(found), entities, np.concatenate([*values, []]).astype(np.float32)
    )


def _likeness(x: np.ndarray, y: np.ndarray, kind: int, shrink: float) -> float:
    if kind == ratings.MSD:
        value = 1.0 / (float(np.mean((x - y) ** 2)) + 1.0)
    else:
        if kind == ratings.PEARSON:
            x, y = x - x.mean(), y - y.mean()
        squares = float(x @ x), float(y @ y)
        if min(squares) <= 1e-9:
            return 0.0
        value = float(x @ y) / float(np.sqrt(squares[0] * squares[1]))
    return value * (len(x) - 1) / (len(x) - 1 + shrink) if shrink > 0 else value


def predict_twin(
    features: np.ndarray,
    targets: np.ndarray,
    fallback: np.ndarray,
    similar: Arrays,
    other: Arrays,
    centers: np.ndarray,
    spreads: np.ndarray,
    feature_centers: np.ndarray,
    n_neighbors: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Average what the most alike entities that rated a feature left, one pair at a time."""
    matrix, rated = dense(other, len(centers))
    starts, lengths, indices, likeness = similar
    predictions, support = fallback.copy(), np.zeros(len(features), dtype=np.int64)
    for position, (feature, target) in enumerate(zip(features, targets, strict=True)):
        inside = np.arange(starts[target], starts[target] + lengths[target])
        inside = inside[rated[feature, indices[inside]]][:n_neighbors]
        raters = indices[inside]
        support[position] = len(raters)
        if len(raters):
            left = matrix[feature, raters] - centers[raters] - feature_centers[feature]
            mean = np.average(left / spreads[raters], weights=likeness[inside])
            center = centers[target] + feature_centers[feature]
            predictions[position] = center + spreads[target] * mean
    return predictions, support
