"""Sentences for shoppers: what they say, and what they never show."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ecomrec.cf import ALS, ItemKNN
from ecomrec.content import Catalog, PersonalSearch
from ecomrec.exceptions import DataError
from ecomrec.explanations import sentence

NAMES = {"a": "Red mug", "b": "Green tea", "c": "Tea pot"}


def table(*rows):
    """A table as explain makes it: rows of kind, reason and contribution, perhaps with a part."""
    frame = pd.DataFrame([row[:3] for row in rows], columns=["kind", "reason", "contribution"])
    frame["reason"] = frame["reason"].astype(object)
    frame.insert(0, "part", [row[3] if len(row) > 3 else "ItemKNN" for row in rows])
    return frame


BOUGHT = table(("item", "a", 2.0), ("item", "b", 1.0), ("item", "c", 0.5))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "Because you were interested in “Red mug” and “Green tea”."),
        ({"max_reasons": 1}, "Because you were interested in “Red mug”."),
        (
            {"max_reasons": 3},
            "Because you were interested in “Red mug”, “Green tea” and “Tea pot”.",
        ),
        (
            {"events": {"a": "purchase", "b": "view"}},
            "Because you bought “Red mug”, and you looked at “Green tea”.",
        ),
        (
            {"events": {"a": "purchase", "b": "purchase"}},
            "Because you bought “Red mug” and “Green tea”.",
        ),
        (
            {"events": {"a": "unheard of"}, "max_reasons": 1},
            "Because you were interested in “Red mug”.",
        ),
        ({"language": "zh"}, "因为您对“Red mug”和“Green tea”感兴趣。"),
        (
            {"language": "zh", "max_reasons": 3},
            "因为您对“Red mug”、“Green tea”和“Tea pot”感兴趣。",
        ),
        (
            {"language": "zh", "events": {"a": "purchase", "b": "cart"}},
            "因为您购买过“Red mug”，而且您把“Green tea”加入过购物车。",  # noqa: RUF001
        ),
    ],
)
def test_items_are_told_by_name(options, expected):
    assert sentence(BOUGHT, names=NAMES, **options) == expected


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("kind", "reason", "english", "chinese"),
    [
        (
            "word",
            "lunch",
            "things you were interested in also mention “lunch”",
            "您感兴趣的商品也提到“lunch”",
        ),
        (
            "attribute",
            "brand: Acme",
            "it shares “brand: Acme” with",
            "有共同点：“brand: Acme”",  # noqa: RUF001
        ),
        ("query", "red (description)", "you searched for “red”", "您搜索过“red”"),
        ("popularity", None, "it is popular", "它很受欢迎"),
        ("popularity", "segment-7", "it is popular", "它很受欢迎"),
        ("factors", None, "it fits your taste", "它符合您的口味"),
        ("neighbors", None, "it fits your taste", "它符合您的口味"),
        ("friend", "u17", "friends of yours chose it", "您的好友选择了它"),
        ("place", "3.0 km", "it is 3.0 km away", "它距离您3.0 km"),
    ],
)
def test_every_kind_of_reason_has_its_words(kind, reason, english, chinese, language):
    said = sentence(table((kind, reason, 1.0)), language=language)
    assert (english if language == "en" else chinese) in said
    assert "segment" not in said
    assert "u17" not in said


@pytest.mark.parametrize("kind", ["baseline", "update", "range", "part", "feature", "unheard of"])
def test_what_a_shopper_cannot_read_is_not_told(kind):
    assert sentence(table((kind, "the user", 5.0))) == "Recommended for you."
    assert sentence(table((kind, None, 5.0)), language="zh") == "为您推荐。"
    both = table((kind, None, 5.0), ("item", "a", 0.1))
    assert sentence(both, names=NAMES) == "Because you were interested in “Red mug”."


def test_what_speaks_against_an_item_is_no_reason():
    mixed = table(
        ("item", "a", -2.0), ("item", "b", 1.0), ("item", "c", 0.0), ("item", "d", np.nan)
    )
    assert (
        sentence(mixed, names=NAMES | {"d": "Jar"})
        == "Because you were interested in “Green tea”."
    )
    assert sentence(mixed.head(1), names=NAMES) == "Recommended for you."
    assert sentence(table(), names=NAMES) == "Recommended for you."


def test_one_reason_of_two_parts_counts_once_for_both():
    composed = table(
        ("item", "a", 1.0, "cf"),
        ("item", "b", 0.7, "cf"),
        ("item", "b", 0.6, "text"),
        ("item", "c", 2.0, "cf"),
        ("item", "c", -1.9, "text"),
    )
    assert sentence(composed, names=NAMES, max_reasons=3) == (
        "Because you were interested in “Green tea”, “Red mug” and “Tea pot”."
    )


# Ids are never shown


@pytest.mark.parametrize("names", [None, {}, {"a": None, "b": "", "c": " "}, {"a": float("nan")}])
def test_ids_without_a_name_are_not_shown(names):
    assert sentence(BOUGHT, names=names) == "Because it is like things you were interested in."
    assert sentence(BOUGHT, names=names, language="zh") == "因为它与您感兴趣的商品相似。"


def test_items_with_a_name_come_instead_of_those_without():
    assert sentence(BOUGHT, names={"c": "Tea pot"}) == "Because you were interested in “Tea pot”."


def test_ids_are_shown_to_those_who_ask():
    assert sentence(BOUGHT, names=str) == "Because you were interested in “a” and “b”."


def test_names_and_templates_are_not_filled_twice():
    tricky = {"a": "{reasons} {reason} %s", "b": r"\1"}
    expected = r"Because you were interested in “{reasons} {reason} %s” and “\1”."
    assert sentence(BOUGHT, names=tricky) == expected


# Where names come from

ITEMS = {"item_id": [3, 1, 2], "price": [1.0, 2.0, 3.0], "description": ["Pot", "Mug", None]}


@pytest.mark.parametrize(
    "names",
    [
        {3: "Pot", 1: "Mug"},
        pd.Series({3: "Pot", 1: "Mug", 2: None}),
        pd.DataFrame(ITEMS),
        pl.DataFrame(ITEMS),
        Catalog(pd.DataFrame(ITEMS)),
        {3: "Pot", 1: "Mug"}.get,
    ],
    ids=["dict", "series", "pandas", "polars", "catalog", "callable"],
)
def test_names_come_in_many_forms(names):
    told = table(("item", 2, 9.0), ("item", 1, 3.0), ("item", 3, 2.0), ("item", 99, 1.0))
    assert sentence(told, names=names) == "Because you were interested in “Mug” and “Pot”."


def test_titles_come_before_descriptions():
    items = pd.DataFrame(ITEMS).assign(title=["Pot 3", "Mug 1", "Jar 2"])
    assert "“Mug 1”" in sentence(table(("item", 1, 1.0)), names=items)


def test_table_without_names_is_refused():
    items = pd.DataFrame({"item_id": ["a"], "price": [1.0]})
    message = (
        r"names must have one of the columns title, name, description; got \['item_id', 'price'"
    )
    with pytest.raises(DataError, match=message):
        sentence(BOUGHT, names=items)


# Words of one's own


def test_templates_of_ones_own_replace_the_others():
    own = {"item": "you have {reasons}", "sentence": "We thought of you: {reasons}!"}
    assert sentence(BOUGHT, names=NAMES, templates=own, max_reasons=1) == (
        "We thought of you: you have “Red mug”!"
    )


def test_a_kind_is_silenced_by_none():
    popular = table(("popularity", None, 3.0), ("item", "a", 1.0))
    told = sentence(popular, names=NAMES, templates={"popularity": None})
    assert told == "Because you were interested in “Red mug”."
    assert sentence(BOUGHT, templates={"unnamed item": None}) == "Recommended for you."


def test_templates_give_new_kinds_and_events_words():
    told = table(("weather", "rain", 2.0), ("item", "a", 1.0))
    own = {"weather": "we expect {reasons}", "wish": "{reasons} is on your list"}
    assert sentence(told, names=NAMES, templates=own, events={"a": "wish"}) == (
        "Because we expect “rain”, and “Red mug” is on your list."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "de"}, r"language must be one of \['en', 'zh'\]; got 'de'. Pass templates="),
        ({"max_reasons": 0}, "max_reasons must be a positive integer; got 0"),
        ({"max_reasons": 1.5}, "max_reasons must be a positive integer; got 1.5"),
        ({"templates": {"item": 3}}, r"templates\['item'\] must be a text or None; got 3"),
        ({"templates": {"sentence": None}}, r"templates\['sentence'\] must be a text; got None"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sentence(BOUGHT, **options)


@pytest.mark.parametrize("bad", [3, None, pd.DataFrame({"kind": ["item"], "reason": ["a"]})])
def test_what_is_no_explanation_is_refused(bad):
    with pytest.raises(
        DataError, match="table must be what explain returns, with the columns kind"
    ):
        sentence(bad)


# With models


def test_ids_that_are_numbers_find_their_names_beside_a_baseline():
    ratings = pd.DataFrame(
        {
            "user_id": [1, 1, 1, 2, 2, 2, 3, 3],
            "item_id": [10, 20, 30, 10, 20, 40, 10, 40],
            "rating": [5.0, 4.0, 1.0, 5.0, 5.0, 5.0, 4.0, 5.0],
        }
    )
    model = ALS(4, feedback="explicit").fit(ratings)
    names = pd.DataFrame(
        {"item_id": [10, 20, 30, 40], "title": ["Ten", "Twenty", "Thirty", "Forty"]}
    )
    told = model.explain(1, 40)
    positive = set(told.loc[(told["kind"] == "item") & (told["contribution"] > 0), "reason"])
    said = sentence(told, names=names, max_reasons=9)
    assert positive
    for item, title in zip(names["item_id"], names["title"], strict=True):
        assert (f"“{title}”" in said) == (item in positive)


def test_a_search_is_told_with_the_words_that_were_typed():
    events = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["a", "b", "a", "c"]})
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "title": ["red mug", "tea", "red pot"]})
    model = PersonalSearch(recommender=ItemKNN(shrink=0)).fit(events, items=items)
    told = model.explain(1, "c", query="red pot")
    said = sentence(told, names=items, max_reasons=3)
    assert "you searched for “pot” and “red”" in said
