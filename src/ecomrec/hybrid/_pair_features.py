"""What is known of pairs of a visitor and an item: scores, places, attributes, times, prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ecomrec.base import Query
from ecomrec.data.histories import Profiles
from ecomrec.data.interactions import Interactions
from ecomrec.hybrid._comparable import listed_places, place_in, sizes
from ecomrec.hybrid._side_columns import Coding, SideColumns
from ecomrec.kernels import ranking

#: Groups of features, in the order of their columns.
GROUPS = ("scores", "ranks", "popularity", "recency", "history", "price", "items", "users")
_DAY = 86_400e9
# Where all that is new scores next to nothing beside what was touched, it stays next to nothing.
_LEAST_SHARE = 0.05
#: When an item was touched that never was.
NEVER = np.iinfo(np.int64).min
PRICE = "price"


class Facts(NamedTuple):
    """What is known beside the scores of the parts, as of one moment.

    Attributes
    ----------
    items, users : SideColumns
    item_times : ndarray of shape (n_items,), int64, or None
        When each item was last touched, in nanoseconds; None without times.
    """

    items: SideColumns
    users: SideColumns
    item_times: np.ndarray | None


class Proposals(NamedTuple):
    """What the parts say for the rows of a query.

    Attributes
    ----------
    blocks : list of ndarray of shape (n, n_items)
        Scores by part, NaN without evidence.
    lists : list of tuple of ndarray of shape (n, n_candidates)
        The best items that the visitor has not touched, their scores and their places, by part.
    """

    blocks: list[np.ndarray]
    lists: list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def proposals(
    blocks: list[np.ndarray], profiles: Profiles, n_candidates: int, n_jobs: int | None
) -> Proposals:
    """Return the lists of each part beside its scores, whatever a request leaves out."""
    unseen = ranking.hiding(profiles.items, profiles.indptr)
    lists = []
    for block in blocks:
        items, scores = ranking.top_k(block, n_candidates, unseen, n_jobs)
        lists.append((items, scores, listed_places(scores)))
    return Proposals(blocks, lists)


def scale_of(block: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """What the scores of each row are divided by, given the largest of what is new."""
    scale = np.maximum(largest, _LEAST_SHARE * sizes(block))
    found: np.ndarray = np.where(scale > 0, scale, 1.0)
    return found


def candidates(lists: list[np.ndarray], n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and items of all that is in some lists (n, k), each once, sorted by both."""
    row_of = np.arange(len(lists[0]))[:, None] * n_items
    keys = np.concatenate([(row_of + items)[items >= 0] for items in lists])
    rows, items = np.divmod(np.unique(keys), n_items)
    return rows, items


class Places(NamedTuple):
    """What parts think of pairs: arrays of shape (n_pairs, n_parts), NaN without evidence.

    Attributes
    ----------
    scores : ndarray
    ranks : ndarray
        Places from 1 among what the visitor has not touched, NaN beyond the list. Equal scores
        share the better place; an item that was touched has the place that its score would have.
    shares : ndarray
        Scores over the largest of the list.
    """

    scores: np.ndarray
    ranks: np.ndarray
    shares: np.ndarray


def places(found: Proposals, rows: np.ndarray, items: np.ndarray) -> Places:
    """Return what the parts think of some pairs of a row and an item."""
    scores = np.full((len(rows), len(found.blocks)), np.nan)
    ranks, shares = scores.copy(), scores.copy()
    for part, (block, (listed, values, shared)) in enumerate(zip(*found, strict=True)):
        scores[:, part] = block[rows, items]
        shares[:, part] = scores[:, part] / scale_of(block, sizes(values))[rows]
        n, k = listed.shape
        filled = listed >= 0
        keys = (np.arange(n)[:, None] * block.shape[1] + listed)[filled]
        spots = shared[filled]
        order = np.argsort(keys)
        keys, spots = keys[order], spots[order]
        wanted = rows * block.shape[1] + items
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        inside = keys[at] == wanted if len(keys) else np.zeros(len(rows), dtype=bool)
        ranks[inside, part] = spots[at[inside]]
        other = np.flatnonzero(~inside & ~np.isnan(scores[:, part]))
        if len(other):
            place = place_in(values, rows[other], scores[other, part])
            ranks[other, part] = np.where(place <= k, place, np.nan)
    return Places(scores, ranks, shares)


