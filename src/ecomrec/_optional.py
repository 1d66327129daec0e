"""Optional packages, imported where they are used, with a message that says what to install."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of ecomrec brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = module.split(".")[0]
        if error.name != missing:
            raise
        raise ImportError(
            f"{missing} is needed here and is not installed. Run: pip install 'ecomrec[{extra}]'"
        ) from error
