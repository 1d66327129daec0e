"""Coverage, inequality, novelty, variety, surprise: each against a few plain lines."""

from itertools import combinations
from math import log2

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ecomrec.evaluation import (
    catalog_coverage,
    gini,
    intra_list_diversity,
    novelty,
    popularity_bias,
    serendipity,
)
from ecomrec.exceptions import DataError

CATALOG = list(range(8))
lists_of_items = st.lists(
    st.lists(st.sampled_from([*CATALOG, 99]), unique=True, max_size=5), min_size=1, max_size=6
).filter(any)
logs = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(CATALOG)), min_size=1, max_size=25
).map(lambda rows: pd.DataFrame(rows, columns=["user_id", "item_id"]))
ks = st.integers(1, 6)


def shares(train):
    n_users = train.user_id.nunique()
    return {i: g.user_id.nunique() / n_users for i, g in train.groupby("item_id")}, n_users


@given(lists_of_items, ks)
def test_coverage_equals_the_share_of_distinct_items(lists, k):
    shown = {item for items in lists for item in items[:k]} & set(CATALOG)
    assert catalog_coverage(lists, CATALOG, k) == pytest.approx(len(shown) / len(CATALOG))


def test_coverage_is_1_when_everything_is_shown_and_0_when_nothing_is():
    assert catalog_coverage([[1], [2]], [1, 2], 1) == 1.0
    assert catalog_coverage([[9]], [1, 2], 1) == 0.0


@given(lists_of_items, ks)
def test_gini_equals_the_mean_absolute_difference_over_twice_the_mean(lists, k):
    shown = np.array([sum(items[:k].count(item) for items in lists) for item in CATALOG])
    value = gini(lists, CATALOG, k)
    if not shown.sum():
        assert np.isnan(value)
        return
    between = np.abs(shown[:, np.newaxis] - shown).mean()
    assert value == pytest.approx(between / (2 * shown.mean()))
    assert 0 <= value <= 1 - 1 / len(CATALOG) + 1e-12


def test_gini_is_0_for_equal_shares_and_near_1_for_one_item_taking_all():
    assert gini([[1], [2], [3], [4]], [1, 2, 3, 4], 1) == 0.0
    assert gini([[1], [1]], [1, 2, 3, 4], 1) == 0.75


@given(lists_of_items, logs, ks)
def test_novelty_equals_a_loop_over_lists(lists, train, k):
    share, n_users = shares(train)
    per_list = [
        np.mean([-log2(share.get(item, 1 / n_users)) for item in items[:k]])
        for items in lists
        if items[:k]
    ]
    value = novelty(lists, train, k)
    assert value == pytest.approx(np.mean(per_list))
    assert 0 <= value <= log2(n_users) + 1e-12


def test_novelty_of_what_everybody_has_is_0():
    assert (
        novelty([["tea"]], pd.DataFrame({"user_id": [1, 2], "item_id": ["tea", "tea"]}), 1) == 0.0
    )


def test_novelty_of_empty_lists_is_nan():
    train = pd.DataFrame({"user_id": [1], "item_id": ["tea"]})
    assert np.isnan(novelty([[None], []], train, 1))


@given(lists_of_items, logs, ks)
def test_popularity_bias_equals_the_ratio_of_group_averages(lists, train, k):
    share, _ = shares(train)
    of_lists, of_profiles = [], []
    for user, items in enumerate(lists):
        own = train.item_id[train.user_id == user].unique()
        if len(own) and items:
            of_lists.append(np.mean([share.get(item, 0) for item in items[:k]]))
            of_profiles.append(np.mean([share[item] for item in own]))
    value = popularity_bias(lists, range(len(lists)), train, k)
    expected = np.mean(of_lists) / np.mean(of_profiles) - 1 if of_lists else np.nan
    assert value == pytest.approx(expected, nan_ok=True)


def test_popularity_bias_of_the_users_own_items_is_0():
    train = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "mug", "tea"]})
    assert popularity_bias([["tea", "mug"], ["tea"]], [1, 2], train, 2) == pytest.approx(0.0)


vectors = st.integers(0, 2**32 - 1).map(
    lambda seed: (
        np.random.default_rng(seed).normal(size=(8, 3)) * (np.arange(8) > 0)[:, np.newaxis]
    )
)


@given(lists_of_items, vectors, ks)
def test_diversity_equals_a_loop_over_pairs(lists, vectors, k):
    def distance(i, j):
        norms = np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[j])
        return 1 - (vectors[i] @ vectors[j] / norms if norms else 0.0)

    known = [[item for item in items[:k] if item in CATALOG] for items in lists]
    per_list = [
        np.mean([distance(i, j) for i, j in combinations(items, 2)])
        for items in known
        if len(items) > 1
    ]
    expected = np.mean(per_list) if per_list else np.nan
    for matrix in (vectors, sparse.csr_array(vectors), sparse.csr_matrix(vectors)):
        value = intra_list_diversity(lists, CATALOG, matrix, k)
        assert value == pytest.approx(expected, nan_ok=True)
        assert np.isnan(value) or 0 <= value <= 2


