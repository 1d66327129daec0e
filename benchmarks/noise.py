"""What noise for private sums costs: ``python -m benchmarks noise``.

One core, entropy of the operating system included; medians of turns. NumPy's generator, whose
noise anyone with its state can subtract, stands beside for comparison only.
"""

import json
import os
import time

import numpy as np

from benchmarks.measure import conditions
from benchmarks.runner import RESULTS
from ecomrec.privacy import (
    SystemNoise,
    discrete_gaussian,
    discrete_laplace,
    gumbel,
    rounded_gaussian,
)

SCALES = (4.0, 1000.0, 2.0**20, 2.0**30)
N, TURNS = 2_000_000, 7
DRAWS = (rounded_gaussian, discrete_gaussian, discrete_laplace, gumbel)


def speed() -> dict[str, dict[str, float]]:
    """Millions of values a second, by noise and scale."""
    rng, source = np.random.default_rng(), SystemNoise()
    calls = {
        (draw.__name__, scale): (lambda draw=draw, scale=scale: draw(N, scale, source))
        for draw in DRAWS
        for scale in SCALES
    }
    calls["words of os.urandom", 1.0] = lambda: os.urandom(8 * N)
    calls["numpy normals, not for privacy", 1.0] = lambda: rng.standard_normal(N)
    taken: dict[tuple[str, float], list[float]] = {name: [] for name in calls}
    for turn in range(TURNS + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first one compiles
                taken[name].append(time.perf_counter() - start)
    found: dict[str, dict[str, float]] = {}
    for (name, scale), seconds in taken.items():
        found.setdefault(name, {})[f"{scale:g}"] = N / float(np.median(seconds)) / 1e6
    return found


def write() -> str:
    """Measure on one core, print, and keep the figures in results/noise.json."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    report = {
        "conditions": conditions(["numba", "numpy", "scipy"]) | {"threads": 1},
        "load": os.getloadavg()[0],
        "million_values_per_second": speed(),
    }
    (RESULTS / "noise.json").write_text(json.dumps(report, indent=1) + "\n")
    rows = [f"{'million values a second, at a scale of':40}"]
    for name, figures in report["million_values_per_second"].items():
        cells = "  ".join(f"{scale}: {figure:.1f}" for scale, figure in figures.items())
        rows.append(f"{name:40}{cells}")
    return "\n".join(rows)
