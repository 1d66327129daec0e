"""Checks of private models: what they spend, what they keep, what a single person can move."""

from __future__ import annotations

import json
import logging
import pickle
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from ecomrec.base import BaseRecommender
from ecomrec.exceptions import DataError
from ecomrec.privacy import (
    BudgetExceededError,
    PrivacyLedger,
    PrivacyReport,
    SeededNoise,
    epsilon_of,
    record_replay,
)
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_refused,
    everything,
    quick_files,
    saved_bytes,
)
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import Log, Traits, logs, shop_log, traits_of
from ecomrec.testing._memory import holds_id

_PLANTED_USER, _PLANTED_NUMBER, _PLANTED_WEIGHT = (
    "planted-7f3a9c",
    7_919_104_729_001,
    3.14159027,
)


def _private(traits: Traits) -> bool:
    return traits.private


def _noisy(traits: Traits) -> bool:
    return traits.noisy


def _ledger(model: Any, epsilon: float = 1e9) -> PrivacyLedger:
    """A ledger in memory, by default one that does not refuse anything."""
    return PrivacyLedger(None, epsilon=epsilon, delta=model.delta)


@check(_private, private=True)
def check_private_models_know_no_users(model: BaseRecommender) -> None:
    """Whatever would need users is a TypeError, or is not there, and the message says why."""
    log = shop_log(model)
    fitted: Any = log.fit(model)
    calls: dict[str, Callable[[], Any]] = {
        "recommend(users)": lambda: fitted.recommend(["u1"]),
        "recommend(users, history=...)": lambda: fitted.recommend(["u1"], history=[["i1"]]),
        "forget(users=...)": lambda: fitted.forget(users=["u1"]),
        "forget(items=...)": lambda: fitted.forget(items=["i1"]),
        "refresh()": lambda: fitted.refresh(),
        "explain(user)": lambda: fitted.explain("u1", "i1"),
        "similar_users": lambda: fitted.similar_users(["u1"]),
        "has_seen": lambda: fitted.has_seen([("u1", "i1")]),
    }
    for name, call in calls.items():
        assert_refused(call, TypeError, f"{type(model).__name__} is private.*Use ", name)
    for name in ("predict", "partial_fit", "user_ids_"):
        assert not hasattr(fitted, name), f"a private model has {name}."
        with pytest.raises(AttributeError) as raised:
            getattr(fitted, name)
        assert "private" in f"{raised.value} {raised.value.__cause__}", name
    assert_refused(lambda: fitted.recommend(), ValueError, "history", "recommend()")


@check(_private, private=True)
def check_histories_take_every_form(model: BaseRecommender) -> None:
    """Lists and tables of histories are answered alike, without times of their own too."""

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        lists = {user: sorted(log.seen[user]) for user in log.askers(model)}
        table = pd.DataFrame(
            [(user, item) for user, items in lists.items() for item in items],
            columns=["user_id", "item_id"],
        )
        k = len(log.item_ids) + 1
        one = fitted.recommend(history=list(lists.values()), k=k)
        other = fitted.recommend(history=table, k=k)
        assert_equal_bits(one, other, "histories as lists and as a table")
        assert list(other.keys) == list(lists)

    for_all(holds, logs(model, values="none"), share=0.5)


@check(_noisy, private=True)
def check_every_fit_is_charged(model: BaseRecommender) -> None:
    """The ledger gets the events of the report at each fit, also from clones."""
    log, ledger = shop_log(model), _ledger(model)
    charged = clone(model).set_params(ledger=ledger)
    one = log.fit(charged)
    booked = list(one.privacy_report_.events)
    assert list(ledger.events) == booked, f"{ledger.events} were booked of {booked}."
    assert one.ledger is ledger, "a clone has a ledger of its own."
    one.fit(log.events, **log.sides)
    assert list(ledger.events) == 2 * booked, "a second fit was not charged."
    clone(one).fit(log.events, **log.sides)
    assert list(ledger.events) == 3 * booked, "the fit of a clone was not charged."
    assert ledger.spent() > one.privacy_report_.epsilon


@check(_noisy, private=True)
def check_charge_comes_before_noise(model: BaseRecommender) -> None:
    """A fit that fails while it learns has been charged; one beyond the budget learns nothing."""
    log, ledger = shop_log(model), _ledger(model)
    charged = clone(model).set_params(ledger=ledger)
    with mock.patch.object(type(model), "_learn", side_effect=RuntimeError("a crash")):
        with pytest.raises(RuntimeError, match="a crash"):
            charged.fit(log.events, **log.sides)
        assert list(ledger.events), "a crash in the middle of a fit was not charged."
        poor = _ledger(model, 1e-6)
        # The hook would raise another error if it were called.
        with pytest.raises(BudgetExceededError):
            charged.set_params(ledger=poor).fit(log.events, **log.sides)
    assert not list(poor.events), "a refused fit was charged."
    assert not hasattr(charged, "item_ids_"), "a fit beyond the budget learned something."


