"""Alternating least squares: users and items as vectors, from events or from ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from ecomrec._lazy import computed_once
from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import Query, State
from ecomrec.cf._factors import FactorModel, Factors, most_alike, norms_of
from ecomrec.cf._rating_factors import moments
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.rows import RowStore
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import least_squares, neighbors, ranking

Side = Literal["user", "item"]
_OTHER: dict[Side, Side] = {"user": "item", "item": "user"}
# How far the users look ahead of the items, as a share of the items' last step.
_LEAST_LEAD, _MOST_LEAD = 0.5, 0.8
# Conjugate gradients end by themselves when float32 can do no better.
_MANY_STEPS = 100
# Multiply-adds of a round of Cholesky factors that nobody waits for.
_SMALL = 100_000_000
# Default weight of everything that one user did not touch, together.
_UNTOUCHED = 600.0


@dataclass(frozen=True, eq=False)
class AlsFactors(Factors):
    """Factors of both sides, and what solving for one more row takes.

    For ratings the last two columns are biases: a user's bias and 1, beside 1 and an item's bias.

    Attributes
    ----------
    user_gram, item_gram : ndarray of shape (n_factors, n_factors), float64
        Products of each side's factors with each other; empty for ratings.
    mean, lowest, highest : float
        Of all ratings.
    """

    user_gram: np.ndarray
    item_gram: np.ndarray
    mean: float
    lowest: float
    highest: float

    def tastes(self, side: Side) -> np.ndarray:
        """Vectors without biases: what makes two of them alike."""
        factors: np.ndarray = self.user_factors if side == "user" else self.item_factors
        return factors if len(self.user_gram) else factors[:, :-2]

    @computed_once
    def user_norms(self) -> np.ndarray:
        """Lengths of the users' vectors, without biases."""
        return norms_of(self.tastes("user"))

    @computed_once
    def item_norms(self) -> np.ndarray:
        """Lengths of the items' vectors, without biases."""
        return norms_of(self.tastes("item"))


