"""Accuracy in slices: of users by length of history, of test items by popularity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec._rng import RandomState, make_rng
from ecomrec.data.ids import IdMap, encode_ids
from ecomrec.data.tables import ITEM, USER
from ecomrec.evaluation._intervals import interval_table, n_resamplings
from ecomrec.evaluation._relevant import per_user, relevant_items
from ecomrec.evaluation._tables import Table, read_column, read_table
from ecomrec.evaluation.comparison import NEW_ITEMS, Comparison
from ecomrec.evaluation.scoring import recommended, seen_pairs, unwrap


def accuracy_by_history(
    result: Comparison,
    train: Table,
    *,
    bins: Sequence[int] = (0, 1, 2, 5, 10, 20, 50),
    n_bootstrap: int = 1000,
    random_state: RandomState = 0,
) -> pd.DataFrame:
    """Accuracy by history length: how good is each model for newcomers and for regulars.

    Parameters
    ----------
    result : Comparison
        What `compare` returned. With its ``unknown="count"`` users without any training event
        are there too.
    train : pandas, Polars or Arrow table
        The training events of that comparison.
    bins : sequence of int
        The number of training events that each slice starts with, rising; the last is open.
        Users with fewer than the first are left out.
    n_bootstrap : int
        Number of resamplings behind each interval.
    random_state : None, int, Generator or RandomState
        An integer gives the same intervals again.

    Returns
    -------
    pandas.DataFrame
        One row per variant, slice with a test user, and model: the columns `variant`, `history`
        (such as "0", "2-4", "50+"), `model`, `n_users`, and for each metric its mean, interval,
        difference to the baseline and verdict, named as in `Comparison.to_frame`.

    Raises
    ------
    DataError
        If a column is missing or holds missing values.
    ValueError
        If an argument is not valid.

    Notes
    -----
    Every row of `train` counts as an event, a return too. Slices are small where users are few:
    look at the intervals, which are resampled over the users of the slice, for all models
    the same ones. Users differ in more than the length of their history: who has bought more also
    has other test items.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.evaluation import accuracy_by_history, compare
    >>> train = pd.DataFrame(
    ...     {"user_id": [1, 1, 2, 2, 3], "item_id": ["tea", "mug", "tea", "pot", "tea"]})
    >>> test = pd.DataFrame({"user_id": [1, 2, 3], "item_id": ["pot", "mug", "pot"]})
    >>> result = compare({"popular": Popularity()}, train, test, k=1, metrics="recall")
    >>> accuracy_by_history(result, train)[["history", "model", "n_users", "recall"]]
      history    model  n_users  recall
    0       1  popular        1     0.0
    1     2-4  popular        2     1.0
    """
    edges = _checked_bins(bins)
    rng, n_bootstrap = make_rng(random_state), n_resamplings(n_bootstrap)
    tables = []
    for variant, rows in result.per_user.groupby("variant", sort=False):
        models = {str(name): of for name, of in rows.groupby("model", sort=False)}
        users = models[result.baseline][USER].tolist()
        slices = np.searchsorted(edges, _counts(train, USER, users), side="right") - 1
        for number in np.unique(slices[slices >= 0]):
            inside = slices == number
            values = {
                name: of[result.metrics].to_numpy(dtype=np.float64)[inside]
                for name, of in models.items()
            }
            tables.append(_rows(result, values, str(variant), n_bootstrap, rng))
            tables[-1].insert(1, "history", _label(edges, number))
    return _stacked(tables, ["variant", "history", "model", "n_users"], result.metrics)


def accuracy_by_popularity(
    result: Comparison,
    train: Table,
    test: Table,
    *,
    bins: Sequence[int] = (0, 1, 10, 100, 1000),
    n_bootstrap: int = 1000,
    random_state: RandomState = 0,
) -> pd.DataFrame:
    """Accuracy by item popularity: which test items are found, cold ones counted separately.

    Parameters
    ----------
    result : Comparison
        What `compare` returned. Its models are asked once more.
    train, test : pandas, Polars or Arrow tables
        The events of that comparison.
    bins : sequence of int
        The number of training events of an item that each slice starts with, rising; the last is
        open. Items with fewer than the first are left out.
    n_bootstrap : int
        Number of resamplings behind each interval.
    random_state : None, int, Generator or RandomState
        An integer gives the same intervals again.

    Returns
    -------
    pandas.DataFrame
        One row per variant, slice with a test item, and model: the columns `variant`,
        `popularity` (such as "0", "1-9", "1000+"), `model`, `n_items` and `n_pairs` (distinct
        test items and pairs), `n_users` (who have them), and for each metric its mean over these
        users, interval, difference to the baseline and verdict.

    Raises
    ------
    DataError
        If a column is missing or holds missing values.
    ValueError
        If an argument is not valid.

    Notes
    -----
    The lists stay whole, and the test items of a slice are the only right answers: recall is the
    share of them that is found, for each user first, then the mean. Slice "0" holds cold items,
    which no training event names: a model can find them only if the side table `items` of the
    comparison lists them. Every row of `train` counts as an event.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.evaluation import accuracy_by_popularity, compare
    >>> train = pd.DataFrame(
    ...     {"user_id": [1, 1, 2, 2, 3], "item_id": ["tea", "mug", "tea", "pot", "tea"]})
    >>> test = pd.DataFrame({"user_id": [1, 2, 3, 3], "item_id": ["pot", "mug", "pot", "jar"]})
    >>> result = compare({"popular": Popularity()}, train, test, k=2, metrics="recall")
    >>> table = accuracy_by_popularity(result, train, test)
    >>> table[["popularity", "model", "n_items", "n_pairs", "n_users", "recall"]]
      popularity    model  n_items  n_pairs  n_users  recall
    0          0  popular        1        1        1     0.0
    1        1-9  popular        2        3        3     1.0
    """
    edges = _checked_bins(bins)
    rng, n_bootstrap = make_rng(random_state), n_resamplings(n_bootstrap)
    recommenders = {name: unwrap(model)[0] for name, model in result.models.items()}
    tables = []
    for variant, rows in result.per_user.groupby("variant", sort=False):
        fresh = variant == NEW_ITEMS
        relevant = relevant_items(test)
        relevant = relevant.of_users(rows.loc[rows["model"] == result.baseline, USER].tolist())
        for model in recommenders.values() if fresh else ():
            relevant = relevant.where(~seen_pairs(model, relevant))
        users = relevant.users_left()
        lists = {
            name: recommended(model, users, result.k, fresh)
            for name, model in recommenders.items()
        }
        counts = _counts(train, ITEM, relevant.item_ids.ids)
        slices = (np.searchsorted(edges, counts, side="right") - 1)[relevant.items]
        for number in np.unique(slices[slices >= 0]):
            wanted = relevant.where(slices == number)
            values = {}
            for name, shown in lists.items():
                found = np.column_stack([*per_user(shown, users, wanted, result.metrics).values()])
                values[name] = found[~np.isnan(found[:, 0])]
            tables.append(_rows(result, values, str(variant), n_bootstrap, rng))
            tables[-1].insert(1, "popularity", _label(edges, number))
            tables[-1].insert(2, "n_items", len(np.unique(wanted.items)))
            tables[-1].insert(3, "n_pairs", len(wanted.items))
    names = ["variant", "popularity", "model", "n_items", "n_pairs", "n_users"]
    return _stacked(tables, names, result.metrics)


def _rows(
    result: Comparison,
    values: dict[str, NDArray[np.float64]],
    variant: str,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Means, intervals and verdicts of one slice."""
    return interval_table(
        values, None, variant, result.metrics, result.baseline, n_bootstrap, rng
    ).reset_index()


