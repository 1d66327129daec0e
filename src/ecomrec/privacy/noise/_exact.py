"""Decisions of random words in exact arithmetic: coins of probability exp(-x), fair remainders."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np

from ecomrec.kernels.noise import DOUBT, last_fair
from ecomrec.privacy.noise.sources import NoiseSource

# Bits by which sums are more precise than what is asked of them.
_GUARD = 64


def exp_bounds(x: Fraction, bits: int) -> tuple[int, int]:
    """Two integers around ``2**bits * exp(-x)``, x >= 0, that differ by at most 2.

    The series of the fraction of x, and a power of 1/e for the rest, in integers.
    """
    one = 1 << (bits + _GUARD)
    whole = x.numerator // x.denominator
    if whole > bits + 1:  # below 2**-bits already, as e > 2
        return 0, 1
    part = _series(x - whole, one)
    for _ in range(whole):
        part = part * _series(Fraction(1), one) // one
    # Each term and product is cut by less than one unit, and there are far fewer than 2**32.
    slack = 1 << (_GUARD // 2)
    return (part - slack) >> _GUARD, ((part + slack) >> _GUARD) + 1


def _series(x: Fraction, one: int) -> int:
    """``one * exp(-x)`` for x from 0 to 1, within a unit for each term."""
    total, term, n = one, one, 0
    while term:
        n += 1
        term = term * x.numerator // (x.denominator * n)
        total += term if n % 2 == 0 else -term
    return total


class Uniform:
    """A uniform number between 0 and 1 of which only as many bits are drawn as are asked for."""

    def __init__(self, word: int, source: NoiseSource) -> None:
        self._bits = word
        self._n = 64
        self._source = source

    def below_exp(self, x: Fraction) -> bool:
        """Whether it is below exp(-x), x >= 0."""
        if x == 0:
            return True
        while True:
            low, high = exp_bounds(x, self._n)
            if self._bits + 1 <= low:
                return True
            if self._bits >= high:
                return False
            self._bits = (self._bits << 64) | int(self._source.words(1)[0])
            self._n += 64

    def whole_steps(self) -> int:
        """The number of v >= 1 with exp(-v) above it."""
        steps = 0
        while self.below_exp(Fraction(steps + 1)):
            steps += 1
        return steps


@cache
def step_limits() -> np.ndarray:
    """The integer parts of ``2**64 * exp(-v)`` for v = 1, 2, ..., while they are positive."""
    limits = [exp_bounds(Fraction(v), 128)[0] >> 64 for v in range(1, 45)]
    return np.array(limits, dtype=np.uint64)


def gaussian_trial(
    words: np.ndarray, period: int, sigma: float, source: NoiseSource
) -> int | None:
    """What `kernels.noise.gaussian_trials` would make of three words; None: not accepted."""
    signed, coin, steps = (int(word) for word in words)
    if signed >> 1 > last_fair(period):
        return None
    remainder = (signed >> 1) % period
    size = remainder + period * Uniform(steps, source).whole_steps()
    if signed & 1 and size == 0:
        return None
    variance = Fraction(sigma) ** 2
    exponent = Fraction(remainder, period) + (size - variance / period) ** 2 / (2 * variance)
    if not Uniform(coin, source).below_exp(exponent):
        return None
    return -size if signed & 1 else size


def laplace_trial(words: np.ndarray, period: int, shift: int, source: NoiseSource) -> int | None:
    """What `kernels.noise.laplace_trials` would make of three words; None: not accepted."""
    signed, coin, steps = (int(word) for word in words)
    if signed >> 1 > last_fair(period):
        return None
    remainder = (signed >> 1) % period
    if not Uniform(coin, source).below_exp(Fraction(remainder, period)):
        return None
    size = (remainder + period * Uniform(steps, source).whole_steps()) >> shift
    if signed & 1 and size == 0:
        return None
    return -size if signed & 1 else size


def fair_remainders(n: int, period: int, source: NoiseSource) -> np.ndarray:
    """Uniform integers from 0 to period - 1: int64, without any bias."""
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < n:
        words = (source.words(n - len(drawn)) >> np.uint64(1)).astype(np.int64)
        fair = words[words <= last_fair(period)] % period
        drawn = np.concatenate((drawn, fair))
    return drawn


def laplace_grid(scale: float) -> tuple[int, int]:
    """A float as ``period / 2**shift`` with the smallest integers; exact for every float."""
    numerator, denominator = float(scale).as_integer_ratio()
    return numerator, denominator.bit_length() - 1


def coins(exponents: np.ndarray, scale: float, source: NoiseSource) -> np.ndarray:
    """Whether each coin of probability ``exp(-exponent / scale)`` falls; exponents >= 0."""
    words = source.words(len(exponents))
    limits = np.exp(-exponents.astype(np.float64) / scale) * 2.0**64
    off = words.astype(np.float64) - limits
    fallen = off < 0.0
    for at in np.flatnonzero(np.abs(off) <= DOUBT):
        exponent = Fraction(int(exponents[at])) / Fraction(scale)
        fallen[at] = Uniform(int(words[at]), source).below_exp(exponent)
    return fallen


def at_least(value: Fraction) -> float:
    """The smallest float that is not below a fraction."""
    near = float(value)
    return near if Fraction(near) >= value else math.nextafter(near, math.inf)
