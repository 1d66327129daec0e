"""Ranking metrics as scorers for scikit-learn's `cross_validate` and `GridSearchCV`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecomrec.evaluation._relevant import (
    RelevantItems,
    as_lists,
    metric_names,
    per_user,
    relevant_items,
)
from ecomrec.evaluation._tables import Table
from ecomrec.exceptions import DataError

_UNKNOWN = ("skip", "count")


@dataclass(frozen=True)
class RankingScorer:
    """A scorer made by `ranking_scorer`; calling it gives one number per metric.

    Parameters
    ----------
    metric : str or tuple of str
        Names as in `ranking_metrics`.
    k : int
        Length of the lists.
    exclude_seen : bool
        Whether the model leaves out what a user already has.
    unknown : {"skip", "count"}
        What happens to test users that the model has never seen.

    Examples
    --------
    >>> from ecomrec.evaluation import ranking_scorer
    >>> ranking_scorer(["ndcg", "recall"]).metric
    ('ndcg', 'recall')
    """

    metric: str | tuple[str, ...]
    k: int
    exclude_seen: bool
    unknown: str

    def __call__(
        self, estimator: Any, X: Table, y: ArrayLike | None = None
    ) -> float | dict[str, float]:
        """Recommend to the users of a test table and compare with what they took.

        Parameters
        ----------
        estimator : fitted recommender, Pipeline or search
            A `Pipeline` transforms the table first; a search answers with its best estimator.
        X : pandas, Polars or Arrow table
            Test events.
        y : array-like or None
            Weight or rating of each test row, in the place of its column `weight`.

        Returns
        -------
        float, or dict of str to float for several metrics
            Mean over users.

        Raises
        ------
        DataError
            If no user has a test item left.
        TypeError
            If the estimator cannot recommend.
        """
        model, transforms = unwrap(estimator)
        for transform in transforms:
            X = transform.transform(X)
        relevant = relevant_items(X, y)
        n_pairs = len(relevant.users)
        if self.unknown == "skip":
            relevant = known_users(model, relevant)
        n_known = len(relevant.users)
        if self.exclude_seen:
            relevant = relevant.where(~seen_pairs(model, relevant))
        users = relevant.users_left()
        if not len(users):
            raise nothing_left(n_pairs, n_known)
        lists = recommended(model, users, self.k, self.exclude_seen)
        names = metric_names(self.metric)
        values = per_user(lists, users, relevant, names)
        if isinstance(self.metric, str):
            return float(values[self.metric].mean())
        return {name: float(values[name].mean()) for name in names}


def ranking_scorer(
    metric: str | Sequence[str] = "ndcg",
    *,
    k: int = 10,
    exclude_seen: bool = True,
    unknown: str = "skip",
) -> RankingScorer:
    """Scorer of recommendations, for `scoring=` of scikit-learn.

    Parameters
    ----------
    metric : str or sequence of str
        Names as in `ranking_metrics`. With a sequence the scorer recommends once and returns a
        dict, which scikit-learn reads as several metrics.
    k : int
        Length of the lists.
    exclude_seen : bool
        Whether the model leaves out what a user already has. If so, such test items are left out
        too, for no list could hold them; if not, repeats count as hits.
    unknown : {"skip", "count"}
        What happens to test users that the model has never seen: left out, or counted with
        whatever the model answers, an empty list being worth 0.

    Returns
    -------
    RankingScorer
        A callable ``scorer(estimator, X, y=None)`` that pickles.

    Raises
    ------
    ValueError
        If an argument is not valid.

    Notes
    -----
    Test items are distinct pairs with a positive net weight; returned goods are none.
    Users without test items are left out of the mean. If nobody is left the scorer raises
    `DataError`, which scikit-learn turns into NaN with a warning (`error_score`). Items that the
    model does not know stay test items: not showing them is a miss. In a `Pipeline` the test
    table passes through its transforms, so weights made there count.

    Examples
    --------
    >>> from ecomrec.evaluation import ranking_scorer
    >>> ranking_scorer("recall", k=20)
    RankingScorer(metric='recall', k=20, exclude_seen=True, unknown='skip')
    """
    metric_names(metric)
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k must be a positive integer; got {k!r}.")
    if unknown not in _UNKNOWN:
        raise ValueError(f"unknown must be one of {_UNKNOWN}; got {unknown!r}.")
    return RankingScorer(
        metric if isinstance(metric, str) else tuple(metric), int(k), bool(exclude_seen), unknown
    )


def unwrap(estimator: Any) -> tuple[Any, list[Any]]:
    """Find the recommender inside pipelines and searches, and the transforms on the way to it."""
    transforms: list[Any] = []
    while not hasattr(estimator, "recommend"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            steps = [step for _, step in estimator.steps]
            transforms += [one for one in steps[:-1] if one is not None and one != "passthrough"]
            estimator = steps[-1]
        elif hasattr(estimator, "estimator"):  # a search before its fit
            estimator = estimator.estimator
        else:
            raise TypeError(
                f"a recommender with a method recommend is needed; got {type(estimator).__name__}."
            )
    return estimator, transforms


def known_users(model: Any, relevant: RelevantItems) -> RelevantItems:
    """Keep the pairs of users that the model has seen."""
    return relevant.of_users(model.user_ids_)


def seen_pairs(model: Any, relevant: RelevantItems) -> NDArray[np.bool_]:
    """Tell whether the model leaves each pair out because the user already has it."""
    if not len(relevant.users):
        return np.zeros(0, dtype=bool)
    return np.asarray(model.has_seen(relevant.to_frame()), dtype=bool)


def recommended(model: Any, users: NDArray[Any], k: int, exclude_seen: bool) -> NDArray[Any]:
    """Recommend k items to each user; those the model cannot answer are empty."""
    items, _ = model.recommend(users, k=k, exclude_seen=exclude_seen, unknown="skip")
    return as_lists(items, k)


def nothing_left(n_pairs: int, n_known: int) -> DataError:
    """Say why no user has a test item, and what to do."""
    if not n_pairs:
        reason = "the test table has no pair with a positive weight"
    elif not n_known:
        reason = (
            f"none of its {n_pairs} pairs belongs to a user that the model has seen (for a model "
            "that answers strangers pass unknown='count')"
        )
    else:
        reason = (
            f"the users already have the items of all {n_known} pairs of known users (pass "
            "exclude_seen=False to count repeats)"
        )
    return DataError(f"no user has a test item left: {reason}.")
