"""Metrics of private users: exact sums, bounds, what is booked, and what raises."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.privacy.replay import difference, record, replay

from ecomrec.cf import ItemKNN, Popularity
from ecomrec.data import EventWeights, Interactions
from ecomrec.datasets import make_shop
from ecomrec.evaluation import ranking_metrics
from ecomrec.exceptions import BudgetExceededError, DataError
from ecomrec.privacy import (
    DPMetrics,
    DPPopularity,
    PrivacyLedger,
    SeededNoise,
    evaluate_histories,
    mu_from_epsilon,
)

SHOP = make_shop(700, 40, 12_000, 4, random_state=0)
EVENTS = SHOP.events[["user_id", "item_id", "timestamp"]]
EARLY, LATE = EVENTS[EVENTS["user_id"] < 400], EVENTS[EVENTS["user_id"] >= 400]
MODEL = ItemKNN().fit(EARLY)
GRID = 1 << 20


def test_without_noise_it_is_the_mean_over_users():
    metrics = ("ndcg@5", "recall@10", "hit_rate@3", "map@10")
    table = evaluate_histories(MODEL, LATE, metrics=metrics, release="public")
    result = DPMetrics(metrics, epsilon=math.inf).evaluate(MODEL, LATE)
    assert list(result.values) == list(metrics)
    for name in metrics:
        assert result.values[name] == pytest.approx(table[name].mean(), abs=2e-6)
        assert result.standard_errors[name] == 0
    assert result.n_users == len(table)
    assert not result.report.private


def test_with_a_history_it_is_what_evaluation_says():
    old = LATE.groupby("user_id").head(5)
    new = LATE.drop(old.index)
    old = old.drop_duplicates(["user_id", "item_id"])  # each item counts once
    table = evaluate_histories(
        MODEL, new, history=old, metrics=["ndcg@10", "recall@10"], release="inside"
    )
    lists = MODEL.recommend(history=old, k=10)
    new = new[new["item_id"].isin(MODEL.item_ids_)]
    expected = ranking_metrics(lists, lists.keys, new, 10, metrics=["ndcg", "recall"], seen=old)
    assert table["ndcg@10"].mean() == pytest.approx(expected["ndcg"])
    assert table["recall@10"].mean() == pytest.approx(expected["recall"])


def test_the_newest_fifth_is_hidden_and_at_least_one():
    seen = []

    class Spy:
        item_ids_ = np.arange(10)

        def recommend(self, history, k, unknown):
            seen.append(history[0])
            return Popularity().fit([[1, 1], [1, 0]]).recommend([0], k=1)

    days = pd.to_datetime("2024-01-01") + pd.to_timedelta(np.arange(10)[::-1], unit="D")
    test = pd.DataFrame({"user_id": 1, "item_id": range(10), "timestamp": days})
    two = pd.DataFrame({"user_id": 2, "item_id": [4, 5], "timestamp": days[:2]})
    one = pd.DataFrame({"user_id": 3, "item_id": [4], "timestamp": days[:1]})
    table = evaluate_histories(
        Spy(), pd.concat([test, two, one]), metrics="recall@1", release="public"
    )
    assert seen == [[9, 8, 7, 6, 5, 4, 3, 2], [5]]
    assert table.index.tolist() == [1, 2]


@pytest.mark.parametrize("n_users", [None, 300])
@pytest.mark.parametrize("epsilon", [0.5, 4.0])
def test_what_is_booked_is_epsilon_and_the_noise_is_what_is_booked(epsilon, n_users):
    ledger = PrivacyLedger(None, 10.0, 1e-6)
    scale = DPMetrics(["ndcg@5", "recall@5", "map@5"], epsilon=epsilon, n_users=n_users)
    scale.set_params(ledger=ledger)
    results = []
    calls = record(lambda: results.append(scale.evaluate(MODEL, LATE)))
    report = results[0].report
    assert report.epsilon == pytest.approx(epsilon, rel=1e-6)
    assert ledger.events == report.events
    assert len(calls) == len(report.events) == (1 if n_users else 2)
    assert report.secure_noise
    drawn = sum((call[1]["bound"] / call[1]["sigma"]) ** 2 for call in calls)
    assert drawn == pytest.approx(mu_from_epsilon(epsilon, 1e-6) ** 2, rel=1e-6)
    bound = calls[0][1]["bound"]
    assert 3 * GRID**2 <= bound**2 < 3 * GRID**2 + 2 * bound


def test_standard_errors_are_the_spread_of_repeated_releases():
    exact = DPMetrics(["recall@5", "ndcg@5"], epsilon=math.inf).evaluate(MODEL, LATE)
    people = evaluate_histories(MODEL, LATE, metrics=["recall@5"], release="public")
    few = LATE[LATE["user_id"].isin(people.index[:60])]
    exact = DPMetrics(["recall@5"], epsilon=math.inf).evaluate(MODEL, few).values["recall@5"]
    for n_users in (None, 60):
        distances = []
        for number in range(60):
            scale = DPMetrics(
                ["recall@5"], epsilon=2.0, n_users=n_users, noise_source=SeededNoise(number)
            )
            result = scale.evaluate(MODEL, few)
            error = result.standard_errors["recall@5"]
            distances.append((result.values["recall@5"] - exact) / error)
        # Of 60 squares of normal numbers the mean is within 0.45 and 1.75 nearly always.
        assert 0.45 < np.mean(np.square(distances)) < 1.75


HOSTILE = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3]),
        st.one_of(st.none(), st.sampled_from([0, 1, 2, 3, 5, 39, 999])),
        st.sampled_from([1.0, -1.0, np.nan, np.inf, 1e300, 0.0]),
    ),
    max_size=30,
)


def hostile(rows):
    return pd.DataFrame(
        {
            "user_id": np.array([row[0] for row in rows], dtype=np.int64),
            "item_id": pd.array([row[1] for row in rows], dtype="Int64"),
            "weight": np.array([row[2] for row in rows], dtype=np.float64),
        }
    )


@settings(max_examples=25)
@given(HOSTILE, HOSTILE, st.sampled_from([1, 2, 3]), st.booleans())
def test_one_user_changes_the_sums_by_no_more_than_declared(rows, earlier, gone, with_history):
    scale = DPMetrics(["ndcg@5", "recall@10"], noise_source=SeededNoise(0))

    def evaluated(without=None):
        test, before = (
            hostile([row for row in part if row[0] != without]) for part in (rows, earlier)
        )
        sides = {"history": before} if with_history else {}
        return lambda: scale.evaluate(MODEL, test, **sides)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calls = record(evaluated())
        others = replay(evaluated(gone), calls)
    for (_, params, value, _), other in zip(calls, others, strict=True):
        change = difference(value, other)
        assert all(0 <= v <= GRID for v in change)
        assert sum(v * v for v in change) <= params["bound"] ** 2


def test_each_user_is_asked_for_alone():
    asked = []

    class Alone(ItemKNN):
        def recommend(self, *args, history=None, **kwargs):
            asked.append(len(history))
            return super().recommend(*args, history=history, **kwargs)

    DPMetrics("recall@5").evaluate(Alone().fit(EARLY), LATE)
    assert set(asked) == {1}
    assert len(asked) > 200


def test_private_models_and_budgets_work_as_everywhere():
    ledger = PrivacyLedger(None, 1.5, 1e-6)
    model = DPPopularity(0.5, ledger=ledger).fit(EARLY, items=SHOP.items)
    scale = DPMetrics("recall@10", epsilon=1.0, ledger=ledger)
    result = scale.evaluate(model, LATE)
    assert result.values["recall@10"] == pytest.approx(0.5, abs=0.3)
    assert result.to_frame()["metric"].tolist() == ["recall@10"]
    with pytest.raises(BudgetExceededError):
        scale.evaluate(model, LATE)


def test_rows_that_are_unusable_count_for_nothing_and_say_nothing():
    odd = pd.DataFrame({"user_id": [401, 402], "item_id": [12345, 3], "weight": [1.0, np.nan]})
    plain = LATE.assign(weight=1.0).drop(columns="timestamp")
    scale = DPMetrics("recall@10", epsilon=math.inf)
    one = scale.evaluate(MODEL, plain)
    other = scale.evaluate(MODEL, pd.concat([plain, odd]))
    assert one.values == other.values
    with pytest.raises(DataError, match="lacks the columns") as error:
        scale.evaluate(MODEL, plain.drop(columns="item_id"))
    assert "401" not in str(error.value)
    with pytest.raises(DataError, match="a column of the test table cannot be read") as error:
        scale.evaluate(MODEL, plain.assign(weight="secret"))
    assert "secret" not in str(error.value)
    with pytest.raises(DataError, match="item ids of the kind 'str', the model 'int'"):
        scale.evaluate(MODEL, plain.assign(item_id="a"))


def test_a_table_that_cannot_be_read_costs_nothing():
    ledger = PrivacyLedger(None, 1.5, 1e-6)
    scale = DPMetrics("recall@10", ledger=ledger)
    with pytest.raises(DataError, match="lacks the columns"):
        scale.evaluate(MODEL, LATE[["user_id"]])
    assert ledger.entries == ()


@pytest.mark.parametrize("release", [None, "yes", True])
def test_metrics_without_noise_must_say_what_becomes_of_them(release):
    with pytest.raises(ValueError, match="metrics of private users tell of them"):
        evaluate_histories(MODEL, LATE, release=release)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"metrics": "ndcg"}, "metrics must be names such as 'ndcg@20'; got 'ndcg'"),
        ({"metrics": ["ndcg@5", "ndcg@5"]}, "metrics must be names"),
        ({"hidden": 1.0}, "hidden must be a number above 0 and below 1"),
        ({"n_users": 0}, "n_users must be None or an integer of at least 1"),
        ({"epsilon": 0}, "epsilon must be a number above 0"),
    ],
)
def test_bad_parameters_are_named(params, match):
    with pytest.raises(ValueError, match=match):
        DPMetrics(**params).evaluate(MODEL, LATE)


def test_parsing_says_which_metric_is_wrong():
    with pytest.raises(ValueError, match="got 'speed@3'"):
        evaluate_histories(MODEL, LATE, metrics=["speed@3"], release="public")


def test_weights_that_depend_on_others_are_refused():
    timed = EARLY.assign(timestamp=np.arange(len(EARLY)))
    faded = Interactions.from_table(timed, half_life="1D")
    weights = EventWeights({"buy": 1.0}, half_life="1D")
    table = weights.fit_transform(timed.assign(event="buy"))
    scale = DPMetrics("recall@10")
    for test, match in (
        (faded, "newest event of all users"),
        (table, "Pass now= to EventWeights"),
    ):
        with pytest.raises(DataError, match=match):
            scale.evaluate(MODEL, test)
        with pytest.raises(DataError, match=match):
            scale.evaluate(MODEL, LATE, history=test)


@pytest.mark.parametrize(
    ("column", "value"),
    [("timestamp", np.inf), ("timestamp", 1e12), ("weight", 10**400), ("user_id", -1),
     ("item_id", 0.5), ("item_id", "mug")],
)  # fmt: skip
def test_one_row_that_cannot_be_read_counts_for_nothing(column, value):
    plain = LATE.assign(timestamp=np.arange(len(LATE), dtype=float), weight=1.0)
    odd = pd.DataFrame({"user_id": 999, "item_id": [3, 4], "timestamp": 0.0, "weight": 1.0})
    odd[column] = pd.Series([value] * 2, dtype=object)
    kept = "int64" if column == "user_id" else None if column in ("item_id", "weight") else float
    both = pd.concat([plain.astype({column: object}), odd])
    both = both if kept is None else both.astype({column: kept})
    scale = DPMetrics("recall@10", epsilon=math.inf)
    assert scale.evaluate(MODEL, both).values == scale.evaluate(MODEL, plain).values


def test_a_matrix_with_an_odd_cell_is_measured():
    rows = np.zeros((5, len(MODEL.item_ids_)), dtype=int)
    rows[:, :4] = 1
    odd = rows.copy()
    odd[0, 9] = -1
    model = DPPopularity(epsilon=math.inf).fit(rows)
    scale = DPMetrics("recall@2", epsilon=math.inf)
    assert scale.evaluate(model, odd).values == scale.evaluate(model, rows).values
