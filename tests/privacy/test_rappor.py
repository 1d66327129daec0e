import numpy as np
import pytest
from tests.privacy.laws import LEVEL, p_value

from ecomrec.privacy import RAPPOR

RANDOM = np.random.default_rng(0).bytes(32 * 20_000)
SECRETS = [RANDOM[at : at + 32] for at in range(0, len(RANDOM), 32)]
CITIES = [f"city{n:02d}" for n in range(30)]


def permanent(domain, value, secret, epsilon=1.0, question="size"):
    """The permanent bits of a value, by the value of each bit."""
    protocol = RAPPOR(domain, epsilon, question=question, p=0.0, q=1.0)
    return dict(zip(protocol.domain, protocol.privatize([value], [secret])[0], strict=True))


def test_the_same_value_has_the_same_permanent_answer():
    protocol = RAPPOR(range(40), 1.0, question="size", p=0.0, q=1.0)
    first, second = (protocol.privatize([7], SECRETS[:1]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, protocol.privatize([7], SECRETS[1:2]))
    moved = protocol.privatize([8], SECRETS[:1])
    np.testing.assert_array_equal(
        first, RAPPOR(range(40), 1.0, question="size", p=0.0, q=1.0).privatize([7], SECRETS[:1])
    )
    assert (first != moved).sum() > 5


def test_the_order_and_growth_of_the_domain_leave_permanent_answers_as_they_were():
    # Or whoever sees two answers finds the value where they differ.
    for secret in SECRETS[:50]:
        wanted = permanent(CITIES, "city07", secret)
        for domain in (CITIES[::-1], ["aaa", *CITIES], [*CITIES, "zzz"], CITIES[5:10]):
            found = permanent(domain, "city07", secret)
            assert all(wanted[city] == found[city] for city in wanted if city in found)


def test_values_of_other_types_that_are_equal_have_the_same_permanent_answer():
    texts = [np.str_(city) for city in CITIES]
    pairs = [(np.int64(1), n) for n in range(20)]
    for secret in SECRETS[:10]:
        assert permanent(texts, "city07", secret) == permanent(CITIES, "city07", secret)
        assert permanent(pairs, (1, 3), secret) == permanent(
            [(1, n) for n in range(20)], (1, 3), secret
        )


@pytest.mark.parametrize("other", [{"question": "colour"}, {"epsilon": 4.0}])
def test_other_questions_and_epsilons_have_noise_of_their_own(other):
    # Both bits turned over together or neither is no more frequent than of independent ones.
    protocol, n = RAPPOR(range(4), 1.0, question="size", p=0.0, q=1.0), 20_000
    second = RAPPOR(range(4), **({"epsilon": 1.0, "question": "size"} | other), p=0.0, q=1.0)
    turned = [p._limit / 2**64 for p in (protocol, second)]
    first_bits, second_bits = (p.privatize([2] * n, SECRETS)[:, 0] for p in (protocol, second))
    counts = np.bincount(2 * first_bits + second_bits, minlength=4)
    law = np.outer(*([1 - share, share] for share in turned)).ravel()
    assert p_value(counts, n * law) > LEVEL


def test_two_yes_and_no_questions_with_one_secret_do_not_tell_on_each_other():
    rng, n = np.random.default_rng(0), 4000
    answers = rng.choice(["no", "yes"], (2, n))
    bits = [
        RAPPOR(["no", "yes"], 1.0, question=question, p=0.0, q=1.0).privatize(said, SECRETS[:n])
        for question, said in zip(("pets", "garden"), answers, strict=True)
    ]
    differ = (bits[0] != bits[1]).any(axis=1)
    # Were the noise the same, all of these would differ.
    assert 0.4 < (answers[0] != answers[1])[differ].mean() < 0.65


@pytest.mark.parametrize("question", ["", None, 3, b"size"])
def test_questions_are_texts(question):
    with pytest.raises(ValueError, match="RAPPOR: question must be a text with something in it"):
        RAPPOR(["a", "b"], 1.0, question=question)
    with pytest.raises(TypeError, match="question"):
        RAPPOR(["a", "b"], 1.0)


def test_permanent_bits_are_turned_as_often_as_they_should():
    protocol, n = RAPPOR(range(4), 2.0, question="size", p=0.0, q=1.0), 20_000
    turned = n * protocol._limit / 2**64
    sums = protocol.privatize([2] * n, SECRETS).sum(axis=0)
    for at, found in enumerate(sums):
        expected = n - turned if at == 2 else turned
        assert p_value([found, n - found], [expected, n - expected]) > LEVEL


def test_a_single_report_costs_less_than_all_of_them():
    protocol = RAPPOR(range(4), 4.0, question="size")
    assert 0 < protocol.report_epsilon < 1
    assert RAPPOR(range(4), 4.0, question="size", p=0.0, q=1.0).report_epsilon == 4.0
    assert RAPPOR(
        range(4), 4.0, question="size", p=1e-9, q=1 - 1e-9
    ).report_epsilon == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("p", "q"), [(0.5, 0.5), (0.7, 0.2), (-0.1, 0.5), (0.5, 1.1), (np.nan, 0.5), ("0", 1)]
)
def test_report_rates_are_checked(p, q):
    with pytest.raises(ValueError, match="RAPPOR: p and q must satisfy 0 <= p < q <= 1; got"):
        RAPPOR(["a", "b"], 1.0, question="size", p=p, q=q)


def test_secrets_are_checked():
    protocol = RAPPOR(["a", "b"], 1.0, question="size")
    with pytest.raises(ValueError, match="secrets must be a list of one for each of 2 values"):
        protocol.privatize(["a", "b"], SECRETS[:1])
    with pytest.raises(ValueError, match="secrets must be a list of one for each of 1 values"):
        protocol.privatize(["a"], b"x" * 32)
    for bad, error, message in (
        (SECRETS[0][:31], ValueError, "must have 32 to 64 bytes; this one has 31"),
        (bytes(32), ValueError, "has only 1 different bytes"),
        ("x" * 32, TypeError, "each of the secrets must be bytes; got str"),
        (None, TypeError, "each of the secrets must be bytes; got NoneType"),
    ):
        with pytest.raises(error, match=message):
            protocol.privatize(["a"], [bad])


def test_report_rates_that_are_one_on_64_bits_are_refused():
    with pytest.raises(ValueError, match=r"p and q must be at least 2\*\*-64 apart"):
        RAPPOR(["a", "b"], 1.0, question="size", p=0.0, q=1e-20)
    near = RAPPOR(["a", "b"], 1.0, question="size", p=0.5, q=0.5 + 2**-50)
    assert 0 < near.report_epsilon < 1e-12
    assert near.standard_deviation(10) < np.inf
