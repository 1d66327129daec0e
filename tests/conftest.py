"""Hypothesis profiles, and the data sets that live beside the repository."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

# The first example of a property may compile kernels: no deadline, and no complaint about speed.
_common: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# The same examples wherever the tests run; the nightly profile looks for others, and for more.
settings.register_profile("default", max_examples=25, derandomize=True, **_common)
settings.register_profile("nightly", max_examples=500, derandomize=False, **_common)
# For runs that are meant to fail: the first example that does will do, however long it is.
_found: dict[str, Any] = {"phases": [Phase.explicit, Phase.generate], "database": None}
settings.register_profile("mutations", settings.get_profile("default"), **_found)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

REPO = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets: $ECOMREC_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("ECOMREC_DATA") or REPO.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set ECOMREC_DATA to the folder that holds it")
    return folder
