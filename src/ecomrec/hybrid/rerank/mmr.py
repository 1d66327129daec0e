"""Maximal marginal relevance: good items, each unlike those above it."""

from __future__ import annotations

import numpy as np

from ecomrec.hybrid.rerank._reranker import Known, Lists
from ecomrec.hybrid.rerank._spread import Spread
from ecomrec.kernels import greedy


class MMR(Spread):
    r"""Puts items first that are relevant and unlike those already above them.

    Place by place it takes, of the candidates i that are left, the largest

    .. math:: \lambda \, r_i - (1 - \lambda) \max\bigl(0, \max_{j \in S} \cos(x_i, x_j)\bigr)

    with the items S above, the vectors x of the items, and the relevance :math:`r_i`: the score of
    the list, from 0 for the last candidate of the row to 1 for its best (all 1 if scores are
    equal). That value is the new score; it never rises down a list, and may be negative. Scores of
    different rows do not compare.

    Parameters
    ----------
    trade_off : float
        :math:`\lambda`: 1 keeps the order, 0 looks at likeness alone.
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
    DPP : Looks at the list as a whole rather than at the nearest item.
    Reranked : A recommender whose lists are put in another order.

    Notes
    -----
    Relevance depends on how many candidates there are: with more, the differences between the
    first ones shrink. Items without a vector (unknown ones, zeros) are unlike everything.
    Similarities below 0 count as 0. A row of m candidates costs m * k sparse products [1]_.

    References
    ----------
    .. [1] Carbonell, Goldstein: The use of MMR, diversity-based reranking for reordering documents
       and producing summaries. SIGIR 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from ecomrec.base import Recommendations
    >>> from ecomrec.hybrid import MMR
    >>> recs = Recommendations(
    ...     np.array([["red mug", "blue mug", "tea"]]), np.array([[0.9, 0.8, 0.5]]), ["ann"]
    ... )
    >>> alike = ["red mug", "blue mug", "tea"], [[1.0, 0.1], [1.0, 0.2], [0.0, 1.0]]
    >>> MMR(0.5).fit(vectors=alike).rerank(recs, k=3)
    Recommendations: 1 rows, 3 places
      'ann': 'red mug' 0.5, 'tea' -0.0498, 'blue mug' -0.123
    """

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        vectors, rows, width = self._alike(known, lists)
        found: tuple[np.ndarray, np.ndarray] = greedy.mmr(
            rows, lists.relevance(), vectors, width, k, self.trade_off, self.n_jobs
        )
        return found
