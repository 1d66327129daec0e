"""Greedy choices of the kernels equal those of plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec.kernels import greedy
from ecomrec.testing import twins_greedy

seeds = st.integers(0, 2**32 - 1)
shares = st.sampled_from([0.0, 0.3, 0.7, 1.0])


def vectors_of(dense):
    """Dense rows as (indptr, columns, values) of length 1; zero rows are empty."""
    norms = np.linalg.norm(dense, axis=1, keepdims=True)
    unit = np.divide(dense, norms, out=np.zeros_like(dense), where=norms > 0)
    kept = unit != 0
    indptr = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
    return (indptr, np.nonzero(kept)[1], unit[kept]), unit


def some_lists(rng, n_items, n_lists=3):
    """Rows of distinct items, and relevance that is absent in places."""
    width = int(rng.integers(0, n_items + 1))
    rows = np.array([rng.permutation(n_items)[:width] for _ in range(n_lists)]).reshape(
        n_lists, width
    )
    relevance = -np.sort(-rng.random((n_lists, width)), axis=1)
    relevance[rng.random((n_lists, width)) < 0.15] = np.nan
    return rows, relevance


def groups_of(rng, n_items, n_groups):
    """Up to three groups of each item, as sets and as (indptr, groups)."""
    sets = [
        set(rng.choice(n_groups, int(rng.integers(0, min(3, n_groups) + 1)), replace=False))
        for _ in range(n_items)
    ]
    indptr = np.concatenate(([0], np.cumsum([len(part) for part in sets])))
    flat = np.array([g for part in sets for g in sorted(part)], dtype=np.int64)
    return sets, (indptr, flat)


@pytest.mark.parametrize("name", ["mmr", "dpp"])
@given(seed=seeds, k=st.integers(1, 9), trade_off=shares, dense=st.booleans())
def test_spread_out_lists_equal_the_formula(name, seed, k, trade_off, dense):
    rng = np.random.default_rng(seed)
    n_items, width = int(rng.integers(1, 9)), 12 if dense else 4
    matrix = rng.normal(size=(n_items, width)).astype(np.float32).astype(float)
    if not dense:
        # Zero vectors, opposite ones, and twins.
        matrix = rng.integers(-1, 2, size=(n_items, width)).astype(float)
    vectors, unit = vectors_of(matrix)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 1.0)
    rows, relevance = some_lists(rng, n_items)
    places, gains = getattr(greedy, name)(rows, relevance, vectors, width, k, trade_off)
    for row in range(len(rows)):
        alike = cosines[np.ix_(rows[row], rows[row])]
        chosen, values = getattr(twins_greedy, name)(relevance[row], alike, k, trade_off)
        n = len(chosen)
        assert (places[row, n:] == -1).all()
        assert np.isnan(gains[row, n:]).all()
        assert (np.diff(gains[row, :n]) <= 0).all()
        np.testing.assert_allclose(gains[row, :n], values, atol=2e-5)
        if dense:
            assert places[row, :n].tolist() == chosen


def test_greedy_determinants_equal_those_of_the_papers_kernel():
    # L = diag(q) C diag(q): its log-determinants rank as the weighted sum of both parts does.
    rng = np.random.default_rng(0)
    vectors, unit = vectors_of(rng.normal(size=(12, 20)))
    relevance, share = rng.random(12), 0.6
    quality = np.exp(share * relevance / (2 * (1 - share)))
    kernel = quality[:, None] * (unit @ unit.T) * quality
    chosen = []
    for _ in range(6):
        left = [at for at in range(12) if at not in chosen]
        volume = [
            np.linalg.slogdet(kernel[np.ix_([*chosen, at], [*chosen, at])])[1] for at in left
        ]
        chosen.append(left[int(np.argmax(volume))])
    places, gains = greedy.dpp(np.arange(12)[None], relevance[None], vectors, 20, 6, share)
    assert places[0].tolist() == chosen
    total = np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1]
    assert gains.sum() == pytest.approx((1 - share) * total, rel=1e-5)


@given(seed=seeds, k=st.integers(1, 9), trade_off=shares)
def test_calibrated_lists_equal_the_formula(seed, k, trade_off):
    rng = np.random.default_rng(seed)
    n_items, n_groups = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    sets, members = groups_of(rng, n_items, n_groups)
    rows, relevance = some_lists(rng, n_items)
    targets = rng.random((len(rows), n_groups)) * (rng.random((len(rows), n_groups)) < 0.7)
    parts = np.array([[1 / len(s) if g in s else 0 for g in range(n_groups)] for s in sets])
    places, gains = greedy.calibrate(rows, relevance, members, targets, k, trade_off, 0.1)
    for row in range(len(rows)):
        chosen, values = twins_greedy.calibrate(
            relevance[row], parts[rows[row]], targets[row], k, trade_off, 0.1
        )
        assert places[row][places[row] >= 0].tolist() == chosen
        np.testing.assert_allclose(gains[row, : len(chosen)], values, atol=1e-5)
        assert (np.diff(gains[row, : len(chosen)]) <= 0).all()


@given(
    seed=seeds,
    k=st.integers(1, 9),
    limit=st.integers(1, 3),
    window=st.integers(0, 4),
    strict=st.booleans(),
)
def test_capped_lists_equal_a_plain_loop(seed, k, limit, window, strict):
    rng = np.random.default_rng(seed)
    n_items, n_groups = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    sets, members = groups_of(rng, n_items, n_groups)
    rows, relevance = some_lists(rng, n_items)
    present = ~np.isnan(relevance)
    places = greedy.cap(rows, present, members, n_groups, k, limit, window, strict)
    for row in range(len(rows)):
        chosen = twins_greedy.cap(
            present[row], [sets[item] for item in rows[row]], k, limit, window, strict
        )
        assert places[row][places[row] >= 0].tolist() == chosen
        if strict:
            for first in range(len(chosen)):
                shown = chosen[first : first + window] if window else chosen
                for group in range(n_groups):
                    assert sum(group in sets[rows[row, at]] for at in shown) <= limit


@given(seed=seeds, k=st.integers(1, 9), tolerance=st.sampled_from([0.0, 0.5, 1.0]))
def test_shares_of_exposure_equal_a_plain_loop(seed, k, tolerance):
    rng = np.random.default_rng(seed)
    n_items, n_groups = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    sets, members = groups_of(rng, n_items, n_groups)
    rows, relevance = some_lists(rng, n_items)
    present = ~np.isnan(relevance)
    wanted = rng.dirichlet(np.ones(n_groups), size=len(rows)) * rng.random()
    exposure = 1 / np.log2(np.arange(2, k + 2))
    places = greedy.share_places(rows, present, members, wanted, exposure, tolerance)
    for row in range(len(rows)):
        chosen = twins_greedy.share_places(
            present[row], [sets[item] for item in rows[row]], wanted[row], exposure, tolerance
        )
        assert places[row][places[row] >= 0].tolist() == chosen


def test_threads_make_no_difference():
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(400)[:100] for _ in range(300)])
    relevance = -np.sort(-rng.random(rows.shape), axis=1)
    vectors, _ = vectors_of(rng.normal(size=(400, 32)))
    for kernel in (greedy.mmr, greedy.dpp):
        one, four = (kernel(rows, relevance, vectors, 32, 10, 0.5, n) for n in (1, 4))
        assert all(np.array_equal(a, b) for a, b in zip(one, four, strict=True))


def test_door_refuses_what_does_not_fit():
    vectors, _ = vectors_of(np.eye(3))
    with pytest.raises(ValueError, match=r"must be of one form"):
        greedy.mmr(np.zeros((1, 2)), np.zeros((1, 3)), vectors, 3, 2, 0.5)
    with pytest.raises(ValueError, match="rows must be rows of vectors"):
        greedy.dpp(np.array([[0, 3]]), np.zeros((1, 2)), vectors, 3, 2, 0.5)
