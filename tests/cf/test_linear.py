"""Linear item models: the equations of the papers, their limits, and what updates cost."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import ElasticNet

import ecomrec
from ecomrec import _memory
from ecomrec.cf import EASE, SLIM, GraphFilter, ease
from ecomrec.content import Item2Vec
from ecomrec.datasets import load_online_retail, make_shop

MODELS = [EASE(), SLIM(), GraphFilter(), GraphFilter(kind="turbo")]
each_model = pytest.mark.parametrize("model", MODELS, ids=repr)


@pytest.fixture(scope="module")
def shop():
    """A users x items matrix of weights in which some users are heavy."""
    rng = np.random.default_rng(5)
    taste = rng.random((60, 3)) @ rng.random((3, 14))
    return (rng.random((60, 14)) < 0.35 * taste / taste.mean()) * rng.integers(1, 4, (60, 14))


def dense(weights):
    return sp.csr_array(weights).toarray() if sp.issparse(weights) else np.asarray(weights)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_ease_is_the_equation_of_the_paper(shop, dropout):
    weights = EASE(3.0, dropout=dropout).fit(shop).item_weights_
    gram = (shop.T @ shop).astype(np.float64)
    ridge = 3.0 + dropout / (1 - dropout) * np.diag(gram)
    inverse = np.linalg.inv(gram + np.diag(ridge))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-5)


def test_ease_damps_users_and_items(shop):
    model = EASE(0.5, user_damping=1.0, item_damping=0.3, self_exclusion=0.4).fit(shop)
    users, items = (shop > 0).sum(axis=1), (shop > 0).sum(axis=0)
    columns = shop * np.float64(items) ** -0.3
    inverse = np.linalg.inv(
        columns.T @ (columns / np.maximum(users, 1)[:, None]) + 0.5 * np.eye(14)
    )
    expected = -inverse / np.diag(inverse) ** 0.4
    expected *= (items[None, :] / items[:, None]) ** 0.3
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(model.item_weights_, expected, rtol=1e-4, atol=1e-5)


def test_regularization_follows_the_events_if_it_is_not_given(shop):
    model = EASE().fit(shop)
    assert model.regularization_ == pytest.approx(
        50 * (shop**2).sum() / np.sqrt(14 * (shop > 0).sum())
    )
    heavier = EASE().fit(shop * 10)
    assert heavier.regularization_ == pytest.approx(100 * model.regularization_)
    np.testing.assert_allclose(model.item_weights_, heavier.item_weights_, rtol=1e-4, atol=1e-6)
    assert EASE(7).fit(shop).regularization_ == 7.0


@pytest.mark.parametrize("n", [1, 7, 14, 40])
def test_blocks_are_inverted_like_the_whole(n):
    factor = np.random.default_rng(n).random((3 * n, n))
    matrix = (factor.T @ factor + np.eye(n)).astype(np.float32)
    expected = np.linalg.inv(matrix.astype(np.float64))
    upper = np.triu(matrix)
    assert ease.invert_upper(upper, block=7)
    np.testing.assert_allclose(np.triu(upper), np.triu(expected), rtol=1e-3, atol=1e-5)
    assert not ease.invert_upper(-matrix, block=7)


def test_large_catalogues_are_inverted_in_blocks(shop, monkeypatch):
    whole = EASE().fit(shop).item_weights_
    monkeypatch.setattr(ease, "_WHOLE", 3)
    np.testing.assert_allclose(EASE().fit(shop).item_weights_, whole, rtol=1e-4, atol=1e-6)


def test_ease_says_when_nothing_can_be_inverted():
    twins = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match=r"regularization=0 cannot be inverted.*Raise regular"):
        EASE(0).fit(twins)


@pytest.mark.parametrize(
    ("model", "size", "advice"),
    [
        (EASE(), 14**2 * 4, "use SLIM or ItemKNN"),
        (GraphFilter(kind="turbo", order=2), 14**2 * 8, "Use order=1"),
        (SLIM(), 14, "RobotFilter"),
        (Item2Vec(), 14 * 16, "Give a window"),
    ],
    ids=repr,
)
def test_too_large_a_catalogue_is_refused_with_the_figure(model, size, advice, shop, monkeypatch):
    monkeypatch.setattr(_memory, "available_memory", lambda: size - 1.0)
    name = type(model).__name__
    with pytest.raises(MemoryError, match=rf"{name} needs 0\.00 GB .* 14 items; .*{advice}"):
        model.fit(shop)
    assert not hasattr(model, "item_ids_")


def test_free_memory_is_read_from_the_system():
    assert 1e6 < _memory.available_memory() < 1e15


@pytest.mark.parametrize("l1_ratio", [0.02, 0.5])
def test_slim_is_the_elastic_net_of_scikit_learn(shop, l1_ratio):
    model = SLIM(regularization=4.0, l1_ratio=l1_ratio, tol=0.0, max_iter=2000).fit(shop)
    expected = np.zeros((14, 14))
    for target in range(14):
        others = np.delete(np.arange(14), target)
        net = ElasticNet(
            alpha=4.0 / 60, l1_ratio=l1_ratio, fit_intercept=False, positive=True, tol=1e-10,
            max_iter=100_000,
        ).fit(shop[:, others], shop[:, target])  # fmt: skip
        expected[others, target] = net.coef_
    np.testing.assert_allclose(model.item_weights_.toarray(), expected, rtol=1e-3, atol=1e-5)


def test_slim_keeps_the_largest_weights_of_each_target(shop):
    whole = SLIM().fit(shop).item_weights_.toarray()
    few = SLIM(2).fit(shop).item_weights_.toarray()
    for column, kept in zip(whole.T, few.T, strict=True):
        best = np.argsort(-column, kind="stable")[:2]
        np.testing.assert_array_equal(np.flatnonzero(kept), np.sort(best[column[best] > 0]))
        np.testing.assert_array_equal(kept[best], column[best])


def normalised(shop, alpha, beta):
    users, items = shop.sum(axis=1), shop.sum(axis=0)
    scale = np.where(users > 0, np.maximum(users, 1e-9) ** -alpha, 0)
    return shop * scale[:, None] * (np.float64(items) ** -beta)


@pytest.mark.parametrize("order", [1, 2])
def test_turbo_is_the_equation_of_the_paper(shop, order):
    model = GraphFilter(kind="turbo", alpha=0.6, item_damping=None, power=0.7, order=order).fit(
        shop
    )
    matrix = normalised(shop, 0.6, 0.4)
    first = (matrix.T @ matrix) ** 0.7
    expected = first if order == 1 else 2 * first - first @ first
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(dense(model.item_weights_), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("regularization", [0.0, 0.1])
def test_gf_is_the_equation_of_the_paper(shop, regularization):
    model = GraphFilter(item_damping=None, n_factors=3, regularization=regularization).fit(shop)
    matrix = normalised(shop, 0.5, 0.5)
    _, values, vectors = np.linalg.svd(matrix, full_matrices=False)
    passing = values[:3] ** 2 / (values[:3] ** 2 + regularization)
    root = np.sqrt(shop.sum(axis=0))
    low_pass = (vectors[:3].T * passing) @ vectors[:3] * (root[None, :] / root[:, None])
    expected = shop @ (matrix.T @ matrix + 0.3 * low_pass)
    found = model._score(model._state, _everybody(model))
    unseen = (shop == 0) & (expected > 1e-3)
    np.testing.assert_allclose(found[unseen], expected[unseen], rtol=1e-4)


def _everybody(model):
    from ecomrec.base import Query
    from ecomrec.data.histories import stored_profiles

    interactions = model._state.interactions
    users = np.arange(interactions.n_users)
    return Query(users, stored_profiles(interactions, users), True)


def test_randomised_vectors_filter_like_exact_ones(monkeypatch):
    from ecomrec.cf import graph_filter

    events = make_shop(n_users=900, n_items=300, n_events=15_000, random_state=0).events
    model = GraphFilter(n_factors=10)
    exact = model.fit(events).item_factors_
    monkeypatch.setattr(graph_filter, "_EXACT", 0)
    found = model.fit(events).item_factors_
    # Vectors have no sign of their own, and mix where values are close: compare the planes.
    planes = [np.linalg.qr(factors)[0] for factors in (exact, found)]
    overlap = np.linalg.svd(planes[0].T @ planes[1])[1]
    assert (overlap > 0.99).sum() >= 9


def test_second_order_is_of_turbo_only(shop):
    with pytest.raises(ValueError, match="order=2 needs kind='turbo'; got kind='gf'"):
        GraphFilter(order=2).fit(shop)


@each_model
def test_no_request_waits_for_a_fit(model, shop, monkeypatch):
    model.fit(shop[:50])
    fits, fit = [], type(model)._fit

    def counted(self, *args):
        fits.append(self)
        return fit(self, *args)

    monkeypatch.setattr(type(model), "_fit", counted)
    for row in range(50, 60):
        batch = np.zeros((row + 1, 14))
        batch[row] = shop[row]
        model.partial_fit(batch)
        items, _ = model.recommend([row], k=3)
        assert not set(items[0].tolist()) & set(np.flatnonzero(shop[row]).tolist())
    assert fits == []
    model.refresh().refresh()
    assert len(fits) == 1
    whole = type(model)(**model.get_params()).fit(shop)
    np.testing.assert_allclose(
        dense(model.item_weights_), dense(whole.item_weights_), rtol=1e-4, atol=1e-6
    )


@each_model
def test_later_items_have_no_weights_until_refresh(model, shop):
    model.fit(shop)
    batch = np.zeros((60, 15))
    batch[:8, 14] = 1.0
    model.partial_fit(batch)
    before, _ = model.recommend([20], k=15, exclude_seen=False)
    assert before[0].tolist()[-1] == 14
    assert model.similar_items([14], k=3).items[0].tolist() == [-1, -1, -1]
    assert len(model.explain(20, 14)) == 0
    model.refresh()
    assert model.similar_items([14], k=3).items[0, 0] >= 0


@each_model
def test_nothing_is_learned_anew_for_an_empty_batch(model, shop):
    model.fit(shop)
    before = model._state.learned
    model.partial_fit(np.zeros((1, 14)))
    assert model._state.learned.current
    assert model._state.learned is before


@each_model
def test_models_that_wait_for_refresh_are_saved_as_they_are(model, shop, tmp_path):
    batch = np.zeros((60, 15))
    batch[40:, :14] = shop[40:]
    batch[:5, 14] = 1.0
    model.fit(shop[:40]).partial_fit(batch)
    model.save(tmp_path / "stale")
    loaded = ecomrec.load(tmp_path / "stale", mmap=True)
    for _ in range(2):
        one, other = (each.recommend([5, 50], k=15) for each in (model, loaded))
        assert one.items.tolist() == other.items.tolist()
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
        model.refresh()
        loaded.refresh()


@each_model
def test_similar_items_are_the_heaviest_weights(model, shop):
    model.fit(shop)
    answer = model.similar_items([2], k=3)
    scores = answer.scores[0]
    assert (np.diff(scores) <= 0).all()
    assert 2 not in answer.items[0]
    if not isinstance(model, GraphFilter) or model.kind == "turbo":
        row = dense(model.item_weights_)[2]
        np.testing.assert_allclose(scores, np.sort(row)[::-1][:3], rtol=1e-6)


def test_weights_cannot_be_written(shop):
    weights = EASE().fit(shop).item_weights_
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1.0


@each_model
def test_threads_change_next_to_nothing(model):
    events = make_shop(n_users=3000, n_items=1200, n_events=40_000, random_state=1).events
    users = events["user_id"].unique()[:200].tolist()
    one, two = (
        type(model)(**model.get_params() | {"n_jobs": n}).fit(events).predict(
            [(user, item) for user in users[:40] for item in events["item_id"].unique()[:50]]
        )
        for n in (1, 2)
    )  # fmt: skip
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4 * np.nanmax(one))


@each_model
def test_half_life_lets_old_events_fade(model):
    events = pd.DataFrame(
        {
            "user_id": ["a", "a", "b", "b", "c", "c", "d"],
            "item_id": ["tea", "mug", "tea", "pot", "tea", "mug", "tea"],
            "timestamp": pd.to_datetime(
                ["2026-01-01", "2026-01-01", "2026-03-01", "2026-03-01", "2026-01-01", "2026-01-01",
                 "2026-03-01"]
            ),
        }
    )  # fmt: skip
    plain = type(model)(**model.get_params()).fit(events)
    fading = type(model)(**model.get_params() | {"half_life": "7D"}).fit(events)
    assert plain.recommend(["d"], k=1).items[0, 0] == "mug"
    assert fading.recommend(["d"], k=1).items[0, 0] == "pot"


@pytest.mark.parametrize("model", [EASE(), GraphFilter(), SLIM()], ids=repr)
def test_defaults_beat_popularity_on_the_bundled_shop(model):
    from ecomrec.cf import Popularity
    from ecomrec.evaluation import compare, train_test_split

    events = load_online_retail().events
    events = events[events["event"] == "purchase"][["user_id", "item_id", "timestamp"]]
    train, test = train_test_split(events)
    table = compare({"popular": Popularity(), "ours": model}, train, test).to_frame()
    assert table.loc["ours", "ndcg"] > 1.3 * table.loc["popular", "ndcg"]
