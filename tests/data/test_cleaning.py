import datetime
import logging

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from ecomrec.data.cleaning import MissingValues
from ecomrec.data.robots import RobotFilter
from ecomrec.data.tables import LEARNED
from ecomrec.exceptions import DataError

KINDS = {
    "pandas": pd.DataFrame,
    "nullable pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}
DAY = 86_400


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def column(table, name):
    values = table[name]
    return values.to_pylist() if isinstance(table, pa.Table) else values.to_list()


def clicks(seconds_of, make=pd.DataFrame, by="user_id"):
    """Table of the clicks of each user, given their times in seconds."""
    users = [user for user, seconds in seconds_of.items() for _ in seconds]
    times = [second for seconds in seconds_of.values() for second in seconds]
    return make({by: users, "item_id": list(range(len(users))), "timestamp": times})


# Robots


def test_users_beyond_either_limit_are_dropped(make):
    seconds = {"fast": [0, 10, 20, 30], "busy": range(0, DAY, DAY // 6), "ann": [0, 10, 20, 90]}
    table = clicks(seconds, make)
    robots = RobotFilter(max_events_per_minute=3, max_events_per_day=5).fit(table)
    out = robots.transform(table)
    assert type(out) is type(table)
    assert set(column(out, "user_id")) == {"ann"}
    assert column(out, "item_id") == [10, 11, 12, 13]


def test_what_was_dropped_is_reported(make):
    seconds = {"busy": range(0, DAY, DAY // 6), "ann": [0], "fast": [0, 10, 20, 30, 1000]}
    table = clicks(seconds, make)
    dropped = RobotFilter(max_events_per_minute=3, max_events_per_day=5).fit(table).dropped_
    assert type(dropped) is type(table)
    report = {name: column(dropped, name) for name in ("user_id", "n_events", "rate", "reason")}
    assert report == {
        "user_id": ["busy", "fast"],
        "n_events": [6, 5],
        "rate": [6, 4],
        "reason": ["per_day", "per_minute"],
    }


def test_nothing_dropped_is_an_empty_report(make):
    table = clicks({"ann": [0, 1]}, make)
    robots = RobotFilter().fit(table)
    assert column(robots.dropped_, "user_id") == []
    assert column(robots.transform(table), "user_id") == ["ann", "ann"]


def test_an_empty_table_has_no_robots():
    empty = clicks({"ann": [0, 1]}).iloc[:0]
    assert len(RobotFilter().fit(empty).dropped_) == 0


def test_a_minute_is_any_sixty_seconds_and_ends_before_the_next():
    robots = RobotFilter(max_events_per_minute=2)
    assert len(robots.fit(clicks({"ann": [50, 70, 109]})).dropped_) == 1
    assert len(robots.fit(clicks({"ann": [50, 70, 110]})).dropped_) == 0


@given(
    times=st.lists(st.integers(0, 300), max_size=30),
    users=st.lists(st.sampled_from("abc"), min_size=30, max_size=30),
    limit=st.integers(1, 6),
)
def test_robots_are_those_that_a_count_of_every_window_finds(times, users, limit):
    table = pd.DataFrame({"user_id": users[: len(times)], "timestamp": times})
    rates = {
        user: max(sum(t <= other < t + 60 for other in own) for t in own)
        for user, own in table.groupby("user_id")["timestamp"].apply(list).items()
    }
    table = table.astype({"user_id": object, "timestamp": "int64"})
    dropped = RobotFilter(max_events_per_minute=limit, max_events_per_day=None).fit(table).dropped_
    found = dict(zip(dropped["user_id"], dropped["rate"], strict=True))
    assert found == {user: rate for user, rate in rates.items() if rate > limit}


def test_sessions_can_be_judged_instead_of_users(make):
    table = clicks({7: [0, 1, 2], 8: [0, 1]}, make, by="session_id")
    robots = RobotFilter(max_events_per_minute=2, by="session_id").fit(table)
    assert column(robots.dropped_, "session_id") == [7]
    assert column(robots.transform(table), "session_id") == [8, 8]


def test_only_ids_learned_in_fit_are_dropped():
    robots = RobotFilter(max_events_per_minute=2).fit(clicks({"bot": [0, 1, 2], "ann": [0]}))
    later = clicks({"ann": [5, 6, 7], "bot": [9]})
    assert robots.transform(later)["user_id"].tolist() == ["ann"] * 3


def test_row_order_does_not_matter_to_robots(make):
    columns = {"user_id": ["bot", "ann", "bot", "bot"], "timestamp": [50, 0, 0, 20]}
    robots = RobotFilter(max_events_per_minute=2).fit(make(columns))
    assert column(robots.dropped_, "user_id") == ["bot"]


def test_rows_without_an_id_are_no_robot(make):
    table = clicks({None: [0, 1, 2, 3], "bot": [0, 1, 2, 3], "ann": [0]}, make)
    robots = RobotFilter(max_events_per_minute=2).fit(table)
    assert column(robots.dropped_, "user_id") == ["bot"]
    assert column(robots.transform(table), "item_id") == [0, 1, 2, 3, 8]


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_large_integer_ids_beside_gaps_are_not_mixed_up(make):
    table = clicks({None: [0], 2**60 + 1: [0, 1, 2], 2**60: [0]}, make)
    robots = RobotFilter(max_events_per_minute=2).fit(table)
    assert column(robots.dropped_, "user_id") == [2**60 + 1]
    assert column(robots.transform(table), "item_id") == [0, 4]


def test_ids_may_be_tuples():
    table = clicks({("shop", 1): [0, 1, 2], ("shop", 2): [0]})
    robots = RobotFilter(max_events_per_minute=2).fit(table)
    assert robots.dropped_["user_id"].tolist() == [("shop", 1)]
    assert robots.transform(table)["user_id"].tolist() == [("shop", 2)]


def test_the_log_has_counts_and_no_ids(caplog):
    table = clicks({"bot": [0, 1, 2], "ann": [0]})
    with caplog.at_level(logging.DEBUG, logger="ecomrec"):
        RobotFilter(max_events_per_minute=2).fit_transform(table)
    assert "1 user_id values with 3 of 4 rows have inhuman rates" in caplog.text
    assert "dropped 3 of 4 rows" in caplog.text
    assert "bot" not in caplog.text.replace("robot", "")


def test_robots_need_times():
    table = clicks({"ann": [0, None, 2]})
    with pytest.raises(
        DataError, match=r"1 of 3 rows have no timestamp.*Drop them before RobotFilter"
    ):
        RobotFilter().fit(table)
    with pytest.raises(DataError, match=r"lacks the columns \['session_id', 'timestamp'\]"):
        RobotFilter(by="session_id").fit(table.drop(columns="timestamp"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"max_events_per_minute": 0},
            "max_events_per_minute must be a positive integer or None; got 0",
        ),
        (
            {"max_events_per_day": 2.5},
            r"max_events_per_day must be a positive integer or None; got 2\.5",
        ),
        (
            {"max_events_per_day": True},
            "max_events_per_day must be a positive integer or None; got True",
        ),
        (
            {"max_events_per_day": None, "max_events_per_minute": None},
            r"are both None\. Give one of them a number",
        ),
        ({"by": 3}, "by must be a column name; got 3"),
    ],
)
def test_bad_robot_parameters_are_named_at_fit(parameters, message):
    with pytest.raises(ValueError, match=f"RobotFilter: .*{message}"):
        RobotFilter(**parameters).fit(clicks({"ann": [0]}))


def test_unfitted_filters_say_so():
    with pytest.raises(NotFittedError):
        RobotFilter().transform(clicks({"ann": [0]}))
    with pytest.raises(NotFittedError):
        MissingValues().transform(clicks({"ann": [0]}))


# Missing ids


def rows(make=pd.DataFrame, *, users=(1, 2, 3), items=("a", "b", "c"), ratings=None):
    columns = {"user_id": list(users), "item_id": list(items)}
    if ratings is not None:
        columns["rating"] = list(ratings)
    return make(columns)


@pytest.mark.parametrize("action", ["fit", "transform"])
def test_missing_ids_are_refused_with_a_count(make, action):
    table = rows(make, users=[1, None, None], items=["a", "b", None])
    cleaner = MissingValues().fit(rows(make))
    with pytest.raises(
        DataError,
        match=r"of 3 rows, 2 no user_id and 1 no item_id\. Drop them, or pass ids='drop'",
    ):
        getattr(cleaner, action)(table)


def test_missing_ids_are_dropped_when_asked(make):
    table = rows(make, users=[1, None, None, 4], items=["a", "b", None, "d"])
    out = MissingValues(ids="drop").fit_transform(table)
    assert type(out) is type(table)
    assert column(out, "item_id") == ["a", "d"]


def test_integer_ids_with_gaps_become_integers_again(make):
    out = MissingValues(ids="drop").fit_transform(rows(make, users=[17850, None, 13047]))
    assert column(out, "user_id") == [17850, 13047]
    assert all(isinstance(user, int) for user in column(out, "user_id"))


@pytest.mark.parametrize("users", [[0.5, None, 2.0], [2.0**60, None, 2.0]])
def test_float_ids_that_are_no_exact_integers_stay(users):
    out = MissingValues(ids="drop").fit_transform(rows(users=users))
    assert out["user_id"].tolist() == [users[0], users[2]]
    assert out["user_id"].dtype == np.float64


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, pd.NaT])
def test_every_gap_of_pandas_is_missing(gap):
    table = rows(users=pd.Series(["u", gap, "w"], dtype=object))
    assert MissingValues(ids="drop").fit_transform(table)["user_id"].tolist() == ["u", "w"]


def test_nan_is_missing_in_polars_too():
    table = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "rating": [np.nan, 3.0]})
    assert MissingValues(ratings="drop").fit_transform(table)["rating"].to_list() == [3.0]


