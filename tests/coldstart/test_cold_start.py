"""Who answers whom, and how new items come into lists: only what this model alone promises."""

import numpy as np
import pandas as pd
import pytest

import ecomrec
from ecomrec.cf import ALS, BPR, SVD, ItemKNN, Popularity, PureSVD
from ecomrec.coldstart import AttributeToFactor, ColdStart, Friends, friend_lists
from ecomrec.coldstart._new_items import aligned, merged
from ecomrec.coldstart._strangers import are_alike
from ecomrec.content import AttributeRecommender, TfidfRecommender
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.hybrid import Blend
from ecomrec.testing import check_recommender

EVENTS = pd.DataFrame(
    {
        "user_id": ["ann", "ann", "ann", "bob", "bob", "cleo", "cleo", "dan"],
        "item_id": ["mug", "cup", "tea", "mug", "pot", "tea", "mug", "pot"],
    }
)
ITEMS = pd.DataFrame(
    {
        "item_id": ["mug", "cup", "tea", "pot", "new mug", "new tea", "odd"],
        "title": ["red mug", "blue cup", "green tea", "tea pot", "green mug", "black tea", None],
    }
)
USERS = pd.DataFrame(
    {"user_id": ["ann", "bob", "cleo", "dan", "eve"], "country": ["FR", "FR", "DE", "DE", "DE"]}
)
FALLBACK = [
    ("text", TfidfRecommender()),
    ("group", Popularity(group="country")),
    ("all", Popularity()),
]


@pytest.fixture
def model():
    return ColdStart(ItemKNN(), FALLBACK).fit(EVENTS, items=ITEMS, users=USERS)


def test_first_part_that_knows_anything_answers(model):
    answer = model.recommend(["ann", "eve", "stranger"], 3)
    assert answer.paths.tolist() == ["model", "group", "all"]
    group = Popularity(group="country").fit(EVENTS, items=ITEMS, users=USERS)
    # "pot" and "tea", "mug" in Germany; everywhere the mug is first.
    assert answer.items[1].tolist() == group.recommend(["eve"], 3).items[0].tolist()
    assert answer.items[2, 0] == "mug"
    alone = ItemKNN().fit(EVENTS, items=ITEMS).recommend(["ann"], 1)
    assert answer.items[0, 0] in {alone.items[0, 0], "new mug", "new tea"}


def test_visit_that_only_words_understand_goes_by_words(model):
    answer = model.recommend(history=[["mug"], ["new tea"], ["odd"]], k=2)
    assert answer.paths.tolist() == ["model", "text", "all"]
    assert answer.items[1].tolist() == ["tea", "pot"]


def test_request_may_say_what_is_known_of_strangers(model):
    known = [{"country": "DE"}, {"country": "FR"}, {}, {"country": "XX"}]
    answer = model.recommend(attributes=known, k=2)
    assert answer.paths.tolist() == ["group", "group", "all", "all"]
    assert list(answer.keys) == [0, 1, 2, 3]
    people = ["x", "y", "z", "eve"]
    again = model.recommend(people, 2, attributes=known)
    assert again.items.tolist() == answer.items.tolist()
    # What is said goes before what was stored: eve is German no more.
    assert again.paths[3] == "all"
    table = pd.DataFrame({"user_id": ["y", "x"], "country": ["FR", "DE"]})
    assert model.recommend(attributes=table, k=1).keys == ["y", "x"]
    by_name = model.recommend(["x", "y", "z"], 2, attributes=table)
    assert by_name.items[:2].tolist() == answer.items[:2].tolist()
    assert by_name.paths.tolist() == ["group", "group", "all"]
    with_visit = model.recommend(history=[["mug"]], attributes=[{"country": "DE"}], k=1)
    assert with_visit.paths.tolist() == ["model"]


def test_table_says_who_answered(model):
    answer = model.recommend(["ann", "stranger"], 2)
    frame = answer.to_frame()
    assert frame.columns.tolist() == ["user_id", "rank", "item_id", "score", "path"]
    assert frame["path"].tolist() == ["model", "model", "all", "all"]
    assert "1 by 'all', 1 by 'model'" in repr(answer)
    assert "path" in answer._repr_html_()
    polars = pytest.importorskip("polars")
    assert answer.to_frame("polars")["path"].dtype == polars.String


