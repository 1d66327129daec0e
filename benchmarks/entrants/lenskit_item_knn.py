"""LensKit's item-kNN for implicit feedback; needs an environment with LensKit's own pandas."""

import warnings
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from lenskit import batch
from lenskit.data import Dataset, from_interactions_df
from lenskit.knn import ItemKNNScorer
from lenskit.operations import recommend
from lenskit.parallel import initialize
from lenskit.pipeline import topn_pipeline

from benchmarks.entrants.base import Entrant
from benchmarks.measure import THREADS

warnings.filterwarnings("ignore", module="lenskit")


class LensKitEntrant(Entrant):
    """Cosine on what was taken at all: it keeps no counts, so repeats are dropped."""

    packages: ClassVar = ["lenskit", "numpy", "pandas", "scipy", "torch"]

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        initialize(processes=1, threads=THREADS, backend_threads=THREADS)

    def prepare(self, train: pd.DataFrame) -> Dataset:
        """Make LensKit's data set."""
        return from_interactions_df(train.drop_duplicates(), class_name="purchase")

    def fit(self, prepared: Dataset) -> None:
        """Learn."""
        scorer = ItemKNNScorer(feedback="implicit", **self.parameters)
        self.model = topn_pipeline(scorer)
        self.model.train(prepared)

    def recommend(self, users: np.ndarray, k: int) -> np.ndarray:
        """Ask for all."""
        found = np.full((len(users), k), -1)
        for row, (_, items) in enumerate(batch.recommend(self.model, users, n=k, n_jobs=1)):
            ids = items.ids()
            found[row, : len(ids)] = ids
        return found

    def recommend_one(self, user: int, k: int) -> Any:
        """Ask for one user."""
        return recommend(self.model, user, n=k)
