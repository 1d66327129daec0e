"""EASE from one noisy Gram matrix: personal lists with differential privacy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._validation import Rule, real
from ecomrec.cf._linear import usual_ridge
from ecomrec.privacy._gram import GramModel, ReleasedWeights, Spectrum, product

# Share of the noise's largest eigenvalue in the ridge: best over shops and movies alike.
_SHARE = 0.1


class DPEASE(GramModel):
    r"""Recommends by a linear regression on the visitor's items, with differential privacy.

    With the row :math:`x_u` of each user scaled to :math:`\lVert x_u \rVert_2 = 1`, so that
    everybody counts the same, one noisy Gram matrix is released,

    .. math:: C = \sum_u x_u x_u^\top + Z, \qquad Z_{ii} \sim \mathcal{N}(0, s^2), \quad
              Z_{ij} = Z_{ji} \sim \mathcal{N}(0, s^2 / 2),

    where s is the smallest for which that is :math:`(\varepsilon, \delta)`-differentially private,
    exactly: one user changes C by 1 in the Frobenius norm. All else is post-processing. With m
    items, noise alone has eigenvalues up to :math:`e = s \sqrt{2m}`; those of C = V w V' are faded
    to :math:`f(w) = w^5 / (w^4 + e^4)` (0 where w is negative), and as in `EASE`

    .. math:: P = \big(V f(w) V^\top + \lambda I\big)^{-1}, \qquad
              B_{ij} = -\frac{P_{ij}}{P_{jj}}, \quad B_{jj} = 0.

    The score of item j for a visitor with weights x is :math:`(x B)_j`. Without noise this is
    `EASE` with ``user_damping=1``. Scores of one user are comparable, those of two users roughly.

    Parameters
    ----------
    epsilon : float
        What the whole fit spends; ``inf``: the same without noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    regularization : float or None
        :math:`\lambda`, in units in which a user's row has the norm 1. None:
        :math:`50\, \operatorname{tr} C / \sqrt{N m} + e / 10`, where N, the sum of C, is about the
        number of users' items: from what was released alone, so that it needs no tuning.
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
    item_weights_ : ndarray of shape (n_items, n_items), float32
        B.
    regularization_ : float
        The :math:`\lambda` used.
    popularity_ : ndarray of shape (n_items,), float64
        About how many users have each item: sums of the rows of V f(w) V'.
    privacy_report_ : PrivacyReport
    advice_ : str or None
        Says so where popularity is expected to do better.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.

    See Also
    --------
    DPItemKNN : A few similar items for each, from the same release; a smaller file.
    DPPopularity : One list for everybody, for small shops.
    DPALS : Memory that grows with the items and not with their square.

    Notes
    -----
    A fit costs :math:`\sum_u d_u^2` multiply-adds for users of :math:`d_u` items, :math:`m^2`
    draws of noise and about :math:`9 m^3` operations for eigenvalues, in :math:`12 m^2` bytes
    (10,000 items: 1.2 GB; refused, with the figure, where that does not fit). Scaling every user
    to the same norm uses the whole budget for everybody; rows scaled alike for all would waste it
    on those with the most items. A noisy covariance between items is the idea of [1]_, the
    regression that of [2]_; how eigenvalues move under noise is in [3]_.

    References
    ----------
    .. [1] McSherry, Mironov: Differentially private recommender systems: building privacy into
       the Netflix Prize contenders. KDD 2009.
    .. [2] Steck: Embarrassingly shallow autoencoders for sparse data. WWW 2019.
    .. [3] Benaych-Georges, Nadakuditi: The eigenvalues and eigenvectors of finite, low rank
       perturbations of large random matrices. Advances in Mathematics 2011.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPEASE
    >>> shop = make_shop(n_users=3000, n_items=100, random_state=0)
    >>> model = DPEASE(epsilon=4.0, delta=1e-6).fit(
    ...     shop.events[["user_id", "item_id"]], items=shop.items)
    >>> model.recommend(history=[[3, 5]], k=3).items.shape
    (1, 3)
    >>> round(model.privacy_report_.epsilon, 3)
    4.0
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **GramModel._param_rules,
        "regularization": real(1e-6, none=True),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (ReleasedWeights,)

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        delta: float = 1e-6,
        regularization: float | None = None,
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
        self.regularization = regularization
        self.max_items_per_user = max_items_per_user
        self.weighting = weighting
        self.n_users = n_users
        self.vocabulary = vocabulary
        self.noise = noise
        self.ledger = ledger
        self.noise_source = noise_source
        self.tuning = tuning
        self.n_jobs = n_jobs

    def _made(self, found: Spectrum) -> ReleasedWeights:
        ridge = self.regularization
        if ridge is None:
            ridge = _ridge(found)
        popularity = found.popularity()
        inverse = product(found, 1 / (found.values + np.float32(ridge)), self.n_jobs)
        inverse /= -np.diagonal(inverse).copy()
        np.fill_diagonal(inverse, 0.0)
        return ReleasedWeights(inverse, True, popularity, float(ridge))

    @property
    def regularization_(self) -> float:
        """The regularization used."""
        return float(self._attribute("regularization_").learned.regularization)


def _ridge(found: Spectrum) -> float:
    """The regularization that noise and the released sums ask for."""
    n_items = len(found.values)
    usual = usual_ridge(max(found.trace, 0.0), max(found.n_entries, float(n_items)), n_items)
    return max(usual + _SHARE * found.edge, 1e-3)
