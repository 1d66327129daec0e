"""What a log of shown and clicked recommendations says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec.evaluation._tables import Table, read_column, read_table, read_times
from ecomrec.exceptions import DataError

_PAIR = ("user_id", "item_id")


def click_through_rate(
    log: Table,
    *,
    impression: str = "impression",
    click: str = "click",
    keys: Sequence[str] = _PAIR,
) -> float:
    """Share of what was shown that was clicked.

    Parameters
    ----------
    log : pandas, Polars or Arrow table
        One row per logged event: the columns `keys`, `event`, and optionally `timestamp`.
    impression, click : str
        The names of the two events in the column `event`. Other events do not count.
    keys : sequence of str
        The columns that say what was shown to whom. With ("user_id", "item_id") an item shown
        to a user ten times and clicked once is one success of one; add a session or request id to
        count each showing by itself.

    Returns
    -------
    float
        In [0, 1]: repeated clicks count once, and a click counts only where an impression with the
        same keys is in the log, not later than the click if there are times. NaN without any
        impression.

    Raises
    ------
    DataError
        If a column is missing or holds missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import click_through_rate
    >>> log = pd.DataFrame({
    ...     "user_id": [1, 1, 2, 1], "item_id": ["tea", "mug", "tea", "tea"],
    ...     "event": ["impression", "impression", "impression", "click"]})
    >>> click_through_rate(log)
    0.333...
    """
    return _share_that_followed(log, impression, click, keys)


def conversion_rate(
    log: Table,
    *,
    click: str = "click",
    purchase: str = "purchase",
    keys: Sequence[str] = _PAIR,
) -> float:
    """Share of what was clicked that was bought.

    Parameters
    ----------
    log : pandas, Polars or Arrow table
        One row per logged event: the columns `keys`, `event`, and optionally `timestamp`.
    click, purchase : str
        The names of the two events in the column `event`. For purchases per showing pass
        ``click="impression"``.
    keys : sequence of str
        The columns that say what was clicked by whom, as in `click_through_rate`.

    Returns
    -------
    float
        In [0, 1]: a purchase counts once per keys, and only at or after a click with the same
        keys. NaN without any click.

    Raises
    ------
    DataError
        If a column is missing or holds missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import conversion_rate
    >>> log = pd.DataFrame({
    ...     "user_id": [1, 2, 1], "item_id": ["tea", "tea", "tea"],
    ...     "event": ["click", "click", "purchase"]})
    >>> conversion_rate(log)
    0.5
    """
    return _share_that_followed(log, click, purchase, keys)


def _share_that_followed(log: Table, first: str, then: str, keys: Sequence[str]) -> float:
    """Share of the distinct keys with the first event that have the other one at or after it."""
    frame = read_table(log, "log")
    names = [keys] if isinstance(keys, str) else list(keys)
    if not names:
        raise DataError("keys must name at least one column of the log; got none.")
    events = np.asarray(read_column(frame, "event", "log"))
    times: NDArray[np.int64] = np.zeros(len(events), dtype=np.int64)
    if "timestamp" in frame.columns:
        times = read_times(frame, "timestamp", "log")
    columns = [pd.factorize(read_column(frame, name, "log"))[0] for name in names]
    table: dict[str, Any] = {str(place): codes for place, codes in enumerate(columns)}
    rows = pd.DataFrame({**table, "time": times})
    shown = rows[events == first].groupby(list(table))["time"].min()
    followed = rows[events == then].groupby(list(table))["time"].max()
    if not len(shown):
        return float("nan")
    return float((followed.reindex(shown.index) >= shown).mean())
