"""Questions for newcomers, and what becomes of the answers."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import ecomrec
from ecomrec.cf import SVD, ItemKNN, Popularity
from ecomrec.coldstart import Onboarding, _questions
from ecomrec.coldstart.onboarding import STRATEGIES
from ecomrec.exceptions import DataError
from ecomrec.hybrid import Blend

# Everybody likes the bread; 60 like tea and its pot, 50 coffee and its pot, 10 neither.
ROWS = []
for user in range(120):
    kind = "tea" if user < 60 else "coffee" if user < 110 else None
    ROWS += [(user, "bread")]
    ROWS += [(user, kind), (user, f"{kind}pot")] if kind else []
EVENTS = pd.DataFrame(ROWS, columns=["user_id", "item_id"])


def said(table):
    return sp.csr_array(np.array(table, dtype=float))


def test_popular_items_are_asked_about_first():
    model = Onboarding(ItemKNN(), strategy="popular", n_questions=3).fit(EVENTS)
    assert model.questions() == ["bread", "tea", "teapot"]
    assert model.questions(1) == ["bread"]
    assert model.questions(9) == ["bread", "tea", "teapot"]


def test_what_everybody_likes_tells_nothing():
    for strategy in ("a_optimal", "tree", "entropy"):
        model = Onboarding(ItemKNN(), strategy=strategy, n_questions=2).fit(EVENTS)
        assert model.questions(1) == ["tea"], strategy


def test_optimal_questions_do_not_repeat_each_other():
    model = Onboarding(ItemKNN(), strategy="a_optimal", n_questions=2).fit(EVENTS)
    assert model.questions() == ["tea", "coffee"]


def test_next_question_of_the_tree_depends_on_the_answers():
    model = Onboarding(ItemKNN(), strategy="tree", n_questions=4).fit(EVENTS)
    assert model.next_question() == "tea"
    # Who does not know tea may like coffee; who likes it is known as well as may be.
    assert model.next_question({"tea": "unknown"}) == "coffee"
    assert model.next_question({"tea": "liked"}) == "bread"
    answers = {"tea": None}
    model.next_question(answers)
    assert answers == {"tea": None}


def test_entropies_by_hand():
    liked, disliked = np.array([5, 10, 0]), np.array([5, 0, 0])
    np.testing.assert_allclose(
        _questions.entropies(liked, disliked, 20),
        [-(2 * 0.25 * np.log(0.25) + 0.5 * np.log(0.5)), -np.log(0.5), 0],
    )
    np.testing.assert_allclose(
        _questions.log_popularity_entropies(liked, disliked),
        [np.log(11) * np.log(2), 0, 0],
    )


@given(st.integers(0, 999))
def test_tree_asks_what_divides_best(seed):
    rng = np.random.default_rng(seed)
    opinions = rng.integers(-1, 2, size=(45, 5))
    liked, disliked = opinions > 0, opinions < 0
    pool = rng.permutation(5)[:4]
    items, children = _questions.grow_tree(said(liked), said(disliked), pool, 1)
    assert (children == -1).all()

    def error(item):
        """Squared error of the shares within the groups."""
        groups = [liked[:, item], disliked[:, item], ~liked[:, item] & ~disliked[:, item]]
        parts = [liked[group].astype(float) for group in groups if group.any()]
        return sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)

    best = min(error(item) for item in pool)
    assert error(items[0]) == pytest.approx(best)


def test_a_group_too_small_is_not_divided():
    liked = said(np.eye(30, 3))
    items, _ = _questions.grow_tree(liked, said(np.zeros((30, 3))), np.arange(3), 5)
    assert len(items) == 0


def test_questions_of_the_tree_are_never_repeated():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        [(u, i) for u in range(300) for i in range(12) if rng.random() < 0.3],
        columns=["user_id", "item_id"],
    )
    model = Onboarding(Popularity(), strategy="tree", n_questions=8).fit(frame)
    for newcomer in range(20):
        answers = {}
        while (item := model.next_question(answers)) is not None:
            assert item not in answers
            answers[item] = [True, False, None][(newcomer + 7 * item) % 3]
        assert len(answers) == 8


def test_likes_are_folded_in_and_dislikes_are_not_shown():
    model = Onboarding(ItemKNN(shrink=0.0)).fit(EVENTS)
    recs = model.recommend(
        answers=[{"tea": "liked"}, {"coffee": True, "bread": False}, {"tea": "unknown"}, {}], k=2
    )
    assert recs.items[0, 0] == "teapot"
    assert recs.items[1].tolist() == ["coffeepot", "tea"]
    assert recs.items[2].tolist() == ["bread", "tea"]
    assert recs.items[3].tolist() == ["bread", "tea"]
    history = model.recommend(history=[["tea"]], k=2)
    np.testing.assert_array_equal(history.scores[0], recs.scores[0])
    one = model.recommend(answers={"tea": "liked", "never heard of": "disliked"}, k=2)
    assert one.items.tolist() == [recs.items[0].tolist()]


def test_answers_take_filters():
    model = Onboarding(ItemKNN()).fit(EVENTS)
    recs = model.recommend(answers=[{}, {"tea": 1 > 0}], k=3, exclude=["bread"], candidates=[
        ["bread", "coffee"], ["bread", "tea", "teapot"],
    ])  # fmt: skip
    assert recs.items.tolist() == [["coffee", None, None], ["teapot", None, None]]
    known = model.recommend([3, "?"], answers=[{"coffee": "liked"}, {}], k=1)
    assert known.items.tolist() == [["coffeepot"], ["bread"]]
    assert list(known.keys) == [3, "?"]


@pytest.mark.parametrize("model", [ItemKNN(), Popularity(), "mixed"], ids=str)
def test_rows_of_one_user_are_answered_each_for_itself(model):
    if model == "mixed":
        model = Blend([("knn", ItemKNN()), ("faded", ItemKNN(half_life="9D"))])
    events = EVENTS.assign(timestamp=pd.Timestamp("2024-05-01"))
    model = Onboarding(model).fit(events)
    said = [{"tea": True, "coffee": False}, {"coffee": True}, {}, {"teapot": False}]
    for person in ("z", 3, 115):
        alone = [model.recommend([person], answers=[one], k=4) for one in said]
        recs = model.recommend([person] * 4, answers=said, k=4)
        assert recs.items.tolist() == [one.items[0].tolist() for one in alone]
        np.testing.assert_allclose(recs.scores, [one.scores[0] for one in alone], rtol=1e-5)
        assert list(recs.keys) == [person] * 4


def test_models_of_ratings_hear_of_dislikes():
    rng = np.random.default_rng(0)
    users, items = np.meshgrid(np.arange(60), np.arange(8), indexing="ij")
    frame = pd.DataFrame({"user_id": users.ravel(), "item_id": items.ravel()})
    frame["rating"] = np.where((frame["user_id"] + frame["item_id"]) % 2 == 0, 5.0, 1.0)
    frame = frame[rng.random(len(frame)) < 0.7]
    model = Onboarding(SVD(8), strategy="log_popularity_entropy", n_questions=3).fit(frame)
    even = model.recommend(answers={0: "liked", 1: "disliked", 2: "liked"}, k=3).items[0]
    odd = model.recommend(answers={0: "disliked", 1: "liked", 2: "disliked"}, k=3).items[0]
    assert set(even.tolist()) == {4, 6} | (set(even.tolist()) - {4, 6})
    assert {4, 6} <= set(even.tolist())
    assert {3, 5, 7} == set(odd.tolist())


def test_items_not_available_are_not_asked_about(tmp_path):
    items = pd.DataFrame({"item_id": ["tea", "coffee"], "available": [False, True]})
    for strategy in STRATEGIES:
        model = Onboarding(ItemKNN(), strategy=strategy, n_questions=3).fit(EVENTS, items=items)
        asked = model.questions()
        assert "tea" not in asked
        path = tmp_path / f"{strategy}.ecomrec"
        model.save(path)
        assert ecomrec.load(path).questions() == asked


def test_questions_are_chosen_anew_without_what_is_forgotten():
    for strategy in STRATEGIES:
        model = Onboarding(ItemKNN(), strategy=strategy, n_questions=3).fit(EVENTS)
        model.forget(items=["tea"])
        left = EVENTS[EVENTS["item_id"] != "tea"]
        assert (
            model.questions()
            == Onboarding(ItemKNN(), strategy=strategy, n_questions=3).fit(left).questions()
        )


def test_batches_leave_the_questions_until_refresh():
    model = Onboarding(ItemKNN(), strategy="popular", n_questions=1).fit(EVENTS)
    model.partial_fit(pd.DataFrame({"user_id": range(200), "item_id": "cocoa"}))
    assert model.questions() == ["bread"]
    assert model.refresh().questions() == ["cocoa"]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["tea"], "answers must be a dict of item ids"),
        ({"tea": "perhaps"}, "answer about 'tea' must be 'liked', 'disliked' or 'unknown'"),
        ({"tea": ["liked"]}, "answer about 'tea' must be"),
        ([{"tea": "liked"}, {}], "answers has 2 rows for 1 users"),
    ],
)
def test_answers_that_are_none_are_refused(answers, message):
    model = Onboarding(ItemKNN()).fit(EVENTS)
    with pytest.raises(DataError, match=message):
        model.recommend([3], answers=answers)
    with pytest.raises(ValueError, match="answers or a history"):
        model.recommend(answers={}, history=[["tea"]])
