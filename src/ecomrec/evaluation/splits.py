"""Cross-validation over the rows of an event table, in the order of time."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any, TypeGuard

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec.data.tables import USER
from ecomrec.evaluation._tables import Table, read_codes, read_table, read_times
from ecomrec.exceptions import DataError

Rows = NDArray[np.intp]
Duration = str | datetime.timedelta | np.timedelta64


class EventSplitter:
    """What the splitters share: rows of train and test for scikit-learn's `cv=`.

    A splitter of your own needs `n_splits` and `_split`, which takes a narwhals frame and yields
    the row numbers of train and test.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecomrec.evaluation import EventSplitter
    >>> class EvenWeeks(EventSplitter):
    ...     n_splits = 1
    ...     def _split(self, frame):
    ...         odd = frame["week"].to_numpy() % 2 == 1
    ...         yield np.flatnonzero(odd), np.flatnonzero(~odd)
    >>> events = pd.DataFrame({"user_id": 1, "item_id": [5, 6, 7], "week": [1, 2, 3]})
    >>> next(EvenWeeks().split(events))
    (array([0, 2]), array([1]))
    """

    n_splits: int

    def split(self, X: Table, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:
        """Yield the row numbers of train and test of each split, ascending.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Events: `user_id`, `item_id`, and `timestamp` where time matters.
        y, groups : ignored
            There because scikit-learn passes them.

        Yields
        ------
        train, test : ndarray of int
            Disjoint, neither empty.

        Raises
        ------
        DataError
            If a column is missing, or there are too few rows, users, items or distinct times.
        ValueError
            If an argument of the splitter is not valid.
        """
        if not _is_count(self.n_splits):
            raise ValueError(f"n_splits must be a positive integer; got {self.n_splits!r}.")
        frame = read_table(X, "event")
        if len(frame) < 2:
            raise DataError(f"a split needs at least 2 events; got {len(frame)}.")
        for number, (train, test) in enumerate(self._split(frame), start=1):
            if not len(train) or not len(test):
                raise DataError(
                    f"split {number} of {self!r} has {len(train)} training and {len(test)} test "
                    f"rows out of {len(frame)}; both need at least one. "
                    "Use more events or other sizes."
                )
            yield train, test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits; the arguments are ignored."""
        return self.n_splits

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        raise NotImplementedError


