"""The answer of `recommend`: items and scores, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Recommendations:
    """Items and their scores for each row asked for, best first.

    Unpacks as ``items, scores = recommendations``. A row with fewer eligible items than were asked
    for ends in score NaN and item `None` (-1 where ids are integers); `to_frame` has no such rows.

    Parameters
    ----------
    items : ndarray of shape (n, k)
        Item ids, as they came in.
    scores : ndarray of shape (n, k), float32
    keys : sequence of length n
        What each row answers: user ids, item ids, or row numbers of anonymous histories.
    key_name, value_name : str
        Columns of `to_frame` for the keys and the items.

    Examples
    --------
    >>> import numpy as np
    >>> from ecomrec.base import Recommendations
    >>> recs = Recommendations(np.array([[7, 3]]), np.array([[0.9, 0.2]]), ["anna"])
    >>> recs.to_frame()
      user_id  rank  item_id  score
    0    anna     1        7    0.9
    1    anna     2        3    0.2
    """

    __slots__ = ("items", "key_name", "keys", "scores", "value_name")

    def __init__(
        self,
        items: np.ndarray,
        scores: np.ndarray,
        keys: Sequence[Any] | np.ndarray,
        key_name: str = "user_id",
        value_name: str = "item_id",
    ) -> None:
        self.items = items
        self.scores = scores
        self.keys = keys
        self.key_name = key_name
        self.value_name = value_name

    def __iter__(self) -> Iterator[np.ndarray]:
        yield self.items
        yield self.scores

    def __len__(self) -> int:
        return len(self.items)

    def to_frame(self, backend: str = "pandas") -> Any:
        """Return a tidy table: one row a recommendation, without the fill of short rows.

        Parameters
        ----------
        backend : {"pandas", "polars", "pyarrow"}

        Returns
        -------
        DataFrame
            Columns `user_id` (or what was asked for), `rank` from 1, `item_id` and `score`.
        """
        import narwhals as nw

        from ecomrec._optional import require

        if backend not in ("pandas", "polars", "pyarrow"):
            raise ValueError(f"backend must be 'pandas', 'polars' or 'pyarrow'; got {backend!r}.")
        if backend != "pandas":
            require(backend, "polars" if backend == "polars" else "parquet")
        rows, places = np.nonzero(~np.isnan(self.scores))
        keys = self.keys
        if isinstance(keys, np.ndarray):
            key_column: Any = keys[rows]
        else:
            key_column = [keys[row] for row in rows.tolist()]
        items = self.items[rows, places]
        columns = {
            self.key_name: key_column,
            "rank": places + 1,
            self.value_name: items if items.dtype != object else items.tolist(),
            "score": self.scores[rows, places],
        }
        if backend == "pandas":
            import pandas as pd

            return pd.DataFrame(columns)
        return nw.from_dict(columns, backend=backend).to_native()  # type: ignore[arg-type]

    def __repr__(self) -> str:
        n, k = self.items.shape
        lines = [f"Recommendations: {n} rows, {k} places"]
        for row in range(min(n, 5)):
            items = self.items[row, :4].tolist()
            shown = ", ".join(
                f"{item!r} {score:.3g}"
                for item, score in zip(items, self.scores[row, :4], strict=True)
                if not np.isnan(score)
            )
            key = self.keys[row]
            key = key.item() if isinstance(key, np.generic) else key
            lines.append(f"  {key!r}: {shown}{', ...' if k > 4 else ''}")
        return "\n".join(lines + (["  ..."] if n > 5 else []))

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        return str(frame._repr_html_())
