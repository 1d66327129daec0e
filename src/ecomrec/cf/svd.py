"""Matrix factorisation of ratings by stochastic gradient descent: SVD and SVD++."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, boolean, integer, jobs, real, seed
from ecomrec.base import Query, SideTables, State
from ecomrec.cf import _rating_factors as rated
from ecomrec.cf._rating_factors import RatingFactors
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Change, Interactions
from ecomrec.kernels import assemble, ranking, sgd
from ecomrec.vectors.factors import FactorModel, read_only

# Pairs predicted at a time: their vectors are copied.
_PAIRS = 100_000
# Conjugate gradients that end a fit: the descent has brought the items near.
_FEW_STEPS = 3


class SVD(FactorModel):
    r"""Predicts ratings from biases and the product of two short vectors.

    The rating of user u for item i is predicted as

    .. math:: \hat r_{ui} = \mu + b_u + b_i + q_i^\top (p_u + z_u), \qquad
       z_u = |N_u|^{-1/2} \sum_{j \in N_u} y_j \text{ with implicit feedback, else } 0

    where :math:`\mu` is the mean of all ratings and :math:`N_u` the items that u rated. The
    parameters minimise :math:`\sum (r_{ui} - \hat r_{ui})^2 + \lambda (b_u^2 + b_i^2 + |q_i|^2 +
    |p_u|^2 + \sum_{j \in N_u} |y_j|^2)`, summed over the ratings, by stochastic gradient descent;
    :math:`\lambda` is `regularization`. A score is a rating, in the unit of those given and within
    their range; scores of two users compare.

    Parameters
    ----------
    n_factors : int
        Length of the vectors: more can tell more tastes apart, and takes longer.
    implicit_feedback : bool
        SVD++: what a user chose to rate says something too, whatever the ratings are. More
        accurate, and about four times slower: it runs on one thread.
    max_iter : int
        Times that all ratings are gone through. Too many, with little `regularization`, learn the
        ratings by heart.
    learning_rate : float
        How far one rating moves the vectors.
    regularization : float
        Pulls biases and vectors to zero. Less on large data: 0.1 suits 100 thousand ratings, 0.05
        ten million.
    init_std : float
        Standard deviation of the random vectors at the start.
    random_state : int, RandomState instance, Generator or None
        Seed of the start and of the order of ratings. With None each fit differs.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it, to the last bit.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    mean_ : float
        Mean of all ratings.
    user_biases_, item_biases_ : ndarray of shape (n_users,) and (n_items,)
        How much kinder a user, or better an item, is than the mean.
    user_factors_ : ndarray of shape (n_users, n_factors)
        :math:`p_u + z_u`.
    item_factors_ : ndarray of shape (n_items, n_factors)
        :math:`q_i`.
    n_iter_ : int
        Times that all ratings were gone through.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        False: `forget` erases the rows of users and items and folds in anew who had touched those
        items; what they taught the vectors of the others goes with `refresh`.

    See Also
    --------
    ItemKNN : With ``target="rating"``, ratings from neighbours, which every update keeps exact.

    Notes
    -----
    Predicted ratings are not what to fill a page with: whether people choose an item at all says
    more about what they want than how they rate it. To rank, fit a model of choices on the same
    events.

    The ratings are cut into blocks of users x items, gone through in a random order; blocks
    without a common user or item run in parallel. Then every item's b and q take three steps of
    conjugate gradients towards their least-squares solution given the users, and every user's b
    and p are replaced by theirs given the items, with the penalty :math:`\lambda n + 1 / (\eta T)`
    for n ratings: T passes at the learning rate :math:`\eta` stop about as far from zero [3]_.
    This is more accurate than where the descent ended, and it makes a visitor with a `history`
    equal to a user who did the same. Errors are measured in quarters of the range of ratings, so
    that `learning_rate` means the same for stars and for percents.

    A fit costs about ``max_iter * n_ratings * n_factors`` multiply-adds, five times over (SVD++ in
    Koren's own form costs the length of each history times more; here the items of a user are
    brought up to date together, which is the same). `partial_fit` costs the ratings of the users
    and items that the batch touched: these users are solved for given the items, these items given
    all users, and the users again. Nobody else moves until `refresh`, which fits anew; until then
    the mean and the implicit vectors stay as they were.

    References
    ----------
    .. [1] Koren, Bell, Volinsky: Matrix factorization techniques for recommender systems. Computer
       2009.
    .. [2] Koren: Factorization meets the neighborhood: a multifaceted collaborative filtering
       model. KDD 2008.
    .. [3] Ali, Kolter, Tibshirani: A continuous-time view of early stopping for least squares.
       AISTATS 2019.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import SVD
    >>> ratings = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "ann", "bob", "bob", "cleo", "cleo", "dan"],
    ...         "item_id": ["tea", "mug", "tea", "mug", "tea", "pen", "pen"],
    ...         "rating": [5, 2, 4, 1, 5, 3, 2],
    ...     }
    ... )
    >>> model = SVD(n_factors=4).fit(ratings)
    >>> model.predict([("dan", "tea"), ("dan", "mug"), ("a stranger", "tea")]).round(2)
    array([3.53, 2.54, 3.69])
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_factors": integer(1),
        "implicit_feedback": boolean(),
        "max_iter": integer(1),
        "learning_rate": real(1e-6),
        "regularization": real(0),
        "init_std": real(0),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (RatingFactors,)
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_factors": [50, 100, 200],
        "max_iter": [20, 40, 80],
        "learning_rate": [0.005, 0.01],
        "regularization": [0.04, 0.06, 0.08, 0.1],
        "init_std": [0.01, 0.03, 0.1],
    }
    forget_exact_ = False

    def __init__(
        self,
        n_factors: int = 100,
        *,
        implicit_feedback: bool = False,
        max_iter: int = 20,
        learning_rate: float = 0.01,
        regularization: float = 0.04,
        init_std: float = 0.02,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_factors = n_factors
        self.implicit_feedback = implicit_feedback
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.init_std = init_std
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _values(self) -> Literal["weight", "rating"]:
        return "rating"

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> RatingFactors:
        entries, user_ranks, item_ranks = rated.by_id(shop)
        lowest, highest, mean = rated.moments(entries.ratings)
        unit = (highest - lowest) / 4 or 1.0
        errors = ((entries.ratings - mean) / unit).astype(np.float32)
        user_rows, item_rows, implicit = self._descend(entries._replace(ratings=errors), shop)
        learned = RatingFactors(
            user_factors=user_rows[user_ranks],
            item_factors=item_rows[item_ranks] * np.float32(unit),
            with_evidence=shop.by_item.lengths > 0,
            implicit_factors=implicit[item_ranks] if len(implicit) else implicit,
            mean=mean,
            lowest=lowest,
            highest=highest,
            unit=unit,
            ridge=1 / (self.learning_rate * self.max_iter),
            ridge_per_rating=float(self.regularization),
            n_iter=int(self.max_iter),
        )
        indptr, columns = shop.by_user.to_csr()
        everything = np.arange(shop.n_items)
        items = rated.solve_items(learned, shop.by_item, everything, self.n_jobs, _FEW_STEPS)
        learned = replace(learned, item_factors=items)
        everyone = rated.solve_users(learned, Profiles(indptr, *columns[:2]), self.n_jobs)
        return replace(learned, user_factors=everyone)

    def _descend(
        self, entries: rated.Entries, shop: Interactions
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Learn rows of users and items, by the rank of their ids, and the implicit vectors."""
        rng = make_rng(self.random_state)
        sizes = shop.n_users, shop.n_items
        users, items = (sgd.start(n, self.n_factors, self.init_std, rng) for n in sizes)
        n_implicit = shop.n_items * self.implicit_feedback
        implicit = sgd.start(n_implicit, self.n_factors, self.init_std, rng).factors
        rates = np.full(self.max_iter, self.learning_rate)
        if self.implicit_feedback:
            indptr = assemble.offsets(np.bincount(entries.users, minlength=shop.n_users))
            sgd.descend_with_implicit(
                indptr, entries.items, entries.ratings, users, items, implicit, rates,
                self.regularization, rng,
            )  # fmt: skip
            implicit[np.bincount(entries.items, minlength=shop.n_items) == 0] = 0
            tastes = sgd.tastes(indptr, entries.items, items.factors, implicit, self.n_jobs)[0]
            users = sgd.Side(users.factors + tastes, users.biases)
        else:
            # Neighbouring rows share a block, so neighbours are drawn by lot.
            lots = [rng.permutation(n).astype(np.int32) for n in sizes]
            parts = sgd.blocks(
                lots[0][entries.users], lots[1][entries.items], entries.ratings, *sizes,
                sgd.n_groups(len(entries.ratings)),
            )  # fmt: skip
            sgd.descend(parts, users, items, rates, self.regularization, rng, self.n_jobs)
            users, items = (
                sgd.Side(side.factors[lot], side.biases[lot])
                for side, lot in zip((users, items), lots, strict=True)
            )
        if not all(np.isfinite(values).all() for values in (*users, *items, implicit)):
            raise FloatingPointError(
                "SVD: the descent left the finite numbers with learning_rate="
                f"{self.learning_rate!r}. Lower it, or raise regularization."
            )
        ones = (np.ones(n, dtype=np.float32) for n in sizes)
        return (
            np.column_stack((*users, next(ones))),
            np.column_stack((items.factors, next(ones), items.biases)),
            implicit,
        )

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> RatingFactors:
        if state.interactions.n_entries == 0:
            return self._fit(shop, sides)
        learned = rated.grown(state.learned, shop)
        profiles = Profiles(*rated.taken(shop.by_user, change.users))
        if len(profiles.weights):
            learned = replace(
                learned,
                lowest=min(learned.lowest, float(profiles.weights.min())),
                highest=max(learned.highest, float(profiles.weights.max())),
            )
        learned.user_factors[change.users] = rated.solve_users(learned, profiles, self.n_jobs)
        learned.item_factors[change.items] = rated.solve_items(
            learned, shop.by_item, change.items, self.n_jobs
        )
        learned.with_evidence[change.items] = True
        learned.user_factors[change.users] = rated.solve_users(learned, profiles, self.n_jobs)
        return learned

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> RatingFactors:
        known, ratings = state.learned, shop.data
        learned: RatingFactors = replace(
            known,
            user_factors=known.user_factors[kept_users],
            item_factors=known.item_factors[kept_items],
            implicit_factors=known.implicit_factors[kept_items[: len(known.implicit_factors)]],
            with_evidence=np.bincount(shop.indices, minlength=shop.n_items) > 0,
            lowest=float(ratings.min()) if len(ratings) else known.mean,
            highest=float(ratings.max()) if len(ratings) else known.mean,
        )
        before = state.interactions.by_user.lengths[kept_users]
        fewer = np.flatnonzero(before != shop.by_user.lengths)
        profiles = Profiles(*rated.taken(shop.by_user, fewer))
        learned.user_factors[fewer] = rated.solve_users(learned, profiles, self.n_jobs)
        return learned

    # ------------------------------------------------------------------ answering

    def _fold_in(self, state: State, profiles: Profiles) -> np.ndarray:
        return rated.solve_users(state.learned, profiles, self.n_jobs)

    def _score(self, state: State, query: Query) -> np.ndarray:
        block: np.ndarray = super()._score(state, query)
        block += np.float32(state.learned.mean)
        return block

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        # Ranked before they are cut off at the best rating, where many would tie.
        items, scores = super()._top_k(state, query, k, mask)
        return items, rated.within_range(state.learned, scores + np.float32(state.learned.mean))

    def _predict(self, state: State, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        learned = state.learned
        ratings = np.full(len(users), learned.mean)
        for start in range(0, len(users), _PAIRS):
            part = slice(start, start + _PAIRS)
            mine, its = learned.user_factors[users[part]], learned.item_factors[items[part]]
            # Of somebody, or something, unknown: no taste and no bias of its own.
            mine[users[part] < 0], its[items[part] < 0] = rated.blank_rows(learned)
            ratings[part] += np.einsum("rf,rf->r", mine, its)
        answers: np.ndarray = rated.within_range(learned, ratings)
        return answers

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        learned = state.learned
        target = learned.item_factors[item].astype(np.float64)
        user = self._vectors(state, query)[0].astype(np.float64)
        parts = rated.contributions(learned, query.profiles, target)
        bias = learned.unit * user[-2]
        score = learned.mean + float(user @ target)
        shown = float(rated.within_range(learned, score))
        rest = {
            "factors": score - (learned.mean + bias + target[-1] + parts.sum()),
            "range": shown - score,
        }
        named = {name: part for name, part in rest.items() if abs(part) > 1e-5 * learned.unit}
        kinds = ["baseline"] * 3 + list(named) + ["item"] * len(parts)
        reasons = ["all ratings", "the user", "the item", *[None] * len(named)]
        reasons += state.interactions.items.take(query.profiles.items).tolist()
        baseline = [learned.mean, bias, target[-1], *named.values()]
        return kinds, reasons, np.concatenate((baseline, parts))

    # ------------------------------------------------------------------ fitted attributes

    @property
    def mean_(self) -> float:
        """Mean of all ratings."""
        return float(self._attribute("mean_").learned.mean)

    @property
    def user_biases_(self) -> np.ndarray:
        """How much kinder each user is than the mean."""
        learned = self._attribute("user_biases_").learned
        return read_only(np.asarray(learned.user_factors)[:, -2] * np.float32(learned.unit))

    @property
    def item_biases_(self) -> np.ndarray:
        """How much better each item is than the mean."""
        return read_only(np.asarray(self._attribute("item_biases_").learned.item_factors)[:, -1])

    @property
    def user_factors_(self) -> np.ndarray:
        """Vectors of the users, by row."""
        return read_only(super().user_factors_[:, :-2])

    @property
    def item_factors_(self) -> np.ndarray:
        """Vectors of the items, by row."""
        return read_only(super().item_factors_[:, :-2])

    @property
    def n_iter_(self) -> int:
        """Times that all ratings were gone through."""
        return int(self._attribute("n_iter_").learned.n_iter)
