from unittest import mock

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from tests.kernels.test_ranking import masks

from ecomrec.kernels import quantized, retrieval
from ecomrec.testing.twins import no_mask
from ecomrec.testing.twins_retrieval import best_products_twin, quantize_twin

# From where float32 loses digits to where products leave it.
SIZES = (0.0, 1e-45, 1e-38, 1e-20, 1e-3, 1.0, 3.0, 1e4, 1e12)
KINDS = ("normal", "constant", "sparse", "one outlier", "duplicated", "nearly equal", "signs")


@st.composite
def factors_of_any_kind(draw, n_rows=None, n_factors=None):
    n = n_rows or draw(st.integers(1, 300))
    width = n_factors or draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = rng.standard_normal((n, width))
    kind = draw(st.sampled_from(KINDS))
    if kind == "constant":
        made[:] = made[0, 0]
    elif kind == "sparse":
        made[rng.random((n, width)) < 0.9] = 0
    elif kind == "one outlier":
        made[:, 0] *= 1e5
    elif kind == "duplicated":
        made = made[rng.integers(0, min(n, 3), n)]
    elif kind == "nearly equal":
        made = made[0] * (1 + 1e-4 * rng.standard_normal((n, 1)))
    elif kind == "signs":
        made = np.sign(made)
    sizes = draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=3))
    return (made * rng.choice(sizes, (n, 1))).astype(np.float32)


@st.composite
def searches(draw):
    factors = draw(factors_of_any_kind())
    vectors = draw(factors_of_any_kind(draw(st.integers(1, 3)), factors.shape[1]))
    mask = draw(masks(len(vectors), len(factors)))
    return vectors, factors, draw(st.integers(1, 12)), mask


def assert_same_best(found, expected, vectors, factors, weights=None):
    """Scores are those expected, and items outside ties of rounding are."""
    items, scores = found
    np.testing.assert_array_equal(items >= 0, expected[0] >= 0)
    lengths = np.linalg.norm(factors.astype(np.float64), axis=1)
    if weights is not None:
        lengths = lengths * weights
    reach = np.linalg.norm(vectors.astype(np.float64), axis=1) * lengths.max(initial=0)
    for row in range(len(items)):
        slack = 1e-5 * reach[row] + 1e-44
        np.testing.assert_allclose(scores[row], expected[1][row], rtol=1e-5, atol=slack)
        mine = items[row][items[row] >= 0]
        assert len(mine) == len(set(mine.tolist()))
        products = factors[mine].astype(np.float64) @ vectors[row].astype(np.float64)
        if weights is not None:
            products *= weights[mine]
        np.testing.assert_allclose(scores[row][: len(mine)], products, rtol=1e-5, atol=slack)


def assert_added_in_float64(scores, expected, vectors, factors):
    """Sums differ by the order of their additions alone: a float32, or what cancels."""
    reach = np.linalg.norm(vectors.astype(np.float64), axis=1).max(initial=0)
    reach *= np.linalg.norm(factors.astype(np.float64), axis=1).max(initial=0)
    np.testing.assert_allclose(scores, expected, rtol=2e-7, atol=1e-13 * reach + 1e-44)


@given(searches())
def test_first_pass_over_codes_gives_the_exact_best(threads, asked):
    vectors, factors, k, mask = asked
    codes = quantized.quantize(factors)
    found = threads(lambda n: retrieval.top_k(vectors, factors, k, mask, n, codes=codes))
    items, scores = best_products_twin(vectors, factors, k, mask)
    assert_added_in_float64(found[1], scores, vectors, factors)
    assert_same_best(found, (items, scores), vectors, factors)


@pytest.mark.parametrize("order", ["rising", "falling", "random"])
def test_the_best_of_thousands_are_exact_whatever_their_order(order):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((5000, 48)).astype(np.float32)
    vectors = rng.standard_normal((5, 48)).astype(np.float32)
    if order != "random":
        rank = np.argsort(factors @ vectors[0])
        factors = factors[rank if order == "rising" else rank[::-1]]
    mask = no_mask(5)._replace(allowed=rng.random(5000) < 0.7)
    codes = quantized.quantize(factors)
    found = retrieval.top_k(vectors, factors, 25, mask, codes=codes)
    expected = best_products_twin(vectors, factors, 25, mask)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=2e-7)


@pytest.mark.parametrize("n_factors", [2, 5, 40])
def test_the_best_are_found_where_codes_tell_nothing_of_them(n_factors):
    rng = np.random.default_rng(n_factors)
    factors = (5e-4 * rng.standard_normal((1000, n_factors))).astype(np.float32)
    factors[:, 0] = 1
    vectors = rng.standard_normal((4, n_factors)).astype(np.float32)
    vectors[:, 0] = [0, 0, 1e-3, 1]
    codes = quantized.quantize(factors)
    assert not codes.codes[:, 1:].any()
    found = retrieval.top_k(vectors, factors, 10, no_mask(4), codes=codes)
    expected = best_products_twin(vectors, factors, 10, no_mask(4))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("n_factors", [2, 8, 700])