def test_empty_text_is_an_id(make):
    table = rows(make, users=["", "u", "v"])
    assert column(MissingValues(ids="drop").fit_transform(table), "user_id") == ["", "u", "v"]


def test_a_clean_table_passes_unchanged(make):
    table = rows(make, ratings=[1.0, 2.0, 3.0])
    assert MissingValues().fit_transform(table) is table


# Missing ratings


def test_missing_ratings_are_refused_with_a_count(make):
    with pytest.raises(
        DataError, match=r"2 of 3 rows have no rating\. Drop them with ratings='drop'"
    ):
        MissingValues().fit(rows(make, ratings=[None, 2.0, None]))
    cleaner = MissingValues().fit(rows(make))
    with pytest.raises(DataError, match="1 of 3 rows have no rating"):
        cleaner.transform(rows(make, ratings=[1.0, 2.0, None]))


def test_missing_ratings_are_dropped_when_asked(make):
    out = MissingValues(ratings="drop").fit_transform(rows(make, ratings=[4, None, 5]))
    assert column(out, "item_id") == ["a", "c"]
    assert column(out, "rating") == [4, 5]


@pytest.mark.parametrize("ratings", ["raise", "drop"])
def test_a_table_without_ratings_needs_none(make, ratings):
    table = rows(make)
    assert MissingValues(ratings=ratings).fit_transform(table) is table


