"""What is near: stores, sellers, offers with a place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ecomrec._validation import Rule, check_k, jobs, real, text
from ecomrec.base import BaseRecommender, Query, Recommendations, SideTables, State, Unknown
from ecomrec.coldstart._context import answered, visitors
from ecomrec.coldstart._places import Places, has_places, read_location, with_places
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.data.tables import ITEM, USER, to_frame
from ecomrec.exceptions import DataError
from ecomrec.kernels import assemble, places, ranking
from ecomrec.requests import check_unknown, make_mask

# Scores and counts of so many pairs are made at a time.
_BLOCK = 4_000_000


class _Where(NamedTuple):
    """Places of visitors: row r is at ``points[indptr[r] : indptr[r + 1]]``.

    Attributes
    ----------
    indptr : ndarray of shape (n + 1,), int64
    points : ndarray of shape (m, 3), float64
        On the unit sphere.
    shares : ndarray of shape (m,), float64
        What each place counts for; they add up to 1.
    items : ndarray of shape (m,), int64
        The past item that is there, -1 for the visitor's own place.
    """

    indptr: np.ndarray
    points: np.ndarray
    shares: np.ndarray
    items: np.ndarray


class Nearby(BaseRecommender):
    r"""Recommends what is near the visitor.

    With :math:`d_{pi}` the kilometres from place p to item i along the surface of the earth
    (haversine) and h the `half_distance`, the score of an item is

    .. math:: s_i = \frac{1 + \tau \, q_i}{1 + \tau} \sum_p c_p \, 2^{-d_{pi} / h},
              \qquad q_i = \frac{\log(1 + n_i)}{\max_j \log(1 + n_j)}

    The visitor has one place, told with the request or in the users table; or else those of the
    items they touched, in proportion to weights, as shares :math:`c_p`. Among what is equally near
    popular items come first: :math:`n_i` are the users who have i, each counted by how near they
    are, :math:`2^{-d / h}`; those whose place is not known count 1. So 1 is here and most popular,
    1/2 is `half_distance` away, and scores compare between visitors. Items without coordinates,
    and all items for visitors without a place, have no evidence.

    Parameters
    ----------
    half_distance : float
        Kilometres after which an item counts half as much.
    max_distance : float or None
        What is further away than so many kilometres is no evidence.
    popularity_weight : float
        :math:`\tau`: 0 for distance alone. At 0.01 popularity decides between items whose
        distances differ by less than 1.4 % of `half_distance`.
    lat, lon : str
        Columns of degrees, in the items table and, where users have a place, in theirs.
    n_jobs : int or None
        Threads, as in joblib. Answers do not depend on it.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray
        Known ids, by row.
    item_places_, user_places_ : ndarray of shape (n_items, 2) and (n_users, 2)
        Latitudes and longitudes; NaN where they are not known.
    n_features_in_ : int
        Number of items, on models fitted on a matrix.
    forget_exact_ : bool
        True: `forget` equals a fit without what was forgotten.

    Notes
    -----
    `fit` needs ``items=``, a table with coordinates. An answer costs a distance to every item for
    each place of the visitor and, where users have places, one to every user. `partial_fit` is
    exact and costs the batch, with a copy of the coordinates; a row of a side table replaces the
    place of a known item or user. That people go to what is near, and how fast that fades, is
    measured in [1]_.

    References
    ----------
    .. [1] Ye, Yin, Lee, Lee: Exploiting geographical influence for collaborative point-of-interest
       recommendation. SIGIR 2011.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.coldstart import Nearby
    >>> stores = pd.DataFrame(
    ...     {
    ...         "item_id": ["mitte", "pankow", "potsdam"],
    ...         "lat": [52.520, 52.569, 52.396],
    ...         "lon": [13.405, 13.402, 13.058],
    ...     }
    ... )
    >>> events = pd.DataFrame({"user_id": ["ann"], "item_id": ["mitte"]})
    >>> model = Nearby(half_distance=5).fit(events, items=stores)
    >>> model.recommend(["ann"], k=2)
    Recommendations: 1 rows, 2 places
      'ann': 'pankow' 0.465, 'potsdam' 0.0226
    >>> model.recommend(location=(52.4, 13.06), k=1).items.tolist()
    [['potsdam']]
    """

    _param_rules: ClassVar[Mapping[str, Rule]] = {
        "half_distance": real(0.001),
        "max_distance": real(0, none=True),
        "popularity_weight": real(0),
        "lat": text(),
        "lon": text(),
        "n_jobs": jobs(),
    }
    _learned_types: ClassVar[tuple[type, ...]] = (Places,)
    tuning_space: ClassVar[Mapping[str, Any]] = {"half_distance": [1.0, 3.0, 10.0, 30.0]}
    _reads_items: ClassVar[bool] = True
    forget_exact_ = True

    def __init__(
        self,
        half_distance: float = 5.0,
        *,
        max_distance: float | None = None,
        popularity_weight: float = 0.01,
        lat: str = "lat",
        lon: str = "lon",
        n_jobs: int | None = -1,
    ) -> None:
        self.half_distance = half_distance
        self.max_distance = max_distance
        self.popularity_weight = popularity_weight
        self.lat = lat
        self.lon = lon
        self.n_jobs = n_jobs

    # ------------------------------------------------------------------ learning

    def _check_tables(self, source: Source, sides: SideTables) -> None:
        super()._check_tables(source, sides)
        columns = self.lat, self.lon
        if sides.items is not None and not has_places(sides.items, columns):
            found = list(to_frame(sides.items, "the items table").columns)
            raise DataError(
                f"Nearby needs an items table with the columns {self.lat!r} and {self.lon!r}, "
                f"degrees; found {found}."
            )

    def _fit(self, shop: Interactions, sides: SideTables) -> Places:
        return self._told(Places(np.empty((0, 2)), np.empty((0, 2))), shop, sides)

    def _told(self, known: Places, shop: Interactions, sides: SideTables) -> Places:
        columns = self.lat, self.lon
        return Places(
            with_places(known.items, sides.items, ITEM, columns, shop.items),
            with_places(known.users, sides.users, USER, columns, shop.users),
        )

    def _partial_fit(
        self, state: State, shop: Interactions, change: Change, sides: SideTables
    ) -> Places:
        return self._told(state.learned, shop, sides)

    def _forget(
        self, state: State, shop: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Places:
        return Places(state.learned.items[kept_items], state.learned.users[kept_users])

    def _refresh(self, state: State) -> Places:
        known: Places = state.learned
        return replace(known)

    # ------------------------------------------------------------------ answering

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        location: Any = None,
        history: Any = None,
        candidates: Any = None,
        exclude: Any = None,
        exclude_seen: bool = True,
        unknown: Unknown = "raise",
    ) -> Recommendations:
        """Return the best k items for known users, for histories, or for a location.

        Parameters
        ----------
        users : list of ids, optional
            Known users.
        k : int
            Items per row.
        location : (lat, lon), or list of these, optional
            Where the visitors are now, in degrees: one for all rows, or one for each, which counts
            instead of what is known. Neither users nor history are needed then, and every row is
            answered.
        history : list of sequences of item ids, or table, optional
            What each visitor did, as in `BaseRecommender.recommend`.
        candidates : list of ids, or list of lists, optional
            Nothing else is recommended; shared, or one list for each row.
        exclude : list of ids, or list of lists, optional
            Never recommended; shared, or one list for each row.
        exclude_seen : bool
            Leave out what the user has already touched: consider False for stores.
        unknown : {"raise", "skip"}
            What happens to users never seen, unless a location is given.

        Returns
        -------
        Recommendations
        """
        if location is None:
            return super().recommend(
                users, k, history=history, candidates=candidates, exclude=exclude,
                exclude_seen=exclude_seen, unknown=unknown,
            )  # fmt: skip
        state = self._fitted_state()
        k = check_k(k)
        check_unknown(unknown)
        if users is None and history is None:
            given = read_location(location, None)
            keys, query = visitors(state, None, None, len(given), "location")
        else:
            keys, query, _ = self._ask(state, users, history)
            given = read_location(location, len(query.users))
        mask = make_mask(state, query, candidates, exclude, exclude_seen)
        n = len(given)
        known = ~np.isnan(given[:, 0])
        told = _Where(
            assemble.offsets(known.astype(np.int64)), places.on_sphere(given[known]),
            np.ones(int(known.sum())), np.full(int(known.sum()), -1),
        )  # fmt: skip
        items = np.empty((n, k), dtype=np.int32)
        scores = np.empty((n, k), dtype=np.float32)
        for rows in self._blocks(state, n):
            block = self._near(state, _part(told, rows))
            part = ranking.slice_mask(mask, rows)
            items[rows], scores[rows] = ranking.top_k(block, k, part, self.n_jobs)
        return answered(state, keys, items, scores, mask)

    def _score(self, state: State, query: Query) -> np.ndarray:
        told, n = self._where(state, query), len(query.users)
        block = np.empty((n, state.interactions.n_items), dtype=np.float32)
        for rows in self._blocks(state, n):
            block[rows] = self._near(state, _part(told, rows))
        return block

    def _blocks(self, state: State, n: int) -> list[slice]:
        size = max(1, _BLOCK // state.interactions.n_items)
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def _near(self, state: State, told: _Where) -> np.ndarray:
        """Scores of all items from some places; NaN where there is no evidence."""
        block = self._closeness(told, state.learned.item_points)
        if self.popularity_weight > 0:
            block *= 1 + self.popularity_weight * self._popularity(state, told)
            block /= 1 + self.popularity_weight
        block = block.astype(np.float32)
        block[block == 0] = np.nan
        return block

    def _closeness(self, told: _Where, points: np.ndarray) -> np.ndarray:
        limit = np.inf if self.max_distance is None else self.max_distance
        near: np.ndarray = places.closeness(
            told.indptr, told.points, told.shares, points, self.half_distance, limit, self.n_jobs
        )
        return near

    def _popularity(self, state: State, told: _Where) -> np.ndarray:
        """How popular items are near some places, from 0 to 1."""
        shop, homes = state.interactions, state.learned.user_points
        n = len(told.indptr) - 1
        settled = np.flatnonzero(~np.isnan(homes[:, 0]))
        counts = np.tile(shop.item_counts.astype(np.float64), (n, 1))
        if len(settled):
            _, (items, weights, *_) = shop.by_user.take(settled)
            counts -= np.bincount(items[weights > 0], minlength=shop.n_items)
            starts, lengths, *columns = shop.by_user.arrays
            counts += places.local_counts(
                told.indptr, told.points, told.shares, homes[settled], self.half_distance,
                (starts[settled], lengths[settled], *columns), shop.n_items, self.n_jobs,
            )  # fmt: skip
        counts = np.log1p(counts)
        most = counts.max(axis=1, keepdims=True)
        shares: np.ndarray = np.divide(counts, most, out=np.zeros_like(counts), where=most > 0)
        return shares

    def _where(self, state: State, query: Query) -> _Where:
        """Places of the visitors of a query: their own, or those of what they touched."""
        learned: Places = state.learned
        n, (indptr, items, weights) = len(query.users), query.profiles
        own = np.zeros(n, dtype=bool)
        known = query.users >= 0
        own[known] = ~np.isnan(learned.users[query.users[known], 0])
        rows = np.repeat(np.arange(n), np.diff(indptr))
        good = ~own[rows] & (weights > 0) & ~np.isnan(learned.items[items, 0])
        rows, items = rows[good], items[good]
        shares = weights[good].astype(np.float64)
        shares /= np.bincount(rows, weights=shares, minlength=n)[rows]
        at_home = np.flatnonzero(own)
        all_rows = np.concatenate((rows, at_home))
        order = np.argsort(all_rows, kind="stable")
        homes = learned.user_points[query.users[at_home]]
        return _Where(
            assemble.offsets(np.bincount(all_rows, minlength=n)),
            np.concatenate((learned.item_points[items], homes))[order],
            np.concatenate((shares, np.ones(len(at_home))))[order],
            np.concatenate((items, np.full(len(at_home), -1)))[order],
        )

    def _explain(
        self, state: State, query: Query, item: int
    ) -> tuple[list[str], list[Any], np.ndarray]:
        told = self._where(state, query)
        alone = _Where(np.arange(len(told.items) + 1), told.points, told.shares, told.items)
        parts = self._closeness(alone, state.learned.item_points[[item]])[:, 0]
        weight = self.popularity_weight
        kinds, reasons = [], []
        for at, name, part in zip(
            told.items, state.interactions.items.take(told.items).tolist(), parts, strict=True
        ):
            if part > 0:
                kinds.append("place" if at < 0 else "item")
                kilometres = -np.log2(part) * self.half_distance
                reasons.append(f"{abs(kilometres):.1f} km" if at < 0 else name)
        amounts = parts[parts > 0]
        if weight > 0 and len(amounts):
            popular = weight * float(self._popularity(state, told)[0, item]) * amounts.sum()
            if popular > 0:
                kinds, reasons = [*kinds, "popularity"], [*reasons, None]
                amounts = np.append(amounts, popular)
            amounts = amounts / (1 + weight)
        return kinds, reasons, amounts

    # ------------------------------------------------------------------ fitted attributes

    @property
    def item_places_(self) -> np.ndarray:
        """Latitudes and longitudes of the items."""
        known: Places = self._attribute("item_places_").learned
        return known.items.copy()

    @property
    def user_places_(self) -> np.ndarray:
        """Latitudes and longitudes of the users."""
        known: Places = self._attribute("user_places_").learned
        return known.users.copy()


def _part(told: _Where, rows: slice) -> _Where:
    indptr = told.indptr[rows.start : rows.stop + 1]
    inside = slice(indptr[0], indptr[-1])
    return _Where(indptr - indptr[0], told.points[inside], told.shares[inside], told.items[inside])
