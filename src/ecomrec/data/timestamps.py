"""Times as int64 nanoseconds since 1970 (UTC), and half-lives as nanoseconds."""

from __future__ import annotations

import datetime
import numbers
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecomrec._validation import Rule, succeeds
from ecomrec.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd

HalfLife = str | datetime.timedelta | np.timedelta64 | None

NAT = np.iinfo(np.int64).min
_NS_PER_SECOND = 1_000_000_000
# 1e10 seconds is the year 2286: larger numbers are milliseconds or finer, a common mix-up.
_LATE = 9.2e9


def to_nanoseconds(
    times: Any, name: str = "timestamp", *, unusable: Literal["raise", "missing"] = "raise"
) -> np.ndarray:
    """Read a column of times as int64 nanoseconds since 1970-01-01 UTC; missing is `NAT`.

    Parameters
    ----------
    times : array-like of shape (n,)
        Datetimes (without a zone they are UTC), seconds since 1970 as integers or floats, or ISO
        8601 strings.
    name : str
        Column name for messages.
    unusable : {"raise", "missing"}
        What a time is that cannot be read: an error, or missing. With "missing" what becomes of
        one depends on no other, and an error says that none can be read.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    import pandas as pd

    series = pd.Series(times) if not isinstance(times, pd.Series) else times
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if unusable == "missing":
        nanos = _usable(series, name)
        if len(nanos) and (nanos == NAT).all() and series.notna().any():
            raise DataError(f"{name} must hold times; none of its values can be read as one.")
        return nanos
    series = series.infer_objects()
    if pd.api.types.is_bool_dtype(series.dtype):
        raise DataError(f"{name} must hold times; got booleans.")
    if pd.api.types.is_numeric_dtype(series.dtype):
        return _from_seconds(series, name)
    if not pd.api.types.is_datetime64_any_dtype(series.dtype):
        series = _parse(series, name)
    return _from_datetimes(series, name)


def number_or_nan(value: Any) -> float:
    """Return a number as a float, NaN for what is none or fits into none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _usable(series: pd.Series, name: str) -> np.ndarray:
    """Read each time alone, missing where it cannot be read."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(series.dtype) or series.dtype.kind == "c":
        return np.full(len(series), NAT)
    if pd.api.types.is_numeric_dtype(series.dtype):
        seconds = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return _from_seconds(pd.Series(np.where(np.abs(seconds) < _LATE, seconds, np.nan)), name)
    if series.dtype == object and (numeric := series.map(_is_number).to_numpy(bool)).any():
        nanos = np.empty(len(series), dtype=np.int64)
        nanos[numeric] = _usable(pd.Series([number_or_nan(v) for v in series[numeric]]), name)
        nanos[~numeric] = _usable(series[~numeric], name)
        return nanos
    if not pd.api.types.is_datetime64_any_dtype(series.dtype):
        series = pd.to_datetime(series, utc=True, errors="coerce", format="ISO8601")
    return _from_datetimes(series.where(series.dt.year.between(1678, 2261)), name)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _from_datetimes(series: pd.Series, name: str) -> np.ndarray:
    if getattr(series.dt, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    values = series.to_numpy(dtype="datetime64[us]")
    missing = np.isnat(values)
    micros = values.astype(np.int64)
    limit = np.iinfo(np.int64).max // 1000
    if np.any(np.abs(micros[~missing]) > limit):
        raise DataError(f"{name} must lie between the years 1678 and 2261.")
    nanos = series.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return np.where(missing, NAT, nanos)


def _from_seconds(series: pd.Series, name: str) -> np.ndarray:
    seconds = series.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.any(np.isinf(seconds)):
        raise DataError(
            f"{name} must be finite; got {int(np.isinf(seconds).sum())} infinite values."
        )
    missing = np.isnan(seconds)
    if np.any(np.abs(seconds[~missing]) >= _LATE):
        worst = seconds[~missing][np.argmax(np.abs(seconds[~missing]))]
        raise DataError(
            f"{name} as a number means seconds since 1970; got {worst:.0f}, which looks like "
            "milliseconds or finer. Divide it, or pass datetimes."
        )
    whole = np.floor(np.where(missing, 0.0, seconds))
    fraction = np.round((np.where(missing, 0.0, seconds) - whole) * 1e6).astype(np.int64) * 1000
    nanos = whole.astype(np.int64) * _NS_PER_SECOND + fraction
    return np.where(missing, NAT, nanos)


def _parse(series: pd.Series, name: str) -> pd.Series:
    import pandas as pd

    # Numbers among texts: pandas would guess their unit.
    texts = series.where(~series.map(_is_number).astype(bool))
    parsed = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    bad = parsed.isna() & series.notna()
    if bad.any():
        raise DataError(
            f"{name} must hold ISO 8601 times such as '2026-11-21 09:30'; "
            f"{int(bad.sum())} values could not be read, the first is {series[bad].iloc[0]!r}."
        )
    return parsed


def half_life_nanoseconds(half_life: HalfLife) -> float:
    """Read a half-life such as "30D", "12h" or a timedelta as nanoseconds; None is infinite."""
    import pandas as pd

    if half_life is None:
        return float("inf")
    bare = isinstance(half_life, str) and half_life.strip().replace(".", "", 1).isdigit()
    if isinstance(half_life, (str, datetime.timedelta, np.timedelta64)) and not bare:
        try:
            value: Any = pd.Timedelta(half_life)
        except ValueError:
            value = pd.NaT
        if not pd.isna(value) and value > pd.Timedelta(0):
            return float(value.value)
    raise ValueError(
        "half_life must be None or a positive duration with a unit, such as '30D', '12h' or a "
        f"timedelta; got {half_life!r}."
    )


def decay(times: np.ndarray, reference: int, half_life: float) -> np.ndarray:
    """Weight ``2 ** ((time - reference) / half_life)`` of each time, float64; 1 if infinite."""
    if np.isinf(half_life):
        return np.ones(len(times))
    return np.exp2((times - reference).astype(np.float64) / half_life)


def duration() -> Rule:
    """Rule for a parameter that may be None, "30D" or a timedelta."""
    return Rule(
        "None or a positive duration such as '30D' or a timedelta",
        lambda value: succeeds(half_life_nanoseconds, value),
        (0, 30, "30", "soon", "-1D"),
    )
