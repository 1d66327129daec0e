"""Whether hybrids pay: the best hybrid beside its best part, on five logs.

``python -m benchmarks hybrids`` writes ``results/hybrids.json``. What each model comes to is kept
in ``.cache/hybrids/``, a file for each, so a run that was ended goes on where it was.

Parameters of the parts are chosen on validation rows cut out of the train rows, then the kind of
hybrid; test rows are looked at once for each model that is shown. Full ranking, what the user has
is left out, 20 places.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from benchmarks.logs import CACHE, DATA
from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec.cf import ALS, BPR, EASE, SLIM, ItemKNN, Popularity, PureSVD, UserKNN
from ecomrec.content import TfidfRecommender
from ecomrec.data import EventWeights
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import LeaveLastN, per_user_metrics, train_test_split
from ecomrec.hybrid import Blend, RankFusion, SimilarityFusion, TwoStage

K = 20
N_BOOTSTRAP = 2000
PAIR = ["user_id", "item_id"]
Best = dict[str, Any]


class Log(NamedTuple):
    """Train rows, test rows, validation rows cut out of train and the rows before them."""

    train: pd.DataFrame
    test: pd.DataFrame
    earlier: pd.DataFrame
    later: pd.DataFrame
    items: pd.DataFrame | None


def taobao() -> Log:
    """One held-out purchase each; validation: the last purchase of 6,000 other events' users."""
    train = pd.read_parquet(DATA / "taobao-events" / "train.parquet")
    test = pd.read_parquet(DATA / "taobao-events" / "test.parquet")
    bought = train[train["event"] == "purchase"].drop_duplicates("user_id", keep="last")
    later = bought[PAIR].sample(6000, random_state=0)
    merged = train.merge(later, how="left", on=PAIR, indicator=True)
    earlier = train[(merged["_merge"] == "left_only").to_numpy()]
    return Log(train[PAIR], test[PAIR], earlier[PAIR], later, None)


def ml_1m() -> Log:
    """The published random split; validation: a random tenth of the train rows."""
    train, test = (pd.read_parquet(DATA / f"ml-1m/split_{part}.parquet") for part in PARTS)
    held = np.random.default_rng(0).random(len(train)) < 0.1
    return Log(train, test, train[~held], train[held], None)


def online_retail() -> Log:
    """The shop that ships: the last fifth by time; validation: the last fifth of the rest."""
    shop = load_online_retail()
    events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
    train, test = train_test_split(events)
    return Log(train, test, *train_test_split(train), shop.items)


def ml_100k(n_last: int | None) -> Log:
    """The last ratings of each user, or the last fifth by time; validation: again, of the rest."""
    folder = DATA / "ml-100k"
    events = pd.read_parquet(folder / "ratings.parquet").sort_values("timestamp", kind="stable")
    events = events[[*PAIR, "timestamp"]].assign(
        timestamp=pd.to_datetime(events.timestamp, unit="s")
    )
    splitter = None if n_last is None else LeaveLastN(n_last)
    train, test = train_test_split(events, splitter)
    items = pd.read_parquet(folder / "items.parquet")
    return Log(train, test, *train_test_split(train, splitter), items)


