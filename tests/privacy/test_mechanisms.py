import itertools
import math
import os
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.special import logsumexp
from tests.privacy.laws import (
    LEVEL,
    discrete_gaussian_pmf,
    discrete_laplace_pmf,
    law_p_value,
    p_value,
    rounded_gaussian_pmf,
)

from ecomrec.privacy import (
    DiscreteGaussianMechanism,
    DiscreteLaplaceMechanism,
    ExponentialMechanism,
    GaussianEvent,
    GaussianMechanism,
    GumbelTopK,
    GumbelTopKEvent,
    PureDPEvent,
    ReportNoisyMax,
    SeededNoise,
    ZCDPEvent,
    epsilon_of,
    from_grid,
    to_grid,
)
from ecomrec.privacy.noise.door import recorded

SUMS = [GaussianMechanism(2.0), DiscreteGaussianMechanism(2.0), DiscreteLaplaceMechanism(0.5)]
CHOICES = [ExponentialMechanism(1.0), ReportNoisyMax(1.0), GumbelTopK(1, 2.0)]


def named(mechanisms):
    return [pytest.param(m, id=type(m).__name__) for m in mechanisms]


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20),
    st.integers(-40, 40).map(lambda power: 2.0**power),
)
def test_grid_never_lengthens_a_number(values, step):
    steps = to_grid(values, step)
    assert steps.dtype == np.int64
    for value, whole in zip(values, steps.tolist(), strict=True):
        if not math.isfinite(value):
            assert whole == 0
            continue
        exact = Fraction(value) / Fraction(step)
        expected = math.trunc(max(min(exact, 2**62), -(2**62)))
        assert whole == expected
        assert abs(whole) <= abs(exact)


@pytest.mark.parametrize("step", [0.3, 0.0, -1.0, np.nan, np.inf, "1", True])
def test_steps_are_powers_of_two(step):
    with pytest.raises(ValueError, match="step must be a power of 2 above 0; got"):
        to_grid([1.0], step)


def test_grid_and_back():
    values = np.array([[0.75, -1.5], [0.0, 2.25]])
    np.testing.assert_array_equal(from_grid(to_grid(values, 0.25), 0.25), values)


@pytest.mark.parametrize(
    ("mechanism", "event"),
    [
        (GaussianMechanism(3.0, sensitivity=8), GaussianEvent(3.0)),
        (DiscreteGaussianMechanism(2.0, sensitivity=8), ZCDPEvent(0.125)),
        (DiscreteLaplaceMechanism(0.25, sensitivity=8), PureDPEvent(0.25)),
        (ExponentialMechanism(0.5), PureDPEvent(0.5)),
        (ReportNoisyMax(0.5, monotone=True), PureDPEvent(0.5)),
        (GumbelTopK(7, 4.0), GumbelTopKEvent(4.0, 7)),
    ],
)
def test_events(mechanism, event):
    assert mechanism.event == event


@pytest.mark.parametrize(
    ("mechanism", "law"),
    [
        (GaussianMechanism(3.0, sensitivity=4), rounded_gaussian_pmf(12.0)),
        (DiscreteGaussianMechanism(3.0, sensitivity=4), discrete_gaussian_pmf(12.0)),
        (DiscreteLaplaceMechanism(0.5, sensitivity=4), discrete_laplace_pmf(8.0)),
    ],
)
def test_sums_get_noise_of_the_scale_that_is_booked(mechanism, law):
    released = mechanism.release(np.full((500, 200), 1000), SeededNoise(0))
    assert released.shape == (500, 200)
    assert released.dtype == np.int64
    assert law_p_value(released.ravel() - 1000, law) > LEVEL


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e6))
def test_scales_are_never_rounded_down(one, other):
    sigma = GaussianMechanism(one, other).sigma
    assert Fraction(sigma) >= Fraction(one) * Fraction(other)
    assert sigma <= one * other * (1 + 1e-15)
    scale = DiscreteLaplaceMechanism(one, other).scale
    assert Fraction(scale) * Fraction(one) >= Fraction(other)
    assert Fraction(ExponentialMechanism(one, other).scale) * Fraction(one) >= 2 * Fraction(other)


