"""What one user may contribute at most, each user's rows bounded alone."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from ecomrec._validation import Rule, check_params, choice, integer, real
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import LEARNED
from ecomrec.data.timestamps import number_or_nan
from ecomrec.exceptions import DataError
from ecomrec.kernels import private_rows
from ecomrec.privacy.noise.samplers import SystemNoise

# Constants of splitmix64, a bijection of 64-bit words in which every bit depends on every other.
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


class PrivateRows:
    """Histories that a private model may read only to make what it releases.

    Parameters
    ----------
    indptr, items, values, times : ndarray
        As the attributes; see `of` for what events and matrices become.

    Attributes
    ----------
    indptr : ndarray of shape (n_users + 1,), int64
    items : ndarray of shape (n_entries,), int32
        Item rows, rising within each user.
    values : ndarray of shape (n_entries,), float64
        Positive and finite.
    times : ndarray of shape (n_entries,), int64, or None
        Newest time of each pair, in nanoseconds since 1970 (UTC).

    Examples
    --------
    >>> from ecomrec.privacy import PrivateRows
    >>> rows = PrivateRows.of([[3.0, 0.0, 4.0], [0.0, 1.0, 0.0]])
    >>> rows.items.tolist(), rows.integer_rows(1000).tolist()
    ([0, 2, 1], [600, 800, 1000])
    """

    __slots__ = ("indptr", "items", "times", "values")

    def __init__(
        self,
        indptr: np.ndarray,
        items: np.ndarray,
        values: np.ndarray,
        times: np.ndarray | None = None,
    ) -> None:
        self.indptr = indptr
        self.items = items
        self.values = values
        self.times = times

    @classmethod
    def of(cls, data: Any) -> PrivateRows:
        """Read what users have: positive finite weights, duplicates added up.

        Parameters
        ----------
        data : Interactions, or users x items matrix
            A table becomes `Interactions.from_table(table)`. Items are numbered as there.

        Returns
        -------
        PrivateRows
        """
        refuse_learned_weights(data)
        shop = data if isinstance(data, Interactions) else Interactions.from_matrix(usable(data))
        indptr, (columns, values, *times) = shop.by_user.to_csr()
        return evidence(indptr, columns, values, times[0] if shop.timed else None)

    def __repr__(self) -> str:
        return "PrivateRows(...)"

    def __reduce__(self) -> Any:
        raise TypeError("rows of private users are not pickled.")

    @property
    def n_users(self) -> int:
        """Number of rows; private, as everything here."""
        return len(self.indptr) - 1

    def keep(self, chosen: np.ndarray) -> PrivateRows:
        """Return the rows with some of their entries."""
        before = np.concatenate(([0], np.cumsum(chosen, dtype=np.int64)))
        times = None if self.times is None else self.times[chosen]
        return PrivateRows(before[self.indptr], self.items[chosen], self.values[chosen], times)

    def integer_rows(
        self, grid: int, *, length: float = 1.0, scaling: Literal["unit", "shared"] = "unit"
    ) -> np.ndarray:
        """Return the values as integers whose norm is at most `grid` in each row, exactly.

        Parameters
        ----------
        grid : int
            At most 2**30.
        length : float
            With "shared": the norm that becomes `grid`; longer rows are cut to it.
        scaling : {"unit", "shared"}
            Every user's row gets the norm `grid`, so all count the same; or all rows are scaled
            alike, so those with fewer items count less.

        Returns
        -------
        ndarray of shape (n_entries,), int64
            Truncated toward zero, which never makes a norm larger.
        """
        found: np.ndarray = private_rows.integer_rows(
            self.indptr, self.values, grid, length, scaling == "unit"
        )
        return found


class ContributionBounder(BaseEstimator):
    """Bounds what one user contributes: how many items, and how much each.

    Each user is bounded from the user's own rows alone: nothing changes for others when one of
    them comes or goes.

    Parameters
    ----------
    max_items : int or None
        Most items of a user that count; None: all.
    select : {"uniform", "tail", "recent"}
        Which items stay of a user who has more: drawn at random with fresh secret randomness; the
        rarest, by `counts` that are public or released; the newest.
    weighting : {"binary", "weight"}
        Every item counts 1, or its weight.
    clip_value : float
        With "weight": larger weights are cut to this.

    Examples
    --------
    >>> from ecomrec.privacy import ContributionBounder
    >>> matrix = [[1.0, 5.0, 0.0, 0.5], [0.0, 3.0, 0.0, 0.0]]
    >>> rows = ContributionBounder(weighting="weight", clip_value=2.0)(matrix)
    >>> rows.indptr.tolist(), rows.items.tolist(), rows.values.tolist()
    ([0, 3, 4], [0, 1, 3, 1], [1.0, 2.0, 0.5, 2.0])
    >>> ContributionBounder(1)(matrix).values.tolist()     # one item of each, drawn
    [1.0, 1.0]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "max_items": integer(1, none=True),
        "select": choice("uniform", "tail", "recent"),
        "weighting": choice("binary", "weight"),
        "clip_value": real(1e-9),
    }

    def __init__(
        self,
        max_items: int | None = 100,
        *,
        select: Literal["uniform", "tail", "recent"] = "uniform",
        weighting: Literal["binary", "weight"] = "binary",
        clip_value: float = 1.0,
    ) -> None:
        self.max_items = max_items
        self.select = select
        self.weighting = weighting
        self.clip_value = clip_value

    @property
    def length(self) -> float | None:
        """The largest L2 norm that a bounded row can have; None without a limit of items."""
        if self.max_items is None:
            return None
        value = 1.0 if self.weighting == "binary" else self.clip_value
        return float(value * np.sqrt(self.max_items))

    def __call__(
        self,
        rows: PrivateRows | Interactions | Any,
        *,
        key: np.ndarray | None = None,
        counts: np.ndarray | None = None,
        names: np.ndarray | None = None,
    ) -> PrivateRows:
        """Return bounded rows.

        Parameters
        ----------
        rows : PrivateRows, Interactions, or users x items matrix
        key : ndarray of shape (2,), uint64, optional
            Secret of the draw; from the operating system unless given.
        counts : ndarray of shape (n_items,), optional
            For ``select="tail"``: how common each item is; public or released.
        names : ndarray of shape (n_items,), uint64, optional
            What items are drawn by, if their row numbers are private: an item that one user alone
            has would move those of others.
        """
        check_params("ContributionBounder", self._param_rules, self.get_params(False))
        rows = rows if isinstance(rows, PrivateRows) else PrivateRows.of(rows)
        if self.select == "tail" and counts is None:
            raise ValueError("select='tail' needs counts that are public or released.")
        if self.select == "recent" and rows.times is None:
            raise ValueError("select='recent' needs a timestamp column.")
        if self.max_items is not None:
            key = SystemNoise().words(2) if key is None else key
            rows = rows.keep(self._chosen(rows, key, counts, names))
        if self.weighting == "binary":
            values = np.ones(len(rows.items))
        else:
            values = np.minimum(rows.values, self.clip_value)
        return PrivateRows(rows.indptr, rows.items, values, rows.times)

    def _chosen(
        self,
        rows: PrivateRows,
        key: np.ndarray,
        counts: np.ndarray | None,
        names: np.ndarray | None,
    ) -> np.ndarray:
        """Which entries stay."""
        lengths = np.diff(rows.indptr)
        owners = np.repeat(np.arange(rows.n_users), lengths)
        # A seed for each user from their own items, so that nobody's draw depends on others.
        drawn_by = rows.items.astype(np.uint64) if names is None else names[rows.items]
        words = _mixed(drawn_by ^ key[0])
        sums = np.concatenate(([np.uint64(0)], np.cumsum(words, dtype=np.uint64)))
        seeds = sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
        chance = _mixed(words ^ _mixed(seeds ^ key[1])[owners])
        order = [chance, owners]
        if self.select == "tail" and counts is not None:
            order.insert(1, np.asarray(counts)[rows.items])
        elif self.select == "recent" and rows.times is not None:
            order.insert(1, -rows.times)
        ranked = np.lexsort(order)
        place = np.arange(len(owners)) - np.repeat(rows.indptr[:-1], lengths)
        chosen = np.empty(len(owners), dtype=bool)
        chosen[ranked] = place < self.max_items
        return chosen


