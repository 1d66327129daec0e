"""Splitters lose nothing they promise to keep, and never leak the future."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, cross_validate

from ecomrec.evaluation import (
    ColdItemSplit,
    ColdUserSplit,
    EventSplitter,
    KFoldRows,
    LeaveLastN,
    RandomPerUser,
    TemporalSplit,
    train_test_split,
)
from ecomrec.exceptions import DataError

logs = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 12)), min_size=2, max_size=40
).map(lambda rows: pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]))

SPLITTERS = [
    TemporalSplit(2, test_size=0.2),
    TemporalSplit(2, test_size="2s"),
    LeaveLastN(2),
    RandomPerUser(2, test_size=0.3, random_state=0),
    KFoldRows(3, random_state=0),
    ColdUserSplit(3, random_state=0),
    ColdItemSplit(3, random_state=0),
]
COMPLETE = [one for one in SPLITTERS if not isinstance(one, TemporalSplit)]
FOLDS = [KFoldRows, ColdUserSplit, ColdItemSplit]


def splits_of(splitter, events):
    """All splits, or nothing where the log is too small for the splitter."""
    try:
        return list(splitter.split(events))
    except DataError:
        assume(False)
        raise


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
@given(logs)
def test_parts_are_disjoint_not_empty_and_ascending(splitter, events):
    splits = splits_of(splitter, events)
    assert len(splits) == splitter.get_n_splits(events)
    for train, test in splits:
        assert len(train)
        assert len(test)
        assert not set(train) & set(test)
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()


@pytest.mark.parametrize("splitter", COMPLETE, ids=repr)
@given(logs)
def test_no_row_is_lost(splitter, events):
    for train, test in splits_of(splitter, events):
        assert sorted([*train, *test]) == list(range(len(events)))


@pytest.mark.parametrize("test_size", [0.2, "2s", datetime.timedelta(seconds=3)], ids=repr)
@given(logs, st.integers(1, 3))
def test_every_training_event_is_strictly_earlier_than_every_test_event(
    test_size, events, n_splits
):
    splits = splits_of(TemporalSplit(n_splits, test_size=test_size), events)
    times = events["timestamp"].to_numpy()
    last_end = None
    for train, test in splits:
        assert times[train].max() < times[test].min()
        # Nothing between the parts is lost, and windows follow each other.
        assert len(train) + len(test) == (times <= times[test].max()).sum()
        assert last_end is None or len(train) == last_end
        last_end = len(train) + len(test)
    assert last_end == len(events)


@given(logs, st.integers(1, 3), st.integers(1, 2))
def test_leave_last_n_tests_the_last_rows_of_each_user(events, n, min_train):
    ((_, test),) = splits_of(LeaveLastN(n, min_train=min_train), events)
    for _, rows in events.groupby("user_id"):
        # A stable sort: equal timestamps stay in the order of the table.
        ordered = sorted(rows.index, key=lambda row: rows.timestamp[row])
        expected = ordered[-n:] if len(ordered) >= n + min_train else []
        assert sorted(set(ordered) & set(test)) == sorted(expected)


@given(logs, st.sampled_from([0.1, 0.5, 0.9]))
def test_random_per_user_takes_the_share_of_each_user(events, test_size):
    for train, test in splits_of(RandomPerUser(test_size=test_size, random_state=1), events):
        assert set(events.user_id[train]) == set(events.user_id)
        for user, rows in events.groupby("user_id"):
            n_test = (events.user_id[test] == user).sum()
            assert n_test == min(int(len(rows) * test_size + 0.5), len(rows) - 1)


@pytest.mark.parametrize("splitter", FOLDS)
@given(logs)
def test_each_row_is_tested_in_one_fold(splitter, events):
    tested = [test for _, test in splits_of(splitter(2, random_state=0), events)]
    assert sorted(np.concatenate(tested)) == list(range(len(events)))


@pytest.mark.parametrize(
    ("splitter", "column"), [(ColdUserSplit, "user_id"), (ColdItemSplit, "item_id")]
)
@given(logs)
def test_cold_ids_are_in_the_test_part_only(splitter, column, events):
    for train, test in splits_of(splitter(2, random_state=0), events):
        assert not set(events[column][train]) & set(events[column][test])


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_every_kind_of_table_is_split_alike(splitter, make_table, events):
    columns = {name: events[name].tolist() for name in events}
    expected = [test.tolist() for _, test in splitter.split(events)]
    columns["user_id"] = [str(user) for user in columns["user_id"]]
    assert [test.tolist() for _, test in splitter.split(make_table(columns))] == expected


@pytest.mark.parametrize(
    "splitter", [one for one in SPLITTERS if hasattr(one, "random_state")], ids=repr
)
def test_an_integer_seed_gives_the_same_splits_again(splitter, events):
    first, second = ([test.tolist() for _, test in splitter.split(events)] for _ in range(2))
    assert first == second
    other = type(splitter)(splitter.n_splits, random_state=7)
    assert [test.tolist() for _, test in other.split(events)] != first


def test_random_splits_differ_from_each_other(events):
    (_, one), (_, other) = RandomPerUser(2, random_state=0).split(events)
    assert one.tolist() != other.tolist()


def test_a_fifth_of_ten_rows_is_two_rows():
    events = pd.DataFrame({"user_id": 1, "item_id": 1, "timestamp": range(10)})
    splits = TemporalSplit(3, test_size=0.2).split(events)
    assert [(len(train), len(test)) for train, test in splits] == [(4, 2), (6, 2), (8, 2)]


def test_windows_are_cut_between_times_never_within_one():
    events = pd.DataFrame({"user_id": 1, "item_id": 1, "timestamp": [1, 2, 2, 2, 3]})
    ((train, test),) = TemporalSplit(1, test_size=0.4).split(events)
    assert (train.tolist(), test.tolist()) == ([0], [1, 2, 3, 4])


def test_a_duration_is_read_in_its_unit():
    days = pd.Timestamp("2026-01-01", tz="Asia/Tokyo") + pd.to_timedelta(np.arange(30), unit="D")
    events = pd.DataFrame({"user_id": 1, "item_id": 1, "timestamp": days})
    sizes = [len(test) for _, test in TemporalSplit(2, test_size="7D").split(events)]
    assert sizes == [7, 7]


def test_a_column_of_another_name_holds_the_times(events):
    renamed = events.rename(columns={"timestamp": "when"})
    expected = [test.tolist() for _, test in TemporalSplit().split(events)]
    assert [
        test.tolist() for _, test in TemporalSplit(timestamp="when").split(renamed)
    ] == expected


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_repr_rebuilds_the_splitter(splitter):
    assert eval(repr(splitter)) == splitter


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_scikit_learn_takes_the_splitter(splitter, stub, events):
    scores = cross_validate(stub(), events, cv=splitter, scoring=lambda model, X, y=None: len(X))
    assert scores["test_score"].tolist() == [len(test) for _, test in splitter.split(events)]


def test_train_test_split_returns_tables_of_the_kind_that_came(make_table):
    events = make_table(
        {"user_id": [1] * 5, "item_id": list("abcde"), "timestamp": [5, 1, 2, 3, 4]}
    )
    train, test = train_test_split(events)
    assert type(train) is type(test) is type(events)
    assert list(test["item_id"]) == ["a"] or test["item_id"].to_pylist() == ["a"]
    assert len(train) == 4


def test_train_test_split_keeps_the_row_labels_of_pandas(events):
    train, test = train_test_split(events.set_index(events.index + 1000), LeaveLastN())
    assert sorted([*train.index, *test.index]) == list(range(1000, 1400))


def test_train_test_split_takes_the_last_split(events):
    _, test = train_test_split(events, TemporalSplit(3, test_size=0.1))
    assert test["timestamp"].max() == events["timestamp"].max()


def test_train_test_split_takes_splitters_of_scikit_learn(events):
    train, test = train_test_split(events, KFold(4))
    assert (len(train), len(test)) == (300, 100)


EVENTS = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "timestamp": [1, 2, 3]})


@pytest.mark.parametrize(
    ("splitter", "events", "message"),
    [
        (
            TemporalSplit(),
            EVENTS.drop(columns="timestamp"),
            r"the event table lacks the columns \['timestamp'\]; found",
        ),
        (
            LeaveLastN(),
            EVENTS.drop(columns="timestamp"),
            r"the event table lacks the columns \['timestamp'\]; found",
        ),
        (
            ColdItemSplit(),
            EVENTS.drop(columns="item_id"),
            r"the event table lacks the columns \['item_id'\]; found",
        ),
        (
            TemporalSplit(),
            EVENTS.assign(timestamp=[1, 2, None]),
            "the event table has 1 rows without timestamp",
        ),
        (KFoldRows(), EVENTS.head(1), "a split needs at least 2 events; got 1"),
        (KFoldRows(4), EVENTS, "4 folds need at least as many events; got 3"),
        (ColdUserSplit(3), EVENTS, "3 folds need at least as many users; got 2"),
        (ColdItemSplit(3), EVENTS, "3 folds need at least as many items; got 2"),
        (
            TemporalSplit(3, test_size=0.3),
            EVENTS,
            "does not fit into 3 events at 3 distinct times",
        ),
        (
            TemporalSplit(5, test_size="90000D"),
            EVENTS,
            "does not fit into 3 events at 3 distinct",
        ),
        (TemporalSplit(1), EVENTS.assign(timestamp=1), "does not fit into 3 events at 1 distinct"),
        (TemporalSplit(2, test_size=0.9), EVENTS, "Use fewer or smaller windows"),
        (
            LeaveLastN(5),
            EVENTS,
            r"split 1 of LeaveLastN\(.* has 3 training and 0 test rows out of 3",
        ),
        (
            KFoldRows(),
            EVENTS.to_numpy(),
            "the event table must be a pandas, Polars or Arrow table.*ndarray",
        ),
    ],
    ids=[
        "no times",
        "no times for leave last",
        "no items",
        "missing time",
        "one event",
        "few events",
        "few users",
        "few items",
        "small windows",
        "long windows",
        "one time",
        "large windows",
        "short users",
        "no table",
    ],
)
def test_tables_that_cannot_be_split_are_named(splitter, events, message):
    with pytest.raises(DataError, match=message):
        list(splitter.split(events))


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (TemporalSplit(0), "n_splits must be a positive integer; got 0"),
        (
            TemporalSplit(test_size=1.0),
            r"test_size must be a share .* or a positive duration.*got 1",
        ),
        (
            TemporalSplit(test_size="soon"),
            "positive duration with a unit, such as '7D'.*got 'soon'",
        ),
        (TemporalSplit(test_size="-7D"), "positive duration with a unit"),
        (TemporalSplit(test_size="NaT"), "positive duration with a unit"),
        (TemporalSplit(test_size=5), "positive duration with a unit.*got 5"),
        (LeaveLastN(0), "n must be a positive integer; got 0"),
        (LeaveLastN(1, min_train=0), "min_train must be a positive integer; got 0"),
        (
            RandomPerUser(test_size=2),
            r"test_size must be a share of the events, in \(0, 1\); got 2",
        ),
        (RandomPerUser(random_state="x"), "random_state must be None"),
        (KFoldRows(1), "n_splits must be at least 2 for folds; got 1"),
    ],
    ids=str,
)
def test_arguments_that_are_not_valid_are_named(splitter, message):
    with pytest.raises(ValueError, match=message):
        list(splitter.split(EVENTS))


def test_a_splitter_of_ones_own_needs_only_rows():
    class FirstRow(EventSplitter):
        n_splits = 1

        def _split(self, frame):
            yield np.arange(1, len(frame)), np.array([0])

    ((_, test),) = FirstRow().split(EVENTS)
    assert test.tolist() == [0]
