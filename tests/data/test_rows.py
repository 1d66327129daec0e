import pickle
from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import numpy as np
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ecomrec.data.rows import RowStore
from ecomrec.kernels.assemble import offsets

DTYPES = (np.int32, np.float32, np.int64)
ENTRIES = st.lists(st.integers(-1000, 1000), max_size=9)


def csr(rows):
    """Lists of numbers as `RowStore` takes them: a column of each type that holds them."""
    flat = [value for row in rows for value in row]
    indptr = offsets(np.array([len(row) for row in rows], dtype=np.int64))
    return indptr, tuple(np.array(flat, dtype=dtype) for dtype in DTYPES)


def lists(store):
    return [store.row(row)[0].tolist() for row in range(store.n_rows)]


def assert_holds(store, rows):
    assert store.n_rows == len(rows)
    assert store.n_entries == sum(map(len, rows))
    assert lists(store) == rows
    indptr, columns = store.to_csr()
    expected_indptr, expected = csr(rows)
    np.testing.assert_array_equal(indptr, expected_indptr)
    for found, values in zip(columns, expected, strict=True):
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)


class Versions(RuleBasedStateMachine):
    """Any version may be changed at any time, and every version keeps what it held."""

    @initialize(
        rows=st.lists(ENTRIES, max_size=6), how=st.sampled_from(("as is", "room", "mapped"))
    )
    def start(self, rows, how):
        indptr, columns = csr(rows)
        for values in columns:
            values.flags.writeable = how != "mapped"
        store = RowStore.from_csr(indptr, columns)
        self.versions = [(store.with_room() if how == "room" else store, rows)]

    def pick(self, data, more):
        """A version to change, some of its rows and what to put there."""
        place = len(self.versions) - 1
        if not data.draw(st.booleans()):
            place = data.draw(st.integers(0, place))
        store, rows = self.versions[place]
        rows = [*rows, *([[]] * more)]
        chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True)) if rows else []
        entries = data.draw(st.lists(ENTRIES, min_size=len(chosen), max_size=len(chosen)))
        return store, rows, np.array(chosen, dtype=np.int64), entries

    @rule(data=st.data(), more=st.integers(0, 3))
    def replace(self, data, more):
        store, rows, chosen, entries = self.pick(data, more)
        version = store.replace(chosen, *csr(entries), len(rows))
        for row, values in zip(chosen, entries, strict=True):
            rows[row] = values
        self.versions.append((version, rows))

    @rule(data=st.data(), more=st.integers(0, 3))
    def append(self, data, more):
        store, rows, chosen, entries = self.pick(data, more)
        version = store.append(chosen, *csr(entries), len(rows))
        for row, values in zip(chosen, entries, strict=True):
            rows[row] = rows[row] + values
        self.versions.append((version, rows))

    @rule(data=st.data())
    def take(self, data):
        store, rows = data.draw(st.sampled_from(self.versions))
        chosen = data.draw(st.lists(st.integers(0, len(rows) - 1))) if rows else []
        indptr, columns = store.take(np.array(chosen, dtype=np.int64))
        expected_indptr, expected = csr([rows[row] for row in chosen])
        np.testing.assert_array_equal(indptr, expected_indptr)
        for found, values in zip(columns, expected, strict=True):
            np.testing.assert_array_equal(found, values)
            assert not any(np.shares_memory(found, buffer) for buffer in store.columns)

    @rule(data=st.data())
    def pickled(self, data):
        store, rows = data.draw(st.sampled_from(self.versions))
        self.versions.append((pickle.loads(pickle.dumps(store)), rows))

    def teardown(self):
        for store, rows in getattr(self, "versions", []):
            assert_holds(store, rows)


TestVersions = Versions.TestCase
TestVersions.settings = settings(stateful_step_count=12)


def counting(n_rows, length):
    return [list(range(row, row + length)) for row in range(n_rows)]


def test_rows_are_described_by_starts_and_lengths():
    store = RowStore.from_csr(*csr([[1, 2], [], [3]]))
    store = store.replace(np.array([0]), *csr([[7, 8, 9]]))
    starts, lengths, indices, values = store.arrays
    assert lengths.tolist() == [3, 0, 1]
    assert indices[starts[0] : starts[0] + 3].tolist() == [7, 8, 9]
    assert values.dtype == np.float32