def test_discrete_gaussian_keeps_its_promise_on_the_whole_law():
    # The Renyi divergence of order a between noise at 0 and at 3, summed over the law itself.
    sigma, shift = 4.0, 3
    x = np.arange(-400, 401)
    at, moved = (-((x - centre) ** 2) / (2 * sigma**2) for centre in (0, shift))
    at, moved = (log_weights - logsumexp(log_weights) for log_weights in (at, moved))
    rho = DiscreteGaussianMechanism(sigma / shift, sensitivity=shift).event.rho
    for order in (1.5, 2.0, 5.0, 20.0):
        divergence = logsumexp(order * at + (1 - order) * moved) / (order - 1)
        assert divergence <= rho * order * (1 + 1e-9)
    assert divergence > 0.999 * rho * order


def test_discrete_laplace_keeps_its_promise_on_the_whole_law():
    mechanism = DiscreteLaplaceMechanism(0.7, sensitivity=3)
    law = discrete_laplace_pmf(mechanism.scale)
    ratios = law(np.arange(-50, 51)) / law(np.arange(-50, 51) - 3)
    assert np.abs(np.log(ratios)).max() == pytest.approx(0.7)


def draws(mechanism, values, n):
    source = SeededNoise(1)
    return [mechanism.release(values, source) for _ in range(n)]


@pytest.mark.parametrize(("monotone", "ways"), [(True, 1), (False, 2)])
def test_exponential_mechanism_has_its_law(monotone, ways):
    utilities = np.array([3, 9, 5, 9, -20])
    mechanism = ExponentialMechanism(1.5, sensitivity=4, monotone=monotone)
    weights = np.exp(1.5 * (utilities - 9) / (ways * 4))
    found = np.bincount(draws(mechanism, utilities, 20_000), minlength=5)
    assert p_value(found, 20_000 * weights / weights.sum()) > LEVEL


def permute_and_flip(kept_chances):
    """The exact law: every order of the options, the first one whose coin falls."""
    n, law = len(kept_chances), [Fraction(0)] * len(kept_chances)
    for order in itertools.permutations(range(n)):
        left = Fraction(1, math.factorial(n))
        for option in order:
            law[option] += left * kept_chances[option]
            left *= 1 - kept_chances[option]
    return np.array([float(chance) for chance in law])


@pytest.mark.parametrize(("monotone", "ways"), [(True, 1), (False, 2)])
def test_report_noisy_max_has_the_law_of_permute_and_flip(monotone, ways):
    utilities = np.array([3, 9, 5, 9, -20])
    mechanism = ReportNoisyMax(1.5, sensitivity=4, monotone=monotone)
    kept = [Fraction(math.exp(1.5 * (u - 9) / (ways * 4))) for u in utilities.tolist()]
    found = np.bincount(draws(mechanism, utilities, 20_000), minlength=5)
    assert p_value(found, 20_000 * permute_and_flip(kept)) > LEVEL
    exponential = np.exp(1.5 * (utilities - 9) / (ways * 4))
    assert p_value(found, 20_000 * exponential / exponential.sum()) < LEVEL


def test_gumbel_top_k_is_repeated_exponential_choice():
    counts, scale, n = np.array([4, 6, 1, 5]), 2.0, 20_000
    found = [tuple(top.tolist()) for top in draws(GumbelTopK(2, scale), counts, n)]
    pairs = list(itertools.permutations(range(4), 2))
    weights = np.exp(counts / scale)
    total = weights.sum()
    expected = [n * weights[a] / total * weights[b] / (total - weights[a]) for a, b in pairs]
    assert p_value([found.count(pair) for pair in pairs], expected) > LEVEL


def law_of_top_k(counts, k, scale):
    weights, law = np.exp(np.array(counts) / scale), {}
    for order in itertools.permutations(range(len(counts)), k):
        chance, left = 1.0, weights.sum()
        for item in order:
            chance *= weights[item] / left
            left -= weights[item]
        law[order] = chance
    return law


def test_gumbel_top_k_costs_what_its_event_says():
    # One more user, who may have touched any of the items: exact laws, exact pure epsilon.
    counts, k, scale = [4, 6, 1, 5], 2, 3.0
    event = GumbelTopK(k, scale).event
    before = law_of_top_k(counts, k, scale)
    largest = 0.0
    for touched in itertools.product((0, 1), repeat=4):
        after = law_of_top_k([c + t for c, t in zip(counts, touched, strict=True)], k, scale)
        losses = [math.log(after[order] / before[order]) for order in before]
        largest = max(largest, *map(abs, losses))
        moment = math.log(sum(p**2 / before[order] for order, p in after.items()))
        assert moment <= 2 * event.rho
    assert largest <= epsilon_of([event], delta=0.0)
    assert largest > 0.5 * k / scale


