"""Boosted trees: the sums of the leaves that rows of features end in."""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import jit


@jit
def _leaf_sums(
    start, stop, features, roots, split_on, thresholds, missing_left, left, right, values, sums
):
    n_outputs = sums.shape[1]
    for row in range(start, stop):
        output = 0
        for root in roots:
            node = root
            while split_on[node] >= 0:
                value = features[row, split_on[node]]
                goes_left = missing_left[node] if value != value else value <= thresholds[node]
                node = left[node] if goes_left else right[node]
            sums[row, output] += values[node]
            output += 1
            if output == n_outputs:
                output = 0


def leaf_sums(features, nodes, n_outputs, n_jobs=1):
    """Return the sums of leaf values for rows of features, in the order of the trees.

    Tree t counts for output ``t % n_outputs``. Nothing here is checked against loops or places
    beyond the arrays: whoever makes or loads the trees does that.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        NaN is missing.
    nodes : tuple of ndarray
        First node of each tree (int64); then for each node the feature that it splits on (int32,
        -1 for a leaf), the threshold (float64; up to it goes left), whether a missing value goes
        left (bool), the nodes to the left and to the right (int32) and the leaf's value (float64).
    n_outputs : int
    n_jobs : int or None

    Returns
    -------
    ndarray of shape (n, n_outputs), float64
    """
    features = np.ascontiguousarray(features, dtype=np.float64)
    sums = np.zeros((len(features), n_outputs))
    run_sharded(
        lambda start, stop: _leaf_sums(start, stop, features, *nodes, sums),
        np.full(len(features), 8 * len(nodes[0])),
        n_jobs,
    )
    return sums
