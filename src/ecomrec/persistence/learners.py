"""Learned estimators of other libraries as a manifest and arrays, never as pickles.

Linear models are rebuilt as what they were. Histogram boosting comes back as a `TreeEnsemble` and
LightGBM's and XGBoost's models as a `Booster`: both answer `predict` and `predict_proba` as the
estimator did, and can be packed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from ecomrec._registry import LEARNERS
from ecomrec.persistence._boosters import Booster, frozen_booster, pack_booster, unpack_booster
from ecomrec.persistence._parsing import damaged
from ecomrec.persistence._trees import (
    TreeEnsemble,
    checked,
    frozen_trees,
    labels,
    pack_trees,
    unpack_trees,
)
from ecomrec.persistence.values import pack_value, unpack_value

_CLASSIFIERS = ("LogisticRegression", "SGDClassifier")
_SCALER = {"mean_": "with_mean", "scale_": "with_std"}


def is_learner(estimator: object) -> bool:
    """Whether an estimator is of a class that `pack_learner` takes."""
    name = type(estimator).__name__
    if isinstance(estimator, (TreeEnsemble, Booster)):
        return True
    return name in LEARNERS and type(estimator).__module__.startswith(
        LEARNERS[name].partition(".")[0] + "."
    )


def refuse_learner(estimator: object) -> None:
    """Raise for an estimator that no file can hold."""
    if not is_learner(estimator):
        raise TypeError(
            f"Cannot save a {type(estimator).__name__}: nothing is pickled. Of learned estimators "
            f"a file holds {', '.join(sorted(LEARNERS))}."
        )
    if type(estimator).__name__ == "Pipeline":
        for _, step in estimator.steps:  # type: ignore[attr-defined]
            refuse_learner(step)


def frozen(estimator: Any) -> Any:
    """Return a fitted estimator as a file gives it back; any other class as it is.

    What comes back answers on the calling thread alone, before and after a fork.
    """
    name = type(estimator).__name__
    if not is_learner(estimator) or isinstance(estimator, (TreeEnsemble, Booster)):
        return estimator
    if name.startswith("HistGradientBoosting"):
        return frozen_trees(estimator)
    return frozen_booster(estimator) if name.startswith(("LGBM", "XGB")) else estimator


def pack_learner(estimator: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a fitted estimator as a manifest of JSON values, and named arrays.

    Parameters
    ----------
    estimator : estimator
        A linear model of scikit-learn (LinearRegression, Ridge, RidgeCV, LogisticRegression,
        SGDClassifier, SGDRegressor), a Pipeline of StandardScaler and one of these, a histogram
        boosting estimator, or a LightGBM or XGBoost estimator; or what `unpack_learner` returned.

    Returns
    -------
    manifest : dict
    arrays : dict of str to ndarray

    Raises
    ------
    TypeError
        For any other class, by name, and for labels that are no numbers.
    """
    refuse_learner(estimator)
    kept = frozen(estimator)
    classes = getattr(kept, "classes_", None)
    if classes is not None and np.asarray(classes).dtype.kind not in "biuf":
        raise TypeError(
            f"Cannot save a {type(estimator).__name__} with labels such as "
            f"{classes.tolist()[0]!r}: labels must be numbers, True or False."
        )
    if isinstance(kept, TreeEnsemble):
        manifest, arrays = pack_trees(kept)
        return {"learner": "TreeEnsemble", **manifest}, arrays
    if isinstance(kept, Booster):
        manifest, arrays = pack_booster(kept)
        return {"learner": "Booster", **manifest}, arrays
    name = type(kept).__name__
    if name == "Pipeline":
        return _pack_pipeline(kept)
    names = (*_SCALER, "var_") if name == "StandardScaler" else ("coef_", "intercept_")
    arrays = {
        part: np.asarray(getattr(kept, part), dtype=np.float64)
        for part in names
        if getattr(kept, part) is not None
    }
    if classes is not None:
        arrays["classes"] = np.asarray(classes)
    n_features = int(kept.n_features_in_)
    return {"learner": name, "params": _changed(kept), "n_features": n_features}, arrays


