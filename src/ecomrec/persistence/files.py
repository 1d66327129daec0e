"""One safetensors file, written whole or not at all and read with every size checked."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from ecomrec.exceptions import FileFormatError
from ecomrec.persistence._header import DTYPES, MAX_HEADER, Tensor, read_header
from ecomrec.persistence._parsing import damaged, parse_json

_FORMAT_VERSION = 1
_NAME = re.compile(r"(?!__metadata__$)[A-Za-z0-9_.:/-]+")


def write(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a manifest and arrays to a file, whole or not at all.

    Readers and crashes see the old file or the new one. Costs one pass over the arrays for their
    checksums (CRC-32, about 0.25 s per GB), one write and one sync. A killed process may leave a
    folder named ``.ecomrec-*`` beside the file; it can be deleted.

    Parameters
    ----------
    path : path-like
        The folder must exist. A file there keeps its permissions; a new one follows the umask.
    manifest : mapping
        What JSON can hold, with strings as keys; see `pack_value` for anything else.
    arrays : mapping of str to ndarray
        Booleans, and integers and floats of up to 64 bits, of any shape.

    Raises
    ------
    TypeError, ValueError
        For an array or a manifest that the file cannot hold.
    OSError
        If the file cannot be written, such as on a full disk.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/shop.ecomrec", {"k": 2}, {"scores": np.array([0.5, 0.25])})
    ...     read(f"{folder}/shop.ecomrec", verify=True)
    ({'k': 2}, {'scores': array([0.5 , 0.25])})
    """
    with replacing(path) as draft:
        data = {name: _plain(name, array) for name, array in arrays.items()}
        metadata = {"ecomrec": _manifest_text(manifest, data)}
        try:
            save_file(data, draft, metadata=metadata)
        except SafetensorError as error:
            number = re.search(r"(?:os error|code:) (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, f"Cannot write the model: {error}", str(path)) from error


@contextmanager
def replacing(
    path: str | os.PathLike[str],
    mode: int | None = None,
    check: Callable[[Path], None] | None = None,
) -> Iterator[Path]:
    """Give a draft that takes the place of a file, synced, when the block ends well.

    The file has the permissions `mode`, or those of the old file, or what the umask leaves.
    `check` gets the file just before it is replaced, and may raise to keep it.
    """
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        Path(path).stat()  # links that lead round in a circle are an OSError here
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "Create this folder first", str(target.parent))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "No regular file; choose another name", str(target))
    # A folder, because safetensors has temporary files of its own beside the file it writes.
    with tempfile.TemporaryDirectory(
        prefix=".ecomrec-", dir=target.parent, ignore_cleanup_errors=True
    ) as folder:
        draft = Path(folder, "draft")
        draft.touch()
        if mode is None:
            mode = stat.S_IMODE((target if target.exists() else draft).stat().st_mode)
        yield draft
        with draft.open("rb+") as file:
            draft.chmod(mode)
            os.fsync(file.fileno())
        if check is not None:
            check(target)
        draft.replace(target)
    sync_folder(target.parent)


