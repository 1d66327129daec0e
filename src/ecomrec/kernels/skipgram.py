"""Skip-gram with negative sampling: steps on pairs of an item and one that stands beside it.

Items are dealt to blocks, once as centres and once as contexts: these are two vectors. In one
round each block of centres meets another block of contexts, from which the negatives of its steps
come as well: rounds of a fixed number of blocks run on any number of threads and write to nobody
else's rows. Random numbers belong to a pass and a pair of blocks.

A step for a centre v and a context c climbs ``log sigmoid(v . c)``, and for each negative n drawn
``log sigmoid(-v . n)``.
"""

import numpy as np

from ecomrec._parallel import run_sharded
from ecomrec.kernels._jit import dense_jit, jit
from ecomrec.kernels.bpr import _GOLDEN, _WORD, _mixed, _product


@dense_jit
def _pull(vector, others, j, width, pull, gain):
    for f in range(width):
        gain[f] += pull * others[j, f]
        others[j, f] += pull * vector[f]


@jit
def _drawn(pool, cumulative, low, high, share):
    """The item of a pool whose share of the block holds a number from 0 to 1."""
    before = cumulative[low - 1] if low > 0 else 0.0
    wanted = before + share * (cumulative[high - 1] - before)
    first, last = low, high - 1
    while first < last:
        middle = (first + last) // 2
        if cumulative[middle] <= wanted:
            first = middle + 1
        else:
            last = middle
    return pool[first]


@jit
def _learn_cell(
    first, last, centre, context, pool, cumulative, low, high, centres, contexts, n_negatives,
    rate, state,
):  # fmt: skip
    width = centres.shape[1]
    one = np.float32(1.0)
    gain = np.empty(width, dtype=np.float32)
    for at in range(first, last):
        vector = centres[centre[at]]
        gain[:] = 0.0
        beside = context[at]
        for number in range(n_negatives + 1):
            other = beside
            if number > 0:
                state = (state + _GOLDEN) & _WORD
                other = _drawn(pool, cumulative, low, high, _mixed(state) / (_WORD + 1.0))
                if other == beside:
                    continue
            score = _product(vector, contexts, other, width)
            chance = one / (one + np.exp(-score))
            pull = rate * ((one if number == 0 else np.float32(0.0)) - chance)
            _pull(vector, contexts, other, width, pull, gain)
        for f in range(width):
            vector[f] += gain[f]


def learn_pairs(
    centre, context, bounds, pool, members, cumulative, centres, contexts, n_negatives, rate,
    seeds, n_jobs=1,
):  # fmt: skip
    """Take a step for each pair, in place.

    Parameters
    ----------
    centre, context : ndarray of shape (n_pairs,)
        Items, by block of the centre and then by block of the context.
    bounds : ndarray of shape (n_blocks ** 2 + 1,), int64
        Where the pairs of each two blocks start.
    pool : ndarray of shape (n,), int32
        Items that negatives are drawn from, by block.
    members : ndarray of shape (n_blocks + 1,), int64
        Where each block of them starts.
    cumulative : ndarray of shape (n,), float64
        Running sum of the shares by which they are drawn.
    centres, contexts : ndarray of shape (n_items, n_factors), float32
    n_negatives : int
        Drawn for a pair; one that is the context itself is passed over.
    rate : float
    seeds : ndarray of shape (n_blocks, n_blocks), int64
        Below 2 ** 32: of a block of centres with a block of contexts.
    n_jobs : int or None
        Threads; the result does not depend on them.
    """
    n_blocks = len(members) - 1
    centre, context, pool = (
        np.ascontiguousarray(values, dtype=np.int32) for values in (centre, context, pool)
    )
    cumulative = np.ascontiguousarray(cumulative, dtype=np.float64)
    rate = np.float32(rate)
    sizes = np.diff(bounds).reshape(n_blocks, n_blocks)
    cost = centres.shape[1] * (n_negatives + 1.0) * 4
    for turn in range(n_blocks):
        partner = (np.arange(n_blocks) + turn) % n_blocks

        def meet(start, stop, partner=partner):
            for mine in range(start, stop):
                block = partner[mine]
                cell = mine * n_blocks + block
                _learn_cell(
                    bounds[cell], bounds[cell + 1], centre, context, pool, cumulative,
                    members[block], members[block + 1], centres, contexts, n_negatives, rate,
                    seeds[mine, block],
                )  # fmt: skip

        run_sharded(meet, sizes[np.arange(n_blocks), partner] * cost, n_jobs)
