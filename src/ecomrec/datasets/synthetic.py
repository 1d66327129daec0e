"""Made-up shops whose structure is known: any size, seeded."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec.datasets._simulation import (
    EVENTS,
    Groups,
    draw_people,
    draw_sessions,
    put_in_time,
)
from ecomrec.datasets.shop import SyntheticShop

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("user_id", "item_id", "event", "timestamp")
_SOURCES = dict(zip(_COLUMNS, ("user", "item", "event", "time"), strict=True))
_COUNTRIES = ("Germany", "France", "Spain", "Poland", "Malta")
_ADJECTIVES = ("red", "blue", "small", "large", "vintage", "wooden", "plain", "striped")
_NOUNS = ("mug", "lamp", "bag", "clock", "card", "frame", "bowl", "candle", "basket", "ribbon")

_DESCR = """A made-up shop (ecomrec.datasets.make_shop).

{n_events} events of {n_users} users and {n_items} items in {n_groups} taste groups. Users have a
favourite group, which their country influences; a session stays in one group, the favourite one
with probability {taste} and otherwise any group by its popularity. Within a group, items are
chosen by popularity alone. Item popularity and user activity have heavy tails. A viewed item is
carted, bought and returned with some probability, more often bought in the favourite group.
"""


def make_shop(
    n_users: int = 2000,
    n_items: int = 500,
    n_events: int = 50_000,
    n_groups: int = 8,
    *,
    taste: float = 0.8,
    columns: Sequence[str] = _COLUMNS,
    ids: Literal["integer", "string"] = "integer",
    start: str = "2024-01-01",
    days: float = 180,
    random_state: RandomState = 0,
) -> SyntheticShop:
    """Make up the event log of a shop whose tastes are known.

    Users and items belong to taste groups. Users come in sessions of about three visits, each
    session in one group: the user's favourite with probability `taste`, otherwise any. Within a
    group, items are chosen by their popularity, so the best recommendation is known: the most
    popular unseen items of the user's group. A visit is a view, and may go on to a cart, a
    purchase and a return some days later; more often in the favourite group.

    Parameters
    ----------
    n_users, n_items : int
        Sizes of the shop. The most active users have some tens of times the events of the
        average one; some of the least active may have none. The same holds for items.
    n_events : int
        Rows of the event table, exactly.
    n_groups : int
        Number of taste groups, at most `n_items`.
    taste : float, default=0.8
        Probability that a session is in the user's favourite group. 0: tastes do not matter; 1:
        users never leave their group.
    columns : sequence of str
        Columns of the event table, of ``"user_id"``, ``"item_id"``, ``"event"`` and
        ``"timestamp"``. Without ``"event"`` every row is a visit to an item; without
        ``"timestamp"`` rows are in the order of sessions. ``("user_id", "item_id")`` is the lean
        form: 8 bytes per row.
    ids : {"integer", "string"}, default="integer"
        Ids as int32 numbers from 0, or as text such as ``"u0000012"`` and ``"i0000345"``.
    start : str, default="2024-01-01"
        Time of the first session.
    days : float, default=180
        Time from the first session to the last; returns may come up to a tenth of it later.
    random_state : None, int, Generator or RandomState, default=0
        Seed. The same seed and parameters make the same shop; the same seed and numbers of users,
        items and groups make the same items, users and tastes.

    Returns
    -------
    SyntheticShop
        ``events`` with the columns asked for, oldest first. ``items``: ``item_id``,
        ``description``, ``category`` (the name of its group), ``price``. ``users``: ``user_id``,
        ``country``. ``item_group`` and ``user_group``: the truth.

    Raises
    ------
    ValueError
        For a parameter that cannot be used.

    Notes
    -----
    Popularity within a group, and the activity of users, follow a Zipf-Mandelbrot law: the r-th of
    n has a share proportional to ``(r + q) ** -s``, with s = 1 and q = 0.01 n for items, s = 0.7
    and q = 0.0005 n for users. Ranks are drawn by inverting the law for continuous r.

    Cost on one core: about 1 second and 50 bytes per row for a million rows with all columns;
    100 million rows in the lean form take about 10 seconds and 1 GB.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> shop = make_shop(n_users=1000, n_items=200, n_events=10_000, n_groups=5)
    >>> shop.events["event"].value_counts().index.tolist()
    ['view', 'cart', 'purchase', 'return']
    >>> events = make_shop(n_events=10_000, columns=("user_id", "item_id")).events
    >>> events.shape
    (10000, 2)
    """
    _check(n_users, n_items, n_events, n_groups, taste, columns, ids, start, days)
    import pandas as pd

    rng = make_rng(random_state)
    groups = Groups(n_items, n_groups, rng)
    user_country, user_group = draw_people(n_users, len(_COUNTRIES), groups, rng)
    items = _items(groups, ids, rng)
    users = pd.DataFrame(
        {
            "user_id": _labels("u", n_users, ids),
            "country": pd.Series(_COUNTRIES).take(user_country).array,
        }
    )
    with_events, with_times = "event" in columns, "timestamp" in columns
    rows: dict[str, Any] = draw_sessions(
        n_events, user_group, groups, taste, with_events, with_times, rng
    )
    if with_times:
        rows = put_in_time(rows, start, days, rng)
    if ids == "string":
        rows["user"] = users["user_id"].take(rows["user"]).array
        rows["item"] = items["item_id"].take(rows["item"]).array
    if with_events:
        rows["event"] = pd.Series(EVENTS).take(rows["event"]).array
    return SyntheticShop(
        events=pd.DataFrame({name: rows[_SOURCES[name]] for name in columns}, copy=False),
        items=items,
        users=users,
        DESCR=_DESCR.format(
            n_events=n_events, n_users=n_users, n_items=n_items, n_groups=n_groups, taste=taste
        ),
        item_group=groups.of_item,
        user_group=user_group.astype(np.int64),
    )


def make_checkerboard(n: int = 50) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a log with one right answer: users like the items of their parity, one is held out.

    User u has an event with every item of the parity of u except item u. Whatever a personalised
    model learns, the best new item for user u is item u: it is the only unseen one that users
    like u have.

    Parameters
    ----------
    n : int, default=50
        Number of users and of items, at least 6 (with fewer, two items never share a user).

    Returns
    -------
    train : pandas.DataFrame
        ``user_id`` and ``item_id`` (int64) of the events, sorted.
    held_out : pandas.DataFrame
        The right answer: for each user, the item of the same number.

    Examples
    --------
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(6)
    >>> train[train["user_id"] == 1]["item_id"].tolist()
    [3, 5]
    >>> held_out[held_out["user_id"] == 1]["item_id"].tolist()
    [1]
    """
    import pandas as pd

    if not _is_count(n) or n < 6:
        raise ValueError(f"n must be an integer of at least 6; got {n!r}.")
    number = np.arange(n, dtype=np.int64)
    liked = (number[:, None] - number) % 2 == 0
    np.fill_diagonal(liked, False)
    users, items = np.nonzero(liked)
    train = pd.DataFrame({"user_id": users.astype(np.int64), "item_id": items.astype(np.int64)})
    return train, pd.DataFrame({"user_id": number, "item_id": number})


