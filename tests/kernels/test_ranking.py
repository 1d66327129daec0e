import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import assemble, ranking
from ecomrec.testing.twins import eligible, fill_twin, no_mask, top_k_twin

# Few values: ties are the rule. NaN is no evidence; zeros of both signs are equal.
SCORES = (np.nan, np.nan, np.nan, np.inf, -np.inf, -2.0, -1.0, -0.0, 0.0, 1.0, 1.0000001, 3.0)


@st.composite
def masks(draw, n_rows, n_items):
    """A mask with any of its three rules; items may be excluded twice."""
    items = st.integers(0, n_items - 1)
    excluded = draw(st.lists(st.lists(items, max_size=4), min_size=n_rows, max_size=n_rows))
    mask = no_mask(n_rows)._replace(
        excluded=flat(excluded), excluded_at=assemble.offsets([len(row) for row in excluded])
    )
    if draw(st.booleans()):
        mask = mask._replace(allowed=draw(arrays(np.bool_, n_items)))
    if draw(st.booleans()):
        row = st.lists(items, unique=True)
        candidates = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
        mask = mask._replace(
            candidates=flat(candidates),
            candidate_at=assemble.offsets([len(row) for row in candidates]),
        )
    return mask


def flat(rows):
    return np.array([item for row in rows for item in row], dtype=np.int32)


@st.composite
def requests(draw):
    n_rows, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    block = draw(
        arrays(np.float32, (n_rows, n_items), elements=st.sampled_from(SCORES), fill=st.nothing())
    )
    return block, draw(st.integers(1, 9)), draw(masks(n_rows, n_items))


@given(requests())
def test_top_k_equals_a_full_sort(threads, asked):
    block, k, mask = asked
    items, scores = threads(lambda n_jobs: ranking.top_k(block, k, mask, n_jobs))
    twin_items, twin_scores = top_k_twin(block, k, mask)
    np.testing.assert_array_equal(items, twin_items)
    np.testing.assert_array_equal(scores, twin_scores)
    assert (items.dtype, scores.dtype) == (np.int32, np.float32)


def test_top_k_of_a_wide_block_equals_a_full_sort(threads):
    rng = np.random.default_rng(0)
    block = rng.integers(0, 60, (12, 400)).astype(np.float32)
    block[block == 0] = np.nan
    hidden = rng.integers(0, 400, (12, 30)).astype(np.int32)
    mask = no_mask(12)._replace(
        allowed=rng.random(400) < 0.9,
        excluded=hidden.ravel(),
        excluded_at=assemble.offsets(np.full(12, 30)),
    )
    items, scores = threads(lambda n_jobs: ranking.top_k(block, 50, mask, n_jobs))
    twin_items, twin_scores = top_k_twin(block, 50, mask)
    np.testing.assert_array_equal(items, twin_items)
    np.testing.assert_array_equal(scores, twin_scores)


def test_equal_scores_come_in_the_order_of_row_numbers():
    items, _ = ranking.top_k(np.array([[1.0, 2.0, 2.0, 1.0, 2.0]]), 4, no_mask(1))
    assert items.tolist() == [[1, 2, 4, 0]]


def test_nothing_eligible_leaves_an_empty_row():
    items, scores = ranking.top_k(np.full((1, 3), np.nan), 2, no_mask(1))
    assert items.tolist() == [[-1, -1]]
    assert np.isnan(scores).all()


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_blocks_without_rows_or_items_are_answered(shape):
    items, scores = ranking.top_k(np.zeros(shape), 2, no_mask(shape[0]), 2)
    assert items.shape == scores.shape == (shape[0], 2)
    assert (items == -1).all()


def test_scores_of_any_float_type_and_layout_are_taken():
    block = np.array([[1.0, 3.0], [2.0, 0.0], [5.0, 6.0]])
    items, scores = ranking.top_k(np.asfortranarray(block), 1, no_mask(3))
    assert items.tolist() == [[1], [0], [1]]
    assert scores.dtype == np.float32


@given(requests(), st.integers(0, 4), st.integers(0, 4))
def test_the_mask_of_neighbouring_rows_answers_as_the_whole_mask(asked, start, n):
    block, k, mask = asked
    part = slice(min(start, len(block)), min(start + n, len(block)))
    expected = ranking.top_k(block, k, mask)
    found = ranking.top_k(block[part], k, ranking.slice_mask(mask, part))
    np.testing.assert_array_equal(found[0], expected[0][part])
    np.testing.assert_array_equal(found[1], expected[1][part])


