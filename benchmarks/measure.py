"""Clocks, peaks, and the conditions that belong beside every figure."""

import gc
import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = 2
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LK_NUM_THREADS",
)


def hold_to_threads(n: int = THREADS) -> None:
    """Give this process `n` cores and tell every library so; before any of them is imported."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(n)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:n]))


def timed(name: str, work: Callable[[], Any], into: dict[str, Any]) -> Any:
    """Call `work`; note its wall and CPU seconds (all threads of this process) under `name`."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    into[f"{name}_s"] = time.perf_counter() - wall
    into[f"{name}_cpu_s"] = time.process_time() - cpu
    return result


def peaked(name: str, work: Callable[[], Any], into: dict[str, Any], baseline_mb: float) -> Any:
    """Call `work`; note under `name` how far memory rose above the baseline meanwhile, in MB."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew here (Linux)
    result = work()
    into[f"{name}_mb"] = memory_mb("VmHWM") - baseline_mb
    return result


def memory_mb(field: str = "VmRSS") -> float:
    """Return the resident memory of this process in MB (10^6 bytes), or its peak (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) * 1024 / 1e6


def conditions(packages: list[str]) -> dict[str, Any]:
    """Return what a reader needs to know to repeat a measurement."""
    return {
        "cpu": _cpu_model(),
        "threads": THREADS,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: importlib.metadata.version(name) for name in sorted(packages)},
    }


def _cpu_model() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1].strip() if found else platform.processor()
