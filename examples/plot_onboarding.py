"""
A few questions for newcomers
=============================

A shop that asks newcomers what they think of a handful of products can recommend at once. Which
products it should ask about is measured here, on customers of whom the model has seen nothing.
"""

# %%
# The purchases of the bundled shop. A fifth of the customers are newcomers, whom no model sees.
# Half of what each of them bought is what they would say they like if asked; the other half is to
# be found.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ecomrec.cf import ItemKNN
from ecomrec.coldstart import Onboarding
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import ColdUserSplit, per_user_metrics

shop = load_online_retail()
purchases = shop.events.loc[shop.events["event"] == "purchase", ["user_id", "item_id"]]
purchases = purchases.drop_duplicates(ignore_index=True)
known, new = next(ColdUserSplit(5, random_state=0).split(purchases))
train, newcomers = purchases.iloc[known], purchases.iloc[new]

rng = np.random.default_rng(0)
is_said = rng.random(len(newcomers)) < 0.5
said, wanted = newcomers[is_said], newcomers[~is_said]
likes = said.groupby("user_id")["item_id"].agg(set)
likes = likes[likes.index.isin(wanted["user_id"])]
print(len(likes), "newcomers")

# %%
# Each is asked ten questions. The next one may depend on the answers so far; "no" and "never heard
# of it" are one answer here, for purchases do not tell them apart.


def asked(model, liked):
    """Return ten answers of somebody who likes some items."""
    answers = {}
    while (item := model.next_question(answers)) is not None:
        answers[item] = "liked" if item in liked else "unknown"
    return answers


models = {
    strategy: Onboarding(ItemKNN(), strategy=strategy).fit(train)
    for strategy in ("popular", "tree", "a_optimal")
}
names = shop.items.set_index("item_id")["description"]
pd.DataFrame({name: names[model.questions(5)].to_list() for name, model in models.items()})

# %%
# After each number of questions the answers become recommendations. What a newcomer likes is left
# out of all lists alike, asked about or not: it cannot be among what is to be found.

counts = [0, 1, 2, 3, 5, 7, 10]
found = {}
for name, model in models.items():
    answers = [asked(model, liked) for liked in likes]
    for n in counts:
        first = [dict(list(each.items())[:n]) for each in answers]
        recs = model.recommend(answers=first, k=10, exclude=[list(liked) for liked in likes])
        found[name, n] = per_user_metrics(recs, likes.index, wanted, metrics="ndcg")["ndcg"]

# %%
# The difference to asking about popular products, with 95 % intervals over newcomers.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
for name in models:
    values = np.array([found[name, n] for n in counts])
    left.plot(counts, values.mean(axis=1), marker="o", label=name)
    if name == "popular":
        continue
    gains = values - np.array([found["popular", n] for n in counts])
    spread = 1.96 * gains.std(axis=1) / np.sqrt(gains.shape[1])
    right.errorbar(counts, gains.mean(axis=1), spread, marker="o", capsize=3, label=name)
    print(name, "after 5 questions:", f"{gains[4].mean():+.4f} ± {spread[4]:.4f}")
right.axhline(0, color="grey")
left.set(xlabel="questions", ylabel="NDCG@10")
right.set(xlabel="questions", ylabel="NDCG@10 more than by popular items")
left.legend()
right.legend()
plt.show()

# %%
# What everybody bought tells little of anybody. The other strategies prefer products that tell
# groups of customers apart, among those that enough of them know.
