"""Single releases of private integers, each with its event for the books."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ecomrec.privacy.accounting.events import GaussianEvent, PureDPEvent, ZCDPEvent
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise._values import check_positive, integers
from ecomrec.privacy.noise.choices import ExponentialMechanism, GumbelTopK, ReportNoisyMax
from ecomrec.privacy.noise.door import answer
from ecomrec.privacy.noise.samplers import NOISES, NoiseSource, SystemNoise, discrete_laplace
from ecomrec.privacy.noise.set_union import PartitionSelector, union_threshold

__all__ = [
    "DiscreteGaussianMechanism",
    "DiscreteLaplaceMechanism",
    "ExponentialMechanism",
    "GaussianMechanism",
    "GumbelTopK",
    "PartitionSelector",
    "ReportNoisyMax",
    "from_grid",
    "to_grid",
    "union_threshold",
]


def to_grid(values: Any, step: float) -> np.ndarray:
    """Return numbers as whole steps of a grid, cut toward zero.

    Cutting toward zero never lengthens a vector: a bound on what one user adds, in any norm, holds
    on the grid too. NaN and infinities become 0; what does not fit is cut to 2**62 steps.

    Parameters
    ----------
    values : array-like of float
    step : float
        A power of 2, such as ``2**-20``, so that dividing by it does not round.

    Returns
    -------
    ndarray of int64, of the same shape

    Raises
    ------
    ValueError
        If `step` is no power of 2.

    Examples
    --------
    >>> from ecomrec.privacy import to_grid
    >>> to_grid([0.9, -0.9, 0.3], step=0.25)
    array([ 3, -3,  1])
    """
    real = isinstance(step, numbers.Real) and not isinstance(step, bool)
    if not real or not 0 < step < math.inf or math.frexp(step)[0] != 0.5:
        raise ValueError(f"step must be a power of 2 above 0; got {step!r}.")
    numbers_given = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        steps = np.where(np.isfinite(numbers_given), numbers_given, 0.0) / step
    cut: np.ndarray = np.trunc(np.clip(steps, -(2.0**62), 2.0**62)).astype(np.int64)
    return cut


def from_grid(steps: Any, step: float) -> np.ndarray:
    """Return whole steps of a grid as numbers.

    Parameters
    ----------
    steps : array-like of int
    step : float
        As given to `to_grid`.

    Returns
    -------
    ndarray of float64, of the same shape

    Examples
    --------
    >>> from ecomrec.privacy import from_grid
    >>> from_grid([3, -3, 1], step=0.25)
    array([ 0.75, -0.75,  0.25])
    """
    return np.asarray(steps, dtype=np.float64) * step


@dataclass(frozen=True)
class _Gaussian:
    noise_multiplier: float
    sensitivity: float = 1

    noise: ClassVar[str]

    def __post_init__(self) -> None:
        check_positive(self, "noise_multiplier", "sensitivity")

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, in steps of the grid.

        Returns
        -------
        float
        """
        return _exact.at_least(Fraction(self.noise_multiplier) * Fraction(self.sensitivity))

    def release(self, values: Any, source: NoiseSource | None = None) -> np.ndarray:
        """Return a private sum with noise.

        Parameters
        ----------
        values : array-like of int
            The exact sum over users, in steps of the grid (`to_grid`).
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        ndarray of int64, of the same shape

        Raises
        ------
        TypeError
            If `values` are not integers.
        """
        exact, sigma = integers(values), self.sigma
        params = {"mechanism": self.noise, "sigma": sigma, "bound": self.sensitivity}
        return _noisy(
            type(self).__name__,
            params,
            exact,
            lambda: NOISES[self.noise](exact.size, sigma, source or SystemNoise()),
        )


