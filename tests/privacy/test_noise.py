import itertools
import os
import pickle
import subprocess
import sys
from copy import deepcopy

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.special import log_ndtr, ndtri
from scipy.stats import kstest, norm
from sklearn.base import clone
from tests.privacy.laws import (
    LEVEL,
    discrete_gaussian_pmf,
    discrete_laplace_pmf,
    law_p_value,
    p_value,
    rounded_gaussian_pmf,
)

from ecomrec.privacy import (
    SeededNoise,
    SystemNoise,
    discrete_gaussian,
    discrete_laplace,
    gumbel,
    rounded_gaussian,
)
from ecomrec.privacy.noise import samplers as noise

N = 200_000
INTEGERS = {
    "rounded_gaussian": (rounded_gaussian, rounded_gaussian_pmf),
    "discrete_gaussian": (discrete_gaussian, discrete_gaussian_pmf),
    "discrete_laplace": (discrete_laplace, discrete_laplace_pmf),
}
DRAWS = {name: draw for name, (draw, _) in INTEGERS.items()} | {"gumbel": gumbel}


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 17.3, 150.0])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_follow_their_law(name, scale):
    draw, law = INTEGERS[name]
    values = draw(N, scale, SeededNoise(int(10 * scale)))
    assert values.dtype == np.int64
    assert law_p_value(values, law(scale)) > LEVEL


@pytest.mark.parametrize("name", INTEGERS)
def test_a_scale_that_is_three_percent_off_would_be_seen(name):
    draw, law = INTEGERS[name]
    values = draw(N, 17.3, SeededNoise(0))
    assert law_p_value(values, law(17.3 * 1.03)) < LEVEL
    assert law_p_value(values, law(17.3 / 1.03)) < LEVEL


def test_discrete_and_rounded_gaussian_are_told_apart():
    values = rounded_gaussian(N, 0.6, SeededNoise(0))
    assert law_p_value(values, discrete_gaussian_pmf(0.6)) < LEVEL


@pytest.mark.parametrize("exponent", [11, 20, 30, 40, 50])
@pytest.mark.parametrize("name", ["rounded_gaussian", "discrete_gaussian"])
def test_large_gaussian_noise_has_its_quantiles(name, exponent):
    values = DRAWS[name](N, 1.25 * 2.0**exponent if exponent < 50 else 2.0**50, SeededNoise(1))
    sigma = 1.25 * 2.0**exponent if exponent < 50 else 2.0**50
    assert kstest(values / sigma, norm.cdf).pvalue > LEVEL
    bins = np.digitize(values / sigma, norm.ppf(np.arange(1, 100) / 100))
    assert p_value(np.bincount(bins, minlength=100), np.full(100, N / 100)) > LEVEL


@pytest.mark.parametrize("modulus", [2, 3, 1000, 1024])
@pytest.mark.parametrize("scale", [2.0**12 + 1, 3.3e6, 2.0**40])
@pytest.mark.parametrize("name", INTEGERS)
def test_no_remainder_of_large_noise_is_missing(name, scale, modulus):
    values = DRAWS[name](N, scale, SeededNoise(2))
    counts = np.bincount(values % modulus, minlength=modulus)
    assert p_value(counts, np.full(modulus, N / modulus)) > LEVEL


@pytest.mark.parametrize("name", INTEGERS)
def test_every_small_integer_comes(name):
    found = set(DRAWS[name](N, 4.0, SeededNoise(3)).tolist())
    assert set(range(-12, 13)) <= found
    assert set(range(-2, 3)) <= set(DRAWS[name](N, 0.5, SeededNoise(3)).tolist())


@pytest.mark.parametrize("scale", [0.7, 5.0, 1e5])
@pytest.mark.parametrize("name", INTEGERS)
def test_both_signs_are_equally_frequent(name, scale):
    values = DRAWS[name](N, scale, SeededNoise(4))
    above, below = (values > 0).sum(), (values < 0).sum()
    assert p_value([above, below], [(above + below) / 2] * 2) > LEVEL
    odd = (values**3).astype(float)
    assert abs(odd.mean()) < 6 * odd.std() / np.sqrt(N)


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("rounded_gaussian", (9.0 + 1 / 12, 3 * 9.0**2)),
        ("discrete_gaussian", (9.0, 3 * 9.0**2)),
        ("discrete_laplace", (2 * np.exp(-1 / 3) / (1 - np.exp(-1 / 3)) ** 2, None)),
    ],
)
def test_moments(name, moments):
    values = DRAWS[name](N, 3.0, SeededNoise(5)).astype(float)
    variance, fourth = moments
    assert abs(values.mean()) < 6 * np.sqrt(variance / N)
    assert values.var() == pytest.approx(
        variance, rel=6 * values.var() * np.sqrt(5 / N) / variance
    )
    if fourth is not None:
        assert (values**4).mean() == pytest.approx(fourth, rel=0.05)


