"""A fair share of what is seen for every seller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, jobs, real, text
from ecomrec.data.catalog import Catalog
from ecomrec.hybrid.rerank._groups import Members, blocks, column_of_groups, members_of
from ecomrec.hybrid.rerank._reranker import Known, Lists, Reranker, lowered
from ecomrec.kernels import greedy

_SHARE = real(0, 1)


class ExposureFairness(Reranker):
    r"""Gives groups of items, such as sellers, at least a share of what a list shows.

    Place r of a list is worth an exposure of :math:`v_r = 1 / \log_2(1 + r)`. Place by place the
    candidates are taken in their order, but while a group g has less than its share
    :math:`s_g` of the exposure of all places so far,

    .. math:: \sum_{r' < r,\, i_{r'} \in g} v_{r'} + \tau v_r < s_g \sum_{r' \le r} v_{r'}

    the best candidate of such a group comes first. Scores stay as they were, but are lowered to
    the one above where an item had to wait.

    Parameters
    ----------
    shares : float or dict of label to float
        A dict: the least share of some labels, at most 1 together. A number f: every label of the
        candidates gets at least f times its part of the row's candidates.
    column : str
        Column of the items table; a cell may be a list of several labels (`tags` may be divided by
        ``|``, ``;`` or ``,``), each of which is shown.
    tolerance : float
        :math:`\tau`, what may be missing, in exposures of the place at hand. 0: with one label in
        `shares` and enough candidates, every list has the share at every length; so a label with
        any share has the first place. 0.5: whichever is nearer to the share; 1: as late as it can.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    See Also
    --------
    CategoryCap : At most rather than at least.

    Notes
    -----
    The greedy constrained ranking is DetGreedy of [1]_, with the exposure of [2]_ in place of
    counts. As there, with three labels or more a list may fall short of some shares, for two of
    them may be owed the same place; and of labels without candidates nothing can be shown. A row
    of m candidates costs m * k steps.

    References
    ----------
    .. [1] Geyik, Ambler, Kenthapadi: Fairness-aware ranking in search & recommendation systems
       with application to LinkedIn talent search. KDD 2019.
    .. [2] Singh, Joachims: Fairness of exposure in rankings. KDD 2018.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecomrec.base import Recommendations
    >>> from ecomrec.hybrid import ExposureFairness
    >>> items = pd.DataFrame({"item_id": [1, 2, 3, 4], "seller": ["big", "big", "big", "small"]})
    >>> recs = Recommendations(np.array([[1, 2, 3, 4]]), np.array([[4.0, 3.0, 2.0, 1.0]]), ["ann"])
    >>> fair = ExposureFairness({"small": 0.3}, tolerance=0.5).fit(items=items)
    >>> fair.rerank(recs, k=4).items.tolist()
    [[1, 4, 2, 3]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "shares": Rule(
            "a number from 0 to 1, or a dict of labels to numbers that add up to at most 1",
            lambda v: _SHARE.accepts(v) or _are_shares(v),
            (1.5, "small", {}, {"small": 1.5}, {"small": 0.7, "new": 0.7}, None),
        ),
        "column": text(),
        "tolerance": real(0, 1),
        "n_jobs": jobs(),
    }

    def __init__(
        self,
        shares: float | Mapping[Any, float] = 0.8,
        *,
        column: str = "seller",
        tolerance: float = 0.0,
        n_jobs: int | None = -1,
    ) -> None:
        self.shares = shares
        self.column = column
        self.tolerance = tolerance
        self.n_jobs = n_jobs

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        return column_of_groups(type(self).__name__, catalog, self.column)

    def _check_known(self, known: Known) -> None:
        if not known.shelf.columns:
            raise self._not_fitted("fit(items=catalog)")

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        members = members_of(known, lists, self.column)
        n, m = lists.rows.shape
        places = np.full((n, min(k, m)), -1, dtype=np.int64)
        exposure = 1 / np.log2(np.arange(2, min(k, m) + 2))
        for part in blocks(n, len(members.words)):
            some = members._replace(rows=members.rows[part])
            shares = self._owed(known, some, lists.present[part])
            places[part] = greedy.share_places(
                some.rows, lists.present[part], members[1:3], shares, exposure, self.tolerance,
                self.n_jobs,
            )  # fmt: skip
        return places, lowered(lists, places)

    def _owed(self, known: Known, members: Members, present: np.ndarray) -> np.ndarray:
        """Least share of each label in each row."""
        n_labels = len(members.words)
        if isinstance(self.shares, Mapping):
            wanted = np.zeros(n_labels)
            rows = known.shelf.label_rows(self.column, self.shares)
            at = np.searchsorted(members.words, rows)
            for place, row, share in zip(at, rows, self.shares.values(), strict=True):
                if place < n_labels and members.words[place] == row:
                    wanted[place] = share
            return np.tile(wanted, (len(members.rows), 1))
        counts = np.zeros((len(members.rows), n_labels))
        row_of, _ = np.nonzero(present)
        items = members.rows[present]
        lengths = np.diff(members.indptr)[items]
        first = members.indptr[items] - np.concatenate(([0], np.cumsum(lengths)))[:-1]
        labels = members.groups[np.arange(lengths.sum()) + np.repeat(first, lengths)]
        np.add.at(counts, (np.repeat(row_of, lengths), labels), 1.0)
        totals = np.maximum(present.sum(axis=1, keepdims=True), 1)
        owed: np.ndarray = float(self.shares) * counts / totals
        return owed


def _are_shares(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(_SHARE.accepts(share) for share in value.values())
        and sum(value.values()) <= 1 + 1e-9
    )
