import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import ecomrec
from ecomrec.cf import ALS, ItemKNN, Popularity
from ecomrec.content import Catalog, PersonalSearch, SearchIndex, TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.exceptions import DataError, FileFormatError, UnknownIdError

COLORS = ("red", "blue", "green", "pink")
THINGS = ("mug", "bag", "lamp", "tin", "rug")
ITEMS = pd.DataFrame(
    {
        "item_id": [f"{c}-{t}" for c in COLORS for t in THINGS],
        "title": [f"{c} {t}" for c in COLORS for t in THINGS],
        "price": np.arange(20.0),
    }
)
# Who likes a colour buys its mug, lamp and rug.
EVENTS = pd.DataFrame(
    [
        (f"{color}{n}", f"{color}-{thing}")
        for color in COLORS
        for n in range(4)
        for thing in ("mug", "lamp", "rug")[: 2 + n % 2]
    ],
    columns=["user_id", "item_id"],
)


def knn():
    return ItemKNN(10, shrink=0.0, n_jobs=1)


def personal(recommender=None, **params):
    params = {"weight": 0.3} | params
    return PersonalSearch(SearchIndex(n_jobs=1), recommender or knn(), **params)


@pytest.fixture
def model():
    return personal().fit(EVENTS, items=ITEMS)


def ids(recs, row=0):
    return [i for i in recs.items[row].tolist() if i is not None]


# ---------------------------------------------------------------------- answers


def test_the_person_decides_the_order_of_the_hits(model):
    recs = model.recommend(["red0", "blue0"], 4, query="rug")
    assert set(ids(recs)) == {f"{c}-rug" for c in COLORS}
    assert ids(recs)[0] == "red-rug"
    assert ids(recs, 1)[0] == "blue-rug"
    assert not recs.fallback.any()
    assert (np.diff(recs.scores) <= 0).all()
    assert recs.scores[0, 0] == pytest.approx(1.0)


def test_the_query_decides_what_is_relevant(model):
    recs = model.recommend(["red0"], 20, query="blue bag")
    assert ids(recs)[0] == "blue-bag"
    assert all("blue" in item or "bag" in item for item in ids(recs))


def test_weights_zero_and_one_are_the_parts():
    model = personal(weight=0.0).fit(EVENTS, items=ITEMS)
    hits = model.index_.search("red rug", 20)
    recs = model.recommend(["blue0"], 20, query="red rug", exclude_seen=False)
    assert ids(recs) == ids(hits)
    top = hits.scores[0, 0]
    np.testing.assert_allclose(recs.scores[0], hits.scores[0] / top, rtol=1e-6)
    model.set_params(weight=1.0)
    recs = model.recommend(["blue0"], 20, query="red rug", exclude_seen=False)
    alone = model.recommender_.recommend(["blue0"], 20, candidates=ids(hits), exclude_seen=False)
    assert ids(recs)[0] == ids(alone)[0]


def test_one_query_or_one_for_each_row(model):
    both = model.recommend(["red0", "blue0"], 5, query=["mug", "lamp"], exclude_seen=False)
    for row, (user, text) in enumerate([("red0", "mug"), ("blue0", "lamp")]):
        alone = model.recommend([user], 5, query=text, exclude_seen=False)
        np.testing.assert_array_equal(both.items[row], alone.items[0])
        np.testing.assert_array_equal(both.scores[row], alone.scores[0])
    with pytest.raises(DataError, match="query holds 3 texts for 2 rows"):
        model.recommend(["red0", "blue0"], query=["mug", "lamp", "tin"])
    with pytest.raises(DataError, match="a query must be a str"):
        model.recommend(["red0"], query=3)


def test_histories_and_strangers_may_search(model):
    visit = model.recommend(history=[["pink-mug"]], k=3, query="lamp")
    assert ids(visit)[0] == "pink-lamp"
    joined = model.recommend(["red0"], 3, history=[["pink-mug"]], query="rug")
    assert set(ids(joined)[:2]) == {"red-rug", "pink-rug"}
    stranger = model.recommend(query=["red rug", "tin"], k=3)
    assert stranger.to_frame()["query"].tolist() == ["red rug"] * 3 + ["tin"] * 3
    assert ids(stranger)[0] == "red-rug"
    named = model.recommend(["who"], 3, query="red rug")
    np.testing.assert_array_equal(named.items[0], stranger.items[0])
    nobody = model.recommend(history=[[]], k=3, query="red rug")
    np.testing.assert_array_equal(nobody.items[0], stranger.items[0])


