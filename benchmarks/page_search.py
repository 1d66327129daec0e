"""Sections of the page about search."""

from typing import Any

from benchmarks.rst import machine, table, title

_Report = dict[str, Any]


def search_speed(report: _Report) -> str:
    """Build, ask, add and remove, beside bm25s."""
    found = report["found"]
    other = found["bm25s"]
    head = ("", "SearchIndex", "bm25s")
    rows = [
        head,
        ("build, s", f"{found['build_s']:.3g}", f"{other['build_s']:.3g}"),
        ("one query: p50, ms", f"{found['p50_ms']:.3g}", f"{other['p50_ms']:.3g}"),
        ("one query: p99, ms", f"{found['p99_ms']:.3g}", f"{other['p99_ms']:.3g}"),
        ("with a filter by price: p99, ms", f"{found['filtered']['p99_ms']:.3g}", ""),
        ("last word completed: p99, ms", f"{found['prefix']['p99_ms']:.3g}", ""),
        ("last word corrected: p99, ms", f"{found['typos']['p99_ms']:.3g}", ""),
        ("all queries at once, s", f"{found['batch_s']:.3g}", f"{other['batch_s']:.3g}"),
        ("add 1,000 products, s", f"{found['add_1000_s']:.3g}", "build anew"),
        ("remove 1,000 products, s", f"{found['remove_1000_s']:.3g}", "build anew"),
    ]
    return "\n".join(
        [
            *title("Search: speed"),
            f"{report['n_items']:,} made-up products of 40 words, drawn by Zipf's law out of "
            f"200,000; {report['n_queries']:,} queries of two to four words of one product each, "
            "10 hits; one thread. Adding is the median of five batches.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def search_matching(report: _Report) -> str:
    """Matching records of two shops."""
    head = ("engine", "MRR", "recall@1", "recall@10", "train MRR", "untuned MRR", "chosen")
    rows = [head]
    for name, found in report["found"].items():
        figures = (found[key] for key in ("mrr", "recall_1", "recall_10", "train_mrr"))
        rows.append(
            (
                name,
                *(f"{figure:.4f}" for figure in figures),
                f"{found['defaults']['mrr']:.4f}",
                ", ".join(map(str, found["chosen"])),
            )
        )
    return "\n".join(
        [
            *title("Search: records of two shops"),
            "match-walmart-amazon: each of the "
            f"{report['n']} records of one shop that have a match is a query, title, category, "
            "brand, modelno and price end to end, to 5,247 records of the other; any of its "
            "matches counts. Everybody chooses parameters on the queries of train pairs "
            f"({report['n_train']}): the others their fields as well, which they see end to end "
            "(TF-IDF: sublinear or not, and the n-grams; bm25s: method, k1, b), ours the weights "
            "of these five fields, k1 and b. **untuned**: the first of what was tried.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def search_personal(report: _Report) -> str:
    """Personal order of hits, by a fixed protocol."""
    head = (
        "purchases", "searches", "hit", "weight", "search", "recommender", "personal",
        "gain over the better part", "stranger: search", "stranger: personal", "gain",
    )  # fmt: skip
    rows = [head]
    for name, found in report.items():
        if not isinstance(found, dict) or "mrr" not in found:
            continue
        rows.append(
            (
                name,
                f"{found['n_buyers']:,}",
                f"{found['hits']:.3f}",
                f"{found['weight']:.2f}",
                *(f"{found['mrr'][part]:.4f}" for part in ("search", "recommender", "personal")),
                _interval(found["gain"]),
                *(f"{found['strangers'][part]:.4f}" for part in ("search", "personal")),
                _interval(found["strangers_gain"]),
            )
        )
    return "\n".join(
        [
            *title("Search: the person's order"),
            "The bundled shop. A search is a purchase of the last 30 days, with two words of the "
            "product's name that at least 20 other products also hold, drawn with a seed; the "
            "model knows what came before. MRR of what was bought, for buyers with a history: "
            "``search`` is the index alone, ``recommender`` "
            f"``{report['recommender']}`` alone, on the same hits, popularity behind. The "
            "weight was tuned on the 30 days before, by a model of what came before those. A "
            "stranger asks the same and is not known. Gains: mean of the differences and its 95 % "
            "bootstrap interval.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def _interval(gain: list[float]) -> str:
    mean, low, high = gain
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


#: By the name of the file of results.
SECTIONS = {
    "search-speed": search_speed,
    "search-matching": search_matching,
    "search-personal": search_personal,
}
