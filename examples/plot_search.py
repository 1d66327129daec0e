"""
Search in a shop, in the order that suits the customer
======================================================

What a customer types decides what is shown; what they bought before decides what comes first.
"""

# %%
# An index of the bundled shop's product names.

import matplotlib.pyplot as plt
import pandas as pd

from ecomrec.cf import ItemKNN
from ecomrec.content import PersonalSearch, SearchIndex
from ecomrec.datasets import load_online_retail

shop = load_online_retail()
names = shop.items.set_index("item_id")["description"]
index = SearchIndex(typos=1, prefix=True).fit(shop.items)


def named(recs):
    """Return the names of what was found, a column for each row asked for."""
    rows = zip(recs.keys, recs.items, strict=True)
    return pd.DataFrame({str(key): names.reindex(items).to_list() for key, items in rows})


named(index.search(["red lunch bag", "red lunhc bag", "red lunch b"], k=5))

# %%
# Words that many products hold count little, rare ones much. Here is what made the first score.

best = index.search("red lunch bag", k=1)
index.explain("red lunch bag", best.items[0, 0])

# %%
# Products are found by name and price.

named(index.search("cake stand", k=3, where={"price": (None, 5)}))

# %%
# Now the customers. The same query, for two of them and for somebody unknown: the hits are the
# same, their order is not.

purchases = shop.events[shop.events["event"] == "purchase"]
last_month = purchases["timestamp"].max() - pd.Timedelta("30D")
past = purchases[purchases["timestamp"] < last_month]
model = PersonalSearch(index, ItemKNN()).fit(past, items=shop.items)
named(model.recommend([12748, 14911, 0], k=5, query="christmas decoration", exclude_seen=False))

# %%
# Why is the first one shown to the first customer? The words of the query, past purchases, and
# popularity add up to the score.

recs = model.recommend([12748], k=1, query="christmas decoration", exclude_seen=False)
model.explain(12748, recs.items[0, 0], query="christmas decoration").head(8)

# %%
# A query that finds nothing is answered all the same, and says so.

recs = model.recommend([12748], k=3, query="submarine")
recs.fallback

# %%
# How much the customer counts is tuned on searches of which we know what was bought. The bundled
# shop has no log of searches, so these are made from purchases: two words of each name.

later = purchases[purchases["timestamp"] >= last_month].sample(1000, random_state=0)
words = names.loc[later["item_id"]].str.split().to_list()
later["query"] = [" ".join(text[:1] + text[-1:]) for text in words]
tried = model.tune_weight(later)

curve = tried.sort_values("weight")
plt.plot(curve["weight"], curve["mrr"], marker="o")
plt.xlabel("weight of the customer")
plt.ylabel("mean of 1 / rank of what was bought")
plt.show()
