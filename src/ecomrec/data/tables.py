"""Tables of any kind read into plain columns; what is wrong with one is said here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw
import numpy as np

from ecomrec.data.timestamps import NAT, number_or_nan, to_nanoseconds
from ecomrec.exceptions import DataError

USER, ITEM, RATING, WEIGHT, TIME = "user_id", "item_id", "rating", "weight", "timestamp"

#: What a pandas table says in its `attrs` when other users had a say in a user's rows.
LEARNED = "ecomrec: learned from all users"

Missing = Literal["raise", "drop", "drop unusable"]

_LIKE = {
    USER: ("user", "userid", "uid", "customer", "customerid", "visitorid", "u"),
    ITEM: ("item", "itemid", "iid", "product", "productid", "sku", "stockcode", "movieid", "i"),
    TIME: ("time", "ts", "date", "datetime", "createdat", "invoicedate"),
}


@dataclass(frozen=True)
class EventColumns:
    """The columns of an event table: native ids, float64 values or None, int64 times or None."""

    users: Any
    items: Any
    values: np.ndarray | None
    times: np.ndarray | None
    value_name: str


def is_table(data: Any) -> bool:
    """Whether `data` is a table of columns rather than a matrix."""
    return hasattr(data, "columns") or hasattr(data, "column_names")


def to_frame(table: Any, name: str) -> nw.DataFrame[Any]:
    """Wrap a pandas, Polars or Arrow table; a `Catalog` holds one."""
    table = getattr(table, "__catalog_frame__", table)
    try:
        return nw.from_native(table, eager_only=True)
    except nw.exceptions.DuplicateError:
        raise _twice(getattr(table, "column_names", table.columns), name) from None
    except TypeError:
        raise DataError(
            f"{name} must be a pandas, Polars or Arrow table, Interactions, or a users x items "
            f"matrix; got {type(table).__name__}."
        ) from None


def _twice(columns: Any, what: str) -> DataError:
    names = [str(column) for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    return DataError(f"{what} has the columns {twice} twice. Rename or drop one of each.")


def require_columns(frame: nw.DataFrame[Any], names: Sequence[str], what: str) -> None:
    """Refuse a table that lacks columns, naming what it has instead."""
    found = list(frame.columns)
    missing = [name for name in names if name not in found]
    if not missing:
        return
    hints = []
    for name in missing:
        like = [c for c in found if str(c).lower().replace("_", "") in _LIKE.get(name, ())]
        hints += [f"rename {like[0]!r} to {name!r}"] if like else []
    hint = f" Perhaps {' and '.join(hints)}." if hints else ""
    index = getattr(getattr(frame.to_native(), "index", None), "names", None) or []
    if any(name in index for name in missing):
        hint = " It is the index of the table: call reset_index() first."
    raise DataError(f"{what} lacks the columns {missing}; found {[str(c) for c in found]}.{hint}")


def read_events(
    table: Any,
    y: Any = None,
    *,
    values: Literal["weight", "rating"] = "weight",
    missing: Missing = "raise",
    what: str = "the event table",
) -> EventColumns:
    """Read `user_id`, `item_id`, a strength or rating, and `timestamp` from a table.

    Parameters
    ----------
    table : pandas, Polars or Arrow table
    y : array-like of shape (n_rows,), optional
        The strength or rating of each row; wins over the columns.
    values : {"weight", "rating"}
        Which column is looked for first; a table may have one, both or neither.
    missing : {"raise", "drop", "drop unusable"}
        What happens to rows without an id, a time or a value; with "drop unusable" a value that
        is no finite number, or too large, and a time that cannot be read count as none.
    """
    if missing not in ("raise", "drop", "drop unusable"):
        raise ValueError(f"missing must be 'raise' or 'drop'; got {missing!r}.")
    frame = to_frame(table, what)
    require_columns(frame, (USER, ITEM), what)
    unusable = missing == "drop unusable"
    strength, value_name = _strength(frame, y, values, unusable)
    columns = {name: frame[name] for name in (USER, ITEM)}
    if TIME in frame.columns:
        columns[TIME] = frame[TIME]
    gaps = {name: column.is_null().to_numpy() for name, column in columns.items()}
    times = None
    if unusable and TIME in columns:
        times = to_nanoseconds(_native(columns.pop(TIME)), TIME, unusable="missing")
        gaps[TIME] = times == NAT
    for name, column in columns.items():
        if column.dtype.is_float():
            # Polars and Arrow tell NaN from null.
            gaps[name] = gaps[name] | np.isnan(column.to_numpy().astype(np.float64))
    if strength is not None:
        if unusable:
            strength = np.where(np.abs(strength) <= np.finfo(np.float32).max, strength, np.nan)
        gaps[value_name] = np.isnan(strength)
        _refuse_infinite(strength, value_name)
    keep = _complete_rows(gaps, len(frame), missing, what)
    if keep is not None:
        columns = {name: column.filter(keep.tolist()) for name, column in columns.items()}
        strength = None if strength is None else strength[keep]
        times = None if times is None else times[keep]
    if TIME in columns:
        times = to_nanoseconds(_native(columns[TIME]), TIME)
        late = int(np.count_nonzero(times == NAT))
        if late:
            raise DataError(f"{what} has {late} rows whose timestamp is missing.")
    return EventColumns(
        _native(columns[USER]), _native(columns[ITEM]), strength, times, value_name
    )


def _strength(
    frame: nw.DataFrame[Any], y: Any, values: str, unusable: bool
) -> tuple[np.ndarray | None, str]:
    if y is not None:
        strength = _numbers(y, "y", unusable)
        if len(strength) != len(frame):
            raise DataError(f"y has {len(strength)} values for {len(frame)} rows.")
        return strength, values
    order = (RATING, WEIGHT) if values == "rating" else (WEIGHT, RATING)
    for name in order:
        if name in frame.columns:
            return _numbers(_native(frame[name]), name, unusable), name
    return None, WEIGHT


def _numbers(column: Any, name: str, unusable: bool) -> np.ndarray:
    kind = getattr(getattr(column, "dtype", None), "kind", "")
    if kind in ("M", "m", "c"):
        raise DataError(f"{name} must hold numbers; got {column.dtype}.")
    try:
        if hasattr(column, "to_numpy") and hasattr(column, "dtype") and hasattr(column, "isna"):
            numbers: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            numbers = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        if not unusable:
            raise DataError(f"{name} must hold numbers; {error}.") from None
        numbers = np.array([number_or_nan(value) for value in column], dtype=np.float64)
        if np.isnan(numbers).all():
            raise DataError(f"{name} must hold numbers; got none.") from None
    if numbers.ndim != 1:
        raise DataError(f"{name} must be one-dimensional; got shape {numbers.shape}.")
    return numbers


def _refuse_infinite(values: np.ndarray, name: str) -> None:
    infinite = int(np.count_nonzero(np.isinf(values)))
    if infinite:
        raise DataError(f"{name} has {infinite} infinite values. Drop or cap them.")
    huge = int(np.count_nonzero(np.abs(values) > np.finfo(np.float32).max))
    if huge:
        raise DataError(
            f"{name} has {huge} values beyond the largest float32, 3.4e38. Drop or cap them."
        )


def _complete_rows(
    gaps: dict[str, np.ndarray], n_rows: int, missing: Missing, what: str
) -> np.ndarray | None:
    """Return which rows to keep, None for all, or raise with a count per column."""
    counts = {name: int(np.count_nonzero(gap)) for name, gap in gaps.items()}
    holes = {name: count for name, count in counts.items() if count}
    if not holes:
        return None
    if missing == "raise":
        listing = ", ".join(f"{count} without {name}" for name, count in holes.items())
        raise DataError(
            f"{what} has rows with missing values among its {n_rows}: {listing}. Drop or fill "
            "them first (ecomrec.data.MissingValues, or Interactions.from_table with "
            "missing='drop')."
        )
    keep = np.ones(n_rows, dtype=bool)
    for gap in gaps.values():
        keep &= ~gap
    return keep


def _native(column: nw.Series[Any]) -> Any:
    """Return a pandas column as it is and any other as a NumPy array."""
    if column.implementation.is_pandas():
        return column.to_native()
    plain = column.dtype.is_numeric() or column.dtype.is_temporal()
    if plain and column.dtype not in (nw.Int128, nw.UInt128):
        return column.to_numpy()
    # Fixed-width text would cut trailing NULs and take the longest id's room for every row.
    cells = np.empty(len(column), dtype=object)
    cells[:] = column.to_list()
    return cells


def read_ids(table: Any, column: str, what: str) -> tuple[nw.DataFrame[Any], Any]:
    """Read the id column of a side table; ids must be there and occur once."""
    frame = to_frame(table, what)
    require_columns(frame, (column,), what)
    ids = frame[column]
    gaps = int(ids.is_null().sum())
    if gaps:
        raise DataError(f"{what} has {gaps} rows without {column}. Drop them first.")
    if ids.n_unique() != len(ids):
        twice = ids.filter(ids.is_duplicated()).to_list()[0]
        raise DataError(f"{what} has more than one row for {column} {twice!r}. Keep one of each.")
    return frame, _native(ids)


def read_pairs(pairs: Any) -> tuple[Any, Any]:
    """Read (user, item) pairs from a table, a list of pairs or an array of shape (n, 2)."""
    if is_table(pairs):
        columns = read_events(pairs, what="the table of pairs")
        return columns.users, columns.items
    if isinstance(pairs, np.ndarray):
        if pairs.ndim == 2 and pairs.shape[1] == 2:
            return pairs[:, 0], pairs[:, 1]
        raise DataError(f"pairs must have shape (n, 2); got {pairs.shape}.")
    pairs = list(pairs)
    if any(not isinstance(pair, (tuple, list)) or len(pair) != 2 for pair in pairs):
        raise DataError("pairs must be a table or a list of (user_id, item_id) pairs.")
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def read_available(items: Any, ids: Any, before: np.ndarray | None) -> np.ndarray | None:
    """Read the `available` column of an items table, by item row; None: everything is.

    Items that the table does not list keep what `before` says, or are available.
    """
    frame = None if items is None else to_frame(items, "the items table")
    if frame is None or "available" not in frame.columns:
        if before is None:
            return None
        listed, flags = np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    else:
        column = frame["available"]
        values = column.to_numpy()
        if column.is_null().any() or not set(values.tolist()) <= {True, False}:
            raise DataError("the items table must hold True or False in its available column.")
        listed, flags = ids.rows(_native(frame[ITEM])), values.astype(bool)
    available = np.ones(len(ids), dtype=bool)
    if before is not None:
        available[: len(before)] = before
    known = listed >= 0
    available[listed[known]] = flags[known]
    return available


def read_attribute(table: Any, key: str, name: str, ids: Any) -> np.ndarray:
    """Read one column of a side table by row of `ids`: object array, None where there is none."""
    frame = to_frame(table, f"the {key.removesuffix('_id')}s table")
    require_columns(frame, (key, name), f"the {key.removesuffix('_id')}s table")
    rows = ids.rows(_native(frame[key]))
    values = np.full(len(ids), None, dtype=object)
    column = frame[name]
    native = np.asarray(column.to_list(), dtype=object)
    filled = (rows >= 0) & ~column.is_null().to_numpy()
    values[rows[filled]] = native[filled]
    return values
