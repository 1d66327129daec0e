"""Sparse rows times dense matrices: weighted sums of vectors."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import dense_jit

NO_SCALES = np.empty(0, dtype=np.float32)


@dense_jit
def _sum_rows(start, stop, rows, starts, lengths, columns, values, scales, dense, out):
    width = dense.shape[1]
    scaled = len(scales) > 0
    for position in range(start, stop):
        row = rows[position]
        first = starts[row]
        total = out[position]
        total[:] = 0.0
        for at in range(first, first + lengths[row]):
            value = values[at]
            if value > 0:
                column = columns[at]
                if scaled:
                    value *= scales[column]
                for f in range(width):
                    total[f] += value * dense[column, f]


def product(rows, store, dense, scales=NO_SCALES, n_jobs=1):
    """Return ``W[rows] @ (scales[:, None] * dense)``, W being the positive entries of a matrix.

    Parameters
    ----------
    rows : ndarray of int
        Rows of the matrix.
    store : tuple of (starts, lengths, columns, values)
        The matrix: row r is ``values[starts[r] : starts[r] + lengths[r]]``, and so are its
        columns. Entries that are not positive count nothing.
    dense : ndarray of shape (n_columns, width)
    scales : ndarray of shape (n_columns,)
        Factors of the columns; empty for none.
    n_jobs : int or None
        Threads; the answer does not depend on them.

    Returns
    -------
    ndarray of shape (len(rows), width), float32
    """
    starts, lengths, columns, values = store
    dense = np.ascontiguousarray(dense, dtype=np.float32)
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    lengths = np.ascontiguousarray(lengths, dtype=np.int32)
    scales = np.ascontiguousarray(scales, dtype=np.float32)
    out = np.empty((len(rows), dense.shape[1]), dtype=np.float32)
    run_sharded(
        lambda start, stop: _sum_rows(
            start, stop, rows, starts, lengths, columns, values, scales, dense, out
        ),
        (lengths[rows] + 1.0) * dense.shape[1],
        n_jobs,
    )
    return out
