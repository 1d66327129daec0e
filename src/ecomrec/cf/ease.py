"""EASE: every item regressed on all others, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import lapack

from ecomrec._memory import check_memory
from ecomrec._validation import Rule, jobs, real
from ecomrec.base import SideTables
from ecomrec.cf._linear import (
    DenseWeights,
    LinearItemModel,
    lapack_threads,
    squares,
    user_weights,
    usual_regularization,
)
from ecomrec.data.interactions import Interactions
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import gram

# Up to here LAPACK inverts the whole: beyond 2 GB, OpenBLAS crashes in it.
_WHOLE = 16_384
# Rows that are eliminated at a time beyond that, and the bytes for each item that this takes.
_BLOCK = 1024
_ROOM = 12.0 * _BLOCK
_ADVICE = "Fit on fewer items, or use SLIM or ItemKNN, which keep a few weights for each item."


class EASE(LinearItemModel):
    r"""Recommends what a linear regression on the visitor's items predicts, in closed form.

    With the users x items matrix X of weights, the score of item j for a visitor with weights x
    is :math:`(x B)_j`, where

    .. math:: B_{ij} = -\frac{P_{ij}}{P_{jj}}, \quad B_{jj} = 0, \qquad
              P = \Big(X^\top X + \lambda I + \frac{p}{1 - p} \operatorname{diag}(X^\top X)
              \Big)^{-1}

    minimises :math:`\lVert X - XB \rVert^2 + \lambda \lVert B \rVert^2` over all B whose diagonal
    is zero: no item may explain itself. :math:`\lambda` is `regularization` and p is `dropout`.
    A score estimates the weight that the visitor would give; where it is not positive, nothing
    speaks for the item. Scores of one user are comparable, those of two users roughly.

    Parameters
    ----------
    regularization : float or None
        Larger: weights are smaller and smoother, and popular items count for more. None:
        :math:`50 \sum x_{ui}^2 / \sqrt{N n}` with N entries and n items that have any.
    dropout : float
        Share p of a history that is hidden at random while the regression is learned (EDLAE), in
        closed form: popular items are regularized more.
    user_damping : float
        Each user's error counts with the number of their items to the power -`user_damping`:
        above 0, heavy users say less.
    item_damping : float
        Columns of X are divided by the number of their users to this power before the regression,
        and its answers multiplied by it: above 0, popular items are regularized more.
    self_exclusion : float
        The power of :math:`P_{jj}` that B is divided by. 1 is EASE; towards 0 the diagonal is
        constrained less (0: plain ridge regression), and popular items are held back.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    n_jobs : int or None
        Threads, as in joblib, also of LAPACK. Scores for other numbers of threads agree to a
        relative 1e-4.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    item_weights_ : ndarray of shape (n_items, n_items), float32
        B.
    regularization_ : float
        The :math:`\lambda` used.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    SLIM : Sparse weights, for large catalogues.
    ItemKNN : Similarities instead of a regression, cheap to update.

    Notes
    -----
    A fit costs :math:`\sum_u d_u^2 / 2` multiply-adds for the Gram matrix and :math:`n^3` for n
    items, in place in one float32 array of :math:`4 n^2` bytes (10,000 items: 0.4 GB; 40,000:
    6.4 GB). It is refused, with the figure, where that does not fit. `partial_fit` costs the
    batch: visitors are answered from their new events at once, B stays until `refresh` learns it
    anew. `forget` learns it anew. The model is that of [1]_, `dropout` that of [2]_;
    `self_exclusion` below 1 relaxes the diagonal in the spirit of [3]_.

    References
    ----------
    .. [1] Steck: Embarrassingly shallow autoencoders for sparse data. WWW 2019.
    .. [2] Steck: Autoencoders that don't overfit towards the identity. NeurIPS 2020.
    .. [3] Moon, Kim, Lee: It's enough: relaxing diagonal constraints in linear autoencoders for
       recommendation. SIGIR 2023.

    Examples
    --------
    >>> from ecomrec.cf import EASE
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = EASE().fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "regularization": real(0, none=True),
        "dropout": real(0, 0.99),
        "user_damping": real(0),
        "item_damping": real(0),
        "self_exclusion": real(0, 1),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "regularization": [10.0, 30.0, 100.0, 300.0, 1000.0],
        "dropout": [0.0, 0.3, 0.5],
        "user_damping": [0.0, 0.5],
        "item_damping": [0.0, 0.2],
        "self_exclusion": [0.3, 1.0],
    }

    def __init__(
        self,
        regularization: float | None = None,
        *,
        dropout: float = 0.0,
        user_damping: float = 0.0,
        item_damping: float = 0.0,
        self_exclusion: float = 1.0,
        half_life: HalfLife = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.regularization = regularization
        self.dropout = dropout
        self.user_damping = user_damping
        self.item_damping = item_damping
        self.self_exclusion = self_exclusion
        self.half_life = half_life
        self.n_jobs = n_jobs

    def _fit(self, shop: Interactions, sides: SideTables) -> DenseWeights:
        n_items = shop.n_items
        check_memory("EASE", n_items, 4.0 * n_items**2 + _ROOM * n_items, _ADVICE)
        popularity = np.maximum(shop.item_counts, 1.0) ** self.item_damping
        regularization, importance, diagonal = self._problem(shop)
        matrix = gram.gram(
            shop.by_item.arrays, shop.by_user.arrays, importance, 1 / popularity, self.n_jobs,
            unit=bool((shop.data == 1).all()),
        )  # fmt: skip
        places = np.arange(n_items)
        matrix[places, places] += self.dropout / (1 - self.dropout) * diagonal + regularization
        # An item without evidence has nothing else on its row.
        matrix[places[diagonal == 0], places[diagonal == 0]] = 1.0
        self._invert(matrix)
        inverse = matrix[places, places].astype(np.float64)
        right = -popularity * inverse**-self.self_exclusion
        gram.mirror_scaled(matrix, 1 / popularity, right, self.n_jobs)
        matrix[places, places] = 0.0
        return DenseWeights(matrix, True)

    def _problem(self, shop: Interactions) -> tuple[float, np.ndarray, np.ndarray]:
        """The regularization, how much each user counts, and the diagonal of the Gram matrix."""
        importance = user_weights(shop, self.user_damping)
        diagonal = squares(shop, importance)
        diagonal *= np.maximum(shop.item_counts, 1.0) ** (-2 * self.item_damping)
        if self.regularization is not None:
            return float(self.regularization), importance, diagonal
        return usual_regularization(shop, diagonal), importance, diagonal

    def _invert(self, matrix: np.ndarray) -> None:
        """Replace the upper triangle of a symmetric matrix by that of its inverse, in place."""
        with lapack_threads(self.n_jobs, len(matrix)):
            invert = _invert_whole if len(matrix) <= _WHOLE else invert_upper
            definite = invert(matrix)
        if not definite:
            raise ValueError(
                f"EASE: the Gram matrix plus regularization={self.regularization!r} cannot be "
                "inverted in float32. Raise regularization."
            )

    @property
    def regularization_(self) -> float:
        """The regularization used."""
        return self._problem(self._attribute("regularization_").interactions)[0]


def _invert_whole(matrix: np.ndarray) -> bool:
    """Invert a positive definite matrix as `invert_upper` does, by its Cholesky factor."""
    # The rows of a C array are the columns of a Fortran one: nothing is copied.
    _, failed = lapack.spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if failed == 0:
        _, failed = lapack.spotri(matrix.T, lower=1, overwrite_c=1)
    return not failed


def invert_upper(matrix: np.ndarray, block: int = _BLOCK) -> bool:
    """Invert a positive definite matrix in place, in and out by its upper triangle.

    One block of rows after another is swept (Gauss-Jordan elimination of blocks), n^3 operations
    in all, nearly all of them in matrix products. Returns whether the matrix was definite.
    """
    n = len(matrix)
    for first in range(0, n, block):
        last = min(first + block, n)
        pivot = _inverse(matrix[first:last, first:last])
        if pivot is None:
            return False
        panel = np.concatenate((matrix[:first, first:last], matrix[first:last, last:].T))
        scaled = panel @ pivot
        above, below = panel[:first], panel[first:]
        for top in range(0, first, block):
            rows = slice(top, top + block)
            matrix[rows, top:first] -= scaled[rows] @ above[top:].T
            matrix[rows, last:] -= scaled[rows] @ below.T
        for top in range(last, n, block):
            rows = slice(top - last, min(top + block, n) - last)
            matrix[top : top + block, top:] -= scaled[first:][rows] @ below[top - last :].T
        matrix[:first, first:last] = scaled[:first]
        matrix[first:last, last:] = scaled[first:].T
        matrix[first:last, first:last] = -pivot
    np.negative(matrix, out=matrix)
    return True


def _inverse(block: np.ndarray) -> np.ndarray | None:
    """Inverse of a small block given by its upper triangle; None if it is not definite."""
    inverse = block.copy()
    if not _invert_whole(inverse):
        return None
    upper = np.triu(inverse)
    whole: np.ndarray = upper + np.triu(upper, 1).T
    return whole
