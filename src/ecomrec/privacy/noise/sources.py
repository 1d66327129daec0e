"""Where noise takes its random words from."""

from __future__ import annotations

import numbers
import os
from typing import Protocol, Self

import numpy as np
from sklearn.base import BaseEstimator


class NoiseSource(Protocol):
    """Where noise takes its random words from."""

    @property
    def secure(self) -> bool:
        """Whether nobody can foretell the words."""
        ...

    def words(self, n: int) -> np.ndarray:
        """Return n words of 64 independent random bits: uint64."""
        ...


class SystemNoise(BaseEstimator):
    """Random words from the operating system: what private models take their noise from.

    Every call asks the system's own generator (``os.urandom``). There is no seed and no state to
    guess, copy or fork: parent and child processes draw different words. `random_state` and
    NumPy's global seed have no say.

    Attributes
    ----------
    secure : bool
        True.

    Notes
    -----
    Some hundred megabytes a second on one core: tens of millions of words.

    Examples
    --------
    >>> from ecomrec.privacy import SystemNoise
    >>> words = SystemNoise().words(1000)
    >>> words.dtype, len(set(words.tolist()))
    (dtype('uint64'), 1000)
    """

    secure = True

    def words(self, n: int) -> np.ndarray:
        """Return random words.

        Parameters
        ----------
        n : int

        Returns
        -------
        ndarray of shape (n,), uint64
        """
        return np.frombuffer(bytearray(os.urandom(8 * n)), dtype=np.uint64)

    def fresh(self) -> Self:
        """Return itself: it has no state that could start anew.

        Returns
        -------
        SystemNoise
        """
        return self


class SeededNoise(BaseEstimator):
    """The same words in every run: for tests, never for data of people.

    Who knows the seed can subtract the noise. A model that took its noise from here says
    ``secure_noise=False`` in its report.

    Parameters
    ----------
    seed : int
        Not negative.

    Attributes
    ----------
    secure : bool
        False.

    Raises
    ------
    ValueError
        On the first use, if the seed is no such integer.

    Examples
    --------
    >>> from ecomrec.privacy import SeededNoise
    >>> source = SeededNoise(0)
    >>> first = source.words(2)
    >>> bool((first == source.words(2)).all())
    False
    >>> bool((first == source.fresh().words(2)).all())
    True
    """

    secure = False

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def words(self, n: int) -> np.ndarray:
        """Return the next words of the stream.

        Parameters
        ----------
        n : int

        Returns
        -------
        ndarray of shape (n,), uint64
        """
        stream = self.__dict__.get("_stream")
        if stream is None:
            seed = self.seed
            if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or seed < 0:
                raise ValueError(f"seed must be an integer of at least 0; got {seed!r}.")
            stream = self._stream = np.random.Generator(np.random.PCG64(int(seed)))
        drawn: np.ndarray = stream.integers(0, 2**64, size=n, dtype=np.uint64)
        return drawn

    def fresh(self) -> SeededNoise:
        """Return a source of the same seed that starts from its first word.

        Returns
        -------
        SeededNoise
        """
        return SeededNoise(self.seed)
