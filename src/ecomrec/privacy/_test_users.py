"""Test users of a private evaluation: what a model is told of each, and what it should find."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ecomrec._ranking import METRICS
from ecomrec._validation import check_k
from ecomrec.data.ids import IdMap, encode_usable_ids
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import ITEM, USER, is_table, require_columns, to_frame
from ecomrec.exceptions import DataError
from ecomrec.privacy._reading import readable_events
from ecomrec.privacy.bounding import refuse_learned_weights, usable


class Person(NamedTuple):
    """One user: id, rows of the items that are shown to the model, and of the hidden ones."""

    key: Any
    given: np.ndarray
    hidden: np.ndarray


class Metric(NamedTuple):
    """A metric such as "ndcg@20"."""

    label: str
    name: str
    k: int


def parse_metrics(metrics: str | Sequence[str]) -> list[Metric]:
    """Read names with their lengths of lists, such as "recall@20"."""
    found = []
    for label in [metrics] if isinstance(metrics, str) else list(metrics):
        name, _, k = str(label).partition("@")
        if name not in METRICS or not k.isdecimal() or int(k) < 1:
            raise ValueError(
                f"metrics must be names like 'ndcg@20', with one of {sorted(METRICS)}; "
                f"got {label!r}."
            )
        found.append(Metric(str(label), name, check_k(int(k))))
    if not found or len({metric.label for metric in found}) < len(found):
        raise ValueError(f"metrics must name at least one metric, none twice; got {metrics!r}.")
    return found


def read_test_users(test: Any, history: Any, catalog: IdMap, hidden: float) -> list[Person]:
    """Read test users, each from their own rows alone; rows that are unusable count for nothing.

    Parameters
    ----------
    test : table, Interactions, or users x items matrix
    history : table or None
        What the users did before. None: a share of each user's items is hidden, the newest, or,
        without times, those that a fixed order of the catalogue says; at least one of two.
    catalog : IdMap
        The items of the model; events of others count for nothing.
    hidden : float

    Returns
    -------
    list of Person
        Sorted by id; everybody in it has a hidden item.
    """
    later = _events_by_user(test, catalog, "the test table")
    people = []
    if history is None:
        turn = np.random.default_rng(0).permutation(max(len(catalog), 1))
        for key, (items, times) in later.items():
            n_hidden = max(1, int(hidden * len(items)))
            if len(items) < 2:
                continue
            order = items[np.lexsort((turn[items], times))]
            people.append(Person(key, order[:-n_hidden], order[-n_hidden:]))
        return people
    earlier = _events_by_user(history, catalog, "the history table")
    nothing = np.empty(0, dtype=np.int64)
    for key, (items, _) in later.items():
        given = earlier[key][0] if key in earlier else nothing
        new = items[~np.isin(items, given)]
        if len(new):
            people.append(Person(key, given, new))
    return people


def _events_by_user(
    data: Any, catalog: IdMap, what: str
) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """Distinct items with a positive net weight of each user, and the newest time of each."""
    refuse_learned_weights(data)
    if is_table(data):
        frame = to_frame(data, what)
        require_columns(frame, (USER, ITEM), what)
        events = readable_events(frame, None, what)
        users, user_ids, _ = encode_usable_ids(events.users, USER)
        codes, ids, kind = encode_usable_ids(events.items, ITEM)
        values, times = events.values, events.times
    else:
        given = isinstance(data, Interactions)
        shop = data if given else Interactions.from_matrix(usable(data))
        users = np.repeat(np.arange(shop.n_users), np.diff(shop.indptr))
        codes, values, times = shop.indices, shop.data, shop.timestamps
        user_ids, ids, kind = shop.user_ids, shop.item_ids, shop.items.kind
    if len(ids) and kind not in (catalog.kind, "mixed"):
        raise DataError(
            f"{what} has item ids of the kind {kind!r}, the model {catalog.kind!r}. Convert one."
        )
    items = np.append(catalog.rows(ids), -1)[codes]
    values = np.ones(len(codes)) if values is None else values
    times = np.zeros(len(codes), dtype=np.int64) if times is None else times
    known = np.flatnonzero((items >= 0) & (users >= 0))
    order = known[np.lexsort((times[known], items[known], users[known]))]
    users, items, values, times = (column[order] for column in (users, items, values, times))
    found = {}
    keys = user_ids.tolist()
    for rows in np.split(np.arange(len(users)), np.flatnonzero(np.diff(users)) + 1):
        if not len(rows):
            continue
        own, first = np.unique(items[rows], return_index=True)
        last = np.append(first[1:], len(rows)) - 1
        good = np.add.reduceat(values[rows], first) > 0
        if good.any():
            found[keys[users[rows[0]]]] = own[good].astype(np.int64), times[rows][last][good]
    return found


def metric_values(
    model: Any, catalog: IdMap, people: Sequence[Person], metrics: Sequence[Metric]
) -> np.ndarray:
    """Metrics of each user, who is asked for alone: nobody's list depends on who else is there.

    Returns
    -------
    ndarray of shape (n_users, n_metrics), float64
        From 0 to 1.
    """
    most = max(metric.k for metric in metrics)
    values = np.zeros((len(people), len(metrics)))
    for row, person in enumerate(people):
        history = catalog.take(person.given).tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model.recommend(history=[history], k=most, unknown="skip").items
        places = catalog.rows(found.ravel())
        hits = (np.isin(places, person.hidden) & (places >= 0))[None, :]
        size = np.array([len(person.hidden)])
        for column, metric in enumerate(metrics):
            values[row, column] = METRICS[metric.name](hits[:, : metric.k], size)[0]
    return np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0)
