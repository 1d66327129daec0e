from unittest import mock

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given

from ecomrec.kernels import least_squares
from ecomrec.testing.twins_als import gram_twin, rotate_twin, solve_twin

WEIGHTS = (0.0, -1.0, 0.5, 1.0, 1.0, 3.0)
parts = pytest.mark.parametrize("room", [least_squares._ROOM, 1], ids=["whole", "in parts"])
compiled = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="plain Python is too slow for it, or warns of overflows"
)


@st.composite
def problems(draw):
    """Rows of up to twice as many entries as factors; rows and entries lie anywhere."""
    d, n, m = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(12, 15))
    lengths = np.array(draw(st.lists(st.integers(0, 2 * d), min_size=n, max_size=n)), np.int32)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return problem(rng, d, lengths, m)


def problem(rng, d, lengths, m):
    order = rng.permutation(len(lengths))
    starts = np.zeros(len(lengths), dtype=np.int64)
    starts[order] = np.cumsum(lengths[order] + 1) - lengths[order]
    columns = np.zeros(int(lengths.sum()) + len(lengths), dtype=np.int32)
    values = np.full(len(columns), 1e9, dtype=np.float32)
    for start, length in zip(starts, lengths, strict=True):
        columns[start : start + length] = rng.permutation(m)[:length]
        values[start : start + length] = rng.choice(WEIGHTS, length)
    factors = rng.normal(size=(m, d)).astype(np.float32)
    numbers = np.append(rng.permutation(len(lengths)), 0)
    return {
        "numbers": numbers,
        "store": (starts, lengths, columns, values),
        "factors": factors,
        "gram": 0.1 * factors.T @ factors,
        "ridges": rng.uniform(0.5, 2.0, len(numbers)),
    }


def diagonal(asked):
    return asked | {"gram": np.diag(np.diag(asked["gram"]))}


def objective(asked, x, scale=1.0, offsets=None):
    """What each row of x costs."""
    starts, lengths, columns, values = asked["store"]
    z, losses = asked["factors"].astype(float), []
    for position, row in enumerate(asked["numbers"]):
        inside = slice(starts[row], starts[row] + lengths[row])
        errors = 1.0 - z[columns[inside]] @ x[position]
        weights = np.maximum(values[inside], 0) * scale
        own = x[position] @ asked["gram"] @ x[position]
        own += asked["ridges"][position] * x[position] @ x[position]
        losses.append((weights * errors**2).sum() + own)
    return np.array(losses)


@parts
@given(problems(), st.booleans(), st.booleans(), st.sampled_from((1.0, 0.3)))
def test_solutions_equal_those_of_their_twin(threads, room, asked, is_diagonal, rated, scale):
    asked = diagonal(asked) if is_diagonal else asked
    how = {"scale": scale}
    if rated:
        how = {"offsets": np.linspace(-1, 2, len(asked["factors"]))}
    with mock.patch.object(least_squares, "_ROOM", room):
        (found,) = threads(
            lambda n_jobs: (
                least_squares.solve(**asked, **how, diagonal=is_diagonal, n_jobs=n_jobs),
            )
        )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, solve_twin(**asked, **how), rtol=2e-4, atol=2e-5)


