"""ecomrec's UserKNN."""

from typing import Any

from benchmarks.entrants.ecomrec_item_knn import EcomrecEntrant
from benchmarks.measure import THREADS
from ecomrec.cf import UserKNN


class UserKNNEntrant(EcomrecEntrant):
    """User neighbours."""

    recommender = UserKNN

    def __init__(self, **parameters: Any) -> None:
        super().__init__(n_jobs=THREADS, **parameters)
