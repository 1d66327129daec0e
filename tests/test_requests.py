"""Requests: what is said of ids that no model knows."""

import pandas as pd
import pytest

from ecomrec.cf import ItemKNN, Popularity
from ecomrec.exceptions import UnknownIdError


def test_ids_of_another_kind_than_in_fit_are_told():
    model = Popularity().fit(pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]}))
    with pytest.raises(UnknownIdError, match=r"\['1'\]\. Ids in fit were int, these are str\."):
        model.recommend(["1"])
    with pytest.raises(UnknownIdError, match=r"\['1'\]\. Ids in fit were int, these are str\."):
        model.similar_items(["1"])
    with (
        pytest.warns(UserWarning, match="not known"),
        pytest.raises(UnknownIdError, match=r"rows \[0\] is known\. Ids of items are int here"),
    ):
        model.recommend(history=[["1"]])


def test_who_is_asked_for_twice_has_the_same_history_in_both_rows():
    model = ItemKNN().fit(pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 2, 3]}))
    visit = pd.DataFrame({"user_id": [1, 9], "item_id": [3, 1]})
    one, other, third = model.recommend([9, 1, 9], history=visit, k=2).items.tolist()
    assert one == third
    assert one != other
