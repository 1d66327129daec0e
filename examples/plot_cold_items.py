"""
New products, found the moment they are added
=============================================

Nobody has bought them, so no purchase can recommend them. Their names can.
"""

# %%
# Leave out the products that were first sold in the last month, and learn from what came before.

import pandas as pd

from ecomrec.cf import ItemKNN
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
