from typing import Any

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from ecomrec.kernels import assemble, neighbors
from ecomrec.testing.twins import (
    dense,
    dot_rows_twin,
    mark_touched_twin,
    no_mask,
    prune_columns_twin,
    recommend_twin,
    row_sums_twin,
    scores_twin,
)

ABSENT = -100.0
# Without the compiler a float32 times a Python number stays a float32.
PRECISION = 1e-5 if numba.config.DISABLE_JIT else 1e-12


@st.composite
def matrices(draw, max_rows=6, max_columns=6, values=(1.0, 1.0, 2.0, 3.0, 0.0, -1.0)):
    """Entities by features; `ABSENT` where there is no entry, others stored as they are."""
    shape = draw(st.integers(1, max_rows)), draw(st.integers(1, max_columns))
    return draw(arrays(np.float32, shape, elements=st.sampled_from((ABSENT, ABSENT, *values))))


def store(matrix):
    """Rows of a matrix as kernels take them: last row first, with gaps, wrong values between."""
    held = [np.flatnonzero(row != ABSENT) for row in matrix]
    lengths = np.array([len(columns) for columns in held], dtype=np.int32)
    starts = np.zeros(len(matrix), dtype=np.int64)
    room = int(lengths.sum()) + len(matrix)
    indices, values = np.zeros(room, dtype=np.int32), np.full(room, 1e9, dtype=np.float32)
    end = room
    for row, columns in enumerate(held):
        starts[row] = end = end - len(columns) - 1
        indices[end : end + len(columns)] = columns
        values[end : end + len(columns)] = matrix[row, columns]
    return starts, lengths, indices, values


def comparison(n_features, n_entities, **changes):
    plain = neighbors.Comparison(
        feature_weights=np.ones(n_features),
        form=neighbors.RAW,
        exponent=1.0,
        k1=1.2,
        lengths=np.ones(n_entities),
        scale=1.0,
        unit=False,
        other_norms=np.ones(n_entities),
        shrink=0.0,
        rule=neighbors.PRODUCT,
        power=1.0,
    )
    return plain._replace(**changes)


def by_entity(found):
    """Rows as {entity: value}, in the order of the row."""
    parts = np.split(np.arange(len(found.entities)), found.indptr[1:-1])
    return [
        dict(zip(found.entities[p].tolist(), found.values[p].tolist(), strict=True)) for p in parts
    ]


# Weights, and what they become, are sums of a few powers of two: exact in float32, but for BM25.
FORMS: dict[str, dict[str, Any]] = {
    "raw": {},
    "unit": {"unit": True},
    "binary": {"form": neighbors.BINARY},
    "jaccard": {"form": neighbors.BINARY, "rule": neighbors.UNION},
    "power": {"form": neighbors.POWER, "exponent": 2.0, "scale": 0.5},
    "bm25": {"form": neighbors.BM25},
}


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_neighbours_equal_those_of_dense_matrices(threads, form, data):
    values = (1.0,) if form == "unit" else (1.0, 1.0, 2.0, 3.0, 0.0, -1.0)
    matrix = data.draw(matrices(values=values))
    n_entities, n_features = matrix.shape
    whole = st.integers(1, 3).map(float)
    changes = FORMS[form] | {
        "feature_weights": data.draw(arrays(np.float64, n_features, elements=whole)) ** 2,
        "lengths": data.draw(arrays(np.float64, n_entities, elements=whole)),
        # A union is at least as large as either part.
        "other_norms": data.draw(arrays(np.float64, n_entities, elements=whole)) + 60,
        "shrink": data.draw(st.sampled_from((0.0, 0.5, 8.0))),
        "power": data.draw(st.sampled_from((1.0, 2.0))),
    }
    rows = np.array(data.draw(st.lists(st.integers(0, n_entities - 1), unique=True)), np.int64)
    selves = np.where(data.draw(arrays(np.bool_, len(rows))), rows, -1)
    own = data.draw(arrays(np.float64, (2, len(rows)), elements=whole))
    own[0] += 60
    rank = np.array(data.draw(st.permutations(range(n_entities))), dtype=np.int32)
    n_neighbors = data.draw(st.integers(1, 7))
    asked = (
        rows, selves, own[0], own[1], store(matrix), store(matrix.T),
        comparison(n_features, n_entities, **changes),
    )  # fmt: skip
    best = n_neighbors, rank
    ordered = threads(lambda n: neighbors.dot_rows(*asked, *best, ordered=True, n_jobs=n))
    loose = threads(lambda n: neighbors.dot_rows(*asked, *best, n_jobs=n))
    assert [found.dtype.name for found in ordered] == ["int64", "int32", "float32"]
    np.testing.assert_array_equal(ordered.indptr, loose.indptr)
    everyone = by_entity(dot_rows_twin(*asked, n_entities, rank))
    expected = by_entity(dot_rows_twin(*asked, *best))
    for found, any_order, wanted, all_values in zip(
        by_entity(ordered), by_entity(loose), expected, everyone, strict=True
    ):
        assert any_order == found
        # The kernel adds in float32, its twin in float64.
        assert list(found.values()) == pytest.approx(list(wanted.values()), rel=1e-5)
        assert found == pytest.approx({e: all_values[e] for e in found}, rel=1e-5)
        if form != "bm25":
            assert list(found) == list(wanted)


