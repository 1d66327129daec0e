"""What a shop consists of: its events, its items and its users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Shop:
    """The tables of a shop.

    Parameters
    ----------
    events : pandas.DataFrame
        One row per event, oldest first: ``user_id``, ``item_id`` and what the loader documents.
    items : pandas.DataFrame
        One row per item: ``item_id`` and its attributes.
    users : pandas.DataFrame
        One row per user: ``user_id`` and its attributes.
    DESCR : str
        Where the data come from, their licence, and what was changed.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> shop = make_shop(n_users=100, n_items=40, n_events=1000)
    >>> shop
    SyntheticShop(1000 events, 40 items, 100 users)
    >>> shop.events.columns.tolist()
    ['user_id', 'item_id', 'event', 'timestamp']
    """

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    DESCR: str

    def __repr__(self) -> str:
        sizes = f"{len(self.events)} events, {len(self.items)} items, {len(self.users)} users"
        return f"{type(self).__name__}({sizes})"


@dataclass(frozen=True, eq=False, repr=False)
class SyntheticShop(Shop):
    """The tables of a made-up shop, and the truth behind them.

    Parameters
    ----------
    events, items, users : pandas.DataFrame
        As in `Shop`.
    DESCR : str
        How it was made.
    item_group : ndarray of shape (n_items,), int64
        Taste group of each row of `items`.
    user_group : ndarray of shape (n_users,), int64
        Favourite group of each row of `users`.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> shop = make_shop(n_users=100, n_items=40, n_events=1000, n_groups=4)
    >>> sorted(set(shop.item_group.tolist()))
    [0, 1, 2, 3]
    """

    item_group: np.ndarray
    user_group: np.ndarray
