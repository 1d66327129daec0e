"""Checks of what mechanisms are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ecomrec.privacy.accounting.events import as_float


def integers(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.dtype == np.uint64:
        raise TypeError(
            f"values must be integers of at most 64 bits with sign; got {array.dtype}. "
            "Bring numbers to a grid with to_grid."
        )
    return array.astype(np.int64)


def options(values: Any, at_least: int) -> np.ndarray:
    exact = integers(values)
    if exact.ndim != 1 or len(exact) < at_least:
        raise ValueError(
            f"values must be one-dimensional and at least {at_least}; got shape {exact.shape}."
        )
    return exact


def check_positive(owner: Any, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not 0.0 < as_float(value) < math.inf:
            raise ValueError(
                f"{type(owner).__name__}: {name} must be a positive finite number; got {value!r}."
            )
