"""Ranking metrics over the caller's ids and tables, and errors of ratings."""

import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec._ranking import METRICS
from ecomrec.evaluation import mae, per_user_metrics, ranking_metrics, rmse
from ecomrec.exceptions import DataError

TEST = {"user_id": ["a", "a", "b"], "item_id": ["tea", "mug", "tea"]}
LISTS = [["tea", "pot", "mug"], ["pot", "mug", "cup"]]

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), min_size=1, max_size=20)
lists_of_items = st.lists(
    st.lists(st.integers(0, 9), unique=True, min_size=5, max_size=5), min_size=4, max_size=4
)


def frame(rows):
    return pd.DataFrame(rows, columns=["user_id", "item_id"])


def reference_recall(lists, users, test, k):
    values = []
    for items, user in zip(lists, users, strict=True):
        relevant = set(test.item_id[test.user_id == user])
        if relevant:
            values.append(len(relevant & set(items[:k])) / len(relevant))
    return np.mean(values)


@given(lists_of_items, pairs, st.integers(1, 7))
def test_mean_recall_equals_a_loop_over_users(lists, rows, k):
    users, test = [0, 1, 2, 3], frame(rows)
    value = ranking_metrics(lists, users, test, k, metrics="recall")["recall"]
    assert value == pytest.approx(reference_recall(lists, users, test, k))


@given(lists_of_items, pairs, st.permutations(range(4)), st.randoms(use_true_random=False))
def test_order_of_users_and_test_rows_does_not_matter(lists, rows, users, random):
    shuffled = random.sample(rows, len(rows))
    straight = ranking_metrics(lists, range(4), frame(rows), 3, metrics=list(METRICS))
    mixed = ranking_metrics(
        [lists[user] for user in users], users, frame(shuffled), 3, metrics=list(METRICS)
    )
    assert mixed == pytest.approx(straight, rel=1e-12)


@given(lists_of_items, pairs, st.integers(1, 4))
def test_items_after_k_change_nothing(lists, rows, k):
    cut = [items[:k] for items in lists]
    kwargs = {"users": range(4), "test": frame(rows), "k": k, "metrics": list(METRICS)}
    assert ranking_metrics(lists, **kwargs) == ranking_metrics(cut, **kwargs)


def test_every_kind_of_table_gives_the_same(make_table):
    result = ranking_metrics(LISTS, ["a", "b"], make_table(TEST), 3, metrics=["recall", "mrr"])
    assert result == {"recall": 0.5, "mrr": 0.5}


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: {"tea": 2**40, "mug": 2, "pot": 3, "cup": 4}[name],
        lambda name: uuid.uuid5(uuid.NAMESPACE_DNS, name),
        lambda name: (name, 1),
        lambda name: name.encode(),
    ],
    ids=["int", "uuid", "tuple", "bytes"],
)
def test_every_kind_of_id_gives_the_same(rename):
    test = pd.DataFrame(
        {"user_id": ["a", "a", "b"], "item_id": [rename(i) for i in TEST["item_id"]]}
    )
    lists = [[rename(item) for item in items] for items in LISTS]
    assert ranking_metrics(lists, ["a", "b"], test, 3, metrics="recall") == {"recall": 0.5}


@pytest.mark.parametrize("rename", [lambda user: (user, 1), uuid.UUID], ids=["tuple", "uuid"])
def test_users_may_be_tuples_and_uuids(rename):
    users = [rename("12345678" * 4), rename("87654321" * 4)]
    test = pd.DataFrame({"user_id": [users[0], users[0], users[1]], "item_id": TEST["item_id"]})
    table = per_user_metrics(LISTS, users, test, 3, metrics="recall")
    assert table["recall"].tolist() == [1.0, 0.0]
    assert table.index.tolist() == users


def test_integer_ids_match_across_widths():
    test = pd.DataFrame({"user_id": np.int32([1]), "item_id": np.uint64([7])})
    lists = np.array([[7, 8]], dtype=np.int64)
    assert ranking_metrics(lists, np.int64([1]), test, 2, metrics="mrr") == {"mrr": 1.0}


def test_text_does_not_match_a_number():
    test = pd.DataFrame({"user_id": [1], "item_id": [7]})
    assert ranking_metrics([["7"]], [1], test, 1, metrics="mrr") == {"mrr": 0.0}