def test_a_store_takes_arrays_over_without_a_copy():
    indptr, columns = csr(counting(3, 4))
    store = RowStore.from_csr(indptr, columns)
    assert all(a is b for a, b in zip(store.columns, columns, strict=True))
    assert all(np.shares_memory(a, b) for a, b in zip(store.to_csr()[1], columns, strict=True))


def test_a_small_change_finds_room_behind_the_rows():
    store = RowStore.from_csr(*csr(counting(100, 10))).with_room()
    newer = store.replace(np.array([5]), *csr([[1, 2, 3]]))
    assert newer.columns[0] is store.columns[0]
    assert lists(store) == counting(100, 10)


def test_a_second_change_of_one_version_does_not_touch_the_first():
    parent = RowStore.from_csr(*csr(counting(4, 2))).with_room()
    one = parent.append(np.array([0]), *csr([[-1]]))
    two = parent.append(np.array([0]), *csr([[-2]]))
    three = parent.replace(np.array([1]), *csr([[-3, -3, -3]]))
    one_more = one.append(np.array([0]), *csr([[-4]]))
    assert [lists(s)[0] for s in (parent, one, two, three, one_more)] == [
        [0, 1], [0, 1, -1], [0, 1, -2], [0, 1], [0, 1, -1, -4],
    ]  # fmt: skip
    assert lists(three)[1] == [-3, -3, -3]


def test_a_row_with_room_grows_in_place_for_one_of_two_siblings_only():
    parent = RowStore.from_csr(*csr(counting(2, 2))).append(np.array([0]), *csr([[7]]))
    assert parent.capacities[0] > parent.lengths[0]
    one = parent.append(np.array([0]), *csr([[-1]]))
    two = parent.append(np.array([0]), *csr([[-2, -2]]))
    assert one.starts[0] == parent.starts[0]
    assert [lists(s)[0] for s in (parent, one, two)] == [
        [0, 1, 7],
        [0, 1, 7, -1],
        [0, 1, 7, -2, -2],
    ]


def test_concurrent_changes_of_one_version_do_not_touch_each_other():
    parent = RowStore.from_csr(*csr(counting(20, 5))).with_room()

    def change(number):
        store = parent
        for row in range(20):
            store = store.append(np.array([row]), *csr([[number] * 3]))
        return store

    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(change, range(40)))
    for number, store in enumerate(stores):
        assert lists(store) == [row + [number] * 3 for row in counting(20, 5)]
    assert lists(parent) == counting(20, 5)


def test_replaced_rows_do_not_pile_up():
    n = 50
    store = RowStore.from_csr(*csr(counting(n, 10)))
    for step in range(3000):
        store = store.replace(np.array([step % n]), *csr([[step] * 10]))
    assert store.n_entries == 10 * n
    assert len(store.columns[0]) <= 4 * store.n_entries + 100


def test_rows_that_shrink_give_their_room_back():
    n = 50
    store = RowStore.from_csr(*csr(counting(n, 1000)))
    for step in range(20 * n):
        store = store.replace(np.array([step % n]), *csr([[step]]))
    for step in range(60 * n):
        store = store.replace(np.array([step % n]), *csr([[step] * 100]))
        store = store.replace(np.array([step % n]), *csr([[step]]))
    assert len(store.columns[0]) <= 1000


def test_a_growing_row_is_not_copied_each_time():
    store = RowStore.from_csr(*csr([[], []]))
    moved = 0
    for step in range(2000):
        before = store.starts[0]
        store = store.append(np.array([0]), *csr([[step]]))
        moved += store.starts[0] != before
    assert lists(store) == [list(range(2000)), []]
    assert moved <= 60
    assert len(store.columns[0]) <= 8 * 2000


def test_a_pickle_holds_live_entries_only():
    secret = 123_456_789
    store = RowStore.from_csr(*csr([[secret] * 1000, [1, 2]]))
    store = store.replace(np.array([0]), *csr([[5]])).with_room()
    kept = pickle.dumps(store)
    assert len(kept) < 2000
    assert np.int64(secret).tobytes() not in kept
    assert lists(pickle.loads(kept)) == [[5], [1, 2]]


def test_a_store_without_rows_grows():
    store = RowStore.from_csr(*csr([]))
    assert store.to_csr()[0].tolist() == [0]
    indptr, columns = csr([[4]])
    grown = store.append(np.array([1]), indptr, columns, 3)
    assert_holds(grown, [[], [4], []])
    assert store.n_rows == 0
