"""What sells most, with differential privacy: the baseline that small shops should use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ecomrec._validation import Rule, choice, integer
from ecomrec.base import Query, SideTables, State
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.kernels import ranking
from ecomrec.privacy._model import PrivateRecommender
from ecomrec.privacy._releases import Releases
from ecomrec.privacy.accounting.composition import (
    GumbelTopKEvent,
    PrivacyEvent,
    SetUnionEvent,
    calibrate_noise,
)
from ecomrec.privacy.bounding import ContributionBounder, PrivateRows
from ecomrec.state import ArrayRule

_GRID = 1 << 20


@dataclass(frozen=True, eq=False)
class _Counts:
    """Released popularity of each item."""

    popularity: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return {"popularity": ArrayRule((shop.n_items,))}


class _SameForAll(PrivateRecommender):
    """Recommends one released order to everybody."""

    _advises: ClassVar[bool] = False
    _learned_types: ClassVar[tuple[type, ...]] = (_Counts,)

    def _ask(
        self, state: State, users: Any, history: Any
    ) -> tuple[Sequence[Any] | np.ndarray, Query, np.ndarray]:
        keys, query, known = super()._ask(state, users, history)
        return keys, query, np.ones_like(known)  # who has no history is answered as others are

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        items = np.full((len(query.users), k), -1, dtype=np.int32)
        scores = np.full((len(query.users), k), np.nan, dtype=np.float32)
        values = state.learned.popularity
        order = state.by_popularity[: np.count_nonzero(values > 0)]
        rows = np.arange(len(query.users))
        ranking.take_in_order(order, values, rows, k, mask, items, scores)
        return items, scores

    def _score(self, state: State, query: Query) -> np.ndarray:
        values = state.learned.popularity
        row = np.where(values > 0, values, np.nan).astype(np.float32)
        return np.tile(row, (len(query.users), 1))

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        score = max(float(state.learned.popularity[item]), 0.0)
        return ["popularity"], [None], np.array([score])


class DPPopularity(_SameForAll):
    r"""Recommends what most users touched, from counts with differential privacy.

    With the bounded row :math:`x_u` of each user, :math:`\lVert x_u \rVert_2 \le 1`, the score of
    item i is

    .. math:: \sum_u x_{ui} + \mathcal{N}(0, \sigma^2)

    where :math:`\sigma` is the smallest for which the release is
    :math:`(\varepsilon, \delta)`-differentially private, exactly (Balle and Wang [1]_). Sums are
    exact integers, and noise is drawn as integers from the entropy of the operating system.
    Everybody gets the same list. Scores compare between users.

    Parameters
    ----------
    epsilon : float
        What the whole fit spends; ``inf``: the same without noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    max_items_per_user : int
        Of a user with more items, so many count, drawn at random.
    scaling : {"unit", "shared"}
        "unit": every user has one vote in all, :math:`1/\sqrt{d_u}` for each of d items. "shared":
        every item of everybody counts :math:`1/\sqrt{L}` with L `max_items_per_user`: users with
        more items say more, and the noise is larger beside the counts.
    vocabulary : {"public", "dp"}
        The catalogue is public, given as `items` to `fit`; or the items that occur are private,
        and a fifth of the budget releases those that enough users have.
    noise : {"rounded_gaussian", "discrete_gaussian"}
        Rounded: exact accounting, 20 million draws a second. Discrete: the sampler of Canonne,
        Kamath and Steinke in exact arithmetic, booked as zero-concentrated privacy, slower.
    ledger : PrivacyLedger or None
        Charged for each fit before noise is drawn; an exceeded budget is refused.
    noise_source : SystemNoise, SeededNoise or None
        None: the operating system. A seeded source is for tests, and marks the report.
    tuning : {"refused", "accounted"}
        Whether searches and cross-validations may fit it, charging the ledger every time.

    Attributes
    ----------
    item_ids_ : ndarray
        The catalogue, by row.
    popularity_ : ndarray of shape (n_items,), float64
        Released counts, some below 0.
    privacy_report_ : PrivacyReport
    advice_ : None
    n_features_in_ : int
        Number of items, on models fitted on a matrix.

    See Also
    --------
    DPTopK : Only the order of the first few, for a page of a fixed length.
    DPEASE : Personal lists, for shops with enough users.

    Notes
    -----
    A fit costs one pass over the events and one draw for each item. No user is held:
    `recommend` takes histories only.

    References
    ----------
    .. [1] Balle, Wang: Improving the Gaussian mechanism for differential privacy: analytical
       calibration and optimal denoising. ICML 2018.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPPopularity
    >>> shop = make_shop(random_state=0)
    >>> model = DPPopularity(epsilon=1.0, delta=1e-6).fit(
    ...     shop.events[["user_id", "item_id"]], items=shop.items)
    >>> model.recommend(history=[[3, 5]], k=3).items.shape
    (1, 3)
    >>> round(model.privacy_report_.epsilon, 3)
    1.0
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **PrivateRecommender._param_rules,
        "scaling": choice("unit", "shared"),
    }

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        delta: float = 1e-6,
        max_items_per_user: int = 100,
        scaling: Literal["unit", "shared"] = "unit",
        vocabulary: Literal["public", "dp"] = "public",
        noise: Literal["rounded_gaussian", "discrete_gaussian"] = "rounded_gaussian",
        ledger: Any = None,
        noise_source: Any = None,
        tuning: Literal["refused", "accounted"] = "refused",
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.max_items_per_user = max_items_per_user
        self.scaling = scaling
        self.vocabulary = vocabulary
        self.noise = noise
        self.ledger = ledger
        self.noise_source = noise_source
        self.tuning = tuning

    def _plan(self, n_items: int) -> dict[str, PrivacyEvent | None]:
        return self._gaussians({"counts": 1.0})

    def _learn(
        self,
        rows: PrivateRows,
        n_items: int,
        releases: Releases,
        sides: SideTables,
        catalog: IdMap,
    ) -> _Counts:
        length = float(np.sqrt(self.max_items_per_user))
        counts = np.zeros(n_items, dtype=np.int64)
        values = rows.integer_rows(_GRID, length=length, scaling=self.scaling)
        np.add.at(counts, rows.items, values)
        released = releases.gaussian("counts", counts, _GRID)
        unit = length if self.scaling == "shared" else 1.0
        return _Counts((released * (unit / _GRID)).astype(np.float32))


