"""Membership inference: how well two known attacks tell who was in the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from ecomrec.privacy.audit import _attacks
from ecomrec.privacy.audit.bounds import (
    check_confidence,
    check_scores,
    lower_rate,
    upper_rate,
)

_ATTACKS = ("score", "list")


@dataclass(frozen=True)
class AttackResult:
    """How well one attack does.

    Attributes
    ----------
    attack : str
    auc : float
        Chance that a member scores above somebody who is none; 0.5 is a coin.
    auc_interval : tuple of float
    tpr : tuple of float
        Share of members found, at each of the report's `fprs`.
    tpr_intervals : tuple of tuple of float
    n_members, n_nonmembers : int
        On how many it was judged.
    """

    attack: str
    auc: float
    auc_interval: tuple[float, float]
    tpr: tuple[float, ...]
    tpr_intervals: tuple[tuple[float, float], ...]
    n_members: int
    n_nonmembers: int


@dataclass(frozen=True)
class MembershipReport:
    """What membership inference gains; made by `membership_inference_report`.

    Attributes
    ----------
    attacks : tuple of AttackResult
    fprs : tuple of float
        Shares of false alarms at which members are counted.
    confidence : float
        Of the intervals.
    auc_bound : float
        What no attack on the model can exceed, sampling aside: Phi(mu / sqrt(2)), or what
        (epsilon, delta) implies. 1 if the model is not private.
    tpr_bounds : tuple of float
        The same for the share of members found, at each of `fprs`.

    Examples
    --------
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.privacy import membership_inference_report
    >>> model = Popularity().fit([[1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> report = membership_inference_report(model, [[0, 1], [0]], [[2], [1]], attacks=["score"])
    >>> report.to_frame()["measure"].tolist()
    ['AUC', 'TPR at FPR 0.01', 'TPR at FPR 0.1']
    """

    attacks: tuple[AttackResult, ...]
    fprs: tuple[float, ...]
    confidence: float
    auc_bound: float
    tpr_bounds: tuple[float, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each attack and measure, with its interval and what is allowed."""
        rows: list[tuple[str, str, float, float, float, float]] = []
        for a in self.attacks:
            rows.append((a.attack, "AUC", a.auc, *a.auc_interval, self.auc_bound))
            for place, fpr in enumerate(self.fprs):
                low, high = a.tpr_intervals[place]
                bound = self.tpr_bounds[place]
                rows.append((a.attack, f"TPR at FPR {fpr:g}", a.tpr[place], low, high, bound))
        columns = ["attack", "measure", "value", "low", "high", "bound"]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        return self.to_frame().round(4).to_string(index=False)


def membership_inference_report(
    model: Any,
    members: Any,
    nonmembers: Any,
    *,
    k: int = 20,
    attacks: Sequence[str] = _ATTACKS,
    item_vectors: tuple[Any, np.ndarray] | None = None,
    fprs: Sequence[float] = (0.01, 0.1),
    confidence: float = 0.95,
    fit_params: Mapping[str, Any] | None = None,
    random_state: Any = 0,
) -> MembershipReport:
    r"""Attack a model with histories of people who were and were not in its data.

    "score" asks the model to rank the whole catalogue for a history, and takes the mean share of
    items that rank behind the history's own: a model that has seen the person puts them in front.
    "list" sees recommended ids only [1]_: a person is the centre of the vectors of their items
    minus the centre of those of the k recommended ones, and a logistic regression that was
    trained on half of the people judges the other half.

    Parameters
    ----------
    model : estimator
        Fitted on the members, or unfitted: then a copy is fitted on them.
    members, nonmembers : table, or list of sequences of item ids
        Who was in and who was not; a table has `user_id` and `item_id`, and is needed if the
        model is to be fitted. The bounds hold for people who were put in or left out by chance.
    k : int
        Length of the lists that "list" sees.
    attacks : sequence of {"score", "list"}
    item_vectors : tuple of ids and ndarray of shape (n_ids, d), optional
        What the attacker knows of items for "list". None: the 32 largest singular vectors of the
        histories that train the attack.
    fprs : sequence of float
        Shares of false alarms at which members are counted.
    confidence : float
        Of the intervals: by the variance of the AUC (DeLong), and Clopper-Pearson for the share
        of members found (at a threshold that is taken as given).
    fit_params : mapping, optional
        Further arguments of `fit`.
    random_state : int, Generator or None
        Chooses the half that trains "list".

    Returns
    -------
    MembershipReport

    Notes
    -----
    An attack that finds nothing proves nothing. Under mu-GDP no attack has an AUC above
    :math:`\Phi(\mu / \sqrt 2)`, nor finds more than :math:`\Phi(\Phi^{-1}(FPR) + \mu)` of the
    members; otherwise :math:`TPR \leq e^\epsilon FPR + \delta`.

    References
    ----------
    .. [1] Zhang, Ren, Wang, Ren, Hu, Yan, Wu: Membership inference attacks against recommender
       systems. CCS 2021.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.cf import EASE
    >>> from ecomrec.privacy import membership_inference_report
    >>> events = make_shop(600, 200, random_state=0).events
    >>> inside = events["user_id"] % 2 == 0
    >>> report = membership_inference_report(EASE(0.1), events[inside], events[~inside])
    >>> score, by_list = report.attacks
    >>> bool(score.auc > 0.6), report.auc_bound
    (True, 1.0)
    """
    for attack in attacks:
        if attack not in _ATTACKS:
            raise ValueError(f"attacks must be among {list(_ATTACKS)}; got {attack!r}.")
    check_confidence(confidence)
    if not model.__sklearn_is_fitted__():
        model = _attacks.fitted_on(model, members, dict(fit_params or {}))
    histories = _attacks.read(members), _attacks.read(nonmembers)
    results = []
    for attack in attacks:
        if attack == "score":
            scores = tuple(_attacks.own_ranks(model, side) for side in histories)
        else:
            scores = _attacks.list_scores(model, *histories, k, item_vectors, random_state)
        results.append(judge(attack, scores[0], scores[1], tuple(fprs), confidence))
    report = getattr(model, "privacy_report_", None)
    return MembershipReport(
        tuple(results),
        tuple(fprs),
        confidence,
        auc_bound(report),
        tuple(tpr_bound(report, fpr) for fpr in fprs),
    )


def judge(
    attack: str,
    members: Sequence[float] | np.ndarray,
    nonmembers: Sequence[float] | np.ndarray,
    fprs: tuple[float, ...],
    confidence: float,
) -> AttackResult:
    """Compare scores of members with those of others."""
    inside = check_scores(members, "scores of members", at_least=2)
    outside = check_scores(nonmembers, "scores of nonmembers", at_least=2)
    n, m = len(inside), len(outside)
    # The share of others below each member, ties by half, and the reverse (DeLong's components).
    above = _below(np.sort(outside), inside)
    beneath = 1.0 - _below(np.sort(inside), outside)
    auc = float(above.mean())
    spread = math.sqrt(above.var(ddof=1) / n + beneath.var(ddof=1) / m)
    half = float(special.ndtri((1 + confidence) / 2)) * spread
    found, intervals = [], []
    for fpr in fprs:
        # The smallest threshold that gives no more false alarms than asked for.
        allowed = math.floor(fpr * m)
        threshold = np.sort(outside)[::-1][allowed] if allowed < m else -np.inf
        hits = int((inside > threshold).sum())
        found.append(hits / n)
        risk = (1 - confidence) / 2
        ends = (
            float(lower_rate(np.array(hits), n, risk)),
            float(upper_rate(np.array(hits), n, risk)),
        )
        intervals.append(ends)
    return AttackResult(
        attack, auc, (max(0.0, auc - half), min(1.0, auc + half)), tuple(found),
        tuple(intervals), n, m,
    )  # fmt: skip


def auc_bound(report: Any) -> float:
    """Return the largest AUC that a privacy report allows."""
    if report is None or not report.private:
        return 1.0
    if report.mu is not None:
        return float(special.ndtr(report.mu / math.sqrt(2.0)))
    # The area above f(a) = max(0, 1 - delta - e^eps a, e^-eps (1 - delta - a)), in closed form:
    # the two lines cross where both errors are (1 - delta) / (1 + e^eps).
    rate = (1.0 - report.delta) / (1.0 + math.exp(min(report.epsilon, 700.0)))
    return float(1.0 - rate * (1.0 - report.delta))


def tpr_bound(report: Any, fpr: float) -> float:
    """Return the largest share of members that a privacy report lets an attack find."""
    if report is None or not report.private:
        return 1.0
    if report.mu is not None:
        return float(special.ndtr(special.ndtri(fpr) + report.mu))
    grown = math.exp(min(report.epsilon, 700.0))
    return float(min(1.0, grown * fpr + report.delta, 1 - (1 - report.delta - fpr) / grown))


def _below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The share of sorted numbers below each value; ties count half."""
    left = np.searchsorted(ordered, values, side="left")
    right = np.searchsorted(ordered, values, side="right")
    shares: np.ndarray = (left + right) / (2.0 * len(ordered))
    return shares
