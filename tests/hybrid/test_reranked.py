"""A recommender whose lists are put in another order: what it promises beside the contract."""

import numpy as np
import pandas as pd
import pytest

import ecomrec
from ecomrec.cf import ALS, ItemKNN, Popularity
from ecomrec.datasets import make_shop
from ecomrec.exceptions import DataError
from ecomrec.hybrid import (
    DPP,
    MMR,
    BusinessRules,
    Calibrated,
    CategoryCap,
    ExposureFairness,
    Reranked,
)


@pytest.fixture(scope="module")
def shop():
    made = make_shop(n_users=60, n_items=50, n_events=1500, random_state=0)
    items = made.items.assign(
        title=[f"thing{n % 7} of kind{n % 5}" for n in range(50)],
        category=[f"c{n % 4}" for n in range(50)],
        seller=[f"s{n % 3}" for n in range(50)],
        price=np.arange(50.0),
    )
    return made.events[["user_id", "item_id", "timestamp"]], items[
        ["item_id", "title", "category", "seller", "price"]
    ]


STEPS = {
    "mmr": MMR(0.5),
    "events": MMR(0.5, similarity="events"),
    "dpp": DPP(0.5),
    "mix": Calibrated(0.3),
    "cap": CategoryCap(2),
    "fair": ExposureFairness({"s1": 0.5}),
    "rules": BusinessRules(boost=[({"category": "c1"}, 0.5)], bury=[{"price": (30, None)}]),
}


@pytest.mark.parametrize("name", STEPS)
def test_answers_are_those_of_the_reranked_list(shop, name):
    events, items = shop
    users = sorted(events["user_id"].unique())[:20]
    model = Reranked(ItemKNN(shrink=1.0), [(name, STEPS[name])], n_candidates=20)
    model.fit(events, items=items)
    plain = ItemKNN(shrink=1.0).fit(events, items=items).recommend(users, k=20)
    step = STEPS[name].fit(events, items=None if name == "events" else items)
    expected = step.rerank(plain, 5)
    answer = model.recommend(users, k=5)
    assert answer.items.tolist() == expected.items.tolist()
    np.testing.assert_allclose(answer.scores, expected.scores, rtol=1e-5, atol=1e-6)
    assert answer.items.tolist() != plain.items[:, :5].tolist()


def test_steps_follow_each_other(shop):
    events, items = shop
    users = sorted(events["user_id"].unique())[:20]
    steps = [("diverse", MMR(0.5)), ("cap", CategoryCap(1, strict=True))]
    answer = Reranked(Popularity(), steps).fit(events, items=items).recommend(users, k=5)
    category = dict(zip(items["item_id"], items["category"], strict=True))
    for row in answer.items.tolist():
        shown = [category[item] for item in row if item in category]
        assert len(shown) == len(set(shown)) == 4
    assert np.isnan(answer.scores[:, 4]).all()


def test_budget_holds_for_popular_items_too(shop):
    events, items = shop
    rules = BusinessRules(budget=9)
    model = Reranked(ItemKNN(), [("rules", rules)], n_candidates=50).fit(events, items=items)
    price = dict(zip(items["item_id"], items["price"], strict=True))
    visits = model.recommend(history=[[items["item_id"].iloc[0]], []], k=30, unknown="skip")
    shown = [item for item in visits.items[0].tolist() if item in price]
    assert 0 < len(shown) <= 10
    assert max(price[item] for item in shown) <= 9


def test_model_explains_and_predicts(shop):
    events, items = shop
    user = events["user_id"].iloc[0]
    model = Reranked().fit(events, items=items)
    inner = model.parts_.model
    item = model.recommend([user], k=1).items[0, 0]
    assert model.predict([(user, item)]) == inner.predict([(user, item)])
    assert model.explain(user, item)["contribution"].sum() == pytest.approx(
        model.predict([(user, item)])[0], rel=1e-5
    )


def test_nested_parameters_reach_model_and_steps():
    model = Reranked(ALS(4), [("diverse", MMR())])
    model.set_params(model__n_factors=8, diverse__trade_off=0.2)
    assert model.model.n_factors == 8
    assert model.rerankers[0][1].trade_off == 0.2
    model.set_params(diverse=DPP())
    assert isinstance(model.get_params()["diverse"], DPP)


