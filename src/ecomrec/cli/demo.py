"""``ecomrec demo``: models compared on the bundled shop, and lists for three of its customers."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ecomrec.cli.models import make_model
from ecomrec.cli.progress import Progress
from ecomrec.cli.report import comparison_text
from ecomrec.cli.warmup import is_cached

if TYPE_CHECKING:
    import pandas as pd

HELP = "see it work on a real shop that comes with the package"
DESCRIPTION = """\
Fit the models on a year of orders of a British gift shop, compare them on the
orders that came later, and show what they would recommend to three customers.
"""

MODELS = (
    "popular", "item-knn", "user-knn", "als", "pure-svd", "ease", "slim", "graph-filter", "tfidf",
)  # fmt: skip
SHOWN_BY = "item-knn"
_K = 10
_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command: none of its own."""


def run(args: argparse.Namespace, progress: Progress) -> None:
    """Load the shop, compare, print the table and three customers."""
    with progress.step("loading the shop"):
        from ecomrec.data import EventWeights
        from ecomrec.datasets import load_online_retail
        from ecomrec.evaluation import compare, train_test_split

        shop = load_online_retail()
        # A return takes back what its purchase said.
        events = EventWeights({"purchase": 1, "return": -1}).fit_transform(shop.events)
        train, test = train_test_split(events)
    models = {name: make_model(name) for name in MODELS}
    once = "loading compiled kernels" if is_cached() else "compiling kernels, once"
    with progress.step(once):
        _run_in(models, train.head(500), shop.items)
    with progress.step(f"fitting and comparing {', '.join(models)}"):
        result = compare(models, train, test, k=_K, items=shop.items, exclude_seen=(True, False))
    start = test["timestamp"].min()
    sys.stdout.write(
        f"\nUCI Online Retail: {len(events):,} events of {len(shop.users):,} customers with "
        f"{len(shop.items):,} products,\n{train['timestamp'].min():%Y-%m-%d} to "
        f"{test['timestamp'].max():%Y-%m-%d}. Fitted on what came before {start:%Y-%m-%d %H:%M}, "
        "compared on what\ncame after; a return takes back its purchase.\n\n"
    )
    sys.stdout.write(comparison_text(result))
    names = dict(zip(shop.items["item_id"], shop.items["description"], strict=True))
    model = result.models[SHOWN_BY]
    sys.stdout.write(f"\nThree customers, and what {SHOWN_BY} would have shown them:\n")
    for user in _customers(train, test):
        sys.stdout.write(_customer_text(user, model, train, test, names))
    sys.stdout.write(
        "\nYour own events: ecomrec evaluate EVENTS.csv, then ecomrec recommend EVENTS.csv\n"
    )


def _run_in(models: dict[str, Any], events: pd.DataFrame, items: pd.DataFrame) -> None:
    """Fit and ask once, so that the times of the table are without compiling and loading."""
    from sklearn.base import clone

    users = events["user_id"].unique()[:3]
    for model in models.values():
        fitted = clone(model).fit(events, items=items)
        fitted.recommend(users)
        fitted.explain(users[0], fitted.item_ids_[0])


def _customers(train: pd.DataFrame, test: pd.DataFrame) -> list[Any]:
    """Choose three who bought a handful of things and came back: first, middle and last by id."""
    bought = train[train["weight"] > 0].groupby("user_id")["item_id"].nunique()
    handful = bought.index[bought.between(6, 12)]
    came_back = sorted(set(handful) & set(test.loc[test["weight"] > 0, "user_id"]))
    return [came_back[0], came_back[len(came_back) // 2], came_back[-1]]


def _customer_text(
    user: Any, model: Any, train: pd.DataFrame, test: pd.DataFrame, names: dict[str, str]
) -> str:
    mine = train[(train["user_id"] == user) & (train["weight"] > 0)]
    history = mine["item_id"].iloc[::-1].drop_duplicates().tolist()
    later = set(test.loc[(test["user_id"] == user) & (test["weight"] > 0), "item_id"])
    lines = ["", f"Customer {user} had bought, newest first:"]
    lines += [f"    {names[item]}" for item in history[:_SHOWN]]
    if len(history) > _SHOWN:
        lines.append(f"    and {len(history) - _SHOWN} more")
    shown = model.recommend([user], k=_SHOWN).items[0].tolist()
    lines.append(f"  We would show{' (* bought later)' if later & set(shown) else ''}:")
    for item in shown:
        lines.append(f"  {'*' if item in later else ' '} {names[item]}")
        parts = model.explain(user, item)
        reasons = parts.loc[parts["kind"] == "item", "reason"].head(2).tolist()
        if reasons:
            lines.append(f"        because of {' and '.join(names[reason] for reason in reasons)}")
    return "\n".join(lines) + "\n"
