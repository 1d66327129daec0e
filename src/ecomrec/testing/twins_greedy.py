"""Slow and plain versions of the kernels that put lists in another order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Gains that differ by less are equal: the earlier candidate is chosen.
TIE = 1e-6


def greedy(
    relevance: np.ndarray, k: int, gain_of: Callable[[list[int], int], float]
) -> tuple[list[int], list[float]]:
    """Choose the largest gain, place by place; ``gain_of(chosen, candidate)`` says what it is."""
    chosen: list[int] = []
    gains: list[float] = []
    for _ in range(min(k, int((~np.isnan(relevance)).sum()))):
        open_ones = [
            at for at in range(len(relevance)) if at not in chosen and not np.isnan(relevance[at])
        ]
        best, best_gain = -1, -np.inf
        for at in open_ones:
            gain = gain_of(chosen, at)
            if gain > best_gain + TIE:
                best, best_gain = at, gain
        chosen.append(best)
        gains.append(min(best_gain, gains[-1]) if gains else best_gain)
    return chosen, gains


def mmr(
    relevance: np.ndarray, cosines: np.ndarray, k: int, trade_off: float
) -> tuple[list[int], list[float]]:
    """Maximal marginal relevance, the formula as it is printed."""

    def gain(chosen: list[int], at: int) -> float:
        nearest = max([0.0, *(float(cosines[at, other]) for other in chosen)])
        return float(trade_off * relevance[at] - (1 - trade_off) * nearest)

    return greedy(relevance, k, gain)


def dpp(
    relevance: np.ndarray, cosines: np.ndarray, k: int, trade_off: float
) -> tuple[list[int], list[float]]:
    """Greedy log-determinants, each computed from the whole matrix."""

    def volume(chosen: list[int]) -> float:
        return float(np.linalg.slogdet(cosines[np.ix_(chosen, chosen)])[1]) if chosen else 0.0

    def gain(chosen: list[int], at: int) -> float:
        more = max(volume([*chosen, at]) - volume(chosen), np.log(1e-6))
        return float(trade_off * relevance[at] + (1 - trade_off) * more)

    return greedy(relevance, k, gain)


def calibrate(
    relevance: np.ndarray,
    shares: np.ndarray,
    target: np.ndarray,
    k: int,
    trade_off: float,
    smoothing: float,
) -> tuple[list[int], list[float]]:
    """Greedy gains of relevance and of sum_g p_g log(smoothing p_g + sum of shares)."""
    wanted = target > 0

    def mix(chosen: list[int]) -> float:
        filled = smoothing * target + shares[chosen].sum(axis=0)
        return float((target[wanted] * np.log(filled[wanted])).sum())

    def gain(chosen: list[int], at: int) -> float:
        more = mix([*chosen, at]) - mix(chosen)
        return float(trade_off * relevance[at] + (1 - trade_off) * more)

    return greedy(relevance, k, gain)


def cap(
    present: np.ndarray, groups: list[set[int]], k: int, limit: int, window: int, strict: bool
) -> list[int]:
    """Take candidates in order, at most `limit` of a group in any `window` places."""
    chosen: list[int] = []
    for _ in range(k):
        recent = chosen[-(window - 1) :] if window > 1 else [] if window == 1 else chosen
        open_ones = [at for at in range(len(present)) if present[at] and at not in chosen]
        fitting = [
            at
            for at in open_ones
            if all(sum(group in groups[one] for one in recent) < limit for group in groups[at])
        ]
        choice = fitting or ([] if strict else open_ones)
        if not choice:
            break
        chosen.append(choice[0])
    return chosen


def share_places(
    present: np.ndarray,
    groups: list[set[int]],
    shares: np.ndarray,
    exposure: np.ndarray,
    tolerance: float,
) -> list[int]:
    """Take candidates in order, but first of groups that are owed exposure."""
    chosen: list[int] = []
    for place, worth in enumerate(exposure):
        shown = [
            sum(exposure[at] for at, one in enumerate(chosen) if group in groups[one])
            for group in range(len(shares))
        ]
        total = exposure[: place + 1].sum()
        owed = {
            group
            for group in range(len(shares))
            if shown[group] + tolerance * worth < shares[group] * total * (1 - 1e-12)
        }
        open_ones = [at for at in range(len(present)) if present[at] and at not in chosen]
        choice = [at for at in open_ones if groups[at] & owed] or open_ones
        if not choice:
            break
        chosen.append(choice[0])
    return chosen
