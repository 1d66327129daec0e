import itertools
import math
import os
import uuid
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.privacy.laws import LEVEL, p_value

from ecomrec.exceptions import DataError, UnknownIdError
from ecomrec.privacy import (
    RAPPOR,
    GeneralizedRandomizedResponse,
    OptimizedLocalHashing,
    OptimizedUnaryEncoding,
    SeededNoise,
    one_event,
)
from ecomrec.privacy.local import frequencies as local

EPSILONS = [0.01, 0.5, 1.0, 3.0, 20.0]
RANDOM = np.random.default_rng(0).bytes(32 * 20_000)
SECRETS = [RANDOM[at : at + 32] for at in range(0, len(RANDOM), 32)]
MAKERS = {
    "GRR": GeneralizedRandomizedResponse,
    "OUE": OptimizedUnaryEncoding,
    "OLH": OptimizedLocalHashing,
    "RAPPOR": partial(RAPPOR, question="colour"),
}


def privatize(protocol, values, source=None):
    if isinstance(protocol, RAPPOR):
        return protocol.privatize(values, SECRETS[: len(values)], source)
    return protocol.privatize(values, source)


def is_within(ratio, epsilon):
    """Whether a fraction is at most exp(epsilon); a float is the number that it is."""
    long = Context(prec=120)
    limit = long.exp(Decimal(epsilon))
    return long.divide(Decimal(ratio.numerator), Decimal(ratio.denominator)) <= limit


@pytest.fixture
def small_hashes(monkeypatch):
    """Hashes modulo 7: all 49 of them can be listed."""
    monkeypatch.setattr(local, "_PRIME", 7)


def bit_vectors(chances):
    """Vectors of bits with their probability, by the chance of each bit to be set."""
    for bits in itertools.product((False, True), repeat=len(chances)):
        parts = [p if bit else 1 - p for bit, p in zip(bits, chances, strict=True)]
        yield bits, math.prod(parts, start=Fraction(1))


def channel(protocol, value):
    """All reports on a value, and the exact probability of each on the grid of the sampler."""
    k, at = len(protocol.domain), protocol.domain.index(value)
    if isinstance(protocol, GeneralizedRandomizedResponse):
        p = Fraction(protocol._limit, 2**64)
        return {v: p if v == value else (1 - p) / (k - 1) for v in protocol.domain}
    if isinstance(protocol, OptimizedUnaryEncoding):
        q = Fraction(protocol._limit, 2**64)
        return dict(bit_vectors([Fraction(1, 2) if i == at else q for i in range(k)]))
    if isinstance(protocol, RAPPOR):
        turned = Fraction(protocol._limit, 2**64)
        zero, one = (Fraction(limit, 2**64) for limit in protocol._report_limits)
        permanent = [1 - turned if i == at else turned for i in range(k)]
        law = dict.fromkeys(itertools.product((False, True), repeat=k), Fraction(0))
        for kept, chance in bit_vectors(permanent):
            for bits, then in bit_vectors([one if bit else zero for bit in kept]):
                law[bits] += chance * then
        return law
    p, g, prime = Fraction(protocol._limit, 2**64), protocol.n_buckets, local._PRIME
    hashed = {}
    for a, b, said in itertools.product(range(prime), range(prime), range(g)):
        true = (a * at + b) % prime % g
        chance = p if said == true else (1 - p) / (g - 1)
        hashed[(a << 31) | b, said] = chance / prime**2
    return hashed


