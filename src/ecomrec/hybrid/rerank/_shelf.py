"""What rerankers know of the items: words, groups and numbers from some columns of a catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ecomrec.content import Tokenizer
from ecomrec.data.catalog import Catalog, label_of, labels_of, numbers_of
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble
from ecomrec.state import ArrayRule

TEXT, GROUP, NUMBER = "text", "group", "number"
# Between the number of a column and a word or label of it.
_OF = "\x1f"


class Rows(NamedTuple):
    """Sparse rows: row r is ``columns[indptr[r] : indptr[r + 1]]``, values beside them."""

    indptr: np.ndarray
    columns: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Shelf:
    """Some columns of a catalogue, by item row.

    Attributes
    ----------
    columns : list of [kind, name]
        What is read: "text" (words), "group" (labels) or "number", and the column.
    words : IdMap of str
        Every word and label, with the number of its column before it.
    column_of : ndarray of shape (n_words,), int32
    holders : ndarray of shape (n_words,), int64
        How many items have each.
    rows : RowStore of shape (n_items, n_words)
        Words and labels of each item, and how often it has them.
    numbers : ndarray of shape (n_items, n_columns), float64
        NaN where there is none.
    """

    columns: list[list[str]]
    words: IdMap
    column_of: np.ndarray
    holders: np.ndarray
    rows: RowStore
    numbers: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_words, n_columns = len(self.words), len(self.columns)
        return {
            "column_of": ArrayRule((n_words,), 0, n_columns),
            "holders": ArrayRule((n_words,)),
            "numbers": ArrayRule((shop.n_items, n_columns)),
        }

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        return {"rows": (shop.n_items, len(self.words))}

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.rows.n_rows

    def place_of(self, kind: str, name: str) -> int:
        """Number of a column; -1 if it is not there."""
        return next((at for at, pair in enumerate(self.columns) if pair == [kind, name]), -1)

    def taken(self, rows: np.ndarray) -> Rows:
        """Words and labels of some items; nothing for rows beyond the last item."""
        known = (rows >= 0) & (rows < self.n_items)
        _, (columns, values) = self.rows.take(rows[known])
        lengths = np.zeros(len(rows), dtype=np.int64)
        lengths[known] = self.rows.lengths[rows[known]]
        return Rows(assemble.offsets(lengths), columns, values)

    def vectors(self, rows: np.ndarray, weights: Mapping[tuple[str, str], float]) -> Rows:
        """Words and labels of some items, weighted by column and rarity: rows of length 1."""
        indptr, columns, values = self.taken(rows)
        factors = np.zeros(len(self.columns))
        for (kind, name), weight in weights.items():
            factors[self.place_of(kind, name)] = weight
        n_filled = max(int(np.count_nonzero(self.rows.lengths)), 1)
        rarity = 1 + np.log((1 + n_filled) / (1 + self.holders[columns]))
        strengths = factors[self.column_of[columns]] * (1 + np.log(values)) * rarity
        return unit_rows(Rows(indptr, columns, strengths))

    def groups(self, rows: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels of some items in one column, as numbers of words: indptr and words."""
        indptr, columns, _ = self.taken(rows)
        inside = self.column_of[columns] == self.place_of(GROUP, name)
        ends = np.concatenate(([0], np.cumsum(inside)))
        return ends[indptr], columns[inside]

    def label_rows(self, name: str, labels: Iterable[Any]) -> np.ndarray:
        """Numbers of the words for some labels of a column; -1 where no item has it."""
        place = self.place_of(GROUP, name)
        return self.words.rows([f"{place}{_OF}{label_of(value, name)}" for value in labels])

    def labels(self, words: np.ndarray) -> list[str]:
        """The labels that some words stand for."""
        return [word.partition(_OF)[2] for word in self.words.take(words)]

    def number(self, rows: np.ndarray, name: str) -> np.ndarray:
        """Numbers of some items in one column, NaN where there is none."""
        found = np.full(len(rows), np.nan)
        known = (rows >= 0) & (rows < self.n_items)
        found[known] = self.numbers[rows[known], self.place_of(NUMBER, name)]
        return found


S = TypeVar("S", bound=Shelf)


def empty_shelf(columns: Sequence[tuple[str, str]], n_items: int) -> Shelf:
    """Return a shelf for some columns of so many items, of which nothing is known."""
    store = RowStore.from_csr(
        np.zeros(n_items + 1, dtype=np.int64),
        (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)),
    )
    return Shelf(
        [list(pair) for pair in dict.fromkeys(columns)],
        IdMap(np.empty(0, dtype=object), "str"),
        np.empty(0, dtype=np.int32),
        np.empty(0, dtype=np.int64),
        store,
        np.full((n_items, len(dict.fromkeys(columns))), np.nan),
    )


