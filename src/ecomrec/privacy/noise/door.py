"""The one door: every release of a private statistic passes here, and may be recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
Recorder = Callable[[str, dict[str, Any], Any, Callable[[], Any]], Any]
_recorder: ContextVar[Recorder | None] = ContextVar("ecomrec_recorder", default=None)


@contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Let a recorder see every release, and answer in its place.

    Parameters
    ----------
    recorder : callable
        Gets the name of a release, its parameters, the exact statistic and a function that makes
        the release; returns what is released.
    """
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


def answer(name: str, params: dict[str, Any], value: Any, release: Callable[[], T]) -> T:
    """Return what a mechanism makes of an exact statistic: every release passes here.

    Parameters
    ----------
    name : str
    params : dict
        All that the mechanism depends on beside the statistic; public.
    value : Any
        The exact statistic.
    release : callable
        Draws the noise and returns what may be seen.
    """
    recorder = _recorder.get()
    return release() if recorder is None else recorder(name, params, value, release)
