"""Public columns of the items table as a few numbers for each item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from ecomrec.data.catalog import as_catalog, labels_of, numbers_of, words_of
from ecomrec.exceptions import DataError

# Numbers are cut at so many standard deviations.
_FAR = 3.0


def public_features(
    items: Any, columns: Sequence[str], ids: np.ndarray | None, n_factors: int
) -> np.ndarray:
    """Read columns of the public items table as a few numbers for each item.

    Numbers are standardised, vectors taken as they are, and any other column becomes indicators
    of its labels; each column has the same weight. Of all that the `n_factors` leading principal
    directions stay.

    Parameters
    ----------
    items : table or Catalog
    columns : sequence of str
    ids : ndarray or None
        The items wanted, in order; zeros for those that the table lacks. None: all.
    n_factors : int

    Returns
    -------
    ndarray of shape (n_items, at most n_factors), float64
    """
    catalog = as_catalog(items)
    stacked = sp.csr_array(sp.hstack([_coded(catalog, name) for name in columns]))
    if ids is not None:
        place = {key: row for row, key in enumerate(catalog.ids.tolist())}
        found_at = np.array([place.get(key, -1) for key in ids.tolist()], dtype=np.int64)
        # One empty row more, for items that the table lacks.
        stacked = sp.vstack([stacked, sp.csr_array((1, stacked.shape[1]))], format="csr")[found_at]
    rank = min(n_factors, *stacked.shape)
    left, sizes, _ = randomized_svd(stacked, rank, random_state=0)
    found: np.ndarray = left * sizes
    return found


def _coded(catalog: Any, name: str) -> sp.csr_array:
    """One column as numbers, of rows whose mean square length is 1."""
    cells = [cell for cell in catalog.column(name) if cell is not None]
    n = catalog.n_items
    if not cells:
        raise DataError(f"the column {name!r} of the items table holds nothing.")
    if catalog.kind_of(name) == "number":
        numbers = numbers_of(catalog, name)
        spread = np.nanstd(numbers)
        scores = (numbers - np.nanmean(numbers)) / (spread if spread > 0 else 1.0)
        found = sp.csr_array(np.clip(np.nan_to_num(scores), -_FAR, _FAR)[:, None])
    elif isinstance(cells[0], (list, tuple, np.ndarray)) and not isinstance(cells[0][0], str):
        width = len(cells[0])
        vectors = np.zeros((n, width))
        for row, cell in enumerate(catalog.column(name)):
            if cell is not None:
                vectors[row] = words_of(cell, divided=False)
        if not np.isfinite(vectors).all():
            raise DataError(f"the vectors in the column {name!r} must be finite.")
        found = sp.csr_array(vectors)
    else:
        labels = labels_of(catalog, name)
        number = {label: at for at, label in enumerate(sorted({x for row in labels for x in row}))}
        at = np.concatenate(([0], np.cumsum([len(row) for row in labels])))
        flat = np.array([number[label] for row in labels for label in row], dtype=np.int64)
        share = np.repeat([1 / max(len(row), 1) ** 0.5 for row in labels], np.diff(at))
        found = sp.csr_array((share, flat, at), shape=(n, max(len(number), 1)))
    size = float(np.sqrt(found.power(2).sum() / n))
    if size > 0:
        found.data = found.data / size
    return found
