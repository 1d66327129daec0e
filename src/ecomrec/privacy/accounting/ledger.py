"""A privacy budget that outlives the process: charged before noise is drawn, never overspent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any, Self

from ecomrec.exceptions import BudgetExceededError, FileFormatError
from ecomrec.privacy.accounting import _ledger_file as files
from ecomrec.privacy.accounting._ledger_file import Budget, Content, LedgerEntry
from ecomrec.privacy.accounting.composition import (
    ACCOUNTANTS,
    GaussianEvent,
    PrivacyEvent,
    calibrate_noise,
    check_delta,
    check_epsilon,
    epsilon_from_mu,
    epsilon_of,
)
from ecomrec.privacy.accounting.events import check_events

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LedgerEntry", "PrivacyLedger"]


class PrivacyLedger:
    """The privacy budget of one set of users, and all that was charged to it.

    Models that are given the ledger charge it before they draw noise: a fit that crashes has been
    charged, a fit that would exceed the budget touches no data. Clones of a model and copies of it
    share the one ledger; so does what is loaded from a file or sent to another process, if the
    ledger has a path.

    Parameters
    ----------
    path : str, os.PathLike or None
        The file of the ledger. It is made, readable by its owner only, if it does not exist and
        a budget is given. None keeps the ledger in the memory of this process: it cannot be
        pickled, a forked child cannot charge it, and a model that is saved loses it, with a
        warning: fits of what is loaded are not counted.
    epsilon : float or None
        The budget: epsilon of all charges together. None for an existing ledger: what it says.
    delta : float or None
        The delta at which epsilon is counted, above 0 and below 1. None as above.
    accountant : str or None
        How charges are counted, as in `epsilon_of`. None is what the file says, "auto" for a new
        one.

    Attributes
    ----------
    path : str or None
        The absolute path.
    epsilon : float
        The budget.
    delta : float
        The delta of the budget.
    accountant : str
        How charges are counted.
    entries : tuple of LedgerEntry
        All charges, oldest first.
    events : tuple of PrivacyEvent
        The events of all charges.

    Raises
    ------
    ValueError
        If a new ledger is given no budget, a value is out of range, or the file holds another
        budget than the one given.
    FileFormatError
        If the file is no ledger, or was altered.
    OSError
        If the file cannot be made or read.

    Notes
    -----
    The file has one line of JSON for the budget and one for each charge, written under a lock and
    forced to the disk before `charge` returns. Each line carries a SHA-256 of itself and of the
    checksum before it: a line that was altered, removed or moved is found. Lines cut off at the
    end leave a valid shorter chain, which only processes that have seen them can notice: keep the
    file, like any budget, where only the owner can write. A last line that was never finished was
    never acknowledged, and is ignored.

    The budget cannot be changed. A larger one is a new ledger that starts with the old charges::

        PrivacyLedger(new, 8.0, 1e-6).charge(PrivacyLedger(old).events, label="before")

    Parameters of a Gaussian release may be chosen after the results of earlier ones were seen: the
    budget holds all the same (Smith and Thakurta 2022). For other releases that is proven with a
    Renyi divergence of one order (Feldman and Zrnic 2021), and not with the best of many, which
    is what counts here: plan those beforehand.

    References
    ----------
    Feldman and Zrnic, "Individual privacy accounting via a Renyi filter", NeurIPS 2021; Smith and
    Thakurta, "Fully adaptive composition for Gaussian differential privacy", 2022.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, PrivacyLedger
    >>> ledger = PrivacyLedger(None, epsilon=1.0, delta=1e-6)
    >>> round(ledger.charge([GaussianEvent(6.0)], label="item matrix, May"), 3)
    0.686
    >>> round(ledger.remaining(), 3)
    0.692
    >>> ledger.charge([GaussianEvent(4.0)], label="item matrix, June")
    Traceback (most recent call last):
    ecomrec.exceptions.BudgetExceededError: 'item matrix, June' would spend epsilon 1.294 ...
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        epsilon: float | None = None,
        delta: float | None = None,
        *,
        accountant: str | None = None,
    ) -> None:
        if epsilon is not None and check_epsilon(epsilon, positive=True) == float("inf"):
            raise ValueError("epsilon must be finite: it is the budget.")
        if delta is not None and check_delta(delta) == 0.0:
            raise ValueError("delta must be above 0; got 0.")
        if accountant is not None and accountant not in ACCOUNTANTS:
            raise ValueError(f"accountant must be one of {ACCOUNTANTS}; got {accountant!r}.")
        self.path = None if path is None else os.path.abspath(path)  # noqa: PTH100
        self._budget: Budget | None = None
        # The number of charges seen in the file, and the checksum of the last.
        self._seen = (0, "")
        budget = None
        if epsilon is not None and delta is not None:
            budget = Budget(float(epsilon), float(delta), accountant or "auto")
        if self.path is None:
            if budget is None:
                raise ValueError("a ledger in memory needs a budget: epsilon and delta.")
            self._budget = budget
            self._content = Content(budget, (), ())
            self._process, self._lock = os.getpid(), threading.Lock()
        elif budget is not None:
            files.create(self.path, budget)
        if self.path is not None and (budget is not None or os.path.exists(self.path)):  # noqa: PTH110
            self._check_budget(epsilon, delta, accountant)
        elif budget is None and (epsilon is not None or delta is not None):
            raise ValueError(f"there is no ledger {self.path}: a new one needs epsilon and delta.")

    def charge(self, events: Iterable[PrivacyEvent], *, label: str) -> float:
        """Book releases that are about to be made, or refuse them.

        Parameters
        ----------
        events : iterable of PrivacyEvent
            What will be released; at least one.
        label : str
            What for. It is stored as it is: no names of persons.

        Returns
        -------
        float
            The epsilon of all charges, this one included.

        Raises
        ------
        BudgetExceededError
            If all charges together would exceed the budget. Nothing is written then.
        FileFormatError
            If the file was altered.
        TypeError
            If an event is not known or the label is no string.
        ValueError
            If there is no event.
        OSError
            If the file is gone, closed (read-only) or cannot be written.
        """
        found = check_events(events)
        if not found:
            raise ValueError("a charge needs at least one event; got none.")
        if not isinstance(label, str):
            raise TypeError(f"label must be a string; got {label!r}.")
        if self.path is None:
            if os.getpid() != self._process:
                raise RuntimeError(
                    "this ledger lives in the memory of another process, which would not see the "
                    "charge. Give the ledger a path."
                )
            with self._lock:
                old = self._content
                total = self._total_with(found, old, label)
                entry = LedgerEntry(files.now(), label, found)
                self._content = old._replace(entries=(*old.entries, entry))
            return total
        with files.opened(self.path, os.O_RDWR) as file:
            content = self._seen_before(files.read(file, self.path))
            total = self._total_with(found, content, label)
            self._seen_before(files.append(file, content, label, found))
        return total

    def spent(self) -> float:
        """Return the epsilon of all charges, at the delta of the budget.

        Returns
        -------
        float
        """
        content = self._read()
        return _total(content.budget, content.events)

    def remaining(self) -> float:
        """Return the epsilon of the largest Gaussian release that the budget still allows.

        It is at the delta of the ledger, and more than the budget less what is spent, as epsilons
        do not add up. Releases that are sampled or not Gaussian may cost more.

        Returns
        -------
        float
            0 if nothing fits.
        """
        content = self._read()
        budget, events = content.budget, content.events
        if _total(budget, events) >= budget.epsilon:
            return 0.0
        try:
            noise = calibrate_noise(
                budget.epsilon,
                budget.delta,
                lambda noise: [*events, GaussianEvent(noise)],
                accountant=budget.accountant,
            )
        except ValueError:
            return 0.0
        return epsilon_from_mu(1.0 / noise, budget.delta)

    @property
    def epsilon(self) -> float:
        """The budget.

        Returns
        -------
        float
        """
        return self._known_budget().epsilon

    @property
    def delta(self) -> float:
        """The delta of the budget.

        Returns
        -------
        float
        """
        return self._known_budget().delta

    @property
    def accountant(self) -> str:
        """How charges are counted.

        Returns
        -------
        str
        """
        return self._known_budget().accountant

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """All charges, oldest first.

        Returns
        -------
        tuple of LedgerEntry
            With ``time`` (UTC), ``label`` and ``events``.
        """
        return self._read().entries

    @property
    def events(self) -> tuple[PrivacyEvent, ...]:
        """The events of all charges.

        Returns
        -------
        tuple of PrivacyEvent
        """
        return self._read().events

    def to_frame(self) -> pd.DataFrame:
        """Return the charges as a table.

        Returns
        -------
        pandas.DataFrame
            One row a charge, with ``time`` (UTC), ``label``, ``events`` (as text) and
            ``epsilon``: what was spent then, this charge included.
        """
        import pandas as pd

        content = self._read()
        entries = content.entries
        spent = [
            _total(content.budget, content._replace(entries=entries[: n + 1]).events)
            for n in range(len(entries))
        ]
        table = pd.DataFrame(
            {
                "time": [entry.time for entry in entries],
                "label": [entry.label for entry in entries],
                "events": ["; ".join(map(repr, entry.events)) for entry in entries],
                "epsilon": spent,
            }
        )
        return table.astype({"time": "datetime64[us, UTC]", "epsilon": "float64"})

    @property
    def _for_this_process(self) -> bool:
        return self.path is None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what a saved model keeps of the ledger: where it is.

        Parameters
        ----------
        deep : bool
            True gives nothing, so that models do not offer the path as a parameter of theirs.

        Returns
        -------
        dict
        """
        return {} if deep else {"path": self.path}

    def __sklearn_clone__(self) -> Self:
        return self

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[PrivacyLedger], tuple[str]]:
        if self.path is None:
            raise TypeError(
                "a ledger in memory cannot be pickled: its copies would spend the budget again. "
                "Give it a path."
            )
        return PrivacyLedger, (self.path,)

    def __repr__(self) -> str:
        if self._budget is None:
            return f"PrivacyLedger({self.path!r})"
        epsilon, delta, accountant = self._budget
        more = "" if accountant == "auto" else f", accountant={accountant!r}"
        return f"PrivacyLedger({self.path!r}, epsilon={epsilon!r}, delta={delta!r}{more})"

    def _repr_html_(self) -> str:
        table = self.to_frame()
        table["epsilon"] = table["epsilon"].map("{:.4g}".format)
        spent = float(table["epsilon"].iloc[-1]) if len(table) else 0.0
        head = f"{self!r}: epsilon {spent:.4g} of {self.epsilon:g} spent"
        return f"<p>{escape(head)}</p>" + table.to_html(index=False, border=0)

    def _total_with(self, events: tuple[PrivacyEvent, ...], content: Content, label: str) -> float:
        """Return what would be spent with more events, if that is within the budget."""
        budget = content.budget
        total = _total(budget, (*content.events, *events))
        if not total <= budget.epsilon:
            spent = _total(budget, content.events)
            raise BudgetExceededError(
                f"{label!r} would spend epsilon {total:.4g} of the {budget.epsilon:g} that "
                f"{self.path or 'the ledger'} allows at delta {budget.delta:g}, of which "
                f"{spent:.4g} is spent. Nothing was charged."
            )
        return total

    def _read(self) -> Content:
        if self.path is None:
            return self._content
        with files.opened(self.path, os.O_RDONLY) as file:
            return self._seen_before(files.read(file, self.path))

    def _seen_before(self, content: Content) -> Content:
        """Refuse a file that lost charges, or whose budget changed, since it was last read."""
        number, check = self._seen
        if number >= len(content.checks) or (check and content.checks[number] != check):
            raise FileFormatError(
                f"{self.path} had {number} charges when it was last read, and does not hold them "
                f"any more: {len(content.entries)} are left, or they are others."
            )
        if self._budget not in (None, content.budget):
            raise FileFormatError(
                f"{self.path} has the budget {content.budget}; it had {self._budget}."
            )
        self._budget = content.budget
        self._seen = (len(content.entries), content.checks[-1])
        return content

    def _known_budget(self) -> Budget:
        return self._read().budget if self._budget is None else self._budget

    def _check_budget(self, *given: Any) -> None:
        """Refuse a budget that is not that of the file."""
        found = self._read().budget
        for name, value in zip(Budget._fields, given, strict=True):
            if value is not None and value != getattr(found, name):
                raise ValueError(
                    f"{self.path} has {name} {getattr(found, name)!r}; got {value!r}. A budget "
                    "cannot be changed: leave it out, or start another ledger."
                )


def _total(budget: Budget, events: tuple[PrivacyEvent, ...]) -> float:
    return epsilon_of(events, budget.delta, accountant=budget.accountant)
