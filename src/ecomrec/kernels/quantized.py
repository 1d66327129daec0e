"""Vectors as int8 codes: a quarter of the memory to read, and the exact best k all the same.

Row i of the vectors is ``scales[i] * codes[i]`` but for a remainder of known length. A first pass
bounds every product from the codes; whatever may be among the best k is then computed exactly.
"""

import math
from typing import NamedTuple

import numpy as np

from ecomrec._parallel import n_threads, run_sharded
from ecomrec.kernels._jit import dense_jit, jit
from ecomrec.kernels.ranking import best_first, offer

_LARGEST = 127
# Items whose bounds are compared at once.
_CHUNK = 128
# Bytes of codes from which a second thread is worth its start.
_PART = 16_000_000
# Rows below are all remainder, rows above are of unknown length: float32 would lose its precision.
_TINY, _HUGE = np.float32(1e-30), np.float32(1e30)
# 16 roundings of float32, and more than float32 loses where it runs out of exponents.
_ROUNDING, _UNDERFLOW = 16 * 2.0**-24, np.float32(1e-37)


class Codes(NamedTuple):
    """Rows of float32 as integers of one byte.

    Attributes
    ----------
    codes : ndarray of shape (n, n_factors), int8
        From -127 to 127.
    scales : ndarray of shape (n,), float32
    residuals : ndarray of shape (n,), float32
        At least the Euclidean length of what ``scales * codes`` misses.
    """

    codes: np.ndarray
    scales: np.ndarray
    residuals: np.ndarray


NO_CODES = Codes(
    np.empty((0, 0), dtype=np.int8), np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32)
)


@dense_jit
def _quantize(start, stop, factors, codes, scales, residuals):
    for row in range(start, stop):
        factor, code = factors[row], codes[row]
        top = np.float32(0)
        finite = True
        for at in range(len(factor)):
            top = max(top, abs(factor[at]))
            finite &= abs(factor[at]) < np.inf
        scale = top / np.float32(_LARGEST)
        if not (finite and scale < _HUGE):
            # Of any length: always a candidate.
            code[:] = 0
            scales[row], residuals[row] = np.float32(0), np.float32(np.inf)
            continue
        inverse = np.float32(0)
        if scale > _TINY:
            inverse = np.float32(1) / scale
        else:
            scale = np.float32(0)
        missed = 0.0
        for at in range(len(factor)):
            rounded = np.rint(factor[at] * inverse)
            code[at] = np.int8(rounded)
            rest = np.float64(factor[at]) - np.float64(scale) * np.float64(rounded)
            missed += rest * rest
        scales[row], residuals[row] = scale, math.sqrt(missed) * (1 + 1e-6) + 1e-44


def quantize(factors, n_jobs=1):
    """Return rows as codes.

    Parameters
    ----------
    factors : ndarray of shape (n, n_factors), float32
    n_jobs : int or None

    Returns
    -------
    Codes
    """
    factors = np.ascontiguousarray(factors, dtype=np.float32)
    n, width = factors.shape
    made = Codes(np.empty((n, width), np.int8), np.empty(n, np.float32), np.empty(n, np.float32))
    run_sharded(
        lambda start, stop: _quantize(start, stop, factors, *made), np.full(n, width), n_jobs
    )
    return made


@jit
def _expand(start, stop, codes, scales, factors):
    for row in range(start, stop):
        code, factor, scale = codes[row], factors[row], scales[row]
        for at in range(len(code)):
            factor[at] = scale * np.float32(code[at])


def expand(codes, scales, n_jobs=1):
    """Return coded rows as float32.

    Parameters
    ----------
    codes : ndarray of shape (n, n_factors), int8
    scales : ndarray of shape (n,), float32
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_factors), float32
    """
    codes = np.ascontiguousarray(codes, dtype=np.int8)
    scales = np.ascontiguousarray(scales, dtype=np.float32)
    factors = np.empty(codes.shape, dtype=np.float32)
    work = np.full(len(codes), codes.shape[1])
    run_sharded(lambda start, stop: _expand(start, stop, codes, scales, factors), work, n_jobs)
    return factors


