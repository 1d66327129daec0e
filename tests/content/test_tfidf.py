"""TF-IDF of the items' texts: scikit-learn's numbers, fields, updates, what texts may hold."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

import ecomrec
from ecomrec.cf import Popularity
from ecomrec.content import Catalog, TfidfRecommender, Tokenizer
from ecomrec.data import EventWeights, Interactions
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import train_test_split
from ecomrec.exceptions import DataError, FileFormatError

TITLES = [
    "red mug", "red tea pot red", "blue mug with tea", "garden chair", "green tea", "tea for two",
    "mug", "large garden chair, red",
]  # fmt: skip
ITEMS = pd.DataFrame({"item_id": np.arange(8), "title": TITLES})
EVENTS = pd.DataFrame({"user_id": ["a", "a", "b", "c"], "item_id": [0, 4, 3, 6]})


def fitted(items=ITEMS, events=EVENTS, **params):
    return TfidfRecommender(**params).fit(events, items=items)


def scores_of(model, user, n=8):
    items, scores = model.recommend([user], k=n, exclude_seen=False)
    return dict(zip(items[0].tolist(), scores[0].tolist(), strict=True))


@pytest.mark.parametrize("sublinear", [True, False])
def test_vectors_are_scikit_learns(sublinear):
    theirs = TfidfVectorizer(sublinear_tf=sublinear, token_pattern=r"(?u)\b\w+\b")
    expected = theirs.fit_transform(TITLES).toarray()
    model = fitted(sublinear_tf=sublinear, fields={"title": 3})
    assert model.vocabulary_.tolist() == theirs.get_feature_names_out().tolist()
    np.testing.assert_allclose(model.idf_, theirs.idf_)
    np.testing.assert_allclose(model.item_vectors_.toarray(), expected, atol=1e-6)
    profile = expected[0] + expected[4]
    wanted = cosine_similarity(profile[None], expected)[0]
    scores = scores_of(model, "a")
    np.testing.assert_allclose([scores[i] for i in range(8)], wanted, atol=1e-6)
    alike = cosine_similarity(expected)[2]
    items, scores = model.similar_items([2], k=3)
    order = np.argsort(-alike, kind="stable")[1:4]
    assert items[0].tolist() == order.tolist()
    np.testing.assert_allclose(scores[0], alike[order], atol=1e-6)


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), smooth_idf=False, min_df=2),
        TfidfVectorizer(stop_words="english", use_idf=False, max_df=0.5),
    ],
)
def test_given_vectorizer_is_used(vectorizer):
    expected = vectorizer.fit_transform(TITLES).toarray()
    model = fitted(vectorizer=vectorizer)
    kept = model.idf_ > 0
    assert model.vocabulary_[kept].tolist() == vectorizer.get_feature_names_out().tolist()
    np.testing.assert_allclose(model.item_vectors_.toarray()[:, kept], expected, atol=1e-6)


def test_count_vectorizer_gives_its_analyzer(tmp_path):
    model = fitted(vectorizer=CountVectorizer(ngram_range=(1, 2), lowercase=False))
    assert "red mug" in model.vocabulary_
    model.save(tmp_path / "shop.ecomrec")
    read = ecomrec.load(tmp_path / "shop.ecomrec")
    assert repr(read.vectorizer) == repr(model.vectorizer)
    assert scores_of(read, "a") == scores_of(model, "a")


def test_vectorizer_that_cannot_be_heeded_is_refused(tmp_path):
    for vectorizer, message in (
        (TfidfVectorizer(norm="l1"), "norm='l1'"),
        (CountVectorizer(binary=True), "binary=True"),
        (CountVectorizer(max_features=9), "max_features=9"),
        (HashingVectorizer(norm=None), "norm=None"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(vectorizer=vectorizer)
    with pytest.raises(ValueError, match="tokenizer or vectorizer, not both"):
        fitted(vectorizer=CountVectorizer(), tokenizer=Tokenizer())
    model = fitted(vectorizer=TfidfVectorizer(tokenizer=str.split, token_pattern=None))
    with pytest.raises(TypeError, match="Cannot save a value of type method_descriptor"):
        model.save(tmp_path / "shop.ecomrec")
    with pytest.raises(TypeError, match="Cannot save a value of type HashingVectorizer"):
        fitted(vectorizer=HashingVectorizer()).save(tmp_path / "shop.ecomrec")


def test_tokenizer_is_saved_by_name_and_parameters(tmp_path):
    path = tmp_path / "shop.ecomrec"
    model = fitted(tokenizer=Tokenizer(fold=False, stop_words=["with"]), fields={"title": 2})
    model.save(path)
    read = ecomrec.load(path)
    assert repr(read.tokenizer) == repr(model.tokenizer)
    assert read.fields_ == {"title": 2.0}
    assert scores_of(read, "a") == scores_of(model, "a")
    model.set_params(tokenizer=str.split).fit(EVENTS, items=ITEMS)
    with pytest.raises(TypeError, match="Cannot save"):
        model.save(path)

    class Other(Tokenizer):
        pass

    with pytest.raises(TypeError, match="Cannot save a value of type Other"):
        fitted(tokenizer=Other()).save(path)


def test_component_that_nobody_knows_is_refused():
    from ecomrec.state import unpack_parameter

    with pytest.raises(FileFormatError, match="'system', which is none of"):
        unpack_parameter({"component": ["system", {}]})


def test_bm25_saturates_and_punishes_length():
    items = pd.DataFrame(
        {
            "item_id": range(5),
            "title": ["mug", "mug mug mug mug", "mug a b c d e f g h i", "mug x", "chair"],
        }
    )
    model = fitted(items, EVENTS.assign(item_id=0), weighting="bm25", fields={"title": 1})
    vectors = model.item_vectors_.toarray()
    mug = model.vocabulary_.tolist().index("mug")
    k1, b = 1.2, 0.75
    lengths = np.array([1, 4, 10, 2, 1])
    n = np.array([1, 4, 1, 1, 0])
    idf = model.idf_
    room = k1 * (1 - b + b * lengths / lengths.mean())
    strength = n * (k1 + 1) / (n + room)
    x = model.vocabulary_.tolist().index("x")
    other = (k1 + 1) / (1 + room[3]) * idf[x]
    expected = strength[3] * idf[mug] / np.hypot(strength[3] * idf[mug], other)
    assert vectors[3, mug] == pytest.approx(expected, rel=1e-6)
    assert vectors[1, mug] == pytest.approx(1)


def test_fields_are_weighed():
    items = pd.DataFrame(
        {
            "item_id": [0, 1, 2],
            "title": ["mug", "mug", "chair"],
            "description": ["red red", "garden", "garden red"],
            "color": ["x", "y", "z"],
        }
    )
    model = fitted(items, EVENTS.assign(item_id=0))
    assert model.fields_ == {"title": 5.0, "description": 1.0}
    vectors = model.item_vectors_.toarray()
    idf = dict(zip(model.vocabulary_, model.idf_, strict=True))
    mug, red = (model.vocabulary_.tolist().index(word) for word in ("mug", "red"))
    ratio = (1 + np.log(2)) * idf["red"] / (5 * idf["mug"])
    assert vectors[0, red] / vectors[0, mug] == pytest.approx(ratio, rel=1e-5)
    assert fitted(items, fields={"color": 1}, events=EVENTS.assign(item_id=0)).n_features_ == 3
    with pytest.raises(DataError, match=r"names the columns \['colour'\], which the items table"):
        fitted(items, fields={"colour": 1})


def test_rare_and_common_terms_can_be_left_out():
    model = fitted(min_df=2, max_df=0.3)
    counts = (TfidfVectorizer(use_idf=False).fit_transform(TITLES) > 0).sum(axis=0)
    left = dict(zip(model.vocabulary_, model.idf_ > 0, strict=True))
    assert left["garden"]
    assert not left["two"]
    assert not left["tea"]
    assert counts.max() == 4
    assert model.recommend(["c"], k=7).scores[0].max() == 0, "mug occurs in 3 of 8."


def test_heavier_and_newer_events_count_for_more():
    events = pd.DataFrame({"user_id": "u", "item_id": [0, 3], "weight": [1.0, 9.0]})
    scores = scores_of(fitted(events=events), "u")
    assert scores[3] > 0.9 > scores[0]
    events["timestamp"] = pd.to_datetime(["2026-02-01", "2026-01-01"])
    scores = scores_of(fitted(events=events, half_life="5D"), "u")
    assert scores[0] > 0.9 > scores[3]


def test_returned_purchases_are_no_evidence():
    events = pd.DataFrame({"user_id": "u", "item_id": [0, 3, 3], "weight": [1.0, 1.0, -1.0]})
    model = fitted(events=events)
    assert scores_of(model, "u")[6] > 0
    assert "garden" not in model.explain("u", 7)["reason"].tolist()
    assert 3 not in model.recommend(["u"], k=8).items[0]


def test_explanation_names_the_shared_words():
    table = fitted().explain("a", 2)
    assert set(table["reason"]) == {"mug", "tea"}
    assert set(table["kind"]) == {"word"}
    assert table["contribution"].sum() == pytest.approx(scores_of(fitted(), "a")[2], rel=1e-5)


def test_new_item_is_found_by_its_text_at_once():
    model = fitted()
    empty = EVENTS.iloc[:0]
    new = pd.DataFrame({"item_id": [100, 101], "title": ["red mug, new", None]})
    model.partial_fit(empty, items=new)
    items, scores = model.recommend(["c"], k=10)
    assert items[0, 1] == 100
    assert dict(zip(items[0], scores[0], strict=True))[101] == 0
    assert model.recommend(history=[[100]], k=1, exclude_seen=False).items[0, 0] == 100
    assert model.similar_items([100], k=1).items[0, 0] == 0


def test_changed_text_counts_at_once_and_only_what_is_told_changes():
    model = fitted()
    empty = EVENTS.iloc[:0]
    model.partial_fit(empty, items=pd.DataFrame({"item_id": [3], "title": ["blue mug"]}))
    assert "garden" not in model.explain("b", 7)["reason"].tolist()
    assert model.recommend(["b"], k=1).items[0, 0] == 2
    before = scores_of(model, "b")
    model.partial_fit(empty, items=pd.DataFrame({"item_id": [3], "available": [True]}))
    assert scores_of(model, "b") == before
    model.partial_fit(empty, items=pd.DataFrame({"item_id": [3], "title": [None]}))
    assert max(scores_of(model, "b").values()) == 0
    both = fitted(ITEMS.assign(description="x"))
    with pytest.raises(DataError, match=r"this batch lacks \['description'\]"):
        both.partial_fit(empty, items=ITEMS)


def test_updates_one_by_one_and_refresh_equal_a_fit():
    model = fitted(ITEMS.iloc[:3], EVENTS.iloc[:1], weighting="bm25")
    for row in range(8):
        one = ITEMS.iloc[[row]].assign(title="to be changed " + TITLES[row])
        model.partial_fit(EVENTS.iloc[:0], items=one)
        model.partial_fit(EVENTS.iloc[:0], items=ITEMS.iloc[[row]])
    model.partial_fit(EVENTS.iloc[1:])
    whole = fitted(weighting="bm25")
    known = model._state.learned
    counts = dict(zip(known.vocabulary.ids, known.counts, strict=True))
    exact = whole._state.learned
    assert {w: n for w, n in counts.items() if n} == dict(
        zip(exact.vocabulary.ids, exact.counts, strict=True)
    )
    posted = known.postings.to_csr()[1]
    assert len(posted[0]) == len(exact.postings.to_csr()[1][0])
    model.refresh()
    assert model.vocabulary_.tolist() == whole.vocabulary_.tolist()
    np.testing.assert_array_equal(model.item_vectors_.toarray(), whole.item_vectors_.toarray())
    assert scores_of(model, "a") == scores_of(whole, "a")


def test_failed_batch_leaves_the_texts_alone():
    model = fitted()
    before = scores_of(model, "a")
    with pytest.raises(DataError, match="title of item 'x' is 3 "):
        fitted(pd.DataFrame({"item_id": ["x"], "title": [3]}), EVENTS.assign(item_id="x"),
               fields={"title": 1})  # fmt: skip
    with pytest.raises(DataError, match="title of item 9 is 3 "):
        model.partial_fit(EVENTS, items=pd.DataFrame({"item_id": [8, 9], "title": ["new", 3]}))
    assert scores_of(model, "a") == before
    assert "new" not in model.vocabulary_


def test_similar_users_share_words():
    events = pd.DataFrame({"user_id": ["a", "b", "b", "c", "d"], "item_id": [0, 6, 2, 3, 7]})
    model = fitted(events=events)
    users, scores = model.similar_users(["a"], k=3)
    vectors = model.item_vectors_.toarray()
    profiles = np.array([vectors[0], vectors[6] + vectors[2], vectors[3], vectors[7]])
    alike = cosine_similarity(profiles)[0]
    assert users[0].tolist() == ["b", "d", None]
    np.testing.assert_allclose(scores[0, :2], alike[[1, 3]], rtol=1e-5)


AWKWARD = {
    "empty": "",
    "only stop words": "the of and",
    "punctuation": "!!! --- ???",
    "emoji": "🎁🎁 gift 🫖",
    "mixed scripts": "红色 mug مرحبا Κόσμε",
    "100,000 characters": "red mug " * 12_500,
    "one long word": "x" * 100_000,
    "control characters": "red\x00mug\u200b\ufeff tea",
    "half a pair": "red \ud800 mug",
}


@pytest.mark.parametrize("title", AWKWARD.values(), ids=AWKWARD)
def test_any_text_is_read(title, tmp_path):
    titles = pd.Series([title, "red mug", "gift"], dtype=object)
    items = pd.DataFrame({"item_id": range(3), "title": titles})
    events = pd.DataFrame({"user_id": ["u", "v"], "item_id": [0, 1]})
    model = TfidfRecommender(tokenizer=Tokenizer(stop_words="english")).fit(events, items=items)
    items, scores = model.recommend(["u", "v"], k=3, exclude_seen=False)
    assert (items >= 0).all()
    assert np.isfinite(scores).all()
    model.save(tmp_path / "m")
    read = ecomrec.load(tmp_path / "m")
    assert read.recommend(["u", "v"], k=3, exclude_seen=False).items.tolist() == items.tolist()


def test_chinese_and_english_in_one_column():
    items = pd.DataFrame(
        {"item_id": range(4), "title": ["红色马克杯", "蓝色马克杯", "iPhone15 手机壳", "花园椅子"]}
    )
    model = TfidfRecommender().fit(
        pd.DataFrame({"user_id": ["u", "v"], "item_id": [0, 3]}), items=items
    )
    assert model.recommend(["u"], k=1).items[0, 0] == 1
    assert model.recommend(history=[[2]], k=1).scores[0, 0] == 0


def test_events_without_items_are_refused_and_matrices_warned_about():
    with pytest.raises(DataError, match=r"TfidfRecommender learns from what the items are: pass"):
        TfidfRecommender().fit(EVENTS)
    with pytest.raises(DataError, match="got items=None"):
        TfidfRecommender().fit(Interactions.from_table(EVENTS))
    with pytest.raises(DataError, match="found none of the columns"):
        TfidfRecommender().fit(EVENTS, items=pd.DataFrame({"item_id": [1], "sku": ["x"]}))
    with pytest.warns(UserWarning, match="everybody gets what sells") as caught:
        model = TfidfRecommender().fit(np.eye(3)[[0, 0, 1]])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert model.recommend([2], k=1).items[0, 0] == 0
    told = pd.DataFrame({"item_id": [0, 1, 2], "title": ["red", "blue", "blue"]})
    model.partial_fit(np.zeros((1, 3)), items=told)
    assert model.recommend([2], k=1).items[0, 0] == 2
    direct = TfidfRecommender().fit(np.eye(3), items=told)
    assert direct.recommend([2], k=1).items[0, 0] == 1


def test_catalogue_and_tables_of_every_library_are_read():
    expected = scores_of(fitted(), "a")
    assert scores_of(fitted(Catalog(ITEMS)), "a") == expected
    categorical = ITEMS.assign(title=pd.Categorical(ITEMS["title"]))
    assert scores_of(fitted(categorical), "a") == expected
    polars = pytest.importorskip("polars")
    assert scores_of(fitted(polars.from_pandas(ITEMS)), "a") == expected
    lists = ITEMS.assign(title=pd.Series([title.split() for title in TITLES]))
    assert scores_of(fitted(lists), "a") == expected


def test_items_without_text_are_known_by_popularity():
    events = pd.DataFrame({"user_id": list("abcde"), "item_id": [50, 50, 50, 0, 3]})
    model = fitted(events=events)
    assert model.recommend(["a"], k=2).items[0].tolist() == [0, 3]
    items, scores = model.recommend(["d"], k=8)
    shown = dict(zip(items[0].tolist(), scores[0].tolist(), strict=True))
    assert shown[50] == 0
    assert items[0, (scores[0] == 0).argmax()] == 50
    assert (model.similar_items([50], k=2).items == -1).all()


@pytest.mark.slow
def test_text_of_the_bundled_shop_beats_popularity():
    shop = load_online_retail()
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
    train, test = train_test_split(events)
    popular = Popularity().fit(train).score(test)
    reached = TfidfRecommender().fit(train, items=shop.items).score(test)
    assert reached > popular


def test_columns_that_are_no_texts_are_named():
    table = pd.DataFrame({"item_id": [1, 2], "title": [10, 20]})
    events = pd.DataFrame({"user_id": [1], "item_id": [1]})
    with pytest.raises(DataError, match="'title' is number"):
        TfidfRecommender().fit(events, items=table)