@pytest.mark.parametrize("query", ["", "  ", None, [""], [None], [float("nan")]])
def test_an_empty_query_is_a_plain_recommendation(model, query):
    recs = model.recommend(["red0"], 5, query=query)
    plain = model.recommender_.recommend(["red0"], 5)
    np.testing.assert_array_equal(recs.items, plain.items)
    np.testing.assert_array_equal(recs.scores, plain.scores)
    assert not np.any(getattr(recs, "fallback", False))
    with pytest.raises(UnknownIdError, match="who"):
        model.recommend(["red0", "who"], query=query * 2 if type(query) is list else query)


def test_no_rows_get_no_answers(model):
    assert model.recommend([], 3, query="rug").items.shape == (0, 3)
    assert model.recommend(query=[], k=3).items.shape == (0, 3)
    assert model.index_.search([], 3).items.shape == (0, 3)
    with pytest.raises(DataError, match="query holds 2 texts for 1 rows"):
        model.explain("red0", "red-rug", query=["red", "rug"])


def test_many_rows_are_answered_block_by_block(model, monkeypatch):
    users = EVENTS["user_id"].unique().tolist()
    whole = model.recommend(users, 5, query="red rug")
    monkeypatch.setattr("ecomrec.content.personal_search._BLOCK_HITS", 3000)
    parts = model.recommend(users, 5, query="red rug")
    np.testing.assert_array_equal(whole.items, parts.items)
    np.testing.assert_array_equal(whole.scores, parts.scores)


def test_rows_without_a_query_follow_the_contract(model):
    recs = model.recommend(["red0", "who"], 5, query=["rug", ""], unknown="skip")
    assert ids(recs, 1) == []
    assert not recs.fallback.any()
    with pytest.raises(ValueError, match="unknown must be 'raise' or 'skip'"):
        model.recommend(["red0"], query="rug", unknown="pass")


@pytest.mark.parametrize("query", ["kettle", "the", "?!", "🎁", "中文", "x" * 100_000])
def test_a_query_without_hits_falls_back_visibly(model, query):
    recs = model.recommend(["red0", "red1"], 5, query=[query, "rug"])
    plain = model.recommender_.recommend(["red0"], 5)
    np.testing.assert_array_equal(recs.items[0], plain.items[0])
    np.testing.assert_array_equal(recs.scores[0], plain.scores[0])
    assert recs.fallback.tolist() == [True, False]
    frame = recs.to_frame()
    assert frame["fallback"].tolist() == [True] * 5 + [False] * (len(frame) - 5)
    assert "1 without a hit: plain recommendations" in repr(recs)
    stranger = model.recommend(query=query, k=20)
    assert stranger.fallback.all()
    assert len(ids(stranger)) == 20


def test_hits_that_may_not_be_shown_are_no_hits(model):
    recs = model.recommend(["red0"], 5, query="rug", candidates=["red-tin"])
    assert recs.fallback.all()
    assert ids(recs) == ["red-tin"]
    recs = model.recommend(["red0"], 9, query="rug", candidates=["red-rug", "blue-tin"])
    assert ids(recs) == ["red-rug"]
    recs = model.recommend(["red0"], 9, query="rug", exclude=["red-rug"])
    assert "red-rug" not in ids(recs)
    assert len(ids(recs)) == 3
    assert "red-mug" not in ids(model.recommend(["red0"], 9, query="red mug"))
    seen = model.recommend(["red0"], 9, query="red mug", exclude_seen=False)
    assert ids(seen)[0] == "red-mug"
    shop = ITEMS.assign(available=ITEMS["item_id"] != "red-rug")
    recs = personal().fit(EVENTS, items=shop).recommend(["red0"], 9, query="rug")
    assert "red-rug" not in ids(recs)


def test_scores_do_not_depend_on_what_is_hidden(model):
    every = model.recommend(["red0"], 9, query="red rug", exclude_seen=False)
    fresh = model.recommend(["red0"], 9, query="red rug", exclude=["red-rug", "red-tin"])
    assert ids(every)[0] == "red-rug"
    scores = dict(zip(every.items[0], every.scores[0], strict=True))
    for item in ids(fresh):
        at = ids(fresh).index(item)
        assert fresh.scores[0, at] == scores[item]


