"""What all rerankers share: which items a list holds, and how a new one is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from ecomrec._validation import Rule, check_k, check_params
from ecomrec.data.catalog import Catalog, as_catalog
from ecomrec.data.histories import Profiles
from ecomrec.data.ids import IdMap, check_ids
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import ITEM, is_table
from ecomrec.exceptions import DataError
from ecomrec.hybrid.rerank._shelf import Shelf, empty_shelf, filled
from ecomrec.recommendations import Recommendations


@dataclass(frozen=True, eq=False)
class Known:
    """What a reranker knows when it is asked.

    Attributes
    ----------
    items : IdMap
    shelf : Shelf
        Of these items; it may be empty.
    shop : Interactions or None
        Events, with these items in the same rows.
    vectors : ndarray of shape (n_items, n_features), or None
        Given vectors of these items.
    strangers : IdMap or None
        Items of the request that are not among `items`: their rows come behind.
    """

    items: IdMap
    shelf: Shelf
    shop: Interactions | None = None
    vectors: np.ndarray | None = None
    strangers: IdMap | None = None

    def rows(self, ids: Any) -> np.ndarray:
        """Row of each id: those of strangers behind the others, -1 for what nobody has."""
        rows = self.items.rows(ids)
        if self.strangers is not None and (rows < 0).any():
            others = self.strangers.rows(ids)
            rows = np.where((rows < 0) & (others >= 0), others + len(self.items), rows)
        return rows


class Lists(NamedTuple):
    """Candidates by row, best first.

    Attributes
    ----------
    rows : ndarray of shape (n, m), int64
        Item rows; -1 where there is no candidate.
    scores : ndarray of shape (n, m), float64
    profiles : Profiles or None
        What the person of each row touched.
    budgets : ndarray of shape (n,), float64, or None
    """

    rows: np.ndarray
    scores: np.ndarray
    profiles: Profiles | None = None
    budgets: np.ndarray | None = None

    @property
    def present(self) -> np.ndarray:
        """Which places hold a candidate."""
        return self.rows >= 0

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Each item row once, and the place of every candidate among them (0 where none is)."""
        present = self.present
        found, codes = np.unique(self.rows[present], return_inverse=True)
        places = np.zeros(self.rows.shape, dtype=np.int64)
        places[present] = codes
        return found, places

    def relevance(self) -> np.ndarray:
        """Scores from 0, the last candidate's, to 1, the best one's; NaN where there is none.

        A row of equal scores is all ones. Infinite scores count as the largest finite ones.
        """
        present = self.present
        scores = np.where(np.isfinite(self.scores) & present, self.scores, np.nan)
        known = ~np.isnan(scores)
        low = np.where(known, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
        high = np.where(known, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
        nothing = ~known.any(axis=1, keepdims=True)
        low, high = np.where(nothing, 0.0, low), np.where(nothing, 0.0, high)
        clipped = np.clip(np.nan_to_num(self.scores, nan=0.0, posinf=np.inf), low, high)
        width = high - low
        share = np.divide(clipped - low, width, out=np.ones_like(clipped), where=width > 0)
        return np.where(present, share, np.nan)


class Reranker(BaseEstimator):
    """Base of what puts lists in another order.

    A subclass says in `_columns` which columns of the items table it reads, and writes `_order`.
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {}

    # ------------------------------------------------------------------ what a subclass writes

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        """Which columns are read, and as what; a catalogue that is None has none."""
        return []

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of at most k candidates (-1 behind the last) and scores that never rise."""
        raise NotImplementedError

    def _restrain(self, known: Known, lists: Lists, k: int) -> np.ndarray:
        """Places of at most k candidates that may follow each other in this order: all of them."""
        return kept_places(lists.present, k)

    def _check_known(self, known: Known) -> None:
        """Refuse to be asked without what is needed."""

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any = None, y: Any = None, *, items: Any = None) -> Self:
        """Read what is to be known of the items.

        Parameters
        ----------
        X : table, Interactions, or users x items matrix, optional
            Events.
        y : array-like of shape (n_rows,), optional
            Strength of each row of a table.
        items : table or Catalog, optional
            One row an item: `item_id` and attributes.

        Returns
        -------
        self
        """
        self._known = self._learned(X, y, items)
        return self

    def _learned(self, X: Any, y: Any, items: Any, vectors: Any = None) -> Known:
        self._check_params()
        catalog = None if items is None else as_catalog(items)
        shop = None if X is None else _read(X, y, items)
        if shop is not None:
            known = shop.items
        elif catalog is not None:
            known = IdMap(*check_ids(catalog.ids, ITEM))
        else:
            known = IdMap(np.empty(0, dtype=np.int64))
        shelf = empty_shelf(self._columns(catalog), len(known))
        if catalog is not None:
            shelf = filled(shelf, catalog, known, type(self).__name__)
        return Known(known, shelf, shop)

    def __sklearn_is_fitted__(self) -> bool:
        return "_known" in self.__dict__

    def _check_params(self) -> None:
        check_params(type(self).__name__, self._param_rules, self.get_params(False))

    # ------------------------------------------------------------------ answering

    def rerank(self, recs: Recommendations, k: int = 10) -> Recommendations:
        """Return the lists in another order, cut to k places.

        Parameters
        ----------
        recs : Recommendations
            Candidates of any model, best first; they are not changed. Give more than k.
        k : int
            Items per row.

        Returns
        -------
        Recommendations
            The same rows; items only from the same row, each once.
        """
        return self._rerank(recs, k)

    def _rerank(
        self, recs: Recommendations, k: int, *, history: Any = None, budgets: Any = None
    ) -> Recommendations:
        self._check_params()
        k = check_k(k)
        items, scores = _checked(recs)
        known, rows = self._recognized(items, scores)
        self._check_known(known)
        lists = Lists(rows, scores.astype(np.float64))
        lists = lists._replace(
            profiles=self._profiles(known, recs, history), budgets=self._budgets(recs, budgets)
        )
        places, gains = self._order(known, lists, k)
        return _written(recs, items, places, gains, k)

    def _profiles(self, known: Known, recs: Recommendations, history: Any) -> Profiles | None:
        return None

    def _budgets(self, recs: Recommendations, budgets: Any) -> np.ndarray | None:
        return None

    def _recognized(self, items: np.ndarray, scores: np.ndarray) -> tuple[Known, np.ndarray]:
        """What is known, strangers included, and the row of each item; -1 where none is."""
        present = ~np.isnan(scores)
        flat = items[present]
        if flat.dtype == object:
            gaps = np.array([item is None for item in flat], dtype=bool)
        else:
            gaps = flat == -1
        present[present] = ~gaps
        flat = flat[~gaps]
        listed = flat if flat.dtype != object else flat.tolist()
        if self.__sklearn_is_fitted__():
            known: Known = self._known
        else:
            known = Known(IdMap(np.empty(0, dtype=np.int64)), empty_shelf([], 0))
        rows = known.items.rows(listed)
        if (rows < 0).any():
            missing = [item for item, row in zip(listed, rows.tolist(), strict=True) if row < 0]
            ids = np.empty(len(dict.fromkeys(missing)), dtype=object)
            ids[:] = list(dict.fromkeys(missing))
            found, kind = check_ids(ids, ITEM)
            if len(known.items) and kind != known.items.kind:
                raise DataError(
                    f"{ITEM} is {kind} in the lists and {known.items.kind} where the "
                    f"{type(self).__name__} was fitted. Convert one of them."
                )
            known = Known(known.items, known.shelf, known.shop, known.vectors, IdMap(found, kind))
            rows = known.rows(listed)
        result = np.full(items.shape, -1, dtype=np.int64)
        result[present] = rows
        return known, _each_once(result)

    def _not_fitted(self, what: str) -> NotFittedError:
        return NotFittedError(
            f"This {type(self).__name__} is not fitted yet. It needs {what} before rerank."
        )


def lowered(lists: Lists, places: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """Scores of chosen places, each at most the one before it; NaN behind the last."""
    values = np.take_along_axis(
        lists.scores if scores is None else scores, np.maximum(places, 0), axis=1
    )
    values = np.where(places < 0, np.inf, values)
    values = np.minimum.accumulate(values, axis=1) if values.shape[1] else values
    return np.where(places < 0, np.nan, values)


def kept_places(kept: np.ndarray, k: int) -> np.ndarray:
    """Places of the candidates that stay, in their order, -1 behind the last."""
    order = np.argsort(~kept, axis=1, kind="stable")
    places: np.ndarray = np.where(np.take_along_axis(kept, order, axis=1), order, -1)[:, :k]
    return places


def _read(X: Any, y: Any, items: Any) -> Interactions:
    if isinstance(X, Interactions):
        return X.listing(items)
    if is_table(X):
        return Interactions.from_table(X, y, items=items)
    return Interactions.from_matrix(X).listing(items)


def _checked(recs: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(recs, Recommendations):
        raise TypeError(
            "rerank takes Recommendations, the answer of recommend; make one of arrays with "
            f"Recommendations(items, scores, keys). Got {type(recs).__name__}."
        )
    items, scores = np.asarray(recs.items), np.asarray(recs.scores, dtype=np.float64)
    if items.ndim != 2 or items.shape != scores.shape or len(items) != len(recs.keys):
        raise DataError(
            "recs must hold as many rows of items, of scores and of keys; got items "
            f"{items.shape}, scores {scores.shape} and {len(recs.keys)} keys."
        )
    if items.dtype.kind in "US":
        items = items.astype(object)
    return items, scores


def _each_once(rows: np.ndarray) -> np.ndarray:
    """Rows in which an item that comes again is no candidate."""
    if rows.shape[1] < 2:
        return rows
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    again = np.zeros(rows.shape, dtype=bool)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if not again.any():
        return rows
    repeated = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(repeated, order, again, axis=1)
    return np.where(repeated, -1, rows)


def _written(
    recs: Recommendations, items: np.ndarray, places: np.ndarray, gains: np.ndarray, k: int
) -> Recommendations:
    missing = -1 if items.dtype != object else None
    out = np.full((len(items), k), missing, dtype=items.dtype)
    scores = np.full((len(items), k), np.nan, dtype=np.float32)
    width = places.shape[1]
    chosen = places >= 0
    taken = np.take_along_axis(items, np.maximum(places, 0), axis=1) if width else items[:, :0]
    out[:, :width][chosen] = taken[chosen]
    scores[:, :width] = np.where(chosen, gains, np.nan)
    return Recommendations(out, scores, recs.keys, recs.key_name, recs.value_name)


def histories_of(known: Known, history: Sequence[Any]) -> Profiles:
    """Return lists of item ids as rows and weights of 1."""
    rows = [known.items.rows(list(visit)) for visit in history]
    rows = [np.unique(row[row >= 0]) for row in rows]
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    flat = np.concatenate([np.empty(0, dtype=np.int64), *rows]).astype(np.int32)
    return Profiles(indptr, flat, np.ones(len(flat), dtype=np.float32))