def test_the_best_are_found_where_rounding_the_query_decides(n_factors):
    rng = np.random.default_rng(n_factors)
    factors = rng.integers(-127, 128, (1000, n_factors)).astype(np.float32)
    factors[:, 0] = 127
    vectors = (1e-6 * rng.standard_normal((4, n_factors))).astype(np.float32)
    vectors[:, 0] = 1
    codes = quantized.quantize(factors)
    assert codes.residuals.max() < 1e-40
    found = retrieval.top_k(vectors, factors, 10, no_mask(4), codes=codes)
    expected = best_products_twin(vectors, factors, 10, no_mask(4))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


# Ten equal items, and one that is better by what rounding hides: of its own vector, whose code says
# it is worse; and of the query, whose second entry is too small for a step of its code.
HIDDEN = {
    "of the item": ([1, 1], [1, 0], [1 - 9e-4, 1e-3]),
    "of the query": ([1, 1e-5, 1 / 32767], [127, 0, 0], [127, 127, -37]),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_bounds_allow_for_what_rounding_hides(name):
    vector, usual, better = HIDDEN[name]
    factors = np.array([usual] * 10 + [better], dtype=np.float32)
    vectors = np.array([vector], dtype=np.float32)
    codes = quantized.quantize(factors)
    items, _ = retrieval.top_k(vectors, factors, 1, no_mask(1), codes=codes)
    assert items.tolist() == [[10]]


@pytest.mark.parametrize("k", [3, 30])
def test_a_large_catalogue_is_searched_in_parts(threads, k):
    rng = np.random.default_rng(k)
    factors = rng.integers(-2, 3, (1000, 6)).astype(np.float32)
    mask = no_mask(1)._replace(allowed=rng.random(1000) < 0.05)
    codes = quantized.quantize(factors)
    with mock.patch.object(quantized, "_PART", 10):
        found = threads(
            lambda n: quantized.search(
                factors[:1], factors, codes, k, mask, retrieval.NO_WEIGHTS, n
            )
        )
    expected = best_products_twin(factors[:1], factors, k, mask)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_equal_items_come_in_the_order_of_row_numbers():
    factors = np.tile(np.float32([[0.3, -0.7, 0.1]]), (500, 1))
    codes = quantized.quantize(factors)
    items, _ = retrieval.top_k(factors[:1], factors, 4, no_mask(1), codes=codes)
    assert items.tolist() == [[0, 1, 2, 3]]


def test_items_that_are_not_finite_are_never_answered_and_hide_nothing():
    factors = np.ones((200, 4), dtype=np.float32)
    factors[3, 1], factors[50] = np.nan, np.nan
    factors[150] = 2
    codes = quantized.quantize(factors)
    items, scores = retrieval.top_k(factors[:1], factors, 3, no_mask(1), codes=codes)
    assert items.tolist() == [[150, 0, 1]]
    assert scores.tolist() == [[8, 4, 4]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_survived(value):
    factors = np.ones((200, 2), dtype=np.float32)
    codes = quantized.quantize(factors)
    vectors = np.array([[value, 1], [1, 1]], dtype=np.float32)
    items, _ = retrieval.top_k(vectors, factors, 2, no_mask(2), codes=codes)
    assert items[1].tolist() == [0, 1]


@given(factors_of_any_kind())
def test_codes_miss_no_more_than_they_say(threads, factors):
    codes = quantized.Codes(*threads(lambda n_jobs: quantized.quantize(factors, n_jobs)))
    assert np.abs(codes.codes.astype(int)).max() <= 127
    stood_for = codes.scales[:, None].astype(np.float64) * codes.codes
    missed = np.linalg.norm(factors.astype(np.float64) - stood_for, axis=1)
    assert (missed <= codes.residuals).all()
    twin = quantize_twin(factors)
    np.testing.assert_array_equal(codes.scales, twin.scales)
    assert np.abs(codes.codes.astype(int) - twin.codes).max() <= 1
    np.testing.assert_allclose(codes.residuals, twin.residuals, rtol=1e-3, atol=1e-43)


@given(factors_of_any_kind())
def test_expanded_codes_are_near_what_they_stand_for(threads, factors):
    codes = quantized.quantize(factors)
    (rows,) = threads(lambda n_jobs: (quantized.expand(codes.codes, codes.scales, n_jobs),))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, codes.scales[:, None] * codes.codes.astype(np.float32))


@given(searches(), st.data())
def test_weights_multiply_products(threads, asked, data):
    vectors, factors, k, mask = asked
    weights = data.draw(
        arrays(np.float32, len(factors), elements=st.sampled_from([0.0, 0.25, 1.0, 3.0]))
    )
    codes = quantized.quantize(factors)
    found = threads(
        lambda n: retrieval.top_k(vectors, factors, k, mask, n, codes=codes, weights=weights)
    )
    expected = best_products_twin(vectors, factors, k, mask, weights)
    assert_added_in_float64(found[1], expected[1], vectors, factors * weights[:, None])


@given(searches())
def test_codes_alone_answer_as_the_vectors_they_stand_for(threads, asked):
    vectors, factors, k, mask = asked
    codes = quantized.quantize(factors)._replace(residuals=np.zeros(len(factors), np.float32))
    nothing = np.empty((0, factors.shape[1]), dtype=np.float32)
    found = threads(lambda n: retrieval.top_k(vectors, nothing, k, mask, n, codes=codes))
    rows = codes.scales[:, None].astype(np.float64) * codes.codes
    expected = best_products_twin(vectors, rows, k, mask)
    assert_added_in_float64(found[1], expected[1], vectors, rows)
