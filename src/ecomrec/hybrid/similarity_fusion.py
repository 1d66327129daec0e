"""User-based, item-based, and both at once: three kinds of evidence in one score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, jobs, real
from ecomrec.base import Explained, Query, State
from ecomrec.cf import ItemKNN, UserKNN
from ecomrec.composite import CompositeRecommender, Named
from ecomrec.data.histories import Profiles
from ecomrec.kernels import fusion, neighbors

_Rows = tuple[np.ndarray, ...]
# News that come to less than this share of what the visitor has already are none.
_LEAST = 1e-20


class SimilarityFusion(CompositeRecommender):
    r"""Adds up what alike users took, what is like one's own, and what is like what they took.

    With likeness :math:`s_{uv}` of users and :math:`s_{ij}` of items, and events :math:`w_{ui}`,
    the score of item j for user u is

    .. math::

        (1 - \delta) \lambda \frac{\sum_v s_{uv} w_{vj}}{Z_1}
        + (1 - \delta) (1 - \lambda) \frac{\sum_i w_{ui} s_{ij}}{Z_2}
        + \delta \, \frac{\sum_v \sum_i w_{vi} s_{vi,uj}}{Z_3}, \qquad
        s_{vi,uj} = \frac{1}{\sqrt{(\bar s_u / s_{uv})^2 + (\bar s / s_{ij})^2}}

    over the neighbours v of the user and the items i that have j for a neighbour, where
    :math:`\lambda` is `user_weight` and :math:`\delta` `both_weight`. Each Z is the largest such
    sum of an item that is new to the visitor: 1 is an item that is best by every kind of evidence.
    :math:`\bar s_u` and :math:`\bar s` are means over all that the third kind reads. Scores of one
    user are comparable, scores of two users are not.

    Parameters
    ----------
    user_knn : UserKNN or None
        Neighbours of users; one with its defaults if None. Fitted here, on a clone.
    item_knn : ItemKNN or None
        Neighbours of items; one with its defaults if None. Fitted here, on a clone.
    user_weight : float
        Of what is not both, the share of the user neighbours: 1 is user-based, 0 item-based.
    both_weight : float
        Share of alike users' events with alike items, which helps where data are thin. At 0 it is
        not computed.
    n_jobs : int or None
        Threads for the third kind of evidence, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted neighbour models: `user_knn` and `item_knn`.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    Raises
    ------
    ValueError
        At `fit`, if a neighbour model predicts ratings: this one ranks.

    See Also
    --------
    ecomrec.cf.UserKNN : The first kind of evidence alone.
    ecomrec.cf.ItemKNN : The second kind alone.

    Notes
    -----
    The paper [1]_ predicts ratings: each known rating, less the means of its user and item, is a
    predictor of the one asked for, with the weights above. Here the predictors are events, and one
    that never happened counts 0. Neighbours who have nothing new to the visitor are left out of
    the third kind, where they would repeat the second. It reads the similar items of all that the
    neighbours touched, for each request: neighbours x their items x `n_neighbors` of the items.
    `partial_fit` costs the batch; what it made stale is recomputed when a request needs it.

    References
    ----------
    .. [1] Wang, de Vries, Reinders: Unifying user-based and item-based collaborative filtering
       approaches by similarity fusion. SIGIR 2006.

    Examples
    --------
    >>> from ecomrec.datasets import make_checkerboard
    >>> from ecomrec.hybrid import SimilarityFusion
    >>> train, held_out = make_checkerboard(20)
    >>> items, scores = SimilarityFusion(user_weight=0.7).fit(train).recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "user_knn": Rule(
            "None or a UserKNN",
            lambda v: v is None or isinstance(v, UserKNN),
            ("UserKNN", 3, UserKNN, ItemKNN()),
        ),
        "item_knn": Rule(
            "None or an ItemKNN",
            lambda v: v is None or isinstance(v, ItemKNN),
            ("ItemKNN", 3, ItemKNN, UserKNN()),
        ),
        "user_weight": real(0, 1),
        "both_weight": real(0, 1),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "user_weight": [0.2, 0.4, 0.6, 0.8],
        "both_weight": [0.0, 0.1, 0.3, 0.5],
    }
    _part_lists: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        user_knn: UserKNN | None = None,
        item_knn: ItemKNN | None = None,
        *,
        user_weight: float = 0.5,
        both_weight: float = 0.2,
        n_jobs: int | None = -1,
    ) -> None:
        self.user_knn = user_knn
        self.item_knn = item_knn
        self.user_weight = user_weight
        self.both_weight = both_weight
        self.n_jobs = n_jobs

    def _parts(self) -> Named:
        return [
            ("user_knn", UserKNN() if self.user_knn is None else self.user_knn),
            ("item_knn", ItemKNN() if self.item_knn is None else self.item_knn),
        ]

    def _check_params(self) -> None:
        super()._check_params()
        for name, part in self._parts():
            if part._values() == "rating":
                raise ValueError(
                    f"SimilarityFusion ranks, and {name} has target='rating'. Leave its target at "
                    "'ranking'; to predict ratings take one of the neighbour models alone."
                )

    def _freshen(self, state: State, query: Query | None) -> State:
        super()._freshen(state, query)
        users, items = state.learned.parts
        if query is None or self.both_weight == 0 or items._is_fresh(items._state, None):
            return state
        # The third kind also reads rows of items that neighbours touched.
        (_, near, _), _ = users._sources(users._state, self._asked_of(state, 0, query))
        read = np.unique(users._state.interactions.by_user.take(np.unique(near))[1][0])
        weights = np.ones(len(read), dtype=np.float32)
        theirs = Query(np.array([-1]), Profiles(np.array([0, len(read)]), read, weights), False)
        while items._freshen(items._state, theirs) is not items._state:
            pass
        return state

    # ------------------------------------------------------------------ answering

    def _score(self, state: State, query: Query) -> np.ndarray:
        _, blocks = self._evidence(state, query)
        found = sum(blocks[1:], start=blocks[0])
        found[found == 0] = np.nan
        return found

    def _evidence(self, state: State, query: Query) -> tuple[np.ndarray, list[np.ndarray]]:
        """Factors of the three kinds of evidence by row, and the products of those that count."""
        (users, items), n_items = state.learned.parts, state.interactions.n_items
        near, store = users._sources(users._state, self._asked_of(state, 0, query))
        history, rows = items._sources(items._state, self._asked_of(state, 1, query))
        rest = 1.0 - self.both_weight
        shares = rest * self.user_weight, rest * (1.0 - self.user_weight), self.both_weight
        factors, blocks = np.zeros((3, len(query.users))), []
        for kind, share in enumerate(shares):
            if share == 0:
                continue
            if kind == 0:
                block = neighbors.scores(near, store, n_items, self.n_jobs)
            elif kind == 1:
                block = neighbors.scores(history, rows, n_items, self.n_jobs)
            else:
                news = self._with_news(near, store, query, n_items)
                block = fusion.both(news, store, rows, n_items, self.n_jobs)
            np.nan_to_num(block, copy=False, nan=0.0)
            factors[kind] = share / _largest(block, query.profiles)
            # In float64: what has faded for years is far below the smallest normal float32.
            np.multiply(block, factors[kind][:, np.newaxis], out=block, casting="same_kind")
            blocks.append(block)
        return factors, blocks

    def _with_news(self, near: _Rows, store: _Rows, query: Query, n_items: int) -> _Rows:
        """Neighbours, at 0 where all they have is no news to the visitor."""
        seen = query.profiles.indptr, query.profiles.items
        return *near[:2], fusion.without_repeats(near, store, seen, n_items, self.n_jobs)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        part = state.learned.parts[1]
        found: neighbors.Rows = part._similar_items(part._state, rows, k)
        return found

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        part = state.learned.parts[0]
        found: neighbors.Rows = part._similar_users(part._state, rows, k)
        return found

    # ------------------------------------------------------------------ explaining

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        factors, _ = self._evidence(state, query)
        kinds: list[str] = []
        reasons: list[Any] = []
        parts: list[str] = []
        amounts = []
        for number, name in enumerate(("user_knn", "item_knn")):
            part = state.learned.parts[number]
            asked = self._asked_of(state, number, query)
            found = part._explain(part._state, asked, item)
            kinds += found[0]
            reasons += found[1]
            parts += [name] * len(found[0])
            amounts.append(found[2] * factors[number])
        shared = self._shared(state, query, item) * factors[2]
        told = np.flatnonzero(shared > 0)
        kinds += ["item"] * len(told)
        reasons += state.interactions.items.take(query.profiles.items[told]).tolist()
        parts += ["both"] * len(told)
        amounts.append(shared[told])
        return kinds, reasons, np.concatenate(amounts), parts

    def _shared(self, state: State, query: Query, item: int) -> np.ndarray:
        """The third kind of evidence for an item, over what visitor and neighbours share."""
        shares = np.zeros(len(query.profiles.items))
        if self.both_weight == 0:
            return shares
        (users, items), n_items = state.learned.parts, state.interactions.n_items
        asked = self._asked_of(state, 0, query)
        near, store = users._sources(users._state, asked)
        _, people, likeness = self._with_news(near, store, query, n_items)
        people, likeness = people[likeness > 0], likeness[likeness > 0].astype(np.float64)
        by_user = users._state.interactions.by_user
        at, columns = by_user.take(people)
        held, weights = columns[0], np.maximum(columns[1], 0)
        owner = np.repeat(np.arange(len(people)), np.diff(at))[weights > 0]
        held, weights = held[weights > 0], weights[weights > 0]
        row_at, (others, values) = items._state.learned.neighbors.take(held)
        if not values.sum(dtype=np.float64) > 0:
            return shares
        entry = np.repeat(np.arange(len(held)), np.diff(row_at))
        there = np.flatnonzero((others == item) & (values > 0))
        owner, weights = owner[entry[there]], weights[entry[there]]
        one = likeness[owner] / likeness.mean()
        other = values[there] / values.mean(dtype=np.float64)
        brought = weights * one * other / np.sqrt(one**2 + other**2)
        for person in np.unique(owner):
            total = float(brought[owner == person].sum())
            shares += total * users._shares(users._state, asked, int(people[person]))
        return shares


def _largest(block: np.ndarray, profiles: Profiles) -> np.ndarray:
    """Largest value of each row among what is new to the visitor; of all if nothing is."""
    rows = np.repeat(np.arange(len(block)), np.diff(profiles.indptr))
    seen, everything = block[rows, profiles.items], block.max(axis=1).astype(np.float64)
    block[rows, profiles.items] = 0.0
    new = block.max(axis=1).astype(np.float64)
    block[rows, profiles.items] = seen
    largest = np.where(new > _LEAST * everything, new, everything)
    return np.where(largest > 0, largest, 1.0)