def encoded(
    manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> list[bytes | memoryview]:
    """Return the bytes of a file as `write` makes them, in parts that copy no array."""
    data = {name: _plain(name, array) for name, array in arrays.items()}
    header: dict[str, Any] = {"__metadata__": {"ecomrec": _manifest_text(manifest, data)}}
    codes = {dtype: code for code, dtype in DTYPES.items()}
    parts: list[bytes | memoryview] = []
    position = 0
    # Wide numbers first: every array then begins at a multiple of its own width.
    for name, array in sorted(data.items(), key=lambda pair: (-pair[1].itemsize, pair[0])):
        end = position + array.nbytes
        shape, dtype = list(array.shape), codes[array.dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        parts.append(array.reshape(-1).view(np.uint8).data)
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *parts]


def decoded(
    payload: np.ndarray, *, verify: bool = False
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `encoded` made, as `read` reads a file; the arrays are views of the payload."""
    length = min(int.from_bytes(payload[:8].tobytes(), "little"), MAX_HEADER)
    head = read_header(BytesIO(payload[: 8 + length].tobytes()), len(payload))
    start = head[0]
    return _read_arrays(head, lambda t: payload[start + t.begin : start + t.end], verify)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a saved file; what is wrong with its bytes is told with its name."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening: a named pipe would block
            raise FileFormatError("it is a folder or device, not a file. Name a saved model.")
        with path.open("rb") as file:
            yield file
    except FileFormatError as error:
        raise type(error)(f"Cannot read {str(path)!r}: {error}") from error


def read(
    path: str | os.PathLike[str], *, verify: bool = False, mmap: bool = False
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the manifest and the arrays that `write` stored.

    Header, manifest and sizes are always checked; nothing in the file is run or imported.

    Parameters
    ----------
    path : path-like
    verify : bool
        Check every byte by its checksum as well, about 0.25 s per GB. Without it, damage inside
        an array of numbers goes unseen.
    mmap : bool
        Map the file instead of reading it: arrays are ready at once and their pages shared between
        processes until one of them writes, to a copy of its own. The file may then be replaced by
        `write`, but never changed in place.

    Returns
    -------
    manifest : dict
    arrays : dict of str to ndarray

    Raises
    ------
    FileFormatError
        If the file is damaged, truncated, not ours, or of a later format.
    FileNotFoundError
        If there is no file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/shop.ecomrec", {}, {"scores": np.array([0.5, 0.25])})
    ...     manifest, arrays = read(f"{folder}/shop.ecomrec", mmap=True)
    >>> arrays["scores"]
    array([0.5 , 0.25])
    """
    with opened(path) as file:
        head = read_header(file, os.fstat(file.fileno()).st_size)
        start = head[0]
        pages = np.asarray(np.memmap(file, np.uint8, mode="c")) if mmap else None

        def part(tensor: Tensor) -> np.ndarray:
            if pages is not None:
                return pages[start + tensor.begin : start + tensor.end]
            n_bytes = tensor.end - tensor.begin
            try:
                raw = np.empty(n_bytes, dtype=np.uint8)
            except MemoryError:
                raise FileFormatError(
                    f"an array of it has {n_bytes} bytes, more than fit into memory. Load the "
                    "model with mmap=True or on a larger machine, or restore the file from a copy "
                    "if the model never was that large."
                ) from None
            file.seek(start + tensor.begin)
            if file.readinto(raw.data) != len(raw):
                raise damaged("an array ends early")
            return raw

        return _read_arrays(head, part, verify)


def _read_arrays(
    head: tuple[int, dict[str, Tensor], object],
    part: Callable[[Tensor], np.ndarray],
    verify: bool,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the manifest, and each array from its bytes, if all is as the manifest says."""
    _, tensors, metadata = head
    manifest, described = _read_manifest(metadata)
    if tensors.keys() != described.keys():
        differing = sorted(tensors.keys() ^ described.keys())
        raise damaged(f"header and manifest differ in the arrays {differing}")
    arrays = {}
    for name, facts in described.items():
        dtype, shape = tensors[name][:2]
        raw = part(tensors[name])
        crc = facts.get("crc32") if isinstance(facts, dict) else None
        if facts != {"dtype": dtype.name, "shape": shape, "crc32": crc}:
            raise damaged(f"array {name!r} is not as the manifest describes it")
        if verify and zlib.crc32(raw.data) != crc:
            raise damaged(f"array {name!r} does not match its checksum")
        if dtype.kind == "b" and raw.max(initial=0) > 1:
            raise damaged(f"array {name!r} holds bytes that are no booleans")
        arrays[name] = raw.view(dtype).reshape(shape)
    return manifest, arrays


def _read_manifest(metadata: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the caller's manifest, and what it should say of each array."""
    text = metadata.get("ecomrec") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise FileFormatError(
            "it is a safetensors file without a manifest of ecomrec. Name a file that model.save "
            "wrote."
        )
    document = parse_json(text, "manifest", dict)
    version = document.get("format_version")
    version = version if type(version) is int else 0
    if version > _FORMAT_VERSION:
        raise FileFormatError(
            f"it has format version {version}; this ecomrec reads up to {_FORMAT_VERSION}. "
            "Install a newer ecomrec."
        )
    manifest, described = document.get("manifest"), document.get("arrays")
    body = text.rpartition(',"checksum":')[0]
    if text != _sealed(body) or version != _FORMAT_VERSION:
        raise damaged("the manifest does not match its checksum")
    if not isinstance(manifest, dict) or not isinstance(described, dict):
        raise damaged("the manifest lacks its parts")
    return manifest, described


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array as little-endian contiguous memory; refuse what the file cannot hold."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES.values():
        raise TypeError(
            f"Cannot save array {name!r} of dtype {array.dtype}; it must hold booleans, integers "
            "or floats of up to 64 bits. Ids go through pack_ids."
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            "Array names have ASCII letters, digits and '_.:/-' only, and none is '__metadata__'; "
            f"got {name!r}."
        )
    return np.asarray(array, dtype=dtype, order="C")


def _manifest_text(manifest: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> str:
    described = {
        name: {"dtype": a.dtype.name, "shape": list(a.shape), "crc32": zlib.crc32(a.data)}
        for name, a in data.items()
    }
    given = dict(manifest)
    document = {"format_version": _FORMAT_VERSION, "manifest": given, "arrays": described}
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"The manifest is no JSON: {error}. Use pack_value.") from error
    if json.loads(text)["manifest"] != given:
        raise TypeError(
            "The manifest would come back changed: it holds tuples, keys that are no strings, or "
            "surrogates. Use pack_value."
        )
    if len(text) > MAX_HEADER // 3:  # it is quoted once more, and the arrays are listed again
        raise ValueError(f"The manifest has {len(text)} characters. Put large data in arrays.")
    return _sealed(text.removesuffix("}"))


def _sealed(body: str) -> str:
    """Return JSON text with its own checksum as its last entry."""
    crc = zlib.crc32(body.encode("utf-8", "surrogatepass"))
    return f'{body},"checksum":"{crc:08x}"}}'


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)
