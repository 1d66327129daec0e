"""Training with Opacus: a user is a sample, clipped alone, and noise comes on the sum."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ecomrec._optional import require
from ecomrec.privacy.bounding import PrivateRows, _mixed

# A gradient of length `clip_norm` has this length on the integer grid of what is released.
GRID = 1 << 32
# More than rounding to the grid and the last bits of doubles can add to it: 4096 is the root of
# 16 million weights, each off by a step at most, and sums of doubles are off by far less.
BOUND = GRID + (1 << 13)
# The scores of a block of users take about this much memory, however many are drawn.
_BLOCK_BYTES = 64_000_000
_EXTRA = "opacus"


class Head(NamedTuple):
    """What is trained.

    Attributes
    ----------
    user : ndarray of shape (n_factors, n_factors), float64
        The user tower: from a mean of item vectors to a user's factors.
    item : ndarray of shape (n_factors, n_factors), float64
        The item tower, transposed: an item's vector times it are the item's factors.
    offset : ndarray of shape (n_factors,), float64
        An item's vector times it is added to the item's bias.
    """

    user: np.ndarray
    item: np.ndarray
    offset: np.ndarray


class Schedule(NamedTuple):
    """How it is trained; all of it is public.

    Attributes
    ----------
    max_iter : int
        Steps.
    sample_rate : float
        Probability of each user to take part in a step.
    expected_batch_size : float
        What sums of gradients are divided by, however many users took part.
    clip_norm : float
    learning_rate : float
        Of Adam.
    """

    max_iter: int
    sample_rate: float
    expected_batch_size: float
    clip_norm: float
    learning_rate: float


class Training(NamedTuple):
    """A head in the hands of Opacus: a module, the loss of a user, and the optimizer."""

    module: Any
    criterion: Any
    optimizer: Any


# The process that trained: torch's threads do not live on in its forked children.
_trained_in: int | None = None


def refuse_forked() -> None:
    """Raise in a child that was forked after its parent trained: torch would wait for ever."""
    if _trained_in not in (None, os.getpid()):
        raise RuntimeError(
            "DPTwoTower cannot be fitted in a process that was forked after its parent fitted "
            "one: torch's threads do not survive a fork. Fit in a process of its own (the start "
            "method 'spawn'); models that are fitted answer in any."
        )


def train(
    rows: sp.csr_array,
    vectors: np.ndarray,
    biases: np.ndarray,
    head: Head,
    schedule: Schedule,
    sample: Callable[[int], np.ndarray],
    release: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> Head:
    """Return the mean of the heads after the second half of the steps of DP-SGD.

    Parameters
    ----------
    rows : csr_array of shape (n_users, n_items), float64
        Bounded histories.
    vectors : ndarray of shape (n_items, n_factors), float64
        Public.
    biases : ndarray of shape (n_items,), float64
        Public or released.
    head : Head
        Where to start; public.
    schedule : Schedule
    sample : callable
        Gets the number of a step and returns the users that take part: a Poisson sample.
    release : callable
        Gets the integer sum of clipped gradients and returns it with noise.
    rng : Generator
        Public: which items are hidden in each step.
    """
    global _trained_in
    _trained_in = os.getpid()
    training = prepared(head, schedule, release)
    first, total = schedule.max_iter // 2, [np.zeros_like(part) for part in head]
    for step in range(schedule.max_iter):
        hidden = rng.random(len(vectors)) < 0.5
        take_step(training, rows[sample(step)], vectors, biases, hidden)
        if step >= first:
            for part, weights in zip(total, weights_of(training), strict=True):
                part += weights
    return Head(*(part / (schedule.max_iter - first) for part in total))


def prepared(
    head: Head, schedule: Schedule, release: Callable[[np.ndarray], np.ndarray]
) -> Training:
    """Put a head into the hands of Opacus."""
    torch = require("torch", _EXTRA)
    sampling = require("opacus.grad_sample", _EXTRA)
    clipping = require("opacus.utils.fast_gradient_clipping_utils", _EXTRA)
    n_factors = len(head.offset)
    towers = torch.nn.Sequential(
        torch.nn.Linear(n_factors, n_factors, bias=False),
        torch.nn.Linear(n_factors, n_factors),
    ).double()
    with torch.no_grad():
        for parameter, start in zip(towers.parameters(), head, strict=True):
            parameter.copy_(torch.from_numpy(start))
    module = sampling.GradSampleModuleFastGradientClipping(
        towers, max_grad_norm=schedule.clip_norm, use_ghost_clipping=True, loss_reduction="mean"
    )
    optimizer = _optimizer_type()(
        torch.optim.Adam(module.parameters(), lr=schedule.learning_rate),
        noise_multiplier=0.0,  # `release` draws it
        max_grad_norm=schedule.clip_norm,
        expected_batch_size=schedule.expected_batch_size,
        loss_reduction="mean",
    )
    optimizer.release = release
    criterion = clipping.DPLossFastGradientClipping(module, optimizer, _user_loss, "mean")
    return Training(module, criterion, optimizer)


def _user_loss(scores: Any, wanted: Any) -> Any:
    """One number for each user: the cross entropy of what was hidden of the user's items."""
    return -(wanted * scores.log_softmax(1)).sum(1)


