"""Pages: what variety costs and takes, what goes with the basket, two stages in a request.

``python -m benchmarks reranking`` writes ``results/reranking.json``; ``--part`` names those of its
parts that are measured anew. Times are CPU time of the process, all threads together.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.logs import DATA
from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec.base import Recommendations
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.content import TfidfRecommender
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import catalog_coverage, intra_list_diversity, per_user_metrics
from ecomrec.hybrid import DPP, MMR, Calibrated, Complementary, TwoStage

K, N_CANDIDATES = 10, 100
SHARES = (0.9, 0.7, 0.5, 0.3)
N_BOOTSTRAP = 2000
#: Frequent last words of the shop's descriptions that say how a product looks, not what it is.
_LOOKS = (
    "DESIGN PINK HEART FLOWER LARGE SMALL RED RETROSPOT BLUE POLKADOT CHRISTMAS GREEN ASSORTED "
    "GIRL STAR WHITE BLACK CREAM LONDON HOME GARDEN PAISLEY LEAF GOLD IVORY HEARTS FLOWERS METAL "
    "SPACEBOY GLASS BUNNY SILVER FLOCK ROSE SKULLS RABBIT ZINC SET"
)


class Log(NamedTuple):
    """Events to learn from and to find, items with `text` and a `category` each."""

    past: pd.DataFrame
    later: pd.DataFrame
    items: pd.DataFrame


def write(parts: list[str] | None = None) -> Path:
    """Measure some parts, or all, and keep what is known of the others."""
    path = RESULTS / "reranking.json"
    report = json.loads(path.read_text()) if path.exists() else {}
    for part in parts or list(PARTS):
        report[part] = PARTS[part]()
        packages = ["ecomrec", "numba", "numpy", "scikit-learn", "scipy"]
        report["conditions"] = conditions(packages)
        path.write_text(json.dumps(report, indent=1) + "\n")
    return path


# ---------------------------------------------------------------------------- variety


def variety() -> dict[str, Any]:
    """NDCG of pages beside their variety and their mix, along the trade-off of each reranker."""
    return {name: _curves(read()) for name, read in LOGS.items()}


def _curves(log: Log) -> dict[str, Any]:
    users = np.intersect1d(log.past["user_id"], log.later["user_id"])
    lists = ItemKNN().fit(log.past).recommend(users, k=N_CANDIDATES)
    words = TfidfRecommender({"text": 1.0}).fit(log.past, items=log.items)
    mixes = _Mixes(log)

    def measured(page: Any) -> tuple[np.ndarray, dict[str, float]]:
        table = per_user_metrics(page, users, log.later, K, metrics=["ndcg"], seen=log.past)
        return table["ndcg"].to_numpy(), {
            "ndcg": float(np.nanmean(table["ndcg"])),
            "variety": float(intra_list_diversity(page, words.item_ids_, words.item_vectors_, K)),
            "mix": mixes.distance(page, users),
            "coverage": float(catalog_coverage(page, log.items["item_id"], K)),
        }

    steps = {
        "MMR by text": MMR(fields={"text": 1}).fit(items=log.items),
        "DPP by text": DPP(fields={"text": 1}).fit(items=log.items),
        "MMR by events": MMR(similarity="events").fit(log.past),
        "DPP by events": DPP(similarity="events").fit(log.past),
        "Calibrated": Calibrated().fit(log.past, items=log.items),
    }
    plain, figures = measured(lists.items[:, :K])
    counted = ~np.isnan(plain)
    rows = [{"page": "plain"} | figures]
    for name, step in steps.items():
        for share in SHARES:
            ndcg, figures = measured(step.set_params(trade_off=share).rerank(lists, k=K))
            more = _interval((ndcg - plain)[counted])
            rows.append({"page": name, "trade_off": share} | figures | {"ndcg_more": more})
        print(rows[-1], flush=True)
    return {"users": int(counted.sum()), "rows": rows}


class _Mixes:
    """Shares of categories, of histories and pages."""

    def __init__(self, log: Log) -> None:
        labels = log.items.set_index("item_id")["category"].dropna().str.split("|").explode()
        self.shares = pd.get_dummies(labels, dtype=float).groupby(level=0).sum()
        self.shares = self.shares.div(self.shares.sum(axis=1), axis=0)
        self.of_history = self._of(log.past[["user_id", "item_id"]].drop_duplicates())

    def distance(self, page: Any, users: np.ndarray) -> float:
        """Half the sum of the differences between a user's two mixes, mean over users."""
        ids = np.asarray(page.items if hasattr(page, "items") else page)
        shown = pd.DataFrame({"user_id": np.repeat(users, K), "item_id": ids.ravel()})
        both = self._of(shown).align(self.of_history, join="inner", axis=0)
        return float((both[0] - both[1]).abs().sum(axis=1).mean() / 2)

    def _of(self, pairs: pd.DataFrame) -> pd.DataFrame:
        pairs = pairs[pairs["item_id"].isin(self.shares.index)]
        rows = self.shares.loc[pairs["item_id"]]
        return rows.groupby(pairs["user_id"].to_numpy()).mean()


