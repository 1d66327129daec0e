"""Checks of fit: what it needs, what it must not depend on, what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ecomrec.base import BaseRecommender
from ecomrec.data.interactions import Interactions
from ecomrec.datasets import make_shop
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_same_models,
    everything,
    saved_bytes,
)
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import (
    Log,
    Traits,
    befriended,
    described,
    is_private,
    logs,
    shop_log,
    traits_of,
)


def takes_matrix(traits: Traits) -> bool:
    """Whether a bare matrix is enough."""
    return traits.takes_matrix


@check(private=True)
def check_unfitted_recommend_raises(model: BaseRecommender) -> None:
    """Whatever is asked of an unfitted model, it says that it is not fitted."""
    unfitted = clone(model)
    calls: dict[str, Callable[[], Any]] = {
        "recommend": lambda: unfitted.recommend(history=[["i1"]]),
        "similar_items": lambda: unfitted.similar_items(["i1"]),
        "explain": lambda: unfitted.explain(item="i1", history=["i2"]),
    }
    if not is_private(model):
        calls |= {
            "recommend for users": lambda: unfitted.recommend(["u1"]),
            "has_seen": lambda: unfitted.has_seen([("u1", "i1")]),
            "similar_users": lambda: unfitted.similar_users(["u1"]),
            "score": lambda: unfitted.score(shop_log(model).events),
            "forget": lambda: unfitted.forget(users=["u1"]),
            "refresh": unfitted.refresh,
        }
    for name, call in calls.items():
        with pytest.raises(NotFittedError, match=f"{type(model).__name__} is not fitted"):
            call()
        assert not hasattr(unfitted, "item_ids_"), f"{name} fitted the model."
    for name in ("user_ids_", "item_ids_", "predict"):
        assert not hasattr(unfitted, name), f"an unfitted model has {name}."


@check(private=True)
def check_refit_forgets(model: BaseRecommender) -> None:
    """A second fit, on the same or on smaller data, is as good as a first one."""
    large, small = shop_log(model), shop_log(model, n_users=7)
    expected = small.fit(model)
    again = large.fit(model)
    for _ in range(2):
        again.fit(small.events, **small.sides)
        assert_equal_bits(everything(expected), everything(again), "a first and a second fit")
        assert again.item_ids_.tolist() == expected.item_ids_.tolist()


@check(private=True)
def check_fit_leaves_input_alone(model: BaseRecommender) -> None:
    """Events, side tables and parameters are as before after a fit; arrays may be read-only."""
    log = shop_log(model)
    copy = Log(log.events.copy(deep=True), users=None if log.users is None else log.users.copy())
    for column in log.events:
        values = log.events[column].to_numpy()
        values.flags.writeable = False
    fitted = clone(model)
    params = fitted.get_params()
    fitted.fit(log.events, **log.sides)
    if not is_private(model):
        fitted.partial_fit(log.events)
    everything(fitted)
    pd.testing.assert_frame_equal(log.events, copy.events)
    if log.users is not None and copy.users is not None:
        pd.testing.assert_frame_equal(log.users, copy.users)
    assert all(fitted.get_params()[name] is value for name, value in params.items()), (
        "fit changed a parameter."
    )
    if not traits_of(model).takes_matrix:
        return
    for matrix in (sp.csr_array(np.eye(4) + 1), np.eye(4) + 1):
        arrays: list[Any] = [matrix]
        if not isinstance(matrix, np.ndarray):
            arrays = [matrix.data, matrix.indices]
        before = [values.copy() for values in arrays]
        for values in arrays:
            values.flags.writeable = False
        everything(clone(model).fit(matrix))
        for values, copied in zip(arrays, before, strict=True):
            assert np.array_equal(values, copied), "fit changed its matrix."


@check(private=True)
def check_same_seed_same_answer(model: BaseRecommender) -> None:
    """Two fits agree to the bit, with any number of threads."""
    traits = traits_of(model)
    # Enough work for several threads to get a share.
    shop = make_shop(400, 150, 6000, columns=("user_id", "item_id", "timestamp"), ids="string")
    events = shop.events
    if traits.values == "rating":
        events = events.assign(rating=1.0 + np.arange(len(events)) % 5)
    users = None
    if traits.group is not None:
        users = shop.users.rename(columns={"country": traits.group})
    if traits.reads_friends:
        lists = befriended(shop.users["user_id"])["friends"]
        users = (shop.users[["user_id"]] if users is None else users).assign(friends=lists)
    if "random_state" in traits.params:
        model = clone(model).set_params(random_state=7)
    known = traits.reads_items or traits.private
    items = described(model, shop.items[["item_id"]]) if known else None
    one = clone(model).fit(events, items=items, users=users)
    log = Log(events, items, users)
    asked = log.asking(model, log.askers(model)[:200])
    for n_jobs in (1, 2, -1) if "n_jobs" in traits.params else (None,):
        other = clone(model)
        if n_jobs is not None:
            other.set_params(n_jobs=n_jobs)
        other.fit(events, items=items, users=users)
        assert_equal_bits(
            one.recommend(**asked, k=20),
            other.recommend(**asked, k=20),
            f"fits with n_jobs={n_jobs}",
        )
    assert saved_bytes(one) == saved_bytes(clone(model).fit(events, items=items, users=users)), (
        "two fits on the same events are saved differently."
    )


@check(takes_matrix, private=True)
def check_matrix_equals_interactions(model: BaseRecommender) -> None:
    """CSR, CSC, COO, dense, `Interactions` and a table of positions give the same answers."""
    values = traits_of(model).values

    def holds(numbers: list[list[float]]) -> None:
        dense = np.array(numbers)
        csr = sp.csr_array(dense)
        expected = everything(clone(model).fit(csr))
        forms = {
            "CSC": sp.csc_array(csr),
            "COO": sp.coo_array(csr),
            "a SciPy matrix": sp.csr_matrix(csr),
            "dense": dense,
        }
        for name, form in forms.items():
            assert_equal_bits(expected, everything(clone(model).fit(form)), f"CSR and {name}")
        users, items = csr.nonzero()
        table = pd.DataFrame({"user_id": users, "item_id": items, values: dense[users, items]})
        sides = {
            "users": pd.DataFrame({"user_id": np.arange(dense.shape[0])}),
            "items": pd.DataFrame({"item_id": np.arange(dense.shape[1])}),
        }
        fitted = clone(model).fit(Interactions.from_matrix(csr, values=values), **sides)
        assert_equal_bits(expected, everything(fitted), "CSR and Interactions")
        if len(table):
            fitted = clone(model).fit(table, **sides)
            assert_equal_bits(expected, everything(fitted), "a matrix and a table")

    shape = st.tuples(st.integers(1, 6), st.integers(1, 6))
    cell = st.sampled_from((0.0, 0.0, 1.0, 2.0, 5.0))
    for_all(
        holds,
        shape.flatmap(
            lambda size: st.lists(
                st.lists(cell, min_size=size[1], max_size=size[1]),
                min_size=size[0],
                max_size=size[0],
            )
        ),
        share=0.5,
    )


@check(private=True)
def check_row_order_is_irrelevant(model: BaseRecommender) -> None:
    """Shuffling the rows of the table changes nothing, not even a bit."""

    def holds(log: Log, random: Any) -> None:
        order = list(range(len(log.events)))
        random.shuffle(order)
        shuffled = Log(log.events.iloc[order], log.items, log.users)
        one, other = log.fit(model), shuffled.fit(model)
        assert_equal_bits(everything(one), everything(other), "the rows and shuffled rows")

    for_all(holds, logs(model), st.randoms(use_true_random=False))


@check(private=True)
def check_duplicate_events_add_up(model: BaseRecommender) -> None:
    """Weights of one pair add up; of its ratings the newest counts, or the mean."""

    def add(log: Log) -> None:
        events = log.events
        halves = pd.concat([events.assign(weight=events["weight"] / 2)] * 2)
        split = Log(halves.reset_index(drop=True), log.items, log.users)
        assert_same_models(log.fit(model), split.fit(model), "weights and two halves of them")

    def replace(log: Log) -> None:
        later = log.events.assign(timestamp=log.events["timestamp"] + np.timedelta64(999, "D"))
        both = pd.concat([log.events, later.assign(rating=6.0 - later["rating"])])
        one = Log(later.assign(rating=6.0 - later["rating"]), log.items, log.users)
        twice = Log(both.reset_index(drop=True), log.items, log.users)
        assert_same_models(one.fit(model), twice.fit(model), "new ratings and old ones with them")

    if traits_of(model).values == "rating":
        for_all(replace, logs(model, timestamps=True))
    else:
        for_all(add, logs(model, values="weight"))


@check(private=True)
def check_y_is_the_strength(model: BaseRecommender) -> None:
    """`y` stands for the value column and wins over it; the other column may stand in."""
    log = shop_log(model)
    name = traits_of(model).values
    other = "weight" if name == "rating" else "rating"
    expected = everything(log.fit(model))
    strength = log.events[name].to_numpy()
    plain = log.events.drop(columns=name)
    forms = [
        (plain, strength),
        (plain.assign(**{name: 1.0}), strength),
        (plain.assign(**{name: 1.0}), strength.tolist()),
        (log.events.assign(**{other: 1.0}), None),
    ]
    if not traits_of(model).decays:
        # Ratings do not decay.
        forms.append((plain.assign(**{other: strength}), None))
    for place, (table, y) in enumerate(forms):
        fitted = clone(model).fit(table, y, **log.sides)
        assert_equal_bits(expected, everything(fitted), f"a value column and form {place}")


@check(takes_matrix, private=True)
def check_float32_and_float64(model: BaseRecommender) -> None:
    """The number type of a matrix or a column makes no difference."""
    dense = np.random.default_rng(0).integers(0, 4, size=(12, 9)).astype(np.float64)
    expected = everything(clone(model).fit(dense))
    for dtype in (np.float32, np.int64, np.int8, np.uint16):
        for form in (dense.astype(dtype), sp.csr_array(dense.astype(dtype))):
            fitted = clone(model).fit(form)
            assert_equal_bits(expected, everything(fitted), f"float64 and {np.dtype(dtype)}")


@check(takes_matrix, private=True)
def check_int64_indices(model: BaseRecommender) -> None:
    """Sparse matrices with 64-bit indices, or with unsorted and repeated ones, are read."""
    dense = np.random.default_rng(1).integers(0, 3, size=(10, 8)).astype(np.float64)
    csr = sp.csr_array(dense)
    expected = everything(clone(model).fit(csr))
    large = sp.csr_array(
        (csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64)), shape=csr.shape
    )
    large.indices, large.indptr = large.indices.astype(np.int64), large.indptr.astype(np.int64)
    users, items = dense.nonzero()
    back = np.arange(len(users))[::-1]
    halves = np.concatenate((back, back))
    repeated = sp.coo_array(
        (dense[users, items][halves] / 2, (users[halves], items[halves])), shape=csr.shape
    )
    for name, form in {"64-bit": large, "unsorted, repeated": repeated}.items():
        assert_equal_bits(
            expected, everything(clone(model).fit(form)), f"plain and {name} indices"
        )
