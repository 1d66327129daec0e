"""Requests that tell something of the visitors, beside or instead of who they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.base import Query, Recommendations, State, Unknown
from ecomrec.data.histories import Profiles
from ecomrec.exceptions import DataError
from ecomrec.kernels import ranking
from ecomrec.requests import make_query

_NO_WEIGHTS = np.empty(0, dtype=np.float32)


def visitors(
    state: State, users: Any, history: Any, n: int, told: str
) -> tuple[Sequence[Any] | np.ndarray, Query]:
    """Who asks: users, histories, or `n` strangers of whom nothing but `told` is known."""
    if users is None and history is None:
        nothing = Profiles(np.zeros(n + 1, dtype=np.int64), ranking.NOTHING, _NO_WEIGHTS)
        return range(n), Query(np.full(n, -1), nothing, False)
    keys, query, _ = make_query(state, users, history)
    if len(query.users) != n:
        raise DataError(f"{told} has {n} rows for {len(query.users)} visitors. Give one for each.")
    return keys, query


def check_unknown(unknown: Unknown) -> None:
    """Refuse another word than the two there are."""
    if unknown not in ("raise", "skip"):
        raise ValueError(f"unknown must be 'raise' or 'skip'; got {unknown!r}.")


def answered(
    state: State,
    keys: Sequence[Any] | np.ndarray,
    items: np.ndarray,
    scores: np.ndarray,
    mask: ranking.Mask,
) -> Recommendations:
    """What was found, with popular items behind it."""
    if (items[:, -1] < 0).any():
        ranking.fill_by_popularity(items, scores, state.by_popularity, mask)
    return Recommendations(state.interactions.items.take(items), scores, keys)
