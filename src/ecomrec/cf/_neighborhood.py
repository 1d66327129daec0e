"""Similar rows of one side of the interactions, kept fresh: shared by item and user neighbours.

"Entities" are what is compared and "features" what they are compared by, as in the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ecomrec.cf._canonical import id_ranks
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import assemble, neighbors
from ecomrec.state import ArrayRule

# Okapi BM25's usual constants.
_K1, _B = 1.2, 0.75


class Sides(NamedTuple):
    """Interactions seen from the entities that are compared."""

    mine: RowStore
    other: RowStore
    ids: IdMap
    feature_ids: IdMap
    scale: float

    @classmethod
    def items(cls, shop: Interactions) -> Sides:
        """Items compared by their users."""
        return cls(shop.by_item, shop.by_user, shop.items, shop.users, shop.scale)

    @classmethod
    def users(cls, shop: Interactions) -> Sides:
        """Users compared by their items."""
        return cls(shop.by_user, shop.by_item, shop.users, shop.items, shop.scale)


class Recipe(NamedTuple):
    """The parameters of a comparison; see `ItemKNN` for the formulas."""

    similarity: str
    weighting: str
    n_neighbors: int
    shrink: float
    feature_damping: float
    own_damping: float
    popularity_damping: float
    power: float
    normalize: bool
    mutual: bool

    @property
    def own_exponent(self) -> float:
        """Exponent of the norm of the entity whose neighbours are sought."""
        fixed = {"conditional": 1.0, "rp3beta": self.feature_damping}
        return fixed.get(self.similarity, self.own_damping)

    @property
    def form(self) -> tuple[int, float]:
        """How weights count, and the exponent."""
        if self.similarity in ("jaccard", "conditional"):
            return neighbors.BINARY, 1.0
        if self.similarity == "rp3beta":
            return neighbors.POWER, self.feature_damping
        if self.weighting == "tfidf":
            return neighbors.POWER, 0.5
        if self.weighting == "bm25":
            return neighbors.BM25, 1.0
        return neighbors.RAW, 1.0


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """What neighbour models learn.

    Attributes
    ----------
    similarity : RowStore
        Neighbours of each entity and how similar they are.
    mutual : RowStore or None
        What is left of `similarity` when each entity may be the neighbour of few others only.
    stale : ndarray of shape (n_entities,), bool
        Rows to recompute before they are used.
    norms, lengths : ndarray of shape (n_entities,), float64
        Sums over the entity's features, and its relative length for BM25.
    degrees, idf : ndarray of shape (n_features,), float64
        Sums over the feature's entities, and its inverse document frequency (frozen).
    mean_length : float
        Mean length that BM25 compares with (frozen).
    rank, feature_rank : ndarray of shape (n_entities,) and (n_features,), int32
        Place of each id in sorted order: ties, and sums, do not depend on who arrived first.
    scale : float
        Scale of the weights that rows were computed with.
    pending_entities, pending_features : ndarray, int64
        Changed since `stale` was brought up to date.
    unit : bool
        Every weight is 1.
    """

    similarity: RowStore
    mutual: RowStore | None
    stale: np.ndarray
    norms: np.ndarray
    lengths: np.ndarray
    degrees: np.ndarray
    idf: np.ndarray
    mean_length: float
    rank: np.ndarray
    feature_rank: np.ndarray
    scale: float
    pending_entities: np.ndarray
    pending_features: np.ndarray
    unit: bool

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n = self.similarity.n_rows
        n_features = sum(shop.shape) - n
        return {
            "stale": ArrayRule((n,), dtype=np.bool_),
            "norms": ArrayRule((n,), dtype=np.float64),
            "lengths": ArrayRule((n,), dtype=np.float64),
            "degrees": ArrayRule((n_features,), dtype=np.float64),
            "idf": ArrayRule((n_features,), dtype=np.float64),
            "rank": ArrayRule((n,), is_order=True, dtype=np.int32),
            "feature_rank": ArrayRule((n_features,), is_order=True, dtype=np.int32),
            "pending_entities": ArrayRule((-1,), 0, n, dtype=np.int64),
            "pending_features": ArrayRule((-1,), 0, n_features, dtype=np.int64),
        }

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        return {"mutual": (self.similarity.n_rows, self.similarity.n_rows)}

    @property
    def neighbors(self) -> RowStore:
        """The rows that answers are made from."""
        return self.similarity if self.mutual is None else self.mutual


_NOTHING = np.empty(0, dtype=np.int64)


def learn(recipe: Recipe, sides: Sides, n_jobs: int | None) -> Neighborhood:
    """Compare everything with everything."""
    n = sides.mine.n_rows
    everyone = np.arange(n)
    counts = neighbors.row_sums(
        np.arange(sides.other.n_rows), sides.other.arrays, np.ones(n), form=neighbors.BINARY
    )
    idf = np.ones(sides.other.n_rows)
    if recipe.weighting != "none":
        idf = np.log(max(n, 2)) - np.log1p(counts)
        idf = np.maximum(idf, 1e-6)
    sizes = neighbors.row_sums(everyone, sides.mine.arrays, np.ones(sides.other.n_rows))
    empty = RowStore.from_csr(np.zeros(n + 1, dtype=np.int64), _no_entries())
    blank = Neighborhood(
        similarity=empty,
        mutual=None,
        stale=np.ones(n, dtype=bool),
        norms=np.zeros(n),
        lengths=np.ones(n),
        degrees=np.zeros(sides.other.n_rows),
        idf=idf,
        mean_length=float(sizes[sizes > 0].mean()) if (sizes > 0).any() else 1.0,
        rank=id_ranks(sides.ids),
        feature_rank=id_ranks(sides.feature_ids),
        scale=sides.scale,
        pending_entities=_NOTHING,
        pending_features=_NOTHING,
        unit=_all_ones(sides.mine.to_csr()[1][1]) and sides.scale == 1.0,
    )
    known = _with_sums(blank, recipe, sides, everyone, np.arange(sides.other.n_rows))
    return _recomputed(known, recipe, sides, everyone, n_jobs)


def update(
    known: Neighborhood,
    recipe: Recipe,
    sides: Sides,
    entities: np.ndarray,
    features: np.ndarray,
) -> Neighborhood:
    """Take in a batch: sums of what it touched, and a note of what that makes stale."""
    known = _grown(known, sides)
    before, scale_before = known.norms, known.scale
    _, columns = sides.mine.take(entities)
    known = replace(
        known,
        scale=sides.scale if recipe.weighting != "bm25" else known.scale,
        unit=known.unit and sides.scale == 1.0 and _all_ones(columns[1]),
    )
    known = _with_sums(known, recipe, sides, entities, features)
    rescaled = known.scale != scale_before and recipe.shrink > 0
    changed = entities[known.norms[entities] != before[entities]]
    return replace(
        known,
        mutual=None,
        stale=np.ones_like(known.stale) if rescaled else known.stale,
        pending_entities=np.union1d(known.pending_entities, changed),
        pending_features=np.union1d(known.pending_features, features),
    )


def forget(
    known: Neighborhood,
    recipe: Recipe,
    before: Sides,
    after: Sides,
    kept_entities: np.ndarray,
    kept_features: np.ndarray,
    n_jobs: int | None,
) -> Neighborhood:
    """Remove entities and features; rows that they had touched are emptied and left stale."""
    if recipe.weighting != "none" or before.scale != after.scale:
        # The frozen averages hold traces of what goes: learn them anew.
        return learn(recipe, after, n_jobs)
    gone_entities, gone_features = np.flatnonzero(~kept_entities), np.flatnonzero(~kept_features)
    _, columns = before.mine.take(gone_entities)
    lighter = np.unique(columns[0])
    _, columns = before.other.take(gone_features)
    smaller = np.unique(columns[0])
    touched = replace(
        known,
        pending_entities=np.union1d(np.union1d(known.pending_entities, gone_entities), smaller),
        pending_features=np.union1d(np.union1d(known.pending_features, gone_features), lighter),
    )
    stale = _resolved(touched, before).stale
    new_row = np.cumsum(kept_entities) - 1
    fresh = np.flatnonzero(kept_entities & ~stale)
    indptr, (neighbours, values) = known.similarity.take(fresh)
    lengths = np.zeros(after.mine.n_rows, dtype=np.int64)
    lengths[new_row[fresh]] = np.diff(indptr)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    similarity = RowStore.from_csr(offsets, (new_row[neighbours].astype(np.int32), values))
    left = replace(
        known,
        similarity=similarity,
        mutual=None,
        stale=stale[kept_entities],
        norms=known.norms[kept_entities],
        lengths=known.lengths[kept_entities],
        degrees=known.degrees[kept_features],
        idf=known.idf[kept_features],
        rank=assemble.inverse(np.argsort(known.rank[kept_entities])),
        feature_rank=assemble.inverse(np.argsort(known.feature_rank[kept_features])),
        pending_entities=_NOTHING,
        pending_features=_NOTHING,
        unit=_all_ones(after.mine.to_csr()[1][1]) and after.scale == 1.0,
    )
    new_feature = np.cumsum(kept_features) - 1
    return _with_sums(
        left,
        recipe,
        after,
        new_row[smaller[kept_entities[smaller]]],
        new_feature[lighter[kept_features[lighter]]],
    )


def freshened(
    known: Neighborhood,
    recipe: Recipe,
    sides: Sides,
    rows: np.ndarray | None,
    n_jobs: int | None,
) -> Neighborhood:
    """Recompute the stale ones among some rows (None: among all); `known` itself if none is."""
    rows = None if recipe.mutual else rows
    if is_fresh(known, recipe, rows):
        return known
    known = _resolved(known, sides)
    wanted = np.flatnonzero(known.stale) if rows is None else np.unique(rows)
    wanted = wanted[known.stale[wanted]]
    if len(wanted) or recipe.mutual:
        known = _recomputed(known, recipe, sides, wanted, n_jobs)
    return known


def is_fresh(known: Neighborhood, recipe: Recipe, rows: np.ndarray | None) -> bool:
    """Whether some rows (None: all) can be used as they are."""
    if recipe.mutual:
        rows = None
        if known.mutual is None:
            return False
    if len(known.pending_entities) or len(known.pending_features):
        return False
    return not (known.stale if rows is None else known.stale[rows]).any()


def compare(
    known: Neighborhood,
    recipe: Recipe,
    sides: Sides,
    mine: tuple[np.ndarray, ...],
    selves: np.ndarray,
    n_jobs: int | None,
) -> neighbors.Rows:
    """Find the neighbours of entities that are not stored as they are given here."""
    rows = np.arange(len(selves))
    norms, lengths = _sums(known, recipe, sides, mine, rows)
    found = neighbors.dot_rows(
        rows, selves, _denominators(known, recipe, norms, recipe.own_exponent), lengths, mine,
        sides.other.arrays, _comparison(known, recipe), recipe.n_neighbors, known.rank,
        feature_rank=known.feature_rank, n_jobs=n_jobs,
    )  # fmt: skip
    return _normalized(found) if recipe.normalize else found


def shared_parts(
    known: Neighborhood,
    recipe: Recipe,
    profile: tuple[np.ndarray, np.ndarray],
    stored: tuple[np.ndarray, np.ndarray],
    scale: float,
) -> np.ndarray:
    """Share of each feature of a profile in its similarity to a stored entity; the sum is 1."""
    features, weights = profile
    place = np.searchsorted(stored[0], features)
    place[place == len(stored[0])] = 0
    both = (stored[0][place] == features) if len(stored[0]) else np.zeros(len(features), bool)
    form, exponent = recipe.form
    parts = np.zeros(len(features))
    mine = np.maximum(weights[both].astype(np.float64), 0.0)
    theirs = np.maximum(stored[1][place[both]].astype(np.float64) * scale, 0.0)
    if form == neighbors.BINARY:
        products = (mine > 0) * (theirs > 0) * 1.0
    else:
        products = (mine * theirs) ** (exponent if form == neighbors.POWER else 1.0)
    parts[both] = products * _feature_weights(known, recipe)[features[both]]
    total = parts.sum()
    return parts / total if total > 0 else parts


def _no_entries() -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)


def _all_ones(values: np.ndarray) -> bool:
    return bool((values == 1.0).all())


def _grown(known: Neighborhood, sides: Sides) -> Neighborhood:
    """Make room for new entities and features."""
    n_old, n = len(known.stale), sides.mine.n_rows
    more_features = sides.other.n_rows - len(known.degrees)
    if n == n_old and more_features == 0:
        return known
    idf = known.idf
    if more_features:
        rare = np.log(max(n_old, 2)) - np.log1p(1.0) if (known.idf != 1.0).any() else 1.0
        idf = np.concatenate((idf, np.full(more_features, max(rare, 1e-6))))
    zeros = np.zeros(n - n_old)
    nobody = _NOTHING
    return replace(
        known,
        similarity=known.similarity.replace(nobody, np.zeros(1, dtype=np.int64), _no_entries(), n),
        stale=np.concatenate((known.stale, np.ones(n - n_old, dtype=bool))),
        norms=np.concatenate((known.norms, zeros)),
        lengths=np.concatenate((known.lengths, zeros + 1)),
        degrees=np.concatenate((known.degrees, np.zeros(more_features))),
        idf=idf,
        rank=_inserted_ranks(known.rank, sides.ids.ids),
        feature_rank=_inserted_ranks(known.feature_rank, sides.feature_ids.ids),
    )


def _inserted_ranks(rank: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Ranks of all ids when those behind the ranked ones are sorted in among them."""
    n_old = len(rank)
    if n_old == len(ids):
        return rank
    by_rank = assemble.inverse(rank)
    new = n_old + np.argsort(ids[n_old:], kind="stable")
    places = np.searchsorted(ids[by_rank], ids[new])
    return assemble.inverse(np.insert(by_rank, places, new))


