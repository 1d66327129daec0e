import datetime
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ecomrec.data import Interactions
from ecomrec.data.ids import IdMap
from ecomrec.data.tables import (
    is_table,
    read_attribute,
    read_available,
    read_events,
    read_ids,
    read_pairs,
    require_columns,
    to_frame,
)
from ecomrec.exceptions import DataError

KINDS: dict[str, Any] = {
    "pandas": pd.DataFrame,
    "nullable pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}
NAN = float("nan")


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def events(make, **columns):
    return make({"user_id": ["a", "b", "c"], "item_id": [7, 8, 7]} | columns)


# What is read


def test_columns_are_read_by_name_whatever_their_order(make):
    table = make(
        {"note": ["?"], "timestamp": [5], "item_id": [7], "weight": [2], "user_id": ["a"]}
    )
    found = read_events(table)
    assert list(found.users) == ["a"]
    assert list(found.items) == [7]
    assert found.times is not None
    assert found.times.tolist() == [5 * 10**9]
    assert found.values is not None
    assert found.values.tolist() == [2.0]
    assert found.values.dtype == np.float64


def test_a_table_may_hold_ids_only(make):
    found = read_events(events(make))
    assert (found.values, found.times, found.value_name) == (None, None, "weight")


@pytest.mark.parametrize(
    ("values", "columns", "name", "expected"),
    [
        ("weight", {"weight": [1, 2, 3]}, "weight", [1, 2, 3]),
        ("weight", {"rating": [4, 5, 3]}, "rating", [4, 5, 3]),
        ("rating", {"weight": [1, 2, 3]}, "weight", [1, 2, 3]),
        ("weight", {"weight": [1, 2, 3], "rating": [4, 5, 3]}, "weight", [1, 2, 3]),
        ("rating", {"weight": [1, 2, 3], "rating": [4, 5, 3]}, "rating", [4, 5, 3]),
    ],
    ids=["weight", "only rating", "only weight", "both, weight", "both, rating"],
)
def test_the_wanted_column_is_looked_for_first(make, values, columns, name, expected):
    found = read_events(events(make, **columns), values=values)
    assert found.value_name == name
    assert found.values is not None
    assert found.values.tolist() == expected


@pytest.mark.parametrize("values", ["weight", "rating"])
@pytest.mark.parametrize(
    "wrap", [list, np.array, pd.Series, pl.Series], ids=["list", "array", "pandas", "polars"]
)
def test_y_wins_over_the_columns(make, values, wrap):
    found = read_events(events(make, weight=[9, 9, 9]), wrap([1, 2, 3]), values=values)
    assert found.value_name == values
    assert found.values is not None
    assert found.values.tolist() == [1, 2, 3]


def test_y_is_taken_by_position_not_by_index():
    y = pd.Series([1, 2, 3], index=[2, 1, 0])
    found = read_events(events(pd.DataFrame).set_index(pd.Index([5, 5, 1])), y)
    assert found.values is not None
    assert found.values.tolist() == [1, 2, 3]


def test_long_and_odd_text_ids_of_polars_stay_as_they_are():
    ids = ["a\0", "a", "b" * 3000]
    found = read_events(pl.DataFrame({"user_id": ids, "item_id": ids}))
    assert list(found.users) == ids
    # Text of fixed width would take 4 bytes for each character of the longest id, in every row.
    assert np.asarray(found.users).dtype == object


def test_ids_in_the_index_are_told():
    with pytest.raises(DataError, match=r"lacks the columns \['user_id'\].*call reset_index"):
        read_events(events(pd.DataFrame).set_index("user_id"))


# Missing values


MISSING: dict[str, list[Any]] = {
    "user_id": ["a", None, None],
    "item_id": [7, 8, None],
    "weight": [None, 1, 2],
    "timestamp": [1, None, 3],
}


def test_missing_values_are_refused_with_a_count_of_each_column(make):
    with pytest.raises(DataError) as error:
        read_events(make(MISSING))
    assert str(error.value).startswith(
        "the event table has rows with missing values among its 3: 2 without user_id, 1 without "
        "item_id, 1 without timestamp, 1 without weight. Drop or fill them first"
    )
    assert "missing='drop'" in str(error.value)


@pytest.mark.parametrize("name", MISSING)
def test_rows_without_any_one_value_can_be_dropped(make, name):
    full = {
        "user_id": ["a", "b", "c"],
        "item_id": [7, 8, 9],
        "weight": [3, 1, 2],
        "timestamp": [1, 2, 3],
    }
    keep = [value is not None for value in MISSING[name]]
    found = read_events(make(full | {name: MISSING[name]}), missing="drop")
    expected = {
        k: [v for v, kept in zip(column, keep, strict=True) if kept] for k, column in full.items()
    }
    expected[name] = [value for value in MISSING[name] if value is not None]
    assert list(found.users) == expected["user_id"]
    assert list(found.items) == expected["item_id"]
    assert found.values is not None
    assert found.values.tolist() == expected["weight"]
    assert found.times is not None
    assert found.times.tolist() == [t * 10**9 for t in expected["timestamp"]]


@pytest.mark.parametrize("name", ["user_id", "item_id", "weight", "timestamp"])
@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_nan_in_a_column_of_floats_is_missing(kind, name):
    full = {
        "user_id": [4.0, 5.0],
        "item_id": [7.0, 8.0],
        "weight": [1.0, 2.0],
        "timestamp": [1.0, 2.0],
    }
    table = KINDS[kind](full | {name: [1.0, NAN]})
    with pytest.raises(DataError, match=f"among its 2: 1 without {name}"):
        read_events(table)
    found = read_events(table, missing="drop")
    assert len(found.users) == len(found.items) == 1


def test_a_missing_y_is_refused_or_dropped(make):
    with pytest.raises(DataError, match="among its 3: 1 without rating"):
        read_events(events(make), [1, NAN, 3], values="rating")
    found = read_events(events(make), [1, NAN, 3], missing="drop")
    assert list(found.users) == ["a", "c"]


def test_other_answers_to_missing_values_are_refused():
    with pytest.raises(ValueError, match="missing must be 'raise' or 'drop'; got 'fill'"):
        read_events(events(pd.DataFrame), missing="fill")


# Hostile tables


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            ["user", "item"],
            "the event table lacks the columns ['user_id', 'item_id']; found ['user', 'item']. "
            "Perhaps rename 'user' to 'user_id' and rename 'item' to 'item_id'.",
        ),
        (
            ["user_id", "StockCode"],
            "the event table lacks the columns ['item_id']; found ['user_id', 'StockCode']. Perhaps "
            "rename 'StockCode' to 'item_id'.",
        ),
        (
            ["user_id", "x"],
            "the event table lacks the columns ['item_id']; found ['user_id', 'x'].",
        ),
        (["USER_ID", "item_id"], "Perhaps rename 'USER_ID' to 'user_id'."),
    ],
    ids=["both", "item", "no idea", "case"],
)
def test_missing_columns_are_named_with_what_is_there(make, columns, words):
    with pytest.raises(DataError, match=re.escape(words)):
        read_events(make({name: [1] for name in columns}))


