import datetime
import decimal
import math

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from ecomrec.data import Interactions
from ecomrec.data.timestamps import (
    NAT,
    decay,
    duration,
    half_life_nanoseconds,
    to_nanoseconds,
)
from ecomrec.exceptions import DataError

NEW_YEAR = 1_577_836_800  # 2020-01-01T00:00Z in seconds
NANOS = NEW_YEAR * 1_000_000_000
TOKYO = datetime.timezone(datetime.timedelta(hours=9))


def objects(*values):
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


@pytest.mark.parametrize(
    "times",
    [
        [NEW_YEAR],
        [float(NEW_YEAR)],
        np.array([NEW_YEAR], dtype=np.int32),
        np.array([NEW_YEAR], dtype=np.uint64),
        pd.array([NEW_YEAR], dtype="Int64"),
        ["2020-01-01"],
        ["2020-01-01 00:00"],
        ["2020-01-01T09:00+09:00"],
        ["2020-01-01T00:00:00.000000000Z"],
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array(["2020-01-01"], dtype="datetime64[s]"),
        np.array(["2020-01-01"], dtype="datetime64[ns]"),
        pd.to_datetime(["2020-01-01"]),
        pd.to_datetime(["2020-01-01 09:00"]).tz_localize("Asia/Tokyo"),
        [datetime.datetime(2020, 1, 1, 9, tzinfo=TOKYO)],
        [datetime.date(2020, 1, 1)],
        pd.Series(["2020-01-01"], dtype="category"),
        objects(pd.Timestamp("2020-01-01")),
        objects(NEW_YEAR),
        objects(float(NEW_YEAR)),
    ],
    ids=[
        "int", "float", "int32", "uint64", "Int64", "date text", "text", "zoned text", "nanosecond text",
        "days", "seconds", "nanoseconds", "pandas", "zoned pandas", "datetime", "date", "category", "object times",
        "object ints", "object floats",
    ],
)  # fmt: skip
def test_one_moment_reads_the_same_from_every_type(times):
    nanos = to_nanoseconds(times)
    assert nanos.dtype == np.int64
    assert nanos.tolist() == [NANOS]


MOMENT = datetime.datetime(2020, 1, 1, 9, tzinfo=TOKYO)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([MOMENT]),
        pd.Series([NEW_YEAR], dtype="Int32"),
        pl.Series([MOMENT]).cast(pl.Datetime("ms", "Asia/Tokyo")),
        pl.Series([datetime.datetime(2020, 1, 1)]).cast(pl.Datetime("ns")),
        pl.Series([datetime.date(2020, 1, 1)]),
        pl.Series(["2020-01-01T09:00+09:00"]),
        pl.Series([NEW_YEAR], dtype=pl.UInt32),
        pa.array([MOMENT], type=pa.timestamp("s", "Asia/Tokyo")),
        pa.array([datetime.date(2020, 1, 1)], type=pa.date32()),
        pa.array([NEW_YEAR], type=pa.int32()),
        pa.array(["2020-01-01"]),
    ],
    ids=[
        "pandas zoned", "pandas Int32", "polars zoned", "polars ns", "polars date", "polars text", "polars uint32",
        "arrow zoned", "arrow date", "arrow int32", "arrow text",
    ],
)  # fmt: skip
def test_one_moment_reads_the_same_from_every_table(column):
    make = {pd.Series: pd.DataFrame, pl.Series: pl.DataFrame}.get(type(column), pa.table)
    shop = Interactions.from_table(make({"user_id": ["u"], "item_id": ["i"], "timestamp": column}))
    assert shop.timestamps is not None
    assert shop.timestamps.tolist() == [NANOS]


@given(st.lists(st.integers(-9_000_000_000, 9_100_000_000)))
def test_whole_seconds_are_exact(seconds):
    assert to_nanoseconds(np.array(seconds)).tolist() == [s * 10**9 for s in seconds]


