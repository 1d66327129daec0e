from unittest import mock

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from tests.kernels.test_quantized import assert_same_best, searches
from tests.kernels.test_ranking import flat

from ecomrec.kernels import assemble, quantized, retrieval
from ecomrec.testing.twins import eligible, no_mask
from ecomrec.testing.twins_retrieval import best_products_twin


@given(searches())
def test_best_products_equal_their_twin(threads, asked):
    vectors, factors, k, mask = asked
    found = threads(lambda n_jobs: retrieval.top_k(vectors, factors, k, mask, n_jobs))
    expected = best_products_twin(vectors, factors, k, mask)
    assert_same_best(found, expected, vectors, factors)
    for row in range(len(vectors)):
        shown = found[0][row][found[0][row] >= 0]
        assert eligible(mask, row, len(factors))[shown].all()


@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("share", [1.0, 0.9, 0.3, 0.0])
def test_many_rows_and_tiles_equal_the_twin(threads, k, share):
    rng = np.random.default_rng(k)
    vectors = rng.standard_normal((37, 16)).astype(np.float32)
    factors = rng.standard_normal((3000, 16)).astype(np.float32)
    seen = [rng.integers(0, 3000, n).astype(np.int32) for n in rng.integers(0, 300, 37)]
    mask = no_mask(37)._replace(
        allowed=rng.random(3000) < share,
        excluded=flat(seen),
        excluded_at=assemble.offsets([len(row) for row in seen]),
    )
    with mock.patch.multiple(retrieval, _ROWS=8, _ITEMS=1100, _MIN_SCORES=1):
        found = threads(lambda n_jobs: retrieval.top_k(vectors, factors, k, mask, n_jobs))
    items, scores = best_products_twin(vectors, factors, k, mask)
    np.testing.assert_array_equal(found[0], items)
    np.testing.assert_allclose(found[1], scores, rtol=1e-4)


@pytest.mark.parametrize("kind", ["constant", "negative", "rising", "falling", "not finite"])
def test_a_floor_from_the_first_tile_loses_nothing(kind):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((4000, 1)).astype(np.float32)
    if kind == "constant":
        factors[:] = 2
    elif kind == "negative":
        factors = -np.abs(factors)
    elif kind == "rising":
        factors.sort(axis=0)
    elif kind == "falling":
        factors = np.sort(factors, axis=0)[::-1]
    else:
        factors[::7] = np.nan
        factors[1::7] = np.inf
    vectors = np.ones((20, 1), dtype=np.float32)
    best = np.argsort(-factors[:, 0], kind="stable")[:60].astype(np.int32)
    mask = no_mask(20)._replace(
        excluded=np.tile(best[:30], 20), excluded_at=np.arange(21, dtype=np.int64) * 30
    )
    found = retrieval.top_k(vectors, factors, 10, mask)
    expected = best_products_twin(vectors, factors, 10, mask)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_mask_is_left_as_it_came():
    excluded = np.array([3, 1, 2], dtype=np.int32)
    mask = no_mask(1)._replace(excluded=excluded, excluded_at=np.array([0, 3]))
    factors = np.ones((5, 2), dtype=np.float32)
    items, _ = retrieval.top_k(factors[:1], factors, 3, mask)
    assert items.tolist() == [[0, 4, -1]]
    assert excluded.tolist() == [3, 1, 2]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
@pytest.mark.parametrize("coded", [False, True])
def test_requests_without_rows_or_items_are_answered(shape, coded):
    vectors, factors = (np.zeros((n, 4), dtype=np.float32) for n in shape)
    codes = quantized.quantize(factors) if coded else None
    items, scores = retrieval.top_k(vectors, factors, 2, no_mask(shape[0]), 2, codes=codes)
    assert items.shape == scores.shape == (shape[0], 2)
    assert (items == -1).all()
    assert np.isnan(scores).all()


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 2**32))
def test_one_row_is_answered_as_many_are(n_items, k, seed):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_items, 8)).astype(np.float32)
    vectors = rng.standard_normal((12, 8)).astype(np.float32)
    together = retrieval.top_k(vectors, factors, k, no_mask(12))
    alone = [retrieval.top_k(vectors[[row]], factors, k, no_mask(1)) for row in range(12)]
    scores = np.concatenate([one[1] for one in alone])
    np.testing.assert_allclose(together[1], scores, rtol=1e-4, atol=1e-6)
