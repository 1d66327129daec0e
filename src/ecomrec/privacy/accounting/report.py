"""What a private model promises, as a record that goes with it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from html import escape
from typing import Any

from ecomrec._version import __version__
from ecomrec.privacy.accounting.composition import check_delta, check_epsilon
from ecomrec.privacy.accounting.events import (
    PrivacyEvent,
    as_float,
    check_events,
    event_from_json,
    event_to_json,
)


@dataclass(frozen=True)
class PrivacyReport:
    """What a private model promises, and what it does not.

    Nothing in it depends on private rows: it follows from the parameters of the model and the
    public catalogue, and may be published with the model.

    Attributes
    ----------
    private : bool
        False for a model that was fitted without noise, with epsilon inf.
    epsilon : float
        Of this fit. What all fits on the same users spend together is in the `PrivacyLedger`.
    delta : float
        At which epsilon is counted.
    mu : float or None
        The parameter of Gaussian differential privacy, for releases that are all Gaussian and
        unsampled.
    events : tuple of PrivacyEvent
        What was released.
    accountant : str
        How epsilon was counted, as in `epsilon_of`.
    noise : str
        The law of the noise, such as "rounded_gaussian".
    secure_noise : bool
        Whether the noise came from the operating system. False for seeded noise, which anyone
        with the seed can subtract.
    not_covered : tuple of str
        What the promise does not hold for.
    advice : str or None
        What the model would rather have been.
    unit : str
        Whose data is protected as a whole: "user".
    adjacency : str
        How neighbouring data sets differ: "add_remove" one unit.
    library_version : str
        Of ecomrec, at the fit.

    Raises
    ------
    ValueError
        If a field cannot be what it says: a flag that is not True or False, an epsilon or mu below
        0, a delta of 1 or more, NaN, or something else where text belongs.
    TypeError
        If an event is not known.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, PrivacyReport
    >>> report = PrivacyReport(
    ...     private=True, epsilon=1.0, delta=1e-6, mu=0.2367, events=(GaussianEvent(4.225),),
    ...     accountant="auto", noise="rounded_gaussian", secure_noise=True,
    ...     not_covered=("tuning outside of the ledger",),
    ... )
    >>> PrivacyReport.from_json(report.to_json()) == report
    True
    """

    private: bool
    epsilon: float
    delta: float
    mu: float | None
    events: tuple[PrivacyEvent, ...]
    accountant: str
    noise: str
    secure_noise: bool
    not_covered: tuple[str, ...] = ()
    advice: str | None = None
    unit: str = "user"
    adjacency: str = "add_remove"
    library_version: str = __version__

    def __post_init__(self) -> None:
        kept: dict[str, Any] = {
            "events": check_events(self.events),
            "epsilon": check_epsilon(self.epsilon),
            "delta": check_delta(self.delta),
            "mu": None if self.mu is None else as_float(self.mu),
        }
        if kept["mu"] is not None and not kept["mu"] >= 0:
            raise ValueError(
                f"mu must be a number that is not negative, or None; got {self.mu!r}."
            )
        for name in ("private", "secure_noise"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False; got {getattr(self, name)!r}.")
        for name in ("accountant", "noise", "unit", "adjacency", "library_version"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text; got {getattr(self, name)!r}.")
        if self.advice is not None and not isinstance(self.advice, str):
            raise ValueError(f"advice must be text or None; got {self.advice!r}.")
        if not isinstance(self.not_covered, (list, tuple)) or not all(
            isinstance(text, str) for text in self.not_covered
        ):
            raise ValueError(f"not_covered must be a tuple of texts; got {self.not_covered!r}.")
        kept["not_covered"] = tuple(self.not_covered)
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    def to_json(self) -> str:
        """Return the report as JSON text; an infinite epsilon is the string ``"inf"``.

        Returns
        -------
        str
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["events"] = [event_to_json(event) for event in self.events]
        values["not_covered"] = list(self.not_covered)
        for name in ("epsilon", "mu"):
            if values[name] is not None and math.isinf(values[name]):
                values[name] = "inf"
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> PrivacyReport:
        """Return the report that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        PrivacyReport

        Raises
        ------
        ValueError
            If it is no JSON, does not have just the fields of a report, or one of them cannot be.
        """
        try:
            values: Any = json.loads(text)
        except RecursionError:
            values = None
        expected = [field.name for field in fields(cls)]
        if not isinstance(values, dict) or sorted(values) != sorted(expected):
            raise ValueError(f"a privacy report has the fields {expected}; got {text[:200]!r}.")
        if not isinstance(values["events"], list):
            raise ValueError(f"events must be a list; got {text[:200]!r}.")
        values["events"] = tuple(event_from_json(event) for event in values["events"])
        for name in ("epsilon", "mu"):
            if values[name] == "inf":
                values[name] = math.inf
        return cls(**values)

    def _repr_html_(self) -> str:
        shown = {
            "private": "yes" if self.private else "not private: fitted without noise",
            "epsilon": f"{self.epsilon:g}",
            "delta": f"{self.delta:g}",
            "mu": "" if self.mu is None else f"{self.mu:.4g}",
            "unit": f"one {self.unit}, {self.adjacency.replace('_', ' or ')}",
            "released": "\n".join(map(repr, self.events)),
            "counted by": self.accountant,
            "noise": self.noise + ("" if self.secure_noise else ", seeded: not secure"),
            "not covered": "\n".join(self.not_covered),
            "advice": self.advice or "",
            "ecomrec": self.library_version,
        }
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{escape(value).replace(chr(10), '<br>')}</td></tr>"
            for name, value in shown.items()
            if value
        )
        return f"<table><caption>PrivacyReport</caption>{rows}</table>"
