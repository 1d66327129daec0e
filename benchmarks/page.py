"""``docs/benchmarks.rst``, made from the JSON files in ``results/``."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.logs import LOGS
from benchmarks.runner import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.rst"
OURS = "ecomrec ItemKNN"

_HEAD = """\
..
    Written by ``python -m benchmarks page`` from benchmarks/results/; change those, not this.

Benchmarks
==========

Neighbour models of ecomrec beside implicit_, skrecsys_ and LensKit_, each from the same table of
(user, item) rows to 20 items for every test user. All but LensKit run in one process, round by
round in turn; LensKit takes its turns in a process with an environment of its own.
Figures are medians over the rounds.

* **prepare**: from the table to what ``fit`` takes. implicit takes a matrix, so numbering ids is
  the caller's work and is timed here; skrecsys numbers them inside ``fit``. Compare sums.
* **batch**: 20 unseen items for all test users in one call. **p50**, **p99**: one user per call.
* **memory**: the highest peak of the three phases above the loaded log, in a fresh process.
* **Recall@20**, **NDCG@20**: full catalogue, train items removed, mean over users.
* **fit x**, **batch x**: how many times as long as ``{ours}`` with the same number of
  neighbours (the default one for a model without), from table to fitted model and for the batch:
  the median over the rounds of the ratio within a round.

.. _implicit: https://github.com/benfred/implicit
.. _skrecsys: https://pypi.org/project/skrecsys/
.. _LensKit: https://lenskit.org

Repeat them with ``python -m benchmarks run``; see ``benchmarks/README.md``.
"""

_COLUMNS = (
    "model", "prepare s", "fit s", "batch s", "p50 us", "p99 us", "memory MB", "Recall@20",
    "NDCG@20", "fit x", "batch x",
)  # fmt: skip


def write() -> Path:
    """Write the page from every result there is and return where it is."""
    reports = [json.loads(path.read_text()) for path in _results()]
    parts = [_HEAD.format(ours=OURS), *map(_section, reports)]
    updates = RESULTS / "updates.json"
    if updates.exists():
        parts.append(_updates(json.loads(updates.read_text())))
    PAGE.write_text("\n".join(parts))
    return PAGE


def _updates(figures: dict[str, float]) -> str:
    title = "Updates"
    return "\n".join(
        [
            title,
            "-" * len(title),
            "",
            "``ItemKNN`` with its defaults on synthetic-5m, two threads, medians of "
            "``python -m benchmarks updates``: a batch of 1,000 rows goes into ``partial_fit``, "
            "then a visitor whom it touched asks, then another, then the first one again.",
            "",
            ".. list-table::",
            "",
            *(
                _list_row((name.replace("_", " "), f"{value:.3g}"))
                for name, value in figures.items()
            ),
            "",
        ]
    )


def _results() -> list[Path]:
    return [path for path in (RESULTS / f"{log}.json" for log in LOGS) if path.exists()]


def _section(report: dict[str, Any]) -> str:
    log, conditions = report["log"], report["conditions"]
    title = log["name"]
    entrants = report["entrants"]
    rows = [_COLUMNS, *(_row(name, entrants) for name in entrants)]
    return "\n".join(
        [
            title,
            "-" * len(title),
            "",
            f"{log['rows']:,} rows ({log['pairs']:,} distinct pairs) of {log['users']:,} users "
            f"and {log['items']:,} items; {log['test_users']:,} test users.",
            f"{conditions['cpu']}, {conditions['threads']} threads for everyone, "
            f"{conditions['repeats']} rounds; Python {conditions['python']}, "
            f"{_listed(conditions['versions'])}.",
            *(
                f"{name}: {_listed(versions)}."
                for name, versions in conditions["versions_elsewhere"].items()
            ),
            "",
            ".. list-table::",
            "   :header-rows: 1",
            "",
            *(_list_row(row) for row in rows),
            "",
        ]
    )


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _row(name: str, entrants: dict[str, Any]) -> tuple[str, ...]:
    middle = entrants[name]["median"]
    return (
        name,
        *(f"{middle[key]:.3g}" for key in ("prepare_s", "fit_s", "recommend_s")),
        *(f"{middle[key]:.0f}" for key in ("p50_us", "p99_us")),
        f"{entrants[name]['memory']['peak_mb']:.0f}",
        *(f"{middle[key]:.4f}" for key in ("recall", "ndcg")),
        ratio(name, entrants, ("prepare_s", "fit_s")),
        ratio(name, entrants, ("recommend_s",)),
    )


def ratio(name: str, entrants: dict[str, Any], keys: tuple[str, ...]) -> str:
    """Return how many times as long `name` takes as ours with as many neighbours."""
    alike = entrants[name]["n_neighbors"]
    ours = entrants.get(OURS if alike is None else f"{OURS} {alike}")
    if ours is None:
        return ""
    pairs = zip(entrants[name]["rounds"], ours["rounds"], strict=True)
    return f"{median(sum(map(a.get, keys)) / sum(map(b.get, keys)) for a, b in pairs):.2f}"


def _list_row(cells: tuple[str, ...]) -> str:
    first, *others = cells
    return "\n".join([f"   * - {first}", *(f"     - {cell}".rstrip() for cell in others)])
