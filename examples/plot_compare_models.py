"""
Which model for this shop?
==========================

Three models on one split in time, with intervals: on items that are new to the customer, and with
repeats allowed.
"""

# %%
# The models learn from the first four fifths of the year and are asked about the rest.

import matplotlib.pyplot as plt

from ecomrec.cf import ItemKNN, Popularity, UserKNN
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import compare, train_test_split

shop = load_online_retail()
events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
train, test = train_test_split(events)

models = {
    "popular": Popularity(),
    "popular this month": Popularity(count="weights", half_life="30D"),
    "item-knn": ItemKNN(),
    "item-knn, 90 days": ItemKNN(half_life="90D"),
    "user-knn": UserKNN(),
}
result = compare(models, train, test, exclude_seen=(True, False))
result

# %%
# The bars are 95 % intervals from resampling customers. Every model answers to the same customers,
# so a difference may be sure although two intervals overlap: read the verdicts above for that.

fig, ax = plt.subplots(layout="constrained")
result.plot("ndcg", ax=ax)

# %%
# Two in five of the items that known customers take in the test part are items they had before. A
# model that may repeat finds these as well, so the two colours answer different questions.
#
# Accuracy is not all: a list of bestsellers shows a small part of the catalogue.

fig, ax = plt.subplots(layout="constrained")
table = result.to_frame().query("variant == 'new items'")
ax.barh(table.index, table["coverage"])
ax.invert_yaxis()
ax.set_xlabel("share of the catalogue shown to somebody in ten places")
