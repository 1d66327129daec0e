"""Columns as files have them to ids, times and numbers; the first bad row is named."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecomrec.cli.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("s", "ms", "us", "ns")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
# What stands for a gap among numbers and times; among ids these are ids.
GAPS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
# Seconds since 1970 end here, in the year 2261; see ecomrec.data.timestamps.
_LAST_SECOND = 9.2e9
_FIRST_DAY, _LAST_DAY = 19700101, 22611231


def is_integer(text: str) -> bool:
    """Whether a text is an integer written the one canonical way: 7, but not 007 or +7."""
    return _INTEGER.fullmatch(text) is not None


def same_ids(columns: Sequence[tuple[pd.Series, bool]]) -> list[pd.Series]:
    """Give columns of ids one type: integers if all are, text otherwise.

    A pair says whether the column comes from a file without types. There, text is an integer only
    in the canonical way: "007" stays what it is, and so do all ids beside it. Types other than
    text and integers are left alone.
    """
    import pandas as pd

    coded = [pd.factorize(column) for column, _ in columns]
    kinds = {
        _kind(values, typeless) for (_, values), (_, typeless) in zip(coded, columns, strict=True)
    }
    if kinds == {"integer"} or "other" in kinds:
        return [column for column, _ in columns]
    as_text = "text" in kinds
    made = []
    for codes, values in coded:
        ids = [str(value) if as_text else int(value) for value in values]
        made.append(pd.Series(np.array(ids, dtype=object if as_text else np.int64)[codes]))
    return made


def _kind(values: Any, typeless: bool) -> str:
    """Tell "integer", "integer text", "text" and "other" apart by the distinct values."""
    if getattr(values, "dtype", None) is not None and np.asarray(values).dtype.kind in "iu":
        return "integer"
    if not all(isinstance(value, str) for value in values):
        return "other"
    canonical = typeless and all(is_integer(value) for value in values)
    return "integer text" if canonical else "text"


def read_times(column: pd.Series, place: str, written: str | None) -> pd.Series:
    """Read a column of times; a gap stays one.

    Parameters
    ----------
    column : pandas.Series
        Text, numbers, dates or datetimes.
    place : str
        File and column, for messages.
    written : str or None
        Of `--time-format`: a unit of numbers, or a pattern of `strptime`.

    Returns
    -------
    pandas.Series of datetime64, UTC without a zone
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _in_utc(column)
    column = _with_gaps(column)
    if written is None or written in UNITS:
        numbers = _as_numbers(column, place, written)
        if numbers is not None:
            return _from_numbers(numbers, column, place, written or "s")
    texts = column.astype("object").map(str, na_action="ignore")
    try:
        parsed = pd.to_datetime(texts, utc=True, errors="coerce", format=written or "ISO8601")
    except ValueError as error:
        raise InputError(f"--time-format {written!r} cannot be used: {error}.") from error
    bad = np.flatnonzero((parsed.isna() & column.notna()).to_numpy())
    if len(bad):
        cure = (
            f"It must be written as --time-format says, {written!r}."
            if written is not None
            else "Write it as 2026-11-21 09:30, or say how it is written, such as "
            "--time-format '%d/%m/%Y %H:%M' or, for milliseconds, --time-format ms."
        )
        raise InputError(_bad_rows(column, bad, place, "is not a time") + cure)
    return _in_utc(parsed)


def _as_numbers(column: pd.Series, place: str, unit: str | None) -> pd.Series | None:
    """Return a column as numbers; None without a unit if it holds text or days like 20111209."""
    import pandas as pd

    first = column.first_valid_index()
    if unit is None and (first is None or pd.isna(pd.to_numeric(column[first], errors="coerce"))):
        return None
    numbers = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero((numbers.isna() & column.notna()).to_numpy())
    if len(bad) and unit is not None:
        cure = f"--time-format {unit} needs numbers."
        raise InputError(_bad_rows(column, bad, place, "is not a number") + cure)
    if len(bad) or numbers.isna().all():
        return None
    if unit is None and numbers.between(_FIRST_DAY, _LAST_DAY).all():
        months, month_days = numbers // 100 % 100, numbers % 100
        if (months.between(1, 12) & month_days.between(1, 31)).all():
            return None
    return numbers


def _from_numbers(numbers: pd.Series, column: pd.Series, place: str, unit: str) -> pd.Series:
    import pandas as pd

    per_second = 1000 ** UNITS.index(unit)
    bad = np.flatnonzero((numbers.abs() / per_second >= _LAST_SECOND).to_numpy())
    if len(bad):
        cure = (
            "If these are milliseconds, say --time-format ms (or us, ns)."
            if unit == "s"
            else "Another unit may be meant: --time-format s, ms, us or ns."
        )
        fault = f"is beyond the year 2261 in {unit}"
        raise InputError(_bad_rows(column, bad, place, fault) + cure)
    times: pd.Series = pd.to_datetime(numbers, unit=unit)  # type: ignore[call-overload]
    # Binary fractions of a second are off by nanoseconds.
    return times.dt.round("us") if numbers.dtype.kind == "f" else times


def _in_utc(times: pd.Series) -> pd.Series:
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times


def read_numbers(column: pd.Series, place: str) -> pd.Series:
    """Read a column of numbers as float64; a gap is NaN."""
    import pandas as pd

    column = _with_gaps(column)
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    bad = np.flatnonzero((numbers.isna() & column.notna()).to_numpy())
    if len(bad):
        cure = "Write the number alone, with a point before decimals."
        raise InputError(_bad_rows(column, bad, place, "is not a number") + cure)
    return numbers


def _with_gaps(column: pd.Series) -> pd.Series:
    """Return a column in which words for a gap, such as null, are one."""
    words = column.isin(GAPS)
    return column.mask(words) if words.any() else column


def refuse_future(times: pd.Series, place: str) -> None:
    """Refuse times more than a day ahead of the clock: all others would fade beside them."""
    import pandas as pd

    limit = pd.Timestamp(time.time() + 86_400, unit="s")
    late = np.flatnonzero((times > limit).to_numpy())
    if len(late):
        raise InputError(
            _bad_rows(times, late, place, "lies in the future")
            + "With --half-life it would make everything else fade. Correct or remove it."
        )


def _bad_rows(column: pd.Series, rows: np.ndarray, place: str, fault: str) -> str:
    """Say what is wrong with the first of some rows, counted from 1 behind the header."""
    value = column.iloc[rows[0]]
    value = value if isinstance(value, str) else str(value)
    more = "" if len(rows) == 1 else f" ({len(rows):,} rows are like this)"
    row = int(column.index[rows[0]]) + 1
    return f"row {row:,} of {place}: {value!r} {fault}{more}. "
