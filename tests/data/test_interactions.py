import dataclasses
import datetime
import pickle
import subprocess
import sys
import uuid
from collections import defaultdict
from itertools import chain
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given

from ecomrec.data import Interactions
from ecomrec.exceptions import DataError

KINDS: dict[str, Any] = {
    "pandas": pd.DataFrame,
    "nullable pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(columns, strict=False),
    "arrow": pa.table,
}
DAY = 86_400
# Exact in float32 and in any order of adding: tests compare exactly where nothing decays.
WEIGHTS = (1.0, 3.0, 5.0, -5.0, -1.0, 0.25)
RATINGS = (1.0, 2.0, 4.0, 5.0)


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


# Events as plain rows, and what interactions of them must hold


@st.composite
def logs(draw, min_size=0, max_size=25, values=WEIGHTS):
    """Rows (user, item, value, day), many of the same pair, many at the same time."""
    row = st.tuples(
        st.integers(0, 4).map("u{}".format),
        st.integers(0, 5).map("i{}".format),
        st.sampled_from(values),
        st.integers(-3, 6) | st.just(2),
    )
    return draw(st.lists(row, min_size=min_size, max_size=max_size))


def table(rows, *, values=None, timed=False, shift=0):
    columns = {"user_id": [r[0] for r in rows], "item_id": [r[1] for r in rows]}
    if values is not None:
        columns[values] = [float(r[2]) for r in rows]
    if timed:
        columns["timestamp"] = [(r[3] + shift) * DAY for r in rows]
    return pd.DataFrame(columns).astype({"user_id": object, "item_id": object})


def held(shop):
    """Entries by pair of ids: (value at the newest time, time)."""
    users, items = shop.user_ids.tolist(), shop.item_ids.tolist()
    scaled = (shop.data.astype(np.float64) * shop.scale).tolist()
    times = [None] * len(scaled) if shop.timestamps is None else shop.timestamps.tolist()
    row_of = np.repeat(np.arange(shop.n_users), np.diff(shop.indptr)).tolist()
    pairs = [(users[u], items[i]) for u, i in zip(row_of, shop.indices.tolist(), strict=True)]
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, zip(scaled, times, strict=True), strict=True))


def summed(rows, *, values=None, timed=False, half_life=None, newest=None):
    """Net weights by the formula: each row counts half as much every half-life before the newest."""
    newest = max((r[3] for r in rows), default=0) if newest is None else newest
    parts = defaultdict(list)
    for user, item, value, day in rows:
        weight = value if values else 1.0
        decayed = weight * 2.0 ** ((day - newest) / half_life) if half_life else weight
        parts[user, item].append((decayed, day * DAY * 10**9))
    return {
        pair: (sum(w for w, _ in events), max(t for _, t in events) if timed else None)
        for pair, events in parts.items()
    }


def newest_ratings(rows, timed):
    parts = defaultdict(list)
    for user, item, value, day in rows:
        parts[user, item].append((day * DAY * 10**9 if timed else 0, value))
    found = {}
    for pair, events in parts.items():
        newest = max(t for t, _ in events)
        found[pair] = (np.mean([v for t, v in events if t == newest]), newest if timed else None)
    return found


def assert_same(found, expected, rel=0.0):
    assert found.keys() == expected.keys()
    largest = max((abs(v) for v, _ in expected.values()), default=0.0)
    for pair, (value, time) in expected.items():
        assert found[pair][1] == time
        assert found[pair][0] == pytest.approx(value, rel=rel, abs=rel * largest), pair


def assert_equal(found, expected, rel=0.0):
    """Two interactions hold the same for every id, however its row is numbered."""
    assert sorted(found.user_ids.tolist()) == sorted(expected.user_ids.tolist())
    assert sorted(found.item_ids.tolist()) == sorted(expected.item_ids.tolist())
    assert_same(held(found), held(expected), rel)
    assert (found.kind, found.timed, found.newest) == (
        expected.kind,
        expected.timed,
        expected.newest,
    )
    by_id = dict(zip(found.item_ids.tolist(), found.item_counts.tolist(), strict=True))
    assert by_id == dict(
        zip(expected.item_ids.tolist(), expected.item_counts.tolist(), strict=True)
    )
    if found.kind == "rating":
        assert counts(found) == counts(expected)


def counts(shop):
    """How many ratings each entry is the mean of."""
    return dict(zip(held(shop), shop.by_user.to_csr()[1][-1].tolist(), strict=True))


def assert_derived_agrees(shop):
    """What was carried over from an earlier version equals what is derived anew."""
    anew = dataclasses.replace(shop)
    assert not {"by_item", "item_counts"} & anew.__dict__.keys()
    np.testing.assert_array_equal(shop.item_counts, anew.item_counts)
    assert shop.by_item.n_rows == anew.by_item.n_rows == shop.n_items
    assert shop.by_item.n_entries == shop.n_entries
    for item in range(shop.n_items):
        carried, fresh = (
            dict(zip(*(v.tolist() for v in store.row(item)[:2]), strict=True))
            for store in (shop.by_item, anew.by_item)
        )
        assert carried == fresh


