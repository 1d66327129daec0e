"""The array formulas against plain loops, and what holds for every one of them."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecomrec import _ranking
from ecomrec._ranking import METRICS


def precision(hits, n_relevant):
    return sum(hits) / len(hits)


def recall(hits, n_relevant):
    return sum(hits) / n_relevant


def recall_capped(hits, n_relevant):
    return sum(hits) / min(len(hits), n_relevant)


def ndcg(hits, n_relevant):
    gain = sum(1 / log2(rank + 1) for rank, hit in enumerate(hits, start=1) if hit)
    best = sum(1 / log2(rank + 1) for rank in range(1, min(len(hits), n_relevant) + 1))
    return gain / best


def average_precision(hits, n_relevant):
    total = 0.0
    for rank, hit in enumerate(hits, start=1):
        if hit:
            total += sum(hits[:rank]) / rank
    return total / min(len(hits), n_relevant)


def reciprocal_rank(hits, n_relevant):
    return next((1 / rank for rank, hit in enumerate(hits, start=1) if hit), 0.0)


def hit_rate(hits, n_relevant):
    return float(any(hits))


REFERENCES = {
    "precision": precision,
    "recall": recall,
    "recall_capped": recall_capped,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}
PERFECT_IS_ONE = sorted(set(METRICS) - {"precision", "recall"})


@st.composite
def hits_and_counts(draw):
    k = draw(st.integers(1, 6))
    hits = draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=1, max_size=5))
    extra = draw(st.lists(st.integers(0, 4), min_size=len(hits), max_size=len(hits)))
    return np.array(hits), np.array([sum(h) + e for h, e in zip(hits, extra, strict=True)])


def test_every_metric_has_a_reference():
    assert set(REFERENCES) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
@given(hits_and_counts())
def test_equals_its_ten_line_reference(name, case):
    hits, n_relevant = case
    expected = [
        REFERENCES[name](list(row), count) if count else np.nan
        for row, count in zip(hits, n_relevant, strict=True)
    ]
    np.testing.assert_allclose(METRICS[name](hits, n_relevant), expected, rtol=1e-12)


@pytest.mark.parametrize("name", METRICS)
@given(hits_and_counts())
def test_is_float64_between_0_and_1(name, case):
    values = METRICS[name](*case)
    assert values.dtype == np.float64
    assert values.shape == (len(case[0]),)
    values = values[case[1] > 0]
    assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("name", PERFECT_IS_ONE)
@pytest.mark.parametrize("n_relevant", [1, 3, 20])
def test_is_exactly_1_for_the_perfect_list(name, n_relevant):
    hits = (np.arange(10) < n_relevant)[np.newaxis]
    assert METRICS[name](hits, np.array([n_relevant]))[0] == 1.0


def test_precision_is_1_when_every_place_hits():
    assert _ranking.precision(np.ones((1, 4), dtype=bool), np.array([9]))[0] == 1.0


def test_recall_is_1_when_nothing_is_missed():
    assert _ranking.recall(np.array([[False, True, True]]), np.array([2]))[0] == 1.0


@pytest.mark.parametrize("name", METRICS)
def test_is_0_for_a_list_without_hits(name):
    assert METRICS[name](np.zeros((1, 4), dtype=bool), np.array([2]))[0] == 0.0


@pytest.mark.parametrize("name", METRICS)
def test_is_nan_for_users_without_test_items(name):
    hits = np.array([[True, False], [False, False]])
    assert np.isnan(METRICS[name](hits, np.array([1, 0]))).tolist() == [False, True]


@pytest.mark.parametrize("name", ["ndcg", "map", "mrr"])
def test_an_earlier_hit_is_worth_more(name):
    early, late = METRICS[name](np.array([[True, False], [False, True]]), np.array([1, 1]))
    assert early > late


def test_the_two_recalls_differ_only_beyond_k():
    hits = np.array([[True, False], [True, False]])
    n_relevant = np.array([2, 8])
    assert _ranking.recall(hits, n_relevant).tolist() == [0.5, 0.125]
    assert _ranking.recall_capped(hits, n_relevant).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", METRICS)
def test_no_users_give_no_values(name):
    assert METRICS[name](np.zeros((0, 3), dtype=bool), np.zeros(0, dtype=int)).shape == (0,)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("hits", "counts"), [((3,), (3,)), ((2, 0), (2,)), ((2, 3), (3,))], ids=["1d", "k=0", "users"]
)
def test_wrong_shapes_are_named(name, hits, counts):
    with pytest.raises(ValueError, match=r"hits must have shape \(n_users, k\).* got "):
        METRICS[name](np.zeros(hits, dtype=bool), np.ones(counts, dtype=int))
