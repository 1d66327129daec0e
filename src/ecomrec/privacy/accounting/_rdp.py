"""Renyi differential privacy of every event, on one grid of orders."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from ecomrec.privacy.accounting.events import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    PureDPEvent,
    SetUnionEvent,
    ZCDPEvent,
)

# A fixed grid keeps epsilon monotone in every parameter; eighty orders a decade where sampled
# events have their best order lose less than one part in a thousand.
_LESS_ONE = np.concatenate(
    [
        np.geomspace(1e-4, 0.1, 60, endpoint=False),
        np.geomspace(0.1, 100.0, 240, endpoint=False),
        np.geomspace(100.0, 1e8, 121),
    ]
)
ORDERS = 1.0 + _LESS_ONE
# Longer integrals are left out: the bound without sampling takes their place.
_MAX_POINTS = 20_000


def rdp_of(events: Iterable[PrivacyEvent]) -> np.ndarray:
    """Renyi divergences of a composition, one for each of `ORDERS`; deltas are not in them."""
    total = np.zeros(len(ORDERS))
    with np.errstate(over="ignore", invalid="ignore"):
        for event in events:
            total += event.count * _rdp(event)
    return np.where(np.isnan(total), math.inf, total)


def epsilon_of_rdp(rdp: np.ndarray, delta: float) -> float:
    """Epsilon at `delta`, by proposition 12 of Canonne, Kamath and Steinke (2020)."""
    if delta <= 0.0:
        return math.inf
    epsilons = rdp + np.log1p(-1.0 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / _LESS_ONE
    # An order that gives no number gives no bound.
    return max(0.0, float(np.where(np.isnan(epsilons), math.inf, epsilons).min()))


def delta_of_rdp(rdp: np.ndarray, epsilon: float) -> float:
    """Delta at `epsilon`, by the same proposition."""
    if math.isinf(epsilon):
        return 0.0
    with np.errstate(over="ignore"):
        logs = _LESS_ONE * (rdp - epsilon + np.log1p(-1.0 / ORDERS)) - np.log(ORDERS)
    return math.exp(min(0.0, float(np.where(np.isnan(logs), math.inf, logs).min())))


def _rdp(event: PrivacyEvent) -> np.ndarray:
    """Divergences of one release of an event."""
    if isinstance(event, GaussianEvent | SetUnionEvent):
        return _gaussian(event.noise_multiplier)
    if isinstance(event, PoissonSampledGaussianEvent):
        if event.sample_rate == 1.0:
            return _gaussian(event.noise_multiplier)
        return _sampled_gaussian(event.noise_multiplier, event.sample_rate)
    if isinstance(event, PureDPEvent):
        return _pure(event.epsilon)
    if isinstance(event, ZCDPEvent):
        concentrated: np.ndarray = event.rho * ORDERS
        return concentrated
    if isinstance(event, GumbelTopKEvent):
        one = 1.0 / event.scale
        all_picks: np.ndarray = event.k * np.minimum(_pure(one), ORDERS * (one * one / 8.0))
        return all_picks
    raise TypeError(f"no Renyi divergence is known of {event!r}.")


def _gaussian(noise_multiplier: float) -> np.ndarray:
    one = 1.0 / noise_multiplier
    rdp: np.ndarray = ORDERS * (0.5 * one * one)
    return rdp


def _pure(epsilon: float) -> np.ndarray:
    r"""Randomised response, the worst of all epsilon-DP mechanisms.

    :math:`e^{(\alpha-1) D_\alpha} - 1 = 2 \sinh(\alpha\epsilon/2) \sinh((\alpha-1)\epsilon/2) /
    \cosh(\epsilon/2)`, a product of positive terms.
    """
    log_excess = (
        math.log(2.0)
        + _log_sinh(ORDERS * epsilon / 2.0)
        + _log_sinh(_LESS_ONE * epsilon / 2.0)
        - (np.logaddexp(epsilon / 2.0, -epsilon / 2.0) - math.log(2.0))
    )
    rdp: np.ndarray = np.minimum(epsilon, np.logaddexp(0.0, log_excess) / _LESS_ONE)
    return rdp


def _log_sinh(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # of subnormal numbers
        return x + np.log(-np.expm1(-2.0 * x)) - math.log(2.0)


@lru_cache(maxsize=256)
def _sampled_gaussian(noise_multiplier: float, sample_rate: float) -> np.ndarray:
    r"""Divergences of the sampled Gaussian mechanism, at whole and broken orders alike.

    With :math:`z \sim N(0, \sigma^2)` and :math:`y = q (e^{(2z-1)/(2\sigma^2)} - 1)`, which has
    mean 0, :math:`e^{(\alpha-1) D_\alpha} - 1 = E[(1+y)^\alpha - 1 - \alpha y]` (Mironov, Talwar
    and Zhang 2019). No term is negative, so none cancels; the trapezoid rule converges
    exponentially fast.
    """
    sigma, rdp = noise_multiplier, _gaussian(noise_multiplier)
    step = min(sigma, sigma * sigma) / 4.0
    for place, order in enumerate(ORDERS):
        if order + 24.0 * sigma > min(_MAX_POINTS * step, 1e300):
            break
        z = np.arange(-12.0 * sigma, order + 12.0 * sigma, step)
        log_weights = -0.5 * (z / sigma) ** 2 - math.log(sigma * math.sqrt(2.0 * math.pi) / step)
        terms = log_weights + _log_excess(z, order, sigma, sample_rate)
        top = terms.max()
        log_excess = top + math.log(np.exp(terms - top).sum())
        rdp[place] = min(rdp[place], np.logaddexp(0.0, log_excess) / _LESS_ONE[place])
    rdp.flags.writeable = False
    return rdp


def _log_excess(z: np.ndarray, order: float, sigma: float, sample_rate: float) -> np.ndarray:
    """Logarithm of (1+y)^order - 1 - order*y at each z."""
    log_ratio = (2.0 * z - 1.0) / (2.0 * sigma * sigma)
    # log(1 + y), and y where it can be had.
    grown = np.logaddexp(math.log1p(-sample_rate), math.log(sample_rate) + log_ratio)
    y = np.where(
        log_ratio < 700.0,
        sample_rate * np.expm1(np.minimum(log_ratio, 700.0)),
        np.exp(np.minimum(math.log(sample_rate) + log_ratio, 700.0)),
    )
    power = order * grown
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        linear = np.where(grown < 30.0, np.log1p(order * y), math.log(order) + grown)
        large = power + np.log1p(-np.exp(linear - power))
        # Where 1 + order*y is negative, both terms add.
        large = np.where(order * y < -1.0, np.log(np.exp(power) - 1.0 - order * y), large)
        series = 1.0 + (order - 2.0) * y / 3.0 * (1.0 + (order - 3.0) * y / 4.0)
        small = np.log(0.5 * order * (order - 1.0) * y * y * series)
    return np.where(np.abs(y) * order < 1e-3, small, large)