def test_free_places_go_to_the_next_part():
    events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [1, 2, 2, 3, 9]})
    titles = ["tea", "mug", "cup", "bag", "cup", "tea cup", "bag"]
    items = pd.DataFrame({"item_id": [1, 2, 3, 4, 5, 6, 9], "title": titles})
    parts = [("text", TfidfRecommender()), ("all", Popularity())]
    model = ColdStart(ItemKNN(), parts, new_item_weight=0).fit(events, items=items)
    answer = model.recommend([1], 5)
    assert answer.paths.tolist() == ["model"]
    # 3 by who bought what; 6 by words; 9 was bought; the others by popularity, in order.
    assert answer.items[0].tolist() == [3, 6, 9, 4, 5]
    assert answer.scores[0, 1:].tolist() == [0, 0, 0, 0]
    assert model.recommend([1], 2).items[0].tolist() == [3, 6]


def test_unknown_is_an_error_only_where_nobody_can_answer():
    model = ColdStart(ItemKNN(), [("text", TfidfRecommender())]).fit(EVENTS, items=ITEMS)
    with pytest.raises(UnknownIdError, match=r"'stranger'.*unknown='skip'"):
        model.recommend(["ann", "stranger"])
    answer = model.recommend(["ann", "stranger"], 3, unknown="skip")
    assert answer.paths.tolist() == ["model", None]
    assert answer.items[1].tolist() == [None] * 3
    with pytest.raises(UnknownIdError, match=r"rows \[1\] is known"):
        model.recommend(history=[["odd"], []], unknown="raise")
    listed = ColdStart(ItemKNN(), [("text", TfidfRecommender())])
    listed.fit(EVENTS, items=ITEMS, users=USERS)
    answer = listed.recommend(["eve"], 2)
    assert answer.paths.tolist() == ["popularity"]
    assert answer.items[0, 0] == "mug"


def test_hidden_items_do_not_change_the_path(model):
    answer = model.recommend(["ann"], 2, candidates=["odd", "new tea"])
    assert answer.paths.tolist() == ["model"]
    open_answer = model.recommend(["ann"], 9)
    scores = dict(zip(open_answer.items[0], open_answer.scores[0], strict=True))
    assert answer.scores[0, 0] == pytest.approx(scores["new tea"])


def test_fallback_may_have_any_name():
    for name in ("all", "popularity"):
        parts = [(name, Popularity()), ("later", Popularity(group="country"))]
        model = ColdStart(ItemKNN(), parts).fit(EVENTS, users=USERS)
        answer = model.recommend(["stranger", "eve"], 4)
        assert answer.paths.tolist() == [name, name]
        assert answer.items[:, 0].tolist() == ["mug", "mug"]


def blended(parts):
    blend = Blend([("knn", ItemKNN()), ("sold", Popularity())])
    return ColdStart(blend, parts).fit(EVENTS, items=ITEMS, users=USERS)


@pytest.mark.parametrize("base", ["blend", "ratings"])
def test_model_that_answers_everybody_is_asked_about_those_it_knows(base):
    model = blended(FALLBACK)
    if base == "ratings":
        events = EVENTS.assign(rating=[5, 1, 4, 2, 5, 4, 3, 1])
        model = ColdStart(SVD(3), FALLBACK).fit(events, items=ITEMS, users=USERS)
    group = Popularity(group="country").fit(EVENTS, users=USERS)
    french, german = group.recommend(["ann", "eve"], 2, exclude_seen=False).items.tolist()
    known = [{"country": "FR"}, {"country": "DE"}, {}]
    answer = model.recommend(attributes=known, k=2)
    assert answer.paths.tolist() == ["group", "group", "all"]
    assert answer.items[:2].tolist() == [french, german]
    # A history comes before attributes; eve is in the users table, and has done nothing.
    people = ["ann", "eve", "stranger"]
    assert model.recommend(people, 2).paths.tolist() == ["model", "group", "all"]
    told = model.recommend(people, 2, attributes=[{"country": "DE"}, {"country": "FR"}, {}])
    assert told.paths.tolist() == ["model", "group", "all"]
    assert told.items[1].tolist() == french
    visits = model.recommend(history=[["mug"], []], k=2)
    assert visits.paths.tolist() == ["model", "all"]
    for row, person in enumerate(people):
        alone = model.recommend([person], 2)
        assert alone.items[0].tolist() == model.recommend(people, 2).items[row].tolist()
    first = model.recommend(["eve"], 1)
    assert model.explain("eve", first.items[0, 0])["part"].unique().tolist() == ["group"]
    pair = [("eve", first.items[0, 0])]
    assert model.predict(pair).tolist() == pytest.approx(first.scores[0].tolist())


