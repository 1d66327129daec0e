"""How factor models find the best items without multiplying by all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecomrec._optional import require
from ecomrec._parallel import n_threads
from ecomrec.kernels import quantized, ranking, retrieval
from ecomrec.vectors.compressed import CodedRows, overlap

# Efforts of the search in a graph: nodes that are kept in view.
_EFFORTS = (32, 64, 128, 256, 512, 1024)
# A graph is not asked for more than this share of the items: everything is as fast then.
_LARGEST_SHARE = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Index:
    """What `build_index` made.

    Attributes
    ----------
    engine : {"int8", "usearch"}
    exact : bool
        Whether answers are always the exact best items.
    recall : float
        Share of the exact best `k` that were found for `n_queries` stored users.
    k, n_queries, effort : int
        How the recall was measured; the effort is that of the graph.
    codes : Codes or None
        None: the model's own vectors are codes.
    graph : usearch.index.Index or None
    """

    engine: str
    exact: bool
    recall: float = 1.0
    k: int = 0
    n_queries: int = 0
    effort: int = 0
    codes: quantized.Codes | None = None
    graph: Any = None

    @property
    def n_bytes(self) -> int:
        """Memory beside the vectors."""
        codes = sum(part.nbytes for part in self.codes) if self.codes else 0
        return codes + (0 if self.graph is None else int(self.graph.memory_usage))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if self.graph is not None:
            state["graph"] = bytes(self.graph.save())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["graph"] is not None:
            state = dict(state, graph=_usearch().Index.restore(state["graph"]))
            state["graph"].expansion_search = state["effort"]
        vars(self).update(state)

    def __repr__(self) -> str:
        size = f"{self.n_bytes / 1e6:.3g} MB"
        if self.exact:
            return f"Index({self.engine!r}, exact, {size})"
        return (
            f"Index({self.engine!r}, approximate: recall@{self.k} {self.recall:.3f} on "
            f"{self.n_queries} users, effort {self.effort}, {size})"
        )


def top_k(
    vectors: np.ndarray,
    factors: np.ndarray | CodedRows,
    index: Index | None,
    k: int,
    mask: ranking.Mask,
    n_jobs: int | None,
    weights: np.ndarray = retrieval.NO_WEIGHTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best k items, as `retrieval.top_k`, by whatever finds them fastest."""
    codes = index.codes if index is not None else None
    if isinstance(factors, CodedRows):
        vectors, codes = vectors * factors.columns, factors.codes
        factors = np.empty((0, vectors.shape[1]), dtype=np.float32)
    found: tuple[np.ndarray, np.ndarray]
    if index is None or index.graph is None or len(weights) or len(mask.candidate_at):
        found = retrieval.top_k(vectors, factors, k, mask, n_jobs, codes=codes, weights=weights)
        return found
    items, scores = _approximate(index, vectors, factors, k, mask, n_jobs)
    short = np.flatnonzero(items[:, -1] < 0)
    for row in short:
        one = ranking.slice_mask(mask, slice(row, row + 1))
        items[row], scores[row] = retrieval.top_k(
            vectors[row : row + 1], factors, k, one, n_jobs, codes=codes
        )
    return items, scores


def _approximate(
    index: Index,
    vectors: np.ndarray,
    factors: np.ndarray,
    k: int,
    mask: ranking.Mask,
    n_jobs: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Ask the graph for more than the filters may take away, and score what it names exactly.

    Rows that would need too many are left empty.
    """
    n_items = len(factors)
    items = np.full((len(vectors), k), -1, dtype=np.int32)
    scores = np.full((len(vectors), k), np.nan, dtype=np.float32)
    share = np.count_nonzero(mask.allowed) / n_items if len(mask.allowed) else 1.0
    wanted = (k + np.diff(mask.excluded_at)) / max(share, 1e-9) * 1.2
    rows = np.flatnonzero((wanted <= _LARGEST_SHARE * n_items) & vectors.any(axis=1))
    if len(rows) == 0:
        return items, scores
    count = int(np.ceil(wanted[rows].max()))
    threads = n_threads(n_jobs) if len(rows) > 1 else 1
    named = index.graph.search(vectors[rows], count, threads=threads)
    keys = np.atleast_2d(np.asarray(named.keys)).astype(np.int32)
    lengths = np.full(len(rows), keys.shape[1])
    if len(rows) > 1:
        lengths = np.asarray(named.counts).astype(np.int64)
    inside = np.arange(keys.shape[1]) < lengths[:, None]
    at = mask.excluded_at
    out = [mask.excluded[at[row] : at[row + 1]] for row in rows]
    part = mask._replace(
        candidates=keys[inside],
        candidate_at=np.concatenate(([0], np.cumsum(lengths))),
        excluded=np.concatenate(out) if out else ranking.NOTHING,
        excluded_at=np.concatenate(([0], np.cumsum([len(one) for one in out]))),
    )
    items[rows], scores[rows] = retrieval.top_k(vectors[rows], factors, k, part, n_jobs)
    return items, scores


def build_graph(
    users: np.ndarray,
    factors: np.ndarray,
    with_evidence: np.ndarray,
    k: int,
    n_queries: int,
    min_recall: float,
    n_jobs: int | None,
) -> Index:
    """Build a graph of the items, and search it as thoroughly as the recall asks for."""
    known = np.flatnonzero(with_evidence)
    graph = _usearch().Index(ndim=factors.shape[1], metric="ip", dtype="f32", connectivity=16)
    graph.add(known, factors[known], threads=n_threads(n_jobs))
    askers = np.flatnonzero(users.any(axis=1))
    chosen = np.random.default_rng(0).permutation(len(askers))[:n_queries]
    vectors = np.ascontiguousarray(users[np.sort(askers[chosen])])
    n = len(vectors)
    everything = ranking.no_mask(n)._replace(allowed=with_evidence)
    best, _ = retrieval.top_k(vectors, factors, k, everything, n_jobs)
    found = Index("usearch", False, 0.0, k, n, 0, quantized.quantize(factors, n_jobs), graph)
    for effort in _EFFORTS:
        graph.expansion_search = effort
        items, _ = _approximate(found, vectors, factors, k, everything, n_jobs)
        found = replace(found, recall=overlap(best, items), effort=effort)
        if found.recall >= min_recall:
            return found
    raise ValueError(
        f"the graph finds {found.recall:.3f} of the best {k} items at its greatest effort, less "
        f"than min_recall={min_recall:g}. Take build_index('int8'), which is exact, or allow less."
    )


def _usearch() -> Any:
    require("usearch", "ann")
    return require("usearch.index", "ann")
