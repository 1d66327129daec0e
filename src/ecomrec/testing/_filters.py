"""Checks of what a request adds: candidates, exclusions, stock, and what a visitor just did."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.base import clone

from ecomrec.base import BaseRecommender
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.testing._answers import assert_equal_bits, assert_same_answers, everything, filled
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import Log, is_private, logs, shop_log, traits_of


def _array(ids: list[Any]) -> np.ndarray:
    return np.fromiter(ids, dtype=object, count=len(ids))


# Forms in which a list of ids may come.
_FORMS: tuple[Callable[[list[Any]], Any], ...] = (list, set, _array, pd.Series, pd.Index)
_some = st.sets(st.integers(0, 11), max_size=9)


def _chosen(log: Log, places: set[int]) -> list[Any]:
    """Items at some places, the last of which stand for items that nobody knows."""
    unknown = "?" if isinstance(log.item_ids[0], str) else 424242
    return [log.item_ids[n] if n < len(log.item_ids) else unknown for n in sorted(places)]


@check(private=True)
def check_candidates_are_respected(model: BaseRecommender) -> None:
    """Nothing but candidates is shown, all of those that are eligible, with their usual scores."""

    def holds(log: Log, places: set[int], form: Callable[[list[Any]], Any]) -> None:
        fitted = log.fit(model)
        wanted = _chosen(log, places)
        k = len(log.item_ids) + 1
        users, asking = log.askers(model), log.asking(model)
        answer = fitted.recommend(**asking, k=k, candidates=form(wanted))
        whole = filled(fitted.recommend(**asking, k=k))
        rows = filled(answer)
        for user, row, usual in zip(users, rows, whole, strict=True):
            expected = [(item, score) for item, score in usual if item in wanted]
            assert {item for item, _ in row} == {item for item, _ in expected}, (
                f"{user!r} gets {row} of the candidates {wanted}."
            )
            # Behind negative scores items without evidence take the last of those.
            both = list(zip((s for _, s in row), (s for _, s in expected), strict=True))
            scores = np.array([pair for pair in both if max(pair) > 0]).reshape(-1, 2)
            tolerance = max(1e-7, 1e-5 * model._score_unit)
            np.testing.assert_allclose(scores[:, 0], scores[:, 1], rtol=1e-5, atol=tolerance)
        each = fitted.recommend(**asking, k=k, candidates=[wanted for _ in users])
        assert_same_answers(answer, each, what="shared candidates and the same for each")

    for_all(holds, logs(model), _some, st.sampled_from(_FORMS))


@check(private=True)
def check_candidates_may_differ_by_row(model: BaseRecommender) -> None:
    """With a list for each row, every row gets what it would get with its list alone."""

    def holds(log: Log, choices: list[set[int]], exclude: bool) -> None:
        fitted = log.fit(model)
        users = log.askers(model)[: len(choices)]
        lists = [_chosen(log, places) for places in choices[: len(users)]]
        name = "exclude" if exclude else "candidates"
        batch = fitted.recommend(**log.asking(model, users), k=5, **{name: lists})
        for row, (user, items) in enumerate(zip(users, lists, strict=True)):
            alone = fitted.recommend(**log.asking(model, [user]), k=5, **{name: items})
            part = type(batch)(batch.items[[row]], batch.scores[[row]], [user])
            assert_same_answers(alone, part, what=f"{name} for {user!r} alone and in a batch")

    for_all(holds, logs(model), st.lists(_some, min_size=3, max_size=3), st.booleans())


@check(private=True)
def check_excluded_items_never_return(model: BaseRecommender) -> None:
    """An excluded item is not shown, not even as a candidate; nothing else changes."""

    def holds(log: Log, places: set[int], form: Callable[[list[Any]], Any]) -> None:
        fitted = log.fit(model)
        hidden = _chosen(log, places)
        k = len(log.item_ids) + 1
        users, asking = log.askers(model), log.asking(model)
        answer = fitted.recommend(**asking, k=k, exclude=form(hidden))
        whole = filled(fitted.recommend(**asking, k=k))
        for user, row, usual in zip(users, filled(answer), whole, strict=True):
            expected = {item for item, _ in usual if item not in hidden}
            assert {item for item, _ in row} == expected, f"{user!r} gets {row} without {hidden}."
        both = fitted.recommend(**asking, k=k, exclude=hidden, candidates=hidden)
        assert filled(both) == [[] for _ in users], "candidates override exclude."

    for_all(holds, logs(model), _some, st.sampled_from(_FORMS))


@check(private=True)
def check_out_of_stock_never_shown(model: BaseRecommender) -> None:
    """Items that the catalogue marks as not available are never shown, but still teach."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        for options in ({}, {"exclude_seen": False}, {"candidates": log.item_ids}):
            for row in filled(everything(fitted, **options)):
                shown = {item for item, _ in row}
                assert not shown & log.hidden, f"{row} holds some of {log.hidden}."
        assert log.items is not None
        everywhere = Log(log.events, log.items.drop(columns="available"), log.users).fit(model)
        excluded = everything(everywhere, exclude=sorted(log.hidden))
        assert_same_answers(everything(fitted), excluded, what="not available and excluded items")
        if is_private(model):
            return
        flipped = log.items.assign(available=~log.items["available"])
        fitted.partial_fit(log.events.iloc[:0], items=flipped)
        gone = set(log.items["item_id"].tolist()) - log.hidden
        for row in filled(everything(fitted)):
            assert not {item for item, _ in row} & gone, "a later catalogue is not heeded."

    for_all(holds, logs(model, available=True), share=0.5)


