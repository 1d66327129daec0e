"""What BPR alone promises: quality, the same bits, visitors like users, updates."""

import numpy as np
import pandas as pd
import pytest

from ecomrec.cf import BPR, Popularity
from ecomrec.datasets import make_shop
from ecomrec.evaluation import train_test_split
from ecomrec.kernels import bpr


@pytest.fixture(scope="module")
def shop():
    columns = ("user_id", "item_id", "timestamp")
    return make_shop(2_000, 400, 30_000, n_groups=20, columns=columns, random_state=0).events


def test_it_ranks_better_than_popularity(shop):
    train, test = train_test_split(shop)
    assert BPR().fit(train).score(test) > 1.2 * Popularity().fit(train).score(test)


def test_bits_do_not_depend_on_threads(shop):
    one, two = (BPR(16, max_iter=3, n_jobs=n_jobs).fit(shop) for n_jobs in (1, 2))
    assert one.item_factors_.tobytes() == two.item_factors_.tobytes()
    assert one.user_factors_.tobytes() == two.user_factors_.tobytes()


def test_another_seed_gives_another_model(shop):
    one, two = (BPR(8, max_iter=1, random_state=seed).fit(shop) for seed in (0, 1))
    assert not np.allclose(one.item_factors_, two.item_factors_)


def test_the_last_columns_are_one_and_the_bias(shop):
    model = BPR(8, max_iter=3).fit(shop)
    assert set(model.user_factors_[:, -1].tolist()) == {1.0}
    user, item = model.user_factors_[5, :-1], model.item_factors_[7, :-1]
    score = model.predict([(model.user_ids_[5], model.item_ids_[7])])
    assert score == pytest.approx(user @ item + model.item_factors_[7, -1], rel=1e-5)


def test_a_learning_rate_that_is_too_high_is_named(shop):
    with pytest.raises(FloatingPointError, match=r"learning_rate=1e\+30.*Lower"):
        BPR(4, learning_rate=1e30, max_iter=2).fit(shop)


def test_an_update_folds_in_the_users_of_the_batch_only(shop, monkeypatch):
    model = BPR(8, max_iter=2).fit(shop.iloc[:29_900])
    folded = []
    fold_in = bpr.fold_in

    def counted(profiles, *args, **kwargs):
        folded.append(len(profiles[0]) - 1)
        return fold_in(profiles, *args, **kwargs)

    monkeypatch.setattr(bpr, "fold_in", counted)
    batch = shop.iloc[29_900:]
    model.partial_fit(batch[batch["item_id"].isin(model.item_ids_)])
    assert sum(folded) == batch["user_id"].nunique()


def test_a_new_item_goes_to_those_who_are_like_its_users():
    users = [f"{side}{n}" for side in "ab" for n in range(20)]
    rows = [(user, f"{user[0]}-item{(int(user[1:]) + k) % 9}") for user in users for k in range(5)]
    model = BPR(8).fit(pd.DataFrame(rows, columns=["user_id", "item_id"]))
    new = pd.DataFrame({"user_id": ["a1", "a2", "a3"], "item_id": "new"})
    at_once = model.partial_fit(new).predict([("a7", "new"), ("b7", "new")])
    assert at_once[0] > at_once[1] + 0.2


def test_forgetting_leaves_the_others_as_they_were(shop):
    model = BPR(8, max_iter=2).fit(shop)
    gone, other = model.user_ids_[0], model.user_ids_[1:]
    before = model.recommend(other[:50], k=5)
    after = model.forget(users=[gone]).recommend(other[:50], k=5)
    assert before.items.tolist() == after.items.tolist()
    item = model.item_ids_[3]
    model.forget(items=[item])
    owners = shop.loc[(shop["item_id"] == item) & (shop["user_id"] != gone), "user_id"].unique()
    visits = shop[shop["user_id"].isin(owners) & (shop["item_id"] != item)]
    found = model.recommend(history=visits, k=3)
    stored = model.recommend(found.keys, k=3)
    np.testing.assert_allclose(found.scores, stored.scores, rtol=1e-4)


def test_an_explanation_names_the_bias_and_the_items():
    events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": ["a", "b", "b", "c", "c"]})
    table = BPR(4).fit(events).explain(1, "c")
    assert set(table["kind"]) == {"baseline", "item"}
    assert set(table.loc[table["kind"] == "item", "reason"]) == {"a", "b"}
