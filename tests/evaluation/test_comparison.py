"""Comparisons: the same users for every model, intervals that mean something, sober verdicts."""

from time import process_time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from ecomrec.evaluation import (
    Comparison,
    TemporalSplit,
    catalog_coverage,
    compare,
    ranking_metrics,
    ranking_scorer,
    train_test_split,
)
from ecomrec.evaluation._intervals import bootstrap_means, interval_table
from ecomrec.exceptions import DataError


@pytest.fixture
def parts(events):
    return train_test_split(events)


@pytest.fixture
def models(stub):
    return {"popular": stub(), "unpopular": stub(reverse=True)}


@pytest.fixture
def result(models, parts) -> Comparison:
    return compare(models, *parts, k=4, exclude_seen=False)


def test_means_are_those_of_ranking_metrics(result, models, parts):
    train, test = parts
    users = np.intersect1d(test["user_id"], train["user_id"])
    for name, model in models.items():
        lists, _ = model.fit(train).recommend(users, k=4, exclude_seen=False, unknown="skip")
        expected = ranking_metrics(lists, users, test, 4, metrics=result.metrics)
        row = result.to_frame().loc[name]
        assert {metric: row[metric] for metric in result.metrics} == pytest.approx(expected)
        assert row["coverage"] == catalog_coverage(lists, train["item_id"].unique(), 4)
        assert row["n_users"] == len(users)


def test_the_callers_models_stay_unfitted(result, models):
    assert not hasattr(models["popular"], "item_ids_")
    assert hasattr(result.models["popular"], "item_ids_")


def test_the_first_model_is_the_baseline(result):
    frame = result.to_frame()
    assert result.baseline == "popular"
    assert frame["ndcg_verdict"].tolist() == ["baseline", "worse"]
    assert frame.loc["popular", ["ndcg_diff", "ndcg_diff_low", "ndcg_diff_high"]].tolist() == [
        0,
        0,
        0,
    ]


def test_another_baseline_turns_the_verdict_round(models, parts):
    frame = compare(models, *parts, k=4, exclude_seen=False, baseline="unpopular").to_frame()
    assert frame["ndcg_verdict"].tolist() == ["better", "baseline"]
    assert frame.loc["popular", "ndcg_diff_low"] > 0


def test_equal_models_do_not_clearly_differ(stub, parts):
    frame = compare({"one": stub(), "other": stub()}, *parts, metrics="recall").to_frame()
    assert frame["recall_verdict"].tolist() == ["baseline", "no clear difference"]
    assert frame["recall_diff"].tolist() == [0.0, 0.0]


def test_five_users_are_too_few_for_a_verdict(models, parts):
    train, test = parts
    frame = compare(
        models, train, test[test["user_id"] < 105], k=4, metrics="precision", exclude_seen=False
    ).to_frame()
    assert frame.loc["unpopular", "precision_diff_high"] < 0
    assert frame.loc["unpopular", "n_users"] <= 5
    assert frame.loc["unpopular", "precision_verdict"] == "no clear difference"


def test_intervals_hold_the_mean_and_match_the_normal_ones(result):
    frame, users = result.to_frame(), result.per_user
    for name in frame.index:
        values = users.loc[users["model"] == name, "ndcg"]
        half = 1.96 * values.std() / np.sqrt(len(values))
        row = frame.loc[name]
        assert row["ndcg_low"] < row["ndcg"] < row["ndcg_high"]
        # 1,000 resamplings place the ends within a tenth or so of the half width.
        assert row["ndcg_high"] - row["ndcg_low"] == pytest.approx(2 * half, rel=0.2)


def test_differences_are_resampled_on_the_same_users(result):
    frame, users = result.to_frame(), result.per_user
    wide = users.pivot(index="user_id", columns="model", values="ndcg")
    paired = (wide["unpopular"] - wide["popular"]).std() / np.sqrt(len(wide))
    row = frame.loc["unpopular"]
    assert row["ndcg_diff_high"] - row["ndcg_diff_low"] == pytest.approx(
        2 * 1.96 * paired, rel=0.2
    )


def test_a_seed_gives_the_same_intervals_again(models, parts):
    low, again, other = (
        compare(models, *parts, random_state=seed).to_frame()["ndcg_low"].tolist()
        for seed in (1, 1, 2)
    )
    assert low == again
    assert low != other


