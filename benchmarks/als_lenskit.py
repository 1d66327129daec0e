"""LensKit's ALS on the problem of `als`, for an environment of its own.

``python -m benchmarks.als_lenskit LOG N_FACTORS`` prints a line of JSON.
"""

import json
import sys
import time
import warnings
from typing import Any

from benchmarks.measure import THREADS, conditions, hold_to_threads

hold_to_threads()

import numpy as np  # noqa: E402  # after the threads are set
from lenskit import batch  # noqa: E402
from lenskit.als import ImplicitMFScorer  # noqa: E402
from lenskit.data import from_interactions_df  # noqa: E402
from lenskit.parallel import initialize  # noqa: E402
from lenskit.pipeline import topn_pipeline  # noqa: E402

from benchmarks.als import (  # noqa: E402
    CONFIDENCE,
    N_ITERATIONS,
    REGULARIZATION,
    K,
    loss,
    matrix_of,
)
from benchmarks.logs import load  # noqa: E402
from benchmarks.quality import recall_and_ndcg  # noqa: E402

warnings.filterwarnings("ignore", module="lenskit")


def measure(name: str, n_factors: int) -> dict[str, Any]:
    """Fit the model on the same problem."""
    initialize(processes=1, threads=THREADS, backend_threads=THREADS)
    log = load(name)
    pairs = log.train().drop_duplicates()
    parameters = {"regularization": REGULARIZATION, "weight": CONFIDENCE - 1}
    for table, n_epochs in ((pairs[:20_000], 1), (pairs, N_ITERATIONS)):
        known = from_interactions_df(table, class_name="purchase")
        scorer = ImplicitMFScorer(embedding_size=n_factors, epochs=n_epochs, **parameters)
        pipeline = topn_pipeline(scorer)
        start = time.perf_counter()
        pipeline.train(known)
        seconds = time.perf_counter() - start
    users = log.targets()
    found = np.full((len(users), K), -1)
    for row, (_, listed) in enumerate(batch.recommend(pipeline, users, n=K, n_jobs=1)):
        ids = listed.ids()
        found[row, : len(ids)] = ids
    recall, ndcg = recall_and_ndcg(found, users, log.test_users, log.test_items)
    scorer = pipeline.component("scorer")
    sides = ((scorer.users, log.train_users), (scorer.items, log.train_items))
    user_rows, item_rows = (known.numbers(np.unique(ids)) for known, ids in sides)
    return {
        "fit_s": seconds,
        "iterations": N_ITERATIONS,
        "loss": loss(
            matrix_of(log), scorer.user_embeddings[user_rows], scorer.item_embeddings[item_rows]
        ),
        "recall": recall,
        "ndcg": ndcg,
        "versions": conditions(["lenskit", "numpy", "scipy", "torch"])["versions"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
