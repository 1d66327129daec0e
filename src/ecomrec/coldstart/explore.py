"""A share of the places for new items, with the chances that later evaluation needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ecomrec._validation import Rule, check_k, choice, integer, real, text
from ecomrec.base import BaseRecommender, Query, SideTables, State, Unknown
from ecomrec.cf import ItemKNN
from ecomrec.coldstart import _slots
from ecomrec.coldstart._explored import ExploredRecommendations
from ecomrec.coldstart._observed import Observed, nothing_observed
from ecomrec.composite import Composed, Named, WrappingRecommender
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.data.tables import to_frame
from ecomrec.data.timestamps import HalfLife, duration, half_life_nanoseconds
from ecomrec.exceptions import DataError
from ecomrec.kernels import ranking
from ecomrec.requests import SKIP, check_unknown, make_mask, raise_unknown


class Explore(WrappingRecommender):
    r"""Gives a share of the places to new items, and says with which chance.

    Of the first j places, :math:`\lfloor j \cdot \text{share} + u \rfloor` are for new items, with
    u drawn from [0, 1) for each row: `share` times j, rounded up or down, and each place with the
    chance `share`. No new item comes in any other place while there are others, and no other in
    theirs while there are new ones. The rest is the wrapped recommender's answer. A new item takes
    the score of the place above it (of the next one, if it is first), so a score tells nothing of
    it.

    Parameters
    ----------
    model : BaseRecommender or None
        Who recommends; an `ItemKNN` if None. Fitted here, on a clone.
    share : float
        Of the places, from 0 to 1.
    method : {"epsilon", "ucb"}
        Which new items: any with the same chance, or those with the highest upper confidence bound
        of their click rate (the upper end of Wilson's interval [1]_), ties by chance.
    new_below : int
        An item is new while fewer than so many users have touched it.
    new_for : str, timedelta or None
        "30D": and for so long after it was listed, by a column of the items table.
    listed : str
        That column.
    confidence : float
        Of the bounds of "ucb", from 0.5 (the rates themselves) to 0.999.
    positions : {"spread", "end"} or list of int
        Where the slots are: evenly spread, behind everything else, or at these ranks, in that
        order of preference. With the latter two all of the k places count, so that what is shown
        depends on k.
    random_state : int
        Another one draws other items for everybody.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    parts_ : Bunch
        The fitted recommender, as `model`.
    is_new_ : ndarray of shape (n_items,), bool
        Items that are new.
    impressions_, clicks_ : ndarray of shape (n_items,), int64
        What was observed.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        As of the recommender.

    See Also
    --------
    ColdStart : What to show new users.

    Notes
    -----
    What is drawn depends on `random_state` and on what the visitor has touched (on the user's id,
    if that is nothing), so the same request gets the same answer until something happens. In a
    live shop give each request a `seed` of its own, and keep it: with it, the answer can be made
    again. `recommend` returns the chance of each shown item to be shown in its place, over all
    draws: what off-policy estimators divide by [2]_. With "ucb" the chance of most new items is 0,
    and a log can say nothing about them.

    Rates come from `observe`; as long as nothing was observed, from events: a user who saw an item
    without evidence is a miss. Impressions are counted, not kept, so a forgotten user's part in
    the counts stays. As a part of another recommender, this is the model it wraps.

    References
    ----------
    .. [1] Wilson: Probable inference, the law of succession, and statistical inference. JASA 1927.
    .. [2] Li, Chu, Langford, Wang: Unbiased offline evaluation of contextual-bandit-based news
       article recommendation algorithms. WSDM 2011.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.coldstart import Explore
    >>> events = pd.DataFrame({"user_id": [1, 2, 3, 1, 2, 3], "item_id": list("aaabbb")})
    >>> items = pd.DataFrame({"item_id": list("abcdefgh")})
    >>> model = Explore(Popularity(), share=0.5).fit(events, items=items)
    >>> recs = model.recommend([1], k=2, exclude_seen=False, seed=7)
    >>> recs.to_frame()
       user_id  rank item_id  score  explored  propensity
    0        1     1       a    3.0     False    0.500000
    1        1     2       c    3.0      True    0.083333
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "model": Rule(
            "None or a recommender",
            lambda v: v is None or isinstance(v, BaseRecommender),
            ("ALS", 3, BaseRecommender),
        ),
        "share": real(0, 1),
        "method": choice("epsilon", "ucb"),
        "new_below": integer(0),
        "new_for": duration(),
        "listed": text(),
        "confidence": real(0.5, 0.999),
        "positions": Rule(
            "'spread', 'end' or a list of different ranks from 1 on",
            _slots.check_positions,
            ("top", [], [0], [2, 2], 3),
        ),
        "random_state": integer(0),
    }
    _own_types: ClassVar[tuple[type, ...]] = (Observed,)
    # What exploring costs; what it brings shows later.
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {"share": [0.05, 0.1, 0.2]}

    def __init__(
        self,
        model: BaseRecommender | None = None,
        *,
        share: float = 0.1,
        method: str = "epsilon",
        new_below: int = 3,
        new_for: HalfLife = None,
        listed: str = "listed_at",
        confidence: float = 0.95,
        positions: str | Sequence[int] = "spread",
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.share = share
        self.method = method
        self.new_below = new_below
        self.new_for = new_for
        self.listed = listed
        self.confidence = confidence
        self.positions = positions
        self.random_state = random_state

    def _parts(self) -> Named:
        return [("model", ItemKNN() if self.model is None else self.model)]

    @property
    def forget_exact_(self) -> bool:
        """Whether `forget` equals a fit without what was forgotten, as of the model."""
        return bool(getattr(self._parts()[0][1], "forget_exact_", False))

    # ------------------------------------------------------------------ learning

    def _learn_own(self, source: Source, sides: SideTables) -> Observed:
        if self.new_for is not None and source.from_table:
            columns = [] if sides.items is None else to_frame(sides.items, "items").columns
            if self.listed not in columns:
                raise DataError(
                    f"Explore: new_for={self.new_for!r} needs fit(..., items=table) with a column "
                    f"{self.listed!r} of times; found {list(columns)}."
                )
        shop = source.shop(self._values(), self.half_life)
        return nothing_observed().told(shop.items, sides.items, self._times())

    def _own_added(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Observed:
        own: Observed = state.learned.own
        return own.told(shop.items, sides.items, self._times())

    def _own_without(
        self, state: State, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Observed:
        own: Observed = state.learned.own
        return own.kept(kept_items)

    def _times(self) -> str | None:
        return None if self.new_for is None else self.listed

    def observe(self, impressions: Any) -> Self:
        """Count what was shown and what was clicked, for "ucb".

        Parameters
        ----------
        impressions : pandas, Polars or Arrow table
            `item_id` and, one row an impression, `clicked` (0 or 1, or a boolean); or totals, in
            the columns `impressions` and `clicks`. What is given adds to what was.

        Returns
        -------
        self

        Raises
        ------
        UnknownIdError
            An item is not known; nothing is counted then.
        """
        self._check_fitted()
        with self._lock:
            state = self._state
            parts, own = state.learned.parts, state.learned.own
            counted = own.counted(state.interactions.items, impressions)
            self._state = State(
                state.interactions, Composed(parts, counted), state.available, state.from_table
            )
        return self

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        seed: Any = None,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> ExploredRecommendations:
        """Return the best k items and new ones, with the chances of all that is shown.

        Parameters
        ----------
        users : list of ids, optional
            Known users. With `history`, what it holds is added to theirs, for this call only.
        k : int
            Items per row.
        seed : int, or list of int, optional
            For this request, or one for each row: another seed draws other items, the same one the
            same again.
        history : list of sequences of item ids, or table, optional
            What each visitor did, as in `BaseRecommender.recommend`.
        candidates : list of ids, or list of lists, optional
            Nothing else is shown; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never shown; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched.
        unknown : {"raise", "skip"}
            What happens to users never seen and to histories without any known item.

        Returns
        -------
        ExploredRecommendations
            With `propensities` and `explored`, arrays of shape (n, k), also in `to_frame`.
        """
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        keys, query, known = self._ask(state, users, history)
        if not known.all() and unknown == "raise":
            raise_unknown(keys, known, SKIP, history is not None)
        self._freshen(state, query)
        own: Observed = state.learned.own
        shop = state.interactions
        new = own.newcomers(shop, self.new_below, half_life_nanoseconds(self.new_for))
        mask = make_mask(state, query, candidates, exclude, exclude_seen)
        allowed = np.ones(shop.n_items, dtype=bool) if not len(mask.allowed) else mask.allowed
        usual_mask = mask._replace(allowed=allowed & ~new)
        usual, scores = self._top_k(state, query, k, usual_mask)
        open_rows = self._may_fill(query)
        if (usual[:, -1] < 0).any():
            ranking.fill_by_popularity(usual, scores, state.by_popularity, usual_mask, open_rows)
        eligible = np.flatnonzero(allowed & new)
        if not open_rows.all():  # rules of the model hold for new items too
            new_mask = mask._replace(allowed=allowed & new)
            permitted = self._top_k(state, query, max(1, len(eligible)), new_mask)[0]
        bounds = own.bounds(shop, self.confidence) if self.method == "ucb" else None
        draws = self._draws(state, query, seed)
        n = len(known)
        items = np.full((n, k), -1, dtype=np.int32)
        shown = np.full((n, k), np.nan, dtype=np.float32)
        chances, explored = np.full((n, k), np.nan), np.zeros((n, k), dtype=bool)
        for row in np.flatnonzero(known).tolist():
            some = _row_of(eligible, mask, row)
            if not open_rows[row]:
                some = some[np.isin(some, permitted[row])]
            order = self._order(own.marks, some, bounds, draws[row])
            items[row], shown[row], chances[row], explored[row] = self._filled(
                usual[row], scores[row], some[order], bounds, draws[row]
            )
        return ExploredRecommendations(shop.items.take(items), shown, keys, chances, explored)

    def _draws(self, state: State, query: Query, seed: Any) -> np.ndarray:
        """A number for each row, from which all that is drawn for it follows: uint64."""
        marks = state.learned.own.marks.view(np.uint64)
        n, (indptr, items, _) = len(query.users), query.profiles
        sums = np.zeros(n, dtype=np.uint64)
        rows = np.repeat(np.arange(n), np.diff(indptr))
        np.add.at(sums, rows, _slots.mixed(marks[items]))
        known = query.users >= 0
        by_id = known if seed is not None else known & (np.diff(indptr) == 0)
        if by_id.any():
            ids = state.interactions.users.ids[query.users[by_id]]
            sums[by_id] = _slots.marks_of(ids).view(np.uint64)
        own = _slots.mixed(np.array([self.random_state], dtype=np.uint64))
        given = _slots.seeds_of(0 if seed is None else seed, n)
        draws: np.ndarray = _slots.mixed(_slots.mixed(sums ^ own) ^ given)
        return draws

    def _order(
        self, marks: np.ndarray, some: np.ndarray, bounds: np.ndarray | None, draw: np.uint64
    ) -> np.ndarray:
        """The order in which new items come, the highest bound first, drawn among equals."""
        lots = _slots.mixed(marks[some].view(np.uint64) ^ draw)
        if bounds is None:
            return np.argsort(lots, kind="stable")
        return np.lexsort((lots, -bounds[some]))

    def _filled(
        self,
        usual: np.ndarray,
        scores: np.ndarray,
        new: np.ndarray,
        bounds: np.ndarray | None,
        draw: np.uint64,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Items, scores, chances and whether they are new, of the places of one row."""
        k, n_usual = len(usual), int(np.count_nonzero(usual >= 0))
        positions = self.positions if isinstance(self.positions, str) else tuple(self.positions)
        how = float(self.share), k, positions, min(len(new), k), n_usual
        ends = np.cumsum(_slots.patterns(*how[:3]).chances)
        drawn = float(_slots.uniform(np.array([draw]))[0])
        pattern = min(int(np.searchsorted(ends, drawn, side="right")), len(ends) - 1)
        kinds, ranks = (part[pattern] for part in _slots.fillings(*how))
        chances = _slots.chances_of(*how)
        items = np.full(k, -1, dtype=np.int32)
        shown, odds = np.full(k, np.nan, dtype=np.float32), np.full(k, np.nan)
        above = scores[0] if n_usual else np.float32(0.0)
        for place in np.flatnonzero(kinds >= 0).tolist():
            rank = ranks[place]
            if kinds[place] == 0:
                items[place], above = usual[rank], scores[rank]
                odds[place] = chances[0, place, rank]
            else:
                items[place] = new[rank]
                first, last = 0, len(new)
                if bounds is not None:
                    alike = np.flatnonzero(bounds[new] == bounds[new[rank]])
                    first, last = alike[0], alike[-1] + 1
                odds[place] = chances[1, place, first:last].sum() / (last - first)
            shown[place] = above
        return items, shown, odds, kinds == 1

    # ------------------------------------------------------------------ fitted attributes

    @property
    def is_new_(self) -> np.ndarray:
        """Which items are new."""
        state = self._attribute("is_new_")
        own: Observed = state.learned.own
        lately = half_life_nanoseconds(self.new_for)
        return own.newcomers(state.interactions, self.new_below, lately)

    @property
    def impressions_(self) -> np.ndarray:
        """Impressions of each item that were observed."""
        own: Observed = self._attribute("impressions_").learned.own
        return own.shown.copy()

    @property
    def clicks_(self) -> np.ndarray:
        """Clicks on each item that were observed."""
        own: Observed = self._attribute("clicks_").learned.own
        return own.clicked.copy()


def _row_of(eligible: np.ndarray, mask: ranking.Mask, row: int) -> np.ndarray:
    """Those of some items that may be shown in one row."""
    if len(mask.candidate_at):
        inside = mask.candidates[mask.candidate_at[row] : mask.candidate_at[row + 1]]
        eligible = np.intersect1d(eligible, inside)
    outside = mask.excluded[mask.excluded_at[row] : mask.excluded_at[row + 1]]
    return eligible[~np.isin(eligible, outside)]