def test_model_that_answers_everybody_stands_in_where_no_fallback_can():
    model = blended([("text", TfidfRecommender())])
    answer = model.recommend(["eve", "stranger"], 3)
    assert answer.paths.tolist() == ["model", "model"]
    assert answer.items[:, 0].tolist() == ["mug", "mug"]
    assert model.explain("eve", "mug")["part"].str.startswith("model").all()
    assert model.predict([("eve", "mug")])[0] == pytest.approx(answer.scores[0, 0])
    # What nobody has touched says nothing to it, and something to the words.
    assert model.recommend(history=[["new tea"]], k=1).paths.tolist() == ["text"]


def test_model_that_knows_users_without_a_history_answers_them():
    pairs = pd.DataFrame({"user_id": ["eve"], "friend_id": ["dan"]})
    users = friend_lists(pairs, users=USERS, both_ways=False)
    parts = [("friends", Friends()), ("sold", Popularity())]
    model = ColdStart(Blend(parts), FALLBACK).fit(EVENTS, items=ITEMS, users=users)
    assert model.recommend(["eve", "stranger"], 1).paths.tolist() == ["model", "all"]
    groups = ColdStart(Popularity(group="country"), [("all", Popularity())])
    answer = groups.fit(EVENTS, users=USERS).recommend(attributes=[{"country": "DE"}, {}], k=1)
    assert answer.paths.tolist() == ["model", "all"]


def test_lists_are_alike_whatever_the_order_of_ties():
    usual = np.array([[4, 0, 1]]), np.array([[3.0, 1.0, 1.0]])
    items = [[4, 0, 1], [4, 2, 1], [4, 0, 1], [0, 4, 1], [4, 0, -1]]
    scores = [[3, 1, 1], [3, 1, 1], [3, 1.1, 1], [3, 1, 1], [3, 1, np.nan]]
    found = are_alike(usual, (np.array(items), np.array(scores)), 5)
    assert found.tolist() == [True, True, False, False, False]
    nothing = np.full((1, 3), -1), np.full((1, 3), np.nan)
    assert are_alike(nothing, nothing, 5).tolist() == [True]
    assert are_alike(nothing, usual, 5).tolist() == [False]


def test_what_is_said_goes_before_all_that_the_users_table_says():
    users = friend_lists(pd.DataFrame({"user_id": ["eve"], "friend_id": ["dan"]}), users=USERS)
    parts = [("text", TfidfRecommender()), *FALLBACK[1:]]
    model = ColdStart(Friends(), parts).fit(EVENTS, items=ITEMS, users=users)
    said = [{}, {"country": "FR"}, {"country": None}, {"country": "XX"}]
    answer = model.recommend(["eve"] * 4, 1, attributes=said)
    assert answer.paths.tolist() == ["model", "group", "model", "all"]
    # A history goes before both, of whatever items.
    model = ColdStart(TfidfRecommender(), FALLBACK[1:]).fit(EVENTS, items=ITEMS, users=USERS)
    told = {"attributes": [{"country": "FR"}], "k": 1}
    assert model.recommend(history=[["new tea"]], **told).paths.tolist() == ["model"]


def place(new, known, wanted, weight=1.0, capped=False):
    lists = [np.array(values, dtype=np.float32) for values in (new, known, wanted)]
    return aligned(lists[0], lists[1], lists[2], weight, capped)


