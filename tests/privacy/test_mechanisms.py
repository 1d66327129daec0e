import itertools
import math
import os
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.special import logsumexp, ndtr
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
    PartitionSelector,
    PureDPEvent,
    ReportNoisyMax,
    SeededNoise,
    SetUnionEvent,
    SystemNoise,
    ZCDPEvent,
    epsilon_of,
    from_grid,
    to_grid,
)
from ecomrec.privacy._releases import recorded
from ecomrec.privacy.set_union import GRID, union_threshold

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


def test_choices_among_equals_are_even():
    values = np.zeros(4, dtype=int)
    for mechanism in (ExponentialMechanism(1.0), ReportNoisyMax(1.0)):
        found = np.bincount(draws(mechanism, values, 8000), minlength=4)
        assert p_value(found, np.full(4, 2000)) > LEVEL


def test_coins_beyond_doubt_are_decided_exactly(monkeypatch):
    values, mechanism = np.array([5, 9, 7]), ReportNoisyMax(0.5)
    expected = draws(mechanism, values, 200)
    monkeypatch.setattr("ecomrec.privacy._exact.DOUBT", 2.0**70)
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


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1", None, True])
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


# Set union


@pytest.mark.parametrize("max_items", [1, 3, 20, 1000])
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_what_one_user_alone_has_stays_hidden(epsilon, delta, max_items):
    # The exact law of the noise: a rounded Gaussian, and the farthest that blur can carry it.
    selector = PartitionSelector(epsilon, delta, max_items)
    sigma = GRID * selector.event.noise_multiplier
    threshold = math.ceil(GRID * selector.threshold)
    worst = 0.0
    for n in {1, 2, 3, 20, 1000} & set(range(1, max_items + 1)) | {max_items}:
        needed = threshold + 1 - selector.weight(n)
        above = ndtr(-(needed - 0.5 - sigma / 2048) / sigma)
        worst = max(worst, -math.expm1(n * math.log1p(-above)))
    assert worst <= selector.event.delta
    assert worst >= 0.98 * selector.event.delta  # no more noise and no higher than needed
    assert epsilon_of([selector.event], delta) == pytest.approx(epsilon, rel=1e-6)


