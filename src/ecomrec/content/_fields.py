"""Which columns of the items table a model reads, and how much each of them counts."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ecomrec._validation import Rule
from ecomrec.data.catalog import Catalog
from ecomrec.exceptions import DataError

#: What is read as text where a model's `fields` is None.
TEXT_FIELDS = {
    "title": 5.0,
    "name": 5.0,
    "category": 2.0,
    "brand": 2.0,
    "manufacturer": 2.0,
    "tags": 2.0,
    "description": 1.0,
}


def field_weights() -> Rule:
    """Accept None, or a dict of column names to positive weights."""
    return Rule(
        "None or a dict of column names to positive numbers, such as {'title': 5, 'brand': 2}",
        lambda v: v is None or _are_weights(v),
        ("title", {}, {"title": 0}, {"title": "much"}, {3: 1.0}, ["title"]),
    )


def _are_weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and name for name in value)
        and all(
            isinstance(weight, numbers.Real)
            and not isinstance(weight, bool)
            and 0 < float(weight) < float("inf")
            for weight in value.values()
        )
    )


def chosen_fields(
    owner: str,
    given: Mapping[str, float] | None,
    catalog: Catalog,
    defaults: Mapping[str, float],
    kinds: Iterable[str],
) -> dict[str, float]:
    """Return the columns to read and their weights.

    Parameters
    ----------
    owner : str
        The model, for messages.
    given : mapping or None
        The parameter `fields`.
    catalog : Catalog
    defaults : mapping
        What is read if `given` is None: those of them that are there and of the right kind.
    kinds : iterable of str
        The right kinds, as `Catalog.kind_of` calls them.

    Raises
    ------
    DataError
        A column given is not there, or none of the defaults is.
    """
    if given is not None:
        missing = [name for name in given if name not in catalog.columns]
        if missing:
            raise DataError(
                f"{owner}: fields names the columns {missing}, which the items table lacks; it "
                f"has {catalog.columns}."
            )
        return {name: float(weight) for name, weight in given.items()}
    allowed = {*kinds, "nothing"}
    there = {name: catalog.kind_of(name) for name in defaults if name in catalog.columns}
    found = {name: defaults[name] for name, kind in there.items() if kind in allowed}
    if not found and there:
        raise DataError(
            f"{owner} reads columns of {' or '.join(sorted(kinds))}; in the items table "
            + ", ".join(f"{name!r} is {kind}" for name, kind in there.items())
            + ". Turn what is to be read into strings, such as table['title'].astype(str)."
        )
    if not found:
        raise DataError(
            f"{owner} found none of the columns {list(defaults)} in the items table, which has "
            f"{catalog.columns}. Say what to read, such as fields={{'product_name': 1}}."
        )
    return found


def fields_of_batch(owner: str, fields: Mapping[str, float], catalog: Catalog) -> bool:
    """Whether the items table of a batch brings what a model reads: all of it, or nothing.

    Raises
    ------
    DataError
        Some of the columns are there and others are not: what they say would be lost.
    """
    there = [name for name in fields if name in catalog.columns]
    if there and len(there) < len(fields):
        missing = [name for name in fields if name not in catalog.columns]
        raise DataError(
            f"{owner} reads the columns {list(fields)}; the items table of this batch lacks "
            f"{missing}. Give all of them, for they replace what is known of an item, or none."
        )
    return bool(there)


def place_of(catalog: Catalog, items: Any) -> np.ndarray:
    """Row of each item of a catalogue among the items of a shop (int64)."""
    rows: np.ndarray = items.rows(catalog.ids)
    return rows
