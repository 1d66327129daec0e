"""Rerankers on any result: known answers, what always holds, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ecomrec.base import Recommendations
from ecomrec.cf import Popularity
from ecomrec.content import Catalog
from ecomrec.exceptions import DataError
from ecomrec.hybrid import (
    DPP,
    MMR,
    BusinessRules,
    Calibrated,
    CategoryCap,
    ExposureFairness,
)
from ecomrec.testing import twins_greedy

ITEMS = pd.DataFrame(
    {
        "item_id": [f"i{n}" for n in range(8)],
        "title": [
            "red mug",
            "blue mug",
            "red cup",
            "tea",
            "green tea",
            "chair",
            None,
            "red chair",
        ],
        "category": ["mug", "mug", "mug", "food", "food", "garden", None, "garden"],
        "genres": [["a", "b"], ["a"], ["b"], ["b", "c"], [], None, ["a", "c"], ["c"]],
        "seller": ["big", "big", "big", "big", "small", "small", "small", None],
        "price": [5.0, 6.0, 7.0, 2.0, 3.0, 50.0, np.nan, 40.0],
        "margin": [0.1, 0.5, 0.2, 0.9, 0.1, 0.3, np.nan, 0.4],
    }
)
EVENTS = pd.DataFrame(
    {
        "user_id": ["u0", "u0", "u0", "u1", "u1", "u2"],
        "item_id": ["i0", "i1", "i3", "i3", "i4", "i6"],
    }
)


def lists(*rows, keys=None):
    """Recommendations of some items, scores 1, 1/2, 1/3 and so on; None ends a row."""
    width = max(len(row) for row in rows)
    items = np.full((len(rows), width), None, dtype=object)
    scores = np.full((len(rows), width), np.nan, dtype=np.float32)
    for at, row in enumerate(rows):
        items[at, : len(row)] = row
        scores[at, : len(row)] = 1 / np.arange(1, len(row) + 1)
    return Recommendations(
        items, scores, [f"u{n}" for n in range(len(rows))] if keys is None else keys
    )


def some(n=8):
    return lists([f"i{k}" for k in range(n)])


ALL = {
    "MMR": MMR(0.5).fit(items=ITEMS),
    "MMR events": MMR(0.5).fit(EVENTS),
    "DPP": DPP(0.5).fit(items=ITEMS),
    "Calibrated": Calibrated(column="genres").fit(EVENTS, items=ITEMS),
    "CategoryCap": CategoryCap(1).fit(items=ITEMS),
    "CategoryCap window": CategoryCap(1, window=2, strict=True).fit(items=ITEMS),
    "BusinessRules": BusinessRules(
        pin={"i2": 1, "i5": 3},
        boost=[({"category": "food"}, 0.3)],
        scale=[(["i1"], 0.5)],
        bury=[{"price": (40, None)}],
        margin="margin",
    ).fit(items=ITEMS),
    "BusinessRules budget": BusinessRules(budget=12, spend="together").fit(items=ITEMS),
    "ExposureFairness": ExposureFairness().fit(items=ITEMS),
}


# ---------------------------------------------------------------------- what always holds


@pytest.mark.parametrize("name", ALL)
@given(data=st.data(), k=st.integers(1, 12))
def test_lists_keep_every_promise(name, data, k):
    ids = st.sampled_from([f"i{n}" for n in range(8)] + ["new", "other"])
    rows = data.draw(
        st.lists(st.lists(ids, max_size=9, unique=True), min_size=1, max_size=3), label="rows"
    )
    if not any(rows):
        rows = [["i0"]]
    recs = lists(*rows)
    kind = data.draw(st.sampled_from(["falling", "constant", "huge", "infinite"]))
    present = ~np.isnan(recs.scores)
    if kind == "constant":
        recs.scores[present] = 3.0
    elif kind == "huge":
        recs.scores[present] *= np.float32(1e38)
    elif kind == "infinite":
        recs.scores[:, 0][present[:, 0]] = np.inf
    before = recs.items.copy(), recs.scores.copy()
    answer = ALL[name].rerank(recs, k)
    assert np.array_equal(recs.items, before[0])
    assert np.array_equal(recs.scores, before[1], equal_nan=True)
    assert answer is not recs
    assert list(answer.keys) == list(recs.keys)
    assert answer.items.shape == answer.scores.shape == (len(rows), k)
    assert answer.scores.dtype == np.float32
    short = name in ("CategoryCap window", "BusinessRules budget")
    for given_row, row, scores in zip(rows, answer.items, answer.scores, strict=True):
        empty = np.isnan(scores)
        n = int((~empty).sum())
        assert not empty[:n].any()
        assert all(item is None for item in row[n:])
        shown = row[:n].tolist()
        assert set(shown) <= set(given_row)
        assert len(set(shown)) == n
        assert n == min(k, len(given_row)) or (short and n <= len(given_row))
        assert (np.diff(scores[:n]) <= 0).all() or kind == "infinite"
    shorter = ALL[name].rerank(recs, 1)
    assert shorter.items[:, 0].tolist() == answer.items[:, 0].tolist()


@pytest.mark.parametrize("name", ALL)
def test_integer_ids_end_in_minus_one(name):
    table = ITEMS.assign(item_id=range(10, 18))
    events = EVENTS.assign(item_id=[10, 11, 13, 13, 14, 16], user_id=[0, 0, 0, 1, 1, 2])
    step = clone(ALL[name])
    if isinstance(step, BusinessRules):
        step.set_params(pin={12: 1}, scale=None)
    step.fit(events, items=None if name == "MMR events" else table)
    recs = Recommendations(np.array([[10, 12, -1]]), np.array([[2.0, 1.0, np.nan]]), [0])
    answer = step.rerank(recs, k=4)
    assert answer.items.dtype == np.int64
    assert answer.items[0, 2:].tolist() == [-1, -1]
    with pytest.raises(DataError, match=r"item_id is str in the lists and int where the"):
        step.rerank(some(), k=4)


@pytest.mark.parametrize("name", ALL)
def test_repeated_items_come_once(name):
    recs = lists(["i0", "i0", "i1", "i0"])
    shown = [item for item in ALL[name].rerank(recs, k=4).items[0] if item is not None]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("name", ALL)
def test_empty_results_stay_empty(name):
    for recs in (lists([], []), Recommendations(np.empty((0, 3), object), np.empty((0, 3)), [])):
        answer = ALL[name].rerank(recs, k=2)
        assert answer.items.shape == (len(recs), 2)
        assert np.isnan(answer.scores).all()


@pytest.mark.parametrize("name", ALL)
def test_parameters_stay_and_clones_know_nothing(name):
    step = clone(ALL[name])
    params = repr(step.get_params())
    assert not step.__sklearn_is_fitted__()
    step.fit(EVENTS, items=None if name == "MMR events" else ITEMS).rerank(some())
    assert repr(step.get_params()) == params
    with pytest.raises(TypeError, match="rerank takes Recommendations"):
        step.rerank([["i1"]])
    with pytest.raises(ValueError, match="k must be a positive integer; got 0"):
        step.rerank(some(), 0)
    with pytest.raises(DataError, match="as many rows of items, of scores and of keys"):
        step.rerank(Recommendations(np.empty((2, 3), object), np.empty((2, 2)), ["a", "b"]))


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (MMR(), "It needs fit"),
        (DPP(similarity="events"), r"It needs fit\(events\)"),
        (Calibrated(), "It needs fit"),
        (CategoryCap(), r"It needs fit\(items=catalog\)"),
        (ExposureFairness(), r"It needs fit\(items=catalog\)"),
        (BusinessRules(budget=3), r"It needs fit\(items=catalog\)"),
        (BusinessRules(bury=[{"category": "mug"}]), r"It needs fit\(items=catalog\)"),
    ],
)
def test_unfitted_rerankers_say_what_they_need(step, match):
    with pytest.raises(NotFittedError, match=match):
        step.rerank(some())


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (MMR(trade_off=1.5), "MMR: trade_off must be a finite number"),
        (DPP(fields={"title": 0}), "DPP: fields must be None or a dict"),
        (MMR(similarity="events", fields={"title": 1}), "Leave one of them out"),
        (Calibrated(smoothing=0), "Calibrated: smoothing must be"),
        (CategoryCap(0), "CategoryCap: limit must be an integer of at least 1"),
        (CategoryCap(window=1), "CategoryCap: window must be"),
        (ExposureFairness({"a": 0.7, "b": 0.7}), "add up to at most 1"),
        (BusinessRules(pin={"i1": 0}), "BusinessRules: pin must be"),
        (BusinessRules(boost=[("i1", 2)]), "BusinessRules: boost must be"),
        (BusinessRules(budget=-1), "BusinessRules: budget must be"),
    ],
)
def test_bad_parameters_are_named_when_used(step, match):
    with pytest.raises(ValueError, match=match):
        step.fit(items=ITEMS)
    with pytest.raises(ValueError, match=match):
        step.rerank(some())


@pytest.mark.parametrize("step", [Calibrated(), CategoryCap(), ExposureFairness()])
def test_missing_columns_are_named(step):
    name = step.column
    with pytest.raises(DataError, match=f"reads the column '{name}' of the items table"):
        clone(step).fit(EVENTS)
    with pytest.raises(DataError, match=f"column '{name}', which the items table lacks"):
        clone(step).fit(items=ITEMS[["item_id", "price"]])
    with pytest.raises(DataError, match=r"groups are str, numbers"):
        clone(step).fit(items=pd.DataFrame({"item_id": [1], name: [{"a": 1}]}))


# ---------------------------------------------------------------------- spreading out


def test_mmr_equals_the_formula_on_given_vectors():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(8, 16))
    recs = some()
    step = MMR(0.4).fit(vectors=(ITEMS["item_id"], vectors))
    answer = step.rerank(recs, 5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    low, high = recs.scores.min(), recs.scores.max()
    relevance = ((recs.scores - low) / (high - low))[0].astype(float)
    chosen, gains = twins_greedy.mmr(relevance, unit @ unit.T, 5, 0.4)
    assert answer.items[0].tolist() == [f"i{at}" for at in chosen]
    np.testing.assert_allclose(answer.scores[0], gains, rtol=1e-5)
    sparse = MMR(0.4).fit(vectors=(ITEMS["item_id"], sp.csr_array(vectors))).rerank(recs, 5)
    assert sparse.items.tolist() == answer.items.tolist()


@pytest.mark.parametrize("step", [MMR(1.0), DPP(1.0)])
def test_relevance_alone_keeps_the_order(step):
    recs = lists([f"i{n}" for n in (3, 1, 4, 0, 5)], ["i2", "i7"])
    step.fit(items=ITEMS)
    assert step.rerank(recs, 5).items.tolist() == recs.items.tolist()
    recs.scores[~np.isnan(recs.scores)] = 0.0
    assert step.rerank(recs, 5).items.tolist() == recs.items.tolist()


@pytest.mark.parametrize("step", [MMR(0.5), DPP(0.5)])
def test_twins_are_kept_apart(step):
    vectors = {"i0": [1, 0, 0], "i1": [2, 0, 0], "i2": [0, 1, 0], "i3": [0, 0, 0]}
    step.fit(vectors=(list(vectors), list(vectors.values())))
    recs = lists(["i0", "i1", "i2", "i3", "stranger"])
    recs.scores[0] = [1.0, 0.9, 0.8, 0.7, 0.6]
    # A twin comes last; zeros and strangers are unlike everything.
    assert step.rerank(recs, 5).items[0].tolist() == ["i0", "i2", "i3", "stranger", "i1"]
    alike = step.fit(vectors=(list(vectors), np.ones((4, 2)))).rerank(recs, 4)
    assert alike.items[0, :2].tolist() == ["i0", "stranger"]


def test_texts_labels_and_events_say_what_is_alike():
    recs = lists(["i0", "i1", "i4"])
    recs.scores[0] = [1.0, 0.9, 0.8]
    for step in (
        MMR(0.3).fit(items=ITEMS),
        MMR(0.3, fields={"title": 1.0}).fit(items=Catalog(ITEMS)),
        MMR(0.3, fields={"category": 1.0}).fit(items=ITEMS),
        MMR(0.3, similarity="events").fit(EVENTS, items=ITEMS),
        MMR(0.3).fit(EVENTS),
        MMR(0.3).fit(np.array([[1, 1, 0], [0, 0, 1]])),
    ):
        given_recs = recs
        if step._known.items.kind == "int":
            given_recs = Recommendations(np.array([[0, 1, 2]]), recs.scores, ["u0"])
        shown = step.rerank(given_recs, 3).items[0].tolist()
        assert shown in (["i0", "i4", "i1"], [0, 2, 1])


def test_factors_of_a_fitted_model_can_be_given():
    from ecomrec.cf import ALS

    model = ALS(4, random_state=0).fit(EVENTS)
    recs = model.recommend(["u2"], k=4)
    step = DPP(similarity="factors").fit(vectors=(model.item_ids_, model.item_factors_))
    shown = step.rerank(recs, 4)
    assert sorted(filter(None, shown.items[0])) == sorted(filter(None, recs.items[0]))
    with pytest.raises(DataError, match="needs to know what makes items alike"):
        DPP(similarity="items").fit(vectors=(model.item_ids_, model.item_factors_))


@pytest.mark.parametrize(
    ("given_args", "error", "match"),
    [
        ({}, DataError, "needs to know what makes items alike"),
        ({"vectors": np.eye(2)[0]}, TypeError, "vectors must be"),
        ({"vectors": (["a"], np.eye(2))}, DataError, "a row for each of the 1 ids"),
        ({"vectors": (["a", "a"], np.eye(2))}, DataError, "name an item twice"),
        ({"vectors": (["a", "b"], [[1, np.nan]] * 2)}, DataError, "NaN or infinity"),
        ({"vectors": (["a", "b"], [["x"], ["y"]])}, DataError, "must hold numbers"),
        ({"vectors": (["a"], [[1.0]]), "items": ITEMS}, ValueError, "give vectors, or events"),
        ({"items": ITEMS[["item_id", "price"]]}, DataError, "Got nothing that it can read"),
    ],
)
def test_wrong_vectors_are_named(given_args, error, match):
    with pytest.raises(error, match=match):
        MMR().fit(**given_args)


def test_wrong_fields_are_named():
    with pytest.raises(DataError, match=r"fields names the columns \['name'\]"):
        MMR(fields={"name": 1}).fit(items=ITEMS)
    with pytest.raises(DataError, match="'price' holds numbers"):
        DPP(fields={"price": 1}).fit(items=ITEMS)
    with pytest.raises(DataError, match="found none of the columns"):
        DPP(similarity="items").fit(items=ITEMS[["item_id", "price"]])


# ---------------------------------------------------------------------- calibration


def test_mix_comes_near_that_of_the_history():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"item_id": range(60), "category": np.repeat(["a", "b", "c"], 20)})
    recs = Recommendations(np.arange(60)[None], -np.sort(-rng.random((1, 60))), [0])
    step = Calibrated(0.1).fit(items=table)
    shown = step.rerank(recs, 10, history=[[0, 1, 2, 3, 4, 5, 20, 21, 22, 40]]).items[0]
    counts = pd.Series(np.repeat(["a", "b", "c"], 20)[shown]).value_counts().to_dict()
    assert counts == {"a": 6, "b": 3, "c": 1}


def test_calibration_minimizes_the_papers_divergence_among_lists_of_one_length():
    # At every length the gain ranks candidates as trade_off * sum - (1 - trade_off) * KL does.
    target = np.array([0.5, 0.3, 0.2])
    labels = np.array([0, 0, 0, 1, 1, 2])
    table = pd.DataFrame({"item_id": range(6), "category": labels})
    relevance = np.array([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
    history = [[0] * 1 + [1, 2] + [3] + [5]]

    def divergence(chosen):
        mix = 0.1 * wanted + np.bincount(labels[chosen], minlength=3)
        mix = mix / (0.1 + len(chosen))
        return float((wanted * np.log(wanted / mix)).sum())

    wanted = np.bincount(labels[history[0]], minlength=3) / len(history[0])
    assert target.sum() == wanted.sum() == 1
    chosen = []
    for _ in range(4):
        left = [at for at in range(6) if at not in chosen]
        n = len(chosen) + 1
        # The surrogate drops the logarithm of the length, which is the same for all.
        worth = [
            0.4 * relevance[[*chosen, at]].sum() - 0.6 * divergence([*chosen, at]) for at in left
        ]
        chosen.append(left[int(np.argmax(worth))])
        assert len(chosen) == n
    recs = Recommendations(np.arange(6)[None], relevance[None], [0])
    shown = Calibrated(0.4).fit(items=table).rerank(recs, 4, history=history)
    assert shown.items[0].tolist() == chosen


def test_histories_come_from_the_events_by_user():
    recs = lists(["i0", "i1", "i2", "i3"], ["i0", "i1", "i2", "i3"], keys=["u0", "nobody"])
    fitted = Calibrated(0.0).fit(EVENTS, items=ITEMS)
    shown = fitted.rerank(recs, 4)
    # u0 has two mugs and a tea; of a stranger nothing is known, and the order stays.
    assert shown.items[0, :2].tolist() == ["i0", "i3"]
    assert shown.items[1].tolist() == ["i0", "i1", "i2", "i3"]
    model = Popularity().fit(EVENTS)
    visits = model.recommend(history=[["i0"]], k=3)
    with pytest.raises(DataError, match="pass history, a list of item ids"):
        fitted.rerank(visits)
    with pytest.raises(DataError, match="history has 1 rows for 2 lists"):
        fitted.rerank(recs, history=[["i0"]])
    with pytest.raises(DataError, match="history must be a list of sequences"):
        fitted.rerank(recs, history="i0")
    with pytest.raises(DataError, match="pass history"):
        Calibrated().fit(items=ITEMS).rerank(recs)


def test_item_of_several_categories_counts_in_equal_shares():
    recs = lists(["i0", "i1", "i2"])
    fitted = Calibrated(0.0, column="genres").fit(items=ITEMS)
    # i0 is half a, half b, which is what a history of i1 (a) and i2 (b) has.
    assert fitted.rerank(recs, 1, history=[["i1", "i2"]]).items[0, 0] == "i0"
    assert fitted.rerank(recs, 1, history=[["i1"]]).items[0, 0] == "i1"


# ---------------------------------------------------------------------- caps


def test_cap_holds_in_the_whole_list_and_in_windows():
    recs = some(6)
    capped = CategoryCap(2).fit(items=ITEMS).rerank(recs, 6)
    assert capped.items[0].tolist() == ["i0", "i1", "i3", "i4", "i5", "i2"]
    assert capped.scores[0].tolist() == pytest.approx([1, 1 / 2, 1 / 4, 1 / 5, 1 / 6, 1 / 6])
    strict = CategoryCap(1, strict=True).fit(items=ITEMS).rerank(recs, 6)
    assert strict.items[0].tolist() == ["i0", "i3", "i5", None, None, None]
    window = CategoryCap(1, window=2).fit(items=ITEMS).rerank(recs, 6)
    assert window.items[0].tolist() == ["i0", "i3", "i1", "i4", "i2", "i5"]


def test_items_without_a_label_are_never_held_back():
    recs = lists(["i6", "stranger", "i0", "i1"])
    shown = CategoryCap(1, strict=True).fit(items=ITEMS).rerank(recs, 4)
    assert shown.items[0].tolist() == ["i6", "stranger", "i0", None]


# ---------------------------------------------------------------------- rules


def test_pins_stand_at_their_places():
    recs = some(5)
    pinned = BusinessRules(pin={"i3": 1, "i4": 3, "gone": 2}).rerank(recs, 5)
    assert pinned.items[0].tolist() == ["i3", "i0", "i4", "i1", "i2"]
    # At the top the best score of the row, elsewhere that of the item above.
    assert pinned.scores[0].tolist() == pytest.approx([1, 1, 1, 1 / 2, 1 / 3])
    assert BusinessRules(pin=["i2", "i1"]).rerank(recs, 3).items[0].tolist() == ["i2", "i1", "i0"]
    both = BusinessRules(pin={"i3": 2, "i4": 2}).rerank(recs, 4)
    assert both.items[0].tolist() == ["i0", "i3", "i4", "i1"]
    late = BusinessRules(pin={"i0": 99}).rerank(recs, 5)
    assert late.items[0].tolist() == ["i1", "i2", "i3", "i4", "i0"]


def test_boosts_and_factors_change_the_relevance():
    recs = lists(["i0", "i1", "i3", "i4"])
    recs.scores[0] = [1.0, 0.75, 0.5, 0.0]
    rules = BusinessRules(
        boost=[({"category": "food"}, 0.3), (["i1"], -0.5)],
        scale=[({"category": ["mug", "garden"], "price": (None, 5)}, 0.5)],
    ).fit(items=ITEMS)
    shown = rules.rerank(recs, 4)
    assert shown.items[0].tolist() == ["i3", "i0", "i4", "i1"]
    assert shown.scores[0].tolist() == pytest.approx([0.8, 0.5, 0.3, 0.25])


def test_buried_items_come_last():
    shown = BusinessRules(bury=[["i0"], {"category": "food"}]).fit(items=ITEMS).rerank(some(5), 5)
    assert shown.items[0].tolist() == ["i1", "i2", "i0", "i3", "i4"]
    assert (np.diff(shown.scores[0]) <= 0).all()


def test_margins_are_blended_with_relevance():
    recs = lists(["i0", "i1", "i3", "i6"])
    recs.scores[0] = [1.0, 0.9, 0.5, 0.0]
    shown = BusinessRules(margin="margin", margin_weight=0.5).fit(items=ITEMS).rerank(recs, 4)
    # Margins 0.1, 0.5, 0.9 and none: 0, 0.5, 1 and 0 of the way.
    assert shown.items[0].tolist() == ["i3", "i1", "i0", "i6"]
    assert shown.scores[0].tolist() == pytest.approx([0.75, 0.7, 0.5, 0.0])


def test_budgets_limit_each_item_or_all_together():
    each = BusinessRules(budget=6).fit(items=ITEMS).rerank(some(8), 8)
    assert [item for item in each.items[0] if item] == ["i0", "i1", "i3", "i4"]
    together = BusinessRules(budget=10, spend="together").fit(items=ITEMS).rerank(some(8), 8)
    assert [item for item in together.items[0] if item] == ["i0", "i3", "i4"]
    recs = lists(["i0", "i5"], ["i0", "i5"], ["i0", "i5"])
    rows = BusinessRules().fit(items=ITEMS).rerank(recs, 2, budgets=[0, 50, np.nan])
    assert rows.items.tolist() == [[None, None], ["i0", "i5"], ["i0", "i5"]]
    for bad, match in (([1], "one number of at least 0"), (["x"] * 3, "must be numbers")):
        with pytest.raises(DataError, match=match):
            BusinessRules().fit(items=ITEMS).rerank(recs, budgets=bad)
    with pytest.raises(DataError, match="with -1"):
        BusinessRules().fit(items=ITEMS).rerank(recs, budgets=[-1, 2, 3])
    with pytest.raises(NotFittedError, match="the column 'price'"):
        BusinessRules().rerank(recs, budgets=[1, 2, 3])


def test_prices_that_are_texts_do_not_matter_without_a_budget():
    texts = ITEMS.assign(price=[f"EUR {n}" for n in range(8)])
    assert BusinessRules(bury=[["i0"]]).fit(items=texts).rerank(some(2)).items[0, 0] == "i1"
    with pytest.raises(DataError, match="it must be a number"):
        BusinessRules(budget=3).fit(items=texts)


def test_budgets_without_any_price_are_no_lack_of_a_fit():
    for items in (ITEMS.assign(price=np.nan), ITEMS.drop(columns="price"), None):
        rules = BusinessRules().fit(EVENTS, items=items)
        assert rules.rerank(some(2)).items.shape == (1, 10)
        with pytest.raises(DataError, match=r"no price is known.*'price'.*Fit it on a table"):
            rules.rerank(some(2), budgets=[5])


@pytest.mark.parametrize(
    "rules",
    [
        {"bury": [{"i0", "i1"}]},
        {"boost": [(frozenset(["i0"]), 1.0)]},
        {"scale": [({"brand": {"Acme", "Leaf"}}, 2.0)]},
    ],
    ids=["bury", "boost", "scale"],
)
def test_sets_which_no_file_holds_are_refused(rules):
    with pytest.raises(ValueError, match=r"what is a list of item ids, or a dict"):
        BusinessRules(**rules).fit(items=ITEMS.assign(brand="Acme"))


def test_rules_about_columns_need_them():
    with pytest.raises(DataError, match=r"reads the columns \['colour'\], which the items table"):
        BusinessRules(bury=[{"colour": "red"}]).fit(items=ITEMS)
    with pytest.raises(DataError, match=r"reads the columns \['margin'\] of the items table"):
        BusinessRules(margin="margin").fit(EVENTS)
    with pytest.raises(DataError, match="it must be a number"):
        BusinessRules(margin="category").fit(items=ITEMS)


# ---------------------------------------------------------------------- exposure


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), k=st.integers(1, 10))
def test_one_label_has_its_share_at_every_length(seed, share, k):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"item_id": range(30), "seller": rng.choice(["big", "small"], 30, p=[0.8, 0.2])}
    )
    table.loc[20:, "seller"] = "small"
    recs = Recommendations(rng.permutation(30)[None], -np.sort(-rng.random((1, 30))), [0])
    shown = ExposureFairness({"small": share}).fit(items=table).rerank(recs, k).items[0]
    worth = 1 / np.log2(np.arange(2, k + 2))
    small = (table["seller"].to_numpy()[shown] == "small") * worth
    assert (np.cumsum(small) >= share * np.cumsum(worth) - 1e-9).all()


def test_every_seller_gets_a_part_of_its_part():
    recs = some(7)
    shown = ExposureFairness(1.0, tolerance=0.5).fit(items=ITEMS).rerank(recs, 7)
    # Three of seven are small: they do not wait until the four others are shown.
    assert shown.items[0].tolist().index("i4") < 4
    assert sorted(shown.items[0]) == sorted(recs.items[0])
    plain = ExposureFairness(0.0).fit(items=ITEMS).rerank(recs, 7)
    assert plain.items.tolist() == recs.items.tolist()
    nobody = ExposureFairness({"unheard of": 0.5}).fit(items=ITEMS).rerank(recs, 7)
    assert nobody.items.tolist() == recs.items.tolist()
