"""Stochastic gradient descent on the squared error of ratings.

A rating r of user u and item i is predicted as ``b_u + b_i + q_i . (p_u + z_u)``, with z_u = 0
or, with implicit feedback, ``sum of y_j over the n_u items j of u, / sqrt(n_u)``. Of the error e
of one rating each parameter learns by ``x += rate * (e * gradient - regularization * x)``.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ecomrec._parallel import n_threads, run_sharded, shard_bounds
from ecomrec.kernels import assemble
from ecomrec.kernels._jit import dense_jit, jit

# Ratings of one block, at least, and rows of blocks, at most: fixed, whatever the threads.
_BLOCK_SIZE, _MOST_GROUPS = 2_500, 64
# Multiply-adds of an epoch below which threads cost more than they give.
_MIN_WORK = 1_000_000
# A linear congruential generator of 32 bits (Knuth, Lewis), whose products fit into 64.
_FACTOR, _ADDED, _MASK = 1_664_525, 1_013_904_223, 0xFFFFFFFF


class Blocks(NamedTuple):
    """Ratings cut into blocks of users x items; blocks of a diagonal share no user and no item.

    Attributes
    ----------
    starts : ndarray of shape (n_groups ** 2 + 1,), int64
        Block ``a * n_groups + b`` holds the ratings of items of group b by users of group a.
    users, items : ndarray, int32
    ratings : ndarray, float32
    """

    starts: np.ndarray
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray


class Side(NamedTuple):
    """Parameters of the users or of the items, changed in place.

    Attributes
    ----------
    factors : ndarray of shape (n, n_factors), float32
    biases : ndarray of shape (n,), float32
    """

    factors: np.ndarray
    biases: np.ndarray


def start(n_rows, n_factors, std, rng):
    """Return normal factors of this standard deviation, and biases of 0."""
    factors = rng.standard_normal((n_rows, n_factors), dtype=np.float32)
    factors *= np.float32(std)
    return Side(factors, np.zeros(n_rows, dtype=np.float32))


def n_groups(n_ratings):
    """Return into how many groups users and items are cut: a power of two."""
    wanted = int(np.sqrt(n_ratings / _BLOCK_SIZE))
    return min(1 << max(wanted.bit_length() - 1, 0), _MOST_GROUPS)


def blocks(users, items, ratings, n_users, n_items, groups):
    """Cut ratings into blocks of neighbouring rows, each row of blocks about as much work.

    Parameters
    ----------
    users, items : ndarray of shape (n,), int32
    ratings : ndarray of shape (n,), float32
    n_users, n_items, groups : int

    Returns
    -------
    Blocks
    """
    codes = np.zeros(len(users), dtype=np.int32)
    for rows, n_rows in ((users, n_users), (items, n_items)):
        ends = shard_bounds(np.bincount(rows, minlength=n_rows) + 1e-9, groups)[1:]
        group = np.searchsorted(ends, np.arange(n_rows), side="right").astype(np.int32)
        codes = codes * np.int32(groups) + group[rows]
    starts, order = assemble.group_by_row(codes, groups * groups)
    return Blocks(
        starts,
        users[order].astype(np.int32, copy=False),
        items[order].astype(np.int32, copy=False),
        ratings[order].astype(np.float32, copy=False),
    )


@jit
def _shuffle(first, last, seed, users, items, ratings):
    """Put the ratings of a block into another order (Fisher, Yates); return the next seed."""
    for left in range(last - first, 1, -1):
        seed = (seed * _FACTOR + _ADDED) & _MASK
        one, other = first + left - 1, first + ((seed * left) >> 32)
        users[one], users[other] = users[other], users[one]
        items[one], items[other] = items[other], items[one]
        ratings[one], ratings[other] = ratings[other], ratings[one]
    return seed


@dense_jit
def _descend_entries(
    first, last, users, items, ratings, user_factors, user_biases, item_factors, item_biases,
    rate, kept,
):  # fmt: skip
    d = user_factors.shape[1]
    for at in range(first, last):
        user, item = users[at], items[at]
        found = np.float32(0.0)
        for f in range(d):
            found += user_factors[user, f] * item_factors[item, f]
        step = rate * (ratings[at] - user_biases[user] - item_biases[item] - found)
        user_biases[user] = kept * user_biases[user] + step
        item_biases[item] = kept * item_biases[item] + step
        for f in range(d):
            mine, other = user_factors[user, f], item_factors[item, f]
            user_factors[user, f] = kept * mine + step * other
            item_factors[item, f] = kept * other + step * mine


@jit
def _descend(
    first, last, numbers, seeds, starts, users, items, ratings, user_factors, user_biases,
    item_factors, item_biases, rate, kept,
):  # fmt: skip
    for position in range(first, last):
        block = numbers[position]
        begin, end = starts[block], starts[block + 1]
        seeds[block] = _shuffle(begin, end, seeds[block], users, items, ratings)
        _descend_entries(
            begin, end, users, items, ratings, user_factors, user_biases, item_factors,
            item_biases, rate, kept,
        )  # fmt: skip


def descend(parts, user_side, item_side, rates, regularization, rng, n_jobs):
    """Go through all ratings once for each rate, in blocks, and improve both sides in place.

    An epoch takes the diagonals of the blocks one after the other, in a random order; the blocks
    of one diagonal run in parallel, the ratings of a block in a new random order. The result
    depends on the seed, never on the number of threads.

    Parameters
    ----------
    parts : Blocks
        Its ratings come out in another order.
    user_side, item_side : Side
    rates : ndarray of shape (n_epochs,)
    regularization : float
    rng : numpy.random.Generator
    n_jobs : int or None
    """
    groups = int(np.sqrt(len(parts.starts) - 1))
    seeds = rng.integers(0, 2**32, groups * groups)
    threads = min(n_threads(n_jobs), groups)
    threads = threads if len(parts.users) * user_side.factors.shape[1] > _MIN_WORK else 1
    sizes = np.diff(parts.starts)

    def run(first, last, numbers, rate):
        _descend(
            first, last, numbers, seeds, *parts, *user_side, *item_side, np.float32(rate),
            np.float32(1 - rate * regularization),
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        for rate in rates:
            for shift in rng.permutation(groups):
                numbers = np.arange(groups) * groups + (np.arange(groups) + shift) % groups
                if threads == 1:
                    run(0, groups, numbers, rate)
                    continue
                bounds = shard_bounds(sizes[numbers] + 1, threads)
                tasks = [
                    pool.submit(run, first, last, numbers, rate)
                    for first, last in itertools.pairwise(bounds)
                ]
                for task in tasks:
                    task.result()


@dense_jit
def _descend_users(
    order, indptr, items, ratings, user_factors, user_biases, item_factors, item_biases, implicit,
    rate, kept,
):  # fmt: skip
    d = user_factors.shape[1]
    start, tastes = np.empty(d, dtype=np.float32), np.empty(d, dtype=np.float32)
    for position in range(len(order)):
        user = order[position]
        first, last = indptr[user], indptr[user + 1]
        if first == last:
            continue
        share = np.float32(1.0 / np.sqrt(last - first))
        for f in range(d):
            start[f] = 0.0
        for at in range(first, last):
            item = items[at]
            for f in range(d):
                start[f] += implicit[item, f]
        for f in range(d):
            start[f] *= share
            tastes[f] = start[f]
        left = np.float32(1.0)
        for at in range(first, last):
            item = items[at]
            found = np.float32(0.0)
            for f in range(d):
                found += (user_factors[user, f] + tastes[f]) * item_factors[item, f]
            step = rate * (ratings[at] - user_biases[user] - item_biases[item] - found)
            user_biases[user] = kept * user_biases[user] + step
            item_biases[item] = kept * item_biases[item] + step
            left *= kept
            for f in range(d):
                mine, other, taste = user_factors[user, f], item_factors[item, f], tastes[f]
                user_factors[user, f] = kept * mine + step * other
                item_factors[item, f] = kept * other + step * (mine + taste)
                tastes[f] = kept * taste + step * other
        for f in range(d):
            start[f] = share * (tastes[f] - left * start[f])
        for at in range(first, last):
            item = items[at]
            for f in range(d):
                implicit[item, f] = left * implicit[item, f] + start[f]


def descend_with_implicit(
    indptr, items, ratings, user_side, item_side, implicit, rates, regularization, rng
):
    """Go through all ratings once for each rate, user by user, with implicit feedback.

    Every rating of u moves all the y_j of u's items: by the same vector and the same factor. So
    z_u follows ``z_u += rate * (e q_i - regularization z_u)`` while the y_j wait, and they are
    brought up to date once for each user: the same steps as rating by rating, at the cost of one
    vector for each. Users come in a new random order each time, one after the other: each
    changes what the next one sees.

    Parameters
    ----------
    indptr : ndarray of shape (n_users + 1,), int64
    items : ndarray of shape (n,), int32
    ratings : ndarray of shape (n,), float32
    user_side, item_side : Side
    implicit : ndarray of shape (n_items, n_factors), float32
        The y_j, changed in place.
    rates : ndarray of shape (n_epochs,)
    regularization : float
    rng : numpy.random.Generator
    """
    for rate in rates:
        _descend_users(
            rng.permutation(len(indptr) - 1), indptr, items, ratings, *user_side, *item_side,
            implicit, np.float32(rate), np.float32(1 - rate * regularization),
        )  # fmt: skip


@dense_jit
def _tastes(start, stop, indptr, items, item_factors, implicit, tastes, products):
    d = implicit.shape[1]
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        if first == last:
            continue
        share = np.float32(1.0 / np.sqrt(last - first))
        for at in range(first, last):
            for f in range(d):
                tastes[row, f] += implicit[items[at], f]
        for f in range(d):
            tastes[row, f] *= share
        for at in range(first, last):
            product = np.float32(0.0)
            for f in range(d):
                product += tastes[row, f] * item_factors[items[at], f]
            products[at] = product


def tastes(indptr, items, item_factors, implicit, n_jobs):
    """Return what users' items alone say of them.

    Parameters
    ----------
    indptr : ndarray of shape (n_users + 1,), int64
    items : ndarray of shape (n,), int32
    item_factors : ndarray of shape (n_items, at least n_factors), float32
    implicit : ndarray of shape (n_items, n_factors), float32
    n_jobs : int or None

    Returns
    -------
    tastes : ndarray of shape (n_users, n_factors), float32
        The z_u.
    products : ndarray of shape (n,), float32
        ``q_i . z_u`` of each entry.
    """
    d = implicit.shape[1]
    found = np.zeros((len(indptr) - 1, d), dtype=np.float32)
    products = np.empty(len(items), dtype=np.float32)
    run_sharded(
        lambda start, stop: _tastes(
            start, stop, indptr, items, item_factors, implicit, found, products
        ),
        np.diff(indptr) * (2 * d),
        n_jobs,
    )
    return found, products
