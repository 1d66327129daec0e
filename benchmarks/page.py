"""``docs/benchmarks.rst``, made from the JSON files in ``results/``."""

import json
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import (
    page_coldstart,
    page_content,
    page_hybrids,
    page_models,
    page_privacy,
    page_reranking,
)
from benchmarks.logs import LOGS
from benchmarks.rst import listed, machine, table, title
from benchmarks.runner import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.rst"
OURS = "ecomrec ItemKNN"

_HEAD = """\
..
    Written by ``python -m benchmarks page`` from benchmarks/results/; change those, not this.

Benchmarks
==========

Speed, memory and quality of ecomrec beside implicit_, skrecsys_, scikit-surprise_ and LensKit_, on
the same data with the same number of threads. All but LensKit run in the same process, in turn;
LensKit takes its turns in a process with an environment of its own. Figures are medians of the
turns unless it says otherwise. How to repeat them: ``benchmarks/README.md``.

.. contents::
   :local:
   :depth: 1

.. _implicit: https://github.com/benfred/implicit
.. _skrecsys: https://pypi.org/project/skrecsys/
.. _scikit-surprise: https://surpriselib.com
.. _LensKit: https://lenskit.org
"""

_NEIGHBORS = """\
Neighbour models
----------------

Each model goes from the same table of (user, item) rows to 20 items for every test user.

* **prepare**: from the table to what ``fit`` takes. implicit takes a matrix, so numbering ids is
  the caller's work and is timed here; skrecsys numbers them inside ``fit``. Compare sums.
* **batch**: 20 unseen items for all test users in one call. **p50**, **p99**: one user per call.
* **memory**: the highest peak of the three phases above the loaded log, in a fresh process.
* **Recall@20**, **NDCG@20**: full catalogue, train items removed, mean over users.
* **fit x**, **batch x**: how many times as long as ``{ours}`` with the same number of
  neighbours (the default one for a model without), from table to fitted model and for the batch:
  the median over the rounds of the ratio within a round.
"""

_COLUMNS = (
    "model", "prepare s", "fit s", "batch s", "p50 us", "p99 us", "memory MB", "Recall@20",
    "NDCG@20", "fit x", "batch x",
)  # fmt: skip


def write() -> Path:
    """Write the page from every result there is and return where it is."""
    parts = [_HEAD, _NEIGHBORS.format(ours=OURS)]
    parts += [_section(json.loads(path.read_text())) for path in _results()]
    for name, section in {
        "updates": _updates,
        **page_models.SECTIONS,
        **page_content.SECTIONS,
        **page_hybrids.SECTIONS,
        **page_reranking.SECTIONS,
        **page_coldstart.SECTIONS,
        **page_privacy.SECTIONS,
    }.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text())))
    PAGE.write_text("\n".join(parts))
    return PAGE


def _updates(figures: dict[str, float]) -> str:
    return "\n".join(
        [
            *title("Updates"),
            "``ItemKNN`` with its defaults on synthetic-5m, two threads, medians of "
            "``python -m benchmarks updates``: a batch of 1,000 rows goes into ``partial_fit``, "
            "then a visitor whom it touched asks, then another, then the first one again.",
            "",
            *table([(name.replace("_", " "), f"{x:.3g}") for name, x in figures.items()], False),
        ]
    )


def _results() -> list[Path]:
    return [path for path in (RESULTS / f"{log}.json" for log in LOGS) if path.exists()]


def _section(report: dict[str, Any]) -> str:
    log, conditions = report["log"], report["conditions"]
    entrants = report["entrants"]
    rows = [_COLUMNS, *(_row(name, entrants) for name in entrants)]
    return "\n".join(
        [
            *title(log["name"], "~"),
            f"{log['rows']:,} rows ({log['pairs']:,} distinct pairs) of {log['users']:,} users "
            f"and {log['items']:,} items; {log['test_users']:,} test users.",
            f"{machine(conditions)}, {conditions['repeats']} rounds.",
            *(
                f"{name}: {listed(versions)}."
                for name, versions in conditions["versions_elsewhere"].items()
            ),
            "",
            *table(rows),
        ]
    )


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