def feature_names(
    parts: Sequence[str], facts: Facts, groups: Sequence[str], context: Coding | None
) -> list[str]:
    """Names of the columns of `pair_features`."""
    names = {
        "scores": [f"{name}_{what}" for what in ("score", "share") for name in parts],
        "ranks": [f"{name}_rank" for name in parts],
        "popularity": ["item_popularity"],
        "recency": [] if facts.item_times is None else ["item_recency", "user_recency"],
        "history": ["user_items"],
        "price": [] if facts.items.number(PRICE) is None else ["price_fit"],
        "items": [f"item: {name}" for name in facts.items.coding.names],
        "users": [f"user: {name}" for name in facts.users.coding.names],
    }
    found = [name for group in GROUPS if group in groups for name in names[group]]
    return found + ([] if context is None else [f"context: {name}" for name in context.names])


def columns_of_parts(parts: Sequence[str], groups: Sequence[str]) -> tuple[list[str], slice]:
    """Whose the first columns of `pair_features` are, by name, and which of them are places."""
    n_scores = 2 * len(parts) if "scores" in groups else 0
    n_places = len(parts) if "ranks" in groups else 0
    owners = list(parts) * ((n_scores + n_places) // len(parts))
    return owners, slice(n_scores, n_scores + n_places)


def pair_features(
    shop: Interactions,
    facts: Facts,
    query: Query,
    placed: Places,
    rows: np.ndarray,
    items: np.ndarray,
    groups: Sequence[str],
    context: np.ndarray | None = None,
) -> np.ndarray:
    """Return the features of pairs of a row of a query and an item: (n_pairs, n_features)."""
    columns: dict[str, Any] = {"scores": np.hstack(placed[::2]), "ranks": placed[1]}
    if "popularity" in groups:
        # A share: what is counted over a longer time must not look more popular.
        counts = shop.item_counts
        columns["popularity"] = np.log((counts[items] + 0.5) / max(1, counts.sum()))[:, None]
    if "recency" in groups and facts.item_times is not None:
        of_items = _recency(shop, facts.item_times)[items]
        of_users = _recency(shop, user_times(shop, query))[rows]
        columns["recency"] = np.column_stack((of_items, of_users))
    if "history" in groups:
        lengths = np.diff(query.profiles.indptr)
        columns["history"] = np.log1p(lengths)[rows][:, None]
    prices = facts.items.number(PRICE)
    if "price" in groups and prices is not None:
        logs = log_prices(prices)
        columns["price"] = (logs[items] - usual(logs, query.profiles)[rows])[:, None]
    columns["items"] = facts.items.values[items]
    nobody = facts.users.coding.coded({}, 1)
    known = np.concatenate((facts.users.values, nobody))
    columns["users"] = known[query.users[rows]]
    parts = [columns[group] for group in GROUPS if group in groups and group in columns]
    return np.concatenate(parts + ([] if context is None else [context]), axis=1)


def item_times(shop: Interactions) -> np.ndarray | None:
    """When each item was last touched (the lowest integer: never), or None without times."""
    if not shop.timed:
        return None
    columns = shop.by_user.to_csr()[1]
    return later_times(np.full(shop.n_items, NEVER), columns[0], columns[2])


def later_times(known: np.ndarray, items: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return times of items with later ones taken in, in place."""
    np.maximum.at(known, items, times)
    return known


def user_times(shop: Interactions, query: Query) -> np.ndarray:
    """When each visitor of a query did something last, by what is stored."""
    found = np.full(len(query.users), NEVER)
    known = np.flatnonzero(query.users >= 0)
    indptr, columns = shop.by_user.take(query.users[known])
    lengths = np.diff(indptr)
    some = lengths > 0
    if some.any():
        found[known[some]] = np.maximum.reduceat(columns[2], indptr[:-1][some])
    return found


def _recency(shop: Interactions, times: np.ndarray) -> np.ndarray:
    """Logarithm (base 2) of one plus days before the newest event, in half steps; NaN for never.

    Exact times would tell items apart, and let a ranker learn by heart what sold later.
    """
    days = np.maximum(shop.newest - times.astype(np.float64), 0.0) / _DAY
    return np.where(times == NEVER, np.nan, np.round(2 * np.log2(1 + days)) / 2)


def log_prices(prices: np.ndarray) -> np.ndarray:
    """Logarithms of prices, NaN where there is none above 0."""
    return np.log(np.where(prices > 0, prices, np.nan))


def usual(logs: np.ndarray, profiles: Profiles) -> np.ndarray:
    """Mean log price of what each visitor liked, NaN if none has a price."""
    row_of = np.repeat(np.arange(len(profiles.indptr) - 1), np.diff(profiles.indptr))
    values = logs[profiles.items]
    counts = (profiles.weights > 0) & ~np.isnan(values)
    n = len(profiles.indptr) - 1
    sums = np.bincount(row_of[counts], weights=values[counts], minlength=n)
    number = np.bincount(row_of[counts], minlength=n)
    mean: np.ndarray = np.divide(sums, number, out=np.full(n, np.nan), where=number > 0)
    return mean
