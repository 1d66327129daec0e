"""Item2Vec and EmbeddingRecommender: parameters on inner splits, the test rows once.

``python -m benchmarks.embeddings [name ...]`` writes ``results/embeddings.json``; the names are
those of `PARTS`.
"""

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.measure import THREADS, conditions, hold_to_threads

hold_to_threads()

import numpy as np  # noqa: E402  # after the threads are set
import pandas as pd  # noqa: E402

from benchmarks.logs import DATA, load  # noqa: E402
from benchmarks.quality import recall_and_ndcg  # noqa: E402
from benchmarks.runner import RESULTS  # noqa: E402
from ecomrec.cf import ALS, ItemKNN, Popularity  # noqa: E402
from ecomrec.content import EmbeddingRecommender, Item2Vec, TfidfRecommender  # noqa: E402
from ecomrec.data import EventWeights  # noqa: E402
from ecomrec.datasets import load_online_retail  # noqa: E402
from ecomrec.evaluation import train_test_split  # noqa: E402

K = 20
ITEM_VECTORS = {
    "Item2Vec": Item2Vec(n_jobs=THREADS),
    "Item2Vec, window 5": Item2Vec(window=5, n_jobs=THREADS),
    "Item2Vec, popularity 0": Item2Vec(popularity=0.0, n_jobs=THREADS),
    "Item2Vec, sgns": Item2Vec(method="sgns", n_jobs=THREADS),
    "Item2Vec, sgns, window 5": Item2Vec(method="sgns", window=5, n_jobs=THREADS),
    "ItemKNN": ItemKNN(n_jobs=THREADS),
    "ALS": ALS(random_state=0, n_jobs=THREADS),
    "Popularity": Popularity(),
}
UNTIMED = [name for name in ITEM_VECTORS if "window" not in name]
TEXTS = {
    "EmbeddingRecommender": EmbeddingRecommender(n_jobs=THREADS),
    "EmbeddingRecommender, least_squares": EmbeddingRecommender(
        head="least_squares", n_jobs=THREADS
    ),
    "EmbeddingRecommender, contrastive": EmbeddingRecommender(head="contrastive", n_jobs=THREADS),
    "TfidfRecommender": TfidfRecommender(n_jobs=THREADS),
}


def ml_1m() -> dict[str, Any]:
    """The published split, without times."""
    log = load("ml-1m")
    held_out = pd.DataFrame({"user_id": log.test_users, "item_id": log.test_items})
    return _ranked({name: ITEM_VECTORS[name] for name in UNTIMED}, log.train(), held_out)


def taobao() -> dict[str, Any]:
    """The published split, with times: favourites, carts and purchases count alike."""
    train, test = (pd.read_parquet(DATA / f"taobao-events/{n}.parquet") for n in ("train", "test"))
    return _ranked(ITEM_VECTORS, train[["user_id", "item_id", "timestamp"]], test)


def shop() -> dict[str, Any]:
    """The bundled shop, split in time: items that are new to the customer."""
    shop = load_online_retail()
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
    train, test = train_test_split(events)
    return _ranked({**TEXTS, **ITEM_VECTORS}, train, test, shop.items)


PARTS = {"ml-1m": ml_1m, "taobao-events": taobao, "bundled shop": shop}


def _ranked(
    models: dict[str, Any], train: pd.DataFrame, test: pd.DataFrame, items: Any = None
) -> dict[str, Any]:
    """Seconds to fit, Recall@20 and NDCG@20 of items that each user does not have yet."""
    known = pd.MultiIndex.from_frame(train[["user_id", "item_id"]])
    wanted = test[["user_id", "item_id"]].drop_duplicates()
    wanted = wanted[~pd.MultiIndex.from_frame(wanted).isin(known)]
    wanted = wanted[wanted["user_id"].isin(train["user_id"])]
    numbers = pd.Index(np.union1d(train["item_id"].unique(), wanted["item_id"].unique()))
    users = np.sort(wanted["user_id"].unique())
    found = {}
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(train, items=items if model._reads_items else None)
        seconds = time.perf_counter() - start
        lists = model.recommend(users, k=K).items
        rows = numbers.get_indexer(lists.ravel()).reshape(lists.shape)
        recall, ndcg = recall_and_ndcg(
            rows, users, wanted["user_id"].to_numpy(), numbers.get_indexer(wanted["item_id"])
        )
        found[name] = {"fit_s": seconds, "recall": recall, "ndcg": ndcg}
        print(f"{name}: {seconds:.1f} s, {recall:.4f} {ndcg:.4f}", flush=True)
    return found


def main(names: Iterable[str]) -> None:
    path = RESULTS / "embeddings.json"
    report = json.loads(path.read_text()) if path.exists() else {"logs": {}}
    report["conditions"] = conditions(["numpy", "numba", "scipy", "scikit-learn", "ecomrec"])
    for name in names or PARTS:
        report["logs"][name] = PARTS[name]()
        path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
