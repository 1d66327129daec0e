"""Sections of the page about factor and linear models, retrieval and growth."""

from typing import Any

from benchmarks.rst import listed, machine, table, title

_Report = dict[str, Any]


def als(report: _Report) -> str:
    """Time to the same training loss."""
    head = (
        "log", "factors", "loss of", "implicit CG s", "implicit Cholesky s", "ecomrec s",
        "rounds", "ratio", "Recall@20", "NDCG@20", "implicit Recall@20", "implicit NDCG@20",
    )  # fmt: skip
    rows, elsewhere = [head], []
    for log, sizes in report["logs"].items():
        for n_factors, found in sorted(sizes.items(), key=lambda pair: int(pair[0])):
            for solver, aim in found.get("aims", {}).items():
                theirs = found["implicit"] if solver == "CG" else {}
                rows.append(
                    (
                        log,
                        n_factors,
                        f"{solver}, {aim['iterations']} iterations",
                        _seconds(aim["implicit_cg_s"]),
                        _seconds(aim["implicit_cholesky_s"]),
                        _seconds(aim["ecomrec_s"]),
                        str(aim["ecomrec_rounds"]),
                        f"{aim['ratio']:.1f}",
                        f"{aim['recall']:.4f}",
                        f"{aim['ndcg']:.4f}",
                        f"{theirs['recall']:.4f}" if theirs else "",
                        f"{theirs['ndcg']:.4f}" if theirs else "",
                    )
                )
            if "LensKit" in found:
                it = found["LensKit"]
                elsewhere.append(
                    f"* LensKit ({listed(it['versions'])}), {log}, {n_factors} factors: "
                    f"{_seconds(it['fit_s'])} s for {it['iterations']} iterations of Cholesky to "
                    f"loss {it['loss']:.7g}; Recall@20 {it['recall']:.4f}, "
                    f"NDCG@20 {it['ndcg']:.4f}."
                )
    given = report["parameters"]
    return "\n".join(
        [
            *title("ALS"),
            "Seconds from a matrix to the training loss of implicit's model (every pair "
            f"weighs 1, the observed ones {given['confidence']:g}; penalty "
            f"{given['regularization']:g}). Two losses are aimed at: where its default, 15 "
            "iterations of conjugate gradients, ends, and where 15 iterations of its Cholesky "
            "solver end (fewer where these would take more than a minute). Either solver "
            "may take more iterations to either loss; a dash: it was not there when the other "
            "was. **ratio**: the faster solver's best time over the median of ours. "
            "**rounds**: what ecomrec's ``ALS`` needs, with its default solver, conjugate "
            "gradients here, after a first half-step of the users. implicit has two threads "
            "of its own, and BLAS on one, as it asks for; its default takes turns with ours, "
            "the rest of it was timed once. Models of the same loss need not be equally good: "
            "Recall and NDCG are those of the fitted models (implicit's after its default "
            "run). Parameters were not tuned.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
            *elsewhere,
            "",
        ]
    )


