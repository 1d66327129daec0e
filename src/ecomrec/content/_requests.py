"""Who asks, what for, and the answer, where requests have queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.base import Query, Recommendations, State
from ecomrec.data.histories import Profiles
from ecomrec.exceptions import DataError
from ecomrec.kernels import ranking
from ecomrec.requests import make_query

_NO_WEIGHTS = np.empty(0, dtype=np.float32)


class SearchRecommendations(Recommendations):
    """Recommendations for queries.

    Attributes
    ----------
    fallback : ndarray of shape (n,), bool
        Rows whose query found nothing that may be shown: they hold plain recommendations.
    """

    __slots__ = ("fallback",)

    def __init__(
        self,
        items: np.ndarray,
        scores: np.ndarray,
        keys: Sequence[Any] | np.ndarray,
        key_name: str,
        fallback: np.ndarray,
    ) -> None:
        super().__init__(items, scores, keys, key_name)
        self.fallback = fallback

    def to_frame(self, backend: str = "pandas") -> Any:
        """Return a tidy table, as `Recommendations.to_frame`, with a column `fallback`."""
        import narwhals as nw

        frame = nw.from_native(super().to_frame(backend), eager_only=True)
        rows = np.nonzero(~np.isnan(self.scores))[0]
        flags = nw.new_series(
            "fallback", self.fallback[rows].tolist(), nw.Boolean(), backend=frame.implementation
        )
        return frame.with_columns(flags).to_native()

    def __repr__(self) -> str:
        text = super().__repr__()
        n = int(self.fallback.sum())
        return f"{text}\n  {n} without a hit: plain recommendations" if n else text


def visitors(
    state: State, users: Any, history: Any, texts: list[str]
) -> tuple[Sequence[Any] | np.ndarray, Query, np.ndarray]:
    """Who asks, as `make_query`; strangers called by their queries if nobody is named."""
    if users is not None or history is not None:
        return make_query(state, users, history)
    n = len(texts)
    nothing = Profiles(np.zeros(n + 1, dtype=np.int64), ranking.NOTHING, _NO_WEIGHTS)
    return texts, Query(np.full(n, -1), nothing, False), np.zeros(n, dtype=bool)


def one_each(texts: list[str], n: int, shared: bool) -> list[str]:
    """A query for each of n rows."""
    if shared:
        return texts * n if len(texts) == 1 else texts
    if len(texts) != n:
        raise DataError(f"query holds {len(texts)} texts for {n} rows. Give one, or one for each.")
    return texts


def users_of(state: State, hits: np.ndarray) -> np.ndarray:
    """How many users have evidence of each hit."""
    counts: np.ndarray = state.interactions.item_counts[hits]
    return counts


def cut(query: Query, rows: slice) -> tuple[np.ndarray, Profiles, bool]:
    return query.users[rows], query.profiles.part(rows), query.as_stored


def taken(query: Query, mask: ranking.Mask, rows: np.ndarray) -> tuple[Query, ranking.Mask]:
    """Some rows of a request."""
    at, where = _gathered(query.profiles.indptr, rows)
    profiles = Profiles(at, query.profiles.items[where], query.profiles.weights[where])
    at, where = _gathered(mask.excluded_at, rows)
    mask = mask._replace(excluded=mask.excluded[where], excluded_at=at)
    if len(mask.candidate_at):
        at, where = _gathered(mask.candidate_at, rows)
        mask = mask._replace(candidates=mask.candidates[where], candidate_at=at)
    return Query(query.users[rows], profiles, query.as_stored), mask


def _gathered(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of some rows laid end to end, and where their entries are."""
    lengths = np.diff(indptr)[rows]
    at = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    where = np.repeat(indptr[rows] - at[:-1], lengths) + np.arange(at[-1])
    return at, where
