"""Accountants of other packages: dp-accounting's loss distributions, and Opacus' two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecomrec._optional import require
from ecomrec.privacy.accounting import _rdp
from ecomrec.privacy.accounting.events import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    PureDPEvent,
    SetUnionEvent,
)

# Beyond it exp(epsilon) is no double, and a loss distribution needs more memory than there is.
_MOST = 700.0


def pld_epsilon(events: Sequence[PrivacyEvent], delta: float) -> float:
    """Epsilon by privacy loss distributions, rounded to the safe side."""
    if _rough(events) > _MOST:
        return math.inf
    return float(_composed(events).get_epsilon_for_delta(delta))


def pld_delta(events: Sequence[PrivacyEvent], epsilon: float) -> float:
    """Delta by privacy loss distributions, without that of set unions."""
    if _rough(events) > _MOST:
        return 0.0 if math.isinf(epsilon) else 1.0
    return float(_composed(events).get_delta_for_epsilon(epsilon))


def opacus_epsilon(events: Sequence[PrivacyEvent], delta: float, accountant: str) -> float:
    """Epsilon by an accountant of Opacus, which knows Gaussian events only."""
    history = []
    for event in events:
        if isinstance(event, PoissonSampledGaussianEvent):
            history.append((event.noise_multiplier, event.sample_rate, event.count))
        elif isinstance(event, GaussianEvent | SetUnionEvent):
            history.append((event.noise_multiplier, 1.0, event.count))
        else:
            raise ValueError(
                f"accountant={accountant!r} counts Gaussian events, sampled or not; got "
                f"{event!r}. Take 'auto', 'rdp' or 'pld'."
            )
    accountants: Any = require("opacus.accountants", "opacus")
    if _rough(events) > _MOST:
        return math.inf
    kind = accountants.RDPAccountant if accountant == "opacus_rdp" else accountants.PRVAccountant
    made = kind()
    made.history = history
    with np.errstate(divide="ignore"):  # Opacus takes log(1 - q) where q may be 1
        return float(made.get_epsilon(delta=delta))


def _rough(events: Sequence[PrivacyEvent]) -> float:
    return _rdp.epsilon_of_rdp(_rdp.rdp_of(events), 1e-9)


def _composed(events: Sequence[PrivacyEvent]) -> Any:
    """Return the privacy loss distribution of a composition."""
    pld: Any = require("dp_accounting.pld.privacy_loss_distribution", "privacy")
    common: Any = require("dp_accounting.pld.common", "privacy")
    # Losses are rounded up to a grid, which must be fine beside what many small ones add up to.
    grid = {"value_discretization_interval": 1e-4 * min(1.0, max(1e-3, _rough(events)))}

    def pure(epsilon: float) -> Any:
        promise = common.DifferentialPrivacyParameters(epsilon, 0.0)
        return pld.from_privacy_parameters(promise, **grid)

    total = pld.identity(**grid)
    for event in events:
        times = event.count
        if isinstance(event, PoissonSampledGaussianEvent):
            one = pld.from_gaussian_mechanism(
                event.noise_multiplier, sampling_prob=event.sample_rate, **grid
            )
        elif isinstance(event, GaussianEvent | SetUnionEvent):
            one = pld.from_gaussian_mechanism(event.noise_multiplier, **grid)
        elif isinstance(event, PureDPEvent):
            one = pure(event.epsilon)
        elif isinstance(event, GumbelTopKEvent):
            one = pure(1.0 / event.scale)
            times *= event.k
        else:
            raise ValueError(
                f"no privacy loss distribution is known of {event!r}; take 'auto' or 'rdp'."
            )
        total = total.compose(one.self_compose(times) if times > 1 else one)
    return total
