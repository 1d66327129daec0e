"""Formulas of the ranking metrics on plain arrays: one value per user, the mean is left to you.

Every function takes `hits`, an array (n_users, k) that is True where the list of a user holds one
of the user's test items, best first, and `n_relevant`, an array (n_users,) with the number of
distinct test items of each user. Every function returns float64 of shape (n_users,), in [0, 1],
and NaN for a user without test items: such a user has no right answer, and `nanmean` leaves the
user out. The lists are taken as they stand, so equal scores count in the order that the model
chose. An empty place at the end of a short list is a miss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[np.integer]
Values = NDArray[np.float64]


def precision(hits: Hits, n_relevant: Counts) -> Values:
    """Share of the k places that hold a test item; short lists are divided by k too."""
    n_hits, k = _count(hits, n_relevant)
    return _over(n_hits, np.where(n_relevant > 0, k, 0))


def recall(hits: Hits, n_relevant: Counts) -> Values:
    """Share of the user's test items that are in the list: hits / n_relevant.

    With more than k test items it cannot reach 1; `recall_capped` can.
    """
    n_hits, _ = _count(hits, n_relevant)
    return _over(n_hits, n_relevant)


def recall_capped(hits: Hits, n_relevant: Counts) -> Values:
    """Share of the hits that k places allow: hits / min(k, n_relevant)."""
    n_hits, k = _count(hits, n_relevant)
    return _over(n_hits, np.minimum(k, n_relevant))


def ndcg(hits: Hits, n_relevant: Counts) -> Values:
    """Discounted gain sum 1 / log2(rank + 1) over that of a list with min(k, n_relevant) hits."""
    _, k = _count(hits, n_relevant)
    discount = 1.0 / np.log2(np.arange(2.0, k + 2.0))
    best = np.concatenate([[0.0], np.cumsum(discount)])
    # A masked cumulative sum adds in the order of `best`: a perfect list is exactly 1.
    gain = np.cumsum(np.where(hits, discount, 0.0), axis=1)[:, -1]
    return _over(gain, best[np.minimum(k, n_relevant)])


def average_precision(hits: Hits, n_relevant: Counts) -> Values:
    """Mean of the precision at the rank of each hit: the sum over min(k, n_relevant).

    Its mean over users is MAP at k. Some publications divide by n_relevant instead; then a list of
    k hits stays below 1 for a user with more than k test items.
    """
    _, k = _count(hits, n_relevant)
    precision_at_rank = np.cumsum(hits, axis=1) / np.arange(1.0, k + 1.0)
    return _over(np.where(hits, precision_at_rank, 0.0).sum(axis=1), np.minimum(k, n_relevant))


def reciprocal_rank(hits: Hits, n_relevant: Counts) -> Values:
    """One over the rank of the first hit, 0 without one; its mean over users is MRR at k."""
    n_hits, _ = _count(hits, n_relevant)
    first = np.where(n_hits > 0, 1.0 / (1.0 + np.argmax(hits, axis=1)), 0.0)
    return np.where(n_relevant > 0, first, np.nan)


def hit_rate(hits: Hits, n_relevant: Counts) -> Values:
    """1 where the list holds at least one test item, else 0."""
    n_hits, _ = _count(hits, n_relevant)
    return np.where(n_relevant > 0, (n_hits > 0).astype(np.float64), np.nan)


METRICS: dict[str, Callable[[Hits, Counts], Values]] = {
    "precision": precision,
    "recall": recall,
    "recall_capped": recall_capped,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}


def _count(hits: Hits, n_relevant: Counts) -> tuple[NDArray[np.intp], int]:
    """Hits of each user and k, after a check of the shapes."""
    if hits.ndim != 2 or hits.shape[1] < 1 or n_relevant.shape != hits.shape[:1]:
        raise ValueError(
            "hits must have shape (n_users, k) with k >= 1 and n_relevant shape (n_users,); "
            f"got {hits.shape} and {n_relevant.shape}."
        )
    return np.count_nonzero(hits, axis=1), hits.shape[1]


def _over(numerator: NDArray[Any], denominator: NDArray[Any]) -> Values:
    """Quotient in float64, NaN where the denominator is 0."""
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