def _mixed(words: np.ndarray) -> np.ndarray:
    """Mix 64-bit words, modulo 2**64."""
    words = words + _GAMMA
    for shift, factor in _STEPS:
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    mixed: np.ndarray = words ^ (words >> np.uint64(31))
    return mixed


def refuse_learned_weights(data: Any) -> None:
    """Refuse weights in which other users have a say, as far as the data tell."""
    if isinstance(data, Interactions) and np.isfinite(data.half_life):
        raise DataError(
            "these Interactions have a half-life: their weights depend on the newest event of "
            "all users. Pass the table of events, or Interactions without a half-life."
        )
    notes = getattr(data, "attrs", None)
    if isinstance(notes, dict) and LEARNED in notes:
        raise DataError(f"all users have a say in each one's rows: {notes[LEARNED]}")


def usable(matrix: Any) -> Any:
    """A matrix in which what is not a finite number of at least 0 says nothing."""
    if hasattr(matrix, "tocsr"):
        coo: Any = sp.coo_array(matrix)
        data = _floats(coo.data)
        if data is None:
            return matrix
        # Entries of one cell add up first, so that each user's sum is made alone.
        parts: Any = (data.astype(np.float64), coo.coords)
        csr = sp.csr_array(parts, shape=coo.shape)
        csr.sum_duplicates()
        csr.data = _clean(csr.data)
        return csr
    given = np.asarray(matrix)
    found = _floats(given)
    return given if found is None else _clean(found)


def _floats(values: np.ndarray) -> np.ndarray | None:
    """Numbers as floats, NaN for gaps and what no float holds; None for what is not numbers."""
    if values.dtype.kind == "f":
        return values
    if values.dtype.kind in "iub":
        return values.astype(np.float64)
    if values.dtype.kind != "O" or not all(
        value is None or isinstance(value, numbers.Real) for value in values.flat
    ):
        return None
    found = [number_or_nan(value) for value in values.flat]
    return np.array(found, dtype=np.float64).reshape(values.shape)


def _clean(values: np.ndarray) -> np.ndarray:
    most = np.finfo(np.float32).max
    with np.errstate(invalid="ignore"):
        good = (values > 0) & (values <= most)
    return np.where(good, values, 0.0)


def evidence(
    indptr: np.ndarray, items: np.ndarray, data: np.ndarray, times: np.ndarray | None
) -> PrivateRows:
    """Entries with a positive finite weight."""
    values = data.astype(np.float64)
    rows = PrivateRows(indptr, items.astype(np.int32), values, times)
    return rows.keep((values > 0) & np.isfinite(values))