@check(_private, private=True)
def check_report_is_kept(model: BaseRecommender) -> None:
    """The report says what was spent, in JSON and in the saved file."""
    fitted = shop_log(model).fit(model)
    report = fitted.privacy_report_
    said = json.loads(report.to_json())
    assert PrivacyReport.from_json(report.to_json()) == report
    assert (report.unit, report.adjacency) == ("user", "add_remove")
    assert report.delta == fitted.delta
    assert report.not_covered, "a report says what it does not cover."
    assert said["private"] is report.private
    if report.private:
        spent = epsilon_of(report.events, report.delta)
        assert report.epsilon <= fitted.epsilon * (1 + 1e-6)
        assert abs(spent - report.epsilon) <= 1e-6 * spent, f"{spent}, not {report.epsilon}"
    with quick_files() as path:
        fitted.save(path)
        read = type(model).load(path, verify=True)
    assert read.privacy_report_ == report
    assert read.advice_ == fitted.advice_ == report.advice
    assert pickle.loads(pickle.dumps(fitted)).privacy_report_ == report


@check(_private, private=True)
def check_infinite_epsilon_says_not_private(model: BaseRecommender) -> None:
    """With ``epsilon=inf`` nothing is booked, and the report says that it is not private."""
    log, ledger = shop_log(model), _ledger(model)
    plain = clone(model).set_params(epsilon=np.inf, ledger=ledger)
    fitted = log.fit(plain)
    report = fitted.privacy_report_
    assert report.private is False
    assert not report.events
    assert not list(ledger.events), "without noise there is nothing to charge."
    assert "without noise" in report._repr_html_()
    assert_equal_bits(everything(fitted), everything(log.fit(plain)), "two fits without noise")


@check(_noisy, private=True)
def check_noise_comes_from_its_source(model: BaseRecommender) -> None:
    """A seed gives the same noise in each fit and says so; the system's noise never recurs."""
    log = shop_log(model)
    seeds = [clone(model).set_params(noise_source=SeededNoise(seed)) for seed in (5, 5, 6)]
    one, same, other = (saved_bytes(log.fit(seeded)) for seeded in seeds)
    assert one == same, "one seed gives two models."
    arrays = [_arrays_of(log.fit(m)) for m in seeds[1:]]
    assert arrays[0] != arrays[1], "two seeds give one model."
    assert log.fit(seeds[0]).privacy_report_.secure_noise is False
    free = [log.fit(clone(model).set_params(noise_source=None)) for _ in range(2)]
    assert free[0].privacy_report_.secure_noise is True
    assert _arrays_of(free[0]) != _arrays_of(free[1]), "two fits have the same noise."
    assert other != one


def _arrays_of(fitted: Any) -> bytes:
    """What a model has learned."""
    return pickle.dumps(fitted._state.learned)


@check(_private, private=True)
def check_nobody_is_kept(model: BaseRecommender) -> None:
    """No id, weight or time of a user is in the model, its files, its errors or the log."""
    for user in (_PLANTED_USER, _PLANTED_NUMBER):
        log = _planted(model, user)
        with _heard() as heard:
            fitted = log.fit(model)
            answer = everything(fitted)
            heard += _refusals(fitted, log, user)
        blobs = {
            "repr": repr(fitted).encode(),
            "pickle": pickle.dumps(fitted),
            "file": saved_bytes(fitted),
            "log and errors": "\n".join(heard).encode(),
            "answer": repr(answer).encode(),
        }
        for what, blob in blobs.items():
            for form in _forms(user):
                assert form not in blob, f"the {what} of a private model names a user."
        assert not holds_id(fitted, user), "a private model holds a user's id."


def _planted(model: BaseRecommender, user: Any) -> Log:
    """A log with a user whose id, weight and time are easy to find."""
    log = shop_log(model, ids="str" if isinstance(user, str) else "int")
    name = "weight" if "weight" in log.events else "rating"
    row = {"user_id": user, "item_id": log.item_ids[2], name: _PLANTED_WEIGHT}
    return Log(pd.concat([log.events, pd.DataFrame([row])], ignore_index=True), log.items)


def _refusals(fitted: Any, log: Log, user: Any) -> list[str]:
    """What a private model says when it refuses something about a user."""
    calls: list[Callable[[], Any]] = [
        lambda: fitted.recommend([user]),
        lambda: fitted.forget(users=[user]),
        lambda: clone(fitted).fit(log.events),
        lambda: clone(fitted).fit(log.events.drop(columns="item_id"), **log.sides),
    ]
    said = []
    for call in calls:
        with pytest.raises((TypeError, DataError)) as raised:
            call()
        said.append(str(raised.value))
    return said


