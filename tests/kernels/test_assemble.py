import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from ecomrec.kernels import assemble
from ecomrec.testing.twins import (
    group_by_row_twin,
    merge_ratings_twin,
    merge_weights_twin,
    transpose_twin,
)

# Sums of these depend on their order in float64; some cancel exactly, some by rounding only.
WEIGHTS = (1.0, 5.0, -5.0, -1.0, 0.1, 0.2, -0.3, 1e9, -1e9, 3e-7)
NO_TIMES = np.empty(0, dtype=np.int64)
NO_WEIGHTS = np.empty(0)


@st.composite
def entries(draw, values=WEIGHTS):
    """Entries by row, columns in any order and often the same: indptr, columns, values, times."""
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    n = sum(lengths)
    columns = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    weights = draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))
    times = draw(st.lists(st.integers(-(2**62), 2**62) | st.just(7), min_size=n, max_size=n))
    return (
        assemble.offsets(np.array(lengths)),
        np.array(columns, dtype=np.int32),
        np.array(weights, dtype=np.float64),
        np.array(times, dtype=np.int64),
    )


def closed(indptr, lengths, parts):
    indptr = assemble.compact(indptr, lengths, parts)
    return indptr, tuple(values[: indptr[-1]] for values in parts)


def merged_weights(indptr, columns, weights, times, n_jobs):
    columns, times = columns.copy(), times.copy()
    lengths, data = assemble.merge_weights(indptr, columns, weights, times, n_jobs)
    parts = [columns, data, times] if len(times) else [columns, data]
    indptr, merged = closed(indptr, lengths, parts)
    return indptr, *merged


def merged_ratings(indptr, columns, ratings, times, counts, n_jobs):
    columns, times, counts = columns.copy(), times.copy(), counts.copy()
    lengths, data = assemble.merge_ratings(indptr, columns, ratings, times, counts, n_jobs)
    parts = [columns, data, times, counts] if len(times) else [columns, data, counts]
    indptr, merged = closed(indptr, lengths, parts)
    return indptr, *merged


@given(st.lists(st.integers(0, 5), max_size=30))
def test_grouping_equals_a_stable_sort(codes):
    codes = np.array(codes, dtype=np.int64)
    indptr, order = assemble.group_by_row(codes, 7)
    twin_indptr, twin_order = group_by_row_twin(codes, 7)
    np.testing.assert_array_equal(indptr, twin_indptr)
    np.testing.assert_array_equal(order, twin_order)
    assert indptr.dtype == np.int64


@given(entries(), st.booleans(), st.booleans())
def test_merged_weights_equal_their_twin(threads, events, weighted, timed):
    indptr, columns, weights, times = events
    weights = weights if weighted else NO_WEIGHTS
    times = times if timed else NO_TIMES
    found = threads(lambda n_jobs: merged_weights(indptr, columns, weights, times, n_jobs))
    twin_indptr, twin = merge_weights_twin(indptr, columns, weights, times)
    np.testing.assert_array_equal(found[0], twin_indptr)
    for one, two in zip(found[1:], twin[: len(found) - 1], strict=True):
        np.testing.assert_array_equal(one, two)


@given(entries(), st.randoms(use_true_random=False))
def test_the_order_of_entries_within_a_row_changes_no_bit(events, random):
    indptr, columns, weights, times = events
    shuffled = np.arange(len(columns))
    for start, stop in itertools.pairwise(indptr.tolist()):
        shuffled[start:stop] = random.sample(range(start, stop), stop - start)
    ones = np.ones(len(columns), dtype=np.int32)
    for merge, rest in ((merged_weights, (1,)), (merged_ratings, (ones, 1))):
        one = merge(indptr, columns, weights, times, *rest)
        two = merge(indptr, columns[shuffled], weights[shuffled], times[shuffled], *rest)
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first, second)


def test_the_order_of_nearly_cancelling_weights_changes_no_bit():
    """Where little is left of much, the last bit of a float64 sum is one of float32."""
    rng = np.random.default_rng(0)
    n_rows, n = 6000, 40
    bought = rng.lognormal(size=(n_rows, n))
    weights = np.hstack([bought, -bought, 3e-6 * bought.sum(axis=1, keepdims=True)])
    indptr = np.arange(0, weights.size + 1, 2 * n + 1)
    columns = np.zeros(weights.size, dtype=np.int32)
    shuffled = rng.permuted(weights, axis=1)
    one = merged_weights(indptr, columns, weights.ravel(), NO_TIMES, 1)
    two = merged_weights(indptr, columns, shuffled.ravel(), NO_TIMES, 1)
    assert (one[2] > 0).all()
    np.testing.assert_array_equal(one[2], two[2])


@given(entries(values=(1.0, 2.5, 4.0, 5.0)), st.booleans(), st.lists(st.integers(1, 3)))
def test_merged_ratings_equal_their_twin(threads, events, timed, counts):
    indptr, columns, ratings, times = events
    times = times if timed else NO_TIMES
    counts = np.resize(np.array([*counts, 1], dtype=np.int32), len(columns))
    found = threads(lambda n_jobs: merged_ratings(indptr, columns, ratings, times, counts, n_jobs))
    twin_indptr, (twin_columns, twin_data, twin_times, twin_counts) = merge_ratings_twin(
        indptr, columns, ratings, times, counts
    )
    np.testing.assert_array_equal(found[0], twin_indptr)
    np.testing.assert_array_equal(found[1], twin_columns)
    # The kernel adds in sorted order and the twin as NumPy does: the last bit may differ.
    np.testing.assert_allclose(found[2], twin_data, rtol=3e-7)
    np.testing.assert_array_equal(found[-1], twin_counts)
    if timed:
        np.testing.assert_array_equal(found[3], twin_times)


