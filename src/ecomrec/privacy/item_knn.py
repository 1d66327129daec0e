"""Item neighbours from one noisy Gram matrix, with differential privacy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._validation import Rule, integer, real
from ecomrec.base import Query, State
from ecomrec.data.rows import RowStore
from ecomrec.kernels import assemble, ranking
from ecomrec.privacy._gram import GramModel, ReleasedNeighbors, Spectrum, product

# Rows of similarities are ranked in blocks of about this size.
_BLOCK_BYTES = 64_000_000
# Sums up to this are far from the end of float32.
_LARGEST = 1e38


class DPItemKNN(GramModel):
    r"""Recommends what shares users with the visitor's items, with differential privacy.

    From the same release as `DPEASE`, a noisy Gram matrix of items whose eigenvalues of mere
    noise are faded out, F, the score of item j is :math:`\sum_{i \in \text{history}} w_i s_{ij}`
    with

    .. math:: s_{ij} = \frac{F_{ij}}{\sqrt{F_{ii} F_{jj}} + \text{shrink}}

    where positive; each item i keeps its `n_neighbors` best j. Scores of one user are comparable,
    scores of two users are not.

    Parameters
    ----------
    epsilon : float
        What the whole fit spends; ``inf``: the same without noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    n_neighbors : int
        Neighbours kept for each item.
    shrink : float or None
        Added to the denominator: pairs that few users share count less. None: 1 and the standard
        deviation of the noise.
    max_items_per_user : int
        Of a user with more items, so many count, drawn at random. The noise does not depend on
        it.
    weighting : {"binary", "weight"}
        Every item of a user counts the same, or by its weight.
    n_users : int or None
        The number of users, where it is public; it is used for `advice_` alone. None: a fiftieth
        of the budget releases it.
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
        Threads, as in joblib, also of LAPACK. Scores for other numbers of threads agree to a
        relative 1e-4.

    Attributes
    ----------
    item_ids_ : ndarray
        The catalogue, by row.
    item_weights_ : scipy.sparse.csr_array of shape (n_items, n_items)
        Row i holds the neighbours of item i.
    popularity_ : ndarray of shape (n_items,), float64
        About how many users have each item: sums of the rows of F.
    privacy_report_ : PrivacyReport
    advice_ : str or None
        Says so where popularity is expected to do better.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.

    See Also
    --------
    DPEASE : A regression on the same release: better lists, all pairs of items in the file.

    Notes
    -----
    A fit costs what one of `DPEASE` costs, in as much memory; the model keeps `n_neighbors` * 8
    bytes for each item.

    References
    ----------
    .. [1] McSherry, Mironov: Differentially private recommender systems: building privacy into
       the Netflix Prize contenders. KDD 2009.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPItemKNN
    >>> shop = make_shop(n_users=3000, n_items=100, random_state=0)
    >>> model = DPItemKNN(epsilon=4.0, n_neighbors=20).fit(
    ...     shop.events[["user_id", "item_id"]], items=shop.items)
    >>> model.similar_items([3], k=5).items.shape
    (1, 5)
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **GramModel._param_rules,
        "n_neighbors": integer(1, 2**31),
        "shrink": real(0, none=True),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (ReleasedNeighbors,)

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        delta: float = 1e-6,
        n_neighbors: int = 100,
        shrink: float | None = None,
        max_items_per_user: int = 1000,
        weighting: Literal["binary", "weight"] = "binary",
        n_users: int | None = None,
        vocabulary: Literal["public", "dp"] = "public",
        noise: Literal["rounded_gaussian", "discrete_gaussian"] = "rounded_gaussian",
        ledger: Any = None,
        noise_source: Any = None,
        tuning: Literal["refused", "accounted"] = "refused",
        n_jobs: int | None = -1,
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.n_neighbors = n_neighbors
        self.shrink = shrink
        self.max_items_per_user = max_items_per_user
        self.weighting = weighting
        self.n_users = n_users
        self.vocabulary = vocabulary
        self.noise = noise
        self.ledger = ledger
        self.noise_source = noise_source
        self.tuning = tuning
        self.n_jobs = n_jobs

    def _made(self, found: Spectrum) -> ReleasedNeighbors:
        popularity = found.popularity()
        shrink = 1.0 + found.noise if self.shrink is None else float(self.shrink)
        matrix = product(found, found.values, self.n_jobs)
        return ReleasedNeighbors(self._neighbors(matrix, shrink), True, popularity)

    def _score(self, state: State, query: Query) -> np.ndarray:
        return super()._score(state, _bounded(query))

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        return super()._top_k(state, _bounded(query), k, mask)

    def _neighbors(self, matrix: np.ndarray, shrink: float) -> RowStore:
        """The most similar items of each item, by rising row."""
        n_items = len(matrix)
        norms = np.sqrt(np.maximum(np.diagonal(matrix), 1e-12))
        kept = min(self.n_neighbors, n_items)
        items = np.full((n_items, kept), -1, dtype=np.int32)
        values = np.zeros((n_items, kept), dtype=np.float32)
        size = max(1, _BLOCK_BYTES // (4 * n_items))
        for start in range(0, n_items, size):
            rows = slice(start, min(start + size, n_items))
            block = matrix[rows] / (norms[rows, None] * norms + np.float32(shrink))
            block[~(block > 0)] = np.nan
            block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.nan
            items[rows], values[rows] = ranking.top_k(
                block, kept, ranking.no_mask(len(block)), self.n_jobs
            )
        order = np.argsort(items, axis=1, kind="stable")
        items = np.take_along_axis(items, order, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        stored = items >= 0
        indptr = assemble.offsets(stored.sum(axis=1))
        return RowStore.from_csr(indptr, (items[stored], values[stored]))


def _bounded(query: Query) -> Query:
    """Weights so bounded that their sum, and with it every score, is a finite float32."""
    profiles = query.profiles
    most = _LARGEST / np.maximum(np.diff(profiles.indptr), 1)
    weights = np.minimum(profiles.weights, np.repeat(most, np.diff(profiles.indptr)))
    return query._replace(profiles=profiles._replace(weights=weights.astype(np.float32)))