def unpack_learner(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """Return an estimator that answers as the packed one did, with all of it checked.

    Parameters
    ----------
    manifest : mapping
    arrays : mapping of str to ndarray

    Returns
    -------
    estimator
        Of the class that was packed for linear models; a `TreeEnsemble` or `Booster` otherwise.

    Raises
    ------
    FileFormatError
        The manifest or the arrays cannot be what `pack_learner` made.
    """
    name = manifest.get("learner")
    if name == "TreeEnsemble":
        return unpack_trees(manifest, arrays)
    if name == "Booster":
        return unpack_booster(manifest, arrays)
    if name == "Pipeline":
        return _unpack_pipeline(manifest, arrays)
    n_features, params = manifest.get("n_features"), manifest.get("params")
    linear = name in _LINEAR or name == "StandardScaler"
    if not linear or type(n_features) is not int or n_features < 1 or not isinstance(params, dict):
        raise damaged(f"a learned {name!r} is not known")
    try:
        given = {key: unpack_value(value) for key, value in params.items()}
        estimator = getattr(import_module(LEARNERS[str(name)]), str(name))(**given)
    except TypeError as error:
        raise damaged(f"{name} has no such parameters ({error})") from error
    found = (
        _scales(arrays, n_features)
        if name == "StandardScaler"
        else _coefficients(str(name), arrays, n_features)
    )
    for attribute, value in {**found, "n_features_in_": n_features}.items():
        setattr(estimator, attribute, value)
    return estimator


_LINEAR = ("LinearRegression", "Ridge", "RidgeCV", "SGDRegressor", *_CLASSIFIERS)


def _changed(estimator: Any) -> dict[str, Any]:
    """Parameters that are not at their defaults, as JSON."""
    defaults = type(estimator)().get_params(deep=False)
    return {
        name: pack_value(value.tolist() if isinstance(value, np.ndarray) else value)
        for name, value in sorted(estimator.get_params(deep=False).items())
        if not (type(value) is type(defaults[name]) and np.all(value == defaults[name]))
    }


def _coefficients(name: str, arrays: Mapping[str, np.ndarray], n_features: int) -> dict[str, Any]:
    coef, intercept = arrays.get("coef_"), arrays.get("intercept_")
    if coef is None or intercept is None:
        raise damaged(f"a learned {name} lacks its coefficients")
    found: dict[str, Any] = {"coef_": coef, "intercept_": intercept}
    rows = coef.shape[:-1]
    shapes = ((), (1,)) if rows == () else (rows, ())
    whole = (
        coef.ndim in (1, 2)
        and coef.shape[-1] == n_features
        and intercept.shape in shapes
        and coef.dtype == intercept.dtype == np.float64
        and np.isfinite(coef).all()
        and np.isfinite(intercept).all()
        and (coef.ndim == 2 or name not in _CLASSIFIERS)
    )
    if not whole:
        raise damaged(f"the coefficients of a learned {name} do not fit")
    if name in _CLASSIFIERS:
        found["classes_"] = labels(arrays, 2 if len(coef) == 1 else len(coef))
    if intercept.ndim == 0:
        found["intercept_"] = float(intercept)
    return found


def _scales(arrays: Mapping[str, np.ndarray], n_features: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (*_SCALER, "var_"):
        found[name] = checked(arrays, name, np.float64) if name in arrays else None
        values = found[name]
        if values is not None and (len(values) != n_features or not np.isfinite(values).all()):
            raise damaged("the scales of a learned StandardScaler do not fit")
    if found["scale_"] is not None and (found["scale_"] == 0).any():
        raise damaged("the scales of a learned StandardScaler do not fit")
    return found


def _pack_pipeline(pipeline: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    steps, arrays = [], {}
    for number, (name, step) in enumerate(pipeline.steps):
        manifest, parts = pack_learner(step)
        steps.append([str(name), manifest])
        arrays.update({f"{number}.{key}": values for key, values in parts.items()})
    return {"learner": "Pipeline", "steps": steps}, arrays


def _unpack_pipeline(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    from sklearn.pipeline import Pipeline

    steps = []
    packed = manifest.get("steps")
    if not isinstance(packed, list) or not packed:
        raise damaged("a learned Pipeline has no steps")
    for number, step in enumerate(packed):
        name, inner = step if isinstance(step, list) and len(step) == 2 else ("", None)
        last = number == len(packed) - 1
        if not isinstance(inner, dict) or not isinstance(name, str) or not name:
            raise damaged("a learned Pipeline has a step that is none")
        if (inner.get("learner") == "StandardScaler") == last or inner.get(
            "learner"
        ) == "Pipeline":
            raise damaged("a learned Pipeline has its steps in no order")
        prefix = f"{number}."
        mine = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        steps.append((name, unpack_learner(inner, mine)))
    if len({int(step.n_features_in_) for _, step in steps}) != 1:
        raise damaged("the steps of a learned Pipeline do not fit each other")
    return Pipeline(steps)
