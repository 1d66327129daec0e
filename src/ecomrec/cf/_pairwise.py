"""Vectors of items from pairs: what users have against what they lack."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecomrec.kernels import bpr

# Blocks of users and of items: as many threads can work at once.
_BLOCKS = 8
_LEAST_BLOCK = 64
# Fewer entries than this are gone through more often, at most so many times as often.
_FEW_ENTRIES, _MOST_ROUNDS = 20_000, 25
# Length of a vector at the start, roughly.
_START = 0.1


class Steps(NamedTuple):
    """The parameters of `BPR` that describe a step."""

    n_factors: int
    n_candidates: int
    learning_rate: float
    regularization: float


def learn_items(
    by_user: tuple[np.ndarray, ...],
    known: np.ndarray,
    mean: float,
    steps: Steps,
    max_iter: int,
    rng: np.random.Generator,
    n_jobs: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Learn vectors and biases of items by steps on users and items.

    Parameters
    ----------
    by_user : tuple of (starts, lengths, columns, values)
        Users and items in the order of their ids.
    known : ndarray of shape (n_items,), bool
        Items with evidence: no other one is drawn.
    mean : float
        Mean weight of what is evidence.
    steps : Steps
    max_iter : int
        Epochs, more of them for few entries.
    rng : Generator
    n_jobs : int or None

    Returns
    -------
    vectors : ndarray of shape (n_items, n_factors), float32
    biases : ndarray of shape (n_items,), float32
    """
    n_users, n_items, width = len(by_user[0]), len(known), steps.n_factors
    spread = np.float32(_START / np.sqrt(width))
    users = rng.standard_normal((n_users, width), dtype=np.float32) * spread
    items = rng.standard_normal((n_items, width), dtype=np.float32) * spread
    biases = np.zeros(n_items, dtype=np.float32)
    able = np.flatnonzero(known)
    n_blocks = max(1, min(_BLOCKS, len(able) // _LEAST_BLOCK, n_users // _LEAST_BLOCK))
    shares = np.arange(n_blocks + 1) / n_blocks
    order = rng.permutation(n_users)
    entries = np.concatenate(([0], np.cumsum(by_user[1][order], dtype=np.int64)))
    bounds = np.searchsorted(entries, entries[-1] * shares)
    bounds[0], bounds[-1] = 0, n_users
    members = (len(able) * shares).astype(np.int64)
    more = min(_MOST_ROUNDS, max(1, _FEW_ENTRIES // max(int(entries[-1]), 1)))
    n_epochs = max_iter * more if len(able) > 1 else 0
    for number in range(n_epochs):
        pool = rng.permutation(able).astype(np.int32)
        blocks = np.full(n_items, -1, dtype=np.int32)
        blocks[pool] = np.repeat(np.arange(n_blocks), np.diff(members))
        seeds = rng.integers(2**32, size=(n_blocks, n_blocks))
        bpr.learn_epoch(
            order, bounds, blocks, pool, members, by_user, mean, users, items, biases,
            steps.n_candidates, steps.learning_rate * (1 - number / n_epochs),
            steps.regularization, seeds, n_jobs,
        )  # fmt: skip
    if not (np.isfinite(items).all() and np.isfinite(biases).all()):
        raise FloatingPointError(
            f"BPR: the vectors grew without bound with learning_rate={steps.learning_rate!r} and "
            f"regularization={steps.regularization!r}. Lower the former."
        )
    return items, biases