@check()
def check_history_equals_stored_user(model: BaseRecommender) -> None:
    """A visitor who did what a user did gets what the user gets."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        users = list(dict.fromkeys(log.events["user_id"].tolist()))
        k = len(log.item_ids) + 1
        stored = fitted.recommend(users, k=k)
        assert_same_answers(
            stored, fitted.recommend(history=log.events, k=k), what="users and their histories"
        )
        # Listed items count 1, now; or as much as the best of ratings.
        if not {"weight", "rating", "timestamp"} & set(log.events):
            visits = [[item for user, item in log.pairs if user == one] for one in users]
            lists = fitted.recommend(history=visits, k=k)
            assert_same_answers(stored, lists, what="users and lists of their items")
            assert list(lists.keys) == list(range(len(users)))

    for_all(holds, logs(model))


@check()
def check_history_adds_to_stored_user(model: BaseRecommender) -> None:
    """What a known visitor does right now is seen at once, and forgotten after the call."""
    log = shop_log(model)
    fitted = log.fit(model)
    before = everything(fitted)
    now = "i7"
    answer = fitted.recommend(["u1", "u2"], k=20, history=[[now], []])
    rows = filled(answer)
    assert now not in [item for item, _ in rows[0]], f"{now} was just touched: {rows[0]}."
    assert {item for item, _ in rows[0]} == log.fresh("u1") - {now}
    plain = fitted.recommend(["u2"], k=20)
    part = type(plain)(answer.items[[1]], answer.scores[[1]], ["u2"])
    assert_same_answers(plain, part, what="u2 with and without an empty history")
    table = log.events.iloc[:1].assign(user_id="u1", item_id=now)
    from_table = fitted.recommend(["u1", "u2"], k=20, history=table)
    assert now not in [item for item, _ in filled(from_table)[0]]
    assert_equal_bits(before, everything(fitted), "answers before and after a history")
    with pytest.raises(DataError, match="'u9', who is not among the users"):
        fitted.recommend(["u1"], history=table.assign(user_id="u9"))


@check()
def check_history_joins_stored_events(model: BaseRecommender) -> None:
    """A user with a history gets what a visitor who did both gets: weights add, ratings renew."""
    traits = traits_of(model)

    def holds(log: Log, places: list[int]) -> None:
        fitted = log.fit(model)
        user = log.pairs[0][0]
        own = log.events[log.events["user_id"] == user]
        now = log.events.iloc[[place % len(log.events) for place in places]].assign(user_id=user)
        if "timestamp" in now:
            now["timestamp"] = log.events["timestamp"].max() + np.timedelta64(1, "D")
        k = len(log.item_ids) + 1
        both = fitted.recommend([user], history=now, k=k)
        visitor = fitted.recommend(history=pd.concat([own, now], ignore_index=True), k=k)
        assert_same_answers(both, visitor, what=f"{user!r} who did more and a visitor who did all")

    timed = True if traits.values == "rating" else None
    for_all(
        holds,
        logs(model, timestamps=timed),
        st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True),
    )


@check(private=True)
def check_unknown_history_is_ignored_or_named(model: BaseRecommender) -> None:
    """Unknown items of a history are left out with one warning; without any other, it is named."""
    log = shop_log(model)
    fitted = log.fit(model)
    expected = fitted.recommend(history=[["i1", "i3"]], k=5)
    with pytest.warns(UserWarning, match="2 of 4 items in the histories are not known") as caught:
        answer = fitted.recommend(history=[["i1", "?", "i3", "??"]], k=5)
    assert len(caught) == 1
    assert_equal_bits(expected, answer, "a history with and without unknown items")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for stranger in (["?"], []):
            with pytest.raises(UnknownIdError, match=r"rows \[1\] is known"):
                fitted.recommend(history=[["i1"], stranger])
            answer = fitted.recommend(history=[["i1"], stranger], k=5, unknown="skip")
            assert answer.items[1].tolist() == [None] * 5
            alone = fitted.recommend(history=[["i1"], ["i1"]], k=5)
            assert filled(answer)[0] == filled(alone)[0]


@check(private=True)
def check_history_takes_filters(model: BaseRecommender) -> None:
    """A visitor's own items, candidates and exclusions work as for a known user."""

    def holds(log: Log, visit: set[int], places: set[int], exclude_seen: bool) -> None:
        fitted = log.fit(model)
        items = [log.item_ids[n] for n in sorted(visit) if n < len(log.item_ids)]
        if not items:
            return
        wanted = _chosen(log, places)
        k = len(log.item_ids) + 1
        answer = fitted.recommend(
            history=[items, items[:1]], k=k, candidates=wanted, exclude_seen=exclude_seen
        )
        eligible = set(wanted) & set(log.item_ids) - log.hidden
        for touched, row in zip((items, items[:1]), filled(answer), strict=True):
            left = eligible - set(touched) if exclude_seen else eligible
            assert {item for item, _ in row} == left, f"{touched} gets {row} of {wanted}."
        rest = fitted.recommend(
            history=[items, items[:1]], k=k, exclude=wanted, exclude_seen=exclude_seen
        )
        for row in filled(rest):
            assert not {item for item, _ in row} & set(wanted)

    for_all(holds, logs(model), _some, _some, st.booleans())


@check()
def check_stock_of_a_batch_counts_at_once(model: BaseRecommender) -> None:
    """An item that a batch brings is shown, and hidden as soon as a catalogue says so."""
    log = shop_log(model)
    fitted = clone(model).fit(log.events, **log.sides)
    batch = log.events.iloc[:3].assign(item_id="brand new")
    fitted.partial_fit(batch, items=pd.DataFrame({"item_id": ["brand new", "to come"]}))
    shown = {item for item, _ in filled(fitted.recommend(["u5"], k=40))[0]}
    assert {"brand new", "to come"} <= shown, f"{shown} lacks the items of a batch."
    catalog = pd.DataFrame({"item_id": ["brand new"], "available": [False]})
    fitted.partial_fit(log.events.iloc[:0], items=catalog)
    shown = {item for item, _ in filled(fitted.recommend(["u5"], k=40))[0]}
    assert "brand new" not in shown
    assert "to come" in shown
