"""What accuracy does not say: how much of the catalogue is shown, how plain and how varied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from ecomrec.data import Interactions
from ecomrec.data.ids import IdMap, encode_ids
from ecomrec.evaluation._relevant import as_lists, is_filled, relevant_items
from ecomrec.evaluation._tables import Table, ids_array, ids_map, read_interactions
from ecomrec.evaluation.metrics import lists_of_users
from ecomrec.exceptions import DataError

_USERS_PER_BLOCK = 4096


def catalog_coverage(items: Any, catalog: ArrayLike, k: int = 10) -> float:
    """Share of the catalogue that is in at least one list.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    catalog : array-like of shape (n_items,)
        Ids of all items that could be shown. Recommended items outside of it do not count.
    k : int
        Places that count.

    Returns
    -------
    float
        In [0, 1]; 1 when every item is shown to somebody.

    Raises
    ------
    DataError
        If the catalogue is empty.

    Examples
    --------
    >>> from ecomrec.evaluation import catalog_coverage
    >>> catalog_coverage([["tea", "mug"], ["tea", "pot"]], ["tea", "mug", "pot", "cup"], k=2)
    0.75
    """
    return float(np.mean(_exposure(items, catalog, k) > 0))


def gini(items: Any, catalog: ArrayLike, k: int = 10) -> float:
    """How unequally the places of the lists fall on the catalogue.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    catalog : array-like of shape (n_items,)
        Ids of all items that could be shown. Recommended items outside of it do not count.
    k : int
        Places that count.

    Returns
    -------
    float
        0 when every item is shown equally often, 1 - 1 / n_items when one item takes every place,
        NaN when nothing of the catalogue is shown.

    Notes
    -----
    With x_(1) <= ... <= x_(n) the number of times that each item is shown, G =
    sum_i (2 i - n - 1) x_(i) / (n sum_i x_(i)).

    Examples
    --------
    >>> from ecomrec.evaluation import gini
    >>> gini([["tea"], ["tea"], ["mug"]], ["tea", "mug", "pot"], k=1)
    0.444...
    """
    shown = np.sort(_exposure(items, catalog, k))
    n_items, total = len(shown), shown.sum()
    if total == 0:
        return float("nan")
    return float(np.sum((2 * np.arange(1, n_items + 1) - n_items - 1) * shown) / (n_items * total))


def novelty(items: Any, train: Table, k: int = 10) -> float:
    """Mean self-information of the recommended items in bits: rare items tell more.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    train : pandas, Polars or Arrow table, or Interactions
        Columns `user_id`, `item_id`, optionally `weight`: what the model learned from.
    k : int
        Places that count.

    Returns
    -------
    float
        Mean over the items of each list, then over the lists that hold any. From 0 (everybody has
        every item) to log2(number of training users). NaN if all lists are empty.

    Notes
    -----
    -log2(p_i) with p_i the share of the training users who have item i (Zhou et al. 2010). An
    item that nobody has counts as if one user had it.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import novelty
    >>> train = pd.DataFrame({"user_id": [1, 2, 3, 4, 4], "item_id": [7, 7, 7, 7, 8]})
    >>> novelty([[7], [8]], train, k=1)
    1.0
    """
    lists = as_lists(items, k)
    shop = _shop(train)
    counts = np.maximum(_popularity(lists, shop), 1)
    return _mean_of_lists(np.log2(shop.n_users / counts), is_filled(lists))


def popularity_bias(items: Any, users: ArrayLike, train: Table, k: int = 10) -> float:
    """How much more popular the lists are than what the same users chose themselves.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    users : array-like of shape (n_users,)
        The user of each list, none twice.
    train : pandas, Polars or Arrow table, or Interactions
        Columns `user_id`, `item_id`, optionally `weight`: what the model learned from.
    k : int
        Places that count.

    Returns
    -------
    float
        0 when the lists are as popular as the users' own items, 1 when twice as popular, at least
        -1. NaN when no user has both a list and training items.

    Notes
    -----
    (GAP_lists - GAP_profiles) / GAP_profiles (Abdollahpouri et al. 2019), where GAP is the mean
    over users of the mean popularity of their items, and popularity the share of training users
    who have the item. Users without a list or without training items are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import popularity_bias
    >>> train = pd.DataFrame({"user_id": [1, 2, 3, 4], "item_id": ["tea", "tea", "tea", "mug"]})
    >>> popularity_bias([["tea"]], [4], train, k=1)
    2.0
    """
    lists, user_ids = lists_of_users(items, users, k)
    shop = _shop(train)
    filled = is_filled(lists)
    of_lists = _row_means(_popularity(lists, shop), filled)
    chosen = shop.to_scipy() > 0
    n_chosen = np.diff(chosen.indptr)
    of_profiles = chosen @ shop.item_counts / np.maximum(n_chosen, 1)
    rows = shop.users.rows(user_ids)
    both = (np.append(n_chosen, 0)[rows] > 0) & filled.any(axis=1)
    if not both.any():
        return float("nan")
    return float(of_lists[both].mean() / of_profiles[rows[both]].mean() - 1.0)


def intra_list_diversity(items: Any, item_ids: ArrayLike, vectors: Any, k: int = 10) -> float:
    """Mean cosine distance between the items of a list.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    item_ids : array-like of shape (n_items,)
        The item of each row of `vectors`, none twice.
    vectors : array or SciPy sparse matrix of shape (n_items, n_features)
        What describes an item, such as its text or its factors. A zero vector is at distance 1
        from every other.
    k : int
        Places that count.

    Returns
    -------
    float
        Mean over the pairs of each list, then over the lists with at least two items that have a
        vector (items without one are left out). 0 when all are alike, 1 when they share nothing;
        at most 2, with opposite vectors. NaN if no list has a pair.

    Raises
    ------
    DataError
        If `item_ids` and the rows of `vectors` do not belong together.

    Notes
    -----
    1 - sum of cosines / number of pairs. With unit vectors, the sum of cosines over pairs is
    ``(|sum of vectors|^2 - sum of |vector|^2) / 2``, so the cost grows with
    k, not with its square.

    Examples
    --------
    >>> from ecomrec.evaluation import intra_list_diversity
    >>> vectors = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    >>> intra_list_diversity([["tea", "mug", "pot"]], ["tea", "mug", "pot"], vectors, k=3)
    0.666...
    """
    lists = as_lists(items, k)
    ids = ids_map(ids_array(item_ids, "item_ids"), "item_ids")
    unit, length = _unit_rows(vectors)
    if unit.shape[0] != len(ids):
        raise DataError(
            f"item_ids must name each row of vectors; got {len(ids)} ids for {unit.shape[0]} rows."
        )
    at = ids.rows(lists.ravel()).reshape(lists.shape)
    diversity = [
        _diversity(at[start : start + _USERS_PER_BLOCK], unit, length)
        for start in range(0, len(at), _USERS_PER_BLOCK)
    ]
    values = np.concatenate([*diversity, [np.nan]])
    return float(np.mean(values[~np.isnan(values)])) if (~np.isnan(values)).any() else float("nan")


def serendipity(items: Any, users: ArrayLike, test: Table, *, expected: Any, k: int = 10) -> float:
    """Share of the k places that hold a test item which a plain model would not have shown.

    Parameters
    ----------
    items : Recommendations, array of shape (n_users, width) or list of lists
        Recommended item ids, best first. Short lists end in None (integer ids: -1).
    users : array-like of shape (n_users,)
        The user of each list, none twice.
    test : pandas, Polars or Arrow table, or Interactions
        Columns `user_id`, `item_id`, optionally `weight`, as in `ranking_metrics`.
    expected : Recommendations, array or list of lists
        Lists of a plain model for the same users, such as `Popularity`; k places count.
    k : int
        Places that count; a short list is divided by k too.

    Returns
    -------
    float
        In [0, 1], mean over the users with test items. 0 for the lists of the plain model itself.

    Notes
    -----
    ``|relevant and recommended and not expected| / k`` (Ge, Delgado-Battenfeld and Jannach 2010).

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import serendipity
    >>> test = pd.DataFrame({"user_id": [1, 1], "item_id": ["tea", "pot"]})
    >>> serendipity([["tea", "pot"]], [1], test, expected=[["tea", "mug"]], k=2)
    0.5
    """
    lists, user_ids = lists_of_users(items, users, k)
    plain, _ = lists_of_users(expected, users, k)
    relevant = relevant_items(test)
    hits, n_relevant = relevant.hits(lists, user_ids)
    shown = relevant.item_ids.rows(lists.ravel()).reshape(lists.shape)
    plainly = relevant.item_ids.rows(plain.ravel()).reshape(plain.shape)
    first = np.arange(len(lists))[:, np.newaxis] * len(relevant.item_ids)
    surprising = hits & ~np.isin(first + shown, (first + plainly)[plainly >= 0])
    counted = n_relevant > 0
    return float(surprising[counted].mean()) if counted.any() else float("nan")


def _exposure(items: Any, catalog: ArrayLike, k: int) -> NDArray[np.intp]:
    """How many places each item of the catalogue has."""
    _, ids, kind = encode_ids(ids_array(catalog, "catalog"), "catalog")
    if not len(ids):
        raise DataError("catalog must hold at least one item id; got none.")
    rows = IdMap(ids, kind).rows(as_lists(items, k).ravel())
    return np.bincount(rows[rows >= 0], minlength=len(ids))


def _shop(train: Table | Interactions) -> Interactions:
    shop = read_interactions(train, "train")
    if not shop.n_entries:
        raise DataError("the train table must hold at least one event; got none.")
    return shop


def _popularity(lists: NDArray[Any], shop: Interactions) -> NDArray[np.int64]:
    """Count the users of each item in the lists, 0 for unknown ones."""
    rows = shop.items.rows(lists.ravel()).reshape(lists.shape)
    popularity: NDArray[np.int64] = np.append(shop.item_counts, 0)[rows]
    return popularity


def _row_means(values: NDArray[Any], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of the counted values of each row, NaN for a row without any."""
    n_counted = counted.sum(axis=1)
    means = np.full(len(values), np.nan)
    np.divide(np.where(counted, values, 0).sum(axis=1), n_counted, out=means, where=n_counted > 0)
    return means


