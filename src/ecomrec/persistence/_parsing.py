"""Strict JSON, and the one way to say that a file is damaged."""

import json
from typing import Any

from ecomrec.exceptions import FileFormatError

_MOST = 500  # characters


def damaged(what: str) -> FileFormatError:
    """Return the error for a part that cannot be right, with what to do about it."""
    return FileFormatError(
        f"{shortened(what)}: the file is damaged. Restore it from a copy, or fit and save the "
        "model again."
    )


def shortened(text: object) -> str:
    """Return text for a message: what a file says may be of any length."""
    text = str(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def parse_json(text: str | bytes, part: str, kind: type) -> Any:
    """Parse JSON text that must hold a `kind`; a key that stands twice is refused."""
    try:
        text = text if isinstance(text, str) else text.decode()
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise damaged(f"the {part} is no valid JSON ({type(error).__name__})") from error
    if not isinstance(value, kind):
        raise damaged(f"the {part} is no JSON {kind.__name__}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
