"""Tables and matrices read for a private model: nothing said of any single row."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from ecomrec.data.ids import IdMap, encode_ids, encode_usable_ids
from ecomrec.data.interactions import Interactions, merged_by_user
from ecomrec.data.tables import (
    ITEM,
    RATING,
    TIME,
    USER,
    WEIGHT,
    EventColumns,
    is_table,
    read_events,
    read_ids,
    require_columns,
    to_frame,
)
from ecomrec.exceptions import DataError
from ecomrec.privacy.bounding import PrivateRows, evidence, refuse_learned_weights, usable


def read_private(
    X: Any, y: Any, items: Any, *, vocabulary: str, timed: bool
) -> tuple[IdMap, PrivateRows]:
    """Return the items that events may be of, and the rows of the users with evidence.

    Rows that lack something, that are not finite, whose ids are none, or that are of items outside
    a public catalogue are left out without a word: an error or a warning would tell of one person.
    Errors name columns, never ids.

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
        shop = Interactions.from_matrix(usable(X))
        return shop.items, PrivateRows.of(shop)
    catalog = None
    if vocabulary == "public":
        if items is None:
            raise DataError(
                "which items there are must be public: pass the catalogue, fit(events, "
                "items=catalog), or vocabulary='dp' to release the vocabulary itself privately."
            )
        catalog = _catalogue(items)
    refuse_learned_weights(X)
    if isinstance(X, Interactions):
        at, (codes, values, *rest) = X.by_user.to_csr()
        users = np.repeat(np.arange(X.n_users, dtype=np.int32), np.diff(at))
        times = rest[0] if X.timed and timed else None
        ids, kind, n_users = X.items.ids, X.items.kind, X.n_users
    else:
        frame = to_frame(X, "the event table")
        if TIME in frame.columns and not timed:
            frame = frame.drop(TIME)
        require_columns(frame, (USER, ITEM), "the event table")
        events = readable_events(frame, y, "the event table")
        users, user_ids, _ = encode_usable_ids(events.users, USER)
        codes, ids, kind = encode_usable_ids(events.items, ITEM)
        values = np.ones(len(codes)) if events.values is None else events.values
        times, n_users = events.times, len(user_ids)
    if timed and times is None:
        raise DataError("select='recent' needs a timestamp column; there is none.")
    if catalog is None:
        catalog = IdMap(ids, kind)
    elif len(ids) and kind not in (catalog.kind, "mixed"):
        raise DataError(
            f"the events have item ids of the kind {kind!r}, the catalogue {catalog.kind!r}. "
            "Convert one of them."
        )
    places = np.append(catalog.rows(ids), -1)[codes]
    known = (places >= 0) & (users >= 0)
    offsets, merged = merged_by_user(
        users[known], n_users, places[known].astype(np.int32), values[known].astype(np.float64),
        None if times is None else times[known], None, "weight", 1,
    )  # fmt: skip
    newest = merged[2] if timed else None
    return catalog, evidence(offsets, merged[0], merged[1], newest)


def _catalogue(items: Any) -> IdMap:
    """The ids of a public items table, sorted."""
    _, column = read_ids(items, ITEM, "the items table")
    _, ids, kind = encode_ids(column, ITEM)
    if len(ids) == 0:
        raise DataError("the items table has no rows: there is nothing to recommend.")
    return IdMap(ids, kind)


def readable_events(frame: Any, y: Any, what: str) -> EventColumns:
    """Read the rows of a table that are complete; an error names no value."""
    with contextlib.suppress(TypeError, ValueError, ArithmeticError):
        return read_events(frame, y, missing="drop unusable", what=what)
    raise DataError(
        f"a column of {what} cannot be read: {WEIGHT} or {RATING}, or y, must hold a number for "
        f"each row, and {TIME} times."
    )


def sorted_rows(rows: PrivateRows, items: np.ndarray) -> PrivateRows:
    """Rows with new numbers for their items, rising within each user again."""
    owners = np.repeat(np.arange(rows.n_users), np.diff(rows.indptr))
    order = np.lexsort((items, owners))
    times = None if rows.times is None else rows.times[order]
    return PrivateRows(rows.indptr, items[order].astype(np.int32), rows.values[order], times)
