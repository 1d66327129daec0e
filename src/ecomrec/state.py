"""What a fitted model knows, what it is asked, and how both become arrays for a file."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from ecomrec import persistence
from ecomrec._lazy import computed_once
from ecomrec._optional import require
from ecomrec._registry import COMPONENTS, ESTIMATORS
from ecomrec.data.histories import Profiles
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.exceptions import FileFormatError

# Estimators that a composite may be made of, and components of models.
_PARAMETERS = ESTIMATORS | COMPONENTS


@dataclass(frozen=True, eq=False)
class State:
    """All that a fitted model knows, never changed after it is made.

    Attributes
    ----------
    interactions : Interactions
    learned : dataclass or None
        The model's own arrays, `RowStore`, `IdMap` and scalars. Rows that are not similarities
        of users or of items have their shapes told by its method ``row_shapes(interactions)``, a
        dict of field to (n_rows, n_columns); arrays are told by ``array_rules(interactions)``, a
        dict of field to `ArrayRule`. What a file holds is checked against both.
    available : ndarray of shape (n_items,), bool, or None
        False for items that a catalogue marks as not available.
    from_table : bool
        Fitted on a table of events rather than on a matrix.
    """

    interactions: Interactions
    learned: Any
    available: np.ndarray | None
    from_table: bool

    @computed_once
    def by_popularity(self) -> np.ndarray:
        """Items by the number of users with evidence, ties by row: int32 of shape (n_items,)."""
        counts = self.interactions.item_counts
        return np.argsort(-counts, kind="stable").astype(np.int32)


class ArrayRule(NamedTuple):
    """What an array that a model learned must be, so that kernels can trust it.

    Attributes
    ----------
    shape : tuple of int
        -1 where any length will do.
    low, high : int or None
        The values are integers from `low` to below `high`.
    is_order : bool
        The values are those of a permutation.
    dtype : type or None
        Of the numbers, where kernels take just one.
    """

    shape: tuple[int, ...]
    low: int | None = None
    high: int | None = None
    is_order: bool = False
    dtype: type[np.generic] | None = None

    def fits(self, found: Any) -> bool:
        """Whether an array is as it must be."""
        if not isinstance(found, np.ndarray) or found.ndim != len(self.shape):
            return False
        if any(n not in (-1, m) for n, m in zip(self.shape, found.shape, strict=True)):
            return False
        if self.dtype is not None and found.dtype != self.dtype:
            return False
        low, high = (0, len(found)) if self.is_order else (self.low, self.high)
        if low is not None and high is not None:
            if found.dtype.kind not in "iu":
                return False
            if found.size and (found.min() < low or found.max() >= high):
                return False
        return not self.is_order or bool((np.bincount(found, minlength=len(found)) == 1).all())


def columns_of(array: np.ndarray) -> int:
    """Number of columns, or -1 for what has none."""
    return int(array.shape[1]) if array.ndim == 2 else -1


class SideTables(NamedTuple):
    """Tables given beside the events: attributes of users and of items, as they came, or None."""

    users: Any = None
    items: Any = None


class Query(NamedTuple):
    """The rows of one request.

    Attributes
    ----------
    users : ndarray of shape (n,), int64
        Stored rows, -1 for anonymous visitors and unknown users.
    profiles : Profiles
        The items and weights to answer from.
    as_stored : bool
        The profiles are just what is stored for `users`.
    views : dict or None
        The same profiles as interactions of another kind and half-life count them, by these two.
    """

    users: np.ndarray
    profiles: Profiles
    as_stored: bool
    views: dict[tuple[str, float], Profiles] | None = None


def pack_parameter(value: Any) -> Any:
    """A parameter as JSON; pandas' own durations as the NumPy ones that they are.

    A component, such as a `Tokenizer`, or an estimator becomes its name and those of its
    parameters that are not at their defaults.
    """
    if isinstance(value, timedelta) and type(value) is not timedelta:
        value = np.timedelta64(value)
    if getattr(value, "_for_this_process", False):  # a ledger in memory: no file can hold it
        value = None
    name = type(value).__name__
    if name in _PARAMETERS and type(value) is _component(name):
        signature = inspect.signature(type(value)).parameters
        defaults = {key: parameter.default for key, parameter in signature.items()}
        given = value.get_params(deep=False)
        changed = {key: v for key, v in given.items() if not _same(v, defaults.get(key, ...))}
        try:
            persistence.check_component(name, changed, signature)
        except FileFormatError as error:
            raise TypeError(f"Cannot save this model: {error}.") from error
        params = {key: pack_parameter(v) for key, v in sorted(changed.items())}
        return {"component": [name, params]}
    if isinstance(value, (list, tuple)) and _holds_estimators(value):
        return {type(value).__name__: [pack_parameter(v) for v in value], "of": "parts"}
    return persistence.pack_value(value)


def unpack_parameter(value: Any) -> Any:
    """Return the parameter that `pack_parameter` packed."""
    if isinstance(value, dict) and value.get("of") == "parts":
        kind = list if "list" in value else tuple
        return kind(unpack_parameter(v) for v in value[kind.__name__])
    if not isinstance(value, dict) or list(value) != ["component"]:
        return persistence.unpack_value(value)
    name, params = value["component"]
    if name not in _PARAMETERS:
        what = persistence.shortened(repr(name))
        raise FileFormatError(f"it holds a {what}, which is none of {sorted(_PARAMETERS)}")
    kind = _component(name)
    given = {key: unpack_parameter(v) for key, v in params.items()}
    persistence.check_component(name, given, inspect.signature(kind).parameters)
    return kind(**given)


def _holds_estimators(values: Sequence[Any]) -> bool:
    """Whether a list, or one inside it, has an estimator."""
    return any(
        _holds_estimators(v) if isinstance(v, (list, tuple)) else hasattr(v, "get_params")
        for v in values
    )


def _component(name: str) -> type[Any]:
    module = _PARAMETERS[name]
    owner = require(module, "rank") if module == "lightgbm" else import_module(module)
    found: type[Any] = getattr(owner, name)
    return found


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one is other or one == other)


def pack_state(
    state: State, shared: Sequence[Interactions] = ()
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a state as a manifest of JSON values, and named arrays.

    Interactions that are `shared` with what was packed before are named by number.
    """
    manifest: dict[str, Any] = {
        "from_table": state.from_table,
        "learned_type": type(state.learned).__name__,
    }
    manifest["learned"], arrays = pack_fields(state.learned)
    if state.available is not None:
        arrays["available"] = state.available
    manifest["shop"], parts = pack_shop(state.interactions, shared)
    return manifest, arrays | parts


