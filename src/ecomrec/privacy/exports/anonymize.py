"""Exports with coarser cells, and without rare items and rare combinations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Self

import narwhals as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ecomrec._validation import Rule, check_params, choice, integer
from ecomrec.data.tables import ITEM, TIME, USER
from ecomrec.data.timestamps import duration
from ecomrec.exceptions import DataError
from ecomrec.privacy.exports._tables import (
    are_names,
    native_column,
    object_array,
    read_groups,
    read_ids,
    read_table,
    with_columns,
    without_traces,
)
from ecomrec.privacy.exports.generalize import (
    STEPS,
    Step,
    generalize_numbers,
    generalize_places,
    generalize_regions,
    generalize_timestamps,
    shift_timestamps,
)


def _is_dict(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


class KAnonymizer(TransformerMixin, BaseEstimator):
    """Make an export coarser, and drop what too few users share.

    .. warning::

       **This does not make people anonymous, and it is not differential privacy.** Histories are
       long and sparse: a few items with rough dates single out almost everybody, however many
       users each of the items has (Narayanan and Shmatikov [1]_ linked such records to other
       sources). It takes out the worst, keeps nobody from linking the rest, and says nothing
       against somebody who compares two exports. What comes out is still personal data. Models
       with a guarantee are those of this package whose names begin with ``DP``.

    What it does promise, of the table that comes out, and nothing beyond: each item has at least
    `k` different users; each combination of `quasi_identifiers` that occurs has at least `k`
    different users; each user has at least `min_events` rows.

    Parameters
    ----------
    k : int, default=5
        Fewest users of an item, and of a combination.
    min_events : int, default=1
        Fewest rows of a user.
    quasi_identifiers : sequence of str, default=()
        Columns that others may know of a person, such as the year of birth and the region.
    times : {"hour", "day", "week", "month", "quarter", "year"} or None, default="day"
        The column ``timestamp``, if there is one, becomes the beginning of this, in UTC. None
        leaves it as it is.
    time_shift : str or timedelta or None, default=None
        Before that, the times of each user move by one secret amount of up to so much, such as
        "30D": see `shift_timestamps`.
    numbers : mapping of str to sequence of float, optional
        Columns of numbers, such as prices, and the lower edges of their bins: see
        `generalize_numbers`.
    places : mapping of str to int, optional
        Columns of degrees and the decimals that they keep: see `generalize_places`.
    regions : mapping of str to mapping, optional
        Columns of places and the regions that these lie in: see `generalize_regions`.

    See Also
    --------
    Pseudonymizer : Tokens in place of ids; last, after this.
    risk_report : How many people are still alone with what they did.

    Notes
    -----
    Cells are made coarser first. Then rows are dropped until all three promises hold at once:
    dropping a row can break them for another user or item, so it goes on until nothing changes.
    The result is the largest part of the table for which they hold; it does not depend on the
    order of the rows, and doing it again changes nothing (but `time_shift` moves times again).

    `fit` learns nothing: the promise is about each table that `transform` gets. Columns that are
    not named stay as they are. Rows keep their order, which may tell what coarse times do not:
    sort or shuffle them. A missing cell counts as a value of its own, and so does whatever else
    can be told apart in the table: NaN and null, 0.0 and -0.0, times a nanosecond apart.

    What is left says nothing of what was dropped: rows are numbered anew, and the index of a
    pandas table, its ``attrs``, unused categories (in Polars and Arrow: categories and
    dictionaries, which become plain values) and the metadata of an Arrow table go.

    Cost: a sort of the rows per round; most tables need fewer than ten rounds.

    References
    ----------
    .. [1] Narayanan, Shmatikov: Robust de-anonymization of large sparse datasets. IEEE Symposium
       on Security and Privacy 2008.
    .. [2] Sweeney: k-anonymity: a model for protecting privacy. International Journal of
       Uncertainty, Fuzziness and Knowledge-Based Systems 10(5), 2002.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.privacy import KAnonymizer
    >>> events = pd.DataFrame({
    ...     "user_id": ["ann", "bob", "bob", "cleo"],
    ...     "item_id": ["tea", "tea", "rare book", "tea"],
    ...     "timestamp": pd.to_datetime(["2026-11-21 09:30"] * 4),
    ... })
    >>> KAnonymizer(k=3).fit_transform(events)
      user_id item_id  timestamp
    0     ann     tea 2026-11-21
    1     bob     tea 2026-11-21
    2    cleo     tea 2026-11-21
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "k": integer(1),
        "min_events": integer(1),
        "quasi_identifiers": Rule("a list of column names", are_names, ("age", 1, [1])),
        "times": choice(*STEPS, none=True),
        "time_shift": duration(),
        "numbers": Rule("None or a dict of column to edges", _is_dict, (1, ["a"])),
        "places": Rule("None or a dict of column to decimals", _is_dict, (1, ["a"])),
        "regions": Rule("None or a dict of column to regions", _is_dict, (1, ["a"])),
    }

    def __init__(
        self,
        k: int = 5,
        *,
        min_events: int = 1,
        quasi_identifiers: Sequence[str] = (),
        times: Step | None = "day",
        time_shift: str | None = None,
        numbers: Mapping[str, Sequence[float]] | None = None,
        places: Mapping[str, int] | None = None,
        regions: Mapping[str, Mapping[Hashable, str]] | None = None,
    ) -> None:
        self.k = k
        self.min_events = min_events
        self.quasi_identifiers = quasi_identifiers
        self.times = times
        self.time_shift = time_shift
        self.numbers = numbers
        self.places = places
        self.regions = regions

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and columns; nothing is learned.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            Rows with ``user_id``, ``item_id`` and the columns named in the parameters.
        y : ignored
            For pipelines.

        Returns
        -------
        KAnonymizer
            This object.
        """
        self._read(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Give the table with coarser cells, without what too few users share.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            As in `fit`.
        y : None
            Refused: rows are dropped, so that it would no longer match them.

        Returns
        -------
        table
            A table of the kind given.
        """
        if y is not None:
            raise DataError(
                "KAnonymizer drops rows, so y would no longer match the table. Put its values "
                "into a column."
            )
        return self.fit(X).transform(X)

    def transform(self, X: Any) -> Any:
        """Give the table with coarser cells, without what too few users share.

        Parameters
        ----------
        X : pandas, Polars or Arrow table
            As in `fit`.

        Returns
        -------
        table
            A table of the kind given; it may be empty.
        """
        frame = self._read(X)
        coarse = self._coarser(frame)
        if coarse:
            frame = nw.from_native(with_columns(frame, coarse), eager_only=True)
        users, _ = read_ids(frame, USER)
        groups = [read_groups(frame, [ITEM])]
        if len(self.quasi_identifiers):
            groups.append(read_groups(frame, list(self.quasi_identifiers)))
        keep = shared_rows(users, groups, self.k, self.min_events)
        kept = frame if keep.all() else frame[np.flatnonzero(keep)]
        return without_traces(kept)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def _read(self, X: Any) -> nw.DataFrame[Any]:
        check_params(type(self).__name__, self._param_rules, self.get_params(deep=False))
        named = [*(self.numbers or ()), *(self.places or ()), *(self.regions or ())]
        if len(set(named)) != len(named) or {USER, ITEM, TIME} & set(named):
            raise ValueError(
                "KAnonymizer: numbers, places and regions must name each column once, and none of "
                f"user_id, item_id and timestamp; got {named}."
            )
        wanted = [USER, ITEM, *named, *self.quasi_identifiers]
        if self.time_shift is not None:
            wanted.append(TIME)
        return read_table(X, list(dict.fromkeys(wanted)))

    def _coarser(self, frame: nw.DataFrame[Any]) -> dict[str, NDArray[Any]]:
        """Give the columns that become coarser."""
        found: dict[str, NDArray[Any]] = {}
        if TIME in frame.columns and (self.times or self.time_shift):
            when = native_column(frame, TIME)
            if self.time_shift is not None:
                codes, _ = read_ids(frame, USER)
                when = shift_timestamps(when, codes, self.time_shift)
            if self.times is not None:
                when = generalize_timestamps(when, self.times)
            found[TIME] = when
        rules: list[tuple[Mapping[str, Any] | None, Callable[[Any, Any], NDArray[Any]]]] = [
            (self.numbers, generalize_numbers),
            (self.places, generalize_places),
        ]
        for columns, function in rules:
            for column, how in (columns or {}).items():
                found[column] = function(native_column(frame, column), how)
        for column, how in (self.regions or {}).items():
            found[column] = generalize_regions(object_array(frame[column].to_list()), how)
        return found


def shared_rows(
    users: NDArray[np.integer[Any]],
    groups: Sequence[NDArray[np.int64]],
    k: int,
    min_events: int,
) -> NDArray[np.bool_]:
    """Find the largest set of rows whose groups have k users and whose users have enough rows.

    Parameters
    ----------
    users : ndarray of shape (n,), int
        Code of the user of each row.
    groups : sequence of ndarray of shape (n,), int64
        Codes of groups, such as items; each grouping must hold.
    k, min_events : int

    Returns
    -------
    ndarray of shape (n,), bool
    """
    keep = np.ones(len(users), dtype=bool)
    if not len(users):
        return keep
    n_users = int(users.max()) + 1
    while True:
        rows = np.flatnonzero(keep)
        bad = np.bincount(users[rows], minlength=n_users)[users[rows]] < min_events
        for codes in groups:
            pairs = np.unique(codes[rows] * n_users + users[rows])
            n_distinct = np.bincount(pairs // n_users, minlength=int(codes.max()) + 1)
            bad |= n_distinct[codes[rows]] < k
        if not bad.any():
            return keep
        keep[rows[bad]] = False
