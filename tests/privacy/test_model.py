"""What every private model refuses, books and answers."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import ecomrec
from ecomrec.cf import Popularity
from ecomrec.data import EventWeights, Interactions, MissingValues
from ecomrec.data.catalog import Catalog
from ecomrec.datasets import make_shop
from ecomrec.exceptions import BudgetExceededError, DataError, UnknownIdError
from ecomrec.privacy import (
    DPEASE,
    ContributionBounder,
    DPPopularity,
    DPTopK,
    PrivacyLedger,
    PrivateRows,
    SeededNoise,
    epsilon_of,
    record_replay,
)

SHOP = make_shop(400, 40, 6000, 4, random_state=0)
EVENTS, ITEMS = SHOP.events[["user_id", "item_id"]], SHOP.items
HISTORY = [[1, 2, 3]]


def test_without_a_public_catalogue_the_two_ways_are_named():
    with pytest.raises(DataError, match=r"items=catalog\), or vocabulary='dp'"):
        DPPopularity().fit(EVENTS)


def test_events_outside_the_catalogue_and_unusable_rows_change_nothing():
    extra = pd.DataFrame(
        {"user_id": [1, 2, 3], "item_id": [999, 3, None], "weight": [1, np.nan, 1]}
    )
    known = EVENTS.assign(weight=1.0)
    model = DPPopularity(noise_source=SeededNoise(0))
    one = model.fit(known, items=ITEMS).popularity_
    other = model.fit(pd.concat([known, extra]), items=ITEMS).popularity_
    assert one.tolist() == other.tolist()


def test_without_noise_it_is_popularity():
    model = DPPopularity(epsilon=math.inf, max_items_per_user=10_000, scaling="shared")
    mine = model.fit(EVENTS, items=ITEMS)
    theirs = Popularity().fit(EVENTS, items=ITEMS)
    np.testing.assert_allclose(mine.popularity_, theirs.popularity_, rtol=1e-3)
    answer = mine.recommend(history=HISTORY, k=10).items.tolist()
    assert answer == theirs.recommend(history=HISTORY, k=10).items.tolist()
    top = DPTopK(epsilon=math.inf, size=40).fit(EVENTS, items=ITEMS)
    assert answer == top.recommend(history=HISTORY, k=10).items.tolist()
    assert not mine.privacy_report_.private
    assert math.isinf(mine.privacy_report_.epsilon)


@pytest.mark.parametrize("noise", ["rounded_gaussian", "discrete_gaussian"])
@pytest.mark.parametrize("vocabulary", ["public", "dp"])
@pytest.mark.parametrize("kind", [DPPopularity, DPTopK])
@pytest.mark.parametrize("epsilon", [2.0, 6.0])
def test_what_is_booked_is_epsilon_and_what_the_ledger_holds(
    kind, vocabulary, noise, epsilon, tmp_path
):
    ledger = PrivacyLedger(tmp_path / "ledger", 50.0, 1e-3)
    model = kind(epsilon, delta=1e-3, vocabulary=vocabulary, noise=noise, ledger=ledger)
    sides = {"items": ITEMS} if vocabulary == "public" else {}
    model.fit(EVENTS, **sides)
    report = model.privacy_report_
    assert report.epsilon == pytest.approx(epsilon, rel=1e-6)
    assert epsilon_of(report.events, 1e-3) == pytest.approx(epsilon, rel=1e-6)
    assert list(ledger.events) == list(report.events)
    model.fit(EVENTS, **sides)
    assert len(ledger.events) == 2 * len(report.events)
    assert ledger.spent() > 1.2 * epsilon


def test_a_budget_that_does_not_hold_the_fit_is_refused_and_nothing_learned():
    ledger = PrivacyLedger(None, 1.2, 1e-6)
    model = DPPopularity(1.0, ledger=ledger).fit(EVENTS, items=ITEMS)
    before = model._state
    with pytest.raises(BudgetExceededError):
        model.fit(EVENTS, items=ITEMS)
    assert model._state is before
    with pytest.raises(BudgetExceededError):  # a clone has the same ledger
        clone(model).fit(EVENTS, items=ITEMS)


def test_a_crash_in_the_middle_of_a_fit_has_been_charged(monkeypatch):
    ledger = PrivacyLedger(None, 3.0, 1e-6)
    model = DPPopularity(1.0, ledger=ledger)

    def crash(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("ecomrec.privacy._releases.Releases.gaussian", crash)
    with pytest.raises(MemoryError):
        model.fit(EVENTS, items=ITEMS)
    assert ledger.spent() == pytest.approx(1.0, rel=1e-6)


def test_an_error_in_the_table_is_not_charged():
    ledger = PrivacyLedger(None, 3.0, 1e-6)
    with pytest.raises(DataError):
        DPPopularity(1.0, ledger=ledger).fit(EVENTS[["item_id"]], items=ITEMS)
    assert ledger.spent() == 0


def test_users_are_refused_with_the_way_to_go():
    model = DPPopularity().fit(EVENTS, items=ITEMS)
    for call in (
        lambda: model.recommend([1]),
        lambda: model.forget(users=[1]),
        model.refresh,
        lambda: model.similar_users([1]),
        lambda: model.has_seen([(1, 2)]),
        lambda: model.explain(1, 2),
    ):
        with pytest.raises(TypeError, match="private and holds no users"):
            call()
    for name in ("predict", "partial_fit", "user_ids_"):
        assert not hasattr(model, name)
    personal = DPEASE().fit(EVENTS, items=ITEMS)
    with pytest.raises(UnknownIdError):
        personal.recommend(history=[[]])
    assert personal.recommend(history=[[]], unknown="skip", k=1).items.tolist() == [[-1]]


def test_searches_are_refused_unless_every_fit_is_charged():
    params = {"items": ITEMS}
    with pytest.raises(ValueError, match="each fit spends epsilon"):
        cross_val_score(DPPopularity(), EVENTS, params=params, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="each fit spends epsilon"):
        GridSearchCV(DPPopularity(), {"scaling": ["unit", "shared"]}, error_score="raise").fit(
            EVENTS, items=ITEMS
        )
    with pytest.raises(ValueError, match="needs a ledger"):
        DPPopularity(tuning="accounted").fit(EVENTS, items=ITEMS)
    ledger = PrivacyLedger(None, 9.0, 1e-6)
    model = DPPopularity(tuning="accounted", ledger=ledger)
    scores = cross_val_score(model, EVENTS, params=params, cv=3)
    assert np.isfinite(scores).all()
    assert len(ledger.entries) == 3
    GridSearchCV(model, {"scaling": ["unit", "shared"]}, cv=2).fit(EVENTS, items=ITEMS)
    assert len(ledger.entries) == 3 + 2 * 2 + 1


def test_what_is_not_private_may_be_searched():
    scores = cross_val_score(DPPopularity(math.inf), EVENTS, params={"items": ITEMS}, cv=2)
    assert np.isfinite(scores).all()


def test_a_vocabulary_is_what_enough_users_have():
    rare = pd.DataFrame({"user_id": [1, 2], "item_id": [777, 778]})
    events = pd.concat([EVENTS, rare])
    model = DPPopularity(4.0, vocabulary="dp").fit(events)
    known = set(model.item_ids_.tolist())
    assert not known & {777, 778}
    popular = Popularity().fit(EVENTS)
    top = popular.recommend(history=[[1]], k=5, exclude_seen=False).items[0].tolist()
    assert set(top) <= known
    assert model.item_ids_.tolist() == sorted(known)
    with pytest.raises(DataError, match="no item has enough users"):
        DPPopularity(0.01, vocabulary="dp", delta=1e-9).fit(events[:50])


def test_noise_has_the_size_that_is_booked():
    model = DPPopularity(1.0, max_items_per_user=100)
    exact = DPPopularity(math.inf).fit(EVENTS, items=ITEMS).popularity_
    noise = np.concatenate([model.fit(EVENTS, items=ITEMS).popularity_ - exact for _ in range(50)])
    sigma = model.privacy_report_.events[0].noise_multiplier
    assert sigma == pytest.approx(4.23, abs=0.01)
    assert noise.std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * len(noise)))
    assert abs(noise.mean()) < 5 * sigma / math.sqrt(len(noise))


def test_random_state_never_drives_noise():
    np.random.seed(0)  # noqa: NPY002
    one = DPPopularity().fit(EVENTS, items=ITEMS).popularity_
    np.random.seed(0)  # noqa: NPY002
    other = DPPopularity().fit(EVENTS, items=ITEMS).popularity_
    assert (one != other).all()
    assert "random_state" not in DPPopularity().get_params()


def test_a_matrix_has_public_columns(tmp_path):
    matrix = np.array([[1, 0, np.nan], [0, 2, 1], [1, -4, 0]])
    model = DPPopularity(epsilon=math.inf).fit(matrix)
    np.testing.assert_allclose(model.popularity_, [2, 0.5**0.5, 0.5**0.5], rtol=1e-5)
    assert model.n_features_in_ == 3
    model.save(tmp_path / "model")
    again = ecomrec.load(tmp_path / "model")
    assert again.recommend(history=[[1]], k=3).items.tolist() == [[0, 2, -1]]


def test_available_items_and_score():
    hidden = int(ITEMS["item_id"].iloc[0])
    items = ITEMS.assign(available=ITEMS["item_id"] != hidden)
    model = DPPopularity(math.inf).fit(EVENTS, items=items)
    found = model.recommend(history=HISTORY, k=40).items[0].tolist()
    assert hidden not in found
    assert 0 < model.score(EVENTS) < 1


@pytest.mark.parametrize("kind", ["polars", "arrow", "interactions", "catalog", "y", "rating"])
def test_every_form_of_table_teaches_the_same(kind):
    pairs = EVENTS.drop_duplicates()
    table, items, y = pairs, ITEMS, None
    if kind == "polars":
        polars = pytest.importorskip("polars")
        table, items = polars.DataFrame(pairs), polars.DataFrame(ITEMS)
    elif kind == "arrow":
        arrow = pytest.importorskip("pyarrow")
        table, items = arrow.Table.from_pandas(pairs), arrow.Table.from_pandas(ITEMS)
    elif kind == "interactions":
        table = ecomrec.Interactions.from_table(pairs)
    elif kind == "catalog":
        items = Catalog(ITEMS)
    elif kind == "y":
        y = np.full(len(pairs), 2.0)
    else:
        table = pairs.assign(rating=3)
    model = DPPopularity(noise_source=SeededNoise(1))
    expected = clone(model).fit(EVENTS, items=ITEMS).popularity_
    assert model.fit(table, y, items=items).popularity_.tolist() == expected.tolist()


def test_weights_that_depend_on_others_are_refused():
    shop = ecomrec.Interactions.from_table(
        EVENTS.assign(timestamp=np.arange(len(EVENTS))), half_life="1D"
    )
    with pytest.raises(DataError, match="newest event of all users"):
        DPPopularity().fit(shop, items=ITEMS)


@pytest.mark.parametrize("model", [DPPopularity(1e-7, delta=1e-15), DPEASE(1e-7, delta=1e-15)])
def test_an_epsilon_that_leaves_nothing_is_refused_before_it_is_spent(model):
    ledger = PrivacyLedger(None, 1.0, 1e-6)
    with pytest.raises(ValueError, match="Raise epsilon"):
        model.set_params(ledger=ledger).fit(EVENTS, items=ITEMS)
    assert ledger.spent() == 0


@pytest.mark.parametrize("epsilon", [1e-3, 1e-2, 50, 1e5])
def test_extreme_epsilons_are_booked_as_they_are(epsilon):
    for model in (DPPopularity(epsilon), DPTopK(epsilon), DPEASE(epsilon)):
        report = model.fit(EVENTS, items=ITEMS).privacy_report_
        assert report.epsilon == pytest.approx(epsilon, rel=1e-6)
        assert report.epsilon <= epsilon
        items, scores = model.recommend(history=HISTORY, k=5)
        assert np.isfinite(scores).all()
        assert len(set(items[0].tolist())) == 5


@pytest.mark.parametrize("model", [DPPopularity(4.0), DPTopK(4.0, size=20)], ids=repr)
def test_one_list_for_all_is_for_visitors_without_a_history_too(model):
    fitted = model.fit(EVENTS, items=ITEMS)
    known, empty = fitted.recommend(history=[[39], []], k=5).items.tolist()
    assert len(set(empty)) == 5
    assert [item for item in empty if item != 39][:4] == known[:4]
    with pytest.warns(UserWarning, match="1 of 1 items"):
        assert fitted.recommend(history=[["nobody's"]], k=5).items.tolist() == [empty]


def test_items_that_are_not_listed_are_counted_and_not_named():
    model = DPEASE(4.0).fit(EVENTS, items=ITEMS)
    with pytest.raises(
        UnknownIdError, match="1 of 2 items are not in the catalogue, whose ids are"
    ):
        model.similar_items([3, 987654])
    with pytest.raises(UnknownIdError) as error:
        model.explain(item=987654, history=[3])
    assert "987654" not in str(error.value)
    assert model.similar_items([987654], unknown="skip").items.shape == (1, 10)


def test_a_catalogue_in_the_place_of_strengths_is_told():
    with pytest.raises(TypeError, match=r"fit\(events, items=catalog\)"):
        DPPopularity().fit(EVENTS, ITEMS)


@pytest.mark.parametrize("wanted", [{"delta": 0.2}, {"delta": 1e-3, "n_users": 5000}])
def test_a_large_delta_is_warned_of(wanted):
    with pytest.warns(UserWarning, match="the promise may fail altogether"):
        DPEASE(4.0, **wanted).fit(EVENTS, items=ITEMS)


def test_forget_says_why_it_has_nothing_to_do():
    model = DPPopularity().fit(EVENTS, items=ITEMS)
    for call in (lambda: model.forget([1]), lambda: model.forget(users=[1])):
        with pytest.raises(TypeError, match=r"holds no users.*fit without them"):
            call()


def test_what_is_bounded_may_be_a_matrix_or_interactions():
    rows = [[1.0, 5.0, 0.0, 0.5], [0.0, -3.0, np.nan, 0.0], [0.0, 2.0, 0.0, 0.0]]
    bounded = ContributionBounder(weighting="weight", clip_value=2.0)(rows)
    assert bounded.indptr.tolist() == [0, 3, 3, 4]
    assert bounded.values.tolist() == [1.0, 2.0, 0.5, 2.0]
    shop = Interactions.from_table(pd.DataFrame({"user_id": [7, 7, 8], "item_id": [1, 2, 2]}))
    assert ContributionBounder(1)(shop).indptr.tolist() == [0, 1, 2]
    assert PrivateRows.of(shop).items.tolist() == [0, 1, 1]


ODD = {
    "item -1": ("item_id", -1),
    "item inf": ("item_id", np.inf),
    "half an item": ("item_id", 1.5),
    "an item of 64 bits": ("item_id", np.uint64(2**63)),
    "text for an item": ("item_id", "mug"),
    "a list for an item": ("item_id", [3]),
    "True for an item": ("item_id", True),
    "user -1": ("user_id", -1),
    "user inf": ("user_id", np.inf),
    "a list for a user": ("user_id", [3]),
    "True for a user": ("user_id", True),
    "a huge weight": ("weight", 10**400),
    "no weight": ("weight", "?"),
}


@pytest.mark.parametrize("as_objects", [True, False])
@pytest.mark.parametrize("vocabulary", ["public", "dp"])
@pytest.mark.parametrize(("column", "value"), ODD.values(), ids=ODD)
def test_one_odd_row_raises_nothing_and_counts_for_nothing(column, value, vocabulary, as_objects):
    plain = EVENTS.assign(weight=1.0)
    values = pd.Series([*plain[column], value], dtype=object)
    values = values if as_objects else values.infer_objects()
    odd = pd.concat([plain, plain[:1]], ignore_index=True).assign(**{column: values})
    model = DPPopularity(
        8.0, delta=1e-3, vocabulary=vocabulary, noise_source=SeededNoise(0), max_items_per_user=5
    )
    expected = clone(model).fit(plain, items=ITEMS)
    found = model.fit(odd, items=ITEMS)
    assert found.item_ids_.tolist() == expected.item_ids_.tolist()
    assert found.popularity_.tolist() == expected.popularity_.tolist()


@pytest.mark.parametrize(
    "value", [-1, 2**62, None, 10**400, np.nan, np.inf], ids=lambda value: repr(value)[:9]
)
def test_one_odd_cell_of_a_matrix_raises_nothing(value):
    rows = np.array([[1, 0, 2], [0, 1, 1]] * 20, dtype=object)
    odd = rows.copy()
    odd[0, 1] = value
    model = DPEASE(4.0, noise_source=SeededNoise(0), weighting="weight")
    expected = clone(model).fit(rows.astype(float)).popularity_
    forms = [odd]
    if isinstance(value, int) and value < 2**63:
        forms += [odd.astype(int), sp.csr_array(odd.astype(int)), sp.coo_array(odd.astype(float))]
    for form in forms:
        found = clone(model).fit(form).popularity_
        assert (found.tolist() == expected.tolist()) is (value != 2**62)


PAIRS = [
    ("\ud800", "'\\ud800'"),
    ("'\\ud800'", "\ud800"),
    (1, True),
    (True, 1),
    (1, 1.0),
    (1, "1"),
    ((1, "a"), (True, "a")),
    ((1, "a"), ("a", 1)),
]


@pytest.mark.parametrize("vocabulary", ["public", "dp"])
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=ascii)
def test_two_users_are_two_whatever_their_ids(one, other, vocabulary):
    catalog = pd.DataFrame({"item_id": list("abcdefghij")})
    rows = [(one, "a"), *((other, item) for item in "bcdefghij")]
    both, alone = (
        pd.DataFrame(
            {
                "user_id": pd.Series([user for user, _ in listed], dtype=object),
                "item_id": [item for _, item in listed],
            }
        )
        for listed in (rows, rows[:1])
    )
    crowd = pd.DataFrame([(f"u{n}", i) for n in range(99) for i in "abc"], columns=both.columns)
    model = DPPopularity(4.0, delta=1e-3, vocabulary=vocabulary, max_items_per_user=4)
    both, alone = (pd.concat([crowd, table]) for table in (both, alone))
    report = record_replay(model, both, alone, fit_params={"items": catalog})
    assert report.ok, report.problems


@pytest.mark.parametrize(
    "odd", [5, "'\\ud800'", b"mug", ("mug", 1), (1, "mug"), [1], True], ids=repr
)
def test_what_one_user_names_changes_no_draw_of_others(odd):
    model = DPPopularity(4.0, delta=1e-3, vocabulary="dp", max_items_per_user=2)
    crowd = [(f"u{n}", item) for n in range(99) for item in ("axe", "bun", "\ud800", "día")]
    with_one, without = (
        pd.DataFrame(
            {
                "user_id": [user for user, _ in rows],
                "item_id": pd.Series([item for _, item in rows], dtype=object),
            }
        )
        for rows in ([("one", odd), ("one", "axe"), *crowd], crowd)
    )
    report = record_replay(model, with_one, without)
    assert report.ok, report.problems


@pytest.mark.parametrize("first", [np.str_("mug"), "mug"], ids=repr)
@pytest.mark.parametrize(
    "wrap",
    [lambda one: one, lambda one: (one, 1), lambda one: (1, (one,))],
    ids=["text", "tuple", "tuple of tuples"],
)
def test_the_type_of_a_released_id_is_nobody_s(first, wrap):
    items = [wrap(first), *[wrap("mug")] * 300]
    table = pd.DataFrame({"user_id": range(301), "item_id": pd.Series(items, dtype=object)})
    model = DPPopularity(4.0, delta=1e-3, vocabulary="dp").fit(table)
    assert repr(model.item_ids_.tolist()) == repr([wrap("mug")])


def test_errors_about_a_table_hold_nothing_of_it():
    pairs = EVENTS.astype(object)
    for table, match in (
        (pairs.assign(weight="secret"), "a column of the event table cannot be read"),
        (pairs.assign(user_id=[["secret"]] * len(pairs)), "user_id holds no ids"),
        (pairs.assign(item_id=[["secret"]] * len(pairs)), "item_id holds no ids"),
    ):
        with pytest.raises(DataError, match=match) as error:
            DPPopularity().fit(table, items=ITEMS)
        assert "secret" not in str(error.value)
        assert error.value.__context__ is None


def test_what_all_users_had_a_say_in_is_refused():
    timed = EVENTS.assign(event="buy", timestamp=np.arange(len(EVENTS)), rating=1.0)
    learned = make_pipeline(EventWeights({"buy": 1.0}, half_life="1D"), DPPopularity())
    with pytest.raises(DataError, match="Pass now= to EventWeights"):
        learned.fit(timed, dppopularity__items=ITEMS)
    named = EventWeights({"buy": 1.0}, half_life="1D", now="2020-01-01")
    make_pipeline(named, DPPopularity()).fit(timed, dppopularity__items=ITEMS)
    filled = make_pipeline(MissingValues(ratings="mean"), DPPopularity())
    with pytest.raises(DataError, match="Pass ratings='drop'"):
        filled.fit(timed, dppopularity__items=ITEMS)
    with pytest.raises(DataError, match="newest event of all users"):
        ContributionBounder()(ecomrec.Interactions.from_table(timed, half_life="1D"))


def test_items_that_are_not_released_hide_no_others():
    events = pd.DataFrame(
        [(f"u{n}", item) for n in range(300) for item in "abc"], columns=["user_id", "item_id"]
    )
    items = pd.DataFrame({"item_id": [*"abc", "zzz"], "available": [True, True, True, False]})
    model = DPPopularity(4.0, vocabulary="dp", delta=1e-3).fit(events, items=items)
    found = model.recommend(history=[["a"]], k=3, exclude_seen=False).items[0]
    assert sorted(found) == ["a", "b", "c"]
