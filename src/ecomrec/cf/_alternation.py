"""Alternating least squares: one side's vectors solved for, given the other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from ecomrec._rng import RandomState, make_rng
from ecomrec.cf._rating_factors import moments
from ecomrec.data.interactions import Interactions
from ecomrec.data.rows import RowStore
from ecomrec.kernels import least_squares, neighbors
from ecomrec.state import ArrayRule, columns_of
from ecomrec.vectors.factors import Factors, Side

_OTHER: dict[Side, Side] = {"user": "item", "item": "user"}
# How far the users look ahead of the items, as a share of the items' last step.
_LEAST_LEAD, _MOST_LEAD = 0.5, 0.8
# Conjugate gradients end by themselves when float32 can do no better.
_MANY_STEPS = 100
# Multiply-adds of a round of Cholesky factors that nobody waits for.
_SMALL = 100_000_000


@dataclass(frozen=True, eq=False)
class AlsFactors(Factors):
    """Factors of both sides, and what solving for one more row takes.

    For ratings the last two columns are biases: a user's bias and 1, beside 1 and an item's bias.

    Attributes
    ----------
    user_gram, item_gram : ndarray of shape (n_factors, n_factors), float64
        Products of each side's factors with each other; empty for ratings.
    mean, lowest, highest : float
        Of all ratings; zeros for weights.
    """

    user_gram: np.ndarray
    item_gram: np.ndarray
    mean: float
    lowest: float
    highest: float

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        rules = super().array_rules(shop)
        for side in ("user", "item"):
            n = 0 if self.n_biases else columns_of(self.item_factors)
            rules[f"{side}_gram"] = ArrayRule((n, n))
        return rules

    @property
    def n_biases(self) -> int:
        """Two for ratings."""
        return 0 if len(self.user_gram) else 2


class Problem(NamedTuple):
    """What is minimised, for ratings (`explicit`) or for weights of events."""

    n_factors: int
    explicit: bool
    regularization: float
    exponent: float
    unobserved_weight: float
    n_jobs: int | None


class Solver(NamedTuple):
    """How each row's problem is solved while a model is learned; with "exact", as in updates."""

    name: str
    cg_steps: int
    block_size: int

    def settings(self, own: np.ndarray, last: bool) -> dict[str, Any]:
        """Arguments of the kernel for rows that stand at `own`."""
        if self.name == "exact":
            return {}
        if last:
            return {"warm": own, "n_steps": _MANY_STEPS}
        if self.name == "cg":
            return {"warm": own, "n_steps": self.cg_steps}
        return {"warm": own, "block_size": self.block_size}


def alternate(
    problem: Problem, shop: Interactions, solver: Solver, max_iter: int, random_state: RandomState
) -> AlsFactors:
    """Solve for users and items in turn, from random vectors of the items."""
    if solver.name == "auto":
        small = len(shop.data) * problem.n_factors**2 <= _SMALL
        solver = solver._replace(name="exact" if small else "cg")
    lowest, highest, mean = moments(shop.data) if problem.explicit else (0.0, 0.0, 0.0)
    known = _first_vectors(problem, shop, mean, random_state)
    given = {
        side: (ridges(problem, shop, side, np.arange(len(known[side]))), mean) for side in _OTHER
    }
    with threadpool_limits(1, user_api="blas"):
        _half_step(problem, shop, solver, "user", known, *given["user"])
        for number in range(1, max_iter + 1):
            _half_step(problem, shop, solver, "item", known, *given["item"])
            last = number == max_iter
            lead = min(max((number - 1) / (number + 2), _LEAST_LEAD), _MOST_LEAD)
            lead = 0.0 if last or number == 1 else lead
            _half_step(problem, shop, solver, "user", known, *given["user"], lead, last)
        grams = gram(problem, known["user"]), gram(problem, known["item"])
    return AlsFactors(
        known["user"], known["item"], touched(problem, shop), *grams, mean, lowest, highest
    )


def _first_vectors(
    problem: Problem, shop: Interactions, mean: float, random_state: RandomState
) -> dict[str, np.ndarray]:
    """Small random vectors of items, drawn in the order of ids, whoever arrived first."""
    d = problem.n_factors
    drawn = make_rng(random_state).standard_normal((shop.n_items, d), dtype=np.float32)
    items = np.zeros((shop.n_items, d + 2 * problem.explicit), dtype=np.float32)
    order = np.argsort(shop.item_ids, kind="stable")
    items[order, :d] = drawn * np.float32(0.1 / np.sqrt(d))
    users = np.zeros((shop.n_users, items.shape[1]), dtype=np.float32)
    if problem.explicit:
        items[:, -2] = 1
        users[:, -2:] = mean, 1
    return {"user": users, "item": items, "item before": items, "turn": np.eye(d)}


