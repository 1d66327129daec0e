"""Slow twins of the samplers of private noise: one word at a time, in long decimals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction
from typing import Protocol

import numpy as np
from scipy.special import ndtri

# Digits, and the largest number of values of which noise is made at a time.
_LONG = Context(prec=60)
_CHUNK = 1 << 14


class Words(Protocol):
    """What gives random words."""

    def words(self, n: int) -> np.ndarray:
        """Return n words."""
        ...


def _is_below_exp(word: int, exponent: Fraction) -> bool:
    """Whether ``word / 2**64`` is below ``exp(-exponent)``; a tie needs words beyond the first."""
    power = _LONG.divide(Decimal(-exponent.numerator), Decimal(exponent.denominator))
    limit = _LONG.multiply(_LONG.exp(power), Decimal(2**64))
    if exponent and word == int(limit):
        raise AssertionError("this word does not decide")
    return word < limit


def _trials(words: Iterator[int], period: int) -> Iterator[tuple[bool, int, int, int]]:
    """Sign, remainder, coin and size of each three words whose remainder is fair."""
    for signed, coin, steps in zip(words, words, words, strict=True):
        high = signed // 2
        if high >= 2**63 - 2**63 % period:
            continue
        whole = 0
        while _is_below_exp(steps, Fraction(whole + 1)):
            whole += 1
        yield bool(signed % 2), high % period, coin, high % period + period * whole


def discrete_gaussian_twin(words: np.ndarray, sigma: float) -> list[int]:
    """Values that words are accepted as, by the paper's formulas in exact fractions."""
    period, variance = math.floor(sigma) + 1, Fraction(sigma) * Fraction(sigma)
    values = []
    for negative, remainder, coin, size in _trials(iter(words.tolist()), period):
        exponent = Fraction(remainder, period)
        exponent += (size - variance / period) ** 2 / (2 * variance)
        if not (negative and size == 0) and _is_below_exp(coin, exponent):
            values.append(-size if negative else size)
    return values


def discrete_laplace_twin(words: np.ndarray, scale: float) -> list[int]:
    """Values that words are accepted as: floor(x / s) of a scale that is the fraction t/s."""
    period, divisor = Fraction(scale).numerator, Fraction(scale).denominator
    values = []
    for negative, remainder, coin, size in _trials(iter(words.tolist()), period):
        value = size // divisor
        if not (negative and value == 0) and _is_below_exp(coin, Fraction(remainder, period)):
            values.append(-value if negative else value)
    return values


def rounded_gaussian_twin(n: int, sigma: float, source: Words) -> list[int]:
    """Quantiles of a sign and a uniform number below 1/2, rounded, each by itself."""
    values: list[int] = []
    for start in range(0, n, _CHUNK):
        size = min(_CHUNK, n - start)
        pairs = _tails(size, source)
        part = [(1 if s else -1) * round(-sigma * float(ndtri(t))) for s, t in pairs]
        width = min(2 ** max(math.floor(math.log2(sigma)) - 10, 0), 2**30) if sigma else 1
        if width > 1:
            drawn = source.words(-(-size // 2)).tolist()
            halves = [half for word in drawn for half in (word % 2**32, word >> 32)]
            extra = [h % width - width // 2 + h // 2**31 for h in halves[:size]]
            part = [value + more for value, more in zip(part, extra, strict=True)]
        values += part
    return values


def gumbel_twin(n: int, scale: float, source: Words) -> list[float]:
    """Quantiles of Gumbel's law by the same sign and tail, in long decimals."""
    values: list[float] = []
    for start in range(0, n, _CHUNK):
        for sign, tail in _tails(min(_CHUNK, n - start), source):
            uniform = Decimal(tail) if sign else _LONG.subtract(Decimal(1), Decimal(tail))
            wait = _LONG.minus(_LONG.ln(uniform))
            values.append(-scale * float(_LONG.ln(wait)))
    return values


def _tails(n: int, source: Words) -> list[tuple[bool, float]]:
    words = source.words(n).tolist()
    few = [word for word in words if word // 2 < 2**53]
    more = iter(source.words(len(few)).tolist() if few else [])
    pairs = []
    for word in words:
        high = word // 2
        if high < 2**53:
            tail = (high + (float(next(more)) + 0.5) / 2**64) / 2**64
        else:
            tail = (float(high) + 0.5) / 2**64
        pairs.append((word % 2 == 1, tail))
    return pairs
