"""Everybody who takes part: a name, where the class is, and its parameters.

Two of the same number of neighbours are compared with each other; `implicit` counts the item
itself among its K, so it gets one more.
"""

from importlib import import_module
from typing import Any

from benchmarks.entrants.base import Entrant

_ITEM_KNN = "ecomrec_item_knn:ItemKNNEntrant"
_IMPLICIT = "implicit_item_knn:ImplicitEntrant"
_SKRECSYS = "skrecsys_item_knn:SkrecsysEntrant"
_LENSKIT = "lenskit_item_knn:LensKitEntrant"

ENTRANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ecomrec ItemKNN": (_ITEM_KNN, {}),
    "ecomrec ItemKNN 20": (_ITEM_KNN, {"n_neighbors": 20}),
    "ecomrec ItemKNN 200": (_ITEM_KNN, {"n_neighbors": 200}),
    "ecomrec UserKNN": ("ecomrec_user_knn:UserKNNEntrant", {}),
    "ecomrec Popularity": ("ecomrec_popularity:PopularityEntrant", {}),
    "implicit cosine 20": (_IMPLICIT, {"kind": "CosineRecommender", "K": 21}),
    "implicit cosine 200": (_IMPLICIT, {"kind": "CosineRecommender", "K": 201}),
    "implicit TF-IDF 20": (_IMPLICIT, {"kind": "TFIDFRecommender", "K": 21}),
    "implicit TF-IDF 200": (_IMPLICIT, {"kind": "TFIDFRecommender", "K": 201}),
    "implicit BM25 20": (_IMPLICIT, {"kind": "BM25Recommender", "K": 21}),
    "implicit BM25 200": (_IMPLICIT, {"kind": "BM25Recommender", "K": 201}),
    "skrecsys ItemKNN 20": (_SKRECSYS, {"n_neighbors": 20}),
    "skrecsys ItemKNN 200": (_SKRECSYS, {"n_neighbors": 200}),
    "skrecsys ItemKNN 200 shrink 100": (_SKRECSYS, {"n_neighbors": 200, "shrink": 100.0}),
    "skrecsys RP3Beta 200": (_SKRECSYS, {"kind": "RP3Beta", "n_neighbors": 200}),
    "LensKit ItemKNN 20": (_LENSKIT, {"max_nbrs": 20, "save_nbrs": 20}),
    "LensKit ItemKNN 200": (_LENSKIT, {"max_nbrs": 200, "save_nbrs": 200}),
}

#: They need an environment of their own and take part through a worker process.
ELSEWHERE = [name for name in ENTRANTS if name.startswith("LensKit")]


def make(name: str) -> Entrant:
    """Return a fresh entrant; only now is its library imported."""
    home, parameters = ENTRANTS[name]
    module, class_name = home.split(":")
    entrant: Entrant = getattr(import_module(f"{__name__}.{module}"), class_name)(**parameters)
    return entrant


def n_neighbors(name: str) -> int | None:
    """Return how many neighbours an entrant keeps, None when its default decides."""
    parameters = ENTRANTS[name][1]
    if "K" in parameters:
        return int(parameters["K"]) - 1
    return parameters.get("n_neighbors", parameters.get("save_nbrs"))
