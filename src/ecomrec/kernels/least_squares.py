"""Alternating least squares: one row of factors at a time, given those of the other side.

Row r has entries (c, v). Its factors x minimise

    sum over entries of w (t - z_c . x)^2  +  x' gram x  +  ridge_r |x|^2

where z_c are the other side's factors. For weights, w = v * scale and t = 1, and entries without
evidence count nothing; for ratings (`offsets` given), w = 1 and t = v - offset_c.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._blas import add_products, factorize_and_solve
from ecomrec.kernels._jit import dense_jit, jit

NO_OFFSETS = np.empty(0, dtype=np.float32)
# Numbers in a buffer for the factors of a row's entries, one for each thread: 16 MB. Rows that are
# longer come in parts.
_ROOM = 1 << 22
# Rows of a block whose Gram matrix, or rotation, is one product: results do not depend on threads.
_GRAM_ROWS, _ROTATED_ROWS = 4096, 2048
# A Cholesky factor needs a positive diagonal even where nothing regularises.
LEAST_RIDGE = 1e-10
# Steps end when what is left is this share of what was wrong: float32 can do no better.
_SMALL = 1e-12


@jit
def _gather(first, n, columns, values, scale, offsets, factors, rows, weights, targets):
    """Copy the factors, weights and targets of those of a row's entries that are evidence."""
    size, d = 0, factors.shape[1]
    for at in range(first, first + n):
        column, value = columns[at], values[at]
        if len(offsets) > 0:
            weights[size] = 1.0
            targets[size] = value - offsets[column]
        elif value > 0:
            weights[size] = value * scale
            targets[size] = 1.0
        else:
            continue
        for f in range(d):
            rows[size, f] = factors[column, f]
        size += 1
    return size


@dense_jit
def _product(rows, e, low, high, x):
    total = np.float32(0.0)
    for f in range(low, high):
        total += rows[e, f] * x[f]
    return total


@dense_jit
def _is_finite(x):
    total = np.float32(0.0)
    for f in range(len(x)):
        total += np.float32(0.0) * x[f]
    return total == 0


@dense_jit
def _start_block(low, high, gram, ridge, system, right):
    d = high - low
    for f in range(d):
        right[f] = 0.0
        for g in range(d):
            system[f * d + g] = gram[low + f, low + g]
        system[f * d + f] += ridge


@dense_jit
def _add_to_block(
    low, high, size, rows, weights, left, scaled, system, right, flags, sizes, reals
):
    d = high - low
    for e in range(size):
        root, factor = np.sqrt(weights[e]), weights[e] * left[e]
        for f in range(d):
            scaled[e * d + f] = root * rows[e, low + f]
            right[f] += factor * rows[e, low + f]
    add_products(d, size, False, scaled, system, flags, sizes, reals)


@dense_jit
def _solve_dual(
    low, high, size, rows, weights, left, gram, ridge, x, scaled, system, right, flags, sizes,
    reals,
):  # fmt: skip
    """Solve for few entries, with a diagonal gram D (ridge in it).

    x = D^-1 Z' W^1/2 (I + W^1/2 Z D^-1 Z' W^1/2)^-1 W^1/2 t.
    """
    d = high - low
    for e in range(size):
        root = np.sqrt(weights[e])
        right[e] = root * left[e]
        for f in range(low, high):
            scaled[e * d + f - low] = root * rows[e, f] / np.sqrt(gram[f, f] + ridge)
    for at in range(size * size):
        system[at] = 0.0
    for at in range(size):
        system[at * size + at] = 1.0
    add_products(size, d, True, scaled, system, flags, sizes, reals)
    if not factorize_and_solve(size, system, right, flags, sizes):
        return False
    for f in range(low, high):
        x[f] = 0.0
    for e in range(size):
        factor = right[e]
        for f in range(d):
            x[low + f] += factor * scaled[e * d + f]
    for f in range(low, high):
        x[f] /= np.sqrt(gram[f, f] + ridge)
    return True


