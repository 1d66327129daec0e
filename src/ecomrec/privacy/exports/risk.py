"""How recognisable people are in a table: k, l, t, and who is alone with what they did."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from ecomrec._rng import make_rng
from ecomrec.data.tables import ITEM, TIME, USER
from ecomrec.privacy.exports._tables import (
    are_names,
    fits_numpy,
    missing,
    object_array,
    read_cells,
    read_groups,
    read_ids,
    read_table,
)

# Of dense blocks of classes x values: about 32 MB.
_CELLS = 1 << 22
_Z = 1.96
_PARTS = ("l", "entropy_l", "t")


@dataclass(frozen=True, eq=False)
class RiskReport:
    """What `risk_report` found; `print` shows it as text.

    Attributes
    ----------
    summary : table
        A row for each measure: ``measure``, ``about`` (the columns), ``value``, ``low`` and
        ``high`` (a 95 % interval where it is an estimate, else the value), ``n`` (users or
        classes that it was taken over).
    classes : table or None
        A row for each combination of the quasi-identifiers, the rarest first: their values,
        ``n_users``, ``n_rows``, and for each sensitive column ``l_...``, ``entropy_l_...`` and
        ``t_...``. It is as personal as the table itself.
    n_users, n_rows : int
        Of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.privacy import risk_report
    >>> events = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "mug", "tea"]})
    >>> print(risk_report(events, known=(1,), random_state=0))
    2 users, 3 rows
    unique users, given 1 known of item_id: 50.0 % (9.5 to 90.5 %; 2 users)
    """

    summary: Any
    classes: Any
    n_users: int
    n_rows: int

    def __str__(self) -> str:
        lines = [f"{self.n_users} users, {self.n_rows} rows"]
        table = nw.from_native(self.summary, eager_only=True)
        lines += [_told(row) for row in table.iter_rows(named=True)]
        return "\n".join(lines)


def risk_report(
    table: Any,
    *,
    quasi_identifiers: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    points: Sequence[Sequence[str]] | None = None,
    known: Sequence[int] = (1, 2, 3, 4),
    k: int = 5,
    n_samples: int = 1000,
    random_state: Any = None,
) -> RiskReport:
    r"""Measure how recognisable people are in a table of events.

    Parameters
    ----------
    table : pandas, Polars or Arrow table
        Rows with ``user_id`` and the columns named here.
    quasi_identifiers : sequence of str, default=()
        Columns that others may know of a person. Users with the same cells in all of them are a
        class.
    sensitive : sequence of str, default=()
        Columns that a class should not give away, such as a diagnosis; with `quasi_identifiers`.
    points : sequence of sequences of str, optional
        Kinds of what somebody may know of one event of a person, as columns. By default the item,
        and the item with its time if there is a column ``timestamp``.
    known : sequence of int, default=(1, 2, 3, 4)
        How many different points of a person are known.
    k : int, default=5
        The share of users in classes of fewer is reported.
    n_samples : int, default=1000
        Users drawn to estimate who is unique, for each kind and number of points.
    random_state : None, int, Generator or RandomState
        Draws users and points.

    Returns
    -------
    RiskReport

    Raises
    ------
    DataError
        Columns or ids are missing.
    ValueError
        A parameter is out of its range; `sensitive` is there without `quasi_identifiers`; or one
        of these has the name of a column of ``classes``.

    Notes
    -----
    Users are counted, not rows: a user with ten rows of one class is one of its users.

    - *k* is the number of users of the smallest class [1]_.
    - *l* of a class is the number of different sensitive values in it, and *entropy l* is exp(H)
      of their shares p, :math:`H = -\sum p \log p`: reported is the smallest class [2]_.
    - *t* of a class is the distance of these shares from those of the whole table, where a user
      counts once for each value, whatever the number of their classes; reported is the largest.
      For words it is half the sum of the absolute differences, for numbers the mean absolute
      difference of the cumulated shares over the ordered values [3]_. Cells without a value are
      left out of l and t.
    - *Unicity* [4]_ is the chance that `known` points, drawn from those of a random user who has
      so many, fit nobody else in the table; with Wilson's interval.

    None of them bounds what somebody learns who knows other things than the columns named here;
    a good report is no proof of anonymity. What is unique in a sample may not be in the world.

    Cost: a few sorts of the rows; classes times sensitive values in time; and for each draw the
    lists of the users of its points. About 5 s for a million rows of 50,000 users.

    References
    ----------
    .. [1] Sweeney: k-anonymity: a model for protecting privacy. IJUFKS 10(5), 2002.
    .. [2] Machanavajjhala, Kifer, Gehrke, Venkitasubramaniam: l-diversity: privacy beyond
       k-anonymity. ACM TKDD 1(1), 2007.
    .. [3] Li, Li, Venkatasubramanian: t-closeness: privacy beyond k-anonymity and l-diversity.
       ICDE 2007.
    .. [4] de Montjoye, Hidalgo, Verleysen, Blondel: Unique in the crowd: the privacy bounds of
       human mobility. Scientific Reports 3, 2013.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.privacy import risk_report
    >>> events = pd.DataFrame({
    ...     "user_id": [1, 1, 2, 3, 4],
    ...     "item_id": ["tea", "mug", "tea", "mug", "tea"],
    ...     "region": ["ZH", "ZH", "ZH", "BE", "BE"],
    ... })
    >>> report = risk_report(
    ...     events, quasi_identifiers=["region"], sensitive=["item_id"], known=(1,), random_state=0
    ... )
    >>> report.classes.round(3)
      region  n_users  n_rows  l_item_id  entropy_l_item_id  t_item_id
    0     ZH        2       3        2.0               1.89      0.067
    1     BE        2       2        2.0               2.00      0.100
    """
    k, n_samples = _count(k, "k"), _count(n_samples, "n_samples")
    if not isinstance(known, Sequence) or isinstance(known, str):
        raise ValueError(f"known must be a list of positive integers; got {known!r}.")
    sizes = [_count(size, "known") for size in known]
    rng = make_rng(random_state)
    _check_columns(quasi_identifiers, sensitive)
    columns = [USER, *quasi_identifiers, *sensitive]
    if points is not None and not (isinstance(points, Sequence) and all(map(are_names, points))):
        raise ValueError(
            "points must be a list of lists of column names, such as [['item_id']]; "
            f"got {points!r}."
        )
    kinds = [list(kind) for kind in points] if points is not None else None
    frame = read_table(table, [*columns, *(name for kind in kinds or [] for name in kind)])
    if kinds is None:
        kinds = [
            kind for kind in ([ITEM], [ITEM, TIME]) if all(name in frame.columns for name in kind)
        ]
    users, ids = read_ids(frame, USER)
    rows: list[tuple[str, str, float, float, float, int]] = []
    classes = None
    if len(quasi_identifiers):
        classes, found = _class_risks(frame, users, list(quasi_identifiers), list(sensitive), k)
        rows += found
    for kind in kinds:
        of_kind = _Points(users, read_groups(frame, kind))
        for size in sizes:
            about = f"{size} known of {' and '.join(kind)}"
            rows.append(("unicity", about, *_unicity(of_kind, size, n_samples, rng)))
    names = ("measure", "about", "value", "low", "high", "n")
    cells = zip(*rows, strict=True) if rows else [()] * len(names)
    summary = nw.from_dict(
        {name: list(column) for name, column in zip(names, cells, strict=True)},
        backend=frame.implementation,
    ).to_native()
    return RiskReport(summary, classes, len(ids), len(frame))


def _check_columns(quasi_identifiers: Any, sensitive: Any) -> None:
    for name, value in {"quasi_identifiers": quasi_identifiers, "sensitive": sensitive}.items():
        if not are_names(value):
            raise ValueError(f"{name} must be a list of column names; got {value!r}.")
    if len(sensitive) and not len(quasi_identifiers):
        raise ValueError(
            "sensitive columns are measured in the classes of quasi_identifiers, and there are "
            "none. Name the columns that others may know of a person."
        )
    made = ["n_users", "n_rows", *(f"{part}_{name}" for name in sensitive for part in _PARTS)]
    taken = sorted(set(made) & set(quasi_identifiers))
    if taken:
        raise ValueError(
            f"the table of classes has columns {taken} of its own. Rename those of the table."
        )


def _class_risks(
    frame: nw.DataFrame[Any],
    users: NDArray[np.int32],
    quasi_identifiers: list[str],
    sensitive: list[str],
    k: int,
) -> tuple[Any, list[tuple[str, str, float, float, float, int]]]:
    """Give the table of classes, and what it comes to."""
    codes = read_groups(frame, quasi_identifiers)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    n, about = len(first), " and ".join(quasi_identifiers)
    n_all = int(users.max()) + 1 if len(users) else 0
    pairs = np.unique(codes * max(n_all, 1) + users)
    n_users = np.bincount(pairs // max(n_all, 1), minlength=n)
    small = np.zeros(n_all, dtype=bool)
    alone = np.zeros(n_all, dtype=bool)
    small[users[n_users[codes] < k]] = True
    alone[users[n_users[codes] == 1]] = True
    columns: dict[str, NDArray[Any]] = {
        "n_users": n_users, "n_rows": np.bincount(codes, minlength=n)
    }  # fmt: skip
    rows = [
        ("k", about, *_exact(n_users.min() if n else np.nan), n),
        (f"users in classes below {k}", about, *_exact(small.mean() if n_all else np.nan), n_all),
        ("users alone in a class", about, *_exact(alone.mean() if n_all else np.nan), n_all),
    ]
    for name in sensitive:
        found = _diversity(codes, n, users, *_sensitive(frame, name))
        columns |= {f"{part}_{name}": values for part, values in found.items()}
        told = [values[~np.isnan(values)] for values in found.values()]
        worst = [part.min() if len(part) else np.nan for part in told[:2]]
        worst.append(told[2].max() if len(told[2]) else np.nan)
        for measure, value in zip(("l", "entropy l", "t"), worst, strict=True):
            rows.append((measure, f"{name} given {about}", *_exact(value), n))
    order = np.argsort(n_users, kind="stable")
    table = nw.maybe_reset_index(frame[first[order]].select(quasi_identifiers))
    fresh = [
        nw.new_series(name, values[order], backend=frame.implementation)
        for name, values in columns.items()
    ]
    return table.with_columns(fresh).to_native(), rows


def _sensitive(frame: nw.DataFrame[Any], column: str) -> tuple[NDArray[np.int64], int, bool]:
    """Read a column as codes, -1 where missing; numbers by their order."""
    gaps = missing(frame[column])
    if frame[column].dtype.is_numeric():
        there = frame[column][np.flatnonzero(~gaps)]
        # Without gaps, which would make floats of integers beyond 2**53.
        values = there.to_numpy() if fits_numpy(there) else object_array(there.to_list())
        codes = np.full(len(gaps), -1, dtype=np.int64)
        distinct, codes[~gaps] = np.unique(values, return_inverse=True)
        return codes, len(distinct), True
    codes, n_distinct = read_cells(frame, column)
    return np.where(gaps, -1, codes), n_distinct, False


def _diversity(
    classes: NDArray[np.int64],
    n_classes: int,
    users: NDArray[np.int32],
    values: NDArray[np.int64],
    n_values: int,
    ordered: bool,
) -> dict[str, NDArray[np.float64]]:
    """Give l, entropy l and t of each class; NaN where it has no value."""
    found = {name: np.full(n_classes, np.nan) for name in _PARTS}
    there = values >= 0
    if not there.any():
        return found
    # Each user counts once for each value, in a class and in the whole table.
    n_users = int(users.max()) + 1
    everybody = np.unique(values[there] * n_users + users[there]) // n_users
    overall = np.bincount(everybody, minlength=n_values) / len(everybody)
    triples = np.unique((classes[there] * n_values + values[there]) * n_users + users[there])
    cells, counts = np.unique(triples // n_users, return_counts=True)
    size = max(1, _CELLS // n_values)
    for start in range(0, n_classes, size):
        stop = min(start + size, n_classes)
        inside = (cells >= start * n_values) & (cells < stop * n_values)
        block = np.bincount(
            cells[inside] - start * n_values, counts[inside], (stop - start) * n_values
        ).reshape(stop - start, n_values)
        totals = block.sum(axis=1)
        filled = np.flatnonzero(totals)
        shares = block[filled] / totals[filled, np.newaxis]
        logs = np.log(np.where(shares > 0, shares, 1.0))
        away = shares - overall
        if ordered:
            steps = max(n_values - 1, 1)
            distance = np.abs(np.cumsum(away, axis=1))[:, :-1].sum(axis=1) / steps
        else:
            distance = np.abs(away).sum(axis=1) / 2
        found["l"][start + filled] = (shares > 0).sum(axis=1)
        found["entropy_l"][start + filled] = np.exp(-(shares * logs).sum(axis=1))
        found["t"][start + filled] = distance
    return found


class _Points:
    """Who did what: the points of each user, and the users of each point, both sorted."""

    def __init__(self, users: NDArray[np.int32], points: NDArray[np.int64]) -> None:
        n_kinds = int(points.max()) + 1 if len(points) else 1
        pairs = np.unique(users.astype(np.int64) * n_kinds + points)
        owners, self._points = pairs // n_kinds, pairs % n_kinds
        self.sizes = np.bincount(owners)
        self._ends = np.cumsum(self.sizes)
        self._users = owners[np.argsort(self._points, kind="stable")]
        self._bounds = np.concatenate(([0], np.cumsum(np.bincount(self._points))))

    def of(self, user: int) -> NDArray[np.int64]:
        """Different points of a user."""
        end = self._ends[user]
        return self._points[end - self.sizes[user] : end]

    def fits_one(self, points: NDArray[np.int64]) -> bool:
        """Whether a single user has all these points, given that one has."""
        lists = [self._users[self._bounds[p] : self._bounds[p + 1]] for p in points.tolist()]
        lists.sort(key=len)
        fit = lists[0]
        for other in lists[1:]:
            if len(fit) == 1:
                break
            places = np.minimum(np.searchsorted(other, fit), len(other) - 1)
            fit = fit[other[places] == fit]
        return len(fit) == 1


def _unicity(
    points: _Points, size: int, n_samples: int, rng: np.random.Generator
) -> tuple[float, float, float, int]:
    """Estimate the chance that `size` points of a user fit nobody else; interval, and draws."""
    enough = np.flatnonzero(points.sizes >= size)
    if not len(enough):
        return np.nan, np.nan, np.nan, 0
    drawn = rng.choice(enough, min(n_samples, len(enough)), replace=False).tolist()
    n_unique = sum(
        points.fits_one(rng.choice(points.of(user), size, replace=False)) for user in drawn
    )
    return (*_wilson(n_unique, len(drawn)), len(drawn))


def _wilson(hits: int, n: int) -> tuple[float, float, float]:
    """Share and Wilson's 95 % interval."""
    share = hits / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return share, max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _exact(value: Any) -> tuple[float, float, float]:
    return float(value), float(value), float(value)


def _told(row: dict[str, Any]) -> str:
    """Say one row of the summary in words."""
    measure, about, value = row["measure"], row["about"], row["value"]
    if measure == "unicity":
        if not row["n"]:
            return f"unique users, given {about}: nobody has so many"
        return (
            f"unique users, given {about}: {100 * value:.1f} % "
            f"({100 * row['low']:.1f} to {100 * row['high']:.1f} %; {row['n']} users)"
        )
    if measure.startswith("users"):
        return f"{measure} of {about}: {100 * value:.1f} %"
    if measure == "k":
        return f"k = {value:.0f}: the fewest users with the same {about} ({row['n']} classes)"
    kind = "most" if measure == "t" else "least"
    return f"{measure} = {value:.3g} at {kind}: {about}"


def _count(value: Any, name: str) -> int:
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer; got {value!r}.")
    return int(value)
