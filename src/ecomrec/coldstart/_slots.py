"""Which places of a list are for new items, which of them comes where, and with what chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ecomrec.exceptions import DataError

# Where the slots are: evenly over the list, or behind everything else.
PLACES = ("spread", "end")


class Patterns(NamedTuple):
    """The ways in which the places of a list may be given to new items.

    Attributes
    ----------
    chances : ndarray of shape (n_patterns,)
        They add up to 1.
    slots : ndarray of shape (n_patterns, k), bool
        True where a new item goes.
    """

    chances: np.ndarray
    slots: np.ndarray


@lru_cache(maxsize=64)
def patterns(share: float, k: int, positions: str | tuple[int, ...]) -> Patterns:
    """Return the patterns that one draw from [0, 1) chooses from.

    With u drawn, floor(share * j + u) of the first j places are for new items: share * j rounded
    up or down, and each place with a chance of `share`. Slots at the end or at some ranks are as
    many of all k places.
    """
    last = np.arange(1, k + 1)
    exact = np.round(share * last, 9)
    ends = exact if positions == "spread" else exact[-1:]
    cuts = np.unique(np.round(np.concatenate(([0.0, 1.0], 1 - (ends - np.floor(ends)))), 9))
    cuts = cuts[(cuts >= 0) & (cuts <= 1)]
    chances, slots = np.diff(cuts), []
    for start, chance in zip(cuts, chances, strict=False):
        totals = np.floor(exact + start + chance / 2).astype(int)
        if positions == "spread":
            slots.append(np.diff(totals, prepend=0) > 0)
            continue
        chosen = np.zeros(k, dtype=bool)
        wanted = [rank - 1 for rank in positions if not isinstance(rank, str) and rank <= k]
        rest = [place for place in range(k - 1, -1, -1) if place not in wanted]
        chosen[[*wanted, *rest][: totals[-1]]] = True
        slots.append(chosen)
    return Patterns(chances, np.array(slots, dtype=bool).reshape(-1, k))


@lru_cache(maxsize=256)
def fillings(
    share: float, k: int, positions: str | tuple[int, ...], n_new: int, n_usual: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which list fills each place, and how far down, where both may run out.

    Returns
    -------
    is_new : ndarray of shape (n_patterns, k), int8
        1: the next new item; 0: the next usual one; -1: nothing is left.
    ranks : ndarray of shape (n_patterns, k), int64
        How many of that list stand above.
    """
    slots = patterns(share, k, positions).slots
    is_new, ranks = np.full(slots.shape, -1, dtype=np.int8), np.zeros(slots.shape, dtype=np.int64)
    for row, pattern in enumerate(slots):
        used = [0, 0]
        for place, slot in enumerate(pattern.tolist()):
            left = [n_usual - used[0], n_new - used[1]]
            kind = int(slot) if left[int(slot)] > 0 else 1 - int(slot)
            if left[kind] <= 0:
                break
            is_new[row, place], ranks[row, place] = kind, used[kind]
            used[kind] += 1
    return is_new, ranks


def chances_of(
    share: float, k: int, positions: str | tuple[int, ...], n_new: int, n_usual: int
) -> np.ndarray:
    """Return the chance of each place to hold each rank of either list: (2, k, k)."""
    weights = patterns(share, k, positions).chances
    is_new, ranks = fillings(share, k, positions, n_new, n_usual)
    found = np.zeros((2, k, k))
    for weight, kinds, depths in zip(weights, is_new, ranks, strict=True):
        filled = np.flatnonzero(kinds >= 0)
        found[kinds[filled], filled, depths[filled]] += weight
    return found


def check_positions(positions: str | Sequence[int]) -> bool:
    """Whether positions are a word, or ranks from 1 on, each once."""
    if isinstance(positions, str):
        return positions in PLACES
    if not isinstance(positions, (list, tuple)) or not positions:
        return False
    whole = all(isinstance(r, (int, np.integer)) and not isinstance(r, bool) for r in positions)
    return whole and min(positions) >= 1 and len(set(positions)) == len(positions)


# ---------------------------------------------------------------------- chance from ids

_MASK = np.uint64(0xFFFFFFFFFFFFFFFF)


def mixed(values: np.ndarray) -> np.ndarray:
    """Return numbers that look random, the same for the same numbers (splitmix64): uint64."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed_: np.ndarray = z ^ (z >> np.uint64(31))
        return mixed_


def marks_of(ids: np.ndarray) -> np.ndarray:
    """Return a number for each id that depends on it alone: int64."""
    if ids.dtype != object:
        return mixed(ids.astype(np.int64).view(np.uint64)).view(np.int64)
    from hashlib import blake2b

    marks = [blake2b(repr(one).encode(), digest_size=8).digest() for one in ids.tolist()]
    return np.frombuffer(b"".join(marks), dtype=np.int64).copy()


def uniform(keys: np.ndarray) -> np.ndarray:
    """Return numbers from [0, 1) made from keys."""
    numbers: np.ndarray = (mixed(keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def seeds_of(seed: object, n: int) -> np.ndarray:
    """Return a number for each of n rows from one seed, or one for each: uint64."""
    given = np.asarray(seed)
    if given.dtype.kind not in "iu" or given.ndim > 1 or (given.ndim == 1 and len(given) != n):
        raise DataError(
            f"seed must be an integer of at least 0, or one for each of the {n} rows; got "
            f"{seed!r}."
        )
    if (given < 0).any():
        raise DataError(f"seed must be an integer of at least 0; got {given.min()}.")
    return np.broadcast_to(mixed(given), n)
