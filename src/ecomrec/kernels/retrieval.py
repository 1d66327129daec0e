"""The best k items by the product of two vectors, filtered as they are ranked.

Many rows: BLAS multiplies a block of rows and items, and each row of the block is read once, a
chunk at a time, for what exceeds its k-th best so far; only that is looked up in the filters. Few
rows: `quantized`, if there are codes. Lists of candidates: their products alone.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ecomrec._parallel import n_threads, run_sharded
from ecomrec.kernels import quantized
from ecomrec.kernels._jit import jit
from ecomrec.kernels.ranking import NOTHING, best_first, offer

NO_WEIGHTS = np.empty(0, dtype=np.float32)

# A block of products stays in the cache of a few cores: this many rows by this many items.
_ROWS, _ITEMS = 512, 8192
# Products that are compared at once.
_CHUNK = 64
# Rounds of the search for a floor to start from.
_HALVINGS = 8
# Up to this many rows, codes are faster than a product of matrices.
_FEW_ROWS = 8
# Scores of a block per thread: below, a second thread costs more than it gives.
_MIN_SCORES = 200_000


@jit
def _n_above(scores, floor):
    count = np.int32(0)
    for at in range(len(scores)):
        count += np.int32(scores[at] > floor)
    return count


@jit
def _early_floor(scores, count, tops):
    """Return a number that at least `count` of the scores exceed; -inf where none is at hand."""
    width = max(_CHUNK // 2, len(scores) // (4 * count))
    n_groups = len(scores) // width
    if n_groups < 2 * count:
        return np.float32(-np.inf)
    bits, top_bits = scores.view(np.int32), tops.view(np.int32)
    for number in range(n_groups):
        # As integers, floats that are not negative keep their order: the top is the largest of the
        # group if one is not negative, and in any case one of the group.
        part = bits[number * width : (number + 1) * width]
        top = np.int32(-(2**31))
        for at in range(len(part)):
            top = max(top, part[at])
        top_bits[number] = top
        if tops[number] != tops[number]:
            tops[number] = -np.inf
    tops = tops[:n_groups]
    low, high = tops.min(), tops.max()
    if _n_above(tops, low) < count:
        return np.float32(-np.inf)
    for _ in range(_HALVINGS):
        middle = low + (high - low) / np.float32(2)
        if _n_above(tops, middle) >= count:
            low = middle
        else:
            high = middle
    return low


@jit
def _scan(
    start, stop, block, first, numbers, allowed, excluded, excluded_at, sizes, items, scores
):
    n_items = block.shape[1]
    k = items.shape[1]
    n_barred = 0
    if len(numbers) == 0 and len(allowed) > 0:
        for item in range(first, first + n_items):
            n_barred += not allowed[item]
    end = numbers[first + n_items - 1] + 1 if len(numbers) > 0 else first + n_items
    tops = np.empty(2 * n_items // _CHUNK + 1, dtype=np.float32)
    for row in range(start, stop):
        size = sizes[row]
        if size == k:
            floor = scores[row, 0]
        else:
            left, right = excluded_at[row], excluded_at[row + 1]
            n_out = n_barred + quantized.place_of(end, excluded, left, right) - left
            floor = _early_floor(block[row], k + n_out, tops)
        for left in range(0, n_items, _CHUNK):
            chunk = block[row, left : min(left + _CHUNK, n_items)]
            if _n_above(chunk, floor) == 0:
                continue
            for at in range(len(chunk)):
                score = chunk[at]
                if not score > floor:
                    continue
                item = first + left + at
                if len(numbers) > 0:
                    item = numbers[item]
                if quantized.hidden(
                    item, allowed, excluded, excluded_at[row], excluded_at[row + 1]
                ):
                    continue
                size = offer(scores[row], items[row], size, k, score, item)
                if size == k:
                    floor = scores[row, 0]
        sizes[row] = size


@jit
def _finish(sizes, items, scores):
    k = items.shape[1]
    for row in range(len(sizes)):
        best_first(scores[row], items[row], sizes[row])
        for at in range(sizes[row], k):
            items[row, at], scores[row, at] = -1, np.nan


@jit
def _rank_listed(
    start,
    stop,
    vectors,
    factors,
    weights,
    codes,
    scales,
    allowed,
    candidates,
    candidate_at,
    excluded,
    excluded_at,
    items,
    scores,
):
    k = items.shape[1]
    for row in range(start, stop):
        size = 0
        for at in range(candidate_at[row], candidate_at[row + 1]):
            item = candidates[at]
            if quantized.hidden(item, allowed, excluded, excluded_at[row], excluded_at[row + 1]):
                continue
            exact = quantized.product(vectors[row], factors, codes, scales, item)
            score = np.float32(exact * weights[item] if len(weights) > 0 else exact)
            if score == score:
                size = offer(scores[row], items[row], size, k, score, item)
        best_first(scores[row], items[row], size)
        for at in range(size, k):
            items[row, at], scores[row, at] = -1, np.nan


@jit
def _sort_rows(values, offsets):
    for row in range(len(offsets) - 1):
        part = values[offsets[row] : offsets[row + 1]]
        for at in range(1, len(part)):
            if part[at] < part[at - 1]:
                part[:] = np.sort(part)
                break


def top_k(vectors, factors, k, mask, n_jobs=1, *, codes=None, weights=NO_WEIGHTS):
    """Return the k items with the largest products ``vectors[r] @ factors[i]``.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, n_factors), float32
    factors : ndarray of shape (n_items, n_factors), float32
        Without rows, the codes are all there is.
    k : int
    mask : Mask
    n_jobs : int or None
    codes : Codes, optional
        The factors as codes: few rows are answered faster.
    weights : ndarray of shape (n_items,), float32
        Not negative: products are multiplied by them. Empty: by nothing.

    Returns
    -------
    items, scores : ndarray of shape (n_rows, k), int32 and float32
        Best first, ties by row number; -1 and NaN behind the last eligible item.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    factors = np.ascontiguousarray(factors, dtype=np.float32)
    weights = np.ascontiguousarray(weights, dtype=np.float32)
    n, n_items = len(vectors), len(factors) if codes is None else len(codes.codes)
    excluded = mask.excluded.copy()
    _sort_rows(excluded, mask.excluded_at)
    mask = mask._replace(excluded=excluded)
    few = codes is not None and n <= _FEW_ROWS
    if len(mask.allowed) and not len(mask.candidate_at):
        allowed = np.flatnonzero(mask.allowed).astype(np.int32)
        if n <= _FEW_ROWS and 8 * len(allowed) < n_items:
            mask = mask._replace(
                candidates=np.tile(allowed, n), candidate_at=np.arange(n + 1) * len(allowed)
            )
    if len(mask.candidate_at):
        return _listed(vectors, factors, codes, k, mask, weights, n_jobs)
    if few:
        return quantized.search(vectors, factors, codes, k, mask, weights, n_jobs)
    numbers = NOTHING
    if len(mask.allowed) and 2 * len(allowed) < n_items:
        numbers = allowed
    return _dense(vectors, factors, codes, k, mask, weights, numbers, n_jobs)


