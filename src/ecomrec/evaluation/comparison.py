"""Several models on one split, with intervals: which one is better, and is it sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from ecomrec._rng import RandomState, make_rng
from ecomrec.data.ids import encode_ids, merge_ids
from ecomrec.data.tables import ITEM
from ecomrec.evaluation._intervals import interval_table, n_resamplings
from ecomrec.evaluation._relevant import RelevantItems, metric_names, per_user, relevant_items
from ecomrec.evaluation._tables import Table, read_column, read_table
from ecomrec.evaluation.beyond import catalog_coverage
from ecomrec.evaluation.scoring import (
    known_users,
    nothing_left,
    ranking_scorer,
    recommended,
    seen_pairs,
    unwrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEW_ITEMS, REPEATS = "new items", "repeats allowed"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    metrics : list of str
        Names of the metrics.
    k : int
        Length of the lists.
    baseline : str
        The model that the others are measured against.
    per_user : pandas.DataFrame
        One row per variant, model and user: the columns `variant`, `model`, `user_id` and one per
        metric, float64.
    models : dict of str to estimator
        The fitted models.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.evaluation import compare
    >>> train = pd.DataFrame({"user_id": [1, 2, 2], "item_id": ["tea", "tea", "mug"]})
    >>> test = pd.DataFrame({"user_id": [1], "item_id": ["mug"]})
    >>> result = compare({"popular": Popularity()}, train, test, k=1, metrics=["recall", "mrr"])
    >>> result.per_user
         variant    model  user_id  recall  mrr
    0  new items  popular        1     1.0  1.0
    """

    metrics: list[str]
    k: int
    baseline: str
    per_user: pd.DataFrame
    models: dict[str, Any]
    _table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """One row per model (and variant), indexed by model.

        Returns
        -------
        pandas.DataFrame
            `variant` ("new items" or "repeats allowed"); for each metric its mean under its name,
            the ends of the 95 % interval (`_low`, `_high`), the difference to the baseline on the
            same users (`_diff`, `_diff_low`, `_diff_high`) and `_verdict`: "better", "worse", "no
            clear difference" or "baseline"; `coverage`, the share of the catalogue shown;
            `fit_seconds`, `recommend_seconds` (for all users together) and `n_users`.
        """
        return self._table.copy()

    def plot(self, metric: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the means of a metric with their intervals; see `plot_comparison`."""
        from ecomrec.evaluation.plots import plot_comparison

        return plot_comparison(self, metric, ax=ax)

    def __repr__(self) -> str:
        return self._summary().to_string()

    def _repr_html_(self) -> str:
        return str(self._summary().to_html())

    def _summary(self) -> pd.DataFrame:
        """Make the table for the eye: intervals and verdicts as text."""
        table = self._table
        shown = pd.DataFrame(index=table.index)
        if table["variant"].nunique() > 1:
            shown["variant"] = table["variant"]
        for name in self.metrics:
            shown[f"{name}@{self.k}"] = [
                f"{mean:.4f} [{low:.4f}, {high:.4f}]"
                for mean, low, high in zip(
                    table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True
                )
            ]
            shown[f"{name}: vs {self.baseline}"] = [
                verdict if verdict == "baseline" else f"{verdict} ({difference:+.4f})"
                for verdict, difference in zip(
                    table[f"{name}_verdict"], table[f"{name}_diff"], strict=True
                )
            ]
        shown["coverage"] = [f"{share:.1%}" for share in table["coverage"]]
        shown["fit s"] = [f"{seconds:.2f}" for seconds in table["fit_seconds"]]
        shown["recommend s"] = [f"{seconds:.2f}" for seconds in table["recommend_seconds"]]
        return shown


def compare(
    models: Mapping[str, Any],
    train: Table,
    test: Table,
    *,
    k: int = 10,
    metrics: str | Sequence[str] = ("ndcg", "recall", "hit_rate"),
    baseline: str | None = None,
    n_bootstrap: int = 1000,
    random_state: RandomState = 0,
    items: Table | None = None,
    exclude_seen: bool | Sequence[bool] = True,
    unknown: str = "skip",
) -> Comparison:
    """Fit models on one table, test them on another, and say which differences are sure.

    Parameters
    ----------
    models : dict of str to estimator
        Recommenders or pipelines that end in one. They are cloned: yours stay as they are.
    train, test : pandas, Polars or Arrow tables
        Events, such as the two parts of `train_test_split`.
    k : int
        Length of the lists.
    metrics : str or sequence of str
        Names as in `ranking_metrics`.
    baseline : str or None
        Name of the model that the others are compared with; None is the first.
    n_bootstrap : int
        Number of resamplings behind each interval.
    random_state : None, int, Generator or RandomState
        An integer gives the same intervals again.
    items : table or None
        Side table handed to the `fit` of every model.
    exclude_seen : bool or sequence of bool
        True recommends new items only and leaves test items that a user already has out; False
        counts repeats. ``(True, False)`` fits once and reports both.
    unknown : {"skip", "count"}
        Test users that a model has never seen: left out (for all models, if one of them does not
        know the user), or counted with whatever the model answers.

    Returns
    -------
    Comparison
        `to_frame()`, `per_user`, `plot()`, and a table for the eye.

    Raises
    ------
    ValueError
        If there are no models, or a name or number is not valid.
    DataError
        If no user has a test item left.
    TypeError
        If a model cannot recommend.

    Notes
    -----
    All models answer to the same users and the same test items: a pair that any model leaves out
    as seen counts for none. Test items are the pairs of `test` with a positive net weight (its
    column `weight`, if there is one); the transforms of pipelines do not change them. The
    intervals are percentiles of means over resampled users, the same resampled users for every
    model, so that a difference is judged user by user. Its verdict is "better" or "worse" where
    the 95 % interval of the difference leaves out 0 and at least six users differ. With many
    models or metrics some will look better by chance. Times include compiling on first use.
    Resampling costs n_bootstrap * n_users random numbers: 0.1 s for 10,000 users.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.evaluation import compare
    >>> train = pd.DataFrame(
    ...     {"user_id": [1, 1, 2, 2, 3], "item_id": ["tea", "mug", "tea", "pot", "tea"]})
    >>> test = pd.DataFrame({"user_id": [1, 2, 3], "item_id": ["pot", "mug", "pot"]})
    >>> result = compare({"popular": Popularity()}, train, test, k=1, metrics="recall")
    >>> result.to_frame()[["recall", "recall_low", "recall_high", "n_users"]]
               recall  recall_low  recall_high  n_users
    model
    popular  0.666667         0.0          1.0        3
    """
    names = metric_names(metrics)
    ranking_scorer(names, k=k, unknown=unknown)
    baseline = _check_baseline(models, baseline)
    n_bootstrap = n_resamplings(n_bootstrap)
    variants = [exclude_seen] if isinstance(exclude_seen, (bool, np.bool_)) else [*exclude_seen]
    if not variants:
        raise ValueError(
            f"exclude_seen must be True, False or several of them; got {exclude_seen!r}."
        )
    for model in models.values():
        unwrap(model)
    relevant = relevant_items(test)
    fitted, recommenders, fit_seconds = _fit_all(models, train, items)
    catalog = _catalog(train, items)
    seeds = make_rng(random_state)

    tables, users_tables = [], []
    for without_seen in variants:
        variant = NEW_ITEMS if without_seen else REPEATS
        common = _common_pairs(recommenders, relevant, bool(without_seen), unknown)
        users = common.users_left()
        values, shown = {}, {}
        for name, model in recommenders.items():
            start = perf_counter()
            lists = recommended(model, users, k, bool(without_seen))
            seconds = perf_counter() - start
            values[name] = np.column_stack([*per_user(lists, users, common, names).values()])
            shown[name] = (catalog_coverage(lists, catalog, k), fit_seconds[name], seconds)
        tables.append(interval_table(values, shown, variant, names, baseline, n_bootstrap, seeds))
        users_tables += [
            _users_table(values[name], users, variant, name, names) for name in values
        ]
    return Comparison(
        metrics=names,
        k=int(k),
        baseline=baseline,
        per_user=pd.concat(users_tables, ignore_index=True),
        models=fitted,
        _table=pd.concat(tables),
    )


def _check_baseline(models: Mapping[str, Any], baseline: str | None) -> str:
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            "models must be a dict of at least one model by name, such as "
            f"{{'popular': Popularity()}}; got {models!r}."
        )
    if baseline is None:
        return str(next(iter(models)))
    if baseline not in models:
        raise ValueError(f"baseline must be one of {list(models)}; got {baseline!r}.")
    return baseline


def _fit_all(
    models: Mapping[str, Any], train: Table, items: Table | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Fitted clones, the recommenders in them, and the seconds that each took."""
    fitted, recommenders, seconds = {}, {}, {}
    for name, model in models.items():
        copy = clone(model)
        start = perf_counter()
        fitted[name] = copy.fit(train, **_fit_params(copy, items))
        seconds[name] = perf_counter() - start
        recommenders[name], _ = unwrap(fitted[name])
    return fitted, recommenders, seconds


def _fit_params(model: Any, items: Table | None) -> dict[str, Any]:
    if items is None:
        return {}
    if hasattr(model, "steps"):
        return {f"{model.steps[-1][0]}__items": items}
    return {"items": items}


def _catalog(train: Table, items: Table | None) -> NDArray[Any]:
    """Ids of the items that could be shown: those of the training table and the side table."""
    tables = [("train", train)] if items is None else [("train", train), ("items", items)]
    parts = []
    for name, table in tables:
        column = read_column(read_table(table, name), ITEM, name)
        _, ids, kind = encode_ids(column, ITEM)
        parts.append((ids, kind))
    return merge_ids(parts, ITEM).ids


def _common_pairs(
    recommenders: Mapping[str, Any], relevant: RelevantItems, exclude_seen: bool, unknown: str
) -> RelevantItems:
    """Test pairs of users that every model knows, without those that any leaves out as seen."""
    n_pairs = len(relevant.users)
    if unknown == "skip":
        for model in recommenders.values():
            relevant = known_users(model, relevant)
    n_known = len(relevant.users)
    if exclude_seen:
        for model in recommenders.values():
            relevant = relevant.where(~seen_pairs(model, relevant))
    if not len(relevant.users):
        raise nothing_left(n_pairs, n_known)
    return relevant


def _users_table(
    values: NDArray[np.float64], users: NDArray[Any], variant: str, model: str, metrics: list[str]
) -> pd.DataFrame:
    table = pd.DataFrame({"variant": variant, "model": model, "user_id": users})
    table[metrics] = values
    return table
