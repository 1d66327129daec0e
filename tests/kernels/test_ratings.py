import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import assemble, ratings
from ecomrec.testing.twins import (
    biases_twin,
    predict_twin,
    rated_rows_twin,
    row_moments_twin,
)

ABSENT = -100.0
OFFSETS = st.sampled_from((0.0, 0.5, 3.0, -1.25))


@st.composite
def rated(draw, max_rows=6, max_columns=6):
    """Ratings of entities by feature; `ABSENT` where there is none."""
    shape = draw(st.integers(1, max_rows)), draw(st.integers(1, max_columns))
    elements = st.sampled_from((ABSENT, 1.0, 2.0, 3.5, 5.0))
    return draw(arrays(np.float32, shape, elements=elements, fill=st.nothing()))


def store(matrix):
    """Rows of a matrix as kernels take them, with a gap behind each."""
    held = [np.flatnonzero(row != ABSENT) for row in matrix]
    lengths = np.array([len(columns) for columns in held], dtype=np.int32)
    starts = assemble.offsets(lengths + 1)[:-1]
    indices = np.zeros(int(lengths.sum()) + len(matrix), dtype=np.int32)
    values = np.full(len(indices), 1e9, dtype=np.float32)
    for row, columns in enumerate(held):
        indices[starts[row] : starts[row] + len(columns)] = columns
        values[starts[row] : starts[row] + len(columns)] = matrix[row, columns]
    return starts, lengths, indices, values


@given(rated(), st.data(), st.sampled_from((0.0, 10.0)))
def test_biases_equal_their_twin(matrix, data, regularization):
    offsets = data.draw(arrays(np.float64, matrix.shape[1], elements=OFFSETS))
    found = ratings.biases(store(matrix), offsets, 3.25, regularization)
    np.testing.assert_allclose(
        found, biases_twin(store(matrix), offsets, 3.25, regularization), rtol=1e-6, atol=1e-6
    )


@given(rated(), st.data())
def test_moments_of_rows_equal_their_twin(matrix, data):
    row = st.integers(0, len(matrix) - 1)
    rows = np.array(data.draw(st.lists(row)), dtype=np.int64)
    for one, two in zip(
        ratings.row_moments(rows, store(matrix)),
        row_moments_twin(rows, store(matrix)),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)


def test_a_row_without_ratings_has_no_moments_and_no_bias():
    empty = store(np.full((1, 2), ABSENT, dtype=np.float32))
    assert [values.tolist() for values in ratings.row_moments(np.array([0]), empty)] == [[0], [0]]
    assert ratings.biases(empty, np.zeros(2), 3.0, 0.0).tolist() == [0]


