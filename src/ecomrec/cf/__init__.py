"""Collaborative filtering: popularity and neighbour models."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {"ItemKNN": "item_knn", "Popularity": "popularity", "UserKNN": "user_knn"}
)