class ALS(FactorModel):
    r"""Describes users and items by vectors whose products tell who takes what.

    With weights :math:`w_{ui}` of the events, the vectors minimise

    .. math:: \sum_{(u,i)} w_{ui} (1 - x_u^\top y_i)^2 + \alpha_0 \sum_{u,i} (x_u^\top y_i)^2
        + \lambda \sum_u (n_u + \alpha_0 |I|)^\nu \lVert x_u \rVert^2
        + \lambda \sum_i (n_i + \alpha_0 |U|)^\nu \lVert y_i \rVert^2

    with `unobserved_weight` :math:`\alpha_0`, `regularization` :math:`\lambda`,
    `regularization_exponent` :math:`\nu` and :math:`n` the number of entries of a row. The score
    is :math:`x_u^\top y_i`: near 1 for what the model is sure of, comparable between items and
    users. With ``feedback="explicit"`` the loss is :math:`\sum_{(u,i)} (r_{ui} - \mu - b_u - b_i -
    x_u^\top y_i)^2` with penalties :math:`\lambda n_u^\nu (b_u^2 + \lVert x_u \rVert^2)`, items
    alike, and the score is a rating within the range of those seen.

    Parameters
    ----------
    n_factors : int
        Length of the vectors: the main lever for quality, and for cost.
    feedback : {"implicit", "explicit"}
        Learn from weights of events, or from ratings.
    regularization : float or None
        None: 0.006 for events, 0.1 for ratings.
    unobserved_weight : float or None
        Weight of the pairs that nobody touched; events weigh 1 each, or their own weights. None:
        600 / number of items, at most 1, so that all that a user did not touch weighs alike in
        every shop.
    regularization_exponent : float
        0: every row is regularised alike; 1: by its number of entries.
    max_iter : int
        Rounds: the items given the users, then the users given the items (or, until the last
        round, given where the items are going).
    solver : {"auto", "exact", "cg", "subspace"}
        "exact": Cholesky factors; "cg": a few conjugate gradients; "subspace": Cholesky factors of
        `block_size` factors at a time, given the others; "auto": exact on small data, else "cg".
        The last users' round is exact with any of them.
    cg_steps : int
        Steps of conjugate gradients for each row and round.
    block_size : int
        Factors solved for at a time by "subspace".
    half_life : str, timedelta or None
        "30D": events weigh half as much for every 30 days before the newest one.
    random_state : int, Generator, RandomState or None
    n_jobs : int or None
        Threads, as in joblib. Factors do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    user_factors_, item_factors_ : ndarray of shape (n_users, n_factors) and (n_items, n_factors)
        The vectors, float32. For ratings two columns more: biases.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        False: `forget` erases the vectors and events; what others learned from them goes with
        `refresh`.

    See Also
    --------
    EASE : One item-item matrix in closed form; for catalogues of up to some 40,000 items.

    Notes
    -----
    A round costs about ``8 * (cg_steps + 1) * n_factors`` operations for each entry and
    ``8 * n_factors**2`` for each user and item, and memory for the vectors alone. The vectors are
    turned so that the other side's Gram matrix is diagonal, which spares its product with each
    row's vector and makes two steps of conjugate gradients as good as the exact solution. The loss
    is that of [1]_ with the regularisation of [2]_, blocks are those of [3]_, and ratings follow
    [4]_. implicit's model with constant confidence c and `regularization` r is
    ``unobserved_weight=1, regularization_exponent=0, regularization=r * (c - 1) / c`` on weights
    of c - 1.

    A visitor's vector is solved for exactly, given the items. `partial_fit` solves exactly for the
    rows that the batch touches, users, then items, then users, given the rest; other rows, and the
    unit of fading weights, stay until `refresh`, which is a fit.

    References
    ----------
    .. [1] Hu, Koren, Volinsky: Collaborative filtering for implicit feedback datasets. ICDM 2008.
    .. [2] Rendle, Krichene, Zhang, Koren: Revisiting the performance of iALS on item
       recommendation benchmarks. RecSys 2022.
    .. [3] Rendle, Krichene, Zhang, Koren: iALS++: speeding up matrix factorization with subspace
       optimization. 2021.
    .. [4] Zhou, Wilkinson, Schreiber, Pan: Large-scale parallel collaborative filtering for the
       Netflix prize. AAIM 2008.

    Examples
    --------
    >>> from ecomrec.cf import ALS
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = ALS(n_factors=8).fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_factors": integer(1),
        "feedback": choice("implicit", "explicit"),
        "regularization": real(0, none=True),
        "unobserved_weight": real(0, none=True),
        "regularization_exponent": real(0),
        "max_iter": integer(1),
        "solver": choice("auto", "exact", "cg", "subspace"),
        "cg_steps": integer(1),
        "block_size": integer(1),
        "half_life": duration(),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (AlsFactors,)
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_factors": [32, 64, 128, 256],
        "regularization": [0.002, 0.006, 0.02],
        "unobserved_weight": [0.01, 0.03, 0.1, 0.3],
    }
    _score_unit = 1.0
    forget_exact_ = False

    def __init__(
        self,
        n_factors: int = 128,
        *,
        feedback: str = "implicit",
        regularization: float | None = None,
        unobserved_weight: float | None = None,
        regularization_exponent: float = 1.0,
        max_iter: int = 15,
        solver: str = "auto",
        cg_steps: int = 2,
        block_size: int = 64,
        half_life: HalfLife = None,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_factors = n_factors
        self.feedback = feedback
        self.regularization = regularization
        self.unobserved_weight = unobserved_weight
        self.regularization_exponent = regularization_exponent
        self.max_iter = max_iter
        self.solver = solver
        self.cg_steps = cg_steps
        self.block_size = block_size
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def _explicit(self) -> bool:
        return self.feedback == "explicit"

    def _values(self) -> Literal["weight", "rating"]:
        return "rating" if self._explicit else "weight"

    def _check_params(self) -> None:
        super()._check_params()
        if self._explicit and self.half_life is not None:
            raise ValueError("ALS: half_life fades weights, not ratings; leave it None.")

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, users: Any) -> AlsFactors:
        lowest, highest, mean = moments(shop.data) if self._explicit else (0.0, 0.0, 0.0)
        known = self._first_vectors(shop, mean)
        ridges = {side: self._ridges(shop, side, np.arange(len(known[side]))) for side in _OTHER}
        with threadpool_limits(1, user_api="blas"):
            self._half_step(shop, "user", known, ridges["user"], mean)
            for number in range(1, self.max_iter + 1):
                self._half_step(shop, "item", known, ridges["item"], mean)
                last = number == self.max_iter
                lead = min(max((number - 1) / (number + 2), _LEAST_LEAD), _MOST_LEAD)
                lead = 0.0 if last or number == 1 else lead
                self._half_step(shop, "user", known, ridges["user"], mean, lead, exact=last)
            user_gram, item_gram = self._gram(known["user"]), self._gram(known["item"])
        return AlsFactors(
            known["user"], known["item"], self._touched(shop), user_gram, item_gram, mean, lowest,
            highest,
        )  # fmt: skip

    def _first_vectors(self, shop: Interactions, mean: float) -> dict[str, np.ndarray]:
        """Small random vectors of items, drawn in the order of ids, whoever arrived first."""
        drawn = make_rng(self.random_state).standard_normal(
            (shop.n_items, self.n_factors), dtype=np.float32
        )
        items = np.zeros((shop.n_items, self.n_factors + 2 * self._explicit), dtype=np.float32)
        order = np.argsort(shop.item_ids, kind="stable")
        items[order, : self.n_factors] = drawn * np.float32(0.1 / np.sqrt(self.n_factors))
        users = np.zeros((shop.n_users, items.shape[1]), dtype=np.float32)
        if self._explicit:
            items[:, -2] = 1
            users[:, -2:] = mean, 1
        turn = np.eye(self.n_factors)
        return {"user": users, "item": items, "item before": items, "turn": turn}

    def _half_step(
        self,
        shop: Interactions,
        side: Side,
        known: dict[str, np.ndarray],
        ridges: np.ndarray,
        mean: float,
        lead: float = 0.0,
        exact: bool = False,
    ) -> None:
        """Solve for one side given the other, in place; vectors are turned as that needs.

        With a `lead`, the items are taken a part of their last step further on: fewer rounds. They
        are then behind the users by a "turn", which the items' next step makes up for.
        """
        other, own = known[_OTHER[side]], known[side]
        if lead:
            other = other + np.float32(lead) * (other - known["item before"])
        gram = self._gram(other)
        if not self._explicit:
            values, turn = np.linalg.eigh(gram)
            gram = np.diag(np.maximum(values, 0.0)) * self._unobserved(shop)
            other = least_squares.rotate(other, turn, self.n_jobs)
            missed = known["turn"] @ turn if side == "item" else turn
            own = least_squares.rotate(own, missed, self.n_jobs)
            known["turn"] = turn if lead else np.eye(self.n_factors)
            if not lead:
                known[_OTHER[side]] = other
        how: dict[str, Any] = {"diagonal": True}
        solver = self.solver
        if solver == "auto":
            solver = "exact" if len(shop.data) * self.n_factors**2 <= _SMALL else "cg"
        if solver != "exact":
            how["warm"] = own
            if exact:
                how["n_steps"] = _MANY_STEPS
            elif solver == "cg":
                how["n_steps"] = self.cg_steps
            else:
                how["block_size"] = self.block_size
        if side == "item":
            known["item before"] = own
        rows = np.arange(len(own))
        store, scale = _store(shop, side).arrays, shop.scale
        known[side] = self._solved(side, rows, store, scale, other, gram, ridges, mean, how)

    def _solved(
        self,
        side: Side,
        rows: np.ndarray,
        store: tuple[np.ndarray, ...],
        scale: float,
        other: np.ndarray,
        gram: np.ndarray,
        ridges: np.ndarray,
        mean: float,
        how: Mapping[str, Any],
    ) -> np.ndarray:
        """Vectors of some rows given those of the other side."""
        if not self._explicit:
            vectors: np.ndarray = least_squares.solve(
                rows, store, other, gram, ridges, scale=scale, n_jobs=self.n_jobs, **how
            )
            return vectors
        # The bias is one more factor, of the other side's ones.
        d, is_user = self.n_factors, side == "user"
        columns = [*range(d), d if is_user else d + 1]
        offsets = other[:, d + 1] + mean if is_user else other[:, d]
        how = dict(how, diagonal=True)
        if "warm" in how:
            how["warm"] = how["warm"][:, columns]
            how["warm"][:, d] -= mean * is_user
        solved = least_squares.solve(
            rows, store, other[:, columns], np.zeros((d + 1, d + 1)), ridges, offsets=offsets,
            n_jobs=self.n_jobs, **how,
        )  # fmt: skip
        vectors = np.ones((len(rows), d + 2), dtype=np.float32)
        vectors[:, columns] = solved
        if is_user:
            vectors[:, d] += mean
            vectors[store[1][rows] == 0] = 0
        return vectors

    def _gram(self, factors: np.ndarray) -> np.ndarray:
        if self._explicit:
            return np.zeros((0, 0))
        products: np.ndarray = least_squares.gram(factors, self.n_jobs)
        return products

    def _ridges(self, shop: Interactions, side: Side, rows: np.ndarray) -> np.ndarray:
        n_other = shop.n_items if side == "user" else shop.n_users
        untouched = self._unobserved(shop) * n_other
        return self._penalties(_store(shop, side).arrays, rows, n_other, untouched)

    def _unobserved(self, shop: Interactions) -> float:
        """Weight of a pair that nobody touched."""
        weight = self.unobserved_weight
        return min(1.0, _UNTOUCHED / shop.n_items) if weight is None else weight

    def _penalties(
        self, store: tuple[np.ndarray, ...], rows: np.ndarray, n_other: int, untouched: float
    ) -> np.ndarray:
        """Regularisation of some rows, by their number of entries."""
        if self._explicit:
            counts = store[1][rows].astype(np.float64)
        else:
            ones = np.ones(n_other)
            counts = neighbors.row_sums(rows, store, ones, form=neighbors.BINARY)
            counts += untouched
        strength = self.regularization
        if strength is None:
            strength = 0.1 if self._explicit else 0.006
        penalties: np.ndarray = strength * counts**self.regularization_exponent
        return penalties

    def _touched(self, shop: Interactions) -> np.ndarray:
        """Items of which something is known."""
        return (shop.by_item.lengths if self._explicit else shop.item_counts) > 0

    # ------------------------------------------------------------------ updates

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, users: Any
    ) -> AlsFactors:
        learned = state.learned
        known: dict[Side, np.ndarray] = {
            "user": _grown(learned.user_factors, shop.n_users),
            "item": _grown(learned.item_factors, shop.n_items),
        }
        if self._explicit:
            known["item"][len(learned.item_factors) :, -2] = 1
        grams: dict[Side, np.ndarray] = {"user": learned.user_gram, "item": learned.item_gram}
        rows: dict[Side, np.ndarray] = {"user": change.users, "item": change.items}
        steps: tuple[Side, ...] = ("user", "item", "user")
        for side in steps:
            part, other = rows[side], _OTHER[side]
            solved = self._solved(
                side, part, _store(shop, side).arrays, shop.scale, known[other],
                grams[other] * self._unobserved(shop),
                self._ridges(shop, side, part), learned.mean, {},
            )  # fmt: skip
            if not self._explicit:
                grams[side] = grams[side] + _products(solved) - _products(known[side][part])
            known[side][part] = solved
        with_evidence = np.zeros(shop.n_items, dtype=bool)
        with_evidence[: len(learned.with_evidence)] = learned.with_evidence
        # What only new users touched is still a vector of zeros, unless it has a bias.
        with_evidence[change.items] = self._touched(shop)[change.items]
        if not self._explicit:
            with_evidence[change.items] &= known["item"][change.items].any(axis=1)
        _, (_, values, *_) = shop.by_user.take(change.users)
        return AlsFactors(
            known["user"], known["item"], with_evidence, grams["user"], grams["item"],
            learned.mean, *self._range(np.append(values, (learned.lowest, learned.highest))),
        )  # fmt: skip

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> AlsFactors:
        learned, before = state.learned, state.interactions
        users, items = learned.user_factors[kept_users], learned.item_factors[kept_items]
        touched = self._touched(shop)
        # An item in a side table stays, though only the forgotten had touched it.
        items[~touched, : self.n_factors] = 0
        if self._explicit:
            items[~touched, -1] = 0
        item_gram = self._gram(items)
        # Whoever had touched a forgotten item is described by what is left.
        _, columns = before.by_item.take(np.flatnonzero(~kept_items))
        poorer = np.zeros(before.n_users, dtype=bool)
        poorer[columns[0]] = True
        rows = np.flatnonzero(poorer[kept_users])
        users[rows] = self._solved(
            "user", rows, shop.by_user.arrays, shop.scale, items,
            item_gram * self._unobserved(shop), self._ridges(shop, "user", rows), learned.mean, {},
        )  # fmt: skip
        return AlsFactors(
            users, items, touched, self._gram(users), item_gram, learned.mean,
            *self._range(shop.data),
        )  # fmt: skip

    def _range(self, values: np.ndarray) -> tuple[float, float]:
        """Lowest and highest rating; zeros for weights."""
        return moments(values)[:2] if self._explicit else (0.0, 0.0)

    # ------------------------------------------------------------------ answering

    def _within_range(self, state: State, scores: Any) -> Any:
        """Ratings cut off at the lowest and the highest that were seen."""
        if not self._explicit:
            return scores
        return np.clip(scores, state.learned.lowest, state.learned.highest)

    def _score(self, state: State, query: Query) -> np.ndarray:
        block: np.ndarray = self._within_range(state, super()._score(state, query))
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        # Ranked before they are cut off at the best rating, where many would tie.
        items, scores = super()._top_k(state, query, k, mask)
        return items, self._within_range(state, scores)

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        if not self._explicit:
            return super()._similar_items(state, rows, k)
        known = state.learned
        alike: neighbors.Rows = most_alike(
            known.tastes("item"), rows, k, self.n_jobs, known.item_norms
        )
        return alike

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        known = state.learned
        alike: neighbors.Rows = most_alike(
            known.tastes("user"), rows, k, self.n_jobs, known.user_norms
        )
        return alike

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        learned, shop = state.learned, state.interactions
        indptr, items, weights = profiles
        # Vectors of what the visitors touched: the catalogue may be large, or compressed.
        items, places = np.unique(items, return_inverse=True)
        store = indptr[:-1], np.diff(indptr).astype(np.int32), places.astype(np.int32), weights
        rows, unobserved = np.arange(len(indptr) - 1), self._unobserved(shop)
        ridges = self._penalties(store, rows, len(items), unobserved * shop.n_items)
        return self._solved(
            "user", rows, store, 1.0, learned.item_factors[items],
            learned.item_gram * unobserved, ridges, learned.mean, {},
        )  # fmt: skip

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        # With A the matrix of the visitor's least-squares problem and b its right side, the score
        # y' A^-1 b is a sum over the entries that b is a sum over.
        learned, (indptr, items, weights) = state.learned, query.profiles
        d, n_items = self.n_factors, state.interactions.n_items
        unobserved, one = self._unobserved(state.interactions), np.zeros(1, dtype=np.int64)
        store = indptr[:-1], np.diff(indptr).astype(np.int32), items, weights
        ridge = self._penalties(store, one, n_items, unobserved * n_items)
        if not self._explicit:
            items, weights = items[weights > 0], weights[weights > 0]
        own = learned.item_factors[[item]][0].astype(np.float64)
        rows, weights = learned.item_factors[items].astype(np.float64), weights.astype(np.float64)
        score = float(self._vectors(state, query)[0] @ own)
        if self._explicit:
            base, targets = own[d + 1] + learned.mean, weights - (rows[:, d + 1] + learned.mean)
            own, rows, weights = own[: d + 1], rows[:, : d + 1], np.ones(len(items))
            system = np.zeros((d + 1, d + 1))
        else:
            base, targets = 0.0, np.ones(len(items))
            system = unobserved * learned.item_gram
        system = system + max(ridge[0], least_squares.LEAST_RIDGE) * np.eye(len(own))
        system += (rows.T * weights) @ rows
        parts = rows @ np.linalg.solve(system, own) * weights * targets
        kinds, reasons = ["item"] * len(items), state.interactions.items.take(items).tolist()
        if self._explicit:
            kinds, reasons, parts = ["baseline", *kinds], [None, *reasons], np.append(base, parts)
        # The stored vector may have been solved for before the items' vectors moved on.
        shown = float(self._within_range(state, score))
        for kind, rest in (("update", score - parts.sum()), ("range", shown - score)):
            if abs(rest) > 1e-4 * max(1.0, abs(score)):
                kinds, reasons, parts = [*kinds, kind], [*reasons, None], np.append(parts, rest)
        return kinds, reasons, parts

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        result = super()._predict(state, users, items)
        if self._explicit:
            learned = state.learned
            stranger = ~np.isfinite(result)
            stranger |= (users >= 0) & ~learned.user_factors[users].any(axis=1)
            known = stranger & (items >= 0)
            result[stranger] = learned.mean
            result[known] += learned.item_factors[items[known], -1]
            alone = (users >= 0) & (items < 0) & learned.user_factors[users].any(axis=1)
            result[alone] = learned.user_factors[users[alone], -2]
        answers: np.ndarray = self._within_range(state, result)
        return answers


def _store(shop: Interactions, side: Side) -> RowStore:
    return shop.by_user if side == "user" else shop.by_item


def _grown(factors: np.ndarray, n: int) -> np.ndarray:
    """A copy with rows of zeros behind, up to n."""
    grown = np.zeros((n, factors.shape[1]), dtype=np.float32)
    grown[: len(factors)] = factors
    return grown


def _products(factors: np.ndarray) -> np.ndarray:
    """Gram matrix of a few rows, in float64."""
    wide = factors.astype(np.float64)
    return wide.T @ wide