def test_columns_without_names_are_named_by_number():
    with pytest.raises(DataError, match=r"lacks the columns .*; found \['0', '1'\]"):
        read_events(pd.DataFrame([[1, 2]]))


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame([[1, 2, 3]], columns=["user_id", "item_id", "item_id"]),
        pa.table([[1], [2], [3]], names=["user_id", "item_id", "item_id"]),
    ],
    ids=["pandas", "arrow"],
)
def test_columns_that_occur_twice_are_named(table):
    with pytest.raises(
        DataError, match=r"has the columns \['item_id'\] twice. Rename or drop one"
    ):
        read_events(table)


@pytest.mark.parametrize(
    ("table", "name"),
    [({"user_id": [1]}, "dict"), (None, "NoneType"), ([(1, 2)], "list"), ("events.csv", "str")],
    ids=["dict", "nothing", "list", "path"],
)
def test_what_is_no_table_is_refused_by_type(table, name):
    with pytest.raises(DataError, match=f"the event table must be a pandas, .*; got {name}"):
        read_events(table)


def test_a_lazy_table_is_refused():
    with pytest.raises(DataError, match=r"must be a pandas, Polars or Arrow table.*got LazyFrame"):
        read_events(events(pl.DataFrame).lazy())


@pytest.mark.parametrize("name", ["weight", "rating"])
def test_infinite_values_are_counted(make, name):
    column = {name: [1.0, np.inf, -np.inf]}
    with pytest.raises(DataError, match=f"{name} has 2 infinite values. Drop or cap them"):
        read_events(events(make, **column))