class DPTopK(_SameForAll):
    r"""Recommends the items that most users touched: their order alone, with differential privacy.

    Each item's number of users gets Gumbel noise of scale b, and the `size` largest are released
    in order, without their counts; that equals so many rounds of the exponential mechanism. A user
    adds at most 1 to each count, however many items they have, so nobody's history is cut. The
    release has :math:`\rho = k / (8 b^2)` zero-concentrated privacy [1]_ [2]_. The score of the
    r-th item is ``1 / r``; other items come behind, in the order of the catalogue.

    Parameters
    ----------
    epsilon : float
        What the whole fit spends; ``inf``: the same without noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    size : int
        Items in the list, k; the noise grows with its root.
    max_items_per_user : int
        For ``vocabulary="dp"`` only: of a user with more items, so many count there.
    vocabulary : {"public", "dp"}
        As in `DPPopularity`.
    noise : {"rounded_gaussian", "discrete_gaussian"}
        Of the vocabulary; the order has Gumbel noise.
    ledger : PrivacyLedger or None
        As in `DPPopularity`.
    noise_source : SystemNoise, SeededNoise or None
        As in `DPPopularity`.
    tuning : {"refused", "accounted"}
        As in `DPPopularity`.

    Attributes
    ----------
    item_ids_, privacy_report_, advice_, n_features_in_
        As in `DPPopularity`.
    popularity_ : ndarray of shape (n_items,), float64
        1 / rank of the released items, 0 of others.

    References
    ----------
    .. [1] Durfee, Rogers: Practical differentially private top-k selection with pay-what-you-get
       composition. NeurIPS 2019.
    .. [2] Dong, Durfee, Rogers: Optimal differential privacy composition for exponential
       mechanisms. ICML 2020.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPTopK
    >>> shop = make_shop(random_state=0)
    >>> model = DPTopK(epsilon=1.0, size=20).fit(
    ...     shop.events[["user_id", "item_id"]], items=shop.items)
    >>> model.recommend(history=[[3]], k=2).scores.tolist()
    [[1.0, 0.5]]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **PrivateRecommender._param_rules,
        "size": integer(1, 2**31),
    }

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        delta: float = 1e-6,
        size: int = 100,
        max_items_per_user: int = 100,
        vocabulary: Literal["public", "dp"] = "public",
        noise: Literal["rounded_gaussian", "discrete_gaussian"] = "rounded_gaussian",
        ledger: Any = None,
        noise_source: Any = None,
        tuning: Literal["refused", "accounted"] = "refused",
    ) -> None:
        self.epsilon = epsilon
        self.delta = delta
        self.size = size
        self.max_items_per_user = max_items_per_user
        self.vocabulary = vocabulary
        self.noise = noise
        self.ledger = ledger
        self.noise_source = noise_source
        self.tuning = tuning

    def _bounder(self) -> ContributionBounder:
        return ContributionBounder(None)

    def _plan(self, n_items: int) -> dict[str, PrivacyEvent | None]:
        if np.isinf(self.epsilon):
            return dict.fromkeys(["order", "vocabulary"] if self.vocabulary == "dp" else ["order"])
        # The vocabulary of a marketplace may be smaller than the list: the list is booked whole.
        k = self.size if self.vocabulary == "dp" else min(self.size, n_items)

        def events(factor: float) -> dict[str, PrivacyEvent | None]:
            found: dict[str, PrivacyEvent | None] = {"order": GumbelTopKEvent(factor, k)}
            if self.vocabulary == "dp":
                # A fifth of the concentrated privacy: rho is k / (8 b^2), and 1 / (2 m^2).
                multiplier = factor * 4 / np.sqrt(k)
                found["vocabulary"] = SetUnionEvent(float(multiplier), self.delta / 4)
            return found

        scale = calibrate_noise(
            self.epsilon, self.delta, lambda f: [e for e in events(f).values() if e is not None]
        )
        return events(scale)

    def _learn(
        self,
        rows: PrivateRows,
        n_items: int,
        releases: Releases,
        sides: SideTables,
        catalog: IdMap,
    ) -> _Counts:
        counts = np.bincount(rows.items, minlength=n_items).astype(np.int64)
        order = releases.top_k("order", counts, min(self.size, n_items))
        popularity = np.zeros(n_items, dtype=np.float32)
        popularity[order] = 1 / np.arange(1, len(order) + 1)
        return _Counts(popularity)
