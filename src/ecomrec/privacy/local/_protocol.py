"""What protocols of local privacy share: a public domain, unbiased counts, bits and words."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.data.ids import IdMap, check_ids, id_list
from ecomrec.exceptions import UnknownIdError
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise._values import check_positive

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
        check_positive(self, "epsilon")
        object.__setattr__(self, "domain", tuple(id_list(self.domain, "domain")))
        if len(self._values) < 2:
            raise ValueError(f"{type(self).__name__}: domain must have at least two values.")

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
        """
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
            The m of `one_event`: counts are of events then.

        Returns
        -------
        DataFrame
            ``value``, ``count`` (it may be negative: cutting at 0 would make sums wrong) and
            ``standard_error``, in the order of the domain.

        Raises
        ------
        ValueError
            If the reports are not such as this protocol makes.
        """
        import pandas as pd

        if not is_positive_integer(max_events):
            raise ValueError(f"max_events must be a positive integer; got {max_events!r}.")
        support, n = self._support(reports)
        p, q = self.rates()
        counts = (support - n * float(q)) / float(p - q)
        errors = self._errors(n, np.clip(counts, 0, n))
        return pd.DataFrame(
            {
                "value": list(self.domain),
                "count": counts * max_events,
                "standard_error": errors * max_events,
            }
        )

    def _errors(self, n: int, counts: np.ndarray) -> np.ndarray:
        p, q = (float(rate) for rate in self.rates())
        errors: np.ndarray = np.sqrt(counts * p * (1 - p) + (n - counts) * q * (1 - q)) / (p - q)
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


def is_positive_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1
