"""Event weights: how much a view, a cart, a purchase or a return says, and how it fades."""

from __future__ import annotations

import datetime
import numbers
import time
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ecomrec.data._frames import (
    Frame,
    TableTransformer,
    choice,
    codes,
    keep_rows,
    marked,
    read_frame,
    times,
    with_column,
)
from ecomrec.data.timestamps import NAT, HalfLife, decay, half_life_nanoseconds, to_nanoseconds
from ecomrec.exceptions import DataError

Now = str | float | datetime.datetime | np.datetime64 | None

# Naive local times east of Greenwich read as UTC run up to 14 hours ahead of the clock.
_CLOCK_TOLERANCE_NS = 86_400 * 10**9
# Models hold float32, which ends at 2 ** 128; this leaves room for sums.
_MAX_HALF_LIVES_AHEAD = 100
_LEARNED = "EventWeights counts ages from the newest event, one user's. Pass now= to EventWeights."


class EventWeights(TableTransformer):
    """Add a ``weight`` column to an event log: what each event says, fading with its age.

    The weight of a row is ``weights[event] * 2 ** ((timestamp - reference) / half_life)``. The
    reference is the newest timestamp of the rows in `fit`, never the day on which the code runs,
    so the same row gets the same weight on any day. A row newer than the reference weighs more
    than its event (forward decay): only ratios between weights matter to a model.

    Parameters
    ----------
    weights : mapping of event to number
        What one event of each kind is worth. Negative is evidence against: a return of 5 takes
        back a purchase of 5.
    half_life : str, timedelta or None, default=None
        Age at which an event counts half, with its unit: ``"30D"``, ``"12h"``. None: events do
        not fade and no ``timestamp`` column is needed.
    now : str, datetime, float or None, default=None
        Reference time to use instead of the newest one learned. A time without a zone is UTC, a
        number is seconds since 1970. With `now` a back-test on old data weighs rows as on that
        day.
    unknown : {"raise", "drop"}, default="raise"
        What to do with rows whose event is missing or not in `weights`: refuse the table and
        name the events, or leave the rows out.
    future : {"raise", "clip", "keep"}, default="raise"
        What to do with rows later than `now` (without `now`: more than a day later than this
        machine's clock, as a wrong clock elsewhere makes them; one such row as the reference
        would fade all others to nothing). ``"raise"`` refuses the table with a count;
        ``"clip"``, only with `now`, weighs them as events of `now`; ``"keep"`` takes them as they
        are, with weights above that of their event.
    missing_time : {"raise", "drop"}, default="raise"
        What to do with rows without a timestamp, when there is a half-life.

    Attributes
    ----------
    reference_time_ : pandas.Timestamp or None
        Time in UTC at which an event has just its weight; None without a half-life.

    See Also
    --------
    MissingValues : Refuses, drops or fills missing ids and ratings.
    RobotFilter : Drops users or sessions with inhuman rates.

    Notes
    -----
    Timestamps are datetimes, seconds since 1970 or ISO 8601 text; a time zone is converted to
    UTC, no zone means UTC. The columns that were there stay as they were. A table that already
    has a ``weight`` column is refused. Use a half-life here or in the model, not in both.

    To keep a model current, send new rows through `transform` and give them to the model's
    ``partial_fit``: the reference stays, so old and new weights agree. A later `fit` or
    `partial_fit` of this transformer moves the reference forward, which divides all weights made
    from then on by ``2 ** (shift / half_life)``: fit the model again after it. `transform`
    refuses rows more than 100 half-lives after the reference, whose weights would not fit into
    a model's float32.

    Before a private model (`ecomrec.privacy`) a half-life needs `now`: without it one user with a
    late event changes the weights of everybody, and no noise is made for that. Private models
    refuse such a table from pandas; other tables cannot tell.

    Cost: one pass over the ``event`` and ``timestamp`` columns, 16 to 32 bytes per row at a time.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.data import EventWeights
    >>> events = pd.DataFrame({
    ...     "user_id": ["ann", "ann", "bob"],
    ...     "item_id": ["mug", "mug", "tea"],
    ...     "event": ["view", "purchase", "purchase"],
    ...     "timestamp": pd.to_datetime(["2026-01-01", "2026-01-31", "2026-03-02"]),
    ... })
    >>> weights = EventWeights({"view": 1, "purchase": 5}, half_life="30D").fit(events)
    >>> weights.transform(events)["weight"].tolist()
    [0.25, 2.5, 5.0]
    >>> weights.reference_time_
    Timestamp('2026-03-02 00:00:00+0000', tz='UTC')
    """

    reference_time_: pd.Timestamp | None

    def __init__(
        self,
        weights: Mapping[Any, float],
        *,
        half_life: HalfLife = None,
        now: Now = None,
        unknown: Literal["raise", "drop"] = "raise",
        future: Literal["raise", "clip", "keep"] = "raise",
        missing_time: Literal["raise", "drop"] = "raise",
    ) -> None:
        self.weights = weights
        self.half_life = half_life
        self.now = now
        self.unknown = unknown
        self.future = future
        self.missing_time = missing_time

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the reference time from an event log.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with ``event``, and ``timestamp`` when there is a half-life.
        y : ignored
            For pipelines.

        Returns
        -------
        EventWeights
            This object.

        Raises
        ------
        ValueError
            For a parameter that cannot be used; as `DataError`, for rows that are refused.
        """
        self.reference_time_ = self._newest(X, None)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Move the reference time to the newest of these rows, if they are newer.

        Fitting in parts gives the same reference as one fit on everything. Weights made before
        and after a move differ by a constant factor, see Notes.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows as in `fit`.
        y : ignored
            For pipelines.

        Returns
        -------
        EventWeights
            This object.
        """
        self.reference_time_ = self._newest(X, getattr(self, "reference_time_", None))
        return self

    def transform(self, X: Any) -> Any:
        """Give the table with a float64 ``weight`` column.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with ``event``, and ``timestamp`` when there is a half-life.

        Returns
        -------
        table
            A table of the kind given, without the rows to be dropped.
        """
        check_is_fitted(self, "reference_time_")
        half_life, now = self._check_parameters()
        frame = read_frame(X)
        if "weight" in frame.columns:
            raise DataError(
                "the table already has a 'weight' column. Drop or rename it before EventWeights."
            )
        frame, weight, when = self._read(frame, half_life, now)
        if when is not None:
            if self.reference_time_ is None:
                raise ValueError("EventWeights: half_life was set after fit. Fit again.")
            weight *= _forward_decay(when, self.reference_time_.as_unit("ns").value, half_life)
            if now is None:
                frame = marked(frame, _LEARNED)
        return with_column(frame, "weight", weight).to_native()

    def _newest(self, X: Any, known: pd.Timestamp | None) -> pd.Timestamp | None:
        """Newest time of the rows and of what is known, or `now`."""
        half_life, now = self._check_parameters()
        _, _, when = self._read(read_frame(X), half_life, now)
        if when is None:
            return None
        if now is not None:
            return pd.Timestamp(now, tz="UTC")
        if len(when) == 0:
            if known is not None:
                return known
            raise DataError(
                "there is no row to learn the reference time from. Pass rows, or now=."
            )
        newest = pd.Timestamp(int(when.max()), tz="UTC")
        return newest if known is None else max(known, newest)

    def _check_parameters(self) -> tuple[float, int | None]:
        """Half-life and `now` in nanoseconds; raises ValueError for what cannot be used."""
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise ValueError(
                "EventWeights: weights must map events to numbers, such as "
                f"{{'view': 1, 'purchase': 5}}; got {self.weights!r}."
            )
        weights: Mapping[Any, Any] = self.weights
        for event, weight in weights.items():
            is_number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
            if not is_number or not np.isfinite(weight):
                raise ValueError(
                    f"EventWeights: the weight of {event!r} must be a finite number; "
                    f"got {weight!r}."
                )
        choice(self, "unknown", ("raise", "drop"))
        choice(self, "missing_time", ("raise", "drop"))
        if choice(self, "future", ("raise", "clip", "keep")) == "clip" and self.now is None:
            raise ValueError("EventWeights: future='clip' needs now=, the time to clip to.")
        if self.now is None:
            return half_life_nanoseconds(self.half_life), None
        now = int(to_nanoseconds([self.now], "now")[0])
        if now == NAT:
            raise ValueError(f"EventWeights: now must be a time or None; got {self.now!r}.")
        return half_life_nanoseconds(self.half_life), now

    def _read(
        self, frame: Frame, half_life: float, now: int | None
    ) -> tuple[Frame, np.ndarray, np.ndarray | None]:
        """Rows that stay, their event weights, and their times (None without a half-life)."""
        fades = bool(np.isfinite(half_life))
        read_frame(frame, ("event", "timestamp") if fades else ("event",))
        weight, known = _event_weights(frame, self.weights)
        if self.unknown == "raise" and not known.all():
            _raise_unknown(frame, known, self.weights)
        frame, weight = keep_rows(frame, known, "unknown event"), weight[known]
        if not fades:
            return frame, weight, None
        when = times(frame["timestamp"])
        timed = when != NAT
        if self.missing_time == "raise" and not timed.all():
            raise DataError(
                f"{int((~timed).sum())} of {len(timed)} rows have no timestamp. Drop them, or "
                "pass missing_time='drop'."
            )
        frame, weight, when = keep_rows(frame, timed, "no timestamp"), weight[timed], when[timed]
        return frame, weight, _check_future(when, now, self.future)


