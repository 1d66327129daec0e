"""Embeddings: encoders of all kinds, modalities, heads, new texts, files without encoders."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

import ecomrec
from ecomrec.content import Catalog, EmbeddingRecommender, TfidfRecommender
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import train_test_split
from ecomrec.exceptions import DataError

TITLES = ["red mug", "red tea pot", "blue mug", "garden chair", "green tea", None, "red mug"]
ITEMS = pd.DataFrame({"item_id": list("abcdefg"), "title": TITLES})
EVENTS = pd.DataFrame({"user_id": ["u", "u", "v"], "item_id": ["a", "e", "d"]})


class Letters:
    """Counts letters, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked += texts
        return np.array([[text.count(letter) for letter in "abcdeghmnrtu"] for text in texts])


def fitted(encoder=None, items=ITEMS, **params):
    return EmbeddingRecommender(encoder, **params).fit(EVENTS, items=items)


def cosines(vectors):
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    return units @ units.T


def expected_vectors():
    return np.array([Letters()([title or ""])[0] for title in TITLES], dtype=float)


# ---------------------------------------------------------------------- encoders


def test_a_score_is_the_mean_cosine():
    model = fitted(Letters())
    alike = cosines(expected_vectors())
    items, scores = model.recommend(["u"], k=7, exclude_seen=False)
    wanted = dict(zip("abcdefg", (alike[0] + alike[4]) / 2, strict=True))
    assert scores[0] == pytest.approx([wanted[item] for item in items[0]], abs=1e-6)
    assert not model.item_factors_[5].any(), "an item without a text has no vector"
    weighted = model.recommend(
        history=pd.DataFrame({"user_id": "w", "item_id": ["a", "e"], "weight": [3.0, 1.0]}), k=7
    )
    wanted = (3 * alike[0] + alike[4]) / 4
    found = dict(zip(weighted.items[0], weighted.scores[0], strict=True))
    assert found["c"] == pytest.approx(wanted[2], abs=1e-6)


class Encodes:
    def encode(self, texts, show_progress_bar=True):
        assert not show_progress_bar
        return Letters()(texts)


LETTERS = TfidfVectorizer(analyzer="char")
ENCODERS = {
    "object with encode": Encodes(),
    "stateless": HashingVectorizer(n_features=64),
    "to be fitted": make_pipeline(TfidfVectorizer(), TruncatedSVD(3, random_state=0)),
    "fitted": make_pipeline(LETTERS, TruncatedSVD(3, random_state=0)).fit(["red mug", "tea", "x"]),
    "frozen": FrozenEstimator(TfidfVectorizer().fit(["mug", "tea", "red"])),
}


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_encoders_of_all_kinds_recommend_new_items_at_once(encoder):
    model = fitted(encoder)
    assert model.recommend(history=[["a"]], k=1).items[0, 0] == "g"
    new = pd.DataFrame({"item_id": ["new"], "title": ["red mug"]})
    model.partial_fit(EVENTS.head(0), items=new)
    items, scores = model.recommend(history=[["a"]], k=2)
    assert sorted(items[0]) == ["g", "new"]
    assert scores[0] == pytest.approx([1, 1], abs=1e-5)
    model.refresh()
    assert sorted(model.recommend(history=[["a"]], k=2).items[0]) == ["g", "new"]
    model.forget(items=["g"])
    assert model.recommend(history=[["a"]], k=1).items[0, 0] == "new"


def test_only_new_and_changed_texts_are_encoded():
    encoder = Letters()
    model = fitted(encoder)
    assert sorted(encoder.asked) == sorted({title for title in TITLES if title})
    encoder.asked.clear()
    new = pd.DataFrame({"item_id": ["x", "b", "a"], "title": ["tea mug", "red tea pot", "hat"]})
    model.partial_fit(EVENTS, items=new)
    assert sorted(encoder.asked) == ["hat", "tea mug"]
    encoder.asked.clear()
    model.partial_fit(EVENTS).refresh().forget(items=["x"])
    assert encoder.asked == []
    whole = ITEMS.assign(title=["hat", *TITLES[1:]])
    again = EmbeddingRecommender(Letters()).fit(pd.concat([EVENTS] * 3), items=whole)
    np.testing.assert_allclose(model.user_factors_, again.user_factors_, atol=1e-6)
    np.testing.assert_allclose(model.item_factors_, again.item_factors_, atol=1e-6)


