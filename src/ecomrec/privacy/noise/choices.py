"""Choices among options by private utilities, each with its event for the books."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ecomrec.privacy.accounting.events import GumbelTopKEvent, PureDPEvent
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise._values import check_positive, options
from ecomrec.privacy.noise.door import answer
from ecomrec.privacy.noise.samplers import NoiseSource, SystemNoise, gumbel


@dataclass(frozen=True)
class _Choice:
    epsilon: float
    sensitivity: float = 1
    monotone: bool = False

    mechanism: ClassVar[str]

    def __post_init__(self) -> None:
        check_positive(self, "epsilon", "sensitivity")
        if not isinstance(self.monotone, bool):
            raise ValueError(
                f"{type(self).__name__}: monotone must be True or False; got {self.monotone!r}."
            )

    @property
    def scale(self) -> float:
        """How much less a value must be to be e times less likely.

        Returns
        -------
        float
        """
        ways = 1 if self.monotone else 2
        return _exact.at_least(ways * Fraction(self.sensitivity) / Fraction(self.epsilon))

    @property
    def event(self) -> PureDPEvent:
        """What a choice costs.

        Returns
        -------
        PureDPEvent
        """
        return PureDPEvent(self.epsilon)

    def release(self, values: Any, source: NoiseSource | None = None) -> int:
        """Return the place of the chosen option.

        Parameters
        ----------
        values : array-like of shape (n,), int
            The exact utilities.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        int

        Raises
        ------
        TypeError
            If `values` are not integers.
        ValueError
            If there are none.
        """
        exact = options(values, 1)
        params = {
            "mechanism": self.mechanism,
            "scale": self.scale,
            "bound": self.sensitivity,
            "monotone": self.monotone,
            "shape": exact.shape,
        }
        return answer(
            type(self).__name__,
            params,
            exact,
            lambda: self._choose(exact, source or SystemNoise()),
        )

    def _choose(self, exact: np.ndarray, source: NoiseSource) -> int:
        raise NotImplementedError


class ExponentialMechanism(_Choice):
    r"""One of several options, chosen with probability proportional to :math:`e^{u / b}`.

    u is the utility of the option, :math:`b = 2 \Delta_\infty / \epsilon`, and
    :math:`\Delta_\infty / \epsilon` for utilities that only rise when a user comes.

    Parameters
    ----------
    epsilon : float
        What a choice costs; delta is 0.
    sensitivity : float
        The most by which one user changes any one utility.
    monotone : bool
        A user who comes lowers no utility, as is so for counts.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    The largest of the utilities with Gumbel noise, made from their exact differences to the best:
    every probability of at least :math:`2^{-60}` is right to :math:`2^{-40}` of itself. The work
    does not depend on the data.

    References
    ----------
    McSherry and Talwar, "Mechanism design via differential privacy", FOCS 2007.

    Examples
    --------
    >>> from ecomrec.privacy import ExponentialMechanism
    >>> mechanism = ExponentialMechanism(epsilon=2.0, monotone=True)
    >>> mechanism.release([10, 100, 40])
    1
    """

    mechanism: ClassVar[str] = "exponential"

    def _choose(self, exact: np.ndarray, source: NoiseSource) -> int:
        return int(_gumbel_order(exact, self.scale, source)[0])


class ReportNoisyMax(_Choice):
    r"""The option whose utility with exponential noise is largest.

    Its choice is never worse in the mean than that of `ExponentialMechanism` for the same epsilon.

    Parameters
    ----------
    epsilon : float
        What a choice costs; delta is 0.
    sensitivity : float
        The most by which one user changes any one utility.
    monotone : bool
        A user who comes lowers no utility, as is so for counts.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    Drawn as permute-and-flip, which has the same law: every option is kept with probability
    :math:`e^{-(u_{max} - u) / b}`, with coins that no rounding touches, and one of those kept is
    chosen evenly.

    References
    ----------
    McKenna and Sheldon, "Permute-and-flip: a new mechanism for differentially private selection",
    NeurIPS 2020. Ding et al., "The permute-and-flip mechanism is identical to
    report-noisy-max with exponential noise", 2021.

    Examples
    --------
    >>> from ecomrec.privacy import ReportNoisyMax
    >>> mechanism = ReportNoisyMax(epsilon=2.0, monotone=True)
    >>> mechanism.release([10, 100, 40])
    1
    """

    mechanism: ClassVar[str] = "permute_and_flip"

    def _choose(self, exact: np.ndarray, source: NoiseSource) -> int:
        kept = np.flatnonzero(_exact.coins(_below_best(exact), self.scale, source))
        return int(kept[_exact.fair_remainders(1, len(kept), source)[0]])


@dataclass(frozen=True)
class GumbelTopK:
    """The places of the k largest counts, in order, by Gumbel noise.

    The same as k rounds of the exponential mechanism, each without what was chosen before. One
    user may have touched any number of items: only what they add to a single count matters.

    Parameters
    ----------
    k : int
        Number of places.
    scale : float
        Scale of the noise, in users.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    Durfee and Rogers, "Practical differentially private top-k selection with pay-what-you-get
    composition", NeurIPS 2019.

    Examples
    --------
    >>> from ecomrec.privacy import GumbelTopK, epsilon_of
    >>> mechanism = GumbelTopK(k=2, scale=3.0)
    >>> round(epsilon_of([mechanism.event], delta=1e-6), 2)
    0.67
    >>> mechanism.release([10, 900, 40, 500]).tolist()
    [1, 3]
    """

    k: int
    scale: float

    def __post_init__(self) -> None:
        check_positive(self, "scale")
        if not isinstance(self.k, numbers.Integral) or isinstance(self.k, bool) or self.k < 1:
            raise ValueError(f"GumbelTopK: k must be a positive integer; got {self.k!r}.")

    @property
    def event(self) -> GumbelTopKEvent:
        """What a release costs.

        Returns
        -------
        GumbelTopKEvent
        """
        return GumbelTopKEvent(self.scale, int(self.k))

    def release(self, values: Any, source: NoiseSource | None = None) -> np.ndarray:
        """Return the places of the largest noisy counts.

        Parameters
        ----------
        values : array-like of shape (n,), int
            Exact counts: a user adds 0 or 1 to each.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        ndarray of shape (k,), int64
            Largest noisy count first.

        Raises
        ------
        TypeError
            If `values` are not integers.
        ValueError
            If there are fewer than k.
        """
        exact, k = options(values, self.k), int(self.k)
        params = {"mechanism": "gumbel", "scale": self.scale, "k": k, "shape": exact.shape}
        return answer(
            type(self).__name__,
            params,
            exact,
            lambda: _gumbel_order(exact, self.scale, source or SystemNoise())[:k],
        )


def _gumbel_order(exact: np.ndarray, scale: float, source: NoiseSource) -> np.ndarray:
    """Places by falling value with Gumbel noise; exact differences leave little to rounding."""
    noisy = gumbel(len(exact), scale, source) - _below_best(exact).astype(np.float64)
    order: np.ndarray = np.argsort(-noisy, kind="stable")
    return order


def _below_best(exact: np.ndarray) -> np.ndarray:
    """How much less than the largest each integer is: exact, as uint64 holds every difference."""
    below: np.ndarray = exact.max().astype(np.uint64) - exact.astype(np.uint64)
    return below
