"""Requests that tell something of the visitors, beside or instead of who they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.base import Query, Recommendations, State
from ecomrec.exceptions import DataError
from ecomrec.kernels import ranking
from ecomrec.requests import make_query, strangers


def visitors(
    state: State, users: Any, history: Any, n: int, told: str
) -> tuple[Sequence[Any] | np.ndarray, Query]:
    """Who asks: users, histories, or `n` strangers of whom nothing but `told` is known."""
    if users is None and history is None:
        return range(n), strangers(n)
    keys, query, _ = make_query(state, users, history)
    if len(query.users) != n:
        raise DataError(f"{told} has {n} rows for {len(query.users)} visitors. Give one for each.")
    return keys, query


def answered(
    state: State,
    keys: Sequence[Any] | np.ndarray,
    items: np.ndarray,
    scores: np.ndarray,
    mask: ranking.Mask,
    open_rows: np.ndarray | bool = True,
) -> Recommendations:
    """What was found, with popular items behind it, in rows that may be filled."""
    if (items[:, -1] < 0).any():
        ranking.fill_by_popularity(items, scores, state.by_popularity, mask, open_rows)
    return Recommendations(state.interactions.items.take(items), scores, keys)
