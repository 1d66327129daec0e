"""Learned rankers of any library: how they are trained, asked, calibrated and looked into."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logit
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecomrec._validation import Rule
from ecomrec.exceptions import DataError
from ecomrec.persistence.learners import frozen

_REPEATS = 3
_ORDERS = 16
# Probabilities this close to 0 or 1 have no log-odds that mean anything.
_CLOSEST = 1e-9
# Margins that differ by less than this share of their size are equal.
_ROUNDING = 1e-12


def kind_of(ranker: Any) -> str:
    """Whether a ranker is a "classifier", a "regressor", a "ranker" that needs groups, or ""."""
    if not hasattr(ranker, "fit") or not hasattr(ranker, "get_params") or isinstance(ranker, type):
        return ""
    if "group" in inspect.signature(ranker.fit).parameters and not (
        is_classifier(ranker) or is_regressor(ranker)
    ):
        return "ranker"
    return "classifier" if is_classifier(ranker) else "regressor" if is_regressor(ranker) else ""


def learner(name: str) -> Rule:
    """Rule for a parameter that holds what learns to rank, or None for the default."""
    return Rule(
        f"None or {name}: a classifier, a regressor, or a ranker with fit(X, y, group=...)",
        lambda value: value is None or kind_of(value) != "",
        (3, "lgbm", LogisticRegression),
    )


def trained(
    ranker: Any, features: np.ndarray, labels: np.ndarray, sizes: np.ndarray, seed: int
) -> Any:
    """Return a fitted clone, as a file would give it back.

    Parameters
    ----------
    ranker : estimator
    features : ndarray of shape (n_pairs, n_features)
    labels : ndarray of shape (n_pairs,), 0 or 1
    sizes : ndarray
        How many pairs each list has, in order.
    seed : int
        For what has a `random_state` and was given none.
    """
    made = clone(ranker)
    if made.get_params().get("random_state", seed) is None:
        made.set_params(random_state=seed)
    if kind_of(ranker) == "ranker":
        made.fit(features, labels, group=sizes)
    else:
        made.fit(features, labels)
    return frozen(made)


def margins(fitted: Any, features: np.ndarray) -> np.ndarray:
    """What rows of features score before calibration: log-odds of classifiers."""
    if len(features) == 0:
        return np.empty(0)
    if hasattr(fitted, "raw"):
        found = fitted.raw(features)
    elif hasattr(fitted, "decision_function"):
        found = fitted.decision_function(features)
    elif hasattr(fitted, "predict_proba"):
        chance = np.clip(fitted.predict_proba(features)[:, -1], _CLOSEST, 1 - _CLOSEST)
        found = np.log(chance / (1 - chance))
    else:
        found = fitted.predict(features)
    found = np.asarray(found, dtype=np.float64).reshape(len(features))
    wrong = np.count_nonzero(~np.isfinite(found))
    if wrong:
        raise DataError(
            f"the ranker {type(fitted).__name__} scores {wrong} of {len(found)} rows NaN or "
            "infinite, and such items have no place in a list. Give a ranker whose scores are "
            "finite numbers."
        )
    return found


def takes_missing(ranker: Any) -> bool:
    """Whether a ranker takes NaN: of a pipeline, whether each step does."""
    if hasattr(ranker, "steps"):
        steps = [step for _, step in ranker.steps if step not in (None, "passthrough")]
        return all(takes_missing(step) for step in steps)
    if type(ranker).__module__.partition(".")[0] in ("lightgbm", "xgboost"):
        return True
    tags = ranker.__sklearn_tags__() if hasattr(ranker, "__sklearn_tags__") else None
    return bool(tags is not None and (tags.input_tags.allow_nan or tags.no_validation))


def calibrated(found: np.ndarray, labels: np.ndarray, method: str) -> np.ndarray:
    """Knots of the function from margins to rates, of shape (2, n).

    "sigmoid": slope and shift of the log-odds (n = 1). "isotonic": margins and rates, rising.
    """
    if method == "isotonic":
        steps = IsotonicRegression(out_of_bounds="clip").fit(found, labels)
        margins, levels = steps.X_thresholds_, steps.y_thresholds_
        if len(margins) == 1:
            margins, levels = np.append(margins, margins + 1), np.append(levels, levels)
        return np.array([margins, levels])
    middle, spread = float(found.mean()), float(found.std())
    slope, level = 0.0, float(logit(labels.mean()))
    if spread > _ROUNDING * abs(middle):
        line = LogisticRegression(C=1e6).fit((found - middle)[:, None] / spread, labels)
        if line.coef_[0, 0] > 0:
            slope, level = float(line.coef_[0, 0]), float(line.intercept_[0])
    else:
        spread = 1.0
    # A ranker that is worse than chance keeps its order: rates never fall with the score.
    slope = max(slope, 1e-6) / spread
    return np.array([[slope], [level - slope * middle]])


def rates(knots: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Rates of some margins."""
    if knots.shape[1] == 0:
        return found
    if knots.shape[1] == 1:
        # Not so small that it is 0 as float32, which would read as no evidence.
        return np.asarray(expit(np.clip(knots[0, 0] * found + knots[1, 0], -80, 80)))
    return np.asarray(np.maximum(np.interp(found, knots[0], knots[1]), _CLOSEST))


def importances(
    fitted: Any, features: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """How much the area under the ROC curve falls when a feature is shuffled among the pairs."""
    best = roc_auc_score(labels, margins(fitted, features))
    lost = np.zeros(features.shape[1])
    for column in range(features.shape[1]):
        if (features[:, column] == features[0, column]).all():
            continue
        for _ in range(_REPEATS):
            mixed = features.copy()
            mixed[:, column] = rng.permutation(mixed[:, column])
            lost[column] += best - roc_auc_score(labels, margins(fitted, mixed))
    return lost / _REPEATS


def shapley_values(
    score: Callable[[np.ndarray], np.ndarray], row: np.ndarray, typical: np.ndarray
) -> tuple[float, np.ndarray]:
    """Score of a typical row, and what each feature of a row adds to it on the way to its own.

    The means over orders, drawn once and for all and each also taken backwards, in which the
    features change from typical to theirs: they add up, and are exact for sums.
    """
    n = len(row)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(n) for _ in range(_ORDERS)]
    orders += [order[::-1] for order in orders]
    paths = np.empty((len(orders), n + 1, n))
    for path, order in zip(paths, orders, strict=True):
        path[:] = typical
        for step, column in enumerate(order):
            path[step + 1 :, column] = row[column]
    values = score(paths.reshape(-1, n)).reshape(len(orders), n + 1)
    shares = np.zeros(n)
    for gains, order in zip(np.diff(values, axis=1), orders, strict=True):
        shares[order] += gains
    return float(values[0, 0]), shares / len(orders)
