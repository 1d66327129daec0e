"""Promises that a model does not make, each with its reason."""

from __future__ import annotations

import inspect

from ecomrec.base import BaseRecommender
from ecomrec.composite import CompositeRecommender, WrappingRecommender

# A name in brackets limits an exception to models on which that parameter is not at its default,
# or has the value given.
_FROZEN = "averages over the whole shop stay as they were until refresh()"
_STAY = {"check_partial_fit_equals_fit": "weights between items stay as they were until refresh()"}
_NO_ACCOUNT = "a visitor without an account has no friends"
_LATER = "what is learned from the latest events stays until the next fit"
_LEARNED = {
    "check_refresh_equals_fit": _LATER,
    "check_partial_fit_on_unfitted_is_fit": _LATER,
    "check_partial_fit_takes_matrices": _LATER,
    "check_half_life_forgets_slowly": "the order of time decides which events are the latest",
}
_DRAWN = "new items come where they are drawn"
_PLACED = "a new item takes the score of its place"
_RANKED = {
    "check_refresh_equals_fit": "what was learned to rank by stays until the next fit",
    "check_partial_fit_on_unfitted_is_fit": "what was learned to rank by stays until the next fit",
    "check_partial_fit_takes_matrices": "what was learned to rank by stays until the next fit",
    "check_partial_fit_equals_fit": "what was learned to rank by stays until the next fit",
}
_ANSWERED = "strangers are answered"
_SAME = "everyone gets the same list: it does not personalise"
_MODELS_OWN = "predict and explain tell of the model's score, lists of what an item adds to them"
EXCEPTIONS: dict[str, dict[str, str]] = {
    "Blend(weights='learned')": _LEARNED,
    "Blend(weights='evidence')": _LEARNED,
    "Blend(normalize='probability')": _LEARNED,
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
    "Popularity": {"check_recovers_checkerboard": _SAME},
    "Popularity(group)": {
        "check_history_equals_stored_user": "a visitor without an account has no group",
        "check_history_joins_stored_events": "a visitor without an account has no group",
    },
    "DPPopularity": {"check_unknown_history_is_ignored_or_named": _ANSWERED},
    "DPTopK": {"check_unknown_history_is_ignored_or_named": _ANSWERED},
    "DPPopularity(epsilon=inf)": {"check_recovers_checkerboard": _SAME},
    "DPTopK(epsilon=inf)": {"check_recovers_checkerboard": _SAME},
    "EmbeddingRecommender": {
        "check_partial_fit_equals_fit": "what texts and events taught stays until refresh()",
    },
    "Item2Vec": {"check_partial_fit_equals_fit": "items known at the fit stay until refresh()"},
    "Explore": {
        "check_ids_are_only_labels": "which new items are drawn depends on their ids",
        "check_items_without_evidence_come_by_popularity": _DRAWN,
        "check_candidates_are_respected": _PLACED,
        "check_predict_equals_recommended_score": _PLACED,
        "check_explanation_adds_up": _PLACED,
        "check_to_frame_is_tidy": "the table also says what was explored, and with which chance",
    },
    "Friends": {
        "check_history_equals_stored_user": _NO_ACCOUNT,
        "check_history_joins_stored_events": _NO_ACCOUNT,
        "check_explaining_strangers_is_refused": _NO_ACCOUNT,
        "check_beats_popularity": "nobody knows who knows whom in that shop",
    },
    "ColdStart": {
        "check_unknown_user_is_named": _ANSWERED,
        "check_unknown_history_is_ignored_or_named": _ANSWERED,
        "check_forgotten_ids_leave_no_trace": f"{_ANSWERED}, forgotten ones too",
        "check_items_without_evidence_come_by_popularity": "places left free go to the next path",
        "check_to_frame_is_tidy": "the table also says which path answered",
    },
    "Nearby": {"check_beats_popularity": "nobody knows where that shop is"},
    "Item2Vec(window)": {
        "check_half_life_forgets_slowly": "the order of time decides who stands beside whom",
    },
    "ItemKNN(weighting)": {"check_partial_fit_equals_fit": _FROZEN},
    "PureSVD": {"check_partial_fit_equals_fit": "directions stay until refresh()"},
    "Complementary": {
        "check_half_life_forgets_slowly": "a pause between two events is the end of a basket",
        "check_recovers_checkerboard": "what is held out there is of the history's own category",
    },
    "Reranked": {
        "check_candidates_are_respected": "what an item adds depends on what else may be shown",
        "check_predict_equals_recommended_score": _MODELS_OWN,
        "check_explanation_adds_up": _MODELS_OWN,
        "check_explaining_strangers_is_refused": _MODELS_OWN,
    },
    "Switch(rule='known')": {
        "check_history_equals_stored_user": "another part answers visitors without an account",
        "check_history_joins_stored_events": "another part answers visitors without an account",
    },
    "SVD": {"check_partial_fit_equals_fit": "only the rows that a batch touches move"},
    "UserKNN(weighting)": {"check_partial_fit_equals_fit": _FROZEN},
    # The logs of the checks are too small to learn from, unless a single event is enough.
    "Stacking(min_positives)": _RANKED,
    "TwoStage(min_positives)": _RANKED
    | {
        "check_recovers_checkerboard": "a ranker of twenty lists knows little",
        "check_half_life_forgets_slowly": "what came last is what it learns from",
    },
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
            found.update(EXCEPTIONS.get(f"{name}({parameter}={value!r})", {}))
    if isinstance(model, WrappingRecommender):  # it keeps and breaks the promises of its part
        found = exceptions_for(model._parts()[0][1]) | found
    elif isinstance(model, CompositeRecommender):
        grows = "check_partial_fit_equals_fit"
        for _, part in model._parts():
            # Friends tell of accounts, whatever stands beside them.
            theirs = exceptions_for(part).items()
            found = {k: v for k, v in theirs if k == grows or v == _NO_ACCOUNT} | found
    return found
