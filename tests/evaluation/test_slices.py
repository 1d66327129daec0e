"""Accuracy in slices: users by history, test items by popularity, cold ones apart."""

import sys

import numpy as np
import pandas as pd
import pytest

from ecomrec.cf import ItemKNN, Popularity
from ecomrec.content import TfidfRecommender
from ecomrec.evaluation import (
    accuracy_by_history,
    accuracy_by_popularity,
    compare,
    per_user_metrics,
    plot_slices,
    train_test_split,
)
from ecomrec.exceptions import DataError

STATISTICS = ("", "_low", "_high", "_diff", "_diff_low", "_diff_high", "_verdict")


@pytest.fixture
def parts(events):
    return train_test_split(events)


@pytest.fixture
def result(stub, parts):
    models = {"popular": stub(), "unpopular": stub(reverse=True)}
    return compare(models, *parts, k=4, metrics=["ndcg", "recall"], exclude_seen=False)


def slice_of(count, bins):
    """The last of some bins that starts at or below a count."""
    return max((edge for edge in bins if edge <= count), default=None)


def test_slices_hold_the_users_with_so_many_events(result, parts):
    train, _ = parts
    bins = (0, 8, 10, 12)
    table = accuracy_by_history(result, train, bins=bins)
    counts = train["user_id"].value_counts()
    users = result.per_user.assign(
        start=[slice_of(counts.get(user, 0), bins) for user in result.per_user["user_id"]]
    )
    names = {0: "0-7", 8: "8-9", 10: "10-11", 12: "12+"}
    expected = users.groupby(["start", "model"], sort=True)[["ndcg", "recall"]].agg(
        ["mean", "size"]
    )
    assert len(table) == len(expected) >= 6
    for (start, model), row in expected.iterrows():
        found = table[(table["history"] == names[start]) & (table["model"] == model)]
        assert found["n_users"].tolist() == [row["ndcg", "size"]]
        assert found["ndcg"].tolist() == pytest.approx([row["ndcg", "mean"]])
        assert found["recall"].tolist() == pytest.approx([row["recall", "mean"]])


def test_one_slice_of_all_users_is_the_comparison_itself(result, parts):
    train, test = parts
    whole = result.to_frame()
    columns = [f"{metric}{what}" for metric in ("ndcg", "recall") for what in STATISTICS]
    for table in (
        accuracy_by_history(result, train, bins=[0]),
        accuracy_by_popularity(result, train, test, bins=[0]),
    ):
        assert table["model"].tolist() == ["popular", "unpopular"]
        one = table.set_index("model")
        pd.testing.assert_frame_equal(one[[*columns, "n_users"]], whole[[*columns, "n_users"]])


def test_both_variants_are_sliced(stub, parts):
    train, test = parts
    result = compare({"popular": stub()}, train, test, k=4, exclude_seen=(True, False))
    for table in (
        accuracy_by_history(result, train, bins=[0]),
        accuracy_by_popularity(result, train, test, bins=[0]),
    ):
        assert table["variant"].tolist() == ["new items", "repeats allowed"]
        assert table["n_users"].tolist() == result.to_frame()["n_users"].tolist()
        assert table["ndcg"].tolist() == pytest.approx(result.to_frame()["ndcg"].tolist())


def test_new_users_are_a_slice_of_their_own(stub, parts):
    train, test = parts
    strangers = pd.DataFrame({"user_id": [900, 901], "item_id": [0, 1]})
    later = pd.concat([test[["user_id", "item_id"]], strangers], ignore_index=True)
    models = {"answers": stub(answers_strangers=True), "does not": stub()}
    result = compare(
        models, train, later, k=4, metrics="recall", exclude_seen=False, unknown="count"
    )
    table = accuracy_by_history(result, train)
    new = table[table["history"] == "0"]
    assert new["n_users"].tolist() == [2, 2]
    assert new["recall"].tolist() == [1.0, 0.0]
    assert (
        table.groupby("model")["n_users"].sum().tolist()
        == [result.to_frame()["n_users"].iloc[0]] * 2
    )


