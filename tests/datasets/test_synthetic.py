import time
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from ecomrec.datasets import SyntheticShop, make_checkerboard, make_shop

MANY = {"n_users": 200_000, "n_items": 50_000, "n_groups": 50}
VERY_MANY = {"n_users": 1_000_000, "n_items": 1_000_000, "n_groups": 500}


@pytest.fixture(scope="module")
def shop():
    return make_shop(n_users=5000, n_items=2000, n_events=200_000, n_groups=10)


def views(shop):
    return shop.events[shop.events["event"] == "view"]


def in_own_group(shop, events):
    group_of_item = shop.item_group[events["item_id"]]
    return group_of_item == shop.user_group[events["user_id"]]


# Shape


@given(
    n_users=st.integers(1, 30),
    n_items=st.integers(1, 30),
    n_events=st.integers(1, 500),
    n_groups=st.integers(1, 30),
    seed=st.integers(0, 2**32),
)
def test_any_size_gives_just_that_many_rows_with_known_ids(
    n_users, n_items, n_events, n_groups, seed
):
    n_groups = min(n_groups, n_items)
    shop = make_shop(n_users, n_items, n_events, n_groups, random_state=seed)
    assert (len(shop.events), len(shop.items), len(shop.users)) == (n_events, n_items, n_users)
    assert shop.events["item_id"].isin(shop.items["item_id"]).all()
    assert shop.events["user_id"].isin(shop.users["user_id"]).all()
    assert set(shop.item_group) == set(range(n_groups))
    assert shop.events["timestamp"].is_monotonic_increasing


def test_columns_are_as_documented(shop):
    assert isinstance(shop, SyntheticShop)
    assert shop.events.columns.tolist() == ["user_id", "item_id", "event", "timestamp"]
    assert shop.events["user_id"].dtype == shop.events["item_id"].dtype == np.int32
    assert shop.items.columns.tolist() == ["item_id", "description", "category", "price"]
    assert shop.users.columns.tolist() == ["user_id", "country"]
    assert "200000 events of 5000 users and 2000 items in 10 taste groups" in " ".join(
        shop.DESCR.split()
    )
    assert repr(shop) == "SyntheticShop(200000 events, 2000 items, 5000 users)"


def test_the_lean_form_has_two_columns_of_four_bytes():
    events = make_shop(n_events=10_000, columns=("user_id", "item_id")).events
    assert events.columns.tolist() == ["user_id", "item_id"]
    assert events.memory_usage(index=False).sum() == 80_000


@pytest.mark.parametrize("columns", [["item_id"], ["timestamp", "user_id"], ["event", "item_id"]])
def test_columns_come_as_asked_for(columns):
    assert make_shop(n_events=100, columns=columns).events.columns.tolist() == columns


def test_ids_can_be_text_for_the_same_events():
    numbered, named = make_shop(n_events=1000), make_shop(n_events=1000, ids="string")
    assert named.users["user_id"].tolist()[:2] == ["u0000000", "u0000001"]
    assert (
        named.events["user_id"].str[1:].astype(int).tolist() == numbered.events["user_id"].tolist()
    )
    assert (
        named.events["item_id"].str[1:].astype(int).tolist() == numbered.events["item_id"].tolist()
    )


def test_times_start_where_asked_and_last_as_long():
    times = make_shop(start="2020-02-03", days=10).events["timestamp"]
    assert times.iloc[0] == pd.Timestamp("2020-02-03")
    assert pd.Timestamp("2020-02-12") < times.iloc[-1] < pd.Timestamp("2020-02-14 02:00")


# Seeds


def test_the_same_seed_makes_the_same_shop():
    first, second = (
        make_shop(n_events=1000, random_state=3),
        make_shop(n_events=1000, random_state=3),
    )
    for name in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))
    assert first.user_group.tolist() == second.user_group.tolist()


