"""Groups of candidates: what is in which category, or from which seller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ecomrec.data.catalog import Catalog
from ecomrec.exceptions import DataError
from ecomrec.hybrid.rerank._reranker import Known, Lists
from ecomrec.hybrid.rerank._shelf import GROUP

# Cells of a table of lists x groups that are made at a time.
_CELLS = 4_000_000


class Members(NamedTuple):
    """Groups of the distinct candidates of some lists.

    Attributes
    ----------
    rows : ndarray of shape (n, m), int64
        Place of each candidate among the distinct ones.
    indptr, groups : ndarray, int64 and int32
        Groups of each distinct candidate.
    words : ndarray of shape (n_groups,)
        The word on the shelf of each group.
    """

    rows: np.ndarray
    indptr: np.ndarray
    groups: np.ndarray
    words: np.ndarray


def column_of_groups(owner: str, catalog: Catalog | None, name: str) -> list[tuple[str, str]]:
    """The column that a reranker must have, or an error that says so."""
    if catalog is None:
        raise DataError(
            f"{owner} reads the column {name!r} of the items table: give items, a table with "
            "item_id and that column."
        )
    if name not in catalog.columns:
        raise DataError(
            f"{owner} reads the column {name!r}, which the items table lacks; it has "
            f"{catalog.columns}. Name another one with column=."
        )
    return [(GROUP, name)]


def members_of(known: Known, lists: Lists, name: str) -> Members:
    """Return the groups of all candidates in one column."""
    rows, places = lists.distinct()
    indptr, words = known.shelf.groups(rows, name)
    if not len(rows):
        indptr = np.zeros(2, dtype=np.int64)
    distinct, groups = np.unique(words, return_inverse=True)
    return Members(places, indptr, groups.astype(np.int32), distinct)


def blocks(n: int, width: int) -> Iterator[slice]:
    """Cut rows into parts whose tables with so many columns are not too large."""
    size = max(1, _CELLS // max(width, 1))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
