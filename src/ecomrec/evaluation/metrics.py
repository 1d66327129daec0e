"""How well lists and predictions meet what users did next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecomrec.evaluation._relevant import as_lists, metric_names, per_user, relevant_items
from ecomrec.evaluation._tables import Table, ids_array, ids_map
from ecomrec.exceptions import DataError

DEFAULT_METRICS = ("ndcg", "recall", "precision", "hit_rate")


def ranking_metrics(
    items: Any,
    users: ArrayLike,
    test: Table,
    k: int = 10,
    *,
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    seen: Table | None = None,
) -> dict[str, float]:
    """Mean over users of how well recommended lists hit the test items.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    users : array-like of shape (n_users,)
        The user of each list, none twice.
    test : pandas, Polars or Arrow table, or Interactions
        Columns `user_id`, `item_id`, optionally `weight`. Rows of users without a list do not
        count.
    k : int
        Places that count. What comes after them changes nothing; missing ones are misses.
    metrics : str or sequence of str
        Among "ndcg", "recall" (over all test items of the user), "recall_capped" (over at most
        k of them), "precision", "map", "mrr", "hit_rate".
    seen : table, Interactions or None
        Pairs that the lists could not contain, such as the training table when the model leaves
        out what a user already has. They are no test items.

    Returns
    -------
    dict of str to float
        In [0, 1]; NaN when no user has a test item.

    Raises
    ------
    DataError
        If a column is missing, holds missing values, or users repeat.
    ValueError
        If k or a metric's name is not valid.

    Notes
    -----
    Each metric is computed per user and then averaged over the users who have test items; the
    others are left out. A test item is a distinct pair with a positive net weight, as models see
    it in `Interactions`: what came back to the shop is no right answer. The lists are taken as
    they stand, so ties among scores count in the order that the model chose (the lower row
    number). An item that a list holds twice counts at its first place. The formulas, with IDCG
    and MAP over min(k, number of test items), are in `ecomrec._ranking`. Time and memory grow
    with n_users * k plus the rows of `test`.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import ranking_metrics
    >>> test = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "mug", "tea"]})
    >>> lists = [["tea", "pot", "mug"], ["pot", "mug", "cup"]]
    >>> ranking_metrics(lists, ["ann", "bob"], test, k=3, metrics=["recall", "ndcg"])
    {'recall': 0.5, 'ndcg': 0.4598...}
    """
    table = per_user_metrics(items, users, test, k, metrics=metrics, seen=seen)
    means = table.dropna().mean()
    return {str(name): float(means[name]) for name in table.columns}


def per_user_metrics(
    items: Any,
    users: ArrayLike,
    test: Table,
    k: int = 10,
    *,
    metrics: str | Sequence[str] = DEFAULT_METRICS,
    seen: Table | None = None,
) -> pd.DataFrame:
    """Ranking metrics of each user, NaN for users without test items.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    users : array-like of shape (n_users,)
        The user of each list, none twice.
    test : pandas, Polars or Arrow table, or Interactions
        Columns `user_id`, `item_id`, optionally `weight`.
    k : int
        Places that count.
    metrics : str or sequence of str
        Names as in `ranking_metrics`, which averages these rows.
    seen : table, Interactions or None
        Pairs that the lists could not contain. They are no test items.

    Returns
    -------
    pandas.DataFrame of shape (n_users, n_metrics), float64
        Indexed by user, in the order given.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import per_user_metrics
    >>> test = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [10, 11, 10]})
    >>> per_user_metrics([[10, 12], [12, 11]], [1, 2], test, k=2, metrics=["recall", "mrr"])
             recall  mrr
    user_id
    1           0.5  1.0
    2           0.0  0.0
    """
    lists, user_ids = lists_of_users(items, users, k)
    relevant = relevant_items(test)
    if seen is not None:
        relevant = relevant.without_seen(seen)
    values = per_user(lists, user_ids, relevant, metric_names(metrics))
    return pd.DataFrame(values, index=pd.Index(user_ids, name="user_id", tupleize_cols=False))


def rmse(y_true: ArrayLike, y_pred: ArrayLike, *, users: ArrayLike | None = None) -> float:
    """Root of the mean squared error of predicted ratings.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_ratings,)
        Ratings and predictions of the same pairs.
    users : array-like of shape (n_ratings,) or None
        With users, the error of each user first and the mean over users after, so that users with
        many ratings do not outweigh the others.

    Returns
    -------
    float
        0 for perfect predictions, in the unit of the ratings.

    Raises
    ------
    ValueError
        If the lengths differ, there are no ratings, or a value is missing.

    Examples
    --------
    >>> from ecomrec.evaluation import rmse
    >>> rmse([4.0, 2.0, 5.0], [3.0, 2.0, 4.0])
    0.816...
    >>> rmse([4.0, 2.0, 5.0], [3.0, 2.0, 4.0], users=["ann", "ann", "bob"])
    0.853...
    """
    error = _errors(y_true, y_pred)
    return float(np.mean(np.sqrt(_mean_per_user(error**2, users))))


def mae(y_true: ArrayLike, y_pred: ArrayLike, *, users: ArrayLike | None = None) -> float:
    """Mean absolute error of predicted ratings.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_ratings,)
        Ratings and predictions of the same pairs.
    users : array-like of shape (n_ratings,) or None
        With users, the error of each user first and the mean over users after.

    Returns
    -------
    float
        0 for perfect predictions, in the unit of the ratings.

    Raises
    ------
    ValueError
        If the lengths differ, there are no ratings, or a value is missing.

    Examples
    --------
    >>> from ecomrec.evaluation import mae
    >>> mae([4.0, 2.0, 5.0], [3.0, 2.0, 4.0])
    0.666...
    """
    return float(np.mean(_mean_per_user(np.abs(_errors(y_true, y_pred)), users)))


def lists_of_users(items: Any, users: ArrayLike, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read lists and their users as arrays, after a check that they belong together."""
    lists = as_lists(items, k)
    user_ids = ids_array(users, "users")
    if len(lists) != len(user_ids):
        raise DataError(
            f"items must hold one list per user; got {len(lists)} lists and {len(user_ids)} users."
        )
    ids_map(user_ids, "users")
    return lists, user_ids


def _errors(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
    truth = np.asarray(y_true, dtype=np.float64)
    predicted = np.asarray(y_pred, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != predicted.shape or not len(truth):
        raise ValueError(
            "y_true and y_pred must be two equally long lists of at least one rating; "
            f"got shapes {truth.shape} and {predicted.shape}."
        )
    for name, values in (("y_true", truth), ("y_pred", predicted)):
        if np.isnan(values).any():
            raise ValueError(
                f"{name} has {int(np.isnan(values).sum())} missing values. Ranking models answer "
                "NaN for ids they do not know: leave these pairs out or use a rating model."
            )
    return predicted - truth


def _mean_per_user(values: NDArray[np.float64], users: ArrayLike | None) -> NDArray[np.float64]:
    """Return the mean of all values in an array of one, or one mean per user."""
    if users is None:
        return np.array([values.mean()])
    user_ids = ids_array(users, "users")
    if len(user_ids) != len(values):
        raise ValueError(
            f"users must name the user of each rating; got {len(user_ids)} users for "
            f"{len(values)} ratings."
        )
    codes, _ = pd.factorize(user_ids)
    means: NDArray[np.float64] = np.bincount(codes, weights=values) / np.bincount(codes)
    return means
