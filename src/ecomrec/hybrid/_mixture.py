"""What blends and rank fusion share: a weighted sum of the parts' scores, made comparable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, succeeds
from ecomrec.base import BaseRecommender, Explained, Query, State
from ecomrec.cf import ALS, ItemKNN
from ecomrec.composite import CompositeRecommender, Named, reasons_of
from ecomrec.requests import slice_query

# A block of scores of one part takes about this much memory.
_BLOCK_BYTES = 32_000_000


class Mixture(CompositeRecommender):
    """Base of recommenders whose score is a weighted sum of what the parts say.

    A subclass writes `_comparable`; `_shares` says how much each part counts for each row.
    """

    _reads_scores: ClassVar[bool] = True
    parts: list[tuple[str, BaseRecommender]] | None
    n_jobs: int | None

    def _parts(self) -> Named:
        return [("knn", ItemKNN()), ("als", ALS())] if self.parts is None else list(self.parts)

    def _comparable(
        self, state: State, number: int, block: np.ndarray, query: Query
    ) -> np.ndarray:
        """What one part's scores (n, n_items) are worth: float32, 0 without evidence."""
        raise NotImplementedError

    def _shares(self, state: State, query: Query) -> np.ndarray:
        """Weights of the parts: (n, n_parts) or (1, n_parts), of sum 1."""
        raise NotImplementedError

    def _said(self, state: State, number: int, query: Query) -> tuple[np.ndarray, np.ndarray]:
        """Scores of one part, NaN without evidence, and what they are worth."""
        part: BaseRecommender = state.learned.parts[number]
        block = part._score(part._state, self._asked_of(state, number, query))
        block = np.asarray(block, dtype=np.float32)
        return block, self._comparable(state, number, block, query)

    def _score(self, state: State, query: Query) -> np.ndarray:
        shares = self._shares(state, query).astype(np.float32)
        n, n_items = len(query.users), state.interactions.n_items
        total = np.zeros((n, n_items), dtype=np.float32)
        unknown = np.ones((n, n_items), dtype=bool)
        size = max(1, _BLOCK_BYTES // (4 * n_items))
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            asked = slice_query(query, rows)
            weights = shares if len(shares) == 1 else shares[rows]
            for number in range(len(state.learned.parts)):
                if not weights[:, number].any():
                    continue
                _, worth = self._said(state, number, asked)
                total[rows] += weights[:, number, None] * worth
                unknown[rows] &= worth == 0
        total[unknown] = np.nan
        return total

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        kinds: list[str] = []
        reasons: list[Any] = []
        amounts: list[float] = []
        parts: list[str] = []
        shares = self._shares(state, query)[0]
        for number, (name, _) in enumerate(self._parts()):
            block, worth = self._said(state, number, query)
            score, given = float(block[0, item]), float(shares[number]) * float(worth[0, item])
            if given == 0:
                continue
            asked = self._asked_of(state, number, query)
            found = reasons_of(name, state.learned.parts[number], asked, item, given)
            if score <= 0 or not found[0]:
                # A score at or below 0 is worth its place above others, which no reason explains.
                found = ["part"], [name], np.array([given]), [name]
            kinds += found[0]
            reasons += found[1]
            amounts += found[2].tolist()
            parts += found[3]
        return kinds, reasons, np.array(amounts), parts


def weights_rule(*words: str) -> Rule:
    """Rule for weights of parts: None, a word, or numbers of at least 0."""
    listing = "".join(f", {word!r}" for word in words)
    return Rule(
        f"None{listing}, or a list of numbers of at least 0, one for each part, of sum 1",
        lambda v: v is None or (isinstance(v, str) and v in words) or succeeds(_check_numbers, v),
        ("?", 1.0, [0.5, 0.6], [1.5, -0.5], ["a"], [np.nan, 1.0], np.ones(1)),
    )


def check_weights(weights: Any, n_parts: int, owner: str) -> np.ndarray:
    """Return weights as an array, or say that there is not one for each part."""
    if weights is None:
        return np.full(n_parts, 1.0 / n_parts)
    if len(weights) != n_parts:
        raise ValueError(f"{owner}: weights has {len(weights)} numbers for {n_parts} parts.")
    return np.asarray(weights, dtype=np.float64)


def _check_numbers(weights: Sequence[float]) -> None:
    if not isinstance(weights, (list, tuple)) or np.ndim(weights) != 1:
        raise TypeError
    numbers = np.asarray(weights, dtype=np.float64)
    if not (numbers >= 0).all() or abs(numbers.sum() - 1) > 1e-6:
        raise ValueError
