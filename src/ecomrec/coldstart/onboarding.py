"""Which few items to ask a newcomer about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from ecomrec._validation import Rule, check_k, choice, integer
from ecomrec.base import BaseRecommender, Query, Recommendations, SideTables, State, Unknown
from ecomrec.cf import ALS, ItemKNN
from ecomrec.coldstart import _questions as asking
from ecomrec.coldstart._context import answered
from ecomrec.coldstart._questions import DISLIKED, LIKED, UNKNOWN, Questions
from ecomrec.composite import Named, WrappingRecommender
from ecomrec.data.ids import id_list
from ecomrec.data.interactions import Interactions
from ecomrec.data.source import Source
from ecomrec.exceptions import DataError
from ecomrec.requests import check_unknown, make_mask

STRATEGIES = ("a_optimal", "tree", "entropy", "log_popularity_entropy", "popular")
_ANSWERS: dict[Any, int] = {
    "liked": LIKED, "disliked": DISLIKED, "unknown": UNKNOWN,
    True: LIKED, False: DISLIKED, None: UNKNOWN,
}  # fmt: skip


class Onboarding(WrappingRecommender):
    r"""Asks newcomers about a few items, and answers from what they say.

    It is the recommender that it wraps, and beside that knows which questions to ask. Of each item
    a newcomer says that they like it, dislike it, or do not know it; what they like is folded in
    as a history, at once, and what they dislike is not shown. A score is the model's.

    Parameters
    ----------
    model : BaseRecommender or None
        Who recommends; an `ALS` if None. Fitted here, on a clone.
    strategy : {"a_optimal", "tree", "entropy", "log_popularity_entropy", "popular"}
        How questions are chosen, among the `n_candidates` items that most users know:

        * "a_optimal": one by one, those after whose answers the predictions of all that a
          newcomer might like vary least, times the chance that a newcomer likes them [1]_.
        * "tree": the next question depends on the answers so far. A node of the tree asks what
          best divides its users into those who like, dislike and do not know the item, by the
          squared error of saying of each group what share of it likes what [2]_.
        * "entropy": items by the entropy of the three answers [3]_. With events instead of
          ratings most items are not known to most: then it is nearly "popular".
        * "log_popularity_entropy": the logarithm of how many know the item, times the entropy of
          what they say of it [4]_; needs dislikes (ratings, or events that were taken back).
        * "popular": items by the number of users who know them.
    n_questions : int
        How many are asked at most.
    n_candidates : int
        How many items, of those that most users know, are thought of as questions.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted recommender, as `model`.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        As of the recommender: questions are chosen anew.

    See Also
    --------
    ColdStart : What to show those who were not asked.

    Notes
    -----
    Of ratings, those above the mean of all are likes; of events, those whose net weight is
    positive, and others are dislikes.

    Questions are chosen by `fit`, `refresh` and `forget`; `partial_fit` leaves them as they are.
    With c candidates a level of the tree costs the sum over users of how many candidates times how
    many items they know; "a_optimal" costs a truncated singular value decomposition. Asking costs
    nothing, changes nothing, and what was answered is kept by the caller: any number of newcomers
    may be asked at once.

    References
    ----------
    .. [1] Anava, Golan, Golbandi, Karnin, Lempel, Rokhlenko, Somekh: Budget-constrained item
       cold-start handling in collaborative filtering recommenders via optimal design. WWW 2015.
    .. [2] Golbandi, Koren, Lempel: Adaptive bootstrapping of recommender systems using decision
       trees. WSDM 2011.
    .. [3] Rashid, Karypis, Riedl: Learning preferences of new users in recommender systems: an
       information theoretic approach. SIGKDD Explorations 2008.
    .. [4] Rashid, Albert, Cosley, Lam, McNee, Konstan, Riedl: Getting to know you: learning new
       user preferences in recommender systems. IUI 2002.

    Examples
    --------
    >>> from ecomrec.cf import ItemKNN
    >>> from ecomrec.coldstart import Onboarding
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = Onboarding(ItemKNN(), n_questions=3).fit(train)
    >>> model.questions()
    [0, 2, 8]
    >>> model.next_question({0: "unknown"})
    2
    >>> recs = model.recommend(answers={0: "unknown", 1: "liked"}, k=4)
    >>> recs.items.tolist()
    [[3, 5, 7, 9]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "model": Rule(
            "None or a recommender",
            lambda v: v is None or isinstance(v, BaseRecommender),
            ("ALS", 3, BaseRecommender),
        ),
        "strategy": choice(*STRATEGIES),
        "n_questions": integer(1),
        "n_candidates": integer(1),
    }
    _own_types: ClassVar[tuple[type, ...]] = (Questions,)
    # Strategies show on newcomers only, not on folds of events.
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {"model": [ALS(), ItemKNN()]}

    def __init__(
        self,
        model: BaseRecommender | None = None,
        *,
        strategy: str = "a_optimal",
        n_questions: int = 10,
        n_candidates: int = 300,
    ) -> None:
        self.model = model
        self.strategy = strategy
        self.n_questions = n_questions
        self.n_candidates = n_candidates

    def _parts(self) -> Named:
        return [("model", ALS() if self.model is None else self.model)]

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten, as of the model."""
        return bool(getattr(self._parts()[0][1], "forget_exact_", False))

    # ------------------------------------------------------------------ learning

    def _learn_own(self, source: Source, sides: SideTables) -> Questions:
        return self._chosen(source.shop(self._values(), self.half_life))

    def _own_without(
        self, state: State, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Questions:
        return self._chosen(left)

    def _own_refreshed(self, state: State) -> Questions:
        return self._chosen(state.interactions)

    def _chosen(self, shop: Interactions) -> Questions:
        """The questions to ask."""
        liked, disliked = _opinions(shop)
        likes, dislikes = (said.sum(axis=0).astype(np.int64) for said in (liked, disliked))
        pool = np.argsort(-(likes + dislikes), kind="stable")[: self.n_candidates]
        if self.strategy == "a_optimal":
            return asking.static(asking.a_optimal(liked, pool, self.n_questions))
        worth = (likes + dislikes).astype(np.float64)
        if self.strategy == "entropy":
            worth = asking.entropies(likes, dislikes, shop.n_users)
        elif self.strategy == "log_popularity_entropy":
            worth = asking.log_popularity_entropies(likes, dislikes)
        order = pool[np.argsort(-worth[pool], kind="stable")]
        if self.strategy != "tree":
            return asking.static(order[: self.n_questions])
        items, children = asking.grow_tree(liked, disliked, pool, self.n_questions)
        return Questions(order.astype(np.int32), items, children)

    # ------------------------------------------------------------------ asking

    def questions(self, k: int | None = None) -> list[Any]:
        """Return items to ask about, in that order, whatever the answers.

        Parameters
        ----------
        k : int or None
            How many; `n_questions` if None, and at most as many.

        Returns
        -------
        list of ids
            With `strategy="tree"`, what is asked of those who know none of them.
        """
        most = self.n_questions if k is None else min(check_k(k), self.n_questions)
        answers: dict[Any, Any] = {}
        while len(answers) < most:
            item = self.next_question(answers)
            if item is None:
                break
            answers[item] = None
        return list(answers)

    def next_question(self, answers: Mapping[Any, Any] | None = None) -> Any:
        """Return the item to ask about next.

        Parameters
        ----------
        answers : dict, optional
            Answers so far, by item: "liked", "disliked" or "unknown"; or True, False, None. It is
            not changed.

        Returns
        -------
        id or None
            None if `n_questions` are answered, or there is nothing left to ask.
        """
        state = self._fitted_state()
        own: Questions = state.learned.own
        said = _read(answers or {})
        if len(said) >= self.n_questions:
            return None
        rows = state.interactions.items.rows(list(said))
        known = dict(zip(rows.tolist(), said.values(), strict=True))
        node = 0 if len(own.items) else -1
        while node >= 0:
            item = int(own.items[node])
            answer = known.get(item)
            if answer is None and _may_ask(state, item):
                return state.interactions.items.ids[[item]].tolist()[0]
            node = int(own.children[node, UNKNOWN if answer is None else answer])
        for item in own.order.tolist():
            if item not in known and _may_ask(state, item):
                return state.interactions.items.ids[[item]].tolist()[0]
        return None

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        answers: Any = None,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for users, for histories, or for newcomers who were asked.

        Parameters
        ----------
        users : list of ids, optional
            Known users; with `answers`, also others.
        k : int
            Items per row.
        answers : dict, or list of dict, optional
            What one newcomer, or each of several, says of some items: "liked", "disliked" or
            "unknown"; or True, False, None. Items not known here are ignored. Every row is
            answered: who likes nothing gets what is popular.
        history : list of sequences of item ids, or table, optional
            What each visitor did, instead of `answers`.
        candidates : list of ids, or list of lists, optional
            Nothing else is recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never recommended; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the visitor has touched, likes or dislikes.
        unknown : {"raise", "skip"}
            What happens to users never seen, unless there are answers.

        Returns
        -------
        Recommendations
        """
        if answers is None:
            return super().recommend(
                users, k, history=history, candidates=candidates, exclude=exclude,
                exclude_seen=exclude_seen, unknown=unknown,
            )  # fmt: skip
        if history is not None:
            raise ValueError("recommend takes answers or a history of a newcomer, not both.")
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        said = [_read(one) for one in ([answers] if isinstance(answers, Mapping) else answers)]
        keys = [object() for _ in said] if users is None else id_list(users, "users")
        if len(keys) != len(said):
            raise DataError(f"answers has {len(said)} rows for {len(keys)} users. Give one each.")
        query = self._told(state, keys, said)
        self._freshen(state, query)
        mask = make_mask(state, query, candidates, exclude, exclude_seen)
        items, scores = self._top_k(state, query, k, mask)
        open_rows = self._may_fill(query)
        silent = open_rows & (query.users < 0) & (np.diff(query.profiles.indptr) == 0)
        items[silent], scores[silent] = -1, np.nan
        called = range(len(keys)) if users is None else keys
        return answered(state, called, items, scores, mask, open_rows)

    def _told(
        self, state: State, keys: Sequence[Any] | np.ndarray, said: list[dict[Any, int]]
    ) -> Query:
        """Who asks, with what is stored and the answers of each row, whoever gave others."""
        _, query, _ = self._ask(state, keys, [[] for _ in keys])
        rows = [object() for _ in keys]  # nobody's id, and each one's own
        _, told, _ = self._ask(state, rows, _history(state, rows, said))
        views = told.views
        if query.views is not None and views is not None:
            views = {kind: part.plus(views[kind], kind[0]) for kind, part in query.views.items()}
        profiles = query.profiles.plus(told.profiles, state.interactions.kind)
        return query._replace(profiles=profiles, views=views)


