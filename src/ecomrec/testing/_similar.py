"""Checks of similar_items and similar_users."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from ecomrec.base import BaseRecommender
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.testing._answers import assert_same_answers, filled
from ecomrec.testing._checks import check, for_all
from ecomrec.testing._logs import Log, is_private, logs, shop_log


@check(private=True)
def check_similar_items_contains_no_self(model: BaseRecommender) -> None:
    """Similar items and users are others, each once, best first, with finite similarities."""

    def holds(log: Log, k: int) -> None:
        fitted = log.fit(model)
        questions = [(log.item_ids, fitted.similar_items)]
        if not is_private(model):
            questions.append((log.user_ids, fitted.similar_users))
        for ids, ask in questions:
            answer = ask(ids, k=k)
            assert answer.items.shape == (len(ids), k)
            for one, row in zip(ids, filled(answer), strict=True):
                others = [other for other, _ in row]
                assert one not in others, f"{one!r} is like itself: {row}."
                assert len(set(others)) == len(others), f"{row} holds one of them twice."
                assert set(others) <= set(ids)
                scores = np.array([score for _, score in row])
                assert (np.diff(scores) <= 0).all(), f"similarities rise in {row}."
                assert np.isfinite(scores).all()

    for_all(holds, logs(model), st.integers(1, 9))


@check(private=True)
def check_similar_items_are_prefixes(model: BaseRecommender) -> None:
    """The k most similar are the first k of the n most similar, in any batch."""

    def holds(log: Log, k: int) -> None:
        fitted = log.fit(model)
        whole = fitted.similar_items(log.item_ids, k=12)
        for row, item in enumerate(log.item_ids):
            alone = fitted.similar_items([item], k=k)
            part = type(whole)(whole.items[[row], :k], whole.scores[[row], :k], [item])
            assert_same_answers(alone, part, what=f"items like {item!r}, alone and in a batch")

    for_all(holds, logs(model), st.integers(1, 9), share=0.5)


@check(private=True)
def check_similar_to_strangers_is_named(model: BaseRecommender) -> None:
    """An unknown id is named, or counted, or gets an empty row; the table names what was asked."""
    fitted = shop_log(model).fit(model)
    questions = [(fitted.similar_items, "i1", "item_id")]
    told = r"1 of 2 items.*unknown='skip'" if is_private(model) else r"'\?'.*unknown='skip'"
    if not is_private(model):
        questions.append((fitted.similar_users, "u1", "user_id"))
    for ask, known, column in questions:
        with pytest.raises(UnknownIdError, match=told):
            ask([known, "?"])
        answer = ask(["?", known], k=2, unknown="skip")
        assert answer.items[0].tolist() == [None, None]
        assert filled(answer)[1] == filled(ask([known], k=2))[0]
        assert answer.to_frame().columns.tolist() == [
            column, "rank", f"similar_{column}", "score"
        ]  # fmt: skip
        with pytest.raises(ValueError, match="k must be a positive integer; got 0"):
            ask([known], k=0)
        with pytest.raises(DataError, match="must be a list of ids"):
            ask(known)
