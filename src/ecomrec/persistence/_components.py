"""What a file may give to the components that it names: nothing that leads to other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ecomrec.exceptions import FileFormatError

# LightGBM's constructors pass on what they do not name. Of that these are words, never paths.
_WORDS = {"data_sample_strategy", "device", "device_type", "metric", "tree_learner"}
_WORD = re.compile(r"[\w@:.-]*")


def check_component(name: str, params: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    """Refuse parameters with which a component would read or write files of its own.

    Parameters
    ----------
    name : str
        Class of the component.
    params : mapping
        Parameters by name.
    named : mapping
        The parameters that its constructor names.

    Raises
    ------
    FileFormatError
        With the component and the parameter.
    """
    if name == "PrivacyLedger":
        if params.keys() != {"path"} or not isinstance(params["path"], str):
            raise _refused(name, sorted(params), "only the path of a ledger that exists")
    elif name in ("CountVectorizer", "TfidfVectorizer"):
        if params.get("input", "content") != "content":
            raise _refused(name, ["input"], "only input='content', as texts are no files")
    elif name == "Pipeline":
        if params.get("memory") is not None:
            raise _refused(name, ["memory"], "only memory=None, as what it caches are pickles")
    elif name.startswith("LGBM"):
        for key, value in params.items():
            free = key in named or key in _WORDS
            if not key.isidentifier() or not all(
                free and _WORD.fullmatch(text) for text in _texts(value)
            ):
                raise _refused(name, [key], "numbers, and words in parameters known to take them")


def _texts(value: Any) -> Iterator[str]:
    """All text in a value."""
    if isinstance(value, (str, bytes)):
        yield value if isinstance(value, str) else value.decode("latin-1")
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)


def _refused(name: str, keys: list[str], allowed: str) -> FileFormatError:
    return FileFormatError(f"a {name} with {', '.join(keys)} is in no file: it may have {allowed}")
