"""How much a list of releases tells of one user: epsilon, delta, and the noise they call for."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ecomrec.privacy.accounting import _gdp, _oracles, _rdp
from ecomrec.privacy.accounting.events import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    PureDPEvent,
    SetUnionEvent,
    ZCDPEvent,
    check_events,
    event_from_json,
    event_to_json,
)

__all__ = [
    "ACCOUNTANTS",
    "GaussianEvent",
    "GumbelTopKEvent",
    "PoissonSampledGaussianEvent",
    "PrivacyEvent",
    "PureDPEvent",
    "SetUnionEvent",
    "ZCDPEvent",
    "calibrate_noise",
    "check_accountant",
    "check_delta",
    "check_epsilon",
    "delta_of",
    "epsilon_from_mu",
    "epsilon_of",
    "event_from_json",
    "event_to_json",
    "mu_from_epsilon",
    "mu_of",
]

ACCOUNTANTS = ("auto", "gdp", "rdp", "pld", "opacus_rdp", "opacus_prv")


def epsilon_of(events: Iterable[PrivacyEvent], delta: float, *, accountant: str = "auto") -> float:
    r"""Return the epsilon of a list of releases, which may depend on each other.

    Releases of Gaussian noise on all users are counted exactly: :math:`\mu = \sqrt{\sum_i
    1/\sigma_i^2}`, and :math:`\epsilon` solves :math:`\delta = \Phi(-\epsilon/\mu + \mu/2) -
    e^\epsilon \Phi(-\epsilon/\mu - \mu/2)`. Everything else is counted by Renyi divergences, at
    whole and broken orders, or by the sum of pure epsilons where that is less: an upper bound.

    Parameters
    ----------
    events : iterable of PrivacyEvent
        What was released.
    delta : float
        From 0 to below 1. At delta 0 only pure events have a finite epsilon.
    accountant : {"auto", "gdp", "rdp", "pld", "opacus_rdp", "opacus_prv"}
        "auto" as above. "gdp" is the exact formula and refuses what it does not hold for, "rdp"
        the Renyi bound for all. "pld" composes privacy loss distributions numerically, the
        tightest for sampled events (package dp-accounting, extra ``privacy``; top-k answers are
        counted there as pure ones, which is loose). "opacus_rdp" and "opacus_prv" are those of
        Opacus (extra ``opacus``), for Gaussian and sampled events. These three give inf where the
        Renyi bound, at a delta of 1e-9, is above 700: too much for their doubles and memory.

    Returns
    -------
    float
        0 for no events; inf where no finite epsilon can be claimed.

    Raises
    ------
    TypeError
        If an event is not known.
    ValueError
        If delta is out of range, or the accountant unknown or not one for these events.
    ImportError
        If the package of the accountant is not installed.

    Notes
    -----
    "auto" costs microseconds for Gaussian events and some 30 ms for each pair of noise multiplier
    and sample rate that it has not seen before.

    References
    ----------
    Dong, Roth and Su, "Gaussian differential privacy", JRSS B 2022; Balle and Wang, "Improving
    the Gaussian mechanism for differential privacy", ICML 2018; Mironov, Talwar and Zhang, "Renyi
    differential privacy of the sampled Gaussian mechanism", 2019; Canonne, Kamath and Steinke,
    "The discrete Gaussian for differential privacy", NeurIPS 2020.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, epsilon_of
    >>> round(epsilon_of([GaussianEvent(20.0, count=20)], delta=1e-5), 4)
    0.8197
    """
    epsilon = _epsilon_of(check_events(events), check_delta(delta), accountant)
    return math.inf if math.isnan(epsilon) else epsilon


def _epsilon_of(found: Sequence[PrivacyEvent], delta: float, accountant: str) -> float:
    check_accountant(accountant)
    lost = _lost_delta(found)
    if not found:
        return 0.0
    if lost and lost >= delta:
        return math.inf
    left = delta - lost
    mu, rest = _gaussian_part(found)
    if accountant == "pld":
        return _oracles.pld_epsilon(found, left)
    if accountant in ("opacus_rdp", "opacus_prv"):
        return _oracles.opacus_epsilon(found, left, accountant)
    if accountant == "gdp":
        _refuse_rest(rest)
    if accountant != "rdp" and not rest:
        return _gdp.epsilon_of_mu(mu, left)
    by_rdp = _rdp.epsilon_of_rdp(_rdp.rdp_of(found), left)
    pure = _pure_sum(rest)
    if accountant == "rdp" or pure is None:
        return by_rdp
    return min(by_rdp, pure + _gdp.epsilon_of_mu(mu, left))


def delta_of(events: Iterable[PrivacyEvent], epsilon: float, *, accountant: str = "auto") -> float:
    """Return the delta of a list of releases at an epsilon.

    Parameters
    ----------
    events : iterable of PrivacyEvent
        What was released.
    epsilon : float
        At least 0; may be inf.
    accountant : {"auto", "gdp", "rdp", "pld"}
        As in `epsilon_of`.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError
        If an event is not known.
    ValueError
        If epsilon is negative, or the accountant unknown or not one for this.
    ImportError
        If the package of the accountant is not installed.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, delta_of
    >>> f"{delta_of([GaussianEvent(4.0)], epsilon=1.0):.1e}"
    '2.9e-06'
    """
    found = check_events(events)
    epsilon = check_epsilon(epsilon)
    check_accountant(accountant)
    if accountant.startswith("opacus"):
        raise ValueError(f"{accountant!r} gives no delta; take 'auto', 'gdp', 'rdp' or 'pld'.")
    lost = _lost_delta(found)
    mu, rest = _gaussian_part(found)
    if accountant == "gdp":
        _refuse_rest(rest)
    if not found:
        delta = 0.0
    elif accountant == "pld":
        delta = _oracles.pld_delta(found, epsilon)
    elif accountant != "rdp" and not rest:
        delta = _gdp.delta_of_mu(mu, epsilon)
    else:
        delta = _rdp.delta_of_rdp(_rdp.rdp_of(found), epsilon)
        pure = _pure_sum(rest)
        if accountant == "auto" and pure is not None and pure <= epsilon:
            delta = min(delta, _gdp.delta_of_mu(mu, epsilon - pure))
    return 1.0 if math.isnan(delta) else min(1.0, delta + lost)


def epsilon_from_mu(mu: float, delta: float) -> float:
    """Return the epsilon of Gaussian releases that are mu-GDP together, exactly.

    Parameters
    ----------
    mu : float
        At least 0: one over the noise multiplier for one release, roots of sums of squares for
        several.
    delta : float
        From 0 to below 1.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a value is out of its range.

    References
    ----------
    Balle and Wang, "Improving the Gaussian mechanism for differential privacy", ICML 2018.

    Examples
    --------
    >>> from ecomrec.privacy import epsilon_from_mu
    >>> round(epsilon_from_mu(0.25, delta=1e-5), 4)
    0.9263
    """
    if not _is_number(mu) or not mu >= 0.0:
        raise ValueError(f"mu must be a number of at least 0; got {mu!r}.")
    return _gdp.epsilon_of_mu(float(mu), check_delta(delta))


def mu_from_epsilon(epsilon: float, delta: float) -> float:
    """Return the largest mu of Gaussian releases that keep an epsilon and delta.

    One release may have the noise multiplier ``1 / mu``; several share ``mu ** 2``.

    Parameters
    ----------
    epsilon : float
        At least 0; inf gives inf.
    delta : float
        Above 0 and below 1.

    Returns
    -------
    float
        Exact but for one part in 10^12, on the safe side.

    Raises
    ------
    ValueError
        If a value is out of its range.

    References
    ----------
    Balle and Wang, "Improving the Gaussian mechanism for differential privacy", ICML 2018.

    Examples
    --------
    >>> from ecomrec.privacy import mu_from_epsilon
    >>> round(1 / mu_from_epsilon(1.0, delta=1e-6), 2)
    4.22
    """
    epsilon, delta = check_epsilon(epsilon), check_delta(delta)
    if delta == 0.0:
        raise ValueError("delta must be above 0: Gaussian noise has no epsilon at delta 0.")
    return _gdp.mu_of_epsilon(epsilon, delta)


def mu_of(events: Iterable[PrivacyEvent]) -> float | None:
    """Return the mu of releases that are all Gaussian and unsampled, else None."""
    found = check_events(events)
    mu, rest = _gaussian_part(found)
    return None if rest or _lost_delta(found) else mu


def calibrate_noise(
    epsilon: float,
    delta: float,
    events: Callable[[float], Sequence[PrivacyEvent]],
    *,
    accountant: str = "auto",
) -> float:
    """Return the smallest noise multiplier that keeps an epsilon and delta.

    Parameters
    ----------
    epsilon : float
        Above 0. inf asks for no privacy and gives 0.0.
    delta : float
        Above 0 and below 1.
    events : callable
        Gets a noise multiplier and returns what would be released with it; more noise must not
        cost more.
    accountant : str
        As in `epsilon_of`.

    Returns
    -------
    float
        Its epsilon is at most the one asked for, and within one part in 10^9 of it.

    Raises
    ------
    ValueError
        If a value is out of its range, or no noise is enough: what does not depend on the noise
        costs more already.

    Notes
    -----
    Some 20 to 60 calls of `epsilon_of`.

    Examples
    --------
    >>> from ecomrec.privacy import PoissonSampledGaussianEvent, calibrate_noise
    >>> def training(noise):
    ...     return [PoissonSampledGaussianEvent(noise, sample_rate=0.01, count=1000)]
    >>> round(calibrate_noise(2.0, 1e-5, training), 3)
    1.022
    """
    epsilon, delta = check_epsilon(epsilon, positive=True), check_delta(delta)
    if math.isinf(epsilon):
        return 0.0

    def excess(noise: float) -> float:
        return epsilon_of(events(noise), delta, accountant=accountant) - epsilon

    low = high = 1.0
    while excess(high) > 0.0:
        low, high = high, 2.0 * high
        if high > 1e15:
            raise ValueError(
                f"no noise keeps epsilon {epsilon:g} at delta {delta:g}: with all but no signal "
                f"the releases still cost {excess(high) + epsilon:.4g}."
            )
    while low == high or excess(low) <= 0.0:
        low, high = low / 2.0, low
        if low < 1e-300:
            raise ValueError("the releases cost the same whatever the noise; none is smallest.")
    # Halving: sampled accountants may have small steps, which would mislead a secant.
    while high - low > 1e-10 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    # A little more, so that rounding cannot exceed what was asked for.
    return high * (1.0 + 1e-12)


def check_epsilon(epsilon: Any, *, positive: bool = False) -> float:
    """Return an epsilon as a float, or say what it must be."""
    if not _is_number(epsilon) or not epsilon >= 0.0 or (positive and epsilon == 0.0):
        words = "positive" if positive else "not negative"
        raise ValueError(f"epsilon must be a number that is {words}; got {epsilon!r}.")
    return float(epsilon)


def check_delta(delta: Any) -> float:
    """Return a delta as a float, or say what it must be."""
    if not _is_number(delta) or not 0.0 <= delta < 1.0:
        raise ValueError(f"delta must be a number from 0 to below 1; got {delta!r}.")
    return float(delta)


def check_accountant(accountant: Any) -> None:
    """Refuse a name that is no accountant's."""
    if accountant not in ACCOUNTANTS:
        raise ValueError(f"accountant must be one of {ACCOUNTANTS}; got {accountant!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _gaussian_part(events: Sequence[PrivacyEvent]) -> tuple[float, list[PrivacyEvent]]:
    """Return the mu of the Gaussian events on all users, and the other events."""
    mus: list[tuple[int, float]] = []
    rest: list[PrivacyEvent] = []
    for event in events:
        if isinstance(event, GaussianEvent | SetUnionEvent) or (
            isinstance(event, PoissonSampledGaussianEvent) and event.sample_rate == 1.0
        ):
            mus.append((event.count, 1.0 / event.noise_multiplier))
        else:
            rest.append(event)
    top = max((mu for _, mu in mus), default=0.0)
    if top in (0.0, math.inf):
        return top, rest
    # In units of a power of 2, so that no square is lost or infinite.
    power = math.frexp(top)[1] - 1
    squares = math.fsum(count * math.ldexp(mu, -power) ** 2 for count, mu in mus)
    return math.sqrt(squares) * 2.0**power, rest


def _lost_delta(events: Sequence[PrivacyEvent]) -> float:
    return math.fsum(e.count * e.delta for e in events if isinstance(e, SetUnionEvent))


def _pure_sum(events: Sequence[PrivacyEvent]) -> float | None:
    """Return the sum of epsilons of events that all are pure, else None."""
    total = 0.0
    for event in events:
        if isinstance(event, PureDPEvent):
            total += event.count * event.epsilon
        elif isinstance(event, GumbelTopKEvent):
            total += event.count * event.k / event.scale
        else:
            return None
    return total


def _refuse_rest(rest: Sequence[PrivacyEvent]) -> None:
    if rest:
        raise ValueError(
            "accountant='gdp' counts Gaussian noise on all users only; got "
            f"{rest[0]!r}. Take 'auto', 'rdp' or 'pld'."
        )
