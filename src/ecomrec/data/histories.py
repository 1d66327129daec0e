"""What a request answers from: stored rows, and what visitors just did."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ecomrec.data.ids import id_list
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import USER, is_table, read_events
from ecomrec.data.timestamps import decay
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble

_NO_TIMES = np.empty(0, dtype=np.int64)


class Profiles(NamedTuple):
    """Items and weights by row: row r is ``items[indptr[r] : indptr[r + 1]]``.

    Attributes
    ----------
    indptr : ndarray of shape (n + 1,), int64
    items : ndarray, int32
        Item rows, rising within each row.
    weights : ndarray, float32
        Weights at the newest time that the interactions have seen, or ratings.
    """

    indptr: np.ndarray
    items: np.ndarray
    weights: np.ndarray

    def part(self, rows: slice) -> Profiles:
        """Return some neighbouring rows."""
        indptr = self.indptr[rows.start : rows.stop + 1]
        inside = slice(indptr[0], indptr[-1])
        return Profiles(indptr - indptr[0], self.items[inside], self.weights[inside])

    def take(self, rows: np.ndarray) -> Profiles:
        """Return some rows, in the order given, also more than once."""
        at, where = gathered(self.indptr, rows)
        return Profiles(at, self.items[where], self.weights[where])

    def plus(self, other: Profiles, kind: str) -> Profiles:
        """Return the profiles with others, row by row: weights add up, later ratings replace."""
        n = len(self.indptr) - 1
        rows = [np.repeat(np.arange(n), np.diff(part.indptr)) for part in (self, other)]
        columns = [(self.items, self.weights), (other.items, other.weights)]
        if kind == "rating":
            width = int(max(self.items.max(initial=0), other.items.max(initial=0))) + 1
            again = np.isin(rows[0] * width + self.items, rows[1] * width + other.items)
            rows[0], columns[0] = rows[0][~again], (self.items[~again], self.weights[~again])
        return _assembled(
            np.concatenate(rows),
            np.concatenate([items for items, _ in columns]),
            np.concatenate([weights for _, weights in columns]).astype(np.float64),
            n,
            _NO_TIMES,
            kind,
        )


def gathered(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of some rows laid end to end, and where their entries are."""
    lengths = np.diff(indptr)[rows]
    at = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    where = np.repeat(indptr[rows] - at[:-1], lengths) + np.arange(at[-1])
    return at, where


def stored_profiles(shop: Interactions, rows: np.ndarray) -> Profiles:
    """Return what is stored for some user rows; nothing for -1."""
    scale = np.float32(shop.scale)
    if len(rows) == 1 and rows[0] >= 0:
        items, weights = shop.by_user.row(int(rows[0]))[:2]
        indptr = np.array([0, len(items)], dtype=np.int64)
    elif (rows >= 0).all():
        indptr, columns = shop.by_user.take(rows)
        items, weights = columns[:2]
    else:
        known = rows >= 0
        lengths = np.zeros(len(rows), dtype=np.int64)
        lengths[known] = shop.by_user.lengths[rows[known]]
        _, columns = shop.by_user.take(rows[known])
        indptr, items, weights = assemble.offsets(lengths), columns[0], columns[1]
    return Profiles(indptr, items, weights if scale == 1 else weights * scale)


