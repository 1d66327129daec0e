"""The right answers: the test items of each user, and where lists hit them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec._ranking import METRICS
from ecomrec.data import Interactions
from ecomrec.data.ids import IdMap, id_list
from ecomrec.data.tables import ITEM, USER
from ecomrec.evaluation._tables import Table, read_interactions
from ecomrec.exceptions import DataError


@dataclass(frozen=True)
class RelevantItems:
    """Distinct (user, item) pairs of a test table, as rows of two lists of ids."""

    user_ids: IdMap
    item_ids: IdMap
    users: NDArray[np.int64]
    items: NDArray[np.int64]

    def where(self, keep: NDArray[np.bool_]) -> RelevantItems:
        """Keep some of the pairs."""
        return replace(self, users=self.users[keep], items=self.items[keep])

    def of_users(self, user_ids: Any) -> RelevantItems:
        """Keep the pairs of some users."""
        known = np.zeros(len(self.user_ids), dtype=bool)
        rows = self.user_ids.rows(user_ids)
        known[rows[rows >= 0]] = True
        return self.where(known[self.users])

    def without_seen(self, seen: Table | Interactions) -> RelevantItems:
        """Leave out the pairs that a table holds."""
        shop = read_interactions(seen, "seen")
        users = np.repeat(self.user_ids.rows(shop.user_ids), np.diff(shop.indptr))
        items = self.item_ids.rows(shop.item_ids)[shop.indices]
        both = (users >= 0) & (items >= 0)
        return self.where(~np.isin(self._keys(), users[both] * len(self.item_ids) + items[both]))

    def to_frame(self) -> pd.DataFrame:
        """Return the pairs as a table with the columns user_id and item_id."""
        return pd.DataFrame(
            {USER: self.user_ids.take(self.users), ITEM: self.item_ids.take(self.items)}
        )

    def users_left(self) -> NDArray[Any]:
        """Ids of the users who have at least one pair."""
        users: NDArray[Any] = self.user_ids.take(np.unique(self.users))
        return users

    def hits(
        self, lists: NDArray[Any], users: NDArray[Any]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Where each list holds a test item of its user, and the number of these items."""
        rows = self.user_ids.rows(users)
        n_relevant = np.append(np.bincount(self.users, minlength=len(self.user_ids)), 0)[rows]
        items = self.item_ids.rows(lists.ravel()).reshape(lists.shape)
        # The keys of unknown users (row -1) are negative, so they hit nothing.
        keys = rows[:, np.newaxis] * len(self.item_ids) + items
        hits = (items >= 0) & np.isin(keys, self._keys())
        return _first_of_each(hits, keys), n_relevant

    def _keys(self) -> NDArray[np.int64]:
        """One number for each pair."""
        return self.users * len(self.item_ids) + self.items


def relevant_items(test: Table | Interactions, y: Any = None) -> RelevantItems:
    """Find the pairs of a test table that are evidence: those with a positive net weight."""
    shop = read_interactions(test, "test", y)
    users = np.repeat(np.arange(shop.n_users), np.diff(shop.indptr))
    evidence = shop.data > 0
    return RelevantItems(
        shop.users, shop.items, users[evidence], shop.indices[evidence].astype(np.int64)
    )


def as_lists(items: Any, k: int) -> NDArray[Any]:
    """Make lists of ids an array (n_users, k), cut after k, short ones filled at the end."""
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k must be a positive integer; got {k!r}.")
    if hasattr(items, "to_frame"):
        items, _ = items
    if not isinstance(items, np.ndarray):
        rows = [id_list(one, "each list of items")[:k] for one in items]
        items = np.full((len(rows), k), None, dtype=object)
        for row, one in enumerate(rows):
            for place, item in enumerate(one):
                items[row, place] = item
    if items.ndim != 2:
        raise DataError(
            "items must be one list of ids per user, shape (n_users, k); "
            f"got an array of shape {items.shape}."
        )
    lists: NDArray[Any] = items[:, :k]
    if lists.shape[1] < k:
        filling = np.full((len(lists), k - lists.shape[1]), None)
        lists = np.concatenate([lists.astype(object), filling], axis=1)
    return lists


def is_filled(lists: NDArray[Any]) -> NDArray[np.bool_]:
    """Return False at the empty places of short lists: None, or -1 among integers."""
    if lists.dtype.kind in "iu":
        return np.asarray(lists != -1, dtype=bool)
    flat = lists.astype(object).ravel()
    filled: NDArray[np.bool_] = ~pd.isna(flat) & np.asarray(flat != -1, dtype=bool)
    return filled.reshape(lists.shape)


def per_user(
    lists: NDArray[Any], users: NDArray[Any], relevant: RelevantItems, metrics: list[str]
) -> dict[str, NDArray[np.float64]]:
    """Value of each metric for each user, NaN for users without test items."""
    hits, n_relevant = relevant.hits(lists, users)
    return {name: METRICS[name](hits, n_relevant) for name in metrics}


def metric_names(metrics: str | Sequence[str]) -> list[str]:
    """Return the names in a list, or an error that shows the names that exist."""
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ValueError(f"metrics must be among {sorted(METRICS)}; got {unknown or names}.")
    return names


def _first_of_each(hits: NDArray[np.bool_], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Count an item that a list holds twice once, at its first place."""
    at = np.flatnonzero(hits)
    _, first = np.unique(keys.ravel()[at], return_index=True)
    once = np.zeros(hits.size, dtype=bool)
    once[at[first]] = True
    return once.reshape(hits.shape)
