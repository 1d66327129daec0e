"""The encrypted file: a fixed head, a wrapped key that can be exchanged, and chunks."""

from __future__ import annotations

import hmac
import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader
from typing import Any, BinaryIO

import numpy as np

from ecomrec import persistence
from ecomrec._optional import require
from ecomrec.exceptions import DecryptionError, FileFormatError
from ecomrec.privacy.storage._wrapping import KEY_BYTES, derived
from ecomrec.privacy.storage.providers import KeyProvider

CHUNK = 1 << 20
_FORMAT_VERSION = 1
_ALGORITHM = "AES-256-GCM-STREAM"
_MOST_CHUNK = 1 << 24
_MOST_HEAD = 1 << 16  # bytes of JSON before and after the wrapped key
_MOST_CHUNKS = 1 << 32
_PREFIX = 7
_TAG = 16
_MAC = 32
_START = struct.Struct(">8sHI")  # magic, version, length of the header
_SIZE = struct.Struct(">I")


@dataclass(frozen=True)
class Head:
    """The part of a file that never changes."""

    fixed: bytes
    chunk_size: int
    prefix: bytes

    @property
    def context(self) -> bytes:
        """What the wrapped key is bound to."""
        return sha256(self.fixed).digest()

    def nonce(self, number: int, last: bool) -> bytes:
        """Nonce of a chunk; 2**32 of them are more than 4 PB."""
        return self.prefix + _SIZE.pack(number) + bytes([last])


def new_head() -> Head:
    prefix = os.urandom(_PREFIX)
    text = _canonical({"algorithm": _ALGORITHM, "chunk_size": CHUNK, "nonce_prefix": prefix.hex()})
    start = _START.pack(persistence.ENCRYPTED, _FORMAT_VERSION, len(text))
    return Head(start + text, CHUNK, prefix)


def aead() -> Any:
    return require("cryptography.hazmat.primitives.ciphers.aead", "privacy").AESGCM


def check_provider(provider: Any) -> None:
    """Refuse what cannot wrap keys."""
    methods = (getattr(provider, name, None) for name in ("wrap", "unwrap"))
    if isinstance(provider, type) or not all(map(callable, methods)):
        what = provider.__name__ if isinstance(provider, type) else type(provider).__name__
        raise TypeError(
            f"key_provider must have wrap and unwrap, and be no class; got {what}. Use "
            "Passphrase('...'), KeyFile(path), KeyFromEnvironment('NAME') or KeyRing({...})."
        )


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def key_block(head: Head, data_key: bytes, provider: KeyProvider) -> bytes:
    """The replaceable part: which key wraps the data key, and proof that both belong here."""
    key_id, wrapped = provider.wrap(data_key, head.context)
    if not isinstance(key_id, str) or not isinstance(wrapped, bytes):
        raise TypeError(
            "wrap of a key provider must return a name as str and the wrapped key as bytes; got "
            f"{type(key_id).__name__} and {type(wrapped).__name__}."
        )
    text = _canonical({"key_id": key_id, "wrapped": wrapped.hex()})
    if len(text) > _MOST_HEAD:
        raise ValueError(f"the wrapped key has {len(wrapped)} bytes; at most 32 kB fit.")
    block = _SIZE.pack(len(text)) + text
    return block + _mac(head, block, data_key)


def _mac(head: Head, block: bytes, data_key: bytes) -> bytes:
    return hmac.digest(derived(data_key, b"header"), head.fixed + block, "sha256")


def chunks(parts: Iterable[bytes | memoryview], size: int) -> Iterator[tuple[bytes, bool]]:
    """Divide parts into chunks of one size; the last may be shorter, and says that it is last."""
    waiting = bytearray()
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), size):
            waiting += view[start : start + size]
            while len(waiting) > size:  # a full one may be the last
                yield bytes(waiting[:size]), False
                del waiting[:size]
    yield bytes(waiting), True


