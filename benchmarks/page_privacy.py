"""Section of the page about what privacy costs in accuracy."""

from typing import Any

from benchmarks.rst import machine, table, title

_Report = dict[str, Any]
_HEAD = ("model", "epsilon", "Recall@20", "more", "NDCG@20", "of EASE", "head", "middle", "tail")
_ORDER = ("Popularity", "EASE", "EASE, tuned")


def privacy(report: _Report) -> str:
    """Accuracy by epsilon, on every log and part of the catalogue."""
    k, delta, seeds = report["k"], report["delta"], report["seeds"]
    parts = [
        *title("Privacy"),
        "Models with user-level differential privacy and their defaults, "
        f"delta {delta:g}, beside models without. "
        "Test users are in no fit: a fifth of the items of each is to be found from the others, "
        f"in {k} places, all items ranked. Means over {seeds} draws of noise for each epsilon. "
        "**more**: Recall than of DPPopularity at the same epsilon (0.5 for models without "
        "privacy), with the 95 % interval over users; bold where it leaves out zero. **of EASE**: "
        "share of the Recall of EASE without privacy, its regularization the best on the test "
        "users. **head**, **middle**, **tail**: Recall of the most popular items that half of all "
        "events are of, of those that the next three tenths are of, and of the rest. See "
        ":doc:`privacy/accuracy`.",
        "",
        f"{machine(report['conditions'])}.",
        "",
    ]
    for log, found in report["logs"].items():
        sizes = ", ".join(f"{n:,} {part}" for part, n in found["part_items"].items())
        parts += [
            *title(log, "~"),
            f"{found['events']:,} events of {found['users']:,} users and {found['items']:,} items "
            f"({sizes}); {found['tested']:,} test users.",
            "",
            *table(rows_of(found)),
        ]
    return "\n".join(parts)


def rows_of(found: _Report, models: tuple[str, ...] | None = None) -> list[tuple[str, ...]]:
    """The table of one log, or of some of its models."""
    rows = {(row["model"], row["epsilon"]): row for row in found["rows"]}
    best = rows["EASE, tuned", None]["recall"]
    private = sorted({model for model, _ in rows} - {*_ORDER})
    order = [*_ORDER, *private]
    chosen = [row for row in found["rows"] if models is None or row["model"] in models]
    chosen.sort(key=lambda row: (order.index(row["model"]), float(row["epsilon"] or 0)))
    return [_HEAD, *(_row(row, best) for row in chosen)]


def _row(row: _Report, best: float) -> tuple[str, ...]:
    more, error = row["recall_more"], row["recall_more_ci"]
    shown = f"{more:+.3f} ± {error:.3f}"
    shown = f"**{shown}**" if abs(more) > error else shown
    return (
        row["model"],
        row["epsilon"] or "",
        f"{row['recall']:.3f}",
        "" if row["model"] == "DPPopularity" else shown,
        f"{row['ndcg']:.3f}",
        f"{row['recall'] / best:.0%}",
        *(f"{row[part]:.3f}" for part in ("head", "middle", "tail")),
    )


#: By the name of the file of results.
SECTIONS = {"privacy": privacy}
