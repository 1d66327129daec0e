"""Slow twin of `kernels.products`: every product of a profile and an item, then the best."""

from __future__ import annotations

import numpy as np


def recommend(
    profiles: np.ndarray,
    vectors: np.ndarray,
    k: int,
    allowed: np.ndarray,
    excluded: list[set[int]],
    candidates: list[set[int]] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k items with the largest positive products: items (-1) and scores (NaN)."""
    items = np.full((len(profiles), k), -1, dtype=np.int32)
    scores = np.full((len(profiles), k), np.nan, dtype=np.float32)
    for row, profile in enumerate(profiles):
        products = [(-float(profile @ vector), item) for item, vector in enumerate(vectors)]
        kept = sorted(
            (product, item)
            for product, item in products
            if product < 0
            and allowed[item]
            and item not in excluded[row]
            and (candidates is None or item in candidates[row])
        )[:k]
        for place, (product, item) in enumerate(kept):
            items[row, place], scores[row, place] = item, -product
    return items, scores
