"""Sections of the page about new items and newcomers."""

from typing import Any

from benchmarks.rst import machine, table, title

_Report = dict[str, Any]


def cold_items(report: _Report) -> str:
    """How new items are found, and how many of them come into lists beside known ones."""
    k = report["k"]
    parts = [
        *title("New items"),
        "A fifth of the items is new: all their events are held out, and a fifth of each user's "
        f"other events too. Recall in {k} places. **cold**: of held-out new items, only new items "
        "ranked; **more**: than by words alone, with the 95 % interval of the paired difference. "
        "**mixed**: of everything held out, all items ranked. **warm**: of known items, among "
        "known items. **new**: share of new items on the pages where all are ranked, and share of "
        "users who see any. Nothing is tuned on these logs. What a model knows nothing of comes "
        "in the order of the catalogue, which on ml-100k tells of popularity. See "
        ":doc:`coldstart/new_items`.",
        "",
        f"{machine(report['conditions'])}.",
        "",
    ]
    for log, models in report["logs"].items():
        *rows, chance = models
        splits = chance["splits"]
        parts += [
            *title(log, "~"),
            f"{splits} split{'s' if splits > 1 else ''}; {chance['new_of_held_out']:.0%} of what "
            f"is held out is new. At random, cold would be {chance['cold']:.4f}.",
            "",
            *table([("", "cold", "more", "mixed", "warm", "new", "users"), *map(_cold_row, rows)]),
        ]
    return "\n".join(parts)


def _cold_row(row: _Report) -> tuple[str, ...]:
    error = 1.96 * row["cold_more_than_words_se"]
    more = f"{row['cold_more_than_words']:+.4f} ± {error:.4f}" if error else ""
    figures = [f"{row[key]:.4f}" for key in ("cold", "mixed", "warm")]
    shares = [f"{row[key]:.0%}" for key in ("new", "users_shown_new")]
    return (row["model"], figures[0], more, *figures[1:], *shares)


def newcomers(report: _Report) -> str:
    """What newcomers are shown, by what is known of them."""
    parts = [
        *title("New users"),
        "``ColdStart(ItemKNN(), [Popularity(group), Popularity()])``, asked by newcomers of whom "
        "it has seen nothing: as strangers, with one attribute, with a history of n items. The "
        "other half of what each has is to be found, as for the questions below. **more**: than "
        "with nothing known, with the 95 % interval of the paired difference; bold where it "
        "leaves out zero. See :doc:`coldstart/new_users`.",
        "",
        f"{machine(report['conditions'])}.",
        "",
    ]
    head = ("known", "NDCG@10", "more", "Recall@10", "more")
    for log, found in report["logs"].items():
        rows = [head, *((row["known"], *_gains(row, "nothing")) for row in found["rows"])]
        parts += [f"{_name(log)}: {found['newcomers']:,} newcomers.", "", *table(rows)]
    return "\n".join(parts)


def _name(log: str) -> str:
    return f"{log}, 4,000 users" if log == "ml-1m" else log


def onboarding(report: _Report) -> str:
    """Accuracy after n questions, by how they are chosen."""
    parts = [
        *title("Questions for newcomers"),
        "``Onboarding(ItemKNN())`` with its strategies. A fifth of the users are newcomers, of "
        "whom no model sees anything. Half of what each has is what they say they like if asked, "
        'else "unknown"; the other half is to be found, ten places, all items ranked, the first '
        "half left out of all lists alike. **more**: than after as many questions about popular "
        "items, with the 95 % interval of the paired difference; bold where it leaves out zero. "
        "**liked**: of the items asked about. Users on whom the design of the questions was "
        "chosen do not count. See :doc:`coldstart/onboarding`.",
        "",
        f"{machine(report['conditions'])}.",
        "",
    ]
    head = ("questions", "strategy", "NDCG@10", "more", "Recall@10", "more", "liked")
    for log, found in report["logs"].items():
        rows = sorted(found["rows"], key=lambda row: row["questions"])
        parts += [
            f"{_name(log)}: {found['newcomers']:,} newcomers. By NDCG, after so many questions, "
            f"surely better than popular items: {_sure(rows, 1)}; "
            f"surely worse: {_sure(rows, -1)}.",
            "",
            *table([head, *map(_asked_row, rows)]),
        ]
    return "\n".join(parts)


def _sure(rows: list[_Report], sign: int) -> str:
    """Strategies whose difference from popular items is sure and of this sign, and when."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if sign * row["ndcg_more"] > row["ndcg_more_ci"]:
            found.setdefault(row["strategy"], []).append(str(row["questions"]))
    return ", ".join(f"{name} ({', '.join(when)})" for name, when in found.items()) or "none"


def _asked_row(row: _Report) -> tuple[str, ...]:
    strategy = row["strategy"]
    figures = _gains(row | {"known": strategy}, "popular")
    return (str(row["questions"]), strategy, *figures, f"{row['liked']:.1f}")


def _gains(row: _Report, base: str) -> list[str]:
    """Each metric, and how much more it is than of the base."""
    cells = []
    for metric in ("ndcg", "recall"):
        more, error = row[f"{metric}_more"], row[f"{metric}_more_ci"]
        shown = f"{more:+.4f} ± {error:.4f}"
        shown = f"**{shown}**" if abs(more) > error else shown
        same = row["known"] == base or error == 0
        cells += [f"{row[metric]:.4f}", "" if same else shown]
    return cells


#: By the name of the file of results.
SECTIONS = {"cold_items": cold_items, "newcomers": newcomers, "onboarding": onboarding}
