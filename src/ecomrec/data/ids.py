"""External ids and the row numbers they stand for."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble

if TYPE_CHECKING:
    import pandas as pd

_KINDS: dict[type, str] = {
    str: "str",
    np.str_: "str",
    bytes: "bytes",
    np.bytes_: "bytes",
    uuid.UUID: "uuid",
    tuple: "tuple",
}
_ALLOWED = "str, int, bytes, UUID, or tuples of these"


class IdMap:
    """Ids in row order, and the way back from an id to its row.

    Parameters
    ----------
    ids : ndarray of shape (n,)
        int64, or object holding `str`, `bytes`, `UUID` or `tuple`; no id twice.
    kind : {"int", "str", "bytes", "uuid", "tuple"}
    """

    __slots__ = ("_keys", "_order", "_table", "ids", "kind")

    def __init__(
        self, ids: np.ndarray, kind: str = "int", *, table: dict[Any, int] | None = None
    ) -> None:
        self.ids = ids
        self.kind = kind
        self._table = table
        self._keys: np.ndarray | None = None
        self._order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[object, tuple[Any, ...]]:
        return IdMap, (self.ids, self.kind)

    @property
    def missing(self) -> Any:
        """What stands where there is no id: -1 for integers, None otherwise."""
        return -1 if self.kind == "int" else None

    def rows(self, ids: Iterable[Any]) -> np.ndarray:
        """Return the row of each id, int64; -1 where it is unknown."""
        if self.kind == "int":
            return self._integer_rows(ids)
        table = self._lookup()
        n = len(self.ids)
        try:
            rows = [table.get(i, -1) for i in ids]
        except TypeError:
            rows = [table.get(i, -1) if _hashable(i) else -1 for i in ids]
        found = np.array(rows, dtype=np.int64)
        # The table is shared with later versions of this map, which may hold more ids.
        found[found >= n] = -1
        return found

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the id of each row (-1: no id)."""
        if len(self.ids) == 0:
            empty: np.ndarray = np.full(rows.shape, self.missing, dtype=self.ids.dtype)
            return empty
        ids: np.ndarray = self.ids[rows]
        gaps = rows < 0
        if gaps.any():
            ids[gaps] = self.missing
        return ids

    def extend(self, new_ids: np.ndarray) -> IdMap:
        """Return a map with ids added behind the ones it has."""
        if not len(new_ids):
            return self
        ids = np.concatenate((self.ids, new_ids.astype(self.ids.dtype)))
        if self.kind == "int":
            return IdMap(ids, self.kind)
        table = self._lookup()
        if len(table) != len(self.ids):
            table = dict(zip(self.ids.tolist(), range(len(self.ids)), strict=True))
        table.update(zip(new_ids.tolist(), range(len(self.ids), len(ids)), strict=True))
        return IdMap(ids, self.kind, table=table)

    def keep(self, mask: np.ndarray) -> IdMap:
        """Return a map of the rows where `mask` is true, numbered anew; nothing else remains."""
        return IdMap(self.ids[mask], self.kind)

    def _lookup(self) -> dict[Any, int]:
        if self._table is None:
            self._table = dict(zip(self.ids.tolist(), range(len(self.ids)), strict=True))
        return self._table

    def _integer_rows(self, ids: Iterable[Any]) -> np.ndarray:
        values = _as_integers(ids)
        if self._keys is None:
            ordered = bool(np.all(self.ids[1:] > self.ids[:-1]))
            self._order = None if ordered else np.argsort(self.ids)
            self._keys = self.ids if self._order is None else self.ids[self._order]
        if len(self._keys) == 0:
            return np.full(len(values), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self._keys, values), len(self._keys) - 1)
        found = self._keys[places] == values
        rows = places if self._order is None else self._order[places]
        return np.where(found, rows, -1)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _as_integers(ids: Iterable[Any]) -> np.ndarray:
    """Return ids as int64; -1, which is never an id, for what is no integer that fits."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
        if ids.dtype == np.uint64:
            return np.where(ids > np.uint64(2**63 - 1), np.int64(-1), ids.astype(np.int64))
        return ids.astype(np.int64, copy=False)
    listed = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if set(map(type, listed)) <= {int}:
        try:
            return np.array(listed, dtype=np.int64)
        except OverflowError:
            pass
    return np.fromiter((_as_integer(i) for i in listed), dtype=np.int64, count=len(listed))


def _as_integer(value: Any) -> int:
    """Return an integer id as an int that fits, or -1, which is never an id."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        return -1
    return int(value) if -(2**63) <= value < 2**63 else -1


def id_list(ids: Any, name: str) -> Sequence[Any] | np.ndarray:
    """Check that `ids` is a list of ids and return it as a list or 1-D array."""
    if isinstance(ids, np.ndarray):
        if ids.ndim != 1:
            raise DataError(f"{name} must be one-dimensional; got shape {ids.shape}.")
        return ids if ids.dtype.kind in "iu" else ids.tolist()
    if isinstance(ids, list):
        return ids
    if isinstance(ids, (str, bytes, int, np.integer, uuid.UUID, tuple)):
        raise DataError(
            f"{name} must be a list of ids; got the single id {ids!r}. Write [{ids!r}]."
        )
    if hasattr(ids, "to_numpy"):
        return id_list(ids.to_numpy(), name)
    if isinstance(ids, (range, set, frozenset)) or hasattr(ids, "__iter__"):
        return list(ids)
    raise DataError(f"{name} must be a list of ids; got {type(ids).__name__}.")


