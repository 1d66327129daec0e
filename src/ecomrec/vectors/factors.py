"""What models share that describe users and items by vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec._validation import check_k
from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Interactions
from ecomrec.data.source import Growth, Removal
from ecomrec.kernels import neighbors, quantized, ranking
from ecomrec.state import ArrayRule, columns_of
from ecomrec.vectors import index as _index
from ecomrec.vectors.compressed import CodedRows, compressed, expanded, is_coded, packed, unpacked
from ecomrec.vectors.index import Index

# Catalogues from this size on are indexed as they are learned.
_INDEX_FROM = 20_000

Side = Literal["user", "item"]


@dataclass(frozen=True, eq=False)
class Factors:
    """What factor models learn; a model may learn more beside it.

    On a compressed model both kinds of vectors are `CodedRows`, which index and convert as the
    arrays do; in its file they are int8, and the fields below hold their scales.

    Attributes
    ----------
    user_factors : ndarray of shape (n_users, n_factors), float32
        All zeros for users without evidence.
    item_factors : ndarray of shape (n_items, n_factors), float32
    with_evidence : ndarray of shape (n_items,), bool
        False for items of which nothing is known: they have no score.
    user_scales, item_scales : ndarray, float32, or None
        In a compressed model's file: sizes of the columns, then of the rows.
    compression : dict or None
        What compressing cost.
    """

    user_factors: np.ndarray
    item_factors: np.ndarray
    with_evidence: np.ndarray
    user_scales: np.ndarray | None = field(default=None, kw_only=True)
    item_scales: np.ndarray | None = field(default=None, kw_only=True)
    compression: dict[str, float] | None = field(default=None, kw_only=True)

    #: Belongs to these very vectors: a changed copy has none, and no file holds it.
    index: ClassVar[Index | None] = None

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_factors = columns_of(self.item_factors)
        return {
            "user_factors": ArrayRule((shop.n_users, n_factors)),
            "item_factors": ArrayRule((shop.n_items, n_factors)),
            "with_evidence": ArrayRule((shop.n_items,), dtype=np.bool_),
            "user_scales": ArrayRule((n_factors + shop.n_users,)),
            "item_scales": ArrayRule((n_factors + shop.n_items,)),
        }

    @property
    def n_biases(self) -> int:
        """How many of the last columns are biases: no part of what makes two rows alike."""
        return 0

    def tastes(self, side: Side) -> np.ndarray | CodedRows:
        """Vectors without their biases."""
        rows = self.user_factors if side == "user" else self.item_factors
        return np.asarray(rows)[:, : -self.n_biases] if self.n_biases else rows

    @computed_once
    def user_norms(self) -> np.ndarray:
        """Lengths of the users' vectors, without biases."""
        return norms_of(self.tastes("user"))

    @computed_once
    def item_norms(self) -> np.ndarray:
        """Lengths of the items' vectors, without biases."""
        return norms_of(self.tastes("item"))


