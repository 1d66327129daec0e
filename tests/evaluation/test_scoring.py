"""Scorers inside scikit-learn: who counts, which test items count, and pipelines."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline

from ecomrec.data import EventWeights
from ecomrec.evaluation import (
    ColdUserSplit,
    LeaveLastN,
    TemporalSplit,
    ranking_metrics,
    ranking_scorer,
    train_test_split,
)
from ecomrec.exceptions import DataError

TRAIN = pd.DataFrame(
    {"user_id": ["a", "a", "b", "b", "c"], "item_id": ["tea", "mug", "tea", "pot", "tea"]}
)
# The stub ranks tea (3 rows), mug, pot.


class OnlyPurchases(TransformerMixin, BaseEstimator):
    """Drops views, and gives purchases a weight."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[X["event"] != "view"].assign(
            weight=lambda t: t["event"].map({"buy": 1, "return": -1})
        )


def table(*pairs, **columns):
    return pd.DataFrame(pairs, columns=["user_id", "item_id"]).assign(**columns)


def test_scores_what_the_model_recommends(stub):
    test = table(("a", "pot"), ("b", "mug"), ("c", "pot"))
    model = stub().fit(TRAIN)
    # a and b are left with one unseen item each; c gets mug before pot.
    assert ranking_scorer("mrr", k=2)(model, test) == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_equals_ranking_metrics_over_a_time_split(stub, events):
    train, test = train_test_split(events)
    model = stub().fit(train)
    users = np.intersect1d(test["user_id"], train["user_id"])
    lists, _ = model.recommend(users, k=5, unknown="skip")
    expected = ranking_metrics(lists, users, test, 5, metrics="ndcg", seen=train)
    assert ranking_scorer("ndcg", k=5)(model, test) == pytest.approx(expected["ndcg"])


def test_pairs_the_model_leaves_out_as_seen_are_no_test_items(stub):
    test = table(("a", "tea"), ("a", "pot"))
    assert ranking_scorer("recall", k=1)(stub().fit(TRAIN), test) == 1.0


def test_repeats_count_when_they_are_allowed(stub):
    test = table(("a", "tea"), ("a", "pot"))
    assert ranking_scorer("recall", k=1, exclude_seen=False)(stub().fit(TRAIN), test) == 0.5


def test_users_whose_test_items_were_all_seen_are_left_out(stub):
    test = table(("a", "tea"), ("b", "mug"))
    assert ranking_scorer("recall", k=1)(stub().fit(TRAIN), test) == 1.0


def test_users_that_the_fold_never_saw_are_skipped(stub):
    test = table(("a", "pot"), ("stranger", "pot"))
    assert ranking_scorer("recall", k=1)(stub().fit(TRAIN), test) == 1.0


def test_users_that_the_fold_never_saw_count_when_asked(stub):
    test = table(("a", "pot"), ("stranger", "tea"))
    scorer = ranking_scorer("recall", k=1, unknown="count")
    assert scorer(stub().fit(TRAIN), test) == 0.5
    assert scorer(stub(answers_strangers=True).fit(TRAIN), test) == 1.0


def test_items_that_the_fold_never_saw_stay_misses(stub):
    test = table(("a", "pot"), ("a", "new"))
    assert ranking_scorer("recall", k=2)(stub().fit(TRAIN), test) == 0.5


def test_returned_orders_are_no_test_items(stub):
    test = table(("a", "pot"), ("a", "new"), weight=[1.0, -1.0])
    assert ranking_scorer("recall", k=1)(stub().fit(TRAIN), test) == 1.0


def test_y_takes_the_place_of_the_weights(stub):
    test = table(("a", "pot"), ("a", "new"), weight=[1.0, 1.0])
    assert ranking_scorer("recall", k=1)(stub().fit(TRAIN), test, [1.0, -1.0]) == 1.0


def test_a_model_with_constant_scores_has_its_known_value(stub):
    """Ties go to the lower row, so the lists are rows 0 to 3 and recall the share of tests there."""
    n_items, k = 10, 4
    train = pd.DataFrame({"user_id": range(n_items), "item_id": range(n_items)})
    test = pd.DataFrame({"user_id": range(n_items), "item_id": np.roll(range(n_items), 5)})
    scorer = ranking_scorer("recall", k=k, exclude_seen=False)
    assert scorer(stub().fit(train), test) == k / n_items


def test_several_metrics_come_as_a_dict(stub):
    test = table(("a", "pot"), ("c", "pot"))
    scores = ranking_scorer(["recall", "mrr"], k=2)(stub().fit(TRAIN), test)
    assert scores == {"recall": 1.0, "mrr": 0.75}


def test_cross_validate_scores_each_split(stub, events):
    cv = TemporalSplit(3, test_size=0.2)
    scores = cross_validate(stub(), events, cv=cv, scoring=ranking_scorer("recall", k=4))
    expected = []
    for train, test in cv.split(events):
        model = stub().fit(events.iloc[train])
        expected.append(ranking_scorer("recall", k=4)(model, events.iloc[test]))
    assert scores["test_score"].tolist() == expected
    assert len(set(expected)) > 1


