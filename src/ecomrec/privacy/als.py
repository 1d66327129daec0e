"""Alternating least squares with differential privacy: vectors of items, none of users."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import Query, SideTables, State
from ecomrec.data.histories import Profiles
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.exceptions import DataError
from ecomrec.kernels import neighbors, private_als
from ecomrec.privacy import _als_steps as steps
from ecomrec.privacy._budget import check_noise, noise_of
from ecomrec.privacy._item_features import public_features
from ecomrec.privacy._model import PrivateRecommender
from ecomrec.privacy._releases import Releases
from ecomrec.privacy.accounting.composition import PrivacyEvent
from ecomrec.privacy.bounding import ContributionBounder, PrivateRows
from ecomrec.privacy.noise.samplers import MAX_SIGMA
from ecomrec.state import ArrayRule, columns_of
from ecomrec.vectors.factors import most_alike, norms_of, read_only

# Exact sums of popularity lie on this grid.
_COUNT_GRID = 1 << 20
# Default weight of everything that one user did not touch, together.
_UNTOUCHED = 300.0
# Default ridge of the items: so many users, and so many times the size of the noise.
_USERS, _NOISE = 10.0, 2.0
_SPLIT = (0.05, 0.05, 0.0, 0.9)

_POSITIVE = Rule(
    "a finite number above 0", lambda v: real(0).accepts(v) and v > 0, (0, -1, math.nan, "1")
)


def _is_split(value: Any) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 4
        and all(real(0).accepts(share) for share in value)
        and all(value[place] > 0 for place in (0, 1, 3))
    )


def _are_columns(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return value is None or (
        isinstance(names, (list, tuple))
        and len(names) > 0
        and all(isinstance(name, str) and name for name in names)
    )


@dataclass(frozen=True, eq=False)
class _Released:
    """What is released, and what answers are made from.

    Attributes
    ----------
    popularity : ndarray of shape (n_items,), float32
    item_factors : ndarray of shape (n_items, n_factors), float64
    base : ndarray of shape (n_factors, n_factors), float64
        What each visitor's system starts with.
    """

    popularity: np.ndarray
    item_factors: np.ndarray
    base: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        n_factors = columns_of(self.item_factors)
        return {
            "popularity": ArrayRule((shop.n_items,)),
            "item_factors": ArrayRule((shop.n_items, n_factors)),
            "base": ArrayRule((n_factors, n_factors)),
        }


class DPALS(PrivateRecommender):
    r"""Describes items by vectors, learned from noisy sums over users; has no vectors of users.

    Items start with public vectors :math:`v_j`. In each round every user is solved for alone, and
    the vector is cut to the length G (`clip_norm`),

    .. math:: u_i = \Big(\sum_{j \in i} v_j v_j^\top + \alpha_0 V^\top V + \lambda I\Big)^{-1}
              \sum_{j \in i} y_{ij} v_j, \qquad u_i \leftarrow u_i \min(1, G / \lVert u_i \rVert),

    and with weights :math:`\sum_j w_{ij}^2 \le 1` three sums are released with Gaussian noise,

    .. math:: K = \sum_i u_i u_i^\top, \qquad A_j = \sum_i w_{ij} u_i u_i^\top, \qquad
              b_j = \sum_i w_{ij} y_{ij} u_i,

    from which :math:`v_j = (\sqrt{B} A_j + \alpha_0 K + \lambda' I)^{-1} b_j`, up to a common
    scale, with B = `max_items_per_user`. By default :math:`A_j` is neither released nor used: its
    noise costs more than it tells. The weights :math:`w_{ij} \propto \max(c_j, 1)^{-g}` come from
    released counts :math:`c_j` of the items, so that rare items get more of the budget. The score
    of item j for a history is :math:`u^\top v_j`, with u solved for in the same way. Scores of one
    user are comparable, those of two users roughly.

    Parameters
    ----------
    epsilon : float
        What the whole fit spends; ``inf``: the same without noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    n_factors : int
        Length of the vectors: a little more than there are tastes. Every factor takes noise with
        it.
    regularization : float
        The :math:`\lambda` of users, whose items have vectors with a mean square length of 1.
    item_regularization : float or None
        The :math:`\lambda'` of items, in users. None: :math:`10 + 2 s \sqrt m`, with the standard
        deviation s of the noise of :math:`b_j` and m items: from public numbers alone.
    unobserved_weight : float or None
        The :math:`\alpha_0`. None: 300 / number of items, at most 1.
    max_iter : int
        Rounds. The budget is divided among them: few are better.
    clip_norm : float
        The length G. Small: all users count the same, whatever the noise of their vectors.
    weight_exponent : float
        The g: 0 weighs all items of a user alike.
    budget_split : tuple of four floats
        Shares of the precision (:math:`\mu^2`) that the counts, K, A and b get; 0 for A: it is
        not released. They need not add up to 1.
    item_features : str, list of str, or None
        Columns of the `items` table that tell what items are: numbers, labels, lists of labels,
        or vectors. They must be public. The vectors start from them, which replaces rounds, and
        are drawn toward the regression of all vectors on them.
    feature_weight : float
        How much they are drawn, in units of the mean diagonal of :math:`\alpha_0 K`.
    max_items_per_user : int
        Of a user with more items, so many count, drawn at random. The noise does not depend on
        it.
    weighting : {"binary", "weight"}
        Labels y are 1, or the weights of events over `clip_value`.
    clip_value : float
        Larger weights are cut to this.
    n_users : int or None
        The number of users, where it is public; it is used for `advice_` alone. None: a fiftieth
        of the budget releases it.
    random_state : int, Generator, RandomState or None
        Of the public vectors at the start. It never drives noise.
    vocabulary : {"public", "dp"}
        The catalogue is public, given as `items` to `fit`; or the items that occur are private,
        and a fifth of the budget releases those that enough users have.
    noise : {"rounded_gaussian", "discrete_gaussian"}
        As in `DPPopularity`.
    ledger : PrivacyLedger or None
        Charged for each fit before noise is drawn; an exceeded budget is refused.
    noise_source : SystemNoise, SeededNoise or None
        None: the operating system. A seeded source is for tests, and marks the report.
    tuning : {"refused", "accounted"}
        Whether searches and cross-validations may fit it, charging the ledger every time.
    n_jobs : int or None
        Threads, as in joblib. What users contribute does not depend on it.

    Attributes
    ----------
    item_ids_ : ndarray
        The catalogue, by row.
    item_factors_ : ndarray of shape (n_items, n_factors), float64
    popularity_ : ndarray of shape (n_items,), float64
        Released counts, in which each user has a vector of length 1; some below 0.
    privacy_report_ : PrivacyReport
    advice_ : str or None
        Says so where popularity is expected to do better.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.

    Raises
    ------
    DataError
        `item_features` without an items table that has these columns; nothing is spent then.

    See Also
    --------
    DPEASE : One release, nothing to choose; memory grows with the square of the items.
    DPPopularity : One list for everybody, for small shops.

    Notes
    -----
    With T rounds and noise of the standard deviations :math:`s_c`, :math:`s_0 G^2`,
    :math:`s_1 G^2` and :math:`s_2 G`, a fit is :math:`\mu`-Gaussian private, exactly,

    .. math:: \mu^2 = s_c^{-2} + T \big(s_0^{-2} + s_1^{-2} + s_2^{-2}\big),

    for the weights of all items of a user are bounded together, and labels by 1. Each user's
    numbers are truncated toward zero to integers, whose bounds hold exactly; sums are exact, and
    noise is added to integers. Noise of the symmetric matrices has half the variance beside the
    diagonal.

    The method is that of [1]_ with the weights of [2]_ and public features as in [3]_. What is
    different: every release is booked with its own sensitivity (counts, too), labels are cut, no
    item is chosen by an exact count, and all items share :math:`\alpha_0 K`.

    A round costs about :math:`n_i d^2 / 2 + d^3 / 6` multiply-adds for each user of :math:`n_i`
    items and d for each event, and as much again for :math:`A_j` (and :math:`8 d^2` bytes an
    item) where it is released.

    References
    ----------
    .. [1] Chien, Jain, Krichene, Rendle, Song, Thakurta, Zhang: Private alternating least squares:
       practical private matrix completion with tighter rates. ICML 2021.
    .. [2] Krichene, Jain, Song, Sundararajan, Thakurta, Zhang: Multi-task differential privacy
       under distribution skew. ICML 2023.
    .. [3] Curmei, Krichene, Zhang, Sundararajan: Private matrix factorization with public item
       features. RecSys 2023.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPALS
    >>> shop = make_shop(n_users=3000, n_items=100, random_state=0)
    >>> model = DPALS(epsilon=4.0, delta=1e-6, n_factors=12).fit(
    ...     shop.events[["user_id", "item_id"]], items=shop.items)
    >>> model.recommend(history=[[3, 5]], k=3).items.shape
    (1, 3)
    >>> round(model.privacy_report_.epsilon, 3)
    4.0
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **PrivateRecommender._param_rules,
        "n_factors": integer(1, 2**31),
        "regularization": _POSITIVE,
        "item_regularization": real(1e-6, none=True),
        "unobserved_weight": real(0, none=True),
        "max_iter": integer(1, 2**31),
        "clip_norm": _POSITIVE,
        "weight_exponent": real(0),
        "budget_split": Rule(
            "four shares of at least 0 for counts, gram, systems and targets, all but the third "
            "above 0",
            _is_split,
            ((1, 1, 1), (0, 1, 0, 1), (1, 1, -1, 1), 1.0, None),
        ),
        "item_features": Rule(
            "None, the name of a column, or a list of names", _are_columns, ([], [1], 3, "")
        ),
        "feature_weight": real(0),
        "weighting": choice("binary", "weight"),
        "clip_value": real(1e-9),
        "n_users": integer(1, 2**31, none=True),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (_Released,)

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        delta: float = 1e-6,
        n_factors: int = 24,
        regularization: float = 1.0,
        item_regularization: float | None = None,
        unobserved_weight: float | None = None,
        max_iter: int = 2,
        clip_norm: float = 0.25,
        weight_exponent: float = 0.25,
        budget_split: Sequence[float] = _SPLIT,
        item_features: str | Sequence[str] | None = None,
        feature_weight: float = 1.0,
        max_items_per_user: int = 1000,
        weighting: Literal["binary", "weight"] = "binary",
        clip_value: float = 1.0,
        n_users: int | None = None,
        random_state: RandomState = 0,
        vocabulary: Literal["public", "dp"] = "public",
        noise: Literal["rounded_gaussian", "discrete_gaussian"] = "rounded_gaussian",
        ledger: Any = None,
        noise_source: Any = None,
        tuning: Literal["refused", "accounted"] = "refused",
        n_jobs: int | None = -1,
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.n_factors = n_factors
        self.regularization = regularization
        self.item_regularization = item_regularization
        self.unobserved_weight = unobserved_weight
        self.max_iter = max_iter
        self.clip_norm = clip_norm
        self.weight_exponent = weight_exponent
        self.budget_split = budget_split
        self.item_features = item_features
        self.feature_weight = feature_weight
        self.max_items_per_user = max_items_per_user
        self.weighting = weighting
        self.clip_value = clip_value
        self.n_users = n_users
        self.random_state = random_state
        self.vocabulary = vocabulary
        self.noise = noise
        self.ledger = ledger
        self.noise_source = noise_source
        self.tuning = tuning
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None, *, items: Any = None, users: Any = None) -> Self:
        """Learn from events, once, spending epsilon; what was learned before is forgotten.

        What is released is booked in the ledger before any noise is drawn: a crash in the middle
        has been charged.

        Parameters
        ----------
        X : table, Interactions, or users x items matrix
            As in every private model.
        y : array-like of shape (n_rows,), optional
            Strength of each row of a table.
        items : table
            The catalogue with `item_id` and the columns of `item_features`; it is public. Needed
            for these, and unless X is a matrix or ``vocabulary="dp"``.
        users : table, optional
            Ignored: nothing is learned from attributes of users.

        Returns
        -------
        self

        Raises
        ------
        BudgetExceededError
            The ledger does not hold enough; nothing is spent then.
        """
        self._check_params()
        if self.item_features is not None:
            if items is None:
                raise DataError(
                    f"DPALS: item_features={self.item_features!r} are columns of the items table: "
                    "fit(events, items=catalog)."
                )
            # Read before anything is spent.
            public_features(items, self._columns(), None, self.n_factors)
        return super().fit(X, y, items=items, users=users)

    def _columns(self) -> list[str]:
        given = self.item_features or []
        return [given] if isinstance(given, str) else list(given)

    def _bounder(self) -> ContributionBounder:
        return ContributionBounder(
            self.max_items_per_user, weighting=self.weighting, clip_value=self.clip_value
        )

    def _plan(self, n_items: int) -> dict[str, PrivacyEvent | None]:
        names = ("counts", "gram", "systems", "targets")
        shares = {n: s for n, s in zip(names, self.budget_split, strict=True) if s > 0}
        times = {name: 1 if name == "counts" else self.max_iter for name in shares}
        relative = {name: math.sqrt(times[name] / share) for name, share in shares.items()}
        plan = self._gaussians(relative, times)
        check_noise({"systems": plan.get("systems")}, MAX_SIGMA / steps.GRID**3)
        return plan

    def _learn(
        self,
        rows: PrivateRows,
        n_items: int,
        releases: Releases,
        sides: SideTables,
        catalog: IdMap,
    ) -> _Released:
        counts = np.zeros(n_items, dtype=np.int64)
        np.add.at(counts, rows.items, rows.integer_rows(_COUNT_GRID))
        popularity = releases.gaussian("counts", counts, _COUNT_GRID) / _COUNT_GRID
        item_weights = np.maximum(popularity, 1.0) ** -self.weight_exponent
        labels = self._labels(rows.values)
        entries = steps.weighted_entries(rows, labels, item_weights, self.n_jobs)
        unobserved, prior = self._unobserved(n_items), self._prior(n_items, sides, catalog)
        rng = make_rng(self.random_state)
        factors = steps.first_factors(n_items, self.n_factors, prior.features, rng)
        for _ in range(self.max_iter):
            base = self._base(factors)
            given = steps.user_steps(rows, labels, factors, base, self.clip_norm, self.n_jobs)
            gram, systems, targets = self._sums(given, entries, releases)
            factors = steps.item_factors(unobserved * gram, systems, targets, prior)
        return _Released(popularity.astype(np.float32), factors, self._base(factors))

    def _sums(
        self, given: np.ndarray, entries: steps.Entries, releases: Releases
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Release one round's sums, in units of the longest vector of a user."""
        grid, root = steps.GRID, math.sqrt(self.max_items_per_user)
        where = entries.starts, entries.users
        gram = releases.symmetric("gram", private_als.gram(given), grid**2)
        systems = None
        if self.budget_split[2] > 0:
            exact = private_als.system_sums(*where, entries.weights, given, self.n_jobs)
            released = releases.symmetric("systems", exact, grid**3)
            systems = root * steps.projected(released / grid**3)
        exact = private_als.target_sums(*where, entries.targets, given, self.n_jobs)
        targets = releases.gaussian("targets", exact, grid**2) / grid**2
        return steps.projected(gram / grid**2), systems, targets

    def _labels(self, values: np.ndarray) -> np.ndarray:
        """Labels in units of the largest."""
        if self.weighting == "binary":
            return np.where(values > 0, 1.0, 0.0)
        return np.clip(values / self.clip_value, 0.0, 1.0)

    def _unobserved(self, n_items: int) -> float:
        given = self.unobserved_weight
        return min(1.0, _UNTOUCHED / n_items) if given is None else float(given)

    def _base(self, factors: np.ndarray) -> np.ndarray:
        """What each user's system starts with."""
        base: np.ndarray = self._unobserved(len(factors)) * (factors.T @ factors)
        return base + self.regularization * np.eye(self.n_factors)

    def _prior(self, n_items: int, sides: SideTables, catalog: IdMap) -> steps.Prior:
        features = None
        if self.item_features is not None:
            features = public_features(sides.items, self._columns(), catalog.ids, self.n_factors)
        ridge = self.item_regularization
        if ridge is None:
            # Targets are in units of their bound, so their noise is the noise multiplier.
            noise = noise_of(self._plan(n_items)["targets"])
            ridge = _USERS + _NOISE * noise * math.sqrt(n_items)
        return steps.Prior(ridge, features, self.feature_weight)

    # ------------------------------------------------------------------ answering

    def _vectors(self, state: State, profiles: Profiles) -> np.ndarray:
        """Vectors of histories, each solved for alone: float64 of shape (n, n_factors)."""
        learned = state.learned
        vectors: np.ndarray = private_als.solve(
            profiles.indptr, profiles.items, self._labels(profiles.weights.astype(np.float64)),
            learned.item_factors, learned.base, self.n_jobs,
        )  # fmt: skip
        return vectors

    def _score(self, state: State, query: Query) -> np.ndarray:
        vectors = self._vectors(state, query.profiles)
        block: np.ndarray = (vectors @ state.learned.item_factors.T).astype(np.float32)
        block[~vectors.any(axis=1)] = np.nan
        return block

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        factors = state.learned.item_factors.astype(np.float32)
        return most_alike(factors, rows, k, self.n_jobs, norms_of(factors))

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        # The score is a sum over the entries that the right side of the system is a sum over.
        learned, (_, items, weights) = state.learned, query.profiles
        vectors, labels = learned.item_factors[items], self._labels(weights.astype(np.float64))
        system = learned.base + vectors.T @ vectors
        parts = vectors @ np.linalg.solve(system, learned.item_factors[item]) * labels
        reasons = state.interactions.items.take(items).tolist()
        return ["item"] * len(items), reasons, parts

    @property
    def item_factors_(self) -> np.ndarray:
        """Vectors of the items, by row."""
        return read_only(self._attribute("item_factors_").learned.item_factors)