def _listed(vectors, factors, codes, k, mask, weights, n_jobs):
    """Rank what lists of candidates hold."""
    items = np.empty((len(vectors), k), dtype=np.int32)
    scores = np.empty((len(vectors), k), dtype=np.float32)
    if codes is None:
        codes = quantized.NO_CODES
    run_sharded(
        lambda start, stop: _rank_listed(
            start, stop, vectors, factors, weights, codes.codes, codes.scales, *mask, items, scores
        ),
        np.diff(mask.candidate_at) * vectors.shape[1],
        n_jobs,
    )
    return items, scores


def _dense(vectors, factors, codes, k, mask, weights, numbers, n_jobs):
    """Multiply and rank block by block; `numbers`: the items that take part, if not all."""
    n = len(vectors)
    n_items = len(numbers) or (len(factors) if codes is None else len(codes.codes))
    items = np.empty((n, k), dtype=np.int32)
    scores = np.empty((n, k), dtype=np.float32)
    sizes = np.zeros(n, dtype=np.int64)
    height = max(1, min(_ROWS, n))
    width = max(1, min(n_items, _ROWS * _ITEMS // height))
    memory = np.empty(height * width, dtype=np.float32)
    threads = n_threads(n_jobs)
    with ThreadPoolExecutor(threads) as pool:
        for above in range(0, n, height):
            rows = slice(above, min(above + height, n))
            offsets = mask.excluded_at[above : rows.stop + 1]
            for left in range(0, n_items, width):
                tile = slice(left, min(left + width, n_items))
                shape = rows.stop - above, tile.stop - left
                block = memory[: shape[0] * shape[1]].reshape(shape)
                part = numbers[tile] if len(numbers) else tile
                if len(factors):
                    others = factors[part]
                else:
                    others = quantized.expand(codes.codes[part], codes.scales[part], n_jobs)
                np.matmul(vectors[rows], others.T, out=block)
                if len(weights):
                    block *= weights[part]
                rest = numbers, mask.allowed, mask.excluded, offsets
                heaps = sizes[rows], items[rows], scores[rows]
                n_shards = max(1, min(threads, shape[0], block.size // _MIN_SCORES))
                bounds = [shape[0] * shard // n_shards for shard in range(n_shards + 1)]
                tasks = [
                    pool.submit(_scan, *bounds[at : at + 2], block, left, *rest, *heaps)
                    for at in range(1, n_shards)
                ]
                _scan(0, bounds[1], block, left, *rest, *heaps)
                for task in tasks:
                    task.result()
    _finish(sizes, items, scores)
    return items, scores
