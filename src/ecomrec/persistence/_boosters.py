"""LightGBM and XGBoost models in their own text formats, checked before these read them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from ecomrec._optional import require
from ecomrec.exceptions import FileFormatError
from ecomrec.persistence._parsing import damaged, parse_json
from ecomrec.persistence._trees import checked, labels, probabilities

_LIGHTGBM_LISTS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


@dataclass(frozen=True, eq=False)
class Booster:
    """A fitted booster of another library, asked on one thread.

    Attributes
    ----------
    library : {"lightgbm", "xgboost"}
    booster : lightgbm.Booster or xgboost.Booster
    n_features_in_ : int
    classes_ : ndarray or None
        Labels, for classifiers.
    """

    library: str
    booster: Any
    n_features_in_: int
    classes_: np.ndarray | None = None

    def raw(self, X: Any) -> np.ndarray:
        """Scores before any link: log-odds of classifiers."""
        return self._asked(X, raw=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes."""
        if self.classes_ is None:
            raise AttributeError("a regressor or ranker has no predict_proba.")
        return probabilities(self.raw(X))

    def predict(self, X: Any) -> np.ndarray:
        """Predicted values, or labels of classifiers."""
        if self.classes_ is None:
            return self._asked(X, raw=False)
        found: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return found

    def _asked(self, X: Any, *, raw: bool) -> np.ndarray:
        found = np.ascontiguousarray(X, dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X must have {self.n_features_in_} columns; got shape {found.shape}."
            )
        if self.library == "lightgbm":
            answer = self.booster.predict(found, raw_score=raw, num_threads=1)
        else:
            kind = "margin" if raw else "value"
            answer = self.booster.inplace_predict(found, predict_type=kind)
        return np.asarray(answer, dtype=np.float64)


def frozen_booster(estimator: Any) -> Booster:
    """Take the booster out of a fitted estimator, as far as it was best."""
    classes = getattr(estimator, "classes_", None)
    n_features = int(estimator.n_features_in_)
    if type(estimator).__module__.startswith("lightgbm"):
        return Booster("lightgbm", estimator.booster_, n_features, classes)
    booster = estimator.get_booster().copy()
    with suppress(AttributeError):  # without early stopping all of it is best
        booster = booster[: estimator.best_iteration + 1]
    booster.set_param({"nthread": 1})
    if classes is not None:
        classes = np.asarray(classes)
    return Booster("xgboost", booster, n_features, classes)