@pytest.mark.parametrize("low", [-(2**62) - 1, -(2**63)])
@pytest.mark.parametrize("high", [2**62, 2**63 - 1])
def test_utilities_may_lie_as_far_apart_as_integers_do(low, high):
    for utilities in ([low, high], [low + 1, high], [low, high - 1]):
        for mechanism in (ExponentialMechanism(1.0), ReportNoisyMax(1.0)):
            assert set(draws(mechanism, utilities, 5)) == {1}
        assert GumbelTopK(2, 1.0).release(utilities).tolist() == [1, 0]


def test_choices_among_equals_are_even():
    values = np.zeros(4, dtype=int)
    for mechanism in (ExponentialMechanism(1.0), ReportNoisyMax(1.0)):
        found = np.bincount(draws(mechanism, values, 8000), minlength=4)
        assert p_value(found, np.full(4, 2000)) > LEVEL


def test_coins_beyond_doubt_are_decided_exactly(monkeypatch):
    values, mechanism = np.array([5, 9, 7]), ReportNoisyMax(0.5)
    expected = draws(mechanism, values, 200)
    monkeypatch.setattr("ecomrec.privacy.noise._exact.DOUBT", 2.0**70)
    assert draws(mechanism, values, 200) == expected


@pytest.mark.parametrize("mechanism", named(SUMS + CHOICES))
def test_default_source_is_the_operating_system(monkeypatch, mechanism):
    asked, urandom = [], os.urandom

    def listening(n):
        asked.append(n)
        return urandom(n)

    monkeypatch.setattr(os, "urandom", listening)
    np.random.seed(0)  # noqa: NPY002  # the seed that must not matter
    mechanism.release([10, 20, 30])
    assert sum(asked) >= 24
    asked.clear()
    mechanism.release([10, 20, 30], SeededNoise(0))
    assert asked == []


@pytest.mark.parametrize("mechanism", named(SUMS + CHOICES))
def test_a_recorder_sees_every_release_and_may_answer(mechanism):
    seen = []

    def recorder(name, params, value, release):
        seen.append((name, params, value, release()))
        return "mine"

    with recorded(recorder):
        assert mechanism.release([10, 20, 30]) == "mine"
    ((name, params, value, output),) = seen
    assert name == type(mechanism).__name__
    assert value.tolist() == [10, 20, 30]
    assert params["shape"] == (3,)
    assert "mechanism" in params
    assert output is not None


@pytest.mark.parametrize("mechanism", named(SUMS + CHOICES))
@pytest.mark.parametrize(
    "values", [[0.5, 1.0], ["a"], [True], np.zeros(2, dtype=np.uint64)], ids=repr
)
def test_values_off_the_grid_are_refused(mechanism, values):
    with pytest.raises(TypeError, match="values must be integers of at most 64 bits with sign"):
        mechanism.release(values)


@pytest.mark.parametrize("mechanism", named([*CHOICES[:2], GumbelTopK(3, 1.0)]))
def test_too_few_options_are_refused(mechanism):
    least = getattr(mechanism, "k", 1)
    with pytest.raises(ValueError, match=f"one-dimensional and at least {least}; got shape"):
        mechanism.release(np.zeros(least - 1, dtype=int))
    with pytest.raises(ValueError, match="one-dimensional"):
        mechanism.release(np.zeros((4, 4), dtype=int))


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1", None, True, 10**400])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (GaussianMechanism, "noise_multiplier"),
        (DiscreteGaussianMechanism, "noise_multiplier"),
        (DiscreteLaplaceMechanism, "epsilon"),
        (ExponentialMechanism, "epsilon"),
        (ReportNoisyMax, "epsilon"),
    ],
)
def test_parameters_must_be_positive(make, name, value):
    words = "must be a positive finite number"
    with pytest.raises(ValueError, match=f"{make.__name__}: {name} {words}"):
        make(value)
    with pytest.raises(ValueError, match=f"{make.__name__}: sensitivity {words}"):
        make(1.0, sensitivity=value)


@pytest.mark.parametrize("k", [0, 1.5, True, "2"])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(ValueError, match="GumbelTopK: k must be a positive integer; got"):
        GumbelTopK(k, 1.0)


def test_monotone_is_true_or_false():
    with pytest.raises(ValueError, match="ReportNoisyMax: monotone must be True or False; got 1"):
        ReportNoisyMax(1.0, monotone=1)
