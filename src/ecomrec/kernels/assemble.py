"""Event rows to a matrix in row order, duplicates merged; ranges of rows moved between buffers."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit

# A sum this small beside what went into it is a cancelled purchase, not evidence.
CANCELLED = 1e-6
# Sorting an entry into its row costs about as much as this many multiply-adds.
_SORT_WORK = 50


@jit
def _count_and_place(codes, indptr, order):
    for code in codes:
        indptr[code + 1] += 1
    for row in range(len(indptr) - 1):
        indptr[row + 1] += indptr[row]
    place = indptr[:-1].copy()
    for position in range(len(codes)):
        code = codes[position]
        order[place[code]] = position
        place[code] += 1


def group_by_row(codes: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Stable counting sort: where each row starts (int64), and the order that groups the rows."""
    indptr = np.zeros(n_rows + 1, dtype=np.int64)
    order = np.empty(len(codes), dtype=np.int32 if len(codes) < 2**31 else np.int64)
    _count_and_place(np.ascontiguousarray(codes, dtype=np.int32), indptr, order)
    return indptr, order


def inverse(order: np.ndarray) -> np.ndarray:
    """Return the place of each row in an order (int32), or the order that has these places."""
    places = np.empty(len(order), dtype=np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


@jit
def _merge_weights(start, stop, indptr, columns, weights, times, lengths, data):
    unit = len(weights) == 0
    timed = len(times) > 0
    for row in range(start, stop):
        begin, end = indptr[row], indptr[row + 1]
        order = np.argsort(columns[begin:end], kind="mergesort")
        sorted_columns = columns[begin:end][order]
        filled = begin
        at = 0
        while at < len(order):
            after = at + 1
            while after < len(order) and sorted_columns[after] == sorted_columns[at]:
                after += 1
            total = np.float64(after - at)
            if not unit:
                # Sorted before they are added: the order of the table's rows cannot matter.
                run = np.sort(weights[begin:end][order[at:after]])
                total = 0.0
                size = 0.0
                for weight in run:
                    total += weight
                    size += abs(weight)
                if abs(total) <= CANCELLED * size:
                    total = 0.0
            data[filled] = total
            columns[filled] = sorted_columns[at]
            filled += 1
            at = after
        lengths[row] = filled - begin
        if timed:
            newest = times[begin:end][order]
            filled = begin
            for at in range(len(order)):
                if at == 0 or sorted_columns[at] != sorted_columns[at - 1]:
                    times[filled] = newest[at]
                    filled += 1
                elif newest[at] > times[filled - 1]:
                    times[filled - 1] = newest[at]


@jit
def _merge_ratings(start, stop, indptr, columns, ratings, times, counts, lengths, data):
    timed = len(times) > 0
    for row in range(start, stop):
        begin, end = indptr[row], indptr[row + 1]
        order = np.argsort(columns[begin:end], kind="mergesort")
        sorted_columns = columns[begin:end][order]
        row_ratings = ratings[begin:end][order]
        row_counts = counts[begin:end][order]
        row_times = times[begin:end][order] if timed else np.zeros(len(order), dtype=np.int64)
        filled = begin
        at = 0
        while at < len(order):
            after = at + 1
            newest = row_times[at]
            while after < len(order) and sorted_columns[after] == sorted_columns[at]:
                newest = max(newest, row_times[after])
                after += 1
            total = 0.0
            count = 0
            # In sorted order: the order of the table's rows cannot matter.
            for place in np.argsort(row_ratings[at:after], kind="mergesort"):
                if row_times[at + place] == newest:
                    total += row_ratings[at + place] * row_counts[at + place]
                    count += row_counts[at + place]
            data[filled] = total / count
            counts[filled] = count
            columns[filled] = sorted_columns[at]
            if timed:
                times[filled] = newest
            filled += 1
            at = after
        lengths[row] = filled - begin


@jit
def _compact(indptr, lengths, new_indptr, values):
    for row in range(len(lengths)):
        source, target = indptr[row], new_indptr[row]
        if source != target:
            for offset in range(lengths[row]):
                values[target + offset] = values[source + offset]


@jit
def _move_rows(starts, lengths, targets, source, destination):
    for row in range(len(starts)):
        source_at, target_at = starts[row], targets[row]
        for offset in range(lengths[row]):
            destination[target_at + offset] = source[source_at + offset]


_BITS = {4: np.uint32, 8: np.uint64}


def compact(indptr: np.ndarray, lengths: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Close the gaps behind shortened rows, in place; return where each row now starts (int64)."""
    new_indptr = offsets(lengths)
    for values in columns:
        _compact(indptr, lengths, new_indptr, values.view(_BITS[values.itemsize]))
    return new_indptr


def move_rows(
    starts: np.ndarray,
    lengths: np.ndarray,
    targets: np.ndarray,
    source: np.ndarray,
    destination: np.ndarray,
) -> None:
    """Copy ``source[starts[r]:starts[r] + lengths[r]]`` to ``destination[targets[r]:]``."""
    bits = _BITS[source.itemsize]
    _move_rows(starts, lengths, targets, source.view(bits), destination.view(bits))


def offsets(lengths: np.ndarray) -> np.ndarray:
    """Where each row starts when rows of these lengths lie end to end: int64, one longer."""
    indptr = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return indptr


def merge_weights(indptr, columns, weights, times, n_jobs):
    """Add up the weights of equal columns within each row, in place.

    Parameters
    ----------
    indptr : ndarray of shape (n_rows + 1,), int64
    columns : ndarray of shape (n,), int32
        Overwritten; as is `times`.
    weights : ndarray of shape (n,) or (0,), float64
        Empty means 1 for each entry.
    times : ndarray of shape (n,) or (0,), int64
        Empty means none; the newest of each pair is kept.

    Returns
    -------
    lengths : ndarray of shape (n_rows,), int32
    data : ndarray of shape (n,), float32
        Row r occupies ``indptr[r] : indptr[r] + lengths[r]``; `compact` closes the gaps.
    """
    lengths = np.zeros(len(indptr) - 1, dtype=np.int32)
    data = np.empty(len(columns), dtype=np.float32)
    run_sharded(
        lambda start, stop: _merge_weights(
            start, stop, indptr, columns, weights, times, lengths, data
        ),
        np.diff(indptr) * _SORT_WORK,
        n_jobs,
    )
    return lengths, data


def merge_ratings(indptr, columns, ratings, times, counts, n_jobs):
    """Keep the newest rating of equal columns within each row (the mean of as old ones), in place.

    As `merge_weights`; `counts` (int32) says how many ratings each value stands for, before and
    after.
    """
    lengths = np.zeros(len(indptr) - 1, dtype=np.int32)
    data = np.empty(len(columns), dtype=np.float32)
    run_sharded(
        lambda start, stop: _merge_ratings(
            start, stop, indptr, columns, ratings, times, counts, lengths, data
        ),
        np.diff(indptr) * _SORT_WORK,
        n_jobs,
    )
    return lengths, data


@jit
def _transpose(starts, lengths, indices, data, indptr, out_rows, out_data):
    for row in range(len(starts)):
        for at in range(starts[row], starts[row] + lengths[row]):
            indptr[indices[at] + 1] += 1
    for column in range(len(indptr) - 1):
        indptr[column + 1] += indptr[column]
    place = indptr[:-1].copy()
    for row in range(len(starts)):
        for at in range(starts[row], starts[row] + lengths[row]):
            column = indices[at]
            out_rows[place[column]] = row
            out_data[place[column]] = data[at]
            place[column] += 1


def transpose(starts, lengths, indices, data, n_columns):
    """Columns as rows: indptr (int64), row numbers in rising order (int32), values (float32)."""
    total = int(lengths.sum(dtype=np.int64))
    indptr = np.zeros(n_columns + 1, dtype=np.int64)
    out_rows = np.empty(total, dtype=np.int32)
    out_data = np.empty(total, dtype=np.float32)
    _transpose(starts, lengths, indices, data, indptr, out_rows, out_data)
    return indptr, out_rows, out_data


@jit
def _overwrite(indptr, indices, data, changes, columns, values, mark):
    for row in range(len(indptr) - 1):
        for change in range(changes[row], changes[row + 1]):
            mark[columns[change]] = change + 1
        for at in range(indptr[row], indptr[row + 1]):
            change = mark[indices[at]]
            if change > 0:
                data[at] = values[change - 1]
        for change in range(changes[row], changes[row + 1]):
            mark[columns[change]] = 0


def overwrite(indptr, indices, data, changes, columns, values, n_columns):
    """Set ``values[changes[r] : changes[r + 1]]`` at `columns` of row r, in place, any order."""
    mark = np.zeros(n_columns, dtype=np.int32)
    _overwrite(indptr, indices, data, changes, columns, values, mark)
