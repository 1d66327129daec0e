"""Models as files: a JSON manifest and named arrays in one safetensors file, never pickle."""

from ecomrec.persistence.files import read, write
from ecomrec.persistence.values import pack_ids, pack_value, unpack_ids, unpack_value

__all__ = ["pack_ids", "pack_value", "read", "unpack_ids", "unpack_value", "write"]
