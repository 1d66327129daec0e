"""Columns and ids out of the caller's tables and lists, with messages that name them."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from ecomrec.data import Interactions
from ecomrec.data.ids import IdMap, check_ids, encode_ids, id_list
from ecomrec.data.tables import ITEM, USER, require_columns
from ecomrec.data.timestamps import NAT, to_nanoseconds
from ecomrec.exceptions import DataError

Table = Any
"""A pandas, Polars or Arrow table."""


def read_table(table: Table, name: str) -> nw.DataFrame[Any]:
    """Wrap a pandas, Polars or Arrow table; anything else is refused."""
    try:
        return nw.from_native(table, eager_only=True)
    except TypeError:
        raise DataError(
            f"the {name} table must be a pandas, Polars or Arrow table; "
            f"got {type(table).__name__}."
        ) from None


def read_interactions(table: Table | Interactions, name: str, y: Any = None) -> Interactions:
    """Read events as a model would."""
    if isinstance(table, Interactions):
        return table
    require_columns(read_table(table, name), (USER, ITEM), f"the {name} table")
    return Interactions.from_table(table, y)


def read_column(frame: nw.DataFrame[Any], column: str, name: str) -> Any:
    """Read one column as a pandas Series or array; a missing value is an error."""
    require_columns(frame, (column,), f"the {name} table")
    series = frame[column]
    n_missing = int(series.is_null().sum())
    if n_missing:
        raise DataError(
            f"the {name} table has {n_missing} rows without {column}. Drop them first."
        )
    # Arrays for Polars and Arrow: their way to pandas may need packages that are not here.
    return series.to_native() if series.implementation.is_pandas() else series.to_numpy()


def read_codes(frame: nw.DataFrame[Any], column: str, name: str) -> NDArray[np.intp]:
    """Read a column of ids as numbers in the order of the ids."""
    codes, _, _ = encode_ids(read_column(frame, column, name), column)
    return codes.astype(np.intp)


def read_times(frame: nw.DataFrame[Any], column: str, name: str) -> NDArray[np.int64]:
    """Read one column of times as nanoseconds since 1970."""
    times = to_nanoseconds(read_column(frame, column, name), column)
    n_missing = int(np.count_nonzero(times == NAT))
    if n_missing:
        raise DataError(
            f"the {name} table has {n_missing} rows without {column}. Drop them first."
        )
    return times


def ids_array(ids: Any, name: str) -> NDArray[Any]:
    """Read a list, array, Index or Series of ids as an int64 or object array."""
    values = id_list(ids, name)
    if not isinstance(values, np.ndarray):
        values = np.fromiter(values, dtype=object, count=len(values))
    array, _ = check_ids(values, name)
    return array


def ids_map(ids: NDArray[Any], name: str) -> IdMap:
    """Make a map from ids to their places; none may be there twice."""
    array, kind = check_ids(ids, name)
    seen: set[Any] = set()
    for one in array.tolist():
        if one in seen:
            raise DataError(f"{name} must be distinct; {one!r} is there more than once.")
        seen.add(one)
    return IdMap(array, kind)
