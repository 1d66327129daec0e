"""Who asks, what for, and the answer, where requests have queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.base import Recommendations, State
from ecomrec.exceptions import DataError


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
