import functools
from decimal import Context, Decimal
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from ecomrec.kernels import noise as kernels
from ecomrec.privacy import SeededNoise
from ecomrec.privacy.noise import _exact
from ecomrec.privacy.noise import samplers as noise
from ecomrec.testing.twins_noise import (
    discrete_gaussian_twin,
    discrete_laplace_twin,
    gumbel_twin,
    rounded_gaussian_twin,
)

SCALES = (1e-9, 0.1, 0.5, 1.0, 3.7, 1000.5, 2.0**20 + 0.25, 2.0**40, 2.0**50)
seeds = st.integers(0, 2**32 - 1)


class Script:
    """Gives the words that it is given."""

    secure = False

    def __init__(self, *words):
        self.left = list(words)

    def words(self, n):
        taken, self.left = self.left[:n], self.left[n:]
        assert len(taken) == n, "no words left"
        return np.array(taken, dtype=np.uint64)


def gaussian_values(words, sigma, **kwargs):
    out = np.zeros(len(words) // 3, dtype=np.int64)
    _, filled, undecided = kernels.gaussian_trials(
        words, 0, int(sigma) + 1, sigma, _exact.step_limits(), out, 0, **kwargs
    )
    assert not undecided
    return out[:filled].tolist()


def laplace_values(words, scale):
    out = np.zeros(len(words) // 3, dtype=np.int64)
    period, shift = _exact.laplace_grid(scale)
    _, filled, undecided = kernels.laplace_trials(
        words, 0, period, min(shift, 63), _exact.step_limits(), out, 0
    )
    assert not undecided
    return out[:filled].tolist()


@given(seeds, st.sampled_from(SCALES[1:]))
def test_discrete_gaussian_equals_its_twin(seed, sigma):
    words = SeededNoise(seed).words(3 * 40)
    assert gaussian_values(words, sigma) == discrete_gaussian_twin(words, sigma)


@given(seeds, st.sampled_from(SCALES))
def test_discrete_laplace_equals_its_twin(seed, scale):
    words = SeededNoise(seed).words(3 * 40)
    assert laplace_values(words, scale) == discrete_laplace_twin(words, scale)


@pytest.mark.parametrize("sigma", [0.0, *SCALES, 2.0**11, 2.0**11 - 1, 3e4])
def test_rounded_gaussian_equals_its_twin(sigma):
    # More than one chunk, and about 20 words whose tail needs another word.
    n = (1 << 14) + 3001
    found = noise.rounded_gaussian(n, sigma, SeededNoise(3))
    expected = rounded_gaussian_twin(n, sigma, SeededNoise(3))
    # A fused or reordered product may round the other way where the size is huge.
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-15, atol=0)


@pytest.mark.parametrize("scale", [0.5, 30.0])
def test_gumbel_equals_its_twin(scale):
    found = noise.gumbel(3000, scale, SeededNoise(5))
    # Relative to the scale: near 0 a Gumbel number is a difference of logarithms.
    np.testing.assert_allclose(
        found, gumbel_twin(3000, scale, SeededNoise(5)), rtol=1e-13, atol=1e-14 * scale
    )


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
@pytest.mark.parametrize("scale", SCALES)
def test_exact_arithmetic_decides_as_doubles_do(monkeypatch, name, scale):
    draw = getattr(noise, f"discrete_{name}")
    expected = draw(40, scale, SeededNoise(1))
    tried = functools.partial(getattr(kernels, f"{name}_trials"), doubt=2.0**70)
    monkeypatch.setattr(kernels, f"{name}_trials", tried)
    np.testing.assert_array_equal(draw(40, scale, SeededNoise(1)), expected)


def test_trials_stop_at_the_word_that_does_not_decide():
    limits, out = _exact.step_limits(), np.zeros(3, dtype=np.int64)
    low, steps = np.uint64(0), np.uint64(2**63)
    for undecided in ([low, low, limits[4]], [low, low, low], [low, np.uint64(2**64 - 1), steps]):
        words = np.array([low, low, steps, *undecided, low, low, steps], dtype=np.uint64)
        assert kernels.gaussian_trials(words, 0, 1, 1e-9, limits, out, 0) == (1, 1, True)
    words = np.array([0, 0, 2**63, 2, 0, 0], dtype=np.uint64)
    assert kernels.laplace_trials(words, 0, 5, 0, limits, out, 0) == (1, 1, True)


def test_trials_stop_when_enough_is_accepted():
    words = np.array([0, 1, 2**63] * 4, dtype=np.uint64)
    out = np.full(2, 9, dtype=np.int64)
    assert kernels.laplace_trials(words, 0, 5, 0, _exact.step_limits(), out, 1) == (1, 2, False)
    assert out.tolist() == [9, 0]


def test_doors_refuse_other_types_and_lengths():
    limits, out = _exact.step_limits(), np.zeros(3, dtype=np.int64)
    with pytest.raises(TypeError, match="words and limits must be uint64, out int64"):
        kernels.gaussian_trials(np.zeros(3, dtype=np.int64), 0, 1, 1.0, limits, out, 0)
    with pytest.raises(TypeError, match="words and limits must be uint64, out int64"):
        kernels.laplace_trials(np.zeros(3, dtype=np.uint64), 0, 1, 0, limits, out.astype(float), 0)
    with pytest.raises(ValueError, match="words must come in threes; got 4"):
        kernels.laplace_trials(np.zeros(4, dtype=np.uint64), 0, 1, 0, limits, out, 0)


@given(st.fractions(0, 300, max_denominator=10**9), st.integers(1, 300))
def test_bounds_hold_the_exponential(x, bits):
    long = Context(prec=250)
    exact = long.exp(long.divide(-x.numerator, x.denominator))
    exact = long.multiply(exact, Decimal(2**bits))
    low, high = _exact.exp_bounds(x, bits)
    assert low <= exact <= high
    assert high - low <= 2


def test_limits_of_steps_are_the_integer_parts():
    limits = _exact.step_limits().tolist()
    assert len(limits) == 44
    assert limits[0] == 6786177901268885274  # 2**64 / e = 6786177901268885274.7...
    assert limits[-1] == 1
    assert limits == [int(Context(prec=60).exp(Decimal(-v)) * 2**64) for v in range(1, 45)]


@pytest.mark.parametrize(("more", "below"), [(0, True), (2**64 - 1, False)])
def test_a_word_at_its_limit_asks_for_another(more, below):
    at = int(_exact.step_limits()[0])
    source = Script(more)
    assert _exact.Uniform(at, source).below_exp(Fraction(1)) is below
    assert source.left == []


def test_what_is_asked_twice_remembers_its_bits():
    limits = _exact.step_limits().tolist()
    assert _exact.Uniform(limits[2], Script(2**64 - 1)).whole_steps() == 2
    assert _exact.Uniform(limits[2], Script(0)).whole_steps() == 3
    assert _exact.Uniform(0, Script(2**63)).whole_steps() == 45


def test_exact_trial_draws_what_the_kernel_leaves():
    # One step more than any limit has: the size is 45 periods, with the sign of the first word.
    words = np.array([1, 5, 0], dtype=np.uint64)
    assert _exact.laplace_trial(words, 7, 0, Script(2**63)) == -45 * 7
    # And the whole path: the first trial is decided so, and its value comes first.
    found = noise.discrete_laplace(1, 7.0, Script(*[1, 5, 0], *[0] * 51, 2**63))
    assert found.tolist() == [-45 * 7]


def test_zero_has_one_sign():
    words = np.array([1, 5, 2**63], dtype=np.uint64)
    assert _exact.laplace_trial(words, 7, 0, Script()) is None
    assert laplace_values(words, 7.0) == []
    assert _exact.gaussian_trial(words, 2, 1.5, Script()) is None
    assert gaussian_values(words, 1.5) == []


def test_remainders_that_would_be_too_frequent_are_refused():
    period = 2**63 // 3 + 1  # 2 whole periods fit into 63 bits, and the rest is dropped
    unfair = 2 * (2 * period)
    words = np.array([unfair, 5, 2**63], dtype=np.uint64)
    assert _exact.laplace_trial(words, period, 0, Script()) is None
    out = np.zeros(1, dtype=np.int64)
    assert kernels.laplace_trials(words, 0, period, 0, _exact.step_limits(), out, 0)[1] == 0
    drawn = _exact.fair_remainders(2, period, Script(unfair, 6, unfair, 8))
    assert drawn.tolist() == [3, 4]


@pytest.mark.parametrize("scale", [1e-300, 0.1, 1.0, 2.0**-1074, 12345.678, 2.0**50])
def test_grid_of_a_scale_is_the_same_number(scale):
    period, shift = _exact.laplace_grid(scale)
    assert Fraction(period, 2**shift) == Fraction(scale)
    assert period < 2**53
