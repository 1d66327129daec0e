"""Pictures of comparisons; they need matplotlib, the extra `plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ecomrec._optional import require

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ecomrec.evaluation.comparison import Comparison

_SLICES = {"history": "events of the user", "popularity": "events of the test item"}


def plot_comparison(
    result: Comparison, metric: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw the mean of a metric for each model with its 95 % interval.

    Parameters
    ----------
    result : Comparison
        What `compare` returned.
    metric : str or None
        One of its metrics; None is the first.
    ax : matplotlib Axes or None
        Where to draw; None makes a figure of its own, without touching pyplot's state. Show it in
        a notebook with ``ax.figure``, keep it with ``ax.figure.savefig(...)``.

    Returns
    -------
    matplotlib.axes.Axes
        Models from top to bottom in the order of the comparison, one colour per variant.

    Raises
    ------
    ValueError
        If the metric is not in the comparison.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.evaluation import compare, plot_comparison
    >>> train = pd.DataFrame({"user_id": [1, 2, 2], "item_id": ["tea", "tea", "mug"]})
    >>> test = pd.DataFrame({"user_id": [1], "item_id": ["mug"]})
    >>> result = compare({"popular": Popularity()}, train, test, k=1, metrics=["recall", "mrr"])
    >>> plot_comparison(result, "recall").get_xlabel()
    'recall@1, mean over users with 95 % interval'
    """
    name = result.metrics[0] if metric is None else metric
    if name not in result.metrics:
        raise ValueError(f"metric must be one of {result.metrics}; got {metric!r}.")
    if ax is None:
        ax = require("matplotlib.figure", "plot").Figure(layout="constrained").subplots()
    table = result.to_frame()
    models = list(dict.fromkeys(table.index))
    variants = list(dict.fromkeys(table["variant"]))
    for place, variant in enumerate(variants):
        rows = table[table["variant"] == variant]
        mean = rows[name].to_numpy()
        # Side by side within a row when both variants are there.
        y = np.arange(len(models)) + 0.2 * (place - (len(variants) - 1) / 2)
        ax.errorbar(
            mean,
            y,
            xerr=[
                np.maximum(mean - rows[f"{name}_low"].to_numpy(), 0.0),
                np.maximum(rows[f"{name}_high"].to_numpy() - mean, 0.0),
            ],
            fmt="o",
            capsize=3,
            label=variant,
        )
    ax.set_yticks(range(len(models)), labels=models)
    ax.invert_yaxis()
    ax.set_xlabel(f"{name}@{result.k}, mean over users with 95 % interval")
    if len(variants) > 1:
        ax.legend()
    return ax


def plot_slices(table: pd.DataFrame, metric: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw a metric by history length, or by popularity, for each model with 95 % intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        What `accuracy_by_history` or `accuracy_by_popularity` returned; rows of one variant.
    metric : str or None
        One of its metrics; None is the first.
    ax : matplotlib Axes or None
        Where to draw; None makes a figure of its own, without touching pyplot's state.

    Returns
    -------
    matplotlib.axes.Axes
        Slices from left to right with their numbers of users, one line a model.

    Raises
    ------
    ValueError
        If the table has no slices or several variants, or the metric is not in it.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> from ecomrec.evaluation import accuracy_by_history, compare, plot_slices
    >>> train = pd.DataFrame({"user_id": [1, 2, 2], "item_id": ["tea", "tea", "mug"]})
    >>> test = pd.DataFrame({"user_id": [1], "item_id": ["mug"]})
    >>> result = compare({"popular": Popularity()}, train, test, k=1, metrics="recall")
    >>> plot_slices(accuracy_by_history(result, train)).get_xlabel()
    'events of the user in the training part (users)'
    """
    slices = next((name for name in _SLICES if name in table.columns), None)
    variants = [] if slices is None else table["variant"].unique().tolist()
    if slices is None or len(variants) != 1:
        raise ValueError(
            "table must be what accuracy_by_history or accuracy_by_popularity returned, of one "
            f"variant; got {f'the variants {variants}' if slices else list(table.columns)}."
        )
    metrics = [
        str(name).removesuffix("_verdict") for name in table if str(name).endswith("_verdict")
    ]
    name = metrics[0] if metric is None else metric
    if name not in metrics:
        raise ValueError(f"metric must be one of {metrics}; got {metric!r}.")
    if ax is None:
        ax = require("matplotlib.figure", "plot").Figure(layout="constrained").subplots()
    labels = table[slices].unique().tolist()
    models = table["model"].unique().tolist()
    for place, model in enumerate(models):
        rows = table[table["model"] == model]
        mean = rows[name].to_numpy()
        # A little apart, so that intervals do not hide each other.
        x = np.array([labels.index(one) for one in rows[slices]])
        ax.errorbar(
            x + 0.08 * (place - (len(models) - 1) / 2),
            mean,
            yerr=[
                np.maximum(mean - rows[f"{name}_low"].to_numpy(), 0.0),
                np.maximum(rows[f"{name}_high"].to_numpy() - mean, 0.0),
            ],
            fmt="o-",
            capsize=3,
            label=model,
        )
    users = table.drop_duplicates(slices).set_index(slices)["n_users"]
    ax.set_xticks(range(len(labels)), labels=[f"{one}\n({users[one]})" for one in labels])
    ax.set_xlabel(f"{_SLICES[slices]} in the training part (users)")
    ax.set_ylabel(f"{name}, mean with 95 % interval")
    ax.legend()
    return ax
