"""Ids as arrays and parameters as JSON, in encodings that give back exactly what went in."""

from __future__ import annotations

import datetime
import itertools
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ecomrec.persistence._parsing import damaged, parse_json

_ID_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str, np.str_),
    "bytes": (bytes, np.bytes_),
    "uuid": (uuid.UUID,),
    "tuple": (tuple,),
}
_PART_TYPES = (int, str, np.str_, bytes, np.bytes_, uuid.UUID)
_SCALAR = re.compile(r"b1|[iu][1248]|f[248]|U|S|[mM]8(\[\d*[a-zA-Z]+\])?")


def pack_ids(name: str, ids: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    """Turn ids into arrays that a file can hold.

    Strings become UTF-8 bytes and offsets, UUIDs 16 bytes each, tuples JSON.

    Parameters
    ----------
    name : str
        Name of the first array; a second one is called ``name.offsets``.
    ids : ndarray of shape (n,), int64 or object
    kind : {"int", "str", "bytes", "uuid", "tuple"}
        Type of every id. Tuples hold str, int, bytes, UUID or tuples of these.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    TypeError
        If an id, or a part of a tuple, has another type. Subclasses such as enums count as
        another type; `numpy.str_` and `numpy.bytes_` come back as plain str and bytes.

    Examples
    --------
    >>> arrays = pack_ids("item_ids", np.array(["tea", "mug"], dtype=object), "str")
    >>> arrays["item_ids.offsets"]
    array([0, 3, 6])
    >>> unpack_ids("item_ids", arrays, "str")
    array(['tea', 'mug'], dtype=object)
    """
    if ids.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; got shape {ids.shape}.")
    if kind == "int":
        if ids.dtype != np.int64:
            raise TypeError(f"{name} must be int64 to be saved as integers; got {ids.dtype}.")
        return {name: ids}
    if kind not in _ID_TYPES:
        raise ValueError(f"kind must be 'int' or one of {sorted(_ID_TYPES)}; got {kind!r}.")
    values = ids.tolist()
    if not {type(value) for value in values} <= set(_ID_TYPES[kind]):
        odd = next(value for value in values if type(value) not in _ID_TYPES[kind])
        raise _odd_id(name, odd, kind)
    if kind == "tuple":
        rows = [_pack_parts(value, name) for value in values]
        return {name: _as_bytes([json.dumps(rows, separators=(",", ":")).encode()])}
    if kind == "uuid":
        return {name: _as_bytes(value.bytes for value in values).reshape(-1, 16)}
    if kind == "str":
        values = [value.encode("utf-8", "surrogatepass") for value in values]
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return {name: _as_bytes(values), f"{name}.offsets": offsets}


def unpack_ids(name: str, arrays: Mapping[str, np.ndarray], kind: str) -> np.ndarray:
    """Return the ids that `pack_ids` packed, read back from a file.

    Parameters
    ----------
    name : str
    arrays : mapping of str to ndarray
        May hold other arrays too.
    kind : {"int", "str", "bytes", "uuid", "tuple"}

    Returns
    -------
    ndarray of shape (n,), int64 or object
        Integers are the stored array itself, mapped if the file is.

    Raises
    ------
    FileFormatError
        If an array is missing or does not hold such ids.

    Examples
    --------
    >>> unpack_ids("user_ids", pack_ids("user_ids", np.array([7, 9]), "int"), "int")
    array([7, 9])
    """
    if kind == "int":
        return _stored(name, arrays, np.int64)
    blob = _stored(name, arrays, np.uint8, 2 if kind == "uuid" else 1).tobytes()
    values: list[Any]
    if kind == "tuple":
        values = [_unpack_parts(row, name) for row in parse_json(blob, f"array {name!r}", list)]
    elif kind == "uuid":
        values = [uuid.UUID(bytes=blob[i : i + 16]) for i in range(0, len(blob), 16)]
    elif kind in _ID_TYPES:
        offsets = _stored(f"{name}.offsets", arrays, np.int64).tolist()
        if offsets[:1] != [0] or offsets[-1] != len(blob) or offsets != sorted(offsets):
            raise damaged(f"array '{name}.offsets' does not divide {name!r}")
        values = [blob[begin:end] for begin, end in itertools.pairwise(offsets)]
        if kind == "str":
            try:
                values = [value.decode("utf-8", "surrogatepass") for value in values]
            except UnicodeDecodeError as error:
                raise damaged(f"array {name!r} is no text") from error
    else:
        raise damaged(f"{name!r} is said to hold ids of the unknown kind {kind!r}")
    return np.fromiter(values, dtype=object, count=len(values))


def pack_value(value: object) -> Any:
    """Turn a parameter into what JSON can hold.

    Parameters
    ----------
    value : object
        None, bool, int, float, str, bytes, UUID, timedelta, a NumPy scalar, or a list, tuple or
        dict of these.

    Returns
    -------
    None, bool, int, float, str, list or dict

    Raises
    ------
    TypeError
        For any other type, subclasses included.

    Examples
    --------
    >>> pack_value({"shrink": float("inf"), "k": (5, 10)})
    {'dict': [['shrink', {'float': 'inf'}], ['k', {'tuple': [5, 10]}]]}
    """
    pack = _pack_scalar if isinstance(value, np.generic) else _PACK.get(type(value), _refuse)
    return pack(value)


def unpack_value(value: Any) -> Any:
    """Return the value that `pack_value` packed, of the same type and equal.

    Parameters
    ----------
    value : object
        As it came out of JSON.

    Returns
    -------
    object

    Raises
    ------
    FileFormatError
        If `pack_value` cannot have written it.

    Examples
    --------
    >>> unpack_value({"tuple": [5, {"float": "inf"}]})
    (5, inf)
    """
    if isinstance(value, list):
        return [unpack_value(part) for part in value]
    if not isinstance(value, dict):
        return value
    try:
        ((tag, content),) = value.items()
        return _UNPACK[tag](content)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise damaged(f"the stored value {value!r} cannot be understood") from error


def _refuse(value: object) -> Any:
    raise TypeError(
        f"Cannot save a value of type {type(value).__name__}: {value!r}. Use None, numbers, str, "
        "bytes, UUID, timedelta, or lists, tuples and dicts of these; random_state as an integer."
    )


def _pack_text(text: str) -> Any:
    """Tag text with surrogates: JSON would join two halves into one character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return {"text": text.encode("utf-8", "surrogatepass").hex()}
    return text


def _pack_scalar(value: Any) -> Any:
    kind = value.dtype.kind
    code = kind if kind in "US" else value.dtype.str.lstrip("<>|=")
    if not _SCALAR.fullmatch(code) or type(value) is not value.dtype.type:
        _refuse(value)
    content = int(value.view(np.int64)) if kind in "mM" else pack_value(value.item())
    return {"numpy": [code, content]}


def _unpack_scalar(code: str, content: Any) -> Any:
    if not _SCALAR.fullmatch(code):
        raise ValueError(f"unknown type {code!r}")
    dtype = np.dtype(code)
    if dtype.kind in "mM":
        return np.int64(content).view(dtype)
    return dtype.type(unpack_value(content))


# Exact types only: a subclass would come back as something else.
_PACK: dict[type, Callable[[Any], Any]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: lambda value: value,
    str: _pack_text,
    float: lambda value: value if math.isfinite(value) else {"float": repr(value)},
    bytes: lambda value: {"bytes": value.hex()},
    uuid.UUID: lambda value: {"uuid": value.hex},
    datetime.timedelta: lambda t: {"timedelta": [t.days, t.seconds, t.microseconds]},
    list: lambda value: [pack_value(part) for part in value],
    tuple: lambda value: {"tuple": [pack_value(part) for part in value]},
    dict: lambda value: {"dict": [[pack_value(k), pack_value(v)] for k, v in value.items()]},
}
_UNPACK: dict[str, Callable[[Any], Any]] = {
    "text": lambda text: bytes.fromhex(text).decode("utf-8", "surrogatepass"),
    "float": float,
    "bytes": bytes.fromhex,
    "uuid": lambda text: uuid.UUID(hex=text),
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "tuple": lambda parts: tuple(unpack_value(part) for part in parts),
    "dict": lambda pairs: {unpack_value(k): unpack_value(v) for k, v in pairs},
    "numpy": lambda parts: _unpack_scalar(*parts),
}


def _odd_id(name: str, value: object, kind: str) -> TypeError:
    return TypeError(
        f"{name} must hold only {kind} to be saved; got {type(value).__name__} {value!r}. "
        "Convert the column before fit."
    )


def _is_id(value: object) -> bool:
    """Tell whether a value may be part of a tuple that is an id."""
    if type(value) is tuple:
        return all(map(_is_id, value))
    return type(value) in _PART_TYPES or isinstance(value, np.integer)


def _pack_parts(value: tuple[Any, ...], name: str) -> list[Any]:
    if not _is_id(value):
        odd = next(part for part in value if not _is_id(part))
        raise _odd_id(f"{name}: the tuple {value!r}", odd, "str, int, bytes, UUID or tuples")
    return [pack_value(part) for part in value]


def _unpack_parts(row: Any, name: str) -> tuple[Any, ...]:
    value = tuple(unpack_value(row)) if isinstance(row, list) else None
    if value is None or not _is_id(value):
        raise damaged(f"array {name!r} holds {row!r}, which is no tuple of ids")
    return value


def _as_bytes(values: Iterable[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(values), dtype=np.uint8)


def _stored(name: str, arrays: Mapping[str, np.ndarray], dtype: type, ndim: int = 1) -> np.ndarray:
    """Return the array of ids called `name`, if it can be one."""
    if name not in arrays:
        raise damaged(f"array {name!r} is missing")
    array = arrays[name]
    if array.dtype != dtype or array.ndim != ndim or (ndim == 2 and array.shape[1] != 16):
        raise damaged(f"array {name!r} is {array.dtype} of shape {array.shape}, which are no ids")
    return array