def _half_step(
    problem: Problem,
    shop: Interactions,
    solver: Solver,
    side: Side,
    known: dict[str, np.ndarray],
    penalties: np.ndarray,
    mean: float,
    lead: float = 0.0,
    last: bool = False,
) -> None:
    """Solve for one side given the other, in place; vectors are turned as that needs.

    With a `lead`, the items are taken a part of their last step further on: fewer rounds. They
    are then behind the users by a "turn", which the items' next step makes up for.
    """
    other, own = known[_OTHER[side]], known[side]
    if lead:
        other = other + np.float32(lead) * (other - known["item before"])
    products = gram(problem, other)
    if not problem.explicit:
        values, turn = np.linalg.eigh(products)
        products = np.diag(np.maximum(values, 0.0)) * problem.unobserved_weight
        other = least_squares.rotate(other, turn, problem.n_jobs)
        missed = known["turn"] @ turn if side == "item" else turn
        own = least_squares.rotate(own, missed, problem.n_jobs)
        known["turn"] = turn if lead else np.eye(problem.n_factors)
        if not lead:
            known[_OTHER[side]] = other
    if side == "item":
        known["item before"] = own
    known[side] = solve(
        problem, side, np.arange(len(own)), store_of(shop, side).arrays, shop.scale, other,
        products, penalties, mean, diagonal=True, overwrite_warm=side == "user",
        **solver.settings(own, last),
    )  # fmt: skip


def solve(
    problem: Problem,
    side: Side,
    rows: np.ndarray,
    store: tuple[np.ndarray, ...],
    scale: float,
    other: np.ndarray,
    products: np.ndarray,
    penalties: np.ndarray,
    mean: float,
    **how: Any,
) -> np.ndarray:
    """Vectors of some rows given those of the other side; exactly, unless `how` says otherwise.

    `products` is what all pairs cost that nobody touched: the other side's Gram matrix, weighted.
    """
    if not problem.explicit:
        vectors: np.ndarray = least_squares.solve(
            rows, store, other, products, penalties, scale=scale, n_jobs=problem.n_jobs, **how
        )
        return vectors
    # The bias is one more factor, of the other side's ones.
    d, is_user = problem.n_factors, side == "user"
    columns = [*range(d), d if is_user else d + 1]
    offsets = other[:, d + 1] + mean if is_user else other[:, d]
    how = dict(how, diagonal=True, overwrite_warm=True)
    if "warm" in how:
        how["warm"] = how["warm"][:, columns]
        how["warm"][:, d] -= mean * is_user
    solved = least_squares.solve(
        rows, store, other[:, columns], np.zeros((d + 1, d + 1)), penalties, offsets=offsets,
        n_jobs=problem.n_jobs, **how,
    )  # fmt: skip
    vectors = np.ones((len(rows), d + 2), dtype=np.float32)
    vectors[:, columns] = solved
    if is_user:
        vectors[:, d] += mean
        vectors[store[1][rows] == 0] = 0
    return vectors


def gram(problem: Problem, factors: np.ndarray) -> np.ndarray:
    """Products of a side's factors with each other; empty for ratings."""
    if problem.explicit:
        return np.zeros((0, 0))
    products: np.ndarray = least_squares.gram(factors, problem.n_jobs)
    return products


def ridges(problem: Problem, shop: Interactions, side: Side, rows: np.ndarray) -> np.ndarray:
    """Penalties of some stored rows."""
    n_other = shop.n_items if side == "user" else shop.n_users
    return row_penalties(problem, store_of(shop, side).arrays, rows, n_other, n_other)


def row_penalties(
    problem: Problem, store: tuple[np.ndarray, ...], rows: np.ndarray, n_columns: int, n_all: int
) -> np.ndarray:
    """Penalties of some rows, by their number of entries, of `n_all` that could have been."""
    if problem.explicit:
        counts = store[1][rows].astype(np.float64)
    else:
        ones = np.ones(n_columns)
        counts = neighbors.row_sums(rows, store, ones, form=neighbors.BINARY)
        counts += problem.unobserved_weight * n_all
    penalties: np.ndarray = problem.regularization * counts**problem.exponent
    return penalties


def touched(problem: Problem, shop: Interactions) -> np.ndarray:
    """Items of which something is known."""
    return (shop.by_item.lengths if problem.explicit else shop.item_counts) > 0


def store_of(shop: Interactions, side: Side) -> RowStore:
    """The events by user or by item."""
    return shop.by_user if side == "user" else shop.by_item


def updated(
    problem: Problem,
    shop: Interactions,
    changed: Mapping[Side, np.ndarray],
    learned: AlsFactors,
) -> tuple[dict[Side, np.ndarray], dict[Side, np.ndarray]]:
    """Return vectors and Gram matrices of both sides after exact steps for the rows that changed.

    Users, then items, then users, each given the rest.
    """
    more = {"user": shop.n_users, "item": shop.n_items}
    before: dict[Side, np.ndarray] = {"user": learned.user_factors, "item": learned.item_factors}
    known = {
        side: np.pad(rows, ((0, more[side] - len(rows)), (0, 0))) for side, rows in before.items()
    }
    if problem.explicit:
        known["item"][len(learned.item_factors) :, -2] = 1
    grams: dict[Side, np.ndarray] = {"user": learned.user_gram, "item": learned.item_gram}
    steps: tuple[Side, ...] = ("user", "item", "user")
    for side in steps:
        rows, other = changed[side], _OTHER[side]
        solved = solve(
            problem, side, rows, store_of(shop, side).arrays, shop.scale, known[other],
            grams[other] * problem.unobserved_weight, ridges(problem, shop, side, rows),
            learned.mean,
        )  # fmt: skip
        if not problem.explicit:
            grams[side] = grams[side] + _products(solved) - _products(known[side][rows])
        known[side][rows] = solved
    return known, grams


def _products(factors: np.ndarray) -> np.ndarray:
    """Gram matrix of a few rows, in float64."""
    wide = factors.astype(np.float64)
    return wide.T @ wide
