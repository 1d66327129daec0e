"""Alternating least squares: one row of factors at a time, given those of the other side.

Row r has entries (c, v). Its factors x minimise

    sum over entries of w (t - z_c . x)^2  +  x' gram x  +  ridge_r |x|^2

where z_c are the other side's factors. For weights, w = v * scale and t = 1, and entries without
evidence count nothing; for ratings (`offsets` given), w = 1 and t = v - offset_c.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._blas import spotrf, spotrs, ssyrk
from ecomrec.kernels._jit import dense_jit, jit

NO_OFFSETS = np.empty(0, dtype=np.float32)
# Rows of a block whose Gram matrix or rotation is one product: results do not depend on threads.
_BLOCK = 8192
# A Cholesky factor needs a positive diagonal even where nothing regularises.
_LEAST_RIDGE = 1e-10
# Steps end when what is left is this share of what was wrong: float32 can do no better.
_SMALL = 1e-12
_LOWER, _PLAIN, _TRANSPOSED = ord("L"), ord("N"), ord("T")


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
def _add_row(total, factor, rows, e, low, high):
    for f in range(low, high):
        total[f] += factor * rows[e, f]


@dense_jit
def _solve_block(
    low, high, size, rows, weights, targets, gram, diagonal, ridge, x, scaled, system, right,
    flags, sizes, reals,
):  # fmt: skip
    """Minimise over x[low:high]; the other factors of x are in the targets already.

    With fewer entries than factors and a diagonal gram D (ridge in it), by the dual:
    x = D^-1 Z' W^1/2 (I + W^1/2 Z D^-1 Z' W^1/2)^-1 W^1/2 t.
    """
    d = high - low
    dual = diagonal and size < d
    n = size if dual else d
    for e in range(size):
        root = np.sqrt(weights[e])
        for f in range(low, high):
            scaled[e * d + f - low] = root * rows[e, f]
        if dual:
            for f in range(low, high):
                scaled[e * d + f - low] /= np.sqrt(gram[f, f] + ridge)
    if dual:
        for e in range(size):
            right[e] = np.sqrt(weights[e]) * targets[e]
        for at in range(n * n):
            system[at] = 0.0
        for at in range(n):
            system[at * n + at] = 1.0
    else:
        for f in range(d):
            right[f] = 0.0
            for g in range(d):
                system[f * n + g] = gram[low + f, low + g]
            system[f * n + f] += ridge
        for e in range(size):
            factor = weights[e] * targets[e]
            for f in range(d):
                right[f] += factor * rows[e, low + f]
    flags[0], flags[1] = _LOWER, _TRANSPOSED if dual else _PLAIN
    sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] = n, d if dual else size, d, 1, 0
    reals[0] = 1.0
    ssyrk(
        flags[0:].ctypes, flags[1:].ctypes, sizes[0:].ctypes, sizes[1:].ctypes, reals.ctypes,
        scaled.ctypes, sizes[2:].ctypes, reals.ctypes, system.ctypes, sizes[0:].ctypes,
    )  # fmt: skip
    spotrf(flags.ctypes, sizes[0:].ctypes, system.ctypes, sizes[0:].ctypes, sizes[4:].ctypes)
    if sizes[4] != 0:
        return False
    spotrs(
        flags.ctypes, sizes[0:].ctypes, sizes[3:].ctypes, system.ctypes, sizes[0:].ctypes,
        right.ctypes, sizes[0:].ctypes, sizes[4:].ctypes,
    )  # fmt: skip
    if not dual:
        for f in range(d):
            x[low + f] = right[f]
        return True
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
    solved, failed,
):  # fmt: skip
    starts, lengths, columns, values = store
    d = factors.shape[1]
    longest = 1
    for position in range(start, stop):
        longest = max(longest, lengths[numbers[position]])
    rows = np.empty((longest, d), dtype=np.float32)
    scaled = np.empty(longest * min(block_size, d), dtype=np.float32)
    weights = np.empty(longest, dtype=np.float32)
    targets = np.empty(longest, dtype=np.float32)
    widest = min(block_size, d)
    system = np.empty(widest * widest, dtype=np.float32)
    right = np.empty(widest, dtype=np.float32)
    flags, sizes = np.empty(2, dtype=np.uint8), np.empty(5, dtype=np.int32)
    reals = np.empty(1, dtype=np.float32)
    for position in range(start, stop):
        row = numbers[position]
        x = solved[position]
        size = _gather(
            starts[row], lengths[row], columns, values, scale, offsets, factors, rows, weights,
            targets,
        )  # fmt: skip
        if size == 0:
            x[:] = 0.0
            continue
        if warm:
            for e in range(size):
                targets[e] -= _product(rows, e, 0, d, x)
        else:
            x[:] = 0.0
        for low in range(0, d, block_size):
            high = min(low + block_size, d)
            if warm:
                for e in range(size):
                    targets[e] += _product(rows, e, low, high, x)
            fine = _solve_block(
                low, high, size, rows, weights, targets, gram, diagonal, ridges[position], x,
                scaled, system, right, flags, sizes, reals,
            )  # fmt: skip
            if not fine:
                failed[0] = 1
            if high < d:
                for e in range(size):
                    targets[e] -= _product(rows, e, low, high, x)


@dense_jit
def _descend(size, d, rows, weights, targets, gram, ridge, n_steps, x, scratch):
    """Preconditioned conjugate gradients from x; gram is diagonal."""
    residual, direction, product, inverse = scratch[0], scratch[1], scratch[2], scratch[3]
    for f in range(d):
        inverse[f] = gram[f, f] + ridge
        residual[f] = -inverse[f] * x[f]
    for e in range(size):
        error = np.float32(0.0)
        for f in range(d):
            error += rows[e, f] * x[f]
        error = weights[e] * (targets[e] - error)
        weight = weights[e]
        for f in range(d):
            residual[f] += error * rows[e, f]
            inverse[f] += weight * rows[e, f] * rows[e, f]
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
        for e in range(size):
            change = np.float32(0.0)
            for f in range(d):
                change += rows[e, f] * direction[f]
            change *= weights[e]
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


@jit
def _descend_rows(
    start, stop, numbers, store, scale, offsets, factors, gram, ridges, n_steps, solved
):
    starts, lengths, columns, values = store
    d = factors.shape[1]
    longest = 1
    for position in range(start, stop):
        longest = max(longest, lengths[numbers[position]])
    rows = np.empty((longest, d), dtype=np.float32)
    weights = np.empty(longest, dtype=np.float32)
    targets = np.empty(longest, dtype=np.float32)
    scratch = np.empty((4, d), dtype=np.float32)
    for position in range(start, stop):
        row = numbers[position]
        size = _gather(
            starts[row], lengths[row], columns, values, scale, offsets, factors, rows, weights,
            targets,
        )  # fmt: skip
        if size == 0:
            solved[position] = 0.0
            continue
        _descend(
            size, d, rows, weights, targets, gram, ridges[position], n_steps, solved[position],
            scratch,
        )  # fmt: skip


def solve(
    numbers, store, factors, gram, ridges, *, scale=1.0, offsets=NO_OFFSETS, diagonal=False,
    block_size=0, warm=None, n_steps=0, n_jobs=1,
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
    n_steps : int
        Steps of conjugate gradients instead of Cholesky factors (0: none).
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_factors), float32
        Zeros for rows without evidence.
    """
    d = factors.shape[1]
    factors = np.ascontiguousarray(factors, dtype=np.float32)
    gram = np.ascontiguousarray(gram, dtype=np.float32)
    offsets = np.ascontiguousarray(offsets, dtype=np.float32)
    ridges = np.maximum(ridges, _LEAST_RIDGE).astype(np.float32)
    solved = np.empty((len(numbers), d), dtype=np.float32) if warm is None else warm.copy()
    lengths = store[1][numbers].astype(np.float64)
    if n_steps:
        solved = np.zeros_like(solved) if warm is None else solved
        run_sharded(
            lambda start, stop: _descend_rows(
                start, stop, numbers, store, np.float32(scale), offsets, factors, gram, ridges,
                n_steps, solved,
            ),
            (lengths + 1) * (4 * d * (n_steps + 1)),
            n_jobs,
        )  # fmt: skip
        return solved
    failed = np.zeros(1, dtype=np.int64)
    width = min(block_size or d, d)
    narrow = np.minimum(lengths, width)
    run_sharded(
        lambda start, stop: _solve_rows(
            start, stop, numbers, store, np.float32(scale), offsets, factors, gram, diagonal,
            ridges, width, warm is not None, solved, failed,
        ),
        (lengths + 1) * (narrow + 8) * d,
        n_jobs,
    )  # fmt: skip
    if failed[0] or not np.isfinite(solved).all():
        raise FloatingPointError(
            "a least-squares problem has no finite solution in single precision. Raise "
            "regularization, or scale the weights down."
        )
    return solved


