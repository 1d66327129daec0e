"""Switches: for each visitor one of several recommenders answers, by a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from operator import index
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, choice, succeeds
from ecomrec.base import BaseRecommender, Explained, Query, Recommendations, State, Unknown
from ecomrec.cf import ALS, Popularity
from ecomrec.composite import CompositeRecommender, Named, named_parts, reasons_of
from ecomrec.kernels import neighbors, ranking
from ecomrec.requests import taken


class Switch(CompositeRecommender):
    """Lets one recommender answer each visitor, chosen by how much is known, or by a query.

    Scores are those of the part that answered; they compare within one row only.

    Parameters
    ----------
    parts : list of (name, recommender), optional
        In the order of the rule; `Popularity` and `ALS` if None.
    rule : {"history", "known", "query"}
        "history": by the number of items the visitor has touched: below the first of `edges` the
        first part answers, below the second the second, and so on. "known": the first part answers
        histories of visitors without an account, the second stored users. "query": the first part,
        one whose `recommend` takes ``query``, answers rows with a query, the second the others.
    edges : sequence of int
        For "history": rising, one fewer than parts.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted parts, by name.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        Whether `forget` equals a fit without what was forgotten: if it does in every part.

    See Also
    --------
    Blend : All parts answer together, with weights by evidence if asked.
    ecomrec.coldstart.ColdStart : The first part that knows something answers.

    Notes
    -----
    A fit costs those of the parts; an answer that of the part that gives it. `predict` and
    `similar_items` ask the part that answers who has the longest history, the last. See [1]_.

    References
    ----------
    .. [1] Burke: Hybrid recommender systems: survey and experiments. UMUAI 12, 2002.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import ItemKNN, Popularity
    >>> from ecomrec.hybrid import Switch
    >>> events = pd.DataFrame(
    ...     {"user_id": ["a", "a", "b", "b", "c", "d"], "item_id": [1, 2, 1, 3, 3, 3]}
    ... )
    >>> model = Switch([("few", Popularity()), ("many", ItemKNN())], edges=[2]).fit(events)
    >>> model.recommend(["c", "a"], k=1).items.tolist(), model.answering_part(["c", "a"])
    ([[1], [3]], ['few', 'many'])
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "parts": named_parts(least=2),
        "rule": choice("history", "known", "query"),
        "edges": Rule(
            "rising integers of at least 1",
            lambda v: succeeds(_check_edges, v),
            ([], [0], [3, 3], [1.5], 5, "12"),
        ),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {"edges": [[2], [3], [5], [10]]}

    def __init__(
        self,
        parts: list[tuple[str, BaseRecommender]] | None = None,
        *,
        rule: str = "history",
        edges: Sequence[int] = (5,),
    ) -> None:
        self.parts = parts
        self.rule = rule
        self.edges = edges

    @property
    def _score_unit(self) -> float:  # type: ignore[override]
        return max(float(part._score_unit) for _, part in self._parts())

    def _parts(self) -> Named:
        if self.parts is None:
            return [("popularity", Popularity()), ("als", ALS())]
        return list(self.parts)

    def _check_params(self) -> None:
        super()._check_params()
        parts = self._parts()
        wanted = len(self.edges) + 1 if self.rule == "history" else 2
        if len(parts) != wanted:
            raise ValueError(
                f"Switch: parts has {len(parts)} recommenders, and rule={self.rule!r} with "
                f"edges={self.edges!r} chooses among {wanted}."
            )
        name, first = parts[0]
        if self.rule == "query" and "query" not in signature(first.recommend).parameters:
            raise ValueError(
                f"Switch: part {name!r} is to answer queries, but {type(first).__name__} takes "
                "none. Put a PersonalSearch first."
            )

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        query: Any = None,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items, as `BaseRecommender.recommend` does.

        Parameters
        ----------
        users : list of ids, optional
        k : int
        query : str or list of str, optional
            For ``rule="query"``: what was typed, for all rows or each; the first part answers.
        history, candidates, exclude, exclude_seen, unknown : object
            As in `BaseRecommender.recommend`.

        Returns
        -------
        Recommendations
        """
        options = {
            "history": history, "candidates": candidates, "exclude": exclude,
            "exclude_seen": exclude_seen, "unknown": unknown,
        }  # fmt: skip
        if query is None:
            return super().recommend(users, k, **options)
        if self.rule != "query":
            raise ValueError(f"Switch: rule={self.rule!r} takes no query; use rule='query'.")
        first: Any = self._fitted_state().learned.parts[0]
        answer: Recommendations = first.recommend(users, k, query=query, **options)
        return answer

    def answering_part(self, users: Any = None, *, history: Any = None) -> list[str]:
        """Return the name of the part that answers each row of a request without a query.

        Parameters
        ----------
        users, history : object
            As in `recommend`.

        Returns
        -------
        list of str
        """
        state = self._fitted_state()
        _, query, _ = self._ask(state, users, history)
        names = [name for name, _ in self._parts()]
        return [names[number] for number in self._chosen(query).tolist()]

    def _chosen(self, query: Query) -> np.ndarray:
        """Which part answers each row."""
        if self.rule == "query":
            return np.ones(len(query.users), dtype=np.int64)
        if self.rule == "known":
            return (query.users >= 0).astype(np.int64)
        lengths = np.diff(query.profiles.indptr)
        return np.searchsorted(np.asarray(self.edges), lengths, side="right")

    def _may_fill(self, query: Query) -> np.ndarray:
        of_parts = np.array([part._may_fill(query) for _, part in self._parts()])
        chosen: np.ndarray = of_parts[self._chosen(query), np.arange(len(query.users))]
        return chosen

    def _score(self, state: State, query: Query) -> np.ndarray:
        block = np.empty((len(query.users), state.interactions.n_items), dtype=np.float32)
        for rows, part, asked, _ in self._shared_out(
            state, query, ranking.no_mask(len(query.users))
        ):
            block[rows] = part._score(part._state, asked)
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        items = np.empty((len(query.users), k), dtype=np.int32)
        scores = np.empty((len(query.users), k), dtype=np.float32)
        for rows, part, asked, theirs in self._shared_out(state, query, mask):
            items[rows], scores[rows] = part._top_k(part._state, asked, k, theirs)
        return items, scores

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        last: BaseRecommender = state.learned.parts[-1]
        return last._similar_items(last._state, rows, k)

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        last: BaseRecommender = state.learned.parts[-1]
        return last._similar_users(last._state, rows, k)

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        ((_, part, asked, _),) = self._shared_out(state, query, ranking.no_mask(1))
        return reasons_of(self._parts()[int(self._chosen(query)[0])][0], part, asked, item)

    def _shared_out(
        self, state: State, query: Query, mask: ranking.Mask
    ) -> Iterator[tuple[np.ndarray, BaseRecommender, Query, ranking.Mask]]:
        """Rows, the part that answers them, what it is asked, and what it may return."""
        chosen = self._chosen(query)
        for number, part in enumerate(state.learned.parts):
            rows = np.flatnonzero(chosen == number)
            if len(rows):
                some, theirs = taken(query, mask, rows)
                yield rows, part, self._asked_of(state, number, some), theirs


def _check_edges(edges: Sequence[int]) -> None:
    integer_edges = [index(edge) for edge in edges]
    if isinstance(edges, str) or not integer_edges or integer_edges[0] < 1:
        raise ValueError
    if sorted(set(integer_edges)) != integer_edges:
        raise ValueError
