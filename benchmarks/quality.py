"""Recall@k and NDCG@k over the full catalogue, mean over users."""

import numpy as np


def recall_and_ndcg(
    items: np.ndarray, users: np.ndarray, test_users: np.ndarray, test_items: np.ndarray
) -> tuple[float, float]:
    """Return Recall and NDCG at ``items.shape[1]`` of lists for `users`.

    The lists count in the order they came; -1 fills the end of a short one and is never a hit.
    Recall divides by the number of test items of the user, the ideal of NDCG holds at most k.
    """
    k = items.shape[1]
    rows = np.searchsorted(users, test_users)
    known = users[np.minimum(rows, len(users) - 1)] == test_users
    rows, wanted = rows[known], test_items[known]
    width = int(max(items.max(), wanted.max())) + 1
    pairs = np.unique(rows * width + wanted)
    hits = np.isin(np.arange(len(users))[:, None] * width + items, pairs) & (items >= 0)
    n_wanted = np.bincount(pairs // width, minlength=len(users))

    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discounts)))[np.minimum(n_wanted, k)]
    recall = hits.sum(axis=1) / n_wanted
    ndcg = hits @ discounts / ideal
    return float(recall.mean()), float(ndcg.mean())
