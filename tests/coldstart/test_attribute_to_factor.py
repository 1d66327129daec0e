"""New items among the vectors of a factor model: only what this model alone promises."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

import ecomrec
from ecomrec.cf import ALS, BPR, SVD, ItemKNN, PureSVD
from ecomrec.coldstart import AttributeToFactor
from ecomrec.coldstart import _maps as maps
from ecomrec.content import AttributeRecommender, EmbeddingRecommender, TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.exceptions import DataError
from ecomrec.testing import check_recommender

MODELS = [ALS(6), PureSVD(6), BPR(6, max_iter=5)]
KINDS = 4


def kinds_of(n_items=60):
    return [f"kind{number % KINDS}" for number in range(n_items)]


def shop(n_users=80, n_items=60, n_new=8, seed=0):
    """Everybody likes one kind of things; the last things are new, and say what kind they are."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        own = [item for item in range(n_items - n_new) if item % KINDS == user % KINDS]
        rows += [(f"u{user}", item) for item in rng.choice(own, 6, replace=False)]
        rows += [(f"u{user}", item) for item in rng.choice(n_items - n_new, 2, replace=False)]
    events = pd.DataFrame(rows, columns=["user_id", "item_id"]).drop_duplicates()
    items = pd.DataFrame({"item_id": range(n_items), "title": kinds_of(n_items)})
    return events, items, list(range(n_items - n_new, n_items))


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_new_items_are_ranked_by_kind_and_known_ones_stay_to_the_bit(model):
    events, items, new = shop()
    alone = model.fit(events, items=items)
    mapped = AttributeToFactor(model).fit(events, items=items)
    users = alone.user_ids_
    assert mapped.is_mapped_.nonzero()[0].tolist() == new
    warm = ~mapped.is_mapped_
    assert np.array_equal(mapped.item_factors_[warm], alone.item_factors_[warm])
    assert np.array_equal(mapped.user_factors_, alone.user_factors_)
    old = [item for item in range(60) if item not in new]
    ours, theirs = (m.recommend(users, 20, candidates=old) for m in (mapped, alone))
    assert np.array_equal(ours.items, theirs.items)
    assert np.array_equal(ours.scores, theirs.scores)
    first = mapped.recommend(users, 2, candidates=new).items
    kind = np.array([int(user[1:]) % KINDS for user in users])
    assert (first % KINDS == kind[:, None]).mean() > 0.95


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_mixed_lists_are_neither_all_new_nor_all_known(model):
    events, items, new = shop()
    top = AttributeToFactor(model).fit(events, items=items).recommend(events["user_id"].unique())
    # A quarter of what a user likes and has not are new items: 2 of 2 + 7 or so.
    share = np.isin(top.items[:, :5], new).mean()
    assert 0.05 < share < 0.8


def world(n_items=120, n_features=5, n_factors=3, noise=0.0):
    """Vectors that are a linear function of content of length 1."""
    rng = np.random.default_rng(3)
    content = rng.standard_normal((n_items, n_features))
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    truth = rng.standard_normal((n_features, n_factors))
    factors = content @ truth + [1.0, -2.0, 0.5]
    return content, factors + noise * rng.standard_normal(factors.shape), truth


def examples(content, factors, weights=None, **more):
    options = {"gram": np.eye(factors.shape[1]), "n_biases": 0, "ratings": False} | more
    weights = np.ones(len(factors)) if weights is None else weights
    return maps.Examples(sp.csr_array(content), factors, weights, **options)


LINEAR = maps.Settings("linear", 0.3, 1000, 1e-9, 1.0)


def test_linear_world_is_recovered():
    content, factors, _ = world()
    found = maps.learn(examples(content[:80], factors[:80]), LINEAR, np.random.default_rng(0))
    assert found.stretch == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(found.of(sp.csr_array(content[80:])), factors[80:], atol=0.2)
    # The mean of the targets is not the intercept: a constant feature is, and then it is exact.
    wide = np.column_stack((content, np.ones(len(content))))
    found = maps.learn(examples(wide[:80], factors[:80]), LINEAR, np.random.default_rng(0))
    np.testing.assert_allclose(found.of(sp.csr_array(wide[80:])), factors[80:], atol=1e-4)