def _shop() -> Log:
    shop = load_online_retail()
    bought = shop.events[shop.events["event"] == "purchase"]
    cut = bought["timestamp"].max() - pd.Timedelta("30D")
    items = _labelled(shop.items).assign(text=shop.items["description"])
    return Log(bought[bought["timestamp"] < cut], bought[bought["timestamp"] >= cut], items)


def _ml_1m() -> Log:
    train, test = (
        pd.read_parquet(DATA / "ml-1m" / f"split_{part}.parquet") for part in ("train", "test")
    )
    items = pd.read_parquet(DATA / "ml-1m" / "items.parquet")
    text = items["genres"].str.replace("|", " ", regex=False)
    return Log(train, test, items.assign(text=text, category=items["genres"]))


LOGS: dict[str, Callable[[], Log]] = {"online-retail": _shop, "ml-1m": _ml_1m}


def _labelled(items: pd.DataFrame) -> pd.DataFrame:
    """Items of the shop with what they are: the last frequent noun of the description."""
    words = items["description"].str.upper().str.split()
    last = words.str[-1].value_counts()
    looks = set(_LOOKS.split())
    frequent = [word for word in last[last >= 8].index if word.isalpha() and word not in looks]
    nouns = {word.rstrip("S") for word in frequent}

    def kind(row: list[str]) -> str | None:
        words = (word.rstrip("S") for word in reversed(row) if word not in looks)
        return next((word for word in words if word in nouns), None)

    return items.assign(category=words.map(kind))


def _interval(more: np.ndarray) -> list[float]:
    """Ends of the 95 % interval of a mean of paired differences."""
    n = len(more)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), N_BOOTSTRAP)
    return [float(end) for end in np.percentile(drawn @ more / n, (2.5, 97.5))]


# ---------------------------------------------------------------------------- speed


def speed() -> dict[str, Any]:
    """CPU time of pages of ten from lists of 100 candidates with vectors of 64 numbers."""
    rng = np.random.default_rng(0)
    n_rows, n_items, width = 1000, 5000, 64
    items = np.array([rng.choice(n_items, N_CANDIDATES, replace=False) for _ in range(n_rows)])
    scores = -np.sort(-rng.random(items.shape), axis=1).astype(np.float32)
    many = Recommendations(items, scores, list(range(n_rows)))
    one = Recommendations(items[:1], scores[:1], [0])
    vectors = np.arange(n_items), rng.normal(size=(n_items, width))
    labels = pd.DataFrame({"item_id": np.arange(n_items), "category": vectors[0] % 20})
    labels["category"] = "c" + labels["category"].astype(str)
    events = pd.DataFrame({"user_id": np.arange(n_rows).repeat(20)})
    events["item_id"] = rng.integers(0, n_items, len(events))
    steps: dict[str, Any] = {
        "MMR": MMR(n_jobs=1).fit(vectors=vectors),
        "DPP": DPP(n_jobs=1).fit(vectors=vectors),
        "Calibrated": Calibrated(n_jobs=1).fit(events, items=labels),
    }
    found: dict[str, Any] = {"rows": n_rows, "candidates": N_CANDIDATES, "width": width}
    for name, step in steps.items():
        step.rerank(many, K)
        found[name] = {
            "many_s": _cpu([lambda step=step: step.rerank(many, K)] * 9)["p50"] / 1000,
            "one_ms": _cpu([lambda step=step: step.rerank(one, K)] * 300)["p50"],
        }
    return found


def _cpu(calls: list[Callable[[], Any]]) -> dict[str, float]:
    """CPU time of calls, p50 and p99 in milliseconds."""
    took = []
    for call in calls:
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {"p50": float(p50), "p99": float(p99)}


# ---------------------------------------------------------------------------- baskets


