"""Histogram boosting of scikit-learn as plain arrays, which answer as it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from ecomrec.kernels import trees
from ecomrec.persistence._parsing import damaged

_NODES = {
    "roots": np.int64,
    "split_on": np.int32,
    "thresholds": np.float64,
    "missing_left": np.bool_,
    "left": np.int32,
    "right": np.int32,
    "values": np.float64,
}
_LINKS = ("identity", "log", "logit")


@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """What histogram boosting learned, apart from scikit-learn: safe in forks, threads and files.

    Attributes
    ----------
    nodes : tuple of ndarray
        As `ecomrec.kernels.trees.leaf_sums` takes them; the nodes of a tree follow its first one,
        and those below a node come behind it.
    baseline : ndarray of shape (n_outputs,), float64
        Added to the sums of leaves.
    n_features_in_ : int
    link : {"identity", "log", "logit"}
        What a prediction is a function of: "logit" for classifiers.
    classes_ : ndarray or None
        Labels, for classifiers.
    """

    nodes: tuple[np.ndarray, ...]
    baseline: np.ndarray
    n_features_in_: int
    link: str
    classes_: np.ndarray | None = None

    def raw(self, X: Any) -> np.ndarray:
        """Sums of leaves: log-odds of classifiers; (n,), or (n, n_classes) of more than two."""
        found = np.asarray(X, dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X must have {self.n_features_in_} columns; got shape {found.shape}."
            )
        sums: np.ndarray = trees.leaf_sums(found, self.nodes, len(self.baseline)) + self.baseline
        return sums[:, 0] if len(self.baseline) == 1 else sums

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes."""
        if self.classes_ is None:
            raise AttributeError("a regressor has no predict_proba.")
        return probabilities(self.raw(X))

    def predict(self, X: Any) -> np.ndarray:
        """Predicted values, or labels of classifiers."""
        raw = self.raw(X)
        if self.classes_ is not None:
            best = (raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)
            labels: np.ndarray = self.classes_[best]
            return labels
        return np.exp(raw) if self.link == "log" else raw


def probabilities(raw: np.ndarray) -> np.ndarray:
    """Probabilities of classes from log-odds of the second, or from a column for each."""
    if raw.ndim == 1:
        return np.column_stack((expit(-raw), expit(raw)))
    found: np.ndarray = softmax(raw, axis=1)
    return found


def frozen_trees(estimator: Any) -> TreeEnsemble:
    """Take the trees out of a fitted histogram boosting estimator of scikit-learn."""
    if getattr(estimator, "is_categorical_", None) is not None:
        raise TypeError(
            f"this {type(estimator).__name__} splits on categorical features, which are not "
            "supported here: code categories as numbers and leave categorical_features=None."
        )
    grown = [tree.nodes for iteration in estimator._predictors for tree in iteration]
    sizes = np.array([len(nodes) for nodes in grown], dtype=np.int64)
    roots = np.cumsum(sizes) - sizes
    nodes = np.concatenate(grown) if grown else np.empty(0, dtype=_EMPTY)
    first = np.repeat(roots, sizes)
    leaf = nodes["is_leaf"].astype(bool)
    split_on = np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32)
    left, right = (
        np.where(leaf, 0, nodes[side] + first).astype(np.int32) for side in ("left", "right")
    )
    arrays = (
        roots,
        split_on,
        np.where(leaf, 0.0, nodes["num_threshold"]),
        nodes["missing_go_to_left"].astype(bool),
        left,
        right,
        np.ascontiguousarray(nodes["value"], dtype=np.float64),
    )
    classes = getattr(estimator, "classes_", None)
    link = "log" if getattr(estimator, "loss", "") in ("gamma", "poisson") else "identity"
    return TreeEnsemble(
        arrays,
        np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel(),
        int(estimator.n_features_in_),
        link if classes is None else "logit",
        classes,
    )


_EMPTY = np.dtype(
    [("is_leaf", "u1"), ("feature_idx", "i8"), ("left", "u4"), ("right", "u4"),
     ("num_threshold", "f8"), ("missing_go_to_left", "u1"), ("value", "f8")]
)  # fmt: skip


def pack_trees(grown: TreeEnsemble) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A tree ensemble as a manifest and arrays."""
    arrays = dict(zip(_NODES, grown.nodes, strict=True)) | {"baseline": grown.baseline}
    if grown.classes_ is not None:
        arrays["classes"] = grown.classes_
    return {"n_features": grown.n_features_in_, "link": grown.link}, arrays


def unpack_trees(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TreeEnsemble:
    """Return the tree ensemble that was packed; no walk through it can fail or go round."""
    nodes = tuple(checked(arrays, name, dtype) for name, dtype in _NODES.items())
    baseline = checked(arrays, "baseline", np.float64)
    n_features, link = manifest.get("n_features"), manifest.get("link")
    if type(n_features) is not int or n_features < 1 or link not in _LINKS:
        raise damaged("the trees do not say what they were grown from")
    roots, split_on, thresholds, _, left, right, values = nodes
    n = len(split_on)
    ends = np.append(roots[1:], n)
    whole = (
        len(baseline) > 0
        and len(roots) % len(baseline) == 0
        and all(len(part) == n for part in nodes[2:])
        and (len(roots) == 0) == (n == 0)
        and (roots[:1] == 0).all()
        and (ends > roots).all()
    )
    if not whole:
        raise damaged("the trees do not fit their nodes")
    inner = np.flatnonzero(split_on >= 0)
    end = np.repeat(ends, ends - roots)[inner]
    for side in (left[inner], right[inner]):
        if (side <= inner).any() or (side >= end).any():
            raise damaged("a tree leads out of itself")
    if (
        (split_on < -1).any()
        or (split_on >= n_features).any()
        or np.isnan(thresholds[inner]).any()
        or not np.isfinite(values).all()
        or not np.isfinite(baseline).all()
    ):
        raise damaged("a tree has a node that cannot be")
    classes = None
    if link == "logit":
        classes = labels(arrays, 2 if len(baseline) == 1 else len(baseline))
    return TreeEnsemble(nodes, baseline, n_features, str(link), classes)


def checked(
    arrays: Mapping[str, np.ndarray], name: str, dtype: Any, *, ndim: int = 1
) -> np.ndarray:
    """Return an array, if it is there and of the right type."""
    found = arrays.get(name)
    if found is None or found.dtype != dtype or found.ndim != ndim:
        given = "missing" if found is None else f"{found.dtype} of shape {found.shape}"
        raise damaged(f"array {name!r} of a learned estimator is {given}")
    return found


def labels(arrays: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """Return the labels of n classes."""
    found = arrays.get("classes")
    if found is None or found.shape != (n,) or (n > 1 and (found[1:] <= found[:-1]).any()):
        raise damaged("the labels of a classifier do not fit it")
    return found
