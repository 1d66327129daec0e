"""Checks of the other questions: has_seen, predict, explain, score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ecomrec.base import BaseRecommender
from ecomrec.data.interactions import Interactions
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.explanations import sentence
from ecomrec.testing._answers import RTOL, everything, filled
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._fitting import takes_matrix
from ecomrec.testing._logs import Log, Traits, is_private, logs, shop_log, traits_of
from ecomrec.testing._recommending import ranks


def _rates(traits: Traits) -> bool:
    return traits.rates


def _explains(traits: Traits) -> bool:
    return traits.explains


@check()
def check_has_seen_is_the_log(model: BaseRecommender) -> None:
    """`has_seen` says what the events say; of unknown ids, that it has not."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        pairs = [(user, item) for user in log.user_ids for item in log.item_ids]
        expected = [item in log.seen[user] for user, item in pairs]
        assert fitted.has_seen(pairs).tolist() == expected
        table = pd.DataFrame(pairs, columns=["user_id", "item_id"])
        assert fitted.has_seen(table).tolist() == expected
        user, item = log.pairs[0]
        strangers = [("?", item), (user, "?"), ("?", "?"), (user, item)]
        assert fitted.has_seen(strangers).tolist() == [False, False, False, True]
        assert fitted.has_seen([]).tolist() == []

    for_all(holds, logs(model))


@check()
def check_predict_equals_recommended_score(model: BaseRecommender) -> None:
    """The score of a pair is the one that `recommend` shows with it.

    A rating model shows score 0 where no neighbour speaks, and predicts its baseline. An item
    without evidence scores 0, and is shown with less behind scores that are negative.
    """
    rates = traits_of(model).values == "rating"

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        answer = fitted.recommend(log.user_ids, k=len(log.item_ids), exclude_seen=False)
        shown = [
            (user, item, score)
            for user, row in zip(log.user_ids, filled(answer), strict=True)
            for item, score in row
            if score != 0 or not rates
        ]
        pairs = [(user, item) for user, item, _ in shown]
        scores = np.array([score for _, _, score in shown])
        predicted = fitted.predict(pairs)
        assert predicted.dtype == np.float64
        assert predicted.shape == (len(pairs),)
        if len(scores):
            filling = (predicted == 0) & (scores < 0)
            predicted[filling] = scores[filling]
            tolerance = RTOL * max(np.abs(scores).max(), model._score_unit)
            np.testing.assert_allclose(predicted, scores, rtol=0, atol=tolerance)

    for_all(holds, logs(model, available=False))


@check(ranks)
def check_predict_is_nan_for_strangers(model: BaseRecommender) -> None:
    """A ranking model predicts NaN where the user or the item is unknown, and only there."""
    fitted = shop_log(model).fit(model)
    pairs = [("u1", "i1"), ("?", "i1"), ("u1", "?"), ("?", "?"), ("u2", "i9")]
    assert np.isnan(fitted.predict(pairs)).tolist() == [False, True, True, True, False]
    assert fitted.predict([]).shape == (0,)
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    np.testing.assert_array_equal(fitted.predict(table), fitted.predict(pairs))
    for bad in (["u1", "i1"], np.zeros((2, 3)), [("u1", "i1", 3.0)]):
        with pytest.raises(DataError, match="pair"):
            fitted.predict(bad)


@check(_rates)
def check_strangers_get_the_baseline(model: BaseRecommender) -> None:
    """A rating model predicts within the range of ratings, the same for every stranger."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        ratings = log.events["rating"]
        pairs = [(user, item) for user in [*log.user_ids, "?"] for item in [*log.item_ids, "?"]]
        predicted = fitted.predict(pairs)
        assert np.isfinite(predicted).all(), "a rating is missing."
        low, high = ratings.min() - 1e-5, ratings.max() + 1e-5
        assert ((predicted >= low) & (predicted <= high)).all(), (
            f"{predicted} are beyond the ratings, {low:.1f} to {high:.1f}."
        )
        one, other = fitted.predict([("?", "?"), ("!", "!")])
        assert one == other
        newest = log.events
        if len(set(log.pairs)) == len(newest):
            assert abs(one - ratings.mean()) < 1e-4, f"strangers get {one}."

    for_all(holds, logs(model, ids="str"))


@check(takes_matrix)
def check_predict_is_for_tables(model: BaseRecommender) -> None:
    """A model fitted on a matrix has no `predict`: scikit-learn would hand it the matrix."""
    fitted = clone(model).fit(np.eye(4) + 1)
    assert not hasattr(fitted, "predict")
    assert fitted.n_features_in_ == 4
    table = shop_log(model).fit(model)
    assert hasattr(table, "predict")
    assert not hasattr(table, "n_features_in_")
    assert fitted.fit(shop_log(model).events).predict([("u1", "i1")]).shape == (1,)


def _alone(asking: dict[str, Any]) -> dict[str, Any]:
    """What `explain` needs of one user, given what `recommend` needs."""
    name, (value,) = next(iter(asking.items()))
    return {"user" if name == "users" else name: value}


@check(_explains, private=True)
def check_explanation_adds_up(model: BaseRecommender) -> None:
    """The contributions of an explanation add up to the score, the largest first."""
    rates = traits_of(model).values == "rating"

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        user = log.askers(model)[-1]
        asking = log.asking(model, [user])
        answer = fitted.recommend(**asking, k=len(log.item_ids), exclude_seen=False)
        sizes = [abs(score) for _, score in filled(answer)[0]]
        tolerance = RTOL * max([*sizes, model._score_unit])
        for item, score in filled(answer)[0][:4]:
            if score == 0 and rates:
                continue
            table = fitted.explain(item=item, **_alone(asking))
            assert list(table.columns) == ["part", "kind", "reason", "contribution"]
            if score < 0 and table.empty:
                continue  # without evidence, shown behind scores that are negative
            parts = table["contribution"].abs().to_numpy()
            assert (np.diff(parts) <= 0).all(), f"{table} is not sorted."
            total = table["contribution"].sum()
            assert abs(total - score) <= tolerance + 1e-12, (
                f"{table} adds to {total}, not {score}."
            )

    for_all(holds, logs(model), share=0.5)


@check(_explains, private=True)
def check_explanation_becomes_a_sentence(model: BaseRecommender) -> None:
    """A shopper can read why an item is shown, and reads no id but of items that have a name."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        asking = log.asking(model, log.askers(model)[-1:])
        for item, _ in filled(fitted.recommend(**asking, k=2, exclude_seen=False))[0]:
            table = fitted.explain(item=item, **_alone(asking))
            assert all(type(part) is str and part for part in table["part"]), f"{table}"
            past = table.loc[table["kind"] == "item", "reason"].tolist()
            ids = {(type(one), one) for one in log.item_ids}
            assert {(type(one), one) for one in past} <= ids, f"{past} are not {log.item_ids}"
            names = {one: f"name{place}-" for place, one in enumerate(log.item_ids)}
            for language, ends in (("en", "."), ("zh", "。")):
                told = sentence(table, language=language, names=names)
                assert told.endswith(ends), told
                assert "{" not in told, told
                named = [one for one, name in names.items() if name in told]
                assert set(named) <= set(past), f"{told!r} names what is no reason in {table}."
                unnamed = sentence(table, language=language, max_reasons=9)
                shown = [one for one in (*log.item_ids, *log.user_ids) if f"“{one}”" in unnamed]
                assert not shown, f"{unnamed!r} shows {shown}."

    for_all(holds, logs(model), share=0.25)


