"""Accounting: exact where it can be, never too low, and checked against dp-accounting (P6)."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, logsumexp

from ecomrec.privacy.accounting import _gdp, _rdp
from ecomrec.privacy.accounting.accountant import PrivacyAccountant
from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PureDPEvent,
    SetUnionEvent,
    ZCDPEvent,
    calibrate_noise,
    delta_of,
    epsilon_from_mu,
    epsilon_of,
    event_from_json,
    event_to_json,
    mu_from_epsilon,
    mu_of,
)

NOISES = st.floats(0.3, 100.0)
RATES = st.floats(1e-5, 1.0)
COUNTS = st.integers(1, 10_000)
DELTAS = st.floats(-12.0, -2.0).map(lambda power: 10.0**power)
EVENTS = st.one_of(
    st.builds(GaussianEvent, NOISES, COUNTS),
    st.builds(PoissonSampledGaussianEvent, NOISES, RATES, COUNTS),
    st.builds(PureDPEvent, st.floats(1e-3, 5.0), COUNTS),
    st.builds(ZCDPEvent, st.floats(1e-6, 1.0), COUNTS),
    st.builds(GumbelTopKEvent, st.floats(0.5, 1e3), st.integers(1, 500), COUNTS),
    st.builds(SetUnionEvent, NOISES, st.floats(1e-12, 1e-9), st.integers(1, 9)),
)
SAMPLED = [
    (1.0, 0.01, 1000),
    (1.1, 0.004, 10000),
    (2.0, 0.1, 100),
    (0.6, 0.001, 5000),
    (50.0, 0.5, 1000),
    (0.8, 1e-5, 100000),
    (1.0, 0.999, 3),
]


def gaussian(noise):
    return [GaussianEvent(noise)]


# ------------------------------------------------------------------ Gaussian, exactly


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (1e-5, [7.03, 3.73, 1.99, 1.08, 0.60]),
        (1e-6, [8.06, 4.22, 2.23, 1.19, 0.65]),
        (1e-7, [9.00, 4.68, 2.45, 1.30, 0.70]),
    ],
)
def test_noise_of_one_release_is_the_known_one(delta, expected):
    found = [1.0 / mu_from_epsilon(epsilon, delta) for epsilon in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert found == pytest.approx(expected, abs=0.0051)


def test_noise_is_less_than_the_textbook_asks_for():
    textbook = math.sqrt(2 * math.log(1.25 / 1e-6))
    assert 1.0 / mu_from_epsilon(1.0, 1e-6) < 0.81 * textbook


def test_noise_at_a_large_epsilon_is_more_than_the_textbook_says():
    # Where the textbook's formula does not hold, and claims what is not there.
    textbook = math.sqrt(2 * math.log(1.25 / 1e-2)) / 30.0
    assert 1.0 / mu_from_epsilon(30.0, 1e-2) > textbook
    assert epsilon_of(gaussian(textbook), 1e-2) > 30.0


@pytest.mark.parametrize("mu", [1e-6, 1e-4, 0.01, 0.3, 1.0, 5.0, 50.0, 1e3])
@pytest.mark.parametrize("delta", [1e-300, 1e-100, 1e-12, 1e-5, 0.1])
def test_epsilon_of_mu_solves_the_equation_in_high_precision(mu, delta):
    mpmath = pytest.importorskip("mpmath", reason="comes with dp-accounting")
    found = epsilon_from_mu(mu, delta)
    with mpmath.workdps(700):
        m, e = mpmath.mpf(mu), mpmath.mpf(found)

        def phi(x):
            return mpmath.erfc(-x / mpmath.sqrt(2)) / 2

        exact = phi(-e / m + m / 2) - mpmath.exp(e) * phi(-e / m - m / 2)
        if found == 0.0:
            assert exact <= delta
        else:
            assert float(mpmath.log(exact / mpmath.mpf(delta))) == pytest.approx(0.0, abs=1e-8)


@given(power=st.floats(-6.0, 3.0), delta=st.floats(-300.0, -1.0))
@settings(max_examples=60)
def test_mu_and_epsilon_are_inverse_and_on_the_safe_side(power, delta):
    mu, delta = 10.0**power, 10.0**delta
    epsilon = epsilon_from_mu(mu, delta)
    again = mu_from_epsilon(epsilon, delta)
    assert epsilon_from_mu(again, delta) <= epsilon
    if epsilon > 1e-9 * mu:
        assert again == pytest.approx(mu, rel=1e-6)


@given(power=st.floats(-6.0, 3.0), delta=DELTAS)
@settings(max_examples=40)
def test_more_delta_or_less_mu_is_less_epsilon(power, delta):
    mu = 10.0**power
    assert epsilon_from_mu(mu, 2 * delta) <= epsilon_from_mu(mu, delta)
    assert epsilon_from_mu(0.9 * mu, delta) <= epsilon_from_mu(mu, delta)


def test_ends_of_the_range_have_their_values():
    assert epsilon_from_mu(0.0, 1e-6) == 0.0
    assert epsilon_from_mu(math.inf, 1e-6) == math.inf
    assert epsilon_from_mu(1.0, 0.0) == math.inf
    assert epsilon_from_mu(1e-9, 1e-6) == 0.0
    assert mu_from_epsilon(math.inf, 1e-6) == math.inf
    assert epsilon_of([], 1e-6) == 0.0
    assert epsilon_of(gaussian(1e-200), 1e-6) == math.inf
    assert epsilon_of(gaussian(1e200), 1e-6) == 0.0
    assert delta_of([], 0.0) == 0.0
    assert delta_of(gaussian(1.0), math.inf) == 0.0
    assert delta_of(gaussian(1e-4), 1.0) == 1.0
    assert mu_from_epsilon(0.0, 0.1) == pytest.approx(0.2513, abs=1e-4)  # 2 Phi^-1(0.55)


def test_gaussian_releases_compose_to_one():
    many = [GaussianEvent(20.0, count=20), GaussianEvent(5.0)]
    one = math.sqrt(20 / 400 + 1 / 25)
    assert epsilon_of(many, 1e-6) == pytest.approx(epsilon_from_mu(one, 1e-6), rel=1e-12)
    assert mu_of(many) == pytest.approx(one)
    assert mu_of([*many, PureDPEvent(0.1)]) is None


def test_a_sample_of_everyone_is_no_sample():
    everyone = [PoissonSampledGaussianEvent(3.0, sample_rate=1.0, count=4)]
    assert epsilon_of(everyone, 1e-6) == epsilon_of([GaussianEvent(3.0, count=4)], 1e-6)


# ------------------------------------------------------------------ against dp-accounting


def oracle(event):
    """Return dp-accounting's PLD accountant, with its own event for ours."""
    dp = pytest.importorskip("dp_accounting", reason="extra privacy")
    pld = pytest.importorskip("dp_accounting.pld", reason="extra privacy")
    theirs = dp.GaussianDpEvent(event.noise_multiplier)
    if isinstance(event, PoissonSampledGaussianEvent):
        theirs = dp.PoissonSampledDpEvent(event.sample_rate, theirs)
    accountant = pld.PLDAccountant()
    accountant.compose(dp.SelfComposedDpEvent(theirs, event.count))
    return accountant


