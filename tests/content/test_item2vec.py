"""What Item2Vec alone promises: the matrix of its paper, contexts, new items, quality."""

import numpy as np
import pandas as pd
import pytest

from ecomrec.cf import Popularity
from ecomrec.content import Item2Vec
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail, make_shop
from ecomrec.evaluation import train_test_split

RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(0, 2, size=(30, 12)) * RNG.integers(1, 4, size=(30, 12)) * 1.0


def unit(rows):
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def pmi_of(counts, smoothing, shift):
    shares = counts.sum(axis=0) ** smoothing
    with np.errstate(divide="ignore"):
        pmi = np.log(counts / counts.sum(axis=1, keepdims=True) / (shares / shares.sum()))
    return np.maximum(pmi - np.log(shift), 0)


def events_of(histories, start="2026-01-01"):
    rows = [(user, item, place) for user, h in histories.items() for place, item in enumerate(h)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    return table.assign(timestamp=pd.Timestamp(start) + pd.to_timedelta(table["timestamp"], "D"))


@pytest.mark.parametrize(("smoothing", "shift"), [(1.0, 1.0), (0.75, 1.1)])
def test_scores_equal_the_equation(smoothing, shift):
    has = (WEIGHTS > 0) * 1.0
    counts = has.T @ (has / np.maximum(has.sum(axis=1, keepdims=True) - 1, 1))
    np.fill_diagonal(counts, 0)
    left, values, _ = np.linalg.svd(pmi_of(counts, smoothing, shift))
    vectors = unit(left * np.sqrt(values))
    n = has.sum(axis=0)
    profiles = WEIGHTS @ vectors / WEIGHTS.sum(axis=1, keepdims=True)
    expected = profiles @ vectors.T * n**0.3
    model = Item2Vec(12, smoothing=smoothing, shift=shift, popularity=0.3).fit(WEIGHTS)
    found = model.user_factors_ @ model.item_factors_.T
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_nearer_of_a_window_count_more():
    events = events_of({"a": "xyzw", "b": "zx", "c": "wy"})
    model = Item2Vec(4, window=2, popularity=0.0).fit(events)
    counts = np.zeros((4, 4))
    at = {item: row for row, item in enumerate("wxyz")}
    for one, other, share in (
        ("x", "y", 1.0), ("y", "z", 1.0), ("z", "w", 1.0), ("x", "z", 0.5), ("y", "w", 0.5),
        ("z", "x", 1.0), ("w", "y", 1.0),
    ):  # fmt: skip
        counts[at[one], at[other]] += share
        counts[at[other], at[one]] += share
    left, values, _ = np.linalg.svd(pmi_of(counts, 1.0, 1.0))
    kept = values > 1e-6
    vectors = unit(left[:, kept] * np.sqrt(values[kept]))
    alike = model.item_factors_ @ model.item_factors_.T
    np.testing.assert_allclose(alike, vectors @ vectors.T, atol=1e-4)


def test_without_a_window_the_order_does_not_matter():
    histories = {"a": "xyzw", "b": "zxv", "c": "wyv"}
    turned = {user: history[::-1] for user, history in histories.items()}
    for params in ({}, {"method": "sgns"}):
        one, other = (Item2Vec(3, **params).fit(events_of(h)) for h in (histories, turned))
        np.testing.assert_array_equal(one.item_factors_, other.item_factors_)
    one, other = (Item2Vec(3, window=1).fit(events_of(h)) for h in (histories, turned))
    assert np.abs(one.item_factors_).sum() == pytest.approx(np.abs(other.item_factors_).sum())


@pytest.mark.parametrize("method", ["sppmi", "sgns"])
@pytest.mark.parametrize("window", [None, 3])
def test_items_of_one_taste_are_alike(method, window):
    shop = make_shop(400, 60, 8000, n_groups=4, random_state=0)
    model = Item2Vec(16, method=method, window=window, max_iter=3).fit(shop.events)
    rows = np.searchsorted(shop.items["item_id"], model.item_ids_)
    group = shop.item_group[rows]
    directions = unit(model.item_factors_)
    alike = directions @ directions.T
    same = group[:, None] == group
    np.fill_diagonal(same, False)
    other = group[:, None] != group
    assert alike[same].mean() > alike[other].mean() + 0.2


def test_a_new_item_gets_the_vector_of_its_row():
    shop = make_shop(300, 40, 5000, n_groups=4, random_state=0).events
    late = shop["item_id"].max()
    model = Item2Vec(64, popularity=0.0).fit(shop[shop["item_id"] != late])
    model.partial_fit(shop[shop["item_id"] == late])
    row = model.item_ids_.tolist().index(late)
    whole = Item2Vec(64, popularity=0.0).fit(shop)
    order = [whole.item_ids_.tolist().index(item) for item in model.item_ids_]
    here = model.item_factors_ @ model.item_factors_[row]
    there = (whole.item_factors_ @ whole.item_factors_[order[row]])[order]
    others = np.arange(len(order)) != row
    assert np.corrcoef(here[others], there[others])[0, 1] > 0.9


@pytest.mark.parametrize("method", ["sppmi", "sgns"])
@pytest.mark.parametrize("window", [None, 2])
def test_new_items_do_not_depend_on_how_events_were_batched(method, window):
    shop = make_shop(60, 30, 900, columns=("user_id", "item_id", "timestamp"), random_state=1)
    events = shop.events.sort_values("timestamp")
    known = sorted(set(events["item_id"]))[:20]
    first, later = (events[events["item_id"].isin(known) == old] for old in (True, False))
    params = {"n_factors": 4, "method": method, "window": window, "max_iter": 1}
    one = Item2Vec(**params).fit(first).partial_fit(later)
    other = Item2Vec(**params).fit(first)
    for start in range(0, len(later), 7):
        other.partial_fit(later.iloc[start : start + 7])
    assert later["item_id"].nunique() > 5
    users = one.user_ids_
    row = [one.item_ids_.tolist().index(item) for item in other.item_ids_]
    np.testing.assert_allclose(one.item_factors_[row], other.item_factors_, rtol=1e-5, atol=1e-6)
    found = other.recommend(users, k=5).scores
    np.testing.assert_allclose(one.recommend(users, k=5).scores, found, rtol=1e-4, atol=1e-6)


def test_a_window_may_be_longer_than_the_log():
    events = pd.DataFrame({"user_id": ["a", "a"], "item_id": ["x", "y"]})
    one, other = (Item2Vec(2, window=window).fit(events) for window in (1, 50))
    np.testing.assert_allclose(one.item_factors_, other.item_factors_)


def test_an_item_that_stands_alone_has_no_vector():
    events = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "z"]})
    model = Item2Vec(2).fit(events)
    assert model.item_factors_.any(axis=1).tolist() == [True, True, False]
    items, scores = model.recommend(["b"], k=2)
    assert items[0].tolist() == ["x", "y"]
    assert scores[0].tolist() == [0, 0]
    model.partial_fit(pd.DataFrame({"user_id": ["b"], "item_id": ["x"]}))
    assert model.item_factors_.any(axis=1).all()


def test_vectors_that_grow_without_bound_are_named():
    with pytest.raises(FloatingPointError, match="grew without bound with learning_rate=1e"):
        Item2Vec(4, method="sgns", learning_rate=1e30).fit(WEIGHTS)


def test_on_the_shop_it_beats_popularity():
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(load_online_retail().events)
    train, test = train_test_split(events)
    floor = Popularity().fit(train).score(test)
    assert Item2Vec().fit(train).score(test) > floor + 0.02