def test_factors_of_the_model_say_what_is_alike(shop, tmp_path):
    events, _ = shop
    model = Reranked(ALS(4, random_state=0), [("wide", DPP(similarity="factors"))])
    model.fit(events)
    users = model.user_ids_[:5].tolist()
    before = model.recommend(users, k=5)
    assert before.items.tolist() != model.parts_.model.recommend(users, k=5).items.tolist()
    model.save(tmp_path / "model.ecomrec")
    after = ecomrec.load(tmp_path / "model.ecomrec").recommend(users, k=5)
    assert after.items.tolist() == before.items.tolist()
    with pytest.raises(DataError, match="needs a model with item factors"):
        Reranked(ItemKNN(), [("wide", DPP(similarity="factors"))]).fit(events)


def test_everything_is_saved(shop, tmp_path):
    events, items = shop
    steps = [(name, STEPS[name]) for name in STEPS]
    model = Reranked(Popularity(), steps).fit(events, items=items)
    users = model.user_ids_[:5].tolist()
    model.save(tmp_path / "model.ecomrec")
    back = ecomrec.load(tmp_path / "model.ecomrec")
    assert repr(back) == repr(model)
    assert back.recommend(users).items.tolist() == model.recommend(users).items.tolist()


def test_later_tables_change_what_is_known(shop):
    events, items = shop
    early, late = items.iloc[:25], items.iloc[25:]
    steps = [("cap", CategoryCap(1, strict=True))]
    whole = Reranked(Popularity(), steps).fit(events, items=items)
    known = set(early["item_id"])
    first = events[events["item_id"].isin(known)]
    grown = Reranked(Popularity(), steps).fit(first, items=early)
    grown.partial_fit(events[~events["item_id"].isin(known)], items=late)
    users = whole.user_ids_.tolist()
    assert whole.recommend(users, k=4).items.tolist() == grown.recommend(users, k=4).items.tolist()
    with pytest.raises(DataError, match=r"this batch lacks \['seller'\]"):
        Reranked(Popularity(), [("fair", ExposureFairness()), ("cap", CategoryCap())]).fit(
            events, items=items
        ).partial_fit(events.iloc[:1], items=items[["item_id", "category"]])
    started = Reranked(Popularity()).fit(events)
    started.partial_fit(events.iloc[:0], items=items)
    assert started._state.learned.own.columns


def test_wrong_compositions_are_named(shop):
    events, items = shop
    for rerankers, match in (
        ([], "rerankers must be None or a list"),
        ([("diverse", ItemKNN())], "rerankers must be None or a list"),
        ([("a", MMR()), ("a", DPP())], "names must differ"),
        ([("a__b", MMR())], "no '__'"),
        ([("model", MMR())], "names must differ"),
        ([("a", MMR(trade_off=2))], "MMR: trade_off must be"),
    ):
        with pytest.raises(ValueError, match=match):
            Reranked(rerankers=rerankers).fit(events)
    with pytest.raises(ValueError, match="Reranked: model must be None or a recommender"):
        Reranked(MMR()).fit(events)
    with pytest.raises(DataError, match="reads the column 'category' of the items table"):
        Reranked(rerankers=[("cap", CategoryCap())]).fit(events)
    with pytest.raises(DataError, match="column 'category', which the items table lacks"):
        Reranked(rerankers=[("cap", CategoryCap())]).fit(events, items=items[["item_id"]])


def test_ties_do_not_depend_on_who_arrived_first():
    events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": ["b", "c", "b", "c", "a"]})
    later = pd.DataFrame({"user_id": [1, 2, 4], "item_id": ["a0", "a0", "z"]})
    model = Reranked(Popularity(), [("diverse", MMR(0.3, similarity="events"))])
    grown = model.fit(events).partial_fit(later).recommend([4], k=5)
    whole = model.fit(pd.concat([events, later])).recommend([4], k=5)
    assert grown.items.tolist() == whole.items.tolist()