def snapshot(shop):
    """Everything a reader can see, copied."""
    parts = [shop.indptr, shop.indices, shop.data, shop.item_counts, *shop.by_user.to_csr()[1]]
    parts += [*shop.by_item.to_csr()[1], shop.by_item.lengths]
    arrays = [np.array(part).tobytes() for part in parts]
    ids = shop.user_ids.tolist(), shop.item_ids.tolist()
    rows = shop.users.rows(range(10)), shop.items.rows([f"i{n}" for n in range(10)])
    return arrays, ids, [r.tolist() for r in rows], shop.scale, shop.newest


# From tables


def test_every_kind_of_table_gives_the_same(make):
    columns = {
        "user_id": ["b", "a", "b", "b"],
        "item_id": [9, 7, 7, 9],
        "weight": [1, 2, 3, 4],
        "timestamp": [datetime.datetime(2024, 1, day) for day in (4, 1, 2, 3)],
    }
    shop = Interactions.from_table(make(columns))
    assert shop.shape == (2, 2)
    assert shop.user_ids.tolist() == ["a", "b"]
    assert shop.item_ids.tolist() == [7, 9]
    assert shop.indptr.tolist() == [0, 1, 3]
    assert shop.indices.tolist() == [0, 0, 1]
    assert shop.data.tolist() == [2, 3, 5]
    days = (shop.timestamps // (DAY * 10**9)).tolist()
    assert [day - days[0] for day in days] == [0, 1, 3]
    assert repr(shop) == "Interactions(2 users x 2 items, 3 entries, weights)"


def test_arrays_have_the_promised_types_and_cannot_be_written():
    shop = Interactions.from_table(table([("u", "i", 1, 0)], timed=True))
    arrays = shop.indptr, shop.indices, shop.data, shop.timestamps, shop.user_ids, shop.item_ids
    assert [a.dtype.name for a in arrays] == [
        "int64",
        "int32",
        "float32",
        "int64",
        "object",
        "object",
    ]
    assert not any(a.flags.writeable for a in arrays)


ID_KINDS: dict[str, list[Any]] = {
    "text": ["b", "a", "c"],
    "integers": [2**40, -7, 3],
    "UUIDs": [uuid.UUID(int=n) for n in (2**90, 1, 7)],
    "bytes": [b"b", b"a\0", b"a"],
    "tuples": [("b", 1), ("a", 2), ("a", 1)],
}


@pytest.mark.parametrize("kind", ID_KINDS)
def test_ids_of_every_kind_come_back_and_are_found(kind):
    ids = ID_KINDS[kind]
    cells = np.empty(3, dtype=object)
    cells[:] = ids
    frame = pd.DataFrame({"user_id": cells, "item_id": cells[::-1]}).infer_objects()
    shop = Interactions.from_table(frame)
    for held_ids, id_map in ((shop.user_ids, shop.users), (shop.item_ids, shop.items)):
        assert held_ids.tolist() == sorted(ids)
        assert [type(i) for i in held_ids.tolist()] == [type(ids[0])] * 3
        assert id_map.rows(sorted(ids)).tolist() == [0, 1, 2]
        assert id_map.take(np.array([2, 0])).tolist() == [sorted(ids)[2], sorted(ids)[0]]


@pytest.mark.parametrize("kind", ["text", "integers", "bytes"])
def test_ids_of_every_kind_come_back_from_every_table(make, kind):
    ids = ID_KINDS[kind]
    shop = Interactions.from_table(make({"user_id": ids, "item_id": ids}))
    assert shop.user_ids.tolist() == sorted(ids)
    assert [type(i) for i in shop.user_ids.tolist()] == [type(ids[0])] * 3


@given(logs(), st.randoms(use_true_random=False), st.sampled_from(("weight", "rating", None)))
def test_the_order_of_rows_changes_no_bit(rows, random, values):
    shuffled = random.sample(rows, len(rows))
    for how in ({}, {"timed": True}):
        half_life = "1D" if how and values != "rating" else None
        one, two = (
            Interactions.from_table(table(r, values=values, **how), half_life=half_life)
            for r in (rows, shuffled)
        )
        assert snapshot(one) == snapshot(two)


@given(logs(), st.booleans(), st.booleans())
def test_weights_of_one_pair_add_up(rows, weighted, timed):
    how = {"values": "weight" if weighted else None, "timed": timed}
    assert_same(held(Interactions.from_table(table(rows, **how))), summed(rows, **how))


@given(logs(values=RATINGS), st.booleans())
def test_ratings_keep_the_newest_or_the_mean(rows, timed):
    shop = Interactions.from_table(table(rows, values="rating", timed=timed))
    assert shop.kind == "rating"
    assert_same(held(shop), newest_ratings(rows, timed), rel=1e-6)


@given(logs(min_size=1), st.floats(0.5, 50))
def test_half_life_sums_equal_the_formula(rows, half_life):
    shop = Interactions.from_table(
        table(rows, values="weight", timed=True), half_life=pd.Timedelta(days=half_life)
    )
    expected = summed(rows, values=True, timed=True, half_life=half_life)
    assert_same(held(shop), expected, rel=1e-6)


def test_many_small_weights_add_up_in_float64():
    n = 300_000
    frame = pd.DataFrame({"user_id": np.zeros(n, int), "item_id": np.zeros(n, int)})
    shop = Interactions.from_table(frame, np.full(n, 0.1))
    assert shop.data[0] == np.float32(0.1 * n)


def test_a_returned_purchase_stays_seen_and_counts_for_nobody():
    rows = [("u", "kept", 5, 0), ("u", "back", 5, 0), ("u", "back", -5, 1), ("v", "owed", -5, 0)]
    shop = Interactions.from_table(table(rows, values="weight"))
    assert held(shop) == {
        ("u", "kept"): (5, None),
        ("u", "back"): (0, None),
        ("v", "owed"): (-5, None),
    }
    counts_by_id = dict(zip(shop.item_ids.tolist(), shop.item_counts.tolist(), strict=True))
    assert counts_by_id == {"kept": 1, "back": 0, "owed": 0}
    assert shop.to_scipy().nnz == 3


def test_weights_that_cancel_but_for_rounding_are_no_evidence():
    rows = [("u", "i", w, 0) for w in (0.1, 0.2, -0.3)]
    assert held(Interactions.from_table(table(rows, values="weight"))) == {("u", "i"): (0, None)}


@pytest.mark.parametrize("n_jobs", [1, 2, -1, None])
def test_threads_change_no_bit(n_jobs):
    rng = np.random.default_rng(0)
    n = 30_000
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 500, n),
            "item_id": rng.integers(0, 400, n),
            "weight": rng.normal(size=n),
            "timestamp": rng.integers(0, 100 * DAY, n),
        }
    )
    one = Interactions.from_table(frame, half_life="7D", n_jobs=1)
    other = Interactions.from_table(frame, half_life="7D", n_jobs=n_jobs)
    assert snapshot(one) == snapshot(other)


