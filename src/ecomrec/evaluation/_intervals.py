"""How sure a mean is: intervals from resampled users, and verdicts on differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_PERCENTILES = (2.5, 97.5)
# A sign test on fewer differing users cannot reach 5 %, whatever their resampling says.
_MIN_USERS_THAT_DIFFER = 6
_DRAWS_PER_BLOCK = 1 << 22


def interval_table(
    values: dict[str, NDArray[np.float64]],
    shown: dict[str, tuple[float, float, float]] | None,
    variant: str,
    metrics: list[str],
    baseline: str,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rows of one variant: means, intervals, differences, verdicts, perhaps times."""
    n_users, n_metrics = values[baseline].shape
    # Differences are resampled as columns of their own: wins and losses cancel to exactly 0.
    blocks = [block for of in values.values() for block in (of, of - values[baseline])]
    columns = np.concatenate(blocks, axis=1)
    ends = np.percentile(bootstrap_means(columns, n_bootstrap, rng), _PERCENTILES, axis=0)
    rows = []
    for place, name in enumerate(values):
        row: dict[str, Any] = {"variant": variant}
        for number, metric in enumerate(metrics):
            own = 2 * place * n_metrics + number
            gap = own + n_metrics
            row[metric] = columns[:, own].mean()
            row[f"{metric}_low"], row[f"{metric}_high"] = ends[:, own]
            row[f"{metric}_diff"] = columns[:, gap].mean()
            low, high = ends[:, gap]
            row[f"{metric}_diff_low"], row[f"{metric}_diff_high"] = low, high
            row[f"{metric}_verdict"] = (
                "baseline" if name == baseline else _verdict(low, high, columns[:, gap])
            )
        if shown is not None:
            row["coverage"], row["fit_seconds"], row["recommend_seconds"] = shown[name]
        row["n_users"] = n_users
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(list(values), name="model"))


def n_resamplings(n_bootstrap: Any) -> int:
    """Return the number of resamplings, or an error that shows what was given."""
    if not isinstance(n_bootstrap, (int, np.integer)) or n_bootstrap < 1:
        raise ValueError(f"n_bootstrap must be a positive integer; got {n_bootstrap!r}.")
    return int(n_bootstrap)


def _verdict(low: float, high: float, difference: NDArray[np.float64]) -> str:
    if np.count_nonzero(difference) >= _MIN_USERS_THAT_DIFFER:
        if low > 0:
            return "better"
        if high < 0:
            return "worse"
    return "no clear difference"


def bootstrap_means(
    values: NDArray[np.float64], n_bootstrap: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Means of resampled rows, shape (n_bootstrap, n_columns); a draw takes whole rows."""
    n_rows = len(values)
    means = np.empty((n_bootstrap, values.shape[1]))
    block = max(1, _DRAWS_PER_BLOCK // n_rows)
    for start in range(0, n_bootstrap, block):
        n_draws = min(block, n_bootstrap - start)
        drawn = rng.integers(0, n_rows, size=(n_draws, n_rows))
        drawn += np.arange(0, n_draws * n_rows, n_rows)[:, np.newaxis]
        times = np.bincount(drawn.ravel(), minlength=n_draws * n_rows).reshape(n_draws, n_rows)
        means[start : start + n_draws] = times.astype(np.float64) @ values / n_rows
    return means
