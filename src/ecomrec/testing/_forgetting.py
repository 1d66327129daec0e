"""Checks of forget: what is left is as if the forgotten had never been."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from ecomrec.base import BaseRecommender
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_same_answers,
    assert_same_models,
    everything,
    saved_bytes,
)
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import Log, Traits, logs, shop_log, traits_of
from ecomrec.testing._memory import holds_id

_some = st.sets(st.integers(0, 9), max_size=3)


def _forgets_exactly(traits: Traits) -> bool:
    return traits.forgets_exactly


def _without(log: Log, users: set[int], items: set[int]) -> tuple[Log, dict[str, list[Any]]]:
    """What is left of a log, and what `forget` is told; at least one event stays."""
    gone = {
        "users": [user for place, user in enumerate(log.user_ids) if place in users],
        "items": [item for place, item in enumerate(log.item_ids) if place in items],
    }
    left = log.without(**gone)
    assume(len(left.events) > 0)
    return left, gone


@check(_forgets_exactly)
def check_forget_equals_fit_without(model: BaseRecommender) -> None:
    """After `forget` a model answers as one that was fitted without those users and items."""

    def holds(log: Log, users: set[int], items: set[int], cut: int, fresh: bool) -> None:
        left, gone = _without(log, users, items)
        first, later = log.split(cut)
        fitted = first.fit(model).partial_fit(later.events, **later.sides)
        if fresh:
            fitted.refresh()
        assert fitted.forget(**gone) is fitted
        expected = left.fit(model)
        assert_same_models(expected, fitted.refresh(), "a fit without them and forgetting them")
        similar = (one.similar_items(left.item_ids, k=12) for one in (expected, fitted))
        assert_same_answers(*similar, what="similar items")

    for_all(holds, logs(model), _some, _some, st.integers(1, 30), st.booleans())


@check(_forgets_exactly)
def check_forget_counts_at_once(model: BaseRecommender) -> None:
    """After `forget` answers are right without `refresh()`, and batches may come again."""

    def holds(log: Log, users: set[int], items: set[int], cut: int) -> None:
        left, gone = _without(log, users, items)
        fitted = log.fit(model).forget(**gone)
        expected = left.fit(model)
        assert_same_models(expected, fitted, "a fit without them and forgetting them")
        again = log.events.iloc[: cut % len(log.events) + 1]
        twice = Log(pd.concat([left.events, again], ignore_index=True), left.items, left.users)
        fitted.partial_fit(again).refresh()
        assert_same_models(twice.fit(model), fitted, "those who came back and a fit with them")

    for_all(holds, logs(model), _some, _some, st.integers(0, 30))


@check()
def check_forgotten_ids_leave_no_trace(model: BaseRecommender) -> None:
    """A forgotten id is in no array of the model, in no pickle and in no saved file."""
    marks: dict[str, tuple[Any, Any]] = {
        "str": ("forget-me-user", "forget-me-item"),
        "int": (0x4D2A_77F1_3B5C_6E91, 0x3C1B_66E0_2A4B_5D82),
    }
    when = np.datetime64("2023-07-14T03:14:15.926535", "us")
    for kind, (user, item) in marks.items():
        log = shop_log(model, ids=kind)
        batch = log.events.iloc[:6].assign(user_id=user)
        batch.loc[3:, "item_id"] = item
        extra = log.events.iloc[8:10].assign(item_id=item)
        # A half-life is no longer the same after the newest event: these are old ones.
        if "timestamp" in batch:
            batch["timestamp"] = when
        for early in (True, False):
            events = pd.concat([log.events, batch, extra], ignore_index=True)
            items = log.items
            if items is not None:
                told = pd.DataFrame({"item_id": [item], "title": ["forget my words"]})
                told = told.assign(category="forget my words", price=77.25)
                items = pd.concat([items, told], ignore_index=True) if early else items
            fitted = Log(events if early else log.events, items, log.users).fit(model)
            if not early:
                everything(fitted)
                later = pd.concat([batch, extra], ignore_index=True)
                fitted.partial_fit(later, items=None if log.items is None else told)
            everything(fitted)
            fitted.similar_users([user], k=3)
            fitted.forget(users=[user], items=[item])
            how = f"{kind} ids, {'fitted' if early else 'added by partial_fit'}"
            for name, value in {"user": user, "item": item}.items():
                assert not holds_id(fitted, value), f"the model holds a forgotten {name}: {how}."
                text = value.encode() if isinstance(value, str) else value.to_bytes(8, "little")
                for form, blob in (
                    ("pickle", pickle.dumps(fitted)),
                    ("saved file", saved_bytes(fitted)),
                ):
                    assert text not in blob, f"the {form} holds a forgotten {name}: {how}."
                    assert b"forget" not in blob, f"the {form} holds forgotten words: {how}."
            if "timestamp" in batch:
                stamp = int(when.astype("datetime64[ns]").astype(np.int64))
                assert not holds_id(fitted, stamp), f"the model holds a forgotten time: {how}."
            everything(fitted)
            pairs = [(user, item), (user, log.item_ids[0]), (log.user_ids[0], item)]
            assert not fitted.has_seen(pairs).any()
            with pytest.raises(UnknownIdError):
                fitted.recommend([user])


@check()
def check_forgetting_strangers_changes_nothing(model: BaseRecommender) -> None:
    """An id that was never seen is named and nothing is removed; forgetting nobody is allowed."""
    fitted = shop_log(model).fit(model)
    before = everything(fitted)
    for users, items, name in (
        (["u1", "?"], None, "users"),
        (None, ["i1", "?"], "items"),
        (["u1"], ["?"], "items"),
    ):
        with pytest.raises(UnknownIdError, match=r"'\?'"):
            fitted.forget(users=users, items=items)
        assert_equal_bits(before, everything(fitted), f"answers before and after unknown {name}")
    assert fitted.forget() is fitted
    assert fitted.forget(users=[], items=[]) is fitted
    assert_equal_bits(before, everything(fitted), "answers before and after forgetting nobody")
    with pytest.raises(DataError, match="must be a list of ids"):
        fitted.forget(users="u1")
    with pytest.raises(DataError, match="no user or no item"):
        fitted.forget(users=fitted.user_ids_)
    assert_equal_bits(before, everything(fitted), "answers before and after forgetting everybody")


@check(lambda traits: traits.group is not None)
def check_forgotten_groups_leave_no_trace(model: BaseRecommender) -> None:
    """A group goes with the last of its users."""
    log = shop_log(model)
    assert log.users is not None
    group = str(traits_of(model).group)
    users = log.users.copy()
    users.loc[0, group] = "only-mine"
    fitted = Log(log.events, users=users).fit(model)
    fitted.forget(users=["u0"])
    for blob in (pickle.dumps(fitted), saved_bytes(fitted)):
        assert b"only-mine" not in blob