def test_fields_are_read_one_below_the_other():
    encoder = Letters()
    items = ITEMS.assign(brand=["Acme", None, None, None, None, "Leaf", "Acme"])
    model = fitted(encoder, items)
    assert model.fields_ == {"title": 5.0, "brand": 2.0}
    assert {"red mug\nAcme", "Leaf", "red tea pot"} <= set(encoder.asked)
    encoder.asked.clear()
    fitted(encoder, items, fields={"brand": 1})
    assert sorted(encoder.asked) == ["Acme", "Leaf"]


def test_lsa_of_full_rank_is_tfidf():
    events = pd.DataFrame({"user_id": list("uvw"), "item_id": list("abd")})
    mine = EmbeddingRecommender(fields={"title": 1}).fit(events, items=ITEMS)
    words = TfidfRecommender(fields={"title": 1}).fit(events, items=ITEMS)
    for query in ("a", "b", "e"):
        one = mine.recommend(history=[[query]], k=2)
        other = words.recommend(history=[[query]], k=2)
        assert one.scores[0] == pytest.approx(other.scores[0], abs=1e-5)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda texts: np.ones(len(texts)), r"must have shape \(n, n_factors\); got \(5,\)"),
        (lambda texts: np.ones((2, 3)), "returned 2 vectors for 5 texts"),
        (lambda texts: [["x"]] * len(texts), "must be an array of numbers"),
        (lambda texts: np.full((len(texts), 2), np.nan), "NaN or infinity for 5 texts"),
        (HashingVectorizer(), "sparse vectors of 1048576 columns"),
    ],
)
def test_what_is_no_encoder_is_named(answer, message):
    with pytest.raises(DataError, match=message):
        fitted(answer)


def test_a_table_without_texts_is_refused():
    with pytest.raises(DataError, match="found none of the columns"):
        fitted(items=ITEMS[["item_id"]])
    with pytest.raises(DataError, match="no item has a text"):
        fitted(Letters(), items=ITEMS.assign(title=None))
    with pytest.raises(DataError, match="texts must be str"):
        fitted(fields={"title": 1}, items=ITEMS.assign(title=3))


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None,
    reason="sentence-transformers is not installed",
)
def test_a_folder_holds_a_model(tmp_path):
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    sentences = pytest.importorskip("sentence_transformers")
    bag = modules.BoW(["red", "mug", "tea", "pot", "blue", "green"])
    sentences.SentenceTransformer(modules=[bag], device="cpu").save(str(tmp_path))
    model = fitted(str(tmp_path))
    assert model.recommend(history=[["a"]], k=1).items[0, 0] == "g"
    model.save(tmp_path / "shop.ecomrec")
    read = ecomrec.load(tmp_path / "shop.ecomrec")
    new = pd.DataFrame({"item_id": ["new"], "title": ["red mug"]})
    read.partial_fit(EVENTS, items=new)
    assert sorted(read.recommend(history=[["a"]], k=2).items[0]) == ["g", "new"]


def test_a_model_by_name_says_what_to_install():
    if importlib.util.find_spec("sentence_transformers") is not None:
        pytest.skip("sentence-transformers is installed")
    with pytest.raises(ImportError, match=r"pip install 'ecomrec\[text\]'"):
        fitted("some/model")


# ---------------------------------------------------------------------- modalities

PHOTOS = [[3.0, 0.0], None, [1.0, 1.0], [0.0, 1.0], None, [0.0, 2.0], None]


def test_modalities_are_fused_late_and_may_be_missing():
    items = ITEMS.assign(photo=PHOTOS)
    model = fitted(Letters(), items, vectors={"photo": 3.0}, text_weight=1.0)
    texts = cosines(expected_vectors())
    photos = cosines(np.array([photo or [0, 0] for photo in PHOTOS]))
    alike = model.item_factors_ @ model.item_factors_.T
    assert alike[0, 2] == pytest.approx((texts[0, 2] + 3 * photos[0, 2]) / 4, abs=1e-6)
    assert alike[0, 1] == pytest.approx(texts[0, 1] / np.sqrt(4), abs=1e-6)
    assert alike[5, 3] == pytest.approx(3 * photos[5, 3] / (np.sqrt(3) * 2), abs=1e-6)
    assert alike[5, 5] == pytest.approx(1)
    new = pd.DataFrame({"item_id": ["b", "new"], "photo": [[0.0, 1.0], np.array([2.0, 0.0])]})
    model.partial_fit(EVENTS.head(0), items=new)
    both = ITEMS.assign(photo=[*PHOTOS[:1], [0.0, 1.0], *PHOTOS[2:]])
    both = pd.concat([both, new.iloc[1:]], ignore_index=True)
    again = fitted(Letters(), both, vectors={"photo": 3.0})
    np.testing.assert_allclose(model.item_factors_, again.item_factors_, atol=1e-6)
    np.testing.assert_allclose(model.user_factors_, again.user_factors_, atol=1e-6)
    gone = pd.DataFrame({"item_id": ["f", "b"], "photo": [None, None]})
    model.partial_fit(EVENTS.head(0), items=gone)
    assert not model.item_factors_[5].any()


