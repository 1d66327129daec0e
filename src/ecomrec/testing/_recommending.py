"""Checks of recommend: how many items, in what order, for whom."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from ecomrec.base import BaseRecommender
from ecomrec.data.interactions import Interactions
from ecomrec.datasets import load_online_retail, make_checkerboard
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.testing import strategies
from ecomrec.testing._answers import (
    assert_equal_bits,
    assert_refused,
    assert_same_answers,
    everything,
    filled,
    saved_bytes,
)
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import Log, Traits, is_private, logs, shop_log, traits_of

ks = st.integers(1, 14)


def ranks(traits: Traits) -> bool:
    """Whether scores are made to rank by."""
    return not traits.rates


@check(private=True)
def check_scores_fall_and_items_differ(model: BaseRecommender) -> None:
    """Scores never rise, no item comes twice, and only the end of a row is empty."""

    def holds(log: Log, k: int, exclude_seen: bool) -> None:
        fitted = log.fit(model)
        items, scores = fitted.recommend(**log.asking(model), k=k, exclude_seen=exclude_seen)
        assert items.shape == scores.shape == (len(log.askers(model)), k)
        assert scores.dtype == np.float32
        missing = -1 if items.dtype == np.int64 else None
        for row, values in zip(items.tolist(), scores, strict=True):
            empty = np.isnan(values)
            n = int((~empty).sum())
            assert not empty[:n].any(), f"scores {values} are empty before the end."
            assert row[n:] == [missing] * (k - n), f"items {row} have scores {values}."
            assert missing not in row[:n], f"items {row} have scores {values}."
            assert len(set(row[:n])) == n, f"an item comes twice in {row}."
            assert set(row[:n]) <= set(log.item_ids), f"{row} holds an item that never was."
            assert (np.diff(values[:n]) <= 0).all(), f"scores rise in {values}."
            assert np.isfinite(values[:n]).all(), f"scores {values} are not finite."

    for_all(holds, logs(model), ks, st.booleans())


@check(private=True)
def check_rows_are_full_while_items_are_eligible(model: BaseRecommender) -> None:
    """A row has exactly k items, or as many as a user can be shown."""

    def holds(log: Log, k: int) -> None:
        rows = filled(log.fit(model).recommend(**log.asking(model), k=k))
        for user, row in zip(log.askers(model), rows, strict=True):
            eligible = log.fresh(user)
            assert {item for item, _ in row} <= eligible, f"{user!r} gets {row}."
            assert len(row) == min(k, len(eligible)), (
                f"{user!r} gets {row}, k={k}, of {sorted(eligible)}."
            )

    for_all(holds, logs(model), ks)


@check()
def check_items_without_evidence_come_by_popularity(model: BaseRecommender) -> None:
    """Behind the items with evidence come the others, at score 0, by their number of users."""
    values = traits_of(model).values

    def holds(log: Log) -> None:
        fitted = log.fit(model)
        shop = Interactions.from_table(
            log.events, values=values, half_life=getattr(model, "half_life", None), **log.sides
        )
        matrix = shop.to_scipy().toarray()
        counts = dict(zip(shop.item_ids.tolist(), (matrix > 0).sum(axis=0).tolist(), strict=True))
        place = {item: number for number, item in enumerate(shop.item_ids.tolist())}
        # A sum that cancelled, or vectors at right angles, is evidence that comes to nothing: of
        # such a model's items at score 0 only those are sure to have none that have no vector.
        unit, vectors = model._score_unit, getattr(fitted, "item_factors_", None)
        bare = {
            item
            for item, number in place.items()
            if not unit or (counts[item] == 0 and (vectors is None or not vectors[number].any()))
        }
        for row in filled(everything(fitted)):
            rest = [
                (-counts[item], place[item]) for item, score in row if score == 0 and item in bare
            ]
            assert rest == sorted(rest), f"{row} does not end by popularity {counts}."

    for_all(holds, logs(model))


@check(private=True)
def check_seen_items_never_return(model: BaseRecommender) -> None:
    """What a user has touched does not come back, bought or returned, unless it is asked for."""

    def holds(log: Log, k: int) -> None:
        fitted = log.fit(model)
        users, asking = log.askers(model), log.asking(model)
        for user, row in zip(users, filled(fitted.recommend(**asking, k=k)), strict=True):
            again = {item for item, _ in row} & log.seen[user]
            assert not again, f"{user!r} has touched {again} and gets {row}."
        whole = fitted.recommend(**asking, k=len(log.item_ids) + 1, exclude_seen=False)
        for user, row in zip(users, filled(whole), strict=True):
            assert {item for item, _ in row} == set(log.item_ids) - log.hidden, (
                f"{user!r} gets {row} with exclude_seen=False."
            )

    for_all(holds, logs(model), ks)


@check(private=True)
def check_smaller_k_is_a_prefix(model: BaseRecommender) -> None:
    """The best k are the first k of the best n."""

    def holds(log: Log, k: int) -> None:
        fitted = log.fit(model)
        longer = fitted.recommend(**log.asking(model), k=len(log.item_ids) + 1)
        shorter = fitted.recommend(**log.asking(model), k=min(k, longer.items.shape[1]))
        n = shorter.items.shape[1]
        assert shorter.items.tolist() == longer.items[:, :n].tolist(), f"k={n}"
        assert np.array_equal(shorter.scores, longer.scores[:, :n], equal_nan=True), f"k={n}"

    for_all(holds, logs(model), ks)


@check(private=True)
def check_batch_equals_one_by_one(model: BaseRecommender) -> None:
    """A user gets the same alone, in a batch, in another order and twice."""

    def holds(log: Log, k: int) -> None:
        fitted = log.fit(model)
        users = [*log.askers(model)[::-1], log.askers(model)[0]]
        batch = fitted.recommend(**log.asking(model, users), k=k)
        for row, user in enumerate(users):
            alone = fitted.recommend(**log.asking(model, [user]), k=k)
            part = type(batch)(batch.items[[row]], batch.scores[[row]], [user])
            assert_same_answers(alone, part, what=f"{user!r} alone and in a batch")

    for_all(holds, logs(model), ks, share=0.5)


@check(private=True)
def check_ids_are_only_labels(model: BaseRecommender) -> None:
    """Other ids in the same order give the same answers under other names."""

    def holds(log: Log, kind: str) -> None:
        names = {}
        for prefix, ids in (("u", log.user_ids), ("i", log.item_ids)):
            new = sorted(strategies.labels(kind, prefix, range(len(ids))).tolist())
            names[prefix] = dict(zip(ids, new, strict=True))
        renamed = Log(
            _renamed(_renamed(log.events, "user_id", names["u"]), "item_id", names["i"]),
            _renamed(log.items, "item_id", names["i"]),
            _renamed(log.users, "user_id", names["u"]),
        )
        one, other = everything(log.fit(model)), everything(renamed.fit(model))
        expected = [[(names["i"][item], score) for item, score in row] for row in filled(one)]
        assert expected == filled(other), f"{one!r}\n{other!r}"

    for_all(holds, logs(model), st.sampled_from(("str", "int", "bytes", "uuid", "tuple")))


def _renamed(table: Any, column: str, names: dict[Any, Any]) -> Any:
    if table is None:
        return None
    new = np.empty(len(table), dtype=object)
    new[:] = [names[value] for value in table[column].tolist()]
    if column == "user_id" and "friends" in table:
        lists = [[names[friend] for friend in some] for some in table["friends"]]
        table = table.assign(friends=pd.Series(lists, dtype=object, index=table.index))
    return table.assign(**{column: pd.Series(new, dtype=object, index=table.index)})


@check(private=True)
def check_k_larger_than_catalogue(model: BaseRecommender) -> None:
    """With k beyond the catalogue rows are filled at their end, and `to_frame` has no fill."""

    def holds(log: Log) -> None:
        answer = everything(log.fit(model))
        assert np.isnan(answer.scores[:, -1]).all()
        frame = answer.to_frame()
        rows = filled(answer)
        assert frame["item_id"].tolist() == [item for row in rows for item, _ in row]
        assert frame["user_id"].tolist() == [
            key for key, row in zip(list(answer.keys), rows, strict=True) for _ in row
        ]
        assert frame["rank"].tolist() == [1 + place for row in rows for place in range(len(row))]
        assert np.isfinite(frame["score"]).all()

    for_all(holds, logs(model))


@check(private=True)
def check_bad_requests_are_named(model: BaseRecommender) -> None:
    """A request that cannot be meant is refused with what was given."""
    fitted = shop_log(model).fit(model)
    one: dict[str, Any] = {"history": [["i1"]]} if is_private(model) else {"users": ["u1"]}
    requests: list[tuple[dict[str, Any], type[Exception], str]] = [
        (one | {"k": 0}, ValueError, "k must be a positive integer; got 0"),
        (one | {"k": 2.0}, ValueError, "k must be a positive integer; got 2.0"),
        (one | {"k": True}, ValueError, "k must be a positive integer; got True"),
        (one | {"unknown": "drop"}, ValueError, "unknown must be"),
        (one | {"candidates": "i1"}, DataError, "candidates must be a list"),
        (one | {"exclude": "i1"}, DataError, "exclude must be a list"),
        (one | {"candidates": [["i1"], ["i2"]]}, DataError, "2 lists for 1 rows"),
        (one | {"exclude": [["i1"], ["i2"]]}, DataError, "2 lists for 1 rows"),
        ({"history": "i1"}, DataError, "history must be a list"),
        ({"history": ["i1"]}, DataError, "list of ids"),
    ]
    if not is_private(model):
        requests += [
            ({"users": "u1"}, DataError, "users must be a list of ids; got the single id 'u1'"),
            ({"users": ("u1", "u2")}, DataError, "users must be a list of ids"),
            ({"users": 7}, DataError, "users must be a list of ids"),
            ({}, ValueError, "users, history, or both"),
            ({"users": ["u1"], "history": [["i1"], ["i2"]]}, DataError, "2 rows for 1 users"),
        ]
    for request, error, message in requests:
        assert_refused(
            lambda request=request: fitted.recommend(**request),  # type: ignore[misc]
            error,
            re.escape(message),
            f"recommend(**{request})",
        )


@check()
def check_unknown_user_is_named(model: BaseRecommender) -> None:
    """Users never seen are named in an error, or get an empty row if that is asked for."""
    for kind, stranger in (("str", "nobody"), ("int", 12345)):
        log = shop_log(model, ids=kind)
        fitted = log.fit(model)
        users = [log.user_ids[0], stranger, log.user_ids[1]]
        with pytest.raises(UnknownIdError, match=rf"{stranger!r}.*unknown='skip'"):
            fitted.recommend(users)
        answer = fitted.recommend(users, k=3, unknown="skip")
        missing = -1 if kind == "int" else None
        assert answer.items[1].tolist() == [missing] * 3
        assert np.isnan(answer.scores[1]).all()
        assert stranger not in answer.to_frame()["user_id"].tolist()
        others = fitted.recommend([users[0], users[2]], k=3)
        both = type(answer)(answer.items[[0, 2]], answer.scores[[0, 2]], [users[0], users[2]])
        assert_equal_bits(others, both, "rows with and without a stranger between them")
        for other in ("u1", 1, None, 2**70, 1.5, ("a", 1), b"u1"):
            if other not in log.user_ids:
                with pytest.raises(UnknownIdError):
                    fitted.recommend([other])
                fitted.recommend([other], unknown="skip")


@check(private=True)
def check_recommending_does_not_learn(model: BaseRecommender) -> None:
    """Answers, strangers and histories leave no mark on what is learned."""
    log = shop_log(model)
    fitted = log.fit(model)
    expected, before = everything(fitted), saved_bytes(fitted)
    for _ in range(3):
        fitted.recommend(history=[["i1", "i2"], ["i4"]])
        fitted.recommend(history=[["i7"]], candidates=["i8", "i9"], exclude=[["i8"]])
        fitted.recommend(history=log.events.head(7).assign(user_id="guest"))
        fitted.similar_items(["i1"], k=3)
        if is_private(model):
            continue
        fitted.recommend(["nobody", "u3"], unknown="skip")
        fitted.recommend(["u1"], history=[["i7"]], candidates=["i8", "i9"], exclude=[["i8"]])
        fitted.has_seen([("nobody", "i1"), ("u1", "nothing")])
        fitted.predict([("nobody", "i1"), ("u1", "nothing"), ("u1", "i1")])
        fitted.similar_users(["u1"], k=3)
    assert is_private(model) or fitted.user_ids_.tolist() == log.user_ids
    assert fitted.item_ids_.tolist() == log.item_ids
    assert saved_bytes(fitted) == before, "recommending changed what is saved."
    assert_equal_bits(expected, everything(fitted), "answers before and after strangers")


@check(lambda traits: ranks(traits) and not traits.noisy, private=True)
def check_recovers_checkerboard(model: BaseRecommender) -> None:
    """Users like the items of their parity; the one held out for each comes first."""
    traits = traits_of(model)
    events, held_out = make_checkerboard(20)
    if traits.decays:
        events = events.assign(timestamp=np.datetime64("2024-01-01", "us"))
    users = None
    if traits.group is not None:
        users = pd.DataFrame({"user_id": held_out["user_id"], traits.group: "all"})
    if traits.reads_friends:
        number = held_out["user_id"]
        users = pd.DataFrame({"user_id": number}) if users is None else users
        users["friends"] = [number[number % 2 == one % 2].tolist() for one in number]
    items = None
    if traits.reads_items:
        number = held_out["item_id"]
        words = np.where(number % 2 == 0, "even", "odd")
        items = pd.DataFrame({"item_id": number, "title": words, "category": words})
        items["price"] = number % 2 + 1.0
        items["lat"], items["lon"] = items["price"], 0.0
    elif traits.private:
        items = pd.DataFrame({"item_id": held_out["item_id"]})
    log = Log(events, items, users)
    found = log.fit(model).recommend(**log.asking(model, held_out["user_id"]), k=1).items[:, 0]
    right = int((found == held_out["item_id"].to_numpy()).sum())
    assert right == len(held_out), f"{right} of {len(held_out)} held-out items come first."


@check(lambda traits: ranks(traits) and traits.group is None, slow=True)
def check_beats_popularity(model: BaseRecommender) -> None:
    """On a real shop NDCG@10 is no lower than that of what sells most."""
    from ecomrec.cf import Popularity

    shop = load_online_retail()
    events = shop.events.sort_values("timestamp", kind="stable")
    cut = int(0.8 * len(events))
    train, test = events.iloc[:cut], events.iloc[cut:]
    floor = Popularity().fit(train).score(test)
    items = None
    if traits_of(model).reads_items:
        items = shop.items.assign(title=shop.items["description"], category="gift")
    reached = Log(train, items).fit(model).score(test)
    assert reached >= floor, f"NDCG@10 is {reached:.4f}, that of Popularity {floor:.4f}."
