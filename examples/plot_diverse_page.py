"""
A diverse page: ten gifts, or ten jumbo bags
============================================

A recommender gives each product the score it deserves, and so a page is easily ten times the same
thing. Rerankers take a hundred candidates and make a page of them.
"""

# %%
# What the model recommends to one customer of the bundled shop.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ecomrec.cf import ItemKNN
from ecomrec.content import TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import intra_list_diversity, ranking_metrics
from ecomrec.hybrid import DPP, MMR, Reranked

shop = load_online_retail()
purchases = shop.events[shop.events["event"] == "purchase"]
cut = purchases["timestamp"].max() - pd.Timedelta("30D")
past, later = purchases[purchases["timestamp"] < cut], purchases[purchases["timestamp"] >= cut]
names = shop.items.set_index("item_id")["description"]

model = ItemKNN().fit(past)
customer = 13068
candidates = model.recommend([customer], k=100)
pages = {"plain": candidates.items[0, :10]}

# %%
# Two rerankers know from the names of the products what is alike. `MMR` keeps each product away
# from those above it, `DPP` looks at the page as a whole. `trade_off` is what relevance counts: 1
# leaves the list as it is.

mmr = MMR(0.5, fields={"description": 1}).fit(items=shop.items)
dpp = DPP(0.5, fields={"description": 1}).fit(items=shop.items)
pages["MMR"] = mmr.rerank(candidates, k=10).items[0]
pages["DPP"] = dpp.rerank(candidates, k=10).items[0]
pd.DataFrame({name: names.reindex(page).to_list() for name, page in pages.items()})

# %%
# What does variety cost? For a sample of customers: how many of the products that they bought for
# the first time in the last month are on the page, and how unlike its products are, from 0 (all
# the same words) to 1 (no word in common).

known = np.intersect1d(past["user_id"], later["user_id"])
customers = np.random.default_rng(0).choice(known, 800, replace=False)
lists = model.recommend(customers, k=100)
words = TfidfRecommender({"description": 1.0}).fit(past, items=shop.items)


def measured(page):
    """Accuracy and variety of some pages."""
    recall = ranking_metrics(page, customers, later, seen=past, metrics=["recall"])["recall"]
    return recall, intra_list_diversity(page, words.item_ids_, words.item_vectors_)


together = DPP(similarity="events").fit(past)
steps = {"MMR, by words": mmr, "DPP, by words": dpp, "DPP, by who bought them": together}
for name, step in steps.items():
    points = []
    for share in (1.0, 0.9, 0.8, 0.7, 0.5, 0.3, 0.0):
        page = step.set_params(trade_off=share).rerank(lists, k=10)
        points.append((share, *measured(page)))
    shares, recall, variety = np.array(points).T
    plt.plot(variety, recall, marker="o", label=name)
    for share, x, y in zip(shares[1::2], variety[1::2], recall[1::2], strict=True):
        plt.annotate(f"{share:g}", (x, y), (4, 6), textcoords="offset points")
plt.xlabel("variety of the page (intra-list diversity, by words)")
plt.ylabel("share of later purchases on the page (recall)")
plt.legend(title="numbers: trade_off")
plt.show()

# %%
# By words, variety is free at first and then costs purchases: a page of ten things without a word
# in common is made for nobody. By who bought them, it even pays down to a small `trade_off`: a
# page that serves several wishes of a customer meets one of them more often.
#
# `Reranked` makes a recommender of a model and its rerankers, which is fitted, updated, asked and
# saved as one.

diverse = Reranked(ItemKNN(), [("wide", DPP(0.5, similarity="events"))])
recs = diverse.fit(past, items=shop.items).recommend([customer], k=10)
names.reindex(recs.items[0]).to_list()
