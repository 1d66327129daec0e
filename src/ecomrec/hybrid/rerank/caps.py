"""No more than so many of one category, brand or seller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ecomrec._validation import Rule, boolean, integer, jobs, text
from ecomrec.data.catalog import Catalog
from ecomrec.hybrid.rerank._groups import column_of_groups, members_of
from ecomrec.hybrid.rerank._reranker import Known, Lists, Reranker, lowered
from ecomrec.kernels import greedy


class CategoryCap(Reranker):
    """Shows at most so many items of one category, brand, seller or any other column.

    Candidates are taken in their order; one whose category is full waits until the window has
    moved on. Scores stay as they were, but are lowered to the one above where an item had to wait.

    Parameters
    ----------
    limit : int
        Items of one label in a window.
    column : str
        Column of the items table; a cell may be a list of several labels (`tags` may be divided by
        ``|``, ``;`` or ``,``), each of which counts. Items without a label are never held back.
    window : int or None
        In any so many places that follow each other, such as the width of a row on the page; None
        for the whole list.
    strict : bool
        What happens when only items are left that break the cap: True, the list stays short;
        False, they follow in their order.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    See Also
    --------
    Calibrated : The mix that the person's own history has.
    MMR : Unlike items rather than unlike labels.

    Notes
    -----
    A row of m candidates costs m * k steps. For several columns use several caps, the one that
    matters most last.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecomrec.base import Recommendations
    >>> from ecomrec.hybrid import CategoryCap
    >>> items = pd.DataFrame({"item_id": [1, 2, 3, 4], "category": ["mug", "mug", "mug", "tea"]})
    >>> recs = Recommendations(np.array([[1, 2, 3, 4]]), np.array([[4.0, 3.0, 2.0, 1.0]]), ["ann"])
    >>> CategoryCap(2).fit(items=items).rerank(recs, k=4)
    Recommendations: 1 rows, 4 places
      'ann': 1 4, 2 3, 4 1, 3 1
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "limit": integer(1),
        "column": text(),
        "window": integer(2, none=True),
        "strict": boolean(),
        "n_jobs": jobs(),
    }

    def __init__(
        self,
        limit: int = 3,
        *,
        column: str = "category",
        window: int | None = None,
        strict: bool = False,
        n_jobs: int | None = -1,
    ) -> None:
        self.limit = limit
        self.column = column
        self.window = window
        self.strict = strict
        self.n_jobs = n_jobs

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        return column_of_groups(type(self).__name__, catalog, self.column)

    def _check_known(self, known: Known) -> None:
        if not known.shelf.columns:
            raise self._not_fitted("fit(items=catalog)")

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        places = self._restrain(known, lists, k)
        return places, lowered(lists, places)

    def _restrain(self, known: Known, lists: Lists, k: int) -> np.ndarray:
        members = members_of(known, lists, self.column)
        places: np.ndarray = greedy.cap(
            members.rows, lists.present, members[1:3], len(members.words), k, self.limit,
            self.window or 0, self.strict, self.n_jobs,
        )  # fmt: skip
        return places
