"""New items get their share of places, and the chances are as told."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ecomrec
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.coldstart import Explore, _slots
from ecomrec.exceptions import DataError, UnknownIdError

# Six items that three users have, and five that nobody has.
EVENTS = pd.DataFrame(
    [(f"u{user}", f"old{item}") for item in range(6) for user in range(3 + item % 2)],
    columns=["user_id", "item_id"],
)
OLD = [f"old{n}" for n in range(6)]
NEW = [f"new{n}" for n in range(5)]
ITEMS = pd.DataFrame({"item_id": OLD + NEW})


def fitted(**params):
    return Explore(Popularity(), **params).fit(EVENTS, items=ITEMS)


def asked(model, n, k=6, **options):
    return model.recommend(["u0"] * n, k=k, exclude_seen=False, seed=list(range(n)), **options)


@given(st.floats(0, 1), st.integers(1, 30))
def test_every_prefix_has_its_share(share, k):
    chances, slots = _slots.patterns(share, k, "spread")
    assert chances.sum() == pytest.approx(1)
    for places in range(1, k + 1):
        counts = slots[:, :places].sum(axis=1)
        exact = round(share * places, 9)
        assert set(counts) <= {int(np.floor(exact)), int(np.ceil(exact))}
        assert chances @ counts == pytest.approx(exact, abs=1e-6)
    np.testing.assert_allclose(chances @ slots, share, atol=1e-6)


@given(st.floats(0, 1), st.integers(1, 12), st.sampled_from(["end", (3, 1), (2, 40, 5)]))
def test_other_positions_hold_as_many(share, k, positions):
    chances, slots = _slots.patterns(share, k, positions)
    exact = round(share * k, 9)
    counts = slots.sum(axis=1)
    assert set(counts) <= {int(np.floor(exact)), int(np.ceil(exact))}
    assert chances @ counts == pytest.approx(exact, abs=1e-6)
    for row, n in zip(slots, counts.tolist(), strict=True):
        if positions == "end":
            assert not row[: k - n].any()
        else:
            inside = [rank - 1 for rank in positions if rank <= k]
            assert row[inside[:n]].all()


@given(
    st.floats(0, 1), st.integers(1, 8), st.sampled_from(["spread", "end", (2,)]),
    st.integers(0, 6), st.integers(0, 8),
)  # fmt: skip
def test_chances_add_up_however_few_items_there_are(share, k, positions, n_new, n_usual):
    n_new, n_usual = min(n_new, k), min(n_usual, k)
    chances = _slots.chances_of(share, k, positions, n_new, n_usual)
    filled = np.arange(k) < n_new + n_usual
    np.testing.assert_allclose(chances.sum(axis=(0, 2)), filled, atol=1e-6)
    assert (chances.sum(axis=1) <= 1 + 1e-6).all()
    assert not chances[1, :, n_new:].any()
    assert not chances[0, :, n_usual:].any()


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({"share": 0.25}, {}),
        ({"share": 0.4, "positions": "end"}, {}),
        ({"share": 0.3, "positions": [2, 5]}, {}),
        ({"share": 0.7}, {"candidates": [*OLD, "new1", "new3"]}),  # new ones run out
        ({"share": 0.1}, {"candidates": ["old1", "old2", *NEW]}),  # usual ones run out
        ({"share": 0.4, "method": "ucb"}, {}),
        ({"share": 0.4, "method": "ucb", "confidence": 0.5}, {}),
    ],
)
def test_shown_as_often_as_the_propensities_say(params, options):
    model = fitted(**params)
    if params.get("confidence") == 0.5:
        model.observe(pd.DataFrame({"item_id": NEW, "impressions": 10, "clicks": [5, 5, 2, 1, 1]}))
    n, k = 6000, 5
    recs = asked(model, n, k, **options)
    ids = model.item_ids_.tolist()
    counts, told = np.zeros((k, len(ids))), np.zeros((k, len(ids)))
    for place in range(k):
        for column, item in enumerate(ids):
            here = recs.items[:, place] == item
            counts[place, column] = here.mean()
            if here.any():
                chances = recs.propensities[here, place]
                assert np.ptp(chances) < 1e-12
                told[place, column] = chances[0]
    error = np.sqrt(np.maximum(told * (1 - told), 1e-9) / n)
    # 55 comparisons: five standard errors.
    assert (np.abs(counts - told) <= 5 * error + 1e-9).all(), counts - told
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=5e-3)


def test_inverse_propensities_are_unbiased():
    rng = np.random.default_rng(0)
    model = fitted(share=0.3)
    ids = model.item_ids_.tolist()
    rates = rng.uniform(0.05, 0.6, size=len(ids))
    n, k = 20_000, 3
    recs = asked(model, n, k)
    columns = np.searchsorted(ids, recs.items.ravel().astype(str)).reshape(n, k)
    clicks = rng.random((n, k)) < rates[columns]
    # What new items would earn in every place, whoever is drawn.
    new = recs.explored
    earned = (clicks * new / recs.propensities).sum(axis=1) / (len(NEW) * k)
    expected = rates[[ids.index(item) for item in NEW]].mean()
    error = earned.std() / np.sqrt(n)
    assert abs(earned.mean() - expected) < 4 * error
    assert error < 0.01
    # What a smaller share would have earned: its chances over those of the log.
    other = _slots.chances_of(0.2, k, "spread", k, k)
    best = asked(fitted(share=0.0), 1, k).items[0].tolist()
    ranks = np.array([[best.index(i) if i in best else 0 for i in row] for row in recs.items])
    chances = np.where(new, other[1].sum(axis=1) / len(NEW), other[0][np.arange(k), ranks])
    value = (clicks * chances / recs.propensities).sum(axis=1)
    truth = other[1].sum() * expected
    truth += sum(other[0][:, rank].sum() * rates[ids.index(best[rank])] for rank in range(k))
    assert abs(value.mean() - truth) < 4 * value.std() / np.sqrt(n)
    assert abs(clicks.sum(axis=1).mean() - truth) > 4 * clicks.sum(axis=1).std() / np.sqrt(n)


def test_new_items_get_their_share_and_no_more():
    recs = asked(fitted(share=0.25), 200, k=8)
    is_new = np.isin(recs.items.astype(str), NEW)
    np.testing.assert_array_equal(is_new, recs.explored)
    assert (is_new.sum(axis=1) == 2).all()
    assert len(np.unique(recs.items[is_new])) == len(NEW)
    at_end = asked(fitted(share=0.25, positions="end"), 50, k=8)
    assert at_end.explored[:, 6:].all()
    assert not at_end.explored[:, :6].any()
    ranked = asked(fitted(share=0.25, positions=[3, 5]), 50, k=8)
    assert ranked.explored[:, [2, 4]].all()


def test_same_seed_same_answer_and_another_another():
    model = fitted(share=0.5)
    one, again = (model.recommend(["u0", "u1"], k=4, seed=3) for _ in range(2))
    assert one.items.tolist() == again.items.tolist()
    assert len({str(model.recommend(["u0"], k=4, seed=n).items) for n in range(20)}) > 5
    plain = model.recommend(["u0", "u1"], k=4)
    assert plain.items.tolist() == model.recommend(["u0", "u1"], k=4).items.tolist()
    other = fitted(share=0.5, random_state=1).recommend(["u0", "u1"], k=4)
    assert plain.items.tolist() != other.items.tolist()
    # With a seed users are told apart, though they touched the same.
    answers = {str(row) for row in model.recommend(["u0", "u1", "u2"], k=4, seed=3).items}
    assert len(answers) > 1


def test_seen_and_excluded_items_never_return():
    model = fitted(share=0.5).partial_fit(pd.DataFrame({"user_id": ["u0"], "item_id": ["new1"]}))
    recs = model.recommend(["u0"] * 50, k=11, exclude=["new2"], seed=list(range(50)))
    shown = set(recs.items[~np.isnan(recs.scores)].tolist())
    assert shown == {"new0", "new3", "new4"}
    assert np.isnan(recs.propensities[:, 3:]).all()


def test_an_item_is_new_until_enough_users_touched_it():
    model = fitted(new_below=2)
    assert model.item_ids_[model.is_new_].tolist() == NEW
    model.partial_fit(pd.DataFrame({"user_id": ["u0", "u1"], "item_id": "new1"}))
    assert model.item_ids_[model.is_new_].tolist() == ["new0", "new2", "new3", "new4"]


def test_an_item_is_new_for_a_while_after_it_was_listed():
    days = pd.date_range("2024-01-01", periods=11, freq="D", tz="UTC")
    items = ITEMS.assign(listed_at=days)
    model = Explore(Popularity(), new_below=0, new_for="2D").fit(EVENTS, items=items)
    assert model.item_ids_[model.is_new_].tolist() == ["new2", "new3", "new4"]
    later = pd.DataFrame({"item_id": ["fresh"], "listed_at": [pd.Timestamp("2024-02-01")]})
    model.partial_fit(EVENTS.iloc[:0], items=later)
    assert model.item_ids_[model.is_new_].tolist() == ["fresh"]
    with pytest.raises(DataError, match=r"needs fit.*with a column 'listed_at' of times; found"):
        Explore(new_for="2D").fit(EVENTS, items=ITEMS)


def test_highest_upper_bound_comes_first(tmp_path):
    model = fitted(share=1.0, method="ucb", confidence=0.975)
    log = pd.DataFrame(
        {
            "item_id": NEW,
            "impressions": [1000, 1000, 10, 400, 400],
            "clicks": [100, 200, 1, 4, 0],
        }
    )
    model.observe(log)
    # Wilson, 1.96: 0.120, 0.226, 0.404, 0.0254, 0.0095.
    recs = model.recommend(["u0"], k=5)
    assert recs.items[0].tolist() == ["new2", "new1", "new0", "new3", "new4"]
    assert recs.propensities[0].tolist() == [1, 1, 1, 1, 1]
    path = tmp_path / "explore.ecomrec"
    model.save(path)
    again = ecomrec.load(path)
    assert again.recommend(["u0"], k=5).items.tolist() == recs.items.tolist()
    assert again.impressions_.sum() == 2810
    rows = pd.DataFrame({"item_id": ["new4"] * 400, "clicked": [True] * 400})
    again.observe(rows)
    assert again.recommend(["u0"], k=1).items.tolist() == [["new4"]]
    assert model.clicks_.sum() == 305
    model.forget(items=["new1"])
    assert model.recommend(["u0"], k=2).items[0].tolist() == ["new2", "new0"]


def test_without_impressions_rates_come_from_events():
    events = pd.DataFrame(
        {
            "user_id": ["a", "b", "c", "d", "e", "f"],
            "item_id": ["liked", "liked", "left", "left", "old", "old"],
            "weight": [1.0, 1.0, 0.0, 0.0, 1.0, 1.0],
        }
    )
    model = Explore(Popularity(), share=1.0, method="ucb", new_below=9).fit(events)
    assert model.recommend(["e"], k=2).items.tolist() == [["liked", "left"]]


def test_recommending_changes_nothing_and_observing_does_not_disturb():
    model = fitted(share=0.5, method="ucb")
    before = model._state
    asked(model, 10)
    assert model._state is before
    with pytest.raises(UnknownIdError, match="Nothing was observed"):
        model.observe(pd.DataFrame({"item_id": ["?"], "clicked": [1]}))
    assert model._state is before


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ({"item_id": ["new0"]}, "lacks the columns .*'impressions', 'clicks'"),
        ({"item_id": ["new0"], "clicked": [2]}, "0 or 1 in its column clicked"),
        ({"item_id": ["new0"], "clicked": ["yes"]}, "whole numbers of at least 0"),
        ({"item_id": ["new0"], "clicked": [np.nan]}, "whole numbers of at least 0"),
        ({"item_id": ["new0"], "impressions": [1.5], "clicks": [1]}, "whole numbers"),
        ({"item_id": ["new0"], "impressions": [1], "clicks": [3]}, "3 clicks of 1 impressions"),
    ],
)
def test_log_that_makes_no_sense_is_refused(log, message):
    with pytest.raises(DataError, match=message):
        fitted().observe(pd.DataFrame(log))


@pytest.mark.parametrize("seed", ["7", 1.5, -1, [1, 2], [[1]]])
def test_seed_that_is_none_is_refused(seed):
    with pytest.raises(DataError, match="seed must be an integer of at least 0"):
        fitted().recommend(["u0"], seed=seed)


def test_log_has_what_evaluation_needs():
    frame = asked(fitted(share=0.5), 2, k=3).to_frame()
    assert frame.columns.tolist()[-2:] == ["explored", "propensity"]
    assert frame["propensity"].between(0, 1).all()
    assert len(frame) == 6
    skipped = fitted().recommend(["u0", "?"], unknown="skip")
    assert np.isnan(skipped.propensities[1]).all()
    nothing = fitted().recommend(["?"], unknown="skip").to_frame()
    assert nothing.dtypes[-2:].tolist() == frame.dtypes[-2:].tolist() == [bool, float]


@settings(max_examples=5)
@given(st.integers(0, 2**40))
def test_without_new_items_it_is_the_model(seed):
    log = EVENTS[EVENTS["user_id"] != "u0"]
    one = ItemKNN().fit(log).recommend(["u1"], exclude_seen=False)
    other = Explore(ItemKNN(), new_below=0, random_state=seed).fit(log)
    assert one.items.tolist() == other.recommend(["u1"], exclude_seen=False).items.tolist()
