"""Record a fit, replay its releases on neighbouring data, and see what moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ecomrec.privacy.audit._booking import norm_of, unbooked
from ecomrec.privacy.audit._differences import learned_differences
from ecomrec.privacy.audit._recording import Call, Record, Replay, Run, watch


@dataclass(frozen=True)
class ReleaseCheck:
    """How far one release's exact statistic moved, against what was declared.

    Attributes
    ----------
    name : str
    norm : {"l2", "l1", "linf"}
        The norm that the mechanism's noise is made for.
    bound : float
        What one user may move the statistic by, in that norm, in units of the integer grid.
    distance : float
        How far it moved.
    power : int
        The same without rounding: the square of the distance for "l2", else the distance.
    within : bool
        Whether the distance is at most the bound, in exact integers.

    Examples
    --------
    >>> from ecomrec.privacy import DPTopK, record_replay
    >>> matrix = [[1, 0, 1], [1, 1, 0], [0, 1, 1]]
    >>> record_replay(DPTopK(size=2), matrix, matrix[1:]).releases[0]
    ReleaseCheck(name='order', norm='linf', bound=1, distance=1.0, power=1, within=True)
    """

    name: str
    norm: str
    bound: float
    distance: float
    power: int
    within: bool


@dataclass(frozen=True)
class ReplayReport:
    """What a replay on neighbouring data found; made by `record_replay`.

    It tells of the data that it was made from. Keep it as safe as these.

    Attributes
    ----------
    releases : tuple of ReleaseCheck
        One for each release, in order.
    same_control_flow : bool
        The same releases in the same order, and both fits ended in the same way.
    changed_control_flow : tuple of str
        Where they did not.
    same_parameters : bool
        Noise scales, bounds, shapes and all else beside the statistics were equal.
    changed_parameters : tuple of str
        Those that were not, with both values.
    changed_messages : tuple of str
        Warnings, log lines and errors that only one of the fits gave.
    changed_attributes : tuple of str
        Paths of what the two models hold differently, although all releases were equal.
    error : str or None
        What the fit on `data` ended with, if not with a model: then there were none to compare.
    unbooked : tuple of str
        Releases that `privacy_report_` does not list, and entries of it that no release made.
    problems : tuple of str
        All of the above in sentences; empty if nothing was found.
    ok : bool
        Nothing was found, and the fits ended with a model.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.privacy import record_replay
    >>> matrix = [[1, 0, 1], [1, 1, 0], [0, 1, 1]]
    >>> report = record_replay(Popularity(), matrix, matrix[1:])
    >>> report.ok, report.same_control_flow, "popularity_" in report.changed_attributes
    (False, True, True)
    """

    releases: tuple[ReleaseCheck, ...]
    changed_control_flow: tuple[str, ...]
    changed_parameters: tuple[str, ...]
    changed_messages: tuple[str, ...]
    changed_attributes: tuple[str, ...]
    unbooked: tuple[str, ...]
    error: str | None = None

    @property
    def same_control_flow(self) -> bool:
        """Whether both fits made the same releases in the same order."""
        return not self.changed_control_flow

    @property
    def same_parameters(self) -> bool:
        """Whether all that mechanisms were told beside the statistics was equal."""
        return not self.changed_parameters

    @property
    def problems(self) -> tuple[str, ...]:
        """What was found, in sentences."""
        beyond = [
            f"{r.name}: the statistic moved by {r.distance:g} in {r.norm}, declared {r.bound:g}"
            for r in self.releases
            if not r.within
        ]
        found = {
            "control flow differs": self.changed_control_flow,
            "parameter differs": self.changed_parameters,
            "message differs": self.changed_messages,
            "attribute differs": self.changed_attributes,
            "booking differs": self.unbooked,
        }
        return (*beyond, *(f"{what}: {x}" for what, listed in found.items() for x in listed))

    @property
    def ok(self) -> bool:
        """Whether nothing was found, and the fits ended with a model."""
        return not self.problems and self.error is None

    def __str__(self) -> str:
        if self.error is not None and not self.problems:
            return f"Both fits ended with {self.error}"
        if self.ok:
            return f"{len(self.releases)} releases, each within its bound; nothing else differs."
        return "\n".join(self.problems)


def record_replay(
    estimator: Any,
    data: Any,
    neighbour: Any,
    *,
    fit_params: Mapping[str, Any] | None = None,
) -> ReplayReport:
    """Fit on two data sets with the same released noise, and report all that differs.

    The fit on `data` is recorded: every call of a mechanism with its parameters, the exact
    statistic and what was released. The fit on `neighbour` gets the recorded answers. What a
    private fit makes is a function of the answers alone, so with equal answers both fits must
    make the same calls with the same parameters, say the same, and end in equal models; and each
    statistic may differ by no more than the sensitivity that its noise was made for. An estimator
    that is not private releases nothing this way, and its attributes differ.

    Parameters
    ----------
    estimator : estimator
        Copies of it are fitted. They charge no ledger; a `random_state` of None is set to 0, and
        a `noise_source` that is not seeded is.
    data, neighbour : table, Interactions, or matrix
        What `fit` takes. They differ by one user, if sensitivities are to mean something; any two
        may be compared in everything else.
    fit_params : mapping, optional
        Further arguments of `fit`, for both: `{"items": catalog}`.

    Returns
    -------
    ReplayReport

    Notes
    -----
    Two fits and copies of every statistic. The method is that of [1]_.

    References
    ----------
    .. [1] Cebere, Erb, Desfontaines, Bellet, Fitzsimons: Re:cord-play. PETS 2026,
       arXiv:2602.17454.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.privacy import DPPopularity, record_replay
    >>> matrix = [[1, 0, 1], [1, 1, 0], [0, 1, 1]]
    >>> record_replay(DPPopularity(1.0), matrix, matrix[1:]).ok
    True
    >>> record_replay(Popularity(), matrix, matrix[1:]).releases
    ()
    """
    params = dict(fit_params or {})
    recorded = watch(estimator, data, params, Record())
    return compare(recorded, watch(estimator, neighbour, params, Replay(recorded.calls)))


def compare(recorded: Run, replayed: Run) -> ReplayReport:
    """Return what differs between a fit and its replay."""
    pairs = list(zip(recorded.calls, replayed.calls, strict=False))
    both = recorded.model is not None and replayed.model is not None
    return ReplayReport(
        tuple(check_release(a, b) for a, b in pairs),
        tuple(_changed_flow(recorded, replayed)),
        tuple(line for a, b in pairs for line in _changed_parameters(a, b)),
        tuple(_changed_messages(recorded, replayed)),
        tuple(learned_differences(recorded.model, replayed.model)) if both else (),
        tuple(unbooked(recorded)),
        recorded.error,
    )


# ---------------------------------------------------------------------- what differs


def _changed_flow(one: Run, other: Run) -> Iterator[str]:
    if other.diverged is not None:
        place = len(other.calls)
        was = f"{one.calls[place].name!r}" if place < len(one.calls) else "the end"
        yield f"{other.diverged}, and was {was} before"
    elif len(other.calls) != len(one.calls):
        yield f"{len(one.calls)} releases, and {len(other.calls)} in the replay"
    if one.error != other.error and other.diverged is None:
        yield f"ended with {one.error or 'a model'}, and with {other.error or 'a model'}"


def _changed_parameters(one: Call, other: Call) -> Iterator[str]:
    for key in one.params | other.params:
        mine, theirs = one.params.get(key), other.params.get(key)
        if type(mine) is not type(theirs) or mine != theirs:
            yield f"{one.name}.{key} is {mine!r}, and {theirs!r} in the replay"


def _changed_messages(one: Run, other: Run) -> Iterator[str]:
    if other.diverged is None:
        yield from (line for line in one.said if one.said.count(line) != other.said.count(line))
        yield from (line for line in other.said if line not in one.said)


# ---------------------------------------------------------------------- how far it moved


def check_release(one: Call, other: Call) -> ReleaseCheck:
    """Measure how far a statistic moved, in exact integers."""
    norm, bound = norm_of(one.params)
    moved = difference(one.value, other.value)
    if moved is None:
        return ReleaseCheck(one.name, norm, bound, math.inf, 0, False)
    if norm == "l2":
        power = sum_of_squares(moved)
        within = power <= Fraction(bound) ** 2
        return ReleaseCheck(one.name, norm, bound, math.sqrt(power), power, within)
    sizes = [abs(int(v)) for v in moved[moved != 0].tolist()]
    power = sum(sizes) if norm == "l1" else max(sizes, default=0)
    # Top-k noise is made for counts that one user moves in one direction only.
    one_way = one.params["mechanism"] != "gumbel" or not ((moved > 0).any() and (moved < 0).any())
    return ReleaseCheck(one.name, norm, bound, float(power), power, power <= bound and one_way)


def difference(one: Any, other: Any) -> np.ndarray | None:
    """Return one statistic minus another, int64; None where they cannot be compared.

    A statistic over ids that the data brought is a pair of ids and values.
    """
    if isinstance(one, tuple) and isinstance(other, tuple):
        mine = dict(zip(_hashed(one[0]), np.asarray(one[1]).tolist(), strict=True))
        theirs = dict(zip(_hashed(other[0]), np.asarray(other[1]).tolist(), strict=True))
        return np.array(
            [mine.get(key, 0) - theirs.get(key, 0) for key in mine | theirs], dtype=np.int64
        )
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape or a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        return None
    moved: np.ndarray = a.astype(np.int64) - b.astype(np.int64)
    return moved.ravel()


def sum_of_squares(values: np.ndarray) -> int:
    """Add up squares of int64 exactly."""
    values = values[values != 0]
    if len(values) and max(abs(int(values.min())), abs(int(values.max()))) >= 2**31:
        return sum(int(v) ** 2 for v in values.tolist())
    squares = (values * values).astype(np.uint64)
    low, high = squares & np.uint64(0xFFFFFFFF), squares >> np.uint64(32)
    return (int(high.sum()) << 32) + int(low.sum())


def _hashed(ids: Any) -> list[Any]:
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
