"""Missing ids and ratings: refused, dropped or filled."""

from __future__ import annotations

import logging
from typing import Any, Literal, Self

import narwhals as nw
import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from ecomrec.data._frames import (
    Frame,
    TableTransformer,
    choice,
    is_missing,
    keep_rows,
    marked,
    read_frame,
    with_column,
)
from ecomrec.exceptions import DataError

log = logging.getLogger(__name__)

_FILLS = ("mean", "median", "most_frequent")
_MAX_WHOLE_FLOAT = 2.0**53
_LEARNED = "MissingValues fills gaps with what all users rated. Pass ratings='drop' to it."


class MissingValues(TableTransformer):
    """Refuse, drop or fill rows with a missing user, item or rating.

    Parameters
    ----------
    ids : {"raise", "drop"}, default="raise"
        What to do with rows without a ``user_id`` or ``item_id``: refuse the table with a count,
        or leave the rows out. When dropping, ids that are whole numbers held as floats, as pandas
        reads a column with gaps, become integers again.
    ratings : {"raise", "drop", "mean", "median", "most_frequent"} or model, default="raise"
        What to do with missing values of the ``rating`` column, if there is one: refuse, leave
        the rows out, or fill. The mean, the median and the most frequent rating (of equally
        frequent ones the lowest) are those of the rows in `fit`. A fitted rating model fills with
        its ``predict``; a pipeline that is cloned, as in cross-validation, forgets what the model
        learned unless it is wrapped in `sklearn.frozen.FrozenEstimator`.

    Attributes
    ----------
    fill_value_ : float or None
        The rating that fills gaps; None when gaps are refused, dropped or filled by a model.

    See Also
    --------
    EventWeights : Turns events into weights.

    Notes
    -----
    Missing is null, None, NaN or NaT; an empty text is an id. A filled column is float64. Filled
    ratings are guesses: for most models it is better to drop the rows, and before a private model
    (`ecomrec.privacy`) they must be dropped: fills tell of all users, and no noise is made for it.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.data import MissingValues
    >>> ratings = pd.DataFrame({
    ...     "user_id": [1, 2, None], "item_id": ["a", "a", "b"], "rating": [4.0, None, 1.0],
    ... })
    >>> MissingValues(ids="drop", ratings="mean").fit_transform(ratings)
       user_id item_id  rating
    0        1       a     4.0
    1        2       a     4.0
    """

    fill_value_: float | None

    def __init__(
        self,
        *,
        ids: Literal["raise", "drop"] = "raise",
        ratings: Literal["raise", "drop", "mean", "median", "most_frequent"] | Any = "raise",
    ) -> None:
        self.ids = ids
        self.ratings = ratings

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the rows and learn what fills missing ratings.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with ``user_id`` and ``item_id``, and ``rating`` when it is to be filled.
        y : ignored
            For pipelines.

        Returns
        -------
        MissingValues
            This object.

        Raises
        ------
        ValueError
            For a parameter that cannot be used; as `DataError`, for rows that are refused.
        """
        self._check_parameters()
        frame = self._read(X)
        fill = None
        if isinstance(self.ratings, str) and self.ratings in _FILLS:
            fill = _fill_value(_ratings(frame), self.ratings)
        elif self.ratings == "raise" and "rating" in frame.columns:
            _refuse_missing(is_missing(frame["rating"]))
        self.fill_value_ = fill
        return self

    def transform(self, X: Any) -> Any:
        """Give the table without missing values.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with the columns of `fit`.

        Returns
        -------
        table
            A table of the kind given.
        """
        check_is_fitted(self, "fill_value_")
        self._check_parameters()
        frame = self._read(X)
        if self.ratings in ("raise", "drop") and "rating" not in frame.columns:
            return frame.to_native()
        missing = is_missing(frame["rating"])
        if self.ratings == "raise":
            _refuse_missing(missing)
            return frame.to_native()
        if self.ratings == "drop":
            return keep_rows(frame, ~missing, "no rating").to_native()
        ratings = _ratings(frame)
        frame = marked(frame, _LEARNED)
        if missing.any():
            ratings[missing] = (
                _predict(self.ratings, frame, missing)
                if self.fill_value_ is None
                else self.fill_value_
            )
            log.debug("filled %d of %d ratings", int(missing.sum()), len(missing))
        return with_column(frame, "rating", ratings).to_native()

    def _check_parameters(self) -> None:
        choice(self, "ids", ("raise", "drop"))
        if isinstance(self.ratings, str) or not hasattr(self.ratings, "predict"):
            if self.ratings not in ("raise", "drop", *_FILLS):
                raise ValueError(
                    "MissingValues: ratings must be 'raise', 'drop', 'mean', 'median', "
                    f"'most_frequent' or a fitted model with predict; got {self.ratings!r}."
                )
            return
        try:
            check_is_fitted(self.ratings)
        except NotFittedError as error:
            raise NotFittedError(
                "MissingValues: the model that fills ratings is not fitted. Fit it first, and "
                "wrap it in sklearn.frozen.FrozenEstimator where pipelines are cloned."
            ) from error

    def _read(self, X: Any) -> Frame:
        """Rows with both ids."""
        fills = not isinstance(self.ratings, str) or self.ratings in _FILLS
        frame = read_frame(
            X, ("user_id", "item_id", "rating") if fills else ("user_id", "item_id")
        )
        missing = {name: is_missing(frame[name]) for name in ("user_id", "item_id")}
        if self.ids == "raise":
            counts = [f"{int(gaps.sum())} no {name}" for name, gaps in missing.items()]
            if any(gaps.any() for gaps in missing.values()):
                raise DataError(
                    f"of {len(frame)} rows, {' and '.join(counts)}. Drop them, or pass ids='drop'."
                )
            return frame
        keep = ~(missing["user_id"] | missing["item_id"])
        return _whole_ids(keep_rows(frame, keep, "no id"))


def _ratings(frame: Frame) -> np.ndarray:
    """Read the rating column as float64, NaN where missing; refuse what is not a number."""
    column = frame["rating"]
    if not column.dtype.is_numeric():
        raise DataError(f"rating must hold numbers; got a column of {column.dtype}.")
    missing = is_missing(column)
    values = np.full(len(column), np.nan)
    present = column.to_frame()[np.flatnonzero(~missing)]["rating"]
    values[~missing] = present.cast(nw.Float64).to_numpy()
    return values


def _fill_value(ratings: np.ndarray, how: str) -> float:
    known = ratings[~np.isnan(ratings)]
    if len(known) == 0:
        raise DataError(f"there is no rating to take the {how} of. Pass ratings='drop'.")
    if how == "most_frequent":
        values, counts = np.unique(known, return_counts=True)
        return float(values[np.argmax(counts)])
    return float(np.mean(known) if how == "mean" else np.median(known))


def _predict(model: Any, frame: Frame, missing: np.ndarray) -> np.ndarray:
    pairs = frame[np.flatnonzero(missing)].select("user_id", "item_id")
    filled = np.asarray(model.predict(pairs.to_native()), dtype=np.float64)
    if filled.shape != (len(pairs),) or not np.isfinite(filled).all():
        raise DataError(
            f"{type(model).__name__}.predict gave no rating for "
            f"{int(np.sum(~np.isfinite(filled)))} of {len(pairs)} missing ratings. Use a rating "
            "model, which answers unknown users and items too, or ratings='drop'."
        )
    return filled


def _refuse_missing(missing: np.ndarray) -> None:
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {len(missing)} rows have no rating. Drop them with "
            "ratings='drop', or fill them with ratings='mean'."
        )


def _whole_ids(frame: Frame) -> Frame:
    """Integers in place of float ids that are whole numbers."""
    for name in ("user_id", "item_id"):
        if not frame[name].dtype.is_float():
            continue
        values = frame[name].to_numpy()
        if np.all((values == np.floor(values)) & (np.abs(values) < _MAX_WHOLE_FLOAT)):
            frame = frame.with_columns(nw.col(name).cast(nw.Int64))
    return frame