@pytest.mark.parametrize("n_neighbors", [1, 5, 40])
def test_neighbours_of_a_larger_matrix_equal_those_of_dense_matrices(threads, n_neighbors):
    rng = np.random.default_rng(3)
    matrix = np.where(rng.random((80, 60)) < 0.3, 1.0, ABSENT).astype(np.float32)
    rank = rng.permutation(80).astype(np.int32)
    rows = np.arange(80)
    norms = row_sums_twin(rows, store(matrix), np.ones(60))
    how = comparison(60, 80, other_norms=norms, shrink=3.0, unit=True)
    asked = rows, rows, norms, norms, store(matrix), store(matrix.T), how, n_neighbors, rank
    found = threads(lambda n: neighbors.dot_rows(*asked, ordered=True, n_jobs=n))
    twin = dot_rows_twin(*asked)
    for one, two in zip(found, twin, strict=True):
        np.testing.assert_array_equal(one, two)


def test_equally_similar_neighbours_are_chosen_by_rank_not_by_row():
    matrix = np.ones((4, 2), dtype=np.float32)
    rank = np.array([0, 3, 1, 2], dtype=np.int32)
    row = np.array([0])
    found = neighbors.dot_rows(
        row, row, np.ones(1), np.ones(1), store(matrix), store(matrix.T), comparison(2, 4), 2,
        rank, ordered=True,
    )  # fmt: skip
    assert found.entities.tolist() == [2, 3]


def test_an_entity_may_be_its_own_neighbour_when_it_is_not_stored():
    matrix = np.ones((1, 1), dtype=np.float32)
    found = neighbors.dot_rows(
        np.array([0]), np.array([-1]), np.ones(1), np.ones(1), store(matrix), store(matrix.T),
        comparison(1, 1), 3, np.zeros(1, dtype=np.int32),
    )  # fmt: skip
    assert (found.entities.tolist(), found.values.tolist()) == ([0], [1.0])


@pytest.mark.parametrize("unit", [False, True])
def test_products_too_small_for_floats_touch_an_entity_once_at_most(unit):
    """The list of touched entities has one place for each: without the compiler, more would raise."""
    n_features = 9
    matrix = np.full((1, n_features), 1e-30, dtype=np.float32)
    how = comparison(
        n_features, 1, form=neighbors.POWER, exponent=9.0, unit=unit,
        feature_weights=np.full(n_features, 1e-200),
    )  # fmt: skip
    found = neighbors.dot_rows(
        np.array([0]), np.array([-1]), np.ones(1), np.ones(1), store(matrix), store(matrix.T),
        how, 3, np.zeros(1, dtype=np.int32),
    )  # fmt: skip
    assert found.indptr.tolist() == [0, 0]


def test_norms_whose_product_leaves_float32_do_not_hide_neighbours():
    matrix = np.full((3, 2), 1e18, dtype=np.float32)
    rows, norms = np.arange(3), np.full(3, 1e20)
    asked = (
        rows, rows, norms, np.ones(3), store(matrix), store(matrix.T),
        comparison(2, 3, other_norms=norms), 1, rows.astype(np.int32),
    )  # fmt: skip
    with np.errstate(over="ignore"):
        found = neighbors.dot_rows(*asked)
    expected = dot_rows_twin(*asked)
    assert found.entities.tolist() == expected.entities.tolist()
    assert found.values.tolist() == pytest.approx(expected.values.tolist(), rel=1e-5)


