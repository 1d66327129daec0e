"""What newcomers are shown by what is known of them, and what they are asked.

``python -m benchmarks onboarding`` writes ``results/onboarding.json``. What each part of a log
comes to is kept in ``.cache/onboarding/``, so a run that was ended goes on where it was.
``python -m benchmarks newcomers`` writes ``results/newcomers.json``: `ColdStart` without any
knowledge of them, with an attribute, and with a history of n items.

A fifth of the users are newcomers, of whom the model sees nothing (`ColdUserSplit`). Half of what
each has, drawn at random, is what they say they like if asked; all else is "unknown". The other
half is to be found: all items ranked, the first half left out of all lists alike, ten places.
Nothing is tuned here; users on whom the design of the questions was chosen do not count.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.logs import CACHE, DATA
from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec.cf import ItemKNN, Popularity
from ecomrec.coldstart import ColdStart, Onboarding
from ecomrec.datasets import load_online_retail
from ecomrec.evaluation import ColdUserSplit, per_user_metrics

PAIR = ["user_id", "item_id"]
K = 10
QUESTIONS = (1, 3, 5, 10)
STRATEGIES = ("popular", "entropy", "tree", "a_optimal")
METRICS = ("ndcg", "recall")
#: How many of five folds are newcomers, in turn.
FOLDS = {"ml-100k": 5, "ml-1m": 1, "online-retail": 3}
N_USERS = 4000  # of ml-1m
GROUPS = {
    "ml-100k": ("gender", "age", "occupation"),
    "ml-1m": ("gender", "age", "occupation"),
    "online-retail": ("country",),
}


def write(logs: list[str] | None = None) -> Path:
    """Measure some logs, or all, and keep what is known of the others."""
    path = RESULTS / "onboarding.json"
    report = json.loads(path.read_text()) if path.exists() else {"logs": {}}
    for log in logs or list(FOLDS):
        folds = [_fold(log, number) for number in range(FOLDS[log])]
        rows = [row for strategy in STRATEGIES for row in _rows(strategy, folds)]
        users = sum(len(fold["popular"]["1"]["ndcg"]) for fold in folds)
        report["logs"][log] = {"newcomers": users, "folds": FOLDS[log], "rows": rows}
        report["conditions"] = conditions(["ecomrec", "numpy", "scipy"])
        path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def _rows(strategy: str, folds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over newcomers, and the 95 % interval of what a strategy adds to popular items."""
    rows = []
    for n in map(str, QUESTIONS):
        row: dict[str, Any] = {"strategy": strategy, "questions": int(n)}
        for metric in METRICS:
            own, popular = (
                np.concatenate([fold[name][n][metric] for fold in folds])
                for name in (strategy, "popular")
            )
            more = own - popular
            row[metric] = float(own.mean())
            row[f"{metric}_more"] = float(more.mean())
            row[f"{metric}_more_ci"] = float(1.96 * more.std(ddof=1) / np.sqrt(len(more)))
        row["liked"] = float(np.concatenate([fold[strategy][n]["liked"] for fold in folds]).mean())
        rows.append(row)
    return rows


