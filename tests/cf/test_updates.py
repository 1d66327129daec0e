"""What an update costs, and what it leaves behind."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ecomrec.cf import ItemKNN, UserKNN
from ecomrec.data.rows import RowStore
from ecomrec.datasets import make_shop
from ecomrec.kernels import neighbors


@pytest.fixture
def rows_read(monkeypatch):
    """Count the rows that are handed to kernels or copied out of a store."""
    read = {"rows": 0}
    take, row_sums, dot_rows = RowStore.take, neighbors.row_sums, neighbors.dot_rows

    def counted_take(self, rows):
        read["rows"] += len(rows)
        return take(self, rows)

    def counted_sums(rows, *args, **kwargs):
        read["rows"] += len(rows)
        return row_sums(rows, *args, **kwargs)

    def counted_dot(rows, *args, **kwargs):
        read["rows"] += len(rows)
        return dot_rows(rows, *args, **kwargs)

    monkeypatch.setattr(RowStore, "take", counted_take)
    monkeypatch.setattr(neighbors, "row_sums", counted_sums)
    monkeypatch.setattr(neighbors, "dot_rows", counted_dot)
    return read


def _shop_and_batch(n_events):
    events = make_shop(
        n_users=n_events // 25,
        n_items=2_000,
        n_events=n_events + 1_000,
        columns=("user_id", "item_id"),
        random_state=0,
    ).events
    return events.iloc[:n_events], events.iloc[n_events:]


@pytest.mark.parametrize("n_events", [500_000, pytest.param(5_000_000, marks=pytest.mark.slow)])
def test_an_update_reads_rows_that_the_batch_touches_and_no_others(rows_read, n_events):
    history, batch = _shop_and_batch(n_events)
    model = ItemKNN(n_neighbors=10).fit(history)
    touched = batch["user_id"].nunique() + batch["item_id"].nunique()
    rows_read["rows"] = 0
    model.partial_fit(batch)
    assert touched <= rows_read["rows"] <= 6 * touched


def test_the_first_request_recomputes_the_rows_of_its_own_history_only(rows_read):
    history, batch = _shop_and_batch(100_000)
    model = ItemKNN(n_neighbors=10).fit(history)
    model.partial_fit(batch)
    visitor = batch["user_id"].iloc[:1].tolist()
    items = model._state.interactions.by_user.row(
        int(model._state.interactions.users.rows(visitor)[0])
    )[0]
    rows_read["rows"] = 0
    model.recommend(visitor)
    assert rows_read["rows"] <= 3 * len(items)
    rows_read["rows"] = 0
    model.recommend(visitor)
    assert rows_read["rows"] == 0


@pytest.mark.parametrize("model", [ItemKNN(n_neighbors=5), UserKNN(n_neighbors=5)], ids=repr)
def test_a_fresh_model_equals_a_fit_on_everything_row_by_row(model):
    history, batch = _shop_and_batch(5_000)
    updated = model.fit(history).partial_fit(batch).refresh()
    ids = updated.item_ids_ if isinstance(model, ItemKNN) else updated.user_ids_
    everything = type(model)(n_neighbors=5).fit(pd.concat((history, batch)))
    order = np.argsort(ids)
    one = updated.similarity_[order][:, order].toarray()
    np.testing.assert_allclose(one, everything.similarity_.toarray(), rtol=1e-6)


def test_equally_similar_ratings_go_by_id_whoever_arrived_first():
    events = pd.DataFrame(
        {
            "user_id": ["u0", "u0", "u0", "u1", "u0", "u0", "u0", "u1", "u1", "u1"],
            "item_id": ["i0", "i0", "i4", "i3", "i0", "i1", "i3", "i0", "i1", "i4"],
            "rating": [1.0, 1, 1, 2, 1, 1, 1, 2, 3.5, 5],
        }
    )
    model = ItemKNN(target="rating", similarity="msd", centering="none", n_neighbors=2)
    whole = clone(model).fit(events).predict([("u1", "i1")])
    grown = clone(model).fit(events[:3]).partial_fit(events[3:]).refresh().predict([("u1", "i1")])
    assert whole.tolist() == grown.tolist()


def test_a_forgotten_user_leaves_no_byte_in_the_saved_file(tmp_path):
    events = pd.DataFrame(
        {"user_id": ["ann", "ann", "secret-bob", "carl"], "item_id": ["tea", "cup", "tea", "tea"]}
    )
    model = ItemKNN().fit(events).forget(users=["secret-bob"])
    model.save(tmp_path / "shop.ecomrec")
    assert b"secret-bob" not in (tmp_path / "shop.ecomrec").read_bytes()
