"""DPALS: exact integer contributions, each user alone; what is booked; the equations; accuracy."""

import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from tests.privacy.hostile import CATALOG, histories, table
from tests.privacy.replay import difference, record, replay

from ecomrec.cf import ALS
from ecomrec.datasets import make_shop
from ecomrec.exceptions import DataError
from ecomrec.kernels import private_als
from ecomrec.privacy import (
    DPALS,
    DPPopularity,
    PrivacyLedger,
    SeededNoise,
    evaluate_histories,
    mu_from_epsilon,
)
from ecomrec.privacy import _als_steps as steps
from ecomrec.privacy._item_features import public_features
from ecomrec.privacy.bounding import PrivateRows
from ecomrec.testing import twins_private_als as twins

WHOLE = (1.0, 1.0, 1.0, 2.0)  # systems too


def people(lists, values=None):
    """Rows of users: lists of items, and their values."""
    at = np.concatenate(([0], np.cumsum([len(row) for row in lists]))).astype(np.int64)
    items = np.array([i for row in lists for i in row], dtype=np.int32)
    values = np.ones(len(items)) if values is None else np.array(values, dtype=np.float64)
    return PrivateRows(at, items, values)


def some(n_users, n_items, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, n_items + 1, n_users)
    return people([np.sort(rng.permutation(n_items)[:size]) for size in sizes])


# ---------------------------------------------------------------------- kernels