def _items(groups: Groups, ids: str, rng: np.random.Generator) -> pd.DataFrame:
    import pandas as pd

    n_items, n_groups = len(groups.members), len(groups.share)
    names = [f"{_NOUNS[g % len(_NOUNS)]}{g // len(_NOUNS) or ''}" for g in range(n_groups)]
    category = pd.Series(names).take(groups.of_item).reset_index(drop=True)
    adjective = pd.Series(_ADJECTIVES).take(rng.integers(len(_ADJECTIVES), size=n_items))
    numbers_ = pd.Series(np.arange(n_items)).astype(str)
    level = rng.lognormal(2.5, 0.6, size=n_groups)
    price = level[groups.of_item] * rng.lognormal(0.0, 0.5, size=n_items)
    return pd.DataFrame(
        {
            "item_id": _labels("i", n_items, ids),
            "description": adjective.reset_index(drop=True) + " " + category + " no " + numbers_,
            "category": category,
            "price": np.maximum(np.round(price, 2), 0.01),
        }
    )


def _labels(prefix: str, n: int, ids: str) -> pd.Series:
    import pandas as pd

    if ids == "integer":
        return pd.Series(np.arange(n, dtype=np.int32))
    return pd.Series([f"{prefix}{number:07d}" for number in range(n)])


def _is_count(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check(
    n_users: int,
    n_items: int,
    n_events: int,
    n_groups: int,
    taste: float,
    columns: Sequence[str],
    ids: str,
    start: str,
    days: float,
) -> None:
    sizes = {"n_users": n_users, "n_items": n_items, "n_events": n_events, "n_groups": n_groups}
    for name, size in sizes.items():
        if not _is_count(size) or not 1 <= size < 2**31:
            raise ValueError(f"{name} must be an integer from 1 to 2**31 - 1; got {size!r}.")
    if n_groups > n_items:
        raise ValueError(f"n_groups must be at most n_items, {n_items}; got {n_groups}.")
    if not 0 <= taste <= 1:
        raise ValueError(f"taste must be a probability; got {taste!r}.")
    known = not isinstance(columns, str) and len(columns) > 0 and set(columns) <= set(_COLUMNS)
    if not known or len(set(columns)) < len(columns):
        raise ValueError(f"columns must be some of {_COLUMNS}; got {columns!r}.")
    if ids not in ("integer", "string"):
        raise ValueError(f"ids must be 'integer' or 'string'; got {ids!r}.")
    try:
        begin = np.datetime64(start)
    except ValueError:
        begin = np.datetime64("NaT")
    if np.isnat(begin):
        raise ValueError(f"start must be a day such as '2024-01-01'; got {start!r}.")
    if not days > 0:
        raise ValueError(f"days must be positive; got {days!r}.")
