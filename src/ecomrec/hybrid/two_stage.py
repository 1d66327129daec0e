"""Candidates from several recommenders, put in order by what was learned from a later time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import BaseRecommender, SideTables, State
from ecomrec.cf import ALS, ItemKNN, Popularity
from ecomrec.composite import Composed, CompositeRecommender, Named, named_parts
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.data.tables import ITEM, USER
from ecomrec.exceptions import DataError
from ecomrec.hybrid import _pair_features as pairs
from ecomrec.hybrid import _ranker
from ecomrec.hybrid._answers_in_context import AnswersInContext
from ecomrec.hybrid._side_columns import SideColumns
from ecomrec.hybrid._training import (
    Pairs,
    Ranking,
    Recipe,
    context_of_pairs,
    fields_of,
    labels_of,
    learned_ranking,
    requests_of,
)


def _is_words(value: Any) -> bool:
    """Whether a value is a list of different words, at least one."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(word, str) for word in value)
        and len(set(value)) == len(value)
    )


class TwoStage(AnswersInContext):
    r"""Lets several recommenders propose, and orders what they propose by a learned ranker.

    Each generator g proposes its `n_candidates` best items for visitor u. The score of a
    candidate i is the rate at which such candidates are touched,

    .. math:: \hat p_{ui} = c\bigl(f(x_{ui})\bigr)

    where :math:`x_{ui}` are features of the pair (scores and places that the generators give it,
    attributes, popularity, times, prices, the context of the request), :math:`f` is the ranker
    and :math:`c` its calibration. Both are learned from what came later: the generators are
    fitted on the earlier events, features are made of what was known then, and a candidate counts
    as right if the user touched it in the later slice. Then the generators are fitted on all.

    A score reads as a rate: of shown candidates with score 0.1, one in ten is touched in a time
    as long as the later slice, by users who come back in it. Scores of two users compare.

    Parameters
    ----------
    candidates : list of (name, recommender) or None
        The generators, none with ``prefit=True``; None: `ALS`, `ItemKNN` and `Popularity`.
    ranker : estimator or None
        A classifier or regressor of scikit-learn, or a classifier, regressor or ranker of
        LightGBM or XGBoost. It learns 1 for what was touched and 0 for what was not; rankers with
        ``fit(X, y, group=...)`` get a group for each request. None:
        `HistGradientBoostingClassifier` with small trees.
    n_candidates : int
        Items that each generator proposes. What none of them proposes is recommended only where
        candidates run out, by popularity.
    context : list of str or None
        Columns of the event table that belong to a request rather than to an item, such as
        "device" or "hour". Requests then need them: ``recommend(users, context={"hour": 9})``.
    feature_groups : list of str or None
        Groups of features to use, of "scores", "ranks", "popularity", "recency", "history",
        "price", "items" and "users"; None: all.
    later : float
        Share of the pairs of user and item that teach the ranker: the newest, or some at random
        where there are no times.
    n_negatives : int or None
        At most so many untouched candidates of a request teach the ranker, drawn at random; None:
        all. Rates are calibrated on whole lists.
    calibration : {"sigmoid", "isotonic"} or None
        How scores become rates: a line in the log-odds, a rising step function (many later events
        only), or not at all.
    calibration_users : float
        Share of the later users (those with earlier events too) on whom rates and importances are
        estimated; they do not teach the ranker.
    held_out_users : float
        Share of the later users who teach nothing either, for a comparison on users whom no
        training has touched; see `held_out_users_`.
    max_users : int or None
        At most so many users teach the ranker.
    min_positives : int
        Fewer touched candidates than this teach nothing: there is no ranker then.
    random_state : int, Generator, RandomState or None
        Draws users and untouched candidates; given to a ranker that has none of its own.
    n_jobs : int or None
        Threads for ranking, as in joblib; generators and ranker have their own.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted generators, by name.
    ranker_ : estimator or None
        The ranker as it is asked. None if fewer than `min_positives` candidates were touched
        later: then the score is the mean over the generators of ``1 - (place - 1) /
        n_candidates``, 0 where one does not propose.
    n_positives_ : int
        How many candidates of the ranker's training were touched.
    feature_names_ : list of str
        Columns that the ranker gets.
    held_out_users_ : ndarray
        Ids of the users who taught neither ranker nor calibration: those held out, those of whom
        the later slice says nothing, and newcomers.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        False: what the ranker learned from the forgotten stays until the next fit.

    See Also
    --------
    Stacking : Scores of recommenders alone, over the whole catalogue.

    Notes
    -----
    What is counted from events (scores, popularity, times, usual prices) is counted from the
    earlier events while the ranker learns. Attributes are taken as the side tables give them: a
    column that was computed from later sales would leak, unless the table has a `timestamp`,
    since when a row holds; later rows count as missing in training. Numbers are features as they
    are, and the 20 most frequent values of columns of words are indicators.

    A fit costs two fits of each generator and one of the ranker. Only `fit` trains the ranker:
    `partial_fit`, `forget` and `refresh` update generators, attributes and times, and the ranker
    stays. A request costs the scores of the generators for the whole catalogue and the ranker's
    for the candidates. Two stages as in [1]_; calibration as in [2]_; explanations are sampled
    Shapley values [3]_, which add up to the score.

    References
    ----------
    .. [1] Covington, Adams, Sargin: Deep neural networks for YouTube recommendations. RecSys 2016.
    .. [2] Niculescu-Mizil, Caruana: Predicting good probabilities with supervised learning.
       ICML 2005.
    .. [3] Strumbelj, Kononenko: Explaining prediction models and individual predictions with
       feature contributions. KAIS 2014.

    Examples
    --------
    >>> from ecomrec.cf import ItemKNN, Popularity
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.hybrid import TwoStage
    >>> shop = make_shop(500, 80, random_state=0)
    >>> model = TwoStage([("knn", ItemKNN()), ("popular", Popularity())])
    >>> model = model.fit(shop.events, items=shop.items, users=shop.users)
    >>> items, scores = model.recommend([0], k=3)
    >>> bool(0 < scores[0, 0] < 1)
    True
    >>> "knn_score" in model.feature_importances().index
    True
    """

    _own_types: ClassVar[tuple[type, ...]] = (Ranking,)
    _part_lists: ClassVar[tuple[str, ...]] = ("candidates",)
    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "candidates": named_parts(),
        "ranker": _ranker.learner("what learns to rank"),
        "n_candidates": integer(1),
        "context": Rule(
            "None or a list of names of columns, each once",
            lambda v: v is None or _is_words(v),
            ([], "hour", [3], ["hour", "hour"]),
        ),
        "feature_groups": Rule(
            f"None or a list of some of {', '.join(map(repr, pairs.GROUPS))}",
            lambda v: v is None or (_is_words(v) and set(v) <= set(pairs.GROUPS)),
            ([], "scores", ["moods"], ["scores", "scores"]),
        ),
        "later": real(0.01, 0.9),
        "n_negatives": integer(1, none=True),
        "calibration": choice("sigmoid", "isotonic", none=True),
        "calibration_users": real(0.01, 0.9),
        "held_out_users": real(0, 0.9),
        "max_users": integer(1, none=True),
        "min_positives": integer(1),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "n_candidates": [50, 100, 200],
        "later": [0.1, 0.2, 0.3],
    }

    def __init__(
        self,
        candidates: list[tuple[str, BaseRecommender]] | None = None,
        ranker: Any = None,
        *,
        n_candidates: int = 100,
        context: list[str] | None = None,
        feature_groups: list[str] | None = None,
        later: float = 0.2,
        n_negatives: int | None = 50,
        calibration: str | None = "sigmoid",
        calibration_users: float = 0.25,
        held_out_users: float = 0.0,
        max_users: int | None = 10_000,
        min_positives: int = 50,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.candidates = candidates
        self.ranker = ranker
        self.n_candidates = n_candidates
        self.context = context
        self.feature_groups = feature_groups
        self.later = later
        self.n_negatives = n_negatives
        self.calibration = calibration
        self.calibration_users = calibration_users
        self.held_out_users = held_out_users
        self.max_users = max_users
        self.min_positives = min_positives
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _parts(self) -> Named:
        if self.candidates is not None:
            return list(self.candidates)
        return [("als", ALS()), ("item_knn", ItemKNN()), ("popularity", Popularity())]

    def _check_as_part(self, path: str, owner: CompositeRecommender) -> None:
        if self.context is not None:
            raise ValueError(
                f"{type(owner).__name__}: part {path!r} is a TwoStage with context="
                f"{list(self.context)}, which a {type(owner).__name__} does not hand on: such a "
                "model answers by itself only. In a part leave context out."
            )

    # ------------------------------------------------------------------ learning

    def _learn_own(self, source: Source, sides: SideTables) -> Ranking:
        shop = source.shop(self._values(), self.half_life)
        recipe = self._recipe()
        early, later = source.split(self.later, seed=recipe.seed)
        cells = None
        if self.context is not None:
            cells = context_of_pairs(source.events, self.context, later, shop)
        requests, coding = requests_of(later, shop, cells)
        facts = pairs.Facts(
            SideColumns.read(sides.items, ITEM, shop.items),
            SideColumns.read(sides.users, USER, shop.users),
            pairs.item_times(shop),
        )
        names = [name for name, _ in self._parts()]
        features = pairs.feature_names(names, facts, self._groups(), coding)
        if not features:
            raise DataError(
                f"feature_groups={self.feature_groups!r} leaves the ranker without features: the "
                "side tables have no columns of numbers or of words that repeat. Pass items= or "
                "users=, or name other groups."
            )
        known = early.shop(self._values(), self.half_life)
        state, before = None, facts
        if len(requests.touched) >= self.min_positives and known.n_entries:
            parts = Composed(self._fitted_parts(early, sides))
            state = State(known, parts, None, source.from_table)
            # Nothing that is known only since the cut.
            before = pairs.Facts(
                facts.items.known_at(known.newest) if known.timed else facts.items,
                facts.users.known_at(known.newest) if known.timed else facts.users,
                pairs.item_times(known),
            )

        def pairs_of(users: np.ndarray) -> Pairs:
            made: list[Pairs] = []
            if state is None:
                return Pairs.joined(made, len(features))
            asked = np.flatnonzero(np.isin(requests.users, users))
            query = self._stored(state, requests.users[asked])
            contexts = None if requests.contexts is None else requests.contexts[asked]
            for start, matrix, rows, found, _ in self._described(state, before, query, contexts):
                request_of = asked[start + rows]
                labels = labels_of(requests, request_of, found, shop.n_items)
                made.append(Pairs(matrix, labels, request_of))
            return Pairs.joined(made, len(features))

        # Of newcomers the generators know nothing: they would teach that popularity is all.
        askers = np.unique(requests.users)
        askers = askers[np.diff(known.indptr)[askers] > 0]
        is_place = np.zeros(len(features), dtype=bool)
        is_place[pairs.columns_of_parts(names, self._groups())[1]] = True
        learned = learned_ranking(recipe, askers, shop.n_users, is_place, pairs_of)
        code = None if coding is None else vars(coding)
        return Ranking(**learned, **fields_of(facts), context=code)

    def _recipe(self) -> Recipe:
        seed = int(make_rng(self.random_state).integers(2**31))
        return Recipe(
            self._ranker(),
            self.n_negatives,
            self.calibration,
            self.calibration_users,
            self.held_out_users,
            self.max_users,
            self.min_positives,
            self.n_candidates,
            seed,
        )

    def _ranker(self) -> Any:
        if self.ranker is not None:
            return self.ranker
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(
            learning_rate=0.05,
            max_leaf_nodes=7,
            min_samples_leaf=100,
            l2_regularization=10.0,
            early_stopping=False,
        )

    def _learner(self) -> Any:
        return self.ranker

    def _groups(self) -> Sequence[str]:
        return pairs.GROUPS if self.feature_groups is None else self.feature_groups

    def _own_added(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Ranking:
        own: Ranking = state.learned.own
        return own.added(shop, change, sides)

    def _own_without(
        self, state: State, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Ranking:
        own: Ranking = state.learned.own
        return own.without(left, kept_users, kept_items)