# Seven remainders are enough for the buckets of epsilon up to 1.
@pytest.mark.parametrize(
    ("name", "epsilon"),
    [(name, epsilon) for name in MAKERS for epsilon in EPSILONS if name != "OLH" or epsilon <= 1],
)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_no_report_tells_two_values_apart_better_than_epsilon(small_hashes, name, k, epsilon):
    protocol = MAKERS[name](range(k), epsilon)
    laws = [channel(protocol, value) for value in range(k)]
    largest = Fraction(0)
    for one, other in itertools.permutations(laws, 2):
        assert sum(one.values()) == 1
        largest = max(largest, *(one[report] / other[report] for report in one))
    assert is_within(largest, epsilon)
    reached = protocol.report_epsilon if name == "RAPPOR" else epsilon
    assert float(largest) == pytest.approx(math.exp(reached), rel=1e-6)  # and nothing is wasted


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_hashes_of_the_real_size_keep_epsilon(epsilon):
    # Given the function, a report is randomised response over its buckets.
    protocol = OptimizedLocalHashing(range(5), epsilon)
    p = Fraction(protocol._limit, 2**64)
    assert is_within(p * (protocol.n_buckets - 1) / (1 - p), epsilon)


@pytest.mark.parametrize("epsilon", [*EPSILONS, 100.0])
def test_permanent_answers_keep_epsilon_for_ever(epsilon):
    # Infinitely many reports show the permanent bits, no more: two of them differ by the value.
    turned = Fraction(RAPPOR(range(3), epsilon, question="q")._limit, 2**64)
    assert is_within(((1 - turned) / turned) ** 2, epsilon)
    assert turned <= Fraction(1, 2)


@pytest.mark.parametrize("epsilon", [0.5, 1.0])
@pytest.mark.parametrize("name", MAKERS)
def test_estimate_has_no_bias_and_the_variance_of_its_formula(small_hashes, name, epsilon):
    protocol = MAKERS[name](list("abc"), epsilon)
    p, q = protocol.rates()
    for at, value in enumerate(protocol.domain):
        law = channel(protocol, value)
        one_each = np.array([protocol.estimate(as_reports(protocol, r))["count"] for r in law])
        chances = np.array([float(chance) for chance in law.values()])
        mean = chances @ one_each
        np.testing.assert_allclose(mean, np.arange(3) == at, atol=1e-9)
        variance = chances @ (one_each - mean) ** 2
        expected = [protocol.standard_deviation(1, count=float(at == i)) ** 2 for i in range(3)]
        np.testing.assert_allclose(variance, expected, rtol=1e-9)
        # The same without any rounding: expected support is p for the value, q for the others.
        for i, other in enumerate(protocol.domain):
            support = sum(
                chance
                for report, chance in law.items()
                if protocol._support(as_reports(protocol, report))[0][i]
            )
            assert support == (p if other == value else q)


def as_reports(protocol, report):
    if isinstance(protocol, GeneralizedRandomizedResponse):
        return [report]
    if isinstance(protocol, OptimizedLocalHashing):
        return np.array([report], dtype=np.int64)
    return np.array([report], dtype=bool)


@pytest.mark.parametrize("name", MAKERS)
def test_reports_follow_the_channel(small_hashes, name):
    protocol, n = MAKERS[name](list("abc"), 1.0), 20_000
    law = channel(protocol, "b")
    made = privatize(protocol, ["b"] * n, SeededNoise(0))
    rows = made if isinstance(made, list) else [tuple(row) for row in made.tolist()]
    counts = dict.fromkeys(law, 0)
    for row in rows:
        counts[row] += 1
    assert p_value(list(counts.values()), [n * float(c) for c in law.values()]) > LEVEL


class Script:
    """Gives the words that it is given."""

    secure = False

    def __init__(self, *words):
        self.left = list(words)

    def words(self, n):
        taken, self.left = self.left[:n], self.left[n:]
        assert len(taken) == n, "no words left"
        return np.array(taken, dtype=np.uint64)


def test_words_at_the_limits_decide_as_the_channel_says():
    grr = GeneralizedRandomizedResponse(list("abc"), 1.0)
    assert grr.privatize(["b"], Script(grr._limit - 1, 0)) == ["b"]
    assert grr.privatize(["b"], Script(grr._limit, 0)) == ["a"]
    assert grr.privatize(["b"], Script(grr._limit, 2)) == ["c"]
    oue = OptimizedUnaryEncoding(list("abc"), 1.0)
    below, half = oue._limit - 1, 2**63
    assert oue.privatize(["a"], Script(half - 1, below, oue._limit)).tolist() == [
        [True, True, False]
    ]
    assert oue.privatize(["a"], Script(half, oue._limit, below)).tolist() == [[False, False, True]]
    rappor = RAPPOR(list("abc"), 2.0, question="q", p=0.0, q=1.0)
    highest = 2**64 - 1
    same = [rappor.privatize(["a"], SECRETS[:1], Script(*[w] * 3)).tolist() for w in (0, highest)]
    assert same[0] == same[1]