def test_the_order_in_which_entities_arrived_changes_no_bit():
    """Sums of float32 depend on their order: it is that of the ids, not of the rows."""
    rng = np.random.default_rng(7)
    matrix = rng.random((30, 50)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.3] = ABSENT
    feature_weights = rng.random(50)
    found = []
    for arrived in (np.arange(50), rng.permutation(50)):
        held = matrix[:, arrived]
        how = comparison(50, 30, feature_weights=feature_weights[arrived])
        rows = np.arange(30)
        asked = rows, rows, np.ones(30), np.ones(30), store(held), store(held.T), how, 8
        rank, feature_rank = rows.astype(np.int32), arrived.astype(np.int32)
        found.append(neighbors.dot_rows(*asked, rank, feature_rank=feature_rank, ordered=True))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"form": neighbors.BINARY},
        {"form": neighbors.POWER, "exponent": 0.5, "squared": True},
        {"form": neighbors.BM25, "k1": 1.2, "scale": 0.5, "squared": True},
    ],
    ids=["raw", "binary", "power", "bm25"],
)
@given(data=st.data())
def test_row_sums_equal_those_of_a_dense_matrix(options, data):
    matrix = data.draw(matrices())
    n = matrix.shape[0]
    weights = data.draw(arrays(np.float64, matrix.shape[1], elements=st.floats(0, 4)))
    lengths = data.draw(arrays(np.float64, n, elements=st.floats(0.25, 4)))
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1))), dtype=np.int64)
    found = neighbors.row_sums(rows, store(matrix), weights, lengths=lengths, **options)
    twin = row_sums_twin(rows, store(matrix), weights, lengths=lengths, **options)
    np.testing.assert_allclose(found, twin, rtol=PRECISION, atol=PRECISION)


@given(matrices(), st.integers(1, 4))
def test_cosine_rows_hold_the_cosines(matrix, k):
    kept = np.where(matrix > 0, matrix, 0.0)
    norms = np.sqrt((kept**2).sum(axis=1))
    cosines = kept @ kept.T / np.maximum(np.outer(norms, norms), 1e-12)
    np.fill_diagonal(cosines, 0)
    rows = np.arange(len(matrix))
    for row, found in enumerate(
        by_entity(neighbors.cosine_rows(store(matrix), store(matrix.T), rows, k))
    ):
        best = np.sort(cosines[row][cosines[row] > 0])[::-1][:k]
        assert list(found.values()) == pytest.approx(best.tolist(), rel=1e-6)
        assert [cosines[row, other] for other in found] == pytest.approx(best.tolist(), rel=1e-6)


@given(data=st.data(), n_kept=st.integers(1, 4))
def test_pruned_columns_equal_their_twin(threads, data, n_kept):
    n = data.draw(st.integers(1, 6))
    elements = st.sampled_from((ABSENT, 1.0, 1.0, 2.0))
    matrix = data.draw(arrays(np.float32, (n, n), elements=elements))
    indptr = assemble.offsets((matrix != ABSENT).sum(axis=1))
    entities = np.nonzero(matrix != ABSENT)[1].astype(np.int32)
    values = matrix[matrix != ABSENT]
    rank = np.array(data.draw(st.permutations(range(n))), dtype=np.int32)
    found = threads(
        lambda n_jobs: neighbors.prune_columns(indptr, entities, values, rank, n_kept, n_jobs)
    )
    twin = prune_columns_twin(indptr, entities, values, rank, n_kept)
    for one, two in zip(found, twin, strict=True):
        np.testing.assert_array_equal(one, two)


@given(data=st.data())
def test_marked_entities_share_a_feature_with_what_changed(data):
    matrix = data.draw(matrices())
    mine, other = store(matrix), store(matrix.T)
    entities, features = (
        np.array(data.draw(st.lists(st.integers(0, n - 1))), dtype=np.int64) for n in matrix.shape
    )
    marked = np.zeros(len(matrix), dtype=bool)
    neighbors.mark_touched(entities, features, mine, other, marked)
    np.testing.assert_array_equal(marked, mark_touched_twin(entities, features, mine, other))


@st.composite
def profile_requests(draw, values=(1.0, 2.0, 2.0, 0.5, 0.0)):
    matrix = draw(matrices(values=values))
    n_entities, n_items = matrix.shape
    entity = st.integers(0, n_entities - 1)
    profiles = draw(st.lists(st.lists(entity, unique=True, max_size=4), min_size=1, max_size=4))
    n = sum(map(len, profiles))
    weights = draw(st.lists(st.sampled_from((1.0, 2.0, 0.25, 0.0, -1.0)), min_size=n, max_size=n))
    flat = np.array([e for profile in profiles for e in profile], dtype=np.int32)
    indptr = assemble.offsets(np.array([len(profile) for profile in profiles]))
    mask = no_mask(len(profiles))
    lists = st.lists(st.integers(0, n_items - 1), unique=True)
    per_row = st.lists(lists, min_size=len(profiles), max_size=len(profiles))
    hidden = draw(per_row)
    mask = mask._replace(excluded=_flat(hidden), excluded_at=_at(hidden))
    if draw(st.booleans()):
        mask = mask._replace(allowed=draw(arrays(np.bool_, n_items)))
    if draw(st.booleans()):
        shown = draw(per_row)
        mask = mask._replace(candidates=_flat(shown), candidate_at=_at(shown))
    profile = indptr, flat, np.array(weights, dtype=np.float32)
    return profile, store(matrix), n_items, draw(st.integers(1, 7)), mask


