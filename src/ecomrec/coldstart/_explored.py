"""Answers that say with which chance they came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.base import Recommendations


class ExploredRecommendations(Recommendations):
    """Recommendations with the chances that they had.

    Attributes
    ----------
    propensities : ndarray of shape (n, k), float64
        The chance that this item was shown in this place, over all draws; NaN where nothing is.
    explored : ndarray of shape (n, k), bool
        Places that were given to new items.
    """

    __slots__ = ("explored", "propensities")

    def __init__(
        self,
        items: np.ndarray,
        scores: np.ndarray,
        keys: Sequence[Any] | np.ndarray,
        propensities: np.ndarray | None = None,
        explored: np.ndarray | None = None,
    ) -> None:
        super().__init__(items, scores, keys)
        self.propensities = np.ones(items.shape) if propensities is None else propensities
        self.explored = np.zeros(items.shape, dtype=bool) if explored is None else explored

    def to_frame(self, backend: str = "pandas") -> Any:
        """Return a tidy table, with columns `explored` and `propensity`: what a log must hold."""
        import narwhals as nw

        frame = nw.from_native(super().to_frame(backend), eager_only=True)
        shown = ~np.isnan(self.scores)
        more = {
            "explored": nw.new_series(
                "explored",
                self.explored[shown].tolist(),
                nw.Boolean(),
                backend=frame.implementation,
            ),
            "propensity": nw.new_series(
                "propensity",
                self.propensities[shown].tolist(),
                nw.Float64(),
                backend=frame.implementation,
            ),
        }
        return frame.with_columns(*more.values()).to_native()