@pytest.mark.parametrize("mu", [0.05, 0.25, 1.0, 3.0])
@pytest.mark.parametrize("count", [1, 7, 100])
def test_exact_branch_equals_pld(mu, count):
    event = GaussianEvent(math.sqrt(count) / mu, count)
    exact = oracle(event)
    for delta in (1e-3, 1e-6, 1e-9):
        expected = exact.get_epsilon(delta)
        assert epsilon_of([event], delta) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("noise", "rate", "count"), SAMPLED)
def test_renyi_branch_is_never_below_pld(noise, rate, count):
    event = PoissonSampledGaussianEvent(noise, rate, count)
    least = oracle(event)
    for delta in (1e-3, 1e-5, 1e-8):
        assert epsilon_of([event], delta) >= least.get_epsilon(delta)


# What dp-accounting's RDP accountant gives at delta 1e-5; broken orders matter in the last.
@pytest.mark.parametrize(
    ("place", "expected"), [(0, 2.1014), (1, 2.0131), (2, 2.5806), (3, 2.9807)]
)
def test_renyi_branch_is_as_tight_as_others(place, expected):
    assert epsilon_of([PoissonSampledGaussianEvent(*SAMPLED[place])], 1e-5) == pytest.approx(
        expected, rel=1.5e-3
    )


