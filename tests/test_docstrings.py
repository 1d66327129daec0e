"""Every public docstring is complete: numpydoc's own validation, on by default."""

import dataclasses
import inspect
from types import ModuleType

import pytest
from numpydoc.validate import validate

import ecomrec
from ecomrec._lazy import computed_once

# numpydoc's codes: docstring and summary exist and are whole; sections are known and in order;
# parameters and what is returned or yielded are documented as in the signature, with types.
ENFORCED = {
    *("GL05", "GL06", "GL07", "GL08", "SS01", "SS02", "SS03", "SS06"),
    *("PR01", "PR02", "PR03", "PR04", "PR10", "RT01", "YD01"),
}
MEMBERS = (property, computed_once, classmethod, staticmethod)


def exports(module):
    return [getattr(module, name) for name in module.__all__]


def public_objects():
    """Classes and functions that ecomrec and its packages export, each once."""
    packages = [value for value in exports(ecomrec) if isinstance(value, ModuleType)]
    found = [value for module in (ecomrec, *packages) for value in exports(module)]
    return dict.fromkeys(v for v in found if inspect.isclass(v) or inspect.isfunction(v))


def is_ours(value):
    return value.__module__.partition(".")[0] == "ecomrec"


def public_members(owner):
    """Import paths of the public methods and properties that our classes define for `owner`."""
    return [
        f"{path_of(base)}.{name}"
        for base in owner.__mro__
        if is_ours(base)
        for name, member in vars(base).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, MEMBERS))
    ]


def path_of(value):
    return f"{value.__module__}.{value.__qualname__}"


OBJECTS = {path_of(value): value for value in public_objects() if is_ours(value)}
METHODS = list(
    dict.fromkeys(
        m for value in OBJECTS.values() if inspect.isclass(value) for m in public_members(value)
    )
)


def problems(path, codes=ENFORCED):
    return [f"{code} {text}" for code, text in validate(path)["errors"] if code in codes]


def test_there_are_docstrings_to_check():
    assert len(OBJECTS) >= 20
    assert len(METHODS) >= 20


@pytest.mark.parametrize("path", OBJECTS)
def test_docstring_of_public_object_is_complete(path):
    value = OBJECTS[path]
    codes = ENFORCED
    if not (inspect.isclass(value) and issubclass(value, Exception)):
        codes = codes | {"EX01"}
    if dataclasses.is_dataclass(value) and "\nAttributes\n" in str(inspect.getdoc(value)):
        codes = codes - {"PR01", "PR02"}  # results and state: users read them, we make them
    assert not problems(path, codes)


@pytest.mark.parametrize("path", METHODS)
def test_docstring_of_public_method_is_complete(path):
    one_sentence = "---" not in validate(path)["docstring"]
    assert not problems(path, ENFORCED - {"PR01", "RT01"} if one_sentence else ENFORCED)
