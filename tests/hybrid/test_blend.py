"""Blends, rank fusion and switches: the arithmetic, the weights, parts that differ, errors."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import ecomrec
from ecomrec import persistence
from ecomrec.base import Query
from ecomrec.cf import ALS, BPR, EASE, SVD, ItemKNN, Popularity, PureSVD, UserKNN
from ecomrec.content import AttributeRecommender, PersonalSearch, TfidfRecommender
from ecomrec.data import Interactions
from ecomrec.data.histories import Profiles
from ecomrec.data.source import Source
from ecomrec.datasets import load_online_retail, make_shop
from ecomrec.exceptions import DataError, FileFormatError, UnknownIdError
from ecomrec.hybrid import Blend, RankFusion, Switch
from ecomrec.hybrid._comparable import borda_points, places, reciprocal_ranks, standardized
from ecomrec.hybrid._weights import Panel, learn, rate_curve
from ecomrec.hybrid.blend import _rates

ITEMS = pd.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e", "f"],
        "title": ["red mug", "blue mug", "red towel", "blue towel", "green mug", "red rug"],
        "category": ["mug", "mug", "towel", "towel", "mug", "rug"],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)


def log(n_users=30, seed=0, ratings=False):
    rng = np.random.default_rng(seed)
    rows = [(f"u{u:02}", i) for u in range(n_users) for i in rng.permutation(list("abcdef"))[:3]]
    events = pd.DataFrame(rows, columns=["user_id", "item_id"])
    events["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        rng.integers(0, 100, len(events)), unit="D"
    )
    events["weight"] = rng.integers(1, 4, len(events)).astype(float)
    if ratings:
        events["rating"] = rng.integers(1, 6, len(events)).astype(float)
    return events


def asked(n, touched=()):
    at = np.zeros(n + 1, dtype=np.int64)
    at[1:] = np.cumsum([len(t) for t in touched] or [0] * n)
    flat = np.array([i for t in touched for i in t], dtype=np.int32)
    return Query(np.arange(n), Profiles(at, flat, np.ones(len(flat), np.float32)), True)


# ---------------------------------------------------------------------- arithmetic


def test_a_zscore_is_the_distance_from_nothing_over_the_spread_of_what_is_new():
    block = np.array([[4.0, np.nan, 3.0, 4.0], [-1.0, 1.0, np.nan, np.nan]], dtype=np.float32)
    worth = standardized(block, asked(2, [[0], []]))
    spread = np.sqrt((3.0**2 + 4.0**2) / 2)
    np.testing.assert_allclose(worth[0], np.array([4, 0, 3, 4]) / spread, rtol=1e-6)
    # From the lowest score where scores are negative: 0 and 2 above it.
    np.testing.assert_allclose(worth[1], np.array([0, 2, 0, 0]) / np.sqrt(2), rtol=1e-6)


def test_scores_next_to_nothing_are_not_blown_up():
    block = np.array([[1.0, 1e-7, 2e-7]], dtype=np.float32)
    assert standardized(block, asked(1, [[0]]))[0, 1:].max() < 1e-5


def test_places_are_counted_among_what_is_new():
    block = np.array([[5.0, 4.0, 3.0, np.nan, 3.0, 1.0]], dtype=np.float32)
    assert places(block, asked(1, [[]]), 10, 1).tolist() == [[1, 2, 3, 0, 3, 5]]
    assert places(block, asked(1, [[0]]), 10, 1).tolist() == [[1, 1, 2, 0, 2, 4]]
    assert places(block, asked(1, [[4]]), 2, 1).tolist() == [[1, 2, 0, 0, 0, 0]]


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.sets(st.integers(0, 7)),
    st.integers(1, 9),
)
def test_places_equal_counting(values, touched, depth):
    block = np.array([values], dtype=np.float32)
    seen = sorted(i for i in touched if i < len(values))
    found = places(block, asked(1, [seen]), depth, 1)[0]
    for item, value in enumerate(values):
        better = sum(v > value for i, v in enumerate(values) if i not in seen)
        before = sum(v == value for i, v in enumerate(values) if i not in seen and i < item)
        # The best `depth` new items have a place; of equal ones the lower rows, and a seen item
        # is placed where its score would stand.
        inside = better + before < depth if item not in seen else better < depth
        assert found[item] == (better + 1 if inside else 0)


def test_ranks_are_fused_as_published():
    ranks = np.array([[1, 2, 0]])
    np.testing.assert_allclose(reciprocal_ranks(ranks, 60), [[1 / 61, 1 / 62, 0]], rtol=1e-6)
    np.testing.assert_allclose(borda_points(ranks, 4), [[1, 0.75, 0]])
    events = log()
    parts = [("knn", ItemKNN()), ("svd", PureSVD(3))]
    fused = RankFusion(parts).fit(events)
    user = fused.user_ids_[0]
    expected = {}
    for _, part in parts:
        items = clone(part).fit(events).recommend([user], k=6).items[0]
        for place, item in enumerate(item for item in items if item is not None):
            expected[item] = expected.get(item, 0) + 0.5 / (60 + place + 1)
    items, scores = fused.recommend([user], k=3)
    for item, score in zip(items[0], scores[0], strict=True):
        assert score == pytest.approx(expected[item], rel=1e-5)


def test_one_part_alone_ranks_as_it_does_by_itself():
    events = log()
    for part in (ItemKNN(), PureSVD(2), EASE(), Popularity()):
        alone = clone(part).fit(events)
        for normalize in ("zscore", "rank"):
            both = Blend([("x", part), ("y", UserKNN())], weights=[1, 0], normalize=normalize)
            both.fit(events)
            one, other = (m.recommend(alone.user_ids_, k=3).items for m in (alone, both))
            assert (one == other).mean() > 0.95, (part, normalize)


# ---------------------------------------------------------------------- weights


def panel_of_two(n=400, share=0.5, seed=0):
    """Users of whom a share are foretold by the first part, the others by the second."""
    rng = np.random.default_rng(seed)
    values = rng.random((n, 40, 2)).astype(np.float32)
    first = np.arange(n) < share * n
    best = np.where(first, values[..., 0].argmax(axis=1), values[..., 1].argmax(axis=1))
    hits = np.zeros((n, 40), dtype=bool)
    hits[np.arange(n), best] = True
    lengths = np.where(first, 1, 100)
    return Panel(values, hits, np.ones((n, 40), bool), np.ones(n, np.int64), lengths)


def test_weights_go_to_the_part_that_foretells():
    np.testing.assert_allclose(learn(panel_of_two(share=1.0), False), [[1, 0]])
    np.testing.assert_allclose(learn(panel_of_two(share=0.0), False), [[0, 1]])


def test_users_of_few_and_of_many_events_get_weights_of_their_own():
    weights = learn(panel_of_two(n=2000, share=0.5), True)
    assert weights.shape == (6, 2)
    assert weights[0, 0] > 0.9
    assert weights[-1, 1] > 0.9
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()


def test_weights_are_learned_from_later_events_only():
    """A part that answers with what comes later wins; one that knows only what was, does not."""
    shop = make_shop(300, 80, 6000, columns=("user_id", "item_id", "timestamp"), random_state=1)
    events = shop.events
    model = Blend([("knn", ItemKNN()), ("pop", Popularity())], weights="learned").fit(events)
    source = Source.of(events, None, None, None, 1)
    whole = source.shop("weight", None)
    earlier, later = source.split(0.2)
    early = earlier.shop("weight", None)
    assert later.times is not None
    assert early.timestamps is not None
    assert early.timestamps.max() < later.times.min()
    assert early.n_entries + len(later.users) == whole.n_entries
    assert early.items is whole.items
    assert model.weights_.shape == (1, 2)
    # The parts that answer know everything.
    assert model.parts_.knn._state.interactions.n_entries == whole.n_entries


def test_rates_are_rates():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    hits = rng.random(20_000) < 0.3 * scores
    x, y = rate_curve(scores, hits, 0.1)
    assert (np.diff(y) >= 0).all()
    np.testing.assert_allclose(np.interp([0.3, 0.6, 0.9], x, y), [0.09, 0.18, 0.27], atol=0.03)


@pytest.mark.parametrize("hit", ["none", "some", "all"])
def test_few_scores_have_one_rate_and_keep_their_order(hit):
    for n in (0, 1, 2, 60, 150, 200):
        hits = {"none": np.zeros, "all": np.ones}.get(hit, np.arange)(n) % 2 == 1
        scores = np.linspace(0.1, 1, n)
        x, y = rate_curve(scores, hits, 0.01)
        assert x[0] == y[0] == 0
        found = _rates(np.linspace(0.1, 3, 30), x, y)
        assert (found > 0).all()
        assert (found <= 1).all()
        assert (np.diff(found[found < 1]) > 0).all()
        if n:
            rate = (hits.sum() + 0.01) / (n + 1)
            assert np.interp(scores.mean(), x, y) == pytest.approx(rate)


@pytest.mark.parametrize("n", [201, 250, 1000])
def test_rates_never_leave_the_unit_interval(n):
    scores = np.linspace(0, 5, n)
    for hits in (scores > 2.5, scores < 2.5, scores >= 0, scores < 0):
        x, y = rate_curve(scores, hits, 0.01)
        assert len(x) == len(y) > 1
        found = _rates(np.linspace(0, 1000, 5000), x, y)
        assert (np.diff(found) >= 0).all()
        assert found.min() >= 0
        assert found.max() <= 1


@pytest.mark.parametrize("weights", [None, "learned", "evidence"])
@pytest.mark.parametrize("n", [60, 300, 1200])
def test_probabilities_of_a_small_log_are_probabilities(n, weights):
    events = make_shop(300, 80, random_state=0).events.iloc[::5].iloc[:n]
    users = events["user_id"].unique().tolist()
    alone = Popularity().fit(events).recommend(users, k=3)
    for parts in ([("pop", Popularity())], [("knn", ItemKNN()), ("pop", Popularity())]):
        model = Blend(parts, weights=weights, normalize="probability").fit(events)
        scores = model.recommend(users, k=3).scores
        assert 0 < scores.min() <= scores.max() <= 1
        if len(parts) == 1 and n == 60:  # more events tell steps, on which items tie
            np.testing.assert_array_equal(model.recommend(users, k=3).items, alone.items)


def test_probabilities_without_later_users_are_probabilities():
    """Whoever comes later is new: no one teaches how often a score is followed by an event."""
    events = pd.DataFrame({"user_id": range(8), "item_id": list("aaabbcab")})
    events["timestamp"] = pd.date_range("2024-01-01", periods=8)
    for weights in (None, "learned", "evidence"):
        model = Blend([("pop", Popularity())], weights=weights, normalize="probability").fit(
            events
        )
        items, scores = model.recommend([0, 5], k=2)
        assert items.tolist() == [["b", "c"], ["a", "b"]]
        assert ((scores > 0) & (scores <= 1)).all()
        assert (np.diff(scores, axis=1) < 0).all()


def test_probabilities_are_those_of_the_later_slice():
    shop = make_shop(800, 100, 16_000, columns=("user_id", "item_id", "timestamp"), random_state=3)
    cut = shop.events["timestamp"].quantile(0.8)
    train, test = (
        shop.events[shop.events["timestamp"] < cut],
        shop.events[shop.events["timestamp"] >= cut],
    )
    model = Blend([("a", ItemKNN()), ("b", EASE())], weights="learned", normalize="probability")
    model.fit(train)
    users = sorted(set(test["user_id"]) & set(model.user_ids_.tolist()))
    items, scores = model.recommend(users, k=10)
    later = set(zip(test["user_id"], test["item_id"], strict=True))
    hits = np.array([[(u, i) in later for i in row] for u, row in zip(users, items, strict=True)])
    assert np.nanmax(scores) <= 1
    assert hits.mean() == pytest.approx(float(np.nanmean(scores)), rel=0.35)


# ---------------------------------------------------------------------- parts that differ


def test_parts_may_count_events_differently():
    """Ratings beside weights, and two half-lives: each part is what it would be alone."""
    events = log(ratings=True)
    parts = [
        ("svd", SVD(4, random_state=0)),
        ("knn", ItemKNN(half_life="20D")),
        ("user", UserKNN(half_life="60D")),
        ("pop", Popularity()),
    ]
    model = Blend(parts).fit(events)
    for name, part in parts:
        alone = clone(part).fit(events)
        inside = model.parts_[name]
        expected, found = (m.recommend(alone.user_ids_, k=3) for m in (alone, inside))
        np.testing.assert_array_equal(expected.scores, found.scores)
    # A history of the same events gets the same answer, for each part in its own terms.
    user = model.user_ids_[3]
    own = events[events["user_id"] == user]
    model = Blend(parts[:2] + parts[3:]).fit(events)
    stored, visiting = model.recommend([user], k=3), model.recommend(history=own, k=3)
    np.testing.assert_array_equal(stored.items, visiting.items)
    np.testing.assert_allclose(stored.scores, visiting.scores, rtol=1e-3)


def test_rows_of_a_request_are_kept_apart_for_parts_that_differ(monkeypatch):
    """Histories with ratings, answered in blocks or by several parts, are those of their rows."""
    events = log(ratings=True)
    mixed = Blend([("knn", ItemKNN(half_life="20D")), ("user", UserKNN(half_life="60D"))])
    parts = [("few", clone(mixed)), ("many", RankFusion([("x", EASE()), ("y", clone(mixed))]))]
    model = Switch(parts, edges=[3]).fit(events)
    users = model.user_ids_[:6].tolist()
    own = events[events["user_id"].isin(users)]
    own = own.drop(own.index[own["user_id"].isin(users[::2]) & own.duplicated("user_id")])
    monkeypatch.setattr("ecomrec.hybrid._mixture._BLOCK_BYTES", 1)  # a block for each row
    together = model.recommend(history=own, k=3)
    assert set(model.answering_part(history=own)) == {"few", "many"}
    for user, items, scores in zip(together.keys, together.items, together.scores, strict=True):
        alone = model.recommend(history=own[own["user_id"] == user], k=3)
        np.testing.assert_array_equal(alone.items[0], items)
        np.testing.assert_allclose(alone.scores[0], scores, rtol=1e-5)


def test_parts_that_differ_grow_forget_and_are_saved_as_one(tmp_path):
    events = log(ratings=True)
    parts = [
        ("svd", SVD(4, random_state=0)),
        ("knn", ItemKNN(half_life="20D")),
        ("pop", Popularity()),
    ]
    model = Blend(parts).fit(events[:60])
    model.partial_fit(events[60:])
    whole = Blend(parts).fit(events)
    assert (
        model.parts_.knn.recommend(["u03"], 3).items.tolist()
        == whole.parts_.knn.recommend(["u03"], 3).items.tolist()
    )
    model.forget(users=["u03"], items=["a"])
    assert "a" not in model.item_ids_
    with pytest.raises(UnknownIdError):
        model.recommend(["u03"])
    model.refresh().save(tmp_path / "blend")
    loaded = ecomrec.load(tmp_path / "blend", verify=True)
    expected, found = (m.recommend(model.user_ids_, k=4) for m in (model, loaded))
    np.testing.assert_array_equal(expected.items, found.items)
    np.testing.assert_array_equal(expected.scores, found.scores)


def test_parts_that_count_alike_share_one_copy(tmp_path):
    events = log(ratings=True)
    parts = [
        ("svd", SVD(4)), ("one", ItemKNN(half_life="20D")), ("two", EASE(half_life="20D")),
        ("pop", Popularity()), ("mix", Blend([("x", UserKNN(half_life="20D")), ("y", EASE())])),
    ]  # fmt: skip
    model = Blend(parts).fit(events)
    model.partial_fit(events[:2].assign(user_id="new")).forget(users=["u01"])
    model.save(tmp_path / "blend")
    for one in (model, ecomrec.load(tmp_path / "blend")):
        svd, first, second, popular, mix = (
            p._state.interactions for p in one._state.learned.parts
        )
        inner = [p._state.interactions for p in one._state.learned.parts[4]._state.learned.parts]
        assert first is second is mix is inner[0]
        assert popular is inner[1]
        assert len({id(shop) for shop in (svd, first, popular)}) == 3


def test_damaged_compositions_are_refused(tmp_path):
    parts = [("knn", ItemKNN()), ("pop", Popularity())]
    Blend(parts, weights=[0.3, 0.7]).fit(log()).save(tmp_path / "whole")
    manifest, arrays = persistence.read(tmp_path / "whole")

    def fewer(theirs):
        Popularity().fit(log(3)).save(tmp_path / "small")
        small, more = persistence.read(tmp_path / "small")
        theirs.update({f"part1/{name}": values for name, values in more.items()})
        return small["state"]

    def changed(change):
        own, theirs = copy.deepcopy(manifest), dict(arrays)
        change(own, theirs)
        persistence.write(tmp_path / "broken", own, theirs)
        return tmp_path / "broken"

    for change, message in (
        (lambda own, _: own["state"]["parts"].pop(), "shorter"),
        (lambda own, _: own["state"]["parts"].reverse(), "does not describe"),
        (lambda own, _: own["state"]["parts"][0].update(shop=7), "does not hold"),
        (lambda own, a: own["state"]["parts"][1].update(fewer(a)), "differ in users or items"),
        (lambda own, _: own["state"]["parts"][0].update(shop=-1), "does not hold"),
        (lambda own, _: own["state"]["own"].update(type="Popen"), "Popen"),
        (lambda _, a: a.update({"own.weights": a["own.weights"][:, :1]}), "do not fit the parts"),
        (
            lambda _, a: a.update({"own.weights": a["own.weights"] * np.nan}),
            "do not fit the parts",
        ),
    ):
        with pytest.raises(FileFormatError, match=message):
            ecomrec.load(changed(change))
    assert ecomrec.load(changed(lambda own, a: None)).weights_.tolist() == [[0.3, 0.7]]


def test_equal_parts_are_written_once(tmp_path):
    events = make_shop(200, 100, 5000, columns=("user_id", "item_id")).events
    for name, model in {
        "one": ItemKNN(),
        "two": Switch([("a", Popularity()), ("b", ItemKNN())]),
    }.items():
        model.fit(events).save(tmp_path / name)
    assert (tmp_path / "two").stat().st_size < 1.1 * (tmp_path / "one").stat().st_size + 5000


def test_compositions_of_compositions():
    events = log()
    inner = Blend([("knn", ItemKNN()), ("svd", PureSVD(2))], weights=[0.5, 0.5])
    outer = Switch(
        [("new", Popularity()), ("old", RankFusion([("mix", inner), ("ease", EASE())]))]
    )
    outer.set_params(edges=[2], old__mix__svd__n_factors=3).fit(events)
    assert outer.get_params()["old__mix__svd"].n_factors == 3
    assert outer.parts_.old.parts_.mix.parts_.svd.user_factors_.shape[1] == 3
    items, scores = outer.recommend(["u00", "u05"], k=3)
    assert (np.diff(scores, axis=1) <= 0).all()
    table = outer.explain("u00", items[0, 0])
    assert table["contribution"].sum() == pytest.approx(float(scores[0, 0]), rel=1e-4)
    assert any(part.startswith("old/mix/") for part in table["part"])
    # What was handed in stays as it was.
    assert inner.parts[1][1].n_factors == 3
    with pytest.raises(NotFittedError):
        inner.recommend(["u00"])


def test_texts_reach_parts_that_read_them():
    events = log()
    model = Blend(
        [("text", TfidfRecommender()), ("attr", AttributeRecommender()), ("knn", ItemKNN())]
    )
    with pytest.raises(DataError, match="TfidfRecommender learns from what the items are"):
        clone(model).fit(events)
    model.fit(events, items=ITEMS)
    new = pd.DataFrame(
        {"item_id": ["z"], "title": ["red mug"], "category": ["mug"], "price": [1.5]}
    )
    model.partial_fit(events[:1].assign(user_id="new"), items=new)
    assert "z" in model.recommend(history=[["a"]], k=2).items[0]


def test_copies_of_parts_can_be_changed_without_harm():
    model = Blend([("knn", ItemKNN()), ("pop", Popularity())]).fit(log())
    before = model.recommend(["u00"], 3).items.tolist()
    model.parts_.knn.forget(users=["u00"])
    model.parts_["pop"].partial_fit(log(5, seed=9))
    assert model.recommend(["u00"], 3).items.tolist() == before


def test_similar_histories_warn_once():
    model = Blend([("svd", SVD(2)), ("knn", ItemKNN(half_life="20D"))]).fit(log(ratings=True))
    with pytest.warns(UserWarning, match="1 of 2 items") as caught:
        model.recommend(history=[["a", "?"]], k=2)
    assert len(caught) == 1
    visits = iter([["a"], ["b", "c"]])
    assert model.recommend(history=visits, k=2).items.shape == (2, 2)


# ---------------------------------------------------------------------- switches


def test_the_rule_decides_who_answers():
    events = pd.concat(
        [
            log(),
            pd.DataFrame(
                {
                    "user_id": ["x"],
                    "item_id": ["a"],
                    "timestamp": [pd.Timestamp("2024-02-01")],
                    "weight": [1.0],
                }
            ),
        ]
    )
    parts = [("few", Popularity()), ("many", ItemKNN())]
    model = Switch(parts, edges=[2]).fit(events)
    assert model.answering_part(["x", "u00"]) == ["few", "many"]
    assert model.answering_part(history=[["a"], ["a", "b"]]) == ["few", "many"]
    answers = model.recommend(["x", "u00"], k=3)
    for row, (user, (_, part)) in enumerate(zip(["x", "u00"], parts, strict=True)):
        alone = clone(part).fit(events).recommend([user], k=3)
        np.testing.assert_array_equal(alone.items[0], answers.items[row])
        np.testing.assert_allclose(alone.scores[0], answers.scores[row], rtol=1e-5)
    known = Switch(parts, rule="known").fit(events)
    assert known.answering_part(["x"]) == ["many"]
    assert known.answering_part(history=[["a"]]) == ["few"]
    hidden = model.recommend(["x", "u00"], k=2, candidates=[["a", "b"], ["c"]], exclude=["b"])
    assert [i for row in hidden.items.tolist() for i in row if i] in ([], ["c"])


def test_queries_go_to_the_part_that_takes_them():
    parts = [("search", PersonalSearch(recommender=ItemKNN())), ("plain", ItemKNN())]
    model = Switch(parts, rule="query").fit(log(), items=ITEMS)
    found = model.recommend(["u00"], k=3, query="towel", exclude_seen=False)
    assert {item for item in found.items[0] if item} == {"c", "d"}
    plain = ItemKNN().fit(log(), items=ITEMS).recommend(["u00"], k=3)
    np.testing.assert_array_equal(model.recommend(["u00"], k=3).items, plain.items)
    with pytest.raises(ValueError, match="takes no query; use rule='query'"):
        Switch().fit(log()).recommend(["u00"], query="mug")
    with pytest.raises(ValueError, match=r"ItemKNN takes none\. Put a PersonalSearch first"):
        Switch([("a", ItemKNN()), ("b", EASE())], rule="query").fit(log())


# ---------------------------------------------------------------------- wrong compositions


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Blend([]), "parts must be None or a list of at least 1"),
        (Blend([("a", ItemKNN)]), "parts must be None or a list"),
        (Blend([("a", 3)]), "parts must be None or a list"),
        (Blend([ItemKNN(), EASE()]), "parts must be None or a list"),
        (Blend([("a", ItemKNN()), ("a", EASE())]), "a part named 'a': names must differ"),
        (Blend([("a__b", ItemKNN())]), "a part named 'a__b'"),
        (Blend([("weights", ItemKNN())]), "a part named 'weights'"),
        (Blend(weights=[0.5, 0.6]), "of sum 1"),
        (Blend(weights=[2.0, -1.0]), "of sum 1"),
        (Blend(weights=np.array([0.3, 0.7])), "a list of numbers of at least 0"),
        (RankFusion(weights=pd.Series([0.3, 0.7])), "a list of numbers of at least 0"),
        (Blend(weights=[1.0]), "weights has 1 numbers for 2 parts"),
        (RankFusion(weights="learned"), "weights must be"),
        (Blend([("a", ItemKNN(shrink=-1))]), "ItemKNN: shrink must be"),
        (Switch(edges=[3, 5]), "chooses among 3"),
        (Switch(edges=[5, 3]), "edges must be rising"),
    ],
)
def test_wrong_compositions_are_refused(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(log())
    assert not model.__sklearn_is_fitted__()


def test_parts_without_what_they_need_say_so():
    events = log().drop(columns="timestamp")
    with pytest.raises(DataError, match="half_life needs a timestamp column"):
        Blend([("a", ItemKNN()), ("b", EASE(half_life="5D"))]).fit(events)
    shop = Interactions.from_table(log())
    with pytest.raises(DataError, match="another half_life"):
        Blend([("a", ItemKNN()), ("b", EASE(half_life="5D"))]).fit(shop)
    with pytest.raises(DataError, match="ratings are needed"):
        Blend([("a", ItemKNN()), ("b", SVD())]).fit(events[["user_id", "item_id"]])


def test_setting_parts_leaves_the_original_alone():
    model = Blend([("a", ItemKNN()), ("b", EASE())])
    twin = clone(model).set_params(a=UserKNN(), b__regularization=7.0)
    assert type(model.parts[0][1]) is ItemKNN
    assert type(twin.parts[0][1]) is UserKNN
    assert twin.get_params()["b__regularization"] == 7.0
    with pytest.raises(ValueError, match="Invalid parameter"):
        twin.set_params(c__x=1)


# ---------------------------------------------------------------------- a real shop


def test_learned_weights_do_not_lose_to_the_better_part_on_the_shop_that_ships():
    from ecomrec.data import EventWeights
    from ecomrec.evaluation import TemporalSplit, ranking_metrics, train_test_split

    shop = load_online_retail()
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
    train, test = train_test_split(events, TemporalSplit(test_size=0.2))
    parts = [("cf", PureSVD()), ("text", TfidfRecommender())]
    blend = Blend(parts, normalize="probability").fit(train, items=shop.items)
    users = sorted(set(test["user_id"]) & set(blend.user_ids_.tolist()))
    found = {
        name: ranking_metrics(model.recommend(users, k=10).items, users, test, k=10)["ndcg"]
        for name, model in {"blend": blend, **blend.parts_}.items()
    }
    assert found["blend"] > max(found["cf"], found["text"]), found


def test_warnings_are_the_parts_own():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Blend([("a", BPR(2, max_iter=1)), ("b", ALS(2))]).fit(log())