@pytest.mark.parametrize(
    "column",
    [
        ["1", "two", "3"],
        [[1], [2], [3]],
        [datetime.datetime(2020, 1, 1)] * 3,
        [1j, 2j, 3j],
        [1, 10**400, 3],
    ],
    ids=["text", "lists", "dates", "complex", "huge"],
)
def test_weights_that_are_no_numbers_are_refused(column):
    table = pd.DataFrame({"user_id": [1] * 3, "item_id": [1] * 3, "weight": column})
    with pytest.raises(DataError, match="weight must hold numbers"):
        read_events(table)


@pytest.mark.parametrize("as_y", [False, True])
def test_what_one_row_holds_need_not_be_readable_when_asked(as_y):
    odd = pd.DataFrame(
        {
            "user_id": range(9),
            "item_id": range(9),
            "weight": pd.Series(
                [1, 10**400, "2.5", None, "?", [3], 1e300, pd.NA, 4], dtype=object
            ),
        }
    )
    y = odd.pop("weight").tolist() if as_y else None
    found = read_events(odd, y, missing="drop unusable")
    assert found.values is not None
    assert found.values.tolist() == [1.0, 2.5, 4.0]
    assert list(found.users) == [0, 2, 8]
    with pytest.raises(DataError, match="must hold numbers; got none"):
        read_events(odd.assign(weight="?"), missing="drop unusable")


def test_times_that_cannot_be_read_are_missing_when_asked(make):
    table = events(make, timestamp=[5.0, 1e12, float("inf")], weight=[1.0, 2.0, 3.0])
    found = read_events(table, missing="drop unusable")
    assert (list(found.users), list(found.items)) == (["a"], [7])
    assert found.times is not None
    assert found.times.tolist() == [5 * 10**9]


def test_integers_of_16_bytes_are_ids_where_they_fit():
    table = pl.DataFrame({"user_id": pl.Series([2, 1], dtype=pl.Int128), "item_id": [1, 1]})
    assert Interactions.from_table(table).user_ids.tolist() == [1, 2]
    beyond = table.with_columns(user_id=pl.Series([2**70, 1], dtype=pl.Int128))
    with pytest.raises(DataError, match=r"user_id holds integers beyond 2\*\*63 - 1"):
        Interactions.from_table(beyond)


def test_text_weights_are_refused_from_any_table(make):
    with pytest.raises(DataError, match="weight must hold numbers"):
        read_events(events(make, weight=["1", "two", "3"]))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1, 2], "y has 2 values for 3 rows"),
        (5, r"y must be one-dimensional; got shape \(\)"),
        ([[1], [2], [3]], r"y must be one-dimensional; got shape \(3, 1\)"),
        (["a", "b", "c"], "y must hold numbers"),
        ([1, np.inf, 2], "weight has 1 infinite values"),
    ],
    ids=["short", "number", "column", "text", "infinite"],
)
def test_an_unusable_y_is_refused(y, words):
    with pytest.raises(DataError, match=words):
        read_events(events(pd.DataFrame), y)


def test_the_table_is_called_what_the_caller_calls_it():
    with pytest.raises(DataError, match=r"^the history lacks the columns"):
        read_events(pd.DataFrame({"user_id": [1]}), what="the history")


def test_present_columns_pass():
    require_columns(to_frame(events(pd.DataFrame), "x"), ["user_id", "item_id"], "x")


# Side tables


def test_ids_of_a_side_table_are_read(make):
    _, ids = read_ids(make({"item_id": [3, 1], "price": [1.0, 2.0]}), "item_id", "the items table")
    assert np.asarray(ids).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["a", None], "the items table has 1 rows without item_id. Drop them first"),
        (
            ["a", "b", "a"],
            "the items table has more than one row for item_id 'a'. Keep one of each",
        ),
        ([3, 4, 3], "the items table has more than one row for item_id 3. Keep one of each"),
    ],
    ids=["missing", "twice", "integer twice"],
)
def test_side_tables_need_each_id_once(make, ids, words):
    with pytest.raises(DataError, match=words):
        read_ids(make({"item_id": ids}), "item_id", "the items table")