def _opinions(shop: Interactions) -> tuple[sp.csr_array, sp.csr_array]:
    """Who likes and who dislikes what, as matrices of ones."""
    matrix = shop.to_scipy()
    least = float(shop.data.mean()) if shop.kind == "rating" and shop.n_entries else 0.0
    likes = matrix.data > least
    if shop.kind == "rating" and not likes.any():
        likes[:] = True  # all ratings are alike
    said = []
    for part in (likes, ~likes):
        one = matrix.astype(np.float64)
        one.data[:] = part
        one.eliminate_zeros()
        said.append(one)
    return said[0], said[1]


def _may_ask(state: State, item: int) -> bool:
    return state.available is None or bool(state.available[item])


def _read(answers: Any) -> dict[Any, int]:
    """Answers by item, checked."""
    if not isinstance(answers, Mapping):
        raise DataError(
            "answers must be a dict of item ids and what is said of them, such as "
            f"{{'sku1': 'liked'}}, or a list of these; got {answers!r}."
        )
    said = {}
    for item, answer in answers.items():
        try:
            said[item] = _ANSWERS[answer]
        except (KeyError, TypeError):
            raise DataError(
                f"the answer about {item!r} must be 'liked', 'disliked' or 'unknown' (or True, "
                f"False, None); got {answer!r}."
            ) from None
    return said


def _history(state: State, keys: Sequence[Any], said: list[dict[Any, int]]) -> Any:
    """Likes and dislikes as events, for models of weights and for models of ratings."""
    import pandas as pd

    shop = state.interactions
    rows = [
        (row, item, answer == LIKED)
        for row, answers in enumerate(said)
        for item, answer in answers.items()
        if answer != UNKNOWN and shop.items.rows([item])[0] >= 0
    ]
    ratings = shop.data if shop.kind == "rating" and shop.n_entries else np.array([0.0, 1.0])
    low, high = float(ratings.min()), float(ratings.max())
    return pd.DataFrame(
        {
            "user_id": pd.Series([keys[row] for row, *_ in rows], dtype=object),
            "item_id": pd.Series([item for _, item, _ in rows], dtype=object),
            "weight": np.array([float(liked) for *_, liked in rows]),
            "rating": np.array([high if liked else low for *_, liked in rows]),
        }
    )