PARTS = ("train", "test")
LOGS: dict[str, Callable[[], Log]] = {
    "taobao-events": taobao,
    "ml-1m": ml_1m,
    "online-retail": online_retail,
    "ml-100k": lambda: ml_100k(10),
    "ml-100k by time": lambda: ml_100k(None),
}
_TEXT = {"title": 1.0, "genres": 2.0}
_LIVES = (None, "30D", "60D", "120D")
_SMALL = {
    "ItemKNN": [ItemKNN(n, shrink=s) for n in (50, 200) for s in (5.0, 50.0, 500.0)],
    "UserKNN": [UserKNN(n, shrink=s) for n in (50, 100, 300) for s in (5.0, 20.0)],
    "ALS": [
        ALS(n, unobserved_weight=w, random_state=0) for n in (32, 64) for w in (0.2, 0.5, 1.0)
    ],
    "EASE": [EASE(r, item_damping=d) for r in (1.0, 3.0, 10.0, 30.0) for d in (0.3, 0.6)],
    "BPR": [BPR(n, random_state=0) for n in (32, 64)],
}
#: What is tried of each part, by log; the best on validation rows is taken.
SINGLES: dict[str, dict[str, list[Any]]] = {
    "taobao-events": {
        "ItemKNN": [
            ItemKNN(n, shrink=s, popularity_damping=p)
            for n in (100, 300)
            for s in (20.0, 100.0, 500.0)
            for p in (0.4, 0.5)
        ],
        "UserKNN": [UserKNN(n, shrink=s) for n in (100, 300, 600) for s in (1.0, 5.0, 20.0)],
        "ALS": [
            ALS(128, unobserved_weight=w, max_iter=8, random_state=0) for w in (0.005, 0.02, 0.1)
        ],
        "SLIM": [SLIM(regularization=r) for r in (None, 0.3, 2.0)],
    },
    # Chosen on the same tenth in results/accuracy-tuned.json, but for the neighbour models.
    "ml-1m": {
        "ItemKNN": [
            ItemKNN(
                100, shrink=0.0, user_damping=0.75, history_damping=0.25, power=2.0,
                normalize=True, mutual=True,
            )
        ],
        "UserKNN": [UserKNN(n, shrink=s) for n in (100, 200) for s in (5.0, 20.0)],
        "EASE": [EASE(0.3, user_damping=1.0, item_damping=0.3, self_exclusion=0.0)],
        "PureSVD": [PureSVD(128, user_damping=0.25, item_damping=0.35, regularization=3.0)],
        "ALS": [
            ALS(
                128, regularization=0.009, regularization_exponent=1.0, unobserved_weight=0.33,
                max_iter=8, random_state=0,
            )
        ],
        "BPR": [BPR(64, learning_rate=0.1, regularization=0.025, max_iter=40, random_state=0)],
    },
    "online-retail": {
        "ItemKNN": [ItemKNN(n, shrink=50.0, half_life=h) for n in (50, 200) for h in _LIVES],
        "UserKNN": [UserKNN(n, half_life=h) for n in (100, 300) for h in _LIVES],
        "ALS": [
            ALS(n, unobserved_weight=w, half_life=h, random_state=0)
            for n in (64, 128)
            for w in (0.1, 0.2, 0.5)
            for h in _LIVES
        ],
        "EASE": [
            EASE(r, item_damping=d, half_life=h)
            for r in (10.0, 30.0)
            for d in (0.3, 0.6)
            for h in _LIVES
        ],
        "BPR": [BPR(half_life=h, random_state=0) for h in _LIVES],
        "TfidfRecommender": [TfidfRecommender(half_life=h) for h in _LIVES],
        "Popularity(half_life)": [
            Popularity(half_life=h, count="weights") for h in ("15D", "30D", "60D")
        ],
    },
    "ml-100k": _SMALL | {"TfidfRecommender": [TfidfRecommender(_TEXT)]},
    "ml-100k by time": _SMALL | {"TfidfRecommender": [TfidfRecommender(_TEXT)]},
}  # fmt: skip


def blends(names: list[str]) -> Callable[[Best], list[Any]]:
    """Return what blends some of the parts, in every way that is tried."""

    def made(best: Best) -> list[Any]:
        parts = [(_named(name), clone(best[name])) for name in names]
        tried: list[Any] = [RankFusion(parts), Blend(parts, normalize="rank", weights="learned")]
        return [*tried, *(Blend(parts, weights=w) for w in (None, "learned", "evidence"))]

    return made


def fusions(shares: tuple[float, ...], both: tuple[float, ...]) -> Callable[[Best], list[Any]]:
    """Return what fuses the neighbour models, in every way that is tried."""

    def made(best: Best) -> list[Any]:
        parts = clone(best["UserKNN"]), clone(best["ItemKNN"])
        return [
            SimilarityFusion(*parts, user_weight=u, both_weight=b) for u in shares for b in both
        ]

    return made


def two_stages(names: list[str]) -> Callable[[Best], list[Any]]:
    """Return the two-stage models that are tried."""

    def made(best: Best) -> list[Any]:
        parts = [(_named(name), clone(best[name])) for name in names]
        parts.append(("everybody", Popularity()))
        return [TwoStage(parts, n_candidates=n, random_state=0) for n in (50, 150)]

    return made


_TEXTS = ["ALS", "EASE", "BPR", "TfidfRecommender"]
_RECENT = [*_TEXTS, "Popularity(half_life)"]
_WITH_TEXT = {
    "SimilarityFusion": fusions((0.3, 0.6, 0.9), (0.0, 0.1, 0.5)),
    "Blend of cf": blends(["ALS", "EASE", "UserKNN", "BPR"]),
    "Blend of cf and text": blends(_TEXTS),
    "TwoStage of cf and text": two_stages(_TEXTS),
}
#: What is tried of each hybrid, made of the best parts.
HYBRIDS: dict[str, dict[str, Callable[[Best], list[Any]]]] = {
    "taobao-events": {
        "SimilarityFusion": fusions((0.2, 0.5), (0.0, 0.3, 0.6)),
        "Blend of ItemKNN, UserKNN, ALS": blends(["ItemKNN", "UserKNN", "ALS"]),
        "Blend of SLIM, UserKNN, ALS": blends(["SLIM", "UserKNN", "ALS"]),
    },
    "ml-1m": {
        "SimilarityFusion": fusions((0.2, 0.35, 0.5), (0.0, 0.1)),
        "Blend of EASE, ALS, BPR": blends(["EASE", "ALS", "BPR"]),
    },
    "online-retail": _WITH_TEXT
    | {
        "Blend of cf, text and what sells": blends(_RECENT),
        "TwoStage of cf, text and what sells": two_stages([*_RECENT, "ItemKNN", "UserKNN"]),
    },
    "ml-100k": _WITH_TEXT,
    "ml-100k by time": _WITH_TEXT,
}


