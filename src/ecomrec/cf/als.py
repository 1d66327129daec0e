"""Alternating least squares: users and items as vectors, from events or from ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._rng import RandomState
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import Query, SideTables, State
from ecomrec.cf import _alternation as alternation
from ecomrec.cf._alternation import AlsFactors
from ecomrec.cf._rating_factors import moments, within_range
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import least_squares, ranking
from ecomrec.vectors.factors import FactorModel, Side

# Default weight of everything that one user did not touch, together.
_UNTOUCHED = 600.0


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

    def _problem(self, shop: Interactions) -> alternation.Problem:
        strength, weight = self.regularization, self.unobserved_weight
        if strength is None:
            strength = 0.1 if self._explicit else 0.006
        if weight is None:
            weight = min(1.0, _UNTOUCHED / shop.n_items)
        return alternation.Problem(
            self.n_factors, self._explicit, strength, self.regularization_exponent, weight,
            self.n_jobs,
        )  # fmt: skip

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> AlsFactors:
        solver = alternation.Solver(self.solver, self.cg_steps, self.block_size)
        return alternation.alternate(
            self._problem(shop), shop, solver, self.max_iter, self.random_state
        )

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> AlsFactors:
        learned, problem = state.learned, self._problem(shop)
        changed: dict[Side, np.ndarray] = {"user": change.users, "item": change.items}
        known, grams = alternation.updated(problem, shop, changed, learned)
        with_evidence = np.pad(
            learned.with_evidence, (0, shop.n_items - len(learned.with_evidence))
        )
        # What only new users touched is still a vector of zeros, unless it has a bias.
        with_evidence[change.items] = alternation.touched(problem, shop)[change.items]
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
        learned, before, problem = state.learned, state.interactions, self._problem(shop)
        users, items = learned.user_factors[kept_users], learned.item_factors[kept_items]
        touched = alternation.touched(problem, shop)
        # An item in a side table stays, though only the forgotten had touched it.
        items[~touched, : self.n_factors] = 0
        if self._explicit:
            items[~touched, -1] = 0
        item_gram = alternation.gram(problem, items)
        # Whoever had touched a forgotten item is described by what is left.
        _, columns = before.by_item.take(np.flatnonzero(~kept_items))
        poorer = np.zeros(before.n_users, dtype=bool)
        poorer[columns[0]] = True
        rows = np.flatnonzero(poorer[kept_users])
        users[rows] = alternation.solve(
            problem, "user", rows, shop.by_user.arrays, shop.scale, items,
            item_gram * problem.unobserved_weight,
            alternation.ridges(problem, shop, "user", rows), learned.mean,
        )  # fmt: skip
        return AlsFactors(
            users, items, touched, alternation.gram(problem, users), item_gram, learned.mean,
            *self._range(shop.data),
        )  # fmt: skip

    def _range(self, values: np.ndarray) -> tuple[float, float]:
        """Lowest and highest rating; zeros for weights."""
        return moments(values)[:2] if self._explicit else (0.0, 0.0)

    # ------------------------------------------------------------------ answering

    def _within_range(self, state: State, scores: Any) -> Any:
        return within_range(state.learned, scores) if self._explicit else scores

    def _score(self, state: State, query: Query) -> np.ndarray:
        block: np.ndarray = self._within_range(state, super()._score(state, query))
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        # Ranked before they are cut off at the best rating, where many would tie.
        items, scores = super()._top_k(state, query, k, mask)
        return items, self._within_range(state, scores)

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        learned, shop = state.learned, state.interactions
        problem, (indptr, items, weights) = self._problem(shop), profiles
        # Vectors of what the visitors touched: the catalogue may be large, or compressed.
        items, places = np.unique(items, return_inverse=True)
        store = indptr[:-1], np.diff(indptr).astype(np.int32), places.astype(np.int32), weights
        rows = np.arange(len(indptr) - 1)
        ridges = alternation.row_penalties(problem, store, rows, len(items), shop.n_items)
        return alternation.solve(
            problem, "user", rows, store, 1.0, learned.item_factors[items],
            learned.item_gram * problem.unobserved_weight, ridges, learned.mean,
        )  # fmt: skip

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        # With A the matrix of the visitor's least-squares problem and b its right side, the score
        # y' A^-1 b is a sum over the entries that b is a sum over.
        learned, (indptr, items, weights) = state.learned, query.profiles
        d, n_items = self.n_factors, state.interactions.n_items
        problem, one = self._problem(state.interactions), np.zeros(1, dtype=np.int64)
        store = indptr[:-1], np.diff(indptr).astype(np.int32), items, weights
        ridge = alternation.row_penalties(problem, store, one, n_items, n_items)
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
            system = problem.unobserved_weight * learned.item_gram
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
