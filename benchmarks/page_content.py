"""Sections of the page about models that read the items, and about search."""

from typing import Any

from benchmarks import page_search
from benchmarks.rst import machine, table, title

_Report = dict[str, Any]


def tfidf(report: _Report) -> str:
    """Words of the items: speed on a large catalogue, quality on the bundled shop."""
    sizes = report["sizes"]
    columns = {
        "fit_s": "fit s", "fit_peak_mb": "fit peak MB", "model_mb": "model MB",
        "user_p50_ms": "user p50 ms", "user_p99_ms": "user p99 ms",
        "visitor_p50_ms": "history p50 ms", "visitor_p99_ms": "history p99 ms",
        "similar_p50_ms": "similar p50 ms", "similar_p99_ms": "similar p99 ms",
        "first_batch_s": "first batch s", "batch_p50_ms": "batch p50 ms",
    }  # fmt: skip
    speed = [("", *columns.values())]
    for name, found in report["speed"].items():
        speed.append((name, *(f"{found[key]:.3g}" for key in columns)))
    ranked = [("", "items", "NDCG@10", "95 %", "Recall@10", "coverage")]
    ranked += [
        (
            row["model"],
            row["variant"],
            f"{row['ndcg']:.4f}",
            f"{row['ndcg_low']:.4f} to {row['ndcg_high']:.4f}",
            f"{row['recall']:.4f}",
            f"{row['coverage']:.0%}",
        )
        for row in report["quality"]
    ]
    return "\n".join(
        [
            *title("Words of the items"),
            f"``TfidfRecommender`` on {sizes['items']:,} items of {sizes['tokens']} tokens each, "
            f"drawn from {sizes['words']:,} words by Zipf's law, one thread. **user** and "
            f"**history**: ten items for one visitor who touched {sizes['history']} random ones, "
            "a call each. **batch**: ``partial_fit`` with 100 new items; the first one makes "
            "room. Memory is above that of the tables.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(speed),
            "The bundled shop, split in time as in ``ecomrec demo``: customers of the later part, "
            "ranked by words of the descriptions alone, beside what sells and what others took.",
            "",
            *table(ranked),
        ]
    )


def embeddings(report: _Report) -> str:
    """Vectors of items from events and from texts."""
    head = ("log", "model", "fit s", "Recall@20", "NDCG@20")
    rows = [head]
    for log, models in report["logs"].items():
        for name, found in models.items():
            figures = f"{found['recall']:.4f}", f"{found['ndcg']:.4f}"
            rows.append((log, name, f"{found['fit_s']:.3g}", *figures))
    return "\n".join(
        [
            *title("Vectors of items"),
            "``Item2Vec`` and ``EmbeddingRecommender`` with their defaults, and as named, beside "
            "the defaults of others: items that the user does not have yet, mean over users. "
            "Defaults were chosen on parts of the train rows. ml-1m and taobao-events: the "
            "published splits; bundled shop: the last fifth by time, texts are the descriptions.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def tokens(report: _Report) -> str:
    """Terms of Chinese titles beside marked names."""
    head = (
        "",
        "recall",
        "precision",
        "of all",
        "terms",
        "name MRR",
        "NDCG@10",
        "alike MRR",
        "NDCG@10",
    )
    tables: list[str] = []
    for split in ("test", "dev"):
        rows = [head]
        for name, found in report[split].items():
            figures = [found[key] for key in ("recall", "precision", "precision_all")]
            ranked = [found[kind][key] for kind in ("names", "titles") for key in ("mrr", "ndcg")]
            shown = [f"{figure:.3f}" for figure in (*figures, *ranked)]
            rows.append((name, *shown[:3], f"{found['terms']:.1f}", *shown[3:]))
        names, alike = (report[split]["Tokenizer()"][kind]["n"] for kind in ("names", "titles"))
        tables += [f"{split} titles ({names:,} names, {alike:,} titles with alike ones):", ""]
        tables += table(rows)
    seconds = report["speed"]
    return "\n".join(
        [
            *title("Terms of titles"),
            "``taobao-titles-zh``, in which names of brands, products and models are marked. "
            "**recall**: marks that are a term of their title. **precision**: distinct terms of a "
            "title that are one of its marks; **of all**: distinct terms of all titles together "
            "that are a mark anywhere. **terms**: of a title. **name**: a marked name is the "
            "query, titles where it is marked are right; **alike**: a title is the query, titles "
            "that share a mark are right; both by BM25 over all 7,998 titles. Choices were made "
            "on train and dev titles; test titles were measured twice, see :doc:`content/text`.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *tables,
            f"200,000 titles counted on one core: {seconds['english']:.1f} s for made ones "
            f"of 40 English words, {seconds['chinese']:.1f} s for Chinese ones of 30 characters.",
            "",
        ]
    )


#: By the name of the file of results.
SECTIONS = {
    "tokens": tokens,
    "embeddings": embeddings,
    "content": tfidf,
    **page_search.SECTIONS,
}
