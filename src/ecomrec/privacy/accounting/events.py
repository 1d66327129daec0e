"""What was released of private data, as frozen records that an accountant can count."""

from __future__ import annotations

import math
import numbers
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias


def _set(event: Any, name: str, low: float, high: float, words: str) -> None:
    """Keep a field as a Python number strictly between `low` and `high`, or refuse it."""
    value = getattr(event, name)
    number = as_float(value)
    if not low < number < high:
        raise ValueError(f"{type(event).__name__}: {name} must be {words}; got {value!r}.")
    object.__setattr__(event, name, number)


def as_float(value: Any) -> float:
    """A real number as a float, infinite beyond their range; NaN for anything else."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    try:
        return float(value) if real else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _set_integer(event: Any, name: str) -> None:
    value = getattr(event, name)
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or not 1 <= value < 2**63:
        raise ValueError(
            f"{type(event).__name__}: {name} must be a positive integer below 2**63; "
            f"got {value!r}."
        )
    object.__setattr__(event, name, int(value))


def _set_positive(event: Any, name: str) -> None:
    _set(event, name, 0.0, math.inf, "a positive finite number")


@dataclass(frozen=True)
class GaussianEvent:
    r"""A sum over all users was released with Gaussian noise.

    It is :math:`\mu`-GDP with :math:`\mu = \sqrt{\text{count}} / \text{noise multiplier}`.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation of the noise over the L2 sensitivity of the sum: the largest change of
        the sum when one user comes or goes.
    count : int
        Number of such releases.

    Raises
    ------
    ValueError
        If a value is not positive and finite.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, epsilon_of
    >>> round(epsilon_of([GaussianEvent(4.0)], delta=1e-5), 4)
    0.9263
    """

    noise_multiplier: float
    count: int = 1

    def __post_init__(self) -> None:
        _set_positive(self, "noise_multiplier")
        _set_integer(self, "count")


@dataclass(frozen=True)
class PoissonSampledGaussianEvent:
    """A sum over a secret sample of the users was released with Gaussian noise.

    Every user is in the sample with the same chance, by a coin of their own, drawn anew for each
    release; who was in it is never told. Shuffled batches of a fixed size are not such a sample.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation of the noise over the L2 sensitivity of the sum over the sample.
    sample_rate : float
        Chance of a user to be in the sample, above 0 and at most 1.
    count : int
        Number of such releases: the steps of a training run.

    Raises
    ------
    ValueError
        If a value is out of its range.

    Examples
    --------
    >>> from ecomrec.privacy import PoissonSampledGaussianEvent, epsilon_of
    >>> steps = PoissonSampledGaussianEvent(1.0, sample_rate=0.01, count=1000)
    >>> round(epsilon_of([steps], delta=1e-5), 2)
    2.1
    """

    noise_multiplier: float
    sample_rate: float
    count: int = 1

    def __post_init__(self) -> None:
        _set_positive(self, "noise_multiplier")
        above_one = math.nextafter(1.0, 2.0)
        _set(self, "sample_rate", 0.0, above_one, "a number above 0 and at most 1")
        _set_integer(self, "count")


@dataclass(frozen=True)
class PureDPEvent:
    """An answer of a mechanism that is epsilon-DP with delta 0, such as Laplace noise.

    Parameters
    ----------
    epsilon : float
        Its epsilon.
    count : int
        Number of such answers.

    Raises
    ------
    ValueError
        If a value is not positive and finite.

    Examples
    --------
    >>> from ecomrec.privacy import PureDPEvent, epsilon_of
    >>> epsilon_of([PureDPEvent(0.5, count=2)], delta=0.0)
    1.0
    """

    epsilon: float
    count: int = 1

    def __post_init__(self) -> None:
        _set_positive(self, "epsilon")
        _set_integer(self, "count")


@dataclass(frozen=True)
class ZCDPEvent:
    r"""An answer of a mechanism of which only a bound in zero-concentrated DP is known.

    Its Renyi divergence of order :math:`\alpha` is at most :math:`\rho \alpha` (Bun and Steinke
    2016).

    Parameters
    ----------
    rho : float
        The bound.
    count : int
        Number of such answers.

    Raises
    ------
    ValueError
        If a value is not positive and finite.

    Examples
    --------
    >>> from ecomrec.privacy import ZCDPEvent, epsilon_of
    >>> round(epsilon_of([ZCDPEvent(0.02)], delta=1e-6), 3)
    0.9
    """

    rho: float
    count: int = 1

    def __post_init__(self) -> None:
        _set_positive(self, "rho")
        _set_integer(self, "count")


@dataclass(frozen=True)
class GumbelTopKEvent:
    r"""The `k` largest of many counts of users were named, in order, by Gumbel noise.

    One user changes each count by at most 1, and all in the same direction, however many items
    they touched. The answer equals `k` rounds of the exponential mechanism, each of range
    :math:`1/b`, which makes :math:`\rho = k / (8 b^2)` and :math:`\epsilon \le k / b`.

    Parameters
    ----------
    scale : float
        Scale :math:`b` of the Gumbel noise, in users.
    k : int
        Number of items named. The counts themselves are not released.
    count : int
        Number of such answers.

    Raises
    ------
    ValueError
        If a value is not positive and finite.

    References
    ----------
    Durfee and Rogers, "Practical differentially private top-k selection with pay-what-you-get
    composition", NeurIPS 2019; Cesar and Rogers, "Bounding, concentrating, and truncating:
    unifying privacy loss composition for data analytics", ALT 2021.

    Examples
    --------
    >>> from ecomrec.privacy import GumbelTopKEvent, epsilon_of
    >>> round(epsilon_of([GumbelTopKEvent(12.0, k=20)], delta=1e-6), 2)
    0.83
    """

    scale: float
    k: int
    count: int = 1

    def __post_init__(self) -> None:
        _set_positive(self, "scale")
        _set_integer(self, "k")
        _set_integer(self, "count")

    @property
    def rho(self) -> float:
        """The zCDP bound of one such answer.

        Returns
        -------
        float
        """
        square = self.scale * self.scale
        return self.k / (8.0 * square) if square > 0.0 else math.inf


@dataclass(frozen=True)
class SetUnionEvent:
    """The items of some users were named: those whose noisy weight passed a threshold.

    Gaussian noise on the weights, and a chance of at most `delta` that an item is named which one
    user alone brought.

    Parameters
    ----------
    noise_multiplier : float
        Standard deviation of the noise over the L2 norm of the weights of one user.
    delta : float
        Chance that the threshold fails, above 0 and below 1.
    count : int
        Number of such releases.

    Raises
    ------
    ValueError
        If a value is out of its range.

    References
    ----------
    Gopi et al., "Differentially private set union", ICML 2020.

    Examples
    --------
    >>> from ecomrec.privacy import SetUnionEvent, epsilon_of
    >>> round(epsilon_of([SetUnionEvent(4.0, delta=5e-6)], delta=1e-5), 4)
    0.9684
    """

    noise_multiplier: float
    delta: float
    count: int = 1

    def __post_init__(self) -> None:
        _set_positive(self, "noise_multiplier")
        _set(self, "delta", 0.0, 1.0, "a number between 0 and 1")
        _set_integer(self, "count")


PrivacyEvent: TypeAlias = (
    GaussianEvent
    | PoissonSampledGaussianEvent
    | PureDPEvent
    | ZCDPEvent
    | GumbelTopKEvent
    | SetUnionEvent
)

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        GaussianEvent,
        PoissonSampledGaussianEvent,
        PureDPEvent,
        ZCDPEvent,
        GumbelTopKEvent,
        SetUnionEvent,
    )
}


def check_events(events: Any) -> tuple[PrivacyEvent, ...]:
    """Return events as a tuple; anything that no accountant knows is a TypeError."""
    found = tuple(events)
    for event in found:
        if _KINDS.get(type(event).__name__) is not type(event):
            raise TypeError(f"events must be among {sorted(_KINDS)}; got {event!r}.")
    return found


def event_to_json(event: PrivacyEvent) -> dict[str, Any]:
    """Return an event as values that JSON has.

    Parameters
    ----------
    event : PrivacyEvent
        One of the events of `ecomrec.privacy`.

    Returns
    -------
    dict
        The name of its class under ``"event"``, and its fields.

    Raises
    ------
    TypeError
        If it is no event.

    Examples
    --------
    >>> from ecomrec.privacy import GaussianEvent, event_to_json
    >>> event_to_json(GaussianEvent(4.0))
    {'event': 'GaussianEvent', 'noise_multiplier': 4.0, 'count': 1}
    """
    check_events([event])
    return {"event": type(event).__name__, **asdict(event)}


def event_from_json(values: Any) -> PrivacyEvent:
    """Return the event that `event_to_json` described.

    Parameters
    ----------
    values : dict
        As `event_to_json` returns it.

    Returns
    -------
    PrivacyEvent

    Raises
    ------
    ValueError
        If the event is not known, or its fields are not just those that it has.

    Examples
    --------
    >>> from ecomrec.privacy import event_from_json
    >>> event_from_json({"event": "PureDPEvent", "epsilon": 0.5, "count": 1})
    PureDPEvent(epsilon=0.5, count=1)
    """
    name = values.get("event") if isinstance(values, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"an event must be one of {sorted(_KINDS)}; got {values!r}.")
    given = {key: value for key, value in values.items() if key != "event"}
    expected = [field.name for field in fields(kind)]
    if sorted(given) != sorted(expected):
        raise ValueError(f"{name} has the fields {expected}; got {sorted(given)}.")
    event: PrivacyEvent = kind(**given)
    return event
