"""Search whose hits come in the order that suits the visitor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, check_k, integer, real
from ecomrec.base import BaseRecommender, Query, Recommendations, State, Unknown
from ecomrec.content._blend import blend
from ecomrec.content._composite import IndexedRecommender
from ecomrec.content._queries import Reader, find, parts_of, read_queries
from ecomrec.content._requests import SearchRecommendations, one_each, users_of
from ecomrec.content.search import SearchIndex
from ecomrec.data.tables import require_columns, to_frame
from ecomrec.exceptions import DataError
from ecomrec.kernels import ranking
from ecomrec.requests import (
    SKIP,
    check_unknown,
    make_mask,
    raise_unknown,
    slice_query,
    strangers,
    taken,
)

# So many hits are put in order at a time.
_BLOCK_HITS = 1_000_000


class PersonalSearch(IndexedRecommender):
    r"""Answers what a visitor types, in the order that suits the visitor.

    The query decides what is relevant: its best `n_candidates` hits. Their order is that of

    .. math:: (1 - w) \, \frac{s_{qi}}{\max_j s_{qj}}
              + w \left(0.7 \sqrt{\frac{r_{ui}}{\max_j r_{uj}}}
              + 0.3 \, \frac{\log(1 + n_i)}{\max_j \log(1 + n_j)}\right)

    with the index's score :math:`s_{qi}` of hit i for query q, the recommender's score
    :math:`r_{ui}` for visitor u (0 where it knows nothing, or is negative), and the number of
    users :math:`n_i` of the hit; j are all hits. So 1 is the most relevant, most wanted and most
    popular of the hits, and scores of two queries or visitors do not compare. Of a stranger the
    recommender knows nothing: relevance and popularity decide. Without a query, answers and scores
    are the recommender's.

    Parameters
    ----------
    index : SearchIndex or None
        How texts are searched; a default one if None. Fitted here, on a clone.
    recommender : BaseRecommender or None
        Who knows the visitors; a `TfidfRecommender` if None. Fitted here, on a clone.
    weight : float
        Share of the person in the order, from 0 (search alone) to 1; see `tune_weight`.
    n_candidates : int
        How many hits of a query are put in order.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    index_ : SearchIndex
        The fitted index; it holds all known items.
    recommender_ : BaseRecommender
        The fitted recommender.
    parts_ : Bunch
        The same by name, as every recommender that is made of others has it.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        As of the recommender.

    See Also
    --------
    SearchIndex : The search alone.

    Notes
    -----
    A request costs a search and the recommender's scores for the hits. `partial_fit`, `forget` and
    `refresh` do to both parts what they do to each. The score of an item does not depend on what
    is excluded, or seen.

    References
    ----------
    .. [1] Dou, Song, Wen: A large-scale evaluation and analysis of personalized search strategies.
       WWW 2007.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.content import PersonalSearch
    >>> items = pd.DataFrame(
    ...     {
    ...         "item_id": [1, 2, 3, 4],
    ...         "title": ["red mug", "blue mug", "blue lunch bag", "red lunch bag"],
    ...     }
    ... )
    >>> events = pd.DataFrame({"user_id": ["ann", "bob", "cat"], "item_id": [1, 2, 2]})
    >>> model = PersonalSearch().fit(events, items=items)
    >>> recs = model.recommend(["ann", "bob"], k=2, query="lunch bag")
    >>> recs.items.tolist()
    [[4, 3], [3, 4]]
    >>> model.recommend(["ann"], query="kettle").fallback
    array([ True])
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "index": Rule(
            "None or a SearchIndex",
            lambda v: v is None or isinstance(v, SearchIndex),
            ("index", 3, SearchIndex),
        ),
        "recommender": Rule(
            "None or a recommender other than a PersonalSearch",
            lambda v: (
                v is None or (isinstance(v, BaseRecommender) and not isinstance(v, PersonalSearch))
            ),
            ("ItemKNN", 3, BaseRecommender),
        ),
        "weight": real(0, 1),
        "n_candidates": integer(1),
    }

    def __init__(
        self,
        index: SearchIndex | None = None,
        recommender: BaseRecommender | None = None,
        *,
        weight: float = 0.3,
        n_candidates: int = 1000,
    ) -> None:
        self.index = index
        self.recommender = recommender
        self.weight = weight
        self.n_candidates = n_candidates

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
        """Return the best k hits of a query for known users, for histories, or for strangers.

        Without a query this is the recommender's `recommend`. With one, only hits are returned: a
        row ends with them (score NaN, item None). A query without any hit that may be shown gets
        the plain recommendation, and its row says so in `fallback`. Who has no history, or is not
        known, is answered as a stranger where there is a query.

        Parameters
        ----------
        users : list of ids, optional
            With a query, neither users nor history are needed.
        k : int
            Items per row.
        query : str, or list of str, optional
            One for all rows, or one for each; rows whose query is None or empty are plain
            recommendations.
        history : list of sequences of item ids, or table, optional
            What each visitor did, as in `BaseRecommender.recommend`.
        candidates : list of ids, or list of lists, optional
            Nothing else is found or recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never shown; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched. Who searches may well want to find it
            again: consider False.
        unknown : {"raise", "skip"}
            What happens to unknown users in rows without a query.

        Returns
        -------
        Recommendations
            With an attribute `fallback`, an array of bool by row, if there is a query.
        """
        if query is None:
            return super().recommend(
                users, k, history=history, candidates=candidates, exclude=exclude,
                exclude_seen=exclude_seen, unknown=unknown,
            )  # fmt: skip
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        texts = read_queries(query)
        keys, asked, known = self._visitors(state, users, history, texts)
        texts = one_each(texts, len(known), isinstance(query, str))
        silent = np.array([not text.strip() for text in texts], dtype=bool)
        if not known[silent].all() and unknown == "raise":
            raise_unknown(keys, known | ~silent, SKIP, history is not None)
        self._freshen(state, asked)
        mask = make_mask(state, asked, candidates, exclude, exclude_seen)
        # Scores stand before anything is hidden.
        open_mask = make_mask(state, asked, candidates, None, False)
        items = np.full((len(texts), k), -1, dtype=np.int32)
        scores = np.full((len(texts), k), np.nan, dtype=np.float32)
        for rows in self._blocks(len(texts)):
            part = slice_query(asked, rows)
            hits, relevance = self._hits(state, texts[rows], ranking.slice_mask(open_mask, rows))
            shown = ranking.slice_mask(mask, rows)
            self._put_in_order(state, part, hits, relevance, shown, items[rows], scores[rows])
        plain = items[:, 0] < 0
        fallback = plain & ~silent
        if plain.any():
            self._recommend_plainly(state, asked, mask, np.flatnonzero(plain), items, scores)
        skipped = silent & ~known
        items[skipped], scores[skipped] = -1, np.nan
        key_name = "query" if users is None and history is None else "user_id"
        found = state.interactions.items.take(items)
        return SearchRecommendations(found, scores, keys, key_name, fallback)

    def explain(
        self, user: Any = None, item: Any = None, *, query: Any = None, history: Any = None
    ) -> Any:
        """Return what made the score of one item for one user, with a query or without.

        Parameters
        ----------
        user : id, optional
            A known user; or give `history`; neither with a query for a stranger.
        item : id
        query : str, optional
        history : sequence of item ids, optional

        Returns
        -------
        pandas.DataFrame
            Columns `part`, `kind`, `reason` and `contribution`, largest first; the contributions
            add up to the score. Kind "query": a word of the query, with the field that holds it;
            "popularity"; others are those of the recommender, in proportion to what they make of
            its score.

        Raises
        ------
        ValueError
            The item is no hit of the query.
        """
        import pandas as pd

        texts = [""] if query is None else one_each(read_queries(query), 1, False)
        if not texts[0].strip():
            return super().explain(user, item, history=history)
        state = self._fitted_state()
        shop = state.interactions
        row = int(shop.items.rows([item])[0])
        if row < 0:
            raise_unknown([item], np.zeros(1, dtype=bool))
        users, histories = (None if v is None else [v] for v in (user, history))
        _, asked, _ = self._visitors(state, users, histories, texts)
        self._freshen(state, asked)
        mask = make_mask(state, asked, None, None, False)
        hits, relevance = self._hits(state, texts, mask)
        at = np.flatnonzero(hits[0] == row)
        if len(at) == 0:
            raise ValueError(
                f"item {item!r} is none of the best {self.n_candidates} hits of {texts[0]!r}: no "
                "score to explain."
            )
        person = self._person(state, asked, hits)[0]
        parts = blend(relevance[0], person, users_of(state, hits[0]), self.weight)
        said = parts_of(state.learned.own._state.postings, texts[0], self._reader(state), row)
        shares = said.contributions / said.contributions.sum()
        kinds = ["query"] * len(shares)
        reasons: list[Any] = [
            f"{word} ({field})" for word, field in zip(said.words, said.fields, strict=True)
        ]
        values = [shares * parts.query[at[0]]]
        if parts.person[at[0]] > 0:
            inner = state.learned.parts[0]
            more, why, amounts, *_ = inner._explain(inner._state, asked, row)
            kinds += more
            reasons += why
            shares = np.asarray(amounts, dtype=np.float64) / np.sum(amounts)
            values.append(shares * parts.person[at[0]])
        if parts.popularity[at[0]] > 0:
            kinds.append("popularity")
            reasons.append(None)
            values.append(parts.popularity[at])
        table = pd.DataFrame(
            {
                "part": type(self).__name__,
                "kind": kinds,
                "reason": pd.Series(reasons, dtype=object),
                "contribution": np.concatenate(values),
            }
        )
        order = np.argsort(-np.abs(table["contribution"].to_numpy()), kind="stable")
        return table.iloc[order].reset_index(drop=True)

    def tune_weight(self, searches: Any, weights: Sequence[float] | None = None) -> Any:
        """Set `weight` to what ranks the items of logged searches best.

        The searches must be later than what the model was fitted on.

        Parameters
        ----------
        searches : table
            `user_id` (unknown ones are strangers), `query`, and `item_id`, what was bought then.
        weights : sequence of float, optional
            What to try; 0, 0.05, ... 1 if None.

        Returns
        -------
        pandas.DataFrame
            Columns `weight` and `mrr`, the mean of 1 / rank of the item bought (0 where it is no
            hit; seen items count), best first; the smaller weight wins a tie.
        """
        import pandas as pd

        state = self._fitted_state()
        frame = to_frame(searches, "the table of searches")
        require_columns(frame, ("user_id", "query", "item_id"), "the table of searches")
        if len(frame) == 0:
            raise DataError("the table of searches has no rows.")
        tried = np.linspace(0, 1, 21) if weights is None else np.asarray(weights, dtype=float)
        if not all(map(self._param_rules["weight"].accepts, tried.tolist())):
            raise ValueError(f"weights must be numbers from 0 to 1; got {weights!r}.")
        texts = read_queries(frame["query"].to_list())
        wanted = state.interactions.items.rows(frame["item_id"].to_list())
        _, asked, _ = self._ask(state, frame["user_id"].to_list(), None)
        self._freshen(state, asked)
        gains = np.zeros(len(tried))
        for rows in self._blocks(len(texts)):
            part = slice_query(asked, rows)
            mask = make_mask(state, part, None, None, False)
            hits, relevance = self._hits(state, texts[rows], mask)
            person = self._person(state, part, hits)
            for row, item in enumerate(wanted[rows].tolist()):
                at = np.flatnonzero(hits[row] == item)
                if item < 0 or len(at) == 0:
                    continue
                counts = users_of(state, hits[row])
                for number, weight in enumerate(tried.tolist()):
                    score = blend(relevance[row], person[row], counts, weight).scores
                    better = score > score[at[0]]
                    better |= (score == score[at[0]]) & (hits[row] < item) & (hits[row] >= 0)
                    gains[number] += 1 / (1 + np.count_nonzero(better))
        table = pd.DataFrame({"weight": tried, "mrr": gains / len(texts)})
        table = table.sort_values(["mrr", "weight"], ascending=[False, True], ignore_index=True)
        self.weight = float(table["weight"].iloc[0])
        return table

    # ------------------------------------------------------------------ inside

    def _visitors(
        self, state: State, users: Any, history: Any, texts: list[str]
    ) -> tuple[Sequence[Any] | np.ndarray, Query, np.ndarray]:
        """Who asks; strangers called by their queries if nobody is named."""
        if users is not None or history is not None:
            return self._ask(state, users, history)
        return texts, strangers(len(texts)), np.zeros(len(texts), dtype=bool)

    def _blocks(self, n: int) -> Iterator[slice]:
        """Rows whose hits fit into memory together."""
        size = max(1, _BLOCK_HITS // self.n_candidates)
        for start in range(0, n, size):
            yield slice(start, min(start + size, n))

    def _put_in_order(
        self,
        state: State,
        asked: Query,
        hits: np.ndarray,
        relevance: np.ndarray,
        mask: ranking.Mask,
        items: np.ndarray,
        scores: np.ndarray,
    ) -> None:
        """Fill in the best hits of each row; rows without any stay as they are."""
        person = self._person(state, asked, hits)
        k, weight = items.shape[1], self.weight
        for row in np.flatnonzero(hits[:, 0] >= 0).tolist():
            counts = users_of(state, hits[row])
            blended = blend(relevance[row], person[row], counts, weight).scores.astype(np.float32)
            hidden = mask.excluded[mask.excluded_at[row] : mask.excluded_at[row + 1]]
            may_show = (hits[row] >= 0) & ~np.isin(hits[row], hidden)
            if len(mask.allowed):
                may_show &= mask.allowed[hits[row]]
            shown = np.flatnonzero(may_show)
            order = np.lexsort((hits[row][shown], -blended[shown]))[:k]
            best = shown[order]
            items[row, : len(best)] = hits[row][best]
            scores[row, : len(best)] = blended[best]

    def _hits(
        self, state: State, texts: list[str], mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows and scores of what the index finds, best first, -1 and NaN behind the last."""
        index: SearchIndex = state.learned.own
        k = min(self.n_candidates, state.interactions.n_items)
        postings = index._state.postings
        return find(postings, texts, self._reader(state), k, mask, index.n_jobs)

    def _person(self, state: State, asked: Query, hits: np.ndarray) -> np.ndarray:
        """The recommender's scores of the hits; NaN without evidence."""
        inner: BaseRecommender = state.learned.parts[0]
        n, width = hits.shape
        lengths = np.count_nonzero(hits >= 0, axis=1)
        inside = hits >= 0
        order = np.argsort(np.where(inside, hits, np.iinfo(np.int32).max), axis=1, kind="stable")
        ordered = np.take_along_axis(hits, order, axis=1)
        at = np.concatenate(([0], np.cumsum(lengths)))
        flat = ordered[np.arange(width) < lengths[:, None]]
        mask = ranking.Mask(ranking.EVERYTHING, flat, at, ranking.NOTHING, ranking.no_rows(n))
        k = max(int(lengths.max(initial=0)), 1)
        items, scores = inner._top_k(inner._state, asked, k, mask)
        person = np.full(hits.shape, np.nan)
        for row in range(n):
            found = items[row][items[row] >= 0]
            places = order[row][np.searchsorted(ordered[row, : lengths[row]], found)]
            person[row, places] = scores[row, : len(found)]
        return person

    def _recommend_plainly(
        self,
        state: State,
        asked: Query,
        mask: ranking.Mask,
        rows: np.ndarray,
        items: np.ndarray,
        scores: np.ndarray,
    ) -> None:
        """Fill in some rows as if there were no query."""
        some, their_mask = taken(asked, mask, rows)
        k = items.shape[1]
        found, values = self._top_k(state, some, k, their_mask)
        found, values = found.copy(), values.copy()
        ranking.fill_by_popularity(found, values, state.by_popularity, their_mask)
        items[rows], scores[rows] = found, values

    def _reader(self, state: State) -> Reader:
        index: SearchIndex = state.learned.own
        return index._reader()
