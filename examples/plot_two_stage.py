"""
A learned ranker over several recommenders, with LightGBM
=========================================================

Recommenders propose, a ranker decides: it sees what each of them says about a product, what the
product costs and how it sells, and learns from what customers bought later.
"""

# %%
# A year of the bundled shop; the last fifth of the purchases is kept to judge by.

import lightgbm
import matplotlib.pyplot as plt
import pandas as pd

from ecomrec.cf import ALS, ItemKNN, Popularity
from ecomrec.content import TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import compare, train_test_split
from ecomrec.hybrid import TwoStage

shop = load_online_retail()
purchases = shop.events[shop.events["event"] == "purchase"]
train, test = train_test_split(purchases)

# %%
# Four generators, and a ranker that learns from the latest fifth of what is left: the generators
# are fitted on what came before it, so no feature knows what is to be learned.

generators = [
    ("als", ALS()),
    ("knn", ItemKNN()),
    ("text", TfidfRecommender()),
    ("popular", Popularity()),
]
ranker = lightgbm.LGBMClassifier(
    n_estimators=100,
    learning_rate=0.05,
    num_leaves=7,
    min_child_samples=200,
    n_jobs=1,
    verbosity=-1,
)
model = TwoStage(generators, ranker, held_out_users=0.2)
model.fit(train, items=shop.items)

# %%
# Which features does it need? The share of the ranking quality that is lost without each.

importances = model.feature_importances().head(10)
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.barh(importances.index[::-1], importances["importance"][::-1])
ax.set_xlabel("loss of area under the curve when shuffled")
plt.show()

# %%
# A score is a rate: of products shown with score 0.1, customers who come back in the time of the
# later slice buy one in ten. Here is what one customer sees, and why the first product is first.

names = shop.items.set_index("item_id")["description"]
customer = int(model.held_out_users_[0])
recs = model.recommend([customer], k=5).to_frame()
recs.assign(name=names.reindex(recs["item_id"]).to_list())

# %%
model.explain(customer, recs["item_id"][0]).head(6)

# %%
# Do rates hold? Candidates of the test customers in ten equal groups by score: the rate that was
# said, and the share that was bought. The test slice lasts about as long as the later slice.

known = pd.Index(model.user_ids_)
buyers = [user for user in test["user_id"].unique() if user in known]
shown = model.recommend(buyers, k=100).to_frame()
bought = pd.MultiIndex.from_frame(test[["user_id", "item_id"]])
shown["bought"] = pd.MultiIndex.from_frame(shown[["user_id", "item_id"]]).isin(bought)
groups = shown.groupby(pd.qcut(shown["score"], 10), observed=True)[["score", "bought"]].mean()
fig, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
ax.plot([0, groups.max().max()], [0, groups.max().max()], color="0.7", label="perfect")
ax.plot(groups["score"], groups["bought"], "o-", label="two-stage")
ax.set_xlabel("score")
ax.set_ylabel("share bought in the test slice")
ax.legend()
plt.show()

# %%
# Is it worth it? Against its best generator, on customers from whom neither the ranker nor its
# calibration learned anything. Their number decides how much such a comparison can say.

untouched = test[test["user_id"].isin(model.held_out_users_)]
models = {"als": ALS(), "two-stage": model}
compare(models, train, untouched, items=shop.items, metrics=["ndcg", "recall"], n_bootstrap=200)
