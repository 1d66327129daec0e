"""skrecsys: its `fit` takes the ids as they are, so its fit time includes numbering them."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import skrecsys.recommendation

from benchmarks.entrants.base import Entrant
from benchmarks.measure import THREADS


class SkrecsysEntrant(Entrant):
    """ItemKNNRecommender, or another neighbour model of the library."""

    packages: ClassVar = ["numpy", "pandas", "scipy", "skrecsys"]

    def __init__(self, kind: str = "ItemKNNRecommender", **parameters: Any) -> None:
        self.recommender = getattr(skrecsys.recommendation, kind)
        self.parameters = parameters

    def prepare(self, train: pd.DataFrame) -> np.ndarray:
        """Put the two columns side by side."""
        return train[["user_id", "item_id"]].to_numpy()

    def fit(self, prepared: np.ndarray) -> None:
        """Learn."""
        self.model = self.recommender(n_jobs=THREADS, **self.parameters).fit(prepared)

    def recommend(self, users: np.ndarray, k: int) -> np.ndarray:
        """Ask for all."""
        return self.model.recommend(users, n_recommendations=k)[0]

    def recommend_one(self, user: int, k: int) -> Any:
        """Ask for one user; an array costs it half of what a list costs."""
        return self.model.recommend(np.array([user]), n_recommendations=k)