@pytest.mark.parametrize(
    ("how", "fill"), [("mean", 2.75), ("median", 2.5), ("most_frequent", 1.0)]
)
def test_missing_ratings_are_filled(make, how, fill):
    ratings = [1, 5, 4, 1, None]
    out = MissingValues(ratings=how).fit_transform(
        rows(make, users=range(5), items="abcde", ratings=ratings)
    )
    assert column(out, "rating") == [1, 5, 4, 1, fill]


def test_the_lowest_of_equally_frequent_ratings_fills():
    cleaner = MissingValues(ratings="most_frequent").fit(rows(ratings=[3.0, 2.0, None]))
    assert cleaner.fill_value_ == 2.0


@pytest.mark.parametrize("how", ["mean", "median", "most_frequent"])
def test_ratings_are_filled_with_what_fit_saw(make, how):
    cleaner = MissingValues(ratings=how).fit(rows(make, ratings=[2.0, 2.0, 2.0]))
    out = cleaner.transform(rows(make, ratings=[5.0, 5.0, None]))
    assert column(out, "rating") == [5.0, 5.0, 2.0]


def test_dropped_rows_do_not_count_in_the_mean():
    table = rows(users=[1, None, 3], ratings=[1.0, 5.0, None])
    assert MissingValues(ids="drop", ratings="mean").fit(table).fill_value_ == 1.0


def test_filled_pandas_rows_keep_their_index():
    table = rows(ratings=[1.0, None, 3.0]).set_index(pd.Index([9, 9, 2]))
    out = MissingValues(ratings="mean").fit_transform(table)
    assert out["rating"].tolist() == [1.0, 2.0, 3.0]
    assert out.index.tolist() == [9, 9, 2]
    assert table["rating"].isna().sum() == 1


