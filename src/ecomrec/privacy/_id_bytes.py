"""Ids as bytes, for keyed functions of them: no two ids are written the same."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from ecomrec.exceptions import DataError


def id_bytes(one: Any) -> bytes:
    """Write an id so that no other id is written the same: its type, then what it is."""
    if isinstance(one, (int, np.integer)) and not isinstance(one, bool):
        return b"i%d" % int(one)
    if isinstance(one, str):
        return b"s" + one.encode("utf-8", "surrogatepass")
    if isinstance(one, bytes):
        return b"b" + one
    if isinstance(one, uuid.UUID):
        return b"u" + one.bytes
    if isinstance(one, tuple):
        parts = [id_bytes(part) for part in one]
        return b"t" + b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    raise DataError(
        f"ids are str, int, bytes, UUID, or tuples of these; got a {type(one).__name__}."
    )
