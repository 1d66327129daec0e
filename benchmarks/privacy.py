"""What privacy costs in accuracy: private models beside popularity and beside no privacy.

``python -m benchmarks privacy`` writes ``results/privacy.json``. What each fit comes to is kept in
``.cache/privacy/``, so a run that was ended goes on where it was.

Test users take part in no fit, and took part in no choice: the constants of the models were
chosen on made-up shops and on the other users of these logs (`TESTED` users of each log were set
aside before). A fifth of the items of each test user, drawn at random, is to be found from the
rest: all items ranked, those of the rest left out, twenty places. Private models are fitted with
their defaults, five times for each epsilon with other noise; nothing is tuned. Models without
privacy are fitted on the same users, `EASE` also with the regularization that is best on the test
users, which flatters what privacy is compared with.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.logs import CACHE, DATA
from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec import privacy
from ecomrec.cf import EASE, Popularity
from ecomrec.datasets import load_online_retail, make_shop
from ecomrec.evaluation import per_user_metrics

PAIR = ["user_id", "item_id"]
K = 20
DELTA = 1e-6
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0, math.inf)
SEEDS = 5
METRICS = ("recall", "ndcg")
MODELS = ("DPPopularity", "DPItemKNN", "DPALS", "DPEASE")
RIDGES = (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)
#: Test users of each log, before those with fewer than five items are left out.
TESTED = {"ml-100k": 180, "ml-1m": 1000, "online-retail": 800, "shop-38k": 2000, "shop-12k": 2000}
#: Shares of all events that items of a part of the catalogue have, most popular first.
PARTS = {"head": (0.0, 0.5), "middle": (0.5, 0.8), "tail": (0.8, 1.0)}


def write(logs: list[str] | None = None, models: list[str] | None = None) -> Path:
    """Measure some logs, or all, and keep what is known of the others."""
    path = RESULTS / "privacy.json"
    for log in logs or list(TESTED):
        rows = _plain(log)
        for model in models or MODELS:
            rows += [_private(log, model, epsilon) for epsilon in EPSILONS]
        split = _split(log)
        report = json.loads(path.read_text()) if path.exists() else {"logs": {}}
        known = report["logs"].get(log, {"rows": []})["rows"]
        fresh = {(row["model"], row["epsilon"]) for row in rows}
        rows += [row for row in known if (row["model"], row["epsilon"]) not in fresh]
        report["logs"][log] = split.described() | {"rows": rows}
        report |= {"k": K, "delta": DELTA, "seeds": SEEDS}
        report["conditions"] = conditions(["ecomrec", "numpy", "scipy"])
        path.write_text(json.dumps(report, indent=1) + "\n")
    return path


class Split:
    """Users to learn from, and what test users tell and what they hide."""

    def __init__(self, log: str) -> None:
        events, self.items = _read(log)
        users = events["user_id"].unique()
        tested = users[np.random.default_rng(0).permutation(len(users))[: TESTED[log]]]
        test = events["user_id"].isin(tested)
        self.train = events[~test]
        shuffled = events[test].sample(frac=1, random_state=0)
        size = shuffled.groupby("user_id")["item_id"].transform("size")
        hidden = shuffled.groupby("user_id").cumcount() < np.maximum(1, (0.2 * size).round())
        self.given = shuffled[~hidden & (size >= 5)].groupby("user_id")["item_id"].agg(list)
        self.wanted = shuffled[hidden & (size >= 5)]
        counts = self.train["item_id"].value_counts()
        before = (counts.cumsum() - counts) / counts.sum()
        part = pd.Series("tail", index=self.items["item_id"])
        for name, (low, high) in PARTS.items():
            part[before.index[(before >= low) & (before < high)]] = name
        self.part = part

    def described(self) -> dict[str, Any]:
        """Sizes of the log and of its parts."""
        return {
            "users": int(self.train["user_id"].nunique()),
            "items": len(self.items),
            "events": len(self.train),
            "tested": len(self.given),
            "part_items": {name: int((self.part == name).sum()) for name in PARTS},
        }

    def measured(self, model: Any) -> dict[str, list[float]]:
        """Metrics of each test user, and recall of the items of each part of the catalogue."""
        recs = model.recommend(history=self.given.tolist(), k=K)
        users = self.given.index
        table = per_user_metrics(recs, users, self.wanted, K, metrics=METRICS)
        found = {metric: table[metric].tolist() for metric in METRICS}
        of_part = self.part[self.wanted["item_id"]].to_numpy()
        for name in PARTS:
            wanted = self.wanted[of_part == name]
            recall = per_user_metrics(recs, users, wanted, K, metrics=["recall"])["recall"]
            found[name] = recall.tolist()
        return found


@cache
def _split(log: str) -> Split:
    return Split(log)


def _read(log: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distinct (user, item) rows of a log, and its catalogue, which is public."""
    if log.startswith("shop-"):
        size = 1000 * int(log[5:-1]) + TESTED[log]
        shop = make_shop(size, 1000, 41 * size, 20, taste=0.45, columns=PAIR, random_state=1)
        return shop.events.drop_duplicates(ignore_index=True), shop.items[["item_id"]]
    if log == "online-retail":
        events = load_online_retail().events
        events = events[events["event"] == "purchase"]
    else:
        name = "ratings" if log == "ml-100k" else "interactions"
        events = pd.read_parquet(DATA / log / f"{name}.parquet")
    events = events[PAIR].drop_duplicates(ignore_index=True)
    return events, pd.DataFrame({"item_id": np.sort(events["item_id"].unique())})


