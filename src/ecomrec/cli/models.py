"""Models by the names that people type."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from ecomrec._registry import ESTIMATORS
from ecomrec._validation import check_params
from ecomrec.cli.errors import InputError, as_input_error

_SHORTER = {
    "popularity": "popular",
    "tfidf-recommender": "tfidf",
    "attribute-recommender": "attributes",
}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CONSTANTS = {"true": True, "false": False}


def model_names() -> dict[str, str]:
    """Return what each estimator is called here: name to class name, such as item-knn: ItemKNN.

    Private models are not among them: they know no users to recommend to, and every fit spends.
    """
    named = [name for name, home in ESTIMATORS.items() if home != "ecomrec.privacy"]
    names = {_WORDS.sub("-", name).lower(): name for name in named}
    return {_SHORTER.get(name, name): class_name for name, class_name in names.items()}


def find_model(name: str) -> tuple[str, type[Any]]:
    """Find an estimator by its name here or that of its class: the name here, and the class."""
    plain = re.sub(r"[-_ ]", "", name).lower()
    for known, class_name in model_names().items():
        if plain in (known.replace("-", ""), class_name.lower()):
            return known, getattr(import_module(ESTIMATORS[class_name]), class_name)
    raise InputError(f"there is no model {name!r}. Models: {', '.join(model_names())}.")


def make_model(name: str, assignments: Sequence[str] = ()) -> Any:
    """Make an unfitted model from its name and assignments such as ``n_neighbors=50``."""
    known, estimator = find_model(name)
    params = {}
    for assignment in assignments:
        parameter, equals, value = assignment.partition("=")
        if not equals or not parameter.strip():
            raise InputError(
                f"--param must look like n_neighbors=50, a name and a value; got {assignment!r}."
            )
        params[parameter.strip()] = _value(value.strip())
    accepted = estimator._get_param_names()
    unknown = [name for name in params if name not in accepted]
    if unknown:
        raise InputError(
            f"{known} has no parameter {unknown[0]!r}. Parameters: {', '.join(accepted)}."
        )
    try:
        model = estimator(**params)
    except TypeError as error:
        raise InputError(
            f"{known} cannot be made from the command line: {error}. Use it from Python."
        ) from error
    with as_input_error():
        check_params(known, estimator._param_rules, model.get_params(deep=False))
    return model


def _value(text: str) -> Any:
    """Read a number, None, True or False (in any case) as such, and anything else as text."""
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
