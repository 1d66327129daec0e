"""
A shop's first recommender
==========================

Fit on a real gift shop's purchases, look at what three customers would be shown and why, answer a
visitor without an account, and take in what happens next.
"""

# %%
# The bundled shop is a year of purchases and returns. A return takes a purchase back, so it
# weighs -1.

import pandas as pd

from ecomrec.cf import ItemKNN
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail

shop = load_online_retail()
events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
events.head()

# %%
# A model is fitted on the table as it is: columns are found by name. Three customers and what they
# would be shown, by product name. Nobody is shown what they already have.

model = ItemKNN().fit(events)
recs = model.recommend([12350, 12353, 12358], k=3).to_frame()
recs.merge(shop.items, on="item_id")

# %%
# Why is the first of them shown this? Each row is something that they bought, and its part of the
# score.

best = recs["item_id"].iloc[0]
why = model.explain(12350, best)
why.merge(shop.items, left_on="reason", right_on="item_id")[["description", "contribution"]]

# %%
# A visitor without an account looks at a cake stand.

visitor = model.recommend(history=[["22423"]], k=3).to_frame()
visitor.merge(shop.items, on="item_id")

# %%
# A new customer buys it. The model takes the order in without a new fit.

order = pd.DataFrame({"user_id": [99999], "item_id": ["22423"], "weight": [1.0]})
order["timestamp"] = events["timestamp"].max()
model.partial_fit(order)
model.recommend([99999], k=3).to_frame().merge(shop.items, on="item_id")
