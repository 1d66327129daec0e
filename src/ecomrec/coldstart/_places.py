"""Coordinates as they come in tables and requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecomrec._lazy import computed_once
from ecomrec.data.catalog import cells_of
from ecomrec.data.ids import IdMap
from ecomrec.data.interactions import Interactions
from ecomrec.data.tables import read_ids, to_frame
from ecomrec.exceptions import DataError
from ecomrec.kernels import places
from ecomrec.state import ArrayRule


@dataclass(frozen=True, eq=False)
class Places:
    """What `Nearby` learns.

    Attributes
    ----------
    items, users : ndarray of shape (n_items, 2) and (n_users, 2), float64
        Latitude and longitude in degrees; NaN where they are not known.
    """

    items: np.ndarray
    users: np.ndarray

    def array_rules(self, shop: Interactions) -> dict[str, ArrayRule]:
        """What a file must hold for these interactions."""
        return {"items": ArrayRule((shop.n_items, 2)), "users": ArrayRule((shop.n_users, 2))}

    @computed_once
    def item_points(self) -> np.ndarray:
        """Items as points of the unit sphere."""
        points: np.ndarray = places.on_sphere(self.items)
        return points

    @computed_once
    def user_points(self) -> np.ndarray:
        """Users as points of the unit sphere."""
        points: np.ndarray = places.on_sphere(self.users)
        return points


def has_places(table: Any, columns: tuple[str, str]) -> bool:
    """Whether a side table says where its rows are."""
    if table is None:
        return False
    return set(columns) <= set(to_frame(table, "the side table").columns)


def with_places(
    known: np.ndarray, table: Any, key: str, columns: tuple[str, str], ids: IdMap
) -> np.ndarray:
    """Coordinates with those of a table instead of the ones it replaces; NaN for new rows."""
    found = np.full((len(ids), 2), np.nan)
    found[: len(known)] = known
    if not has_places(table, columns):
        return found
    kind = key.removesuffix("_id")
    frame, native = read_ids(table, key, f"the {kind}s table")
    rows = ids.rows(native)
    given = np.column_stack(
        [_numbers(cells_of(frame[name]), name, f"the {kind}s table") for name in columns]
    )
    names = ids.ids[rows]
    found[rows] = checked(given, columns, lambda row: f"{kind} {names[row]!r}")
    return found


def read_location(location: Any, n: int | None) -> np.ndarray:
    """Read one (lat, lon) for all of `n` rows, or one for each: (n, 2)."""
    try:
        given = np.asarray(location, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.shape == (2,):
        given = np.tile(given, (1 if n is None else n, 1))
    if given.ndim != 2 or given.shape[1] != 2 or (n is not None and len(given) != n):
        rows = "rows" if n is None else f"{n} rows"
        raise DataError(
            f"location must be one (lat, lon), or one for each of the {rows}; got {location!r}."
        )
    return checked(given, ("lat", "lon"), lambda row: f"location {row}")


def checked(given: np.ndarray, columns: tuple[str, str], name: Any) -> np.ndarray:
    """Coordinates, both NaN where either is missing; refuse what is on no globe."""
    given = given.copy()
    given[np.isnan(given).any(axis=1)] = np.nan
    wrong = np.flatnonzero((np.abs(given[:, 0]) > 90) | (np.abs(given[:, 1]) > 180))
    if len(wrong):
        lat, lon = given[wrong[0]].tolist()
        swapped = " Perhaps they are swapped." if abs(lat) <= 180 and abs(lon) <= 90 else ""
        raise DataError(
            f"{name(int(wrong[0]))} is at {columns[0]} {lat:g} and {columns[1]} {lon:g}; degrees "
            f"of latitude are from -90 to 90, of longitude from -180 to 180.{swapped}"
        )
    return given


def _numbers(cells: np.ndarray, name: str, what: str) -> np.ndarray:
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell is not None:
            if isinstance(cell, (bool, np.bool_, str)):
                raise DataError(f"{what} must hold degrees in its column {name}; got {cell!r}.")
            try:
                values[row] = float(cell)
            except (TypeError, ValueError):
                raise DataError(
                    f"{what} must hold degrees in its column {name}; got {cell!r}."
                ) from None
    return values
