"""Noise for private sums: integers from the entropy of the operating system."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from ecomrec.kernels import noise as kernels
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise.sources import NoiseSource, SeededNoise, SystemNoise

__all__ = [
    "NOISES",
    "NoiseSource",
    "SeededNoise",
    "SystemNoise",
    "discrete_gaussian",
    "discrete_laplace",
    "gumbel",
    "rounded_gaussian",
]

# Values made at a time: what is in flight stays in the cache of a core.
_CHUNK = 1 << 14
# From here on Gaussian noise gets a uniform integer on top, finer than a thousandth of it.
_BLURRED = 2.0**11
# Beyond it a double cannot hold every integer that the noise may be.
MAX_SIGMA = 2.0**50


def rounded_gaussian(n: int, sigma: float, source: NoiseSource) -> np.ndarray:
    r"""Gaussian noise, rounded to integers: ``rint(N(0, sigma**2))``.

    Added to a sum of integers it is what rounding makes of the sum with real Gaussian noise, so it
    is as private as that: :math:`\mu`-GDP with :math:`\mu = \Delta_2 / \sigma`.

    Parameters
    ----------
    n : int
        Number of values.
    sigma : float
        Standard deviation in steps of the integer grid, from 0 (no noise) to 2**50.
    source : SystemNoise or SeededNoise

    Returns
    -------
    ndarray of shape (n,), int64

    Raises
    ------
    ValueError
        If `n` or `sigma` is out of its range.

    Notes
    -----
    A sign, and the inverse distribution function of a uniform number below 1/2 with 53 significant
    bits wherever it lies, down to :math:`2^{-128}`: values reach 13 standard deviations, and none
    beyond, whose probability is :math:`2^{-128}`, ever comes.

    A value is within :math:`2^{-47} \sigma` of the one that exact arithmetic would give. Alone,
    doubles would skip integers from a sigma of about :math:`2^{49}` on, and well before that give
    neighbours unequal chances, which tell a little of the exact sum. So from
    :math:`2^{11}` on, a uniform integer over a range of sigma/2048 to sigma/1024 (at most
    :math:`2^{30}`) is added, independent of all else: it cannot lower privacy, widens the noise
    by less than 1 in :math:`10^7`, and evens the chances out. Up to sigma of :math:`2^{40}`
    every integer then has its probability to :math:`2^{-35}` of itself: `n` values change
    epsilon by at most :math:`n 2^{-34}`, were all against us.

    About 20 million values a second on one core, entropy included; memory beside the result does
    not depend on `n`.

    Examples
    --------
    >>> from ecomrec.privacy import SystemNoise, rounded_gaussian
    >>> noise = rounded_gaussian(100_000, 50.0, SystemNoise())
    >>> noise.dtype, round(float(noise.std()))
    (dtype('int64'), 50)
    """
    from scipy.special import ndtri

    n, sigma = _checked(n, sigma, "sigma")
    drawn = np.zeros(n, dtype=np.int64)
    for start in range(0, n if sigma > 0.0 else 0, _CHUNK):
        size = min(_CHUNK, n - start)
        signs, tail = _tail_uniforms(source.words(size), source)
        sizes = np.rint(sigma * ndtri(tail)).astype(np.int64)
        drawn[start : start + size] = np.where(signs, -sizes, sizes)
        if sigma >= _BLURRED:
            drawn[start : start + size] += _blur(size, sigma, source)
    return drawn


def _tail_uniforms(words: np.ndarray, source: NoiseSource) -> tuple[np.ndarray, np.ndarray]:
    """A sign, and a uniform number below 1/2 to full relative precision, for each word."""
    signs = (words & np.uint64(1)).astype(bool)
    high = words >> np.uint64(1)
    tail = (high.astype(np.float64) + 0.5) * 2.0**-64
    few = np.flatnonzero(high < np.uint64(1 << 53))
    if len(few):
        more = (source.words(len(few)).astype(np.float64) + 0.5) * 2.0**-64
        tail[few] = (high[few].astype(np.float64) + more) * 2.0**-64
    return signs, tail


def blur_width(sigma: float) -> int:
    """Width of the uniform integers that large Gaussian noise gets on top: a power of 2, or 1."""
    return 1 << min(max(math.frexp(sigma)[1] - 11, 0), 30)


def _blur(n: int, sigma: float, source: NoiseSource) -> np.ndarray:
    """Uniform integers over a width, and half of the time one more: symmetric around 0."""
    width = blur_width(sigma)
    halves = source.words((n + 1) // 2).view(np.uint32)[:n].astype(np.int64)
    return (halves & (width - 1)) - width // 2 + (halves >> 31)


def discrete_gaussian(n: int, sigma: float, source: NoiseSource) -> np.ndarray:
    r"""Discrete Gaussian noise: :math:`P(x) \propto e^{-x^2 / (2 \sigma^2)}`, exactly.

    Added to a sum of integers it satisfies :math:`\rho`-zCDP with
    :math:`\rho = \Delta_2^2 / (2 \sigma^2)`.

    Parameters
    ----------
    n : int
        Number of values.
    sigma : float
        From 0 (no noise) to 2**50; any float, taken as the rational number that it is.
    source : SystemNoise or SeededNoise

    Returns
    -------
    ndarray of shape (n,), int64

    Raises
    ------
    ValueError
        If `n` or `sigma` is out of its range.

    Notes
    -----
    Rejection from a discrete Laplace as in the paper, with one coin for all that is rejected. A
    coin of probability :math:`e^{-x}` compares a random word with it in doubles; where the two are
    too near for rounding to be told apart (once in :math:`10^{13}`), the comparison is made in
    exact integers, with more random words where they are needed. So no rounding enters the law.

    About 4 million values a second on one core, entropy included.

    References
    ----------
    Canonne, Kamath and Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020.

    Examples
    --------
    >>> from ecomrec.privacy import SystemNoise, discrete_gaussian
    >>> noise = discrete_gaussian(100_000, 50.0, SystemNoise())
    >>> noise.dtype, round(float(noise.std()))
    (dtype('int64'), 50)
    """
    n, sigma = _checked(n, sigma, "sigma")
    if sigma == 0.0:
        return np.zeros(n, dtype=np.int64)
    period, limits = int(sigma) + 1, _exact.step_limits()
    return _accepted(
        n,
        lambda words, at, out, filled: kernels.gaussian_trials(
            words, at, period, sigma, limits, out, filled
        ),
        lambda three: _exact.gaussian_trial(three, period, sigma, source),
        source,
    )


def discrete_laplace(n: int, scale: float, source: NoiseSource) -> np.ndarray:
    r"""Discrete Laplace noise: integers with :math:`P(x) \propto e^{-|x| / b}`, exactly.

    Added to a sum of integers it is :math:`\Delta_1 / b`-DP, with delta 0.

    Parameters
    ----------
    n : int
        Number of values.
    scale : float
        The b, from 0 (no noise) to 2**50; any float, taken as the rational number that it is.
    source : SystemNoise or SeededNoise

    Returns
    -------
    ndarray of shape (n,), int64

    Raises
    ------
    ValueError
        If `n` or `scale` is out of its range.

    Notes
    -----
    Coins as in `discrete_gaussian`: no rounding enters the law.

    References
    ----------
    Canonne, Kamath and Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020.

    Examples
    --------
    >>> from ecomrec.privacy import SystemNoise, discrete_laplace
    >>> noise = discrete_laplace(100_000, 20.0, SystemNoise())
    >>> noise.dtype, round(float(abs(noise).mean()))
    (dtype('int64'), 20)
    """
    n, scale = _checked(n, scale, "scale")
    if scale == 0.0:
        return np.zeros(n, dtype=np.int64)
    (period, shift), limits = _exact.laplace_grid(scale), _exact.step_limits()
    return _accepted(
        n,
        lambda words, at, out, filled: kernels.laplace_trials(
            words, at, period, min(shift, 63), limits, out, filled
        ),
        lambda three: _exact.laplace_trial(three, period, shift, source),
        source,
    )


def _accepted(
    n: int,
    tried: Callable[[np.ndarray, int, np.ndarray, int], tuple[int, int, bool]],
    exactly: Callable[[np.ndarray], int | None],
    source: NoiseSource,
) -> np.ndarray:
    """The first n values that trials accept; what doubles do not decide is decided exactly."""
    out, filled = np.empty(n, dtype=np.int64), 0
    while filled < n:
        n_trials = min(_CHUNK, 2 * (n - filled) + 16)
        words, at = source.words(kernels.WORDS_PER_TRIAL * n_trials), 0
        while at < n_trials and filled < n:
            at, filled, undecided = tried(words, at, out, filled)
            if undecided:
                value = exactly(words[3 * at : 3 * at + 3])
                if value is not None:
                    out[filled] = value
                    filled += 1
                at += 1
    return out


def gumbel(n: int, scale: float, source: NoiseSource) -> np.ndarray:
    r"""Gumbel noise: :math:`-b \ln(-\ln U)`, both tails to full relative precision.

    The place of the largest of some values with this noise is chosen with probability
    proportional to :math:`e^{\text{value} / b}`. The noisy values themselves are doubles and must
    not be shown.

    Parameters
    ----------
    n : int
        Number of values.
    scale : float
        The b, from 0 (no noise) to 2**50.
    source : SystemNoise or SeededNoise

    Returns
    -------
    ndarray of shape (n,), float64

    Raises
    ------
    ValueError
        If `n` or `scale` is out of its range.

    Examples
    --------
    >>> from ecomrec.privacy import SystemNoise, gumbel
    >>> noise = gumbel(100_000, 2.0, SystemNoise())
    >>> noise.dtype, bool(1.1 < noise.mean() < 1.2)  # 2 times Euler's constant: 1.154
    (dtype('float64'), True)
    """
    n, scale = _checked(n, scale, "scale")
    drawn = np.zeros(n)
    for start in range(0, n if scale > 0.0 else 0, _CHUNK):
        size = min(_CHUNK, n - start)
        signs, tail = _tail_uniforms(source.words(size), source)
        waits = np.where(signs, -np.log(tail), -np.log1p(-tail))
        drawn[start : start + size] = -scale * np.log(waits)
    return drawn


def _checked(n: Any, value: Any, name: str) -> tuple[int, float]:
    if not isinstance(n, numbers.Integral) or isinstance(n, bool) or n < 0:
        raise ValueError(f"n must be an integer of at least 0; got {n!r}.")
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value <= MAX_SIGMA or math.isnan(value):
        raise ValueError(f"{name} must be a number from 0 to 2**50; got {value!r}.")
    return int(n), float(value)


#: Gaussian noises by the name that models take.
NOISES: dict[str, Callable[[int, float, NoiseSource], np.ndarray]] = {
    "rounded_gaussian": rounded_gaussian,
    "discrete_gaussian": discrete_gaussian,
}