def _stacked(tables: list[pd.DataFrame], first: list[str], metrics: list[str]) -> pd.DataFrame:
    """Slices one after the other, with some columns first; no rows where there are no slices."""
    if not tables:
        return pd.DataFrame(columns=[*first, *metrics])
    table = pd.concat(tables, ignore_index=True)
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _counts(table: Table, column: str, ids: Any) -> NDArray[np.int64]:
    """Number of rows of a table that hold each id."""
    codes, known, kind = encode_ids(
        read_column(read_table(table, "train"), column, "train"), column
    )
    rows = IdMap(known, kind).rows(ids)
    counts: NDArray[np.int64] = np.append(np.bincount(codes, minlength=len(known)), 0)[rows]
    return counts


def _label(edges: NDArray[np.int64], number: int) -> str:
    """Name of a slice: "0", "2-4" or "50+"."""
    if number == len(edges) - 1:
        return f"{edges[number]}+"
    low, high = edges[number], edges[number + 1] - 1
    return str(low) if low == high else f"{low}-{high}"


def _checked_bins(bins: Sequence[int]) -> NDArray[np.int64]:
    edges = np.asarray(bins)
    if edges.ndim != 1 or not len(edges) or edges.dtype.kind not in "iu" or edges[0] < 0:
        raise ValueError(f"bins must be whole numbers from 0, such as (0, 1, 5); got {bins!r}.")
    if (np.diff(edges.astype(np.int64)) <= 0).any():
        raise ValueError(f"bins must rise; got {bins!r}.")
    return edges.astype(np.int64)
