"""Texts as rows of counted terms."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ecomrec.content.tokens import Tokenizer, is_missing
from ecomrec.data.ids import IdMap
from ecomrec.exceptions import DataError


def count_terms(
    texts: Iterable[Any],
    tokenizer: Callable[[str], list[str]],
    vocabulary: IdMap,
    *,
    grow: bool,
) -> tuple[IdMap, np.ndarray, np.ndarray, np.ndarray]:
    """Count the terms of each text.

    Parameters
    ----------
    texts : iterable
        str, or None, NaN or "" for a row without terms.
    tokenizer : callable
        From a str to its terms.
    vocabulary : IdMap of str
    grow : bool
        Whether unknown terms are added behind the vocabulary, in sorted order, or left out.

    Returns
    -------
    vocabulary : IdMap of str
    indptr : ndarray of shape (n_texts + 1,), int64
    terms : ndarray, int32
        Rising in each row, none twice.
    counts : ndarray, float32
    """
    terms_of = tokenizer.prepared() if isinstance(tokenizer, Tokenizer) else tokenizer
    n_known = len(vocabulary)
    numbers = _Numbers(zip(vocabulary.ids.tolist(), range(n_known), strict=True))
    found = array("i")
    ends = array("q", [0])
    for row, text in enumerate(texts):
        if isinstance(text, str):
            terms = terms_of(text)
            if grow:
                found.extend(map(numbers.__getitem__, terms))
            else:
                found.extend([numbers[term] for term in terms if term in numbers])
        elif not is_missing(text):
            raise DataError(
                f"the text of item row {row} is {text!r}, of type {type(text).__name__}. Texts "
                "are str, or None where there is none. Convert numbers first, as in "
                "table['size'].astype(str)."
            )
        ends.append(len(found))
    places = np.frombuffer(found, dtype=np.int32).astype(np.int64)
    if len(numbers) > n_known:
        vocabulary, places = _sort_new(vocabulary, list(numbers), places)
    return vocabulary, *_merged(places, np.frombuffer(ends, dtype=np.int64), len(vocabulary))


class _Numbers(dict[str, int]):
    """Terms and their numbers; a new term gets the next one."""

    def __missing__(self, term: str) -> int:
        number = self[term] = len(self)
        return number


def _sort_new(
    vocabulary: IdMap, listed: list[str], places: np.ndarray
) -> tuple[IdMap, np.ndarray]:
    """Add the terms behind the known ones in sorted order, and move what points at them."""
    n_known = len(vocabulary)
    order = sorted(range(n_known, len(listed)), key=listed.__getitem__)
    added: np.ndarray = np.empty(len(order), dtype=object)
    added[:] = [listed[i] for i in order]
    moved = np.arange(len(listed), dtype=np.int64)
    moved[order] = np.arange(n_known, len(listed))
    grown = vocabulary.extend(added) if n_known else IdMap(added, "str")
    return grown, moved[places]


def _merged(
    terms: np.ndarray, ends: np.ndarray, n_terms: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort the terms of each row and count those that are equal."""
    rows = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    keys, counts = np.unique(rows * max(n_terms, 1) + terms, return_counts=True)
    indptr = np.searchsorted(keys, np.arange(len(ends), dtype=np.int64) * max(n_terms, 1))
    return (
        indptr.astype(np.int64),
        (keys % max(n_terms, 1)).astype(np.int32),
        counts.astype(np.float32),
    )
