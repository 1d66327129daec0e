"""Rules for constructor parameters: what is accepted, said in words, with values that are not."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ecomrec._rng import make_rng


@dataclass(frozen=True)
class Rule:
    """What a parameter may be.

    Attributes
    ----------
    words : str
        The rule as it reads after "must be".
    accepts : callable
    bad : tuple
        Values that break the rule, for tests.
    """

    words: str
    accepts: Callable[[Any], bool]
    bad: tuple[Any, ...]


def _or_none(rule: Rule, none: bool) -> Rule:
    if not none:
        return rule
    return Rule(f"None or {rule.words}", lambda v: v is None or rule.accepts(v), rule.bad)


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def integer(low: int, high: int | None = None, *, none: bool = False) -> Rule:
    """Accept integers from `low`, and to `high` if it is given."""
    upper = "" if high is None else f" and at most {high}"
    bad: tuple[Any, ...] = (low - 1, 1.5, "3", True)
    rule = Rule(
        f"an integer of at least {low}{upper}",
        lambda v: _is_integer(v) and v >= low and (high is None or v <= high),
        bad if high is None else (*bad, high + 1),
    )
    return _or_none(rule, none)


def real(low: float, high: float = math.inf, *, none: bool = False) -> Rule:
    """Accept finite numbers from `low` to `high`, both included."""
    upper = "" if math.isinf(high) else f" and at most {high:g}"
    bad: tuple[Any, ...] = (low - 1, math.nan, "1", True)
    rule = Rule(
        f"a finite number of at least {low:g}{upper}",
        lambda v: _is_real(v) and low <= v <= high,
        bad if math.isinf(high) else (*bad, high + 1),
    )
    return _or_none(rule, none)


def choice(*options: str, none: bool = False) -> Rule:
    """Accept one of some words."""
    listing = ", ".join(repr(option) for option in options)
    rule = Rule(f"one of {listing}", lambda v: isinstance(v, str) and v in options, ("?", 1))
    return _or_none(rule, none)


def boolean() -> Rule:
    """Accept True and False."""
    return Rule("True or False", lambda v: isinstance(v, bool), (1, "yes", None))


def text(*, none: bool = False) -> Rule:
    """Accept a string with something in it."""
    rule = Rule("a non-empty string", lambda v: isinstance(v, str) and v != "", ("", 3))
    return _or_none(rule, none)


def seed() -> Rule:
    """Accept what `make_rng` accepts."""
    return Rule(
        "None, a non-negative integer, a numpy Generator or a RandomState",
        lambda v: succeeds(make_rng, v),
        (-1, "0", 1.5),
    )


def jobs() -> Rule:
    """Accept a number of threads as joblib counts them."""
    return Rule(
        "None or an integer other than 0",
        lambda v: v is None or (_is_integer(v) and v != 0),
        (0, 1.5, "all"),
    )


def succeeds(function: Callable[[Any], object], value: Any) -> bool:
    """Whether a call goes through without a ValueError or TypeError."""
    try:
        function(value)
    except (ValueError, TypeError):
        return False
    return True


def check_params(owner: str, rules: Mapping[str, Rule], params: Mapping[str, Any]) -> None:
    """Raise for the first parameter that breaks its rule, naming the class, rule and value."""
    for name, rule in rules.items():
        if not rule.accepts(params[name]):
            raise ValueError(f"{owner}: {name} must be {rule.words}; got {params[name]!r}.")


def check_k(k: Any) -> int:
    """Return `k` as an int, or say what it must be."""
    if not _is_integer(k) or k < 1:
        raise ValueError(f"k must be a positive integer; got {k!r}.")
    return int(k)
