"""Lists with the mix of categories that a person's history has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, jobs, real, text
from ecomrec.data.catalog import Catalog
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.exceptions import DataError
from ecomrec.hybrid.rerank._groups import blocks, column_of_groups, members_of
from ecomrec.hybrid.rerank._reranker import Known, Lists, Reranker, histories_of
from ecomrec.kernels import greedy
from ecomrec.recommendations import Recommendations


class Calibrated(Reranker):
    r"""Brings the mix of categories in a list near that of the person's history.

    Who buys 70 % novels and 30 % cook books gets about 7 and 3 of them, not 10 novels. With the
    share :math:`p_g` of category g in the history and :math:`p(g|i)` of item i (equal shares if it
    has several), a list S has the mix

    .. math:: \tilde q_g(S) = \frac{\beta p_g + \sum_{i \in S} p(g|i)}{\beta + |S|}

    Place by place the item is taken that adds most to

    .. math:: \lambda \sum_{i \in S} r_i + (1 - \lambda) \sum_g p_g
              \log\Bigl(\beta p_g + \sum_{i \in S} p(g|i)\Bigr)

    which puts lists of one length in the order of
    :math:`\lambda \sum r_i - (1 - \lambda) \, \mathrm{KL}(p \,\|\, \tilde q)`. Relevance
    :math:`r_i` is the score of the list, from 0 for the last candidate of the row to 1 for its
    best. What an item adds is its new score; it never rises down a list. Scores of different rows
    do not compare.

    Parameters
    ----------
    trade_off : float
        :math:`\lambda`: 1 keeps the order, 0 looks at the mix alone.
    column : str
        Column of the items table; a cell may be a list of several labels (`tags` may be divided by
        ``|``, ``;`` or ``,``).
    smoothing : float
        :math:`\beta`: so many places count as if they were filled just like the history.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    See Also
    --------
    CategoryCap : No more than so many of a category, whoever asks.

    Notes
    -----
    The objective, its greedy maximum and the smoothing are those of [1]_; :math:`\tilde q` is his
    for :math:`\alpha = \beta / (\beta + |S|)`. A person without history, or whose history has no
    category, gets the list in its order. A row of m candidates costs m * k steps.

    References
    ----------
    .. [1] Steck: Calibrated recommendations. RecSys 2018.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecomrec.base import Recommendations
    >>> from ecomrec.hybrid import Calibrated
    >>> items = pd.DataFrame({"item_id": [1, 2, 3, 4], "category": ["novel"] * 3 + ["cooking"]})
    >>> recs = Recommendations(np.array([[1, 2, 3, 4]]), np.array([[4.0, 3.9, 3.8, 3.0]]), ["ann"])
    >>> Calibrated().fit(items=items).rerank(recs, k=2, history=[[2, 4]]).items.tolist()
    [[1, 4]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "trade_off": real(0, 1),
        "column": text(),
        "smoothing": real(1e-6),
        "n_jobs": jobs(),
    }

    def __init__(
        self,
        trade_off: float = 0.5,
        *,
        column: str = "category",
        smoothing: float = 0.1,
        n_jobs: int | None = -1,
    ) -> None:
        self.trade_off = trade_off
        self.column = column
        self.smoothing = smoothing
        self.n_jobs = n_jobs

    def rerank(
        self, recs: Recommendations, k: int = 10, *, history: Any = None
    ) -> Recommendations:
        """Return the lists in another order, cut to k places.

        Parameters
        ----------
        recs : Recommendations
            Candidates of any model, best first; they are not changed. Give more than k.
        k : int
            Items per row.
        history : list of sequences of item ids, optional
            What the person of each row chose. None: the events given to `fit`, by user id.

        Returns
        -------
        Recommendations
            The same rows; items only from the same row, each once.
        """
        return self._rerank(recs, k, history=history)

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        return column_of_groups(type(self).__name__, catalog, self.column)

    def _check_known(self, known: Known) -> None:
        if not known.shelf.columns:
            raise self._not_fitted("fit(events, items=catalog)")

    def _profiles(self, known: Known, recs: Recommendations, history: Any) -> Profiles:
        if history is not None:
            if isinstance(history, (str, bytes)) or not hasattr(history, "__len__"):
                raise DataError(
                    "history must be a list of sequences of item ids, one for each row, such as "
                    f"[['sku1', 'sku3']]; got {history!r}."
                )
            if len(history) != len(recs.keys):
                raise DataError(
                    f"history has {len(history)} rows for {len(recs.keys)} lists. Give one for "
                    "each."
                )
            return histories_of(known, history)
        if known.shop is None or isinstance(recs.keys, range):
            raise DataError(
                "Calibrated needs to know what each person chose: fit it on the events, or pass "
                "history, a list of item ids for each row."
            )
        return stored_profiles(known.shop, known.shop.users.rows(recs.keys))

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        members = members_of(known, lists, self.column)
        relevance = lists.relevance()
        n = len(lists.rows)
        width = min(k, lists.rows.shape[1])
        places = np.full((n, width), -1, dtype=np.int64)
        gains = np.full((n, width), np.nan)
        assert lists.profiles is not None
        for part in blocks(n, len(members.words)):
            wanted = self._mixes(known, lists.profiles.part(part), members.words)
            places[part], gains[part] = greedy.calibrate(
                members.rows[part], relevance[part], members[1:3], wanted, k, self.trade_off,
                self.smoothing, self.n_jobs,
            )  # fmt: skip
        return places, gains

    def _mixes(self, known: Known, profiles: Profiles, words: np.ndarray) -> np.ndarray:
        """Share of each of some labels in each history; what no candidate has is left out."""
        n = len(profiles.indptr) - 1
        row_of = np.repeat(np.arange(n), np.diff(profiles.indptr))
        weights = np.maximum(profiles.weights.astype(np.float64), 0.0)
        items, places = np.unique(profiles.items, return_inverse=True)
        indptr, groups = known.shelf.groups(items.astype(np.int64), self.column)
        lengths = np.diff(indptr)
        counts = lengths[places]
        shares = np.divide(weights, counts, out=np.zeros_like(weights), where=counts > 0)
        owners = np.repeat(np.arange(len(places)), counts)
        first = np.repeat(indptr[places] - np.concatenate(([0], np.cumsum(counts)))[:-1], counts)
        labels = groups[np.arange(len(owners)) + first]
        total = np.bincount(row_of, weights=np.where(counts > 0, weights, 0.0), minlength=n)
        at = np.searchsorted(words, labels)
        found = np.isin(labels, words)
        mixes = np.zeros((n, len(words)))
        np.add.at(mixes, (row_of[owners[found]], at[found]), shares[owners[found]])
        scale = np.divide(1.0, total, out=np.zeros(n), where=total > 0)
        return mixes * scale[:, np.newaxis]
