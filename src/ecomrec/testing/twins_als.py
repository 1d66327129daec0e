"""Slow NumPy twins of alternating least squares, as in `ecomrec.testing.twins`.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins_als import objective_twin
>>> bought = np.array([[1.0, 0.0], [1.0, 2.0]])
>>> objective_twin(bought, np.zeros((2, 3)), np.ones((2, 3)), regularization=0.0)
4.0
"""

from __future__ import annotations

import numpy as np

from ecomrec.testing.twins import Arrays

_LEAST_RIDGE = 1e-10


def solve_twin(
    numbers: np.ndarray,
    store: Arrays,
    factors: np.ndarray,
    gram: np.ndarray,
    ridges: np.ndarray,
    *,
    scale: float = 1.0,
    offsets: np.ndarray | None = None,
) -> np.ndarray:
    """Solve the normal equations of each row in float64."""
    starts, lengths, columns, values = store
    z = np.asarray(factors, np.float64)
    solved = np.zeros((len(numbers), z.shape[1]))
    for position, row in enumerate(numbers):
        inside = slice(starts[row], starts[row] + lengths[row])
        places, given = columns[inside], values[inside].astype(np.float64)
        if offsets is None:
            places, given = places[given > 0], given[given > 0]
            weights, targets = given * scale, np.ones(len(given))
        else:
            weights, targets = np.ones(len(given)), given - offsets[places]
        if len(places):
            ridge = max(float(ridges[position]), _LEAST_RIDGE)
            system = gram + ridge * np.eye(z.shape[1]) + (z[places].T * weights) @ z[places]
            solved[position] = np.linalg.solve(system, z[places].T @ (weights * targets))
    return solved


def gram_twin(factors: np.ndarray) -> np.ndarray:
    """Multiply the factors with themselves."""
    wide = np.asarray(factors, np.float64)
    products: np.ndarray = wide.T @ wide
    return products


def rotate_twin(factors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Multiply the factors with a matrix."""
    turned: np.ndarray = np.asarray(factors, np.float64) @ rotation
    return turned


def objective_twin(
    matrix: np.ndarray,
    users: np.ndarray,
    items: np.ndarray,
    *,
    regularization: float,
    unobserved_weight: float = 1.0,
    regularization_exponent: float = 1.0,
) -> float:
    """What `ALS` minimises for a dense matrix of weights, over all pairs, in float64."""
    weights = np.maximum(np.asarray(matrix, np.float64), 0.0)
    users, items = np.asarray(users, np.float64), np.asarray(items, np.float64)
    scores = users @ items.T
    loss = float((weights * (1 - scores) ** 2).sum() + unobserved_weight * (scores**2).sum())
    for axis, factors in ((1, users), (0, items)):
        counts = (weights > 0).sum(axis=axis) + unobserved_weight * weights.shape[axis]
        squares = (factors**2).sum(axis=1)
        loss += float(regularization * (counts**regularization_exponent * squares).sum())
    return loss


def rating_objective_twin(
    users: np.ndarray,
    items: np.ndarray,
    ratings: np.ndarray,
    mean: float,
    user_factors: np.ndarray,
    item_factors: np.ndarray,
    *,
    regularization: float,
    regularization_exponent: float = 1.0,
) -> float:
    """What ``ALS(feedback="explicit")`` minimises, one entry for each rating, in float64."""
    user_factors = np.array(user_factors, np.float64)
    item_factors = np.array(item_factors, np.float64)
    scores = (user_factors[users] * item_factors[items]).sum(axis=1)
    loss = float(((ratings - scores) ** 2).sum())
    user_factors[:, -2] -= mean
    for rows, factors, constant in ((users, user_factors, -1), (items, item_factors, -2)):
        counts = np.bincount(rows, minlength=len(factors)).astype(np.float64)
        squares = (np.delete(factors, constant, axis=1) ** 2).sum(axis=1)
        loss += float(regularization * (counts**regularization_exponent * squares).sum())
    return loss
