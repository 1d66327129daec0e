"""Rank fusion: lists become one by the places that items have in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, choice, integer, jobs, real
from ecomrec.base import BaseRecommender, Query, State
from ecomrec.composite import named_parts
from ecomrec.hybrid._comparable import borda_points, places, reciprocal_ranks
from ecomrec.hybrid._mixture import Mixture, check_weights, weights_rule


class RankFusion(Mixture):
    r"""Fuses the rankings of several recommenders by the places of the items, not their scores.

    .. math:: s_{ui} = \sum_p \frac{w_p}{c + r_p(u, i)}
       \qquad\text{or}\qquad s_{ui} = \sum_p w_p \frac{N + 1 - r_p(u, i)}{N}

    reciprocal ranks [1]_, or Borda's points: :math:`r_p` is the place of the item in the list of
    part p for the user, from 1, among items that are new to the user. Items beyond place N and
    those of which a part knows nothing get nothing from it. Scores compare items for one user.

    Parameters
    ----------
    parts : list of (name, recommender), optional
        `ItemKNN` and `ALS` if None.
    method : {"reciprocal", "borda"}
    offset : float
        c above: the larger, the less the first places stand out.
    weights : sequence of float, optional
        One for each part, of sum 1; equal if None.
    depth : int
        N above.
    n_jobs : int or None
        Threads, as in joblib, for ranking; parts have their own.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted parts, by name.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        Whether `forget` equals a fit without what was forgotten: if it does in every part.

    See Also
    --------
    Blend : Sums scores, and learns the weights.

    Notes
    -----
    A fit costs those of the parts. A row of an answer costs a full row of scores from each part
    and finding its best N. Scores within a ten-thousandth of the user's largest share a place.

    References
    ----------
    .. [1] Cormack, Clarke, Buettcher: Reciprocal rank fusion outperforms Condorcet and individual
       rank learning methods. SIGIR 2009.

    Examples
    --------
    >>> from ecomrec.cf import EASE, ItemKNN
    >>> from ecomrec.datasets import make_checkerboard
    >>> from ecomrec.hybrid import RankFusion
    >>> train, held_out = make_checkerboard(20)
    >>> model = RankFusion([("knn", ItemKNN()), ("ease", EASE())]).fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0]), round(float(scores[0, 0]), 4)
    (4, 0.0164)
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "parts": named_parts(),
        "method": choice("reciprocal", "borda"),
        "offset": real(0),
        "weights": weights_rule(),
        "depth": integer(1),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "method": ["reciprocal", "borda"],
        "offset": [10, 30, 60, 120],
    }

    def __init__(
        self,
        parts: list[tuple[str, BaseRecommender]] | None = None,
        *,
        method: str = "reciprocal",
        offset: float = 60.0,
        weights: Sequence[float] | None = None,
        depth: int = 1000,
        n_jobs: int | None = -1,
    ) -> None:
        self.parts = parts
        self.method = method
        self.offset = offset
        self.weights = weights
        self.depth = depth
        self.n_jobs = n_jobs

    def _check_params(self) -> None:
        super()._check_params()
        check_weights(self.weights, len(self._parts()), type(self).__name__)

    def _comparable(
        self, state: State, number: int, block: np.ndarray, query: Query
    ) -> np.ndarray:
        ranks = places(block, query, self.depth, self.n_jobs)
        if self.method == "borda":
            return borda_points(ranks, min(self.depth, block.shape[1]))
        return reciprocal_ranks(ranks, self.offset)

    def _shares(self, state: State, query: Query) -> np.ndarray:
        return check_weights(self.weights, len(state.learned.parts), type(self).__name__)[None]
