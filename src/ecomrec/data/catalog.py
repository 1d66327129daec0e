"""The items of a shop with what is known of them: texts, attributes, prices, what is on sale."""

from __future__ import annotations

import numbers
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import narwhals as nw
import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.data.ids import IdMap, check_ids, id_list
from ecomrec.data.tables import ITEM, read_ids, to_frame
from ecomrec.exceptions import DataError

_WHAT = "the items table"
_LISTS = (list, tuple, set, frozenset, np.ndarray)
_DELIMITERS = re.compile(r"[|;,\n\t]")


class Catalog:
    """The items table of a shop: checked once, asked by id, accepted as `items=` everywhere.

    A catalogue never changes: `update` and `without` return another one. Cells that are null,
    None or NaN are missing; an id that the catalogue does not know has nothing but missing cells.

    Parameters
    ----------
    table : pandas, Polars or Arrow table, or Catalog
        One row an item: `item_id`, and any other columns. A column `available` holds True or
        False; `tags` hold lists of words, or words divided by ``|``, ``;`` or ``,``.

    Raises
    ------
    DataError
        There is no column `item_id`, or an id is missing or occurs twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.content import Catalog
    >>> catalog = Catalog(
    ...     pd.DataFrame(
    ...         {
    ...             "item_id": ["mug", "tea", "pot"],
    ...             "title": ["Red mug", "Green tea", None],
    ...             "brand": ["Acme", "Leaf", "Acme"],
    ...             "price": [5.0, 3.0, 30.0],
    ...             "available": [True, True, False],
    ...         }
    ...     )
    ... )
    >>> catalog.available()
    ['mug', 'tea']
    >>> catalog.where(brand="Acme", price=(None, 10))
    ['mug']
    >>> catalog.texts("title", ["pot", "mug", "unheard of"])
    [None, 'Red mug', None]
    """

    # No __len__, shape or __array__: scikit-learn would cut it into folds with the events.

    def __init__(self, table: Any) -> None:
        self._frame = to_frame(table, _WHAT)
        native = read_ids(self._frame, ITEM, _WHAT)[1]
        self._items = IdMap(*check_ids(np.asarray(native), ITEM))

    def __reduce__(self) -> tuple[object, tuple[Any, ...]]:
        return Catalog, (self._frame.to_native(),)

    @property
    def __catalog_frame__(self) -> nw.DataFrame[Any]:
        """The table, for `ecomrec.data.tables.to_frame`."""
        return self._frame

    @property
    def ids(self) -> np.ndarray:
        """Ids of the items in the order of the table: int64 or object."""
        view = self._items.ids.view()
        view.flags.writeable = False
        return view

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self._items)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, `item_id` among them."""
        return [str(name) for name in self._frame.columns]

    def column(self, name: str, ids: Any = None) -> np.ndarray:
        """Return the cells of one column as they are.

        Parameters
        ----------
        name : str
        ids : list of ids, optional
            Whose cells; all items in the order of the table if None.

        Returns
        -------
        ndarray of shape (n,), object
            None where a cell is missing or an id unknown.
        """
        cells = self._cells(name)
        if ids is None:
            return cells.copy()
        rows = self._items.rows(id_list(ids, "ids"))
        found = np.full(len(rows), None, dtype=object)
        found[rows >= 0] = cells[rows[rows >= 0]]
        return found

    def texts(self, field: str, ids: Any = None) -> list[str | None]:
        """Return the texts of one column; lists of words are joined by spaces.

        Parameters
        ----------
        field : str
        ids : list of ids, optional
            Whose texts; all items in the order of the table if None.

        Returns
        -------
        list of str or None
            None where a text is missing or an id unknown.

        Raises
        ------
        DataError
            A cell holds something else than text; the message names its item.
        """
        keys = self.ids.tolist() if ids is None else id_list(ids, "ids")
        cells = self.column(field, ids)
        return [
            cell if cell is None or type(cell) is str else _text(cell, field, keys[place])
            for place, cell in enumerate(cells)
        ]

    def kind_of(self, name: str) -> str:
        """Return what the cells of a column are.

        Parameters
        ----------
        name : str

        Returns
        -------
        {"text", "words", "number", "flag", "nothing", "other"}
            Strings; lists; numbers; True and False; missing cells only; times, mixtures and all
            else.
        """
        kinds = {_kind(cell) for cell in self._cells(name) if cell is not None}
        if not kinds:
            return "nothing"
        return kinds.pop() if len(kinds) == 1 else "other"

    def available(self) -> list[Any]:
        """Return the ids of what is on sale: those with a True in `available`, all without it.

        Returns
        -------
        list of ids
            As `candidates=` takes them.
        """
        if "available" not in self._frame.columns:
            return self._listed(np.ones(self.n_items, dtype=bool))
        flags = self._cells("available")
        odd = next((flag for flag in flags if not isinstance(flag, (bool, np.bool_))), True)
        if odd is None or not isinstance(odd, (bool, np.bool_)):
            raise DataError(
                f"{_WHAT} must hold True or False in its available column; got {odd!r}."
            )
        return self._listed(flags.astype(bool))

    def where(self, **conditions: Any) -> list[Any]:
        """Return the ids of the items that meet all conditions.

        Parameters
        ----------
        **conditions : value, list of values, or (low, high)
            By column: the cell equals the value, or one of a list; a tuple of two is a range of
            numbers, both ends included, None for no end. Of a cell that is a list, and of `tags`
            divided by ``|``, ``;`` or ``,``, one entry is enough. Missing cells meet nothing.

        Returns
        -------
        list of ids
            In the order of the table, as `candidates=` takes them.

        Examples
        --------
        >>> import pandas as pd
        >>> from ecomrec.content import Catalog
        >>> table = pd.DataFrame({"item_id": [1, 2], "tags": ["red|mug", "tea"], "price": [5, 3]})
        >>> Catalog(table).where(tags=["red", "blue"], price=(4, None))
        [1]
        """
        keep = np.ones(self.n_items, dtype=bool)
        for name, wanted in conditions.items():
            if isinstance(wanted, tuple):
                keep &= self._in_range(name, wanted)
            else:
                keep &= self._among(name, wanted)
        return self._listed(keep)

    def update(self, table: Any) -> Catalog:
        """Return a catalogue with more items, and with other cells of those that it has.

        Parameters
        ----------
        table : pandas, Polars or Arrow table, or Catalog
            `item_id` and the columns that change. Items that it does not list, and columns that
            it does not have, stay as they are.

        Returns
        -------
        Catalog
        """
        other = table if isinstance(table, Catalog) else Catalog(table)
        rows = self._items.rows(other.ids)
        new = rows < 0
        if new.any() and other._items.kind != self._items.kind and self.n_items:
            raise DataError(
                f"{ITEM} is {other._items.kind} in the update and {self._items.kind} in the "
                "catalogue. Convert one of them."
            )
        n = self.n_items
        places = np.where(new, n + np.cumsum(new) - 1, rows)
        data: dict[str, list[Any]] = {}
        for name in dict.fromkeys((*self.columns, *other.columns)):
            cells = np.full(n + int(new.sum()), None, dtype=object)
            if name in self.columns:
                cells[:n] = self._cells(name)
            if name in other.columns:
                cells[places] = other._cells(name)
            data[name] = cells.tolist()
        backend = self._frame.implementation
        return Catalog(nw.from_dict(data, backend=backend).to_native())

    def without(self, ids: Any) -> Catalog:
        """Return a catalogue that lacks some items; ids that it does not know are no error.

        Parameters
        ----------
        ids : list of ids

        Returns
        -------
        Catalog
        """
        rows = self._items.rows(id_list(ids, "ids"))
        keep = np.ones(self.n_items, dtype=bool)
        keep[rows[rows >= 0]] = False
        return Catalog(self._frame.filter(keep.tolist()).to_native())

    def __repr__(self) -> str:
        return f"Catalog({self.n_items} items: {', '.join(self.columns)})"

    # ------------------------------------------------------------------ inside

    @computed_once
    def _read(self) -> dict[str, np.ndarray]:
        return {}

    def _cells(self, name: str) -> np.ndarray:
        """Cells of a column, None where there is nothing; read once."""
        if name not in self._frame.columns:
            raise DataError(f"{_WHAT} has no column {name!r}; it has {self.columns}.")
        if name not in self._read:
            self._read[name] = cells_of(self._frame[name])
        return self._read[name]

    def _listed(self, keep: np.ndarray) -> list[Any]:
        ids: list[Any] = self._items.ids[keep].tolist()
        return ids

    def _in_range(self, name: str, ends: tuple[Any, ...]) -> np.ndarray:
        if len(ends) != 2:
            raise DataError(f"{name}={ends!r}: a range has two ends, such as (None, 20).")
        cells = self._cells(name)
        known = np.array([cell is not None for cell in cells], dtype=bool)
        inside = known.copy()
        try:
            if ends[0] is not None:
                inside[known] &= (cells[known] >= ends[0]).astype(bool)
            if ends[1] is not None:
                inside[known] &= (cells[known] <= ends[1]).astype(bool)
        except TypeError as error:
            raise DataError(
                f"{name}={ends!r} is a range, and {name} cannot be compared with it: {error}. "
                "Values to choose from go into a list."
            ) from None
        return inside

    def _among(self, name: str, wanted: Any) -> np.ndarray:
        several = isinstance(wanted, (list, set, frozenset, np.ndarray)) or hasattr(
            wanted, "to_numpy"
        )
        values = list(wanted) if several else [wanted]
        return np.fromiter(
            (
                any(part in values for part in words_of(cell, divided=name == "tags"))
                for cell in self._cells(name)
            ),
            dtype=bool,
            count=self.n_items,
        )


def cells_of(column: nw.Series[Any]) -> np.ndarray:
    """Cells of a column as they are, None for what is null or NaN: an object array."""
    cells = np.fromiter(column.to_list(), dtype=object, count=len(column))
    missing = column.is_null().to_numpy().astype(bool)
    if column.dtype.is_float():
        missing |= column.is_nan().fill_null(True).to_numpy().astype(bool)
    cells[missing] = None
    return cells


def words_of(cell: Any, *, divided: bool) -> Sequence[Any]:
    """Entries of a cell: of a list, of a text with delimiters if `divided`, or the cell itself."""
    if cell is None:
        return ()
    if isinstance(cell, str):
        if not divided:
            return (cell,)
        return [part for part in map(str.strip, _DELIMITERS.split(cell)) if part]
    if isinstance(cell, _LISTS):
        return sorted(cell) if isinstance(cell, (set, frozenset)) else list(cell)
    return (cell,)


def label_of(value: Any, what: str) -> str:
    """Return a label as text; whole numbers read the same as integers and as floats."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, (numbers.Real, Decimal)):
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    raise DataError(
        f"{what} holds {value!r} ({type(value).__name__}); groups are str, numbers, True and "
        "False, or lists of these."
    )