def gram(factors, n_jobs=1):
    """Return factors' products with each other: float64 of shape (n_factors, n_factors)."""
    bounds = np.arange(0, len(factors) + _BLOCK, _BLOCK)
    n_blocks, d = len(bounds) - 1, factors.shape[1]
    parts = np.zeros((max(n_blocks, 1), d, d), dtype=np.float32)

    def multiply(start, stop):
        for block in range(start, stop):
            part = factors[bounds[block] : bounds[block + 1]]
            np.matmul(part.T, part, out=parts[block])

    run_sharded(multiply, np.full(n_blocks, float(_BLOCK) * d * d), n_jobs)
    return parts.sum(axis=0, dtype=np.float64)


def rotate(factors, rotation, n_jobs=1):
    """Return ``factors @ rotation``, in blocks of rows that do not depend on threads."""
    turned = np.empty_like(factors)
    bounds = np.arange(0, len(factors) + _BLOCK, _BLOCK)
    rotation = rotation.astype(np.float32)

    def multiply(start, stop):
        for block in range(start, stop):
            part = slice(bounds[block], bounds[block + 1])
            np.matmul(factors[part], rotation, out=turned[part])

    run_sharded(multiply, np.full(len(bounds) - 1, float(_BLOCK) * rotation.size), n_jobs)
    return turned
