"""What friends did."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ecomrec
from ecomrec.coldstart import Friends, friend_lists
from ecomrec.exceptions import DataError, UnknownIdError

EVENTS = pd.DataFrame(
    {
        "user_id": ["bob", "cat", "cat", "dan", "dan"],
        "item_id": ["tea", "tea", "mug", "pot", "mug"],
        "weight": [1.0, 2.0, 1.0, 1.0, -1.0],
    }
)


def circle(**lists):
    return pd.DataFrame({"user_id": list(lists), "friends": pd.Series(list(lists.values()))})


def answer(model, *users, **options):
    recs = model.recommend(list(users), k=4, **options)
    return [
        [(item, float(score)) for item, score in zip(*row, strict=True) if score > 0]
        for row in zip(recs.items.tolist(), recs.scores.tolist(), strict=True)
    ]


def test_score_is_what_friends_did():
    model = Friends().fit(EVENTS, users=circle(ann=["bob", "cat"], bob=["dan"], eve=[]))
    assert answer(model, "ann", "bob", "eve") == [
        [("tea", 3.0), ("mug", 1.0)],
        [("pot", 1.0)],
        [],
    ]


def test_friends_count_by_their_weight():
    model = Friends().fit(EVENTS, users=circle(ann={"bob": 0.5, "cat": 2.0, "dan": 0}))
    assert answer(model, "ann") == [[("tea", 4.5), ("mug", 2.0)]]


def test_nobody_is_their_own_friend_and_none_counts_twice():
    model = Friends().fit(EVENTS, users=circle(bob=["bob", "cat", "cat"]))
    assert answer(model, "bob", exclude_seen=False) == [[("tea", 2.0), ("mug", 1.0)]]


def test_unknown_friends_count_from_the_day_they_come():
    model = Friends().fit(EVENTS, users=circle(ann=["zoe", "bob"]))
    assert answer(model, "ann") == [[("tea", 1.0)]]
    later = pd.DataFrame({"user_id": ["zoe"], "item_id": ["cup"], "weight": [3.0]})
    assert answer(model.partial_fit(later), "ann") == [[("cup", 3.0), ("tea", 1.0)]]


def test_a_new_list_replaces_the_former_one_and_an_empty_cell_does_not():
    model = Friends().fit(EVENTS, users=circle(ann=["bob"], eve=["dan"]))
    model.partial_fit(EVENTS.iloc[:0], users=circle(ann=["dan"], eve=None))
    assert answer(model, "ann", "eve") == [[("pot", 1.0)], [("pot", 1.0)]]
    model.partial_fit(EVENTS.iloc[:0], users=pd.DataFrame({"user_id": ["ann"], "age": [3]}))
    assert answer(model, "ann") == [[("pot", 1.0)]]


def test_forgotten_friend_is_in_no_list(tmp_path):
    model = Friends().fit(EVENTS, users=circle(ann=["bob", "cat", "zoe"], eve=["bob"]))
    model.forget(users=["bob"])
    assert answer(model, "ann", "eve") == [[("tea", 2.0), ("mug", 1.0)], []]
    model.save(tmp_path / "friends.ecomrec")
    assert b"bob" not in (tmp_path / "friends.ecomrec").read_bytes()
    again = ecomrec.load(tmp_path / "friends.ecomrec").partial_fit(EVENTS)
    assert answer(again, "eve") == [[]]


def test_whom_only_the_forgotten_named_is_forgotten_too(tmp_path):
    model = Friends().fit(EVENTS, users=circle(ann=["zoe"], eve=["bob"]))
    model.forget(users=["ann"]).save(tmp_path / "friends.ecomrec")
    assert b"zoe" not in (tmp_path / "friends.ecomrec").read_bytes()


def test_refresh_forgets_whom_no_list_names_any_more(tmp_path):
    model = Friends().fit(EVENTS, users=circle(ann=["zoe", "bob"]))
    model.partial_fit(EVENTS.iloc[:0], users=circle(ann=["cat"])).refresh()
    model.save(tmp_path / "friends.ecomrec")
    assert b"zoe" not in (tmp_path / "friends.ecomrec").read_bytes()
    assert answer(model, "ann") == [[("tea", 2.0), ("mug", 1.0)]]


def test_explanation_names_the_friends():
    model = Friends().fit(EVENTS, users=circle(ann={"bob": 1, "cat": 2}))
    table = model.explain("ann", "tea")
    assert table["reason"].tolist() == ["cat", "bob"]
    assert set(table["kind"]) == {"friend"}
    assert table["contribution"].tolist() == [4.0, 1.0]


def test_friends_of_a_stranger_may_be_given_with_the_request():
    model = Friends().fit(EVENTS, users=circle(ann=["bob"]))
    recs = model.recommend(friends=[["cat", "nobody"], {"dan": 2}, []], k=2)
    assert recs.items.tolist() == [["tea", "mug"], ["pot", "tea"], ["tea", "mug"]]
    assert recs.scores.tolist() == [[2, 1], [2, 0], [0, 0]]
    own = model.recommend(["ann"], friends=[["dan"]], k=1, exclude=["cup"])
    assert own.items.tolist() == [["pot"]]
    seen = model.recommend(history=[["tea"]], friends=[["cat"]], k=1)
    assert seen.items.tolist() == [["mug"]]


@pytest.mark.parametrize(
    ("friends", "message"),
    [
        ("bob", "friends must be a list of ids"),
        (["bob"], r"friends\[0\] must be a list of user ids, or a dict"),
        ([[1, 2]], "friends are int ids, and user_id is str"),
        ([["bob"], []], "friends has 2 rows for 1 visitors"),
    ],
)
def test_request_that_makes_no_sense_is_refused(friends, message):
    model = Friends().fit(EVENTS, users=circle(ann=["bob"]))
    with pytest.raises(DataError, match=message):
        model.recommend(["ann"], friends=friends)
    with pytest.raises(ValueError, match="unknown must be"):
        model.recommend(["ann"], friends=[[]], unknown="ignore")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("bob", "friends of user 'ann' must be a list of user ids.*got 'bob'"),
        (7.5, "must be a list of user ids.*got 7.5"),
        ({"bob": -1.0}, "'bob' counts for -1.0; weights are finite numbers of at least 0"),
        ({"bob": float("nan")}, "'bob' counts for nan"),
        ({"bob": True}, "'bob' counts for True"),
        ([3, 4], "friends are int ids, and user_id is str"),
        ([None], "friends holds NoneType values"),
    ],
)
def test_list_that_is_none_is_refused(cell, message):
    with pytest.raises(DataError, match=message):
        Friends().fit(EVENTS, users=circle(ann=cell))


def test_events_without_a_graph_are_refused():
    with pytest.raises(
        DataError, match=r"pass a users table with user_id and friends.*users=None"
    ):
        Friends().fit(EVENTS)
    with pytest.raises(DataError, match=r"got the columns .*age"):
        Friends().fit(EVENTS, users=pd.DataFrame({"user_id": ["ann"], "age": [3]}))
    with pytest.warns(UserWarning, match="Without it everybody gets what sells"):
        Friends().fit(np.eye(3))


def test_polars_lists_are_read():
    users = pl.DataFrame({"user_id": ["ann", "eve"], "friends": [["bob", "cat"], None]})
    model = Friends().fit(pl.from_pandas(EVENTS), users=users)
    assert answer(model, "ann", "eve") == [[("tea", 3.0), ("mug", 1.0)], []]


@given(
    st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 9), max_size=5), min_size=1),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=20),
    st.integers(0, 7),
)
def test_score_equals_plain_counting(graph, pairs, asked):
    events = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    users = pd.DataFrame({"user_id": list(graph), "friends": pd.Series(list(graph.values()))})
    model = Friends().fit(events, users=users)
    expected = {}
    for friend in set(graph.get(asked, [])) - {asked}:
        for user, item in pairs:
            if user == friend:
                expected[item] = expected.get(item, 0.0) + 1
    try:
        found = dict(answer(model, asked, exclude_seen=False)[0])
    except UnknownIdError:
        assert asked not in graph
        return
    best = sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
    assert found == dict(best)


# ---------------------------------------------------------------------- pairs


def test_pairs_become_lists_both_ways():
    pairs = pd.DataFrame({"user_id": [1, 1, 2], "friend_id": [2, 3, 1], "weight": [1.0, 0.5, 4.0]})
    both = friend_lists(pairs).set_index("user_id")["friends"].to_dict()
    assert both == {1: {2: 4.0, 3: 0.5}, 2: {1: 4.0}, 3: {1: 0.5}}
    one = friend_lists(pairs, both_ways=False).set_index("user_id")["friends"].to_dict()
    assert one == {1: {2: 1.0, 3: 0.5}, 2: {1: 4.0}}
    floats = friend_lists(pairs.astype({"user_id": float, "friend_id": np.float32}))
    assert repr(floats["friends"][2]) == "{1: 0.5}"


def test_lists_join_a_users_table():
    users = pd.DataFrame({"user_id": ["ann", "eve"], "country": ["de", "fr"]})
    pairs = pl.DataFrame({"user_id": ["ann"], "friend_id": ["bob"]})
    table = friend_lists(pairs, users=users)
    assert table["user_id"].tolist() == ["ann", "eve", "bob"]
    assert table["country"].tolist()[:2] == ["de", "fr"]
    assert table["friends"].tolist() == [{"bob": 1.0}, {}, {"ann": 1.0}]
    assert answer(Friends().fit(EVENTS, users=table), "ann") == [[("tea", 1.0)]]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"user_id": [1], "friend": [2]}, "the table of friends lacks the columns"),
        ({"user_id": [1], "friend_id": [None]}, "rows without an id or a weight"),
        ({"user_id": [1], "friend_id": [2], "weight": [-3.0]}, "counts for -3.0"),
        ({"user_id": [1, "x"], "friend_id": [2, 3]}, r"user_id mixes types of ids: int \(1\)"),
        ({"user_id": [1, 2], "friend_id": ["x", 3]}, "friend_id mixes types of ids"),
        ({"user_id": [1], "friend_id": ["x"]}, "friend_id holds str ids, and user_id int"),
        ({"user_id": [1.5], "friend_id": [2]}, "user_id holds fractions such as 1.5"),
        ({"user_id": [[1]], "friend_id": [[2]]}, "user_id holds list values"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(pairs, message):
    with pytest.raises(DataError, match=message):
        friend_lists(pd.DataFrame(pairs))
