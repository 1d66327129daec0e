"""A search index beside a recommender, learned, updated and saved as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone

from ecomrec.base import BaseRecommender, SideTables, State, miss_items
from ecomrec.composite import Named, WrappingRecommender
from ecomrec.content._index_state import IndexState, pack_index, unpack_index
from ecomrec.content.search import SearchIndex
from ecomrec.content.tfidf import TfidfRecommender
from ecomrec.data.catalog import Catalog, as_catalog
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.exceptions import FileFormatError


class IndexedRecommender(WrappingRecommender):
    """Base of `PersonalSearch`: a recommender that has an index of the same items.

    What it learns itself is the fitted `SearchIndex`.
    """

    _reads_items: ClassVar[bool] = True
    _reads_scores: ClassVar[bool] = True
    # Of rankings without a query; the weight of the person has a method of its own.
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "recommender": [TfidfRecommender(), TfidfRecommender(weighting="bm25")]
    }

    index: SearchIndex | None
    recommender: BaseRecommender | None

    def _parts(self) -> Named:
        inner = TfidfRecommender() if self.recommender is None else self.recommender
        return [("recommender", inner)]

    def _check_params(self) -> None:
        super()._check_params()
        if self.index is not None:
            self.index._check_params()

    # ------------------------------------------------------------------ learning

    def _learn_own(self, source: Source, sides: SideTables) -> SearchIndex:
        if sides.items is None:
            miss_items(type(self).__name__, source.from_table)
        shop = source.shop(self._values(), self.half_life)
        index = self._new_index()
        index._state = index._learned(shop.items, _catalog(sides))
        return index

    def _own_added(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> SearchIndex:
        index = state.learned.own
        return _anew(index, index._extended(index._state, shop.items, _catalog(sides)))

    def _own_without(
        self, state: State, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> SearchIndex:
        index: SearchIndex = state.learned.own
        if kept_items.all():
            return index
        return _anew(index, index._refreshed(index._kept(index._state, kept_items)))

    def _own_refreshed(self, state: State) -> SearchIndex:
        index = state.learned.own
        return _anew(index, index._refreshed(index._state))

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten, as of the recommender."""
        return bool(getattr(self._parts()[0][1], "forget_exact_", False))

    def _new_index(self) -> SearchIndex:
        index: SearchIndex = SearchIndex() if self.index is None else clone(self.index)
        return index

    # ------------------------------------------------------------------ parts

    @property
    def index_(self) -> SearchIndex:
        """The fitted index."""
        index = self._attribute("index_").learned.own
        return _anew(index, index._state)

    @property
    def recommender_(self) -> BaseRecommender:
        """The fitted recommender."""
        found: BaseRecommender = self.parts_["recommender"]
        return found

    # ------------------------------------------------------------------ files

    def _packed_own(self, own: SearchIndex) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        manifest, arrays = pack_index(own._state)
        return manifest, {f"index/{name}": values for name, values in arrays.items()}

    def _restored_own(
        self, manifest: dict[str, Any], arrays: dict[str, np.ndarray], shop: Interactions
    ) -> SearchIndex:
        start = "index/"
        theirs = {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}
        found = unpack_index(manifest, theirs)
        if len(found.postings.items) != shop.n_items:
            raise FileFormatError("the index does not fit the items; the file is damaged.")
        return _anew(self._new_index(), found)


def _catalog(sides: SideTables) -> Catalog | None:
    return None if sides.items is None else as_catalog(sides.items)


def _anew(index: SearchIndex, state: IndexState) -> SearchIndex:
    """A new index beside one that may still be answering."""
    twin: SearchIndex = clone(index)
    twin._state = state
    return twin