class GaussianMechanism(_Gaussian):
    r"""A sum of integers with rounded Gaussian noise: :math:`\mu`-GDP, counted exactly.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation of the noise over `sensitivity`.
    sensitivity : float
        The most that one user's part of the sum has as its L2 norm, in steps of the grid.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Notes
    -----
    :math:`\mu = 1 / \text{multiplier}`. Rounding is post-processing, as the sum is an integer: the
    event is that of real Gaussian noise. See `rounded_gaussian` for what doubles do to it.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianMechanism, epsilon_of, mu_from_epsilon
    >>> mechanism = GaussianMechanism(1 / mu_from_epsilon(1.0, delta=1e-6))
    >>> round(mechanism.noise_multiplier, 2), round(epsilon_of([mechanism.event], 1e-6), 6)
    (4.22, 1.0)
    >>> mechanism.release([120, 7]).shape
    (2,)
    """

    noise: ClassVar[str] = "rounded_gaussian"

    @property
    def event(self) -> GaussianEvent:
        """What a release costs.

        Returns
        -------
        GaussianEvent
        """
        return GaussianEvent(self.noise_multiplier)


class DiscreteGaussianMechanism(_Gaussian):
    r"""A sum of integers with discrete Gaussian noise, whose law no rounding touches.

    Parameters
    ----------
    noise_multiplier : float
        The sigma of the noise over `sensitivity`.
    sensitivity : float
        The most that one user's part of the sum has as its L2 norm, in steps of the grid.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Notes
    -----
    Booked as zCDP with :math:`\rho = 1 / (2\, \text{multiplier}^2)`, which is proven for every
    sigma (Canonne, Kamath and Steinke, NeurIPS 2020, for vectors too). It is not Gaussian DP
    with the same multiplier, which fails for small sigma; so it costs a little more epsilon than
    `GaussianMechanism`.

    Examples
    --------
    >>> from ecomrec.privacy import DiscreteGaussianMechanism
    >>> mechanism = DiscreteGaussianMechanism(4.0)
    >>> mechanism.event
    ZCDPEvent(rho=0.03125, count=1)
    >>> mechanism.release([120, 7]).dtype
    dtype('int64')
    """

    noise: ClassVar[str] = "discrete_gaussian"

    @property
    def event(self) -> ZCDPEvent:
        """What a release costs.

        Returns
        -------
        ZCDPEvent
        """
        return ZCDPEvent(0.5 / self.noise_multiplier**2)


@dataclass(frozen=True)
class DiscreteLaplaceMechanism:
    """A sum of integers with discrete Laplace noise: epsilon-DP with delta 0.

    Parameters
    ----------
    epsilon : float
        What a release costs.
    sensitivity : float
        The most that one user's part of the sum has as its L1 norm, in steps of the grid.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> from ecomrec.privacy import DiscreteLaplaceMechanism
    >>> mechanism = DiscreteLaplaceMechanism(epsilon=0.5, sensitivity=2)
    >>> mechanism.scale, mechanism.event
    (4.0, PureDPEvent(epsilon=0.5, count=1))
    >>> mechanism.release([120, 7]).shape
    (2,)
    """

    epsilon: float
    sensitivity: float = 1

    def __post_init__(self) -> None:
        check_positive(self, "epsilon", "sensitivity")

    @property
    def scale(self) -> float:
        """Mean size of the noise, in steps of the grid.

        Returns
        -------
        float
        """
        return _exact.at_least(Fraction(self.sensitivity) / Fraction(self.epsilon))

    @property
    def event(self) -> PureDPEvent:
        """What a release costs.

        Returns
        -------
        PureDPEvent
        """
        return PureDPEvent(self.epsilon)

    def release(self, values: Any, source: NoiseSource | None = None) -> np.ndarray:
        """Return a private sum with noise.

        Parameters
        ----------
        values : array-like of int
            The exact sum over users, in steps of the grid (`to_grid`).
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        ndarray of int64, of the same shape

        Raises
        ------
        TypeError
            If `values` are not integers.
        """
        exact, scale = integers(values), self.scale
        params = {"mechanism": "discrete_laplace", "scale": scale, "bound": self.sensitivity}
        return _noisy(
            type(self).__name__,
            params,
            exact,
            lambda: discrete_laplace(exact.size, scale, source or SystemNoise()),
        )


def _noisy(
    name: str, params: dict[str, Any], exact: np.ndarray, draw: Callable[[], np.ndarray]
) -> np.ndarray:
    def release() -> np.ndarray:
        noisy: np.ndarray = exact + draw().reshape(exact.shape)
        return noisy

    return answer(name, params | {"shape": exact.shape}, exact, release)