def _plain(log: str) -> list[dict[str, Any]]:
    """Models without privacy."""
    models: dict[str, Any] = {"Popularity": Popularity(), "EASE": EASE()}
    models |= {f"EASE({ridge:g})": EASE(ridge) for ridge in RIDGES}
    found = {name: _kept(log, name, model) for name, model in models.items()}
    tuned = [name for name in found if name.startswith("EASE(")]
    best = max(tuned, key=lambda name: np.mean(found[name]["recall"]))
    chosen = {"Popularity": "Popularity", "EASE": "EASE", "EASE, tuned": best}
    return [_row(log, name, None, [found[of]]) for name, of in chosen.items()]


def _private(log: str, model: str, epsilon: float) -> dict[str, Any]:
    """A private model at one epsilon, with several draws of noise."""
    found = []
    for seed in range(SEEDS if math.isfinite(epsilon) else 1):
        source = privacy.SeededNoise(seed)
        made = getattr(privacy, model)(epsilon, delta=DELTA, noise_source=source)
        found.append(_kept(log, f"{model} {epsilon:g} {seed}", made))
    return _row(log, model, epsilon, found)


def _kept(log: str, name: str, model: Any) -> dict[str, list[float]]:
    """Figures of each test user, from the disk if they are there."""
    path = CACHE / "privacy" / log / f"{name}.json"
    if not path.exists():
        split = _split(log)
        model.fit(split.train, items=split.items)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(split.measured(model)))
        print(log, name, flush=True)
    return json.loads(path.read_text())


def _row(
    log: str, model: str, epsilon: float | None, runs: list[dict[str, list[float]]]
) -> dict[str, Any]:
    """Means over test users and draws of noise, and the difference to private popularity."""
    row: dict[str, Any] = {
        "model": model,
        "epsilon": None if epsilon is None else f"{epsilon:g}",
        "runs": {metric: [float(np.nanmean(run[metric])) for run in runs] for metric in runs[0]},
    }
    base = 0.5 if epsilon is None else epsilon
    same = [
        _kept(log, f"DPPopularity {base:g} {seed}", _popularity(base, seed))
        for seed in range(SEEDS if math.isfinite(base) else 1)
    ]
    for metric in METRICS:
        mine = np.mean([run[metric] for run in runs], axis=0)
        more = mine - np.mean([run[metric] for run in same], axis=0)
        row[metric] = float(mine.mean())
        row[f"{metric}_more"] = float(more.mean())
        row[f"{metric}_more_ci"] = float(1.96 * more.std(ddof=1) / np.sqrt(len(more)))
    for name in PARTS:
        row[name] = float(np.mean(row["runs"][name]))
    return row


def _popularity(epsilon: float, seed: int) -> Any:
    return privacy.DPPopularity(epsilon, delta=DELTA, noise_source=privacy.SeededNoise(seed))
