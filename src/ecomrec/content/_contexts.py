"""Who stands beside whom: items in the histories of users, and vectors learned from that."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from ecomrec._memory import check_memory
from ecomrec.data.interactions import Interactions
from ecomrec.kernels import assemble, skipgram

# Singular values below this share of the largest are rounding errors.
_RANK_TOLERANCE = 1e-4
# About so many products of co-occurrence are held at a time.
_BLOCK_WORK = 20_000_000
_N_BLOCKS = 8
# An entry of the matrix, held twice while its blocks become one.
_PAIR_BYTES = 16.0
_ADVICE = (
    "Give a window, keep robots out (RobotFilter), or take method='sgns', which needs the vectors "
    "alone."
)
# Pairs that skip-gram draws at a time, contexts of each event when the whole history is one
# window, and what few events are raised to.
_CHUNK, _DRAWS, _FEW_PAIRS, _MOST_ROUNDS = 4_000_000, 5, 200_000, 50


class Baskets(NamedTuple):
    """Histories, one after the other: row r is ``items[indptr[r] : indptr[r + 1]]``."""

    indptr: np.ndarray
    items: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """Which history each event belongs to."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))


def baskets_of(shop: Interactions, users: np.ndarray, place: np.ndarray, in_time: bool) -> Baskets:
    """What some users have evidence of, items called by their `place` and in that order.

    `in_time`: oldest first, if there are times, and so only at equal ones.
    """
    indptr, columns = shop.by_user.take(users)
    owners = np.repeat(np.arange(len(users)), np.diff(indptr))
    good = columns[1] > 0
    owners, items = owners[good], place[columns[0][good]]
    keys = (items, columns[2][good], owners) if in_time and shop.timed else (items, owners)
    order = np.lexsort(keys)
    return Baskets(assemble.offsets(np.bincount(owners, minlength=len(users))), items[order])


def cooccurrence(
    baskets: Baskets,
    n_items: int,
    window: int | None,
    rows: np.ndarray,
    contexts: np.ndarray,
) -> sp.csr_array:
    """How often some items stand beside others, float64.

    Without a window every event has one context to give away, to all the others of its history
    alike; with one, a neighbour at distance d counts ``(window + 1 - d) / window``.

    Parameters
    ----------
    baskets : Baskets
    n_items : int
    window : int or None
    rows : ndarray of int
        The items whose rows are wanted.
    contexts : ndarray of shape (n_items,), bool
        The items that are counted beside them.

    Returns
    -------
    csr_array of shape (len(rows), n_items)
    """
    row_of = np.full(n_items, -1)
    row_of[rows] = np.arange(len(rows))
    if window is not None:
        return _within(baskets, window, row_of, contexts, (len(rows), n_items))
    n_baskets = len(baskets.indptr) - 1
    counted = contexts[baskets.items]
    wanted = row_of[baskets.items] >= 0
    owners = baskets.owners
    n_contexts = np.bincount(owners[counted], minlength=n_baskets)
    others = n_contexts[owners[wanted]] - contexts[baskets.items[wanted]]
    centres = sp.coo_array(
        (1 / np.maximum(others, 1), (row_of[baskets.items[wanted]], owners[wanted])),
        shape=(len(rows), n_baskets),
    ).tocsr()
    beside = sp.coo_array(
        (np.ones(int(counted.sum())), (owners[counted], baskets.items[counted])),
        shape=(n_baskets, n_items),
    ).tocsr()
    found: Any = (centres @ beside).tocoo()
    apart = rows[found.row] != found.col
    return sp.coo_array(
        (found.data[apart], (found.row[apart], found.col[apart])), shape=found.shape
    ).tocsr()


def _within(
    baskets: Baskets,
    window: int,
    row_of: np.ndarray,
    contexts: np.ndarray,
    shape: tuple[int, int],
) -> sp.csr_array:
    """Co-occurrence within a window."""
    found = sp.csr_array(shape)
    for one, other, share in neighbours(baskets, window):
        for centre, beside in ((one, other), (other, one)):
            kept = (row_of[centre] >= 0) & contexts[beside]
            entries = np.full(int(kept.sum()), share)
            places = row_of[centre[kept]], beside[kept]
            found = sp.csr_array(found + sp.coo_array((entries, places), shape=shape).tocsr())
    return found


