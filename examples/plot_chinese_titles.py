"""
Chinese titles
==============

Titles in Chinese, in English, and in both at once need no setting: Chinese is read in pairs of
characters, words and model codes as they are.
"""

# %%
# A shop as it is: brands in two scripts, codes, traditional and simplified characters, full-width
# letters.

import pandas as pd

from ecomrec.content import TfidfRecommender, Tokenizer

items = pd.DataFrame(
    [
        ("k1", "华为 Mate60 手机壳 黑色", "配件"),
        ("k2", "华为 Mate60 钢化膜", "配件"),
        ("k3", "iPhone15 手机壳 透明", "配件"),
        ("k4", "ｉＰｈｏｎｅ１５ 充电器 20W", "配件"),  # noqa: RUF001
        ("k5", "红色马克杯 陶瓷 350ml", "杯子"),
        ("k6", "蓝色马克杯 陶瓷", "杯子"),
        ("k7", "花园椅子 实木", "户外"),
        ("k8", "Garden chair 花园", "户外"),
    ],
    columns=["item_id", "title", "category"],
)
Tokenizer()(items["title"][3])

# %%
# One visitor looked at a phone case for an iPhone, another at a red mug.

events = pd.DataFrame({"user_id": ["li", "wang"], "item_id": ["k3", "k5"]})
model = TfidfRecommender().fit(events, items=items)
model.recommend(["li", "wang"], k=3).to_frame().merge(items, on="item_id").sort_values(
    ["user_id", "rank"]
)

# %%
# Which terms made it: pairs of characters, and whole words and codes.

best = model.recommend(["li"], k=1).items[0, 0]
model.explain("li", best)

# %%
# A category counts with what it is called, less than the title: ``fields`` says how much.
# Categories as such, with prices and tags, are the matter of ``AttributeRecommender``.

by_title = TfidfRecommender({"title": 1.0}).fit(events, items=items)
by_title.recommend(["wang"], k=2).to_frame().merge(items, on="item_id")
