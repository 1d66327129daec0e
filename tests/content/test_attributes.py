"""Attributes of the items: words, tags, bands of numbers, what a cell may hold."""

import numpy as np
import pandas as pd
import pytest

import ecomrec
from ecomrec.content import AttributeRecommender
from ecomrec.exceptions import DataError

ITEMS = pd.DataFrame(
    {
        "item_id": list("abcdefgh"),
        "category": ["mugs", "mugs", "tea", "tea", "garden", "garden", None, "mugs"],
        "brand": ["Acme", "Leaf", "Leaf", "Acme", None, "Oak", None, "Acme"],
        "tags": ["red|new", "red", "green, bio", "", "wood;new", "wood", None, "blue"],
        "price": [5.0, 6.0, 3.0, 3.5, 90.0, 120.0, np.nan, 30.0],
    }
)
EVENTS = pd.DataFrame({"user_id": ["u", "v", "w", "x"], "item_id": ["a", "f", "g", "c"]})


def fitted(items=ITEMS, events=EVENTS, **params):
    return AttributeRecommender(**params).fit(events, items=items)


def scores_of(model, user):
    items, scores = model.recommend([user], k=8, exclude_seen=False)
    found = zip(items[0].tolist(), scores[0].tolist(), strict=True)
    return {item: score for item, score in found if item is not None}


def test_score_is_the_mean_of_what_each_column_says():
    model = fitted(fields={"category": 3, "brand": 1}, weighting="none")
    scores = scores_of(model, "u")
    assert scores["h"] == pytest.approx(1)
    assert scores["b"] == pytest.approx(3 / 4)
    assert scores["d"] == pytest.approx(1 / 4)
    assert scores["e"] == scores["g"] == 0
    # One without a brand has a category only.
    assert scores_of(model, "v")["e"] == pytest.approx(np.sqrt(3) / 2)


def test_tags_count_in_parts():
    model = fitted(fields={"tags": 1}, weighting="none")
    scores = scores_of(model, "u")
    assert scores["a"] == pytest.approx(1)
    assert scores["b"] == pytest.approx(1 / np.sqrt(2))
    assert scores["e"] == pytest.approx(1 / 2)
    lists = ITEMS.assign(
        tags=[["red", "new", "red"], ["red"], ["green", "bio"], [], ["wood", "new"], ["wood"],
              None, ["blue"]]
    )  # fmt: skip
    assert scores_of(fitted(lists, fields={"tags": 1}, weighting="none"), "u") == scores


def test_rare_attributes_count_for_more():
    model = fitted(fields={"category": 1, "brand": 1})
    names = dict(zip(model.attributes_, range(model.n_features_), strict=True))
    row = model.item_vectors_.toarray()[5]
    idf = [1 + np.log((1 + 7) / (1 + n)) for n in (1, 2)]
    assert row[names["brand: Oak"]] / row[names["category: garden"]] == pytest.approx(
        idf[0] / idf[1], rel=1e-6
    )


def test_prices_near_each_other_are_alike():
    model = fitted(fields={"price": 1}, n_bands=4, weighting="none")
    edges = model.bands_["price"]
    np.testing.assert_allclose(edges, np.quantile([5, 6, 3, 3.5, 90, 120, 30], [0.25, 0.5, 0.75]))
    scores = scores_of(model, "u")
    assert scores["a"] == pytest.approx(1)
    assert scores["c"] > 0
    assert 0 < scores_of(model, "x")["a"] < 1
    hard = fitted(fields={"price": 1}, n_bands=4, softness=0.0, weighting="none")
    assert set(scores_of(hard, "x").values()) == {0.0, 1.0}
    assert scores["g"] == 0, "no price is no evidence."


def test_explanation_names_attributes_and_bands():
    table = fitted(n_bands=3).explain("u", "b")
    assert set(table["kind"]) == {"attribute"}
    assert {"category: mugs", "tags: red"} <= set(table["reason"])
    assert any(reason.startswith("price: ") for reason in table["reason"])
    names = fitted(n_bands=3, fields={"price": 1}).attributes_
    assert names[0].startswith("price: below ")
    assert " to " in names[1]
    assert names[2].endswith(" or more")