# ---------------------------------------------------------------------- explanations


@pytest.mark.parametrize("recommender", [knn(), TfidfRecommender(), ALS(8, random_state=0)])
def test_explanation_shows_both_parts_and_adds_up(recommender):
    model = personal(recommender).fit(EVENTS, items=ITEMS)
    for item in ("red-rug", "blue-rug", "red-bag"):
        table = model.explain("red0", item, query="red rug")
        recs = model.recommend(["red0"], 20, query="red rug", exclude_seen=False)
        score = recs.scores[0, ids(recs).index(item)]
        assert table["contribution"].sum() == pytest.approx(score, rel=1e-4)
    table = model.explain("red0", "red-rug", query="red rug")
    told = table[table["kind"] == "query"]
    assert set(told["reason"]) == {"red (title)", "rug (title)"}
    assert set(table["kind"]) - {"query"} <= {"item", "word", "factors", "popularity"}
    assert len(table) > 2


def test_strangers_and_queries_without_the_item_are_explained_or_refused(model):
    table = model.explain(item="red-rug", query="red rug")
    assert set(table["kind"]) == {"query", "popularity"}
    with pytest.raises(ValueError, match="item 'blue-tin' is none of the best 1000 hits"):
        model.explain("red0", "blue-tin", query="red rug")
    with pytest.raises(UnknownIdError, match="hat"):
        model.explain("red0", "hat", query="red rug")
    plain = model.explain("red0", "red-rug")
    pd.testing.assert_frame_equal(plain, model.explain("red0", "red-rug", query=""))


# ---------------------------------------------------------------------- weight


def test_weight_is_tuned_on_searches(model):
    searches = pd.DataFrame(
        [(f"{c}0", "rug", f"{c}-rug") for c in COLORS], columns=["user_id", "query", "item_id"]
    )
    table = model.tune_weight(searches)
    assert table["mrr"].is_monotonic_decreasing
    assert table["mrr"].iloc[0] == 1.0
    assert model.weight == table["weight"].iloc[0] > 0
    known = personal(weight=model.weight).fit(EVENTS, items=ITEMS)
    for row in searches.itertuples():
        recs = known.recommend([row.user_id], 1, query=row.query, exclude_seen=False)
        assert ids(recs) == [row.item_id]
    strangers = searches.assign(user_id="who", item_id="hat")
    assert model.tune_weight(strangers, [0.2, 0.1])["mrr"].tolist() == [0.0, 0.0]
    assert model.weight == 0.1
    with pytest.raises(DataError, match="no rows"):
        model.tune_weight(searches[:0])
    with pytest.raises(DataError, match="lacks the columns"):
        model.tune_weight(searches.drop(columns="query"))
    with pytest.raises(ValueError, match="weights must be numbers from 0 to 1"):
        model.tune_weight(searches, [2.0])


# ---------------------------------------------------------------------- updates and files


def test_added_items_are_found_at_once(model):
    old = model._state
    new = pd.DataFrame({"item_id": ["gold-rug"], "title": ["gold rug"]})
    model.partial_fit(pd.DataFrame({"user_id": ["g"], "item_id": ["red-mug"]}), items=new)
    assert ids(model.recommend(["g"], 1, query="gold rug")) == ["gold-rug"]
    assert ids(model.recommend(["g"], 9, query="gold")) == ["gold-rug"]
    assert model.index_.item_ids_.tolist() == model.item_ids_.tolist()
    assert old.learned.own.search("gold").items[0, 0] is None
    model.refresh()
    both = EVENTS.iloc[:0].__class__(
        pd.concat([EVENTS, pd.DataFrame({"user_id": ["g"], "item_id": ["red-mug"]})])
    )
    whole = personal().fit(both, items=pd.concat([ITEMS, new]))
    one, other = (
        m.recommend(["g", "red0"], 21, query="red rug", exclude_seen=False) for m in (model, whole)
    )
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    model.partial_fit(pd.DataFrame({"user_id": ["g"], "item_id": ["plain"]}))
    assert "plain" in model.item_ids_