def pack_shop(
    shop: Interactions, shared: Sequence[Interactions]
) -> tuple[dict[str, Any] | int, dict[str, np.ndarray]]:
    """Return interactions as a manifest and arrays, or their number among those shared."""
    for number, other in enumerate(shared):
        if other is shop:
            return number, {}
    names = ("kind", "half_life", "reference", "newest", "timed")
    manifest = {
        "user_kind": shop.users.kind,
        "item_kind": shop.items.kind,
        **{name: persistence.pack_value(getattr(shop, name)) for name in names},
    }
    indptr, columns = shop.by_user.to_csr()
    arrays = {
        **persistence.pack_ids("users", shop.users.ids, shop.users.kind),
        **persistence.pack_ids("items", shop.items.ids, shop.items.kind),
        "shop.indptr": indptr,
        **{f"shop.{number}": values for number, values in enumerate(columns)},
    }
    optional = {"listed_users": shop.listed_users, "listed_items": shop.listed_items}
    arrays.update({name: values for name, values in optional.items() if values is not None})
    return manifest, arrays


def pack_fields(
    learned: Any, prefix: str = "learned"
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a dataclass of arrays, rows, ids and values as a manifest, and named arrays."""
    forms: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for field in fields(learned):
        value = getattr(learned, field.name)
        name = f"{prefix}.{field.name}"
        if isinstance(value, RowStore):
            indptr, columns = value.to_csr()
            arrays[f"{name}.indptr"] = indptr
            arrays.update({f"{name}.{number}": values for number, values in enumerate(columns)})
            forms[field.name] = {"rows": len(columns)}
        elif isinstance(value, IdMap):
            arrays.update(persistence.pack_ids(name, value.ids, value.kind))
            forms[field.name] = {"ids": value.kind}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
            forms[field.name] = {"array": True}
        else:
            forms[field.name] = {"value": persistence.pack_value(value)}
    return forms, arrays


def unpack_state(
    manifest: dict[str, Any],
    arrays: dict[str, np.ndarray],
    learned_types: tuple[type, ...],
    shared: Sequence[Interactions] = (),
) -> State:
    """Return the state that `pack_state` packed; it may have learned any of the types given."""
    learned_type = {kind.__name__: kind for kind in learned_types}[manifest["learned_type"]]
    shop = unpack_shop(manifest["shop"], arrays, shared)
    learned = unpack_fields(manifest["learned"], arrays, learned_type, shop)
    return State(shop, learned, unpack_available(arrays, shop), bool(manifest["from_table"]))


def unpack_available(arrays: dict[str, np.ndarray], shop: Interactions) -> np.ndarray | None:
    """Return which items are available, None where no catalogue says."""
    return _flags("available", arrays, shop.n_items)


def _flags(name: str, arrays: dict[str, np.ndarray], n: int) -> np.ndarray | None:
    """Return an array of n booleans, if there is one."""
    found = arrays.get(name)
    if found is not None and (found.shape != (n,) or found.dtype != np.bool_):
        raise FileFormatError(f"the array {name} does not fit the ids; it is damaged.")
    return found


def unpack_shop(
    packed: dict[str, Any] | int, arrays: dict[str, np.ndarray], shared: Sequence[Interactions]
) -> Interactions:
    """Return the interactions of a packed state."""
    if isinstance(packed, int):
        if not 0 <= packed < len(shared):
            raise FileFormatError("it refers to interactions that it does not hold.")
        return shared[packed]
    values = dict(packed)
    user_kind, item_kind = values.pop("user_kind"), values.pop("item_kind")
    users = persistence.unpack_ids("users", arrays, user_kind)
    items = persistence.unpack_ids("items", arrays, item_kind)
    shop = Interactions(
        IdMap(users, user_kind),
        IdMap(items, item_kind),
        _unpack_rows("shop", arrays, sum(name.startswith("shop.") for name in arrays) - 1),
        listed_users=_flags("listed_users", arrays, len(users)),
        listed_items=_flags("listed_items", arrays, len(items)),
        **{name: persistence.unpack_value(v) for name, v in values.items()},
    )
    _check_rows(shop.by_user, shop.n_users, shop.n_items)
    return shop


def unpack_fields(
    forms: dict[str, Any],
    arrays: dict[str, np.ndarray],
    learned_type: type,
    shop: Interactions | None = None,
    prefix: str = "learned",
) -> Any:
    """Return the dataclass that `pack_fields` packed, with its arrays and rows checked."""
    learned: dict[str, Any] = {}
    for name, form in forms.items():
        if "rows" in form:
            learned[name] = _unpack_rows(f"{prefix}.{name}", arrays, form["rows"])
        elif "ids" in form:
            ids = persistence.unpack_ids(f"{prefix}.{name}", arrays, form["ids"])
            learned[name] = IdMap(ids, form["ids"])
        elif "array" in form:
            learned[name] = arrays[f"{prefix}.{name}"]
        else:
            learned[name] = persistence.unpack_value(form["value"])
    made = learned_type(**learned)
    rules = made.array_rules(shop) if hasattr(made, "array_rules") else {}
    for name, rule in rules.items():
        if getattr(made, name) is not None and not rule.fits(learned[name]):
            raise FileFormatError(f"the array {name} does not fit the others; it is damaged.")
    shapes = made.row_shapes(shop) if hasattr(made, "row_shapes") else {}
    for name, rows in learned.items():
        if isinstance(rows, RowStore):
            n = rows.n_rows
            if name not in shapes and (shop is None or n not in shop.shape):
                raise FileFormatError(f"{name} has {n} rows, which nothing in the file explains.")
            _check_rows(rows, *shapes.get(name, (n, n)))
    return made


def _unpack_rows(name: str, arrays: dict[str, np.ndarray], n_columns: int) -> RowStore:
    columns = tuple(arrays[f"{name}.{number}"] for number in range(n_columns))
    indptr = arrays[f"{name}.indptr"]
    if (
        indptr.ndim != 1
        or indptr.dtype != np.int64
        or len(indptr) == 0
        or indptr[0] != 0
        or (np.diff(indptr) < 0).any()
        or any(values.shape != (indptr[-1],) for values in columns)
    ):
        raise FileFormatError(f"the rows of {name} do not fit their entries; the file is damaged.")
    return RowStore.from_csr(indptr, columns)


def _check_rows(store: RowStore, n_rows: int, n_columns: int) -> None:
    """Refuse rows that would make a kernel read beyond its arrays."""
    indices = store.columns[0]
    if (
        store.n_rows != n_rows
        or indices.dtype != np.int32
        or (len(indices) and (indices.min() < 0 or indices.max() >= n_columns))
    ):
        raise FileFormatError("the stored matrix does not fit its ids; the file is damaged.")
