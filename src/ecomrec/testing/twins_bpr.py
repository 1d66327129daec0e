"""Slow twins of the kernels of pairwise ranking and of sparse products; see `twins`.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins_bpr import product_twin
>>> store = np.array([0]), np.array([2]), np.array([0, 1]), np.array([2.0, 3.0])
>>> product_twin(np.array([0]), store, np.eye(2), np.array([1.0, 0.5])).tolist()
[[2.0, 1.5]]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, ...]
_WORD, _GOLDEN = 2**32, 0x9E3779B9
_TRIES, _LEAST_STEPS = 8, 100


def product_twin(
    rows: np.ndarray, store: Arrays, dense: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """Multiply by a dense matrix of the positive entries."""
    starts, lengths, columns, values = store
    factors = np.asarray(scales) if len(scales) else np.ones(len(dense))
    found = np.zeros((len(rows), dense.shape[1]))
    for place, row in enumerate(rows):
        part = slice(starts[row], starts[row] + lengths[row])
        weights = np.maximum(values[part], 0) * factors[columns[part]]
        found[place] = weights @ dense[columns[part]]
    return found


def learn_epoch_twin(
    order: np.ndarray,
    bounds: np.ndarray,
    blocks: np.ndarray,
    pool: np.ndarray,
    members: np.ndarray,
    store: Arrays,
    mean: float,
    users: np.ndarray,
    items: np.ndarray,
    biases: np.ndarray,
    n_candidates: int,
    rate: float,
    regularization: float,
    seeds: np.ndarray,
) -> Arrays:
    """Take the steps of an epoch one after another; returns users, items and biases."""
    users, items, biases = (x.astype(np.float64) for x in (users, items, biases))
    starts, lengths, columns, values = store
    n_blocks = len(bounds) - 1
    for turn in range(n_blocks):
        for mine in range(n_blocks):
            block = (mine + turn) % n_blocks
            draws = _draws(int(seeds[mine, block]))
            among = pool[members[block] : members[block + 1]]
            for u in order[bounds[mine] : bounds[mine + 1]]:
                row = slice(starts[u], starts[u] + lengths[u])
                held = {int(item) for item in columns[row]}
                for i, weight in zip(columns[row].tolist(), values[row], strict=True):
                    if blocks[i] != block or weight <= 0:
                        continue
                    j = _rival(draws, among, held, users[u] @ items.T + biases, n_candidates)
                    if j < 0:
                        continue
                    share = rate * 2 * weight / (weight + mean)
                    gap = items[i] - items[j]
                    pull = share / (1 + np.exp(users[u] @ gap + biases[i] - biases[j]))
                    fade, before = share * regularization, users[u].copy()
                    users[u] += pull * gap - fade * before
                    items[i] += pull * before - fade * items[i]
                    items[j] -= pull * before + fade * items[j]
                    biases[i] += pull - fade * biases[i]
                    biases[j] -= pull + fade * biases[j]
    return users, items, biases


def fold_in_twin(
    profiles: Arrays,
    mean: float,
    items: np.ndarray,
    biases: np.ndarray,
    marks: np.ndarray,
    pool: np.ndarray,
    n_candidates: int,
    n_epochs: int,
    rate: float,
    regularization: float,
) -> np.ndarray:
    """Take the steps of one profile after another."""
    indptr, columns, values = profiles
    items, biases = items.astype(np.float64), biases.astype(np.float64)
    vectors = np.zeros((len(indptr) - 1, items.shape[1]))
    for row, user in enumerate(vectors):
        part = slice(indptr[row], indptr[row + 1])
        weights = dict(zip(columns[part].tolist(), values[part].tolist(), strict=True))
        told = sorted(
            (i for i, w in weights.items() if w > 0 and marks[i] != 0), key=lambda i: marks[i]
        )
        n_rounds = max(n_epochs, _LEAST_STEPS // len(told)) if told else 0
        for step in range(n_rounds * len(told)):
            number, place = divmod(step, len(told))
            i = told[place]
            draws = _draws((int(marks[i]) ^ _mixed(number + 1)) % _WORD)
            j = _rival(draws, pool, set(weights), user @ items.T + biases, n_candidates)
            if j < 0:
                continue
            share = rate * 2 * weights[i] / (weights[i] + mean)
            share *= 1 - step / (n_rounds * len(told))
            gap = items[i] - items[j]
            pull = share / (1 + np.exp(user @ gap + biases[i] - biases[j]))
            user += pull * gap - share * regularization * user
    return vectors


def _rival(
    draws: Iterator[int], among: np.ndarray, held: set[int], scores: np.ndarray, n_candidates: int
) -> int:
    found: list[int] = []
    for _ in range(_TRIES + n_candidates):
        other = int(among[next(draws) * len(among) >> 32])
        if other >= 0 and other not in held:
            found.append(other)
        if len(found) == n_candidates:
            break
    return max(found, key=lambda item: scores[item], default=-1)


def _draws(state: int) -> Iterator[Any]:
    while True:
        state = (state + _GOLDEN) % _WORD
        yield _mixed(state)


def _mixed(value: int) -> int:
    value = (value ^ (value >> 16)) * 0x21F0AAAD % _WORD
    value = (value ^ (value >> 15)) * 0x735A2D97 % _WORD
    return value ^ (value >> 15)
