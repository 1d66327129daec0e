"""What sells most: the baseline of every comparison and the last resort of every shop."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec._validation import Rule, choice, text
from ecomrec.base import BaseRecommender, Query, SideTables, State
from ecomrec.data.catalog import label_of
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.data.tables import USER, read_attribute, require_columns, to_frame
from ecomrec.data.timestamps import HalfLife, duration
from ecomrec.kernels import ranking
from ecomrec.state import ArrayRule


@dataclass(frozen=True, eq=False)
class _Learned:
    """Totals by group and item, and the group of each user (0: no group)."""

    totals: np.ndarray
    groups: np.ndarray
    names: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return {
            "totals": ArrayRule((-1, shop.n_items)),
            "groups": ArrayRule((shop.n_users,), 0, len(self.totals)),
        }

    @computed_once
    def lists(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Items with evidence, best first (int32), and all totals, by group; made on first use."""
        return {}

    def best(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the list and the totals of one group (0: overall)."""
        if group not in self.lists:
            totals = self.totals[group] if group else self.totals.sum(axis=0)
            order = np.argsort(-totals, kind="stable").astype(np.int32)
            self.lists[group] = order[totals[order] > 0], totals
        return self.lists[group]

    @computed_once
    def members(self) -> dict[str, int]:
        """A user of each group: whoever asks in their place gets the list of the group."""
        numbers, rows = np.unique(self.groups, return_index=True)
        names = _decoded(self.names)
        of_groups = zip(numbers.tolist(), rows.tolist(), strict=True)
        return {names[number - 1]: row for number, row in of_groups if number > 0}


class Popularity(BaseRecommender):
    """Recommends what most users touched, overall or within the user's own group.

    The score of an item is ``sum_u 1[w_ui > 0]`` for ``count="users"`` and
    ``sum_u max(w_ui, 0)`` for ``count="weights"``, over all users or, with `group`, over those of
    the visitor's group. Scores of one group are comparable, scores of two groups are not.

    Parameters
    ----------
    count : {"users", "weights"}
        Count each user once, or add up the weights of their events.
    half_life : str, timedelta or None
        "30D": weights count half as much for every 30 days before the newest event; needs
        `count="weights"` and a timestamp column.
    group : str or None
        Column of the `users` table, such as "country"; 1 and 1.0 are one group. Users without a
        group, new visitors and anonymous histories get the overall list.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    popularity_ : ndarray of shape (n_items,), float64
        Overall score of each item.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    Notes
    -----
    `partial_fit` is exact and costs the batch plus a copy of the totals. `forget` counts anew.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.cf import Popularity
    >>> events = pd.DataFrame({"user_id": [1, 2, 3, 3], "item_id": ["tea", "tea", "tea", "cup"]})
    >>> items, scores = Popularity().fit(events).recommend([1], k=2)
    >>> items[0].tolist(), scores[0].tolist()
    (['cup', None], [1.0, nan])
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "count": choice("users", "weights"),
        "half_life": duration(),
        "group": text(none=True),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (_Learned,)
    tuning_space: ClassVar[Mapping[str, Any]] = {"count": ["users", "weights"]}
    forget_exact_ = True

    def __init__(
        self, *, count: str = "users", half_life: HalfLife = None, group: str | None = None
    ) -> None:
        self.count = count
        self.half_life = half_life
        self.group = group

    @property
    def popularity_(self) -> np.ndarray:
        """Overall score of each item."""
        state = self._attribute("popularity_")
        overall: np.ndarray = state.learned.totals.sum(axis=0) * self._factor(state.interactions)
        return overall

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        super()._check_tables(source, sides)
        if self.group is not None:
            if sides.users is None:
                raise ValueError(
                    f"Popularity: group={self.group!r} needs fit(..., users=table) with that "
                    "column and user_id."
                )
            require_columns(
                to_frame(sides.users, "the users table"), (USER, self.group), "the users table"
            )

    def _fit(self, shop: Interactions, sides: SideTables) -> _Learned:
        names, groups = np.empty(0, dtype=np.int64), np.zeros(shop.n_users, dtype=np.int64)
        if self.group is not None:
            groups, names = _coded(read_attribute(sides.users, USER, self.group, shop.users))
        return _Learned(self._totals(shop, groups, len(names) + 1), groups, names)

    def _totals(self, shop: Interactions, groups: np.ndarray, n_groups: int) -> np.ndarray:
        owners = np.repeat(groups, np.diff(shop.indptr))
        cells = owners * shop.n_items + shop.indices
        values = self._counted(shop.data)
        totals = np.bincount(cells, weights=values, minlength=n_groups * shop.n_items)
        return totals.reshape(n_groups, shop.n_items)

    def _counted(self, data: np.ndarray) -> np.ndarray:
        if self.count == "users":
            return (data > 0).astype(np.float64)
        return np.maximum(data.astype(np.float64), 0.0)

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Any:
        known = state.learned
        if self.group is not None and sides.users is not None:
            return self._fit_groups(known, shop, sides.users)
        if shop.reference != state.interactions.reference:
            # Weights are seen from a later time: every total is in an old unit.
            change = Change(change.users, np.arange(shop.n_items))
        n_old = state.interactions.n_users
        groups = np.concatenate((known.groups, np.zeros(shop.n_users - n_old, dtype=np.int64)))
        totals = np.zeros((len(known.totals), shop.n_items))
        totals[:, : known.totals.shape[1]] = known.totals
        # The items that the batch touched are counted anew, so that sums never drift.
        indptr, (rows, data) = shop.by_item.take(change.items)
        cells = groups[rows] * len(change.items)
        cells += np.repeat(np.arange(len(change.items)), np.diff(indptr))
        counted = np.bincount(
            cells, weights=self._counted(data), minlength=len(totals) * len(change.items)
        )
        totals[:, change.items] = counted.reshape(len(totals), len(change.items))
        return _Learned(totals, groups, known.names)

    def _fit_groups(self, known: _Learned, shop: Interactions, users: Any) -> _Learned:
        """Learn the groups that a later users table names; users it lacks keep theirs."""
        names = np.concatenate((np.array([None], dtype=object), _decoded(known.names)))
        values = np.full(shop.n_users, None, dtype=object)
        values[: len(known.groups)] = names[known.groups]
        fresh = read_attribute(users, USER, str(self.group), shop.users)
        given = np.array([value is not None for value in fresh], dtype=bool)
        values[given] = fresh[given]
        groups, coded = _coded(values)
        return _Learned(self._totals(shop, groups, len(coded) + 1), groups, coded)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> _Learned:
        names = np.concatenate((np.array([None], dtype=object), _decoded(state.learned.names)))
        groups, coded = _coded(names[state.learned.groups[kept_users]])
        return _Learned(self._totals(shop, groups, len(coded) + 1), groups, coded)

    def _refresh(self, state: State) -> _Learned:
        known: _Learned = state.learned
        totals = self._totals(state.interactions, known.groups, len(known.names) + 1)
        return _Learned(totals, known.groups, known.names)

    def _factor(self, shop: Interactions) -> float:
        return shop.scale if self.count == "weights" else 1.0

    def _check_params(self) -> None:
        super()._check_params()
        if self.half_life is not None and self.count == "users":
            raise ValueError(
                "Popularity: half_life fades weights; pass count='weights' with it, or leave it "
                "None."
            )

    def _group_of(self, state: State, query: Query) -> np.ndarray:
        groups: np.ndarray = np.where(query.users >= 0, state.learned.groups[query.users], 0)
        return groups

    def _top_k(
        self, state: State, query: Query, k: int, mask: ranking.Mask
    ) -> tuple[np.ndarray, np.ndarray]:
        items = np.full((len(query.users), k), -1, dtype=np.int32)
        scores = np.full((len(query.users), k), np.nan, dtype=np.float32)
        groups = self._group_of(state, query)
        factor = self._factor(state.interactions)
        for group in np.unique(groups):
            order, totals = state.learned.best(int(group))
            rows = np.flatnonzero(groups == group)
            values = (totals * factor).astype(np.float32)
            ranking.take_in_order(order, values, rows, k, mask, items, scores)
        return items, scores

    def _score(self, state: State, query: Query) -> np.ndarray:
        block = np.stack(
            [state.learned.best(int(group))[1] for group in self._group_of(state, query)]
        )
        block = np.where(block > 0, block * self._factor(state.interactions), np.nan)
        return block.astype(np.float32)

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        score = np.nan_to_num(self._score(state, query)[0, item])
        group = int(state.learned.groups[query.users[0]]) if query.users[0] >= 0 else 0
        reason = _decoded(state.learned.names)[group - 1] if group else None
        return ["popularity"], [reason], np.array([score], dtype=np.float64)


def group_label(value: Any) -> str | None:
    """Return a group as text, None for NaN; whole numbers read the same as integers and floats."""
    if value is None or (isinstance(value, numbers.Real) and value != value):
        return None
    plain = isinstance(value, (str, np.bool_, numbers.Real, Decimal))
    return label_of(value, "group") if plain else str(value)


def _coded(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group numbers from 1 (0: none) and the names as UTF-8 JSON, ready for a file."""
    import json

    labels = [group_label(value) for value in values]
    names = sorted({label for label in labels if label is not None})
    number = {name: place + 1 for place, name in enumerate(names)}
    groups = np.array([0 if v is None else number[v] for v in labels], dtype=np.int64)
    return groups, np.frombuffer(json.dumps(names).encode() if names else b"", dtype=np.uint8)


def _decoded(names: np.ndarray) -> np.ndarray:
    import json

    return np.array(json.loads(names.tobytes()) if len(names) else [], dtype=object)
