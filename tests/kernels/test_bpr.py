import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import assemble, bpr, sparse
from ecomrec.testing.twins_bpr import fold_in_twin, learn_epoch_twin, product_twin

WEIGHTS = st.sampled_from((0.0, 0.0, 0.0, 1.0, 2.5, -1.0))


@st.composite
def weighted(draw, max_rows=7, max_columns=9):
    """Rows of weights as kernels take them, with a gap behind each, and their width."""
    shape = draw(st.integers(1, max_rows)), draw(st.integers(2, max_columns))
    matrix = draw(arrays(np.float32, shape, elements=WEIGHTS, fill=st.nothing()))
    held = [np.flatnonzero(row) for row in matrix]
    lengths = np.array([len(columns) for columns in held], dtype=np.int32)
    starts = assemble.offsets(lengths + 1)[:-1]
    indices = np.zeros(int(lengths.sum()) + len(matrix), dtype=np.int32)
    values = np.full(len(indices), 1e9, dtype=np.float32)
    for row, columns in enumerate(held):
        indices[starts[row] : starts[row] + len(columns)] = columns
        values[starts[row] : starts[row] + len(columns)] = matrix[row, columns]
    return (starts, lengths, indices, values), shape[1]


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(weighted(), st.integers(1, 5), st.booleans(), st.data())
def test_a_sparse_product_equals_the_dense_one(threads, given_rows, width, scaled, data):
    store, n_columns = given_rows
    rows = np.array(data.draw(st.lists(st.integers(0, len(store[0]) - 1))), dtype=np.int64)
    dense, scales = normal(0, n_columns, width), normal(1, n_columns if scaled else 0)
    (found,) = threads(lambda n_jobs: (sparse.product(rows, store, dense, scales, n_jobs),))
    expected = product_twin(rows, store, dense, scales)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_candidates", [1, 3])
@given(given_rows=weighted(), n_blocks=st.integers(1, 3), seed=st.integers(0, 99))
def test_an_epoch_takes_the_steps_of_its_twin(threads, n_candidates, given_rows, n_blocks, seed):
    store, n_items = given_rows
    n_users, rng = len(store[0]), np.random.default_rng(seed)
    pool = rng.permutation(n_items).astype(np.int32)
    members = (n_items * np.arange(n_blocks + 1) / n_blocks).astype(np.int64)
    bounds = (n_users * np.arange(n_blocks + 1) / n_blocks).astype(np.int64)
    blocks = np.empty(n_items, dtype=np.int32)
    blocks[pool] = np.repeat(np.arange(n_blocks), np.diff(members))
    seeds = rng.integers(2**32, size=(n_blocks, n_blocks))
    start = normal(seed, n_users, 3), normal(seed + 1, n_items, 3), normal(seed + 2, n_items)
    plan = rng.permutation(n_users), bounds, blocks, pool, members, store, 1.5
    settings = n_candidates, 0.1, 0.02, seeds

    def learned(n_jobs):
        users, items, biases = (values.copy() for values in start)
        bpr.learn_epoch(*plan, users, items, biases, *settings, n_jobs)
        return users, items, biases

    for one, two in zip(threads(learned), learn_epoch_twin(*plan, *start, *settings), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_candidates", [1, 3])
@given(given_rows=weighted(max_rows=3), seed=st.integers(0, 99), n_epochs=st.integers(1, 3))
def test_folding_in_takes_the_steps_of_its_twin(threads, n_candidates, given_rows, seed, n_epochs):
    (starts, lengths, columns, values), n_items = given_rows
    places = [np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)]
    flat = np.concatenate([*places, []]).astype(np.int64)
    profiles = assemble.offsets(lengths), columns[flat], values[flat]
    rng = np.random.default_rng(seed)
    marks = rng.integers(1, 2**62, n_items) * (rng.random(n_items) < 0.8)
    pool = rng.permutation(n_items)[: n_items - 1].astype(np.int32)
    pool[:1] = -1
    items, biases = normal(seed, n_items, 3), normal(seed + 1, n_items)
    asked = profiles, 1.5, items, biases, marks, pool, n_candidates, n_epochs, 0.2, 0.02
    (found,) = threads(lambda n_jobs: (bpr.fold_in(*asked, n_jobs),))
    np.testing.assert_allclose(found, fold_in_twin(*asked), rtol=1e-3, atol=1e-4)


def test_the_steps_of_a_profile_add_up_to_its_vector():
    items, biases = normal(0, 30, 4), normal(1, 30)
    profile = np.array([0, 3]), np.array([2, 5, 9], dtype=np.int32), np.ones(3, np.float32)
    marks, pool = np.arange(1, 31), np.arange(30, dtype=np.int32)
    asked = profile, 1.0, items, biases, marks, pool, 2, 5, 0.3, 0.05
    pairs, shares = bpr.fold_in_steps(*asked)
    assert len(pairs) == 99
    assert np.isin(pairs[:, 0], profile[1]).all()
    assert not np.isin(pairs[:, 1], profile[1]).any()
    vector = shares @ (items[pairs[:, 0]] - items[pairs[:, 1]])
    np.testing.assert_allclose(vector, bpr.fold_in(*asked)[0], rtol=1e-4)


def test_a_profile_without_evidence_has_no_vector_and_no_steps():
    profile = np.array([0, 1]), np.array([2], dtype=np.int32), np.zeros(1, np.float32)
    asked = (
        profile,
        1.0,
        normal(0, 5, 3),
        normal(1, 5),
        np.arange(1, 6),
        np.arange(5),
        2,
        5,
        0.3,
        0.1,
    )
    assert not bpr.fold_in(*asked).any()
    assert len(bpr.fold_in_steps(*asked)[0]) == 0