def test_vectors_alone_need_no_text():
    items = Catalog(ITEMS.assign(photo=PHOTOS))
    model = fitted(items=items, vectors="photo")
    assert model.fields_ == {}
    assert model.item_factors_.shape == (7, 2)
    assert model.recommend(history=[["d"]], k=1).items[0, 0] == "f"


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ([[1.0], [1.0, 2.0], *[None] * 5], "photo of item 'b' has 2 numbers, others have 1"),
        ([[1.0], "x", *[None] * 5], "photo of item 'b' must be a list or array"),
        ([[1.0], [np.nan], *[None] * 5], "photo of item 'b' must be a list or array of finite"),
        ([None] * 7, "no item has a vector in the column 'photo'"),
    ],
)
def test_bad_vectors_are_named(photos, message):
    with pytest.raises(DataError, match=message):
        fitted(items=ITEMS.assign(photo=pd.Series(photos, dtype=object)), vectors="photo")
    with pytest.raises(DataError, match="has no column 'image'"):
        fitted(vectors="image")


def test_vectors_of_another_length_are_refused():
    model = fitted(items=ITEMS.assign(photo=PHOTOS), vectors=["photo"])
    new = pd.DataFrame({"item_id": ["new"], "photo": [[1.0, 2.0, 3.0]]})
    with pytest.raises(DataError, match="vectors of 3 numbers in this batch, and of 2"):
        model.partial_fit(EVENTS, items=new)
    assert "new" not in model.item_ids_


# ---------------------------------------------------------------------- heads


def tastes(n_users=300, seed=0):
    """Users like one half of the first coordinates; the others are noise that is large."""
    rng = np.random.default_rng(seed)
    vectors = np.hstack([rng.standard_normal((80, 3)), 3 * rng.standard_normal((80, 5))])
    likes = vectors[:, :3] @ rng.standard_normal((3, n_users))
    items = np.argsort(-likes, axis=0)[:12].T
    rows = [(user, item) for user, row in enumerate(items) for item in rng.permutation(row)]
    events = pd.DataFrame(rows, columns=["user_id", "item_id"])
    held_out = events.groupby("user_id").tail(3)
    table = pd.DataFrame({"item_id": np.arange(80), "vector": list(vectors)})
    return events.drop(held_out.index), held_out, table


@pytest.mark.parametrize(
    "params",
    [
        {"head": "least_squares"},
        {"head": "least_squares", "head_rank": 6},
        {"head": "contrastive", "max_iter": 30},
        {"head": "contrastive", "max_iter": 30, "head_rank": 4},
    ],
    ids=str,
)
def test_a_head_learns_what_matters(params):
    events, held_out, table = tastes()
    plain = EmbeddingRecommender(vectors="vector").fit(events, items=table)
    learned = EmbeddingRecommender(vectors="vector", regularization=0.01, **params)
    learned.fit(events, items=table)
    np.testing.assert_array_equal(plain.item_factors_, learned.item_factors_)
    assert learned.score(held_out) > plain.score(held_out) + 0.1
    user, item = 5, 17
    score = learned.predict([(user, item)])[0]
    assert learned.explain(user, item)["contribution"].sum() == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize("head", ["least_squares", "contrastive"])
def test_regularisation_keeps_the_vectors_as_they_came(head):
    events, _, table = tastes(50)
    params = {"vectors": "vector", "head": head, "max_iter": 2}
    model = EmbeddingRecommender(**params, regularization=1e6).fit(events, items=table)
    if head == "least_squares":
        np.testing.assert_allclose(model.head_, np.eye(8), atol=1e-4)
    bounded = EmbeddingRecommender(**params, head_rank=1).fit(events, items=table)
    sizes = np.linalg.svd(bounded.head_)[1]
    np.testing.assert_allclose(sizes[1:-1], sizes[1], rtol=1e-4, err_msg="D is of rank 1")
    assert not np.array_equal(
        EmbeddingRecommender(vectors="vector").fit(events, items=table).user_factors_,
        bounded.user_factors_,
    )


