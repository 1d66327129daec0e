"""Two towers over public item vectors, trained by DP-SGD with a user as the sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.sparse as sp

from ecomrec._optional import require
from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, integer, real
from ecomrec.base import Query, SideTables, State, miss_items
from ecomrec.content import EmbeddingRecommender
from ecomrec.data.catalog import as_catalog
from ecomrec.data.ids import IdMap, encode_ids
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import ITEM, is_table
from ecomrec.kernels import neighbors
from ecomrec.privacy import _opacus
from ecomrec.privacy._budget import check_noise
from ecomrec.privacy._model import PrivateRecommender
from ecomrec.privacy._releases import Releases
from ecomrec.privacy._towers import Towers, item_vectors, shares_of
from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    calibrate_noise,
    mu_from_epsilon,
)
from ecomrec.privacy.bounding import PrivateRows
from ecomrec.privacy.noise.samplers import MAX_SIGMA
from ecomrec.vectors.factors import most_alike, norms_of, read_only

# Exact sums of popularity lie on this grid.
_GRID = 1 << 20
# Share of the precision that the number of users gets.
_COUNT_SHARE = 0.01
# Adam moves all weights by about its rate, in the direction of the noise where there is nothing
# else: the rate is this for each expected user and unit of noise. On two shops of 4,000 and 5,000
# users the best rates at epsilon 1 to 8 were 3e-5 to 6e-5 so.
_PACE = 5e-5
# Without noise, counts below this are as good as none.
_LEAST = 0.5


_POSITIVE = Rule(
    "a finite number above 0", lambda v: real(0).accepts(v) and v > 0, (0, -1, math.nan, "1")
)


def _share(high: float) -> Rule:
    return Rule(
        f"a number above 0 and at most {high:g}",
        lambda v: real(0, high).accepts(v) and v > 0,
        (0, -1, 1.5, math.nan, "1"),
    )


class DPTwoTower(PrivateRecommender):
    r"""Recommends by what items are and what users like, learned by private gradient descent.

    Each item is a public vector :math:`e_j` of length 1, made of the texts or the vectors in the
    items table. The score of item j for a history H is

    .. math:: b_j + (A \, \bar e_H)^\top (B^\top e_j) + c^\top e_j, \qquad
              \bar e_H = \frac{1}{|H|} \sum_{i \in H} e_i

    The user tower A, the item tower B and c are all that is trained, from a public start:
    :math:`B A = s I`, the cosine times `similarity_weight`. :math:`b_j` is the logarithm of the
    noisy popularity, bounded from below by the noise. In each step everybody takes part with
    probability `sample_rate`; half of the catalogue is hidden, the same half for all, and a
    user's loss is the cross entropy of a softmax over it, for the user's hidden items given the
    others. The gradient of each user is cut to the length `clip_norm`, their sum gets Gaussian
    noise and is divided by the expected number of users, and Adam takes a step. The model is the
    mean over the second half of the steps.

    Scores are log-probabilities up to a constant: those of one user are comparable.

    Parameters
    ----------
    epsilon : float
        What the whole fit spends; ``inf``: the same without noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    max_items_per_user : int
        Of a user with more items, so many count, drawn at random.
    fields : dict of str to float, optional
        Text columns of the items table with their weights, as in `EmbeddingRecommender`.
    vectors : str, list of str, or dict of str to float, optional
        Columns of the items table that hold a vector for each item; they must not have been
        learned from private events.
    n_factors : int
        Length of the item vectors: of the latent semantic analysis of the texts, or the most that
        is kept of longer ones, by their principal directions.
    similarity_weight : float
        The s of the public start: how much likeness counts beside popularity before anything is
        learned.
    max_iter : int
        Steps; public and fixed, for stopping early by private data would cost budget.
    sample_rate : float
        Probability of each user to take part in a step.
    clip_norm : float
        Longest gradient of a user.
    learning_rate : float
        Of Adam, at most: the noise lowers it, in proportion to the noise multiplier and to 1 over
        the expected number of users in a step.
    popularity_share : float
        Share of the budget, as precision, that popularity gets.
    n_users : int or None
        Number of users as it is publicly known, roughly: what sums of gradients are divided by,
        and the learning rate, come from it. None: a noisy count is released too.
    random_state : int, Generator, RandomState or None
        Seed of what is public: the analysis of the texts, which items are hidden when. It never
        drives noise or the draw of users.
    ledger : PrivacyLedger or None
        As in `DPPopularity`.
    noise_source : SystemNoise, SeededNoise or None
        As in `DPPopularity`.
    tuning : {"refused", "accounted"}
        As in `DPPopularity`.

    Attributes
    ----------
    item_ids_ : ndarray
        The catalogue, by row.
    item_factors_ : ndarray of shape (n_items, n_factors), float32
        What the item tower makes of the item vectors.
    item_biases_ : ndarray of shape (n_items,), float32
        What an item scores for everybody.
    popularity_ : ndarray of shape (n_items,), float64
        Released counts, some below 0.
    privacy_report_ : PrivacyReport
    advice_ : None
    n_features_in_ : int
        Number of items, on models fitted on a matrix.

    Raises
    ------
    ImportError
        At `fit`, without the extra ``ecomrec[opacus]``. A fitted model needs no torch: it answers,
        pickles, saves and loads without.
    RuntimeError
        At `fit`, in a process that was forked after its parent fitted one: torch's threads do not
        survive a fork.

    See Also
    --------
    DPEASE : One noisy matrix, exact accounting; better where there are enough users.
    DPPopularity : The baseline.

    Notes
    -----
    DP-SGD [1]_ with a user as the sample, so that the unit of privacy is a whole history, and
    ghost clipping [2]_ by Opacus. Nothing in a user's loss depends on who else takes part: no
    negatives from the batch, no normalisation over it, no vector of any user. Sums are rounded to
    an integer grid and get noise from the entropy of the operating system, as in the other private
    models; clipping and adding happen in doubles, and the bound that the noise is made for has
    room for their rounding.

    The accountant is that of Poisson-sampled Gaussians (Renyi DP). A fit costs
    ``max_iter * sample_rate * n_users * n_items * n_factors`` multiply-adds about three times, and
    `n_factors` squared noise values twice a step; an answer costs ``n_items * n_factors``.

    On a bare matrix, and where the items table holds nothing but ids, item vectors are random
    directions (for up to `n_factors` items, those of the axes).

    References
    ----------
    .. [1] Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang: Deep learning with
       differential privacy. CCS 2016.
    .. [2] Li, Tramer, Liang, Hashimoto: Large language models can be strong differentially private
       learners. ICLR 2022.

    Examples
    --------
    Fitting needs the extra; few steps and few factors, to be quick:

    >>> import pytest
    >>> _ = pytest.importorskip("opacus")
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPTwoTower
    >>> shop = make_shop(200, 40, 3000, 4, random_state=0)
    >>> model = DPTwoTower(2.0, n_factors=16, max_iter=5)
    >>> model = model.fit(shop.events[["user_id", "item_id"]], items=shop.items)
    >>> round(model.privacy_report_.epsilon, 3)
    2.0
    >>> model.recommend(history=[[3, 5]], k=3).items.shape
    (1, 3)
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **{
            name: rule
            for name, rule in PrivateRecommender._param_rules.items()
            if name not in ("vocabulary", "noise")
        },
        **{
            name: EmbeddingRecommender._param_rules[name]
            for name in ("fields", "vectors", "random_state")
        },
        "similarity_weight": _POSITIVE,
        "n_factors": integer(1, 2**31),
        "max_iter": integer(1, 2**31),
        "sample_rate": _share(1.0),
        "clip_norm": _POSITIVE,
        "learning_rate": _POSITIVE,
        "popularity_share": _share(0.9),
        "n_users": integer(1, 2**31, none=True),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (Towers,)
    _reads_items: ClassVar[bool] = True
    _advises: ClassVar[bool] = False
    #: Vectors of items are public, so the items are.
    vocabulary = "public"
    #: Of sampled sums the accountant knows those with Gaussian noise.
    noise = "rounded_gaussian"

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        delta: float = 1e-6,
        max_items_per_user: int = 100,
        fields: Mapping[str, float] | None = None,
        vectors: str | Sequence[str] | Mapping[str, float] | None = None,
        n_factors: int = 256,
        similarity_weight: float = 10.0,
        max_iter: int = 100,
        sample_rate: float = 0.1,
        clip_norm: float = 0.3,
        learning_rate: float = 0.05,
        popularity_share: float = 0.2,
        n_users: int | None = None,
        random_state: RandomState = 0,
        ledger: Any = None,
        noise_source: Any = None,
        tuning: Literal["refused", "accounted"] = "refused",
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.max_items_per_user = max_items_per_user
        self.fields = fields
        self.vectors = vectors
        self.n_factors = n_factors
        self.similarity_weight = similarity_weight
        self.max_iter = max_iter
        self.sample_rate = sample_rate
        self.clip_norm = clip_norm
        self.learning_rate = learning_rate
        self.popularity_share = popularity_share
        self.n_users = n_users
        self.random_state = random_state
        self.ledger = ledger
        self.noise_source = noise_source
        self.tuning = tuning

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
            Strength of each row of a table; nothing depends on it but its sign.
        items : table
            The catalogue with `item_id` and texts or vectors; it is public. Not needed for a
            matrix.
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
        if items is None and (is_table(X) or isinstance(X, Interactions)):
            miss_items(type(self).__name__, True)
        if items is not None:
            # Read before anything is spent.
            _, ids, kind = encode_ids(as_catalog(items).ids, ITEM)
            rng = np.random.default_rng(0)
            item_vectors(items, IdMap(ids, kind), self.fields, self.vectors, self.n_factors, rng)
        return super().fit(X, y, items=items, users=users)

    def _check_before(self, n_items: int) -> None:
        for package in ("torch", "opacus"):
            require(package, "opacus")
        _opacus.refuse_forked()

    def _plan(self, n_items: int) -> dict[str, PrivacyEvent | None]:
        shares = {"popularity": self.popularity_share}
        if self.n_users is None:
            shares["n_users"] = _COUNT_SHARE
        if math.isinf(self.epsilon):
            return dict.fromkeys([*shares, "gradients"])
        mu = mu_from_epsilon(self.epsilon, self.delta)
        counts = {name: GaussianEvent(1 / (mu * share**0.5)) for name, share in shares.items()}

        def steps(noise_multiplier: float) -> PrivacyEvent:
            if self.sample_rate == 1:
                return GaussianEvent(noise_multiplier, self.max_iter)
            return PoissonSampledGaussianEvent(noise_multiplier, self.sample_rate, self.max_iter)

        noise_multiplier = calibrate_noise(
            self.epsilon, self.delta, lambda noise: [*counts.values(), steps(noise)]
        )
        gradients = steps(noise_multiplier)
        check_noise({"gradients": gradients}, MAX_SIGMA / _opacus.BOUND)
        return {**counts, "gradients": gradients}

    def _learn(
        self,
        rows: PrivateRows,
        n_items: int,
        releases: Releases,
        sides: SideTables,
        catalog: IdMap,
    ) -> Towers:
        rng = make_rng(self.random_state)
        keys = self._keys(releases, rng)
        vectors = item_vectors(
            sides.items, catalog, self.fields, self.vectors, self.n_factors, rng
        )
        # Who has nothing in the catalogue is nobody.
        rows = PrivateRows(_without_empty(rows.indptr), rows.items, rows.values)
        popularity, biases = self._popularity(rows, n_items, releases)
        head = _opacus.train(
            sp.csr_array((rows.values, rows.items, rows.indptr), shape=(rows.n_users, n_items)),
            vectors.astype(np.float64),
            biases,
            self._start(vectors.shape[1]),
            self._schedule(rows, releases),
            _opacus.PoissonSampler(rows, self.sample_rate, keys),
            lambda sums: releases.gaussian("gradients", sums, _opacus.BOUND),
            rng,
        )
        return Towers(
            popularity=popularity.astype(np.float32),
            item_vectors=vectors,
            user_tower=np.ascontiguousarray(head.user.T, dtype=np.float32),
            item_factors=(vectors @ head.item).astype(np.float32),
            item_biases=(biases + vectors @ head.offset).astype(np.float32),
        )

    def _keys(self, releases: Releases, rng: np.random.Generator) -> np.ndarray:
        """Secrets that draw the users of each step, before anything is released."""
        n = 2 * (self.max_iter + 1)
        if math.isinf(self.epsilon):
            return rng.integers(2**64, size=(n // 2, 2), dtype=np.uint64)
        keys: np.ndarray = releases.source.words(n).reshape(-1, 2)
        return keys

    def _popularity(
        self, rows: PrivateRows, n_items: int, releases: Releases
    ) -> tuple[np.ndarray, np.ndarray]:
        """Noisy counts, each user having one vote in all, and what items score by them."""
        counts = np.zeros(n_items, dtype=np.int64)
        np.add.at(counts, rows.items, rows.integer_rows(_GRID))
        popularity = releases.gaussian("popularity", counts, _GRID) / _GRID
        least = _LEAST
        if math.isfinite(self.epsilon):
            mu = mu_from_epsilon(self.epsilon, self.delta)
            least = max(least, 1 / (mu * self.popularity_share**0.5))
        biases = np.log(np.maximum(popularity, least))
        return popularity, biases - biases.mean()

    def _start(self, n_factors: int) -> _opacus.Head:
        """Towers whose product is the similarity alone."""
        tower = np.eye(n_factors) * self.similarity_weight**0.5
        return _opacus.Head(tower, tower, np.zeros(n_factors))

    def _schedule(self, rows: PrivateRows, releases: Releases) -> _opacus.Schedule:
        n_users = self.n_users
        if n_users is None:
            count = np.array([rows.n_users * _GRID], dtype=np.int64)
            n_users = max(1, round(int(releases.gaussian("n_users", count, _GRID)[0]) / _GRID))
        expected, rate = self.sample_rate * n_users, self.learning_rate
        steps = releases.events[-1] if releases.events else None
        if isinstance(steps, (GaussianEvent, PoissonSampledGaussianEvent)):
            rate = min(rate, _PACE * expected / steps.noise_multiplier)
        return _opacus.Schedule(self.max_iter, self.sample_rate, expected, self.clip_norm, rate)

    def _also_not_covered(self) -> tuple[str, ...]:
        return (
            "rounding while gradients are clipped and added up in doubles, beyond the room that "
            "the noise has for it",
            "vectors in the items table, if they were learned from private events",
        )

    # ------------------------------------------------------------------ answering

    def _score(self, state: State, query: Query) -> np.ndarray:
        learned: Towers = state.learned
        scores: np.ndarray = learned.users(query.profiles) @ learned.item_factors.T
        scores += learned.item_biases
        return scores

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        factors = state.learned.item_factors
        return most_alike(factors, rows, k, 1, norms_of(factors))

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        learned: Towers = state.learned
        history = query.profiles.items
        wanted = learned.user_tower.astype(np.float64) @ learned.item_factors[item]
        parts = (learned.item_vectors[history] @ wanted) * shares_of(
            query.profiles, len(learned.popularity)
        ).data
        told = parts != 0
        reasons = state.interactions.items.take(history[told]).tolist()
        kinds = ["popularity"] + ["item"] * len(reasons)
        bias = float(learned.item_biases[item])
        return kinds, [None, *reasons], np.concatenate(([bias], parts[told]))

    # ------------------------------------------------------------------ fitted attributes

    @property
    def item_factors_(self) -> np.ndarray:
        """What the item tower makes of the item vectors."""
        return read_only(self._attribute("item_factors_").learned.item_factors)

    @property
    def item_biases_(self) -> np.ndarray:
        """What an item scores for everybody."""
        return read_only(self._attribute("item_biases_").learned.item_biases)


def _without_empty(indptr: np.ndarray) -> np.ndarray:
    """Offsets of the rows that have entries."""
    return np.concatenate((indptr[:1], indptr[1:][np.diff(indptr) > 0]))
