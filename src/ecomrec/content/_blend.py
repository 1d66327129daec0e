"""How relevance, a visitor's taste and popularity become one score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Share of popularity in what is not relevance: measured, see the page on search.
_POPULARITY = 0.3


class Blended(NamedTuple):
    """What each part adds to the scores of a query's hits: float64, 0 behind the last hit."""

    query: np.ndarray
    person: np.ndarray
    popularity: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """The scores."""
        total: np.ndarray = self.query + self.person + self.popularity
        return total


def blend(relevance: np.ndarray, person: np.ndarray, counts: np.ndarray, weight: float) -> Blended:
    """Return the parts of the scores of one query's hits, each part from 0 to its weight.

    Parameters
    ----------
    relevance : ndarray of shape (n,)
        Scores of the index, best first; NaN behind the last hit.
    person : ndarray of shape (n,)
        Scores of the recommender; NaN where it knows nothing.
    counts : ndarray of shape (n,)
        How many users have evidence of each hit.
    weight : float
    """
    hit = ~np.isnan(relevance)
    taste = np.where(hit, np.nan_to_num(np.maximum(person, 0), nan=0.0), 0.0)
    known = np.where(hit, np.log1p(np.maximum(counts, 0)), 0.0)
    return Blended(
        (1 - weight) * _share(np.where(hit, relevance, 0.0)),
        weight * (1 - _POPULARITY) * np.sqrt(_share(taste)),
        weight * _POPULARITY * _share(known),
    )


def _share(values: np.ndarray) -> np.ndarray:
    """Values as shares of the largest one."""
    shares: np.ndarray = values / max(float(values.max(initial=0)), 1e-300)
    return shares
