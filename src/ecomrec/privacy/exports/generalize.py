"""Times, numbers and places made coarser, so that fewer of them point at one person."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec.data.ids import encode_ids, id_list
from ecomrec.data.timestamps import NAT, half_life_nanoseconds, to_nanoseconds
from ecomrec.exceptions import DataError
from ecomrec.privacy.exports._tables import object_array

Step = Literal["hour", "day", "week", "month", "quarter", "year"]
STEPS = ("hour", "day", "week", "month", "quarter", "year")
_HOUR = 3_600 * 10**9
_DAY = 24 * _HOUR
_LIMIT = 2**63 - 1
_FIRST = int(np.datetime64("1678-01-01", "ns").astype(np.int64))


def generalize_timestamps(times: Any, to: Step = "day") -> NDArray[np.datetime64]:
    """Give the beginning of the hour, day, week, month, quarter or year of each time.

    Parameters
    ----------
    times : array-like of shape (n,)
        Datetimes (without a zone they are UTC), seconds since 1970, or ISO 8601 texts.
    to : {"hour", "day", "week", "month", "quarter", "year"}
        Weeks begin on Mondays.

    Returns
    -------
    ndarray of shape (n,), datetime64[ns]
        In UTC. Convert to local time first where the local day matters. A missing time is NaT.

    Raises
    ------
    DataError
        A time lies before the year 1678.

    Notes
    -----
    Doing it twice changes nothing. The order of the rows may still tell what the times no longer
    do: sort the table by something else, or shuffle it.

    Examples
    --------
    >>> from ecomrec.privacy import generalize_timestamps
    >>> generalize_timestamps(["2026-11-21 09:30"], to="week")
    array(['2026-11-16T00:00:00.000000000'], dtype='datetime64[ns]')
    """
    if to not in STEPS:
        raise ValueError(f"to must be one of {list(STEPS)}; got {to!r}.")
    nanos = to_nanoseconds(times)
    gone = nanos == NAT
    present = np.where(gone, 0, nanos)
    if np.any(present < _FIRST):
        raise DataError(
            f"{int(np.sum(present < _FIRST))} times lie before the year 1678: what begins before "
            "it cannot be told. Drop or mend them."
        )
    if to == "hour":
        floor = present // _HOUR * _HOUR
    elif to == "day":
        floor = present // _DAY * _DAY
    elif to == "week":  # the first of January 1970 was a Thursday
        floor = ((present // _DAY + 3) // 7 * 7 - 3) * _DAY
    else:
        months = present.view("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
        size = {"month": 1, "quarter": 3, "year": 12}[to]
        begin = (months // size * size).astype("datetime64[M]").astype("datetime64[ns]")
        floor = begin.astype(np.int64)
    return np.where(gone, NAT, floor).view("datetime64[ns]")


def shift_timestamps(times: Any, users: Any, most: str = "30D") -> NDArray[np.datetime64]:
    """Move all times of a user by one secret amount, so that order and pauses stay.

    Parameters
    ----------
    times : array-like of shape (n,)
        As `generalize_timestamps` takes them.
    users : array-like of shape (n,)
        The user of each time.
    most : str or timedelta, default="30D"
        Amounts are uniform from minus this to plus this, drawn from the operating system for each
        call and kept nowhere: two calls give two different answers.

    Returns
    -------
    ndarray of shape (n,), datetime64[ns]

    Notes
    -----
    One event whose true time is known tells all other times of its user, and so may the clock:
    shops close at night. It hides dates from those who know no event; it makes nobody anonymous.

    Examples
    --------
    >>> from ecomrec.privacy import shift_timestamps
    >>> moved = shift_timestamps(["2026-11-21", "2026-11-24"], ["ann", "ann"])
    >>> (moved[1] - moved[0]).astype("timedelta64[D]")
    np.timedelta64(3,'D')
    """
    try:
        width = int(half_life_nanoseconds(most))
    except (ValueError, OverflowError):
        raise ValueError(
            "most must be a positive duration with a unit, such as '30D', or a timedelta; "
            f"got {most!r}."
        ) from None
    nanos = to_nanoseconds(times)
    if len(users) != len(nanos):
        raise DataError(f"{len(nanos)} times and {len(users)} users do not go together.")
    listed = id_list(users, "users")
    known = listed if isinstance(listed, np.ndarray) else object_array(listed)
    codes, ids, _ = encode_ids(known, "users")
    present = nanos[nanos != NAT]
    if len(present) and max(int(present.max()) + width, width - int(present.min())) > _LIMIT:
        raise DataError("moved times would lie outside the years 1678 to 2261. Take less.")
    drawn = [secrets.randbelow(2 * width + 1) - width for _ in range(len(ids))]
    amounts = np.array(drawn, dtype=np.int64)
    moved = nanos.copy()
    moved[nanos != NAT] += amounts[codes[nanos != NAT]]
    return moved.view("datetime64[ns]")


def generalize_numbers(values: Any, edges: Sequence[float]) -> NDArray[np.float64]:
    """Give the lower edge of the bin that each number lies in: prices as price bands.

    Parameters
    ----------
    values : array-like of shape (n,)
        Numbers; NaN or None is missing and stays NaN.
    edges : sequence of float
        Rising. Each is the lower end of a bin; the last bin has no upper end, and what lies below
        the first edge gets the first edge. Choose them without the data: quantiles tell of it.

    Returns
    -------
    ndarray of shape (n,), float64

    Notes
    -----
    Doing it twice changes nothing.

    Examples
    --------
    >>> from ecomrec.privacy import generalize_numbers
    >>> generalize_numbers([3.5, 12.0, 10.0, 900.0], [0, 10, 20, 50])
    array([ 0., 10., 10., 50.])
    """
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.ndim != 1 or not len(bounds) or not np.isfinite(bounds).all():
        raise ValueError(f"edges must be a list of finite numbers; got {edges!r}.")
    if np.any(bounds[1:] <= bounds[:-1]):
        raise ValueError(f"edges must rise; got {edges!r}.")
    numbers = _numbers(values)
    bins = np.maximum(np.searchsorted(bounds, numbers, side="right") - 1, 0)
    return np.where(np.isnan(numbers), np.nan, bounds[bins])


def generalize_places(values: Any, decimals: int = 1) -> NDArray[np.float64]:
    """Round latitudes or longitudes to a grid.

    Parameters
    ----------
    values : array-like of shape (n,)
        Degrees; NaN or None is missing and stays NaN.
    decimals : int, default=1
        0 makes cells of about 111 km from south to north, 1 of 11 km, 2 of 1.1 km; from west to
        east they are narrower by the cosine of the latitude.

    Returns
    -------
    ndarray of shape (n,), float64

    Notes
    -----
    Doing it twice changes nothing. A cell in the country may hold one house.

    Examples
    --------
    >>> from ecomrec.privacy import generalize_places
    >>> generalize_places([47.3769, 8.5417])
    array([47.4,  8.5])
    """
    if not isinstance(decimals, (int, np.integer)) or isinstance(decimals, bool):
        raise ValueError(f"decimals must be an integer; got {decimals!r}.")
    return np.round(_numbers(values), int(decimals)) + 0.0  # no minus zero


def generalize_regions(values: Any, regions: Mapping[Hashable, str]) -> NDArray[Any]:
    """Put the region in place of what lies in it: postcodes as cantons, cities as countries.

    Parameters
    ----------
    values : array-like of shape (n,)
    regions : mapping to str
        The region of each value. A region may be a value too, if it is its own region.

    Returns
    -------
    ndarray of shape (n,), object
        None where a value is missing, or is neither in the mapping nor one of its regions.

    Notes
    -----
    Doing it twice changes nothing.

    Examples
    --------
    >>> from ecomrec.privacy import generalize_regions
    >>> generalize_regions(["8001", "9999", "8400"], {"8001": "ZH", "8400": "ZH"})
    array(['ZH', None, 'ZH'], dtype=object)
    """
    if not isinstance(regions, Mapping) or not regions:
        raise ValueError("regions must be a mapping with something in it.")
    whole = set(regions.values())
    if not all(isinstance(region, str) for region in whole):
        raise ValueError("regions must be texts.")
    moving = sum(regions.get(region, region) != region for region in whole)
    if moving:
        raise ValueError(
            f"{moving} regions lie in other regions themselves. Map every value to the last one."
        )
    cells = list(values)
    found = np.empty(len(cells), dtype=object)
    found[:] = [regions.get(cell, cell if cell in whole else None) for cell in cells]
    return found


def _numbers(values: Any) -> NDArray[np.float64]:
    cells = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    try:
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError("what is made coarser as a number must be numbers.") from None
