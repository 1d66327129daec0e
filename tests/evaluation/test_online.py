"""Click-through and conversion rates of logged events."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec.evaluation import click_through_rate, conversion_rate
from ecomrec.exceptions import DataError

LOG = {
    "user_id": [1, 1, 2, 2, 1, 1, 1, 3],
    "item_id": ["tea", "mug", "tea", "mug", "tea", "tea", "tea", "tea"],
    "event": ["impression"] * 4 + ["click", "click", "purchase", "purchase"],
}

logs = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from(["impression", "click", "purchase", "view"]),
        st.integers(0, 5),
    ),
    max_size=20,
).map(lambda rows: pd.DataFrame(rows, columns=["user_id", "item_id", "event", "timestamp"]))


def reference(log, first, then):
    shown, followed = {}, set()
    for row in log.itertuples():
        if row.event == first:
            key = (row.user_id, row.item_id)
            shown[key] = min(row.timestamp, shown.get(key, row.timestamp))
    for row in log.itertuples():
        key = (row.user_id, row.item_id)
        if row.event == then and key in shown and row.timestamp >= shown[key]:
            followed.add(key)
    return len(followed) / len(shown) if shown else np.nan


@given(logs)
def test_rates_equal_a_loop_over_the_log(log):
    log = log.astype({"user_id": "int64", "item_id": "int64", "timestamp": "int64"})
    rate = click_through_rate(log)
    assert rate == pytest.approx(reference(log, "impression", "click"), nan_ok=True)
    assert np.isnan(rate) or 0 <= rate <= 1
    assert conversion_rate(log) == pytest.approx(reference(log, "click", "purchase"), nan_ok=True)


def test_rates_are_read_from_every_kind_of_table(make_table):
    assert click_through_rate(make_table(LOG)) == 0.25
    assert conversion_rate(make_table(LOG)) == 1.0


def test_purchases_per_showing():
    assert conversion_rate(pd.DataFrame(LOG), click="impression") == 0.25


def test_a_session_column_counts_each_showing_by_itself():
    log = pd.DataFrame(
        {
            "user_id": 1,
            "item_id": "tea",
            "session_id": [1, 2, 2],
            "event": ["impression", "impression", "click"],
        }
    )
    assert click_through_rate(log) == 1.0
    assert click_through_rate(log, keys=["user_id", "item_id", "session_id"]) == 0.5


def test_a_click_before_the_showing_does_not_count():
    log = pd.DataFrame(
        {
            "user_id": 1,
            "item_id": "tea",
            "event": ["click", "impression"],
            "timestamp": ["2026-01-01", "2026-01-02"],
        }
    )
    assert click_through_rate(log) == 0.0
    assert click_through_rate(log.drop(columns="timestamp")) == 1.0


def test_events_may_have_names_of_their_own():
    log = pd.DataFrame({"user_id": 1, "item_id": "tea", "event": ["shown", "opened", "bought"]})
    assert click_through_rate(log, impression="shown", click="opened") == 1.0
    assert conversion_rate(log, click="opened", purchase="bought") == 1.0


@pytest.mark.parametrize(
    ("change", "keys", "message"),
    [
        ({"event": None}, ["user_id"], r"the log table lacks the columns \['event'\]; found"),
        ({}, ["session"], r"the log table lacks the columns \['session'\]; found"),
        ({}, [], "keys must name at least one column of the log"),
        (
            {"timestamp": ["2026-01-01"] * 7 + [None]},
            ["user_id"],
            "the log table has 1 rows without timestamp",
        ),
    ],
    ids=["event", "key", "no keys", "time"],
)
def test_bad_logs_are_named(change, keys, message):
    log = pd.DataFrame({name: col for name, col in {**LOG, **change}.items() if col is not None})
    with pytest.raises(DataError, match=message):
        click_through_rate(log, keys=keys)
