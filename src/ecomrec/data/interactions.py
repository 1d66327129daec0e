"""Who touched what, and how strongly: the one form in which models see a shop's events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from ecomrec._lazy import computed_once
from ecomrec.data.ids import IdMap, check_ids, encode_ids, merge_ids
from ecomrec.data.rows import RowStore
from ecomrec.data.tables import ITEM, USER, EventColumns, Missing, read_events, read_ids
from ecomrec.data.timestamps import HalfLife, decay, half_life_nanoseconds
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble

_NO_TIMES = np.empty(0, dtype=np.int64)
_NO_VALUES = np.empty(0, dtype=np.float64)
# Half-lives after which stored weights are seen from a later time: float32 ends at 2 ** 127.
_MOST_HALVINGS = 32


@dataclass(frozen=True)
class Change:
    """What a batch of events touched: sorted row numbers of its users and items."""

    users: np.ndarray
    items: np.ndarray


@dataclass(frozen=True, eq=False)
class Interactions:
    """Immutable users x items matrix with the caller's ids on both sides.

    Make one with `from_table` or `from_matrix`; `add` and `without` return new ones and leave this
    one as it is. Several rows of one pair become one entry: weights add up (in float64, in sorted
    order), ratings keep the newest (the mean of equally new ones). An entry whose net weight is
    not positive stays as *seen*, and is no evidence.

    Attributes
    ----------
    user_ids, item_ids : ndarray of shape (n_users,) and (n_items,)
        int64, or object holding the ids; sorted, later ones appended.
    indptr : ndarray of shape (n_users + 1,), int64
    indices : ndarray of shape (n_entries,), int32
        Item rows, rising within each user.
    data : ndarray of shape (n_entries,), float32
        Net weight or rating.
    timestamps : ndarray of shape (n_entries,), int64, or None
        Newest time of each entry in nanoseconds since 1970 (UTC).
    kind : {"weight", "rating"}
    scale : float
        With a half-life, `data` times `scale` is the weight at the newest time seen.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.data import Interactions
    >>> events = pd.DataFrame({"user_id": ["b", "a", "a"], "item_id": [7, 7, 7]})
    >>> shop = Interactions.from_table(events)
    >>> shop.shape, shop.user_ids.tolist(), shop.data.tolist()
    ((2, 1), ['a', 'b'], [2.0, 1.0])
    """

    users: IdMap
    items: IdMap
    by_user: RowStore
    kind: Literal["weight", "rating"] = "weight"
    half_life: float = float("inf")
    reference: int = 0
    newest: int = 0
    timed: bool = False
    listed_users: np.ndarray | None = None
    listed_items: np.ndarray | None = None

    @classmethod
    def from_table(
        cls,
        table: Any,
        y: Any = None,
        *,
        values: Literal["weight", "rating"] = "weight",
        half_life: HalfLife = None,
        items: Any = None,
        users: Any = None,
        missing: Missing = "raise",
        n_jobs: int | None = -1,
    ) -> Interactions:
        """Read a table with `user_id`, `item_id` and optionally `weight`, `rating`, `timestamp`.

        Parameters
        ----------
        table : pandas, Polars or Arrow table
            One row an event; columns are found by name. An `event` column is not read: turn event
            names into weights with `EventWeights` first.
        y : array-like of shape (n_rows,), optional
            Strength or rating of each row, instead of a column.
        values : {"weight", "rating"}
            Which column counts if both are there, and what `y` means.
        half_life : str, timedelta or None
            "30D": an event counts half as much for every 30 days before the newest one.
        items, users : table, optional
            Side tables with `item_id` or `user_id`: ids without events are known too.
        missing : {"raise", "drop"}
            Rows that lack an id, a time or a value: refused with a count, or dropped.
        n_jobs : int or None
            Threads, as in joblib; the result does not depend on it.

        Returns
        -------
        Interactions

        Raises
        ------
        DataError
            A column is missing or looks swapped, an id is missing or has no usable type, a value
            is infinite, a time cannot be read.
        """
        _check_values(values)
        events = read_events(table, y, values=values, missing=missing)
        if values == "rating" and events.values is None:
            raise DataError(
                "ratings are needed: the table has no rating or weight column, and y is None."
            )
        decay_time = half_life_nanoseconds(half_life)
        if np.isfinite(decay_time) and events.times is None:
            raise DataError("half_life needs a timestamp column; the table has none.")
        user_codes, user_ids, user_kind = encode_ids(events.users, USER)
        item_codes, item_ids, item_kind = encode_ids(events.items, ITEM)
        user_map, listed_users = _with_listed(users, user_ids, user_kind, USER)
        item_map, listed_items = _with_listed(items, item_ids, item_kind, ITEM)
        if items is not None and len(item_ids):
            _refuse_swapped(user_ids, item_ids, item_map, listed_items)
        if len(user_map) != len(user_ids):
            user_codes = user_map.rows(user_ids).astype(np.int32)[user_codes]
        if len(item_map) != len(item_ids):
            item_codes = item_map.rows(item_ids).astype(np.int32)[item_codes]
        newest = 0 if events.times is None or not len(events.times) else int(events.times.max())
        shop = cls(
            user_map,
            item_map,
            RowStore.from_csr(np.zeros(1, dtype=np.int64), ()),
            # For a model of ratings a weight stands in as the rating.
            "rating" if "rating" in (values, events.value_name) else "weight",
            decay_time,
            newest,
            newest,
            events.times is not None,
            listed_users,
            listed_items,
        )
        weights = shop._decayed(events)
        indptr, columns = merged_by_user(
            user_codes, len(user_map), item_codes, weights, events.times, None, shop.kind, n_jobs
        )
        return replace(shop, by_user=RowStore.from_csr(indptr, columns).with_room())

    @classmethod
    def from_matrix(cls, matrix: Any, *, values: str = "weight") -> Interactions:
        """Read a users x items SciPy sparse matrix or array, or a 2-D array; ids are positions.

        In a sparse matrix a stored zero means *seen, no evidence*; in a dense one zeros are
        absent.
        """
        _check_values(values)
        given: Any = matrix if sp.issparse(matrix) else np.asarray(matrix)
        if given.ndim != 2:
            raise DataError(f"the matrix must have two dimensions; got shape {given.shape}.")
        if given.dtype.kind not in "iufbO":
            complex_ = "Complex data not supported: " if given.dtype.kind == "c" else ""
            raise DataError(f"{complex_}the matrix must hold real numbers; got {given.dtype}.")
        # In float64: sums of duplicates must not wrap around in the type of the matrix.
        csr = sp.csr_array(given.astype(np.float64))
        csr.sum_duplicates()
        with np.errstate(over="ignore"):
            data = csr.data.astype(np.float32)
        if not np.all(np.isfinite(data)):
            raise DataError("the matrix holds NaN or infinity (as float32). Fill or drop them.")
        if np.any(data < 0):
            raise DataError(
                "Negative values in data: a users x items matrix holds weights of at least 0."
            )
        n_users, n_items = csr.shape
        columns: tuple[np.ndarray, ...] = (csr.indices.astype(np.int32), data)
        if values == "rating":
            columns += (np.ones(len(data), dtype=np.int32),)
        return cls(
            IdMap(np.arange(n_users, dtype=np.int64)),
            IdMap(np.arange(n_items, dtype=np.int64)),
            RowStore.from_csr(csr.indptr.astype(np.int64), columns),
            "rating" if values == "rating" else "weight",
            listed_users=np.ones(n_users, dtype=bool),
            listed_items=np.ones(n_items, dtype=bool),
        )

    @property
    def user_ids(self) -> np.ndarray:
        """Ids of the users in row order."""
        return _read_only(self.users.ids)

    @property
    def item_ids(self) -> np.ndarray:
        """Ids of the items in row order."""
        return _read_only(self.items.ids)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return self.n_users, self.n_items

    @property
    def n_entries(self) -> int:
        """Number of distinct (user, item) pairs."""
        return self.by_user.n_entries

    @property
    def scale(self) -> float:
        """Factor from stored weights to weights at the newest time seen."""
        return float(decay(np.array([self.reference]), self.newest, self.half_life)[0])

    @computed_once
    def _csr(self) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        return self.by_user.to_csr()

    @property
    def indptr(self) -> np.ndarray:
        """Where each user's entries start."""
        return _read_only(self._csr[0])

    @property
    def indices(self) -> np.ndarray:
        """Item rows, rising within each user."""
        return _read_only(self._csr[1][0])

    @property
    def data(self) -> np.ndarray:
        """Net weights or ratings."""
        return _read_only(self._csr[1][1])

    @property
    def timestamps(self) -> np.ndarray | None:
        """Newest time of each entry, or None."""
        return _read_only(self._csr[1][2]) if self.timed else None

    @computed_once
    def by_item(self) -> RowStore:
        """The users of each item (int32) and their weights (float32), as rows."""
        store = self.by_user
        indptr, users, data = assemble.transpose(
            store.starts, store.lengths, store.columns[0], store.columns[1], self.n_items
        )
        return RowStore.from_csr(indptr, (users, data))

    @computed_once
    def item_counts(self) -> np.ndarray:
        """How many users gave each item a positive weight: ndarray of shape (n_items,), int64."""
        _, (indices, data, *_rest) = self._csr
        return np.bincount(indices[data > 0], minlength=self.n_items)

    @computed_once
    def all_positive(self) -> bool:
        """Whether every entry is evidence."""
        return bool((self._csr[1][1] > 0).all())

    def to_scipy(self) -> sp.csr_array:
        """Return the matrix as a SciPy array; entries without evidence are stored."""
        small = self.n_entries < 2**31
        indptr = self.indptr.astype(np.int32) if small else self.indptr.copy()
        indices = self.indices.copy() if small else self.indices.astype(np.int64)
        return sp.csr_array((self.data.copy(), indices, indptr), shape=self.shape)

    def add(
        self, table: Any, y: Any = None, *, items: Any = None, users: Any = None
    ) -> tuple[Interactions, Change]:
        """Return these interactions with more events, users and items, and what changed.

        The cost grows with the batch and with the entries of its users, not with the history. New
        ids are numbered behind those that exist.
        """
        if isinstance(table, Interactions):
            base = self.listing(items, users)
            newest = base._newest_with(table.timestamps)
            base = base._rebased(newest) if base._overflows(newest) else base
            return base._add_coded(*base._recode(table, newest))
        events = read_events(table, y, values=self.kind, what="the batch of events")
        newest = self._newest_with(events.times)
        if self._overflows(newest):
            return self._rebased(newest).add(table, y, items=items, users=users)
        if np.isfinite(self.half_life) and events.times is None:
            raise DataError("half_life needs a timestamp column; the batch of events has none.")
        user_codes, user_ids, user_kind = encode_ids(events.users, USER)
        item_codes, item_ids, item_kind = encode_ids(events.items, ITEM)
        _refuse_swapped(user_ids, item_ids, self.items, None, self.users)
        shop = self._with_ids(user_ids, user_kind, item_ids, item_kind, users, items)
        user_rows = shop.users.rows(user_ids)[user_codes]
        item_rows = shop.items.rows(item_ids)[item_codes]
        weights = shop._decayed(events)
        shop = replace(shop, newest=newest)
        return self._add_coded(shop, user_rows, item_rows, weights, events.times, None)

    def listing(self, items: Any = None, users: Any = None) -> Interactions:
        """Return these interactions with the ids of side tables made known."""
        if items is None and users is None:
            return self
        shop = self._with_ids(
            self.users.ids, self.users.kind, self.items.ids, self.items.kind, users, items
        )
        nobody = np.empty(0, dtype=np.int64)
        return self._add_coded(shop, nobody, nobody, _NO_VALUES, None, None)[0]

    def without(
        self, users: np.ndarray | None = None, items: np.ndarray | None = None
    ) -> tuple[Interactions, np.ndarray, np.ndarray]:
        """Return the interactions as if some user and item rows had never been.

        Users and items that only the forgotten ones had touched go too, unless a side table named
        them. Everything is rebuilt: no buffer of the result holds what was forgotten.

        Parameters
        ----------
        users, items : ndarray of int, optional
            Row numbers to leave out.

        Returns
        -------
        interactions : Interactions
        kept_users, kept_items : ndarray of bool
            Which of the former rows remain, in the same order.
        """
        keep_user = np.ones(self.n_users, dtype=bool)
        keep_item = np.ones(self.n_items, dtype=bool)
        keep_user[users if users is not None else []] = False
        keep_item[items if items is not None else []] = False
        indptr, columns = self._csr
        user_of = np.repeat(np.arange(self.n_users), np.diff(indptr))
        entries = keep_user[user_of] & keep_item[columns[0]]
        lost = ~entries
        touched_users = np.bincount(user_of[lost], minlength=self.n_users) > 0
        touched_items = np.bincount(columns[0][lost], minlength=self.n_items) > 0
        left_users = np.bincount(user_of[entries], minlength=self.n_users)
        left_items = np.bincount(columns[0][entries], minlength=self.n_items)
        keep_user &= ~(touched_users & (left_users == 0) & ~_listed(self.listed_users, keep_user))
        keep_item &= ~(touched_items & (left_items == 0) & ~_listed(self.listed_items, keep_item))
        new_item = np.cumsum(keep_item, dtype=np.int64) - 1
        kept = [values[entries] for values in columns]
        kept[0] = new_item[kept[0]].astype(np.int32)
        newest = self.newest
        if self.timed:
            newest = int(kept[2].max()) if len(kept[2]) else 0
        shop = replace(
            self,
            users=self.users.keep(keep_user),
            items=self.items.keep(keep_item),
            by_user=RowStore.from_csr(assemble.offsets(left_users[keep_user]), tuple(kept)),
            newest=newest,
            reference=self.reference if len(kept[0]) else newest,
            listed_users=None if self.listed_users is None else self.listed_users[keep_user],
            listed_items=None if self.listed_items is None else self.listed_items[keep_item],
        )
        if np.isfinite(self.half_life) and shop.reference != newest:
            shop = shop._rebased(newest)
        return shop, keep_user, keep_item

    def _decayed(self, events: EventColumns) -> np.ndarray:
        """Weights of the rows seen from `reference`; empty for all ones."""
        if self.kind == "rating" or np.isinf(self.half_life):
            return _NO_VALUES if events.values is None else events.values
        assert events.times is not None  # checked where the table came in
        factors = decay(events.times, self.reference, self.half_life)
        return factors if events.values is None else factors * events.values

    def _with_ids(
        self,
        user_ids: np.ndarray,
        user_kind: str,
        item_ids: np.ndarray,
        item_kind: str,
        users: Any,
        items: Any,
    ) -> Interactions:
        user_map, listed_users = _extended(
            self.users, self.listed_users, user_ids, user_kind, users, USER
        )
        item_map, listed_items = _extended(
            self.items, self.listed_items, item_ids, item_kind, items, ITEM
        )
        return replace(
            self,
            users=user_map,
            items=item_map,
            listed_users=listed_users,
            listed_items=listed_items,
        )

    def _newest_with(self, times: np.ndarray | None) -> int:
        """Newest time of these interactions and of some more."""
        if times is None or not len(times):
            return self.newest
        return int(times.max()) if self.n_entries == 0 else max(self.newest, int(times.max()))

    def _overflows(self, newest: int) -> bool:
        """Whether weights at a time are too large beside those stored to share one scale."""
        if np.isinf(self.half_life) or newest == self.reference:
            return False
        return self.n_entries == 0 or (newest - self.reference) / self.half_life > _MOST_HALVINGS

    def _rebased(self, newest: int) -> Interactions:
        """Return the interactions with weights as seen from another time."""
        indptr, columns = self._csr
        # float64 ends at 2 ** 1023; what underflowed to 0 stays there, seen and no evidence.
        factor = np.exp2(min((self.reference - newest) / self.half_life, 1000.0))
        data = (columns[1].astype(np.float64) * factor).astype(np.float32)
        columns = (columns[0].copy(), data, *(values.copy() for values in columns[2:]))
        by_user = RowStore.from_csr(indptr, columns)
        return replace(self, by_user=by_user, reference=newest, newest=newest)

    def _recode(self, other: Interactions, newest: int) -> tuple[Any, ...]:
        """Entries of another Interactions as a batch of events of this one."""
        if other.kind != self.kind:
            raise DataError(f"the batch holds {other.kind}s; this model learned {self.kind}s.")
        if other.half_life != self.half_life:
            raise DataError("the batch was made with another half_life than this model's.")
        shop = self._with_ids(
            other.users.ids, other.users.kind, other.items.ids, other.items.kind, None, None
        )
        indptr, columns = other._csr
        user_rows = np.repeat(shop.users.rows(other.users.ids), np.diff(indptr))
        item_rows = shop.items.rows(other.items.ids)[columns[0]]
        weights = columns[1].astype(np.float64)
        if np.isfinite(self.half_life):
            weights *= decay(np.array([other.reference]), self.reference, self.half_life)
        times = columns[2] if other.timed else None
        counts = columns[-1] if self.kind == "rating" else None
        shop = replace(shop, newest=newest)
        return shop, user_rows, item_rows, weights, times, counts

    def _add_coded(
        self,
        shop: Interactions,
        user_rows: np.ndarray,
        item_rows: np.ndarray,
        weights: np.ndarray,
        times: np.ndarray | None,
        counts: np.ndarray | None,
    ) -> tuple[Interactions, Change]:
        if self.timed and times is None and len(user_rows):
            raise DataError(
                "the batch of events has no timestamp column, but the events so far had one."
            )
        touched, codes = np.unique(user_rows, return_inverse=True)
        known = touched < self.n_users
        old_indptr, old = self.by_user.take(touched[known])
        old_codes = np.repeat(np.flatnonzero(known), np.diff(old_indptr))
        new_weights = np.ones(len(user_rows)) if len(weights) == 0 else weights
        new_counts = np.ones(len(user_rows), dtype=np.int32) if counts is None else counts
        indptr, columns = merged_by_user(
            np.concatenate((old_codes, codes)),
            len(touched),
            np.concatenate((old[0], item_rows)),
            np.concatenate((old[1].astype(np.float64), new_weights)),
            np.concatenate((old[2], _NO_TIMES if times is None else times))
            if self.timed
            else None,
            np.concatenate((old[-1], new_counts)) if self.kind == "rating" else None,
            self.kind,
            1,
        )
        by_user = self.by_user.replace(touched, indptr, columns, shop.n_users)
        result = replace(shop, by_user=by_user)
        merged_keys = np.repeat(touched, np.diff(indptr)) * shop.n_items + columns[0]
        old_keys = np.repeat(touched[known], np.diff(old_indptr)) * shop.n_items + old[0]
        result._carry_over(self, merged_keys, columns[1], old_keys, old[1])
        return result, Change(touched, np.unique(item_rows))

    def _carry_over(
        self,
        before: Interactions,
        keys: np.ndarray,
        data: np.ndarray,
        old_keys: np.ndarray,
        old_data: np.ndarray,
    ) -> None:
        """Bring what `before` had already derived up to date instead of deriving it again."""
        if before.__dict__.get("all_positive"):
            self.__dict__["all_positive"] = bool((data > 0).all())
        elif "all_positive" in before.__dict__:
            self.__dict__["all_positive"] = False
        place = np.searchsorted(old_keys, keys)
        was = np.zeros(len(keys), dtype=np.float32)
        known = place < len(old_keys)
        known[known] = old_keys[place[known]] == keys[known]
        was[known] = old_data[place[known]]
        users, items = np.divmod(keys, self.n_items) if len(keys) else (keys, keys)
        if "item_counts" in before.__dict__:
            counts = np.zeros(self.n_items, dtype=np.int64)
            counts[: before.n_items] = before.item_counts
            np.add.at(counts, items, (data > 0).astype(np.int64) - (was > 0))
            self.__dict__["item_counts"] = counts
        if "by_item" in before.__dict__:
            changed = known & (was != data)
            store = _overwrite(
                before.by_item, items[changed], users[changed], data[changed], self.n_users
            )
            order = np.argsort(items[~known], kind="stable")
            new_items, lengths = np.unique(items[~known], return_counts=True)
            self.__dict__["by_item"] = store.append(
                new_items,
                assemble.offsets(lengths),
                (users[~known][order].astype(np.int32), data[~known][order]),
                self.n_items,
            )

    def __repr__(self) -> str:
        return (
            f"Interactions({self.n_users} users x {self.n_items} items, "
            f"{self.n_entries} entries, {self.kind}s)"
        )