def _fold(log: str, number: int) -> dict[str, Any]:
    """Figures of every newcomer of a fold, by strategy and number of questions."""
    path = CACHE / "onboarding" / f"{log} {number}.json"
    if path.exists():
        return json.loads(path.read_text())
    train, said, wanted = _divided(log, number)
    likes = said.groupby("user_id")["item_id"].agg(set)
    likes = likes[~likes.index.isin(_designed_on(log))]
    found: dict[str, Any] = {}
    for strategy in STRATEGIES:
        model = Onboarding(ItemKNN(), strategy=strategy, n_questions=max(QUESTIONS)).fit(train)
        answers = [_asked(model, liked) for liked in likes]
        found[strategy] = {}
        for n in QUESTIONS:
            given = [dict(list(each.items())[:n]) for each in answers]
            left_out = [list(liked) for liked in likes]
            recs = model.recommend(answers=given, k=K, exclude=left_out)
            table = per_user_metrics(recs, likes.index, wanted, K, metrics=METRICS)
            figures = {metric: table[metric].tolist() for metric in METRICS}
            figures["liked"] = [list(each.values()).count("liked") for each in given]
            found[strategy][str(n)] = figures
        print(log, number, strategy, len(likes), flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


def _asked(model: Onboarding, liked: set[Any]) -> dict[Any, str]:
    answers: dict[Any, str] = {}
    while (item := model.next_question(answers)) is not None:
        answers[item] = "liked" if item in liked else "unknown"
    return answers


def _divided(log: str, number: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rows of the known; of newcomers that have both, what they say and what is to be found."""
    events = _read(log)
    known, new = list(ColdUserSplit(5, random_state=0).split(events))[number]
    train, newcomers = events.iloc[known], events.iloc[new]
    is_said = np.random.default_rng(number).random(len(newcomers)) < 0.5
    said, wanted = newcomers[is_said], newcomers[~is_said]
    wanted = wanted[wanted["item_id"].isin(train["item_id"])]
    return train, said[said["user_id"].isin(wanted["user_id"])], wanted


def write_newcomers(logs: list[str] | None = None) -> Path:
    """Measure what `ColdStart` shows newcomers by what is known of them."""
    path = RESULTS / "newcomers.json"
    report = json.loads(path.read_text()) if path.exists() else {"logs": {}}
    for log in logs or list(GROUPS):
        folds = [_by_knowledge(log, number) for number in range(FOLDS[log])]
        rows = []
        for name in folds[0]:
            own, nothing = (
                np.concatenate([fold[each] for fold in folds]) for each in (name, "nothing")
            )
            more = own - nothing
            error = 1.96 * more.std(axis=0, ddof=1) / np.sqrt(len(more))
            row: dict[str, Any] = {"known": name}
            for place, metric in enumerate(METRICS):
                row[metric] = float(own[:, place].mean())
                row[f"{metric}_more"] = float(more[:, place].mean())
                row[f"{metric}_more_ci"] = float(error[place])
            rows.append(row)
        report["logs"][log] = {"newcomers": len(own), "folds": FOLDS[log], "rows": rows}
        report["conditions"] = conditions(["ecomrec", "numpy", "scipy"])
        path.write_text(json.dumps(report, indent=1) + "\n")
        print(log, json.dumps(rows), flush=True)
    return path


def _by_knowledge(log: str, number: int) -> dict[str, np.ndarray]:
    """NDCG and Recall of each newcomer, by what is known of them."""
    train, said, wanted = _divided(log, number)
    said = said.sample(frac=1, random_state=number)
    given = said.groupby("user_id")["item_id"].agg(list)
    users = _users(log).set_index("user_id")
    left_out = given.tolist()

    def measured(model: ColdStart, **asked: Any) -> np.ndarray:
        recs = model.recommend(k=K, exclude=left_out, **asked)
        return per_user_metrics(recs, given.index, wanted, K, metrics=METRICS).to_numpy()

    found = {}
    for group in GROUPS[log]:
        parts = [("group", Popularity(group=group)), ("all", Popularity())]
        table = users.loc[train["user_id"].unique()].reset_index()
        model = ColdStart(ItemKNN(), parts).fit(train, users=table)
        if not found:
            found["nothing"] = measured(model, users=given.index.tolist())
            for n in QUESTIONS:
                histories = [items[:n] for items in given]
                found[f"history of {n}"] = measured(model, history=histories)
        attributes = users.loc[given.index, [group]].to_dict(orient="records")
        found[group] = measured(model, attributes=attributes)
    return found


def _users(log: str) -> pd.DataFrame:
    if log == "online-retail":
        return load_online_retail().users
    users = pd.read_parquet(DATA / log / "users.parquet")
    decade = (users["age"] // 10 * 10).astype(str)
    return users.assign(age=decade, occupation=users["occupation"].astype(str))


def _read(log: str) -> pd.DataFrame:
    if log == "online-retail":
        events = load_online_retail().events
        events = events[events["event"] == "purchase"]
    elif log == "ml-100k":
        events = pd.read_parquet(DATA / log / "ratings.parquet")
    else:
        events = pd.read_parquet(DATA / log / "interactions.parquet")
        users = events["user_id"].unique()
        chosen = np.random.default_rng(1).choice(users, N_USERS, replace=False)
        events = events[events["user_id"].isin(chosen)]
    return events[PAIR].drop_duplicates(ignore_index=True)


def _designed_on(log: str) -> list[Any]:
    """Users on whom the design of the questions was chosen: a fifth of two logs."""
    if log == "ml-1m":
        return []
    if log == "ml-100k":
        users = np.unique(pd.read_parquet(DATA / log / "ratings.parquet")["user_id"])
    else:
        rows = pd.read_parquet(DATA / log / "transactions.parquet")
        users = np.unique(rows.loc[rows["user_id"].notna() & ~rows["is_cancellation"], "user_id"])
    np.random.default_rng(0).shuffle(users)
    fifth = len(users) // 5
    return users[fifth : 2 * fifth].astype(np.int64).tolist()
