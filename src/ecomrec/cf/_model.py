"""What item and user neighbours share as estimators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.cf import _neighborhood as hood
from ecomrec.cf import _ratings as rated
from ecomrec.data.interactions import Change, Interactions
from ecomrec.exceptions import FileFormatError
from ecomrec.kernels import assemble, neighbors

RANKING_SIMILARITIES = ("cosine", "jaccard", "conditional", "rp3beta")
RATING_SIMILARITIES = ("pearson_baseline", "pearson", "adjusted_cosine", "cosine", "msd")
CENTERINGS = ("none", "mean", "zscore", "baseline")


class NeighborModel(BaseRecommender):
    """Base of `ItemKNN` and `UserKNN`: keeps similarity rows, and refreshes what updates touch."""

    _learned_types: ClassVar[tuple[type, ...]] = (hood.Neighborhood, rated.Ratings)
    _entities_are_items: ClassVar[bool]
    # What parameters left at None stand for: (ranking, rating).
    _by_target: ClassVar[dict[str, tuple[Any, Any]]]
    forget_exact_ = True

    target: str
    weighting: str
    n_jobs: int | None

    def _chosen(self, name: str) -> Any:
        """A parameter, or what None means for the target."""
        value = getattr(self, name)
        return self._by_target[name][self.target == "rating"] if value is None else value

    def _recipe(self) -> hood.Recipe:
        raise NotImplementedError

    def _rating_recipe(self) -> rated.RatingRecipe:
        return rated.RatingRecipe(
            self._chosen("similarity"),
            self._chosen("centering"),
            self._chosen("n_neighbors"),
            getattr(self, "n_candidates"),  # noqa: B009
            self._chosen("shrink"),
        )

    def _check_params(self) -> None:
        super()._check_params()
        name, rating = type(self).__name__, self.target == "rating"
        similarities = RATING_SIMILARITIES if rating else RANKING_SIMILARITIES
        if self._chosen("similarity") not in similarities:
            raise ValueError(
                f"{name}: similarity for target={self.target!r} must be one of "
                f"{', '.join(map(repr, similarities))}; got {self._chosen('similarity')!r}."
            )
        if getattr(self, "weighting", "none") != "none" and self._chosen("similarity") != "cosine":
            raise ValueError(
                f"{name}: weighting={self.weighting!r} needs similarity='cosine'; "
                f"got {self._chosen('similarity')!r}."
            )
        if rating and getattr(self, "half_life", None) is not None:
            raise ValueError(f"{name}: half_life fades weights, not ratings; leave it None.")

    def _sides(self, shop: Interactions) -> hood.Sides:
        return (hood.Sides.items if self._entities_are_items else hood.Sides.users)(shop)

    def _values(self) -> Literal["weight", "rating"]:
        return "rating" if self.target == "rating" else "weight"

    # ------------------------------------------------------------------ files

    def _restored_state(
        self,
        manifest: dict[str, Any],
        arrays: dict[str, np.ndarray],
        shared: Sequence[Interactions] = (),
    ) -> State:
        state = super()._restored_state(manifest, arrays, shared)
        n = self._sides(state.interactions).mine.n_rows
        if state.learned.similarity.n_rows != n:
            raise FileFormatError("the similarities are not those of its ids; it is damaged.")
        return state

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> Any:
        if self.target == "rating":
            return rated.learn(
                self._rating_recipe(), self._sides(shop), self._entities_are_items, self.n_jobs
            )
        return hood.learn(self._recipe(), self._sides(shop), self.n_jobs)

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Any:
        if self.target == "rating":
            return rated.outdated(state.learned, self._sides(shop).mine.n_rows)
        if shop.reference != state.interactions.reference:
            # Weights are seen from a later time: every sum is in an old unit.
            return self._fit(shop, SideTables())
        entities, features = change.users, change.items
        if self._entities_are_items:
            entities, features = features, entities
        return hood.update(state.learned, self._recipe(), self._sides(shop), entities, features)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Any:
        if self.target == "rating" or shop.reference != state.interactions.reference:
            return self._fit(shop, SideTables())
        entities, features = kept_users, kept_items
        if self._entities_are_items:
            entities, features = features, entities
        before, after = self._sides(state.interactions), self._sides(shop)
        return hood.forget(
            state.learned, self._recipe(), before, after, entities, features, self.n_jobs
        )

    def _refresh(self, state: State) -> Any:
        if self.target == "rating" or self._recipe().weighting != "none":
            return self._fit(state.interactions, SideTables())
        sides = self._sides(state.interactions)
        return hood.freshened(state.learned, self._recipe(), sides, None, self.n_jobs)

    def _freshen(self, state: State, query: Query | None) -> State:
        rows = None if query is None else self._needed(query)
        if self._is_fresh(state, rows):
            return state
        with self._lock:
            # Another thread may have been here while this one waited.
            state = self._state
            sides = self._sides(state.interactions)
            rows = None if rows is None else rows[rows < sides.mine.n_rows]
            if self._is_fresh(state, rows):
                return state
            if self.target == "rating":
                learned = self._fit(state.interactions, SideTables())
            else:
                learned = hood.freshened(state.learned, self._recipe(), sides, rows, self.n_jobs)
            state = self._state = replace(state, learned=learned)
        return state

    def _needed(self, query: Query) -> np.ndarray:
        """Rows of entities whose neighbours the answer to a query is made from."""
        if self._entities_are_items:
            return query.profiles.items
        return query.users[query.users >= 0] if query.as_stored else query.users[:0]

    def _is_fresh(self, state: State, rows: np.ndarray | None) -> bool:
        if self.target == "rating":
            return bool(state.learned.current)
        return hood.is_fresh(state.learned, self._recipe(), rows)

    # ------------------------------------------------------------------ answering

    def _score(self, state: State, query: Query) -> np.ndarray:
        shop = state.interactions
        if self.target == "rating":
            n, n_items = len(query.users), shop.n_items
            rows, items = np.repeat(np.arange(n), n_items), np.tile(np.arange(n_items), n)
            values, support = self._rate(state, query, rows, items)
            values[support == 0] = np.nan
            return values.reshape(n, n_items).astype(np.float32)
        profiles, store = self._sources(state, query)
        scores: np.ndarray = neighbors.scores(profiles, store, shop.n_items, self.n_jobs)
        return scores

    def _sources(self, state: State, query: Query) -> tuple[Any, Any]:
        """Weighted rows, and the rows of items that they add up: what a ranking is made from."""
        raise NotImplementedError

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        if self.target != "rating":
            return super()._predict(state, users, items)
        entities, features = (items, users) if self._entities_are_items else (users, items)
        other = self._sides(state.interactions).other.arrays
        values, _ = rated.predict(
            state.learned, self._rating_recipe(), other, entities, features, self.n_jobs
        )
        return values

    def _rate(
        self, state: State, query: Query, rows: np.ndarray, items: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ratings of items by the visitors in some rows of a query, and their support."""
        known, sides, recipe = (
            state.learned,
            self._sides(state.interactions),
            self._rating_recipe(),
        )
        other = sides.other.arrays
        visitors = query.users[rows]
        if not query.as_stored:
            indptr, flat, weights = query.profiles
            given = (indptr[:-1], np.diff(indptr).astype(np.int32), flat, weights)
            if self._entities_are_items:
                known = rated.with_features(known, recipe, given, True)
                other, visitors = given, rows
            else:
                visitors = sides.mine.n_rows + rows
                known = rated.with_entities(known, recipe, sides, given, query.users, self.n_jobs)
        entities, features = (items, visitors) if self._entities_are_items else (visitors, items)
        return rated.predict(known, recipe, other, entities, features, self.n_jobs)

    def _stored_rows(self, state: State, rows: np.ndarray) -> neighbors.Rows:
        """Stored neighbours of some entities, best first."""
        known = state.learned
        store = known.similarity if self.target == "rating" else known.neighbors
        indptr, (entities, values) = store.take(rows)
        row_of = np.repeat(np.arange(len(rows)), np.diff(indptr))
        order = np.lexsort((entities, -values, row_of))
        return neighbors.Rows(indptr, entities[order], values[order])

    @property
    def similarity_(self) -> sp.csr_array:
        """Neighbours of each entity, by row."""
        state = self._freshen(self._attribute("similarity_"), None)
        known = state.learned
        store = known.similarity if self.target == "rating" else known.neighbors
        indptr, (entities, values) = store.to_csr()
        n = len(indptr) - 1
        return sp.csr_array((values.copy(), entities.astype(np.int64), indptr), shape=(n, n))

    def _explain_rating(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        value, _ = self._rate(state, query, np.zeros(1, dtype=np.int64), np.array([item]))
        known = state.learned
        user = int(query.users[0])
        base = (
            known.mean
            + (known.entity_bias if self._entities_are_items else known.feature_bias)[item]
        )
        if query.as_stored and user >= 0:
            base += (known.feature_bias if self._entities_are_items else known.entity_bias)[user]
        return ["baseline", "neighbors"], [None, None], np.array([base, value[0] - base])


def as_profiles(rows: neighbors.Rows, factor: float) -> tuple[np.ndarray, ...]:
    """Neighbours as weighted rows to add up."""
    values = rows.values if factor == 1.0 else rows.values * np.float32(factor)
    return rows.indptr, rows.entities, values


def taken(store: Any, rows: np.ndarray) -> neighbors.Rows:
    """Some rows of a similarity store; none for -1."""
    if len(rows) == 1 and rows[0] >= 0:
        entities, values = store.row(int(rows[0]))
        return neighbors.Rows(np.array([0, len(entities)]), entities, values)
    lengths = np.where(rows >= 0, store.lengths[rows], 0)
    _, (entities, values) = store.take(rows[rows >= 0])
    return neighbors.Rows(assemble.offsets(lengths), entities, values)
