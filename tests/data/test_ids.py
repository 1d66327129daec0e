import pickle
import uuid
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from ecomrec.data.ids import IdMap, check_ids, encode_ids, encode_usable_ids, id_list, merge_ids
from ecomrec.exceptions import DataError

INTEGERS = st.integers(-(2**63), 2**63 - 1).filter(lambda i: i != -1)
KINDS: dict[str, Any] = {
    "int": INTEGERS,
    "str": st.text(max_size=4),
    "bytes": st.binary(max_size=4),
    "uuid": st.uuids(),
    "tuple": st.tuples(st.text(max_size=2), st.integers(0, 3) | st.just(2**70)),
}
FOREIGN = (
    "stranger",
    10**30,
    b"stranger",
    1.5,
    None,
    float("nan"),
    ("stranger", 1),
    [1],
    object(),
)


def column(values, kind):
    """A pandas column holding these very objects."""
    if kind == "int":
        return pd.Series(np.array(values, dtype=np.int64))
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return pd.Series(cells, dtype=object)


def id_map(values, kind):
    return IdMap(column(values, kind).to_numpy(), kind)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_ids_are_numbered_in_sorted_order_and_come_back_as_they_were(kind, data):
    values = data.draw(st.lists(KINDS[kind]))
    codes, ids, found = encode_ids(column(values, kind), "user_id")
    assert ids.tolist() == sorted(set(values))
    assert [ids.tolist()[code] for code in codes] == values
    assert {type(i) for i in ids.tolist()} == {type(i) for i in values}
    assert codes.dtype == np.int32
    assert not values or found == kind


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_known_ids_have_a_row_and_all_others_none(kind, data):
    values = data.draw(st.lists(KINDS[kind], unique=True))
    ids = id_map(values, kind)
    strangers = data.draw(st.lists(KINDS[kind] | st.sampled_from(FOREIGN)))
    strangers = [i for i in strangers if i not in values]
    asked = data.draw(st.permutations([*values, *strangers]))
    expected = [values.index(i) if i in values else -1 for i in asked]
    assert ids.rows(asked).tolist() == expected
    assert ids.rows(asked).dtype == np.int64


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_later_ids_are_numbered_behind_and_earlier_maps_never_see_them(kind, data):
    values = data.draw(st.lists(KINDS[kind], unique=True, max_size=12))
    cuts = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 3)))
    first, second, third, other = (
        values[a:b] for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True)
    )
    old = id_map(first, kind)
    if data.draw(st.booleans()):
        old.rows(first)
    new = old.extend(id_map(second, kind).ids)
    newest = new.extend(id_map(third, kind).ids)
    sibling = old.extend(id_map(other, kind).ids)
    for found, known in (
        (old, first),
        (new, first + second),
        (newest, first + second + third),
        (sibling, first + other),
        (pickle.loads(pickle.dumps(old)), first),
    ):
        assert found.ids.tolist() == known
        expected = [known.index(i) if i in known else -1 for i in values]
        assert found.rows(values).tolist() == expected


@pytest.mark.parametrize(("kind", "nothing"), [("int", -1), ("str", None), ("uuid", None)])
def test_rows_without_an_id_give_the_filler(kind, nothing):
    made: dict[str, list[Any]] = {
        "int": [7, 3],
        "str": ["b", "a"],
        "uuid": [uuid.UUID(int=2), uuid.UUID(int=1)],
    }
    values = made[kind]
    ids = id_map(values, kind)
    assert ids.take(np.array([[1, -1], [-1, 0]])).tolist() == [
        [values[1], nothing],
        [nothing, values[0]],
    ]
    assert ids.ids.tolist() == values
    assert id_map([], kind).take(np.array([-1])).tolist() == [nothing]


def test_a_kept_part_holds_nothing_else():
    ids = id_map(["a", "b", "c"], "str").extend(np.array(["d"], dtype=object))
    part = ids.keep(np.array([False, True, False, True]))
    assert part.rows(["a", "b", "c", "d"]).tolist() == [-1, 0, -1, 1]


def test_a_pickled_map_does_not_hold_what_a_later_one_learned():
    ids = id_map(["a"], "str")
    ids.rows(["a"])
    ids.extend(np.array(["secret"], dtype=object))
    assert b"secret" not in pickle.dumps(ids)


@pytest.mark.parametrize(
    "asked",
    [
        [1, 1.5, 5],
        [1, float("nan"), 5],
        [1, None, 5],
        [1, "1", 5],
        [1, b"5", 5],
        [1, (5, 1), 5],
        [1, [5], 5],
        [1, True, 5],
        [1, 2**63, 5],
        [1, -(2**70), 5],
        [np.int8(1), "?", np.uint64(5)],
    ],
    ids=repr,
)
def test_one_strange_id_among_integers_does_not_hide_the_others(asked):
    assert id_map([1, 5, 9], "int").rows(asked).tolist() == [0, -1, 1]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, object])
def test_integers_of_any_type_are_found(dtype):
    assert id_map([9, 1, 5], "int").rows(np.array([1, 5, 7], dtype=dtype)).tolist() == [1, 2, -1]