def _with_sums(
    known: Neighborhood,
    recipe: Recipe,
    sides: Sides,
    entities: np.ndarray,
    features: np.ndarray,
) -> Neighborhood:
    """Compute the sums of some entities and features anew."""
    degrees = known.degrees.copy()
    form = neighbors.RAW if recipe.similarity == "rp3beta" else neighbors.BINARY
    degrees[features] = neighbors.row_sums(
        features, sides.other.arrays, np.ones(sides.mine.n_rows), form=form
    )
    norms, lengths = known.norms.copy(), known.lengths.copy()
    norms[entities], lengths[entities] = _sums(known, recipe, sides, sides.mine.arrays, entities)
    return replace(known, degrees=degrees, norms=norms, lengths=lengths)


def _sums(
    known: Neighborhood,
    recipe: Recipe,
    sides: Sides,
    mine: tuple[np.ndarray, ...],
    rows: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Norm, in stored weights, and relative length of some rows."""
    form, exponent = recipe.form
    ones = np.ones(len(known.idf))
    lengths = np.ones(len(mine[0]))
    if form == neighbors.BM25:
        sizes = neighbors.row_sums(rows, mine, ones)
        lengths[rows] = (1 - _B) + _B * sizes / known.mean_length
    if recipe.similarity == "rp3beta":
        norms = neighbors.row_sums(rows, mine, ones)
    else:
        squared = form != neighbors.BINARY
        norms = neighbors.row_sums(
            rows, mine, known.idf**2 if squared else ones, form=form, exponent=exponent, k1=_K1,
            lengths=lengths, squared=squared,
        )  # fmt: skip
    return norms, lengths[rows]


def _feature_weights(known: Neighborhood, recipe: Recipe) -> np.ndarray:
    weights = known.idf**2
    if recipe.similarity == "jaccard" or recipe.feature_damping == 0:
        return weights
    degrees = known.degrees * (known.scale if recipe.similarity == "rp3beta" else 1.0)
    damped: np.ndarray = weights * np.maximum(degrees, 1e-12) ** -recipe.feature_damping
    return damped


def _denominators(
    known: Neighborhood, recipe: Recipe, norms: np.ndarray, exponent: float
) -> np.ndarray:
    """Norms of today's weights, to a power."""
    if recipe.similarity == "jaccard":
        return norms
    form = recipe.form[0]
    scale = known.scale
    if form == neighbors.RAW:
        scale = scale**2
    elif form in (neighbors.BINARY, neighbors.BM25):
        scale = 1.0
    powers: np.ndarray = np.maximum(norms * scale, 1e-12) ** exponent
    return powers


def _comparison(known: Neighborhood, recipe: Recipe) -> neighbors.Comparison:
    form, exponent = recipe.form
    union = recipe.similarity == "jaccard"
    return neighbors.Comparison(
        feature_weights=_feature_weights(known, recipe),
        form=form,
        exponent=exponent,
        k1=_K1,
        lengths=known.lengths,
        scale=known.scale,
        unit=known.unit and form != neighbors.BM25,
        other_norms=_denominators(known, recipe, known.norms, recipe.popularity_damping),
        shrink=recipe.shrink,
        rule=neighbors.UNION if union else neighbors.PRODUCT,
        power=recipe.power,
    )


def _normalized(found: neighbors.Rows) -> neighbors.Rows:
    """Divide the values of each row by their sum."""
    lengths = np.diff(found.indptr)
    filled = lengths > 0
    totals = np.zeros(len(lengths))
    if filled.any():
        totals[filled] = np.add.reduceat(
            found.values.astype(np.float64), found.indptr[:-1][filled]
        )
    return found._replace(values=(found.values / np.repeat(totals, lengths)).astype(np.float32))


def _recomputed(
    known: Neighborhood,
    recipe: Recipe,
    sides: Sides,
    rows: np.ndarray,
    n_jobs: int | None,
) -> Neighborhood:
    own = _denominators(known, recipe, known.norms, recipe.own_exponent)
    mine, other = sides.mine.arrays, sides.other.arrays
    found = neighbors.dot_rows(
        rows, rows, own[rows], known.lengths[rows], mine, other, _comparison(known, recipe),
        recipe.n_neighbors, known.rank, feature_rank=known.feature_rank, n_jobs=n_jobs,
    )  # fmt: skip
    found = _normalized(found) if recipe.normalize else found
    stale = known.stale.copy()
    stale[rows] = False
    if len(rows) == len(stale):
        similarity = RowStore.from_csr(found.indptr, found[1:])
    else:
        similarity = known.similarity.replace(rows, found.indptr, found[1:])
    mutual = None
    if recipe.mutual:
        indptr, (entities, values) = similarity.to_csr()
        kept = neighbors.prune_columns(
            indptr, entities, values, known.rank, recipe.n_neighbors, n_jobs
        )
        mutual = RowStore.from_csr(kept.indptr, kept[1:])
    return replace(known, similarity=similarity, mutual=mutual, stale=stale)


def _resolved(known: Neighborhood, sides: Sides) -> Neighborhood:
    """Mark as stale what shares a feature with anything that changed."""
    stale = known.stale.copy()
    if not stale.all():
        neighbors.mark_touched(
            known.pending_entities, known.pending_features, sides.mine.arrays,
            sides.other.arrays, stale,
        )  # fmt: skip
    return replace(known, stale=stale, pending_entities=_NOTHING, pending_features=_NOTHING)
