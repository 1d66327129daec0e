"""One list after another put in another order, a place at a time.

Lists hold candidates by place, best first. A candidate is a row of `vectors` or `groups`, which
lie in compressed rows (`indptr`, indices, values); `relevance` is NaN where there is none. Of
equal gains the earlier place wins. Every kernel writes the places it chose, -1 behind the last.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit

# What a list of alike items leaves of a determinant: below this they count as the same.
_SAME = 1e-6
# Gains that differ by less are equal: cosines are sums of float32, in the order of the entries.
_TIE = 1e-6


@jit
def _dot(indptr, columns, values, row, dense):
    total = 0.0
    for at in range(indptr[row], indptr[row + 1]):
        total += values[at] * dense[columns[at]]
    return total


@jit
def _mmr(
    start, stop, rows, relevance, indptr, columns, values, n_columns, trade_off, places, gains
):
    n, k = rows.shape[1], places.shape[1]
    dense = np.zeros(n_columns, dtype=np.float64)
    nearest = np.empty(n, dtype=np.float64)
    free = np.empty(n, dtype=np.bool_)
    for row in range(start, stop):
        nearest[:] = 0.0
        for at in range(n):
            free[at] = relevance[row, at] == relevance[row, at]
        for place in range(k):
            best, best_gain = -1, -np.inf
            for at in range(n):
                if free[at]:
                    gain = trade_off * relevance[row, at] - (1.0 - trade_off) * nearest[at]
                    if gain > best_gain + _TIE:
                        best, best_gain = at, gain
            if best < 0:
                break
            places[row, place] = best
            gains[row, place] = best_gain if place == 0 else min(best_gain, gains[row, place - 1])
            free[best] = False
            chosen = rows[row, best]
            for at in range(indptr[chosen], indptr[chosen + 1]):
                dense[columns[at]] = values[at]
            for at in range(n):
                if free[at]:
                    alike = _dot(indptr, columns, values, rows[row, at], dense)
                    nearest[at] = max(nearest[at], alike)
            for at in range(indptr[chosen], indptr[chosen + 1]):
                dense[columns[at]] = 0.0


@jit
def _dpp(
    start, stop, rows, relevance, indptr, columns, values, n_columns, trade_off, places, gains
):
    n, k = rows.shape[1], places.shape[1]
    dense = np.zeros(n_columns, dtype=np.float64)
    # Rows of the Cholesky factor, and what is left of the diagonal.
    factor = np.empty((n, k), dtype=np.float64)
    left = np.empty(n, dtype=np.float64)
    free = np.empty(n, dtype=np.bool_)
    for row in range(start, stop):
        left[:] = 1.0
        for at in range(n):
            free[at] = relevance[row, at] == relevance[row, at]
        size = 0
        for place in range(k):
            best, best_gain = -1, -np.inf
            for at in range(n):
                if free[at]:
                    volume = np.log(max(left[at], _SAME))
                    gain = trade_off * relevance[row, at] + (1.0 - trade_off) * volume
                    if gain > best_gain + _TIE:
                        best, best_gain = at, gain
            if best < 0:
                break
            places[row, place] = best
            gains[row, place] = best_gain if place == 0 else min(best_gain, gains[row, place - 1])
            free[best] = False
            if left[best] <= _SAME:
                continue
            root = np.sqrt(left[best])
            chosen = rows[row, best]
            for at in range(indptr[chosen], indptr[chosen + 1]):
                dense[columns[at]] = values[at]
            for at in range(n):
                if free[at]:
                    alike = _dot(indptr, columns, values, rows[row, at], dense)
                    for step in range(size):
                        alike -= factor[best, step] * factor[at, step]
                    factor[at, size] = alike / root
                    left[at] -= factor[at, size] ** 2
            size += 1
            for at in range(indptr[chosen], indptr[chosen + 1]):
                dense[columns[at]] = 0.0


def _spread(kernel, rows, relevance, vectors, n_columns, k, trade_off, n_jobs):
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    relevance = np.ascontiguousarray(relevance, dtype=np.float64)
    indptr, columns, values = (
        np.ascontiguousarray(part, dtype=kind)
        for part, kind in zip(vectors, (np.int64, np.int32, np.float32), strict=True)
    )
    if rows.shape != relevance.shape or rows.ndim != 2:
        raise ValueError(f"rows {rows.shape} and relevance {relevance.shape} must be of one form.")
    if len(rows) and rows.size and (rows.min() < 0 or rows.max() >= len(indptr) - 1):
        raise ValueError("rows must be rows of vectors.")
    n, width = rows.shape
    places = np.full((n, min(k, width)), -1, dtype=np.int64)
    gains = np.full(places.shape, np.nan)
    mean_length = len(columns) / max(len(indptr) - 1, 1)
    work = np.full(n, width * places.shape[1] * (1 + mean_length))
    run_sharded(
        lambda start, stop: kernel(
            start, stop, rows, relevance, indptr, columns, values, n_columns, float(trade_off),
            places, gains,
        ),
        work,
        n_jobs,
    )  # fmt: skip
    return places, gains


def mmr(rows, relevance, vectors, n_columns, k, trade_off, n_jobs=1):
    """Choose by relevance and by how unlike an item is to what was chosen before it.

    Parameters
    ----------
    rows : ndarray of shape (n, m), int64
        Rows of `vectors`.
    relevance : ndarray of shape (n, m), float64
        NaN: not to be chosen.
    vectors : tuple of (indptr, columns, values)
        Rows of length 1, or empty; int64, int32, float32.
    n_columns, k : int
    trade_off : float
        Weight of relevance, from 0 to 1.
    n_jobs : int or None

    Returns
    -------
    places : ndarray of shape (n, min(k, m)), int64
    gains : ndarray of the same shape, float64
        ``trade_off * relevance - (1 - trade_off) * max(0, largest cosine)``; NaN behind the last.
    """
    return _spread(_mmr, rows, relevance, vectors, n_columns, k, trade_off, n_jobs)


def dpp(rows, relevance, vectors, n_columns, k, trade_off, n_jobs=1):
    """Choose by relevance and by what an item adds to the log-determinant of cosines.

    Parameters and what is returned are as of `mmr`; a gain is ``trade_off * relevance +
    (1 - trade_off) * log(d2)``, where d2 is what the determinant is multiplied by, at least 1e-6.
    """
    return _spread(_dpp, rows, relevance, vectors, n_columns, k, trade_off, n_jobs)


@jit
def _calibrate(
    start, stop, rows, relevance, indptr, groups, targets, trade_off, smoothing, places, gains
):
    n, k = rows.shape[1], places.shape[1]
    filled = np.zeros(targets.shape[1], dtype=np.float64)
    free = np.empty(n, dtype=np.bool_)
    for row in range(start, stop):
        target = targets[row]
        filled[:] = 0.0
        for at in range(n):
            free[at] = relevance[row, at] == relevance[row, at]
        for place in range(k):
            best, best_gain = -1, -np.inf
            for at in range(n):
                if not free[at]:
                    continue
                first, last = indptr[rows[row, at]], indptr[rows[row, at] + 1]
                fit = 0.0
                for entry in range(first, last):
                    wanted = target[groups[entry]]
                    if wanted > 0.0:
                        before = smoothing * wanted + filled[groups[entry]]
                        fit += wanted * np.log1p(1.0 / (last - first) / before)
                gain = trade_off * relevance[row, at] + (1.0 - trade_off) * fit
                if gain > best_gain + _TIE:
                    best, best_gain = at, gain
            if best < 0:
                break
            places[row, place] = best
            gains[row, place] = best_gain if place == 0 else min(best_gain, gains[row, place - 1])
            free[best] = False
            first, last = indptr[rows[row, best]], indptr[rows[row, best] + 1]
            for entry in range(first, last):
                filled[groups[entry]] += 1.0 / (last - first)


def calibrate(rows, relevance, members, targets, k, trade_off, smoothing, n_jobs=1):
    """Choose by relevance and by how near the mix of groups comes to a target.

    Parameters
    ----------
    rows, relevance : ndarray of shape (n, m), int64 and float64
    members : tuple of (indptr, groups)
        Groups of each row, none twice; an item counts for each of them in equal shares.
    targets : ndarray of shape (n, n_groups), float64
        Shares of the groups that each list should have.
    k : int
    trade_off, smoothing : float
        Weight of relevance, and places that count as if they were filled like the target.
    n_jobs : int or None

    Returns
    -------
    places : ndarray of shape (n, min(k, m)), int64
    gains : ndarray of the same shape, float64
    """
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    relevance = np.ascontiguousarray(relevance, dtype=np.float64)
    targets = np.ascontiguousarray(targets, dtype=np.float64)
    indptr, groups = members[0].astype(np.int64), members[1].astype(np.int32)
    n, width = rows.shape
    places = np.full((n, min(k, width)), -1, dtype=np.int64)
    gains = np.full(places.shape, np.nan)
    run_sharded(
        lambda start, stop: _calibrate(
            start, stop, rows, relevance, indptr, groups, targets, float(trade_off),
            float(smoothing), places, gains,
        ),
        np.full(n, width * places.shape[1] * 20),
        n_jobs,
    )  # fmt: skip
    return places, gains


@jit
def _cap(start, stop, rows, present, indptr, groups, n_groups, limit, window, strict, places):
    n, k = rows.shape[1], places.shape[1]
    counts = np.zeros(n_groups, dtype=np.int64)
    free = np.empty(n, dtype=np.bool_)
    for row in range(start, stop):
        counts[:] = 0
        free[:] = present[row]
        for place in range(k):
            if window > 0 and place >= window:
                left = rows[row, places[row, place - window]]
                for entry in range(indptr[left], indptr[left + 1]):
                    counts[groups[entry]] -= 1
            best, first = -1, -1
            for at in range(n):
                if not free[at]:
                    continue
                if first < 0:
                    first = at
                fits = True
                for entry in range(indptr[rows[row, at]], indptr[rows[row, at] + 1]):
                    fits = fits and counts[groups[entry]] < limit
                if fits:
                    best = at
                    break
            if best < 0 and not strict:
                best = first
            if best < 0:
                break
            places[row, place] = best
            free[best] = False
            for entry in range(indptr[rows[row, best]], indptr[rows[row, best] + 1]):
                counts[groups[entry]] += 1


def cap(rows, present, members, n_groups, k, limit, window, strict, n_jobs=1):
    """Choose in order, at most `limit` of a group in any `window` places (0: in the whole list).

    Parameters
    ----------
    rows : ndarray of shape (n, m), int64
    present : ndarray of shape (n, m), bool
    members : tuple of (indptr, groups)
    n_groups, k, limit, window : int
    strict : bool
        Leave a list short rather than break the cap.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, min(k, m)), int64
    """
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    present = np.ascontiguousarray(present, dtype=np.bool_)
    indptr, groups = members[0].astype(np.int64), members[1].astype(np.int32)
    n, width = rows.shape
    places = np.full((n, min(k, width)), -1, dtype=np.int64)
    run_sharded(
        lambda start, stop: _cap(
            start, stop, rows, present, indptr, groups, n_groups, int(limit), int(window),
            bool(strict), places,
        ),
        np.full(n, width * places.shape[1] * 4),
        n_jobs,
    )  # fmt: skip
    return places


@jit
def _share_places(start, stop, rows, present, indptr, groups, shares, exposure, tolerance, places):
    n, k = rows.shape[1], places.shape[1]
    shown = np.zeros(shares.shape[1], dtype=np.float64)
    free = np.empty(n, dtype=np.bool_)
    for row in range(start, stop):
        shown[:] = 0.0
        free[:] = present[row]
        total = 0.0
        for place in range(k):
            total += exposure[place]
            allowed = tolerance * exposure[place]
            best, first = -1, -1
            for at in range(n):
                if not free[at]:
                    continue
                if first < 0:
                    first = at
                for entry in range(indptr[rows[row, at]], indptr[rows[row, at] + 1]):
                    group = groups[entry]
                    if shown[group] + allowed < shares[row, group] * total * (1.0 - 1e-12):
                        best = at
                        break
                if best >= 0:
                    break
            if best < 0:
                best = first
            if best < 0:
                break
            places[row, place] = best
            free[best] = False
            for entry in range(indptr[rows[row, best]], indptr[rows[row, best] + 1]):
                shown[groups[entry]] += exposure[place]


def share_places(rows, present, members, shares, exposure, tolerance, n_jobs=1):
    """Choose in order, but first from groups whose exposure is below their share.

    Parameters
    ----------
    rows : ndarray of shape (n, m), int64
    present : ndarray of shape (n, m), bool
    members : tuple of (indptr, groups)
    shares : ndarray of shape (n, n_groups), float64
        Least share of the exposure of the list so far; 0 for none.
    exposure : ndarray of shape (k,), float64
        What each place is worth.
    tolerance : float
        What may be missing, in exposures of the place at hand.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, min(k, m)), int64
    """
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    present = np.ascontiguousarray(present, dtype=np.bool_)
    indptr, groups = members[0].astype(np.int64), members[1].astype(np.int32)
    shares = np.ascontiguousarray(shares, dtype=np.float64)
    exposure = np.ascontiguousarray(exposure, dtype=np.float64)
    n, width = rows.shape
    places = np.full((n, min(len(exposure), width)), -1, dtype=np.int64)
    run_sharded(
        lambda start, stop: _share_places(
            start, stop, rows, present, indptr, groups, shares, exposure, float(tolerance), places
        ),
        np.full(n, width * places.shape[1] * 4),
        n_jobs,
    )
    return places