def test_an_integer_beyond_int64_is_not_the_largest_id():
    ids = id_map([2**63 - 1], "int")
    assert ids.rows(np.array([2**63, 2**63 - 1], dtype=np.uint64)).tolist() == [-1, 0]


def test_the_filler_of_integers_is_never_an_id():
    assert id_map([0, 4], "int").rows([-1, 4]).tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array(["b", "a"]), ["b", "a"]),
        (np.array([b"b", b"a"]), [b"b", b"a"]),
        (np.array([2.0, 7.0]), [2, 7]),
        (np.array([2, 7], dtype=np.uint16), [2, 7]),
        (np.array([np.int8(2), 7], dtype=object), [2, 7]),
        (pd.array([2, 7], dtype="Int32"), [2, 7]),
        (pd.Categorical(["b", "a"]), ["b", "a"]),
        (pd.array(["b", "a"], dtype="string"), ["b", "a"]),
    ],
    ids=["text", "bytes", "whole floats", "uint16", "objects", "nullable", "category", "string"],
)
def test_ids_of_any_column_type_become_python_ids(values, expected):
    _, ids, _ = encode_ids(pd.Series(values), "user_id")
    assert ids.tolist() == sorted(expected)
    assert type(ids.tolist()[0]) is type(expected[0])


@pytest.mark.parametrize(
    "values",
    [["a\0", "a"], [b"a\0", b"a"], ["", "a"], ["é", "e\u0301"], ["a" * 5000, "a"]],
    ids=["NUL", "NUL byte", "empty", "accents", "long"],
)
def test_ids_that_differ_in_one_byte_stay_apart(values):
    kind = "str" if isinstance(values[0], str) else "bytes"
    assert len(encode_ids(column(values, kind), "user_id")[1]) == 2


TUPLE_OF_LIST = "ids are str, int, bytes, UUID, or tuples of these"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, "a"], r"user_id mixes types of ids: int \(1\), str \('a'\)\. Convert the column"),
        ([uuid.UUID(int=1), "a"], r"mixes types of ids: UUID .*, str \('a'\)"),
        ([("a",), "a"], "mixes types of ids"),
        ([1, 2**63], "integers beyond 2\\*\\*63 - 1. Use strings"),
        ([1, -1], "holds -1, which marks a missing id and cannot be one"),
        ([True, False], "holds bool values; ids are str, int"),
        ([frozenset("a")], "holds frozenset values; " + TUPLE_OF_LIST),
        ([1.0, 2.0], "holds float values; " + TUPLE_OF_LIST),
        ([[1], [2]], "holds list values; " + TUPLE_OF_LIST),
        ([{"a": 1}], "holds dict values; " + TUPLE_OF_LIST),
        ([("a", 1), (1, "a")], r"tuples that cannot be ordered, such as \('a', 1\)"),
        ([("a", 1.5), ("b", 2.5)], "holds tuples with float"),
        ([("a", None), ("b", None)], "holds tuples with NoneType"),
        ([("a", (1, None))], "holds tuples with NoneType"),
    ],
    ids=repr,
)
def test_what_cannot_be_an_id_is_refused_by_name(values, words):
    with pytest.raises(DataError, match=words):
        encode_ids(column(values, "object"), "user_id")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1.0, 2.5]), "user_id holds fractions such as 2.5; ids are str, int"),
        (np.array([1.0, np.inf]), "user_id holds fractions such as inf; ids are str, int"),
        (np.array([2.0**60, 1.0]), r"user_id holds .*1152921504606846976"),
        (np.array([1, 2**63], dtype=np.uint64), "holds 9223372036854775808, beyond the largest"),
        (np.array([True]), "holds bool values"),
        (np.array(["2020"], dtype="datetime64[s]"), r"holds datetime64\[s\] values"),
        (np.array([1j]), "holds complex128 values"),
        (np.array([3, -1]), "holds -1, which marks a missing id and cannot be one"),
    ],
    ids=repr,
)
def test_columns_that_cannot_hold_ids_are_refused_by_name(values, words):
    with pytest.raises(DataError, match=words):
        check_ids(values, "user_id")


def test_ids_of_two_sources_are_united_in_order():
    merged = merge_ids(
        [
            (np.array([5, 1]), "int"),
            (np.array([], dtype=object), "str"),
            (np.array([3, 1]), "int"),
        ],
        "item_id",
    )
    assert merged.ids.tolist() == [1, 3, 5]


def test_ids_of_two_types_are_refused():
    parts = [(np.array([5]), "int"), (np.array(["a"], dtype=object), "str")]
    with pytest.raises(DataError, match=r"item_id must have one type everywhere; got int and str"):
        merge_ids(parts, "item_id")


@pytest.mark.parametrize(
    "ids",
    [["a", "b"], np.array(["a", "b"]), pd.Index(["a", "b"]), pd.Series(["a", "b"]), iter("ab")],
    ids=lambda value: type(value).__name__,
)
def test_any_sequence_of_ids_is_taken(ids):
    assert list(id_list(ids, "users")) == ["a", "b"]