def test_strangers_that_a_comparison_skips_are_in_no_slice(stub, parts):
    train, test = parts
    stranger = pd.DataFrame({"user_id": [900, 900], "item_id": [0, 11]})
    later = pd.concat([test[["user_id", "item_id"]], stranger], ignore_index=True)
    result = compare({"popular": stub()}, train, later, k=4, exclude_seen=False)
    (n_users,) = result.to_frame()["n_users"]
    assert accuracy_by_history(result, train, bins=[0])["n_users"].tolist() == [n_users]
    table = accuracy_by_popularity(result, train, later, bins=[0])
    assert table["n_users"].tolist() == [n_users]
    assert table["n_pairs"].tolist() == [len(test[["user_id", "item_id"]].drop_duplicates())]


def test_users_below_the_first_slice_are_left_out(result, parts):
    train, _ = parts
    table = accuracy_by_history(result, train, bins=[10, 1000])
    counts = train["user_id"].value_counts()
    n_users = sum(counts[user] >= 10 for user in set(result.per_user["user_id"]))
    assert table["history"].tolist() == ["10-999"] * 2
    assert table["n_users"].tolist() == [n_users] * 2
    nobody = accuracy_by_history(result, train, bins=[1000])
    assert nobody.empty
    assert list(nobody.columns[:4]) == ["variant", "history", "model", "n_users"]


def test_found_items_are_counted_by_their_popularity(result, parts):
    train, test = parts
    bins = (0, 20, 60)
    table = accuracy_by_popularity(result, train, test, bins=bins)
    counts = train["item_id"].value_counts()
    known = test[test["user_id"].isin(train["user_id"])]
    starts = known["item_id"].map(lambda item: slice_of(counts.get(item, 0), bins))
    names = {0: "0-19", 20: "20-59", 60: "60+"}
    assert set(table["popularity"]) == {names[start] for start in starts.unique()}
    for start in starts.unique():
        pairs = known.loc[starts == start, ["user_id", "item_id"]].drop_duplicates()
        users = pairs["user_id"].unique()
        for name, model in result.models.items():
            lists, _ = model.recommend(users, k=4, exclude_seen=False, unknown="skip")
            expected = per_user_metrics(lists, users, pairs, 4, metrics=["ndcg", "recall"]).mean()
            (row,) = table[
                (table["popularity"] == names[start]) & (table["model"] == name)
            ].to_dict("records")
            assert (row["n_users"], row["n_pairs"]) == (len(users), len(pairs))
            assert row["n_items"] == pairs["item_id"].nunique()
            assert [row["ndcg"], row["recall"]] == pytest.approx(expected.tolist())


def test_cold_items_are_counted_and_found_by_texts_alone():
    rng = np.random.default_rng(0)
    items = pd.DataFrame(
        {"item_id": range(40), "title": [f"kind{i % 4} thing" for i in range(40)]}
    )
    # Each user keeps to one kind; the last eight items are not on sale yet.
    train = pd.DataFrame(
        [(u, int(i)) for u in range(40) for i in rng.choice(8, 5, replace=False) * 4 + u % 4],
        columns=["user_id", "item_id"],
    )
    test = pd.DataFrame([(u, 32 + u % 8) for u in range(40)], columns=["user_id", "item_id"])
    models = {"knn": ItemKNN(shrink=0), "text": TfidfRecommender()}
    result = compare(models, train, test, k=5, metrics="recall", items=items)
    table = accuracy_by_popularity(result, train, test).set_index("model")
    assert table["popularity"].tolist() == ["0", "0"]
    assert table["n_items"].tolist() == [8, 8]
    assert table["n_pairs"].tolist() == [40, 40]
    assert table.loc["knn", "recall"] == 0
    assert table.loc["text", "recall"] > 0.5
    assert table.loc["text", "recall_verdict"] == "better"


