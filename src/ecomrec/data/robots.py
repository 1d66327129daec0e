"""Users and sessions that act faster than people do."""

from __future__ import annotations

import logging
import numbers
from typing import Any, Self

import narwhals as nw
import numpy as np
from sklearn.utils.validation import check_is_fitted

from ecomrec.data._frames import (
    Frame,
    TableTransformer,
    codes,
    keep_rows,
    read_frame,
    times,
    with_column,
)
from ecomrec.data.timestamps import NAT
from ecomrec.exceptions import DataError

log = logging.getLogger(__name__)

_WINDOWS = {"per_minute": 60 * 10**9, "per_day": 86_400 * 10**9}


class RobotFilter(TableTransformer):
    """Drop users or sessions that act faster than people do.

    `fit` finds the ids that have more events than allowed in any minute or any day (sliding
    windows, not calendar ones); `transform` drops all rows of those ids, and only of those, so
    that cross-validation never looks at the rows it tests on.

    Parameters
    ----------
    max_events_per_minute : int or None, default=100
        Most events within 60 seconds; None does not look at minutes.
    max_events_per_day : int or None, default=5000
        Most events within 24 hours; None does not look at days.
    by : str, default="user_id"
        Column with the id to judge: users, or a session column.

    Attributes
    ----------
    dropped_ : table
        One row per dropped id, of the kind of table that `fit` got: the id, under the name `by`;
        ``n_events``, its rows in `fit`; ``rate``, its most events in one window; ``reason``, the
        window, ``"per_minute"`` or ``"per_day"`` (the first of them that is broken).

    See Also
    --------
    EventWeights : Turns events into weights.

    Notes
    -----
    The defaults are for clicks. Order lines carry the time of their order, so an order of 300
    lines looks like 300 events in one minute: pass ``max_events_per_minute=None`` for these. Rows
    without an id are never dropped here, see `MissingValues`.

    Before a private model (`ecomrec.privacy`) keep ``by="user_id"``: each user is judged by the
    user's own rows. An id that several users share lets one of them drop rows of the others.

    Cost: one sort of the rows by id and time; about 40 bytes per row at a time.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.data import RobotFilter
    >>> events = pd.DataFrame({
    ...     "user_id": ["bot"] * 5 + ["ann"] * 2,
    ...     "item_id": range(7),
    ...     "timestamp": [0, 1, 2, 3, 4, 0, 600],
    ... })
    >>> robots = RobotFilter(max_events_per_minute=3).fit(events)
    >>> robots.transform(events)["user_id"].unique().tolist()
    ['ann']
    >>> robots.dropped_
      user_id  n_events  rate      reason
    0     bot         5     5  per_minute
    """

    dropped_: Any

    def __init__(
        self,
        *,
        max_events_per_minute: int | None = 100,
        max_events_per_day: int | None = 5000,
        by: str = "user_id",
    ) -> None:
        self.max_events_per_minute = max_events_per_minute
        self.max_events_per_day = max_events_per_day
        self.by = by

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the ids with inhuman rates.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with the `by` column and ``timestamp``; a missing time is refused.
        y : ignored
            For pipelines.

        Returns
        -------
        RobotFilter
            This object.

        Raises
        ------
        ValueError
            For a parameter that cannot be used; as `DataError`, for a table that cannot be read.
        """
        limits = self._limits()
        frame = read_frame(X, (self.by, "timestamp"))
        when = times(frame["timestamp"])
        if np.any(when == NAT):
            raise DataError(
                f"{int((when == NAT).sum())} of {len(when)} rows have no timestamp, so their rate "
                "is unknown. Drop them before RobotFilter."
            )
        self.dropped_ = _find_robots(frame, self.by, when, limits)
        robots = read_frame(self.dropped_)
        log.info(
            "%d %s values with %d of %d rows have inhuman rates",
            len(robots), self.by, int(robots["n_events"].sum()), len(frame),
        )  # fmt: skip
        return self

    def transform(self, X: Any) -> Any:
        """Give the rows of all other ids.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with the `by` column.

        Returns
        -------
        table
            A table of the kind given.
        """
        check_is_fitted(self, "dropped_")
        frame = read_frame(X, (self.by,))
        robots = set(read_frame(self.dropped_)[self.by].to_list())
        number, ids = codes(frame[self.by])
        keep = np.array([*(one not in robots for one in ids), True], dtype=bool)
        return keep_rows(frame, keep[number], f"robots by {self.by}").to_native()

    def _limits(self) -> dict[str, int]:
        """Most events of each window that is looked at."""
        given: dict[str, Any] = {
            "per_minute": self.max_events_per_minute,
            "per_day": self.max_events_per_day,
        }
        limits = {}
        for window, limit in given.items():
            if limit is None:
                continue
            is_count = isinstance(limit, numbers.Integral) and not isinstance(limit, bool)
            if not is_count or limit < 1:
                raise ValueError(
                    f"RobotFilter: max_events_{window} must be a positive integer or None; "
                    f"got {limit!r}."
                )
            limits[window] = int(limit)
        if not limits:
            raise ValueError(
                "RobotFilter: max_events_per_minute and max_events_per_day are both None. Give "
                "one of them a number."
            )
        if not isinstance(self.by, str):
            raise ValueError(f"RobotFilter: by must be a column name; got {self.by!r}.")
        return limits


def _find_robots(frame: Frame, by: str, when: np.ndarray, limits: dict[str, int]) -> Any:
    """Give the table of ids over a limit, in order of their first row."""
    number, ids = codes(frame[by])
    order = np.lexsort((when, number))
    order = order[number[order] >= 0]
    number, when = number[order], when[order]
    ends = np.cumsum(np.bincount(number, minlength=len(ids)))
    reasons: dict[int, str] = {}
    for window, limit in limits.items():
        # limit + 1 rows of one id inside a window: the first and the last of them.
        first, last = slice(max(len(when) - limit, 0)), slice(limit, None)
        close = (number[first] == number[last]) & (when[last] - when[first] < _WINDOWS[window])
        for one in np.unique(number[first][close]).tolist():
            reasons.setdefault(one, window)
    robots = sorted(reasons)
    rates = []
    for one in robots:
        own = when[ends[one - 1] if one else 0 : ends[one]]
        until = np.searchsorted(own, own + _WINDOWS[reasons[one]])
        rates.append(int((until - np.arange(len(own))).max()))
    first_rows = np.full(len(ids), len(frame))
    np.minimum.at(first_rows, number, order)
    found = nw.maybe_reset_index(frame[first_rows[robots]].select(by))
    columns = {
        "n_events": np.diff(ends, prepend=0)[robots],
        "rate": np.array(rates, dtype=np.int64),
    }
    for name, values in columns.items():
        found = with_column(found, name, values)
    reason = nw.new_series(
        "reason", [reasons[one] for one in robots], nw.String(), backend=frame.implementation
    )
    return found.with_columns(reason).to_native()
