"""Scores of several recommenders, put together by what was learned from pairs held out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import BaseRecommender, Explained, Query, SideTables, State
from ecomrec.cf import ALS, ItemKNN, Popularity
from ecomrec.composite import Composed, Named, named_parts
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.data.interactions import Interactions
from ecomrec.data.source import Source
from ecomrec.hybrid import _pair_features as pairs
from ecomrec.hybrid import _ranker
from ecomrec.hybrid._learned import LearningComposite
from ecomrec.hybrid._training import Pairs, Recipe, labels_of, learned_ranking, requests_of
from ecomrec.requests import slice_query

# Scores of a block of users take about this much memory.
_BLOCK_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class Stacked:
    """What `Stacking` learns beside its parts.

    Attributes
    ----------
    learner : estimator or None
        The final estimator as a file gives it back.
    knots : ndarray of shape (2, n)
        From margins to rates.
    n_positives : int
    """

    learner: Any
    knots: np.ndarray
    n_positives: int

    def fits(self, shop: Interactions, parts: Sequence[str], model: Any) -> bool:
        """Whether all has the shapes that a file must have given it."""
        return (
            self.knots.ndim == 2
            and len(self.knots) == 2
            and self.knots.dtype == np.float64
            and bool(np.isfinite(self.knots).all())
            and (self.learner is None or int(self.learner.n_features_in_) == len(parts))
        )


class Stacking(LearningComposite):
    r"""Learns from held-out pairs how to add up the scores of several recommenders.

    The score of item i for visitor u is the rate at which such items are touched,

    .. math:: \hat p_{ui} = c\Bigl(f\bigl(s^1_{ui} / m^1_u, \dots, s^n_{ui} / m^n_u\bigr)\Bigr)

    with the scores :math:`s^g_{ui}` of the parts, 0 where a part says nothing, the largest
    :math:`m^g_u` among what the visitor has not touched, the final estimator :math:`f`, and the
    calibration :math:`c`. Both are learned out of fold: `n_folds` times the parts are fitted
    without some pairs of each user, and say what they think of these and of what else they
    would recommend. Then the parts are fitted on all pairs.

    Parameters
    ----------
    parts : list of (name, recommender) or None
        Not with ``prefit=True``; None: `ALS`, `ItemKNN` and `Popularity`.
    final_estimator : estimator or None
        A classifier, regressor or ranker as in `TwoStage`; None: `LogisticRegression`.
    n_folds : int
        How many times the parts are fitted on a share of the pairs.
    n_candidates : int
        The best items of each part that teach the final estimator.
    n_negatives : int or None
        At most so many items of a user and a fold that were not held out teach it; None: all.
    calibration : {"sigmoid", "isotonic"} or None
        How scores become rates; see `TwoStage`.
    calibration_users : float
        Share of the users on whom rates are calibrated; they do not teach the final estimator.
    max_users : int or None
        At most so many users teach it.
    min_positives : int
        With fewer held-out items among the candidates, there is no final estimator.
    random_state : int, Generator, RandomState or None
        Draws folds and users.
    n_jobs : int or None
        Threads for ranking, as in joblib; the parts have their own.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted parts, by name.
    final_estimator_ : estimator or None
        As it is asked. None if there was too little to learn from: then the score is the mean of
        the parts' scores over their largest.
    n_positives_ : int
        How many candidates of its training had been held out.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        False: what was learned from the forgotten stays until the next fit.

    See Also
    --------
    TwoStage : With attributes, times and contexts, for some candidates.
    Blend : Fixed or learned weights.

    Notes
    -----
    A fit costs ``n_folds + 1`` fits of each part. Only `fit` trains the final estimator:
    `partial_fit`, `forget` and `refresh` update the parts. Rates are those among candidates in a
    fold, a share ``1 / n_folds`` of what users touch. Out-of-fold stacking is that of [1]_.

    References
    ----------
    .. [1] Wolpert: Stacked generalization. Neural Networks 1992.

    Examples
    --------
    >>> from ecomrec.cf import ItemKNN, Popularity
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.hybrid import Stacking
    >>> shop = make_shop(500, 80, random_state=0)
    >>> model = Stacking([("knn", ItemKNN()), ("popular", Popularity())]).fit(shop.events)
    >>> knn, popular = model.final_estimator_.coef_[0]
    >>> bool(knn > popular > 0)
    True
    """

    _own_types: ClassVar[tuple[type, ...]] = (Stacked,)
    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "parts": named_parts(),
        "final_estimator": _ranker.learner("what learns to add up scores"),
        "n_folds": integer(2),
        "n_candidates": integer(1),
        "n_negatives": integer(1, none=True),
        "calibration": choice("sigmoid", "isotonic", none=True),
        "calibration_users": real(0.01, 0.9),
        "max_users": integer(1, none=True),
        "min_positives": integer(1),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "n_folds": [2, 5],
        "n_candidates": [50, 100, 200],
    }

    def __init__(
        self,
        parts: list[tuple[str, BaseRecommender]] | None = None,
        final_estimator: Any = None,
        *,
        n_folds: int = 3,
        n_candidates: int = 100,
        n_negatives: int | None = 50,
        calibration: str | None = "sigmoid",
        calibration_users: float = 0.25,
        max_users: int | None = 10_000,
        min_positives: int = 50,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.parts = parts
        self.final_estimator = final_estimator
        self.n_folds = n_folds
        self.n_candidates = n_candidates
        self.n_negatives = n_negatives
        self.calibration = calibration
        self.calibration_users = calibration_users
        self.max_users = max_users
        self.min_positives = min_positives
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _parts(self) -> Named:
        if self.parts is not None:
            return list(self.parts)
        return [("als", ALS()), ("item_knn", ItemKNN()), ("popularity", Popularity())]

    def _values(self) -> Literal["weight", "rating"]:
        """Rates are no ratings, even if those of the parts are."""
        return "weight"

    def _learner(self) -> Any:
        return self.final_estimator

    def _final(self) -> Any:
        if self.final_estimator is not None:
            return self.final_estimator
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression()

    # ------------------------------------------------------------------ learning

    def _learn_own(self, source: Source, sides: SideTables) -> Stacked:
        shop = source.shop(self._values(), self.half_life)
        names = [name for name, _ in self._parts()]
        draw = int(make_rng(self.random_state).integers(2**31))
        recipe = Recipe(
            self._final(), self.n_negatives, self.calibration, self.calibration_users, 0.0,
            self.max_users, self.min_positives, self.n_candidates, draw,
        )  # fmt: skip
        asked = np.flatnonzero(np.diff(shop.indptr) > 1)
        folds = []
        if int((shop.data > 0).sum()) >= self.min_positives and shop.n_entries > self.n_folds:
            for number, (rest, held_out) in enumerate(source.folds(self.n_folds, seed=draw)):
                known = rest.shop(self._values(), self.half_life)
                parts = Composed(self._fitted_parts(rest, sides))
                state = State(known, parts, None, source.from_table)
                folds.append((number, state, requests_of(held_out, shop, None)[0]))

        def pairs_of(users: np.ndarray) -> Pairs:
            made = []
            for number, state, requests in folds:
                rows = np.flatnonzero(np.isin(requests.users, users))
                query = self._stored(state, requests.users[rows])
                for start, block, profiles in self._scaled(state, query):
                    found = pairs.proposals(
                        list(np.moveaxis(block, 2, 0)), profiles, self.n_candidates, self.n_jobs
                    )
                    lists = [items for items, *_ in found.lists]
                    row, item = pairs.candidates(lists, shop.n_items)
                    request = rows[start + row]
                    labels = labels_of(requests, request, item, shop.n_items)
                    features = np.nan_to_num(block[row, item], nan=0.0)
                    made.append(Pairs(features, labels, request + number * shop.n_users))
            return Pairs.joined(made, len(names))

        is_place = np.zeros(len(names), dtype=bool)
        learned = learned_ranking(recipe, asked, shop.n_users, is_place, pairs_of)
        return Stacked(*(learned[name] for name in ("learner", "knots", "n_positives")))

    # ------------------------------------------------------------------ answering

    def _score(self, state: State, query: Query) -> np.ndarray:
        result = np.empty((len(query.users), state.interactions.n_items), dtype=np.float32)
        for start, block, _ in self._scaled(state, query):
            values = np.full(block.shape[:2], np.nan)
            some = ~np.isnan(block).all(axis=2)
            values[some] = self._rates(state, np.nan_to_num(block[some], nan=0.0))
            result[start : start + len(block)] = values
        return result

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        ((_, block, _),) = self._scaled(state, query)
        row = block[0, item]
        if np.isnan(row).all():
            return [], [], np.empty(0), []
        names = [name for name, _ in self._parts()]
        baseline, shares = _ranker.shapley_values(
            lambda rows: self._rates(state, rows), np.nan_to_num(row, nan=0.0), np.zeros(len(row))
        )
        kinds = ["baseline"] + ["feature"] * len(names)
        reasons = [None, *(f"{name}_score" for name in names)]
        found = kinds, reasons, np.append(baseline, shares), [type(self).__name__, *names]
        return self._with_reasons(state, query, item, found)

    def _rates(self, state: State, features: np.ndarray) -> np.ndarray:
        own: Stacked = state.learned.own
        if own.learner is None:
            mean: np.ndarray = features.mean(axis=1)
            return mean
        return _ranker.rates(own.knots, _ranker.margins(own.learner, features))

    def _stored(self, state: State, users: np.ndarray) -> Query:
        """A query for what is stored of some users."""
        query = Query(users, stored_profiles(state.interactions, users), True)
        self._freshen(state, query)
        return query

    def _scaled(self, state: State, query: Query) -> Any:
        """Blocks of rows: start, scores over their largest (n, n_items, n_parts), profiles."""
        n_parts, n_items = len(state.learned.parts), state.interactions.n_items
        size = max(1, _BLOCK_BYTES // (8 * n_parts * n_items))
        for start in range(0, len(query.users), size):
            part = slice_query(query, slice(start, min(start + size, len(query.users))))
            blocks = [scaled(b, part.profiles) for b in self._blocks(state, part)]
            yield start, np.stack(blocks, axis=2), part.profiles

    # ------------------------------------------------------------------ fitted attributes

    @property
    def final_estimator_(self) -> Any:
        """The final estimator as it is asked, or None."""
        return self._attribute("final_estimator_").learned.own.learner

    @property
    def n_positives_(self) -> int:
        """How many candidates of its training had been held out."""
        return int(self._attribute("n_positives_").learned.own.n_positives)


def scaled(block: np.ndarray, profiles: Profiles) -> np.ndarray:
    """Scores over the largest of each row among what the visitor has not touched."""
    n = len(block)
    sizes = np.abs(block)
    sizes[np.repeat(np.arange(n), np.diff(profiles.indptr)), profiles.items] = np.nan
    largest = np.nan_to_num(np.fmax.reduce(sizes, axis=1), nan=0.0)
    found: np.ndarray = block / pairs.scale_of(block, largest)[:, None]
    return found
