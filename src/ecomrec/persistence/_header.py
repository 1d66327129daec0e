"""The header of a safetensors file, read with every entry checked."""

import math
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ecomrec.exceptions import FileFormatError
from ecomrec.persistence._parsing import damaged, parse_json, shortened

DTYPES = {"BOOL": np.dtype("?")} | {
    f"{kind.upper()}{8 * size}": np.dtype(f"<{kind}{size}")
    for kind, sizes in (("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
}
MAX_HEADER = 100_000_000  # the limit of safetensors itself
ENCRYPTED = b"\x93ECOMENC"  # how files of `ecomrec.privacy.save_encrypted` begin
_SIGNATURES = {
    b"\x80": "a pickle, which is never opened",
    b"PK\x03\x04": "a zip archive or npz",
    b"\x1f\x8b": "gzip",
    b"PAR1": "Parquet",
    ENCRYPTED: "an encrypted model, which ecomrec.privacy.load_encrypted opens",
}


class Tensor(NamedTuple):
    dtype: np.dtype[Any]
    shape: list[int]
    begin: int
    end: int


def read_header(file: BinaryIO, size: int) -> tuple[int, dict[str, Tensor], object]:
    """Return where the data start, the arrays by name, and the metadata, of `size` bytes."""
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER or len(prefix) < 8:
        kinds = [kind for mark, kind in _SIGNATURES.items() if prefix.startswith(mark)]
        looks = f" but looks like {kinds[0]}" if kinds else ""
        what = f"its {size} bytes are no saved model{looks}" if size else "it is empty"
        raise FileFormatError(f"{what}. Name a file that model.save wrote.")
    raw = file.read(length)
    if len(raw) < length:
        raise damaged(f"the header should have {length} bytes, and {len(raw)} are there")
    text = raw.rstrip(b" ")
    if (8 + length) % 8 or text[:1] != b"{" or text[-1:] != b"}":
        raise damaged("the header is no JSON object padded to 8 bytes")
    header: dict[str, Any] = parse_json(text, "header", dict)
    metadata = header.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry) for name, entry in header.items()}
    _check_layout(tensors, size - 8 - length)
    return 8 + length, tensors, metadata


def _tensor(name: str, entry: Any) -> Tensor:
    """Read the header entry of one array."""
    try:
        dtype = DTYPES[entry["dtype"]]
        shape, (begin, end) = entry["shape"], entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError) as error:
        raise _odd(name, entry) from error
    # NumPy's own limits: 64 dimensions, and 2**63 bytes even where a dimension is 0.
    if (
        not (whole and isinstance(shape, list) and len(shape) <= 64 and len(entry) == 3)
        or math.prod(n or 1 for n in shape) * dtype.itemsize >= 2**63
        or math.prod(shape) * dtype.itemsize != end - begin
        or begin % dtype.itemsize
    ):
        raise _odd(name, entry)
    return Tensor(dtype, shape, begin, end)


def _odd(name: str, entry: Any) -> FileFormatError:
    return damaged(f"the header entry of array {shortened(name)!r} is {shortened(entry)}")


def _check_layout(tensors: Mapping[str, Tensor], size: int) -> None:
    """Check that the arrays fill the data of the file: no overlap, no gap, nothing beyond."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda pair: pair[1][2:]):
        if tensor.begin != position:
            raise damaged(f"array {name!r} starts at byte {tensor.begin} instead of {position}")
        position = tensor.end
    if position != size:
        raise damaged(f"the arrays should have {position} bytes, and {size} are there")
