"""New items: how well they are found, and how many of them come into lists beside known ones.

``python -m benchmarks cold`` writes ``results/cold_items.json``. A fifth of the items is new: all
their events are held out (`ColdItemSplit`). Of each user's other events a fifth is held out as
well. Recall in 20 places of the users that are left:

* cold: of held-out new items, where only new items are ranked;
* mixed: of everything held out, where all items are ranked;
* warm: of held-out known items, where only items with events in the train rows are ranked.

Parameters are not tuned on these logs, `fields` aside, which say what columns there are.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.logs import DATA
from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec.cf import ALS, BPR, Popularity, PureSVD
from ecomrec.coldstart import AttributeToFactor, ColdStart
from ecomrec.content import EmbeddingRecommender, TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import ColdItemSplit, RandomPerUser

K = 20
SEEDS = {"ml-100k": (1, 2, 3), "online-retail": (1,), "ml-1m": (1,)}
MOST_USERS = 1500
FIELDS = {
    "ml-100k": {"title": 1, "genres": 3, "decade": 2},
    "ml-1m": {"title": 1, "genres": 3, "decade": 2},
    "online-retail": {"description": 1},
}
FACTORS = {"ml-100k": 64, "online-retail": 128, "ml-1m": 64}
RULE = "AttributeToFactor(ALS)"
# On the largest log, what the question is about.
ON_ML_1M = ("TfidfRecommender", "ALS", RULE, "AttributeToFactor(PureSVD)", "ColdStart(ALS)")


def write(logs: list[str] | None = None) -> Path:
    """Measure some logs, or all, and keep what is known of the others."""
    path = RESULTS / "cold_items.json"
    known = json.loads(path.read_text())["logs"] if path.exists() else {}
    for log in logs or list(SEEDS):
        known[log] = measured(log)
        packages = ["ecomrec", "numpy", "scipy", "scikit-learn"]
        result = {"conditions": conditions(packages), "k": K, "logs": known}
        path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def models(log: str) -> dict[str, Any]:
    """What is compared, by name."""
    fields, d = FIELDS[log], FACTORS[log]

    def words() -> TfidfRecommender:
        return TfidfRecommender(fields)

    fallback = [("text", words()), ("all", Popularity())]
    all_models = {
        "Popularity": Popularity(),
        "TfidfRecommender": words(),
        "EmbeddingRecommender": EmbeddingRecommender(fields=fields),
        "ALS": ALS(d),
        RULE: AttributeToFactor(ALS(d), words()),
        f"{RULE}, rbf": AttributeToFactor(ALS(d), words(), kernel="rbf"),
        f"{RULE}, new_item_weight=0.5": AttributeToFactor(ALS(d), words(), new_item_weight=0.5),
        f"{RULE}, lsa": AttributeToFactor(ALS(d), EmbeddingRecommender(fields=fields)),
        "AttributeToFactor(PureSVD)": AttributeToFactor(PureSVD(d), words()),
        "AttributeToFactor(BPR)": AttributeToFactor(BPR(64), words()),
        "ColdStart(ALS)": ColdStart(ALS(d), fallback),
        "ColdStart(ALS), new_item_weight=0.5": ColdStart(ALS(d), fallback, new_item_weight=0.5),
    }
    return {name: all_models[name] for name in (ON_ML_1M if log == "ml-1m" else all_models)}


def measured(log: str) -> list[dict[str, Any]]:
    """One row a model: means over users and splits, and what it adds to words alone."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in models(log)}
    shares, chances = [], []
    for seed in SEEDS[log]:
        events, items = read(log)
        train, held, new = split(events, seed)
        known = train["item_id"].unique().tolist()
        fresh = new["item_id"].unique().tolist()
        users = np.random.default_rng(seed).permutation(train["user_id"].unique())[:MOST_USERS]
        held, new = (part[part["user_id"].isin(users)] for part in (held, new))
        shares.append(len(new) / (len(new) + len(held)))
        chances.append(K / len(fresh))
        for name, model in models(log).items():
            print(log, seed, name, flush=True)
            model.fit(train, items=items)
            page = model.recommend(users, K)
            lists = {
                "cold": (model.recommend(users, K, candidates=fresh), new),
                "mixed": (page, pd.concat([held, new])),
                "warm": (model.recommend(users, K, candidates=known), held),
            }
            row: dict[str, Any] = {key: recall(*pair) for key, pair in lists.items()}
            frame = page.to_frame()
            is_new = frame["item_id"].isin(fresh)
            row["new"] = float(is_new.mean())
            row["users_shown_new"] = frame.loc[is_new, "user_id"].nunique() / len(users)
            found[name].append(row)
    rows = []
    base = {key: pd.concat([r[key] for r in found["TfidfRecommender"]]) for key in ("cold",)}
    for name, splits in found.items():
        recalls = {key: pd.concat([r[key] for r in splits]) for key in ("cold", "mixed", "warm")}
        more = (recalls["cold"].to_numpy() - base["cold"].to_numpy()).astype(float)
        row = {"model": name} | {key: float(value.mean()) for key, value in recalls.items()}
        row |= {
            key: float(np.mean([r[key] for r in splits])) for key in ("new", "users_shown_new")
        }
        row["cold_more_than_words"] = float(more.mean())
        row["cold_more_than_words_se"] = float(more.std() / np.sqrt(len(more)))
        rows.append(row)
    chance = {"model": "at random", "cold": float(np.mean(chances))}
    return [*rows, chance | {"new_of_held_out": float(np.mean(shares)), "splits": len(shares)}]


def recall(answer: Any, truth: pd.DataFrame) -> pd.Series:
    """Share of each user's held-out items that are in the list, for users that have any."""
    wanted = truth.groupby("user_id")["item_id"].agg(set)
    rows = dict(zip(np.asarray(answer.keys).tolist(), answer.items.tolist(), strict=True))
    return pd.Series({user: len(own & set(rows[user])) / len(own) for user, own in wanted.items()})


def split(events: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Train rows, held-out rows of known items, rows of new items."""
    rest, cold = next(ColdItemSplit(5, random_state=seed).split(events))
    known = events.iloc[rest].reset_index(drop=True)
    train, held = next(RandomPerUser(5, random_state=seed).split(known))
    return known.iloc[train], known.iloc[held], events.iloc[cold]


def read(log: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs of user and item, and the items that occur in them."""
    if log == "online-retail":
        shop = load_online_retail()
        events, items = shop.events[shop.events["event"] == "purchase"], shop.items
    else:
        name = "ratings" if log == "ml-100k" else "interactions"
        events = pd.read_parquet(DATA / log / f"{name}.parquet")
        items = pd.read_parquet(DATA / log / "items.parquet")
        title = items["title"].str.extract(r"^(.*?)(?: \((\d{4})\))?$")
        year = items["release_year"] if "release_year" in items else title[1]
        decade = "y" + year.astype(str).str[:3]
        genres = items["genres"].str.replace("|", " ", regex=False)
        items = items.assign(title=title[0], decade=decade, genres=genres)
    events = events[["user_id", "item_id"]].drop_duplicates().reset_index(drop=True)
    return events, items[items["item_id"].isin(events["item_id"])]
