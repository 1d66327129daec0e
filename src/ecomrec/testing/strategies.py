"""Hypothesis strategies: small random event logs with everything that makes real ones awkward."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from ecomrec.data.interactions import Interactions
from ecomrec.data.timestamps import HalfLife

if TYPE_CHECKING:
    import pandas as pd

START = np.datetime64("2024-01-01", "us")
# Halves and thirds of a purchase, and returns that cancel them, exactly or by rounding.
_BOUGHT = (1.0, 2.0, 0.5, 3.0, 0.1, 0.2)
_RETURNED = (-1.0, -0.3, -2.0, 0.0)
_RATINGS = (1.0, 2.0, 3.0, 3.5, 4.0, 5.0)
_VALUES = {
    "weight": ("weight", _BOUGHT),
    "returns": ("weight", _BOUGHT + _RETURNED),
    "rating": ("rating", _RATINGS),
}


def event_tables(
    *,
    n_users: int = 6,
    n_items: int = 8,
    min_events: int = 1,
    max_events: int = 30,
    ids: str | None = None,
    values: str | None = None,
    timestamps: bool | None = None,
) -> st.SearchStrategy[pd.DataFrame]:
    """Strategy for small event tables.

    Few users and items and many repeats: pairs that occur twice, ties, returns that cancel a
    purchase, equal times, rows in any order.

    Parameters
    ----------
    n_users, n_items : int
        At most so many of each occur.
    min_events, max_events : int
        Rows of the table.
    ids : {"str", "int", "bytes", "uuid", "tuple"}, optional
        Type of the ids; by default `str` or `int`, which may be negative or beyond 2**31.
    values : {"none", "weight", "returns", "rating"}, optional
        Without a value column; with positive weights; with negative ones too; with ratings from 1
        to 5. By default any of the first three.
    timestamps : bool, optional
        Whether there is a timestamp column; by default either.

    Returns
    -------
    SearchStrategy of pandas.DataFrame
        Columns `user_id`, `item_id` and, as asked for, `weight` or `rating`, and `timestamp`.

    Examples
    --------
    >>> from hypothesis import given
    >>> from ecomrec.testing import event_tables
    >>> @given(event_tables(values="rating"))
    ... def ratings_stay_in_range(events):
    ...     assert events["rating"].between(1, 5).all()
    >>> ratings_stay_in_range()
    """
    return _event_tables(n_users, n_items, min_events, max_events, ids, values, timestamps)


@st.composite
def _event_tables(
    draw: st.DrawFn,
    n_users: int,
    n_items: int,
    min_events: int,
    max_events: int,
    ids: str | None,
    values: str | None,
    timestamps: bool | None,
) -> pd.DataFrame:
    import pandas as pd

    kind = draw(st.sampled_from(("str", "int"))) if ids is None else ids
    values = draw(st.sampled_from(("none", "weight", "returns"))) if values is None else values
    timed = draw(st.booleans()) if timestamps is None else timestamps
    name, choices = _VALUES.get(values, ("", (1.0,)))
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, n_users - 1),
                st.integers(0, n_items - 1),
                st.integers(0, len(choices) - 1),
                st.integers(0, 6) if timed else st.just(0),
            ),
            min_size=min_events,
            max_size=max_events,
        )
    )
    users, items, places, days = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns: dict[str, Any] = {
        "user_id": labels(kind, "u", users),
        "item_id": labels(kind, "i", items),
    }
    if name:
        columns[name] = np.array([choices[place] for place in places], dtype=np.float64)
    if timed:
        columns["timestamp"] = START + np.array(days, dtype="timedelta64[D]") * 5
    return pd.DataFrame(columns)


def labels(kind: str, prefix: str, numbers: Any) -> np.ndarray:
    """Ids of one kind for some numbers; their sorted order is not that of the numbers."""
    if kind == "int":
        # Small, beyond 2**31, and negative in turn; users and items share them.
        forms = (lambda n: n, lambda n: 2**40 + n, lambda n: -10 - n)
        return np.array([forms[n % 3](n) for n in numbers], dtype=np.int64)
    make: dict[str, Any] = {
        "str": lambda n: f"{prefix}{n}",
        "bytes": lambda n: f"{prefix}{n}".encode(),
        "uuid": lambda n: uuid.UUID(int=(n * 7919) % 1009 << 64 | ord(prefix)),
        "tuple": lambda n: (prefix, n % 3, n),
    }
    if kind not in make:
        raise ValueError(f"ids must be 'int' or one of {sorted(make)}; got {kind!r}.")
    return np.fromiter((make[kind](n) for n in numbers), dtype=object, count=len(numbers))


def interactions(
    *,
    n_users: int = 6,
    n_items: int = 8,
    min_events: int = 0,
    max_events: int = 30,
    ids: str | None = None,
    values: str | None = None,
    timestamps: bool | None = None,
    half_life: HalfLife = None,
) -> st.SearchStrategy[Interactions]:
    """Strategy for small `Interactions`, with users and items that have no events.

    Parameters
    ----------
    n_users, n_items, min_events, max_events : int
        As in `event_tables`.
    ids, values : str, optional
        As in `event_tables`.
    timestamps : bool, optional
        As in `event_tables`.
    half_life : str, timedelta or None
        As in `Interactions.from_table`; needs ``timestamps=True``.

    Returns
    -------
    SearchStrategy of Interactions
        At least one user and one item each; empty rows and columns come from side tables.

    Examples
    --------
    >>> from hypothesis import given
    >>> from ecomrec.testing import interactions
    >>> @given(interactions(values="weight"))
    ... def counts_are_of_users(shop):
    ...     assert (shop.item_counts <= shop.n_users).all()
    >>> counts_are_of_users()
    """
    return _interactions(
        n_users, n_items, min_events, max_events, ids, values, timestamps, half_life
    )


@st.composite
def _interactions(
    draw: st.DrawFn,
    n_users: int,
    n_items: int,
    min_events: int,
    max_events: int,
    ids: str | None,
    values: str | None,
    timestamps: bool | None,
    half_life: HalfLife,
) -> Interactions:
    import pandas as pd

    kind = draw(st.sampled_from(("str", "int"))) if ids is None else ids
    events = draw(
        _event_tables(n_users, n_items, min_events, max_events, kind, values, timestamps)
    )
    listed: dict[str, Any] = {}
    for side, n in (("user", n_users), ("item", n_items)):
        numbers = draw(st.sets(st.integers(0, n), min_size=0 if len(events) else 1))
        column = labels(kind, side[0], sorted(numbers))
        listed[f"{side}s"] = pd.DataFrame({f"{side}_id": column}) if numbers else None
    return Interactions.from_table(
        events,
        values="rating" if values == "rating" else "weight",
        half_life=half_life,
        **listed,
    )
