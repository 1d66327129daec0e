"""Metrics of private users: released with noise, or not released at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator

from ecomrec._validation import Rule, check_params, integer, succeeds
from ecomrec.data.ids import IdMap, encode_ids
from ecomrec.data.tables import ITEM
from ecomrec.privacy._budget import gaussians, report_of
from ecomrec.privacy._model import PrivateRecommender
from ecomrec.privacy._releases import Releases
from ecomrec.privacy._test_users import metric_values, parse_metrics, read_test_users
from ecomrec.privacy.accounting.composition import GaussianEvent, PrivacyEvent
from ecomrec.privacy.accounting.report import PrivacyReport
from ecomrec.privacy.noise.samplers import SystemNoise

if TYPE_CHECKING:
    import pandas as pd

# Values from 0 to 1 lie on this grid.
_GRID = 1 << 20
# Share of the precision that the number of users gets, where it is released too.
_COUNT_SHARE = 0.2
_NOT_COVERED = (
    "what was trained on these users: the model has a report of its own",
    "choices made by looking at these numbers, unless all of them are in one ledger",
)
_SHARE = Rule(
    "a number above 0 and below 1",
    lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v < 1,
    (0, 1, -0.1, "1", math.nan),
)


@dataclass(frozen=True)
class DPMetricsResult:
    """Released metrics with the standard errors of their noise.

    Attributes
    ----------
    values : dict of str to float
        By metric. Noise may lead out of [0, 1] where users are few.
    standard_errors : dict of str to float
        Of the noise alone: how well the mean over these very users is known. How well it holds
        for others is a matter of their number.
    n_users : float
        Test users: as given, or as released.
    report : PrivacyReport
        What the release has spent.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPMetrics, DPPopularity, SeededNoise
    >>> shop = make_shop(600, 50, 9000, 4, random_state=0)
    >>> early = shop.events["user_id"] < 300
    >>> model = DPPopularity(noise_source=SeededNoise(0)).fit(shop.events[early], items=shop.items)
    >>> scale = DPMetrics("recall@10", epsilon=4.0, noise_source=SeededNoise(0))
    >>> result = scale.evaluate(model, shop.events[~early])
    >>> result.to_frame().columns.tolist()
    ['metric', 'value', 'standard_error']
    """

    values: Mapping[str, float]
    standard_errors: Mapping[str, float]
    n_users: float
    report: PrivacyReport

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each metric.

        Returns
        -------
        pandas.DataFrame
            Columns `metric`, `value` and `standard_error`.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "metric": list(self.values),
                "value": list(self.values.values()),
                "standard_error": list(self.standard_errors.values()),
            }
        )

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


class DPMetrics(BaseEstimator):
    r"""Releases mean metrics of private test users, with differential privacy.

    A metric on raw data tells of the users in it: with everybody else's history known, one
    number is enough to say whether somebody is among them. Here each user gives the vector of
    their metrics, from 0 to 1, and

    .. math:: \frac{\sum_u m_u + \mathcal{N}(0, \sigma^2 I)}{n}

    is released, where :math:`\lVert m_u \rVert_2 \le \sqrt q` for q metrics, and n is public or
    released with noise of its own. Sums are exact integers, noise is drawn as integers. The model
    may be private or not: what it tells of the users that it was trained on is another matter.

    Parameters
    ----------
    metrics : str or sequence of str
        Names with the length of the list, such as "ndcg@20", with names as in
        `ecomrec.evaluation.ranking_metrics`. The noise grows with the root of their number.
    epsilon : float
        What one call of `evaluate` spends; ``inf``: no noise, and not private.
    delta : float
        Probability that the guarantee fails; well below 1 / number of users.
    n_users : int or None
        How many test users there are, where that is public. None: released too.
    hidden : float
        Share of each user's items that is hidden where no history is given.
    ledger : PrivacyLedger or None
        Charged for every call before noise is drawn.
    noise_source : SystemNoise, SeededNoise or None
        None: the operating system. A seeded source is for tests, and marks the report.

    See Also
    --------
    evaluate_histories : The same without noise, for data that is public or stays inside.

    Notes
    -----
    Each user is asked for alone, so that no list depends on who else is there; that costs a call
    of `recommend` for each. The released vector is :math:`(\sum_u m_u, n)` with one privacy
    budget; a mean's standard error is :math:`\sqrt{\sigma^2 + \bar m^2 \sigma_n^2} / n`.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPMetrics, DPPopularity, SeededNoise
    >>> shop = make_shop(600, 50, 9000, 4, random_state=0)
    >>> early = shop.events["user_id"] < 300
    >>> model = DPPopularity(noise_source=SeededNoise(0)).fit(shop.events[early], items=shop.items)
    >>> scale = DPMetrics(["recall@10"], epsilon=4.0, noise_source=SeededNoise(0))
    >>> result = scale.evaluate(model, shop.events[~early])
    >>> 0 < result.standard_errors["recall@10"] < 0.01
    True
    >>> round(result.report.epsilon, 3)
    4.0
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        **{
            name: PrivateRecommender._param_rules[name]
            for name in ("epsilon", "delta", "ledger", "noise_source")
        },
        "metrics": Rule(
            "names such as 'ndcg@20'",
            lambda v: succeeds(parse_metrics, v),
            ("ndcg", "?@5", [], ["ndcg@0"], ["ndcg@5", "ndcg@5"]),
        ),
        "n_users": integer(1, 2**31, none=True),
        "hidden": _SHARE,
    }

    def __init__(
        self,
        metrics: str | Sequence[str] = ("ndcg@20", "recall@20"),
        *,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        n_users: int | None = None,
        hidden: float = 0.2,
        ledger: Any = None,
        noise_source: Any = None,
    ) -> None:
        self.metrics = metrics
        self.epsilon = epsilon
        self.delta = delta
        self.n_users = n_users
        self.hidden = hidden
        self.ledger = ledger
        self.noise_source = noise_source

    def evaluate(self, model: Any, test: Any, *, history: Any = None) -> DPMetricsResult:
        """Release how well a model's lists hit what test users took.

        Parameters
        ----------
        model : fitted recommender
            Private or not. It is asked with histories, never for users that it has stored.
        test : pandas, Polars or Arrow table
            Events of the test users: `user_id`, `item_id`, optionally `weight` and `timestamp`.
            Rows that are incomplete, or of items that the model does not know, count for nothing.
        history : table, optional
            What these users did before; what is in it is not counted as found again. None: a
            share of each user's items is hidden, the newest if there are times, and the model is
            told the rest; users with one item do not count. It is told items, not weights.

        Returns
        -------
        DPMetricsResult

        Raises
        ------
        BudgetExceededError
            The ledger does not hold enough; nothing is computed then.
        DataError
            A column is missing, or ids are of another kind than the model's; nothing is spent
            then.
        """
        check_params("DPMetrics", self._param_rules, self.get_params(False))
        metrics = parse_metrics(self.metrics)
        source = (SystemNoise() if self.noise_source is None else self.noise_source).fresh()
        plan = self._plan()
        catalog = _catalog(model)
        people = read_test_users(test, history, catalog, self.hidden)
        releases = Releases(
            plan,
            ledger=self.ledger,
            source=source,
            noise="rounded_gaussian",
            label="DPMetrics",
        )
        values = metric_values(model, catalog, people, metrics)
        exact = np.trunc(values * _GRID).astype(np.int64).sum(axis=0)
        # The smallest integer that no user's vector is longer than.
        bound = math.isqrt(len(metrics) * _GRID**2 - 1) + 1
        sums = releases.gaussian("metrics", exact, bound) / _GRID
        n_users, count_noise = float(self.n_users or 0), 0.0
        if self.n_users is None:
            counted = np.array([len(people) * _GRID], dtype=np.int64)
            n_users = max(1.0, float(releases.gaussian("n_users", counted, _GRID)[0]) / _GRID)
            count_noise = _multiplier(plan["n_users"])
        releases.finish()
        means = sums / n_users
        noise = _multiplier(plan["metrics"]) * bound / _GRID
        errors = np.hypot(noise, means * count_noise) / n_users
        labels = [metric.label for metric in metrics]
        return DPMetricsResult(
            dict(zip(labels, means.tolist(), strict=True)),
            dict(zip(labels, errors.tolist(), strict=True)),
            n_users,
            report_of(
                releases.events,
                self.delta,
                noise="rounded_gaussian",
                secure=bool(source.secure),
                counted=self.ledger is not None,
                not_covered=_NOT_COVERED,
            ),
        )

    def _plan(self) -> dict[str, PrivacyEvent | None]:
        """What is released, from public parameters alone."""
        shares = {"metrics": 1.0}
        if self.n_users is None:
            shares = {"metrics": 1 - _COUNT_SHARE, "n_users": _COUNT_SHARE}
        return gaussians(
            {name: 1 / math.sqrt(share) for name, share in shares.items()}, {},
            epsilon=self.epsilon, delta=self.delta, noise="rounded_gaussian",
            counts_users=False, vocabulary=False,
        )  # fmt: skip