@given(st.integers(0, 12), st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_users_are_solved_for_as_numpy_does(n_users, n_items, d, seed):
    rows, rng = some(n_users, n_items, seed), np.random.default_rng(seed)
    labels, factors = rng.random(len(rows.items)), rng.standard_normal((n_items, d))
    base = factors.T @ factors + 0.5 * np.eye(d)
    arguments = rows.indptr, rows.items, labels, factors, base
    assert_allclose(private_als.solve(*arguments), twins.solve(*arguments), rtol=1e-9, atol=1e-12)


@given(st.integers(0, 12), st.integers(1, 9), st.integers(1, 6), st.integers(0, 99))
def test_sums_are_those_of_python_integers(n_users, n_items, d, seed):
    rng = np.random.default_rng(seed)
    given_steps = rng.integers(-steps.GRID, steps.GRID + 1, (n_users, d))
    rows = some(n_users, n_items, seed)
    entries = steps.weighted_entries(rows, np.ones(len(rows.items)), np.ones(n_items), 1)
    largest = np.full(len(entries.users), steps.GRID)
    where = entries.starts, entries.users
    for values in (entries.weights, -entries.weights, largest):
        assert_array_equal(
            private_als.system_sums(*where, values, given_steps),
            twins.system_sums(*where, values, given_steps),
        )
        assert_array_equal(
            private_als.target_sums(*where, values, given_steps),
            twins.target_sums(*where, values, given_steps),
        )
    assert_array_equal(private_als.gram(given_steps), twins.gram(given_steps))


# ---------------------------------------------------------------------- what one user gives


def contributions(rows, labels, factors, base, item_weights, clip_norm, n_jobs=1):
    """What users contribute to the three sums of a round."""
    given_steps = steps.user_steps(rows, labels, factors, base, clip_norm, n_jobs)
    entries = steps.weighted_entries(rows, labels, item_weights, n_jobs)
    where = entries.starts, entries.users
    return (
        private_als.gram(given_steps),
        private_als.system_sums(*where, entries.weights, given_steps, n_jobs),
        private_als.target_sums(*where, entries.targets, given_steps, n_jobs),
    )


BOUNDS = steps.GRID**2, steps.GRID**3, steps.GRID**2


@given(
    st.lists(st.sets(st.integers(0, 7), max_size=8), min_size=1, max_size=6),
    st.sampled_from([1e-9, 0.3, 1.0, 1e6]),
    st.sampled_from([0.0, 0.25, 3.0]),
    st.sampled_from([1e-6, 0.25, 1e6]),
    st.integers(0, 99),
)
def test_a_user_changes_the_sums_by_whole_numbers_within_their_bounds(
    sets, label, exponent, clip_norm, seed
):
    lists, rng = [sorted(one) for one in sets], np.random.default_rng(seed)
    factors = rng.standard_normal((8, 3)) * rng.choice([1e-8, 1.0, 1e8])
    base = 0.1 * factors.T @ factors + 1e-3 * np.eye(3)
    item_weights = np.maximum(rng.integers(-5, 1000, 8), 1.0) ** -exponent

    def sums(kept):
        rows = people(kept)
        labels = np.full(len(rows.items), label)
        return contributions(rows, labels, factors, base, item_weights, clip_norm)

    gone, rest = lists[0], lists[1:]
    for whole, without, own, bound in zip(
        sums(lists), sums(rest), sums([gone]), BOUNDS, strict=True
    ):
        change = [
            a - b for a, b in zip(whole.ravel().tolist(), without.ravel().tolist(), strict=True)
        ]
        assert change == own.ravel().tolist()
        assert sum(v * v for v in change) <= bound**2


def test_a_user_with_one_item_uses_nearly_the_whole_bound():
    factors = np.eye(2)
    rows, labels = people([[0]]), np.ones(1)
    found = contributions(rows, labels, factors, 0.1 * np.eye(2), np.ones(2), 1e-3)
    for own, bound in zip(found, BOUNDS, strict=True):
        assert math.isqrt(sum(v * v for v in own.ravel().tolist())) > 0.999 * bound


def test_labels_above_their_bound_are_cut_and_make_no_target_longer():
    rows = people([[0, 1]], [50.0, 0.5])
    entries = steps.weighted_entries(rows, np.array([50.0, 0.5]), np.ones(2), 1)
    assert entries.targets[0] == entries.weights[0]
    assert entries.targets[1] == entries.weights[1] // 2


def test_a_system_without_a_solution_gives_nothing():
    rows, labels = people([[0], [1]]), np.ones(2)
    factors = np.array([[np.sqrt(1e300), 0.0], [0.0, 1.0]])
    found = steps.user_steps(rows, labels, factors, np.diag([1.0, -5.0]), 0.25, 1)
    assert found.tolist() == [[0, 0], [0, 0]]


def test_what_users_give_is_bit_identical_without_others_and_for_any_threads():
    rows, rng = some(400, 60, 3), np.random.default_rng(3)
    factors, labels = rng.standard_normal((60, 16)), rng.random(len(rows.items))
    base = 0.1 * factors.T @ factors + np.eye(16)
    arguments = factors, base, 0.25
    whole = steps.user_steps(rows, labels, *arguments, 1)
    assert_array_equal(whole, steps.user_steps(rows, labels, *arguments, 4))
    solved = private_als.solve(rows.indptr, rows.items, labels, factors, base)
    for start, stop in ((0, 1), (7, 9), (100, 333)):
        span = slice(rows.indptr[start], rows.indptr[stop])
        part = PrivateRows(
            rows.indptr[start : stop + 1] - rows.indptr[start], rows.items[span], rows.values[span]
        )
        assert_array_equal(whole[start:stop], steps.user_steps(part, labels[span], *arguments, 1))
        again = private_als.solve(part.indptr, part.items, labels[span], factors, base)
        assert again.tobytes() == solved[start:stop].tobytes()


# ---------------------------------------------------------------------- whole fits

MODELS = [
    DPALS(n_factors=3, max_items_per_user=3, noise_source=SeededNoise(1), n_jobs=1),
    DPALS(
        n_factors=2, max_iter=3, budget_split=WHOLE, weighting="weight", clip_value=2.0, n_users=3,
        weight_exponent=1.0, noise_source=SeededNoise(1), n_jobs=1,
    ),
    DPALS(
        8.0, delta=1e-2, n_factors=2, vocabulary="dp", noise="discrete_gaussian",
        noise_source=SeededNoise(2), n_jobs=1,
    ),
]  # fmt: skip


def fitted(model, log):
    sides = {"items": CATALOG} if model.vocabulary == "public" else {}
    return lambda: model.fit(table(log), **sides)


@pytest.mark.parametrize("model", MODELS, ids=["plain", "whole", "vocabulary"])
@settings(max_examples=15)
@given(data=st.data(), log=histories())
def test_with_frozen_releases_a_neighbour_asks_alike_within_the_bounds(model, data, log):
    gone = data.draw(st.sampled_from(sorted(log)))
    rest = {user: events for user, events in log.items() if user != gone}
    try:
        calls = record(fitted(model, log))
    except DataError:  # a vocabulary that nothing got into
        return
    for (name, params, value, _), other in zip(
        calls, replay(fitted(model, rest), calls), strict=True
    ):
        square = sum(v * v for v in difference(value, other))
        assert square <= params["bound"] ** 2, name


@pytest.mark.parametrize("noise", ["rounded_gaussian", "discrete_gaussian"])
@pytest.mark.parametrize("split", [(0.05, 0.05, 0.0, 0.9), WHOLE])
@pytest.mark.parametrize("epsilon", [0.5, 4.0])
def test_the_plan_spends_epsilon_and_is_what_is_released(epsilon, split, noise, tmp_path):
    shop = make_shop(60, 20, 800, 3, random_state=0)
    ledger = PrivacyLedger(tmp_path / "ledger", 10.0, 1e-5)
    model = DPALS(
        epsilon, delta=1e-5, n_factors=3, max_iter=3, budget_split=split, noise=noise, n_users=60,
        ledger=ledger,
    )  # fmt: skip
    events = shop.events[["user_id", "item_id"]]
    calls = record(lambda: model.fit(events, items=shop.items))
    names = ["gram", "systems", "targets"] if split[2] else ["gram", "targets"]
    assert len(calls) == 1 + 3 * len(names)
    plan = model._plan(20)
    assert list(plan) == ["counts", *names]
    assert [event.count for event in plan.values()] == [1] + [3] * len(names)
    assert model.privacy_report_.events == tuple(plan.values()) == tuple(ledger.events)
    assert model.privacy_report_.epsilon == pytest.approx(epsilon, rel=1e-6)
    # The noise that was drawn is the noise that was booked.
    drawn = sum((call[1]["bound"] / call[1]["sigma"]) ** 2 for call in calls)
    if noise == "rounded_gaussian":
        assert drawn == pytest.approx(mu_from_epsilon(epsilon, 1e-5) ** 2, rel=1e-6)
        shares = np.array([share for share in split if share])
        booked = [event.count / event.noise_multiplier**2 for event in plan.values()]
        assert_allclose(np.array(booked) / sum(booked), shares / shares.sum(), rtol=1e-9)
    else:
        assert drawn == pytest.approx(sum(2 * e.rho * e.count for e in plan.values()), rel=1e-6)


def test_without_noise_a_round_is_what_the_equations_say():
    shop = make_shop(80, 25, 1500, 3, random_state=1)
    events = shop.events[["user_id", "item_id"]].drop_duplicates()
    d, most, exponent, clip, ridge = 4, 30, 0.5, 0.4, 7.0
    model = DPALS(
        math.inf, n_factors=d, max_iter=1, clip_norm=clip, weight_exponent=exponent,
        budget_split=WHOLE, item_regularization=ridge, unobserved_weight=0.2, regularization=0.6,
        max_items_per_user=most,
    ).fit(events, items=shop.items)  # fmt: skip
    X = np.zeros((80, 25))
    X[events["user_id"], events["item_id"]] = 1
    X = X[X.any(axis=1)]
    counts = (X / np.linalg.norm(X, axis=1)[:, None]).sum(axis=0)
    assert_allclose(model.popularity_, counts, rtol=1e-4)
    V = steps.first_factors(25, d, None, np.random.default_rng(0))
    base = 0.2 * V.T @ V + 0.6 * np.eye(d)
    U = np.array([np.linalg.solve(base + (V.T * x) @ V, V.T @ x) for x in X])
    U *= np.minimum(1, clip / np.linalg.norm(U, axis=1))[:, None] / clip
    W = X * np.maximum(counts, 1) ** -exponent
    W /= np.linalg.norm(W, axis=1)[:, None]
    K, b = U.T @ U, W.T @ U
    A = np.einsum("ij,if,ig->jfg", W, U, U)
    system = np.sqrt(most) * A + 0.2 * K + ridge * np.eye(d)
    expected = np.linalg.solve(system, b[:, :, None])[:, :, 0]
    expected /= np.sqrt((expected**2).sum(axis=1).mean())
    assert_allclose(model.item_factors_, expected, rtol=0.01, atol=0.002)


def test_the_score_of_a_history_is_solved_for_and_explained():
    shop = make_shop(200, 30, 4000, 3, random_state=1)
    model = DPALS(math.inf, n_factors=6).fit(shop.events[["user_id", "item_id"]], items=shop.items)
    V = model.item_factors_
    base = min(1.0, 300 / 30) * V.T @ V + np.eye(6)
    u = np.linalg.solve(base + V[[2, 7]].T @ V[[2, 7]], V[[2, 7]].sum(axis=0))
    items, scores = model.recommend(history=[[2, 7]], k=5)
    assert_allclose(scores[0], (V @ u)[items[0]], rtol=1e-5)
    table = model.explain(item=items[0, 0], history=[2, 7])
    assert table["contribution"].sum() == pytest.approx(scores[0, 0], rel=1e-5)
    assert sorted(table["reason"]) == [2, 7]
    alike = model.similar_items([2], k=1)
    unit = V / np.linalg.norm(V, axis=1)[:, None]
    cosines = unit @ unit[2]
    cosines[2] = -1
    assert alike.items[0, 0] == np.argmax(cosines)
    assert_allclose(alike.scores[0, 0], cosines.max(), rtol=1e-5)


def test_random_state_moves_the_start_and_never_the_noise():
    shop = make_shop(60, 20, 800, 3, random_state=0)
    events = shop.events[["user_id", "item_id"]]

    def released(random_state, source):
        model = DPALS(n_factors=3, max_iter=1, random_state=random_state, noise_source=source)
        calls = record(lambda: model.fit(events, items=shop.items))
        return [call[3] - call[2] for call in calls]

    for one, other in zip(released(0, SeededNoise(4)), released(1, SeededNoise(4)), strict=True):
        assert_array_equal(one, other)
    plain, again = released(0, None), released(0, None)
    assert all((one != other).any() for one, other in zip(plain, again, strict=True))


def test_noise_of_symmetric_sums_has_half_the_variance_beside_the_diagonal():
    rows = np.zeros((1, 60))
    rows[0, 0] = 1
    model = DPALS(n_factors=40, max_iter=1, budget_split=WHOLE, noise_source=SeededNoise(0))
    calls = {call[0]: call for call in record_named(model, rows)}
    for name in ("gram", "systems"):
        _, params, exact, noisy = calls[name]
        noise = (noisy - exact) / params["sigma"]
        assert_array_equal(noise, np.swapaxes(noise, -1, -2))
        diagonal = np.diagonal(noise, axis1=-2, axis2=-1).ravel()
        beside = noise.reshape(-1, 40, 40)[:, *np.triu_indices(40, 1)].ravel()
        for values, variance in ((diagonal, 1.0), (beside, 0.5)):
            spread = variance * math.sqrt(2 / len(values))
            assert abs(np.mean(values**2) - variance) < 5 * spread


def record_named(model, rows):
    """Calls of a fit under the names of the plan: releases come in its order."""
    calls = record(lambda: model.fit(rows))
    names = [name for name in model._plan(rows.shape[1]) if name != "n_users"]
    with_count = [call for call in calls if call[2].shape != (1,)]
    return [(name, *call[1:]) for name, call in zip(names, with_count, strict=True)]


# ---------------------------------------------------------------------- features


def table_of_items():
    return pd.DataFrame(
        {
            "item_id": [3, 1, 2, 0],
            "category": ["mug", "tea", None, "mug"],
            "price": [1.0, np.nan, 2.0, 30.0],
            "vector": [[1.0, 0.0], None, [0.0, 1.0], [1.0, 1.0]],
        }
    )


def test_public_features_are_read_in_the_order_asked_for():
    items, columns = table_of_items(), ["category", "price", "vector"]
    found = public_features(items, columns, np.arange(4), 10)
    assert found.shape == (4, 4)
    labels = np.array([[1, 0], [0, 1], [0, 0], [1, 0]]) / math.sqrt(3 / 4)
    price = np.array([30.0, np.nan, 2.0, 1.0])
    scores = np.nan_to_num((price - np.nanmean(price)) / np.nanstd(price))
    scores /= math.sqrt(np.mean(scores**2))
    vectors = np.array([[1.0, 1], [0, 0], [0, 1], [1, 0]])
    vectors /= math.sqrt((vectors**2).sum() / 4)
    expected = np.column_stack((labels, scores, vectors))
    # Principal directions keep all products.
    assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)


