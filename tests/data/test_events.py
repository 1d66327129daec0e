import datetime
import time

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from ecomrec.data import Interactions
from ecomrec.data.events import EventWeights
from ecomrec.data.tables import LEARNED
from ecomrec.exceptions import DataError

WEIGHTS = {"view": 1, "cart": 3, "purchase": 5, "return": -5}
DAY = 86_400
KINDS = {
    "pandas": pd.DataFrame,
    "nullable pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def log(make=pd.DataFrame, *, events=("view", "cart", "purchase"), timestamp=None):
    n = len(events)
    columns = {"user_id": ["u"] * n, "item_id": list(range(n)), "event": list(events)}
    if timestamp is not None:
        columns["timestamp"] = list(timestamp)
    return make(columns)


def column(table, name):
    values = table[name]
    return values.to_pylist() if isinstance(table, pa.Table) else values.to_list()


def weights_of(table):
    return np.array(column(table, "weight"), dtype=float)


def days(*numbers):
    start = datetime.datetime(2020, 1, 1)
    return [start + datetime.timedelta(days=n) for n in numbers]


# What a row weighs


def test_every_event_gets_its_weight(make):
    table = log(make, events=["view", "cart", "purchase", "return"])
    out = EventWeights(WEIGHTS).fit_transform(table)
    assert type(out) is type(table)
    assert weights_of(out).tolist() == [1, 3, 5, -5]


def test_other_columns_and_the_input_stay_as_they_were(make):
    table = log(make, timestamp=days(0, 1, 2))
    before = {name: column(table, name) for name in ("user_id", "item_id", "event", "timestamp")}
    out = EventWeights(WEIGHTS, half_life="1D").fit_transform(table)
    assert "weight" not in (table.column_names if isinstance(table, pa.Table) else table.columns)
    assert {name: column(out, name) for name in before} == before
    assert {name: column(table, name) for name in before} == before


def test_an_event_one_half_life_older_counts_half(make):
    table = log(make, events=["view"] * 3, timestamp=days(0, 30, 60))
    out = EventWeights(WEIGHTS, half_life="30D").fit_transform(table)
    assert weights_of(out).tolist() == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    "half_life", ["12h", datetime.timedelta(hours=12), np.timedelta64(12, "h")]
)
def test_half_life_is_text_or_a_timedelta(half_life):
    table = log(events=["view", "view"], timestamp=days(0, 1))
    out = EventWeights(WEIGHTS, half_life=half_life).fit_transform(table)
    assert out["weight"].tolist() == [0.25, 1.0]


@pytest.mark.parametrize("missing", [True, False])
def test_event_codes_may_be_integers(make, missing):
    table = log(make, events=[2, 1, None if missing else 1])
    weigher = EventWeights({1: 1, 2: 5}, unknown="drop")
    assert weights_of(weigher.fit_transform(table)).tolist() == [5, 1, 1][: 2 if missing else 3]


@pytest.mark.parametrize(
    "table",
    [
        log().astype({"event": "category"}),
        pl.DataFrame(log().to_dict("list")).cast({"event": pl.Categorical}),
        pl.DataFrame(log().to_dict("list")).cast({"event": pl.Enum(list(WEIGHTS))}),
    ],
)
def test_events_may_be_categories(table):
    assert weights_of(EventWeights(WEIGHTS).fit_transform(table)).tolist() == [1, 3, 5]


def test_pandas_rows_keep_their_weight_under_any_index():
    table = log(events=["view", "cart", "purchase"]).set_index(pd.Index([7, 7, 1]))
    out = EventWeights(WEIGHTS).fit_transform(table)
    assert out["weight"].tolist() == [1, 3, 5]
    assert out.index.tolist() == [7, 7, 1]


def test_an_empty_table_without_half_life_is_answered(make):
    out = EventWeights(WEIGHTS).fit(log()).transform(log(make, events=[]))
    assert weights_of(out).shape == (0,)


def test_a_returned_purchase_stays_seen_and_is_no_evidence(make):
    bought_and_returned = {
        "user_id": ["ann", "ann", "bob"],
        "item_id": ["mug", "mug", "mug"],
        "event": ["purchase", "return", "purchase"],
    }
    rows = EventWeights(WEIGHTS).fit_transform(make(bought_and_returned))
    matrix = Interactions.from_table(rows).to_scipy()
    assert matrix.nnz == 2
    assert matrix.toarray().tolist() == [[0], [5]]


# The reference time


