"""P1 and P2: what one user changes in a statistic, exactly, and that nobody else is touched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from tests.privacy.hostile import CATALOG, histories, table
from tests.privacy.replay import difference, record, replay

from ecomrec.exceptions import DataError
from ecomrec.privacy import (
    DPALS,
    DPEASE,
    ContributionBounder,
    DPItemKNN,
    DPPopularity,
    DPTopK,
    SeededNoise,
)
from ecomrec.privacy.bounding import PrivateRows

SEED = SeededNoise(5)
KEY = SeededNoise(1).words(2)
MODELS = [
    DPPopularity(noise_source=SEED, max_items_per_user=3),
    DPPopularity(noise_source=SEED, scaling="shared", max_items_per_user=2),
    DPPopularity(8.0, delta=1e-2, noise_source=SEED, vocabulary="dp", max_items_per_user=2),
    DPTopK(noise_source=SEED, size=3),
    DPItemKNN(noise_source=SEED, max_items_per_user=3, n_jobs=1),
    DPEASE(noise_source=SEED, weighting="weight", max_items_per_user=2, n_jobs=1),
    DPEASE(8.0, delta=1e-2, noise_source=SEED, vocabulary="dp", n_users=3, n_jobs=1),
    DPALS(noise_source=SEED, n_factors=3, max_items_per_user=3, n_jobs=1),
    DPALS(
        noise_source=SEED,
        n_factors=2,
        weighting="weight",
        clip_value=2.0,
        budget_split=(0.1, 0.1, 0.2, 0.6),
        n_jobs=1,
    ),
]


def label(model):
    return " ".join(repr(model).split())


def fitted(model, log):
    sides = {"items": CATALOG} if model.vocabulary == "public" else {}
    return lambda: clone(model).fit(table(log), **sides)


def calls_of(model, log):
    try:
        return record(fitted(model, log))
    except DataError:  # a vocabulary that nothing got into
        return None


@pytest.mark.parametrize("model", MODELS, ids=label)
@given(data=st.data(), log=histories())
def test_one_user_changes_a_statistic_by_what_was_declared(model, data, log):
    gone = data.draw(st.sampled_from(sorted(log)))
    rest = {user: events for user, events in log.items() if user != gone}
    calls = calls_of(model, log)
    if calls is None:
        return
    without = replay(fitted(model, rest), calls)
    alone = replay(fitted(model, {gone: log[gone]}), calls)
    for (name, params, value, _), other, own in zip(calls, without, alone, strict=True):
        change = difference(value, other)
        nothing = (own[0][:0], own[1][:0]) if isinstance(own, tuple) else np.zeros_like(own)
        assert [v for v in change if v] == [v for v in difference(own, nothing) if v], name
        if params["mechanism"] == "gumbel":
            assert set(change) <= {0, 1}
        else:
            # A symmetric matrix is compared whole: its norm counts both triangles.
            square = sum(v * v for v in change)
            assert square <= params["bound"] ** 2, name


@pytest.mark.parametrize("model", MODELS, ids=label)
@given(data=st.data(), log=histories())
def test_the_order_of_rows_does_not_matter(model, data, log):
    frame = table(log)
    order = data.draw(st.permutations(range(len(frame))))
    sides = {"items": CATALOG} if model.vocabulary == "public" else {}
    calls = calls_of(model, log)
    if calls is None:
        return
    values = replay(lambda: clone(model).fit(frame.iloc[order], **sides), calls)
    for (_, _, value, _), other in zip(calls, values, strict=True):
        assert not any(difference(value, other))


def rows_of(lists):
    indptr = np.concatenate(([0], np.cumsum([len(part) for part in lists]))).astype(np.int64)
    items = np.array([item for part in lists for item, _ in part], dtype=np.int32)
    values = np.array([value for part in lists for _, value in part], dtype=np.float64)
    return PrivateRows(indptr, items, values, np.arange(len(items), dtype=np.int64) % 3)


_LISTS = st.lists(
    st.dictionaries(st.integers(0, 12), st.sampled_from([1e-30, 0.3, 1.0, 7.0, 1e30])).map(
        lambda row: sorted(row.items())
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("scaling", ["unit", "shared"])
@pytest.mark.parametrize("select", ["uniform", "tail", "recent"])
@pytest.mark.parametrize("weighting", ["binary", "weight"])
@given(lists=_LISTS, max_items=st.integers(1, 4), grid=st.sampled_from([1, 7, 1 << 20, 1 << 30]))
def test_bounded_rows_keep_their_bound_exactly(lists, max_items, grid, scaling, select, weighting):
    bounder = ContributionBounder(max_items, select=select, weighting=weighting, clip_value=2.0)
    counts = np.arange(13)
    bounded = bounder(rows_of(lists), key=KEY, counts=counts)
    integers = bounded.integer_rows(grid, length=bounder.length, scaling=scaling)
    for user, part in enumerate(lists):
        span = slice(bounded.indptr[user], bounded.indptr[user + 1])
        assert span.stop - span.start == min(max_items, len(part))
        row = integers[span].tolist()
        assert sum(v * v for v in row) <= grid * grid
        assert min(row, default=0) >= 0
        # The same alone: nobody else's rows are looked at.
        alone = bounder(rows_of([part]), key=KEY, counts=counts)
        if select != "recent":  # the times of these rows depend on their place
            assert alone.items.tolist() == bounded.items[span].tolist()
            again = alone.integer_rows(grid, length=bounder.length, scaling=scaling)
            assert again.tolist() == row


def test_the_draw_of_items_is_fair_and_secret():
    rows = rows_of([[(item, 1.0) for item in range(20)]] * 3)
    bounder = ContributionBounder(5)
    counts = np.zeros(20)
    source, one = SeededNoise(0), rows_of([[(item, 1.0) for item in range(20)]])
    for _ in range(2000):
        counts += np.bincount(bounder(one, key=source.words(2)).items, minlength=20)
    assert abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)
    first, second = (bounder(rows).items.tolist() for _ in range(2))
    assert first != second