@pytest.mark.parametrize("kind", ["COSINE", "PEARSON", "MSD"])
@given(data=st.data(), shrink=st.sampled_from((0.0, 2.5)), n_kept=st.integers(1, 7))
def test_likeness_equals_that_of_one_pair_at_a_time(threads, kind, data, shrink, n_kept):
    matrix = data.draw(rated())
    n_entities, n_features = matrix.shape
    row = st.integers(0, n_entities - 1)
    rows = np.array(data.draw(st.lists(row, unique=True)), dtype=np.int64)
    selves = np.where(data.draw(arrays(np.bool_, len(rows))), rows, -1)
    offsets = data.draw(arrays(np.float64, n_entities, elements=OFFSETS))
    feature_offsets = data.draw(arrays(np.float64, n_features, elements=OFFSETS))
    asked = (
        rows, selves, offsets[rows], store(matrix), store(matrix.T), offsets, feature_offsets,
        getattr(ratings, kind), shrink,
    )  # fmt: skip
    by_rank = np.array(data.draw(st.permutations(range(n_entities))), dtype=np.int64)
    found = threads(lambda n_jobs: ratings.rated_rows(*[*asked, n_kept, by_rank, n_jobs]))
    expected = rated_rows_twin(*[*asked, n_kept, by_rank])
    everyone = rated_rows_twin(*[*asked, n_entities, by_rank])
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    # Sums of moments and sums of differences differ in their last bits, and so may ties.
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-6)
    for position in range(len(rows)):
        inside = slice(*found.indptr[position : position + 2])
        whole = slice(*everyone.indptr[position : position + 2])
        known = dict(zip(everyone.entities[whole], everyone.values[whole], strict=True))
        entities = found.entities[inside].tolist()
        assert len(set(entities)) == len(entities)
        assert [known[e] for e in entities] == pytest.approx(
            found.values[inside].tolist(), rel=1e-5, abs=1e-6
        )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("COSINE", (1 * 2 + 2 * 4 + 3 * 6) / np.sqrt(14 * 56)),
        ("PEARSON", 1.0),
        ("MSD", 1 / ((1 + 4 + 9) / 3 + 1)),
    ],
)
def test_likeness_of_a_known_pair(kind, expected):
    matrix = np.array([[1, 2, 3, ABSENT], [2, 4, 6, 5]], dtype=np.float32)
    found = ratings.rated_rows(
        np.array([0]), np.array([0]), np.zeros(1), store(matrix), store(matrix.T), np.zeros(2),
        np.zeros(4), getattr(ratings, kind), 0.0, 5, np.arange(2), 1,
    )  # fmt: skip
    assert found.entities.tolist() == [1]
    assert found.values[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("by_rank", [[0, 1, 2, 3], [3, 0, 2, 1]])
def test_ties_go_by_the_rank_of_the_id(by_rank):
    matrix = np.array([[1, 2], [1, 2], [1, 2], [1, 2]], dtype=np.float32)
    found = ratings.rated_rows(
        np.array([0]), np.array([0]), np.zeros(1), store(matrix), store(matrix.T), np.zeros(4),
        np.zeros(2), ratings.MSD, 0.0, 2, np.array(by_rank), 1,
    )  # fmt: skip
    assert found.entities.tolist() == [entity for entity in by_rank if entity != 0][:2]


def test_entities_that_always_rate_alike_have_no_correlation():
    matrix = np.array([[3, 3, 3], [1, 2, 3]], dtype=np.float32)
    found = ratings.rated_rows(
        np.array([0]), np.array([0]), np.zeros(1), store(matrix), store(matrix.T), np.zeros(2),
        np.zeros(3), ratings.PEARSON, 0.0, 5, np.arange(2), 1,
    )  # fmt: skip
    assert found.indptr.tolist() == [0, 0]


@given(data=st.data(), n_neighbors=st.integers(1, 4))
def test_predictions_equal_those_of_one_pair_at_a_time(threads, data, n_neighbors):
    matrix = data.draw(rated())
    n_entities, n_features = matrix.shape
    order = [data.draw(st.permutations(range(n_entities))) for _ in range(n_entities)]
    similar = (
        np.arange(n_entities) * n_entities,
        np.full(n_entities, n_entities, dtype=np.int32),
        np.array(order, dtype=np.int32).ravel(),
        np.tile(np.linspace(1, 0.25, n_entities), n_entities).astype(np.float32),
    )
    n = data.draw(st.integers(0, 9))
    entity, feature = st.integers(0, n_entities - 1), st.integers(0, n_features - 1)
    asked = (
        np.array(data.draw(st.lists(feature, min_size=n, max_size=n)), dtype=np.int64),
        np.array(data.draw(st.lists(entity, min_size=n, max_size=n)), dtype=np.int64),
        np.arange(n, dtype=np.float64) - 50,
        similar,
        store(matrix.T),
        data.draw(arrays(np.float64, n_entities, elements=OFFSETS)),
        data.draw(arrays(np.float64, n_entities, elements=st.sampled_from((0.5, 1.0, 2.0)))),
        data.draw(arrays(np.float64, n_features, elements=OFFSETS)),
        n_neighbors,
    )
    found = threads(lambda n_jobs: ratings.predict(*[*asked, n_jobs]))
    expected = predict_twin(*asked)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_feature_that_no_neighbour_rated_gets_the_fallback():
    matrix = np.array([[ABSENT, 4.0], [ABSENT, 2.0]], dtype=np.float32)
    similar = (
        np.array([0, 1]),
        np.array([1, 1], np.int32),
        np.array([1, 0], np.int32),
        np.ones(2, np.float32),
    )
    predictions, support = ratings.predict(
        np.array([0, 1]), np.array([0, 0]), np.array([9.0, 9.0]), similar, store(matrix.T),
        np.zeros(2), np.ones(2), np.zeros(2), 3, 1,
    )  # fmt: skip
    assert (predictions.tolist(), support.tolist()) == ([9.0, 2.0], [0, 1])
