"""Tables and matrices read for a private model: nothing said of any single row."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ecomrec.data.ids import IdMap, encode_ids
from ecomrec.data.interactions import Interactions, merged_by_user
from ecomrec.data.tables import (
    ITEM,
    TIME,
    USER,
    is_table,
    read_events,
    read_ids,
    require_columns,
    to_frame,
)
from ecomrec.exceptions import DataError
from ecomrec.privacy.bounding import PrivateRows


def read_private(
    X: Any, y: Any, items: Any, *, vocabulary: str, timed: bool
) -> tuple[IdMap, PrivateRows]:
    """Return the items that events may be of, and the rows of the users with evidence.

    Rows that lack something, that are not finite, or that are of items outside a public catalogue
    are left out without a word: an error or a warning would tell of one person. Errors name
    columns, never ids.

    Parameters
    ----------
    X, y, items
        As given to `fit`.
    vocabulary : {"public", "dp"}
        Whether the catalogue is public, or all items that occur are returned, which are private.
    timed : bool
        Times are needed.
    """
    if not is_table(X) and not isinstance(X, Interactions):
        shop = Interactions.from_matrix(_usable(X))
        indptr, (columns, data) = shop.by_user.to_csr()
        return shop.items, _evidence(indptr, columns, data, None)
    catalog = None
    if vocabulary == "public":
        if items is None:
            raise DataError(
                "which items there are must be public: pass the catalogue, fit(events, "
                "items=catalog), or vocabulary='dp' to release the vocabulary itself privately."
            )
        catalog = _catalogue(items)
    if isinstance(X, Interactions):
        if np.isfinite(X.half_life):
            raise DataError(
                "these Interactions have a half-life: their weights depend on the newest event of "
                "all users. Pass the table of events, or Interactions without a half-life."
            )
        at, (codes, values, *rest) = X.by_user.to_csr()
        users = np.repeat(np.arange(X.n_users, dtype=np.int32), np.diff(at))
        times = rest[0] if X.timed and timed else None
        ids, kind, n_users = X.items.ids, X.items.kind, X.n_users
    else:
        frame = to_frame(X, "the event table")
        if TIME in frame.columns and not timed:
            frame = frame.drop(TIME)
        require_columns(frame, (USER, ITEM), "the event table")
        try:
            events = read_events(frame, y, missing="drop unusable")
        except DataError:  # it may name a value
            raise DataError(
                "a column of the event table cannot be read: weight or rating, or y, must hold a "
                "number for each row, and timestamp a time."
            ) from None
        users, user_ids, _ = _coded(events.users, USER)
        codes, ids, kind = _coded(events.items, ITEM)
        values = np.ones(len(codes)) if events.values is None else events.values
        times, n_users = events.times, len(user_ids)
    if timed and times is None:
        raise DataError("select='recent' needs a timestamp column; there is none.")
    if catalog is None:
        catalog = IdMap(ids, kind)
    elif len(ids) and kind != catalog.kind:
        raise DataError(
            f"the events have item ids of the kind {kind!r}, the catalogue {catalog.kind!r}. "
            "Convert one of them."
        )
    places = catalog.rows(ids)[codes] if len(ids) else np.empty(0, dtype=np.int64)
    known = places >= 0
    offsets, merged = merged_by_user(
        users[known], n_users, places[known].astype(np.int32), values[known].astype(np.float64),
        None if times is None else times[known], None, "weight", 1,
    )  # fmt: skip
    newest = merged[2] if timed else None
    return catalog, _evidence(offsets, merged[0], merged[1], newest)


def _catalogue(items: Any) -> IdMap:
    """The ids of a public items table, sorted."""
    _, column = read_ids(items, ITEM, "the items table")
    _, ids, kind = encode_ids(column, ITEM)
    if len(ids) == 0:
        raise DataError("the items table has no rows: there is nothing to recommend.")
    return IdMap(ids, kind)


def _coded(column: Any, name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Distinct ids by number; an error names no id."""
    try:
        return encode_ids(column, name)
    except DataError:
        raise DataError(
            f"the {name} column holds values that are no ids, or ids of several types: ids are "
            "str, int, bytes, UUID, or tuples of these, all of one type."
        ) from None


def _usable(matrix: Any) -> Any:
    """A matrix in which what is not a finite number of at least 0 says nothing."""
    if hasattr(matrix, "tocsr"):
        if np.dtype(matrix.dtype).kind not in "iufb":
            return matrix
        # Entries of one cell add up first, so that each user's sum is made alone.
        csr = sp.csr_array(matrix, dtype=np.float64, copy=True)
        csr.sum_duplicates()
        csr.data = _clean(csr.data)
        return csr
    given = np.asarray(matrix)
    return _clean(given) if given.dtype.kind == "f" else given


def _clean(values: np.ndarray) -> np.ndarray:
    most = np.finfo(np.float32).max
    with np.errstate(invalid="ignore"):
        good = (values > 0) & (values <= most)
    return np.where(good, values, 0.0)


def _evidence(
    indptr: np.ndarray, items: np.ndarray, data: np.ndarray, times: np.ndarray | None
) -> PrivateRows:
    """Entries with a positive finite weight."""
    values = data.astype(np.float64)
    rows = PrivateRows(indptr, items.astype(np.int32), values, times)
    return rows.keep((values > 0) & np.isfinite(values))


def sorted_rows(rows: PrivateRows, items: np.ndarray) -> PrivateRows:
    """Rows with new numbers for their items, rising within each user again."""
    owners = np.repeat(np.arange(rows.n_users), np.diff(rows.indptr))
    order = np.lexsort((items, owners))
    times = None if rows.times is None else rows.times[order]
    return PrivateRows(rows.indptr, items[order].astype(np.int32), rows.values[order], times)
