"""Everything that a model holds in memory, found by walking it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def reachable(root: Any) -> Iterator[Any]:
    """Yield every object that hangs on another: attributes, slots, elements, bases of views."""
    seen: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen[id(value)] = value
        yield value
        waiting += _parts(value)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        base = [] if value.base is None else [value.base]
        return base + (value.ravel().tolist() if value.dtype == object else [])
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if type(value).__module__.partition(".")[0] in ("builtins", "threading", "_thread"):
        return []
    slots = [name for owner in type(value).__mro__ for name in getattr(owner, "__slots__", ())]
    parts = [getattr(value, name) for name in slots if hasattr(value, name)]
    return parts + list(getattr(value, "__dict__", {}).values())


def array_bytes(root: Any) -> int:
    """Bytes of all arrays that hang on an object, each buffer counted once."""
    owners = [
        value
        for value in reachable(root)
        if isinstance(value, np.ndarray) and not isinstance(value.base, np.ndarray)
    ]
    return sum(values.nbytes for values in owners)


def holds_id(root: Any, wanted: Any) -> bool:
    """Whether an id hangs on an object: as itself, within a text, or as a number in an array."""
    for value in reachable(root):
        if type(value) is type(wanted) and value == wanted:
            return True
        if isinstance(value, str) and isinstance(wanted, str) and wanted in value:
            return True
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and isinstance(wanted, int):
            found = bool((value == wanted).any())
            if found:
                return True
    return False
