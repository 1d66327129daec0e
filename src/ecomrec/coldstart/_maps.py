"""Vectors of what items are, mapped to the vectors of a factor model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from ecomrec.base import BaseRecommender
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.state import ArrayRule, columns_of

#: What is tried where nothing is said: one of these is best on all data that were looked at.
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1)
# Parts that the known items are cut into, and how many items trials are made with.
_N_FOLDS = 5
_MOST_TRIED = 10_000
# Conjugate gradients stop where float32 sees no difference.
_MOST_STEPS, _SMALL_RESIDUAL = 300, 1e-7
# Vectors that were guessed at are far shorter than the true ones, but not any shorter than that.
_MOST_STRETCH = 10.0
# Directions of the landmarks that are weaker than this share of the strongest are rounding errors.
_WEAK = 1e-6


class Settings(NamedTuple):
    """How a map is learned; a `regularization` of None is chosen on items held out."""

    kernel: str
    gamma: float
    n_landmarks: int
    regularization: float | None
    new_item_weight: float


class Examples(NamedTuple):
    """Items whose vectors are known, in the order of their ids.

    Attributes
    ----------
    content : scipy.sparse.csr_array of shape (n, n_features)
    factors : ndarray of shape (n, n_factors), float64
    weights : ndarray of shape (n,), float64
    gram : ndarray of shape (n_factors, n_factors), float64
        Products of the users' vectors: an error of an item's vector in terms of scores.
    n_biases : int
        How many of the last columns are biases.
    ratings : bool
        Scores are ratings.
    """

    content: Any
    factors: np.ndarray
    weights: np.ndarray
    gram: np.ndarray
    n_biases: int
    ratings: bool


@dataclass(frozen=True, eq=False)
class ContentMap:
    """A map from content to factors, and the vectors that it gives.

    Attributes
    ----------
    weights : ndarray of shape (n_inputs, n_factors), float32
        By feature of the content, or by landmark; no rows if nothing could be learned.
    center : ndarray of shape (n_factors,), float32
        What an item of which the content says nothing gets.
    landmarks : RowStore of shape (n_inputs, n_features)
        Content that others are compared with; no rows for a linear map.
    n_features : int
        Width of the content when the map was learned.
    gamma, regularization, stretch : float
    items : ndarray of shape (n,), int64
        Rows of the items whose vectors come from the map, rising.
    vectors : ndarray of shape (n, n_factors), float32
    """

    weights: np.ndarray
    center: np.ndarray
    landmarks: RowStore
    n_features: int
    gamma: float
    regularization: float
    stretch: float
    items: np.ndarray
    vectors: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_factors = columns_of(self.weights)
        return {
            "weights": ArrayRule((-1, n_factors)),
            "center": ArrayRule((n_factors,)),
            "items": ArrayRule((-1,), 0, shop.n_items),
            "vectors": ArrayRule((len(self.items), n_factors)),
        }

    def row_shapes(self, shop: Interactions) -> dict[str, tuple[int, int]]:
        """What a file must hold for these interactions."""
        n_landmarks = len(self.weights) if self.landmarks.n_rows else 0
        return {"landmarks": (n_landmarks, self.n_features)}

    def of(self, content: Any) -> np.ndarray:
        """Vectors of some content, which may have features that the map does not know."""
        inputs = content[:, : self.n_features]
        if self.landmarks.n_rows:
            indptr, (features, values) = self.landmarks.to_csr()
            shape = self.landmarks.n_rows, self.n_features
            inputs = likeness(inputs, _csr(values, features, indptr, shape), self.gamma)
        vectors: np.ndarray = (inputs @ self.weights + self.center).astype(np.float32)
        return vectors


def content_of(part: BaseRecommender, rows: np.ndarray) -> Any:
    """What a content model knows of some items, as a sparse matrix of float32."""
    learned = part._state.learned
    if hasattr(learned, "item_factors"):
        return sp.csr_array(np.asarray(learned.item_factors)[rows])
    indptr, (features, _, weights) = learned.rows.take(rows)
    return _csr(weights, features, indptr, (len(rows), len(learned.vocabulary)))


def width_of(part: BaseRecommender) -> int:
    """How many features a content model knows."""
    learned = part._state.learned
    if hasattr(learned, "item_factors"):
        return int(learned.item_factors.shape[1])
    return len(learned.vocabulary)


def described(part: BaseRecommender, rows: np.ndarray) -> np.ndarray:
    """Which of some items a content model knows something of."""
    learned = part._state.learned
    if hasattr(learned, "item_factors"):
        known: np.ndarray = np.asarray(learned.with_evidence)[rows]
        return known
    lengths: np.ndarray = learned.rows.lengths[rows]
    return lengths > 0


def nothing_learned(n_factors: int) -> ContentMap:
    """A map of which nothing is known."""
    none = np.zeros((0, n_factors), dtype=np.float32)
    center = np.zeros(n_factors, dtype=np.float32)
    rows = np.empty(0, dtype=np.int64)
    return ContentMap(none, center, _no_landmarks(), 0, 1.0, 1.0, 1.0, rows, none)


def learn(examples: Examples, settings: Settings, rng: np.random.Generator) -> ContentMap:
    """Learn a map from items whose vectors are known, and how far its vectors are stretched."""
    n, n_factors = examples.factors.shape
    if n < 2:
        return nothing_learned(n_factors)
    with threadpool_limits(1, user_api="blas"):
        landmarks, roots = _no_landmarks(), None
        inputs: Any = sp.csr_array(examples.content, dtype=np.float64)
        if settings.kernel == "rbf":
            chosen = np.sort(rng.permutation(n)[: settings.n_landmarks])
            marks = examples.content[chosen]
            roots = _roots(likeness(marks, marks, settings.gamma))
            inputs = likeness(examples.content, marks, settings.gamma) @ roots
            columns = marks.indices.astype(np.int32), marks.data.astype(np.float32)
            landmarks = RowStore.from_csr(marks.indptr.astype(np.int64), columns)
        some = np.sort(rng.permutation(n)[:_MOST_TRIED])
        folds = rng.permutation(len(some)) % min(_N_FOLDS, n)
        tried = examples._replace(factors=examples.factors[some], weights=examples.weights[some])
        penalty, guessed = _tried(inputs[some], tried, folds, settings.regularization)
        weights, center = ridge(inputs, examples.factors, examples.weights, penalty)
    stretches = _stretches(examples, tried.factors, guessed, settings)
    weights, center = weights * stretches, _stretched_center(examples, center, stretches)
    return ContentMap(
        weights=(weights if roots is None else roots @ weights).astype(np.float32),
        center=center.astype(np.float32),
        landmarks=landmarks,
        n_features=examples.content.shape[1],
        gamma=float(settings.gamma),
        regularization=penalty,
        stretch=float(stretches[0]),
        items=np.empty(0, dtype=np.int64),
        vectors=np.zeros((0, n_factors), dtype=np.float32),
    )


def ridge(
    inputs: Any, targets: np.ndarray, weights: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise ``sum_i w_i |t_i - c - W' x_i|^2 + penalty |W|^2`` with c the mean of the targets.

    By conjugate gradients, all columns side by side: nothing of size inputs x inputs is made.

    Returns
    -------
    W : ndarray of shape (n_inputs, n_targets)
    c : ndarray of shape (n_targets,)
    """
    center: np.ndarray = weights @ targets / weights.sum()
    turned = inputs.T.tocsr() if hasattr(inputs, "tocsr") else inputs.T
    rest = turned @ (weights[:, None] * (targets - center))
    found, step = np.zeros_like(rest), rest.copy()
    left = np.einsum("ij,ij->j", rest, rest)
    enough = _SMALL_RESIDUAL**2 * left
    for _ in range(_MOST_STEPS):
        if (left <= enough).all():
            break
        moved = turned @ (weights[:, None] * (inputs @ step)) + penalty * step
        length = _ratio(left, np.einsum("ij,ij->j", step, moved))
        found += length * step
        rest -= length * moved
        after = np.einsum("ij,ij->j", rest, rest)
        step = rest + _ratio(after, left) * step
        left = after
    return found, center


