"""Gaussian differential privacy: what one Gaussian release gives away, exactly."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import erfcx, erfinv, ndtr

_ROOT_2 = math.sqrt(2.0)


def log_delta(x: float, mu: float) -> float:
    r"""Logarithm of the delta of a mu-GDP release at epsilon = `x` * `mu`.

    :math:`\delta = \Phi(-a) - e^\epsilon \Phi(-b)` with :math:`a = x - \mu/2`, :math:`b = x +
    \mu/2`. As :math:`\epsilon - b^2/2 = -a^2/2`, both terms share a factor, and what is left has
    no exponent that could overflow: :math:`\Phi(-t) = e^{-t^2/2}\,\mathrm{erfcx}(t/\sqrt 2)/2`.
    """
    a, b = x - mu / 2.0, x + mu / 2.0
    if mu < 1e-5:
        # The two terms agree in most digits: their difference by the derivative at the middle.
        t = x / _ROOT_2
        rest = mu / _ROOT_2 * (1.0 / math.sqrt(math.pi) - t * erfcx(t))
    elif a > 0.0:
        rest = 0.5 * (erfcx(a / _ROOT_2) - erfcx(b / _ROOT_2))
    else:
        return math.log(ndtr(-a) - 0.5 * math.exp(-a * a / 2.0) * erfcx(b / _ROOT_2))
    return -a * a / 2.0 + math.log(rest) if rest > 0.0 else -math.inf


def delta_of_mu(mu: float, epsilon: float) -> float:
    """Delta of a mu-GDP release at an epsilon; both may be 0 or infinite."""
    if mu == 0.0 or math.isinf(epsilon):
        return 0.0
    if math.isinf(mu) or epsilon / mu < mu / 2.0 - 40.0:
        return 1.0
    if epsilon / mu > mu / 2.0 + 100.0:  # below exp(-5000)
        return 0.0
    return min(1.0, math.exp(log_delta(epsilon / mu, mu)))


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Epsilon of a mu-GDP release at a delta from 0 to 1."""
    if mu == 0.0 or delta >= 1.0:
        return 0.0
    if math.isinf(mu) or delta <= 0.0:
        return math.inf
    if delta_of_mu(mu, 0.0) <= delta:
        return 0.0
    target = math.log(delta)
    # Phi(-a) <= exp(-a^2/2)/2, which is below delta at this end.
    low, high = max(0.0, mu / 2.0 - 40.0), mu / 2.0 + math.sqrt(-2.0 * target)
    if log_delta(low, mu) <= target:  # delta is 1 but for rounding
        return mu * low
    if log_delta(high, mu) > target:  # mu is so large that a step of x is all of delta
        return mu * high * (1.0 + 1e-15)
    x = brentq(lambda x: log_delta(x, mu) - target, low, high, xtol=1e-15, rtol=1e-15)
    return float(mu * x)


def mu_of_epsilon(epsilon: float, delta: float) -> float:
    """Return the largest mu whose epsilon at `delta` is at most `epsilon`, less rounding."""
    if math.isinf(epsilon):
        return math.inf
    target = math.log(delta)
    root = math.sqrt(-2.0 * target)
    # Both are safe: the first by the bound above, the second as epsilon 0 asks for more.
    low = max(
        2.0 * epsilon / (math.sqrt(root * root + 2.0 * epsilon) + root),
        2.0 * _ROOT_2 * float(erfinv(delta)),
    )
    high = low
    while log_delta(epsilon / high, high) <= target:
        high *= 2.0
    mu = low
    if high > low:
        mu = brentq(
            lambda mu: log_delta(epsilon / mu, mu) - target, low, high, xtol=1e-300, rtol=1e-15
        )
    # A little less, so that rounding in sums of squares cannot exceed what was asked for.
    step = 1e-12
    while epsilon_of_mu(mu * (1.0 - step), delta) > epsilon:
        step *= 2.0
    return float(mu * (1.0 - step))
