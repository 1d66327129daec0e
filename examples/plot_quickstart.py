"""
A shop's first recommender
==========================

Fit on a real gift shop's purchases, compare with the bestseller list on what customers bought
later, and look at what three of them would be shown.
"""

# %%
# The bundled shop is a year of purchases and returns; a return takes a purchase back. Models see
# the past, the test the future.

from ecomrec.cf import ItemKNN, Popularity
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import compare, train_test_split

shop = load_online_retail()
events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
train, test = train_test_split(events)
train.head()

# %%
# Intervals come from resampling customers, the same ones for each model.

result = compare({"popular": Popularity(), "item-knn": ItemKNN()}, train, test)
result

# %%

result.plot()

# %%
# Three customers and what they would be shown, by product name.

model = result.models["item-knn"]
recs = model.recommend(model.user_ids_[:3], k=3).to_frame()
recs.merge(shop.items, on="item_id")