def test_the_reference_is_the_newest_time_in_fit(make):
    table = log(make, timestamp=days(3, 9, 1))
    weigher = EventWeights(WEIGHTS, half_life="30D").fit(table)
    assert weigher.reference_time_ == pd.Timestamp("2020-01-10", tz="UTC")


def test_weights_do_not_depend_on_the_day_of_the_run(monkeypatch):
    table = log(timestamp=days(0, 5, 9))
    today = EventWeights(WEIGHTS, half_life="7D").fit_transform(table)["weight"]
    later = time.time_ns() + 500 * DAY * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    another_day = EventWeights(WEIGHTS, half_life="7D").fit_transform(table)["weight"]
    assert another_day.tolist() == today.tolist()


def test_rows_newer_than_the_reference_weigh_more(make):
    weigher = EventWeights(WEIGHTS, half_life="30D").fit(log(timestamp=days(0, 1, 2)))
    out = weigher.transform(log(make, events=["view"], timestamp=days(62)))
    assert weights_of(out).tolist() == [4.0]


@given(
    old=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
    new=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
)
def test_fitting_in_parts_learns_the_reference_of_all_rows(old, new):
    parts = EventWeights(WEIGHTS, half_life="30D")
    for numbers in (old, new):
        parts.partial_fit(log(events=["view"] * len(numbers), timestamp=days(*numbers)))
    everything = log(events=["view"] * len(old + new), timestamp=days(*old, *new))
    whole = EventWeights(WEIGHTS, half_life="30D").fit(everything)
    assert parts.reference_time_ == whole.reference_time_


@given(
    numbers=st.lists(st.integers(0, 400), min_size=2, max_size=8),
    shift=st.integers(0, 400),
)
def test_another_reference_changes_all_weights_by_one_factor(numbers, shift):
    table = log(events=["view"] * len(numbers), timestamp=days(*numbers))
    early = EventWeights(WEIGHTS, half_life="30D").fit(table)
    late = (
        clone(early)
        .partial_fit(table)
        .partial_fit(log(events=["view"], timestamp=days(max(numbers) + shift)))
    )
    ratio = late.transform(table)["weight"] / early.transform(table)["weight"]
    # Rounding of exp2, whose argument is rounded first.
    np.testing.assert_allclose(ratio, 2.0 ** (-shift / 30), rtol=1e-12)


def test_a_second_fit_forgets_the_first():
    weigher = EventWeights(WEIGHTS, half_life="30D").fit(log(timestamp=days(0, 1, 900)))
    weigher.fit(log(timestamp=days(0, 1, 2)))
    assert weigher.reference_time_ == pd.Timestamp("2020-01-03", tz="UTC")


@pytest.mark.parametrize(
    "now",
    [
        "2020-01-11",
        "2020-01-11T02:00+02:00",
        datetime.datetime(2020, 1, 11),
        pd.Timestamp("2020-01-10 19:00", tz="America/New_York"),
        np.datetime64("2020-01-11"),
        1_578_700_800,
    ],
)
def test_now_replaces_the_newest_time(now):
    weigher = EventWeights(WEIGHTS, half_life="10D", now=now)
    out = weigher.fit_transform(log(events=["view"], timestamp=days(0)))
    assert weigher.reference_time_ == pd.Timestamp("2020-01-11", tz="UTC")
    assert out["weight"].tolist() == [0.5]


def test_now_answers_for_an_empty_table(make):
    empty = log(make, events=[], timestamp=[])
    if isinstance(empty, pd.DataFrame):
        empty = empty.astype({"timestamp": "datetime64[us]"})
    weigher = EventWeights(WEIGHTS, half_life="1D")
    with pytest.raises(
        DataError, match=r"no row to learn the reference time from\. Pass rows, or now="
    ):
        weigher.fit(empty)
    weigher.set_params(now="2020-01-01").fit(empty)
    assert weigher.reference_time_ == pd.Timestamp("2020-01-01", tz="UTC")
    assert weights_of(weigher.transform(empty)).shape == (0,)


def test_an_empty_batch_keeps_the_reference():
    weigher = EventWeights(WEIGHTS, half_life="30D").fit(log(timestamp=days(0, 1, 2)))
    before = weigher.reference_time_
    assert weigher.partial_fit(log(timestamp=days(0, 1, 2)).iloc[:0]).reference_time_ == before


