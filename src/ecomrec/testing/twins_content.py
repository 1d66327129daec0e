"""Slow twins of the kernels of content models; see `twins`.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins_content import learn_pairs_twin
>>> pool, one = np.array([0, 1]), np.ones((2, 1))
>>> settings = np.array([0, 1]), pool, np.array([0, 2]), np.array([1.0, 2.0]), one, 0 * one
>>> centres, contexts = learn_pairs_twin([0], [1], *settings, 0, 0.5, np.zeros((1, 1), int))
>>> contexts.ravel().tolist()
[0.0, 0.25]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_WORD, _GOLDEN = 2**32, 0x9E3779B9


def learn_pairs_twin(
    centre: Sequence[int] | np.ndarray,
    context: Sequence[int] | np.ndarray,
    bounds: np.ndarray,
    pool: np.ndarray,
    members: np.ndarray,
    cumulative: np.ndarray,
    centres: np.ndarray,
    contexts: np.ndarray,
    n_negatives: int,
    rate: float,
    seeds: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Take the steps of skip-gram one after another; returns both kinds of vectors."""
    centres, contexts = centres.astype(np.float64), contexts.astype(np.float64)
    n_blocks = len(members) - 1
    for turn in range(n_blocks):
        for mine in range(n_blocks):
            block = (mine + turn) % n_blocks
            cell = mine * n_blocks + block
            low, high = int(members[block]), int(members[block + 1])
            state = int(seeds[mine, block])
            for at in range(bounds[cell], bounds[cell + 1]):
                others = [(int(context[at]), 1.0)]
                for _ in range(n_negatives):
                    state = (state + _GOLDEN) % _WORD
                    before = cumulative[low - 1] if low else 0.0
                    wanted = before + _mixed(state) / _WORD * (cumulative[high - 1] - before)
                    drawn = low + np.searchsorted(cumulative[low:high], wanted, side="right")
                    other = int(pool[min(drawn, high - 1)])
                    if other != context[at]:
                        others.append((other, 0.0))
                vector = centres[centre[at]].copy()
                for other, label in others:
                    chance = 1 / (1 + np.exp(-vector @ contexts[other]))
                    pull = rate * (label - chance)
                    centres[centre[at]] += pull * contexts[other]
                    contexts[other] += pull * vector
    return centres, contexts


def _mixed(value: int) -> int:
    value = ((value ^ (value >> 16)) * 0x21F0AAAD) % _WORD
    value = ((value ^ (value >> 15)) * 0x735A2D97) % _WORD
    return value ^ (value >> 15)