@pytest.mark.parametrize(
    "single", ["abc", b"abc", 3, np.int64(3), uuid.UUID(int=3), ("a", 1)], ids=repr
)
def test_a_bare_id_is_refused_where_a_list_belongs(single):
    with pytest.raises(
        DataError, match=r"users must be a list of ids; got the single id .*\. Write \["
    ):
        id_list(single, "users")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.ones((2, 2), dtype=int), r"users must be one-dimensional; got shape \(2, 2\)"),
        (1.5, "users must be a list of ids; got float"),
        (None, "users must be a list of ids; got NoneType"),
    ],
    ids=["two dimensions", "a number", "nothing"],
)
def test_what_is_no_list_of_ids_is_refused(ids, words):
    with pytest.raises(DataError, match=words):
        id_list(ids, "users")


def cells(*values):
    return column(values, "object")


@pytest.mark.parametrize(
    "values",
    [(1, True), (1, 1.0), (np.int64(1), np.float64(1)), (("a", 1), ("a", True)), ((1.0,), (1,))],
    ids=repr,
)
def test_a_value_that_equals_an_id_is_refused_wherever_it_stands(values):
    for given_ids in (values, values[::-1]):
        with pytest.raises(DataError, match=r"user_id (holds|mixes)"):
            encode_ids(cells(*given_ids), "user_id")


@pytest.mark.parametrize("half", ["\ud800", "a\udfff", "it's\ud800"], ids=ascii)
def test_half_a_surrogate_pair_is_no_other_text(half):
    for values in ([half, repr(half), "a"], [repr(half), half, half]):
        for made in (cells(*values), np.array(values)):
            codes, ids, _ = encode_ids(made, "user_id")
            assert [ids[code] for code in codes] == values


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        ((np.str_("mug"), "mug"), "mug"),
        ((np.bytes_(b"mug"), b"mug"), b"mug"),
        (((np.int64(1), ("x", np.str_("y"))), (1, ("x", "y"))), (1, ("x", "y"))),
        (((np.uint8(1), uuid.UUID(int=3)), (1, uuid.UUID(int=3))), (1, uuid.UUID(int=3))),
    ],
    ids=repr,
)
def test_ids_are_plain_whatever_stands_first(values, plain):
    for given_ids in (values, values[::-1]):
        codes, ids, _ = encode_ids(cells(*given_ids), "item_id")
        assert codes.tolist() == [0, 0]
        assert repr(ids.tolist()) == repr([plain])


@pytest.mark.parametrize(
    ("values", "codes", "ids", "kind"),
    [
        (cells("b", 5, "a", [1], 2.5, True, 5), [2, 0, 1, -1, -1, -1, 0], [5, "a", "b"], "mixed"),
        (cells(7, -1, 2**63, 1.0, 3), [1, -1, -1, -1, 0], [3, 7], "int"),
        (cells((2, "a"), ("a", 2), (1, "b"), (1, 0.5)), [1, 2, 0, -1],
         [(1, "b"), (2, "a"), ("a", 2)], "tuple"),
        (cells("\ud800", "'\\ud800'", True), [1, 0, -1], ["'\\ud800'", "\ud800"], "str"),
        (pd.Series([2.0, np.inf, 1.5, -1.0, 1.0, 1e300]), [1, -1, -1, -1, 0, -1], [1, 2], "int"),
        (pd.Series([4, -1, 3]), [1, -1, 0], [3, 4], "int"),
        (np.array([4, 2**63], dtype=np.uint64), [0, -1], [4], "int"),
        (pd.Series(["b", "a"]), [1, 0], ["a", "b"], "str"),
        (cells(), [], [], "str"),
    ],
)  # fmt: skip
def test_where_errors_would_tell_of_one_row_it_has_no_id_instead(values, codes, ids, kind):
    found = encode_usable_ids(values, "user_id")
    assert (found[0].tolist(), found[1].tolist(), found[2]) == (codes, ids, kind)
    assert found[0].dtype == np.int32


NO_IDS = (1.0, True, -1, [1], (True,), ("1", 1.0))


@given(st.lists(st.sampled_from([1, "1", b"1", (1,), ("1",), ("1", 1), *NO_IDS])))
def test_what_id_a_value_is_depends_on_no_other(values):
    strange = set(map(repr, NO_IDS))
    expected = [None if repr(value) in strange else repr(value) for value in values]
    if values and not any(expected):
        with pytest.raises(DataError, match="user_id holds no ids"):
            encode_usable_ids(cells(*values), "user_id")
        return
    codes, ids, _ = encode_usable_ids(cells(*values), "user_id")
    assert [repr(ids.tolist()[code]) if code >= 0 else None for code in codes] == expected


def test_a_column_without_any_id_is_refused_and_no_value_named():
    for values in (cells([1], ["secret"]), pd.Series([True, False]), pd.Series([0.5, np.inf])):
        with pytest.raises(DataError, match="user_id holds no ids; ids are str, int") as error:
            encode_usable_ids(values, "user_id")
        assert "secret" not in str(error.value)
        assert error.value.__context__ is None
