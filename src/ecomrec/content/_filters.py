"""Attributes of items that a search is narrowed by: labels and numbers, by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecomrec.data.catalog import Catalog, words_of
from ecomrec.data.ids import IdMap
from ecomrec.data.rows import RowStore
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble, search

#: What a search can be narrowed by unless told otherwise, where the table has it.
DEFAULT = ("category", "brand", "tags", "color", "size", "price")


@dataclass(frozen=True, eq=False)
class Filters:
    """Columns of labels and columns of numbers, by item row.

    Attributes
    ----------
    names, number_names : tuple of str
    labels : IdMap
        ``"column=value"``, the value as Python writes it.
    held : RowStore
        Items as rows: their labels.
    numbers : ndarray of shape (n_items, len(number_names)), float64
        NaN where there is none.
    """

    names: tuple[str, ...]
    number_names: tuple[str, ...]
    labels: IdMap
    held: RowStore
    numbers: np.ndarray

    def row_shapes(self, shop: Any = None) -> dict[str, tuple[int, int]]:
        """Rows and columns of the store."""
        return {"held": (len(self.numbers), len(self.labels))}

    def where(self, conditions: Mapping[str, Any]) -> np.ndarray:
        """Say which items meet all conditions, as `Catalog.where` does: bool by row."""
        keep = np.ones(len(self.numbers), dtype=bool)
        for name, wanted in conditions.items():
            if name in self.number_names:
                keep &= self._meets(self.numbers[:, self.number_names.index(name)], name, wanted)
            elif name in self.names and not isinstance(wanted, tuple):
                keys = [f"{name}={_plain(value)!r}" for value in _values(wanted)]
                rows = self.labels.rows(keys)
                marked = np.zeros(len(self.labels), dtype=bool)
                marked[rows[rows >= 0]] = True
                keep &= search.any_of(
                    self.held.starts, self.held.lengths, self.held.columns[0], marked
                )
            elif name in self.names:
                raise DataError(
                    f"{name}={wanted!r} is a range, and {name} holds no numbers. Values to choose "
                    "from go into a list."
                )
            else:
                raise DataError(
                    f"this index has no filter {name!r}; it has "
                    f"{[*self.names, *self.number_names]}. Name more columns in filters."
                )
        return keep

    @staticmethod
    def _meets(numbers: np.ndarray, name: str, wanted: Any) -> np.ndarray:
        try:
            if isinstance(wanted, tuple):
                low, high = wanted
                keep: np.ndarray = ~np.isnan(numbers)
                keep &= numbers >= (-np.inf if low is None else float(low))
                keep &= numbers <= (np.inf if high is None else float(high))
                return keep
            found: np.ndarray = np.isin(numbers, np.array(_values(wanted), dtype=np.float64))
            return found
        except (TypeError, ValueError):
            raise DataError(
                f"{name} holds numbers: ask for a number, a list of numbers, or a range such as "
                f"(None, 20); got {wanted!r}."
            ) from None


def read_filters(catalog: Catalog | None, ids: np.ndarray, names: Sequence[str] | None) -> Filters:
    """Read the columns that a search can be narrowed by; none without a catalogue."""
    if catalog is None:
        names = []
    elif names is None:
        names = [name for name in DEFAULT if name in catalog.columns]
    numbers: list[str] = []
    labels: list[str] = []
    for name in names:
        assert catalog is not None
        (numbers if catalog.kind_of(name) == "number" else labels).append(name)
    n = len(ids)
    nothing = Filters(
        tuple(labels),
        tuple(numbers),
        IdMap(np.empty(0, dtype=object), "str"),
        RowStore.from_csr(np.zeros(n + 1, dtype=np.int64), (np.empty(0, dtype=np.int32),)),
        np.full((n, len(numbers)), np.nan),
    )
    return with_rows(nothing, catalog, ids, np.arange(n), n)


def with_rows(
    known: Filters, catalog: Catalog | None, ids: np.ndarray, rows: np.ndarray, n_items: int
) -> Filters:
    """Return the filters with what a table says of some rows; what it lacks stays as it is."""
    n_before = len(known.numbers)
    columns = [] if catalog is None else catalog.columns
    numbers = np.full((n_items, len(known.number_names)), np.nan)
    numbers[:n_before] = known.numbers
    for column, name in enumerate(known.number_names):
        if catalog is not None and name in columns:
            numbers[rows, column] = _numbers(catalog.column(name, ids), name)
    found = [_old_labels(known, row, columns) for row in rows.tolist()]
    for name in known.names:
        if catalog is not None and name in columns:
            for labels, cell in zip(found, catalog.column(name, ids), strict=True):
                words = words_of(cell, divided=name == "tags")
                labels.update(f"{name}={_plain(word)!r}" for word in words)
    fresh = sorted({label for labels in found for label in labels})
    new = np.array([i for i, row in enumerate(known.labels.rows(fresh)) if row < 0], dtype=int)
    added = np.empty(len(new), dtype=object)
    added[:] = [fresh[i] for i in new]
    made = known.labels.extend(added) if len(known.labels) else IdMap(added, "str")
    codes = made.rows([label for labels in found for label in sorted(labels)]).astype(np.int32)
    indptr = assemble.offsets(np.array([len(labels) for labels in found], dtype=np.int64))
    held = known.held.replace(rows, indptr, (codes,), n_items)
    return replace(known, labels=made, held=held, numbers=numbers)


def keep_rows(known: Filters, kept: np.ndarray) -> Filters:
    """Return the filters of some items (bool by row), without labels that only others had."""
    indptr, (codes,) = known.held.take(np.flatnonzero(kept))
    used = np.bincount(codes, minlength=len(known.labels)) > 0
    numbers = np.cumsum(used, dtype=np.int64) - 1
    held = RowStore.from_csr(indptr, (numbers[codes].astype(np.int32),))
    return replace(known, labels=known.labels.keep(used), held=held, numbers=known.numbers[kept])


def _old_labels(known: Filters, row: int, columns: Sequence[str]) -> set[str]:
    """Labels that a row keeps: those of columns that the new table has not."""
    if row >= known.held.n_rows:
        return set()
    labels = known.labels.ids[known.held.row(row)[0]].tolist()
    return {label for label in labels if label.partition("=")[0] not in columns}


def _values(wanted: Any) -> list[Any]:
    several = isinstance(wanted, (list, set, frozenset, np.ndarray)) or hasattr(wanted, "to_numpy")
    return list(wanted) if several else [wanted]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, str) else value


def _numbers(cells: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.array([np.nan if c is None else float(c) for c in cells], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} held numbers when this index was fitted; {error}.") from None