def evaluate_histories(
    model: Any,
    test: Any,
    *,
    metrics: str | Sequence[str] = ("ndcg@20", "recall@20"),
    history: Any = None,
    hidden: float = 0.2,
    release: Literal["public", "inside"] | None = None,
) -> pd.DataFrame:
    """Metrics of each test user, who is asked for by history; nothing protects them.

    For models that know no users, such as the private ones, and for any other.

    Parameters
    ----------
    model : fitted recommender
    test : table
        As in `DPMetrics.evaluate`.
    metrics : str or sequence of str
        As in `DPMetrics`.
    history : table, optional
        As in `DPMetrics.evaluate`.
    hidden : float
        As in `DPMetrics`.
    release : {"public", "inside"}
        What becomes of the numbers must be said: "public", the test data is public or made up;
        "inside", nobody sees them who may not see the histories themselves. In all other cases
        use `DPMetrics`.

    Returns
    -------
    pandas.DataFrame
        A row for each user with a hidden item, by `user_id`, and a column for each metric.

    Raises
    ------
    ValueError
        `release` is not said.

    Examples
    --------
    >>> from ecomrec.datasets import make_shop
    >>> from ecomrec.privacy import DPPopularity, SeededNoise, evaluate_histories
    >>> shop = make_shop(600, 50, 9000, 4, random_state=0)
    >>> early = shop.events["user_id"] < 300
    >>> model = DPPopularity(noise_source=SeededNoise(0)).fit(shop.events[early], items=shop.items)
    >>> table = evaluate_histories(model, shop.events[~early], release="public")
    >>> bool(0.4 < table["recall@20"].mean() < 0.8)
    True
    """
    import pandas as pd

    if release not in ("public", "inside"):
        raise ValueError(
            "metrics of private users tell of them. Say release='public' if the test data is "
            "public or made up, release='inside' if nobody sees the numbers who may not see the "
            f"histories; or use DPMetrics. Got release={release!r}."
        )
    parsed = parse_metrics(metrics)
    if not _SHARE.accepts(hidden):
        raise ValueError(f"hidden must be {_SHARE.words}; got {hidden!r}.")
    catalog = _catalog(model)
    people = read_test_users(test, history, catalog, hidden)
    return pd.DataFrame(
        metric_values(model, catalog, people, parsed),
        columns=[metric.label for metric in parsed],
        index=pd.Index([person.key for person in people], name="user_id", tupleize_cols=False),
    )


def _catalog(model: Any) -> IdMap:
    """The items that a model knows."""
    _, ids, kind = encode_ids(model.item_ids_, ITEM)
    return IdMap(ids, kind)


def _multiplier(event: PrivacyEvent | None) -> float:
    return event.noise_multiplier if isinstance(event, GaussianEvent) else 0.0
