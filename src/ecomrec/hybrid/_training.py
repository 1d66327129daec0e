"""What a ranker of candidates learns, and from whom: requests of a later time slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.base import SideTables
from ecomrec.data.catalog import cells_of
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Later
from ecomrec.data.tables import ITEM, TIME, USER, require_columns, to_frame
from ecomrec.data.timestamps import to_nanoseconds
from ecomrec.exceptions import DataError
from ecomrec.hybrid import _ranker
from ecomrec.hybrid._pair_features import (
    NEVER,
    Facts,
    feature_names,
    item_times,
    later_times,
)
from ecomrec.hybrid._side_columns import Coding, SideColumns, coding_of

# Importances are estimated on so many pairs, and rates are calibrated on so many requests.
_MOST_PAIRS = 8_000
_MOST_CALIBRATING = 2_000


@dataclass(frozen=True, eq=False)
class Ranking:
    """What `TwoStage` learns beside its parts.

    Attributes
    ----------
    learner : estimator or None
        The ranker as a file gives it back; None where there was too little to learn from.
    knots : ndarray of shape (2, n)
        From margins to rates; empty for scores as they are.
    typical : ndarray of shape (n_features,)
        Values that stand for "nothing known": medians, and places behind the last.
    importances : ndarray of shape (n_features,)
    item_coding, user_coding : dict
        Names of coded columns.
    item_values, user_values : ndarray
    item_since, user_since : ndarray
    item_times : ndarray of shape (n_items,), or empty without times
    context : dict or None
        Coding of the columns of a request's context.
    held_out : ndarray of shape (n_users,), bool
        Who taught the ranker nothing.
    n_positives : int
        How many of the candidates of the later slice were touched, by whomever.
    """

    learner: Any
    knots: np.ndarray
    typical: np.ndarray
    importances: np.ndarray
    item_coding: dict[str, Any]
    user_coding: dict[str, Any]
    item_values: np.ndarray
    user_values: np.ndarray
    item_since: np.ndarray
    user_since: np.ndarray
    item_times: np.ndarray
    context: dict[str, Any] | None
    held_out: np.ndarray
    n_positives: int

    @computed_once
    def facts(self) -> Facts:
        """Attributes and times, as features are made from them."""
        items = SideColumns(Coding(**self.item_coding), self.item_values, self.item_since)
        users = SideColumns(Coding(**self.user_coding), self.user_values, self.user_since)
        return Facts(items, users, self.item_times if len(self.item_times) else None)

    @computed_once
    def context_coding(self) -> Coding | None:
        """How a request's context becomes numbers."""
        return None if self.context is None else Coding(**self.context)

    def added(self, shop: Interactions, change: Change, sides: SideTables) -> Ranking:
        """Return the same ranker beside the facts of a shop with a batch of events."""
        known, times = self.facts, self.facts.item_times
        if times is not None:
            new = np.full(shop.n_items - len(times), NEVER)
            _, columns = shop.by_user.take(change.users)
            times = later_times(np.concatenate((times, new)), columns[0], columns[2])
        facts = Facts(
            known.items.updated(sides.items, ITEM, shop.items),
            known.users.updated(sides.users, USER, shop.users),
            times,
        )
        held_out = np.ones(shop.n_users, dtype=bool)
        held_out[: len(self.held_out)] = self.held_out
        return replace(self, **fields_of(facts), held_out=held_out)

    def without(
        self, left: Interactions, kept_users: np.ndarray, kept_items: np.ndarray
    ) -> Ranking:
        """Return the same ranker beside the facts of what is left of a shop."""
        known = self.facts
        facts = Facts(known.items.kept(kept_items), known.users.kept(kept_users), item_times(left))
        return replace(self, **fields_of(facts), held_out=self.held_out[kept_users])

    def fits(self, shop: Interactions, parts: Sequence[str], model: Any) -> bool:
        """Whether all has the shapes that a file must have given it."""
        facts, (n_users, n_items) = self.facts, shop.shape
        names = feature_names(parts, facts, model._groups(), self.context_coding)
        n = len(names)
        return (
            self.knots.ndim == 2
            and len(self.knots) == 2
            and bool(np.isfinite(self.knots).all())
            and self.knots.dtype == np.float64
            and self.typical.shape == self.importances.shape == (n,)
            and facts.items.values.shape == (n_items, len(facts.items.coding.names))
            and facts.users.values.shape == (n_users, len(facts.users.coding.names))
            and self.item_since.shape == (n_items,)
            and self.user_since.shape == self.held_out.shape == (n_users,)
            and self.item_times.shape == ((n_items,) if shop.timed else (0,))
            and all(v.dtype == np.int64 for v in (self.item_times, self.item_since))
            and self.held_out.dtype == bool
            and (self.learner is None or int(self.learner.n_features_in_) == n)
        )