def test_pld_is_an_accountant_too():
    pytest.importorskip("dp_accounting", reason="extra privacy")
    steps = PoissonSampledGaussianEvent(1.0, 0.01, 1000)
    assert epsilon_of([steps], 1e-5, accountant="pld") == pytest.approx(1.8282, abs=2e-3)
    assert delta_of([steps], 1.8282, accountant="pld") == pytest.approx(1e-5, rel=1e-2)
    mixed = [GaussianEvent(4.0), PureDPEvent(0.3, 2), SetUnionEvent(9.0, 1e-7), steps]
    tight = epsilon_of(mixed, 1e-5, accountant="pld")
    assert 2.4 < tight < epsilon_of(mixed, 1e-5)


def test_pld_of_many_small_losses_is_not_lost_in_its_grid():
    pytest.importorskip("dp_accounting", reason="extra privacy")
    steps = [PoissonSampledGaussianEvent(14.5, 1.8e-4, 737)]
    # 0.00124 with a grid of 1e-6; the default grid of 1e-4 gives 0.0033.
    tight = epsilon_of(steps, 1e-8, accountant="pld")
    assert 0.0012 < tight < 0.0013
    assert tight < epsilon_of(steps, 1e-8)


@pytest.mark.parametrize("noise", [1.0, 4.0, 30.0])
@pytest.mark.parametrize("pure", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("count", [1, 40])
def test_mixed_compositions_are_never_below_pld(noise, pure, count):
    pytest.importorskip("dp_accounting", reason="extra privacy")
    mixed = [GaussianEvent(noise, count), PureDPEvent(pure, count)]
    least = epsilon_of(mixed, 1e-6, accountant="pld")
    # PLD rounds each loss up to its grid of 1e-4.
    assert epsilon_of(mixed, 1e-6) >= least - 2e-4 * count
    assert epsilon_of(mixed, 1e-6, accountant="rdp") >= epsilon_of(mixed, 1e-6)


def test_pld_refuses_what_has_no_loss_distribution():
    pytest.importorskip("dp_accounting", reason="extra privacy")
    with pytest.raises(
        ValueError, match=r"of ZCDPEvent\(rho=0.1, count=1\); take 'auto' or 'rdp'"
    ):
        epsilon_of([ZCDPEvent(0.1)], 1e-6, accountant="pld")


@pytest.mark.parametrize(
    ("accountant", "extra"),
    [("pld", "privacy"), ("opacus_rdp", "opacus"), ("opacus_prv", "opacus")],
)
def test_missing_extra_is_named_and_nothing_looser_takes_its_place(accountant, extra, monkeypatch):
    for package in ("dp_accounting", "opacus"):
        monkeypatch.setitem(__import__("sys").modules, package, None)

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

    monkeypatch.setattr("ecomrec._optional.import_module", missing)
    with pytest.raises(ImportError, match=rf"pip install 'ecomrec\[{extra}\]'"):
        epsilon_of(gaussian(1.0), 1e-6, accountant=accountant)


# ------------------------------------------------------------------ Renyi divergences


def whole_order(order, noise, rate):
    """The divergence at a whole order, as a finite sum (Mironov, Talwar and Zhang 2019)."""
    k = np.arange(order + 1)
    terms = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    terms = terms + (order - k) * math.log1p(-rate) + k * math.log(rate)
    return logsumexp(terms + (k * k - k) / (2 * noise**2)) / (order - 1)


@pytest.mark.parametrize(("noise", "rate"), [(0.5, 0.01), (1.0, 0.001), (3.0, 0.3), (40.0, 0.9)])
def test_integral_equals_the_sum_at_whole_orders(noise, rate, monkeypatch):
    orders = np.array([2.0, 3.0, 8.0, 33.0, 120.0])
    monkeypatch.setattr(_rdp, "ORDERS", orders)
    monkeypatch.setattr(_rdp, "_LESS_ONE", orders - 1)
    found = _rdp._sampled_gaussian.__wrapped__(noise, rate)
    expected = [whole_order(int(order), noise, rate) for order in orders]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epsilon", [1e-7, 0.01, 1.0, 30.0, 800.0])
def test_pure_events_have_the_divergence_of_randomised_response(epsilon):
    mpmath = pytest.importorskip("mpmath", reason="comes with dp-accounting")
    found = _rdp.rdp_of([PureDPEvent(epsilon)])
    with mpmath.workdps(800):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(epsilon)))
        for place in (0, 100, 200, 300, 420):
            a = mpmath.mpf(float(_rdp.ORDERS[place]))
            both = p**a * (1 - p) ** (1 - a) + (1 - p) ** a * p ** (1 - a)
            exact = float(mpmath.log(both) / (a - 1))
            assert found[place] == pytest.approx(exact, rel=1e-6)
    assert epsilon_of([PureDPEvent(epsilon)], 1e-9) <= epsilon
    assert epsilon_of([PureDPEvent(epsilon)], 0.0) == epsilon


