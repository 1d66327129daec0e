"""What a model learns that wraps a recommender beside an index, and how it passes questions on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.base import clone

from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.content._index_state import IndexState, pack_index, unpack_index
from ecomrec.content.search import SearchIndex
from ecomrec.content.tfidf import TfidfRecommender
from ecomrec.data.catalog import as_catalog
from ecomrec.data.interactions import Change, Interactions
from ecomrec.exceptions import FileFormatError
from ecomrec.kernels import neighbors, ranking
from ecomrec.state import pack_state, unpack_state
from ecomrec.vectors.compressed import is_coded, packed


@dataclass(frozen=True, eq=False)
class Parts:
    """Two fitted estimators with the same items in the same rows.

    Attributes
    ----------
    index : SearchIndex
    recommender : BaseRecommender
        It also keeps what `_freshen` makes fresh.
    """

    index: SearchIndex
    recommender: BaseRecommender


class IndexedRecommender(BaseRecommender):
    """Base of `PersonalSearch`: learns an index and a recommender, and answers as the latter."""

    _learned_types: ClassVar[tuple[type, ...]] = (Parts,)
    _reads_items: ClassVar[bool] = True
    # Of rankings without a query; the weight of the person has a method of its own.
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "recommender": [TfidfRecommender(), TfidfRecommender(weighting="bm25")]
    }

    index: SearchIndex | None
    recommender: BaseRecommender | None

    def _inner(self) -> BaseRecommender:
        return TfidfRecommender() if self.recommender is None else self.recommender

    def _new_index(self) -> SearchIndex:
        index: SearchIndex = SearchIndex() if self.index is None else clone(self.index)
        return index

    def _check_params(self) -> None:
        super()._check_params()
        if self.index is not None:
            self.index._check_params()
        self._inner()._check_params()

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> Parts:
        catalog = None if sides.items is None else as_catalog(sides.items)
        index, inner = self._new_index(), clone(self._inner())
        index._state = index._learned(shop.items, catalog)
        inner._state = State(shop, inner._fit(shop, sides), None, True)
        return Parts(index, inner)

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Parts:
        catalog = None if sides.items is None else as_catalog(sides.items)
        index, inner = state.learned.index, state.learned.recommender
        before = inner._state
        learned = inner._partial_fit(before, shop, change, sides)
        found = index._extended(index._state, shop.items, catalog)
        return _anew(state.learned, found, replace(before, interactions=shop, learned=learned))

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Parts:
        index, inner = state.learned.index, state.learned.recommender
        before, found = inner._state, index._state
        learned = inner._forget(before, shop, kept_users, kept_items)
        if not kept_items.all():
            found = index._refreshed(index._kept(found, kept_items))
        return _anew(state.learned, found, replace(before, interactions=shop, learned=learned))

    def _refresh(self, state: State) -> Parts:
        index, inner = state.learned.index, state.learned.recommender
        before = inner._state
        fresh = replace(before, learned=inner._refresh(before))
        return _anew(state.learned, index._refreshed(index._state), fresh)

    def _freshen(self, state: State, query: Query | None) -> State:
        inner = state.learned.recommender
        inner._freshen(inner._state, query)
        return state

    # ------------------------------------------------------------------ the recommender's answers

    def _score(self, state: State, query: Query) -> np.ndarray:
        inner = state.learned.recommender
        block: np.ndarray = inner._score(inner._state, query)
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        inner = state.learned.recommender
        best: tuple[np.ndarray, np.ndarray] = inner._top_k(inner._state, query, k, mask)
        return best

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        inner = state.learned.recommender
        values: np.ndarray = inner._predict(inner._state, users, items)
        return values

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        inner = state.learned.recommender
        found: neighbors.Rows = inner._similar_items(inner._state, rows, k)
        return found

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        inner = state.learned.recommender
        found: neighbors.Rows = inner._similar_users(inner._state, rows, k)
        return found

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        inner: BaseRecommender = state.learned.recommender
        return inner._explain(inner._state, query, item)

    def _values(self) -> Literal["weight", "rating"]:
        return self._inner()._values()

    @property
    def half_life(self) -> Any:
        """Half-life of events, as of the recommender."""
        return getattr(self._inner(), "half_life", None)

    @property
    def group(self) -> Any:
        """Column of the users table that the recommender reads, if any."""
        return getattr(self._inner(), "group", None)

    @property
    def n_jobs(self) -> int | None:
        """Threads, as of the recommender."""
        jobs: int | None = getattr(self._inner(), "n_jobs", 1)
        return jobs

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten, as of the recommender."""
        return bool(getattr(self._inner(), "forget_exact_", False))

    @property
    def _score_unit(self) -> float:  # type: ignore[override]
        return float(self._inner()._score_unit)

    # ------------------------------------------------------------------ parts

    @property
    def _state(self) -> State:
        try:
            state: State = self.__dict__["_state"]
        except KeyError:
            raise AttributeError("_state") from None
        return state

    @_state.setter
    def _state(self, state: State) -> None:
        """Publish a state; its parts learn what is available first."""
        index, inner = state.learned.index, state.learned.recommender
        available, from_table = state.available, state.from_table
        index._state = replace(index._state, available=available)
        inner._state = replace(inner._state, available=available, from_table=from_table)
        self.__dict__["_state"] = state

    @property
    def index_(self) -> SearchIndex:
        """The fitted index."""
        found: SearchIndex = self._attribute("index_").learned.index
        return found

    @property
    def recommender_(self) -> BaseRecommender:
        """The fitted recommender."""
        found: BaseRecommender = self._attribute("recommender_").learned.recommender
        return found

    # ------------------------------------------------------------------ files

    def _packed_state(self, state: State) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        inner_state = state.learned.recommender._state
        if hasattr(inner_state.learned, "item_factors") and is_coded(inner_state.learned):
            inner_state = replace(inner_state, learned=packed(inner_state.learned))
        manifest, arrays = pack_state(inner_state)
        index, more = pack_index(state.learned.index._state)
        return {"recommender": manifest, "index": index}, arrays | more

    def _restored_state(self, manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> State:
        index, inner = self._new_index(), clone(self._inner())
        state = unpack_state(manifest["recommender"], arrays, inner._learned_types)
        inner._state = state
        index._state = unpack_index(manifest["index"], arrays)
        if len(index._state.postings.items) != state.interactions.n_items:
            raise FileFormatError("the index does not fit the items; the file is damaged.")
        return replace(state, learned=Parts(index, inner))


def _anew(parts: Parts, found: IndexState, state: State) -> Parts:
    """New estimators beside those that may still be answering."""
    index, inner = clone(parts.index), clone(parts.recommender)
    index._state, inner._state = found, state
    return Parts(index, inner)
