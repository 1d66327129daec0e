"""What a user of the command can put right, and how it is said."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(Exception):
    """An option or a file that cannot be used; the message is all that is shown."""


@contextmanager
def as_input_error(prefix: str = "") -> Iterator[None]:
    """Turn the library's refusal of a parameter or a table into an `InputError`."""
    try:
        yield
    except ValueError as error:
        raise InputError(f"{prefix}{error}") from error


def some_of(values: Iterable[object], limit: int = 5) -> str:
    """List the first few values for a message."""
    shown = [repr(value) for value in values]
    more = f" and {len(shown) - limit:,} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
