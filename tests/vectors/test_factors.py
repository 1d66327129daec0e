"""What every model of vectors shares: indexes, smaller vectors, filters on the way."""

import copy
import itertools
import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ecomrec._registry import ESTIMATORS
from ecomrec.cf import BPR, SVD
from ecomrec.exceptions import FileFormatError
from ecomrec.vectors import factors as _factors
from ecomrec.vectors.compressed import CodedRows
from ecomrec.vectors.factors import FactorModel, Factors


class Drawn(FactorModel):
    """Vectors drawn at random, a mean of items' vectors for visitors."""

    def __init__(self, n_factors=8, n_jobs=1):
        self.n_factors = n_factors
        self.n_jobs = n_jobs

    def _fit(self, shop, sides):
        rng = np.random.default_rng(0)
        factors = [rng.standard_normal((n, self.n_factors), dtype=np.float32) for n in shop.shape]
        return Factors(factors[0], factors[1], shop.item_counts > 0)

    def _fold_in(self, state, profiles):
        indptr, items, _ = profiles
        rows = [state.learned.item_factors[items[a:b]] for a, b in itertools.pairwise(indptr)]
        return np.array([part.sum(axis=0) for part in rows], dtype=np.float32)


def drawn_log(n_users=50, n_items=400, n=3000, seed=0):
    rng = np.random.default_rng(seed)
    log = pd.DataFrame(
        {"user_id": rng.integers(0, n_users, n), "item_id": rng.integers(0, n_items, n)}
    )
    return pd.concat([log, pd.DataFrame({"user_id": n_users - 1, "item_id": np.arange(n_items)})])


LOG = drawn_log()
RATED = LOG.assign(rating=np.random.default_rng(1).integers(1, 6, len(LOG))).drop_duplicates(
    ["user_id", "item_id"]
)
TITLES = pd.DataFrame(
    {"item_id": range(400), "title": [f"thing{n // 7} kind{n % 7}" for n in range(400)]}
)
USERS = list(range(20))


@pytest.fixture
def model():
    return Drawn().fit(LOG)


def assert_same(one, other, rtol=1e-5):
    np.testing.assert_allclose(one.scores, other.scores, rtol=rtol)
    ties = np.isclose(one.scores, other.scores, rtol=rtol)
    assert ((one.items == other.items) | ties).all()
    assert (one.items == other.items).mean() > 0.99


def requests(fitted):
    """Answers of every kind, few and many rows at a time."""
    yield fitted.recommend([3], k=10)
    yield fitted.recommend(USERS, k=10)
    yield fitted.recommend([4], k=10, exclude_seen=False)
    yield fitted.recommend([5], k=10, candidates=list(range(0, 400, 3)))
    yield fitted.recommend([5], k=10, exclude=list(range(0, 300)))
    yield fitted.recommend([5, 6], k=5, candidates=[[1, 2, 3], list(range(100))])
    yield fitted.recommend(history=[[1, 2, 3], [7]], k=10)
    yield fitted.similar_items([3, 4, 5], k=5)
    yield fitted.similar_users([3], k=5)


