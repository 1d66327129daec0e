"""Slow NumPy twins of the search kernels, as in `ecomrec.testing.twins`.

Examples
--------
>>> from ecomrec.testing.twins_search import is_one_edit
>>> is_one_edit("lunhc", "lunch"), is_one_edit("lunch", "lunch"), is_one_edit("a3", "a4")
(True, False, False)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def weigh_twin(
    rows: Sequence[dict[tuple[int, int], float]],
    sizes: np.ndarray,
    weights: Sequence[float],
    b: Sequence[float],
    averages: Sequence[float],
    k1: float,
) -> list[dict[int, float]]:
    """BM25F without rarity: {(term, field): count} of each item to {term: value}."""
    found = []
    for row, counts in enumerate(rows):
        strengths: dict[int, float] = {}
        for (term, field), count in counts.items():
            length = 1 - b[field] + b[field] * sizes[row, field] / averages[field]
            strengths[term] = strengths.get(term, 0.0) + weights[field] * count / length
        found.append({term: s / (k1 + s) for term, s in strengths.items() if s > 0})
    return found


def renumber_twin(
    rows: Sequence[Sequence[tuple[int, float]]], numbers: Sequence[int], width: int = 1
) -> list[list[tuple[int, float]]]:
    """Renumber the columns of rows of (column, value); -1 drops."""
    return [
        [
            (numbers[index // width] * width + index % width, value)
            for index, value in row
            if numbers[index // width] >= 0
        ]
        for row in rows
    ]


def is_one_edit(word: str, other: str) -> bool:
    """Whether one insertion, deletion, substitution or swap of letters leads to the other word."""
    if word == other:
        return False
    edits = set()
    for i in range(len(word) + 1):
        if i < len(word) and not _digit(word[i]):
            edits.add(word[:i] + word[i + 1 :])
            edits |= {word[:i] + c + word[i + 1 :] for c in other if not _digit(c)}
        edits |= {word[:i] + c + word[i:] for c in other if not _digit(c)}
        pair = word[i : i + 2]
        if len(pair) == 2 and not any(map(_digit, pair)):
            edits.add(word[:i] + pair[::-1] + word[i + 2 :])
    return other in edits


def _digit(letter: str) -> bool:
    return "0" <= letter <= "9"