def test_diversity_spans_blocks_of_users():
    same, different = [["tea", "pot"]] * 5000, [["tea", "mug"]] * 5000
    value = intra_list_diversity(
        same + different, ["tea", "pot", "mug"], [[1, 0], [2, 0], [0, 1]], 2
    )
    assert value == pytest.approx(0.5)


def test_serendipity_counts_hits_that_the_plain_model_does_not_show():
    test = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "pot", "mug"]})
    lists = [["tea", "pot"], ["cup", "mug"], ["tea", "mug"]]
    plain = [["tea", "cup"], ["tea", None], []]
    assert serendipity(lists, [1, 2, 3], test, expected=plain, k=2) == 0.5


@given(lists_of_items, lists_of_items, logs, ks)
def test_serendipity_equals_a_loop_over_users(lists, plain, test, k):
    plain = (plain * 6)[: len(lists)]
    per_user = []
    for user, (items, expected) in enumerate(zip(lists, plain, strict=True)):
        relevant = set(test.item_id[test.user_id == user])
        if relevant:
            per_user.append(len(set(items[:k]) & relevant - set(expected[:k])) / k)
    value = serendipity(lists, range(len(lists)), test, expected=plain, k=k)
    assert value == pytest.approx(np.mean(per_user) if per_user else np.nan, nan_ok=True)


def test_serendipity_of_the_plain_model_is_0_and_of_all_surprises_1():
    test = pd.DataFrame({"user_id": [1, 1], "item_id": ["tea", "pot"]})
    assert serendipity([["tea", "pot"]], [1], test, expected=[["tea", "pot"]], k=2) == 0.0
    assert serendipity([["tea", "pot"]], [1], test, expected=[["cup", "mug"]], k=2) == 1.0


def test_serendipity_without_any_test_item_is_nan():
    test = pd.DataFrame({"user_id": [1], "item_id": ["tea"]})
    assert np.isnan(serendipity([["tea"]], [2], test, expected=[["mug"]], k=1))


@given(lists_of_items, logs, ks)
def test_items_after_k_change_nothing(lists, train, k):
    cut, users = [items[:k] for items in lists], range(len(lists))
    same = pytest.approx
    assert catalog_coverage(lists, CATALOG, k) == catalog_coverage(cut, CATALOG, k)
    assert gini(lists, CATALOG, k) == same(gini(cut, CATALOG, k), nan_ok=True)
    assert novelty(lists, train, k) == novelty(cut, train, k)
    assert popularity_bias(lists, users, train, k) == same(
        popularity_bias(cut, users, train, k), nan_ok=True
    )
    assert serendipity(lists, users, train, expected=[[]] * len(lists), k=k) == same(
        serendipity(cut, users, train, expected=[[]] * len(lists), k=k), nan_ok=True
    )
    assert intra_list_diversity(lists, CATALOG, np.eye(8), k) == same(
        intra_list_diversity(cut, CATALOG, np.eye(8), k), nan_ok=True
    )


def test_popularity_is_read_from_every_kind_of_table(make_table):
    train = make_table({"user_id": ["a", "b", "c", "c"], "item_id": ["tea", "tea", "tea", "mug"]})
    assert novelty([["mug"]], train, 1) == pytest.approx(log2(3))
    assert popularity_bias([["tea"]], ["c"], train, 1) == pytest.approx(0.5)


def test_an_empty_catalogue_is_named():
    with pytest.raises(DataError, match="catalog must hold at least one item id; got none"):
        catalog_coverage([["tea"]], [], 1)


def test_an_empty_training_table_is_named():
    with pytest.raises(DataError, match="the train table must hold at least one event; got none"):
        novelty([["tea"]], pd.DataFrame({"user_id": [], "item_id": []}, dtype=object), 1)


def test_a_missing_training_column_is_named():
    with pytest.raises(DataError, match=r"the train table lacks the columns \['item_id'\]; found"):
        novelty([["tea"]], pd.DataFrame({"user_id": [1]}), 1)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["tea"], "item_ids must name each row of vectors; got 1 ids for 2 rows"),
        (["tea", "tea"], "item_ids must be distinct; 'tea' is there more than once"),
    ],
    ids=["too few", "twice"],
)
def test_vectors_that_do_not_fit_their_ids_are_named(ids, message):
    with pytest.raises(DataError, match=message):
        intra_list_diversity([["tea"]], ids, np.eye(2), 1)


def test_vectors_of_the_wrong_shape_are_named():
    with pytest.raises(DataError, match=r"vectors must have shape \(n_items, n_features\); got"):
        intra_list_diversity([["tea"]], ["tea"], np.ones(3), 1)