def fields_of(facts: Facts) -> dict[str, Any]:
    """The fields of a `Ranking` that hold facts."""
    return {
        "item_coding": vars(facts.items.coding),
        "user_coding": vars(facts.users.coding),
        "item_values": facts.items.values,
        "user_values": facts.users.values,
        "item_since": facts.items.since,
        "user_since": facts.users.since,
        "item_times": np.empty(0, np.int64) if facts.item_times is None else facts.item_times,
    }


class Requests(NamedTuple):
    """Who asked in the later slice, sorted, and what they then touched.

    Attributes
    ----------
    users : ndarray of shape (n,), int64
    contexts : ndarray of shape (n, n_columns) or None
    touched : ndarray, int64
        Request times n_items plus item, of each pair with evidence; sorted.
    """

    users: np.ndarray
    contexts: np.ndarray | None
    touched: np.ndarray


def requests_of(
    later: Later, shop: Interactions, cells: dict[str, np.ndarray] | None
) -> tuple[Requests, Coding | None]:
    """Return the later slice as requests: one for each user, and for each context of a user."""
    coding, codes = None, np.zeros(len(later.users), dtype=np.int64)
    contexts = None
    if cells is not None:
        coding = coding_of(cells)
        useless = sorted(set(cells) - set(coding.columns))
        if useless:
            raise DataError(
                f"the context columns {useless} hold neither numbers nor words that repeat and "
                "differ: nothing can be learned from them. Leave them out of context."
            )
        values = coding.coded(cells, len(later.users))
        different, codes = np.unique(values, axis=0, return_inverse=True)
        codes = codes.ravel()
    keys, request_of = np.unique(
        later.users * (codes.max(initial=0) + 1) + codes, return_inverse=True
    )
    users, code = np.divmod(keys, codes.max(initial=0) + 1)
    if cells is not None:
        contexts = different[code]
    good = later.weights > 0
    touched = np.unique(request_of[good] * shop.n_items + later.items[good])
    return Requests(users, contexts, touched), coding


def context_of_pairs(
    events: Any, columns: Sequence[str], later: Later, shop: Interactions
) -> dict[str, np.ndarray]:
    """Cells of context columns for each later pair, from an event of it at its newest time."""
    if events is None:
        raise DataError(
            f"context={list(columns)} names columns of the event table, and there is none here. "
            "Fit on a table that has them."
        )
    frame = to_frame(events, "the event table")
    require_columns(frame, (USER, ITEM, *columns), "the event table")
    keys = [
        ids.rows(np.fromiter(frame[name].to_list(), dtype=object, count=len(frame)))
        for ids, name in ((shop.users, USER), (shop.items, ITEM))
    ]
    pair = keys[0] * shop.n_items + keys[1]
    wanted = later.users * shop.n_items + later.items
    order = np.arange(len(pair))
    if later.times is not None:
        times = to_nanoseconds(frame[TIME].to_numpy(), TIME)
        order = np.argsort(-times, kind="stable")
    order = order[np.argsort(pair[order], kind="stable")]
    rows = order[np.searchsorted(pair[order], wanted)]
    return {name: cells_of(frame[name])[rows] for name in columns}


@dataclass(frozen=True)
class Recipe:
    """How a ranker is trained: parameters of `TwoStage`."""

    ranker: Any
    n_negatives: int | None
    calibration: str | None
    calibration_users: float
    held_out_users: float
    max_users: int | None
    min_positives: int
    n_candidates: int
    seed: int


