"""implicit's item-item recommenders: they take a matrix, so ids are the caller's work."""

import warnings
from typing import Any, ClassVar, NamedTuple

import implicit.nearest_neighbours
import numpy as np
import pandas as pd
from scipy import sparse

from benchmarks.entrants.base import Entrant
from benchmarks.measure import THREADS

# It converts its own weighted matrix and warns about it.
warnings.filterwarnings("ignore", category=implicit.utils.ParameterWarning)


class Numbered(NamedTuple):
    """A users x items matrix and the ids of its rows and columns."""

    matrix: sparse.csr_matrix
    users: pd.Index
    items: np.ndarray


class ImplicitEntrant(Entrant):
    """Cosine, TF-IDF or BM25; a batch is a Python loop inside, on one thread."""

    packages: ClassVar = ["implicit", "numpy", "pandas", "scipy"]

    def __init__(self, kind: str, **parameters: Any) -> None:
        self.recommender = getattr(implicit.nearest_neighbours, kind)
        self.parameters = parameters

    def prepare(self, train: pd.DataFrame) -> Numbered:
        """Number the ids and add up the rows."""
        rows, users = pd.factorize(train["user_id"])
        columns, items = pd.factorize(train["item_id"])
        ones = np.ones(len(train), np.float32)
        matrix = sparse.csr_matrix((ones, (rows, columns)), shape=(len(users), len(items)))
        return Numbered(matrix, pd.Index(users), np.asarray(items))

    def fit(self, prepared: Numbered) -> None:
        """Learn."""
        self.numbered = prepared
        self.model = self.recommender(num_threads=THREADS, **self.parameters)
        self.model.fit(prepared.matrix, show_progress=False)

    def recommend(self, users: np.ndarray, k: int) -> np.ndarray:
        """Translate to rows, ask, translate back."""
        rows = self.numbered.users.get_indexer(users)
        found, _ = self.model.recommend(rows, self.numbered.matrix[rows], N=k)
        return np.where(found >= 0, self.numbered.items[found], -1)

    def recommend_one(self, user: int, k: int) -> Any:
        """Ask for one user."""
        row = self.numbered.users.get_loc(user)
        return self.model.recommend(row, self.numbered.matrix[row], N=k)
