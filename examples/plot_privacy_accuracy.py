"""
What privacy costs in accuracy
==============================

One noisy matrix, made once, is all that a private model learns from customers. How much worse are
its lists? It depends on how many customers there are, and on which products are asked for.
"""

# %%
# A made-up shop of 8,000 customers and 400 products in ten groups of taste. A tenth of the
# customers is kept out of every fit: the shop will know them only by what they tell, and the
# models must find the rest of what they bought.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ecomrec.cf import EASE, Popularity
from ecomrec.datasets import make_shop
from ecomrec.evaluation import per_user_metrics
from ecomrec.privacy import (
    DPEASE,
    DPItemKNN,
    DPPopularity,
    SeededNoise,
    plot_accuracy_by_popularity,
    plot_privacy_accuracy,
)

shop = make_shop(
    n_users=8000,
    n_items=400,
    n_events=250_000,
    n_groups=10,
    taste=0.5,
    columns=("user_id", "item_id"),
    random_state=4,
)
events = shop.events.drop_duplicates(ignore_index=True)
kept_out = events["user_id"] % 10 == 0
train, test = events[~kept_out], events[kept_out].sample(frac=1, random_state=0)
hidden = test.groupby("user_id").cumcount() % 5 == 0
visitors = test[~hidden].groupby("user_id")["item_id"].agg(list)


def recall(model, wanted=test[hidden]):
    recs = model.recommend(history=visitors.tolist(), k=20)
    return per_user_metrics(recs, visitors.index, wanted, 20, metrics="recall")["recall"].mean()


# %%
# Three models with their defaults, three draws of noise for each epsilon. The noise comes from a
# seed here, so that this page can be repeated; a model for real customers takes it from the
# operating system, which is the default.

rows = []
for epsilon in (0.25, 0.5, 1.0, 2.0, 4.0, np.inf):
    for seed in range(3):
        for kind in (DPEASE, DPItemKNN, DPPopularity):
            model = kind(epsilon, delta=1e-6, noise_source=SeededNoise(seed))
            found = recall(model.fit(train, items=shop.items))
            rows.append({"model": kind.__name__, "epsilon": epsilon, "Recall@20": found})
for model in (EASE(), Popularity()):
    found = recall(model.fit(train))
    rows.append({"model": f"{type(model).__name__}, not private", "Recall@20": found})
table = pd.DataFrame(rows)

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_privacy_accuracy(table, ax=ax)
plt.show()

# %%
# One list for all costs nothing to speak of; personal lists need epsilon, or customers. Where they
# have too little of both, the model says so:

small = DPEASE(0.1, n_users=7200, noise_source=SeededNoise(0)).fit(train, items=shop.items)
print(small.advice_)

# %%
# Products that few buy suffer first: noise is the same for all of them, and they have less to
# stand out of it. A mean over all products hides that.

counts = train["item_id"].value_counts()
order = counts.cumsum() / counts.sum()
parts = {"rare": order > 0.8, "middle": (order > 0.5) & (order <= 0.8), "popular": order <= 0.5}
rows = []
for epsilon in (0.5, 2.0, np.inf):
    for seed in range(3):
        model = DPEASE(epsilon, noise_source=SeededNoise(seed)).fit(train, items=shop.items)
        for part, inside in parts.items():
            wanted = test[hidden & test["item_id"].isin(counts.index[inside])]
            found = recall(model, wanted)
            rows.append(
                {"model": "DPEASE", "epsilon": epsilon, "popularity": part, "Recall@20": found}
            )
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_accuracy_by_popularity(pd.DataFrame(rows), ax=ax)
plt.show()

# %%
# What was spent, and what that does not cover, is part of every model.

small.privacy_report_
