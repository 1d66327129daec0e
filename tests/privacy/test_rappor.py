import numpy as np
import pytest
from tests.privacy.laws import LEVEL, p_value

from ecomrec.privacy import RAPPOR

SECRETS = [bytes([n % 256, n // 256]) * 16 for n in range(20_000)]


def test_the_same_value_has_the_same_permanent_answer():
    protocol = RAPPOR(range(40), 1.0, p=0.0, q=1.0)
    first, second = (protocol.privatize([7], SECRETS[:1]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, protocol.privatize([7], SECRETS[1:2]))
    moved = protocol.privatize([8], SECRETS[:1])
    np.testing.assert_array_equal(
        first, RAPPOR(range(40), 1.0, p=0.0, q=1.0).privatize([7], SECRETS[:1])
    )
    assert (first != moved).sum() > 5


def test_values_added_to_the_domain_leave_permanent_answers_as_they_were():
    before = RAPPOR(range(10), 1.0, p=0.0, q=1.0).privatize([7], SECRETS[:1])
    after = RAPPOR(range(30), 1.0, p=0.0, q=1.0).privatize([7], SECRETS[:1])
    np.testing.assert_array_equal(after[:, :10], before)


def test_permanent_bits_are_turned_as_often_as_they_should():
    protocol, n = RAPPOR(range(4), 2.0, p=0.0, q=1.0), 20_000
    turned = n * protocol._limit / 2**64
    sums = protocol.privatize([2] * n, SECRETS).sum(axis=0)
    for at, found in enumerate(sums):
        expected = n - turned if at == 2 else turned
        assert p_value([found, n - found], [expected, n - expected]) > LEVEL


def test_a_single_report_costs_less_than_all_of_them():
    protocol = RAPPOR(range(4), 4.0)
    assert 0 < protocol.report_epsilon < 1
    assert RAPPOR(range(4), 4.0, p=0.0, q=1.0).report_epsilon == 4.0
    assert RAPPOR(range(4), 4.0, p=1e-9, q=1 - 1e-9).report_epsilon == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("p", "q"), [(0.5, 0.5), (0.7, 0.2), (-0.1, 0.5), (0.5, 1.1), (np.nan, 0.5)]
)
def test_report_rates_are_checked(p, q):
    with pytest.raises(ValueError, match="RAPPOR: p and q must satisfy 0 <= p < q <= 1; got"):
        RAPPOR(["a", "b"], 1.0, p=p, q=q)


def test_secrets_are_checked():
    protocol = RAPPOR(["a", "b"], 1.0)
    with pytest.raises(ValueError, match="secrets must be a list of one for each of 2 values"):
        protocol.privatize(["a", "b"], SECRETS[:1])
    with pytest.raises(ValueError, match="secrets must be a list of one for each of 1 values"):
        protocol.privatize(["a"], b"x" * 32)
    for short in (b"x" * 31, "x" * 32, None):
        with pytest.raises(ValueError, match="secrets must be bytes of length 32 or more"):
            protocol.privatize(["a"], [short])
