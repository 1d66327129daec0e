"""The one door between private rows and what a model learns from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecomrec.privacy._budget import check_noise
from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    SetUnionEvent,
    ZCDPEvent,
)
from ecomrec.privacy.noise.door import answer
from ecomrec.privacy.noise.samplers import NOISES, gumbel
from ecomrec.privacy.noise.set_union import release_union

# Rows of a matrix that get their noise at a time: a few MB of draws.
_BLOCK = 1 << 20


class Releases:
    """All that one fit learns from private rows, booked before any noise is drawn.

    Parameters
    ----------
    plan : mapping of str to event or None
        What will be released, made from public parameters alone. An event with a count is released
        so many times under its name. None: exactly, without noise, any number of times.
    ledger : PrivacyLedger or None
        Charged at once, unless noise would be too large; an error leaves nothing released.
    source : SystemNoise or SeededNoise
    noise : {"rounded_gaussian", "discrete_gaussian"}
    label : str
        For the ledger.

    Attributes
    ----------
    events : list of events
    key : ndarray of shape (2,), uint64
        Secret, for drawing which items of a user count.
    """

    def __init__(
        self,
        plan: Mapping[str, PrivacyEvent | None],
        *,
        ledger: Any,
        source: Any,
        noise: str,
        label: str,
    ) -> None:
        check_noise(plan)
        self.events = [event for event in plan.values() if event is not None]
        if ledger is not None and self.events:
            ledger.charge(self.events, label=label)
        self.source = source
        self.noise = noise
        # Drawn first, so that it is the same whatever is released.
        self.key = source.words(2)
        self._plan = dict(plan)
        self._left = {name: 1 if event is None else event.count for name, event in plan.items()}

    def gaussian(self, name: str, statistic: np.ndarray, bound: int) -> np.ndarray:
        """Release integers with Gaussian noise.

        Parameters
        ----------
        name : str
        statistic : ndarray, int64
            A sum over users of integer contributions.
        bound : int
            The most that one user's contribution has as its L2 norm.

        Returns
        -------
        ndarray, int64, of the same shape
        """
        sigma, params = self._noise(name, bound, statistic.shape)

        def release() -> np.ndarray:
            noise = NOISES[self.noise](statistic.size, sigma, self.source)
            noisy: np.ndarray = statistic + noise.reshape(statistic.shape)
            return noisy

        return answer(name, params, statistic, release)

    def symmetric(self, name: str, matrix: np.ndarray, bound: int) -> np.ndarray:
        """Release a symmetric integer matrix with symmetric Gaussian noise, in place.

        The noise has the variance s^2 on the diagonal and s^2/2 beside it, so the upper triangle
        with its off-diagonal entries times sqrt(2), a vector of the matrix' Frobenius norm, has
        s^2 in every place.

        Parameters
        ----------
        name : str
        matrix : ndarray of shape (..., n, n), int64
            Sums over users of symmetric integer matrices.
        bound : int
            The most that one user's contribution has as its norm, over all matrices at once.

        Returns
        -------
        ndarray, int64, the same
        """
        sigma, params = self._noise(name, bound, matrix.shape)
        params["symmetric"] = True

        def release() -> np.ndarray:
            draw, n = NOISES[self.noise], matrix.shape[-1]
            for whole in matrix.reshape(-1, n, n) if sigma > 0 else ():
                whole[np.diag_indices(n)] += draw(n, sigma, self.source)
                size = max(1, _BLOCK // n)
                for start in range(0, n, size):
                    rows, columns = np.triu_indices(min(size, n - start), 1, n - start)
                    beside = draw(len(rows), sigma / np.sqrt(2.0), self.source)
                    whole[rows + start, columns + start] += beside
                    whole[columns + start, rows + start] += beside
            return matrix

        return answer(name, params, matrix, release)

    def top_k(self, name: str, counts: np.ndarray, k: int) -> np.ndarray:
        """Release which k counts are largest, in order, by Gumbel noise.

        Parameters
        ----------
        name : str
        counts : ndarray of shape (n,), int64
            One user adds 0 or 1 to each, and takes nothing from any.
        k : int

        Returns
        -------
        ndarray of shape (k,), int64
            Places, largest noisy count first.
        """
        event = self._next(name, GumbelTopKEvent)
        scale = 0.0 if event is None else float(event.scale)
        params = {"mechanism": "gumbel", "scale": scale, "k": k, "shape": counts.shape}

        def release() -> np.ndarray:
            noise = gumbel(len(counts), scale, self.source) if scale else 0.0
            order: np.ndarray = np.argsort(-(counts + noise), kind="stable")[:k]
            return order

        return answer(name, params, counts, release)

    def union(
        self, name: str, ids: np.ndarray, weights: np.ndarray, bound: int, max_items: int
    ) -> np.ndarray:
        """Release which items enough users have.

        Parameters
        ----------
        name : str
        ids : ndarray of shape (n,)
            Items that occur; how many these are is private.
        weights : ndarray of shape (n,), int64
            Sums of users' integer weights, each positive.
        bound : int
            The most that the weights of one user have as their L2 norm.
        max_items : int
            Most items of one user.

        Returns
        -------
        ndarray
            The ids whose noisy weight passes the threshold.
        """
        event = self._next(name, SetUnionEvent)
        return release_union(name, ids, weights, event, bound, max_items, self.source)

    def finish(self) -> None:
        """Refuse a fit that did not release exactly what was booked."""
        left = sorted(name for name, count in self._left.items() if count > 0)
        if left:
            raise RuntimeError(f"releases that were booked and not made: {left}.")

    def _next(self, name: str, *kinds: type) -> Any:
        """The event of the next release of a name; one that was not booked is refused."""
        event = self._plan.get(name)
        exact = name in self._plan and event is None
        if not exact and self._left.get(name, 0) < 1:
            raise RuntimeError(f"the release {name!r} was not booked.")
        if not exact and not isinstance(event, kinds):
            raise RuntimeError(f"the release {name!r} was booked as {event!r}.")
        self._left[name] -= 1
        return event

    def _noise(
        self, name: str, bound: int, shape: tuple[int, ...]
    ) -> tuple[float, dict[str, Any]]:
        """Standard deviation of the next release of a name, and its parameters."""
        event = self._next(name, GaussianEvent, ZCDPEvent, PoissonSampledGaussianEvent)
        if event is None:
            sigma = 0.0
        elif isinstance(event, ZCDPEvent):
            sigma = bound / float(np.sqrt(2.0 * event.rho))
        else:
            sigma = bound * float(event.noise_multiplier)
        params = {"mechanism": self.noise, "sigma": sigma, "bound": bound, "shape": shape}
        if isinstance(event, PoissonSampledGaussianEvent):
            params["sample_rate"] = event.sample_rate
        return sigma, params
