"""Items as sparse rows of features (words, attributes), and recommendations made from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.content._features import (
    Features,
    Texts,
    canonical,
    found_rows,
    grown,
    no_rows,
    padded,
    profiles_of,
    transposed,
    unit_rows,
    with_texts,
    without_zeros,
)
from ecomrec.content._fields import fields_of_batch, place_of
from ecomrec.data.catalog import Catalog, as_catalog
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import assemble, neighbors, products, ranking, sparse

# Users whose profiles are made at a time when all are needed.
_BLOCK = 4096


class FeatureModel(BaseRecommender):
    """Base of models whose score is the cosine of a visitor's profile and an item.

    A subclass writes `_read` (a catalogue to features), `_rarities` and `_weights`.
    """

    _learned_types: ClassVar[tuple[type, ...]] = (Features,)
    _reads_items: ClassVar[bool] = True
    #: What `explain` calls a feature.
    _kind: ClassVar[str]
    forget_exact_ = True
    n_jobs: int | None

    def _nothing(self, catalog: Catalog | None) -> Any:
        """What is known before anything is learned: which columns of a catalogue to read."""
        raise NotImplementedError

    def _read(self, known: Any, catalog: Catalog, items: np.ndarray) -> tuple[Any, Texts]:
        """What is known with a larger vocabulary, and the features of a catalogue's items."""
        raise NotImplementedError

    def _grown(self, known: Any, n_items: int) -> Any:
        """What is known with rows for more items; another object in any case."""
        return grown(known, n_items)

    def _kept(self, known: Any, items: np.ndarray) -> Any:
        """What is known of some items only, to be weighed anew."""
        return replace(known, rows=RowStore.from_csr(*known.rows.take(items)))

    def _rarities(self, counts: np.ndarray, n_items: int) -> np.ndarray:
        """Factor of each feature that so many of `n_items` have."""
        raise NotImplementedError

    def _weights(self, known: Features, indptr: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        """What the strengths of some items count for before rarity: float64."""
        return strengths.astype(np.float64)

    def _reasons(self, known: Features, features: np.ndarray) -> list[Any]:
        """What `explain` says of some features."""
        names: list[Any] = known.vocabulary.take(features).tolist()
        return names

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> Features:
        if sides.items is None:
            return self._learned(self._grown(self._nothing(None), shop.n_items))
        return self._from_catalog(as_catalog(sides.items), shop)

    def _from_catalog(self, catalog: Catalog, shop: Interactions) -> Features:
        known = self._grown(self._nothing(catalog), shop.n_items)
        return self._learned(
            with_texts(*self._read(known, catalog, place_of(catalog, shop.items)))
        )

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Features:
        known: Features = self._grown(state.learned, shop.n_items)
        if sides.items is None:
            return known
        catalog = as_catalog(sides.items)
        if not known.fields:
            # Fitted on a bare matrix: the first table says what to read.
            return self._from_catalog(catalog, shop)
        if not fields_of_batch(type(self).__name__, known.fields, catalog):
            return known
        return self._changed(*self._read(known, catalog, place_of(catalog, shop.items)))

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Features:
        known: Features = state.learned
        if kept_items.all():
            return replace(known)
        return self._learned(self._kept(known, np.flatnonzero(kept_items)))

    def _refresh(self, state: State) -> Features:
        return self._learned(state.learned)

    def _learned(self, known: Features) -> Features:
        """Weigh everything that is known anew, with nothing left of what nobody has."""
        n_items = known.rows.n_rows
        indptr, (features, strengths, *_) = known.rows.to_csr()
        vocabulary, features, n_features = canonical(known.vocabulary, features)
        lengths = np.diff(indptr).astype(np.int32)
        # Twice transposed: the features of each row rise again.
        by_feature = transposed(indptr[:-1], lengths, features, strengths, n_features)
        counts = by_feature[1].astype(np.int64)
        starts, lengths, features, strengths = transposed(*by_feature, n_items)
        indptr = assemble.offsets(lengths)
        filled = int(np.count_nonzero(lengths))
        total = float(strengths.sum(dtype=np.float64))
        known = replace(
            known,
            vocabulary=vocabulary,
            counts=counts,
            rarity=self._rarities(counts, filled),
            mean_length=total / max(filled, 1),
        )
        weights = self._weighed(known, indptr, features, strengths)
        at, items, values = without_zeros(
            *assemble.transpose(starts, lengths, features, weights, n_features)
        )
        return replace(
            known,
            rows=RowStore.from_csr(indptr, (features, strengths, weights)).with_room(),
            postings=RowStore.from_csr(at, (items, values)).with_room(),
        )

    def _weighed(
        self, known: Features, indptr: np.ndarray, features: np.ndarray, strengths: np.ndarray
    ) -> np.ndarray:
        """Weights of some items' features: rows of length 1, float32."""
        values = self._weights(known, indptr, strengths) * known.rarity[features]
        return unit_rows(indptr, values)[0]

    def _changed(self, known: Features, texts: Texts) -> Features:
        """What is known with other features for some items, at the cost of what they touch."""
        items = texts.items
        old_at, (old_features, *_) = known.rows.take(items)
        counts = padded(known.counts, len(known.vocabulary))
        counts -= np.bincount(old_features, minlength=len(counts))
        counts += np.bincount(texts.features, minlength=len(counts))
        n_known = len(known.rarity)
        rarity = padded(known.rarity, len(counts))
        if len(counts) > n_known:
            filled = int(np.count_nonzero(known.rows.lengths))
            filled += int(np.count_nonzero(np.diff(texts.indptr)))
            filled -= int(np.count_nonzero(np.diff(old_at)))
            rarity[n_known:] = self._rarities(counts[n_known:], filled)
        known = replace(known, counts=counts, rarity=rarity)
        all_weights = self._weighed(known, texts.indptr, texts.features, texts.strengths)
        rows = known.rows.replace(items, texts.indptr, (*texts[2:], all_weights))
        touched = np.unique(old_features).astype(np.int64)
        postings = known.postings.append(
            np.empty(0, dtype=np.int64), *no_rows(known.postings), n_rows=len(counts)
        )
        if len(touched):
            indptr, (posted, values) = postings.take(touched)
            gone = np.zeros(known.rows.n_rows, dtype=bool)
            gone[items] = True
            values[gone[posted]] = 0
            indptr, posted, values = without_zeros(indptr, posted, values)
            postings = postings.replace(touched, indptr, (posted, values))
        owners = np.repeat(items, np.diff(texts.indptr)).astype(np.int32)
        counting = all_weights > 0
        features, owners = texts.features[counting], owners[counting]
        weights = all_weights[counting]
        order = np.lexsort((owners, features))
        added, lengths = np.unique(features, return_counts=True)
        postings = postings.append(
            added.astype(np.int64), assemble.offsets(lengths), (owners[order], weights[order])
        )
        return replace(known, rows=rows, postings=postings)

    # ------------------------------------------------------------------ answering

    def _profiles(self, known: Features, profiles: Profiles) -> tuple[neighbors.Rows, np.ndarray]:
        """Features of visitors, as rows of length 1, and the lengths they had."""
        return profiles_of(known, profiles, self.n_jobs)

    def _score(self, state: State, query: Query) -> np.ndarray:
        known: Features = state.learned
        profiles, _ = self._profiles(known, query.profiles)
        block: np.ndarray = neighbors.scores(
            profiles, known.postings.arrays, known.rows.n_rows, self.n_jobs
        )
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        known: Features = state.learned
        return self._best(known, self._profiles(known, query.profiles)[0], k, mask)

    def _best(
        self, known: Features, profiles: neighbors.Rows, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k items with the largest products with some rows of features."""
        best: tuple[np.ndarray, np.ndarray] = products.recommend(
            profiles, known.postings.arrays, known.rows.n_rows, k, mask, self.n_jobs
        )
        return best

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        known: Features = state.learned
        indptr, (features, _, weights) = known.rows.take(rows)
        itself = rows.astype(np.int32), np.arange(len(rows) + 1)
        mask = ranking.hiding(*itself)
        return found_rows(*self._best(known, neighbors.Rows(indptr, features, weights), k, mask))

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        known: Features = state.learned
        shop = state.interactions
        norms = self._profile_lengths(known, shop)
        items = np.empty((len(rows), k), dtype=np.int32)
        scores = np.empty((len(rows), k), dtype=np.float32)
        everyone = np.arange(shop.n_users)
        size = max(1, 16_000_000 // (shop.n_items + shop.n_users))
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            profiles, _ = self._profiles(known, stored_profiles(shop, some))
            likes = neighbors.scores(profiles, known.postings.arrays, shop.n_items, self.n_jobs)
            # The product of two profiles, summed over the items of the other one.
            dense = np.ascontiguousarray(np.nan_to_num(likes, nan=0.0).T)
            block = sparse.product(everyone, shop.by_user.arrays, dense, n_jobs=self.n_jobs).T
            with np.errstate(divide="ignore", invalid="ignore"):
                block = block / norms
            block[~(block > 0)] = np.nan
            itself = some.astype(np.int32), np.arange(len(some) + 1)
            mask = ranking.hiding(*itself)
            part = slice(start, start + len(some))
            items[part], scores[part] = ranking.top_k(block, k, mask, self.n_jobs)
        return found_rows(items, scores)

    def _profile_lengths(self, known: Features, shop: Interactions) -> np.ndarray:
        """Lengths of all stored profiles before they are made rows of length 1."""
        if "profile_lengths" not in known._derived:
            parts = [np.empty(0)]
            for start in range(0, shop.n_users, _BLOCK):
                rows = np.arange(start, min(start + _BLOCK, shop.n_users))
                indptr, columns = shop.by_user.take(rows)
                parts.append(self._profiles(known, Profiles(indptr, *columns[:2]))[1])
            known._derived["profile_lengths"] = np.concatenate(parts).astype(np.float32)
        return known._derived["profile_lengths"]

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        known: Features = state.learned
        (_, features, values), _ = self._profiles(known, query.profiles)
        theirs, _, weights = known.rows.row(item)
        shared, mine, other = np.intersect1d(features, theirs, return_indices=True)
        parts = values[mine].astype(np.float64) * weights[other]
        shared, parts = shared[parts > 0], parts[parts > 0]
        return [self._kind] * len(shared), self._reasons(known, shared), parts

    # ------------------------------------------------------------------ fitted attributes

    @property
    def fields_(self) -> dict[str, float]:
        """Columns of the items table that are read, and their weights."""
        return dict(self._attribute("fields_").learned.fields)

    @property
    def item_vectors_(self) -> sp.csr_array:
        """Weights of the features of each item, by row: rows of length 1, or empty ones."""
        known: Features = self._attribute("item_vectors_").learned
        indptr, (features, _, weights) = known.rows.to_csr()
        shape = (known.rows.n_rows, len(known.vocabulary))
        return sp.csr_array((weights.copy(), features.astype(np.int64), indptr), shape=shape)

    @property
    def n_features_(self) -> int:
        """Number of distinct features."""
        return len(self._attribute("n_features_").learned.vocabulary)