def test_the_first_vectors_tell_groups_apart_by_their_features():
    shop = make_shop(50, 60, 500, 4, random_state=0)
    features = public_features(shop.items, ["category"], None, 8)
    start = steps.first_factors(60, 8, features, np.random.default_rng(0))
    unit = start / np.linalg.norm(start, axis=1)[:, None]
    same = shop.item_group[:, None] == shop.item_group
    assert (unit @ unit.T)[same].mean() > (unit @ unit.T)[~same].mean() + 0.3


@pytest.mark.parametrize(
    ("items", "columns", "match"),
    [
        (None, "category", r"fit\(events, items=catalog\)"),
        (table_of_items(), ["category", "colour"], "colour"),
        (table_of_items().assign(empty=None), "empty", "holds nothing"),
    ],
)
def test_features_that_cannot_be_read_spend_nothing(items, columns, match):
    ledger = PrivacyLedger(None, 10.0, 1e-5)
    events = pd.DataFrame({"user_id": [0, 1], "item_id": [1, 2]})
    with pytest.raises(DataError, match=match):
        DPALS(item_features=columns, ledger=ledger).fit(events, items=items)
    assert ledger.events == ()


@pytest.mark.parametrize("split", [(0, 1, 1, 1), (1, 1, 1), (1, 1, 1, 0), (1, 1, -1, 1), "1111"])
def test_a_split_without_what_is_needed_is_refused(split):
    with pytest.raises(ValueError, match="DPALS: budget_split must be four shares"):
        DPALS(budget_split=split).fit(np.eye(3))


