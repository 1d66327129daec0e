"""Recommenders made of recommenders, and what puts their answers in another order."""

from ecomrec._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {},
)
