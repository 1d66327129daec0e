"""How much memory is left, before something large is made."""

import os
from pathlib import Path

import numpy as np


def check_memory(owner: str, n_items: int, n_bytes: float, advice: str) -> None:
    """Refuse a matrix over all pairs of items that does not fit, before it is made."""
    free = available_memory()
    if n_bytes > free:
        raise MemoryError(
            f"{owner} needs {n_bytes / 1e9:.2f} GB for its weights between {n_items} items; "
            f"{free / 1e9:.2f} GB are free. {advice}"
        )


def available_memory() -> float:
    """Bytes that this process could still get; infinity where the system does not say."""
    free = np.inf
    try:
        fields = Path("/proc/meminfo").read_text().split()
        free = 1024.0 * int(fields[fields.index("MemAvailable:") + 1])
    except (OSError, ValueError, IndexError):
        try:
            free = float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return free
    # A container may have less than its machine.
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, float(limit) - used) if limit != "max" else free
    except (OSError, ValueError):
        pass
    return max(free, 0.0)