def test_cross_validate_takes_every_kind_of_table(stub, make_table, events):
    columns = {name: events[name].tolist() for name in events}
    scoring = ranking_scorer(["ndcg", "recall"], k=4)
    result = cross_validate(stub(), make_table(columns), cv=LeaveLastN(2), scoring=scoring)
    expected = cross_validate(stub(), events, cv=LeaveLastN(2), scoring=scoring)
    assert result["test_ndcg"].tolist() == expected["test_ndcg"].tolist()
    assert result["test_recall"].tolist() == expected["test_recall"].tolist()


def test_cross_validate_hands_the_side_table_to_fit(stub, events):
    catalog = pd.DataFrame({"item_id": range(12)})
    result = cross_validate(
        stub(),
        events,
        cv=TemporalSplit(),
        scoring=ranking_scorer(),
        params={"items": catalog},
        return_estimator=True,
    )
    assert all(model.side_table_ is catalog for model in result["estimator"])


def test_grid_search_finds_the_better_parameter(stub, events):
    search = GridSearchCV(
        stub(),
        {"reverse": [True, False]},
        scoring=ranking_scorer("ndcg", k=4, exclude_seen=False),
        cv=TemporalSplit(2),
    )
    search.fit(events)
    assert search.best_params_ == {"reverse": False}
    assert search.best_score_ > search.cv_results_["mean_test_score"][0]


def test_a_fitted_search_is_scored_by_its_best_estimator(stub, events):
    scorer = ranking_scorer("ndcg", k=4)
    search = GridSearchCV(stub(), {"reverse": [False]}, scoring=scorer, cv=TemporalSplit(2))
    search.fit(events)
    test = events.assign(item_id=(events["item_id"] + 1) % 12)
    assert scorer(search, test) == scorer(search.best_estimator_, test)


def test_a_pipeline_transforms_the_test_rows_first(stub):
    train = TRAIN.assign(event=["buy", "view", "buy", "buy", "buy"])
    pipeline = Pipeline([("weights", OnlyPurchases()), ("skip", "passthrough"), ("model", stub())])
    pipeline.fit(train)
    test = table(("a", "pot"), ("a", "new"), ("a", "old"), event=["buy", "view", "return"])
    # Left over: pot. The model has never seen mug, which was only viewed.
    assert ranking_scorer("recall", k=1)(pipeline, test) == 1.0
    assert ranking_scorer("recall", k=1)(Pipeline([("all", pipeline)]), test) == 1.0


def test_event_names_become_weights_before_the_test_items_are_chosen(stub, make_table):
    columns = {
        "user_id": ["a", "a", "b", "c"],
        "item_id": ["tea", "mug", "pot", "tea"],
        "event": ["purchase", "view", "purchase", "view"],
    }
    pipeline = Pipeline(
        [("weights", EventWeights({"view": 1, "purchase": 5, "return": -5})), ("model", stub())]
    )
    pipeline.fit(make_table(columns))
    test = make_table(
        {
            "user_id": ["a", "a", "a"],
            "item_id": ["pot", "new", "new"],
            "event": ["view", "purchase", "return"],
        }
    )
    assert ranking_scorer("recall", k=1)(pipeline, test) == 1.0


def test_a_scorer_survives_pickling(stub):
    scorer = pickle.loads(pickle.dumps(ranking_scorer("recall", k=3, unknown="count")))
    assert scorer == ranking_scorer("recall", k=3, unknown="count")
    assert scorer(stub().fit(TRAIN), table(("a", "pot"))) == 1.0


def test_a_multimetric_scorer_survives_pickling():
    scorer = ranking_scorer(["recall", "ndcg"])
    assert pickle.loads(pickle.dumps(scorer)) == scorer


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (table(("zoe", "tea")), "none of its 1 pairs belongs to a user that the model has seen"),
        (table(("a", "tea")), "already have the items of all 1 pairs of known users"),
        (table(("a", "pot"), weight=[-1.0]), "the test table has no pair with a positive weight"),
    ],
    ids=["strangers", "seen", "returns"],
)
def test_nothing_left_to_score_says_why(stub, test, message):
    with pytest.raises(DataError, match=f"no user has a test item left: .*{message}"):
        ranking_scorer()(stub().fit(TRAIN), test)


def test_cold_folds_become_nan_with_a_warning(stub, events):
    with pytest.warns(UserWarning, match="no user has a test item left"):
        result = cross_validate(
            stub(), events, cv=ColdUserSplit(2, random_state=0), scoring=ranking_scorer()
        )
    assert np.isnan(result["test_score"]).all()


def test_a_y_that_does_not_fit_is_named(stub):
    with pytest.raises(DataError, match="y has 2 values for 1 rows"):
        ranking_scorer()(stub().fit(TRAIN), table(("a", "pot")), [1.0, 2.0])


def test_an_estimator_that_cannot_recommend_is_named():
    with pytest.raises(TypeError, match="with a method recommend is needed; got OnlyPurchases"):
        ranking_scorer()(OnlyPurchases(), TRAIN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "auc"}, r"metrics must be among .*got \['auc'\]"),
        ({"k": 0}, "k must be a positive integer; got 0"),
        ({"unknown": "raise"}, r"unknown must be one of \('skip', 'count'\); got 'raise'"),
    ],
    ids=["metric", "k", "unknown"],
)
def test_arguments_that_are_not_valid_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ranking_scorer(**arguments)
