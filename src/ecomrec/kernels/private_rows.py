"""Rows of single users on an integer grid: each computed from its own entries alone."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit


@jit
def _scaled(start, stop, indptr, values, grid, length, unit, result):
    most = np.int64(grid) * np.int64(grid)
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        total = 0.0
        for at in range(first, last):
            total += values[at] * values[at]
        norm = np.sqrt(total)
        if norm == 0.0:
            for at in range(first, last):
                result[at] = 0
            continue
        factor = grid / (norm if unit else max(norm, length))
        squares = np.int64(0)
        for at in range(first, last):
            # Truncation toward zero never makes a number larger.
            part = np.int64(values[at] * factor)
            result[at] = part
            squares += part * part
        # What rounding in the norm may add is taken off again, exactly.
        while squares > most:
            squares = np.int64(0)
            for at in range(first, last):
                if result[at] > 0:
                    result[at] -= 1
                elif result[at] < 0:
                    result[at] += 1
                squares += result[at] * result[at]


def integer_rows(indptr, values, grid, length, unit, n_jobs=1):
    """Return rows as integers whose L2 norm is at most `grid`, exactly.

    Parameters
    ----------
    indptr : ndarray of shape (n + 1,), int64
    values : ndarray of shape (n_entries,), float64
        Finite.
    grid : int
        At most 2**30.
    length : float
        With `unit` False: the norm that becomes `grid`; longer rows are cut to it.
    unit : bool
        Every row that is not zero gets the norm `grid`, up to truncation.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n_entries,), int64
    """
    if not 1 <= grid <= 2**30:
        raise ValueError(f"grid must be from 1 to 2**30; got {grid}.")
    indptr = np.ascontiguousarray(indptr, dtype=np.int64)
    values = np.ascontiguousarray(values, dtype=np.float64)
    result = np.empty(len(values), dtype=np.int64)
    run_sharded(
        lambda start, stop: _scaled(
            start, stop, indptr, values, float(grid), float(length), bool(unit), result
        ),
        np.diff(indptr) + 1,
        n_jobs,
    )
    return result
