"""Answers that say who gave them, the attributes of who asks, and scores made comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecomrec.base import Recommendations
from ecomrec.data.catalog import cells_of
from ecomrec.data.tables import USER, is_table, read_ids, to_frame
from ecomrec.exceptions import DataError

_WHAT = "the table of attributes"


class ColdStartRecommendations(Recommendations):
    """Recommendations that say which path they came by.

    Attributes
    ----------
    paths : ndarray of shape (n,), object
        For each row the name of the part that answered: "model", or that of a fallback;
        "popularity" if none knew anything, None for an empty row.
    """

    __slots__ = ("paths",)

    def __init__(
        self,
        items: np.ndarray,
        scores: np.ndarray,
        keys: Sequence[Any] | np.ndarray,
        paths: np.ndarray | None = None,
    ) -> None:
        super().__init__(items, scores, keys)
        self.paths = np.full(len(items), None, dtype=object) if paths is None else paths

    def to_frame(self, backend: str = "pandas") -> Any:
        """Return a tidy table, as `Recommendations.to_frame`, with a column `path`."""
        import narwhals as nw

        frame = nw.from_native(super().to_frame(backend), eager_only=True)
        rows = np.nonzero(~np.isnan(self.scores))[0]
        paths = nw.new_series(
            "path", self.paths[rows].tolist(), nw.String(), backend=frame.implementation
        )
        return frame.with_columns(paths).to_native()

    def __repr__(self) -> str:
        counts = Counter(path for path in self.paths.tolist() if path is not None)
        told = ", ".join(f"{n} by {name!r}" for name, n in sorted(counts.items()))
        return f"{super().__repr__()}\n  {told}" if told else super().__repr__()


def read_attributes(
    attributes: Any, keys: Sequence[Any] | np.ndarray | None, wanted: Sequence[str]
) -> tuple[Sequence[Any] | np.ndarray, dict[str, list[Any]]]:
    """Read what is said of each row of a request.

    Parameters
    ----------
    attributes : list of dict, or table
    keys : sequence or None
        Who asks; None: nobody but those whom the attributes describe.
    wanted : sequence of str
        Attributes that parts read.

    Returns
    -------
    keys : sequence
    values : dict of str to list
        By attribute, None or NaN where nothing is said.
    """
    if is_table(attributes):
        frame = to_frame(attributes, _WHAT)
        columns = {name: cells_of(frame[name]) for name in frame.columns}
        rows: list[Mapping[str, Any]] = [
            dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
        ]
        if USER in frame.columns and keys is None:
            keys = frame[USER].to_list()
        elif USER in frame.columns and keys is not None:
            read_ids(attributes, USER, _WHAT)
            said = {row[USER]: row for row in rows}
            rows = [said.get(key, {}) for key in _plain(keys)]
    elif isinstance(attributes, (list, tuple)) and all(
        isinstance(row, Mapping) for row in attributes
    ):
        rows = list(attributes)
    else:
        raise DataError(
            "attributes must be a list of dicts, one for each row, such as "
            f"[{{'country': 'FR'}}], or a table; got {attributes!r}."
        )
    if keys is not None and len(rows) != len(keys):
        raise DataError(f"attributes describe {len(rows)} rows of {len(keys)}. Give one for each.")
    named = sorted({str(name) for row in rows for name in row} - {USER})
    if named and not set(named) & set(wanted):
        raise DataError(
            f"attributes hold {named}, and no part reads any of them; parts read {list(wanted)}. "
            "Add one that does, such as ('group', Popularity(group='country'))."
        )
    values = {name: [row.get(name) for row in rows] for name in wanted}
    return range(len(rows)) if keys is None else keys, values


def _plain(keys: Sequence[Any] | np.ndarray) -> list[Any]:
    return keys.tolist() if isinstance(keys, np.ndarray) else list(keys)


def fill(items: np.ndarray, scores: np.ndarray, found: np.ndarray) -> None:
    """Put items behind the last one of a list, in place, at score 0 or at that of the last."""
    size = int(np.count_nonzero(items >= 0))
    fresh = found[(found >= 0) & ~np.isin(found, items[:size])][: len(items) - size]
    floor = min(0.0, float(scores[size - 1])) if size else 0.0
    items[size : size + len(fresh)] = fresh
    scores[size : size + len(fresh)] = floor
