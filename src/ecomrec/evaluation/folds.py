"""Cross-validation over the rows of an event table at random: per user, by row, cold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import narwhals as nw
import numpy as np

from ecomrec._rng import RandomState, make_rng
from ecomrec.data.tables import ITEM, USER
from ecomrec.evaluation._tables import read_codes
from ecomrec.evaluation.splits import EventSplitter, Rows, is_share, parts, places
from ecomrec.exceptions import DataError


@dataclass(frozen=True)
class RandomPerUser(EventSplitter):
    """Test on a random share of the events of each user.

    Parameters
    ----------
    n_splits : int
        Number of independent splits.
    test_size : float
        Share of each user's events in the test part, in (0, 1), rounded to the nearest number
        of events. At least one event of each user stays in the training part.
    random_state : None, int, Generator or RandomState
        An integer gives the same splits again.

    Notes
    -----
    Complete. Time is ignored: models learn from the future here. It is the split of many published
    comparisons and of catalogues without times.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import RandomPerUser
    >>> events = pd.DataFrame({"user_id": [1] * 5 + [2] * 5, "item_id": list(range(5)) * 2})
    >>> train, test = next(RandomPerUser(test_size=0.4, random_state=0).split(events))
    >>> events.loc[test, "user_id"].tolist()
    [1, 1, 2, 2]
    """

    n_splits: int = 3
    _: KW_ONLY
    test_size: float = 0.2
    random_state: RandomState = None

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        if not is_share(self.test_size):
            raise ValueError(
                f"test_size must be a share of the events, in (0, 1); got {self.test_size!r}."
            )
        rng = make_rng(self.random_state)
        users = read_codes(frame, USER, "event")
        for _ in range(self.n_splits):
            order = np.lexsort((rng.random(len(users)), users))
            order, place, n_events = places(users, order)
            n_test = np.minimum(np.floor(n_events * self.test_size + 0.5), n_events - 1)
            yield parts(len(users), order[place < n_test])


@dataclass(frozen=True)
class KFoldRows(EventSplitter):
    """Each event is in the test part of exactly one of n_splits random folds.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2.
    random_state : None, int, Generator or RandomState
        An integer gives the same folds again.

    Notes
    -----
    Meant for ratings, one row per pair. Fold sizes differ by one row at most. Time is ignored, and
    repeated purchases of a pair may fall on both sides.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import KFoldRows
    >>> events = pd.DataFrame({"user_id": range(6), "item_id": range(6)})
    >>> [len(test) for _, test in KFoldRows(3, random_state=0).split(events)]
    [2, 2, 2]
    """

    n_splits: int = 5
    _: KW_ONLY
    random_state: RandomState = None

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        n_rows = len(frame)
        for fold in _folds(n_rows, self.n_splits, "events", make_rng(self.random_state)):
            yield parts(n_rows, fold)


@dataclass(frozen=True)
class ColdUserSplit(EventSplitter):
    """Test on users of whom the model has seen nothing: k-fold over users.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2; each user is in the test part of exactly one.
    random_state : None, int, Generator or RandomState
        An integer gives the same folds again.

    Notes
    -----
    Scorers skip users that the model does not know. For a model that answers strangers, use
    ``ranking_scorer(..., unknown="count")``.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import ColdUserSplit
    >>> events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [5, 6, 5, 6, 5]})
    >>> [sorted(set(events.user_id[test])) for _, test in
    ...  ColdUserSplit(3, random_state=0).split(events)]
    [[3], [1], [2]]
    """

    n_splits: int = 5
    _: KW_ONLY
    random_state: RandomState = None

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        yield from _cold(frame, USER, "users", self.n_splits, make_rng(self.random_state))


@dataclass(frozen=True)
class ColdItemSplit(EventSplitter):
    """Test on items of which the model has seen nothing: k-fold over items.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2; each item is in the test part of exactly one.
    random_state : None, int, Generator or RandomState
        An integer gives the same folds again.

    Notes
    -----
    For models that know items from their attributes or text, handed to `fit` as `items`.

    Examples
    --------
    >>> import pandas as pd
    >>> from ecomrec.evaluation import ColdItemSplit
    >>> events = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": [5, 6, 5, 6, 5]})
    >>> [len(test) for _, test in ColdItemSplit(2, random_state=0).split(events)]
    [3, 2]
    """

    n_splits: int = 5
    _: KW_ONLY
    random_state: RandomState = None

    def _split(self, frame: nw.DataFrame[Any]) -> Iterator[tuple[Rows, Rows]]:
        yield from _cold(frame, ITEM, "items", self.n_splits, make_rng(self.random_state))


def _folds(n: int, n_splits: int, what: str, rng: np.random.Generator) -> list[Rows]:
    """Shuffled positions in n_splits parts whose sizes differ by one at most."""
    if n_splits < 2:
        raise ValueError(f"n_splits must be at least 2 for folds; got {n_splits}.")
    if n < n_splits:
        raise DataError(f"{n_splits} folds need at least as many {what}; got {n}.")
    return np.array_split(rng.permutation(n), n_splits)


def _cold(
    frame: nw.DataFrame[Any], column: str, what: str, n_splits: int, rng: np.random.Generator
) -> Iterator[tuple[Rows, Rows]]:
    codes = read_codes(frame, column, "event")
    for fold in _folds(int(codes.max()) + 1, n_splits, what, rng):
        yield parts(len(codes), np.flatnonzero(np.isin(codes, fold)))
