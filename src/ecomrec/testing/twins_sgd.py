"""Slow NumPy twins of the kernels of stochastic gradient descent; see `twins`.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins_sgd import tastes_twin
>>> implicit = np.array([[1.0], [3.0]])
>>> tastes_twin(np.array([0, 2]), np.array([0, 1]), implicit, implicit)[0].round(2).tolist()
[[2.83]]
"""

from __future__ import annotations

import numpy as np

from ecomrec.kernels.sgd import Blocks, Side


def _copy(side: Side) -> Side:
    return Side(*(np.array(values, dtype=np.float64) for values in side))


def _shuffled(n: int, seed: int) -> tuple[list[int], int]:
    """Places of n entries after a shuffle by a linear congruence, and the next seed."""
    places = list(range(n))
    for left in range(n, 1, -1):
        seed = (seed * 1_664_525 + 1_013_904_223) % 2**32
        other = seed * left // 2**32
        places[left - 1], places[other] = places[other], places[left - 1]
    return places, seed


def descend_twin(
    parts: Blocks,
    user_side: Side,
    item_side: Side,
    rates: np.ndarray,
    regularization: float,
    rng: np.random.Generator,
) -> tuple[Side, Side]:
    """Go through the blocks one after the other, rating by rating."""
    (p, user_bias), (q, item_bias) = _copy(user_side), _copy(item_side)
    n = int(np.sqrt(len(parts.starts) - 1))
    seeds = [int(seed) for seed in rng.integers(0, 2**32, n * n)]
    order = [list(range(parts.starts[b], parts.starts[b + 1])) for b in range(n * n)]
    for rate in rates:
        for shift in rng.permutation(n):
            for group in range(n):
                block = group * n + (group + int(shift)) % n
                places, seeds[block] = _shuffled(len(order[block]), seeds[block])
                order[block] = [order[block][place] for place in places]
                for at in order[block]:
                    u, i = parts.users[at], parts.items[at]
                    error = parts.ratings[at] - user_bias[u] - item_bias[i] - p[u] @ q[i]
                    user_bias[u] += rate * (error - regularization * user_bias[u])
                    item_bias[i] += rate * (error - regularization * item_bias[i])
                    p[u], q[i] = (
                        p[u] + rate * (error * q[i] - regularization * p[u]),
                        q[i] + rate * (error * p[u] - regularization * q[i]),
                    )
    return Side(p, user_bias), Side(q, item_bias)


def descend_with_implicit_twin(
    indptr: np.ndarray,
    items: np.ndarray,
    ratings: np.ndarray,
    user_side: Side,
    item_side: Side,
    implicit: np.ndarray,
    rates: np.ndarray,
    regularization: float,
    rng: np.random.Generator,
) -> tuple[Side, Side, np.ndarray]:
    """Koren's own form: each rating moves the implicit vectors of all items of its user."""
    (p, user_bias), (q, item_bias) = _copy(user_side), _copy(item_side)
    y = np.array(implicit, dtype=np.float64)
    for rate in rates:
        for u in rng.permutation(len(indptr) - 1):
            rated = items[indptr[u] : indptr[u + 1]]
            for i, rating in zip(rated, ratings[indptr[u] : indptr[u + 1]], strict=True):
                taste = y[rated].sum(axis=0) / np.sqrt(len(rated))
                error = rating - user_bias[u] - item_bias[i] - (p[u] + taste) @ q[i]
                user_bias[u] += rate * (error - regularization * user_bias[u])
                item_bias[i] += rate * (error - regularization * item_bias[i])
                y[rated] += rate * (error * q[i] / np.sqrt(len(rated)) - regularization * y[rated])
                p[u], q[i] = (
                    p[u] + rate * (error * q[i] - regularization * p[u]),
                    q[i] + rate * (error * (p[u] + taste) - regularization * q[i]),
                )
    return Side(p, user_bias), Side(q, item_bias), y


def tastes_twin(
    indptr: np.ndarray, items: np.ndarray, item_factors: np.ndarray, implicit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add up the implicit vectors of each user's items, user by user."""
    tastes = np.zeros((len(indptr) - 1, implicit.shape[1]))
    products = np.zeros(len(items))
    for user in range(len(tastes)):
        rated = items[indptr[user] : indptr[user + 1]]
        if len(rated):
            tastes[user] = implicit[rated].sum(axis=0) / np.sqrt(len(rated))
            found = item_factors[rated, : implicit.shape[1]] @ tastes[user]
            products[indptr[user] : indptr[user + 1]] = found
    return tastes, products