def _flat(rows):
    return np.array([item for row in rows for item in row], dtype=np.int32)


def _at(rows):
    return assemble.offsets(np.array([len(row) for row in rows]))


@given(profile_requests())
def test_recommendations_equal_those_of_a_dense_sum(threads, asked):
    found = threads(lambda n_jobs: neighbors.recommend(*[*asked, n_jobs]))
    for one, two in zip(found, recommend_twin(*asked), strict=True):
        np.testing.assert_array_equal(one, two)


@given(profile_requests())
def test_scores_are_the_sums_that_recommendations_are_ranked_by(threads, asked):
    profiles, kept, n_items, _, _ = asked
    (block,) = threads(lambda n_jobs: (neighbors.scores(profiles, kept, n_items, n_jobs),))
    np.testing.assert_array_equal(block, scores_twin(profiles, kept, n_items))
    n_rows = len(block)
    items, scores = neighbors.recommend(profiles, kept, n_items, n_items, no_mask(n_rows), 1)
    for row in range(n_rows):
        found = items[row][items[row] >= 0]
        assert sorted(found) == np.flatnonzero(~np.isnan(block[row])).tolist()
        np.testing.assert_array_equal(block[row, found], scores[row, : len(found)])


def test_a_contribution_too_small_for_float32_never_gives_an_item_twice():
    """A purchase of long ago times a small likeness is rounded to zero, and more comes later."""
    matrix = np.array([[1e-30], [1.0]], dtype=np.float32)
    old_and_new = np.array([0, 2]), np.array([0, 1], np.int32), np.array([1e-20, 1], np.float32)
    items, scores = neighbors.recommend(old_and_new, store(matrix), 1, 2, no_mask(1), 1)
    assert items.tolist() == [[0, -1]]
    assert scores[0, 0] == 1.0


def test_contributions_too_small_for_float32_stay_inside_the_list_of_touched_items():
    """The list has one place for each item: without the compiler, more would raise."""
    n = 9
    profile = np.array([0, n]), np.arange(n, dtype=np.int32), np.full(n, 1e-20, dtype=np.float32)
    matrix = np.full((n, 1), 1e-30, dtype=np.float32)
    items, _ = neighbors.recommend(profile, store(matrix), 1, 1, no_mask(1), 1)
    assert items.tolist() == [[-1]]


def test_a_larger_request_equals_the_dense_sum(threads):
    rng = np.random.default_rng(5)
    matrix = rng.integers(0, 9, (60, 300)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.7] = ABSENT
    entities = np.concatenate([rng.permutation(60)[:15] for _ in range(40)]).astype(np.int32)
    profile = np.arange(0, 601, 15), entities, rng.random(600).astype(np.float32)
    asked = profile, store(matrix), 300, 20, no_mask(40)
    found = threads(lambda n_jobs: neighbors.recommend(*asked, n_jobs=n_jobs))
    for one, two in zip(found, recommend_twin(*asked), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_single_visitor_gets_what_a_batch_gets():
    matrix = np.array([[ABSENT, 2.0, 1.0], [3.0, ABSENT, 1.0]], dtype=np.float32)
    batch = np.array([0, 2, 4]), np.array([0, 1, 0, 1], np.int32), np.ones(4, np.float32)
    alone = np.array([0, 2]), np.array([0, 1], np.int32), np.ones(2, np.float32)
    one = neighbors.recommend(alone, store(matrix), 3, 2, no_mask(1), 1)
    two = neighbors.recommend(batch, store(matrix), 3, 2, no_mask(2), 1)
    assert one[0][0].tolist() == two[0][0].tolist() == two[0][1].tolist() == [0, 1]


def test_work_counts_the_entries_of_all_features():
    matrix = np.array([[1, 1, ABSENT], [1, ABSENT, 1], [ABSENT, ABSENT, 1]], dtype=np.float32)
    work = neighbors.row_work(np.array([0, 2]), store(matrix), store(matrix.T))
    assert work.tolist() == [3, 2]


def test_the_matrices_of_these_tests_have_gaps_and_unordered_rows():
    matrix = np.array([[1, ABSENT], [2, 3]], dtype=np.float32)
    starts, lengths, _, _ = kept = store(matrix)
    assert starts[0] > starts[1] + lengths[1]
    assert dense(kept, 2)[0].tolist() == [[1, 0], [2, 3]]