def test_both_columns_and_y_are_told_apart():
    frame = table([("u", "i", 4, 0)], values="rating").assign(weight=2.0)
    found = [
        Interactions.from_table(frame),
        Interactions.from_table(frame, values="rating"),
        Interactions.from_table(frame, [7]),
        Interactions.from_table(frame, [7], values="rating"),
        Interactions.from_table(frame.drop(columns="weight")),
    ]
    assert [(shop.kind, shop.data.tolist()) for shop in found] == [
        ("weight", [2]), ("rating", [4]), ("weight", [7]), ("rating", [7]), ("rating", [4]),
    ]  # fmt: skip


def test_the_input_is_left_alone():
    frame = table(
        [("u", "i", 4, 0), ("a", "i", 4, 1), ("u", "i", 1, 2)], values="weight", timed=True
    )
    for name in ("weight", "timestamp"):
        frame[name].to_numpy().flags.writeable = False
    before = frame.copy(deep=True)
    Interactions.from_table(frame, half_life="1D")
    pd.testing.assert_frame_equal(frame, before)


def test_an_empty_table_gives_empty_interactions(make):
    shop = Interactions.from_table(make({"user_id": [], "item_id": [], "weight": []}))
    assert shop.shape == (0, 0)
    assert shop.to_scipy().shape == (0, 0)
    assert shop.by_item.n_rows == len(shop.item_counts) == 0


def test_ids_of_side_tables_are_known_without_events(make):
    shop = Interactions.from_table(
        make({"user_id": ["b"], "item_id": [5]}),
        items=make({"item_id": [9, 5, 1], "price": [1, 2, 3]}),
        users=make({"user_id": ["c", "a"]}),
    )
    assert shop.user_ids.tolist() == ["a", "b", "c"]
    assert shop.item_ids.tolist() == [1, 5, 9]
    assert held(shop) == {("b", 5): (1, None)}
    assert shop.item_counts.tolist() == [0, 1, 0]


# From matrices

MATRIX = np.array([[0, 2, 0], [1, 0, 3]])
FORMS: dict[str, Any] = {
    "dense": lambda m: m,
    "list": lambda m: m.tolist(),
    "fortran": np.asfortranarray,
    "bool": lambda m: m > 0,
    "float32": lambda m: m.astype(np.float32),
    "csr_array": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "csc_matrix": sp.csc_matrix,
    "coo_array": sp.coo_array,
    "coo_matrix": sp.coo_matrix,
    "lil": sp.lil_array,
    "dok": sp.dok_array,
    "bsr": sp.bsr_array,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_matrix_gives_the_same(form):
    shop = Interactions.from_matrix(FORMS[form](MATRIX))
    expected = np.where(MATRIX > 0, 1, 0) if form == "bool" else MATRIX
    np.testing.assert_array_equal(shop.to_scipy().toarray(), expected)
    assert (shop.user_ids.tolist(), shop.item_ids.tolist()) == ([0, 1], [0, 1, 2])
    arrays = shop.indptr, shop.indices, shop.data, shop.user_ids, shop.item_ids
    assert [a.dtype.name for a in arrays] == ["int64", "int32", "float32", "int64", "int64"]
    assert shop.timestamps is None


@given(logs(values=(1.0, 3.0, 5.0)))
def test_a_matrix_gives_what_its_table_gives(rows):
    shop = Interactions.from_table(table(rows, values="weight"))
    again = Interactions.from_matrix(shop.to_scipy())
    for name in ("indptr", "indices", "data", "item_counts"):
        np.testing.assert_array_equal(getattr(again, name), getattr(shop, name))
    assert_derived_agrees(again)


def test_stored_zeros_of_a_sparse_matrix_are_seen_and_dense_zeros_are_not():
    sparse = sp.csr_array((np.array([0.0, 2.0]), np.array([0, 2]), np.array([0, 2])), shape=(1, 3))
    for form in (sparse, sparse.tocoo(), sparse.tocsc()):
        shop = Interactions.from_matrix(form)
        assert held(shop) == {(0, 0): (0, None), (0, 2): (2, None)}
        assert shop.item_counts.tolist() == [0, 0, 1]
    assert held(Interactions.from_matrix(sparse.toarray())) == {(0, 2): (2, None)}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.float32, np.int64])
