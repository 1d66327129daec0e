"""Blends: a weighted sum of comparable scores, with weights that can be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, choice, jobs
from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.composite import Composed, named_parts
from ecomrec.data.histories import stored_profiles
from ecomrec.data.interactions import Interactions
from ecomrec.data.source import Source
from ecomrec.exceptions import FileFormatError
from ecomrec.hybrid._comparable import borda_points, places, standardized
from ecomrec.hybrid._learned import refuse_prefit
from ecomrec.hybrid._mixture import Mixture, check_weights, weights_rule
from ecomrec.hybrid._weights import (
    Learned,
    groups_of,
    learn,
    panel_of,
    rate_curve,
    sampled_users,
)

# Share of the events, the latest, that weights and rates are learned from.
_LATER = 0.2
# Places told apart by ranks.
_DEPTH = 1000
_NO_CURVE = np.zeros((0, 0))


class Blend(Mixture):
    r"""Weighted sum of the scores of several recommenders, made comparable.

    .. math:: s_{ui} = \sum_p w_p(u) \, c_p(s^p_{ui})

    Scores of models live on scales of their own. `normalize` says what :math:`c_p` makes of them;
    an item of which a part knows nothing gets 0 from it. The weights are equal, given, learned on
    the latest fifth of the events, or learned for users of few and of many events apart.

    A score compares items for one user; with ``normalize="probability"`` scores of two users
    compare too.

    Parameters
    ----------
    parts : list of (name, recommender), optional
        Recommenders of any kind, other compositions too; ``set_params(name__parameter=...)``
        reaches into them. `ItemKNN` and `ALS` if None. None with ``prefit=True`` where weights or
        rates are learned.
    weights : list of float, "learned", "evidence" or None
        One for each part, of sum 1; None: equal ones. "learned": those that rank best what users
        touched in the latest fifth of the events (NDCG@10), for parts fitted on the rest; the
        parts are then fitted on everything. "evidence": the same for users of fewer than 3, 6, 11,
        21, 51 and of more items apart, each drawn towards those for all.
    normalize : {"zscore", "rank", "probability"}
        "zscore": how far above no evidence, in units of the spread of what is new to the user.
        "rank": the share of the best 1000 places that are lower. "probability": the rate at which
        items of that z-score were touched later, a rising curve learned on the latest fifth.
    n_jobs : int or None
        Threads, as in joblib, for ranking; parts have their own.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted parts, by name.
    weights_ : ndarray of shape (n_groups, n_parts), float64
        One row, or with "evidence" one for each range of history lengths.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        Whether `forget` equals a fit without what was forgotten: if it does in every part and
        nothing is learned from later events.

    See Also
    --------
    RankFusion : Ranks alone; nothing to tune.
    Switch : One part answers each visitor.

    Notes
    -----
    A fit costs those of the parts, twice if anything is learned. A row of an answer costs a full
    row of scores from each part. `partial_fit`, `forget` and `refresh` do what they do in the
    parts; weights and rates stay until the next `fit`. They are learned from 2,000 users at most,
    drawn with a fixed seed; without times the "later" fifth is drawn so from the pairs. See [1]_
    and [2]_.

    References
    ----------
    .. [1] Burke: Hybrid recommender systems: survey and experiments. UMUAI 12, 2002.
    .. [2] Montague, Aslam: Relevance score normalization for metasearch. CIKM 2001.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import ItemKNN
    >>> from ecomrec.content import TfidfRecommender
    >>> from ecomrec.hybrid import Blend
    >>> items = pd.DataFrame({"item_id": [1, 2, 3], "title": ["red mug", "red tea pot", "towel"]})
    >>> events = pd.DataFrame({"user_id": ["ann", "bob", "bob"], "item_id": [1, 1, 3]})
    >>> parts = [("cf", ItemKNN()), ("text", TfidfRecommender())]
    >>> model = Blend(parts, weights=[0.4, 0.6]).fit(events, items=items)
    >>> model.recommend(["ann"], k=2)
    Recommendations: 1 rows, 2 places
      'ann': 2 0.6, 3 0.4
    >>> model.set_params(cf__n_neighbors=50).parts[0][1].n_neighbors
    50
    """

    _own_types: ClassVar[tuple[type, ...]] = (Learned,)
    _score_unit: ClassVar[float] = 3.0
    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "parts": named_parts(),
        "weights": weights_rule("learned", "evidence"),
        "normalize": choice("zscore", "rank", "probability"),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "weights": [None, "learned", "evidence"],
        "normalize": ["zscore", "rank", "probability"],
    }

    def __init__(
        self,
        parts: list[tuple[str, BaseRecommender]] | None = None,
        *,
        weights: Sequence[float] | str | None = None,
        normalize: str = "zscore",
        n_jobs: int | None = -1,
    ) -> None:
        self.parts = parts
        self.weights = weights
        self.normalize = normalize
        self.n_jobs = n_jobs

    def _check_params(self) -> None:
        super()._check_params()
        if not isinstance(self.weights, str):
            check_weights(self.weights, len(self._parts()), type(self).__name__)
        if self._learns():
            refuse_prefit(self._parts(), type(self).__name__)

    def _learns(self) -> bool:
        """Whether weights or rates are learned, for parts fitted on the earlier events."""
        return isinstance(self.weights, str) or self.normalize == "probability"

    # ------------------------------------------------------------------ learning

    def _learn_own(self, source: Source, sides: SideTables) -> Learned:
        n_parts = len(self._parts())
        learning = isinstance(self.weights, str)
        given = np.full(n_parts, 1 / n_parts) if learning else self._given()
        if not self._learns():
            return Learned(given[None], _NO_CURVE, _NO_CURVE)
        earlier, later = source.split(_LATER)
        shop = earlier.shop(self._values(), self.half_life)
        users = sampled_users(later, np.diff(shop.indptr))
        chance = shop.n_entries / (shop.n_users * shop.n_items)
        if len(users) == 0:
            nothing = np.empty(0)
            return Learned(given[None], *self._curves([nothing] * n_parts, nothing, chance))
        parts = self._fitted_parts(earlier, sides)
        state = State(shop, Composed(parts), None, source.from_table)

        def query_of(rows: np.ndarray) -> Query:
            return Query(rows, stored_profiles(shop, rows), True)

        def blocks(rows: np.ndarray) -> np.ndarray:
            asked = query_of(rows)
            self._freshen(state, asked)
            return np.stack([self._said(state, n, asked)[1] for n in range(n_parts)])

        def touched(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return stored_profiles(shop, rows)[:2]

        size = max(1, 16_000_000 // (4 * shop.n_items * n_parts))
        panel = panel_of(blocks, users, later, touched, size)
        values = [panel.values[..., n] for n in range(n_parts)]
        curves = self._curves([v[panel.real] for v in values], panel.hits[panel.real], chance)
        if self.normalize == "probability":
            rates = [_rates(*given) for given in zip(values, *curves, strict=True)]
            panel = panel._replace(values=np.stack(rates, axis=-1))
        weights = learn(panel, self.weights == "evidence") if learning else given[None]
        return Learned(weights, *curves)

    def _curves(
        self, values: list[np.ndarray], hits: np.ndarray, chance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rates of the curve of each part, (n_parts, n_points), if there are any."""
        if self.normalize != "probability":
            return _NO_CURVE, _NO_CURVE
        found = [rate_curve(scores, hits, chance) for scores in values]
        return np.array([x for x, _ in found]), np.array([y for _, y in found])

    def _restored_own(
        self, manifest: dict[str, Any], arrays: dict[str, np.ndarray], shop: Interactions
    ) -> Learned:
        own: Learned = super()._restored_own(manifest, arrays, shop)
        if not own.fits(len(self._parts())):
            raise FileFormatError("the weights do not fit the parts; the file is damaged.")
        return own

    def _given(self) -> np.ndarray:
        return check_weights(self.weights, len(self._parts()), type(self).__name__)

    # ------------------------------------------------------------------ answering

    def _comparable(
        self, state: State, number: int, block: np.ndarray, query: Query
    ) -> np.ndarray:
        if self.normalize == "rank":
            return borda_points(
                places(block, query, _DEPTH, self.n_jobs), min(_DEPTH, block.shape[1])
            )
        worth = standardized(block, query)
        own: Learned | None = state.learned.own
        if own is None or len(own.curve_scores) == 0:
            return worth
        return _rates(worth, own.curve_scores[number], own.curve_rates[number])

    def _shares(self, state: State, query: Query) -> np.ndarray:
        weights: np.ndarray = state.learned.own.weights
        if len(weights) == 1:
            return weights
        of_rows: np.ndarray = weights[groups_of(np.diff(query.profiles.indptr))]
        return of_rows

    # ------------------------------------------------------------------ fitted attributes

    @property
    def weights_(self) -> np.ndarray:
        """Weights of the parts: a row, or one for each range of history lengths."""
        weights: np.ndarray = self._attribute("weights_").learned.own.weights
        return weights.copy()

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten."""
        parts = [part for _, part in self._parts()]
        return not self._learns() and all(getattr(part, "forget_exact_", False) for part in parts)


def _rates(worth: np.ndarray, scores: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Rates of hits at some scores; beyond the last point they rise as before it, up to 1."""
    found = np.interp(worth, scores, rates)
    rise = (rates[-1] - rates[0]) / max(scores[-1] - scores[0], 1e-12)
    found = np.minimum(found + np.maximum(worth - scores[-1], 0) * rise, 1.0)
    result: np.ndarray = np.where(worth > 0, found, 0.0).astype(np.float32)
    return result
