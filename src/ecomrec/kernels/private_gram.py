"""Gram matrices of items from rows of users on an integer grid: exact whatever the order."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit


@jit
def _user_gram(start, stop, indptr, items, values, matrix):
    for item in range(start, stop):
        matrix[item, :] = 0
    for user in range(len(indptr) - 1):
        first, last = indptr[user], indptr[user + 1]
        for at in range(first, last):
            item = items[at]
            if item < start:
                continue
            if item >= stop:
                break
            row, value = matrix[item], values[at]
            for other in range(first, last):
                row[items[other]] += value * values[other]


@jit
def _pairs(indptr, items, work):
    for user in range(len(indptr) - 1):
        length = indptr[user + 1] - indptr[user]
        for at in range(indptr[user], indptr[user + 1]):
            work[items[at]] += length


def user_gram(indptr, items, values, n_items, n_jobs=1):
    """Return ``sum_u q_u q_u'``, symmetric and exact.

    Parameters
    ----------
    indptr : ndarray of shape (n_users + 1,), int64
    items : ndarray of shape (n_entries,), int32
        Rising within each user, from 0 to ``n_items - 1``.
    values : ndarray of shape (n_entries,), int64
        The q: with at most 2**15 as the norm of each user, no sum over 2**31 users overflows.
    n_items : int
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n_items, n_items), int64
    """
    indptr = np.ascontiguousarray(indptr, dtype=np.int64)
    items = np.ascontiguousarray(items, dtype=np.int32)
    values = np.ascontiguousarray(values, dtype=np.int64)
    if len(items) != indptr[-1] or len(values) != indptr[-1]:
        raise ValueError("items and values must have an entry for each place of indptr.")
    matrix = np.empty((n_items, n_items), dtype=np.int64)
    work = np.full(n_items, n_items, dtype=np.int64)
    _pairs(indptr, items, work)
    run_sharded(
        lambda start, stop: _user_gram(start, stop, indptr, items, values, matrix), work, n_jobs
    )
    return matrix
