"""
A shop from empty to full
=========================

On its first day a shop knows nobody; a year later it knows thousands of customers. What sells can
be recommended after a handful of orders, words of the items need customers who have bought
something, and taste needs many who bought alike. A blend whose weights are learned from the shop's
own events moves from one to the other by itself.
"""

# %%
# The year of a gift shop
# -----------------------
# The shop that ships with the library, as it stood on nine days between its first and its last. On
# each of them every model is fitted on what had been sold until then, and asked what the customers
# who come back within the next two weeks will buy that they have not bought before.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ecomrec.cf import ALS, Popularity
from ecomrec.content import TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import per_user_metrics
from ecomrec.hybrid import Blend

shop = load_online_retail()
sold = shop.events[shop.events["event"] == "purchase"][["user_id", "item_id", "timestamp"]]
opening = sold["timestamp"].min().normalize()
days = [1, 3, 7, 14, 28, 56, 91, 182, 300]


def make_models():
    parts = [
        ("popular", Popularity()),
        ("text", TfidfRecommender()),
        ("taste", ALS(16, max_iter=5, random_state=0)),
    ]
    return dict(parts) | {"blend": Blend(parts, weights="evidence")}


# %%
# The blend learns its weights on the last fifth of the events it is given, apart for users of few
# and of many events, then fits its parts on everything. Nobody tells it how old the shop is.

rows, weights = [], []
for day in days:
    now = opening + pd.Timedelta(days=day)
    before = sold[sold["timestamp"] < now]
    soon = sold[(sold["timestamp"] >= now) & (sold["timestamp"] < now + pd.Timedelta(days=14))]
    back = np.intersect1d(before["user_id"], soon["user_id"])
    row = {"day": day, "customers": before["user_id"].nunique(), "asked": len(back)}
    for name, model in make_models().items():
        lists, _ = model.fit(before, items=shop.items).recommend(back, k=10)
        per_user = per_user_metrics(lists, back, soon, 10, metrics="ndcg", seen=before)
        row[name] = np.nanmean(per_user.to_numpy())
    rows.append(row)
    known = np.bincount(
        np.digitize(before.groupby("user_id")["item_id"].nunique(), [3, 6, 11, 21, 51]),
        minlength=len(model.weights_),
    )
    learned = model.weights_ if len(model.weights_) > 1 else np.repeat(model.weights_, 6, axis=0)
    weights.append(known @ learned / known.sum())

table = pd.DataFrame(rows).set_index("day")
print(table.round(3).to_string())

# %%
# In the first days what sells, words and taste are close to each other. From the second month on
# taste, which has more to go by every week, leads among them. The blend is ahead of all three on
# most of the dates, and level on some. The first rows are means over some dozens of customers:
# weights that are learned from so few can be wrong, as on the third day, and another shop would
# look different there. After a month there are hundreds.

# %%
# Who is best when
# ----------------
# Below: the weights. On the first day there is nothing to learn them from and they are equal;
# later taste has the most, and the rest remains with words and with what sells.

names = ["popular", "text", "taste", "blend"]
figure, (quality, shares) = plt.subplots(2, 1, sharex=True, figsize=(7, 6.5))
for name in names:
    quality.plot(days, table[name], marker="o", lw=3 if name == "blend" else 1.5, label=name)
quality.set_ylabel("NDCG@10, new items,\nnext two weeks")
quality.set_xscale("log")
quality.set_xticks(days, [str(day) for day in days])
quality.legend()
shares.stackplot(days, np.transpose(weights), labels=names[:3], alpha=0.8)
shares.set_ylim(0, 1)
shares.set_ylabel("weights of the blend,\nmean over customers")
shares.set_xlabel("days since the shop opened")
shares.legend(loc="lower left")
figure.tight_layout()
