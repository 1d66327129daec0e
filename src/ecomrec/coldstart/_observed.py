"""What is known of new items: since when they are listed, how often they were clicked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from ecomrec._lazy import computed_once
from ecomrec.coldstart._slots import marks_of
from ecomrec.data.catalog import cells_of
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import ITEM, read_ids, require_columns, to_frame
from ecomrec.data.timestamps import NAT, to_nanoseconds
from ecomrec.exceptions import DataError
from ecomrec.requests import raise_unknown
from ecomrec.state import ArrayRule

_LOG = "the table of impressions"


@dataclass(frozen=True, eq=False)
class Observed:
    """What `Explore` learns beside its recommender.

    Attributes
    ----------
    marks : ndarray of shape (n_items,), int64
        A number for each item, made from its id: who gets it is drawn by it.
    shown, clicked : ndarray of shape (n_items,), int64
        Impressions and clicks that were observed.
    listed : ndarray of shape (n_items,), int64
        Nanoseconds since 1970 at which items were listed; `NAT` where it is not known.
    """

    marks: np.ndarray
    shown: np.ndarray
    clicked: np.ndarray
    listed: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        names = ("marks", "shown", "clicked", "listed")
        return dict.fromkeys(names, ArrayRule((shop.n_items,)))

    def told(self, ids: IdMap, table: Any, column: str | None) -> Observed:
        """What is known with more items, and when those of a table were listed."""
        n = len(ids) - len(self.marks)
        nothing = np.zeros(n, dtype=np.int64)
        listed = np.append(self.listed, np.full(n, NAT))
        if table is not None and column is not None:
            frame, native = read_ids(table, ITEM, "the items table")
            if column in frame.columns:
                times = frame[column]
                native_times = times.to_native() if times.implementation.is_pandas() else times
                listed[ids.rows(native)] = to_nanoseconds(np.asarray(native_times), column)
        return Observed(
            np.append(self.marks, marks_of(ids.ids[len(self.marks) :])),
            np.append(self.shown, nothing),
            np.append(self.clicked, nothing),
            listed,
        )

    def kept(self, items: np.ndarray) -> Observed:
        """What is known of some items only."""
        return Observed(
            self.marks[items], self.shown[items], self.clicked[items], self.listed[items]
        )

    def counted(self, ids: IdMap, log: Any) -> Observed:
        """What is known with more impressions."""
        rows, shown, clicked = read_impressions(log, ids)
        n = len(self.marks)
        totals = [
            before + np.bincount(rows, weights=more, minlength=n).astype(np.int64)
            for before, more in ((self.shown, shown), (self.clicked, clicked))
        ]
        return replace(self, shown=totals[0], clicked=totals[1])

    def newcomers(self, shop: Interactions, below: int, lately: float) -> np.ndarray:
        """Which items fewer than `below` users touched, or are listed for at most `lately` ns."""
        new: np.ndarray = shop.item_counts < below
        known = self.listed != NAT
        if np.isfinite(lately) and known.any():
            now = int(self.listed[known].max())
            now = max(now, shop.newest) if shop.timed else now
            new = new | (known & (self.listed >= now - lately))
        return new

    def bounds(self, shop: Interactions, confidence: float) -> np.ndarray:
        """Upper ends of Wilson's intervals of click rates; 1 for what nobody was shown.

        Computed once: other interactions come with an `Observed` of their own.
        """
        if confidence not in self._bounds:
            self._bounds[confidence] = self._upper(shop, confidence)
        return self._bounds[confidence]

    @computed_once
    def _bounds(self) -> dict[float, np.ndarray]:
        return {}

    def _upper(self, shop: Interactions, confidence: float) -> np.ndarray:
        shown, clicked = self.shown, self.clicked
        if not shown.any():
            # Nothing was observed: a user who saw an item and left is one without evidence.
            shown = np.bincount(shop.by_user.to_csr()[1][0], minlength=shop.n_items)
            clicked = shop.item_counts
        z = float(ndtri(confidence))
        n = np.maximum(shown, 1)
        share = np.minimum(clicked, n) / n
        middle = share + z**2 / (2 * n)
        half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        upper: np.ndarray = np.minimum((middle + half) / (1 + z**2 / n), 1.0)
        return np.where(shown > 0, upper, 1.0)


def nothing_observed() -> Observed:
    """Before the first item."""
    empty = np.empty(0, dtype=np.int64)
    return Observed(empty, empty, empty, empty)


def read_impressions(log: Any, ids: IdMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Item rows, impressions and clicks of the rows of a log."""
    frame = to_frame(log, _LOG)
    require_columns(frame, (ITEM,), _LOG)
    items = cells_of(frame[ITEM]).tolist()
    rows = ids.rows(items)
    if (rows < 0).any():
        raise_unknown(items, rows >= 0, "Nothing was observed.")
    if "clicked" in frame.columns:
        clicked = _counts(frame["clicked"], "clicked")
        if (clicked > 1).any():
            raise DataError(
                f"{_LOG} must hold 0 or 1 in its column clicked, a row for each impression; got "
                f"{clicked.max():g}. Totals go into the columns impressions and clicks."
            )
        return rows, np.ones(len(rows)), clicked
    require_columns(frame, ("impressions", "clicks"), _LOG)
    shown, clicked = (_counts(frame[name], name) for name in ("impressions", "clicks"))
    worse = np.flatnonzero(clicked > shown)
    if len(worse):
        at = worse[0]
        raise DataError(
            f"{_LOG} has {clicked[at]:g} clicks of {shown[at]:g} impressions of item "
            f"{items[at]!r}."
        )
    return rows, shown, clicked


def _counts(column: Any, name: str) -> np.ndarray:
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(cells_of(column).tolist()):
        if isinstance(cell, (bool, int, float, np.integer, np.bool_)):
            values[row] = float(cell)
    if not (values >= 0).all() or (values != np.floor(values)).any():
        raise DataError(f"{_LOG} must hold whole numbers of at least 0 in its column {name}.")
    return values
