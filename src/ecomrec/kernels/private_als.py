"""Private alternating least squares: what one user gives, on the integer grid, and exact sums.

Every user is computed alone, in the same order of operations whoever else is there: what a user
gives does not change by a bit when somebody leaves, nor with the number of threads. What is summed
is whole numbers, so sums are exact in any order, and bounds are proven in whole numbers too.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit


@jit
def _solve_user(first, last, items, labels, factors, base, system, x):
    """Set x to (base + sum_j v_j v_j')^-1 sum_j y_j v_j over the items of one user."""
    d = factors.shape[1]
    for f in range(d):
        x[f] = 0.0
        for g in range(d):
            system[f, g] = base[f, g]
    for at in range(first, last):
        row = factors[items[at]]
        label = labels[at]
        for f in range(d):
            factor = row[f]
            x[f] += label * factor
            for g in range(f, d):
                system[f, g] += factor * row[g]
    # Cholesky, upper triangle by rows: system = R'R, then R'y = x, then R x = y.
    for f in range(d):
        root = np.sqrt(system[f, f])
        for g in range(f, d):
            system[f, g] /= root
        x[f] /= root
        for h in range(f + 1, d):
            factor = system[f, h]
            x[h] -= factor * x[f]
            for g in range(h, d):
                system[h, g] -= factor * system[f, g]
    for f in range(d - 1, -1, -1):
        total = x[f]
        for g in range(f + 1, d):
            total -= system[f, g] * x[g]
        x[f] = total / system[f, f]


@jit
def _solve(start, stop, indptr, items, labels, factors, base, solved):
    d = factors.shape[1]
    system = np.empty((d, d))
    for user in range(start, stop):
        _solve_user(
            indptr[user], indptr[user + 1], items, labels, factors, base, system, solved[user]
        )


def solve(indptr, items, labels, factors, base, n_jobs=1):
    """Return the vectors of some users given the items', each solved for alone.

    Parameters
    ----------
    indptr : ndarray of shape (n + 1,), int64
    items : ndarray, int32
    labels : ndarray, float64
        What each entry is fitted to.
    factors : ndarray of shape (n_items, n_factors), float64
    base : ndarray of shape (n_factors, n_factors), float64
        What every user's system starts with: positive definite.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_factors), float64
    """
    d = factors.shape[1]
    solved = np.empty((len(indptr) - 1, d))
    arguments = (
        np.ascontiguousarray(indptr, dtype=np.int64),
        np.ascontiguousarray(items, dtype=np.int32),
        *(np.ascontiguousarray(v, dtype=np.float64) for v in (labels, factors, base)),
    )
    run_sharded(
        lambda start, stop: _solve(start, stop, *arguments, solved),
        (np.diff(indptr) + d / 3.0) * (d * d / 2.0),
        n_jobs,
    )
    return solved


@jit
def _add_square(row, weight, matrix):
    """Add ``weight * row row'`` to the upper triangle of an integer matrix."""
    d = len(row)
    for f in range(d):
        # 31 bits at most: products of two 32-bit numbers are what processors are fast at.
        factor = np.int32(weight * row[f])
        for g in range(f, d):
            matrix[f, g] += np.int64(factor) * np.int64(row[g])


@jit
def _mirror(matrix):
    for f in range(len(matrix)):
        for g in range(f):
            matrix[f, g] = matrix[g, f]


@jit
def _sum_systems(start, stop, starts, users, weights, steps, sums):
    for item in range(start, stop):
        for at in range(starts[item], starts[item + 1]):
            _add_square(steps[users[at]], weights[at], sums[item])
        _mirror(sums[item])


@jit
def _sum_targets(start, stop, starts, users, targets, steps, sums):
    d = steps.shape[1]
    for item in range(start, stop):
        for at in range(starts[item], starts[item + 1]):
            row, target = steps[users[at]], targets[at]
            for f in range(d):
                sums[item, f] += np.int64(target) * np.int64(row[f])


def system_sums(starts, users, weights, steps, n_jobs=1):
    """Return ``sum_i w_ij u_i u_i'`` of each item j, exactly.

    Parameters
    ----------
    starts : ndarray of shape (n_items + 1,), int64
        Item j's entries are those from ``starts[j]`` to ``starts[j + 1]``.
    users, weights : ndarray, int32
        The user i and w of each entry.
    steps : ndarray of shape (n_users, n_factors), int32
        Users' vectors as integers; an entry times a weight has at most 31 bits.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n_items, n_factors, n_factors), int64
    """
    d = steps.shape[1]
    sums = np.zeros((len(starts) - 1, d, d), dtype=np.int64)
    arguments = _entries(starts, users, weights, steps)
    run_sharded(
        lambda start, stop: _sum_systems(start, stop, *arguments, sums),
        np.diff(starts) * (d * d / 2.0) + 1.0,
        n_jobs,
    )
    return sums


def target_sums(starts, users, targets, steps, n_jobs=1):
    """Return ``sum_i z_ij u_i`` of each item j, exactly.

    Parameters
    ----------
    starts, users, steps, n_jobs
        As in `system_sums`.
    targets : ndarray, int32
        The z of each entry.

    Returns
    -------
    ndarray of shape (n_items, n_factors), int64
    """
    sums = np.zeros((len(starts) - 1, steps.shape[1]), dtype=np.int64)
    arguments = _entries(starts, users, targets, steps)
    run_sharded(
        lambda start, stop: _sum_targets(start, stop, *arguments, sums),
        np.diff(starts) * float(steps.shape[1]) + 1.0,
        n_jobs,
    )
    return sums


def _entries(starts, users, values, steps):
    return (
        np.ascontiguousarray(starts, dtype=np.int64),
        *(np.ascontiguousarray(v, dtype=np.int32) for v in (users, values, steps)),
    )


@jit
def _gram(steps, total):
    for user in range(len(steps)):
        _add_square(steps[user], np.int32(1), total)
    _mirror(total)


def gram(steps):
    """Return ``sum_i u_i u_i'`` of integer rows, exactly: (n_factors, n_factors), int64."""
    total = np.zeros((steps.shape[1], steps.shape[1]), dtype=np.int64)
    _gram(np.ascontiguousarray(steps, dtype=np.int32), total)
    return total
