"""Which items occur at all, where that is private: a set union with Gaussian noise."""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.data.ids import encode_usable_ids
from ecomrec.exceptions import DataError
from ecomrec.privacy.accounting.composition import mu_from_epsilon
from ecomrec.privacy.accounting.events import SetUnionEvent
from ecomrec.privacy.noise._values import check_positive
from ecomrec.privacy.noise.door import answer
from ecomrec.privacy.noise.samplers import NoiseSource, SystemNoise, rounded_gaussian

#: Steps of the grid in a weight of 1.
GRID = 1 << 20
# What rounding and blurring of the noise may add to it: a share of sigma, and of a weight of 1.
_SLACK = 2.0**-11
# Numbers of items that a threshold is made for one by one, and the most that there may be.
_EACH, _MOST_ITEMS = 1 << 16, 1 << 31


def union_threshold(noise_multiplier: float, delta: float, max_items: int) -> float:
    r"""Weight that an item must pass so that it is not one user's alone.

    .. math:: \tau = \max_{1 \le t \le L} \frac{1}{\sqrt t}
              + \sigma \Phi^{-1}\bigl((1 - \delta)^{1/t}\bigr)

    Parameters
    ----------
    noise_multiplier : float
        The sigma: standard deviation of the noise on weights, of which those of one user have a
        norm of at most 1.
    delta : float
        Chance to fail.
    max_items : int
        The L: most items of one user.

    Returns
    -------
    float
        Good for noise of `rounded_gaussian` on grids of 2**10 steps or more to 1.
    """
    from scipy.special import ndtri

    # From 2**16 items on, what is needed may first fall and then only rises (t^1.5 times the slope
    # of the quantile rises): the largest of the rest is at one of its ends.
    n = np.append(np.arange(1.0, min(max_items, _EACH) + 1), float(max_items))
    above = -np.expm1(np.log1p(-delta) / n)
    needed = 1.0 / np.sqrt(n) - noise_multiplier * ndtri(above)
    return float(needed.max() + _SLACK * (noise_multiplier + 1.0))


def release_union(
    name: str,
    ids: np.ndarray,
    weights: np.ndarray,
    event: SetUnionEvent | None,
    bound: int,
    max_items: int,
    source: NoiseSource,
) -> np.ndarray:
    """Return the ids whose weight with noise passes the threshold, in the order given.

    Parameters
    ----------
    name : str
    ids : ndarray of shape (n,)
        Those that occur; how many these are is private, and no parameter of the release.
    weights : ndarray of shape (n,), int64
        Sums of users' weights, each positive.
    event : SetUnionEvent or None
        What was booked. None: all of them, without noise.
    bound : int
        The most that the weights of one user have as their L2 norm.
    max_items : int
        Most items of one user.
    source : SystemNoise or SeededNoise
    """
    sigma, threshold, delta = 0.0, 0, 0.0
    if event is not None:
        sigma, delta = bound * event.noise_multiplier, event.delta
        threshold = math.ceil(bound * union_threshold(event.noise_multiplier, delta, max_items))
    params = {
        "mechanism": "set_union", "sigma": sigma, "bound": bound, "threshold": threshold,
        "delta": delta, "max_items": max_items,
    }  # fmt: skip

    def release() -> np.ndarray:
        kept: np.ndarray = ids[weights + rounded_gaussian(len(weights), sigma, source) > threshold]
        return kept

    return answer(name, params, (ids, weights), release)