def merged_by_user(
    user_codes: np.ndarray,
    n_users: int,
    item_codes: np.ndarray,
    values: np.ndarray,
    times: np.ndarray | None,
    counts: np.ndarray | None,
    kind: str,
    n_jobs: int | None,
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Event rows as a matrix by user: indptr, and columns, weights, times and counts if any."""
    indptr, order = assemble.group_by_row(user_codes, n_users)
    columns = item_codes[order].astype(np.int32, copy=False)
    values = values[order] if len(values) else values
    timed = [] if times is None else [times[order]]
    sorted_times = timed[0] if timed else _NO_TIMES
    if kind == "rating":
        ones = np.ones(len(order), dtype=np.int32) if counts is None else counts[order]
        values = values if len(values) else np.ones(len(order))
        lengths, data = assemble.merge_ratings(indptr, columns, values, sorted_times, ones, n_jobs)
        parts = [columns, data, *timed, ones]
    else:
        lengths, data = assemble.merge_weights(indptr, columns, values, sorted_times, n_jobs)
        parts = [columns, data, *timed]
    indptr = assemble.compact(indptr, lengths, parts)
    return indptr, tuple(values[: indptr[-1]] for values in parts)


def _overwrite(
    store: RowStore, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, width: int
) -> RowStore:
    """Give existing entries of a store with `width` columns new values."""
    if not len(rows):
        return store
    order = np.argsort(rows, kind="stable")
    touched, counts = np.unique(rows, return_counts=True)
    indptr, (indices, data) = store.take(touched)
    changes = assemble.offsets(counts)
    assemble.overwrite(indptr, indices, data, changes, columns[order], values[order], width)
    return store.replace(touched, indptr, (indices, data))


def _with_listed(
    table: Any, ids: np.ndarray, kind: str, column: str
) -> tuple[IdMap, np.ndarray | None]:
    """Merge the ids of a side table into those of the events; which ids it listed."""
    if table is None:
        return IdMap(ids, kind) if len(ids) else IdMap(np.empty(0, dtype=np.int64)), None
    _, listed, listed_kind = encode_ids(read_ids(table, column, _side(column))[1], column)
    merged = merge_ids([(ids, kind), (listed, listed_kind)], column)
    mask = np.zeros(len(merged), dtype=bool)
    mask[merged.rows(listed)] = True
    return merged, mask


def _extended(
    known: IdMap, listed: np.ndarray | None, ids: np.ndarray, kind: str, table: Any, column: str
) -> tuple[IdMap, np.ndarray | None]:
    """Append the ids that a batch or its side table brings."""
    side, side_kind = np.empty(0, dtype=np.int64), "int"
    if table is not None:
        side, side_kind = check_ids(np.asarray(read_ids(table, column, _side(column))[1]), column)
    found = merge_ids([(ids, kind), (side, side_kind)], column)
    if len(found) and len(known) and found.kind != known.kind:
        raise DataError(
            f"{column} is {found.kind} in the batch and {known.kind} in the fitted model. "
            "Convert the batch."
        )
    if len(known) == 0:
        grown = IdMap(found.ids, found.kind)
    else:
        grown = known.extend(found.ids[known.rows(found.ids) < 0]) if len(found) else known
    if listed is None and table is None:
        return grown, None
    mask = np.zeros(len(grown), dtype=bool)
    if listed is not None:
        mask[: len(listed)] = listed
    mask[grown.rows(side)] = True
    return grown, mask


def _side(column: str) -> str:
    return f"the {'items' if column == ITEM else 'users'} table"


def _refuse_swapped(
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    items: IdMap,
    listed: np.ndarray | None,
    users: IdMap | None = None,
) -> None:
    """Refuse a table whose user_id column holds known items, and whose item_id column none."""
    if items.kind == "int" or not len(item_ids):
        # Integers of users and items overlap by chance: nothing to see.
        return
    if users is not None and (items.rows(users.ids) >= 0).any():
        # People who choose people: one id may be both.
        return
    rows = items.rows(item_ids)
    known = rows >= 0 if listed is None else listed[rows]
    if known.any():
        return
    crossed = items.rows(user_ids)
    found = crossed >= 0 if listed is None else (crossed >= 0) & listed[crossed]
    other = True if users is None else (users.rows(item_ids) >= 0).any()
    if found.any() and other:
        raise DataError(
            "user_id and item_id look swapped: no item_id is a known item, but the user_id column "
            f"holds items such as {user_ids[found][0]!r}. Swap the two columns."
        )


def _check_values(values: str) -> None:
    if values not in ("weight", "rating"):
        raise ValueError(f"values must be 'weight' or 'rating'; got {values!r}.")


def _listed(mask: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    return np.zeros(len(like), dtype=bool) if mask is None else mask


def _read_only(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.flags.writeable = False
    return view
