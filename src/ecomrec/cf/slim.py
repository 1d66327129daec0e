"""SLIM: every item regressed on a few others, with sparse weights that are not negative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from ecomrec._memory import check_memory
from ecomrec._validation import Rule, integer, jobs, real
from ecomrec.base import SideTables
from ecomrec.cf._canonical import id_ranks
from ecomrec.cf._linear import (
    LinearItemModel,
    SparseWeights,
    shared_users,
    squares,
    user_weights,
    usual_regularization,
)
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import assemble, gram


class SLIM(LinearItemModel):
    r"""Recommends what a sparse regression on the visitor's items predicts.

    With the users x items matrix X of weights, the score of item j for a visitor with weights x
    is :math:`\sum_i x_i W_{ij}`, where column j of W minimises

    .. math:: \tfrac12 \lVert X_j - X w \rVert^2
              + \lambda \Big( \tfrac{1 - \rho}{2} \lVert w \rVert^2
              + \rho \lVert w \rVert_1 \Big), \qquad w \ge 0, \; w_j = 0,

    over the `n_candidates` items that share most with j. :math:`\lambda` is `regularization` and
    :math:`\rho` is `l1_ratio`. Scores of one user are comparable, those of two users roughly.

    Parameters
    ----------
    n_neighbors : int
        Weights kept for each recommended item, the largest.
    regularization : float or None
        Larger: smaller weights. None: :math:`50 \sum x_{ui}^2 / \sqrt{N n}` with N entries and n
        items that have any.
    l1_ratio : float
        Share of the regularization that makes weights zero rather than small.
    n_candidates : int
        Items that may explain another one: those of highest cosine with it.
    user_damping : float
        Each user's error counts with the number of their items to the power -`user_damping`:
        above 0, heavy users say less.
    max_iter : int
        Sweeps over the weights of an item at most.
    tol : float
        Sweeps end when no weight moved by more.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    item_weights_ : scipy.sparse.csr_array of shape (n_items, n_items)
        W.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    EASE : The dense regression, in closed form.

    Notes
    -----
    A fit costs :math:`\sum_u d_u^2` multiply-adds for the candidates, and for each item some
    sweeps over its candidates whose cost grows with the weights that are not zero. Memory: 8
    bytes for each pair of items that share a user while it learns (refused, with the figure, where
    they do not fit), then 8 bytes for each weight kept.
    `partial_fit` costs the batch: visitors are answered from their new events at once, W stays
    until `refresh` learns it anew. `forget` learns it anew. The model is that of [1]_, its
    coordinate descent that of [2]_.

    References
    ----------
    .. [1] Ning, Karypis: SLIM: sparse linear methods for top-n recommender systems. ICDM 2011.
    .. [2] Friedman, Hastie, Tibshirani: Regularization paths for generalized linear models via
       coordinate descent. Journal of Statistical Software 2010.

    Examples
    --------
    >>> from ecomrec.cf import SLIM
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = SLIM().fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_neighbors": integer(1),
        "regularization": real(0, none=True),
        "l1_ratio": real(0, 1),
        "n_candidates": integer(1),
        "user_damping": real(0),
        "max_iter": integer(1),
        "tol": real(0),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "regularization": [3.0, 10.0, 30.0, 100.0, 300.0],
        "l1_ratio": [0.003, 0.01, 0.03, 0.1],
        "user_damping": [0.0, 0.5, 1.0],
    }

    def __init__(
        self,
        n_neighbors: int = 200,
        *,
        regularization: float | None = None,
        l1_ratio: float = 0.003,
        n_candidates: int = 500,
        user_damping: float = 0.0,
        max_iter: int = 50,
        tol: float = 1e-4,
        half_life: HalfLife = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.regularization = regularization
        self.l1_ratio = l1_ratio
        self.n_candidates = n_candidates
        self.user_damping = user_damping
        self.max_iter = max_iter
        self.tol = tol
        self.half_life = half_life
        self.n_jobs = n_jobs

    def _fit(self, shop: Interactions, sides: SideTables) -> SparseWeights:
        n_items = shop.n_items
        importance = user_weights(shop, self.user_damping)
        diagonal = squares(shop, importance)
        regularization = self.regularization
        if regularization is None:
            regularization = usual_regularization(shop, diagonal)
        self._check_memory(shop)
        norms = np.sqrt(diagonal)
        found = shared_users(shop, importance, norms, self.n_candidates, self.n_jobs)
        targets = np.repeat(np.arange(n_items), np.diff(found.indptr))
        wanted = (found.values * (norms[targets] * norms[found.entities])).astype(np.float32)
        # In the order of ids: the path to the solution does not depend on who came first.
        order = np.lexsort((id_ranks(shop.items)[found.entities], targets))
        candidates = found.indptr, found.entities[order], wanted[order]
        del found, targets, wanted, order
        together = shared_users(shop, importance, np.ones(n_items), n_items, self.n_jobs)
        gram_rows = sp.csr_array(
            (together.values, together.entities, together.indptr), shape=(n_items, n_items)
        )
        del together
        gram_rows.sort_indices()
        indptr, items, weights = gram.elastic_net(
            (gram_rows.indptr.astype(np.int64), gram_rows.indices, gram_rows.data),
            diagonal.astype(np.float32), candidates, regularization * self.l1_ratio,
            regularization * (1 - self.l1_ratio), self.max_iter, self.tol, self.n_neighbors,
            self.n_jobs,
        )  # fmt: skip
        lengths = np.diff(indptr).astype(np.int32)
        indptr, targets, weights = assemble.transpose(
            indptr[:-1], lengths, items, weights, n_items
        )
        return SparseWeights(RowStore.from_csr(indptr, (targets, weights)), True)

    def _check_memory(self, shop: Interactions) -> None:
        """Refuse more pairs of items than fit; there are no more than two users' items make."""
        work = gram.gram_work(shop.by_item.arrays, shop.by_user.arrays)
        n_pairs = float(np.minimum(work, shop.n_items).sum(dtype=np.float64))
        check_memory(
            "SLIM", shop.n_items, 8 * n_pairs,
            "Drop the users with most items (RobotFilter), or use ItemKNN.",
        )  # fmt: skip
