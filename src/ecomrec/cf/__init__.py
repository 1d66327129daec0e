"""Collaborative filtering: popularity and neighbour models."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "ALS": "als",
        "BPR": "bpr",
        "EASE": "ease",
        "GraphFilter": "graph_filter",
        "ItemKNN": "item_knn",
        "Popularity": "popularity",
        "PureSVD": "pure_svd",
        "SLIM": "slim",
        "SVD": "svd",
        "UserKNN": "user_knn",
    },
)
