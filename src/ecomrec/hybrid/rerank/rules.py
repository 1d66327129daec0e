"""What the shop itself wants shown: pins, boosts, margins, budgets."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, choice, integer, real, text
from ecomrec.data.catalog import Catalog
from ecomrec.exceptions import DataError
from ecomrec.hybrid.rerank._reranker import Known, Lists, Reranker, kept_places, lowered
from ecomrec.hybrid.rerank._shelf import GROUP, NUMBER
from ecomrec.recommendations import Recommendations

_WHAT = "a list of item ids, or a dict of columns to values, such as {'brand': 'Acme'}"
_PLACE = integer(1)


class BusinessRules(Reranker):
    r"""Puts the wishes of the shop into a list: pin, boost, bury, margins, a budget.

    The score of candidate i becomes

    .. math:: (1 - w) \, (f_i \, r_i + b_i) + w \, m_i

    with its relevance :math:`r_i`, the score of the list from 0 for the last candidate of the row
    to 1 for its best, the product :math:`f_i` of its factors, the sum :math:`b_i` of its boosts,
    and its margin :math:`m_i`, from 0 for the lowest among the candidates of the row to 1 for the
    highest. Without boosts, factors and margin the scores stay as they were. What is buried comes
    behind all else; pinned items have their places; both take the score of the item above where
    theirs is higher (or, pinned, lower), and a pinned item at the top the best of the row.

    Parameters
    ----------
    pin : dict of item id to int, or list of item ids, optional
        Places, from 1; a list is 1, 2, 3 and so on. Only candidates are shown: what a person has
        already bought, or is out of stock, is not pinned either.
    boost : list of (what, amount), optional
        Amounts are added to the relevance; they may be negative.
    scale : list of (what, factor), optional
        Relevance is multiplied by factors of at least 0.
    bury : list of what, optional
        A "what" is a list of item ids, or a dict of columns to values: all of
        ``{"brand": "Acme", "price": (None, 20)}`` must hold. A tuple is a range of numbers, both
        ends included; a list, values of which one is enough.
    margin : str, optional
        Column of numbers, higher is better for the shop; a missing one counts as the lowest.
    margin_weight : float
        :math:`w`, from 0 to 1; 0 without `margin`.
    budget : float, optional
        What a person can spend, such as a balance of points; see also ``rerank(budgets=)``.
    spend : {"each", "together"}
        What the budget must pay for: each item alone, or all items of the list together (what
        does not fit in any more is passed over).
    price : str
        Column of numbers. What has no price is never within a budget.

    See Also
    --------
    CategoryCap : No more than so many of one label.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from ecomrec.base import Recommendations
    >>> from ecomrec.hybrid import BusinessRules
    >>> items = pd.DataFrame(
    ...     {"item_id": [1, 2, 3], "brand": ["Acme", "Leaf", "Own"], "price": [30, 20, 5]}
    ... )
    >>> recs = Recommendations(np.array([[1, 2, 3]]), np.array([[3.0, 2.0, 1.0]]), ["ann"])
    >>> rules = BusinessRules(boost=[({"brand": "Own"}, 0.8)], bury=[[1]]).fit(items=items)
    >>> rules.rerank(recs, k=3)
    Recommendations: 1 rows, 3 places
      'ann': 3 0.8, 2 0.5, 1 0.5
    >>> BusinessRules(budget=20).fit(items=items).rerank(recs).to_frame()["item_id"].tolist()
    [2, 3]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "pin": Rule(
            "None, a dict of item ids to places from 1, or a list of item ids",
            lambda v: v is None or _are_pins(v),
            ("sku1", 3, {"sku1": 0}, {"sku1": "top"}, ["a", "a"]),
        ),
        "boost": Rule(
            f"None or a list of (what, number); what is {_WHAT}",
            lambda v: v is None or _are_changes(v, -np.inf),
            ("sku1", [("sku1", 1)], [(["sku1"], "much")], [{"brand": "Acme"}]),
        ),
        "scale": Rule(
            f"None or a list of (what, number of at least 0); what is {_WHAT}",
            lambda v: v is None or _are_changes(v, 0),
            ("sku1", [(["sku1"], -1)], [(["sku1"], "much")]),
        ),
        "bury": Rule(
            f"None or a list of what; what is {_WHAT}",
            lambda v: v is None or (isinstance(v, (list, tuple)) and all(map(_is_what, v))),
            ("sku1", ["sku1"], 3, [{}]),
        ),
        "margin": text(none=True),
        "margin_weight": real(0, 1),
        "budget": real(0, none=True),
        "spend": choice("each", "together"),
        "price": text(),
    }

    def __init__(
        self,
        *,
        pin: Mapping[Any, int] | Sequence[Any] | None = None,
        boost: Sequence[tuple[Any, float]] | None = None,
        scale: Sequence[tuple[Any, float]] | None = None,
        bury: Sequence[Any] | None = None,
        margin: str | None = None,
        margin_weight: float = 0.3,
        budget: float | None = None,
        spend: str = "each",
        price: str = "price",
    ) -> None:
        self.pin = pin
        self.boost = boost
        self.scale = scale
        self.bury = bury
        self.margin = margin
        self.margin_weight = margin_weight
        self.budget = budget
        self.spend = spend
        self.price = price

    def rerank(
        self, recs: Recommendations, k: int = 10, *, budgets: Any = None
    ) -> Recommendations:
        """Return the lists in another order, cut to k places.

        Parameters
        ----------
        recs : Recommendations
            Candidates of any model, best first; they are not changed. Give more than k.
        k : int
            Items per row.
        budgets : array-like of shape (n_rows,), optional
            What the person of each row can spend, instead of `budget`; NaN for no limit.

        Returns
        -------
        Recommendations
            The same rows; items only from the same row, each once.
        """
        return self._rerank(recs, k, budgets=budgets)

    # ------------------------------------------------------------------ what is read

    def _columns(self, catalog: Catalog | None) -> list[tuple[str, str]]:
        wanted = [pair for what in self._whats() for pair in _columns_of(what)]
        if self.margin is not None:
            wanted.append((NUMBER, self.margin))
        numeric = self.price in (catalog.columns if catalog is not None else ())
        numeric = numeric and catalog is not None and catalog.kind_of(self.price) == "number"
        if self.budget is not None or numeric:
            wanted.append((NUMBER, self.price))
        names = sorted({name for _, name in wanted})
        if names and catalog is None:
            raise DataError(
                f"BusinessRules reads the columns {names} of the items table: give items, a table "
                "with item_id and these columns."
            )
        missing = [] if catalog is None else [n for n in names if n not in catalog.columns]
        if missing:
            raise DataError(
                f"BusinessRules reads the columns {missing}, which the items table lacks; it has "
                f"{[] if catalog is None else catalog.columns}."
            )
        return wanted

    def _whats(self) -> list[Any]:
        changes = [*(self.boost or ()), *(self.scale or ())]
        return [what for what, _ in changes] + list(self.bury or ())

    def _check_known(self, known: Known) -> None:
        needed = [pair for what in self._whats() for pair in _columns_of(what)]
        if self.margin is not None:
            needed.append((NUMBER, self.margin))
        if self.budget is not None:
            needed.append((NUMBER, self.price))
        if any(known.shelf.place_of(*pair) < 0 for pair in needed):
            raise self._not_fitted("fit(items=catalog)")

    def _budgets(self, recs: Recommendations, budgets: Any) -> np.ndarray | None:
        if budgets is None:
            return None
        try:
            given = np.asarray(budgets, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"budgets must be numbers; got {budgets!r}.") from None
        if given.shape != (len(recs.keys),) or (given < 0).any():
            raise DataError(
                f"budgets must hold one number of at least 0 for each of the {len(recs.keys)} "
                f"rows; got shape {given.shape}"
                + (f" with {given[given < 0][0]:g}." if (given < 0).any() else ".")
            )
        return given

    # ------------------------------------------------------------------ the order

    def _order(self, known: Known, lists: Lists, k: int) -> tuple[np.ndarray, np.ndarray]:
        n, m = lists.rows.shape
        rows, at = lists.distinct()
        present = lists.present
        scores = lists.scores
        if self.boost or self.scale or self.margin is not None:
            scores = self._scored(known, lists, rows, at)
        buried = np.zeros(len(rows), dtype=bool)
        for what in self.bury or ():
            buried |= _meets(known, rows, what)
        budgets, prices = self._affordable(known, lists, rows)
        if budgets is not None and self.spend == "each":
            present = present & _within(prices, at, budgets[:, np.newaxis])
        last = buried[at] if len(rows) else np.zeros(lists.rows.shape, dtype=bool)
        unused = np.where(present, 0, 1)
        order = np.lexsort((np.tile(np.arange(m), (n, 1)), -_ranked(scores), last, unused), axis=1)
        places = np.where(np.take_along_axis(present, order, axis=1), order, -1)
        pinned = self._pinned(known, lists, present)
        if pinned is not None:
            places = _with_pins(places, pinned)
            best = np.where(present, _ranked(scores), -np.inf).max(axis=1, initial=-np.inf)
            scores = np.where(pinned > 0, best[:, np.newaxis], scores)
        if budgets is not None and self.spend == "together":
            places = _together(places, prices, at, budgets)
        places = places[:, :k]
        return places, lowered(lists, places, scores)

    def _restrain(self, known: Known, lists: Lists, k: int) -> np.ndarray:
        rows, at = lists.distinct()
        budgets, prices = self._affordable(known, lists, rows)
        present = lists.present
        if budgets is not None and self.spend == "each":
            present = present & _within(prices, at, budgets[:, np.newaxis])
        places = kept_places(present, present.shape[1])
        if budgets is not None and self.spend == "together":
            places = _together(places, prices, at, budgets)
        return places[:, :k]

    def _scored(self, known: Known, lists: Lists, rows: np.ndarray, at: np.ndarray) -> np.ndarray:
        added, factors = np.zeros(len(rows)), np.ones(len(rows))
        for what, amount in self.boost or ():
            added[_meets(known, rows, what)] += amount
        for what, factor in self.scale or ():
            factors[_meets(known, rows, what)] *= factor
        relevance = lists.relevance()
        if not len(rows):
            return relevance
        scores: np.ndarray = factors[at] * relevance + added[at]
        if self.margin is None:
            return scores
        margins = known.shelf.number(rows, self.margin)[at]
        margins = Lists(lists.rows, np.where(lists.present, margins, np.nan))
        found = np.where(np.isnan(margins.scores), 0.0, margins.relevance())
        return (1 - self.margin_weight) * scores + self.margin_weight * found

    def _affordable(
        self, known: Known, lists: Lists, rows: np.ndarray
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """What each row can spend, if that is limited, and what each distinct item costs."""
        budgets = lists.budgets
        if budgets is None and self.budget is not None:
            budgets = np.full(len(lists.rows), float(self.budget))
        if budgets is None:
            return None, np.empty(0)
        if known.shelf.place_of(NUMBER, self.price) < 0:
            if self.__sklearn_is_fitted__():
                raise DataError(
                    "BusinessRules: budgets are given, and no price is known: the items table of "
                    f"fit was missing, or had no numbers in the column {self.price!r}. Fit it on "
                    "a table with prices, or name their column with price=."
                )
            raise self._not_fitted(f"fit(items=catalog) with the column {self.price!r}")
        return budgets, known.shelf.number(rows, self.price)

    def _pinned(self, known: Known, lists: Lists, present: np.ndarray) -> np.ndarray | None:
        """Place, from 1, of each candidate that has one; 0 of all others. None: no pins."""
        if not self.pin:
            return None
        pins = self.pin if isinstance(self.pin, Mapping) else _in_turn(self.pin)
        wanted = known.rows(list(pins))
        found = np.zeros(lists.rows.shape, dtype=np.int64)
        for row, place in zip(wanted, pins.values(), strict=True):
            if row >= 0:
                found[(lists.rows == row) & present] = place
        return found if found.any() else None


def _ranked(scores: np.ndarray) -> np.ndarray:
    """Scores to sort by: finite ones, whatever came."""
    ranked: np.ndarray = np.nan_to_num(scores, nan=-np.inf)
    return ranked


def _within(prices: np.ndarray, at: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    if not len(prices):
        return np.zeros(at.shape, dtype=bool)
    within: np.ndarray = np.isnan(budgets) | (prices[at] <= budgets)
    return within


def _with_pins(places: np.ndarray, pinned: np.ndarray) -> np.ndarray:
    """Orders in which pinned candidates stand at their places, or as near behind as can be."""
    result = places.copy()
    for row in np.flatnonzero((pinned > 0).any(axis=1)):
        candidates = np.flatnonzero(pinned[row])
        waiting = candidates[np.argsort(pinned[row, candidates], kind="stable")].tolist()
        others = [at for at in places[row] if at >= 0 and pinned[row, at] == 0]
        ordered: list[int] = []
        while waiting or others:
            if waiting and (pinned[row, waiting[0]] <= len(ordered) + 1 or not others):
                ordered.append(waiting.pop(0))
            else:
                ordered.append(others.pop(0))
        result[row, : len(ordered)] = ordered
    return result


def _together(
    places: np.ndarray, prices: np.ndarray, at: np.ndarray, budgets: np.ndarray
) -> np.ndarray:
    """Orders without what no longer fits into the budget of the row."""
    left = budgets.copy()
    kept: np.ndarray = np.zeros(places.shape, dtype=bool)
    known = np.take_along_axis(at, np.maximum(places, 0), axis=1)
    costs: np.ndarray = prices[known] if len(prices) else kept
    for place in range(costs.shape[1]):
        chosen, cost = places[:, place], costs[:, place]
        fits = (chosen >= 0) & (np.isnan(left) | (cost <= left))
        kept[:, place] = fits
        left = np.where(fits & ~np.isnan(left), left - cost, left)
    order = kept_places(kept, kept.shape[1])
    result: np.ndarray = np.take_along_axis(np.where(kept, places, -1), np.maximum(order, 0), 1)
    return np.where(order < 0, -1, result)


def _meets(known: Known, rows: np.ndarray, what: Any) -> np.ndarray:
    """Which items a rule is about."""
    if not isinstance(what, Mapping):
        wanted = known.rows(list(what))
        return np.isin(rows, wanted[wanted >= 0])
    keep = np.ones(len(rows), dtype=bool)
    for name, value in what.items():
        if isinstance(value, tuple):
            numbers_ = known.shelf.number(rows, name)
            low, high = (-np.inf if value[0] is None else value[0], value[1])
            keep &= (numbers_ >= low) & (numbers_ <= (np.inf if high is None else high))
            continue
        labels = known.shelf.label_rows(name, _values(value))
        indptr, words = known.shelf.groups(rows, name)
        hits = np.concatenate(([0], np.cumsum(np.isin(words, labels[labels >= 0]))))
        keep &= hits[indptr[1:]] > hits[indptr[:-1]]
    return keep


def _columns_of(what: Any) -> list[tuple[str, str]]:
    if not isinstance(what, Mapping):
        return []
    return [(NUMBER if isinstance(v, tuple) else GROUP, name) for name, v in what.items()]


def _values(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _in_turn(ids: Sequence[Any]) -> dict[Any, int]:
    return {item: place for place, item in enumerate(ids, start=1)}


def _is_what(value: Any) -> bool:
    if isinstance(value, Mapping):
        return len(value) > 0 and all(
            isinstance(name, str)
            and not isinstance(v, (set, frozenset))  # no file holds one
            and (not isinstance(v, tuple) or _is_range(v))
            for name, v in value.items()
        )
    return isinstance(value, list)


def _is_range(value: tuple[Any, ...]) -> bool:
    return len(value) == 2 and all(
        end is None or (isinstance(end, numbers.Real) and not isinstance(end, bool))
        for end in value
    )


def _are_pins(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_PLACE.accepts(place) for place in value.values())
    return isinstance(value, list) and len(set(map(repr, value))) == len(value)


def _are_changes(value: Any, low: float) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(change, (list, tuple))
        and len(change) == 2
        and _is_what(change[0])
        and real(low).accepts(change[1])
        for change in value
    )
