"""The sum of releases that no ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from ecomrec.privacy.accounting.composition import (
    PrivacyEvent,
    check_accountant,
    delta_of,
    epsilon_of,
)
from ecomrec.privacy.accounting.events import check_events


class PrivacyAccountant:
    """Adds up releases that no ledger keeps: for plans, and for mechanisms of your own.

    A `PrivacyLedger` is the one that survives the process and refuses to overspend.

    Parameters
    ----------
    accountant : str
        As in `epsilon_of`.

    Attributes
    ----------
    events : tuple of PrivacyEvent
        What was composed so far.

    Raises
    ------
    ValueError
        If the accountant is unknown.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, PrivacyAccountant
    >>> books = PrivacyAccountant()
    >>> books = books.compose([GaussianEvent(8.0)]).compose([GaussianEvent(8.0)])
    >>> round(books.epsilon(1e-6), 3)
    0.731
    """

    def __init__(self, accountant: str = "auto") -> None:
        check_accountant(accountant)
        self.accountant = accountant
        self.events: tuple[PrivacyEvent, ...] = ()

    def compose(self, events: Iterable[PrivacyEvent]) -> Self:
        """Count more releases.

        Parameters
        ----------
        events : iterable of PrivacyEvent
            What was released, or is planned.

        Returns
        -------
        PrivacyAccountant
            This one.

        Raises
        ------
        TypeError
            If an event is not known; nothing is counted then.
        """
        self.events += check_events(events)
        return self

    def epsilon(self, delta: float) -> float:
        """Return the epsilon of all that was composed.

        Parameters
        ----------
        delta : float
            From 0 to below 1.

        Returns
        -------
        float
        """
        return epsilon_of(self.events, delta, accountant=self.accountant)

    def delta(self, epsilon: float) -> float:
        """Return the delta of all that was composed.

        Parameters
        ----------
        epsilon : float
            At least 0.

        Returns
        -------
        float
        """
        return delta_of(self.events, epsilon, accountant=self.accountant)

    def __repr__(self) -> str:
        return f"PrivacyAccountant({self.accountant!r}): {len(self.events)} events"
