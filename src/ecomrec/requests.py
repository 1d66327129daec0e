"""Ids of a request turned into rows: who asks, and what may be answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec.data.histories import Profiles, gathered, read_histories, stored_profiles
from ecomrec.data.ids import IdMap, id_list
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import USER
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.kernels import ranking
from ecomrec.state import Query, State


def check_unknown(unknown: str) -> None:
    """Refuse another word than the two there are."""
    if unknown not in ("raise", "skip"):
        raise ValueError(f"unknown must be 'raise' or 'skip'; got {unknown!r}.")


def strangers(n: int) -> Query:
    """Return a request of n visitors of whom nothing is stored."""
    nothing = Profiles(ranking.no_rows(n), ranking.NOTHING, np.empty(0, dtype=np.float32))
    return Query(np.full(n, -1), nothing, False)


def make_query(
    state: State, users: Any, history: Any, *, quiet: bool = False
) -> tuple[Sequence[Any] | np.ndarray, Query, np.ndarray]:
    """What the rows of a request are called, the request, and which rows can be answered.

    Unless `quiet`, there is a warning if items of a history are not known.
    """
    shop = state.interactions
    if users is None and history is None:
        raise ValueError("recommend needs users, history, or both; got neither.")
    keys: Sequence[Any] | np.ndarray
    if users is not None:
        keys = id_list(users, "users")
        rows = shop.users.rows(keys)
    if history is None:
        query = Query(rows, stored_profiles(shop, rows), True)
        return keys, query, rows >= 0
    found, given = read_histories(history, shop, None if users is None else keys, quiet)
    if users is None:
        keys, rows = found, np.full(len(found), -1, dtype=np.int64)
        profiles = given
    else:
        profiles = stored_profiles(shop, rows).plus(given, shop.kind)
    known = (rows >= 0) | (np.diff(given.indptr) > 0)
    return keys, Query(rows, profiles, False), known


def make_mask(
    state: State, query: Query, candidates: Any, exclude: Any, exclude_seen: bool
) -> ranking.Mask:
    """Which items each row of a request may be answered with."""
    n = len(query.users)
    mask = make_item_mask(state.interactions.items, n, state.available, candidates, exclude)
    if not exclude_seen:
        return mask
    seen = query.profiles.indptr, query.profiles.items
    if len(mask.excluded):
        seen = _joined(seen, (mask.excluded_at, mask.excluded))
    return mask._replace(excluded_at=seen[0], excluded=seen[1])


def make_item_mask(
    items: IdMap, n: int, available: np.ndarray | None, candidates: Any, exclude: Any
) -> ranking.Mask:
    """Which items `n` rows may be answered with, whoever asks."""
    allowed = ranking.EVERYTHING if available is None else available
    inside, inside_at = ranking.NOTHING, ranking.NO_OFFSETS
    if candidates is not None:
        shared, lists = _rows_of_lists(candidates, items, n, "candidates")
        if lists is None:
            only = np.zeros(len(items), dtype=bool)
            only[shared] = True
            allowed = only if len(allowed) == 0 else only & allowed
        else:
            inside_at, inside = lists
    outside, outside_at = ranking.NOTHING, ranking.no_rows(n)
    if exclude is not None:
        shared, lists = _rows_of_lists(exclude, items, n, "exclude")
        if lists is None:
            allowed = np.ones(len(items), dtype=bool) if len(allowed) == 0 else allowed.copy()
            allowed[shared] = False
        else:
            outside_at, outside = lists
    return ranking.Mask(allowed, inside, inside_at, outside, outside_at)


def known_rows(ids: IdMap, wanted: Any, name: str) -> np.ndarray:
    """Sorted rows of the ids wanted, each once; an unknown one is an error."""
    if wanted is None:
        return np.empty(0, dtype=np.int64)
    keys = id_list(wanted, name)
    rows = ids.rows(keys)
    if (rows < 0).any():
        raise_unknown(keys, rows >= 0, "Leave them out; nothing was forgotten.")
    return np.unique(rows)


_PLAIN_KINDS = ("int", "str", "bytes")
SKIP = "Pass unknown='skip' to leave their rows empty."


def raise_unknown(
    keys: Sequence[Any] | np.ndarray,
    known: np.ndarray,
    advice: str = "",
    histories: bool = False,
    kind: str | None = None,
) -> None:
    """Raise an `UnknownIdError` that names the first keys that are not known.

    `kind` is that of the ids in fit: it is told where the keys are of another one.
    """
    missing = np.flatnonzero(~known)
    if histories:
        message = f"no item of the histories in rows {missing[:5].tolist()} is known."
        message += f" Ids of items are {kind} here." if kind else ""
    else:
        listing = [_plain(keys[row]) for row in missing[:5]]
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        message = f"ids not seen in fit: {listing}{more}."
        given = type(listing[0]).__name__
        if kind in _PLAIN_KINDS and given in _PLAIN_KINDS and given != kind:
            message += f" Ids in fit were {kind}, these are {given}."
    raise UnknownIdError(f"{message} {advice}".rstrip())


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _rows_of_lists(
    ids: Any, items: IdMap, n: int, name: str
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Known rows of a shared list of ids, or of one list for each row (offsets and rows)."""
    outer = id_list(ids, name)
    if (len(outer) and isinstance(outer[0], (list, np.ndarray))) or hasattr(
        outer[0] if len(outer) else None, "to_numpy"
    ):
        if len(outer) != n:
            raise DataError(f"{name} holds {len(outer)} lists for {n} rows. Give one for each.")
        found = [np.unique(items.rows(id_list(part, name))) for part in outer]
        found = [part[part >= 0] for part in found]
        offsets = np.concatenate(([0], np.cumsum([len(part) for part in found]))).astype(np.int64)
        return ranking.NOTHING, (offsets, np.concatenate(found).astype(np.int32))
    rows = items.rows(outer)
    return rows[rows >= 0], None


def _joined(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two lists of lists, end to end."""
    n = len(one[0]) - 1
    parts = []
    for row in range(n):
        parts.append(one[1][one[0][row] : one[0][row + 1]])
        parts.append(other[1][other[0][row] : other[0][row + 1]])
    return one[0] + other[0], np.concatenate(parts) if parts else ranking.NOTHING


def rows_alone(shop: Interactions, rows: np.ndarray, axis: str) -> Query:
    """A query that needs just some rows of items, or of users."""
    if axis == USER:
        return Query(rows, stored_profiles(shop, rows), True)
    profiles = Profiles(
        np.arange(len(rows) + 1), rows.astype(np.int32), np.ones(len(rows), dtype=np.float32)
    )
    return Query(np.full(len(rows), -1), profiles, False)


def slice_query(query: Query, rows: slice) -> Query:
    """Return the part of a query that asks for some of its rows."""
    views = query.views
    if views is not None:
        views = {key: profiles.part(rows) for key, profiles in views.items()}
    return Query(query.users[rows], query.profiles.part(rows), query.as_stored, views)


def taken(query: Query, mask: ranking.Mask, rows: np.ndarray) -> tuple[Query, ranking.Mask]:
    """Return some rows of a request."""
    views = query.views
    if views is not None:
        views = {key: profiles.take(rows) for key, profiles in views.items()}
    asked = Query(query.users[rows], query.profiles.take(rows), query.as_stored, views)
    at, where = gathered(mask.excluded_at, rows)
    mask = mask._replace(excluded=mask.excluded[where], excluded_at=at)
    if len(mask.candidate_at):
        at, where = gathered(mask.candidate_at, rows)
        mask = mask._replace(candidates=mask.candidates[where], candidate_at=at)
    return asked, mask