@pytest.mark.parametrize("form", ["coo", "csr", "csc"])
def test_duplicate_entries_of_a_matrix_add_up(form, dtype):
    values = np.full(300, 1, dtype=dtype)
    places = np.zeros(300, dtype=int)
    matrix = {
        "coo": lambda: sp.coo_array((values, (places, places)), shape=(1, 2)),
        "csr": lambda: sp.csr_array((values, places, [0, 300]), shape=(1, 2)),
        "csc": lambda: sp.csc_array((values, places, [0, 300, 300]), shape=(1, 2)),
    }[form]()
    assert held(Interactions.from_matrix(matrix)) == {(0, 0): (300, None)}


def test_unsorted_indices_of_int64_are_sorted_and_the_matrix_left_alone():
    matrix = sp.csr_array((np.array([1.0, 2.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    for values in (matrix.data, matrix.indices, matrix.indptr):
        values.flags.writeable = False
    shop = Interactions.from_matrix(matrix)
    assert (shop.indices.tolist(), shop.data.tolist()) == ([0, 2], [2, 1])
    assert matrix.indices.tolist() == [2, 0]


def test_a_matrix_of_ratings_may_be_asked_for():
    shop = Interactions.from_matrix(MATRIX, values="rating")
    assert shop.kind == "rating"
    assert set(counts(shop).values()) == {1}


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_matrices_without_entries_are_answered(shape):
    for matrix in (np.zeros(shape), sp.csr_array(shape)):
        shop = Interactions.from_matrix(matrix)
        assert shop.shape == shop.to_scipy().shape == shape


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.array([[1, np.nan]]), "the matrix holds NaN or infinity"),
        (np.array([[1, np.inf]]), "the matrix holds NaN or infinity"),
        (np.array([[1, 1e39]]), r"the matrix holds NaN or infinity \(as float32\)"),
        (sp.csr_array(np.array([[1, np.nan]])), "the matrix holds NaN or infinity"),
        (np.array([[1, -1]]), "Negative values in data: a users x items matrix holds weights of at"),
        (sp.coo_array(np.array([[1, -1]])), "Negative values in data"),
        (np.ones(3), r"the matrix must have two dimensions; got shape \(3,\)"),
        (np.ones((1, 1, 1)), r"the matrix must have two dimensions; got shape \(1, 1, 1\)"),
        (sp.coo_array(np.ones(3)), r"the matrix must have two dimensions; got shape \(3,\)"),
        (np.array([["a"]]), "the matrix must hold real numbers; got <U1"),
        (np.array([[None]]), "the matrix holds NaN or infinity"),
        (np.array([[1j]]), "the matrix must hold real numbers; got complex128"),
        (sp.csr_array(np.array([[1j]])), "the matrix must hold real numbers; got complex128"),
    ],
    ids=[
        "NaN", "infinite", "too large", "sparse NaN", "negative", "sparse negative", "flat", "deep", "flat sparse",
        "text", "objects", "complex", "sparse complex",
    ],
)  # fmt: skip
def test_hostile_matrices_are_refused_by_what_is_wrong(matrix, words):
    with pytest.raises(DataError, match=words):
        Interactions.from_matrix(matrix)


# Hostile tables


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"timestamp": [5]}, {"half_life": "soon"}, "half_life must be None or a positive duration"),
        ({}, {"half_life": "1D"}, "half_life needs a timestamp column; the table has none"),
        ({"weight": [1e39]}, {}, "weight .*float32"),
        ({"rating": [1e39]}, {}, "rating .*float32"),
        ({}, {"values": "counts"}, "values must be 'weight' or 'rating'; got 'counts'"),
        ({"user_id": [-1]}, {}, "user_id holds -1, which marks a missing id"),
        ({"item_id": [True]}, {}, "item_id holds bool values"),
        ({"item_id": [1.5]}, {}, "item_id holds fractions such as 1.5"),
        ({}, {"items": pd.DataFrame({"item_id": ["a"]})}, "item_id must have one type everywhere"),
        ({}, {"items": pd.DataFrame({"sku": ["a"]})}, "the items table lacks the columns .*'item_id'"),
        ({}, {"users": pd.DataFrame({"user_id": [1, 1]})}, "the users table has more than one row"),
        ({}, {"items": [1, 2]}, "the items table must be a pandas.*got list"),
    ],
    ids=[
        "half-life", "no times", "huge weight", "huge rating", "values", "-1", "bool", "fraction", "types",
        "side column", "side twice", "side list",
    ],
)  # fmt: skip
def test_hostile_tables_are_refused_by_what_is_wrong(columns, options, words):
    frame = pd.DataFrame({"user_id": [1], "item_id": [2]} | columns)
    with pytest.raises(ValueError, match=words):
        Interactions.from_table(frame, **options)


