"""Packages that load a name on first use (PEP 562)."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


def lazy_exports(
    package: str, modules: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for public names and their modules.

    Modules are those of the package; one that starts with a dot is its sibling's.
    """

    def load(name: str) -> Any:
        if name in modules:
            return getattr(import_module(f".{modules[name]}", package), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    names = sorted(modules)
    return load, lambda: names, names


class computed_once(Generic[T]):  # noqa: N801  # named as the decorator that it is
    """Compute an attribute on first use, as functools.cached_property does, but without a lock.

    Two threads may both compute; one result stays. The lock that Python 3.11 holds would be taken
    for ever in a child that is forked while another thread computes.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "computed_once[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "computed_once[T] | T":
        if instance is None:
            return self
        value: T = instance.__dict__.setdefault(self.name, self.function(instance))
        return value
