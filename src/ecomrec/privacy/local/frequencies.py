"""Local privacy: what leaves the user's device is noisy already, and sums are still right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.privacy.local._protocol import (
    WORD,
    Protocol,
    below,
    bit_sums,
    blocks,
    check_max_events,
    lie_limit,
    noise_source,
)
from ecomrec.privacy.local.rappor import RAPPOR
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise.samplers import NoiseSource

__all__ = [
    "RAPPOR",
    "GeneralizedRandomizedResponse",
    "OptimizedLocalHashing",
    "OptimizedUnaryEncoding",
    "one_event",
]

# Hashes are a v + b modulo this prime: independent for any two values of the domain.
_PRIME = 2**31 - 1
# More buckets than this gain nothing.
_MOST_BUCKETS = 1 << 20


class GeneralizedRandomizedResponse(Protocol):
    r"""The true value with probability p, else another one: for few values (k-RR).

    .. math:: p = \frac{e^\epsilon}{e^\epsilon + k - 1}, \qquad
              q = \frac{1}{e^\epsilon + k - 1}

    Parameters
    ----------
    domain : list of ids
        All k values that there can be; public.
    epsilon : float
        What one report costs.

    Raises
    ------
    ValueError
        If `epsilon` is not positive and finite or too small for words of 64 bits, or the domain
        is too short, repeats itself or is a set.

    Notes
    -----
    The variance of a rare value's count is :math:`n (k - 2 + e^\epsilon) / (e^\epsilon - 1)^2`:
    least of all protocols for :math:`k < 3 e^\epsilon + 2`. Probabilities are fractions of
    :math:`2^{64}`, rounded so that their ratio is at most :math:`e^\epsilon`, exactly.

    References
    ----------
    Kairouz, Bonawitz and Ramage, "Discrete distribution estimation under local privacy", ICML
    2016.

    Examples
    --------
    >>> from ecomrec.privacy import GeneralizedRandomizedResponse
    >>> protocol = GeneralizedRandomizedResponse(["card", "invoice", "cash"], epsilon=2.0)
    >>> reports = protocol.privatize(["card"] * 9000 + ["cash"] * 1000)
    >>> found = protocol.estimate(reports)
    >>> list(found.columns), found["value"].tolist()
    (['value', 'count', 'standard_error'], ['card', 'invoice', 'cash'])
    >>> bool(abs(found["count"][0] - 9000) < 6 * found["standard_error"][0])
    True
    """

    def rates(self) -> tuple[Fraction, Fraction]:
        """Return how often a report is the true value, and any other one: exactly.

        Returns
        -------
        p, q : Fraction
        """
        p = Fraction(self._limit, WORD)
        return p, (1 - p) / (len(self.domain) - 1)

    @computed_once
    def _limit(self) -> int:
        return _truth_limit(self.epsilon, len(self.domain))

    def privatize(self, values: Any, source: NoiseSource | None = None) -> list[Any]:
        """Return one report for each value: a value of the domain.

        Parameters
        ----------
        values : list of ids
            Each from the domain.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        list of ids

        Raises
        ------
        UnknownIdError
            If a value is not in the domain.
        TypeError
            If `source` is none.
        """
        rows = self._rows(values)
        said = _respond(rows, len(self.domain), self._limit, noise_source(source))
        return [self.domain[row] for row in said]

    def _support(self, reports: Any) -> tuple[np.ndarray, int]:
        rows = self._rows(reports)
        return np.bincount(rows, minlength=len(self.domain)), len(rows)


class OptimizedUnaryEncoding(Protocol):
    r"""One bit for each value of the domain, all of them noisy: for many values (OUE).

    The bit of the true value is set with probability :math:`p = 1/2`, any other one with
    :math:`q = 1 / (e^\epsilon + 1)`.

    Parameters
    ----------
    domain : list of ids
        All k values that there can be; public.
    epsilon : float
        What one report costs.

    Raises
    ------
    ValueError
        If `epsilon` is not positive and finite or too small for words of 64 bits, or the domain
        is too short, repeats itself or is a set.

    Notes
    -----
    The variance of a rare value's count is :math:`4 n e^\epsilon / (e^\epsilon - 1)^2`, whatever
    k is. Probabilities are fractions of :math:`2^{64}`, rounded so that no two values are told
    apart better than :math:`e^\epsilon`, exactly. `privatize` draws 8 k bytes for each report.

    References
    ----------
    Wang, Blocki, Li and Jha, "Locally differentially private protocols for frequency estimation",
    USENIX Security 2017.

    Examples
    --------
    >>> from ecomrec.privacy import OptimizedUnaryEncoding
    >>> protocol = OptimizedUnaryEncoding(range(100), epsilon=1.0)
    >>> protocol.privatize([3, 7]).shape
    (2, 100)
    >>> round(protocol.standard_deviation(100_000))
    607
    """

    def rates(self) -> tuple[Fraction, Fraction]:
        """Return how often the bit of the true value is set, and that of any other one: exactly.

        Returns
        -------
        p, q : Fraction
        """
        return Fraction(1, 2), Fraction(self._limit, WORD)

    @computed_once
    def _limit(self) -> int:
        return lie_limit(Fraction(self.epsilon))

    def privatize(self, values: Any, source: NoiseSource | None = None) -> np.ndarray:
        """Return one report for each value: bits in the order of the domain.

        Parameters
        ----------
        values : list of ids
            Each from the domain.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        ndarray of shape (n_values, n_domain), bool

        Raises
        ------
        UnknownIdError
            If a value is not in the domain.
        TypeError
            If `source` is none.
        """
        rows, source = self._rows(values), noise_source(source)
        bits = np.empty((len(rows), len(self.domain)), dtype=bool)
        for part in blocks(bits):
            words = source.words(bits[part].size).reshape(bits[part].shape)
            own = np.arange(len(words)), rows[part]
            bits[part] = below(words, self._limit)
            bits[part][own] = below(words[own], WORD // 2)
        return bits

    def _support(self, reports: Any) -> tuple[np.ndarray, int]:
        return bit_sums(reports, len(self.domain))


class OptimizedLocalHashing(Protocol):
    r"""A noisy hash of the value: short reports for many values (OLH).

    Each report draws a function onto :math:`g = e^\epsilon + 1` buckets and says the bucket of its
    value with probability :math:`p = e^\epsilon / (e^\epsilon + g - 1)`, else another bucket. A
    report supports all values that its function sends to the bucket.

    Parameters
    ----------
    domain : list of ids
        All k values that there can be; public.
    epsilon : float
        What one report costs.

    Raises
    ------
    ValueError
        If `epsilon` is not positive and finite or too small for words of 64 bits, or the domain
        is too short, repeats itself or is a set.

    Notes
    -----
    As precise as `OptimizedUnaryEncoding` with two numbers for a report; `estimate` takes time
    for n k hashes. Functions are :math:`((a v + b) \bmod (2^{31} - 1)) \bmod g` with random a
    and b, whose chance to send two values to one bucket is known exactly, so the estimate has no
    bias.

    References
    ----------
    Wang, Blocki, Li and Jha, "Locally differentially private protocols for frequency estimation",
    USENIX Security 2017.

    Examples
    --------
    >>> from ecomrec.privacy import OptimizedLocalHashing
    >>> protocol = OptimizedLocalHashing(range(1000), epsilon=1.0)
    >>> protocol.n_buckets, protocol.privatize([3, 7]).shape
    (4, (2, 2))
    """

    @property
    def n_buckets(self) -> int:
        """Number of buckets of each hash function.

        Returns
        -------
        int
        """
        # What is left of p at most at 2**20 buckets is nothing: no exponential of large numbers.
        return min(round(math.exp(min(self.epsilon, 20.0))) + 1, _MOST_BUCKETS)

    def rates(self) -> tuple[Fraction, Fraction]:
        """Return how often a report supports its true value, and any other one: exactly.

        Returns
        -------
        p, q : Fraction
        """
        p = Fraction(self._limit, WORD)
        other, g = (1 - p) / (self.n_buckets - 1), self.n_buckets
        share, larger = divmod(_PRIME, g)
        same = Fraction(larger * (share + 1) ** 2 + (g - larger) * share**2, _PRIME**2)
        return p, other + (p - other) * same

    @computed_once
    def _limit(self) -> int:
        return _truth_limit(self.epsilon, self.n_buckets)

    def privatize(self, values: Any, source: NoiseSource | None = None) -> np.ndarray:
        """Return one report for each value: a hash function and a bucket.

        Parameters
        ----------
        values : list of ids
            Each from the domain.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        ndarray of shape (n_values, 2), int64

        Raises
        ------
        UnknownIdError
            If a value is not in the domain.
        TypeError
            If `source` is none.
        """
        rows, source = self._rows(values), noise_source(source)
        first, second = (_exact.fair_remainders(len(rows), _PRIME, source) for _ in range(2))
        buckets = _buckets(first, second, rows, self.n_buckets)
        said = _respond(buckets, self.n_buckets, self._limit, source)
        return np.column_stack(((first << 31) | second, said))

    def _support(self, reports: Any) -> tuple[np.ndarray, int]:
        made = np.asarray(reports)
        if made.ndim != 2 or made.shape[1] != 2 or made.dtype.kind not in "iu":
            raise ValueError(f"reports must be integers of shape (n, 2); got {made.shape}.")
        made = made.astype(np.int64)
        first, second, said = made[:, 0] >> 31, made[:, 0] & (2**31 - 1), made[:, 1]
        parts = (first, second), (said,)
        tops = _PRIME, self.n_buckets
        for of, top in zip(parts, tops, strict=True):
            if any(((part < 0) | (part >= top)).any() for part in of):
                raise ValueError("reports hold numbers that this protocol never makes.")
        values = np.arange(len(self.domain))
        support = np.zeros(len(values), dtype=np.int64)
        for part in blocks(np.broadcast_to(values, (len(made), len(values)))):
            hashed = _buckets(first[part, None], second[part, None], values, self.n_buckets)
            support += (hashed == said[part, None]).sum(axis=0)
        return support, len(made)


def one_event(
    histories: Iterable[Sequence[Any]],
    max_events: int,
    *,
    empty: Any,
    source: NoiseSource | None = None,
) -> list[Any]:
    """Draw one event of each user, so that one report at full epsilon covers the whole history.

    One of `max_events` places is drawn evenly; a place beyond the history is `empty`, which must
    be in the domain, as a report must come all the same. Of a longer history any event is as
    likely as another. ``estimate(reports, max_events=...)`` then counts events.

    Parameters
    ----------
    histories : iterable of lists
        The events of each user.
    max_events : int
        Public bound on the number of events that count for one user.
    empty : id
        What stands for no event.
    source : SystemNoise, SeededNoise or None
        None: the operating system.

    Returns
    -------
    list
        A value for each user.

    Raises
    ------
    ValueError
        If `max_events` is not a positive integer below 2**63.
    TypeError
        If a history is a text or a number and not a list.

    Examples
    --------
    >>> from ecomrec.privacy import one_event
    >>> one_event([["shoes", "shoes"], ["hats", "hats"]], max_events=2, empty="none")
    ['shoes', 'hats']
    """
    check_max_events(max_events)
    source = noise_source(source)
    drawn = []
    for history in histories:
        if isinstance(history, (str, bytes)) or not isinstance(history, Iterable):
            raise TypeError(
                "histories must be lists of events, one for each user; got a "
                f"{type(history).__name__} among them."
            )
        events = list(history)
        place = int(_exact.fair_remainders(1, max(int(max_events), len(events)), source)[0])
        drawn.append(events[place] if place < len(events) else empty)
    return drawn


def _truth_limit(epsilon: float, k: int) -> int:
    """The most of 2**64 words that may say the truth among k options: not above e**epsilon."""
    _, high = _exact.exp_bounds(Fraction(epsilon), 256)
    return (WORD << 256) // ((1 << 256) + (k - 1) * high)


def _respond(rows: np.ndarray, k: int, limit: int, source: NoiseSource) -> np.ndarray:
    """The true row where a word is below the limit, else any other one of k, evenly."""
    honest = below(source.words(len(rows)), limit)
    other = _exact.fair_remainders(len(rows), k - 1, source)
    return np.where(honest, rows, other + (other >= rows))


def _buckets(first: np.ndarray, second: np.ndarray, rows: np.ndarray, g: int) -> np.ndarray:
    hashed: np.ndarray = (first * rows + second) % _PRIME % g
    return hashed