@pytest.mark.parametrize("dense", [True, False])
def test_ridge_equals_the_closed_form(dense):
    content, factors, _ = world(noise=0.3)
    weights = np.random.default_rng(1).uniform(0.2, 3, len(content))
    inputs = content if dense else sp.csr_array(content)
    found, center = maps.ridge(inputs, factors, weights, 0.7)
    np.testing.assert_allclose(center, weights @ factors / weights.sum())
    theirs = Ridge(0.7, fit_intercept=False).fit(content, factors - center, weights)
    np.testing.assert_allclose(found, theirs.coef_.T, atol=1e-6)


def test_kernel_of_all_items_is_exact_kernel_ridge():
    content, factors, _ = world(60, noise=0.1)
    settings = maps.Settings("rbf", 0.8, 1000, 0.5, 1.0)
    known = examples(content[:40], factors[:40])
    found = maps.learn(known, settings, np.random.default_rng(0))
    alike = maps.likeness(sp.csr_array(content), sp.csr_array(content[:40]), 0.8)
    mean = factors[:40].mean(axis=0)
    dual = np.linalg.solve(alike[:40] + 0.5 * np.eye(40), factors[:40] - mean)
    expected = found.stretch * (mean + alike[40:] @ dual)
    np.testing.assert_allclose(found.of(sp.csr_array(content[40:])), expected, atol=1e-3)


def test_regularization_is_chosen_on_items_held_out():
    clear, noisy = (world(noise=noise)[:2] for noise in (0.0, 6.0))
    settings = LINEAR._replace(regularization=None)
    rng = np.random.default_rng
    strengths = [
        maps.learn(examples(*data), settings, rng(0)).regularization for data in (clear, noisy)
    ]
    assert strengths == [min(maps.PENALTIES), max(maps.PENALTIES)]


def test_guessed_vectors_are_as_long_as_known_ones():
    content, factors, _ = world(noise=1.5)
    known = examples(content, factors)
    settings = LINEAR._replace(regularization=10.0)
    found = maps.learn(known, settings, np.random.default_rng(0))
    lengths = [np.linalg.norm(v, axis=1).mean() for v in (found.of(known.content), factors)]
    assert found.stretch > 1.05
    assert lengths[0] == pytest.approx(lengths[1], rel=0.1)
    half = maps.learn(known, settings._replace(new_item_weight=0.5), np.random.default_rng(0))
    np.testing.assert_allclose(half.of(known.content), found.of(known.content) / 2, rtol=1e-4)


def test_biases_are_spread_from_their_mean_and_ratings_not_at_all():
    content, factors, _ = world(noise=1.0)
    settings = LINEAR._replace(regularization=10.0)
    found = maps.learn(examples(content, factors, n_biases=1), settings, np.random.default_rng(0))
    assert found.center[-1] == pytest.approx(factors[:, -1].mean(), rel=1e-5)
    plain = maps.learn(
        examples(content, factors, ratings=True), settings, np.random.default_rng(0)
    )
    assert plain.stretch == 1
    assert found.of(known := sp.csr_array(content))[:, -1].std() > plain.of(known)[:, -1].std()


def test_new_items_of_ones_kind_are_rated_higher():
    events, items, new = shop()
    kind = events["user_id"].str[1:].astype(int) % KINDS
    events = events.assign(rating=np.where(events["item_id"] % KINDS == kind, 5.0, 1.0))
    model = AttributeToFactor(SVD(4, max_iter=60)).fit(events, items=items)
    pairs = [(user, item) for user in model.user_ids_ for item in new]
    ratings = model.predict(pairs)
    own = np.array([item % KINDS == int(user[1:]) % KINDS for user, item in pairs])
    assert ratings[own].mean() > ratings[~own].mean() + 0.5
    assert ((ratings >= 1) & (ratings <= 5)).all()


