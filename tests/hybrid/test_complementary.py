"""What goes with a basket: known answers, and counts that stay exact."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec.data import Interactions
from ecomrec.exceptions import DataError
from ecomrec.hybrid import Complementary
from ecomrec.hybrid._baskets import UNIT, as_matrix

ITEMS = pd.DataFrame(
    {
        "item_id": ["mug", "cup", "tea", "pot", "chair", "odd"],
        "category": ["mugs", "mugs", "food", "kitchen", "garden", None],
        "kinds": [["a", "b"], ["a"], ["b"], ["c"], ["d"], None],
    }
)
ORDERS = {
    1: ["mug", "tea"],
    2: ["mug", "tea", "pot"],
    3: ["cup", "tea"],
    4: ["mug", "cup"],
    5: ["chair", "odd"],
    6: ["chair"],
}


def table(orders):
    return pd.DataFrame(
        [(user, item) for user, items in orders.items() for item in items],
        columns=["user_id", "item_id"],
    )


EVENTS = table(ORDERS)
PLAIN = {"shrink": 0.0, "history_damping": 1.0, "popularity_damping": 1.0, "basket_damping": 0.0}


def answer(model, *history, k=6):
    items, scores = model.recommend(history=[list(history)], k=k)
    pairs = zip(items[0].tolist(), scores[0].tolist(), strict=True)
    return {item: score for item, score in pairs if item is not None and score != 0}


def test_lift_is_that_of_the_formula():
    model = Complementary(**PLAIN).fit(EVENTS, items=ITEMS)
    # Six baskets; mug in 3, tea in 3, pot in 1; mug and tea in 2, mug and pot in 1.
    assert answer(model, "mug") == pytest.approx({"tea": 6 * 2 / 9, "pot": 6 * 1 / 3})
    confidence = Complementary(**PLAIN | {"popularity_damping": 0.0}).fit(EVENTS, items=ITEMS)
    assert answer(confidence, "mug") == pytest.approx({"tea": 2 / 3, "pot": 1 / 3})
    cosine = Complementary(**PLAIN | {"history_damping": 0.5, "popularity_damping": 0.5})
    assert answer(cosine.fit(EVENTS, items=ITEMS), "mug") == pytest.approx(
        {"tea": 2 / 3, "pot": 1 / np.sqrt(3)}
    )
    damped = Complementary(**PLAIN | {"shrink": 1.0}).fit(EVENTS, items=ITEMS)
    assert answer(damped, "mug") == pytest.approx({"tea": 2 / 3 * 12 / 9, "pot": 1 / 2 * 2})


def test_large_baskets_say_less_of_each_pair():
    model = Complementary(**PLAIN | {"basket_damping": 1.0}).fit(EVENTS, items=ITEMS)
    total, mug, tea = 4 / 2 + 1 / 3 + 1, 2 / 2 + 1 / 3, 2 / 2 + 1 / 3
    expected = total * (1 / 2 + 1 / 3) / (mug * tea)
    assert answer(model, "mug")["tea"] == pytest.approx(expected, rel=1e-5)


def test_only_other_categories_are_recommended():
    basket = Complementary("basket", **PLAIN).fit(EVENTS, items=ITEMS)
    assert set(answer(basket, "mug")) == {"tea", "pot"}
    assert set(answer(basket, "mug", "tea")) == {"pot"}
    # The tea calls for cups, whatever else is in the basket.
    orders = table(ORDERS | {7: ["cup", "tea"]})
    pair = Complementary("pair", **PLAIN).fit(orders, items=ITEMS)
    assert set(answer(pair, "mug", "tea")) == {"pot", "cup"}
    everything = Complementary("none", **PLAIN).fit(EVENTS, items=ITEMS)
    assert "odd" in answer(everything, "chair")
    lists = Complementary("pair", column="kinds", **PLAIN).fit(orders, items=ITEMS)
    # A mug is of the kinds a and b, tea of b: one in common is enough.
    assert set(answer(lists, "mug")) == {"pot"}
    assert set(answer(lists, "cup")) == {"tea"}


def test_items_without_a_label_speak_and_are_not_recommended():
    model = Complementary("basket", **PLAIN).fit(EVENTS, items=ITEMS)
    assert set(answer(model, "odd")) == {"chair"}
    assert answer(model, "chair") == {}


def test_pauses_cut_baskets():
    start = pd.Timestamp("2026-01-01")
    events = pd.DataFrame(
        {
            "user_id": [1] * 4,
            "item_id": ["mug", "tea", "pot", "chair"],
            "timestamp": [start + pd.Timedelta(minutes=m) for m in (0, 50, 100, 300)],
        }
    )
    hour = Complementary().fit(events, items=ITEMS)
    assert hour.n_baskets_ == 2
    assert Complementary(window=None).fit(events, items=ITEMS).n_baskets_ == 1
    assert Complementary(window="10min").fit(events, items=ITEMS).n_baskets_ == 4
    # What held a basket together is gone.
    hour.forget(items=["tea"])
    assert hour.n_baskets_ == 3
    wholesale = Complementary(window=None, max_basket=3).fit(events, items=ITEMS)
    assert wholesale.n_baskets_ == 0
    assert answer(wholesale, "mug") == {}


def test_history_is_explained_by_its_items():
    model = Complementary("pair", **PLAIN).fit(EVENTS, items=ITEMS)
    reasons = model.explain(history=["mug", "cup"], item="tea")
    assert dict(zip(reasons["reason"], reasons["contribution"], strict=True)) == pytest.approx(
        {"mug": 12 / 9, "cup": 6 / 6}
    ) or set(reasons["reason"]) == {"mug"}
    assert reasons["contribution"].sum() == pytest.approx(answer(model, "mug", "cup")["tea"])
    nothing = Complementary("basket", **PLAIN).fit(EVENTS, items=ITEMS)
    assert nothing.explain(history=["mug", "cup"], item="cup").empty


def test_similar_items_are_complements():
    model = Complementary(**PLAIN).fit(EVENTS, items=ITEMS)
    found = model.similar_items(["mug"], k=3)
    assert found.items[0].tolist() == ["pot", "tea", None]


@given(st.data())
def test_counts_stay_exact(data):
    pairs = st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3))
    rows = data.draw(st.lists(pairs, min_size=2, max_size=30))
    cut = data.draw(st.integers(1, len(rows) - 1))
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "hour"])
    events["timestamp"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(events.pop("hour"), "h")
    items = pd.DataFrame({"item_id": range(6), "category": [0, 0, 1, 1, 2, None]})
    model = Complementary(window="90min", basket_damping=0.5)
    grown = model.fit(events.iloc[:cut], items=items).partial_fit(events.iloc[cut:])
    gone = data.draw(st.sets(st.sampled_from(sorted(set(events["user_id"])))))
    gone_items = data.draw(st.sets(st.integers(0, 5), max_size=2))
    left = events[~events["user_id"].isin(gone) & ~events["item_id"].isin(gone_items)]
    if len(left):
        grown.forget(users=sorted(gone), items=sorted(gone_items))
        listed = items[~items["item_id"].isin(gone_items)]
    else:
        left, listed = events, items
    whole = Complementary(window="90min", basket_damping=0.5).fit(left, items=listed)
    place = grown._state.interactions.items.rows(whole.item_ids_)
    n = len(place)
    one, other = whole._state.learned, grown._state.learned
    assert one.totals.tolist() == other.totals.tolist()
    assert one.counts.tolist() == other.counts[place].tolist()
    mine = as_matrix(one.together, np.arange(n), n).toarray()
    theirs = as_matrix(other.together, place, n).toarray()[:, place]
    assert mine.tolist() == theirs.tolist()
    assert (as_matrix(other.together, np.arange(n), n).data > 0).all()


def test_weights_of_baskets_do_not_overflow():
    assert 2**62 * UNIT > 1e12


def test_tables_without_the_column_are_refused():
    with pytest.raises(DataError, match="column 'category', which the items table lacks"):
        Complementary().fit(EVENTS, items=ITEMS[["item_id"]])
    with pytest.raises(DataError, match=r"fit\(events, items=catalog\)"):
        Complementary().fit(EVENTS)
    with pytest.warns(UserWarning, match="Complementary learns from what the items are"):
        plain = Complementary().fit(np.eye(3))
    assert np.isfinite(plain.recommend([0], k=2).scores).all()


def test_interactions_and_tables_give_the_same():
    shop = Interactions.from_table(EVENTS)
    one = Complementary().fit(shop, items=ITEMS)
    other = Complementary().fit(EVENTS, items=ITEMS)
    assert answer(one, "mug") == answer(other, "mug")