def test_int8_index_answers_as_a_full_product_does(model):
    full = list(requests(model))
    model.build_index("int8")
    assert model.index_.exact
    assert repr(model.index_) == "Index('int8', exact, 0.0064 MB)"
    for one, other in zip(full, requests(model), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("biased", [BPR(8, max_iter=2), SVD(8, max_iter=2)], ids=["BPR", "SVD"])
def test_an_index_finds_with_biases_and_likens_without_them(biased):
    fitted = biased.fit(RATED if isinstance(biased, SVD) else LOG)
    answers = [
        lambda: fitted.recommend([3, 4], k=10),
        lambda: fitted.recommend([4], k=10),
        lambda: fitted.similar_items([3, 4, 5], k=5),
    ]
    full = [ask() for ask in answers]
    fitted.build_index("int8")
    for one, ask in zip(full, answers, strict=True):
        assert_same(one, ask())


def test_small_catalogues_have_no_index_and_large_ones_do(model):
    with pytest.raises(AttributeError, match="index_ exists after build_index"):
        _ = model.index_
    with mock.patch.object(_factors, "_INDEX_FROM", 100):
        large = Drawn().fit(LOG)
        assert large.index_.engine == "int8"
        assert not hasattr(large.build_index(None), "index_")


def test_an_index_belongs_to_the_vectors_it_was_made_of(model):
    with mock.patch.object(_factors, "_INDEX_FROM", 100):
        large = Drawn().fit(LOG)
        before = large.index_
        large.partial_fit(pd.DataFrame({"user_id": [1], "item_id": [1000]}))
        assert large.index_ is not before
        assert large.index_.codes is not None
        assert len(large.index_.codes.codes) == 401
    model.build_index("int8").partial_fit(pd.DataFrame({"user_id": [1], "item_id": [1000]}))
    assert not hasattr(model, "index_")


def test_index_survives_pickle_and_copies_but_not_files(model, tmp_path):
    model.build_index("int8")
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert twin.index_.engine == "int8"
        assert_same(model.recommend([3]), twin.recommend([3]), rtol=0)
    model.save(tmp_path / "shop")
    assert not hasattr(Drawn.load(tmp_path / "shop"), "index_")
    with mock.patch.object(_factors, "_INDEX_FROM", 100):
        for mmap in (False, True):
            loaded = Drawn.load(tmp_path / "shop", mmap=mmap)
            assert loaded.index_.engine == "int8"
            assert_same(model.recommend([3]), loaded.recommend([3]))
    assert not hasattr(clone(model), "_state")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda m: m.build_index("faiss"),
            "engine must be 'int8', 'usearch' or None; got 'faiss'",
        ),
        (
            lambda m: m.build_index("usearch", min_recall=2),
            "min_recall must be from 0 to 1; got 2",
        ),
        (lambda m: m.build_index("usearch", k=0), "k must be a positive integer; got 0"),
        (lambda m: m.build_index("usearch", n_queries=0), "n_queries must be .* got 0"),
        (lambda m: m.compress("int4"), "dtype must be 'int8'; got 'int4'"),
        (lambda m: m.compress().build_index("usearch"), "a compressed model takes no 'usearch'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_are_named(model, call, words):
    with pytest.raises(ValueError, match=words):
        call(model)


# ---------------------------------------------------------------------- a graph


@pytest.fixture
def graphed():
    pytest.importorskip("usearch", reason="the extra ecomrec[ann] is not installed")
    log = drawn_log(200, 3000, 6000)
    return Drawn().fit(log), Drawn().fit(log).build_index("usearch", n_queries=100)


def test_graph_says_how_much_it_finds(graphed):
    exact, model = graphed
    index = model.index_
    assert not index.exact
    assert 0.95 <= index.recall <= 1
    assert (index.k, index.n_queries) == (10, 100)
    assert re.fullmatch(
        r"Index\('usearch', approximate: recall@10 [01]\.\d{3} on 100 users, effort \d+, .* MB\)",
        repr(index),
    )
    assert repr(model) == f"Drawn() with {index!r}"
    assert repr(exact) == "Drawn()"
    users = list(range(150))
    best, found = (m.recommend(users, exclude_seen=False) for m in (exact, model))
    hits = [len(set(a) & set(b)) for a, b in zip(best.items, found.items, strict=True)]
    assert np.mean(hits) / 10 == pytest.approx(index.recall, abs=0.04)


def test_what_the_graph_finds_is_scored_exactly_and_filtered(graphed):
    exact, model = graphed
    for users in ([3], list(range(60))):
        answer = model.recommend(users, k=5)
        pairs = [(u, i) for u, row in zip(users, answer.items, strict=True) for i in row]
        np.testing.assert_allclose(answer.scores.ravel(), exact.predict(pairs), rtol=1e-5)
        assert not model.has_seen(pairs).any()
    hidden = exact.recommend([3], k=20, exclude_seen=False).items[0].tolist()
    assert not set(model.recommend([3], k=5, exclude=hidden).items[0]) & set(hidden)


@pytest.mark.parametrize(
    "how",
    [
        {"candidates": list(range(30))},
        {"candidates": [[5, 6, 7, 8]]},
        {"exclude": list(range(2900))},
        {"k": 300},
    ],
    ids=["few candidates", "a list", "few left", "many"],
)
def test_filters_that_leave_too_little_are_answered_exactly(graphed, how):
    exact, model = graphed
    assert_same(exact.recommend([3], **how), model.recommend([3], **how))


def test_a_user_who_saw_everything_gets_what_is_left(graphed):
    exact, model = graphed
    assert_same(exact.recommend([199], k=3), model.recommend([199], k=3))


def test_a_graph_that_finds_too_little_is_refused(graphed):
    exact, _ = graphed
    with (
        mock.patch("ecomrec.vectors.index._EFFORTS", (1,)),
        pytest.raises(ValueError, match=r"less than min_recall=1\. Take build_index\('int8'\)"),
    ):
        exact.build_index("usearch", min_recall=1.0)
    assert not hasattr(exact, "index_")


def test_a_missing_package_is_named(model, monkeypatch):
    monkeypatch.delitem(sys.modules, "usearch.index", raising=False)
    with (
        mock.patch.dict("sys.modules", {"usearch": None}),
        pytest.raises(ImportError, match=r"pip install 'ecomrec\[ann\]'"),
    ):
        model.build_index("usearch")


def test_an_update_drops_the_graph(graphed):
    _, model = graphed
    model.partial_fit(pd.DataFrame({"user_id": [1], "item_id": [9000]}))
    assert not hasattr(model, "index_")
    assert repr(model) == "Drawn()"


def test_many_threads_ask_one_graph(graphed):
    _, model = graphed
    expected = [model.recommend([user]).items.tolist() for user in range(100)]
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda user: model.recommend([user]).items.tolist(), range(100))
        assert list(found) == expected


