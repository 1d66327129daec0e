"""How near places are to each other, by distance halvings along the surface of the earth."""

import math

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit

#: Mean radius of the earth in kilometres.
EARTH = 6371.0088
# Who is this many half distances away counts nothing among the neighbours: below a millionth.
_HALVINGS = 20.0


@jit
def _distance(one, other):
    """Kilometres between two points on the unit sphere, along its surface."""
    x, y, z = one[0] - other[0], one[1] - other[1], one[2] - other[2]
    half = min(1.0, 0.5 * math.sqrt(x * x + y * y + z * z))
    return 2.0 * EARTH * math.asin(half)


@jit
def _closeness(start, stop, indptr, points, shares, places, half_distance, limit, block):
    for row in range(start, stop):
        for item in range(len(places)):
            total = 0.0
            if places[item, 0] == places[item, 0]:
                for at in range(indptr[row], indptr[row + 1]):
                    distance = _distance(points[at], places[item])
                    if distance <= limit:
                        total += shares[at] * 2.0 ** (-distance / half_distance)
            block[row, item] = total


def closeness(indptr, points, shares, places, half_distance, limit=np.inf, n_jobs=1):
    r"""Return how near places are to those of each row: :math:`\sum_p c_p 2^{-d_p / h}`.

    Parameters
    ----------
    indptr : ndarray of shape (n_rows + 1,), int64
    points : ndarray of shape (n, 3)
        Row r is at ``points[indptr[r] : indptr[r + 1]]``, on the unit sphere.
    shares : ndarray of shape (n,)
        What each of them counts for.
    places : ndarray of shape (n_places, 3)
        On the unit sphere; NaN where not known, which is near to nothing.
    half_distance, limit : float
        In kilometres; beyond `limit` nothing is near.
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n_rows, n_places), float64
    """
    indptr, points, shares, places = _fixed(indptr, points, shares, places)
    block = np.zeros((len(indptr) - 1, len(places)))
    run_sharded(
        lambda start, stop: _closeness(
            start, stop, indptr, points, shares, places, float(half_distance), float(limit), block
        ),
        (np.diff(indptr) * 20 + 1) * len(places),
        n_jobs,
    )
    return block


@jit
def _local_counts(start, stop, indptr, points, shares, homes, half_distance, store, block):
    starts, lengths, items, weights = store
    for row in range(start, stop):
        for user in range(len(homes)):
            near = 0.0
            if homes[user, 0] == homes[user, 0]:
                for at in range(indptr[row], indptr[row + 1]):
                    halvings = _distance(points[at], homes[user]) / half_distance
                    if halvings <= _HALVINGS:
                        near += shares[at] * 2.0**-halvings
            if near > 0:
                for at in range(starts[user], starts[user] + lengths[user]):
                    if weights[at] > 0:
                        block[row, items[at]] += near


def local_counts(indptr, points, shares, homes, half_distance, store, n_items, n_jobs=1):
    """Return how many users near each row have each item, each by how near they are.

    Parameters
    ----------
    indptr, points, shares, half_distance, n_jobs
        As in `closeness`.
    homes : ndarray of shape (n_users, 3)
        Where users are; NaN where it is not known, who count nothing.
    store : tuple of (starts, lengths, items, weights)
        What they touched.
    n_items : int

    Returns
    -------
    ndarray of shape (n_rows, n_items), float64
    """
    indptr, points, shares, homes = _fixed(indptr, points, shares, homes)
    block = np.zeros((len(indptr) - 1, n_items))
    run_sharded(
        lambda start, stop: _local_counts(
            start, stop, indptr, points, shares, homes, float(half_distance), store, block
        ),
        (np.diff(indptr) * 20 + 1) * len(homes),
        n_jobs,
    )
    return block


def _fixed(indptr, points, shares, places):
    return (
        np.ascontiguousarray(indptr, dtype=np.int64),
        np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3),
        np.ascontiguousarray(shares, dtype=np.float64),
        np.ascontiguousarray(places, dtype=np.float64).reshape(-1, 3),
    )


def on_sphere(degrees):
    """Return latitudes and longitudes in degrees (n, 2) as points of the unit sphere (n, 3)."""
    lat, lon = np.radians(np.asarray(degrees, dtype=np.float64).reshape(-1, 2)).T
    return np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
