"""Scores of different models made comparable: no evidence is 0, and more is better."""

from __future__ import annotations

import numpy as np

from ecomrec.base import Query
from ecomrec.kernels import ranking

# Scores that differ by less than this share of a row's largest are equal to a ranking: rounding.
_TIE = 1e-4
# Touched items that are placed at a time: each is held against `depth` scores.
_AT_A_TIME = 4096
# The spread of new items is at least this share of that of all.
_LEAST_SPREAD = 0.3


def standardized(block: np.ndarray, query: Query) -> np.ndarray:
    """Return scores as standard deviations above no evidence.

    Parameters
    ----------
    block : ndarray of shape (n, n_items), float32
        NaN: no evidence, which counts as 0, or as the row's lowest score if that is negative.
    query : Query
        What users have touched has no part in the deviation: it often scores far above the rest.

    Returns
    -------
    ndarray of shape (n, n_items), float32
        At least 0. The deviation is that of the row's items with evidence from none.
    """
    known = ~np.isnan(block)
    floor = np.minimum(np.min(block, axis=1, initial=0.0, where=known), 0.0)
    risen = np.where(known, block - floor[:, None], np.float32(0.0))
    _, touched, _ = query.profiles
    at = np.repeat(np.arange(len(block)), np.diff(query.profiles.indptr)), touched
    count = np.maximum(known.sum(axis=1), 1)
    squares = np.einsum("ij,ij->i", risen, risen, dtype=np.float64)
    new, left = count.copy(), squares.copy()
    if len(touched):
        new -= np.bincount(at[0], weights=known[at], minlength=len(block)).astype(np.int64)
        left -= np.bincount(at[0], weights=risen[at] ** 2.0, minlength=len(block))
    spread = np.sqrt(np.maximum(left, 0.0) / np.maximum(new, 1))
    # Where all that is new scores next to nothing, nothing must not be blown up.
    size = np.maximum(spread, _LEAST_SPREAD * np.sqrt(squares / count))
    shown: np.ndarray = risen / np.where(size > 0, size, 1.0)[:, None].astype(np.float32)
    return shown


def reciprocal_ranks(ranks: np.ndarray, offset: float) -> np.ndarray:
    """Return ``1 / (offset + rank)`` of places from 1, and 0 of place 0."""
    values: np.ndarray = np.where(ranks > 0, 1.0 / (offset + ranks), 0.0).astype(np.float32)
    return values


def borda_points(ranks: np.ndarray, depth: int) -> np.ndarray:
    """Return shares of points: 1 for the first place, 1 / depth for the last, 0 for place 0."""
    points: np.ndarray = np.where(ranks > 0, (depth + 1 - ranks) / depth, 0.0).astype(np.float32)
    return points


def places(block: np.ndarray, query: Query, depth: int, n_jobs: int | None) -> np.ndarray:
    """Return the place of each item among what is new to the user.

    Parameters
    ----------
    block : ndarray of shape (n, n_items), float32
        NaN: no evidence.
    query : Query
        What users have touched takes no place; it is placed as if it were new.
    depth : int
        So many places are told apart.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_items), int32
        From 1; equal scores share the better place; 0 beyond `depth` and without evidence.
    """
    n, n_items = block.shape
    depth = min(depth, n_items)
    _, touched, _ = query.profiles
    at = query.profiles.indptr
    mask = ranking.hiding(touched, at)
    items, scores = ranking.top_k(block, depth, mask, n_jobs)
    shared = listed_places(scores)
    result = np.zeros((n, n_items), dtype=np.int32)
    rows, columns = np.nonzero(items >= 0)
    result[rows, items[rows, columns]] = shared[rows, columns]
    owners = np.repeat(np.arange(n), np.diff(at))
    mine = block[owners, touched]
    told = np.flatnonzero(~np.isnan(mine))
    for start in range(0, len(told), _AT_A_TIME):
        some = told[start : start + _AT_A_TIME]
        place = place_in(scores, owners[some], mine[some])
        result[owners[some], touched[some]] = np.where(place <= depth, place, 0)
    return result


def listed_places(scores: np.ndarray) -> np.ndarray:
    """Places from 1 of lists of falling scores, (n, k), NaN last; equal ones share the better."""
    worse = np.zeros(scores.shape, dtype=bool)
    worse[:, 1:] = scores[:, :-1] - scores[:, 1:] > _TIE * sizes(scores)[:, None]
    first = np.where(worse, np.arange(scores.shape[1], dtype=np.int32), 0)
    shared: np.ndarray = np.maximum.accumulate(first, axis=1) + 1
    return shared


def place_in(scores: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Places that some scores would have in lists (n, k) of some rows; k + 1 behind the last."""
    better = scores[rows] - values[:, None] > _TIE * sizes(scores)[rows, None]
    place: np.ndarray = np.count_nonzero(better, axis=1) + 1
    return place


def sizes(scores: np.ndarray) -> np.ndarray:
    """The largest size of a score in each row, 0 without any."""
    found: np.ndarray = np.nan_to_num(np.fmax.reduce(np.abs(scores), axis=1), nan=0.0)
    return found