def test_a_graph_is_pickled_with_its_model(graphed):
    _, model = graphed
    twin = pickle.loads(pickle.dumps(model))
    assert twin.index_.recall == model.index_.recall
    assert_same(model.recommend([3]), twin.recommend([3]), rtol=0)


# ---------------------------------------------------------------------- smaller vectors


def factor_models():
    found = {}
    for name, package in ESTIMATORS.items():
        estimator = getattr(import_module(package), name)
        if issubclass(estimator, FactorModel):
            found[name] = estimator
    return found


MODELS = {"Drawn": Drawn, **factor_models()}


@pytest.fixture(params=sorted(MODELS))
def pair(request):
    """The same model twice, the second compressed."""
    estimator = MODELS[request.param]()
    log = RATED if estimator._values() == "rating" else LOG
    one, other = (clone(estimator).fit(log, items=TITLES) for _ in range(2))
    return one, other.compress()


def test_compressed_models_answer_nearly_the_same(pair):
    model, small = pair
    report = small.compression_
    assert report["bytes"] < 0.45 * report["bytes_before"]
    assert 0 < report["mean_error"] < report["max_error"] < 0.05
    # Users and items met at random: the best ten are a matter of little.
    assert report["top_10_overlap"] > 0.5
    pairs = list(zip(LOG["user_id"][:300].tolist(), LOG["item_id"][:300].tolist(), strict=True))
    scores, near = model.predict(pairs), small.predict(pairs)
    assert np.abs(near - scores).max() < 0.05 * np.abs(scores).max()
    for one, other in zip(requests(model), requests(small), strict=True):
        assert one.items.shape == other.items.shape
        size = max(np.nanmax(np.abs(one.scores)), np.abs(scores).max())
        np.testing.assert_allclose(other.scores, one.scores, atol=0.05 * size)
    for attribute in ("user_factors_", "item_factors_"):
        one, other = getattr(model, attribute), getattr(small, attribute)
        assert other.dtype == np.float32
        assert np.abs(one - other).max() <= 0.05 * np.abs(one).max()