def test_an_unknown_kind_of_matrix_values_is_refused():
    with pytest.raises(ValueError, match="values must be 'weight' or 'rating'; got 'counts'"):
        Interactions.from_matrix(MATRIX, values="counts")


def test_the_largest_float32_is_a_weight():
    largest = float(np.finfo(np.float32).max)
    shop = Interactions.from_table(table([("u", "i", largest, 0)], values="weight"))
    assert shop.data.tolist() == [largest]


def test_columns_that_are_swapped_are_noticed_by_the_items_table():
    items = pd.DataFrame({"item_id": ["i1", "i2"]})
    events = pd.DataFrame({"user_id": ["i1", "i2"], "item_id": ["u1", "u2"]})
    with pytest.raises(DataError, match=r"user_id and item_id look swapped: .* such as 'i1'"):
        Interactions.from_table(events, items=items)
    unswapped = events.rename(columns={"user_id": "item_id", "item_id": "user_id"})
    assert Interactions.from_table(unswapped, items=items).n_entries == 2


def test_columns_that_are_swapped_are_noticed_in_a_batch():
    shop = Interactions.from_table(table([("u1", "i1", 1, 0), ("u2", "i2", 1, 0)]))
    with pytest.raises(DataError, match=r"user_id and item_id look swapped: .* such as 'i1'"):
        shop.add(table([("i1", "u1", 1, 0)]))


# Adding


HOW = {
    "unit": {},
    "unit, timed": {"timed": True},
    "weights": {"values": "weight"},
    "weights, timed": {"values": "weight", "timed": True},
    "ratings": {"values": "rating"},
    "ratings, timed": {"values": "rating", "timed": True},
}


def pieces(data, rows, n=4):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), min_size=n - 1, max_size=n - 1)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


@pytest.mark.parametrize("how", ["weights", "weights, timed", "ratings", "ratings, timed"])
@given(data=st.data())
def test_adding_in_parts_equals_one_table(how, data):
    how = HOW[how]
    values = RATINGS if how.get("values") == "rating" else WEIGHTS
    rows = data.draw(logs(min_size=1, values=values))
    first, *batches = pieces(data, rows[1:])
    shop = Interactions.from_table(table([rows[0], *first], **how))
    so_far = [rows[0], *first]
    for batch in batches:
        if data.draw(st.booleans()):
            assert shop.by_item.n_rows == len(shop.item_counts)
        before = shop
        shop, change = shop.add(table(batch, **how))
        so_far += batch
        whole = Interactions.from_table(table(so_far, **how))
        assert_equal(shop, whole, rel=1e-6 if how.get("values") == "rating" else 0.0)
        assert_derived_agrees(shop)
        assert set(shop.user_ids[change.users].tolist()) == {r[0] for r in batch}
        assert set(shop.item_ids[change.items].tolist()) == {r[1] for r in batch}
        assert shop.user_ids[: before.n_users].tolist() == before.user_ids.tolist()
        assert shop.item_ids[: before.n_items].tolist() == before.item_ids.tolist()


@given(data=st.data(), half_life=st.integers(1, 40), values=st.sampled_from((None, "weight")))
def test_adding_with_a_half_life_equals_one_table(values, data, half_life):
    rows = data.draw(logs(min_size=1))
    how = {"values": values, "timed": True}
    first, *batches = pieces(data, rows[1:])
    shop = Interactions.from_table(table([rows[0], *first], **how), half_life=f"{half_life}D")
    for batch in batches:
        shop, _ = shop.add(table(batch, **how))
    whole = Interactions.from_table(table(rows, **how), half_life=f"{half_life}D")
    assert_equal(shop, whole, rel=1e-5)
    assert_derived_agrees(shop)
    assert_same(held(shop), summed(rows, values=values, timed=True, half_life=half_life), rel=1e-5)


@pytest.mark.parametrize("days", [40, 130, 500, 20_000])
def test_a_batch_of_many_half_lives_later_equals_one_table(days):
    """Weights grow with time when each is stored as seen from the first fit: float32 ends at 2**128."""
    old = [("u1", "i1", 1, 0), ("u1", "i2", 2, 0), ("u2", "i1", 1, -1)]
    new = [("u1", "i1", 1, days), ("u3", "i3", 1, days - 1)]
    how = {"values": "weight", "timed": True}
    shop, _ = Interactions.from_table(table(old, **how), half_life="1D").add(table(new, **how))
    whole = Interactions.from_table(table(old + new, **how), half_life="1D")
    assert np.isfinite(shop.data).all()
    assert_equal(shop, whole, rel=1e-5)
    again, _ = shop.add(table([("u1", "i1", 1, 2 * days)], **how))
    assert held(again)["u1", "i1"][0] == pytest.approx(1 + 2.0**-days, rel=1e-6)