def _mean_of_lists(values: NDArray[Any], counted: NDArray[np.bool_]) -> float:
    means = _row_means(values, counted)
    means = means[~np.isnan(means)]
    return float(means.mean()) if len(means) else float("nan")


def _unit_rows(vectors: Any) -> tuple[Any, NDArray[np.float64]]:
    """Rows divided by their length, and the squared length after that: 1, or 0 for a zero row."""
    matrix: Any
    is_sparse = bool(sparse.issparse(vectors))  # keeps mypy from narrowing what it cannot type
    if is_sparse:
        matrix = sparse.csr_array(vectors, dtype=np.float64)
        norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    else:
        matrix = np.asarray(vectors, dtype=np.float64)
        if matrix.ndim != 2:
            raise DataError(
                "vectors must have shape (n_items, n_features); "
                f"got an array of shape {matrix.shape}."
            )
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.diags_array(scale) @ matrix, (norms > 0).astype(np.float64)


def _diversity(
    at: NDArray[np.intp], unit: Any, squared_length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Diversity of each list of row numbers; NaN with fewer than two."""
    rows, places = np.nonzero(at >= 0)
    chosen = at[rows, places]
    pick = sparse.csr_array((np.ones(len(chosen)), (rows, chosen)), shape=(len(at), unit.shape[0]))
    sums = pick @ unit
    total = sums.multiply(sums).sum(axis=1) if hasattr(sums, "multiply") else (sums**2).sum(axis=1)
    cosines = (np.asarray(total).ravel() - pick @ squared_length) / 2
    n_items = np.bincount(rows, minlength=len(at))
    n_pairs = n_items * (n_items - 1) / 2
    mean_cosine = np.full(len(at), np.nan)
    np.divide(cosines, n_pairs, out=mean_cosine, where=n_pairs > 0)
    return np.clip(1.0 - mean_cosine, 0.0, 2.0)
