from unittest import mock

import numba
import numpy as np
import pytest
from hypothesis import settings

from ecomrec import _parallel

# Kernels that run as plain Python, for their bounds checks: slow, so a few examples each.
settings.register_profile("uncompiled", max_examples=6, derandomize=True, deadline=None)
if numba.config.DISABLE_JIT:
    settings.load_profile("uncompiled")


def same_for_any_threads(door):
    """Return `door(1)`, after checking that two threads and many shards change nothing."""
    alone = door(1)
    with (
        mock.patch.object(_parallel, "_MIN_WORK", 1),
        mock.patch.object(_parallel, "_SHARDS_PER_THREAD", 3),
    ):
        sharded = door(2)
    for one, two in zip(alone, sharded, strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    return alone


@pytest.fixture(scope="session")
def threads():
    return same_for_any_threads
