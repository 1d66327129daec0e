"""New items in the lists of a model that does not know them, by what another one makes of them."""

from __future__ import annotations

import numpy as np

from ecomrec.base import Query, State
from ecomrec.composite import CompositeRecommender
from ecomrec.kernels import ranking

# Places of known items by which scores of two parts are compared, and the most that are asked for.
_N_PLACES, _MOST_PLACES = 100, 1000


def content_part(state: State, weight: float) -> int | None:
    """Which part scores new items for the first one: None if there is none, or no need."""
    parts = state.learned.parts
    if parts[0]._reads_items or weight == 0 or state.interactions.item_counts.all():
        return None
    return next((n for n, part in enumerate(parts) if n and part._reads_items), None)


def best_new_items(
    model: CompositeRecommender,
    state: State,
    query: Query,
    mask: ranking.Mask,
    k: int,
    content: int,
    weight: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The best new items of each row, with scores that compare with those of the first part."""
    part, asked = state.learned.parts[content], model._asked_of(state, content, query)
    new = state.interactions.item_counts == 0
    allowed = new & mask.allowed if len(mask.allowed) else new
    found, values = part._top_k(part._state, asked, k, mask._replace(allowed=allowed))
    return found, _in_units_of_first(model, state, query, content, weight, values)


def score_new_items(
    model: CompositeRecommender,
    state: State,
    query: Query,
    content: int,
    weight: float,
    block: np.ndarray,
    rows: np.ndarray,
) -> None:
    """Give new items their scores in some rows of a block of the first part's, in place."""
    part, asked = state.learned.parts[content], model._asked_of(state, content, query)
    new = np.flatnonzero(state.interactions.item_counts == 0)
    values = part._score(part._state, asked)[:, new]
    block[np.ix_(rows, new)] = _in_units_of_first(model, state, query, content, weight, values)


def _in_units_of_first(
    model: CompositeRecommender,
    state: State,
    query: Query,
    content: int,
    weight: float,
    values: np.ndarray,
) -> np.ndarray:
    """Scores of new items, by row, as the first part would give them."""
    old = state.interactions.item_counts > 0
    # Whatever may be shown, a score is the same: places are counted among all that is unseen.
    unseen = query.profiles.items, query.profiles.indptr
    mask = ranking.Mask(old, ranking.NOTHING, ranking.NO_OFFSETS, *unseen)
    n_places = _N_PLACES, int(np.ceil(min(_N_PLACES / weight, _MOST_PLACES)))
    best = []
    for number, most in zip((content, 0), n_places, strict=True):
        part, asked = state.learned.parts[number], model._asked_of(state, number, query)
        best.append(part._top_k(part._state, asked, min(most, len(old)), mask)[1])
    capped = state.learned.parts[0]._values() == "rating"
    rows = [
        aligned(values[row], best[0][row], best[1][row], weight, capped)
        for row in range(len(values))
    ]
    return np.array(rows, dtype=np.float32).reshape(values.shape)


def aligned(
    scores: np.ndarray, known: np.ndarray, wanted: np.ndarray, weight: float, capped: bool
) -> np.ndarray:
    """Scores of one part as another one would give them, by place among items that both score.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Of new items, by the part that knows them; NaN where it does not.
    known, wanted : ndarray
        Best scores of known items by that part, and by the other; falling, NaN behind the last.
    weight : float
        Place r among the first is worth as much as place ``r / weight`` among the others.
    capped : bool
        Nothing gets more than the best of `wanted`.

    Returns
    -------
    ndarray of shape (n,), float64
    """
    known, wanted = (v[~np.isnan(v)].astype(np.float64) for v in (known, wanted))
    if len(known) == 0 or len(wanted) == 0 or weight == 0:
        return np.full(len(scores), np.nan)
    places = np.arange(1, len(known) + 1) / weight
    usable = max(1, int(np.count_nonzero(places <= len(wanted))))
    x = known[:usable]
    y = np.interp(places[:usable], np.arange(1, len(wanted) + 1), wanted)
    given = scores.astype(np.float64)
    found: np.ndarray = np.interp(given, x[::-1], y[::-1])
    slope = (y[0] - y[-1]) / (x[0] - x[-1]) if x[0] > x[-1] else 0.0
    above, below = given > x[0], given < x[-1]
    found[above] = y[0] + (given[above] - x[0]) * slope
    if x[-1] > 0 and y[-1] > 0:
        found[below] = y[-1] * np.maximum(given[below], 0) / x[-1]
    else:
        found[below] = y[-1] - (x[-1] - given[below]) * slope
    if capped:
        found = np.minimum(found, wanted[0])
    found[np.isnan(given)] = np.nan
    return found


def merged(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best k of two lists of different items for each row: by score, then by row number."""
    items = np.concatenate((one[0], other[0]), axis=1)
    scores = np.concatenate((one[1], other[1]), axis=1).astype(np.float32)
    scores[items < 0] = np.nan
    rank = np.where(np.isnan(scores), np.inf, -scores.astype(np.float64))
    order = np.lexsort((items, rank), axis=1)[:, :k]
    items, scores = (np.take_along_axis(v, order, axis=1) for v in (items, scores))
    items[np.isnan(scores)] = -1
    return items, scores
