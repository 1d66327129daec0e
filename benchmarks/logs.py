"""The logs that everybody is measured on: who took what, and what was held out.

They are kept as plain arrays on disk, so that an environment without ecomrec reads the same log.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
DATA = Path(os.environ.get("ECOMREC_DATA", HERE.parents[1] / "shared" / "data"))


@dataclass(frozen=True)
class Log:
    """Rows of (user, item) to learn from and rows of (user, item) to find, as integer ids."""

    train_users: np.ndarray
    train_items: np.ndarray
    test_users: np.ndarray
    test_items: np.ndarray

    def train(self) -> pd.DataFrame:
        """Return the rows to learn from, as a table that shares its memory with this log."""
        columns = {"user_id": self.train_users, "item_id": self.train_items}
        return pd.DataFrame(columns, copy=False)

    def targets(self) -> np.ndarray:
        """Return the users to recommend to: the test users that the train rows know."""
        return np.intersect1d(self.test_users, self.train_users)


def load(name: str) -> Log:
    """Read a log from the cache, making it on first use."""
    folder = CACHE / name
    columns = [field.name for field in fields(Log)]
    if not folder.exists():
        log = LOGS[name]()
        folder.mkdir(parents=True)
        for column in columns:
            np.save(folder / f"{column}.npy", np.ascontiguousarray(getattr(log, column), np.int64))
    return Log(*(np.load(folder / f"{column}.npy") for column in columns))


def tiny() -> Log:
    """Return a small log that compiles and warms whatever compiles or warms on first use."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 300, 6000), rng.integers(0, 200, 6000)
    return Log(users, items, np.arange(300), rng.integers(0, 200, 300))


def _from_parquet(train: str, test: str) -> Log:
    kept, held_out = (pd.read_parquet(DATA / f"{name}.parquet") for name in (train, test))
    return Log(
        kept["user_id"].to_numpy(),
        kept["item_id"].to_numpy(),
        held_out["user_id"].to_numpy(),
        held_out["item_id"].to_numpy(),
    )


def _taobao() -> Log:
    return _from_parquet("taobao-events/train", "taobao-events/test")


def _ml_1m() -> Log:
    return _from_parquet("ml-1m/split_train", "ml-1m/split_test")


def _synthetic() -> Log:
    from ecomrec.datasets import make_shop

    size = {"n_users": 200_000, "n_items": 50_000, "n_events": 5_000_000, "n_groups": 200}
    visits = make_shop(**size, columns=("user_id", "item_id"), random_state=0).events
    users, items = (visits[name].to_numpy(np.int64) for name in ("user_id", "item_id"))
    return Log(*_hold_out(users, items, n_users=10_000, seed=1))


def _hold_out(
    users: np.ndarray, items: np.ndarray, n_users: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Take one item away from `n_users` users who keep another.

    Returns the users and items of the rows that stay, then those to find.
    """
    rng = np.random.default_rng(seed)
    width = int(items.max()) + 1
    pairs = np.unique(users * width + items)
    owners = pairs // width
    several = np.flatnonzero(np.bincount(owners) > 1)
    chosen = np.sort(rng.choice(several, n_users, replace=False))
    first, last = np.searchsorted(owners, chosen), np.searchsorted(owners, chosen, side="right")
    taken = pairs[first + (rng.random(n_users) * (last - first)).astype(np.int64)]
    keep = ~np.isin(users * width + items, taken)
    return users[keep], items[keep], taken // width, taken % width


LOGS: dict[str, Callable[[], Log]] = {
    "taobao-events": _taobao,
    "ml-1m": _ml_1m,
    "synthetic-5m": _synthetic,
}