@dataclass(frozen=True)
class PartitionSelector:
    r"""The ids that enough users have, where the list of all ids is itself private.

    A user with t items gives each of them the weight :math:`1/\sqrt t`; sums of weights get
    Gaussian noise, and ids whose noisy weight passes a threshold are named. An id that is named is
    safe to use as public; of the others nobody learns that they exist.

    Parameters
    ----------
    epsilon, delta : float
        What a selection costs. Half of `delta` is for the noise, half for the threshold.
    max_items_per_user : int
        The L. Of a user with more, that many are drawn.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    .. math:: \tau = \max_{1 \le t \le L} \frac{1}{\sqrt t}
              + \sigma \Phi^{-1}\bigl((1 - \delta_2)^{1/t}\bigr)

    One user's weights have a norm of at most 1 (on the grid too, as they are cut toward zero),
    which makes the noisy weights of ids that others have too :math:`1/\sigma`-GDP. An id that
    this user alone has weighs just :math:`1/\sqrt t`, there are at most t of those, and the chance
    that the noise lifts any of them above the threshold is at most
    :math:`\delta_2 = \delta / 2`. Where none is lifted, what is seen is post-processing of the
    noisy weights of the other ids; so both costs add up.

    References
    ----------
    Gopi, Gulhane, Kulkarni, Shen, Shokouhi and Yekhanin, "Differentially private set union",
    ICML 2020.

    Examples
    --------
    >>> from ecomrec.privacy import PartitionSelector
    >>> selector = PartitionSelector(epsilon=1.0, delta=1e-6, max_items_per_user=10)
    >>> round(selector.threshold, 1)
    23.6
    >>> users = [*range(200), 7]
    >>> items = ["mug"] * 200 + ["only user 7 has it"]
    >>> selector.select(users, items)
    ['mug']
    """

    epsilon: float
    delta: float
    max_items_per_user: int

    def __post_init__(self) -> None:
        check_positive(self, "epsilon", "delta")
        if self.delta >= 1:
            raise ValueError(f"PartitionSelector: delta must be below 1; got {self.delta!r}.")
        most = self.max_items_per_user
        integral = isinstance(most, numbers.Integral) and not isinstance(most, bool)
        if not integral or not 1 <= most <= _MOST_ITEMS:
            raise ValueError(
                "PartitionSelector: max_items_per_user must be a positive integer of at most "
                f"2**31; got {most!r}."
            )

    @computed_once
    def event(self) -> SetUnionEvent:
        """What a selection costs.

        Returns
        -------
        SetUnionEvent
        """
        half = self.delta / 2
        return SetUnionEvent(1.0 / mu_from_epsilon(self.epsilon, half), half)

    @property
    def threshold(self) -> float:
        """The weight that an id must pass, in users who have nothing else.

        Returns
        -------
        float
        """
        event = self.event
        return union_threshold(event.noise_multiplier, event.delta, int(self.max_items_per_user))

    def weight(self, n_items: int) -> int:
        """Return what each item of a user weighs, in steps of the grid.

        Parameters
        ----------
        n_items : int
            Number of different items of the user, at most `max_items_per_user`.

        Returns
        -------
        int
            So that the squares of all of them add up to at most ``2**40``.
        """
        return math.isqrt(GRID * GRID // n_items)

    def release(self, values: Mapping[Any, int], source: NoiseSource | None = None) -> list[Any]:
        """Return the ids whose weight with noise passes the threshold.

        Parameters
        ----------
        values : mapping of id to int
            Sums over users of `weight`, of the ids that occur.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        list of ids, sorted
        """
        present = {key: weight for key, weight in values.items() if weight > 0}
        ids = np.empty(len(present), dtype=object)
        for at, key in enumerate(present):
            ids[at] = key
        weights = np.fromiter(present.values(), dtype=np.int64, count=len(present))
        kept = release_union(
            type(self).__name__, ids, weights, self.event, GRID, int(self.max_items_per_user),
            source or SystemNoise(),
        )  # fmt: skip
        try:
            return sorted(kept.tolist())
        except TypeError:
            raise DataError(
                "the released ids are of several types and cannot be sorted: "
                f"{', '.join(sorted({type(one).__name__ for one in kept}))}. Convert them to one."
            ) from None

    def select(self, users: Any, items: Any, source: NoiseSource | None = None) -> list[Any]:
        """Return the ids that enough users have, from pairs of a user and an item.

        Parameters
        ----------
        users, items : array-like of ids, of the same length
            Pairs may repeat; those without a user or an item, or with one that is no id, count
            nothing.
        source : SystemNoise, SeededNoise or None
            None: the operating system.

        Returns
        -------
        list of ids, sorted

        Raises
        ------
        DataError
            If a column holds no ids, or what is released has several types.
        ValueError
            If the lengths differ.
        """
        source = source or SystemNoise()
        return self.release(self._weights(users, items, source), source)

    def _weights(self, users: Any, items: Any, source: NoiseSource) -> dict[Any, int]:
        """Sums over users of the weights of at most L items each.

        Whose items are too many has them drawn by a secret key and the user's own pairs, so that
        nobody else has a say in it.
        """
        owners, columns = _column(users), _column(items)
        if len(owners) != len(columns):
            raise ValueError(
                f"users and items must be equally long; got {len(owners)} and {len(columns)}."
            )
        whole = (owners.notna() & columns.notna()).to_numpy()
        rows, keys, _ = encode_usable_ids(owners[whole], "users")
        places, ids, _ = encode_usable_ids(columns[whole], "items")
        usable = (rows >= 0) & (places >= 0)
        rows, places = np.unique(np.stack((rows[usable], places[usable])), axis=1)
        if not len(rows):
            return {}
        key = source.words(4).tobytes()
        long = np.flatnonzero(np.bincount(rows)[rows] > self.max_items_per_user)
        lots = np.zeros(len(rows), dtype=np.uint64)
        own = zip(keys[rows[long]].tolist(), ids[places[long]].tolist(), strict=True)
        lots[long] = [_lot(key, *pair) for pair in own]
        order = np.lexsort((lots, rows))
        rows, places = rows[order], places[order]
        turn = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
        rows, places = (of[turn < self.max_items_per_user] for of in (rows, places))
        sizes = np.bincount(rows)
        table = np.zeros(sizes.max() + 1)
        for size in np.unique(sizes[sizes > 0]):
            table[size] = self.weight(int(size))
        # Sums of integers below 2**53: exact in doubles.
        sums = np.bincount(places, table[sizes[rows]], len(ids)).astype(np.int64)
        return {
            key: weight for key, weight in zip(ids.tolist(), sums.tolist(), strict=True) if weight
        }


def _column(ids: Any) -> Any:
    """Ids as they are: pandas would give a list a type that one of them alone can change."""
    import pandas as pd

    if isinstance(ids, (pd.Series, pd.Index, np.ndarray)):
        return pd.Series(ids, dtype=ids.dtype).reset_index(drop=True)
    return pd.Series(list(ids), dtype=object)


def _lot(key: bytes, user: Any, item: Any) -> int:
    """A random word of a user and an item under a key."""
    drawn = hashlib.blake2b(repr((user, item)).encode(), key=key, digest_size=8)
    return int.from_bytes(drawn.digest(), "little")
