"""Exact discrete noise from random words, as far as doubles can decide.

A trial takes three words: a sign and a remainder, the coin that accepts, and a number of whole
steps. Where a word lies so close to its limit that rounding might matter, the kernel stops at
that trial and leaves it to exact arithmetic.
"""

import math

import numpy as np

from ecomrec.kernels._jit import jit

WORDS_PER_TRIAL = 3
# What is compared with a word is right to 2**15 of 2**64, whatever the arguments.
DOUBT = 2.0**18


@jit
def _whole_steps(word, limits):
    """Number of limits above a word, or -1 if that is not decided."""
    steps = 0
    while steps < len(limits) and word < limits[steps]:
        steps += 1
    return -1 if steps == len(limits) or word == limits[steps] else steps


@jit
def _coin(word, exponent, doubt):
    """1 with probability exp(-exponent), else 0; -1 if that is not decided."""
    limit = math.exp(-exponent) * 18446744073709551616.0
    at = np.float64(word)
    if at < limit - doubt:
        return 1
    return -1 if at <= limit + doubt else 0


@jit
def _gaussian_trials(words, first, period, last, sigma, limits, doubt, out, filled):
    centre = sigma * (sigma / period)
    for trial in range(first, len(words) // 3):
        if filled == len(out):
            return trial, filled, False
        signed = words[3 * trial]
        remainder = np.int64(signed >> np.uint64(1))
        if remainder > last:
            continue
        remainder %= period
        steps = _whole_steps(words[3 * trial + 2], limits)
        if steps < 0:
            return trial, filled, True
        size = remainder + period * steps
        negative = (signed & np.uint64(1)) == np.uint64(1)
        if negative and size == 0:
            continue
        off = (size - centre) / sigma
        accepted = _coin(words[3 * trial + 1], remainder / period + 0.5 * off * off, doubt)
        if accepted < 0:
            return trial, filled, True
        if accepted:
            out[filled] = -size if negative else size
            filled += 1
    return len(words) // 3, filled, False


@jit
def _laplace_trials(words, first, period, last, shift, limits, doubt, out, filled):
    for trial in range(first, len(words) // 3):
        if filled == len(out):
            return trial, filled, False
        signed = words[3 * trial]
        remainder = np.int64(signed >> np.uint64(1))
        if remainder > last:
            continue
        remainder %= period
        accepted = _coin(words[3 * trial + 1], remainder / period, doubt)
        if accepted < 0:
            return trial, filled, True
        if not accepted:
            continue
        steps = _whole_steps(words[3 * trial + 2], limits)
        if steps < 0:
            return trial, filled, True
        size = (remainder + period * steps) >> shift
        negative = (signed & np.uint64(1)) == np.uint64(1)
        if negative and size == 0:
            continue
        out[filled] = -size if negative else size
        filled += 1
    return len(words) // 3, filled, False


def gaussian_trials(words, first, period, sigma, limits, out, filled, doubt=DOUBT):
    r"""Try words for a discrete Gaussian, from a trial on, until one is not decided.

    The trial proposes :math:`y = \pm (u + t v)` with u uniform below the period t and v whole
    steps of probability :math:`(1 - 1/e) e^{-v}`, and keeps it with probability
    :math:`\exp(-u/t - (|y| - \sigma^2/t)^2 / (2 \sigma^2))`; of the two zeros one is dropped.

    Parameters
    ----------
    words : ndarray of shape (3 * n_trials,), uint64
    first : int
        Trial to begin with.
    period : int
        The t.
    sigma : float
    limits : ndarray of shape (n_limits,), uint64
        The integer parts of ``2**64 * exp(-v)`` for v = 1, 2, ...
    out : ndarray, int64
        Gets what is accepted, from place `filled` on.
    filled : int
    doubt : float
        How near to its limit a word is left to exact arithmetic.

    Returns
    -------
    trial, filled : int
        The trial to go on with, and how much of `out` is filled.
    undecided : bool
        That trial is for exact arithmetic.
    """
    _check(words, limits, out)
    return _gaussian_trials(
        words, int(first), int(period), last_fair(period), float(sigma), limits, float(doubt),
        out, int(filled),
    )  # fmt: skip


def laplace_trials(words, first, period, shift, limits, out, filled, doubt=DOUBT):
    r"""Try words for a discrete Laplace of scale ``period / 2**shift``, as `gaussian_trials`.

    The trial proposes :math:`\pm \lfloor (u + t v) / 2^s \rfloor`, and keeps it with
    probability :math:`\exp(-u/t)`.

    Parameters
    ----------
    words : ndarray of shape (3 * n_trials,), uint64
    first, period : int
    shift : int
        The s, from 0 to 63.
    limits : ndarray of shape (n_limits,), uint64
    out : ndarray, int64
    filled : int
    doubt : float

    Returns
    -------
    trial, filled : int
    undecided : bool
    """
    _check(words, limits, out)
    return _laplace_trials(
        words, int(first), int(period), last_fair(period), int(shift), limits, float(doubt),
        out, int(filled),
    )  # fmt: skip


def last_fair(period):
    """Largest number of 63 bits below which all remainders are equally frequent."""
    return 2**63 // period * period - 1


def _check(words, limits, out):
    if words.dtype != np.uint64 or limits.dtype != np.uint64 or out.dtype != np.int64:
        raise TypeError("words and limits must be uint64, out int64.")
    if len(words) % WORDS_PER_TRIAL:
        raise ValueError(f"words must come in threes; got {len(words)}.")