def likeness(content: Any, marks: Any, gamma: float) -> np.ndarray:
    """Gaussian kernel ``exp(-gamma |x - z|^2)`` of all rows of two matrices."""
    lengths = [np.asarray(rows.multiply(rows).sum(axis=1)).ravel() for rows in (content, marks)]
    products = np.asarray((content @ marks.T).todense())
    squares = np.add.outer(*lengths) - 2 * products
    alike: np.ndarray = np.exp(-gamma * np.maximum(squares.astype(np.float64), 0))
    return alike


def _tried(
    inputs: Any, examples: Examples, folds: np.ndarray, penalty: float | None
) -> tuple[float, np.ndarray]:
    """The penalty that guesses scores of held-out items best, and the vectors guessed with it."""
    factors, weights = examples.factors, examples.weights
    penalties: Sequence[float] = PENALTIES if penalty is None else (float(penalty),)
    guessed = np.empty((len(penalties), *factors.shape))
    for fold in range(int(folds.max()) + 1):
        train, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        some, others = inputs[train], inputs[held]
        for number, value in enumerate(penalties):
            found, center = ridge(some, factors[train], weights[train], value)
            guessed[number, held] = center + others @ found
    errors = []
    for guess in guessed:
        missed = guess - factors
        errors.append(float(weights @ np.einsum("if,if->i", missed @ examples.gram, missed)))
    best = int(np.argmin(errors))
    return float(penalties[best]), guessed[best]


