"""Maps that bend the mean of a history towards what is taken next; item vectors stay as they are.

Every event (u, j) is an example: the mean of what else u has, x, and the item taken, y_j. A head W
makes the score x' W y_j. It starts from the identity, the vectors as they came, and regularisation
pulls it back there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from ecomrec.content._profiles import shares_of
from ecomrec.data.histories import Profiles
from ecomrec.kernels import sparse

# More examples than this do not make a map of a few hundred rows better.
_MOST_EXAMPLES = 500_000
_BLOCK = 16_384
# Contrastive steps: examples that are each other's negatives, the sharpness of their softmax, and
# Adam's rates.
_BATCH, _TEMPERATURE, _RATE, _BETAS = 256, 0.1, 1e-3, (0.9, 0.999)
# Few events are gone through more often, up to so many times as often.
_LEAST_STEPS, _MOST_ROUNDS = 1000, 50


class Examples(NamedTuple):
    """Events as examples.

    Attributes
    ----------
    users, items : ndarray of shape (n,)
        Row of the sums and item of each example.
    shares : ndarray of shape (n,), float64
        Share of the item in the user's history.
    means : ndarray of shape (n_users, n_factors), float32
        Weighted means of whole histories.
    vectors : ndarray of shape (n_items, n_factors), float32
    """

    users: np.ndarray
    items: np.ndarray
    shares: np.ndarray
    means: np.ndarray
    vectors: np.ndarray

    def left(self, part: np.ndarray) -> np.ndarray:
        """Means of the histories of some examples without the item that was taken: float64."""
        shares = self.shares[part][:, None]
        own = shares * self.vectors[self.items[part]]
        left: np.ndarray = (self.means[self.users[part]] - own) / (1 - shares)
        return left


def examples_of(
    profiles: Profiles, vectors: np.ndarray, rng: np.random.Generator, n_jobs: int | None
) -> Examples:
    """Draw examples from users who have something else beside the item taken."""
    known = np.asarray(vectors.any(axis=1), dtype=np.float32)
    shares = shares_of(profiles, known)
    lengths = np.diff(profiles.indptr)
    store = profiles.indptr[:-1], lengths, profiles.items, shares.astype(np.float32)
    means = sparse.product(np.arange(len(lengths)), store, vectors, known, n_jobs)
    users = np.repeat(np.arange(len(lengths)), lengths)
    able = np.flatnonzero((shares > 0) & (shares < 1 - 1e-6))
    if len(able) > _MOST_EXAMPLES:
        able = np.sort(rng.choice(able, _MOST_EXAMPLES, replace=False))
    return Examples(users[able], profiles.items[able], shares[able], means, vectors)


def least_squares(examples: Examples, rank: int | None, regularization: float) -> np.ndarray:
    r"""The map whose scores are nearest to 1 for what was taken and to 0 for all other items.

    With :math:`G = \frac1n \sum x x^\top` over the examples, :math:`H = \frac1m \sum_j y_j
    y_j^\top` over the items, and :math:`A = \frac1n \sum x y^\top` over what was taken, it solves
    :math:`\min_D \mathrm{tr}((cI + D)^\top G (cI + D) H) - 2\, \mathrm{tr}((cI + D)^\top A) +
    \lambda \lVert D \rVert^2`, where :math:`cI` is the best multiple of the identity and
    :math:`\lambda` in units of the mean eigenvalues of G and H, and returns :math:`I + D / c`.
    """
    n, width = len(examples.users), examples.vectors.shape[1]
    identity = np.eye(width)
    if n == 0:
        return identity.astype(np.float32)
    taken, means = np.zeros((width, width)), np.zeros((width, width))
    with threadpool_limits(1, user_api="blas"):
        for part in _parts(n):
            left = examples.left(part)
            taken += left.T @ examples.vectors[examples.items[part]]
            means += left.T @ left
        known = examples.vectors[examples.vectors.any(axis=1)].astype(np.float64)
        items = known.T @ known / len(known)
        taken, means = taken / n, means / n
        base = float((means * items.T).sum())
        # Vectors that say the opposite of what people do are not kept.
        start = max(float(np.trace(taken)), 0.0) / base if base > 0 else 0.0
        unit = start if start > 0 else 1.0
        strengths, left_axes = np.linalg.eigh(means)
        other_strengths, right_axes = np.linalg.eigh(items)
        gaps = left_axes.T @ (taken - start * means @ items) @ right_axes
        penalty = regularization * np.trace(means) * np.trace(items) / width**2
        curvature = np.maximum(strengths, 0)[:, None] * np.maximum(other_strengths, 0)
        gaps = np.divide(
            gaps, curvature + penalty, out=np.zeros_like(gaps),
            where=curvature + penalty > 1e-12 * curvature.max(),
        )  # fmt: skip
        change = left_axes @ gaps @ right_axes.T / unit
        if rank is not None and rank < width:
            left_axes, sizes, right_axes = np.linalg.svd(change)
            change = (left_axes[:, :rank] * sizes[:rank]) @ right_axes[:rank]
    head: np.ndarray = (start / unit * identity + change).astype(np.float32)
    return head if head.any() else identity.astype(np.float32)


def contrastive(
    examples: Examples,
    rank: int | None,
    regularization: float,
    max_iter: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """The map that tells the item taken from those taken by others, by stochastic gradient steps.

    The loss is the cross entropy of a softmax over the items of a batch, each corrected by the
    logarithm of how often it is drawn; Adam steps on D in I + D, of a rank at most.
    """
    n, width = len(examples.users), examples.vectors.shape[1]
    rank = width if rank is None else min(rank, width)
    if rank < width:
        start = rng.standard_normal((width, rank)) / np.sqrt(width)
        weights = [start.astype(np.float32), np.zeros((width, rank), dtype=np.float32)]
    else:
        weights = [np.zeros((width, width), dtype=np.float32)]
    drawn = np.bincount(examples.items, minlength=len(examples.vectors)) / max(n, 1)
    rarity = -np.log(np.maximum(drawn, 1e-12)).astype(np.float32)
    moments = [(np.zeros_like(weight), np.zeros_like(weight)) for weight in weights]
    a_pass = max(1, -(-n // _BATCH))
    n_steps = max(max_iter * a_pass, min(_LEAST_STEPS, _MOST_ROUNDS * max_iter * a_pass))
    n_steps = n_steps if n > 1 else 0
    step = 0
    with threadpool_limits(1, user_api="blas"):
        while step < n_steps:
            order = rng.permutation(n)
            for first in range(0, n, _BATCH)[: n_steps - step]:
                part = order[first : first + _BATCH]
                slope = _slope(examples, part, _change(weights), rarity)
                gradients = [slope]
                if len(weights) == 2:
                    gradients = [slope @ weights[1], slope.T @ weights[0]]
                step += 1
                rate = _RATE * (1 - (step - 1) / n_steps)
                _adam(weights, gradients, moments, step, rate, regularization)
    head: np.ndarray = np.eye(width, dtype=np.float32) + _change(weights)
    return head


def _slope(
    examples: Examples, part: np.ndarray, change: np.ndarray, rarity: np.ndarray
) -> np.ndarray:
    """Gradient of the loss of a batch by D."""
    left = examples.left(part).astype(np.float32)
    items = examples.items[part]
    vectors = examples.vectors[items]
    logits = (left + left @ change) @ vectors.T / _TEMPERATURE + rarity[items]
    same = items[:, None] == items
    np.fill_diagonal(same, False)
    logits[same] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)
    chances[np.arange(len(part)), np.arange(len(part))] -= 1
    slope: np.ndarray = left.T @ (chances @ vectors) / (len(part) * _TEMPERATURE)
    return slope


def _change(weights: list[np.ndarray]) -> np.ndarray:
    return weights[0] if len(weights) == 1 else weights[0] @ weights[1].T


def _adam(
    weights: list[np.ndarray],
    gradients: list[np.ndarray],
    moments: list[tuple[np.ndarray, np.ndarray]],
    step: int,
    rate: float,
    decay: float,
) -> None:
    """One step of Adam with decoupled weight decay, in place."""
    for weight, gradient, (first, second) in zip(weights, gradients, moments, strict=True):
        first += (1 - _BETAS[0]) * (gradient - first)
        second += (1 - _BETAS[1]) * (gradient**2 - second)
        move = first / (1 - _BETAS[0] ** step)
        size = np.sqrt(second / (1 - _BETAS[1] ** step)) + 1e-8
        weight *= max(0.0, 1 - rate * decay)
        weight -= rate * move / size


def _parts(n: int) -> Iterator[np.ndarray]:
    for first in range(0, n, _BLOCK):
        yield np.arange(first, min(first + _BLOCK, n))
