from unittest import mock

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import assemble, sgd
from ecomrec.testing.twins_sgd import descend_twin, descend_with_implicit_twin, tastes_twin

RATINGS = st.sampled_from((-2.0, -0.5, 0.0, 1.0, 2.5))


@st.composite
def rated(draw):
    """Ratings as (users, items, ratings), by user, and how many users and items there are."""
    shape = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    users, items = np.nonzero(draw(arrays(np.bool_, shape)))
    ratings = draw(arrays(np.float32, len(users), elements=RATINGS))
    return users.astype(np.int32), items.astype(np.int32), ratings, *shape


def sides(n_users, n_items, n_factors, seed=0):
    rng = np.random.default_rng(seed)
    return [sgd.start(n, n_factors, 0.5, rng) for n in (n_users, n_items)]


@given(rated(), st.sampled_from((1, 2, 4)))
def test_blocks_hold_every_rating_once_and_those_of_a_diagonal_share_nothing(log, groups):
    users, items, ratings, _, _ = log
    parts = sgd.blocks(*[*log, groups])
    assert len(parts.starts) == groups**2 + 1
    found = sorted(zip(*(part.tolist() for part in parts[1:]), strict=True))
    assert found == sorted(zip(users.tolist(), items.tolist(), ratings.tolist(), strict=True))
    for shift in range(groups):
        diagonal = [g * groups + (g + shift) % groups for g in range(groups)]
        for column in (parts.users, parts.items):
            seen = [set(column[parts.starts[b] : parts.starts[b + 1]].tolist()) for b in diagonal]
            assert sum(map(len, seen)) == len(set().union(*seen))


def test_groups_are_a_power_of_two_that_grows_with_the_ratings_alone():
    sizes = (0, 1, 2_500, 9_999, 10_000, 100_000, 1_000_000, 10**9)
    assert [sgd.n_groups(n) for n in sizes] == [1, 1, 1, 1, 2, 4, 16, 64]


@given(rated(), st.sampled_from((1, 2, 4)), st.integers(1, 9), st.integers(0, 3))
def test_descent_equals_that_of_one_rating_at_a_time(log, groups, n_factors, seed):
    start = sides(log[3], log[4], n_factors)
    rates = np.array([0.1, 0.05, 0.01])
    parts = sgd.blocks(*[*log, groups])
    expected = descend_twin(parts, start[0], start[1], rates, 0.3, np.random.default_rng(seed))
    sgd.descend(parts, start[0], start[1], rates, 0.3, np.random.default_rng(seed), 1)
    for one, two in zip(start, expected, strict=True):
        np.testing.assert_allclose(one.factors, two.factors, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.biases, two.biases, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_descent_has_the_same_bits_for_any_number_of_threads(n_jobs):
    rng = np.random.default_rng(1)
    n_users, n_items = 90, 70
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.5)
    log = users.astype(np.int32), items.astype(np.int32), rng.normal(size=len(users))
    found = []
    for threads in (1, n_jobs):
        start = sides(n_users, n_items, 12)
        parts = sgd.blocks(*log, n_users, n_items, 8)
        with mock.patch.object(sgd, "_MIN_WORK", 1):
            rates, rng = np.full(3, 0.02), np.random.default_rng(5)
            sgd.descend(parts, start[0], start[1], rates, 0.1, rng, threads)
        found.append([values.tobytes() for side in start for values in side])
    assert found[0] == found[1]


@given(rated(), st.integers(1, 9), st.integers(0, 3))
def test_implicit_vectors_wait_for_the_user_and_end_where_those_of_koren_do(log, n_factors, seed):
    users, items, ratings, n_users, n_items = log
    indptr = assemble.offsets(np.bincount(users, minlength=n_users))
    start = sides(n_users, n_items, n_factors)
    implicit = sgd.start(n_items, n_factors, 0.5, np.random.default_rng(9)).factors
    asked = indptr, items, ratings, *start, implicit, np.array([0.1, 0.05, 0.01]), 0.3
    expected = descend_with_implicit_twin(*[*asked, np.random.default_rng(seed)])
    sgd.descend_with_implicit(*[*asked, np.random.default_rng(seed)])
    for one, two in zip(start, expected[:2], strict=True):
        np.testing.assert_allclose(one.factors, two.factors, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.biases, two.biases, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(implicit, expected[2], rtol=1e-4, atol=1e-5)


@given(rated(), st.integers(1, 9))
def test_tastes_equal_their_twin(threads, log, n_factors):
    users, items, _, n_users, n_items = log
    indptr = assemble.offsets(np.bincount(users, minlength=n_users))
    factors, implicit = (side.factors for side in sides(n_items, n_items, n_factors))
    found = threads(lambda n_jobs: sgd.tastes(indptr, items, factors, implicit, n_jobs))
    for one, two in zip(found, tastes_twin(indptr, items, factors, implicit), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
