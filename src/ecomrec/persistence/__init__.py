"""Models as files: a JSON manifest and named arrays in one safetensors file, never pickle."""

from ecomrec.persistence._components import check_component
from ecomrec.persistence._header import ENCRYPTED
from ecomrec.persistence._parsing import parse_json, shortened
from ecomrec.persistence.files import (
    decoded,
    encoded,
    opened,
    read,
    replacing,
    sync_folder,
    write,
)
from ecomrec.persistence.values import pack_ids, pack_value, unpack_ids, unpack_value

__all__ = [
    "ENCRYPTED",
    "check_component",
    "decoded",
    "encoded",
    "opened",
    "pack_ids",
    "pack_value",
    "parse_json",
    "read",
    "replacing",
    "shortened",
    "sync_folder",
    "unpack_ids",
    "unpack_value",
    "write",
]