@pytest.mark.parametrize("scale", [0.7, 2.0, 9.0])
def test_top_k_divergence_holds_for_the_enumerated_mechanism(scale):
    def orders_of(counts):
        """Log probabilities of all answers of k rounds of the exponential mechanism."""
        found = []
        for picks in itertools.permutations(range(len(counts)), 2):
            log, left = 0.0, list(range(len(counts)))
            for pick in picks:
                log += counts[pick] / scale - logsumexp([counts[i] / scale for i in left])
                left.remove(pick)
            found.append(log)
        return np.array(found)

    bound = _rdp.rdp_of([GumbelTopKEvent(scale, k=2)])
    event = GumbelTopKEvent(scale, k=2)
    assert event.rho == 2 / (8 * scale**2)
    counts, worst = np.array([3.0, 3.0, 2.0, 0.0]), 0.0
    for touched in itertools.product([0.0, 1.0], repeat=4):
        one, other = orders_of(counts), orders_of(counts + touched)
        for p, q in ((one, other), (other, one)):
            worst = max(worst, float((p - q).max()))
            for place in range(60, 330, 10):
                order = _rdp.ORDERS[place]
                divergence = logsumexp(order * p + (1 - order) * q) / (order - 1)
                assert divergence <= bound[place] + 1e-12
    assert 0.3 * event.k / scale < worst <= epsilon_of([event], 0.0)


def test_zcdp_is_never_below_the_gaussian_it_bounds():
    for noise in (0.5, 3.0, 40.0):
        bound = epsilon_of([ZCDPEvent(0.5 / noise**2)], 1e-6)
        exact = epsilon_of(gaussian(noise), 1e-6)
        rough = 0.5 / noise**2 + 2 * math.sqrt(0.5 / noise**2 * math.log(1e6))
        assert exact <= bound <= rough


@given(event=EVENTS, delta=DELTAS)
@settings(max_examples=40)
def test_renyi_bound_is_above_the_exact_one(event, delta):
    both = [GaussianEvent(7.0), event]
    assert epsilon_of(both, delta, accountant="rdp") >= epsilon_of(both, delta) * (1 - 1e-9)


# ------------------------------------------------------------------ order


@given(noise=NOISES, rate=RATES, count=COUNTS, factor=st.floats(1.001, 3.0), delta=DELTAS)
@settings(max_examples=40)
def test_more_steps_more_sampling_or_less_noise_cost_more(noise, rate, count, factor, delta):
    def cost(noise, rate, count):
        return epsilon_of([PoissonSampledGaussianEvent(noise, rate, count)], delta)

    base = cost(noise, rate, count) * (1 - 1e-9)
    assert cost(noise, rate, math.ceil(count * factor)) >= base
    assert cost(noise, min(1.0 - 1e-9, rate * factor), count) >= base
    assert cost(noise / factor, rate, count) >= base


@given(events=st.lists(EVENTS, min_size=1, max_size=3), more=EVENTS, delta=DELTAS)
@settings(max_examples=40)
def test_another_event_never_costs_less(events, more, delta):
    before, after = epsilon_of(events, delta), epsilon_of([*events, more], delta)
    assert after >= before * (1 - 1e-9)


@given(events=st.lists(EVENTS, min_size=1, max_size=3), delta=DELTAS)
@settings(max_examples=40)
def test_delta_is_the_inverse_of_epsilon(events, delta):
    epsilon = epsilon_of(events, delta)
    if epsilon < math.inf:
        assert delta_of(events, epsilon) <= delta * (1 + 1e-6)
    if 0.0 < epsilon < 100.0:
        assert delta_of(events, 0.999 * epsilon) > delta


def test_set_unions_use_up_delta():
    union = SetUnionEvent(8.0, delta=1e-6, count=2)
    # What is left of 1e-5 once both thresholds may fail.
    exact = epsilon_of([GaussianEvent(8.0, count=2)], 8e-6)
    assert epsilon_of([union], 1e-5) == pytest.approx(exact, rel=1e-12)
    assert delta_of([union], exact) == pytest.approx(1e-5)
    assert epsilon_of([union], 2e-6) == math.inf


