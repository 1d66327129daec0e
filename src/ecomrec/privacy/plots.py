"""Pictures of what privacy costs; they need matplotlib, the extra `plot`."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from ecomrec._optional import require
from ecomrec.data.tables import to_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ecomrec.privacy.accounting.ledger import PrivacyLedger

# Columns that say what a row is; the others are metrics.
_KEYS = ("model", "epsilon", "seed", "popularity", "n_users", "n_items")


def plot_privacy_accuracy(
    table: Any, metric: Hashable | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw accuracy against epsilon for each model, with baselines as level lines.

    Parameters
    ----------
    table : pandas, Polars or Arrow table
        One row for each fit: ``model``, ``epsilon`` and one column for each metric; several rows
        of a model and an epsilon differ in the seed. An epsilon of NaN marks a model that knows
        no epsilon, drawn as a level line; inf is the same model without noise.
    metric : str or None
        A column of numbers; None is the first that is none of ``model``, ``epsilon``, ``seed``,
        ``popularity``, ``n_users`` and ``n_items``.
    ax : matplotlib Axes or None
        Where to draw; None makes a figure of its own, without touching pyplot's state.

    Returns
    -------
    matplotlib.axes.Axes
        Means over seeds and their 95 % intervals by Student's t, which need two seeds; epsilon on
        a logarithmic scale, with inf at the right end.

    Raises
    ------
    ValueError
        If a column is missing or holds no numbers, or no row has an epsilon.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.privacy import plot_privacy_accuracy
    >>> table = pd.DataFrame({
    ...     "model": ["DPEASE", "DPEASE", "Popularity"],
    ...     "epsilon": [1.0, float("inf"), float("nan")],
    ...     "recall": [0.37, 0.42, 0.18],
    ... })
    >>> plot_privacy_accuracy(table).get_ylabel()
    'recall, mean over seeds with 95 % interval'
    """
    table, name = _read(table, metric, ("model", "epsilon"))
    levels = table[table["epsilon"].isna()]
    curves = table.dropna(subset=["epsilon"])
    finite = np.unique(curves["epsilon"][np.isfinite(curves["epsilon"])])
    if not len(curves):
        raise ValueError("table has no row with an epsilon.")
    ax = _axes(ax)
    # Where inf goes on the axis: as far from the last epsilon as a factor of two and a half.
    last = 2.5 * float(finite[-1]) if len(finite) else 1.0
    for place, (model, rows) in enumerate(curves.groupby("model", sort=False)):
        x, mean, half = _means(rows, "epsilon", name)
        x = np.where(np.isinf(x), last, x) * 1.02**place  # intervals side by side
        ax.errorbar(x, mean, yerr=half, fmt="o-", capsize=3, label=str(model))
    for place, (model, rows) in enumerate(levels.groupby("model", sort=False)):
        _, mean, half = _means(rows.assign(epsilon=0.0), "epsilon", name)
        color = f"C{len(ax.containers) + place}"
        ax.axhline(mean[0], label=str(model), color=color, linestyle="--")
        if half[0] > 0.0:
            ax.axhspan(mean[0] - half[0], mean[0] + half[0], color=color, alpha=0.15)
    ax.set_xscale("log")
    ticks, labels = list(finite), [f"{epsilon:g}" for epsilon in finite]
    if np.isinf(curves["epsilon"]).any():
        ticks, labels = [*ticks, last], [*labels, "no\nnoise"]
    ax.set_xticks(ticks, labels=labels)
    ax.minorticks_off()
    ax.set_xlabel("epsilon")
    ax.set_ylabel(f"{name}, mean over seeds with 95 % interval")
    ax.legend()
    return ax


def plot_spending(ledger: PrivacyLedger, *, ax: Axes | None = None) -> Axes:
    """Draw the epsilon spent over time against the budget.

    Parameters
    ----------
    ledger : PrivacyLedger
        With at least one charge.
    ax : matplotlib Axes or None
        Where to draw; None makes a figure of its own, without touching pyplot's state.

    Returns
    -------
    matplotlib.axes.Axes
        A step for each charge, and the budget as a level line. Epsilons do not add up: equal
        charges make smaller and smaller steps.

    Raises
    ------
    ValueError
        If nothing was charged.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, PrivacyLedger, plot_spending
    >>> ledger = PrivacyLedger(None, epsilon=1.0, delta=1e-6)
    >>> spent = ledger.charge([GaussianEvent(6.0)], label="May")
    >>> plot_spending(ledger).get_ylabel()
    'epsilon spent at delta 1e-06'
    """
    table = ledger.to_frame()
    if not len(table):
        raise ValueError("nothing was charged to the ledger yet: there is no spending to draw.")
    ax = _axes(ax)
    times = table["time"].dt.tz_localize(None).to_numpy()
    spent = table["epsilon"].to_numpy()
    ax.step(times, spent, where="post", marker="o", label="spent")
    ax.axhline(ledger.epsilon, color="C3", linestyle="--", label=f"budget {ledger.epsilon:g}")
    ax.set_ylim(0.0, 1.08 * max(ledger.epsilon, spent[-1]))
    if len(times) > 1:
        ax.tick_params(axis="x", labelrotation=30)
    else:
        ax.set_xticks(times, labels=[str(times[0].astype("datetime64[m]")).replace("T", " ")])
    ax.set_xlabel("time of the charge, UTC")
    ax.set_ylabel(f"epsilon spent at delta {ledger.delta:g}")
    ax.legend()
    return ax