class UserPlusOne(BaseEstimator):  # type: ignore[misc]
    """A rating model: the rating of a pair is its user plus one."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, pairs):
        self.asked_ = pairs
        return np.array(column(pairs, "user_id")) + 1.0


class NoAnswer(UserPlusOne):
    def predict(self, pairs):
        return np.full(len(pairs), np.nan)


def test_a_rating_model_fills_the_gaps_and_sees_only_these(make):
    table = rows(make, users=[7, 8, 9], ratings=[1, None, None])
    model = UserPlusOne().fit(table)
    out = MissingValues(ratings=model).fit_transform(table)
    assert column(out, "rating") == [1, 9, 10]
    assert type(model.asked_) is type(table)
    assert column(model.asked_, "item_id") == ["b", "c"]


def test_a_rating_model_must_be_fitted_and_frozen_to_survive_a_clone():
    table = rows(ratings=[1.0, None, 3.0])
    fitted = UserPlusOne().fit(table)
    with pytest.raises(NotFittedError, match=r"not fitted\. Fit it first, and wrap it in sklearn"):
        clone(MissingValues(ratings=fitted)).fit(table)
    pipe = make_pipeline(MissingValues(ratings=FrozenEstimator(fitted)))
    assert clone(pipe).fit_transform(table)["rating"].tolist() == [1.0, 3.0, 3.0]


def test_a_model_without_an_answer_is_refused():
    table = rows(ratings=[1.0, None, None])
    model = NoAnswer().fit(table)
    with pytest.raises(DataError, match=r"NoAnswer\.predict gave no rating for 2 of 2 missing"):
        MissingValues(ratings=model).fit_transform(table)


def test_filling_needs_ratings(make):
    with pytest.raises(DataError, match="there is no rating to take the mean of"):
        MissingValues(ratings="mean").fit(
            rows(
                make, ratings=pa.nulls(3, pa.float64()) if make is pa.table else [float("nan")] * 3
            )
        )
    with pytest.raises(DataError, match=r"lacks the columns \['rating'\]"):
        MissingValues(ratings="mean").fit(rows(make))
    with pytest.raises(DataError, match="rating must hold numbers; got a column of String"):
        MissingValues(ratings="mean").fit(rows(make, ratings=["1", "2", "3"]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ids": "fill"}, "ids must be 'raise' or 'drop'; got 'fill'"),
        (
            {"ratings": "max"},
            "ratings must be 'raise', .* or a fitted model with predict; got 'max'",
        ),
        ({"ratings": 3}, "ratings must be .*; got 3"),
        ({"ratings": None}, "ratings must be .*; got None"),
    ],
)
def test_bad_parameters_are_named_at_fit(parameters, message):
    with pytest.raises(ValueError, match=f"MissingValues: {message}"):
        MissingValues(**parameters).fit(rows())


def test_clone_keeps_the_parameters():
    for cleaner in (MissingValues(ids="drop", ratings="mean"), RobotFilter(by="session_id")):
        assert clone(cleaner).get_params() == cleaner.get_params()


def test_filters_chain_in_a_pipeline(make):
    seconds = {"bot": [0, 1, 2], "ann": [0, None], None: [4]}
    table = clicks(seconds, make)
    times = [datetime.datetime(2020, 1, 1, 0, 0, n) for n in range(6)]
    if isinstance(table, pd.DataFrame):
        table = table.assign(timestamp=times)
    elif isinstance(table, pl.DataFrame):
        table = table.with_columns(timestamp=pl.Series(times))
    else:
        table = table.set_column(2, "timestamp", pa.array(times))
    out = make_pipeline(
        MissingValues(ids="drop"), RobotFilter(max_events_per_minute=2)
    ).fit_transform(table)
    assert column(out, "user_id") == ["ann", "ann"]


@pytest.mark.parametrize(("ratings", "tells"), [("mean", True), ("drop", False)])
def test_a_table_tells_that_its_ratings_depend_on_all_users(ratings, tells):
    given = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 1], "rating": [4.0, None]})
    found = MissingValues(ratings=ratings).fit_transform(given)
    assert (LEARNED in found.attrs) is tells
    assert not given.attrs