# ---------------------------------------------------------------------- accuracy

N_USERS, N_TEST = 12_000, 1000


@pytest.fixture(scope="module")
def shop():
    made = make_shop(
        N_USERS + N_TEST, 1000, 43 * (N_USERS + N_TEST), 20, taste=0.5,
        columns=("user_id", "item_id"), random_state=0,
    )  # fmt: skip
    events = made.events.drop_duplicates()
    early = events["user_id"] < N_USERS
    return made.items, events[early], events[~early]


def recall(model, test):
    return evaluate_histories(model, test, release="public")["recall@20"].mean()


def found(shop, **params):
    items, train, test = shop
    return recall(DPALS(delta=2.5e-6, **params).fit(train, items=items), test)


def test_without_noise_it_ranks_as_well_as_als(shop):
    _, train, test = shop
    plain = recall(ALS(n_factors=24, max_iter=8, random_state=0).fit(train), test)
    assert found(shop, epsilon=math.inf) > 0.95 * plain


def test_it_keeps_most_of_its_accuracy_and_features_help_where_noise_is_large(shop):
    items, train, test = shop
    plain = found(shop, epsilon=math.inf)
    popular = recall(DPPopularity(1.0, delta=2.5e-6).fit(train, items=items), test)
    noise = {"noise_source": SeededNoise(0)}
    assert found(shop, epsilon=3.0, **noise) > 0.93 * plain
    at_one = found(shop, epsilon=1.0, **noise)
    assert at_one > max(0.65 * plain, 1.5 * popular)
    assert found(shop, epsilon=1.0, item_features="category", **noise) > at_one + 0.02


def test_the_kernels_run_without_being_compiled():
    code = "import tests.privacy.test_dp_als as t; t.test_labels_above_their_bound_are_cut_and_make_no_target_longer()"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