@pytest.mark.parametrize(
    "content",
    [AttributeRecommender({"title": 1}), EmbeddingRecommender(n_factors=4), TfidfRecommender()],
    ids=lambda content: type(content).__name__,
)
def test_item_is_ranked_as_soon_as_its_row_arrives(content):
    events, items, new = shop()
    early = items[~items["item_id"].isin(new)]
    model = AttributeToFactor(PureSVD(6), content).fit(events, items=early)
    before = model.recommend(["u1"], 20)
    assert not np.isin(before.items, new).any()
    model.partial_fit(events.head(0), items=items[items["item_id"].isin(new)])
    assert model.is_mapped_.nonzero()[0].tolist() == new
    assert model.recommend(["u1"], 1, candidates=new).items[0, 0] % KINDS == 1
    after = model.recommend(["u1"], 20, candidates=early["item_id"].tolist())
    assert np.array_equal(before.items, after.items)
    np.testing.assert_allclose(after.scores, before.scores, rtol=1e-6)
    # Its first customers make it the model's own.
    bought = pd.DataFrame({"user_id": ["u1", "u5"], "item_id": [new[0]] * 2})
    model.partial_fit(bought)
    assert model.is_mapped_.nonzero()[0].tolist() == new[1:]
    expected = PureSVD(6).fit(events, items=items).partial_fit(bought).item_factors_
    np.testing.assert_allclose(model.item_factors_[new[0]], expected[new[0]], rtol=1e-5)


def test_other_words_move_a_new_item():
    events, items, new = shop()
    model = AttributeToFactor(PureSVD(6)).fit(events, items=items)
    changed = pd.DataFrame({"item_id": [new[0]], "title": ["kind3"]})
    vectors = model.item_factors_.copy()
    model.partial_fit(events.head(0), items=changed)
    twin = next(item for item in new if item % KINDS == 3)
    assert np.array_equal(model.item_factors_[new[0]], vectors[twin])
    assert np.array_equal(model.item_factors_[new[1:]], vectors[new[1:]])


def test_words_nobody_knows_say_nothing():
    events, items, _ = shop()
    odd = pd.DataFrame({"item_id": [900, 901], "title": ["unheard of", None]})
    model = AttributeToFactor(PureSVD(6)).fit(events, items=items)
    model.partial_fit(events.head(0), items=odd)
    rows = model.parts_.model._state.interactions.items.rows([900, 901])
    assert model.is_mapped_[rows].tolist() == [True, False]
    np.testing.assert_allclose(model.item_factors_[rows[0]], model._state.learned.own.center)


def test_fitted_model_is_taken_as_it_is(tmp_path):
    events, items, new = shop()
    fitted = ALS(6).fit(events)
    before = fitted.item_factors_.copy(), fitted.user_factors_.copy()
    model = AttributeToFactor(fitted, prefit=True).fit(events, items=items)
    old = fitted.item_ids_
    assert np.array_equal(model.item_factors_[: len(old)], before[0])
    assert np.array_equal(model.user_factors_, before[1])
    assert fitted.item_ids_.tolist() == old.tolist()
    assert model.recommend(["u2"], 1, candidates=new).items[0, 0] % KINDS == 2
    ours, theirs = (m.recommend(["u2"], 9, candidates=old) for m in (model, fitted))
    assert ours.items.tolist() == theirs.items.tolist()
    model.save(tmp_path / "shop.ecomrec")
    loaded = ecomrec.load(tmp_path / "shop.ecomrec")
    assert loaded.recommend(["u2"]).items.tolist() == model.recommend(["u2"]).items.tolist()
    with pytest.raises(NotFittedError, match="prefit=True takes a fitted model, and this ALS"):
        loaded.fit(events, items=items)


def test_compressed_model_is_taken_too():
    events, items, _ = shop()
    fitted = ALS(6).fit(events).compress()
    model = AttributeToFactor(fitted, prefit=True).fit(events, items=items)
    ours, theirs = (m.recommend(["u2"], 9, candidates=range(52)) for m in (model, fitted))
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)


def test_other_catalogue_is_refused():
    events, items, _ = shop()
    fitted = ALS(6).fit(events)
    model = AttributeToFactor(fitted, prefit=True)
    strangers = events.assign(user_id="x" + events["user_id"])
    with pytest.raises(DataError, match=r"hold 80 users that the fitted ALS does not know.*'xu"):
        model.fit(strangers, items=items)
    others = events.assign(item_id=events["item_id"] + 1000)
    with pytest.raises(DataError, match="items that the fitted ALS does not know"):
        model.fit(others, items=items)
    with pytest.raises(NotFittedError, match="is not fitted"):
        AttributeToFactor(ALS(6), prefit=True).fit(events, items=items)
    with pytest.raises(DataError, match="pass a table with item_id"):
        AttributeToFactor().fit(events)
    with pytest.raises(ValueError, match="model must be None or a model of vectors"):
        AttributeToFactor(ItemKNN()).fit(events, items=items)
    with pytest.raises(ValueError, match="content must be None, a TfidfRecommender"):
        AttributeToFactor(ALS(), ALS()).fit(events, items=items)


