"""User neighbours: what people like you bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ecomrec._validation import Rule, choice, integer, jobs, real
from ecomrec.base import Query, State
from ecomrec.cf import _neighborhood as hood
from ecomrec.cf._model import CENTERINGS, RATING_SIMILARITIES, NeighborModel, as_profiles, taken
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import neighbors, ranking


class UserKNN(NeighborModel):
    r"""Recommends what the users most like the visitor touched.

    With weights :math:`w_{ui}`, :math:`d_i` users of item i and :math:`n_u = \sum_i w_{ui}^2`, the
    score of item j for user u is :math:`\sum_{v \in N(u)} s_{uv} \, w_{vj}` over the `n_neighbors`
    users with the highest

    .. math:: s_{uv} = \frac{\sum_i d_i^{-\gamma} \, w_{ui} w_{vi}}{\sqrt{n_u n_v} + \text{shrink}}

    where :math:`\gamma` is `item_damping`. Scores of one user are comparable, scores of two users
    are not. With ``target="rating"`` the score is a rating, predicted as
    :math:`\bar r_u + \sum_v s_{uv} (r_{vj} - \bar r_v) / \sum_v |s_{uv}|`.

    Parameters
    ----------
    n_neighbors : int or None
        Neighbours kept for each user (None: 100). For ratings: how many of those who rated the
        item a prediction stands on (None: 40).
    target : {"ranking", "rating"}
        Rank items by evidence, or predict ratings and rank by them.
    similarity : str or None
        For ranking: "cosine" (None; the formula above) or "jaccard". For ratings:
        "pearson_baseline" (None; of what the baseline leaves), "pearson", "adjusted_cosine",
        "cosine" or "msd".
    weighting : {"none", "tfidf", "bm25"}
        Weigh items by how rare they are, and saturate repeated events.
    shrink : float or None
        Added to the denominator: users who share few items count less (None: 5). For ratings:
        likeness of n common ratings is multiplied by ``(n - 1) / (n - 1 + shrink)`` (None: 100).
    item_damping : float
        How little popular items tell about likeness; plain cosine is 0.
    centering : {None, "none", "mean", "zscore", "baseline"}
        Ratings only: what is taken off before neighbours are averaged (None: "baseline").
    n_candidates : int
        Ratings only: neighbours stored for each user.
    half_life : str, timedelta or None
        "30D": events count half as much for every 30 days before the newest one.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    similarity_ : scipy.sparse.csr_array of shape (n_users, n_users)
        Row u holds the neighbours of user u.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    See Also
    --------
    ItemKNN : Items that are alike; faster to answer and to update in most shops.

    Notes
    -----
    A fit costs :math:`\sum_i d_i^2` multiply-adds. An anonymous history is compared with all users
    when it is asked for; a stored user's own history, passed as `history`, finds that very user
    among its neighbours, so its scores differ slightly from the stored answer. `partial_fit` costs
    the batch; rows that it touched are recomputed when they are first needed or by `refresh`, and
    then equal a fit on everything. TF-IDF, BM25 and rating baselines stay as they were until
    `refresh` (rating models are learned anew on first use). See [1]_ and [2]_.

    References
    ----------
    .. [1] Resnick, Iacovou, Suchak, Bergstrom, Riedl: GroupLens: an open architecture for
       collaborative filtering of netnews. CSCW 1994.
    .. [2] Herlocker, Konstan, Borchers, Riedl: An algorithmic framework for performing
       collaborative filtering. SIGIR 1999.

    Examples
    --------
    >>> from ecomrec.cf import UserKNN
    >>> from ecomrec.datasets import make_checkerboard
    >>> train, held_out = make_checkerboard(20)
    >>> items, scores = UserKNN().fit(train).recommend([4], k=1)
    >>> int(items[0, 0])
    4
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "n_neighbors": integer(1, none=True),
        "target": choice("ranking", "rating"),
        "similarity": choice(
            *dict.fromkeys(("cosine", "jaccard", *RATING_SIMILARITIES)), none=True
        ),
        "weighting": choice("none", "tfidf", "bm25"),
        "shrink": real(0, none=True),
        "item_damping": real(0),
        "centering": choice(*CENTERINGS, none=True),
        "n_candidates": integer(1),
        "half_life": duration(),
        "n_jobs": jobs(),
    }
    tuning_space: ClassVar[Mapping[str, Any]] = {
        "n_neighbors": [25, 50, 100, 200, 400],
        "shrink": [0, 5, 20],
        "item_damping": [0.0, 0.5, 1.0],
    }
    _entities_are_items = False
    _by_target: ClassVar[dict[str, tuple[Any, Any]]] = {
        "n_neighbors": (100, 40),
        "similarity": ("cosine", "pearson_baseline"),
        "shrink": (5.0, 100.0),
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
        item_damping: float = 0.5,
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
        self.item_damping = item_damping
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
            self.item_damping,
            own_damping=0.5,
            popularity_damping=0.5,
            power=1.0,
            normalize=False,
            mutual=False,
        )

    def _neighbors_of(self, state: State, query: Query) -> neighbors.Rows:
        """Stored neighbours of stored users; those of other histories are sought now."""
        if query.as_stored:
            return taken(state.learned.neighbors, query.users)
        indptr, items, weights = query.profiles
        sides = self._sides(state.interactions)
        # Profiles hold today's weights, the store those of its reference time.
        stored_scale = np.float32(1.0 / sides.scale)
        mine = (indptr[:-1], np.diff(indptr).astype(np.int32), items, weights * stored_scale)
        return hood.compare(state.learned, self._recipe(), sides, mine, query.users, self.n_jobs)

    def _sources(self, state: State, query: Query) -> tuple[Any, Any]:
        shop = state.interactions
        return as_profiles(self._neighbors_of(state, query), shop.scale), shop.by_user.arrays

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

    def _similar_users(self, state: State, rows: np.ndarray, k: int) -> neighbors.Rows:
        return self._stored_rows(state, rows)

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        if self.target == "rating":
            return self._explain_rating(state, query, item)
        shop = state.interactions
        items = query.profiles.items
        parts = np.zeros(len(items))
        found = self._neighbors_of(state, query)
        for neighbour, likeness in zip(found.entities.tolist(), found.values, strict=True):
            theirs, their_weights = shop.by_user.row(neighbour)[:2]
            held = float(their_weights[theirs == item].sum()) * shop.scale
            if held > 0:
                # The neighbour's share of the score, split over the items they have in common.
                parts += float(likeness) * held * self._shares(state, query, neighbour)
        reasons = shop.items.take(items[parts > 0]).tolist()
        return ["item"] * len(reasons), reasons, parts[parts > 0]

    def _shares(self, state: State, query: Query, neighbour: int) -> np.ndarray:
        """Share of each item of a visitor in the likeness to a neighbour; the sum is 1."""
        shop = state.interactions
        stored = shop.by_user.row(neighbour)[:2]
        _, items, weights = query.profiles
        return hood.shared_parts(
            state.learned, self._recipe(), (items, weights), (stored[0], stored[1]), shop.scale
        )
