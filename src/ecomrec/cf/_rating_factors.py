"""Vectors that predict ratings: exact solutions for some users, or items, given the other side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ecomrec.cf._canonical import id_ranks
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import assemble, least_squares, sgd
from ecomrec.state import ArrayRule, columns_of
from ecomrec.vectors.factors import Factors

# Conjugate gradients stand still in single precision after 10 to 20 steps, later where the penalty
# is weak.
_STEPS = 60


@dataclass(frozen=True, eq=False)
class RatingFactors(Factors):
    """What `SVD` learns.

    A user's row is (p_u + z_u, b_u / unit, 1), an item's (unit q_i, unit, b_i): their product is
    what a rating differs from the mean by.

    Attributes
    ----------
    implicit_factors : ndarray of shape (n_items, n_factors) or (0, n_factors), float32
        The y_j; empty without implicit feedback.
    mean, lowest, highest : float
        Of all ratings.
    unit : float
        A quarter of their range, in which errors are measured.
    ridge, ridge_per_rating : float
        Penalty of the squared vector of n ratings: ``ridge + n * ridge_per_rating``.
    n_iter : int
    """

    implicit_factors: np.ndarray
    mean: float
    lowest: float
    highest: float
    unit: float
    ridge: float
    ridge_per_rating: float
    n_iter: int

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n = shop.n_items if len(self.implicit_factors) else 0
        shape = (n, columns_of(self.item_factors) - 2)
        return super().array_rules(shop) | {"implicit_factors": ArrayRule(shape)}

    @property
    def n_biases(self) -> int:
        """The user's bias and the item's; a unit stands beside each."""
        return 2


class Entries(NamedTuple):
    """Ratings by rank of the ids of users and items, sorted by both, whoever arrived first."""

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray


def by_id(shop: Interactions) -> tuple[Entries, np.ndarray, np.ndarray]:
    """Return the ratings in the order of their ids, and the ranks of the ids of users, items."""
    ranks = id_ranks(shop.users), id_ranks(shop.items)
    indptr, columns = shop.by_user.to_csr()
    users = np.repeat(ranks[0], np.diff(indptr))
    entries = Entries(users, ranks[1][columns[0]], columns[1])
    if any((np.diff(rank) < 0).any() for rank in ranks):
        for column, n in ((1, shop.n_items), (0, shop.n_users)):
            _, order = assemble.group_by_row(entries[column], n)
            entries = Entries(*(values[order] for values in entries))
    return entries, ranks[0], ranks[1]


def moments(ratings: np.ndarray) -> tuple[float, float, float]:
    """Lowest, highest and mean rating; zeros without any."""
    if not len(ratings):
        return 0.0, 0.0, 0.0
    return float(ratings.min()), float(ratings.max()), float(ratings.mean(dtype=np.float64))


def solve_users(learned: RatingFactors, profiles: Profiles, n_jobs: int | None) -> np.ndarray:
    """Return the rows of users who gave some ratings, given the items."""
    d = learned.item_factors.shape[1] - 2
    lengths = np.diff(profiles.indptr)
    rows, items = _used(profiles.items, len(learned.item_factors))
    factors, ratings = learned.item_factors[rows], profiles.weights
    solved = np.empty((len(lengths), d + 2), dtype=np.float32)
    tastes: Any = 0.0
    if len(learned.implicit_factors):
        tastes, products = sgd.tastes(
            profiles.indptr, items, factors, learned.implicit_factors[rows], n_jobs
        )
        ratings = ratings - products
    solved[:, :-1] = least_squares.solve(
        np.arange(len(lengths)),
        (profiles.indptr[:-1], lengths.astype(np.int32), items, ratings),
        factors[:, :-1],
        np.zeros((d + 1, d + 1)),
        penalties(learned, lengths) * learned.unit**2,
        offsets=learned.mean + factors[:, -1],
        diagonal=True,
        n_steps=_STEPS,
        n_jobs=n_jobs,
    )
    solved[:, :-2] += tastes
    solved[:, -1] = 1
    return solved


def solve_items(
    learned: RatingFactors,
    by_item: RowStore,
    rows: np.ndarray,
    n_jobs: int | None,
    n_steps: int = _STEPS,
) -> np.ndarray:
    """Return the rows of some items, given their users, so many steps from where they are."""
    d = learned.item_factors.shape[1] - 2
    indptr, users, ratings = taken(by_item, rows)
    lengths = np.diff(indptr)
    used, users = _used(users, len(learned.user_factors))
    vectors = learned.user_factors[used]
    solved = np.empty((len(rows), d + 2), dtype=np.float32)
    best = least_squares.solve(
        np.arange(len(rows)),
        (indptr[:-1], lengths.astype(np.int32), users, ratings),
        np.delete(vectors, -2, axis=1),
        np.zeros((d + 1, d + 1)),
        penalties(learned, lengths),
        offsets=learned.mean + learned.unit * vectors[:, -2],
        diagonal=True,
        warm=np.delete(learned.item_factors[rows], -2, axis=1),
        n_steps=n_steps,
        n_jobs=n_jobs,
    )
    solved[:, :-2], solved[:, -2], solved[:, -1] = best[:, :-1], learned.unit, best[:, -1]
    return solved


def contributions(learned: RatingFactors, profile: Profiles, target: np.ndarray) -> np.ndarray:
    """What each rating of one user adds to the product of the user's and a target's vector.

    With Z the items rated, A = Z'Z + penalty, t their ratings less all that is known without p and
    b, the solution is A^-1 Z' t: a sum over ratings. What they add to b is left out.
    """
    items = learned.item_factors[profile.items].astype(np.float64)
    left = profile.weights - learned.mean - items[:, -1]
    direct = np.zeros(len(items))
    if len(learned.implicit_factors):
        implicit = learned.implicit_factors[profile.items] / np.sqrt(max(len(items), 1))
        direct = implicit @ target[:-2]
        left -= items[:, :-2] @ implicit.sum(axis=0)
    rated = items[:, :-1]
    penalty = penalties(learned, np.array([len(items)]))[0] * learned.unit**2
    system = rated.T @ rated + penalty * np.eye(rated.shape[1])
    direction = np.linalg.solve(system, np.concatenate((target[:-2], [0])))
    parts: np.ndarray = (rated @ direction) * left + direct
    return parts


def penalties(learned: RatingFactors, n_ratings: np.ndarray) -> np.ndarray:
    """Penalty of the squared vectors of rows with so many ratings."""
    return learned.ridge + learned.ridge_per_rating * n_ratings


def blank_rows(learned: RatingFactors) -> np.ndarray:
    """Return the rows of a user and of an item of whom nothing is known."""
    rows = np.zeros((2, learned.item_factors.shape[1]), dtype=np.float32)
    rows[0, -1], rows[1, -2] = 1, learned.unit
    return rows


def grown(learned: RatingFactors, shop: Interactions) -> RatingFactors:
    """Return a copy with rows for users and items that are new: no evidence of them yet."""
    user, item = blank_rows(learned)
    implicit = learned.implicit_factors
    return replace(
        learned,
        user_factors=_longer(learned.user_factors, shop.n_users, user),
        item_factors=_longer(learned.item_factors, shop.n_items, item),
        implicit_factors=_longer(implicit, shop.n_items, item[:-2]) if len(implicit) else implicit,
        with_evidence=_longer(learned.with_evidence, shop.n_items, False),
    )


def taken(store: RowStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return some rows of ratings: indptr, columns, ratings."""
    indptr, columns = store.take(rows)
    return indptr, columns[0], columns[1]


def within_range(learned: RatingFactors, ratings: Any) -> Any:
    """Ratings cut off at the lowest and the highest that were seen."""
    return np.clip(ratings, learned.lowest, learned.highest)


def _longer(values: np.ndarray, n: int, fill: Any) -> np.ndarray:
    longer = np.empty((n, *values.shape[1:]), dtype=values.dtype)
    longer[: len(values)], longer[len(values) :] = values, fill
    return longer


def _used(columns: np.ndarray, n_columns: int) -> tuple[Any, np.ndarray]:
    """The columns that occur, and the entries numbered among them; all if they are many."""
    if len(columns) >= n_columns:
        return slice(None), columns
    used, codes = np.unique(columns, return_inverse=True)
    return used, codes.astype(np.int32)
