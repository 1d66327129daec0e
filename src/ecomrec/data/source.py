"""The same events, as the interactions that several models each count in their own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.tables import is_table
from ecomrec.data.timestamps import HalfLife, half_life_nanoseconds
from ecomrec.exceptions import DataError

Values = Literal["weight", "rating"]


class Later(NamedTuple):
    """Pairs of user and item that a split kept for later, sorted by both.

    Attributes
    ----------
    users, items : ndarray of shape (n,), int64 and int32
        Row numbers.
    weights : ndarray of shape (n,), float32
        Net weights or ratings; not positive: seen, and no evidence.
    times : ndarray of shape (n,), int64, or None
        Nanoseconds since 1970 (UTC).
    """

    users: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    times: np.ndarray | None


class Source:
    """Events that are read once for every way of counting them: weights or ratings, half-lives.

    All interactions of one source have the same users and items in the same rows, and the same
    pairs.

    Parameters
    ----------
    read : callable
        Takes "weight" or "rating", and a half-life; returns interactions.
    from_table : bool
        The events came with ids of their own, rather than as a bare matrix.
    """

    def __init__(self, read: Callable[[Values, HalfLife], Interactions], from_table: bool) -> None:
        self._read = read
        self._asked: dict[tuple[str, float], Interactions] = {}
        self.from_table = from_table

    @classmethod
    def of(cls, X: Any, y: Any, items: Any, users: Any, n_jobs: int | None) -> Source:
        """Return the source of what `fit` was given."""

        def read(values: Values, half_life: HalfLife) -> Interactions:
            if is_table(X):
                return Interactions.from_table(
                    X, y, values=values, half_life=half_life, items=items, users=users,
                    n_jobs=n_jobs,
                )  # fmt: skip
            decay_time = half_life_nanoseconds(half_life)
            if isinstance(X, Interactions):
                if X.half_life != decay_time:
                    raise DataError(
                        "these Interactions were made with another half_life than this model's. "
                        "Pass half_life to Interactions.from_table, or fit on the table."
                    )
                return X.listing(items, users)
            if np.isfinite(decay_time):
                raise DataError("half_life needs a table with a timestamp column; got a matrix.")
            return Interactions.from_matrix(X, values=values).listing(items, users)

        return cls(read, is_table(X) or isinstance(X, Interactions))

    def shop(self, values: Values, half_life: HalfLife) -> Interactions:
        """Return the interactions for a model of weights or ratings with a half-life."""
        key = values, half_life_nanoseconds(half_life)
        if key not in self._asked:
            shop = self._read(values, half_life)
            if 0 in shop.shape:
                missing = "sample(s)" if shop.n_users == 0 else "feature(s)"
                raise DataError(
                    f"Found array with 0 {missing} (shape={shop.shape}) while a minimum of 1 is "
                    "required: there is nothing to learn from."
                )
            # A table of ratings alone gives the same for either; so do Interactions.
            for other in self._asked.values():
                if (other.kind, other.half_life) == (shop.kind, shop.half_life):
                    shop = other
            self._asked[key] = shop
        return self._asked[key]

    def split(self, share: float, *, seed: int = 0) -> tuple[Source, Later]:
        """Return the earlier pairs, with all users and items known, and the later ones.

        By the newest time of each pair, where there are times that differ; otherwise at random.
        What a pair is counted for is never divided: it is all before the cut, or later.

        Parameters
        ----------
        share : float
            Of the pairs, later; at least that many if times are equal.
        seed : int

        Returns
        -------
        earlier : Source
        later : Later
            Counted as weights, without decay.
        """
        known = next(iter(self._asked.values()), None)
        shop = known or self.shop("weight", None)
        is_later = _is_later(shop, share, seed)

        def earlier(values: Values, half_life: HalfLife) -> Interactions:
            return _only(self.shop(values, half_life), ~is_later)

        indptr, columns = shop.by_user.to_csr()
        users = np.repeat(np.arange(shop.n_users), np.diff(indptr))
        times = columns[2][is_later] if shop.timed else None
        later = Later(users[is_later], columns[0][is_later], columns[1][is_later], times)
        return Source(earlier, self.from_table), later


class Growth:
    """A batch of events, added to the interactions of each model once."""

    def __init__(self, X: Any, y: Any, items: Any, users: Any) -> None:
        self._batch = X, y, items, users
        self._done: dict[int, tuple[Interactions, Interactions, Change]] = {}

    def __call__(self, shop: Interactions) -> tuple[Interactions, Change]:
        """Return interactions with the batch, and what changed."""
        if id(shop) not in self._done:
            X, y, items, users = self._batch
            if not isinstance(X, Interactions) and not is_table(X):
                X = Interactions.from_matrix(X, values=shop.kind)
                if shop.items.kind != "int":
                    raise DataError("this model was fitted on a table; pass a table with its ids.")
            self._done[id(shop)] = shop, *shop.add(X, y, items=items, users=users)
        return self._done[id(shop)][1:]


class Removal:
    """Rows of users and items, taken out of the interactions of each model once."""

    def __init__(self, users: np.ndarray, items: np.ndarray) -> None:
        self._rows = users, items
        self._done: dict[
            int, tuple[Interactions, tuple[Interactions, np.ndarray, np.ndarray]]
        ] = {}

    def __call__(self, shop: Interactions) -> tuple[Interactions, np.ndarray, np.ndarray]:
        """Return what is left, and which rows of users and items remain."""
        if id(shop) not in self._done:
            left = shop.without(*self._rows)
            if 0 in left[0].shape:
                raise DataError("forgetting these would leave no user or no item to recommend.")
            self._done[id(shop)] = shop, left
        return self._done[id(shop)][1]


def _is_later(shop: Interactions, share: float, seed: int) -> np.ndarray:
    """Which entries are later, by user and item row."""
    if shop.timed and shop.n_entries:
        times = shop.by_user.to_csr()[1][2]
        first = int((1 - share) * len(times))
        cut = np.partition(times, min(first, len(times) - 1))[min(first, len(times) - 1)]
        if cut > times.min():
            is_later: np.ndarray = times >= cut
            return is_later
    chance = np.random.default_rng(seed).random(shop.n_entries)
    return chance < share


def _only(shop: Interactions, keep: np.ndarray) -> Interactions:
    """Return interactions with some of the entries, and all users and items."""
    indptr, columns = shop.by_user.to_csr()
    kept = tuple(values[keep] for values in columns)
    at = np.concatenate(([0], np.cumsum(keep)))[indptr]
    newest = int(kept[2].max()) if shop.timed and len(kept[2]) else shop.newest
    return replace(shop, by_user=RowStore.from_csr(at, kept), newest=newest)