@given(requests(), st.randoms(use_true_random=False))
def test_filling_equals_its_twin(asked, random):
    block, k, mask = asked
    order = np.array(random.sample(range(block.shape[1]), block.shape[1]), dtype=np.int32)
    items, scores = top_k_twin(block, k, mask)
    twin_items, twin_scores = fill_twin(items, scores, order, mask)
    ranking.fill_by_popularity(items, scores, order, mask)
    np.testing.assert_array_equal(items, twin_items)
    np.testing.assert_array_equal(scores, twin_scores)


@given(requests(), st.randoms(use_true_random=False))
def test_filled_rows_hold_every_eligible_item_or_k(asked, random):
    block, k, mask = asked
    n_items = block.shape[1]
    order = np.array(random.sample(range(n_items), n_items), dtype=np.int32)
    items, scores = ranking.top_k(block, k, mask)
    ranking.fill_by_popularity(items, scores, order, mask)
    for row in range(len(block)):
        shown, keep = items[row][items[row] >= 0], eligible(mask, row, n_items)
        assert len(shown) == len(set(shown)) == min(k, keep.sum())
        assert keep[shown].all()
        falling = scores[row][: len(shown)]
        assert (falling[1:] <= falling[:-1]).all()
        assert np.isnan(scores[row][len(shown) :]).all()


@given(data=st.data())
def test_items_taken_in_order_are_the_first_that_are_eligible(data):
    n_rows, n_items = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 7))
    mask, k = data.draw(masks(n_rows, n_items)), data.draw(st.integers(1, 9))
    order = np.array(data.draw(st.permutations(range(n_items))), dtype=np.int32)
    order = order[: data.draw(st.integers(0, n_items))]
    values = np.arange(n_items, dtype=np.float32) + 0.5
    rows = np.array(data.draw(st.sets(st.integers(0, n_rows - 1)).map(sorted)), dtype=np.int64)
    items = np.full((n_rows, k), -1, dtype=np.int32)
    scores = np.full((n_rows, k), np.nan, dtype=np.float32)
    ranking.take_in_order(order, values, rows, k, mask, items, scores)
    for row in range(n_rows):
        keep = eligible(mask, row, n_items)[order] & (row in rows)
        taken = order[keep][:k].tolist()
        padding = k - len(taken)
        assert items[row].tolist() == taken + [-1] * padding
        np.testing.assert_array_equal(scores[row], [*values[taken], *[np.nan] * padding])


def test_filling_leaves_full_rows_alone():
    items, scores = np.array([[3, 0]], dtype=np.int32), np.array([[2.0, 1.0]], dtype=np.float32)
    ranking.fill_by_popularity(items, scores, np.arange(4, dtype=np.int32), no_mask(1))
    assert (items.tolist(), scores.tolist()) == ([[3, 0]], [[2.0, 1.0]])


def test_filling_behind_a_negative_score_never_rises():
    items = np.array([[2, -1, -1]], dtype=np.int32)
    scores = np.array([[-4.0, np.nan, np.nan]], dtype=np.float32)
    ranking.fill_by_popularity(items, scores, np.array([1, 0, 2], dtype=np.int32), no_mask(1))
    assert (items.tolist(), scores.tolist()) == ([[2, 1, 0]], [[-4.0, -4.0, -4.0]])


@given(st.lists(st.sampled_from(SCORES[3:]), min_size=1, max_size=40), st.integers(1, 40))
def test_selection_and_heap_sort_equal_a_full_sort(values, k):
    scores = np.array(values, dtype=np.float32)
    items = np.random.default_rng(len(values)).permutation(len(values)).astype(np.int32)
    expected = np.lexsort((items, -scores))[:k]
    best_items, best_scores = items[expected], scores[expected]
    size = len(scores)
    if k < size:
        ranking.keep_best(scores, items, size, k)
        size = k
    ranking.sort_best_first(scores, items, size)
    np.testing.assert_array_equal(items[:size], best_items)
    np.testing.assert_array_equal(scores[:size], best_scores)
