"""What goes with a basket: bought together, and of another category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from ecomrec._validation import Rule, choice, integer, jobs, real, text
from ecomrec.base import BaseRecommender, Explained, Query, SideTables, State
from ecomrec.data.catalog import as_catalog
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.source import Source
from ecomrec.data.timestamps import HalfLife, duration, half_life_nanoseconds
from ecomrec.hybrid._baskets import UNIT, as_matrix, as_store, baskets_of, changed, pairs_of
from ecomrec.hybrid.rerank._groups import column_of_groups
from ecomrec.hybrid.rerank._shelf import Shelf, empty_shelf, filled, grown, kept
from ecomrec.kernels import neighbors
from ecomrec.state import ArrayRule


@dataclass(frozen=True, eq=False)
class Together(Shelf):
    """What a `Complementary` learns: categories, and counts of baskets.

    Attributes
    ----------
    together : RowStore of shape (n_items, n_items)
        Weight of the baskets that two different items are in, in units.
    counts : ndarray of shape (n_items,), int64
        Weight of those that each is in.
    totals : ndarray of shape (2,), int64
        Weight of all baskets, and how many there are.
    """

    together: RowStore
    counts: np.ndarray
    totals: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return super().array_rules(shop) | {
            "counts": ArrayRule((shop.n_items,)),
            "totals": ArrayRule((2,)),
        }

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        return {**super().row_shapes(shop), "together": (shop.n_items, shop.n_items)}


class Complementary(BaseRecommender):
    r"""Recommends what goes with the basket rather than what is like it.

    Baskets of m items weigh :math:`m^{-\gamma}`. All of them weigh N together, those with item i
    :math:`n_i`, and those with both i and j :math:`n_{ij}`. The score of item j for a history of
    items i with weights :math:`w_i` is :math:`\sum_i w_i s_{ij}` with

    .. math:: s_{ij} = \frac{n_{ij}}{n_{ij} + \text{shrink}} \cdot
                       \frac{n_{ij} / N}{(n_i / N)^{\alpha} (n_j / N)^{\beta}}

    for pairs that were bought together more often than by chance (:math:`N n_{ij} > n_i n_j`) and
    lie in different categories. With :math:`\alpha = \beta = 1` the last factor is the lift of the
    pair, how many times more often than by chance; with :math:`\alpha = 1, \beta = 0` its
    confidence, the share of the baskets with i that hold j; with both 0.5 the cosine. Scores of
    one history are comparable, scores of two are not.

    Parameters
    ----------
    across : {"pair", "basket", "none"}
        "pair": an item of the history says nothing about its own category. "basket": nothing of
        any category that the history has, which is for baskets, not for all that a user ever
        bought. "none": categories are not looked at.
    column : str
        Column of the items table; a cell may be a list of several labels (`tags` may be divided by
        ``|``, ``;`` or ``,``): two items are of different categories if they share none. Items
        without a label count in a history, and are not recommended by score (unless "none").
    window : str, timedelta or None
        What a user chose is cut into baskets wherever there is a longer pause, if there are
        timestamps. None: each user is one basket.
    shrink : float
        Pairs seen together few times count less.
    history_damping, popularity_damping : float
        :math:`\alpha` and :math:`\beta`: how strongly popular items of the history, and popular
        recommendations, are held back.
    basket_damping : float
        :math:`\gamma`: how much less a large basket says of each pair in it.
    max_basket : int
        Baskets of more items are not counted: wholesalers and robots.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    n_baskets_ : int
        Baskets that were counted.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten, categories included.

    See Also
    --------
    ecomrec.cf.ItemKNN : What the same users touched, of any category.

    Notes
    -----
    `fit` needs ``items=``, a table or `Catalog` with `column`. A pair of user and item is stored
    once, with its newest time, so an item that a user bought several times stands in the newest of
    these baskets. To count every order, fit on orders in the place of users
    (``events.assign(user_id=events["order_id"])``) and ask with ``history=[basket]``, which is
    also the way to ask for the basket at hand rather than for all that a user ever bought.

    A fit costs the sum of the squared sizes of the baskets, 12 bytes for each pair of items that
    were bought together. `partial_fit` is exact and costs the baskets of the users of the batch.
    Lift is that of association rules [1]_; complements and substitutes as different relations are
    those of [2]_.

    References
    ----------
    .. [1] Brin, Motwani, Ullman, Tsur: Dynamic itemset counting and implication rules for market
       basket data. SIGMOD 1997.
    .. [2] McAuley, Pandey, Leskovec: Inferring networks of substitutable and complementary
       products. KDD 2015.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.hybrid import Complementary
    >>> items = pd.DataFrame(
    ...     {"item_id": ["mug", "cup", "tea", "chair"], "category": ["mugs", "mugs", "food", ""]}
    ... )
    >>> orders = pd.DataFrame(
    ...     {
    ...         "user_id": [1, 1, 2, 2, 3, 3, 3, 4],
    ...         "item_id": ["mug", "tea", "cup", "tea", "mug", "cup", "tea", "chair"],
    ...     }
    ... )
    >>> model = Complementary(shrink=1).fit(orders, items=items)
    >>> model.recommend(history=[["mug"]], k=1)
    Recommendations: 1 rows, 1 places
      0: 'tea' 0.689
    >>> model.explain(history=["mug"], item="tea")
                part  kind reason  contribution
    0  Complementary  item    mug       0.68911
    """

    _learned_types: ClassVar[tuple[type, ...]] = (Together,)
    _reads_items: ClassVar[bool] = True
    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "across": choice("pair", "basket", "none"),
        "column": text(),
        "window": duration(),
        "shrink": real(0),
        "history_damping": real(0),
        "popularity_damping": real(0),
        "basket_damping": real(0),
        "max_basket": integer(2),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "shrink": [0, 2, 10],
        "history_damping": [0.5, 0.75, 1.0],
        "popularity_damping": [0.25, 0.5, 0.75],
        "basket_damping": [0.0, 0.5, 1.0],
    }
    forget_exact_ = True

    def __init__(
        self,
        across: str = "pair",
        *,
        column: str = "category",
        window: HalfLife = "1h",
        shrink: float = 5.0,
        history_damping: float = 1.0,
        popularity_damping: float = 0.5,
        basket_damping: float = 0.5,
        max_basket: int = 1000,
        n_jobs: int | None = -1,
    ) -> None:
        self.across = across
        self.column = column
        self.window = window
        self.shrink = shrink
        self.history_damping = history_damping
        self.popularity_damping = popularity_damping
        self.basket_damping = basket_damping
        self.max_basket = max_basket
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        super()._check_tables(source, sides)
        if sides.items is not None:
            column_of_groups(type(self).__name__, as_catalog(sides.items), self.column)

    def _fit(self, shop: Interactions, sides: SideTables) -> Together:
        together, counts, totals = self._pairs(shop, np.arange(shop.n_users))
        learned = Together(
            **vars(empty_shelf([], shop.n_items)),
            together=as_store(together),
            counts=counts,
            totals=totals,
        )
        return self._described(learned, shop, sides)

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Together:
        known: Together = state.learned
        before = state.interactions
        old = self._pairs(before, change.users[change.users < before.n_users])
        new = self._pairs(shop, change.users)
        n = shop.n_items
        counts = new[1].copy()
        counts[: len(known.counts)] += known.counts
        counts[: len(old[1])] -= old[1]
        gone = old[0].tocoo()
        delta = new[0] - sp.coo_array((gone.data, gone.coords), (n, n)).tocsr()
        learned = replace(
            grown(known, n),
            together=changed(known.together, sp.csr_array(delta), n),
            counts=counts,
            totals=known.totals + new[2] - old[2],
        )
        return self._described(learned, shop, sides)

    def _described(self, known: Together, shop: Interactions, sides: SideTables) -> Together:
        """What is known with the categories that an items table brings."""
        if sides.items is None:
            return known
        catalog = as_catalog(sides.items)
        if not known.columns:
            # The first table says what to read.
            columns = column_of_groups(type(self).__name__, catalog, self.column)
            known = replace(known, **vars(empty_shelf(columns, shop.n_items)))
        return filled(known, catalog, shop.items, type(self).__name__)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Together:
        known: Together = state.learned
        before = state.interactions
        gone_items = np.flatnonzero(~kept_items)
        _, (holders, _) = before.by_item.take(gone_items)
        touched = np.union1d(np.flatnonzero(~kept_users), holders).astype(np.int64)
        new_user = np.cumsum(kept_users) - 1
        old = self._pairs(before, touched)
        new = self._pairs(shop, new_user[touched[kept_users[touched]]])
        rows = np.flatnonzero(kept_items)
        everything = as_matrix(known.together, rows, before.n_items)[:, rows]
        total = sp.csr_array(everything - old[0][rows][:, rows] + new[0])
        total.eliminate_zeros()
        total.sort_indices()
        return replace(
            kept(known, kept_items),
            together=as_store(total),
            counts=known.counts[rows] - old[1][rows] + new[1],
            totals=known.totals - old[2] + new[2],
        )

    def _refresh(self, state: State) -> Together:
        known: Together = state.learned
        return replace(known)

    def _pairs(
        self, shop: Interactions, users: np.ndarray
    ) -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
        window = half_life_nanoseconds(self.window)
        baskets = baskets_of(shop, users, window, self.max_basket)
        return pairs_of(baskets, self.basket_damping)

    # ------------------------------------------------------------------ answering

    def _score(self, state: State, query: Query) -> np.ndarray:
        known: Together = state.learned
        profiles = _chosen(query.profiles)
        items, places = np.unique(profiles.items, return_inverse=True)
        found = self._strengths(known, items.astype(np.int64))
        store = found.indptr[:-1], np.diff(found.indptr).astype(np.int32), *found[1:]
        asked = profiles.indptr, places.astype(np.int32), profiles.weights
        block: np.ndarray = neighbors.scores(asked, store, len(known.counts), self.n_jobs)
        if self.across == "basket":
            at, labels = self._labels(known, profiles.items.astype(np.int64))
            of_history = _incidence(at, labels, len(known.words))
            n = len(profiles.indptr) - 1
            owners = np.repeat(np.arange(n), np.diff(profiles.indptr))
            member = sp.csr_array(
                (np.ones(len(owners)), (owners, np.arange(len(owners)))), (n, len(owners))
            )
            at, labels = self._labels(known, np.arange(len(known.counts)))
            alike = sp.coo_array(member @ of_history @ _incidence(at, labels, len(known.words)).T)
            block[alike.coords] = np.nan
        return block

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        found = self._strengths(state.learned, rows)
        row_of = np.repeat(np.arange(len(rows)), np.diff(found.indptr))
        order = np.lexsort((found.entities, -found.values, row_of))
        return neighbors.Rows(found.indptr, found.entities[order], found.values[order])

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        known: Together = state.learned
        history, weights = query.profiles.items.astype(np.int64), query.profiles.weights
        found = self._strengths(known, history)
        row_of = np.repeat(np.arange(len(history)), np.diff(found.indptr))
        strengths = np.bincount(
            row_of, np.where(found.entities == item, found.values, 0.0), minlength=len(history)
        )
        parts = np.maximum(weights, 0) * strengths
        if self.across == "basket":
            _, mine = self._labels(known, history[weights > 0])
            _, theirs = self._labels(known, np.array([item]))
            parts = parts * (not np.isin(theirs, mine).any())
        reasons = state.interactions.items.take(history[parts > 0]).tolist()
        return ["item"] * len(reasons), reasons, parts[parts > 0]

    def _strengths(self, known: Together, items: np.ndarray) -> neighbors.Rows:
        """How strongly each of some items calls for others."""
        n = len(known.counts)
        indptr, (others, counts) = known.together.take(items)
        row_of = np.repeat(np.arange(len(items)), np.diff(indptr))
        total = known.totals[0] * UNIT
        both = counts * UNIT
        own, other = known.counts[items][row_of] * UNIT, known.counts[others] * UNIT
        values = both / (both + self.shrink) * (both / total)
        values /= (own / total) ** self.history_damping
        values /= (other / total) ** self.popularity_damping
        good = both * total > own * other
        if self.across != "none":
            at, labels = self._labels(known, items)
            mine = _incidence(at, labels, len(known.words))
            at, labels = self._labels(known, np.arange(n))
            every = _incidence(at, labels, len(known.words))
            alike = sp.coo_array(mine @ every.T)
            keys = row_of * np.int64(n) + others
            good &= ~np.isin(keys, alike.coords[0].astype(np.int64) * n + alike.coords[1])
            good &= (np.diff(every.indptr) > 0)[others]
        ends = np.concatenate(([0], np.cumsum(good)))
        return neighbors.Rows(ends[indptr], others[good], values[good].astype(np.float32))

    def _labels(self, known: Together, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not known.columns:
            return np.zeros(len(items) + 1, dtype=np.int64), np.empty(0, dtype=np.int32)
        return known.groups(items, self.column)

    @property
    def n_baskets_(self) -> int:
        """Baskets that were counted."""
        return int(self._attribute("n_baskets_").learned.totals[1])


def _chosen(profiles: Profiles) -> Profiles:
    """The entries of profiles that are evidence."""
    good = profiles.weights > 0
    if good.all():
        return profiles
    ends = np.concatenate(([0], np.cumsum(good)))
    return Profiles(ends[profiles.indptr], profiles.items[good], profiles.weights[good])


def _incidence(indptr: np.ndarray, labels: np.ndarray, n_labels: int) -> sp.csr_array:
    shape = len(indptr) - 1, max(n_labels, 1)
    return sp.csr_array((np.ones(len(labels)), labels.astype(np.int64), indptr), shape)