def test_known_limits():
    assert GeneralizedRandomizedResponse(["a", "b"], math.log(3))._limit == pytest.approx(
        0.75 * 2**64
    )
    assert OptimizedUnaryEncoding(["a", "b"], math.log(3))._limit == pytest.approx(0.25 * 2**64)
    assert RAPPOR(["a", "b"], 2 * math.log(3), question="q")._limit == pytest.approx(0.25 * 2**64)
    assert OptimizedLocalHashing(["a", "b"], math.log(3)).n_buckets == 4
    assert OptimizedLocalHashing(["a", "b"], 50.0).n_buckets == 2**20


@pytest.mark.parametrize(
    ("name", "n", "k", "expected"),
    [
        ("GRR", 100_000, 1000, 5822),
        ("OUE", 100_000, 1000, 607),
        ("OLH", 100_000, 1000, 607),
    ],
)
def test_deviations_of_the_textbook(name, n, k, expected):
    protocol = MAKERS[name](range(k), 1.0)
    assert protocol.standard_deviation(n) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("name", MAKERS)
def test_counts_come_back_within_their_standard_errors(name):
    rng, domain = np.random.default_rng(0), [f"c{n}" for n in range(12)]
    protocol = MAKERS[name](domain, 2.0)
    scores = []
    for seed in range(12):
        true = rng.multinomial(4000, rng.dirichlet(np.ones(12)))
        values = np.repeat(domain, true).tolist()
        found = protocol.estimate(privatize(protocol, values, SeededNoise(seed)))
        assert found["value"].tolist() == domain
        scores.append((found["count"] - true) / found["standard_error"])
    z = np.concatenate(scores)
    assert abs(z.mean()) < 0.4
    assert 0.85 < z.std() < 1.15
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("name", MAKERS)
def test_ids_of_every_kind(name):
    kinds: list[Any] = [
        [5, 3, 9], ["ü", "", "a"], [b"x", b"y", b"z"], [("a", 1), ("a", 2), ("b", 1)],
        [uuid.UUID(int=n) for n in (3, 1, 2)], np.array([4, 2, 7]),
    ]  # fmt: skip
    for domain in kinds:
        protocol = MAKERS[name](domain, 30.0)
        found = protocol.estimate(privatize(protocol, [domain[1], domain[1], domain[2]]))
        assert found["value"].tolist() == list(domain)
        if name == "GRR":
            np.testing.assert_allclose(found["count"], [0, 2, 1], atol=1e-9)


@pytest.mark.parametrize("name", MAKERS)
def test_default_source_is_the_operating_system(monkeypatch, name):
    asked, urandom = [], os.urandom

    def listening(n):
        asked.append(n)
        return urandom(n)

    monkeypatch.setattr(os, "urandom", listening)
    protocol = MAKERS[name](list("abc"), 1.0)
    privatize(protocol, ["a"] * 10)
    assert sum(asked) >= 80
    asked.clear()
    first, second = (np.array(privatize(protocol, ["a"] * 10, SeededNoise(0))) for _ in range(2))
    assert asked == []
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", MAKERS)
def test_values_outside_the_domain_are_counted_not_named(name):
    protocol = MAKERS[name](list("abc"), 1.0)
    with pytest.raises(UnknownIdError, match=r"^values has 2 that are not in the domain\.$"):
        privatize(protocol, ["a", "secret", "other"])