_user_loss.reduction = "mean"  # type: ignore[attr-defined]  # Opacus reads and sets it


def _optimizer_type() -> Any:
    """The optimizer of Opacus, with noise drawn by `release` on an integer grid."""
    torch = require("torch", _EXTRA)
    base: Any = require("opacus.optimizers", _EXTRA).DPOptimizerFastGradientClipping

    class GridNoiseOptimizer(base):
        def add_noise(self) -> None:
            """Replace sums of clipped gradients by what is released of them."""
            sums = [parameter.summed_grad.numpy().ravel() for parameter in self.params]
            step = self.max_grad_norm / GRID
            exact = np.rint(np.concatenate(sums) / step).astype(np.int64)
            noisy = torch.from_numpy(self.release(exact) * step)
            parts = noisy.split([len(part) for part in sums])
            for parameter, part in zip(self.params, parts, strict=True):
                parameter.grad = part.reshape(parameter.shape).clone()

    return GridNoiseOptimizer


def take_step(
    training: Training,
    rows: sp.csr_array,
    vectors: np.ndarray,
    biases: np.ndarray,
    hidden: np.ndarray,
) -> None:
    """Take one step with the users drawn: from what they have of some items to the hidden ones.

    Which items are hidden is public, and so are vectors and biases: a user's loss depends on
    nobody else.
    """
    torch = require("torch", _EXTRA)
    means = _shares(rows[:, ~hidden]) @ vectors[~hidden]
    wanted = _shares(rows[:, hidden])
    others = torch.from_numpy(np.ascontiguousarray(vectors[hidden].T))
    bias = torch.from_numpy(biases[hidden])
    size = max(1, _BLOCK_BYTES // (8 * max(1, int(hidden.sum()))))
    starts = range(0, max(1, rows.shape[0]), size)
    for start in starts:
        part = slice(start, start + size)
        # With inputs that have gradients, Opacus' hooks of the first layer run like all others.
        inputs = torch.from_numpy(means[part]).requires_grad_()
        scores = training.module(inputs) @ others + bias
        loss = training.criterion(scores, torch.from_numpy(wanted[part].toarray()))
        loss.backward()
        # Blocks of one sample add up; noise comes once, on the whole.
        training.optimizer.signal_skip_step(start != starts[-1])
        training.optimizer.step()
    training.optimizer.zero_grad()


def _shares(rows: sp.csr_array) -> sp.csr_array:
    """Rows divided by their sums; empty ones stay."""
    sums = rows.sum(axis=1)
    return sp.csr_array(sp.diags_array(1 / np.where(sums > 0, sums, 1.0)) @ rows)


class PoissonSampler:
    """Draws who takes part in each step: everybody by a coin of their own, drawn anew.

    A user's coins come from secret keys and the user's own items (users with the same items are
    counted), so that they stay what they are when others come or go.

    Parameters
    ----------
    rows : PrivateRows
    sample_rate : float
    keys : ndarray of shape (n_steps + 1, 2), uint64
        Secret random words.
    """

    def __init__(self, rows: PrivateRows, sample_rate: float, keys: np.ndarray) -> None:
        words = _mixed(rows.items.astype(np.uint64) ^ keys[0, 0])
        sums = np.concatenate(([np.uint64(0)], np.cumsum(words, dtype=np.uint64)))
        histories = sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
        order = np.argsort(histories, kind="stable")
        ranks = np.empty(len(order), dtype=np.uint64)
        ranks[order] = np.arange(len(order)) - np.searchsorted(histories[order], histories[order])
        self._users = _mixed(_mixed(histories ^ keys[0, 1]) + ranks)
        self._keys = keys[1:]
        self._rate = sample_rate

    def __call__(self, step: int) -> np.ndarray:
        """Return the users of a step."""
        first, second = self._keys[step]
        coins = _mixed(_mixed(self._users ^ first) ^ second)
        # The top 53 bits: a rate of 1 takes everybody.
        return np.flatnonzero((coins >> np.uint64(11)).astype(np.float64) < self._rate * 2.0**53)


def weights_of(training: Training) -> Head:
    """The head as it is now."""
    return Head(*(weights.detach().numpy() for weights in training.module.parameters()))
