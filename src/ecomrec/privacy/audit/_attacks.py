"""Attacks on fitted recommenders: from scores of a person's own items, and from lists alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse import linalg
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ecomrec._rng import make_rng
from ecomrec.data.tables import is_table, read_events
from ecomrec.exceptions import DataError
from ecomrec.privacy.audit._recording import auditable

Histories = list[list[Any]]
# Scores that the model gives at a time: people times items.
_BLOCK = 4_000_000
_N_VECTORS = 32


def fitted_on(model: Any, members: Any, fit_params: Mapping[str, Any]) -> Any:
    """Fit a copy on the members' table."""
    if not is_table(members):
        raise DataError("members must be a table of events if the model is yet to be fitted.")
    return auditable(model).fit(members, **fit_params)


def read(people: Any) -> Histories:
    """Return each person's items, each once; nobody without any."""
    if is_table(people):
        events = read_events(people, what="the table of people")
        rows: dict[Any, dict[Any, None]] = {}
        for user, item in zip(list(events.users), list(events.items), strict=True):
            rows.setdefault(user, {})[item] = None
        return [list(items) for items in rows.values()]
    return [list(dict.fromkeys(items)) for items in people if len(items)]


def own_ranks(model: Any, people: Histories) -> np.ndarray:
    """Return the mean share of the catalogue that ranks behind a person's own items."""
    n_items = len(model.item_ids_)
    size = max(1, _BLOCK // max(1, n_items))
    found = np.full(len(people), 0.5)
    for start in range(0, len(people), size):
        part = people[start : start + size]
        answer = model.recommend(history=part, k=n_items, exclude_seen=False, unknown="skip")
        for row, (history, items) in enumerate(zip(part, answer.items.tolist(), strict=True)):
            places = {item: place for place, item in enumerate(items)}
            own = [places[item] for item in history if item in places]
            if own:
                found[start + row] = 1.0 - np.mean(own) / n_items
    return found


def list_scores(
    model: Any,
    members: Histories,
    nonmembers: Histories,
    k: int,
    item_vectors: tuple[Any, np.ndarray] | None,
    random_state: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much each person of the second half looks like a member to the first half."""
    rng = make_rng(random_state)
    people = members + nonmembers
    labels = np.repeat([1, 0], [len(members), len(nonmembers)])
    teaches = np.zeros(len(people), dtype=bool)
    for label in (0, 1):
        group = np.flatnonzero(labels == label)
        teaches[rng.permutation(group)[: len(group) // 2]] = True
    if item_vectors is None:
        item_vectors = _vectors([p for p, yes in zip(people, teaches, strict=True) if yes])
    ids, vectors = item_vectors
    places = {item: place for place, item in enumerate(np.asarray(ids, dtype=object).tolist())}
    lists = model.recommend(history=people, k=k, unknown="skip").items.tolist()
    features = np.array(
        [
            _centre(history, places, vectors) - _centre(recommended, places, vectors)
            for history, recommended in zip(people, lists, strict=True)
        ]
    )
    # Sizes beside signs: a line in the differences alone cannot say "far".
    features = np.hstack((features, np.abs(features), np.linalg.norm(features, axis=1)[:, None]))
    scaler = StandardScaler().fit(features[teaches])
    attack = LogisticRegression(C=0.1, max_iter=2000)
    attack.fit(scaler.transform(features[teaches]), labels[teaches])
    scores = attack.decision_function(scaler.transform(features[~teaches]))
    return scores[labels[~teaches] == 1], scores[labels[~teaches] == 0]


def _vectors(people: Histories) -> tuple[list[Any], np.ndarray]:
    """Item vectors from histories: the strongest singular vectors of normalised rows."""
    ids = list(dict.fromkeys(item for history in people for item in history))
    place = {item: column for column, item in enumerate(ids)}
    columns = [place[item] for history in people for item in history]
    lengths = [len(history) for history in people]
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    data = np.repeat(1.0 / np.sqrt(lengths), lengths)
    matrix = sp.csr_array((data, columns, indptr), shape=(len(people), len(ids)))
    rank = min(_N_VECTORS, min(matrix.shape) - 1)
    if rank < 1:
        return ids, np.ones((len(ids), 1))
    start = np.ones(min(matrix.shape))
    _, sizes, right = linalg.svds(matrix, k=rank, v0=start)
    return ids, right.T * sizes


def _centre(items: Sequence[Any], places: Mapping[Any, int], vectors: np.ndarray) -> np.ndarray:
    rows = [places[item] for item in items if item in places]
    centre: np.ndarray = vectors[rows].mean(axis=0) if rows else np.zeros(vectors.shape[1])
    return centre