@pytest.mark.parametrize("name", MAKERS)
def test_domains_are_checked(name):
    with pytest.raises(ValueError, match="domain must have at least two values"):
        MAKERS[name](["a"], 1.0)
    with pytest.raises(ValueError, match="domain must not have a value twice"):
        MAKERS[name](["a", "b", "a"], 1.0)
    with pytest.raises(DataError, match="domain mixes types of ids"):
        MAKERS[name](["a", 1], 1.0)
    with pytest.raises(DataError, match="domain must be a list of ids"):
        MAKERS[name]("abc", 1.0)
    for kind in (set, frozenset):
        with pytest.raises(
            DataError, match=r"domain must be a list, as .* Write sorted\(domain\)"
        ):
            MAKERS[name](kind("abc"), 1.0)


@pytest.mark.parametrize("k", [2, 3, 50])
@pytest.mark.parametrize("name", MAKERS)
def test_an_epsilon_that_words_of_64_bits_cannot_keep_is_refused(name, k):
    with pytest.raises(ValueError, match="epsilon is too small for words of 64 bits") as caught:
        MAKERS[name](range(k), 1e-25)
    least = float(str(caught.value).split("take ")[1].split()[0])
    protocol = MAKERS[name](range(k), least)
    p, q = protocol.rates()
    assert p > q
    for count in (0.0, 100.0):
        assert 1e10 < protocol.standard_deviation(100, count) < math.inf


@pytest.mark.parametrize("epsilon", [np.int64(1), np.float32(1), np.float64(1), 1, Fraction(1)])
@pytest.mark.parametrize("name", MAKERS)
def test_epsilon_may_be_a_number_of_any_library(name, epsilon):
    assert MAKERS[name](range(3), epsilon) == MAKERS[name](range(3), 1.0)


@pytest.mark.parametrize(("n", "count"), [(-5, 0.0), (5, 10.0), (5, -1.0), (math.nan, 0.0)])
def test_counts_of_a_deviation_are_checked(n, count):
    with pytest.raises(ValueError, match="n_reports must be at least 0, and count from 0 to"):
        GeneralizedRandomizedResponse(["a", "b"], 1.0).standard_deviation(n, count)


@pytest.mark.parametrize("source", [0, 42, np.random.default_rng(0), SeededNoise])
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_source_of_noise_is_refused(name, source):
    with pytest.raises(TypeError, match="source must be None"):
        privatize(MAKERS[name](["a", "b"], 1.0), ["a"], source)
    with pytest.raises(TypeError, match="source must be None"):
        one_event([["a"]], 2, empty="-", source=source)


@pytest.mark.parametrize("epsilon", [0, -1, np.nan, np.inf, "1", None])
@pytest.mark.parametrize("name", MAKERS)
def test_epsilon_is_checked(name, epsilon):
    with pytest.raises(ValueError, match="epsilon must be a positive finite number"):
        MAKERS[name](["a", "b"], epsilon)


@pytest.mark.parametrize(
    ("name", "reports"),
    [
        ("OUE", np.zeros((2, 4), dtype=bool)),
        ("OUE", np.zeros((2, 3))),
        ("RAPPOR", np.zeros(3, dtype=bool)),
        ("OLH", np.zeros((2, 3), dtype=int)),
        ("OLH", np.zeros((2, 2))),
        ("OLH", np.array([[0, 4]])),
        ("OLH", np.array([[2**62, 0]])),
        ("OLH", np.array([[-1, 0]])),
    ],
)
def test_reports_of_other_forms_are_refused(name, reports):
    with pytest.raises(ValueError, match="reports"):
        MAKERS[name](["a", "b", "c"], 1.0).estimate(reports)
    with pytest.raises(UnknownIdError, match="1 that are not in the domain"):
        GeneralizedRandomizedResponse(["a", "b"], 1.0).estimate(["a", "q"])


def test_protocols_tell_their_parameters_and_not_their_domain():
    protocol = RAPPOR(range(100_000), 1.0, question="size")
    assert repr(protocol) == "RAPPOR(epsilon=1.0, question='size', p=0.5, q=0.75)"
    assert protocol == RAPPOR(range(100_000), 1.0, question="size")
    assert protocol != RAPPOR(range(100_000), 1.0, question="weight")


# One event of many