class FactorModel(BaseRecommender):
    """Base of models whose score is the product of a user's and an item's vector.

    A subclass writes `_fit`, which learns a `Factors` (or a dataclass derived from it), and
    `_fold_in`, which makes vectors of profiles that are not stored. Biases are columns: a user's 1
    beside the item's bias.
    """

    _learned_types: ClassVar[tuple[type, ...]] = (Factors,)
    n_jobs: int | None

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        """Vectors of visitors from what they touched: float32 of shape (n, n_factors)."""
        raise NotImplementedError

    # ------------------------------------------------------------------ finding items

    @property
    def _state(self) -> State:
        try:
            state: State = self.__dict__["_state"]
        except KeyError:
            raise AttributeError("_state") from None
        return state

    @_state.setter
    def _state(self, state: State) -> None:
        """Publish a state; large catalogues get their index first."""
        if state.learned.item_factors.dtype == np.int8:
            state = replace(state, learned=unpacked(state.learned))
        learned = state.learned
        if "index" not in vars(learned) and len(learned.item_factors) >= _INDEX_FROM:
            _attach(learned, _int8(learned, getattr(self, "n_jobs", 1)))
        self.__dict__["_state"] = state

    def build_index(
        self,
        engine: Literal["int8", "usearch"] | None = "int8",
        *,
        min_recall: float = 0.95,
        k: int = 10,
        n_queries: int = 1000,
    ) -> Self:
        """Choose how `recommend` finds the best items of few users at a time.

        Learning and loading build "int8" for catalogues of 20,000 items and more, so this is for
        smaller ones, for "usearch", and to take an index away. It holds until the next `fit`,
        `partial_fit`, `forget` or `refresh`, and is in no file.

        Parameters
        ----------
        engine : {"int8", "usearch"} or None
            "int8": a first pass over vectors rounded to one byte, whose error is bounded; what may
            be among the best is then scored exactly, so answers are those of a full search.
            "usearch": a graph of neighbours (HNSW), which may miss items; it needs the extra
            ``ecomrec[ann]``. None: multiply by all items.
        min_recall : float
            For "usearch": the search gets more thorough until it finds this share of the exact
            best `k`.
        k, n_queries : int
            For "usearch": recall is measured in the best `k` items of this many stored users.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The graph does not reach `min_recall`; the model stays as it was.
        """
        self._check_fitted()
        if engine not in ("int8", "usearch", None):
            raise ValueError(f"engine must be 'int8', 'usearch' or None; got {engine!r}.")
        if not 0 <= min_recall <= 1:
            raise ValueError(f"min_recall must be from 0 to 1; got {min_recall!r}.")
        if n_queries < 1:
            raise ValueError(f"n_queries must be at least 1; got {n_queries!r}.")
        k = check_k(k)
        with self._lock:
            learned = replace(self._state.learned)
            made = None
            if engine == "int8":
                made = _int8(learned, self.n_jobs)
            elif engine == "usearch":
                if is_coded(learned):
                    raise ValueError(
                        "a compressed model takes no 'usearch' index: the graph would hold the "
                        "vectors in full. Take build_index('int8')."
                    )
                made = _index.build_graph(
                    learned.user_factors,
                    learned.item_factors,
                    learned.with_evidence,
                    k,
                    n_queries,
                    min_recall,
                    self.n_jobs,
                )
            _attach(learned, made)
            self._state = replace(self._state, learned=learned)
        return self

    @property
    def index_(self) -> Index:
        """What `build_index` or a large catalogue made: an exact or an approximate index."""
        index: Index | None = self._attribute("index_").learned.index
        if index is None:
            raise AttributeError("index_ exists after build_index, and on large catalogues.")
        return index

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        text: str = super().__repr__(N_CHAR_MAX)
        index = self._state.learned.index if self.__sklearn_is_fitted__() else None
        return text if index is None or index.exact else f"{text} with {index!r}"

    # ------------------------------------------------------------------ smaller vectors

    def compress(self, dtype: Literal["int8"] = "int8") -> Self:
        """Keep vectors as one byte for each factor: a quarter of the memory and of the file.

        Scores change a little; `compression_` says by how much. Everything works as before.
        `partial_fit` and `forget` expand the vectors while they run; `refresh` learns them anew,
        and compresses them again; `fit` does not.

        Parameters
        ----------
        dtype : {"int8"}

        Returns
        -------
        self
        """
        self._check_fitted()
        if dtype != "int8":
            raise ValueError(f"dtype must be 'int8'; got {dtype!r}.")
        with self._lock:
            learned = self._state.learned
            if not is_coded(learned):
                self._state = replace(self._state, learned=compressed(learned, self.n_jobs))
        return self

    @property
    def compression_(self) -> dict[str, float]:
        """What `compress` cost.

        Keys: `bytes_before` and `bytes` of the vectors; `max_error` and `mean_error` of the scores
        of `n_users` stored users, as shares of the largest score; `top_10_overlap`, the share of
        their ten best items that stayed.
        """
        report: dict[str, float] | None = self._attribute("compression_").learned.compression
        if report is None:
            raise AttributeError("compression_ exists after compress.")
        return dict(report)

    # Compressed vectors are expanded to learn from more, and compressed again.

    def _extended(self, state: State, grow: Growth, sides: SideTables) -> State:
        return self._coded_as(state, super()._extended(_in_full(state), grow, sides))

    def _reduced(self, state: State, remove: Removal) -> State:
        return self._coded_as(state, super()._reduced(_in_full(state), remove))

    def _refreshed(self, state: State) -> State:
        return self._coded_as(state, super()._refreshed(_in_full(state)))

    def _coded_as(self, before: State, after: State) -> State:
        if not is_coded(before.learned):
            return after
        return replace(after, learned=compressed(after.learned, self.n_jobs))

    def _packed_state(
        self, state: State, shared: Sequence[Interactions] = ()
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if is_coded(state.learned):
            state = replace(state, learned=packed(state.learned))
        return super()._packed_state(state, shared)

    # ------------------------------------------------------------------ answering

    def _vectors(self, state: State, query: Query) -> np.ndarray:
        """Vectors of the rows of a query; zeros where nothing is known."""
        if not query.as_stored:
            return self._fold_in(state, query.profiles)
        vectors: np.ndarray = state.learned.user_factors[query.users]
        vectors[query.users < 0] = 0
        return vectors

    def _score(self, state: State, query: Query) -> np.ndarray:
        vectors = self._vectors(state, query)
        block: np.ndarray = vectors @ np.asarray(state.learned.item_factors).T
        block[:, ~state.learned.with_evidence] = np.nan
        block[~vectors.any(axis=1)] = np.nan
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        learned = state.learned
        vectors = self._vectors(state, query)
        if not learned.with_evidence.all():
            allowed = learned.with_evidence
            mask = mask._replace(allowed=allowed & mask.allowed if len(mask.allowed) else allowed)
        items, scores = _index.top_k(
            vectors, learned.item_factors, learned.index, k, mask, self.n_jobs
        )
        nobody = ~vectors.any(axis=1)
        if nobody.any():
            items[nobody], scores[nobody] = -1, np.nan
        return items, scores

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        result = np.full(len(users), np.nan)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        result[known] = np.einsum(
            "rf,rf->r",
            state.learned.user_factors[users[known]],
            state.learned.item_factors[items[known]],
        )
        return result

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        learned = state.learned
        index = None if learned.n_biases else learned.index
        return most_alike(learned.tastes("item"), rows, k, self.n_jobs, learned.item_norms, index)

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        learned = state.learned
        return most_alike(learned.tastes("user"), rows, k, self.n_jobs, learned.user_norms)

    @property
    def user_factors_(self) -> np.ndarray:
        """Vectors of the users, by row."""
        return read_only(np.asarray(self._attribute("user_factors_").learned.user_factors))

    @property
    def item_factors_(self) -> np.ndarray:
        """Vectors of the items, by row."""
        return read_only(np.asarray(self._attribute("item_factors_").learned.item_factors))


def norms_of(factors: np.ndarray | CodedRows) -> np.ndarray:
    """Return the length of each row, float32."""
    rows = np.asarray(factors)
    lengths: np.ndarray = np.sqrt(np.einsum("rf,rf->r", rows, rows))
    return lengths


def most_alike(
    factors: np.ndarray | CodedRows,
    rows: np.ndarray,
    k: int,
    n_jobs: int | None,
    norms: np.ndarray,
    index: Index | None = None,
) -> neighbors.Rows:
    """Rows with the largest cosine to some rows, best first, without those and without empty ones.

    Parameters
    ----------
    factors : ndarray of shape (n, n_factors), float32, or CodedRows
    rows : ndarray, int64
    k : int
    n_jobs : int or None
    norms : ndarray of shape (n,), float32
        Lengths of the rows.
    index : Index, optional
        Of the factors.

    Returns
    -------
    neighbors.Rows
    """
    with np.errstate(divide="ignore"):
        weights = np.where(norms > 0, np.float32(1) / norms, np.float32(0))
    itself = rows.astype(np.int32), np.arange(len(rows) + 1)
    mask = ranking.Mask(norms > 0, ranking.NOTHING, ranking.NO_OFFSETS, *itself)
    directions = factors[rows] * weights[rows, None]
    found, values = _index.top_k(directions, factors, index, k, mask, n_jobs, weights)
    found[norms[rows] == 0] = -1
    kept = found >= 0
    indptr = np.concatenate(([0], np.cumsum(kept.sum(axis=1))))
    return neighbors.Rows(indptr, found[kept], values[kept])


def read_only(values: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to."""
    view = values.view()
    view.flags.writeable = False
    return view


def _attach(learned: Factors, index: Index | None) -> None:
    """Give vectors that nobody else knows yet their index."""
    object.__setattr__(learned, "index", index)


def _int8(learned: Factors, n_jobs: int | None) -> Index:
    if is_coded(learned):
        return Index("int8", True)
    return Index("int8", True, codes=quantized.quantize(learned.item_factors, n_jobs))


def _in_full(state: State) -> State:
    """Return a state whose vectors are float32."""
    if not is_coded(state.learned):
        return state
    learned = expanded(state.learned)
    _attach(learned, None)
    return replace(state, learned=learned)
