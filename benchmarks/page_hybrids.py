"""Section of the page about hybrids and their parts."""

from typing import Any

from benchmarks.rst import listed, table, title

_Report = dict[str, Any]
_LOGS = {
    "taobao-events": "the published held-out purchases; validation: the last purchase of 6,000 of "
    "the users",
    "ml-1m": "the published random split; validation: a random tenth of the train rows",
    "online-retail": "the shop that ships, the last fifth by time; validation: the last fifth of "
    "the rest. Texts are the descriptions",
    "ml-100k": "the last ten ratings of each user; validation: the ten before. Texts are titles "
    "and genres",
    "ml-100k by time": "the last fifth by time, and the users who are known by then; validation: "
    "the last fifth of the rest",
}
_HEAD = (
    "Does a hybrid pay? Each part was tuned on validation rows cut out of the train rows, "
    "then hybrids were made of the tuned parts, and their kind and weights chosen on the same "
    "rows. Full ranking, what the user has left out, 20 places, mean over users. **gain**: "
    "over the part that is best on the test rows, the 95 % interval of the paired difference "
    "(2,000 resamplings of the users). **chosen**: the hybrid that validation rows would have "
    "put into the shop. No row of test chose anything; but what is tried was widened after "
    "test results had been seen: on online-retail twice (half-lives, what sells), on "
    "taobao-events once (SLIM, a weight of ALS), on ml-1m once (weights of SimilarityFusion)."
)
_WHY = {
    "online-retail": (
        "Sums of scores gain little here: ALS with a half-life is ahead of every other part. The "
        "ranker of the two-stage model puts the same scores together as no sum does: with scores "
        "and places as its only features it is as good on validation rows as with all of them."
    ),
    "ml-100k": (
        "Users rate in one sitting. The later events that the two-stage model learns from are "
        "mostly those of newcomers, whom its generators do not know, so it learns from few "
        "users and from another kind of request than the one it is tested on."
    ),
    "ml-100k by time": (
        "Most users come once: so few are left to ask that no difference below about a tenth "
        "of the NDCG could be seen."
    ),
}


def hybrids(report: _Report) -> str:
    """Every hybrid beside the best of its parts, on each log."""
    lines = [
        *title("Hybrids"),
        _HEAD,
        "",
        f"{listed(report['conditions']['versions'])}.",
        "",
    ]
    for name in _LOGS:
        log = report["logs"][name]
        lines += [*title(name, "~"), f"{log['users']:,} users: {_LOGS[name]}. {_unknown(log)}", ""]
        lines += [_verdict(log), "", *table(_rows(log))]
        lines += [f"{log['chosen_hybrid']}: ``{_made_of(log)}``.", ""]
        lines += [_WHY[name], ""] if name in _WHY else []
    return "\n".join(lines)


def _unknown(log: _Report) -> str:
    if log["unknown_items"] == 0:
        return "Every test item occurs in the train rows."
    return (
        f"{log['unknown_items']:,} of the test items never occur in the train rows; the "
        f"{log['unknown_pairs']:,} test pairs with them count, and only texts could find them."
    )


def _verdict(log: _Report) -> str:
    chosen, part = log["chosen_hybrid"], log["best_part"]
    low, high = log["models"][chosen]["ndcg_gain"]
    if low > 0:
        return f"**{chosen}** beats the best single part, {part}, by NDCG."
    if high < 0:
        return f"**{chosen}** is worse than {part} alone: a hybrid does not pay here."
    return f"**{chosen}** is not surely better than {part} alone by NDCG."


def _rows(log: _Report) -> list[tuple[str, ...]]:
    rows = [("", "validation NDCG", "NDCG@20", "gain", "Recall@20", "gain")]
    for kind, found in log["models"].items():
        chosen = ", chosen" if kind == log["chosen_hybrid"] else ""
        tried = found["validation_ndcg"]
        rows.append(
            (
                f"{kind}{chosen}",
                "" if tried is None else f"{tried:.4f}",
                *(
                    cell
                    for metric in ("ndcg", "recall")
                    for cell in (f"{found[metric]:.4f}", _gain(found[f"{metric}_gain"]))
                ),
            )
        )
    return rows


def _gain(ends: list[float]) -> str:
    return "the best part" if ends == [0.0, 0.0] else f"{ends[0]:+.4f} to {ends[1]:+.4f}"


def _made_of(log: _Report) -> str:
    made: str = log["models"][log["chosen_hybrid"]]["model"]
    return made


#: By the name of the file of results.
SECTIONS = {"hybrids": hybrids}