def labels_of(catalog: Catalog, name: str) -> list[list[str]]:
    """Different labels of each cell of a column, sorted."""
    found = []
    for key, cell in zip(catalog.ids.tolist(), catalog.column(name), strict=True):
        what = f"{name} of item {key!r}"
        labels = {label_of(word, what) for word in words_of(cell, divided=name == "tags")}
        found.append(sorted(labels - {""}))
    return found


def numbers_of(catalog: Catalog, name: str) -> np.ndarray:
    """A column of numbers (float64), NaN where there is none."""
    cells = catalog.column(name)
    for place, cell in enumerate(cells):
        if cell is None:
            cells[place] = np.nan
        elif _kind(cell) != "number":
            raise DataError(
                f"{name} of item {catalog.ids.tolist()[place]!r} is {cell!r} "
                f"({type(cell).__name__}); it must be a number."
            )
    return cells.astype(np.float64)


def _kind(cell: Any) -> str:
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, _LISTS):
        return "words"
    if isinstance(cell, (bool, np.bool_)):
        return "flag"
    return "number" if isinstance(cell, (numbers.Real, Decimal)) else "other"


def _text(cell: Any, field: str, key: Any) -> str:
    """Read a cell that is no plain string as text, or say what it is."""
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, _LISTS):
        words = words_of(cell, divided=False)
        if all(isinstance(word, str) for word in words):
            return " ".join(words)
    raise DataError(
        f"{field} of item {key!r} is {cell!r} ({type(cell).__name__}); texts must be str, or "
        "lists of str. Convert the column, or leave it out of fields."
    )


def as_catalog(table: Any) -> Catalog:
    """Return a table as a catalogue, or the catalogue that it is."""
    return table if isinstance(table, Catalog) else Catalog(table)