@jit
def _solve_rows(
    start, stop, numbers, store, scale, offsets, factors, gram, diagonal, ridges, block_size, warm,
    most, solved, failed,
):  # fmt: skip
    starts, lengths, columns, values = store
    d = factors.shape[1]
    longest = 1
    for position in range(start, stop):
        longest = max(longest, lengths[numbers[position]])
    longest = min(longest, most)
    rows = np.empty((longest, d), dtype=np.float32)
    scaled = np.empty(longest * block_size, dtype=np.float32)
    weights = np.empty(longest, dtype=np.float32)
    targets = np.empty(longest, dtype=np.float32)
    left = np.empty(longest, dtype=np.float32)
    system = np.empty(block_size * block_size, dtype=np.float32)
    right = np.empty(block_size, dtype=np.float32)
    flags, sizes = np.empty(2, dtype=np.uint8), np.empty(3, dtype=np.int32)
    reals = np.empty(1, dtype=np.float32)
    for position in range(start, stop):
        row = numbers[position]
        first, length = starts[row], lengths[row]
        x, ridge = solved[position], ridges[position]
        if not warm:
            x[:] = 0.0
        size = 0
        for low in range(0, d, block_size):
            high = min(low + block_size, d)
            found, dual = 0, False
            # A row that is longer than the buffers comes in parts, again for each block.
            for begin in range(0, length, most):
                if low == 0 or length > most:
                    size = _gather(
                        first + begin, min(most, length - begin), columns, values, scale, offsets,
                        factors, rows, weights, targets,
                    )  # fmt: skip
                for e in range(size):
                    left[e] = targets[e]
                    if low > 0:
                        left[e] -= _product(rows, e, 0, low, x)
                    if warm and high < d:
                        left[e] -= _product(rows, e, high, d, x)
                dual = diagonal and length <= most and 0 < size < high - low
                if not dual:
                    if found == 0:
                        _start_block(low, high, gram, ridge, system, right)
                    _add_to_block(
                        low, high, size, rows, weights, left, scaled, system, right, flags, sizes,
                        reals,
                    )  # fmt: skip
                found += size
            if found == 0:
                x[:] = 0.0
                break
            if dual:
                fine = _solve_dual(
                    low, high, size, rows, weights, left, gram, ridge, x, scaled, system, right,
                    flags, sizes, reals,
                )  # fmt: skip
            else:
                fine = factorize_and_solve(high - low, system, right, flags, sizes)
                for f in range(low, high):
                    x[f] = right[f - low]
            if not fine or not _is_finite(x):
                failed[0] = 1


@dense_jit
def _descend(
    first, length, most, columns, values, scale, offsets, factors, rows, weights, targets, gram,
    ridge, n_steps, x, scratch,
):  # fmt: skip
    """Preconditioned conjugate gradients from x, with a diagonal gram; whether all went well."""
    d = factors.shape[1]
    residual, direction, product, inverse = scratch[0], scratch[1], scratch[2], scratch[3]
    for f in range(d):
        inverse[f] = gram[f, f] + ridge
        residual[f] = -inverse[f] * x[f]
    size, found = 0, 0
    for begin in range(0, length, most):
        size = _gather(
            first + begin, min(most, length - begin), columns, values, scale, offsets, factors,
            rows, weights, targets,
        )  # fmt: skip
        found += size
        for e in range(size):
            weight = weights[e]
            error = weight * (targets[e] - _product(rows, e, 0, d, x))
            for f in range(d):
                residual[f] += error * rows[e, f]
                inverse[f] += weight * rows[e, f] * rows[e, f]
    if found == 0:
        x[:] = 0.0
        return True
    slope = np.float32(0.0)
    for f in range(d):
        inverse[f] = np.float32(1.0) / inverse[f]
        direction[f] = inverse[f] * residual[f]
        slope += direction[f] * residual[f]
    enough = slope * np.float32(_SMALL)
    for _ in range(n_steps):
        if not slope > enough:
            break
        for f in range(d):
            product[f] = (gram[f, f] + ridge) * direction[f]
        for begin in range(0, length, most):
            if length > most:
                size = _gather(
                    first + begin, min(most, length - begin), columns, values, scale, offsets,
                    factors, rows, weights, targets,
                )  # fmt: skip
            for e in range(size):
                change = weights[e] * _product(rows, e, 0, d, direction)
                for f in range(d):
                    product[f] += change * rows[e, f]
        curvature = np.float32(0.0)
        for f in range(d):
            curvature += direction[f] * product[f]
        step = slope / curvature
        left = np.float32(0.0)
        for f in range(d):
            x[f] += step * direction[f]
            residual[f] -= step * product[f]
            left += residual[f] * residual[f] * inverse[f]
        momentum = left / slope
        slope = left
        for f in range(d):
            direction[f] = inverse[f] * residual[f] + momentum * direction[f]
    return np.isfinite(slope) and _is_finite(x)


@jit
def _descend_rows(
    start, stop, numbers, store, scale, offsets, factors, gram, ridges, n_steps, most, solved,
    failed,
):  # fmt: skip
    starts, lengths, columns, values = store
    longest = 1
    for position in range(start, stop):
        longest = max(longest, lengths[numbers[position]])
    longest = min(longest, most)
    rows = np.empty((longest, factors.shape[1]), dtype=np.float32)
    weights = np.empty(longest, dtype=np.float32)
    targets = np.empty(longest, dtype=np.float32)
    scratch = np.empty((4, factors.shape[1]), dtype=np.float32)
    for position in range(start, stop):
        row = numbers[position]
        fine = _descend(
            starts[row], lengths[row], most, columns, values, scale, offsets, factors, rows,
            weights, targets, gram, ridges[position], n_steps, solved[position], scratch,
        )  # fmt: skip
        if not fine:
            failed[0] = 1


