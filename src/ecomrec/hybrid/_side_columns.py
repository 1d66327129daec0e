"""Columns of side tables and of contexts as numbers: what a ranker can learn from."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from ecomrec.data.catalog import cells_of, words_of
from ecomrec.data.ids import IdMap
from ecomrec.data.tables import TIME, require_columns, to_frame
from ecomrec.data.timestamps import NAT, to_nanoseconds
from ecomrec.exceptions import DataError

# Of a column of words the most frequent values count, if they are in this share of its cells.
_MOST_WORDS = 20
_LEAST_COVER = 0.5
_NOT_ATTRIBUTES = ("available", TIME)


@dataclass(frozen=True)
class Coding:
    """How cells become numbers: columns of numbers as they are, words as indicators.

    Attributes
    ----------
    numbers : list of str
        Columns of numbers; NaN where a cell is missing.
    words : dict of str to list of str
        By column, the values that have an indicator: 1 where a cell is it, or holds it.
    """

    numbers: list[str]
    words: dict[str, list[str]]

    @property
    def names(self) -> list[str]:
        """Names of the coded columns."""
        return [*self.numbers, *(f"{c}={v}" for c, values in self.words.items() for v in values)]

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are read."""
        return [*self.numbers, *self.words]

    def coded(self, cells: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """Numbers of n rows of cells, (n, n_names); a column that is not there is missing."""
        found = np.full((n, len(self.names)), np.nan)
        place = len(self.numbers)
        for column, name in enumerate(self.numbers):
            if name in cells:
                found[:, column] = [_number(cell, name) for cell in cells[name]]
        for name, values in self.words.items():
            found[:, place : place + len(values)] = 0
            number = {value: place + n for n, value in enumerate(values) if value}
            for row, cell in enumerate(cells.get(name, ())):
                for word in _words(cell):
                    if word in number:
                        found[row, number[word]] = 1
            place += len(values)
        return found


@dataclass(frozen=True, eq=False)
class SideColumns:
    """A side table as numbers, by row of users or of items.

    Attributes
    ----------
    coding : Coding
    values : ndarray of shape (n_rows, n_names), float64
    since : ndarray of shape (n_rows,), int64
        Since when a row of the table is known, in nanoseconds; the lowest integer: always.
    """

    coding: Coding
    values: np.ndarray
    since: np.ndarray

    @classmethod
    def read(cls, table: Any, key: str, ids: IdMap) -> SideColumns:
        """Read a table (None: nothing is known) by the rows of its ids."""
        coding = Coding([], {})
        if table is not None:
            cells = _cells(table, key)
            coding = coding_of({name: cells[name] for name in cells if name != key})
        n = len(ids)
        empty = coding.coded({}, n)
        return cls(coding, empty, np.full(n, NAT)).updated(table, key, ids)

    def updated(self, table: Any, key: str, ids: IdMap) -> SideColumns:
        """Return the columns for more ids, with what a later table says of some."""
        n_new = len(ids) - len(self.values)
        values = np.concatenate((self.values, self.coding.coded({}, n_new)))
        since = np.concatenate((self.since, np.full(n_new, NAT)))
        if table is not None:
            cells = _cells(table, key)
            rows = ids.rows(cells[key])
            fresh = self.coding.coded(cells, len(rows))
            at = 0
            for name, width in self._widths():
                if name in cells:
                    values[rows, at : at + width] = fresh[:, at : at + width]
                at += width
            frame = to_frame(table, "the side table")
            if TIME in frame.columns:
                since[rows] = to_nanoseconds(frame[TIME].to_numpy(), TIME)
        return replace(self, values=values, since=since)

    def known_at(self, time: int) -> SideColumns:
        """Return the columns as they were known at a time."""
        late = self.since > time
        if not late.any():
            return self
        values = self.values.copy()
        values[late] = self.coding.coded({}, 1)[0]
        return replace(self, values=values)

    def kept(self, rows: np.ndarray) -> SideColumns:
        """Return the columns of some rows; words that no row has any more lose their names.

        The places of their indicators stay, for a ranker has learned them.
        """
        values, words = self.values[rows], dict(self.coding.words)
        at = len(self.coding.numbers)
        for name, known in self.coding.words.items():
            used = (values[:, at : at + len(known)] == 1).any(axis=0)
            words[name] = [word if some else "" for word, some in zip(known, used, strict=True)]
            at += len(known)
        coding = Coding(self.coding.numbers, words)
        return replace(self, coding=coding, values=values, since=self.since[rows])

    def number(self, name: str) -> np.ndarray | None:
        """Return one column of numbers, if there is one of that name."""
        places = self.coding.numbers
        return self.values[:, places.index(name)] if name in places else None

    def _widths(self) -> list[tuple[str, int]]:
        words = [(name, len(values)) for name, values in self.coding.words.items()]
        return [(name, 1) for name in self.coding.numbers] + words


def coding_of(columns: Mapping[str, np.ndarray]) -> Coding:
    """Say how columns become numbers; texts that hardly repeat, and mixtures, are left out."""
    counts: dict[str, list[str]] = {}
    plain = []
    for name, cells in columns.items():
        if name in _NOT_ATTRIBUTES:
            continue
        known = [cell for cell in cells if cell is not None]
        if known and all(_is_number(cell) for cell in known):
            plain.append(name)
            continue
        try:
            words = [set(_words(cell)) for cell in known]
        except TypeError:
            continue
        frequent = Counter(word for cell in words for word in sorted(cell)).most_common()
        best = [w for w, _ in sorted(frequent, key=lambda p: (-p[1], p[0]))[:_MOST_WORDS]]
        covered = sum(bool(cell & set(best)) for cell in words)
        if known and covered >= _LEAST_COVER * len(known) and len(frequent) > 1:
            counts[name] = sorted(best)
    return Coding(sorted(plain), dict(sorted(counts.items())))


def context_cells(context: Any, columns: Sequence[str], n: int) -> dict[str, np.ndarray]:
    """Cells of a request's context by column: a row for each of n rows, or one for all.

    Parameters
    ----------
    context : dict of values or of lists, or table
    columns : sequence of str
    n : int
    """
    if context is None:
        raise DataError(
            f"this model was fitted with the context columns {list(columns)}; pass "
            f"context={{{columns[0]!r}: ...}}, or a table with a row for each row asked for."
        )
    if isinstance(context, Mapping):
        missing = [name for name in columns if name not in context]
        if missing:
            raise DataError(f"the context lacks {missing}; it has {list(context)}.")
        cells = {
            name: np.array([*value, None], dtype=object)[:-1]
            if isinstance(value := context[name], (list, tuple, np.ndarray))
            else np.array([value, None], dtype=object)[:-1]
            for name in columns
        }
    else:
        frame = to_frame(context, "the context")
        require_columns(frame, columns, "the context")
        cells = {name: cells_of(frame[name]) for name in columns}
    for name, found in cells.items():
        if len(found) not in (1, n):
            raise DataError(f"the context has {len(found)} values of {name!r} for {n} rows.")
    return {name: np.resize(found, n) for name, found in cells.items()}


def _cells(table: Any, key: str) -> dict[str, np.ndarray]:
    frame = to_frame(table, f"the {key.removesuffix('_id')}s table")
    require_columns(frame, (key,), f"the {key.removesuffix('_id')}s table")
    cells = {str(name): cells_of(frame[name]) for name in frame.columns if name != key}
    ids = frame[key]
    cells[key] = np.fromiter(ids.to_list(), dtype=object, count=len(ids))
    return cells


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (numbers.Real, Decimal, np.bool_))


def _number(cell: Any, name: str) -> float:
    if cell is None:
        return np.nan
    if not _is_number(cell):
        raise DataError(f"{name} holds {cell!r} ({type(cell).__name__}); in fit it held numbers.")
    number = float(cell)
    return number if np.isfinite(number) else np.nan


def _words(cell: Any) -> list[str]:
    """Words of a cell; what is no text, list of texts, or number is a TypeError."""
    found = list(words_of(cell, divided=True))
    if not all(isinstance(word, str) or _is_number(word) for word in found):
        raise TypeError(f"{cell!r} is no text")
    return [str(word) for word in found]