def _stretches(
    examples: Examples, factors: np.ndarray, guessed: np.ndarray, settings: Settings
) -> np.ndarray:
    """How much longer each column must get for held-out items to be as long as known ones.

    A guess is nearer to the mean than the truth is: without this no new item comes to the top.
    Predicted ratings stay as they are, for nearer to the mean is better there.
    """
    n_factors, n_biases = factors.shape[1], examples.n_biases
    stretches = np.ones(n_factors)
    if examples.ratings:
        return stretches
    n_tastes = n_factors - n_biases
    lengths = [np.linalg.norm(rows[:, :n_tastes], axis=1).mean() for rows in (factors, guessed)]
    stretches[:n_tastes] = _stretch(*lengths) * settings.new_item_weight
    for column in range(n_tastes, n_factors):
        stretches[column] = _stretch(factors[:, column].std(), guessed[:, column].std())
    return stretches


def _stretched_center(examples: Examples, center: np.ndarray, stretches: np.ndarray) -> np.ndarray:
    """Tastes are stretched from zero, biases from their mean."""
    n_tastes = len(center) - examples.n_biases
    return np.concatenate((center[:n_tastes] * stretches[:n_tastes], center[n_tastes:]))


def _stretch(true: float, guessed: float) -> float:
    return min(float(true) / float(guessed), _MOST_STRETCH) if guessed > 0 and true > 0 else 1.0


def _roots(alike: np.ndarray) -> np.ndarray:
    """Inverse root of the likeness of landmarks: the Nystroem features of them."""
    values, vectors = np.linalg.eigh(alike)
    kept = values > _WEAK * values[-1]
    roots: np.ndarray = vectors[:, kept] / np.sqrt(values[kept])
    return roots


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(one, other, out=np.zeros_like(one), where=other > 0)
    return ratio


def _no_landmarks() -> RowStore:
    columns = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    return RowStore.from_csr(np.zeros(1, dtype=np.int64), columns)


def _csr(
    values: np.ndarray, columns: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]
) -> Any:
    return sp.csr_array((values, columns.astype(np.int64), indptr), shape=shape)
