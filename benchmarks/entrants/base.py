"""What an entrant does: from the shop's table to lists of the shop's ids."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pandas as pd


class Entrant(ABC):
    """One library's model with fixed parameters; `model` is None until it is fitted."""

    packages: ClassVar[list[str]]
    model: Any = None

    @abstractmethod
    def prepare(self, train: pd.DataFrame) -> Any:
        """Turn the table (user_id, item_id; repeats add up) into what `fit` takes."""

    @abstractmethod
    def fit(self, prepared: Any) -> None:
        """Learn."""

    @abstractmethod
    def recommend(self, users: np.ndarray, k: int) -> np.ndarray:
        """Return an (n, k) array of unseen item ids, best first, -1 where there are fewer."""

    @abstractmethod
    def recommend_one(self, user: int, k: int) -> Any:
        """Answer one request the way a server would, in the library's own form."""

    def forget(self) -> None:
        """Let go of what was learned."""
        self.model = None
