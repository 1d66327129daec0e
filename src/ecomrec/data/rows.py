"""Rows of entries that later versions share with earlier ones until they change."""

from __future__ import annotations

import numpy as np

from ecomrec._parallel import ForkLock
from ecomrec.kernels import assemble

# Spare room behind a full buffer, as a share of it. Untouched memory costs nothing.
_SPARE = 0.5


class _Pool:
    """Growing buffers that several versions of a `RowStore` read and the newest one appends to."""

    __slots__ = ("columns", "lock", "newest", "used")

    def __init__(self, columns: tuple[np.ndarray, ...], used: int) -> None:
        self.columns = columns
        self.used = used
        self.newest = 0
        self.lock = ForkLock()


class RowStore:
    """A sparse matrix by rows in which a new version costs what it changes.

    Every version is immutable. A row that changes is written behind the rows that exist, and only
    the tables of row positions are copied, so readers of an older version never notice. When less
    than half of a buffer is still referred to, the next version starts a buffer of its own.

    Parameters
    ----------
    starts, lengths, capacities : ndarray of shape (n_rows,), int64, int32, int32
        Row r is ``columns[c][starts[r] : starts[r] + lengths[r]]``.
    columns : tuple of ndarray
        Parallel buffers: the indices first (int32), then values (4 or 8 bytes each).
    """

    __slots__ = ("_pool", "_version", "capacities", "lengths", "n_entries", "starts")

    def __init__(
        self,
        starts: np.ndarray,
        lengths: np.ndarray,
        capacities: np.ndarray,
        pool: _Pool,
        n_entries: int,
    ) -> None:
        self.starts = starts
        self.lengths = lengths
        self.capacities = capacities
        self.n_entries = n_entries
        self._pool = pool
        self._version = pool.newest

    @classmethod
    def from_csr(cls, indptr: np.ndarray, columns: tuple[np.ndarray, ...]) -> RowStore:
        """Take over the arrays of a compressed matrix."""
        lengths = np.diff(indptr).astype(np.int32)
        pool = _Pool(tuple(columns), int(indptr[-1]))
        return cls(indptr[:-1].astype(np.int64), lengths, lengths, pool, int(indptr[-1]))

    def with_room(self) -> RowStore:
        """Return a copy with room behind the rows: the first batches find a place at once."""
        used = self._pool.used
        columns = tuple(_longer(values, used, 0) for values in self.columns)
        pool = _Pool(columns, used)
        return RowStore(self.starts, self.lengths, self.capacities, pool, self.n_entries)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.starts)

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """The buffers that `starts` and `lengths` point into."""
        return self._pool.columns

    @property
    def used(self) -> int:
        """How many entries of the buffers are in use, by this version or another."""
        return self._pool.used

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """`starts`, `lengths`, indices and values, as kernels take them."""
        return self.starts, self.lengths, *self._pool.columns[:2]

    def row(self, row: int) -> tuple[np.ndarray, ...]:
        """Return views of one row, a column of values each."""
        start = self.starts[row]
        stop = start + self.lengths[row]
        return tuple(values[start:stop] for values in self._pool.columns)

    def to_csr(self) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Return ``indptr`` and the columns end to end; views where they already lie so."""
        indptr = assemble.offsets(self.lengths)
        if np.array_equal(indptr[:-1][self.lengths > 0], self.starts[self.lengths > 0]):
            return indptr, tuple(values[: indptr[-1]] for values in self.columns)
        return indptr, self._gather(indptr, int(indptr[-1]))

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Return some rows as ``indptr`` and columns, copied."""
        part = RowStore(self.starts[rows], self.lengths[rows], self.lengths[rows], self._pool, 0)
        indptr = assemble.offsets(part.lengths)
        return indptr, part._gather(indptr, int(indptr[-1]))

    def replace(
        self,
        rows: np.ndarray,
        indptr: np.ndarray,
        columns: tuple[np.ndarray, ...],
        n_rows: int | None = None,
    ) -> RowStore:
        """Return a version in which `rows` hold new entries; `n_rows` may add empty rows first."""
        new_lengths = np.diff(indptr).astype(np.int32)
        with self._pool.lock:
            starts, lengths, capacities = self._grown(n_rows)
            n_entries = self.n_entries + int(indptr[-1]) - int(lengths[rows].sum(dtype=np.int64))
            lengths[rows] = new_lengths
            capacities[rows] = new_lengths
            pool, base = self._room(int(indptr[-1]), starts, lengths, capacities, rows)
            starts[rows] = base + indptr[:-1]
            for target, values in zip(pool.columns, columns, strict=True):
                target[base : base + len(values)] = values
            return self._publish(
                pool, base + int(indptr[-1]), starts, lengths, capacities, n_entries
            )

    def append(
        self,
        rows: np.ndarray,
        indptr: np.ndarray,
        columns: tuple[np.ndarray, ...],
        n_rows: int | None = None,
    ) -> RowStore:
        """Return a version with entries added behind those of `rows`.

        Rows keep room to grow, so a long row is copied only each time its length has doubled.
        """
        added = np.diff(indptr).astype(np.int32)
        with self._pool.lock:
            starts, lengths, capacities = self._grown(n_rows)
            old_starts, old_lengths = starts[rows], lengths[rows]
            lengths[rows] += added
            owner = self._owns_pool()
            full = lengths[rows] > capacities[rows] if owner else np.ones(len(rows), dtype=bool)
            moving = rows[full]
            capacities[moving] = lengths[moving] + lengths[moving] // 2 + 4
            room = assemble.offsets(capacities[moving])
            # The rows that move are copied below, out of the buffers as they are now.
            source = self.columns
            pool, base = self._room(int(room[-1]), starts, lengths, capacities, moving, owner)
            starts[moving] = base + room[:-1]
            for target, old, values in zip(pool.columns, source, columns, strict=True):
                assemble.move_rows(
                    old_starts[full], old_lengths[full], starts[moving], old, target
                )
                assemble.move_rows(indptr[:-1], added, starts[rows] + old_lengths, values, target)
            n_entries = self.n_entries + int(indptr[-1])
            return self._publish(
                pool, base + int(room[-1]), starts, lengths, capacities, n_entries
            )

    def _owns_pool(self) -> bool:
        """Whether this version may append: none has before, and the buffers can be written."""
        writable = all(values.flags.writeable for values in self._pool.columns)
        return writable and self._version == self._pool.newest

    def _grown(self, n_rows: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        extra = 0 if n_rows is None else n_rows - self.n_rows
        return (
            np.concatenate((self.starts, np.zeros(extra, dtype=np.int64))),
            np.concatenate((self.lengths, np.zeros(extra, dtype=np.int32))),
            np.concatenate((self.capacities, np.zeros(extra, dtype=np.int32))),
        )

    def _room(
        self,
        needed: int,
        starts: np.ndarray,
        lengths: np.ndarray,
        capacities: np.ndarray,
        leaving: np.ndarray,
        owner: bool | None = None,
    ) -> tuple[_Pool, int]:
        """Find `needed` free places: in the shared pool, in a longer copy, or in a fresh pool."""
        pool = self._pool
        if owner is None:
            owner = self._owns_pool()
        live = int(capacities.sum(dtype=np.int64))
        if owner and pool.used + needed <= min(len(values) for values in pool.columns):
            return pool, pool.used
        if owner and pool.used + needed <= 2 * live:
            columns = tuple(_longer(values, pool.used, needed) for values in pool.columns)
            fresh = _Pool(columns, pool.used)
        else:
            staying = capacities.copy()
            staying[leaving] = 0
            targets = assemble.offsets(staying)
            kept = lengths.copy()
            kept[leaving] = 0
            if owner is False:
                # Rows that grow in place elsewhere: copy only what this version can see.
                kept = np.minimum(kept, _padded(self.lengths, len(kept)))
            used = int(targets[-1])
            columns = tuple(_empty_like(values, used + needed) for values in pool.columns)
            for values, target in zip(pool.columns, columns, strict=True):
                assemble.move_rows(starts, kept, targets[:-1], values, target)
            starts[:] = targets[:-1]
            fresh = _Pool(columns, used)
        return fresh, fresh.used

    def _publish(
        self,
        pool: _Pool,
        used: int,
        starts: np.ndarray,
        lengths: np.ndarray,
        capacities: np.ndarray,
        n_entries: int,
    ) -> RowStore:
        pool.used = used
        pool.newest += 1
        return RowStore(starts, lengths, capacities, pool, n_entries)

    def _gather(self, indptr: np.ndarray, total: int) -> tuple[np.ndarray, ...]:
        columns = tuple(np.empty(total, dtype=values.dtype) for values in self.columns)
        for values, target in zip(self.columns, columns, strict=True):
            assemble.move_rows(self.starts, self.lengths, indptr[:-1], values, target)
        return columns

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return RowStore.from_csr, self.to_csr()


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate((values, np.zeros(length - len(values), dtype=values.dtype)))


def _empty_like(values: np.ndarray, length: int) -> np.ndarray:
    return np.empty(int(length * (1 + _SPARE)) + 64, dtype=values.dtype)


def _longer(values: np.ndarray, used: int, needed: int) -> np.ndarray:
    longer = _empty_like(values, used + needed)
    longer[:used] = values[:used]
    return longer