def test_forgotten_items_are_found_no_more(model):
    model.forget(items=["red-rug"], users=["red0"])
    assert "red-rug" not in ids(model.recommend(["red1"], 20, query="red rug"))
    assert "red-rug" not in model.index_.item_ids_
    kept = EVENTS[(EVENTS["item_id"] != "red-rug") & (EVENTS["user_id"] != "red0")]
    whole = personal().fit(kept, items=ITEMS[ITEMS["item_id"] != "red-rug"])
    one, other = (m.recommend(["red1", "blue0"], 20, query="red rug") for m in (model, whole))
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)


@pytest.mark.parametrize(
    "recommender", [None, knn(), ALS(8, random_state=0), Popularity()], ids=str
)
def test_saved_model_answers_as_before(recommender, tmp_path):
    path = tmp_path / "shop.ecomrec"
    model = PersonalSearch(SearchIndex({"title": 2.0}, prefix=True), recommender, weight=0.6)
    model.save(path)
    assert repr(ecomrec.load(path)) == repr(model)
    shop = ITEMS.assign(available=ITEMS["item_id"] != "blue-rug")
    model.fit(EVENTS, items=shop).save(path)
    again = ecomrec.load(path, verify=True)
    assert repr(again) == repr(model)
    for query in ("red rug", "la", "kettle", None):
        one, other = (m.recommend(["red0", "blue1"], 9, query=query) for m in (model, again))
        np.testing.assert_array_equal(one.items, other.items)
        np.testing.assert_array_equal(one.scores, other.scores)
    again.partial_fit(
        pd.DataFrame({"user_id": ["g"], "item_id": ["new"]}),
        items=pd.DataFrame({"item_id": ["new"], "title": ["new rug"]}),
    )
    assert ids(again.recommend(["red0"], 1, query="new")) == ["new"]


def test_damaged_files_are_refused(model, tmp_path):
    from ecomrec import persistence

    path = tmp_path / "shop.ecomrec"
    model.save(path)
    manifest, arrays = persistence.read(path)
    persistence.write(
        path, manifest, arrays | {"index/postings.sizes": arrays["index/postings.sizes"][1:]}
    )
    with pytest.raises(FileFormatError):
        ecomrec.load(path)
    assert isinstance(clone(model), PersonalSearch)


def test_a_matrix_has_nothing_to_search():
    with pytest.warns(UserWarning, match="PersonalSearch learns from what the items are"):
        model = PersonalSearch(recommender=knn()).fit(np.eye(4) + np.eye(4, k=1))
    recs = model.recommend([0], 2, query="red")
    assert recs.fallback.all()
    np.testing.assert_array_equal(recs.items, model.recommend([0], 2).items)
    with pytest.raises(DataError, match="items=catalog"):
        PersonalSearch().fit(EVENTS)


def test_catalogues_filter_and_feed_it():
    catalog = Catalog(ITEMS)
    model = personal().fit(EVENTS, items=catalog)
    cheap = catalog.where(price=(None, 4))
    assert set(ids(model.recommend(["blue0"], 9, query="rug", candidates=cheap))) == {"red-rug"}


# ---------------------------------------------------------------------- the bundled shop


def test_buyers_find_what_they_want_sooner():
    shop = load_online_retail()
    bought = shop.events[shop.events["event"] == "purchase"]
    cut = bought["timestamp"].max() - pd.Timedelta("30D")
    past, later = bought[bought["timestamp"] < cut], bought[bought["timestamp"] >= cut]
    words = dict(zip(shop.items["item_id"], shop.items["description"].str.split(), strict=True))
    rng = np.random.default_rng(0)
    sample = later[later["user_id"].isin(past["user_id"])].sample(400, random_state=0)
    model = PersonalSearch(recommender=ItemKNN()).fit(past, items=shop.items)
    known = sample[sample["item_id"].isin(model.item_ids_)]
    queries = [" ".join(rng.choice(words[item], 2)) for item in known["item_id"]]
    found = {}
    for weight in (0.0, model.weight):
        model.set_params(weight=weight)
        recs = model.recommend(known["user_id"].tolist(), 100, query=queries, exclude_seen=False)
        hit = recs.items == known["item_id"].to_numpy()[:, None]
        found[weight] = np.mean(hit.max(axis=1) / (1 + hit.argmax(axis=1)))
    assert found[0.3] > 1.1 * found[0.0]
