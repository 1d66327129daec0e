"""Item neighbours: people who bought this also bought that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from ecomrec._validation import Rule, boolean, choice, integer, jobs, real
from ecomrec.base import BaseRecommender, Query, State
from ecomrec.cf import _neighborhood as hood
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import neighbors, ranking


class ItemKNN(BaseRecommender):
    """Recommends items that share users with what the visitor touched.
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_neighbors": integer(1),
        "similarity": choice("cosine", "jaccard", "conditional", "rp3beta"),
        "weighting": choice("none", "tfidf", "bm25"),
        "shrink": real(0),
        "user_damping": real(0),
        "history_damping": real(0),
        "popularity_damping": real(0),
        "power": real(0.01),
        "normalize": boolean(),
        "mutual": boolean(),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    _learned_type = hood.Neighborhood
    forget_exact_ = True

    def __init__(
        self,
        n_neighbors: int = 200,
        *,
        similarity: str = "cosine",
        weighting: str = "none",
        shrink: float = 200.0,
        user_damping: float = 0.5,
        history_damping: float = 0.75,
        popularity_damping: float = 0.7,
        power: float = 1.0,
        normalize: bool = False,
        mutual: bool = False,
        half_life: HalfLife = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.similarity = similarity
        self.weighting = weighting
        self.shrink = shrink
        self.user_damping = user_damping
        self.history_damping = history_damping
        self.popularity_damping = popularity_damping
        self.power = power
        self.normalize = normalize
        self.mutual = mutual
        self.half_life = half_life
        self.n_jobs = n_jobs

    def _recipe(self) -> hood.Recipe:
        return hood.Recipe(
            self.similarity,
            self.weighting,
            self.n_neighbors,
            self.shrink,
            self.user_damping,
            self.history_damping,
            self.popularity_damping,
            self.power,
            self.normalize,
            self.mutual,
        )

    def _fit(self, shop: Interactions, users: Any) -> hood.Neighborhood:
        return hood.learn(self._recipe(), hood.Sides.items(shop), self.n_jobs)

    def _partial_fit(self, state: State, shop: Interactions, change: Change, users: Any) -> Any:
        return hood.update(
            state.learned, self._recipe(), hood.Sides.items(shop), change.items, change.users
        )

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> hood.Neighborhood:
        before, after = hood.Sides.items(state.interactions), hood.Sides.items(shop)
        return hood.forget(
            state.learned, self._recipe(), before, after, kept_items, kept_users, self.n_jobs
        )

    def _refresh(self, state: State) -> hood.Neighborhood:
        if self.weighting != "none":
            return self._fit(state.interactions, None)
        return hood.freshened(
            state.learned, self._recipe(), hood.Sides.items(state.interactions), None, self.n_jobs
        )

    def _freshen(self, state: State, query: Query | None) -> State:
        rows = None if query is None else query.profiles.items
        if hood.is_fresh(state.learned, rows):
            return state
        with self._lock:
            state = self._state
            learned = hood.freshened(
                state.learned,
                self._recipe(),
                hood.Sides.items(state.interactions),
                rows,
                self.n_jobs,
            )
            if learned is not state.learned:
                state = self._state = replace(state, learned=learned)
        return state

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        return neighbors.recommend(
            query.profiles,
            state.learned.similarity.arrays,
            state.interactions.n_items,
            k,
            mask,
            self.n_jobs,
        )
