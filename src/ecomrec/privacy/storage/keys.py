"""Rings of keys for tokens and files: epochs begin, and end with their key."""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from ecomrec.exceptions import DataError, DecryptionError
from ecomrec.persistence import replacing
from ecomrec.privacy.storage._wrapping import (
    KEY_BYTES,
    Secret,
    check_key,
    unwrapped_key,
    wrapped_key,
)

KEY_ID = r"[a-z0-9][a-z0-9_-]{0,31}"


class KeyRing(Secret):
    """Named keys, one of them active: for tokens, and for encrypted files.

    New tokens and files are made with the active key; older ones are read with the key that they
    name. `rotate` begins a new epoch, `delete` ends an old one: without its key, tokens can no
    longer be made or linked, and files no longer be opened, by anybody.

    Parameters
    ----------
    keys : mapping of str to bytes
        Keys of 32 to 64 random bytes by id. Ids are lower-case letters, digits, ``_`` and ``-``,
        at most 32 of them, and stand in tokens and files as they are.
    active : str
        Id of the key for what is made from now on.

    Raises
    ------
    ValueError
        A key is too short, is not random, or stands there twice; an id cannot be one.
    TypeError
        A key is no bytes object: text has less chance in it than its length says.

    See Also
    --------
    Pseudonymizer : Tokens in place of ids.
    save_encrypted : Models in files that nobody else reads.

    Notes
    -----
    `repr` and errors never show keys. A ring is not pickled, and copies and clones are the ring
    itself, so that a deleted key is gone in all of them. What is deleted may live on in memory
    until Python reuses it, and in backups of the key file until they expire.

    One key of a ring may serve both tokens and files: for files another key is derived from it.

    Examples
    --------
    >>> from ecomrec.privacy import KeyRing
    >>> ring = KeyRing.generate()
    >>> ring.rotate()
    'k2'
    >>> ring
    KeyRing(['k1', 'k2'], active='k2')
    >>> ring.delete("k1")
    >>> ring.rotate(), ring.ids
    ('k3', ['k2', 'k3'])
    """

    def __init__(self, keys: Mapping[str, bytes], *, active: str) -> None:
        self._keys: dict[str, bytes] = {}
        self._deleted: set[str] = set()
        for key_id, key in keys.items():
            self._put(key_id, key)
        self.active = ""
        self.activate(active)

    @classmethod
    def generate(cls, key_id: str = "k1") -> Self:
        """Make a ring of one new random key.

        Parameters
        ----------
        key_id : str

        Returns
        -------
        KeyRing
        """
        return cls({key_id: secrets.token_bytes(KEY_BYTES)}, active=key_id)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a ring that `write` wrote.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        KeyRing

        Raises
        ------
        DataError
            The file is no key ring; what it holds is not told.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="ascii"))
            keys = {key_id: bytes.fromhex(key) for key_id, key in document["keys"].items()}
            ring = cls(keys, active=document["active"])
            ring._deleted |= set(document["deleted"])
            whole = document["ecomrec_key_ring"] == 1
        except (ValueError, LookupError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise DataError(f"{path} is no key ring. Name a file that KeyRing.write wrote.")
        return ring

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the ring to a file that its owner alone may read.

        It is written under another name, synced and renamed. Keep it apart from what its keys
        protect, and out of the backups of that.

        Parameters
        ----------
        path : str or path
        """
        document = {
            "ecomrec_key_ring": 1,
            "active": self.active,
            "keys": {key_id: key.hex() for key_id, key in self._keys.items()},
            "deleted": sorted(self._deleted),
        }
        with replacing(path, mode=0o600) as draft:
            draft.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")

    @property
    def ids(self) -> list[str]:
        """Ids of the keys, in the order they came."""
        return list(self._keys)

    def add(self, key_id: str, key: bytes) -> None:
        """Add a key that was made elsewhere; the active key stays the same.

        Parameters
        ----------
        key_id : str
            One that no key had before.
        key : bytes
            32 to 64 random bytes.
        """
        self._put(key_id, key)

    def activate(self, key_id: str) -> None:
        """Use another key of the ring from now on.

        Parameters
        ----------
        key_id : str
        """
        self._secret(key_id)
        self.active = key_id

    def rotate(self, key_id: str | None = None) -> str:
        """Make a new random key and use it from now on; older ones stay.

        Parameters
        ----------
        key_id : str, optional
            By default the first of k1, k2, ... that no key had before.

        Returns
        -------
        str
            The id of the new key.
        """
        if key_id is None:
            taken = self._keys.keys() | self._deleted
            key_id = next(name for n in range(1, len(taken) + 2) if (name := f"k{n}") not in taken)
        self._put(key_id, secrets.token_bytes(KEY_BYTES))
        self.active = key_id
        return key_id

    def delete(self, key_id: str) -> None:
        """Forget a key for good, and never use its id again.

        Parameters
        ----------
        key_id : str
            Not the active one.
        """
        self._secret(key_id)
        if key_id == self.active:
            raise ValueError(f"{key_id!r} is the active key. Call rotate() first, then delete it.")
        del self._keys[key_id]
        self._deleted.add(key_id)

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Wrap the data key of a file with the active key.

        Parameters
        ----------
        data_key, context : bytes

        Returns
        -------
        key_id : str
        wrapped : bytes
        """
        return self.active, wrapped_key(self._secret(self.active), data_key, self.active, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key that was wrapped with one of the keys.

        Parameters
        ----------
        key_id : str
        wrapped, context : bytes

        Returns
        -------
        bytes
        """
        try:
            secret = self._secret(key_id)
        except LookupError as error:
            raise DecryptionError(str(error)) from None
        return unwrapped_key(secret, wrapped, key_id, context)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ids}, active={self.active!r})"

    def _put(self, key_id: str, key: bytes) -> None:
        if not isinstance(key_id, str) or not re.fullmatch(KEY_ID, key_id):
            raise ValueError(
                "key ids are 1 to 32 of a-z, 0-9, '_' and '-', and begin with a letter or digit; "
                f"got {key_id!r}."
            )
        if key_id in self._keys or key_id in self._deleted:
            raise ValueError(f"there is or was a key {key_id!r}. Give every key an id of its own.")
        check_key(key, f"key {key_id!r}")
        if any(hmac.compare_digest(key, other) for other in self._keys.values()):
            raise ValueError(f"key {key_id!r} is in the ring already, under another id.")
        self._keys[key_id] = key

    def _secret(self, key_id: str) -> bytes:
        """Return a key for use; it must not be kept."""
        if key_id in self._keys:
            return self._keys[key_id]
        fate = "was deleted" if key_id in self._deleted else "is not in this ring"
        raise LookupError(
            f"the key {key_id!r} {fate}; the ring has {self.ids}. What was made with it can "
            "neither be read nor linked without it."
        )