def plot_accuracy_by_popularity(
    table: Any, metric: Hashable | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw accuracy by how popular the items are, for each model and epsilon.

    Noise drowns rare items first: an average over all items hides it.

    Parameters
    ----------
    table : pandas, Polars or Arrow table
        One row for each fit and part of the catalogue: ``model``, ``popularity`` (the part, from
        the rarest items to the most popular in the order of the rows), if there are several an
        ``epsilon`` as in `plot_privacy_accuracy`, and one column for each metric. Several rows of
        the same differ in the seed.
    metric : str or None
        A column, as in `plot_privacy_accuracy`.
    ax : matplotlib Axes or None
        Where to draw; None makes a figure of its own, without touching pyplot's state.

    Returns
    -------
    matplotlib.axes.Axes
        Parts of the catalogue from left to right, one line a model and epsilon.

    Raises
    ------
    ValueError
        If a column is missing or holds no numbers.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.privacy import plot_accuracy_by_popularity
    >>> table = pd.DataFrame({
    ...     "model": ["DPEASE"] * 4,
    ...     "epsilon": [1.0, 1.0, 4.0, 4.0],
    ...     "popularity": ["rare", "popular"] * 2,
    ...     "recall": [0.05, 0.52, 0.21, 0.54],
    ... })
    >>> plot_accuracy_by_popularity(table).get_xlabel()
    'popularity of the test item'
    """
    table, name = _read(table, metric, ("model", "popularity"))
    ax = _axes(ax)
    parts = [str(part) for part in dict.fromkeys(table["popularity"])]
    keys = [key for key in ("model", "epsilon") if key in table.columns]
    groups = list(table.groupby(keys, sort=False, dropna=False))
    for place, (key, rows) in enumerate(groups):
        values: tuple[Any, ...] = key
        rows = rows.assign(part=[parts.index(str(part)) for part in rows["popularity"]])
        x, mean, half = _means(rows, "part", name)
        x = x + 0.06 * (place - (len(groups) - 1) / 2)  # intervals side by side
        ax.errorbar(x, mean, yerr=half, fmt="o-", capsize=3, label=_label(*values))
    ax.set_xticks(range(len(parts)), labels=parts)
    ax.set_xlabel("popularity of the test item")
    ax.set_ylabel(f"{name}, mean over seeds with 95 % interval")
    ax.legend()
    return ax


def _label(model: Any, epsilon: float = math.nan) -> str:
    if math.isnan(epsilon):
        return str(model)
    return f"{model}, no noise" if math.isinf(epsilon) else f"{model}, epsilon {epsilon:g}"


def _read(
    table: Any, metric: Hashable | None, needed: tuple[str, ...]
) -> tuple[pd.DataFrame, Hashable]:
    """Return a pandas table with epsilon as floats, and the column to draw; or what it lacks."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        frame = to_frame(table, "table")
        table = pd.DataFrame({name: frame[name].to_list() for name in frame.columns})
    metrics = [
        name
        for name in table.columns
        if name not in _KEYS
        and pd.api.types.is_numeric_dtype(table[name])
        and not pd.api.types.is_bool_dtype(table[name])
    ]
    missing = [name for name in needed if name not in table.columns]
    if missing or not metrics:
        raise ValueError(
            f"table needs the columns {list(needed)} and a metric, which is a column of numbers; "
            f"got {list(table.columns)}."
        )
    if metric is not None and metric not in metrics:
        raise ValueError(f"metric must be one of {metrics}; got {metric!r}.")
    if "epsilon" in table.columns:
        try:
            table = table.astype({"epsilon": "float64"})
        except (TypeError, ValueError):
            raise ValueError("the column epsilon must hold numbers, inf or NaN.") from None
    return table, metrics[0] if metric is None else metric


def _means(
    rows: pd.DataFrame, key: str, name: Hashable
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values of a key, rising, with the mean of a metric and half its interval."""
    from scipy.stats import t

    groups = rows[name].groupby(rows[key])
    count = groups.count().to_numpy()
    error = np.nan_to_num(groups.std().to_numpy()) / np.sqrt(np.maximum(count, 1))
    half = np.where(count > 1, t.ppf(0.975, np.maximum(count - 1, 1)) * error, 0.0)
    mean = groups.mean()
    return mean.index.to_numpy(dtype=np.float64), mean.to_numpy(), half


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    made: Axes = require("matplotlib.figure", "plot").Figure(layout="constrained").subplots()
    return made