@parts
@given(problems(), st.booleans(), st.integers(0, 3))
def test_enough_conjugate_gradients_reach_the_solution(threads, room, asked, rated, seed):
    asked = diagonal(asked)
    how = {"offsets": np.linspace(-1, 2, len(asked["factors"]))} if rated else {}
    rng = np.random.default_rng(seed)
    warm = rng.normal(size=(len(asked["numbers"]), asked["factors"].shape[1])).astype(np.float32)
    before = warm.copy()
    with mock.patch.object(least_squares, "_ROOM", room):
        (found,) = threads(
            lambda n_jobs: (
                least_squares.solve(
                    **asked, **how, diagonal=True, n_steps=60, n_jobs=n_jobs,
                    warm=warm if seed else None,
                ),
            )
        )  # fmt: skip
    np.testing.assert_allclose(found, solve_twin(**asked, **how), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(warm, before)


@parts
@given(problems(), st.integers(1, 4), st.sampled_from(("block_size", "n_steps")))
def test_no_step_goes_uphill_or_leaves_the_solution(threads, room, asked, size, kind):
    asked = diagonal(asked)
    best = solve_twin(**asked)
    warm = np.ones(best.shape, dtype=np.float32)
    warm[~best.any(axis=1)] = 0
    with mock.patch.object(least_squares, "_ROOM", room):
        (found,) = threads(
            lambda n_jobs: (
                least_squares.solve(
                    **asked, diagonal=True, warm=warm, n_jobs=n_jobs, **{kind: size}
                ),
            )
        )
        stayed = least_squares.solve(
            **asked, diagonal=True, warm=best.astype(np.float32), **{kind: size}
        )
    losses = [objective(asked, x.astype(float)) for x in (best, found, warm)]
    assert (losses[0] <= losses[1] + 1e-5).all()
    assert (losses[1] <= losses[2] * (1 + 1e-5)).all()
    far = losses[2] > losses[0] * 1.01 + 1e-3
    assert (losses[1] < losses[2])[far].all()
    np.testing.assert_allclose(stayed, best, rtol=2e-3, atol=2e-5)


@compiled
@parts
@pytest.mark.parametrize("block_size", [1, 3, 7, 8, 20])
def test_blocks_reach_the_solution(room, block_size):
    rng = np.random.default_rng(1)
    asked = diagonal(problem(rng, 8, rng.integers(0, 17, 20, dtype=np.int32), 30))
    offsets = rng.normal(size=30)
    found = np.zeros((21, 8), dtype=np.float32)
    with mock.patch.object(least_squares, "_ROOM", room):
        for _ in range(80):
            found = least_squares.solve(
                **asked, diagonal=True, offsets=offsets, block_size=block_size, warm=found
            )
    np.testing.assert_allclose(found, solve_twin(**asked, offsets=offsets), rtol=1e-3, atol=1e-4)


@compiled
def test_a_row_longer_than_the_buffers_is_read_in_parts_and_solved_as_well():
    rng = np.random.default_rng(0)
    d, m = 24, least_squares._ROOM // 24 * 2 + 77
    asked = diagonal(problem(rng, d, np.array([5, m, 0, 300], dtype=np.int32), m))
    asked["store"][3][:] = np.abs(asked["store"][3])
    expected = solve_twin(**asked)
    for how in ({}, {"n_steps": 50}, {"block_size": 16}):
        warm = (expected * 0.9).astype(np.float32) if "block_size" in how else None
        found = least_squares.solve(**asked, diagonal=True, **how, warm=warm)
        for _ in range(10 * ("block_size" in how)):
            found = least_squares.solve(**asked, diagonal=True, **how, warm=found)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5)


def test_rows_without_evidence_are_zeros_wherever_they_start():
    asked = diagonal(problem(np.random.default_rng(2), 4, np.array([0, 3], dtype=np.int32), 12))
    asked["store"][3][:] = (-1, 0, -2, 0, -3)
    warm = np.full((3, 4), np.nan, dtype=np.float32)
    for how in ({}, {"n_steps": 3}, {"block_size": 2}):
        assert not least_squares.solve(**asked, diagonal=True, warm=warm, **how).any()


@compiled
@pytest.mark.parametrize("how", [{}, {"n_steps": 5}, {"block_size": 2}], ids=str)
def test_a_problem_without_a_finite_solution_is_refused(how):
    asked = diagonal(problem(np.random.default_rng(2), 4, np.full(3, 9, dtype=np.int32), 12))
    asked["store"][3][:] = 1e38
    with pytest.raises(FloatingPointError, match=r"no finite solution .* Raise regularization"):
        least_squares.solve(**asked, diagonal=True, scale=9.0, **how)


def test_a_singular_problem_is_refused():
    factors = np.ones((9, 3), dtype=np.float32)
    asked = problem(np.random.default_rng(2), 3, np.full(2, 9, dtype=np.int32), 9)
    asked |= {"factors": factors, "gram": np.zeros((3, 3)), "ridges": np.zeros(3)}
    with pytest.raises(FloatingPointError, match="no finite solution in single precision"):
        least_squares.solve(**asked)


@pytest.mark.parametrize("n", [0, 1, 100, 8192, 20_000])
def test_products_and_rotations_equal_their_twins(threads, n):
    rng = np.random.default_rng(n)
    factors, rotation = rng.normal(size=(n, 5)).astype(np.float32), rng.normal(size=(5, 5))
    gram, turned = threads(
        lambda n_jobs: (
            least_squares.gram(factors, n_jobs),
            least_squares.rotate(factors, rotation, n_jobs),
        )
    )
    assert gram.dtype == np.float64
    np.testing.assert_allclose(gram, gram_twin(factors), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(turned, rotate_twin(factors, rotation), rtol=1e-5, atol=1e-5)