def _forms(user: Any) -> Iterator[bytes]:
    """How a planted id or weight may be written."""
    yield str(user).encode()
    yield str(_PLANTED_WEIGHT).encode()
    yield struct.pack("<d", _PLANTED_WEIGHT)
    yield struct.pack("<f", _PLANTED_WEIGHT)
    if isinstance(user, int):
        yield struct.pack("<q", user)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Warnings and log lines of a block."""
    lines: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, ear = logging.getLogger(), Ear(level=logging.DEBUG)
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield lines
            lines += [str(one.message) for one in caught]
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


@check(_private, private=True)
def check_one_user_moves_no_more_than_declared(model: BaseRecommender) -> None:
    """A user more or less: the same releases, none moved too far, and nothing else differs."""

    def holds(log: Log, place: int) -> None:
        users = sorted(set(log.events["user_id"].tolist()))
        gone = log.events["user_id"] == users[place % len(users)]
        report = record_replay(model, log.events, log.events[~gone], fit_params=log.sides)
        assert report.ok, str(report)

    for_all(holds, logs(model), st.integers(0, 5), share=0.5)


@check(_private, private=True)
def check_spoiled_rows_teach_nothing(model: BaseRecommender) -> None:
    """Rows that cannot be used, and items outside the catalogue, are ignored without a word."""
    log = shop_log(model)
    expected = log.fit(model)
    name = "weight" if "weight" in log.events else "rating"
    spoiled = log.events.head(5).assign(**{name: [np.nan, np.inf, -np.inf, np.nan, np.inf]})
    strange = log.events.head(3).assign(item_id=["nobody-sells-this", "nor-this", "nor-this"])
    alone = log.events.head(2).assign(user_id="stranger", item_id="nobody-sells-this")
    lost = log.events.head(2).astype({"user_id": object, "item_id": object})
    lost["user_id"], lost["item_id"] = [None, "u3"], ["i1", None]
    for what, rows in {
        "weights that are no numbers": spoiled.assign(user_id=["v1", "v1", "v2", "u1", "u2"]),
        "unknown items": strange,
        "a user of unknown items only": alone,
        "missing ids": lost,
    }.items():
        events = pd.concat([log.events, rows], ignore_index=True)
        with _heard() as heard:
            fitted = clone(model).fit(events, **log.sides)
        assert not heard, f"{what} are spoken of: {heard}"
        if what != "weights that are no numbers":
            assert _arrays_of(expected) == _arrays_of(fitted), f"{what} changed the model."
        else:
            assert_equal_bits(
                everything(expected), everything(fitted), f"a log and one with {what}"
            )


@check(_private, private=True)
def check_catalogue_must_be_public(model: BaseRecommender) -> None:
    """A table without the list of items is refused, and the ways out are named."""
    log = shop_log(model)
    ways = r"items=.*vocabulary='dp'" if "vocabulary" in traits_of(model).params else "items="
    with pytest.raises(DataError, match=ways):
        clone(model).fit(log.events)
    nobody = clone(model).fit(log.events.head(0), **log.sides)
    assert nobody.item_ids_.tolist() == log.item_ids, "a shop without users is a neighbour of one."
    assert len(everything(nobody)) == len(log.item_ids)


@check(_private, private=True)
def check_bad_tables_are_named_without_ids(model: BaseRecommender) -> None:
    """A table that cannot be meant as a whole is refused by column, and no id is named."""
    log = shop_log(model)
    n = len(log.events)
    tables: dict[str, tuple[Any, str]] = {
        "no users": (log.events.drop(columns="user_id"), "user_id"),
        "other names": (log.events.rename(columns={"item_id": "sku"}), "item_id"),
        "a column twice": (
            pd.concat([log.events, log.events[["item_id"]]], axis=1),
            "item_id",
        ),
        "fractions as ids": (log.events.assign(user_id=np.arange(n) + 0.5), "user_id"),
        "numbers for names": (log.events.assign(item_id=np.arange(n)), "item"),
    }
    for what, (table, message) in tables.items():
        with pytest.raises(DataError, match=message) as raised:
            clone(model).fit(table, **log.sides)
        told = str(raised.value)
        assert not [i for i in ("'u1'", "'i1'", "0.5") if i in told], f"{what}: {told!r}"


@check(_noisy, private=True)
def check_tuning_is_refused_or_charged(model: BaseRecommender) -> None:
    """A cross-validation is refused, unless it is accounted for: then every fit is charged."""
    log, ledger = shop_log(model), _ledger(model)

    def score(tuned: BaseRecommender) -> Any:
        return cross_val_score(
            tuned, log.events, cv=2, scoring=lambda *_: 0.0, params={"items": log.items},
            error_score="raise",
        )  # fmt: skip

    with pytest.raises(ValueError, match="tuning='accounted'"):
        score(clone(model).set_params(ledger=ledger, tuning="refused"))
    assert not list(ledger.events), "a refused search was charged."
    with pytest.raises(ValueError, match="ledger"):
        score(clone(model).set_params(ledger=None, tuning="accounted"))
    score(clone(model).set_params(ledger=ledger, tuning="accounted"))
    booked = log.fit(model).privacy_report_.events
    assert len(list(ledger.events)) == 2 * len(booked), "a fold was not charged."
