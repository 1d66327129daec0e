"""Section of the page about pages: variety, baskets, two stages in a request."""

from typing import Any

from benchmarks.rst import machine, table, title

_Report = dict[str, Any]
_LOGS = {
    "online-retail": "the shop that ships, the last 30 days held out. Text: descriptions; "
    "category: what a product is, by the last frequent noun of its description",
    "ml-1m": "the published split. Text and categories: genres",
}
_EVENTS = (
    "By text, a little variety costs nothing (MMR, 0.9) and much of it costs accuracy. By events, "
    "a page spreads over kinds of customers, not over words: that raises accuracy on both logs, "
    "and on ml-1m the variety of genres falls."
)


def reranking(report: _Report) -> str:
    """Whatever of it has been measured."""
    parts = [*title("Rerankers and two stages"), f"{machine(report['conditions'])}.", ""]
    for name, section in _PARTS.items():
        if name in report:
            parts += section(report[name])
    return "\n".join(parts)


def _variety(logs: _Report) -> list[str]:
    parts = [
        *title("What variety costs", "~"),
        "Pages of ten from the 100 best candidates of ``ItemKNN()``, new items only, along "
        "``trade_off`` (1 is the plain page). **less plain**: NDCG@10, 95 % interval of the "
        "paired difference. **variety**: ``intra_list_diversity`` of the texts. **mix**: how far "
        "the page's shares of categories are from those of the user's history, 0 to 1 (half the "
        "sum of the differences). **shown**: share of the catalogue on any page. Nothing is "
        "chosen on these rows: every setting is shown. See :doc:`hybrid/diversity`.",
        "",
    ]
    head = ("page", "trade_off", "NDCG@10", "less plain", "variety", "mix", "shown")
    for log, found in logs.items():
        rows = [head, *map(_variety_row, found["rows"])]
        parts += [f"{log}, {found['users']:,} users: {_LOGS[log]}.", "", *table(rows)]
    return [*parts, _EVENTS, ""]


def _variety_row(row: _Report) -> tuple[str, ...]:
    more = _ends(row["ndcg_more"]) if "ndcg_more" in row else ""
    share = f"{row['trade_off']:g}" if "trade_off" in row else ""
    figures = f"{row['variety']:.3f}", f"{row['mix']:.3f}", f"{row['coverage']:.0%}"
    return (row["page"], share, f"{row['ndcg']:.4f}", more, *figures)


def _ends(ends: list[float]) -> str:
    shown = f"{ends[0]:+.4f} to {ends[1]:+.4f}"
    return f"**{shown}**" if ends[0] > 0 or ends[1] < 0 else shown


def _speed(found: _Report) -> list[str]:
    head = ("", f"{found['rows']:,} lists, s", "one list, ms")
    rows = [
        (name, f"{values['many_s']:.3f}", f"{values['one_ms']:.2f}")
        for name, values in found.items()
        if isinstance(values, dict)
    ]
    return [
        *title("Time for a page", "~"),
        f"Pages of ten from lists of {found['candidates']} candidates, vectors of "
        f"{found['width']} numbers (``Calibrated``: 20 categories), one thread. CPU time, not "
        "wall, for the machine was shared; medians.",
        "",
        *table([head, *rows]),
    ]


def _baskets(found: _Report) -> list[str]:
    head = ("", "NDCG@10", "less tuned ItemKNN", "Recall@10", "a hit in ten")
    rows = [
        (
            row["model"],
            f"{row['ndcg']:.4f}",
            "" if row["ndcg_more"] == [0.0, 0.0] else _ends(row["ndcg_more"]),
            f"{row['recall']:.4f}",
            f"{row['hit_rate']:.4f}",
        )
        for row in found["rows"]
    ]
    return [
        *title("What goes with the basket", "~"),
        f"{found['orders']:,} orders of the last fifth by time. A random half of each is the "
        f"basket ({found['basket']:.1f} products); to be found are those of the other half whose "
        f"category is not in it ({found['wanted']:.1f}). All models rank the same categories, "
        f"which are the last of {found['categories']} nouns in the description "
        f"({found['labelled']:.0%} of the products have one). "
        '"tuned": the best on the fifth before. See '
        ":doc:`hybrid/complementary`.",
        "",
        *table([head, *rows]),
    ]


def _request(found: _Report) -> list[str]:
    rows = [
        (name, f"{values['p50']:.2f}", f"{values['p99']:.2f}")
        for name, values in found.items()
        if isinstance(values, dict)
    ]
    return [
        *title("One request to two stages", "~"),
        "``TwoStage()`` with its defaults on the bundled shop "
        f"({found['users']:,} users, {found['items']:,} items), and its generators alone: ten "
        "items for one known user a call, a warm model. Each of three generators proposes "
        f"{found['n_candidates']} items, the ranker sees {found['features']} features. CPU time "
        "of all threads, not wall. What two stages are worth: `Hybrids`_.",
        "",
        *table([("", "p50 ms", "p99 ms"), *rows]),
    ]


def _rates(found: _Report) -> list[str]:
    kinds = [name for name, values in found.items() if isinstance(values, dict)]
    head = ["group", *(f"{name}: {what}" for name in kinds for what in ("score", "bought"))]
    rows = [
        (
            str(number + 1),
            *(f"{found[name][key][number]:.4f}" for name in kinds for key in ("score", "hit")),
        )
        for number in range(10)
    ]
    return [
        *title("Scores as rates", "~"),
        "``TwoStage`` by ``calibration``, fitted on the bundled shop without its last 30 days; "
        "the ranker learned from the 30 days before. The 100 best new items of each of "
        f"{found['users']:,} customers who come back in the last 30 days, in ten groups by score: "
        "mean score beside the share that was bought.",
        "",
        *table([tuple(head), *rows]),
    ]


_PARTS = {
    "variety": _variety,
    "speed": _speed,
    "baskets": _baskets,
    "request": _request,
    "rates": _rates,
}

#: By the name of the file of results.
SECTIONS = {"reranking": reranking}
