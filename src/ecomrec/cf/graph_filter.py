"""Graph filters: histories smoothed over the graph of items that share users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from ecomrec._memory import check_memory
from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import Query, SideTables, State
from ecomrec.cf._canonical import id_ranks
from ecomrec.cf._linear import (
    DenseWeights,
    LinearItemModel,
    SparseWeights,
    lapack_threads,
    shared_users,
)
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import assemble, gram, neighbors, ranking
from ecomrec.state import ArrayRule, columns_of

# Up to here the singular vectors are found exactly.
_EXACT = 512
# Scores below this share of the row's best are rounding errors.
_NOTHING = 1e-6


@dataclass(frozen=True, eq=False)
class FilterWeights:
    """Sparse weights between items, and ``left @ right``, of low rank, added to them."""

    weights: RowStore
    left: np.ndarray
    right: np.ndarray
    current: bool

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_factors = columns_of(self.left)
        return {
            "left": ArrayRule((shop.n_items, n_factors)),
            "right": ArrayRule((n_factors, shop.n_items)),
        }

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        return {"weights": (shop.n_items, shop.n_items)}


class GraphFilter(LinearItemModel):
    r"""Recommends what is left of a history when noise between items is filtered out.

    Nothing is trained. With the users x items matrix R of weights, its row sums :math:`d_u` and
    column sums :math:`d_i`, :math:`\tilde R = D_U^{-\alpha} R D_I^{-\beta}` and
    :math:`\tilde P = \tilde R^\top \tilde R` with every entry raised to the power s, the scores of
    a visitor with weights x are those of one of two filters:

    .. math::

        \text{gf:} \quad x \big( \tilde P + \omega \sigma_1^2 \,
        D_I^{-\beta} V \operatorname{diag}(f) V^\top D_I^{\beta} \big), \qquad
        \text{turbo:} \quad x \tilde P \quad \text{or} \quad x (2 \tilde P - \tilde P^2),

    where V holds the first `n_factors` right singular vectors of :math:`\tilde R`, and
    :math:`\sigma_1` is its largest singular value (1 if both exponents are 1/2). Scores of one
    user are comparable, scores of two users are not.

    Parameters
    ----------
    kind : {"gf", "turbo"}
        GF-CF: linear and low-pass filter together; or Turbo-CF: no singular vectors, quickest.
    alpha : float
        :math:`\alpha`: how much heavy users are held back.
    item_damping : float or None
        :math:`\beta`: how much popular items are held back. None: 1 - `alpha`, as in
        the papers.
    power : float
        s: above 1, strong links count for more. With ``order=2`` take 1 or more.
    order : {1, 2}
        Turbo only: 1 for the linear filter, 2 for :math:`2 \tilde P - \tilde P^2`, which needs
        dense weights between all items.
    n_neighbors : int or None
        Entries of :math:`\tilde P` kept in each row, the largest; None for all. With ``order=2``
        all are kept.
    n_factors : int or None
        Singular vectors that pass. None: 256, and one for 32 items at most.
    low_pass_weight : float
        :math:`\omega`, the part of the low-pass filter.
    regularization : float
        0: all singular vectors pass alike, :math:`f = 1`. Above: a vector of singular value
        :math:`\sigma` counts :math:`f = \sigma^2 / (\sigma^2 + \text{regularization} \cdot
        \sigma_1^2)`.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    random_state : int, Generator, RandomState or None
        For the randomised singular vectors of large catalogues.
    n_jobs : int or None
        Threads, as in joblib. Scores for other numbers of threads agree to a relative 1e-4.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    item_weights_ : ndarray or scipy.sparse.csr_array of shape (n_items, n_items)
        What histories are multiplied by; for "gf" the linear part of it.
    item_factors_ : ndarray of shape (n_items, n_factors), float32
        :math:`D_I^{-\beta} V`; no columns for "turbo".
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    EASE : A filter that is learned, in closed form.
    ItemKNN : The linear filter with shrinking, and cheap updates.

    Notes
    -----
    A fit costs :math:`\sum_u d_u^2` multiply-adds for :math:`\tilde P`, and for "gf" about 16
    passes over the events for each singular vector. Memory: 8 bytes for each entry kept, and 8
    for each item and vector; ``order=2`` takes :math:`8 n^2` bytes and is refused, with the
    figure, where they do not fit. `partial_fit` costs the batch: visitors are answered from their
    new events at once, the filter stays until `refresh` makes it anew. `forget` makes it anew.
    The filters are those of [1]_ and [2]_.

    References
    ----------
    .. [1] Shen, Wu, Zhang, Shan, Zhang, Letaief, Li: How powerful is graph convolution for
       recommendation? CIKM 2021.
    .. [2] Park, Shin, Shin: Turbo-CF: matrix decomposition-free graph filtering for fast
       recommendation. SIGIR 2024.

    Examples
    --------
    >>> from ecomrec.cf import GraphFilter
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = GraphFilter().fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _learned_types: ClassVar[tuple[type, ...]] = (FilterWeights, DenseWeights, SparseWeights)
    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "kind": choice("gf", "turbo"),
        "alpha": real(0, 1),
        "item_damping": real(0, none=True),
        "power": real(0.01),
        "order": Rule("1 or 2", lambda v: v in (1, 2) and not isinstance(v, bool), (0, 3, "1")),
        "n_neighbors": integer(1, none=True),
        "n_factors": integer(1, none=True),
        "low_pass_weight": real(0),
        "regularization": real(0),
        "half_life": duration(),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "alpha": [0.4, 0.5, 0.6],
        "power": [0.7, 1.0, 1.4],
        "n_factors": [64, 128, 256, 512],
        "low_pass_weight": [0.1, 0.3, 1.0, 3.0],
        "regularization": [0.0, 0.01, 0.03],
    }

    def __init__(
        self,
        kind: str = "gf",
        *,
        alpha: float = 0.5,
        item_damping: float | None = 0.4,
        power: float = 1.0,
        order: int = 1,
        n_neighbors: int | None = 1000,
        n_factors: int | None = None,
        low_pass_weight: float = 0.3,
        regularization: float = 0.0,
        half_life: HalfLife = None,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.kind = kind
        self.alpha = alpha
        self.item_damping = item_damping
        self.power = power
        self.order = order
        self.n_neighbors = n_neighbors
        self.n_factors = n_factors
        self.low_pass_weight = low_pass_weight
        self.regularization = regularization
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _check_params(self) -> None:
        super()._check_params()
        if self.kind == "gf" and self.order == 2:
            raise ValueError("GraphFilter: order=2 needs kind='turbo'; got kind='gf'.")

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> Any:
        n_items = shop.n_items
        item_damping = 1 - self.alpha if self.item_damping is None else self.item_damping
        user_sums, item_sums = _sums(shop)
        user_factors = np.where(user_sums > 0, np.maximum(user_sums, 1e-30) ** -self.alpha, 0.0)
        popularity = np.maximum(item_sums, 1e-30) ** item_damping
        importance = user_factors**2 * shop.scale**2
        if self.order == 2:
            return self._second_order(shop, importance, popularity)
        n_kept = n_items if self.n_neighbors is None else self.n_neighbors
        found = shared_users(shop, importance, popularity, n_kept, self.n_jobs, self.power)
        store = RowStore.from_csr(found.indptr, (found.entities, found.values))
        if self.kind == "turbo":
            return SparseWeights(store, True)
        values, vectors = self._singular(shop, user_factors, popularity)
        largest = values[:1].sum() ** 2
        passing = np.ones_like(values)
        if self.regularization > 0:
            passing = values**2 / (values**2 + self.regularization * largest)
        known = (item_sums > 0).astype(np.float64)
        left = vectors * (known / popularity)[:, None]
        right = (self.low_pass_weight * largest * passing)[:, None] * (
            vectors.T * (known * popularity)
        )
        return FilterWeights(
            store,
            np.ascontiguousarray(left, dtype=np.float32),
            np.ascontiguousarray(right, dtype=np.float32),
            True,
        )

    def _second_order(
        self, shop: Interactions, importance: np.ndarray, popularity: np.ndarray
    ) -> DenseWeights:
        check_memory(
            "GraphFilter", shop.n_items, 8.0 * shop.n_items**2,
            "Use order=1, or fit on fewer items.",
        )  # fmt: skip
        first = gram.gram(
            shop.by_item.arrays, shop.by_user.arrays, importance, 1 / popularity, self.n_jobs
        )
        ones = np.ones(len(first))
        gram.mirror_scaled(first, ones, ones, self.n_jobs)
        np.power(first, np.float32(self.power), out=first)
        with lapack_threads(self.n_jobs, shop.n_items):
            second = first @ first
        first *= 2
        first -= second
        np.fill_diagonal(first, 0.0)
        return DenseWeights(first, True)

    def _singular(
        self, shop: Interactions, user_factors: np.ndarray, popularity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Largest singular values of the normalised matrix, and its right vectors as columns."""
        n_users, n_items = shop.shape
        wanted = self.n_factors or min(256, -(-n_items // 32))
        wanted = min(wanted, n_users, n_items)
        data = np.maximum(shop.data, 0) * (
            shop.scale * np.repeat(user_factors, np.diff(shop.indptr))
        )
        data = data / popularity[shop.indices]
        # In the order of ids: chance then does not depend on who came first.
        places, rows = id_ranks(shop.items), np.argsort(shop.user_ids, kind="stable")
        matrix = sp.csr_array(
            (data.astype(np.float32), places[shop.indices], shop.indptr), shape=shop.shape
        )[rows]
        with lapack_threads(self.n_jobs, shop.n_items):
            if n_items <= _EXACT:
                values, vectors = _exact(matrix, wanted)
            else:
                number = int(make_rng(self.random_state).integers(2**31))
                _, values, found = randomized_svd(
                    matrix, wanted, n_oversamples=32, n_iter=7, random_state=number
                )
                vectors = found.T
        return values.astype(np.float64), vectors[places].astype(np.float64)

    def _grown(self, learned: Any, n_items: int) -> Any:
        grown = super()._grown(learned, n_items)
        if not isinstance(learned, FilterWeights) or len(learned.left) == n_items:
            return grown
        later = n_items - len(learned.left)
        left = np.pad(learned.left, ((0, later), (0, 0)))
        right = np.pad(learned.right, ((0, 0), (0, later)))
        return FilterWeights(grown.weights, left, right, grown.current)

    # ------------------------------------------------------------------ answering

    def _score(self, state: State, query: Query) -> np.ndarray:
        learned = state.learned
        if not isinstance(learned, FilterWeights):
            return super()._score(state, query)
        linear = neighbors.scores(
            query.profiles, learned.weights.arrays, state.interactions.n_items, self.n_jobs
        )
        scores: np.ndarray = _times(query.profiles, learned.left) @ learned.right
        scores += np.nan_to_num(linear, copy=False, nan=0.0)
        best = scores.max(axis=1, keepdims=True, initial=0.0)
        scores[~(scores > _NOTHING * best)] = np.nan
        return scores

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(state.learned, FilterWeights):
            return self._top_k_of_blocks(state, query, k, mask)
        return super()._top_k(state, query, k, mask)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        if not isinstance(state.learned, FilterWeights):
            return super()._similar_items(state, rows, k)
        profiles = Profiles(
            np.arange(len(rows) + 1), rows.astype(np.int32), np.ones(len(rows), dtype=np.float32)
        )
        mask = ranking.hiding(profiles.items, profiles.indptr)
        query = Query(np.full(len(rows), -1), profiles, False)
        items, scores = self._top_k_of_blocks(state, query, k, mask)
        kept = items >= 0
        return neighbors.Rows(assemble.offsets(kept.sum(axis=1)), items[kept], scores[kept])

    def _links(self, state: State, history: np.ndarray, item: int) -> np.ndarray:
        links = super()._links(state, history, item)
        if isinstance(state.learned, FilterWeights):
            links = links + state.learned.left[history] @ state.learned.right[:, item]
        return links

    @property
    def item_factors_(self) -> np.ndarray:
        """The smoothed items: one row for each."""
        learned = self._attribute("item_factors_").learned
        if not isinstance(learned, FilterWeights):
            return np.empty((self._state.interactions.n_items, 0), dtype=np.float32)
        view = learned.left.view()
        view.flags.writeable = False
        return view


def _sums(shop: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the positive weights of each user and of each item."""
    users = neighbors.row_sums(
        np.arange(shop.n_users), shop.by_user.arrays, np.ones(shop.n_items), scale=shop.scale
    )
    items = neighbors.row_sums(
        np.arange(shop.n_items), shop.by_item.arrays, np.ones(shop.n_users), scale=shop.scale
    )
    return users, items


def _exact(matrix: sp.csr_array, n_factors: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right vectors; those that tie with the last one wanted come too."""
    dense = (matrix.T @ matrix).toarray().astype(np.float64)
    values, vectors = np.linalg.eigh(dense)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    last = values[n_factors - 1]
    kept = (values >= last * (1 - 1e-3)) & (values > 1e-6 * values[0])
    return np.sqrt(values[kept]), vectors[:, kept]


def _times(profiles: Profiles, factors: np.ndarray) -> np.ndarray:
    """Sum of the positive weights of each profile times the factors of their items."""
    matrix = sp.csr_array(
        (np.maximum(profiles.weights, 0), profiles.items, profiles.indptr),
        shape=(len(profiles.indptr) - 1, len(factors)),
    )
    product: np.ndarray = matrix @ factors
    return product
