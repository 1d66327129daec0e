"""A composite around a model that is fitted already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from ecomrec.base import SideTables, State
from ecomrec.composite import Composed, Named, with_state
from ecomrec.data.interactions import Change, Interactions
from ecomrec.data.source import Source
from ecomrec.data.tables import read_available
from ecomrec.exceptions import DataError
from ecomrec.vectors.compressed import expanded, is_coded


def adopted(parts: Named, source: Source, sides: SideTables) -> State:
    """A state around a model that is fitted already, with the items of the tables added to it."""
    (_, model), (_, content) = parts
    if not model.__sklearn_is_fitted__():
        raise NotFittedError(
            f"AttributeToFactor: prefit=True takes a fitted model, and this "
            f"{type(model).__name__} is not fitted. Fit it first (a clone or a loaded file has "
            "parameters only), or leave prefit False."
        )
    before = model._state
    events = source.shop(model._values(), getattr(model, "half_life", None))
    for what, ids, known, counts in (
        ("users", events.users, before.interactions.users, events.by_user.lengths),
        ("items", events.items, before.interactions.items, events.by_item.lengths),
    ):
        given = ids.take(np.flatnonzero(counts > 0))
        strangers = given[known.rows(given) < 0]
        if len(strangers):
            raise DataError(
                f"the events hold {len(strangers)} {what} that the fitted "
                f"{type(model).__name__} does not know, such as {strangers[:3].tolist()}: not "
                "what it was fitted on. Pass its own events, or partial_fit it with these first."
            )
    if is_coded(before.learned):
        before = replace(before, learned=expanded(before.learned))
    shop = before.interactions.listing(sides.items, sides.users)
    nobody = np.empty(0, dtype=np.int64)
    learned = model._partial_fit(before, shop, Change(nobody, nobody), sides)
    available = read_available(sides.items, shop.items, before.available)
    state = State(shop, learned, available, before.from_table)

    def read(values: Any, half_life: Any) -> Interactions:
        # Of events the content model needs none for what it is asked here.
        return shop

    described = with_state(content, content._fitted(Source(read, before.from_table), sides))
    composed = Composed((with_state(model, state), described))
    return State(shop, composed, available, before.from_table)
