"""What PureSVD alone promises: the equation, the exactness of its directions, its updates."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.extmath import randomized_svd

from ecomrec.cf import PureSVD
from ecomrec.datasets import make_shop
from ecomrec.kernels import sparse

RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(0, 4, size=(30, 12)).astype(np.float64)


@pytest.fixture(scope="module")
def shop():
    columns = ("user_id", "item_id")
    return make_shop(2_000, 400, 30_000, n_groups=20, columns=columns, random_state=0).events


@pytest.mark.parametrize("n_factors", [3, 12])
def test_scores_equal_the_equation(n_factors):
    model = PureSVD(n_factors, user_damping=0.3, item_damping=0.4, regularization=2.0).fit(WEIGHTS)
    d, n = (WEIGHTS > 0).sum(axis=1), (WEIGHTS > 0).sum(axis=0)
    _, values, directions = np.linalg.svd(d[:, None] ** -0.3 * WEIGHTS * n**-0.4)
    values, directions = values[:n_factors], directions[:n_factors]
    kept = values**2 / (values**2 + 2.0 * values[-1] ** 2)
    expected = (WEIGHTS * n**-0.4) @ directions.T * kept @ directions * n**0.4
    scores = model.user_factors_ @ model.item_factors_.T
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.singular_values_, values, rtol=1e-5)


def test_without_damping_it_is_the_truncated_svd():
    model = PureSVD(5, user_damping=0, item_damping=0, regularization=0).fit(WEIGHTS)
    u, s, v = np.linalg.svd(WEIGHTS, full_matrices=False)
    scores = model.user_factors_ @ model.item_factors_.T
    np.testing.assert_allclose(scores, u[:, :5] * s[:5] @ v[:5], atol=1e-4)


def test_directions_of_a_larger_matrix_are_as_good_as_those_of_scikit_learn(shop):
    model = PureSVD(16, user_damping=0, item_damping=0, n_iter=6).fit(shop)
    matrix = model._state.interactions.to_scipy()
    expected = randomized_svd(matrix, 16, n_iter=12, random_state=0)[1]
    np.testing.assert_allclose(model.singular_values_, expected, rtol=1e-3)


def test_a_rank_that_is_lower_than_asked_for_is_found():
    model = PureSVD(10).fit(np.ones((50, 40)))
    assert len(model.singular_values_) == 1
    assert model.item_factors_.shape == (40, 1)
    nothing = PureSVD(10).fit(np.zeros((4, 5)))
    assert nothing.recommend([0], k=2).scores.tolist() == [[0, 0]]


def test_an_update_reads_the_rows_of_the_batch_and_those_of_users_of_new_items(shop, monkeypatch):
    known, batch = shop.iloc[:29_900], shop.iloc[29_900:]
    model = PureSVD(8).fit(known)
    read = []
    product = sparse.product

    def counted(rows, *args, **kwargs):
        read.append(len(rows))
        return product(rows, *args, **kwargs)

    monkeypatch.setattr(sparse, "product", counted)
    model.partial_fit(batch)
    assert sum(read) <= 2 * batch["user_id"].nunique() + 50
    expected = model.recommend(batch["user_id"].unique(), k=5)
    visits = batch["user_id"].unique()
    mine = pd.concat((known, batch))
    mine = mine[mine["user_id"].isin(visits)]
    found = model.recommend(history=mine, k=5)
    by_key = dict(zip(found.keys, found.scores.tolist(), strict=True))
    for user, scores in zip(expected.keys, expected.scores.tolist(), strict=True):
        np.testing.assert_allclose(by_key[user], scores, rtol=1e-4)


def test_a_new_item_goes_to_those_who_are_like_its_users():
    users = [f"{side}{n}" for side in "ab" for n in range(20)]
    rows = [(user, f"{user[0]}-item{(int(user[1:]) + k) % 9}") for user in users for k in range(5)]
    model = PureSVD(4).fit(pd.DataFrame(rows, columns=["user_id", "item_id"]))
    new = pd.DataFrame({"user_id": ["a1", "a2", "a3"], "item_id": "new"})
    at_once = model.partial_fit(new).predict([("a7", "new"), ("b7", "new")])
    assert at_once[0] > 0.02 > abs(at_once[1])
    fresh = model.refresh().predict([("a7", "new"), ("b7", "new")])
    assert fresh[0] > abs(fresh[1])


def test_new_items_do_not_depend_on_how_events_were_batched(shop):
    known, later = shop[shop["item_id"] % 7 != 0], shop[shop["item_id"] % 7 == 0].head(300)
    whole = PureSVD(8).fit(known).partial_fit(later)
    parts = PureSVD(8).fit(known)
    for batch in np.array_split(np.arange(len(later)), 4):
        parts.partial_fit(later.iloc[batch])
    order = [np.argsort(model.item_ids_) for model in (whole, parts)]
    np.testing.assert_allclose(
        whole.item_factors_[order[0]], parts.item_factors_[order[1]], rtol=1e-3, atol=1e-5
    )
