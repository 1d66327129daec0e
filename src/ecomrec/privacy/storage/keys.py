"""Rings of keys for tokens and files: epochs begin, and end with their key."""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from ecomrec.exceptions import DataError, DecryptionError
from ecomrec.persistence import parse_json, replacing
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
            document = parse_json(Path(path).read_bytes(), "ring", dict)
            keys, deleted = document["keys"], document["deleted"]
            if (
                document.keys() != {"ecomrec_key_ring", "active", "keys", "deleted"}
                or document["ecomrec_key_ring"] != 1
                or not isinstance(deleted, list)
                or len(set(deleted)) != len(deleted)
                or not all(_is_id(key_id) for key_id in deleted)
                or keys.keys() & set(deleted)
            ):
                raise ValueError
            ring = cls(
                {i: bytes.fromhex(key) for i, key in keys.items()}, active=document["active"]
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            raise DataError(
                f"{path} is no key ring. Name a file that KeyRing.write wrote."
            ) from None
        ring._deleted |= set(deleted)
        return ring

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the ring to a file that its owner alone may read.

        It is written under another name, synced and renamed. Keep it apart from what its keys
        protect, and out of the backups of that.

        A file that is there is replaced only by what became of it: each key that it holds must be
        in this ring, or deleted in it, and what it has deleted must be deleted here too.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        DataError
            The file there is no key ring, or holds keys that this one does not know, such as
            those of another process that rotated meanwhile. It stays as it is.
        """
        document = {
            "ecomrec_key_ring": 1,
            "active": self.active,
            "keys": {key_id: key.hex() for key_id, key in self._keys.items()},
            "deleted": sorted(self._deleted),
        }
        with _alone_in(Path(path).parent), replacing(path, 0o600, self._check_follows) as draft:
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

    def _check_follows(self, path: Path) -> None:
        """Refuse to take the place of a file whose keys would be lost, or come back."""
        if not path.exists():
            return
        there = KeyRing.read(path)
        lost = [i for i, key in there._keys.items() if self._keys.get(i) != key]
        odd = sorted({*lost} - self._deleted | there._deleted - self._deleted)
        if odd:
            raise DataError(
                f"{path} holds or has deleted keys that this ring does not know as that: {odd}. "
                "It is not replaced. Read it again, repeat the change on what you read and write "
                "that; or move the file away, if none of its keys is needed any more."
            )

    def _put(self, key_id: str, key: bytes) -> None:
        if not _is_id(key_id):
            raise ValueError(
                "key ids are 1 to 32 of a-z, 0-9, '_' and '-', and begin with a letter or digit; "
                f"got {key_id!r}."
            )
        if key_id in self._keys or key_id in self._deleted:
            raise ValueError(f"there is or was a key {key_id!r}. Give every key an id of its own.")
        check_key(key, f"key {key_id!r}")
        padded = _padded(key)
        if any(hmac.compare_digest(padded, _padded(other)) for other in self._keys.values()):
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


def _is_id(key_id: Any) -> bool:
    return isinstance(key_id, str) and re.fullmatch(KEY_ID, key_id) is not None


def _padded(key: bytes) -> bytes:
    """Return a key as HMAC uses it: with NULs at its end, which make no difference."""
    return key.ljust(64, b"\0")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process writes a ring in a folder, where the system has such locks."""
    try:
        from fcntl import LOCK_EX, LOCK_UN, flock

        number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except (ModuleNotFoundError, OSError):
        yield
        return
    try:
        with suppress(OSError):  # some network file systems
            flock(number, LOCK_EX)
        yield
    finally:
        with suppress(OSError):  # said aloud: a child forked meanwhile holds the lock as well
            flock(number, LOCK_UN)
        os.close(number)
