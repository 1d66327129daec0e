"""DPEASE and DPItemKNN: the exact Gram matrix, its bound, and what is made of the noisy one."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec import _memory
from ecomrec.cf import EASE, ItemKNN
from ecomrec.datasets import make_shop
from ecomrec.kernels import private_gram
from ecomrec.privacy import (
    DPEASE,
    DPItemKNN,
    DPPopularity,
    PrivacyLedger,
    SeededNoise,
)
from ecomrec.privacy._gram import GRID, faded, spectrum
from ecomrec.privacy.bounding import PrivateRows
from ecomrec.privacy.noise.door import recorded
from ecomrec.testing.twins_private import user_gram_twin

SHOP = make_shop(400, 40, 6000, 4, random_state=0)
EVENTS = SHOP.events[["user_id", "item_id"]].drop_duplicates(ignore_index=True)
ITEMS = SHOP.items
HISTORY = [[1, 2, 3], [30]]
BOTH = pytest.mark.parametrize("kind", [DPEASE, DPItemKNN])


def fitted(kind, epsilon=4.0, seed=0, **params):
    return kind(epsilon, noise_source=SeededNoise(seed), **params).fit(EVENTS, items=ITEMS)


def with_release(kind, epsilon=4.0, **params):
    """A model, and the noisy matrix that it was made from, on the grid."""
    seen = {}

    def keep(name, given, value, release):
        seen[name] = np.array(release())
        return seen[name].copy()

    with recorded(keep):
        model = fitted(kind, epsilon, **params)
    return model, seen["gram"] / float(GRID**2)


# ---------------------------------------------------------------------- the exact sum

users = st.lists(
    st.dictionaries(st.integers(0, 6), st.integers(-GRID, GRID), max_size=7), max_size=8
)


def laid_out(rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    flat = [pair for row in rows for pair in sorted(row.items())]
    items = np.array([item for item, _ in flat], dtype=np.int32)
    return indptr, items, np.array([value for _, value in flat], dtype=np.int64)


@given(users, st.sampled_from([1, 2]))
def test_the_sum_equals_its_twin(rows, n_jobs):
    indptr, items, values = laid_out(rows)
    found = private_gram.user_gram(indptr, items, values, 7, n_jobs)
    np.testing.assert_array_equal(found, user_gram_twin(indptr, items, values, 7))


def test_a_sum_in_many_threads_equals_its_twin():
    rng = np.random.default_rng(0)
    rows = [{int(i): 3 for i in rng.choice(50, 30, replace=False)} for _ in range(2000)]
    found = private_gram.user_gram(*laid_out(rows), 50, 2)
    np.testing.assert_array_equal(found, private_gram.user_gram(*laid_out(rows), 50, 1))
    np.testing.assert_array_equal(found, user_gram_twin(*laid_out(rows), 50))


@given(users, st.randoms(use_true_random=False))
def test_the_order_of_users_changes_no_bit(rows, random):
    before = private_gram.user_gram(*laid_out(rows), 7)
    random.shuffle(rows)
    assert before.tolist() == private_gram.user_gram(*laid_out(rows), 7).tolist()


def test_rows_that_do_not_fit_are_refused():
    indptr, one = np.array([0, 2]), np.array([1])
    with pytest.raises(ValueError, match="an entry for each place"):
        private_gram.user_gram(indptr, one, one, 3)


def test_no_number_of_users_overflows_the_sum():
    # Of an entry, one user changes at most |q|^2; users are numbered in 32 bits.
    assert 2**31 * GRID**2 < 2**62


@given(
    st.lists(
        st.dictionaries(st.integers(0, 9), st.floats(1e-300, 1e300), min_size=1, max_size=10),
        min_size=1,
        max_size=5,
    )
)
def test_one_user_changes_the_matrix_by_no_more_than_is_declared(rows):
    flat = [pair for row in rows for pair in sorted(row.items())]
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    items = np.array([item for item, _ in flat], dtype=np.int32)
    private = PrivateRows(indptr, items, np.array([value for _, value in flat]))
    values = private.integer_rows(GRID)
    all_of_them = private_gram.user_gram(indptr, items, values, 10)
    without = private_gram.user_gram(indptr[:-1], items[: indptr[-2]], values[: indptr[-2]], 10)
    change = [int(x) for x in (all_of_them - without).ravel()]
    assert sum(x * x for x in change) <= (GRID**2) ** 2


@BOTH
def test_what_is_released_is_the_sum_over_users_and_its_bound(kind):
    seen = {}

    def look(name, given, value, release):
        seen[name] = given, np.array(value)
        return release()

    with recorded(look):
        fitted(kind, max_items_per_user=5)
    given, value = seen["gram"]
    assert given["bound"] == GRID**2
    n_users = EVENTS["user_id"].nunique()
    # Each user's row has the norm 1, whatever they have: the diagonal adds up to their number.
    assert np.trace(value) / GRID**2 == pytest.approx(n_users, rel=1e-3)
    # Users have at most five items each, and 1' C 1 counts these.
    assert value.sum() / GRID**2 <= 5 * n_users


# ---------------------------------------------------------------------- what comes after


def test_noise_alone_stays_inside_its_edge():
    rng = np.random.default_rng(0)
    for n, s in ((50, 1.0), (400, 3.0)):
        beside = np.triu(rng.normal(0, s / np.sqrt(2), (n, n)), 1)
        noise = np.diag(rng.normal(0, s, n)) + beside + beside.T
        found = spectrum(noise.astype(np.float32), s, 1)
        largest = np.linalg.eigvalsh(noise).max()
        assert 0.85 * found.edge < largest < 1.15 * found.edge


def test_eigenvalues_fade_towards_zero_below_the_edge():
    values = np.array([-5.0, 0.0, 1.0, 10.0, 100.0])
    np.testing.assert_allclose(faded(values, 10.0), [0, 0, 1e-4, 5.0, 99.99], rtol=1e-3)
    np.testing.assert_allclose(faded(values, 0.0), [0, 0, 1, 10, 100])


def faded_matrix(noisy, s):
    edge = s * np.sqrt(2 * len(noisy))
    values, vectors = np.linalg.eigh(noisy)
    positive = np.maximum(values, 0)
    kept = positive**5 / (positive**4 + edge**4) if s else positive
    return (vectors * kept) @ vectors.T, edge


@pytest.mark.parametrize("noise", ["rounded_gaussian", "discrete_gaussian"])
def test_dpease_is_its_equation(noise):
    model, noisy = with_release(DPEASE, noise=noise)
    matrix, edge = faded_matrix(noisy, min(map(spread, model.privacy_report_.events)))
    ridge = 50 * np.trace(noisy) / np.sqrt(noisy.sum() * len(noisy)) + 0.1 * edge
    assert model.regularization_ == pytest.approx(ridge, rel=1e-4)
    inverse = np.linalg.inv(matrix + ridge * np.eye(len(matrix)))
    expected = -inverse / np.diagonal(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(model.item_weights_, expected, atol=1e-4)
    np.testing.assert_allclose(model.popularity_, matrix.sum(axis=1), rtol=1e-3, atol=0.05)


def spread(event):
    multiplier = getattr(event, "noise_multiplier", None)
    return multiplier if multiplier is not None else 1 / math.sqrt(2 * event.rho)


def test_dpitemknn_is_its_equation():
    model, noisy = with_release(DPItemKNN, n_neighbors=7, shrink=2.0, n_users=400)
    matrix, _ = faded_matrix(noisy, spread(model.privacy_report_.events[0]))
    lengths = np.sqrt(np.diagonal(matrix))
    expected = np.maximum(matrix, 0) / (np.outer(lengths, lengths) + 2.0)
    np.fill_diagonal(expected, 0)
    expected[expected < np.sort(expected, axis=1)[:, -7:-6]] = 0
    np.testing.assert_allclose(model.item_weights_.toarray(), expected, atol=1e-4)


def test_dpease_without_noise_is_ease_with_users_that_count_the_same():
    mine = DPEASE(math.inf, regularization=5.0, max_items_per_user=1000).fit(EVENTS, items=ITEMS)
    theirs = EASE(regularization=5.0, user_damping=1.0).fit(EVENTS)
    np.testing.assert_allclose(mine.item_weights_, theirs.item_weights_, atol=2e-4)


def test_the_ridge_without_noise_is_that_of_ease():
    mine = DPEASE(math.inf).fit(EVENTS, items=ITEMS)
    theirs = EASE(user_damping=1.0).fit(EVENTS)
    assert mine.regularization_ == pytest.approx(theirs.regularization_, rel=1e-3)


def test_dpitemknn_without_noise_is_cosine():
    mine = DPItemKNN(math.inf, shrink=0.0, n_neighbors=40).fit(EVENTS, items=ITEMS)
    theirs = ItemKNN(
        user_damping=1.0, history_damping=0.5, popularity_damping=0.5, shrink=0.0
    ).fit(EVENTS)
    ours, plain = mine.item_weights_.toarray(), theirs.similarity_.toarray()
    # The same numerator; ItemKNN divides by the numbers of users, and DPItemKNN by what is left
    # when every user counts 1 in all.
    diagonal = np.zeros(40)
    counts = EVENTS["user_id"].map(EVENTS["user_id"].value_counts())
    np.add.at(diagonal, EVENTS["item_id"].to_numpy(), 1 / counts)
    users = np.bincount(EVENTS["item_id"], minlength=40)
    scale = np.sqrt(users / diagonal)
    np.testing.assert_allclose(ours, plain * np.outer(scale, scale), rtol=2e-3, atol=1e-4)


def test_popularity_without_noise_counts_users():
    model = fitted(DPEASE, math.inf)
    counts = np.bincount(EVENTS["item_id"], minlength=40)
    np.testing.assert_allclose(model.popularity_, counts, rtol=2e-3)


@BOTH
def test_an_empty_log_has_no_neighbours(kind):
    nobody = pd.DataFrame({"user_id": np.array([], int), "item_id": np.array([], int)})
    model = kind(1.0, noise_source=SeededNoise(0)).fit(nobody, items=ITEMS)
    exact = kind(math.inf).fit(nobody, items=ITEMS)
    assert model.recommend(history=HISTORY, k=5).items.shape == (2, 5)
    assert np.abs(np.asarray(exact.item_weights_.sum())) == 0


@BOTH
def test_weights_count_where_they_are_asked_for_however_large(kind):
    rng = np.random.default_rng(0)
    heavy = EVENTS.assign(weight=rng.integers(1, 9, len(EVENTS)).astype(float))
    plain = kind(math.inf).fit(heavy, items=ITEMS)
    weighted = kind(math.inf, weighting="weight").fit(heavy, items=ITEMS)
    assert np.abs(np.asarray((plain.item_weights_ - weighted.item_weights_).sum())) > 0
    heavy.loc[0, "weight"] = 1e300
    assert np.isfinite(kind(weighting="weight").fit(heavy, items=ITEMS).popularity_).all()


@BOTH
def test_a_public_number_of_users_leaves_the_whole_budget_to_the_matrix(kind):
    told, counted = fitted(kind, n_users=400), fitted(kind)
    assert len(told.privacy_report_.events) == 1
    assert len(counted.privacy_report_.events) == 2
    assert told.privacy_report_.epsilon == pytest.approx(4.0, abs=1e-6)
    assert counted.privacy_report_.epsilon == pytest.approx(4.0, abs=1e-6)
    noise = [min(map(spread, model.privacy_report_.events)) for model in (told, counted)]
    assert 1 < noise[1] / noise[0] < 1.02


@BOTH
def test_what_does_not_fit_in_memory_is_refused_before_anything_is_charged(kind, monkeypatch):
    monkeypatch.setattr(_memory, "available_memory", lambda: 1e4)
    ledger = PrivacyLedger(None, epsilon=4.0, delta=1e-6)
    with pytest.raises(MemoryError, match=r"0\.00 GB for its weights between 40 items.*DPALS"):
        kind(ledger=ledger).fit(EVENTS, items=ITEMS)
    assert ledger.spent() == 0


@BOTH
def test_too_small_a_shop_is_told(kind):
    assert "DPPopularity is expected to do better" in fitted(kind, 0.1, n_users=400).advice_
    assert fitted(kind, 4.0, n_users=400).advice_ is None


@BOTH
def test_lists_are_personal_and_contributions_add_up(kind):
    model = fitted(kind, 8.0)
    found = model.recommend(history=HISTORY, k=5)
    assert found.items[0].tolist() != found.items[1].tolist()
    reasons = model.explain(item=int(found.items[0, 0]), history=HISTORY[0])
    assert reasons["contribution"].sum() == pytest.approx(float(found.scores[0, 0]), rel=1e-5)
    assert set(reasons["reason"]) <= set(HISTORY[0])


def test_items_that_nothing_speaks_for_come_by_released_popularity():
    model = fitted(DPItemKNN, n_neighbors=5)
    found = model.recommend(history=[[0]], k=39)
    rest = found.items[0][found.scores[0] == 0]
    assert len(rest) >= 34
    counts = pd.Series(model.popularity_, index=model.item_ids_)
    assert counts[rest].is_monotonic_decreasing


@BOTH
def test_a_shop_with_enough_users_gets_better_lists_than_one_for_all(kind):
    shop = make_shop(3000, 60, 60_000, 6, taste=0.8, random_state=3)
    events = shop.events[["user_id", "item_id"]].drop_duplicates()
    known = events["user_id"] < 2500
    personal = kind(4.0, noise_source=SeededNoise(1)).fit(events[known], items=shop.items)
    same = DPPopularity(4.0, noise_source=SeededNoise(1)).fit(events[known], items=shop.items)
    assert personal.score(events[~known]) > same.score(events[~known]) + 0.05


@BOTH
def test_weights_of_any_size_give_finite_scores(kind):
    pairs = pd.DataFrame({"user_id": np.repeat(np.arange(50), 9), "item_id": [*range(9)] * 50})
    model = kind(math.inf).fit(pairs, items=pairs.drop_duplicates("item_id"))
    history = pd.DataFrame({"user_id": "v", "item_id": range(8), "weight": 3.4e38})
    found = model.recommend(history=history, k=9, exclude_seen=False)
    assert np.isfinite(found.scores).all()
    small = model.recommend(history=history.assign(weight=1.0), k=9, exclude_seen=False)
    assert found.items[0, 0] == small.items[0, 0] == 8