def test_without_half_life_there_is_no_reference_and_no_timestamp():
    weigher = EventWeights(WEIGHTS).fit(log())
    assert weigher.reference_time_ is None
    with pytest.raises(ValueError, match=r"half_life was set after fit\. Fit again"):
        weigher.set_params(half_life="1D").transform(log(timestamp=days(0, 1, 2)))


def test_rows_far_beyond_the_reference_ask_for_a_new_fit():
    weigher = EventWeights(WEIGHTS, half_life="1D").fit(log(timestamp=days(0, 0, 0)))
    assert (
        weigher.transform(log(events=["view"], timestamp=days(100)))["weight"].item() == 2.0**100
    )
    with pytest.raises(
        DataError, match="more than 100 half-lives later than the reference time 2020"
    ):
        weigher.transform(log(events=["view"], timestamp=days(101)))


# Rows that cannot be weighed


def test_unknown_events_are_named_with_a_count(make):
    table = log(make, events=["view", "wishlist", "gift", "wishlist"])
    with pytest.raises(
        DataError,
        match=r"3 of 4 rows have an event without a weight: 'wishlist', 'gift'\. Known are 'view'.*"
        r"Add a weight, or pass unknown='drop'",
    ):
        EventWeights(WEIGHTS).fit(table)


def test_unknown_events_are_refused_in_transform_too(make):
    weigher = EventWeights(WEIGHTS).fit(log(make))
    with pytest.raises(DataError, match="'gift'"):
        weigher.transform(log(make, events=["view", "gift"]))


def test_many_unknown_events_are_not_all_listed():
    with pytest.raises(DataError, match=r"'e0', 'e1', 'e2', 'e3', 'e4' and 3 more\."):
        EventWeights(WEIGHTS).fit(log(events=[f"e{i}" for i in range(8)]))


def test_a_missing_event_is_unknown(make):
    table = log(make, events=["view", None])
    with pytest.raises(DataError, match="1 of 2 rows have an event without a weight: missing"):
        EventWeights(WEIGHTS).fit(table)
    out = EventWeights(WEIGHTS, unknown="drop").fit_transform(table)
    assert column(out, "event") == ["view"]


def test_dropped_unknown_events_do_not_set_the_reference(make):
    table = log(make, events=["view", "heartbeat", "cart"], timestamp=days(0, 90, 1))
    weigher = EventWeights(WEIGHTS, half_life="1D", unknown="drop").fit(table)
    out = weigher.transform(table)
    assert weigher.reference_time_ == pd.Timestamp("2020-01-02", tz="UTC")
    assert column(out, "item_id") == [0, 2]
    assert weights_of(out).tolist() == [0.5, 3.0]


def test_missing_times_are_refused_with_a_count_or_dropped(make):
    table = log(make, timestamp=[*days(0), None, *days(2)])
    with pytest.raises(DataError, match=r"1 of 3 rows have no timestamp\. Drop them, or pass"):
        EventWeights(WEIGHTS, half_life="1D").fit(table)
    out = EventWeights(WEIGHTS, half_life="1D", missing_time="drop").fit_transform(table)
    assert weights_of(out).tolist() == [0.25, 5.0]


@pytest.mark.parametrize("gap", [pd.NaT, np.nan, pd.NA, None])
def test_every_missing_time_of_pandas_counts(gap):
    table = log(timestamp=pd.Series([*days(0), gap, *days(2)], dtype=object))
    out = EventWeights(WEIGHTS, half_life="1D", missing_time="drop").fit_transform(table)
    assert out["weight"].tolist() == [0.25, 5.0]


def test_missing_times_do_not_matter_without_a_half_life(make):
    table = log(make, timestamp=[None, *days(1, 2)])
    assert weights_of(EventWeights(WEIGHTS).fit_transform(table)).tolist() == [1, 3, 5]


# Time zones and forms of time