# ------------------------------------------------------------------ extremes

SIZES = st.one_of(
    st.sampled_from([5e-324, 1e-310, 1e-160, 1e-154, 1e154, 1e160, 1e308]),
    st.floats(-323.0, 308.0).map(lambda power: 10.0**power or 5e-324),
)
SHARES = st.one_of(st.sampled_from([5e-324, 1e-300, 0.5, 1 - 1e-16, 1.0]), st.floats(1e-12, 1.0))
MANY = st.integers(1, 10**6)
EXTREME = st.one_of(
    st.builds(GaussianEvent, SIZES, MANY),
    st.builds(PoissonSampledGaussianEvent, SIZES, SHARES, MANY),
    st.builds(PureDPEvent, SIZES, MANY),
    st.builds(ZCDPEvent, SIZES, MANY),
    st.builds(GumbelTopKEvent, SIZES, MANY, MANY),
    st.builds(SetUnionEvent, SIZES, st.sampled_from([5e-324, 1e-300, 1e-20, 1e-3]), MANY),
)


@pytest.mark.parametrize("accountant", ["auto", "rdp"])
@given(
    events=st.lists(EXTREME, min_size=1, max_size=3),
    more=st.one_of(EXTREME, EVENTS),
    delta=st.sampled_from([0.0, 5e-324, 1e-300, 1e-6, 0.5, 1 - 1e-16]),
)
@settings(max_examples=150, deadline=None)
def test_no_event_however_large_or_small_takes_from_what_others_cost(
    accountant, events, more, delta
):
    before = epsilon_of(events, delta, accountant=accountant)
    after = epsilon_of([*events, more], delta, accountant=accountant)
    assert after >= before * (1 - 1e-9) >= 0.0
    for epsilon in (0.0, 1e-300, 1.0, 1e300, math.inf):
        found = delta_of([*events, more], epsilon, accountant=accountant)
        assert 1.0 >= found >= delta_of(events, epsilon, accountant=accountant) * (1 - 1e-6) >= 0


@pytest.mark.parametrize("accountant", ["auto", "rdp", "gdp", "pld", "opacus_rdp", "opacus_prv"])
@pytest.mark.parametrize("noise", [5e-324, 1e-310, 1e-170, 1e-3])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_hardly_any_noise_costs_more_than_any_budget(accountant, noise, rate):
    pytest.importorskip({"p": "dp_accounting", "o": "opacus"}.get(accountant[0], "math"))
    if accountant == "gdp" and rate < 1:
        return
    steps = PoissonSampledGaussianEvent(noise, rate, 3)
    assert epsilon_of([GaussianEvent(5.0), steps], 1e-6, accountant=accountant) > 1e5
    if not accountant.startswith("opacus"):
        assert delta_of([steps], 1.0, accountant=accountant) >= 1 - (1 - rate) ** 3


@pytest.mark.parametrize("event", [PureDPEvent(1e5), GumbelTopKEvent(1e-310, 5), ZCDPEvent(1e308)])
@pytest.mark.parametrize("accountant", ["auto", "rdp", "pld"])
def test_answers_that_hide_nothing_cost_more_than_any_budget(event, accountant):
    if accountant == "pld":
        pytest.importorskip("dp_accounting")
    assert epsilon_of([event], 1e-6, accountant=accountant) > 9e4
    assert delta_of([event], 1.0, accountant=accountant) == 1.0


def test_noise_beyond_all_size_is_noise_all_the_same():
    assert epsilon_of([GaussianEvent(1e300)], 0.0) == math.inf
    assert mu_of([GaussianEvent(1e300, 4)]) == pytest.approx(2e-300, rel=1e-15, abs=0)
    assert epsilon_of([GaussianEvent(1e300)], 5e-324) > 0.0
    assert GumbelTopKEvent(1e308, 5).rho == 0.0
    assert GumbelTopKEvent(1e-310, 5).rho == math.inf


def test_a_rare_sample_of_a_loud_release_is_counted():
    # q^a exp(a (a - 1) / (2 s^2)) at order a = 3, where q alone is below any double's exp(-700).
    rdp = _rdp.rdp_of([PoissonSampledGaussianEvent(0.03, 1e-308)])
    order = int(np.abs(_rdp.ORDERS - 3.0).argmin())
    a = _rdp.ORDERS[order]
    wanted = (a * math.log(1e-308) + a * (a - 1) / (2 * 0.03**2)) / (a - 1)
    assert rdp[order] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("mu", [1e13, 1 / 8.7e-17, 3e17, 1e25, 1e150, 1e160])