@dataclass(frozen=True)
class TemporalSplit(EventSplitter):
    """Train on the past, test on what came next, for everybody at the same moment.

    Parameters
    ----------
    n_splits : int
        Number of consecutive test windows at the end of the log. The training part of each is
        everything before its window, so it grows from split to split.
    test_size : float or duration
        Length of a window: a share of the rows, in (0, 1), or a duration such as "7D".
    timestamp : str
        Name of the column of times.

    Notes
    -----
    The only split that measures what a shop will see: no model learns from the future. Windows are
    cut at moments, never between two events of the same moment, so with a share their sizes are
    approximate. Every training event is strictly earlier than every test event; the rows after a
    window are in neither part; the last split has all rows. Costs one sort.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import TemporalSplit
    >>> events = pd.DataFrame({"user_id": 1, "item_id": range(6), "timestamp": range(6)})
    >>> for train, test in TemporalSplit(2, test_size="2s").split(events):
    ...     print(train, test)
    [0 1] [2 3]
    [0 1 2 3] [4 5]
    """

    n_splits: int = 3
    _: KW_ONLY
    test_size: float | Duration = 0.1
    timestamp: str = "timestamp"

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        times = read_times(frame, self.timestamp, "event")
        edges = self._edges(times)
        if edges[0] <= times.min() or (np.diff(edges) <= 0).any():
            raise DataError(
                f"{self!r} does not fit into {len(times)} events at {len(np.unique(times))} "
                f"distinct times of column {self.timestamp!r}. Use fewer or smaller windows."
            )
        for start, end in pairwise(edges):
            yield np.flatnonzero(times < start), np.flatnonzero((times >= start) & (times < end))

    def _edges(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Start of each window and the end of the last, the moment after the last event."""
        end = int(times.max()) + 1
        windows = np.arange(self.n_splits, 0, -1)
        if is_share(self.test_size):
            n_before = len(times) * (1.0 - windows * float(self.test_size))
            # 10 * (1 - 3 * 0.2) is 3.999999999999999: round before the cut.
            at = np.floor(np.round(n_before, 6)).astype(np.intp)
            if at[0] < 1:
                return np.full(2, times.min())
            return np.append(np.sort(times)[at], end)
        # Python integers: many long windows before the first event must not wrap around.
        length = _duration(self.test_size)
        starts = [max(end - int(n) * length, int(times.min())) for n in windows]
        return np.array([*starts, end], dtype=np.int64)


@dataclass(frozen=True)
class LeaveLastN(EventSplitter):
    """Test on the last n events of each user, train on those before.

    Parameters
    ----------
    n : int
        Events of each user in the test part.
    min_train : int
        Users with fewer than n + min_train events are in the training part only.
    timestamp : str
        Name of the column of times.

    Notes
    -----
    One split, complete. Events of a user at the same time stay in the order of the table. Within
    a user no test event is earlier than a training event; between users the future does leak (what
    others bought later is in the training part), so prefer `TemporalSplit` where it matters.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import LeaveLastN
    >>> events = pd.DataFrame(
    ...     {"user_id": [1, 1, 1, 2], "item_id": [5, 6, 7, 5], "timestamp": [3, 1, 2, 1]})
    >>> next(LeaveLastN(1).split(events))
    (array([1, 2, 3]), array([0]))
    """

    n: int = 1
    _: KW_ONLY
    min_train: int = 1
    timestamp: str = "timestamp"

    n_splits = 1

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        for name, value in (("n", self.n), ("min_train", self.min_train)):
            if not _is_count(value):
                raise ValueError(f"{name} must be a positive integer; got {value!r}.")
        users = read_codes(frame, USER, "event")
        times = read_times(frame, self.timestamp, "event")
        order, place, n_events = places(users, np.lexsort((times, users)))
        last = (place >= n_events - self.n) & (n_events >= self.n + self.min_train)
        yield parts(len(users), order[last])


def train_test_split(events: Table, splitter: EventSplitter | None = None) -> tuple[Any, Any]:
    """Cut an event table in two, by default the last fifth of the rows in time for the test.

    Parameters
    ----------
    events : pandas, Polars or Arrow table
        Events with the columns that the splitter reads.
    splitter : splitter or None
        Any splitter of this module or of scikit-learn; of several splits the last is taken, for
        `TemporalSplit` the newest. None is ``TemporalSplit(1, test_size=0.2)``.

    Returns
    -------
    train, test : tables of the kind that came in
        Rows in the order of the table.

    Raises
    ------
    DataError
        If a column is missing or the table is too small.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import train_test_split
    >>> events = pd.DataFrame({"user_id": 1, "item_id": range(5), "timestamp": range(5)})
    >>> train, test = train_test_split(events)
    >>> test
       user_id  item_id  timestamp
    4        1        4          4
    """
    frame = read_table(events, "event")
    chosen = TemporalSplit(1, test_size=0.2) if splitter is None else splitter
    *_, (train, test) = chosen.split(events)
    return frame[train].to_native(), frame[test].to_native()


def places(users: Rows, order: Rows) -> tuple[Rows, Rows, Rows]:
    """Group rows by user: the order, the place of each within its user, and the user's count."""
    counts = np.bincount(users)
    starts = np.cumsum(counts) - counts
    grouped = users[order]
    return order, np.arange(len(order)) - starts[grouped], counts[grouped]


def parts(n_rows: int, test: Rows) -> tuple[Rows, Rows]:
    """Return all rows but those of the test, and those, both ascending."""
    in_test = np.zeros(n_rows, dtype=bool)
    in_test[test] = True
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


def is_share(value: Any) -> TypeGuard[float]:
    """Tell a share of the rows from anything else."""
    return isinstance(value, (float, np.floating)) and 0.0 < float(value) < 1.0


def _duration(value: Any) -> int:
    """Nanoseconds of a positive duration such as "7D"."""
    length = 0
    if isinstance(value, (str, datetime.timedelta, np.timedelta64)):
        with suppress(ValueError):
            # NaT has the lowest value there is.
            length = int(pd.Timedelta(value).value)
    if length <= 0:
        raise ValueError(
            "test_size must be a share of the rows in (0, 1) or a positive duration with a unit, "
            f"such as '7D' or a timedelta; got {value!r}."
        )
    return length