def test_equal_prices_make_one_band():
    model = fitted(ITEMS.assign(price=2.0), fields={"price": 1})
    assert model.attributes_ == ["price: any"]
    assert scores_of(model, "u")["f"] == pytest.approx(1)


def test_numbers_flags_and_categories_are_read_as_they_are_meant():
    items = pd.DataFrame(
        {
            "item_id": list("abcd"),
            "category": [1, 1, 2, 2],
            "organic": [True, False, True, None],
            "weight_kg": [0.1, 0.2, 5.0, 6.0],
        }
    )
    events = EVENTS.assign(item_id=list("abcd"))
    model = fitted(items, events, fields={"category": 1, "organic": 1, "weight_kg": 1}, n_bands=2)
    assert {"category: 1", "organic: True", "weight_kg: below 2.6"} <= set(model.attributes_)
    with_gap = fitted(items.assign(category=[1, 1, np.nan, 2]), events)
    assert with_gap.attributes_ == ["category: 1", "category: 2"]
    with_gap.partial_fit(
        events.iloc[:0], items=pd.DataFrame({"item_id": ["c"], "category": ["2"]})
    )
    assert with_gap.similar_items(["c"], k=1).items[0, 0] == "d"


def test_cells_that_are_no_attribute_are_named():
    odd = ITEMS.assign(category=[object()] * 8)
    with pytest.raises(DataError, match="category of item 'a' holds <object"):
        fitted(odd, fields={"category": 1})
    model = fitted()
    late = ITEMS.iloc[:1].assign(price="cheap")
    with pytest.raises(DataError, match=r"price of item 'a' is 'cheap' \(str\)"):
        model.partial_fit(EVENTS, items=late)
    with pytest.raises(DataError, match="found none of the columns"):
        fitted(ITEMS[["item_id"]])


def test_new_item_is_found_by_its_attributes_at_once():
    model = fitted()
    bands = model.bands_["price"]
    new = pd.DataFrame(
        {"item_id": ["z"], "category": ["mugs"], "brand": ["Acme"], "tags": ["red|new"],
         "price": [5.5]}
    )  # fmt: skip
    model.partial_fit(EVENTS.iloc[:0], items=new)
    assert model.recommend(["u"], k=1).items[0, 0] == "z"
    np.testing.assert_array_equal(model.bands_["price"], bands)
    model.refresh()
    whole = fitted(pd.concat([ITEMS, new], ignore_index=True))
    assert model.attributes_ == whole.attributes_
    np.testing.assert_array_equal(model.bands_["price"], whole.bands_["price"])
    assert scores_of(model, "u") == scores_of(whole, "u")


def test_forgotten_item_takes_its_attributes_and_its_price_along(tmp_path):
    model = fitted()
    model.forget(items=["f"])
    left = ITEMS[ITEMS["item_id"] != "f"]
    whole = fitted(left, EVENTS[EVENTS["item_id"] != "f"])
    assert model.attributes_ == whole.attributes_
    assert "brand: Oak" not in model.attributes_
    np.testing.assert_array_equal(model.bands_["price"], whole.bands_["price"])
    model.save(tmp_path / "shop")
    read = ecomrec.load(tmp_path / "shop", mmap=True)
    assert read.attributes_ == model.attributes_
    assert scores_of(read, "u") == scores_of(model, "u")
    read.partial_fit(EVENTS.iloc[:0], items=ITEMS)
    assert "brand: Oak" in read.attributes_


def test_column_of_infinite_prices_is_read():
    items = ITEMS.assign(price=[1.0, 2.0, np.inf, -np.inf, np.nan, 5.0, 6.0, 7.0])
    model = fitted(items)
    assert np.isfinite(model.bands_["price"]).all()
    assert np.isfinite(list(scores_of(model, "u").values())).all()
