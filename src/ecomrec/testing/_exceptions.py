"""Promises that a model does not make, each with its reason."""

from __future__ import annotations

import inspect

from ecomrec.base import BaseRecommender
from ecomrec.composite import CompositeRecommender, WrappingRecommender

# A name in brackets limits an exception to models on which that parameter is not at its default.
_FROZEN = "averages over the whole shop stay as they were until refresh()"
_STAY = {"check_partial_fit_equals_fit": "weights between items stay as they were until refresh()"}
_NO_ACCOUNT = "a visitor without an account has no friends"
EXCEPTIONS: dict[str, dict[str, str]] = {
    "EASE": _STAY,
    "GraphFilter": _STAY,
    "SLIM": _STAY,
    "AttributeRecommender": {
        "check_partial_fit_equals_fit": _FROZEN,
        "check_beats_popularity": "prices are the only attributes of that shop",
    },
    "TfidfRecommender": {"check_partial_fit_equals_fit": _FROZEN},
    "ALS": {"check_partial_fit_equals_fit": "only the rows that a batch touches move"},
    "BPR": {"check_partial_fit_equals_fit": "items known at the fit stay until refresh()"},
    "Popularity": {
        "check_recovers_checkerboard": "everyone gets the same list: it does not personalise",
    },
    "Popularity(group)": {
        "check_history_equals_stored_user": "a visitor without an account has no group",
        "check_history_joins_stored_events": "a visitor without an account has no group",
    },
    "EmbeddingRecommender": {
        "check_partial_fit_equals_fit": "what texts and events taught stays until refresh()",
    },
    "Item2Vec": {"check_partial_fit_equals_fit": "items known at the fit stay until refresh()"},
    "Friends": {
        "check_history_equals_stored_user": _NO_ACCOUNT,
        "check_history_joins_stored_events": _NO_ACCOUNT,
        "check_explaining_strangers_is_refused": _NO_ACCOUNT,
        "check_beats_popularity": "nobody knows who knows whom in that shop",
    },
    "Nearby": {"check_beats_popularity": "nobody knows where that shop is"},
    "Item2Vec(window)": {
        "check_half_life_forgets_slowly": "the order of time decides who stands beside whom",
    },
    "ItemKNN(weighting)": {"check_partial_fit_equals_fit": _FROZEN},
    "PureSVD": {"check_partial_fit_equals_fit": "directions stay until refresh()"},
    "SVD": {"check_partial_fit_equals_fit": "only the rows that a batch touches move"},
    "UserKNN(weighting)": {"check_partial_fit_equals_fit": _FROZEN},
}


def exceptions_for(model: BaseRecommender) -> dict[str, str]:
    """Return the checks that a model of this library is not meant to pass.

    Parameters
    ----------
    model : BaseRecommender

    Returns
    -------
    dict of str to str
        Names of checks, and why. `check_recommender` leaves these out.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.testing import exceptions_for
    >>> exceptions_for(Popularity())
    {'check_recovers_checkerboard': 'everyone gets the same list: it does not personalise'}
    """
    name = type(model).__name__
    found = dict(EXCEPTIONS.get(name, {}))
    defaults = inspect.signature(type(model)).parameters
    for parameter, value in model.get_params(deep=False).items():
        if value != defaults[parameter].default:
            found.update(EXCEPTIONS.get(f"{name}({parameter})", {}))
    if isinstance(model, WrappingRecommender):  # it keeps and breaks the promises of its part
        found = exceptions_for(model._parts()[0][1]) | found
    elif isinstance(model, CompositeRecommender):
        grows = "check_partial_fit_equals_fit"
        for _, part in model._parts():
            found = {k: v for k, v in exceptions_for(part).items() if k == grows} | found
    return found
