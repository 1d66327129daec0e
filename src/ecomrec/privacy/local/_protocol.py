"""What protocols of local privacy share: a public domain, unbiased counts, bits and words."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.data.ids import IdMap, check_ids, id_list
from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise._values import check_positive
from ecomrec.privacy.noise.samplers import NoiseSource, SystemNoise

if TYPE_CHECKING:
    import pandas as pd

#: Number of different random words.
WORD = 1 << 64
# Random words at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Protocol:
    domain: Sequence[Any] = field(repr=False)
    epsilon: float

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_positive(self, "epsilon")
        # Fractions take no numbers of NumPy.
        object.__setattr__(self, "epsilon", float(self.epsilon))
        if isinstance(self.domain, (set, frozenset)):
            raise DataError(
                f"{name}: domain must be a list, as all devices need its values in one order, and "
                f"a {type(self.domain).__name__} has none. Write sorted(domain)."
            )
        object.__setattr__(self, "domain", tuple(id_list(self.domain, "domain")))
        if len(self._values) < 2:
            raise ValueError(f"{name}: domain must have at least two values.")
        p, q = self.rates()
        if p <= q:
            raise ValueError(
                f"{name}: epsilon is too small for words of 64 bits; got {self.epsilon!r}. With "
                f"{len(self.domain)} values take {8 * len(self.domain) / WORD:.1g} or more."
            )

    @computed_once
    def _values(self) -> IdMap:
        listed = np.empty(len(self.domain), dtype=object)
        for at, value in enumerate(self.domain):
            listed[at] = value
        ids, kind = check_ids(listed, "domain")
        if len(set(ids.tolist())) < len(ids):
            raise ValueError(f"{type(self).__name__}: domain must not have a value twice.")
        return IdMap(ids, kind)

    def rates(self) -> tuple[Fraction, Fraction]:
        """Return how often a report supports its true value, and any other one: exactly.

        Returns
        -------
        p, q : Fraction
            As the random words make them, not as formulas round them.
        """
        raise NotImplementedError

    def standard_deviation(self, n_reports: int, count: float = 0.0) -> float:
        r"""Return how far an estimated count is off, before anything is collected.

        .. math:: \frac{\sqrt{c\, p (1 - p) + (n - c)\, q (1 - q)}}{p - q}

        Parameters
        ----------
        n_reports : int
            The n.
        count : float
            The c: reports whose true value it is.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If `n_reports` is negative, or `count` is not between 0 and it.
        """
        if not 0 <= count <= n_reports < math.inf:
            raise ValueError(
                "n_reports must be at least 0, and count from 0 to n_reports; got "
                f"{n_reports!r} and {count!r}."
            )
        return float(self._errors(n_reports, np.array([count], dtype=np.float64))[0])

    def estimate(self, reports: Any, *, max_events: int = 1) -> pd.DataFrame:
        r"""Return how many reports had each value, without bias, from noisy reports.

        .. math:: \hat c_v = m \frac{C_v - n q}{p - q}

        where :math:`C_v` of n reports support v.

        Parameters
        ----------
        reports : array-like
            As `privatize` returns them, of any number of users, one of each.
        max_events : int
            The m of `one_event`: counts are of events then, and so are their errors.

        Returns
        -------
        DataFrame
            ``value``, ``count`` (it may be negative: cutting at 0 would make sums wrong) and
            ``standard_error``, in the order of the domain.

        Raises
        ------
        ValueError
            If the reports are not such as this protocol makes.

        Notes
        -----
        With one event of each user the standard error is that of `standard_deviation` at the
        estimated count. With more, the draw of `one_event` adds to it:

        .. math:: m \frac{\sqrt{C_v (1 - C_v / n)}}{p - q}

        which is right where all users have the value equally often, and too large where they
        differ.
        """
        import pandas as pd

        check_max_events(max_events)
        support, n = self._support(reports)
        p, q = self.rates()
        counts = (support - n * float(q)) / float(p - q)
        likely = np.clip(counts, 0, n)
        if max_events == 1:
            errors = self._errors(n, likely)
        else:
            supported = n * float(q) + likely * float(p - q)
            errors = np.sqrt(supported * (1 - supported / max(n, 1))) / float(p - q)
        return pd.DataFrame(
            {
                "value": list(self.domain),
                "count": counts * max_events,
                "standard_error": errors * max_events,
            }
        )

    def _errors(self, n: int, counts: np.ndarray) -> np.ndarray:
        # Exactly: the difference may be far smaller than what a float rounds off p and q.
        p, q = self.rates()
        variances = counts * float(p * (1 - p)) + (n - counts) * float(q * (1 - q))
        errors: np.ndarray = np.sqrt(variances) / float(p - q)
        return errors

    def _support(self, reports: Any) -> tuple[np.ndarray, int]:
        """Reports that support each value, and the number of reports."""
        raise NotImplementedError

    def _rows(self, values: Any) -> np.ndarray:
        rows = self._values.rows(id_list(values, "values"))
        unknown = int((rows < 0).sum())
        if unknown:
            raise UnknownIdError(f"values has {unknown} that are not in the domain.")
        return rows


def lie_limit(exponent: Fraction) -> int:
    """The least of 2**64 words that must flip a bit: not below 1 / (1 + e**exponent)."""
    _, high = _exact.exp_bounds(exponent, 256)
    return -(-WORD * high // ((1 << 256) + high))


def below(words: np.ndarray, limit: int) -> np.ndarray:
    return np.ones(words.shape, dtype=bool) if limit >= WORD else words < np.uint64(limit)


def blocks(matrix: np.ndarray) -> Iterable[slice]:
    size = max(1, _BLOCK // matrix.shape[1])
    return (slice(start, start + size) for start in range(0, len(matrix), size))


def bit_sums(reports: Any, k: int) -> tuple[np.ndarray, int]:
    bits = np.asarray(reports)
    if bits.ndim != 2 or bits.shape[1] != k or bits.dtype != bool:
        raise ValueError(
            f"reports must be bool of shape (n, {k}); got {bits.shape}, {bits.dtype}."
        )
    return bits.sum(axis=0, dtype=np.int64), len(bits)


def check_max_events(value: Any) -> None:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 1 <= int(value) < 2**63:
        raise ValueError(f"max_events must be a positive integer below 2**63; got {value!r}.")


def noise_source(source: Any) -> NoiseSource:
    """Give the source itself, or the system's in place of None."""
    if source is None:
        return SystemNoise()
    if isinstance(source, type) or not callable(getattr(source, "words", None)):
        raise TypeError(
            "source must be None (the operating system) or, for tests, SeededNoise(seed); "
            f"got {source!r}."
        )
    found: NoiseSource = source
    return found
