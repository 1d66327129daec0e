"""Words of items weighed, words that look like another, and rows renumbered."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels import assemble
from ecomrec.kernels._jit import jit


@jit
def _weigh(start, stop, store, sizes, weights, b, averages, k1, out_at, terms, values, counts):
    starts, lengths, keys, tallies = store
    n_fields = len(weights)
    for row in range(start, stop):
        out = out_at[row]
        term = -1
        strength = 0.0
        for at in range(starts[row], starts[row] + lengths[row]):
            found, field = keys[at] // n_fields, keys[at] % n_fields
            if found != term:
                if strength > 0.0:
                    terms[out] = term
                    values[out] = strength / (k1 + strength)
                    out += 1
                term = found
                strength = 0.0
            length = 1.0 - b[field] + b[field] * sizes[row, field] / averages[field]
            strength += weights[field] * tallies[at] / length
        if strength > 0.0:
            terms[out] = term
            values[out] = strength / (k1 + strength)
            out += 1
        counts[row] = out - out_at[row]


def weigh(store, sizes, weights, b, averages, k1, n_jobs=1):
    """Return what each word counts for in each item: BM25F before the rarity of the word.

    Parameters
    ----------
    store : tuple of (starts, lengths, keys, counts)
        Items as rows; keys are ``term * n_fields + field``, rising within each row.
    sizes : ndarray of shape (n_items, n_fields), float32
        Words in each field of each item.
    weights, b, averages : ndarray of shape (n_fields,), float64
        Averages are positive.
    k1 : float
    n_jobs : int or None

    Returns
    -------
    indptr : ndarray, int64
    terms : ndarray, int32
        Rising within each item.
    values : ndarray, float32
        From 0 to 1.
    """
    starts, lengths, keys, tallies = store
    out_at = assemble.offsets(lengths)
    terms = np.empty(out_at[-1], dtype=np.int32)
    values = np.empty(out_at[-1], dtype=np.float32)
    counts = np.zeros(len(lengths), dtype=np.int64)
    sizes = np.ascontiguousarray(sizes, dtype=np.float32)
    weights, b, averages = (np.asarray(v, dtype=np.float64) for v in (weights, b, averages))
    run_sharded(
        lambda start, stop: _weigh(
            start, stop, (starts, lengths, keys, tallies), sizes, weights, b, averages, float(k1),
            out_at, terms, values, counts,
        ),
        lengths * 10,
        n_jobs,
    )  # fmt: skip
    indptr = assemble.compact(out_at, counts, [terms, values])
    return indptr, terms[: indptr[-1]], values[: indptr[-1]]


@jit
def _renumber(starts, lengths, indices, values, numbers, width, counts, out_indices, out_values):
    out = 0
    for row in range(len(starts)):
        first = out
        for at in range(starts[row], starts[row] + lengths[row]):
            number = numbers[indices[at] // width]
            if number >= 0:
                out_indices[out] = number * width + indices[at] % width
                out_values[out] = values[at]
                out += 1
        counts[row] = out - first
    return out


def renumber(store, numbers, width=1):
    """Give the columns of sparse rows new numbers, and drop those that have none.

    Parameters
    ----------
    store : tuple of (starts, lengths, indices, values)
    numbers : ndarray, int32
        New number of ``index // width``; -1 drops it. What remains keeps its order.
    width : int

    Returns
    -------
    indptr : ndarray, int64
    indices : ndarray, int32
    values : ndarray, float32
    """
    starts, lengths, indices, values = store
    total = int(lengths.sum(dtype=np.int64))
    counts = np.zeros(len(starts), dtype=np.int64)
    out_indices = np.empty(total, dtype=np.int32)
    out_values = np.empty(total, dtype=np.float32)
    numbers = np.ascontiguousarray(numbers, dtype=np.int32)
    used = _renumber(
        starts, lengths, indices, values, numbers, np.int32(width), counts, out_indices, out_values
    )
    return assemble.offsets(counts), out_indices[:used], out_values[:used]


@jit
def _is_digit(letter):
    return 48 <= letter <= 57


@jit
def _one_edit(word, letters, offsets, found):
    n = len(word)
    size = 0
    for term in range(len(offsets) - 1):
        base = offsets[term]
        m = offsets[term + 1] - base
        if m < n - 1 or m > n + 1:
            continue
        i = 0
        while i < min(m, n) and word[i] == letters[base + i]:
            i += 1
        if m == n:
            if i == n:
                continue
            j = n - 1
            while word[j] == letters[base + j]:
                j -= 1
            swapped = word[i] == letters[base + j] and word[j] == letters[base + i]
            near = j == i or (j == i + 1 and swapped)
            digit = _is_digit(word[i]) or _is_digit(letters[base + i])
        elif m > n:
            j = n - 1
            while j >= i and word[j] == letters[base + j + 1]:
                j -= 1
            near = j < i
            digit = _is_digit(letters[base + i])
        else:
            j = m - 1
            while j >= i and word[j + 1] == letters[base + j]:
                j -= 1
            near = j < i
            digit = _is_digit(word[i])
        if near and not digit:
            found[size] = term
            size += 1
    return size


@jit
def _prefixed(word, letters, offsets, found):
    n = len(word)
    size = 0
    for term in range(len(offsets) - 1):
        base = offsets[term]
        if offsets[term + 1] - base <= n:
            continue
        i = 0
        while i < n and word[i] == letters[base + i]:
            i += 1
        if i == n:
            found[size] = term
            size += 1
    return size


def one_edit(word, letters, offsets):
    """Return the terms that one edit makes of a word: a letter more, less, other, or two swapped.

    Digits are never edited: another number is another thing.

    Parameters
    ----------
    word : ndarray of shape (n,), int32
        Code points.
    letters : ndarray, int32
        Term t is ``letters[offsets[t] : offsets[t + 1]]``.
    offsets : ndarray of shape (n_terms + 1,), int64

    Returns
    -------
    ndarray, int32
        Rising; never the word itself.
    """
    found = np.empty(len(offsets) - 1, dtype=np.int32)
    return found[: _one_edit(word, letters, offsets, found)]


def prefixed(word, letters, offsets):
    """Return the longer terms that start with a word, rising (int32); see `one_edit`."""
    found = np.empty(len(offsets) - 1, dtype=np.int32)
    return found[: _prefixed(word, letters, offsets, found)]


@jit
def _any_of(starts, lengths, codes, wanted, found):
    for row in range(len(starts)):
        for at in range(starts[row], starts[row] + lengths[row]):
            if wanted[codes[at]]:
                found[row] = True
                break


def any_of(starts, lengths, codes, wanted):
    """Say which rows of codes hold one that is wanted: bool of shape (n_rows,)."""
    found = np.zeros(len(starts), dtype=np.bool_)
    _any_of(starts, lengths, codes, wanted, found)
    return found
