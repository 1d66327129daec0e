"""Determinantal point processes: lists that span much."""

from __future__ import annotations

import numpy as np

from ecomrec.hybrid.rerank._reranker import Known, Lists
from ecomrec.hybrid.rerank._spread import Spread
from ecomrec.kernels import greedy


class DPP(Spread):
    r"""Puts lists together that are relevant and span much: greedy MAP of a determinantal process.

    A list S is worth :math:`\theta \sum_{i \in S} r_i + (1 - \theta) \log \det C_S` with the
    cosines :math:`C` of its items and the relevance :math:`r_i`, from 0 to 1 as in `MMR`: the
    logarithm of :math:`\det L_S` for the kernel
    :math:`L_{ij} = q_i C_{ij} q_j`, :math:`q_i = e^{\theta r_i / (2 (1 - \theta))}`, times
    :math:`1 - \theta`. Place by place the item is taken that adds most; what it adds is its score,
    which never rises down a list and may be negative. Scores of different rows do not compare.

    Parameters
    ----------
    trade_off : float
        :math:`\theta`: 1 keeps the order, 0 looks at likeness alone.
    similarity : {None, "items", "events", "factors"}
        What vectors are made of: "items", the words and labels of the items table, weighted by
        rarity (tf-idf); "events", the users who touched an item; "factors", the vectors given to
        `fit`, or inside `Reranked` the item factors of its model. None: what there is, in the
        order "factors" (if given), "items", "events".
    fields : dict of str to float, optional
        Columns of the items table and their weights. None: those there are of `title`, `name`,
        `description` (by words), `category`, `brand` and `tags` (as labels).
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    See Also
    --------
    MMR : Looks at the nearest item above rather than at the list as a whole.
    Reranked : A recommender whose lists are put in another order.

    Notes
    -----
    By the incremental Cholesky factor of [1]_ a row of m candidates costs m * k sparse products
    and m * k^2 multiply-adds. An item that adds nothing to the determinant, such as the twin of
    one above, is taken as if it multiplied it by 1e-6. Items without a vector (unknown ones,
    zeros) are unlike everything.

    References
    ----------
    .. [1] Chen, Zhang, Zhou: Fast greedy MAP inference for determinantal point process to improve
       recommendation diversity. NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from ecomrec.base import Recommendations
    >>> from ecomrec.hybrid import DPP
    >>> recs = Recommendations(
    ...     np.array([["red mug", "blue mug", "tea"]]), np.array([[0.9, 0.8, 0.5]]), ["ann"]
    ... )
    >>> alike = ["red mug", "blue mug", "tea"], [[1.0, 0.1], [1.0, 0.2], [0.0, 1.0]]
    >>> DPP(0.5).fit(vectors=alike).rerank(recs, k=2)
    Recommendations: 1 rows, 2 places
      'ann': 'red mug' 0.5, 'tea' -0.00498
    """

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        vectors, rows, width = self._alike(known, lists)
        found: tuple[np.ndarray, np.ndarray] = greedy.dpp(
            rows, lists.relevance(), vectors, width, k, self.trade_off, self.n_jobs
        )
        return found
