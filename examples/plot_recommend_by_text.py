"""
Recommend by text
=================

What a shop writes about its products is enough for a recommender: it finds what nobody has bought
yet, and it says which words made it.
"""

# %%
# The bundled shop has a short description of each product. The model learns the words from the
# items table, and from the events only who touched what.

import matplotlib.pyplot as plt
import pandas as pd

from ecomrec.cf import ItemKNN, Popularity
from ecomrec.content import TfidfRecommender
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import compare, train_test_split

shop = load_online_retail()
events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
train, test = train_test_split(events)

model = TfidfRecommender().fit(train, items=shop.items)
model.recommend([12395], k=5).to_frame().merge(shop.items, on="item_id")

# %%
# Which words of the customer's past speak for the first of them?

best = model.recommend([12395], k=1).items[0, 0]
model.explain(12395, best).head()

# %%
# A product that was listed a minute ago has no events, and nobody's neighbour it can be. By its
# words it finds its place at once.

new = pd.DataFrame({"item_id": ["NEW"], "description": ["RED RETROSPOT LUNCH BAG, LARGE"]})
model.partial_fit(train.iloc[:0], items=new)
names = pd.concat([shop.items, new]).set_index("item_id")["description"]
model.similar_items(["NEW"], k=4).to_frame().assign(
    description=lambda table: table["similar_item_id"].map(names)
)

# %%
# How good are words alone? In this shop, where a pattern comes as bag, mug and clock, they find
# more of what customers went on to buy than what other customers bought does.

models = {"popular": Popularity(), "tfidf": TfidfRecommender(), "item-knn": ItemKNN()}
result = compare(models, train, test, items=shop.items)
fig, ax = plt.subplots(layout="constrained")
result.plot("ndcg", ax=ax)
