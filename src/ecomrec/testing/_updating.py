"""Checks of partial_fit and refresh: as good as a fit on everything."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.base import clone

from ecomrec.base import BaseRecommender
from ecomrec.data.interactions import Interactions
from ecomrec.data.timestamps import half_life_nanoseconds
from ecomrec.exceptions import DataError
from ecomrec.testing import strategies
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_same_answers,
    assert_same_models,
    everything,
    filled,
)
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._fitting import takes_matrix
from ecomrec.testing._logs import Log, logs, shop_log, traits_of
from ecomrec.testing._memory import array_bytes

cuts = st.lists(st.integers(1, 40), min_size=1, max_size=3)


def parts_of(log: Log, places: list[int]) -> list[Log]:
    """Cut a log into batches; there may be empty ones, but not the first."""
    parts, rest = [], log
    for place in places:
        first, rest = rest.split(min(place, max(1, len(rest.events))))
        parts.append(first)
    return [*parts, rest]


@check()
def check_partial_fit_equals_fit(model: BaseRecommender) -> None:
    """After any batches a model answers at once as if it had been fitted on everything."""

    def holds(log: Log, places: list[int], ask_between: bool) -> None:
        whole = log.fit(model)
        parts = parts_of(log, places)
        grown = parts[0].fit(model)
        for part in parts[1:]:
            if ask_between:
                everything(grown)
            assert grown.partial_fit(part.events, **part.sides) is grown
        assert_same_models(whole, grown, "a fit and a fit in parts")

    for_all(holds, logs(model), cuts, st.booleans())


@check()
def check_refresh_equals_fit(model: BaseRecommender) -> None:
    """After any batches and `refresh()` a model equals a fit on everything."""

    def holds(log: Log, places: list[int], ask_between: bool) -> None:
        whole = log.fit(model)
        parts = parts_of(log, places)
        grown = parts[0].fit(model)
        for part in parts[1:]:
            if ask_between:
                everything(grown)
            grown.partial_fit(part.events, **part.sides)
        assert grown.refresh() is grown
        assert_same_models(whole, grown, "a fit and a refreshed fit in parts")
        similar = (one.similar_items(log.item_ids, k=12) for one in (whole, grown))
        assert_same_answers(*similar, what="similar items")
        kept = everything(grown)
        assert_equal_bits(kept, everything(grown.refresh()), "one refresh and two")

    for_all(holds, logs(model), cuts, st.booleans())


@check()
def check_partial_fit_on_unfitted_is_fit(model: BaseRecommender) -> None:
    """On an unfitted model `partial_fit` is `fit`; `Interactions` are taken as a batch too."""
    log = shop_log(model)
    expected = everything(log.fit(model))
    started = clone(model).partial_fit(log.events, **log.sides)
    assert_equal_bits(expected, everything(started), "fit and a first partial_fit")
    values = traits_of(model).values
    half_life = getattr(model, "half_life", None)
    first, later = log.split(20)
    shops = [
        Interactions.from_table(part.events, values=values, half_life=half_life)
        for part in (first, later)
    ]
    grown = clone(model).fit(shops[0], **log.sides).partial_fit(shops[1]).refresh()
    assert_same_models(log.fit(model), grown, "a fit and two Interactions")


@check(takes_matrix)
def check_partial_fit_takes_matrices(model: BaseRecommender) -> None:
    """A matrix adds to a model that was fitted on one; to one fitted on a table it does not."""
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 3, size=(2, 7, 6)) * 1.0
    if traits_of(model).values == "rating":
        other[one > 0] = 0
    grown = clone(model).fit(one).partial_fit(other).refresh()
    assert_same_models(clone(model).fit(one + other), grown, "a sum of matrices and its parts")
    fitted = shop_log(model).fit(model)
    with pytest.raises(DataError, match="fitted on a table"):
        fitted.partial_fit(one)


@check()
def check_partial_fit_in_parts(model: BaseRecommender) -> None:
    """Answers do not depend on how events were batched, or on the order of the batches."""

    def holds(log: Log, cut: int, random: np.random.Generator) -> None:
        first, later = log.split(cut)
        one = first.fit(model).partial_fit(later.events, **later.sides).refresh()
        other = first.fit(model).partial_fit(later.events.iloc[:0], **later.sides)
        order = random.permutation(len(later.events))
        for row in order:
            other.partial_fit(later.events.iloc[[row]])
        assert_same_models(one, other.refresh(), "one batch and a batch for each event")

    seeds = st.integers(0, 99).map(np.random.default_rng)
    for_all(holds, logs(model), st.integers(4, 30), seeds, share=0.5)


@check()
def check_new_events_count_at_once(model: BaseRecommender) -> None:
    """What a batch says is seen at once: no item of it comes back, its users are known."""

    def holds(log: Log, cut: int) -> None:
        first, later = log.split(cut)
        fitted = first.fit(model)
        everything(fitted)
        fitted.partial_fit(later.events, **later.sides)
        rows = filled(fitted.recommend(log.user_ids, k=len(log.item_ids) + 1))
        for user, row in zip(log.user_ids, rows, strict=True):
            assert {item for item, _ in row} == log.fresh(user), f"{user!r} gets {row}."

    for_all(holds, logs(model), st.integers(1, 30))


@check()
def check_failed_update_changes_nothing(model: BaseRecommender) -> None:
    """A batch that is refused, by its events or its side tables, leaves the model as it was."""
    log = shop_log(model)
    fitted = log.fit(model)
    before = everything(fitted)
    n_items = len(fitted.item_ids_)
    batch = log.events.iloc[:2].assign(user_id="new user", item_id="new item")
    twice = pd.DataFrame({"item_id": ["x", "x"]})
    flags = pd.DataFrame({"item_id": ["new item"], "available": ["perhaps"]})
    numbers = batch.assign(item_id=7)
    for events, items, message in (
        (batch, twice, "more than one row for item_id 'x'"),
        (batch, flags, "True or False in its available column"),
        (numbers, None, "item_id is int in the batch and str in the fitted model"),
        (batch.drop(columns="item_id"), None, "lacks the columns"),
    ):
        with pytest.raises(DataError, match=message):
            fitted.partial_fit(events, items=items)
        assert len(fitted.item_ids_) == n_items
        assert_equal_bits(before, everything(fitted), f"answers before and after {message!r}")
    fitted.partial_fit(batch)
    assert len(fitted.item_ids_) == n_items + 1


@check()
def check_memory_is_bounded(model: BaseRecommender) -> None:
    """Events that come again and again do not make the model grow."""
    log = shop_log(model)
    fitted = log.fit(model)
    sizes = []
    for round_ in range(40):
        some = log.events.iloc[round_ % 5 :: 5]
        fitted.partial_fit(some)
        fitted.recommend(["u1", "u2"], k=3)
        fitted.recommend(history=[["i1", "i2"]], k=3)
        sizes.append(array_bytes(fitted))
    grown = max(sizes[20:]) - max(sizes[:20])
    assert grown <= 0.05 * max(sizes[:20]), (
        f"40 batches of events on known pairs take {sizes[0]}, {sizes[19]} and {sizes[-1]} bytes."
    )


@check()
def check_half_life_forgets_slowly(model: BaseRecommender) -> None:
    """With a half-life, old events weigh less; without one, times do not matter."""
    traits = traits_of(model)
    log = shop_log(model)
    start = strategies.START
    even = log.events.assign(timestamp=start)
    old_first = log.events.assign(
        timestamp=start + (np.arange(len(log.events)) * 400).astype("timedelta64[D]")
    )
    one, other = (Log(events, log.items, log.users).fit(model) for events in (even, old_first))
    same = filled(everything(one)) == filled(everything(other))
    if not traits.decays:
        assert same, "times change the answers of a model without a half-life."
        return
    shifted = even.assign(timestamp=start + np.timedelta64(99, "D"))
    later = Log(shifted, log.items, log.users).fit(model)
    assert_same_models(one, later, "the same events, all of them later")


@check(lambda traits: traits.decays)
def check_batches_far_apart_equal_fit(model: BaseRecommender) -> None:
    """With a half-life, batches hundreds of half-lives later or earlier are exact too."""
    half_life = half_life_nanoseconds(getattr(model, "half_life", None))
    log = shop_log(model)
    tables = [part.events for part in log.split(24)]
    gap = np.timedelta64(round(300 * half_life / 1000), "us")
    for steps in ((0, 1), (1, 0), (0, 1, 2, 3)):
        parts = [
            events.assign(timestamp=events["timestamp"] + step * gap)
            for step, events in zip(steps, tables * 2, strict=False)
        ]
        grown = clone(model).fit(parts[0], **log.sides)
        for events in parts[1:]:
            everything(grown.partial_fit(events, **log.sides))
        whole = Log(pd.concat(parts, ignore_index=True), log.items, log.users).fit(model)
        what = f"a fit and batches that are {steps} x 300 half-lives apart"
        assert_same_models(whole, grown.refresh(), what)