def test_one_event_of_a_history_is_drawn_evenly_with_places_left_empty():
    n = 20_000
    drawn = one_event([["a", "a", "b"]] * n, 5, empty="-", source=SeededNoise(0))
    counts = [drawn.count(value) for value in ("a", "b", "-")]
    assert p_value(counts, [0.4 * n, 0.2 * n, 0.4 * n]) > LEVEL
    drawn = one_event([list("abcdef")] * n, 4, empty="-", source=SeededNoise(1))
    counts = [drawn.count(value) for value in "abcdef"]
    assert p_value(counts, np.full(6, n / 6)) > LEVEL
    assert one_event([[]], 3, empty="-") == ["-"]


def test_counts_of_events_come_back_from_one_event_of_each_user():
    rng = np.random.default_rng(0)
    histories = [rng.choice(["x", "y", "z"], size=rng.integers(0, 6), p=[0.6, 0.3, 0.1]).tolist()
                 for _ in range(20_000)]  # fmt: skip
    true = [sum(history.count(value) for history in histories) for value in "xyz"]
    protocol = GeneralizedRandomizedResponse(["x", "y", "z", "none"], 3.0)
    drawn = one_event(histories, 5, empty="none", source=SeededNoise(2))
    reports = protocol.privatize(drawn, SeededNoise(3))
    found = protocol.estimate(reports, max_events=5)
    plain = protocol.estimate(reports)
    np.testing.assert_allclose(found["count"], 5 * plain["count"])
    off = np.abs(found["count"][:3] - true)
    assert (off < 4 * found["standard_error"][:3]).all()


@pytest.mark.parametrize("name", MAKERS)
def test_standard_errors_of_events_are_those_of_the_draw_and_of_the_noise(name):
    # All users have the value equally often; at epsilon 8 the draw is most of the noise.
    for epsilon in (1.0, 8.0):
        protocol, estimates = MAKERS[name](["x", "y", "none"], epsilon), []
        for seed in range(150):
            drawn = one_event([["x"]] * 400, 10, empty="none", source=SeededNoise(seed))
            reports = privatize(protocol, drawn, SeededNoise(10**6 + seed))
            estimates.append(protocol.estimate(reports, max_events=10).loc[0])
        counts, errors = (
            np.array([row[of] for row in estimates]) for of in ("count", "standard_error")
        )
        # The standard deviation of 150 numbers is off by 6 %: three times that.
        assert counts.std() == pytest.approx(errors.mean(), rel=0.18)


def test_standard_errors_of_events_are_not_too_small_where_users_differ():
    protocol, scores = GeneralizedRandomizedResponse(["x", "y", "none"], 8.0), []
    histories = [["x"]] * 200 + [["y"]] * 200
    for seed in range(150):
        drawn = one_event(histories, 10, empty="none", source=SeededNoise(seed))
        reports = protocol.privatize(drawn, SeededNoise(10**6 + seed))
        found = protocol.estimate(reports, max_events=10).loc[0]
        scores.append((found["count"] - 200) / found["standard_error"])
    assert 0.8 < np.std(scores) < 1.2


def test_histories_of_any_kind_and_no_text():
    histories = [pd.Series(["a", "b"], index=[5, 6]), np.array(["a"]), ("a", "b"), iter("ab")]
    drawn = one_event(histories, 1, empty="-")
    assert set(drawn) <= {"a", "b"}
    for bad in ("shoes", b"shoes", 7):
        with pytest.raises(TypeError, match="histories must be lists of events, one for each"):
            one_event([bad], 2, empty="-")


@pytest.mark.parametrize("max_events", [0, 1.5, True, None, 2**63])
def test_bounds_on_events_are_checked(max_events):
    with pytest.raises(ValueError, match=r"max_events must be a positive integer below 2\*\*63"):
        one_event([["a"]], max_events, empty="-")
    with pytest.raises(ValueError, match=r"max_events must be a positive integer below 2\*\*63"):
        GeneralizedRandomizedResponse(["a", "b"], 1.0).estimate(["a"], max_events=max_events)
