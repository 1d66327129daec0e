"""ecomrec's ItemKNN; the other models of ecomrec are called the same way."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from benchmarks.entrants.base import Entrant
from benchmarks.measure import THREADS
from ecomrec.cf import ItemKNN
from ecomrec.data import Interactions


class EcomrecEntrant(Entrant):
    """Any recommender of ecomrec."""

    packages: ClassVar = ["ecomrec", "numba", "numpy", "pandas", "scipy"]
    recommender: type

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def prepare(self, train: pd.DataFrame) -> Interactions:
        """Number the ids and add up the rows."""
        return Interactions.from_table(train)

    def fit(self, prepared: Interactions) -> None:
        """Learn."""
        self.model = self.recommender(**self.parameters).fit(prepared)

    def recommend(self, users: np.ndarray, k: int) -> np.ndarray:
        """Return the items of `Recommendations`."""
        items, _ = self.model.recommend(users, k=k)
        return np.asarray(items)

    def recommend_one(self, user: int, k: int) -> Any:
        """Ask for one user."""
        return self.model.recommend([user], k=k)


class ItemKNNEntrant(EcomrecEntrant):
    """Item neighbours."""

    recommender = ItemKNN

    def __init__(self, **parameters: Any) -> None:
        super().__init__(n_jobs=THREADS, **parameters)
