"""Ids out of logs."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from functools import cache
from typing import Any

from ecomrec.privacy._id_bytes import id_bytes
from ecomrec.privacy.exports._tables import listed_ids


def redact(value: Any, ids: Iterable[Any] | None = None) -> str:
    """Give a label in place of an id, or a text with labels in place of ids: for logs.

    Parameters
    ----------
    value : id, or str
        An id of any type; with `ids` a text, such as the message of an error.
    ids : list of ids, optional
        What to take out of the text: wherever one stands as a word or between quotes.

    Returns
    -------
    str
        Labels are ``id-`` and 8 hexadecimal digits. Within a process one id has one label, so
        that lines of a log can be put together; in the next process it has another.

    Raises
    ------
    DataError
        `ids` is a single id and not a list; the message does not show it.

    Notes
    -----
    The label is the start of HMAC-SHA256 under a random key that is never written. Two of n ids
    share a label with a chance of about n**2 / 2**33. Texts may tell of people in other words
    than their ids: this takes out the given ids, and nothing else.

    Examples
    --------
    >>> from ecomrec.privacy import redact
    >>> redact("ann@example.com")
    'id-...'
    >>> redact("no history for 'ann@example.com'", ids=["ann@example.com"])
    'no history for id-...'
    >>> redact(7) == redact(7), redact(7) == redact("7")
    (True, False)
    """
    if ids is None:
        return _label(value)
    if not isinstance(value, str):
        raise TypeError(f"with ids, value must be a text; got {type(value).__name__}.")
    labels: dict[str, str] = {}
    for one in listed_ids(ids, "ids"):
        for form in {str(one), repr(one)} - {""}:
            labels.setdefault(form, _label(one))
    if not labels:
        return value
    # The longest first: an id may be the beginning of another.
    forms = sorted(labels, key=len, reverse=True)
    found = re.compile("|".join(_as_word(form) for form in forms))
    return found.sub(lambda match: labels[match.group()], value)


def _label(one: Any) -> str:
    return f"id-{hmac.digest(_key(), id_bytes(one), 'sha256')[:4].hex()}"


@cache
def _key() -> bytes:
    return secrets.token_bytes(32)


def _as_word(form: str) -> str:
    """Match a text that is not part of a longer word."""
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
    return before + re.escape(form) + after