@pytest.mark.parametrize("delta", [1e-300, 2.8e-7, 0.4, 0.99])
def test_epsilon_of_a_mu_whose_square_is_all_that_counts(mu, delta):
    assert epsilon_from_mu(mu, delta) == pytest.approx(0.5 * mu * mu, rel=1e-10)


@pytest.mark.parametrize("epsilon", [1e15, 1e18, 1e40, 1e300])
def test_large_epsilons_have_their_noise(epsilon):
    assert epsilon_from_mu(mu_from_epsilon(epsilon, 1e-6), 1e-6) <= epsilon
    noise = calibrate_noise(epsilon, 1e-6, gaussian)
    assert noise == pytest.approx((2 * epsilon) ** -0.5, rel=1e-5)
    assert epsilon_of(gaussian(noise), 1e-6) <= epsilon


# ------------------------------------------------------------------ calibration


@pytest.mark.parametrize("epsilon", [1e-3, 0.5, 8.0, 100.0])
def test_calibration_is_the_inverse_for_one_release(epsilon):
    noise = calibrate_noise(epsilon, 1e-6, gaussian)
    assert noise == pytest.approx(1 / mu_from_epsilon(epsilon, 1e-6), rel=1e-8)
    assert epsilon * (1 - 1e-8) < epsilon_of(gaussian(noise), 1e-6) <= epsilon


@pytest.mark.parametrize("epsilon", [0.2, 3.0])
def test_calibration_is_the_inverse_for_a_training_run(epsilon):
    def run(noise):
        return [PoissonSampledGaussianEvent(noise, 0.02, 400), PureDPEvent(0.05)]

    noise = calibrate_noise(epsilon, 1e-6, run)
    assert epsilon * (1 - 1e-6) < epsilon_of(run(noise), 1e-6) <= epsilon


def test_no_privacy_asks_for_no_noise():
    assert calibrate_noise(math.inf, 1e-6, gaussian) == 0.0


def test_calibration_says_when_no_noise_is_enough():
    with pytest.raises(ValueError, match=r"no noise keeps epsilon 1 .* still cost 2"):
        calibrate_noise(1.0, 1e-6, lambda noise: [GaussianEvent(noise), PureDPEvent(2.0)])
    with pytest.raises(ValueError, match="cost the same whatever the noise"):
        calibrate_noise(1.0, 1e-6, lambda noise: [PureDPEvent(0.5)])


# ------------------------------------------------------------------ events and arguments


@given(event=EVENTS)
def test_events_survive_json(event):
    text = json.dumps(event_to_json(event), allow_nan=False)
    assert event_from_json(json.loads(text)) == event


def test_events_hold_python_numbers():
    event = GaussianEvent(np.float32(2.0), np.int64(3))
    assert (type(event.noise_multiplier), type(event.count)) == (float, int)
    assert event == GaussianEvent(2.0, 3)


@pytest.mark.parametrize(
    "values",
    [
        {"event": "LaplaceEvent", "count": 1},
        {"event": "GaussianEvent", "noise_multiplier": 1.0},
        {"event": "GaussianEvent", "noise_multiplier": 1.0, "count": 1, "sample_rate": 0.1},
        {"event": ["GaussianEvent"], "noise_multiplier": 1.0, "count": 1},
        ["GaussianEvent", 1.0, 1],
        "GaussianEvent",
        {},
    ],
)
def test_unknown_events_are_refused_from_json(values):
    with pytest.raises(ValueError, match=r"an event must be one of|has the fields"):
        event_from_json(values)


class CheaperEvent(GaussianEvent):
    """Looks like an event that accountants know."""


@pytest.mark.parametrize("event", ["a name", None, CheaperEvent(1.0), GaussianEvent])
def test_unknown_events_are_refused_by_accountants(event):
    for call in (
        lambda: epsilon_of([GaussianEvent(1.0), event], 1e-6),
        lambda: delta_of([event], 1.0),
        lambda: event_to_json(event),
        lambda: PrivacyAccountant().compose([event]),
    ):
        with pytest.raises(TypeError, match=r"events must be among .* got"):
            call()