@jit
def place_of(item, values, low, high):
    """Return the first place in the sorted ``values[low:high]`` that is not below an item."""
    while low < high:
        middle = (low + high) // 2
        if values[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def hidden(item, allowed, excluded, low, high):
    """Whether a mask keeps an item back; ``excluded[low:high]`` is sorted."""
    if len(allowed) > 0 and not allowed[item]:
        return True
    place = place_of(item, excluded, low, high)
    return place < high and excluded[place] == item


@dense_jit
def product(vector, factors, codes, scales, item):
    """Return the product of a vector and an item's, of the codes if there are no factors."""
    total = 0.0
    if len(factors) > 0:
        factor = factors[item]
        for at in range(len(vector)):
            total += np.float64(vector[at]) * np.float64(factor[at])
    else:
        code = codes[item]
        for at in range(len(vector)):
            total += np.float64(vector[at]) * np.float64(code[at])
        total *= np.float64(scales[item])
    return total


@dense_jit
def _quantize_query(vector, query):
    """Code a vector, as a multiple of its size; return step, and what bounds take of both sides.

    With item x = s c + r and vector q = t e + p, the product is s t (c e) + s (c p) + (q r), where
    |c p| <= 127 sqrt(n) |p| and |q r| <= |q| |r|.
    """
    width = len(vector)
    top = np.float32(0)
    for at in range(width):
        top = max(top, abs(vector[at]))
        if not abs(vector[at]) <= top:
            top = np.float32(np.nan)
    if top == 0 or not top < np.inf:
        query[:] = 0
        bound = np.float32(0) if top == 0 else np.float32(np.nan)
        return bound, bound, bound
    unit = math.ldexp(1.0, -math.frexp(np.float64(top))[1])
    # No sum of products of codes leaves int32.
    most = min(32767, (2**31 - 1) // (_LARGEST * width))
    step = np.float32(np.float64(top) * unit / most)
    missed, length, total = 0.0, 0.0, 0.0
    for at in range(width):
        value = np.float64(vector[at]) * unit
        rounded = np.rint(value / np.float64(step))
        query[at] = np.int16(rounded)
        rest = value - np.float64(step) * rounded
        missed += rest * rest
        length += value * value
        total += abs(rounded)
    slack = _LARGEST * (math.sqrt(width * missed) + _ROUNDING * step * total)
    return step, np.float32(slack * (1 + 1e-5)), np.float32(math.sqrt(length) * (1 + 1e-5))


@dense_jit
def _bound(codes, scales, residuals, query, step, slack, length, floor, sums, uppers):
    """Write the most that each product can be; return how many are not below the floor."""
    for row in range(len(codes)):
        total = np.int32(0)
        for at in range(len(query)):
            total += np.int32(codes[row, at]) * np.int32(query[at])
        sums[row] = total
    count = np.int32(0)
    for row in range(len(codes)):
        upper = scales[row] * (step * np.float32(sums[row]) + slack) + residuals[row] * length
        uppers[row] = upper + _UNDERFLOW
        count += np.int32(not (uppers[row] < floor))
    return count


@dense_jit
def _search(
    start,
    stop,
    low,
    high,
    vectors,
    factors,
    weights,
    codes,
    scales,
    residuals,
    own_scales,
    allowed,
    excluded,
    excluded_at,
    items,
    scores,
):
    width, k = codes.shape[1], items.shape[1]
    query = np.empty(width, dtype=np.int16)
    sums, uppers = np.empty(_CHUNK, dtype=np.int32), np.empty(_CHUNK, dtype=np.float32)
    lowers, lower_items = np.empty(k, dtype=np.float32), np.empty(k, dtype=np.int32)
    found = np.empty(high - low, dtype=np.int32)
    reach = np.empty(high - low, dtype=np.float32)
    for row in range(start, stop):
        vector = vectors[row]
        step, slack, length = _quantize_query(vector, query)
        n_found = size = 0
        floor = np.float32(-np.inf)
        for first in range(low, high, _CHUNK):
            last = min(first + _CHUNK, high)
            if not _bound(
                codes[first:last],
                scales[first:last],
                residuals[first:last],
                query,
                step,
                slack,
                length,
                floor,
                sums,
                uppers,
            ):
                continue
            for place in range(last - first):
                upper, item = uppers[place], first + place
                if upper < floor or hidden(
                    item, allowed, excluded, excluded_at[row], excluded_at[row + 1]
                ):
                    continue
                found[n_found], reach[n_found] = item, upper
                n_found += 1
                doubt = scales[item] * slack + residuals[item] * length + _UNDERFLOW
                lower = np.float32(-np.inf)
                if doubt < np.inf and upper < np.inf:
                    lower = upper - np.float32(2) * doubt
                size = offer(lowers, lower_items, size, k, lower, item)
                if size == k:
                    floor = lowers[0]
        size = 0
        for at in range(n_found):
            if reach[at] < floor:
                continue
            item = found[at]
            exact = product(vector, factors, codes, own_scales, item)
            score = np.float32(exact * weights[item] if len(weights) > 0 else exact)
            if score == score:
                size = offer(scores[row], items[row], size, k, score, item)
        best_first(scores[row], items[row], size)
        for at in range(size, k):
            items[row, at], scores[row, at] = -1, np.nan


def search(vectors, factors, codes, k, mask, weights, n_jobs):
    """Return the exact k items with the largest products, from a first pass over codes.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, n_factors), float32
    factors : ndarray of shape (n_items, n_factors), float32
        What the codes stand for; without rows, the codes are all there is.
    codes : Codes
    k : int
    mask : Mask
        Without candidates; what is excluded is sorted within each row.
    weights : ndarray of shape (n_items,), float32
        Not negative: products are multiplied by them. Empty: by nothing.
    n_jobs : int or None

    Returns
    -------
    items, scores : ndarray of shape (n_rows, k), int32 and float32
    """
    scales, residuals = codes.scales, codes.residuals
    if len(weights):
        scales, residuals = scales * weights, residuals * weights
    arrays = vectors, factors, weights, codes.codes, scales, residuals, codes.scales
    rules = mask.allowed, mask.excluded, mask.excluded_at
    n, (n_items, n_factors) = len(vectors), codes.codes.shape
    n_parts = 1
    if n == 1:
        n_parts = int(max(1, min(n_threads(n_jobs), codes.codes.size // _PART)))
    items = np.empty((n_parts * n, k), dtype=np.int32)
    scores = np.empty((n_parts * n, k), dtype=np.float32)
    if n_parts == 1:
        work = np.full(n, n_items * n_factors // 8)
        run_sharded(
            lambda start, stop: _search(start, stop, 0, n_items, *arrays, *rules, items, scores),
            work,
            n_jobs,
        )
        return items, scores
    bounds = n_items * np.arange(n_parts + 1) // n_parts

    def search_parts(start, stop):
        for part in range(start, stop):
            inside, own = bounds[part : part + 2], slice(part, part + 1)
            _search(0, 1, *inside, *arrays, *rules, items[own], scores[own])

    run_sharded(search_parts, np.full(n_parts, codes.codes.size), n_jobs)
    best = np.lexsort((items.ravel(), -scores.ravel()))[:k]
    return items.ravel()[best][None], scores.ravel()[best][None]
