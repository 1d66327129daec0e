"""Leave each user out in turn, and measure how far every release moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ecomrec.data import Interactions
from ecomrec.data.ids import encode_ids, id_list
from ecomrec.data.tables import USER, is_table, require_columns, to_frame
from ecomrec.exceptions import UnknownIdError
from ecomrec.privacy.audit._recording import Record, Replay, watch
from ecomrec.privacy.audit.replay import ReleaseCheck, ReplayReport, compare


@dataclass(frozen=True)
class SensitivityReport:
    """How far users move the releases of a fit; made by `sensitivity_report`.

    It tells of single users. Keep it as safe as the data.

    Attributes
    ----------
    largest : tuple of ReleaseCheck
        For each release the user who moved it most.
    n_users : int
        How many were left out, one at a time.
    n_beyond : tuple of int
        For each release how many moved it by more than its bound.
    reports : dict of id to ReplayReport
        The full comparison for each user in which anything was found.
    ok : bool
        Nothing was found for anybody.

    Examples
    --------
    >>> from ecomrec.privacy import DPTopK, sensitivity_report
    >>> print(sensitivity_report(DPTopK(size=2), [[1, 0, 1], [1, 1, 0], [0, 1, 1]]))
    release norm  bound  largest  n_beyond
      order linf      1      1.0         0
    3 users: nothing was found.
    """

    largest: tuple[ReleaseCheck, ...]
    n_users: int
    n_beyond: tuple[int, ...]
    reports: dict[Any, ReplayReport]

    @property
    def ok(self) -> bool:
        """Whether nothing was found for anybody."""
        return not self.reports

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each release: its bound, the largest distance, how many were beyond."""
        return pd.DataFrame(
            {
                "release": [r.name for r in self.largest],
                "norm": [r.norm for r in self.largest],
                "bound": [r.bound for r in self.largest],
                "largest": [r.distance for r in self.largest],
                "n_beyond": list(self.n_beyond),
            }
        )

    def __str__(self) -> str:
        found = len(self.reports)
        verdict = f"something was found for {found} of them" if found else "nothing was found"
        return f"{self.to_frame().to_string(index=False)}\n{self.n_users} users: {verdict}."


def sensitivity_report(
    estimator: Any,
    data: Any,
    *,
    users: Any = None,
    fit_params: Mapping[str, Any] | None = None,
) -> SensitivityReport:
    r"""Leave users out one at a time, and compare what moves with what was declared.

    For a release :math:`f(D) = \sum_u f_u` with noise for sensitivity :math:`\Delta`, the exact
    distance :math:`\lVert f(D) - f(D \setminus u) \rVert` is measured in integers, with the
    answers of the fit on all the data replayed in each other fit.

    Parameters
    ----------
    estimator : estimator
        Copies of it are fitted, as in `record_replay`.
    data : table, Interactions, or matrix
    users : list of ids, optional
        Who is left out; in a matrix, row numbers. None: everybody, one fit each.
    fit_params : mapping, optional
        Further arguments of `fit`.

    Returns
    -------
    SensitivityReport

    Raises
    ------
    Exception
        What the fit on all the data raises: nothing could be measured.

    Examples
    --------
    >>> from ecomrec.privacy import DPPopularity, sensitivity_report
    >>> report = sensitivity_report(DPPopularity(1.0), [[1, 0, 1], [1, 1, 0], [0, 1, 1]])
    >>> report.ok, report.n_users
    (True, 3)
    """
    params = dict(fit_params or {})
    recorded = watch(estimator, data, params, Record())
    if recorded.failure is not None:
        raise recorded.failure
    asked = user_ids(data) if users is None else list(id_list(users, "users"))
    found: dict[Any, ReplayReport] = {}
    largest: list[ReleaseCheck] = []
    beyond: list[int] = []
    for user in asked:
        rest = without_user(data, user)
        report = compare(recorded, watch(estimator, rest, params, Replay(recorded.calls)))
        if not report.ok:
            found[user] = report
        for place, check in enumerate(report.releases):
            if place == len(largest):
                largest.append(check)
                beyond.append(0)
            elif check.distance > largest[place].distance:
                largest[place] = check
            beyond[place] += not check.within
    return SensitivityReport(tuple(largest), len(asked), tuple(beyond), found)


def user_ids(data: Any) -> list[Any]:
    """Return the ids of the users in what `fit` takes."""
    if isinstance(data, Interactions):
        return list(data.user_ids.tolist())
    if is_table(data):
        return list(_coded_users(data)[1])
    return list(range(np.shape(data)[0]))


def without_user(data: Any, user: Any) -> Any:
    """Return what `fit` takes with everything of one user gone, and all items still there."""
    known = user_ids(data)
    if user not in known:
        raise UnknownIdError(f"user not in the data: {user!r}.")
    row = known.index(user)
    if isinstance(data, Interactions):
        everything = replace(data, listed_items=np.ones(data.n_items, dtype=bool))
        left = everything.without(np.array([row]))[0]
        return replace(left, listed_items=data.listed_items)
    if is_table(data):
        kept = np.flatnonzero(_coded_users(data)[0] != row)
        return to_frame(data, "data")[kept].to_native()
    is_sparse = sp.issparse(data)
    keep = np.arange(len(known)) != row
    return sp.csr_array(data)[keep] if is_sparse else np.asarray(data)[keep]


def _coded_users(table: Any) -> tuple[np.ndarray, list[Any]]:
    """The user of each row of a table, as a number, and the ids by number."""
    frame = to_frame(table, "data")
    require_columns(frame, (USER,), "data")
    native = frame[USER].to_native()
    column = native if isinstance(native, pd.Series) else pd.Series(frame[USER].to_list())
    codes, ids, _ = encode_ids(column, USER)
    return codes, list(ids.tolist())
