"""Columns of pandas, Polars and Arrow tables for exports: as codes, as times, put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec.data.ids import encode_ids
from ecomrec.data.tables import require_columns, to_frame
from ecomrec.exceptions import DataError

Frame = nw.DataFrame[Any]


def read_table(table: Any, columns: Sequence[str]) -> Frame:
    """Wrap a table that has the columns."""
    frame = to_frame(table, "the table")
    require_columns(frame, columns, "the table")
    return frame


def read_ids(frame: Frame, column: str) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Read a column of ids as codes and distinct ids; errors tell counts and never an id."""
    series = frame[column]
    gaps = int(missing(series).sum())
    if gaps:
        raise DataError(f"the table has {gaps} rows without {column}. Drop them first.")
    cells = series.to_native()
    if not series.implementation.is_pandas():
        # Fixed-width text would cut trailing NULs.
        cells = series.to_numpy() if series.dtype.is_numeric() else object_array(series.to_list())
    try:
        codes, ids, _ = encode_ids(cells, column)
    except DataError:
        raise DataError(
            f"{column} holds values that cannot be ids, or of more than one type; ids are str, "
            "int, bytes, UUID, or tuples of these. Convert the column."
        ) from None
    return codes, ids


def read_groups(frame: Frame, columns: Sequence[str]) -> NDArray[np.int64]:
    """Number the rows by their combination of cells; a missing cell is a value like others."""
    combined = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        codes, distinct = read_cells(frame, column)
        _, combined = np.unique(combined * (len(distinct) + 1) + codes + 1, return_inverse=True)
    return combined.astype(np.int64)


def read_cells(frame: Frame, column: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Read any column as codes, -1 where a cell is missing, and sorted or first-come values."""
    series = frame[column]
    cells = series.to_native()
    if not series.implementation.is_pandas():
        plain = series.dtype.is_numeric() and not series.is_null().any()
        cells = series.to_numpy() if plain else object_array(series.to_list())
    if isinstance(cells, pd.Series) and isinstance(cells.dtype, np.dtype):
        cells = cells.to_numpy()
    try:
        codes, distinct = pd.factorize(cells)
    except TypeError:
        raise DataError(f"{column} holds lists or other cells that cannot be compared.") from None
    return codes.astype(np.int64), np.asarray(distinct)


def missing(series: nw.Series[Any]) -> NDArray[np.bool_]:
    """Say which cells are null or NaN."""
    gaps = series.is_null().to_numpy().astype(bool)
    if series.dtype.is_float():
        gaps |= series.is_nan().fill_null(False).to_numpy().astype(bool)
    return gaps


def native_column(frame: Frame, column: str) -> Any:
    """Give a column as pandas Series, or as an array with None where a cell is missing."""
    series = frame[column]
    if series.implementation.is_pandas():
        return series.to_native()
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        return series.to_numpy()
    return object_array(series.to_list())


def object_array(cells: Sequence[Any]) -> NDArray[Any]:
    """Cells as they are, in an array of one dimension."""
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found


def with_columns(frame: Frame, columns: Mapping[str, NDArray[Any]]) -> Any:
    """Give the native table with columns added or replaced; object columns hold text."""
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):
        return native.assign(**columns)
    fresh = [
        nw.new_series(name, values.tolist(), nw.String(), backend=frame.implementation)
        if values.dtype == object
        else nw.new_series(name, values, backend=frame.implementation)
        for name, values in columns.items()
    ]
    return frame.with_columns(fresh).to_native()
