"""PureSVD: what a few directions of taste leave of a visitor's history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, integer, jobs, real, seed
from ecomrec.base import Query, SideTables, State
from ecomrec.cf._canonical import canonical, count
from ecomrec.cf._directions import Scaled, leading_directions
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.timestamps import HalfLife, decay, duration
from ecomrec.kernels import sparse
from ecomrec.state import ArrayRule, columns_of
from ecomrec.vectors.factors import FactorModel, Factors

_TINY = float(np.finfo(np.float64).tiny)
# Squares of singular values below this faded away with the half-life: they place no item.
_FADED = 1e-60


@dataclass(frozen=True, eq=False)
class PureSvdFactors(Factors):
    """What `PureSVD` learns, beside the factors.

    Attributes
    ----------
    history_scales : ndarray of shape (n_items,), float32
        An item of the history adds its vector times this: ``n_i ** (-2 * item_damping)``.
    singular_values : ndarray of shape (n_factors,), float64
        Largest first.
    late : ndarray of shape (n_items,), bool
        Items without evidence when the directions were learned.
    """

    history_scales: np.ndarray
    singular_values: np.ndarray
    late: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return super().array_rules(shop) | {
            "history_scales": ArrayRule((shop.n_items,), dtype=np.float32),
            "singular_values": ArrayRule((columns_of(self.item_factors),)),
            "late": ArrayRule((shop.n_items,), dtype=np.bool_),
        }


class PureSVD(FactorModel):
    r"""Recommends what a few directions of taste leave of the visitor's history.

    With weights :math:`w_{ui}`, :math:`d_u` items of user u and :math:`n_i` users of item i, let
    :math:`M_{ui} = d_u^{-\gamma} \, w_{ui} \, n_i^{-\beta}`, with singular values
    :math:`\sigma_1 \ge \sigma_2 \ge \dots` and right singular vectors V. The score of item j is

    .. math:: \sum_{i \in \text{history}} w_{ui} \, n_i^{-\beta} \, n_j^{\beta}
              \sum_{f=1}^{k} \frac{\sigma_f^2}{\sigma_f^2 + \lambda \sigma_k^2} \, V_{if} V_{jf}

    where k is `n_factors`, :math:`\gamma` `user_damping`, :math:`\beta` `item_damping` and
    :math:`\lambda` `regularization`: weights rebuilt from the k strongest directions. An item that
    the visitor does not have gets a high score if what they have points to it. Scores of one user
    are comparable; scores of two users are not, for heavy users have higher ones. The plain
    PureSVD of [1]_ is ``user_damping=0, item_damping=0, regularization=0``.

    Parameters
    ----------
    n_factors : int
        Directions kept. Few: what everybody knows. Many: the visitor's own items again, and what
        occurs with them by chance.
    user_damping : float
        How much less each event of a heavy user counts when directions are learned.
    item_damping : float
        How much less popular items shape the directions and the history.
    regularization : float
        Directions weaker than ``sqrt(regularization)`` times the weakest one kept fade; 0 takes
        the k strongest as they are. With some, it matters less how many are kept.
    n_iter : int
        Power iterations: more bring the directions closer to the exact ones.
    n_oversamples : int
        Directions tried beyond those kept.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    random_state : int, Generator, RandomState or None
        Seed of the directions that are tried first. With None each fit differs, slightly.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    user_factors_ : ndarray of shape (n_users, n_factors), float32
        Histories in terms of the directions.
    item_factors_ : ndarray of shape (n_items, n_factors), float32
        A score is the product of the two.
    singular_values_ : ndarray of shape (n_factors,), float64
        Of M, largest first; fewer than `n_factors` if the data have no more.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    ALS : Vectors that also explain what users have not.

    Notes
    -----
    A randomised range finder with power iterations [2]_, each of which multiplies the matrix by
    ``n_factors + n_oversamples`` vectors twice; nothing dense is larger than users or items times
    that. Dividing by powers of popularity follows [3]_.

    `partial_fit` costs the batch: users whose events changed are described anew, exactly as a fit
    with the same directions would; items without evidence so far get the vector that fits their
    users best, and then those users are described anew; directions and :math:`n_i` stay until
    `refresh`, which is a fit on everything. With a `half_life` all user vectors are multiplied by
    the time that passed. `forget` fits on what is left, so that directions hold nothing of who
    has gone.

    References
    ----------
    .. [1] Cremonesi, Koren, Turrin: Performance of recommender algorithms on top-N recommendation
       tasks. RecSys 2010.
    .. [2] Halko, Martinsson, Tropp: Finding structure with randomness: probabilistic algorithms
       for constructing approximate matrix decompositions. SIAM Review 2011.
    .. [3] Nikolakopoulos, Kalantzis, Gallopoulos, Garofalakis: EigenRec: generalizing PureSVD for
       effective and efficient top-N recommendations. KAIS 2019.

    Examples
    --------
    >>> from ecomrec.cf import PureSVD
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = PureSVD(n_factors=2).fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_factors": integer(1),
        "user_damping": real(0),
        "item_damping": real(0),
        "regularization": real(0),
        "n_iter": integer(0),
        "n_oversamples": integer(0),
        "half_life": duration(),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (PureSvdFactors,)
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_factors": [32, 64, 128, 256],
        "user_damping": [0.0, 0.25, 0.5],
        "item_damping": [0.1, 0.2, 0.3, 0.4, 0.5],
        "regularization": [0.3, 1.0, 3.0],
    }
    forget_exact_ = True
    # Weights are rebuilt: a score far below them is what cancelled.
    _score_unit = 1.0

    def __init__(
        self,
        n_factors: int = 128,
        *,
        user_damping: float = 0.25,
        item_damping: float = 0.35,
        regularization: float = 1.0,
        n_iter: int = 4,
        n_oversamples: int = 16,
        half_life: HalfLife = None,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_factors = n_factors
        self.user_damping = user_damping
        self.item_damping = item_damping
        self.regularization = regularization
        self.n_iter = n_iter
        self.n_oversamples = n_oversamples
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> PureSvdFactors:
        rows = canonical(shop)
        counts = shop.item_counts
        item_scales = _power(counts, -self.item_damping)
        degrees = np.bincount(
            np.repeat(np.arange(shop.n_users), np.diff(shop.indptr))[shop.data > 0],
            minlength=shop.n_users,
        )
        user_scales = _power(degrees, -self.user_damping)
        matrix = Scaled(rows, user_scales[rows.users], item_scales[rows.items], self.n_jobs)
        with threadpool_limits(1, user_api="blas"):
            directions, singular_values = leading_directions(
                matrix, self.n_factors, self.n_iter, self.n_oversamples,
                make_rng(self.random_state),
            )  # fmt: skip
        items = np.empty((shop.n_items, directions.shape[1]), dtype=np.float32)
        items[rows.items] = directions * _gains(singular_values, self.regularization)
        items /= item_scales[:, None]
        items[counts == 0] = 0
        known = PureSvdFactors(
            user_factors=np.zeros((0, 0), dtype=np.float32),
            item_factors=items,
            with_evidence=counts > 0,
            history_scales=item_scales**2,
            singular_values=singular_values * shop.scale,
            late=counts == 0,
        )
        everyone = np.arange(shop.n_users)
        return replace(known, user_factors=_described(shop, everyone, known, self.n_jobs))

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> PureSvdFactors:
        before = state.interactions
        learned: PureSvdFactors = state.learned
        faded = 1.0
        if np.isfinite(shop.half_life):
            faded = float(decay(np.array([before.newest]), shop.newest, shop.half_life)[0])
        described = np.zeros((shop.n_users, learned.user_factors.shape[1]), dtype=np.float32)
        np.multiply(learned.user_factors, np.float32(faded), out=described[: before.n_users])
        more = shop.n_items - before.n_items
        known = replace(
            learned,
            item_factors=np.pad(learned.item_factors, ((0, more), (0, 0))),
            with_evidence=np.pad(learned.with_evidence, (0, more)),
            history_scales=np.pad(learned.history_scales, (0, more)),
            singular_values=learned.singular_values * faded,
            late=np.pad(learned.late, (0, more), constant_values=True),
        )
        # Whose vectors change: the users of the batch, and those of items that get a vector.
        touched = change.users
        arriving = change.items[known.late[change.items]]
        if len(arriving):
            touched = np.union1d(touched, shop.by_item.take(arriving)[1][0])
            known = _placed(shop, arriving, touched, known, self)
        described[touched] = _described(shop, touched, known, self.n_jobs)
        return replace(known, user_factors=described)

    # ------------------------------------------------------------------ answering

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        learned = state.learned
        indptr, items, weights = profiles
        store = indptr[:-1], np.diff(indptr), items, weights
        rows = np.arange(len(indptr) - 1)
        vectors: np.ndarray = sparse.product(
            rows, store, learned.item_factors, learned.history_scales, self.n_jobs
        )
        return vectors

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        learned = state.learned
        history, weights = query.profiles.items, np.maximum(query.profiles.weights, 0)
        alike = learned.item_factors[history] @ learned.item_factors[item]
        parts = weights * learned.history_scales[history] * alike
        told = parts != 0
        reasons = state.interactions.items.take(history[told]).tolist()
        return ["item"] * len(reasons), reasons, parts[told]

    @property
    def singular_values_(self) -> np.ndarray:
        """Singular values of the damped matrix, largest first."""
        values: np.ndarray = self._attribute("singular_values_").learned.singular_values
        return values.copy()


def _described(
    shop: Interactions, rows: np.ndarray, learned: PureSvdFactors, n_jobs: int | None
) -> np.ndarray:
    """Vectors of some users from all that is stored of them."""
    vectors: np.ndarray = sparse.product(
        rows, shop.by_user.arrays, learned.item_factors, learned.history_scales, n_jobs
    )
    vectors *= np.float32(shop.scale)
    return vectors


def _placed(
    shop: Interactions,
    items: np.ndarray,
    touched: np.ndarray,
    learned: PureSvdFactors,
    model: PureSVD,
) -> PureSvdFactors:
    """Give items that came after the fit the vectors that the directions have for their users.

    Directions satisfy ``V = M' M V / sigma^2``, and a row of V is never longer than 1. Of what
    users have, only items known at the fit count: it makes no difference how events were batched.
    """
    settled = replace(learned, history_scales=np.where(learned.late, 0, learned.history_scales))
    users = np.zeros((shop.n_users, learned.item_factors.shape[1]), dtype=np.float32)
    users[touched] = _described(shop, touched, settled, model.n_jobs)
    degrees = np.zeros(shop.n_users)
    degrees[touched] = count(shop.by_user.take(touched), ~learned.late)
    shares = _power(degrees, -2 * model.user_damping) * np.float32(shop.scale)
    sums: np.ndarray = sparse.product(items, shop.by_item.arrays, users, shares, model.n_jobs)
    counts = count(shop.by_item.take(items), np.ones(shop.n_users, dtype=bool))
    strengths = learned.singular_values**2
    vectors = np.divide(sums, strengths, out=np.zeros(sums.shape), where=strengths > _FADED)
    gains = np.maximum(_gains(learned.singular_values, model.regularization), _TINY)
    scales = _power(counts, -model.item_damping)
    lengths = scales * np.linalg.norm(vectors / gains, axis=1)
    vectors /= np.maximum(lengths, 1.0)[:, None]
    item_factors, history_scales = learned.item_factors.copy(), learned.history_scales.copy()
    with_evidence = learned.with_evidence.copy()
    item_factors[items], history_scales[items] = vectors, scales**2
    with_evidence[items] = vectors.any(axis=1)
    return replace(
        learned,
        item_factors=item_factors,
        history_scales=history_scales,
        with_evidence=with_evidence,
    )


def _gains(singular_values: np.ndarray, regularization: float) -> np.ndarray:
    """Roots of what is left of each direction: it goes into both sides of a product."""
    strengths = singular_values**2
    least = regularization * strengths[-1:]
    gains: np.ndarray = np.sqrt(strengths / np.maximum(strengths + least, _TINY))
    return gains


def _power(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Powers of counts, as float32; of 0 as of 1."""
    powers: np.ndarray = (np.maximum(counts, 1).astype(np.float64) ** exponent).astype(np.float32)
    return powers
