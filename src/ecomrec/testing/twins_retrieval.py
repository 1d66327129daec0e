"""Slow NumPy twins of the kernels that find the best products, as in `ecomrec.testing.twins`.

Examples
--------
>>> import numpy as np
>>> from ecomrec.testing.twins import no_mask
>>> from ecomrec.testing.twins_retrieval import best_products_twin
>>> items, scores = best_products_twin([[1.0, 2.0]], [[1.0, 0.0], [0.0, 3.0]], 1, no_mask(1))
>>> items.tolist(), scores.tolist()
([[1]], [[6.0]])
"""

from __future__ import annotations

import numpy as np

from ecomrec.kernels import quantized, ranking
from ecomrec.testing.twins import top_k_twin


def best_products_twin(
    vectors: np.ndarray,
    factors: np.ndarray,
    k: int,
    mask: ranking.Mask,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply in float64, round to float32, sort."""
    products = np.asarray(vectors, np.float64) @ np.asarray(factors, np.float64).T
    if weights is not None:
        products = products * weights
    with np.errstate(over="ignore"):
        return top_k_twin(products.astype(np.float32), k, mask)


def quantize_twin(factors: np.ndarray) -> quantized.Codes:
    """Round each row to multiples of a 127th of its largest entry."""
    factors = np.asarray(factors, np.float32)
    scales = np.abs(factors).max(axis=1, initial=0) / np.float32(127)
    scales[~((scales > np.float32(1e-30)) & (scales < np.float32(1e30)))] = 0
    steps = np.where(scales > 0, scales, 1)[:, None]
    codes = np.rint(factors * (scales > 0)[:, None] / steps).astype(np.int8)
    missed = factors.astype(np.float64) - scales[:, None].astype(np.float64) * codes
    return quantized.Codes(codes, scales, np.sqrt((missed**2).sum(axis=1)).astype(np.float32))
