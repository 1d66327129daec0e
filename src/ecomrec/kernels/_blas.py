"""Routines of BLAS and LAPACK for kernels, column by column as Fortran has it, in float32.

Matrices here are stored by rows, so a routine sees their transposes: the "upper" triangle of a
symmetric matrix is what rows call its lower one. Integers go in by reference, from an int32 array.
"""

from llvmlite.binding import add_symbol
from numba import types
from numba.extending import get_cython_function_address

_FLAG, _INTEGER, _REAL = (
    types.CPointer(kind) for kind in (types.uint8, types.int32, types.float32)
)


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