def test_least_squares_equals_the_normal_equations():
    from ecomrec.content import _heads
    from ecomrec.data.histories import Profiles

    rng = np.random.default_rng(0)
    # Positive vectors are alike enough for the identity to be of use.
    vectors = rng.random((9, 3)).astype(np.float32)
    indptr, items = np.array([0, 4, 7]), np.array([0, 2, 5, 8, 1, 2, 6], dtype=np.int32)
    profiles = Profiles(indptr, items, np.ones(7, dtype=np.float32))
    examples = _heads.examples_of(profiles, vectors, rng, 1)
    head = _heads.least_squares(examples, None, 0.3)
    lefts, takens = [], []
    for user in (slice(0, 4), slice(4, 7)):
        for item in items[user]:
            others = [other for other in items[user] if other != item]
            lefts.append(vectors[others].mean(axis=0))
            takens.append(vectors[item])
    x, taken, y = np.array(lefts), np.array(takens), vectors.astype(float)
    g, h, a = x.T @ x / 7, y.T @ y / 9, x.T @ taken / 7
    c = np.trace(a) / np.trace(g @ h)
    penalty = 0.3 * np.trace(g) * np.trace(h) / 9
    change = np.linalg.solve(np.kron(g, h) + penalty * np.eye(9), (a - c * g @ h).ravel()).reshape(
        3, 3
    )
    np.testing.assert_allclose(head, np.eye(3) + change / c, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("encoder", [Letters(), TfidfVectorizer()], ids=["callable", "sklearn"])
def test_a_file_holds_the_vectors_and_wants_the_encoder_for_new_texts(encoder, tmp_path):
    model = fitted(encoder, ITEMS.assign(photo=PHOTOS), vectors="photo")
    model.save(tmp_path / "shop.ecomrec")
    read = ecomrec.load(tmp_path / "shop.ecomrec")
    assert read.encoder == "given"
    assert read.recommend(["u"], k=5).items.tolist() == model.recommend(["u"], k=5).items.tolist()
    read.partial_fit(EVENTS, items=ITEMS.head(2))
    new = pd.DataFrame({"item_id": ["new"], "title": ["blue mug"]})
    with pytest.raises(DataError, match=r"Give it again first: model.set_params\(encoder="):
        read.partial_fit(EVENTS, items=new)
    with pytest.raises(DataError, match="not part of the saved file"):
        read.fit(EVENTS, items=ITEMS.assign(photo=PHOTOS))
    known = encoder
    if isinstance(encoder, TfidfVectorizer):
        known = TfidfVectorizer().fit([title for title in TITLES if title])
    read.set_params(encoder=known).partial_fit(EVENTS, items=new)
    assert read.recommend(history=[["c"]], k=1).items[0, 0] in ("new", "a", "g")
    assert encoder is model.encoder
    with pytest.raises(DataError, match="vectors of 2 numbers; those of the fitted model have"):
        read.set_params(encoder=lambda texts: np.ones((len(texts), 2))).partial_fit(
            EVENTS, items=new.assign(title="another")
        )


def test_another_encoder_takes_over_with_refresh():
    model = fitted()
    model.set_params(encoder=Letters()).refresh()
    again = fitted(Letters())
    np.testing.assert_allclose(model.item_factors_, again.item_factors_, atol=1e-6)


def test_what_is_left_may_have_no_text():
    for encoder in (None, TfidfVectorizer(), Letters()):
        model = fitted(encoder, ITEMS[ITEMS["item_id"].isin(["a", "f"])])
        model.forget(items=["a"])
        assert model.recommend(["v"], k=1).scores[0, 0] == 0


def test_an_unfitted_model_with_an_encoder_is_saved_without_it(tmp_path):
    EmbeddingRecommender(Letters(), head="contrastive").save(tmp_path / "model")
    read = ecomrec.load(tmp_path / "model")
    assert read.get_params()["head"] == "contrastive"


def test_a_forgotten_text_is_in_no_file(tmp_path):
    items = ITEMS.assign(title=["secretword mug", *TITLES[1:]])
    for params in ({}, {"head": "least_squares"}):
        model = fitted(items=items, **params).forget(items=["a"])
        model.save(tmp_path / "model")
        assert b"secretword" not in (tmp_path / "model").read_bytes()


def test_a_compressed_model_goes_on_learning():
    model = fitted(Letters()).compress()
    new = pd.DataFrame({"item_id": ["new"], "title": ["red mug"]})
    model.partial_fit(EVENTS, items=new)
    assert sorted(model.recommend(history=[["a"]], k=2).items[0]) == ["g", "new"]


# ---------------------------------------------------------------------- quality


def test_a_head_makes_it_better_on_the_shop():
    shop = load_online_retail()
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
    train, test = train_test_split(events)
    plain = EmbeddingRecommender().fit(train, items=shop.items).score(test)
    learned = EmbeddingRecommender(head="least_squares").fit(train, items=shop.items)
    assert learned.score(test) > plain + 0.005
