"""Weights of parts, learned from what users did later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ecomrec._ranking import ndcg
from ecomrec.data.source import Later
from ecomrec.kernels import ranking

#: Users are told apart by how many items they have touched: below 3, 6, 11, ... and more.
EDGES = np.array([3, 6, 11, 21, 51], dtype=np.int64)
# Users that weights are learned from; places that count; candidates of each part.
_N_USERS = 2000
_K = 10
_N_CANDIDATES = 200
# Weights for few users are drawn towards those for all, as if that many more had been asked.
_PRIOR = 100
_STEPS = (0.2, 0.1, 0.05)
# Items that a rate of hits is counted on.
_LEAST_IN_BIN = 200


@dataclass(frozen=True, eq=False)
class Learned:
    """What a blend learned on a later slice of the events.

    Attributes
    ----------
    weights : ndarray of shape (n_groups, n_parts), float64
        One group, or one for each range of history lengths.
    curve_scores, curve_rates : ndarray of shape (n_parts, n_points), float64
        Rate of hits by score; no points unless scores are turned into rates.
    """

    weights: np.ndarray
    curve_scores: np.ndarray
    curve_rates: np.ndarray

    def fits(self, n_parts: int) -> bool:
        """Whether all has the shape that a file must have given it."""
        curves = self.curve_scores, self.curve_rates
        return (
            self.weights.shape in ((1, n_parts), (len(EDGES) + 1, n_parts))
            and self.curve_scores.shape == self.curve_rates.shape
            and self.curve_scores.ndim == 2
            and len(self.curve_scores) in (0, n_parts)
            and all(np.isfinite(values).all() for values in (self.weights, *curves))
        )


class Panel(NamedTuple):
    """Candidates of users with later events, and what came of them.

    Attributes
    ----------
    values : ndarray of shape (n, n_candidates, n_parts), float32
        Comparable scores; 0 behind the last candidate.
    hits : ndarray of shape (n, n_candidates), bool
    real : ndarray of shape (n, n_candidates), bool
        False behind the last candidate.
    n_relevant, lengths : ndarray of shape (n,), int64
        Items touched later, and before.
    """

    values: np.ndarray
    hits: np.ndarray
    real: np.ndarray
    n_relevant: np.ndarray
    lengths: np.ndarray


def sampled_users(later: Later, lengths: np.ndarray) -> np.ndarray:
    """Sorted rows of users with a history and something later, at most a few thousand."""
    users = np.unique(later.users[later.weights > 0])
    users = users[lengths[users] > 0]
    if len(users) > _N_USERS:
        users = np.sort(np.random.default_rng(0).choice(users, _N_USERS, replace=False))
    return users


def panel_of(
    blocks: Callable[[np.ndarray], np.ndarray],
    users: np.ndarray,
    later: Later,
    touched: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    size: int,
) -> Panel:
    """Gather what the parts' best items for some users scored, and whether they were touched.

    Parameters
    ----------
    blocks : callable
        Rows of users to comparable scores, (n_parts, n, n_items).
    users : ndarray
    later : Later
    touched : callable
        Rows of users to offsets and items of their histories.
    size : int
        Users at a time.
    """
    parts = []
    for start in range(0, len(users), size):
        rows = users[start : start + size]
        at, seen = touched(rows)
        values = blocks(rows)
        mask = ranking.hiding(seen, at)
        best = [ranking.top_k(np.where(v > 0, v, np.nan), _N_CANDIDATES, mask)[0] for v in values]
        for number in range(len(rows)):
            found = np.unique(np.concatenate([items[number] for items in best]))
            found = found[found >= 0]
            parts.append((found, values[:, number, found].T))
    width = max([len(found) for found, _ in parts], default=0)
    n_parts = parts[0][1].shape[1] if parts else 0
    shape = len(users), width
    values = np.zeros((*shape, n_parts), dtype=np.float32)
    hits, real = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    good = later.weights > 0
    owners, items = later.users[good], later.items[good]
    starts, stops = np.searchsorted(owners, users), np.searchsorted(owners, users, side="right")
    for row, (found, theirs) in enumerate(parts):
        values[row, : len(found)] = theirs
        real[row, : len(found)] = True
        hits[row, : len(found)] = np.isin(found, items[starts[row] : stops[row]])
    lengths = np.diff(touched(users)[0])
    return Panel(values, hits, real, stops - starts, lengths)


def groups_of(lengths: np.ndarray) -> np.ndarray:
    """Which group of history lengths each user is in."""
    return np.searchsorted(EDGES, lengths, side="right")


def learn(panel: Panel, by_evidence: bool) -> np.ndarray:
    """Return the weights, at least 0 and of sum 1, that rank the later items best (NDCG@10).

    One row, or one for each group of history lengths; few users take after all of them.
    """
    n_parts = panel.values.shape[2]

    def gains(weights: np.ndarray) -> np.ndarray:
        scores = np.where(panel.real, panel.values @ weights.astype(np.float32), -1.0)
        k = min(_K, scores.shape[1])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        hits = np.zeros((len(scores), _K), dtype=bool)
        hits[:, :k] = np.take_along_axis(panel.hits, best, axis=1)
        return ndcg(hits, panel.n_relevant)

    known: dict[tuple[float, ...], np.ndarray] = {}

    def gains_of(weights: tuple[float, ...]) -> np.ndarray:
        if weights not in known:
            known[weights] = gains(np.array(weights))
        return known[weights]

    overall = _climb(lambda w: float(gains_of(w).mean()), n_parts)
    if not by_evidence:
        return np.array([overall])
    rows = []
    groups = groups_of(panel.lengths)
    for group in range(len(EDGES) + 1):
        inside = groups == group
        n = int(inside.sum())

        def value(weights: tuple[float, ...], inside: np.ndarray = inside, n: int = n) -> float:
            gain = gains_of(weights)
            return float((gain[inside].sum() + _PRIOR * gain.mean()) / (n + _PRIOR))

        rows.append(overall if n == 0 else _climb(value, n_parts))
    return np.array(rows)


def _climb(value: Callable[[tuple[float, ...]], float], n_parts: int) -> tuple[float, ...]:
    """Weights of the highest value found by moving weight from one part to another."""
    even = tuple([1.0 / n_parts] * n_parts)
    corners = [tuple(float(i == j) for j in range(n_parts)) for i in range(n_parts)]
    best = max([even, *corners], key=value)
    for step in _STEPS:
        while True:
            moves = [
                _moved(best, i, j, step) for i in range(n_parts) for j in range(n_parts) if i != j
            ]
            better = max((m for m in moves if m is not None), key=value, default=best)
            if value(better) <= value(best):
                break
            best = better
    return best


def _moved(
    weights: tuple[float, ...], giver: int, taker: int, step: float
) -> tuple[float, ...] | None:
    amount = min(step, weights[giver])
    if amount <= 1e-9:
        return None
    moved = list(weights)
    moved[giver] -= amount
    moved[taker] += amount
    return tuple(round(w, 6) for w in moved)


def rate_curve(
    scores: np.ndarray, hits: np.ndarray, prior: float, n_points: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Return a rising curve from score to rate of hits, as points for interpolation.

    Too few scores for several rates give a line from 0 through the mean score and the mean rate.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        At least 0.
    hits : ndarray of shape (n,), bool
    prior : float
        The rate without any scores, which counts as much as one of them.
    n_points : int

    Returns
    -------
    scores, rates : ndarray
        At least two points.
    """
    from sklearn.isotonic import IsotonicRegression

    n = len(scores)
    base = (np.count_nonzero(hits) + prior) / (n + 1)
    order = np.argsort(scores, kind="stable")
    scores, hits = scores[order].astype(np.float64), hits[order]
    # Bins hold ever fewer items, so that the best are told apart, and never too few for a rate.
    halvings = np.linspace(0, np.log2(max(n / _LEAST_IN_BIN, 1)), n_points)
    edges = np.unique((n * (1 - 0.5**halvings)).astype(int))
    edges = np.append(edges[(edges == 0) | (edges < n - _LEAST_IN_BIN // 2)], n)
    if len(edges) == 2:
        usual = float(scores.mean()) if scores.any() else 1.0
        return np.array([0.0, usual]), np.array([0.0, base])
    middle = np.array([scores[a:b].mean() for a, b in pairwise(edges)])
    sizes = np.diff(edges)
    touched = np.add.reduceat(hits.astype(np.float64), edges[:-1])
    rates = (touched + 0.5 * base) / (sizes + 0.5)
    smooth = IsotonicRegression().fit_transform(middle, rates, sample_weight=sizes)
    return middle, np.asarray(smooth, dtype=np.float64)
