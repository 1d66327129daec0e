"""Bayesian personalised ranking: steps on triples of a user, an item they have and one they lack.

Users and items are cut into as many blocks each. In one round every block of users meets another
block of items, and both items of a step come from there: rounds of a fixed number of blocks run
on any number of threads and write to nobody else's rows. Items are dealt anew to the blocks for
each epoch, so that all pairs of items meet. Random numbers belong to an epoch and a pair of
blocks, or to an item.

A step for user u, item i and item j that u lacks, the best of some drawn ones, climbs
``log sigmoid(u . (v_i - v_j) + b_i - b_j)`` less half the regularisation of what it moves.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import dense_jit, jit

# Draws of an item that the user lacks, beyond those wanted, before a step is given up.
_TRIES = 8
# A short profile is gone through until it has had this many steps.
_LEAST_STEPS = 100
_NO_TRACE = np.empty((0, 2), dtype=np.int32), np.empty((0, 2), dtype=np.float32)
# Random numbers are hashes of a counter of 32 bits; products stay within an int64.
_WORD, _GOLDEN, _FIRST, _SECOND = 0xFFFFFFFF, 0x9E3779B9, 0x21F0AAAD, 0x735A2D97


@jit
def _mixed(value):
    """Hash a number below 2 ** 32 to another."""
    value = ((value ^ (value >> 16)) * _FIRST) & _WORD
    value = ((value ^ (value >> 15)) * _SECOND) & _WORD
    return value ^ (value >> 15)


@jit
def _below(value, n):
    """A place below n, from a number below 2 ** 32."""
    return (value * n) >> 32


@dense_jit
def _margin(user, items, i, j, width):
    total = np.float32(0.0)
    for f in range(width):
        total += user[f] * (items[i, f] - items[j, f])
    return total


@dense_jit
def _product(user, items, i, width):
    total = np.float32(0.0)
    for f in range(width):
        total += user[f] * items[i, f]
    return total


@dense_jit
def _move_all(user, items, i, j, width, pull, fade):
    for f in range(width):
        u, p, q = user[f], items[i, f], items[j, f]
        user[f] = u + pull * (p - q) - fade * u
        items[i, f] = p + pull * u - fade * p
        items[j, f] = q - pull * u - fade * q


@dense_jit
def _move_user(user, items, i, j, width, pull, fade):
    for f in range(width):
        user[f] += pull * (items[i, f] - items[j, f]) - fade * user[f]


@jit
def _rival(user, items, biases, width, pool, low, high, holder, row, n_candidates, state):
    """The best of some items that are drawn and that the user lacks, or -1."""
    rival, best, found = -1, np.float32(0.0), 0
    for _ in range(_TRIES + n_candidates):
        state = (state + _GOLDEN) & _WORD
        other = pool[low + _below(_mixed(state), high - low)]
        if other < 0 or holder[other] == row:
            continue
        if n_candidates == 1:
            return other, state
        score = _product(user, items, other, width) + biases[other]
        if rival < 0 or score > best:
            rival, best = other, score
        found += 1
        if found == n_candidates:
            break
    return rival, state


@jit
def _learn_block(
    order, first, last, block, blocks, pool, low, high, store, mean, users, items, biases,
    n_candidates, rate, regularization, state,
):  # fmt: skip
    """Steps of some users with the items of one block."""
    starts, lengths, columns, values = store
    width = users.shape[1]
    longest = 0
    for place in range(first, last):
        longest = max(longest, lengths[order[place]])
    mine = np.empty(longest, dtype=np.int32)
    shares = np.empty(longest, dtype=np.float32)
    holder = np.full(len(blocks), -1, dtype=np.int64)
    for place in range(first, last):
        row = order[place]
        size = 0
        for at in range(starts[row], starts[row] + lengths[row]):
            item = columns[at]
            if blocks[item] == block:
                holder[item] = row
                if values[at] > 0:
                    mine[size] = item
                    shares[size] = np.float32(2.0) * values[at] / (values[at] + mean)
                    size += 1
        user = users[row]
        for at in range(size):
            i = mine[at]
            j, state = _rival(
                user, items, biases, width, pool, low, high, holder, row, n_candidates, state
            )
            if j < 0:
                continue
            margin = _margin(user, items, i, j, width) + biases[i] - biases[j]
            error = np.float32(1.0) / (np.float32(1.0) + np.exp(margin))
            pull = rate * shares[at] * error
            fade = rate * shares[at] * regularization
            _move_all(user, items, i, j, width, pull, fade)
            biases[i] += pull - fade * biases[i]
            biases[j] -= pull + fade * biases[j]


def learn_epoch(
    order, bounds, blocks, pool, members, store, mean, users, items, biases, n_candidates, rate,
    regularization, seeds, n_jobs=1,
):  # fmt: skip
    """Take a step for each entry that is evidence, in place.

    Parameters
    ----------
    order : ndarray of shape (n_users,), int64
        Users, by block.
    bounds : ndarray of shape (n_blocks + 1,), int64
        Where each block of them starts.
    blocks : ndarray of shape (n_items,), int32
        Block of each item.
    pool : ndarray of shape (n,), int32
        Items that rivals are drawn from, by block.
    members : ndarray of shape (n_blocks + 1,), int64
        Where each block of them starts.
    store : tuple of (starts, lengths, columns, values)
        What each user has.
    mean : float
        A step for weight w counts ``2 w / (w + mean)``.
    users, items : ndarray of shape (n_users, n_factors) and (n_items, n_factors), float32
    biases : ndarray of shape (n_items,), float32
    n_candidates : int
        Items drawn for a step; it is taken with the one of highest score.
    rate, regularization : float
    seeds : ndarray of shape (n_blocks, n_blocks), int64
        Below 2 ** 32: of a block of users with a block of items.
    n_jobs : int or None
        Threads; the result does not depend on them.
    """
    n_blocks = len(bounds) - 1
    store = tuple(
        np.ascontiguousarray(values, dtype=kind)
        for values, kind in zip(store, (np.int64, np.int32, np.int32, np.float32), strict=True)
    )
    work = np.full(n_blocks, float(len(store[2])) * users.shape[1] * (n_candidates + 4) / n_blocks)
    mean, rate, regularization = (np.float32(one) for one in (mean, rate, regularization))
    for turn in range(n_blocks):

        def meet(start, stop, turn=turn):
            for mine in range(start, stop):
                block = (mine + turn) % n_blocks
                _learn_block(
                    order, bounds[mine], bounds[mine + 1], block, blocks, pool, members[block],
                    members[block + 1], store, mean, users, items, biases, n_candidates, rate,
                    regularization, seeds[mine, block],
                )  # fmt: skip

        run_sharded(meet, work / n_blocks, n_jobs)


@jit
def _fold_rows(
    start, stop, indptr, columns, values, mean, items, biases, marks, pool, n_candidates, n_epochs,
    rate, regularization, vectors, traced, weights,
):  # fmt: skip
    width = items.shape[1]
    longest = 0
    for row in range(start, stop):
        longest = max(longest, indptr[row + 1] - indptr[row])
    mine = np.empty(longest, dtype=np.int32)
    shares = np.empty(longest, dtype=np.float32)
    keys = np.empty(longest, dtype=np.int64)
    holder = np.full(len(items), -1, dtype=np.int64)
    one = np.float32(1.0)
    for row in range(start, stop):
        size = 0
        for at in range(indptr[row], indptr[row + 1]):
            item = columns[at]
            holder[item] = row
            if values[at] > 0 and marks[item] != 0:
                mine[size] = item
                shares[size] = np.float32(2.0) * values[at] / (values[at] + mean)
                keys[size] = marks[item]
                size += 1
        user = vectors[row]
        user[:] = 0.0
        if size == 0:
            continue
        # In the order of the marks, which is none that means anything.
        ranks = np.argsort(keys[:size])
        n_rounds = max(n_epochs, _LEAST_STEPS // size)
        step, n_steps = 0, n_rounds * size
        for number in range(n_rounds):
            salt = _mixed(number + 1)
            for at in ranks:
                i = mine[at]
                j, _ = _rival(
                    user, items, biases, width, pool, 0, len(pool), holder, row, n_candidates,
                    (keys[at] ^ salt) & _WORD,
                )  # fmt: skip
                slower = rate * shares[at] * (one - np.float32(step) / np.float32(n_steps))
                pull, fade = np.float32(0.0), np.float32(0.0)
                if j >= 0:
                    margin = _margin(user, items, i, j, width) + biases[i] - biases[j]
                    pull = slower / (one + np.exp(margin))
                    fade = slower * regularization
                    _move_user(user, items, i, j, width, pull, fade)
                if len(traced) > 0:
                    traced[step, 0], traced[step, 1] = i, j
                    weights[step, 0], weights[step, 1] = pull, fade
                step += 1


def fold_in(
    profiles, mean, items, biases, marks, pool, n_candidates, n_epochs, rate, regularization,
    n_jobs=1,
):  # fmt: skip
    """Return vectors of users from what they have, given the items.

    Steps as in an epoch, from zero and at a rate that falls to zero, but on the user alone, and
    with random numbers that depend on the items of the profile only: equal profiles get equal
    vectors. Short profiles are gone through more often than `n_epochs` times.

    Parameters
    ----------
    profiles : tuple of (indptr, items, weights)
    mean : float
        A step for weight w counts ``2 w / (w + mean)``.
    items : ndarray of shape (n_items, n_factors), float32
    biases : ndarray of shape (n_items,), float32
    marks : ndarray of shape (n_items,), int64
        A random number of each item; 0 for items without a vector, which are left out.
    pool : ndarray of shape (n,), int32
        Items that rivals are drawn from; a -1 that is drawn is passed over.
    n_candidates, n_epochs : int
    rate, regularization : float
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_factors), float32
    """
    asked, settings, vectors = _fold_arguments(
        profiles, mean, items, biases, marks, pool, n_candidates, n_epochs, rate, regularization
    )
    lengths = np.diff(asked[0])
    run_sharded(
        lambda start, stop: _fold_rows(start, stop, *asked, *settings, vectors, *_NO_TRACE),
        (lengths + _LEAST_STEPS / n_epochs) * items.shape[1] * (n_candidates + 4.0) * n_epochs,
        n_jobs,
    )
    return vectors


def fold_in_steps(
    profile, mean, items, biases, marks, pool, n_candidates, n_epochs, rate, regularization
):  # fmt: skip
    """Return the steps that `fold_in` takes for one profile.

    Returns
    -------
    triples : ndarray of shape (n_steps, 2), int32
        The item of the profile and its rival, or -1.
    shares : ndarray of shape (n_steps,), float64
        The vector is the sum of these times the vector of the item less that of its rival.
    """
    asked, settings, vectors = _fold_arguments(
        profile, mean, items, biases, marks, pool, n_candidates, n_epochs, rate, regularization
    )
    size = int(np.count_nonzero((asked[2] > 0) & (marks[asked[1]] != 0)))
    n_steps = max(n_epochs, _LEAST_STEPS // size) * size if size else 0
    traced, weights = np.zeros((n_steps, 2), np.int32), np.zeros((n_steps, 2), np.float32)
    if size:
        _fold_rows(0, 1, *asked, *settings, vectors, traced, weights)
    # What later steps leave of an earlier one.
    left = np.cumprod(1.0 - weights[::-1, 1].astype(np.float64))[::-1]
    return traced, weights[:, 0] * np.append(left[1:], 1.0)[: len(left)]


def _fold_arguments(
    profiles, mean, items, biases, marks, pool, n_candidates, n_epochs, rate, regularization
):
    """What the kernel takes, in the types it takes, and room for vectors."""
    indptr, columns, values = profiles
    asked = (
        np.ascontiguousarray(indptr, dtype=np.int64),
        np.ascontiguousarray(columns, dtype=np.int32),
        np.ascontiguousarray(values, dtype=np.float32),
    )
    settings = (
        np.float32(mean), np.ascontiguousarray(items, dtype=np.float32),
        np.ascontiguousarray(biases, dtype=np.float32),
        np.ascontiguousarray(marks, dtype=np.int64),
        np.ascontiguousarray(pool, dtype=np.int32), n_candidates, n_epochs, np.float32(rate),
        np.float32(regularization),
    )  # fmt: skip
    vectors = np.empty((len(indptr) - 1, items.shape[1]), dtype=np.float32)
    return asked, settings, vectors
