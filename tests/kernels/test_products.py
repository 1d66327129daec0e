"""The best products of sparse rows equal those of all products, and those of `neighbors`."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from ecomrec.kernels import neighbors, products, ranking
from ecomrec.testing import twins_products

N_FEATURES = 8


def arrays(dense):
    matrix = sp.csr_array(dense.astype(np.float32))
    indptr = matrix.indptr.astype(np.int64)
    lengths = np.diff(indptr).astype(np.int32)
    return indptr[:-1], lengths, matrix.indices.astype(np.int32), matrix.data


def asked(profiles):
    starts, lengths, features, weights = arrays(profiles)
    return np.append(starts, starts[-1] + lengths[-1]), features, weights


def lists(sets):
    offsets = np.concatenate(([0], np.cumsum([len(part) for part in sets]))).astype(np.int64)
    flat = [item for part in sets for item in sorted(part)]
    return np.array(flat, dtype=np.int32), offsets


# Sums of these are exact in any order, so that ties are ties.
cells = st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 0.5])
rows = st.lists(cells, min_size=N_FEATURES, max_size=N_FEATURES)
some = st.sets(st.integers(0, 11), max_size=5)


@given(st.data())
def test_best_products_are_found(data):
    profiles = np.array(data.draw(st.lists(rows, min_size=1, max_size=4)))
    vectors = np.array(data.draw(st.lists(rows, min_size=12, max_size=12)))
    k = data.draw(st.integers(1, 13))
    allowed = ~np.isin(np.arange(12), list(data.draw(some)))
    excluded = [data.draw(some) for _ in profiles]
    candidates = data.draw(st.none() | st.just([data.draw(some) for _ in profiles]))
    inside = lists(candidates) if candidates else (ranking.NOTHING, ranking.NO_OFFSETS)
    mask = ranking.Mask(allowed, *inside, *lists(excluded))
    items, scores = products.recommend(asked(profiles), arrays(vectors.T), 12, k, mask, 1)
    expected = twins_products.recommend(profiles, vectors, k, allowed, excluded, candidates)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_answers_are_those_of_neighbors(n_jobs):
    rng = np.random.default_rng(0)
    vectors = rng.random((3000, 300)) * (rng.random((3000, 300)) < 3 / np.arange(1, 301))
    profiles = np.array([vectors[rng.integers(0, 3000, 5)].sum(axis=0) for _ in range(50)])
    seen = [set(rng.integers(0, 3000, 30).tolist()) for _ in profiles]
    mask = ranking.Mask(
        ranking.EVERYTHING, ranking.NOTHING, ranking.NO_OFFSETS, *lists(seen)
    )  # fmt: skip
    given_ = asked(profiles), arrays(vectors.T), 3000, 10, mask
    items, scores = products.recommend(*given_, n_jobs)
    expected = neighbors.recommend(*given_, 1)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