@pytest.mark.parametrize(
    "form",
    [
        lambda utc: utc.dt.tz_localize("UTC"),
        lambda utc: utc.dt.tz_localize("UTC").dt.tz_convert("Asia/Shanghai"),
        lambda utc: utc.astype("datetime64[s]"),
        lambda utc: utc.astype("datetime64[ns]"),
        lambda utc: (utc - pd.Timestamp(0)) // pd.Timedelta("1s"),
        lambda utc: (utc - pd.Timestamp(0)) / pd.Timedelta("1s"),
        lambda utc: utc.dt.strftime("%Y-%m-%d %H:%M:%S"),
        lambda utc: (
            utc.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo").map(lambda t: t.isoformat())
        ),
    ],
    ids=["UTC", "Shanghai", "s", "ns", "int", "float", "text", "text with zone"],
)
@pytest.mark.parametrize(
    "kind", ["pandas", "nullable pandas", "pyarrow pandas", "polars", "arrow"]
)
def test_the_same_instants_give_the_same_weights(form, kind):
    utc = pd.Series(days(0, 4, 8))
    table = log(events=["view"] * 3).assign(timestamp=form(utc))
    convert = {
        "pandas": lambda frame: frame,
        "nullable pandas": pd.DataFrame.convert_dtypes,
        "pyarrow pandas": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        "polars": pl.from_pandas,
        "arrow": pa.Table.from_pandas,
    }
    weigher = EventWeights(WEIGHTS, half_life="4D")
    out = weigher.fit_transform(convert[kind](table))
    assert weigher.reference_time_ == pd.Timestamp("2020-01-09", tz="UTC")
    assert weights_of(out).tolist() == [0.25, 0.5, 1.0]


def test_local_times_are_not_mistaken_for_utc():
    local = pd.Series(pd.to_datetime(["2020-01-01 00:00", "2020-01-01 12:00"]))
    shanghai = log(events=["view", "view"]).assign(timestamp=local.dt.tz_localize("Asia/Shanghai"))
    weigher = EventWeights(WEIGHTS, half_life="12h").fit(shanghai)
    assert weigher.reference_time_ == pd.Timestamp("2020-01-01 04:00", tz="UTC")


# The future


def test_rows_after_now_are_refused_with_a_count(make):
    table = log(make, timestamp=days(0, 5, 6))
    with pytest.raises(
        DataError,
        match=r"2 of 3 rows have a timestamp later than now; the newest is 2020-01-07.*"
        "or pass future='clip' or future='keep'",
    ):
        EventWeights(WEIGHTS, half_life="1D", now="2020-01-02").fit(table)


def test_rows_after_now_count_as_now_or_more_when_asked():
    table = log(events=["view"] * 3, timestamp=days(0, 1, 2))
    weigher = EventWeights(WEIGHTS, half_life="1D", now="2020-01-02")
    assert weigher.set_params(future="clip").fit_transform(table)["weight"].tolist() == [0.5, 1, 1]
    assert weigher.set_params(future="keep").fit_transform(table)["weight"].tolist() == [0.5, 1, 2]
    assert weigher.fit_transform(table)["timestamp"].tolist() == table["timestamp"].tolist()


@pytest.mark.parametrize("action", ["fit", "partial_fit", "transform"])
def test_a_wrong_clock_does_not_become_the_reference(action):
    weigher = EventWeights(WEIGHTS, half_life="30D").fit(log(timestamp=days(0, 1, 2)))
    wrong = log(timestamp=[*days(0, 1), datetime.datetime(2199, 1, 1)])
    with pytest.raises(
        DataError,
        match="1 of 3 rows have a timestamp later than this machine's clock, by more than",
    ):
        getattr(weigher, action)(wrong)
    assert weigher.reference_time_ == pd.Timestamp("2020-01-03", tz="UTC")


def test_local_times_east_of_greenwich_are_not_the_future():
    naive_tokyo = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(
        hours=9
    )
    table = log(events=["view"], timestamp=[naive_tokyo])
    assert EventWeights(WEIGHTS, half_life="30D").fit_transform(table)["weight"].tolist() == [1.0]


def test_kept_future_rows_set_the_reference():
    table = log(events=["view"] * 2, timestamp=[*days(0), datetime.datetime(2199, 1, 1)])
    weigher = EventWeights(WEIGHTS, half_life="30D", future="keep").fit(table)
    assert weigher.reference_time_ == pd.Timestamp("2199-01-01", tz="UTC")


# Tables and parameters that cannot be used


def test_a_missing_column_is_named_with_what_there_is(make):
    with pytest.raises(
        DataError,
        match=r"lacks the columns \['timestamp'\]; found \['user_id', 'item_id', 'event'\]",
    ):
        EventWeights(WEIGHTS, half_life="1D").fit(log(make))
    with pytest.raises(DataError, match=r"lacks the columns \['event'\]"):
        EventWeights(WEIGHTS).fit(make({"user_id": [1], "action": ["view"]}))


def test_a_weight_column_is_not_overwritten(make):
    weigher = EventWeights(WEIGHTS).fit(log(make))
    with pytest.raises(DataError, match=r"already has a 'weight' column\. Drop or rename it"):
        weigher.transform(weigher.transform(log(make)))


