"""Compositions inside compositions: rules that hold, profiles that fit, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest

from ecomrec.cf import SVD, ItemKNN, Popularity
from ecomrec.coldstart import ColdStart, Explore, Friends, Nearby, Onboarding
from ecomrec.content import PersonalSearch, TfidfRecommender
from ecomrec.exceptions import DataError
from ecomrec.hybrid import (
    MMR,
    Blend,
    BusinessRules,
    CategoryCap,
    RankFusion,
    Reranked,
    Stacking,
    Switch,
    TwoStage,
)

EVENTS = pd.DataFrame({"user_id": list("aabbcc"), "item_id": [1, 2, 1, 3, 3, 4]})
ITEMS = pd.DataFrame(
    {
        "item_id": [1, 2, 3, 4, 5, 6],
        "price": [0.5, 9.0, 9.0, 0.5, 9.0, 0.7],
        "title": ["x y", "x z", "y z", "w q", "p q", "p y"],
        "seller": ["big", "big", "small", "small", "big", "big"],
    }
)
PARTS = [("knn", ItemKNN()), ("pop", Popularity())]


def cheap():
    return Reranked(Popularity(), [("budget", BusinessRules(budget=1))])


def shown(model, users=("a",), k=5, **more):
    answer = model.fit(EVENTS, items=ITEMS).recommend(list(users), k=k, **more)
    return [[item for item in row if item > 0] for row in answer.items.tolist()]


# ---------------------------------------------------------------------- rules of a part

HOLDERS = {
    "reranked": lambda inner: Reranked(inner, [("diverse", MMR())]),
    "switch": lambda inner: Switch([("few", inner), ("many", inner)], edges=[1]),
    "cold": lambda inner: ColdStart(inner, [("cold", inner)]),
    "cold, with texts": lambda inner: ColdStart(inner),
    "onboarding": Onboarding,
    "twice": lambda inner: Onboarding(Switch([("few", inner), ("many", inner)], edges=[2])),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_budget_holds_inside_another_recommender(holder):
    alone = shown(cheap(), exclude_seen=False)
    assert alone == [[1, 4, 6]]
    assert [sorted(row) for row in shown(HOLDERS[holder](cheap()), exclude_seen=False)] == alone


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_strict_cap_holds_inside_another_recommender(holder):
    capped = Reranked(Popularity(), [("cap", CategoryCap(1, column="seller", strict=True))])
    (row,) = shown(HOLDERS[holder](capped), exclude_seen=False)
    sellers = ITEMS.set_index("item_id")["seller"][row].tolist()
    assert sorted(sellers) == ["big", "small"]


def test_usual_places_of_exploring_keep_to_the_budget():
    log = pd.concat([EVENTS.assign(user_id=EVENTS["user_id"] + str(n)) for n in range(3)])
    model = Explore(cheap(), new_below=1, share=0.0).fit(log, items=ITEMS.iloc[:4])
    answer = model.recommend(["a0"], k=4, exclude_seen=False)
    assert answer.items.tolist() == [[1, 4, -1, -1]]


def test_new_items_are_explored_within_the_budget():
    log = pd.concat([EVENTS.assign(user_id=EVENTS["user_id"] + str(n)) for n in range(3)])
    model = Explore(cheap(), new_below=1, share=0.5).fit(log, items=ITEMS)
    answer = model.recommend(["a0"] * 20, k=4, exclude_seen=False, seed=list(range(20)))
    assert {item for row in answer.items.tolist() for item in row} == {1, 4, 6, -1}
    assert answer.explored[answer.items == 6].all()


def test_newcomers_who_like_nothing_get_what_the_rules_allow():
    model = Onboarding(cheap()).fit(EVENTS, items=ITEMS)
    answer = model.recommend(answers=[{2: "unknown"}, {2: "liked"}], k=5)
    assert answer.items.tolist() == [[1, 4, 6, -1, -1]] * 2
    assert np.isfinite(answer.scores[:, :3]).all()
    assert np.isnan(answer.scores[:, 3:]).all()


def test_rows_that_another_part_answers_are_filled():
    switch = Switch([("few", ItemKNN()), ("many", cheap())], edges=[2]).fit(EVENTS, items=ITEMS)
    answer = switch.recommend(history=[[1], [1, 2]], k=5)
    assert sorted(answer.items[0].tolist()) == [2, 3, 4, 5, 6]
    assert answer.items[1].tolist() == [4, 6, -1, -1, -1]
    cold = ColdStart(ItemKNN(), [("all", cheap())]).fit(EVENTS, items=ITEMS)
    answer = cold.recommend(["a", "stranger"], k=5, exclude_seen=False)
    assert answer.paths.tolist() == ["model", "all"]
    assert sorted(answer.items[0].tolist()[:4]) == [1, 2, 3, 4]
    assert answer.items[1].tolist() == [1, 4, 6, -1, -1]


MIXTURES = {
    "Blend": Blend,
    "RankFusion": RankFusion,
    "TwoStage": TwoStage,
    "Stacking": Stacking,
}


@pytest.mark.parametrize("name", MIXTURES)
def test_mixtures_refuse_what_they_would_not_heed(name):
    for parts, path in (
        ([("knn", ItemKNN()), ("c", cheap())], "c"),
        ([("s", Switch([("few", ItemKNN()), ("c", cheap())]))], "s__c"),
    ):
        match = f"{name}: part '{path}' is a Reranked.*Put the Reranked around the {name}"
        with pytest.raises(ValueError, match=match):
            MIXTURES[name](parts).fit(EVENTS, items=ITEMS)
    around = Reranked(MIXTURES[name](PARTS), [("budget", BusinessRules(budget=1))])
    assert sorted(shown(around, exclude_seen=False)[0]) == [1, 4, 6]


def test_a_search_refuses_what_it_would_not_heed():
    with pytest.raises(ValueError, match="PersonalSearch: part 'recommender' is a Reranked"):
        PersonalSearch(recommender=cheap()).fit(EVENTS, items=ITEMS)


# ---------------------------------------------------------------------- contexts


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda part: Reranked(part), "model"),
        (lambda part: Blend([("knn", ItemKNN()), ("two", part)]), "two"),
        (lambda part: Switch([("few", Popularity()), ("many", part)]), "many"),
        (lambda part: ColdStart(part), "model"),
        (lambda part: ColdStart(ItemKNN(), [("two", part)]), "two"),
        (lambda part: Explore(part), "model"),
        (lambda part: Onboarding(part), "model"),
        (lambda part: TwoStage([("knn", ItemKNN()), ("two", part)]), "two"),
        (lambda part: Stacking([("two", part)]), "two"),
        (lambda part: Reranked(Switch([("few", Popularity()), ("many", part)])), "many"),
    ],
    ids=range(10),
)
def test_a_model_that_needs_a_context_is_no_part(make, path):
    model = make(TwoStage(PARTS, context=["hour"], min_positives=10))
    match = rf"part '{path}' is a TwoStage with context=\['hour'\].*leave context out"
    with pytest.raises(ValueError, match=match):
        model.fit(EVENTS.assign(hour=3), items=ITEMS)
    assert not model.__sklearn_is_fitted__()
    plain = make(TwoStage(PARTS, min_positives=10)).fit(EVENTS, items=ITEMS)
    assert len(plain.recommend(["a"], k=2).items) == 1


# ---------------------------------------------------------------------- profiles


def test_a_history_is_counted_as_each_part_counts_at_any_depth():
    rng = np.random.default_rng(0)
    start, n = pd.Timestamp("2024-01-01"), 300
    events = pd.DataFrame(
        {
            "user_id": rng.integers(0, 30, n),
            "item_id": rng.integers(0, 25, n),
            "timestamp": start + pd.to_timedelta(rng.integers(0, 200, n), unit="D"),
        }
    )
    history = pd.DataFrame(
        {
            "user_id": [1000] * 4,
            "item_id": [1, 5, 7, 9],
            "timestamp": start + pd.to_timedelta([4, 152, 182, 199], unit="D"),
        }
    )

    def inner():
        return Blend([("a", ItemKNN(half_life="30D")), ("b", ItemKNN(half_life="3D"))])

    alone = inner().fit(events).recommend(history=history, k=3)
    outer = Switch([("x", ItemKNN(half_life="3D")), ("inner", inner())], edges=[1]).fit(events)
    nested = outer.recommend(history=history, k=3)
    assert nested.items.tolist() == alone.items.tolist()
    np.testing.assert_allclose(nested.scores, alone.scores, rtol=1e-6)


# ---------------------------------------------------------------------- what parts lack


class Spy(ItemKNN):
    """Tells whether it was fitted."""

    fits = 0

    def _fit(self, shop, sides):
        type(self).fits += 1
        return super()._fit(shop, sides)


NEEDY = {
    "texts": (TfidfRecommender(), "TfidfRecommender learns from what the items are.*items=None"),
    "search": (PersonalSearch(recommender=ItemKNN()), "PersonalSearch learns from what the items"),
    "places": (Nearby(), "Nearby learns from what the items are"),
    "friends": (Friends(), "Friends learns from who knows whom"),
    "groups": (Popularity(group="country"), "Popularity: group='country' needs"),
    "ratings": (SVD(), "ratings are needed"),
}


@pytest.mark.parametrize("lacking", NEEDY)
@pytest.mark.parametrize(
    "make",
    [
        lambda part: Blend([("cf", Spy()), ("part", part)]),
        lambda part: TwoStage([("cf", Spy()), ("part", part)], min_positives=1),
        lambda part: Stacking([("cf", Spy()), ("part", part)], min_positives=1),
        lambda part: ColdStart(Spy(), [("part", part)]),
        lambda part: Switch([("cf", Spy()), ("part", part)]),
        lambda part: Switch([("cf", Spy()), ("more", Blend([("cf", Spy()), ("part", part)]))]),
    ],
    ids=["blend", "two stage", "stacking", "cold", "switch", "nested"],
)
def test_what_a_part_lacks_is_said_before_anything_is_fitted(make, lacking):
    part, match = NEEDY[lacking]
    model, Spy.fits = make(part), 0
    with pytest.raises((DataError, ValueError), match=f"part 'part': {match}"):
        model.fit(EVENTS)
    assert Spy.fits == 0
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize(
    ("part", "tables", "match"),
    [
        (Nearby(), {"items": ITEMS}, "columns 'lat' and 'lon'"),
        (Friends(), {"users": pd.DataFrame({"user_id": ["a"]})}, "got the columns"),
        (Popularity(group="land"), {"users": pd.DataFrame({"user_id": ["a"]})}, "land"),
    ],
    ids=["places", "friends", "groups"],
)
def test_columns_that_a_part_lacks_are_said_before_anything_is_fitted(part, tables, match):
    Spy.fits = 0
    with pytest.raises((DataError, ValueError), match=f"part 'part': .*{re.escape(match)}"):
        Blend([("cf", Spy()), ("part", part)]).fit(EVENTS, **tables)
    assert Spy.fits == 0


def test_parts_that_nobody_wrote_are_called_default():
    with pytest.raises(DataError, match=r"^ColdStart: its default part 'text': TfidfRecommender"):
        ColdStart().fit(EVENTS)
    with pytest.raises(DataError, match=r"^ColdStart: part 'words': TfidfRecommender"):
        ColdStart(ItemKNN(), [("words", TfidfRecommender())]).fit(EVENTS)


# ---------------------------------------------------------------------- parameters of parts


@pytest.mark.parametrize(
    ("model", "params", "match"),
    [
        (Blend(), {"knn__n_neighbors": 3}, r"Blend: 'knn' is one of its default parts"),
        (TwoStage(), {"als__n_factors": 3}, r"TwoStage: 'als' is one of its default parts"),
        (ColdStart(), {"model__n_neighbors": 3}, r"ColdStart: 'model' is one of its default"),
        (ColdStart(), {"text__min_df": 3}, r"ColdStart: 'text' is one of its default parts"),
        (Reranked(), {"model__n_neighbors": 3}, r"Reranked: 'model' is one of its default"),
    ],
    ids=range(5),
)
def test_default_parts_have_no_parameters_to_set(model, params, match):
    with pytest.raises(ValueError, match=match):
        model.set_params(**params)


def test_parts_and_their_parameters_are_set_together():
    model = Blend().set_params(parts=[("knn", ItemKNN())], knn__n_neighbors=3)
    assert model.parts[0][1].n_neighbors == 3
    cold = ColdStart().set_params(model=ItemKNN(), model__n_neighbors=4)
    assert cold.model.n_neighbors == 4