def test_users_without_test_items_are_left_out_of_the_mean():
    table = per_user_metrics([*LISTS, ["tea"]], ["a", "b", "new"], pd.DataFrame(TEST), 3)
    assert table.loc["new"].isna().all()
    assert ranking_metrics([*LISTS, ["tea"]], ["a", "b", "new"], pd.DataFrame(TEST), 3) == (
        ranking_metrics(LISTS, ["a", "b"], pd.DataFrame(TEST), 3)
    )


def test_nobody_with_test_items_gives_nan():
    assert np.isnan(ranking_metrics([["tea"]], ["new"], pd.DataFrame(TEST), 1)["ndcg"])


def test_an_empty_test_table_gives_nan():
    empty = pd.DataFrame({"user_id": [], "item_id": []}, dtype=object)
    assert np.isnan(ranking_metrics([["tea"]], ["a"], empty, 1)["recall"])


def test_test_users_without_a_list_do_not_count():
    assert ranking_metrics([["tea"]], ["b"], pd.DataFrame(TEST), 1, metrics="recall") == {
        "recall": 1.0
    }


def test_returned_orders_are_no_test_items():
    test = pd.DataFrame(
        {
            "user_id": ["a", "a", "a", "a"],
            "item_id": ["tea", "tea", "mug", "pot"],
            "weight": [5.0, -5.0, 3.0, 0.0],
        }
    )
    table = ranking_metrics([["tea", "pot", "mug"]], ["a"], test, 3, metrics=["recall", "mrr"])
    assert table == {"recall": 1.0, "mrr": pytest.approx(1 / 3)}


@given(st.permutations([0.1, 0.2, 0.7, -0.3, -0.6, -0.1]))
def test_whether_weights_cancel_does_not_depend_on_row_order(weights):
    test = pd.DataFrame({"user_id": 1, "item_id": 1, "weight": weights})
    in_order = test.sort_values("weight")
    one, other = (
        per_user_metrics([[1]], [1], t, 1).isna().all(axis=None) for t in (test, in_order)
    )
    assert one == other


def test_a_pair_bought_twice_is_one_test_item():
    test = pd.DataFrame({"user_id": ["a", "a", "a"], "item_id": ["tea", "tea", "mug"]})
    assert ranking_metrics([["tea"]], ["a"], test, 1, metrics="recall") == {"recall": 0.5}


def test_an_item_listed_twice_counts_once_at_its_first_place():
    test = pd.DataFrame({"user_id": ["a", "a"], "item_id": ["tea", "mug"]})
    result = ranking_metrics([["tea", "tea"]], ["a"], test, 2, metrics=["precision", "mrr"])
    assert result == {"precision": 0.5, "mrr": 1.0}


@pytest.mark.parametrize(
    "lists",
    [[["tea"]], [["tea", None, None]], np.array([["tea", None, None]], dtype=object)],
    ids=["short", "none", "array"],
)
def test_empty_places_are_misses_and_divide_precision(lists):
    result = ranking_metrics(lists, ["b"], pd.DataFrame(TEST), 3, metrics="precision")
    assert result == {"precision": pytest.approx(1 / 3)}


def test_minus_one_fills_integer_lists():
    test = pd.DataFrame({"user_id": [1], "item_id": [5]})
    assert ranking_metrics(np.array([[5, -1]]), [1], test, 2, metrics="precision") == {
        "precision": 0.5
    }


def test_seen_pairs_are_no_test_items():
    seen = pd.DataFrame({"user_id": ["a", "zoe"], "item_id": ["mug", "tea"]})
    result = ranking_metrics([["tea"]], ["a"], pd.DataFrame(TEST), 1, metrics="recall", seen=seen)
    assert result == {"recall": 1.0}


def test_seen_items_that_nobody_tests_leave_the_others_alone():
    seen = pd.DataFrame({"user_id": ["b"], "item_id": ["new"]})
    result = ranking_metrics(
        [["tea"], []], ["a", "b"], pd.DataFrame(TEST), 1, metrics="hit_rate", seen=seen
    )
    assert result == {"hit_rate": 0.5}


def test_recommendations_can_be_handed_over_as_they_are():
    class Recommendations:
        def __iter__(self):
            return iter((np.array(LISTS, dtype=object), np.zeros((2, 3))))

        def to_frame(self):
            raise AssertionError

    result = ranking_metrics(
        Recommendations(), ["a", "b"], pd.DataFrame(TEST), 3, metrics="recall"
    )
    assert result == {"recall": 0.5}


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None, "3"])
def test_a_bad_k_is_named(k):
    with pytest.raises(ValueError, match=f"k must be a positive integer; got {k!r}"):
        ranking_metrics(LISTS, ["a", "b"], pd.DataFrame(TEST), k)