@pytest.mark.parametrize("X", [np.zeros((2, 2)), [["u", "i", "view"]], None, "events.csv"])
def test_what_is_no_table_is_refused(X):
    with pytest.raises(DataError, match="must be a pandas, Polars or Arrow table; got"):
        EventWeights(WEIGHTS).fit(X)


def test_a_lazy_frame_is_asked_to_collect():
    with pytest.raises(DataError, match=r"LazyFrame\. Call its collect\(\) first"):
        EventWeights(WEIGHTS).fit(pl.DataFrame({"event": ["view"]}).lazy())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": {}}, r"weights must map events to numbers, such as .*; got \{\}"),
        ({"weights": [1, 2]}, r"weights must map events to numbers.*got \[1, 2\]"),
        ({"weights": {"view": "1"}}, "weight of 'view' must be a finite number; got '1'"),
        ({"weights": {"view": np.nan}}, "weight of 'view' must be a finite number; got nan"),
        ({"weights": {"view": True}}, "weight of 'view' must be a finite number; got True"),
        ({"half_life": "soon"}, "half_life must be None or a positive duration"),
        ({"half_life": "-1D"}, "half_life must be None or a positive duration"),
        ({"unknown": "skip"}, "EventWeights: unknown must be 'raise' or 'drop'; got 'skip'"),
        ({"future": None}, "future must be 'raise' or 'clip' or 'keep'; got None"),
        ({"future": "clip"}, "future='clip' needs now=, the time to clip to"),
        ({"missing_time": 0}, "missing_time must be 'raise' or 'drop'; got 0"),
        ({"now": "NaT"}, "now"),
        ({"now": "tomorrow"}, "now must hold ISO 8601 times"),
    ],
)
def test_bad_parameters_are_named_at_fit(parameters, message):
    weigher = EventWeights(**{"weights": WEIGHTS, "half_life": "1D", **parameters})
    with pytest.raises(ValueError, match=message):
        weigher.fit(log(timestamp=days(0, 1, 2)))


def test_transform_before_fit_says_so():
    with pytest.raises(NotFittedError):
        EventWeights(WEIGHTS).transform(log())


# Inside scikit-learn


class Recorder(BaseEstimator):  # type: ignore[misc]
    """Stands for a recommender: keeps the table it was fitted on."""

    def fit(self, X, y=None):
        self.X_ = X
        return self


def test_a_pipeline_hands_weighted_rows_to_the_model(make):
    table = log(make, timestamp=days(0, 30, 60))
    pipe = Pipeline([("weights", EventWeights(WEIGHTS, half_life="30D")), ("model", Recorder())])
    pipe.fit(table)
    assert weights_of(pipe["model"].X_).tolist() == [0.25, 1.5, 5.0]


def test_pipeline_parameters_reach_the_weights():
    pipe = Pipeline([("weights", EventWeights(WEIGHTS)), ("model", Recorder())])
    pipe = clone(pipe).set_params(weights__weights={"view": 2}, weights__unknown="drop")
    assert pipe.fit(log())["model"].X_["weight"].tolist() == [2]


def test_clone_and_repr_keep_the_parameters():
    weigher = EventWeights(
        WEIGHTS, half_life="30D", now="2020-01-01", unknown="drop", future="clip"
    )
    assert clone(weigher).get_params() == weigher.get_params()
    assert eval(repr(weigher)).get_params() == weigher.get_params()


def test_y_is_refused_when_it_no_longer_matches_the_rows():
    table = log(events=["view", "gift", "cart"])
    weigher = EventWeights(WEIGHTS, unknown="drop")
    assert len(EventWeights(WEIGHTS).fit_transform(log(), [1, 2, 3])) == 3
    with pytest.raises(
        DataError, match="EventWeights dropped 1 of 3 rows, so y no longer matches"
    ):
        weigher.fit_transform(table, [1, 2, 3])


@pytest.mark.parametrize(
    ("options", "tells"),
    [({"half_life": "1D"}, True), ({"half_life": "1D", "now": 10**9}, False), ({}, False)],
)
def test_a_table_tells_that_its_weights_depend_on_all_users(options, tells):
    given = log().assign(timestamp=[1, 2, 3])
    found = EventWeights(WEIGHTS, future="keep", **options).fit_transform(given)
    assert (LEARNED in found.attrs) is tells
    assert (LEARNED in found[found["weight"] > 0].assign(more=1).attrs) is tells
    assert not given.attrs
