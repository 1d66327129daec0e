"""Event logs as bad as they come, and their neighbours."""

import math

import pandas as pd
from hypothesis import strategies as st

CATALOG = pd.DataFrame({"item_id": ["a", "b", "c", "d", "é", "紅"]})
_ITEMS = st.sampled_from([*CATALOG["item_id"], "unlisted"])
_WEIGHTS = st.sampled_from(
    [1.0, 1.0, 2.5, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 1e-300, 3.4e38, 5e-324]
)
_TIMES = st.sampled_from([0, 0, 1, 86_400])
_EVENTS = st.tuples(_ITEMS, _WEIGHTS, _TIMES)
_EVERYTHING = st.just([(item, 1.0, 0) for item in CATALOG["item_id"]])


def table(histories):
    """A table of the histories of users, by name."""
    rows = [(user, *event) for user, events in histories.items() for event in events]
    columns = ["user_id", "item_id", "weight", "timestamp"]
    frame = pd.DataFrame(rows, columns=columns).astype({"weight": float})
    frame["timestamp"] = pd.to_datetime(frame["timestamp"].astype("int64"), unit="s")
    return frame.astype({"user_id": object, "item_id": object})


def histories(min_users=1):
    """Histories of some users, and the name of one of them."""
    history = st.lists(_EVENTS, max_size=9) | _EVERYTHING
    names = st.sampled_from(["u1", "u2", "ü3", "u 4", "用户"])
    return st.dictionaries(names, history, min_size=min_users, max_size=5)