@pytest.mark.parametrize(
    "bad",
    [0.0, -1.0, math.nan, math.inf, "1", None, True, 10**400, Fraction(1, 10**400)],
)
def test_values_that_are_no_noise_are_refused(bad):
    for kind, *values in (
        (GaussianEvent, bad),
        (PoissonSampledGaussianEvent, bad, 0.1),
        (PoissonSampledGaussianEvent, 1.0, bad),
        (PureDPEvent, bad),
        (ZCDPEvent, bad),
        (GumbelTopKEvent, bad, 3),
        (SetUnionEvent, bad, 1e-6),
        (SetUnionEvent, 1.0, bad),
    ):
        with pytest.raises(ValueError, match=rf"{kind.__name__}: \w+ must be a"):
            kind(*values)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True, None, 10**400])
def test_counts_are_positive_integers(bad):
    with pytest.raises(ValueError, match="count must be a positive integer"):
        GaussianEvent(1.0, bad)
    with pytest.raises(ValueError, match="k must be a positive integer"):
        GumbelTopKEvent(1.0, bad)


@pytest.mark.parametrize("bad", [-1e-9, 1.0, math.nan, "0", None])
def test_deltas_out_of_range_are_named(bad):
    for call in (epsilon_of, lambda events, delta: epsilon_from_mu(1.0, delta)):
        with pytest.raises(ValueError, match="delta must be a number from 0 to below 1"):
            call(gaussian(1.0), bad)
    with pytest.raises(ValueError, match="delta must be"):
        mu_from_epsilon(1.0, bad)


def test_epsilons_out_of_range_are_named():
    with pytest.raises(ValueError, match="epsilon must be a number that is not negative; got -1"):
        mu_from_epsilon(-1, 1e-6)
    with pytest.raises(ValueError, match="epsilon must be a number that is positive; got 0"):
        calibrate_noise(0, 1e-6, gaussian)
    with pytest.raises(ValueError, match="mu must be a number of at least 0; got nan"):
        epsilon_from_mu(math.nan, 1e-6)
    with pytest.raises(ValueError, match="delta must be above 0: Gaussian noise has no epsilon"):
        mu_from_epsilon(1.0, 0.0)


def test_accountants_refuse_what_they_cannot_count():
    with pytest.raises(ValueError, match=r"accountant must be one of .* got 'moments'"):
        epsilon_of(gaussian(1.0), 1e-6, accountant="moments")
    steps = PoissonSampledGaussianEvent(1.0, 0.01, 1000)
    for call in (epsilon_of, delta_of):
        with pytest.raises(ValueError, match="'gdp' counts Gaussian noise on all users only"):
            call([steps], 1e-6, accountant="gdp")
    with pytest.raises(ValueError, match="'opacus_rdp' gives no delta"):
        delta_of([steps], 1.0, accountant="opacus_rdp")
    with pytest.raises(
        ValueError, match="counts Gaussian events, sampled or not; got PureDPEvent"
    ):
        epsilon_of([PureDPEvent(1.0)], 1e-6, accountant="opacus_prv")


def test_accountant_adds_up():
    books = PrivacyAccountant()
    assert books.compose(gaussian(8.0)) is books
    books.compose([GaussianEvent(8.0), GumbelTopKEvent(50.0, 10)])
    assert books.epsilon(1e-6) == epsilon_of(books.events, 1e-6)
    assert books.delta(1.0) == delta_of(books.events, 1.0)
    assert repr(books) == "PrivacyAccountant('auto'): 3 events"
    assert PrivacyAccountant("gdp").epsilon(1e-6) == 0.0
    with pytest.raises(ValueError, match="accountant must be one of"):
        PrivacyAccountant("moments")


def test_bound_on_attacks_is_the_one_in_the_docs():
    # AUC <= Phi(mu / sqrt 2) at delta 1e-6.
    def auc(epsilon):
        return 0.5 * math.erfc(-mu_from_epsilon(epsilon, 1e-6) / 2)

    assert (auc(1.0), auc(8.0)) == pytest.approx((0.566, 0.861), abs=1e-3)


def test_log_delta_has_no_seam():
    # Where the formula changes form: at mu = 1e-5 and at a = 0.
    for x, mu, other in ((3.0, 1e-5 * (1 - 1e-9), 1e-5), (1.0, 2.0 - 1e-9, 2.0 + 1e-9)):
        near = _gdp.log_delta(x, mu), _gdp.log_delta(x, other)
        assert near[0] == pytest.approx(near[1], abs=1e-8)
