"""What fusing user-based and item-based evidence promises beyond the contract."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import ecomrec
from ecomrec.cf import ItemKNN, UserKNN
from ecomrec.hybrid import SimilarityFusion

ALIKE = UserKNN(shrink=0, item_damping=0)
COSINE = ItemKNN(shrink=0, user_damping=0, history_damping=0.5)
# ann: tea, honey. bob: tea, honey, mug. cat: honey, mug, pen. dan: pen, ink.
PAIRS = [
    *(("ann", item) for item in ("tea", "honey")),
    *(("bob", item) for item in ("tea", "honey", "mug")),
    *(("cat", item) for item in ("honey", "mug", "pen")),
    *(("dan", item) for item in ("pen", "ink")),
]
EVENTS = pd.DataFrame(PAIRS, columns=["user_id", "item_id"])


def plain(**params):
    return SimilarityFusion(clone(ALIKE), clone(COSINE), **params)


def random_events(n_users=25, n_items=20, n=140, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"user_id": rng.integers(0, n_users, n), "item_id": rng.integers(0, n_items, n)}
    )


def asked(model, user, items):
    return model.predict([(user, item) for item in items])


def test_scores_are_those_of_the_paper_on_a_matrix_made_by_hand():
    matrix = EVENTS.assign(one=1.0).pivot_table("one", "user_id", "item_id", fill_value=0.0)
    users, items = list(matrix.index), list(matrix.columns)
    touched = matrix.to_numpy()
    lengths = np.sqrt((touched**2).sum(axis=1)), np.sqrt((touched**2).sum(axis=0))
    likeness = touched @ touched.T / np.outer(lengths[0], lengths[0])
    alike = touched.T @ touched / np.outer(lengths[1], lengths[1])
    np.fill_diagonal(likeness, 0)
    np.fill_diagonal(alike, 0)
    ann = users.index("ann")
    new = touched[ann] == 0

    by_users = likeness[ann] @ touched
    by_items = touched[ann] @ alike
    # bob and cat are like ann and have something new; dan is not like her.
    near = {v: likeness[ann, v] for v in (users.index("bob"), users.index("cat"))}
    read = [(v, b) for v in near for b in np.flatnonzero(touched[v])]
    mean_near = np.mean(list(near.values()))
    mean_alike = np.mean([s for _, b in read for s in alike[b] if s > 0])
    by_both = np.zeros(len(items))
    for v, b in read:
        for j in np.flatnonzero(alike[b]):
            one, other = near[v] / mean_near, alike[b, j] / mean_alike
            by_both[j] += 1 / np.sqrt((1 / one) ** 2 + (1 / other) ** 2)

    user_weight, both_weight = 0.6, 0.3
    expected = (1 - both_weight) * user_weight * by_users / by_users[new].max()
    expected += (1 - both_weight) * (1 - user_weight) * by_items / by_items[new].max()
    expected += both_weight * by_both / by_both[new].max()
    model = plain(user_weight=user_weight, both_weight=both_weight).fit(EVENTS)
    np.testing.assert_allclose(asked(model, "ann", items), expected, rtol=1e-5)
    found, _ = model.recommend(["ann"], k=3)
    # Nobody like ann has ink, and nothing of hers is like it: only both kinds together find it.
    assert found[0].tolist() == ["mug", "pen", "ink"]
    assert by_users[items.index("ink")] == by_items[items.index("ink")] == 0
    assert expected[items.index("ink")] > 0


@pytest.mark.parametrize(("user_weight", "alone"), [(1.0, UserKNN()), (0.0, ItemKNN())])
def test_a_weight_of_one_or_zero_ranks_as_that_part_alone(user_weight, alone):
    events = random_events()
    model = SimilarityFusion(user_weight=user_weight, both_weight=0.0).fit(events)
    users = model.user_ids_.tolist()
    ours, theirs = model.recommend(users, k=6), alone.fit(events).recommend(users, k=6)
    assert (ours.items == theirs.items).mean() > 0.95  # but for ties
    best = theirs.scores[:, :1]
    np.testing.assert_allclose(ours.scores, theirs.scores / np.where(best > 0, best, 1), rtol=1e-4)


def test_best_by_all_kinds_of_evidence_scores_one():
    model = plain().fit(EVENTS)
    _, scores = model.recommend(["ann"], k=1)
    assert scores[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("both_weight", [0.0, 0.4, 1.0])
def test_contributions_add_up_to_the_score(both_weight):
    events = random_events()
    model = SimilarityFusion(both_weight=both_weight).fit(events)
    for user in (0, 3, 7):
        for item in model.recommend([user], k=4).items[0]:
            table = model.explain(user, item)
            assert table["contribution"].sum() == pytest.approx(asked(model, user, [item])[0])
            assert set(table["part"]) <= {"user_knn", "item_knn", "both"}
            assert set(table["reason"]) <= set(events.item_id[events.user_id == user])


def test_both_at_once_is_told_by_items_of_the_visitor_alone():
    table = plain().fit(EVENTS).explain("ann", "ink")
    assert set(table["part"]) == {"both"}
    assert table["kind"].unique().tolist() == ["item"]
    assert set(table["reason"]) <= {"tea", "honey"}


def test_a_batch_reaches_the_third_kind_of_evidence_at_once():
    events = random_events()
    batch = pd.DataFrame({"user_id": [1, 2, 3, 99], "item_id": [19, 18, 77, 4]})
    users = [*range(10), 99]
    for weight in (0.3, 1.0):
        grown = SimilarityFusion(both_weight=weight).fit(events).partial_fit(batch)
        whole = SimilarityFusion(both_weight=weight).fit(pd.concat([events, batch]))
        one, other = grown.recommend(users, k=5), whole.recommend(users, k=5)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)


def test_parts_may_fade_at_their_own_pace():
    days = pd.date_range("2026-01-01", periods=140, freq="D")
    events = random_events().assign(timestamp=days)
    model = SimilarityFusion(UserKNN(half_life="10D"), ItemKNN()).fit(events)
    history = events[events.user_id == 3]
    stored = model.recommend([3], k=5)
    np.testing.assert_allclose(
        model.recommend(history=history, k=5).scores, stored.scores, rtol=1e-4
    )
    table = model.explain(3, stored.items[0, 0])
    assert table["contribution"].sum() == pytest.approx(float(stored.scores[0, 0]), rel=1e-4)


def test_what_has_all_but_faded_is_still_told_apart():
    now = pd.DataFrame(
        {"user_id": "new", "item_id": "map", "timestamp": [pd.Timestamp("2026-01-01")]}
    )
    events = pd.concat([EVENTS.assign(timestamp=pd.Timestamp("2024-10-18")), now])
    parts = UserKNN(half_life="10D"), ItemKNN(half_life="10D")
    model = SimilarityFusion(*parts, both_weight=0.5).fit(events)
    items, scores = model.recommend(["ann"], k=2)
    assert items[0, 0] == "mug"
    assert np.isfinite(scores).all()
    assert scores[0, 0] == pytest.approx(1.0)


def test_alike_items_and_users_are_those_of_the_parts():
    model = plain().fit(EVENTS)
    assert model.similar_users(["ann"], k=1).items.tolist() == [["bob"]]
    assert model.similar_items(["ink"], k=1).items.tolist() == [["pen"]]
    assert model.parts_.user_knn.recommend(["ann"], k=1).items.tolist() == [["mug"]]


def test_nested_parameters_reach_the_parts():
    model = plain().set_params(user_knn__shrink=2, item_knn__n_neighbors=7, both_weight=0.5)
    assert (model.user_knn.shrink, model.item_knn.n_neighbors, model.both_weight) == (2, 7, 0.5)


def test_a_saved_model_answers_as_before(tmp_path):
    model = plain(both_weight=0.5).fit(EVENTS)
    model.save(tmp_path / "fused.ecomrec")
    loaded = ecomrec.load(tmp_path / "fused.ecomrec")
    assert loaded.recommend(["ann"]).items.tolist() == model.recommend(["ann"]).items.tolist()
    assert loaded.get_params()["user_knn__shrink"] == 0


def test_parts_that_rate_are_refused():
    ratings = EVENTS.assign(rating=3.0)
    with pytest.raises(
        ValueError, match="SimilarityFusion ranks, and item_knn has target='rating'"
    ):
        SimilarityFusion(item_knn=ItemKNN(target="rating")).fit(ratings)


def test_parts_of_another_class_are_refused():
    with pytest.raises(ValueError, match="user_knn must be None or a UserKNN"):
        SimilarityFusion(ItemKNN()).fit(EVENTS)
