"""What a private fit may spend: its plan from public parameters, its report, and searches."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    SetUnionEvent,
    ZCDPEvent,
    calibrate_noise,
    epsilon_of,
    mu_of,
)
from ecomrec.privacy.accounting.report import PrivacyReport

# Shares of the precision that a fit has: for the count of users, and for the vocabulary.
_COUNT_SHARE, _VOCABULARY_SHARE, _VOCABULARY_DELTA = 0.02, 0.2, 0.25
# A noise multiplier beyond which no shop has the users, and 64-bit sums no room.
MOST_NOISE = 2.0**20
_TUNERS = ("sklearn.model_selection.", "ecomrec.evaluation.")


def gaussians(
    relative: Mapping[str, float],
    counts: Mapping[str, int],
    *,
    epsilon: float,
    delta: float,
    noise: str,
    counts_users: bool,
    vocabulary: bool,
) -> dict[str, PrivacyEvent | None]:
    """Return Gaussian releases that spend epsilon in all, by name.

    Parameters
    ----------
    relative : mapping of str to float
        Noise multipliers of the releases, up to one common factor.
    counts : mapping of str to int
        How often each is made; once unless told.
    epsilon, delta : float
        Infinite epsilon: no noise, None for each release.
    noise : {"rounded_gaussian", "discrete_gaussian"}
    counts_users, vocabulary : bool
        Whether these are released too: ``"n_users"`` and ``"vocabulary"``.
    """
    times = {name: counts.get(name, 1) for name in relative}
    spent = sum(times[name] / multiplier**2 for name, multiplier in relative.items())
    relative = dict(relative)
    if counts_users:
        relative["n_users"], times["n_users"] = 1 / math.sqrt(_COUNT_SHARE * spent), 1
    if math.isinf(epsilon):
        return dict.fromkeys([*relative, "vocabulary"] if vocabulary else relative)

    def events(factor: float) -> dict[str, PrivacyEvent | None]:
        found: dict[str, PrivacyEvent | None] = {
            name: _event(noise, factor * multiplier, times[name])
            for name, multiplier in relative.items()
        }
        if vocabulary:
            multiplier = factor / math.sqrt(_VOCABULARY_SHARE * spent)
            found["vocabulary"] = SetUnionEvent(multiplier, delta * _VOCABULARY_DELTA)
        return found

    factor = calibrate_noise(
        epsilon, delta, lambda f: [event for event in events(f).values() if event is not None]
    )
    return events(factor)


def noise_of(event: PrivacyEvent | None) -> float:
    """Return the standard deviation of Gaussian noise beside a sensitivity of 1; 0 for no such."""
    if isinstance(event, ZCDPEvent):
        return 1 / math.sqrt(2 * event.rho)
    if isinstance(event, GaussianEvent | PoissonSampledGaussianEvent | SetUnionEvent):
        return event.noise_multiplier
    return 0.0


def check_noise(plan: Mapping[str, PrivacyEvent | None], most: float = MOST_NOISE) -> None:
    """Refuse a release with so much noise that nothing is left, or no sampler draws it."""
    for name, event in plan.items():
        if noise_of(event) > most:
            raise ValueError(
                f"the release {name!r} needs noise as large as {noise_of(event):.3g} users, above "
                f"{most:.3g}: nothing would be left to learn. Raise epsilon."
            )


def _event(noise: str, noise_multiplier: float, count: int) -> PrivacyEvent:
    """The event of Gaussian releases, as their noise is drawn."""
    if noise == "discrete_gaussian":
        return ZCDPEvent(1 / (2 * noise_multiplier**2), count)
    return GaussianEvent(noise_multiplier, count)


def report_of(
    events: Sequence[PrivacyEvent],
    delta: float,
    *,
    noise: str,
    secure: bool,
    counted: bool,
    not_covered: tuple[str, ...],
    advice: str | None = None,
) -> PrivacyReport:
    """Return what can be said of a fit; nothing in it depends on private data.

    Parameters
    ----------
    events : sequence of events
        What was released; none without noise.
    delta : float
    noise : str
    secure : bool
        The noise came from the operating system.
    counted : bool
        A ledger was charged.
    not_covered : tuple of str
        Beside releases that no ledger counts.
    advice : str or None
    """
    private = len(events) > 0
    alone = () if counted else ("other releases of the same data: no ledger counts them",)
    return PrivacyReport(
        private=private,
        epsilon=epsilon_of(events, delta) if private else math.inf,
        delta=delta,
        mu=mu_of(events) if private else None,
        events=tuple(events),
        accountant="auto",
        noise=noise if private else "none",
        secure_noise=private and secure,
        not_covered=alone + not_covered,
        advice=advice,
    )


def refuse_tuning(name: str, tuning: str, ledger: Any) -> None:
    """Refuse to be fitted many times by a search, unless each fit is charged to a ledger."""
    if tuning == "accounted":
        if ledger is None:
            raise ValueError(
                f"{name}: tuning='accounted' needs a ledger that is charged for each fit; got "
                "ledger=None."
            )
        return
    frame = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_TUNERS):
            raise ValueError(
                f"{name} is being fitted by a search or a cross-validation, and each fit spends "
                "epsilon. The defaults need no tuning; or pass tuning='accounted' and a ledger "
                "that is charged for every fit."
            )
        frame = frame.f_back  # type: ignore[assignment]
