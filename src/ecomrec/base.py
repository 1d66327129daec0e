"""What every recommender shares: checks, ids, filters, ranking, updates, files.

A model writes `_fit` and `_score` and gets the rest; see `BaseRecommender`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from os import PathLike
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from ecomrec import persistence
from ecomrec._estimator import StatefulEstimator
from ecomrec._ranking import ndcg
from ecomrec._registry import LOADABLE
from ecomrec._validation import check_k
from ecomrec.data.histories import stored_profiles
from ecomrec.data.ids import id_list
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Growth, Removal, Source
from ecomrec.data.tables import ITEM, USER, is_table, read_available, read_pairs
from ecomrec.data.timestamps import half_life_nanoseconds
from ecomrec.exceptions import DataError, FileFormatError
from ecomrec.kernels import neighbors, ranking
from ecomrec.recommendations import Recommendations
from ecomrec.requests import (
    SKIP,
    check_unknown,
    known_rows,
    make_mask,
    make_query,
    raise_unknown,
    rows_alone,
    slice_query,
)
from ecomrec.state import (
    Query,
    SideTables,
    State,
    pack_state,
    unpack_state,
)

__all__ = ["BaseRecommender", "Query", "Recommendations", "SideTables", "State", "load"]

Unknown = Literal["raise", "skip"]
Explained = (
    tuple[list[str], list[Any], np.ndarray] | tuple[list[str], list[Any], np.ndarray, list[str]]
)

# A block of dense scores takes about this much memory, whatever the catalogue.
_BLOCK_BYTES = 64_000_000


class BaseRecommender(StatefulEstimator[State]):
    """Base of all recommenders.

    A subclass declares `_param_rules`, the frozen dataclasses `_learned_types` of arrays that it
    learns, and writes `_fit` (interactions to that dataclass) and `_score` (a block of scores).
    Where it can do better than the defaults it overrides `_partial_fit`, `_forget`, `_refresh`,
    `_freshen`, `_top_k`, `_predict`, `_similar_items`, `_similar_users` or `_explain`. Hooks get a
    `State` and row numbers, never ids or tables, and return arrays. `tuning_space` names the
    parameters worth tuning, with lists of values. Iterations are `max_iter`: a search may fit with
    fewer to see early what comes to nothing.

    Examples
    --------
    A recommender of one's own, with updates, filters and files for free:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecomrec.base import BaseRecommender
    >>> @dataclass(frozen=True)
    ... class Rarity:
    ...     scores: np.ndarray
    >>> class RarestFirst(BaseRecommender):
    ...     _learned_types = (Rarity,)
    ...     def _fit(self, shop, sides):
    ...         return Rarity(1 / np.maximum(shop.item_counts, 1).astype(np.float32))
    ...     def _score(self, state, query):
    ...         return np.tile(state.learned.scores, (len(query.users), 1))
    >>> events = pd.DataFrame({"user_id": [1, 2, 2, 3], "item_id": ["tea", "tea", "mug", "pen"]})
    >>> RarestFirst().fit(events).recommend([3], k=2)
    Recommendations: 1 rows, 2 places
      3: 'mug' 1, 'tea' 0.5
    """

    _learned_types: ClassVar[tuple[type, ...]] = ()
    #: Size of scores that mean something, where scores are sums that may cancel: below a small
    #: share of it, they are what rounding left.
    _score_unit: ClassVar[float] = 0.0
    #: What `ecomrec.evaluation.tune` tries unless told otherwise: for each parameter a list of
    #: values, as `GridSearchCV` takes it. Ranges have their place in the `space` given to `tune`.
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {}
    #: Whether the model learns from the items table, so that it needs one beside the events.
    _reads_items: ClassVar[bool] = False
    #: Whether the users table must have lists of friends.
    _reads_friends: ClassVar[bool] = False
    #: Whether it needs ratings although its own scores are none.
    _reads_ratings: ClassVar[bool] = False

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, *, items: Any = None, users: Any = None) -> Self:
        """Learn from events, forgetting what was learned before.

        Parameters
        ----------
        X : table, Interactions, or users x items matrix
            A pandas, Polars or Arrow table has `user_id` and `item_id`, and may have `weight` or
            `rating` and `timestamp`. In a SciPy sparse or 2-D array ids are positions.
        y : array-like of shape (n_rows,), optional
            Rating or strength of each row of a table; ignored for other input.
        items, users : table, optional
            Side tables with `item_id` or `user_id`. A boolean column `available` of `items` keeps
            items out of every answer.

        Returns
        -------
        self
        """
        self._check_params()
        with self._lock:
            source = Source.of(X, y, items, users, getattr(self, "n_jobs", 1))
            self._state = self._fitted(source, SideTables(users, items))
        return self

    def partial_fit(self, X: Any, y: Any = None, *, items: Any = None, users: Any = None) -> Self:
        """Learn from more events; new users and items are added.

        On an unfitted model this is `fit`. Threads that are recommending see the model before or
        after the batch, never a mixture.

        Parameters
        ----------
        X : table, Interactions, or users x items matrix
            The new events only, as in `fit`.
        y : array-like of shape (n_rows,), optional
            As in `fit`.
        items, users : table, optional
            As in `fit`: ids and attributes that are new or have changed.

        Returns
        -------
        self
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, items=items, users=users)
        self._check_params()
        with self._lock:
            if not isinstance(X, Interactions) and not is_table(X):
                self._check_width(self._state, X, at_least=True)
            grow = Growth(X, y, items, users)
            self._state = self._extended(self._state, grow, SideTables(users, items))
        return self

    def forget(self, *, users: Any = None, items: Any = None) -> Self:
        """Remove users and items with everything that was learned from them.

        Parameters
        ----------
        users, items : list of ids, optional

        Returns
        -------
        self

        Raises
        ------
        UnknownIdError
            An id was never seen; nothing is removed then.
        """
        self._check_fitted()
        with self._lock:
            state = self._state
            shop = state.interactions
            user_rows = known_rows(shop.users, users, "users")
            item_rows = known_rows(shop.items, items, "items")
            if len(user_rows) == 0 and len(item_rows) == 0:
                return self
            self._state = self._reduced(state, Removal(user_rows, item_rows))
        return self

    def refresh(self) -> Self:
        """Recompute what `partial_fit` and `forget` left for later, as a fit on everything would.

        Returns
        -------
        self
        """
        self._check_fitted()
        with self._lock:
            self._state = self._refreshed(self._state)
        return self

    # What `fit` and the others do to a state: a recommender made of others does it to theirs.

    def _fitted(self, source: Source, sides: SideTables) -> State:
        """Return what is learned from events."""
        shop = source.shop(self._values(), getattr(self, "half_life", None))
        self._check_tables(source, sides)
        available = read_available(sides.items, shop.items, None)
        return State(shop, self._fit(shop, sides), available, source.from_table)

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        """Refuse events or side tables that lack what the model needs."""
        source.shop(self._values(), getattr(self, "half_life", None))
        if self._reads_items and sides.items is None:
            miss_items(type(self).__name__, source.from_table)

    def _extended(self, state: State, grow: Growth, sides: SideTables) -> State:
        """Return a state with a batch of events."""
        shop, change = grow(state.interactions)
        available = read_available(sides.items, shop.items, state.available)
        learned = self._partial_fit(state, shop, change, sides)
        return replace(state, interactions=shop, learned=learned, available=available)

    def _reduced(self, state: State, remove: Removal) -> State:
        """Return a state without some users and items."""
        left, kept_users, kept_items = remove(state.interactions)
        learned = self._forget(state, left, kept_users, kept_items)
        available = None if state.available is None else state.available[kept_items]
        return replace(state, interactions=left, learned=learned, available=available)

    def _refreshed(self, state: State) -> State:
        """Return a state in which nothing is left for later."""
        return replace(state, learned=self._refresh(state))

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for known users or for histories.

        Items with evidence come first, by score; then items without, by popularity, at score 0.

        Parameters
        ----------
        users : list of ids, optional
            Known users. With `history`, what it holds is added to theirs, for this call only.
        k : int
            Items per row.
        history : list of sequences of item ids, or table, optional
            What each anonymous visitor did; a table has `fit`'s columns, and a row of the answer
            for each `user_id` in it (in the order of `users` if these are given).
        candidates : list of ids, or list of lists, optional
            Nothing else is recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never recommended; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched.
        unknown : {"raise", "skip"}
            What happens to users never seen and to histories without any known item: an error
            that names them, or an empty row.

        Returns
        -------
        Recommendations

        Raises
        ------
        UnknownIdError
            Users that the model does not know, unless `unknown="skip"`.
        """
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        keys, query, known = self._ask(state, users, history)
        while True:
            fresh = self._freshen(state, query)
            if fresh is state:
                break
            state = fresh
            keys, query, known = self._ask(state, users, history)
        if not known.all() and unknown == "raise":
            ids = state.interactions.users if history is None else state.interactions.items
            raise_unknown(keys, known, SKIP, history is not None, ids.kind)
        mask = make_mask(state, query, candidates, exclude, exclude_seen)
        items, scores = self._top_k(state, query, k, mask)
        if (items[:, -1] < 0).any():
            open_rows = self._may_fill(query)
            ranking.fill_by_popularity(items, scores, state.by_popularity, mask, open_rows)
        if not known.all():
            items[~known] = -1
            scores[~known] = np.nan
        return Recommendations(state.interactions.items.take(items), scores, keys)

    def _fitted_on_table(self) -> bool:
        return self.__sklearn_is_fitted__() and self._state.from_table

    @available_if(_fitted_on_table)
    def predict(self, X: Any) -> np.ndarray:
        """Return the score, or rating, of (user, item) pairs.

        Parameters
        ----------
        X : table with `user_id` and `item_id`, list of pairs, or array of shape (n, 2)

        Returns
        -------
        ndarray of shape (n,), float64
            NaN for an unknown user or item, or the model's baseline if it predicts ratings.
        """
        state = self._fitted_state()
        user_column, item_column = read_pairs(X)
        users = state.interactions.users.rows(user_column)
        items = state.interactions.items.rows(item_column)
        while True:
            asked = np.unique(users[users >= 0])
            query = Query(asked, stored_profiles(state.interactions, asked), True)
            fresh = self._freshen(state, query)
            if fresh is state:
                return self._predict(state, users, items)
            state = fresh
            users = state.interactions.users.rows(user_column)
            items = state.interactions.items.rows(item_column)

    def has_seen(self, X: Any) -> np.ndarray:
        """Whether each (user, item) pair is in the stored history of the user.

        Parameters
        ----------
        X : table with `user_id` and `item_id`, list of pairs, or array of shape (n, 2)

        Returns
        -------
        ndarray of shape (n,), bool
            False where the user or the item is unknown.
        """
        shop = self._fitted_state().interactions
        user_column, item_column = read_pairs(X)
        users, items = shop.users.rows(user_column), shop.items.rows(item_column)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        seen = np.zeros(len(users), dtype=bool)
        rows, codes = np.unique(users[known], return_inverse=True)
        indptr, columns = shop.by_user.take(rows)
        stored = np.repeat(np.arange(len(rows)), np.diff(indptr)) * shop.n_items + columns[0]
        seen[known] = np.isin(codes * shop.n_items + items[known], stored)
        return seen

    def similar_items(
        self, items: Any, k: int = 10, *, unknown: Unknown = "raise"
    ) -> Recommendations:
        """Return the k items most similar to each of some items, never the item itself.

        Parameters
        ----------
        items : list of ids
        k : int
        unknown : {"raise", "skip"}

        Returns
        -------
        Recommendations
        """
        return self._similar(items, k, unknown, ITEM)

    def similar_users(
        self, users: Any, k: int = 10, *, unknown: Unknown = "raise"
    ) -> Recommendations:
        """Return the k users most similar to each of some users, never the user.

        Parameters
        ----------
        users : list of ids
        k : int
        unknown : {"raise", "skip"}

        Returns
        -------
        Recommendations
        """
        return self._similar(users, k, unknown, USER)

    def _similar(self, ids: Any, k: int, unknown: Unknown, axis: str) -> Recommendations:
        state = self._fitted_state()
        keys = id_list(ids, "items" if axis == ITEM else "users")
        while True:
            shop = state.interactions
            id_map = shop.items if axis == ITEM else shop.users
            rows = id_map.rows(keys)
            known = rows >= 0
            fresh = self._freshen(state, rows_alone(shop, rows[known], axis))
            if fresh is state:
                break
            state = fresh
        if not known.all() and unknown == "raise":
            raise_unknown(keys, known, SKIP, kind=id_map.kind)
        n = len(rows)
        found = np.full((n, check_k(k)), -1, dtype=np.int32)
        scores = np.full((n, k), np.nan, dtype=np.float32)
        hook = self._similar_items if axis == ITEM else self._similar_users
        indptr, neighbours, values = hook(state, rows[known], k)
        for place, row in enumerate(np.flatnonzero(known)):
            part = slice(indptr[place], min(indptr[place + 1], indptr[place] + k))
            found[row, : part.stop - part.start] = neighbours[part]
            scores[row, : part.stop - part.start] = values[part]
        return Recommendations(id_map.take(found), scores, keys, axis, f"similar_{axis}")

    def explain(self, user: Any = None, item: Any = None, *, history: Any = None) -> Any:
        """Return what made the score of one item for one user.

        Parameters
        ----------
        user : id, optional
            A known user; or give `history`.
        item : id
        history : sequence of item ids, optional
            What an anonymous visitor did.

        Returns
        -------
        pandas.DataFrame
            Columns `part`, `kind`, `reason` and `contribution`, largest first. The contributions
            add up to the score. Part: the model's name, or that of a part of a composition. Kinds:
            "item", a past item; "word" and "attribute", what past items share
            with this one; "popularity"; "baseline", what holds without a
            history (a mean or a bias); "factors", what no past item accounts for; "update", what
            changed since a stored vector was learned; "range", cut off at the best or the worst
            rating; "neighbors", what ratings of others add; "query", a word that was typed;
            "friend" and "place"; "feature", of a learned ranker; "part", what a part of a
            composition says without a reason.
        """
        import pandas as pd

        state = self._fitted_state()
        users = None if user is None else [user]
        histories = None if history is None else [history]
        while True:
            row = int(state.interactions.items.rows([item])[0])
            if row < 0:
                raise_unknown([item], np.zeros(1, dtype=bool))
            _, query, known = self._ask(state, users, histories)
            if not known.all():
                raise_unknown([user], known, histories=history is not None)
            fresh = self._freshen(state, query)
            if fresh is state:
                break
            state = fresh
        kinds, reasons, amounts, *parts = self._explain(state, query, row)
        why = pd.Series(reasons, dtype=object)  # integer ids stay integers beside None
        columns = {"kind": kinds, "reason": why, "contribution": amounts}
        table = pd.DataFrame({"part": parts[0] if parts else type(self).__name__, **columns})
        order = np.argsort(-np.abs(table["contribution"].to_numpy()), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def score(self, X: Any, y: Any = None) -> float:
        """Return NDCG@10 on held-out events: new items of the users that the model knows.

        Parameters
        ----------
        X : table of events, or users x items matrix
        y : ignored

        Returns
        -------
        float
            Mean over users; NaN if none has a test item that the model could recommend.
        """
        state = self._fitted_state()
        table = is_table(X)
        if not table and not isinstance(X, Interactions):
            self._check_width(state, X)
        test = (
            X
            if isinstance(X, Interactions)
            else (Interactions.from_table(X) if table else Interactions.from_matrix(X))
        )
        rows = np.repeat(np.arange(test.n_users), np.diff(test.indptr))
        good = test.data > 0
        pairs = [
            (test.user_ids[u], test.item_ids[i])
            for u, i in zip(rows[good].tolist(), test.indices[good].tolist(), strict=True)
        ]
        shop = state.interactions
        users = shop.users.rows([u for u, _ in pairs])
        fresh = (users >= 0) & ~self.has_seen(pairs) if pairs else np.zeros(0, dtype=bool)
        if not fresh.any():
            return float("nan")
        items = shop.items.rows([i for _, i in pairs])[fresh]
        asked, codes = np.unique(users[fresh], return_inverse=True)
        found = shop.items.rows(self.recommend(shop.users.take(asked)).items.ravel())
        keys = np.repeat(np.arange(len(asked)), 10) * (shop.n_items + 1) + found
        hits = np.isin(keys, codes[items >= 0] * (shop.n_items + 1) + items[items >= 0])
        hits &= found >= 0
        return float(np.mean(ndcg(hits.reshape(-1, 10), np.bincount(codes))))

    # ------------------------------------------------------------------ files

    def _packed_state(
        self, state: State, shared: Sequence[Interactions] = ()
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """A state as a manifest and arrays; interactions that are shared are named by number."""
        return pack_state(state, shared)

    def _restored_state(
        self,
        manifest: dict[str, Any],
        arrays: dict[str, np.ndarray],
        shared: Sequence[Interactions] = (),
    ) -> State:
        """The state that `_packed_state` packed."""
        return unpack_state(manifest, arrays, self._learned_types, shared)

    # ------------------------------------------------------------------ hooks

    def _ask(
        self, state: State, users: Any, history: Any
    ) -> tuple[Sequence[Any] | np.ndarray, Query, np.ndarray]:
        """What the rows of a request are called, the request, and which rows can be answered."""
        return make_query(state, users, history)

    def _fit(self, shop: Interactions, sides: SideTables) -> Any:
        """Learn: interactions, and the side tables given, to the model's dataclass."""
        raise NotImplementedError

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Any:
        """Learn a batch: `shop` is the interactions with the batch. Default: a full fit."""
        return self._fit(shop, sides)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Any:
        """Unlearn: `shop` is what is left. Default: a full fit."""
        return self._fit(shop, SideTables())

    def _refresh(self, state: State) -> Any:
        """Return what a fit on everything would learn."""
        return self._fit(state.interactions, SideTables())

    def _freshen(self, state: State, query: Query | None) -> State:
        """Return a state that can answer `query` (None: anything) exactly; `state` if it can."""
        return state

    def _score(self, state: State, query: Query) -> np.ndarray:
        """Scores of every item for the rows of a query: (n, n_items), NaN without evidence."""
        raise NotImplementedError

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        """Item rows (int32, -1 behind the last) and scores; blocks of `_score` by default."""
        n, n_items = len(query.users), state.interactions.n_items
        items = np.empty((n, k), dtype=np.int32)
        scores = np.empty((n, k), dtype=np.float32)
        size = max(1, _BLOCK_BYTES // (4 * n_items))
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            part = ranking.slice_mask(mask, rows)
            block = self._score(state, slice_query(query, rows))
            items[rows], scores[rows] = ranking.top_k(block, k, part, getattr(self, "n_jobs", 1))
        return items, scores

    def _may_fill(self, query: Query) -> np.ndarray:
        """Whether popular items may fill each row: not where a rule leaves places empty."""
        return np.ones(len(query.users), dtype=bool)

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Scores of pairs of rows, NaN where one is -1; blocks of `_score` by default."""
        result = np.full(len(users), np.nan)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        rows, codes = np.unique(users[known], return_inverse=True)
        size = max(1, _BLOCK_BYTES // (4 * state.interactions.n_items))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            query = Query(part, stored_profiles(state.interactions, part), True)
            block = np.nan_to_num(self._score(state, query), nan=0.0)
            inside = (codes >= start) & (codes < start + size)
            result[known[inside]] = block[codes[inside] - start, items[known[inside]]]
        return result

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        """Similar item rows, best first: the cosine of who touched them, by default."""
        shop = state.interactions
        found: neighbors.Rows = neighbors.cosine_rows(
            shop.by_item.arrays, shop.by_user.arrays, rows, k
        )
        return found

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        """Similar user rows, best first: the cosine of what they touched, by default."""
        shop = state.interactions
        found: neighbors.Rows = neighbors.cosine_rows(
            shop.by_user.arrays, shop.by_item.arrays, rows, k
        )
        return found

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        """Kinds, reasons and contributions of one item's score for the one row of a query.

        A composition returns the names of the parts too.
        """
        raise NotImplementedError(f"{type(self).__name__} does not explain its scores.")

    def _values(self) -> Literal["weight", "rating"]:
        """Whether the model learns weights or ratings."""
        return "weight"

    # ------------------------------------------------------------------ inside

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.target_tags.required = False
        return tags

    def _half_life(self) -> float:
        return half_life_nanoseconds(getattr(self, "half_life", None))

    def _check_width(self, state: State, X: Any, *, at_least: bool = False) -> None:
        """Refuse a matrix with another number of items, or with fewer."""
        n_items = state.interactions.n_items
        width = X.shape[1] if getattr(X, "ndim", 0) == 2 else n_items
        if not state.from_table and (width < n_items if at_least else width != n_items):
            raise DataError(
                f"X has {width} features, but {type(self).__name__} is expecting {n_items} "
                "features as input."
            )

    # ------------------------------------------------------------------ fitted attributes

    @property
    def user_ids_(self) -> np.ndarray:
        """Ids of the known users, by row."""
        return self._attribute("user_ids_").interactions.user_ids

    @property
    def item_ids_(self) -> np.ndarray:
        """Ids of the known items, by row."""
        return self._attribute("item_ids_").interactions.item_ids

    @property
    def n_features_in_(self) -> int:
        """Number of items of the matrix seen in fit."""
        state = self._attribute("n_features_in_")
        if state.from_table:
            raise AttributeError("n_features_in_ exists on models fitted on a matrix only.")
        return state.interactions.n_items


def miss_items(name: str, from_table: bool) -> None:
    """Refuse events without an items table; a matrix, which has no texts, gets a warning."""
    message = (
        f"{name} learns from what the items are: pass a table with item_id and texts or "
        "attributes, fit(events, items=catalog)"
    )
    if from_table:
        raise DataError(f"{message}; got items=None.")
    warnings.warn(f"{message}. Without it everybody gets what sells.", UserWarning, stacklevel=5)


def load(path: str | PathLike[str], *, verify: bool = False, mmap: bool = False) -> Any:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or path
    verify : bool
        Check every byte against the checksums of the file.
    mmap : bool
        Map the arrays instead of reading them: processes on one machine share the pages.

    Returns
    -------
    BaseRecommender

    Raises
    ------
    FileFormatError
        The file is damaged, truncated, foreign or of a newer format.

    Examples
    --------
    >>> import tempfile
    >>> import ecomrec
    >>> from ecomrec.cf import Popularity
    >>> model = Popularity().fit([[1, 1], [1, 0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/shop.ecomrec")
    ...     ecomrec.load(f"{folder}/shop.ecomrec").recommend([1], k=1).items.tolist()
    [[1]]
    """
    return restored(path, *persistence.read(path, verify=verify, mmap=mmap))


def restored(
    path: str | PathLike[str], manifest: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Any:
    """Make the estimator of this library that a file's manifest and arrays describe."""
    name = manifest.get("class")
    if name not in LOADABLE:
        raise FileFormatError(
            f"{path} holds a {name!r}, which is none of this library's estimators: "
            f"{sorted(LOADABLE)}. Load a class of your own with YourClass.load."
        )
    estimator = getattr(import_module(LOADABLE[name]), name)
    return estimator._unpacked(path, manifest, arrays)
