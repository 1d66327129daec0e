"""Item neighbours: who bought this also bought that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, boolean, choice, integer, jobs, real
from ecomrec.base import Query, State
from ecomrec.cf import _neighborhood as hood
from ecomrec.cf._model import CENTERINGS, RANKING_SIMILARITIES, RATING_SIMILARITIES, NeighborModel
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import neighbors, ranking


class ItemKNN(NeighborModel):
    r"""Recommends what shares users with the items that the visitor touched.

    With weights :math:`w_{ui}`, :math:`d_u` items of user u and :math:`n_i = \sum_u w_{ui}^2`, the
    score of item j is :math:`\sum_{i \in \text{history}} w_{ui} \, s_{ij}` with

    .. math:: s_{ij} = \frac{\sum_u d_u^{-\gamma} \, w_{ui} w_{uj}}
                       {n_i^{a} \, n_j^{b} + \text{shrink}}

    where :math:`\gamma` is `user_damping`, :math:`a` `history_damping` and :math:`b`
    `popularity_damping`; each item i keeps its `n_neighbors` best j. Scores of one user are
    comparable, scores of two users are not. With ``target="rating"`` the score is a rating.

    Parameters
    ----------
    n_neighbors : int or None
        Neighbours kept for each item (None: 100). For ratings: how many of the items that the
        user rated a prediction stands on (None: 40).
    target : {"ranking", "rating"}
        Rank items by evidence, or predict ratings and rank by them.
    similarity : str or None
        For ranking: "cosine" (None; the formula above), "jaccard", "conditional" (share of the
        users of i that have j, over ``n_j ** popularity_damping``), or "rp3beta" (random walk,
        with `user_damping` as alpha and `popularity_damping` as beta). For ratings:
        "pearson_baseline" (None; of what the baseline leaves), "pearson", "adjusted_cosine",
        "cosine" or "msd".
    weighting : {"none", "tfidf", "bm25"}
        Weigh events by how rare the user's events are, and saturate repeated ones.
    shrink : float or None
        Added to the denominator: pairs seen together few times count less (None: 500). For
        ratings: likeness of n common ratings is multiplied by ``(n - 1) / (n - 1 + shrink)``
        (None: 100).
    user_damping, history_damping, popularity_damping : float
        How strongly heavy users, popular items of the history, and popular recommendations are
        held back. Plain cosine is ``user_damping=0, history_damping=0.5, popularity_damping=0.5,
        shrink=0``.
    power : float
        Similarities are raised to this power: above 1, strong neighbours count for more.
    normalize : bool
        Divide each item's similarities by their sum.
    mutual : bool
        Keep a neighbour only if it is also among the `n_neighbors` best of its column, which holds
        popular items back on dense data. The first answer after an update then recomputes all
        that is stale, not the visitor's rows alone.
    centering : {None, "none", "mean", "zscore", "baseline"}
        Ratings only: what is taken off before neighbours are averaged (None: "baseline").
    n_candidates : int
        Ratings only: neighbours stored for each item.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    similarity_ : scipy.sparse.csr_array of shape (n_items, n_items)
        Row i holds the neighbours of item i.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    UserKNN : Users who are alike, rather than items.

    Notes
    -----
    A fit costs :math:`\sum_u d_u^2` multiply-adds, n_neighbors * 8 bytes per item. `partial_fit`
    costs the batch; similarity rows that it touched are recomputed when they are first needed (a
    request needs the rows of its own history) or by `refresh`, and then equal a fit on everything.
    TF-IDF, BM25 and rating baselines stay as they were until `refresh` (rating models are learned
    anew on first use). The formulas are those of [1]_ to [4]_; ratings follow [5]_.

    References
    ----------
    .. [1] Sarwar, Karypis, Konstan, Riedl: Item-based collaborative filtering recommendation
       algorithms. WWW 2001.
    .. [2] Deshpande, Karypis: Item-based top-N recommendation algorithms. TOIS 2004.
    .. [3] Paudel, Christoffel, Newell, Bernstein: Updatable, accurate, diverse, and scalable
       recommendations for interactive applications. TiiS 2017.
    .. [4] Park, Shin, Shin: Turbo-CF: matrix decomposition-free graph filtering for fast
       recommendation. SIGIR 2024.
    .. [5] Koren: Factor in the neighbors: scalable and accurate collaborative filtering.
       TKDD 2010.

    Examples
    --------
    >>> from ecomrec.cf import ItemKNN
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> model = ItemKNN().fit(train)
    >>> items, scores = model.recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_neighbors": integer(1, none=True),
        "target": choice("ranking", "rating"),
        "similarity": choice(
            *dict.fromkeys(RANKING_SIMILARITIES + RATING_SIMILARITIES), none=True
        ),
        "weighting": choice("none", "tfidf", "bm25"),
        "shrink": real(0, none=True),
        "user_damping": real(0),
        "history_damping": real(0),
        "popularity_damping": real(0),
        "power": real(0.01),
        "normalize": boolean(),
        "mutual": boolean(),
        "centering": choice(*CENTERINGS, none=True),
        "n_candidates": integer(1),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_neighbors": [50, 100, 200, 400],
        "shrink": [0, 20, 200],
        "user_damping": [0.5, 1.0],
        "history_damping": [0.5, 0.75, 1.0],
        "popularity_damping": [0.4, 0.5, 0.6, 0.7],
    }
    _entities_are_items = True
    _by_target: ClassVar[dict[str, tuple[Any, Any]]] = {
        "n_neighbors": (100, 40),
        "similarity": ("cosine", "pearson_baseline"),
        "shrink": (500.0, 100.0),
        "centering": ("none", "baseline"),
    }

    def __init__(
        self,
        n_neighbors: int | None = None,
        *,
        target: str = "ranking",
        similarity: str | None = None,
        weighting: str = "none",
        shrink: float | None = None,
        user_damping: float = 0.5,
        history_damping: float = 1.0,
        popularity_damping: float = 0.5,
        power: float = 1.0,
        normalize: bool = False,
        mutual: bool = False,
        centering: str | None = None,
        n_candidates: int = 1000,
        half_life: HalfLife = None,
        n_jobs: int | None = -1,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.target = target
        self.similarity = similarity
        self.weighting = weighting
        self.shrink = shrink
        self.user_damping = user_damping
        self.history_damping = history_damping
        self.popularity_damping = popularity_damping
        self.power = power
        self.normalize = normalize
        self.mutual = mutual
        self.centering = centering
        self.n_candidates = n_candidates
        self.half_life = half_life
        self.n_jobs = n_jobs

    def _recipe(self) -> hood.Recipe:
        return hood.Recipe(
            self._chosen("similarity"),
            self.weighting,
            self._chosen("n_neighbors"),
            self._chosen("shrink"),
            self.user_damping,
            self.history_damping,
            self.popularity_damping,
            self.power,
            self.normalize,
            self.mutual,
        )

    def _sources(self, state: State, query: Query) -> tuple[Any, Any]:
        return query.profiles, state.learned.neighbors.arrays

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.target == "rating":
            return super()._top_k(state, query, k, mask)
        profiles, store = self._sources(state, query)
        n_items = state.interactions.n_items
        best: tuple[np.ndarray, np.ndarray] = neighbors.recommend(
            profiles, store, n_items, k, mask, self.n_jobs
        )
        return best

    def _similar_items(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        return self._stored_rows(state, rows)

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        if self.target == "rating":
            return self._explain_rating(state, query, item)
        history, weights = query.profiles.items, query.profiles.weights
        indptr, (neighbours, values) = state.learned.neighbors.take(history)
        row_of = np.repeat(np.arange(len(history)), np.diff(indptr))
        similarity = np.bincount(
            row_of, weights=np.where(neighbours == item, values, 0.0), minlength=len(history)
        )
        parts = np.maximum(weights, 0) * similarity
        reasons = state.interactions.items.take(history[parts > 0]).tolist()
        return ["item"] * len(reasons), reasons, parts[parts > 0]
