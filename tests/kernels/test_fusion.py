import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import assemble, fusion
from ecomrec.testing.twins_fusion import both_twin, without_repeats_twin

ABSENT = -100.0
LIKENESS = st.sampled_from((0.0, 0.0, 0.25, 0.5, 1.0))
WEIGHTS = st.sampled_from((ABSENT, ABSENT, -1.0, 0.0, 1.0, 2.0))
ALIKE = st.sampled_from((np.nan, np.nan, 0.125, 0.5, 1.0))


@st.composite
def shops(draw):
    """Likeness of visitors to users, weights of users x items, items that are alike, what is seen."""
    n_visitors, n_users, n_items = (draw(st.integers(1, 5)) for _ in range(3))
    return (
        draw(arrays(np.float32, (n_visitors, n_users), elements=LIKENESS)),
        draw(arrays(np.float32, (n_users, n_items), elements=WEIGHTS)),
        draw(arrays(np.float32, (n_items, n_items), elements=ALIKE)),
        draw(arrays(np.bool_, (n_visitors, n_items))),
    )


def lists(held, values):
    """Offsets, columns and values of the places of a matrix that are held."""
    indptr = assemble.offsets(held.sum(axis=1))
    return indptr, np.nonzero(held)[1].astype(np.int32), values[held].astype(np.float32)


def store(held, values):
    """The same as rows with a gap behind each."""
    indptr, columns, data = lists(held, values)
    starts = indptr[:-1] + np.arange(len(held))
    places = np.repeat(starts - indptr[:-1], np.diff(indptr)) + np.arange(len(columns))
    room = len(columns) + len(held)
    indices, numbers = np.zeros(room, dtype=np.int32), np.full(room, 1e9, dtype=np.float32)
    indices[places], numbers[places] = columns, data
    return starts, np.diff(indptr).astype(np.int32), indices, numbers


@given(shops())
def test_both_equals_its_twin(threads, shop):
    likeness, weights, alike, _ = shop
    near = lists(likeness > 0, likeness)
    touched, rows = store(weights != ABSENT, weights), store(~np.isnan(alike), alike)
    (found,) = threads(lambda n_jobs: [fusion.both(near, touched, rows, len(alike), n_jobs)])
    expected = both_twin(likeness, np.where(weights == ABSENT, 0, weights), alike)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(shops())
def test_without_repeats_equals_its_twin(threads, shop):
    likeness, weights, _, seen = shop
    everyone = np.ones_like(likeness, dtype=bool)
    near, touched = lists(everyone, likeness), store(weights != ABSENT, weights)
    told = lists(seen, seen)[:2]
    n_items = weights.shape[1]
    (kept,) = threads(
        lambda n_jobs: [fusion.without_repeats(near, touched, told, n_items, n_jobs)]
    )
    expected = without_repeats_twin(likeness, np.where(weights == ABSENT, 0, weights), seen)
    np.testing.assert_array_equal(kept.reshape(likeness.shape), expected)