def grown(shelf: S, n_items: int) -> S:
    """Return a shelf with room for more items."""
    more = n_items - shelf.n_items
    if more <= 0:
        return shelf
    nobody = np.empty(0, dtype=np.int64)
    nothing = np.zeros(1, dtype=np.int64), tuple(v[:0] for v in shelf.rows.columns)
    gap = np.full((more, shelf.numbers.shape[1]), np.nan)
    return replace(
        shelf,
        rows=shelf.rows.append(nobody, *nothing, n_rows=n_items),
        numbers=np.concatenate((shelf.numbers, gap)),
    )


def filled(shelf: S, catalog: Catalog, items: IdMap, owner: str) -> S:
    """Return a shelf with the cells of a catalogue's items in place of those that it had."""
    there = [name for _, name in shelf.columns if name in catalog.columns]
    if not there:
        return shelf
    missing = sorted({name for _, name in shelf.columns} - set(there))
    if missing:
        raise DataError(
            f"{owner} reads the columns {[name for _, name in shelf.columns]}; the items table of "
            f"this batch lacks {missing}. Give all of them, for they replace what is known of an "
            "item, or none."
        )
    rows = items.rows(catalog.ids)
    words, column_of = shelf.words, shelf.column_of
    all_numbers = shelf.numbers.copy()
    places, codes = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for number, (kind, name) in enumerate(shelf.columns):
        if kind == NUMBER:
            all_numbers[rows, number] = numbers_of(catalog, name)
            continue
        lists = _terms(catalog, name) if kind == TEXT else labels_of(catalog, name)
        names = [f"{number}{_OF}{word}" for entries in lists for word in entries]
        known = words.rows(names)
        if (known < 0).any():
            new = sorted({word for word, at in zip(names, known, strict=True) if at < 0})
            words = words.extend(np.array(new, dtype=object))
            column_of = np.concatenate((column_of, np.full(len(new), number, dtype=np.int32)))
            known = words.rows(names)
        places.append(np.repeat(np.arange(len(rows)), [len(entries) for entries in lists]))
        codes.append(known)
    width = max(len(words), 1)
    keys, counts = np.unique(
        np.concatenate(places) * width + np.concatenate(codes), return_counts=True
    )
    lengths = np.bincount(keys // width, minlength=len(rows))
    entries = (keys % width).astype(np.int32), counts.astype(np.float32)
    holders = np.concatenate(
        (shelf.holders, np.zeros(len(words) - len(shelf.holders), dtype=np.int64))
    )
    before = shelf.rows.take(rows)[1][0]
    holders -= np.bincount(before, minlength=len(words))
    holders += np.bincount(entries[0], minlength=len(words))
    store = shelf.rows.replace(rows, assemble.offsets(lengths), entries)
    return replace(
        shelf, words=words, column_of=column_of, holders=holders, rows=store, numbers=all_numbers
    )


def kept(shelf: S, items: np.ndarray) -> S:
    """Return a shelf of some items, with nothing left of what only others had."""
    indptr, (columns, values) = shelf.rows.take(np.flatnonzero(items))
    used = np.zeros(len(shelf.words), dtype=bool)
    used[columns] = True
    new = np.cumsum(used) - 1
    columns = new[columns].astype(np.int32)
    return replace(
        shelf,
        words=shelf.words.keep(used),
        column_of=shelf.column_of[used],
        holders=np.bincount(columns, minlength=int(used.sum())),
        rows=RowStore.from_csr(indptr, (columns, values)),
        numbers=shelf.numbers[items],
    )


def unit_rows(rows: Rows) -> Rows:
    """Return rows divided by their lengths; zeros stay, and what is not finite is left out."""
    indptr, columns, values = rows
    values = np.where(np.isfinite(values), values, 0.0).astype(np.float64)
    row_of = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    # By the largest entry first: squares of very large and very small numbers stay finite.
    largest = np.zeros(len(indptr) - 1)
    np.maximum.at(largest, row_of, np.abs(values))
    scales = np.divide(1.0, largest, out=np.zeros_like(largest), where=largest > 0)
    values = values * scales[row_of]
    norms = np.sqrt(np.bincount(row_of, weights=values**2, minlength=len(indptr) - 1))
    scales = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return Rows(indptr, columns, (values * scales[row_of]).astype(np.float32))


def _terms(catalog: Catalog, name: str) -> list[list[str]]:
    cut = Tokenizer()
    return [[] if text is None else cut(text) for text in catalog.texts(name)]
