"""Whether a recommender knows anything of a visitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecomrec.base import BaseRecommender, Query, State
from ecomrec.cf.popularity import group_label
from ecomrec.composite import CompositeRecommender
from ecomrec.kernels import ranking
from ecomrec.requests import strangers, taken

# So many items of two lists are compared; scores are alike that differ by no more than this share
# of the largest.
_N_COMPARED, _ALIKE = 20, 1e-4


def as_anybody(
    model: CompositeRecommender, state: State, query: Query, said: Mapping[str, list[Any]]
) -> np.ndarray:
    """Rows without evidence that the first part answers as it does any stranger."""
    part, (indptr, items, weights) = state.learned.parts[0], query.profiles
    evidence = (weights > 0) & (state.interactions.item_counts[items] > 0)
    alike: np.ndarray = np.diff(np.concatenate(([0], np.cumsum(evidence)))[indptr]) == 0
    # Without a history a model knows the users table at most: what is said goes before that.
    known = query.users >= 0
    for values in said.values():
        known &= np.array([group_label(value) is None for value in values], dtype=bool)
    rows = np.flatnonzero(alike & (known | (np.diff(indptr) > 0)))
    if len(rows):
        usual = part._top_k(part._state, strangers(1), _N_COMPARED, ranking.no_mask(1))
        asked, mask = taken(query, ranking.no_mask(len(alike)), rows)
        asked = model._asked_of(state, 0, asked)
        lists = part._top_k(part._state, asked, _N_COMPARED, mask)
        alike[rows] = are_alike(usual, lists, state.interactions.n_items)
    return alike


def are_alike(
    usual: tuple[np.ndarray, np.ndarray], lists: tuple[np.ndarray, np.ndarray], n_items: int
) -> np.ndarray:
    """Which lists are the usual one, whatever the order of ties; no evidence counts 0."""
    worth, scores = np.nan_to_num(usual[1][0]), np.nan_to_num(lists[1])
    limit = _ALIKE * np.abs(worth).max()
    # What ties with the last one may stand in its place.
    expected = np.full(n_items + 1, worth[-1])
    expected[usual[0][0]] = worth
    expected[-1] = 0
    same = (np.abs(scores - worth) <= limit) & (np.abs(scores - expected[lists[0]]) <= limit)
    alike: np.ndarray = same.all(axis=1)
    return alike


def has_answer(part: BaseRecommender, query: Query, shown: ranking.Mask) -> np.ndarray:
    """Whether a part knows anything of each row, whatever may be shown."""
    found, _ = part._top_k(part._state, query, 1, ranking.no_mask(len(query.users)))
    knows: np.ndarray = found[:, 0] >= 0
    return knows