def read_histories(
    history: Any,
    shop: Interactions,
    keys: Sequence[Any] | np.ndarray | None,
    quiet: bool = False,
) -> tuple[Sequence[Any] | np.ndarray, Profiles]:
    """Read lists of item ids, or a table with `fit`'s columns.

    Parameters
    ----------
    history : list of sequences of item ids, or table
    shop : Interactions
    keys : sequence or None
        User ids that the rows belong to; None: the rows of the history are the request.
    quiet : bool
        No warning about items that are not known.

    Returns
    -------
    keys : sequence
        What the rows are called: `keys`, the `user_id` of the table, or positions.
    profiles : Profiles
    """
    if is_table(history):
        return _read_table(history, shop, keys, quiet)
    if isinstance(history, (str, bytes)) or not hasattr(history, "__iter__"):
        raise DataError(
            "history must be a list of sequences of item ids, such as [['sku1', 'sku3']], or a "
            f"table; got {history!r}."
        )
    visits = [id_list(_sequence(visit), "each history") for visit in history]
    if keys is not None and len(visits) != len(keys):
        raise DataError(
            f"history has {len(visits)} rows for {len(keys)} users. Give one for each."
        )
    lengths = [len(visit) for visit in visits]
    flat = [item for visit in visits for item in visit]
    rows = np.repeat(np.arange(len(visits)), lengths)
    items = shop.items.rows(flat)
    known = items >= 0 if quiet else _known(items, 6)
    value = float(shop.data.max(initial=1.0)) if shop.kind == "rating" else 1.0
    weights = np.full(len(items), value)[known]
    profiles = _assembled(rows[known], items[known], weights, len(visits), _NO_TIMES, shop.kind)
    return range(len(visits)) if keys is None else keys, profiles


def _read_table(
    history: Any, shop: Interactions, keys: Sequence[Any] | np.ndarray | None, quiet: bool
) -> tuple[Sequence[Any] | np.ndarray, Profiles]:
    import pandas as pd

    events = read_events(history, values=shop.kind, what="the history")
    owners = np.asarray(events.users)
    if keys is None:
        rows, names = pd.factorize(owners)
        found: Sequence[Any] | np.ndarray = np.asarray(names)
    else:
        place: dict[Any, int] = {}
        of_row = np.array([place.setdefault(key, row) for row, key in enumerate(_plain(keys))])
        rows = np.array([place.get(owner, -1) for owner in _plain(owners)], dtype=np.int64)
        if (rows < 0).any():
            stranger = _plain(owners)[int(np.flatnonzero(rows < 0)[0])]
            raise DataError(
                f"the history has rows for {USER} {stranger!r}, who is not among the users asked "
                "for. Drop them, or leave out users."
            )
        found = keys
    items = shop.items.rows(np.asarray(events.items))
    known = items >= 0 if quiet else _known(items, 7)
    weights = np.ones(len(items)) if events.values is None else events.values
    times = _NO_TIMES if events.times is None else events.times[known]
    if np.isfinite(shop.half_life) and events.times is not None:
        weights = weights * decay(events.times, shop.newest, shop.half_life)
    profiles = _assembled(rows[known], items[known], weights[known], len(found), times, shop.kind)
    # Who is asked for twice has the same history in both rows.
    return found, profiles if keys is None else profiles.take(of_row)


def _sequence(visit: Any) -> Any:
    """A tuple is a sequence of ids here: histories are never ids themselves."""
    return list(visit) if isinstance(visit, tuple) else visit


def _plain(values: Sequence[Any] | np.ndarray) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _known(items: np.ndarray, depth: int) -> np.ndarray:
    known = items >= 0
    strangers = int(np.count_nonzero(~known))
    if strangers:
        warnings.warn(
            f"{strangers} of {len(items)} items in the histories are not known and are ignored.",
            UserWarning,
            stacklevel=depth,
        )
    return known


def _assembled(
    rows: np.ndarray,
    items: np.ndarray,
    weights: np.ndarray,
    n_rows: int,
    times: np.ndarray,
    kind: str,
) -> Profiles:
    """Merge duplicates as a fit would; entries without evidence stay, as seen."""
    indptr, order = assemble.group_by_row(rows, n_rows)
    columns = items[order].astype(np.int32)
    values, times = weights[order], times[order] if len(times) else times
    if kind == "rating":
        ones = np.ones(len(columns), dtype=np.int32)
        lengths, data = assemble.merge_ratings(indptr, columns, values, times, ones, 1)
    else:
        lengths, data = assemble.merge_weights(indptr, columns, values, times, 1)
    indptr = assemble.compact(indptr, lengths, [columns, data])
    return Profiles(indptr, columns[: indptr[-1]], data[: indptr[-1]])