def chances(weights, selector):
    """Probability of each set of ids, by the exact law of rounded Gaussian noise."""
    sigma = GRID * selector.event.noise_multiplier
    threshold = math.ceil(GRID * selector.threshold)
    passes = {i: ndtr(-(threshold + 0.5 - w) / sigma) for i, w in weights.items()}
    law = {}
    for kept in itertools.product((False, True), repeat=len(weights)):
        chance, names = 1.0, []
        for (name, passing), taken in zip(passes.items(), kept, strict=True):
            chance *= passing if taken else 1 - passing
            names += [name] * taken
        law[tuple(names)] = chance
    return law


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_whole_law_of_a_selection_is_private(epsilon):
    # Few items of each user, one of them new to everybody: hockey-stick divergences both ways.
    delta = 1e-2
    selector = PartitionSelector(epsilon, delta, 2)
    height = int(GRID * selector.threshold)
    for shared in (0, height // 2, height - GRID // 2, height, 2 * height):
        two, one = selector.weight(2), selector.weight(1)
        without = {"shared": shared} if shared else {}
        cases = [
            {"shared": shared + two, "new": two},
            {"shared": shared + one},
            {**without, "new": one},
            {**without, "new": two, "other": two},
        ]
        before = chances(without, selector)
        for with_user in cases:
            after = chances(with_user, selector)
            keys = set(before) | set(after)
            for p, q in ((after, before), (before, after)):
                excess = sum(
                    max(0.0, p.get(k, 0.0) - math.exp(epsilon) * q.get(k, 0.0)) for k in keys
                )
                assert excess <= delta


@given(st.integers(1, 2000))
def test_weights_of_one_user_are_within_the_unit_ball(n):
    selector = PartitionSelector(1.0, 1e-6, 2000)
    assert n * selector.weight(n) ** 2 <= GRID**2
    assert n * (selector.weight(n) + 1) ** 2 > GRID**2


def pairs_of(histories):
    rows = [(user, item) for user, items in histories.items() for item in items]
    return [user for user, _ in rows], [item for _, item in rows]


@given(
    st.dictionaries(st.integers(0, 9), st.lists(st.sampled_from("abcdefgh"), max_size=12)),
    st.integers(1, 5),
)
def test_weights_are_sums_of_each_users_own(histories, most):
    selector = PartitionSelector(1.0, 1e-6, most)
    users, items = pairs_of(histories)
    total = selector._weights(users, items, SeededNoise(0))
    sizes = [min(len(set(items)), most) for items in histories.values() if items]
    assert sum(total.values()) == sum(n * selector.weight(n) for n in sizes)
    assert set(total) <= set(items)
    for user, mine in histories.items():
        alone = selector._weights(*pairs_of({user: mine}), SeededNoise(0))
        assert sum(weight**2 for weight in alone.values()) <= GRID**2


def test_one_user_adds_just_their_own_weights():
    selector = PartitionSelector(1.0, 1e-6, 10)
    histories = {n: ["a", "b", "c"][: 1 + n % 3] for n in range(30)}
    with_user = selector._weights(*pairs_of({**histories, 99: ["b", "new", "b"]}), SeededNoise(0))
    without = selector._weights(*pairs_of(histories), SeededNoise(0))
    added = {name: with_user[name] - without.get(name, 0) for name in with_user}
    assert added == {"a": 0, "b": selector.weight(2), "c": 0, "new": selector.weight(2)}


def test_items_of_long_histories_are_drawn_evenly():
    selector = PartitionSelector(1.0, 1e-6, 2)
    items = [f"i{n}" for n in range(8)]
    users = np.repeat(np.arange(5000), 8)
    total = selector._weights(users, items * 5000, SeededNoise(3))
    counts = np.array([total[item] / selector.weight(2) for item in items])
    assert counts.sum() == 10_000
    assert p_value(counts, np.full(8, 1250)) > LEVEL


@pytest.mark.parametrize("leaver", range(6))
def test_items_of_one_user_are_drawn_without_a_look_at_others(leaver):
    selector = PartitionSelector(1.0, 1e-6, 3)
    rng = np.random.default_rng(0)
    histories = {f"u{n}": [f"i{m}" for m in rng.permutation(20)[: 2 + 3 * n]] for n in range(6)}
    whole = selector._weights(*pairs_of(histories), SeededNoise(0))
    user = f"u{leaver}"
    rest = {name: items for name, items in histories.items() if name != user}
    without = selector._weights(*pairs_of(rest), SeededNoise(0))
    alone = selector._weights(*pairs_of({user: histories[user]}), SeededNoise(0))
    names = set(whole) | set(without)
    assert {name: whole.get(name, 0) - without.get(name, 0) for name in names} == {
        name: alone.get(name, 0) for name in names
    }
    backwards = {name: items[::-1] for name, items in reversed(histories.items())}
    assert selector._weights(*pairs_of(backwards), SeededNoise(0)) == whole


def test_selection_names_what_many_have():
    users = [*range(500), *range(500), 3]
    items = ["cup"] * 500 + ["pan"] * 500 + ["secret"]
    selector = PartitionSelector(1.0, 1e-6, 5)
    assert selector.select(users, items) == ["cup", "pan"]
    assert selector.select(np.array(users), np.array(items)) == ["cup", "pan"]
    assert selector.select([], []) == []
    assert selector.release({7: 10**9, 3: 10**9, 5: 0, 4: -1}) == [3, 7]


def test_pairs_with_gaps_count_nothing():
    selector = PartitionSelector(1.0, 1e-6, 5)
    found = selector._weights(["a", None, "b"], ["x", "x", None], SystemNoise())
    assert found == {"x": GRID}


def test_selection_passes_one_door():
    seen = []

    def recorder(name, params, value, release):
        seen.append((name, params, value))
        return release()

    selector = PartitionSelector(1.0, 1e-6, 5)
    with recorded(recorder):
        selector.select([1, 2], ["a", "a"])
    ((name, params, value),) = seen
    assert name == "PartitionSelector"
    assert [part.tolist() for part in value] == [["a"], [2 * GRID]]
    known = {"mechanism", "sigma", "bound", "threshold", "delta", "max_items"}
    assert set(params) == known  # how many ids occur is private


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="users and items must be equally long; got 2 and 1"):
        PartitionSelector(1.0, 1e-6, 5).select([1, 2], ["a"])


@pytest.mark.parametrize(
    ("given_values", "words"),
    [
        ((0.0, 1e-6, 5), "epsilon must be a positive finite number"),
        ((1.0, 0.0, 5), "delta must be a positive finite number"),
        ((1.0, 1.0, 5), "delta must be below 1"),
        ((1.0, 1e-6, 0), "max_items_per_user must be a positive integer"),
        ((1.0, 1e-6, 2.5), "max_items_per_user must be a positive integer"),
    ],
)
def test_selector_parameters_are_checked(given_values, words):
    with pytest.raises(ValueError, match=f"PartitionSelector: {words}"):
        PartitionSelector(*given_values)


def test_threshold_grows_with_noise_items_and_smaller_delta():
    base = union_threshold(4.0, 1e-6, 10)
    assert union_threshold(5.0, 1e-6, 10) > base
    assert union_threshold(4.0, 1e-7, 10) > base
    assert union_threshold(4.0, 1e-6, 100) > base
    assert PartitionSelector(1.0, 1e-6, 10).event == SetUnionEvent(
        PartitionSelector(1.0, 1e-6, 10).event.noise_multiplier, 5e-7
    )
