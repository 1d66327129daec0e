"""What friends did: recommendations from a given social graph."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, check_k, jobs
from ecomrec.base import BaseRecommender, Query, Recommendations, SideTables, State, Unknown
from ecomrec.coldstart._circles import FRIENDS, Circles, lists_of, no_circles
from ecomrec.coldstart._context import answered, visitors
from ecomrec.data.ids import id_list
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.data.tables import to_frame
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble, neighbors, ranking
from ecomrec.requests import check_unknown, make_mask


class Friends(BaseRecommender):
    r"""Recommends what the friends of the visitor touched.

    The graph is given, in a column `friends` of the users table. With :math:`a_{uf}` what friend f
    counts for and :math:`w_{fi}` the weight of what they did, the score of item i for user u is

    .. math:: \sum_{f \in \text{friends of } u} a_{uf} \max(w_{fi}, 0)

    so without weights it is the number of friends who have the item. Scores of one user compare;
    those of two users do not, for one may have more friends. Without friends, or friends who did
    something, there is no evidence, and what is popular is shown.

    Parameters
    ----------
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten, friendships included.

    See Also
    --------
    friend_lists : Makes the users table from a table of pairs.

    Notes
    -----
    A cell of `friends` is a list of user ids, or a dict of these and their weights. Nobody is
    their own friend. People who are no users yet may be named: they count from the day they are;
    until then their ids are kept, and go with the first `refresh` or `forget` after the last list
    that names them. A user whom `partial_fit` gives a list loses the former one; an empty cell
    leaves it alone. A forgotten user vanishes from all lists.

    `partial_fit` is exact and costs the batch. An answer costs the events of the friends. People
    take over what their friends do, and have friends who are like them anyway [1]_.

    References
    ----------
    .. [1] Ma, Zhou, Liu, Lyu, King: Recommender systems with social regularization. WSDM 2011.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.coldstart import Friends
    >>> events = pd.DataFrame({"user_id": ["bob", "cat", "cat"], "item_id": ["tea", "tea", "mug"]})
    >>> users = pd.DataFrame({"user_id": ["ann"], "friends": [["bob", "cat"]]})
    >>> model = Friends().fit(events, users=users)
    >>> model.recommend(["ann"], k=2)
    Recommendations: 1 rows, 2 places
      'ann': 'tea' 2, 'mug' 1
    >>> model.explain("ann", "tea")
          part    kind reason  contribution
    0  Friends  friend    bob           1.0
    1  Friends  friend    cat           1.0
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {"half_life": duration(), "n_jobs": jobs()}
    _learned_types: ClassVar[tuple[type, ...]] = (Circles,)
    tuning_space: ClassVar[Mapping[str, Any]] = {"half_life": ["30D", "90D", "365D"]}
    _reads_friends = True
    forget_exact_ = True

    def __init__(self, *, half_life: HalfLife = None, n_jobs: int | None = -1) -> None:
        self.half_life = half_life
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        super()._check_tables(source, sides)
        if sides.users is None or FRIENDS not in to_frame(sides.users, "the users table").columns:
            _miss_friends(sides.users, source.from_table)

    def _fit(self, shop: Interactions, sides: SideTables) -> Circles:
        return no_circles(shop).told(shop, sides.users)

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Circles:
        known: Circles = state.learned
        return known.grown(shop).told(shop, sides.users)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Circles:
        known: Circles = state.learned
        return known.without(kept_users)

    def _refresh(self, state: State) -> Circles:
        # Nothing changes, but that whom no list names any more is forgotten.
        known: Circles = state.learned
        return known.without(np.ones(state.interactions.n_users, dtype=bool))

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        friends: Any = None,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for known users, or for visitors with the friends given.

        Parameters
        ----------
        users : list of ids, optional
            Known users.
        k : int
            Items per row.
        friends : list of lists of user ids, or of dicts, optional
            Friends of each visitor, for this call only and instead of what is stored; the ids
            among them that are no users count nothing. Neither users nor history are needed then,
            and every row is answered.
        history : list of sequences of item ids, or table, optional
            What each visitor did, as in `BaseRecommender.recommend`: it is not shown again.
        candidates : list of ids, or list of lists, optional
            Nothing else is recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never recommended; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched.
        unknown : {"raise", "skip"}
            What happens to users never seen, unless `friends` are given.

        Returns
        -------
        Recommendations
        """
        if friends is None:
            return super().recommend(
                users, k, history=history, candidates=candidates, exclude=exclude,
                exclude_seen=exclude_seen, unknown=unknown,
            )  # fmt: skip
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        given = lists_of(id_list(friends, "friends"), state.interactions.users)
        keys, query = visitors(state, users, history, len(given.indptr) - 1, "friends")
        mask = make_mask(state, query, candidates, exclude, exclude_seen)
        rows = state.interactions.users.rows(given.names)
        profiles = _known(given.indptr, rows, given.weights, state)
        items, scores = self._best(state, profiles, k, mask)
        return answered(state, keys, items, scores, mask)

    def _score(self, state: State, query: Query) -> np.ndarray:
        shop = state.interactions
        profiles = self._friends_of(state, query)
        block: np.ndarray = neighbors.scores(
            profiles, shop.by_user.arrays, shop.n_items, self.n_jobs
        )
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._best(state, self._friends_of(state, query), k, mask)

    def _best(
        self, state: State, profiles: tuple[np.ndarray, ...], k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        shop = state.interactions
        best: tuple[np.ndarray, np.ndarray] = neighbors.recommend(
            profiles, shop.by_user.arrays, shop.n_items, k, mask, self.n_jobs
        )
        return best

    def _friends_of(self, state: State, query: Query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the friends of each visitor, and what they count for."""
        learned: Circles = state.learned
        known = query.users >= 0
        lengths = np.zeros(len(query.users), dtype=np.int64)
        lengths[known] = learned.lists.lengths[query.users[known]]
        _, (people, weights) = learned.lists.take(query.users[known])
        return _known(assemble.offsets(lengths), learned.rows[people], weights, state)

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        shop = state.interactions
        _, rows, weights = self._friends_of(state, query)
        indptr, (items, values, *_) = shop.by_user.take(rows)
        owners = np.repeat(np.arange(len(rows)), np.diff(indptr))
        held = (items == item) & (values > 0)
        parts = weights[owners[held]] * values[held].astype(np.float64)
        reasons = shop.users.take(rows[owners[held]]).tolist()
        return ["friend"] * len(reasons), reasons, parts


def _known(
    indptr: np.ndarray, rows: np.ndarray, weights: np.ndarray, state: State
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those of some friends who are users; weights in the unit of the interactions."""
    good = rows >= 0
    at = np.concatenate(([0], np.cumsum(good)))[indptr].astype(np.int64)
    scale = np.float32(state.interactions.scale)
    return at, rows[good].astype(np.int32), weights[good] * scale


def _miss_friends(users: Any, from_table: bool) -> None:
    """Refuse events without a graph; a matrix, which has none, gets a warning."""
    message = (
        "Friends learns from who knows whom: pass a users table with user_id and friends, "
        "fit(events, users=friend_lists(pairs))"
    )
    if from_table:
        got = "users=None" if users is None else f"the columns {list(users.columns)}"
        raise DataError(f"{message}; got {got}.")
    warnings.warn(f"{message}. Without it everybody gets what sells.", UserWarning, stacklevel=5)