def pack_booster(model: Booster) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A booster as a manifest and arrays."""
    if model.library == "lightgbm":
        text = model.booster.model_to_string().encode()
    else:
        text = bytes(model.booster.save_raw("json"))
    try:
        _CHECKS[model.library](text, model.n_features_in_)
    except FileFormatError as error:
        raise TypeError(
            f"Cannot save this {model.library} model: of its trees only plain ones on numbers are "
            f"supported ({error})."
        ) from error
    arrays = {"text": np.frombuffer(text, dtype=np.uint8)}
    if model.classes_ is not None:
        arrays["classes"] = model.classes_
    return {"library": model.library, "n_features": model.n_features_in_}, arrays


def unpack_booster(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Booster:
    """Return the booster that was packed."""
    library, n_features = manifest.get("library"), manifest.get("n_features")
    if library not in _CHECKS or type(n_features) is not int or n_features < 1:
        raise damaged(f"a booster of {library!r} is not known")
    text, n_outputs = _CHECKS[library](checked(arrays, "text", np.uint8).tobytes(), n_features)
    classes = labels(arrays, max(2, n_outputs)) if "classes" in arrays else None
    module = library_of(library)
    failed = module.basic.LightGBMError if library == "lightgbm" else module.core.XGBoostError
    try:
        if library == "lightgbm":
            booster = module.Booster(model_str=text.decode())
            whole = booster.num_feature() == n_features
        else:
            booster = module.Booster({"nthread": 1}, model_file=bytearray(text))
            whole = booster.num_features() == n_features
    except failed as error:
        reason = str(error).splitlines()[0]
        raise damaged(f"{library} cannot read its model ({reason})") from error
    if not whole:
        raise damaged(f"the model of {library} has another number of features")
    return Booster(library, booster, n_features, classes)


def library_of(name: str) -> ModuleType:
    """Import LightGBM or XGBoost, or say what to install."""
    if name == "lightgbm":
        return require(name, "rank")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} is needed here and is not installed. Run: pip install {name}, or {name}-cpu, "
            "which is small"
        ) from error


def _check_lightgbm(text: bytes, n_features: int) -> tuple[bytes, int]:
    """Refuse text whose trees lead nowhere; return it without the line of sizes, and outputs."""
    try:
        lines = text.decode().splitlines()
    except UnicodeDecodeError as error:
        raise damaged("the model of lightgbm is no text") from error
    head = dict(line.partition("=")[::2] for line in _until(lines, "Tree="))
    per_iteration = _whole(head.get("num_tree_per_iteration", ""))
    n_trees = 0
    at = [n for n, line in enumerate(lines) if line.startswith("Tree=")]
    last = next((n for n, line in enumerate(lines) if line.strip() == "end of trees"), -1)
    if (
        lines[:1] != ["tree"]
        or last < 0
        or any(n > last for n in at)
        or _whole(head.get("max_feature_idx", "")) != n_features - 1
        or per_iteration != _whole(head.get("num_class", ""))
        or not 1 <= per_iteration <= 10_000
    ):
        raise damaged("the model of lightgbm has no header that fits")
    for number, start in enumerate(at):
        end = at[number + 1] if number + 1 < len(at) else last
        _check_lightgbm_tree(lines[start:end], n_features)
        n_trees += 1
    if n_trees % per_iteration:
        raise damaged("the model of lightgbm lacks trees")
    # Sizes in bytes let its reader jump; without them it reads tree after tree.
    kept = [line for line in lines if not line.startswith("tree_sizes=")]
    return ("\n".join(kept) + "\n").encode(), per_iteration


def _check_lightgbm_tree(lines: Sequence[str], n_features: int) -> None:
    pairs = [line.partition("=")[::2] for line in lines if "=" in line]
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise damaged("a tree of lightgbm says something twice")
    n_leaves = _whole(tree.get("num_leaves", ""))
    values = _numbers(tree.get("leaf_value", ""))
    if tree.get("num_cat") != "0" or tree.get("is_linear", "0") != "0":
        raise damaged(
            "a tree of lightgbm has categories or linear leaves, which are not supported"
        )
    if n_leaves < 1 or len(values) != n_leaves or not np.isfinite(values).all():
        raise damaged("a tree of lightgbm does not fit its leaves")
    if n_leaves == 1:
        return
    split_on, thresholds, kinds, left, right = (_numbers(tree.get(n, "")) for n in _LIGHTGBM_LISTS)
    inner = n_leaves - 1
    if any(len(part) != inner for part in (split_on, thresholds, kinds, left, right)):
        raise damaged("a tree of lightgbm does not fit its nodes")
    if (
        (split_on != split_on.astype(np.int64)).any()
        or not ((split_on >= 0) & (split_on < n_features)).all()
        or np.isnan(thresholds).any()
        or not np.isin(kinds, (0, 2, 4, 6, 8, 10)).all()
    ):
        raise damaged("a tree of lightgbm has a node that cannot be")
    children = np.column_stack((left, right))
    whole = (children == children.astype(np.int64)).all()
    places = np.where(children >= 0, children, inner - 1 - children).astype(np.int64)
    _check_shape(places, inner + n_leaves, inner if whole else -1)


def _check_xgboost(text: bytes, n_features: int) -> tuple[bytes, int]:
    """Refuse a model whose trees lead nowhere; return it, and how many outputs it has."""
    learner = parse_json(text, "model of xgboost", dict).get("learner")
    try:
        booster, params = learner["gradient_booster"], learner["learner_model_param"]
        if booster.get("name") != "gbtree":
            raise damaged(f"xgboost's {booster.get('name')!r} is not supported, only its trees")
        model = booster["model"]
        trees = model["trees"]
        n_outputs = max(1, _whole(params["num_class"]), _whole(params["num_target"]))
        whole = (
            _whole(params["num_feature"]) == n_features
            and _whole(model["gbtree_model_param"]["num_trees"]) == len(trees)
            and sorted(tree["id"] for tree in trees) == list(range(len(trees)))
            and len(model["tree_info"]) == len(trees)
            and all(type(n) is int and 0 <= n < n_outputs for n in model["tree_info"])
            and _rising(model.get("iteration_indptr", [0, len(trees)]), len(trees))
        )
        if not whole:
            raise damaged("the model of xgboost does not fit its trees")
        for tree in trees:
            _check_xgboost_tree(tree, n_features)
    except FileFormatError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise damaged(f"the model of xgboost lacks its parts ({error})") from error
    return text, n_outputs


def _check_xgboost_tree(tree: Mapping[str, Any], n_features: int) -> None:
    if tree["categories"] or any(tree["split_type"]):
        raise damaged("a tree of xgboost has categories, which are not supported")
    left, right, split_on, thresholds, to_left = (
        np.asarray(tree[name], dtype=np.float64)
        for name in (
            "left_children", "right_children", "split_indices", "split_conditions", "default_left",
        )
    )  # fmt: skip
    n = len(left)
    rows: list[Any] = [right, split_on, thresholds, to_left]
    rows += [tree[n] for n in ("base_weights", "parents", "loss_changes", "sum_hessian")]
    inner = left != -1
    if (
        _whole(tree["tree_param"]["num_nodes"]) != n
        or _whole(tree["tree_param"]["num_deleted"]) != 0
        or _whole(tree["tree_param"]["num_feature"]) != n_features
        or _whole(tree["tree_param"].get("size_leaf_vector", "1")) > 1
        or n == 0
        or any(len(part) != n for part in rows)
        or ((right != -1) != inner).any()
        or not np.isfinite(thresholds[~inner]).all()
        or np.isnan(thresholds).any()
        or not ((split_on >= 0) & (split_on < n_features)).all()
        or not np.isin(to_left, (0, 1)).all()
    ):
        raise damaged("a tree of xgboost has a node that cannot be")
    places = np.full((n, 2), -1, dtype=np.int64)
    places[inner] = np.column_stack((left, right))[inner]
    _check_shape(places, n, n)


_CHECKS = {"lightgbm": _check_lightgbm, "xgboost": _check_xgboost}


def _check_shape(children: np.ndarray, n: int, n_inner: int) -> None:
    """Refuse what is no tree: each of n nodes but the first is the child of one, within reach."""
    found = children[(children != -1).all(axis=1)]
    flat = found.ravel()
    ok = n_inner >= 0 and len(flat) == n - 1 and len(np.unique(flat)) == n - 1
    if not ok or (n > 1 and (flat.min() < 1 or flat.max() >= n)):
        raise damaged("a tree leads out of itself")
    reached, level = 1, np.zeros(1, dtype=np.int64)
    while len(level):
        level = level[level < len(children)]
        level = children[level][(children[level] != -1).all(axis=1)].ravel()
        reached += len(level)
    if reached != n:
        raise damaged("a tree goes round in itself")


def _until(lines: Sequence[str], mark: str) -> list[str]:
    end = next((n for n, line in enumerate(lines) if line.startswith(mark)), len(lines))
    return [line for line in lines[:end] if "=" in line]


def _whole(text: Any) -> int:
    """A whole number in text, or -1."""
    return int(text) if re.fullmatch(r"\d{1,9}", str(text)) else -1


def _numbers(text: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in text.split()])
    except ValueError:
        return np.array([math.nan])


def _rising(bounds: Any, n: int) -> bool:
    found = list(bounds)
    return (
        all(type(b) is int for b in found)
        and found == sorted(found)
        and found[:1] == [0]
        and found[-1] == n
    )