@pytest.mark.parametrize("name", DRAWS)
def test_no_scale_is_no_noise(name):
    values = DRAWS[name](5, 0, SystemNoise())
    assert values.tolist() == [0, 0, 0, 0, 0]
    assert len(DRAWS[name](0, 3.0, SystemNoise())) == 0


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf, 2.0**51, "1", True, None])
def test_scales_out_of_range_are_named(name, scale):
    word = "sigma" if name.endswith("gaussian") else "scale"
    with pytest.raises(ValueError, match=rf"{word} must be a number from 0 to 2\*\*50; got"):
        DRAWS[name](5, scale, SystemNoise())


@pytest.mark.parametrize("n", [-1, 2.5, True, "3"])
def test_numbers_of_values_are_checked(n):
    with pytest.raises(ValueError, match="n must be an integer of at least 0; got"):
        rounded_gaussian(n, 1.0, SystemNoise())


class Words:
    """Gives the same word again and again."""

    secure = False

    def __init__(self, word):
        self.word = word

    def words(self, n):
        return np.full(n, self.word, dtype=np.uint64)


def test_rounded_gaussian_reaches_thirteen_deviations_on_both_sides():
    assert rounded_gaussian(1, 1000.0, Words(1))[0] > 13_000
    assert rounded_gaussian(1, 1000.0, Words(0))[0] < -13_000
    assert rounded_gaussian(1, 1000.0, Words(2**64 - 1))[0] == 0
    assert rounded_gaussian(1, 1000.0, Words(2**64 - 2))[0] == 0


def test_gumbel_reaches_far_into_both_tails():
    # 1 - U is 2**-129 on the right; on the left U is 1.5 * 2**-128.
    assert gumbel(1, 1.0, Words(0))[0] == pytest.approx(129 * np.log(2), rel=1e-9)
    assert gumbel(1, 1.0, Words(1))[0] == pytest.approx(-np.log(128 * np.log(2) - np.log(1.5)))


def test_gumbel_follows_its_law():
    values = gumbel(N, 2.0, SeededNoise(6))
    assert kstest(values, "gumbel_r", args=(0, 2.0)).pvalue > LEVEL
    assert kstest(values, "gumbel_r", args=(0, 2.05)).pvalue < LEVEL


def test_order_with_gumbel_noise_is_that_of_repeated_draws():
    # Plackett-Luce: each next one with probability proportional to exp(u / b) of what is left.
    utilities, b, n = np.array([0.0, 1.0, 2.5, 3.0]), 1.7, 60_000
    noisy = utilities + gumbel(4 * n, b, SeededNoise(7)).reshape(n, 4)
    orders = np.argsort(-noisy, axis=1)
    found = np.unique(orders @ 4 ** np.arange(4), return_counts=True)
    counts = dict(zip(*(part.tolist() for part in found), strict=True))
    weights = np.exp(utilities / b)
    observed, expected = [], []
    for order in itertools.permutations(range(4)):
        chance, left = 1.0, weights.sum()
        for item in order:
            chance *= weights[item] / left
            left -= weights[item]
        observed.append(counts.get(int(np.array(order) @ 4 ** np.arange(4)), 0))
        expected.append(n * chance)
    assert p_value(observed, expected) > LEVEL


@given(st.floats(2.0**-128, 0.5))
def test_quantiles_are_as_near_as_the_docstring_says(u):
    # The error of a quantile z is that of ln(u) over the hazard, which is above |z| and 0.7.
    z = ndtri(u)
    off = abs(log_ndtr(z) - np.log(u)) / max(0.7, abs(z))
    assert off < 2.0**-46  # 2**-47, and as much for the rounding of both logarithms


