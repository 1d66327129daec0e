"""
Vectors of a catalogue, bent to a shop
======================================

Descriptions say what an item is, events say what people want with it. A head learns the second
from the first, and a new item profits from both the moment it is added.
"""

# %%
# Three models on one split in time: words alone, the same vectors with a head, and vectors that
# know events only.

import matplotlib.pyplot as plt

from ecomrec.content import EmbeddingRecommender, Item2Vec
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import train_test_split

shop = load_online_retail()
events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
train, test = train_test_split(events)

models = {
    "descriptions": EmbeddingRecommender().fit(train, items=shop.items),
    "with a head": EmbeddingRecommender(head="least_squares").fit(train, items=shop.items),
    "events": Item2Vec().fit(train),
}
{name: round(model.score(test), 4) for name, model in models.items()}

# %%
# A mug arrives that nobody has touched. The model that reads descriptions knows it at once.

model = models["with a head"]
new = shop.items.head(1).assign(item_id="NEW", description="RED RETROSPOT TEA MUG")
model.partial_fit(train.head(0), items=new)
names = model.similar_items(["NEW"], k=5).items[0]
shop.items.set_index("item_id").loc[list(names), "description"]

# %%
# What the head did: how much of the pull between a history and an item lies on and off the
# diagonal of W, for the strongest twenty directions of the descriptions.

fig, ax = plt.subplots(layout="constrained")
image = ax.imshow(model.head_[:20, :20], cmap="RdBu", vmin=-3, vmax=3)
ax.set_xlabel("direction of the item")
ax.set_ylabel("direction of the history")
fig.colorbar(image)