def svd(report: _Report) -> str:
    """Stochastic gradient descent beside scikit-surprise."""
    head = ("data", "ratings", "ecomrec s", "Surprise s", "ratio", "RMSE", "Surprise RMSE")
    rows = [head]
    for name, found in report.items():
        if "fit_ratio" in found:
            ours, theirs = found["ecomrec"], found["surprise"]
            rows.append(
                (
                    name,
                    f"{found['n_ratings']:,}",
                    _seconds(ours["fit_s"]),
                    _seconds(theirs["fit_s"]),
                    f"{found['fit_ratio']:.1f}",
                    f"{ours['rmse']:.4f}",
                    f"{theirs['rmse']:.4f}",
                )
            )
    return "\n".join(
        [
            *title("SVD"),
            "``SVD`` and SVD++ (``implicit_feedback=True``) beside scikit-surprise with its "
            "defaults (20 epochs; 100 factors, learning rate 0.005; SVD++: 20 factors, 0.007; "
            "penalty 0.02), the same in ours. Surprise uses one thread. Seconds of ``fit``, "
            "medians over the folds; RMSE on the folds left out. made-1m: ratings drawn from "
            "biases and tastes.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def linear_time(report: _Report) -> str:
    """EASE beside the inverse it stands on."""
    rows = [(name, _seconds(seconds)) for name, seconds in report["seconds"].items()]
    return "\n".join(
        [
            *title("EASE"),
            f"``EASE.fit`` on {report['log']} ({report['n_items']:,} items), from Interactions to "
            f"model, takes {report['ratio_to_inverse']:.2f} times as long as "
            "``numpy.linalg.inv`` of its matrix and "
            f"{report['ratio_to_cholesky']:.2f} times as long as LAPACK's potrf and potri. Best "
            "of the rounds, in turn.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table([("work", "seconds"), *rows]),
        ]
    )


def tuned(report: _Report) -> str:
    """Tuned models on ML-1M."""
    head = ("model", "Recall@20", "NDCG@20", "defaults: Recall@20", "NDCG@20", "tried", "chosen")
    rows: list[tuple[str, ...]] = [head]
    for name, found in report["models"].items():
        figures = [found[which][key] for which in ("test", "defaults") for key in _QUALITY]
        chosen = ", ".join(f"{key}={value}" for key, value in found["best"].items())
        tried = str(len(found["validation"]))
        rows.append((name, *(f"{figure:.4f}" for figure in figures), tried, chosen))
    return "\n".join(
        [
            *title("Tuned models on ML-1M"),
            "The published split: full ranking, train items removed. Parameters were chosen by "
            "NDCG@20 on a random tenth of the train rows (the grids are in "
            "``benchmarks/accuracy.py``); the test rows were looked at once for each model.",
            "",
            *table(rows),
        ]
    )


def defaults(report: _Report) -> str:
    """Default models with intervals."""
    parts = [
        *title("Defaults"),
        "Models with their default parameters; 20 places, full ranking, what a user has removed. "
        "Means over users with 95 % intervals (2,000 resamplings of the users). **gain**: the "
        "interval of the difference in Recall@20 to plain cosine (``ItemKNN(user_damping=0, "
        "history_damping=0.5, popularity_damping=0.5, shrink=0)``), for the same users. "
        "online-retail is the shop that ships, its last fifth held out; the other splits are "
        "published.",
        "",
        f"{machine(report['conditions'])}.",
        "",
    ]
    for log, found in report["logs"].items():
        rows = [(f"{log}, {found['users']:,} users", "Recall@20", "NDCG@20", "gain")]
        for name, figures in found["models"].items():
            means = (
                f"{mean:.4f} ({low:.4f} to {high:.4f})"
                for mean, low, high in (figures[key] for key in _QUALITY)
            )
            gain = figures.get("recall_gain")
            rows.append((name, *means, f"{gain[0]:+.4f} to {gain[1]:+.4f}" if gain else ""))
        parts += [*table(rows), ""]
    return "\n".join(parts)


def others(report: _Report) -> str:
    """PureSVD and BPR beside their peers."""
    rows = [("model", "seconds", "squares of singular values", "Recall@20", "NDCG@20")]
    for name, found in report["found"].items():
        squares = f"{found['squares']:,.0f}" if "squares" in found else ""
        quality = (f"{found[key]:.4f}" if key in found else "" for key in ("recall", "ndcg"))
        rows.append((name, _seconds(found["seconds"]), squares, *quality))
    return "\n".join(
        [
            *title("PureSVD and BPR"),
            "ml-1m, 64 factors, in turn, medians. A truncated SVD is the better the larger the "
            "sum of its squared singular values.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def retrieval(report: _Report) -> str:
    """Finding the best items beside bare BLAS."""
    single, batch = (
        [("items x factors", *_SINGLE.values())],
        [("items x factors", *_BATCH.values())],
    )
    for size, found in report.items():
        if size != "conditions":
            for rows, columns in ((single, _SINGLE), (batch, _BATCH)):
                if set(columns) <= set(found):
                    rows.append((size, *(f"{found[key]:.3g}" for key in columns)))
    graphs = [
        f"* usearch, {size}: Recall@10 {found['recall']:.3f}, p50 "
        f"{found['recommend_usearch_p50_ms']:.3g} ms, p99 "
        f"{found['recommend_usearch_p99_ms']:.3g} ms, built in {found['graph_build_s']:.3g} s."
        for size, found in report.items()
        if "graph_build_s" in found
    ]
    return "\n".join(
        [
            *title("Retrieval"),
            "The ten best unseen items by product of vectors; 50 seen items for each user, "
            "vectors drawn at random. **gemv**, **sgemm**: the bare products of the same vectors "
            "and blocks. **int8**: a first pass over vectors of one byte, then exact scores; the "
            "answers are those of the full search.",
            "",
            *([f"{machine(report['conditions'])}.", ""] if "conditions" in report else []),
            "One user at a time, one thread, milliseconds; **recommend** is the public call:",
            "",
            *table(single),
            "10,000 users in one call, two threads, seconds:",
            "",
            *table(batch),
            *graphs,
            *([""] if graphs else []),
        ]
    )


def growth(report: _Report) -> str:
    """Time and memory by size of the log."""
    head = (
        "rows", "model", "pairs", "ingest ns/row", "fit ns/row", "ingest B/row", "fit B/row",
        "all in all GB",
    )  # fmt: skip
    rows = [head]
    for n, models in sorted(report["rows"].items(), key=lambda pair: int(pair[0])):
        for name, found in models.items():
            times = (f"{found[f'{phase}_s'] / int(n) * 1e9:.0f}" for phase in ("ingest", "fit"))
            peaks = (
                f"{found[f'{phase}_peak_mb'] * 1e6 / int(n):.0f}" for phase in ("ingest", "fit")
            )
            rows.append(
                (
                    f"{int(n):,}",
                    name,
                    f"{found['pairs']:,}",
                    *times,
                    *peaks,
                    f"{found['total_peak_gb']:.2f}",
                )
            )
    given = report["parameters"]["ALS"]
    return "\n".join(
        [
            *title("Growth"),
            "``make_shop`` logs in which users and items grow with the rows (25 rows a user, 100 "
            "an item), ids of 8 bytes, each model in a process of its own, once. **ingest**: "
            "``Interactions.from_table``. **B/row**: highest resident memory above the loaded "
            "log, which is 16 bytes a row, in each phase. **all in all**: highest resident "
            "memory of the process, with the log, Python and libraries. The largest log was "
            "timed on a busy machine: its memory counts, its times are too long. ``ALS`` with "
            f"{given['n_factors']} factors and {given['max_iter']} rounds; ``ItemKNN`` with its "
            "defaults.",
            "",
            f"{machine(report['conditions'])}.",
            "",
            *table(rows),
        ]
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


_SINGLE = {
    "gemv_p50_ms": "gemv p50", "float_p50_ms": "float p50", "float_over_gemv": "float / gemv",
    "int8_p50_ms": "int8 p50", "int8_p99_ms": "int8 p99", "float_over_int8": "float / int8",
    "recommend_float_p50_ms": "recommend, float p50", "recommend_int8_p50_ms": "recommend p50",
    "recommend_int8_p99_ms": "recommend p99",
}  # fmt: skip
_BATCH = {"sgemm_s": "sgemm", "top_k_s": "with top-k", "top_k_over_sgemm": "ratio"}

_QUALITY = ("recall", "ndcg")

#: By the name of the file of results.
SECTIONS = {
    "accuracy-defaults": defaults,
    "accuracy-tuned": tuned,
    "als": als,
    "svd": svd,
    "linear-time": linear_time,
    "factors-other": others,
    "retrieval": retrieval,
    "growth": growth,
}
