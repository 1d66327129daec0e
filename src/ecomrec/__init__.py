"""Recommenders for shops that behave like scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecomrec._version import __version__

if TYPE_CHECKING:
    from ecomrec import (
        cf,
        coldstart,
        content,
        data,
        datasets,
        evaluation,
        explanations,
        hybrid,
        privacy,
        testing,
    )
    from ecomrec.base import load
    from ecomrec.data import EventWeights, Interactions

__all__ = [
    "EventWeights",
    "Interactions",
    "__version__",
    "cf",
    "coldstart",
    "content",
    "data",
    "datasets",
    "evaluation",
    "explanations",
    "hybrid",
    "load",
    "privacy",
    "testing",
]

_HOMES = {
    "EventWeights": "ecomrec.data",
    "Interactions": "ecomrec.data",
    "load": "ecomrec.base",
}


# Loaded on first use (PEP 562): importing ecomrec costs nothing and brings in no numba or pandas.
def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in __all__:
        return import_module(f"ecomrec.{name}")
    raise AttributeError(f"module 'ecomrec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
