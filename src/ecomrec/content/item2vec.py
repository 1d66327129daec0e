"""Item2Vec: vectors of items from what stands beside them in the histories of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec._validation import Rule, choice, integer, jobs, real, seed
from ecomrec.base import SideTables, State
from ecomrec.content._contexts import (
    Baskets,
    baskets_of,
    context_shares,
    cooccurrence,
    learn_skipgram,
    learn_sppmi,
    shifted_pmi,
)
from ecomrec.content._profiles import ProfileFactors, ProfileModel, unit_rows
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import assemble
from ecomrec.state import ArrayRule, columns_of


@dataclass(frozen=True, eq=False)
class Item2VecFactors(ProfileFactors):
    """What `Item2Vec` learns, beside the factors.

    Attributes
    ----------
    context_factors : ndarray of shape (n_items, n_factors), float32
        A row of co-occurrence weights times these is a vector of an item.
    shares : ndarray of shape (n_items,), float64
        Smoothed shares of the items among all contexts; 0 for those that came later.
    """

    context_factors: np.ndarray
    shares: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return super().array_rules(shop) | {
            "context_factors": ArrayRule((shop.n_items, columns_of(self.item_factors))),
            "shares": ArrayRule((shop.n_items,)),
        }


class Item2Vec(ProfileModel):
    r"""Recommends what stands beside the same items as what the visitor touched.

    Every item gets a vector :math:`v_i` of length 1, learned from its contexts: the other items in
    the histories of its users. The score of item j for a visitor with weights :math:`w_i` is

    .. math:: n_j^{\beta} \; \frac{\sum_{i \in \text{history}} w_i \, \cos(v_i, v_j)}
              {\sum_{i \in \text{history}} w_i}

    the mean likeness to what they touched, times a power :math:`\beta`, `popularity`, of the
    number of users of the item. With ``popularity=0`` it is a mean cosine, at most 1, and scores
    of all users compare.

    Parameters
    ----------
    n_factors : int
        Length of the vectors.
    method : {"sppmi", "sgns"}
        How vectors are learned. "sppmi": from one decomposition of the shifted positive pointwise
        mutual information of items and contexts [1]_, without chance but for the start of the
        solver. "sgns": skip-gram with negative sampling [2]_, step by step.
    window : int or None
        How many events before and after an event are its contexts, in the order of time (of ids
        at equal times, or without timestamps); the nearer count more. None: the whole history,
        whatever the order.
    shift : float
        For "sppmi": log of this is taken from all mutual information; more than 1 leaves only
        strong ties.
    smoothing : float
        Frequencies of contexts (and of negatives) are raised to this power: below 1, rare
        contexts say less.
    popularity : float
        Exponent of the number of users of an item in its score; 0 for likeness alone.
    n_negatives : int
        For "sgns": items drawn for each pair that do not stand there.
    subsample : float
        For "sgns": items with a larger share of the events than this are passed over now and
        then; 0 for never.
    learning_rate : float
        For "sgns": of the first step; it falls to 0 along a line.
    max_iter : int
        For "sgns": passes over the events; few events get more, up to 50 times as many.
    half_life : str, timedelta or None
        "30D": in the mean of a history, events count half as much for every 30 days before the
        newest one. Contexts count all alike.
    random_state : int, Generator, RandomState or None
        Seed of all that is drawn. With None each fit differs.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    user_factors_ : ndarray of shape (n_users, n_factors), float32
        Weighted means of the items' vectors.
    item_factors_ : ndarray of shape (n_items, n_factors), float32
        The vectors, times the power of the number of users.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    EmbeddingRecommender : Vectors of texts and images rather than of events.

    Notes
    -----
    The matrix of "sppmi" has the entries :math:`\max(0, \log \frac{P(i, j)}{P(i) P(j)} - \log
    \text{shift})`; with left singular vectors U and values S, vectors are the rows of
    :math:`U S^{1/2}`. Without a `window` an event gives each other item of the history an equal
    part of one, so that heavy users weigh no more than their events. It costs the sum of the
    squared lengths of the histories, and memory for as many pairs of items as occur. "sgns"
    costs ``max_iter * n_events * window * n_negatives * n_factors``; steps go through items in the
    order of their ids, in rounds that are the same for any number of threads.

    `partial_fit` describes the users of the batch anew. Items without evidence at the fit get a
    vector from the contexts they have by now: the row of the matrix that they would have with the
    old items as contexts, times :math:`V S^{-1/2}` ("sgns": the mean of the vectors of their
    contexts). Other items stay until `refresh`, which is a fit on everything. It costs the
    histories of the batch's users and of the users of such items. `forget` is a fit on what is
    left.

    References
    ----------
    .. [1] Levy, Goldberg: Neural word embedding as implicit matrix factorization. NIPS 2014.
    .. [2] Barkan, Koenigstein: Item2Vec: neural item embedding for collaborative filtering. MLSP
       2016.

    Examples
    --------
    >>> from ecomrec.content import Item2Vec
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = Item2Vec(n_factors=8).fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_factors": integer(1),
        "method": choice("sppmi", "sgns"),
        "window": integer(1, none=True),
        "shift": Rule(
            "a finite number above 0", lambda v: real(0).accepts(v) and v > 0, (0, -1, "1", True)
        ),
        "smoothing": real(0, 1),
        "popularity": real(0),
        "n_negatives": integer(1),
        "subsample": real(0),
        "learning_rate": real(0),
        "max_iter": integer(1),
        "half_life": duration(),
        "random_state": seed(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (Item2VecFactors,)
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_factors": [64, 128, 256, 512],
        "window": [5, 20, None],
        "smoothing": [0.75, 1.0],
        "popularity": [0.0, 0.1, 0.2, 0.3, 0.4],
    }
    forget_exact_ = True
    # Means of cosines: sums that nearly cancel are as good as 0.
    _score_unit = 1.0

    def __init__(
        self,
        n_factors: int = 256,
        *,
        method: Literal["sppmi", "sgns"] = "sppmi",
        window: int | None = None,
        shift: float = 1.0,
        smoothing: float = 1.0,
        popularity: float = 0.25,
        n_negatives: int = 5,
        subsample: float = 0.0,
        learning_rate: float = 0.05,
        max_iter: int = 10,
        half_life: HalfLife = None,
        random_state: RandomState = 0,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_factors = n_factors
        self.method = method
        self.window = window
        self.shift = shift
        self.smoothing = smoothing
        self.popularity = popularity
        self.n_negatives = n_negatives
        self.subsample = subsample
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _fit(self, shop: Interactions, sides: SideTables) -> Item2VecFactors:
        rng = make_rng(self.random_state)
        order = _by_id(shop.items)
        place = assemble.inverse(order)
        baskets = baskets_of(shop, _by_id(shop.users), place, self.window is not None)
        shares = context_shares(baskets, shop.n_items, self.window, self.smoothing)
        if self.method == "sppmi":
            vectors, projection = learn_sppmi(
                baskets, shares, self.n_factors, self.window, self.shift, rng
            )
        else:
            vectors = projection = learn_skipgram(
                baskets, shares, self.n_factors, self.window, self.n_negatives, self.subsample,
                self.learning_rate, self.max_iter, rng, self.n_jobs,
            )  # fmt: skip
            if not np.isfinite(vectors).all():
                raise FloatingPointError(
                    "Item2Vec: the vectors grew without bound with "
                    f"learning_rate={self.learning_rate!r}. Lower it."
                )
            projection = unit_rows(projection)
        units, scales = self._scaled(unit_rows(vectors)[place], shop.item_counts)
        learned = Item2VecFactors(
            user_factors=np.zeros((0, units.shape[1]), dtype=np.float32),
            item_factors=units,
            with_evidence=scales > 0,
            history_scales=scales,
            head=None,
            context_factors=projection[place],
            shares=shares[place],
        )
        everyone = np.arange(shop.n_users)
        return replace(learned, user_factors=self._described(shop, everyone, learned))

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Item2VecFactors:
        before = state.interactions
        learned: Item2VecFactors = state.learned
        more = shop.n_items - before.n_items
        described = np.pad(learned.user_factors, ((0, shop.n_users - before.n_users), (0, 0)))
        known = replace(
            learned,
            item_factors=np.pad(learned.item_factors, ((0, more), (0, 0))),
            with_evidence=np.pad(learned.with_evidence, (0, more)),
            history_scales=np.pad(learned.history_scales, (0, more)),
            context_factors=np.pad(learned.context_factors, ((0, more), (0, 0))),
            shares=np.pad(learned.shares, (0, more)),
        )
        touched = change.users
        # With a window an event may push another one away from a late item.
        _, columns = shop.by_user.take(touched)
        held = np.union1d(change.items, columns[0])
        arriving = held[known.shares[held] == 0]
        if len(arriving):
            touched = np.union1d(touched, shop.by_item.take(arriving)[1][0])
            self._place(shop, arriving, touched, known)
        described[touched] = self._described(shop, touched, known)
        return replace(known, user_factors=described)

    def _place(
        self, shop: Interactions, items: np.ndarray, users: np.ndarray, known: Item2VecFactors
    ) -> None:
        """Give items that came after the fit vectors from their contexts, in place.

        Only items known at the fit are contexts: it makes no difference how events were batched.
        """
        # The order of ids decides at equal times; without a window there is nothing to decide.
        place = np.arange(shop.n_items)
        if self.window is not None:
            place = assemble.inverse(_by_id(shop.items))
        order = np.argsort(shop.users.take(users), kind="stable")
        baskets = baskets_of(shop, users[order], place, self.window is not None)
        settled = known.shares > 0
        back = np.empty(shop.n_items, dtype=np.int64)
        back[place] = np.arange(shop.n_items)
        named = Baskets(baskets.indptr, back[baskets.items])
        counts = cooccurrence(named, shop.n_items, self.window, items, settled)
        if self.method == "sppmi":
            counts = shifted_pmi(counts, known.shares, self.shift)
        vectors = unit_rows(counts @ known.context_factors.astype(np.float64))
        users_of = np.bincount(named.items, minlength=shop.n_items)[items]
        known.item_factors[items], known.history_scales[items] = self._scaled(vectors, users_of)
        known.with_evidence[items] = known.history_scales[items] > 0

    def _scaled(self, units: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors as they are scored, and what makes vectors of length 1 of them again."""
        powers = (np.maximum(counts, 1.0) ** self.popularity).astype(np.float32)
        known = units.any(axis=1)
        scales: np.ndarray = np.where(known, 1 / powers, np.float32(0))
        return units * powers[:, None], scales


def _by_id(ids: IdMap) -> np.ndarray:
    """Rows in the order of their ids."""
    return np.argsort(ids.ids, kind="stable")
