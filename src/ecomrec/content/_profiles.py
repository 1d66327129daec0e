"""What models share that describe visitors by the mean vector of what they touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecomrec.base import Query, State
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.data.interactions import Interactions
from ecomrec.kernels import sparse
from ecomrec.state import ArrayRule, columns_of
from ecomrec.vectors.factors import FactorModel, Factors


@dataclass(frozen=True, eq=False)
class ProfileFactors(Factors):
    """What models of this kind learn, beside the factors.

    Attributes
    ----------
    history_scales : ndarray of shape (n_items,), float32
        An item of the history counts as its vector times this; 0 for items without a vector.
    head : ndarray of shape (n_factors, n_factors), float32, or None
        Multiplies the mean of the history.
    """

    history_scales: np.ndarray
    head: np.ndarray | None

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_factors = columns_of(self.item_factors)
        return super().array_rules(shop) | {
            "history_scales": ArrayRule((shop.n_items,)),
            "head": ArrayRule((n_factors, n_factors)),
        }


class ProfileModel(FactorModel):
    """Base of models whose visitors are means of item vectors."""

    def _described(
        self, shop: Interactions, rows: np.ndarray, learned: ProfileFactors
    ) -> np.ndarray:
        """Vectors of some users from all that is stored of them."""
        return mean_vectors(stored_profiles(shop, rows), learned, self.n_jobs)

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        return mean_vectors(profiles, state.learned, self.n_jobs)

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        learned: ProfileFactors = state.learned
        history = query.profiles.items
        wanted = learned.item_factors[[item]].astype(np.float64)[0]
        if learned.head is not None:
            wanted = learned.head.astype(np.float64) @ wanted
        alike = learned.item_factors[history] @ wanted * learned.history_scales[history]
        parts = shares_of(query.profiles, learned.history_scales) * alike
        told = parts != 0
        reasons = state.interactions.items.take(history[told]).tolist()
        return ["item"] * len(reasons), reasons, parts[told]


def mean_vectors(profiles: Profiles, learned: ProfileFactors, n_jobs: int | None) -> np.ndarray:
    """Weighted mean of the vectors of each profile: float32, zeros where there is none."""
    lengths = np.diff(profiles.indptr)
    shares = shares_of(profiles, learned.history_scales).astype(np.float32)
    items, vectors, scales = profiles.items, learned.item_factors, learned.history_scales
    if not isinstance(vectors, np.ndarray):
        # Of a compressed model only what is needed is written out.
        used, items = np.unique(items, return_inverse=True)
        items, vectors, scales = items.astype(np.int32), vectors[used], scales[used]
    store = profiles.indptr[:-1], lengths, items, shares
    means: np.ndarray = sparse.product(np.arange(len(lengths)), store, vectors, scales, n_jobs)
    if learned.head is not None:
        means = means @ learned.head
    return means


def shares_of(profiles: Profiles, scales: np.ndarray) -> np.ndarray:
    """Weights of the items that have vectors, as shares of their sum in each profile: float64."""
    indptr, items, weights = profiles
    shares = np.where((weights > 0) & (scales[items] > 0), weights, 0).astype(np.float64)
    n = len(indptr) - 1
    rows = np.repeat(np.arange(n), np.diff(indptr))
    # In units of the largest first: sums of the largest and the smallest floats stay numbers.
    largest = np.zeros(n)
    np.maximum.at(largest, rows, shares)
    shares /= np.where(largest > 0, largest, 1.0)[rows]
    totals = np.bincount(rows, shares, minlength=n)
    return shares / np.where(totals > 0, totals, 1.0)[rows]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float32; rows of zeros stay."""
    sizes = np.abs(vectors).max(axis=1, initial=0)[:, None].astype(np.float64)
    scaled = vectors / np.where(sizes > 0, sizes, 1.0)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    rows: np.ndarray = (scaled / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return rows
