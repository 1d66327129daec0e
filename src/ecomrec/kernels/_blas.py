"""Routines of BLAS and LAPACK for kernels, column by column as Fortran has it, in float32.

Matrices here are stored by rows, so a routine sees their transposes: the "upper" triangle of a
symmetric matrix is what rows call its lower one. Integers go in by reference, from an int32 array.
"""

import numpy as np
from llvmlite.binding import add_symbol
from numba import config, types
from numba.extending import get_cython_function_address

from ecomrec.kernels._jit import jit

_FLAG, _INTEGER, _REAL = (
    types.CPointer(kind) for kind in (types.uint8, types.int32, types.float32)
)
_LOWER, _PLAIN, _TRANSPOSED = ord("L"), ord("N"), ord("T")


def _routine(module, name, *arguments):
    symbol = f"ecomrec_{name}"
    add_symbol(symbol, get_cython_function_address(f"scipy.linalg.{module}", name))
    return types.ExternalFunction(symbol, types.void(*arguments))


#: (uplo, trans, n, k, alpha, a, lda, beta, c, ldc): C = alpha A A' + beta C.
ssyrk = _routine(
    "cython_blas", "ssyrk", _FLAG, _FLAG, _INTEGER, _INTEGER, _REAL, _REAL, _INTEGER, _REAL,
    _REAL, _INTEGER,
)  # fmt: skip
#: (uplo, n, a, lda, info): Cholesky factor in place.
spotrf = _routine("cython_lapack", "spotrf", _FLAG, _INTEGER, _REAL, _INTEGER, _INTEGER)
#: (uplo, n, nrhs, a, lda, b, ldb, info): solve with that factor, in place.
spotrs = _routine(
    "cython_lapack", "spotrs", _FLAG, _INTEGER, _INTEGER, _REAL, _INTEGER, _REAL, _INTEGER,
    _INTEGER,
)  # fmt: skip


@jit
def add_products(n, k, transpose, rows, system, flags, sizes, reals):
    """Add products to the lower triangle of a system of n unknowns.

    Those of the columns of k x n rows, or with `transpose` of n x k rows with each other. `flags`
    (uint8), `sizes` (int32) and `reals` (float32) are room for 2, 3 and 1 arguments.
    """
    flags[0], flags[1] = _LOWER, _TRANSPOSED if transpose else _PLAIN
    sizes[0], sizes[1], sizes[2] = n, k, k if transpose else n
    reals[0] = 1.0
    ssyrk(
        flags[0:].ctypes, flags[1:].ctypes, sizes[0:].ctypes, sizes[1:].ctypes, reals.ctypes,
        rows.ctypes, sizes[2:].ctypes, reals.ctypes, system.ctypes, sizes[0:].ctypes,
    )  # fmt: skip


@jit
def factorize_and_solve(n, system, right, flags, sizes):
    """Solve a positive definite system of n unknowns in place; return whether there is one."""
    flags[0] = _LOWER
    sizes[0], sizes[1], sizes[2] = n, 1, 0
    spotrf(flags.ctypes, sizes[0:].ctypes, system.ctypes, sizes[0:].ctypes, sizes[2:].ctypes)
    if sizes[2] != 0:
        return False
    spotrs(
        flags.ctypes, sizes[0:].ctypes, sizes[1:].ctypes, system.ctypes, sizes[0:].ctypes,
        right.ctypes, sizes[0:].ctypes, sizes[2:].ctypes,
    )  # fmt: skip
    return True


def _add_products(n, k, transpose, rows, system, flags, sizes, reals):
    part = rows[: n * k].reshape((n, k) if transpose else (k, n))
    system[: n * n] += (part @ part.T if transpose else part.T @ part).ravel()


def _factorize_and_solve(n, system, right, flags, sizes):
    try:
        root = np.linalg.cholesky(system[: n * n].reshape(n, n))
    except np.linalg.LinAlgError:
        return False
    right[:n] = np.linalg.solve(root.T, np.linalg.solve(root, right[:n]))
    return True


if config.DISABLE_JIT:
    # Only compiled code can call the routines.
    add_products, factorize_and_solve = _add_products, _factorize_and_solve
