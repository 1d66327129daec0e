"""Where two fitted estimators differ, by attribute path."""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from ecomrec._parallel import ForkLock
from ecomrec.data.ids import IdMap

# Hold nothing, and are never the same.
_LOCKS = (type(threading.Lock()), ForkLock)
Seen = dict[tuple[int, int], tuple[Any, Any]]

_PLAIN = (type(None), bool, int, str, bytes, np.bool_, np.integer, np.dtype, type)


def learned_differences(one: Any, other: Any) -> list[str]:
    """Return what two fitted estimators have learned differently, as dotted paths.

    Everything stored is compared, and every public attribute whose name ends in an underscore.
    Constructor parameters and locks are not learned.
    """
    given = set(one.get_params(deep=False)) if hasattr(one, "get_params") else set()
    seen: Seen = {}
    mine, theirs = _stored(one, given), _stored(other, given)
    paths = list(_of_mappings(mine, theirs, "", seen))
    for name in _public(type(one)) - set(mine):
        paths += _differences(_asked(one, name), _asked(other, name), name, seen)
    return sorted(set(paths))


def _stored(model: Any, given: set[str]) -> dict[str, Any]:
    return {n: v for n, v in vars(model).items() if n not in given and n != "_write_lock"}


def _public(owner: type) -> set[str]:
    """Names of the fitted attributes that a class computes when asked."""
    return {
        name
        for name, _ in inspect.getmembers(owner, lambda v: not callable(v))
        if name.endswith("_") and not name.startswith("_")
    }


def _asked(model: Any, name: str) -> Any:
    try:
        return getattr(model, name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _differences(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    if one is other or isinstance(one, _LOCKS) or (id(one), id(other)) in seen:
        return
    # Kept alive: a number that is given twice must be the same object.
    seen[id(one), id(other)] = one, other
    if type(one) is not type(other):
        yield path
    elif isinstance(one, np.ndarray):
        if not _same_arrays(one, other):
            yield path
    elif isinstance(one, (float, complex, np.inexact)):
        if not (one == other or (one != one and other != other)):
            yield path
    elif isinstance(one, (*_PLAIN, set, frozenset)):
        if one != other:
            yield path
    elif sp.issparse(one):
        if not _same_sparse(one, other):
            yield path
    elif isinstance(one, IdMap):
        if one.kind != other.kind or not _same_arrays(one.ids, other.ids) or _more(one, other):
            yield path
    elif isinstance(one, Mapping):
        yield from _of_mappings(one, other, path, seen)
    elif isinstance(one, Sequence):
        if len(one) != len(other):
            yield path
            return
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{path}[{place}]", seen)
    elif callable(getattr(one, "equals", None)):
        if not one.equals(other):
            yield path
    else:
        yield from _of_objects(one, other, path, seen)


def _of_mappings(
    one: Mapping[Any, Any], other: Mapping[Any, Any], path: str, seen: Seen
) -> Iterator[str]:
    for key in list(one) + [key for key in other if key not in one]:
        name = f"{path}.{key}" if path else str(key)
        if key in one and key in other:
            yield from _differences(one[key], other[key], name, seen)
        else:
            yield name


def _of_objects(one: Any, other: Any, path: str, seen: Seen) -> Iterator[str]:
    """Compare what objects hold; those that hold nothing that Python shows, by equality."""
    if callable(one) and not hasattr(one, "fit"):
        if one != other:
            yield path
        return
    slots = [name for base in type(one).__mro__ for name in getattr(base, "__slots__", ())]
    fields = [field.name for field in dataclasses.fields(one)] if _is_data(one) else []
    names = dict.fromkeys([*fields, *getattr(one, "__dict__", {}), *slots])
    if not names:
        if one != other:
            yield path
        return
    mine = {n: getattr(one, n) for n in names if hasattr(one, n) and n != "_write_lock"}
    theirs = {n: getattr(other, n) for n in names if hasattr(other, n) and n != "_write_lock"}
    yield from _of_mappings(mine, theirs, path, seen)


def _is_data(value: Any) -> bool:
    return dataclasses.is_dataclass(value)


def _more(*maps: IdMap) -> bool:
    """Whether an id map holds ids that are none of its own, in the table that it looks them up."""
    return any(m._table is not None and len(m._table) != len(m.ids) for m in maps)


def _same_sparse(one: Any, other: Any) -> bool:
    pairs = zip(one.tocoo().coords, other.tocoo().coords, strict=True)
    same_places = one.shape == other.shape and all(_same_arrays(a, b) for a, b in pairs)
    return same_places and _same_arrays(one.tocoo().data, other.tocoo().data)


def _same_arrays(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind == "O":
        return all(
            a is b or (type(a) is type(b) and a == b)
            for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        )
    # The bits: -0.0 and 0.0 are two answers, and a NaN is itself.
    return one.tobytes() == other.tobytes()
