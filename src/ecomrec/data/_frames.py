"""Pandas, Polars and Arrow tables as transformers need them: columns by name, kept rows, codes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from ecomrec.data.tables import LEARNED, require_columns
from ecomrec.data.timestamps import NAT, to_nanoseconds
from ecomrec.exceptions import DataError

log = logging.getLogger(__name__)

Frame = nw.DataFrame[Any]


class TableTransformer(TransformerMixin, BaseEstimator):
    """Base of transformers that take a table and give a table of the same kind."""

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit on a table, then transform it.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows to learn from and to change.
        y : array-like of shape (n_rows,), optional
            Only passed through by pipelines. Refused when rows are dropped, because it would no
            longer match them: put its values into a column.

        Returns
        -------
        table
            A table of the kind given.
        """
        out = self.fit(X, y).transform(X)
        n_before, n_after = len(read_frame(X)), len(read_frame(out))
        if y is not None and n_before != n_after:
            raise DataError(
                f"{type(self).__name__} dropped {n_before - n_after} of {n_before} rows, so y no "
                "longer matches the table. Pass ratings as a column of the table instead of y."
            )
        return out


def read_frame(table: Any, columns: Sequence[str] = ()) -> Frame:
    """Wrap an eager pandas, Polars or Arrow table that has the columns, or raise a DataError."""
    try:
        frame: Frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        lazy = " Call its collect() first." if hasattr(table, "collect") else ""
        raise DataError(
            "X must be a pandas, Polars or Arrow table; "
            f"got {type(table).__module__}.{type(table).__name__}.{lazy}"
        ) from error
    require_columns(frame, columns, "the table")
    return frame


def keep_rows(frame: Frame, keep: np.ndarray, why: str) -> Frame:
    """Rows where `keep` is True, logging how many went; the frame itself if all stay."""
    if keep.all():
        return frame
    log.debug("dropped %d of %d rows: %s", len(keep) - int(keep.sum()), len(keep), why)
    return frame[np.flatnonzero(keep)]


def with_column(frame: Frame, name: str, values: np.ndarray) -> Frame:
    """Give the frame with a column added or replaced."""
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):
        return read_frame(native.assign(**{name: values}))
    return frame.with_columns(nw.new_series(name, values, backend=frame.implementation))


def marked(frame: Frame, words: str) -> Frame:
    """Give the frame with a note, for private models, that all users had a say in its rows.

    Tables other than those of pandas carry no notes.
    """
    native = frame.to_native()
    if not isinstance(native, pd.DataFrame):
        return frame
    copy = native.copy(deep=False)
    copy.attrs[LEARNED] = words
    return read_frame(copy)


def is_missing(series: nw.Series[Any]) -> np.ndarray:
    """Say which values are null, None, NaT or NaN, as a boolean array."""
    missing = series.is_null().to_numpy().astype(bool)
    if series.dtype.is_float():
        missing |= series.is_nan().fill_null(False).to_numpy().astype(bool)
    return missing


def codes(series: nw.Series[Any]) -> tuple[np.ndarray, list[Any]]:
    """Return codes of the values by first appearance, -1 for missing, and the distinct values."""
    values = series.to_native()
    if not isinstance(values, pd.Series):
        # to_numpy would make fixed-width text of strings, and floats of integers with gaps.
        exact = series.dtype.is_numeric() and not series.is_null().any()
        values = series.to_numpy() if exact else np.array(series.to_list(), dtype=object)
    numbers, distinct = pd.factorize(values)
    return numbers.astype(np.int64), distinct.tolist()


def times(series: nw.Series[Any]) -> np.ndarray:
    """Read times as int64 nanoseconds since 1970 UTC; missing is `NAT`."""
    native = series.to_native()
    if isinstance(native, pd.Series):
        return to_nanoseconds(native, series.name)
    missing = is_missing(series)
    if missing.all():
        return np.full(len(missing), NAT)
    return to_nanoseconds(series.to_numpy(), series.name)


def choice(owner: object, parameter: str, allowed: Sequence[str]) -> str:
    """Return the value of a parameter that must be one of a few words."""
    value = getattr(owner, parameter)
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(
        f"{type(owner).__name__}: {parameter} must be {' or '.join(map(repr, allowed))}; "
        f"got {value!r}."
    )