def test_compressed_models_are_saved_and_read(pair, tmp_path):
    model, small = pair
    model.save(tmp_path / "full")
    small.save(tmp_path / "small")
    saved = small.compression_["bytes_before"] - small.compression_["bytes"]
    sizes = [(tmp_path / name).stat().st_size for name in ("full", "small")]
    assert sizes[0] - sizes[1] > 0.9 * saved - 2000
    for again in (type(model).load(tmp_path / "small"), pickle.loads(pickle.dumps(small))):
        assert again.compression_ == small.compression_
        for one, other in zip(requests(small), requests(again), strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)
            np.testing.assert_array_equal(one.items, other.items)


def test_compressed_models_learn_and_forget(pair):
    model, small = pair
    batch = RATED.head(5).assign(user_id=777)
    if model._values() != "rating":
        batch = batch.drop(columns="rating")
    for fitted in (model, small):
        fitted.partial_fit(batch)
        fitted.forget(users=[3], items=[7])
    assert small.compression_["n_users"] == len(small.user_ids_)
    assert 3 not in small.user_ids_
    assert 7 not in small.recommend([777], k=400).items
    size = np.nanmax(np.abs(model.recommend(model.user_ids_).scores))
    np.testing.assert_allclose(
        small.recommend([777]).scores, model.recommend([777]).scores, atol=0.1 * size
    )
    assert hasattr(small.refresh(), "compression_")
    assert not hasattr(small.fit(RATED, items=TITLES), "compression_")


def test_compressed_models_explain_their_scores(pair):
    model, small = pair
    if type(model) is Drawn:
        pytest.skip("the model of this test explains nothing")
    table = small.explain(3, 5)
    assert table["contribution"].sum() == pytest.approx(small.predict([(3, 5)])[0], rel=0.02)


def test_an_update_that_fails_leaves_a_compressed_model_as_it_was(model):
    model.compress()
    before = model.recommend([3])
    with pytest.raises(ValueError, match="item_id"):
        model.partial_fit(pd.DataFrame({"user_id": [1]}))
    assert_same(before, model.recommend([3]), rtol=0)
    assert hasattr(model, "compression_")


def test_compressing_twice_changes_nothing(model):
    state = model.compress()._state
    assert model.compress()._state is state


def test_compressed_models_take_an_index(model):
    small = model.compress()
    answers = list(requests(small))
    for one, other in zip(answers, requests(small.build_index("int8")), strict=True):
        assert_same(one, other)
    assert small.index_.n_bytes == 0


def test_codes_that_do_not_fit_are_refused(model, tmp_path):
    model.compress()
    learned = model._state.learned
    broken = copy.copy(learned.item_factors)
    broken.columns = broken.columns[:-1]
    object.__setattr__(learned, "item_factors", broken)
    model.save(tmp_path / "shop")
    with pytest.raises(FileFormatError, match="item_scales does not fit the others"):
        Drawn.load(tmp_path / "shop")


def test_codes_of_vectors_count_as_an_array():
    rng = np.random.default_rng(0)
    full = rng.standard_normal((20, 4)).astype(np.float32)
    rows = CodedRows.of(full, 1)
    array = np.asarray(rows)
    assert rows.shape == (20, 4)
    assert len(rows) == 20
    assert rows.dtype == array.dtype == np.float32
    assert np.abs(array - full).max() < 0.03
    for key in (3, slice(2, 5), np.array([1, 1]), full[:, 0] > 0, (slice(None), 2)):
        np.testing.assert_allclose(rows[key], array[key], rtol=1e-6)
    assert rows.astype(np.float64).dtype == np.float64
    assert rows.nbytes == 20 * 4 + 20 * 4 + 16