def test_aligned_scores_take_the_place_that_they_have_among_known_items():
    lists = [0.5, 0.35, np.nan], [0.9, 0.5, 0.2], [8.0, 4.0, 2.0, 1.0]
    assert place(*lists)[:2].tolist() == pytest.approx([4, 3])
    assert np.isnan(place(*lists)[2])
    # Place 2 of the others is worth place 4, or place 1.
    assert place(*lists, 0.5)[0] == pytest.approx(1.0)
    assert place(*lists, 2.0)[0] == pytest.approx(8.0)
    assert np.isnan(place(*lists, 0.0)).all()


def test_aligned_scores_keep_their_order_beyond_the_known_ones():
    lists = [2.0, 1.0, 0.05, 0.01], [0.9, 0.5, 0.1], [5.0, 4.0, 2.0]
    found = place(*lists)
    assert (np.diff(found) < 0).all()
    assert found[1] > 5
    assert 2 > found[2] > 0
    assert place(*lists, capped=True)[:2].tolist() == [5.0, 5.0]
    assert place([0.05], [0.9, 0.1], [1.0, -3.0])[0] < -3


def test_aligned_scores_need_something_to_compare_with():
    for known, wanted in (([np.nan], [1.0]), ([1.0], [np.nan])):
        assert np.isnan(place([1.0, 1.0], known, wanted)).all()
    assert np.isfinite(place([0.5, 0.6], [0.5, 0.5], [3.0, 1.0])).all()


def test_merged_lists_put_ties_by_row_and_fill_last():
    one = np.array([[3, 7, -1]]), np.array([[2.0, 1.0, np.nan]], dtype=np.float32)
    other = np.array([[5, 2, -1]]), np.array([[2.0, 1.0, np.nan]], dtype=np.float32)
    items, scores = merged(one, other, 5)
    assert items.tolist() == [[3, 5, 2, 7, -1]]
    assert scores[0, :4].tolist() == [2, 2, 1, 1]


def lists_of_a_shop(weight, base):
    rng = np.random.default_rng(0)
    pairs = [
        (user, item)
        for user in range(120)
        for item in rng.choice(np.arange(user % 4, 80, 4), 8, replace=False)
    ]
    pairs += [(user, int(item)) for user in range(120) for item in rng.choice(80, 3)]
    events = pd.DataFrame(pairs, columns=["user_id", "item_id"]).drop_duplicates()
    titles = [f"kind{n % 4} thing{n % 7}" for n in range(100)]
    items = pd.DataFrame({"item_id": range(100), "title": titles})
    fallback = [("text", TfidfRecommender()), ("all", Popularity())]
    model = ColdStart(base, fallback, new_item_weight=weight).fit(events, items=items)
    return model, model.recommend(list(range(120)), 10)


@pytest.mark.parametrize("base", [ItemKNN(), ALS(8), PureSVD(8), BPR(8, max_iter=5)], ids=repr)
def test_new_items_mix_with_known_ones_as_much_as_is_wished(base):
    shares = []
    for weight in (0.0, 0.3, 1.0, 3.0):
        model, answer = lists_of_a_shop(weight, base)
        is_new = answer.items >= 80
        shares.append(is_new.mean())
        if weight == 1:
            users = np.arange(120)
            assert (
                answer.items[is_new] % 4 == np.where(is_new, users[:, None] % 4, 0)[is_new]
            ).all()
            found, _ = np.nonzero(is_new)
            pairs = list(zip(found.tolist(), answer.items[is_new].tolist(), strict=True))
            scores = model.predict(pairs)
            np.testing.assert_allclose(scores, answer.scores[is_new], rtol=1e-4)
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.02 < shares[2] < 0.8


def test_model_that_reads_the_items_table_scores_new_items_itself():
    base = AttributeToFactor(PureSVD(8))
    model, answer = lists_of_a_shop(1.0, base)
    items = pd.DataFrame({"item_id": range(100)})
    items["title"] = [f"kind{n % 4} thing{n % 7}" for n in range(100)]
    alone = base.fit(model._state.interactions, items=items)
    theirs = alone.recommend(list(range(120)), 10)
    assert answer.items.tolist() == theirs.items.tolist()
    assert set(answer.paths) == {"model"}