@pytest.mark.parametrize("title", [None, ""])
def test_catalogue_without_words_maps_nothing(title):
    events, items, _ = shop()
    model = AttributeToFactor(ALS(4)).fit(events, items=items.assign(title=title))
    assert not model.is_mapped_.any()
    alone = ALS(4).fit(events, items=items)
    assert model.recommend(["u1"]).items.tolist() == alone.recommend(["u1"]).items.tolist()


def test_nothing_known_but_one_item_maps_nothing():
    events = pd.DataFrame({"user_id": ["a"], "item_id": [1]})
    items = pd.DataFrame({"item_id": [1, 2], "title": ["tea", "tea"]})
    assert AttributeToFactor(ALS(2)).fit(events, items=items).is_mapped_.tolist() == [False] * 2


def test_first_words_teach_a_model_that_had_none():
    matrix = (np.random.default_rng(0).random((20, 12)) < 0.4).astype(float)
    with pytest.warns(UserWarning, match="learns from what the items are"):
        model = AttributeToFactor(ALS(3)).fit(matrix)
    assert not model.is_mapped_.any()
    titles = [f"kind{n % 3}" for n in range(14)]
    model.partial_fit(
        np.zeros((20, 14)), items=pd.DataFrame({"item_id": range(14), "title": titles})
    )
    assert model.is_mapped_.nonzero()[0].tolist() == [12, 13]


@pytest.mark.parametrize("model", [*MODELS, SVD(4)], ids=repr)
def test_explanation_of_a_new_item_adds_up(model):
    events, items, new = shop()
    if isinstance(model, SVD):
        events = events.assign(rating=1.0 + events["item_id"] % 5)
    fitted = AttributeToFactor(model).fit(events, items=items)
    answer = fitted.recommend(["u3"], 1, candidates=new)
    table = fitted.explain("u3", answer.items[0, 0])
    assert table["contribution"].sum() == pytest.approx(answer.scores[0, 0], rel=1e-3, abs=1e-4)
    assert len(table)


def test_rbf_survives_a_file(tmp_path):
    events, items, _ = shop()
    model = AttributeToFactor(PureSVD(4), kernel="rbf", n_landmarks=20).fit(events, items=items)
    model.save(tmp_path / "shop.ecomrec")
    loaded = ecomrec.load(tmp_path / "shop.ecomrec", verify=True)
    late = pd.DataFrame({"item_id": [77], "title": ["kind1"]})
    for one in (model, loaded):
        one.partial_fit(events.head(0), items=late)
    assert np.array_equal(model.item_factors_, loaded.item_factors_)


def test_promises_hold_for_models_with_biases():
    check_recommender(
        AttributeToFactor(BPR(3, max_iter=3), AttributeRecommender()),
        include=["check_save_load_keeps_answers", "check_forgotten_ids_leave_no_trace",
                 "check_history_equals_stored_user", "check_threads_see_whole_states"],
        max_examples=3,
    )  # fmt: skip


def test_names_of_new_products_beat_their_words_alone():
    """On the bundled shop: a fifth of the products is new (Recall@20 among these)."""
    data = load_online_retail()
    bought = data.events.loc[data.events["event"] == "purchase", ["user_id", "item_id"]]
    bought = bought.drop_duplicates()
    ids = np.sort(bought["item_id"].unique())
    new = set(np.random.default_rng(0).permutation(ids)[: len(ids) // 5].tolist())
    is_new = bought["item_id"].isin(new)
    train, test = bought[~is_new], bought[is_new]
    users = np.intersect1d(train["user_id"].unique(), test["user_id"].unique())[:1500]
    truth = test[test["user_id"].isin(users)].groupby("user_id")["item_id"].agg(set)
    items = data.items[data.items["item_id"].isin(ids)]

    def recall(model):
        answer = model.fit(train, items=items).recommend(users, 20, candidates=list(new)).items
        hits = [len(truth[u] & set(row)) for u, row in zip(users, answer.tolist(), strict=True)]
        return np.mean(np.array(hits) / truth[users].map(len).to_numpy())

    mapped = AttributeToFactor(PureSVD(64))
    found = recall(mapped)
    assert found > 0.31
    assert found > recall(TfidfRecommender()) + 0.005
    share = np.isin(mapped.recommend(users, 20).items, list(new)).mean()
    assert 0.1 < share < 0.5
