"""How time and memory grow with the log: ``python -m benchmarks growth``.

`make_shop` logs, users and items in proportion to the rows, as ids of 8 bytes. Each model reads
and learns each of them in a process of its own; the log is made in another one.
"""

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.logs import CACHE, HERE
from benchmarks.measure import THREADS, conditions, hold_to_threads, memory_mb, peaked, timed

SIZES = (1_000_000, 5_000_000, 20_000_000, 50_000_000)
#: Rows for each user and item, and items for each taste group: those of synthetic-5m.
PER_USER, PER_ITEM, PER_GROUP = 25, 100, 250
#: Rounds of ALS: few, as each costs the same.
MAX_ITER = 3
N_FACTORS = 64
K, N_ASKING = 20, 10_000
PACKAGES = ["ecomrec", "numba", "numpy", "pandas", "scipy"]
PATH = HERE / "results" / "growth.json"
MODELS = ("ALS", "ItemKNN")


def make(n_rows: int, folder: Path) -> None:
    """Put a log of so many rows into a folder."""
    import numpy as np

    from ecomrec.datasets import make_shop

    visits = make_shop(
        n_rows // PER_USER, n_rows // PER_ITEM, n_rows, n_rows // PER_ITEM // PER_GROUP,
        columns=("user_id", "item_id"),
    ).events  # fmt: skip
    for name in ("user_id", "item_id"):
        np.save(folder / f"{name}.npy", visits[name].to_numpy())


def measure(model_name: str, folder: Path) -> dict[str, Any]:
    """Read a log, learn it and answer some users; seconds of each, and peaks above the log.

    Each phase runs once: clocks and peaks do not disturb each other.
    """
    import numpy as np
    import pandas as pd

    from ecomrec import cf
    from ecomrec.data import Interactions

    parameters = {"n_factors": N_FACTORS, "max_iter": MAX_ITER} if model_name == "ALS" else {}
    model = getattr(cf, model_name)(n_jobs=THREADS, **parameters)
    rng = np.random.default_rng(0)
    tiny = {name: rng.integers(0, 3000, 100_000) for name in ("user_id", "item_id")}
    model.fit(Interactions.from_table(pd.DataFrame(tiny))).recommend([1, 2, 3])  # compiles
    log = pd.DataFrame(
        {name: np.load(folder / f"{name}.npy").astype(np.int64) for name in tiny}, copy=False
    )
    asking = rng.choice(log["user_id"].unique(), N_ASKING, replace=False)
    model = getattr(cf, model_name)(n_jobs=THREADS, **parameters)

    found: dict[str, Any] = {}
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what compiling left behind would hide growth (glibc)
    base = memory_mb()

    def phase(name: str, work: Any) -> Any:
        return peaked(f"{name}_peak", lambda: timed(name, work, found), found, base)

    shop = phase("ingest", lambda: Interactions.from_table(log))
    found["ingest_held_mb"] = memory_mb() - base
    phase("fit", lambda: model.fit(shop))
    found["fit_held_mb"] = memory_mb() - base
    phase("recommend", lambda: model.recommend(asking, k=K))
    found["log_mb"] = base
    found["total_peak_gb"] = (
        base + max(found[f"{name}_peak_mb"] for name in ("ingest", "fit", "recommend"))
    ) / 1e3
    sizes = {"users": shop.n_users, "items": shop.n_items, "pairs": shop.n_entries}
    return {**sizes, **found}


def grow(n_rows: int, models: tuple[str, ...] = MODELS) -> dict[str, Any]:
    """Make a log of so many rows and measure models on it, one after the other."""
    found: dict[str, Any] = {}
    CACHE.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as folder:
        _child("make", str(n_rows), folder)
        for name in models:
            found[name] = json.loads(_child("measure", name, folder).splitlines()[-1])
            print(_line(name, n_rows, found[name]), flush=True)
    return found


def write(sizes: tuple[int, ...] = SIZES, models: tuple[str, ...] = MODELS) -> Path:
    """Measure some sizes and put them among the results."""
    for n_rows in sizes:
        found = grow(n_rows, models)
        report = json.loads(PATH.read_text()) if PATH.exists() else {"rows": {}}
        report["conditions"] = conditions(PACKAGES)
        report["parameters"] = {"ALS": {"n_factors": N_FACTORS, "max_iter": MAX_ITER}}
        report["rows"].setdefault(str(n_rows), {}).update(found)
        PATH.write_text(json.dumps(report, indent=1) + "\n")
    return PATH


def _child(*words: str) -> str:
    """Run a function of this module in a process of its own and return what it printed."""
    command = [sys.executable, "-m", "benchmarks.growth", *words]
    return subprocess.run(
        command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _line(name: str, n_rows: int, found: dict[str, Any]) -> str:
    each = "; ".join(
        f"{phase} {found[f'{phase}_s']:.2f} s ({found[f'{phase}_s'] / n_rows * 1e9:.0f} ns/row), "
        f"peak {found[f'{phase}_peak_mb'] * 1e6 / n_rows:.0f} B/row"
        for phase in ("ingest", "fit")
    )
    return f"{n_rows:,} rows, {name}: {each}; {found['total_peak_gb']:.2f} GB with the log"


if __name__ == "__main__":
    hold_to_threads()
    what, first, place = sys.argv[1:]
    if what == "make":
        make(int(first), Path(place))
    else:
        print(json.dumps(measure(first, Path(place))))
