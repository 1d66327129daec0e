"""Answers compared as promised: scores within a tolerance, items outside ties."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ecomrec.base import BaseRecommender
from ecomrec.recommendations import Recommendations
from ecomrec.testing._logs import is_private

# Sums in another order, and weights that were stored as float32 in between.
RTOL = 1e-4
_units: list[float] = [0.0]


@contextmanager
def scores_of(model: BaseRecommender) -> Iterator[None]:
    """Compare scores of this model: those far below its unit are sums that cancelled."""
    _units.append(model._score_unit)
    try:
        yield
    finally:
        _units.pop()


def filled(recommendations: Recommendations) -> list[list[tuple[Any, float]]]:
    """Items and scores of each row, without the fill of short rows."""
    return [
        [(item, score) for item, score in zip(items, scores, strict=True) if score == score]
        for items, scores in zip(
            recommendations.items.tolist(), recommendations.scores.tolist(), strict=True
        )
    ]


def assert_same_answers(
    one: Recommendations,
    other: Recommendations,
    *,
    rename: Mapping[Any, Any] | None = None,
    what: str = "the answers",
) -> None:
    """Compare two answers to one request.

    Items of equal score may come in any order, and where a row is full the last of them may be
    other ones.

    Parameters
    ----------
    one, other : Recommendations
    rename : mapping, optional
        What the items of `one` are called in `other`.
    what : str
        For the message.
    """
    assert one.items.shape == other.items.shape, (
        f"{what} have the shapes {one.items.shape} and {other.items.shape}."
    )
    k = one.items.shape[1]
    for row, (mine, theirs) in enumerate(zip(filled(one), filled(other), strict=True)):
        if rename is not None:
            mine = [(rename[item], score) for item, score in mine]
        message = f"{what} differ in row {row}:\n  {mine}\n  {theirs}"
        assert len(mine) == len(theirs), message
        if not mine:
            continue
        ours, other_scores = (np.array([score for _, score in part]) for part in (mine, theirs))
        tolerance = RTOL * max(np.abs(ours).max(), np.abs(other_scores).max(), _units[-1])
        assert (np.abs(ours - other_scores) <= tolerance).all(), message
        starts = [0, *(np.flatnonzero(ours[:-1] - ours[1:] > 2 * tolerance) + 1), len(ours)]
        for first, last in itertools.pairwise(starts):
            if last == k:
                break
            tied = {item for item, _ in mine[first:last]}
            assert tied == {item for item, _ in theirs[first:last]}, message


def assert_equal_bits(one: Recommendations, other: Recommendations, what: str) -> None:
    """Compare two answers that must not differ at all."""
    message = f"{what} differ:\n{one!r}\n{other!r}"
    assert one.items.tolist() == other.items.tolist(), message
    assert np.array_equal(one.scores, other.scores, equal_nan=True), message


def everything(model: Any, **options: Any) -> Recommendations:
    """All that a fitted model would show to every user it knows, and one place more.

    A private model knows none: it is asked for visitors with one, two or three items.
    """
    who = {"history": visits(model)} if is_private(model) else {"users": model.user_ids_}
    answer: Recommendations = model.recommend(**who, k=len(model.item_ids_) + 1, **options)
    return answer


def visits(model: Any) -> list[list[Any]]:
    """A history for each item of a fitted model, of that item and at most two others."""
    ids = model.item_ids_.tolist()
    steps = ((0,), (0, 1), (0, 1, 3))
    places = [{(n + step) % len(ids) for step in steps[n % 3]} for n in range(len(ids))]
    return [[ids[place] for place in sorted(some)] for some in places]


def assert_same_models(one: Any, other: Any, what: str) -> None:
    """Compare everything that two fitted models recommend to all their users."""
    items = sorted(one.item_ids_.tolist())
    assert items == sorted(other.item_ids_.tolist()), f"{what} know other items."
    if is_private(one):
        assert_same_answers(everything(one), everything(other), what=what)
        return
    users = sorted(one.user_ids_.tolist())
    assert users == sorted(other.user_ids_.tolist()), f"{what} know other users."
    for exclude_seen in (True, False):
        k = len(items) + 1
        first = one.recommend(users, k=k, exclude_seen=exclude_seen)
        second = other.recommend(users, k=k, exclude_seen=exclude_seen)
        assert_same_answers(first, second, what=what)


def assert_refused(
    call: Callable[[], object],
    error: type[Exception] | tuple[type[Exception], ...],
    match: str,
    what: str,
) -> None:
    """Check that a call raises an error whose message matches a pattern."""
    message = None
    try:
        call()
    except error as raised:
        message = str(raised)
    assert message is not None, f"{what} is accepted."
    assert re.search(match, message), f"{what} is refused without {match!r}: {message}"


@contextmanager
def quick_files() -> Iterator[Path]:
    """A path for a file, in a folder that is removed; nothing waits for the disk.

    What is checked here is what files hold; a crash is another matter, and syncs dominate.
    """
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(os, "fsync"):
        yield Path(folder, "model.ecomrec")


def saved_bytes(model: BaseRecommender) -> bytes:
    """The bytes of the file that `save` writes."""
    with quick_files() as path:
        model.save(path)
        return path.read_bytes()