@pytest.mark.parametrize("sigma", [2.0**11, 5000.0, 2.0**20, 2.0**40, 2.0**50])
def test_blur_is_even_symmetric_and_narrow(sigma):
    width = noise.blur_width(sigma)
    assert sigma / 2048 <= width <= sigma / 1024 or width == 2**30
    values = noise._blur(N, sigma, SeededNoise(8))
    assert np.abs(values).max() <= width // 2
    if width <= 1024:
        expected = np.full(width + 1, N / width)
        expected[[0, -1]] /= 2
        counts = np.bincount(values + width // 2, minlength=width + 1)
        assert p_value(counts, expected) > LEVEL
    assert abs(values.mean()) < 6 * width / np.sqrt(12 * N)


def test_small_noise_is_not_blurred():
    assert noise.blur_width(2047.9) == 1
    assert noise.blur_width(1e-3) == 1


def test_words_come_from_the_operating_system(monkeypatch):
    asked = []
    urandom = os.urandom

    def listening(n):
        asked.append(n)
        return urandom(n)

    monkeypatch.setattr(os, "urandom", listening)
    assert len(SystemNoise().words(7)) == 7
    assert asked == [56]
    for draw in DRAWS.values():
        asked.clear()
        draw(1000, 3.0, SystemNoise())
        assert sum(asked) >= 8000


@pytest.mark.parametrize("name", DRAWS)
def test_no_seed_of_numpy_has_a_say(name):
    drawn = []
    for _ in range(2):
        np.random.seed(0)  # noqa: NPY002  # the seed that must not matter
        drawn.append(DRAWS[name](50, 1e6, SystemNoise()))
    assert not np.array_equal(*drawn)


FORK = """
import os
from ecomrec.privacy import SystemNoise, rounded_gaussian
source = SystemNoise()
rounded_gaussian(10, 1e6, source)
pipes = []
for _ in range(2):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, rounded_gaussian(20, 1e6, source).tobytes())
        os._exit(0)
    pipes.append(read)
drawn = [os.read(read, 160) for read in pipes] + [rounded_gaussian(20, 1e6, source).tobytes()]
print(len(set(drawn)), {len(part) for part in drawn})
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_children_draw_other_noise():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.stdout.split() == ["3", "{160}"], done.stderr


def test_seeded_words_repeat_and_go_on():
    one, other = SeededNoise(4), SeededNoise(4)
    first = one.words(3)
    np.testing.assert_array_equal(first, other.words(3))
    assert not np.array_equal(first, one.words(3))
    np.testing.assert_array_equal(one.fresh().words(3), first)
    assert not np.array_equal(SeededNoise(5).words(3), first)


@pytest.mark.parametrize("copied", [deepcopy, lambda source: pickle.loads(pickle.dumps(source))])
def test_copies_of_a_seeded_source_go_on_alike(copied):
    source = SeededNoise(4)
    source.words(5)
    np.testing.assert_array_equal(copied(source).words(3), source.words(3))


def test_clones_of_sources_start_anew():
    source = SeededNoise(4)
    first = source.words(3)
    np.testing.assert_array_equal(clone(source).words(3), first)
    assert isinstance(clone(SystemNoise()), SystemNoise)
    assert repr(source) == "SeededNoise(seed=4)"


def test_only_the_system_is_secure():
    assert SystemNoise().secure is True
    assert SeededNoise(0).secure is False
    source = SystemNoise()
    assert source.fresh() is source


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, None])
def test_seeds_are_checked(seed):
    with pytest.raises(ValueError, match="seed must be an integer of at least 0; got"):
        SeededNoise(seed).words(1)


def test_chunks_do_not_change_what_a_seed_gives_discrete_noise(monkeypatch):
    whole = discrete_gaussian(3000, 20.0, SeededNoise(9))
    monkeypatch.setattr(noise, "_CHUNK", 100)
    np.testing.assert_array_equal(discrete_gaussian(3000, 20.0, SeededNoise(9))[:40], whole[:40])
    assert (
        law_p_value(discrete_gaussian(20_000, 20.0, SeededNoise(9)), discrete_gaussian_pmf(20.0))
        > LEVEL
    )


def test_memory_does_not_grow_with_the_number_of_values():
    import tracemalloc

    rounded_gaussian(10, 5000.0, SeededNoise(0))
    tracemalloc.start()
    try:
        drawn = rounded_gaussian(2_000_000, 5000.0, SystemNoise())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < drawn.nbytes + 3_000_000
