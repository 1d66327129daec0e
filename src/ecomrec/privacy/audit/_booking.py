"""What mechanism calls amount to, and whether a fit booked that."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecomrec.privacy.accounting.composition import (
    GaussianEvent,
    GumbelTopKEvent,
    PoissonSampledGaussianEvent,
    PrivacyEvent,
    PureDPEvent,
    SetUnionEvent,
    ZCDPEvent,
)
from ecomrec.privacy.audit._recording import Run

# Norms in which the sensitivity of a mechanism is meant; that of all others is Euclidean.
_NORMS = {
    "discrete_laplace": "l1",
    "exponential": "linf",
    "gumbel": "linf",
    "permute_and_flip": "linf",
}


def norm_of(params: Mapping[str, Any]) -> tuple[str, float]:
    """Return the norm that a mechanism's noise is made for, and the bound in it."""
    return _NORMS.get(params["mechanism"], "l2"), params.get("bound", 1)


def unbooked(run: Run) -> list[str]:
    """Return where the releases of a fit and the events of its report are not the same."""
    report = getattr(run.model, "privacy_report_", None)
    if report is None:
        return []
    made = [event_of(call.params) for call in run.calls]
    left = [event for event in made if event is not None]
    found: list[str] = []
    for event in single_events(report.events):
        same = [place for place, other in enumerate(left) if same_event(event, other)]
        if same:
            left.pop(same[0])
        else:
            found.append(f"{event} was booked and not released")
    if report.private:
        exact = [c.name for c, event in zip(run.calls, made, strict=True) if event is None]
        found += [f"{name} was released without noise" for name in exact]
    return found + [f"{event} was released and not booked" for event in left]


def event_of(params: Mapping[str, Any]) -> PrivacyEvent | None:
    """Return the event that a mechanism's parameters amount to; None without noise."""
    mechanism, bound = params["mechanism"], params.get("bound", 1)
    if not params.get("sigma", params.get("scale")):
        return None
    if mechanism == "gumbel":
        return GumbelTopKEvent(params["scale"], params["k"])
    if mechanism == "set_union":
        return SetUnionEvent(params["sigma"] / bound, params["delta"])
    if mechanism in _NORMS:
        ways = 2 if params.get("monotone") is False else 1
        return PureDPEvent(ways * bound / params["scale"])
    if "sample_rate" in params:
        return PoissonSampledGaussianEvent(params["sigma"] / bound, params["sample_rate"])
    return GaussianEvent(params["sigma"] / bound)


def single_events(events: Sequence[PrivacyEvent]) -> list[PrivacyEvent]:
    """Return events with a count as so many."""
    return [event for event in events for _ in range(event.count)]


def same_event(booked: PrivacyEvent, made: PrivacyEvent) -> bool:
    """Whether a booked event covers one that was made: the same, up to rounding."""
    if isinstance(booked, GumbelTopKEvent) and isinstance(made, GumbelTopKEvent):
        # A vocabulary may hold fewer items than the list that was booked.
        return made.k <= booked.k and math.isclose(made.scale, booked.scale, rel_tol=1e-9)
    (kind, mine), (other_kind, theirs) = _claims(booked), _claims(made)
    return kind == other_kind and np.allclose(mine, theirs, rtol=1e-9, atol=0)


def _claims(event: PrivacyEvent) -> tuple[str, list[float]]:
    """What an event says, beside how often: discrete Gaussian noise is booked by its rho."""
    if isinstance(event, ZCDPEvent):
        return "GaussianEvent", [1 / math.sqrt(2 * event.rho)]
    fields = dataclasses.asdict(event)
    return type(event).__name__, [float(v) for n, v in fields.items() if n != "count"]
