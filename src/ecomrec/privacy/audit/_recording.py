"""Fits that are watched: every release in order, what was said, and what was learned."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from ecomrec.privacy.noise.door import Recorder, recorded
from ecomrec.privacy.noise.samplers import SeededNoise

# Constructor parameters that an audit sets where they are not given.
_CHARGED = "ledger"
_SEED = "random_state"
_NOISE = "noise_source"


@dataclass(frozen=True, eq=False)
class Call:
    """One release: what went into the mechanism and what came out."""

    name: str
    params: dict[str, Any]
    value: Any
    output: Any
    in_place: bool = False


@dataclass(frozen=True, eq=False)
class Run:
    """One fit: its releases, its warnings, log lines and error, and the model if it has one."""

    calls: tuple[Call, ...]
    said: tuple[str, ...]
    failure: Exception | None
    model: Any
    diverged: str | None = None

    @property
    def error(self) -> str | None:
        """The failure in words."""
        failure = self.failure
        return None if failure is None else f"{type(failure).__name__}: {failure}"


class Diverged(BaseException):
    """Another release than the one recorded: nothing can be replayed from here on."""


class Record:
    """Write down every release."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(
        self, name: str, params: dict[str, Any], value: Any, release: Callable[[], Any]
    ) -> Any:
        """Make the release and keep copies of all of it."""
        before = copy.deepcopy(value)
        output = release()
        self.calls.append(
            Call(name, copy.deepcopy(params), before, copy.deepcopy(output), output is value)
        )
        return output


class Replay:
    """Write down every release and answer with what another fit got."""

    def __init__(self, recording: Sequence[Call]) -> None:
        self.recording = recording
        self.calls: list[Call] = []

    def __call__(
        self, name: str, params: dict[str, Any], value: Any, release: Callable[[], Any]
    ) -> Any:
        """Return the output of the release of the same number."""
        place = len(self.calls)
        if place >= len(self.recording) or self.recording[place].name != name:
            raise Diverged(f"release {place + 1} is {name!r}")
        was = self.recording[place]
        if was.in_place and np.shape(was.output) != np.shape(value):
            raise Diverged(f"release {place + 1}, {name!r}, has another shape")
        output = copy.deepcopy(was.output)
        self.calls.append(Call(name, copy.deepcopy(params), copy.deepcopy(value), output))
        if was.in_place:
            value[...] = output
            return value
        return output


def watch(
    estimator: Any, data: Any, fit_params: Mapping[str, Any], recorder: Record | Replay
) -> Run:
    """Fit a copy of an estimator and tell what happened; a failure is part of what happened."""
    model = auditable(estimator)
    failure = diverged = None
    with recorded(_as_recorder(recorder)), _listening() as said:
        try:
            model.fit(data, **fit_params)
        except Diverged as stop:
            diverged = str(stop)
        except Exception as raised:
            failure = raised
    fitted = model if failure is None and diverged is None else None
    return Run(tuple(recorder.calls), tuple(said), failure, fitted, diverged)


def auditable(estimator: Any, noise: Any = None) -> Any:
    """Return an unfitted copy that charges no ledger and repeats itself.

    Parameters of the name `ledger` become None, at any depth. `random_state` is set to 0 where it
    is None; `noise_source` to `noise`, or without that to a seeded source where it is none.
    """
    model = clone(estimator)
    changes: dict[str, Any] = {}
    for name, value in model.get_params(deep=True).items():
        last = name.rpartition("__")[2]
        if last == _CHARGED:
            changes[name] = None
        elif last == _SEED and value is None:
            changes[name] = 0
        elif last == _NOISE and (
            noise is not None or value is None or getattr(value, "secure", False)
        ):
            changes[name] = SeededNoise(0) if noise is None else noise
    return model.set_params(**changes)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect warnings and the library's log lines."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"log: {record.getMessage()}")

    logger, ear = logging.getLogger("ecomrec"), Ear()
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield said
            said += [f"{w.category.__name__}: {w.message}" for w in warned]
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)


def _as_recorder(recorder: Record | Replay) -> Recorder:
    return recorder
