"""What a fitted search index knows, and how it becomes arrays for a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecomrec.content._filters import Filters
from ecomrec.content._postings import Postings
from ecomrec.exceptions import FileFormatError
from ecomrec.state import pack_fields, unpack_fields


@dataclass(frozen=True, eq=False)
class IndexState:
    """All that a fitted index knows, never changed after it is made."""

    postings: Postings
    filters: Filters
    available: np.ndarray | None


def pack_index(state: IndexState) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a state as a manifest of JSON values, and named arrays."""
    postings, arrays = pack_fields(state.postings, "postings")
    filters, more = pack_fields(state.filters, "filters")
    arrays |= more
    if state.available is not None:
        arrays["available"] = state.available
    return {"postings": postings, "filters": filters}, arrays


def unpack_index(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> IndexState:
    """Return the state that `pack_index` packed, with every size checked."""
    known: Postings = unpack_fields(manifest["postings"], arrays, Postings, prefix="postings")
    filters = unpack_fields(manifest["filters"], arrays, Filters, prefix="filters")
    available = arrays.get("available")
    n, n_fields = len(known.items), len(known.how.fields)
    if (
        known.sizes.shape != (n, n_fields)
        or known.averages.shape != (n_fields,)
        or filters.numbers.shape != (n, len(filters.number_names))
        or (available is not None and available.shape != (n,))
    ):
        raise FileFormatError("the sizes of an index do not fit its items; the file is damaged.")
    return IndexState(known, filters, available)