def _event_weights(frame: Frame, weights: Mapping[Any, float]) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each row's event (NaN if unknown), and whether it is known."""
    number, events = codes(frame["event"])
    # The last place is that of code -1, a missing event.
    table = np.array([*(weights.get(event, np.nan) for event in events), np.nan], dtype=np.float64)
    weight = table[number]
    return weight, ~np.isnan(weight)


def _raise_unknown(frame: Frame, known: np.ndarray, weights: Mapping[Any, float]) -> None:
    number, events = codes(frame["event"])
    unknown = number[~known]
    names = [repr(events[code]) for code in np.unique(unknown[unknown >= 0])]
    if np.any(unknown < 0):
        names.append("missing")
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise DataError(
        f"{len(unknown)} of {len(known)} rows have an event without a weight: {shown}. Known are "
        f"{', '.join(map(repr, weights))}. Add a weight, or pass unknown='drop'."
    )


def _check_future(when: np.ndarray, now: int | None, future: str) -> np.ndarray:
    """Return times as they count: refused, clipped or kept when later than `now` or the clock."""
    if future == "keep":
        return when
    limit = now if now is not None else time.time_ns() + _CLOCK_TOLERANCE_NS
    if future == "clip":
        clipped: np.ndarray = np.minimum(when, limit)
        return clipped
    late = when > limit
    if late.any():
        newest = pd.Timestamp(int(when.max()), tz="UTC")
        than = "now" if now is not None else "this machine's clock, by more than a day"
        cure = "future='clip' or future='keep'" if now is not None else "future='keep'"
        raise DataError(
            f"{int(late.sum())} of {len(late)} rows have a timestamp later than {than}; the "
            f"newest is {newest}. Correct or drop them, or pass {cure}."
        )
    return when


def _forward_decay(when: np.ndarray, reference: int, half_life: float) -> np.ndarray:
    if len(when) and (int(when.max()) - reference) / half_life > _MAX_HALF_LIVES_AHEAD:
        raise DataError(
            f"some rows are more than {_MAX_HALF_LIVES_AHEAD} half-lives later than the reference "
            f"time {pd.Timestamp(reference, tz='UTC')}. Fit EventWeights and the model again."
        )
    return decay(when, reference, half_life)
