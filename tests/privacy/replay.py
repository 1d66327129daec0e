"""Fits recorded on one data set and replayed on its neighbour, with every release frozen."""

import copy

import numpy as np

from ecomrec.privacy.noise.door import recorded


def record(fit):
    """Calls of a fit: name, parameters, exact statistic and what was released."""
    calls = []

    def recorder(name, params, value, release):
        exact = copy.deepcopy(value)
        released = release()
        calls.append((name, params, exact, copy.deepcopy(released)))
        return released

    with recorded(recorder):
        fit()
    return calls


def replay(fit, calls):
    """Exact statistics of a fit that is given the releases of another; both must ask alike."""
    left = list(calls)
    values = []

    def recorder(name, params, value, release):
        expected, parameters, _, released = left.pop(0)
        assert (name, params) == (expected, parameters), "releases depend on private data"
        values.append(copy.deepcopy(value))
        return copy.deepcopy(released)

    with recorded(recorder):
        fit()
    assert not left, f"{len(left)} releases were left out"
    return values


def difference(one, other):
    """What changes between two statistics, as Python integers."""
    if isinstance(one, tuple):  # a vocabulary: ids and weights
        mine, theirs = (
            dict(zip(ids.tolist(), w.tolist(), strict=True)) for ids, w in (one, other)
        )
        return [mine.get(i, 0) - theirs.get(i, 0) for i in sorted({*mine, *theirs}, key=repr)]
    assert one.dtype == other.dtype == np.int64
    return [a - b for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)]