def read_head(file: BufferedReader) -> Head:
    """Read the fixed part; its version first, so that a later format is called that."""
    start = file.read(_START.size)
    if start[: len(persistence.ENCRYPTED)] != persistence.ENCRYPTED:
        raise FileFormatError(
            "it is no encrypted model. Name a file that save_encrypted wrote; ecomrec.load reads "
            "models that are not encrypted."
        )
    if len(start) < _START.size:
        raise _changed("it ends within its header")
    _, version, length = _START.unpack(start)
    if version != _FORMAT_VERSION:
        raise FileFormatError(
            f"it has format version {version}; this ecomrec reads version {_FORMAT_VERSION}. "
            "Install a newer ecomrec, unless the file was changed."
        )
    text, header = _read_json(file, length)
    match header:
        case {
            "algorithm": str(algorithm),
            "chunk_size": int(chunk_size),
            "nonce_prefix": str(prefix),
        } if len(header) == 3 and type(chunk_size) is int:
            pass
        case _:
            raise _changed("its header lacks its parts")
    if algorithm != _ALGORITHM or not 0 < chunk_size <= _MOST_CHUNK:
        raise _changed("its header asks for what this version does not know")
    return Head(start + text, chunk_size, _unhex(prefix, _PREFIX))


def read_key_block(file: BufferedReader) -> tuple[str, bytes, bytes, bytes]:
    """Read the replaceable part: name of the key, wrapped key, the bytes of both, and the MAC."""
    size = file.read(_SIZE.size)
    if len(size) < _SIZE.size:
        raise _changed("it ends before its key")
    text, block = _read_json(file, _SIZE.unpack(size)[0])
    match block:
        case {"key_id": str(key_id), "wrapped": str(wrapped)} if len(block) == 2:
            pass
        case _:
            raise _changed("its wrapped key lacks its parts")
    mac = file.read(_MAC)
    if len(mac) < _MAC:
        raise _changed("it ends after its key")
    return key_id, _unhex(wrapped), size + text, mac


def _read_json(file: BinaryIO, length: int) -> tuple[bytes, Any]:
    """Read canonical JSON: of one value there is one form, so no byte of it can change."""
    text = file.read(length) if length <= _MOST_HEAD else b""
    if not text or len(text) < length:
        raise _changed("its header has another length than it says")
    try:
        document = json.loads(text)
        same = isinstance(document, dict) and _canonical(document) == text
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise _changed("its header is not as it was written")
    return text, document


def _unhex(digits: str, n: int | None = None) -> bytes:
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        raise _changed("its header holds something that is no number") from None
    if found.hex() != digits or (n is not None and len(found) != n):
        raise _changed("its header holds a number of another form")
    return found


def opened_key(head: Head, block: tuple[str, bytes, bytes, bytes], provider: KeyProvider) -> bytes:
    """Unwrap the data key and check with it all that came before the payload."""
    key_id, wrapped, raw, mac = block
    data_key = provider.unwrap(key_id, wrapped, head.context)
    if not isinstance(data_key, bytes) or len(data_key) != KEY_BYTES:
        raise DecryptionError(
            f"{type(provider).__name__}.unwrap gave no data key of {KEY_BYTES} bytes."
        )
    if not hmac.compare_digest(mac, _mac(head, raw, data_key)):
        raise _changed("its header does not belong to its key")
    return data_key


def decrypted(file: BufferedReader, size: int, head: Head, data_key: bytes) -> np.ndarray:
    """Return the payload, every chunk verified, as uint8."""
    invalid = require("cryptography.exceptions", "privacy").InvalidTag
    cipher = aead()(derived(data_key, b"payload"))
    step = head.chunk_size + _TAG
    n_chunks = max(1, -(-size // step))
    rest = size - (n_chunks - 1) * step - _TAG
    if rest < 0 or (rest == 0 and n_chunks > 1):
        raise _changed("its payload is cut off")
    if n_chunks > _MOST_CHUNKS:
        raise _changed("its payload is longer than any that was written")

    def opened(number: int) -> np.ndarray:
        nonce = head.nonce(number, number == n_chunks - 1)
        try:
            return np.frombuffer(cipher.decrypt(nonce, file.read(step), head.fixed), np.uint8)
        except (invalid, ValueError):
            raise _changed(f"chunk {number + 1} of {n_chunks} does not verify") from None

    # The last first: it proves the length, and no memory is taken before.
    start = file.tell()
    file.seek(start + (n_chunks - 1) * step)
    last = opened(n_chunks - 1)
    file.seek(start)
    payload = np.empty((n_chunks - 1) * head.chunk_size + rest, dtype=np.uint8)
    payload[len(payload) - len(last) :] = last
    for number in range(n_chunks - 1):
        begin = number * head.chunk_size
        payload[begin : begin + head.chunk_size] = opened(number)
    return payload


def _changed(what: str) -> DecryptionError:
    return DecryptionError(
        f"{what}: the file was damaged or changed, or is not whole. Restore it from a copy."
    )