def test_item_is_new_until_somebody_has_touched_it(model):
    late = pd.DataFrame({"item_id": ["late"], "title": ["tea pot, large"]})
    model.partial_fit(EVENTS.head(0), items=late)
    first = model.recommend(["dan"], 9).to_frame().set_index("item_id")["score"]
    assert first["late"] > 0
    assert model.explain("dan", "late")["part"].unique().tolist() == ["text"]
    model.partial_fit(pd.DataFrame({"user_id": ["zoe"], "item_id": ["late"]}))
    second = model.recommend(["dan"], 9).to_frame().set_index("item_id")["score"]
    assert second["late"] == 0
    assert model.explain("dan", "late").empty


def test_explanation_names_the_path_and_adds_up(model):
    for user, part in (("ann", "model"), ("eve", "group")):
        answer = model.recommend([user], 1, candidates=["pot", "mug", "tea"])
        table = model.explain(user, answer.items[0, 0])
        assert table["part"].unique().tolist() == [part]
        assert table["contribution"].sum() == pytest.approx(answer.scores[0, 0], rel=1e-4)
    answer = model.recommend(["ann"], 1, candidates=["new mug"])
    table = model.explain("ann", "new mug")
    assert table["part"].unique().tolist() == ["text"]
    assert table["contribution"].sum() == pytest.approx(answer.scores[0, 0], rel=1e-4)


def test_new_items_are_like_what_reads_like_them(model):
    answer = model.similar_items(["mug", "new tea"], 2)
    assert answer.items[1].tolist() == ["pot", "tea"] or answer.items[1].tolist() == ["tea", "pot"]
    alone = ItemKNN().fit(EVENTS, items=ITEMS).similar_items(["mug"], 2)
    assert answer.items[0].tolist() == alone.items[0].tolist()


def test_rating_model_keeps_to_its_range():
    events = EVENTS.assign(rating=[5, 1, 4, 2, 5, 4, 3, 1])
    model = ColdStart(SVD(3)).fit(events, items=ITEMS)
    frame = model.recommend(["ann", "dan"], 7).to_frame()
    assert frame["score"].between(0, 5).all()
    assert (frame.loc[frame["item_id"] == "new mug", "score"] > 0).any()


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ([{"country": "FR"}], "describe 1 rows of 2"),
        ({"country": "FR"}, "must be a list of dicts"),
        ("FR", "must be a list of dicts"),
        (["FR", "DE"], "must be a list of dicts"),
        ([{"land": "FR"}, {}], r"hold \['land'\], and no part reads any of them"),
        (pd.DataFrame({"land": ["FR", "DE"]}), "no part reads any of them"),
    ],
)
def test_attributes_that_say_nothing_are_refused(model, attributes, match):
    with pytest.raises(DataError, match=match):
        model.recommend(["ann", "bob"], attributes=attributes)


def test_missing_attributes_are_no_attributes(model):
    table = pd.DataFrame({"country": ["FR", None, np.nan]})
    assert model.recommend(attributes=table, k=1).paths.tolist() == ["group", "all", "all"]
    assert model.recommend(attributes=[], k=1).items.shape == (0, 1)
    stored = model.recommend(["eve"], 1, attributes=[{"country": np.float32("nan")}])
    assert stored.paths.tolist() == ["group"]
    nullable = pd.DataFrame({"country": pd.array([None], dtype="string")})
    assert model.recommend(["eve"], 1, attributes=nullable).paths.tolist() == ["group"]


def test_groups_read_the_same_as_integers_and_as_floats():
    model = ColdStart(ItemKNN(), [("group", Popularity(group="segment")), ("all", Popularity())])
    asked = pd.DataFrame({"segment": [1, 2, None]})
    for segments in ([1, 1, 2, 2], [1, 1, 2, np.nan]):
        users = pd.DataFrame({"user_id": ["ann", "bob", "cleo", "dan"], "segment": segments})
        model.fit(EVENTS, users=users)
        for table in (asked, [{"segment": 1}, {"segment": "2"}, {}], [{"segment": np.int8(1)}]):
            answer = model.recommend(attributes=table, k=1)
            assert answer.paths.tolist() == ["group", "group", "all"][: len(answer)]
    large = pd.DataFrame({"user_id": ["ann", "bob"], "segment": [2**60, 2**60 + 1]})
    answer = model.fit(EVENTS, users=large).recommend(
        attributes=[{"segment": 2**60 + 1}, {"segment": 2**60 + 2}], k=2
    )
    assert answer.paths.tolist() == ["group", "all"]
    assert sorted(answer.items[0]) == ["mug", "pot"]


