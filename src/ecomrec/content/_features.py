"""Sparse features of items (words, attributes): how they are kept, made and put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.data.histories import Profiles
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import assemble, neighbors
from ecomrec.state import ArrayRule

_NO_TIMES = np.empty(0, dtype=np.int64)


class Texts(NamedTuple):
    """What a table says of some items: row r of the batch is item row ``items[r]``.

    Attributes
    ----------
    items : ndarray of shape (n,), int64
    indptr, features, strengths : ndarray, int64, int32, float32
        Features of each of them, rising, and how strongly it has them before any weighting.
    """

    items: np.ndarray
    indptr: np.ndarray
    features: np.ndarray
    strengths: np.ndarray


@dataclass(frozen=True, eq=False)
class Features:
    """What models of sparse features learn.

    Attributes
    ----------
    fields : dict of str to float
        Columns of the items table, and their weights.
    vocabulary : IdMap of str
        Names of the features.
    rows : RowStore of shape (n_items, n_features)
        Strengths as they were read, and weights: rows of length 1, or empty ones.
    postings : RowStore of shape (n_features, n_items)
        The weights by feature.
    counts : ndarray of shape (n_features,), int64
        How many items have each feature.
    rarity : ndarray of shape (n_features,), float64
        Factor of each feature, 0 for those that do not count; as of the last fit or refresh.
    mean_length : float
        Mean sum of strengths of the items that have any; as of the last fit or refresh.
    """

    fields: dict[str, float]
    vocabulary: IdMap
    rows: RowStore
    postings: RowStore
    counts: np.ndarray
    rarity: np.ndarray
    mean_length: float

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n = len(self.vocabulary)
        return {"counts": ArrayRule((n,)), "rarity": ArrayRule((n,))}

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        n = len(self.vocabulary)
        return {"rows": (shop.n_items, n), "postings": (n, shop.n_items)}

    @computed_once
    def _derived(self) -> dict[str, np.ndarray]:
        """What is computed when it is first asked for; every state has its own `Features`."""
        return {}


def nothing(fields: Mapping[str, float]) -> dict[str, Any]:
    """What is known before anything is learned: arguments of `Features`."""
    empty = np.zeros(1, dtype=np.int64)
    integers, values = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    return {
        "fields": dict(fields),
        "vocabulary": IdMap(np.empty(0, dtype=object), "str"),
        "rows": RowStore.from_csr(empty, (integers, values, values.copy())),
        "postings": RowStore.from_csr(empty, (integers.copy(), values.copy())),
        "counts": np.empty(0, dtype=np.int64),
        "rarity": np.empty(0),
        "mean_length": 0.0,
    }


def grown(known: Any, n_items: int) -> Any:
    """What is known with rows for more items; another object in any case."""
    if known.rows.n_rows == n_items:
        return replace(known)
    nobody = np.empty(0, dtype=np.int64)
    return replace(
        known,
        rows=known.rows.append(nobody, *no_rows(known.rows), n_rows=n_items),
    )


def with_texts(known: Any, texts: Texts) -> Any:
    """What is known with these strengths and no others, not weighed yet."""
    lengths = np.zeros(known.rows.n_rows, dtype=np.int64)
    lengths[texts.items] = np.diff(texts.indptr)
    indptr = assemble.offsets(lengths)
    columns = tuple(np.empty(indptr[-1], dtype=v.dtype) for v in texts[2:])
    for values, target in zip(texts[2:], columns, strict=True):
        assemble.move_rows(
            texts.indptr[:-1], np.diff(texts.indptr), indptr[:-1][texts.items], values, target
        )
    return replace(known, rows=RowStore.from_csr(indptr, (*columns, np.zeros_like(columns[1]))))


def profiles_of(
    known: Features, profiles: Profiles, n_jobs: int | None
) -> tuple[neighbors.Rows, np.ndarray]:
    """Weighted sums of the items that visitors touched, as rows of length 1, and their lengths."""
    n = len(profiles.indptr) - 1
    row_of = np.repeat(np.arange(n), np.diff(profiles.indptr))
    good = profiles.weights > 0
    items, shares = profiles.items[good], profiles.weights[good].astype(np.float64)
    at, (features, _, weights) = known.rows.take(items)
    lengths = np.diff(at)
    values = weights * np.repeat(shares, lengths)
    per_row = np.bincount(row_of[good], weights=lengths, minlength=n).astype(np.int64)
    indptr = assemble.offsets(per_row)
    lengths, sums = assemble.merge_weights(indptr, features, values, _NO_TIMES, n_jobs)
    indptr = assemble.compact(indptr, lengths, [features, sums])
    features, sums = features[: indptr[-1]], sums[: indptr[-1]]
    weights, norms = unit_rows(indptr, sums.astype(np.float64))
    return neighbors.Rows(indptr, features, weights), norms


def combined(items: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Texts:
    """Add up several descriptions of the same items: (place, feature, strength) of each entry."""
    parts = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32), np.empty(0)), *parts]
    at, order = assemble.group_by_row(np.concatenate([part[0] for part in parts]), len(items))
    features = np.concatenate([part[1] for part in parts])[order].astype(np.int32)
    strengths = np.concatenate([part[2] for part in parts])[order].astype(np.float64)
    lengths, sums = assemble.merge_weights(at, features, strengths, _NO_TIMES, 1)
    at = assemble.compact(at, lengths, [features, sums])
    return Texts(items, at, features[: at[-1]], sums[: at[-1]])


def canonical(vocabulary: IdMap, features: np.ndarray) -> tuple[IdMap, np.ndarray, int]:
    """The features that occur, in the order of their names, and their new numbers."""
    used = np.zeros(len(vocabulary), dtype=bool)
    used[features] = True
    kept = np.flatnonzero(used)
    names = vocabulary.ids[kept]
    order = np.argsort(names, kind="stable")
    numbers = np.empty(len(vocabulary), dtype=np.int32)
    numbers[kept[order]] = np.arange(len(kept), dtype=np.int32)
    return IdMap(names[order], "str"), numbers[features], len(kept)


def transposed(
    starts: np.ndarray, lengths: np.ndarray, columns: np.ndarray, values: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A matrix by its columns, as starts, lengths, rows (rising) and values."""
    at, rows, data = assemble.transpose(starts, lengths, columns, values, n)
    return at[:-1], np.diff(at).astype(np.int32), rows, data


def unit_rows(indptr: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows divided by their lengths (float32), and these (float64); zeros stay."""
    row_of = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    norms = np.sqrt(np.bincount(row_of, weights=values**2, minlength=len(indptr) - 1))
    scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return (values * scales[row_of]).astype(np.float32), norms


def without_zeros(
    indptr: np.ndarray, columns: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kept = values > 0
    if kept.all():
        return indptr, columns, values
    ends = np.concatenate(([0], np.cumsum(kept)))
    return ends[indptr], columns[kept], values[kept]


def no_rows(store: RowStore) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """What to append to no row."""
    return np.zeros(1, dtype=np.int64), tuple(v[:0] for v in store.columns)


def padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate((values, np.zeros(length - len(values), dtype=values.dtype)))


def found_rows(items: np.ndarray, scores: np.ndarray) -> neighbors.Rows:
    """Rows of found items without their fill."""
    kept = items >= 0
    return neighbors.Rows(assemble.offsets(kept.sum(axis=1)), items[kept], scores[kept])
