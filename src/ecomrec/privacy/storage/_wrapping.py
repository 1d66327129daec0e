"""What keys have in common: how they are checked, hidden, and used to wrap the keys of files."""

from __future__ import annotations

import hmac
import os
import string
from typing import Any, NoReturn, Self

from ecomrec._optional import require
from ecomrec.exceptions import DecryptionError

KEY_BYTES = 32
_MOST_KEY_BYTES = 64  # what BLAKE2b takes
_FEWEST_VALUES = 8  # of random bytes 32 have so few different values once in 10**30
_PRINTABLE = frozenset(string.printable.encode())  # 32 random bytes are all such once in 10**13
_NONCE = 12
_AEAD = "cryptography.hazmat.primitives.ciphers.aead"


class Secret:
    """What holds a key in memory: neither copied nor pickled."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __sklearn_clone__(self) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} is not pickled: its keys would lie in the file of a model. "
            "Keep them in a file or a key service of their own and read them where they are used."
        )


def check_key(key: Any, what: str) -> None:
    """Refuse what cannot be a random key, without showing it."""
    if not isinstance(key, bytes):
        raise TypeError(
            f"{what} must be bytes; got {type(key).__name__}. Make one with KeyRing.generate() or "
            "secrets.token_bytes(32)."
        )
    if not KEY_BYTES <= len(key) <= _MOST_KEY_BYTES:
        raise ValueError(
            f"{what} must have {KEY_BYTES} to {_MOST_KEY_BYTES} bytes; this one has {len(key)}. "
            "Make one with secrets.token_bytes(32)."
        )
    if len(set(key)) < _FEWEST_VALUES:
        raise ValueError(
            f"{what} has only {len(set(key))} different bytes, which no random key has. Make one "
            "with secrets.token_bytes(32)."
        )
    if all(byte in _PRINTABLE for byte in key):
        raise ValueError(
            f"{what} is text, not random bytes: it has less chance in it than its length says. "
            "Take Passphrase for something to remember, bytes.fromhex for hexadecimal digits, or "
            "make a key with KeyFile.create or secrets.token_bytes(32)."
        )


def derived(secret: bytes, purpose: bytes) -> bytes:
    """Derive a key for one purpose: HMAC-SHA256 of its name (tokens begin with no NUL)."""
    return hmac.digest(secret, b"\0ecomrec " + purpose, "sha256")


def wrapped_key(secret: bytes, data_key: bytes, key_id: str, context: bytes) -> bytes:
    """Encrypt a data key with AES-256-GCM, bound to the file and to the name of the key."""
    aead = require(_AEAD, "privacy")
    nonce = os.urandom(_NONCE)
    key = derived(secret, b"wrap")
    found: bytes = aead.AESGCM(key).encrypt(nonce, data_key, _bound(key_id, context))
    return nonce + found


def unwrapped_key(secret: bytes, wrapped: bytes, key_id: str, context: bytes) -> bytes:
    """Decrypt a data key, or say that this key does not fit."""
    aead = require(_AEAD, "privacy")
    invalid = require("cryptography.exceptions", "privacy").InvalidTag
    nonce, body = wrapped[:_NONCE], wrapped[_NONCE:]
    key = derived(secret, b"wrap")
    try:
        found: bytes = aead.AESGCM(key).decrypt(nonce, body, _bound(key_id, context))
    except (invalid, ValueError):
        raise DecryptionError(
            f"the key {key_id!r} does not open it: another key has that name, the passphrase is "
            "wrong, or the head of the file was changed."
        ) from None
    return found


def _bound(key_id: str, context: bytes) -> bytes:
    return key_id.encode("utf-8", "surrogatepass") + b"\0" + context