def baskets() -> dict[str, Any]:
    """Half of an order is the basket: find what is in the other half and of another category.

    Orders are split by time: the last fifth is tested. "tuned" are settings that were the best on
    the fifth before, of 42 for ItemKNN and 36 for Complementary.
    """
    shop = load_online_retail()
    items = _labelled(shop.items)
    bought = shop.events.loc[shop.events["event"] == "purchase"]
    orders = bought.assign(user_id=bought["order_id"])
    starts = np.sort(orders.groupby("order_id")["timestamp"].min().to_numpy())
    cut = starts[int(0.8 * len(starts))]
    past, later = orders[orders["timestamp"] < cut], orders[orders["timestamp"] >= cut]
    given, wanted, hidden = _halves(later, items)
    test = pd.DataFrame(
        [(number, item) for number, others in enumerate(wanted) for item in others],
        columns=["user_id", "item_id"],
    )
    models: dict[str, Any] = {
        "Popularity": Popularity(),
        "ItemKNN": ItemKNN(),
        "ItemKNN, tuned": ItemKNN(400, shrink=20, popularity_damping=0.6, history_damping=0.5),
        "lift alone": Complementary(shrink=0, popularity_damping=1.0, basket_damping=0.0),
        "lift, shrink=10": Complementary(shrink=10, popularity_damping=1.0, basket_damping=0.0),
        "Complementary": Complementary(),
        "Complementary, tuned": Complementary(shrink=10, popularity_damping=0.75),
    }
    values = {}
    for name, model in models.items():
        model.fit(past[["user_id", "item_id", "timestamp"]], items=items)
        recs = model.recommend(history=given, k=K, exclude=hidden, unknown="skip")
        users = np.arange(len(given))
        metrics = ("ndcg", "recall", "hit_rate")
        values[name] = per_user_metrics(recs.items, users, test, K, metrics=metrics)
        print(name, values[name].mean().to_dict(), flush=True)
    tuned = values["ItemKNN, tuned"]["ndcg"]
    rows = [
        {"model": name, **found.mean().astype(float).to_dict()}
        | {"ndcg_more": _interval((found["ndcg"] - tuned).to_numpy())}
        for name, found in values.items()
    ]
    sizes = [float(np.mean([len(half) for half in halves])) for halves in (given, wanted)]
    return {
        "orders": len(given), "basket": sizes[0], "wanted": sizes[1],
        "categories": int(items["category"].nunique()),
        "labelled": float(items["category"].notna().mean()), "rows": rows,
    }  # fmt: skip


def _halves(later: pd.DataFrame, items: pd.DataFrame) -> tuple[list[Any], list[Any], list[Any]]:
    """Basket, what is to be found, and what is not ranked, of each order that has all of them."""
    labels = items.set_index("item_id")["category"].dropna()
    members = {label: rows.tolist() for label, rows in labels.groupby(labels).groups.items()}
    unlabelled = items.loc[items["category"].isna(), "item_id"].tolist()
    kind = labels.to_dict()
    rng = np.random.default_rng(1)
    given, wanted, hidden = [], [], []
    for _, order in later.groupby("order_id")["item_id"]:
        bought = rng.permutation(order.unique()).tolist()
        half = max(1, len(bought) // 2)
        basket, others = bought[:half], bought[half:]
        inside = sorted({kind[item] for item in basket if item in kind})
        others = [item for item in others if item in kind and kind[item] not in inside]
        if inside and others:
            given.append(basket)
            wanted.append(others)
            hidden.append(unlabelled + [item for label in inside for item in members[label]])
    return given, wanted, hidden


# ---------------------------------------------------------------------------- two stages


def request() -> dict[str, Any]:
    """CPU time of one request to a warm two-stage model on the bundled shop, and to its parts."""
    shop = load_online_retail()
    events = shop.events[shop.events["event"] == "purchase"]
    model = TwoStage(random_state=0, n_jobs=1)
    start = time.process_time()
    model.fit(events, items=shop.items)
    found: dict[str, Any] = {
        "fit_s": time.process_time() - start, "n_candidates": model.n_candidates,
        "features": len(model.feature_names_), "users": len(model.user_ids_),
        "items": len(model.item_ids_),
    }  # fmt: skip
    chosen = np.random.default_rng(0).choice(model.user_ids_, 300, replace=False).tolist()
    alone = {f"{name} alone": part for name, part in model.parts_.items()}
    for name, asked in {"TwoStage": model, **alone}.items():
        for user in chosen[:5]:
            asked.recommend([user], k=K)
        calls = [lambda user=user, asked=asked: asked.recommend([user], k=K) for user in chosen]
        found[name] = _cpu(calls)
        print(name, found[name], flush=True)
    return found


def rates() -> dict[str, Any]:
    """Scores of a two-stage model, fitted without the last 30 days, beside what was bought then.

    The ranker learns from the 30 days before, so a score is the rate of 30 days. Asked are those
    who buy in the last 30 days and before; candidates are the 100 best of each, of equally many in
    ten groups by score.
    """
    log = _shop()
    cut = log.past["timestamp"].max() - pd.Timedelta("30D")
    later = float((log.past["timestamp"] > cut).mean())
    users = np.intersect1d(log.past["user_id"], log.later["user_id"])
    bought = pd.MultiIndex.from_frame(log.later[["user_id", "item_id"]].drop_duplicates())
    found: dict[str, Any] = {"users": len(users), "later": later}
    for calibration in ("sigmoid", "isotonic"):
        model = TwoStage(later=later, calibration=calibration, random_state=0)
        lists = model.fit(log.past, items=log.items).recommend(users, k=N_CANDIDATES).to_frame()
        hit = pd.MultiIndex.from_frame(lists[["user_id", "item_id"]]).isin(bought)
        group = pd.qcut(lists["score"].rank(method="first"), 10, labels=False)
        table = lists.assign(hit=hit.astype(float)).groupby(group)[["score", "hit"]].mean()
        found[calibration] = table.to_dict(orient="list")
        print(calibration, table, flush=True)
    return found


#: By the name in the results.
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "variety": variety, "speed": speed, "baskets": baskets, "request": request,
    "rates": rates,
}  # fmt: skip
