"""RAPPOR: the same noisy answer for the same value, for ever, and fresh noise on each report."""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.privacy._id_bytes import id_bytes
from ecomrec.privacy.local._protocol import (
    WORD,
    Protocol,
    below,
    bit_sums,
    blocks,
    lie_limit,
    noise_source,
)
from ecomrec.privacy.noise.samplers import NoiseSource
from ecomrec.privacy.storage._wrapping import check_key

_PERSON = b"ecomrec RAPPOR 1"


@dataclass(frozen=True)
class RAPPOR(Protocol):
    r"""Reports on a value that is asked for again and again: at most epsilon in all.

    One bit for each value of the domain, that of the true one set. Each bit is turned over with
    probability :math:`f/2`, by a keyed function of the user's secret, the question, f, the true
    value and the value of the bit: it comes out the same whenever the same user answers the same
    question with the same value, in whatever order the domain is, and whatever is added to it. A
    report sets each bit anew with probability q where this permanent bit is set, and p where it is
    not.

    .. math:: \epsilon_\infty = 2 \ln \frac{1 - f/2}{f/2}

    Parameters
    ----------
    domain : list of ids
        All k values that there can be; public.
    epsilon : float
        The :math:`\epsilon_\infty`: what any number of reports on one value cost. Another value of
        the same user costs as much again, and so does the same value under another question or
        another epsilon: these add up.
    question : str
        A name for what is asked, such as "shoe size". Give every question a name of its own, and
        keep it: two questions of one name and one secret have the same noise, and who sees the
        answers to both finds where they differ.
    p, q : float
        How often a bit is reported as set where the permanent one is not, and where it is;
        ``0 <= p < q <= 1``. Closer to each other, a single report costs less and tells less.

    Raises
    ------
    ValueError
        If a parameter is out of its range, epsilon is too small for words of 64 bits, or the
        domain is too short, repeats itself or is a set.

    Notes
    -----
    The basic form, without Bloom filters: one bit is one value. The permanent bits are keyed
    BLAKE2b, with the secret as its key, compared with a limit of 64 bits that is rounded to the
    safe side; `privatize` takes one hash for each report and value of the domain. Whoever has the
    secret can undo them; it stays on the device. To everyone else they are random as far as
    BLAKE2b cannot be told from it.

    References
    ----------
    Erlingsson, Pihur and Korolova, "RAPPOR: randomized aggregatable privacy-preserving ordinal
    response", CCS 2014.

    Examples
    --------
    >>> import secrets
    >>> from ecomrec.privacy import RAPPOR
    >>> protocol = RAPPOR(["small", "medium", "large"], epsilon=4.0, question="shirt size")
    >>> round(protocol.report_epsilon, 2)
    0.83
    >>> secret = secrets.token_bytes(32)  # made once, kept on the device
    >>> report = protocol.privatize(["medium"], [secret])
    >>> report.shape, report.dtype
    ((1, 3), dtype('bool'))
    """

    _: KW_ONLY
    question: str
    p: float = 0.5
    q: float = 0.75

    def __post_init__(self) -> None:
        if not isinstance(self.question, str) or not self.question:
            raise ValueError(
                "RAPPOR: question must be a text with something in it, such as 'shoe size'; got "
                f"{self.question!r}."
            )
        numeric = all(isinstance(rate, numbers.Real) for rate in (self.p, self.q))
        if not numeric or not 0 <= self.p < self.q <= 1:
            raise ValueError(
                f"RAPPOR: p and q must satisfy 0 <= p < q <= 1; got {self.p!r} and {self.q!r}."
            )
        for name in ("p", "q"):
            object.__setattr__(self, name, float(getattr(self, name)))
        zero, one = self._report_limits
        if zero == one:
            raise ValueError(
                f"RAPPOR: p and q must be at least 2**-64 apart; got {self.p!r} and {self.q!r}."
            )
        super().__post_init__()

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
        return min(self.epsilon, math.log1p(q * (1 - p) / (p * (1 - q)) - 1))

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
            The secret of each value's user: 32 to 64 random bytes, made once and never sent.
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
            If there is not one secret for each value, or one is too short or not random.
        TypeError
            If a secret is not bytes, or `source` is none.
        """
        rows, source = self._rows(values), noise_source(source)
        if isinstance(secrets, (str, bytes)) or len(secrets) != len(rows):
            raise ValueError(f"secrets must be a list of one for each of {len(rows)} values.")
        for secret in secrets:
            check_key(secret, "each of the secrets")
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
        about = id_bytes((self.question, self._limit, self._values.ids[row]))
        keyed = hashlib.blake2b(key=secret, digest_size=8, person=_PERSON)
        # The length in front: no beginning followed by a value is another beginning and value.
        keyed.update(len(about).to_bytes(8, "big") + about)
        digests = []
        for value in self._written:
            one = keyed.copy()
            one.update(value)
            digests.append(one.digest())
        bits = below(np.frombuffer(b"".join(digests), dtype="<u8"), self._limit)
        bits[row] = not bits[row]
        return bits

    @computed_once
    def _written(self) -> list[bytes]:
        return [id_bytes(value) for value in self._values.ids]

    def _support(self, reports: Any) -> tuple[np.ndarray, int]:
        return bit_sums(reports, len(self.domain))
