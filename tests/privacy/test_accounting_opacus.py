"""The accountants of Opacus, where torch is installed."""

import pytest

pytest.importorskip("opacus", reason="extra opacus")

from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    PoissonSampledGaussianEvent,
    epsilon_of,
)

STEPS = [PoissonSampledGaussianEvent(1.0, 0.01, 1000)]


def test_opacus_rdp_agrees_with_ours():
    assert epsilon_of(STEPS, 1e-5, accountant="opacus_rdp") == pytest.approx(
        epsilon_of(STEPS, 1e-5, accountant="rdp"), rel=2e-3
    )


def test_opacus_prv_is_between_pld_and_rdp():
    found = epsilon_of(STEPS, 1e-5, accountant="opacus_prv")
    assert found == pytest.approx(1.8384, abs=2e-3)
    assert found < epsilon_of(STEPS, 1e-5)


@pytest.mark.parametrize("accountant", ["opacus_rdp", "opacus_prv"])
def test_unsampled_events_are_counted_as_samples_of_everyone(accountant):
    events = [GaussianEvent(2.0, count=4)]
    exact = epsilon_of(events, 1e-5)
    assert exact <= epsilon_of(events, 1e-5, accountant=accountant) < 1.1 * exact
