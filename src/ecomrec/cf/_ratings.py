"""Ratings predicted from neighbours: shared by item and user neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ecomrec.cf._neighborhood import Sides
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import neighbors, ratings
from ecomrec.state import ArrayRule

# Of the baseline b_ui = mu + b_u + b_i: rounds, and regularisation of items and users.
_ROUNDS, _ITEM_REGULARIZATION, _USER_REGULARIZATION = 10, 10.0, 15.0


class RatingRecipe(NamedTuple):
    """The parameters of a rating model; see `ItemKNN` for the formulas."""

    similarity: str
    centering: str
    n_neighbors: int
    n_candidates: int
    shrink: float


@dataclass(frozen=True, eq=False)
class Ratings:
    """What rating models learn.

    Attributes
    ----------
    similarity : RowStore
        Neighbours of each entity, most alike first.
    mean, lowest, highest : float
        Of all ratings.
    entity_bias, feature_bias : ndarray, float64
        Baseline ``mean + entity_bias + feature_bias``.
    centers, spreads : ndarray of shape (n_entities,), float64
        What `centering` takes off an entity's ratings and divides them by.
    feature_centers : ndarray of shape (n_features,), float64
    by_rank : ndarray of shape (n_entities,), int64
        Entities in the order of their ids: ties do not depend on who arrived first.
    current : bool
        False when events came in since.
    """

    similarity: RowStore
    mean: float
    lowest: float
    highest: float
    entity_bias: np.ndarray
    feature_bias: np.ndarray
    centers: np.ndarray
    spreads: np.ndarray
    feature_centers: np.ndarray
    by_rank: np.ndarray
    current: bool

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions; what is not current is learned anew."""
        if not self.current:
            return {}
        n = self.similarity.n_rows
        n_features = sum(shop.shape) - n
        return {
            "entity_bias": ArrayRule((n,), dtype=np.float64),
            "feature_bias": ArrayRule((n_features,), dtype=np.float64),
            "centers": ArrayRule((n,), dtype=np.float64),
            "spreads": ArrayRule((n,), dtype=np.float64),
            "feature_centers": ArrayRule((n_features,), dtype=np.float64),
            "by_rank": ArrayRule((n,), is_order=True, dtype=np.int64),
        }


def learn(
    recipe: RatingRecipe, sides: Sides, entities_are_items: bool, n_jobs: int | None
) -> Ratings:
    """Learn baselines and compare every entity with every other."""
    mine, other = sides.mine.arrays, sides.other.arrays
    values = sides.mine.to_csr()[1][1]
    mean = float(values.mean(dtype=np.float64)) if len(values) else 0.0
    user_side, item_side = (other, mine) if entities_are_items else (mine, other)
    user_bias, item_bias = np.zeros(len(user_side[0])), np.zeros(len(item_side[0]))
    for _ in range(_ROUNDS):
        item_bias = ratings.biases(item_side, user_bias, mean, _ITEM_REGULARIZATION)
        user_bias = ratings.biases(user_side, item_bias, mean, _USER_REGULARIZATION)
    entity_bias, feature_bias = (
        (item_bias, user_bias) if entities_are_items else (user_bias, item_bias)
    )
    everyone = np.arange(sides.mine.n_rows)
    known = Ratings(
        similarity=sides.mine,
        mean=mean,
        lowest=float(values.min()) if len(values) else 0.0,
        highest=float(values.max()) if len(values) else 0.0,
        entity_bias=entity_bias,
        feature_bias=feature_bias,
        centers=np.zeros(0),
        spreads=np.zeros(0),
        feature_centers=_feature_centers(recipe, feature_bias),
        by_rank=np.argsort(sides.ids.ids, kind="stable"),
        current=True,
    )
    centers, spreads = _centers(known, recipe, mine, everyone, entity_bias)
    found = _alike(known, recipe, sides, everyone, everyone, mine, entity_bias, n_jobs)
    similarity = RowStore.from_csr(found.indptr, found[1:])
    return replace(known, similarity=similarity, centers=centers, spreads=spreads)


