"""RAPPOR: the same noisy answer for the same value, for ever, and fresh noise on each report."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.privacy.local._protocol import WORD, Protocol, below, bit_sums, blocks, lie_limit
from ecomrec.privacy.noise.samplers import NoiseSource, SystemNoise

# Shorter keys can be guessed.
_KEY_BYTES = 32


@dataclass(frozen=True)
class RAPPOR(Protocol):
    r"""Reports on a value that is asked for again and again: at most epsilon in all.

    One bit for each value of the domain, that of the true one set. Each bit is turned over with
    probability :math:`f/2`, by a keyed function of the user's secret and the value: it comes out
    the same whenever the same user reports the same value. A report sets each bit anew with
    probability q where this permanent bit is set, and p where it is not.

    .. math:: \epsilon_\infty = 2 \ln \frac{1 - f/2}{f/2}

    Parameters
    ----------
    domain : list of ids
        All k values that there can be; public.
    epsilon : float
        The :math:`\epsilon_\infty`: what any number of reports on one value cost. Another value of
        the same user costs as much again.
    p, q : float
        How often a bit is reported as set where the permanent one is not, and where it is;
        ``0 <= p < q <= 1``. Closer to each other, a single report costs less and tells less.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the domain is too short or repeats itself.

    Notes
    -----
    The basic form, without Bloom filters: one bit is one value. The permanent bits are SHAKE-256
    of the secret and the value, compared with a limit of 64 bits that is rounded to the safe side.
    Whoever has the secret can undo them; it stays on the device. To everyone else they are random
    as far as SHAKE-256 cannot be told from it.

    References
    ----------
    Erlingsson, Pihur and Korolova, "RAPPOR: randomized aggregatable privacy-preserving ordinal
    response", CCS 2014.

    Examples
    --------
    >>> import secrets
    >>> from ecomrec.privacy import RAPPOR
    >>> protocol = RAPPOR(["small", "medium", "large"], epsilon=4.0)
    >>> round(protocol.report_epsilon, 2)
    0.83
    >>> secret = secrets.token_bytes(32)  # made once, kept on the device
    >>> report = protocol.privatize(["medium"], [secret])
    >>> report.shape, report.dtype
    ((1, 3), dtype('bool'))
    """

    p: float = 0.5
    q: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.p < self.q <= 1:
            raise ValueError(
                f"RAPPOR: p and q must satisfy 0 <= p < q <= 1; got {self.p!r} and {self.q!r}."
            )

    @property
    def report_epsilon(self) -> float:
        """What a single report costs; infinite for ``p=0, q=1``, where `epsilon` is the bound.

        Returns
        -------
        float
        """
        q, p = self.rates()
        if p == 0 or q == 1:
            return self.epsilon
        return min(self.epsilon, math.log(q * (1 - p) / (p * (1 - q))))

    def rates(self) -> tuple[Fraction, Fraction]:
        """Return how often the bit of the true value is set, and that of any other one: exactly.

        Returns
        -------
        p, q : Fraction
        """
        turned = Fraction(self._limit, WORD)
        zero, one = (Fraction(limit, WORD) for limit in self._report_limits)
        return (1 - turned) * one + turned * zero, (1 - turned) * zero + turned * one

    @computed_once
    def _limit(self) -> int:
        return lie_limit(Fraction(self.epsilon) / 2)

    @property
    def _report_limits(self) -> tuple[int, int]:
        return int(self.p * WORD), int(self.q * WORD)

    def privatize(
        self, values: Any, secrets: Sequence[bytes], source: NoiseSource | None = None
    ) -> np.ndarray:
        """Return one report for each value: bits in the order of the domain.

        Parameters
        ----------
        values : list of ids
            Each from the domain.
        secrets : list of bytes
            The secret of each value's user: 32 random bytes or more, made once and never sent.
        source : SystemNoise, SeededNoise or None
            Of the noise on top; None: the operating system.

        Returns
        -------
        ndarray of shape (n_values, n_domain), bool

        Raises
        ------
        UnknownIdError
            If a value is not in the domain.
        ValueError
            If there is not one secret for each value, or one is too short.
        """
        rows, source = self._rows(values), source or SystemNoise()
        if isinstance(secrets, bytes) or len(secrets) != len(rows):
            raise ValueError(f"secrets must be a list of one for each of {len(rows)} values.")
        bits = np.empty((len(rows), len(self.domain)), dtype=bool)
        zero, one = self._report_limits
        for part in blocks(bits):
            words = source.words(bits[part].size).reshape(bits[part].shape)
            pairs = zip(rows[part].tolist(), secrets[part], strict=True)
            kept = np.array([self._permanent(row, secret) for row, secret in pairs], dtype=bool)
            bits[part] = np.where(kept, below(words, one), below(words, zero))
        return bits

    def _permanent(self, row: int, secret: bytes) -> np.ndarray:
        """The bits that one user has for one value, always."""
        if not isinstance(secret, bytes) or len(secret) < _KEY_BYTES:
            raise ValueError(f"secrets must be bytes of length {_KEY_BYTES} or more.")
        # The length in front: no secret followed by a value is another secret and value.
        text = repr(self._values.ids[row : row + 1].tolist()).encode()
        stream = hashlib.shake_256(b"ecomrec RAPPOR %d " % len(secret) + secret + text)
        words = np.frombuffer(stream.digest(8 * len(self.domain)), dtype="<u8")
        bits = below(words, self._limit)
        bits[row] = not bits[row]
        return bits

    def _support(self, reports: Any) -> tuple[np.ndarray, int]:
        return bit_sums(reports, len(self.domain))