def _named(kind: str) -> str:
    return kind.partition("(")[0].lower()


def write(names: list[str] | None = None) -> Path:
    """Measure what is not kept yet, and write ``results/hybrids.json``."""
    path = RESULTS / "hybrids.json"
    for name in names or list(LOGS):
        found = measured(name)
        report = json.loads(path.read_text()) if path.exists() else {"logs": {}}
        report["conditions"] = conditions(["ecomrec", "numba", "numpy", "scikit-learn", "scipy"])
        report["logs"][name] = found
        path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def measured(name: str) -> dict[str, Any]:
    """Choose on validation rows, then look at the test rows of one log."""
    log = LOGS[name]()
    best, chosen_on, found = {}, {}, {}
    for kind, models in SINGLES[name].items():
        best[kind], chosen_on[kind] = _best(name, log, models)
    made = {kind: _best(name, log, make(best)) for kind, make in HYBRIDS[name].items()}
    for kind, (model, value) in made.items():
        best[kind], chosen_on[kind] = model, value
    best["Popularity"] = Popularity()
    values = {kind: _metrics(name, log, "test", model) for kind, model in best.items()}
    singles = [kind for kind in best if kind not in made]
    part = max(singles, key=lambda kind: values[kind]["ndcg"].mean())
    hybrid = max(made, key=lambda kind: chosen_on[kind])
    users = len(values[part]["ndcg"])
    drawn = np.random.default_rng(0).multinomial(users, np.full(users, 1 / users), N_BOOTSTRAP)
    for kind, metrics in values.items():
        found[kind] = {
            "model": " ".join(repr(best[kind]).split()),
            "validation_ndcg": chosen_on.get(kind),
        }
        for metric, per_user in metrics.items():
            found[kind][metric] = float(per_user.mean())
            gain = np.percentile(drawn @ (per_user - values[part][metric]) / users, (2.5, 97.5))
            found[kind][f"{metric}_gain"] = [float(end) for end in gain]
    test = log.test[log.test["user_id"].isin(_targets(log.train, log.test))].drop_duplicates(PAIR)
    return {
        "users": users, "pairs": len(test), "best_part": part, "chosen_hybrid": hybrid,
        "unknown_items": len(np.setdiff1d(test["item_id"], log.train["item_id"])),
        "unknown_pairs": int((~test["item_id"].isin(log.train["item_id"])).sum()),
        "models": found,
    }  # fmt: skip


def _best(name: str, log: Log, models: list[Any]) -> tuple[Any, float]:
    """Return the model with the highest NDCG on validation rows, and that."""
    tried = [
        (float(_metrics(name, log, "validation", model)["ndcg"].mean()), -place)
        for place, model in enumerate(models)
    ]
    value, place = max(tried)
    return models[-place], value


def _metrics(name: str, log: Log, part: str, model: Any) -> dict[str, np.ndarray]:
    """Return NDCG and Recall of every user, computed once."""
    key = hashlib.sha256(f"{name} {part} {model!r}".encode()).hexdigest()[:20]
    path = CACHE / "hybrids" / f"{key}.json"
    if not path.exists():
        train, test = (log.train, log.test) if part == "test" else (log.earlier, log.later)
        users = _targets(train, test)
        items, _ = clone(model).fit(train, items=log.items).recommend(users, k=K)
        table = per_user_metrics(items, users, test, K, metrics=("ndcg", "recall"), seen=train)
        values = {metric: np.nan_to_num(table[metric]).tolist() for metric in ("ndcg", "recall")}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"log": name, "part": part, "model": repr(model), **values}))
        print(f"{name} {part} NDCG {np.mean(values['ndcg']):.5f} {model!r}", flush=True)
    kept = json.loads(path.read_text())
    return {metric: np.array(kept[metric]) for metric in ("ndcg", "recall")}


def _targets(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Users of the train rows with something new in the test rows."""
    good = test if "weight" not in test else test[test["weight"] > 0]
    fresh = (
        good[PAIR]
        .drop_duplicates()
        .merge(train[PAIR].drop_duplicates(), how="left", indicator=True)
    )
    fresh = fresh[fresh["_merge"] == "left_only"]
    users: np.ndarray = np.intersect1d(fresh["user_id"], train["user_id"])
    return users