@pytest.mark.parametrize("metrics", ["auc", ["ndcg", "auc"], []], ids=["name", "list", "none"])
def test_an_unknown_metric_is_named_with_the_known_ones(metrics):
    with pytest.raises(ValueError, match=r"metrics must be among \['hit_rate', .*; got \[.*\]"):
        ranking_metrics(LISTS, ["a", "b"], pd.DataFrame(TEST), metrics=metrics)


@pytest.mark.parametrize(
    ("lists", "users", "test", "message"),
    [
        (LISTS, ["a"], TEST, "one list per user; got 2 lists and 1 users"),
        (LISTS, ["a", "a"], TEST, "users must be distinct; 'a' is there more than once"),
        (LISTS, "ab", TEST, "users must be a list of ids; got the single id 'ab'"),
        (["tea", "mug"], ["a", "b"], TEST, "each list of items must be a list of ids; got the si"),
        (
            np.array(["tea"]),
            ["a"],
            TEST,
            r"one list of ids per user.*got an array of shape \(1,\)",
        ),
        (LISTS, [["a"], ["b"]], TEST, "users holds list values; ids are str, int"),
        (
            LISTS,
            ["a", "b"],
            {"user_id": ["a"], "sku": ["x"]},
            r"the test table lacks the columns \['item_id'\]; found",
        ),
        (
            LISTS,
            ["a", "b"],
            {"user_id": ["a"], "item_id": [None]},
            "missing values among its 1: 1 without item_id",
        ),
        (
            LISTS,
            ["a", "b"],
            {**TEST, "weight": [1, None, 2]},
            "missing values among its 3: 1 without weight",
        ),
    ],
    ids=[
        "lengths",
        "twice",
        "str",
        "flat",
        "1d",
        "2d users",
        "column",
        "missing id",
        "missing weight",
    ],
)
def test_bad_input_is_named(lists, users, test, message):
    with pytest.raises(DataError, match=message):
        ranking_metrics(lists, users, pd.DataFrame(test), 3)


def test_a_test_that_is_no_table_is_named():
    with pytest.raises(
        DataError, match=r"the test table must be a pandas, Polars or Arrow table.*got list"
    ):
        ranking_metrics(LISTS, ["a", "b"], [("a", "tea")], 3)


ratings = st.lists(st.tuples(st.integers(0, 2), st.floats(1, 5), st.floats(1, 5)), min_size=1)


@given(ratings)
def test_rating_errors_equal_a_loop(rows):
    users, truth, predicted = map(list, zip(*rows, strict=True))
    errors = [p - t for _, t, p in rows]
    assert rmse(truth, predicted) == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert mae(truth, predicted) == pytest.approx(np.mean(np.abs(errors)))
    groups = [[p - t for u, t, p in rows if u == user] for user in set(users)]
    assert rmse(truth, predicted, users=users) == pytest.approx(
        np.mean([np.sqrt(np.mean(np.square(group))) for group in groups])
    )
    assert mae(truth, predicted, users=users) == pytest.approx(
        np.mean([np.mean(np.abs(group)) for group in groups])
    )


def test_perfect_predictions_have_no_error():
    assert rmse([1.0, 5.0], [1, 5]) == 0.0
    assert mae([1.0, 5.0], [1, 5]) == 0.0


@pytest.mark.parametrize("error_of", [rmse, mae])
@pytest.mark.parametrize(
    ("truth", "predicted", "users", "message"),
    [
        ([1.0], [1.0, 2.0], None, r"equally long lists .* got shapes \(1,\) and \(2,\)"),
        ([], [], None, "at least one rating"),
        ([1.0], [np.nan], None, "y_pred has 1 missing values. Ranking models answer NaN"),
        ([np.nan], [1.0], None, "y_true has 1 missing values"),
        ([1.0, 2.0], [1.0, 2.0], ["a"], "got 1 users for 2 ratings"),
    ],
    ids=["lengths", "empty", "nan prediction", "nan rating", "users"],
)
def test_bad_ratings_are_named(error_of, truth, predicted, users, message):
    with pytest.raises(ValueError, match=message):
        error_of(truth, predicted, users=users)