def test_missing_groups_are_no_group_in_any_table():
    polars = pytest.importorskip("polars")
    parts = [("group", Popularity(group="segment")), ("all", Popularity())]
    users = {"user_id": ["ann", "bob", "cleo"], "segment": [1.0, float("nan"), None]}
    for table in (pd.DataFrame(users), polars.DataFrame(users, strict=False)):
        model = ColdStart(ItemKNN(), parts).fit(EVENTS, users=table)
        asked = [{"segment": "nan"}, {"segment": float("nan")}, {"segment": 1}]
        answer = model.recommend(attributes=asked, k=1)
        assert answer.paths.tolist() == ["all", "all", "group"]


def test_table_of_attributes_describes_each_visitor_once(model):
    table = pd.DataFrame({"user_id": ["x", "x"], "country": ["FR", "DE"]})
    with pytest.raises(DataError, match=r"more than one row for user_id 'x'\. Keep one of each"):
        model.recommend(["x"], attributes=table)
    assert model.recommend(attributes=table, k=1).scores.tolist() == [[2], [1]]
    answer = model.recommend(["x", "y", "x"], 2, attributes=table.head(1))
    assert answer.paths.tolist() == ["group", "all", "group"]


def test_wrong_parts_are_refused():
    for fallback, match in (
        ([], "at least 1"),
        ([("a", 3)], r"list of at least 1 \(name, recommender\)"),
        ([("a", ALS()), ("a", ALS())], "part named 'a'"),
        ([("model", ALS())], "part named 'model'"),
        ([("a__b", ALS())], "no '__'"),
    ):
        with pytest.raises(ValueError, match=match):
            ColdStart(fallback=fallback).fit(EVENTS, items=ITEMS)
    with pytest.raises(ValueError, match="model must be None or a recommender"):
        ColdStart("ItemKNN").fit(EVENTS, items=ITEMS)
    with pytest.raises(DataError, match="pass a table with item_id"):
        ColdStart().fit(EVENTS)
    with pytest.raises(ValueError, match="recommend needs users, history"):
        ColdStart().fit(EVENTS, items=ITEMS).recommend()
    nested = ColdStart(fallback=[("text", AttributeRecommender())])
    assert nested.set_params(text__n_bands=4).fallback[0][1].n_bands == 4


def test_groups_survive_files_and_updates(model, tmp_path):
    model.save(tmp_path / "shop.ecomrec")
    loaded = ecomrec.load(tmp_path / "shop.ecomrec")
    known = [{"country": "DE"}, {}]
    for one in (model, loaded):
        one.partial_fit(
            pd.DataFrame({"user_id": ["fay"] * 3, "item_id": ["cup", "pot", "odd"]}),
            users=pd.DataFrame({"user_id": ["fay"], "country": ["IT"]}),
        )
    ours, theirs = (one.recommend(attributes=known, k=3) for one in (model, loaded))
    assert ours.items.tolist() == theirs.items.tolist()
    italy = model.recommend(attributes=[{"country": "IT"}], k=3)
    assert set(italy.items[0]) == {"cup", "pot", "odd"}
    model.forget(users=["fay"])
    assert model.recommend(attributes=[{"country": "IT"}], k=3).paths.tolist() == ["all"]


class Strict(ColdStart):
    """Names strangers, as other models do, so that the kit can ask whether somebody is one."""

    def recommend(self, users=None, k=10, **options):
        if users is not None:
            known = set(self.user_ids_.tolist())
            strangers = [user for user in list(users) if user not in known]
            if strangers:
                raise UnknownIdError(f"{strangers}")
        return super().recommend(users, k, **options)


def test_forgotten_ids_and_words_leave_no_trace():
    check_recommender(Strict(), include=["check_forgotten_ids_leave_no_trace"])
