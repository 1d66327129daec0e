"""Learned estimators come back from a file as they were; anything else is refused by name."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ecomrec import persistence
from ecomrec._registry import LEARNERS
from ecomrec.exceptions import FileFormatError
from ecomrec.kernels import trees
from ecomrec.persistence.learners import frozen, pack_learner, unpack_learner
from ecomrec.testing import twins_trees


def rows(n=300, n_features=5, missing=True, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(n, n_features)).round(2)
    if missing:
        found[rng.random(found.shape) < 0.15] = np.nan
    target = np.nan_to_num(found[:, 0]) - np.nan_to_num(found[:, 1]) ** 2 + rng.normal(size=n) / 9
    return found, target


def through_a_file(estimator, folder):
    manifest, arrays = pack_learner(estimator)
    persistence.write(folder / "learner", {"it": manifest}, arrays)
    found, read = persistence.read(folder / "learner", verify=True)
    return unpack_learner(found["it"], read)


LINEAR = [
    LinearRegression(),
    LinearRegression(fit_intercept=False),
    Ridge(alpha=0.3),
    RidgeCV(alphas=(0.1, 1.0)),
    RidgeCV(alphas=np.array([0.1, 1.0])),
    SGDRegressor(random_state=0),
    LogisticRegression(C=0.5),
    SGDClassifier(loss="log_loss", random_state=0),
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(StandardScaler(with_mean=False), Ridge()),
    make_pipeline(StandardScaler(with_std=False), LinearRegression()),
]


@pytest.mark.parametrize("model", LINEAR, ids=repr)
def test_linear_models_come_back(model, tmp_path):
    X, target = rows(missing=False)
    is_classifier = (
        hasattr(model, "classes_") or "Classifier" in repr(model) or "Logis" in repr(model)
    )
    fitted = copy.deepcopy(model).fit(X, (target > 0).astype(int) if is_classifier else target)
    back = through_a_file(fitted, tmp_path)
    assert type(back) is type(fitted)
    np.testing.assert_array_equal(back.predict(X), fitted.predict(X))
    if is_classifier:
        np.testing.assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
    again = pack_learner(back)
    assert again[0] == pack_learner(fitted)[0]


def test_three_classes_come_back(tmp_path):
    X, target = rows(missing=False)
    y = np.digitize(target, (-1, 0)) * 10
    for model in (LogisticRegression(), HistGradientBoostingClassifier(max_iter=5)):
        fitted = model.fit(X, y)
        back = through_a_file(fitted, tmp_path)
        np.testing.assert_allclose(back.predict_proba(X), fitted.predict_proba(X), atol=1e-12)
        np.testing.assert_array_equal(back.predict(X), fitted.predict(X))
        assert back.classes_.tolist() == [0, 10, 20]


@pytest.mark.parametrize(
    "loss", ["log_loss", "squared_error", "absolute_error", "poisson", "gamma"]
)
def test_histogram_boosting_answers_as_scikit_learn_does(loss, tmp_path):
    X, target = rows()
    if loss == "log_loss":
        fitted = HistGradientBoostingClassifier(max_iter=30).fit(X, target > 0)
    else:
        fitted = HistGradientBoostingRegressor(loss=loss, max_iter=30).fit(X, np.exp(target))
    unseen = rows(seed=1)[0]
    back = through_a_file(fitted, tmp_path)
    np.testing.assert_allclose(back.predict(unseen), fitted.predict(unseen), rtol=1e-9)
    if loss == "log_loss":
        np.testing.assert_allclose(back.raw(unseen), fitted.decision_function(unseen), rtol=1e-9)
        expected = fitted.predict_proba(unseen)
        np.testing.assert_allclose(back.predict_proba(unseen), expected, atol=1e-9)
    else:
        with pytest.raises(AttributeError, match="no predict_proba"):
            back.predict_proba(unseen)
    assert through_a_file(back, tmp_path).predict(unseen).tolist() == back.predict(unseen).tolist()
    with pytest.raises(ValueError, match=r"5 columns; got shape \(2, 3\)"):
        back.predict(np.zeros((2, 3)))


def test_splits_on_what_is_missing_alone_come_back(tmp_path):
    X = np.array([[np.nan], [1.0]] * 40)
    fitted = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5).fit(
        X, np.isnan(X[:, 0])
    )
    back = through_a_file(fitted, tmp_path)
    np.testing.assert_allclose(back.predict(X), fitted.predict(X), rtol=1e-9)


def boosted(library, kind, **params):
    if library == "lightgbm":
        module = pytest.importorskip(library)
        return getattr(module, f"LGBM{kind}")(n_estimators=8, verbosity=-1, n_jobs=1, **params)
    module = pytest.importorskip(library)
    return getattr(module, f"XGB{kind}")(n_estimators=8, n_jobs=1, **params)


def fitted_booster(library, kind):
    X, target = rows()
    if kind == "Ranker":
        y, more = np.digitize(target, (-1, 0)), {"group": [30] * 10}
    else:
        y, more = ((target > 0).astype(int) if kind == "Classifier" else target), {}
    return boosted(library, kind).fit(X, y, **more)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("kind", ["Classifier", "Regressor", "Ranker"])
def test_boosters_come_back_from_their_own_texts(library, kind, tmp_path):
    fitted = fitted_booster(library, kind)
    back = through_a_file(fitted, tmp_path)
    unseen = rows(seed=1)[0]
    if library == "lightgbm":
        expected = fitted.booster_.predict(unseen)
    else:
        expected = fitted.get_booster().inplace_predict(unseen)
    if kind == "Classifier":
        np.testing.assert_allclose(back.predict_proba(unseen)[:, 1], expected, rtol=1e-5)
        assert set(back.predict(unseen).tolist()) == {0, 1}
    else:
        np.testing.assert_allclose(back.predict(unseen), expected, rtol=1e-5)
        with pytest.raises(AttributeError, match="no predict_proba"):
            back.predict_proba(unseen)
    again = through_a_file(pickle.loads(pickle.dumps(back)), tmp_path)
    np.testing.assert_array_equal(again.raw(unseen), back.raw(unseen))
    with pytest.raises(ValueError, match="5 columns"):
        back.predict(unseen[:, :3])


def test_early_stopping_keeps_the_best_iteration(tmp_path):
    X, target = rows()
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBRegressor(n_estimators=60, early_stopping_rounds=1, learning_rate=1.0)
    fitted = model.fit(X, target, eval_set=[rows(seed=3)], verbose=False)
    assert fitted.best_iteration < fitted.get_booster().num_boosted_rounds() - 1
    back = through_a_file(fitted, tmp_path)
    np.testing.assert_allclose(back.predict(X), fitted.predict(X), rtol=1e-5)


def test_what_no_file_holds_is_refused_by_name():
    X, target = rows(missing=False)
    y = (target > 0).astype(int)
    for model in (RandomForestClassifier(5), SVC(), make_pipeline(StandardScaler(), SVC())):
        message = r"Cannot save a (RandomForestClassifier|SVC): nothing is pickled.*LGBMRanker"
        with pytest.raises(TypeError, match=message):
            pack_learner(model.fit(X, y))

    class LogisticRegressionOfMine(LogisticRegression):
        pass

    with pytest.raises(TypeError, match="Cannot save a LogisticRegressionOfMine"):
        pack_learner(LogisticRegressionOfMine().fit(X, y))
    words = LogisticRegression().fit(X, np.where(y, "yes", "no"))
    with pytest.raises(TypeError, match="labels such as 'no': labels must be numbers"):
        pack_learner(words)
    X[:, 0] = X[:, 0] > 0
    sorts = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]).fit(X, y)
    with pytest.raises(TypeError, match="categorical features, which are not supported"):
        pack_learner(sorts)
    lightgbm = pytest.importorskip("lightgbm")
    sorts = lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1).fit(
        X, y, categorical_feature=[0]
    )
    with pytest.raises(TypeError, match="only plain ones on numbers"):
        pack_learner(sorts)


def test_names_are_where_the_registry_says():
    import importlib

    for name, module in LEARNERS.items():
        if module in ("lightgbm", "xgboost"):
            pytest.importorskip(module)
        assert hasattr(importlib.import_module(module), name)


# ---------------------------------------------------------------------- hostile files


def changed(arrays, name, values):
    return arrays | {name: np.asarray(values, dtype=arrays[name].dtype)}


def grown():
    X, target = rows()
    return HistGradientBoostingRegressor(max_iter=4, max_depth=3).fit(X, target)


def inner_node(arrays, place=0):
    return np.flatnonzero(arrays["split_on"] >= 0)[place]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("left", 10**6, "leads out of itself"),
        ("right", -1, "leads out of itself"),
        ("left", 0, "leads out of itself"),
        ("split_on", 5, "node that cannot be"),
        ("split_on", -7, "node that cannot be"),
        ("thresholds", np.nan, "node that cannot be"),
        ("values", np.inf, "node that cannot be"),
        ("roots", 3, "do not fit their nodes"),
    ],
)
def test_trees_that_lead_nowhere_are_refused(name, value, message):
    manifest, arrays = pack_learner(grown())
    values = arrays[name].copy()
    values[inner_node(arrays) if name != "roots" else 0] = value
    with pytest.raises(FileFormatError, match=message):
        unpack_learner(manifest, changed(arrays, name, values))


def test_other_types_and_lengths_are_refused():
    manifest, arrays = pack_learner(grown())
    for name, values in arrays.items():
        for bad in (values.astype(np.float32), values[:-1], values.reshape(1, -1)):
            if name == "roots" and bad.dtype == values.dtype and bad.ndim == 1:
                continue  # a tree less, of those that there are
            with pytest.raises(FileFormatError):
                unpack_learner(manifest, arrays | {name: bad})
        with pytest.raises(FileFormatError, match="missing"):
            unpack_learner(manifest, {k: v for k, v in arrays.items() if k != name})
    for key, value in (("n_features", 2), ("n_features", "5"), ("link", "pickle"), ("learner", 3)):
        with pytest.raises(FileFormatError):
            unpack_learner(manifest | {key: value}, arrays)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_change_of_a_node_makes_a_walk_fail(data):
    manifest, arrays = pack_learner(_GROWN)
    name = data.draw(st.sampled_from(["roots", "split_on", "left", "right"]))
    values = arrays[name].copy()
    place = data.draw(st.integers(0, len(values) - 1))
    values[place] = data.draw(st.integers(-3, 2 * len(arrays["left"])))
    try:
        back = unpack_learner(manifest, changed(arrays, name, values))
    except FileFormatError:
        return
    assert np.isfinite(back.predict(rows(20)[0])).all()


_GROWN = grown()


def test_linear_models_that_do_not_fit_are_refused():
    X, target = rows(missing=False)
    for model, y in ((Ridge(), target), (LogisticRegression(), target > 0)):
        manifest, arrays = pack_learner(model.fit(X, y))
        for name, bad in (
            ("coef_", arrays["coef_"][..., :-1]),
            ("coef_", arrays["coef_"] * np.nan),
            ("coef_", arrays["coef_"].astype(np.float32)),
            ("intercept_", np.zeros(7)),
            ("intercept_", np.zeros((2, 2))),
        ):
            with pytest.raises(FileFormatError, match="do not fit"):
                unpack_learner(manifest, arrays | {name: bad})
        with pytest.raises(FileFormatError, match="lacks its coefficients"):
            unpack_learner(manifest, {})
        with pytest.raises(FileFormatError, match="no such parameters"):
            unpack_learner(manifest | {"params": {"stomach": 3}}, arrays)
        with pytest.raises(FileFormatError, match="'SVC' is not known"):
            unpack_learner(manifest | {"learner": "SVC"}, arrays)
    with pytest.raises(FileFormatError, match="labels of a classifier"):
        unpack_learner(manifest, arrays | {"classes": np.arange(3)})
    pipe = make_pipeline(StandardScaler(), Ridge()).fit(X, target)
    manifest, arrays = pack_learner(pipe)
    for steps in ([], None, [["a", 3]], manifest["steps"][::-1], manifest["steps"][:1]):
        with pytest.raises(FileFormatError):
            unpack_learner(manifest | {"steps": steps}, arrays)
    for bad in (np.zeros(5), np.full(5, np.nan), np.ones(4)):
        with pytest.raises(FileFormatError, match="scales"):
            unpack_learner(manifest, arrays | {"0.scale_": bad})


def text_of(library, kind="Regressor"):
    manifest, arrays = pack_learner(fitted_booster(library, kind))
    return manifest, arrays["text"].tobytes()


def refuse_text(manifest, text):
    with pytest.raises(FileFormatError, match="damaged"):
        unpack_learner(manifest, {"text": np.frombuffer(text, dtype=np.uint8)})


def test_hostile_texts_of_lightgbm_are_refused():
    import re

    manifest, text = text_of("lightgbm")
    for name, value in (
        ("left_child", "99"),
        ("right_child", "-99"),
        ("left_child", "0"),
        ("split_feature", "5"),
        ("split_feature", "x"),
        ("threshold", "nan"),
        ("decision_type", "1"),
        ("leaf_value", "inf"),
        ("num_leaves", "3000000"),
        ("num_leaves", "-1"),
        ("num_cat", "1"),
        ("max_feature_idx", "7"),
        ("num_class", "3"),
        ("num_tree_per_iteration", "0"),
    ):
        pattern = rf"(?m)^{name}=\S+".encode()
        assert re.search(pattern, text), name
        refuse_text(manifest, re.sub(pattern, f"{name}={value}".encode(), text, count=1))
    refuse_text(manifest, text.replace(b"left_child=", b"left_child=0\nleft_child=", 1))
    refuse_text(manifest, text.replace(b"end of trees", b"", 1))
    refuse_text(manifest, b"\xff" + text)
    refuse_text(manifest, b"")
    refuse_text(manifest | {"n_features": 4}, text)
    refuse_text(manifest | {"library": "os"}, text)
    # Sizes that would make its reader jump are not read.
    huge = re.sub(rb"(?m)^tree_sizes=.*", b"tree_sizes=99999999 99999999", text)
    arrays = {"text": np.frombuffer(huge, dtype=np.uint8)}
    X = rows()[0]
    expected = fitted_booster("lightgbm", "Regressor").predict(X)
    np.testing.assert_allclose(unpack_learner(manifest, arrays).predict(X), expected)


def test_hostile_texts_of_xgboost_are_refused():
    manifest, text = text_of("xgboost")
    whole = json.loads(text)
    model = whole["learner"]["gradient_booster"]["model"]
    tree = model["trees"][0]
    name: str
    value: Any
    for name, value in (
        ("left_children", 10**6),
        ("right_children", -1),
        ("left_children", 0),
        ("split_indices", 5),
        ("split_conditions", "x"),
        ("default_left", 3),
        ("split_type", 1),
        ("parents", None),
    ):
        kept = copy.deepcopy(tree[name])
        if value is None:
            tree[name] = kept[:-1]
        else:
            tree[name][0] = value
        refuse_text(manifest, json.dumps(whole).encode())
        tree[name] = kept
    for owner, name, value in (
        (tree, "id", 5),
        (tree, "categories", [1]),
        (model, "tree_info", [0]),
        (model, "tree_info", [3] * len(model["trees"])),
        (model, "iteration_indptr", [0, 99]),
        (model["gbtree_model_param"], "num_trees", "3"),
        (whole["learner"]["learner_model_param"], "num_feature", "9"),
        (whole["learner"]["gradient_booster"], "name", "gblinear"),
        (whole, "learner", []),
    ):
        kept = owner[name]
        owner[name] = value
        refuse_text(manifest, json.dumps(whole).encode())
        owner[name] = kept
    refuse_text(manifest, b"{}")
    refuse_text(manifest, b"[")


def test_a_booster_says_what_to_install(monkeypatch):
    import sys

    manifest, text = text_of("lightgbm")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ImportError, match=r"lightgbm is needed here.*ecomrec\[rank\]"):
        unpack_learner(manifest, {"text": np.frombuffer(text, dtype=np.uint8)})


def test_xgboost_says_what_to_install(monkeypatch):
    import sys

    manifest, text = text_of("xgboost")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r"xgboost is needed here.*pip install xgboost, or"):
        unpack_learner(manifest, {"text": np.frombuffer(text, dtype=np.uint8)})


# ---------------------------------------------------------------------- the kernel


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 9))
def test_kernel_equals_its_twin(seed, n_outputs, n):
    rng = np.random.default_rng(seed)
    trees_of = [random_tree(rng) for _ in range(n_outputs * int(rng.integers(0, 4)))]
    nodes = joined(trees_of)
    features = rng.integers(-2, 3, size=(n, 4)) * 1.0
    features[rng.random(features.shape) < 0.2] = np.nan
    expected = twins_trees.leaf_sums(features, nodes, n_outputs)
    np.testing.assert_allclose(trees.leaf_sums(features, nodes, n_outputs), expected, atol=1e-12)


def test_trees_do_not_depend_on_threads():
    from tests.kernels.conftest import same_for_any_threads

    rng = np.random.default_rng(0)
    nodes = joined([random_tree(rng) for _ in range(6)])
    features = rng.normal(size=(50, 4))
    same_for_any_threads(lambda jobs: (trees.leaf_sums(features, nodes, 2, jobs),))


def random_tree(rng):
    """Features, thresholds, sides of missing values, children and values of one tree."""
    split_on, left, right = [-1], [0], [0]
    for _ in range(int(rng.integers(0, 6))):
        at = rng.choice(np.flatnonzero(np.array(split_on) < 0))
        split_on[at], left[at], right[at] = int(rng.integers(0, 4)), len(left), len(left) + 1
        split_on, left, right = [*split_on, -1, -1], [*left, 0, 0], [*right, 0, 0]
    n = len(left)
    return (
        split_on,
        rng.integers(-2, 3, n) * 1.0,
        rng.random(n) < 0.5,
        left,
        right,
        rng.normal(size=n),
    )


def joined(found):
    sizes = [len(tree[0]) for tree in found]
    roots = np.cumsum([0, *sizes])[:-1].astype(np.int64)
    first = np.repeat(roots, sizes)
    kinds = (np.int32, np.float64, np.bool_, np.int32, np.int32, np.float64)
    columns = [
        np.concatenate([np.asarray(tree[n], dtype=kind) for tree in found] or [np.empty(0, kind)])
        for n, kind in enumerate(kinds)
    ]
    for side in (3, 4):
        columns[side] = (columns[side] + first).astype(np.int32)
    return (roots, *columns)


def test_other_estimators_stay_as_they_are():
    model = RandomForestClassifier()
    assert frozen(model) is model
