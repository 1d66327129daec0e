"""The same events, as the interactions that several models each count in their own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.tables import is_table, read_events, to_frame
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
    table : tuple, optional
        The table of events and the strengths of its rows, where there is one.

    Attributes
    ----------
    events : table or None
        The table it was made from.
    """

    def __init__(
        self,
        read: Callable[[Values, HalfLife], Interactions],
        from_table: bool,
        table: tuple[Any, Any] | None = None,
    ) -> None:
        self._read = read
        self._table = table
        self._asked: dict[tuple[str, float], Interactions] = {}
        self.from_table = from_table
        self.events = None if table is None else table[0]

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

        table = (X, y) if is_table(X) else None
        return cls(read, table is not None or isinstance(X, Interactions), table)

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
        """Return the earlier events, with all users and items known, and the new pairs of later.

        By time, where there are times that differ; otherwise pairs are drawn at random. Of a table
        the rows are divided, and a pair that occurs before the cut is not new. Of `Interactions`,
        which know the newest time of each pair only, pairs are.

        Parameters
        ----------
        share : float
            Of the rows or pairs, later; at least that many if times are equal.
        seed : int

        Returns
        -------
        earlier : Source
        later : Later
        """
        shop = self._any()
        if self._table is not None:
            divided = _divided(*self._table, share)
            if divided is not None:
                early, late = divided

                def before(values: Values, half_life: HalfLife) -> Interactions:
                    return _nothing_of(self.shop(values, half_life)).add(*early)[0]

                source = Source(before, self.from_table, early)
                source._asked[shop.kind, shop.half_life] = known = _nothing_of(shop).add(*early)[0]
                return source, _new_pairs(known, _nothing_of(shop).add(*late)[0])
        return self._cut(shop, _is_later(shop, share, seed))

    def folds(self, n: int, *, seed: int = 0) -> Iterator[tuple[Source, Later]]:
        """Yield n times all but some pairs of each user, drawn at random, and these.

        Parameters
        ----------
        n : int
        seed : int

        Yields
        ------
        rest : Source
        held_out : Later
            Each pair is in one of them.
        """
        shop = self._any()
        indptr, _ = shop.by_user.to_csr()
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(shop.n_users), np.diff(indptr))
        order = np.lexsort((rng.random(len(users)), users))
        first = rng.integers(n, size=shop.n_users)
        fold = np.empty(len(users), dtype=np.int64)
        fold[order] = (np.arange(len(users)) - indptr[users] + first[users]) % n
        for number in range(n):
            yield self._cut(shop, fold == number)

    def _any(self) -> Interactions:
        """Interactions of any kind: all have the same pairs."""
        known = next(iter(self._asked.values()), None)
        return known or self.shop("weight", None)

    def _cut(self, shop: Interactions, is_later: np.ndarray) -> tuple[Source, Later]:
        """Divide the pairs in two."""

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


def _divided(X: Any, y: Any, share: float) -> tuple[tuple[Any, Any], tuple[Any, Any]] | None:
    """A table and the strengths of its rows, before and after a cut in time; None without one."""
    times = read_events(X, y).times
    if times is None or len(times) == 0:
        return None
    cut = _cut_of(times, share)
    if cut is None:
        return None
    frame = to_frame(X, "the event table")
    parts = []
    for rows in (times < cut, times >= cut):
        values = None if y is None else np.asarray(y)[rows]
        parts.append((frame.filter(rows.tolist()).to_native(), values))
    return parts[0], parts[1]


def _cut_of(times: np.ndarray, share: float) -> int | None:
    """The first time of the later share; None if that is the first of all."""
    place = min(int((1 - share) * len(times)), len(times) - 1)
    cut = int(np.partition(times, place)[place])
    return cut if cut > times.min() else None


def _nothing_of(shop: Interactions) -> Interactions:
    """Interactions without any entry, with all users and items."""
    return _only(shop, np.zeros(shop.n_entries, dtype=bool))


def _new_pairs(known: Interactions, late: Interactions) -> Later:
    """Pairs of later interactions that are not known yet."""
    indptr, columns = late.by_user.to_csr()
    users = np.repeat(np.arange(late.n_users), np.diff(indptr))
    at, (items, *_) = known.by_user.to_csr()
    owners = np.repeat(np.arange(known.n_users), np.diff(at))
    width = late.n_items
    new = ~np.isin(users * width + columns[0], owners * width + items)
    return Later(users[new], columns[0][new], columns[1][new], columns[2][new])


def _is_later(shop: Interactions, share: float, seed: int) -> np.ndarray:
    """Which entries are later, by user and item row."""
    if shop.timed and shop.n_entries:
        times = shop.by_user.to_csr()[1][2]
        cut = _cut_of(times, share)
        if cut is not None:
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
