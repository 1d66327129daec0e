"""A recommender of the protocol, small enough to trust, and tables of every kind."""

from collections.abc import Callable, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator


class PopularStub(BaseEstimator):
    """Recommends by number of training rows; ties go to the smaller id."""

    def __init__(self, *, reverse: bool = False, answers_strangers: bool = False) -> None:
        self.reverse = reverse
        self.answers_strangers = answers_strangers

    def fit(self, X: Any, y: Any = None, *, items: Any = None, users: Any = None) -> "PopularStub":
        frame = nw.from_native(X, eager_only=True)
        events = pd.DataFrame(
            {name: frame[name].to_numpy().astype(object) for name in ("user_id", "item_id")}
        )
        counts = events["item_id"].value_counts().sort_index()
        sign = 1 if self.reverse else -1
        self.item_ids_ = counts.index.to_numpy()
        self.user_ids_ = np.unique(events["user_id"].to_numpy())
        self.ranking_ = self.item_ids_[np.argsort(sign * counts.to_numpy(), kind="stable")]
        self.seen_ = set(zip(events["user_id"], events["item_id"], strict=True))
        self.side_table_ = items
        return self

    def recommend(
        self,
        users: Sequence[Any],
        k: int = 10,
        exclude_seen: bool = True,
        unknown: str = "raise",
    ) -> tuple[np.ndarray, np.ndarray]:
        assert unknown == "skip"
        known = set(self.user_ids_)
        lists = np.full((len(users), k), None, dtype=object)
        for row, user in enumerate(users):
            if user in known or self.answers_strangers:
                left = [
                    i for i in self.ranking_ if not exclude_seen or (user, i) not in self.seen_
                ]
                lists[row, : len(left[:k])] = left[:k]
        return lists, np.zeros((len(users), k), dtype=np.float32)

    def has_seen(self, pairs: pd.DataFrame) -> np.ndarray:
        both = zip(pairs["user_id"], pairs["item_id"], strict=True)
        return np.array([pair in self.seen_ for pair in both], dtype=bool)


@pytest.fixture
def stub() -> type[PopularStub]:
    return PopularStub


def _nullable(table: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(table).convert_dtypes()


TABLES = {"pandas": pd.DataFrame, "nullable": _nullable, "polars": pl.DataFrame, "arrow": pa.table}


@pytest.fixture(params=list(TABLES))
def make_table(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Any]:
    """Makes a table of one kind from a dict of lists."""
    return TABLES[request.param]  # type: ignore[no-any-return]


@pytest.fixture
def events() -> pd.DataFrame:
    """400 events of 30 users and 12 items of falling popularity, one per second, some repeated."""
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 13)
    return pd.DataFrame(
        {
            "user_id": rng.integers(100, 130, 400),
            "item_id": rng.choice(12, size=400, p=share / share.sum()),
            "timestamp": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(400), unit="s"),
        }
    )