class Pairs(NamedTuple):
    """Candidates of some requests, sorted by request.

    Attributes
    ----------
    features : ndarray of shape (n_pairs, n_features)
    labels : ndarray of shape (n_pairs,), int64
        1 for what was touched, 0 for what was not.
    request_of : ndarray of shape (n_pairs,), int64
        Numbers of the requests, rising.
    """

    features: np.ndarray
    labels: np.ndarray
    request_of: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Pairs], n_features: int) -> Pairs:
        """Return the candidates of several blocks of requests."""
        nothing = np.empty(0, dtype=np.int64)
        parts = [cls(np.empty((0, n_features)), nothing, nothing), *parts]
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def learned_ranking(
    recipe: Recipe,
    users: np.ndarray,
    n_users: int,
    is_place: np.ndarray,
    pairs_of: Callable[[np.ndarray], Pairs],
) -> dict[str, Any]:
    """Train, calibrate and look into a ranker: fields of `Ranking`.

    Parameters
    ----------
    recipe : Recipe
    users : ndarray of shape (n,), int64
        Rows of those who asked, rising.
    n_users : int
    is_place : ndarray of shape (n_features,), bool
        Which features are places in the lists of parts.
    pairs_of : callable
        Takes some of `users` and returns the candidates of their requests.
    """
    rng = np.random.default_rng(recipe.seed)
    n = len(is_place)
    nothing: dict[str, Any] = {
        "learner": None,
        "knots": np.empty((2, 0)),
        "typical": np.full(n, np.nan),
        "importances": np.zeros(n),
        "held_out": np.ones(n_users, dtype=bool),
        "n_positives": 0,
    }
    # Each user's part is drawn alone: what others do changes nobody's.
    chance = rng.random(n_users)[users]
    order = np.argsort(chance)
    users, chance = users[order], chance[order]
    ends = np.cumsum(
        [recipe.held_out_users, (1 - recipe.held_out_users) * recipe.calibration_users]
    )
    _, calibrating, training = np.split(users, np.searchsorted(chance, ends))
    calibrating, training = calibrating[:_MOST_CALIBRATING], training[: recipe.max_users]
    learn = pairs_of(np.sort(training))
    check = pairs_of(np.sort(calibrating))
    n_positives = int(learn.labels.sum())
    nothing["n_positives"] = n_positives
    if (
        n_positives < recipe.min_positives
        or any(len(np.unique(part.labels)) < 2 for part in (learn, check))
        or n == 0
    ):
        return nothing
    keep = _sampled(learn, recipe.n_negatives, rng)
    features, labels = learn.features[keep], learn.labels[keep]
    # A column without any value teaches nothing; some rankers fail at it.
    features[:, np.isnan(features).all(axis=0)] = 0
    typical = typical_of(features, is_place, recipe.n_candidates)
    sizes = np.unique(learn.request_of[keep], return_counts=True)[1]
    known = features if _ranker.takes_missing(recipe.ranker) else filled(features, typical)
    fitted = _ranker.trained(recipe.ranker, known, labels, sizes, recipe.seed)
    known = (
        check.features if _ranker.takes_missing(recipe.ranker) else filled(check.features, typical)
    )
    knots = nothing["knots"]
    if recipe.calibration is not None:
        found = _ranker.margins(fitted, known)
        knots = _ranker.calibrated(found, check.labels, recipe.calibration)
    some = np.sort(rng.permutation(len(known))[:_MOST_PAIRS])
    if len(np.unique(check.labels[some])) == 2:
        nothing["importances"] = _ranker.importances(fitted, known[some], check.labels[some], rng)
    nothing["held_out"][np.append(training, calibrating)] = False
    return nothing | {"learner": fitted, "knots": knots, "typical": typical}


def labels_of(requests: Requests, request_of: np.ndarray, items: np.ndarray, n: int) -> np.ndarray:
    """1 where a request touched an item, else 0."""
    return np.isin(request_of * n + items, requests.touched).astype(np.int64)


def typical_of(features: np.ndarray, is_place: np.ndarray, n_candidates: int) -> np.ndarray:
    """Medians of the features; where a part does not propose, the place behind its last one."""
    typical = np.where(is_place, n_candidates + 1.0, 0.0)
    for column in np.flatnonzero(~is_place):
        known = features[:, column][~np.isnan(features[:, column])]
        if len(known):
            typical[column] = np.median(known)
    return typical


def filled(features: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Features for rankers that do not take missing values."""
    return np.where(np.isnan(features), typical, features)


def _sampled(pairs: Pairs, n_negatives: int | None, rng: np.random.Generator) -> np.ndarray:
    """Which pairs teach: all that was touched, and some of what was not, of each request."""
    keep = np.ones(len(pairs.labels), dtype=bool)
    if n_negatives is not None:
        other = np.flatnonzero(pairs.labels == 0)
        chance = rng.random(len(other))
        order = other[np.lexsort((chance, pairs.request_of[other]))]
        owner = pairs.request_of[order]
        first = np.searchsorted(owner, owner)
        keep[order[np.arange(len(order)) - first >= n_negatives]] = False
    return keep
