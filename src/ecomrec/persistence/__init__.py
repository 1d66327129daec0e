"""Models as files: a JSON manifest and named arrays in one safetensors file, never pickle."""

from ecomrec.persistence._header import ENCRYPTED
from ecomrec.persistence.files import decoded, encoded, opened, read, replacing, write
from ecomrec.persistence.values import pack_ids, pack_value, unpack_ids, unpack_value

__all__ = [
    "ENCRYPTED",
    "decoded",
    "encoded",
    "opened",
    "pack_ids",
    "pack_value",
    "read",
    "replacing",
    "unpack_ids",
    "unpack_value",
    "write",
]
