"""External ids and the row numbers they stand for."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Sequence
from itertools import chain
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
_IN_TUPLES = {str, bytes, int, uuid.UUID}
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
    if isinstance(column, np.ndarray) and column.dtype.kind in "US":
        column = column.astype(object)
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
    found = np.asarray(uniques)
    if found.dtype.kind == "O" and _misread(found):
        codes, found = _numbered(column)
    ids, kind = check_ids(found, name)
    if found.dtype.kind == "O" and kind in ("int", "tuple"):
        # 1, True and 1.0 are equal, and just the first of them is among the distinct ids.
        _kind_of(np.asarray(column, dtype=object), name)
    if len(ids) >= 2**31:
        raise DataError(f"{name} has {len(ids)} distinct ids; at most 2**31 - 1 fit.")
    order = _sorted_order(ids, name)
    return assemble.inverse(order)[codes], ids[order], kind


def encode_usable_ids(column: Any, name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Number the distinct ids of a column; values that are no ids raise no error.

    Where an error would tell of one person: whether a value is an id, and which, depends on no
    other row.

    Parameters
    ----------
    column : pandas Series or ndarray of shape (n,)
    name : str
        Column name for messages, which name no value.

    Returns
    -------
    codes : ndarray of shape (n,), int32
        -1 for what is no id.
    ids : ndarray of shape (n_distinct,), int64 or object, sorted within their type
    kind : str
        "mixed" for ids of several types.

    Raises
    ------
    DataError
        If nothing in the column is an id.
    """
    with contextlib.suppress(DataError):
        return encode_ids(column, name)
    values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    types = _types(values)
    usable = sorted({one for one in types.tolist() if one})
    if not usable:
        raise DataError(f"{name} holds no ids; ids are {_ALLOWED}.")
    codes = np.full(len(values), -1, dtype=np.int32)
    parts, kinds, n = [], set(), 0
    for one in usable:
        rows = np.flatnonzero(types == one)
        own, ids, kind = encode_ids(values[rows], name)
        codes[rows] = own + n
        n += len(ids)
        parts.append(ids)
        kinds.add(kind)
    if len(kinds) == 1:
        return codes, np.concatenate(parts), kinds.pop()
    return codes, np.concatenate([ids.astype(object) for ids in parts]), "mixed"


def _types(values: np.ndarray) -> np.ndarray:
    """The type of each id, which ids must share to be sorted; "" where there is none."""
    if values.dtype.kind == "O":
        return np.array([_type(value) for value in values.tolist()], dtype=object)
    if values.dtype.kind in "US":
        return np.full(len(values), "str" if values.dtype.kind == "U" else "bytes", dtype=object)
    good = np.zeros(len(values), dtype=bool)
    if values.dtype.kind == "f":
        good = (np.abs(values) < 2**53) & (values == np.floor(values)) & (values != -1)
    elif values.dtype.kind == "u":
        good = values <= np.uint64(2**63 - 1)
    elif values.dtype.kind == "i":
        good = values != -1
    return np.where(good, "int", "").astype(object)


def _type(value: Any, inside: bool = False) -> str:
    if type(value) is tuple:
        parts = [_type(part, inside=True) for part in value]
        return f"tuple of {', '.join(parts)}." if all(parts) else ""
    if inside and isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return "int"
    return _KINDS.get(type(value), "" if _as_integer(value) == -1 else "int")


def _misread(texts: np.ndarray) -> bool:
    """Whether pandas may have taken text for other text: half a surrogate pair for its repr."""
    try:
        joined = "".join(texts.tolist())
    except TypeError:
        return False
    if "\\ud" in joined:
        return True
    try:
        joined.encode()
    except UnicodeEncodeError:
        return True
    return False


def _numbered(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Number values by first appearance: slower than pandas, and exact."""
    table: dict[Any, int] = {}
    codes = np.array([table.setdefault(value, len(table)) for value in column], dtype=np.int64)
    found = np.empty(len(table), dtype=object)
    found[:] = list(table)
    return codes, found


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
    kind = _kind_of(array, name)
    if kind == "int":
        if any(not -(2**63) <= value < 2**63 for value in array):
            raise DataError(f"{name} holds integers beyond 2**63 - 1. Use strings.")
        return check_ids(array.astype(np.int64), name)
    if kind != "tuple" and not set(map(type, array)) & {np.str_, np.bytes_}:
        return array, kind
    plain = np.empty(len(array), dtype=object)
    plain[:] = [_plain(value) for value in array.tolist()]
    return plain, kind


def _kind_of(array: np.ndarray, name: str) -> str:
    """Return the kind that all objects share; refuse what cannot be ids."""
    types = set(map(type, array))
    if all(issubclass(t, (int, np.integer)) and t is not bool for t in types) and types:
        return "int"
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
    if kind == "tuple" and not set(map(type, chain.from_iterable(array))) <= _IN_TUPLES:
        for value in array:
            _check_tuple(value, value, name)
    return kind


def _plain(value: Any) -> Any:
    """An id as Python's own str, bytes, int or UUID, or a tuple of these."""
    if type(value) is tuple:
        return tuple(map(_plain, value))
    if isinstance(value, (str, bytes)):
        return str(value) if isinstance(value, str) else bytes(value)
    return value if isinstance(value, uuid.UUID) else int(value)


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
