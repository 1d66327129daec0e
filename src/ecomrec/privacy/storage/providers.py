"""Where the keys of encrypted models come from: files, the environment, passphrases."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import unicodedata
from pathlib import Path
from typing import Protocol, Self

from ecomrec.exceptions import DecryptionError
from ecomrec.persistence import sync_folder
from ecomrec.privacy.storage._wrapping import (
    KEY_BYTES,
    Secret,
    check_key,
    derived,
    unwrapped_key,
    wrapped_key,
)

_BY_PASSPHRASE = "passphrase scrypt 17 8 1"
_SALT = 16


class KeyProvider(Protocol):
    """What `save_encrypted`, `load_encrypted` and `rewrap` ask of a key or a key service.

    Any object with these two methods will do: a dozen lines make one of a key management
    service. Every file has a data key of its own; the provider wraps that and nothing else, so
    its own key never leaves it.

    Examples
    --------
    A service that keeps the data keys itself:

    >>> from ecomrec.exceptions import DecryptionError
    >>> class Vault:
    ...     def __init__(self):
    ...         self.kept = {}
    ...     def wrap(self, data_key, context):
    ...         self.kept[context] = data_key
    ...         return "vault", context
    ...     def unwrap(self, key_id, wrapped, context):
    ...         if key_id != "vault" or wrapped != context or context not in self.kept:
    ...             raise DecryptionError("the vault has no such key.")
    ...         return self.kept[context]
    >>> vault = Vault()
    >>> vault.unwrap(*vault.wrap(bytes(32), b"context"), b"context") == bytes(32)
    True
    """

    def __init__(self) -> None: ...

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the name of the key used, and the wrapped data key.

        Parameters
        ----------
        data_key : bytes of length 32
        context : bytes of length 32
            Of the file, not secret. What is wrapped with it must unwrap with it only.

        Returns
        -------
        key_id : str
            Goes into the file as it is, to find the key again.
        wrapped : bytes
        """

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key, or raise `DecryptionError` if it cannot be.

        Parameters
        ----------
        key_id : str
        wrapped : bytes
        context : bytes of length 32

        Returns
        -------
        bytes of length 32
        """


class _OneKey:
    """A key that lies elsewhere and is read at each use."""

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Wrap the data key of a file.

        Parameters
        ----------
        data_key, context : bytes

        Returns
        -------
        key_id : str
        wrapped : bytes
        """
        secret = self._secret()
        key_id = _fingerprint(secret)
        return key_id, wrapped_key(secret, data_key, key_id, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key that was wrapped with this key.

        Parameters
        ----------
        key_id : str
        wrapped, context : bytes

        Returns
        -------
        bytes
        """
        secret = self._secret()
        own = _fingerprint(secret)
        if key_id != own:
            raise DecryptionError(
                f"it was encrypted with the key {key_id!r}; {self!r} holds {own!r}."
            )
        return unwrapped_key(secret, wrapped, key_id, context)

    def _secret(self) -> bytes:
        raise NotImplementedError


class KeyFile(_OneKey):
    """A file that holds one key for encrypted models.

    Parameters
    ----------
    path : str or path
        Holds 64 hexadecimal digits (as ``openssl rand -hex 32`` writes them; space around them
        does not matter), or 32 bytes that are no text. It is read at each use.

    Examples
    --------
    >>> import tempfile
    >>> from ecomrec.privacy import KeyFile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     key = KeyFile.create(f"{folder}/models.key")
    ...     key_id, wrapped = key.wrap(bytes(range(32)), b"context")
    ...     key.unwrap(key_id, wrapped, b"context") == bytes(range(32))
    True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Write a new random key to a file that its owner alone may read.

        Parameters
        ----------
        path : str or path
            There must be no file yet: a key that is overwritten takes its files along.

        Returns
        -------
        KeyFile
        """
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise FileExistsError(
                errno.EEXIST, "There is a file; keys are never overwritten", str(path)
            ) from None
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(Path(path).parent)
        return cls(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _secret(self) -> bytes:
        return _parsed_key(Path(self.path).read_bytes(), repr(self))


class KeyFromEnvironment(_OneKey):
    """An environment variable that holds one key for encrypted models.

    Parameters
    ----------
    variable : str
        Its value is 64 hexadecimal digits. It is read at each use.

    Examples
    --------
    >>> import os, secrets
    >>> from ecomrec.privacy import KeyFromEnvironment
    >>> os.environ["SHOP_MODEL_KEY"] = secrets.token_hex(32)
    >>> key = KeyFromEnvironment("SHOP_MODEL_KEY")
    >>> key_id, wrapped = key.wrap(bytes(range(32)), b"context")
    >>> key.unwrap(key_id, wrapped, b"context") == bytes(range(32))
    True
    >>> del os.environ["SHOP_MODEL_KEY"]
    """

    def __init__(self, variable: str) -> None:
        self.variable = variable

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.variable!r})"

    def _secret(self) -> bytes:
        value = os.environ.get(self.variable)
        if value is None:
            raise LookupError(
                f"the environment variable {self.variable!r} is not set. Set it to 64 hexadecimal "
                "digits, such as `openssl rand -hex 32` gives."
            )
        return _parsed_key(value.encode(), repr(self), raw=False)


class Passphrase(Secret):
    """A passphrase for encrypted models, made expensive to guess by scrypt.

    Parameters
    ----------
    text : str
        At least 12 characters, at least 5 of them different. Length is what counts: five random
        words are a good one. Different ways of writing the same characters in Unicode give the
        same key (NFKC), and count as one.

    Notes
    -----
    The key is scrypt's with n = 2**17, r = 8, p = 1 and 16 random bytes of salt in each file: each
    use, and each guess of somebody who has the file, costs about half a second and 134 MB. A
    random key (`KeyFile`) cannot be guessed at all, and is what servers should use.

    Examples
    --------
    >>> from ecomrec.privacy import Passphrase
    >>> Passphrase("correct horse battery staple")
    Passphrase(...)
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a passphrase is text; got {type(text).__name__}.")
        text = unicodedata.normalize("NFKC", text)
        if len(text) < 12 or len(set(text)) < 5:
            raise ValueError(
                "a passphrase needs at least 12 characters, 5 of them different; this one has "
                f"{len(text)}, {len(set(text))} of them different. Take five random words."
            )
        self._text = text

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Wrap the data key of a file.

        Parameters
        ----------
        data_key, context : bytes

        Returns
        -------
        key_id : str
        wrapped : bytes
        """
        salt = os.urandom(_SALT)
        found = wrapped_key(self._key(salt), data_key, _BY_PASSPHRASE, context)
        return _BY_PASSPHRASE, salt + found

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key that was wrapped with this passphrase.

        Parameters
        ----------
        key_id : str
        wrapped, context : bytes

        Returns
        -------
        bytes
        """
        if key_id != _BY_PASSPHRASE:
            raise DecryptionError(
                f"it was encrypted with the key {key_id!r}, not with a passphrase."
            )
        salt, rest = wrapped[:_SALT], wrapped[_SALT:]
        return unwrapped_key(self._key(salt), rest, key_id, context)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def _key(self, salt: bytes) -> bytes:
        text = self._text.encode("utf-8", "surrogatepass")
        return hashlib.scrypt(text, salt=salt, n=2**17, r=8, p=1, maxmem=2**28, dklen=KEY_BYTES)


def _parsed_key(content: bytes, what: str, *, raw: bool = True) -> bytes:
    """Read a key of 32 bytes from hexadecimal digits, or as it is."""
    if raw and len(content) == KEY_BYTES:
        key = content
    else:
        digits = content.strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{64}", digits):
            also = " or 32 bytes" if raw else ""
            raise ValueError(
                f"{what} must hold a key as 64 hexadecimal digits{also}; it has {len(content)} "
                "bytes of something else. `openssl rand -hex 32` makes one."
            )
        key = bytes.fromhex(digits.decode())
    check_key(key, what)
    return key


def _fingerprint(secret: bytes) -> str:
    """Name a key by what does not tell it."""
    return derived(secret, b"key id")[:8].hex()