def solve(
    numbers, store, factors, gram, ridges, *, scale=1.0, offsets=NO_OFFSETS, diagonal=False,
    block_size=0, warm=None, overwrite_warm=False, n_steps=0, n_jobs=1,
):  # fmt: skip
    """Return the factors of some rows that fit their entries best.

    Parameters
    ----------
    numbers : ndarray of shape (n,), int64
        Rows of `store`.
    store : tuple of (starts, lengths, columns, values)
    factors : ndarray of shape (n_columns, n_factors), float32
    gram : ndarray of shape (n_factors, n_factors)
        Penalty of all factors; with `diagonal`, what is off its diagonal is taken for zero.
    ridges : ndarray of shape (n,)
        Penalty of each row.
    scale : float
        Factor of the weights.
    offsets : ndarray of shape (n_columns,)
        Taken off the ratings; empty for weights.
    diagonal : bool
        Whether `gram` is diagonal; needed for all but the exact solution.
    block_size : int
        Factors solved for at a time, given the others in `warm` (0: all, exactly).
    warm : ndarray of shape (n, n_factors), float32, or None
        Where to start, for blocks and steps.
    overwrite_warm : bool
        Whether `warm` may be changed, and returned, instead of a copy.
    n_steps : int
        Steps of conjugate gradients instead of Cholesky factors (0: none).
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_factors), float32
        Zeros for rows without evidence.

    Raises
    ------
    FloatingPointError
        A row's problem has no solution, or none that float32 can hold.
    """
    d = factors.shape[1]
    factors = np.ascontiguousarray(factors, dtype=np.float32)
    gram = np.ascontiguousarray(gram, dtype=np.float32)
    offsets = np.ascontiguousarray(offsets, dtype=np.float32)
    ridges = np.maximum(ridges, LEAST_RIDGE).astype(np.float32)
    most = max(_ROOM // d, d)
    if warm is None:
        solved = np.zeros((len(numbers), d), dtype=np.float32)
    else:
        solved = np.array(warm, dtype=np.float32, order="C", copy=None if overwrite_warm else True)
    lengths = store[1][numbers].astype(np.float64)
    failed = np.zeros(1, dtype=np.int64)
    if n_steps:
        run_sharded(
            lambda start, stop: _descend_rows(
                start, stop, numbers, store, np.float32(scale), offsets, factors, gram, ridges,
                n_steps, most, solved, failed,
            ),
            (lengths + 1) * (4 * d * (n_steps + 1)),
            n_jobs,
        )  # fmt: skip
    else:
        width = min(block_size or d, d)
        narrow = np.minimum(lengths, width)
        run_sharded(
            lambda start, stop: _solve_rows(
                start, stop, numbers, store, np.float32(scale), offsets, factors, gram, diagonal,
                ridges, width, warm is not None, most, solved, failed,
            ),
            (lengths + 1) * (narrow + 8) * d,
            n_jobs,
        )  # fmt: skip
    if failed[0]:
        raise FloatingPointError(
            "a least-squares problem has no finite solution in single precision. Raise "
            "regularization, or scale the weights down."
        )
    return solved


def gram(factors, n_jobs=1):
    """Return factors' products with each other: float64 of shape (n_factors, n_factors)."""
    d = factors.shape[1]
    parts = np.zeros((-(-len(factors) // _GRAM_ROWS), d, d), dtype=np.float32)

    def multiply(block, rows):
        np.matmul(factors[rows].T, factors[rows], out=parts[block])

    _in_blocks(multiply, len(factors), _GRAM_ROWS, d * d, n_jobs)
    return parts.sum(axis=0, dtype=np.float64)


def rotate(factors, rotation, n_jobs=1):
    """Return ``factors @ rotation``, float32."""
    turned = np.empty_like(factors)
    rotation = rotation.astype(np.float32)

    def multiply(block, rows):
        np.matmul(factors[rows], rotation, out=turned[rows])

    _in_blocks(multiply, len(factors), _ROTATED_ROWS, rotation.size, n_jobs)
    return turned


def _in_blocks(multiply, n, size, cost, n_jobs):
    """Call `multiply(block, rows)` for blocks of rows that do not depend on threads."""

    def run(start, stop):
        for block in range(start, stop):
            multiply(block, slice(block * size, (block + 1) * size))

    run_sharded(run, np.full(-(-n // size), float(size) * cost), n_jobs)
