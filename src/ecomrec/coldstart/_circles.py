"""Who is whose friend: lists as they come in a table, and as they are kept."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np

from ecomrec.data.catalog import cells_of
from ecomrec.data.ids import IdMap, check_ids
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.tables import USER, read_ids, require_columns, to_frame
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble
from ecomrec.state import ArrayRule

FRIENDS = "friends"
_LISTS = (list, tuple, set, frozenset, np.ndarray)


class Lists(NamedTuple):
    """Friends of some users: those of row r are ``names[indptr[r] : indptr[r + 1]]``."""

    indptr: np.ndarray
    names: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Circles:
    """What `Friends` learns.

    Attributes
    ----------
    people : IdMap
        Everybody whom a list names, users or not yet.
    rows : ndarray of shape (n_people,), int64
        Their rows among the users, -1 for who is none.
    lists : RowStore of shape (n_users, n_people)
        Friends of each user, and what each of them counts for.
    """

    people: IdMap
    rows: np.ndarray
    lists: RowStore

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return {"rows": ArrayRule((len(self.people),), -1, shop.n_users, dtype=np.int64)}

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        return {"lists": (shop.n_users, len(self.people))}

    def grown(self, shop: Interactions) -> Circles:
        """What is known with rows for more users, some of whom lists have named before."""
        n = self.lists.n_rows
        if n == shop.n_users:
            return self
        nobody = np.empty(0, dtype=np.int64)
        nothing = np.zeros(1, dtype=np.int64), tuple(v[:0] for v in self.lists.columns)
        named = self.people.rows(shop.users.ids[n:])
        rows = self.rows.copy()
        rows[named[named >= 0]] = n + np.flatnonzero(named >= 0)
        return replace(self, rows=rows, lists=self.lists.append(nobody, *nothing, shop.n_users))

    def told(self, shop: Interactions, table: Any) -> Circles:
        """What is known with the lists of a table instead of those it replaces."""
        frame = None if table is None else to_frame(table, "the users table")
        if frame is None or FRIENDS not in frame.columns:
            return self
        owners, lists = read_friends(frame, shop.users)
        known = self.people.rows(lists.names)
        strangers = dict.fromkeys(lists.names[known < 0].tolist())
        new = np.fromiter(strangers, dtype=shop.users.ids.dtype, count=len(strangers))
        people = self.people.extend(new) if len(self.people) else IdMap(new, shop.users.kind)
        rows = np.append(self.rows, shop.users.rows(new))
        indices = people.rows(lists.names).astype(np.int32)
        stored = self.lists.replace(owners, lists.indptr, (indices, lists.weights), shop.n_users)
        return Circles(people, rows, stored)

    def without(self, kept_users: np.ndarray) -> Circles:
        """What is known if some users had never been: no list names them."""
        indptr, (indices, weights) = self.lists.take(np.flatnonzero(kept_users))
        is_user = self.rows >= 0
        stays = ~is_user
        stays[is_user] = kept_users[self.rows[is_user]]
        entries = stays[indices]
        at = np.concatenate(([0], np.cumsum(entries)))[indptr]
        indices, weights = indices[entries], weights[entries]
        named = np.bincount(indices, minlength=len(self.people)) > 0
        places = np.cumsum(named) - 1
        moved = np.append(np.cumsum(kept_users) - 1, -1)
        return Circles(
            self.people.keep(named),
            moved[self.rows[named]],
            RowStore.from_csr(at.astype(np.int64), (places[indices].astype(np.int32), weights)),
        )


def no_circles(shop: Interactions) -> Circles:
    """Nobody knows anybody."""
    empty = np.empty(0, dtype=shop.users.ids.dtype)
    columns = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    nothing = RowStore.from_csr(np.zeros(shop.n_users + 1, dtype=np.int64), columns)
    return Circles(IdMap(empty, shop.users.kind), np.empty(0, dtype=np.int64), nothing)


def read_friends(frame: nw.DataFrame[Any], users: IdMap) -> tuple[np.ndarray, Lists]:
    """Rows of the users whose list a table gives, and the lists."""
    _, ids = read_ids(frame, USER, "the users table")
    cells, rows = cells_of(frame[FRIENDS]), users.rows(ids)
    given = np.flatnonzero(np.array([cell is not None for cell in cells], dtype=bool))
    lists = lists_of([cells[at] for at in given], users, users.ids[rows[given]].tolist())
    return rows[given], lists


def lists_of(cells: Iterable[Any], users: IdMap, owners: list[Any] | None = None) -> Lists:
    """Lists of friends, or dicts of what each counts for, checked; nobody is their own friend."""
    flat: list[Any] = []
    weights: list[float] = []
    lengths: list[int] = []
    for place, cell in enumerate(cells):
        owner = f"friends of user {owners[place]!r}" if owners else f"friends[{place}]"
        counts = _weighed(cell, owner)
        if owners:
            counts.pop(owners[place], None)
        flat += counts
        weights += counts.values()
        lengths.append(len(counts))
    names = np.fromiter(flat, dtype=object, count=len(flat))
    if len(names):
        names, kind = check_ids(names, "friends")
        if kind != users.kind:
            raise DataError(
                f"friends are {kind} ids, and user_id is {users.kind}. Convert one of them."
            )
    else:
        names = names.astype(users.ids.dtype)
    return Lists(assemble.offsets(np.array(lengths)), names, np.array(weights, dtype=np.float32))


def _weighed(cell: Any, owner: str) -> dict[Any, float]:
    """Friends, each once, and what they count for."""
    if isinstance(cell, Mapping):
        for friend, weight in cell.items():
            if (
                not isinstance(weight, numbers.Real)
                or isinstance(weight, bool)
                or not math.isfinite(weight)
                or not 0 <= float(weight) <= np.finfo(np.float32).max
            ):
                raise DataError(
                    f"{owner}: {friend!r} counts for {weight!r}; weights are finite numbers of at "
                    "least 0."
                )
        return {_plain(friend): float(w) for friend, w in cell.items() if w > 0}
    if not isinstance(cell, _LISTS):
        raise DataError(
            f"{owner} must be a list of user ids, or a dict of these and their weights; got "
            f"{cell!r}."
        )
    return dict.fromkeys((_plain(friend) for friend in cell), 1.0)


def _plain(friend: Any) -> Any:
    return friend.item() if isinstance(friend, np.generic) else friend


def friend_lists(edges: Any, *, users: Any = None, both_ways: bool = True) -> Any:
    """Return a users table with lists of friends, made from a table of pairs.

    Parameters
    ----------
    edges : pandas, Polars or Arrow table
        One row a pair: `user_id`, `friend_id`, and a `weight` if some count for more. A pair that
        comes twice counts once, by its largest weight.
    users : table, optional
        A users table to add the lists to; it keeps its other columns.
    both_ways : bool
        Whether a friend's friend is a friend; False for followers, who are not followed.

    Returns
    -------
    pandas.DataFrame
        `user_id`, the columns of `users`, and `friends`: a dict of id to weight.

    Raises
    ------
    DataError
        A column is missing, or an id or a weight is; or ids are of several types.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.coldstart import friend_lists
    >>> pairs = pd.DataFrame({"user_id": ["ann", "ann"], "friend_id": ["bob", "cat"]})
    >>> friend_lists(pairs)
      user_id                   friends
    0     ann  {'bob': 1.0, 'cat': 1.0}
    1     bob              {'ann': 1.0}
    2     cat              {'ann': 1.0}
    """
    import pandas as pd

    what = "the table of friends"
    frame = to_frame(edges, what)
    require_columns(frame, (USER, "friend_id"), what)
    columns = [cells_of(frame[name]) for name in (USER, "friend_id")]
    weights: Any = [1.0] * len(frame)
    if "weight" in frame.columns:
        weights = cells_of(frame["weight"]).tolist()
    if any(cell is None for cells in (*columns, weights) for cell in cells):
        raise DataError(f"{what} has rows without an id or a weight. Drop them first.")
    (people, kind), (others, other) = (
        check_ids(cells.astype(np.float64) if frame[name].dtype.is_float() else cells, name)
        for cells, name in zip(columns, (USER, "friend_id"), strict=True)
    )
    if kind != other and len(people):
        raise DataError(f"friend_id holds {other} ids, and user_id {kind}. Convert one of them.")
    found: dict[Any, dict[Any, Any]] = {}
    for user, friend, weight in zip(people.tolist(), others.tolist(), weights, strict=True):
        for one, other in ((user, friend), (friend, user))[: 1 + both_ways]:
            known = found.setdefault(one, {})
            known[other] = max(weight, known.get(other, weight))
    lists = {user: _weighed(found[user], f"friends of user {user!r}") for user in sorted(found)}
    if users is None:
        return pd.DataFrame({USER: list(lists), FRIENDS: list(lists.values())})
    table, _ = read_ids(users, USER, "the users table")
    ids = cells_of(table[USER]).tolist()
    listed = set(ids)
    ids += [user for user in lists if user not in listed]
    wide = pd.DataFrame({name: table[name].to_list() for name in table.columns}).set_index(USER)
    wide = wide.reindex(ids)
    cells = [lists.get(user, {}) for user in ids]
    wide[FRIENDS] = pd.Series(cells, index=wide.index, dtype=object)
    return wide.reset_index()
