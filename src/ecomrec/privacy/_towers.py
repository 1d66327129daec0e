"""What a two-tower model holds, and the public vectors of items that it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ecomrec.content import EmbeddingRecommender
from ecomrec.data.catalog import as_catalog
from ecomrec.data.histories import Profiles
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.state import ArrayRule, columns_of


@dataclass(frozen=True, eq=False)
class Towers:
    """What a `DPTwoTower` knows: what was released, and public vectors.

    Attributes
    ----------
    popularity : ndarray of shape (n_items,), float32
    item_vectors : ndarray of shape (n_items, n_factors), float32
        Public; rows of length 1, or zeros.
    user_tower : ndarray of shape (n_factors, n_factors), float32
        From the mean vector of a history, as a row, to a user's factors.
    item_factors : ndarray of shape (n_items, n_factors), float32
        What the item tower makes of the vectors.
    item_biases : ndarray of shape (n_items,), float32
    """

    popularity: np.ndarray
    item_vectors: np.ndarray
    user_tower: np.ndarray
    item_factors: np.ndarray
    item_biases: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n = shop.n_items
        n_inputs, n_factors = columns_of(self.item_vectors), columns_of(self.item_factors)
        return {
            "popularity": ArrayRule((n,)),
            "item_vectors": ArrayRule((n, n_inputs)),
            "user_tower": ArrayRule((n_inputs, n_factors)),
            "item_factors": ArrayRule((n, n_factors)),
            "item_biases": ArrayRule((n,)),
        }

    def users(self, profiles: Profiles) -> np.ndarray:
        """Factors of histories: float32 of shape (n, n_factors)."""
        factors: np.ndarray = (
            shares_of(profiles, len(self.item_vectors)) @ self.item_vectors
        ) @ self.user_tower
        return factors


def shares_of(profiles: Profiles, n_items: int) -> sp.csr_array:
    """Positive weights of each history as shares of their sum, others as 0."""
    indptr, items, weights = profiles
    n = len(indptr) - 1
    owners = np.repeat(np.arange(n), np.diff(indptr))
    shares = np.maximum(weights, 0).astype(np.float64)
    sums = np.bincount(owners, shares, minlength=n)
    shares /= np.where(sums > 0, sums, 1.0)[owners]
    return sp.csr_array((shares.astype(np.float32), items, indptr), shape=(n, n_items))


def item_vectors(
    items: Any,
    catalog: IdMap,
    fields: Mapping[str, float] | None,
    columns: str | Sequence[str] | Mapping[str, float] | None,
    n_factors: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Public vectors of length 1, or zeros: float32 of shape (n_items, n_factors or fewer).

    From texts and columns of vectors as `EmbeddingRecommender` reads them; random directions, or
    those of the axes, where there is nothing to read.
    """
    import pandas as pd

    given = fields is not None or columns is not None
    if items is None or not (given or _says_something(items)):
        if len(catalog) <= n_factors:
            return np.eye(len(catalog), dtype=np.float32)
        return _unit_rows(rng.standard_normal((len(catalog), n_factors)))
    encoder = EmbeddingRecommender(
        fields=fields, vectors=columns, n_factors=n_factors, random_state=rng
    )
    # It wants an event: nobody's, and nothing is learned from it.
    encoder.fit(pd.DataFrame({"user_id": [0], "item_id": [catalog.ids[0]]}), items=items)
    rows = IdMap(encoder.item_ids_, catalog.kind).rows(catalog.ids)
    vectors: np.ndarray = encoder.item_factors_[rows]
    if vectors.shape[1] <= n_factors:
        return vectors
    wide = vectors.astype(np.float64)
    _, directions = np.linalg.eigh(wide.T @ wide)
    return _unit_rows(wide @ directions[:, ::-1][:, :n_factors])


def _says_something(items: Any) -> bool:
    """Whether a table holds more than ids and whether there are any left."""
    return bool(set(as_catalog(items).columns) - {"item_id", "available"})


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float32; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: np.ndarray = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return rows
