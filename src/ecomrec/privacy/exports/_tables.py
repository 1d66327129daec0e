"""Columns of pandas, Polars and Arrow tables for exports: as codes, as times, put back."""

from __future__ import annotations

import datetime
import numbers
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecomrec.data.ids import encode_ids, id_list
from ecomrec.data.tables import require_columns, to_frame
from ecomrec.exceptions import DataError

Frame = nw.DataFrame[Any]

# Types whose equal values are written the same.
_SIMPLE = {str, bytes, int, bool, datetime.date, uuid.UUID, type(None)}


def listed_ids(ids: Any, name: str) -> list[Any]:
    """Read a list of ids; an error does not show them."""
    if isinstance(ids, (str, bytes, int, np.integer, uuid.UUID, tuple)):
        raise DataError(f"{name} must be a list; got a single {type(ids).__name__}.")
    listed = id_list(ids, name)
    return listed.tolist() if isinstance(listed, np.ndarray) else list(listed)


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
        cells = series.to_numpy() if fits_numpy(series) else object_array(series.to_list())
    try:
        codes, ids, _ = encode_ids(cells, column)
    except DataError:
        raise DataError(
            f"{column} holds {_strange(list(cells))}, which cannot be ids; ids are str, int, "
            "bytes, UUID, or tuples of these, of one type in a column. Convert the column."
        ) from None
    return codes, ids


def _strange(cells: Sequence[Any]) -> str:
    """Say why cells are no ids, without a cell."""
    types = sorted({type(one).__name__ for one in cells})
    if len(types) > 1:
        return f"more than one type ({', '.join(types)})"
    if not isinstance(cells[0], numbers.Real) or isinstance(cells[0], (bool, np.bool_)):
        return f"{types[0]} values"
    if any(one == -1 for one in cells):
        return "-1 (the mark of a missing id)"
    if not isinstance(cells[0], numbers.Integral):
        return "fractions, or floats beyond 2**53"
    return "integers beyond 2**63 - 1"


def read_groups(frame: Frame, columns: Sequence[str]) -> NDArray[np.int64]:
    """Number the rows by their combination of cells; a missing cell is a value like others."""
    combined = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        codes, n_distinct = read_cells(frame, column)
        _, combined = np.unique(combined * n_distinct + codes, return_inverse=True)
    return combined.astype(np.int64)


def read_cells(frame: Frame, column: str) -> tuple[NDArray[np.int64], int]:
    """Number the cells of any column so that two of one number cannot be told apart.

    Nothing is rounded: nanoseconds, kinds of missing cells, the sign of zero, and 1 beside True
    have numbers of their own. (All NaN are one.)

    Returns
    -------
    codes : ndarray of shape (n,), int64
    n_distinct : int
    """
    try:
        codes = _numbered(frame[column])
    except (TypeError, NotImplementedError):
        raise DataError(f"{column} holds lists or other cells that cannot be compared.") from None
    codes = codes.astype(np.int64)
    n_distinct = int(codes.max(initial=-1)) + 1
    gaps = codes < 0
    return np.where(gaps, n_distinct, codes), n_distinct + int(gaps.any())


def _numbered(series: nw.Series[Any]) -> NDArray[Any]:
    """Number the cells; -1 where one is missing."""
    native = series.to_native()
    if series.dtype.is_float():
        gaps = series.is_null().to_numpy().astype(bool)
        is_pandas = series.implementation.is_pandas()
        read = (
            native.to_numpy(dtype=np.float64, na_value=np.nan) if is_pandas else series.to_numpy()
        )
        values = np.asarray(read, dtype=np.float64)
        values = np.where(np.isnan(values), np.nan, values)
        return np.where(gaps, -1, pd.factorize(values.view(np.int64))[0])
    if series.implementation.is_pandas():
        if isinstance(native.dtype, np.dtype) and native.dtype.kind in "fcO":
            return _numbered_objects(native.to_numpy(dtype=object))
        codes: NDArray[Any] = pd.factorize(native)[0]
        return codes
    if series.implementation.is_pyarrow():
        coded = _plain_arrow(native).dictionary_encode().unify_dictionaries()
        parts = [chunk.indices.fill_null(-1).to_numpy() for chunk in coded.chunks]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts])
    if series.dtype.is_temporal():
        series = series.cast(nw.Int64)
    if isinstance(series.dtype, (nw.Categorical, nw.Enum)):
        series = series.cast(nw.String)
    if fits_numpy(series) and not series.is_null().any():
        return pd.factorize(series.to_numpy())[0]
    return _numbered_objects(object_array(series.to_list()))


def _numbered_objects(cells: NDArray[Any]) -> NDArray[Any]:
    """Number Python objects by their type and value: equal ones may be written differently."""
    types = set(map(type, cells.tolist()))
    if len(types - {type(None)}) <= 1 and types <= _SIMPLE:
        return pd.factorize(cells)[0]
    seen: dict[Any, int] = {}
    keys = [
        (type(cell), repr(cell)) if gap else (type(cell), repr(cell), cell)
        for cell, gap in zip(cells, pd.isna(cells), strict=True)
    ]
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def _plain_arrow(column: Any) -> Any:
    """Give an Arrow column without a dictionary."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


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
    if fits_numpy(series) or series.dtype.is_temporal():
        return series.to_numpy()
    return object_array(series.to_list())


def fits_numpy(series: nw.Series[Any]) -> bool:
    """Whether a column holds numbers that NumPy has too."""
    dtype = series.dtype
    return dtype.is_float() or (dtype.is_integer() and dtype not in (nw.Int128, nw.UInt128))


def are_names(value: Any) -> bool:
    """Whether it is a list of names of columns; it may be empty."""
    return not isinstance(value, str) and (
        isinstance(value, Sequence) and all(isinstance(name, str) for name in value)
    )


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


def without_traces(frame: Frame) -> Any:
    """Give the native table without what tells of cells that are gone.

    Unused categories, dictionaries, metadata and the pandas index: rows are numbered anew.
    """
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):
        left = native.reset_index(drop=True)
        left.attrs = {}
        for name, dtype in left.dtypes.items():
            if isinstance(dtype, pd.CategoricalDtype):
                left[name] = left[name].cat.remove_unused_categories()
            elif isinstance(dtype, pd.ArrowDtype) and "dictionary" in dtype.name:
                left[name] = left[name].astype(pd.ArrowDtype(dtype.pyarrow_dtype.value_type))
        return left
    if frame.implementation.is_pyarrow():
        columns = [_plain_arrow(column) for column in native.columns]
        return type(native).from_arrays(columns, names=native.column_names)
    texts = [
        frame[name].cast(nw.String)
        for name, dtype in frame.schema.items()
        if isinstance(dtype, (nw.Categorical, nw.Enum))
    ]
    return frame.with_columns(texts).to_native()
