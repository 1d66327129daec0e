"""Rounds of everybody in turn (A B C A B C ...), medians, and the JSON they end in."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.entrants import ELSEWHERE, ENTRANTS, make, n_neighbors
from benchmarks.logs import Log, load
from benchmarks.measure import conditions
from benchmarks.rounds import time_round, warm_up
from benchmarks.worker import Worker

RESULTS = Path(__file__).parent / "results"


def run(log_name: str, names: list[str], repeats: int, lenskit: str | None) -> Path:
    """Measure `names` on a log, print a line per round, write and return the JSON file."""
    log = load(log_name)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    busy = os.getloadavg()[0]
    memory = {name: _memory(name, log_name, lenskit) for name in names}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(lenskit or sys.executable, name, log_name))
            for name in names
            if name in ELSEWHERE
        }
        entrants = {name: make(name) for name in names if name not in workers}
        for entrant in entrants.values():
            warm_up(entrant)
        for repeat in range(repeats):
            for name in names:
                if name in workers:
                    found = workers[name].ask("time")
                else:
                    found = time_round(entrants[name], log)
                rounds[name].append(found)
                print(_line(f"{repeat + 1}/{repeats} {name}", found), flush=True)

    packages = {package for entrant in entrants.values() for package in entrant.packages}
    report = {
        "log": _describe(log_name, log),
        "conditions": conditions(sorted(packages)) | {"repeats": repeats, "load_before": busy},
        "entrants": {
            name: {
                "parameters": ENTRANTS[name][1],
                "n_neighbors": n_neighbors(name),
                "median": {key: median(one[key] for one in found) for key in found[0]},
                "rounds": found,
                "memory": memory[name],
            }
            for name, found in rounds.items()
        },
    }
    elsewhere = {name.split()[0]: it.conditions["versions"] for name, it in workers.items()}
    report["conditions"]["versions_elsewhere"] = elsewhere
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{log_name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def _memory(name: str, log_name: str, lenskit: str | None) -> dict[str, float]:
    python = lenskit if name in ELSEWHERE else None
    with Worker(python or sys.executable, name, log_name) as worker:
        found = worker.ask("memory")
    print(f"{name}: {found['peak_mb']:.0f} MB above the loaded log", flush=True)
    return found


def _describe(name: str, log: Log) -> dict[str, Any]:
    train = log.train()
    return {
        "name": name,
        "rows": len(train),
        "pairs": len(train.drop_duplicates()),
        "users": int(train["user_id"].nunique()),
        "items": int(train["item_id"].nunique()),
        "test_users": len(log.targets()),
    }


def _line(title: str, found: dict[str, Any]) -> str:
    return (
        f"{title}: prepare {found['prepare_s']:.2f} s, fit {found['fit_s']:.2f} s "
        f"(cpu {found['fit_cpu_s']:.2f}), batch {found['recommend_s']:.3f} s "
        f"(cpu {found['recommend_cpu_s']:.3f}), one {found['p50_us']:.0f} / "
        f"{found['p99_us']:.0f} us, Recall {found['recall']:.4f}, NDCG {found['ndcg']:.4f}"
    )
