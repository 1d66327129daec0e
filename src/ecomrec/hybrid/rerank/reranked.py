"""A recommender whose lists are put in another order before they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, integer
from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.cf import ItemKNN
from ecomrec.composite import CompositeRecommender, Named, WrappingRecommender
from ecomrec.data.catalog import Catalog, as_catalog
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.exceptions import DataError
from ecomrec.hybrid.rerank._reranker import Known, Lists, Reranker, lowered
from ecomrec.hybrid.rerank._shelf import Shelf, empty_shelf, filled, grown, kept
from ecomrec.hybrid.rerank._spread import FACTORS, Spread
from ecomrec.hybrid.rerank.mmr import MMR
from ecomrec.kernels import assemble, ranking
from ecomrec.state import ArrayRule


@dataclass(frozen=True, eq=False)
class Arranged(Shelf):
    """What a `Reranked` knows of the items beside its model.

    Attributes
    ----------
    rank : ndarray of shape (n_items,), int32
        Place of each id in sorted order.
    """

    rank: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return super().array_rules(shop) | {
            "rank": ArrayRule((shop.n_items,), is_order=True, dtype=np.int32)
        }


class Reranked(WrappingRecommender):
    """Recommends what a model does, in the order that rerankers make of it.

    The model is asked for `n_candidates` items; the rerankers put them in another order, each what
    the one before left, and the last one cuts the list. So an answer is that of
    ``reranker.fit(events, items=catalog).rerank(model.recommend(users, n_candidates), k)``, and a
    score means what it means there. `predict`, `explain` and similar items are the model's.

    Parameters
    ----------
    model : BaseRecommender or None
        Who recommends; an `ItemKNN` if None. Fitted here, on a clone.
    rerankers : list of (name, reranker) or None
        In the order in which they work; ``[("diverse", MMR())]`` if None.
    n_candidates : int
        How many items are put in order; at least as many as are asked for.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted model, under the name `model`.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        As of the model.

    See Also
    --------
    MMR : Items unlike those above them.
    DPP : Lists that span much.
    Calibrated : The mix of categories of the person's history.
    CategoryCap : At most so many of one label.
    BusinessRules : Pins, boosts, margins, a budget.
    ExposureFairness : A share of what is seen for every seller.

    Notes
    -----
    What the rerankers read of the items table is kept with the model: `partial_fit` adds to it,
    `forget` removes from it, and it is saved in the same file. Rules may leave a row short (a
    budget, a strict cap): nothing else is shown then, nor where this is a part of a `Switch`, a
    `ColdStart` or another that lets it answer. Those that mix scores refuse it. Items without
    evidence follow by popularity, at score 0 or the last one's, as far as caps and budgets allow.
    Candidates of equal score stand in the order of their ids.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.hybrid import CategoryCap, Reranked
    >>> items = pd.DataFrame({"item_id": [1, 2, 3], "category": ["mug", "mug", "tea"]})
    >>> events = pd.DataFrame({"user_id": [1, 2, 3, 1, 2, 1], "item_id": [1, 1, 1, 2, 2, 3]})
    >>> model = Reranked(Popularity(), [("cap", CategoryCap(1))])
    >>> model.fit(events, items=items).recommend([3], k=2, exclude_seen=False)
    Recommendations: 1 rows, 2 places
      3: 1 3, 3 1
    >>> model.set_params(cap__limit=2).recommend([3], k=2, exclude_seen=False).items.tolist()
    [[1, 2]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "model": Rule(
            "None or a recommender",
            lambda v: v is None or isinstance(v, BaseRecommender),
            ("ItemKNN", 3, BaseRecommender),
        ),
        "rerankers": Rule(
            "None or a list of (name, reranker)",
            lambda v: v is None or _are_rerankers(v),
            ([], "mmr", 3, [("diverse", 3)], [MMR], [("diverse", MMR)]),
        ),
        "n_candidates": integer(1),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {"n_candidates": [50, 100, 200]}
    _part_lists: ClassVar[tuple[str, ...]] = ("rerankers",)
    _own_types: ClassVar[tuple[type, ...]] = (Arranged,)

    def __init__(
        self,
        model: BaseRecommender | None = None,
        rerankers: Sequence[tuple[str, Any]] | None = None,
        *,
        n_candidates: int = 100,
    ) -> None:
        self.model = model
        self.rerankers = rerankers
        self.n_candidates = n_candidates

    def _parts(self) -> Named:
        return [("model", ItemKNN() if self.model is None else self.model)]

    def _steps(self) -> list[Reranker]:
        if self.rerankers is None:
            return [MMR()]
        return [step for _, step in self.rerankers]

    def _check_params(self) -> None:
        super()._check_params()
        for step in self._steps():
            step._check_params()
            if isinstance(step, Spread) and step.similarity == FACTORS:
                _check_factors(self._parts()[0][1])

    def _check_as_part(self, path: str, owner: CompositeRecommender) -> None:
        if owner._reads_scores:
            name = type(owner).__name__
            raise ValueError(
                f"{name}: part {path!r} is a Reranked, and a {name} reads the scores of its "
                f"parts, not their lists, so the rules would not hold. Put the Reranked around "
                f"the {name}."
            )

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten, as of the model."""
        return bool(getattr(self._parts()[0][1], "forget_exact_", False))

    @property
    def _score_unit(self) -> float:  # type: ignore[override]
        """What an item adds is near 1 at most, and may come to 0 by sum."""
        return 1.0

    # ------------------------------------------------------------------ learning

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        super()._check_tables(source, sides)
        self._columns(_catalog(sides))

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        return [pair for step in self._steps() for pair in step._columns(catalog)]

    def _learn_own(self, source: Source, sides: SideTables) -> Arranged:
        shop = source.shop(self._values(), self.half_life)
        nothing = Arranged(**vars(empty_shelf([], shop.n_items)), rank=_ranks(shop.items.ids))
        return self._described(nothing, shop, sides, self._columns(_catalog(sides)))

    def _own_added(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Arranged:
        known: Arranged = state.learned.own
        if shop.n_items > known.n_items:
            known = replace(grown(known, shop.n_items), rank=_ranks(shop.items.ids, known.rank))
        columns: Any = known.columns
        if sides.items is not None and not columns:
            # Fitted without an items table: the first one says what to read.
            columns = self._columns(_catalog(sides))
        return self._described(known, shop, sides, columns)

    def _described(
        self, known: Arranged, shop: Interactions, sides: SideTables, columns: Any
    ) -> Arranged:
        """What is known with what an items table says."""
        if len(columns) and not known.columns:
            known = replace(known, **vars(empty_shelf(columns, shop.n_items)))
        catalog = _catalog(sides)
        if catalog is None:
            return known
        return filled(known, catalog, shop.items, type(self).__name__)

    def _own_without(
        self, state: State, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Arranged:
        own: Arranged = state.learned.own
        rank = assemble.inverse(np.argsort(own.rank[kept_items]))
        return replace(kept(own, kept_items), rank=rank)

    # ------------------------------------------------------------------ answering

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        inner, asked = self._first(state, query)
        width = min(max(k, self.n_candidates), state.interactions.n_items)
        found, scores = inner._top_k(inner._state, asked, width, mask)
        found = _in_order_of_ids(found, scores, state.learned.own.rank)
        known = self._known(state)
        rows, values = found.astype(np.int64), scores.astype(np.float64)
        steps = self._steps()
        for number, step in enumerate(steps):
            wanted = k if number == len(steps) - 1 else width
            places, values = step._order(known, Lists(rows, values, query.profiles), wanted)
            rows = _taken(rows, places)
        if rows.shape[1] < k or (rows[:, -1] < 0).any():
            more, filled_up = found.copy(), scores.copy()
            open_rows = inner._may_fill(asked)
            ranking.fill_by_popularity(more, filled_up, state.by_popularity, mask, open_rows)
            more = np.where(found < 0, more, -1)
            rows, values = self._followed(known, rows, values, more)
        items = np.full((len(rows), k), -1, dtype=np.int32)
        best = np.full((len(rows), k), np.nan, dtype=np.float32)
        shown = min(k, rows.shape[1])
        items[:, :shown], best[:, :shown] = rows[:, :shown], values[:, :shown]
        return items, best

    def _may_fill(self, query: Query) -> np.ndarray:
        restrained = any(type(s)._restrain is not Reranker._restrain for s in self._steps())
        return super()._may_fill(query) & (not restrained)

    def _followed(
        self, known: Known, rows: np.ndarray, values: np.ndarray, more: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lists with items without evidence behind them, as far as caps and budgets allow."""
        last = np.where(np.isnan(values), 0.0, values).min(axis=1, initial=0.0)
        zeros = np.where(more < 0, np.nan, last[:, np.newaxis])
        rows = np.concatenate((rows, more), axis=1)
        values = np.concatenate((values, zeros), axis=1)
        for step in self._steps():
            lists = Lists(rows, values)
            places = step._restrain(known, lists, rows.shape[1])
            rows, values = _taken(rows, places), lowered(lists, places)
        return rows, values

    def _known(self, state: State) -> Known:
        shop = state.interactions
        factors = None
        if any(isinstance(s, Spread) and s.similarity == FACTORS for s in self._steps()):
            inner = state.learned.parts[0]
            _check_factors(inner)
            factors = inner.item_factors_
        return Known(shop.items, state.learned.own, shop, factors)


def _catalog(sides: SideTables) -> Catalog | None:
    return None if sides.items is None else as_catalog(sides.items)


def _ranks(ids: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """Place of each id in sorted order; `before` are those of the first of them."""
    n_known = 0 if before is None else len(before)
    new = n_known + np.argsort(ids[n_known:], kind="stable")
    if before is None or n_known == 0:
        return assemble.inverse(new)
    by_rank = assemble.inverse(before)
    places = np.searchsorted(ids[by_rank], ids[new])
    return assemble.inverse(np.insert(by_rank, places, new))


def _in_order_of_ids(rows: np.ndarray, scores: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Lists in which items of equal score stand in the order of their ids.

    What is chosen after them depends on which of them comes first, so this must not depend on who
    arrived first.
    """
    some = np.flatnonzero((scores[:, 1:] == scores[:, :-1]).any(axis=1))
    if not len(some):
        return rows
    ranks = np.where(rows[some] < 0, len(rank), rank[rows[some]])
    order = np.lexsort((ranks, -np.nan_to_num(scores[some], nan=-np.inf)), axis=1)
    rows = rows.copy()
    rows[some] = np.take_along_axis(rows[some], order, axis=1)
    return rows


def _taken(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Item rows at chosen places, -1 behind the last."""
    if not rows.shape[1]:
        return rows
    return np.where(places < 0, -1, np.take_along_axis(rows, np.maximum(places, 0), axis=1))


def _are_rerankers(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], Reranker)
            for pair in value
        )
    )


def _check_factors(model: BaseRecommender) -> None:
    if not hasattr(type(model), "item_factors_"):
        raise DataError(
            f"Reranked: similarity='factors' needs a model with item factors, such as ALS; "
            f"{type(model).__name__} has none. Use 'items' or 'events'."
        )
