"""Interactions in the order of their ids: who arrived first makes no difference to a fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.kernels import assemble

Arrays = tuple[np.ndarray, ...]


class Canonical(NamedTuple):
    """A users x items matrix whose rows and columns stand in the order of ids.

    Attributes
    ----------
    by_user, by_item : tuple of (starts, lengths, columns, values)
        The matrix by rows and by columns.
    users, items : ndarray, int64
        Which row of the interactions each of them is.
    """

    by_user: Arrays
    by_item: Arrays
    users: np.ndarray
    items: np.ndarray


def canonical(shop: Interactions) -> Canonical:
    """Sort interactions by id; what is sorted already is not copied."""
    users, items = _order(shop.users), _order(shop.items)
    if users is None and items is None:
        everyone, everything = np.arange(shop.n_users), np.arange(shop.n_items)
        return Canonical(shop.by_user.arrays, shop.by_item.arrays, everyone, everything)
    users = np.arange(shop.n_users) if users is None else users
    items = np.arange(shop.n_items) if items is None else items
    place = assemble.inverse(items)
    indptr, columns = shop.by_user.take(users)
    starts, lengths = indptr[:-1], np.diff(indptr).astype(np.int32)
    # Twice transposed: the columns of each row rise again.
    turned = assemble.transpose(starts, lengths, place[columns[0]], columns[1], shop.n_items)
    by_item = turned[0][:-1], np.diff(turned[0]).astype(np.int32), turned[1], turned[2]
    back = assemble.transpose(*by_item, shop.n_users)
    return Canonical((starts, lengths, back[1], back[2]), by_item, users, items)


def count(taken: tuple[np.ndarray, Arrays], wanted: np.ndarray) -> np.ndarray:
    """How many entries of each row, as `RowStore.take` gives them, are evidence of `wanted`."""
    indptr, columns = taken
    evidence = np.concatenate(([0], np.cumsum((columns[1] > 0) & wanted[columns[0]])))
    counts: np.ndarray = evidence[indptr[1:]] - evidence[indptr[:-1]]
    return counts


def id_ranks(ids: IdMap) -> np.ndarray:
    """Place of each row in the order of the ids (int32)."""
    return assemble.inverse(np.argsort(ids.ids, kind="stable"))


def _order(ids: IdMap) -> np.ndarray | None:
    """Rows by id, or None if they stand so."""
    values = ids.ids
    if bool(np.all(values[1:] >= values[:-1])):
        return None
    return np.argsort(values, kind="stable")
