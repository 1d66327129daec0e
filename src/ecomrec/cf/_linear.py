"""What linear item models share: a score adds up rows of item weights over the visitor's items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from ecomrec._parallel import n_threads
from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.cf._canonical import id_ranks
from ecomrec.cf._model import taken
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import assemble, gram, neighbors, ranking
from ecomrec.state import ArrayRule

# Below so many items one thread of BLAS is enough.
_SMALL = 1000
# Rows of dense weights are ranked in blocks of about this size.
_BLOCK_BYTES = 64_000_000
# Best over sparse shops and dense movies alike, within what a factor of two changes.
_USUAL = 50.0


@dataclass(frozen=True, eq=False)
class DenseWeights:
    """Weights from every item (row) to every item; `current` until something changes."""

    weights: np.ndarray
    current: bool

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions; later items have no weights yet."""
        n = shop.n_items if self.current else min(len(self.weights), shop.n_items)
        return {"weights": ArrayRule((n, n))}


@dataclass(frozen=True, eq=False)
class SparseWeights:
    """Positive weights from each item to some others; `current` until something changes."""

    weights: RowStore
    current: bool

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        return {"weights": (shop.n_items, shop.n_items)}


class WeightedItems(BaseRecommender):
    """Base of models whose scores are ``profile @ weights``, wherever the weights come from."""

    _learned_types: ClassVar[tuple[type, ...]] = (DenseWeights, SparseWeights)

    n_jobs: int | None

    def _score(self, state: State, query: Query) -> np.ndarray:
        learned, n_items = state.learned, state.interactions.n_items
        if not isinstance(learned, DenseWeights):
            scores: np.ndarray = neighbors.scores(
                query.profiles, learned.weights.arrays, n_items, self.n_jobs
            )
            return scores
        n_known = len(learned.weights)
        if n_known == n_items:
            found: np.ndarray = gram.dense_scores(query.profiles, learned.weights, self.n_jobs)
            return found
        block = np.full((len(query.users), n_items), np.nan, dtype=np.float32)
        known = _without_later(query.profiles, n_known)
        block[:, :n_known] = gram.dense_scores(known, learned.weights, self.n_jobs)
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(state.learned, DenseWeights):
            return self._top_k_of_blocks(state, query, k, mask)
        best: tuple[np.ndarray, np.ndarray] = neighbors.recommend(
            query.profiles, state.learned.weights.arrays, state.interactions.n_items, k, mask,
            self.n_jobs,
        )  # fmt: skip
        return best

    def _top_k_of_blocks(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        return super()._top_k(state, query, k, mask)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        learned = state.learned
        if isinstance(learned, DenseWeights):
            items = np.full((len(rows), k), -1, dtype=np.int32)
            scores = np.empty((len(rows), k), dtype=np.float32)
            known = np.flatnonzero(rows < len(learned.weights))
            size = max(1, _BLOCK_BYTES // (4 * max(1, len(learned.weights))))
            for start in range(0, len(known), size):
                part = known[start : start + size]
                block = learned.weights[rows[part]]
                block[~(block > 0)] = np.nan
                items[part], scores[part] = ranking.top_k(block, k, ranking.no_mask(len(part)))
            kept = items >= 0
            return neighbors.Rows(assemble.offsets(kept.sum(axis=1)), items[kept], scores[kept])
        found = taken(learned.weights, rows)
        row_of = np.repeat(np.arange(len(rows)), np.diff(found.indptr))
        order = np.lexsort((found.entities, -found.values, row_of))
        order = order[found.entities[order] != rows[row_of[order]]]
        lengths = np.bincount(row_of[order], minlength=len(rows))
        return neighbors.Rows(
            assemble.offsets(lengths), found.entities[order], found.values[order]
        )

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        history, weights = query.profiles.items, query.profiles.weights
        parts = np.maximum(weights, 0) * self._links(state, history, item).astype(np.float64)
        if not parts.sum() > 0:
            # Nothing speaks for the item: it is shown by popularity, with score 0.
            parts = np.zeros_like(parts)
        reasons = state.interactions.items.take(history[parts != 0]).tolist()
        return ["item"] * len(reasons), reasons, parts[parts != 0]

    def _links(self, state: State, history: np.ndarray, item: int) -> np.ndarray:
        """Weights from the items of a history to one item."""
        learned = state.learned
        if isinstance(learned, DenseWeights):
            links = np.zeros(len(history), dtype=np.float32)
            known = history < len(learned.weights)
            if item < len(learned.weights):
                links[known] = learned.weights[history[known], item]
            return links
        indptr, (items, values) = learned.weights.take(history)
        row_of = np.repeat(np.arange(len(history)), np.diff(indptr))
        return np.bincount(row_of, np.where(items == item, values, 0.0), len(history))

    @property
    def item_weights_(self) -> Any:
        """Weights from each item (row) to each item: an array, or a SciPy sparse one."""
        learned = self._attribute("item_weights_").learned
        if isinstance(learned, DenseWeights):
            view = learned.weights.view()
            view.flags.writeable = False
            return view
        indptr, (items, values) = learned.weights.to_csr()
        n = len(indptr) - 1
        return sp.csr_array((values.copy(), items.astype(np.int64), indptr), shape=(n, n))


class LinearItemModel(WeightedItems):
    """Base of models whose weights have a closed form.

    A batch changes what visitors are answered from at once, the weights with `refresh`: no request
    ever waits for a fit. Items that came later have no weights until then.
    """

    forget_exact_ = True

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Any:
        if len(change.users) == 0 and shop.n_items == state.interactions.n_items:
            return state.learned
        return replace(self._grown(state.learned, shop.n_items), current=False)

    def _grown(self, learned: Any, n_items: int) -> Any:
        """Weights with room for later items, which have none; dense ones are left as they are."""
        if isinstance(learned, DenseWeights):
            return learned
        nobody, nothing = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
        columns = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        weights = learned.weights.replace(nobody, nothing, columns, n_items)
        return replace(learned, weights=weights)

    def _refresh(self, state: State) -> Any:
        return (
            state.learned if state.learned.current else self._fit(state.interactions, SideTables())
        )


def lapack_threads(n_jobs: int | None, n_items: int) -> threadpool_limits:
    """Limit BLAS, inside a fit, to some threads; small matrices gain nothing from more than one.

    One thread always rounds alike, more than one only nearly so.
    """
    return threadpool_limits(1 if n_items < _SMALL else n_threads(n_jobs), user_api="blas")


def _without_later(profiles: Profiles, n_items: int) -> Profiles:
    """Profiles without the items that came after the first n."""
    kept = profiles.items < n_items
    before = np.concatenate(([0], np.cumsum(kept)))
    return Profiles(before[profiles.indptr], profiles.items[kept], profiles.weights[kept])


def user_weights(shop: Interactions, damping: float) -> np.ndarray:
    """How much each user counts: the number of items with evidence to the power -damping."""
    counts = neighbors.row_sums(
        np.arange(shop.n_users), shop.by_user.arrays, np.ones(shop.n_items),
        form=neighbors.BINARY,
    )  # fmt: skip
    weights: np.ndarray = np.maximum(counts, 1.0) ** -damping
    return weights * shop.scale**2


def squares(shop: Interactions, weights: np.ndarray) -> np.ndarray:
    """Diagonal of the Gram matrix: the sum of weighted squares of each item, float64."""
    sums: np.ndarray = neighbors.row_sums(
        np.arange(shop.n_items), shop.by_item.arrays, weights, squared=True
    )
    return sums


def shared_users(
    shop: Interactions,
    importance: np.ndarray,
    norms: np.ndarray,
    n_kept: int,
    n_jobs: int | None,
    power: float = 1.0,
) -> neighbors.Rows:
    """For each item the items of highest ``(sum_u a_u w_ui w_uj / (norm_i norm_j)) ** power``."""
    everyone = np.arange(shop.n_items)
    lengths = np.ones(shop.n_items)
    norms = np.maximum(norms, 1e-30)
    comparison = neighbors.Comparison(
        importance, neighbors.RAW, 1.0, 1.0, lengths, 1.0, bool((shop.data == 1).all()), norms,
        0.0, neighbors.PRODUCT, power,
    )  # fmt: skip
    found: neighbors.Rows = neighbors.dot_rows(
        everyone, everyone, norms, lengths, shop.by_item.arrays, shop.by_user.arrays, comparison,
        n_kept, id_ranks(shop.items), feature_rank=id_ranks(shop.users), n_jobs=n_jobs,
    )  # fmt: skip
    return found


def usual_regularization(shop: Interactions, diagonal: np.ndarray) -> float:
    """``50 T / sqrt(N n)``: T the sum of the Gram diagonal, N entries and n items with evidence.

    In units of the squared weight of an entry it grows with the root of an item's users.
    """
    n_entries, n_items = float(shop.item_counts.sum()), int(np.count_nonzero(shop.item_counts))
    return usual_ridge(float(diagonal.sum()), n_entries, int(n_items))


def usual_ridge(total: float, n_entries: float, n_items: float) -> float:
    """Return ``50 T / sqrt(N n)``; 1 where nothing was learned from."""
    return float(_USUAL * total / np.sqrt(n_entries * n_items)) if n_entries > 0 else 1.0
