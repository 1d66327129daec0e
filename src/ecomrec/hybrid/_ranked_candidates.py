"""How candidates are collected, described, scored and explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ecomrec.base import Explained, Query, State
from ecomrec.data.histories import stored_profiles
from ecomrec.hybrid import _pair_features as pairs
from ecomrec.hybrid import _ranker
from ecomrec.hybrid._learned import LearningComposite
from ecomrec.hybrid._side_columns import context_cells
from ecomrec.hybrid._training import Ranking, filled
from ecomrec.kernels import ranking
from ecomrec.requests import slice_query

# Scores and features of a block of rows take about this much memory.
_BLOCK_BYTES = 64_000_000
_USUAL_FEATURES = 50
# The context of the request that this thread, or task, is answering.
_context: ContextVar[Any] = ContextVar("context", default=None)


@contextmanager
def in_context(context: Any) -> Iterator[None]:
    """Answer in a context: hooks are not handed it."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


class RankedCandidates(LearningComposite):
    """Base of `TwoStage`: everything between a request and its answer."""

    n_candidates: int
    n_jobs: int | None

    def _groups(self) -> Sequence[str]:
        """Groups of features to use."""
        raise NotImplementedError

    def _ranker(self) -> Any:
        """The ranker, not fitted."""
        raise NotImplementedError

    # ------------------------------------------------------------------ hooks

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        own: Ranking = state.learned.own
        n = len(query.users)
        items = np.full((n, k), -1, dtype=np.int32)
        scores = np.full((n, k), np.nan, dtype=np.float32)
        plain = not len(mask.allowed) and not len(mask.candidate_at)
        plain &= mask.excluded is query.profiles.items
        contexts = self._coded(own, _context.get(), n)
        made = self._described(state, own.facts, query, contexts, None if plain else mask)
        for start, matrix, rows, found, places in made:
            margins = self._margins(own, matrix, places)
            order = np.lexsort((found, -margins, rows))
            if own.learner is None:
                order = order[margins[order] > 0]
            rows, found, margins = rows[order], found[order], margins[order]
            at = np.arange(len(rows)) - np.searchsorted(rows, rows)
            best = at < k
            items[start + rows[best], at[best]] = found[best]
            scores[start + rows[best], at[best]] = _ranker.rates(own.knots, margins[best])
        return items, scores

    def _score(self, state: State, query: Query) -> np.ndarray:
        own: Ranking = state.learned.own
        block = np.full((len(query.users), state.interactions.n_items), np.nan, dtype=np.float32)
        contexts = self._coded(own, _context.get(), len(query.users))
        for mask in (None, ranking.no_mask(len(query.users))):
            for start, matrix, rows, items, places in self._described(
                state, own.facts, query, contexts, mask
            ):
                found = self._rates(own, matrix, places)
                some = (found > 0) | (own.learner is not None)
                block[start + rows[some], items[some]] = found[some]
        return block

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        own: Ranking = state.learned.own
        result = np.full(len(users), np.nan)
        contexts = self._coded(own, _context.get(), len(users))
        known = np.flatnonzero((users >= 0) & (items >= 0))
        known = known[np.argsort(users[known], kind="stable")]
        asked, codes = np.unique(users[known], return_inverse=True)
        query = self._stored(state, asked)
        for start, found in self._proposed(state, query):
            stop = start + len(found.blocks[0])
            inside = known[(codes >= start) & (codes < stop)]
            rows = codes[(codes >= start) & (codes < stop)] - start
            part = slice_query(query, slice(start, stop))
            context = None if contexts is None else contexts[inside]
            matrix, places = self._matrix(
                state, own.facts, part, found, rows, items[inside], context
            )
            silent = np.isnan(places[0]).all(axis=1)
            result[inside] = np.where(silent, 0.0, self._rates(own, matrix, places))
        return result

    def _explain(self, state: State, query: Query, item: int) -> Explained:
        own: Ranking = state.learned.own
        contexts = self._coded(own, _context.get(), 1)
        column = np.array([item])
        ((_, matrix, _, _, places),) = self._described(state, own.facts, query, contexts, column)
        names = [name for name, _ in self._parts()]
        if np.isnan(places[0]).all():
            return [], [], np.empty(0), []
        if own.learner is None:
            ranks = places[1][0]
            shares = np.where(np.isnan(ranks), 0, 1 - (ranks - 1) / self.n_candidates) / len(ranks)
            given = ["feature"] * len(names), [f"{n}_rank" for n in names], shares, names
            return self._with_reasons(state, query, item, given)
        reasons = self._names(own)
        row, mine = matrix[0], type(self).__name__
        typical = np.where(np.isnan(own.typical), row, own.typical)
        baseline, shares = _ranker.shapley_values(
            lambda rows: self._rates(own, rows, places), row, typical
        )
        some = np.flatnonzero(shares)
        of_parts, _ = pairs.columns_of_parts(names, self._groups())
        owners = [of_parts[at] if at < len(of_parts) else mine for at in some]
        kinds = ["baseline"] + ["feature"] * len(some)
        why: list[Any] = [None, *(reasons[at] for at in some)]
        told = kinds, why, np.append(baseline, shares[some]), [mine, *owners]
        return self._with_reasons(state, query, item, told)

    # ------------------------------------------------------------------ inside

    def _stored(self, state: State, users: np.ndarray) -> Query:
        """A query for what is stored of some users."""
        query = Query(users, stored_profiles(state.interactions, users), True)
        self._freshen(state, query)
        return query

    def _proposed(self, state: State, query: Query) -> Iterator[tuple[int, pairs.Proposals]]:
        """Blocks of rows: where each starts, and what the parts propose."""
        n = len(query.users)
        n_parts = len(state.learned.parts)
        width = 4 * n_parts * state.interactions.n_items
        width += 8 * n_parts * self.n_candidates * _USUAL_FEATURES
        size = max(1, _BLOCK_BYTES // width)
        for start in range(0, n, size):
            part = slice_query(query, slice(start, min(start + size, n)))
            blocks = self._blocks(state, part)
            yield start, pairs.proposals(blocks, part.profiles, self.n_candidates, self.n_jobs)

    def _described(
        self,
        state: State,
        facts: pairs.Facts,
        query: Query,
        contexts: np.ndarray | None,
        which: ranking.Mask | np.ndarray | None = None,
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray, Any]]:
        """Blocks of rows: start, features, rows and items of candidates, and their places.

        Candidates are those of new items, of what a mask allows, or the same items for each row.
        """
        n_items = state.interactions.n_items
        for start, found in self._proposed(state, query):
            n = len(found.blocks[0])
            block = slice(start, start + n)
            if isinstance(which, np.ndarray):
                rows, items = np.repeat(np.arange(n), len(which)), np.tile(which, n)
            else:
                lists = [items for items, *_ in found.lists]
                if which is not None:
                    mask = ranking.slice_mask(which, block)
                    lists = [
                        ranking.top_k(scores, self.n_candidates, mask, self.n_jobs)[0]
                        for scores in found.blocks
                    ]
                rows, items = pairs.candidates(lists, n_items)
            context = None if contexts is None else contexts[block][rows]
            part = slice_query(query, block)
            matrix, places = self._matrix(state, facts, part, found, rows, items, context)
            yield start, matrix, rows, items, places

    def _matrix(
        self,
        state: State,
        facts: pairs.Facts,
        query: Query,
        found: pairs.Proposals,
        rows: np.ndarray,
        items: np.ndarray,
        context: np.ndarray | None,
    ) -> tuple[np.ndarray, pairs.Places]:
        """Features of pairs of rows and items; and by part, their scores and places."""
        places = pairs.places(found, rows, items)
        shop, groups = state.interactions, self._groups()
        matrix = pairs.pair_features(shop, facts, query, places, rows, items, groups, context)
        return matrix, places

    def _margins(self, own: Ranking, matrix: np.ndarray, places: pairs.Places) -> np.ndarray:
        """What candidates score before calibration."""
        if own.learner is None:
            ranks = places[1]
            shares = np.where(np.isnan(ranks), 0.0, 1 - (ranks - 1) / self.n_candidates)
            mean: np.ndarray = shares.mean(axis=1)
            return mean
        if not _ranker.takes_missing(self._ranker()):
            matrix = filled(matrix, own.typical)
        return _ranker.margins(own.learner, matrix)

    def _rates(self, own: Ranking, matrix: np.ndarray, places: pairs.Places) -> np.ndarray:
        return _ranker.rates(own.knots, self._margins(own, matrix, places))

    def _coded(self, own: Ranking, context: Any, n: int) -> np.ndarray | None:
        """A request's context as numbers, (n, n_columns)."""
        coding = own.context_coding
        if coding is None:
            return None
        return coding.coded(context_cells(context, coding.columns, n), n)

    def _names(self, own: Ranking) -> list[str]:
        """Names of the features."""
        parts = [name for name, _ in self._parts()]
        return pairs.feature_names(parts, own.facts, self._groups(), own.context_coding)
