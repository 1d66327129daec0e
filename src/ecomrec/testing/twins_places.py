"""Slow twins of `kernels.places`, by the haversine formula on degrees."""

from __future__ import annotations

import numpy as np

EARTH = 6371.0088


def haversine(one: np.ndarray, other: np.ndarray) -> float:
    """Kilometres between two (latitude, longitude) in degrees."""
    (lat, lon), (lat2, lon2) = np.radians(one), np.radians(other)
    a = np.sin((lat2 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat2) * np.sin((lon2 - lon) / 2) ** 2
    return float(2 * EARTH * np.arcsin(np.sqrt(min(a, 1.0))))


def closeness(
    rows: list[list[tuple[np.ndarray, float]]],
    places: np.ndarray,
    half_distance: float,
    limit: float = np.inf,
) -> np.ndarray:
    """Sum of ``share * 2 ** (-distance / half_distance)`` over the points of each row."""
    block = np.zeros((len(rows), len(places)))
    for row, points in enumerate(rows):
        for item, place in enumerate(places):
            for point, share in points:
                distance = haversine(point, place)
                if distance <= limit:  # never, for NaN
                    block[row, item] += share * 2 ** (-distance / half_distance)
    return block


def local_counts(
    rows: list[list[tuple[np.ndarray, float]]],
    homes: np.ndarray,
    half_distance: float,
    touched: np.ndarray,
) -> np.ndarray:
    """Users with a positive weight for each item, each counted by how near they are."""
    near = closeness(rows, homes, half_distance, 20 * half_distance)
    counts: np.ndarray = near @ (touched > 0)
    return counts
