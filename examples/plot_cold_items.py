"""
New products, found the moment they are added
=============================================

Nobody has bought them, so no purchase can recommend them. Their names can.
"""

# %%
# Leave out the products that were first sold in the last month, and learn from what came before.

import matplotlib.pyplot as plt
import pandas as pd

from ecomrec.cf import ItemKNN, Popularity, PureSVD
from ecomrec.coldstart import AttributeToFactor, ColdStart
from ecomrec.content import PersonalSearch, SearchIndex, TfidfRecommender
from ecomrec.datasets import load_online_retail

shop = load_online_retail()
purchases = shop.events[shop.events["event"] == "purchase"]
first_sold = purchases.groupby("item_id")["timestamp"].min()
start = purchases["timestamp"].max() - pd.Timedelta("30D")
is_new = shop.items["item_id"].map(first_sold) >= start
known, new = shop.items[~is_new], shop.items[is_new]
past = purchases[purchases["timestamp"] < start]
names = shop.items.set_index("item_id")["description"]
new.head()

# %%
# A search and two recommenders, one by names and one by purchases.

index = SearchIndex().fit(known)
by_name = TfidfRecommender().fit(past, items=known)
by_purchase = ItemKNN().fit(past, items=known)

# %%
# The new products arrive. The index takes them in without being built again, and they are found at
# once.

words = new["description"].iloc[0]
before = index.search(words, k=1).items[0, 0]
after = index.add(new).search(words, k=1).items[0, 0]
names.loc[[before, after]]

# %%
# So does the recommender by names: it shows them to visitors who looked at something alike. To the
# one by purchases they mean nothing yet.

arrivals = past.tail(1)
by_name.partial_fit(arrivals, items=new)
by_purchase.partial_fit(arrivals, items=new)
news = new["item_id"].to_list()
visit = [past["item_id"].value_counts().index[:3].to_list()]
pd.DataFrame(
    {
        "by name": by_name.recommend(history=visit, k=3, candidates=news).scores[0],
        "by purchase": by_purchase.recommend(history=visit, k=3, candidates=news).scores[0],
    }
)

# %%
# Put together: customers search for words of the new product's name. It is among the hits, and who
# bought things like it sees it first.

model = PersonalSearch(index, TfidfRecommender()).fit(past, items=known)
model.partial_fit(arrivals, items=new)
query = " ".join(words.split()[-2:])
recs = model.recommend(past["user_id"].unique()[:3].tolist(), k=50, query=query)
found = recs.to_frame()
found[found["item_id"].isin(news)].merge(shop.items, on="item_id").head()

# %%
# In the lists of everybody
# -------------------------
# A new product should also stand where it belongs among all others. Two ways: give it a vector in
# the space of a factor model, from its name; or let names score it, in the units of any model.

ways = {
    "names alone": TfidfRecommender(),
    "PureSVD alone": PureSVD(64),
    "AttributeToFactor": AttributeToFactor(PureSVD(64)),
    "ColdStart": ColdStart(PureSVD(64), [("name", TfidfRecommender()), ("all", Popularity())]),
}
for way in ways.values():
    way.fit(past, items=shop.items)

# %%
# How many of the new products that customers bought in that month are among the first 5 new ones,
# and how many of the 20 places of an ordinary list new products take.

month = purchases[(purchases["timestamp"] >= start) & purchases["item_id"].isin(news)]
bought = month[month["user_id"].isin(past["user_id"])].groupby("user_id")["item_id"].agg(set)
rows = []
for name, way in ways.items():
    among_new = way.recommend(bought.index, k=5, candidates=news).items
    found = [len(set(row) & own) / len(own) for row, own in zip(among_new, bought, strict=True)]
    page = way.recommend(bought.index, k=20).to_frame()
    rows.append((name, sum(found) / len(found), page["item_id"].isin(news).mean()))
table = pd.DataFrame(rows, columns=["model", "bought found", "share of places"]).set_index("model")
table.plot.barh(subplots=True, layout=(1, 2), sharey=True, legend=False, figsize=(8, 2.5))
plt.tight_layout()
table.round(3)

# %%
# There are but 40 new products that month, and their names say nearly all: names alone, brought
# into the lists of the model, find as much as vectors made of them. Where more is to be learned
# of how words and taste go together vectors find more: see "New items among the vectors" in the
# guide. The factor model alone shows no new product at all.

# %%
# Who is new is answered too, and the table says by what.

ways["ColdStart"].recommend([bought.index[0], "a stranger"], k=2).to_frame()
