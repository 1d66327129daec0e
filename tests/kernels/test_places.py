"""Closeness on the globe equals the haversine formula."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec.kernels import places
from ecomrec.testing import twins_places

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
points = st.lists(st.tuples(degrees, st.floats(0, 3)), max_size=3)


def arrays(rows: Any) -> Any:
    """The rows as the kernels take them."""
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    flat = [point for row in rows for point, _ in row]
    shares = np.array([share for row in rows for _, share in row])
    return indptr, places.on_sphere(np.array(flat).reshape(-1, 2)), shares


@given(
    st.lists(points, min_size=1, max_size=4),
    st.lists(degrees | st.just((np.nan, np.nan)), max_size=5),
    st.sampled_from([0.5, 5.0, 5000.0]),
    st.sampled_from([np.inf, 3000.0]),
)
def test_closeness_equals_its_twin(rows, there, half_distance, limit):
    there = np.array(there, dtype=float).reshape(-1, 2)
    indptr, flat, shares = arrays(rows)
    found = places.closeness(
        indptr, flat, shares, places.on_sphere(there), half_distance, limit, n_jobs=2
    )
    expected = twins_places.closeness(rows, there, half_distance, limit)
    # The haversine of points that face each other loses half of the digits.
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


@given(
    st.lists(points, min_size=1, max_size=3),
    st.lists(degrees | st.just((np.nan, np.nan)), max_size=4),
    st.sampled_from([5.0, 5000.0]),
    st.integers(0, 99),
)
def test_local_counts_equal_their_twin(rows, homes, half_distance, seed):
    homes = np.array(homes, dtype=float).reshape(-1, 2)
    touched = np.random.default_rng(seed).integers(-1, 3, size=(len(homes), 3))
    users, items = np.nonzero(touched)
    lengths = np.bincount(users, minlength=len(homes)).astype(np.int32)
    store = (
        np.cumsum(lengths, dtype=np.int64) - lengths, lengths, items.astype(np.int32),
        touched[users, items].astype(np.float32),
    )  # fmt: skip
    indptr, flat, shares = arrays(rows)
    found = places.local_counts(
        indptr, flat, shares, places.on_sphere(homes), half_distance, store, 3, n_jobs=1
    )
    expected = twins_places.local_counts(rows, homes, half_distance, touched)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "kilometres"),
    [
        ((52.52, 13.405), (48.8566, 2.3522), 877.5),  # Berlin, Paris
        ((0, 0), (0, 180), np.pi * places.EARTH),
        ((90, 0), (90, 120), 0.0),
        ((0, 179.9), (0, -179.9), 22.24),
    ],
)
def test_known_distances(one, other, kilometres):
    near = places.closeness([0, 1], places.on_sphere(one), [1.0], places.on_sphere(other), 1000.0)
    assert -1000 * np.log2(near[0, 0]) == pytest.approx(kilometres, abs=0.5)


def test_answers_do_not_depend_on_threads():
    rng = np.random.default_rng(0)
    there = rng.uniform(-80, 80, size=(3000, 2))
    rows = [[(here, 1.0)] for here in rng.uniform(-80, 80, size=(400, 2))]
    indptr, flat, shares = arrays(rows)
    there = places.on_sphere(there)
    one, other = (places.closeness(indptr, flat, shares, there, 50.0, n_jobs=n) for n in (1, 2))
    assert np.array_equal(one, other)
