"""Steps of private alternating least squares: what users give, and what is made of releases."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecomrec.kernels import private_als, private_rows
from ecomrec.privacy.bounding import PrivateRows

# A user's vector has this many steps, and so have the weights of a user's items. A product of
# three numbers of one user has 39 bits: sums over 8 million users fit into 63.
GRID = 1 << 13


class Entries(NamedTuple):
    """What users contribute, by item: whole numbers, each user's made from the user alone.

    Attributes
    ----------
    starts : ndarray of shape (n_items + 1,), int64
        Item j's entries are those from ``starts[j]`` to ``starts[j + 1]``.
    users : ndarray, int32
    weights : ndarray, int64
        Squares of a user's weights sum to at most ``GRID ** 2``.
    targets : ndarray, int64
        Weights times labels, none larger than its weight.
    """

    starts: np.ndarray
    users: np.ndarray
    weights: np.ndarray
    targets: np.ndarray


def weighted_entries(
    rows: PrivateRows, labels: np.ndarray, item_weights: np.ndarray, n_jobs: int | None
) -> Entries:
    """Weigh users' items, in proportion to public weights of the items, and sort by item.

    Parameters
    ----------
    rows : PrivateRows
    labels : ndarray of shape (n_entries,), float64
        In units of the largest that is allowed; larger ones are cut to 1.
    item_weights : ndarray of shape (n_items,), float64
        Positive.
    n_jobs : int or None
    """
    weights = private_rows.integer_rows(
        rows.indptr, item_weights[rows.items], GRID, 1.0, True, n_jobs
    )
    # A label of at most 1, then truncation: no target is larger than its weight.
    targets = (weights * np.clip(labels, 0.0, 1.0)).astype(np.int64)
    order = np.argsort(rows.items, kind="stable")
    counts = np.bincount(rows.items, minlength=len(item_weights))
    owners = np.repeat(np.arange(rows.n_users, dtype=np.int32), np.diff(rows.indptr))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Entries(starts, owners[order], weights[order], targets[order])


def user_steps(
    rows: PrivateRows,
    labels: np.ndarray,
    factors: np.ndarray,
    base: np.ndarray,
    clip_norm: float,
    n_jobs: int | None,
) -> np.ndarray:
    """Solve for each user alone and cut the vector to `clip_norm`, which is `GRID` whole steps.

    Returns
    -------
    ndarray of shape (n_users, n_factors), int64
        Squares of a row sum to at most ``GRID ** 2``.
    """
    solved = private_als.solve(rows.indptr, rows.items, labels, factors, base, n_jobs)
    # A system that rounding made singular gives nothing: the bound holds whatever comes.
    solved[~np.isfinite(solved).all(axis=1)] = 0.0
    n_users, d = solved.shape
    steps: np.ndarray = private_rows.integer_rows(
        np.arange(n_users + 1) * d, solved.ravel(), GRID, clip_norm, False, n_jobs
    )
    return steps.reshape(n_users, d)


def projected(matrices: np.ndarray) -> np.ndarray:
    """The nearest positive semidefinite matrices; noise may have led out of these."""
    values, vectors = np.linalg.eigh(matrices)
    found: np.ndarray = (vectors * np.maximum(values, 0.0)[..., None, :]) @ np.swapaxes(
        vectors, -1, -2
    )
    return found


def item_factors(
    gram: np.ndarray, systems: np.ndarray | None, targets: np.ndarray, prior: Prior
) -> np.ndarray:
    """Solve for the items from what was released, and scale to rows of mean square length 1.

    Parameters
    ----------
    gram : ndarray of shape (n_factors, n_factors)
        Weighted: what each item's system holds of all users.
    systems : ndarray of shape (n_items, n_factors, n_factors) or None
        What it holds of the item's own users.
    targets : ndarray of shape (n_items, n_factors)
    prior : Prior
    """
    d = targets.shape[1]

    def solved(ridge: float, right: np.ndarray) -> np.ndarray:
        system = gram + ridge * np.eye(d)
        if systems is None:
            found: np.ndarray = np.linalg.solve(system, right.T).T
        else:
            found = np.linalg.solve(systems + system, right[:, :, None])[:, :, 0]
        return found

    factors = solved(prior.ridge, targets)
    if prior.features is not None:
        # Toward what public features say, by the regression of the vectors on them.
        pull = prior.weight * float(np.trace(gram)) / d
        if pull > 0:
            expected = prior.features @ np.linalg.lstsq(prior.features, factors, rcond=None)[0]
            factors = solved(prior.ridge + pull, targets + pull * expected)
    return scaled(factors)


class Prior(NamedTuple):
    """What items' vectors are drawn to: zero by a ridge, and public features by a weight."""

    ridge: float
    features: np.ndarray | None
    weight: float


def scaled(factors: np.ndarray) -> np.ndarray:
    """Vectors with a mean square length of 1."""
    length = float(np.sqrt(np.mean(np.sum(factors**2, axis=1))))
    return factors / length if length > 0 else factors


def first_factors(
    n_items: int, n_factors: int, features: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Public vectors to start from: what features say of items, and random numbers."""
    drawn = rng.standard_normal((n_items, n_factors))
    if features is not None:
        r = features.shape[1]
        size = np.sqrt(np.mean(np.sum(features**2, axis=1)) / n_factors)
        drawn *= 0.5 * size
        drawn[:, :r] += features
    return scaled(drawn)
