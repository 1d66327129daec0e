"""Search spaces: from names with lists and ranges to what a trial is asked for."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_PLAIN = (type(None), bool, int, float, str)
_WORDS = ("int", "log")


@dataclass(frozen=True)
class Choices:
    """Values to choose among, by labels that a study can store."""

    values: dict[Any, Any]

    def suggest(self, trial: Any, name: str) -> Any:
        """Ask a trial for one of the values."""
        return self.values[trial.suggest_categorical(name, list(self.values))]

    def value(self, label: Any) -> Any:
        """Return what a label of a study stands for."""
        return self.values[label]

    def label(self, value: Any) -> Any:
        """Return what stands for a value in a study; LookupError if it is none of the choices."""
        label = _label(value)
        if label not in self.values:
            raise LookupError
        return label

    def labels(self) -> list[Any]:
        """Return the labels of all values."""
        return list(self.values)

    def size(self) -> float:
        """Return the number of values."""
        return len(self.values)

    def largest(self) -> Any:
        """Return the largest number among the values, 0 without any."""
        return max((v for v in self.values.values() if _is_number(v)), default=0)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; evenly over their logarithm if `log`."""

    low: Any
    high: Any
    whole: bool
    log: bool

    def suggest(self, trial: Any, name: str) -> Any:
        """Ask a trial for one of the numbers."""
        ask = trial.suggest_int if self.whole else trial.suggest_float
        return ask(name, self.low, self.high, log=self.log)

    def value(self, label: Any) -> Any:
        """Return the number as it is."""
        return label

    def label(self, value: Any) -> Any:
        """Return the number as it is; LookupError if it is outside, or none."""
        if not _is_number(value) or not self.low <= value <= self.high:
            raise LookupError
        if self.whole and value != int(value):
            raise LookupError
        return int(value) if self.whole else float(value)

    def labels(self) -> list[Any]:
        """Return all of the whole numbers."""
        return list(range(self.low, self.high + 1))

    def size(self) -> float:
        """Return how many numbers there are."""
        return self.high - self.low + 1 if self.whole else math.inf

    def largest(self) -> Any:
        """Return the upper end."""
        return self.high


Space = dict[str, Choices | Range]


def read_space(estimator: Any, space: Mapping[str, Any] | None) -> Space:
    """Check a space against an estimator; None is the estimator's own `tuning_space`.

    Parameters
    ----------
    estimator : estimator
    space : mapping of str to list or tuple, or None

    Returns
    -------
    dict of str to Choices or Range
        Sorted by name, so that the order in which a space is written changes nothing.
    """
    if space is None:
        space = own_space(estimator)
    elif not isinstance(space, Mapping):
        raise ValueError(
            "space must be a dict of parameter names and values, such as "
            f"{{'n_neighbors': [50, 100]}}; got {type(space).__name__}. The table goes to events=."
        )
    if not space:
        raise ValueError(
            f"there is nothing to tune: the space of {type(estimator).__name__} is empty. Pass "
            "space={'parameter': [value, value]}."
        )
    params = estimator.get_params()
    unknown = [name for name in space if name not in params]
    if unknown:
        raise ValueError(
            f"{type(estimator).__name__} has no parameter {unknown[0]!r}, which the space names. "
            f"Parameters: {', '.join(sorted(params))}."
        )
    read = {}
    for name in sorted(space):
        entry = space[name]
        read[name] = _range(name, entry) if isinstance(entry, tuple) else _choices(name, entry)
        _check_by_rule(estimator, params, name, read[name])
    return read


def own_space(estimator: Any) -> Mapping[str, Any]:
    """Return the `tuning_space` of an estimator, or of the last step of a pipeline."""
    if hasattr(estimator, "steps"):
        last, model = estimator.steps[-1]
        return {f"{last}__{name}": values for name, values in own_space(model).items()}
    space: Mapping[str, Any] = getattr(estimator, "tuning_space", {})
    return space


def owner_of(estimator: Any, params: Mapping[str, Any], name: str) -> tuple[Any, str]:
    """Return the part of an estimator that has a nested parameter, and its name there."""
    path, _, last = name.rpartition("__")
    return (params[path] if path else estimator), last


def _choices(name: str, entry: Any) -> Choices:
    if isinstance(entry, (str, bytes, Mapping)) or not hasattr(entry, "__iter__"):
        raise ValueError(
            f"space[{name!r}] must be a list of values, or a range such as (1, 100, 'log'); "
            f"got {entry!r}."
        )
    values = [one.item() if isinstance(one, np.generic) else one for one in entry]
    if not values:
        raise ValueError(f"space[{name!r}] is an empty list. Give it at least one value.")
    return Choices({_label(value): value for value in values})


def _label(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else repr(value)


def _range(name: str, entry: tuple[Any, ...]) -> Range:
    low, high, *words = (*entry, None, None)[: max(2, len(entry))]
    fault = ValueError(
        f"space[{name!r}] must be (low, high), with 'int' for whole numbers and 'log' for an even "
        f"spread of the logarithm behind it, such as (16, 256, 'int', 'log'); got {entry!r}. "
        "Values to choose among are a list."
    )
    if not (_is_number(low) and _is_number(high)) or any(word not in _WORDS for word in words):
        raise fault
    whole, log = "int" in words, "log" in words
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (log and low <= 0):
        raise fault
    if whole and (low != int(low) or high != int(high)):
        raise fault
    kind = int if whole else float
    return Range(kind(low), kind(high), whole, log)


def _check_by_rule(
    estimator: Any, params: Mapping[str, Any], name: str, entry: Choices | Range
) -> None:
    """Refuse what the parameter's own rule refuses, now and not in every trial."""
    owner, last = owner_of(estimator, params, name)
    rule = getattr(type(owner), "_param_rules", {}).get(last)
    if rule is None:
        return
    if isinstance(entry, Choices):
        tried, cure = list(entry.values.values()), ""
    else:
        between = entry.low + (entry.high - entry.low) / math.pi
        tried = [entry.low, entry.high] if entry.whole else [entry.low, entry.high, between]
        cure = "" if entry.whole else f" Whole numbers: ({entry.low:g}, {entry.high:g}, 'int')."
    for value in tried:
        if not rule.accepts(value):
            raise ValueError(
                f"space[{name!r}] gives {value!r}, but {last} of {type(owner).__name__} must be "
                f"{rule.words}.{cure}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
