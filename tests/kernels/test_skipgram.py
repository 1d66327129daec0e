import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from ecomrec.kernels import assemble, skipgram
from ecomrec.testing.twins_content import learn_pairs_twin


@given(
    n_items=st.integers(2, 9),
    n_pairs=st.integers(0, 30),
    n_blocks=st.integers(1, 3),
    n_negatives=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_a_pass_takes_the_steps_of_its_twin(
    threads, n_items, n_pairs, n_blocks, n_negatives, seed
):
    rng = np.random.default_rng(seed)
    n_blocks = min(n_blocks, n_items)
    pool = rng.permutation(n_items).astype(np.int32)
    members = (n_items * np.arange(n_blocks + 1) / n_blocks).astype(np.int64)
    block = np.zeros(n_items, dtype=np.int64)
    block[pool] = np.repeat(np.arange(n_blocks), np.diff(members))
    centre, context = rng.integers(0, n_items, (2, n_pairs))
    cell = block[centre] * n_blocks + block[context]
    order = np.argsort(cell, kind="stable")
    bounds = assemble.offsets(np.bincount(cell, minlength=n_blocks**2))
    cumulative = np.cumsum(rng.random(n_items) + 0.1)
    start = (rng.standard_normal((2, n_items, 3)) * 2).astype(np.float32)
    seeds = rng.integers(2**32, size=(n_blocks, n_blocks))
    plan = centre[order], context[order], bounds, pool, members, cumulative

    def learned(n_jobs):
        centres, contexts = start.copy()
        skipgram.learn_pairs(*plan, centres, contexts, n_negatives, 0.1, seeds, n_jobs)
        return centres, contexts

    found = threads(learned)
    for one, other in zip(
        found, learn_pairs_twin(*plan, start[0], start[1], n_negatives, 0.1, seeds), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
