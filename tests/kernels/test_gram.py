import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import gram
from ecomrec.testing.twins_linear import (
    dense_scores_twin,
    elastic_net_twin,
    gram_twin,
    mirror_scaled_twin,
)

seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def rows_of(matrix):
    """Entries of a matrix other than 0 as kernels take them: rows in any place, rising within."""
    lengths = (matrix != 0).sum(axis=1).astype(np.int32)
    starts = np.zeros(len(matrix), dtype=np.int64)
    indices = np.zeros(int(lengths.sum()) + len(matrix), dtype=np.int32)
    values = np.full(len(indices), 1e9, dtype=np.float32)
    end = len(indices)
    for row, line in enumerate(matrix):
        held = np.flatnonzero(line)
        starts[row] = end = end - len(held) - 1
        indices[end : end + len(held)] = held
        values[end : end + len(held)] = line[held]
    return starts, lengths, indices, values


def matrices(max_rows=7, max_columns=9):
    shapes = st.tuples(st.integers(1, max_rows), st.integers(1, max_columns))
    values = st.sampled_from((0.0, 0.0, 1.0, 2.0, 0.5, -1.0))
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=values))


@given(matrices(), seeds)
def test_gram_equals_its_twin(threads, matrix, rng):
    mine, other = rows_of(matrix), rows_of(matrix.T)
    feature_weights, item_factors = rng.random(matrix.shape[1]), rng.random(len(matrix)) + 0.1
    (found,) = threads(
        lambda n_jobs: (gram.gram(mine, other, feature_weights, item_factors, n_jobs),)
    )
    expected = gram_twin(mine, other, feature_weights, item_factors)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(matrices(), seeds)
def test_gram_of_ones_reads_no_values(matrix, rng):
    ones = (matrix > 0).astype(np.float32)
    mine, other = rows_of(ones), rows_of(ones.T)
    feature_weights, item_factors = rng.random(ones.shape[1]), rng.random(len(ones)) + 0.1
    found = gram.gram(
        mine, (*other[:3], np.full_like(other[3], np.nan)), feature_weights, item_factors,
        unit=True,
    )  # fmt: skip
    expected = gram_twin(mine, other, feature_weights, item_factors)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(st.integers(1, 200), seeds)
def test_mirror_equals_its_twin(threads, n, rng):
    matrix = rng.standard_normal((n, n)).astype(np.float32)
    left, right = rng.random(n), rng.random(n)

    def mirrored(n_jobs):
        copy = matrix.copy()
        gram.mirror_scaled(copy, left, right, n_jobs)
        return (copy,)

    (found,) = threads(mirrored)
    expected = mirror_scaled_twin(matrix, left, right)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@given(st.integers(1, 1500), st.integers(0, 5), seeds)
def test_dense_scores_equal_their_twin(threads, n_items, n_rows, rng):
    matrix = rng.standard_normal((7, n_items)).astype(np.float32)
    sizes = rng.integers(0, 4, n_rows)
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    items = rng.integers(0, 7, indptr[-1]).astype(np.int32)
    weights = rng.integers(-1, 3, indptr[-1]).astype(np.float32)
    profiles = indptr, items, weights
    (found,) = threads(lambda n_jobs: (gram.dense_scores(profiles, matrix, n_jobs),))
    np.testing.assert_allclose(found, dense_scores_twin(profiles, matrix), rtol=1e-5, atol=1e-5)


@given(st.integers(2, 12), st.integers(1, 6), seeds)
def test_elastic_net_equals_its_twin(threads, n_items, n_candidates, rng):
    shop = (rng.random((20, n_items)) < 0.4) * rng.integers(1, 4, (20, n_items))
    whole = (shop.T @ shop).astype(np.float64)
    others = [np.delete(np.arange(n_items), target) for target in range(n_items)]
    chosen = [
        np.sort(rng.choice(rest, min(n_candidates, len(rest)), replace=False)) for rest in others
    ]
    candidate_at = np.concatenate(([0], np.cumsum([len(part) for part in chosen])))
    candidates = np.concatenate(chosen).astype(np.int32)
    targets = np.repeat(np.arange(n_items), np.diff(candidate_at))
    off = whole - np.diag(np.diag(whole))
    stored = sp.csr_array(off.astype(np.float32))
    rows = stored.indptr.astype(np.int64), stored.indices.astype(np.int32), stored.data
    wanted = off[targets, candidates].astype(np.float32)
    indptr, items, weights = threads(
        lambda n_jobs: gram.elastic_net(
            rows, np.diag(whole).astype(np.float32), (candidate_at, candidates, wanted),
            0.5, 2.0, 500, 0.0, n_items, n_jobs,
        )
    )  # fmt: skip
    for target, part in enumerate(chosen):
        expected = elastic_net_twin(whole[np.ix_(part, part)], whole[part, target], 0.5, 2.0, 500)
        found = np.zeros(n_items)
        inside = slice(indptr[target], indptr[target + 1])
        found[items[inside]] = weights[inside]
        np.testing.assert_allclose(found[part], expected, rtol=1e-4, atol=1e-5)
        assert (weights[inside] > 0).all()


@pytest.mark.parametrize("n_kept", [1, 2])
def test_elastic_net_keeps_the_largest_weights(n_kept):
    # Three items bought alone with item 3, by 9, 5 and 2 users.
    diagonal = np.array([9, 5, 2, 16], dtype=np.float32)
    shared = sp.csr_array(
        np.array([[0, 0, 0, 9], [0, 0, 0, 5], [0, 0, 0, 2], [9, 5, 2, 0]], dtype=np.float32)
    )
    rows = shared.indptr.astype(np.int64), shared.indices.astype(np.int32), shared.data
    at = np.array([0, 0, 0, 0, 3])
    candidates = np.array([0, 1, 2], dtype=np.int32)
    wanted = np.array([9, 5, 2], dtype=np.float32)
    indptr, items, weights = gram.elastic_net(
        rows, diagonal, (at, candidates, wanted), 0.0, 1.0, 50, 0.0, n_kept
    )
    assert indptr.tolist() == [0, 0, 0, 0, n_kept]
    assert items.tolist() == [0, 1][:n_kept]
    np.testing.assert_allclose(weights, [9 / 10, 5 / 6][:n_kept], rtol=1e-6)


def test_long_rows_are_searched_rather_than_read():
    # The row of item 0 is more than eight times as long as the list of candidates.
    n = 40
    shared = np.ones((n, n), dtype=np.float32) - np.eye(n, dtype=np.float32)
    matrix = sp.csr_array(shared)
    rows = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
    diagonal = np.full(n, 3, dtype=np.float32)
    at = np.array([0, 2, *[2] * (n - 1)])
    candidates, wanted = np.array([5, 9], dtype=np.int32), np.ones(2, dtype=np.float32)
    _, items, weights = gram.elastic_net(
        rows, diagonal, (at, candidates, wanted), 0.0, 1.0, 200, 0.0, n
    )
    expected = np.linalg.solve(np.array([[4.0, 1.0], [1.0, 4.0]]), [1.0, 1.0])
    assert items.tolist() == [5, 9]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