def test_a_purchase_that_was_returned_is_seen_without_evidence():
    indptr = np.array([0, 3])
    columns = np.array([4, 4, 4], dtype=np.int32)
    _, found, data = merged_weights(indptr, columns, np.array([0.1, 0.2, -0.3]), NO_TIMES, 1)
    assert (found.tolist(), data.tolist()) == ([4], [0.0])


@pytest.mark.parametrize(("part", "expected"), [(1e-6, 0.0), (3e-6, 1.5e-6)])
def test_only_sums_far_below_their_parts_count_as_cancelled(part, expected):
    columns = np.zeros(2, dtype=np.int32)
    weights = np.array([0.5 + part / 2, -0.5])
    _, _, data = merged_weights(np.array([0, 2]), columns, weights, NO_TIMES, 1)
    assert data[0] == pytest.approx(expected, rel=1e-5)


def test_a_million_small_weights_add_up_in_float64():
    n = 1_000_000
    columns = np.zeros(n, dtype=np.int32)
    _, _, data = merged_weights(np.array([0, n]), columns, np.full(n, 0.1), NO_TIMES, 1)
    assert data[0] == pytest.approx(0.1 * n, rel=1e-7)


@given(entries())
def test_closing_gaps_keeps_the_front_of_each_row(events):
    indptr, columns, _, times = events
    lengths = np.diff(indptr) // 2
    expected = [
        np.concatenate([v[i : i + n] for i, n in zip(indptr[:-1], lengths, strict=True)])
        for v in (columns, times)
    ]
    new_indptr, parts = closed(indptr, lengths, [columns, times])
    np.testing.assert_array_equal(np.diff(new_indptr), lengths)
    for found, part in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(found, part)


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.int64, np.float64])
def test_moved_rows_keep_every_bit(dtype):
    source = np.array([1, 2, 3, 4, 5], dtype=dtype)
    if np.issubdtype(dtype, np.floating):
        source[1:3] = np.nan, -0.0
    target = np.zeros(6, dtype=dtype)
    starts, lengths, targets = np.array([3, 0, 5]), np.array([2, 3, 0]), np.array([0, 3, 6])
    assemble.move_rows(starts, lengths, targets, source, target)
    expected = np.concatenate([source[3:5], [0], source[:3]]).astype(dtype)
    np.testing.assert_array_equal(target, expected)
    np.testing.assert_array_equal(np.signbit(target), np.signbit(expected))


@given(st.data())
def test_transposing_equals_its_twin(data):
    n_rows, n_columns = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 5))
    rows = st.lists(st.integers(0, n_columns - 1), unique=True).map(sorted)
    held = data.draw(st.lists(rows, min_size=n_rows, max_size=n_rows))
    lengths = np.array([len(row) for row in held], dtype=np.int32)
    starts = assemble.offsets(lengths)[:-1] + np.arange(n_rows) * 2
    room = int(lengths.sum()) + 2 * n_rows
    indices, values = np.full(room, 77, dtype=np.int32), np.arange(room, dtype=np.float32)
    for start, row in zip(starts, held, strict=True):
        indices[start : start + len(row)] = row
    found = assemble.transpose(starts, lengths, indices, values, n_columns)
    for one, two in zip(
        found, transpose_twin(starts, lengths, indices, values, n_columns), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@given(st.data())
def test_overwriting_sets_the_named_entries_and_no_other(data):
    n = 6
    held = data.draw(st.lists(st.lists(st.integers(0, n - 1), unique=True), max_size=4))
    changed = [data.draw(st.permutations(row)) for row in held]
    changed = [row[: data.draw(st.integers(0, len(row)))] for row in changed]
    indptr = assemble.offsets(np.array([len(row) for row in held], dtype=np.int64))
    changes = assemble.offsets(np.array([len(row) for row in changed], dtype=np.int64))
    indices = np.array([c for row in held for c in row], dtype=np.int32)
    columns = np.array([c for row in changed for c in row], dtype=np.int32)
    old, new = np.arange(len(indices), dtype=np.float32), -1 - np.arange(len(columns))
    expected = [
        {**dict(zip(row, old[start : start + len(row)].tolist(), strict=True)),
         **dict(zip(more, new[at : at + len(more)].tolist(), strict=True))}
        for row, start, more, at in zip(held, indptr, changed, changes, strict=False)
    ]  # fmt: skip
    values = old.copy()
    assemble.overwrite(indptr, indices, values, changes, columns, new.astype(np.float32), n)
    found = [
        values[start : start + len(row)].tolist() for row, start in zip(held, indptr, strict=False)
    ]
    assert found == [[wanted[c] for c in row] for row, wanted in zip(held, expected, strict=True)]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_offsets_do_not_overflow(dtype):
    lengths = np.full(3, 2**30, dtype=dtype)
    assert assemble.offsets(lengths).tolist() == [0, 2**30, 2**31, 3 * 2**30]