@given(data=st.data(), days=st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_a_stream_of_days_never_overflows(data, days):
    how = {"values": "weight", "timed": True}
    rows = data.draw(logs(min_size=1, max_size=6, values=(1.0, 3.0)))
    shop = Interactions.from_table(table(rows, **how), half_life="1D")
    now = 0
    for day in days:
        now += day
        batch = data.draw(logs(min_size=1, max_size=4, values=(1.0, 3.0)))
        batch = [(u, i, w, d + now) for u, i, w, d in batch]
        rows = rows + batch
        shop, _ = shop.add(table(batch, **how))
    # Entries alone: whether 2 ** -140 is still evidence may depend on when it was stored.
    whole = Interactions.from_table(table(rows, **how), half_life="1D")
    assert_same(held(shop), held(whole), rel=1e-5)


@given(data=st.data(), how=st.sampled_from(list(HOW)))
def test_siblings_never_see_each_others_rows(how, data):
    how = HOW[how]
    values = RATINGS if how.get("values") == "rating" else WEIGHTS
    rows = data.draw(logs(min_size=1, max_size=12, values=values))
    batches = [data.draw(logs(max_size=8, values=values)) for _ in range(4)]
    parent = Interactions.from_table(table(rows, **how))
    before = snapshot(parent) if data.draw(st.booleans()) else None
    one, _ = parent.add(table(batches[0], **how))
    two, _ = parent.add(table(batches[1], **how))
    one_more, _ = one.add(table(batches[2], **how))
    three, _ = parent.add(table(batches[3], **how))
    assert before is None or snapshot(parent) == before
    for shop, parts in (
        (parent, []),
        (one, [batches[0]]),
        (two, [batches[1]]),
        (three, [batches[3]]),
        (one_more, [batches[0], batches[2]]),
    ):
        expected = Interactions.from_table(table([*rows, *chain.from_iterable(parts)], **how))
        assert_equal(shop, expected, rel=1e-6 if how.get("values") == "rating" else 0.0)
        assert_derived_agrees(shop)


@given(data=st.data(), how=st.sampled_from(list(HOW)))
def test_adding_interactions_equals_adding_their_table(data, how):
    how = HOW[how]
    values = RATINGS if how.get("values") == "rating" else WEIGHTS
    rows = data.draw(logs(min_size=1, max_size=12, values=values))
    batch = data.draw(logs(max_size=12, values=values))
    shop = Interactions.from_table(table(rows, **how))
    found, change = shop.add(Interactions.from_table(table(batch, **how)))
    expected = Interactions.from_table(table(rows + batch, **how))
    assert_equal(found, expected, rel=1e-6 if how.get("values") == "rating" else 0.0)
    assert set(found.user_ids[change.users].tolist()) == {r[0] for r in batch}


@given(data=st.data())
def test_adding_interactions_with_a_half_life_equals_one_table(data):
    rows, batch = data.draw(logs(min_size=1)), data.draw(logs())
    how = {"values": "weight", "timed": True}
    shop, other = (
        Interactions.from_table(table(r, **how), half_life="2D") for r in (rows, batch or rows[:1])
    )
    whole = Interactions.from_table(table(rows + (batch or rows[:1]), **how), half_life="2D")
    assert_equal(shop.add(other)[0], whole, rel=1e-5)


@pytest.mark.parametrize("ids", ["text", "integers", "UUIDs", "tuples"])
def test_later_ids_are_numbered_behind(ids):
    first, second, third = ID_KINDS[ids]

    def one(user, item):
        cells = np.empty((2, 1), dtype=object)
        cells[0, 0], cells[1, 0] = user, item
        return pd.DataFrame({"user_id": cells[0], "item_id": cells[1]}).infer_objects()

    shop, _ = Interactions.from_table(one(first, second)).add(one(second, third))
    shop, _ = shop.add(one(third, second))
    assert shop.user_ids.tolist() == [first, second, third]
    assert shop.item_ids.tolist() == [second, third]
    assert held(shop).keys() == {(first, second), (second, third), (third, second)}


def test_batches_of_every_kind_of_table_are_taken(make):
    shop = Interactions.from_table(make({"user_id": ["a"], "item_id": [1], "timestamp": [5]}))
    shop, _ = shop.add(
        make({"user_id": ["b", "a"], "item_id": [1, 2], "timestamp": [7, 6]}),
        items=make({"item_id": [9, 2]}),
        users=make({"user_id": ["z"]}),
    )
    assert shop.user_ids.tolist() == ["a", "b", "z"]
    assert shop.item_ids.tolist() == [1, 2, 9]
    assert held(shop) == {
        ("a", 1): (1, 5 * 10**9),
        ("b", 1): (1, 7 * 10**9),
        ("a", 2): (1, 6 * 10**9),
    }


@pytest.mark.parametrize(
    "how", [{}, {"timed": True}, {"values": "rating", "timed": True}], ids=str
)
def test_an_empty_batch_changes_nothing(how):
    shop = Interactions.from_table(table([("u", "i", 3, 0)], **how))
    before = snapshot(shop)
    for batch in (table([], **how), pd.DataFrame({"user_id": [], "item_id": []})):
        after, change = shop.add(batch)
        assert snapshot(after) == before
        assert len(change.users) == len(change.items) == 0


@given(data=st.data(), how=st.sampled_from(list(HOW)))
def test_everything_may_arrive_later(data, how):
    how = HOW[how]
    rows = data.draw(logs(min_size=1, values=RATINGS))
    shop, _ = Interactions.from_table(table([], **how)).add(table(rows, **how))
    assert_equal(shop, Interactions.from_table(table(rows, **how)), rel=1e-6)


def test_everything_may_arrive_later_with_a_half_life():
    rows = [("u", "i", 1, 19_000), ("u", "j", 1, 19_001)]
    start = Interactions.from_table(table([], timed=True), half_life="1D")
    shop, _ = start.add(table(rows, timed=True))
    assert_equal(shop, Interactions.from_table(table(rows, timed=True), half_life="1D"), rel=1e-6)


@pytest.mark.parametrize(
    ("how", "options", "batch", "words"),
    [
        ({}, {}, pd.DataFrame({"user_id": [1], "item_id": ["i"]}), "user_id is int in the batch and str"),
        ({}, {}, pd.DataFrame({"user_id": ["u"], "item_id": [1]}), "item_id is int in the batch and str"),
        ({}, {}, pd.DataFrame({"user": ["u"]}), r"the batch of events lacks the columns \['user_id'"),
        ({"timed": True}, {}, table([("u", "i", 1, 0)]), "the batch of events has no timestamp column"),
        ({"timed": True}, {"half_life": "1D"}, table([("u", "i", 1, 0)]), "half_life needs a timestamp"),
        ({"values": "rating"}, {}, Interactions.from_matrix(MATRIX), "holds weights; this model learned ratings"),
        (
            {"timed": True},
            {"half_life": "1D"},
            Interactions.from_table(table([("u", "i", 1, 0)], timed=True), half_life="2D"),
            "the batch was made with another half_life",
        ),
        ({"values": "weight"}, {}, table([("u", "i", 1e39, 0)], values="weight"), r"weight .*float32"),
    ],
    ids=["user type", "item type", "columns", "no time", "half-life", "kind", "other half-life", "huge"],
)  # fmt: skip
def test_a_batch_that_does_not_fit_is_refused(how, options, batch, words):
    shop = Interactions.from_table(table([("u", "i", 1, 0)], **how), **options)
    before = snapshot(shop)
    with pytest.raises(DataError, match=words):
        shop.add(batch)
    assert snapshot(shop) == before


def test_side_tables_make_ids_known_without_events(make):
    shop = Interactions.from_table(make({"user_id": ["a"], "item_id": [5]}))
    listed = shop.listing(items=make({"item_id": [9, 5]}), users=make({"user_id": ["b"]}))
    assert (listed.user_ids.tolist(), listed.item_ids.tolist()) == (["a", "b"], [5, 9])
    assert held(listed) == held(shop)
    assert shop.listing() is shop
    assert_derived_agrees(listed)


# Forgetting


@given(data=st.data(), how=st.sampled_from(list(HOW)))
def test_forgetting_equals_a_table_without_those_rows(how, data):
    how = HOW[how]
    values = RATINGS if how.get("values") == "rating" else WEIGHTS
    rows = data.draw(logs(min_size=1, values=values))
    first, batch = pieces(data, rows, 2)
    shop, _ = Interactions.from_table(table(first, **how)).add(table(batch, **how))
    users = data.draw(st.sets(st.sampled_from(sorted({r[0] for r in rows}))))
    items = data.draw(st.sets(st.sampled_from(sorted({r[1] for r in rows}))))
    before = snapshot(shop)
    left, kept_users, kept_items = shop.without(
        shop.users.rows(sorted(users)), shop.items.rows(sorted(items))
    )
    rest = [r for r in rows if r[0] not in users and r[1] not in items]
    expected = Interactions.from_table(table(rest, **how))
    assert_equal(left, expected, rel=1e-6 if how.get("values") == "rating" else 0.0)
    assert_derived_agrees(left)
    assert shop.user_ids[kept_users].tolist() == left.user_ids.tolist()
    assert shop.item_ids[kept_items].tolist() == left.item_ids.tolist()
    assert snapshot(shop) == before


@given(data=st.data())
def test_forgetting_with_a_half_life_equals_a_table_without_those_rows(data):
    rows = data.draw(logs(min_size=1))
    how = {"values": "weight", "timed": True}
    user = data.draw(st.sampled_from(rows))[0]
    shop = Interactions.from_table(table(rows, **how), half_life="2D")
    left, _, _ = shop.without(users=shop.users.rows([user]))
    rest = Interactions.from_table(table([r for r in rows if r[0] != user], **how), half_life="2D")
    assert_equal(left, rest, rel=1e-5)
    more = [("u9", "i1", 1.0, 9)]
    rows = [r for r in rows if r[0] != user] + more
    expected = Interactions.from_table(table(rows, **how), half_life="2D")
    assert_equal(left.add(table(more, **how))[0], expected, rel=1e-5)


def test_forgetting_everything_that_decays_leaves_a_finite_scale():
    rows = [("u", "i", 1, 19_000), ("v", "i", 1, 19_001)]
    shop = Interactions.from_table(table(rows, timed=True), half_life="1D")
    left, _, _ = shop.without(users=np.array([0, 1]))
    assert np.isfinite(left.scale)
    later, _ = left.add(table(rows, timed=True))
    assert_equal(later, shop, rel=1e-6)


def test_forgetting_whoever_was_far_ahead_leaves_finite_weights():
    """One event with a wrong date makes all others weigh nothing: that cannot become NaN."""
    rows = [("u", "i", 1, 0), ("v", "i", 1, 20_000)]
    shop = Interactions.from_table(table(rows, timed=True), half_life="1D")
    left, _, _ = shop.without(users=shop.users.rows(["v"]))
    assert np.isfinite(left.data * left.scale).all()
    later, _ = left.add(table([("u", "j", 1, 0)], timed=True))
    assert held(later)["u", "j"] == (1, 0)


def test_listed_ids_stay_when_all_who_touched_them_are_forgotten():
    shop = Interactions.from_table(
        pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"]}),
        items=pd.DataFrame({"item_id": ["x", "z"]}),
        users=pd.DataFrame({"user_id": ["b", "c"]}),
    )
    left, _, _ = shop.without(users=shop.users.rows(["a"]), items=shop.items.rows(["y"]))
    assert (left.user_ids.tolist(), left.item_ids.tolist()) == (["b", "c"], ["x", "z"])
    gone, _, _ = left.without(items=left.items.rows(["x"]))
    assert gone.item_ids.tolist() == ["z"]


def test_no_buffer_holds_what_was_forgotten():
    secret = 87_654_321
    rows = pd.DataFrame({"user_id": [secret, 1], "item_id": [5, 5], "weight": [777.125, 1.0]})
    shop = Interactions.from_table(rows)
    assert shop.by_item.n_entries == 2
    left, _, _ = shop.without(users=shop.users.rows([secret]))
    kept = pickle.dumps(left)
    assert np.int64(secret).tobytes() not in kept
    assert np.float32(777.125).tobytes() not in kept
    for store in (left.by_user, left.by_item):
        assert not any(np.isin(777.125, buffer) for buffer in store.columns)


# Derived, and kept


def test_the_scipy_matrix_is_a_copy_with_one_index_type():
    shop = Interactions.from_table(table([("u", "i", 2, 0), ("v", "j", 3, 0)], values="weight"))
    matrix = shop.to_scipy()
    assert matrix.indptr.dtype == matrix.indices.dtype == np.int32
    matrix.data[:] = 9
    assert shop.data.tolist() == [2, 3]


@given(logs())
def test_items_hold_the_users_of_their_column(rows):
    shop = Interactions.from_table(table(rows, values="weight"))
    dense = shop.to_scipy().toarray()
    indptr, (users, data) = shop.by_item.to_csr()
    for item in range(shop.n_items):
        inside = slice(indptr[item], indptr[item + 1])
        assert (np.diff(users[inside]) > 0).all()
        assert dense[users[inside], item].tolist() == data[inside].tolist()
    assert shop.item_counts.tolist() == (dense > 0).sum(axis=0).tolist()


@given(logs(), logs())
def test_a_pickle_is_the_same_interactions(rows, batch):
    shop, _ = Interactions.from_table(table(rows, timed=True)).add(table(batch, timed=True))
    again = pickle.loads(pickle.dumps(shop))
    assert snapshot(again) == snapshot(shop)
    assert_equal(again.add(table(rows, timed=True))[0], shop.add(table(rows, timed=True))[0])


# Size

MEASURE = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
from ecomrec.data import Interactions

def events(n, kind):
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, n // 20 + 1, n), rng.integers(0, n // 100 + 1, n)
    if kind == "str":
        name = np.char.mod
        users = pd.array(name("customer-%08d", np.arange(n // 20 + 1)))[users]
        items = pd.array(name("sku-%07d", np.arange(n // 100 + 1)))[items]
    frame = pd.DataFrame({"user_id": users, "item_id": items})
    if kind == "full":
        frame["weight"] = rng.random(n)
        frame["timestamp"] = pd.to_datetime(rng.integers(0, 10**9, n), unit="s")
    return frame

def status(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024

n, kind = int(sys.argv[1]), sys.argv[2]
half_life = "30D" if kind == "full" else None
Interactions.from_table(events(1000, kind), half_life=half_life)
before = status("VmRSS")
table = events(n, kind)
size = int(table.memory_usage(deep=True).sum())
Path("/proc/self/clear_refs").write_text("5")
start = time.process_time()
shop = Interactions.from_table(table, half_life=half_life)
seconds = time.process_time() - start
assert shop.n_entries > n // 2
print(size, status("VmHWM") - before, seconds)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "kind"), [(10_000_000, "int"), (10_000_000, "full"), (2_000_000, "str")]
)
def test_reading_takes_at_most_four_times_the_memory_of_the_table(n, kind):
    """The table itself counts too. Seconds are shown by ``pytest -m slow -rP``."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(n), kind], capture_output=True, text=True, check=False
    )
    if "/proc/self" in done.stderr:
        pytest.skip("the peak of a process cannot be reset here: no /proc/self/clear_refs")
    assert done.returncode == 0, done.stderr
    size, peak, seconds = map(float, done.stdout.split())
    report = (
        f"{n:,} rows ({kind}): {seconds:.1f} s, table {size / 1e6:.0f} MB, "
        f"peak {peak / 1e6:.0f} MB = {peak / size:.2f} times the table"
    )
    sys.stdout.write(report)
    assert peak <= 4 * size, report
    assert seconds < 30, report


def test_interactions_as_a_batch_bring_side_tables_along():
    first = Interactions.from_table(pd.DataFrame({"user_id": ["a"], "item_id": ["x"]}))
    batch = Interactions.from_table(pd.DataFrame({"user_id": ["b"], "item_id": ["y"]}))
    told = pd.DataFrame({"item_id": ["z"]})
    shop, change = first.add(batch, items=told)
    assert set(shop.item_ids) == {"x", "y", "z"}
    assert shop.item_ids[change.items].tolist() == ["y"]
