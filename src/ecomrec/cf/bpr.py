"""Bayesian personalised ranking: vectors that put what users have before what they lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, integer, jobs, real, seed
from ecomrec.base import Query, SideTables, State
from ecomrec.cf._canonical import canonical, count
from ecomrec.cf._pairwise import Steps, learn_items
from ecomrec.data.histories import Profiles, stored_profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.timestamps import HalfLife, decay, duration
from ecomrec.kernels import bpr, sparse
from ecomrec.state import ArrayRule
from ecomrec.vectors.factors import FactorModel, Factors

# Visitors are compared with so many items at most.
_RIVALS = 4096
_LARGEST_MARK = 2**62


@dataclass(frozen=True, eq=False)
class BprFactors(Factors):
    """What `BPR` learns, beside the factors, whose last column is the bias.

    Attributes
    ----------
    marks : ndarray of shape (n_items,), int64
        A random number of each item; 0 for items without a vector.
    late : ndarray of shape (n_items,), bool
        Items without evidence at the fit.
    rivals : ndarray of shape (n,), int32
        Items that visitors are compared with; -1 for forgotten ones.
    bias_line : ndarray of shape (2,), float64
        The line through the items' biases by the logarithm of 1 + the number of users.
    mean_weight : float
        Of the entries at the fit, at the newest time.
    seed : int
        Of the marks of items to come.
    """

    marks: np.ndarray
    late: np.ndarray
    rivals: np.ndarray
    bias_line: np.ndarray
    mean_weight: float
    seed: int

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n = shop.n_items
        n_rivals = max(len(self.rivals), int(self.marks.any()))  # visitors are compared with some
        return super().array_rules(shop) | {
            "marks": ArrayRule((n,), dtype=np.int64),
            "late": ArrayRule((n,), dtype=np.bool_),
            "rivals": ArrayRule((n_rivals,), -1, n, dtype=np.int32),
            "bias_line": ArrayRule((2,)),
        }

    @property
    def n_biases(self) -> int:
        """An item's bias, beside a user's 1."""
        return 1


class BPR(FactorModel):
    r"""Ranks what users have before what they lack, pair by pair.

    The score of item i for user u is :math:`x_{ui} = p_u \cdot q_i + b_i`, learned to maximise

    .. math:: \sum_{(u, i) \text{ seen}} c_{ui} \, \mathbb{E}_j \left[
              \ln \sigma(x_{ui} - x_{uj}) \right]
              - \frac{\lambda}{2} \left( \lVert p_u \rVert^2 + \lVert q_i \rVert^2 + \dots \right)

    by stochastic gradient steps [1]_, where j is the item of highest score among `n_candidates`
    that are drawn from those that u lacks, :math:`c_{ui} = 2 w_{ui} / (w_{ui} + \bar w)` saturates
    weights, and :math:`\lambda` is `regularization`. A difference of two scores of one user is the
    log odds that the first item comes before the second, under the drawing of j. Scores of two
    users do not compare.

    Parameters
    ----------
    n_factors : int
        Length of the vectors, without the bias.
    n_candidates : int
        Items drawn for a step. 1 is the uniform sampling of [1]_; more look for rivals that the
        model ranks too high [2]_, which is worth much at the top of a list.
    learning_rate : float
        Of the first epoch; it falls to 0 along a line.
    regularization : float
        Shrinks what a step moves. More for sparse data.
    max_iter : int
        Epochs: steps taken for each entry. Fewer than 20,000 entries get more steps, up to 25
        times as many.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    random_state : int, Generator, RandomState or None
        Seed of the start and of all that is drawn. With None each fit differs.
    n_jobs : int or None
        Threads, as in joblib; up to 8 of use. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    user_factors_ : ndarray of shape (n_users, n_factors + 1), float32
        The last column is 1.
    item_factors_ : ndarray of shape (n_items, n_factors + 1), float32
        The last column is the bias.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        False: what others learned from those forgotten goes with `refresh`.

    See Also
    --------
    ALS : Learns from all that users lack rather than from samples of it.

    Notes
    -----
    Users and items are cut into eight blocks each. In a round each block of users meets one block
    of items, from which both items of a step come; rounds are the same whatever the number of
    threads, and items are dealt to the blocks anew for each epoch, so that any two meet in one
    epoch out of eight. Steps go through users and items in the order of their ids and random
    numbers are counted per epoch and pair of blocks: results are the same to the bit.

    At the end every user's vector is learned anew, given the items, by steps whose random numbers
    depend on the user's items only. A visitor with the same history gets the same answer.

    An epoch costs ``n_entries * n_factors * (n_candidates + 4)`` multiply-adds. `partial_fit`
    learns the users of the batch anew as above; items without evidence so far get the mean
    vector of what their users have, and the bias usual for their number of users; other items
    stay until `refresh`, which is a fit on everything. It costs the histories of the batch's users
    and of the users of such items. `forget` erases the rows of users and items, and learns users
    who had a forgotten item anew; what other items learned from them stays until `refresh`.

    References
    ----------
    .. [1] Rendle, Freudenthaler, Gantner, Schmidt-Thieme: BPR: Bayesian personalized ranking from
       implicit feedback. UAI 2009.
    .. [2] Zhang, Chen, Wang, Yu: Optimizing top-N collaborative filtering via dynamic negative
       item sampling. SIGIR 2013.

    Examples
    --------
    >>> from ecomrec.cf import BPR
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = BPR(n_factors=8).fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_factors": integer(1),
        "n_candidates": integer(1),
        "learning_rate": real(0),
        "regularization": real(0),
        "max_iter": integer(1),
        "half_life": duration(),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (BprFactors,)
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_factors": [32, 64, 128],
        "n_candidates": [4, 8, 16],
        "learning_rate": [0.05, 0.1, 0.2, 0.3],
        "regularization": [0.01, 0.02, 0.03, 0.05],
        "max_iter": [20, 40],
    }
    forget_exact_ = False
    # Log odds: sums that nearly cancel are as good as 0.
    _score_unit = 1.0

    def __init__(
        self,
        n_factors: int = 64,
        *,
        n_candidates: int = 8,
        learning_rate: float = 0.2,
        regularization: float = 0.025,
        max_iter: int = 20,
        half_life: HalfLife = None,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_factors = n_factors
        self.n_candidates = n_candidates
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.max_iter = max_iter
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> BprFactors:
        rng = make_rng(self.random_state)
        rows = canonical(shop)
        known = shop.item_counts > 0
        evidence = shop.data[shop.data > 0]
        mean = float(evidence.mean(dtype=np.float64)) if len(evidence) else 1.0
        factors, biases = learn_items(
            rows.by_user, known[rows.items], mean, self._steps(), self.max_iter, rng, self.n_jobs
        )
        # From here on in the order of rows.
        items = np.zeros((shop.n_items, self.n_factors + 1), dtype=np.float32)
        items[rows.items, :-1], items[rows.items, -1] = factors, biases
        items[~known] = 0
        marks = np.zeros(shop.n_items, dtype=np.int64)
        marks[rows.items] = rng.integers(1, _LARGEST_MARK, shop.n_items)
        marks[~known] = 0
        drawn = rows.items[rng.permutation(shop.n_items)]
        learned = BprFactors(
            user_factors=items[:0],
            item_factors=items,
            with_evidence=known,
            marks=marks,
            late=~known,
            rivals=drawn[known[drawn]][:_RIVALS].astype(np.int32),
            bias_line=_line(np.log1p(shop.item_counts[known]), items[known, -1]),
            mean_weight=mean * shop.scale,
            seed=int(rng.integers(_LARGEST_MARK)),
        )
        everyone = stored_profiles(shop, np.arange(shop.n_users))
        return replace(learned, user_factors=self._folded(learned, everyone))

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> BprFactors:
        before = state.interactions
        learned: BprFactors = state.learned
        faded = 1.0
        if np.isfinite(shop.half_life):
            faded = float(decay(np.array([before.newest]), shop.newest, shop.half_life)[0])
        more = shop.n_items - before.n_items
        known = replace(
            learned,
            user_factors=np.pad(
                learned.user_factors, ((0, shop.n_users - before.n_users), (0, 0))
            ),
            item_factors=np.pad(learned.item_factors, ((0, more), (0, 0))),
            with_evidence=np.pad(learned.with_evidence, (0, more)),
            marks=np.pad(learned.marks, (0, more)),
            late=np.pad(learned.late, (0, more), constant_values=True),
            mean_weight=learned.mean_weight * faded,
        )
        touched = change.users
        arriving = change.items[known.late[change.items]]
        if len(arriving):
            touched = np.union1d(touched, shop.by_item.take(arriving)[1][0])
            self._place(shop, arriving, touched, known)
        known.user_factors[touched] = self._folded(known, stored_profiles(shop, touched))
        return known

    def _place(
        self, shop: Interactions, items: np.ndarray, touched: np.ndarray, known: BprFactors
    ) -> None:
        """Give items that came after the fit the mean vector of what their users have, in place.

        Only items known at the fit count: it makes no difference how events were batched.
        """
        histories, settled = shop.by_user.take(touched), ~known.late
        counts = np.zeros(shop.n_users)
        counts[touched] = count(histories, settled)
        able = counts > 0
        users = np.zeros((shop.n_users, self.n_factors), dtype=np.float32)
        users[touched] = sparse.product(
            np.arange(len(touched)), _ones(histories), known.item_factors[:, :-1], settled,
            self.n_jobs,
        )  # fmt: skip
        users[touched] /= np.maximum(counts[touched], 1)[:, None]
        taken = shop.by_item.take(items)
        n_able = count(taken, able)
        sums = sparse.product(np.arange(len(items)), _ones(taken), users, able, self.n_jobs)
        known.item_factors[items, :-1] = sums / np.maximum(n_able, 1)[:, None]
        base, slope = known.bias_line
        known.item_factors[items, -1] = np.where(n_able, base + slope * np.log1p(n_able), 0)
        known.with_evidence[items] = n_able > 0
        drawn = [np.random.default_rng((known.seed, int(item))) for item in items]
        marks = np.array([rng.integers(1, _LARGEST_MARK) for rng in drawn], dtype=np.int64)
        known.marks[items] = np.where(n_able, marks, 0)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> BprFactors:
        before = state.interactions
        learned: BprFactors = state.learned
        place = np.where(kept_items, np.cumsum(kept_items) - 1, -1).astype(np.int32)
        rivals = np.where(learned.rivals >= 0, place[learned.rivals], -1).astype(np.int32)
        faded = 1.0
        if np.isfinite(shop.half_life):
            # The newest event may have gone: weights are seen from an earlier time.
            faded = float(decay(np.array([before.newest]), shop.newest, shop.half_life)[0])
        left = replace(
            learned,
            user_factors=learned.user_factors[kept_users],
            item_factors=learned.item_factors[kept_items],
            with_evidence=(shop.item_counts > 0) & (learned.marks[kept_items] != 0),
            marks=learned.marks[kept_items],
            late=learned.late[kept_items],
            rivals=rivals,
            mean_weight=learned.mean_weight * faded,
        )
        _, columns = before.by_item.take(np.flatnonzero(~kept_items))
        poorer = np.zeros(before.n_users, dtype=bool)
        poorer[columns[0]] = True
        rows = np.flatnonzero(poorer[kept_users])
        left.user_factors[rows] = self._folded(left, stored_profiles(shop, rows))
        return left

    # ------------------------------------------------------------------ answering

    def _folded(self, learned: BprFactors, profiles: Profiles) -> np.ndarray:
        """Vectors of users from what they have, with 1 in front of the bias."""
        indptr, items, weights = profiles
        vectors = np.zeros((len(indptr) - 1, learned.item_factors.shape[1]), dtype=np.float32)
        vectors[:, :-1] = bpr.fold_in(profiles, *self._settings(learned, self.n_jobs))
        evidence = (weights > 0) & (learned.marks[items] != 0)
        counts = np.concatenate(([0], np.cumsum(evidence)))
        vectors[:, -1] = counts[indptr[1:]] > counts[indptr[:-1]]
        return vectors

    def _steps(self) -> Steps:
        return Steps(self.n_factors, self.n_candidates, self.learning_rate, self.regularization)

    def _settings(self, learned: BprFactors, *more: Any) -> tuple[Any, ...]:
        return (
            learned.mean_weight, learned.item_factors[:, :-1], learned.item_factors[:, -1],
            learned.marks, learned.rivals, self.n_candidates, self.max_iter, self.learning_rate,
            self.regularization, *more,
        )  # fmt: skip

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        return self._folded(state.learned, profiles)

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        learned = state.learned
        if not learned.marks[item] or not self._folded(learned, query.profiles).any():
            return [], [], np.zeros(0)
        pairs, shares = bpr.fold_in_steps(query.profiles, *self._settings(learned))
        vectors = learned.item_factors[:, :-1].astype(np.float64)
        alike = vectors @ vectors[item]
        taken = pairs[:, 1] >= 0
        parts = np.bincount(
            pairs[taken, 0],
            weights=shares[taken] * (alike[pairs[taken, 0]] - alike[pairs[taken, 1]]),
            minlength=len(vectors),
        )
        history = np.unique(pairs[:, 0])
        reasons = state.interactions.items.take(history).tolist()
        bias = float(learned.item_factors[item, -1])
        return (
            ["baseline"] + ["item"] * len(history),
            [None, *reasons],
            np.concatenate(([bias], parts[history])),
        )


def _ones(taken: tuple[np.ndarray, tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Rows as `RowStore.take` gives them, every entry that is evidence counting 1."""
    indptr, (columns, values, *_) = taken
    return indptr[:-1], np.diff(indptr), columns, (values > 0).astype(np.float32)


def _line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Intercept and slope of the least-squares line; flat where x says nothing."""
    if len(x) == 0:
        return np.zeros(2)
    spread = float(np.var(x))
    slope = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread if spread > 1e-9 else 0.0
    return np.array([float(y.mean(dtype=np.float64)) - slope * float(x.mean()), slope])