def outdated(known: Ratings, n_entities: int) -> Ratings:
    """Return the model with room for `n_entities`, to be learned anew before it is used."""
    nobody, nothing = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    columns = (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    grown = known.similarity.replace(nobody, nothing, columns, n_entities)
    return replace(known, similarity=grown, current=False)


def predict(
    known: Ratings,
    recipe: RatingRecipe,
    other: tuple[np.ndarray, ...],
    entities: np.ndarray,
    features: np.ndarray,
    n_jobs: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict ratings of pairs of rows (-1: unknown), and how many neighbours each stands on."""
    fallback = np.full(len(entities), known.mean)
    fallback += np.where(entities >= 0, known.entity_bias[entities], 0.0)
    fallback += np.where(features >= 0, known.feature_bias[features], 0.0)
    support = np.zeros(len(entities), dtype=np.int64)
    both = np.flatnonzero((entities >= 0) & (features >= 0))
    fallback[both], support[both] = ratings.predict(
        features[both], entities[both], fallback[both], known.similarity.arrays, other,
        known.centers, known.spreads, known.feature_centers, recipe.n_neighbors, n_jobs,
    )  # fmt: skip
    return np.clip(fallback, known.lowest, known.highest), support


def with_features(
    known: Ratings, recipe: RatingRecipe, other: tuple[np.ndarray, ...], entities_are_items: bool
) -> Ratings:
    """Return the model with the features replaced by those given: visitors rating items."""
    strength = _USER_REGULARIZATION if entities_are_items else _ITEM_REGULARIZATION
    bias = ratings.biases(other, known.entity_bias, known.mean, strength)
    return replace(known, feature_bias=bias, feature_centers=_feature_centers(recipe, bias))


def with_entities(
    known: Ratings,
    recipe: RatingRecipe,
    sides: Sides,
    mine: tuple[np.ndarray, ...],
    selves: np.ndarray,
    n_jobs: int | None,
) -> Ratings:
    """Return the model with entities added behind those it has: visitors as users."""
    rows = np.arange(len(selves))
    bias = ratings.biases(mine, known.feature_bias, known.mean, _USER_REGULARIZATION)
    centers, spreads = _centers(known, recipe, mine, rows, bias)
    found = _alike(known, recipe, sides, rows, selves, mine, bias, n_jobs)
    n_old = known.similarity.n_rows
    similarity = known.similarity.replace(n_old + rows, found.indptr, found[1:], n_old + len(rows))
    return replace(
        known,
        similarity=similarity,
        entity_bias=np.concatenate((known.entity_bias, bias)),
        centers=np.concatenate((known.centers, centers)),
        spreads=np.concatenate((known.spreads, spreads)),
    )


def _feature_centers(recipe: RatingRecipe, feature_bias: np.ndarray) -> np.ndarray:
    return feature_bias if recipe.centering == "baseline" else np.zeros(len(feature_bias))


def _centers(
    known: Ratings,
    recipe: RatingRecipe,
    mine: tuple[np.ndarray, ...],
    rows: np.ndarray,
    bias: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What is taken off the ratings of some entities, and what they are divided by."""
    ones = np.ones(len(rows))
    if recipe.centering == "none":
        return np.zeros(len(rows)), ones
    if recipe.centering == "baseline":
        return known.mean + bias, ones
    means, deviations = ratings.row_moments(rows, mine)
    if recipe.centering == "mean":
        return means, ones
    return means, np.where(deviations > 1e-9, deviations, 1.0)


def _alike(
    known: Ratings,
    recipe: RatingRecipe,
    sides: Sides,
    rows: np.ndarray,
    selves: np.ndarray,
    mine: tuple[np.ndarray, ...],
    own_bias: np.ndarray,
    n_jobs: int | None,
) -> neighbors.Rows:
    """Neighbours of some rows by the ratings they have in common."""
    kinds = {"pearson": ratings.PEARSON, "msd": ratings.MSD}
    own, offsets = np.zeros(len(rows)), np.zeros(sides.mine.n_rows)
    feature_offsets = np.zeros(sides.other.n_rows)
    if recipe.similarity == "pearson_baseline":
        own, offsets = known.mean + own_bias, known.mean + known.entity_bias
        feature_offsets = known.feature_bias
    elif recipe.similarity == "adjusted_cosine":
        feature_offsets, _ = ratings.row_moments(np.arange(sides.other.n_rows), sides.other.arrays)
    found: neighbors.Rows = ratings.rated_rows(
        rows, selves, own, mine, sides.other.arrays, offsets, feature_offsets,
        kinds.get(recipe.similarity, ratings.COSINE), recipe.shrink, recipe.n_candidates,
        known.by_rank, n_jobs,
    )  # fmt: skip
    return found