@check(_explains, private=True)
def check_explaining_strangers_is_refused(model: BaseRecommender) -> None:
    """An unknown user or item is named, if the model is not private; histories are explained."""
    fitted = shop_log(model).fit(model)
    if is_private(model):
        with pytest.raises(UnknownIdError, match="1 of 1 items are not in the catalogue"):
            fitted.explain(item="??", history=["i1"])
    else:
        for user, item, stranger in [("u1", "??", r"\?\?"), ("?", "i1", r"\?")]:
            with pytest.raises(UnknownIdError, match=f"'{stranger}'"):
                fitted.explain(item=item, user=user)
    # The shortest visit that is evidence of anything.
    for length in range(2, 9):
        visited = [f"i{number}" for number in range(2, 2 + length)]
        best, score = filled(fitted.recommend(history=[visited], k=20))[0][0]
        if score != 0:
            break
    if traits_of(model).values == "rating" and score == 0:
        # A visit gives every item one rating, and what is constant correlates with nothing.
        return
    assert score != 0
    visit = fitted.explain(item=best, history=visited)
    assert abs(visit["contribution"].sum() - score) <= RTOL * abs(score), f"{visit}, not {score}"


@check()
def check_score_is_mean_ndcg(model: BaseRecommender) -> None:
    """`score` is NDCG@10 over the known users who have something new in the test events."""

    def holds(log: Log, later: Log) -> None:
        fitted = log.fit(model)
        shop = Interactions.from_table(later.events)
        good = shop.to_scipy().toarray() > 0
        wanted = {}
        for user, liked in zip(shop.user_ids.tolist(), good, strict=True):
            # An item that the model does not know stays one that it misses.
            new = set(shop.item_ids[liked].tolist()) - log.seen.get(user, set())
            if user in log.seen and new:
                wanted[user] = new
        # In one batch, as `score` asks: ties among sums may fall otherwise in another.
        rows = fitted.recommend(list(wanted), k=10).items.tolist() if wanted else []
        discount = 1 / np.log2(np.arange(2, 12))
        gains = [
            sum(d for item, d in zip(row, discount, strict=True) if item in new)
            / discount[: len(new)].sum()
            for row, new in zip(rows, wanted.values(), strict=True)
        ]
        expected = np.mean(gains) if gains else np.nan
        score = fitted.score(later.events)
        assert np.allclose(score, expected, rtol=1e-9, equal_nan=True), f"{score}, not {expected}"

    for_all(
        holds,
        logs(model, ids="str", available=False),
        logs(model, ids="str", sides=False),
        share=0.5,
    )


@check(private=True)
def check_to_frame_is_tidy(model: BaseRecommender) -> None:
    """`to_frame` has a row for each recommendation, named after what was asked."""
    log = shop_log(model)
    fitted = log.fit(model)
    frame = fitted.recommend(**log.asking(model, ["u1", "u2"]), k=3).to_frame()
    assert frame.columns.tolist() == ["user_id", "rank", "item_id", "score"]
    assert frame["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    visits = fitted.recommend(history=[["i1"], ["i2"]], k=2).to_frame()
    assert visits["user_id"].tolist() == [0, 0, 1, 1]
    if not is_private(model):
        assert len(everything(fitted)) == len(fitted.user_ids_)
    items, scores = fitted.recommend(history=[["i1"]], k=2)
    assert items.shape == scores.shape == (1, 2)
    with pytest.raises(ValueError, match="backend must be"):
        fitted.recommend(history=[["i1"]], k=2).to_frame("sql")
