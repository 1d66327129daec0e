"""Checks of what comes in: hostile and tiny tables, ids of every type, tables of every library."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from ecomrec.base import BaseRecommender
from ecomrec.exceptions import DataError
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_refused,
    everything,
    filled,
    visits,
)
from ecomrec.testing._checks import check
from ecomrec.testing._fitting import takes_matrix
from ecomrec.testing._logs import Log, described, is_private, shop_log, traits_of


def _hostile(events: pd.DataFrame, value: str) -> dict[str, tuple[Any, str]]:
    """Tables that no model may accept, and what the message must say."""
    n = len(events)
    holes = events.astype({"user_id": object, "item_id": object})
    holes.loc[2, "user_id"] = None
    holes.loc[3, "item_id"] = np.nan
    mixed = events.astype({"item_id": object})
    mixed.loc[1, "item_id"] = 17
    late = events.assign(timestamp=np.datetime64("2024-01-01", "us"))
    late.loc[0, "timestamp"] = pd.NaT
    numbers = np.arange(n)
    values = {
        "an infinite value": (np.inf, "infinite"),
        "a missing value": (np.nan, f"1 without {value}"),
    }
    spoiled = {}
    for name, (bad, message) in values.items():
        column = np.ones(n)
        column[1] = bad
        spoiled[name] = (events.assign(**{value: column}), message)
    return {
        "missing ids": (holes, "1 without user_id, 1 without item_id"),
        "ids of two types": (mixed, "item_id mixes types"),
        "fractions as ids": (events.assign(user_id=numbers + 0.5), "user_id holds fractions"),
        "booleans as ids": (events.assign(user_id=numbers > 3), "user_id holds"),
        "times as ids": (events.assign(user_id=late["timestamp"].max()), "user_id"),
        "the id -1": (events.assign(user_id=numbers - 1), "user_id holds -1"),
        "an id beyond int64": (
            events.assign(item_id=numbers.astype(np.uint64) + np.uint64(2**63)),
            "beyond the largest integer id",
        ),
        "no users": (events.drop(columns="user_id"), r"lacks the columns \['user_id'\]"),
        "other names": (events.rename(columns={"item_id": "sku"}), "rename 'sku' to 'item_id'"),
        "a column twice": (
            pd.concat([events, events[["item_id"]]], axis=1), r"\['item_id'\] twice"
        ),
        **spoiled,
        "words as values": (events.assign(**{value: "much"}), f"{value} must hold numbers"),
        "a missing time": (late, "1 without timestamp"),
        "milliseconds": (events.assign(timestamp=1_700_000_000_000), "looks like milliseconds"),
        "no time at all": (events.assign(timestamp="yesterday"), "ISO 8601"),
    }  # fmt: skip


@check()
def check_hostile_tables_are_refused(model: BaseRecommender) -> None:
    """A table that cannot be meant is refused by name, and the model stays as it was."""
    log = shop_log(model)
    value = traits_of(model).values
    fitted = log.fit(model)
    before = everything(fitted)
    for name, (table, message) in _hostile(log.events, value).items():
        for learn in (clone(model).fit, fitted.fit, fitted.partial_fit):
            assert_refused(
                lambda learn=learn, table=table: learn(table, **log.sides),  # type: ignore[misc]
                DataError,
                message,
                f"{name} in {learn.__name__}",
            )
        assert_equal_bits(before, everything(fitted), f"the model before and after {name}")
    for name, data in {"a list": [("u1", "i1")], "text": "events.csv", "None": None}.items():
        assert_refused(lambda data=data: clone(model).fit(data), (TypeError, ValueError), "", name)  # type: ignore[misc]


@check()
def check_swapped_columns_are_refused(model: BaseRecommender) -> None:
    """Users in the item column are noticed, from the catalogue or from what is known."""
    log = shop_log(model)
    swapped = log.events.rename(columns={"user_id": "item_id", "item_id": "user_id"})
    catalog = described(model, pd.DataFrame({"item_id": log.item_ids}))
    fitted = log.fit(model)
    before = everything(fitted)
    with pytest.raises(DataError, match="swapped"):
        clone(model).fit(swapped, items=catalog, users=log.users)
    with pytest.raises(DataError, match="swapped"):
        fitted.partial_fit(swapped)
    assert_equal_bits(before, everything(fitted), "the model before and after a swapped batch")


@check()
def check_empty_table_is_refused(model: BaseRecommender) -> None:
    """An empty table is refused, unless side tables say whom to recommend what."""
    log = shop_log(model)
    empty = log.events.iloc[:0]
    with pytest.raises(DataError, match="nothing to learn"):
        clone(model).fit(empty, users=None if log.users is None else log.users.iloc[:0])
    users = log.users if log.users is not None else pd.DataFrame({"user_id": log.user_ids})
    catalog = described(model, pd.DataFrame({"item_id": log.item_ids}))
    listed = clone(model).fit(empty, users=users, items=catalog)
    items, scores = listed.recommend(["u3"], k=2)
    assert None not in items[0].tolist(), "a model without events recommends nothing."
    assert np.isfinite(scores).all()
    fitted = log.fit(model)
    before = everything(fitted)
    fitted.partial_fit(empty)
    assert_equal_bits(before, everything(fitted), "the model before and after an empty batch")


@check()
def check_tiny_data(model: BaseRecommender) -> None:
    """One event, one user, one item: an answer without NaN among what it recommends."""
    log = shop_log(model)
    one, some = log.events.iloc[:1], log.events.iloc[:3]

    def fitted(events: pd.DataFrame) -> Any:
        listed = log.items
        if listed is not None:
            listed = listed[listed["item_id"].isin(events["item_id"])]
        return Log(events, listed, log.users).fit(model)

    alone = fitted(one)
    items, scores = alone.recommend(["u0"], k=3)
    assert items[0].tolist() == [None] * 3, "the only item was seen."
    assert np.isnan(scores).all()
    items, scores = alone.recommend(["u0"], k=2, exclude_seen=False)
    assert items[0].tolist() == ["i0", None]
    assert np.isfinite(scores[0, 0])
    fan = fitted(some)
    assert len(filled(fan.recommend(["u0"], k=3, exclude_seen=False))[0]) == 3
    extra = described(model, pd.DataFrame({"item_id": ["i0", "new"]}))
    listed = clone(model).fit(one, **{**log.sides, "items": extra})
    traits = traits_of(model)
    plain = not traits.rates and not traits.reads_items
    assert [item for item, _ in filled(listed.recommend(["u0"], k=2))[0]] == ["new"]
    assert filled(listed.recommend(["u0"], k=2)) == [[("new", 0.0)]] or not plain
    for answer in (fan.similar_items(["i0"], k=3), fan.similar_users(["u0"], k=3)):
        assert all(np.isfinite(score) for row in filled(answer) for _, score in row)


@check(takes_matrix, private=True)
def check_tiny_matrices(model: BaseRecommender) -> None:
    """Matrices of zeros, of one row or of one column are answered; empty ones refused."""
    for shape in ((1, 1), (1, 4), (4, 1), (3, 3)):
        for dense in (np.zeros(shape), np.ones(shape)):
            fitted = clone(model).fit(dense)
            everyone = np.repeat(0 if dense.any() else shape[1], shape[0])
            if is_private(model):
                everyone = np.array([shape[1] - len(visit) for visit in visits(fitted)])
            for row, n_new in zip(filled(everything(fitted)), everyone, strict=True):
                assert len(row) == n_new, f"{n_new} items of {dense.tolist()} are new: {row}."
                assert all(np.isfinite(score) for _, score in row)
    seen = sp.csr_array((np.zeros(2), ([0, 1], [0, 1])), shape=(2, 3))
    for user, row in enumerate(filled(everything(clone(model).fit(seen)))):
        # A private model's visitors have at least the item of their own number.
        assert user not in [item for item, _ in row], "a stored zero is seen."
    bad_ones = [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(3)]
    if not is_private(model):  # which would tell of one person's row
        bad_ones += [np.full((2, 2), np.nan), -np.eye(2)]
    for bad in bad_ones:
        with pytest.raises(ValueError, match=r"Found array|dimension|NaN|Negative"):
            clone(model).fit(bad)


@check(private=True)
def check_every_kind_of_id_comes_back(model: BaseRecommender) -> None:
    """Strings, integers of any width, bytes, UUIDs and tuples come back as they went in."""
    expected = filled(everything(shop_log(model).fit(model)))
    for kind in ("int", "bytes", "uuid", "tuple"):
        log = shop_log(model, ids=kind)
        fitted = log.fit(model)
        if not is_private(model):
            assert fitted.user_ids_.tolist() == log.user_ids, f"users as {kind}"
        assert fitted.item_ids_.tolist() == log.item_ids, f"items as {kind}"
        answer = fitted.recommend(**log.asking(model), k=3)
        known = {type(item) for item in log.item_ids}
        assert {type(item) for row in filled(answer) for item, _ in row} <= known
        assert len(filled(answer)) == len(expected)
        for user, row in zip(log.user_ids, filled(answer), strict=True):
            assert not log.seen[user] & {item for item, _ in row}
    log = shop_log(model, ids="int")
    plain = everything(log.fit(model))
    small = shop_log(model).events.assign(
        user_id=np.arange(len(log.events)) // 4, item_id=log.events["item_id"] % 1000 + 50
    )
    numbers = pd.DataFrame({"item_id": sorted(set(small["item_id"]))})
    sides = Log(small, described(model, numbers) if log.items is not None else None).sides
    if log.users is not None:
        sides["users"] = log.users.assign(user_id=np.arange(len(log.users)))
    base = everything(clone(model).fit(small, **sides))
    for dtype in ("int16", "uint64", "float64", "Int64", "category"):
        # Categories compare and sort in their own way; ids do not.
        typed = small.assign(user_id=small["user_id"].astype(dtype))
        typed["item_id"] = small["item_id"].astype(dtype)
        fitted = clone(model).fit(typed, **sides)
        assert_equal_bits(base, everything(fitted), f"ids as int64 and as {dtype}")
    assert plain.items.dtype == np.int64
    assert -1 in plain.items, "integer ids end in -1 where there is nothing more."


@check(private=True)
def check_every_table_library_is_read(model: BaseRecommender) -> None:
    """Nullable pandas, Polars and Arrow tables give the same answers as pandas."""
    log = shop_log(model)
    expected = log.fit(model)
    forms: dict[str, Any] = {"nullable pandas": lambda table: table.convert_dtypes()}
    if find_spec("polars") is not None and find_spec("pyarrow") is not None:
        import polars as pl
        import pyarrow as pa

        forms["Polars"] = pl.from_pandas
        forms["Arrow"] = lambda table: pa.Table.from_pandas(table, preserve_index=False)
    pairs = pd.DataFrame({"user_id": ["u1", "u2", "?"], "item_id": ["i1", "i3", "i1"]})
    for name, convert in forms.items():
        sides = {name: None if v is None else convert(v) for name, v in log.sides.items()}
        fitted = clone(model).fit(convert(log.events), **sides)
        assert_equal_bits(everything(expected), everything(fitted), f"pandas and {name}")
        if not is_private(model):
            assert fitted.has_seen(convert(pairs)).tolist() == expected.has_seen(pairs).tolist()
        one = expected.recommend(history=log.events.head(5), k=4)
        other = fitted.recommend(history=convert(log.events.head(5)), k=4)
        assert_equal_bits(one, other, f"histories in pandas and {name}")