def test_side_tables_need_their_id_column(make):
    with pytest.raises(DataError, match=r"the users table lacks the columns \['user_id'\]"):
        read_ids(make({"item_id": [1]}), "user_id", "the users table")


def ids_of(*values):
    return IdMap(np.array(values, dtype=object), "str")


def test_availability_is_read_by_item(make):
    table = make({"item_id": ["b", "a", "x"], "available": [False, True, False]})
    found = read_available(table, ids_of("a", "b", "x", "new"), None)
    assert found is not None
    assert found.tolist() == [True, False, False, True]


def test_the_availability_of_an_item_elsewhere_is_no_other_item_s(make):
    table = make({"item_id": ["zzz", "b"], "available": [False, True]})
    found = read_available(table, ids_of("a", "b", "c"), None)
    assert found is not None
    assert found.tolist() == [True, True, True]


def test_items_that_a_later_table_does_not_list_keep_their_availability(make):
    table = make({"item_id": ["c"], "available": [False]})
    found = read_available(table, ids_of("a", "b", "c", "d"), np.array([False, True]))
    assert found is not None
    assert found.tolist() == [False, True, False, True]


def test_without_a_word_about_it_everything_is_available(make):
    assert read_available(None, ids_of("a"), None) is None
    assert read_available(make({"item_id": ["a"]}), ids_of("a"), None) is None
    kept = read_available(make({"item_id": ["a"]}), ids_of("a", "b"), np.array([False]))
    assert kept is not None
    assert kept.tolist() == [False, True]


@pytest.mark.parametrize("flags", [[True, None], ["yes", "no"], [1, 2]], ids=repr)
def test_other_words_for_availability_are_refused(make, flags):
    table = make({"item_id": ["a", "b"], "available": flags})
    with pytest.raises(DataError, match="items table must hold True or False in its available"):
        read_available(table, ids_of("a", "b"), None)


def test_attributes_are_read_by_row(make):
    table = make({"user_id": ["b", "x", "a"], "country": ["DE", "FR", None]})
    found = read_attribute(table, "user_id", "country", ids_of("a", "b", "c"))
    assert found.tolist() == [None, "DE", None]


def test_a_missing_attribute_is_named(make):
    with pytest.raises(DataError, match=r"the users table lacks the columns \['country'\]"):
        read_attribute(make({"user_id": ["a"]}), "user_id", "country", ids_of("a"))


# Pairs


@pytest.mark.parametrize("form", ["table", "list", "lists", "array", "iterator"])
def test_pairs_are_read_from_any_form(make, form):
    pairs = {
        "table": make({"item_id": [7, 8], "user_id": [1, 2]}),
        "list": [(1, 7), (2, 8)],
        "lists": [[1, 7], [2, 8]],
        "array": np.array([[1, 7], [2, 8]]),
        "iterator": zip([1, 2], [7, 8], strict=True),
    }[form]
    users, items = read_pairs(pairs)
    assert list(users) == [1, 2]
    assert list(items) == [7, 8]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (np.ones((2, 3)), r"pairs must have shape \(n, 2\); got \(2, 3\)"),
        (np.ones(2), r"pairs must have shape \(n, 2\); got \(2,\)"),
        ([(1, 2), (1,)], r"pairs must be a table or a list of \(user_id, item_id\) pairs"),
        ([1, 2], r"pairs must be a table or a list of \(user_id, item_id\) pairs"),
        (["ab"], r"pairs must be a table or a list of \(user_id, item_id\) pairs"),
        (pd.DataFrame({"user_id": [1]}), "the table of pairs lacks the columns"),
    ],
    ids=["three columns", "flat", "short", "ids", "text", "table"],
)
def test_what_is_no_list_of_pairs_is_refused(pairs, words):
    with pytest.raises(DataError, match=words):
        read_pairs(pairs)


def test_tables_and_matrices_are_told_apart(make):
    assert is_table(events(make))
    assert not is_table(np.eye(2))
    assert not is_table(Interactions.from_matrix(np.eye(2)).to_scipy())