def test_both_variants_come_from_one_fit(models, parts):
    result = compare(models, *parts, k=4, exclude_seen=(True, False))
    frame = result.to_frame()
    assert frame["variant"].tolist() == ["new items"] * 2 + ["repeats allowed"] * 2
    for variant, exclude_seen in (("new items", True), ("repeats allowed", False)):
        alone = compare(models, *parts, k=4, exclude_seen=exclude_seen).to_frame()
        both = frame[frame["variant"] == variant]
        assert both["ndcg"].tolist() == alone["ndcg"].tolist()
        assert both["n_users"].tolist() == alone["n_users"].tolist()
    assert "repeats allowed" in repr(result)


def test_all_models_answer_to_the_same_users_and_items(stub):
    """The second model learns without views: it knows fewer users and fewer seen pairs."""

    class WithoutViews(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X[X["event"] == "buy"]

    train = pd.DataFrame(
        {
            "user_id": ["a", "a", "b", "c"],
            "item_id": ["tea", "mug", "pot", "tea"],
            "event": ["buy", "view", "buy", "view"],
        }
    )
    test = pd.DataFrame(
        {"user_id": ["a", "a", "c"], "item_id": ["mug", "pot", "pot"], "event": "buy"}
    )
    models = {"all": stub(), "bought": make_pipeline(WithoutViews(), stub())}
    result = compare(models, train, test, k=1, metrics="recall")
    # c is unknown to one of them, and a has seen mug for the other.
    assert result.per_user[["model", "user_id", "recall"]].to_numpy().tolist() == [
        ["all", "a", 1.0],
        ["bought", "a", 1.0],
    ]


def test_strangers_count_when_asked(stub, parts):
    train, test = parts
    stranger = test.head(1).assign(user_id=999)
    models = {"no": stub(), "yes": stub(answers_strangers=True)}
    users = compare(
        models, train, pd.concat([test, stranger]), k=12, metrics="recall", unknown="count"
    ).per_user
    assert users.loc[users["user_id"] == 999, "recall"].tolist() == [0.0, 1.0]


def test_the_side_table_reaches_models_and_pipelines(stub, parts):
    catalog = pd.DataFrame({"item_id": [*range(12), 50, 51]})
    models = {"alone": stub(), "piped": make_pipeline("passthrough", stub())}
    result = compare(models, *parts, items=catalog, k=12, exclude_seen=False)
    assert result.models["alone"].side_table_ is catalog
    assert result.models["piped"][-1].side_table_ is catalog
    # The side table is part of the catalogue: 12 of 14 items are shown.
    assert result.to_frame()["coverage"].tolist() == pytest.approx([12 / 14] * 2)


def test_a_search_is_tuned_on_the_training_part_and_then_compared(stub, parts):
    search = GridSearchCV(
        stub(),
        {"reverse": [True, False]},
        scoring=ranking_scorer("ndcg", k=4, exclude_seen=False),
        cv=TemporalSplit(2),
    )
    frame = compare({"plain": stub(), "tuned": search}, *parts, k=4, exclude_seen=False).to_frame()
    assert frame.loc["tuned", "ndcg"] == frame.loc["plain", "ndcg"]


def test_every_kind_of_table_is_compared(models, make_table):
    train = make_table({"user_id": list("aabbcc"), "item_id": ["x", "y", "x", "z", "x", "y"]})
    test = make_table({"user_id": ["a", "b"], "item_id": ["z", "y"]})
    assert compare(models, train, test, k=1).to_frame()["recall"].tolist() == [1.0, 1.0]


def test_the_table_for_the_eye_says_it_in_words(result):
    text = repr(result)
    assert "ndcg@4" in text
    assert "worse (-" in text
    assert "variant" not in text
    assert "<table" in result._repr_html_()
    assert "worse (-" in result._repr_html_()


def test_the_frame_is_a_copy(result):
    frame = result.to_frame()
    frame["ndcg"] = -1.0
    assert (result.to_frame()["ndcg"] >= 0).all()


def test_wins_that_equal_the_losses_are_no_clear_difference():
    wins = np.repeat([[1.0], [-1.0]], 500, axis=0)
    values = {"one": np.full((1000, 1), 0.3), "other": 0.3 + wins}
    shown = {"one": (0.0, 0.0, 0.0), "other": (0.0, 0.0, 0.0)}
    rng = np.random.default_rng(0)
    row = interval_table(values, shown, "v", ["m"], "one", 200, rng).loc["other"]
    assert row["m_diff"] == 0.0
    assert row["m_diff_low"] < 0 < row["m_diff_high"]
    assert row["m_verdict"] == "no clear difference"


def test_an_interval_that_ends_at_0_is_no_clear_difference():
    difference = np.zeros((1000, 1))
    difference[:6], difference[6] = 1.0, -1.0
    values = {"one": np.zeros((1000, 1)), "other": difference}
    shown = {"one": (0.0, 0.0, 0.0), "other": (0.0, 0.0, 0.0)}
    rng = np.random.default_rng(0)
    row = interval_table(values, shown, "v", ["m"], "one", 1000, rng).loc["other"]
    assert row["m_diff_low"] == 0.0
    assert row["m_verdict"] == "no clear difference"


def test_resampling_equals_drawing_rows_one_by_one():
    values = np.random.default_rng(0).random((50, 3))
    rng = np.random.default_rng(5)
    expected = [values[row].mean(axis=0) for row in rng.integers(0, 50, size=(20, 50))]
    np.testing.assert_allclose(bootstrap_means(values, 20, np.random.default_rng(5)), expected)


def test_resampling_in_blocks_changes_nothing(monkeypatch):
    values = np.random.default_rng(0).random((50, 3))
    whole = bootstrap_means(values, 20, np.random.default_rng(5))
    monkeypatch.setattr("ecomrec.evaluation._intervals._DRAWS_PER_BLOCK", 120)
    np.testing.assert_allclose(bootstrap_means(values, 20, np.random.default_rng(5)), whole)


@pytest.mark.slow
def test_ten_thousand_users_take_less_than_a_second_besides_the_models(stub):
    rng = np.random.default_rng(0)

    class Fixed(stub):  # type: ignore[valid-type,misc]
        def fit(self, X, y=None, *, items=None, users=None):
            self.user_ids_ = np.arange(10_000)
            self.lists_ = rng.integers(0, 5_000, (10_000, 20))
            return self

        def recommend(self, users, k=10, exclude_seen=True, unknown="raise"):
            return self.lists_, np.zeros(self.lists_.shape)

        def has_seen(self, pairs):
            return np.zeros(len(pairs), dtype=bool)

    test = pd.DataFrame(
        {"user_id": np.repeat(np.arange(10_000), 5), "item_id": rng.integers(0, 5_000, 50_000)}
    )
    start = process_time()
    compare({"one": Fixed(), "other": Fixed()}, test, test, k=20)
    assert process_time() - start < 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": {}}, "models must be a dict of at least one model by name"),
        ({"models": [1]}, r"models must be a dict .*got \[1\]"),
        ({"baseline": "best"}, r"baseline must be one of \['popular', 'unpopular'\]; got 'best'"),
        ({"metrics": "auc"}, "metrics must be among"),
        ({"k": 0}, "k must be a positive integer; got 0"),
        ({"unknown": "raise"}, "unknown must be one of"),
        ({"n_bootstrap": 0}, "n_bootstrap must be a positive integer; got 0"),
        ({"exclude_seen": ()}, "exclude_seen must be True, False or several of them; got "),
    ],
    ids=["no models", "list", "baseline", "metric", "k", "unknown", "n_bootstrap", "variants"],
)
def test_arguments_that_are_not_valid_are_named(models, parts, arguments, message):
    train, test = parts
    with pytest.raises(ValueError, match=message):
        compare(**{"models": models, "train": train, "test": test, **arguments})


def test_a_model_that_cannot_recommend_is_named_before_anything_is_fitted(stub, parts):
    class Fails(stub):  # type: ignore[valid-type,misc]
        def fit(self, X, y=None, *, items=None, users=None):
            raise AssertionError

    with pytest.raises(
        TypeError, match="a recommender with a method recommend is needed; got Base"
    ):
        compare({"slow": Fails(), "wrong": BaseEstimator()}, *parts)


def test_a_test_without_known_users_says_why(models, parts):
    train, test = parts
    with pytest.raises(
        DataError, match=r"none of its .* pairs belongs to a user that the model has"
    ):
        compare(models, train, test.assign(user_id=1))
