"""The one decorator of all kernels, and where compiled code is cached.

A populated cache on a read-only disk is used as it is; where no cache can be read or written,
kernels are compiled in each process and one warning says so.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite.binding import ffi
from numba.core import caching, compiler_lock, config

F = TypeVar("F", bound=Callable[..., Any])

_LOCATORS = ",".join(
    (
        "UserProvidedCacheLocator",
        f"{__name__}.PopulatedCacheLocator",
        "InTreeCacheLocator",
        "UserWideCacheLocator",
    )
)
_warned = False

# A fork waits until no other thread compiles or calls LLVM: a child that is born in the middle of
# that would find the locks taken for ever, and what they guard half done.
_COMPILING = (compiler_lock.global_compiler_lock, getattr(ffi.lib, "_lock", nullcontext()))


def _pause_compiling() -> None:
    for lock in _COMPILING:
        lock.__enter__()


def _resume_compiling() -> None:
    for lock in reversed(_COMPILING):
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_pause_compiling,
        after_in_parent=_resume_compiling,
        after_in_child=_resume_compiling,
    )


class PopulatedCacheLocator(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """Finds a cache that was filled earlier and can no longer be written."""

    def __init__(self, py_file: str, line: int, path: str) -> None:
        self._py_file = py_file
        self._lineno = line
        self._path = path

    def get_cache_path(self) -> str:
        """Return the directory that holds the compiled code."""
        return self._path

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "PopulatedCacheLocator | None":
        """Return a locator if a read-only directory holds an index of this function."""
        folders = [Path(py_file).parent / "__pycache__"]
        if config.CACHE_DIR:
            folders.insert(0, Path(config.CACHE_DIR) / cls.get_suitable_cache_subpath(py_file))
        pattern = f"{Path(py_file).stem}.{py_func.__qualname__}-*.nbi"
        for folder in folders:
            if not _writable(folder) and any(folder.glob(pattern)):
                return cls(py_file, py_func.__code__.co_firstlineno, str(folder))
        return None


def _digest() -> bytes:
    digest = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


# Kernels hold the code of those that they call, in other files too: what was compiled before any
# of them changed must not run beside what was compiled after.
_STAMP = _digest()


class _LabelledFiles(caching.IndexDataCacheFile):
    """Compiled code that says what it was compiled from, and is not taken for anything else.

    Index and code are two files, written one after the other: where several processes compile at
    the same time, one may number the code of its signature as another has numbered its own.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        whole = isinstance(found, tuple) and found[:2] == (self._source_stamp, key)
        return found[2] if whole else None


class _ForgivingCache(caching.FunctionCache):
    """A cache that keeps working when the disk is read-only or full, or others write to it."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = _LabelledFiles(self.cache_path, self._impl.filename_base, _STAMP)

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_uncached(str(error))


# What lets LLVM add in the order that is fastest, the same one each time; NaN keeps its meaning.
_ANY_ORDER = {"reassoc", "contract", "nsz"}


def jit(function: F) -> F:
    """Compile a kernel: no GIL, no bounds checks, cached on disk where that is possible."""
    return _compiled(function, fastmath=False)


def dense_jit(function: F) -> F:
    """Compile a kernel of dense sums, in whatever fixed order of additions is fastest."""
    return _compiled(function, fastmath=_ANY_ORDER)


def _compiled(function: F, fastmath: Any) -> F:
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
    if config.DISABLE_JIT:
        return function
    chosen = config.CACHE_LOCATOR_CLASSES
    config.CACHE_LOCATOR_CLASSES = chosen or _LOCATORS
    try:
        compiled._cache = _ForgivingCache(function)
    except RuntimeError as error:
        _warn_uncached(str(error))
    finally:
        config.CACHE_LOCATOR_CLASSES = chosen
    return cast("F", compiled)


def _writable(folder: Path) -> bool:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        return False
    return not os.statvfs(existing).f_flag & os.ST_RDONLY


def _warn_uncached(reason: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"Compiled kernels cannot be cached ({reason}); they are compiled again in every "
            "process. Set NUMBA_CACHE_DIR to a writable folder, or run 'ecomrec warmup' when the "
            "image is built.",
            RuntimeWarning,
            stacklevel=3,
        )
