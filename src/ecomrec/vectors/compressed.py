"""Vectors of factor models at one byte for each factor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ecomrec.kernels import quantized, ranking, retrieval

_SIDES = ("user", "item")
_NO_FACTORS = np.empty((0, 0), dtype=np.float32)
_NEIGHBOURS = 64


class CodedRows:
    """Rows of float32 that are kept as int8: row i is ``scales[i] * codes[i] * columns``.

    It can be indexed by rows, measured and turned into an array: what NumPy does with it, it does
    with the array.

    Parameters
    ----------
    codes : ndarray of shape (n, n_factors), int8
    scales : ndarray of shape (n,), float32
    columns : ndarray of shape (n_factors,), float32
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, codes: np.ndarray, scales: np.ndarray, columns: np.ndarray) -> None:
        if scales.shape != codes.shape[:1] or columns.shape != codes.shape[1:]:
            raise ValueError("codes and scales of compressed vectors do not belong together.")
        self.codes = quantized.Codes(codes, scales, np.zeros(len(codes), dtype=np.float32))
        self.columns = columns

    @classmethod
    def of(cls, factors: np.ndarray, n_jobs: int | None) -> CodedRows:
        """Return rows as codes, each column measured by its own size first."""
        sizes = np.sqrt(np.einsum("rf,rf->f", factors, factors) / max(len(factors), 1))
        sizes[~(sizes > 0)] = 1
        made = quantized.quantize(factors / sizes, n_jobs)
        return cls(made.codes, made.scales, sizes.astype(np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.codes.codes.shape

    @property
    def nbytes(self) -> int:
        """Memory of the codes and what belongs to them."""
        return self.codes.codes.nbytes + self.codes.scales.nbytes + self.columns.nbytes

    def __len__(self) -> int:
        return len(self.codes.codes)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            part: np.ndarray = np.asarray(self)[key]
            return part
        scales = self.codes.scales[key]
        rows: np.ndarray = self.codes.codes[key] * (scales[..., None] * self.columns)
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        rows = quantized.expand(self.codes.codes, self.codes.scales)
        rows *= self.columns
        converted: np.ndarray = rows.astype(dtype or np.float32, copy=False)
        return converted

    def astype(self, dtype: Any) -> np.ndarray:
        """Return the rows as an array."""
        return np.asarray(self, dtype=dtype)


def is_coded(learned: Any) -> bool:
    """Whether the vectors of a `Factors` are codes."""
    return isinstance(learned.item_factors, CodedRows)


def compressed(learned: Any, n_jobs: int | None) -> Any:
    """Return a `Factors` with codes for vectors, and a report of what that cost."""
    users, items = (CodedRows.of(getattr(learned, f"{side}_factors"), n_jobs) for side in _SIDES)
    report = _compare(learned.user_factors, learned.item_factors, users, items, n_jobs)
    return replace(learned, user_factors=users, item_factors=items, compression=report)


def expanded(learned: Any) -> Any:
    """Return a `Factors` with arrays for vectors."""
    parts = {f"{side}_factors": np.asarray(getattr(learned, f"{side}_factors")) for side in _SIDES}
    return replace(learned, **parts, compression=None)


def packed(learned: Any) -> Any:
    """Return a `Factors` that is fit for a file: codes, and their scales beside them."""
    parts = {}
    for side in _SIDES:
        rows: CodedRows = getattr(learned, f"{side}_factors")
        parts[f"{side}_factors"] = rows.codes.codes
        parts[f"{side}_scales"] = np.concatenate((rows.columns, rows.codes.scales))
    return replace(learned, **parts)


def unpacked(learned: Any) -> Any:
    """Return what `packed` packed."""
    parts: dict[str, Any] = {}
    for side in _SIDES:
        codes, scales = getattr(learned, f"{side}_factors"), getattr(learned, f"{side}_scales")
        width = codes.shape[1]
        parts[f"{side}_factors"] = CodedRows(codes, scales[width:], scales[:width])
        parts[f"{side}_scales"] = None
    return replace(learned, **parts)


def _compare(
    users: np.ndarray,
    items: np.ndarray,
    small_users: CodedRows,
    small_items: CodedRows,
    n_jobs: int | None,
    n_rows: int = 1000,
) -> dict[str, float]:
    """What codes cost in the scores of some users, and in their ten best items."""
    rows = np.sort(np.random.default_rng(0).permutation(len(users))[:n_rows])
    rows = rows[users[rows].any(axis=1)]
    worst = total = size = 0.0
    expanded_items = np.asarray(small_items).T
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        exact = users[part] @ items.T
        error = np.abs(small_users[part] @ expanded_items - exact)
        worst = max(worst, float(error.max()))
        total += float(error.sum(dtype=np.float64))
        size = max(size, float(np.abs(exact).max()))
    mask = ranking.no_mask(len(rows))
    before, _ = retrieval.top_k(users[rows], items, 10, mask, n_jobs)
    vectors = small_users[rows] * small_items.columns
    after, _ = retrieval.top_k(vectors, _NO_FACTORS, 10, mask, n_jobs, codes=small_items.codes)
    size = size or 1.0
    return {
        "bytes_before": users.nbytes + items.nbytes,
        "bytes": small_users.nbytes + small_items.nbytes,
        "max_error": worst / size,
        "mean_error": total / max(len(rows) * len(items), 1) / size,
        "top_10_overlap": overlap(before, after),
        "n_users": len(rows),
    }


def overlap(best: np.ndarray, found: np.ndarray) -> float:
    """Share of the best items of each row that were found in it."""
    known = best >= 0
    hits = (best[:, :, None] == found[:, None, :]).any(axis=2) & known
    return float(hits.sum() / known.sum()) if known.any() else 1.0