def neighbours(baskets: Baskets, window: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Pairs of events of one history by distance, and what a pair counts."""
    items, owners, found = baskets.items, baskets.owners, []
    for distance in range(1, min(window, len(items) - 1) + 1):
        same = np.flatnonzero(owners[distance:] == owners[: len(owners) - distance])
        if len(same):
            share = (window + 1 - distance) / window
            found.append((items[same], items[same + distance], share))
    return found


def shifted_pmi(counts: sp.csr_array, shares: np.ndarray, shift: float) -> sp.csr_array:
    """Rows of co-occurrence as positive pointwise mutual information less ``log(shift)``.

    `shares` are the smoothed shares of the contexts.
    """
    found = counts.tocoo()
    of_rows = np.asarray(counts.sum(axis=1)).ravel()[found.row]
    known = shares[found.col] > 0
    row, column = found.row[known], found.col[known]
    values = np.log(found.data[known] / (of_rows[known] * shares[column] * shift))
    kept = values > 0
    return sp.coo_array(
        (values[kept].astype(np.float32), (row[kept], column[kept])), shape=counts.shape
    ).tocsr()


def context_shares(
    baskets: Baskets, n_items: int, window: int | None, smoothing: float
) -> np.ndarray:
    """Shares of the items among all contexts, each raised to `smoothing`."""
    if window is None:
        lengths = np.diff(baskets.indptr)
        inside = lengths[baskets.owners] > 1
        counts = np.bincount(baskets.items[inside], minlength=n_items).astype(np.float64)
    else:
        counts = np.zeros(n_items)
        for one, other, share in neighbours(baskets, window):
            counts += share * np.bincount(one, minlength=n_items)
            counts += share * np.bincount(other, minlength=n_items)
    powers = np.where(counts > 0, counts**smoothing, 0.0)
    shares: np.ndarray = powers / max(powers.sum(), np.finfo(np.float64).tiny)
    return shares


def learn_sppmi(
    baskets: Baskets,
    shares: np.ndarray,
    n_factors: int,
    window: int | None,
    shift: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the items, and what makes vectors of rows of the matrix that is decomposed."""
    n_items = len(shares)
    everything = np.ones(n_items, dtype=bool)
    # An event meets its whole history, or its window.
    lengths = np.diff(baskets.indptr) if window is None else np.ones(len(baskets.indptr) - 1)
    work = np.bincount(baskets.items, lengths[baskets.owners], minlength=n_items)
    pairs = work.sum() if window is None else 2.0 * window * work.sum()
    check_memory("Item2Vec", n_items, _PAIR_BYTES * min(pairs, float(n_items) ** 2), _ADVICE)
    cuts = np.searchsorted(np.cumsum(work), np.arange(_BLOCK_WORK, work.sum(), _BLOCK_WORK))
    bounds = np.unique(np.concatenate(([0], cuts + 1, [n_items]))).clip(max=n_items)
    parts = [
        shifted_pmi(
            cooccurrence(baskets, n_items, window, np.arange(first, last), everything),
            shares, shift,
        )
        for first, last in itertools.pairwise(bounds)
    ]  # fmt: skip
    matrix = sp.vstack(parts, format="csr")
    seed = int(rng.integers(2**31))
    if matrix.nnz == 0:
        return np.zeros((n_items, 1), np.float32), np.zeros((n_items, 1), np.float32)
    with threadpool_limits(1, user_api="blas"):
        left, values, right = randomized_svd(
            matrix, min(n_factors, n_items), n_iter=4, random_state=seed
        )
    kept = values > _RANK_TOLERANCE * values.max()
    roots = np.sqrt(values[kept])
    return left[:, kept] * roots, (right[kept].T / roots).astype(np.float32)


def learn_skipgram(
    baskets: Baskets,
    shares: np.ndarray,
    n_factors: int,
    window: int | None,
    n_negatives: int,
    subsample: float,
    learning_rate: float,
    max_iter: int,
    rng: np.random.Generator,
    n_jobs: int | None,
) -> np.ndarray:
    """Vectors of the items by skip-gram with negative sampling."""
    n_items = len(shares)
    centres = rng.uniform(-0.5, 0.5, (n_items, n_factors)).astype(np.float32) / n_factors
    contexts = np.zeros((n_items, n_factors), dtype=np.float32)
    able = np.flatnonzero(shares > 0)
    if len(able) < 2:
        return np.zeros_like(centres)
    n_events = len(baskets.items)
    keep = np.ones(n_items)
    if subsample > 0:
        frequency = np.bincount(baskets.items, minlength=n_items) / n_events
        keep = np.sqrt(np.minimum(1.0, subsample / np.maximum(frequency, 1e-300)))
    n_pairs = max(1, n_events * (2 * window if window else _DRAWS))
    n_rounds = max_iter * min(_MOST_ROUNDS, max(1, _FEW_PAIRS // n_pairs))
    pieces = max(1, -(-n_pairs // _CHUNK))
    cuts = np.searchsorted(baskets.indptr, n_events * np.arange(pieces + 1) / pieces)
    cuts[0], cuts[-1] = 0, len(baskets.indptr) - 1
    step = 0
    for _ in range(n_rounds):
        for piece in rng.permutation(pieces):
            one, other = _drawn(_some(baskets, cuts[piece], cuts[piece + 1]), window, keep, rng)
            rate = learning_rate * (1 - step / (n_rounds * pieces))
            _learn_pass(
                one, other, able, shares, n_negatives, rate, centres, contexts, rng, n_jobs
            )
            step += 1
    centres[shares == 0] = 0
    return centres


def _some(baskets: Baskets, first: int, last: int) -> Baskets:
    indptr = baskets.indptr[first : last + 1]
    return Baskets(indptr - indptr[0], baskets.items[indptr[0] : indptr[-1]])


def _drawn(
    baskets: Baskets, window: int | None, keep: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Centres and contexts of one pass, as they are drawn."""
    owners = baskets.owners
    kept = rng.random(len(owners)) < keep[baskets.items]
    lengths = np.bincount(owners[kept], minlength=len(baskets.indptr) - 1)
    baskets = Baskets(assemble.offsets(lengths), baskets.items[kept])
    items, owners = baskets.items, baskets.owners
    if window is None:
        lengths = lengths[owners]
        several = np.flatnonzero(lengths > 1)
        first, size = baskets.indptr[owners[several]], lengths[several]
        steps = 1 + (rng.random((_DRAWS, len(several))) * (size - 1)).astype(np.int64)
        others = first + (several - first + steps) % size
        return np.tile(items[several], _DRAWS), items[others.ravel()]
    pairs = []
    for one, other, share in neighbours(baskets, window):
        for centre, beside in ((one, other), (other, one)):
            taken = rng.random(len(centre)) < share
            pairs.append((centre[taken], beside[taken]))
    if not pairs:
        return items[:0], items[:0]
    return np.concatenate([c for c, _ in pairs]), np.concatenate([b for _, b in pairs])


def _learn_pass(
    centre: np.ndarray,
    context: np.ndarray,
    able: np.ndarray,
    shares: np.ndarray,
    n_negatives: int,
    rate: float,
    centres: np.ndarray,
    contexts: np.ndarray,
    rng: np.random.Generator,
    n_jobs: int | None,
) -> None:
    """Take a step for each pair, in place; items are dealt to blocks anew."""
    n_blocks = max(1, min(_N_BLOCKS, len(able) // 2))
    pool = rng.permutation(able).astype(np.int32)
    members = (len(pool) * np.arange(n_blocks + 1) / n_blocks).astype(np.int64)
    block = np.zeros(len(shares), dtype=np.int64)
    block[pool] = np.repeat(np.arange(n_blocks), np.diff(members))
    shuffled = rng.permutation(len(centre))
    cell = block[centre] * n_blocks + block[context]
    order = shuffled[np.argsort(cell[shuffled], kind="stable")]
    bounds = assemble.offsets(np.bincount(cell, minlength=n_blocks**2))
    seeds = rng.integers(2**32, size=(n_blocks, n_blocks))
    skipgram.learn_pairs(
        centre[order], context[order], bounds, pool, members, np.cumsum(shares[pool]),
        centres, contexts, n_negatives, rate, seeds, n_jobs,
    )  # fmt: skip