@given(st.lists(st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2250, 1, 1))))
def test_datetimes_are_exact_to_the_microsecond(times):
    epoch = datetime.datetime(1970, 1, 1)
    expected = [(t - epoch) // datetime.timedelta(microseconds=1) * 1000 for t in times]
    assert to_nanoseconds(pd.Series(times, dtype="datetime64[us]")).tolist() == expected


def test_seconds_are_read_to_the_microsecond():
    found = to_nanoseconds([0.1, -0.1, 1.9999999, NEW_YEAR + 0.25])
    assert found.tolist() == [100_000_000, -100_000_000, 2_000_000_000, NANOS + 250_000_000]


@pytest.mark.parametrize(
    "times",
    [
        [0.0, np.nan],
        pd.array([0, None], dtype="Int64"),
        ["1970-01-01", None],
        pd.to_datetime(["1970-01-01", None]),
        pd.to_datetime(["1970-01-01", None]).tz_localize("UTC"),
        np.array(["1970-01-01", "NaT"], dtype="datetime64[s]"),
    ],
    ids=["float", "Int64", "text", "datetime", "zoned", "numpy"],
)
def test_missing_times_are_marked(times):
    assert to_nanoseconds(times).tolist() == [0, NAT]


@pytest.mark.parametrize("dtype", [object, float, "datetime64[ns]", "str"])
def test_no_times_are_no_times(dtype):
    assert to_nanoseconds(pd.Series([], dtype=dtype)).tolist() == []


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([True], r"bought_at must hold times; got booleans"),
        ([NEW_YEAR * 1000], "means seconds since 1970; got 1577836800000, which looks like milli"),
        ([-9.3e9], "means seconds since 1970; got -9300000000"),
        ([0.0, np.inf], "bought_at must be finite; got 1 infinite values"),
        (["1970-01-01", "yesterday", "?"], "2 values could not be read, the first is 'yesterday'"),
        (["13/01/2020"], r"must hold ISO 8601 times such as '2026-11-21 09:30'"),
        (objects("2020-01-01", datetime.time(1)), "1 values could not be read"),
        (objects(NEW_YEAR, "2020-01-01"), "could not be read, the first is 1577836800"),
        (objects(decimal.Decimal(NEW_YEAR)), "could not be read, the first is Decimal"),
        (pd.to_timedelta(["1D"]), "could not be read, the first is Timedelta"),
        (np.array(["20000-01-01"], dtype="datetime64[s]"), "between the years 1678 and 2261"),
        (np.array(["1600-01-01"], dtype="datetime64[s]"), "between the years 1678 and 2261"),
    ],
    ids=[
        "booleans", "milliseconds", "long ago", "infinite", "words", "day first", "time of day", "mixed", "decimal",
        "durations", "far future", "Middle Ages",
    ],
)  # fmt: skip
def test_unreadable_times_are_refused_by_name(times, words):
    with pytest.raises(DataError, match=words) as error:
        to_nanoseconds(times, "bought_at")
    assert str(error.value).startswith("bought_at ")


@pytest.mark.parametrize(
    "half_life",
    ["30D", "720h", datetime.timedelta(days=30), np.timedelta64(30, "D"), pd.Timedelta("30D")],
    ids=["days", "hours", "timedelta", "numpy", "pandas"],
)
def test_half_lives_are_read_as_nanoseconds(half_life):
    assert half_life_nanoseconds(half_life) == 30 * 86_400 * 1e9
    assert half_life_nanoseconds(None) == np.inf


@pytest.mark.parametrize(
    "half_life", ["0D", "-1D", "soon", "", 30, 1.5, np.timedelta64("NaT"), b"30D"], ids=repr
)
def test_other_half_lives_are_refused_and_shown(half_life):
    with pytest.raises(ValueError, match="half_life must be None or a positive duration") as error:
        half_life_nanoseconds(half_life)
    assert str(error.value).endswith(f"got {half_life!r}.")


@given(st.lists(st.integers(-60, 60)), st.integers(-60, 60))
def test_a_weight_halves_with_every_half_life(days, reference):
    day = 86_400 * 10**9
    found = decay(np.array(days, dtype=np.int64) * day, reference * day, 3.0 * day)
    assert found.tolist() == pytest.approx([2.0 ** ((d - reference) / 3) for d in days])


def test_without_a_half_life_nothing_decays():
    assert decay(np.array([NAT + 1, 0, 5]), 9, np.inf).tolist() == [1, 1, 1]


def test_the_rule_for_constructors_agrees():
    rule = duration()
    assert all(map(rule.accepts, (None, "30D", datetime.timedelta(1))))
    assert not any(map(rule.accepts, rule.bad))


ODD = [math.inf, -1e12, 10**400, "yesterday", "9999-01-01", True, [1], pd.NaT, None, 1j]
GOOD = [1, 2.5, np.int64(3), "1970-01-01 00:00:04", pd.Timestamp(5, unit="s", tz="Asia/Tokyo")]


@given(st.lists(st.sampled_from([*GOOD, *ODD]), min_size=1))
def test_each_time_can_be_read_alone(times):
    alone = dict(zip(map(repr, GOOD), [10**9, 25 * 10**8, 3 * 10**9, 4 * 10**9], strict=False))
    alone[repr(GOOD[-1])] = 5 * 10**9
    expected = [alone.get(repr(time), NAT) for time in times]
    if set(expected) == {NAT} and any(time is not None and time is not pd.NaT for time in times):
        with pytest.raises(DataError, match="none of its values can be read as one"):
            to_nanoseconds(objects(*times), unusable="missing")
    else:
        assert to_nanoseconds(objects(*times), unusable="missing").tolist() == expected


@pytest.mark.parametrize(
    "times",
    [
        pd.Series([1.0, np.inf, 1e12]),
        pd.Series([1, 2**62, -(2**62)]),
        np.array(["1970-01-01 00:00:01", "20000-01-01", "1600-01-01"], dtype="datetime64[s]"),
        pd.Series(["1970-01-01 00:00:01", "9999-01-01", "?"]),
        pd.Categorical(["1970-01-01 00:00:01", "9999-01-01", "?"]),
    ],
    ids=["floats", "integers", "datetimes", "text", "categories"],
)
def test_unusable_times_may_be_missing(times):
    assert to_nanoseconds(times, unusable="missing").tolist() == [10**9, NAT, NAT]