def test_another_seed_makes_another_shop():
    first, second = (
        make_shop(n_events=1000, random_state=3),
        make_shop(n_events=1000, random_state=4),
    )
    assert (first.events["user_id"] != second.events["user_id"]).any()
    assert (first.user_group != second.user_group).any()


def test_more_events_happen_in_the_same_shop():
    small, large = (
        make_shop(n_events=100, columns=("user_id", "item_id")),
        make_shop(n_events=1000),
    )
    pd.testing.assert_frame_equal(small.items, large.items)
    pd.testing.assert_frame_equal(small.users, large.users)
    assert small.user_group.tolist() == large.user_group.tolist()
    assert small.item_group.tolist() == large.item_group.tolist()


# Structure


@pytest.mark.parametrize("name", ["user_id", "item_id"])
def test_activity_and_popularity_have_heavy_tails(shop, name):
    counts = views(shop)[name].value_counts().to_numpy()
    tenth = counts[: len(counts) // 10].sum() / counts.sum()
    assert 0.35 < tenth < 0.7
    assert counts[0] > 15 * counts.mean()
    assert np.median(counts) < 0.7 * counts.mean()


def test_most_visits_are_of_new_pairs(shop):
    pairs = views(shop)[["user_id", "item_id"]].drop_duplicates()
    assert len(pairs) > 0.7 * len(views(shop))


def test_ids_say_nothing_about_popularity_or_group(shop):
    popularity = views(shop)["item_id"].value_counts().reindex(range(2000), fill_value=0)
    # Correlations of independent columns of 2,000 have a standard error of 0.022.
    assert abs(np.corrcoef(popularity, np.arange(2000))[0, 1]) < 0.1
    assert abs(np.corrcoef(shop.item_group, np.arange(2000))[0, 1]) < 0.1
    activity = views(shop)["user_id"].value_counts().reindex(range(5000), fill_value=0)
    assert abs(np.corrcoef(activity, np.arange(5000))[0, 1]) < 0.1


def test_visits_follow_the_taste_asked_for():
    own = {}
    for taste in (0.0, 0.5, 1.0):
        shop = make_shop(n_users=5000, n_events=50_000, n_groups=10, taste=taste)
        own[taste] = in_own_group(shop, shop.events).mean()
    assert own[1.0] == 1.0
    assert own[0.0] < 0.25
    # A session anywhere lands in the favourite group by chance.
    assert own[0.5] == pytest.approx(0.5 + 0.5 * own[0.0], abs=0.06)


def test_popularity_in_the_favourite_group_beats_popularity(shop):
    seen = views(shop)
    popularity = seen["item_id"].value_counts()
    best = popularity.groupby(shop.item_group[popularity.index]).head(20).index
    best_overall = popularity.index[:20]
    hits = seen["item_id"].isin(best) & in_own_group(shop, seen)
    assert hits.mean() > 2 * seen["item_id"].isin(best_overall).mean()


def test_carts_follow_views_and_purchases_carts_and_returns_purchases(shop):
    first = shop.events.groupby(["event", "user_id", "item_id"])["timestamp"].min()
    for before, after in (("view", "cart"), ("cart", "purchase"), ("purchase", "return")):
        # The log ends in the middle of a session, never before what came first.
        wait = (first[after] - first[before]).dropna()
        assert len(wait) == len(first[after])
        assert wait.min() > pd.Timedelta(0)
    assert shop.events["event"].value_counts().index.tolist() == [
        "view",
        "cart",
        "purchase",
        "return",
    ]


def test_visits_to_the_favourite_group_end_in_purchases_more_often(shop):
    own = in_own_group(shop, shop.events)
    rate = {
        side: (shop.events["event"][own == side] == "purchase").sum()
        / (shop.events["event"][own == side] == "view").sum()
        for side in (True, False)
    }
    assert rate[True] > 2 * rate[False]


def test_favourite_groups_depend_on_the_country(shop):
    table = pd.crosstab(shop.users["country"], shop.user_group)
    expected = np.outer(table.sum(axis=1), table.sum()) / table.to_numpy().sum()
    chi_square = ((table - expected) ** 2 / expected).to_numpy().sum()
    # 4 x 9 degrees of freedom: 36 expected if it did not matter.
    assert chi_square > 200


def test_descriptions_and_categories_tell_the_group(shop):
    per_group = shop.items.groupby(shop.item_group)["category"]
    assert (per_group.nunique() == 1).all()
    assert per_group.first().is_unique
    assert all(
        c in d for c, d in zip(shop.items["category"], shop.items["description"], strict=True)
    )
    assert shop.items["description"].is_unique
    assert shop.items["price"].min() >= 0.01


# Size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "seconds", "gigabytes"),
    [
        ({**MANY, "n_events": 5_000_000}, 10, 3),
        ({**VERY_MANY, "n_events": 100_000_000, "columns": ("user_id", "item_id")}, 60, 2),
    ],
)
def test_large_shops_are_made_in_seconds(arguments, seconds, gigabytes):
    start = time.process_time()
    tracemalloc.start()
    try:
        make_shop(**arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < seconds
    assert peak < gigabytes * 2**30


# Parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_users": 0}, r"n_users must be an integer from 1 to 2\*\*31 - 1; got 0"),
        ({"n_items": 2.0}, r"n_items must be an integer from 1 .*; got 2\.0"),
        ({"n_events": True}, "n_events must be an integer from 1 .*; got True"),
        ({"n_events": 2**31}, "n_events must be an integer from 1 .*; got 2147483648"),
        ({"n_groups": 501}, "n_groups must be at most n_items, 500; got 501"),
        ({"taste": 1.5}, r"taste must be a probability; got 1\.5"),
        ({"columns": ["user", "item_id"]}, "columns must be some of .*; got .'user', 'item_id'."),
        ({"columns": []}, r"columns must be some of .*; got \[\]"),
        ({"columns": "user_id"}, "columns must be some of .*; got 'user_id'"),
        ({"columns": ["item_id", "item_id"]}, "columns must be some of"),
        ({"ids": "uuid"}, "ids must be 'integer' or 'string'; got 'uuid'"),
        ({"start": "soon"}, "start must be a day such as '2024-01-01'; got 'soon'"),
        ({"days": 0}, "days must be positive; got 0"),
        ({"random_state": -1}, "random_state must be None, a non-negative integer"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_shop(**parameters)


# The checkerboard


@given(n=st.integers(6, 40))
def test_the_held_out_item_is_the_only_unseen_one_that_like_users_have(n):
    train, held_out = make_checkerboard(n)
    seen = np.zeros((n, n), dtype=bool)
    seen[train["user_id"], train["item_id"]] = True
    assert seen.sum() == len(train)
    for user, item in zip(held_out["user_id"], held_out["item_id"], strict=True):
        alike = (seen & seen[user]).any(axis=1)
        wanted = seen[alike].any(axis=0) & ~seen[user]
        assert np.flatnonzero(wanted).tolist() == [item]
    assert held_out["user_id"].tolist() == list(range(n))


def test_item_cosines_find_what_was_held_out():
    train, held_out = make_checkerboard(20)
    seen = np.zeros((20, 20))
    seen[train["user_id"], train["item_id"]] = 1
    length = np.sqrt(seen.sum(axis=0))
    similarity = seen.T @ seen / np.outer(length, length)
    np.fill_diagonal(similarity, 0)
    scores = np.where(seen == 1, -np.inf, seen @ similarity)
    assert scores.argmax(axis=1).tolist() == held_out["item_id"].tolist()


@pytest.mark.parametrize("n", [5, 10.0, True])
def test_a_board_too_small_is_refused(n):
    with pytest.raises(ValueError, match=f"n must be an integer of at least 6; got {n!r}"):
        make_checkerboard(n)