def test_a_seed_gives_the_same_slices_again(result, parts):
    train, test = parts
    for one, other in (
        [accuracy_by_history(result, train, random_state=3) for _ in range(2)],
        [accuracy_by_popularity(result, train, test, random_state=3) for _ in range(2)],
    ):
        pd.testing.assert_frame_equal(one, other)


def test_tables_of_other_kinds_and_ids_that_are_texts_are_read():
    import polars as pl

    columns = {"user_id": ["ann", "ann", "bob", "cem"], "item_id": ["a", "b", "a", "a"]}
    test = {"user_id": ["ann", "bob"], "item_id": ["c", "b"]}
    result = compare({"popular": Popularity()}, pd.DataFrame(columns), pd.DataFrame(test), k=1)
    one = accuracy_by_history(result, pl.DataFrame(columns))
    assert one["history"].tolist() == ["1", "2-4"]
    other = accuracy_by_popularity(result, pl.DataFrame(columns), pl.DataFrame(test))
    assert other[["popularity", "n_items"]].to_numpy().tolist() == [["0", 1], ["1-9", 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": []}, r"bins must be whole numbers from 0, such as \(0, 1, 5\); got \[\]"),
        ({"bins": [-1, 3]}, "bins must be whole numbers from 0"),
        ({"bins": [0.5, 3]}, "bins must be whole numbers from 0"),
        ({"bins": [0, 3, 3]}, r"bins must rise; got \[0, 3, 3\]"),
        ({"n_bootstrap": 0}, "n_bootstrap must be a positive integer; got 0"),
    ],
)
def test_bad_arguments_are_named(result, parts, options, message):
    train, test = parts
    with pytest.raises(ValueError, match=message):
        accuracy_by_history(result, train, **options)
    with pytest.raises(ValueError, match=message):
        accuracy_by_popularity(result, train, test, **options)


def test_a_missing_column_is_named(result, parts):
    train, test = parts
    with pytest.raises(DataError, match="user_id"):
        accuracy_by_history(result, train.drop(columns="user_id"))
    with pytest.raises(DataError, match="item_id"):
        accuracy_by_popularity(result, train.drop(columns="item_id"), test)


# The plot


def test_points_and_bars_are_the_means_and_intervals(result, parts):
    pytest.importorskip("matplotlib")
    table = accuracy_by_history(result, parts[0], bins=(0, 10, 12))
    axes = plot_slices(table, "recall")
    for container, (model, rows) in zip(
        axes.containers, table.groupby("model", sort=False), strict=True
    ):
        line, _, (bars,) = container
        assert container.get_label() == model
        assert line.get_ydata().tolist() == rows["recall"].tolist()
        ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
        expected = rows[["recall_low", "recall_high"]].to_numpy()
        assert ends == [pytest.approx(pair) for pair in expected]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    sizes = table.drop_duplicates("history")
    assert labels == [
        f"{h}\n({n})" for h, n in zip(sizes["history"], sizes["n_users"], strict=True)
    ]
    assert axes.get_ylabel().startswith("recall")


def test_the_plot_takes_axes_and_either_table(result, parts):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    before = "matplotlib.pyplot" in sys.modules
    assert plot_slices(accuracy_by_popularity(result, *parts), ax=axes) is axes
    assert axes.get_xlabel() == "events of the test item in the training part (users)"
    assert axes.get_ylabel().startswith("ndcg")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_what_cannot_be_drawn_is_named(stub, result, parts):
    both = compare({"popular": stub()}, *parts, k=4, exclude_seen=(True, False))
    with pytest.raises(ValueError, match=r"of one variant; got the variants \['new items', 'rep"):
        plot_slices(accuracy_by_history(both, parts[0]))
    with pytest.raises(ValueError, match=r"of one variant; got \['variant', 'ndcg'"):
        plot_slices(result.to_frame())
    with pytest.raises(ValueError, match=r"metric must be one of \['ndcg', 'recall'\]; got 'map'"):
        plot_slices(accuracy_by_history(result, parts[0]), "map")