def encode_ids(column: Any, name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Number the distinct ids of a column by their sorted order.

    Parameters
    ----------
    column : pandas Series or ndarray of shape (n,)
        No missing values.
    name : str
        Column name for messages.

    Returns
    -------
    codes : ndarray of shape (n,), int32
    ids : ndarray of shape (n_distinct,), int64 or object, sorted
    kind : str
    """
    import pandas as pd

    if isinstance(column, pd.Series) and isinstance(column.dtype, np.dtype):
        column = column.to_numpy()
    if isinstance(column, np.ndarray) and column.dtype.kind == "i":
        coded = _encode_dense(column, name)
        if coded is not None:
            return (*coded, "int")
    try:
        codes, uniques = pd.factorize(column)
    except TypeError:
        strange = next(value for value in column if not _hashable(value))
        raise DataError(
            f"{name} holds {type(strange).__name__} values; ids are {_ALLOWED}."
        ) from None
    ids, kind = check_ids(uniques, name)
    if len(ids) >= 2**31:
        raise DataError(f"{name} has {len(ids)} distinct ids; at most 2**31 - 1 fit.")
    order = _sorted_order(ids, name)
    return assemble.inverse(order)[codes], ids[order], kind


def _encode_dense(column: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Number integers that lie close together by a table instead of by hashing; else None."""
    if not len(column):
        return None
    lowest, highest = int(column.min()), int(column.max())
    width = highest - lowest + 1
    if width > 2 * len(column) + 1000 or width >= 2**31 or lowest <= -1 <= highest:
        return None
    present = np.zeros(width, dtype=bool)
    offsets = column - lowest if lowest else column
    present[offsets] = True
    numbers = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return numbers[offsets], np.flatnonzero(present).astype(np.int64) + lowest


def check_ids(values: pd.Index | np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Return distinct ids as int64 or object, and their kind; refuse what cannot be an id."""
    array = np.asarray(values)
    kind = array.dtype.kind
    if kind in "US":
        array = array.astype(object)
        kind = "O"
    if kind == "O":
        return _check_objects(array, name)
    if kind == "f":
        fractions = array[array != np.floor(array)]
        fractions = fractions if len(fractions) else array[np.isinf(array)]
        if len(fractions):
            raise DataError(
                f"{name} holds fractions such as {fractions[0].item()}; ids are {_ALLOWED}."
            )
        if np.any(np.abs(array) >= 2**53):
            raise DataError(
                f"{name} holds {int(array[np.argmax(np.abs(array))])}, and floats beyond 2**53 "
                "are not exact ids. Convert the column to integers or strings."
            )
        array = array.astype(np.int64)
    elif kind == "u" and len(array) and array.max() > np.iinfo(np.int64).max:
        raise DataError(
            f"{name} holds {array.max()}, beyond the largest integer id 2**63 - 1. Use strings."
        )
    elif kind not in "iu":
        raise DataError(f"{name} holds {array.dtype} values; ids are {_ALLOWED}.")
    if np.any(array == -1):
        raise DataError(f"{name} holds -1, which marks a missing id and cannot be one.")
    return array.astype(np.int64), "int"


def _check_objects(array: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    types = {type(value) for value in array}
    if all(issubclass(t, (int, np.integer)) and t is not bool for t in types) and types:
        if any(not -(2**63) <= value < 2**63 for value in array):
            raise DataError(f"{name} holds integers beyond 2**63 - 1. Use strings.")
        return check_ids(array.astype(np.int64), name)
    kinds = {_KINDS.get(t, "") for t in types}
    if len(kinds) > 1:
        examples = {type(value).__name__: value for value in array}
        raise DataError(
            f"{name} mixes types of ids: "
            + ", ".join(f"{t} ({v!r})" for t, v in sorted(examples.items()))
            + ". Convert the column to one type."
        )
    kind = kinds.pop() if kinds else "str"
    if not kind:
        raise DataError(f"{name} holds {types.pop().__name__} values; ids are {_ALLOWED}.")
    if kind == "tuple":
        for value in array:
            _check_tuple(value, value, name)
    return array, kind


def _check_tuple(part: tuple[Any, ...], whole: tuple[Any, ...], name: str) -> None:
    for element in part:
        if type(element) is tuple:
            _check_tuple(element, whole, name)
        elif type(element) not in _KINDS and (
            not isinstance(element, (int, np.integer)) or isinstance(element, bool)
        ):
            raise DataError(
                f"{name} holds tuples with {type(element).__name__} {whole!r}; ids are {_ALLOWED}."
            )


def _sorted_order(ids: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.argsort(ids, kind="stable")
    except TypeError:
        raise DataError(
            f"{name} holds tuples that cannot be ordered, such as {ids[0]!r}. Give every tuple "
            "the same types in the same places."
        ) from None


def merge_ids(parts: list[tuple[np.ndarray, str]], name: str) -> IdMap:
    """Return the sorted union of several id arrays of one kind."""
    filled = [(ids, kind) for ids, kind in parts if len(ids)]
    if not filled:
        return IdMap(np.empty(0, dtype=np.int64))
    kinds = {kind for _, kind in filled}
    if len(kinds) > 1:
        raise DataError(
            f"{name} must have one type everywhere; got {' and '.join(sorted(kinds))} in the "
            "events and the side table. Convert one of them."
        )
    kind = kinds.pop()
    if len(filled) == 1:
        return IdMap(filled[0][0], kind)
    _, ids, _ = encode_ids(np.concatenate([ids for ids, _ in filled]), name)
    return IdMap(ids, kind)
